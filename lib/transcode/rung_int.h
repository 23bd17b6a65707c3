/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_TRANSCODE_RUNG_INT_H
#define VPI_TRANSCODE_RUNG_INT_H

/* One rung of one span: a thread that encodes the pictures it is fed and writes their segments. */

#include "base/context.h"
#include "analysis_int.h"
#include "frames_int.h"
#include "plan_int.h"

/* What the rungs of a span share. The first failure stays and ends them all. */
typedef struct vpi_span_run {
    vpi_task_env *env;
    const vpi_plan_span *span;
    struct vpi_analysis *analysis;  /* while rungs start; NULL: a single pass */
    const vpi_frames_reader *audio; /* muxed into TS; NULL */
    pthread_mutex_t lock;
    uint64_t pictures; /* by the first rung, once it has ended */
    vp_status status;  /* under lock, as is err */
    vp_error err;
    struct vpi_rung_run **rungs;
    size_t rung_count;
} vpi_span_run;

/* Records a failure and stops all rungs. err may be NULL. */
void vpi_span_fail(vpi_span_run *span, vp_status status, const vp_error *err);

typedef struct vpi_feed { /* one picture on its way to an encoder */
    vpi_frame *frame;
    int64_t pts; /* ticks of the title */
    bool idr;
} vpi_feed;
void vpi_feed_drop(void *feed);

typedef struct vpi_rung_run vpi_rung_run;
vp_status vpi_rung_start(vpi_span_run *span, size_t index, vpi_rung_run **out, vp_error *err);
/* Takes its own reference of frame. CANCELED when the span has failed; err is left to what made it fail. */
vp_status vpi_rung_feed(vpi_rung_run *run, vpi_frame *frame, int64_t pts, bool idr, vp_error *err);
void vpi_rung_close(vpi_rung_run *run); /* no more pictures */
void vpi_rung_abort(vpi_rung_run *run);
/* Waits for all threads of the span, then frees its rungs. */
void vpi_span_join(vpi_span_run *span);

#endif
