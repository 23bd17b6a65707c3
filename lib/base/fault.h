/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_BASE_FAULT_H
#define VPI_BASE_FAULT_H

/*
 * Fault injection for tests: store n > 0 and the n-th allocation (or thread start) of the library from then on
 * fails, once. 0, the state outside tests, costs one relaxed load per allocation. When the value is still above
 * zero after a flow, the flow made fewer than n allocations.
 */

#include <stdatomic.h>
#include <stdbool.h>

extern _Atomic long vpi_alloc_fail_at;

/*
 * The same for what changes a disk: the n-th file or folder that is made, written, synced, named or removed from then
 * on is not, and fails with the error number vpi_disk_fail_with; with 0 the process ends there, as by kill -9.
 */
extern _Atomic long vpi_disk_fail_at;
extern _Atomic int vpi_disk_fail_with;

/* Called before each such change, by the thread that makes it: a disk that is slow. NULL outside tests. */
extern void (*_Atomic vpi_disk_hook)(void);

/* 0, or the negative error number with which this change has to fail. */
int vpi_fault_disk(void);

/* True when the allocation that asks has to fail. */
static inline bool vpi_fault_hit(void)
{
    if (atomic_load_explicit(&vpi_alloc_fail_at, memory_order_relaxed) <= 0) return false;
    return atomic_fetch_sub_explicit(&vpi_alloc_fail_at, 1, memory_order_relaxed) == 1;
}

#endif
