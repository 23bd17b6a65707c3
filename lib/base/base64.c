/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/base64.h"

#include "base/common.h"

void vpi_base64_add(vpi_buf *out, const void *data, size_t size)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = data;

    for (size_t i = 0; i < size; i += 3) {
        size_t n = VPI_MIN(size - i, (size_t)3);
        uint32_t v = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);

        vpi_buf_u8(out, (uint8_t)alphabet[v >> 18]);
        vpi_buf_u8(out, (uint8_t)alphabet[v >> 12 & 63]);
        vpi_buf_u8(out, n > 1 ? (uint8_t)alphabet[v >> 6 & 63] : '=');
        vpi_buf_u8(out, n > 2 ? (uint8_t)alphabet[v & 63] : '=');
    }
}

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool vpi_base64_bytes(const char *text, size_t size, uint8_t *to, size_t *got)
{
    size_t n = 0;

    if (size % 4 != 0) return false;
    for (size_t i = 0; i < size; i += 4) {
        const char *t = text + i;
        size_t pad = i + 4 < size || t[3] != '=' ? 0 : t[2] != '=' ? 1 : 2;
        uint32_t v = 0;

        for (size_t k = 0; k < 4 - pad; k++) {
            int s = sextet(t[k]);

            if (s < 0) return false;
            v |= (uint32_t)s << (18 - 6 * k);
        }
        /* RFC 4648 3.5: bits that no byte holds are zero. */
        if ((pad == 1 && (v & 0xFF)) || (pad == 2 && (v & 0xFFFF))) return false;
        to[n++] = (uint8_t)(v >> 16);
        if (pad < 2) to[n++] = (uint8_t)(v >> 8);
        if (pad < 1) to[n++] = (uint8_t)v;
    }
    *got = n;
    return true;
}

bool vpi_base64_decode(const char *text, size_t length, vpi_buf *out)
{
    size_t before = out->size, got = 0;
    uint8_t *to;
    bool good;

    if (length % 4 != 0) return false;
    if (length == 0) return true;
    to = vpi_buf_space(out, length / 4 * 3); /* at once, so that no growth leaves a copy of a secret behind */
    if (!to) return false;
    good = vpi_base64_bytes(text, length, to, &got);
    out->size = before + got;
    return good;
}
