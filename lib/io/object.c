/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One object on its way into a sink: counts and checks it, gathers small writes, keeps the first failure. */

#include "base/hash.h"
#include "io/io_int.h"
#include "io/object.h"

#define BATCH 256
/* WHOLE_OBJECTS: an object lies in memory until it is complete. */
#define WHOLE_MAX (UINT64_C(1) << 30)
/* What a cipher works on at a time: stays in the cache of a core. */
#define CIPHER_PIECE (64u << 10)

struct vp_object {
    vp_sink *sink;
    void *object; /* the back end's; begun says whether there is one */
    bool begun, whole;
    vp_object_info info; /* its strings are ours */
    char *key, *content_type, *cache_control;
    uint64_t bytes;
    uint32_t crc32c;
    vpi_pieces pieces;
    vpi_buf all;              /* whole only */
    vpi_object_cipher cipher; /* update NULL: none */
    uint8_t *ciphered;        /* CIPHER_PIECE + a block; made with the first cipher */
    vp_error first;
};

/* ---- begin ---- */

static vp_status enter(vp_sink *s, vp_error *err)
{
    vp_status st = VP_OK;

    if (!(s->ops.flags & VP_SINKF_SERIAL_OBJECTS)) return VP_OK;
    pthread_mutex_lock(&s->lock);
    while (s->synced.busy && (st = vpi_context_check(s->context, err)) == VP_OK) {
        pthread_cond_wait(&s->idle, &s->lock);
    }
    if (st == VP_OK) s->synced.busy = true;
    pthread_mutex_unlock(&s->lock);
    return st;
}

static void leave(vp_sink *s)
{
    if (!(s->ops.flags & VP_SINKF_SERIAL_OBJECTS) || vpi_forked(s->fork_mark)) return;
    pthread_mutex_lock(&s->lock);
    s->synced.busy = false;
    pthread_cond_signal(&s->idle);
    pthread_mutex_unlock(&s->lock);
}

static vp_status begin_backend(vp_object *o, vp_error *err)
{
    vp_sink *s = o->sink;
    vp_status st = enter(s, err);

    if (st < 0) return st;
    st = vpi_io_status(s->ops.begin(s->user, &o->info, &o->object, err), s->host, "begin", err);
    if (st < 0) {
        leave(s);
        return st;
    }
    o->begun = true;
    o->pieces.write = s->ops.write;
    o->pieces.user = s->user;
    o->pieces.object = o->object;
    o->pieces.host = s->host;
    return VP_OK;
}

static void drop_cipher(vp_object *o)
{
    if (o->cipher.release) o->cipher.release(o->cipher.user);
    memset(&o->cipher, 0, sizeof(o->cipher));
}

static void object_free(vp_object *o)
{
    drop_cipher(o);
    vpi_free(o->ciphered);
    vpi_pieces_dispose(&o->pieces);
    vpi_buf_dispose(&o->all);
    vpi_free(o->key);
    vpi_free(o->content_type);
    vpi_free(o->cache_control);
    vp_sink_unref(o->sink);
    vpi_free(o);
}

static vp_status check_info(const vp_object_info *i, vp_error *err)
{
    if (!vpi_key_valid(i->key)) return vpi_fail(err, VP_E_ARG, NULL, "the key is not valid");
    if (i->kind < VP_OBJECT_OTHER || i->kind > VP_OBJECT_MARKER) {
        return vpi_fail(err, VP_E_ARG, NULL, "the kind is not one of VP_OBJECT_*");
    }
    return VP_OK;
}

static vp_status object_new(vp_sink *sink, const vp_object_info *info, vp_object **out, vp_error *err)
{
    vp_object *o = vpi_calloc(1, sizeof(*o));

    *out = o;
    if (!o) return vpi_fail_nomem(err);
    o->sink = vp_sink_ref(sink);
    vp_error_init(&o->first);
    o->whole = sink->ops.flags & VP_SINKF_WHOLE_OBJECTS;
    o->key = vpi_strdup(info->key);
    o->content_type = vpi_strdup(info->content_type ? info->content_type : "application/octet-stream");
    o->cache_control = vpi_strdup(info->cache_control);
    if (!o->key || !o->content_type || (info->cache_control && !o->cache_control)) return vpi_fail_nomem(err);
    o->info = *info;
    o->info.key = o->key;
    o->info.content_type = o->content_type;
    o->info.cache_control = o->cache_control;
    return VP_OK;
}

vp_status vp_sink_begin(vp_sink *sink, const vp_object_info *info, vp_object **out, vp_error *err)
{
    vp_object_info ours = VP_OBJECT_INFO_INIT;
    vp_object *o = NULL;
    vp_status st;

    vp_error_init(err);
    if (!out || !sink || !info) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_GO(vpi_context_check(sink->context, err));
    VPI_GO(vpi_copy_struct(&ours, sizeof(ours), info, err));
    VPI_GO(check_info(&ours, err));
    VPI_GO(object_new(sink, &ours, &o, err));
    if (!o->whole) VPI_GO(begin_backend(o, err));
    *out = o;
    return VP_OK;
done:
    if (o) object_free(o);
    return vpi_io_done(st, "sink.begin", ours.key, err);
}

