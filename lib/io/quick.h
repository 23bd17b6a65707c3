/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_IO_QUICK_H
#define VPI_IO_QUICK_H

#include <vodpipe/io.h>

/* SHA-256 over size, first 64 KiB and last 64 KiB: is this the source that was planned? Cheap enough per task. */
vp_status vpi_source_quick_hash(vp_source *source, uint8_t digest[32], vp_error *err);

/*
 * A sink whose objects become values of a store, under the same names: lets the segment writers write parts of
 * unfinished objects. Only begin, write, commit and abort; a name that was there already counts as committed.
 */
vp_status vpi_sink_over_store(vp_context *context, vp_store *store, vp_sink **out, vp_error *err);

/*
 * Appends a value to an object. bytes and crc32c (may be NULL) get what was copied. VP_END: there is no value of that
 * name.
 */
vp_status vpi_store_copy(vp_store *store, const char *name, vp_object *object, vp_cancel *cancel,
                         uint64_t *bytes, uint32_t *crc32c, vp_error *err);

#endif
