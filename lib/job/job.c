/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job_int.h"

#include <errno.h>
#include <time.h>

#include "io/io.h"

/* How often the watching thread looks for a cancel from outside. */
#define WATCH_MS 50

void vp_job_options_init(vp_job_options *options, size_t size)
{
    static const vp_job_options init = VP_JOB_OPTIONS_INIT;

    vpi_struct_init(options, size, &init, sizeof(init));
}

static void job_free(vp_job *job)
{
    if (!vpi_forked(job->fork_mark)) {
        vpi_thread_join(job->thread);
        vpi_thread_join(job->watch);
        pthread_cond_destroy(&job->changed);
        pthread_mutex_destroy(&job->lock);
        vpi_emitter_dispose(&job->emitter);
    }
    for (size_t i = 0; i < job->written_count; i++) vpi_free(job->written[i]);
    for (size_t i = 0; i < job->rendition_count; i++) {
        vp_source_unref(job->renditions[i].source);
        vpi_free(job->renditions[i].name);
    }
    vpi_free(job->written);
    vpi_free(job->renditions);
    vp_presentation_unref(job->presentation);
    vp_plan_unref(job->plan);
    vp_media_unref(job->media);
    vp_ladder_unref(job->ladder);
    vpi_settings_dispose(&job->settings);
    vpi_free(job->work_name);
    vpi_free(job->player_script);
    vp_source_unref(job->source);
    vp_sink_unref(job->sink);
    vp_store_unref(job->work);
    vp_cancel_unref(job->outer);
    vp_cancel_unref(job->stop);
    vp_context_unref(job->context);
    vpi_free(job);
}

static vp_job *job_alloc(void)
{
    vp_job *job = vpi_calloc(1, sizeof(*job));
    if (!job) return NULL;
    job->refs = 1;
    job->fork_mark = vpi_fork_mark();
    vp_error_init(&job->error);
    pthread_mutex_init(&job->lock, NULL);
    vpi_cond_init(&job->changed);
    return job;
}

static vp_status fill(vp_job *job, vp_context *context, const vp_job_options *o, vp_error *err)
{
    job->context = vp_context_ref(context);
    vpi_emitter_init(&job->emitter, o->queue, o->on_event, o->event_user, o->tag);
    job->source = vp_source_ref(o->source);
    job->sink = vp_sink_ref(o->sink);
    job->outer = vp_cancel_ref(o->cancel);
    job->ladder = vp_ladder_ref((vp_ladder *)(uintptr_t)o->ladder);
    job->probe_timeout_ms = o->probe_timeout_ms;
    job->work_name = vpi_strdup(o->work_name);
    job->player_script = vpi_strdup(o->player_script);
    if ((o->work_name && !job->work_name) || (o->player_script && !job->player_script))
        return vpi_fail_nomem(err);
    if (!vpi_emitter_reserve(&job->emitter)) return vpi_fail_nomem(err);
    VPI_TRY(vpi_settings_load(&job->settings, o, err));
    VPI_TRY(vp_cancel_child(vpi_context_cancel(context), &job->stop, err));
    job->emitter.stop = job->stop;
    if (o->work)
        job->work = vp_store_ref(o->work);
    else
        VPI_TRY(vp_store_memory(context, &job->work, err));
    return VP_OK;
}

static vp_status make(vp_context *context, const vp_job_options *options, bool package, vp_job **out,
                      vp_error *err)
{
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    if (!context || !out) return vpi_fail(err, VP_E_ARG, NULL, "context and out are needed");
    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    if (!o.sink) return vpi_fail(err, VP_E_ARG, NULL, "sink is needed");
    if (!o.source && !package) return vpi_fail(err, VP_E_ARG, NULL, "source is needed");
    vp_job *job = job_alloc();
    if (!job) return vpi_fail_nomem(err);
    vp_status st = fill(job, context, &o, err);
    if (st < 0) {
        job_free(job);
        return st;
    }
    *out = job;
    return VP_OK;
}

vp_status vp_job_new(vp_context *context, const vp_job_options *options, vp_job **out, vp_error *err)
{
    vpi_error_reset(err);
    return make(context, options, false, out, err);
}

