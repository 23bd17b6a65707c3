/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* H.264 headers from byte vectors and from bits written here; no tool is needed. */
#include "unit/bitstream/tools.h"

#include "base/buf.h"
#include "bitstream/bitstream.h"

/* x264, High, 320x180 at 25 fps; ffmpeg's trace_headers names the same values. */
#define SPS_HIGH "6764000cacd941419f9f011000000300100000030320f1429960"
#define PPS_HIGH "68e938f2c8b0"
/* Cameras' and encoders' headers of the clips in shared/media */
#define SPS_MAIN "674d401fda014016ec0440000003004000000c83c60ca8"
#define SPS_BASELINE "6742801696540601bd3506060640000003004000000661"

static vp_status parse_hex_sps(const char *hex, vpi_h264_sps *out)
{
    blob b = exact_hex(hex);
    vpi_nal nal = { b.data, b.size };
    vp_error err = VP_ERROR_INIT;
    vp_status st = vpi_h264_sps_parse(&nal, out, &err);
    if (st < 0) {
        assert_int_equal(err.status, VP_E_DATA);
        assert_string_equal(err.reason, "INPUT_CORRUPT");
        assert_int_not_equal(err.message[0], 0);
    }
    free(b.data);
    return st;
}

static void test_known_sps(void **state)
{
    (void)state;
    vpi_h264_sps s;
    assert_int_equal(parse_hex_sps(SPS_HIGH, &s), VP_OK);
    assert_int_equal(s.profile_idc, 100);
    assert_int_equal(s.constraints, 0);
    assert_int_equal(s.level_idc, 12);
    assert_int_equal(s.chroma_format_idc, 1);
    assert_int_equal(s.bit_depth_luma, 8);
    assert_int_equal(s.width, 320);
    assert_int_equal(s.height, 180);
    assert_int_equal(s.mb_width, 20);
    assert_int_equal(s.mb_height, 12);
    assert_true(s.frame_mbs_only);
    assert_int_equal(s.log2_max_frame_num, 4);
    assert_int_equal(s.poc_type, 0);
    assert_int_equal(s.log2_max_poc_lsb, 6);
    assert_int_equal(s.max_ref_frames, 4);
    assert_true(s.has_vui);
    assert_int_equal(s.sar_num, 1);
    assert_int_equal(s.sar_den, 1);
    assert_int_equal(s.primaries, 2);
    assert_int_equal(s.num_units_in_tick, 1);
    assert_int_equal(s.time_scale, 50);
    assert_true(s.has_reorder);
    assert_int_equal(s.max_reorder_frames, 2);
    assert_int_equal(s.max_dec_frame_buffering, 4);

    assert_int_equal(parse_hex_sps(SPS_MAIN, &s), VP_OK);
    assert_int_equal(s.profile_idc << 16 | s.constraints << 8 | s.level_idc, 0x4d401f);
    assert_int_equal(s.width, 1280);
    assert_int_equal(s.height, 720);
    assert_int_equal(parse_hex_sps(SPS_BASELINE, &s), VP_OK);
    assert_int_equal(s.profile_idc << 16 | s.constraints << 8 | s.level_idc, 0x428016);
    assert_int_equal(s.width, 768);
    assert_int_equal(s.height, 432);
}

/* What the writer below can vary; the rest has plain values. */
typedef struct sps_shape {
    unsigned profile, chroma, depth, poc_type, planes, fields, sar_idc;
    unsigned crop[4];
    unsigned mb_width, map_height, cycle, hrd, cpb_count;
    bool scaling, vui, crops;
    unsigned refs, reorder, buffering;
} sps_shape;

static void put_hrd(bit_writer *w, unsigned count)
{
    put_ue(w, count - 1);
    put(w, 8, 0x21);
    for (unsigned i = 0; i < count; i++) {
        put_ue(w, 4000 + i);
        put_ue(w, 8000 + i);
        put(w, 1, 0);
    }
    put(w, 20, 0x8c631);
}

