/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handles of uploads: taking and leaving them, bytes in order. */

#include <errno.h>
#include <time.h>

#include "ingest/store_int.h"

/* Bytes are hashed while they are in the processor's cache. */
#define PIECE (256u << 10)
#define QUOTA_STEP (UINT64_C(8) << 20)

/* ---- memory ---- */

vp_status vpi_upload_new(vp_ingest *ingest, vp_upload **out, vp_error *err)
{
    vp_upload *u = vpi_calloc(1, sizeof(*u));

    if (!u) return vpi_fail_nomem(err);
    atomic_init(&u->refs, 1);
    u->ingest = ingest;
    vp_error_init(&u->failure);
    pthread_mutex_init(&u->lock, NULL);
    vpi_cond_init(&u->idle);
    *out = u;
    return VP_OK;
}

vp_upload *vpi_upload_unref(vp_upload *upload)
{
    if (!upload || atomic_fetch_sub_explicit(&upload->refs, 1, memory_order_acq_rel) != 1) return NULL;
    pthread_cond_destroy(&upload->idle);
    pthread_mutex_destroy(&upload->lock);
    vpi_record_dispose(&upload->rec);
    vpi_ranges_dispose(&upload->ranges);
    vpi_ranges_dispose(&upload->check.ranges);
    vpi_free(upload);
    return NULL;
}

static void close_item(vp_upload *u)
{
    vpi_gather_return_synced(u);
    if (u->item) u->ingest->back.ops->close(u->item);
    u->item = NULL;
    u->begun = false;
}

/* ---- taking ---- */

/* Waits until nothing runs behind; false: not in time. */
static bool wait_idle_synced(vp_upload *u, const struct timespec *until)
{
    while (u->behind || u->start.running) {
        if (pthread_cond_timedwait(&u->idle, &u->lock, until) == ETIMEDOUT)
            return !u->behind && !u->start.running;
    }
    return true;
}

/* A lock with a deadline on the monotonic clock, in steps: whoever holds it is in a short call, or hangs in a disk. */
static bool lock_until(pthread_mutex_t *lock, uint32_t wait_ms)
{
    int64_t until = vpi_now_us() + (int64_t)wait_ms * 1000;
    struct timespec step = { 0, 500000 };

    while (pthread_mutex_trylock(lock) != 0) {
        if (vpi_now_us() >= until) return false;
        nanosleep(&step, NULL);
        step.tv_nsec = VPI_MIN(2 * step.tv_nsec, 8000000L);
    }
    return true;
}

/* All that can still be durable is. */
static void settle_synced(vp_upload *u)
{
    vp_error ignored = VP_ERROR_INIT;

    vpi_upload_check_drop_synced(u);
    if (u->failure.status < 0) return;
    (void)vpi_gather_flush_synced(u, &ignored); /* what had room is kept */
    if (u->failure.status >= 0) vpi_upload_save_synced(u);
}

/* An older handle of this process gives up what it holds; what came through it counts. */
static vp_status displace(vp_upload *old, vp_error *err)
{
    struct timespec until;
    uint32_t wait_ms = old->ingest->o.lock_wait_ms;
    bool locked;

    vpi_until_ms(wait_ms, &until);
    locked = lock_until(&old->lock, wait_ms);
    if (!locked || !wait_idle_synced(old, &until)) {
        if (locked) pthread_mutex_unlock(&old->lock);
        return vpi_fail(err, VP_E_CONFLICT, "ALREADY_RUNNING",
                        "another request writes the upload and does not end");
    }
    if (!old->taken) {
        settle_synced(old);
        old->taken = true;
        close_item(old);
    }
    pthread_mutex_unlock(&old->lock);
    vpi_ingest_unlist(old);
    return VP_OK;
}

static vp_status start_from_record(vp_upload *u, vp_error *err)
{
    u->position = u->counted = u->rec.offset;
    u->hash = u->rec.hash;
    u->declared = u->rec.declared;
    return vpi_ranges_copy(&u->ranges, &u->rec.ranges) ? VP_OK : vpi_fail_nomem(err);
}

/* What open found. fence 0: the item is ours only when the record could be put. */
static vp_status read_opened(vp_upload *u, const char *id, const vpi_buf *bytes, uint64_t fence, unsigned how,
                             vp_error *err)
{
    VPI_TRY(vpi_record_read(&u->rec, id, bytes->data, bytes->size, err));
    if (u->rec.state == VPI_UPLOAD_GONE && !(how & VPI_TAKE_GONE)) return vpi_ingest_expired(id, err);
    if (how & VPI_TAKE_DUE && !vpi_record_due(&u->rec, vpi_ingest_now(u->ingest))) return VP_AGAIN;
    /* By nothing else does the expiry of other processes see that somebody has it open. */
    if (fence == 0 && u->rec.state != VPI_UPLOAD_GONE && !(how & VPI_TAKE_IDLE))
        vpi_record_renew(&u->rec, vpi_ingest_now(u->ingest));
    u->rec.writes = fence > 0 ? fence : u->rec.writes + 1;
    u->opened = u->rec.writes;
    vpi_strlcpy(u->id, id, sizeof(u->id));
    VPI_TRY(start_from_record(u, err));
    return fence > 0 ? VP_OK : vpi_upload_put_synced(u, err);
}

