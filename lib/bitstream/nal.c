/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bitstream/bits_int.h"

/* Position of the next 00 00 01 at or after from; size when there is none. */
static size_t find_start(const uint8_t *data, size_t size, size_t from)
{
    size_t i = from;
    while (size - i >= 3) {
        if (data[i + 2] > 1) {
            i += 3;
        } else if (data[i + 2] == 0) {
            i += 1;
        } else if (data[i] == 0 && data[i + 1] == 0) {
            return i;
        } else {
            i += 3;
        }
    }
    return size;
}

bool vpi_annexb_next(const uint8_t *data, size_t size, size_t *at, vpi_nal *nal)
{
    size_t start = *at < size ? find_start(data, size, *at) : size;
    while (start < size) {
        size_t begin = start + 3;
        size_t end = find_start(data, size, begin);
        start = end;
        /* trailing_zero_8bits, and the zero_byte of the next start code (B.1.1) */
        while (end > begin && data[end - 1] == 0) end--;
        if (end > begin) {
            *at = start;
            nal->data = data + begin;
            nal->size = end - begin;
            return true;
        }
    }
    *at = size;
    nal->data = NULL;
    nal->size = 0;
    return false;
}

bool vpi_avcc_next(const uint8_t *data, size_t size, unsigned length_size, size_t *at, vpi_nal *nal,
                   bool *bad)
{
    *bad = false;
    nal->data = NULL;
    nal->size = 0;
    if (*at >= size) return false;
    size_t left = size - *at;
    if (length_size < 1 || length_size > 4 || left < length_size) {
        *bad = true;
        return false;
    }
    size_t length = 0;
    for (unsigned i = 0; i < length_size; i++) length = length << 8 | data[*at + i];
    if (length > left - length_size) {
        *bad = true;
        return false;
    }
    nal->data = data + *at + length_size;
    nal->size = length;
    *at += length_size + length;
    return true;
}

bool vpi_hevc_has_rpu(const uint8_t *data, size_t size, unsigned length_size)
{
    size_t at = 0;
    vpi_nal nal;
    bool bad = false;
    while (length_size ? vpi_avcc_next(data, size, length_size, &at, &nal, &bad)
                       : vpi_annexb_next(data, size, &at, &nal)) {
        if (vpi_hevc_type(&nal) == VPI_HEVC_DV_RPU) return true;
    }
    return false;
}

size_t vpi_nal_unescape_head(const vpi_nal *nal, uint8_t *to, size_t capacity)
{
    size_t written = 0;
    unsigned zeros = 0;
    for (size_t i = 0; i < nal->size && written < capacity; i++) {
        uint8_t byte = nal->data[i];
        if (zeros >= 2 && byte == 3) {
            zeros = 0;
            continue;
        }
        zeros = byte == 0 ? zeros + 1 : 0;
        to[written++] = byte;
    }
    return written;
}

size_t vpi_nal_escaped_size(const vpi_nal *nal, size_t plain)
{
    size_t seen = 0, i = 0;
    unsigned zeros = 0;
    for (; i < nal->size && seen < plain; i++) {
        uint8_t byte = nal->data[i];
        if (zeros >= 2 && byte == 3) {
            zeros = 0;
            continue;
        }
        zeros = byte == 0 ? zeros + 1 : 0;
        seen++;
    }
    return i;
}

size_t vpi_nal_unescape(const vpi_nal *nal, uint8_t *to)
{
    return vpi_nal_unescape_head(nal, to, nal->size);
}
