/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_BITS_INT_H
#define VPI_BITS_INT_H

#include "bitstream/bitstream.h"

/*
 * Most bytes of an unescaped NAL unit that a header reader looks at. Parameter sets and slice headers of real
 * streams take a few hundred; the largest legal ones (255 offsets, 32 HRD entries twice, 64 weights) stay below.
 */
#define VPI_NAL_HEADER_MAX 4096u

/* Unescapes at most capacity bytes from the front of the NAL; returns how many were written. */
size_t vpi_nal_unescape_head(const vpi_nal *nal, uint8_t *to, size_t capacity);
/* Coded bytes that the first `plain` unescaped bytes take, from the first byte of the NAL. */
size_t vpi_nal_escaped_size(const vpi_nal *nal, size_t plain);

/* bit_depth and colour of an AV1 sequence header OBU found in size bytes of OBUs. */
typedef struct vpi_av1_colour {
    bool found, described, full_range, mono, subsampling_x, subsampling_y;
    uint8_t primaries, transfer, matrix, sample_position;
} vpi_av1_colour;
vp_status vpi_av1_colour_parse(const uint8_t *obus, size_t size, vpi_av1_colour *out, vp_error *err);

#define VPI_CORRUPT(err, ...) vpi_fail((err), VP_E_DATA, "INPUT_CORRUPT", __VA_ARGS__)

#endif
