/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_JOB_PACKAGE_INT_H
#define VPI_JOB_PACKAGE_INT_H

/* Packaging of ready-made renditions: what is known of each track, and the cuts they share. */

#include "bitstream/bitstream.h"
#include "job_int.h"
#include "package/package.h"
#include "package_read.h"

#define VPI_READY_AUDIO_MAX 64u

/* Times of a track are ticks of its own tb from title time 0, the first picture of its file. */
typedef struct vpi_ready_video {
    size_t input;
    int32_t stream;
    char name[32], codecs[64];
    vpi_rational tb;
    int64_t first;      /* presentation time of the first picture, file timeline */
    int64_t end;        /* end of the last picture */
    int64_t min_gap;    /* least distance of two pictures */
    uint32_t reorder;   /* pictures by which decoding is ahead of showing */
    vpi_vp9 vp9;        /* VP9: of its first key frame */
    uint8_t nal_length; /* bytes of a NAL unit's length: 1, 2 or 4; 0 for codecs without */
    vpi_rational fps;
    int64_t *keys; /* pictures at which a segment may begin, rising: no later one is shown before them */
    size_t key_count, key_cap;
    bool interlaced;
    bool exact;    /* each key was looked at; else they are what the file's table says */
    int64_t *cuts; /* segment starts; one more at the end: end */
    vpi_track_setup setup;
    vpi_buf config;
    vpi_ptrack cmaf, ts;
} vpi_ready_video;

typedef struct vpi_ready_audio {
    size_t input;
    int32_t stream;
    char name[64], base[48], label[96], codecs[64];
    vpi_rational tb;
    int64_t start;   /* of the track by its container, 0 where files begin at zero; ticks of tb */
    int64_t origin;  /* title time 0 on the file timeline, ticks of tb */
    vpi_buf silence; /* a frame of frame_samples; empty: none can be made for this codec or layout */
    bool marked;     /* as default, by its file */
    bool is_default;
    uint32_t frame_samples; /* of the usual frame; Opus and FLAC may vary */
    uint32_t pre_skip;      /* Opus: samples of priming that the container's times say are before 0 */
    vpi_track_setup setup;
    vpi_buf config;
    vpi_ptrack cmaf, packed;
} vpi_ready_audio;

typedef struct vpi_ready {
    vp_job *job;
    vpi_ready_input *inputs; /* one for each rendition of the job */
    vpi_ready_video *video;
    size_t video_count;
    vpi_ready_audio *audio;
    size_t audio_count;
    size_t segments;
    int64_t end_us; /* of the title */
    bool cmaf, ts, mux_audio, single_file;
    char request[65], prefix[140];
    bool automatic; /* prefix: named by the version */
    uint8_t seed[16];
    vpi_protection protections[4]; /* one for each label; none: clear */
    size_t protection_count;
    pthread_mutex_t lock; /* of what follows */
    vp_status status;
    vp_error err;
    uint64_t done_bytes, total_bytes;
} vpi_ready;

/* package_scan.c: opens every input, fills video and audio. */
vp_status vpi_ready_scan(vpi_ready *pk, vp_error *err);
/* package_audio.c: leaves tracks out so that every audio group has one codec and the same members (P16). */
void vpi_ready_settle_audio(vpi_ready *pk);
/* "stereo", "surround-6", "ac-3" ... */
void vpi_ready_group(const vpi_ready_audio *a, char group[24]);
void vpi_ready_warn_dropped(vpi_ready *pk, size_t input, int32_t stream, const char *codec, const char *why);
/* Zeroed after it. */
void vpi_ready_video_dispose(vpi_ready_video *v);
void vpi_ready_audio_dispose(vpi_ready_audio *a);
/* package_cuts.c: chooses the cuts common to all video tracks; RENDITIONS_NOT_ALIGNED. */
vp_status vpi_ready_cut(vpi_ready *pk, vp_error *err);
/* Looks at every key of a track that was read by its table, and keeps those that are IDR pictures. */
vp_status vpi_ready_look(vpi_ready *pk, vpi_ready_video *v, vp_error *err);
/* package_write.c: all segments of one track. */
vp_status vpi_ready_write_video(vpi_ready *pk, vpi_ready_video *v, vp_error *err);
vp_status vpi_ready_write_audio(vpi_ready *pk, vpi_ready_audio *a, vp_error *err);
/* package_keys.c: with tracks and cuts known, keys, request and prefix. */
vp_status vpi_ready_protect(vpi_ready *pk, vp_error *err);
/* Into the work store, so that work that is broken off goes on with the same IVs. */
vp_status vpi_ready_keep_seed(const vpi_ready *pk, vp_error *err);
void vpi_ready_protect_dispose(vpi_ready *pk);
/* NULL: clear. */
const vpi_protection *vpi_ready_video_protection(const vpi_ready *pk, const vpi_ready_video *v);
const vpi_protection *vpi_ready_audio_protection(const vpi_ready *pk);
/* Counts written bytes. */
void vpi_ready_progress(vpi_ready *pk, uint64_t bytes);
/* Is a picture at this time, ticks from the first, one of the keys? */
bool vpi_ready_is_key(const vpi_ready_video *v, int64_t at);
/* Have all pictures such a point at this time of v? */
bool vpi_ready_shared(const vpi_ready *pk, const vpi_ready_video *v, int64_t at);
int64_t vpi_ready_us(const vpi_ready_video *v, int64_t ticks);
bool vpi_ready_key(const vpi_ready *pk, const char *kind, const char *name, const char *file, char key[1024]);

#endif
