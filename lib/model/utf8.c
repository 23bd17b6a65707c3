/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/utf8.h"

size_t vpi_utf8_sequence(const uint8_t *s)
{
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xC2 && s[0] < 0xE0 ? 2 : s[0] >= 0xE0 && s[0] < 0xF0 ? 3 : 4, i;

    if (n == 1) return 1;
    if (s[0] < 0xC2 || s[0] > 0xF4) return 0;
    for (i = 1; i < n; i++) {
        if ((s[i] & 0xC0u) != 0x80) return 0; /* also stops at the final NUL */
    }
    if (s[0] == 0xE0 && s[1] < 0xA0) return 0; /* longer than needed */
    if (s[0] == 0xED && s[1] > 0x9F) return 0; /* surrogates */
    if (s[0] == 0xF0 && s[1] < 0x90) return 0;
    if (s[0] == 0xF4 && s[1] > 0x8F) return 0; /* above U+10FFFF */
    return n;
}
