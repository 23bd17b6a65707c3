/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sync frame headers of AC-3 and E-AC-3 (ETSI TS 102 366 4.4 and annex E). */
#include "bitstream/bits_int.h"

/* Table 4.13: kbit/s by frmsizecod / 2 */
static const uint16_t ac3_kbps[19] = { 32,  40,  48,  56,  64,  80,  96,  112, 128, 160,
                                       192, 224, 256, 320, 384, 448, 512, 576, 640 };
static const uint16_t ac3_rates[3] = { 48000, 44100, 32000 };
static const uint8_t ac3_channels[8] = { 2, 1, 2, 3, 3, 4, 4, 5 };
static const uint8_t eac3_blocks[4] = { 1, 2, 3, 6 };

static vp_status parse_ac3(vpi_bits *b, vpi_ac3 *out, vp_error *err)
{
    out->fscod = (uint8_t)vpi_bits_read(b, 2);
    unsigned code = vpi_bits_read(b, 6);
    vpi_bits_skip(b, 5);
    out->bsmod = (uint8_t)vpi_bits_read(b, 3);
    out->acmod = (uint8_t)vpi_bits_read(b, 3);
    if (out->fscod == 3 || code / 2 >= VPI_COUNT(ac3_kbps))
        return VPI_CORRUPT(err, "AC-3: rate or frame size code");
    if ((out->acmod & 1) && out->acmod != 1) vpi_bits_skip(b, 2);
    if (out->acmod & 4) vpi_bits_skip(b, 2);
    if (out->acmod == 2) vpi_bits_skip(b, 2);
    out->lfe = (uint8_t)vpi_bits_read(b, 1);
    uint32_t kbps = ac3_kbps[code / 2];
    out->bit_rate_code = (uint8_t)(code / 2);
    switch (out->fscod) {
    case 0:
        out->frame_bytes = kbps * 4;
        break;
    case 1:
        out->frame_bytes = (kbps * 320 / 147 + (code & 1)) * 2;
        break;
    default:
        out->frame_bytes = kbps * 6;
        break;
    }
    /* bsid 9 and 10: half and quarter rates, known from other encoders */
    unsigned shift = out->bsid > 8 ? out->bsid - 8u : 0;
    out->sample_rate = (uint32_t)ac3_rates[out->fscod] >> shift;
    out->bit_rate = kbps * 1000 >> shift;
    out->samples = 1536;
    return VP_OK;
}

/* E.1.3.1.9: mixing metadata, to find bsmod behind it. */
static void skip_mixing(vpi_bits *b, const vpi_ac3 *out, unsigned stream_type, unsigned blocks)
{
    unsigned acmod = out->acmod;
    if (acmod > 2) vpi_bits_skip(b, 2);
    if ((acmod & 1) && acmod > 2) vpi_bits_skip(b, 6);
    if (acmod & 4) vpi_bits_skip(b, 6);
    if (out->lfe && vpi_bits_read(b, 1)) vpi_bits_skip(b, 5);
    if (stream_type != 0) return;
    if (vpi_bits_read(b, 1)) vpi_bits_skip(b, 6);
    if (acmod == 0 && vpi_bits_read(b, 1)) vpi_bits_skip(b, 6);
    if (vpi_bits_read(b, 1)) vpi_bits_skip(b, 6);
    switch (vpi_bits_read(b, 2)) {
    case 1:
        vpi_bits_skip(b, 5);
        break;
    case 2:
        vpi_bits_skip(b, 12);
        break;
    case 3:
        vpi_bits_skip(b, (vpi_bits_read(b, 5) + 2u) * 8u);
        break;
    default:
        break;
    }
    if (acmod < 2) {
        if (vpi_bits_read(b, 1)) vpi_bits_skip(b, 14);
        if (acmod == 0 && vpi_bits_read(b, 1)) vpi_bits_skip(b, 14);
    }
    if (vpi_bits_read(b, 1)) {
        for (unsigned i = 0; i < blocks; i++) {
            if (blocks == 1 || vpi_bits_read(b, 1)) vpi_bits_skip(b, 5);
        }
    }
}

static vp_status parse_eac3(vpi_bits *b, vpi_ac3 *out, vp_error *err)
{
    unsigned stream_type = vpi_bits_read(b, 2);
    vpi_bits_skip(b, 3);
    out->frame_bytes = (vpi_bits_read(b, 11) + 1) * 2;
    out->fscod = (uint8_t)vpi_bits_read(b, 2);
    unsigned second = vpi_bits_read(b, 2), blocks = 6;
    if (stream_type == 3 || (out->fscod == 3 && second == 3))
        return VPI_CORRUPT(err, "E-AC-3: reserved code");
    if (out->fscod == 3) {
        out->sample_rate = ac3_rates[second] / 2u;
    } else {
        out->sample_rate = ac3_rates[out->fscod];
        blocks = eac3_blocks[second];
    }
    out->acmod = (uint8_t)vpi_bits_read(b, 3);
    out->lfe = (uint8_t)vpi_bits_read(b, 1);
    vpi_bits_skip(b, 5);
    out->samples = blocks * 256;
    out->bit_rate = (uint32_t)((uint64_t)out->frame_bytes * 8 * out->sample_rate / out->samples);
    for (unsigned i = 0; i < (out->acmod == 0 ? 2u : 1u); i++) {
        vpi_bits_skip(b, 5);
        if (vpi_bits_read(b, 1)) vpi_bits_skip(b, 8);
    }
    if (stream_type == 1 && vpi_bits_read(b, 1)) vpi_bits_skip(b, 16);
    if (vpi_bits_read(b, 1)) skip_mixing(b, out, stream_type, blocks);
    if (vpi_bits_read(b, 1)) out->bsmod = (uint8_t)vpi_bits_read(b, 3);
    if (b->failed) { /* what matters was in the first bytes; bsmod 0 is "complete main" */
        out->bsmod = 0;
        b->failed = false;
    }
    return VP_OK;
}

vp_status vpi_ac3_parse(const void *data, size_t size, vpi_ac3 *out, vp_error *err)
{
    const uint8_t *p = data;
    vpi_bits b;
    memset(out, 0, sizeof(*out));
    if (size < 7 || p[0] != 0x0b || p[1] != 0x77) return VPI_CORRUPT(err, "not an AC-3 frame");
    out->bsid = p[5] >> 3;
    vpi_bits_init(&b, data, size);
    if (out->bsid <= 10) {
        vpi_bits_skip(&b, 32);
        VPI_TRY(parse_ac3(&b, out, err));
    } else if (out->bsid <= 16) {
        out->eac3 = true;
        vpi_bits_skip(&b, 16);
        VPI_TRY(parse_eac3(&b, out, err));
    } else {
        return VPI_CORRUPT(err, "AC-3: bsid %u", (unsigned)out->bsid);
    }
    if (b.failed) return VPI_CORRUPT(err, "AC-3: truncated header");
    out->channels = (uint8_t)(ac3_channels[out->acmod] + out->lfe);
    return VP_OK;
}