static vp_status take_once(vp_ingest *ingest, const char *id, unsigned how, vp_upload **out, vp_error *err)
{
    bool idle = how & VPI_TAKE_IDLE;
    vp_upload *old = vpi_ingest_find_open(ingest, id), *u = NULL;
    vpi_buf bytes = { 0 };
    uint64_t fence = 0;
    vp_status st = VP_OK;

    if (old) {
        st = idle ? VP_AGAIN : displace(old, err);
        vpi_upload_unref(old);
        if (st != VP_OK) return st;
    }
    VPI_TRY(vpi_upload_new(ingest, &u, err));
    st = ingest->back.ops->open(ingest->back.user, id, idle, &u->item, &bytes, &fence, err);
    if (st == VP_OK) {
        st = read_opened(u, id, &bytes, fence, how, err);
    } else if (st == VP_END) {
        st = vpi_ingest_unknown(id, err);
    }
    vpi_buf_dispose(&bytes);
    if (st == VP_OK) {
        vpi_ingest_list_open(u);
        *out = u;
        return VP_OK;
    }
    close_item(u);
    vpi_upload_unref(u);
    return st;
}

/*
 * Where a record decides who is the newest, another's sync or opening may come between ours and what was read: then it
 * is read again, as the one that comes last has the upload.
 */
vp_status vpi_upload_take(vp_ingest *ingest, const char *id, unsigned how, vp_upload **out, vp_error *err)
{
    int64_t until = vpi_now_us() + (int64_t)ingest->o.lock_wait_ms * 1000;
    vp_error e;
    vp_status st;

    do {
        vp_error_init(&e);
        st = take_once(ingest, id, how, out, &e);
        if (st != VP_E_CONFLICT || strcmp(e.reason, "TAKEN_OVER") != 0 || how & VPI_TAKE_IDLE) {
            vpi_error_copy(err, &e);
            return st;
        }
    } while (vpi_now_us() < until);
    return vpi_fail(err, VP_E_CONFLICT, "ALREADY_RUNNING", "others write the upload and do not end");
}

void vpi_upload_leave(vp_upload *upload, bool sync)
{
    pthread_mutex_lock(&upload->lock);
    while (upload->behind || upload->start.kind != VPI_START_NONE)
        pthread_cond_wait(&upload->idle, &upload->lock);
    if (sync && !upload->taken) settle_synced(upload);
    upload->taken = true;
    close_item(upload);
    pthread_mutex_unlock(&upload->lock);
    vpi_ingest_unlist(upload);
    vpi_upload_unref(upload);
}

vp_upload *vp_upload_close(vp_upload *upload)
{
    vp_ingest *s;

    if (!upload) return NULL;
    s = upload->ingest;
    if (vpi_forked(s->fork_mark)) {
        /* The locks may be held for ever; what is the parent's stays as it is. */
        close_item(upload);
        vpi_record_dispose(&upload->rec);
        vpi_ranges_dispose(&upload->ranges);
        vpi_ranges_dispose(&upload->check.ranges);
        vpi_free(upload);
    } else {
        vpi_upload_leave(upload, true);
    }
    vp_ingest_unref(s);
    return NULL;
}

vp_status vp_ingest_open(vp_ingest *ingest, const char *id, vp_upload **out, vp_error *err)
{
    vp_status st;

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_ingest_check(ingest, err));
    VPI_TRY(vpi_ingest_id(id, err));
    st = vpi_upload_take(ingest, id, 0, out, err);
    if (st == VP_OK && (*out)->rec.state == VP_UPLOAD_WAITING) {
        pthread_mutex_lock(&(*out)->lock);
        st = vpi_concat_try_synced(*out, err);
        pthread_mutex_unlock(&(*out)->lock);
        if (st < 0) {
            vpi_upload_leave(*out, false);
            *out = NULL;
        } else {
            st = VP_OK; /* perhaps it still waits */
            vp_error_init(err);
        }
    }
    if (st == VP_OK) vp_ingest_ref(ingest);
    if (st < 0) {
        vpi_error_op(err, "ingest.open");
        vpi_error_key(err, id);
    }
    return st;
}

/* ---- a call of the host ---- */

