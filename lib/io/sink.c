/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/io_int.h"

void vp_sink_ops_init(vp_sink_ops *ops, size_t size)
{
    static const vp_sink_ops init = VP_SINK_OPS_INIT;

    vpi_struct_init(ops, size, &init, sizeof(init));
}

void vp_object_info_init(vp_object_info *info, size_t size)
{
    static const vp_object_info init = VP_OBJECT_INFO_INIT;

    vpi_struct_init(info, size, &init, sizeof(init));
}

const char *vp_object_kind_name(int32_t kind)
{
    static const char *const names[] = { "other",  "init",  "segment", "playlist",
                                         "master", "image", "key",     "marker" };

    return kind >= 0 && (size_t)kind < VPI_COUNT(names) ? names[kind] : "unknown";
}

/* ---- the handle ---- */

static void close_hook(void *arg)
{
    vp_sink *s = arg;

    if (s->ops.interrupt) s->ops.interrupt(s->user);
    pthread_mutex_lock(&s->lock);
    pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->lock);
}

static vp_status sink_new(vp_context *context, const vp_sink_ops *ops, const vpi_sink_extra *extra, bool host,
                          void *user, vp_sink **out, vp_error *err)
{
    vp_sink *s = vpi_calloc(1, sizeof(*s));
    vp_status st;

    if (!s) return vpi_fail_nomem(err);
    atomic_init(&s->refs, 1);
    s->context = context;
    s->fork_mark = vpi_fork_mark();
    s->host = host;
    s->ops = *ops;
    s->extra = *extra;
    s->user = user;
    s->hook.fn = close_hook;
    s->hook.arg = s;
    pthread_mutex_init(&s->flush_lock, NULL);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->idle, NULL);
    if (ops->interrupt || (ops->flags & VP_SINKF_SERIAL_OBJECTS)) {
        st = vpi_hook_add(context, &s->hook, err);
        if (st < 0) {
            pthread_cond_destroy(&s->idle);
            pthread_mutex_destroy(&s->lock);
            pthread_mutex_destroy(&s->flush_lock);
            vpi_free(s);
            return st;
        }
    }
    vp_context_ref(context);
    *out = s;
    return VP_OK;
}

vp_status vp_sink_new(vp_context *context, const vp_sink_ops *ops, void *user, vp_sink **out, vp_error *err)
{
    static const vpi_sink_extra none = { 0 };
    vp_sink_ops o = VP_SINK_OPS_INIT;

    vp_error_init(err);
    if (!out || !ops) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), ops, err));
    if (!o.begin || !o.write || !o.commit || !o.abort) {
        return vpi_fail(err, VP_E_ARG, NULL, "begin, write, commit and abort are required");
    }
    if (o.flags & ~(VP_SINKF_SERIAL_OBJECTS | VP_SINKF_WHOLE_OBJECTS)) {
        return vpi_fail(err, VP_E_ARG, NULL, "unknown flags of a sink");
    }
    return sink_new(context, &o, &none, true, user, out, err);
}

vp_status vpi_sink_new_internal(vp_context *context, const vp_sink_ops *ops, const vpi_sink_extra *extra,
                                void *user, vp_sink **out, vp_error *err)
{
    *out = NULL;
    return sink_new(context, ops, extra, false, user, out, err);
}

vp_sink *vp_sink_ref(vp_sink *sink)
{
    if (sink) atomic_fetch_add_explicit(&sink->refs, 1, memory_order_relaxed);
    return sink;
}

vp_sink *vp_sink_unref(vp_sink *sink)
{
    bool forked;

    if (!sink || atomic_fetch_sub_explicit(&sink->refs, 1, memory_order_acq_rel) != 1) return NULL;
    forked = vpi_forked(sink->fork_mark);
    vpi_hook_remove(sink->context, &sink->hook);
    if (sink->ops.release && !(forked && sink->host)) sink->ops.release(sink->user);
    if (!forked) {
        pthread_cond_destroy(&sink->idle);
        pthread_mutex_destroy(&sink->lock);
        pthread_mutex_destroy(&sink->flush_lock);
    }
    vp_context_unref(sink->context);
    vpi_free(sink);
    return NULL;
}

void vpi_sink_interrupt(vp_sink *sink)
{
    if (sink->ops.interrupt && !vpi_forked(sink->fork_mark)) sink->ops.interrupt(sink->user);
}

static void tidy(vp_sink *sink, const char *prefix, const char *only)
{
    if (sink->extra.tidy && vpi_context_check(sink->context, NULL) == VP_OK)
        sink->extra.tidy(sink->user, prefix, only);
}

void vpi_sink_tidy(vp_sink *sink, const char *prefix)
{
    tidy(sink, prefix, NULL);
}

void vpi_sink_tidy_named(vp_sink *sink, const char *name)
{
    tidy(sink, "", name);
}

uint64_t vpi_sink_failures(vp_sink *sink)
{
    uint64_t n;

    pthread_mutex_lock(&sink->flush_lock);
    n = sink->failures;
    pthread_mutex_unlock(&sink->flush_lock);
    return n;
}

vp_context *vpi_sink_context(const vp_sink *sink)
{
    return sink->context;
}

