/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "io/io.h"
#include "job_int.h"
#include "media/demux.h"

/* Shares of the whole job, in permille: the scan reads the file once, the tasks are nearly everything. */
#define PERMILLE_SCAN 20u
#define PERMILLE_TASKS 970u

static void progress(vp_job *job, int32_t stage, uint64_t done, uint64_t total, const char *unit,
                     uint32_t permille)
{
    vp_event e;
    vp_event_init(&e, sizeof(e));
    e.kind = VP_EVENT_PROGRESS;
    e.stage = stage;
    e.done = done;
    e.total = total;
    e.permille = permille;
    vpi_strlcpy(e.unit, unit, sizeof(e.unit));
    vpi_emit(&job->emitter, &e);
}

static void on_scan(void *user, uint64_t done, uint64_t total)
{
    vp_job *job = user;
    uint32_t permille = total ? (uint32_t)(VPI_MIN(done, total) * PERMILLE_SCAN / total) : 0;
    progress(job, VP_STAGE_SCAN, done, total, "bytes", VPI_MAX(permille, job->floor_permille));
}

/* What a host was told last; tasks that were under way count in it, though they begin anew. */
static uint32_t told_permille(vp_job *job)
{
    vp_bytes *text = NULL;
    uint32_t told = 0;
    if (vp_store_get(job->work, VPI_WORK_PERMILLE, 16, &text, NULL) == VP_OK)
        told = (uint32_t)VPI_MIN(strtoul(vp_bytes_data(text), NULL, 10), (unsigned long)PERMILLE_TASKS);
    vp_bytes_unref(text);
    return told;
}

/* The work is kept, so the next run must not tell less. Without the note it begins with what is done. */
static void keep_permille(vp_job *job)
{
    char text[16];
    pthread_mutex_lock(&job->emitter.lock);
    int n = snprintf(text, sizeof(text), "%u", job->emitter.permille);
    pthread_mutex_unlock(&job->emitter.lock);
    if (vp_store_remove(job->work, VPI_WORK_PERMILLE, NULL) >= 0)
        vp_store_put(job->work, VPI_WORK_PERMILLE, text, (uint64_t)n, NULL);
}

/* How far an earlier run came: the new one begins there, so that the number never falls. */
static void find_floor(vp_job *job)
{
    vp_bytes *text = NULL;
    vp_plan *plan = NULL;
    vp_progress tasks = VP_PROGRESS_INIT;
    if (vp_store_get(job->work, VPI_WORK_PLAN, VPI_DOCUMENT_MAX, &text, NULL) == VP_OK &&
        vp_plan_parse(vp_bytes_data(text), vp_bytes_size(text), &plan, NULL) == VP_OK &&
        vp_plan_progress(plan, job->work, &tasks, NULL) == VP_OK)
        job->floor_permille = PERMILLE_SCAN + tasks.permille * (PERMILLE_TASKS - PERMILLE_SCAN) / 1000;
    job->floor_permille = VPI_MAX(job->floor_permille, told_permille(job));
    job->emitter.permille = job->floor_permille;
    vp_plan_unref(plan);
    vp_bytes_unref(text);
}

static vp_status scan(vp_job *job, vp_error *err)
{
    vp_probe_options o = VP_PROBE_OPTIONS_INIT;
    o.full = 1;
    o.timeout_ms = job->probe_timeout_ms;
    vpi_emit_stage(&job->emitter, VP_STAGE_SCAN);
    VPI_TRY(vpi_scan(job->context, job->source, &o, job->stop, on_scan, job, &job->media, err));
    for (size_t i = 0; i < job->media->m.warning_count; i++) {
        const vpi_warning *w = &job->media->m.warnings[i];
        vpi_emit_warning(&job->emitter, w->name, w->time_us, w->text);
    }
    return VP_OK;
}

static vp_status derive_ladder(vp_job *job, vp_error *err)
{
    vp_ladder_options o = VP_LADDER_OPTIONS_INIT;
    const vpi_settings *s = &job->settings;
    if (s->ladder_document) {
        vp_ladder_unref(job->ladder);
        job->ladder = NULL;
        VPI_TRY(
            vp_ladder_parse(s->ladder_document, strlen(s->ladder_document), job->media, &job->ladder, err));
    } else if (!job->ladder || s->ladder_list) {
        vp_ladder_unref(job->ladder);
        job->ladder = NULL;
        o.max_fps = s->transcode.max_fps;
        o.rungs = s->ladder_list;
        VPI_TRY(vp_ladder_derive(job->media, &o, &job->ladder, err));
    }
    for (uint32_t i = 0; i < vp_ladder_warning_count(job->ladder); i++) {
        const char *text = NULL, *name = vp_ladder_warning(job->ladder, i, &text);
        vpi_emit_warning(&job->emitter, name, VP_TIME_UNKNOWN, text);
    }
    return VP_OK;
}

/*
 * Work that was begun goes on under the same IVs: what was encrypted before is the same bytes then. *out NULL: there is
 * no work of this request.
 */
static vp_status plan_again(vp_job *job, vp_plan **out, vp_error *err)
{
    vp_bytes *text = NULL;
    vp_plan *kept = NULL, *plan = NULL;
    vp_status st = VP_OK;
    if (!job->settings.transcode.encrypt) return VP_OK;
    if (vp_store_get(job->work, VPI_WORK_PLAN, VPI_DOCUMENT_MAX, &text, NULL) == VP_OK &&
        vp_plan_parse(vp_bytes_data(text), vp_bytes_size(text), &kept, NULL) == VP_OK && vpi_plan_seed(kept))
        st = vpi_plan_new(job->context, job->media, job->ladder, &job->settings.transcode,
                          vpi_plan_seed(kept), &plan, err);
    if (plan && vpi_streq(vp_plan_request(plan), vp_plan_request(kept)))
        *out = plan;
    else
        vp_plan_unref(plan);
    vp_plan_unref(kept);
    vp_bytes_unref(text);
    return st;
}

