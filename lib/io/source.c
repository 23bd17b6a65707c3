/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/io_int.h"

#define READ_ALL_DEFAULT (UINT64_C(64) << 20)

struct vp_source {
    atomic_uint refs;
    vp_context *context;
    uint32_t fork_mark;
    bool host;
    vp_source_ops ops;
    void *user;
    vpi_hook hook;
    pthread_mutex_t lock; /* held around read_at with SERIAL */
};

void vp_source_ops_init(vp_source_ops *ops, size_t size)
{
    static const vp_source_ops init = VP_SOURCE_OPS_INIT;

    vpi_struct_init(ops, size, &init, sizeof(init));
}

static void interrupt_hook(void *arg)
{
    vpi_source_interrupt(arg);
}

static vp_status source_new(vp_context *context, const vp_source_ops *ops, void *user, bool host,
                            vp_source **out, vp_error *err)
{
    vp_source *s = vpi_calloc(1, sizeof(*s));
    vp_status st;

    if (!s) return vpi_fail_nomem(err);
    atomic_init(&s->refs, 1);
    s->context = context;
    s->fork_mark = vpi_fork_mark();
    s->host = host;
    s->ops = *ops;
    s->user = user;
    s->hook.fn = interrupt_hook;
    s->hook.arg = s;
    if (ops->interrupt) {
        st = vpi_hook_add(context, &s->hook, err);
        if (st < 0) {
            vpi_free(s);
            return st;
        }
    }
    pthread_mutex_init(&s->lock, NULL);
    vp_context_ref(context);
    *out = s;
    return VP_OK;
}

vp_status vp_source_new(vp_context *context, const vp_source_ops *ops, void *user, vp_source **out,
                        vp_error *err)
{
    vp_source_ops o = VP_SOURCE_OPS_INIT;

    vp_error_init(err);
    if (!out || !ops) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), ops, err));
    if (!o.read_at || !o.size) return vpi_fail(err, VP_E_ARG, NULL, "read_at and size are required");
    if (o.flags & ~VP_SOURCEF_SERIAL) return vpi_fail(err, VP_E_ARG, NULL, "unknown flags of a source");
    return source_new(context, &o, user, true, out, err);
}

vp_status vpi_source_new_internal(vp_context *context, const vp_source_ops *ops, void *user, vp_source **out,
                                  vp_error *err)
{
    *out = NULL;
    return source_new(context, ops, user, false, out, err);
}

vp_source *vp_source_ref(vp_source *source)
{
    if (source) atomic_fetch_add_explicit(&source->refs, 1, memory_order_relaxed);
    return source;
}

vp_source *vp_source_unref(vp_source *source)
{
    bool forked;

    if (!source || atomic_fetch_sub_explicit(&source->refs, 1, memory_order_acq_rel) != 1) return NULL;
    forked = vpi_forked(source->fork_mark);
    vpi_hook_remove(source->context, &source->hook);
    if (source->ops.release && !(forked && source->host)) source->ops.release(source->user);
    if (!forked) pthread_mutex_destroy(&source->lock);
    vp_context_unref(source->context);
    vpi_free(source);
    return NULL;
}

/* Files and memory stay readable after vp_context_close(); callbacks of the host are not called any more. */
static vp_status check(const vp_source *s, vp_error *err)
{
    if (!s) return vpi_fail(err, VP_E_ARG, NULL, "no source");
    if (s->host) return vpi_context_check(s->context, err);
    if (vpi_forked(s->fork_mark))
        return vpi_fail(err, VP_E_STATE, NULL, "the handle was inherited by fork()");
    return VP_OK;
}

static vp_status read_once(vp_source *s, uint64_t offset, void *data, size_t capacity, size_t *got,
                           vp_error *err)
{
    bool serial = s->ops.flags & VP_SOURCEF_SERIAL;
    vp_status st;

    VPI_TRY(check(s, err));
    if (serial) pthread_mutex_lock(&s->lock);
    st = s->ops.read_at(s->user, offset, data, capacity, got, err);
    if (serial) pthread_mutex_unlock(&s->lock);
    /* Of ours one can say that a byte is not there yet, see ingest.h. */
    st = vpi_io_status_or(st, s->host ? VP_OK : VP_AGAIN, s->host, "read_at", err);
    VPI_TRY(st);
    if (*got > capacity) {
        return vpi_fail(err, VP_E_HOST, NULL, "read_at answered with more bytes than it was asked for");
    }
    return st;
}

vp_status vp_source_read_at(vp_source *source, uint64_t offset, void *data, size_t capacity, size_t *got,
                            vp_error *err)
{
    size_t have = 0, n;
    vp_status st = VP_OK;

    vp_error_init(err);
    if (got) *got = 0;
    if (!got || (!data && capacity > 0)) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    if (!source || capacity == 0) return check(source, err);
    while (have < capacity && offset <= UINT64_MAX - have) {
        n = 0;
        st = read_once(source, offset + have, (uint8_t *)data + have, capacity - have, &n, err);
        if (st < 0) break;
        have += n;
        if (st != VP_OK || n == 0) break;
    }
    *got = have;
    return vpi_io_done(st, "source.read", NULL, err);
}

vp_status vp_source_size(vp_source *source, uint64_t *bytes, vp_error *err)
{
    vp_status st;

    vp_error_init(err);
    if (bytes) *bytes = 0;
    if (!bytes) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    VPI_TRY(check(source, err));
    st = vpi_io_status_or(source->ops.size(source->user, bytes, err), source->host ? VP_OK : VP_AGAIN,
                          source->host, "size", err);
    return vpi_io_done(st, "source.size", NULL, err);
}

vp_status vp_source_identity(vp_source *source, char *text, size_t capacity, vp_error *err)
{
    vp_status st;

    vp_error_init(err);
    if (!text || capacity == 0) return vpi_fail(err, VP_E_ARG, NULL, "no room for the text");
    text[0] = 0;
    VPI_TRY(check(source, err));
    if (!source->ops.identity) return VP_OK;
    st =
        vpi_io_status(source->ops.identity(source->user, text, capacity, err), source->host, "identity", err);
    text[capacity - 1] = 0;
    return vpi_io_done(st, "source.identity", NULL, err);
}

vp_status vpi_source_read_all(vp_source *source, uint64_t limit, vp_bytes **out, vp_error *err)
{
    uint64_t size;
    vpi_buf b = { 0 };
    size_t got;
    vp_status st;

    *out = NULL;
    if (limit == 0) limit = READ_ALL_DEFAULT;
    VPI_TRY(vp_source_size(source, &size, err));
    if (size > limit || size > SIZE_MAX - 1) {
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "larger than the limit of %llu bytes",
                        (unsigned long long)limit);
    }
    /* One byte more, for the NUL that a vp_bytes ends with. */
    if (!vpi_buf_reserve(&b, (size_t)size + 1)) return vpi_fail_nomem(err);
    st = vp_source_read_at(source, 0, b.data, (size_t)size, &got, err);
    if (st == VP_OK && got != size) st = vpi_fail(err, VP_E_IO, NULL, "the source is shorter than its size");
    if (st < 0) {
        vpi_buf_dispose(&b);
        return st;
    }
    b.size = got;
    return vpi_bytes_from_buf(&b, out, err);
}

void vpi_source_interrupt(vp_source *source)
{
    if (source->ops.interrupt && !vpi_forked(source->fork_mark)) source->ops.interrupt(source->user);
}

bool vpi_source_is_file(const vp_source *source)
{
    return source->ops.read_at == vpi_file_read_at;
}

vp_context *vpi_source_context(const vp_source *source)
{
    return source->context;
}
