/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "rung_int.h"

/*
 * One span of all rungs: this thread decodes and scales, each rung has a thread that encodes. Which picture is
 * shown at which time is a function of the source's times and the plan alone: where pictures are missing the last
 * one is held, where they are too dense the newest one wins, and every fragment begins with a picture.
 */

/* Damaged share of a span's pictures from which on the input is refused, in percent, and the least number. */
#define DAMAGE_PERCENT 10
#define DAMAGE_LEAST 25
/* How much earlier than scanned the decoded pictures may end, in seconds. */
#define SHORT_SECONDS 1
#define SHORT_SECONDS_VARIABLE 10

typedef struct feeder {
    vpi_span_run span;
    const vpi_plan_video *v;
    const vpi_grid *grid;
    vpi_video_reader *reader;
    vpi_scaler *scalers[VPI_PLAN_RUNGS]; /* [0] is not used */
    vpi_frame *sized[VPI_PLAN_RUNGS];    /* `sized_for` in all sizes */
    vpi_frame *sized_for;
    vpi_frame *current, *next; /* shown now; not shown yet */
    int64_t next_point;
    bool ended;
    int64_t last_point; /* of the last picture decoded */
    uint64_t fed, total;
    uint64_t fragment; /* the next one to begin */
} feeder;

static void drop_sized(feeder *f)
{
    for (size_t i = 0; i < VPI_PLAN_RUNGS; i++) f->sized[i] = vpi_frame_unref(f->sized[i]);
    f->sized_for = NULL;
}

static vp_status scale_all(feeder *f, vpi_frame *frame, vp_error *err)
{
    vp_status st = VP_OK;
    drop_sized(f);
    f->sized[0] = vpi_frame_ref(frame);
    vpi_cpu_enter(f->span.env->context);
    for (size_t i = 1; st >= 0 && i < f->span.rung_count; i++)
        st = vpi_scaler_scale(f->scalers[i], f->sized[i - 1], &f->sized[i], err);
    vpi_cpu_leave(f->span.env->context);
    if (st >= 0) f->sized_for = frame;
    return st;
}

static vp_status emit(feeder *f, vpi_frame *frame, uint64_t ticks, vp_error *err)
{
    const vp_task_options *o = f->span.env->options;
    bool idr = ticks == vpi_grid_fragment_start(f->grid, f->fragment);
    f->fragment += idr;
    if (f->sized_for != frame) VPI_TRY(scale_all(f, frame, err));
    for (size_t i = 0; i < f->span.rung_count; i++)
        VPI_TRY(vpi_rung_feed(f->span.rungs[i], f->sized[i], (int64_t)ticks, idr, err));
    f->fed++;
    if (o->progress && f->fed % 8 == 0) o->progress(o->progress_user, VPI_MIN(f->fed, f->total), f->total);
    return VP_OK;
}

static vp_status read_next(feeder *f, vp_error *err)
{
    f->next = NULL;
    if (f->ended) return VP_OK;
    vp_status st = vpi_video_reader_next(f->reader, &f->next, err);
    if (st < 0) return st;
    f->ended = st == VP_END;
    if (f->ended) return VP_OK;
    int64_t pts = vpi_frame_pts(f->next), end = pts;
    f->next_point = vpi_frame_field(f->next) ? vpi_plan_second_field(f->v, pts, vpi_frame_duration(f->next))
                                             : vpi_plan_point(f->v, pts);
    /* a last picture that the file holds for long is not the sign of a cut file */
    if (!vpi_add_i64(pts, vpi_frame_duration(f->next), &end)) end = pts;
    f->last_point = VPI_MAX(f->last_point, VPI_MAX(f->next_point, vpi_plan_point(f->v, end) - 1));
    return VP_OK;
}

static vp_status step(feeder *f, vp_error *err)
{
    if (f->current && f->sized_for == f->current) drop_sized(f);
    vpi_frame_unref(f->current);
    f->current = f->next;
    return read_next(f, err);
}

/* Makes the picture shown at a grid point the current one; before the first picture that one is held. */
static vp_status advance(feeder *f, int64_t point, vp_error *err)
{
    while (f->next && f->next_point <= point) VPI_TRY(step(f, err));
    if (f->current) return VP_OK;
    if (!f->next) return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "no picture could be decoded");
    f->current = vpi_frame_ref(f->next); /* stays the next one too */
    return VP_OK;
}

static vp_status feed_constant(feeder *f, vp_error *err)
{
    uint64_t first = f->span.start / f->v->frame_ticks, last = f->span.end / f->v->frame_ticks;
    for (uint64_t n = first; n < last; n++) {
        VPI_TRY(advance(f, (int64_t)n, err));
        VPI_TRY(emit(f, f->current, n * f->v->frame_ticks, err));
    }
    return VP_OK;
}

/* One fragment with the source's own times: a picture at its start, then each at least min_gap after the last. */
static vp_status feed_fragment(feeder *f, uint64_t start, uint64_t end, vp_error *err)
{
    uint64_t at = start;
    VPI_TRY(advance(f, (int64_t)start, err));
    while (f->next && f->next_point + (int64_t)f->v->min_gap <= (int64_t)end) {
        int64_t point = f->next_point;
        bool close = point < (int64_t)(at + f->v->min_gap);
        /* too close to the last one: it takes that one's time, so that a pause shows the newest picture */
        if (!close) {
            VPI_TRY(emit(f, f->current, at, err));
            at = (uint64_t)point;
        }
        VPI_TRY(step(f, err));
    }
    return emit(f, f->current, at, err);
}

