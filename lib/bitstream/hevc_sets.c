/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPS and PPS of HEVC for readers of slice segment headers (ITU-T H.265 7.3.2.2, 7.3.2.3, 7.3.7, annex E). */
#include "bitstream/hevc_int.h"

#define MAX_SIDE 65536u
#define MAX_DELTA 32768u /* 7.4.8: of order counts */
#define MAX_HRD_COUNT 32u
#define MAX_PALETTE 128u
#define MAX_TILE_COLUMNS 64u /* level 6.2 allows 20 by 22 */
#define MAX_TILE_ROWS 64u
#define MAX_REFS 15u

unsigned vpi_hevc_bits_for(uint32_t values)
{
    unsigned bits = 0;
    while (bits < 32 && (UINT64_C(1) << bits) < values) bits++;
    return bits;
}

/* ---- short-term reference picture sets ---- */

static void add_picture(vpi_bits *b, vpi_hevc_rps *to, int32_t delta, bool used)
{
    if (to->count >= VPI_HEVC_MAX_PICTURES) {
        b->failed = true;
        return;
    }
    if (used) to->used |= (uint16_t)(1u << to->count);
    to->delta[to->count++] = delta;
}

/*
 * 7.4.8, equations 7-61 and 7-62: the pictures of a former set, moved by delta, and that set's own picture. Flags are
 * in the order of the former set, its own picture last. For the half of the given sign: of the former set's other half
 * the farthest picture first, then its own, then the same half from the nearest on.
 */
static void add_moved(vpi_bits *b, const vpi_hevc_rps *from, int32_t delta, uint32_t used, uint32_t kept,
                      bool negative, vpi_hevc_rps *to)
{
    unsigned others = negative ? from->count - from->negative : from->negative;
    unsigned others_first = negative ? from->negative : 0, same_first = negative ? 0 : from->negative;
    for (unsigned i = 0; i <= from->count; i++) {
        unsigned j = i < others ? others_first + others - 1 - i : same_first + i - others - 1;
        if (i == others) j = from->count;
        int32_t moved = (j < from->count ? from->delta[j] : 0) + delta;
        if ((negative ? moved < 0 : moved > 0) && (kept >> j & 1)) add_picture(b, to, moved, used >> j & 1);
    }
}

static void read_predicted(vpi_bits *b, const vpi_hevc_slice_sps *sps, unsigned index, vpi_hevc_rps *out)
{
    uint32_t back = index == sps->set_count ? vpi_bits_ue(b) : 0;
    bool minus = vpi_bits_read(b, 1);
    uint32_t step = vpi_bits_ue(b), used = 0, kept = 0;
    if (b->failed || back >= index || step >= MAX_DELTA) {
        b->failed = true;
        return;
    }
    const vpi_hevc_rps *from = &sps->sets[index - 1 - back];
    for (unsigned j = 0; j <= from->count; j++) {
        uint32_t is_used = vpi_bits_read(b, 1);
        used |= is_used << j;
        kept |= (is_used ? 1u : vpi_bits_read(b, 1)) << j;
    }
    int32_t delta = minus ? -(int32_t)(step + 1) : (int32_t)(step + 1);
    add_moved(b, from, delta, used, kept, true, out);
    out->negative = out->count;
    add_moved(b, from, delta, used, kept, false, out);
}

static void read_explicit(vpi_bits *b, vpi_hevc_rps *out)
{
    uint32_t negative = vpi_bits_ue(b), positive = vpi_bits_ue(b);
    if (b->failed || negative > VPI_HEVC_MAX_PICTURES || positive > VPI_HEVC_MAX_PICTURES - negative) {
        b->failed = true;
        return;
    }
    int32_t delta = 0;
    for (uint32_t i = 0; i < negative + positive && !b->failed; i++) {
        uint32_t step = vpi_bits_ue(b);
        if (step >= MAX_DELTA) b->failed = true;
        if (i == negative) delta = 0;
        delta += i < negative ? -(int32_t)(step % MAX_DELTA + 1) : (int32_t)(step % MAX_DELTA + 1);
        add_picture(b, out, delta, vpi_bits_read(b, 1));
    }
    out->negative = (uint8_t)negative;
}

