/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef EXAMPLES_ELEMENTARY_H
#define EXAMPLES_ELEMENTARY_H

/* Just enough of Annex B and ADTS for push_packager.c: what a real host gets from its encoder. */

#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct file {
    uint8_t data[16 << 20];
    size_t size;
} file;

static void load(file *f, const char *path)
{
    FILE *in = fopen(path, "rb");
    if (in) f->size = fread(f->data, 1, sizeof(f->data), in);
    if (in) fclose(in);
}

/* The next NAL unit at or after *at; its size, 0 at the end. */
static size_t next_nal(const file *f, size_t *at)
{
    size_t i = *at, end;
    while (i + 3 < f->size && memcmp(f->data + i, "\0\0\1", 3)) i++;
    if (i + 3 >= f->size) return 0;
    *at = i += 3;
    for (end = i; end + 3 <= f->size && memcmp(f->data + end, "\0\0\1", 3); end++) {}
    if (end + 3 > f->size) end = f->size;
    while (end > i && !f->data[end - 1]) end--; /* zeros before the next start code */
    return end - i;
}

static size_t put_nal(uint8_t *to, const uint8_t *nal, size_t size, int length_bytes)
{
    for (int i = 0; i < length_bytes; i++) to[i] = (uint8_t)(size >> 8 * (length_bytes - 1 - i));
    memcpy(to + length_bytes, nal, size);
    return size + (size_t)length_bytes;
}

/* AVCDecoderConfigurationRecord (ISO/IEC 14496-15 5.3.3) from the first SPS and PPS. */
static uint32_t make_avcc(const file *f, uint8_t *to)
{
    uint8_t *p = to + 5, *at_sps = NULL;
    size_t at = 0, n;
    for (; (n = next_nal(f, &at)) && p < to + 1024; at += n) {
        int type = f->data[at] & 31;
        if (n < 4 || n > 512) continue;
        if ((type == 7 && !at_sps) || (type == 8 && at_sps)) {
            *p++ = type == 7 ? 0xe1 : 1;
            p += put_nal(p, f->data + at, n, 2);
        }
        if (type == 7 && !at_sps) at_sps = p - n;
        if (type == 8 && at_sps) break;
    }
    if (!at_sps) return 0;
    to[0] = 1;
    memcpy(to + 1, at_sps + 1, 3); /* profile, constraints, level */
    to[4] = 0xff;                  /* lengths of four bytes */
    if (at_sps[1] >= 100) {
        memcpy(p, "\xfd\xf8\xf8", 4); /* 4:2:0, 8 bit, no SPS extension */
        p += 4;
    }
    return (uint32_t)(p - to);
}

/* The AudioSpecificConfig (ISO/IEC 14496-3 1.6.2.1) that an ADTS header stands for; the sample rate, 0: no header. */
static uint32_t make_asc(const file *f, uint8_t asc[2])
{
    static const uint32_t rates[16] = { 96000, 88200, 64000, 48000, 44100, 32000, 24000,
                                        22050, 16000, 12000, 11025, 8000,  7350 };
    const uint8_t *p = f->data;
    if (f->size < 7 || p[0] != 0xff || (p[1] & 0xf6) != 0xf0) return 0;
    asc[0] = (uint8_t)(((p[2] >> 6) + 1) << 3 | (p[2] >> 3 & 7));
    asc[1] = (uint8_t)((p[2] >> 2 & 1) << 7 | (p[2] & 1) << 5 | (p[3] >> 6) << 3);
    return rates[p[2] >> 2 & 15];
}

/* The raw frame behind the ADTS header at *at (ISO/IEC 13818-7 6.2), which moves on; NULL at the end. */
static const uint8_t *next_adts(const file *f, size_t *at, size_t *size)
{
    const uint8_t *p = f->data + *at;
    if (*at + 7 > f->size || p[0] != 0xff) return NULL;
    size_t header = p[1] & 1 ? 7 : 9, whole = (size_t)(p[3] & 3) << 11 | (size_t)p[4] << 3 | p[5] >> 5;
    if (whole <= header || whole > f->size - *at) return NULL;
    *at += whole;
    *size = whole - header;
    return p + header;
}

#endif
