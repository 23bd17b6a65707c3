/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "feed_int.h"

/*
 * The pictures of one span at their times. Which picture is shown at which time is a function of the source's times
 * and the plan alone: where pictures are missing the last one is held, where they are too dense the newest one
 * wins, and every fragment begins with a picture.
 */

/* Damaged share of a span's pictures from which on the input is refused, in percent, and the least number. */
#define DAMAGE_PERCENT 10
#define DAMAGE_LEAST 25
/* How much earlier than scanned the decoded pictures may end, in seconds. */
#define SHORT_SECONDS 1
#define SHORT_SECONDS_VARIABLE 10

typedef struct feeder {
    vpi_task_env *env;
    const vpi_feed_options *o;
    const vpi_plan_span *span;
    uint64_t start, end; /* ticks */
    const vpi_plan_video *v;
    const vpi_grid *grid;
    vpi_video_reader *reader;
    vpi_frame *current, *next; /* shown now; not shown yet */
    int64_t next_point;
    bool ended;
    int64_t last_point; /* of the last picture decoded */
    uint64_t fed, total;
    uint64_t fragment; /* the next one to begin */
} feeder;

static vp_status emit(feeder *f, vpi_frame *frame, uint64_t ticks, vp_error *err)
{
    const vp_task_options *o = f->env->options;
    bool idr = ticks == vpi_grid_fragment_start(f->grid, f->fragment);
    f->fragment += idr;
    VPI_TRY(f->o->picture(f->o->user, frame, ticks, idr, err));
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
    uint64_t first = f->start / f->v->frame_ticks, last = f->end / f->v->frame_ticks;
    for (uint64_t n = first; n < last; n++) {
        VPI_TRY(advance(f, (int64_t)n, err));
        VPI_TRY(emit(f, f->current, n * f->v->frame_ticks, err));
    }
    return VP_OK;
}

/*
 * When the next picture is shown, UINT64_MAX for not before end. None is left out at the end of the title: what would
 * be shown for less than min_gap there comes a little early.
 */
static uint64_t place(const feeder *f, uint64_t end)
{
    uint64_t gap = f->v->min_gap, point = (uint64_t)VPI_MAX(f->next_point, 0);
    if (point + gap <= end) return point;
    return end == f->grid->total && end > gap && point < end ? end - gap : UINT64_MAX;
}

/* One fragment with the source's own times: a picture at its start, then each at least min_gap after the last. */
static vp_status feed_fragment(feeder *f, uint64_t start, uint64_t end, vp_error *err)
{
    uint64_t at = start, point;
    VPI_TRY(advance(f, (int64_t)start, err));
    while (f->next && (point = place(f, end)) != UINT64_MAX) {
        /* too close to the last one: it takes that one's time, so that a pause shows the newest picture */
        if (point >= at + f->v->min_gap) {
            VPI_TRY(emit(f, f->current, at, err));
            at = point;
        }
        VPI_TRY(step(f, err));
    }
    return emit(f, f->current, at, err);
}

static vp_status feed_variable(feeder *f, vp_error *err)
{
    uint64_t first = f->fragment;
    const vpi_plan_span *s = f->span;
    uint64_t last = vpi_grid_fragments(f->grid, s->first + s->count);
    for (uint64_t n = first; n < last; n++) {
        uint64_t end = n + 1 < last ? vpi_grid_fragment_start(f->grid, n + 1) : f->end;
        VPI_TRY(feed_fragment(f, vpi_grid_fragment_start(f->grid, n), end, err));
    }
    return VP_OK;
}

/* Did the pictures come that the scan saw, and were they whole? */
static vp_status check_source(feeder *f, vp_error *err)
{
    uint64_t concealed = 0, refused = 0;
    int64_t seconds = f->v->variable ? SHORT_SECONDS_VARIABLE : SHORT_SECONDS;
    int64_t end = (int64_t)VPI_MIN(f->end / f->v->frame_ticks, f->v->content_end);
    int64_t slack = vpi_rescale(seconds, f->v->rate.num, f->v->rate.den, VPI_CEIL) + 2;
    if (f->ended && end - f->last_point > slack)
        return vpi_fail(
            err, VP_E_DATA, "INPUT_TRUNCATED", "pictures end %lld ms before the scanned end",
            (long long)vpi_rescale(end - f->last_point, f->v->rate.den * 1000, f->v->rate.num, VPI_FLOOR));
    vpi_video_reader_damage(f->reader, &concealed, &refused);
    f->env->concealed = concealed + refused;
    if (concealed + refused >= DAMAGE_LEAST && (concealed + refused) * 100 > f->fed * DAMAGE_PERCENT)
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%llu of %llu pictures are damaged",
                        (unsigned long long)(concealed + refused), (unsigned long long)f->fed);
    return VP_OK;
}

static vp_status feed_all(feeder *f, vp_error *err)
{
    const vpi_plan_video *v = f->v;
    vpi_task_env *env = f->env;
    vpi_video_reader_options o = { .stream = v->stream,
                                   .width = f->o->width,
                                   .height = f->o->height,
                                   .rotation = v->rotation,
                                   .flipped = v->flipped,
                                   .by_picture = true,
                                   .colour = v->colour,
                                   .from = vpi_plan_last_pts(v, (int64_t)(f->start / v->frame_ticks)),
                                   .timeline = &env->plan->timeline,
                                   .decoder_threads = v->decoder_threads,
                                   .rough = f->o->rough,
                                   .deinterlace = v->deinterlace,
                                   .bottom_first = v->bottom_first };
    VPI_TRY(vpi_video_reader_open(env->context, env->source, &o, env->cancel, &f->reader, err));
    VPI_TRY(read_next(f, err));
    VPI_TRY(v->variable ? feed_variable(f, err) : feed_constant(f, err));
    VPI_TRY(check_source(f, err));
    if (env->options->progress) env->options->progress(env->options->progress_user, f->total, f->total);
    return VP_OK;
}

vp_status vpi_feed_span(vpi_task_env *env, const vpi_feed_options *options, vp_error *err)
{
    feeder f = { .env = env,
                 .o = options,
                 .v = &env->plan->video,
                 .grid = &env->plan->grid,
                 .last_point = INT64_MIN / 4 };
    f.span = &env->plan->spans[env->index];
    f.start = vpi_grid_start(f.grid, f.span->first);
    f.end = vpi_grid_start(f.grid, f.span->first + f.span->count);
    f.fragment = vpi_grid_fragments(f.grid, f.span->first);
    f.total = VPI_MAX(vpi_plan_span_frames(env->plan, env->index), 1u);
    vp_status st = feed_all(&f, err);
    vpi_video_reader_close(f.reader);
    vpi_frame_unref(f.current);
    vpi_frame_unref(f.next);
    return st;
}
