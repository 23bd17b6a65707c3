/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_TRANSCODE_PLAN_INT_H
#define VPI_TRANSCODE_PLAN_INT_H

/* What a plan holds: everything that decides bytes, and nothing else. Private to lib/transcode. */

#include <pthread.h>

#include <vodpipe/transcode.h>

#include "base/buf.h"
#include "base/common.h"
#include "base/error.h"
#include "media/audio.h"
#include "media/video.h"
#include "model/json.h"
#include "model/media.h"
#include "model/presentation.h"
#include "package/package.h"
#include "transcode/transcode.h"

#define VPI_AAC_FRAME 1024u
#define VPI_PLAN_RUNGS 32u
#define VPI_PLAN_TRACKS 64u /* of sound, that are kept */
#define VPI_PLAN_AUDIO (2u * VPI_PLAN_TRACKS)
#define VPI_PLAN_STEREO "stereo" /* names of audio groups */
#define VPI_PLAN_SURROUND "surround"
#define VPI_PLAN_SPANS 100000u
#define VPI_PLAN_DIVIDE 1000u

/*
 * Title time 0 is `origin` seconds on the file's timeline. Output times are counted on a grid of `rate` a second:
 * the frame grid of a constant rate (frame_ticks output ticks each), or single ticks when the rate is variable.
 */
typedef struct vpi_plan_video {
    int32_t stream;
    vpi_rational tb;     /* of the stream's times */
    vpi_rational origin; /* seconds */
    vpi_rational rate;   /* grid points a second */
    uint32_t frame_ticks;
    uint32_t
        divide; /* constant: pictures of the source that one stands for: the one at its own time is shown */
    bool variable;
    uint32_t min_gap; /* variable: least distance of two pictures, ticks */
    vpi_rational fps; /* told to encoders and manifests: the grid's, or the average */
    uint32_t source_width, source_height;
    int32_t rotation, flipped;
    vpi_video_colour colour;
    uint32_t decoder_threads;
    vpi_deinterlace deinterlace;
    bool bottom_first;    /* field order */
    uint64_t content_end; /* grid points: where the last picture of the source ends; after it is held */
    uint64_t points;      /* grid points of the title: total / frame_ticks */
} vpi_plan_video;

typedef struct vpi_plan_rung {
    char name[32];
    vpi_h264enc_options enc;
    vpi_buf avcc, init; /* decoder configuration record; CMAF init segment */
    char codecs[VPI_CODECS_TEXT];
} vpi_plan_rung;

typedef struct vpi_plan_audio {
    char name[64]; /* "en-stereo" */
    char group[16];
    char language[36];
    char label[96];
    char codecs[VPI_CODECS_TEXT];
    bool is_default;
    vpi_audio_options audio;
    /*
     * VPI_CODEC_AAC is encoded here. AC3 and EAC3 are the source's own frames: frame n begins at sample phase + n *
     * frame_samples of the title, and silence stands in where the source has none.
     */
    vpi_codec codec;
    uint32_t frame_samples, phase;
    vpi_buf config, init, silence;
} vpi_plan_audio;

typedef struct vpi_plan_span {
    uint64_t first, count; /* segments */
} vpi_plan_span;

struct vp_plan {
    _Atomic uint32_t refs;
    char hash[65], request[65], version[13];
    char prefix[200]; /* folder of the objects, "" for none */
    char *build;      /* vp_build_info() of the planner */
    uint64_t source_size;
    char fingerprint[65], quick[65];
    bool cmaf, ts, single_file, mux_audio; /* mux_audio: TS video carries the one audio track */
    vpi_grid grid;
    vpi_timeline timeline; /* of the source; owned */
    bool has_video;
    vpi_plan_video video;
    vpi_plan_rung *rungs;
    size_t rung_count;
    vpi_plan_audio *audio;
    size_t audio_count;
    vpi_plan_span *spans;
    size_t span_count;
    bool two_pass;                /* with video: a task of analysis for each span */
    vpi_h264enc_options analysis; /* its first pass */
    char (*task_names)[32];       /* of analysis, audio, then video tasks */
    vpi_scheme scheme;
    uint8_t seed[16];            /* of IVs; not secret */
    vpi_protection *protections; /* one for each label in use */
    size_t protection_count;
};

