/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* OBUs and sequence headers of AV1 (AV1 bitstream 5.3 to 5.5, 5.9.2), and av1C (its ISO media file binding 2.3). */
#include "base/buf.h"
#include "bitstream/bits_int.h"

#define MAX_OBUS 64u /* looked at for a header */

/* 4.10.3 */
static void skip_uvlc(vpi_bits *b)
{
    unsigned zeros = 0;
    while (!b->failed && !vpi_bits_read(b, 1)) zeros++;
    if (zeros < 32) vpi_bits_skip(b, zeros);
}

/* 5.5.1: from timing_info_present_flag to the end of the operating points. */
static void read_operating_points(vpi_bits *b, vpi_av1_colour *out)
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
        uint32_t level = vpi_bits_read(b, 5), tier = level > 7 ? vpi_bits_read(b, 1) : 0;
        if (i == 0) {
            out->level = (uint8_t)level;
            out->tier = (uint8_t)tier;
        }
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
    out->high_depth = high;
    out->twelve = twelve;
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
    out->profile = (uint8_t)profile;
    if (reduced) {
        out->level = (uint8_t)vpi_bits_read(&b, 5);
    } else {
        read_operating_points(&b, out);
    }
    unsigned width_bits = vpi_bits_read(&b, 4) + 1, height_bits = vpi_bits_read(&b, 4) + 1;
    out->width = vpi_bits_read(&b, width_bits) + 1;
    out->height = vpi_bits_read(&b, height_bits) + 1;
    if (!reduced && vpi_bits_read(&b, 1)) vpi_bits_skip(&b, 7);
    vpi_bits_skip(&b, 3);
    if (!reduced) skip_tools(&b);
    vpi_bits_skip(&b, 3);
    parse_colour(&b, profile, out);
    if (b.failed) return VPI_CORRUPT(err, "AV1: sequence header is cut off");
    out->found = true;
    return VP_OK;
}

vp_status vpi_obu_next(const uint8_t *data, size_t size, size_t *at, vpi_obu *out, vp_error *err)
{
    size_t i = *at;
    if (i >= size) return VP_END;
    out->type = data[i] >> 3 & 15u;
    out->data = data + i;
    bool extension = data[i] & 4, sized = data[i] & 2;
    if (data[i] & 0x80) return VPI_CORRUPT(err, "AV1: broken OBU header");
    i += extension ? 2 : 1;
    if (i > size) return VPI_CORRUPT(err, "AV1: OBU header is cut off");
    uint64_t length = size - i;
    if (sized) { /* leb128, 4.10.5 */
        length = 0;
        for (unsigned n = 0;; n++) {
            if (i >= size || n >= 8) return VPI_CORRUPT(err, "AV1: OBU size");
            length |= (uint64_t)(data[i] & 0x7f) << (n * 7);
            if (!(data[i++] & 0x80)) break;
        }
    }
    out->payload = data + i;
    out->payload_size = (size_t)VPI_MIN(length, (uint64_t)(size - i));
    out->size = i - *at + out->payload_size;
    *at = i + out->payload_size;
    return length > size - i ? VPI_CORRUPT(err, "AV1: OBU reaches past the end") : VP_OK;
}

static vp_status find_sequence(const uint8_t *obus, size_t size, vpi_obu *out, vp_error *err)
{
    size_t at = 0;
    memset(out, 0, sizeof(*out));
    for (unsigned count = 0; at < size; count++) {
        vpi_obu obu = { 0 };
        if (count >= MAX_OBUS) return VPI_CORRUPT(err, "AV1: more than %u OBUs", MAX_OBUS);
        VPI_TRY(vpi_obu_next(obus, size, &at, &obu, err));
        if (obu.type != VPI_OBU_SEQUENCE) continue;
        *out = obu;
        return VP_OK;
    }
    return VP_OK;
}

vpi_obu vpi_av1_sequence(const uint8_t *obus, size_t size)
{
    vpi_obu obu;
    if (find_sequence(obus, size, &obu, NULL) != VP_OK) memset(&obu, 0, sizeof(obu));
    return obu;
}

vp_status vpi_av1_colour_parse(const uint8_t *obus, size_t size, vpi_av1_colour *out, vp_error *err)
{
    vpi_obu obu;
    memset(out, 0, sizeof(*out));
    VPI_TRY(find_sequence(obus, size, &obu, err));
    return obu.type ? parse_sequence(obu.payload, obu.payload_size, out, err) : VP_OK;
}

vp_status vpi_av1c_write(const uint8_t *obus, size_t size, vpi_buf *out, vp_error *err)
{
    vpi_obu obu;
    vpi_av1_colour c;
    VPI_TRY(find_sequence(obus, size, &obu, err));
    if (!obu.type) return VP_AGAIN;
    memset(&c, 0, sizeof(c));
    VPI_TRY(parse_sequence(obu.payload, obu.payload_size, &c, err));
    vpi_buf_u8(out, 0x81);
    vpi_buf_u8(out, (unsigned)c.profile << 5 | c.level);
    vpi_buf_u8(out, (unsigned)c.tier << 7 | (c.high_depth ? 0x40u : 0) | (c.twelve ? 0x20u : 0) |
                        (c.mono ? 0x10u : 0) | (c.subsampling_x ? 8u : 0) | (c.subsampling_y ? 4u : 0) |
                        (c.sample_position & 3u));
    vpi_buf_u8(out, 0);                         /* no initial_presentation_delay */
    vpi_buf_u8(out, VPI_OBU_SEQUENCE << 3 | 2); /* configOBUs have sizes */
    for (size_t left = obu.payload_size;; left >>= 7) {
        vpi_buf_u8(out, (unsigned)(left & 0x7f) | (left > 0x7f ? 0x80u : 0));
        if (left <= 0x7f) break;
    }
    vpi_buf_add(out, obu.payload, obu.payload_size);
    return VP_OK;
}

bool vpi_av1_sync(const uint8_t *data, size_t size)
{
    size_t at = 0;
    bool sequence = false;
    for (unsigned count = 0; count < MAX_OBUS; count++) {
        vpi_obu obu = { 0 };
        vpi_bits b;
        /* The last one may go on behind what is given: its beginning is enough. */
        if (vpi_obu_next(data, size, &at, &obu, NULL) == VP_END || !obu.payload) return false;
        if (obu.type == VPI_OBU_SEQUENCE) {
            if (obu.payload_size < 1 || obu.payload[0] & 8) return false; /* reduced_still_picture_header */
            sequence = true;
        }
        if (obu.type != VPI_OBU_FRAME && obu.type != VPI_OBU_HEADER) continue;
        vpi_bits_init(&b, obu.payload, obu.payload_size);
        /* show_existing_frame 0, frame_type KEY_FRAME, show_frame 1 */
        return vpi_bits_read(&b, 4) == 1 && !b.failed && sequence;
    }
    return false;
}
