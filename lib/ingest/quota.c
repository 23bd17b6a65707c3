/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What uploads may come to occupy, together. */

#include "ingest/store_int.h"

uint64_t vpi_quota_of(const vpi_record *r)
{
    if (r->state == VPI_UPLOAD_GONE) return 0;
    return r->length != VP_SIZE_UNKNOWN ? r->length : VPI_MAX(r->reserved, r->offset);
}

typedef struct counting {
    vp_ingest *ingest;
    uint64_t sum;
    vp_error *err;
} counting;

/* What can never be read must not keep everybody off; what only cannot now is no reason to count too little. */
static vp_status count_one(void *user, const char *id)
{
    counting *c = user;
    vpi_record r = { 0 };
    vp_error e = VP_ERROR_INIT;
    vp_status st = vpi_ingest_look(c->ingest, id, &r, &e);

    if (st == VP_E_NOMEM || (st < 0 && e.flags & VP_ERRF_RETRYABLE)) {
        vpi_error_copy(c->err, &e);
        return st;
    }
    if (st == VP_OK && !vpi_add_u64(c->sum, vpi_quota_of(&r), &c->sum)) c->sum = UINT64_MAX;
    vpi_record_dispose(&r);
    return VP_OK;
}

static vp_status exceeded(vp_ingest *s, uint64_t bytes, vp_error *err)
{
    return vpi_fail(err, VP_E_LIMIT, "QUOTA_EXCEEDED", "%llu more bytes are above the quota of %llu",
                    (unsigned long long)bytes, (unsigned long long)s->o.quota);
}

static vp_status recount(void *user, uint64_t *sum, vp_error *err)
{
    counting c = { user, 0, err };

    VPI_TRY(c.ingest->back.ops->list(c.ingest->back.user, count_one, &c, err));
    *sum = c.sum;
    return VP_OK;
}

/* ---- where the back end does not count ---- */

static vp_status count_first_synced(vp_ingest *s, vp_error *err)
{
    uint64_t sum = 0;
    vp_status st;

    if (s->synced.counted) return VP_OK;
    pthread_mutex_unlock(&s->lock);
    st = recount(s, &sum, err);
    pthread_mutex_lock(&s->lock);
    if (st != VP_OK) return st;
    if (!s->synced.counted) s->synced.occupied += sum;
    s->synced.counted = true;
    return VP_OK;
}

/*
 * Other processes remove uploads that were counted here. Not while a record may be missing, nor for more than a tenth
 * of the time: whoever is refused may come again at once.
 */
static vp_status count_again_synced(vp_ingest *s, vp_error *err)
{
    int64_t began = vpi_now_us(), now;
    uint64_t sum = 0;
    vp_status st;

    if (s->synced.counting || s->synced.unsettled > 0 || began < s->synced.count_us) return VP_OK;
    s->synced.counting = true;
    s->synced.came = 0;
    pthread_mutex_unlock(&s->lock);
    st = recount(s, &sum, err);
    now = vpi_now_us();
    pthread_mutex_lock(&s->lock);
    s->synced.counting = false;
    s->synced.count_us = now + 9 * (now - began);
    if (st != VP_OK) return st;
    if (!vpi_add_u64(sum, s->synced.came, &s->synced.occupied)) s->synced.occupied = UINT64_MAX;
    return VP_OK;
}

static bool fits_synced(const vp_ingest *s, uint64_t bytes)
{
    return s->synced.occupied <= s->o.quota && bytes <= s->o.quota - s->synced.occupied;
}

static vp_status take_synced(vp_ingest *s, uint64_t bytes, intptr_t *hold, vp_error *err)
{
    VPI_TRY(count_first_synced(s, err));
    if (!fits_synced(s, bytes)) VPI_TRY(count_again_synced(s, err));
    if (!fits_synced(s, bytes)) return exceeded(s, bytes, err);
    s->synced.occupied += bytes;
    s->synced.came += bytes;
    s->synced.unsettled++;
    *hold = 1;
    return VP_OK;
}

/* ---- for all ---- */

vp_status vpi_quota_take(vp_ingest *ingest, uint64_t bytes, intptr_t *hold, vp_error *err)
{
    bool fits;
    vp_status st;

    *hold = 0;
    if (ingest->o.quota == 0 || bytes == 0) return VP_OK;
    if (bytes > ingest->o.quota) return exceeded(ingest, bytes, err);
    if (ingest->back.ops->quota_take) {
        VPI_TRY(ingest->back.ops->quota_take(ingest->back.user, bytes, ingest->o.quota, recount, ingest, hold,
                                             &fits, err));
        return fits ? VP_OK : exceeded(ingest, bytes, err);
    }
    pthread_mutex_lock(&ingest->lock);
    st = take_synced(ingest, bytes, hold, err);
    pthread_mutex_unlock(&ingest->lock);
    return st;
}

void vpi_quota_settle(vp_ingest *ingest, intptr_t hold)
{
    if (!hold) return;
    if (ingest->back.ops->quota_settle) {
        ingest->back.ops->quota_settle(ingest->back.user, hold);
        return;
    }
    pthread_mutex_lock(&ingest->lock);
    ingest->synced.unsettled--;
    pthread_mutex_unlock(&ingest->lock);
}

uint64_t vpi_quota_mark(vp_ingest *ingest)
{
    if (ingest->o.quota == 0 || !ingest->back.ops->quota_mark) return 0;
    return ingest->back.ops->quota_mark(ingest->back.user);
}

void vpi_quota_undo(vp_ingest *ingest, uint64_t bytes, intptr_t hold)
{
    uint64_t mark = vpi_quota_mark(ingest); /* nobody counts before it is settled */

    vpi_quota_settle(ingest, hold);
    vpi_quota_give(ingest, bytes, mark);
}

void vpi_quota_give(vp_ingest *ingest, uint64_t bytes, uint64_t mark)
{
    if (ingest->o.quota == 0 || bytes == 0) return;
    if (ingest->back.ops->quota_give) {
        ingest->back.ops->quota_give(ingest->back.user, bytes, mark);
        return;
    }
    pthread_mutex_lock(&ingest->lock);
    ingest->synced.occupied -= VPI_MIN(bytes, ingest->synced.occupied);
    pthread_mutex_unlock(&ingest->lock);
}
