/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Decoder configurations of AC-3 and E-AC-3 in ISO files (ETSI TS 102 366 F.4 and F.6) from a frame's header. */
#include "bitstream/bits_int.h"

static size_t put(uint64_t v, size_t bytes, uint8_t *out)
{
    for (size_t i = 0; i < bytes; i++) out[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
    return bytes;
}

size_t vpi_ac3_config(const vpi_ac3 *a, uint8_t out[5])
{
    uint64_t kbps = (a->bit_rate + 999) / 1000;

    if (a->eac3) {
        return put((kbps & 0x1FFFu) << 27 | (uint64_t)a->fscod << 22 | (uint64_t)a->bsid << 17 |
                       (uint64_t)a->bsmod << 12 | (uint64_t)a->acmod << 9 | (uint64_t)(a->lfe & 1u) << 8,
                   5, out);
    }
    return put((uint64_t)a->fscod << 22 | (uint64_t)a->bsid << 17 | (uint64_t)a->bsmod << 14 |
                   (uint64_t)a->acmod << 11 | (uint64_t)(a->lfe & 1u) << 10 | (uint64_t)a->bit_rate_code << 5,
               3, out);
}
