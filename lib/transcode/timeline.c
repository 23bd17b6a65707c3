/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan_int.h"

/* All times are exact rationals; products are held in 128 bits and the inputs are bounded by the scan's limits. */

__extension__ typedef __int128 i128;

/* A video or audio that leads by less is cut rather than held: edit lists round to 1 ms. */
#define SKEW_IGNORED_US 10000
/* A cut between two pictures is moved to the nearest one at such rates, by 20 ms at most. */
#define PHASE_FPS_MIN 25

static i128 floor_div(i128 a, i128 b)
{
    i128 q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

static int64_t clamp64(i128 v)
{
    if (v > INT64_MAX) return INT64_MAX;
    if (v < INT64_MIN) return INT64_MIN;
    return (int64_t)v;
}

/* Numerator and denominator of (pts * tb - origin) * rate. */
static i128 point_num(const vpi_plan_video *v, int64_t pts, i128 *den)
{
    *den = (i128)v->tb.den * v->origin.den * v->rate.den;
    return ((i128)pts * v->tb.num * v->origin.den - (i128)v->origin.num * v->tb.den) * v->rate.num;
}

/* Halves of a source picture in a grid point: times are off by less than one of them. */
static i128 halves(const vpi_plan_video *v)
{
    return 2 * (i128)VPI_MAX(v->divide, 1u);
}

int64_t vpi_plan_point(const vpi_plan_video *v, int64_t pts)
{
    i128 den, num = point_num(v, pts, &den), h = halves(v);
    return clamp64(floor_div(h * num + (h - 1) * den, h * den));
}

int64_t vpi_plan_last_pts(const vpi_plan_video *v, int64_t point)
{
    /* pts * tb - origin < (point + 1 / h) / rate  <=>  pts < num / den */
    i128 h = halves(v), den = h * v->rate.num * v->origin.den * v->tb.num;
    i128 num =
        ((h * point + 1) * v->rate.den * v->origin.den + (i128)v->origin.num * h * v->rate.num) * v->tb.den;
    return clamp64(-floor_div(-num, den) - 1);
}

/* Of a variable rate: a field lasts half a picture, but a pause is not one of its field. */
#define FIELD_LONGEST_TICKS (90000 / 40)

int64_t vpi_plan_second_field(const vpi_plan_video *v, int64_t pts, int64_t duration)
{
    int64_t first = vpi_plan_point(v, pts), next = INT64_MAX, to;
    if (duration > 0 && vpi_add_i64(pts, duration, &to)) next = vpi_plan_point(v, to);
    if (!v->variable) return VPI_MIN(first + 1, next);
    return first + VPI_MIN((next - first) / 2, (int64_t)FIELD_LONGEST_TICKS);
}

static int64_t track_us(const vpi_track *t, int64_t ticks)
{
    return vpi_rescale(ticks, t->tb.num * 1000000, t->tb.den, VPI_NEAREST);
}

static void set_grid(vp_plan *plan, uint32_t timescale, uint64_t fragment, uint32_t per_segment,
                     uint64_t total)
{
    plan->grid.timescale = timescale;
    plan->grid.fragment = VPI_MAX(fragment, 1u);
    plan->grid.per_segment = per_segment;
    plan->grid.total = VPI_MAX(total, 1u);
}

/* How many pictures of the source a published one stands for. */
static uint32_t divided(const vpi_track *t, vpi_rational fps)
{
    if (t->frame_rate.num <= 0 || t->frame_rate.den <= 0) return 1;
    int64_t n = vpi_rescale(t->frame_rate.num, fps.den, t->frame_rate.den * fps.num, VPI_NEAREST);
    return (uint32_t)VPI_CLAMP(n, 1, VPI_PLAN_DIVIDE);
}

static void settle_rate(vp_plan *plan, const vpi_track *t, const vp_transcode_options *options,
                        uint32_t max_fps)
{
    vpi_plan_video *v = &plan->video;
    bool fields = false;
    v->fps = vpi_track_publish_rate(t, max_fps, &fields);
    v->deinterlace = fields                             ? VPI_DEINTERLACE_FIELDS
                     : t->order != VPI_SCAN_PROGRESSIVE ? VPI_DEINTERLACE_FRAMES
                     : t->interlaced_parts              ? VPI_DEINTERLACE_FLAGGED
                                                        : VPI_DEINTERLACE_NONE;
    v->bottom_first = t->order == VPI_SCAN_BOTTOM_FIRST;
    v->divide = 1;
    /* below one picture in a GOP a grid of frames cannot carry the IDR grid: times are kept instead */
    v->variable = t->variable == 1 || (t->phase != 0 && v->fps.num < v->fps.den * PHASE_FPS_MIN) ||
                  v->fps.num * options->gop_ms < v->fps.den * 1000 || v->fps.num > INT32_MAX ||
                  v->fps.den > 1000000;
    if (v->variable) {
        v->rate = (vpi_rational){ 90000, 1 };
        v->frame_ticks = 1;
        v->min_gap = 90000u * 3 / (4 * max_fps);
        /* a picture is held where a GOP begins between two: that counts where there are few others */
        if (v->fps.num * options->gop_ms < v->fps.den * 10000)
            v->fps = vpi_reduce(
                vpi_rescale(v->fps.num, 1000, v->fps.den, VPI_NEAREST) + 1000000 / options->gop_ms, 1000);
        if (v->fps.num > v->fps.den * (int64_t)max_fps) v->fps = (vpi_rational){ max_fps, 1 };
        plan->grid.timescale = 90000;
        return;
    }
    v->rate = v->fps;
    if (!fields) v->divide = divided(t, v->fps);
    if (90000 * v->fps.den % v->fps.num == 0) {
        plan->grid.timescale = 90000;
        v->frame_ticks = (uint32_t)(90000 * v->fps.den / v->fps.num);
    } else {
        plan->grid.timescale = (uint32_t)v->fps.num;
        v->frame_ticks = (uint32_t)v->fps.den;
    }
    v->min_gap = v->frame_ticks;
}

/* The origin so many points of the grid earlier; false: out of range. */
static bool move_origin(vpi_plan_video *v, int64_t points)
{
    i128 num = (i128)v->origin.num * v->rate.num - (i128)points * v->rate.den * v->origin.den;
    i128 den = (i128)v->origin.den * v->rate.num;
    if (num > INT64_MAX || num < INT64_MIN || den > INT64_MAX) return false;
    v->origin = vpi_reduce((int64_t)num, (int64_t)den);
    return true;
}

/* Where a cut lies between two pictures the grid is theirs: it begins at the nearest one. */
static void settle_phase(vpi_plan_video *v, const vpi_track *t)
{
    vpi_rational start = v->origin;
    i128 num = 2 * (i128)t->phase * t->tb.num * v->rate.num, den = (i128)t->tb.den * v->rate.den;
    if (v->variable || t->phase == 0) return;
    v->origin = vpi_reduce((t->start + t->phase) * t->tb.num, t->tb.den);
    if (!move_origin(v, clamp64(floor_div(num + den, 2 * den)))) v->origin = start;
}

/* Origin: where the first of the kept tracks begins, moved so that the picture stays on its own grid. */
static void settle_origin(vpi_plan_video *v, const vpi_track *t, const vpi_track *const *audio, size_t count)
{
    v->origin = vpi_reduce(t->start * t->tb.num, t->tb.den);
    settle_phase(v, t);
    int64_t video_us = vpi_rescale(v->origin.num, 1000000, v->origin.den, VPI_NEAREST), first_us = video_us;
    for (size_t i = 0; i < count; i++)
        if (audio[i]->has_times) first_us = VPI_MIN(first_us, track_us(audio[i], audio[i]->start));
    int64_t lead = video_us - first_us;
    if (lead <= SKEW_IGNORED_US) return;
    /* ceil(lead * rate) grid points earlier; the microsecond may be rounded up */
    int64_t points = vpi_rescale(lead - 1, v->rate.num, v->rate.den * 1000000, VPI_CEIL);
    if (!move_origin(v, points)) v->origin = vpi_reduce(first_us, 1000000);
}

static uint64_t audio_frames(const vp_plan *plan, uint32_t sample_rate)
{
    int64_t samples = vpi_rescale((int64_t)plan->grid.total, sample_rate, plan->grid.timescale, VPI_CEIL);
    return VPI_MAX((uint64_t)(samples + VPI_AAC_FRAME - 1) / VPI_AAC_FRAME, 1u);
}

static vp_status video_timeline(vp_plan *plan, const vpi_track *t, const vpi_track *const *audio,
                                size_t count, const vp_transcode_options *options, vp_error *err)
{
    vpi_plan_video *v = &plan->video;
    uint32_t max_fps = options->max_fps ? options->max_fps : 60, per = options->segment_ms / options->gop_ms;
    /* the scan gives a track without times the length of its pictures at the rate that is taken */
    if (t->end <= t->start) return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "the video track has no times");
    v->tb = t->tb;
    settle_rate(plan, t, options, max_fps);
    settle_origin(v, t, audio, count);
    int64_t end = vpi_plan_point(v, t->end);
    v->content_end = (uint64_t)VPI_MAX(end, 1);
    v->points = v->content_end;
    for (size_t i = 0; i < count; i++) {
        if (!audio[i]->has_times) continue;
        int64_t tail = track_us(audio[i], audio[i]->end) - track_us(t, t->end);
        if (tail <= VPI_AUDIO_TAIL_US) continue;
        uint64_t more = (uint64_t)vpi_rescale(tail, v->rate.num, v->rate.den * 1000000, VPI_CEIL);
        v->points = VPI_MAX(v->points, v->content_end + more);
    }
    uint64_t fragment =
        v->variable ? (uint64_t)options->gop_ms * 90
                    : (uint64_t)vpi_rescale(options->gop_ms, v->fps.num, v->fps.den * 1000, VPI_NEAREST) *
                          v->frame_ticks;
    set_grid(plan, plan->grid.timescale, fragment, per, v->points * v->frame_ticks);
    return VP_OK;
}