vp_status vpi_upload_usable_synced(const vp_upload *upload, vp_error *err)
{
    if (upload->taken) return vpi_fail(err, VP_E_CONFLICT, "TAKEN_OVER", "a newer request writes the upload");
    if (upload->failure.status < 0) vpi_error_copy(err, &upload->failure);
    return VPI_MIN(upload->failure.status, VP_OK);
}

static vp_status may_enter_synced(const vp_upload *u, vp_error *err)
{
    if (u->start.kind != VPI_START_NONE)
        return vpi_fail(err, VP_E_STATE, NULL, "a start is under way with this upload");
    return vpi_upload_usable_synced(u, err);
}

vp_status vpi_upload_enter(vp_upload *upload, vp_error *e, vp_error *err)
{
    vp_status st;

    if (!upload) return vpi_fail(err, VP_E_ARG, NULL, "no upload");
    VPI_TRY(vpi_ingest_check(upload->ingest, err));
    pthread_mutex_lock(&upload->lock);
    st = may_enter_synced(upload, e);
    if (st == VP_OK) return VP_OK;
    pthread_mutex_unlock(&upload->lock);
    vpi_error_copy(err, e);
    return st;
}

vp_status vpi_upload_exit(vp_upload *upload, vp_status st, const char *op, vp_error *e, vp_error *err)
{
    if (st < 0) {
        vpi_error_op(e, op);
        vpi_error_key(e, upload->rec.id);
    }
    pthread_mutex_unlock(&upload->lock);
    if (st < 0) vpi_error_copy(err, e);
    return st;
}

void vpi_upload_fail_synced(vp_upload *upload, const vp_error *e)
{
    if (!e || upload->failure.status < 0 || e->status >= 0 || e->status == VP_E_NOMEM) return;
    vpi_error_copy(&upload->failure, e);
}

/* ---- bytes ---- */

uint64_t vpi_upload_limit(const vp_upload *upload)
{
    uint64_t most = upload->ingest->o.max_size ? upload->ingest->o.max_size : INT64_MAX;

    return upload->rec.length != VP_SIZE_UNKNOWN ? upload->rec.length : VPI_MIN(most, (uint64_t)INT64_MAX);
}

vp_status vpi_upload_begin_synced(vp_upload *upload, vp_error *err)
{
    uint64_t offset = upload->rec.offset;
    vp_status st;

    if (upload->begun) return VP_OK;
    if (upload->rec.ranges.count > 0)
        offset = VPI_MAX(offset, upload->rec.ranges.at[upload->rec.ranges.count - 1].to);
    st = upload->ingest->back.ops->begin(upload->item, &upload->rec.token, offset, upload->rec.length, err);
    if (st == VP_OK) upload->begun = true;
    return st;
}

/* Of an upload whose length is not known the quota is taken as it grows. */
static vp_status reserve_synced(vp_upload *u, uint64_t to, vp_error *err)
{
    uint64_t more;
    intptr_t hold = 0;
    vp_status st;

    if (u->ingest->o.quota == 0 || u->rec.length != VP_SIZE_UNKNOWN || to <= u->rec.reserved) return VP_OK;
    VPI_TRY(vpi_upload_wait_behind_synced(u, err));
    more = VPI_MAX(to - u->rec.reserved, VPI_MIN(QUOTA_STEP, u->ingest->o.quota / 8));
    if (vpi_quota_take(u->ingest, more, &hold, NULL) < 0) {
        more = to - u->rec.reserved;
        VPI_TRY(vpi_quota_take(u->ingest, more, &hold, err));
    }
    /* Others that count see the record. */
    u->rec.reserved += more;
    st = vpi_upload_put_synced(u, err);
    if (st < 0) {
        u->rec.reserved -= more;
        vpi_quota_undo(u->ingest, more, hold);
    } else {
        vpi_quota_settle(u->ingest, hold);
    }
    return st;
}

void vpi_upload_write_failed_synced(vp_upload *upload, const vp_error *e)
{
    /* Room may come back, and what was written is there; after all else nothing is certain. */
    if (!upload->ingest->back.ops->any_order) {
        /* Nobody knows how much of it was taken, and none can be taken back: not even no memory leaves it as it was. */
        vpi_error_copy(&upload->failure, e);
    } else if (strcmp(e->reason, "DISK_FULL") != 0) {
        vpi_upload_fail_synced(upload, e);
    }
}

vp_status vpi_upload_write_synced(vp_upload *upload, uint64_t offset, const void *data, size_t size,
                                  size_t *done, vp_error *err)
{
    vpi_digest *hash = upload->check.running ? &upload->check.hash : &upload->hash;
    vpi_digest *declared = upload->check.running ? &upload->check.declared : &upload->declared;
    vp_status st = VP_OK;

    *done = 0;
    VPI_TRY(vpi_upload_begin_synced(upload, err));
    VPI_TRY(reserve_synced(upload, offset + size, err));
    while (*done < size && st == VP_OK) {
        const uint8_t *p = (const uint8_t *)data + *done;
        uint64_t at = offset + *done;
        size_t n = 0;

        st = upload->ingest->back.ops->write(upload->item, at, p, VPI_MIN(size - *done, (size_t)PIECE), &n,
                                             err);
        /* What came out of order is read again when all is there. */
        vpi_digest_add_at(hash, at, p, n);
        vpi_digest_add_at(declared, at, p, n);
        *done += n;
    }
    if (st < 0 && err) vpi_upload_write_failed_synced(upload, err);
    return st;
}

