/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_JOB_H
#define VODPIPE_JOB_H

/*
 * A whole publish: scan, plan, tasks, manifests, checks. Tier 4.
 *
 *     vp_source_file, vp_sink_directory, vp_store_directory -> vp_job_new -> vp_job_start -> vp_job_wait
 *
 * Events come by callback, or from a vp_queue that many jobs share.
 */

#include <vodpipe/event.h>
#include <vodpipe/manifest.h>
#include <vodpipe/probe.h>
#include <vodpipe/transcode.h>
#include <vodpipe/verify.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- job ---- */

typedef struct vp_job_options {
    uint32_t struct_size;
    uint32_t player;                       /* 1: also write player.html */
    vp_source *source;                     /* required for publish */
    vp_sink *sink;                         /* required */
    vp_store *work;                        /* NULL: in memory, nothing survives the job */
    vp_cancel *cancel;                     /* may be NULL; when it fires the job is suspended */
    const vp_ladder *ladder;               /* NULL: derived from the source */
    const vp_transcode_options *transcode; /* NULL: defaults */
    vp_queue *queue;                       /* where events go, and/or: */
    vp_event_fn on_event;
    void *event_user;
    uint64_t tag; /* comes back in every event */
    /*
     * Settings as JSON, over what the structs say, for languages where structs are awkward. Fields as the long
     * options of the command line: {"format":"both","ladder":"720p,360p","segment":6,"gop":2,"single_file":true,
     * "preset":"veryfast","rate":"abr","crf":23,"audio_bitrate":128,"audio":"en","max_fps":30,"prefix":"none",
     * "player":true,"prune":true,"force":true}. "ladder" may be a ladder document. Unknown fields are ARG.
     */
    const char *settings_json;
    uint32_t prune; /* 1: remove versions that no manifest names, after publishing */
    uint32_t force; /* 1: overwrite output that is not ours or of the same prefix */
    /* For errors and SUSPENDED lines only: how a person calls the work store. NULL: none. */
    const char *work_name;
    /* Scripts of the player page: text of hls.js (NULL: the page plays where the browser itself can). */
    const char *player_script;
    uint32_t probe_timeout_ms; /* limit for the scan without progress; 0: none */
    uint32_t reserved;
} vp_job_options;
#define VP_JOB_OPTIONS_INIT                                                                                  \
    {                                                                                                        \
        (uint32_t)sizeof(vp_job_options), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL,  \
            0, 0, NULL, NULL, 0, 0                                                                           \
    }
VP_API void vp_job_options_init(vp_job_options *options, size_t size);

/* Thread-safe. */
typedef struct vp_job vp_job;

/* A publish. No I/O. Errors: ARG (with the name of the field), NOMEM, STATE, VERSION. */
VP_API vp_status vp_job_new(vp_context *context, const vp_job_options *options, vp_job **out, vp_error *err);
/* The same without structs: handles and JSON only. sink and source required, others may be NULL. */
VP_API vp_status vp_job_new_json(vp_context *context, vp_source *source, vp_sink *sink, vp_store *work,
                                 vp_queue *queue, uint64_t tag, const char *settings_json, vp_job **out,
                                 vp_error *err);
/*
 * Packages count ready-made renditions (MP4, TS, Matroska; H.264 and AAC) without transcoding; options.source is
 * not used, of transcode only formats, segment_ms, gop_ms, single_file and prefix. names are for messages.
 */
VP_API vp_status vp_job_new_package(vp_context *context, const vp_job_options *options,
                                    vp_source *const *sources, const char *const *names, uint32_t count,
                                    vp_job **out, vp_error *err);
VP_API vp_job *vp_job_ref(vp_job *job);
/* The last reference of a running job cancels it and waits for it. */
VP_API vp_job *vp_job_unref(vp_job *job);

/* Returns at once; once for each job (STATE). */
VP_API vp_status vp_job_start(vp_job *job, vp_error *err);
/*
 * Waits up to timeout_ms (-1: for ever) for the end; VP_AGAIN: still running. Then the job's outcome, as often as
 * it is asked: VP_OK published; VP_END ALREADY_DONE; VP_E_CANCELED cancelled or suspended; else the failure with
 * its vp_error. STATE when called from a callback of the job.
 */
VP_API vp_status vp_job_wait(vp_job *job, int64_t timeout_ms, vp_error *err);
/* Stops within a second and keeps finished tasks in the work store: a later job of the same settings skips them. */
VP_API vp_status vp_job_suspend(vp_job *job, vp_error *err);
/* Stops within a second and removes what is unfinished: work store and objects of the unpublished version. */
VP_API vp_status vp_job_cancel(vp_job *job, vp_error *err);
/* After VP_OK or VP_END: what was published. STATE before. */
VP_API vp_status vp_job_presentation(vp_job *job, vp_presentation **out, vp_error *err);

/* ---- around a plan whose tasks others run ---- */

/*
 * Is the place free for this plan, and marks its version folder: what a job does before its first task. Call it once
 * when the plan is made; tasks mark the folder themselves where it is not, and refuse another title's. force: 1 takes
 * the place whatever is there. Errors: CONFLICT OUTPUT_EXISTS, IO, ARG. VP_END: this title is published already.
 */
VP_API vp_status vp_plan_claim(vp_context *context, const vp_plan *plan, vp_sink *sink, uint32_t force,
                               vp_error *err);

/*
 * Checks that all tasks are in the work store and what they made is in its place, composes single files, verifies,
 * writes manifests and publishes. One at a time, by a lease: CONFLICT ALREADY_RUNNING, also when the lease was lost
 * meanwhile. TASKS_MISSING names the missing tasks in missing (a JSON array, may be NULL); they can be run then.
 * VP_END: this title is published already. options: sink, work (required), player, prune, force, events; others are
 * not used.
 */
VP_API vp_status vp_plan_finish(vp_context *context, const vp_plan *plan, const vp_job_options *options,
                                vp_presentation **out, vp_bytes **missing, vp_error *err);

#ifdef __cplusplus
}
#endif

#endif
