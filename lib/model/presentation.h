/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MODEL_PRESENTATION_H
#define VPI_MODEL_PRESENTATION_H

/*
 * The title as plain data: filled by package and transcode, read by manifest and verify. All strings and
 * arrays are owned by the struct that holds them.
 */

#include <vodpipe/presentation.h>

#include "base/common.h"
#include "base/error.h"
#include "model/protection.h"

typedef struct vpi_fragment {
    uint64_t offset; /* from the start of the segment */
    uint64_t bytes;
    uint64_t ticks;
    uint64_t idr_bytes; /* video: bytes from offset through the end of the IDR picture; 0 for audio */
} vpi_fragment;

typedef struct vpi_segment {
    char *key;
    uint64_t offset; /* in the object: 0 unless single-file */
    uint64_t start, ticks, bytes;
    uint32_t crc32c; /* of the object; 0 in single-file tracks, whose object has one of its own */
    bool has_iv;     /* aes128: of this segment; else it is clear */
    uint8_t iv[16];
    vpi_fragment *fragments;
    size_t fragment_count, fragment_cap;
} vpi_segment;

typedef struct vpi_part { /* init segment or index */
    char *key;            /* NULL: there is none */
    uint64_t offset, bytes;
    uint32_t crc32c; /* 0 in single-file tracks */
} vpi_part;

typedef struct vpi_ptrack {
    char *name, *group, *codecs;
    char *language;          /* BCP-47, "und"; NULL for video */
    char *label;             /* EXT-X-MEDIA NAME and DASH Label; NULL: from the language */
    int32_t kind, container; /* VP_TRACK_*, VP_CONTAINER_* */
    bool is_default;
    uint32_t width, height, frame_rate_num, frame_rate_den; /* video */
    uint32_t sar_num, sar_den;                              /* of its pixels; 0/0: square */
    uint32_t sample_rate, channels;                         /* audio, also that muxed into TS video */
    uint8_t primaries, transfer, matrix;                    /* 0: not given */
    uint32_t timescale;
    uint64_t bandwidth, average_bandwidth; /* 0 until vpi_presentation_finish */
    bool single_file;
    uint64_t object_bytes; /* single-file: size and CRC of the object */
    uint32_t object_crc32c;
    vpi_part init;
    vpi_part index;            /* sidx of a single-file track */
    vpi_protection protection; /* scheme NONE: clear */
    vpi_segment *segments;
    size_t segment_count, segment_cap;
} vpi_ptrack;

typedef struct vpi_presentation {
    char *version;                /* folder name; "" without one */
    char *request;                /* 64 hex digits or "" */
    uint64_t duration, timescale; /* of the title: what every track covers */
    vpi_ptrack *tracks;
    size_t track_count, track_cap;
} vpi_presentation;

struct vp_presentation {
    _Atomic uint32_t refs;
    vpi_presentation p;
};

vp_presentation *vpi_presentation_new(void); /* one reference, empty strings; NULL on no memory */
/* Appends a zeroed element and returns it (valid until the next append); NULL on no memory. */
vpi_ptrack *vpi_presentation_add_track(vpi_presentation *p);
vpi_segment *vpi_ptrack_add_segment(vpi_ptrack *t);
vpi_fragment *vpi_segment_add_fragment(vpi_segment *s);
void vpi_ptrack_dispose(vpi_ptrack *t);
void vpi_presentation_dispose(vpi_presentation *p);

/*
 * Longest run that rates are measured over, in segments or I frames: a title of millions of them, each of a tick,
 * would take hours. 1.5 target durations of a good one hold a few hundred at most.
 */
#define VPI_RATE_RUN 1000u

/*
 * Sums and rates once all segments are in: bandwidth is the peak by RFC 8216 4.1 (largest bits per second
 * over any run of contiguous segments whose total duration is 0.5 to 1.5 times the target duration; the
 * largest single segment where no run fits), average_bandwidth the mean, both rounded up; both include the
 * container. The target duration is common to all tracks. Refuses gaps and overlaps between segments
 * (INTERNAL). A duration that is not set becomes that of the shortest track.
 */
vp_status vpi_presentation_finish(vpi_presentation *p, vp_error *err);
/* Integer seconds: the longest segment of all video and audio tracks, rounded to nearest, at least 1. */
uint32_t vpi_presentation_target(const vpi_presentation *p);
uint64_t vpi_ptrack_ticks(const vpi_ptrack *t); /* end of the last segment minus start of the first */
/* Peak and mean of the track's I-frame playlist (bytes of I frames over their durations). */
void vpi_ptrack_iframe_rates(const vpi_ptrack *t, uint32_t target, uint64_t *peak, uint64_t *average);
/* Width of its pictures in square pixels. */
uint32_t vpi_ptrack_shown_width(const vpi_ptrack *t);
/* Folder part of the track's keys, "a1b2/video/720p"; to holds 1024 bytes. */
void vpi_ptrack_folder(const vpi_ptrack *t, char to[1024]);

/* JSON of one track and of the whole (FORMATS: presentation.json). Opaque json_t of jansson. */
struct json_t;
struct json_t *vpi_ptrack_to_json(const vpi_ptrack *t); /* NULL on no memory */
vp_status vpi_ptrack_from_json(const struct json_t *json, vpi_ptrack *t, vp_error *err);

#endif
