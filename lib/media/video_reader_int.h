/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_VIDEO_READER_INT_H
#define VPI_MEDIA_VIDEO_READER_INT_H

#include "media/filter_int.h"
#include "media/frame_int.h"
#include "media/libav_int.h"
#include "media/turn_int.h"

/* H.264 A.3.1: no picture waits for more than 16 others. More are of packets that gave none. */
#define VPI_WAITING_MAX 18u

/* A packet whose picture is still to come. */
typedef struct vpi_waiting {
    uint64_t number;
    int64_t dts;
} vpi_waiting;

struct vpi_video_reader {
    vpi_video_reader_options o;
    vp_context *context;
    vp_cancel *cancel;
    vpi_demux *demux;
    AVCodecContext *decoder;
    vpi_filter *filter;
    bool by_picture; /* the container turns nothing */
    vpi_turn_state turn;
    AVFrame *ahead;    /* decoded already, to find out how the one before it is turned */
    vpi_packet packet; /* with has_packet: read, not decoded yet */
    bool has_packet, started, has_times;
    bool looked;      /* at the first packet */
    uint64_t counted; /* pictures of a stream without times */
    vpi_waiting waiting[VPI_WAITING_MAX];
    size_t waiting_count;
    int64_t shown[VPI_WAITING_MAX]; /* numbers of the packets of the last pictures */
    uint64_t fed, given;            /* packets numbered; pictures that came of them */
    int64_t last_pts, last_duration;
    AVFrame *pending[3]; /* decoded while the start was looked for; [0]: for the deinterlacer only */
    uint64_t skip;       /* pictures at the start that are not given out */
    uint64_t concealed, refused;
};

/*
 * For the scan, in place of vpi_video_reader_next: goes to a random access point at or before a time and gives
 * decoded pictures from there, as they are; some of the first may be broken. VP_END after the last.
 */
vp_status vpi_video_reader_visit(vpi_video_reader *reader, int64_t pts, vp_error *err);
vp_status vpi_video_reader_decode(vpi_video_reader *reader, AVFrame **out, vp_error *err);

#endif
