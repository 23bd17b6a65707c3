/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Static metadata of HDR: the mastering display's colour volume (SMPTE ST 2086) and content light level (CTA-861.3),
 * kept as the payload of the boxes mdcv and clli (ISO/IEC 14496-12 12.1.6, 12.1.7), which is that of the SEI messages
 * of H.264 and HEVC.
 */
#include "bitstream/bits_int.h"

#define SEI_VOLUME 137u /* mastering_display_colour_volume (H.265 D.2.28) */
#define SEI_LIGHT 144u  /* content_light_level_info (D.2.35) */
#define HEAD_MAX 1024u  /* bytes of an SEI that are looked at */
#define OBUS_MAX 64u

static void put(uint8_t *to, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) to[i] = (uint8_t)(v >> 8 * (bytes - 1 - i));
}

void vpi_mastering_set_volume(vpi_mastering *m, const uint32_t points[8], uint32_t brightest,
                              uint32_t darkest)
{
    static const uint8_t order[8] = { 2, 3, 4, 5, 0, 1, 6, 7 }; /* green, blue, red, white */
    for (size_t i = 0; i < 8; i++) put(m->volume + 2 * i, VPI_MIN(points[order[i]], (uint32_t)UINT16_MAX), 2);
    put(m->volume + 16, brightest, 4);
    put(m->volume + 20, darkest, 4);
    m->has_volume = true;
}

void vpi_mastering_set_light(vpi_mastering *m, uint32_t most, uint32_t average)
{
    put(m->light, VPI_MIN(most, (uint32_t)UINT16_MAX), 2);
    put(m->light + 2, VPI_MIN(average, (uint32_t)UINT16_MAX), 2);
    m->has_light = true;
}

void vpi_mastering_merge(vpi_mastering *m, const vpi_mastering *other)
{
    if (!m->has_volume && other->has_volume) memcpy(m->volume, other->volume, sizeof(m->volume));
    if (!m->has_light && other->has_light) memcpy(m->light, other->light, sizeof(m->light));
    m->has_volume = m->has_volume || other->has_volume;
    m->has_light = m->has_light || other->has_light;
}

/* ---- H.264 and HEVC ---- */

static void read_sei(const vpi_nal *nal, bool hevc, vpi_mastering *out)
{
    uint8_t head[HEAD_MAX];
    size_t header = hevc ? 2 : 1, at = 0, size = vpi_nal_unescape_head(nal, head, sizeof(head));
    vpi_sei sei;
    if (size <= header) return;
    while (vpi_sei_next(head + header, size - header, &at, &sei)) {
        if (sei.type == SEI_VOLUME && sei.size >= sizeof(out->volume)) {
            memcpy(out->volume, sei.data, sizeof(out->volume));
            out->has_volume = true;
        } else if (sei.type == SEI_LIGHT && sei.size >= sizeof(out->light)) {
            memcpy(out->light, sei.data, sizeof(out->light));
            out->has_light = true;
        }
    }
}

void vpi_mastering_h26x(const uint8_t *data, size_t size, unsigned length_size, bool hevc, vpi_mastering *out)
{
    size_t at = 0;
    vpi_nal nal;
    bool bad = false;
    while (vpi_avcc_next(data, size, length_size, &at, &nal, &bad)) {
        unsigned type = hevc ? vpi_hevc_type(&nal) : vpi_h264_type(&nal);
        if (!nal.size) continue;
        if (hevc ? type <= VPI_HEVC_VCL_LAST : type >= VPI_H264_SLICE && type <= VPI_H264_IDR) return;
        if (type == (hevc ? VPI_HEVC_SEI : VPI_H264_SEI)) read_sei(&nal, hevc, out);
    }
}

void vpi_mastering_hvcc(const uint8_t *hvcc, size_t size, vpi_mastering *out)
{
    vpi_hvcc units;
    if (vpi_hvcc_sets(hvcc, size, &units, NULL) != VP_OK) return;
    for (size_t i = 0; i < units.count; i++)
        if (vpi_hevc_type(&units.sets[i]) == VPI_HEVC_SEI) read_sei(&units.sets[i], true, out);
}

/* ---- AV1 (AV1 bitstream 5.8.3, 5.8.4), whose form SmDm of VP9 has too ---- */

static uint32_t scaled(uint64_t v, uint64_t by, unsigned bits)
{
    return (uint32_t)VPI_MIN((v * by + ((uint64_t)1 << bits >> 1)) >> bits, (uint64_t)UINT32_MAX);
}

void vpi_mastering_fixed(const uint8_t bytes[24], vpi_mastering *out)
{
    uint32_t points[8];
    vpi_bits b;
    vpi_bits_init(&b, bytes, 24);
    for (size_t i = 0; i < 8; i++) points[i] = scaled(vpi_bits_read(&b, 16), 50000, 16);
    uint32_t brightest = scaled(vpi_bits_read(&b, 32), 10000, 8);
    vpi_mastering_set_volume(out, points, brightest, scaled(vpi_bits_read(&b, 32), 10000, 14));
}

void vpi_mastering_av1(const uint8_t *obus, size_t size, vpi_mastering *out)
{
    enum { LIGHT = 1, VOLUME = 2 };
    size_t at = 0;
    for (unsigned n = 0; n < OBUS_MAX; n++) {
        vpi_obu obu = { 0 };
        if (vpi_obu_next(obus, size, &at, &obu, NULL) != VP_OK) return;
        if (obu.type == VPI_OBU_FRAME || obu.type == VPI_OBU_HEADER) return;
        if (obu.type != VPI_OBU_METADATA || obu.payload_size < 1) continue;
        const uint8_t *p = obu.payload;
        if (p[0] == LIGHT && obu.payload_size >= 5) {
            memcpy(out->light, p + 1, sizeof(out->light));
            out->has_light = true;
        } else if (p[0] == VOLUME && obu.payload_size >= 25) {
            vpi_mastering_fixed(p + 1, out);
        }
    }
}
