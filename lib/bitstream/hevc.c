/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* profile_tier_level of HEVC, from hvcC (ISO/IEC 14496-15 8.3.3.1) or an SPS (ITU-T H.265 7.3.2.2). */
#include "bitstream/bits_int.h"

enum { HEVC_SPS = 33 };

#define MAX_SIDE 65536u
#define MAX_ARRAYS 64u
#define MAX_NALS 256u /* parameter sets of all arrays together */

static void read_ptl(vpi_bits *b, vpi_hevc_ptl *out)
{
    out->profile_space = (uint8_t)vpi_bits_read(b, 2);
    out->tier = (uint8_t)vpi_bits_read(b, 1);
    out->profile_idc = (uint8_t)vpi_bits_read(b, 5);
    out->compatibility = vpi_bits_read(b, 32);
    for (unsigned i = 0; i < 6; i++) out->constraints[i] = (uint8_t)vpi_bits_read(b, 8);
    out->level_idc = (uint8_t)vpi_bits_read(b, 8);
}

/* 7.3.3: flags of all sub-layers, then what the flags promise. */
static void skip_sub_layers(vpi_bits *b, unsigned count)
{
    bool profile[8] = { false }, level[8] = { false };
    if (count == 0) return;
    for (unsigned i = 0; i < 8; i++) {
        bool first = vpi_bits_read(b, 1), second = vpi_bits_read(b, 1);
        profile[i] = i < count && first;
        level[i] = i < count && second;
    }
    for (unsigned i = 0; i < count; i++) {
        if (profile[i]) vpi_bits_skip(b, 88);
        if (level[i]) vpi_bits_skip(b, 8);
    }
}

vp_status vpi_hevc_sps_parse(const vpi_nal *nal, vpi_hevc_ptl *out, vp_error *err)
{
    uint8_t plain[VPI_NAL_HEADER_MAX];
    vpi_bits b;
    memset(out, 0, sizeof(*out));
    /* Another layer than the base has another syntax (annex F). */
    if (nal->size < 4 || nal->data[0] & 0x81 || nal->data[0] >> 1 != HEVC_SPS || nal->data[1] >> 3 != 0) {
        return VPI_CORRUPT(err, "not an HEVC SPS of the base layer");
    }
    vpi_bits_init(&b, plain, vpi_nal_unescape_head(nal, plain, sizeof(plain)));
    vpi_bits_skip(&b, 16 + 4);
    uint32_t sub_layers = vpi_bits_read(&b, 3);
    if (sub_layers > 6) return VPI_CORRUPT(err, "HEVC SPS: %u sub-layers", sub_layers + 1);
    vpi_bits_skip(&b, 1);
    read_ptl(&b, out);
    skip_sub_layers(&b, sub_layers);
    uint32_t id = vpi_bits_ue(&b), chroma = vpi_bits_ue(&b);
    if (id > 15 || chroma > 3) return VPI_CORRUPT(err, "HEVC SPS: id %u, chroma format %u", id, chroma);
    out->chroma_format_idc = (uint8_t)chroma;
    bool planes = chroma == 3 && vpi_bits_read(&b, 1);
    uint32_t width = vpi_bits_ue(&b), height = vpi_bits_ue(&b);
    if (!b.failed && (width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE)) {
        return VPI_CORRUPT(err, "HEVC SPS: %u x %u pixels", width, height);
    }
    if (vpi_bits_read(&b, 1)) { /* conformance window, in chroma samples (7.4.3.2.1) */
        uint64_t unit_x = !planes && (chroma == 1 || chroma == 2) ? 2 : 1,
                 unit_y = !planes && chroma == 1 ? 2 : 1;
        uint64_t left = vpi_bits_ue(&b), right = vpi_bits_ue(&b), top = vpi_bits_ue(&b),
                 bottom = vpi_bits_ue(&b);
        if ((left + right) * unit_x >= width || (top + bottom) * unit_y >= height) {
            return VPI_CORRUPT(err, "HEVC SPS: crops all away");
        }
        width -= (uint32_t)((left + right) * unit_x);
        height -= (uint32_t)((top + bottom) * unit_y);
    }
    uint32_t depth = vpi_bits_ue(&b), chroma_depth = vpi_bits_ue(&b);
    if (b.failed) return VPI_CORRUPT(err, "HEVC SPS: truncated or out of range");
    if (depth > 8 || chroma_depth > 8) return VPI_CORRUPT(err, "HEVC SPS: bit depth over 16");
    out->bit_depth = (uint8_t)(8 + depth);
    out->width = width;
    out->height = height;
    return VP_OK;
}

/* Takes the picture size from the first SPS in the arrays; none is no error. */
static vp_status read_arrays(const uint8_t *p, size_t size, vpi_hevc_ptl *out, vp_error *err)
{
    size_t at = 23, total = 0;
    unsigned arrays = p[22];
    bool found = false;
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
            if (type == HEVC_SPS && !found) {
                vpi_nal nal = { p + at, length };
                vpi_hevc_ptl sps;
                VPI_TRY(vpi_hevc_sps_parse(&nal, &sps, err));
                out->width = sps.width;
                out->height = sps.height;
                found = true;
            }
            at += length;
        }
    }
    return VP_OK;
}

vp_status vpi_hvcc_parse(const void *data, size_t size, vpi_hevc_ptl *out, uint8_t *length_size,
                         vp_error *err)
{
    const uint8_t *p = data;
    vpi_bits b;
    memset(out, 0, sizeof(*out));
    *length_size = 0;
    if (size < 23 || p[0] != 1) return VPI_CORRUPT(err, "hvcC: too short or not version 1");
    vpi_bits_init(&b, p + 1, 12);
    read_ptl(&b, out);
    out->chroma_format_idc = p[16] & 3;
    out->bit_depth = (uint8_t)(8 + (p[17] & 7));
    *length_size = (uint8_t)((p[21] & 3) + 1);
    if (*length_size == 3) return VPI_CORRUPT(err, "hvcC: lengths of 3 bytes");
    return read_arrays(p, size, out, err);
}
