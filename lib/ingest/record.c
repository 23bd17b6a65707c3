/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/hash.h"
#include "ingest/record.h"

#define MAGIC 0x56505552u /* "VPUR" */
#define VERSION 1u
#define HEAD 84u
#define OFFSET_AT 24u

/* Bits of the marks. */
#define MARK_SHARED 1u
#define MARK_SHA256 2u

void vpi_record_dispose(vpi_record *r)
{
    vpi_free(r->scope);
    vpi_free(r->parts);
    vp_bytes_unref(r->metadata);
    vpi_buf_dispose(&r->token);
    vpi_ranges_dispose(&r->ranges);
    *r = (vpi_record){ 0 };
}

void vpi_record_renew(vpi_record *r, int64_t now_us)
{
    if (r->expire_ms) r->expires_us = now_us + (int64_t)r->expire_ms * 1000;
}

bool vpi_record_due(const vpi_record *r, int64_t now_us)
{
    return r->state != VP_UPLOAD_FINISHED && r->expires_us != 0 && r->expires_us <= now_us;
}

bool vpi_upload_id_valid(const char *id, size_t length)
{
    if (length == 0 || length > VP_UPLOAD_ID_MAX || id[0] == '-') return false;
    for (size_t i = 0; i < length; i++) {
        char c = id[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
              c == '_'))
            return false;
    }
    return true;
}

static void write_text(vpi_buf *b, const char *text)
{
    size_t n = text ? strlen(text) : 0;

    vpi_buf_be32(b, (uint32_t)n);
    if (n > 0) vpi_buf_add(b, text, n);
}

void vpi_record_write(const vpi_record *r, vpi_buf *b)
{
    size_t begin = b->size, metadata = (size_t)vp_bytes_size(r->metadata);
    size_t want = vpi_digest_size(r->want_algorithm);

    vpi_buf_be32(b, MAGIC);
    vpi_buf_be16(b, VERSION);
    vpi_buf_u8(b, (unsigned)r->state);
    vpi_buf_u8(b, (r->shared ? MARK_SHARED : 0) | (r->has_sha256 ? MARK_SHA256 : 0));
    vpi_buf_be32(b, 0); /* size of the whole, below */
    vpi_buf_be32(b, r->flags);
    vpi_buf_be64(b, r->length);
    vpi_buf_be64(b, r->offset);
    vpi_buf_be64(b, (uint64_t)r->created_us);
    vpi_buf_be64(b, (uint64_t)r->expires_us);
    vpi_buf_be64(b, r->expire_ms);
    vpi_buf_be64(b, r->writes);
    vpi_buf_be64(b, r->reserved);
    vpi_buf_u8(b, r->want_algorithm);
    vpi_buf_u8(b, (r->hash.algorithm ? 1u : 0) | (r->declared.algorithm ? 2u : 0));
    vpi_buf_be16(b, 0);
    write_text(b, r->id);
    write_text(b, r->scope);
    write_text(b, r->parts);
    vpi_buf_be32(b, (uint32_t)metadata);
    if (metadata > 0) vpi_buf_add(b, vp_bytes_data(r->metadata), metadata);
    vpi_buf_add(b, r->want, want);
    if (r->has_sha256) vpi_buf_add(b, r->sha256, sizeof(r->sha256));
    vpi_digest_write(&r->hash, b);
    vpi_digest_write(&r->declared, b);
    vpi_buf_be32(b, (uint32_t)r->token.size);
    if (r->token.size > 0) vpi_buf_add(b, r->token.data, r->token.size);
    vpi_buf_be32(b, (uint32_t)r->ranges.count);
    for (size_t i = 0; i < r->ranges.count; i++) {
        vpi_buf_be64(b, r->ranges.at[i].from);
        vpi_buf_be64(b, r->ranges.at[i].to);
    }
    if (b->failed) return;
    vpi_buf_patch_be32(b, begin + 8, (uint32_t)(b->size - begin + 4));
    vpi_buf_be32(b, vpi_crc32c(0, b->data + begin, b->size - begin));
}

uint64_t vpi_record_confirms(const void *data, size_t size)
{
    const uint8_t *p = data;

    return size > HEAD && p[6] != VPI_UPLOAD_GONE ? vpi_rd64(p + OFFSET_AT) : 0;
}

size_t vpi_record_room(const vpi_record *r)
{
    size_t n = HEAD + 6 * 4 + VP_UPLOAD_ID_MAX + vpi_digest_size(r->want_algorithm) + 32 + 2 * 105 + 4;

    n += (r->scope ? strlen(r->scope) : 0) + (r->parts ? strlen(r->parts) : 0);
    n += (size_t)vp_bytes_size(r->metadata);
    if (r->flags & VP_UPLOADF_ANY_ORDER) n += 16 * (size_t)VPI_RANGES_MAX;
    return n;
}