static void put_vui(bit_writer *w, const sps_shape *s)
{
    put(w, 1, 1);
    put(w, 8, s->sar_idc);
    if (s->sar_idc == 255) {
        put(w, 16, 64);
        put(w, 16, 45);
    }
    put(w, 2, 3); /* overscan */
    put(w, 1, 1);
    put(w, 3, 5);
    put(w, 2, 3); /* full range, colour description */
    put(w, 8, 9);
    put(w, 8, 16);
    put(w, 8, 9);
    put(w, 1, 1);
    put_ue(w, 2);
    put_ue(w, 2);
    put(w, 1, 1);
    put(w, 32, 1001);
    put(w, 32, 60000);
    put(w, 1, 1);
    put(w, 1, s->hrd & 1);
    if (s->hrd & 1) put_hrd(w, s->cpb_count);
    put(w, 1, s->hrd >> 1);
    if (s->hrd & 2) put_hrd(w, s->cpb_count);
    if (s->hrd) put(w, 1, 0);
    put(w, 1, 1);
    put(w, 1, 1);
    put(w, 1, 1);
    put_ue(w, 2);
    put_ue(w, 1);
    put_ue(w, 16);
    put_ue(w, 16);
    put_ue(w, s->reorder);
    put_ue(w, s->buffering);
}

static blob make_sps(const sps_shape *s)
{
    bit_writer w = { .bits = 0 };
    put(&w, 8, 0x67);
    put(&w, 8, s->profile);
    put(&w, 8, 0);
    put(&w, 8, 31);
    put_ue(&w, 3);
    if (s->profile >= 100) {
        put_ue(&w, s->chroma);
        if (s->chroma == 3) put(&w, 1, s->planes);
        put_ue(&w, s->depth - 8);
        put_ue(&w, s->depth - 8);
        put(&w, 1, 0);
        put(&w, 1, s->scaling);
        for (unsigned i = 0; s->scaling && i < (s->chroma == 3 ? 12u : 8u); i++) {
            put(&w, 1, i % 3 != 1);
            if (i % 3 == 1) continue;
            unsigned size = i < 6 ? 16 : 64;
            if (i % 3 == 0) { /* a whole list */
                for (unsigned k = 0; k < size; k++) put_se(&w, k % 2 ? 1 : -1);
            } else { /* next scale 0 after two: the rest is repeated */
                put_se(&w, 4);
                put_se(&w, -12);
            }
        }
    }
    put_ue(&w, 4);
    put_ue(&w, s->poc_type);
    if (s->poc_type == 0) {
        put_ue(&w, 2);
    } else if (s->poc_type == 1) {
        put(&w, 1, 0);
        put_se(&w, -3);
        put_se(&w, 2);
        put_ue(&w, s->cycle);
        for (unsigned i = 0; i < s->cycle; i++) put_se(&w, (int32_t)i - 100);
    }
    put_ue(&w, s->refs);
    put(&w, 1, 0);
    put_ue(&w, s->mb_width - 1);
    put_ue(&w, s->map_height - 1);
    put(&w, 1, !s->fields);
    if (s->fields) put(&w, 1, 1);
    put(&w, 1, 1);
    put(&w, 1, s->crops);
    for (unsigned i = 0; s->crops && i < 4; i++) put_ue(&w, s->crop[i]);
    put(&w, 1, s->vui);
    if (s->vui) put_vui(&w, s);
    put_stop(&w);
    return escaped(&w);
}

static const sps_shape plain_shape = { .profile = 100,
                                       .chroma = 1,
                                       .depth = 8,
                                       .mb_width = 120,
                                       .map_height = 68,
                                       .refs = 4,
                                       .sar_idc = 1,
                                       .cpb_count = 1,
                                       .reorder = 2,
                                       .buffering = 4 };

static vp_status parse_shape(const sps_shape *shape, vpi_h264_sps *out)
{
    blob b = make_sps(shape);
    vpi_nal nal = { b.data, b.size };
    vp_status st = vpi_h264_sps_parse(&nal, out, NULL);
    free(b.data);
    return st;
}

static void test_crop_units(void **state)
{
    (void)state;
    /* 7.4.2.1.1: chroma format, planes, fields -> what one step left+right=3 and top+bottom=5 cuts */
    static const struct {
        unsigned chroma, planes, fields, x, y;
    } rows[] = {
        { 0, 0, 0, 1, 1 }, { 0, 0, 1, 1, 2 }, { 1, 0, 0, 2, 2 }, { 1, 0, 1, 2, 4 },
        { 2, 0, 0, 2, 1 }, { 2, 0, 1, 2, 2 }, { 3, 0, 0, 1, 1 }, { 3, 1, 1, 1, 2 },
    };
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        vpi_h264_sps s;
        sps_shape shape = plain_shape;
        shape.profile = 244;
        shape.chroma = rows[i].chroma;
        shape.planes = rows[i].planes;
        shape.fields = rows[i].fields;
        shape.crops = true;
        memcpy(shape.crop, (unsigned[]){ 1, 2, 2, 3 }, sizeof(shape.crop));
        assert_int_equal(parse_shape(&shape, &s), VP_OK);
        assert_int_equal(s.width, 1920 - 3 * rows[i].x);
        assert_int_equal(s.height, 1088 * (1 + rows[i].fields) - 5 * rows[i].y);
        assert_int_equal(s.mb_height, 68 * (1 + rows[i].fields));
        assert_int_equal(s.separate_colour_planes, rows[i].planes);
        assert_int_equal(s.mb_adaptive, rows[i].fields);
        shape.crop[0] = 1920; /* nothing would be left */
        assert_int_equal(parse_shape(&shape, &s), VP_E_DATA);
        shape.crop[0] = 0xfffffffe;
        shape.crop[1] = 0xfffffffe;
        assert_int_equal(parse_shape(&shape, &s), VP_E_DATA);
    }
}

