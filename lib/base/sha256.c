/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* FIPS 180-4, sections 4.1.2, 5.1.1 and 6.2. */

#include <pthread.h>

#include "base/buf.h"
#include "base/sha256_int.h"

/* Fewer messages than that are done sooner two by two. */
#define SIXTEEN_FROM 8u
#define k vpi_sha256_k

const uint32_t vpi_sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotr(uint32_t v, unsigned n)
{
    return (v >> n) | (v << (32 - n));
}

/* One step of 6.2.2; who calls it turns the names of the variables instead of moving their values. */
#define STEP(a, b, c, d, e, f, g, h, i)                                                                      \
    do {                                                                                                     \
        uint32_t t1 = h + (rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i];     \
                                                                                                             \
        d += t1;                                                                                             \
        h = t1 + (rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));                   \
    } while (0)

static void compress(uint32_t state[8], const uint8_t *p)
{
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    uint32_t w[64];
    unsigned i;

    for (i = 0; i < 16; i++) w[i] = vpi_rd32(p + 4 * i);
    for (; i < 64; i++) {
        uint32_t s0 = rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
        uint32_t s1 = rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);

        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    for (i = 0; i < 64; i += 8) {
        STEP(a, b, c, d, e, f, g, h, i);
        STEP(h, a, b, c, d, e, f, g, i + 1);
        STEP(g, h, a, b, c, d, e, f, i + 2);
        STEP(f, g, h, a, b, c, d, e, i + 3);
        STEP(e, f, g, h, a, b, c, d, i + 4);
        STEP(d, e, f, g, h, a, b, c, i + 5);
        STEP(c, d, e, f, g, h, a, b, i + 6);
        STEP(b, c, d, e, f, g, h, a, i + 7);
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

static void plain(uint32_t state[8], const uint8_t *p, size_t blocks)
{
    for (; blocks; blocks--, p += 64) compress(state, p);
}

/* ---- by which instructions ---- */

static vpi_sha256_kernels best;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void setup(void)
{
    best.one = plain;
    vpi_sha256_kernels_x86(&best, VPI_SHA256_AVX512);
}

static const vpi_sha256_kernels *kernels(void)
{
    pthread_once(&once, setup);
    return &best;
}

void vpi_sha256_limit(int most)
{
    pthread_once(&once, setup);
    best = (vpi_sha256_kernels){ .one = plain };
    vpi_sha256_kernels_x86(&best, most);
}

unsigned vpi_sha256_lanes(void)
{
    return kernels()->sixteen ? VPI_SHA256_LANES : kernels()->two ? 2 : 1;
}

/* ---- messages ---- */

void vpi_sha256_init(vpi_sha256 *s)
{
    static const uint32_t start[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

    memcpy(s->h, start, sizeof(start));
    s->length = 0;
}

void vpi_sha256_add(vpi_sha256 *s, const void *data, size_t size)
{
    const uint8_t *p = data;
    size_t fill = (size_t)(s->length % 64);

    s->length += size;
    if (fill > 0) {
        size_t n = VPI_MIN(64 - fill, size);

        if (n > 0) memcpy(s->block + fill, p, n);
        if (fill + n < 64) return;
        kernels()->one(s->h, s->block, 1);
        p += n;
        size -= n;
    }
    if (size >= 64) kernels()->one(s->h, p, size / 64);
    if (size % 64 > 0) memcpy(s->block, p + size / 64 * 64, size % 64);
}

/* The lanes that are left over do the work of the first one again. */
static void add_wide(vpi_sha256 *s, const uint8_t *const p[], unsigned n, size_t blocks)
{
    uint32_t state[8][VPI_SHA256_LANES];
    const uint8_t *from[VPI_SHA256_LANES];

    for (unsigned i = 0; i < VPI_SHA256_LANES; i++) {
        const uint32_t *h = s[i < n ? i : 0].h;

        from[i] = p[i < n ? i : 0];
        for (unsigned j = 0; j < 8; j++) state[j][i] = h[j];
    }
    kernels()->sixteen(state, from, blocks);
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = 0; j < 8; j++) s[i].h[j] = state[j][i];
}

static void add_blocks(vpi_sha256 *s, const uint8_t *const p[], unsigned n, size_t blocks)
{
    const vpi_sha256_kernels *by = kernels();

    while (n > 0) {
        unsigned now = VPI_MIN(n, VPI_SHA256_LANES);

        if (by->sixteen && now >= (by->two ? SIXTEEN_FROM : 2)) {
            add_wide(s, p, now, blocks);
        } else if (by->two && now >= 2) {
            uint32_t *const state[2] = { s[0].h, s[1].h };

            by->two(state, p, blocks);
            now = 2;
        } else {
            by->one(s->h, *p, blocks);
            now = 1;
        }
        s += now;
        p += now;
        n -= now;
    }
}

void vpi_sha256_add_many(vpi_sha256 *s, const uint8_t *const data[], unsigned n, size_t size)
{
    size_t whole = size / 64 * 64;

    for (unsigned i = 0; i < n; i++)
        if (s[i].length % 64) whole = 0; /* all of it one by one */
    if (whole) add_blocks(s, data, n, whole / 64);
    for (unsigned i = 0; i < n; i++) {
        s[i].length += whole;
        if (size > whole) vpi_sha256_add(&s[i], data[i] + whole, size - whole);
    }
}

void vpi_sha256_add_u64(vpi_sha256 *s, uint64_t v)
{
    uint8_t b[8];
    unsigned i;

    for (i = 0; i < 8; i++) b[i] = (uint8_t)(v >> (56 - 8 * i));
    vpi_sha256_add(s, b, sizeof(b));
}

void vpi_sha256_add_str(vpi_sha256 *s, const char *text)
{
    size_t n = text ? strlen(text) : 0;

    vpi_sha256_add_u64(s, n);
    if (n > 0) vpi_sha256_add(s, text, n);
}

void vpi_sha256_done(vpi_sha256 *s, uint8_t digest[32])
{
    static const uint8_t pad[64] = { 0x80 };
    uint64_t bits = s->length * 8;
    size_t fill = (size_t)(s->length % 64);
    unsigned i;

    vpi_sha256_add(s, pad, fill < 56 ? 56 - fill : 120 - fill);
    vpi_sha256_add_u64(s, bits);
    for (i = 0; i < 32; i++) digest[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

void vpi_sha256_hex(vpi_sha256 *s, char hex[65])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[32];
    unsigned i;

    vpi_sha256_done(s, digest);
    for (i = 0; i < 32; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = 0;
}
