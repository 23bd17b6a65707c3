/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Program tables of a transport stream (ISO/IEC 13818-1 2.4.4) and its clock. */

#include "package/package_int.h"

enum { STREAM_H264 = 0x1B, STREAM_ADTS = 0x0F, DESCRIPTOR_LANGUAGE = 0x0A };

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

void vpi_ts_pmt(uint8_t packet[VPI_TS_PACKET], unsigned counter, bool video, bool audio, const char *language)
{
    uint8_t *p = begin_section(packet, VPI_TS_PID_PMT, counter, 2) + 2;
    char code[4];

    p = put16(p, 1); /* program_number */
    *p++ = 0xC1;
    *p++ = 0;
    *p++ = 0;
    p = put16(p, 0xE000u | (video ? VPI_TS_PID_VIDEO : VPI_TS_PID_AUDIO)); /* PCR_PID */
    p = put16(p, 0xF000u);
    if (video) {
        *p++ = STREAM_H264;
        p = put16(p, 0xE000u | VPI_TS_PID_VIDEO);
        p = put16(p, 0xF000u);
    }
    if (audio) {
        vpi_language_iso639(language && language[0] ? language : "und", code);
        *p++ = STREAM_ADTS;
        p = put16(p, 0xE000u | VPI_TS_PID_AUDIO);
        if (vpi_streq(code, "und")) {
            p = put16(p, 0xF000u);
        } else {
            p = put16(p, 0xF000u | 6u);
            *p++ = DESCRIPTOR_LANGUAGE;
            *p++ = 4;
            memcpy(p, code, 3);
            p[3] = 0; /* audio_type: undefined */
            p += 4;
        }
    }
    end_section(packet, p);
}

int64_t vpi_ts_time(int64_t ticks, uint32_t timescale)
{
    return VPI_TS_BASE + vpi_rescale(ticks, 90000, timescale, VPI_NEAREST);
}
