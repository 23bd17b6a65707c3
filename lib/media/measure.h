/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_MEASURE_H
#define VPI_MEDIA_MEASURE_H

/*
 * Decoding to look and to listen: pictures and samples as the decoder gives them, nothing scaled, mixed or kept. One
 * thread at a time per handle; callbacks come on the caller's thread. No libav* type crosses this header.
 */

#include <vodpipe/io.h>

#include "base/common.h"
#include "base/error.h"
#include "model/media.h"

/* ---- pictures ---- */

#define VPI_LOOK_SIDE 8u

typedef struct vpi_look {
    vpi_rational tb;
    bool has_pts, damaged;
    int64_t pts; /* ticks of tb, the file's own timeline */
    uint32_t width, height;
    uint8_t primaries, transfer, matrix; /* ISO/IEC 23091-2; 2 unspecified */
    int8_t full_range;                   /* 1, 0, -1 unspecified */
    /* Mean brightness, 0 to 255, of the cells of a grid over the picture, row by row. */
    uint8_t grid[VPI_LOOK_SIDE * VPI_LOOK_SIDE];
} vpi_look;
/* VP_OK: go on; VP_END: enough, a success; below zero: stop with it. */
typedef vp_status (*vpi_look_fn)(void *user, const vpi_look *look, vp_error *err);
typedef struct vpi_measure_part { /* ticks of the stream's tb */
    int64_t from, to;             /* decoded from the first access point at or behind `from` on, up to `to` */
} vpi_measure_part;
typedef struct vpi_measure_options {
    bool first_only;               /* one packet is decoded, the rest is not read */
    const vpi_timeline *timeline;  /* NULL: the file's own times; borrowed until the call returns */
    const vpi_measure_part *parts; /* rising; with none the whole stream */
    size_t part_count;
} vpi_measure_options;
/*
 * Pictures of a video stream (-1: the first one), in presentation order; options NULL: all of them. *refused: packets
 * that the decoder did not take. Without such a stream: DATA INPUT_NO_VIDEO_OR_AUDIO.
 */
vp_status vpi_measure_pictures(vp_context *context, vp_source *source, int32_t stream,
                               const vpi_measure_options *options, vp_cancel *cancel, vpi_look_fn fn,
                               void *user, uint64_t *refused, vp_error *err);

/* ---- sound ---- */

#define VPI_SOUND_CHANNELS_MAX 8u

typedef struct vpi_heard { /* samples of one decoded frame */
    vpi_rational tb;
    bool has_pts;
    int64_t pts; /* of the first one, ticks of tb */
    uint32_t sample_rate, channels, samples;
    const float *planes[VPI_SOUND_CHANNELS_MAX]; /* full scale is 1 */
    /* ITU-R BS.1770-4 table 4: 1, 1.41 for channels at the side and behind, 0 for LFE. */
    float weights[VPI_SOUND_CHANNELS_MAX];
} vpi_heard;
typedef vp_status (*vpi_heard_fn)(void *user, const vpi_heard *heard, vp_error *err);

/* One decoder that goes on over many sources, so that segments sound as a player makes them sound. */
typedef struct vpi_ear vpi_ear;
vp_status vpi_ear_new(vp_context *context, vp_cancel *cancel, vpi_heard_fn fn, void *user, vpi_ear **out,
                      vp_error *err);
vpi_ear *vpi_ear_free(vpi_ear *ear); /* NULL is allowed; returns NULL */
/* Decodes all packets of an audio stream (-1: the first one); none: as above. timeline NULL: the file's own times. */
vp_status vpi_ear_add(vpi_ear *ear, vp_source *source, int32_t stream, const vpi_timeline *timeline,
                      vp_error *err);
/* What the decoder still holds; nothing may be added after it. */
vp_status vpi_ear_end(vpi_ear *ear, vp_error *err);
/* Packets and frames that the decoder refused. */
uint64_t vpi_ear_refused(const vpi_ear *ear);

#endif
