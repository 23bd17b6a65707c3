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

/* H.265 7.3.3, general part: 12 bytes. */
void vpi_hevc_read_ptl(vpi_bits *b, vpi_hevc_ptl *out);
/* The rest of 7.3.3, for all sub-layers but the highest; 7.3.4. */
void vpi_hevc_skip_sub_layers(vpi_bits *b, unsigned count);
void vpi_hevc_skip_scaling_lists(vpi_bits *b);

#define VPI_CORRUPT(err, ...) vpi_fail((err), VP_E_DATA, "INPUT_CORRUPT", __VA_ARGS__)

#endif
