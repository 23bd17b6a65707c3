/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Uncompressed headers and levels of VP9 (VP9 bitstream 6.2, 7.2, annex A). */
#include "bitstream/bits_int.h"

enum { CS_RGB = 7 };

/* 6.2.2 */
static void read_colour(vpi_bits *b, vpi_vp9 *out)
{
    out->bit_depth = 8;
    if (out->profile >= 2) out->bit_depth = vpi_bits_read(b, 1) ? 12 : 10;
    out->colour_space = (uint8_t)vpi_bits_read(b, 3);
    if (out->colour_space == CS_RGB) {
        out->full_range = true;
        if (out->profile & 1) vpi_bits_skip(b, 1);
        return;
    }
    out->full_range = vpi_bits_read(b, 1);
    out->subsampling_x = out->subsampling_y = true;
    if (out->profile & 1) {
        out->subsampling_x = vpi_bits_read(b, 1);
        out->subsampling_y = vpi_bits_read(b, 1);
        vpi_bits_skip(b, 1);
    }
}

vp_status vpi_vp9_parse(const uint8_t *data, size_t size, vpi_vp9 *out, vp_error *err)
{
    vpi_bits b;
    memset(out, 0, sizeof(*out));
    vpi_bits_init(&b, data, size);
    uint32_t marker = vpi_bits_read(&b, 2), low = vpi_bits_read(&b, 1), high = vpi_bits_read(&b, 1);
    out->profile = (uint8_t)(high << 1 | low);
    if (out->profile == 3) vpi_bits_skip(&b, 1);
    out->show_existing = vpi_bits_read(&b, 1);
    if (b.failed || marker != 2) return VPI_CORRUPT(err, "not a VP9 frame");
    if (out->show_existing) {
        out->show = true;
        return VP_OK;
    }
    out->key = !vpi_bits_read(&b, 1);
    out->show = vpi_bits_read(&b, 1);
    vpi_bits_skip(&b, 1);
    if (!out->key) return b.failed ? VPI_CORRUPT(err, "VP9: a cut header") : VP_OK;
    if (vpi_bits_read(&b, 24) != 0x498342) return VPI_CORRUPT(err, "VP9: a key frame without its sync code");
    read_colour(&b, out);
    out->width = vpi_bits_read(&b, 16) + 1;
    out->height = vpi_bits_read(&b, 16) + 1;
    return b.failed ? VPI_CORRUPT(err, "VP9: a cut header") : VP_OK;
}

bool vpi_vp9_shows(const uint8_t *data, size_t size)
{
    vpi_vp9 v;

    if (size && (data[size - 1] & 0xE0) == 0xC0) return true; /* superframes are made to hide one */
    return vpi_vp9_parse(data, size, &v, NULL) != VP_OK || v.show;
}

bool vpi_vp8_shows(const uint8_t *data, size_t size)
{
    return size < 3 || (data[0] & 0x10);
}

unsigned vpi_vp9_level(uint64_t pixels, vpi_rational rate)
{
    static const struct {
        uint64_t samples, pixels; /* luma samples a second, of a picture */
        unsigned level;
    } table[] = {
        { 829440, 36864, 10 },        { 2764800, 73728, 11 },       { 4608000, 122880, 20 },
        { 9216000, 245760, 21 },      { 20736000, 552960, 30 },     { 36864000, 983040, 31 },
        { 83558400, 2228224, 40 },    { 160432128, 2228224, 41 },   { 311951360, 8912896, 50 },
        { 588251136, 8912896, 51 },   { 1176502272, 8912896, 52 },  { 1176502272, 35651584, 60 },
        { 2353004544, 35651584, 61 }, { 4706009088, 35651584, 62 },
    };
    bool known = rate.num > 0 && rate.den > 0 && pixels <= UINT32_MAX;
    uint64_t samples = known ? (uint64_t)vpi_rescale((int64_t)pixels, rate.num, rate.den, VPI_CEIL) : 0;

    for (size_t i = 0; i < VPI_COUNT(table); i++) {
        if (pixels <= table[i].pixels && samples <= table[i].samples) return table[i].level;
    }
    return 62;
}
