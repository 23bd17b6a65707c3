/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/context.h"

struct vpi_pipe {
    size_t capacity;
    void (*drop)(void *element);
    pthread_mutex_t lock;
    pthread_cond_t not_full, not_empty;
    struct {
        size_t first, count;
        bool closed, aborted;
    } synced;
    void *ring[];
};

vp_status vpi_pipe_new(size_t capacity, void (*drop)(void *element), vpi_pipe **out, vp_error *err)
{
    size_t bytes;
    vpi_pipe *p;

    *out = NULL;
    if (capacity == 0 || __builtin_mul_overflow(capacity, sizeof(void *), &bytes) ||
        __builtin_add_overflow(bytes, sizeof(*p), &bytes)) {
        return vpi_fail(err, VP_E_ARG, NULL, "the capacity of a queue is out of range");
    }
    p = vpi_calloc(1, bytes);
    if (!p) return vpi_fail_nomem(err);
    p->capacity = capacity;
    p->drop = drop;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->not_full, NULL);
    pthread_cond_init(&p->not_empty, NULL);
    *out = p;
    return VP_OK;
}

vp_status vpi_pipe_push(vpi_pipe *pipe, void *element)
{
    vp_status st = VP_OK;

    pthread_mutex_lock(&pipe->lock);
    while (pipe->synced.count == pipe->capacity && !pipe->synced.closed && !pipe->synced.aborted) {
        pthread_cond_wait(&pipe->not_full, &pipe->lock);
    }
    if (pipe->synced.aborted) {
        st = VP_E_CANCELED;
    } else if (pipe->synced.closed) {
        st = VP_E_STATE;
    } else {
        pipe->ring[(pipe->synced.first + pipe->synced.count++) % pipe->capacity] = element;
        pthread_cond_signal(&pipe->not_empty);
    }
    pthread_mutex_unlock(&pipe->lock);
    return st;
}

static void *take_synced(vpi_pipe *pipe)
{
    void *element = pipe->ring[pipe->synced.first];

    pipe->synced.first = (pipe->synced.first + 1) % pipe->capacity;
    pipe->synced.count--;
    return element;
}

vp_status vpi_pipe_pop(vpi_pipe *pipe, void **element)
{
    vp_status st = VP_OK;

    *element = NULL;
    pthread_mutex_lock(&pipe->lock);
    while (pipe->synced.count == 0 && !pipe->synced.closed && !pipe->synced.aborted) {
        pthread_cond_wait(&pipe->not_empty, &pipe->lock);
    }
    if (pipe->synced.aborted) {
        st = VP_E_CANCELED;
    } else if (pipe->synced.count == 0) {
        st = VP_END;
    } else {
        *element = take_synced(pipe);
        pthread_cond_signal(&pipe->not_full);
    }
    pthread_mutex_unlock(&pipe->lock);
    return st;
}

static void wake_all_synced(vpi_pipe *pipe)
{
    pthread_cond_broadcast(&pipe->not_full);
    pthread_cond_broadcast(&pipe->not_empty);
}

void vpi_pipe_close(vpi_pipe *pipe)
{
    pthread_mutex_lock(&pipe->lock);
    pipe->synced.closed = true;
    wake_all_synced(pipe);
    pthread_mutex_unlock(&pipe->lock);
}

void vpi_pipe_abort(vpi_pipe *pipe)
{
    pthread_mutex_lock(&pipe->lock);
    pipe->synced.aborted = true;
    wake_all_synced(pipe);
    /* drop may be slow or take locks of its own: it runs outside of ours. */
    while (pipe->synced.count > 0) {
        void *element = take_synced(pipe);

        pthread_mutex_unlock(&pipe->lock);
        if (pipe->drop) pipe->drop(element);
        pthread_mutex_lock(&pipe->lock);
    }
    pthread_mutex_unlock(&pipe->lock);
}

vpi_pipe *vpi_pipe_free(vpi_pipe *pipe)
{
    if (!pipe) return NULL;
    while (pipe->synced.count > 0) {
        void *element = take_synced(pipe);

        if (pipe->drop) pipe->drop(element);
    }
    pthread_cond_destroy(&pipe->not_empty);
    pthread_cond_destroy(&pipe->not_full);
    pthread_mutex_destroy(&pipe->lock);
    vpi_free(pipe);
    return NULL;
}