vp_status vp_job_new_json(vp_context *context, vp_source *source, vp_sink *sink, vp_store *work,
                          vp_queue *queue, uint64_t tag, const char *settings_json, vp_job **out,
                          vp_error *err)
{
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    vpi_error_reset(err);
    o.source = source;
    o.sink = sink;
    o.work = work;
    o.queue = queue;
    o.tag = tag;
    o.settings_json = settings_json;
    return make(context, &o, false, out, err);
}

#define RENDITIONS_MAX 64u

vp_status vp_job_new_package(vp_context *context, const vp_job_options *options, vp_source *const *sources,
                             const char *const *names, uint32_t count, vp_job **out, vp_error *err)
{
    vp_job *job = NULL;
    vpi_error_reset(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "context and out are needed");
    *out = NULL;
    if (!options) return vpi_fail(err, VP_E_ARG, NULL, "options are needed");
    if (!sources || !count || count > RENDITIONS_MAX)
        return vpi_fail(err, VP_E_ARG, NULL, "1 to %u renditions", RENDITIONS_MAX);
    for (uint32_t i = 0; i < count; i++)
        if (!sources[i]) return vpi_fail(err, VP_E_ARG, NULL, "rendition %u has no source", i);
    VPI_TRY(make(context, options, true, &job, err));
    job->renditions = vpi_calloc(count, sizeof(*job->renditions));
    for (uint32_t i = 0; job->renditions && i < count; i++) {
        vpi_rendition *r = &job->renditions[i];
        r->source = vp_source_ref(sources[i]);
        r->name = names && names[i] ? vpi_strdup(names[i]) : vpi_asprintf("rendition %u", i + 1);
        job->rendition_count = i + 1;
        if (!r->name) break;
    }
    if (!job->renditions || job->rendition_count < count || !job->renditions[count - 1].name) {
        job_free(job);
        return vpi_fail_nomem(err);
    }
    *out = job;
    return VP_OK;
}

vp_job *vp_job_ref(vp_job *job)
{
    if (job) job->refs++;
    return job;
}

vp_job *vp_job_unref(vp_job *job)
{
    if (!job || --job->refs) return NULL;
    if (!vpi_forked(job->fork_mark)) vp_job_cancel(job, NULL);
    job_free(job);
    return NULL;
}

/* ---- the threads ---- */

static vp_status outcome_of(vp_job *job, vp_status st, vp_error *err)
{
    int32_t answer = vpi_emitter_answer(&job->emitter);
    if (answer && st < 0) { /* the host's own number reaches it untouched */
        vp_error_init(err);
        vpi_fail(err, VP_E_HOST, NULL, "the event callback answered %d", (int)answer);
        err->native = answer;
        err->domain = VP_DOM_HOST;
        err->flags |= VP_ERRF_FROM_HOST;
        return VP_E_HOST;
    }
    /* What fails after a stop fails because of it: a callback that was interrupted, a context that is closed. */
    pthread_mutex_lock(&job->lock);
    bool asked = job->asked;
    pthread_mutex_unlock(&job->lock);
    asked = asked || vp_cancel_fired(job->outer) || vpi_context_check(job->context, NULL) < 0;
    if (st >= 0 || st == VP_E_CANCELED || !asked) return st;
    vp_error_init(err);
    return vpi_fail(err, VP_E_CANCELED, "CANCELED", "canceled");
}

static void emit_end(vp_job *job, vp_status st, vpi_want want, const vp_error *err)
{
    vp_event e;
    vp_event_init(&e, sizeof(e));
    e.stage = job->emitter.stage;
    e.cpu_us = vpi_cpu_us() - job->started_cpu_us;
    e.wall_us = vpi_now_us() - job->started_us;
    if (st == VP_OK || st == VP_END) {
        e.kind = VP_EVENT_DONE;
        e.permille = 1000;
        e.objects = job->emitter.objects;
        e.bytes = job->emitter.bytes;
        if (st == VP_END) vpi_strlcpy(e.reason, "ALREADY_DONE", sizeof(e.reason));
        if (job->plan)
            vpi_strlcpy(e.version, vp_plan_version(job->plan), sizeof(e.version));
        else if (job->presentation)
            vpi_strlcpy(e.version, job->presentation->p.version, sizeof(e.version));
    } else if (st == VP_E_CANCELED) {
        e.kind = want == VPI_CANCEL ? VP_EVENT_CANCELED : VP_EVENT_SUSPENDED;
        e.status = st;
    } else {
        e.kind = VP_EVENT_FAILED;
        e.status = st;
        e.retryable = err->flags & VP_ERRF_RETRYABLE ? 1 : 0;
        vpi_strlcpy(e.reason, err->reason, sizeof(e.reason));
        vpi_strlcpy(e.op, err->op, sizeof(e.op));
        vpi_strlcpy(e.text, err->message, sizeof(e.text));
    }
    vpi_emit(&job->emitter, &e);
}

