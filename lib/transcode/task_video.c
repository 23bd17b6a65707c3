/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "feed_int.h"
#include "rung_int.h"

/* One span of all rungs: this thread decodes and scales, each rung has a thread that encodes. */

typedef struct encoder {
    vpi_span_run span;
    vpi_scaler *scalers[VPI_PLAN_RUNGS]; /* [0] is not used */
    vpi_frame *sized[VPI_PLAN_RUNGS];    /* sized[0] in all sizes */
} encoder;

static void drop_sized(encoder *f)
{
    for (size_t i = 0; i < VPI_PLAN_RUNGS; i++) f->sized[i] = vpi_frame_unref(f->sized[i]);
}

static vp_status scale_all(encoder *f, vpi_frame *frame, vp_error *err)
{
    vp_status st = VP_OK;
    drop_sized(f);
    f->sized[0] = vpi_frame_ref(frame);
    vpi_cpu_enter(f->span.env->context);
    for (size_t i = 1; st >= 0 && i < f->span.rung_count; i++)
        st = vpi_scaler_scale(f->scalers[i], f->sized[i - 1], &f->sized[i], err);
    vpi_cpu_leave(f->span.env->context);
    if (st < 0) drop_sized(f);
    return st;
}

static vp_status feed_rungs(void *user, vpi_frame *frame, uint64_t ticks, bool idr, vp_error *err)
{
    encoder *f = user;
    if (f->sized[0] != frame) VPI_TRY(scale_all(f, frame, err));
    for (size_t i = 0; i < f->span.rung_count; i++)
        VPI_TRY(vpi_rung_feed(f->span.rungs[i], f->sized[i], (int64_t)ticks, idr, err));
    return VP_OK;
}

static vp_status start_rungs(encoder *f, vp_error *err)
{
    const vp_plan *plan = f->span.env->plan;
    f->span.rungs = vpi_calloc(plan->rung_count, sizeof(vpi_rung_run *));
    if (!f->span.rungs) return vpi_fail_nomem(err);
    for (size_t i = 1; i < plan->rung_count; i++) {
        const vpi_h264enc_options *from = &plan->rungs[i - 1].enc, *to = &plan->rungs[i].enc;
        VPI_TRY(vpi_scaler_new(from->width, from->height, to->width, to->height, &f->scalers[i], err));
    }
    for (size_t i = 0; i < plan->rung_count; i++) {
        vpi_rung_run *run = NULL;
        VPI_TRY(vpi_rung_start(&f->span, i, &run, err));
        /* a rung that started may fail at any time and walks this list */
        pthread_mutex_lock(&f->span.lock);
        f->span.rungs[i] = run;
        f->span.rung_count = i + 1;
        bool failed = f->span.status < 0;
        if (failed) vpi_rung_abort(run);
        pthread_mutex_unlock(&f->span.lock);
    }
    return VP_OK;
}

static vp_status open_audio(vpi_task_env *env, vpi_frames_reader **out, vp_error *err)
{
    char name[160];
    if (!env->plan->mux_audio) return VP_OK;
    snprintf(name, sizeof(name), "audio/%s", env->plan->audio[0].name);
    vp_status st = vpi_frames_open(env->work, name, env->plan->audio[0].audio.frames, out, err);
    if (st == VP_E_DATA || st == VP_E_CONFLICT)
        vpi_task_redo(env, env->plan->task_names[vpi_plan_audio_task(env->plan, 0)]);
    return st;
}

vp_status vpi_task_video(vpi_task_env *env, vp_error *err)
{
    encoder f = { .span = { .env = env, .span = &env->plan->spans[env->index] } };
    const vpi_feed_options o = { .width = env->plan->rungs[0].enc.width,
                                 .height = env->plan->rungs[0].enc.height,
                                 .picture = feed_rungs,
                                 .user = &f };
    vp_error own = VP_ERROR_INIT;
    vpi_frames_reader *audio = NULL;
    vp_error_init(&f.span.err);
    pthread_mutex_init(&f.span.lock, NULL);
    vp_status st = open_audio(env, &audio, &own);
    f.span.audio = audio;
    if (st >= 0 && env->plan->two_pass) st = vpi_analysis_open(env, &f.span.analysis, &own);
    if (st >= 0) st = start_rungs(&f, &own);
    vpi_analysis_close(f.span.analysis); /* encoders have read what they need */
    f.span.analysis = NULL;
    if (st >= 0) st = vpi_feed_span(env, &o, &own);
    if (st < 0)
        vpi_span_fail(&f.span, st, &own); /* a rung's failure that stopped this thread stays the first */
    for (size_t i = 0; i < f.span.rung_count; i++) vpi_rung_close(f.span.rungs[i]);
    vpi_span_join(&f.span);
    env->pictures = f.span.pictures;
    st = f.span.status;
    if (st < 0 && err) vpi_error_copy(err, &f.span.err);
    drop_sized(&f);
    for (size_t i = 0; i < VPI_PLAN_RUNGS; i++) vpi_scaler_free(f.scalers[i]);
    vpi_frames_close(audio);
    vpi_free(f.span.rungs);
    pthread_mutex_destroy(&f.span.lock);
    return st;
}
