/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_BASE_QUEUE_H
#define VPI_BASE_QUEUE_H

#include <pthread.h>
#include <time.h>

#include <vodpipe/event.h>

#include "base/common.h"

/* An event that waits in a queue. */
typedef struct vpi_queued {
    struct vpi_queued *next;
    const void *owner;
    vp_event event;
} vpi_queued;

/*
 * Copies the event into the queue. owner: whose progress events coalesce. Never fails visibly: when there is no memory
 * the queue keeps a mark and gives NOMEM to its next reader. room: NULL, or memory of vpi_queue_room that is used up
 * (set to NULL).
 */
void vpi_queue_put(vp_queue *queue, const void *owner, const vp_event *event, void **room);
/* Memory for one event, to be freed with vpi_free; NULL when there is none. */
void *vpi_queue_room(void);

/* The oldest entry, now the caller's, to be freed with vpi_free; VP_AGAIN: none came in time. */
vp_status vpi_queue_take(vp_queue *queue, int64_t timeout_ms, vpi_queued **out, vp_error *err);
/* Gives back what was taken and could not be delivered. */
void vpi_queue_put_back(vp_queue *queue, vpi_queued *entry);

/* A condition for pthread_cond_timedwait with times of vpi_until_ms. */
void vpi_cond_init(pthread_cond_t *cond);
/* The monotonic clock's time in so many milliseconds, for pthread_cond_timedwait. */
void vpi_until_ms(int64_t ms, struct timespec *to);

#endif
