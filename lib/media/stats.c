/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>

#include "media/stats_int.h"

#define REORDER 64u         /* pictures; H.264 and HEVC allow 16 */
#define REORDER_MOST 17u    /* H.264 A.3.1: no picture waits for more than 16 others */
#define SAMPLES 4096u       /* kept of the line (number, time); halved when full */
#define JUMP_S 10           /* see vpi_stats_options.jumps_forward */
#define BACK_DTS_S 1        /* decoding times never run back; this much is not jitter of a writer */
#define KEYFRAME_GAP_MS 100 /* keyframes nearer to each other are of no use to a plan */
#define LOOSE 0.2           /* of a frame: jitter that a grid of the same average rate still explains */
#define LOOSE_S 0.02        /* but no more than people notice against the sound */
#define TIGHT_MAX 0.45      /* of a frame, where one tick is longer than a fifth of it */
#define TIME_MAX (INT64_C(1) << 57)   /* ticks */
#define LENGTH_MAX (INT64_C(1) << 40) /* of one packet */
#define SLIP_S 0.02                   /* less is no length that somebody gave a last picture */
#define SLIP_VARIABLE_S 0.002         /* likewise, where others may be short */
#define LATE_PHASE 2u                 /* see grid */
#define LATE_PHASE_MIN 10u            /* pictures, for a phase that leaves out the first two */
#define TIGHT_S 0.001                 /* Matroska rounds to milliseconds */

static const vpi_rational standard_rates[] = {
    { 24000, 1001 }, { 24, 1 }, { 25, 1 }, { 30000, 1001 }, { 30, 1 },  { 48, 1 },        { 50, 1 },
    { 60000, 1001 }, { 60, 1 }, { 12, 1 }, { 25, 2 },       { 15, 1 },  { 15000, 1001 },  { 10, 1 },
    { 20, 1 },       { 5, 1 },  { 1, 1 },  { 100, 1 },      { 120, 1 }, { 120000, 1001 }, { 48000, 1001 },
    { 8, 1 },        { 6, 1 },  { 2, 1 },  { 240, 1 },
};

/*
 * One rate that is tried, at the phase of the first picture and again at that of the third: fragmented
 * files of common writers show the first pictures for longer than a frame.
 */
typedef struct grid {
    vpi_rational rate;
    uint64_t from; /* number of the picture that sets the phase */
    int64_t origin;
    double per_tick; /* frames a tick */
    double max_error, sum_error;
    int64_t last;
    uint64_t missing, doubled;
    bool declared, standard;
} grid;

struct vpi_stats {
    vpi_stats_options o;
    vpi_stats_result r;
    int64_t heap[REORDER];
    size_t heap_size;
    /* file order */
    bool any, last_ref_is_dts;
    int64_t last_ref, highest_pts, offset;  /* offset: taken off file times to make them continuous */
    int64_t last_duration, last_key, delay; /* delay: presentation after decoding time, of the last packet */
    bool any_delay;
    uint64_t untimed; /* pictures that could not be placed */
    bool any_key;
    int64_t end, skip_until;
    int64_t least_step; /* of sound: the shortest time from packet to packet; 0: none yet */
    /* presentation order */
    uint64_t shown;
    int64_t first, last, last_delta;
    grid grids[2 * (VPI_COUNT(standard_rates) + 6)];
    size_t grid_count;
    int64_t sample[SAMPLES];
    size_t sample_count;
    uint64_t sample_step;
    size_t keyframe_cap;
    uint64_t keyframe_step_ms;
};

/* ---- rates ---- */

