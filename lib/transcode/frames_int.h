/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_TRANSCODE_FRAMES_INT_H
#define VPI_TRANSCODE_FRAMES_INT_H

/* Encoded audio frames kept in the work store until finish, for muxing into TS. */

#include <vodpipe/io.h>

#include "base/buf.h"
#include "base/common.h"
#include "base/error.h"
#include "record_int.h"

#define VPI_FRAMES_NAME 160u
/* The two values that frames of a name are kept in. */
void vpi_frames_value_name(const char *name, bool index, char to[VPI_FRAMES_NAME]);

typedef struct vpi_frames_writer vpi_frames_writer;
vp_status vpi_frames_create(vp_store *work, const char *name, vpi_frames_writer **out, vp_error *err);
vp_status vpi_frames_add(vpi_frames_writer *writer, const uint8_t *data, size_t size, vp_error *err);
/* Frees writer. notes: the two values. A name that is taken stays as it is. */
vp_status vpi_frames_commit(vpi_frames_writer *writer, vpi_value_note notes[2], vp_error *err);
void vpi_frames_discard(vpi_frames_writer *writer); /* NULL is allowed */

/* Immutable after open: reads may overlap. */
typedef struct vpi_frames_reader vpi_frames_reader;
/* TASKS_MISSING when it is not there, CHECKSUM_MISMATCH when it does not hold that many frames. */
vp_status vpi_frames_open(vp_store *work, const char *name, uint64_t frames, vpi_frames_reader **out,
                          vp_error *err);
vpi_frames_reader *vpi_frames_close(vpi_frames_reader *reader);
/* Appends frames [first, last) to *data and stores their sizes. */
vp_status vpi_frames_read(const vpi_frames_reader *reader, uint64_t first, uint64_t last, vpi_buf *data,
                          uint32_t *sizes, vp_error *err);

#endif
