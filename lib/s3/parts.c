/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which parts of an upload the server has. Those that a token knows are compared with its list; of those that it does
 * not know, as they came in after the last word of a process that was killed, the list is kept until somebody has
 * their bytes, to compare them with what the server says of them.
 */

#include <stdlib.h>

#include <openssl/evp.h>

#include "upload.h"

#define AGAIN_SIZE ((size_t)256 << 10)

/* ---- pages ---- */

vp_status vpi_s3_page_new(vpi_s3_page **out, vp_error *err)
{
    vpi_s3_page *p = vpi_calloc(1, sizeof(*p));

    *out = NULL;
    if (p) p->parts = vpi_calloc(VPI_S3_PARTS_MAX, sizeof(*p->parts));
    if (p && p->parts) {
        *out = p;
        return VP_OK;
    }
    vpi_free(p);
    return vpi_fail_nomem(err);
}

void vpi_s3_page_free(vpi_s3_page *p)
{
    if (p) vpi_free(p->parts);
    vpi_free(p);
}

static vp_status on_parts(void *user, const char *path, const char *text, vp_error *err)
{
    vpi_s3_page *p = user;

    (void)err;
    if (strcmp(path, "ListPartsResult/Part/PartNumber") == 0) p->number = (uint32_t)strtoul(text, NULL, 10);
    if (strcmp(path, "ListPartsResult/Part/Size") == 0) p->now.size = strtoull(text, NULL, 10);
    if (strcmp(path, "ListPartsResult/Part/ETag") == 0) vpi_strlcpy(p->now.etag, text, sizeof(p->now.etag));
    if (strcmp(path, "ListPartsResult/Part/ChecksumCRC64NVME") == 0)
        vpi_strlcpy(p->now.crc64, text, sizeof(p->now.crc64));
    if (strcmp(path, "ListPartsResult/Part/ChecksumCRC32C") == 0)
        vpi_strlcpy(p->now.crc32c, text, sizeof(p->now.crc32c));
    if (strcmp(path, "ListPartsResult/IsTruncated") == 0) p->truncated = strcmp(text, "true") == 0;
    if (strcmp(path, "ListPartsResult/NextPartNumberMarker") == 0)
        vpi_strlcpy(p->marker, text, sizeof(p->marker));
    if (strcmp(path, "ListPartsResult/Part") == 0) {
        if (p->number >= 1 && p->number <= VPI_S3_PARTS_MAX) p->parts[p->number - 1] = p->now;
        memset(&p->now, 0, sizeof(p->now));
        p->number = 0;
    }
    return VP_OK;
}

vp_status vpi_s3_page_query(vpi_s3_page *p, const vp_s3_upload *u, vpi_buf *query, vp_error *err)
{
    vpi_strlcpy(p->before, p->marker, sizeof(p->before));
    vpi_buf_clear(query);
    if (p->marker[0]) vpi_buf_printf(query, "part-number-marker=%lu&", strtoul(p->marker, NULL, 10));
    vpi_buf_str(query, "uploadId=");
    vpi_s3_encode(query, u->id, false);
    vpi_buf_u8(query, 0);
    return vpi_buf_failed(query) ? vpi_fail_nomem(err) : VP_OK;
}

vp_status vpi_s3_page_read(vpi_s3_page *p, const vpi_s3_op *op, vp_error *err)
{
    const vpi_buf *body = &op->call.answer.body;
    char root[64];

    p->truncated = false;
    VPI_TRY(vpi_s3_xml(body->data, body->size, on_parts, p, root, err));
    return p->truncated && p->marker[0] && strcmp(p->before, p->marker) != 0 ? VP_AGAIN : VP_OK;
}

static vp_status list_parts(vp_s3_upload *u, vpi_s3_page *p, vp_cancel *cancel, vp_error *err)
{
    vpi_s3_op op = { .method = "GET", .bucket = u->bucket, .key = u->key, .max_body = VPI_S3_PAGE_MAX };
    vpi_buf query = { 0 };
    vp_status st;

    do {
        VPI_GO(vpi_s3_page_query(p, u, &query, err));
        op.query = (const char *)query.data;
        op.flags = VPI_S3_MAYBE_ERROR;
        st = vpi_s3_run(u->s3, &op, cancel, err);
        if (st == VP_END || (st < 0 && strcmp(op.code, "NoSuchUpload") == 0)) {
            vpi_error_reset(err);
            st = VP_END;
            goto done;
        }
        if (st < 0) goto done;
        VPI_GO(vpi_s3_page_read(p, &op, err));
    } while (st == VP_AGAIN);
done:
    vpi_buf_dispose(&query);
    vpi_s3_op_dispose(&op);
    return st;
}

/* ---- what is in ---- */

