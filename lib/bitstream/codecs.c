/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Codec strings (RFC 6381). */
#include <stdio.h>

#include "bitstream/bits_int.h"

vp_status vpi_codecs_avc(const void *avcc, size_t size, char out[VPI_CODECS_SIZE], vp_error *err)
{
    vpi_avcc record;
    out[0] = 0;
    VPI_TRY(vpi_avcc_parse(avcc, size, &record, err));
    snprintf(out, VPI_CODECS_SIZE, "avc1.%02x%02x%02x", record.profile_idc, record.constraints,
             record.level_idc);
    return VP_OK;
}

static uint32_t reverse_bits(uint32_t v)
{
    uint32_t r = 0;
    for (unsigned i = 0; i < 32; i++) r |= (v >> i & 1u) << (31 - i);
    return r;
}

/* ISO/IEC 14496-15 E.3 */
vp_status vpi_codecs_hevc(const void *hvcc, size_t size, char out[VPI_CODECS_SIZE], vp_error *err)
{
    vpi_hevc_ptl ptl;
    uint8_t length_size;
    char space[2] = "";
    unsigned bytes = 6;
    out[0] = 0;
    VPI_TRY(vpi_hvcc_parse(hvcc, size, &ptl, &length_size, err));
    if (ptl.profile_space) space[0] = (char)('A' + ptl.profile_space - 1);
    int at = snprintf(out, VPI_CODECS_SIZE, "hvc1.%s%u.%X.%c%u", space, ptl.profile_idc,
                      reverse_bits(ptl.compatibility), ptl.tier ? 'H' : 'L', ptl.level_idc);
    while (bytes > 0 && ptl.constraints[bytes - 1] == 0) bytes--;
    for (unsigned i = 0; i < bytes; i++) {
        at += snprintf(out + at, VPI_CODECS_SIZE - (size_t)at, ".%X", ptl.constraints[i]);
    }
    return VP_OK;
}

/* AV1 codec ISO media file format binding, 5 */
vp_status vpi_codecs_av1(const void *av1c, size_t size, char out[VPI_CODECS_SIZE], vp_error *err)
{
    const uint8_t *p = av1c;
    vpi_av1_colour colour;
    out[0] = 0;
    if (size < 4 || p[0] != 0x81) return VPI_CORRUPT(err, "av1C: too short or not version 1");
    unsigned profile = p[1] >> 5, level = p[1] & 31u, depth = 8;
    if (profile > 2) return VPI_CORRUPT(err, "av1C: profile %u", profile);
    if (p[2] & 0x40) depth = profile == 2 && p[2] & 0x20 ? 12 : 10;
    VPI_TRY(vpi_av1_colour_parse(p + 4, size - 4, &colour, err));
    if (!colour.found) { /* only the record's own fields are known */
        colour.mono = p[2] & 0x10;
        colour.subsampling_x = p[2] & 8;
        colour.subsampling_y = p[2] & 4;
        colour.sample_position = p[2] & 3;
        colour.primaries = colour.transfer = colour.matrix = 2;
    }
    int at =
        snprintf(out, VPI_CODECS_SIZE, "av01.%u.%02u%c.%02u", profile, level, p[2] & 0x80 ? 'H' : 'M', depth);
    /* The short form says: colour, 4:2:0, limited range (the defaults of the optional fields). */
    bool plain = !colour.mono && colour.subsampling_x && colour.subsampling_y && !colour.full_range;
    if (colour.described || !plain) {
        unsigned position = colour.subsampling_x && colour.subsampling_y ? colour.sample_position : 0;
        snprintf(out + at, VPI_CODECS_SIZE - (size_t)at, ".%u.%u%u%u.%02u.%02u.%02u.%u", colour.mono,
                 colour.subsampling_x, colour.subsampling_y, position, colour.primaries, colour.transfer,
                 colour.matrix, colour.full_range);
    }
    return VP_OK;
}

/* VP codec ISO media file format binding; the fields left out of the short form mean 4:2:0, BT.709, limited. */
vp_status vpi_codecs_vp9(const void *vpcc, size_t size, char out[VPI_CODECS_SIZE], vp_error *err)
{
    const uint8_t *p = vpcc;
    out[0] = 0;
    if (size < 8) return VPI_CORRUPT(err, "vpcC: %zu bytes", size);
    unsigned depth = p[2] >> 4, chroma = p[2] >> 1 & 7u, full = p[2] & 1u;
    if (p[0] > 3 || p[1] > 99 || (depth != 8 && depth != 10 && depth != 12)) {
        return VPI_CORRUPT(err, "vpcC: profile %u, level %u, %u bits", p[0], p[1], depth);
    }
    int at = snprintf(out, VPI_CODECS_SIZE, "vp09.%02u.%02u.%02u", p[0], p[1], depth);
    bool plain = chroma <= 1 && !full;
    for (unsigned i = 3; i < 6; i++) plain = plain && (p[i] == 1 || p[i] == 2);
    if (!plain) {
        snprintf(out + at, VPI_CODECS_SIZE - (size_t)at, ".%02u.%02u.%02u.%02u.%02u", chroma, p[3], p[4],
                 p[5], full);
    }
    return VP_OK;
}

vp_status vpi_codecs_aac(const void *asc, size_t size, char out[VPI_CODECS_SIZE], vp_error *err)
{
    vpi_asc config;
    out[0] = 0;
    VPI_TRY(vpi_asc_parse(asc, size, &config, err));
    /* The same whichever way SBR and PS are signalled: a player asks what it has to decode. */
    snprintf(out, VPI_CODECS_SIZE, "mp4a.40.%u", config.ps ? 29u : config.sbr ? 5u : config.object_type);
    return VP_OK;
}
