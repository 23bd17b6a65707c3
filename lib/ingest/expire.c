/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Removing, listing, and what time removes. */

#include "ingest/store_int.h"

#define REMEMBER_US (INT64_C(86400) * 1000000)
#define MARK_US 1 /* when a removal expires that did not come to its end */

/* ---- removing ---- */

vp_status vpi_upload_remove_synced(vp_upload *upload, vp_error *err)
{
    vpi_record *r = &upload->rec;
    vp_ingest *s = upload->ingest;
    uint64_t occupied = vpi_quota_of(r), mark = vpi_quota_mark(s);
    bool waiting = r->state == VP_UPLOAD_WAITING;
    char hex[65];
    vp_status st;

    VPI_TRY(vpi_upload_wait_behind_synced(upload, err));
    vpi_hex(r->sha256, sizeof(r->sha256), hex);
    if (!s->back.ops->growing) {
        /* A crash in between leaves a mark that the next removal or time removes. */
        r->state = VPI_UPLOAD_GONE;
        r->expires_us = MARK_US;
        VPI_TRY(vpi_upload_put_synced(upload, err));
        vpi_quota_give(s, occupied, mark); /* who counts anew counts it no more */
        occupied = 0;
    }
    st = s->back.ops->remove(upload->item, &r->token, r->scope ? r->scope : "", r->has_sha256 ? hex : NULL,
                             err);
    if (st < 0) return st;
    if (waiting && s->back.ops->waiting) (void)s->back.ops->waiting(s->back.user, r->id, false, NULL);
    vpi_quota_give(s, occupied, mark);
    vpi_ingest_event(s, VP_EVENT_UPLOAD_REMOVED, r, r->offset);
    return VP_OK;
}

/* Where each change of a file needs room (btrfs) an upload cannot be taken; what frees some must do without that. */
static bool is_full(const vp_error *err)
{
    return strcmp(err->reason, "DISK_FULL") == 0;
}

vp_status vp_ingest_remove(vp_ingest *ingest, const char *id, vp_error *err)
{
    vp_upload *u = NULL;
    vp_status st;

    vp_error_init(err);
    VPI_TRY(vpi_ingest_check(ingest, err));
    VPI_TRY(vpi_ingest_id(id, err));
    st = vpi_upload_take(ingest, id, VPI_TAKE_GONE, &u, err);
    if (st == VP_OK) {
        pthread_mutex_lock(&u->lock);
        /* Of one that expired the id is known for its day. */
        if (u->rec.state != VPI_UPLOAD_GONE || u->rec.expires_us == MARK_US)
            st = vpi_upload_remove_synced(u, err);
        pthread_mutex_unlock(&u->lock);
        vpi_upload_leave(u, false);
    } else if (st == VP_END) {
        vp_error_init(err);
        st = VP_OK;
    } else if (st == VP_E_DATA || is_full(err)) {
        vp_error_init(err);
        st = ingest->back.ops->destroy(ingest->back.user, id, err);
    }
    if (st < 0) {
        vpi_error_op(err, "ingest.remove");
        vpi_error_key(err, id);
    }
    return st;
}

/* ---- lists ---- */

typedef struct listing {
    vp_ingest *ingest;
    vp_upload_fn fn;
    void *user;
    vp_status stopped;
    vp_cancel *cancel;
    int64_t now;
    uint64_t count;
    vp_error *err;
} listing;

static vp_status list_one(void *user, const char *id)
{
    listing *l = user;
    vpi_record r = { 0 };
    vp_upload_info info;
    vp_status st = vpi_ingest_look(l->ingest, id, &r, l->err);

    if (st == VP_END || st == VP_E_DATA) {
        /* Gone meanwhile, or nothing can be said of it: the others are listed all the same. */
        vp_error_init(l->err);
        return VP_OK;
    }
    if (st < 0) return st;
    vpi_ingest_info(&r, &info);
    vpi_record_dispose(&r);
    l->stopped = l->fn(l->user, &info);
    return l->stopped;
}

vp_status vp_ingest_list(vp_ingest *ingest, vp_upload_fn fn, void *user, vp_error *err)
{
    listing l = { .ingest = ingest, .fn = fn, .user = user, .err = err };
    vp_status st;

    vp_error_init(err);
    if (!fn) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    VPI_TRY(vpi_ingest_check(ingest, err));
    st = ingest->back.ops->list(ingest->back.user, list_one, &l, err);
    if (l.stopped != VP_OK) {
        if (l.stopped < 0) vpi_fail_host(err, l.stopped, "list");
        return l.stopped;
    }
    if (st < 0) vpi_error_op(err, "ingest.list");
    return st;
}

/* ---- time ---- */

