/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Slice headers (ITU-T H.264 7.3.3), read to their last bit: encryption starts right behind them. */
#include "bitstream/bits_int.h"

enum { TYPE_P = 0, TYPE_B = 1, TYPE_I = 2, TYPE_SP = 3, TYPE_SI = 4 };
enum { NAL_PARTITION_A = 2 };

#define MAX_REFS 32u
/* 7.4.3.1 and 7.4.3.3: at most one command for each of 32 fields and the end, twice that for safety. */
#define MAX_COMMANDS 66u
#define COMMON_BYTES 128u

typedef struct slice_reader {
    vpi_bits b;
    const vpi_h264_sps *sps;
    const vpi_h264_pps *pps;
    vpi_h264_slice *out;
    unsigned kind; /* type % 5 */
    unsigned ref_idc;
    uint32_t refs_l0, refs_l1;
} slice_reader;

static bool is_slice(const vpi_nal *nal)
{
    unsigned type = vpi_h264_type(nal);
    return nal->size >= 2 && !(nal->data[0] & 0x80) &&
           (type == VPI_H264_SLICE || type == NAL_PARTITION_A || type == VPI_H264_IDR);
}

vp_status vpi_h264_slice_pps_id(const vpi_nal *nal, uint8_t *pps_id, vp_error *err)
{
    /* Three codes of at most 63 bits follow the NAL header. */
    uint8_t plain[32];
    vpi_bits b;
    *pps_id = 0;
    if (!is_slice(nal)) return VPI_CORRUPT(err, "not an H.264 slice");
    vpi_bits_init(&b, plain, vpi_nal_unescape_head(nal, plain, sizeof(plain)));
    vpi_bits_skip(&b, 8);
    vpi_bits_ue(&b);
    vpi_bits_ue(&b);
    uint32_t id = vpi_bits_ue(&b);
    if (b.failed || id > 255) return VPI_CORRUPT(err, "H.264 slice: broken header");
    *pps_id = (uint8_t)id;
    return VP_OK;
}

static vp_status parse_place(slice_reader *r, vp_error *err)
{
    vpi_bits *b = &r->b;
    vpi_h264_slice *out = r->out;
    out->first_mb = vpi_bits_ue(b);
    out->type = vpi_bits_ue(b);
    uint32_t pps_id = vpi_bits_ue(b);
    if (b->failed || out->type > 9 || pps_id != r->pps->id) {
        return VPI_CORRUPT(err, "H.264 slice: type %u, PPS %u", out->type, pps_id);
    }
    out->pps_id = (uint8_t)pps_id;
    r->kind = out->type % 5;
    if (out->first_mb >= r->sps->mb_width * r->sps->mb_height) {
        return VPI_CORRUPT(err, "H.264 slice: macroblock %u is outside the picture", out->first_mb);
    }
    /* 7.4.1.2.4: an IDR picture has intra slices only and is a reference. */
    if (out->idr && ((r->kind != TYPE_I && r->kind != TYPE_SI) || r->ref_idc == 0)) {
        return VPI_CORRUPT(err, "H.264 slice: type %u in an IDR picture", out->type);
    }
    if (r->sps->separate_colour_planes && vpi_bits_read(b, 2) > 2) {
        return VPI_CORRUPT(err, "H.264 slice: colour plane");
    }
    return VP_OK;
}

static vp_status parse_order(slice_reader *r, vp_error *err)
{
    vpi_bits *b = &r->b;
    vpi_h264_slice *out = r->out;
    out->frame_num = vpi_bits_read(b, r->sps->log2_max_frame_num);
    if (!r->sps->frame_mbs_only) {
        out->field_pic = vpi_bits_read(b, 1);
        if (out->field_pic) out->bottom_field = vpi_bits_read(b, 1);
    }
    if (out->idr) {
        out->idr_pic_id = vpi_bits_ue(b);
        if (out->idr_pic_id > 65535) return VPI_CORRUPT(err, "H.264 slice: idr_pic_id %u", out->idr_pic_id);
    }
    bool both_fields = r->pps->bottom_field_order && !out->field_pic;
    if (r->sps->poc_type == 0) {
        out->poc_lsb = vpi_bits_read(b, r->sps->log2_max_poc_lsb);
        if (both_fields) vpi_bits_se(b);
    } else if (r->sps->poc_type == 1 && !r->sps->delta_pic_order_always_zero) {
        vpi_bits_se(b);
        if (both_fields) vpi_bits_se(b);
    }
    if (r->pps->redundant_pic_cnt && vpi_bits_ue(b) > 127) {
        return VPI_CORRUPT(err, "H.264 slice: redundant_pic_cnt");
    }
    return VP_OK;
}

