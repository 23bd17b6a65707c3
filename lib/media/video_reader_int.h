/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_VIDEO_READER_INT_H
#define VPI_MEDIA_VIDEO_READER_INT_H

#include "media/filter_int.h"
#include "media/frame_int.h"
#include "media/libav_int.h"

/* H.264 A.3.1: no picture waits for more than 16 others. More are of packets that gave none. */
#define VPI_WAITING_MAX 18u

struct vpi_video_reader {
    vpi_video_reader_options o;
    vp_context *context;
    vp_cancel *cancel;
    vpi_demux *demux;
    AVCodecContext *decoder;
    vpi_filter *filter;
    vpi_packet packet; /* with has_packet: read, not decoded yet */
    bool has_packet, started, has_times;
    uint64_t counted;                 /* pictures of a stream without times */
    int64_t waiting[VPI_WAITING_MAX]; /* decoding times of packets whose pictures are still to come */
    size_t waiting_count;
    int64_t last_pts, last_duration;
    AVFrame *pending[2]; /* decoded while the start was looked for */
    uint64_t concealed, refused;
};

#endif
