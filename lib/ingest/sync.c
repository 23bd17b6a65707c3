/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What makes bytes count: the data first, then the record that says so. */

#include "ingest/store_int.h"

#define TELL_US 100000

/* What a sync is going to confirm. */
typedef struct state {
    uint64_t offset;
    vpi_digest hash, declared;
    vpi_ranges ranges;
} state;

static vp_status snapshot(const vp_upload *u, state *s, vp_error *err)
{
    *s = (state){ .offset = u->counted, .hash = u->hash, .declared = u->declared };
    if (!vpi_ranges_copy(&s->ranges, &u->ranges)) return vpi_fail_nomem(err);
    return VP_OK;
}

/* open: without the lock meanwhile, so that an append need not wait for it. */
static vp_status put_record(vp_upload *u, const vpi_record *r, bool open, vp_error *err)
{
    vpi_buf bytes = { 0 };
    vp_status st = VP_OK;

    vpi_record_write(r, &bytes);
    if (bytes.failed) st = vpi_fail_nomem(err);
    if (open) pthread_mutex_unlock(&u->lock);
    if (st == VP_OK) st = u->ingest->back.ops->put(u->item, bytes.data, bytes.size, err);
    if (open) pthread_mutex_lock(&u->lock);
    vpi_buf_dispose(&bytes);
    if (st < 0) vpi_upload_fail_synced(u, err);
    return st;
}

vp_status vpi_upload_put_synced(vp_upload *upload, vp_error *err)
{
    return put_record(upload, &upload->rec, false, err);
}

vp_status vpi_upload_wait_behind_synced(vp_upload *upload, vp_error *err)
{
    while (upload->behind) pthread_cond_wait(&upload->idle, &upload->lock);
    return vpi_upload_usable_synced(upload, err);
}

static void progress_synced(vp_upload *upload)
{
    const vpi_record *r = &upload->rec;
    int64_t now;

    if (!upload->ingest->o.queue && !upload->ingest->o.event) return;
    now = vpi_now_us();
    if (upload->told_us && now - upload->told_us < TELL_US && r->offset != r->length) return;
    upload->told_us = now;
    vpi_ingest_event(upload->ingest, VP_EVENT_UPLOAD_PROGRESS, r, r->offset);
}

/*
 * The data of s are durable: the record says so. Takes what s holds. behind: the lock is open meanwhile; whoever
 * changes the record waits until nothing runs behind.
 */
static vp_status confirm_synced(vp_upload *u, state *s, vpi_buf *token, bool behind, vp_error *err)
{
    vpi_record next = u->rec, *r = &u->rec;
    bool moved = s->offset != r->offset || s->ranges.count > 0;
    vp_status st;

    next.offset = s->offset;
    next.hash = s->hash;
    next.declared = s->declared;
    next.ranges = s->ranges;
    next.token = *token;
    vpi_record_renew(&next, vpi_ingest_now(u->ingest));
    st = put_record(u, &next, behind, err);
    if (st != VP_OK) return st;
    s->ranges = r->ranges;
    *token = r->token;
    *r = next;
    if (moved) progress_synced(u);
    return st;
}

/* Bytes that came and are not in the record. */
static uint64_t pending(const vp_upload *u)
{
    if (u->rec.flags & VP_UPLOADF_ANY_ORDER)
        return vpi_ranges_sum(&u->ranges) - vpi_ranges_sum(&u->rec.ranges);
    return u->counted - u->rec.offset;
}

void vpi_upload_save_synced(vp_upload *upload)
{
    vp_error ignored = VP_ERROR_INIT;

    if (pending(upload) > 0) (void)vpi_upload_sync_synced(upload, &ignored);
}

vp_status vpi_upload_sync_synced(vp_upload *upload, vp_error *err)
{
    vpi_buf token = { 0 };
    state s = { 0 };
    vp_status st;

    VPI_TRY(vpi_upload_wait_behind_synced(upload, err));
    VPI_TRY(vpi_gather_flush_synced(upload, err));
    /* Where it costs no request, also an answer about nothing must not come from a handle that was taken over. */
    if (pending(upload) == 0)
        return upload->ingest->back.ops->overlap ? upload->ingest->back.ops->check(upload->item, err) : VP_OK;
    VPI_TRY(snapshot(upload, &s, err));
    st = upload->ingest->back.ops->sync_data(upload->item, &token, err);
    if (st < 0) {
        vpi_upload_fail_synced(upload, err);
    } else {
        st = confirm_synced(upload, &s, &token, false, err);
    }
    vpi_ranges_dispose(&s.ranges);
    vpi_buf_dispose(&token);
    return st;
}

