/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "job_int.h"

/*
 * Runs the plan's tasks side by side: audio tracks and spans, as many as the budgets of threads and memory allow.
 * Which task runs when changes no byte.
 */

/* A span keeps about two cores busy: one rung costs as much as the rest, the decoder and the scalers together. */
#define CORES_PER_SPAN 2u
#define RETRY_MS 100
#define PERMILLE_FIRST 20u
#define PERMILLE_LAST 970u

typedef enum task_state { WAITING, RUNNING, DONE } task_state;

typedef struct task_run {
    task_state state;
    vp_task_info info;
    uint64_t done, total;
    bool resumed; /* was done before this job */
    uint32_t met; /* so many of its needs are done, which they stay */
} task_run;

typedef struct scheduler {
    vp_job *job;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    task_run *tasks;
    uint32_t count;
    uint32_t running_video, most_video;
    uint32_t running_analysis;
    vp_status status; /* first failure */
    vp_error err;
    bool audio_said, video_said;
    int64_t started_us;
    uint64_t frames_now; /* pictures made by this job, for fps */
    uint64_t rung_bytes[VP_EVENT_RUNGS];
} scheduler;

typedef struct progress_user {
    scheduler *s;
    uint32_t index;
} progress_user;

/* ---- progress ---- */

static void fill_rungs(scheduler *s, vp_event *e, int64_t media_us)
{
    const vp_plan *plan = s->job->plan;
    e->rung_count = (uint32_t)VPI_MIN(vpi_plan_rung_count(plan), (size_t)VP_EVENT_RUNGS);
    for (uint32_t i = 0; i < e->rung_count; i++) {
        vpi_strlcpy(e->rung_name[i], vpi_plan_rung_name(plan, i), sizeof(e->rung_name[i]));
        e->rung_bytes[i] = s->rung_bytes[i];
        e->rung_kbps[i] = media_us > 0 ? (uint32_t)(s->rung_bytes[i] * 8000 / (uint64_t)media_us) : 0;
    }
}

static bool analysed(const scheduler *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->tasks[i].info.kind == VP_TASK_ANALYSE && s->tasks[i].state != DONE) return false;
    return true;
}

/* Tasks of this kind are what the progress is about. With the lock held. */
static int32_t progress_kind(const scheduler *s)
{
    if (s->video_said) return VP_TASK_VIDEO;
    return analysed(s) ? VP_TASK_AUDIO : VP_TASK_ANALYSE;
}

/* With the lock held. */
static void fill_progress(scheduler *s, vp_event *e)
{
    uint64_t cost = 0, spent = 0, fresh = 0, fresh_spent = 0;
    int64_t media_us = 0, elapsed = vpi_now_us() - s->started_us;
    e->kind = VP_EVENT_PROGRESS;
    int32_t kind = progress_kind(s);
    e->stage = kind == VP_TASK_VIDEO     ? VP_STAGE_ENCODE
               : kind == VP_TASK_ANALYSE ? VP_STAGE_ANALYSE
                                         : VP_STAGE_AUDIO;
    vpi_strlcpy(e->unit, "frames", sizeof(e->unit));
    for (uint32_t i = 0; i < s->count; i++) {
        const task_run *t = &s->tasks[i];
        uint64_t share = t->total ? t->info.cpu_us * VPI_MIN(t->done, t->total) / t->total : 0;
        bool counts = t->info.kind == kind;
        cost += t->info.cpu_us;
        spent += share;
        if (!t->resumed) {
            fresh += t->info.cpu_us;
            fresh_spent += share;
        }
        if (counts) {
            e->done += t->done;
            e->total += t->total;
        }
        if (t->info.kind == VP_TASK_VIDEO && !t->resumed && t->total)
            media_us += (int64_t)((uint64_t)(t->info.end_us - t->info.start_us) * VPI_MIN(t->done, t->total) /
                                  t->total);
    }
    e->permille = PERMILLE_FIRST + (cost ? (uint32_t)(spent * (PERMILLE_LAST - PERMILLE_FIRST) / cost) : 0);
    if (elapsed > 1000000 && fresh_spent > fresh / 200)
        e->eta_us = (int64_t)((double)elapsed * (double)(fresh - fresh_spent) / (double)fresh_spent);
    if (e->stage != VP_STAGE_ENCODE) return;
    if (elapsed > 0)
        e->fps_milli = (uint32_t)VPI_MIN(s->frames_now * 1000000000 / (uint64_t)elapsed, UINT32_MAX);
    fill_rungs(s, e, media_us);
}

static void on_progress(void *user, uint64_t done, uint64_t total)
{
    progress_user *u = user;
    scheduler *s = u->s;
    vp_event e;
    vp_event_init(&e, sizeof(e));
    pthread_mutex_lock(&s->lock);
    task_run *t = &s->tasks[u->index];
    if (t->info.kind == VP_TASK_VIDEO && done > t->done) s->frames_now += done - t->done;
    t->done = VPI_MAX(t->done, done);
    t->total = total;
    fill_progress(s, &e);
    pthread_mutex_unlock(&s->lock);
    vpi_emit(&s->job->emitter, &e);
}

