/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_IO_IO_H
#define VPI_IO_IO_H

/* What other folders need beyond <vodpipe/io.h>: back ends of our own and small helpers. */

#include <sys/uio.h>

#include <vodpipe/io.h>

#include "base/context.h"

/*
 * Back ends of ours use the same tables as hosts, but their statuses are not marked FROM_HOST, and their release,
 * abort and unlease also run in a forked child, where they may only close descriptors and free memory.
 */
vp_status vpi_source_new_internal(vp_context *context, const vp_source_ops *ops, void *user, vp_source **out,
                                  vp_error *err);
/* May change iov. */
typedef vp_status (*vpi_writev_fn)(void *user, void *object, struct iovec *iov, int count, vp_error *err);
/* Removes what processes that were killed left of objects or values whose name begins with prefix; see vpi_dir_tidy. */
typedef void (*vpi_tidy_fn)(void *user, const char *prefix, const char *only);
typedef struct vpi_sink_extra { /* each may be 0 */
    vpi_writev_fn writev;
    bool direct; /* writes of any size go straight through */
    vpi_tidy_fn tidy;
} vpi_sink_extra;
vp_status vpi_sink_new_internal(vp_context *context, const vp_sink_ops *ops, const vpi_sink_extra *extra,
                                void *user, vp_sink **out, vp_error *err);
/* tidy may be NULL. */
vp_status vpi_store_new_internal(vp_context *context, const vp_store_ops *ops, vpi_tidy_fn tidy, void *user,
                                 vp_store **out, vp_error *err);

/* Takes a reference of bytes. */
vp_status vpi_source_bytes(vp_context *context, vp_bytes *bytes, vp_source **out, vp_error *err);
/* Takes fd over, also on failure. name: for errors. ARG when it is not a regular file. */
vp_status vpi_source_fd(vp_context *context, int fd, const char *name, vp_source **out, vp_error *err);
/* The same of `size` bytes from `base` on. mark: what tells them from others at this place, for their identity. */
vp_status vpi_source_range(vp_context *context, int fd, uint64_t base, uint64_t size, const char *mark,
                           const char *name, vp_source **out, vp_error *err);
/* A local file: reading a second time what was just read does not block for long, on any thread. */
bool vpi_source_is_file(const vp_source *source);
/* All of a source, at most limit bytes (LIMIT, INPUT_LIMIT), 0: 64 MiB. */
vp_status vpi_source_read_all(vp_source *source, uint64_t limit, vp_bytes **out, vp_error *err);

/* begin, write, commit or abort in one call. bytes and crc32c as in vp_object_commit. */
vp_status vpi_sink_put(vp_sink *sink, const vp_object_info *info, const void *data, uint64_t size,
                       uint64_t *bytes, uint32_t *crc32c, vp_error *err);

/*
 * At the start of work in a place: what earlier processes left there half-written goes, never what a living one writes.
 * prefix as for lists. Nothing where objects and values are not written to temporary files.
 */
void vpi_sink_tidy(vp_sink *sink, const char *prefix);
/* The same of objects called so, in all folders of the first level: "*" "/" name. */
void vpi_sink_tidy_named(vp_sink *sink, const char *name);
void vpi_store_tidy(vp_store *store, const char *prefix);

/*
 * How many flushes of this handle have failed. A flush tells each failure once, to whoever comes first: who began to
 * write before that number rose cannot know that the lost object was not its own.
 */
uint64_t vpi_sink_failures(vp_sink *sink);

/* Calls the host's interrupt, if any: for whoever saw a cancel while another thread is inside a callback. */
void vpi_source_interrupt(vp_source *source);
void vpi_sink_interrupt(vp_sink *sink);
void vpi_store_interrupt(vp_store *store);

/* Borrowed. */
vp_context *vpi_source_context(const vp_source *source);
vp_context *vpi_sink_context(const vp_sink *sink);
vp_context *vpi_store_context(const vp_store *store);

#endif
