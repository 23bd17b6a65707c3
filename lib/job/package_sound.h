/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_JOB_PACKAGE_SOUND_H
#define VPI_JOB_PACKAGE_SOUND_H

/*
 * Sound of one track, frame by frame on the title's clock: without its priming, with silence where frames are missing,
 * without frames that come twice. Read by the track's own writer, and by each video track that is muxed with it.
 */

#include "package_int.h"

typedef struct vpi_ready_sound {
    vpi_ready *pk;
    const vpi_ready_audio *a;
    vpi_ready_reader *reader;
    vpi_ready_packet next;
    uint32_t samples; /* of next */
    bool ended;
    uint64_t read;    /* frames given out */
    uint64_t lead;    /* frames of silence before the next of the file */
    uint64_t dropped; /* frames of priming */
    int64_t at;       /* samples from title time 0 to the next frame */
    bool placed;      /* at is known */
    bool repeats;     /* the file goes on before at: what lies there is left out */
    int late;         /* packets in a row whose time is behind at; negative: before it */
    unsigned steady;  /* packets in a row whose time is at */
    /* what was mended: frames of silence before, between and behind those of the file, and frames left out */
    uint64_t before, between, behind, left_out;
    int64_t first_mended; /* samples from title time 0 */
} vpi_ready_sound;

/* Zeroed but for pk and a. */
vp_status vpi_ready_sound_open(vpi_ready_sound *r, vp_error *err);
void vpi_ready_sound_close(vpi_ready_sound *r); /* accepts one that was not opened */
/*
 * Makes next the next packet of content, if it is not yet; ended is told behind the last. INPUT_CORRUPT where more is
 * missing than silence can stand in for.
 */
vp_status vpi_ready_sound_fetch(vpi_ready_sound *r, vp_error *err);
/*
 * Does the next frame belong before a border (samples from title time 0)? It does when it begins before the end of
 * the title, and when its middle lies before another border: the frame that begins nearest to it comes first there.
 */
bool vpi_ready_sound_before(const vpi_ready_sound *r, int64_t border, bool last);
/* What cannot be made silent may end up to a frame early. */
bool vpi_ready_sound_over(const vpi_ready_sound *r, int64_t border);
/* Takes the frame out of the reader, or gives silence when the file has ended before the border. */
vp_status vpi_ready_sound_take(vpi_ready_sound *r, vpi_ready_packet *to, vpi_sample *sample, int64_t border,
                               vp_error *err);
/* Samples from title time 0 to the first video track's cut before segment n. */
int64_t vpi_ready_sound_border(const vpi_ready_sound *r, size_t segment);
vp_status vpi_ready_sound_none(const vpi_ready_sound *r, const char *what, vp_error *err);
/* Warns of what was mended. */
void vpi_ready_sound_tell(const vpi_ready_sound *r);

#endif
