/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sequence and picture parameter sets (ITU-T H.264 7.3.2.1, 7.3.2.2, annex E). */
#include "bitstream/bits_int.h"

/* Width and height in macroblocks: far above level 6.2 (1055), small enough for exact products. */
#define MAX_SIDE_MBS 4096u
#define MAX_REF_FRAMES 16u
#define MAX_POC_CYCLE 255u
#define MAX_SLICE_GROUPS 8u
#define MAX_HRD_COUNT 32u

static bool has_chroma_info(uint8_t profile)
{
    static const uint8_t profiles[] = { 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135 };
    for (size_t i = 0; i < VPI_COUNT(profiles); i++) {
        if (profiles[i] == profile) return true; /* 7.3.2.1.1 */
    }
    return false;
}

/* 7.3.2.1.1.1; the values are not needed, only where the list ends. */
static void skip_scaling_list(vpi_bits *b, unsigned count)
{
    int32_t last = 8, next = 8;
    for (unsigned i = 0; i < count && !b->failed; i++) {
        if (next != 0) {
            int32_t delta = vpi_bits_se(b);
            if (delta < -128 || delta > 127) {
                b->failed = true;
                return;
            }
            next = (last + delta + 256) % 256;
        }
        if (next != 0) last = next;
    }
}

static void skip_scaling_matrix(vpi_bits *b, unsigned lists)
{
    for (unsigned i = 0; i < lists && !b->failed; i++) {
        if (vpi_bits_read(b, 1)) skip_scaling_list(b, i < 6 ? 16 : 64);
    }
}

/* E.1.2 */
static void skip_hrd(vpi_bits *b)
{
    uint32_t count = vpi_bits_ue(b);
    if (count >= MAX_HRD_COUNT) {
        b->failed = true;
        return;
    }
    vpi_bits_skip(b, 8);
    for (uint32_t i = 0; i <= count && !b->failed; i++) {
        vpi_bits_ue(b);
        vpi_bits_ue(b);
        vpi_bits_skip(b, 1);
    }
    vpi_bits_skip(b, 20);
}

/* Table E-1 */
static const uint8_t aspect_ratios[17][2] = {
    { 0, 0 },   { 1, 1 },    { 12, 11 }, { 10, 11 }, { 16, 11 }, { 40, 33 },
    { 24, 11 }, { 20, 11 },  { 32, 11 }, { 80, 33 }, { 18, 11 }, { 15, 11 },
    { 64, 33 }, { 160, 99 }, { 4, 3 },   { 3, 2 },   { 2, 1 },
};

static void parse_aspect_ratio(vpi_bits *b, vpi_h264_sps *sps)
{
    uint32_t idc = vpi_bits_read(b, 8);
    if (idc == 255) {
        sps->sar_num = vpi_bits_read(b, 16);
        sps->sar_den = vpi_bits_read(b, 16);
        /* E.2.1: a zero in either means unspecified. */
        if (sps->sar_num == 0 || sps->sar_den == 0) sps->sar_num = sps->sar_den = 0;
    } else if (idc < VPI_COUNT(aspect_ratios)) {
        sps->sar_num = aspect_ratios[idc][0];
        sps->sar_den = aspect_ratios[idc][1];
    }
}

