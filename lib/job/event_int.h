/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_JOB_EVENT_INT_H
#define VPI_JOB_EVENT_INT_H

#include <pthread.h>

#include <vodpipe/job.h>

#include "base/common.h"
#include "base/error.h"
#include "base/queue.h"

/* Where one job's events go. Thread-safe: callbacks run under its lock, so that they never overlap. */
typedef struct vpi_emitter {
    pthread_mutex_t lock;
    vp_queue *queue;
    vp_event_fn fn;
    void *user;
    vp_cancel *stop; /* fired when the host's callback answers non-zero; borrowed */
    uint64_t tag, seq, objects, bytes;
    int64_t last_progress;
    int32_t stage, host_answer;
    uint32_t permille; /* never falls */
    void *last_room;   /* of the queue's, for the terminal event: it is never lost for lack of memory */
} vpi_emitter;

void vpi_emitter_init(vpi_emitter *e, vp_queue *queue, vp_event_fn fn, void *user, uint64_t tag);
/* Makes sure of memory for the terminal event; false when there is none. */
bool vpi_emitter_reserve(vpi_emitter *e);
void vpi_emitter_dispose(vpi_emitter *e);
/* Progress is thinned to ten a second; the last of a stage (done == total) always goes out. */
void vpi_emit(vpi_emitter *e, vp_event *event);
void vpi_emit_stage(vpi_emitter *e, int32_t stage); /* once for each stage, in order */
void vpi_emit_warning(vpi_emitter *e, const char *name, int64_t time_us, const char *text);
void vpi_emit_object(vpi_emitter *e, const vp_object_info *info);
/* First non-zero answer of the host's callback; 0: none. */
int32_t vpi_emitter_answer(vpi_emitter *e);

#endif
