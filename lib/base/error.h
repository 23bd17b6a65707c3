/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_BASE_ERROR_H
#define VPI_BASE_ERROR_H

/*
 * Filling a vp_error. err may be NULL everywhere. The first failure stays: a call on an error that already
 * holds one changes nothing. Each returns the status given, so that `return vpi_fail(...)` reads well.
 */

#include "base/common.h"

/* Public functions call this first. */
#define vpi_error_reset(err) vp_error_init(err)

/* reason: a stable name of docs/reasons.md; NULL: the status's own name (ARG, NOMEM, STATE, INTERNAL ...). */
vp_status vpi_fail(vp_error *err, vp_status status, const char *reason, const char *format, ...)
    VPI_PRINTF(4, 5);
vp_status vpi_fail_nomem(vp_error *err);
/* IO with errno; DISK_FULL for ENOSPC, EDQUOT and EFBIG, else IO_ERROR; NOMEM for ENOMEM. key may be NULL. */
vp_status vpi_fail_errno(vp_error *err, int number, const char *key, const char *what);
/* Status of a host callback: passes negative ones through, marks FROM_HOST, fills a text if the host set none. */
vp_status vpi_fail_host(vp_error *err, vp_status status, const char *what);
/* Adds where it is missing; never replaces. */
void vpi_error_op(vp_error *err, const char *op);
void vpi_error_key(vp_error *err, const char *key);
/* Copies from into to, keeping to's struct_size; both may be NULL. */
void vpi_error_copy(vp_error *to, const vp_error *from);

#define VPI_TRY(expression)                                                                                  \
    do {                                                                                                     \
        vp_status vpi_try_ = (expression);                                                                   \
        if (vpi_try_ < 0) return vpi_try_;                                                                   \
    } while (0)
/* With a local `st` and a label `done`. */
#define VPI_GO(expression)                                                                                   \
    do {                                                                                                     \
        st = (expression);                                                                                   \
        if (st < 0) goto done;                                                                               \
    } while (0)

#endif
