/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_PACKAGE_TS_CHECK_H
#define VPT_PACKAGE_TS_CHECK_H

/* A strict reader of our transport streams; any breach fails the test. */

#include "clip.h"

typedef struct ts_pes {
    int64_t pts, dts; /* 90 kHz, unwrapped along the stream */
    uint8_t *data;    /* after the PES header */
    size_t size, cap;
    bool random_access;
} ts_pes;

typedef struct ts_stream {
    ts_pes *video, *audio;
    size_t video_count, video_cap, audio_count, audio_cap;
    size_t clocks, clock_packets, tables;
    int64_t longest_gap;  /* between clock references, 90 kHz */
    int64_t longest_lead; /* from clock to decode time */
    char language[4];
} ts_stream;

/* Times unwrap near `near` (90 kHz). */
void ts_read(const uint8_t *data, size_t size, int64_t near, ts_stream *out);
void ts_dispose(ts_stream *s);

#endif
