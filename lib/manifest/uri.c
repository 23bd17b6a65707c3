/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manifest/uri.h"

static bool plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~' || c == '/';
}

void vpi_uri_add(vpi_buf *b, const char *key, size_t size)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t i;

    for (i = 0; i < size; i++) {
        uint8_t c = (uint8_t)key[i];

        if (plain(c)) {
            vpi_buf_u8(b, c);
        } else {
            vpi_buf_u8(b, '%');
            vpi_buf_u8(b, (uint8_t)hex[c >> 4]);
            vpi_buf_u8(b, (uint8_t)hex[c & 15]);
        }
    }
}

void vpi_uri_relative(vpi_buf *b, const char *folder, const char *key)
{
    size_t common = 0, i;

    /* What both paths begin with, in whole folders. */
    for (i = 0; folder[i] && folder[i] == key[i]; i++) {
        if (key[i] == '/') common = i + 1;
    }
    if (folder[i] == 0 && i > 0 && key[i] == '/') {
        common = i + 1;
    } else {
        /* One step up for each folder that the key does not share. */
        for (i = common; folder[i]; i++) {
            if (i == common || folder[i - 1] == '/') vpi_buf_str(b, "../");
        }
    }
    vpi_uri_add(b, key + common, strlen(key + common));
}
