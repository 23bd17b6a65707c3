/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of a sample may be encrypted (ISO/IEC 23001-7 9.5.2, 10.4.2): everything behind the headers of its slices. */
#include "bitstream/slicer_int.h"

enum { /* table 7-1 of H.264 */
       H264_PARTITION_A = 2,
       H264_PARTITION_C = 4
};

#define AV1C_HEAD 4u

typedef struct h264_store {
    vpi_h264_sps sps[32];
    vpi_h264_pps pps[256];
    bool has_sps[32], has_pps[256];
} h264_store;

struct vpi_slicer {
    vpi_slicer_codec codec;
    unsigned length_size;
    h264_store *h264;
    vpi_hevc_store *hevc;
    vpi_av1_store *av1;
};

vp_status vpi_range_add(vpi_range_sink *to, const uint8_t *data, size_t size, vp_error *err)
{
    if (size == 0) return VP_OK;
    if (!VPI_GROW(*to->ranges, *to->count, *to->cap)) return vpi_fail_nomem(err);
    (*to->ranges)[(*to->count)++] = (vpi_range){ (size_t)(data - to->base), size };
    return VP_OK;
}

/* ---- H.264 ---- */

static vp_status h264_take_set(h264_store *store, const vpi_nal *nal, vp_error *err)
{
    if (vpi_h264_type(nal) == VPI_H264_SPS) {
        vpi_h264_sps sps;
        VPI_TRY(vpi_h264_sps_parse(nal, &sps, err));
        store->sps[sps.id] = sps;
        store->has_sps[sps.id] = true;
    } else {
        vpi_h264_pps pps;
        VPI_TRY(vpi_h264_pps_parse(nal, NULL, &pps, err));
        store->pps[pps.id] = pps;
        store->has_pps[pps.id] = true;
    }
    return VP_OK;
}

static vp_status h264_slice(const h264_store *store, const vpi_nal *nal, vpi_range_sink *to, vp_error *err)
{
    uint8_t id;
    vpi_h264_slice slice;
    VPI_TRY(vpi_h264_slice_pps_id(nal, &id, err));
    const vpi_h264_pps *pps = &store->pps[id];
    if (!store->has_pps[id] || !store->has_sps[pps->sps_id]) {
        return VPI_CORRUPT(err, "H.264 slice: parameter set %u is missing", id);
    }
    VPI_TRY(vpi_h264_slice_parse(nal, &store->sps[pps->sps_id], pps, &slice, err));
    size_t head = slice.header_bytes_escaped;
    return vpi_range_add(to, nal->data + head, nal->size - head, err);
}

static vp_status h264_unit(h264_store *store, const vpi_nal *nal, vpi_range_sink *to, vp_error *err)
{
    unsigned type = vpi_h264_type(nal);
    if (type == VPI_H264_SPS || type == VPI_H264_PPS) return h264_take_set(store, nal, err);
    if (type == VPI_H264_SLICE || type == VPI_H264_IDR) return h264_slice(store, nal, to, err);
    if (type >= H264_PARTITION_A && type <= H264_PARTITION_C) {
        return VPI_NOT_READ(err, "H.264: data partitions are not supported");
    }
    return VP_OK; /* all others, those of SVC, MVC and auxiliary pictures too, stay clear */
}

static vp_status h264_config(vpi_slicer *s, const void *config, size_t size, vp_error *err)
{
    vpi_avcc avcc;
    VPI_TRY(vpi_avcc_parse(config, size, &avcc, err));
    s->h264 = vpi_calloc(1, sizeof(*s->h264));
    if (!s->h264) return vpi_fail_nomem(err);
    s->length_size = avcc.length_size;
    for (size_t i = 0; i < avcc.sps_count; i++) VPI_TRY(h264_take_set(s->h264, &avcc.sps[i], err));
    for (size_t i = 0; i < avcc.pps_count; i++) VPI_TRY(h264_take_set(s->h264, &avcc.pps[i], err));
    return VP_OK;
}

/* ---- HEVC ---- */

