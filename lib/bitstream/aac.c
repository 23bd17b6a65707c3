/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1) and ADTS (1.A.2). */
#include "bitstream/bits_int.h"

enum {
    AOT_LC = 2,
    AOT_SBR = 5,
    AOT_ER_LD = 23,
    AOT_PS = 29,
    AOT_ESCAPE = 31,
    AOT_ER_ELD = 39,
    AOT_USAC = 42
};

/* Table 1.18 */
static const uint32_t rates[13] = { 96000, 88200, 64000, 48000, 44100, 32000, 24000,
                                    22050, 16000, 12000, 11025, 8000,  7350 };
/* Table 1.19; 0: reserved, or told by a program config element */
static const uint8_t channel_counts[16] = { 0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8, 0 };

enum { ID_PCE = 5, SYNC_SBR = 0x2b7, SYNC_PS = 0x548 }; /* syntactic element; syncExtensionType */

#define ADTS_HEADER 7u
#define ADTS_MAX_FRAME 8191u

static int rate_index(uint32_t rate)
{
    for (size_t i = 0; i < VPI_COUNT(rates); i++) {
        if (rates[i] == rate) return (int)i;
    }
    return -1;
}

static uint32_t read_object_type(vpi_bits *b)
{
    uint32_t type = vpi_bits_read(b, 5);
    return type == AOT_ESCAPE ? 32 + vpi_bits_read(b, 6) : type;
}

/* 0 for the reserved indices. */
static uint32_t read_rate(vpi_bits *b)
{
    uint32_t index = vpi_bits_read(b, 4);
    if (index == 15) return vpi_bits_read(b, 24);
    return index < VPI_COUNT(rates) ? rates[index] : 0;
}

static bool is_general_audio(uint32_t type)
{
    /* table 1.15, the rows that end in GASpecificConfig */
    return (type >= 1 && type <= 4) || type == 6 || type == 7 || type == 17 || (type >= 19 && type <= 23);
}

static bool is_error_resilient(uint32_t type)
{
    return type == 17 || (type >= 19 && type <= 27) || type == AOT_ER_ELD;
}

/* program_config_element (4.4.1.1) to its byte_alignment(); returns the channels. */
static unsigned read_elements(vpi_bits *b)
{
    vpi_bits_skip(b, 4 + 2 + 4);
    unsigned elements = 0, channels = 0;
    for (unsigned i = 0; i < 3; i++) elements += vpi_bits_read(b, 4); /* front, side, back */
    unsigned lfe = vpi_bits_read(b, 2), data = vpi_bits_read(b, 3), coupling = vpi_bits_read(b, 4);
    if (vpi_bits_read(b, 1)) vpi_bits_skip(b, 4);
    if (vpi_bits_read(b, 1)) vpi_bits_skip(b, 4);
    if (vpi_bits_read(b, 1)) vpi_bits_skip(b, 3);
    for (unsigned i = 0; i < elements; i++) {
        channels += 1 + vpi_bits_read(b, 1);
        vpi_bits_skip(b, 4);
    }
    vpi_bits_skip(b, lfe * 4u + data * 4u + coupling * 5u);
    return channels + lfe;
}

/* The whole element; 0 when it is broken. */
static unsigned read_program_config(vpi_bits *b)
{
    unsigned channels = read_elements(b);
    vpi_bits_skip(b, (8 - b->position % 8) % 8);
    vpi_bits_skip(b, vpi_bits_read(b, 8) * 8u);
    return b->failed ? 0 : channels;
}

/* GASpecificConfig, 4.4.1 */
static void parse_general_audio(vpi_bits *b, uint32_t type, vpi_asc *out)
{
    bool short_frame = vpi_bits_read(b, 1);
    if (type == AOT_ER_LD) {
        out->frame_samples = short_frame ? 480 : 512;
    } else {
        out->frame_samples = short_frame ? 960 : 1024;
    }
    if (vpi_bits_read(b, 1)) vpi_bits_skip(b, 14); /* coreCoderDelay */
    bool extension = vpi_bits_read(b, 1);
    if (b->failed) return;
    if (out->channel_config == 0) {
        out->channels = (uint8_t)read_program_config(b);
        /* A broken element leaves the channels unknown; nothing behind it can be found. */
        if (b->failed) {
            b->failed = false;
            return;
        }
    }
    if (type == 6 || type == 20) vpi_bits_skip(b, 3);
    if (!extension) return;
    if (type == 22) vpi_bits_skip(b, 16);
    if (type == 17 || type == 19 || type == 20 || type == 23) vpi_bits_skip(b, 3);
    vpi_bits_skip(b, 1); /* extensionFlag3 */
}