void vpi_hevc_read_rps(vpi_bits *b, const vpi_hevc_slice_sps *sps, unsigned index, vpi_hevc_rps *out)
{
    memset(out, 0, sizeof(*out));
    if (index > 0 && vpi_bits_read(b, 1)) {
        read_predicted(b, sps, index, out);
    } else {
        read_explicit(b, out);
    }
}

/* ---- SPS ---- */

/* E.2.3 */
static void skip_sub_layer_hrd(vpi_bits *b, uint32_t count, bool sub_pictures)
{
    for (uint32_t i = 0; i < count && !b->failed; i++) {
        for (unsigned k = sub_pictures ? 4 : 2; k > 0; k--) vpi_bits_ue(b);
        vpi_bits_skip(b, 1);
    }
}

/* E.2.2, with the common part */
static void skip_hrd(vpi_bits *b, unsigned sub_layers)
{
    bool nal = vpi_bits_read(b, 1), vcl = vpi_bits_read(b, 1), sub_pictures = false;
    if (nal || vcl) {
        sub_pictures = vpi_bits_read(b, 1);
        if (sub_pictures) vpi_bits_skip(b, 8 + 5 + 1 + 5);
        vpi_bits_skip(b, 8);
        if (sub_pictures) vpi_bits_skip(b, 4);
        vpi_bits_skip(b, 15);
    }
    for (unsigned i = 0; i <= sub_layers && !b->failed; i++) {
        bool fixed = vpi_bits_read(b, 1) || vpi_bits_read(b, 1), low_delay = false;
        if (fixed) {
            vpi_bits_ue(b);
        } else {
            low_delay = vpi_bits_read(b, 1);
        }
        uint32_t count = low_delay ? 0 : vpi_bits_ue(b);
        if (count >= MAX_HRD_COUNT) b->failed = true;
        if (nal) skip_sub_layer_hrd(b, count + 1, sub_pictures);
        if (vcl) skip_sub_layer_hrd(b, count + 1, sub_pictures);
    }
}

/* E.2.1 */
static void skip_vui(vpi_bits *b, unsigned sub_layers)
{
    if (vpi_bits_read(b, 1) && vpi_bits_read(b, 8) == 255) vpi_bits_skip(b, 32); /* sample aspect ratio */
    if (vpi_bits_read(b, 1)) vpi_bits_skip(b, 1);                                /* overscan */
    if (vpi_bits_read(b, 1)) {
        vpi_bits_skip(b, 4);
        if (vpi_bits_read(b, 1)) vpi_bits_skip(b, 24);
    }
    if (vpi_bits_read(b, 1)) { /* chroma location */
        vpi_bits_ue(b);
        vpi_bits_ue(b);
    }
    vpi_bits_skip(b, 3);
    if (vpi_bits_read(b, 1)) { /* default display window */
        for (unsigned i = 0; i < 4; i++) vpi_bits_ue(b);
    }
    if (vpi_bits_read(b, 1)) { /* timing */
        vpi_bits_skip(b, 64);
        if (vpi_bits_read(b, 1)) vpi_bits_ue(b);
        if (vpi_bits_read(b, 1)) skip_hrd(b, sub_layers);
    }
    if (vpi_bits_read(b, 1)) { /* restrictions */
        vpi_bits_skip(b, 3);
        for (unsigned i = 0; i < 5; i++) vpi_bits_ue(b);
    }
}

/* 7.3.2.2.3, as far as motion_vector_resolution_control_idc */
static void read_sps_screen(vpi_bits *b, bool colour, uint32_t depth, uint32_t chroma_depth,
                            vpi_hevc_slice_sps *out)
{
    vpi_bits_skip(b, 1);
    if (vpi_bits_read(b, 1)) { /* palette */
        vpi_bits_ue(b);
        vpi_bits_ue(b);
        if (vpi_bits_read(b, 1)) {
            uint32_t entries = vpi_bits_ue(b) + 1;
            if (entries > MAX_PALETTE) b->failed = true;
            if (!b->failed) vpi_bits_skip(b, entries * (size_t)(depth + (colour ? 2 * chroma_depth : 0)));
        }
    }
    out->integer_mv_coded = vpi_bits_read(b, 2) == 2;
}