static vp_status make_plan(vp_job *job, vp_error *err)
{
    vpi_emit_stage(&job->emitter, VP_STAGE_ANALYSE);
    VPI_TRY(derive_ladder(job, err));
    vpi_job_warn_no_mpd(job, job->settings.transcode.formats != VP_FORMAT_TS);
    VPI_TRY(plan_again(job, &job->plan, err));
    if (job->plan) return VP_OK;
    return vp_plan_new(job->context, job->media, job->ladder, &job->settings.transcode, &job->plan, err);
}

/* The work store holds this plan; work of another plan is of no use and goes. */
static vp_status keep_plan(vp_job *job, vp_error *err)
{
    vp_bytes *ours = NULL, *theirs = NULL;
    vp_plan *other = NULL;
    VPI_TRY(vp_plan_json(job->plan, &ours, err));
    vp_status st = vp_store_get(job->work, VPI_WORK_PLAN, VPI_DOCUMENT_MAX, &theirs, err);
    bool same = st == VP_OK && vp_bytes_size(ours) == vp_bytes_size(theirs) &&
                memcmp(vp_bytes_data(ours), vp_bytes_data(theirs), (size_t)vp_bytes_size(ours)) == 0;
    if (st == VP_OK && !same) {
        /* A damaged one costs nothing but itself: records name their plan. */
        st = vp_plan_parse(vp_bytes_data(theirs), vp_bytes_size(theirs), &other, NULL);
        st = st == VP_E_NOMEM ? vpi_fail_nomem(err)
             : st >= 0        ? vpi_work_sweep(job->work, err)
                              : vp_store_remove(job->work, VPI_WORK_PLAN, err);
    }
    if (st >= 0 && !same)
        st = vp_store_put(job->work, VPI_WORK_PLAN, vp_bytes_data(ours), vp_bytes_size(ours), err);
    vp_plan_unref(other);
    vp_bytes_unref(theirs);
    vp_bytes_unref(ours);
    return st < 0 ? st : VP_OK;
}

static void init_output(vp_job *job, vpi_output *o)
{
    *o = (vpi_output){ .context = job->context,
                       .sink = job->sink,
                       .cancel = job->stop,
                       .lease = job->lease,
                       .emitter = &job->emitter,
                       .object = vpi_job_object,
                       .object_user = job,
                       .prefix = vp_plan_prefix(job->plan),
                       .request = vp_plan_request(job->plan),
                       .player = job->settings.player,
                       .prune = job->settings.prune,
                       .force = job->settings.force,
                       .player_script = job->player_script };
}

static vp_status source_identity(vp_job *job, char to[256], vp_error *err)
{
    vp_status st = vp_source_identity(job->source, to, 256, err);
    if (st != VP_E_UNSUPPORTED) return st;
    to[0] = 0;
    vpi_error_reset(err);
    return VP_OK;
}

static void keep_presentation(vp_job *job, vp_presentation *p)
{
    pthread_mutex_lock(&job->lock);
    job->presentation = p;
    pthread_mutex_unlock(&job->lock);
}

static vp_status run_tasks(vp_job *job, const char *identity, vp_error *err)
{
    char after[256] = "";
    VPI_TRY(vpi_schedule_run(job, err));
    VPI_TRY(source_identity(job, after, err));
    if (vpi_streq(identity, after)) return vpi_cancel_check(job->stop, err);
    /* Nobody knows which tasks have seen what. */
    vpi_plan_forget(job->plan, job->work, NULL);
    return vpi_fail(err, VP_E_CONFLICT, "SOURCE_CHANGED", "the source changed while it was read");
}

static vp_status publish(vp_job *job, vp_error *err)
{
    vpi_output o;
    vp_presentation *p = NULL;
    char identity[256] = "";
    vpi_store_tidy(job->work, "");
    find_floor(job);
    VPI_TRY(source_identity(job, identity, err));
    VPI_TRY(scan(job, err));
    VPI_TRY(make_plan(job, err));
    init_output(job, &o);
    vp_status st = vpi_output_claim(&o, &p, err);
    if (st < 0) return st;
    if (st == VP_END) {
        keep_presentation(job, p);
        vpi_work_sweep(job->work, NULL);
        return VP_END;
    }
    VPI_TRY(keep_plan(job, err));
    VPI_TRY(vpi_plan_keyring(job->plan, job->settings.keys, job->settings.title, &job->ring, err));
    if (job->ring) vpi_keys_ops_of(job->settings.keys)->guard(job->ring, &job->guard);
    VPI_TRY(run_tasks(job, identity, err));
    VPI_TRY(vpi_finish(job->plan, job->work, &o, &p, NULL, err));
    keep_presentation(job, p);
    return VP_OK;
}

vp_status vpi_publish_run(vp_job *job, vp_error *err)
{
    vp_status st = vp_store_lease(job->work, VPI_WORK_LEASE, &job->lease, NULL, err);
    if (st == VP_AGAIN)
        return vpi_fail(err, VP_E_CONFLICT, "ALREADY_RUNNING", "another process works on this title");
    if (st < 0) return st;
    st = publish(job, err);
    vpi_job_forget_keys(job);
    if (st < 0 && job->plan) keep_permille(job);
    job->lease = vp_lease_release(job->lease);
    return st;
}