static void on_object(void *user, const vp_object_info *info)
{
    progress_user *u = user;
    scheduler *s = u->s;
    const vp_plan *plan = s->job->plan;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < VPI_MIN(vpi_plan_rung_count(plan), (size_t)VP_EVENT_RUNGS); i++) {
        char part[48];
        snprintf(part, sizeof(part), "/%s/", vpi_plan_rung_name(plan, i));
        if (strstr(info->key, part)) s->rung_bytes[i] += info->size;
    }
    pthread_mutex_unlock(&s->lock);
    vpi_job_object(s->job, info);
}

/* ---- choosing ---- */

static bool is_done(const scheduler *s, const char *name, uint32_t guess)
{
    if (guess < s->count && vpi_streq(s->tasks[guess].info.name, name)) return s->tasks[guess].state == DONE;
    for (uint32_t i = 0; i < s->count; i++)
        if (vpi_streq(s->tasks[i].info.name, name)) return s->tasks[i].state == DONE;
    return true;
}

/* Long titles have hundreds of tasks, which all need hundreds. */
static bool needs_done(scheduler *s, uint32_t index)
{
    task_run *t = &s->tasks[index];
    const char *need;
    for (; (need = vp_plan_get_need(s->job->plan, index, t->met)); t->met++)
        if (!is_done(s, need, t->met)) return false;
    return true;
}

static bool all_done(const scheduler *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->tasks[i].state != DONE) return false;
    return true;
}

/* A task that may start now, its memory taken; count when there is none. */
static uint32_t choose(scheduler *s)
{
    for (uint32_t i = 0; i < s->count && s->status >= 0; i++) {
        task_run *t = &s->tasks[i];
        bool video = t->info.kind == VP_TASK_VIDEO, analysis = t->info.kind == VP_TASK_ANALYSE;
        if (t->state != WAITING || !needs_done(s, i) || (video && s->running_video >= s->most_video) ||
            (analysis && s->running_analysis >= vp_context_threads(s->job->context)))
            continue;
        vp_status st =
            vpi_memory_try(s->job->context, t->info.memory_bytes, s->err.status < 0 ? NULL : &s->err);
        if (st < 0) {
            s->status = st;
            return s->count;
        }
        if (st != VP_OK) continue;
        t->state = RUNNING;
        if (video) s->running_video++;
        if (analysis) s->running_analysis++;
        return i;
    }
    return s->count;
}

/* Sound is made, or was, beside other tasks? */
static bool has_audio(const scheduler *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->tasks[i].info.kind == VP_TASK_AUDIO && !s->tasks[i].resumed) return true;
    return false;
}

/* Stages come in their order: sound that is made beside the analysis is not told before that is done. */
static void say_stage(scheduler *s, int32_t kind)
{
    pthread_mutex_lock(&s->lock);
    bool ready = analysed(s);
    pthread_mutex_unlock(&s->lock);
    if (!ready) return;
    vpi_emit_stage(&s->job->emitter, VP_STAGE_SOLVE);
    if (kind == VP_TASK_AUDIO || (kind == VP_TASK_VIDEO && has_audio(s)))
        vpi_emit_stage(&s->job->emitter, VP_STAGE_AUDIO);
    if (kind != VP_TASK_VIDEO) return;
    vpi_emit_stage(&s->job->emitter, VP_STAGE_ENCODE);
    pthread_mutex_lock(&s->lock);
    s->video_said = true;
    pthread_mutex_unlock(&s->lock);
}

/* ---- workers ---- */

static vp_status run_task(scheduler *s, uint32_t index, vp_error *err)
{
    vp_job *job = s->job;
    progress_user user = { s, index };
    vp_task_options o = VP_TASK_OPTIONS_INIT;
    o.progress = on_progress;
    o.progress_user = &user;
    o.object = on_object;
    o.object_user = &user;
    return vpi_task_run(job->context, job->plan, s->tasks[index].info.name, job->source, job->work, job->sink,
                        &o, &job->guard, job->stop, err);
}

static void settle(scheduler *s, uint32_t index, vp_status st, const vp_error *err)
{
    task_run *t = &s->tasks[index];
    vpi_memory_release(s->job->context, t->info.memory_bytes);
    if (t->info.kind == VP_TASK_VIDEO) s->running_video--;
    if (t->info.kind == VP_TASK_ANALYSE) s->running_analysis--;
    t->state =
        st == VP_OK || st == VP_END ? DONE : WAITING; /* AGAIN: another process has it, look again later */
    if (t->state == DONE) t->done = t->total;
    if (st < 0 && s->status >= 0) {
        s->status = st;
        s->err = *err;
        vp_cancel_fire(s->job->stop); /* the others end too; the first failure is what is reported */
    }
    pthread_cond_broadcast(&s->changed);
}

