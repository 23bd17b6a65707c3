/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SHA-256 by special instructions of x86. A step of SHA-NI takes four cycles and starts every second one, and each
 * waits for the one before: two messages side by side cost hardly more than one. With AVX-512 there are sixteen, one in
 * each lane, and plain arithmetic in place of those steps: there are 32 registers, rotations, and any function of three
 * bits in one go, so that sixteen take half the time that they take two by two.
 */

#include "base/sha256_int.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#define NI __attribute__((target("sha,sse4.1,ssse3")))
#define NI_INLINE NI __attribute__((always_inline)) static inline
#define WIDE __attribute__((target("avx512f,avx512bw")))
#define WIDE_INLINE WIDE __attribute__((always_inline)) static inline

/* ---- SHA-NI ---- */

typedef struct lane {
    __m128i abef, cdgh;             /* as the instructions want them */
    __m128i abef_first, cdgh_first; /* of this block */
    __m128i w[4];
} lane;

NI_INLINE __m128i load(const void *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

NI_INLINE void lane_open(lane *l, const uint32_t *state)
{
    __m128i abcd = _mm_shuffle_epi32(load(state), 0xB1), efgh = _mm_shuffle_epi32(load(state + 4), 0x1B);

    l->abef = _mm_alignr_epi8(abcd, efgh, 8);
    l->cdgh = _mm_blend_epi16(efgh, abcd, 0xF0);
}

NI_INLINE void lane_close(const lane *l, uint32_t *state)
{
    __m128i feba = _mm_shuffle_epi32(l->abef, 0x1B), dchg = _mm_shuffle_epi32(l->cdgh, 0xB1);

    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

NI_INLINE void lane_begin(lane *l, const uint8_t *p)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);

    l->abef_first = l->abef;
    l->cdgh_first = l->cdgh;
    l->w[0] = _mm_shuffle_epi8(load(p), swap);
    l->w[1] = _mm_shuffle_epi8(load(p + 16), swap);
    l->w[2] = _mm_shuffle_epi8(load(p + 32), swap);
    l->w[3] = _mm_shuffle_epi8(load(p + 48), swap);
}

NI_INLINE void lane_end(lane *l)
{
    l->abef = _mm_add_epi32(l->abef, l->abef_first);
    l->cdgh = _mm_add_epi32(l->cdgh, l->cdgh_first);
}

/* Two of four steps; who has two lanes does the same of the other one before it goes on. */
#define NI_FIRST(l, sum, i)                                                                                  \
    (sum) = _mm_add_epi32((l).w[(i)&3], load(vpi_sha256_k + 4 * (i)));                                       \
    (l).cdgh = _mm_sha256rnds2_epu32((l).cdgh, (l).abef, sum)
#define NI_SECOND(l, sum) (l).abef = _mm_sha256rnds2_epu32((l).abef, (l).cdgh, _mm_shuffle_epi32(sum, 0x0E))
/* Four words of the schedule in place of those that were used up. */
#define NI_NEXT(l, i)                                                                                        \
    (l).w[(i)&3] =                                                                                           \
        _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32((l).w[(i)&3], (l).w[((i) + 1) & 3]),         \
                                           _mm_alignr_epi8((l).w[((i) + 3) & 3], (l).w[((i) + 2) & 3], 4)),  \
                             (l).w[((i) + 3) & 3])

#define ONE_LAST(i)                                                                                          \
    NI_FIRST(a, x, i);                                                                                       \
    NI_SECOND(a, x);
#define ONE(i)                                                                                               \
    NI_FIRST(a, x, i);                                                                                       \
    NI_NEXT(a, i);                                                                                           \
    NI_SECOND(a, x);
#define TWO_LAST(i)                                                                                          \
    NI_FIRST(a, x, i);                                                                                       \
    NI_FIRST(b, y, i);                                                                                       \
    NI_SECOND(a, x);                                                                                         \
    NI_SECOND(b, y);
#define TWO(i)                                                                                               \
    NI_FIRST(a, x, i);                                                                                       \
    NI_FIRST(b, y, i);                                                                                       \
    NI_NEXT(a, i);                                                                                           \
    NI_NEXT(b, i);                                                                                           \
    NI_SECOND(a, x);                                                                                         \
    NI_SECOND(b, y);
#define TWELVE(STEP)                                                                                         \
    STEP(0) STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10) STEP(11)