static vp_status hevc_unit(vpi_hevc_store *store, const vpi_nal *nal, vpi_range_sink *to, vp_error *err)
{
    unsigned type = vpi_hevc_type(nal);
    bool slice = type <= VPI_HEVC_RASL_R || (type >= VPI_HEVC_BLA_W_LP && type <= VPI_HEVC_CRA);
    size_t head;
    if (!slice) return vpi_hevc_store_take(store, nal, err);
    /* Other layers than the base one stay clear, as do reserved types: their syntax is not known. */
    if (nal->size >= 2 && (nal->data[0] & 1 || nal->data[1] >> 3)) return VP_OK;
    VPI_TRY(vpi_hevc_slice_head(store, nal, &head, err));
    return vpi_range_add(to, nal->data + head, nal->size - head, err);
}

static vp_status hevc_config(vpi_slicer *s, const void *config, size_t size, vp_error *err)
{
    vpi_hvcc hvcc;
    VPI_TRY(vpi_hvcc_sets(config, size, &hvcc, err));
    s->hevc = vpi_hevc_store_new();
    if (!s->hevc) return vpi_fail_nomem(err);
    s->length_size = hvcc.length_size;
    for (size_t i = 0; i < hvcc.count; i++) VPI_TRY(vpi_hevc_store_take(s->hevc, &hvcc.sets[i], err));
    return VP_OK;
}

/* ---- AV1 ---- */

/* Its sequence header may be in samples alone (binding 2.3.4). */
static vp_status av1_config(vpi_slicer *s, const uint8_t *config, size_t size, vp_error *err)
{
    if (size < AV1C_HEAD || config[0] != 0x81) return VPI_CORRUPT(err, "av1C: too short or not version 1");
    s->av1 = vpi_av1_store_new();
    if (!s->av1) return vpi_fail_nomem(err);
    return vpi_av1_store_take(s->av1, config + AV1C_HEAD, size - AV1C_HEAD, NULL, err);
}

/* ---- all ---- */

static vp_status take_config(vpi_slicer *s, const void *config, size_t size, vp_error *err)
{
    switch (s->codec) {
    case VPI_SLICER_H264:
        return h264_config(s, config, size, err);
    case VPI_SLICER_HEVC:
        return hevc_config(s, config, size, err);
    case VPI_SLICER_AV1:
        return av1_config(s, config, size, err);
    default:
        return VPI_NOT_READ(err, "slices of this codec are not read");
    }
}

vp_status vpi_slicer_new(vpi_slicer_codec codec, const void *config, size_t size, vpi_slicer **out,
                         vp_error *err)
{
    *out = NULL;
    vpi_slicer *s = vpi_calloc(1, sizeof(*s));
    if (!s) return vpi_fail_nomem(err);
    s->codec = codec;
    vp_status st = take_config(s, config, size, err);
    if (st < 0) {
        vpi_slicer_free(s);
        return st;
    }
    *out = s;
    return VP_OK;
}

void vpi_slicer_free(vpi_slicer *s)
{
    if (!s) return;
    vpi_free(s->h264);
    vpi_hevc_store_free(s->hevc);
    vpi_av1_store_free(s->av1);
    vpi_free(s);
}

static vp_status take_units(vpi_slicer *s, const uint8_t *data, size_t size, vpi_range_sink *to,
                            vp_error *err)
{
    size_t at = 0;
    vpi_nal nal;
    bool bad = false;
    while (vpi_avcc_next(data, size, s->length_size, &at, &nal, &bad)) {
        if (nal.size == 0) continue;
        VPI_TRY(s->h264 ? h264_unit(s->h264, &nal, to, err) : hevc_unit(s->hevc, &nal, to, err));
    }
    return bad ? VPI_CORRUPT(err, "NAL unit reaches past the end of its sample") : VP_OK;
}

vp_status vpi_slicer_sample(vpi_slicer *s, const uint8_t *data, size_t size, vpi_range **ranges,
                            size_t *count, size_t *cap, vp_error *err)
{
    size_t before = *count;
    vpi_range_sink to = { data, ranges, count, cap };
    vp_status st =
        s->av1 ? vpi_av1_store_take(s->av1, data, size, &to, err) : take_units(s, data, size, &to, err);
    if (st < 0) *count = before;
    return st;
}
