/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_FIELDS_INT_H
#define VPI_MEDIA_FIELDS_INT_H

/*
 * Are pictures made of two fields of different times? Decided by looking at three pictures in a row, where they
 * move: in a whole picture neighbouring lines match each other best; in one of two fields each field matches the
 * neighbouring picture's nearer field better than the farther one. Knows nothing of libav*.
 */

#include "base/common.h"
#include "model/media.h"

#define VPI_FIELDS_COLUMNS 360u /* enough to see; wider pictures are thinned by the caller */
#define VPI_FIELDS_ROWS 1152u   /* nothing taller is interlaced (1080i is 1088 lines) */
#define VPI_FIELDS_RUN 64u      /* pictures of a run that a telecine pattern is looked for in */

typedef struct vpi_fields vpi_fields;

typedef struct vpi_fields_result {
    uint32_t rows;                      /* of the pictures */
    uint32_t pictures, moving;          /* looked at, with both neighbours; of these, that move */
    uint32_t top, bottom, whole;        /* seen to be top first, bottom first, progressive */
    uint32_t part_top, part_bottom;     /* of whole: a band of lines is not (a ticker below a film) */
    uint32_t telecine_runs, other_runs; /* runs that were long enough and moved */
    uint32_t flagged_top, flagged_bottom, flagged_whole; /* what the pictures say themselves */
} vpi_fields_result;

/* NULL on no memory. */
vpi_fields *vpi_fields_new(uint32_t width, uint32_t height);
vpi_fields *vpi_fields_free(vpi_fields *fields); /* NULL is allowed */
/* The 8-bit luma plane (width x height, no padding) to write the next picture to. */
uint8_t *vpi_fields_plane(vpi_fields *fields);
/* The plane was filled; flag: what the picture says of itself. */
void vpi_fields_add(vpi_fields *fields, vpi_scan_order flag);
/* The next picture does not follow the last one. */
void vpi_fields_cut(vpi_fields *fields);
const vpi_fields_result *vpi_fields_result_of(const vpi_fields *fields);
/* What the pictures are. declared: of the container, for where pictures neither move nor say anything. */
vpi_scan_order vpi_fields_decide(const vpi_fields_result *result, vpi_scan_order declared);
/* Progressive by that decision, but for pictures that say they are of fields and look like it. */
bool vpi_fields_parts(const vpi_fields_result *result, vpi_scan_order decided);
/* Film at 24 pictures a second with its fields spread over 30. */
bool vpi_fields_telecine(const vpi_fields_result *result);

#endif
