/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bodies in signed chunks. Sources: docs.aws.amazon.com, Amazon S3 API reference, "Signature Calculations for the
 * Authorization Header: Transferring Payload in Multiple Chunks", and the same "with Trailing Headers". Each signature
 * goes over the one before it, the first over that of the headers.
 */

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "sign.h"

#define SIGNATURE ";chunk-signature="
#define TRAILER_SIGNATURE "x-amz-trailer-signature"
#define LENGTH "x-amz-decoded-content-length"
enum { HEX = 64, SIGNATURE_SIZE = sizeof(SIGNATURE) - 1 + HEX };

struct vp_s3_chunks {
    atomic_uint refs;
    bool is_signed, has_trailer, any, last, over;
    char stamp[17], scope[160], before[HEX + 1]; /* before: the signature that comes before the next one */
    uint64_t size, done;                         /* bytes without the texts between them */
    vpi_s3_day day;
    vpi_s3_fields names; /* of the trailer: names are values here */
};

/* ---- which kind ---- */

static bool kind_of(const char *word, bool *is_signed, bool *has_trailer)
{
    *is_signed = vpi_streq(word, VP_S3_CHUNKS_SIGNED) || vpi_streq(word, VP_S3_CHUNKS_SIGNED_TRAILER);
    *has_trailer = vpi_streq(word, VP_S3_CHUNKS_TRAILER) || vpi_streq(word, VP_S3_CHUNKS_SIGNED_TRAILER);
    return *is_signed || *has_trailer;
}

static vp_status unknown_kind(vp_error *err)
{
    return vpi_fail(err, VP_E_ARG, NULL, "payload_sha256: none of the words for chunks");
}

static bool has_name(const vpi_s3_field *f, const char *name)
{
    return f->name_size == strlen(name) && memcmp(f->text + f->name, name, f->name_size) == 0;
}

/* ---- headers that chunks want ---- */

static vp_status take_length(vp_s3_chunks *c, const vpi_s3_field *f, vp_error *err)
{
    char text[21];

    if (f->value_size && f->value_size < sizeof(text)) {
        memcpy(text, f->text + f->value, f->value_size);
        text[f->value_size] = 0;
        if (strspn(text, "0123456789") == f->value_size && f->value_size < 20) {
            c->size = strtoull(text, NULL, 10);
            return VP_OK;
        }
    }
    return vpi_fail(err, VP_E_ARG, NULL, "headers: " LENGTH " is no number");
}

static void lower(uint8_t *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] >= 'A' && text[i] <= 'Z') text[i] |= 0x20;
}

/* "a,b" */
static vp_status take_names(vp_s3_chunks *c, const vpi_s3_field *f, vp_error *err)
{
    const char *p = f->text + f->value, *end = p + f->value_size;

    while (p < end) {
        const char *to = memchr(p, ',', (size_t)(end - p));
        size_t n = (size_t)((to ? to : end) - p);

        while (n && *p == ' ') p++, n--;
        while (n && p[n - 1] == ' ') n--;
        if (!vpi_s3_token(p, n)) return vpi_fail(err, VP_E_ARG, NULL, "headers: x-amz-trailer has no names");
        VPI_TRY(vpi_s3_fields_add(&c->names, "name", p, n, err));
        lower(c->names.text.data + c->names.list[c->names.count - 1].value, n);
        p = to ? to + 1 : end;
    }
    return VP_OK;
}

static vp_status take_headers(vp_s3_chunks *c, const char *lines, vp_error *err)
{
    vpi_s3_fields f = { 0 };
    bool length = false;
    vp_status st;

    VPI_GO(vpi_s3_fields_headers(&f, lines, err));
    vpi_s3_fields_sort(&f, false);
    for (size_t i = 0; i < f.count; i++) {
        const vpi_s3_field *one = &f.list[i];

        if (has_name(one, LENGTH)) {
            VPI_GO(take_length(c, one, err));
            length = true;
        }
        if (has_name(one, "x-amz-trailer")) VPI_GO(take_names(c, one, err));
    }
    vpi_s3_fields_sort(&c->names, true);
    if (!length) st = vpi_fail(err, VP_E_ARG, NULL, "headers: " LENGTH " is missing");
    if (st >= 0 && c->has_trailer != (c->names.count > 0))
        st = vpi_fail(err, VP_E_ARG, NULL, "headers: x-amz-trailer and payload_sha256 do not fit");
done:
    vpi_s3_fields_dispose(&f);
    return st;
}

/* ---- life ---- */

