/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Slice segment headers of HEVC (ITU-T H.265 7.3.6), read to their last bit: encryption starts right behind. */
#include "bitstream/hevc_int.h"

enum { TYPE_B = 0, TYPE_P = 1, TYPE_I = 2 };

#define MAX_REFS 15u
/* Most bytes of a header: wavefronts in 20 columns of tiles take four bytes for each row of blocks in each. */
#define HEADER_MAX (512u * 1024)
#define COMMON_BYTES 128u /* what most fit in */

typedef struct slice_reader {
    vpi_bits b;
    const vpi_hevc_slice_sps *sps;
    const vpi_hevc_slice_pps *pps;
    unsigned nal_type, kind;
    bool dependent, temporal_mvp, sao;
    uint32_t refs[2];
    uint32_t pictures; /* NumPicTotalCurr */
    uint32_t self[2];  /* which entries of a list are the picture itself, a bit each */
} slice_reader;

static bool is_idr(const slice_reader *r)
{
    return r->nal_type == VPI_HEVC_IDR_W_RADL || r->nal_type == VPI_HEVC_IDR_N_LP;
}

static vp_status read_place(slice_reader *r, const vpi_hevc_store *store, vp_error *err)
{
    vpi_bits *b = &r->b;
    bool first = vpi_bits_read(b, 1);
    if (r->nal_type >= VPI_HEVC_BLA_W_LP) vpi_bits_skip(b, 1);
    uint32_t id = vpi_bits_ue(b);
    if (b->failed || id >= VPI_HEVC_MAX_PPS || !store->has_pps[id] || !store->sps[store->pps[id].sps_id]) {
        return VPI_CORRUPT(err, "HEVC slice: parameter set %u is missing", id);
    }
    r->pps = &store->pps[id];
    r->sps = store->sps[r->pps->sps_id];
    if (first) return VP_OK;
    if (r->pps->dependent_segments) r->dependent = vpi_bits_read(b, 1);
    uint32_t address = vpi_bits_read(b, vpi_hevc_bits_for(r->sps->ctbs));
    if (address == 0 || address >= r->sps->ctbs) {
        return VPI_CORRUPT(err, "HEVC slice: block %u is outside the picture", address);
    }
    return VP_OK;
}

static vp_status read_long_term(slice_reader *r, vp_error *err)
{
    vpi_bits *b = &r->b;
    const vpi_hevc_slice_sps *sps = r->sps;
    uint32_t listed = sps->long_term_count ? vpi_bits_ue(b) : 0, own = vpi_bits_ue(b);
    unsigned index_bits = vpi_hevc_bits_for(sps->long_term_count);
    if (listed > VPI_HEVC_MAX_LONG_TERM || own > VPI_HEVC_MAX_LONG_TERM) {
        return VPI_CORRUPT(err, "HEVC slice: %u and %u long-term pictures", listed, own);
    }
    for (uint32_t i = 0; i < listed + own && !b->failed; i++) {
        if (i < listed) {
            uint32_t index = vpi_bits_read(b, index_bits);
            if (index >= sps->long_term_count) return VPI_CORRUPT(err, "HEVC slice: long-term picture");
            r->pictures += sps->long_term_used >> index & 1;
        } else {
            vpi_bits_skip(b, sps->poc_bits);
            r->pictures += vpi_bits_read(b, 1);
        }
        if (vpi_bits_read(b, 1)) vpi_bits_ue(b); /* delta_poc_msb_cycle_lt */
    }
    return VP_OK;
}

/* From slice_pic_order_cnt_lsb to slice_temporal_mvp_enabled_flag; absent of IDR pictures. */
static vp_status read_pictures(slice_reader *r, vp_error *err)
{
    vpi_bits *b = &r->b;
    const vpi_hevc_slice_sps *sps = r->sps;
    vpi_hevc_rps own;
    const vpi_hevc_rps *set = &own;
    vpi_bits_skip(b, sps->poc_bits);
    if (vpi_bits_read(b, 1)) { /* short_term_ref_pic_set_sps_flag */
        uint32_t index = vpi_bits_read(b, vpi_hevc_bits_for(sps->set_count));
        if (index >= sps->set_count) return VPI_CORRUPT(err, "HEVC slice: reference picture set %u", index);
        set = &sps->sets[index];
    } else {
        vpi_hevc_read_rps(b, sps, sps->set_count, &own);
    }
    if (b->failed) return VPI_CORRUPT(err, "HEVC slice: reference pictures");
    for (unsigned i = 0; i < set->count; i++) r->pictures += set->used >> i & 1u;
    if (sps->long_term) VPI_TRY(read_long_term(r, err));
    if (sps->temporal_mvp) r->temporal_mvp = vpi_bits_read(b, 1);
    return VP_OK;
}

