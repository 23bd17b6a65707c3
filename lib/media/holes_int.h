/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_HOLES_INT_H
#define VPI_MEDIA_HOLES_INT_H

/*
 * Time for which a file has neither sound nor picture, though it goes on afterwards: a part of it cannot be read, or
 * nothing was received. Readers of damaged files find their way again and say nothing. Sound tells, because it pauses
 * in no other file; where it does, pictures must have paused too. Knows nothing of libav*; times in microseconds.
 */

#include "base/common.h"

#define VPI_HOLES_PICTURES 64u
#define VPI_HOLES_OPEN 8u

typedef struct vpi_hole {
    int64_t from, to;
} vpi_hole;

typedef struct vpi_holes { /* begins zeroed */
    bool any_sound, any_picture;
    int64_t sound_end, picture_last;
    int64_t pictures[VPI_HOLES_PICTURES]; /* the last ones */
    uint64_t picture_count;
    vpi_hole open[VPI_HOLES_OPEN]; /* pictures of these may still come: tracks are not read in step */
    size_t open_count;
    /* the result */
    uint64_t count;
    int64_t first, total;
} vpi_holes;

void vpi_holes_picture(vpi_holes *holes, int64_t at);
/* One track, in its order; from < to. */
void vpi_holes_sound(vpi_holes *holes, int64_t from, int64_t to);
void vpi_holes_finish(vpi_holes *holes);

#endif
