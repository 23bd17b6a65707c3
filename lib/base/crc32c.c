/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CRC-32C, reflected polynomial 0x82F63B78 (RFC 3720 B.4). The instruction of SSE4.2 and ARMv8 takes three
 * cycles but starts one every cycle: three streams run interleaved and are joined with tables that advance a
 * CRC over a block of zero bytes. Without the instruction: eight bytes a step by table.
 */

#include <pthread.h>
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#include "base/hash.h"

#define POLY 0x82F63B78u
#define LONG_BLOCK 4096u
#define SHORT_BLOCK 256u

typedef uint32_t (*crc_fn)(uint32_t crc, const uint8_t *p, size_t size);

static uint32_t by8[8][256];
static uint32_t zeros_long[4][256], zeros_short[4][256];
static crc_fn best;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint32_t crc_table(uint32_t crc, const uint8_t *p, size_t size)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t v = load64(p) ^ crc;

        crc = by8[7][v & 255] ^ by8[6][(v >> 8) & 255] ^ by8[5][(v >> 16) & 255] ^ by8[4][(v >> 24) & 255] ^
              by8[3][(v >> 32) & 255] ^ by8[2][(v >> 40) & 255] ^ by8[1][(v >> 48) & 255] ^ by8[0][v >> 56];
    }
#endif
    while (size-- > 0) crc = by8[0][(crc ^ *p++) & 255] ^ (crc >> 8);
    return crc;
}

#if defined(__x86_64__)
#define HAVE_INSTRUCTION 1
#define CRC_TARGET __attribute__((target("sse4.2")))
#define CRC_U64(crc, v) (uint32_t) __builtin_ia32_crc32di((crc), (v))
#define CRC_U8(crc, v) __builtin_ia32_crc32qi((crc), (v))

static bool have_instruction(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.2");
}
#elif defined(__aarch64__) && defined(__linux__) && defined(__GNUC__)
#define HAVE_INSTRUCTION 1
#if defined(__clang__)
#define CRC_TARGET __attribute__((target("crc")))
#define CRC_U64(crc, v) __builtin_arm_crc32cd((crc), (v))
#define CRC_U8(crc, v) __builtin_arm_crc32cb((crc), (v))
#else
#define CRC_TARGET __attribute__((target("+crc")))
#define CRC_U64(crc, v) __builtin_aarch64_crc32cx((crc), (v))
#define CRC_U8(crc, v) __builtin_aarch64_crc32cb((crc), (v))
#endif
#define HWCAP_CRC32_BIT (1ul << 7)

static bool have_instruction(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_CRC32_BIT) != 0;
}
#endif

#if defined(HAVE_INSTRUCTION)
static inline uint32_t over_zeros(uint32_t table[4][256], uint32_t crc)
{
    return table[0][crc & 255] ^ table[1][(crc >> 8) & 255] ^ table[2][(crc >> 16) & 255] ^
           table[3][crc >> 24];
}

CRC_TARGET static inline uint32_t three(uint32_t crc, const uint8_t *p, size_t block, uint32_t table[4][256])
{
    uint32_t b = 0, c = 0;
    size_t i;

    for (i = 0; i < block; i += 8) {
        crc = CRC_U64(crc, load64(p + i));
        b = CRC_U64(b, load64(p + block + i));
        c = CRC_U64(c, load64(p + 2 * block + i));
    }
    crc = over_zeros(table, crc) ^ b;
    return over_zeros(table, crc) ^ c;
}

CRC_TARGET static uint32_t crc_instruction(uint32_t crc, const uint8_t *p, size_t size)
{
    for (; size >= 3 * LONG_BLOCK; p += 3 * LONG_BLOCK, size -= 3 * LONG_BLOCK) {
        crc = three(crc, p, LONG_BLOCK, zeros_long);
    }
    for (; size >= 3 * SHORT_BLOCK; p += 3 * SHORT_BLOCK, size -= 3 * SHORT_BLOCK) {
        crc = three(crc, p, SHORT_BLOCK, zeros_short);
    }
    for (; size >= 8; p += 8, size -= 8) crc = CRC_U64(crc, load64(p));
    while (size-- > 0) crc = CRC_U8(crc, *p++);
    return crc;
}
#endif

/* The CRC is linear, so what zero bytes do to it follows from what they do to each of its bits. */
static void make_zeros(uint32_t table[4][256], size_t block)
{
    uint32_t bit[32];
    unsigned i, j, byte;

    for (i = 0; i < 32; i++) {
        uint32_t crc = 1u << i;
        size_t n;

        for (n = 0; n < block; n++) crc = by8[0][crc & 255] ^ (crc >> 8);
        bit[i] = crc;
    }
    for (byte = 0; byte < 4; byte++) {
        for (i = 0; i < 256; i++) {
            table[byte][i] = 0;
            for (j = 0; j < 8; j++) {
                if (i >> j & 1) table[byte][i] ^= bit[8 * byte + j];
            }
        }
    }
}

static void setup(void)
{
    unsigned i, j;

    for (i = 0; i < 256; i++) {
        uint32_t crc = i;

        for (j = 0; j < 8; j++) crc = (crc >> 1) ^ (crc & 1 ? POLY : 0);
        by8[0][i] = crc;
    }
    for (i = 0; i < 256; i++) {
        for (j = 1; j < 8; j++) by8[j][i] = by8[0][by8[j - 1][i] & 255] ^ (by8[j - 1][i] >> 8);
    }
    best = crc_table;
#if defined(HAVE_INSTRUCTION)
    if (have_instruction()) {
        make_zeros(zeros_long, LONG_BLOCK);
        make_zeros(zeros_short, SHORT_BLOCK);
        best = crc_instruction;
    }
#endif
}

uint32_t vpi_crc32c(uint32_t crc, const void *data, size_t size)
{
    pthread_once(&once, setup);
    return size > 0 ? ~best(~crc, data, size) : crc;
}

uint32_t vpi_crc32c_table(uint32_t crc, const void *data, size_t size)
{
    pthread_once(&once, setup);
    return size > 0 ? ~crc_table(~crc, data, size) : crc;
}
