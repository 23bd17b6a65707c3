/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_BASE_CONTEXT_INT_H
#define VPI_BASE_CONTEXT_INT_H

/* Inside of a context, shared by context.c and thread.c only. */

#include <stdatomic.h>

#include "base/context.h"

typedef struct cpu_waiter {
    pthread_cond_t granted_cond;
    struct cpu_waiter *next;
    bool granted;
} cpu_waiter;

struct vp_context {
    atomic_uint refs;
    atomic_bool closed;
    uint32_t fork_mark;
    uint32_t threads;
    uint64_t memory;
    vp_log_fn log;
    void *log_user;
    int32_t log_level;
    vp_cancel *cancel;

    pthread_mutex_t cpu_lock;
    struct {
        uint32_t in_use;
        cpu_waiter *first, **last; /* who came first gets the next free slot */
    } cpu;

    pthread_mutex_t lock;
    pthread_cond_t joined; /* a thread of the list below was joined or left the list */
    struct {
        uint64_t memory_taken;
        vpi_thread *threads;
    } synced;

    /* Taken alone and before the lock of whoever owns the hook; see vpi_hook_remove. */
    struct vpi_shared *shared; /* by lock */
    pthread_mutex_t hook_lock;
    vpi_hook *hooks;
};

/* Joins every thread of the context that its owner has not joined. */
void vpi_threads_join_all(vp_context *context);

#endif
