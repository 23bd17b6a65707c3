/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_FRAME_INT_H
#define VPI_MEDIA_FRAME_INT_H

/*
 * A frame is a counted handle on an AVFrame, so that a decoder's picture reaches the encoders without a copy.
 */

#include <stdatomic.h>

#include "media/libav.h"
#include "media/video.h"

struct vpi_frame {
    _Atomic uint32_t refs;
    AVFrame *av; /* AV_PIX_FMT_YUV420P, limited range; its pts is not used */
    int64_t pts, duration;
    uint32_t field;
};

/* Takes av over, also on failure (then it is freed and NULL returned). */
vpi_frame *vpi_frame_wrap(AVFrame *av, int64_t pts, int64_t duration);

/* Pictures of one size from a pool: buffers come back to it and are used again. */
typedef struct vpi_frame_pool {
    AVBufferPool *pool;
    int width, height, linesize[3];
    size_t offset[3];
} vpi_frame_pool;
bool vpi_frame_pool_init(vpi_frame_pool *pool, uint32_t width, uint32_t height);
void vpi_frame_pool_dispose(vpi_frame_pool *pool); /* accepts a zeroed one; frames in use stay valid */
AVFrame *vpi_frame_pool_get(vpi_frame_pool *pool); /* NULL on no memory; the picture is not initialised */

#endif
