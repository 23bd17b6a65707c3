/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_VERIFY_TS_INT_H
#define VPI_VERIFY_TS_INT_H

/* Between the packets of a transport stream (ts.c) and the PES packets in them (ts_unit.c). */

#include "verify/verify_int.h"

#define VPI_PID_COUNT 8192
enum { VPI_TS_VIDEO, VPI_TS_AUDIO, VPI_TS_STREAMS };
/* Stream types of what is clear. */
enum {
    VPI_STREAM_H264 = 0x1B,
    VPI_STREAM_HEVC = 0x24,
    VPI_STREAM_ADTS = 0x0F,
    VPI_STREAM_AC3 = 0x81,
    VPI_STREAM_EAC3 = 0x87
};

typedef struct vpi_ts_stream {
    unsigned pid; /* 0: not in the PMT of this segment */
    uint8_t type; /* VPI_STREAM_*, as if it were clear */
    bool has_dts;
    int64_t last_dts; /* of the track, unwrapped 90 kHz */
    /* the PES packet that is being put together */
    bool open, random_access, tables_before, has_clock;
    uint64_t at;    /* of its first packet in the segment */
    uint64_t end;   /* behind its last packet */
    uint64_t clock; /* last PCR before its payload, 27 MHz unwrapped */
    vpi_buf data;
    uint64_t units; /* in the segment */
} vpi_ts_stream;

typedef struct vpi_ts_state {
    int8_t counters[VPI_PID_COUNT]; /* -1: not seen */
    bool has_clock;
    uint64_t clock;
    bool has_near;
    int64_t near; /* a time that was seen last, for unwrapping */
    vpi_ts_stream streams[VPI_TS_STREAMS];
    /* of the segment */
    bool has_pat, has_pmt;
    unsigned pmt_pid, clock_pid;
    uint64_t pat_at, pmt_at; /* packets */
    size_t fragment;         /* IDR pictures so far */
    bool has_pts;
    int64_t first_pts, last_pts, idr_pts;
} vpi_ts_state;

/* True while the segment can be read on. */
bool vpi_ts_unit_finish(vpi_verifier *v, vpi_media_state *s, vpi_ts_stream *stream);
/* Nearest value to `near` that equals value modulo 2^33. */
int64_t vpi_ts_unwrap(uint64_t value, bool has_near, int64_t near);
/* Time of ticks of the track in the stream: 90 kHz with the base. */
int64_t vpi_ts_due(const vpi_media_state *s, uint64_t ticks);

#endif
