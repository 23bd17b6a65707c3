/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store: options, the handles that are open here, events, looking. */

#include <stdio.h>
#include <time.h>

#include "base/build.h"
#include "base/hash.h"
#include "ingest/ingest.h"
#include "ingest/store_int.h"

#define SYNC_BYTES (UINT64_C(8) << 20)
#define SYNC_THREADS 4u
#define LOCK_WAIT_MS 2000u
#define LOCK_WAIT_MAX 600000u
#define EXPIRE_MAX (UINT64_C(1000) * 86400 * 36500)
#define ALL_FLAGS (VP_INGESTF_VOLATILE | VP_INGESTF_NO_DEDUP | VP_INGESTF_NO_DIGEST)

int vpi_ingest_feature(void)
{
    return 1;
}

/* ---- making one ---- */

static vp_status read_options(const vp_ingest_options *options, vp_ingest_options *o, vp_error *err)
{
    VPI_TRY(vpi_copy_struct(o, sizeof(*o), options, err));
    if (o->flags & ~ALL_FLAGS) return vpi_fail(err, VP_E_ARG, NULL, "unknown flags of a store of uploads");
    if (o->sync_threads > VPI_INGEST_THREADS_MAX)
        return vpi_fail(err, VP_E_ARG, NULL, "sync_threads is above %u", VPI_INGEST_THREADS_MAX);
    if (o->lock_wait_ms > LOCK_WAIT_MAX || o->expire_ms > EXPIRE_MAX)
        return vpi_fail(err, VP_E_ARG, NULL, "a time is too long");
    if (o->flags & VP_INGESTF_NO_DIGEST) o->flags |= VP_INGESTF_NO_DEDUP;
    if (o->sync_bytes == 0) o->sync_bytes = SYNC_BYTES;
    if (o->sync_threads == 0) o->sync_threads = SYNC_THREADS;
    if (o->lock_wait_ms == 0) o->lock_wait_ms = LOCK_WAIT_MS;
    return VP_OK;
}

static void wake(void *arg)
{
    vp_ingest *s = arg;

    if (s->back.ops && s->back.ops->interrupt) s->back.ops->interrupt(s->back.user);
}

static void dispose(vp_ingest *s)
{
    bool forked = vpi_forked(s->fork_mark);

    vpi_hook_remove(s->context, &s->hook);
    vpi_threads_free(s->pool);
    vpi_gather_pool_free(s->gather, forked);
    if (s->back.ops) s->back.ops->release(s->back.user);
    vp_queue_unref(s->o.queue);
    if (!forked) pthread_mutex_destroy(&s->lock);
    vp_context_unref(s->context);
    vpi_free(s);
}

/* Without a back end yet. */
static vp_status store_new(vp_context *context, const vp_ingest_options *options, vp_ingest **out,
                           vp_error *err)
{
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_ingest *s;
    vp_status st;

    VPI_TRY(vpi_context_check(context, err));
    VPI_TRY(read_options(options, &o, err));
    s = vpi_calloc(1, sizeof(*s));
    if (!s) return vpi_fail_nomem(err);
    atomic_init(&s->refs, 1);
    s->context = vp_context_ref(context);
    s->fork_mark = vpi_fork_mark();
    s->o = o;
    vp_queue_ref(s->o.queue);
    pthread_mutex_init(&s->lock, NULL);
    s->hook.fn = wake;
    s->hook.arg = s;
    st = vpi_threads_new(context, o.sync_threads, "vp-ingest", &s->pool, err);
    if (st < 0) {
        dispose(s);
        return st;
    }
    *out = s;
    return VP_OK;
}

/* The back end is there: now a close may interrupt it. On failure the caller's hold on it is kept. */
static vp_status store_ready(vp_ingest *s, vp_ingest **out, vp_error *err)
{
    vp_status st = vpi_hook_add(s->context, &s->hook, err);

    if (st < 0) {
        dispose(s);
        return st;
    }
    *out = s;
    return VP_OK;
}

vp_status vp_ingest_directory(vp_context *context, const char *path, const vp_ingest_options *options,
                              vp_ingest **out, vp_error *err)
{
    vp_ingest *s = NULL;
    vp_status st;

    vp_error_init(err);
    if (!out || !path) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(store_new(context, options, &s, err));
    st = vpi_back_directory(s->context, path, s->o.flags & VP_INGESTF_VOLATILE, s->o.lock_wait_ms, &s->back,
                            err);
    if (st == VP_OK) st = vpi_gather_pool_new(s->context, &s->gather, err);
    if (st == VP_OK) return store_ready(s, out, err);
    dispose(s);
    return st;
}