static void test_sps_options(void **state)
{
    (void)state;
    vpi_h264_sps s;
    static const unsigned profiles[] = { 66, 77, 88, 100, 110, 122, 244 };
    for (unsigned bits = 0; bits < 64; bits++) {
        sps_shape shape = plain_shape;
        shape.profile = profiles[bits % VPI_COUNT(profiles)];
        shape.chroma = shape.profile >= 100 ? bits % 4 : 1;
        shape.depth = shape.profile >= 100 ? 8 + bits % 7 : 8;
        shape.scaling = bits & 1;
        shape.poc_type = bits % 3;
        shape.cycle = bits % 2 ? 255 : 0;
        shape.fields = bits >> 1 & 1;
        shape.vui = true;
        shape.hrd = bits >> 2 & 3;
        shape.cpb_count = bits & 16 ? 32 : 1;
        shape.sar_idc = bits % 5 == 0 ? 255 : bits % 17;
        assert_int_equal(parse_shape(&shape, &s), VP_OK);
        assert_int_equal(s.id, 3);
        assert_int_equal(s.poc_type, shape.poc_type);
        assert_int_equal(s.chroma_format_idc, shape.chroma);
        assert_int_equal(s.bit_depth_luma, shape.depth);
        assert_int_equal(s.log2_max_frame_num, 8);
        assert_true(s.full_range);
        assert_int_equal(s.primaries, 9);
        assert_int_equal(s.transfer, 16);
        assert_int_equal(s.matrix, 9);
        assert_int_equal(s.num_units_in_tick, 1001);
        assert_int_equal(s.time_scale, 60000);
        assert_true(s.fixed_frame_rate);
        assert_true(s.has_reorder);
        assert_int_equal(s.max_reorder_frames, 2);
        assert_int_equal(s.max_dec_frame_buffering, 4);
        if (shape.sar_idc == 255) assert_true(s.sar_num == 64 && s.sar_den == 45);
        if (shape.sar_idc == 0) assert_true(s.sar_num == 0 && s.sar_den == 0);
        if (shape.sar_idc == 14) assert_true(s.sar_num == 4 && s.sar_den == 3);
        if (shape.sar_idc == 13) assert_true(s.sar_num == 160 && s.sar_den == 99);
    }
}

static void test_sps_refusals(void **state)
{
    (void)state;
    vpi_h264_sps s;
    sps_shape shape = plain_shape;
    shape.refs = 17;
    assert_int_equal(parse_shape(&shape, &s), VP_E_DATA);
    shape = plain_shape;
    shape.mb_width = 4097;
    assert_int_equal(parse_shape(&shape, &s), VP_E_DATA);
    shape = plain_shape;
    shape.chroma = 4;
    assert_int_equal(parse_shape(&shape, &s), VP_E_DATA);
    shape = plain_shape;
    shape.depth = 15;
    assert_int_equal(parse_shape(&shape, &s), VP_E_DATA);
    shape = plain_shape;
    shape.poc_type = 3;
    assert_int_equal(parse_shape(&shape, &s), VP_E_DATA);
    shape = plain_shape;
    shape.poc_type = 1;
    shape.cycle = 256;
    assert_int_equal(parse_shape(&shape, &s), VP_E_DATA);
    shape = plain_shape;
    shape.vui = true;
    shape.hrd = 1;
    shape.cpb_count = 33;
    assert_int_equal(parse_shape(&shape, &s), VP_E_DATA);
    shape = plain_shape;
    shape.vui = true;
    shape.reorder = 5;
    assert_int_equal(parse_shape(&shape, &s), VP_E_DATA);
    assert_int_equal(parse_hex_sps("e764000cacd94141", &s), VP_E_DATA); /* forbidden_zero_bit */
    assert_int_equal(parse_hex_sps(PPS_HIGH, &s), VP_E_DATA);
    assert_int_equal(parse_hex_sps("", &s), VP_E_DATA);
}

