/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Program tables of a transport stream (ISO/IEC 13818-1 2.4.4) and its clock. */

#include "package/package_int.h"

/* stream_type; that under SAMPLE-AES by Apple, "MPEG-2 Stream Encryption Format for HTTP Live Streaming", 3.0 */
enum { STREAM_H264 = 0x1B, STREAM_PROTECTED_H264 = 0xDB };

typedef struct audio_stream {
    uint8_t clear, protected;
    const char *format; /* format_identifier of a clear stream (ATSC A/52 A.4.1, G.3.2); NULL: needs none */
    const char *indicator; /* private_data_indicator of a protected one */
} audio_stream;

/* vpi_audio_form_of knows no other codecs. */
static const audio_stream *audio_stream_of(vpi_codec codec)
{
    static const audio_stream aac = { 0x0F, 0xCF, NULL, "aacd" };
    static const audio_stream ac3 = { 0x81, 0xC1, "AC-3", "ac3d" };
    static const audio_stream eac3 = { 0x87, 0xC2, "EAC3", "ec3d" };

    return codec == VPI_CODEC_AC3 ? &ac3 : codec == VPI_CODEC_EAC3 ? &eac3 : &aac;
}
/* ISO/IEC 13818-1 2.6.8, 2.6.18, 2.6.28 */
enum { DESCRIPTOR_REGISTRATION = 0x05, DESCRIPTOR_LANGUAGE = 0x0A, DESCRIPTOR_PRIVATE_DATA = 0x0F };
/* What a packet has room for with everything but an audio_setup_information. */
enum { SETUP_MAX = VPI_TS_PACKET - 5 - 12 - (5 + 6) - (5 + 6 + 6 + 6) - 4 };

static uint32_t crc32_mpeg(const uint8_t *data, size_t size)
{
    uint32_t crc = 0xFFFFFFFFu;

    for (size_t i = 0; i < size; i++) {
        crc ^= (uint32_t)data[i] << 24;
        for (int bit = 0; bit < 8; bit++) crc = (crc & 0x80000000u) ? (crc << 1) ^ 0x04C11DB7u : crc << 1;
    }
    return crc;
}

static uint8_t *put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
    return p + 2;
}

/* Packet header, pointer field, table id; returns the place of section_length. */
static uint8_t *begin_section(uint8_t packet[VPI_TS_PACKET], unsigned pid, unsigned counter, unsigned table)
{
    memset(packet, 0xFF, VPI_TS_PACKET);
    packet[0] = 0x47;
    put16(packet + 1, 0x4000u | pid);
    packet[3] = (uint8_t)(0x10u | (counter & 15u));
    packet[4] = 0;
    packet[5] = (uint8_t)table;
    return packet + 6;
}

static void end_section(uint8_t packet[VPI_TS_PACKET], uint8_t *end)
{
    uint8_t *section = packet + 5;
    uint32_t crc;

    put16(section + 1, 0xB000u | (unsigned)(end + 4 - (section + 3)));
    crc = crc32_mpeg(section, (size_t)(end - section));
    put16(end, crc >> 16);
    put16(end + 2, crc & 0xFFFFu);
}

void vpi_ts_pat(uint8_t packet[VPI_TS_PACKET], unsigned counter)
{
    uint8_t *p = begin_section(packet, 0, counter, 0) + 2;

    p = put16(p, 1); /* transport_stream_id */
    *p++ = 0xC1;     /* version 0, current */
    *p++ = 0;
    *p++ = 0;
    p = put16(p, 1); /* program_number */
    p = put16(p, 0xE000u | VPI_TS_PID_PMT);
    end_section(packet, p);
}

/* The start of a stream's entry; returns the place of its first descriptor. */
static uint8_t *begin_stream(uint8_t *p, unsigned type, unsigned pid)
{
    *p++ = (uint8_t)type;
    p = put16(p, 0xE000u | pid);
    return p + 2;
}

/* ES_info_length, which stands before the descriptors. */
static uint8_t *end_stream(uint8_t *descriptors, uint8_t *end)
{
    put16(descriptors - 2, 0xF000u | (unsigned)(end - descriptors));
    return end;
}

static uint8_t *put_descriptor(uint8_t *p, unsigned tag, const void *data, size_t size)
{
    *p++ = (uint8_t)tag;
    *p++ = (uint8_t)size;
    memcpy(p, data, size);
    return p + size;
}

static uint8_t *put_video(uint8_t *p, const vpi_ts_program *program)
{
    uint8_t *start;

    p = start = begin_stream(p, program->protect ? STREAM_PROTECTED_H264 : STREAM_H264, VPI_TS_PID_VIDEO);
    if (program->protect) p = put_descriptor(p, DESCRIPTOR_PRIVATE_DATA, "zavc", 4);
    return end_stream(start, p);
}

static uint8_t *put_audio(uint8_t *p, const vpi_ts_program *program)
{
    const char *language = program->language;
    const audio_stream *s = audio_stream_of(program->codec);
    uint8_t *start;
    char code[4] = ""; /* the byte after the letters is audio_type: undefined */

    p = start = begin_stream(p, program->protect ? s->protected : s->clear, VPI_TS_PID_AUDIO);
    vpi_language_iso639(language && language[0] ? language : "und", code);
    if (!vpi_streq(code, "und")) p = put_descriptor(p, DESCRIPTOR_LANGUAGE, code, 4);
    if (program->protect) {
        uint8_t registration[4 + SETUP_MAX] = "apad";

        memcpy(registration + 4, program->setup.data, program->setup.size);
        p = put_descriptor(p, DESCRIPTOR_PRIVATE_DATA, s->indicator, 4);
        p = put_descriptor(p, DESCRIPTOR_REGISTRATION, registration, 4 + program->setup.size);
    } else if (s->format) {
        p = put_descriptor(p, DESCRIPTOR_REGISTRATION, s->format, 4);
    }
    return end_stream(start, p);
}

vp_status vpi_ts_pmt(uint8_t packet[VPI_TS_PACKET], unsigned counter, const vpi_ts_program *program,
                     vp_error *err)
{
    uint8_t *p = begin_section(packet, VPI_TS_PID_PMT, counter, 2) + 2;

    if (program->setup.size > SETUP_MAX) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                        "audio setup of %zu bytes does not fit the tables of a transport stream",
                        program->setup.size);
    }
    p = put16(p, 1); /* program_number */
    /* Current. Clear and protected segments of a title have different tables, so these have version 0 and 1. */
    *p++ = program->protect ? 0xC3 : 0xC1;
    *p++ = 0;
    *p++ = 0;
    p = put16(p, 0xE000u | (program->video ? VPI_TS_PID_VIDEO : VPI_TS_PID_AUDIO)); /* PCR_PID */
    p = put16(p, 0xF000u);
    if (program->video) p = put_video(p, program);
    if (program->audio) p = put_audio(p, program);
    end_section(packet, p);
    return VP_OK;
}

int64_t vpi_ts_time(int64_t ticks, uint32_t timescale)
{
    return VPI_TS_BASE + vpi_rescale(ticks, 90000, timescale, VPI_NEAREST);
}
