/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sync frame headers of AC-3 and E-AC-3 (ETSI TS 102 366 4.4 and annex E). */
#include "base/buf.h"
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

/* E.1.3.1: from infomdate to addbsi, where object audio tells of itself (ETSI TS 103 420 8.3). */
static void read_information(vpi_bits *b, unsigned stream_type, unsigned blocks, vpi_ac3 *out)
{
    if (vpi_bits_read(b, 1)) {
        out->bsmod = (uint8_t)vpi_bits_read(b, 3);
        vpi_bits_skip(b, 2);
        if (out->acmod == 2) vpi_bits_skip(b, 4);
        if (out->acmod >= 6) vpi_bits_skip(b, 2);
        for (unsigned i = 0; i < (out->acmod == 0 ? 2u : 1u); i++)
            if (vpi_bits_read(b, 1)) vpi_bits_skip(b, 8);
        if (out->fscod < 3) vpi_bits_skip(b, 1);
    }
    if (stream_type == 0 && blocks != 6) vpi_bits_skip(b, 1);
    if (stream_type == 2 && (blocks == 6 || vpi_bits_read(b, 1))) vpi_bits_skip(b, 6);
    if (!vpi_bits_read(b, 1) || vpi_bits_read(b, 6) < 1) return;
    vpi_bits_skip(b, 7);
    bool joc = vpi_bits_read(b, 1); /* flag_ec3_extension_type_a */
    uint32_t complexity = vpi_bits_read(b, 8);
    if (joc && !b->failed) out->joc = (uint8_t)complexity;
}