vp_status vpi_ingest_new(vp_context *context, const vp_ingest_ops *ops, void *user, bool host,
                         const vp_ingest_options *options, vp_ingest **out, vp_error *err)
{
    vp_ingest *s = NULL;
    vp_status st;

    VPI_TRY(store_new(context, options, &s, err));
    st = vpi_back_host(s->context, ops, user, host, &s->back, err);
    if (st == VP_OK) st = vpi_hook_add(s->context, &s->hook, err);
    if (st < 0) {
        if (s->back.ops) vpi_back_host_forget(&s->back);
        dispose(s);
        return st;
    }
    *out = s;
    return VP_OK;
}

vp_status vp_ingest_new(vp_context *context, const vp_ingest_ops *ops, void *user,
                        const vp_ingest_options *options, vp_ingest **out, vp_error *err)
{
    vp_ingest_ops o = VP_INGEST_OPS_INIT;

    vp_error_init(err);
    if (!out || !ops) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), ops, err));
    return vpi_ingest_new(context, &o, user, true, options, out, err);
}

vp_ingest *vp_ingest_ref(vp_ingest *ingest)
{
    if (ingest) atomic_fetch_add_explicit(&ingest->refs, 1, memory_order_relaxed);
    return ingest;
}

vp_ingest *vp_ingest_unref(vp_ingest *ingest)
{
    if (!ingest || atomic_fetch_sub_explicit(&ingest->refs, 1, memory_order_acq_rel) != 1) return NULL;
    dispose(ingest);
    return NULL;
}

/* ---- small answers ---- */

vp_status vpi_ingest_check(vp_ingest *ingest, vp_error *err)
{
    if (!ingest) return vpi_fail(err, VP_E_ARG, NULL, "no store of uploads");
    return vpi_context_check(ingest->context, err);
}

