/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_MEASURE_INT_H
#define VPI_MEDIA_MEASURE_INT_H

/* Private to measure_picture.c and measure_sound.c. */

#include "media/libav_int.h"
#include "media/measure.h"

/* The stream of this number, or with -1 the first of its kind; -1: there is none. */
int32_t vpi_measure_stream(const vpi_demux *demux, vpi_kind kind, int32_t wanted);
/* An open decoder with one thread. */
vp_status vpi_measure_decoder(vp_context *context, vpi_demux *demux, int32_t stream, AVCodecContext **out,
                              vp_error *err);

#endif
