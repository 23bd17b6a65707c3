/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes in any order: what is there is a list of ranges. */

#include "ingest/store_int.h"

/* Ranges that must not be written again: what counts, and what is under check. */
static bool gap(const vp_upload *u, uint64_t from, uint64_t to, vpi_range *g)
{
    vpi_range inner;

    while (from < to) {
        if (!vpi_ranges_gap(&u->ranges, from, to, g)) return false;
        if (!u->check.running || vpi_ranges_gap(&u->check.ranges, g->from, g->to, &inner)) {
            if (u->check.running) *g = inner;
            return true;
        }
        from = g->to;
    }
    return false;
}

static vp_status note(vp_upload *u, uint64_t from, uint64_t to, vp_error *err)
{
    vpi_ranges *r = u->check.running ? &u->check.ranges : &u->ranges;

    if (vpi_ranges_add(r, from, to)) return VP_OK;
    if (r->count < VPI_RANGES_MAX) return vpi_fail_nomem(err);
    return vpi_fail(err, VP_E_LIMIT, NULL, "the upload has more than %u pieces with gaps between them",
                    VPI_RANGES_MAX);
}

/* Written, hashed and noted; what could not be noted is not in the hashes either. */
static vp_status write_gap(vp_upload *u, const vpi_range *g, const uint8_t *p, vp_error *err)
{
    vpi_digest *hash = u->check.running ? &u->check.hash : &u->hash, hash_before = *hash;
    vpi_digest *declared = u->check.running ? &u->check.declared : &u->declared, declared_before = *declared;
    size_t done = 0;
    vp_status st = vpi_upload_write_synced(u, g->from, p, (size_t)(g->to - g->from), &done, err);
    vp_status noted = done > 0 ? note(u, g->from, g->from + done, st < 0 ? NULL : err) : VP_OK;

    if (noted < 0) {
        *hash = hash_before;
        *declared = declared_before;
    }
    return st < 0 ? st : noted;
}

/* The prefix is where an append would go. */
static void follow(vp_upload *u)
{
    if (u->check.running) return;
    u->position = u->counted = vpi_ranges_prefix(&u->ranges);
}

vp_status vpi_order_write_synced(vp_upload *upload, uint64_t offset, const void *data, size_t size,
                                 vp_error *err)
{
    const uint8_t *p = data;
    uint64_t end, length = upload->rec.length;
    vpi_range g;
    vp_status st = VP_OK;

    if (length == VP_SIZE_UNKNOWN)
        return vpi_fail(err, VP_E_STATE, NULL, "the upload's length is not known yet");
    if (offset > length || size > length - offset)
        return vpi_fail(err, VP_E_LIMIT, "UPLOAD_TOO_LARGE", "the upload has a length of %llu bytes",
                        (unsigned long long)length);
    end = offset + size;
    if (upload->check.running && size > 0) vpi_digest_add(&upload->check.digest, p, size);
    for (uint64_t at = offset; st == VP_OK && gap(upload, at, end, &g); at = g.to)
        st = write_gap(upload, &g, p + (g.from - offset), err);
    follow(upload);
    return st;
}

vp_status vp_upload_write_at(vp_upload *upload, uint64_t offset, const void *data, size_t size, vp_error *err)
{
    vp_error e = VP_ERROR_INIT;
    vp_status st;

    vp_error_init(err);
    if (!data && size > 0) return vpi_fail(err, VP_E_ARG, NULL, "no data");
    VPI_TRY(vpi_upload_enter(upload, &e, err));
    if (!(upload->rec.flags & VP_UPLOADF_ANY_ORDER)) {
        st = vpi_fail(&e, VP_E_STATE, NULL, "the upload was not made with ANY_ORDER");
    } else {
        st = vpi_order_write_synced(upload, offset, data, size, &e);
    }
    if (st == VP_OK) st = vpi_upload_behind_synced(upload, &e);
    return vpi_upload_exit(upload, st, "upload.write_at", &e, err);
}

static bool missing_synced(const vp_upload *u, uint64_t index, vpi_range *g)
{
    uint64_t at = 0;

    if (u->rec.state == VP_UPLOAD_FINISHED) return false;
    if (!(u->rec.flags & VP_UPLOADF_ANY_ORDER)) {
        *g = (vpi_range){ u->position, u->rec.length };
        return index == 0 && u->position < u->rec.length;
    }
    do {
        if (!vpi_ranges_gap(&u->ranges, at, u->rec.length, g)) return false;
        at = g->to;
    } while (index-- > 0);
    return true;
}

vp_status vp_upload_missing(vp_upload *upload, uint64_t index, uint64_t *from, uint64_t *to, vp_error *err)
{
    vp_error e = VP_ERROR_INIT;
    vpi_range g = { 0, 0 };
    vp_status st;

    vp_error_init(err);
    if (!from || !to) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    VPI_TRY(vpi_upload_enter(upload, &e, err));
    st = missing_synced(upload, index, &g) ? VP_OK : VP_END;
    if (st == VP_OK) {
        *from = g.from;
        *to = g.to;
    }
    return vpi_upload_exit(upload, st, "upload.missing", &e, err);
}
