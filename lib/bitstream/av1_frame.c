/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frame headers (AV1 bitstream 5.9), read to their last bit: tiles begin behind them. */
#include "bitstream/av1_int.h"

#define ALL_SLOTS 0xffu
#define NO_PRIMARY 7u
#define GOLDEN 3u /* places of reference frames, LAST_FRAME is 0 */
#define BWDREF 4u
#define ALTREF2 5u
#define ALTREF 6u
#define FEATURES 8u /* SEG_LVL_MAX */

typedef struct frame_reader {
    vpi_bits *b;
    vpi_av1_store *store;
    const vpi_av1_sequence_tools *s;
    vpi_av1_frame *f;
    unsigned layer;
} frame_reader;

/* get_relative_dist(), 5.9.3 */
static int32_t distance(const vpi_av1_sequence_tools *s, uint32_t a, uint32_t b)
{
    if (!s->order_hint) return 0;
    uint32_t half = UINT32_C(1) << (s->hint_bits - 1), diff = a - b;
    return (int32_t)(diff & (half - 1)) - (int32_t)(diff & half);
}

/* ---- kind of frame ---- */

static vp_status read_existing(frame_reader *r, vp_error *err)
{
    vpi_bits *b = r->b;
    vpi_av1_frame *f = r->f;
    f->existing = (uint8_t)vpi_bits_read(b, 3);
    if (r->s->decoder_model && !r->s->equal_interval) vpi_bits_skip(b, r->s->presentation_bits);
    vpi_bits_skip(b, r->s->id_bits);
    const vpi_av1_slot *slot = &r->store->slots[f->existing];
    if (b->failed || !slot->valid) return VPI_CORRUPT(err, "AV1: frame %u to show is not there", f->existing);
    f->kept = *slot;
    /* 7.21: a key frame that is shown late starts afresh, all references are it. */
    f->refresh = slot->type == VPI_AV1_KEY ? ALL_SLOTS : 0;
    return VP_OK;
}

static void read_kind(frame_reader *r)
{
    vpi_bits *b = r->b;
    vpi_av1_frame *f = r->f;
    if (r->s->reduced) {
        f->kept.type = VPI_AV1_KEY;
        f->show = f->error_resilient = f->intra = true;
        return;
    }
    f->show_existing = vpi_bits_read(b, 1);
    if (f->show_existing) return;
    f->kept.type = (uint8_t)vpi_bits_read(b, 2);
    f->intra = f->kept.type == VPI_AV1_KEY || f->kept.type == VPI_AV1_INTRA_ONLY;
    f->show = vpi_bits_read(b, 1);
    if (f->show && r->s->decoder_model && !r->s->equal_interval) vpi_bits_skip(b, r->s->presentation_bits);
    f->showable = f->show ? f->kept.type != VPI_AV1_KEY : vpi_bits_read(b, 1);
    f->error_resilient =
        f->kept.type == VPI_AV1_SWITCH || (f->kept.type == VPI_AV1_KEY && f->show) || vpi_bits_read(b, 1);
}

static void skip_removal_times(frame_reader *r)
{
    vpi_bits *b = r->b;
    if (!r->s->decoder_model || !vpi_bits_read(b, 1)) return;
    unsigned temporal = r->layer & 7u, spatial = r->layer >> 8 & 3u;
    for (unsigned i = 0; i < r->s->points; i++) {
        unsigned idc = r->s->point_idc[i];
        bool within = idc == 0 || ((idc >> temporal & 1u) && (idc >> (spatial + 8) & 1u));
        if ((r->s->point_models >> i & 1) && within) vpi_bits_skip(b, r->s->removal_bits);
    }
}

