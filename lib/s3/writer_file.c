/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes of local files are not kept: a block at a time is hashed, and the transfer reads them once more, from the page
 * cache into the buffer that it sends from. That costs what copying them from kept memory would. Where instructions
 * hash many messages for the price of few (base/hash.h), so many of the next parts are hashed together.
 */

#include "writer_int.h"

#include "base/hash.h"

/* Of parts that are hashed together: what was read first should be in the page cache when it is sent. */
#define TOGETHER_BYTES (UINT64_C(256) << 20)

void vpi_s3_writer_of(vpi_s3_writer *w, vp_source *source, const char *identity, bool local)
{
    w->source = vp_source_ref(source);
    w->file = local ? w->source : NULL;
    w->source_size = w->size;
    vpi_strlcpy(w->identity, identity, sizeof(w->identity));
}

/* ---- what is on its way ---- */

/* A file takes no memory while it waits; but what was just read should still be in the page cache when it is sent. */
vp_status vpi_s3_file_hold(vpi_s3_writer *w, vp_error *err)
{
    vp_s3 *s3 = w->s3;
    vp_status st = VP_OK;

    pthread_mutex_lock(&s3->lock);
    while (st >= 0 && s3->synced.flying >= 2 * s3->o.connections && !s3->synced.closed)
        st = vpi_s3_writer_room_synced(w, err);
    pthread_mutex_unlock(&s3->lock);
    return st;
}

/*
 * Bytes of a file for libcurl. It is looked at before the first and after the last of them: what went out in between is
 * of the file as it was hashed, whatever the server compares.
 */
size_t vpi_s3_file_read(void *user, uint64_t at, void *to, size_t room, vp_error *err)
{
    vpi_s3_slot *s = user;
    vpi_s3_writer *w = s->writer;
    size_t want = (size_t)VPI_MIN(room, s->size - at), got = 0;

    if (at == 0 && vpi_s3_source_same(w->file, w->identity, w->source_size, w->key, err) < 0) return 0;
    if (vp_source_read_at(w->file, s->at + at, to, want, &got, err) < 0) return 0;
    if ((!got || at + got == s->size) &&
        vpi_s3_source_same(w->file, w->identity, w->source_size, w->key, err) < 0)
        return 0;
    if (!got) vpi_fail(err, VP_E_CONFLICT, "SOURCE_CHANGED", "the source became shorter while it was sent");
    return got;
}

/* ---- blocks ---- */

static uint8_t *take_block(vp_s3 *s3)
{
    uint8_t *block;

    pthread_mutex_lock(&s3->lock);
    block = s3->synced.block;
    s3->synced.block = NULL;
    pthread_mutex_unlock(&s3->lock);
    return block ? block : vpi_alloc(VPI_S3_BLOCK);
}

vp_status vpi_s3_file_block(vpi_s3_writer *w, vp_error *err)
{
    if (!w->block) w->block = take_block(w->s3);
    return w->block ? VP_OK : vpi_fail_nomem(err);
}

/* The next file takes it: fresh memory costs as much as reading into it. */
void vpi_s3_file_give(vpi_s3_writer *w)
{
    uint8_t *block = w->block;

    if (!block) return;
    w->block = NULL;
    pthread_mutex_lock(&w->s3->lock);
    if (!w->s3->synced.block) {
        w->s3->synced.block = block;
        block = NULL;
    }
    pthread_mutex_unlock(&w->s3->lock);
    vpi_free(block);
}

/* ---- many parts at a time ---- */

/* Reads the next `room` bytes of each part and hashes them. */
static vp_status add_piece(vpi_s3_writer *w, uint64_t at, size_t room, size_t stride, vp_error *err)
{
    const uint8_t *from[VPI_S3_TOGETHER];
    unsigned n = w->summers->count;

    VPI_TRY(vpi_s3_writer_check(w, err));
    for (unsigned i = 0; i < n; i++) {
        uint8_t *to = w->block + i * stride;
        size_t got;

        VPI_TRY(vp_source_read_at(w->file, w->bytes + i * (uint64_t)w->limit + at, to, room, &got, err));
        if (got < room) return vpi_s3_source_changed(w->key, err);
        from[i] = to;
    }
    VPI_TRY(vpi_s3_summers_add(w->summers, from, room, err));
    return vpi_s3_writer_note(w, err);
}

/* Those before come in meanwhile, and are written down. */
static vp_status send_all(vpi_s3_writer *w, vpi_s3_fill_fn fn, void *user, vp_error *err)
{
    for (unsigned i = 0; i < w->summers->count; i++) {
        vpi_s3_sums sums;

        VPI_TRY(vpi_s3_summers_done(w->summers, i, &sums, err));
        w->used = w->limit;
        w->bytes += w->limit;
        VPI_TRY(vpi_s3_writer_send(w, &sums, err));
        VPI_TRY(vpi_s3_writer_note(w, err));
        if (fn) VPI_TRY(fn(user, w->bytes, err));
    }
    return VP_OK;
}

vp_status vpi_s3_writer_fill_parts(vpi_s3_writer *w, vpi_s3_fill_fn fn, void *user, vp_error *err)
{
    uint64_t left, most;
    unsigned n;
    size_t piece;

    if (!w->file || !w->s3->sign_payload || w->used || w->source_size - w->bytes <= w->limit) return VP_END;
    VPI_TRY(vpi_s3_writer_parts(w, err));
    left = (w->source_size - w->bytes) / w->limit;
    most = VPI_MAX(TOGETHER_BYTES / w->limit, 2);
    n = (unsigned)VPI_MIN(VPI_MIN(left, most), VPI_MIN(vpi_sha256_lanes(), VPI_S3_TOGETHER));
    if (n < 2) return VP_END;
    VPI_TRY(vpi_s3_file_block(w, err));
    VPI_TRY(vpi_s3_summers_start(&w->summers, w->s3, n, w->summer.no_crc32c, err));
    piece = (VPI_S3_BLOCK / n - VPI_S3_APART) / 4096 * 4096;
    for (uint64_t at = 0; at < w->limit; at += piece) {
        VPI_TRY(add_piece(w, at, (size_t)VPI_MIN(piece, w->limit - at), piece + VPI_S3_APART, err));
        if (fn) VPI_TRY(fn(user, w->bytes, err));
    }
    return send_all(w, fn, user, err);
}