static void wait_a_little(scheduler *s)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += RETRY_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&s->changed, &s->lock, &until);
}

static void worker(void *arg)
{
    scheduler *s = arg;
    pthread_mutex_lock(&s->lock);
    while (s->status >= 0 && !all_done(s)) {
        vp_error err = VP_ERROR_INIT;
        vp_status st = vpi_cancel_check(s->job->stop, &err);
        if (st < 0) {
            s->status = st;
            s->err = err;
            break;
        }
        uint32_t index = choose(s);
        if (index == s->count) {
            wait_a_little(s);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        say_stage(s, s->tasks[index].info.kind);
        st = run_task(s, index, &err);
        pthread_mutex_lock(&s->lock);
        settle(s, index, st, &err);
        if (st == VP_AGAIN) wait_a_little(s);
    }
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static vp_status load_tasks(scheduler *s, vp_error *err)
{
    vp_job *job = s->job;
    s->count = vp_plan_task_count(job->plan);
    s->tasks = vpi_calloc(s->count, sizeof(*s->tasks));
    bool *done = vpi_calloc(s->count, sizeof(*done));
    vp_status st = s->tasks && done
                       ? vpi_plan_survey(job->context, job->plan, job->work, job->sink, done, err)
                       : vpi_fail_nomem(err);
    for (uint32_t i = 0; st >= 0 && i < s->count; i++) {
        task_run *t = &s->tasks[i];
        vp_task_info_init(&t->info, sizeof(t->info));
        st = vp_plan_get_task(job->plan, i, &t->info, err);
        t->total = VPI_MAX(t->info.frames, 1u);
        t->resumed = done[i];
        t->state = t->resumed ? DONE : WAITING;
        t->done = t->resumed ? t->total : 0;
    }
    vpi_free(done);
    return st;
}

/* What cannot fit at all is refused before anything runs. */
static vp_status check_memory(const scheduler *s, vp_error *err)
{
    uint64_t most = 0, budget = vp_context_memory(s->job->context);
    for (uint32_t i = 0; i < s->count; i++)
        if (s->tasks[i].state != DONE) most = VPI_MAX(most, s->tasks[i].info.memory_bytes);
    if (most <= budget) return VP_OK;
    return vpi_fail(err, VP_E_LIMIT, "MEMORY_LIMIT", "a task needs about %llu MB, the budget is %llu MB",
                    (unsigned long long)(most >> 20), (unsigned long long)(budget >> 20));
}

static uint32_t worker_count(const scheduler *s)
{
    uint32_t audio = 0, video = 0, analysis = 0, threads = vp_context_threads(s->job->context);
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->tasks[i].state == DONE) continue;
        video += s->tasks[i].info.kind == VP_TASK_VIDEO;
        audio += s->tasks[i].info.kind == VP_TASK_AUDIO;
        analysis += s->tasks[i].info.kind == VP_TASK_ANALYSE;
    }
    return VPI_MAX(VPI_MIN(video, s->most_video), VPI_MIN(analysis, threads)) +
           VPI_MIN(audio, VPI_MAX(threads / 2, 1u));
}

vp_status vpi_schedule_run(vp_job *job, vp_error *err)
{
    scheduler s = { .job = job, .started_us = vpi_now_us() };
    vpi_thread **threads = NULL;
    uint32_t n = 0, started = 0;
    vp_error own = VP_ERROR_INIT; /* s.err belongs to the workers once there is one */
    vp_error_init(&s.err);
    pthread_mutex_init(&s.lock, NULL);
    pthread_cond_init(&s.changed, NULL);
    s.most_video = (vp_context_threads(job->context) + CORES_PER_SPAN - 1) / CORES_PER_SPAN;
    vp_status st = load_tasks(&s, &own);
    if (st >= 0) st = check_memory(&s, &own);
    if (st >= 0) {
        n = worker_count(&s);
        threads = vpi_calloc(n ? n : 1, sizeof(vpi_thread *));
        if (!threads) st = vpi_fail_nomem(&own);
    }
    for (uint32_t i = 0; st >= 0 && i < n; i++) {
        st = vpi_thread_start(job->context, "vp-task", worker, &s, &threads[i], &own);
        if (st >= 0) started++;
    }
    pthread_mutex_lock(&s.lock);
    if (st < 0 && s.status >= 0) {
        s.status = st;
        s.err = own;
        vp_cancel_fire(job->stop);
    }
    pthread_mutex_unlock(&s.lock);
    for (uint32_t i = 0; i < started; i++) vpi_thread_join(threads[i]);
    st = s.status;
    if (st < 0) vpi_error_copy(err, &s.err);
    vpi_free(threads);
    vpi_free(s.tasks);
    pthread_cond_destroy(&s.changed);
    pthread_mutex_destroy(&s.lock);
    return st < 0 ? st : VP_OK;
}