static void read_sps_extensions(vpi_bits *b, bool colour, uint32_t depth, uint32_t chroma_depth,
                                vpi_hevc_slice_sps *out)
{
    if (!vpi_bits_read(b, 1)) return;
    bool range = vpi_bits_read(b, 1), multilayer = vpi_bits_read(b, 1), three_d = vpi_bits_read(b, 1);
    bool screen = vpi_bits_read(b, 1);
    vpi_bits_skip(b, 4);
    if (range) vpi_bits_skip(b, 9);
    if (multilayer) vpi_bits_skip(b, 1);
    /* That of 3D video is for other layers than the base one (annex I). */
    if (screen && !three_d) read_sps_screen(b, colour, depth, chroma_depth, out);
}

static vp_status read_sizes(vpi_bits *b, unsigned sub_layers, uint32_t width, uint32_t height,
                            vpi_hevc_slice_sps *out, vp_error *err)
{
    uint32_t poc = vpi_bits_ue(b);
    if (poc > 12) return VPI_CORRUPT(err, "HEVC SPS: order count size");
    out->poc_bits = (uint8_t)(poc + 4);
    for (unsigned i = vpi_bits_read(b, 1) ? 0 : sub_layers; i <= sub_layers && !b->failed; i++) {
        for (unsigned k = 0; k < 3; k++) vpi_bits_ue(b);
    }
    uint32_t block = vpi_bits_ue(b), more = vpi_bits_ue(b);
    if (b->failed || block > 3 || more > 3 - block) return VPI_CORRUPT(err, "HEVC SPS: coding block size");
    unsigned ctb = 3 + block + more;
    out->ctb_rows = (height + (1u << ctb) - 1) >> ctb;
    out->ctbs = out->ctb_rows * ((width + (1u << ctb) - 1) >> ctb);
    for (unsigned i = 0; i < 4; i++) vpi_bits_ue(b); /* transform blocks */
    if (vpi_bits_read(b, 1) && vpi_bits_read(b, 1)) vpi_hevc_skip_scaling_lists(b);
    vpi_bits_skip(b, 1);
    out->sao = vpi_bits_read(b, 1);
    if (vpi_bits_read(b, 1)) { /* PCM */
        vpi_bits_skip(b, 8);
        vpi_bits_ue(b);
        vpi_bits_ue(b);
        vpi_bits_skip(b, 1);
    }
    return VP_OK;
}

static vp_status read_references(vpi_bits *b, vpi_hevc_slice_sps *out, vp_error *err)
{
    uint32_t sets = vpi_bits_ue(b);
    if (sets > VPI_HEVC_MAX_SETS) return VPI_CORRUPT(err, "HEVC SPS: %u reference picture sets", sets);
    out->set_count = (uint8_t)sets;
    for (unsigned i = 0; i < sets && !b->failed; i++) vpi_hevc_read_rps(b, out, i, &out->sets[i]);
    out->long_term = vpi_bits_read(b, 1);
    if (out->long_term) {
        uint32_t count = vpi_bits_ue(b);
        if (count > VPI_HEVC_MAX_LONG_TERM) return VPI_CORRUPT(err, "HEVC SPS: %u long-term pictures", count);
        out->long_term_count = (uint8_t)count;
        for (uint32_t i = 0; i < count; i++) {
            vpi_bits_skip(b, out->poc_bits);
            out->long_term_used |= vpi_bits_read(b, 1) << i;
        }
    }
    out->temporal_mvp = vpi_bits_read(b, 1);
    vpi_bits_skip(b, 1);
    return b->failed ? VPI_CORRUPT(err, "HEVC SPS: truncated or out of range") : VP_OK;
}