/* ETags are compared as they are: the part on the server is the one that we sent. */
bool vpi_s3_part_same(const vpi_s3_part *ours, const vpi_s3_listed *theirs)
{
    size_t n = strlen(theirs->etag);

    if (ours->size != theirs->size) return false;
    if (strcmp(ours->etag, theirs->etag) == 0) return true;
    /* some servers write quotes in one place and none in the other */
    return ours->etag[0] == '"' && strlen(ours->etag) == n + 2 &&
           strncmp(ours->etag + 1, theirs->etag, n) == 0;
}

/* What is in by no word of ours, in the order of numbers; in place of what was kept before. */
static bool keep_offers_synced(vp_s3_upload *u, const vpi_s3_listed *parts)
{
    u->synced.offer_count = 0;
    for (uint32_t n = 1; n <= VPI_S3_PARTS_MAX; n++) {
        const vpi_s3_listed *theirs = &parts[n - 1];

        if (!theirs->etag[0] || (n <= u->synced.count && u->synced.parts[n - 1].in)) continue;
        if (!VPI_GROW(u->synced.offers, u->synced.offer_count, u->synced.offer_cap)) return false;
        u->synced.offers[u->synced.offer_count++] = (vpi_s3_offer){ n, *theirs };
    }
    return true;
}

vp_status vpi_s3_upload_check(vp_s3_upload *u, vp_cancel *cancel, vp_error *err)
{
    vpi_s3_page *p;
    bool kept;
    vp_status st;

    VPI_TRY(vpi_s3_page_new(&p, err));
    st = list_parts(u, p, cancel, err);
    if (st == VP_OK) {
        pthread_mutex_lock(&u->lock);
        for (size_t i = 0; i < u->synced.count; i++)
            if (u->synced.parts[i].in && !vpi_s3_part_same(&u->synced.parts[i], &p->parts[i]))
                u->synced.parts[i].in = u->synced.parts[i].noted = false;
        kept = keep_offers_synced(u, p->parts);
        pthread_mutex_unlock(&u->lock);
        if (!kept) st = vpi_fail_nomem(err);
    }
    vpi_s3_page_free(p);
    return st;
}

/* Nobody says no to a part of another size but us: an address for one limits nothing. */
static bool size_fits(const vp_s3_upload *u, uint32_t number, uint64_t size)
{
    uint64_t before = (uint64_t)(number - 1) * u->part_size;

    if (u->size == VP_SIZE_UNKNOWN) return true;
    return before < u->size && size == VPI_MIN(u->size - before, u->part_size);
}

/* ---- by their bytes ---- */

bool vpi_s3_sum_decode(const char *text, size_t bytes, uint64_t *out)
{
    size_t n = 4 * ((bytes + 2) / 3);
    uint8_t raw[12];

    if (strlen(text) != n || EVP_DecodeBlock(raw, (const unsigned char *)text, (int)n) < (int)bytes)
        return false;
    *out = 0;
    for (size_t i = 0; i < bytes; i++) *out = *out << 8 | raw[i];
    return true;
}

/* An ETag that may be the MD5 of the part, which on some servers it is not: then no bytes have it. */
static bool may_be_md5(const char *etag, uint8_t md5[16])
{
    size_t n = strlen(etag);

    if (n == 34 && etag[0] == '"' && etag[33] == '"')
        etag++;
    else if (n != 32)
        return false;
    for (size_t i = 0; i < 16; i++) {
        int a = vpi_s3_hex_digit(etag[2 * i]), b = vpi_s3_hex_digit(etag[2 * i + 1]);

        if (a < 0 || b < 0) return false;
        md5[i] = (uint8_t)(a * 16 + b);
    }
    return true;
}

/* CRC-64/NVME, or with md5 that, of bytes which are in memory or read once more. */
static vp_status sum_again(const vpi_s3_bytes *b, EVP_MD_CTX *md5, uint64_t *crc64, vp_error *err)
{
    uint8_t *room = b->data ? NULL : vpi_alloc(AGAIN_SIZE);
    vp_status st = VP_OK;

    *crc64 = 0;
    if (!b->data && !room) return vpi_fail_nomem(err);
    for (uint64_t at = 0; st >= 0 && at < b->size;) {
        const void *piece = b->data ? (const uint8_t *)b->data + at : room;
        size_t n = (size_t)VPI_MIN(b->size - at, AGAIN_SIZE);

        if (room) st = vp_source_read_at(b->file, b->at + at, room, n, &n, err);
        if (st >= 0 && !n) st = vpi_fail(err, VP_E_CONFLICT, "SOURCE_CHANGED", "the source became shorter");
        if (st < 0) break;
        if (!md5)
            *crc64 = vpi_s3_crc64(*crc64, piece, n);
        else if (!EVP_DigestUpdate(md5, piece, n))
            st = vpi_fail(err, VP_E_INTERNAL, NULL, "a digest refuses its data");
        at += n;
    }
    vpi_free(room);
    return st;
}

