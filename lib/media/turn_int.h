/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_TURN_INT_H
#define VPI_MEDIA_TURN_INT_H

/*
 * How pictures are turned to stand upright: by the container's display matrix for the whole track, or, where that
 * has none, by messages within the bitstream (H.264 and HEVC display orientation), which may change in mid-stream.
 */

#include "base/error.h"
#include "media/libav.h"

/* Degrees clockwise after a left-right mirror, as vpi_track has them. */
typedef struct vpi_turn {
    int32_t rotation, flipped;
} vpi_turn;

vpi_turn vpi_turn_of(const int32_t matrix[9]);
/* Of a decoded picture; upright where it says nothing. */
vpi_turn vpi_turn_of_frame(const AVFrame *av);

/* The last message, for the pictures up to the next random access point. */
typedef struct vpi_turn_state {
    bool begun, any;
    int32_t matrix[9];
} vpi_turn_state;
/*
 * A random access point without a message where there may have been one before: writers also put it behind the
 * slices, and decoders then find it with the next picture, which has to be looked at first.
 */
bool vpi_turn_is_open(const vpi_turn_state *state, const AVFrame *av);
/*
 * Pictures in the order of the decoder: one without a message gets that of those before it. next: the picture
 * behind an open one, NULL when there is none. VP_E_NOMEM is all that fails.
 */
vp_status vpi_turn_keep(vpi_turn_state *state, AVFrame *av, const AVFrame *next, vp_error *err);

#endif