/* The start of UsacConfig (ISO/IEC 23003-3 5.2): only the frame length is needed. */
static void parse_usac(vpi_bits *b, vpi_asc *out)
{
    static const uint16_t lengths[8] = { 768, 1024, 2048, 2048, 4096, 0, 0, 0 };
    if (vpi_bits_read(b, 5) == 31) vpi_bits_skip(b, 24);
    out->frame_samples = lengths[vpi_bits_read(b, 3)];
}

/* Signalling that older decoders do not see (1.6.5.2, table 1.15: syncExtensionType). */
static void parse_sync_extension(vpi_bits *b, vpi_asc *out)
{
    if (out->sbr || vpi_bits_left(b) < 16 || vpi_bits_read(b, 11) != SYNC_SBR) return;
    if (read_object_type(b) != AOT_SBR || !vpi_bits_read(b, 1)) return;
    uint32_t rate = read_rate(b);
    if (b->failed || rate == 0) return;
    out->sbr = true;
    out->ext_sample_rate = rate;
    if (vpi_bits_left(b) >= 12 && vpi_bits_read(b, 11) == SYNC_PS) out->ps = vpi_bits_read(b, 1);
}

vp_status vpi_asc_parse(const void *data, size_t size, vpi_asc *out, vp_error *err)
{
    vpi_bits b;
    memset(out, 0, sizeof(*out));
    vpi_bits_init(&b, data, size);
    uint32_t type = read_object_type(&b);
    out->object_type = (uint8_t)type;
    out->sample_rate = read_rate(&b);
    out->channel_config = (uint8_t)vpi_bits_read(&b, 4);
    if (type == AOT_SBR || type == AOT_PS) {
        out->sbr = true;
        out->ps = type == AOT_PS;
        out->ext_sample_rate = read_rate(&b);
        type = read_object_type(&b);
        if (type == 22) vpi_bits_skip(&b, 4);
        if (out->ext_sample_rate == 0 && !b.failed)
            return VPI_CORRUPT(err, "AAC config: extension sample rate");
    }
    out->core_object_type = (uint8_t)type;
    if (b.failed) return VPI_CORRUPT(err, "AAC config: truncated");
    if (type == 0 || out->sample_rate == 0) {
        return VPI_CORRUPT(err, "AAC config: object type %u, rate %u", type, out->sample_rate);
    }
    out->channels = channel_counts[out->channel_config];
    if (is_general_audio(type)) {
        parse_general_audio(&b, type, out);
    } else if (type == AOT_USAC) {
        parse_usac(&b, out);
    } else if (type == AOT_ER_ELD) {
        out->frame_samples = vpi_bits_read(&b, 1) ? 480 : 512;
    }
    if (b.failed) return VPI_CORRUPT(err, "AAC config: truncated");
    if (is_general_audio(type) && !(out->channel_config == 0 && out->channels == 0)) {
        if (is_error_resilient(type)) vpi_bits_skip(&b, 2); /* epConfig */
        if (b.failed) return VPI_CORRUPT(err, "AAC config: truncated");
        parse_sync_extension(&b, out);
    }
    return VP_OK;
}

bool vpi_asc_write_lc(uint32_t sample_rate, unsigned channels, uint8_t out[2])
{
    int index = rate_index(sample_rate);
    unsigned config = channels == 8 ? 7 : channels;
    if (index < 0 || channels < 1 || channels > 8 || channels == 7) return false;
    unsigned bits = (unsigned)AOT_LC << 11 | (unsigned)index << 7 | config << 3;
    out[0] = (uint8_t)(bits >> 8);
    out[1] = (uint8_t)bits;
    return true;
}

/* ---- writing ---- */

typedef struct writer {
    uint8_t *to;
    size_t bits, capacity; /* in bits and bytes */
    bool full;
} writer;

static void put(writer *w, unsigned count, uint32_t value)
{
    for (; count > 0; count--, w->bits++) {
        if (w->bits / 8 >= w->capacity) {
            w->full = true;
            return;
        }
        if (w->bits % 8 == 0) w->to[w->bits / 8] = 0;
        if (value >> (count - 1) & 1) w->to[w->bits / 8] |= (uint8_t)(0x80u >> w->bits % 8);
    }
}