static vp_status parse_ref_counts(slice_reader *r, vp_error *err)
{
    vpi_bits *b = &r->b;
    if (r->kind == TYPE_B) vpi_bits_skip(b, 1); /* direct_spatial_mv_pred_flag */
    r->refs_l0 = r->pps->refs_l0;
    r->refs_l1 = r->pps->refs_l1;
    if (r->kind != TYPE_I && r->kind != TYPE_SI && vpi_bits_read(b, 1)) {
        uint32_t l0 = vpi_bits_ue(b), l1 = r->kind == TYPE_B ? vpi_bits_ue(b) : 0;
        if (l0 >= MAX_REFS || l1 >= MAX_REFS) return VPI_CORRUPT(err, "H.264 slice: more than 32 references");
        r->refs_l0 = l0 + 1;
        r->refs_l1 = l1 + 1;
    }
    return VP_OK;
}

/* 7.3.3.1 */
static vp_status parse_list_modification(slice_reader *r, vp_error *err)
{
    vpi_bits *b = &r->b;
    unsigned lists = r->kind == TYPE_I || r->kind == TYPE_SI ? 0 : r->kind == TYPE_B ? 2 : 1;
    for (unsigned list = 0; list < lists; list++) {
        if (!vpi_bits_read(b, 1)) continue;
        unsigned count = 0;
        for (;;) {
            uint32_t op = vpi_bits_ue(b);
            if (b->failed || op > 3 || ++count > MAX_COMMANDS) {
                return VPI_CORRUPT(err, "H.264 slice: reference list modification");
            }
            if (op == 3) break;
            vpi_bits_ue(b);
        }
    }
    return VP_OK;
}

static void skip_weights(vpi_bits *b, uint32_t refs, bool chroma)
{
    for (uint32_t i = 0; i < refs && !b->failed; i++) {
        if (vpi_bits_read(b, 1)) {
            vpi_bits_se(b);
            vpi_bits_se(b);
        }
        if (chroma && vpi_bits_read(b, 1)) {
            for (unsigned k = 0; k < 4; k++) vpi_bits_se(b);
        }
    }
}

/* 7.3.3.2 */
static vp_status parse_weights(slice_reader *r, vp_error *err)
{
    vpi_bits *b = &r->b;
    bool inter = r->kind == TYPE_P || r->kind == TYPE_SP;
    if (!(r->pps->weighted_pred && inter) && !(r->pps->weighted_bipred_idc == 1 && r->kind == TYPE_B)) {
        return VP_OK;
    }
    bool chroma = r->sps->chroma_format_idc != 0 && !r->sps->separate_colour_planes;
    if (vpi_bits_ue(b) > 7 || (chroma && vpi_bits_ue(b) > 7)) {
        return VPI_CORRUPT(err, "H.264 slice: weight denominator");
    }
    skip_weights(b, r->refs_l0, chroma);
    if (r->kind == TYPE_B) skip_weights(b, r->refs_l1, chroma);
    return VP_OK;
}

/* 7.3.3.3 */
static vp_status parse_marking(slice_reader *r, vp_error *err)
{
    vpi_bits *b = &r->b;
    if (r->ref_idc == 0) return VP_OK;
    if (r->out->idr) {
        vpi_bits_skip(b, 2);
        return VP_OK;
    }
    if (!vpi_bits_read(b, 1)) return VP_OK;
    for (unsigned count = 0;; count++) {
        uint32_t op = vpi_bits_ue(b);
        if (b->failed || op > 6 || count > MAX_COMMANDS) {
            return VPI_CORRUPT(err, "H.264 slice: reference marking");
        }
        if (op == 0) return VP_OK;
        if (op != 5) vpi_bits_ue(b);
        if (op == 3) vpi_bits_ue(b);
    }
}

