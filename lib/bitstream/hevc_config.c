/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HEVCDecoderConfigurationRecord (ISO/IEC 14496-15 8.3.3.1). */
#include "base/buf.h"
#include "bitstream/bits_int.h"

#define HEAD 23u
#define MAX_ARRAYS 64u
#define MAX_NALS 256u /* of all arrays together */

typedef bool (*unit_fn)(void *user, unsigned type, const vpi_nal *nal);

/* All units of the arrays; fn says whether to go on. */
static vp_status each_unit(const uint8_t *p, size_t size, unit_fn fn, void *user, vp_error *err)
{
    size_t at = HEAD, total = 0;
    unsigned arrays = p[22];
    if (arrays > MAX_ARRAYS) return VPI_CORRUPT(err, "hvcC: %u arrays", arrays);
    for (unsigned a = 0; a < arrays; a++) {
        if (size - at < 3) return VPI_CORRUPT(err, "hvcC: truncated");
        unsigned type = p[at] & 63u, count = (unsigned)p[at + 1] << 8 | p[at + 2];
        at += 3;
        total += count;
        if (total > MAX_NALS) return VPI_CORRUPT(err, "hvcC: %zu parameter sets", total);
        for (unsigned i = 0; i < count; i++) {
            if (size - at < 2) return VPI_CORRUPT(err, "hvcC: truncated");
            size_t length = (size_t)p[at] << 8 | p[at + 1];
            at += 2;
            if (length > size - at) return VPI_CORRUPT(err, "hvcC: parameter set of %zu bytes", length);
            vpi_nal nal = { p + at, length };
            if (!fn(user, type, &nal)) return VP_OK;
            at += length;
        }
    }
    return VP_OK;
}

typedef struct sps_search {
    vpi_hevc_ptl *out;
    vp_status status;
    vp_error *err;
    bool found;
} sps_search;

/* Size and colour come from the first SPS; the record has the rest. None is no error. */
static bool take_sps(void *user, unsigned type, const vpi_nal *nal)
{
    sps_search *s = user;
    vpi_hevc_ptl sps, *out = s->out;
    if (type != VPI_HEVC_SPS || s->found) return true;
    s->status = vpi_hevc_sps_parse(nal, &sps, s->err);
    if (s->status < 0) return false;
    s->found = true;
    memcpy(sps.constraints, out->constraints, sizeof(sps.constraints));
    sps.profile_space = out->profile_space;
    sps.tier = out->tier;
    sps.profile_idc = out->profile_idc;
    sps.level_idc = out->level_idc;
    sps.compatibility = out->compatibility;
    sps.chroma_format_idc = out->chroma_format_idc;
    sps.bit_depth = out->bit_depth;
    *out = sps;
    return true;
}

static vp_status read_head(const uint8_t *p, size_t size, uint8_t *length_size, vp_error *err)
{
    *length_size = 0;
    if (size < HEAD || p[0] != 1) return VPI_CORRUPT(err, "hvcC: too short or not version 1");
    *length_size = (uint8_t)((p[21] & 3) + 1);
    return *length_size == 3 ? VPI_CORRUPT(err, "hvcC: lengths of 3 bytes") : VP_OK;
}

vp_status vpi_hvcc_parse(const void *data, size_t size, vpi_hevc_ptl *out, uint8_t *length_size,
                         vp_error *err)
{
    const uint8_t *p = data;
    sps_search search = { .out = out, .status = VP_OK, .err = err };
    vpi_bits b;
    memset(out, 0, sizeof(*out));
    VPI_TRY(read_head(p, size, length_size, err));
    vpi_bits_init(&b, p + 1, 12);
    vpi_hevc_read_ptl(&b, out);
    out->chroma_format_idc = p[16] & 3;
    out->bit_depth = (uint8_t)(8 + (p[17] & 7));
    VPI_TRY(each_unit(p, size, take_sps, &search, err));
    return search.status;
}