/* From disable_cdf_update to buffer_removal_time; true: disable_cdf_update. */
static bool read_general(frame_reader *r)
{
    vpi_bits *b = r->b;
    const vpi_av1_sequence_tools *s = r->s;
    vpi_av1_frame *f = r->f;
    bool no_update = vpi_bits_read(b, 1);
    f->screen_content = s->screen_content == VPI_AV1_CHOOSE ? vpi_bits_read(b, 1) : s->screen_content;
    if (f->screen_content)
        f->integer_mv = s->integer_mv == VPI_AV1_CHOOSE ? vpi_bits_read(b, 1) : s->integer_mv;
    if (f->intra) f->integer_mv = true;
    vpi_bits_skip(b, s->id_bits);
    f->size_override = f->kept.type == VPI_AV1_SWITCH || (!s->reduced && vpi_bits_read(b, 1));
    f->kept.hint = vpi_bits_read(b, s->hint_bits);
    f->primary = f->intra || f->error_resilient ? NO_PRIMARY : (uint8_t)vpi_bits_read(b, 3);
    skip_removal_times(r);
    return no_update;
}

/* ref_order_hint: what another hint stands in is lost; decoders put a grey frame of that hint there. */
static void read_slot_hints(frame_reader *r)
{
    for (unsigned i = 0; i < VPI_AV1_SLOTS; i++) {
        vpi_av1_slot *slot = &r->store->slots[i];
        uint32_t hint = vpi_bits_read(r->b, r->s->hint_bits);
        if (slot->valid && slot->hint == hint) continue;
        memset(slot, 0, sizeof(*slot));
        slot->valid = true;
        slot->type = VPI_AV1_INTER;
        slot->hint = hint;
        slot->width = r->s->width;
        slot->height = r->s->height;
    }
}

/* ---- sizes ---- */

/* 5.9.8 */
static void read_superres(frame_reader *r)
{
    vpi_av1_frame *f = r->f;
    f->coded_width = f->kept.width;
    if (!r->s->superres || !vpi_bits_read(r->b, 1)) return;
    uint32_t denominator = vpi_bits_read(r->b, 3) + 9;
    f->coded_width = (f->kept.width * 8 + denominator / 2) / denominator;
}

/* frame_size(), render_size() */
static void read_size(frame_reader *r)
{
    vpi_av1_frame *f = r->f;
    f->kept.width = f->size_override ? vpi_bits_read(r->b, r->s->width_bits) + 1 : r->s->width;
    f->kept.height = f->size_override ? vpi_bits_read(r->b, r->s->height_bits) + 1 : r->s->height;
    read_superres(r);
    if (vpi_bits_read(r->b, 1)) vpi_bits_skip(r->b, 32);
}

/* 5.9.7 */
static void read_size_with_refs(frame_reader *r)
{
    for (unsigned i = 0; i < VPI_AV1_REFS; i++) {
        if (!vpi_bits_read(r->b, 1)) continue;
        const vpi_av1_slot *slot = &r->store->slots[r->f->refs[i]];
        r->f->kept.width = slot->width;
        r->f->kept.height = slot->height;
        read_superres(r);
        return;
    }
    read_size(r);
}

/* ---- references ---- */

typedef enum pick_kind { LATEST_BACKWARD, EARLIEST_BACKWARD, LATEST_FORWARD, EARLIEST } pick_kind;

/* The functions of 7.8 that find a slot: of equal hints the last of the latest, the first of the earliest. */
static int pick(const int32_t away[VPI_AV1_SLOTS], unsigned used, pick_kind kind)
{
    int found = -1;
    for (unsigned i = 0; i < VPI_AV1_SLOTS; i++) {
        bool backward = away[i] >= 0;
        if (kind != EARLIEST && (used >> i & 1u)) continue;
        if (kind != EARLIEST && backward == (kind == LATEST_FORWARD)) continue;
        bool latest = kind == LATEST_BACKWARD || kind == LATEST_FORWARD;
        if (found < 0 || (latest ? away[i] >= away[found] : away[i] < away[found])) found = (int)i;
    }
    return found;
}