/* ---- slices: header_bits must be the very bit where slice data begins ---- */

typedef struct slice_shape {
    vpi_h264_sps sps;
    vpi_h264_pps pps;
    unsigned nal_type, ref_idc, type;
    bool field, bottom, override_refs, modify, adaptive;
} slice_shape;

static void put_weights(bit_writer *w, unsigned refs, bool chroma)
{
    for (unsigned i = 0; i < refs; i++) {
        put(w, 1, i % 2);
        if (i % 2) {
            put_se(w, -128);
            put_se(w, 127);
        }
        if (!chroma) continue;
        put(w, 1, i % 3 == 0);
        for (unsigned k = 0; i % 3 == 0 && k < 4; k++) put_se(w, 64 - (int32_t)(k * 40));
    }
}

static void put_modification(bit_writer *w, bool modify, unsigned count)
{
    put(w, 1, modify);
    if (!modify) return;
    for (unsigned i = 0; i < count; i++) {
        put_ue(w, i % 3);
        put_ue(w, i * 5);
    }
    put_ue(w, 3);
}

static void put_marking(bit_writer *w, const slice_shape *s)
{
    if (s->ref_idc == 0) return;
    if (s->nal_type == 5) {
        put(w, 2, 1);
        return;
    }
    put(w, 1, s->adaptive);
    if (!s->adaptive) return;
    for (uint32_t op = 1; op <= 6; op++) {
        put_ue(w, op);
        if (op != 5) put_ue(w, 7 + op);
        if (op == 3) put_ue(w, 2);
    }
    put_ue(w, 0);
}

/* 7.3.3, written independently of the reader; returns the bits up to slice data. */
static size_t put_slice(bit_writer *w, const slice_shape *s)
{
    unsigned kind = s->type % 5;
    bool inter = kind == 0 || kind == 1 || kind == 3,
         chroma = s->sps.chroma_format_idc && !s->sps.separate_colour_planes;
    unsigned l0 = s->override_refs ? 5 : s->pps.refs_l0, l1 = s->override_refs ? 3 : s->pps.refs_l1;
    put(w, 8, s->ref_idc << 5 | s->nal_type);
    put_ue(w, 0);
    put_ue(w, s->type);
    put_ue(w, s->pps.id);
    if (s->sps.separate_colour_planes) put(w, 2, 1);
    put(w, s->sps.log2_max_frame_num, 0); /* zeros, to have emulation prevention in the header */
    if (!s->sps.frame_mbs_only) {
        put(w, 1, s->field);
        if (s->field) put(w, 1, s->bottom);
    }
    if (s->nal_type == 5) put_ue(w, 65535);
    bool both = s->pps.bottom_field_order && !s->field;
    if (s->sps.poc_type == 0) {
        put(w, s->sps.log2_max_poc_lsb, 0);
        if (both) put_se(w, -1);
    } else if (s->sps.poc_type == 1 && !s->sps.delta_pic_order_always_zero) {
        put_se(w, 3);
        if (both) put_se(w, 4);
    }
    if (s->pps.redundant_pic_cnt) put_ue(w, 0);
    if (kind == 1) put(w, 1, 1);
    if (inter) {
        put(w, 1, s->override_refs);
        if (s->override_refs) {
            put_ue(w, 4);
            if (kind == 1) put_ue(w, 2);
        }
        put_modification(w, s->modify, 5);
        if (kind == 1) put_modification(w, s->modify, 4);
    }
    if ((s->pps.weighted_pred && (kind == 0 || kind == 3)) ||
        (s->pps.weighted_bipred_idc == 1 && kind == 1)) {
        put_ue(w, 5);
        if (chroma) put_ue(w, 6);
        put_weights(w, l0, chroma);
        if (kind == 1) put_weights(w, l1, chroma);
    }
    put_marking(w, s);
    if (s->pps.cabac && inter) put_ue(w, 2);
    put_se(w, -7);
    if (kind == 3) put(w, 1, 0);
    if (kind == 3 || kind == 4) put_se(w, 9);
    if (s->pps.deblocking_control) {
        put_ue(w, s->type % 3);
        if (s->type % 3 != 1) {
            put_se(w, -6);
            put_se(w, 6);
        }
    }
    if (s->pps.slice_groups > 1) put(w, 4, 11); /* 20 * 12 map units by 24: 11 values, 4 bits */
    size_t bits = w->bits;
    for (unsigned i = 0; i < 20; i++) put(w, 8, i % 5 ? 0 : 0xa5);
    put_stop(w);
    return bits;
}