/* ---- reading ---- */

typedef struct reader {
    const uint8_t *at;
    size_t left;
    bool bad;   /* not a record */
    bool nomem; /* looked at only when not bad */
} reader;

static const uint8_t *take(reader *in, size_t n)
{
    const uint8_t *p = in->at;

    if (in->bad || n > in->left) {
        in->bad = true;
        return NULL;
    }
    in->at += n;
    in->left -= n;
    return p;
}

static uint32_t take32(reader *in)
{
    const uint8_t *p = take(in, 4);

    return p ? vpi_rd32(p) : 0;
}

static uint64_t take64(reader *in)
{
    const uint8_t *p = take(in, 8);

    return p ? vpi_rd64(p) : 0;
}

/* A text without NUL; NULL for an empty one. */
static char *take_text(reader *in, size_t most)
{
    size_t n = take32(in);
    const uint8_t *p = n > most ? NULL : take(in, n);
    char *text;

    if (!p || memchr(p, 0, n)) in->bad = true;
    if (in->bad || n == 0) return NULL;
    text = vpi_strndup((const char *)p, n);
    if (!text) in->nomem = true;
    return text;
}

static void take_digest(reader *in, vpi_digest *d)
{
    size_t n = in->bad ? 0 : vpi_digest_read(d, in->at, in->left);

    if (n == 0)
        in->bad = true;
    else
        take(in, n);
}

static void take_ranges(reader *in, vpi_record *r)
{
    size_t n = take32(in);
    uint64_t before = 0;

    if (n > VPI_RANGES_MAX || n * 16 > in->left) in->bad = true;
    if (in->bad || n == 0) return;
    r->ranges.at = vpi_calloc(n, sizeof(vpi_range));
    if (!r->ranges.at) {
        in->nomem = true;
        return;
    }
    r->ranges.cap = n;
    for (size_t i = 0; i < n; i++) {
        vpi_range *g = &r->ranges.at[i];

        g->from = take64(in);
        g->to = take64(in);
        if (g->to <= g->from || g->to > INT64_MAX || (i > 0 && g->from <= before)) in->bad = true;
        before = g->to;
        r->ranges.count++;
    }
}

static void take_metadata(reader *in, vpi_record *r)
{
    size_t n = take32(in);
    const uint8_t *p = n > VP_UPLOAD_METADATA_MAX ? NULL : take(in, n);

    if (!p) in->bad = true;
    if (!in->bad && n > 0 && vpi_bytes_copy(p, n, &r->metadata, NULL) < 0) in->nomem = true;
}

static void take_body(reader *in, vpi_record *r, unsigned marks)
{
    const uint8_t *p;
    unsigned hashes;
    size_t n;
    char *id;

    r->flags = take32(in);
    r->length = take64(in);
    r->offset = take64(in);
    r->created_us = (int64_t)take64(in);
    r->expires_us = (int64_t)take64(in);
    r->expire_ms = take64(in);
    r->writes = take64(in);
    r->reserved = take64(in);
    p = take(in, 4);
    r->want_algorithm = p ? p[0] : 0;
    hashes = p ? p[1] : 0;
    id = take_text(in, VP_UPLOAD_ID_MAX);
    if (id) vpi_strlcpy(r->id, id, sizeof(r->id));
    if (!in->nomem && !vpi_upload_id_valid(r->id, strlen(r->id))) in->bad = true;
    vpi_free(id);
    r->scope = take_text(in, VPI_SCOPE_MAX);
    r->parts = take_text(in, VP_UPLOAD_PARTS_MAX * (VP_UPLOAD_ID_MAX + 1));
    take_metadata(in, r);
    n = vpi_digest_size(r->want_algorithm);
    if (r->want_algorithm != VPI_DIGEST_NONE && n == 0) in->bad = true;
    p = take(in, n);
    if (p) memcpy(r->want, p, n);
    r->has_sha256 = marks & MARK_SHA256;
    p = take(in, r->has_sha256 ? 32 : 0);
    if (p && r->has_sha256) memcpy(r->sha256, p, 32);
    if (hashes & 1) take_digest(in, &r->hash);
    if (hashes & 2) take_digest(in, &r->declared);
    n = take32(in);
    p = n > VPI_TOKEN_MAX ? NULL : take(in, n);
    if (!p) in->bad = true;
    if (!in->bad && n > 0) {
        vpi_buf_add(&r->token, p, n);
        if (r->token.failed) in->nomem = true;
    }
    take_ranges(in, r);
}

