/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tokens: what the record of an upload keeps of its data. Big-endian; text16: its size in 16 bits, then its bytes.
 *
 *     "VPT1", stamp (16 hex digits), kind (1)
 *     UPLOAD: key (text16), length (8), whole (8), stride (1), head (8) and its stamp where it is not 0,
 *             pieces (2), each: stamp, size (8); in parts (1), and where that is 1: id (text16), marker (32 hex
 *             digits), part_size (8), checksum (1), parts (2), each: number (2), size (8), sum (0, 4 or 8), form
 *             of the ETag (1: 32 hex digits in quotes, as 16 bytes; 2: without quotes; 3: text16)
 *     SHARED: key (text16), shared (text16), whole (8)
 */

#include <stdio.h>

#include "ingest_s3.h"

#define TOKEN_MAX (192u << 10)
#define KEY_MAX 1024u
#define STAMP (VPI_HOLD_STAMP - 1)
#define MARK (VPI_S3_MARKER - 1)

enum { QUOTED = 1, BARE, TEXT };

void vpi_hold_token_dispose(vpi_hold_token *t)
{
    vp_s3_upload_unref(t->upload);
    vpi_free(t->key);
    vpi_free(t->shared);
    memset(t, 0, sizeof(*t));
}

/* ---- writing ---- */

