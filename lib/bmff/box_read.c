/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Boxes (ISO/IEC 14496-12 4.2). */
#include "bmff/box_int.h"

#define HEADER 8u
#define LARGE_HEADER 16u
#define UUID_SIZE 16u

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t be64(const uint8_t *p)
{
    return (uint64_t)be32(p) << 32 | be32(p + 4);
}

const char *vpi_fourcc_text(uint32_t type, char text[5])
{
    for (unsigned i = 0; i < 4; i++) {
        uint8_t c = (uint8_t)(type >> (24 - 8 * i));
        text[i] = c >= 32 && c < 127 ? (char)c : '?';
    }
    text[4] = 0;
    return text;
}

vp_status vpi_box_header(const uint8_t *data, size_t size, uint32_t *type, uint64_t *box_size, size_t *header)
{
    if (size < HEADER) return VP_AGAIN;
    uint64_t whole = be32(data);
    size_t head = HEADER;
    *type = be32(data + 4);
    if (whole == 1) {
        head = LARGE_HEADER;
        if (size < head) return VP_AGAIN;
        whole = be64(data + 8);
    }
    if (*type == VPI_FOURCC('u', 'u', 'i', 'd')) {
        head += UUID_SIZE;
        if (size < head) return VP_AGAIN;
    }
    *box_size = whole;
    *header = head;
    /* A size of 0 in the first field is legal; one that was written out in full is not. */
    bool to_end = be32(data) == 0;
    return to_end || whole >= head ? VP_OK : VP_E_DATA;
}

static bool all_zero(const uint8_t *p, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (p[i]) return false;
    }
    return true;
}

vp_status vpi_box_next(const uint8_t *data, size_t size, uint64_t base, size_t *at, vpi_box *out,
                       vp_error *err)
{
    uint64_t whole = 0;
    size_t head = 0;
    char name[5];
    memset(out, 0, sizeof(*out));
    if (*at >= size) return VP_END;
    const uint8_t *p = data + *at;
    size_t left = size - *at;
    /* QuickTime ends some containers with a 32-bit zero. */
    if (left < HEADER && all_zero(p, left)) {
        *at = size;
        return VP_END;
    }
    vp_status st = vpi_box_header(p, left, &out->type, &whole, &head);
    if (st == VP_AGAIN)
        return VPI_CORRUPT(err, "box header is cut off at offset %llu", (unsigned long long)(base + *at));
    if (st == VP_OK && whole == 0) whole = left;
    if (st != VP_OK || whole > left) {
        return VPI_CORRUPT(err, "box '%s' of %llu bytes at offset %llu does not fit",
                           vpi_fourcc_text(out->type, name), (unsigned long long)whole,
                           (unsigned long long)(base + *at));
    }
    if (out->type == VPI_FOURCC('u', 'u', 'i', 'd')) memcpy(out->usertype, p + head - UUID_SIZE, UUID_SIZE);
    out->offset = base + *at;
    out->size = whole;
    out->data = p + head;
    out->data_size = (size_t)whole - head;
    *at += (size_t)whole;
    return VP_OK;
}

static vp_status find_from(const uint8_t *data, size_t size, uint64_t base, uint32_t type, vpi_box *out,
                           vp_error *err)
{
    size_t at = 0;
    for (unsigned count = 0;; count++) {
        vp_status st = vpi_box_next(data, size, base, &at, out, err);
        if (st != VP_OK || out->type == type) return st;
        if (count >= VPI_MAX_BOXES)
            return VPI_CORRUPT(err, "more than %u boxes in one container", VPI_MAX_BOXES);
    }
}

vp_status vpi_box_find(const uint8_t *data, size_t size, uint32_t type, vpi_box *out, vp_error *err)
{
    return find_from(data, size, 0, type, out, err);
}

vp_status vpi_box_child(const vpi_box *parent, uint32_t type, vpi_box *out, vp_error *err)
{
    uint64_t base = parent->offset + (parent->size - parent->data_size);
    return find_from(parent->data, parent->data_size, base, type, out, err);
}

vp_status vpi_box_need(const vpi_box *parent, uint32_t type, vpi_box *out, vp_error *err)
{
    char inner[5], outer[5];
    vp_status st = vpi_box_child(parent, type, out, err);
    if (st != VP_END) return st;
    return VPI_CORRUPT(err, "no '%s' in '%s'", vpi_fourcc_text(type, inner),
                       vpi_fourcc_text(parent->type, outer));
}

vp_status vpi_box_path(const uint8_t *data, size_t size, const char *path, vpi_box *out, vp_error *err)
{
    vpi_box at = { .data = data, .size = size, .data_size = size };
    memset(out, 0, sizeof(*out));
    for (;;) {
        if (strnlen(path, 4) < 4 || (path[4] != 0 && path[4] != '/')) {
            return vpi_fail(err, VP_E_INTERNAL, NULL, "box path is not made of four-letter names");
        }
        vp_status st = vpi_box_child(&at, VPI_FOURCC(path[0], path[1], path[2], path[3]), out, err);
        if (st != VP_OK || path[4] == 0) return st;
        at = *out;
        path += 5;
    }
}

bool vpi_fullbox(const vpi_box *box, uint8_t *version, uint32_t *flags, const uint8_t **data, size_t *size)
{
    if (box->data_size < 4) return false;
    uint32_t word = be32(box->data);
    *version = (uint8_t)(word >> 24);
    *flags = word & 0xffffffu;
    *data = box->data + 4;
    *size = box->data_size - 4;
    return true;
}

vpi_cursor vpi_cursor_open(const vpi_box *box, uint8_t *version, uint32_t *flags)
{
    vpi_cursor c = { NULL, 0, false };
    *version = 0;
    *flags = 0;
    c.failed = !vpi_fullbox(box, version, flags, &c.p, &c.left);
    return c;
}
