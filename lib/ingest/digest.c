/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The block functions are OpenSSL's, which use what the processor has for SHA. Its older interface is taken because the
 * newer one cannot give a state away; the struct's layout stays in this file.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/md5.h>
#include <openssl/sha.h>

#include "base/hash.h"
#include "ingest/digest.h"

#define BLOCK 64u

typedef union context {
    SHA256_CTX sha256;
    SHA_CTX sha1;
    MD5_CTX md5;
} context;

_Static_assert(sizeof(context) <= sizeof(((vpi_digest *)0)->state), "a context of OpenSSL fits");

static context *of(vpi_digest *d)
{
    return (context *)(void *)d->state;
}

static const struct {
    const char *name;
    uint8_t algorithm, size, words;
} kinds[] = {
    { "sha256", VPI_DIGEST_SHA256, 32, 8 },
    { "sha1", VPI_DIGEST_SHA1, 20, 5 },
    { "md5", VPI_DIGEST_MD5, 16, 4 },
    { "crc32c", VPI_DIGEST_CRC32C, 4, 1 },
};

uint8_t vpi_digest_named(const char *name, size_t length)
{
    for (size_t i = 0; i < VPI_COUNT(kinds); i++) {
        if (strlen(kinds[i].name) == length && memcmp(kinds[i].name, name, length) == 0)
            return kinds[i].algorithm;
    }
    return VPI_DIGEST_NONE;
}

size_t vpi_digest_size(uint8_t algorithm)
{
    return algorithm >= 1 && algorithm <= VPI_COUNT(kinds) ? kinds[algorithm - 1].size : 0;
}

void vpi_digest_init(vpi_digest *d, uint8_t algorithm)
{
    *d = (vpi_digest){ .algorithm = algorithm };
    if (algorithm == VPI_DIGEST_SHA256) SHA256_Init(&of(d)->sha256);
    if (algorithm == VPI_DIGEST_SHA1) SHA1_Init(&of(d)->sha1);
    if (algorithm == VPI_DIGEST_MD5) MD5_Init(&of(d)->md5);
}

void vpi_digest_add(vpi_digest *d, const void *data, size_t size)
{
    if (size == 0) return;
    d->length += size;
    if (d->algorithm == VPI_DIGEST_SHA256) SHA256_Update(&of(d)->sha256, data, size);
    if (d->algorithm == VPI_DIGEST_SHA1) SHA1_Update(&of(d)->sha1, data, size);
    if (d->algorithm == VPI_DIGEST_MD5) MD5_Update(&of(d)->md5, data, size);
    if (d->algorithm == VPI_DIGEST_CRC32C) d->crc = vpi_crc32c(d->crc, data, size);
}

void vpi_digest_add_at(vpi_digest *d, uint64_t at, const void *data, size_t size)
{
    if (d->length == at) vpi_digest_add(d, data, size);
}

/* The words of a SHA-256 that stands between two blocks, as they are hashed several at a time. */
static void to_lane(const vpi_digest *d, vpi_sha256 *lane)
{
    const context *c = (const context *)(const void *)d->state;

    lane->length = d->length;
    for (unsigned i = 0; i < 8; i++) lane->h[i] = c->sha256.h[i];
}

static void from_lane(vpi_digest *d, const vpi_sha256 *lane)
{
    context *c = of(d);

    for (unsigned i = 0; i < 8; i++) c->sha256.h[i] = lane->h[i];
    d->length = lane->length;
    c->sha256.Nl = (SHA_LONG)(d->length << 3);
    c->sha256.Nh = (SHA_LONG)(d->length >> 29);
}

void vpi_digest_add_many(const vpi_digest_input *in, unsigned n)
{
    vpi_sha256 lanes[VPI_DIGEST_LANES];
    const uint8_t *from[VPI_DIGEST_LANES];
    const vpi_digest_input *at[VPI_DIGEST_LANES];
    bool several = n > 1 && vpi_sha256_lanes() > 1;
    size_t common = SIZE_MAX;
    unsigned count = 0;

    for (unsigned i = 0; i < n; i++) {
        bool fits = several && in[i].digest->algorithm == VPI_DIGEST_SHA256 &&
                    in[i].digest->length % BLOCK == 0 && in[i].size >= BLOCK && count < VPI_DIGEST_LANES;

        if (!fits) {
            vpi_digest_add(in[i].digest, in[i].data, in[i].size);
            continue;
        }
        to_lane(in[i].digest, &lanes[count]);
        from[count] = in[i].data;
        at[count++] = &in[i];
        common = VPI_MIN(common, in[i].size / BLOCK * BLOCK);
    }
    if (count > 1) {
        vpi_sha256_add_many(lanes, from, count, common);
        for (unsigned i = 0; i < count; i++) from_lane(at[i]->digest, &lanes[i]);
    } else {
        common = 0;
    }
    for (unsigned i = 0; i < count; i++)
        vpi_digest_add(at[i]->digest, at[i]->data + common, at[i]->size - common);
}

