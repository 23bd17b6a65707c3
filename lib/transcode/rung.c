/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rung_int.h"

#include <stdio.h>

#include "bitstream/bitstream.h"
#include "io/object.h"

/* Pictures between the decoder and an encoder: enough to bridge their different pace, no more. */
#define PIPE_PICTURES 2

struct vpi_rung_run {
    vpi_span_run *span;
    size_t index;
    const vpi_plan_rung *rung;
    vpi_track_setup setup, audio_setup;
    vpi_h264enc *enc;
    vpi_pipe *pipe;
    vpi_thread *thread;
    vpi_ptrack cmaf, ts;
    vpi_track_guard cmaf_guard, ts_guard;
    vp_object *part;
    /* the segment being filled */
    uint64_t segment;  /* of the title, 0-based */
    uint64_t fragment; /* of the title: the next one to begin */
    uint64_t pictures; /* coded so far in this span */
    vpi_buf data;
    vpi_sample *samples;
    size_t count, cap;
    size_t *fragments;
    size_t fragment_count, fragment_cap;
    /* its audio, when TS muxes it */
    vpi_buf audio_data;
    vpi_sample *audio_samples;
    uint32_t *audio_sizes;
    size_t audio_cap;
    vpi_segment_in video_in, audio_in;
};

static const size_t one_fragment[1] = { 0 };

void vpi_feed_drop(void *feed)
{
    vpi_feed *f = feed;
    if (!f) return;
    vpi_frame_unref(f->frame);
    vpi_free(f);
}

void vpi_span_fail(vpi_span_run *span, vp_status status, const vp_error *err)
{
    pthread_mutex_lock(&span->lock);
    bool first = span->status >= 0;
    if (first) {
        span->status = status;
        if (err) vpi_error_copy(&span->err, err);
    }
    for (size_t i = 0; first && i < span->rung_count; i++)
        if (span->rungs[i]) vpi_rung_abort(span->rungs[i]);
    pthread_mutex_unlock(&span->lock);
}

/* ---- writing ---- */

static vp_status write_cmaf(void *user, vp_object *object, vpi_segment *entry, vp_error *err)
{
    vpi_rung_run *run = user;
    vpi_protect room;
    const vpi_protect *protect;
    VPI_TRY(vpi_track_guard_segment(&run->cmaf_guard, run->segment, &room, &protect, err));
    return vpi_cmaf_segment(&run->video_in, protect, !run->part, object, entry, err);
}

static vp_status write_ts(void *user, vp_object *object, vpi_segment *entry, vp_error *err)
{
    vpi_rung_run *run = user;
    vpi_ts_in in = { .video = &run->video_in,
                     .audio = run->span->audio ? &run->audio_in : NULL,
                     .reorder = vpi_h264enc_reorder(run->enc),
                     .min_frame = run->span->env->plan->video.min_gap };
    vpi_protect room;
    const vpi_protect *protect;
    VPI_TRY(vpi_track_guard_segment(&run->ts_guard, run->segment, &room, &protect, err));
    return vpi_ts_segment(&in, protect, object, entry, err);
}

static vp_status write_part(vpi_rung_run *run, vp_error *err)
{
    char key[1024];
    vpi_segment *entry = vpi_ptrack_add_segment(&run->cmaf);
    if (!entry) return vpi_fail_nomem(err);
    if (!vpi_plan_key(run->span->env->plan, "video", run->rung->name, "media.mp4", key))
        return vpi_fail(err, VP_E_ARG, NULL, "key too long");
    entry->key = vpi_strdup(key);
    if (!entry->key) return vpi_fail_nomem(err);
    uint64_t before = vpi_object_size(run->part);
    VPI_TRY(vpi_track_guard_begin(&run->cmaf_guard, run->segment, run->part, entry, err));
    VPI_TRY(write_cmaf(run, run->part, entry, err));
    return vpi_track_guard_end(&run->cmaf_guard, run->part, entry, before, err);
}

