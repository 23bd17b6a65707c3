/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_BMFF_MOVIE_H
#define VPI_BMFF_MOVIE_H

/*
 * Movie files with sample tables (ISO/IEC 14496-12 8.6, 8.7), read through small windows: memory does not grow
 * with the number of samples. Meant for files that are simple in every way; the caller has another reader for
 * the rest, so that what is odd is UNSUPPORTED here, never guessed.
 */

#include "bmff/bmff.h"

/* Bytes of a file. read gives all of them or fails; offset + size is within the file's size. */
typedef struct vpi_movie_file {
    vp_status (*read)(void *user, uint64_t offset, void *data, size_t size, vp_error *err);
    void *user;
    uint64_t size;
} vpi_movie_file;

typedef struct vpi_movie_table {
    uint64_t offset; /* of its first entry in the file */
    uint32_t count;
} vpi_movie_table;

typedef struct vpi_movie_track {
    vpi_init_info info;    /* codec_config lies in stsd */
    uint8_t *stsd;         /* payload of the box */
    uint32_t descriptions; /* sample entries; info is of the first one */
    uint32_t samples;
    uint32_t sample_size; /* of all samples; 0: each has its own, in sizes */
    vpi_movie_table times, offsets, syncs, sizes, runs, chunks; /* stts ctts stss stsz stsc, stco or co64 */
    bool has_syncs;                                             /* else every sample is one */
    bool wide_chunks;                                           /* co64 */
    /* Presentation time of a sample: its composition time + shift, ticks of the track. */
    int64_t shift;
    int64_t edit_end; /* presentation time behind which the edit list shows nothing; INT64_MAX: none */
} vpi_movie_track;

typedef struct vpi_movie {
    vpi_movie_track *tracks;
    size_t count;
    uint32_t timescale;
} vpi_movie;

/*
 * Reads what is known of all tracks. UNSUPPORTED: not such a file (no moov, fragments, compact sizes, several
 * edits ...); DATA: damaged; else the file's own failure. out is empty unless VP_OK.
 */
vp_status vpi_movie_open(const vpi_movie_file *file, vpi_movie *out, vp_error *err);
void vpi_movie_dispose(vpi_movie *movie); /* accepts a zeroed one */

typedef struct vpi_movie_sample {
    uint64_t offset; /* in the file */
    uint32_t size, duration;
    int64_t dts, pts; /* ticks of the track; shift is in pts alone */
    bool sync;
} vpi_movie_sample;

/*
 * The samples of a track one after another, in decode order. One thread at a time; about 100 KiB. file and
 * track outlive it.
 */
typedef struct vpi_movie_cursor vpi_movie_cursor;
vp_status vpi_movie_cursor_new(const vpi_movie_file *file, const vpi_movie_track *track,
                               vpi_movie_cursor **out, vp_error *err);
vpi_movie_cursor *vpi_movie_cursor_free(vpi_movie_cursor *cursor); /* NULL is allowed; returns NULL */
void vpi_movie_rewind(vpi_movie_cursor *cursor);
/*
 * VP_END behind the last one. DATA where the tables contradict each other, a time does not fit, or a sample is
 * empty or lies outside the file.
 */
vp_status vpi_movie_next(vpi_movie_cursor *cursor, vpi_movie_sample *out, vp_error *err);

#endif