int64_t vpi_ingest_now(vp_ingest *ingest)
{
    struct timespec t = { 0, 0 };

    if (ingest->o.now_us) return ingest->o.now_us(ingest->o.now_user);
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

vp_status vpi_ingest_id(const char *id, vp_error *err)
{
    if (!id) return vpi_fail(err, VP_E_ARG, NULL, "no id");
    if (vpi_upload_id_valid(id, strnlen(id, VP_UPLOAD_ID_MAX + 1))) return VP_OK;
    return vpi_fail(err, VP_E_ARG, NULL, "not an id of an upload: letters, digits, '-' and '_', at most %d",
                    VP_UPLOAD_ID_MAX);
}

vp_status vpi_ingest_terms(const char *scope, uint64_t expire_ms, vp_error *err)
{
    if (expire_ms > EXPIRE_MAX) return vpi_fail(err, VP_E_ARG, NULL, "a time is too long");
    if (scope && strnlen(scope, VPI_SCOPE_MAX + 1) > VPI_SCOPE_MAX)
        return vpi_fail(err, VP_E_ARG, NULL, "the scope is above %u bytes", VPI_SCOPE_MAX);
    return VP_OK;
}

/* VP_END is no failure, yet its reason is told. */
static vp_status end(const char *reason, const char *id, const char *text, vp_error *err)
{
    if (!err) return VP_END;
    vp_error_init(err);
    vpi_strlcpy(err->reason, reason, sizeof(err->reason));
    vpi_strlcpy(err->key, id, sizeof(err->key));
    vpi_strlcpy(err->message, text, sizeof(err->message));
    return VP_END;
}

vp_status vpi_ingest_unknown(const char *id, vp_error *err)
{
    return end("UPLOAD_UNKNOWN", id, "there is no such upload", err);
}

vp_status vpi_ingest_expired(const char *id, vp_error *err)
{
    return end("UPLOAD_EXPIRED", id, "the upload's time was over", err);
}

/* ---- events ---- */

void vpi_ingest_event(vp_ingest *ingest, int32_t kind, const vpi_record *r, uint64_t done)
{
    vp_event e;

    if (!ingest->o.queue && !ingest->o.event) return;
    vp_event_init(&e, sizeof(e));
    e.kind = kind;
    e.tag = ingest->o.tag;
    e.done = done;
    e.total = r->length;
    vpi_strlcpy(e.unit, "bytes", sizeof(e.unit));
    vpi_strlcpy(e.key, r->id, sizeof(e.key));
    if (ingest->o.queue) vpi_queue_put(ingest->o.queue, ingest, &e, NULL);
    if (ingest->o.event) (void)ingest->o.event(ingest->o.event_user, &e);
}

/* ---- handles that are open here ---- */

static vp_upload **bucket(vp_ingest *s, const char *id)
{
    return &s->synced.open[vpi_crc32c(0, id, strlen(id)) % VPI_INGEST_BUCKETS];
}

static vp_upload **find_synced(vp_ingest *s, const char *id)
{
    vp_upload **at = bucket(s, id);

    while (*at && strcmp((*at)->id, id) != 0) at = &(*at)->next;
    return at;
}

vp_upload *vpi_ingest_find_open(vp_ingest *ingest, const char *id)
{
    vp_upload *u;

    pthread_mutex_lock(&ingest->lock);
    u = *find_synced(ingest, id);
    if (u) atomic_fetch_add(&u->refs, 1);
    pthread_mutex_unlock(&ingest->lock);
    return u;
}

void vpi_ingest_list_open(vp_upload *upload)
{
    vp_ingest *s = upload->ingest;
    vp_upload **at, *other;

    pthread_mutex_lock(&s->lock);
    at = find_synced(s, upload->id);
    other = *at;
    /* Of two that open at the same time the newer counts. */
    if (!other || other->opened < upload->opened) {
        if (other) {
            other->listed = false;
            *at = other->next;
        }
        at = bucket(s, upload->id);
        upload->next = *at;
        upload->listed = true;
        *at = upload;
    }
    pthread_mutex_unlock(&s->lock);
}

void vpi_ingest_unlist(vp_upload *upload)
{
    vp_ingest *s = upload->ingest;
    vp_upload **at;

    pthread_mutex_lock(&s->lock);
    if (upload->listed) {
        for (at = bucket(s, upload->id); *at != upload;) at = &(*at)->next;
        *at = upload->next;
        upload->listed = false;
    }
    pthread_mutex_unlock(&s->lock);
}

/* ---- looking ---- */

vp_status vpi_ingest_look(vp_ingest *ingest, const char *id, vpi_record *r, vp_error *err)
{
    vpi_buf bytes = { 0 };
    uint64_t fence = 0;
    vp_status st = ingest->back.ops->look(ingest->back.user, id, &bytes, &fence, err);

    if (st == VP_OK)
        st = vpi_record_read(r, id, bytes.data, bytes.size, err);
    else if (st == VP_END)
        st = vpi_ingest_unknown(id, err);
    vpi_buf_dispose(&bytes);
    if (st != VP_OK) return st;
    if (fence > 0) r->writes = fence;
    if (r->state != VPI_UPLOAD_GONE) return VP_OK;
    vpi_record_dispose(r);
    return vpi_ingest_expired(id, err);
}

void vpi_ingest_info(const vpi_record *r, vp_upload_info *info)
{
    *info = (vp_upload_info)VP_UPLOAD_INFO_INIT;
    info->state = r->state;
    if (r->state == VP_UPLOAD_OPEN && r->offset == r->length) info->state = VP_UPLOAD_COMPLETE;
    info->flags = r->flags;
    info->shared = r->shared;
    info->length = r->length;
    info->offset = r->offset;
    info->received =
        r->flags & VP_UPLOADF_ANY_ORDER ? VPI_MAX(r->offset, vpi_ranges_sum(&r->ranges)) : r->offset;
    info->created_us = r->created_us;
    info->expires_us = r->state == VP_UPLOAD_FINISHED ? 0 : r->expires_us;
    info->writes = r->writes;
    info->metadata_size = vp_bytes_size(r->metadata);
    vpi_strlcpy(info->id, r->id, sizeof(info->id));
    if (r->has_sha256) vpi_hex(r->sha256, sizeof(r->sha256), info->sha256);
}

vp_status vpi_ingest_give_info(const vpi_record *r, vp_upload_info *info, vp_error *err)
{
    vp_upload_info ours;
    uint32_t size;

    if (!info) return VP_OK;
    size = info->struct_size;
    if (size < sizeof(size)) return vpi_fail(err, VP_E_ARG, NULL, "struct_size is not set");
    vpi_ingest_info(r, &ours);
    memcpy(info, &ours, VPI_MIN((size_t)size, sizeof(ours)));
    info->struct_size = size;
    return VP_OK;
}

vp_status vp_ingest_stat(vp_ingest *ingest, const char *id, vp_upload_info *info, vp_bytes **metadata,
                         vp_error *err)
{
    vpi_record r = { 0 };
    vp_status st;

    vp_error_init(err);
    if (metadata) *metadata = NULL;
    VPI_TRY(vpi_ingest_check(ingest, err));
    VPI_TRY(vpi_ingest_id(id, err));
    st = vpi_ingest_look(ingest, id, &r, err);
    if (st == VP_OK && r.state == VP_UPLOAD_WAITING) {
        /* Its last part may have become whole where nobody told us. */
        st = vpi_concat_try(ingest, id, err);
        vpi_record_dispose(&r);
        if (st > 0) vp_error_init(err);
        if (st >= 0) st = vpi_ingest_look(ingest, id, &r, err);
    }
    if (st == VP_OK) st = vpi_ingest_give_info(&r, info, err);
    if (st == VP_OK && metadata && r.metadata) {
        *metadata = vp_bytes_ref(r.metadata);
    } else if (st == VP_OK && metadata) {
        st = vpi_bytes_copy("", 0, metadata, err);
    }
    vpi_record_dispose(&r);
    if (st < 0) vpi_error_op(err, "ingest.stat");
    return st;
}
