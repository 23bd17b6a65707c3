/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_TRANSCODE_ANALYSIS_INT_H
#define VPI_TRANSCODE_ANALYSIS_INT_H

/*
 * The shared analysis: one first pass of x264 over each span at a low resolution serves the second pass of all rungs.
 * In the work store: what a span costs in its task's result (`cost`), x264's own statistics as `stats/<task>` and
 * `stats/<task>.mbtree`. The solver needs the first of all spans, the encoders of a span the second of their own.
 */

#include "plan_int.h"
#include "solve_int.h"

/* Costs as a JSON object of a result, and back; NULL, or NOMEM, without memory. */
json_t *vpi_costs_to_json(const vpi_costs *costs);
vp_status vpi_costs_from_json(const json_t *o, const char *where, vpi_costs *out, vp_error *err);
#define VPI_STATS_NAME 96u
/* Names of the two values: x264's text and its macroblock tree. */
void vpi_analysis_value_name(const char *task, bool tree, char to[VPI_STATS_NAME]);

/* From local files (path, path + ".mbtree") into the work store; costs are read from them. */
vp_status vpi_analysis_store(vpi_task_env *env, const char *path, vpi_costs *costs, vp_error *err);

/*
 * Some pictures of each GOP, coded quickly at several quantisers, for what solve_int.h makes of them. Pictures in the
 * order of presentation; what came of a GOP is complete when the next one begins.
 */
typedef struct vpi_gauge vpi_gauge;
uint64_t vpi_gauge_memory(const vpi_h264enc_options *like); /* like: the analysis; bytes */
vp_status vpi_gauge_new(vp_context *context, const vpi_h264enc_options *like, vpi_gauge **out, vp_error *err);
vpi_gauge *vpi_gauge_free(vpi_gauge *gauge);
vp_status vpi_gauge_add(vpi_gauge *gauge, vpi_frame *frame, bool idr, vp_error *err);
/* Into the costs of the same GOPs. */
vp_status vpi_gauge_take(const vpi_gauge *gauge, vpi_costs *costs, vp_error *err);

/* What the rungs of span env->index are encoded with: statistics as local files, rates. */
typedef struct vpi_analysis vpi_analysis;
vp_status vpi_analysis_open(vpi_task_env *env, vpi_analysis **out, vp_error *err);
vpi_analysis *vpi_analysis_close(vpi_analysis *analysis); /* files go; open encoders keep what they read */
void vpi_analysis_use(const vpi_analysis *analysis, size_t rung, vpi_h264enc_options *enc);

#endif
