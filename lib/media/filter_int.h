/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_FILTER_INT_H
#define VPI_MEDIA_FILTER_INT_H

/*
 * Makes decoded pictures upright, of one size, 8-bit 4:2:0, limited range, SDR. A libavfilter graph that is
 * built for the first picture and again when a picture of another kind comes; none where the picture is that
 * already.
 */

#include <libavutil/frame.h>

#include "media/video.h"

typedef struct vpi_filter_options {
    uint32_t width, height;    /* out, upright; even */
    int32_t rotation, flipped; /* as in vpi_track */
    vpi_video_colour colour;   /* of the pictures given out */
    vpi_video_colour tags;     /* of pictures that say nothing themselves: the container's; 2 unspecified */
    bool full_range;           /* likewise */
    /*
     * Pictures of this size fill the whole output whatever their sample aspect ratio says: the output's size
     * was made for them. Others are fitted into it with black bars.
     */
    uint32_t nominal_width, nominal_height;
} vpi_filter_options;

typedef struct vpi_filter vpi_filter;
vp_status vpi_filter_new(const vpi_filter_options *options, vpi_filter **out, vp_error *err);
vpi_filter *vpi_filter_free(vpi_filter *filter);
/* Takes *in over in any case and sets it to NULL; the result may be the same picture. One in, one out. */
vp_status vpi_filter_apply(vpi_filter *filter, AVFrame **in, AVFrame **out, vp_error *err);
bool vpi_filter_is_hdr(int transfer); /* PQ or HLG, by its number in ISO/IEC 23091-2 */

#endif
