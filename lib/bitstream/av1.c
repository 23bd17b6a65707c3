/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Colour of an AV1 sequence header (AV1 bitstream 5.5), for the codec string. */
#include "bitstream/bits_int.h"

enum { OBU_SEQUENCE_HEADER = 1 };

#define MAX_OBUS 64u

/* 4.10.3 */
static void skip_uvlc(vpi_bits *b)
{
    unsigned zeros = 0;
    while (!b->failed && !vpi_bits_read(b, 1)) zeros++;
    if (zeros < 32) vpi_bits_skip(b, zeros);
}

/* 5.5.1: from timing_info_present_flag to the end of the operating points. */
static void skip_operating_points(vpi_bits *b)
{
    unsigned delay_bits = 0;
    bool model = false;
    if (vpi_bits_read(b, 1)) {
        vpi_bits_skip(b, 64);
        if (vpi_bits_read(b, 1)) skip_uvlc(b);
        model = vpi_bits_read(b, 1);
        if (model) {
            delay_bits = vpi_bits_read(b, 5) + 1;
            vpi_bits_skip(b, 32 + 5 + 5);
        }
    }
    bool display_delay = vpi_bits_read(b, 1);
    unsigned points = vpi_bits_read(b, 5) + 1;
    for (unsigned i = 0; i < points; i++) {
        vpi_bits_skip(b, 12);
        if (vpi_bits_read(b, 5) > 7) vpi_bits_skip(b, 1);
        if (model && vpi_bits_read(b, 1)) vpi_bits_skip(b, delay_bits * 2u + 1u);
        if (display_delay && vpi_bits_read(b, 1)) vpi_bits_skip(b, 4);
    }
}

/* From enable_interintra_compound to order_hint_bits. */
static void skip_tools(vpi_bits *b)
{
    vpi_bits_skip(b, 4);
    bool order_hint = vpi_bits_read(b, 1);
    if (order_hint) vpi_bits_skip(b, 2);
    bool screen_content = vpi_bits_read(b, 1) || vpi_bits_read(b, 1);
    if (screen_content && !vpi_bits_read(b, 1)) vpi_bits_skip(b, 1);
    if (order_hint) vpi_bits_skip(b, 3);
}

/* 5.5.2 */
static void parse_colour(vpi_bits *b, unsigned profile, vpi_av1_colour *out)
{
    bool high = vpi_bits_read(b, 1), twelve = profile == 2 && high && vpi_bits_read(b, 1);
    out->mono = profile != 1 && vpi_bits_read(b, 1);
    out->primaries = out->transfer = out->matrix = 2;
    out->described = vpi_bits_read(b, 1);
    if (out->described) {
        out->primaries = (uint8_t)vpi_bits_read(b, 8);
        out->transfer = (uint8_t)vpi_bits_read(b, 8);
        out->matrix = (uint8_t)vpi_bits_read(b, 8);
    }
    if (out->mono) {
        out->full_range = vpi_bits_read(b, 1);
        out->subsampling_x = out->subsampling_y = true;
        return;
    }
    if (out->primaries == 1 && out->transfer == 13 && out->matrix == 0) { /* sRGB: full range, 4:4:4 */
        out->full_range = true;
        return;
    }
    out->full_range = vpi_bits_read(b, 1);
    if (profile == 0) {
        out->subsampling_x = out->subsampling_y = true;
    } else if (profile == 2 && twelve) {
        out->subsampling_x = vpi_bits_read(b, 1);
        out->subsampling_y = out->subsampling_x && vpi_bits_read(b, 1);
    } else if (profile == 2) {
        out->subsampling_x = true;
    }
    if (out->subsampling_x && out->subsampling_y) out->sample_position = (uint8_t)vpi_bits_read(b, 2);
}

static vp_status parse_sequence(const uint8_t *data, size_t size, vpi_av1_colour *out, vp_error *err)
{
    vpi_bits b;
    vpi_bits_init(&b, data, size);
    unsigned profile = vpi_bits_read(&b, 3);
    if (profile > 2) return VPI_CORRUPT(err, "AV1: profile %u", profile);
    vpi_bits_skip(&b, 1);
    bool reduced = vpi_bits_read(&b, 1);
    if (reduced) {
        vpi_bits_skip(&b, 5);
    } else {
        skip_operating_points(&b);
    }
    unsigned width_bits = vpi_bits_read(&b, 4) + 1, height_bits = vpi_bits_read(&b, 4) + 1;
    vpi_bits_skip(&b, width_bits + height_bits);
    if (!reduced && vpi_bits_read(&b, 1)) vpi_bits_skip(&b, 7);
    vpi_bits_skip(&b, 3);
    if (!reduced) skip_tools(&b);
    vpi_bits_skip(&b, 3);
    parse_colour(&b, profile, out);
    if (b.failed) return VPI_CORRUPT(err, "AV1: sequence header is cut off");
    out->found = true;
    return VP_OK;
}

vp_status vpi_av1_colour_parse(const uint8_t *obus, size_t size, vpi_av1_colour *out, vp_error *err)
{
    memset(out, 0, sizeof(*out));
    size_t at = 0;
    for (unsigned count = 0; at < size; count++) {
        unsigned type = obus[at] >> 3 & 15u;
        bool extension = obus[at] & 4, sized = obus[at] & 2;
        if (obus[at] & 0x80 || count >= MAX_OBUS) return VPI_CORRUPT(err, "AV1: broken OBU header");
        at += extension ? 2 : 1;
        if (at > size) return VPI_CORRUPT(err, "AV1: OBU header is cut off");
        uint64_t length = size - at;
        if (sized) { /* leb128, 4.10.5 */
            length = 0;
            for (unsigned i = 0;; i++) {
                if (at >= size || i >= 8) return VPI_CORRUPT(err, "AV1: OBU size");
                length |= (uint64_t)(obus[at] & 0x7f) << (i * 7);
                if (!(obus[at++] & 0x80)) break;
            }
        }
        if (length > size - at) return VPI_CORRUPT(err, "AV1: OBU reaches past the end");
        if (type == OBU_SEQUENCE_HEADER) return parse_sequence(obus + at, (size_t)length, out, err);
        at += (size_t)length;
    }
    return VP_OK;
}
