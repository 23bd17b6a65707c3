/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_IO_IO_INT_H
#define VPI_IO_IO_INT_H

/* Shared inside lib/io: handle checks, statuses of callbacks, gathering of small writes. */

#include <stdatomic.h>

#include "base/buf.h"
#include "io/io.h"

/* A source, sink or store of the host answers with an int32_t; ours never need the translation. */
static inline vp_status vpi_io_status(vp_status st, bool host, const char *what, vp_error *err)
{
    if (st == VP_OK) {
        /* A text that a callback left behind although it succeeded. */
        if (err && err->status < 0) vp_error_init(err);
        return VP_OK;
    }
    return host || st > 0 ? vpi_fail_host(err, st, what) : st;
}

/* Like vpi_io_status, for callbacks that may answer VP_END or VP_AGAIN (the positive one given). */
static inline vp_status vpi_io_status_or(vp_status st, vp_status allowed, bool host, const char *what,
                                         vp_error *err)
{
    if (st != allowed) return vpi_io_status(st, host, what, err);
    if (err) vp_error_init(err);
    return st;
}

/* Adds operation and key to a failure. */
static inline vp_status vpi_io_done(vp_status st, const char *op, const char *key, vp_error *err)
{
    if (st < 0) {
        vpi_error_op(err, op);
        vpi_error_key(err, key);
    }
    return st;
}

/* source_file.c: by it a source is known as a file. */
vp_status vpi_file_read_at(void *user, uint64_t offset, void *data, size_t capacity, size_t *got,
                           vp_error *err);

/* A listing of a host on its way to the caller: keys are checked, structs brought to our size. */
typedef struct vpi_listing {
    vp_list_fn fn;
    void *user;
    vp_status stopped; /* what fn answered when that was not VP_OK */
} vpi_listing;
vp_status vpi_listing_step(void *user, const vp_object_info *info);
/* The status of the whole from what the back end answered. */
vp_status vpi_listing_end(const vpi_listing *l, vp_status st, bool host, vp_error *err);

/* Writes of any size in, writes of at least VPI_PIECE bytes out (but the last). */
#define VPI_PIECE 65536u
typedef struct vpi_pieces {
    vpi_buf pending;
    vp_status (*write)(void *user, void *object, const void *data, size_t size, vp_error *err);
    void *user, *object;
    bool host;
} vpi_pieces;
vp_status vpi_pieces_add(vpi_pieces *p, const void *data, size_t size, vp_error *err);
vp_status vpi_pieces_flush(vpi_pieces *p, vp_error *err);
void vpi_pieces_dispose(vpi_pieces *p);

struct vp_sink {
    atomic_uint refs;
    vp_context *context;
    uint32_t fork_mark;
    bool host;
    vp_sink_ops ops;
    vpi_sink_extra extra;
    void *user;
    vpi_hook hook;
    pthread_mutex_t flush_lock;
    uint64_t failures;    /* of flushes; by flush_lock */
    pthread_mutex_t lock; /* SERIAL_OBJECTS only */
    pthread_cond_t idle;
    struct {
        bool busy; /* an object is between begin and commit or abort */
    } synced;
};

#endif