/* 7.8: two references are told, the others follow from order hints. */
static void set_references(frame_reader *r, uint8_t last, uint8_t golden)
{
    static const uint8_t forward_order[] = { 1, 2, BWDREF, ALTREF2, ALTREF };
    int32_t away[VPI_AV1_SLOTS];
    int refs[VPI_AV1_REFS] = { last, -1, -1, golden, -1, -1, -1 };
    unsigned used = 1u << last | 1u << golden;
    for (unsigned i = 0; i < VPI_AV1_SLOTS; i++) {
        away[i] = distance(r->s, r->store->slots[i].hint, r->f->kept.hint);
    }
    refs[ALTREF] = pick(away, used, LATEST_BACKWARD);
    if (refs[ALTREF] >= 0) used |= 1u << refs[ALTREF];
    refs[BWDREF] = pick(away, used, EARLIEST_BACKWARD);
    if (refs[BWDREF] >= 0) used |= 1u << refs[BWDREF];
    refs[ALTREF2] = pick(away, used, EARLIEST_BACKWARD);
    if (refs[ALTREF2] >= 0) used |= 1u << refs[ALTREF2];
    for (size_t i = 0; i < VPI_COUNT(forward_order); i++) {
        int *ref = &refs[forward_order[i]];
        if (*ref >= 0) continue;
        *ref = pick(away, used, LATEST_FORWARD);
        if (*ref >= 0) used |= 1u << *ref;
    }
    int rest = pick(away, used, EARLIEST);
    for (unsigned i = 0; i < VPI_AV1_REFS; i++) r->f->refs[i] = (uint8_t)(refs[i] < 0 ? rest : refs[i]);
}

static vp_status read_references(frame_reader *r, vp_error *err)
{
    vpi_bits *b = r->b;
    bool brief = r->s->order_hint && vpi_bits_read(b, 1);
    if (brief) {
        uint8_t last = (uint8_t)vpi_bits_read(b, 3), golden = (uint8_t)vpi_bits_read(b, 3);
        set_references(r, last, golden);
    }
    for (unsigned i = 0; i < VPI_AV1_REFS; i++) {
        if (!brief) r->f->refs[i] = (uint8_t)vpi_bits_read(b, 3);
        vpi_bits_skip(b, r->s->delta_id_bits);
        if (!r->store->slots[r->f->refs[i]].valid) {
            return VPI_CORRUPT(err, "AV1: reference frame %u is not there", r->f->refs[i]);
        }
    }
    return VP_OK;
}

/* What frames that are not intra have, to use_ref_frame_mvs. */
static vp_status read_inter(frame_reader *r, vp_error *err)
{
    vpi_bits *b = r->b;
    vpi_av1_frame *f = r->f;
    VPI_TRY(read_references(r, err));
    if (f->size_override && !f->error_resilient) {
        read_size_with_refs(r);
    } else {
        read_size(r);
    }
    if (!f->integer_mv) f->high_precision = vpi_bits_read(b, 1);
    if (!vpi_bits_read(b, 1)) vpi_bits_skip(b, 2); /* interpolation filter */
    vpi_bits_skip(b, 1);                           /* is_motion_mode_switchable */
    if (!f->error_resilient && r->s->ref_frame_mvs) vpi_bits_skip(b, 1);
    return VP_OK;
}

/* ---- quantizers and segments ---- */

/* read_delta_q(): is it 0? */
static bool zero_delta_q(vpi_bits *b)
{
    return !vpi_bits_read(b, 1) || vpi_bits_read(b, 7) == 0;
}

/* 5.9.12 */
static void read_quantizer(frame_reader *r)
{
    vpi_bits *b = r->b;
    vpi_av1_frame *f = r->f;
    f->base_q = vpi_bits_read(b, 8);
    f->no_delta_q = zero_delta_q(b);
    if (!r->s->mono) {
        unsigned values = r->s->separate_uv && vpi_bits_read(b, 1) ? 4 : 2;
        for (; values > 0; values--) f->no_delta_q = zero_delta_q(b) && f->no_delta_q;
    }
    if (vpi_bits_read(b, 1)) vpi_bits_skip(b, r->s->separate_uv ? 12 : 8); /* matrices */
}