vp_s3_chunks *vp_s3_chunks_ref(vp_s3_chunks *c)
{
    if (c) atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

vp_s3_chunks *vp_s3_chunks_unref(vp_s3_chunks *c)
{
    if (c && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) {
        vpi_s3_fields_dispose(&c->names);
        vpi_s3_wipe(&c->day, sizeof(c->day));
        vpi_free(c);
    }
    return NULL;
}

static vp_status begin(vp_s3_chunks *c, const vp_s3_request *r, const vp_s3_credentials *credentials,
                       vp_bytes **lines, vp_error *err)
{
    vpi_s3_signature s = { 0 };
    vpi_buf text = { 0 };
    vp_status st = VP_OK;

    if (!kind_of(r->payload_sha256, &c->is_signed, &c->has_trailer)) return unknown_kind(err);
    VPI_TRY(take_headers(c, r->headers, err));
    VPI_GO(vpi_s3_signature_make(r, credentials, false, &c->day, &s, err));
    VPI_GO(vpi_s3_signature_lines(r, credentials, &s, &text, err));
    vpi_strlcpy(c->stamp, s.scope.stamp, sizeof(c->stamp));
    vpi_strlcpy(c->scope, s.scope.text, sizeof(c->scope));
    vpi_strlcpy(c->before, s.hex, sizeof(c->before));
    st = vpi_bytes_from_buf(&text, lines, err);
done:
    if (st < 0) vpi_s3_buf_wipe(&text);
    vpi_s3_signature_dispose(&s);
    return st;
}

vp_status vp_s3_chunks_begin(const vp_s3_request *request, const vp_s3_credentials *credentials,
                             vp_bytes **lines, vp_s3_chunks **out, vp_error *err)
{
    vp_s3_chunks *chunks;
    vp_s3_request r;
    vp_s3_credentials c;
    vp_status st;

    vpi_error_reset(err);
    if (lines) *lines = NULL;
    if (out) *out = NULL;
    if (!lines || !out) return vpi_fail(err, VP_E_ARG, NULL, "nowhere to put the result");
    VPI_TRY(vpi_s3_take_request(request, &r, err));
    VPI_TRY(vpi_s3_take_credentials(credentials, &c, err));
    chunks = vpi_calloc(1, sizeof(*chunks));
    if (!chunks) return vpi_fail_nomem(err);
    atomic_init(&chunks->refs, 1);
    st = begin(chunks, &r, &c, lines, err);
    if (st < 0)
        vp_s3_chunks_unref(chunks);
    else
        *out = chunks;
    return st;
}

/* ---- texts between the bytes ---- */

/* kind "AWS4-HMAC-SHA256-PAYLOAD" with the hash of nothing between, or "...-TRAILER" without it. */
static vp_status sign_next(vp_s3_chunks *c, bool trailer, const void *data, size_t size, vp_error *err)
{
    char none[HEX + 1] = "", hash[HEX + 1], text[512];
    int n;

    if (!vpi_s3_sha256_hex(size ? data : "", size, hash) || (!trailer && !vpi_s3_sha256_hex("", 0, none)))
        return vpi_fail(err, VP_E_INTERNAL, NULL, "no SHA-256 in this OpenSSL");
    n = snprintf(text, sizeof(text), "AWS4-HMAC-SHA256-%s\n%s\n%s\n%s\n%s%s%s",
                 trailer ? "TRAILER" : "PAYLOAD", c->stamp, c->scope, c->before, none, trailer ? "" : "\n",
                 hash);
    if (n < 0 || (size_t)n >= sizeof(text) || !vpi_s3_day_sign(&c->day, text, (size_t)n, c->before))
        return vpi_fail(err, VP_E_INTERNAL, NULL, "no HMAC with SHA-256 in this OpenSSL");
    return VP_OK;
}

/* The line before a chunk, after the end of the one before. */
static vp_status put_head(vp_s3_chunks *c, const void *data, uint64_t size, vpi_buf *out, vp_error *err)
{
    if (c->is_signed) VPI_TRY(sign_next(c, false, data, (size_t)size, err));
    vpi_buf_printf(out, "%s%llx", c->any ? "\r\n" : "", (unsigned long long)size);
    if (c->is_signed) vpi_buf_printf(out, SIGNATURE "%s", c->before);
    vpi_buf_str(out, "\r\n");
    c->any = true;
    return vpi_buf_failed(out) ? vpi_fail_nomem(err) : VP_OK;
}

vp_status vp_s3_chunks_next(vp_s3_chunks *c, const void *data, uint64_t size, vp_bytes **text, vp_error *err)
{
    vpi_buf b = { 0 };
    vp_status st;

    vpi_error_reset(err);
    if (text) *text = NULL;
    if (!c || !text || !data || !size || size > SIZE_MAX / 2)
        return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL, or a chunk without bytes");
    if (c->over || c->last)
        return vpi_fail(err, VP_E_STATE, NULL, "no chunk may follow %s",
                        c->over ? "the end" : "one of less than 8 KiB");
    if (size > c->size - c->done) return vpi_fail(err, VP_E_STATE, NULL, "more bytes than " LENGTH " tells");
    st = put_head(c, data, size, &b, err);
    if (st >= 0) st = vpi_bytes_from_buf(&b, text, err);
    if (st >= 0) {
        c->done += size;
        c->last = size < VP_S3_CHUNK_MIN;
    } else {
        c->over = true; /* its signature is in the chain */
    }
    vpi_buf_dispose(&b);
    return st;
}

/* Canonical lines of a trailer: names in lower case, sorted. */
static vp_status read_trailer(const char *trailer, vpi_s3_fields *f, vpi_buf *canonical, vp_error *err)
{
    VPI_TRY(vpi_s3_fields_headers(f, trailer, err));
    vpi_s3_fields_sort(f, false);
    if (f->count) vpi_s3_put_headers(canonical, f);
    return vpi_buf_failed(canonical) ? vpi_fail_nomem(err) : VP_OK;
}

/* All that x-amz-trailer tells, and nothing else. */
static bool names_fit(const vp_s3_chunks *c, const vpi_s3_fields *f)
{
    if (c->names.count != f->count) return false;
    for (size_t i = 0; i < f->count; i++) {
        const vpi_s3_field *a = &c->names.list[i], *b = &f->list[i];

        if (a->value_size != b->name_size || memcmp(a->text + a->value, b->text + b->name, b->name_size) != 0)
            return false;
    }
    return true;
}

/* "name:value\n" as "name:value\r\n" */
static void put_lines(vpi_buf *out, const vpi_buf *canonical)
{
    for (size_t i = 0; i < canonical->size; i++) {
        if (canonical->data[i] == '\n') vpi_buf_u8(out, '\r');
        vpi_buf_u8(out, canonical->data[i]);
    }
}

vp_status vp_s3_chunks_end(vp_s3_chunks *c, const char *trailer, vp_bytes **text, vp_error *err)
{
    vpi_s3_fields f = { 0 };
    vpi_buf canonical = { 0 }, b = { 0 };
    vp_status st;

    vpi_error_reset(err);
    if (text) *text = NULL;
    if (!c || !text) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    if (c->over) return vpi_fail(err, VP_E_STATE, NULL, "the end was there");
    if (c->done != c->size) return vpi_fail(err, VP_E_STATE, NULL, "fewer bytes than " LENGTH " tells");
    VPI_GO(read_trailer(trailer, &f, &canonical, err));
    if (!names_fit(c, &f)) {
        st = vpi_fail(err, VP_E_ARG, NULL, "trailer: has other names than x-amz-trailer");
        goto done;
    }
    c->over = true;
    VPI_GO(put_head(c, NULL, 0, &b, err));
    put_lines(&b, &canonical);
    if (c->is_signed && c->has_trailer) {
        VPI_GO(sign_next(c, true, canonical.data, canonical.size, err));
        vpi_buf_printf(&b, TRAILER_SIGNATURE ":%s\r\n", c->before);
    }
    vpi_buf_str(&b, "\r\n");
    st = vpi_buf_failed(&b) ? vpi_fail_nomem(err) : vpi_bytes_from_buf(&b, text, err);
done:
    vpi_s3_fields_dispose(&f);
    vpi_buf_dispose(&canonical);
    vpi_buf_dispose(&b);
    return st;
}

/* ---- how long all of it is ---- */

static uint64_t digits(uint64_t v)
{
    uint64_t n = 1;

    while (v >>= 4) n++;
    return n;
}

vp_status vp_s3_chunks_size(const char *payload_sha256, uint64_t size, uint64_t chunk_size,
                            const char *trailer, uint64_t *out, vp_error *err)
{
    vpi_s3_fields f = { 0 };
    vpi_buf canonical = { 0 };
    bool is_signed, has_trailer;
    uint64_t head, rest, total;
    vp_status st = VP_OK;

    vpi_error_reset(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "nowhere to put the result");
    *out = 0;
    if (!kind_of(payload_sha256, &is_signed, &has_trailer)) return unknown_kind(err);
    if (chunk_size < VP_S3_CHUNK_MIN || size > INT64_MAX)
        return vpi_fail(err, VP_E_ARG, NULL, "chunk_size: at least 8 KiB; size: less than 8 EiB");
    if (has_trailer != (trailer && *trailer))
        return vpi_fail(err, VP_E_ARG, NULL, "trailer: does not fit payload_sha256");
    VPI_GO(read_trailer(trailer, &f, &canonical, err));
    head = (is_signed ? SIGNATURE_SIZE : 0) + 4; /* and two line ends: of the head, of the bytes */
    rest = size % chunk_size;
    total = size / chunk_size * (head + digits(chunk_size)) + (rest ? head + digits(rest) : 0); /* < size */
    total += size + head + 1 + canonical.size + f.count;
    if (is_signed && has_trailer) total += sizeof(TRAILER_SIGNATURE) - 1 + 1 + HEX + 2;
    *out = total;
done:
    vpi_s3_fields_dispose(&f);
    vpi_buf_dispose(&canonical);
    return st;
}
