/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MODEL_FILL_H
#define VPI_MODEL_FILL_H

#include "base/common.h"
#include "base/error.h"

/*
 * Copies a filled struct of ours (first member uint32_t struct_size, size bytes) out into the caller's, of
 * which no more than its own struct_size is written; that field stays. ARG for NULL or a struct_size below 4.
 */
vp_status vpi_fill_struct(void *to, const void *from, size_t size, vp_error *err);

#endif
