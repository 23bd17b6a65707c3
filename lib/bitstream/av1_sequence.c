/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sequence headers for readers of frame headers (AV1 bitstream 5.5). */
#include "bitstream/av1_int.h"

#define SRGB_PRIMARIES 1u /* BT.709, sRGB, identity: 4:4:4 without being told */
#define SRGB_TRANSFER 13u
#define SRGB_MATRIX 0u

/* 4.10.3 */
static void skip_uvlc(vpi_bits *b)
{
    unsigned zeros = 0;
    while (!b->failed && !vpi_bits_read(b, 1)) zeros++;
    if (zeros < 32) vpi_bits_skip(b, zeros);
}

/* From timing_info_present_flag to the end of the operating points. */
static void read_points(vpi_bits *b, vpi_av1_sequence_tools *out)
{
    unsigned delay_bits = 0;
    if (vpi_bits_read(b, 1)) {
        vpi_bits_skip(b, 64);
        out->equal_interval = vpi_bits_read(b, 1);
        if (out->equal_interval) skip_uvlc(b);
        out->decoder_model = vpi_bits_read(b, 1);
        if (out->decoder_model) {
            delay_bits = vpi_bits_read(b, 5) + 1;
            vpi_bits_skip(b, 32);
            out->removal_bits = (uint8_t)(vpi_bits_read(b, 5) + 1);
            out->presentation_bits = (uint8_t)(vpi_bits_read(b, 5) + 1);
        }
    }
    bool display_delay = vpi_bits_read(b, 1);
    out->points = (uint8_t)(vpi_bits_read(b, 5) + 1);
    for (unsigned i = 0; i < out->points; i++) {
        out->point_idc[i] = (uint16_t)vpi_bits_read(b, 12);
        if (vpi_bits_read(b, 5) > 7) vpi_bits_skip(b, 1);
        if (out->decoder_model && vpi_bits_read(b, 1)) {
            out->point_models |= UINT32_C(1) << i;
            vpi_bits_skip(b, delay_bits * 2u + 1u);
        }
        if (display_delay && vpi_bits_read(b, 1)) vpi_bits_skip(b, 4);
    }
}

/* From enable_interintra_compound to order_hint_bits_minus_1. */
static void read_tools(vpi_bits *b, vpi_av1_sequence_tools *out)
{
    vpi_bits_skip(b, 2);
    out->warped_motion = vpi_bits_read(b, 1);
    vpi_bits_skip(b, 1);
    out->order_hint = vpi_bits_read(b, 1);
    if (out->order_hint) {
        vpi_bits_skip(b, 1);
        out->ref_frame_mvs = vpi_bits_read(b, 1);
    }
    if (!vpi_bits_read(b, 1)) out->screen_content = (uint8_t)vpi_bits_read(b, 1);
    if (out->screen_content > 0 && !vpi_bits_read(b, 1)) out->integer_mv = (uint8_t)vpi_bits_read(b, 1);
    if (out->order_hint) out->hint_bits = (uint8_t)(vpi_bits_read(b, 3) + 1);
}

/* 5.5.2 */
static void read_colour(vpi_bits *b, unsigned profile, vpi_av1_sequence_tools *out)
{
    bool high = vpi_bits_read(b, 1), twelve = profile == 2 && high && vpi_bits_read(b, 1);
    out->mono = profile != 1 && vpi_bits_read(b, 1);
    uint32_t primaries = 2, transfer = 2, matrix = 2;
    if (vpi_bits_read(b, 1)) {
        primaries = vpi_bits_read(b, 8);
        transfer = vpi_bits_read(b, 8);
        matrix = vpi_bits_read(b, 8);
    }
    bool srgb = primaries == SRGB_PRIMARIES && transfer == SRGB_TRANSFER && matrix == SRGB_MATRIX;
    out->subsampling_x = out->subsampling_y = out->mono || profile == 0;
    if (out->mono) {
        vpi_bits_skip(b, 1);
        return;
    }
    if (srgb) {
        out->subsampling_x = out->subsampling_y = false;
    } else {
        vpi_bits_skip(b, 1);
        if (profile == 2) {
            out->subsampling_x = !twelve || vpi_bits_read(b, 1);
            out->subsampling_y = twelve && out->subsampling_x && vpi_bits_read(b, 1);
        }
        if (out->subsampling_x && out->subsampling_y) vpi_bits_skip(b, 2);
    }
    out->separate_uv = vpi_bits_read(b, 1);
}

vp_status vpi_av1_read_sequence(const uint8_t *data, size_t size, vpi_av1_sequence_tools *out, vp_error *err)
{
    vpi_bits b;
    memset(out, 0, sizeof(*out));
    vpi_bits_init(&b, data, size);
    unsigned profile = vpi_bits_read(&b, 3);
    if (profile > 2) return VPI_CORRUPT(err, "AV1: profile %u", profile);
    vpi_bits_skip(&b, 1);
    out->reduced = vpi_bits_read(&b, 1);
    out->screen_content = out->integer_mv = VPI_AV1_CHOOSE;
    if (out->reduced) {
        vpi_bits_skip(&b, 5);
    } else {
        read_points(&b, out);
    }
    out->width_bits = (uint8_t)(vpi_bits_read(&b, 4) + 1);
    out->height_bits = (uint8_t)(vpi_bits_read(&b, 4) + 1);
    out->width = vpi_bits_read(&b, out->width_bits) + 1;
    out->height = vpi_bits_read(&b, out->height_bits) + 1;
    out->frame_ids = !out->reduced && vpi_bits_read(&b, 1);
    if (out->frame_ids) {
        out->delta_id_bits = (uint8_t)(vpi_bits_read(&b, 4) + 2);
        out->id_bits = (uint8_t)(vpi_bits_read(&b, 3) + 1 + out->delta_id_bits);
        if (out->id_bits > 16) return VPI_CORRUPT(err, "AV1: frame numbers of %u bits", out->id_bits);
    }
    out->sb128 = vpi_bits_read(&b, 1);
    vpi_bits_skip(&b, 2);
    if (!out->reduced) read_tools(&b, out);
    out->superres = vpi_bits_read(&b, 1);
    out->cdef = vpi_bits_read(&b, 1);
    out->restoration = vpi_bits_read(&b, 1);
    read_colour(&b, profile, out);
    out->film_grain = vpi_bits_read(&b, 1);
    return b.failed ? VPI_CORRUPT(err, "AV1: sequence header is cut off") : VP_OK;
}