/* ---- write ---- */

/* Large batches of an own back end go down uncopied, behind what is pending. */
static vp_status write_batch(vp_object *o, const struct iovec *iov, size_t count, size_t total, vp_error *err)
{
    struct iovec own[BATCH + 1];
    vp_sink *s = o->sink;
    vp_status st = VP_OK;
    int n = 0;
    size_t i;

    if (s->extra.writev &&
        (o->pieces.pending.size >= VPI_PIECE || total >= VPI_PIECE - o->pieces.pending.size)) {
        if (o->pieces.pending.size > 0) {
            own[n].iov_base = o->pieces.pending.data;
            own[n++].iov_len = o->pieces.pending.size;
        }
        for (i = 0; i < count; i++) own[n++] = iov[i];
        vpi_buf_clear(&o->pieces.pending);
        return s->extra.writev(s->user, o->object, own, n, err);
    }
    for (i = 0; st == VP_OK && i < count; i++) {
        if (iov[i].iov_len == 0) continue;
        st = s->extra.direct ? s->ops.write(s->user, o->object, iov[i].iov_base, iov[i].iov_len, err)
                             : vpi_pieces_add(&o->pieces, iov[i].iov_base, iov[i].iov_len, err);
    }
    return st;
}

static vp_status write_whole(vp_object *o, const struct iovec *iov, size_t count, size_t total, vp_error *err)
{
    size_t i;

    if (o->bytes + total > WHOLE_MAX) {
        return vpi_fail(err, VP_E_LIMIT, "MEMORY_LIMIT",
                        "the object is too large for a sink that takes whole ones");
    }
    for (i = 0; i < count; i++) vpi_buf_add(&o->all, iov[i].iov_base, iov[i].iov_len);
    return vpi_buf_failed(&o->all) ? vpi_fail_nomem(err) : VP_OK;
}

/* Up to BATCH pieces as they go to the back end. */
static vp_status put_batch(vp_object *o, const struct iovec *iov, size_t count, vp_error *err)
{
    size_t i, total = 0;

    for (i = 0; i < count; i++) {
        if (__builtin_add_overflow(total, iov[i].iov_len, &total))
            return vpi_fail(err, VP_E_ARG, NULL, "the sizes of the pieces overflow");
    }
    VPI_TRY(o->whole ? write_whole(o, iov, count, total, err) : write_batch(o, iov, count, total, err));
    for (i = 0; i < count; i++) o->crc32c = vpi_crc32c(o->crc32c, iov[i].iov_base, iov[i].iov_len);
    o->bytes += total;
    return VP_OK;
}

static vp_status put_ciphered(vp_object *o, const struct iovec *piece, vp_error *err)
{
    const uint8_t *at = piece->iov_base;
    size_t left = piece->iov_len, n, written;

    for (; left > 0; at += n, left -= n) {
        n = VPI_MIN(left, (size_t)CIPHER_PIECE);
        VPI_TRY(o->cipher.update(o->cipher.user, at, n, o->ciphered, &written, err));
        VPI_TRY(put_batch(o, &(struct iovec){ o->ciphered, written }, 1, err));
    }
    return VP_OK;
}

static vp_status end_cipher(vp_object *o, vp_error *err)
{
    vp_status st;
    size_t written = 0;

    if (!o->cipher.update) return VP_OK;
    st = o->cipher.final(o->cipher.user, o->ciphered, &written, err);
    drop_cipher(o);
    return st < 0 ? st : put_batch(o, &(struct iovec){ o->ciphered, written }, 1, err);
}

/* The first failure stays with the object and is told. */
static vp_status note_failure(vp_object *o, vp_status st, const char *op, vp_error *err)
{
    vpi_io_done(st, op, o->key, &o->first);
    if (err && err->status >= 0) vpi_error_copy(err, &o->first);
    return st;
}

vp_status vpi_object_cipher_begin(vp_object *object, const vpi_object_cipher *cipher, vp_error *err)
{
    vp_error *first = &object->first;
    vp_status st = first->status;

    if (st >= 0) st = end_cipher(object, first);
    if (st >= 0 && !object->ciphered) {
        object->ciphered = vpi_alloc(CIPHER_PIECE + VPI_CIPHER_BLOCK);
        if (!object->ciphered) st = vpi_fail_nomem(first);
    }
    if (st < 0) {
        if (cipher->release) cipher->release(cipher->user);
        return note_failure(object, st, "sink.write", err);
    }
    object->cipher = *cipher;
    return VP_OK;
}