/* Ceil(Log2(PicSizeInMapUnits / SliceGroupChangeRate + 1)), 7.4.3; the division is exact. */
static unsigned change_cycle_bits(const vpi_h264_sps *sps, const vpi_h264_pps *pps)
{
    uint32_t units = sps->mb_width * (sps->frame_mbs_only ? sps->mb_height : sps->mb_height / 2);
    uint32_t rate = VPI_MAX(pps->slice_group_change_rate, 1u);
    uint32_t values = units / rate + (units % rate != 0) + 1;
    unsigned bits = 0;
    while ((UINT32_C(1) << bits) < values) bits++;
    return bits;
}

static vp_status parse_tail(slice_reader *r, vp_error *err)
{
    vpi_bits *b = &r->b;
    bool intra = r->kind == TYPE_I || r->kind == TYPE_SI;
    if (r->pps->cabac && !intra && vpi_bits_ue(b) > 2) return VPI_CORRUPT(err, "H.264 slice: cabac_init_idc");
    vpi_bits_se(b); /* slice_qp_delta */
    if (r->kind == TYPE_SP) vpi_bits_skip(b, 1);
    if (r->kind == TYPE_SP || r->kind == TYPE_SI) vpi_bits_se(b);
    if (r->pps->deblocking_control) {
        uint32_t idc = vpi_bits_ue(b);
        if (idc > 2) return VPI_CORRUPT(err, "H.264 slice: deblocking mode %u", idc);
        if (idc != 1) {
            int32_t alpha = vpi_bits_se(b), beta = vpi_bits_se(b);
            if (alpha < -6 || alpha > 6 || beta < -6 || beta > 6) {
                return VPI_CORRUPT(err, "H.264 slice: deblocking offsets");
            }
        }
    }
    if (r->pps->slice_groups > 1 && r->pps->slice_group_map_type >= 3 && r->pps->slice_group_map_type <= 5) {
        vpi_bits_skip(b, change_cycle_bits(r->sps, r->pps));
    }
    return VP_OK;
}

/* From the first bytes of the NAL unit, as many as `plain` has room for. */
static vp_status parse_head(const vpi_nal *nal, uint8_t *plain, size_t room, const vpi_h264_sps *sps,
                            const vpi_h264_pps *pps, vpi_h264_slice *out, vp_error *err)
{
    slice_reader r = { .sps = sps, .pps = pps, .out = out };
    memset(out, 0, sizeof(*out));
    vpi_bits_init(&r.b, plain, vpi_nal_unescape_head(nal, plain, room));
    vpi_bits_skip(&r.b, 8);
    r.ref_idc = nal->data[0] >> 5 & 3u;
    out->idr = vpi_h264_type(nal) == VPI_H264_IDR;
    VPI_TRY(parse_place(&r, err));
    VPI_TRY(parse_order(&r, err));
    VPI_TRY(parse_ref_counts(&r, err));
    VPI_TRY(parse_list_modification(&r, err));
    VPI_TRY(parse_weights(&r, err));
    VPI_TRY(parse_marking(&r, err));
    VPI_TRY(parse_tail(&r, err));
    if (r.b.failed) return VPI_CORRUPT(err, "H.264 slice: header is cut off");
    out->header_bits = r.b.position;
    out->header_bytes_escaped = vpi_nal_escaped_size(nal, (r.b.position + 7) / 8);
    return VP_OK;
}

vp_status vpi_h264_slice_parse(const vpi_nal *nal, const vpi_h264_sps *sps, const vpi_h264_pps *pps,
                               vpi_h264_slice *out, vp_error *err)
{
    uint8_t plain[VPI_NAL_HEADER_MAX];
    memset(out, 0, sizeof(*out));
    if (!is_slice(nal)) return VPI_CORRUPT(err, "not an H.264 slice");
    if (pps->sps_id != sps->id)
        return VPI_CORRUPT(err, "H.264 slice: PPS is for SPS %u", (unsigned)pps->sps_id);
    /* What is common fits 100 bytes; weights of 32 + 32 references can take about 2.5 KiB. */
    if (nal->size > COMMON_BYTES && parse_head(nal, plain, COMMON_BYTES, sps, pps, out, NULL) == VP_OK)
        return VP_OK;
    return parse_head(nal, plain, sizeof(plain), sps, pps, out, err);
}
