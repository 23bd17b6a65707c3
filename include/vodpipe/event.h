/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_EVENT_H
#define VODPIPE_EVENT_H

/* What work tells while it runs, by callback or through a queue that many jobs and uploads share. Tier 1. */

#include <vodpipe/base.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    VP_EVENT_STAGE = 1,     /* a stage began */
    VP_EVENT_PROGRESS = 2,  /* at most ten a second */
    VP_EVENT_WARNING = 3,   /* reason, time_us, text */
    VP_EVENT_OBJECT = 4,    /* an object was committed: key, object_kind, bytes, crc32c */
    VP_EVENT_DONE = 5,      /* last event: published, or ALREADY_DONE (reason) */
    VP_EVENT_FAILED = 6,    /* last event: status, reason, op, text, retryable */
    VP_EVENT_SUSPENDED = 7, /* last event: the work is kept */
    VP_EVENT_CANCELED = 8,  /* last event */
    /* of ingest.h: key is the upload's id, done its durable bytes, total its length (VP_SIZE_UNKNOWN: not known yet) */
    VP_EVENT_UPLOAD_CREATED = 9,
    VP_EVENT_UPLOAD_PROGRESS = 10, /* those of one upload coalesce */
    VP_EVENT_UPLOAD_FINISHED = 11,
    VP_EVENT_UPLOAD_EXPIRED = 12,
    VP_EVENT_UPLOAD_REMOVED = 13,
    VP_EVENT_UPLOAD_SYNCED =
        14 /* answer to vp_upload_append_start, sync_start and finish_start: status, reason, text */
};

enum {
    VP_STAGE_SCAN = 1,
    VP_STAGE_ANALYSE = 2,
    VP_STAGE_SOLVE = 3,
    VP_STAGE_AUDIO = 4,
    VP_STAGE_ENCODE = 5,
    VP_STAGE_PACKAGE = 6,
    VP_STAGE_MANIFEST = 7,
    VP_STAGE_FINISH = 8,
    VP_STAGE_UPLOAD = 9 /* of hosts that send what is there already, as `vodpipe put`; of no job */
};
VP_API const char *vp_stage_name(int32_t stage); /* "scan" ...; static */

/* Most rungs whose rates an event carries. */
#define VP_EVENT_RUNGS 16

typedef struct vp_event {
    uint32_t struct_size;
    int32_t kind;            /* VP_EVENT_* */
    int32_t stage;           /* VP_STAGE_* */
    vp_status status;        /* FAILED */
    uint64_t tag;            /* the job's, from vp_job_options */
    uint64_t seq;            /* rises by one in a job; in a queue some are missing where progress coalesced */
    uint64_t done, total;    /* cumulative; in unit */
    uint64_t bytes;          /* OBJECT: its size; DONE: of all objects */
    uint64_t objects;        /* DONE: how many */
    int64_t time_us;         /* WARNING: media time, VP_TIME_UNKNOWN */
    int64_t eta_us;          /* PROGRESS: rest of the job; -1 unknown */
    int64_t cpu_us, wall_us; /* DONE */
    uint32_t permille;       /* of the whole job; never falls, also over a resume */
    uint32_t fps_milli;      /* PROGRESS in encode: pictures a second * 1000 */
    uint32_t crc32c;         /* OBJECT */
    int32_t object_kind;     /* OBJECT: VP_OBJECT_* */
    uint32_t retryable;      /* FAILED */
    uint32_t rung_count;     /* PROGRESS in encode */
    uint32_t rung_kbps[VP_EVENT_RUNGS];
    uint64_t rung_bytes[VP_EVENT_RUNGS];
    char rung_name[VP_EVENT_RUNGS][32];
    char unit[16];    /* PROGRESS: "frames", "bytes" */
    char reason[32];  /* WARNING, FAILED, DONE */
    char op[48];      /* FAILED */
    char key[1024];   /* OBJECT; SUSPENDED: empty */
    char version[48]; /* DONE */
    char text[448];   /* WARNING, FAILED */
} vp_event;
VP_API void vp_event_init(vp_event *event, size_t size);
/* The event as a line of `--progress json`, without a newline. Pure function. work: text for "suspended", or NULL. */
VP_API vp_status vp_event_json(const vp_event *event, const char *work, vp_bytes **out, vp_error *err);

/*
 * Called on a library thread; the calls of one job never overlap and come in the order of seq. event is valid
 * during the call. May fire a cancel, suspend or cancel the job; must not wait for it or drop its last reference.
 * A non-zero return ends the job with VP_E_HOST and that number in vp_error.native.
 */
typedef int32_t (*vp_event_fn)(void *user, const vp_event *event);

/* Events of many jobs, for a host that reads them on a thread of its own. Thread-safe. */
typedef struct vp_queue vp_queue;
VP_API vp_status vp_queue_new(vp_queue **out, vp_error *err);
VP_API vp_queue *vp_queue_ref(vp_queue *queue);
VP_API vp_queue *vp_queue_unref(vp_queue *queue);
/*
 * Next event, copied into *event (struct_size set). Waits up to timeout_ms (0: not at all, -1: for ever). VP_AGAIN:
 * none came. An unread queue never blocks a job: progress events of a job coalesce, others are kept.
 */
VP_API vp_status vp_queue_next(vp_queue *queue, int64_t timeout_ms, vp_event *event, vp_error *err);
/*
 * The same as a line of `--progress json`, for languages where structs are awkward: *out is the caller's. tag (may
 * be NULL) gets the job's. Rungs, permille, reasons: all that the line has; the names of the terminal events are
 * "done", "failed", "suspended" and "canceled".
 */
VP_API vp_status vp_queue_next_json(vp_queue *queue, int64_t timeout_ms, uint64_t *tag, vp_bytes **out,
                                    vp_error *err);
/* A descriptor that polls readable while events wait; owned by the queue; -1 where there is none. */
VP_API int32_t vp_queue_fd(vp_queue *queue);

#ifdef __cplusplus
}
#endif

#endif
