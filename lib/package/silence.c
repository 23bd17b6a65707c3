/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A frame of digital silence in AAC-LC (ISO/IEC 14496-3 4.4.2). */
#include "package/package_int.h"

typedef struct bits {
    uint8_t *to;
    size_t count;
} bits;

static void put(bits *b, unsigned width, unsigned value)
{
    for (; width > 0; width--, b->count++) {
        if (b->count % 8 == 0) b->to[b->count / 8] = 0;
        if (value >> (width - 1) & 1) b->to[b->count / 8] |= (uint8_t)(0x80u >> b->count % 8);
    }
}

enum { SCE = 0, CPE = 1, LFE = 3, END = 7 };

static void ics_info(bits *b)
{
    put(b, 1, 0); /* reserved */
    put(b, 2, 0); /* ONLY_LONG_SEQUENCE */
    put(b, 1, 0); /* window shape */
    put(b, 6, 0); /* max_sfb: no band, so no section, scale factor or spectral data follows */
    put(b, 1, 0); /* no prediction */
}

/* Gain (any), then no pulse, TNS or gain control. */
static void channel(bits *b, bool own_info)
{
    put(b, 8, 100);
    if (own_info) ics_info(b);
    put(b, 3, 0);
}

static void element(bits *b, unsigned id, unsigned tag)
{
    put(b, 3, id);
    put(b, 4, tag);
    if (id == CPE) {
        put(b, 1, 1); /* common window */
        ics_info(b);
        put(b, 2, 0); /* no M/S */
        channel(b, false);
    }
    channel(b, id != CPE);
}

bool vpi_aac_silence(unsigned channel_config, uint8_t frame[VPI_AAC_SILENCE_MAX], size_t *size)
{
    /* single, pairs, single at the back, LFE (14496-3 table 1.19) */
    static const uint8_t table[8][4] = { { 0 },          { 1 },          { 0, 1 },       { 1, 1 },
                                         { 1, 1, 1, 0 }, { 1, 2, 0, 0 }, { 1, 2, 0, 1 }, { 1, 3, 0, 1 } };
    bits b = { frame, 0 };
    unsigned single = 0;

    *size = 0;
    if (channel_config < 1 || channel_config > 7) return false;
    const uint8_t *t = table[channel_config];
    for (unsigned i = 0; i < t[0]; i++) element(&b, SCE, single++);
    for (unsigned i = 0; i < t[1]; i++) element(&b, CPE, i);
    for (unsigned i = 0; i < t[2]; i++) element(&b, SCE, single++);
    for (unsigned i = 0; i < t[3]; i++) element(&b, LFE, 0);
    put(&b, 3, END);
    *size = (b.count + 7) / 8;
    return true;
}