#define FOUR(STEP) STEP(12) STEP(13) STEP(14) STEP(15)

NI static void one(uint32_t state[8], const uint8_t *p, size_t blocks)
{
    __m128i x;
    lane a;

    lane_open(&a, state);
    for (; blocks; blocks--, p += 64) {
        lane_begin(&a, p);
        TWELVE(ONE)
        FOUR(ONE_LAST)
        lane_end(&a);
    }
    lane_close(&a, state);
}

NI static void two(uint32_t *const state[2], const uint8_t *const p[2], size_t blocks)
{
    __m128i x, y;
    lane a, b;

    lane_open(&a, state[0]);
    lane_open(&b, state[1]);
    for (size_t at = 0; at < 64 * blocks; at += 64) {
        lane_begin(&a, p[0] + at);
        lane_begin(&b, p[1] + at);
        TWELVE(TWO)
        FOUR(TWO_LAST)
        lane_end(&a);
        lane_end(&b);
    }
    lane_close(&a, state[0]);
    lane_close(&b, state[1]);
}

/* ---- AVX-512 ---- */

#define ADD(a, b) _mm512_add_epi32(a, b)
#define XOR3(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0x96)
#define CH(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0xCA)
#define MAJ(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0xE8)
#define ROR(v, n) _mm512_ror_epi32(v, n)
#define SIGMA(v, a, b, c) XOR3(ROR(v, a), ROR(v, b), ROR(v, c))
#define sigma(v, a, b, c) XOR3(ROR(v, a), ROR(v, b), _mm512_srli_epi32(v, c))

/* d depends on e by three operations alone, though that takes one addition more: the next step waits for it. */
#define WIDE_STEP(a, b, c, d, e, f, g, h, i)                                                                 \
    do {                                                                                                     \
        __m512i rest = ADD(ADD(ADD(h, _mm512_set1_epi32((int)k[i])), w[i]), CH(e, f, g));                    \
        __m512i of_e = SIGMA(e, 6, 11, 25);                                                                  \
                                                                                                             \
        (d) = ADD(ADD(d, rest), of_e);                                                                       \
        (h) = ADD(ADD(rest, of_e), ADD(MAJ(a, b, c), SIGMA(a, 2, 13, 22)));                                  \
    } while (0)
/* The word of the schedule sixteen steps later. */
#define WIDE_NEXT(i)                                                                                         \
    w[i] = ADD(ADD(w[i], w[((i) + 9) & 15]),                                                                 \
               ADD(sigma(w[((i) + 1) & 15], 7, 18, 3), sigma(w[((i) + 14) & 15], 17, 19, 10)))
#define WIDE_EIGHT(STEP, i)                                                                                  \
    STEP(a, b, c, d, e, f, g, h, i);                                                                         \
    STEP(h, a, b, c, d, e, f, g, (i) + 1);                                                                   \
    STEP(g, h, a, b, c, d, e, f, (i) + 2);                                                                   \
    STEP(f, g, h, a, b, c, d, e, (i) + 3);                                                                   \
    STEP(e, f, g, h, a, b, c, d, (i) + 4);                                                                   \
    STEP(d, e, f, g, h, a, b, c, (i) + 5);                                                                   \
    STEP(c, d, e, f, g, h, a, b, (i) + 6);                                                                   \
    STEP(b, c, d, e, f, g, h, a, (i) + 7)
#define WIDE_STEP_NEXT(a, b, c, d, e, f, g, h, i)                                                            \
    WIDE_STEP(a, b, c, d, e, f, g, h, i);                                                                    \
    WIDE_NEXT(i)

/* Four rows of four words in each quarter become four columns. */
WIDE_INLINE void turn_quarters(__m512i *r)
{
    __m512i a = _mm512_unpacklo_epi32(r[0], r[1]), b = _mm512_unpackhi_epi32(r[0], r[1]);
    __m512i c = _mm512_unpacklo_epi32(r[2], r[3]), d = _mm512_unpackhi_epi32(r[2], r[3]);

    r[0] = _mm512_unpacklo_epi64(a, c);
    r[1] = _mm512_unpackhi_epi64(a, c);
    r[2] = _mm512_unpacklo_epi64(b, d);
    r[3] = _mm512_unpackhi_epi64(b, d);
}

