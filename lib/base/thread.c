/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>

#include "base/context_int.h"
#include "base/fault.h"

#define NAME_ROOM 16

enum { RUNNING, JOINING, JOINED };

struct vpi_thread {
    vp_context *context; /* a reference: threads end before their context does */
    pthread_t id;
    char name[NAME_ROOM];
    void (*run)(void *);
    void *arg;
    struct {
        int state;
        vpi_thread *next, *previous;
    } synced; /* by context->lock */
};

static _Thread_local bool ours;

static void *thread_main(void *arg)
{
    vpi_thread *t = arg;

    ours = true;
    pthread_setname_np(pthread_self(), t->name);
    t->run(t->arg);
    return NULL;
}

bool vpi_thread_is_ours(void)
{
    return ours;
}

static void list_add_synced(vpi_thread *t)
{
    t->synced.next = t->context->synced.threads;
    if (t->synced.next) t->synced.next->synced.previous = t;
    t->context->synced.threads = t;
}

static void list_remove_synced(vpi_thread *t)
{
    if (t->synced.next) t->synced.next->synced.previous = t->synced.previous;
    if (t->synced.previous) {
        t->synced.previous->synced.next = t->synced.next;
    } else {
        t->context->synced.threads = t->synced.next;
    }
}

vp_status vpi_thread_start(vp_context *context, const char *name, void (*run)(void *), void *arg,
                           vpi_thread **out, vp_error *err)
{
    vpi_thread *t = NULL;
    sigset_t all, before;
    vp_status st;
    int rc = 0;

    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    t = vpi_calloc(1, sizeof(*t));
    if (!t) return vpi_fail_nomem(err);
    t->run = run;
    t->arg = arg;
    t->context = context;
    vpi_strlcpy(t->name, name, sizeof(t->name));

    /* A thread inherits the mask of its maker: this leaves no moment in which it could take a signal. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&context->lock);
    st = vpi_context_check(context, err);
    if (st == VP_OK) {
        /* Listed before it runs, because it may end, and be joined by a close, before we come back. */
        *out = t;
        rc = vpi_fault_hit() ? EAGAIN : pthread_create(&t->id, NULL, thread_main, t);
        if (rc == 0) {
            vp_context_ref(context);
            list_add_synced(t);
        }
    }
    pthread_mutex_unlock(&context->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (st == VP_OK && rc == 0) return VP_OK;
    *out = NULL;
    vpi_free(t);
    return st < 0 ? st : vpi_fail_errno(err, rc, NULL, "a thread could not be started");
}

vpi_thread *vpi_thread_join(vpi_thread *thread)
{
    vp_context *context;

    if (!thread) return NULL;
    context = thread->context;
    if (vpi_forked(context->fork_mark)) return NULL;
    pthread_mutex_lock(&context->lock);
    if (thread->synced.state == RUNNING) {
        thread->synced.state = JOINING;
        pthread_mutex_unlock(&context->lock);
        /* A thread that drops the last handle to itself cannot wait for its own end. */
        if (pthread_equal(thread->id, pthread_self())) {
            pthread_detach(thread->id);
        } else {
            pthread_join(thread->id, NULL);
        }
        pthread_mutex_lock(&context->lock);
    } else {
        while (thread->synced.state != JOINED) pthread_cond_wait(&context->joined, &context->lock);
    }
    list_remove_synced(thread);
    pthread_cond_broadcast(&context->joined);
    pthread_mutex_unlock(&context->lock);
    vpi_free(thread);
    vp_context_unref(context);
    return NULL;
}

void vpi_threads_join_all(vp_context *context)
{
    vpi_thread *t;

    pthread_mutex_lock(&context->lock);
    for (;;) {
        bool waiting = false;

        for (t = context->synced.threads; t && t->synced.state != RUNNING; t = t->synced.next) {
            waiting = waiting || t->synced.state == JOINING;
        }
        if (t) {
            /* The owner waits for JOINED before it frees the thread. */
            t->synced.state = JOINING;
            pthread_mutex_unlock(&context->lock);
            pthread_join(t->id, NULL);
            pthread_mutex_lock(&context->lock);
            t->synced.state = JOINED;
            pthread_cond_broadcast(&context->joined);
        } else if (waiting) {
            pthread_cond_wait(&context->joined, &context->lock);
        } else {
            break;
        }
    }
    pthread_mutex_unlock(&context->lock);
}
