/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Profile, size and colour of HEVC from an SPS (ITU-T H.265 7.3.2.2, annex E). */
#include "bitstream/bits_int.h"

#define MAX_SIDE 65536u
#define MAX_SETS 64u     /* short-term reference picture sets (7.4.3.2.1) */
#define MAX_PICTURES 16u /* in one of them */
#define MAX_LONG_TERM 32u

void vpi_hevc_read_ptl(vpi_bits *b, vpi_hevc_ptl *out)
{
    out->profile_space = (uint8_t)vpi_bits_read(b, 2);
    out->tier = (uint8_t)vpi_bits_read(b, 1);
    out->profile_idc = (uint8_t)vpi_bits_read(b, 5);
    out->compatibility = vpi_bits_read(b, 32);
    for (unsigned i = 0; i < 6; i++) out->constraints[i] = (uint8_t)vpi_bits_read(b, 8);
    out->level_idc = (uint8_t)vpi_bits_read(b, 8);
}

/* 7.3.3: flags of all sub-layers, then what the flags promise. */
void vpi_hevc_skip_sub_layers(vpi_bits *b, unsigned count)
{
    bool profile[8] = { false }, level[8] = { false };
    if (count == 0) return;
    for (unsigned i = 0; i < 8; i++) {
        bool first = vpi_bits_read(b, 1), second = vpi_bits_read(b, 1);
        profile[i] = i < count && first;
        level[i] = i < count && second;
    }
    for (unsigned i = 0; i < count; i++) {
        if (profile[i]) vpi_bits_skip(b, 88);
        if (level[i]) vpi_bits_skip(b, 8);
    }
}

/* 7.3.4 */
void vpi_hevc_skip_scaling_lists(vpi_bits *b)
{
    for (unsigned size = 0; size < 4; size++) {
        for (unsigned matrix = 0; matrix < 6; matrix += size == 3 ? 3 : 1) {
            if (!vpi_bits_read(b, 1)) {
                vpi_bits_ue(b);
                continue;
            }
            unsigned count = VPI_MIN(64u, 1u << (4 + (size << 1)));
            if (size > 1) vpi_bits_se(b);
            for (unsigned i = 0; i < count; i++) vpi_bits_se(b);
        }
    }
}

/* 7.3.7; pictures: of the set before, then of this one. */
static void skip_reference_set(vpi_bits *b, bool first, unsigned *pictures)
{
    unsigned count = 0;
    if (!first && vpi_bits_read(b, 1)) {
        vpi_bits_skip(b, 1);
        vpi_bits_ue(b);
        for (unsigned i = 0; i <= *pictures; i++) count += vpi_bits_read(b, 1) || vpi_bits_read(b, 1);
    } else {
        uint32_t negative = vpi_bits_ue(b), positive = vpi_bits_ue(b);
        if (negative > MAX_PICTURES || positive > MAX_PICTURES) b->failed = true;
        for (; count < negative + positive && !b->failed; count++) {
            vpi_bits_ue(b);
            vpi_bits_skip(b, 1);
        }
    }
    if (count > MAX_PICTURES) b->failed = true;
    *pictures = count;
}

/* From log2_max_pic_order_cnt_lsb to the reference sets, the last things before vui_parameters. */
static void skip_coding_tools(vpi_bits *b, unsigned sub_layers, vpi_hevc_ptl *out)
{
    unsigned poc_bits = vpi_bits_ue(b) + 4, pictures = 0;
    if (poc_bits > 16) b->failed = true;
    for (unsigned i = vpi_bits_read(b, 1) ? 0 : sub_layers; i <= sub_layers && !b->failed; i++) {
        vpi_bits_ue(b);
        out->reorder = vpi_bits_ue(b);
        vpi_bits_ue(b);
    }
    for (unsigned i = 0; i < 6; i++) vpi_bits_ue(b);
    if (vpi_bits_read(b, 1) && vpi_bits_read(b, 1)) vpi_hevc_skip_scaling_lists(b);
    vpi_bits_skip(b, 2);
    if (vpi_bits_read(b, 1)) { /* PCM */
        vpi_bits_skip(b, 8);
        vpi_bits_ue(b);
        vpi_bits_ue(b);
        vpi_bits_skip(b, 1);
    }
    uint32_t sets = vpi_bits_ue(b);
    if (sets > MAX_SETS) b->failed = true;
    for (uint32_t i = 0; i < sets && !b->failed; i++) skip_reference_set(b, i == 0, &pictures);
    if (vpi_bits_read(b, 1)) {
        uint32_t count = vpi_bits_ue(b);
        if (count > MAX_LONG_TERM) b->failed = true;
        if (!b->failed) vpi_bits_skip(b, (size_t)count * (poc_bits + 1));
    }
    vpi_bits_skip(b, 2);
}