/*
 * 7.3.6.2. With the picture itself as a reference (screen content) weights leave out the entries that it is: it comes
 * last in the list of all (8.3.4, equations 8-8 to 8-11), which is repeated when too short.
 */
static void read_list(slice_reader *r, unsigned list)
{
    vpi_bits *b = &r->b;
    bool modified = r->pps->list_modification && r->pictures > 1 && vpi_bits_read(b, 1);
    for (uint32_t i = 0; i < r->refs[list] && (modified || r->pps->current_reference); i++) {
        uint32_t entry =
            modified ? vpi_bits_read(b, vpi_hevc_bits_for(r->pictures)) : i % VPI_MAX(r->pictures, 1u);
        if (entry >= r->pictures) b->failed = true;
        if (r->pps->current_reference && entry + 1 == r->pictures) r->self[list] |= 1u << i;
    }
    if (list == 0 && r->pps->current_reference && !modified && r->pictures > r->refs[0]) {
        r->self[0] |= 1u << (r->refs[0] - 1);
    }
}

static void skip_weights(slice_reader *r, unsigned list)
{
    vpi_bits *b = &r->b;
    uint32_t luma = 0, chroma = 0, refs = r->refs[list];
    for (uint32_t i = 0; i < refs; i++) {
        if (!(r->self[list] >> i & 1)) luma |= vpi_bits_read(b, 1) << i;
    }
    for (uint32_t i = 0; i < refs && r->sps->chroma; i++) {
        if (!(r->self[list] >> i & 1)) chroma |= vpi_bits_read(b, 1) << i;
    }
    for (uint32_t i = 0; i < refs && !b->failed; i++) {
        unsigned values = (luma >> i & 1 ? 2u : 0) + (chroma >> i & 1 ? 4u : 0);
        for (; values > 0; values--) vpi_bits_se(b);
    }
}

/* 7.3.6.3 */
static vp_status read_weights(slice_reader *r, vp_error *err)
{
    vpi_bits *b = &r->b;
    if (!(r->kind == TYPE_P ? r->pps->weighted_pred : r->pps->weighted_bipred)) return VP_OK;
    if (vpi_bits_ue(b) > 7) return VPI_CORRUPT(err, "HEVC slice: weight denominator");
    if (r->sps->chroma) vpi_bits_se(b);
    skip_weights(r, 0);
    if (r->kind == TYPE_B) skip_weights(r, 1);
    return VP_OK;
}

/* What slices of type P and B have. */
static vp_status read_inter(slice_reader *r, vp_error *err)
{
    vpi_bits *b = &r->b;
    r->refs[0] = r->pps->refs[0];
    r->refs[1] = r->pps->refs[1];
    if (vpi_bits_read(b, 1)) {
        uint32_t l0 = vpi_bits_ue(b), l1 = r->kind == TYPE_B ? vpi_bits_ue(b) : 0;
        if (l0 >= MAX_REFS || l1 >= MAX_REFS) return VPI_CORRUPT(err, "HEVC slice: more than 15 references");
        r->refs[0] = l0 + 1;
        r->refs[1] = l1 + 1;
    }
    read_list(r, 0);
    if (r->kind == TYPE_B) {
        read_list(r, 1);
        vpi_bits_skip(b, 1); /* mvd_l1_zero_flag */
    }
    if (r->pps->cabac_init) vpi_bits_skip(b, 1);
    if (r->temporal_mvp) {
        bool from_l0 = r->kind != TYPE_B || vpi_bits_read(b, 1);
        if (r->refs[from_l0 ? 0 : 1] > 1) vpi_bits_ue(b);
    }
    VPI_TRY(read_weights(r, err));
    if (vpi_bits_ue(b) > 4) return VPI_CORRUPT(err, "HEVC slice: merge candidates");
    if (r->sps->integer_mv_coded) vpi_bits_skip(b, 1);
    return VP_OK;
}

/* From slice_qp_delta to slice_loop_filter_across_slices_enabled_flag. */
static void skip_filters(slice_reader *r)
{
    vpi_bits *b = &r->b;
    const vpi_hevc_slice_pps *pps = r->pps;
    unsigned offsets = 1 + (pps->chroma_qp_offsets ? 2u : 0) + (pps->act_offsets ? 3u : 0);
    for (; offsets > 0; offsets--) vpi_bits_se(b);
    if (pps->chroma_qp_lists) vpi_bits_skip(b, 1);
    bool disabled = pps->deblocking_disabled;
    if (pps->deblocking_override && vpi_bits_read(b, 1)) {
        disabled = vpi_bits_read(b, 1);
        if (!disabled) {
            vpi_bits_se(b);
            vpi_bits_se(b);
        }
    }
    if (pps->loop_filter_across && (r->sao || !disabled)) vpi_bits_skip(b, 1);
}

