/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_INGEST_DIGEST_H
#define VPI_INGEST_DIGEST_H

/* Digests whose state can be written down and taken up again, also by another build: nothing is hashed twice. */

#include "base/buf.h"

enum {
    VPI_DIGEST_NONE = 0,
    VPI_DIGEST_SHA256 = 1,
    VPI_DIGEST_SHA1 = 2,
    VPI_DIGEST_MD5 = 3,
    VPI_DIGEST_CRC32C = 4
};

#define VPI_DIGEST_MAX 32

typedef struct vpi_digest {
    uint8_t algorithm; /* NONE: add does nothing */
    uint32_t crc;
    uint64_t length;    /* bytes so far */
    uint64_t state[16]; /* of the algorithm; see digest.c */
} vpi_digest;

/* VPI_DIGEST_* of a name of ingest.h, NONE for others. */
uint8_t vpi_digest_named(const char *name, size_t length);
size_t vpi_digest_size(uint8_t algorithm); /* 4 to 32; 0 for NONE */
void vpi_digest_init(vpi_digest *d, uint8_t algorithm);
void vpi_digest_add(vpi_digest *d, const void *data, size_t size);
/* Bytes from `at`, if it has come to exactly there. */
void vpi_digest_add_at(vpi_digest *d, uint64_t at, const void *data, size_t size);
/* Bytes of different messages, in one pass where the processor gains by that. */
#define VPI_DIGEST_LANES 16u
typedef struct vpi_digest_input {
    vpi_digest *digest;
    const uint8_t *data;
    size_t size;
} vpi_digest_input;
void vpi_digest_add_many(const vpi_digest_input *in, unsigned n);
/* Leaves *d as it is, so that more may follow. */
void vpi_digest_peek(const vpi_digest *d, uint8_t out[VPI_DIGEST_MAX]);
/* The state as words, length and partial block, big-endian; nothing for NONE. */
void vpi_digest_write(const vpi_digest *d, vpi_buf *b);
/* Bytes that were read; 0: not a state. */
size_t vpi_digest_read(vpi_digest *d, const uint8_t *data, size_t size);

void vpi_hex(const uint8_t *data, size_t size, char *text); /* 2 * size digits and a NUL */
bool vpi_unhex(const char *text, size_t digits, uint8_t *data);

#endif
