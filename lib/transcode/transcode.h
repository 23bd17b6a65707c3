/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_TRANSCODE_H
#define VPI_TRANSCODE_H

/* What job needs of a plan beyond the public calls. */

#include <vodpipe/transcode.h>

#include "model/presentation.h"
#include "package/package.h"

#define VPI_CODECS_TEXT 64

/* What options say of encryption, formats settled: ARG, AUTH KEY_MISSING. */
vp_status vpi_check_encryption(const vp_transcode_options *options, vp_error *err);
/*
 * vp_plan_new with the seed of IVs of another plan (16 bytes): the same title again. NULL: a random one. vpi_plan_seed:
 * of a plan that encrypts; else NULL.
 */
vp_status vpi_plan_new(vp_context *context, const vp_media *media, const vp_ladder *ladder,
                       const vp_transcode_options *options, const uint8_t *seed, vp_plan **out,
                       vp_error *err);
const uint8_t *vpi_plan_seed(const vp_plan *plan);
vpi_scheme vpi_plan_scheme(const vp_plan *plan);

/* The plan's keys, asked for again, KEY_INVALID unless they are the same; NULL in *out: it encrypts nothing. */
vp_status vpi_plan_keyring(const vp_plan *plan, struct vp_keys *keys, const char *title, vpi_keyring **out,
                           vp_error *err);
/* vp_task_run with the hooks of such keys (NULL: they are asked for). */
vp_status vpi_task_run(vp_context *context, const vp_plan *plan, const char *task, vp_source *source,
                       vp_store *work, vp_sink *sink, const vp_task_options *options, const vpi_guard *guard,
                       vp_cancel *cancel, vp_error *err);

#define VPI_MARKER ".vodpipe-version"
/*
 * The marker of a version folder ("": the root). check: VP_OK this request's; VP_END none, or the sink cannot tell;
 * CONFLICT OUTPUT_EXISTS another's. write makes it durable and fills info for the object event; key is where
 * info->key lies.
 */
vp_status vpi_marker_check(vp_sink *sink, const char *folder, const char *request, vp_error *err);
vp_status vpi_marker_write(vp_sink *sink, const char *folder, const char *request, vp_object_info *info,
                           char key[1024], vp_error *err);

/*
 * Which tasks are done: done holds vp_plan_task_count() answers. sink NULL: by their records alone; else what these
 * name has to be there too, as far as the sink can tell.
 */
vp_status vpi_plan_survey(vp_context *context, const vp_plan *plan, vp_store *work, vp_sink *sink, bool *done,
                          vp_error *err);
/* All tasks are to be done again: what they made turned out not to be good. */
vp_status vpi_plan_forget(const vp_plan *plan, vp_store *work, vp_error *err);
/*
 * All records in the work store put together as the presentation, rates included; concealed: pictures and frames that
 * the decoder concealed. With tasks missing: CONFLICT TASKS_MISSING, and their names in *missing (NULL allowed) as a
 * JSON array; what their records say of them is forgotten, so that they can be run.
 */
vp_status vpi_plan_collect(vp_context *context, const vp_plan *plan, vp_store *work, vp_sink *sink,
                           vp_presentation **out, uint64_t *concealed, vp_bytes **missing, vp_error *err);
/*
 * Writes what tasks do not: init segments, or the single files from their parts; completes the presentation's
 * offsets and sizes. object is told of each commit (may be NULL).
 */
vp_status vpi_plan_compose(const vp_plan *plan, vp_store *work, vp_sink *sink, vp_presentation *presentation,
                           void (*object)(void *, const vp_object_info *), void *object_user,
                           vp_cancel *cancel, vp_error *err);

/* Rungs for progress lines: name and bytes so far are the job's own business; this gives the names. */
size_t vpi_plan_rung_count(const vp_plan *plan);
const char *vpi_plan_rung_name(const vp_plan *plan, size_t rung);
bool vpi_plan_has_video(const vp_plan *plan);
bool vpi_plan_has_ts(const vp_plan *plan);
bool vpi_plan_has_cmaf(const vp_plan *plan);
/* SOURCE_CHANGED unless this is the source of the plan. */
vp_status vpi_plan_check_source(const vp_plan *plan, vp_source *source, vp_error *err);

#endif
