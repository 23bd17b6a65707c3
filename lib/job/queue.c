/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/context.h"
#include "event_int.h"

/* A list of events with a descriptor that is readable while there are any. */

typedef struct entry {
    struct entry *next;
    const void *owner;
    vp_event event;
} entry;

struct vp_queue {
    _Atomic uint32_t refs;
    pthread_mutex_t lock;
    pthread_cond_t more;
    entry *first, *last;
    int fd;
    bool lost; /* an event had no memory */
    uint32_t fork_mark;
};

vp_status vp_queue_new(vp_queue **out, vp_error *err)
{
    pthread_condattr_t attr;
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
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->more, &attr);
    pthread_condattr_destroy(&attr);
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

static entry *newest_synced(const vp_queue *q, const void *owner)
{
    entry *newest = NULL;
    if (q->last && q->last->owner == owner) return q->last;
    for (entry *e = q->first; e; e = e->next)
        if (e->owner == owner) newest = e;
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
    entry *same = event->kind == VP_EVENT_PROGRESS ? newest_synced(q, owner) : NULL;
    if (same && same->event.kind == VP_EVENT_PROGRESS) {
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

/* The oldest entry, now the caller's. */
static vp_status take(vp_queue *queue, int64_t timeout_ms, entry **out, vp_error *err)
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

/* Gives back what was taken and could not be delivered. */
static void put_back(vp_queue *queue, entry *e)
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
    vp_status st = take(queue, timeout_ms, &e, err);
    if (st != VP_OK) return st;
    uint32_t size = VPI_MIN(event->struct_size, (uint32_t)sizeof(e->event));
    uint32_t theirs = event->struct_size;
    memcpy(event, &e->event, size);
    event->struct_size = theirs;
    vpi_free(e);
    return VP_OK;
}

vp_status vp_queue_next_json(vp_queue *queue, int64_t timeout_ms, uint64_t *tag, vp_bytes **out,
                             vp_error *err)
{
    entry *e = NULL;
    vpi_error_reset(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "out is needed");
    *out = NULL;
    if (!queue) return vpi_fail(err, VP_E_ARG, NULL, "queue and event are needed");
    vp_status st = take(queue, timeout_ms, &e, err);
    if (st != VP_OK) return st;
    if (tag) *tag = e->event.tag;
    st = vp_event_json(&e->event, NULL, out, err);
    if (st < 0)
        put_back(queue, e); /* the caller may ask again */
    else
        vpi_free(e);
    return st;
}