/* The values of one segment; that of feature 0 changes its quantizer. */
static void read_features(vpi_bits *b, vpi_av1_slot *kept, unsigned segment)
{
    static const uint8_t bits[FEATURES] = { 9, 7, 7, 7, 7, 3, 0, 0 }; /* with their signs */
    kept->alt_q_on &= (uint8_t) ~(1u << segment);
    kept->alt_q[segment] = 0;
    for (unsigned i = 0; i < FEATURES; i++) {
        if (!vpi_bits_read(b, 1)) continue;
        uint32_t value = vpi_bits_read(b, bits[i]);
        if (i > 0) continue;
        kept->alt_q_on |= (uint8_t)(1u << segment);
        int32_t q = value & 0x100 ? (int32_t)value - 0x200 : (int32_t)value;
        kept->alt_q[segment] = (int16_t)VPI_CLAMP(q, -255, 255);
    }
}

/* 5.9.14; kept has what the primary reference frame left. */
static void read_segments(frame_reader *r)
{
    vpi_bits *b = r->b;
    vpi_av1_frame *f = r->f;
    f->segments = vpi_bits_read(b, 1);
    if (!f->segments) {
        f->kept.alt_q_on = 0;
        memset(f->kept.alt_q, 0, sizeof(f->kept.alt_q));
        return;
    }
    bool data = true;
    if (f->primary != NO_PRIMARY) {
        if (vpi_bits_read(b, 1)) vpi_bits_skip(b, 1);
        data = vpi_bits_read(b, 1);
    }
    for (unsigned i = 0; i < VPI_AV1_SEGMENTS && data; i++) read_features(b, &f->kept, i);
}

/* delta_q_params(), delta_lf_params() */
static void skip_deltas(frame_reader *r)
{
    vpi_bits *b = r->b;
    if (r->f->base_q == 0 || !vpi_bits_read(b, 1)) return;
    vpi_bits_skip(b, 2);
    if (!r->f->intra_copy && vpi_bits_read(b, 1)) vpi_bits_skip(b, 3);
}

static void find_lossless(vpi_av1_frame *f)
{
    f->lossless = f->no_delta_q;
    for (unsigned i = 0; i < VPI_AV1_SEGMENTS; i++) {
        int32_t q = (int32_t)f->base_q;
        if (f->segments && (f->kept.alt_q_on >> i & 1)) q = VPI_CLAMP(q + f->kept.alt_q[i], 0, 255);
        if (q != 0) f->lossless = false;
    }
    f->all_lossless = f->lossless && f->coded_width == f->kept.width;
}

/* ---- filters ---- */

/* 5.9.11 */
static void skip_loop_filter(frame_reader *r)
{
    vpi_bits *b = r->b;
    if (r->f->lossless || r->f->intra_copy) return;
    uint32_t levels = vpi_bits_read(b, 12);
    if (!r->s->mono && levels) vpi_bits_skip(b, 12);
    vpi_bits_skip(b, 3);
    if (!vpi_bits_read(b, 1) || !vpi_bits_read(b, 1)) return;
    for (unsigned i = 0; i < 8 + 2; i++) {
        if (vpi_bits_read(b, 1)) vpi_bits_skip(b, 7);
    }
}

/* 5.9.19 */
static void skip_cdef(frame_reader *r)
{
    vpi_bits *b = r->b;
    if (r->f->lossless || r->f->intra_copy || !r->s->cdef) return;
    vpi_bits_skip(b, 2);
    unsigned strengths = 1u << vpi_bits_read(b, 2);
    vpi_bits_skip(b, strengths * (r->s->mono ? 6u : 12u));
}

/* 5.9.20 */
static void skip_restoration(frame_reader *r)
{
    vpi_bits *b = r->b;
    if (r->f->all_lossless || r->f->intra_copy || !r->s->restoration) return;
    bool any = vpi_bits_read(b, 2) != 0, chroma = false;
    for (unsigned i = 1; i < 3 && !r->s->mono; i++) chroma |= vpi_bits_read(b, 2) != 0;
    if (!any && !chroma) return;
    if (vpi_bits_read(b, 1) && !r->s->sb128) vpi_bits_skip(b, 1);
    if (r->s->subsampling_x && r->s->subsampling_y && chroma) vpi_bits_skip(b, 1);
}