/* What dependent slice segments take from the slice before. */
static vp_status read_slice(slice_reader *r, vp_error *err)
{
    vpi_bits *b = &r->b;
    vpi_bits_skip(b, r->pps->extra_bits);
    r->kind = vpi_bits_ue(b);
    if (b->failed || r->kind > TYPE_I) return VPI_CORRUPT(err, "HEVC slice: type %u", r->kind);
    if (r->pps->output_flag) vpi_bits_skip(b, 1);
    if (r->sps->separate_planes) vpi_bits_skip(b, 2);
    if (!is_idr(r)) VPI_TRY(read_pictures(r, err));
    if (r->pps->current_reference) r->pictures++;
    if (r->sps->sao) {
        bool luma = vpi_bits_read(b, 1), chroma = r->sps->chroma && vpi_bits_read(b, 1);
        r->sao = luma || chroma;
    }
    if (r->kind != TYPE_I) VPI_TRY(read_inter(r, err));
    skip_filters(r);
    return VP_OK;
}

/* Entry points, extension and byte_alignment(). */
static vp_status read_tail(slice_reader *r, vp_error *err)
{
    vpi_bits *b = &r->b;
    if (r->pps->tiles || r->pps->wavefront) {
        /* 7.4.7.1: with both, an entry for each row of blocks in each column of tiles. */
        uint64_t most =
            r->pps->wavefront ? (uint64_t)r->pps->tile_columns * r->sps->ctb_rows : r->pps->tile_count;
        uint32_t count = vpi_bits_ue(b);
        if (count >= most) return VPI_CORRUPT(err, "HEVC slice: %u entry points", count);
        if (count > 0) {
            uint32_t bits = vpi_bits_ue(b) + 1;
            if (b->failed || bits > 32) return VPI_CORRUPT(err, "HEVC slice: entry points of %u bits", bits);
            vpi_bits_skip(b, (size_t)count * bits);
        }
    }
    if (r->pps->extension) {
        uint32_t bytes = vpi_bits_ue(b);
        if (bytes > 256) return VPI_CORRUPT(err, "HEVC slice: header extension of %u bytes", bytes);
        vpi_bits_skip(b, (size_t)bytes * 8);
    }
    /* One bit set and zeros to the next byte: what is read wrongly seldom ends so. */
    uint32_t stop = vpi_bits_read(b, 1), zeros = vpi_bits_read(b, (8 - b->position % 8) % 8);
    return b->failed || !stop || zeros ? VPI_CORRUPT(err, "HEVC slice: broken header") : VP_OK;
}

static vp_status read_header(const vpi_hevc_store *store, const vpi_nal *nal, const uint8_t *plain,
                             size_t size, size_t *used, bool *cut, vp_error *err)
{
    slice_reader r = { .nal_type = vpi_hevc_type(nal) };
    vpi_bits_init(&r.b, plain, size);
    vpi_bits_skip(&r.b, 16);
    vp_status st = read_place(&r, store, err);
    if (st == VP_OK && !r.dependent) st = read_slice(&r, err);
    if (st == VP_OK) st = read_tail(&r, err);
    *used = r.b.position / 8;
    *cut = r.b.failed;
    return st;
}

vp_status vpi_hevc_slice_head(const vpi_hevc_store *store, const vpi_nal *nal, size_t *head, vp_error *err)
{
    uint8_t plain[VPI_NAL_HEADER_MAX];
    size_t used;
    bool cut;
    vp_error first = VP_ERROR_INIT;
    if (nal->size < 3 || nal->data[0] & 0x80) return VPI_CORRUPT(err, "HEVC: broken slice");
    size_t size = vpi_nal_unescape_head(nal, plain, COMMON_BYTES);
    vp_status st = read_header(store, nal, plain, size, &used, &cut, &first);
    if (st < 0 && cut && size == COMMON_BYTES) {
        size = vpi_nal_unescape_head(nal, plain, sizeof(plain));
        vpi_error_reset(&first);
        st = read_header(store, nal, plain, size, &used, &cut, &first);
    }
    if (st < 0 && cut && size == sizeof(plain)) {
        size_t room = VPI_MIN(nal->size, (size_t)HEADER_MAX);
        uint8_t *more = vpi_alloc(room);
        if (!more) return vpi_fail_nomem(err);
        size = vpi_nal_unescape_head(nal, more, room);
        st = read_header(store, nal, more, size, &used, &cut, err);
        vpi_free(more);
    } else if (st < 0) {
        vpi_error_copy(err, &first);
    }
    *head = st < 0 ? 0 : vpi_nal_escaped_size(nal, used);
    return st;
}
