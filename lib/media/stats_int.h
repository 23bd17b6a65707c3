/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_STATS_INT_H
#define VPI_MEDIA_STATS_INT_H

/*
 * Timeline statistics of one stream from its packets in file order, in memory that does not grow with the
 * title (the keyframe list is thinned and capped). Knows nothing of libav*.
 */

#include "base/common.h"

#define VPI_KEYFRAMES_MAX 500000u
#define VPI_RATE_MAX 1001000 /* largest numerator and denominator of a computed rate */

typedef struct vpi_stats vpi_stats;

typedef struct vpi_stats_options {
    vpi_rational tb;
    vpi_rational declared[3]; /* rates that the file names, 0/1 where it does not; tried first */
    bool video;               /* rates and keyframes are wanted */
    bool jumps_forward; /* the format's clock may jump: 10 s without a frame are a jump, not a long frame */
} vpi_stats_options;

typedef struct vpi_stats_packet {
    bool has_pts, has_dts, key;
    int64_t pts, dts, duration;   /* ticks; duration 0 unknown */
    int64_t skip_start, skip_end; /* ticks of it that are not content */
    uint32_t skip_samples;        /* skip_start as the decoder counts it */
    bool captions;                /* the picture carries some */
} vpi_stats_packet;

typedef struct vpi_stats_result {
    bool has_times;
    int64_t start, end; /* content; jumps are taken out of the length */
    int64_t last;       /* of sound: where the last packet begins */
    uint64_t packets, duplicates, missing_pts;
    bool hides; /* an edit list hides pictures before the start: the last one's time */
    int64_t hidden;
    int64_t min_delta, max_delta;
    int32_t variable;
    vpi_rational rate;
    int64_t
        phase; /* of a constant rate: from start to a picture of its grid; not 0 where the first is not on it */
    bool reordered, captions;
    bool delayed;          /* a packet is decoded at another time than shown */
    uint32_t skip_samples; /* of the first packet */
    int64_t leap;          /* the farthest that times go forward from one packet to the next, ticks */
    uint64_t jumps;
    int64_t jump_at, jump_by; /* the first one: time before it, ticks it went */
    int64_t *keyframes;       /* the caller's to free */
    size_t keyframe_count;
    int64_t keyframe_min, keyframe_max; /* distances, ticks; 0: fewer than two */
    uint64_t keyframe_gaps;
    int64_t keyframe_sum;
} vpi_stats_result;

vpi_stats *vpi_stats_new(const vpi_stats_options *options);           /* NULL on no memory */
vpi_stats *vpi_stats_free(vpi_stats *stats);                          /* NULL is allowed */
bool vpi_stats_add(vpi_stats *stats, const vpi_stats_packet *packet); /* false on no memory */
void vpi_stats_hide(vpi_stats *stats, int64_t pts);                   /* a picture that an edit list hides */
bool vpi_stats_started(const vpi_stats *stats); /* has a packet with a time been added? */
/* Before finish, when packets stop in the middle of the file: the last pictures may lack some shown between them. */
void vpi_stats_cut(vpi_stats *stats);
/* Once, after the last packet. */
void vpi_stats_finish(vpi_stats *stats, vpi_stats_result *result);

/* Nearest fraction with both terms at most max; value > 0. */
vpi_rational vpi_nearest_rational(double value, int64_t max);

#endif