static void parse_vui(vpi_bits *b, vpi_h264_sps *sps)
{
    if (vpi_bits_read(b, 1)) parse_aspect_ratio(b, sps);
    if (vpi_bits_read(b, 1)) vpi_bits_skip(b, 1); /* overscan */
    if (vpi_bits_read(b, 1)) {
        vpi_bits_skip(b, 3); /* video_format */
        sps->full_range = vpi_bits_read(b, 1);
        if (vpi_bits_read(b, 1)) {
            sps->primaries = (uint8_t)vpi_bits_read(b, 8);
            sps->transfer = (uint8_t)vpi_bits_read(b, 8);
            sps->matrix = (uint8_t)vpi_bits_read(b, 8);
        }
    }
    if (vpi_bits_read(b, 1)) { /* chroma location */
        vpi_bits_ue(b);
        vpi_bits_ue(b);
    }
    if (vpi_bits_read(b, 1)) {
        sps->num_units_in_tick = vpi_bits_read(b, 32);
        sps->time_scale = vpi_bits_read(b, 32);
        sps->fixed_frame_rate = vpi_bits_read(b, 1);
        if (sps->num_units_in_tick == 0 || sps->time_scale == 0) sps->num_units_in_tick = sps->time_scale = 0;
    }
    bool nal_hrd = vpi_bits_read(b, 1);
    if (nal_hrd) skip_hrd(b);
    bool vcl_hrd = vpi_bits_read(b, 1);
    if (vcl_hrd) skip_hrd(b);
    if (nal_hrd || vcl_hrd) vpi_bits_skip(b, 1); /* low_delay_hrd_flag */
    vpi_bits_skip(b, 1);                         /* pic_struct_present_flag */
    if (vpi_bits_read(b, 1)) {
        vpi_bits_skip(b, 1);
        for (unsigned i = 0; i < 4; i++) vpi_bits_ue(b);
        sps->max_reorder_frames = vpi_bits_ue(b);
        sps->max_dec_frame_buffering = vpi_bits_ue(b);
        sps->has_reorder = true;
    }
}

static vp_status parse_chroma_info(vpi_bits *b, vpi_h264_sps *sps, vp_error *err)
{
    uint32_t chroma = vpi_bits_ue(b);
    if (chroma > 3) return VPI_CORRUPT(err, "H.264 SPS: chroma format %u", chroma);
    sps->chroma_format_idc = (uint8_t)chroma;
    if (chroma == 3) sps->separate_colour_planes = vpi_bits_read(b, 1);
    uint32_t luma_depth = vpi_bits_ue(b), chroma_depth = vpi_bits_ue(b);
    if (luma_depth > 6 || chroma_depth > 6) return VPI_CORRUPT(err, "H.264 SPS: bit depth over 14");
    sps->bit_depth_luma = (uint8_t)(8 + luma_depth);
    sps->bit_depth_chroma = (uint8_t)(8 + chroma_depth);
    vpi_bits_skip(b, 1); /* qpprime_y_zero_transform_bypass_flag */
    if (vpi_bits_read(b, 1)) skip_scaling_matrix(b, chroma == 3 ? 12 : 8);
    return VP_OK;
}

static vp_status parse_order_count(vpi_bits *b, vpi_h264_sps *sps, vp_error *err)
{
    uint32_t frame_num = vpi_bits_ue(b), type = vpi_bits_ue(b);
    if (frame_num > 12 || type > 2) return VPI_CORRUPT(err, "H.264 SPS: frame_num size or order count type");
    sps->log2_max_frame_num = (uint8_t)(frame_num + 4);
    sps->poc_type = (uint8_t)type;
    if (type == 0) {
        uint32_t lsb = vpi_bits_ue(b);
        if (lsb > 12) return VPI_CORRUPT(err, "H.264 SPS: order count size");
        sps->log2_max_poc_lsb = (uint8_t)(lsb + 4);
    } else if (type == 1) {
        sps->delta_pic_order_always_zero = vpi_bits_read(b, 1);
        vpi_bits_se(b);
        vpi_bits_se(b);
        uint32_t cycle = vpi_bits_ue(b);
        if (cycle > MAX_POC_CYCLE) return VPI_CORRUPT(err, "H.264 SPS: order count cycle of %u", cycle);
        for (uint32_t i = 0; i < cycle && !b->failed; i++) vpi_bits_se(b);
    }
    return VP_OK;
}

