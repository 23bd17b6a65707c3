/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opus and FLAC: decoder configurations of ISO media files, and how long a packet lasts. */
#include "bitstream/bits_int.h"

#define OPUS_RATE 48000u
#define OPUS_LONGEST 5760u /* 120 ms, the most that a packet may last (RFC 6716 3.2.5) */

vp_status vpi_dops_parse(const void *data, size_t size, vpi_sound *out, vp_error *err)
{
    const uint8_t *p = data;
    memset(out, 0, sizeof(*out));
    if (size < 11 || p[0] != 0 || p[1] == 0 || (p[10] && size < 13u + p[1]))
        return VPI_CORRUPT(err, "broken dOps");
    *out = (vpi_sound){ .sample_rate = OPUS_RATE,
                        .channels = p[1],
                        .frame_samples = 960,
                        .pre_skip = (uint32_t)p[2] << 8 | p[3],
                        .family = p[10] };
    return VP_OK;
}

/* RFC 6716 table 2: frame sizes by configuration, in samples at 48 kHz. */
static uint32_t opus_frame(unsigned configuration)
{
    static const uint16_t silk[4] = { 480, 960, 1920, 2880 };
    if (configuration < 12) return silk[configuration & 3];
    if (configuration < 16) return configuration & 1 ? 960 : 480;
    return 120u << (configuration & 3);
}

uint32_t vpi_opus_samples(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    uint32_t frames, samples = opus_frame(data[0] >> 3);
    switch (data[0] & 3) {
    case 0:
        frames = 1;
        break;
    case 3:
        if (size < 2) return 0;
        frames = data[1] & 63u;
        break;
    default:
        frames = 2;
        break;
    }
    samples *= frames;
    return samples <= OPUS_LONGEST ? samples : 0;
}

vp_status vpi_dfla_parse(const void *data, size_t size, vpi_sound *out, vp_error *err)
{
    const uint8_t *p = data;
    vpi_bits b;
    memset(out, 0, sizeof(*out));
    if (size < 4 + 34 || (p[0] & 0x7F) != 0 || p[1] || p[2] || p[3] != 34)
        return VPI_CORRUPT(err, "broken dfLa");
    vpi_bits_init(&b, p + 4, 34);
    vpi_bits_skip(&b, 16);
    out->frame_samples = vpi_bits_read(&b, 16); /* the largest block */
    vpi_bits_skip(&b, 24 + 24);
    out->sample_rate = vpi_bits_read(&b, 20);
    out->channels = vpi_bits_read(&b, 3) + 1;
    out->bits = vpi_bits_read(&b, 5) + 1;
    if (!out->sample_rate || out->frame_samples < 16) return VPI_CORRUPT(err, "broken dfLa");
    return VP_OK;
}

/* Bytes of the coded number (RFC 9639 9.1.5), like UTF-8 to 36 bits; 0: none. */
static unsigned coded_number(uint8_t first)
{
    unsigned ones = 0;
    while (ones < 8 && first & 0x80u >> ones) ones++;
    if (ones == 0) return 1;
    return ones >= 2 && ones <= 7 ? ones : 0;
}

uint32_t vpi_flac_samples(const uint8_t *data, size_t size)
{
    if (size < 6 || data[0] != 0xFF || (data[1] & 0xFE) != 0xF8) return 0;
    unsigned code = data[2] >> 4, number = coded_number(data[4]);
    if (code == 0 || number == 0) return 0;
    if (code == 1) return 192;
    if (code <= 5) return 576u << (code - 2);
    if (code >= 8) return 256u << (code - 8);
    size_t at = 4 + (size_t)number;
    if (size < at + (code == 6 ? 1 : 2)) return 0;
    return code == 6 ? data[at] + 1u : ((uint32_t)data[at] << 8 | data[at + 1]) + 1u;
}