static void audio_timeline(vp_plan *plan, const vpi_track *const *audio, size_t count,
                           const vp_transcode_options *options, vpi_rational *origin)
{
    int64_t first = INT64_MAX, end = INT64_MIN;
    for (size_t i = 0; i < count; i++) {
        first = VPI_MIN(first, track_us(audio[i], audio[i]->start));
        end = VPI_MAX(end, track_us(audio[i], audio[i]->end));
    }
    *origin = vpi_reduce(first, 1000000);
    uint32_t rate = plan->audio[0].audio.sample_rate;
    int64_t samples = vpi_rescale(VPI_MAX(end - first, 1), rate, 1000000, VPI_NEAREST);
    uint64_t frames = VPI_MAX((uint64_t)(samples + VPI_AAC_FRAME - 1) / VPI_AAC_FRAME, 1u);
    set_grid(plan, rate, (uint64_t)options->segment_ms * rate / 1000, 1, frames * VPI_AAC_FRAME);
}

vp_status vpi_plan_timeline(vp_plan *plan, const vpi_track *video, const vpi_track *const *audio,
                            size_t count, const vp_transcode_options *options, vp_error *err)
{
    vpi_rational origin;
    for (size_t i = 0; i < count; i++)
        if (!audio[i]->has_times && !video)
            return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "audio track %d has no times",
                            (int)audio[i]->id);
    if (video) {
        VPI_TRY(video_timeline(plan, video, audio, count, options, err));
        origin = plan->video.origin;
    } else {
        audio_timeline(plan, audio, count, options, &origin);
    }
    for (size_t i = 0; i < count; i++) {
        vpi_audio_options *a = &plan->audio[i].audio;
        i128 num = (i128)origin.num * audio[i]->tb.den, den = (i128)origin.den * audio[i]->tb.num;
        a->origin = clamp64(floor_div(2 * num + den, 2 * den));
        a->frames = audio_frames(plan, a->sample_rate);
    }
    return VP_OK;
}
