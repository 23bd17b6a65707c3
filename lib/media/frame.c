/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/frame_int.h"

/* Rows begin at this many bytes: the widest vectors of libswscale and x264. */
#define ROW_ALIGN 64
/* libswscale may write a vector past the last row's end. */
#define TAIL_PADDING 64
/* Largest side: far above what probe lets pass, far below an overflow. */
#define MAX_SIDE 65536u

vpi_frame *vpi_frame_wrap(AVFrame *av, int64_t pts, int64_t duration)
{
    vpi_frame *frame = vpi_alloc(sizeof(*frame));

    if (!frame) {
        av_frame_free(&av);
        return NULL;
    }
    atomic_init(&frame->refs, 1);
    frame->av = av;
    frame->pts = pts;
    frame->duration = duration;
    frame->field = 0;
    return frame;
}

vpi_frame *vpi_frame_ref(vpi_frame *frame)
{
    if (frame) atomic_fetch_add_explicit(&frame->refs, 1, memory_order_relaxed);
    return frame;
}

vpi_frame *vpi_frame_unref(vpi_frame *frame)
{
    if (!frame || atomic_fetch_sub_explicit(&frame->refs, 1, memory_order_acq_rel) != 1) return NULL;
    av_frame_free(&frame->av);
    vpi_free(frame);
    return NULL;
}

int64_t vpi_frame_pts(const vpi_frame *frame)
{
    return frame->pts;
}

int64_t vpi_frame_duration(const vpi_frame *frame)
{
    return frame->duration;
}

uint32_t vpi_frame_field(const vpi_frame *frame)
{
    return frame->field;
}

uint32_t vpi_frame_width(const vpi_frame *frame)
{
    return (uint32_t)frame->av->width;
}

uint32_t vpi_frame_height(const vpi_frame *frame)
{
    return (uint32_t)frame->av->height;
}

static uint64_t round_up(uint64_t n, uint64_t step)
{
    return (n + step - 1) / step * step;
}

uint64_t vpi_frame_memory(uint32_t width, uint32_t height)
{
    uint64_t luma = round_up(width, ROW_ALIGN) * height;
    uint64_t chroma = round_up(((uint64_t)width + 1) / 2, ROW_ALIGN) * (((uint64_t)height + 1) / 2);

    return luma + 2 * chroma + TAIL_PADDING;
}

bool vpi_frame_pool_init(vpi_frame_pool *pool, uint32_t width, uint32_t height)
{
    uint64_t luma = round_up(width, ROW_ALIGN), chroma = round_up(((uint64_t)width + 1) / 2, ROW_ALIGN);

    *pool = (vpi_frame_pool){ 0 };
    if (!width || !height || width > MAX_SIDE || height > MAX_SIDE) return false;
    pool->width = (int)width;
    pool->height = (int)height;
    pool->linesize[0] = (int)luma;
    pool->linesize[1] = pool->linesize[2] = (int)chroma;
    pool->offset[1] = (size_t)(luma * height);
    pool->offset[2] = pool->offset[1] + (size_t)(chroma * (((uint64_t)height + 1) / 2));
    pool->pool = av_buffer_pool_init((size_t)vpi_frame_memory(width, height), NULL);
    return pool->pool != NULL;
}

void vpi_frame_pool_dispose(vpi_frame_pool *pool)
{
    av_buffer_pool_uninit(&pool->pool);
}

AVFrame *vpi_frame_pool_get(vpi_frame_pool *pool)
{
    AVFrame *av = av_frame_alloc();
    int i;

    if (!av) return NULL;
    av->buf[0] = av_buffer_pool_get(pool->pool);
    if (!av->buf[0]) {
        av_frame_free(&av);
        return NULL;
    }
    av->format = AV_PIX_FMT_YUV420P;
    av->width = pool->width;
    av->height = pool->height;
    for (i = 0; i < 3; i++) {
        av->data[i] = av->buf[0]->data + pool->offset[i];
        av->linesize[i] = pool->linesize[i];
    }
    return av;
}
