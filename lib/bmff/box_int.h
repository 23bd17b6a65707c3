/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_BOX_INT_H
#define VPI_BOX_INT_H

#include "bmff/bmff.h"

/* Most boxes at one level of nesting. */
#define VPI_MAX_BOXES 100000u

#define VPI_CORRUPT(err, ...) vpi_fail((err), VP_E_DATA, "INPUT_CORRUPT", __VA_ARGS__)

/* Bounded big-endian reading: past the end it gives zeros and sets failed. */
typedef struct vpi_cursor {
    const uint8_t *p;
    size_t left;
    bool failed;
} vpi_cursor;

static inline uint64_t vpi_take(vpi_cursor *c, unsigned bytes)
{
    uint64_t v = 0;
    if (c->left < bytes) {
        c->failed = true;
        c->left = 0;
        return 0;
    }
    for (unsigned i = 0; i < bytes; i++) v = v << 8 | c->p[i];
    c->p += bytes;
    c->left -= bytes;
    return v;
}
static inline uint8_t vpi_take8(vpi_cursor *c)
{
    return (uint8_t)vpi_take(c, 1);
}
static inline uint16_t vpi_take16(vpi_cursor *c)
{
    return (uint16_t)vpi_take(c, 2);
}
static inline uint32_t vpi_take32(vpi_cursor *c)
{
    return (uint32_t)vpi_take(c, 4);
}
static inline void vpi_drop(vpi_cursor *c, size_t bytes)
{
    if (c->left < bytes) {
        c->failed = true;
        c->left = 0;
    } else if (bytes) { /* p is NULL where a box could not be opened */
        c->p += bytes;
        c->left -= bytes;
    }
}

/* Opens a full box's payload; failed is set when it is too short for version and flags. */
vpi_cursor vpi_cursor_open(const vpi_box *box, uint8_t *version, uint32_t *flags);

/* Name of a type for messages: unprintable bytes become '?'. */
const char *vpi_fourcc_text(uint32_t type, char text[5]);

/* Child of a box, VP_END when there is none; offsets stay those of the file. */
vp_status vpi_box_child(const vpi_box *parent, uint32_t type, vpi_box *out, vp_error *err);
/* The same, but DATA when there is none. */
vp_status vpi_box_need(const vpi_box *parent, uint32_t type, vpi_box *out, vp_error *err);

/* Single boxes of an init segment; what they do not tell is left as it is. stsd needs the handler. */
vp_status vpi_mvhd_parse(const vpi_box *box, vpi_init_info *out, vp_error *err);
vp_status vpi_tkhd_parse(const vpi_box *box, vpi_init_info *out, vp_error *err);
vp_status vpi_mdhd_parse(const vpi_box *box, vpi_init_info *out, vp_error *err);
vp_status vpi_hdlr_parse(const vpi_box *box, vpi_init_info *out, vp_error *err);
vp_status vpi_stsd_parse(const vpi_box *box, vpi_init_info *out, vp_error *err);

/* AudioSpecificConfig inside an esds box, *config NULL when there is none, and what object it is of. */
vp_status vpi_esds_config(const vpi_box *esds, uint8_t *object_type, const uint8_t **config, size_t *size,
                          vp_error *err);

#endif