/* The sound of the segment that is being closed. */
static vp_status load_audio(vpi_rung_run *run, vp_error *err)
{
    const vp_plan *plan = run->span->env->plan;
    uint64_t first = vpi_plan_audio_border(plan, 0, run->segment);
    uint64_t last = vpi_plan_audio_border(plan, 0, run->segment + 1);
    size_t n = (size_t)(last - first);
    if (n > run->audio_cap) {
        vpi_sample *samples = vpi_realloc(run->audio_samples, n, sizeof(*samples));
        if (samples) run->audio_samples = samples;
        uint32_t *sizes = vpi_realloc(run->audio_sizes, n, sizeof(*sizes));
        if (sizes) run->audio_sizes = sizes;
        if (!samples || !sizes) return vpi_fail_nomem(err);
        run->audio_cap = n;
    }
    vpi_buf_clear(&run->audio_data);
    VPI_TRY(vpi_frames_read(run->span->audio, first, last, &run->audio_data, run->audio_sizes, err));
    const uint8_t *at = run->audio_data.data;
    for (size_t i = 0; i < n; i++) {
        run->audio_samples[i] = (vpi_sample){ .pts = (int64_t)((first + i) * VPI_AAC_FRAME),
                                              .sync = true,
                                              .data = at,
                                              .size = run->audio_sizes[i] };
        at += run->audio_sizes[i];
    }
    run->audio_in = (vpi_segment_in){ .setup = &run->audio_setup,
                                      .samples = run->audio_samples,
                                      .count = n,
                                      .fragments = one_fragment,
                                      .fragment_count = 1,
                                      .start = first * VPI_AAC_FRAME,
                                      .end = last * VPI_AAC_FRAME,
                                      .first_fragment = run->segment,
                                      .first_sample = first };
    return VP_OK;
}

static vp_status close_segment(vpi_rung_run *run, vp_error *err)
{
    vpi_task_env *env = run->span->env;
    const vpi_grid *grid = &env->plan->grid;
    const uint8_t *at = run->data.data;
    if (run->fragment != vpi_grid_fragments(grid, run->segment + 1))
        return vpi_fail(err, VP_E_INTERNAL, NULL, "%s: the encoder left out an IDR picture", run->rung->name);
    for (size_t i = 0; i < run->count; i++) {
        run->samples[i].data = at;
        at += run->samples[i].size;
    }
    run->video_in = (vpi_segment_in){ .setup = &run->setup,
                                      .samples = run->samples,
                                      .count = run->count,
                                      .fragments = run->fragments,
                                      .fragment_count = run->fragment_count,
                                      .start = vpi_grid_start(grid, run->segment),
                                      .end = vpi_grid_start(grid, run->segment + 1),
                                      .first_fragment = vpi_grid_fragments(grid, run->segment),
                                      .first_sample = run->segment * VPI_GUARD_SAMPLES,
                                      .writable = !env->plan->ts };
    if (run->part)
        VPI_TRY(write_part(run, err));
    else if (env->plan->cmaf)
        VPI_TRY(vpi_task_segment(env, &run->cmaf, "video", run->rung->name, run->segment, &run->cmaf_guard,
                                 write_cmaf, run, err));
    if (env->plan->ts) {
        if (run->span->audio) VPI_TRY(load_audio(run, err));
        VPI_TRY(vpi_task_segment(env, &run->ts, "ts", run->rung->name, run->segment, &run->ts_guard, write_ts,
                                 run, err));
    }
    run->segment++;
    run->count = run->fragment_count = 0;
    vpi_buf_clear(&run->data);
    return VP_OK;
}