static void put_text(vpi_buf *b, const char *text)
{
    vpi_buf_be16(b, (unsigned)strlen(text));
    vpi_buf_str(b, text);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Lower case only: a text must come back as it was. */
static bool hex16(const char *text, uint8_t out[16])
{
    for (int i = 0; i < 16; i++) {
        int a = digit(text[2 * i]), b = a < 0 ? -1 : digit(text[2 * i + 1]);

        if (b < 0) return false;
        out[i] = (uint8_t)(a * 16 + b);
    }
    return true;
}

static void put_etag(vpi_buf *b, const char *etag)
{
    size_t n = strlen(etag);
    uint8_t bytes[16];
    bool quoted = n == 34 && etag[0] == '"' && etag[33] == '"';

    if ((quoted || n == 32) && hex16(etag + (quoted ? 1 : 0), bytes)) {
        vpi_buf_u8(b, quoted ? QUOTED : BARE);
        vpi_buf_add(b, bytes, sizeof(bytes));
    } else {
        vpi_buf_u8(b, TEXT);
        put_text(b, etag);
    }
}

static void put_parts(vpi_buf *b, vp_s3_upload *u)
{
    uint32_t n = 0;

    put_text(b, u->id);
    vpi_buf_str(b, u->marker);
    vpi_buf_be64(b, u->part_size);
    vpi_buf_u8(b, (unsigned)u->checksum);
    pthread_mutex_lock(&u->lock);
    for (size_t i = 0; i < u->synced.count; i++) n += u->synced.parts[i].in;
    vpi_buf_be16(b, n);
    for (size_t i = 0; i < u->synced.count; i++) {
        const vpi_s3_part *p = &u->synced.parts[i];

        if (!p->in) continue;
        vpi_buf_be16(b, (unsigned)(i + 1));
        vpi_buf_be64(b, p->size);
        if (u->checksum == VP_S3_CHECKSUM_CRC32C) vpi_buf_be32(b, p->crc32c);
        if (u->checksum == VP_S3_CHECKSUM_CRC64NVME) vpi_buf_be64(b, p->crc64);
        put_etag(b, p->etag);
    }
    pthread_mutex_unlock(&u->lock);
}

vp_status vpi_hold_token_write(vpi_hold_token *t, vpi_buf *b, vp_error *err)
{
    vpi_buf_clear(b);
    vpi_hold_stamp(t->stamp);
    vpi_buf_str(b, "VPT1");
    vpi_buf_str(b, t->stamp);
    vpi_buf_u8(b, (unsigned)t->kind);
    put_text(b, t->key ? t->key : "");
    if (t->kind == VPI_HOLD_SHARED) {
        put_text(b, t->shared);
        vpi_buf_be64(b, t->whole);
    } else {
        vpi_buf_be64(b, t->length);
        vpi_buf_be64(b, t->whole);
        vpi_buf_u8(b, t->stride);
        vpi_buf_be64(b, t->head);
        if (t->head) vpi_buf_str(b, t->head_stamp);
        vpi_buf_be16(b, t->piece_count);
        for (uint32_t i = 0; i < t->piece_count; i++) {
            vpi_buf_str(b, t->pieces[i].stamp);
            vpi_buf_be64(b, t->pieces[i].size);
        }
        vpi_buf_u8(b, t->upload != NULL);
        if (t->upload) put_parts(b, t->upload);
    }
    if (vpi_buf_failed(b)) return vpi_fail_nomem(err);
    if (b->size > TOKEN_MAX)
        return vpi_fail(err, VP_E_LIMIT, "UPLOAD_TOO_LARGE",
                        "the upload has more parts than its record has room for");
    return VP_OK;
}

/* ---- reading ---- */

typedef struct reader {
    const uint8_t *p;
    size_t left;
    bool bad;
} reader;

static const uint8_t *take(reader *r, size_t n)
{
    const uint8_t *p = r->p;

    if (r->bad || n > r->left) {
        r->bad = true;
        return NULL;
    }
    r->p += n;
    r->left -= n;
    return p;
}

static unsigned get8(reader *r)
{
    const uint8_t *p = take(r, 1);

    return p ? p[0] : 0;
}

static unsigned get16(reader *r)
{
    const uint8_t *p = take(r, 2);

    return p ? vpi_rd16(p) : 0;
}

static uint64_t get64(reader *r)
{
    const uint8_t *p = take(r, 8);

    return p ? vpi_rd64(p) : 0;
}

/* The caller's to free; NULL for an empty one, and on no memory, which *nomem tells. */
static char *get_text(reader *r, size_t most, bool *nomem)
{
    unsigned n = get16(r);
    const uint8_t *p = n > most ? (r->bad = true, NULL) : take(r, n);
    char *text;

    if (!p || n == 0) return NULL;
    if (memchr(p, 0, n)) {
        r->bad = true;
        return NULL;
    }
    text = vpi_strndup((const char *)p, n);
    if (!text) *nomem = true;
    return text;
}

static void get_hex(reader *r, char *to, size_t digits)
{
    const uint8_t *p = take(r, digits);

    for (size_t i = 0; p && i < digits; i++)
        if (digit((char)p[i]) < 0) r->bad = true;
    if (!p || r->bad) return;
    memcpy(to, p, digits);
    to[digits] = 0;
}

static void get_etag(reader *r, char etag[136])
{
    static const char digits[] = "0123456789abcdef";
    unsigned form = get8(r), n;
    const uint8_t *p;
    char *to = etag;

    if (form == QUOTED || form == BARE) {
        p = take(r, 16);
        if (form == QUOTED) *to++ = '"';
        for (int i = 0; p && i < 16; i++) {
            *to++ = digits[p[i] >> 4];
            *to++ = digits[p[i] & 15];
        }
        if (form == QUOTED) *to++ = '"';
        *to = 0;
        return;
    }
    n = form == TEXT ? get16(r) : 0;
    p = n > 0 && n < 136 ? take(r, n) : NULL;
    if (!p || memchr(p, 0, n)) {
        r->bad = true;
        return;
    }
    memcpy(etag, p, n);
    etag[n] = 0;
}

static vp_status read_parts(vpi_hold *h, reader *r, vpi_hold_token *t, vp_error *err)
{
    bool nomem = false;
    unsigned count, before = 0;
    vp_s3_upload *u;
    char *whole;

    if (!t->key) r->bad = true;
    if (r->bad) return VP_OK;
    whole = vpi_asprintf("%s%s", h->prefix, t->key);
    if (!whole) return vpi_fail_nomem(err);
    vp_status st = vpi_s3_upload_blank(h->s3, h->bucket, whole, &u, err);
    vpi_free(whole);
    VPI_TRY(st);
    t->upload = u;
    u->sparse = t->stride > 1;
    u->size = t->length;
    u->id = get_text(r, 1024, &nomem);
    if (!u->id) r->bad = true;
    get_hex(r, u->marker, MARK);
    u->part_size = get64(r);
    u->checksum = (int32_t)get8(r);
    if (u->part_size < VPI_S3_PART_MIN || u->part_size > VPI_S3_PART_MAX ||
        u->checksum < VP_S3_CHECKSUM_NONE || u->checksum > VP_S3_CHECKSUM_CRC64NVME)
        r->bad = true;
    count = get16(r);
    for (unsigned i = 0; i < count && !r->bad && !nomem; i++) {
        vpi_s3_part p = { .in = true };
        unsigned number = get16(r);
        const uint8_t *crc;

        p.size = get64(r);
        if (u->checksum == VP_S3_CHECKSUM_CRC32C && (crc = take(r, 4)) != NULL) p.crc32c = vpi_rd32(crc);
        if (u->checksum == VP_S3_CHECKSUM_CRC64NVME) p.crc64 = get64(r);
        get_etag(r, p.etag);
        if (number <= before || number > VPI_S3_PARTS_MAX || p.size == 0 || p.size > VPI_S3_PART_MAX)
            r->bad = true;
        if (r->bad) break;
        before = number;
        VPI_TRY(vpi_s3_part_note_whole(u, number, &p, err));
    }
    return nomem ? vpi_fail_nomem(err) : VP_OK;
}

static vp_status read_upload(vpi_hold *h, reader *r, vpi_hold_token *t, vp_error *err)
{
    unsigned count;

    t->length = get64(r);
    t->whole = get64(r);
    t->stride = get8(r);
    t->head = get64(r);
    if (t->head) get_hex(r, t->head_stamp, STAMP);
    count = get16(r);
    if (count > VPI_HOLD_PIECES || t->stride < 1 || t->stride > VPI_HOLD_STRIDE ||
        t->head > VPI_S3_PART_MAX || (t->whole && !t->key))
        r->bad = true;
    for (unsigned i = 0; i < count && !r->bad; i++) {
        get_hex(r, t->pieces[i].stamp, STAMP);
        t->pieces[i].size = get64(r);
        if (t->pieces[i].size == 0 || t->pieces[i].size > VPI_S3_PART_MAX) r->bad = true;
        t->piece_count = i + 1;
    }
    return get8(r) == 1 ? read_parts(h, r, t, err) : VP_OK;
}

vp_status vpi_hold_token_read(vpi_hold *h, const void *data, uint64_t size, vpi_hold_token *t, vp_error *err)
{
    reader r = { data, (size_t)VPI_MIN(size, SIZE_MAX), false };
    bool nomem = false;
    const uint8_t *p;
    vp_status st = VP_OK;

    memset(t, 0, sizeof(*t));
    t->length = VP_SIZE_UNKNOWN;
    t->stride = 1;
    if (size == 0) return VP_OK;
    p = take(&r, 4);
    if (!p || memcmp(p, "VPT1", 4) != 0 || size > TOKEN_MAX) r.bad = true;
    get_hex(&r, t->stamp, STAMP);
    t->kind = (int)get8(&r);
    t->key = get_text(&r, KEY_MAX, &nomem);
    if (t->kind == VPI_HOLD_SHARED) {
        t->shared = get_text(&r, KEY_MAX, &nomem);
        t->whole = get64(&r);
        if (!t->key || !t->shared) r.bad = true;
    } else if (t->kind == VPI_HOLD_UPLOAD) {
        st = read_upload(h, &r, t, err);
    } else {
        r.bad = true;
    }
    if (nomem) st = vpi_fail_nomem(err);
    if (st >= 0 && (r.bad || r.left))
        st = vpi_fail(err, VP_E_DATA, "UPLOAD_CORRUPT", "the token of the upload's data cannot be read");
    if (st < 0) vpi_hold_token_dispose(t);
    return st;
}

/* ---- sums ---- */

uint64_t vpi_hold_in_parts(const vpi_hold_token *t)
{
    uint64_t sum = 0;

    for (size_t i = 0; t->upload && i < t->upload->synced.count; i++)
        if (t->upload->synced.parts[i].in) sum += t->upload->synced.parts[i].size;
    return sum;
}

uint64_t vpi_hold_in_pieces(const vpi_hold_token *t)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < t->piece_count; i++) sum += t->pieces[i].size;
    return sum;
}