/* ---- plan.c ---- */

size_t vpi_plan_analyses(const vp_plan *plan); /* tasks of analysis */
/* Index of a task. */
size_t vpi_plan_analysis_task(const vp_plan *plan, size_t span);
size_t vpi_plan_audio_task(const vp_plan *plan, size_t audio);
size_t vpi_plan_video_task(const vp_plan *plan, size_t span);
/* VP_TASK_*; *at becomes the span or audio track. */
int32_t vpi_plan_task_kind(const vp_plan *plan, uint32_t index, size_t *at);
uint64_t vpi_plan_span_frames(const vp_plan *plan, size_t span); /* an estimate where times vary */

/* ---- timeline.c ---- */

/* Grid point that a source time is shown from; off by less than half a source picture. May be negative before 0. */
int64_t vpi_plan_point(const vpi_plan_video *v, int64_t pts);
/* Where the second field of a picture is shown, never after the next picture. duration 0: not known. */
int64_t vpi_plan_second_field(const vpi_plan_video *v, int64_t pts, int64_t duration);
/* Largest source time that still belongs to grid point n. */
int64_t vpi_plan_last_pts(const vpi_plan_video *v, int64_t point);
/* Settles origin, grid, rate and total from what the scan found; audio: tracks kept, may be empty. */
vp_status vpi_plan_timeline(vp_plan *plan, const vpi_track *video, const vpi_track *const *audio,
                            size_t count, const vp_transcode_options *options, vp_error *err);

/* ---- plan_audio.c ---- */

/* The tracks that the choice keeps ("all", "none", "en,fr"), at most VPI_PLAN_TRACKS of them. */
size_t vpi_plan_choose_audio(const vpi_media *m, const char *choice, const vpi_track *to[VPI_PLAN_TRACKS]);
/*
 * The audio groups: stereo of every track, then surround of those that have it. of[n] becomes the source of rendition
 * n; it holds VPI_PLAN_AUDIO. Needs plan->ts.
 */
vp_status vpi_plan_add_audio(vp_plan *plan, const vpi_track *const *tracks, size_t count, uint32_t kbps,
                             const vpi_track **of, vp_error *err);
/* What follows from the timeline: the grid of frames that are passed through; init segments. */
vp_status vpi_plan_finish_audio(vp_plan *plan, const vpi_track *const *of, vp_error *err);

/* ---- plan_protect.c ---- */

#define VPI_PLAN_LABELS 4u
/* Asks for the keys of all labels; seed NULL: a random one. The timeline is settled. */
vp_status vpi_plan_protect(vp_plan *plan, const vp_ladder *ladder, const vp_transcode_options *options,
                           const uint8_t *seed, vp_error *err);
void vpi_plan_protect_dispose(vp_plan *plan);
/* NULL: the plan encrypts nothing. */
const vpi_protection *vpi_plan_rung_protection(const vp_plan *plan, size_t rung);
const vpi_protection *vpi_plan_audio_protection(const vp_plan *plan);
/* The init segment of a track, of pictures or sound, as its protection has it. */
vp_status vpi_plan_write_init(const vp_plan *plan, const vpi_track_setup *setup,
                              const vpi_protection *protection, vpi_buf *out, vp_error *err);
/* "protection" of the plan; nothing where nothing is encrypted. */
bool vpi_plan_write_protection(json_t *to, const vp_plan *plan);
vp_status vpi_plan_read_protection(vp_plan *plan, const json_t *o, vp_error *err);
/* What request and names depend on: all that was asked for, not what follows from the seed. */
struct vpi_sha256;
void vpi_plan_hash_protection(const vp_plan *plan, struct vpi_sha256 *sha);

/* ---- plan_json.c writes it, plan_parse.c reads it ---- */