static bool whole_part(const vp_upload *u)
{
    return (u->rec.flags & VP_UPLOADF_PARTIAL) && u->rec.offset == u->rec.length;
}

/* Lets go of the lock around the work that a whole part sets off elsewhere. */
static void wake_concatenations_synced(vp_upload *u, bool was_whole)
{
    if (was_whole || !whole_part(u)) return;
    pthread_mutex_unlock(&u->lock);
    vpi_concat_wake(u->ingest, u->rec.id);
    pthread_mutex_lock(&u->lock);
}

vp_status vp_upload_sync(vp_upload *upload, vp_error *err)
{
    vp_error e = VP_ERROR_INIT;
    vp_status st;
    bool whole;

    vp_error_init(err);
    VPI_TRY(vpi_upload_enter(upload, &e, err));
    whole = whole_part(upload);
    st = vpi_upload_sync_synced(upload, &e);
    if (st == VP_OK) wake_concatenations_synced(upload, whole);
    return vpi_upload_exit(upload, st, "upload.sync", &e, err);
}

/* ---- behind the caller ---- */

/* The same and what is under way, for which a sync behind waits. */
static uint64_t coming(const vp_upload *u)
{
    if (u->rec.flags & VP_UPLOADF_ANY_ORDER) return pending(u);
    return vpi_gather_reach_synced(u) - u->rec.offset;
}

bool vpi_upload_behind_waits_synced(const vp_upload *upload, size_t size)
{
    return upload->behind && (coming(upload) + size) / 2 >= upload->ingest->o.sync_bytes;
}

/* Half of its time is over, and others can only see by the record that bytes come. */
static bool ages(const vp_upload *u)
{
    const vpi_record *r = &u->rec;

    return !u->ingest->back.ops->overlap && r->expire_ms && coming(u) > 0 &&
           vpi_ingest_now(u->ingest) >= r->expires_us - (int64_t)r->expire_ms * 500;
}

vp_status vpi_upload_behind_synced(vp_upload *upload, vp_error *err)
{
    uint64_t window = upload->ingest->o.sync_bytes;

    if (coming(upload) < window && !ages(upload)) return VP_OK;
    if (!upload->ingest->back.ops->overlap) return vpi_upload_sync_synced(upload, err);
    if (vpi_upload_behind_waits_synced(upload, 0)) VPI_TRY(vpi_upload_wait_behind_synced(upload, err));
    if (upload->behind || coming(upload) < window) return VP_OK;
    /* Without a thread the bytes wait for the next sync. */
    upload->behind = vpi_ingest_pool_add(upload->ingest, upload, VPI_START_BEHIND, NULL) == VP_OK;
    return VP_OK;
}

static void run_behind(vp_upload *u)
{
    vp_error e = VP_ERROR_INIT;
    vpi_buf token = { 0 };
    state s = { 0 };
    vp_status st;

    vpi_gather_wait(u);
    pthread_mutex_lock(&u->lock);
    vpi_gather_settle_synced(u);
    st = u->taken || u->failure.status < 0 ? VP_END : snapshot(u, &s, &e);
    if (st == VP_OK) {
        pthread_mutex_unlock(&u->lock);
        st = u->ingest->back.ops->sync_data(u->item, &token, &e);
        pthread_mutex_lock(&u->lock);
        if (st < 0) {
            vpi_upload_fail_synced(u, &e);
        } else if (u->failure.status >= 0) {
            /* Of a small one the put writes the bytes too, or what is in the same file: no write beside it. */
            (void)confirm_synced(u, &s, &token, u->rec.length > VPI_SMALL, &e);
        }
    }
    u->behind = false;
    pthread_cond_broadcast(&u->idle);
    pthread_mutex_unlock(&u->lock);
    vpi_ranges_dispose(&s.ranges);
    vpi_buf_dispose(&token);
}

/* ---- starts ---- */