uint32_t vpi_hold_last_part(const vpi_hold_token *t)
{
    for (size_t i = t->upload ? t->upload->synced.count : 0; i > 0; i--)
        if (t->upload->synced.parts[i - 1].in) return (uint32_t)i;
    return 0;
}

/* Parts that fail use up numbers, too. */
uint32_t vpi_hold_stride(uint64_t length, uint64_t part_size)
{
    uint64_t parts = length / part_size + 1;

    if (length == VP_SIZE_UNKNOWN) return VPI_HOLD_STRIDE / 2;
    parts += parts / 32 + 8;
    return (uint32_t)VPI_CLAMP(VPI_S3_PARTS_MAX / parts, UINT64_C(1), (uint64_t)VPI_HOLD_STRIDE);
}

static uint32_t next_of_class(const vpi_hold_token *t, uint32_t last, uint32_t epoch)
{
    uint32_t n = last + 1;

    while (n % t->stride != epoch % t->stride) n++;
    return n;
}

uint32_t vpi_hold_next_part(const vpi_hold_token *t, uint32_t last, uint32_t epoch)
{
    uint32_t n = next_of_class(t, last, epoch);

    return n > VPI_S3_PARTS_MAX ? next_of_class(t, vpi_hold_last_part(t), epoch) : n;
}

char *vpi_hold_data_key(const char *id, const vpi_hold_head *head)
{
    char stamp[VPI_HOLD_STAMP];

    vpi_hold_stamp(stamp);
    return vpi_asprintf("data/%s/%s-%08x-%.8s", id, head->mark, (unsigned)head->epoch, stamp);
}

bool vpi_hold_key_is_of(const char *key, const vpi_hold_head *head)
{
    char text[VPI_HOLD_STAMP + 16];

    snprintf(text, sizeof(text), "/%s-%08x-", head->mark, (unsigned)head->epoch);
    return strstr(key, text) != NULL;
}