/* skipModeAllowed of 5.9.22: a reference before and one after the frame, or two before it. */
static bool skip_mode_allowed(const frame_reader *r)
{
    const vpi_av1_frame *f = r->f;
    bool before = false, after = false;
    uint32_t nearest = 0;
    if (f->intra || !f->reference_select || !r->s->order_hint) return false;
    for (unsigned i = 0; i < VPI_AV1_REFS; i++) {
        uint32_t hint = r->store->slots[f->refs[i]].hint;
        int32_t away = distance(r->s, hint, f->kept.hint);
        if (away > 0) after = true;
        if (away < 0 && (!before || distance(r->s, hint, nearest) > 0)) {
            before = true;
            nearest = hint;
        }
    }
    if (!before || after) return before;
    for (unsigned i = 0; i < VPI_AV1_REFS; i++) {
        if (distance(r->s, r->store->slots[f->refs[i]].hint, nearest) < 0) return true;
    }
    return false;
}

/* From tile_info() to the end. */
static vp_status read_rest(frame_reader *r, vp_error *err)
{
    vpi_bits *b = r->b;
    vpi_av1_frame *f = r->f;
    if (f->primary != NO_PRIMARY) { /* load_previous() */
        const vpi_av1_slot *slot = &r->store->slots[f->refs[f->primary]];
        f->kept.alt_q_on = slot->alt_q_on;
        memcpy(f->kept.alt_q, slot->alt_q, sizeof(f->kept.alt_q));
    }
    VPI_TRY(vpi_av1_read_tile_info(b, r->s, f, err));
    read_quantizer(r);
    read_segments(r);
    skip_deltas(r);
    find_lossless(f);
    skip_loop_filter(r);
    skip_cdef(r);
    skip_restoration(r);
    if (!f->lossless) vpi_bits_skip(b, 1); /* tx_mode_select */
    if (!f->intra) f->reference_select = vpi_bits_read(b, 1);
    if (skip_mode_allowed(r)) vpi_bits_skip(b, 1);
    if (!f->intra && !f->error_resilient && r->s->warped_motion) vpi_bits_skip(b, 1);
    vpi_bits_skip(b, 1); /* reduced_tx_set */
    vpi_av1_skip_motion(b, f);
    vpi_av1_skip_grain(b, r->s, f);
    return b->failed ? VPI_CORRUPT(err, "AV1: frame header is cut off") : VP_OK;
}

vp_status vpi_av1_read_frame(vpi_bits *b, vpi_av1_store *store, unsigned layer, vpi_av1_frame *out,
                             vp_error *err)
{
    frame_reader r = { .b = b, .store = store, .s = &store->sequence, .f = out, .layer = layer };
    memset(out, 0, sizeof(*out));
    read_kind(&r);
    if (out->show_existing) return read_existing(&r, err);
    out->kept.valid = true;
    bool no_update = read_general(&r);
    bool all = out->kept.type == VPI_AV1_SWITCH || (out->kept.type == VPI_AV1_KEY && out->show);
    out->refresh = all ? ALL_SLOTS : (uint8_t)vpi_bits_read(b, 8);
    if (b->failed) return VPI_CORRUPT(err, "AV1: frame header is cut off");
    if ((!out->intra || out->refresh != ALL_SLOTS) && out->error_resilient && r.s->order_hint)
        read_slot_hints(&r);
    if (out->intra) {
        read_size(&r);
        if (out->screen_content && out->coded_width == out->kept.width) out->intra_copy = vpi_bits_read(b, 1);
    } else {
        VPI_TRY(read_inter(&r, err));
    }
    if (!r.s->reduced && !no_update) vpi_bits_skip(b, 1); /* disable_frame_end_update_cdf */
    return read_rest(&r, err);
}
