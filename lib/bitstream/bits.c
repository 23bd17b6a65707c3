/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bitstream/bits_int.h"

void vpi_bits_init(vpi_bits *b, const void *data, size_t size)
{
    b->data = data;
    /* Positions are counted in bits: what cannot be counted is not read. */
    b->size = VPI_MIN(size, SIZE_MAX / 8);
    b->position = 0;
    b->failed = false;
}

size_t vpi_bits_left(const vpi_bits *b)
{
    return b->size * 8 - b->position;
}

static void bits_fail(vpi_bits *b)
{
    b->failed = true;
    b->position = b->size * 8;
}

uint32_t vpi_bits_read(vpi_bits *b, unsigned count)
{
    if (count > 32 || count > vpi_bits_left(b)) {
        bits_fail(b);
        return 0;
    }
    if (count == 0) return 0;
    size_t first = b->position >> 3, last = (b->position + count - 1) >> 3;
    uint64_t window = 0;
    for (size_t i = first; i <= last; i++) window = window << 8 | b->data[i];
    unsigned below = (unsigned)((last + 1) * 8 - (b->position + count));
    b->position += count;
    return (uint32_t)(window >> below & ((UINT64_C(1) << count) - 1));
}

void vpi_bits_skip(vpi_bits *b, size_t count)
{
    if (count > vpi_bits_left(b)) {
        bits_fail(b);
    } else {
        b->position += count;
    }
}

uint32_t vpi_bits_ue(vpi_bits *b)
{
    unsigned zeros = 0;
    while (!b->failed && vpi_bits_read(b, 1) == 0) {
        if (b->failed || ++zeros > 31) {
            bits_fail(b);
            return 0;
        }
    }
    uint32_t suffix = vpi_bits_read(b, zeros);
    if (b->failed) return 0;
    return (UINT32_C(1) << zeros) - 1 + suffix;
}

int32_t vpi_bits_se(vpi_bits *b)
{
    uint32_t k = vpi_bits_ue(b);
    /* 9.1.1: odd codes are positive; k is at most 2^32-2, so both halves fit. */
    return k & 1 ? (int32_t)(k / 2 + 1) : -(int32_t)(k / 2);
}

bool vpi_bits_more_rbsp(const vpi_bits *b)
{
    size_t end = b->size;
    while (end > 0 && b->data[end - 1] == 0) end--;
    if (end == 0 || b->failed) return false;
    unsigned low = 0;
    while (!(b->data[end - 1] >> low & 1)) low++;
    return b->position < end * 8 - 1 - low;
}
