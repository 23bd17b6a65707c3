/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_VERIFY_SOUND_INT_H
#define VPI_VERIFY_SOUND_INT_H

/* What decoding a track gave, in memory that does not grow with its length; compared in sync.c. */

#include "media/measure.h"
#include "verify/verify_int.h"

/* ---- loudness.c: integrated loudness (ITU-R BS.1770-4) ---- */

typedef struct vpi_loudness vpi_loudness;
vpi_loudness *vpi_loudness_new(void); /* NULL on no memory */
void vpi_loudness_free(vpi_loudness *l);
void vpi_loudness_add(vpi_loudness *l, const vpi_heard *h);
/* LUFS; -70 where all was below the absolute gate. */
double vpi_loudness_integrated(const vpi_loudness *l);

/* ---- traces: half a minute at the begin, in the middle and at the end, to see how two recordings lie ---- */

enum { VPI_TRACE_MS = 30000, VPI_TRACE_LOOKS = 1800 };

/* Where the traces of a title of that length begin: one behind the other, or spread over it. */
void vpi_traces_place(int64_t duration_us, int64_t starts_us[VPI_TRACES]);

typedef struct vpi_sound_trace {
    int64_t start_us;
    float energy[VPI_TRACE_MS]; /* of each millisecond */
    bool any;
} vpi_sound_trace;

typedef struct vpi_picture_trace {
    int64_t start_us;
    int64_t us[VPI_TRACE_LOOKS];
    uint8_t grid[VPI_TRACE_LOOKS][VPI_LOOK_SIDE * VPI_LOOK_SIDE];
    size_t count;
} vpi_picture_trace;
/* VPI_TRACES of them, for vpi_free; NULL on no memory. */
vpi_picture_trace *vpi_picture_traces_new(const int64_t starts_us[VPI_TRACES]);

typedef struct vpi_heard_sound {
    vpi_loudness *loudness;
    vpi_sound_trace *trace; /* VPI_TRACES of them; NULL: not wanted */
    int64_t zero_us;        /* of the stream's times that title time 0 is at */
    bool own_clock;         /* its times mean nothing: samples are counted from zero_us */
    bool has_first;
    int64_t first_us, next_us; /* title time */
    double exact_us;           /* next_us before rounding */
    uint64_t samples;
    uint32_t sample_rate, channels;
    bool changes; /* sample rate or channels changed */
} vpi_heard_sound;
/* starts_us: also keep traces; NULL: none. */
vp_status vpi_sound_init(vpi_heard_sound *s, const int64_t starts_us[VPI_TRACES], vp_error *err);
void vpi_sound_dispose(vpi_heard_sound *s);                                   /* accepts a zeroed one */
vp_status vpi_sound_hear(void *sound, const vpi_heard *heard, vp_error *err); /* vpi_heard_fn */

/* Adds a picture at a title time, if it is one of the trace; false when that is full, or past its end. */
bool vpi_picture_trace_add(vpi_picture_trace *t, int64_t us, const uint8_t *grid);

/*
 * By how much `ours` comes later than `theirs`, microseconds. False: cannot be told (steady sound, a still picture,
 * or other content).
 */
bool vpi_sound_lag(const vpi_sound_trace *ours, const vpi_sound_trace *theirs, int64_t *us);
bool vpi_picture_lag(const vpi_picture_trace *ours, const vpi_picture_trace *theirs, int64_t *us);

/* ---- what decoding a track of the title gave ---- */

typedef struct vpi_track_media {
    bool has_pictures, has_sound;
    uint64_t pictures;
    int64_t first_us, last_us; /* pictures, title time */
    vpi_picture_trace *looks;  /* VPI_TRACES of them */
    vpi_heard_sound sound;
} vpi_track_media;
void vpi_track_media_dispose(vpi_track_media *m);

/* Tracks against each other, and with v->source against the source. All of them are decoded. */
vp_status vpi_verify_sync(vpi_verifier *v, vp_error *err);

#endif
