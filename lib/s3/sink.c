/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Objects of a sink in a bucket. Commit hands the last bytes over and returns; flush waits for all that is on its
 * way and tells the first failure. Nothing is visible before its commit: S3 shows objects whole or not at all.
 */

#include "io/io.h"
#include "sink_int.h"

#define CACHE_SEGMENTS "public, max-age=31536000, immutable"
#define CACHE_MANIFESTS "public, max-age=60"

static bool is_manifest(int32_t kind)
{
    return kind == VP_OBJECT_PLAYLIST || kind == VP_OBJECT_MASTER;
}

char *vpi_s3_sink_key(const vpi_s3_sink *s, const char *key)
{
    return vpi_asprintf("%s%s", s->prefix, key);
}

vp_cancel *vpi_s3_sink_cancel(vpi_s3_sink *s)
{
    vp_cancel *c;

    pthread_mutex_lock(&s->lock);
    c = vp_cancel_ref(s->synced.cancel);
    pthread_mutex_unlock(&s->lock);
    return c;
}

/* ---- headers ---- */

static const char *cache_of(const vpi_s3_sink *s, const vp_object_info *info)
{
    switch (info->kind) {
    case VP_OBJECT_KEY:
        return "no-store";
    case VP_OBJECT_INIT:
    case VP_OBJECT_SEGMENT:
    case VP_OBJECT_IMAGE:
        return s->cache_segments     ? s->cache_segments
               : info->cache_control ? info->cache_control
                                     : CACHE_SEGMENTS;
    case VP_OBJECT_PLAYLIST:
    case VP_OBJECT_MASTER:
        return s->cache_manifests ? s->cache_manifests
                                  : CACHE_MANIFESTS; /* short, whatever the job says (S23) */
    default:
        return info->cache_control;
    }
}

static vp_status make_lines(vpi_s3_sink *s, const vp_object_info *info, bool zip, vpi_buf *lines,
                            vp_error *err)
{
    vp_s3_object o = s->object;
    const char *cache = cache_of(s, info);

    if (info->content_type) o.content_type = info->content_type;
    if (cache) o.cache_control = cache;
    if (zip) o.content_encoding = "gzip";
    VPI_TRY(vpi_s3_object_lines(&o, lines, err));
    VPI_TRY(vpi_s3_host_lines(s->headers, s->user, info, lines, err));
    vpi_buf_u8(lines, 0);
    return vpi_buf_failed(lines) ? vpi_fail_nomem(err) : VP_OK;
}

/* ---- objects ---- */

static void object_free(vpi_s3_sink_object *o)
{
    if (!o) return;
    vpi_s3_writer_free(o->writer);
    if (o->zip) deflateEnd(o->zip);
    vpi_free(o->zip);
    vp_cancel_unref(o->cancel);
    vpi_free(o->key);
    vpi_free(o);
}

/* Those that have ended, on a thread that may wait. */
static vp_status reap(vpi_s3_sink *s, vp_error *err)
{
    vpi_s3_sink_object *list;
    vp_status st = VP_OK;

    pthread_mutex_lock(&s->lock);
    list = s->synced.interrupting ? NULL : s->synced.ended;
    if (list) s->synced.ended = NULL;
    pthread_mutex_unlock(&s->lock);
    while (list) {
        vpi_s3_sink_object *o = list;

        list = o->next;
        if (o->large && st >= 0) st = vpi_s3_writer_forget(o->writer, err);
        object_free(o);
    }
    return st;
}

static vp_status s3_begin(void *user, const vp_object_info *info, void **object, vp_error *err)
{
    vpi_s3_sink *s = user;
    vpi_s3_writer_options w = { .bucket = s->bucket, .size = info->size, .work = s->work, .ends = true };
    bool zip = s->flags & VP_SINK_S3_GZIP && is_manifest(info->kind);
    vpi_s3_sink_object *o;
    vpi_buf lines = { 0 };
    vp_status st;

    VPI_TRY(reap(s, err));
    o = vpi_calloc(1, sizeof(*o));
    if (!o) return vpi_fail_nomem(err);
    o->sink = s;
    o->cancel = vpi_s3_sink_cancel(s);
    o->key = vpi_s3_sink_key(s, info->key);
    if (!o->key) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    VPI_GO(vpi_s3_bucket_check(s->bucket, o->key, err));
    VPI_GO(vpi_s3_ready(s->s3, o->cancel, err));
    VPI_GO(make_lines(s, info, zip, &lines, err));
    if (zip) w.size = VP_SIZE_UNKNOWN;
    w.key = o->key;
    w.lines = (const char *)lines.data;
    w.cancel = o->cancel;
    VPI_GO(vpi_s3_writer_new(s->s3, &w, &o->writer, err));
    if (zip) VPI_GO(vpi_s3_zip_new(o, err));
    *object = o;
    o = NULL;
done:
    object_free(o);
    vpi_buf_dispose(&lines);
    return st;
}