/* E.2.1, as far as the colours. */
static void read_vui(vpi_bits *b, vpi_hevc_ptl *out)
{
    static const uint8_t shapes[17][2] = { { 0, 0 },   { 1, 1 },   { 12, 11 }, { 10, 11 },  { 16, 11 },
                                           { 40, 33 }, { 24, 11 }, { 20, 11 }, { 32, 11 },  { 80, 33 },
                                           { 18, 11 }, { 15, 11 }, { 64, 33 }, { 160, 99 }, { 4, 3 },
                                           { 3, 2 },   { 2, 1 } };
    if (vpi_bits_read(b, 1)) {
        uint32_t shape = vpi_bits_read(b, 8);
        bool given = shape == 255;
        out->sar_num = given ? vpi_bits_read(b, 16) : shape < VPI_COUNT(shapes) ? shapes[shape][0] : 0;
        out->sar_den = given ? vpi_bits_read(b, 16) : shape < VPI_COUNT(shapes) ? shapes[shape][1] : 0;
    }
    if (vpi_bits_read(b, 1)) vpi_bits_skip(b, 1);
    if (!vpi_bits_read(b, 1)) return;
    vpi_bits_skip(b, 3);
    out->full_range = vpi_bits_read(b, 1);
    out->has_colour = vpi_bits_read(b, 1);
    if (!out->has_colour) return;
    out->primaries = (uint8_t)vpi_bits_read(b, 8);
    out->transfer = (uint8_t)vpi_bits_read(b, 8);
    out->matrix = (uint8_t)vpi_bits_read(b, 8);
}

/* What stands behind the bit depths. Where it is damaged the rest of the SPS still holds. */
static void read_rest(vpi_bits *b, unsigned sub_layers, vpi_hevc_ptl *out)
{
    vpi_hevc_ptl full = *out;
    skip_coding_tools(b, sub_layers, &full);
    if (vpi_bits_read(b, 1)) read_vui(b, &full);
    if (!b->failed) *out = full;
}

vp_status vpi_hevc_sps_parse(const vpi_nal *nal, vpi_hevc_ptl *out, vp_error *err)
{
    uint8_t plain[VPI_NAL_HEADER_MAX];
    vpi_bits b;
    memset(out, 0, sizeof(*out));
    /* Another layer than the base has another syntax (annex F). */
    if (nal->size < 4 || nal->data[0] & 0x81 || nal->data[0] >> 1 != VPI_HEVC_SPS || nal->data[1] >> 3 != 0) {
        return VPI_CORRUPT(err, "not an HEVC SPS of the base layer");
    }
    vpi_bits_init(&b, plain, vpi_nal_unescape_head(nal, plain, sizeof(plain)));
    vpi_bits_skip(&b, 16 + 4);
    uint32_t sub_layers = vpi_bits_read(&b, 3);
    if (sub_layers > 6) return VPI_CORRUPT(err, "HEVC SPS: %u sub-layers", sub_layers + 1);
    out->sub_layers = (uint8_t)(sub_layers + 1);
    out->nested = vpi_bits_read(&b, 1);
    vpi_hevc_read_ptl(&b, out);
    vpi_hevc_skip_sub_layers(&b, sub_layers);
    uint32_t id = vpi_bits_ue(&b), chroma = vpi_bits_ue(&b);
    if (id > 15 || chroma > 3) return VPI_CORRUPT(err, "HEVC SPS: id %u, chroma format %u", id, chroma);
    out->chroma_format_idc = (uint8_t)chroma;
    bool planes = chroma == 3 && vpi_bits_read(&b, 1);
    uint32_t width = vpi_bits_ue(&b), height = vpi_bits_ue(&b);
    if (!b.failed && (width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE)) {
        return VPI_CORRUPT(err, "HEVC SPS: %u x %u pixels", width, height);
    }
    if (vpi_bits_read(&b, 1)) { /* conformance window, in chroma samples (7.4.3.2.1) */
        uint64_t unit_x = !planes && (chroma == 1 || chroma == 2) ? 2 : 1,
                 unit_y = !planes && chroma == 1 ? 2 : 1;
        uint64_t left = vpi_bits_ue(&b), right = vpi_bits_ue(&b), top = vpi_bits_ue(&b),
                 bottom = vpi_bits_ue(&b);
        if ((left + right) * unit_x >= width || (top + bottom) * unit_y >= height) {
            return VPI_CORRUPT(err, "HEVC SPS: crops all away");
        }
        width -= (uint32_t)((left + right) * unit_x);
        height -= (uint32_t)((top + bottom) * unit_y);
    }
    uint32_t depth = vpi_bits_ue(&b), chroma_depth = vpi_bits_ue(&b);
    if (b.failed) return VPI_CORRUPT(err, "HEVC SPS: truncated or out of range");
    if (depth > 8 || chroma_depth > 8) return VPI_CORRUPT(err, "HEVC SPS: bit depth over 16");
    out->bit_depth = (uint8_t)(8 + depth);
    out->bit_depth_chroma = (uint8_t)(8 + chroma_depth);
    out->width = width;
    out->height = height;
    read_rest(&b, sub_layers, out);
    return VP_OK;
}
