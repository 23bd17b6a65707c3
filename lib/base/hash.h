/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_BASE_HASH_H
#define VPI_BASE_HASH_H

#include "base/common.h"

/* CRC32C (Castagnoli, RFC 3720 B.4); start with crc 0. Uses SSE4.2 or ARMv8 instructions where there are any. */
uint32_t vpi_crc32c(uint32_t crc, const void *data, size_t size);
/* The same without special instructions, for tests. */
uint32_t vpi_crc32c_table(uint32_t crc, const void *data, size_t size);

/* SHA-256 (FIPS 180-4), for names, plans and bodies; not for keys. Uses SHA-NI where there is any. */
typedef struct vpi_sha256 {
    uint32_t h[8];
    uint64_t length;
    uint8_t block[64];
} vpi_sha256;
void vpi_sha256_init(vpi_sha256 *s);
void vpi_sha256_add(vpi_sha256 *s, const void *data, size_t size);
void vpi_sha256_add_u64(vpi_sha256 *s, uint64_t v);       /* big-endian */
void vpi_sha256_add_str(vpi_sha256 *s, const char *text); /* length, then bytes; NULL as "" */
/*
 * Adds as many bytes to each of n messages, s[0] to s[n - 1]. Costs less than one after another for up to
 * vpi_sha256_lanes() at a time, where none of them has part of a block of 64 bytes: 16 with AVX-512, 2 with SHA-NI,
 * else 1, and then OpenSSL is faster, too.
 */
void vpi_sha256_add_many(vpi_sha256 *s, const uint8_t *const data[], unsigned n, size_t size);
unsigned vpi_sha256_lanes(void);
void vpi_sha256_done(vpi_sha256 *s, uint8_t digest[32]);
void vpi_sha256_hex(vpi_sha256 *s, char hex[65]); /* done, in lower case */

#endif
