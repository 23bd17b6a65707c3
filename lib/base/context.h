/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_BASE_CONTEXT_H
#define VPI_BASE_CONTEXT_H

/*
 * Budgets, log, cancel and threads inside the library.
 *
 * CPU slots: code that computes for long (decoding, scaling, encoding a frame) runs between vpi_cpu_enter and
 * vpi_cpu_leave, so that at most vp_context_threads() threads compute at a time however many exist. Never hold
 * a slot while waiting for another thread, a queue or I/O.
 */

#include <pthread.h>

#include "base/common.h"
#include "base/error.h"

void vpi_log(vp_context *context, int32_t level, const char *module, const char *format, ...)
    VPI_PRINTF(4, 5);

/* context NULL: no limit. */
void vpi_cpu_enter(vp_context *context);
void vpi_cpu_leave(vp_context *context);

/* Takes bytes of the memory budget. VP_AGAIN when not free now; LIMIT MEMORY_LIMIT when larger than the whole of it. */
vp_status vpi_memory_try(vp_context *context, uint64_t bytes, vp_error *err);
void vpi_memory_release(vp_context *context, uint64_t bytes);

/* STATE after vp_context_close() or in a forked child; NULL context is ARG. */
vp_status vpi_context_check(vp_context *context, vp_error *err);
/* Fires at vp_context_close(); children of it end with the context. Borrowed. */
vp_cancel *vpi_context_cancel(vp_context *context);
/*
 * A thread of the library: all signals blocked, named (15 characters), counted by the context, which joins it at
 * close. vpi_thread_join is for whoever started it; each thread is joined exactly once by either.
 */
typedef struct vpi_thread vpi_thread;
vp_status vpi_thread_start(vp_context *context, const char *name, void (*run)(void *), void *arg,
                           vpi_thread **out, vp_error *err);
vpi_thread *vpi_thread_join(vpi_thread *thread); /* NULL is allowed; returns NULL */
/* True on a thread that vpi_thread_start made. */
bool vpi_thread_is_ours(void);
/* True in a process that was forked after the value was taken with vpi_fork_mark(). */
uint32_t vpi_fork_mark(void);
bool vpi_forked(uint32_t mark);

/*
 * A function that vp_context_close() calls after its cancel fired, to wake threads that wait on a condition. It
 * may take locks of its owner, must not add or remove hooks and must not wait for threads. The struct is the
 * owner's; after vpi_hook_remove returned fn is not running and will not be called (no lock that fn takes may
 * be held around it). Adding to a closed context is STATE; removing one that was not added does nothing.
 */
typedef struct vpi_hook {
    void (*fn)(void *arg);
    void *arg;
    struct vpi_hook *next, **at; /* the context's, NULL before the call */
} vpi_hook;
vp_status vpi_hook_add(vp_context *context, vpi_hook *hook, vp_error *err);
void vpi_hook_remove(vp_context *context, vpi_hook *hook);

/*
 * `size` bytes, zeroed at first, that all who name the same key in this context have in common; what is in them is
 * theirs to guard. Gone with the last who lets go. NULL: no memory. Takes the context's lock alone.
 */
void *vpi_context_share(vp_context *context, const char *key, size_t size);
void *vpi_context_unshare(vp_context *context, void *shared); /* NULL is allowed; returns NULL */

/* CANCELED, or LIMIT TIMEOUT after a deadline; VP_OK for NULL. Cheap: call it per packet and frame. */
vp_status vpi_cancel_check(const vp_cancel *cancel, vp_error *err);
/* And this thread's scope: for whoever waits for something elsewhere, but not to tidy up. */
vp_status vpi_cancel_check_scope(const vp_cancel *cancel, vp_error *err);
bool vpi_cancel_scoped(void); /* this thread has one */
/* Of a call that has a cancel: that, else what there is. What was there before, for vp_cancel_scope(). */
vp_cancel *vpi_cancel_enter(vp_cancel *cancel);

/*
 * Bounded queue of pointers between threads. push waits for room, pop for an element. close: no more pushes, pop
 * gives what is left and then VP_END. abort: both sides return VP_E_CANCELED at once; what is left goes to drop.
 */
typedef struct vpi_pipe vpi_pipe;
vp_status vpi_pipe_new(size_t capacity, void (*drop)(void *element), vpi_pipe **out, vp_error *err);
vp_status vpi_pipe_push(vpi_pipe *pipe, void *element); /* on failure the element stays the caller's */
vp_status vpi_pipe_pop(vpi_pipe *pipe, void **element);
void vpi_pipe_close(vpi_pipe *pipe);
void vpi_pipe_abort(vpi_pipe *pipe);
vpi_pipe *vpi_pipe_free(vpi_pipe *pipe); /* drops what is left; NULL is allowed */

#endif