static bool plausible(const vpi_record *r)
{
    if (r->state < VP_UPLOAD_OPEN || r->state > VPI_UPLOAD_GONE) return false;
    if (r->length != VP_SIZE_UNKNOWN && (r->length > INT64_MAX || r->offset > r->length)) return false;
    if (r->offset > INT64_MAX) return false;
    if (r->flags & ~(VP_UPLOADF_PARTIAL | VP_UPLOADF_FINAL | VP_UPLOADF_ANY_ORDER)) return false;
    if (r->ranges.count > 0 && !(r->flags & VP_UPLOADF_ANY_ORDER)) return false;
    if (r->ranges.count > 0 && r->length != VP_SIZE_UNKNOWN &&
        r->ranges.at[r->ranges.count - 1].to > r->length)
        return false;
    if (r->hash.algorithm && (r->hash.algorithm != VPI_DIGEST_SHA256 || r->hash.length > r->offset))
        return false;
    if (r->declared.algorithm &&
        (r->declared.algorithm != r->want_algorithm || r->declared.length > r->offset))
        return false;
    return !(r->flags & VP_UPLOADF_FINAL) == !r->parts;
}

vp_status vpi_record_read(vpi_record *r, const char *id, const void *data, size_t size, vp_error *err)
{
    reader in = { data, size, false, false };
    const uint8_t *p = data;
    bool framed = size > HEAD && size <= VPI_RECORD_MAX && vpi_rd32(p) == MAGIC && vpi_rd32(p + 8) == size &&
                  vpi_rd32(p + size - 4) == vpi_crc32c(0, p, size - 4);

    *r = (vpi_record){ 0 };
    if (framed && vpi_rd16(p + 4) > VERSION)
        return vpi_fail(err, VP_E_VERSION, NULL, "the upload's record is of a newer library");
    if (framed && vpi_rd16(p + 4) == VERSION) {
        take(&in, 12);
        in.left -= 4;
        r->state = p[6];
        r->shared = p[7] & MARK_SHARED;
        take_body(&in, r, p[7]);
        if (in.nomem && !in.bad) {
            vpi_record_dispose(r);
            return vpi_fail_nomem(err);
        }
        if (!in.bad && in.left == 0 && plausible(r) && (!id || strcmp(id, r->id) == 0)) return VP_OK;
    }
    vpi_record_dispose(r);
    return vpi_fail(err, VP_E_DATA, "UPLOAD_CORRUPT", "the record of the upload cannot be read");
}

/* ---- ranges ---- */

void vpi_ranges_dispose(vpi_ranges *r)
{
    vpi_free(r->at);
    *r = (vpi_ranges){ 0 };
}

bool vpi_ranges_copy(vpi_ranges *to, const vpi_ranges *from)
{
    vpi_range *at = NULL;

    if (from->count > 0) {
        at = vpi_calloc(from->count, sizeof(*at));
        if (!at) return false;
        memcpy(at, from->at, from->count * sizeof(*at));
    }
    vpi_free(to->at);
    *to = (vpi_ranges){ at, from->count, from->count };
    return true;
}

bool vpi_ranges_add(vpi_ranges *r, uint64_t from, uint64_t to)
{
    size_t first = 0, last;

    if (from >= to) return true;
    while (first < r->count && r->at[first].to < from) first++;
    for (last = first; last < r->count && r->at[last].from <= to; last++) {
        from = VPI_MIN(from, r->at[last].from);
        to = VPI_MAX(to, r->at[last].to);
    }
    if (last == first) {
        if (r->count >= VPI_RANGES_MAX || !VPI_GROW(r->at, r->count, r->cap)) return false;
        memmove(r->at + first + 1, r->at + first, (r->count - first) * sizeof(*r->at));
        r->count++;
    } else {
        memmove(r->at + first + 1, r->at + last, (r->count - last) * sizeof(*r->at));
        r->count -= last - first - 1;
    }
    r->at[first] = (vpi_range){ from, to };
    return true;
}

uint64_t vpi_ranges_prefix(const vpi_ranges *r)
{
    return r->count > 0 && r->at[0].from == 0 ? r->at[0].to : 0;
}

uint64_t vpi_ranges_sum(const vpi_ranges *r)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < r->count; i++) sum += r->at[i].to - r->at[i].from;
    return sum;
}

bool vpi_ranges_gap(const vpi_ranges *r, uint64_t from, uint64_t to, vpi_range *gap)
{
    for (size_t i = 0; i < r->count && from < to; i++) {
        if (r->at[i].to <= from) continue;
        if (r->at[i].from > from) {
            to = VPI_MIN(to, r->at[i].from);
            break;
        }
        from = r->at[i].to;
    }
    *gap = (vpi_range){ from, to };
    return from < to;
}