static bool take_set(void *user, unsigned type, const vpi_nal *nal)
{
    vpi_hvcc *out = user;
    (void)type;
    if (out->count == VPI_HVCC_MAX_SETS) {
        out->length_size = 0; /* too many: told by the caller */
        return false;
    }
    if (nal->size) out->sets[out->count++] = *nal;
    return true;
}

vp_status vpi_hvcc_sets(const void *data, size_t size, vpi_hvcc *out, vp_error *err)
{
    out->count = 0;
    VPI_TRY(read_head(data, size, &out->length_size, err));
    VPI_TRY(each_unit(data, size, take_set, out, err));
    return out->length_size ? VP_OK
                            : VPI_CORRUPT(err, "hvcC: more than %u units", (unsigned)VPI_HVCC_MAX_SETS);
}

void vpi_hvcc_complete(uint8_t *p, size_t size)
{
    size_t at = HEAD;
    for (unsigned a = 0; size >= HEAD && a < p[22] && size - at >= 3; a++) {
        unsigned type = p[at] & 63u, count = (unsigned)p[at + 1] << 8 | p[at + 2];
        if (type >= VPI_HEVC_VPS && type <= VPI_HEVC_PPS) p[at] |= 0x80;
        at += 3;
        for (unsigned i = 0; i < count; i++) {
            if (size - at < 2) return;
            size_t length = (size_t)p[at] << 8 | p[at + 1];
            if (length > size - at - 2) return;
            at += 2 + length;
        }
    }
}

vp_status vpi_hvcc_write(const vpi_nal *sets, size_t count, vpi_buf *out, vp_error *err)
{
    const vpi_nal *sps = NULL;
    unsigned counts[3] = { 0 };
    vpi_hevc_ptl ptl;
    for (size_t i = 0; i < count; i++) {
        unsigned type = vpi_hevc_type(&sets[i]);
        if (type < VPI_HEVC_VPS || type > VPI_HEVC_PPS) continue;
        if (sets[i].size > UINT16_MAX)
            return VPI_CORRUPT(err, "HEVC: parameter set of %zu bytes", sets[i].size);
        if (type == VPI_HEVC_SPS && !sps) sps = &sets[i];
        counts[type - VPI_HEVC_VPS]++;
    }
    if (!counts[0] || !counts[1] || !counts[2] || !sps) return VP_AGAIN;
    VPI_TRY(vpi_hevc_sps_parse(sps, &ptl, err));
    vpi_buf_u8(out, 1);
    vpi_buf_u8(out, (unsigned)ptl.profile_space << 6 | (unsigned)ptl.tier << 5 | ptl.profile_idc);
    vpi_buf_be32(out, ptl.compatibility);
    vpi_buf_add(out, ptl.constraints, sizeof(ptl.constraints));
    vpi_buf_u8(out, ptl.level_idc);
    vpi_buf_be16(out, 0xF000); /* min_spatial_segmentation_idc: not told */
    vpi_buf_u8(out, 0xFC);     /* parallelismType: not told */
    vpi_buf_u8(out, 0xFCu | ptl.chroma_format_idc);
    vpi_buf_u8(out, 0xF8u | (ptl.bit_depth - 8u));
    vpi_buf_u8(out, 0xF8u | (ptl.bit_depth_chroma - 8u));
    vpi_buf_be16(out, 0); /* avgFrameRate: not told */
    vpi_buf_u8(out, (unsigned)ptl.sub_layers << 3 | (ptl.nested ? 4u : 0) | 3u);
    vpi_buf_u8(out, 3);
    for (unsigned kind = 0; kind < 3; kind++) {
        vpi_buf_u8(out, 0x80u | (VPI_HEVC_VPS + kind)); /* complete: none in the samples */
        vpi_buf_be16(out, counts[kind]);
        for (size_t i = 0; i < count; i++) {
            if (vpi_hevc_type(&sets[i]) != VPI_HEVC_VPS + kind) continue;
            vpi_buf_be16(out, (unsigned)sets[i].size);
            vpi_buf_add(out, sets[i].data, sets[i].size);
        }
    }
    return VP_OK;
}