static vp_status parse_eac3(vpi_bits *b, vpi_ac3 *out, vp_error *err)
{
    unsigned stream_type = vpi_bits_read(b, 2);
    out->stream_type = (uint8_t)stream_type;
    out->substream = (uint8_t)vpi_bits_read(b, 3);
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
    if (stream_type == 1 && vpi_bits_read(b, 1)) out->channel_map = (uint16_t)vpi_bits_read(b, 16);
    if (vpi_bits_read(b, 1)) skip_mixing(b, out, stream_type, blocks);
    read_information(b, stream_type, blocks, out);
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

/* ---- configurations (annex F) ---- */

#define FRAMES_MAX 64u /* 8 substreams of 6 frames and more */

/* The frame at *at, whole. */
static vp_status next_frame(const uint8_t *data, size_t size, size_t *at, vpi_ac3 *out, vp_error *err)
{
    VPI_TRY(vpi_ac3_parse(data + *at, size - *at, out, err));
    if (out->frame_bytes > size - *at) return VPI_CORRUPT(err, "AC-3: a cut frame");
    *at += out->frame_bytes;
    return VP_OK;
}

/* Does the frame belong to the first programme's own substream, which tells the time? */
static bool is_first(const vpi_ac3 *a)
{
    return !a->eac3 || (a->stream_type != 1 && a->substream == 0);
}

uint32_t vpi_ac3_samples(const uint8_t *data, size_t size)
{
    uint32_t samples = 0;
    size_t at = 0;
    for (unsigned n = 0; at < size; n++) {
        vpi_ac3 a;
        if (n >= FRAMES_MAX || next_frame(data, size, &at, &a, NULL) != VP_OK) return 0;
        if (is_first(&a)) samples += a.samples;
    }
    return samples;
}

vp_status vpi_dac3_write(const uint8_t *data, size_t size, vpi_buf *out, vp_error *err)
{
    uint8_t config[5];
    vpi_ac3 a;
    VPI_TRY(vpi_ac3_parse(data, size, &a, err));
    if (a.eac3 || a.bsid > 8) return VPI_CORRUPT(err, "AC-3: bsid %u", (unsigned)a.bsid);
    vpi_buf_add(out, config, vpi_ac3_config(&a, config));
    return VP_OK;
}

typedef struct programme {
    vpi_ac3 frame; /* the first of its independent substream */
    bool found;
    unsigned dependents;
    uint16_t locations; /* chan_loc: bit 0 Lc/Rc to bit 8 LFE2 */
} programme;

/* Table E.1.4 to chan_loc, which lists the same pairs from its lowest bit on: Lc/Rc to Cvh, then LFE2. */
static uint16_t locations_of(const vpi_ac3 *a)
{
    uint16_t out = 0;
    for (unsigned i = 0; i < 8; i++) out |= (uint16_t)((a->channel_map >> (10 - i) & 1u) << i);
    return (uint16_t)(out | (a->channel_map >> 1 & 1u) << 8);
}

static void put_programme(const programme *p, uint64_t *bits, unsigned *count)
{
    const vpi_ac3 *a = &p->frame;
    /* fscod 2, bsid 5, reserved 1, asvc 1, bsmod 3, acmod 3, lfeon 1, reserved 3, num_dep_sub 4 */
    *bits = (uint64_t)a->fscod << 21 | (uint64_t)a->bsid << 16 | (uint64_t)a->bsmod << 11 |
            (uint64_t)a->acmod << 8 | (uint64_t)(a->lfe & 1) << 7 | p->dependents;
    *count = p->dependents ? 32 : 24;
    *bits = p->dependents ? *bits << 9 | p->locations : *bits << 1;
}

vp_status vpi_dec3_write(const uint8_t *data, size_t size, vpi_buf *out, vp_error *err)
{
    programme all[8] = { { .found = false } };
    uint64_t bytes = 0, samples = 0, rate;
    size_t at = 0;
    unsigned last = 0, count = 0;
    for (unsigned n = 0; at < size; n++) {
        vpi_ac3 a;
        if (n >= FRAMES_MAX) return VPI_CORRUPT(err, "E-AC-3: more than %u frames", FRAMES_MAX);
        VPI_TRY(next_frame(data, size, &at, &a, err));
        if (!a.eac3) return VPI_CORRUPT(err, "an AC-3 frame within E-AC-3");
        bytes += a.frame_bytes;
        if (is_first(&a)) samples += a.samples;
        if (a.stream_type == 1) {
            programme *p = &all[last];
            if (!p->found) return VPI_CORRUPT(err, "E-AC-3: a dependent substream first");
            p->dependents = VPI_MAX(p->dependents, a.substream + 1u);
            p->locations |= locations_of(&a);
            continue;
        }
        last = a.substream;
        if (!all[last].found) all[last].frame = a;
        all[last].found = true;
    }
    if (!all[0].found || !samples) return VPI_CORRUPT(err, "E-AC-3: no substream 0");
    while (count < 8 && all[count].found) count++;
    rate = bytes * 8 * all[0].frame.sample_rate / samples / 1000;
    vpi_buf_be16(out, (unsigned)VPI_MIN(rate, (uint64_t)0x1FFF) << 3 | (count - 1));
    for (unsigned i = 0; i < count; i++) {
        uint64_t bits;
        unsigned n;
        put_programme(&all[i], &bits, &n);
        for (; n; n -= 8) vpi_buf_u8(out, (unsigned)(bits >> (n - 8)) & 0xFFu);
    }
    if (all[0].frame.joc) vpi_buf_be16(out, 0x100u | all[0].frame.joc); /* ETSI TS 103 420 C.3 */
    return VP_OK;
}

vp_status vpi_dac3_parse(const void *data, size_t size, vpi_sound *out, vp_error *err)
{
    vpi_bits b;
    memset(out, 0, sizeof(*out));
    vpi_bits_init(&b, data, size);
    uint32_t fscod = vpi_bits_read(&b, 2);
    vpi_bits_skip(&b, 5 + 3);
    uint32_t acmod = vpi_bits_read(&b, 3), lfe = vpi_bits_read(&b, 1), code = vpi_bits_read(&b, 5);
    if (b.failed || fscod == 3) return VPI_CORRUPT(err, "broken dac3");
    *out = (vpi_sound){ .sample_rate = ac3_rates[fscod],
                        .channels = ac3_channels[acmod] + lfe,
                        .frame_samples = 1536,
                        .acmod = (uint8_t)acmod,
                        .lfe = (uint8_t)lfe,
                        .substreams = 1,
                        .bit_rate = code < VPI_COUNT(ac3_kbps) ? ac3_kbps[code] * 1000u : 0 };
    return VP_OK;
}

vp_status vpi_dec3_parse(const void *data, size_t size, vpi_sound *out, vp_error *err)
{
    vpi_bits b;
    memset(out, 0, sizeof(*out));
    vpi_bits_init(&b, data, size);
    out->bit_rate = vpi_bits_read(&b, 13) * 1000;
    uint32_t programmes = vpi_bits_read(&b, 3) + 1;
    uint32_t fscod = vpi_bits_read(&b, 2);
    vpi_bits_skip(&b, 5 + 1 + 1 + 3);
    uint32_t acmod = vpi_bits_read(&b, 3), lfe = vpi_bits_read(&b, 1);
    vpi_bits_skip(&b, 3);
    uint32_t dependents = vpi_bits_read(&b, 4), locations = dependents ? vpi_bits_read(&b, 9) : 0;
    if (b.failed) return VPI_CORRUPT(err, "broken dec3");
    out->channels = ac3_channels[acmod] + lfe;
    out->acmod = (uint8_t)acmod;
    out->lfe = (uint8_t)lfe;
    out->substreams = (uint8_t)(programmes + dependents);
    /* Lc/Rc, Lrs/Rrs, Lsd/Rsd, Lw/Rw, Lvh/Rvh are pairs */
    for (unsigned i = 0; i < 9; i++) {
        if (locations >> i & 1) out->channels += i == 0 || i == 1 || (i >= 4 && i <= 6) ? 2 : 1;
    }
    out->sample_rate = fscod < 3 ? ac3_rates[fscod] : 0; /* half rates: the frames tell */
    out->frame_samples = 1536;
    return VP_OK;
}
