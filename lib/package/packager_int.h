/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_PACKAGE_PACKAGER_INT_H
#define VPI_PACKAGE_PACKAGER_INT_H

/* The push packager: queues of samples, borders of segments, output. One thread at a time. */

#include <vodpipe/package.h>

#include "base/context.h"
#include "package/package_int.h"

#define VPI_PK_MEMORY (UINT64_C(256) << 20)
#define VPI_PK_SAMPLE (UINT64_C(256) << 20)
#define VPI_PK_TRACKS 64
#define VPI_PK_COST 64 /* of a sample beside its bytes */
#define VPI_PK_BIG_SEGMENT (UINT64_C(20) << 20)
#define VPI_PK_NONE SIZE_MAX

/* A border of the first track, in its ticks: every segment border is one of fragments too. */
typedef struct vpi_pk_mark {
    int64_t pts;
    bool segment;
} vpi_pk_mark;

typedef struct vpi_pk_track {
    vpi_track_setup setup;
    uint8_t *config; /* setup points at it */
    char *name;
    char codecs[VPI_CODECS_SIZE];
    bool is_default;
    uint32_t rate_num, rate_den;
    unsigned length_size;
    /* samples not yet written, decode order; durations runs beside */
    vpi_sample *samples;
    uint64_t *durations;
    size_t count, samples_cap, durations_cap;
    int64_t last_pts; /* audio: of the last sample, -1: none */
    uint64_t end;     /* largest pts + duration so far */
    uint64_t start;   /* of the segment that comes next, once there was a sample */
    bool started;
    uint64_t done_samples, done_fragments;
    /* the segment being cut: samples [0, cut), ends at cut_end; fragment starts */
    size_t cut;
    uint64_t cut_end;
    size_t *fragments;
    size_t fragment_count, fragment_cap;
    /* outputs: indices of presentation tracks, VPI_PK_NONE: not wanted */
    size_t cmaf, ts;
    /* transport stream: what decode times need, see vpi_ts_in */
    uint32_t reorder;
    uint64_t min_frame; /* 0: not known yet */
    int64_t last_dts;
    bool has_last_dts;
} vpi_pk_track;

struct vp_packager {
    vp_context *context;
    vp_sink *sink;
    vp_store *store;
    uint32_t formats;
    uint64_t segment_ms, fragment_ms;
    bool single_file, failed, finished, started;
    char *prefix; /* "" or "folder/" */
    vp_presentation *presentation;
    vpi_pk_track *tracks;
    size_t track_count, track_cap;
    size_t main; /* the track that sets the borders */
    vpi_pk_mark *marks;
    size_t mark_count, mark_cap;
    uint64_t held; /* bytes in all queues */
};

/* packager_track.c */
vp_status vpi_pk_track_fill(vpi_pk_track *track, const vp_track_config *config, uint32_t formats,
                            vp_error *err);
void vpi_pk_track_dispose(vpi_pk_track *track);
vp_status vpi_pk_track_push(vp_packager *pk, vpi_pk_track *track, const vp_sample *sample, vp_error *err);
/* Drops the first n samples. */
void vpi_pk_track_drop(vp_packager *pk, vpi_pk_track *track, size_t n);
static inline bool vpi_pk_is_video(const vpi_pk_track *t)
{
    return t->setup.kind == VPI_KIND_VIDEO;
}

/* packager_cut.c */
/* Looks at the newest sample of the main track. */
vp_status vpi_pk_look(vp_packager *pk, vp_error *err);
/* VP_OK: the first segment is cut in all tracks; VP_AGAIN: not yet, or none is left when finishing. */
vp_status vpi_pk_cut(vp_packager *pk, bool finishing, vp_error *err);
/* No samples come any more: short tails go to what stands before them, audio past the picture is dropped. */
vp_status vpi_pk_close(vp_packager *pk, vp_error *err);

/* packager_write.c */
vp_status vpi_pk_start(vp_packager *pk, vp_error *err);         /* presentation tracks, init segments */
vp_status vpi_pk_write_segment(vp_packager *pk, vp_error *err); /* what vpi_pk_cut cut */

/* packager_single.c */
vp_status vpi_pk_put_part(vp_packager *pk, const vpi_ptrack *track, const vpi_segment_in *in,
                          vpi_segment *entry, vp_error *err);
vp_status vpi_pk_join(vp_packager *pk, const vpi_pk_track *from, vpi_ptrack *track, vp_error *err);
void vpi_pk_remove_parts(vp_packager *pk);
/* Begins one object whose size is known. */
vp_status vpi_pk_begin(vp_packager *pk, const vpi_ptrack *track, int32_t kind, const char *key, uint64_t size,
                       vp_object **out, vp_error *err);

#endif
