/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/frame_int.h"

/* Bicubic: the whole cascade costs about 6 % of veryfast encoders; bilinear and area cost half and blur. */
#define SCALER_FLAGS (SWS_BICUBIC | SWS_ACCURATE_RND | SWS_BITEXACT)
/*
 * Where 4:2:0 chroma samples lie, in 1/256 luma steps: at the left column, between two rows (H.264 figure
 * 6-1). The libswscale default, centred, would move the colours by a little at each step of the cascade.
 */
#define CHROMA_X 0
#define CHROMA_Y 128

struct vpi_scaler {
    struct SwsContext *sws; /* NULL: equal sizes */
    vpi_frame_pool pool;
    uint32_t from_width, from_height;
};

static struct SwsContext *new_sws(int from_width, int from_height, int to_width, int to_height)
{
    struct SwsContext *sws = sws_alloc_context();
    const struct {
        const char *name;
        int value;
    } options[] = {
        { "srcw", from_width },
        { "srch", from_height },
        { "dstw", to_width },
        { "dsth", to_height },
        { "src_format", AV_PIX_FMT_YUV420P },
        { "dst_format", AV_PIX_FMT_YUV420P },
        { "sws_flags", SCALER_FLAGS },
        { "src_h_chr_pos", CHROMA_X },
        { "dst_h_chr_pos", CHROMA_X },
        { "src_v_chr_pos", CHROMA_Y },
        { "dst_v_chr_pos", CHROMA_Y },
    };
    size_t i;

    if (!sws) return NULL;
    for (i = 0; i < VPI_COUNT(options); i++) {
        if (av_opt_set_int(sws, options[i].name, options[i].value, 0) < 0) goto fail;
    }
    if (sws_init_context(sws, NULL, NULL) < 0) goto fail;
    return sws;
fail:
    sws_freeContext(sws);
    return NULL;
}

vp_status vpi_scaler_new(uint32_t from_width, uint32_t from_height, uint32_t to_width, uint32_t to_height,
                         vpi_scaler **out, vp_error *err)
{
    vpi_scaler *scaler;

    *out = NULL;
    if (!from_width || !from_height || !to_width || !to_height ||
        VPI_MAX(from_width, from_height) > INT16_MAX || VPI_MAX(to_width, to_height) > INT16_MAX) {
        return vpi_fail(err, VP_E_ARG, NULL, "no scaling from %ux%u to %ux%u", from_width, from_height,
                        to_width, to_height);
    }
    VPI_TRY(vpi_media_load(err));
    scaler = vpi_calloc(1, sizeof(*scaler));
    if (!scaler) return vpi_fail_nomem(err);
    scaler->from_width = from_width;
    scaler->from_height = from_height;
    if (from_width != to_width || from_height != to_height) {
        scaler->sws = new_sws((int)from_width, (int)from_height, (int)to_width, (int)to_height);
        if (!scaler->sws || !vpi_frame_pool_init(&scaler->pool, to_width, to_height)) {
            vpi_scaler_free(scaler);
            return vpi_fail_nomem(err);
        }
    }
    *out = scaler;
    return VP_OK;
}

vpi_scaler *vpi_scaler_free(vpi_scaler *scaler)
{
    if (!scaler) return NULL;
    sws_freeContext(scaler->sws);
    vpi_frame_pool_dispose(&scaler->pool);
    vpi_free(scaler);
    return NULL;
}

vp_status vpi_scaler_scale(vpi_scaler *scaler, vpi_frame *from, vpi_frame **out, vp_error *err)
{
    const AVFrame *av = from->av;
    AVFrame *to;
    int rows;

    *out = NULL;
    if ((uint32_t)av->width != scaler->from_width || (uint32_t)av->height != scaler->from_height) {
        return vpi_fail(err, VP_E_ARG, NULL, "a frame of %dx%d in a scaler from %ux%u", av->width, av->height,
                        scaler->from_width, scaler->from_height);
    }
    if (!scaler->sws) {
        *out = vpi_frame_ref(from);
        return VP_OK;
    }
    to = vpi_frame_pool_get(&scaler->pool);
    if (!to) return vpi_fail_nomem(err);
    rows = sws_scale(scaler->sws, (const uint8_t *const *)av->data, av->linesize, 0, av->height, to->data,
                     to->linesize);
    if (rows != to->height) {
        av_frame_free(&to);
        return vpi_fail(err, VP_E_INTERNAL, NULL, "scaling gave %d rows", rows);
    }
    *out = vpi_frame_wrap(to, from->pts, from->duration);
    return *out ? VP_OK : vpi_fail_nomem(err);
}
