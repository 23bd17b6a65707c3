/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_IO_OBJECT_H
#define VPI_IO_OBJECT_H

#include <sys/uio.h>

#include <vodpipe/io.h>

#include "base/common.h"

/* Writes count pieces in order; a directory sink hands large batches to writev(2) without copying them. */
vp_status vpi_object_writev(vp_object *object, const struct iovec *iov, size_t count, vp_error *err);

/* Bytes written so far. */
uint64_t vpi_object_size(const vp_object *object);

#endif