/* The bytes go, the id is remembered: a record that is put first, so that a crash leaves something to go on with. */
static vp_status expire_synced(vp_upload *u, int64_t now, vp_error *err)
{
    vpi_record *r = &u->rec;
    vp_ingest *s = u->ingest;
    uint64_t occupied = vpi_quota_of(r), mark = vpi_quota_mark(s);
    bool waiting = r->state == VP_UPLOAD_WAITING;
    vp_status st;

    r->state = VPI_UPLOAD_GONE;
    r->expires_us = now + REMEMBER_US;
    VPI_TRY(vpi_upload_put_synced(u, err));
    st = s->back.ops->remove_data(u->item, &r->token, r->scope ? r->scope : "", NULL, err);
    if (waiting && s->back.ops->waiting) (void)s->back.ops->waiting(s->back.user, r->id, false, NULL);
    vpi_quota_give(s, occupied, mark);
    vpi_ingest_event(s, VP_EVENT_UPLOAD_EXPIRED, r, r->offset);
    return st;
}

/* Again with the upload in hand: it may have grown since it was looked at. */
static vp_status expire_taken(listing *l, vp_upload *u)
{
    vp_status st = VP_OK;

    pthread_mutex_lock(&u->lock);
    if (u->rec.state == VPI_UPLOAD_GONE && vpi_record_due(&u->rec, l->now)) {
        st = l->ingest->back.ops->remove(u->item, &u->rec.token, u->rec.scope ? u->rec.scope : "", NULL,
                                         l->err);
    } else if (vpi_record_due(&u->rec, l->now)) {
        st = expire_synced(u, l->now, l->err);
        if (st == VP_OK) l->count++;
    }
    pthread_mutex_unlock(&u->lock);
    vpi_upload_leave(u, false);
    return st;
}

/* It is not remembered. */
static vp_status expire_full(listing *l, const vpi_record *r)
{
    vp_ingest *s = l->ingest;
    uint64_t occupied = vpi_quota_of(r), mark = vpi_quota_mark(s);

    vp_error_init(l->err);
    VPI_TRY(s->back.ops->destroy(s->back.user, r->id, l->err));
    vpi_quota_give(s, occupied, mark);
    if (r->state == VPI_UPLOAD_GONE) return VP_OK;
    vpi_ingest_event(s, VP_EVENT_UPLOAD_EXPIRED, r, r->offset);
    l->count++;
    return VP_OK;
}

static vp_status expire_one(void *user, const char *id)
{
    listing *l = user;
    vpi_record r = { 0 };
    vpi_buf bytes = { 0 };
    vp_upload *u = NULL;
    uint64_t fence;
    vp_status st;

    VPI_TRY(vpi_cancel_check(l->cancel, l->err));
    VPI_TRY(vpi_context_check(l->ingest->context, l->err));
    st = l->ingest->back.ops->look(l->ingest->back.user, id, &bytes, &fence, l->err);
    if (st == VP_OK) st = vpi_record_read(&r, id, bytes.data, bytes.size, l->err);
    vpi_buf_dispose(&bytes);
    if (st == VP_OK && vpi_record_due(&r, l->now)) {
        st = vpi_upload_take(l->ingest, id, VPI_TAKE_IDLE | VPI_TAKE_GONE | VPI_TAKE_DUE, &u, l->err);
        if (st == VP_OK)
            st = expire_taken(l, u);
        else if (st < 0 && is_full(l->err))
            st = expire_full(l, &r);
    }
    vpi_record_dispose(&r);
    if (st == VP_E_NOMEM) return st;
    /* One that cannot be removed must not keep the others. */
    if (st < 0 && l->err) {
        vpi_log(l->ingest->context, VP_LOG_WARN, "ingest", "upload %s could not be looked at for expiry: %s",
                id, l->err->message);
    }
    vp_error_init(l->err);
    return VP_OK;
}

vp_status vp_ingest_expire(vp_ingest *ingest, vp_cancel *cancel, uint64_t *count, vp_error *err)
{
    vp_error e = VP_ERROR_INIT;
    listing l = { .ingest = ingest, .cancel = cancel, .err = &e };
    vp_status st;

    vp_error_init(err);
    if (count) *count = 0;
    VPI_TRY(vpi_ingest_check(ingest, err));
    l.now = vpi_ingest_now(ingest);
    st = ingest->back.ops->list(ingest->back.user, expire_one, &l, &e);
    if (st == VP_OK && ingest->back.ops->tidy) ingest->back.ops->tidy(ingest->back.user, l.now, cancel);
    if (count) *count = l.count;
    if (st < 0) {
        vpi_error_op(&e, "ingest.expire");
        vpi_error_copy(err, &e);
    }
    return st;
}
