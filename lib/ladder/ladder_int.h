/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_LADDER_INT_H
#define VPI_LADDER_INT_H

#include <vodpipe/ladder.h>

#include "base/common.h"
#include "base/error.h"
#include "model/media.h"

#define VPI_LADDER_MAX_RUNGS 32u
#define VPI_LADDER_MAX_SIDE 16384u
#define VPI_LADDER_MAX_KBPS 1000000u
#define VPI_LADDER_AUDIO_KBPS 128u

typedef struct vpi_ladder_warning {
    char name[32];
    char *text;
} vpi_ladder_warning;

struct vp_ladder {
    _Atomic uint32_t refs;
    vp_rung rungs[VPI_LADDER_MAX_RUNGS];
    uint32_t count;
    uint32_t audio_kbps;
    vpi_ladder_warning *warnings;
    size_t warning_count, warning_cap;
};

/* The picture that rungs are made from: upright, square pixels. */
typedef struct vpi_picture {
    uint32_t width, height;
    vpi_rational frame_rate; /* of the output, capped; 30/1 where the source says nothing */
} vpi_picture;

vp_ladder *vpi_ladder_new(void); /* one reference, no rungs; NULL on no memory */
/* False for a title without video, or without a size. */
bool vpi_ladder_picture(const vpi_media *m, uint32_t max_fps, vpi_picture *out);
/* Nearest even number of n / d, ties up, at least 2. */
uint32_t vpi_ladder_even(uint64_t n, uint64_t d);
/* Above 30 frames a second, with room for what phones call 30. */
bool vpi_ladder_fast(vpi_rational frame_rate);
/* Maximum rate and buffer from the target. */
void vpi_ladder_rates(vp_rung *r);
/* Smallest H.264 level for the rung; 0 when none fits. */
unsigned vpi_ladder_level(const vp_rung *r, vpi_rational frame_rate);
/* RUNG_ABOVE_SOURCE for a rung that was asked for. False on no memory. */
bool vpi_ladder_warn_above(vp_ladder *l, const char *name, const vpi_picture *picture);
/* One rung of the source's own size (its rate is the nearest preset's times the ratio of pixels). */
void vpi_ladder_own_size(vp_ladder *l, const vpi_picture *picture);
/* Largest first. */
void vpi_ladder_sort(vp_ladder *l);

#endif