static vp_status parse_size(vpi_bits *b, vpi_h264_sps *sps, vp_error *err)
{
    uint32_t width = vpi_bits_ue(b), map_height = vpi_bits_ue(b);
    sps->frame_mbs_only = vpi_bits_read(b, 1);
    if (!sps->frame_mbs_only) sps->mb_adaptive = vpi_bits_read(b, 1);
    if (b->failed) return VPI_CORRUPT(err, "H.264 SPS: truncated");
    if (width >= MAX_SIDE_MBS || map_height >= MAX_SIDE_MBS / 2) {
        return VPI_CORRUPT(err, "H.264 SPS: %u x %u macroblocks", width, map_height);
    }
    sps->mb_width = width + 1;
    sps->mb_height = (map_height + 1) * (sps->frame_mbs_only ? 1 : 2);
    sps->width = sps->mb_width * 16;
    sps->height = sps->mb_height * 16;
    vpi_bits_skip(b, 1); /* direct_8x8_inference_flag */
    if (vpi_bits_read(b, 1)) {
        /* 7.4.2.1.1: crop units are chroma samples, twice that vertically when there are fields. */
        bool planar = sps->separate_colour_planes || sps->chroma_format_idc == 0;
        uint32_t unit_x = !planar && sps->chroma_format_idc < 3 ? 2 : 1;
        uint32_t unit_y = (!planar && sps->chroma_format_idc == 1 ? 2 : 1) * (sps->frame_mbs_only ? 1u : 2u);
        uint64_t left = vpi_bits_ue(b), right = vpi_bits_ue(b), top = vpi_bits_ue(b), bottom = vpi_bits_ue(b);
        uint64_t cut_x = (left + right) * unit_x, cut_y = (top + bottom) * unit_y;
        if (cut_x >= sps->width || cut_y >= sps->height) return VPI_CORRUPT(err, "H.264 SPS: crops all away");
        sps->width -= (uint32_t)cut_x;
        sps->height -= (uint32_t)cut_y;
    }
    return VP_OK;
}

vp_status vpi_h264_sps_parse(const vpi_nal *nal, vpi_h264_sps *out, vp_error *err)
{
    uint8_t plain[VPI_NAL_HEADER_MAX];
    vpi_bits b;
    memset(out, 0, sizeof(*out));
    if (nal->size < 4 || nal->data[0] & 0x80 || vpi_h264_type(nal) != VPI_H264_SPS) {
        return VPI_CORRUPT(err, "not an H.264 SPS");
    }
    vpi_bits_init(&b, plain, vpi_nal_unescape_head(nal, plain, sizeof(plain)));
    vpi_bits_skip(&b, 8);
    out->profile_idc = (uint8_t)vpi_bits_read(&b, 8);
    out->constraints = (uint8_t)vpi_bits_read(&b, 8);
    out->level_idc = (uint8_t)vpi_bits_read(&b, 8);
    uint32_t id = vpi_bits_ue(&b);
    if (id > 31) return VPI_CORRUPT(err, "H.264 SPS: id %u", id);
    out->id = (uint8_t)id;
    out->chroma_format_idc = 1;
    out->bit_depth_luma = out->bit_depth_chroma = 8;
    out->primaries = out->transfer = out->matrix = 2;
    if (has_chroma_info(out->profile_idc)) VPI_TRY(parse_chroma_info(&b, out, err));
    VPI_TRY(parse_order_count(&b, out, err));
    out->max_ref_frames = vpi_bits_ue(&b);
    if (out->max_ref_frames > MAX_REF_FRAMES) {
        return VPI_CORRUPT(err, "H.264 SPS: %u reference frames", out->max_ref_frames);
    }
    vpi_bits_skip(&b, 1); /* gaps_in_frame_num_value_allowed_flag */
    VPI_TRY(parse_size(&b, out, err));
    out->has_vui = vpi_bits_read(&b, 1);
    if (out->has_vui) parse_vui(&b, out);
    if (b.failed) return VPI_CORRUPT(err, "H.264 SPS: truncated or out of range");
    if (out->has_reorder && (out->max_dec_frame_buffering > MAX_REF_FRAMES ||
                             out->max_reorder_frames > out->max_dec_frame_buffering)) {
        return VPI_CORRUPT(err, "H.264 SPS: reorders %u of %u frames", out->max_reorder_frames,
                           out->max_dec_frame_buffering);
    }
    return VP_OK;
}

static unsigned bits_for(uint32_t values)
{
    unsigned bits = 0;
    while (bits < 32 && (UINT64_C(1) << bits) < values) bits++;
    return bits;
}

