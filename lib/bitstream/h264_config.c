/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3.1). */
#include "base/buf.h"
#include "bitstream/bits_int.h"

#define AVCC_MAX_SPS 31u /* five bits */

/* Reads count parameter sets, each with a 16-bit length, from *at on. */
static vp_status read_sets(const uint8_t *data, size_t size, size_t *at, unsigned type, size_t count,
                           vpi_nal *sets, vp_error *err)
{
    if (count > VPI_AVCC_MAX_SETS) return VPI_CORRUPT(err, "avcC: %zu parameter sets", count);
    for (size_t i = 0; i < count; i++) {
        if (size - *at < 2) return VPI_CORRUPT(err, "avcC: truncated");
        size_t length = (size_t)data[*at] << 8 | data[*at + 1];
        *at += 2;
        if (length == 0 || length > size - *at)
            return VPI_CORRUPT(err, "avcC: parameter set of %zu bytes", length);
        sets[i].data = data + *at;
        sets[i].size = length;
        if (vpi_h264_type(&sets[i]) != type) return VPI_CORRUPT(err, "avcC: NAL unit of another type");
        *at += length;
    }
    return VP_OK;
}

vp_status vpi_avcc_parse(const void *data, size_t size, vpi_avcc *out, vp_error *err)
{
    const uint8_t *p = data;
    memset(out, 0, sizeof(*out));
    if (size < 7 || p[0] != 1) return VPI_CORRUPT(err, "avcC: too short or not version 1");
    out->profile_idc = p[1];
    out->constraints = p[2];
    out->level_idc = p[3];
    out->length_size = (uint8_t)((p[4] & 3) + 1);
    if (out->length_size == 3) return VPI_CORRUPT(err, "avcC: lengths of 3 bytes");
    size_t at = 6, sps_count = p[5] & 31u;
    VPI_TRY(read_sets(p, size, &at, VPI_H264_SPS, sps_count, out->sps, err));
    if (at >= size) return VPI_CORRUPT(err, "avcC: truncated");
    size_t pps_count = p[at++];
    VPI_TRY(read_sets(p, size, &at, VPI_H264_PPS, pps_count, out->pps, err));
    out->sps_count = sps_count;
    out->pps_count = pps_count;
    return VP_OK;
}

static vp_status check_sets(const vpi_nal *sets, size_t count, unsigned type, size_t least, vp_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (sets[i].size < least || sets[i].size > UINT16_MAX || vpi_h264_type(&sets[i]) != type) {
            return VPI_CORRUPT(err, "avcC: parameter set %zu cannot be stored", i);
        }
    }
    return VP_OK;
}

static void write_sets(vpi_buf *out, const vpi_nal *sets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        vpi_buf_be16(out, (unsigned)sets[i].size);
        vpi_buf_add(out, sets[i].data, sets[i].size);
    }
}

vp_status vpi_avcc_write(const vpi_nal *sps, size_t sps_count, const vpi_nal *pps, size_t pps_count,
                         struct vpi_buf *out, vp_error *err)
{
    vpi_h264_sps info;
    if (sps_count < 1 || sps_count > AVCC_MAX_SPS || pps_count < 1 || pps_count > VPI_AVCC_MAX_SETS) {
        return VPI_CORRUPT(err, "avcC: %zu SPS and %zu PPS", sps_count, pps_count);
    }
    VPI_TRY(check_sets(sps, sps_count, VPI_H264_SPS, 4, err));
    VPI_TRY(check_sets(pps, pps_count, VPI_H264_PPS, 2, err));
    VPI_TRY(vpi_h264_sps_parse(&sps[0], &info, err));
    /* The record states what decodes all sets: common constraints, the highest level. */
    uint8_t constraints = info.constraints, level = info.level_idc;
    for (size_t i = 1; i < sps_count; i++) {
        vpi_h264_sps other;
        VPI_TRY(vpi_h264_sps_parse(&sps[i], &other, err));
        if (other.profile_idc != info.profile_idc || other.chroma_format_idc != info.chroma_format_idc ||
            other.bit_depth_luma != info.bit_depth_luma || other.bit_depth_chroma != info.bit_depth_chroma) {
            return VPI_CORRUPT(err, "avcC: parameter sets of different formats");
        }
        constraints &= other.constraints;
        level = VPI_MAX(level, other.level_idc);
    }
    vpi_buf_u8(out, 1);
    vpi_buf_u8(out, info.profile_idc);
    vpi_buf_u8(out, constraints);
    vpi_buf_u8(out, level);
    vpi_buf_u8(out, 0xfc | 3);
    vpi_buf_u8(out, 0xe0u | (unsigned)sps_count);
    write_sets(out, sps, sps_count);
    vpi_buf_u8(out, (unsigned)pps_count);
    write_sets(out, pps, pps_count);
    if (info.profile_idc != 66 && info.profile_idc != 77 && info.profile_idc != 88) {
        vpi_buf_u8(out, 0xfcu | info.chroma_format_idc);
        vpi_buf_u8(out, 0xf8u | (info.bit_depth_luma - 8u));
        vpi_buf_u8(out, 0xf8u | (info.bit_depth_chroma - 8u));
        vpi_buf_u8(out, 0); /* no SPS extensions */
    }
    return vpi_buf_failed(out) ? vpi_fail_nomem(err) : VP_OK;
}
