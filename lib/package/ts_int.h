/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_PACKAGE_TS_INT_H
#define VPI_PACKAGE_TS_INT_H

/* The plan of a transport stream segment: all that is known before the first packet is written. */

#include "package/package_int.h"

/* One PES packet: a picture, or some audio frames. */
typedef struct vpi_ts_unit {
    int64_t pts, dts;    /* 90 kHz, not cut to 33 bits */
    size_t first, count; /* samples */
    uint64_t bytes;      /* PES header and payload */
    size_t held;         /* where the payload begins in vpi_ts_plan.held */
    uint32_t head;       /* of it the PES header */
    uint32_t extra;      /* transport packets beyond those that the bytes need */
    bool fragment;       /* PAT and PMT come before it */
    bool pcr, random_access;
} vpi_ts_unit;

typedef struct vpi_ts_list {
    vpi_ts_unit *units;
    size_t count, cap;
    unsigned pid, stream_id;
} vpi_ts_list;

typedef struct vpi_ts_plan {
    const vpi_ts_in *in;
    const vpi_segment_in *main; /* video, or audio of an audio-only segment: it carries the clock */
    vpi_avcc avcc;
    vpi_audio_form form;
    vpi_ts_list video, audio;
    uint64_t *starts; /* of the main track's fragments, and the end */
    int64_t next_dts; /* first decode time of the segment that follows */
    /*
     * Protection changes the size of NAL units, and runs once for each: payloads are held for the segment, or only
     * measured.
     */
    const vpi_protect *protect; /* NULL: clear */
    bool counts;                /* nothing is written */
    bool holding;               /* pieces go to held */
    vpi_buf held, frame;
    /* pieces of one unit, made anew for each */
    struct iovec *pieces;
    size_t piece_count, piece_cap;
    uint8_t head[24];
    uint8_t headers[64][VPI_ADTS_HEADER];
} vpi_ts_plan;

enum { VPI_TS_AUDIO_FRAMES = 64 };
#define VPI_TS_PCR_LEAD 63000 /* 0.7 s from clock to decode time: room for an IDR picture under VBV */
#define VPI_TS_PCR_STEP 7200
#define VPI_TS_PCR_MAX 9000 /* 100 ms, 13818-1 2.7.2 */

/* protect and counts of the plan are set before. */
vp_status vpi_ts_plan_make(vpi_ts_plan *plan, const vpi_ts_in *in, vp_error *err);
void vpi_ts_plan_dispose(vpi_ts_plan *plan);
/* Fills plan->pieces with the PES packet of a unit. */
vp_status vpi_ts_gather(vpi_ts_plan *plan, const vpi_ts_list *list, const vpi_ts_unit *unit, vp_error *err);
/* Bytes that the adaptation field takes in the first packet of a unit. */
static inline unsigned vpi_ts_adaptation(const vpi_ts_unit *u)
{
    return u->pcr ? 8 : u->random_access ? 2 : 0;
}
uint64_t vpi_ts_packets(const vpi_ts_unit *unit); /* with the extra ones */

#endif
