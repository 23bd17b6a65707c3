/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MODEL_PRESENTATION_INT_H
#define VPI_MODEL_PRESENTATION_INT_H

#include "model/presentation.h"

/* Limits on what is read. A title of 24 h with segments of one second has 86400 of them. */
#define VPI_MAX_TRACKS 1024u
#define VPI_MAX_SEGMENTS 2000000u
#define VPI_MAX_FRAGMENTS 65535u /* of a segment */
/* Largest time, size and offset: sums of two stay within 64 bits. */
#define VPI_MAX_QUANTITY ((uint64_t)INT64_MAX / 2)

/* Words of JSON; NULL for a number that has none. */
const char *vpi_kind_word(int32_t kind);
const char *vpi_container_word(int32_t container);

/*
 * What all that read a track rely on: names and keys are usable, segments follow each other without gap or
 * overlap, no sum overflows, fragments fill their segment, what is encrypted has its keys and IVs. status and
 * reason are those of a failure; where names the track.
 */
vp_status vpi_ptrack_check(const vpi_ptrack *t, const char *where, vp_status status, const char *reason,
                           vp_error *err);
/* The same for all tracks, and that no two of a container share a name. */
vp_status vpi_presentation_check(const vpi_presentation *p, vp_status status, const char *reason,
                                 vp_error *err);

#endif