static void tell_start(vp_upload *u, vp_status st, const vp_error *e, vp_queue *queue, uint64_t tag,
                       void **room)
{
    vp_event event;

    vp_event_init(&event, sizeof(event));
    event.kind = VP_EVENT_UPLOAD_SYNCED;
    event.status = st;
    event.tag = tag;
    event.done = u->rec.offset;
    event.total = u->rec.length;
    vpi_strlcpy(event.unit, "bytes", sizeof(event.unit));
    vpi_strlcpy(event.key, u->rec.id, sizeof(event.key));
    if (st < 0) {
        event.retryable = e->flags & VP_ERRF_RETRYABLE ? 1 : 0;
        vpi_strlcpy(event.reason, e->reason, sizeof(event.reason));
        vpi_strlcpy(event.op, e->op, sizeof(event.op));
        vpi_strlcpy(event.text, e->message, sizeof(event.text));
    }
    vpi_queue_put(queue, u, &event, room);
}

static const char *const start_names[] = { [VPI_START_SYNC] = "upload.sync",
                                           [VPI_START_FINISH] = "upload.finish",
                                           [VPI_START_APPEND] = "upload.append" };

static vp_status run_synced(vp_upload *u, int kind, vp_error *err)
{
    if (kind == VPI_START_SYNC) return vpi_upload_sync_synced(u, err);
    if (kind == VPI_START_FINISH) return vpi_upload_finish_synced(u, err);
    return vpi_upload_append_synced(u, u->start.piece.offset, u->start.piece.data, u->start.piece.size, err);
}

static void run_start(vp_upload *u, int kind)
{
    vp_error e = VP_ERROR_INIT;
    vp_status st = VP_OK;
    vp_queue *queue;
    bool whole;

    pthread_mutex_lock(&u->lock);
    whole = whole_part(u);
    u->start.running = true;
    st = vpi_upload_usable_synced(u, &e);
    if (st == VP_OK) st = run_synced(u, kind, &e);
    if (st < 0) vpi_error_op(&e, start_names[kind]);
    if (st == VP_OK) wake_concatenations_synced(u, whole);
    queue = u->start.queue;
    /* Under the lock: a close that waits for this must not overtake the event. */
    tell_start(u, st, &e, queue, u->start.tag, &u->start.room);
    vpi_free(u->start.room);
    memset(&u->start, 0, sizeof(u->start));
    pthread_cond_broadcast(&u->idle);
    pthread_mutex_unlock(&u->lock);
    vp_queue_unref(queue);
}

void vpi_upload_run(vp_upload *upload, int kind)
{
    if (kind == VPI_START_BEHIND)
        run_behind(upload);
    else
        run_start(upload, kind);
}

static vp_status start(vp_upload *u, int kind, vpi_piece piece, vp_queue *queue, uint64_t tag, vp_error *err)
{
    vp_error e = VP_ERROR_INIT;
    vp_status st;

    vp_error_init(err);
    if (!queue) return vpi_fail(err, VP_E_ARG, NULL, "no queue");
    VPI_TRY(vpi_upload_enter(u, &e, err));
    u->start.room = vpi_queue_room();
    if (!u->start.room) {
        st = vpi_fail_nomem(&e);
    } else {
        u->start.kind = kind;
        u->start.piece = piece;
        u->start.queue = vp_queue_ref(queue);
        u->start.tag = tag;
        st = vpi_ingest_pool_add(u->ingest, u, kind, &e);
        if (st < 0) {
            vp_queue_unref(queue);
            vpi_free(u->start.room);
            memset(&u->start, 0, sizeof(u->start));
        }
    }
    return vpi_upload_exit(u, st, "upload.start", &e, err);
}

vp_status vp_upload_sync_start(vp_upload *upload, vp_queue *queue, uint64_t tag, vp_error *err)
{
    return start(upload, VPI_START_SYNC, (vpi_piece){ 0 }, queue, tag, err);
}

vp_status vp_upload_finish_start(vp_upload *upload, vp_queue *queue, uint64_t tag, vp_error *err)
{
    return start(upload, VPI_START_FINISH, (vpi_piece){ 0 }, queue, tag, err);
}

vp_status vp_upload_append_start(vp_upload *upload, uint64_t offset, const void *data, size_t size,
                                 vp_queue *queue, uint64_t tag, vp_error *err)
{
    vp_status st;

    vp_error_init(err);
    if (!queue || (!data && size > 0)) return vpi_fail(err, VP_E_ARG, NULL, "no queue or no data");
    st = vpi_upload_append_now(upload, offset, data, size, err);
    if (st != VP_AGAIN) return st;
    st = start(upload, VPI_START_APPEND, (vpi_piece){ offset, data, size }, queue, tag, err);
    return st == VP_OK ? VP_AGAIN : st;
}
