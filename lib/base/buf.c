/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"

/* No document or segment of ours comes near it; it keeps the doubling below from overflowing. */
#define BUF_LIMIT ((size_t)PTRDIFF_MAX / 4)
#define BUF_FIRST 256

void vpi_buf_dispose(vpi_buf *b)
{
    vpi_free(b->data);
    *b = (vpi_buf){ 0 };
}

void vpi_buf_clear(vpi_buf *b)
{
    b->size = 0;
    b->failed = false;
}

bool vpi_buf_reserve(vpi_buf *b, size_t more)
{
    size_t want;
    uint8_t *data;

    if (b->failed) return false;
    if (more <= b->capacity - b->size) return true;
    if (more > BUF_LIMIT || b->size > BUF_LIMIT - more) {
        b->failed = true;
        return false;
    }
    want = VPI_MAX(b->size + more, b->capacity * 2);
    want = VPI_MAX(want, (size_t)BUF_FIRST);
    data = vpi_realloc(b->data, want, 1);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->capacity = want;
    return true;
}

void vpi_buf_add(vpi_buf *b, const void *data, size_t size)
{
    if (size == 0 || !vpi_buf_reserve(b, size)) return;
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

uint8_t *vpi_buf_space(vpi_buf *b, size_t size)
{
    uint8_t *at;

    /* At least one byte, so that an empty piece of an empty buffer has an address too. */
    if (!vpi_buf_reserve(b, size ? size : 1)) return NULL;
    at = b->data + b->size;
    memset(at, 0, size);
    b->size += size;
    return at;
}

void vpi_buf_u8(vpi_buf *b, unsigned v)
{
    if (vpi_buf_reserve(b, 1)) b->data[b->size++] = (uint8_t)v;
}

static void add_be(vpi_buf *b, uint64_t v, unsigned bytes)
{
    if (!vpi_buf_reserve(b, bytes)) return;
    while (bytes-- > 0) b->data[b->size++] = (uint8_t)(v >> (8 * bytes));
}

void vpi_buf_be16(vpi_buf *b, unsigned v)
{
    add_be(b, v, 2);
}

void vpi_buf_be24(vpi_buf *b, uint32_t v)
{
    add_be(b, v, 3);
}

void vpi_buf_be32(vpi_buf *b, uint32_t v)
{
    add_be(b, v, 4);
}

void vpi_buf_be64(vpi_buf *b, uint64_t v)
{
    add_be(b, v, 8);
}

void vpi_buf_str(vpi_buf *b, const char *s)
{
    vpi_buf_add(b, s, strlen(s));
}

void vpi_buf_printf(vpi_buf *b, const char *format, ...)
{
    va_list args;
    size_t room;
    int n;

    if (!vpi_buf_reserve(b, 1)) return;
    room = b->capacity - b->size;
    va_start(args, format);
    n = vsnprintf((char *)b->data + b->size, room, format, args);
    va_end(args);
    if (n < 0) {
        b->failed = true;
        return;
    }
    if ((size_t)n >= room) {
        if (!vpi_buf_reserve(b, (size_t)n + 1)) return;
        va_start(args, format);
        vsnprintf((char *)b->data + b->size, (size_t)n + 1, format, args);
        va_end(args);
    }
    b->size += (size_t)n;
}

void vpi_buf_patch_be32(vpi_buf *b, size_t at, uint32_t v)
{
    if (b->failed || b->size < 4 || at > b->size - 4) {
        b->failed = true;
        return;
    }
    b->data[at] = (uint8_t)(v >> 24);
    b->data[at + 1] = (uint8_t)(v >> 16);
    b->data[at + 2] = (uint8_t)(v >> 8);
    b->data[at + 3] = (uint8_t)v;
}

char *vpi_buf_steal_string(vpi_buf *b)
{
    char *text;

    vpi_buf_u8(b, 0);
    if (b->failed) {
        vpi_buf_dispose(b);
        return NULL;
    }
    text = (char *)b->data;
    *b = (vpi_buf){ 0 };
    return text;
}
