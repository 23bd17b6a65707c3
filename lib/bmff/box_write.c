/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bmff/bmff.h"

size_t vpi_box_begin(vpi_buf *b, uint32_t type)
{
    size_t at = b->size;
    vpi_buf_be32(b, 0);
    vpi_buf_be32(b, type);
    return at;
}

size_t vpi_fullbox_begin(vpi_buf *b, uint32_t type, unsigned version, uint32_t flags)
{
    size_t at = vpi_box_begin(b, type);
    vpi_buf_be32(b, (uint32_t)version << 24 | (flags & 0xffffffu));
    return at;
}

void vpi_box_end(vpi_buf *b, size_t at)
{
    if (b->failed) return;
    size_t size = b->size - at;
    if (size > UINT32_MAX) {
        b->failed = true;
        return;
    }
    vpi_buf_patch_be32(b, at, (uint32_t)size);
}
