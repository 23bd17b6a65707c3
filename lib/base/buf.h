/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_BASE_BUF_H
#define VPI_BASE_BUF_H

/*
 * A growing byte buffer with a sticky failure: after an allocation failed (or the limit was reached) further
 * appends do nothing and vpi_buf_failed() is true; check once at the end. A zeroed struct is an empty buffer.
 */

#include "base/common.h"

typedef struct vpi_buf {
    uint8_t *data;
    size_t size, capacity;
    bool failed;
} vpi_buf;

void vpi_buf_dispose(vpi_buf *b); /* accepts an empty one; leaves an empty one */
void vpi_buf_clear(vpi_buf *b);   /* keeps the memory */
bool vpi_buf_reserve(vpi_buf *b, size_t more);
void vpi_buf_add(vpi_buf *b, const void *data, size_t size);
uint8_t *vpi_buf_space(vpi_buf *b,
                       size_t size); /* appends size zero bytes and returns them; NULL on failure */
void vpi_buf_u8(vpi_buf *b, unsigned v);
void vpi_buf_be16(vpi_buf *b, unsigned v);
void vpi_buf_be24(vpi_buf *b, uint32_t v);
void vpi_buf_be32(vpi_buf *b, uint32_t v);
void vpi_buf_be64(vpi_buf *b, uint64_t v);
void vpi_buf_str(vpi_buf *b, const char *s); /* without the NUL */
void vpi_buf_printf(vpi_buf *b, const char *format, ...)
    VPI_PRINTF(2, 3); /* C locale numbers: integers only */
void vpi_buf_patch_be32(vpi_buf *b, size_t at, uint32_t v);
static inline bool vpi_buf_failed(const vpi_buf *b)
{
    return b->failed;
}
/* NUL-terminated text owned by the caller, buffer emptied; NULL on failure. */
char *vpi_buf_steal_string(vpi_buf *b);
/* Takes the buffer's memory into a vp_bytes, also on failure. NOMEM when the buffer had failed. */
vp_status vpi_bytes_from_buf(vpi_buf *b, vp_bytes **out, vp_error *err);
vp_status vpi_bytes_copy(const void *data, size_t size, vp_bytes **out, vp_error *err);

static inline uint16_t vpi_rd16(const uint8_t *p)
{
    return (uint16_t)((p[0] << 8) | p[1]);
}
static inline uint32_t vpi_rl32(const uint8_t *p) /* little-endian */
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint32_t vpi_rd32(const uint8_t *p)
{
    return ((uint32_t)p[0] << 24) | ((uint32_t)p[1] << 16) | ((uint32_t)p[2] << 8) | p[3];
}
static inline uint64_t vpi_rd64(const uint8_t *p)
{
    return ((uint64_t)vpi_rd32(p) << 32) | vpi_rd32(p + 4);
}

#endif