static vp_status take_coded(vpi_rung_run *run, const vpi_coded *c, vp_error *err)
{
    const vpi_grid *grid = &run->span->env->plan->grid;
    if (c->idr) {
        if ((uint64_t)c->pts != vpi_grid_fragment_start(grid, run->fragment))
            return vpi_fail(err, VP_E_INTERNAL, NULL, "%s: an IDR picture off the grid", run->rung->name);
        if (run->count && (uint64_t)c->pts == vpi_grid_start(grid, run->segment + 1))
            VPI_TRY(close_segment(run, err));
        if (!VPI_GROW(run->fragments, run->fragment_count, run->fragment_cap)) return vpi_fail_nomem(err);
        run->fragments[run->fragment_count++] = run->count;
        run->fragment++;
    } else if (!run->fragment_count) {
        return vpi_fail(err, VP_E_INTERNAL, NULL, "%s: a segment without an IDR picture", run->rung->name);
    }
    if (!VPI_GROW(run->samples, run->count, run->cap)) return vpi_fail_nomem(err);
    run->samples[run->count++] = (vpi_sample){ .pts = c->pts, .sync = c->idr, .size = c->size };
    vpi_buf_add(&run->data, c->data, c->size);
    run->pictures++;
    return vpi_buf_failed(&run->data) ? vpi_fail_nomem(err) : VP_OK;
}

/* ---- the thread ---- */

static vp_status encode_all(vpi_rung_run *run, vp_error *err)
{
    vpi_coded coded;
    uint64_t fed = 0;
    for (;;) {
        void *element = NULL;
        vp_status st = vpi_pipe_pop(run->pipe, &element);
        if (st < 0) return st;
        vpi_feed *feed = st == VP_END ? NULL : element;
        if (feed) {
            st = vpi_cancel_check(run->span->env->cancel, err);
            if (st >= 0) st = vpi_h264enc_encode(run->enc, feed->frame, feed->pts, feed->idr, &coded, err);
            vpi_feed_drop(feed);
            fed++;
        } else {
            st = vpi_cancel_check(run->span->env->cancel, err);
            if (st >= 0) st = vpi_h264enc_encode(run->enc, NULL, 0, false, &coded, err);
        }
        if (st < 0) return st;
        if (st == VP_OK) VPI_TRY(take_coded(run, &coded, err));
        if (!feed && st == VP_END) break;
    }
    if (fed != run->pictures || !run->count)
        return vpi_fail(err, VP_E_INTERNAL, NULL, "%s: %llu pictures in, %llu out", run->rung->name,
                        (unsigned long long)fed, (unsigned long long)run->pictures);
    return close_segment(run, err);
}

static vp_status finish_tracks(vpi_rung_run *run, vp_error *err)
{
    vpi_task_env *env = run->span->env;
    vp_object *part = run->part;
    run->part = NULL;
    if (part) VPI_TRY(vpi_task_part_commit(env, run->rung->name, part, err));
    if (env->plan->cmaf) VPI_TRY(vpi_task_add_track(env, &run->cmaf, err));
    if (env->plan->ts) VPI_TRY(vpi_task_add_track(env, &run->ts, err));
    return VP_OK;
}

static void rung_main(void *arg)
{
    vpi_rung_run *run = arg;
    vp_error err = VP_ERROR_INIT;
    vp_cancel_scope(run->span->env->cancel);
    vp_status st = encode_all(run, &err);
    if (st >= 0) st = finish_tracks(run, &err);
    if (run->index == 0) run->span->pictures = run->pictures;
    if (st < 0) vpi_span_fail(run->span, st, &err);
}

/* ---- start and end ---- */

static vp_status check_headers(const vpi_rung_run *run, vp_error *err)
{
    vpi_nal sps, pps;
    vpi_buf avcc = { 0 };
    vpi_h264enc_headers(run->enc, &sps.data, &sps.size, &pps.data, &pps.size);
    vp_status st = vpi_avcc_write(&sps, 1, &pps, 1, &avcc, err);
    if (st >= 0 &&
        (avcc.size != run->rung->avcc.size || memcmp(avcc.data, run->rung->avcc.data, avcc.size) != 0))
        st = vpi_fail(err, VP_E_CONFLICT, "BUILD_MISMATCH", "%s: parameter sets are not the planned ones",
                      run->rung->name);
    vpi_buf_dispose(&avcc);
    return st;
}

