/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_BASE_SHA256_INT_H
#define VPI_BASE_SHA256_INT_H

#include "base/hash.h"

/* Instructions that a processor may have, each with all those before it. */
enum { VPI_SHA256_PLAIN, VPI_SHA256_SHA_NI, VPI_SHA256_AVX512 };
#define VPI_SHA256_LANES 16u

extern const uint32_t vpi_sha256_k[64];

/* The compression function over whole blocks of one message, of two, of sixteen. */
typedef struct vpi_sha256_kernels {
    void (*one)(uint32_t state[8], const uint8_t *p, size_t blocks);
    void (*two)(uint32_t *const state[2], const uint8_t *const p[2], size_t blocks); /* NULL: none */
    void (*sixteen)(uint32_t state[8][VPI_SHA256_LANES], const uint8_t *const p[VPI_SHA256_LANES],
                    size_t blocks); /* word by word; NULL: none */
} vpi_sha256_kernels;

/* sha256_x86.c: puts in those that this processor has, of the instructions up to most. */
void vpi_sha256_kernels_x86(vpi_sha256_kernels *kernels, int most);
/* For tests: from now on as where there is no more than that. Not while others hash. */
void vpi_sha256_limit(int most);

#endif
