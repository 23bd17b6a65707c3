/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/context.h"
#include "base/error.h"
#include "base/queue.h"

/* A list of events with a descriptor that is readable while there are any. */

typedef struct vpi_queued entry;

struct vp_queue {
    _Atomic uint32_t refs;
    pthread_mutex_t lock;
    pthread_cond_t more;
    entry *first, *last;
    int fd;
    bool lost; /* an event had no memory */
    uint32_t fork_mark;
};

void vp_event_init(vp_event *event, size_t size)
{
    static const vp_event init = { .time_us = INT64_MIN, .eta_us = -1 }; /* VP_TIME_UNKNOWN of media.h */

    vpi_struct_init(event, size, &init, sizeof(init));
}

vp_status vp_queue_new(vp_queue **out, vp_error *err)
{
    vpi_error_reset(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "out is needed");
    *out = NULL;
    vp_queue *q = vpi_calloc(1, sizeof(*q));
    if (!q) return vpi_fail_nomem(err);
    q->refs = 1;
    q->fork_mark = vpi_fork_mark();
    q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->fd < 0) {
        vp_status st = vpi_fail_errno(err, errno, NULL, "eventfd");
        vpi_free(q);
        return st;
    }
    pthread_mutex_init(&q->lock, NULL);
    vpi_cond_init(&q->more);
    *out = q;
    return VP_OK;
}

vp_queue *vp_queue_ref(vp_queue *queue)
{
    if (queue) queue->refs++;
    return queue;
}

vp_queue *vp_queue_unref(vp_queue *queue)
{
    if (!queue || --queue->refs) return NULL;
    while (queue->first) {
        entry *e = queue->first;
        queue->first = e->next;
        vpi_free(e);
    }
    close(queue->fd);
    if (!vpi_forked(queue->fork_mark)) {
        pthread_cond_destroy(&queue->more);
        pthread_mutex_destroy(&queue->lock);
    }
    vpi_free(queue);
    return NULL;
}

int32_t vp_queue_fd(vp_queue *queue)
{
    return queue ? queue->fd : -1;
}

static void set_readable(vp_queue *q, bool readable)
{
    uint64_t one = 1;
    ssize_t n = readable ? write(q->fd, &one, sizeof(one)) : read(q->fd, &one, sizeof(one));
    (void)n; /* a full or empty counter is as it should be */
}

/* A store of uploads owns the events of all of them. */
static bool same_work(const entry *e, const void *owner, const vp_event *event)
{
    return e->owner == owner &&
           (event->kind != VP_EVENT_UPLOAD_PROGRESS || strcmp(e->event.key, event->key) == 0);
}

static entry *newest_synced(const vp_queue *q, const void *owner, const vp_event *event)
{
    entry *newest = NULL;
    if (q->last && same_work(q->last, owner, event)) return q->last;
    for (entry *e = q->first; e; e = e->next)
        if (same_work(e, owner, event)) newest = e;
    return newest;
}

void *vpi_queue_room(void)
{
    return vpi_calloc(1, sizeof(entry));
}

static entry *take_room(void **room)
{
    entry *e = room && *room ? *room : vpi_queue_room();
    if (room) *room = NULL;
    return e;
}

void vpi_queue_put(vp_queue *q, const void *owner, const vp_event *event, void **room)
{
    pthread_mutex_lock(&q->lock);
    entry *last = q->last;
    /* Unread progress that is the newest event of its job is replaced: an unread queue stays short. */
    bool progress = event->kind == VP_EVENT_PROGRESS || event->kind == VP_EVENT_UPLOAD_PROGRESS;
    entry *same = progress ? newest_synced(q, owner, event) : NULL;
    if (same && same->event.kind == event->kind) {
        same->event = *event;
    } else {
        entry *e = take_room(room);
        if (e) {
            e->owner = owner;
            e->event = *event;
            if (last)
                last->next = e;
            else
                q->first = e;
            q->last = e;
        } else {
            q->lost = true;
        }
        set_readable(q, true);
    }
    pthread_cond_broadcast(&q->more);
    pthread_mutex_unlock(&q->lock);
}

void vpi_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

void vpi_until_ms(int64_t ms, struct timespec *to)
{
    clock_gettime(CLOCK_MONOTONIC, to);
    to->tv_sec += (time_t)(ms / 1000);
    to->tv_nsec += (long)(ms % 1000) * 1000000;
    if (to->tv_nsec < 1000000000) return;
    to->tv_sec++;
    to->tv_nsec -= 1000000000;
}

static void wait_for_event(vp_queue *q, int64_t timeout_ms)
{
    struct timespec until;
    bool forever = timeout_ms < 0;
    if (!forever) vpi_until_ms(VPI_MIN(timeout_ms, (int64_t)86400000 * 365), &until);
    while (!q->first && !q->lost) {
        int rc = forever ? pthread_cond_wait(&q->more, &q->lock)
                         : pthread_cond_timedwait(&q->more, &q->lock, &until);
        if (rc == ETIMEDOUT) return;
    }
}

vp_status vpi_queue_take(vp_queue *queue, int64_t timeout_ms, entry **out, vp_error *err)
{
    if (vpi_forked(queue->fork_mark))
        return vpi_fail(err, VP_E_STATE, NULL, "the queue belongs to the parent process");
    pthread_mutex_lock(&queue->lock);
    if (timeout_ms) wait_for_event(queue, timeout_ms);
    entry *e = queue->first;
    bool lost = queue->lost;
    if (e && !lost) {
        queue->first = e->next;
        if (!queue->first) queue->last = NULL;
    }
    queue->lost = false;
    if (!queue->first) set_readable(queue, false);
    pthread_mutex_unlock(&queue->lock);
    if (lost) return vpi_fail_nomem(err);
    *out = e;
    return e ? VP_OK : VP_AGAIN;
}

void vpi_queue_put_back(vp_queue *queue, entry *e)
{
    pthread_mutex_lock(&queue->lock);
    e->next = queue->first;
    queue->first = e;
    if (!queue->last) queue->last = e;
    set_readable(queue, true);
    pthread_cond_broadcast(&queue->more);
    pthread_mutex_unlock(&queue->lock);
}

vp_status vp_queue_next(vp_queue *queue, int64_t timeout_ms, vp_event *event, vp_error *err)
{
    entry *e = NULL;
    vpi_error_reset(err);
    if (!queue || !event || event->struct_size < 4)
        return vpi_fail(err, VP_E_ARG, NULL, "queue and event are needed");
    vp_status st = vpi_queue_take(queue, timeout_ms, &e, err);
    if (st != VP_OK) return st;
    uint32_t size = VPI_MIN(event->struct_size, (uint32_t)sizeof(e->event));
    uint32_t theirs = event->struct_size;
    memcpy(event, &e->event, size);
    event->struct_size = theirs;
    vpi_free(e);
    return VP_OK;
}
