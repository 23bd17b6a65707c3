/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A chunk with a checksum. Its bytes are written behind what counts and counted when the digest has been compared; a
 * crash in between leaves bytes beyond the record's offset, which mean nothing.
 */

#include "ingest/store_int.h"

static vp_status begin_synced(vp_upload *u, const char *algorithm, vp_error *err)
{
    uint8_t kind = vpi_digest_named(algorithm, strlen(algorithm));

    if (kind == VPI_DIGEST_NONE)
        return vpi_fail(err, VP_E_UNSUPPORTED, NULL, "the checksum is none of sha1, sha256, md5, crc32c");
    if (u->check.running) return vpi_fail(err, VP_E_STATE, NULL, "a chunk is under check");
    /* A back end that cannot take bytes back is opened anew at what is durable. */
    if (!u->ingest->back.ops->any_order) VPI_TRY(vpi_upload_sync_synced(u, err));
    VPI_TRY(vpi_gather_flush_synced(u, err));
    vpi_digest_init(&u->check.digest, kind);
    u->check.hash = u->hash;
    u->check.declared = u->declared;
    u->check.running = true;
    return VP_OK;
}

void vpi_upload_check_drop_synced(vp_upload *upload)
{
    if (!upload->check.running) return;
    vpi_gather_drop_synced(upload);
    upload->check.running = false;
    vpi_ranges_dispose(&upload->check.ranges);
    if (upload->position != upload->counted && !upload->ingest->back.ops->any_order) upload->begun = false;
    upload->position = upload->counted;
}

static vp_status take_chunk(vp_upload *u, vp_error *err)
{
    if (u->rec.flags & VP_UPLOADF_ANY_ORDER) {
        vpi_ranges all = { 0 };
        bool fits = vpi_ranges_copy(&all, &u->ranges);

        for (size_t i = 0; fits && i < u->check.ranges.count; i++)
            fits = vpi_ranges_add(&all, u->check.ranges.at[i].from, u->check.ranges.at[i].to);
        if (!fits) {
            bool many = all.count >= VPI_RANGES_MAX;

            vpi_ranges_dispose(&all);
            vpi_upload_check_drop_synced(u);
            return many
                       ? vpi_fail(err, VP_E_LIMIT, NULL,
                                  "the upload has more than %u pieces with gaps between them", VPI_RANGES_MAX)
                       : vpi_fail_nomem(err);
        }
        vpi_ranges_dispose(&u->ranges);
        u->ranges = all;
        u->position = vpi_ranges_prefix(&u->ranges);
    }
    u->hash = u->check.hash;
    u->declared = u->check.declared;
    u->check.running = false;
    vpi_ranges_dispose(&u->check.ranges);
    u->counted = u->position;
    return VP_OK;
}

static vp_status end_synced(vp_upload *u, const void *digest, size_t size, vp_error *err)
{
    uint8_t found[VPI_DIGEST_MAX];

    if (!u->check.running) return vpi_fail(err, VP_E_STATE, NULL, "no chunk is under check");
    VPI_TRY(vpi_gather_flush_synced(u, err));
    vpi_digest_peek(&u->check.digest, found);
    if (size != vpi_digest_size(u->check.digest.algorithm) || memcmp(found, digest, size) != 0) {
        vpi_upload_check_drop_synced(u);
        return vpi_fail(err, VP_E_DATA, "CHECKSUM_MISMATCH", "the chunk has not the checksum that was told");
    }
    VPI_TRY(take_chunk(u, err));
    return vpi_upload_behind_synced(u, err);
}

vp_status vp_upload_check_begin(vp_upload *upload, const char *algorithm, vp_error *err)
{
    vp_error e = VP_ERROR_INIT;
    vp_status st;

    vp_error_init(err);
    if (!algorithm) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    VPI_TRY(vpi_upload_enter(upload, &e, err));
    st = begin_synced(upload, algorithm, &e);
    return vpi_upload_exit(upload, st, "upload.check", &e, err);
}

vp_status vp_upload_check_end(vp_upload *upload, const void *digest, size_t size, vp_error *err)
{
    vp_error e = VP_ERROR_INIT;
    vp_status st;

    vp_error_init(err);
    if (!digest) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    VPI_TRY(vpi_upload_enter(upload, &e, err));
    st = end_synced(upload, digest, size, &e);
    return vpi_upload_exit(upload, st, "upload.check", &e, err);
}

void vp_upload_check_drop(vp_upload *upload)
{
    vp_error e = VP_ERROR_INIT;

    if (vpi_upload_enter(upload, &e, NULL) < 0) return;
    vpi_upload_check_drop_synced(upload);
    vpi_upload_exit(upload, VP_OK, "upload.check", &e, NULL);
}
