/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_INGEST_DIR_PACE_H
#define VPI_INGEST_DIR_PACE_H

/*
 * Where nothing is synced, a large write may go past the page cache or through it. Past it costs next to no processor
 * time, but the disk sets the pace; through it is a copy into pages that have to be found first: a quarter of a
 * millisecond a MiB where the kernel has some at hand, five times that where a virtual machine gets them from its host
 * one by one. So what runs is measured. Thread-safe.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Zero is one that knows nothing. */
typedef struct vpi_pace {
    atomic_uint past_us;    /* that the disk takes for 1 MiB; 0: not known */
    atomic_uint through_us; /* of a processor for 1 MiB; 0: not known */
} vpi_pace;

/* Whether the next write goes through the cache; `running` others go past it right now. */
bool vpi_pace_through(const vpi_pace *pace, unsigned running);
/* `size` bytes took so long past the cache, one of `running` together with this one. */
void vpi_pace_past_took(vpi_pace *pace, size_t size, int64_t us, unsigned running);
/* Through the cache, the time of the processor. */
void vpi_pace_through_took(vpi_pace *pace, size_t size, int64_t us);

#endif
