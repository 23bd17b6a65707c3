/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CRC-64/NVME: NVM Command Set 5.2.1.3.4; reflected polynomial 0xAD93D23594C93659, all ones in and out. By carry-less
 * multiplication where the processor has it: blocks of 64 bytes are folded into one, which the table then ends.
 */

#include <pthread.h>
#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_CLMUL 1
#include <wmmintrin.h>
#endif

#include "client.h"

#define CRC64_POLY UINT64_C(0x9A6C9329AC4BC9B5)

static uint64_t table[8][256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

#if HAVE_CLMUL
static bool clmul;
static uint64_t far_low, far_high, near_low, near_high;

/*
 * x^n modulo the polynomial, in the order of bits of the CRC: bit 63 is x^0. Folding by D bits multiplies the first
 * half of a block with x^(D+64), the second with x^D; both one less, as the product of two reflected numbers lies a bit
 * low.
 */
static uint64_t power(unsigned n)
{
    uint64_t v = UINT64_C(1) << 63;

    while (n--) v = v & 1 ? v >> 1 ^ CRC64_POLY : v >> 1;
    return v;
}
#endif

static void make(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t c = i;

        for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ CRC64_POLY : c >> 1;
        table[0][i] = c;
    }
    for (unsigned k = 1; k < 8; k++)
        for (unsigned i = 0; i < 256; i++)
            table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 0xFF];
#if HAVE_CLMUL
    __builtin_cpu_init();
    clmul = __builtin_cpu_supports("pclmul");
    far_low = power(512 + 63);
    far_high = power(512 - 1);
    near_low = power(128 + 63);
    near_high = power(128 - 1);
#endif
}

static uint64_t by_table(uint64_t c, const uint8_t *p, size_t size)
{
    for (; size >= 8; size -= 8, p += 8) { /* eight bytes a step ("slicing-by-8") */
        uint64_t v = c ^ ((uint64_t)vpi_rl32(p) | (uint64_t)vpi_rl32(p + 4) << 32);

        c = 0;
        for (unsigned k = 0; k < 8; k++) c ^= table[7 - k][v >> (8 * k) & 0xFF];
    }
    for (; size; size--) c = c >> 8 ^ table[0][(c ^ *p++) & 0xFF];
    return c;
}

#if HAVE_CLMUL
#define CLMUL __attribute__((target("pclmul,sse2")))

CLMUL static inline __m128i fold(__m128i a, __m128i by, __m128i next)
{
    return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(a, by, 0x00), _mm_clmulepi64_si128(a, by, 0x11)),
                         next);
}

/* size: at least 128. */
CLMUL static uint64_t by_folding(uint64_t c, const uint8_t *p, size_t size)
{
    const __m128i far = _mm_set_epi64x((long long)far_high, (long long)far_low);
    const __m128i near = _mm_set_epi64x((long long)near_high, (long long)near_low);
    const __m128i *v = (const __m128i *)p;
    __m128i a[4];
    uint8_t rest[16];

    for (int i = 0; i < 4; i++) a[i] = _mm_loadu_si128(v++);
    a[0] = _mm_xor_si128(a[0], _mm_cvtsi64_si128((long long)c));
    for (size -= 64; size >= 64; size -= 64)
        for (int i = 0; i < 4; i++) a[i] = fold(a[i], far, _mm_loadu_si128(v++));
    for (int i = 1; i < 4; i++) a[0] = fold(a[0], near, a[i]);
    for (; size >= 16; size -= 16) a[0] = fold(a[0], near, _mm_loadu_si128(v++));
    _mm_storeu_si128((__m128i *)rest, a[0]);
    return by_table(by_table(0, rest, sizeof(rest)), (const uint8_t *)v, size);
}
#endif

uint64_t vpi_s3_crc64_table(uint64_t crc, const void *data, size_t size)
{
    pthread_once(&once, make);
    return ~by_table(~crc, data, size);
}

uint64_t vpi_s3_crc64(uint64_t crc, const void *data, size_t size)
{
    pthread_once(&once, make);
#if HAVE_CLMUL
    if (clmul && size >= 128) return ~by_folding(~crc, data, size);
#endif
    return ~by_table(~crc, data, size);
}

/* a times b modulo the polynomial, both in the order of bits of the CRC. */
static uint64_t times(uint64_t a, uint64_t b)
{
    uint64_t product = 0;

    for (; a; a <<= 1) {
        if (a >> 63) product ^= b;
        b = b & 1 ? b >> 1 ^ CRC64_POLY : b >> 1;
    }
    return product;
}

/* Zero bytes behind the first ones multiply their CRC with x^8 each. */
uint64_t vpi_s3_crc64_combine(uint64_t a, uint64_t b, uint64_t b_size)
{
    uint64_t square = UINT64_C(1) << 55; /* x^8 */

    for (; b_size; b_size >>= 1) {
        if (b_size & 1) a = times(a, square);
        square = times(square, square);
    }
    return a ^ b;
}
