/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_TRANSCODE_H
#define VODPIPE_TRANSCODE_H

/*
 * Plan and tasks, for hosts with a scheduler, queue or cluster of their own. A plan is a complete value: with the
 * same source, plan and build every task gives the same bytes, whoever runs it, in which order, how often. vp_job
 * (job.h) runs the same tasks by itself. Tier 3.
 *
 *     vp_plan_new -> vp_plan_json -> ... any process: vp_plan_parse, vp_task_run ... -> vp_plan_finish (job.h)
 */

#include <vodpipe/io.h>
#include <vodpipe/ladder.h>
#include <vodpipe/media.h>
#include <vodpipe/package.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rate control of the rungs. */
/* 2PASS: one small first pass over the title serves all rungs; average bitrate, even quality. */
enum { VP_RATE_ABR = 1, VP_RATE_CRF = 2, VP_RATE_2PASS = 3 };
/* Times of the source that jump, repeat or are missing. */
enum {
    VP_TIMELINE_REPAIR = 1, /* one rising timeline is made of them, with a warning TIMELINE_REPAIRED */
    VP_TIMELINE_FAIL = 2    /* no plan is made: DATA INPUT_CORRUPT, the text says where */
};

struct vp_keys;

typedef struct vp_transcode_options {
    uint32_t struct_size;
    uint32_t formats;     /* VP_FORMAT_CMAF | VP_FORMAT_TS; 0: CMAF */
    uint32_t segment_ms;  /* 0: 6000; 500..60000, a whole multiple of gop_ms */
    uint32_t gop_ms;      /* 0: 2000; 250..60000 */
    uint32_t single_file; /* 1: one media.mp4 for each rung, byte ranges (CMAF only) */
    uint32_t rate;        /* VP_RATE_*; 0: VP_RATE_2PASS */
    uint32_t crf_milli;   /* with CRF: 1000 * crf; 0: 23000; at most 51000 */
    uint32_t audio_kbps;  /* of stereo; 5.1 has three times that; 0: the ladder's (128); 16..512 */
    uint32_t max_fps;     /* 0: 60; 1..240: faster pictures are left out */
    uint32_t span_ms;     /* length of a span; 0: 12 to 60 s by the title's length; rounded to segments */
    const char *preset;   /* x264's names; NULL or "auto": what docs/encoding.md chooses and why */
    const char *audio;    /* NULL or "all": every track; else languages, "en,fr"; "none" */
    const char *prefix; /* NULL or "auto": a folder named by the version; "none": no folder; else its name */
    uint32_t timeline;  /* VP_TIMELINE_*; 0: VP_TIMELINE_REPAIR */
    /*
     * VP_ENCRYPT_* of crypt.h; needs keys. cenc is for CMAF only; aes128 gives HLS only, no MPD and no I-frame
     * playlists; cbcs in transport streams is SAMPLE-AES.
     */
    uint32_t encrypt;
    uint32_t key_rotation;  /* segments that a key serves; 0: all */
    uint32_t clear_lead_ms; /* segments that begin before it stay clear; at most 24 h */
    struct vp_keys *keys;   /* crypt.h; borrowed during the call, by a job as long as it lasts */
    const char *title;      /* what key requests call this title; NULL: "" */
} vp_transcode_options;
#define VP_TRANSCODE_OPTIONS_INIT                                                                            \
    {                                                                                                        \
        (uint32_t)sizeof(vp_transcode_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, 0, 0, 0, 0,     \
            NULL, NULL                                                                                       \
    }
VP_API void vp_transcode_options_init(vp_transcode_options *options, size_t size);

/* Immutable; may be shared between threads. */
typedef struct vp_plan vp_plan;
VP_API vp_plan *vp_plan_ref(vp_plan *plan);
VP_API vp_plan *vp_plan_unref(vp_plan *plan);

/*
 * Makes a plan on the calling thread from a full probe (vp_probe_options.full = 1; ARG otherwise) of a source.
 * ladder NULL: derived with defaults. Reads nothing. Errors: ARG, NOMEM, STATE, VERSION,
 * UNSUPPORTED FEATURE_DISABLED, DATA INPUT_NO_VIDEO_OR_AUDIO (nothing is left after the choice of audio),
 * DATA INPUT_CORRUPT (with VP_TIMELINE_FAIL), AUTH KEY_MISSING or KEY_INVALID and what a key provider answers.
 */
VP_API vp_status vp_plan_new(vp_context *context, const vp_media *media, const vp_ladder *ladder,
                             const vp_transcode_options *options, vp_plan **out, vp_error *err);
/* From its JSON. Errors: DATA INPUT_CORRUPT naming the field, VERSION, NOMEM. */
VP_API vp_status vp_plan_parse(const void *json, uint64_t size, vp_plan **out, vp_error *err);
VP_API vp_status vp_plan_json(const vp_plan *plan, vp_bytes **out, vp_error *err);
/* What `vodpipe plan` prints: hash, version and the list of tasks. */
VP_API vp_status vp_plan_summary_json(const vp_plan *plan, vp_bytes **out, vp_error *err);

VP_API const char *vp_plan_hash(const vp_plan *plan);    /* 64 hex digits; borrowed */
VP_API const char *vp_plan_request(const vp_plan *plan); /* hash of source and settings; borrowed */
VP_API const char *vp_plan_version(const vp_plan *plan); /* version, 12 hex digits; borrowed */
VP_API const char *vp_plan_prefix(const vp_plan *plan);  /* folder of the version's objects, "" for none */

enum { VP_TASK_ANALYSE = 1, VP_TASK_AUDIO = 2, VP_TASK_VIDEO = 3 };

typedef struct vp_task_info {
    uint32_t struct_size;
    int32_t kind;             /* VP_TASK_* */
    const char *name;         /* "video-0003"; borrowed from the plan */
    uint32_t need_count;      /* tasks that must be done first: vp_plan_get_need */
    uint32_t threads;         /* threads it starts besides the caller's */
    uint64_t cpu_us;          /* estimate */
    uint64_t memory_bytes;    /* estimate of the most it holds */
    int64_t start_us, end_us; /* of the title's timeline */
    uint64_t frames;          /* pictures, or audio frames, that it makes */
} vp_task_info;
VP_API void vp_task_info_init(vp_task_info *info, size_t size);

VP_API uint32_t vp_plan_task_count(const vp_plan *plan);
VP_API vp_status vp_plan_get_task(const vp_plan *plan, uint32_t index, vp_task_info *info, vp_error *err);
/* Name of the need-th task that this one waits for; NULL for an index too high. */
VP_API const char *vp_plan_get_need(const vp_plan *plan, uint32_t index, uint32_t need);

/* Cumulative progress of a running task: frames done of all. Called on the task's threads, calls do not overlap. */
typedef void (*vp_task_progress_fn)(void *user, uint64_t done, uint64_t total);

typedef struct vp_task_options {
    uint32_t struct_size;
    uint32_t reserved;
    vp_task_progress_fn progress; /* may be NULL */
    void *progress_user;
    /* Each object when it is committed; may be NULL. On the task's threads, calls do not overlap. */
    void (*object)(void *user, const vp_object_info *info);
    void *object_user;
    /* Of a plan that encrypts, asked again: plans hold no keys. Others do not need them. */
    struct vp_keys *keys;
    const char *title; /* as in vp_transcode_options */
} vp_task_options;
#define VP_TASK_OPTIONS_INIT                                                                                 \
    {                                                                                                        \
        (uint32_t)sizeof(vp_task_options), 0, NULL, NULL, NULL, NULL, NULL, NULL                             \
    }
VP_API void vp_task_options_init(vp_task_options *options, size_t size);

/*
 * Runs one task on the calling thread; returns when its objects are durable in the sink and its record in the work
 * store. Idempotent. VP_END: it was done before, and all that its record names is there, as far as the sink can tell;
 * else it is done anew. VP_AGAIN: another process holds its lease. Errors: CONFLICT SOURCE_CHANGED (the source is not
 * the planned one), BUILD_MISMATCH (made by another build of the encoders), TASKS_MISSING (a needed task is not done),
 * ALREADY_RUNNING (the lease was lost meanwhile, others may have done the task: nothing more was written); DATA
 * INPUT_CORRUPT, INPUT_TRUNCATED, CHECKSUM_MISMATCH (what a needed task made is damaged: that one is to be run again);
 * AUTH KEY_MISSING, KEY_INVALID (not the keys of the plan); LIMIT, IO, CANCELED, NOMEM, ARG.
 */
VP_API vp_status vp_task_run(vp_context *context, const vp_plan *plan, const char *task, vp_source *source,
                             vp_store *work, vp_sink *sink, const vp_task_options *options, vp_cancel *cancel,
                             vp_error *err);
/*
 * The first task whose needs are done, that is not done and not leased: its name is copied to name (capacity bytes).
 * VP_END: all are done; VP_AGAIN: none is free now.
 */
VP_API vp_status vp_plan_next(const vp_plan *plan, vp_store *work, char *name, uint32_t capacity,
                              vp_error *err);

/* How far the tasks of a plan are. What is under way does not count: no process knows what all the others have done. */
typedef struct vp_progress {
    uint32_t struct_size;
    uint32_t permille; /* of cpu_total_us; 1000 when, and only when, all tasks are done: then finish */
    uint32_t tasks_done, tasks_total;
    uint64_t cpu_done_us, cpu_total_us; /* sums of vp_task_info.cpu_us, which are estimates */
} vp_progress;
#define VP_PROGRESS_INIT                                                                                     \
    {                                                                                                        \
        (uint32_t)sizeof(vp_progress), 0, 0, 0, 0, 0                                                         \
    }
VP_API void vp_progress_init(vp_progress *progress, size_t size);
/*
 * Sums a title's progress up from the records of its tasks in the work store, wherever these ran: reads all of them,
 * changes nothing, takes no lease. A record that is damaged or of another plan counts as none. Errors: IO, NOMEM, ARG,
 * VERSION.
 */
VP_API vp_status vp_plan_progress(const vp_plan *plan, vp_store *work, vp_progress *out, vp_error *err);

#ifdef __cplusplus
}
#endif

#endif