static vp_status s3_write(void *user, void *object, const void *data, size_t size, vp_error *err)
{
    vpi_s3_sink_object *o = object;
    const uint8_t *p = data;

    (void)user;
    if (o->zip) return vpi_s3_zip_write(o, data, size, Z_NO_FLUSH, err);
    while (size) {
        size_t room;
        void *to;

        VPI_TRY(vpi_s3_writer_space(o->writer, size, &to, &room, err));
        room = VPI_MIN(room, size);
        memcpy(to, p, room);
        VPI_TRY(vpi_s3_writer_put(o->writer, room, err));
        p += room;
        size -= room;
    }
    return VP_OK;
}

static void s3_abort(void *user, void *object)
{
    vpi_s3_sink *s = user;
    vpi_s3_sink_object *o = object;
    bool large = vpi_s3_writer_upload(o->writer) != NULL;
    char *key;

    if (vpi_forked(s->s3->fork_mark)) return; /* the writer's locks may be held for ever */
    key = large && s->work ? vpi_strdup(o->key) : NULL;
    object_free(o);
    if (key) vpi_s3_journal_clear(s->work, s->bucket, key, NULL);
    vpi_free(key);
}

static void on_done(void *user, vp_status st, const vp_s3_info *info, const vp_error *err)
{
    vpi_s3_sink_object *o = user;
    vpi_s3_sink *s = o->sink;

    (void)info;
    pthread_mutex_lock(&s->lock);
    for (vpi_s3_sink_object **at = &s->synced.pending; *at; at = &(*at)->next) {
        if (*at != o) continue;
        *at = o->next;
        break;
    }
    s->synced.count--;
    if (st < 0 && s->synced.st >= 0) {
        s->synced.st = st;
        vp_error_init(&s->synced.err);
        vpi_error_copy(&s->synced.err, err);
        vpi_error_key(&s->synced.err, o->key);
    }
    o->next = s->synced.ended;
    s->synced.ended = o;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static bool same_key_synced(const vpi_s3_sink *s, const char *key)
{
    for (const vpi_s3_sink_object *o = s->synced.pending; o; o = o->next)
        if (strcmp(o->key, key) == 0) return true;
    return false;
}

static vp_status s3_commit(void *user, void *object, vp_error *err)
{
    vpi_s3_sink *s = user;
    vpi_s3_sink_object *o = object;
    unsigned most = 8 * s->s3->o.connections;
    vp_status st = o->zip ? vpi_s3_zip_write(o, "", 0, Z_FINISH, err) : VP_OK;

    o->large = vpi_s3_writer_upload(o->writer) != NULL;
    pthread_mutex_lock(&s->lock);
    /* commits of one key keep their order */
    while (st >= 0 && (s->synced.count >= most || same_key_synced(s, o->key))) {
        vpi_s3_cond_wait(&s->changed, &s->lock);
        st = vpi_cancel_check_scope(o->cancel, err);
    }
    if (st >= 0) {
        o->next = s->synced.pending;
        s->synced.pending = o;
        s->synced.count++;
    }
    pthread_mutex_unlock(&s->lock);
    if (st < 0) {
        s3_abort(s, o);
        return st;
    }
    vpi_s3_writer_finish(o->writer, on_done, o);
    return VP_OK;
}

static void s3_interrupt(void *user);

static vp_status s3_flush(void *user, vp_error *err)
{
    vpi_s3_sink *s = user;
    bool told = false;
    vp_status st;

    pthread_mutex_lock(&s->lock);
    while (s->synced.count) {
        vpi_s3_cond_wait(&s->changed, &s->lock);
        if (told || vpi_cancel_check_scope(NULL, NULL) >= 0) continue;
        told = true;
        pthread_mutex_unlock(&s->lock);
        s3_interrupt(s); /* which ends them */
        pthread_mutex_lock(&s->lock);
    }
    st = s->synced.st;
    if (st < 0) vpi_error_copy(err, &s->synced.err);
    s->synced.st = VP_OK;
    pthread_mutex_unlock(&s->lock);
    VPI_TRY(st);
    return reap(s, err);
}

/* ---- the whole ---- */

static vpi_s3_sink_object *not_stopped_synced(const vpi_s3_sink *s)
{
    vpi_s3_sink_object *o = s->synced.pending;

    while (o && o->stopped) o = o->next;
    return o;
}

/* Ends what runs; what begins later is not concerned. */
static void s3_interrupt(void *user)
{
    vpi_s3_sink *s = user;
    vp_cancel *fresh = NULL;

    vp_cancel_new(&fresh, NULL);
    pthread_mutex_lock(&s->lock);
    vp_cancel_fire(s->synced.cancel);
    if (fresh) {
        vp_cancel_unref(s->synced.cancel);
        s->synced.cancel = fresh;
    }
    s->synced.interrupting++; /* nothing that has ended is freed meanwhile */
    for (vpi_s3_sink_object *o; (o = not_stopped_synced(s)) != NULL;) {
        o->stopped = true;
        pthread_mutex_unlock(&s->lock);
        vpi_s3_writer_stop(o->writer);
        pthread_mutex_lock(&s->lock);
    }
    s->synced.interrupting--;
    pthread_mutex_unlock(&s->lock);
}

static void s3_release(void *user)
{
    vpi_s3_sink *s = user;
    bool forked = vpi_forked(s->s3->fork_mark);

    if (!forked) {
        pthread_mutex_lock(&s->lock);
        while (s->synced.count) vpi_s3_cond_wait(&s->changed, &s->lock);
        pthread_mutex_unlock(&s->lock);
        reap(s, NULL);
    }
    if (s->release && !forked) s->release(s->user);
    vp_cancel_unref(s->synced.cancel);
    vp_store_unref(s->work);
    for (size_t i = 0; i < VPI_COUNT(s->strings); i++) vpi_free(s->strings[i]);
    vpi_free(s->cache_segments);
    vpi_free(s->cache_manifests);
    vpi_free(s->bucket);
    vpi_free(s->prefix);
    if (!forked) {
        pthread_cond_destroy(&s->changed);
        pthread_mutex_destroy(&s->lock);
    }
    vp_s3_unref(s->s3);
    vpi_free(s);
}

static vp_status keep_object(vpi_s3_sink *s, const vp_s3_object *object, vp_error *err)
{
    vpi_buf lines = { 0 };
    const char **fields[10];
    vp_status st;

    VPI_TRY(vpi_s3_object_copy(&s->object, object, err));
    if (s->object.flags) return vpi_fail(err, VP_E_ARG, NULL, "object: flags are for vp_s3_put");
    st = vpi_s3_object_lines(&s->object, &lines, err);
    vpi_buf_dispose(&lines);
    fields[0] = &s->object.content_type, fields[1] = &s->object.cache_control;
    fields[2] = &s->object.content_encoding, fields[3] = &s->object.content_disposition;
    fields[4] = &s->object.storage_class, fields[5] = &s->object.acl, fields[6] = &s->object.tags;
    fields[7] = &s->object.sse, fields[8] = &s->object.sse_key, fields[9] = &s->object.headers;
    for (size_t i = 0; i < 10; i++) {
        s->strings[i] = vpi_strdup(*fields[i]);
        if (*fields[i] && !s->strings[i] && st >= 0) st = vpi_fail_nomem(err);
        *fields[i] = s->strings[i];
    }
    return st;
}

static vp_status fill(vpi_s3_sink *s, const vp_sink_s3_options *o, vp_error *err)
{
    size_t n = o->prefix ? strlen(o->prefix) : 0;

    while (n && o->prefix[n - 1] == '/') n--;
    s->flags = o->flags;
    s->bucket = vpi_strdup(o->bucket);
    s->prefix = n ? vpi_asprintf("%.*s/", (int)n, o->prefix) : vpi_strdup("");
    s->cache_segments = vpi_strdup(o->cache_segments);
    s->cache_manifests = vpi_strdup(o->cache_manifests);
    if (!s->bucket || !s->prefix || (o->cache_segments && !s->cache_segments) ||
        (o->cache_manifests && !s->cache_manifests))
        return vpi_fail_nomem(err);
    VPI_TRY(vp_cancel_new(&s->synced.cancel, err));
    return keep_object(s, o->object, err);
}

vp_status vp_sink_s3(vp_s3 *s3, const vp_sink_s3_options *options, vp_sink **out, vp_error *err)
{
    static const vpi_sink_extra none = { 0 };
    vp_sink_s3_options o = VP_SINK_S3_OPTIONS_INIT;
    vp_sink_ops ops = VP_SINK_OPS_INIT;
    vpi_s3_sink *s;
    vp_status st;

    vpi_error_reset(err);
    if (!s3 || !out) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    if (o.flags & ~VP_SINK_S3_GZIP) return vpi_fail(err, VP_E_ARG, NULL, "flags: unknown ones");
    VPI_TRY(vpi_s3_bucket_check(o.bucket, NULL, err));
    s = vpi_calloc(1, sizeof(*s));
    if (!s) return vpi_fail_nomem(err);
    pthread_mutex_init(&s->lock, NULL);
    vpi_cond_init(&s->changed);
    s->s3 = vp_s3_ref(s3);
    s->work = vp_store_ref(o.work);
    st = fill(s, &o, err);
    s->headers = o.headers;
    s->user = o.user;
    ops.begin = s3_begin;
    ops.write = s3_write;
    ops.commit = s3_commit;
    ops.abort = s3_abort;
    ops.flush = s3_flush;
    ops.stat = vpi_s3_sink_stat;
    ops.list = vpi_s3_sink_list;
    ops.open = vpi_s3_sink_open;
    ops.remove = vpi_s3_sink_remove;
    ops.interrupt = s3_interrupt;
    ops.release = s3_release;
    if (st >= 0) st = vpi_context_check(s3->context, err);
    if (st >= 0) st = vpi_sink_new_internal(s3->context, &ops, &none, s, out, err);
    if (st < 0) {
        s3_release(s);
        return st;
    }
    s->release = o.release; /* not on failure */
    return VP_OK;
}