vpi_rational vpi_nearest_rational(double value, int64_t max)
{
    int64_t n0 = 0, d0 = 1, n1 = 1, d1 = 0;
    double x = value;

    if (!(value > 0) || value > (double)max) return (vpi_rational){ value > 0 ? max : 0, 1 };
    /* Continued fraction until a term is too large or nothing is left. */
    for (int i = 0; i < 40; i++) {
        double whole = floor(x);
        int64_t a, n, d;

        if (whole > (double)max) break;
        a = (int64_t)whole;
        if (a > 0 && (n1 > (max - n0) / a || (d1 > 0 && d1 > (max - d0) / a))) break;
        n = a * n1 + n0;
        d = a * d1 + d0;
        n0 = n1;
        d0 = d1;
        n1 = n;
        d1 = d;
        if (d > 0 && fabs((double)n / (double)d - value) <= value * 1e-12) break;
        if (x - whole < 1e-12) break;
        x = 1 / (x - whole);
    }
    return d1 > 0 ? vpi_reduce(n1, d1) : (vpi_rational){ 0, 1 };
}

static double as_double(vpi_rational r)
{
    return r.den > 0 ? (double)r.num / (double)r.den : 0;
}

static double tick_s(const vpi_stats *s)
{
    return as_double(s->o.tb);
}

static void add_grid(vpi_stats *s, vpi_rational rate, bool declared, bool standard)
{
    if (rate.num <= 0 || rate.den <= 0 || s->grid_count + 2 > VPI_COUNT(s->grids)) return;
    for (size_t i = 0; i < s->grid_count; i++) {
        if (vpi_rational_cmp(s->grids[i].rate, rate) == 0) return;
    }
    for (unsigned late = 0; late < 2; late++) {
        grid *g = &s->grids[s->grid_count++];

        memset(g, 0, sizeof(*g));
        g->rate = rate;
        g->from = late * LATE_PHASE;
        g->per_tick = as_double(rate) * tick_s(s);
        g->declared = declared;
        g->standard = standard;
    }
}

/* Writers round: 2997/125 means 24000/1001. */
static bool snap(vpi_rational rate, vpi_rational *to)
{
    for (size_t i = 0; i < VPI_COUNT(standard_rates); i++) {
        double v = as_double(standard_rates[i]);

        if (fabs(as_double(rate) - v) <= v * 1e-4) {
            *to = standard_rates[i];
            return true;
        }
    }
    return false;
}

static void feed_grid(grid *g, uint64_t number, int64_t ticks)
{
    double at, nearest, error;
    int64_t n;

    if (number < g->from) return;
    if (number == g->from) {
        g->origin = ticks;
        return;
    }
    at = (double)(ticks - g->origin) * g->per_tick;
    nearest = nearbyint(at);
    error = fabs(at - nearest);
    if (!(fabs(nearest) < 1e15)) {
        g->max_error = 1;
        return;
    }
    n = (int64_t)nearest;
    g->max_error = VPI_MAX(g->max_error, error);
    g->sum_error += error;
    if (n <= g->last)
        g->doubled++;
    else
        g->missing += (uint64_t)(n - g->last - 1);
    g->last = VPI_MAX(n, g->last);
}

/* Is each tested time within the tolerance of the grid, and is nearly each place of it taken once? */
static bool fits(const vpi_stats *s, const grid *g, bool tight)
{
    double frame_s = 1 / as_double(g->rate), limit = VPI_MIN(LOOSE, LOOSE_S / frame_s);
    uint64_t allowed = VPI_MAX(s->shown / 100, (uint64_t)(s->shown >= 25));

    if (g->from && s->shown < LATE_PHASE_MIN) return false;
    allowed += s->untimed;
    if (tight) limit = VPI_MIN(VPI_MAX(tick_s(s), TIGHT_S) * 1.01 / frame_s, TIGHT_MAX);
    return g->max_error <= limit && g->missing + g->doubled <= allowed;
}

/*
 * A standard rate that the file declares, else the standard one of the smallest error, else what the file
 * declares: that is often an average, rounded or over a clip too short for it.
 */
static const grid *best_of_phase(const vpi_stats *s, bool tight, bool late)
{
    const grid *best = NULL, *declared = NULL;

    for (size_t i = 0; i < s->grid_count; i++) {
        const grid *g = &s->grids[i];

        if ((g->from > 0) != late || !fits(s, g, tight)) continue;
        if (g->declared && g->standard) return g;
        if (!g->standard)
            declared = declared ? declared : g;
        else if (!best || g->sum_error < best->sum_error * 0.999)
            best = g;
    }
    return best ? best : declared;
}