#define VPI_DEINTERLACE_COUNT (VPI_DEINTERLACE_FLAGGED + 1)
#define VPI_INTER_COUNT (VPI_INTER_P8X8 + 1)
extern const char *const vpi_deinterlace_names[VPI_DEINTERLACE_COUNT]; /* by vpi_deinterlace */
extern const char *const vpi_inter_names[VPI_INTER_COUNT];             /* by vpi_inter */
const char *vpi_plan_codec_word(vpi_codec codec);
/* The plan's own fields without hash, version, build: what the hash is made of, with build when asked. */
json_t *vpi_plan_to_json(const vp_plan *plan);
vp_plan *vpi_plan_alloc(void);
/* Names of tasks from the counts. */
vp_status vpi_plan_name_tasks(vp_plan *plan, vp_error *err);

/* ---- shared between tasks ---- */

typedef struct vpi_task_env {
    vp_context *context;
    const vp_plan *plan;
    const char *name;
    size_t index; /* of the audio track or span */
    vp_source *source;
    vp_store *work;
    vp_sink *sink;
    const vp_task_options *options;
    vp_cancel *cancel;
    vp_lease *lease;
    pthread_mutex_t lock; /* of callbacks, lease and record */
    json_t *record;       /* of this task, when it is done: see record_int.h */
    json_t *tracks;       /* borrowed from record, as are the values that it made */
    json_t *values;
    uint64_t concealed; /* pictures or frames that were damaged */
    uint64_t pictures;  /* made, on each rung; 0 for sound */
    vpi_guard guard;    /* open NULL: nothing is encrypted */
} vpi_task_env;

vp_status vpi_task_analyse(vpi_task_env *env, vp_error *err);
vp_status vpi_task_audio(vpi_task_env *env, vp_error *err);
vp_status vpi_task_video(vpi_task_env *env, vp_error *err);

/* Setup for the segment writers. Views into the plan. */
void vpi_plan_rung_setup(const vp_plan *plan, size_t rung, vpi_track_setup *setup);
void vpi_plan_audio_setup(const vp_plan *plan, size_t audio, vpi_track_setup *setup);
/* Frames before segment n. */
uint64_t vpi_plan_audio_border(const vp_plan *plan, size_t audio, uint64_t segment);
/* "<prefix>/<kind>/<name>/<file>" into key; false when too long. */
bool vpi_plan_key(const vp_plan *plan, const char *kind, const char *name, const char *file, char key[1024]);
/* Fills the fixed fields of a track of the presentation (no segments). */
vp_status vpi_plan_rung_track(const vp_plan *plan, size_t rung, int32_t container, vpi_ptrack *t,
                              vp_error *err);
vp_status vpi_plan_audio_track(const vp_plan *plan, size_t audio, int32_t container, vpi_ptrack *t,
                               vp_error *err);

/*
 * Writes one segment as an object and adds its entry to track. write fills the object; its numbers and the CRC end up
 * in the entry. number counts from 0.
 */
typedef vp_status (*vpi_segment_writer)(void *user, vp_object *object, vpi_segment *entry, vp_error *err);
vp_status vpi_task_segment(vpi_task_env *env, vpi_ptrack *track, const char *kind, const char *name,
                           uint64_t number, vpi_track_guard *guard, vpi_segment_writer write, void *user,
                           vp_error *err);
/* A value of the work store that this task makes: commit, which frees it, notes it in the task's record. */
vp_status vpi_task_value_begin(vpi_task_env *env, const char *name, vp_object **out, vp_error *err);
vp_status vpi_task_value_commit(vpi_task_env *env, const char *name, vp_object *value, vp_error *err);
/* The part of a single-file track that this task makes is such a value, "part/<track>/<task>". */
void vpi_task_part_name(const char *track, const char *task, char to[160]);
vp_status vpi_task_part_begin(vpi_task_env *env, const char *track, vp_object **out, vp_error *err);
vp_status vpi_task_part_commit(vpi_task_env *env, const char *track, vp_object *part, vp_error *err);
struct vpi_value_note;
/* Thread-safe: a value, or a finished track, for the task's record. */
vp_status vpi_task_add_value(vpi_task_env *env, const struct vpi_value_note *value, vp_error *err);
vp_status vpi_task_add_track(vpi_task_env *env, const vpi_ptrack *track, vp_error *err);
/* Something that another task made is not as its record says: it is to be done again. */
void vpi_task_redo(vpi_task_env *env, const char *task);

#endif