static void check_slice(const slice_shape *s)
{
    bit_writer w = { .bits = 0 };
    size_t bits = put_slice(&w, s);
    blob b = escaped(&w);
    vpi_nal nal = { b.data, b.size };
    vpi_h264_slice out;
    uint8_t pps_id = 0;
    assert_int_equal(vpi_h264_slice_pps_id(&nal, &pps_id, NULL), VP_OK);
    assert_int_equal(pps_id, s->pps.id);
    assert_int_equal(vpi_h264_slice_parse(&nal, &s->sps, &s->pps, &out, NULL), VP_OK);
    assert_int_equal(out.header_bits, bits);
    assert_int_equal(out.type, s->type);
    assert_int_equal(out.pps_id, s->pps.id);
    assert_int_equal(out.idr, s->nal_type == 5);
    assert_int_equal(out.field_pic, s->field);
    assert_int_equal(out.bottom_field, s->field && s->bottom);
    assert_int_equal(out.idr_pic_id, s->nal_type == 5 ? 65535 : 0);
    vpi_nal head = { b.data, out.header_bytes_escaped };
    uint8_t plain[8192];
    assert_int_equal(vpi_nal_unescape(&head, plain), (bits + 7) / 8);
    /* Every shorter unit either fails or, when the header is whole, tells the same. */
    for (size_t n = 0; n < b.size; n++) {
        uint8_t *p = exact_copy(b.data, n);
        nal = (vpi_nal){ p, n };
        vp_status st = vpi_h264_slice_parse(&nal, &s->sps, &s->pps, &out, NULL);
        assert_int_equal(st, n >= head.size ? VP_OK : VP_E_DATA);
        if (st == VP_OK) assert_int_equal(out.header_bits, bits);
        free(p);
    }
    free(b.data);
}

static slice_shape plain_slice(void)
{
    slice_shape s = { .nal_type = 1, .ref_idc = 2 };
    s.sps = (vpi_h264_sps){ .id = 3,
                            .chroma_format_idc = 1,
                            .frame_mbs_only = true,
                            .mb_width = 20,
                            .mb_height = 12,
                            .log2_max_frame_num = 16,
                            .log2_max_poc_lsb = 16 };
    s.pps = (vpi_h264_pps){ .id = 9, .sps_id = 3, .slice_groups = 1, .refs_l0 = 3, .refs_l1 = 1 };
    return s;
}

static void test_slices(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 4096; bits++) {
        slice_shape s = plain_slice();
        s.type = bits % 10;
        s.ref_idc = bits >> 1 & 1;
        if ((bits & 7) == 7 && (s.type % 5 == 2 || s.type % 5 == 4)) {
            s.nal_type = 5;
            s.ref_idc = 3;
        }
        s.pps.cabac = bits >> 2 & 1;
        s.pps.deblocking_control = bits >> 3 & 1;
        s.pps.weighted_pred = bits >> 4 & 1;
        s.pps.weighted_bipred_idc = (uint8_t)(bits >> 4 & 1);
        s.modify = bits >> 5 & 1;
        s.adaptive = bits >> 6 & 1;
        s.override_refs = bits >> 7 & 1;
        s.sps.frame_mbs_only = bits >> 8 & 1;
        s.field = !s.sps.frame_mbs_only && (bits >> 9 & 1);
        s.bottom = bits >> 10 & 1;
        s.pps.bottom_field_order = bits >> 11;
        s.sps.poc_type = (uint8_t)(bits % 3);
        s.sps.chroma_format_idc = (uint8_t)(bits % 7 % 4);
        s.sps.separate_colour_planes = s.sps.chroma_format_idc == 3 && (bits & 16);
        s.pps.redundant_pic_cnt = bits % 11 == 0;
        if (bits % 13 == 0 && s.sps.frame_mbs_only) {
            s.pps.slice_groups = 2;
            s.pps.slice_group_map_type = 4;
            s.pps.slice_group_change_rate = 24;
        }
        check_slice(&s);
    }
}

static vp_status parse_edited(const slice_shape *s, const slice_shape *reader)
{
    bit_writer w = { .bits = 0 };
    put_slice(&w, s);
    blob b = escaped(&w);
    vpi_nal nal = { b.data, b.size };
    vpi_h264_slice out;
    vp_error err = VP_ERROR_INIT;
    vp_status st = vpi_h264_slice_parse(&nal, &reader->sps, &reader->pps, &out, &err);
    if (st < 0) assert_string_equal(err.reason, "INPUT_CORRUPT");
    free(b.data);
    return st;
}