uint32_t vp_sink_has(const vp_sink *sink)
{
    if (!sink) return 0;
    return (sink->ops.stat ? VP_SINK_HAS_STAT : 0) | (sink->ops.list ? VP_SINK_HAS_LIST : 0) |
           (sink->ops.open ? VP_SINK_HAS_OPEN : 0) | (sink->ops.remove ? VP_SINK_HAS_REMOVE : 0);
}

/* ---- listing, shared with stores ---- */

vp_status vpi_listing_step(void *user, const vp_object_info *info)
{
    vp_object_info ours = VP_OBJECT_INFO_INIT;
    vpi_listing *l = user;
    vp_status st = vpi_copy_struct(&ours, sizeof(ours), info, NULL);

    if (st < 0) return st;
    if (!info || !vpi_key_valid(ours.key)) return VP_E_HOST;
    l->stopped = l->fn(l->user, &ours);
    return l->stopped;
}

vp_status vpi_listing_end(const vpi_listing *l, vp_status st, bool host, vp_error *err)
{
    if (l->stopped == VP_OK) return vpi_io_status(st, host, "list", err);
    vp_error_init(err); /* whatever a host made of it */
    if (l->stopped > 0) return l->stopped;
    return vpi_fail(err, l->stopped, NULL, "the listing was ended by its caller");
}

/* ---- operations on committed objects ---- */

static vp_status check(vp_sink *s, vp_error *err)
{
    return s ? vpi_context_check(s->context, err) : vpi_fail(err, VP_E_ARG, NULL, "no sink");
}

static vp_status check_key(const char *key, vp_error *err)
{
    return vpi_key_valid(key) ? VP_OK : vpi_fail(err, VP_E_ARG, NULL, "the key is not valid");
}

static vp_status lacks(const char *what, vp_error *err)
{
    return vpi_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED", "the sink has no %s", what);
}

vp_status vp_sink_flush(vp_sink *sink, vp_error *err)
{
    vp_status st;

    vp_error_init(err);
    VPI_TRY(check(sink, err));
    if (!sink->ops.flush) return VP_OK;
    pthread_mutex_lock(&sink->flush_lock);
    st = vpi_io_status(sink->ops.flush(sink->user, err), sink->host, "flush", err);
    if (st < 0) sink->failures++;
    pthread_mutex_unlock(&sink->flush_lock);
    return vpi_io_done(st, "sink.flush", NULL, err);
}

vp_status vp_sink_stat(vp_sink *sink, const char *key, vp_object_info *info, vp_error *err)
{
    vp_object_info ours = VP_OBJECT_INFO_INIT;
    uint32_t size;
    vp_status st;

    vp_error_init(err);
    VPI_TRY(check(sink, err));
    if (!info || info->struct_size < sizeof(uint32_t)) {
        return vpi_fail(err, VP_E_ARG, NULL, "no place for the result");
    }
    VPI_TRY(check_key(key, err));
    if (!sink->ops.stat) return lacks("stat", err);
    st = vpi_io_status_or(sink->ops.stat(sink->user, key, &ours, err), VP_END, sink->host, "stat", err);
    if (st == VP_OK) {
        ours.key = key;
        size = info->struct_size;
        ours.struct_size = size;
        memcpy(info, &ours, VPI_MIN((size_t)size, sizeof(ours)));
    }
    return vpi_io_done(st, "sink.stat", key, err);
}

vp_status vp_sink_list(vp_sink *sink, const char *prefix, vp_list_fn fn, void *user, vp_error *err)
{
    vpi_listing l = { fn, user, VP_OK };
    vp_status st;

    vp_error_init(err);
    VPI_TRY(check(sink, err));
    if (!prefix || !fn) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    if (!sink->ops.list) return lacks("list", err);
    st = sink->ops.list(sink->user, prefix, vpi_listing_step, &l, err);
    return vpi_io_done(vpi_listing_end(&l, st, sink->host, err), "sink.list", prefix, err);
}

vp_status vp_sink_open(vp_sink *sink, const char *key, vp_source **out, vp_error *err)
{
    vp_status st;

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "no place for the result");
    *out = NULL;
    VPI_TRY(check(sink, err));
    VPI_TRY(check_key(key, err));
    if (!sink->ops.open) return lacks("open", err);
    st = vpi_io_status_or(sink->ops.open(sink->user, key, out, err), VP_END, sink->host, "open", err);
    if (st == VP_OK && !*out) st = vpi_fail_host(err, VP_E_HOST, "open gave no source");
    if (st != VP_OK) *out = NULL;
    return vpi_io_done(st, "sink.open", key, err);
}

vp_status vp_sink_remove(vp_sink *sink, const char *key, vp_error *err)
{
    vp_status st;

    vp_error_init(err);
    VPI_TRY(check(sink, err));
    VPI_TRY(check_key(key, err));
    if (!sink->ops.remove) return lacks("remove", err);
    st = vpi_io_status(sink->ops.remove(sink->user, key, err), sink->host, "remove", err);
    return vpi_io_done(st, "sink.remove", key, err);
}

vp_status vp_sink_get(vp_sink *sink, const char *key, uint64_t limit, vp_bytes **out, vp_error *err)
{
    vp_source *source = NULL;
    vp_status st;

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "no place for the result");
    *out = NULL;
    st = vp_sink_open(sink, key, &source, err);
    if (st != VP_OK) return st;
    st = vpi_source_read_all(source, limit, out, err);
    vp_source_unref(source);
    return vpi_io_done(st, "sink.get", key, err);
}
