/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_BASE_LIMITS_H
#define VPI_BASE_LIMITS_H

/* What affinity and control groups (v1 and v2) leave to this process. */

#include "base/common.h"

typedef struct vpi_limits {
    uint32_t cpus;   /* whole CPUs, rounded up; 0: no limit */
    uint64_t memory; /* bytes; 0: no limit */
} vpi_limits;

/* Limits of the control groups. root is put before /proc and /sys: "" but in tests. */
vpi_limits vpi_cgroup_limits(const char *root);
/* Together with affinity and physical memory; never 0. */
uint32_t vpi_usable_cpus(void);
uint64_t vpi_usable_memory(void);

#endif