/* A cancelled job leaves nothing behind; a suspended or failed one keeps its work. */
static void discard(vp_job *job)
{
    if (job->plan) {
        vpi_output o = { .context = job->context,
                         .sink = job->sink,
                         .prefix = vp_plan_prefix(job->plan),
                         .request = vp_plan_request(job->plan) };
        vpi_output_discard(&o, job->written, job->written_count);
    } else if (job->written_count) {
        vpi_output o = { .context = job->context, .sink = job->sink, .prefix = "", .request = "" };
        vpi_output_discard(&o, job->written, job->written_count);
    }
    vpi_work_sweep(job->work, NULL);
}

static void job_main(void *arg)
{
    vp_job *job = arg;
    vp_error err = VP_ERROR_INIT;
    job->started_us = vpi_now_us();
    job->started_cpu_us = vpi_cpu_us();
    vp_status st = job->renditions ? vpi_package_run(job, &err) : vpi_publish_run(job, &err);
    st = outcome_of(job, st, &err);
    pthread_mutex_lock(&job->lock);
    vpi_want want = job->want;
    pthread_mutex_unlock(&job->lock);
    if (st == VP_E_CANCELED && want == VPI_CANCEL) discard(job);
    if (st == VP_E_CANCELED && want == VPI_RUN)
        want = VPI_SUSPEND; /* the context closed, or a host's own cancel */
    emit_end(job, st, want, &err);
    pthread_mutex_lock(&job->lock);
    job->outcome = st;
    if (st < 0) job->error = err;
    job->ended = true;
    pthread_cond_broadcast(&job->changed);
    pthread_mutex_unlock(&job->lock);
}

static void interrupt_all(vp_job *job)
{
    if (job->source) vpi_source_interrupt(job->source);
    for (size_t i = 0; i < job->rendition_count; i++) vpi_source_interrupt(job->renditions[i].source);
    vpi_sink_interrupt(job->sink);
    vpi_store_interrupt(job->work);
}

/* Hands a cancel from outside on, and wakes host callbacks that block. */
static void watch_main(void *arg)
{
    vp_job *job = arg;
    pthread_mutex_lock(&job->lock);
    while (!job->ended) {
        struct timespec until;
        vpi_until_ms(WATCH_MS, &until);
        pthread_cond_timedwait(&job->changed, &job->lock, &until);
        if (job->ended) break;
        bool outer = vp_cancel_fired(job->outer), stop = vp_cancel_fired(job->stop);
        if (outer && !stop) {
            if (job->want == VPI_RUN) job->want = VPI_SUSPEND;
            job->asked = true;
            vp_cancel_fire(job->stop);
        }
        if (!outer && !stop) continue;
        pthread_mutex_unlock(&job->lock);
        interrupt_all(job); /* again and again: a callback may have begun after the last one */
        pthread_mutex_lock(&job->lock);
    }
    pthread_mutex_unlock(&job->lock);
}

static vp_status check(vp_job *job, vp_error *err)
{
    if (!job) return vpi_fail(err, VP_E_ARG, NULL, "job is needed");
    if (vpi_forked(job->fork_mark))
        return vpi_fail(err, VP_E_STATE, NULL, "the job belongs to the parent process");
    return VP_OK;
}