static vp_status feed_variable(feeder *f, vp_error *err)
{
    uint64_t first = f->fragment;
    const vpi_plan_span *s = f->span.span;
    uint64_t last = vpi_grid_fragments(f->grid, s->first + s->count);
    for (uint64_t n = first; n < last; n++) {
        uint64_t end = n + 1 < last ? vpi_grid_fragment_start(f->grid, n + 1) : f->span.end;
        VPI_TRY(feed_fragment(f, vpi_grid_fragment_start(f->grid, n), end, err));
    }
    return VP_OK;
}

/* Did the pictures come that the scan saw, and were they whole? */
static vp_status check_source(feeder *f, vp_error *err)
{
    uint64_t concealed = 0, refused = 0;
    int64_t seconds = f->v->variable ? SHORT_SECONDS_VARIABLE : SHORT_SECONDS;
    int64_t end = (int64_t)VPI_MIN(f->span.end / f->v->frame_ticks, f->v->content_end);
    int64_t slack = vpi_rescale(seconds, f->v->rate.num, f->v->rate.den, VPI_CEIL) + 2;
    if (f->ended && end - f->last_point > slack)
        return vpi_fail(
            err, VP_E_DATA, "INPUT_TRUNCATED", "pictures end %lld ms before the scanned end",
            (long long)vpi_rescale(end - f->last_point, f->v->rate.den * 1000, f->v->rate.num, VPI_FLOOR));
    vpi_video_reader_damage(f->reader, &concealed, &refused);
    f->span.env->concealed = concealed + refused;
    if (concealed + refused >= DAMAGE_LEAST && (concealed + refused) * 100 > f->fed * DAMAGE_PERCENT)
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%llu of %llu pictures are damaged",
                        (unsigned long long)(concealed + refused), (unsigned long long)f->fed);
    return VP_OK;
}

static vp_status feed_all(feeder *f, vp_error *err)
{
    const vpi_plan_video *v = f->v;
    vpi_task_env *env = f->span.env;
    const vpi_h264enc_options *top = &env->plan->rungs[0].enc;
    vpi_video_reader_options o = { .stream = v->stream,
                                   .width = top->width,
                                   .height = top->height,
                                   .rotation = v->rotation,
                                   .flipped = v->flipped,
                                   .by_picture = true,
                                   .colour = v->colour,
                                   .from = vpi_plan_last_pts(v, (int64_t)(f->span.start / v->frame_ticks)),
                                   .timeline = &env->plan->timeline,
                                   .decoder_threads = v->decoder_threads,
                                   .deinterlace = v->deinterlace,
                                   .bottom_first = v->bottom_first };
    VPI_TRY(vpi_video_reader_open(env->context, env->source, &o, env->cancel, &f->reader, err));
    VPI_TRY(read_next(f, err));
    VPI_TRY(v->variable ? feed_variable(f, err) : feed_constant(f, err));
    VPI_TRY(check_source(f, err));
    if (env->options->progress) env->options->progress(env->options->progress_user, f->total, f->total);
    return VP_OK;
}

static vp_status start_rungs(feeder *f, vp_error *err)
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
    return vpi_frames_open(env->work, name, env->plan->audio[0].audio.frames, out, err);
}

vp_status vpi_task_video(vpi_task_env *env, vp_error *err)
{
    feeder f = { .v = &env->plan->video, .grid = &env->plan->grid, .last_point = INT64_MIN / 4 };
    vp_error own = VP_ERROR_INIT;
    vpi_frames_reader *audio = NULL;
    vp_task_info info;
    f.span.env = env;
    f.span.span = &env->plan->spans[env->index];
    f.span.start = vpi_grid_start(f.grid, f.span.span->first);
    f.span.end = vpi_grid_start(f.grid, f.span.span->first + f.span.span->count);
    f.fragment = vpi_grid_fragments(f.grid, f.span.span->first);
    vp_error_init(&f.span.err);
    vp_task_info_init(&info, sizeof(info));
    vp_plan_get_task(env->plan, (uint32_t)(env->plan->audio_count + env->index), &info, NULL);
    f.total = VPI_MAX(info.frames, 1u);
    pthread_mutex_init(&f.span.lock, NULL);
    vp_status st = open_audio(env, &audio, &own);
    f.span.audio = audio;
    if (st >= 0) st = start_rungs(&f, &own);
    if (st >= 0) st = feed_all(&f, &own);
    if (st < 0)
        vpi_span_fail(&f.span, st, &own); /* a rung's failure that stopped this thread stays the first */
    for (size_t i = 0; i < f.span.rung_count; i++) vpi_rung_close(f.span.rungs[i]);
    vpi_span_join(&f.span);
    st = f.span.status;
    if (st < 0 && err) vpi_error_copy(err, &f.span.err);
    vpi_video_reader_close(f.reader);
    drop_sized(&f);
    vpi_frame_unref(f.current);
    vpi_frame_unref(f.next);
    for (size_t i = 0; i < VPI_PLAN_RUNGS; i++) vpi_scaler_free(f.scalers[i]);
    vpi_frames_close(audio);
    vpi_free(f.span.rungs);
    pthread_mutex_destroy(&f.span.lock);
    return st;
}