/* Then the quarters themselves: of r[j], r[4 + j], r[8 + j], r[12 + j]. */
WIDE_INLINE void join_quarters(__m512i *r)
{
    __m512i a = _mm512_shuffle_i32x4(r[0], r[4], 0x88), b = _mm512_shuffle_i32x4(r[0], r[4], 0xDD);
    __m512i c = _mm512_shuffle_i32x4(r[8], r[12], 0x88), d = _mm512_shuffle_i32x4(r[8], r[12], 0xDD);

    r[0] = _mm512_shuffle_i32x4(a, c, 0x88);
    r[4] = _mm512_shuffle_i32x4(b, d, 0x88);
    r[8] = _mm512_shuffle_i32x4(a, c, 0xDD);
    r[12] = _mm512_shuffle_i32x4(b, d, 0xDD);
}

WIDE_INLINE __m512i load_swapped(const uint8_t *p)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);

    return _mm512_shuffle_epi8(_mm512_loadu_si512(p), _mm512_broadcast_i32x4(swap));
}

/* Sixteen blocks, word by word: lane i of w[j] is word j of message i. */
WIDE_INLINE void load_blocks(__m512i w[16], const uint8_t *const p[16], size_t at)
{
#define LOAD(i) w[i] = load_swapped(p[i] + at)
    LOAD(0), LOAD(1), LOAD(2), LOAD(3), LOAD(4), LOAD(5), LOAD(6), LOAD(7);
    LOAD(8), LOAD(9), LOAD(10), LOAD(11), LOAD(12), LOAD(13), LOAD(14), LOAD(15);
#undef LOAD
    turn_quarters(w);
    turn_quarters(w + 4);
    turn_quarters(w + 8);
    turn_quarters(w + 12);
    join_quarters(w);
    join_quarters(w + 1);
    join_quarters(w + 2);
    join_quarters(w + 3);
}

WIDE static void sixteen(uint32_t state[8][VPI_SHA256_LANES], const uint8_t *const p[VPI_SHA256_LANES],
                         size_t blocks)
{
    __m512i a = _mm512_loadu_si512(state[0]), b = _mm512_loadu_si512(state[1]);
    __m512i c = _mm512_loadu_si512(state[2]), d = _mm512_loadu_si512(state[3]);
    __m512i e = _mm512_loadu_si512(state[4]), f = _mm512_loadu_si512(state[5]);
    __m512i g = _mm512_loadu_si512(state[6]), h = _mm512_loadu_si512(state[7]);

    for (size_t at = 0; at < 64 * blocks; at += 64) {
        const __m512i first[8] = { a, b, c, d, e, f, g, h };
        const uint32_t *k = vpi_sha256_k;
        __m512i w[16];

        load_blocks(w, p, at);
        for (unsigned i = 0; i < 3; i++, k += 16) {
            WIDE_EIGHT(WIDE_STEP_NEXT, 0);
            WIDE_EIGHT(WIDE_STEP_NEXT, 8);
        }
        WIDE_EIGHT(WIDE_STEP, 0);
        WIDE_EIGHT(WIDE_STEP, 8);
        a = ADD(a, first[0]), b = ADD(b, first[1]), c = ADD(c, first[2]), d = ADD(d, first[3]);
        e = ADD(e, first[4]), f = ADD(f, first[5]), g = ADD(g, first[6]), h = ADD(h, first[7]);
    }
    _mm512_storeu_si512(state[0], a), _mm512_storeu_si512(state[1], b);
    _mm512_storeu_si512(state[2], c), _mm512_storeu_si512(state[3], d);
    _mm512_storeu_si512(state[4], e), _mm512_storeu_si512(state[5], f);
    _mm512_storeu_si512(state[6], g), _mm512_storeu_si512(state[7], h);
}

/* ---- what there is ---- */

void vpi_sha256_kernels_x86(vpi_sha256_kernels *kernels, int most)
{
    unsigned eax, ebx, ecx, edx;

    __builtin_cpu_init();
    if (most < VPI_SHA256_SHA_NI || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return;
    if (ebx >> 29 & 1 && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3")) {
        kernels->one = one;
        kernels->two = two;
    }
    if (most >= VPI_SHA256_AVX512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"))
        kernels->sixteen = sixteen;
}
#else
void vpi_sha256_kernels_x86(vpi_sha256_kernels *kernels, int most)
{
    (void)kernels;
    (void)most;
}
#endif
