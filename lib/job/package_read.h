/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_JOB_PACKAGE_READ_H
#define VPI_JOB_PACKAGE_READ_H

/*
 * Samples of ready-made renditions. Plain MP4 files are read by their own tables (bmff/movie.h), in memory that
 * does not grow with their length and with one read for what lies together; every other file by libavformat.
 */

#include "bmff/movie.h"
#include "media/demux.h"

/* One file. Lies still while readers of it are open. */
typedef struct vpi_ready_input {
    vp_context *context;
    vp_source *source;
    const char *name;
    vp_cancel *stop;
    vpi_movie_file file;
    vpi_movie movie; /* count 0: read by libavformat */
} vpi_ready_input;

/* VP_OK with movie.count 0 where the file is not a plain MP4 of tracks that the tables are enough for. */
vp_status vpi_ready_input_open(vpi_ready_input *in, vp_error *err);
void vpi_ready_input_close(vpi_ready_input *in); /* accepts a zeroed one */
/* What a probe would say of a track of the movie, as far as packaging asks. */
void vpi_ready_movie_track(const vpi_ready_input *in, size_t track, vpi_track *out);

typedef struct vpi_ready_reader vpi_ready_reader;
typedef struct vpi_ready_block vpi_ready_block;

/* A sample as MP4 has it. Belongs to its reader's thread; drop it before the reader is closed. */
typedef struct vpi_ready_packet {
    int64_t pts, duration; /* ticks of the track's tb on the file's timeline; duration 0: unknown */
    bool has_pts, key;
    const uint8_t *data;
    size_t size;
    vpi_packet demuxed;     /* holds data, or */
    vpi_ready_block *block; /* this does */
} vpi_ready_packet;

/* At the first sample. */
vp_status vpi_ready_open(vpi_ready_input *in, int32_t stream, vpi_ready_reader **out, vp_error *err);
vpi_ready_reader *vpi_ready_close(vpi_ready_reader *reader); /* NULL is allowed; returns NULL */
/* VP_END at the end. packet is overwritten: it holds nothing before. */
vp_status vpi_ready_next(vpi_ready_reader *reader, vpi_ready_packet *packet, vp_error *err);
void vpi_ready_drop(vpi_ready_reader *reader, vpi_ready_packet *packet); /* accepts a zeroed one */

/*
 * How decoding can begin at a sample. An open point can be followed by pictures that are shown before it and need
 * what was before (CRA and BLA of HEVC); only their times tell.
 */
typedef enum vpi_point { VPI_POINT_NONE, VPI_POINT_OPEN, VPI_POINT_CLEAN } vpi_point;
/*
 * Of a sample as MP4 has it; nal_length: 1, 2 or 4, bytes of a NAL unit's length. *sets (NULL is allowed): parameter
 * sets lie before the picture.
 */
vpi_point vpi_ready_point(vpi_codec codec, unsigned nal_length, const uint8_t *data, size_t size, bool *sets);
/* The same of a sample in the file, by its headers alone. */
vp_status vpi_ready_point_at(const vpi_ready_input *in, vpi_codec codec, unsigned nal_length,
                             const vpi_movie_sample *sample, vpi_point *point, bool *sets, vp_error *err);

#endif