vp_status vp_job_start(vp_job *job, vp_error *err)
{
    vp_error own = VP_ERROR_INIT; /* who waits asks for it later, also when err is NULL */
    vpi_error_reset(err);
    VPI_TRY(check(job, err));
    VPI_TRY(vpi_context_check(job->context, err));
    pthread_mutex_lock(&job->lock);
    bool again = job->started;
    job->started = true;
    pthread_mutex_unlock(&job->lock);
    if (again) return vpi_fail(err, VP_E_STATE, NULL, "the job was started before");
    vp_status st = vpi_thread_start(job->context, "vp-watch", watch_main, job, &job->watch, &own);
    if (st >= 0) st = vpi_thread_start(job->context, "vp-job", job_main, job, &job->thread, &own);
    if (st >= 0) return VP_OK;
    vpi_error_copy(err, &own);
    pthread_mutex_lock(&job->lock);
    job->ended = true;
    job->outcome = st;
    job->error = own;
    pthread_cond_broadcast(&job->changed);
    pthread_mutex_unlock(&job->lock);
    return st;
}

vp_status vp_job_wait(vp_job *job, int64_t timeout_ms, vp_error *err)
{
    struct timespec until;
    int rc = 0;
    vpi_error_reset(err);
    VPI_TRY(check(job, err));
    if (vpi_thread_is_ours()) return vpi_fail(err, VP_E_STATE, NULL, "a callback cannot wait for its job");
    if (timeout_ms >= 0) vpi_until_ms(VPI_MIN(timeout_ms, (int64_t)86400000 * 365), &until);
    pthread_mutex_lock(&job->lock);
    if (!job->started) {
        pthread_mutex_unlock(&job->lock);
        return vpi_fail(err, VP_E_STATE, NULL, "the job was not started");
    }
    while (!job->ended && rc != ETIMEDOUT)
        rc = timeout_ms < 0 ? pthread_cond_wait(&job->changed, &job->lock)
                            : pthread_cond_timedwait(&job->changed, &job->lock, &until);
    vp_status st = job->ended ? job->outcome : VP_AGAIN;
    if (st < 0) vpi_error_copy(err, &job->error);
    pthread_mutex_unlock(&job->lock);
    return st;
}

static vp_status stop(vp_job *job, vpi_want want, vp_error *err)
{
    vpi_error_reset(err);
    VPI_TRY(check(job, err));
    pthread_mutex_lock(&job->lock);
    if (job->want < want) job->want = want;
    if (!vp_cancel_fired(job->stop)) job->asked = true;
    vp_cancel_fire(job->stop);
    pthread_mutex_unlock(&job->lock);
    return VP_OK;
}

vp_status vp_job_suspend(vp_job *job, vp_error *err)
{
    return stop(job, VPI_SUSPEND, err);
}

vp_status vp_job_cancel(vp_job *job, vp_error *err)
{
    return stop(job, VPI_CANCEL, err);
}

vp_status vp_job_presentation(vp_job *job, vp_presentation **out, vp_error *err)
{
    vpi_error_reset(err);
    VPI_TRY(check(job, err));
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "out is needed");
    pthread_mutex_lock(&job->lock);
    bool there = job->ended && job->outcome >= 0 && job->presentation;
    *out = there ? vp_presentation_ref(job->presentation) : NULL;
    pthread_mutex_unlock(&job->lock);
    return there ? VP_OK : vpi_fail(err, VP_E_STATE, NULL, "nothing was published");
}

void vpi_job_forget_keys(vp_job *job)
{
    if (job->ring) vpi_keys_ops_of(job->settings.keys)->free_ring(job->ring);
    job->ring = NULL;
    job->guard = (vpi_guard){ 0 };
}

void vpi_job_warn_no_mpd(vp_job *job, bool cmaf)
{
    if (job->settings.transcode.encrypt == VP_ENCRYPT_AES128 && cmaf)
        vpi_emit_warning(&job->emitter, "NO_MPD_FOR_AES128", VP_TIME_UNKNOWN,
                         "segments are encrypted whole, which DASH does not know: there is HLS only");
}

void vpi_job_object(void *user, const vp_object_info *info)
{
    vp_job *job = user;
    pthread_mutex_lock(&job->lock);
    if (VPI_GROW(job->written, job->written_count, job->written_cap)) {
        char *key = vpi_strdup(info->key);
        if (key) job->written[job->written_count++] = key;
    }
    pthread_mutex_unlock(&job->lock);
    vpi_emit_object(&job->emitter, info);
}