vp_status vpi_object_cipher_end(vp_object *object, vp_error *err)
{
    vp_status st = object->first.status;

    if (st >= 0) st = end_cipher(object, &object->first);
    return st < 0 ? note_failure(object, st, "sink.write", err) : VP_OK;
}

vp_status vpi_object_writev(vp_object *object, const struct iovec *iov, size_t count, vp_error *err)
{
    vp_error *first = &object->first;
    vp_status st = first->status;
    size_t n;

    if (st == VP_OK) st = vpi_context_check(object->sink->context, first);
    for (; st == VP_OK && count > 0; iov += n, count -= n) {
        n = object->cipher.update ? 1 : VPI_MIN(count, (size_t)BATCH);
        st = object->cipher.update ? put_ciphered(object, iov, first) : put_batch(object, iov, n, first);
    }
    return st < 0 ? note_failure(object, st, "sink.write", err) : VP_OK;
}

vp_status vp_object_write(vp_object *object, const void *data, size_t size, vp_error *err)
{
    struct iovec iov = { (void *)(uintptr_t)data, size };

    vp_error_init(err);
    if (!object || (!data && size > 0)) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    return vpi_object_writev(object, &iov, size > 0 ? 1 : 0, err);
}

uint64_t vpi_object_size(const vp_object *object)
{
    return object->bytes;
}

/* ---- the end ---- */

static void abort_backend(vp_object *o)
{
    vp_sink *s = o->sink;

    if (!o->begun) return;
    /* In a forked child the object is the parent's; ours only close what they hold. */
    if (!s->host || !vpi_forked(s->fork_mark)) s->ops.abort(s->user, o->object);
    o->begun = false;
    leave(s);
}

/* What the caller said at begin must be what came; a cut or mixed-up object is not committed. */
static vp_status check_promise(const vp_object *o, vp_error *err)
{
    if (o->info.size != VP_SIZE_UNKNOWN && o->info.size != o->bytes) {
        return vpi_fail(err, VP_E_ARG, NULL, "%llu bytes were written, %llu were announced",
                        (unsigned long long)o->bytes, (unsigned long long)o->info.size);
    }
    if (o->info.has_crc32c && o->info.crc32c != o->crc32c) {
        return vpi_fail(err, VP_E_DATA, "CHECKSUM_MISMATCH", "the CRC32C is %08x, %08x was announced",
                        (unsigned)o->crc32c, (unsigned)o->info.crc32c);
    }
    return VP_OK;
}

static vp_status deliver_whole(vp_object *o, vp_error *err)
{
    vp_sink *s = o->sink;

    o->info.size = o->bytes;
    o->info.crc32c = o->crc32c;
    o->info.has_crc32c = 1;
    VPI_TRY(begin_backend(o, err));
    return vpi_io_status(
        s->ops.write(s->user, o->object, o->all.data ? (const void *)o->all.data : "", o->all.size, err),
        s->host, "write", err);
}

vp_status vp_object_commit(vp_object *object, uint64_t *bytes, uint32_t *crc32c, vp_error *err)
{
    vp_error *first;
    vp_sink *s;
    vp_status st;

    vp_error_init(err);
    if (!object) return vpi_fail(err, VP_E_ARG, NULL, "no object");
    s = object->sink;
    first = &object->first;
    st = first->status;
    if (st == VP_OK) st = vpi_context_check(s->context, first);
    if (st == VP_OK) st = end_cipher(object, first);
    if (bytes) *bytes = object->bytes;
    if (crc32c) *crc32c = object->crc32c;
    if (st == VP_OK) st = check_promise(object, first);
    if (st == VP_OK)
        st = object->whole ? deliver_whole(object, first) : vpi_pieces_flush(&object->pieces, first);
    if (st == VP_OK) {
        st = vpi_io_status(s->ops.commit(s->user, object->object, first), s->host, "commit", first);
        object->begun = false;
        leave(s);
    }
    abort_backend(object);
    if (st < 0) {
        vpi_io_done(st, "sink.commit", object->key, first);
        vpi_error_copy(err, first);
    }
    object_free(object);
    return st;
}

void vp_object_abort(vp_object *object)
{
    if (!object) return;
    abort_backend(object);
    object_free(object);
}

vp_status vpi_sink_put(vp_sink *sink, const vp_object_info *info, const void *data, uint64_t size,
                       uint64_t *bytes, uint32_t *crc32c, vp_error *err)
{
    vp_object *o = NULL;
    vp_status st;

    if (size > SIZE_MAX) return vpi_fail_nomem(err);
    VPI_TRY(vp_sink_begin(sink, info, &o, err));
    st = vp_object_write(o, data, (size_t)size, err);
    if (st == VP_OK) return vp_object_commit(o, bytes, crc32c, err);
    vp_object_abort(o);
    return st;
}