static vp_status same_md5(const vpi_s3_bytes *b, const uint8_t want[16], bool *same, vp_error *err)
{
    EVP_MD_CTX *md5 = EVP_MD_CTX_new();
    uint8_t digest[EVP_MAX_MD_SIZE];
    uint64_t none;
    vp_status st = VP_OK;

    if (!md5) return vpi_fail_nomem(err);
    if (!EVP_DigestInit_ex(md5, EVP_md5(), NULL))
        st = vpi_fail(err, VP_E_INTERNAL, NULL, "MD5 cannot be started");
    if (st >= 0) st = sum_again(b, md5, &none, err);
    if (st >= 0 && !EVP_DigestFinal_ex(md5, digest, NULL))
        st = vpi_fail(err, VP_E_INTERNAL, NULL, "a digest gives no result");
    EVP_MD_CTX_free(md5);
    VPI_TRY(st);
    *same = memcmp(digest, want, 16) == 0;
    return VP_OK;
}

/* What the server says of a part against the bytes; where it says nothing that can be compared they are others. */
static vp_status same_bytes(const vp_s3 *s3, const vpi_s3_listed *theirs, const vpi_s3_sums *sums,
                            const vpi_s3_bytes *b, bool *same, vp_error *err)
{
    uint8_t md5[16];
    uint64_t sum, made = sums->crc64;

    *same = false;
    if (theirs->size != b->size) return VP_OK;
    if (vpi_s3_sum_decode(theirs->crc64, 8, &sum)) {
        if (s3->checksum != VP_S3_CHECKSUM_CRC64NVME) VPI_TRY(sum_again(b, NULL, &made, err));
        *same = sum == made;
    } else if (vpi_s3_sum_decode(theirs->crc32c, 4, &sum)) {
        *same = sum == sums->crc32c;
    } else if (may_be_md5(theirs->etag, md5)) {
        return same_md5(b, md5, same, err);
    }
    return VP_OK;
}

vp_status vpi_s3_part_offered(vp_s3_upload *u, uint32_t number, const vpi_s3_sums *sums,
                              const vpi_s3_bytes *b, vp_error *err)
{
    vpi_s3_part part = { .size = b->size, .crc32c = sums->crc32c, .crc64 = sums->crc64, .in = true };
    vpi_s3_listed theirs = { 0 };
    bool same;

    pthread_mutex_lock(&u->lock);
    for (size_t i = 0; i < u->synced.offer_count; i++) {
        if (u->synced.offers[i].number != number) continue;
        theirs = u->synced.offers[i].listed;
        u->synced.offers[i].number = 0; /* once: what is sent in its place is another */
        break;
    }
    pthread_mutex_unlock(&u->lock);
    if (!theirs.etag[0]) return VP_END;
    VPI_TRY(same_bytes(u->s3, &theirs, sums, b, &same, err));
    if (!same) return VP_END;
    vpi_strlcpy(part.etag, theirs.etag, sizeof(part.etag));
    return vpi_s3_part_note_whole(u, number, &part, err);
}

/* ---- of others ---- */

/* With the checksum that the server made of it, which complete has to repeat; foreign where it tells none. */
static vpi_s3_part part_of(const vpi_s3_listed *theirs)
{
    vpi_s3_part part = { .size = theirs->size, .in = true, .foreign = true };

    vpi_strlcpy(part.etag, theirs->etag, sizeof(part.etag));
    if (vpi_s3_sum_decode(theirs->crc64, 8, &part.crc64)) part.foreign = false;
    return part;
}

vp_status vp_s3_upload_adopt(vp_s3_upload *u, vp_cancel *cancel, vp_error *err)
{
    vpi_s3_page *p;
    vp_status st;

    vpi_error_reset(err);
    if (!u) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    if (u->checksum == VP_S3_CHECKSUM_CRC32C)
        return vpi_fail(err, VP_E_UNSUPPORTED, NULL,
                        "parts of others: not with CRC32C, which they have none of");
    VPI_TRY(vpi_s3_ready(u->s3, cancel, err));
    VPI_TRY(vpi_s3_page_new(&p, err));
    st = list_parts(u, p, cancel, err);
    if (st == VP_END) {
        vpi_error_key(err, u->key);
        st = vpi_fail(err, VP_E_CONFLICT, NULL, "the upload is there no more");
    }
    for (uint32_t n = 1; st >= 0 && n <= VPI_S3_PARTS_MAX; n++) {
        const vpi_s3_listed *theirs = &p->parts[n - 1];
        vpi_s3_part part;
        bool known;

        if (!theirs->etag[0] || !size_fits(u, n, theirs->size)) continue;
        pthread_mutex_lock(&u->lock);
        known = n <= u->synced.count && u->synced.parts[n - 1].in &&
                vpi_s3_part_same(&u->synced.parts[n - 1], theirs);
        pthread_mutex_unlock(&u->lock);
        part = part_of(theirs);
        if (!known) st = vpi_s3_part_note_whole(u, n, &part, err);
    }
    vpi_s3_page_free(p);
    vpi_error_op(err, "s3.upload_adopt");
    return st;
}
