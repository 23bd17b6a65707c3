/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_INGEST_INGEST_H
#define VPI_INGEST_INGEST_H

/* For back ends of ours in other folders. */

#include <vodpipe/ingest.h>

#include "base/common.h"

/* As vp_ingest_new; host false: the callbacks are ours, their statuses are not marked FROM_HOST. */
vp_status vpi_ingest_new(vp_context *context, const vp_ingest_ops *ops, void *user, bool host,
                         const vp_ingest_options *options, vp_ingest **out, vp_error *err);

#endif
