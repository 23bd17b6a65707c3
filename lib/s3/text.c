/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small pieces that several files of this room need. */

#include <time.h>

#include "s3_int.h"

void vpi_s3_encode(vpi_buf *out, const char *text, bool keep_slash)
{
    static const char hex[] = "0123456789ABCDEF";

    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool plain = (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
                     *p == '-' || *p == '.' || *p == '_' || *p == '~' || (*p == '/' && keep_slash);

        if (plain) {
            vpi_buf_u8(out, *p);
        } else {
            vpi_buf_u8(out, '%');
            vpi_buf_u8(out, (unsigned char)hex[*p >> 4]);
            vpi_buf_u8(out, (unsigned char)hex[*p & 15]);
        }
    }
}

int64_t vpi_s3_time_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void vpi_s3_wipe(void *data, size_t size)
{
    static void *(*const volatile set)(void *, int, size_t) = memset;

    if (data) set(data, 0, size);
}

void vpi_s3_buf_wipe(vpi_buf *buf)
{
    vpi_s3_wipe(buf->data, buf->capacity);
    vpi_buf_dispose(buf);
}
