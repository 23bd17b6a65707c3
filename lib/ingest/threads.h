/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_INGEST_THREADS_H
#define VPI_INGEST_THREADS_H

/*
 * Threads for what may wait for a disk: steps of requests, and what is made durable behind the caller. They come with
 * the first work, at most so many, and stay. Thread-safe.
 */

#include <vodpipe/ingest.h>

#include "base/common.h"

typedef struct vpi_threads vpi_threads;

typedef struct vpi_threads_job { /* the caller's, until run begins */
    void (*run)(void *arg);
    void *arg;
    struct vpi_threads_job *next;
} vpi_threads_job;

/* name: static, of each thread. */
vp_status vpi_threads_new(vp_context *context, uint32_t most, const char *name, vpi_threads **out,
                          vp_error *err);
/* No job is left. May be called by a job itself. NULL is allowed; returns NULL. */
vpi_threads *vpi_threads_free(vpi_threads *pool);
/* False: no thread will come for it (none could be started, or the context closes); then the caller runs it. */
bool vpi_threads_add(vpi_threads *pool, vpi_threads_job *job);

#endif
