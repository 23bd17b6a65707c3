/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_IO_SCRATCH_H
#define VPI_IO_SCRATCH_H

#include "base/error.h"

/*
 * A folder of this machine for files that other libraries want to open by name: TMPDIR, else /tmp. It is gone after
 * free; what a killed process left is removed when the next one is made.
 */
#define VPI_SCRATCH_PATH 512u

typedef struct vpi_scratch vpi_scratch;
vp_status vpi_scratch_new(vpi_scratch **out, vp_error *err);
vpi_scratch *vpi_scratch_free(vpi_scratch *scratch);
/* Path of a file in it; to holds VPI_SCRATCH_PATH bytes, name at most 64. */
void vpi_scratch_file(const vpi_scratch *scratch, const char *name, char to[VPI_SCRATCH_PATH]);
/* Writes and removes some file: what a library that does not tell why it could not write may have met. DISK_FULL. */
vp_status vpi_scratch_try(const vpi_scratch *scratch, vp_error *err);

#endif