static vp_status append_in_order(vp_upload *u, const void *data, size_t size, vp_error *err)
{
    size_t gathered, done;
    vp_status st;

    VPI_TRY(reserve_synced(u, u->position + size, err));
    st = vpi_gather_add_synced(u, data, size, &gathered, err);
    if (st != VP_END) return st;
    data = (const uint8_t *)data + gathered;
    st = vpi_upload_write_synced(u, u->position, data, size - gathered, &done, err);
    if (u->check.running) vpi_digest_add(&u->check.digest, data, done);
    u->position += done;
    if (!u->check.running) u->counted = u->position;
    return st;
}

vp_status vpi_upload_append_synced(vp_upload *u, uint64_t offset, const void *data, size_t size,
                                   vp_error *err)
{
    uint64_t limit = vpi_upload_limit(u);
    size_t fits = size;

    if (u->rec.flags & VP_UPLOADF_FINAL)
        return vpi_fail(err, VP_E_STATE, NULL, "the upload is made of parts");
    if (offset != u->position)
        return vpi_fail(err, VP_E_CONFLICT, "OFFSET_MISMATCH", "the upload goes on at %llu, not at %llu",
                        (unsigned long long)u->position, (unsigned long long)offset);
    if (u->rec.flags & VP_UPLOADF_ANY_ORDER) return vpi_order_write_synced(u, offset, data, size, err);
    if (size > limit - u->position) fits = (size_t)(limit - u->position);
    if (fits > 0) VPI_TRY(append_in_order(u, data, fits, err));
    if (fits < size)
        return vpi_fail(err, VP_E_LIMIT, "UPLOAD_TOO_LARGE", "the upload has a length of %llu bytes",
                        (unsigned long long)limit);
    return vpi_upload_behind_synced(u, err);
}

vp_status vp_upload_append(vp_upload *upload, uint64_t offset, const void *data, size_t size, vp_error *err)
{
    vp_error e = VP_ERROR_INIT;
    vp_status st;

    vp_error_init(err);
    if (!data && size > 0) return vpi_fail(err, VP_E_ARG, NULL, "no data");
    VPI_TRY(vpi_upload_enter(upload, &e, err));
    st = vpi_upload_append_synced(upload, offset, data, size, &e);
    return vpi_upload_exit(upload, st, "upload.append", &e, err);
}

/* What the bytes would wait for: a file to be opened and cut, the quota's record, a sync behind, blocks under way. */
static bool waits_synced(vp_upload *u, size_t size)
{
    bool grows = u->ingest->o.quota > 0 && u->rec.length == VP_SIZE_UNKNOWN;

    if (!u->ingest->back.ops->overlap || !u->begun) return true;
    if (grows && (u->position > u->rec.reserved || size > u->rec.reserved - u->position)) return true;
    return vpi_upload_behind_waits_synced(u, size) || vpi_gather_waits_synced(u, size);
}

vp_status vpi_upload_append_now(vp_upload *upload, uint64_t offset, const void *data, size_t size,
                                vp_error *err)
{
    vp_error e = VP_ERROR_INIT;
    vp_status st;

    if (!upload) return vpi_fail(err, VP_E_ARG, NULL, "no upload");
    VPI_TRY(vpi_ingest_check(upload->ingest, err));
    if (pthread_mutex_trylock(&upload->lock) != 0) return VP_AGAIN;
    st = may_enter_synced(upload, &e);
    if (st == VP_OK && waits_synced(upload, size)) st = VP_AGAIN;
    if (st == VP_OK) st = vpi_upload_append_synced(upload, offset, data, size, &e);
    return vpi_upload_exit(upload, st, "upload.append", &e, err);
}

/* ---- looking at it ---- */

vp_status vp_upload_get_info(vp_upload *upload, vp_upload_info *info, vp_error *err)
{
    vp_status st;

    vp_error_init(err);
    if (!upload || !info) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    VPI_TRY(vpi_ingest_check(upload->ingest, err));
    pthread_mutex_lock(&upload->lock);
    st = vpi_ingest_give_info(&upload->rec, info, err);
    pthread_mutex_unlock(&upload->lock);
    return st;
}

uint64_t vp_upload_offset(const vp_upload *upload)
{
    return upload ? atomic_load(&((vp_upload *)(uintptr_t)upload)->position) : 0;
}
