/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libav* and x264, linked: -Dlibav=linked, and tests of what lies within. */
#define VPI_LIBAV_NAMES
#include "media/libav.h"

#define MEMBER(f) .f = &f,

struct vpi_libav_table vpi_libav = {
    VPI_LIST_AVUTIL(MEMBER) VPI_LIST_AVCODEC(MEMBER) VPI_LIST_AVFORMAT(MEMBER) VPI_LIST_AVFILTER(MEMBER)
        VPI_LIST_SWSCALE(MEMBER) VPI_LIST_SWRESAMPLE(MEMBER) VPI_LIST_X264(MEMBER)
            .vpi_x264_open = &x264_encoder_open,
};

vp_status vpi_media_load(vp_error *err)
{
    (void)err;
    return VP_OK;
}

bool vpi_libav_ready(void)
{
    return true;
}