void vpi_digest_peek(const vpi_digest *d, uint8_t out[VPI_DIGEST_MAX])
{
    vpi_digest copy = *d;

    memset(out, 0, VPI_DIGEST_MAX);
    if (d->algorithm == VPI_DIGEST_SHA256) SHA256_Final(out, &of(&copy)->sha256);
    if (d->algorithm == VPI_DIGEST_SHA1) SHA1_Final(out, &of(&copy)->sha1);
    if (d->algorithm == VPI_DIGEST_MD5) MD5_Final(out, &of(&copy)->md5);
    if (d->algorithm == VPI_DIGEST_CRC32C) {
        for (unsigned i = 0; i < 4; i++) out[i] = (uint8_t)(d->crc >> (24 - 8 * i));
    }
}

/* ---- the state, written down ---- */

/* Words and block of a context; the block's bytes are kept in order, whatever the processor's. */
static void parts(vpi_digest *d, uint32_t *words[8], uint8_t **block)
{
    context *c = of(d);

    *block = NULL;
    if (d->algorithm == VPI_DIGEST_SHA256) {
        for (unsigned i = 0; i < 8; i++) words[i] = &c->sha256.h[i];
        *block = (uint8_t *)c->sha256.data;
    } else if (d->algorithm == VPI_DIGEST_SHA1) {
        words[0] = &c->sha1.h0;
        words[1] = &c->sha1.h1;
        words[2] = &c->sha1.h2;
        words[3] = &c->sha1.h3;
        words[4] = &c->sha1.h4;
        *block = (uint8_t *)c->sha1.data;
    } else if (d->algorithm == VPI_DIGEST_MD5) {
        words[0] = &c->md5.A;
        words[1] = &c->md5.B;
        words[2] = &c->md5.C;
        words[3] = &c->md5.D;
        *block = (uint8_t *)c->md5.data;
    } else {
        words[0] = &d->crc;
    }
}

void vpi_digest_write(const vpi_digest *d, vpi_buf *b)
{
    vpi_digest copy = *d;
    uint32_t *words[8];
    uint8_t *block;

    if (vpi_digest_size(d->algorithm) == 0) return;
    parts(&copy, words, &block);
    vpi_buf_u8(b, d->algorithm);
    vpi_buf_be64(b, d->length);
    for (unsigned i = 0; i < kinds[d->algorithm - 1].words; i++) vpi_buf_be32(b, *words[i]);
    if (block) vpi_buf_add(b, block, (size_t)(d->length % BLOCK));
}

size_t vpi_digest_read(vpi_digest *d, const uint8_t *data, size_t size)
{
    uint32_t *words[8], rest;
    uint8_t *block;
    size_t need;

    if (size < 9 || vpi_digest_size(data[0]) == 0) return 0;
    vpi_digest_init(d, data[0]);
    d->length = vpi_rd64(data + 1);
    rest = data[0] == VPI_DIGEST_CRC32C ? 0 : (uint32_t)(d->length % BLOCK);
    need = 9 + 4 * (size_t)kinds[data[0] - 1].words + rest;
    if (size < need || d->length > INT64_MAX / 8) return 0;
    parts(d, words, &block);
    for (unsigned i = 0; i < kinds[data[0] - 1].words; i++) *words[i] = vpi_rd32(data + 9 + 4 * i);
    if (block) memcpy(block, data + need - rest, rest);
    if (d->algorithm == VPI_DIGEST_SHA256) {
        of(d)->sha256.Nl = (SHA_LONG)(d->length << 3);
        of(d)->sha256.Nh = (SHA_LONG)(d->length >> 29);
        of(d)->sha256.num = rest;
    } else if (d->algorithm == VPI_DIGEST_SHA1) {
        of(d)->sha1.Nl = (SHA_LONG)(d->length << 3);
        of(d)->sha1.Nh = (SHA_LONG)(d->length >> 29);
        of(d)->sha1.num = rest;
    } else if (d->algorithm == VPI_DIGEST_MD5) {
        of(d)->md5.Nl = (MD5_LONG)(d->length << 3);
        of(d)->md5.Nh = (MD5_LONG)(d->length >> 29);
        of(d)->md5.num = rest;
    }
    return need;
}

/* ---- hexadecimal ---- */

void vpi_hex(const uint8_t *data, size_t size, char *text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        text[2 * i] = digits[data[i] >> 4];
        text[2 * i + 1] = digits[data[i] & 15];
    }
    text[2 * size] = 0;
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool vpi_unhex(const char *text, size_t digits, uint8_t *data)
{
    for (size_t i = 0; i + 1 < digits; i += 2) {
        int high = nibble(text[i]), low = nibble(text[i + 1]);

        if (high < 0 || low < 0) return false;
        data[i / 2] = (uint8_t)(high << 4 | low);
    }
    return digits % 2 == 0;
}
