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
    unsigned audio_type;  /* of the stream */
    char language[4];
    uint8_t program[188]; /* the last PMT, from its table_id to the byte before its CRC */
    size_t program_size;
} ts_stream;

/* Whether the tables name a stream as under SAMPLE-AES. */
bool ts_protected(const ts_stream *s);
/* Times unwrap near `near` (90 kHz). */
void ts_read(const uint8_t *data, size_t size, int64_t near, ts_stream *out);
void ts_dispose(ts_stream *s);

/* ---- a protect step ---- */

extern size_t step_units; /* that it was given */
/*
 * Slices of more than 48 bytes come out twice as long and without any zero; of audio what lies behind 16 bytes is
 * changed.
 */
vp_status step_unit(void *user, vpi_codec codec, const uint8_t *data, size_t size, vpi_buf *out,
                    vp_error *err);
/* Has no key for video, and makes audio longer. */
vp_status step_failing(void *user, vpi_codec codec, const uint8_t *data, size_t size, vpi_buf *out,
                       vp_error *err);
vpi_protect step_protect(void);
void step_assert_nal(const vpi_nal *nal, const vpi_nal *want, bool protected);
void step_assert_frame(const uint8_t *frame, const vpi_sample *want, bool protected); /* without its header */

#endif