bool vpi_asc_write_sbr(const vpi_asc *core, bool ps, uint8_t out[7], size_t *size)
{
    int index = rate_index(core->sample_rate), heard = rate_index(core->sample_rate * 2);
    writer w = { .to = out, .capacity = 7 };
    if (index < 0 || heard < 0 || core->channel_config == 0 || core->frame_samples != 1024) return false;
    put(&w, 5, AOT_LC);
    put(&w, 4, (uint32_t)index);
    put(&w, 4, core->channel_config);
    put(&w, 3, 0);
    put(&w, 11, SYNC_SBR);
    put(&w, 5, AOT_SBR);
    put(&w, 1, 1);
    put(&w, 4, (uint32_t)heard);
    if (ps) {
        put(&w, 11, SYNC_PS);
        put(&w, 1, 1);
    }
    *size = (w.bits + 7) / 8;
    return true;
}

/* The element that begins a raw_data_block (4.4.2.1), aligned as in a config. False: there is none that fits. */
static bool copy_element(const uint8_t *block, size_t size, writer *w)
{
    vpi_bits b;
    vpi_bits_init(&b, block, size);
    if (vpi_bits_read(&b, 3) != ID_PCE) return false;
    vpi_bits end = b;
    read_elements(&end);
    while (b.position < end.position && !b.failed) put(w, 1, vpi_bits_read(&b, 1));
    vpi_bits_skip(&b, (8 - b.position % 8) % 8);
    put(w, (unsigned)((8 - w->bits % 8) % 8), 0);
    uint32_t comment = vpi_bits_read(&b, 8);
    put(w, 8, comment);
    for (; comment > 0; comment--) put(w, 8, vpi_bits_read(&b, 8));
    return !b.failed && !w->full;
}

size_t vpi_adts_config(const uint8_t *data, size_t size, uint8_t out[VPI_ASC_MAX])
{
    writer w = { .to = out, .capacity = VPI_ASC_MAX };
    size_t header, frame;
    vpi_asc asc;
    if (vpi_adts_parse(data, size, &asc, &header, &frame, NULL) != VP_OK || asc.object_type != AOT_LC)
        return 0;
    put(&w, 5, AOT_LC);
    put(&w, 4, (uint32_t)rate_index(asc.sample_rate));
    put(&w, 4, asc.channel_config);
    put(&w, 3, 0);
    if (asc.channel_config == 0 && (frame > size || !copy_element(data + header, frame - header, &w)))
        return 0;
    return (w.bits + 7) / 8;
}

bool vpi_adts_write(const vpi_asc *asc, size_t payload, uint8_t out[7])
{
    int index = rate_index(asc->sample_rate);
    if (index < 0 || asc->core_object_type < 1 || asc->core_object_type > 4 || asc->channel_config < 1 ||
        asc->channel_config > 7 || asc->frame_samples != 1024 || payload > ADTS_MAX_FRAME - ADTS_HEADER) {
        return false;
    }
    unsigned frame = (unsigned)payload + ADTS_HEADER;
    out[0] = 0xff;
    out[1] = 0xf1; /* MPEG-4, layer 0, no CRC */
    out[2] = (uint8_t)((asc->core_object_type - 1u) << 6 | (unsigned)index << 2 | asc->channel_config >> 2);
    out[3] = (uint8_t)((asc->channel_config & 3u) << 6 | frame >> 11);
    out[4] = (uint8_t)(frame >> 3);
    out[5] = (uint8_t)((frame & 7u) << 5 | 0x1f); /* buffer fullness 0x7ff: variable rate */
    out[6] = 0xfc;
    return true;
}

vp_status vpi_adts_parse(const void *data, size_t size, vpi_asc *out, size_t *header, size_t *frame,
                         vp_error *err)
{
    const uint8_t *p = data;
    memset(out, 0, sizeof(*out));
    *header = *frame = 0;
    if (size < ADTS_HEADER || p[0] != 0xff || (p[1] & 0xf6) != 0xf0)
        return VPI_CORRUPT(err, "not an ADTS header");
    unsigned index = p[2] >> 2 & 15u, config = (p[2] & 1u) << 2 | p[3] >> 6;
    size_t head = p[1] & 1 ? ADTS_HEADER : ADTS_HEADER + 2;
    size_t whole = (p[3] & 3u) << 11 | (unsigned)p[4] << 3 | p[5] >> 5;
    if (index >= VPI_COUNT(rates) || whole < head) return VPI_CORRUPT(err, "ADTS: broken header");
    if (p[6] & 3) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "ADTS: several blocks in a frame");
    }
    out->object_type = out->core_object_type = (uint8_t)((p[2] >> 6) + 1);
    out->sample_rate = rates[index];
    out->channel_config = (uint8_t)config;
    out->channels = channel_counts[config];
    out->frame_samples = 1024;
    *header = head;
    *frame = whole;
    return VP_OK;
}