static vp_status rung_open(vpi_rung_run *run, vp_error *err)
{
    vpi_task_env *env = run->span->env;
    VPI_TRY(vpi_plan_rung_track(env->plan, run->index, VP_CONTAINER_CMAF, &run->cmaf, err));
    VPI_TRY(vpi_plan_rung_track(env->plan, run->index, VP_CONTAINER_TS, &run->ts, err));
    run->cmaf.single_file = env->plan->single_file;
    vpi_plan_rung_setup(env->plan, run->index, &run->setup);
    if (run->span->audio) vpi_plan_audio_setup(env->plan, 0, &run->audio_setup);
    const vpi_protection *protection = vpi_plan_rung_protection(env->plan, run->index);
    VPI_TRY(vpi_track_guard_open(&env->guard, &run->setup, protection, VPI_ORDINAL_CMAF, run->index,
                                 &run->cmaf_guard, err));
    VPI_TRY(vpi_track_guard_open(&env->guard, &run->setup, protection, VPI_ORDINAL_TS, run->index,
                                 &run->ts_guard, err));
    run->segment = run->span->span->first;
    run->fragment = vpi_grid_fragments(&env->plan->grid, run->segment);
    vpi_h264enc_options enc = run->rung->enc;
    if (run->span->analysis) vpi_analysis_use(run->span->analysis, run->index, &enc);
    VPI_TRY(vpi_h264enc_new(env->context, &enc, &run->enc, err));
    VPI_TRY(check_headers(run, err));
    if (env->plan->single_file) VPI_TRY(vpi_task_part_begin(env, run->rung->name, &run->part, err));
    return vpi_pipe_new(PIPE_PICTURES, vpi_feed_drop, &run->pipe, err);
}

static void rung_free(vpi_rung_run *run)
{
    vp_object_abort(run->part);
    vpi_track_guard_close(&run->cmaf_guard);
    vpi_track_guard_close(&run->ts_guard);
    vpi_pipe_free(run->pipe);
    vpi_h264enc_free(run->enc);
    vpi_ptrack_dispose(&run->cmaf);
    vpi_ptrack_dispose(&run->ts);
    vpi_buf_dispose(&run->data);
    vpi_buf_dispose(&run->audio_data);
    vpi_free(run->samples);
    vpi_free(run->fragments);
    vpi_free(run->audio_samples);
    vpi_free(run->audio_sizes);
    vpi_free(run);
}

vp_status vpi_rung_start(vpi_span_run *span, size_t index, vpi_rung_run **out, vp_error *err)
{
    char name[16];
    vpi_rung_run *run = vpi_calloc(1, sizeof(*run));
    if (!run) return vpi_fail_nomem(err);
    run->span = span;
    run->index = index;
    run->rung = &span->env->plan->rungs[index];
    snprintf(name, sizeof(name), "vp-%.12s", run->rung->name);
    vp_status st = rung_open(run, err);
    if (st >= 0) st = vpi_thread_start(span->env->context, name, rung_main, run, &run->thread, err);
    if (st < 0) {
        rung_free(run);
        return st;
    }
    *out = run;
    return VP_OK;
}

vp_status vpi_rung_feed(vpi_rung_run *run, vpi_frame *frame, int64_t pts, bool idr, vp_error *err)
{
    vpi_feed *feed = vpi_calloc(1, sizeof(*feed));
    if (!feed) return vpi_fail_nomem(err);
    feed->frame = vpi_frame_ref(frame);
    feed->pts = pts;
    feed->idr = idr;
    vp_status st = vpi_pipe_push(run->pipe, feed);
    if (st < 0) vpi_feed_drop(feed);
    return st;
}

void vpi_rung_close(vpi_rung_run *run)
{
    vpi_pipe_close(run->pipe);
}

void vpi_rung_abort(vpi_rung_run *run)
{
    vpi_pipe_abort(run->pipe);
}

void vpi_span_join(vpi_span_run *span)
{
    /* a thread that fails walks the list of rungs: none is freed before all have ended */
    for (size_t i = 0; i < span->rung_count; i++) {
        vpi_rung_run *run = span->rungs[i];
        run->thread = vpi_thread_join(run->thread);
    }
    for (size_t i = 0; i < span->rung_count; i++) rung_free(span->rungs[i]);
    span->rung_count = 0;
}
