/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_FILTER_INT_H
#define VPI_MEDIA_FILTER_INT_H

/*
 * Makes decoded pictures progressive, upright, of one size, 8-bit 4:2:0, limited range, SDR. A libavfilter graph
 * that is built for the first picture and again when a picture of another kind comes; none where the picture is
 * that already.
 */

#include "media/libav.h"
#include "media/video.h"

typedef struct vpi_filter_options {
    uint32_t width, height;    /* out, upright; even */
    int32_t rotation, flipped; /* as in vpi_track */
    bool rough;                /* cheap scaling */
    bool by_picture;           /* the container turns nothing: each picture's own message counts instead */
    vpi_video_colour colour;   /* of the pictures given out */
    vpi_video_colour tags;     /* of pictures that say nothing themselves: the container's; 2 unspecified */
    bool full_range;           /* likewise */
    bool full_grey;            /* likewise, of pictures without colour (lossless codecs) */
    /*
     * Pictures of this size fill the whole output whatever their sample aspect ratio says: the output's size
     * was made for them. Others are fitted into it with black bars.
     */
    uint32_t nominal_width, nominal_height;
    vpi_deinterlace deinterlace;
    bool bottom_first;
} vpi_filter_options;

/* What comes out, and when it is shown. */
typedef struct vpi_filter_picture {
    AVFrame *av;     /* the caller's */
    uint64_t number; /* of the picture that went in, from 0 */
    int64_t pts,
        duration;   /* of the whole picture that went in; with a deinterlacer the time to the next one */
    uint32_t field; /* 1: made of its second field, shown half the duration later */
} vpi_filter_picture;

typedef struct vpi_filter vpi_filter;
vp_status vpi_filter_new(const vpi_filter_options *options, vpi_filter **out, vp_error *err);
vpi_filter *vpi_filter_free(vpi_filter *filter);
/* Takes *in over and sets it to NULL. Only after vpi_filter_receive answered VP_AGAIN. */
void vpi_filter_send(vpi_filter *filter, AVFrame **in, int64_t pts, int64_t duration);
void vpi_filter_end(vpi_filter *filter); /* there is no further picture */
/*
 * VP_AGAIN: the next picture is wanted; VP_END after vpi_filter_end. A deinterlacer looks at the pictures on both
 * sides: it gives one out when the next has come, and the first sent is as in a whole run only where it is the
 * file's first.
 */
vp_status vpi_filter_receive(vpi_filter *filter, vpi_filter_picture *out, vp_error *err);
bool vpi_filter_is_hdr(int transfer); /* PQ or HLG, by its number in ISO/IEC 23091-2 */

#endif
