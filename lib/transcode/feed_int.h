/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_TRANSCODE_FEED_INT_H
#define VPI_TRANSCODE_FEED_INT_H

/* Decodes one span and gives its pictures in order, each with its time on the title's grid. */

#include "plan_int.h"

/* frame is borrowed; a held picture comes again. idr: a fragment begins here. Stops at a failure. */
typedef vp_status (*vpi_picture_fn)(void *user, vpi_frame *frame, uint64_t ticks, bool idr, vp_error *err);

typedef struct vpi_feed_options {
    uint32_t width, height; /* of the frames */
    bool rough;             /* for measuring only: cheap, not exact */
    vpi_picture_fn picture;
    void *user;
} vpi_feed_options;

/* Of span env->index; tells progress, counts what was concealed in env. */
vp_status vpi_feed_span(vpi_task_env *env, const vpi_feed_options *options, vp_error *err);

#endif
