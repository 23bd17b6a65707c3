/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_JOB_INT_H
#define VPI_JOB_INT_H

#include <pthread.h>

#include <vodpipe/crypt.h>
#include <vodpipe/job.h>

#include "base/context.h"
#include "base/error.h"
#include "event_int.h"
#include "model/media.h"
#include "model/presentation.h"
#include "crypt/crypt.h"
#include "transcode/transcode.h"

/* Root names of a title: the only objects that are ever replaced. */
#define VPI_ROOT_MASTER "master.m3u8"
#define VPI_ROOT_MASTER_TS "master-ts.m3u8"
#define VPI_ROOT_MPD "manifest.mpd"
#define VPI_ROOT_PRESENTATION "presentation.json"
#define VPI_ROOT_PLAYER "player.html"
/* Values of the work store that belong to the whole job. */
#define VPI_WORK_PLAN "plan.json"
#define VPI_WORK_LEASE "lease/job"
#define VPI_WORK_SEED "seed"         /* of IVs, of a package job */
#define VPI_WORK_PERMILLE "permille" /* how far a run came that ended early, in digits */
#define VPI_DOCUMENT_MAX ((uint64_t)256 << 20)

/* What was asked for, owned copies. */
typedef struct vpi_settings {
    vp_transcode_options transcode; /* its strings point below */
    char *preset, *audio, *prefix, *title;
    char *ladder_list;     /* "1080p,720p"; NULL: auto */
    char *ladder_document; /* JSON text; NULL: none */
    bool player, prune, force;
    vp_keys *keys; /* a reference; NULL: none */
} vpi_settings;

void vpi_settings_dispose(vpi_settings *s);
/* From the structs, then the JSON over it. */
vp_status vpi_settings_load(vpi_settings *s, const vp_job_options *o, vp_error *err);

typedef enum vpi_want { VPI_RUN, VPI_SUSPEND, VPI_CANCEL } vpi_want;

typedef struct vpi_rendition { /* of a package job */
    vp_source *source;
    char *name;
} vpi_rendition;

struct vp_job {
    _Atomic uint32_t refs;
    uint32_t fork_mark;
    vp_context *context;
    vp_source *source;
    vp_sink *sink;
    vp_store *work;
    vp_cancel *outer; /* the host's; NULL: none */
    vp_cancel *stop;  /* what everything inside looks at */
    vp_ladder *ladder;
    vpi_settings settings;
    char *work_name, *player_script;
    uint32_t probe_timeout_ms;
    vpi_rendition *renditions; /* package: not NULL */
    size_t rendition_count;
    vpi_emitter emitter;
    int64_t started_us, started_cpu_us;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    vpi_thread *thread, *watch;
    bool started, ended; /* under lock, as is all below */
    vpi_want want;
    bool asked; /* somebody stopped the job before it failed */
    vp_status outcome;
    vp_error error;
    vp_presentation *presentation;
    uint32_t threads_inside; /* job threads that have not ended */

    /* the publish, used by its own threads */
    vp_lease *lease; /* of the work store */
    vp_media *media;
    vp_plan *plan;
    vpi_keyring *ring; /* of the plan, or the package; NULL: clear */
    vpi_guard guard;
    char **written; /* keys committed by this job, for a cancel that must remove them */
    size_t written_count, written_cap;
    uint32_t floor_permille; /* of an earlier, suspended run */
};

/* publish.c: the body of a publish job. VP_END: ALREADY_DONE. */
vp_status vpi_publish_run(vp_job *job, vp_error *err);
/* package_job.c */
vp_status vpi_package_run(vp_job *job, vp_error *err);
/* schedule.c: runs all tasks of job->plan that are not done. */
vp_status vpi_schedule_run(vp_job *job, vp_error *err);

/* Zeroises the title's keys; no task runs. */
void vpi_job_forget_keys(vp_job *job);
/* NO_MPD_FOR_AES128 where it is so. */
void vpi_job_warn_no_mpd(vp_job *job, bool cmaf);

/* Remembers a committed object and tells the host. Thread-safe. */
void vpi_job_object(void *job, const vp_object_info *info);

/* ---- output.c: what a title needs around its segments ---- */

typedef struct vpi_output {
    vp_context *context;
    vp_sink *sink;
    vp_cancel *cancel;
    vp_lease *lease; /* without which nothing becomes visible; NULL: none is asked for */
    vpi_emitter *emitter;
    void (*object)(void *, const vp_object_info *);
    void *object_user;
    const char *prefix; /* "" for none */
    const char *request;
    bool player, prune, force;
    const char *player_script;
} vpi_output;

/* OUTPUT_EXISTS when the place holds what is not ours, or another request under the same folder. */
vp_status vpi_output_check(const vpi_output *o, vp_error *err);
/* Marks the version folder as ours, before anything is written into it, and tidies up in it. */
vp_status vpi_output_mark(const vpi_output *o, vp_error *err);
/*
 * VP_OK with *out when the title is there whole, of this request; the player page is added where it is asked for and
 * missing. VP_END when not.
 */
vp_status vpi_output_there(const vpi_output *o, vp_presentation **out, vp_error *err);
/* How every publish begins: VP_END and *there when the title is there, else VP_OK: the place is checked and marked. */
vp_status vpi_output_claim(const vpi_output *o, vp_presentation **there, vp_error *err);
/* Barrier; nothing where the sink has none. */
vp_status vpi_output_flush(const vpi_output *o, vp_error *err);
/* Gate, playlists, root files, in this order; durable when it returns. */
vp_status vpi_output_publish(const vpi_output *o, const vp_presentation *p, vp_error *err);
/* Removes what a cancelled job wrote, unless it is published. */
void vpi_output_discard(const vpi_output *o, char *const *keys, size_t count);
/* Text of the player page; script NULL: no hls.js. */
vp_status vpi_player_page(const char *script, vp_bytes **out, vp_error *err);

/* ---- finish.c ---- */

/*
 * How every publish ends, with the job's lease: from the records of all tasks to a visible title; the work is removed.
 * missing as in vp_plan_finish.
 */
vp_status vpi_finish(const vp_plan *plan, vp_store *work, const vpi_output *o, vp_presentation **out,
                     vp_bytes **missing, vp_error *err);

/* Removes what jobs put into the store, but for leases; a host's own values stay. */
vp_status vpi_work_sweep(vp_store *work, vp_error *err);

#endif