static vp_status read_sps(vpi_bits *b, uint32_t *id, vpi_hevc_slice_sps *out, vp_error *err)
{
    vpi_hevc_ptl ptl;
    vpi_bits_skip(b, 16 + 4);
    uint32_t sub_layers = vpi_bits_read(b, 3);
    if (sub_layers > 6) return VPI_CORRUPT(err, "HEVC SPS: %u sub-layers", sub_layers + 1);
    vpi_bits_skip(b, 1);
    vpi_hevc_read_ptl(b, &ptl);
    vpi_hevc_skip_sub_layers(b, sub_layers);
    *id = vpi_bits_ue(b);
    uint32_t chroma = vpi_bits_ue(b);
    if (*id >= VPI_HEVC_MAX_SPS || chroma > 3) {
        return VPI_CORRUPT(err, "HEVC SPS: id %u, chroma format %u", *id, chroma);
    }
    out->separate_planes = chroma == 3 && vpi_bits_read(b, 1);
    out->chroma = chroma != 0 && !out->separate_planes;
    uint32_t width = vpi_bits_ue(b), height = vpi_bits_ue(b);
    if (width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE) {
        return VPI_CORRUPT(err, "HEVC SPS: %u x %u pixels", width, height);
    }
    if (vpi_bits_read(b, 1)) { /* conformance window */
        for (unsigned i = 0; i < 4; i++) vpi_bits_ue(b);
    }
    uint32_t depth = vpi_bits_ue(b) + 8, chroma_depth = vpi_bits_ue(b) + 8;
    if (depth > 16 || chroma_depth > 16) return VPI_CORRUPT(err, "HEVC SPS: bit depth over 16");
    VPI_TRY(read_sizes(b, sub_layers, width, height, out, err));
    VPI_TRY(read_references(b, out, err));
    /* What follows tells one thing of screen content alone; decoders too go on where the VUI is damaged. */
    if (vpi_bits_read(b, 1)) skip_vui(b, sub_layers);
    read_sps_extensions(b, chroma != 0, depth, chroma_depth, out);
    if (b->failed) out->integer_mv_coded = false;
    return VP_OK;
}

static vp_status take_sps(vpi_hevc_store *store, vpi_bits *b, vp_error *err)
{
    uint32_t id = 0;
    vpi_hevc_slice_sps *sps = vpi_calloc(1, sizeof(*sps));
    if (!sps) return vpi_fail_nomem(err);
    vp_status st = read_sps(b, &id, sps, err);
    if (st < 0) {
        vpi_free(sps);
        return st;
    }
    vpi_free(store->sps[id]);
    store->sps[id] = sps;
    return VP_OK;
}

/* ---- PPS ---- */

static vp_status read_tiles(vpi_bits *b, vpi_hevc_slice_pps *out, vp_error *err)
{
    uint32_t columns = vpi_bits_ue(b) + 1, rows = vpi_bits_ue(b) + 1;
    if (columns > MAX_TILE_COLUMNS || rows > MAX_TILE_ROWS) {
        return VPI_CORRUPT(err, "HEVC PPS: %u x %u tiles", columns, rows);
    }
    out->tile_columns = columns;
    out->tile_count = columns * rows;
    if (!vpi_bits_read(b, 1)) {
        for (uint32_t i = 2; i < columns + rows && !b->failed; i++) vpi_bits_ue(b);
    }
    vpi_bits_skip(b, 1);
    return VP_OK;
}

/* 7.3.2.3.2 */
static void read_pps_range(vpi_bits *b, bool transform_skip, vpi_hevc_slice_pps *out)
{
    if (transform_skip) vpi_bits_ue(b);
    vpi_bits_skip(b, 1);
    out->chroma_qp_lists = vpi_bits_read(b, 1);
    if (out->chroma_qp_lists) {
        vpi_bits_ue(b);
        uint32_t last = vpi_bits_ue(b);
        if (last > 5) b->failed = true;
        for (uint32_t i = 0; i <= last && !b->failed; i++) {
            vpi_bits_se(b);
            vpi_bits_se(b);
        }
    }
    vpi_bits_ue(b);
    vpi_bits_ue(b);
}

static vp_status read_pps_extensions(vpi_bits *b, bool transform_skip, vpi_hevc_slice_pps *out, vp_error *err)
{
    if (!vpi_bits_read(b, 1)) return VP_OK;
    bool range = vpi_bits_read(b, 1), multilayer = vpi_bits_read(b, 1), three_d = vpi_bits_read(b, 1);
    bool screen = vpi_bits_read(b, 1);
    vpi_bits_skip(b, 4);
    if (range) read_pps_range(b, transform_skip, out);
    if (!screen) return VP_OK;
    if (multilayer || three_d)
        return VPI_NOT_READ(err, "HEVC PPS: screen content in layers is not supported");
    out->current_reference = vpi_bits_read(b, 1); /* 7.3.2.3.3 */
    if (vpi_bits_read(b, 1)) out->act_offsets = vpi_bits_read(b, 1);
    return VP_OK;
}