/* 7.3.2.2: flexible macroblock ordering of the Baseline and Extended profiles. */
static vp_status parse_slice_groups(vpi_bits *b, uint32_t groups, vpi_h264_pps *pps, vp_error *err)
{
    uint32_t type = vpi_bits_ue(b);
    if (type > 6) return VPI_CORRUPT(err, "H.264 PPS: slice group map %u", type);
    pps->slice_group_map_type = (uint8_t)type;
    if (type == 0) {
        for (uint32_t i = 0; i < groups; i++) vpi_bits_ue(b);
    } else if (type == 2) {
        for (uint32_t i = 0; i + 1 < groups; i++) {
            vpi_bits_ue(b);
            vpi_bits_ue(b);
        }
    } else if (type >= 3 && type <= 5) {
        vpi_bits_skip(b, 1);
        uint32_t rate = vpi_bits_ue(b);
        if (rate >= MAX_SIDE_MBS * MAX_SIDE_MBS)
            return VPI_CORRUPT(err, "H.264 PPS: slice group change rate");
        pps->slice_group_change_rate = rate + 1;
    } else if (type == 6) {
        uint64_t units = (uint64_t)vpi_bits_ue(b) + 1;
        uint64_t bits = units * bits_for(groups);
        if (bits > vpi_bits_left(b)) return VPI_CORRUPT(err, "H.264 PPS: slice group map is cut off");
        vpi_bits_skip(b, (size_t)bits);
    }
    return VP_OK;
}

vp_status vpi_h264_pps_parse(const vpi_nal *nal, const vpi_h264_sps *sps, vpi_h264_pps *out, vp_error *err)
{
    uint8_t plain[VPI_NAL_HEADER_MAX];
    vpi_bits b;
    memset(out, 0, sizeof(*out));
    if (nal->size < 2 || nal->data[0] & 0x80 || vpi_h264_type(nal) != VPI_H264_PPS) {
        return VPI_CORRUPT(err, "not an H.264 PPS");
    }
    vpi_bits_init(&b, plain, vpi_nal_unescape_head(nal, plain, sizeof(plain)));
    vpi_bits_skip(&b, 8);
    uint32_t id = vpi_bits_ue(&b), sps_id = vpi_bits_ue(&b);
    if (id > 255 || sps_id > 31) return VPI_CORRUPT(err, "H.264 PPS: id %u for SPS %u", id, sps_id);
    out->id = (uint8_t)id;
    out->sps_id = (uint8_t)sps_id;
    out->cabac = vpi_bits_read(&b, 1);
    out->bottom_field_order = vpi_bits_read(&b, 1);
    uint32_t groups = vpi_bits_ue(&b) + 1;
    if (groups > MAX_SLICE_GROUPS) return VPI_CORRUPT(err, "H.264 PPS: %u slice groups", groups);
    out->slice_groups = (uint8_t)groups;
    if (groups > 1) VPI_TRY(parse_slice_groups(&b, groups, out, err));
    uint32_t refs_l0 = vpi_bits_ue(&b), refs_l1 = vpi_bits_ue(&b);
    if (refs_l0 > 31 || refs_l1 > 31) return VPI_CORRUPT(err, "H.264 PPS: more than 32 references");
    out->refs_l0 = refs_l0 + 1;
    out->refs_l1 = refs_l1 + 1;
    out->weighted_pred = vpi_bits_read(&b, 1);
    out->weighted_bipred_idc = (uint8_t)vpi_bits_read(&b, 2);
    if (out->weighted_bipred_idc > 2) return VPI_CORRUPT(err, "H.264 PPS: weighted_bipred_idc");
    for (unsigned i = 0; i < 3; i++) vpi_bits_se(&b); /* initial QP, QS, chroma offset */
    out->deblocking_control = vpi_bits_read(&b, 1);
    vpi_bits_skip(&b, 1); /* constrained_intra_pred_flag */
    out->redundant_pic_cnt = vpi_bits_read(&b, 1);
    if (!b.failed && sps && vpi_bits_more_rbsp(&b)) {
        bool transform_8x8 = vpi_bits_read(&b, 1);
        unsigned lists = 6 + (transform_8x8 ? (sps->chroma_format_idc == 3 ? 6u : 2u) : 0);
        if (vpi_bits_read(&b, 1)) skip_scaling_matrix(&b, lists);
        vpi_bits_se(&b); /* second_chroma_qp_index_offset */
    }
    if (b.failed) return VPI_CORRUPT(err, "H.264 PPS: truncated or out of range");
    return VP_OK;
}