static void test_slice_refusals(void **state)
{
    (void)state;
    slice_shape s = plain_slice(), r = s;
    assert_int_equal(parse_edited(&s, &r), VP_OK);
    r.pps.id = 8; /* the slice names another PPS */
    assert_int_equal(parse_edited(&s, &r), VP_E_DATA);
    r = s;
    r.sps.id = 2; /* the PPS names another SPS */
    assert_int_equal(parse_edited(&s, &r), VP_E_DATA);
    s.nal_type = 5; /* a P slice in an IDR picture */
    assert_int_equal(parse_edited(&s, &s), VP_E_DATA);
    s.type = 7;
    assert_int_equal(parse_edited(&s, &s), VP_OK);
    s.ref_idc = 0;
    assert_int_equal(parse_edited(&s, &s), VP_E_DATA);
    s = plain_slice();
    s.type = 10;
    assert_int_equal(parse_edited(&s, &s), VP_E_DATA);
    s = plain_slice();
    s.nal_type = 6;
    assert_int_equal(parse_edited(&s, &s), VP_E_DATA);

    /* An endless list of commands is given up. */
    bit_writer w = { .bits = 0 };
    s = plain_slice();
    put(&w, 8, 0x41);
    put_ue(&w, 0);
    put_ue(&w, 0);
    put_ue(&w, s.pps.id);
    put(&w, 32, 0);
    put(&w, 2, 1); /* no override, a modified list */
    for (unsigned i = 0; i < 2000; i++) put(&w, 2, 3);
    blob b = escaped(&w);
    vpi_nal nal = { b.data, b.size };
    vpi_h264_slice out;
    assert_int_equal(vpi_h264_slice_parse(&nal, &s.sps, &s.pps, &out, NULL), VP_E_DATA);
    free(b.data);
}

static void test_pps(void **state)
{
    (void)state;
    blob b = exact_hex(PPS_HIGH);
    vpi_nal nal = { b.data, b.size };
    vpi_h264_sps sps;
    vpi_h264_pps p;
    assert_int_equal(parse_hex_sps(SPS_HIGH, &sps), VP_OK);
    for (unsigned pass = 0; pass < 2; pass++) {
        assert_int_equal(vpi_h264_pps_parse(&nal, pass ? &sps : NULL, &p, NULL), VP_OK);
        assert_int_equal(p.id, 0);
        assert_int_equal(p.sps_id, 0);
        assert_true(p.cabac);
        assert_false(p.bottom_field_order);
        assert_int_equal(p.slice_groups, 1);
        assert_int_equal(p.refs_l0, 4);
        assert_int_equal(p.refs_l1, 1);
        assert_true(p.weighted_pred);
        assert_int_equal(p.weighted_bipred_idc, 2);
        assert_true(p.deblocking_control);
        assert_false(p.redundant_pic_cnt);
    }
    free(b.data);

    /* Slice group maps of all types; what follows them must still be found. */
    for (unsigned type = 0; type <= 7; type++) {
        bit_writer w = { .bits = 0 };
        put(&w, 8, 0x68);
        put_ue(&w, 255);
        put_ue(&w, 31);
        put(&w, 2, 1);
        put_ue(&w, 2);
        put_ue(&w, type);
        if (type == 0) {
            for (unsigned i = 0; i < 3; i++) put_ue(&w, 10 * i);
        } else if (type == 2) {
            for (unsigned i = 0; i < 4; i++) put_ue(&w, 10 * i);
        } else if (type >= 3 && type <= 5) {
            put(&w, 1, 1);
            put_ue(&w, 23);
        } else if (type == 6) {
            put_ue(&w, 98);
            for (unsigned i = 0; i < 99; i++) put(&w, 2, i % 3);
        }
        put_ue(&w, 7);
        put_ue(&w, 6);
        put(&w, 3, 0);
        put_se(&w, 1);
        put_se(&w, 1);
        put_se(&w, 1);
        put(&w, 3, 5);
        put_stop(&w);
        b = escaped(&w);
        nal = (vpi_nal){ b.data, b.size };
        vp_status st = vpi_h264_pps_parse(&nal, &sps, &p, NULL);
        assert_int_equal(st, type <= 6 ? VP_OK : VP_E_DATA);
        if (st == VP_OK) {
            assert_int_equal(p.id, 255);
            assert_int_equal(p.sps_id, 31);
            assert_int_equal(p.slice_groups, 3);
            assert_int_equal(p.slice_group_map_type, type);
            assert_int_equal(p.slice_group_change_rate, type >= 3 && type <= 5 ? 24 : 0);
            assert_int_equal(p.refs_l0, 8);
            assert_int_equal(p.refs_l1, 7);
            assert_true(p.deblocking_control);
            assert_true(p.redundant_pic_cnt);
        }
        free(b.data);
    }
}