/* From weighted_pred_flag on. */
static vp_status read_pps_rest(vpi_bits *b, bool transform_skip, vpi_hevc_slice_pps *out, vp_error *err)
{
    out->weighted_pred = vpi_bits_read(b, 1);
    out->weighted_bipred = vpi_bits_read(b, 1);
    vpi_bits_skip(b, 1);
    out->tiles = vpi_bits_read(b, 1);
    out->wavefront = vpi_bits_read(b, 1);
    out->tile_columns = out->tile_count = 1;
    if (out->tiles) VPI_TRY(read_tiles(b, out, err));
    out->loop_filter_across = vpi_bits_read(b, 1);
    if (vpi_bits_read(b, 1)) { /* deblocking_filter_control_present_flag */
        out->deblocking_override = vpi_bits_read(b, 1);
        out->deblocking_disabled = vpi_bits_read(b, 1);
        if (!out->deblocking_disabled) {
            vpi_bits_se(b);
            vpi_bits_se(b);
        }
    }
    if (vpi_bits_read(b, 1)) vpi_hevc_skip_scaling_lists(b);
    out->list_modification = vpi_bits_read(b, 1);
    vpi_bits_ue(b);
    out->extension = vpi_bits_read(b, 1);
    VPI_TRY(read_pps_extensions(b, transform_skip, out, err));
    return b->failed ? VPI_CORRUPT(err, "HEVC PPS: truncated or out of range") : VP_OK;
}

static vp_status take_pps(vpi_hevc_store *store, vpi_bits *b, vp_error *err)
{
    vpi_hevc_slice_pps pps = { 0 };
    vpi_bits_skip(b, 16);
    uint32_t id = vpi_bits_ue(b), sps_id = vpi_bits_ue(b);
    if (id >= VPI_HEVC_MAX_PPS || sps_id >= VPI_HEVC_MAX_SPS) {
        return VPI_CORRUPT(err, "HEVC PPS: id %u for SPS %u", id, sps_id);
    }
    pps.sps_id = (uint8_t)sps_id;
    pps.dependent_segments = vpi_bits_read(b, 1);
    pps.output_flag = vpi_bits_read(b, 1);
    pps.extra_bits = (uint8_t)vpi_bits_read(b, 3);
    vpi_bits_skip(b, 1);
    pps.cabac_init = vpi_bits_read(b, 1);
    for (unsigned i = 0; i < 2; i++) {
        uint32_t refs = vpi_bits_ue(b) + 1;
        if (refs > MAX_REFS) return VPI_CORRUPT(err, "HEVC PPS: more than 15 references");
        pps.refs[i] = (uint8_t)refs;
    }
    vpi_bits_se(b); /* init_qp_minus26 */
    vpi_bits_skip(b, 1);
    bool transform_skip = vpi_bits_read(b, 1);
    if (vpi_bits_read(b, 1)) vpi_bits_ue(b);
    vpi_bits_se(b);
    vpi_bits_se(b);
    pps.chroma_qp_offsets = vpi_bits_read(b, 1);
    VPI_TRY(read_pps_rest(b, transform_skip, &pps, err));
    store->pps[id] = pps;
    store->has_pps[id] = true;
    return VP_OK;
}

/* ---- the store ---- */

vpi_hevc_store *vpi_hevc_store_new(void)
{
    return vpi_calloc(1, sizeof(vpi_hevc_store));
}

void vpi_hevc_store_free(vpi_hevc_store *store)
{
    if (!store) return;
    for (unsigned i = 0; i < VPI_HEVC_MAX_SPS; i++) vpi_free(store->sps[i]);
    vpi_free(store);
}

vp_status vpi_hevc_store_take(vpi_hevc_store *store, const vpi_nal *nal, vp_error *err)
{
    uint8_t plain[VPI_NAL_HEADER_MAX];
    vpi_bits b;
    unsigned type = vpi_hevc_type(nal);
    if (type != VPI_HEVC_SPS && type != VPI_HEVC_PPS) return VP_OK;
    if (nal->size < 3 || nal->data[0] & 0x80) return VPI_CORRUPT(err, "HEVC: broken parameter set");
    if (nal->data[0] & 1 || nal->data[1] >> 3) return VP_OK; /* of another layer: another syntax (annex F) */
    vpi_bits_init(&b, plain, vpi_nal_unescape_head(nal, plain, sizeof(plain)));
    return type == VPI_HEVC_SPS ? take_sps(store, &b, err) : take_pps(store, &b, err);
}