static const grid *best_grid(const vpi_stats *s, bool tight)
{
    const grid *g = best_of_phase(s, tight, false);

    return g ? g : best_of_phase(s, tight, true);
}

static double average_rate(const vpi_stats *s)
{
    double span = (double)(s->last - s->first) * tick_s(s);
    uint64_t shown = s->shown - VPI_MIN(s->r.duplicates, s->shown); /* of two at one time one is shown */

    return shown > 1 && span > 0 ? (double)(shown - 1) / span : 0;
}

/* Do the times lie on a straight line of their own rate? Needs no candidate, sees no missing frame. */
static bool straight(const vpi_stats *s)
{
    double step, limit;

    if (s->shown < 3 || s->last <= s->first) return false;
    step = (double)(s->last - s->first) / (double)(s->shown - 1);
    limit = VPI_MIN(step * LOOSE, LOOSE_S / tick_s(s));
    for (size_t i = 0; i < s->sample_count; i++) {
        double expected = (double)((uint64_t)i * s->sample_step) * step;

        if (fabs((double)s->sample[i] - expected) > limit) return false;
    }
    return (double)s->r.min_delta >= step * 0.5 && (double)s->r.max_delta <= step * 1.5;
}

static void choose_rate(vpi_stats *s)
{
    const grid *g = NULL;
    double average = average_rate(s);
    int64_t length = s->r.end - s->r.start;

    if (s->shown == 0) {
        s->r.variable = -1;
        s->r.rate = s->grid_count && s->grids[0].declared ? s->grids[0].rate : (vpi_rational){ 25, 1 };
        return;
    }
    if (s->shown == 1 || average <= 0) {
        s->r.variable = 0;
        if (s->grid_count && s->grids[0].declared)
            s->r.rate = s->grids[0].rate;
        else if (length > 0)
            s->r.rate = vpi_nearest_rational(1 / ((double)length * tick_s(s)), VPI_RATE_MAX);
        else
            s->r.rate = (vpi_rational){ 25, 1 };
        /* One picture shown for hours, or a clock's rate, is no frame rate. */
        if (s->r.rate.num <= 0 || as_double(s->r.rate) > 1000) s->r.rate = (vpi_rational){ 25, 1 };
        return;
    }
    g = best_grid(s, true);
    if (!g && straight(s)) {
        s->r.rate = vpi_nearest_rational(average, VPI_RATE_MAX);
        g = best_grid(s, false);
        if (g && g->from) s->r.phase = s->first + g->origin - s->r.start;
        if (g) s->r.rate = g->rate;
        s->r.variable = 0;
        return;
    }
    if (!g) g = best_grid(s, false);
    s->r.variable = g ? 0 : 1;
    if (g && g->from) s->r.phase = s->first + g->origin - s->r.start;
    s->r.rate = g ? g->rate : vpi_nearest_rational(average, VPI_RATE_MAX);
}

/* ---- presentation order ---- */

static void sample_time(vpi_stats *s, int64_t ticks)
{
    if (s->shown % s->sample_step != 0) return;
    if (s->sample_count == SAMPLES) {
        for (size_t i = 0; i < SAMPLES / 2; i++) s->sample[i] = s->sample[2 * i];
        s->sample_count = SAMPLES / 2;
        s->sample_step *= 2;
        if (s->shown % s->sample_step != 0) return;
    }
    s->sample[s->sample_count++] = ticks;
}