static void test_avcc(void **state)
{
    (void)state;
    blob sps = exact_hex(SPS_HIGH), pps = exact_hex(PPS_HIGH), base = exact_hex(SPS_BASELINE);
    vpi_nal s = { sps.data, sps.size }, p = { pps.data, pps.size }, s2 = { base.data, base.size };
    vpi_buf buf = { 0 };
    vpi_avcc a;
    assert_int_equal(vpi_avcc_write(&s, 1, &p, 1, &buf, NULL), VP_OK);
    blob want = exact_hex("01 64000c ff e1 001a " SPS_HIGH " 01 0006 " PPS_HIGH " fdf8f800");
    assert_int_equal(buf.size, want.size);
    assert_memory_equal(buf.data, want.data, want.size);
    for (size_t n = 0; n <= want.size; n++) {
        uint8_t *cut = exact_copy(want.data, n);
        vp_status st = vpi_avcc_parse(cut, n, &a, NULL);
        assert_int_equal(st, n >= want.size - 4 ? VP_OK : VP_E_DATA); /* the extension is optional */
        free(cut);
    }
    assert_int_equal(vpi_avcc_parse(want.data, want.size, &a, NULL), VP_OK);
    assert_int_equal(a.length_size, 4);
    assert_int_equal(a.profile_idc << 16 | a.constraints << 8 | a.level_idc, 0x64000c);
    assert_int_equal(a.sps_count, 1);
    assert_int_equal(a.pps_count, 1);
    assert_int_equal(a.sps[0].size, sps.size);
    assert_memory_equal(a.sps[0].data, sps.data, sps.size);
    assert_memory_equal(a.pps[0].data, pps.data, pps.size);

    /* Baseline has no extension; sets of different formats do not go together. */
    vpi_buf_clear(&buf);
    assert_int_equal(vpi_avcc_write(&s2, 1, &p, 1, &buf, NULL), VP_OK);
    assert_int_equal(buf.size, 6 + 2 + base.size + 1 + 2 + pps.size);
    vpi_nal both[2] = { s, s2 };
    assert_int_equal(vpi_avcc_write(both, 2, &p, 1, &buf, NULL), VP_E_DATA);
    assert_int_equal(vpi_avcc_write(&p, 1, &p, 1, &buf, NULL), VP_E_DATA);
    assert_int_equal(vpi_avcc_write(&s, 0, &p, 1, &buf, NULL), VP_E_DATA);
    assert_int_equal(vpi_avcc_write(&s, 1, &p, 0, &buf, NULL), VP_E_DATA);
    assert_int_equal(vpi_avcc_write(&s, 1, &p, 33, &buf, NULL), VP_E_DATA);
    want.data[4] = 0xfe; /* lengths of 3 bytes */
    assert_int_equal(vpi_avcc_parse(want.data, want.size, &a, NULL), VP_E_DATA);
    vpi_buf_dispose(&buf);
    free(want.data);
    free(sps.data);
    free(pps.data);
    free(base.data);
}

