/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages of supplemental enhancement information (ITU-T H.264 7.3.2.3, H.265 7.3.5). */
#include "bitstream/bits_int.h"

bool vpi_sei_next(const uint8_t *p, size_t size, size_t *position, vpi_sei *out)
{
    size_t at = *position;
    uint32_t type = 0, length = 0;
    if (at >= size || size - at < 2) return false;
    while (at < size && p[at] == 0xFF) type += p[at++];
    if (at < size) type += p[at++];
    while (at < size && p[at] == 0xFF) length += p[at++];
    if (at < size) length += p[at++];
    *out = (vpi_sei){
        .type = type, .data = p + at, .size = VPI_MIN((size_t)length, size - at), .whole = length <= size - at
    };
    *position = at + out->size;
    return true;
}