static void show(vpi_stats *s, int64_t t)
{
    int64_t delta;

    if (s->shown == 0) s->first = s->last = t;
    if (s->shown > 0) {
        delta = t - s->last;
        if (delta <= 0) {
            s->r.duplicates++;
            delta = 0;
        }
        s->r.min_delta = s->shown == 1 ? delta : VPI_MIN(s->r.min_delta, delta);
        s->r.max_delta = s->shown == 1 ? delta : VPI_MAX(s->r.max_delta, delta);
        if (delta > 0) s->last_delta = delta;
    }
    for (size_t i = 0; i < s->grid_count; i++) feed_grid(&s->grids[i], s->shown, t - s->first);
    sample_time(s, t - s->first);
    s->last = VPI_MAX(s->last, t);
    s->shown++;
}

static int64_t heap_pop(vpi_stats *s)
{
    int64_t top = s->heap[0], last = s->heap[--s->heap_size];
    size_t at = 0, child;

    while ((child = 2 * at + 1) < s->heap_size) {
        if (child + 1 < s->heap_size && s->heap[child + 1] < s->heap[child]) child++;
        if (last <= s->heap[child]) break;
        s->heap[at] = s->heap[child];
        at = child;
    }
    s->heap[at] = last;
    return top;
}

static void heap_push(vpi_stats *s, int64_t t)
{
    size_t at;

    if (s->heap_size == REORDER) show(s, heap_pop(s));
    at = s->heap_size++;
    while (at > 0 && s->heap[(at - 1) / 2] > t) {
        s->heap[at] = s->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    s->heap[at] = t;
}

static void heap_flush(vpi_stats *s)
{
    while (s->heap_size) show(s, heap_pop(s));
}

/* ---- file order ---- */

/* Beyond any clock: damage. The bounds leave room for the sums below. */
static bool plausible(int64_t t)
{
    return t > -TIME_MAX && t < TIME_MAX;
}

static int64_t sane(int64_t length)
{
    return VPI_CLAMP(length, 0, LENGTH_MAX);
}

static int64_t seconds(const vpi_stats *s, int64_t n)
{
    return vpi_rescale(n, s->o.tb.den, s->o.tb.num, VPI_CEIL);
}

/* A clock that was set anew: what follows is put behind what came before. */
static void look_for_jump(vpi_stats *s, bool has_dts, int64_t packet_dts, int64_t time)
{
    int64_t ref = has_dts ? packet_dts : time, by, step;
    bool dts = has_dts && s->last_ref_is_dts;

    if (s->any) {
        by = ref - s->last_ref;
        if (by < -seconds(s, dts ? BACK_DTS_S : JUMP_S) ||
            (s->o.jumps_forward && by > seconds(s, JUMP_S) && by > 2 * s->last_duration)) {
            heap_flush(s);
            if (s->r.jumps++ == 0) {
                s->r.jump_at = s->highest_pts;
                s->r.jump_by = time - s->highest_pts;
            }
            step = s->last_duration ? s->last_duration : s->last_delta;
            s->offset = time - (s->last + step);
            if (!s->o.video) s->offset = time - s->end;
            s->highest_pts = time;
        }
    }
    s->last_ref = ref;
    s->last_ref_is_dts = has_dts;
}

/* time is the file's, t the continuous one. */
static bool add_keyframe(vpi_stats *s, int64_t time, int64_t t)
{
    int64_t gap = s->any_key ? t - s->last_key : 0, near_ticks;

    if (s->any_key && gap > 0) {
        s->r.keyframe_min = s->r.keyframe_gaps ? VPI_MIN(s->r.keyframe_min, gap) : gap;
        s->r.keyframe_max = VPI_MAX(s->r.keyframe_max, gap);
        s->r.keyframe_sum += gap;
        s->r.keyframe_gaps++;
    }
    if (!s->any_key || gap > 0) s->last_key = t;
    s->any_key = true;
    if (s->r.keyframe_count && time <= s->r.keyframes[s->r.keyframe_count - 1]) return true;
    near_ticks = vpi_rescale((int64_t)s->keyframe_step_ms, s->o.tb.den, 1000 * s->o.tb.num, VPI_FLOOR);
    if (s->r.keyframe_count && time - s->r.keyframes[s->r.keyframe_count - 1] < near_ticks) return true;
    if (s->r.keyframe_count == VPI_KEYFRAMES_MAX) {
        for (size_t i = 0; i < VPI_KEYFRAMES_MAX / 2; i++) s->r.keyframes[i] = s->r.keyframes[2 * i];
        s->r.keyframe_count = VPI_KEYFRAMES_MAX / 2;
        s->keyframe_step_ms *= 2;
    }
    if (!VPI_GROW(s->r.keyframes, s->r.keyframe_count, s->keyframe_cap)) return false;
    s->r.keyframes[s->r.keyframe_count++] = time;
    return true;
}

bool vpi_stats_started(const vpi_stats *s)
{
    return s->any;
}

/*
 * Program streams time one picture of several. Without reordering a decoding time tells the rest; with it
 * a picture that has only that cannot be placed.
 */
static int64_t time_of(vpi_stats *s, const vpi_stats_packet *p, bool *placed)
{
    bool pts = p->has_pts && plausible(p->pts), dts = p->has_dts && plausible(p->dts);

    *placed = pts || (dts && (!s->r.reordered || !s->any_delay));
    if (pts && dts) {
        if (p->pts != p->dts) s->r.delayed = true;
        s->delay = p->pts - p->dts;
        s->any_delay = true;
    }
    if (pts) return p->pts;
    return dts ? p->dts + (s->any_delay ? s->delay : 0) : 0;
}

/* Of sound: how far its packets are from each other, for files that do not tell how long each lasts. */
static void see_step(vpi_stats *s, int64_t t)
{
    int64_t step = s->any ? t - s->last : 0;

    if (step > 0 && (!s->least_step || step < s->least_step)) s->least_step = step;
    s->last = s->any ? VPI_MAX(s->last, t) : t;
}

void vpi_stats_hide(vpi_stats *s, int64_t pts)
{
    if (s->r.has_times && pts >= s->r.start) return; /* behind the end, or in another edit */
    s->r.hidden = s->r.hides ? VPI_MAX(s->r.hidden, pts) : pts;
    s->r.hides = true;
}

bool vpi_stats_add(vpi_stats *s, const vpi_stats_packet *p)
{
    int64_t time, t, start, end, duration = sane(p->duration);
    bool placed;

    if (s->r.packets++ == 0) s->r.skip_samples = p->skip_samples;
    if (p->captions) s->r.captions = true;
    if (!p->has_pts) s->r.missing_pts++;
    time = time_of(s, p, &placed);
    if (placed) look_for_jump(s, p->has_dts && plausible(p->dts), p->dts, time);
    t = time - s->offset;
    if (!placed || !plausible(t)) {
        s->untimed++;
        return true;
    }
    if (duration > 0) s->last_duration = duration;
    if (!s->o.video) see_step(s, t);
    if (s->any && time < s->highest_pts) s->r.reordered = true;
    if (s->any) s->r.leap = VPI_MAX(s->r.leap, time - s->highest_pts);
    s->highest_pts = s->any ? VPI_MAX(s->highest_pts, time) : time;
    /* What is skipped may be more than the packet that says so. */
    if (p->skip_start > 0)
        s->skip_until = t + sane(p->skip_start);
    else if (!s->any) /* an open GOP's leading pictures lack references, but not behind hidden ones */
        s->skip_until = s->r.hides ? INT64_MIN : t;
    start = VPI_MAX(t, s->skip_until);
    end = t + VPI_MAX(duration - sane(p->skip_end), 0);
    if (!s->r.has_times || start < s->r.start) s->r.start = start;
    s->end = s->r.has_times ? VPI_MAX(s->end, end) : end;
    s->r.has_times = true;
    s->any = true;
    if (!s->o.video) return true;
    heap_push(s, t);
    return p->key ? add_keyframe(s, time, t) : true;
}

vpi_stats *vpi_stats_new(const vpi_stats_options *options)
{
    vpi_stats *s = vpi_calloc(1, sizeof(*s));
    vpi_rational snapped;

    if (!s) return NULL;
    s->o = *options;
    s->sample_step = 1;
    s->keyframe_step_ms = KEYFRAME_GAP_MS;
    s->r.variable = -1;
    s->r.rate = (vpi_rational){ 0, 1 };
    if (!options->video) return s;
    for (size_t i = 0; i < VPI_COUNT(options->declared); i++) {
        if (options->declared[i].num <= 0 || options->declared[i].den <= 0) continue;
        if (snap(options->declared[i], &snapped)) add_grid(s, snapped, true, true);
        add_grid(s, options->declared[i], true, false);
    }
    for (size_t i = 0; i < VPI_COUNT(standard_rates); i++) add_grid(s, standard_rates[i], false, true);
    return s;
}

vpi_stats *vpi_stats_free(vpi_stats *s)
{
    if (s) vpi_free(s->r.keyframes);
    vpi_free(s);
    return NULL;
}

void vpi_stats_cut(vpi_stats *s)
{
    while (s->heap_size > REORDER_MOST) show(s, heap_pop(s));
    s->heap_size = 0;
}

/* A last picture that has no time of its own: shown behind those that were coded after it. */
static void count_last(vpi_stats *s)
{
    int64_t frame, counted;

    if (!s->untimed || s->r.variable != 0 || s->r.jumps || s->r.packets > (uint64_t)LENGTH_MAX) return;
    frame = vpi_rescale(s->r.rate.den, s->o.tb.den, s->r.rate.num * s->o.tb.num, VPI_NEAREST);
    counted = s->first + vpi_rescale((int64_t)s->r.packets * s->r.rate.den, s->o.tb.den,
                                     s->r.rate.num * s->o.tb.num, VPI_NEAREST);
    if (counted > s->r.end && counted - s->r.end <= frame + frame / 2) s->r.end = counted;
}

/*
 * The last picture's length may be a slip of the writer (one tick): it gets a frame. One of less than half a frame has
 * no place on the grid of a steady rate: slides have another rhythm at the end.
 */
static void keep_last(vpi_stats *s)
{
    double frame_s = 1 / as_double(s->r.rate), last_s = (double)(s->r.end - s->last) * tick_s(s);

    if (s->shown < 2 || s->r.variable < 0) return;
    if (s->r.variable) {
        if (last_s < SLIP_VARIABLE_S) s->r.end = VPI_MAX(s->r.end, s->last + s->r.min_delta);
    } else if (last_s * 2 < frame_s && last_s < SLIP_S) {
        s->r.end =
            s->last + vpi_rescale(s->r.rate.den, s->o.tb.den, s->r.rate.num * s->o.tb.num, VPI_NEAREST);
    } else if (last_s * 2 < frame_s) {
        s->r.variable = 1;
    }
}

void vpi_stats_finish(vpi_stats *s, vpi_stats_result *result)
{
    int64_t frame;

    heap_flush(s);
    /* ALAC and WavPack in Matroska, ALAC in CAF: the last packet lasts as the others do. */
    if (!s->o.video && s->any && !s->last_duration) s->end = VPI_MAX(s->end, s->last + s->least_step);
    s->r.end = VPI_MAX(s->end, s->r.start);
    s->r.last = s->last;
    if (s->o.video) {
        /* The last picture's duration is often not in the file: an average one then. */
        if (s->shown && s->r.end <= s->last) {
            frame = s->shown > 1 ? (s->last - s->first) / (int64_t)(s->shown - 1) : 0;
            s->r.end = s->last + VPI_MAX(frame, 0);
        }
        choose_rate(s);
        count_last(s);
        keep_last(s);
        if (s->shown == 1 && s->r.end <= s->last) {
            s->r.end =
                s->last + vpi_rescale(s->r.rate.den, s->o.tb.den, s->r.rate.num * s->o.tb.num, VPI_NEAREST);
        }
    }
    *result = s->r;
    s->r.keyframes = NULL;
    s->r.keyframe_count = 0;
}