static void test_level(void **state)
{
    (void)state;
    static const struct {
        uint32_t width, height;
        int64_t num, den;
        uint32_t maxrate, bufsize, refs;
        bool high;
        unsigned level;
    } rows[] = {
        { 176, 144, 15, 1, 64, 175, 4, false, 10 },
        { 176, 144, 30, 1, 192, 500, 3, false, 11 },
        { 320, 180, 25, 1, 0, 0, 4, true, 12 },
        { 320, 240, 36, 1, 0, 0, 7, true, 13 }, /* 300 MBs * 7 = 2100 of 2376 */
        { 320, 240, 36, 1, 0, 0, 8, true, 21 }, /* 2400 is over level 2 as well */
        { 320, 240, 36, 1, 768, 2001, 7, false, 21 },
        { 320, 240, 36, 1, 2000, 2000, 7, false, 20 },
        { 352, 288, 30, 1, 768, 2000, 6, false, 13 },
        { 640, 360, 25, 1, 0, 0, 4, true, 30 }, /* 920 MBs are over 792 of level 2.1; 23000/s over 2.2 */
        { 854, 480, 30, 1, 2100, 2100, 4, true, 31 }, /* 1620 MBs * 30 = 48600 */
        { 1280, 720, 30, 1, 4200, 4200, 4, true, 31 },
        { 1280, 720, 30000, 1001, 0, 0, 5, true, 31 },
        { 1280, 720, 30, 1, 0, 0, 6, true, 40 }, /* 21600 MBs, level 3.2 holds 20480 */
        { 1280, 720, 60, 1, 0, 0, 4, true, 32 },
        { 1920, 1080, 25, 1, 7500, 7500, 4, true, 40 },
        { 1920, 1080, 30, 1, 25000, 31250, 4, true, 40 },
        { 1920, 1080, 30, 1, 25001, 31250, 4, true, 41 },
        { 1920, 1080, 30, 1, 20000, 25001, 4, false, 41 },
        { 1920, 1080, 60, 1, 0, 0, 4, true, 42 },
        { 1920, 1080, 25, 1, 0, 0, 5, true, 50 },
        { 3840, 2160, 30, 1, 0, 0, 4, true, 51 },
        { 3840, 2160, 60, 1, 0, 0, 4, true, 52 },
        { 7680, 4320, 30, 1, 0, 0, 4, true, 60 },
        { 7680, 4320, 120, 1, 800000, 800000, 4, true, 62 },
        { 7680, 4320, 120, 1, 1000001, 0, 4, true, 0 },
        { 20000, 16, 1, 1, 0, 0, 1, true, 0 }, /* a side over Sqrt(8 * MaxFS) */
        { 0, 1080, 25, 1, 0, 0, 4, true, 0 },
        { 320, 180, 25, 1, 0, 0, 17, true, 0 },
        { 1920, 1080, 0, 0, 0, 0, 4, true, 40 }, /* rate not known */
        { 1920, 1080, INT64_MAX, 1, 0, 0, 4, true, 0 },
        { UINT32_MAX, UINT32_MAX, 25, 1, 0, 0, 4, true, 0 },
    };
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        vpi_rational rate = { rows[i].num, rows[i].den };
        unsigned got = vpi_h264_level(rows[i].width, rows[i].height, rate, rows[i].maxrate, rows[i].bufsize,
                                      rows[i].refs, rows[i].high);
        if (got != rows[i].level) fail_msg("row %zu: %u, not %u", i, got, rows[i].level);
    }
}

static vpi_h264_sps torture_sps;
static vpi_h264_pps torture_pps;

static void parse_anything(const uint8_t *data, size_t size)
{
    vpi_nal nal = { data, size };
    vpi_h264_sps sps;
    vpi_h264_pps pps;
    vpi_h264_slice slice;
    vpi_avcc avcc;
    uint8_t id;
    if (vpi_h264_sps_parse(&nal, &sps, NULL) == VP_OK) {
        assert_true(sps.width > 0 && sps.height > 0 && sps.width <= sps.mb_width * 16);
    }
    vpi_h264_pps_parse(&nal, &torture_sps, &pps, NULL);
    vpi_h264_slice_pps_id(&nal, &id, NULL);
    if (vpi_h264_slice_parse(&nal, &torture_sps, &torture_pps, &slice, NULL) == VP_OK) {
        assert_true(slice.header_bytes_escaped <= size && slice.header_bits <= size * 8);
    }
    vpi_avcc_parse(data, size, &avcc, NULL);
}

static void test_torture(void **state)
{
    (void)state;
    slice_shape s = plain_slice();
    torture_sps = s.sps;
    torture_pps = s.pps;
    static const char *const seeds[] = { SPS_HIGH, SPS_MAIN, SPS_BASELINE, PPS_HIGH,
                                         "0164000cffe1001a" SPS_HIGH "010006" PPS_HIGH "fdf8f800" };
    for (size_t i = 0; i < VPI_COUNT(seeds); i++) {
        blob b = exact_hex(seeds[i]);
        torture(b.data, b.size, 20000, parse_anything);
        free(b.data);
    }
    sps_shape shape = plain_shape;
    shape.scaling = shape.vui = shape.crops = true;
    shape.hrd = 3;
    shape.poc_type = 1;
    shape.cycle = 20;
    blob b = make_sps(&shape);
    torture(b.data, b.size, 20000, parse_anything);
    free(b.data);
    s.type = 6;
    s.pps.weighted_bipred_idc = torture_pps.weighted_bipred_idc = 1;
    s.modify = s.adaptive = true;
    bit_writer w = { .bits = 0 };
    put_slice(&w, &s);
    b = escaped(&w);
    torture(b.data, b.size, 20000, parse_anything);
    free(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_sps),   cmocka_unit_test(test_crop_units),
        cmocka_unit_test(test_sps_options), cmocka_unit_test(test_sps_refusals),
        cmocka_unit_test(test_slices),      cmocka_unit_test(test_slice_refusals),
        cmocka_unit_test(test_pps),         cmocka_unit_test(test_avcc),
        cmocka_unit_test(test_level),       cmocka_unit_test(test_torture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
