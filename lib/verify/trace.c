/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sound as it is decoded, and how far two recordings of the same thing lie apart. */
#include <math.h>
#include <stdlib.h>

#include "verify/sound_int.h"

#define LAG_MS 500       /* looked for to both sides */
#define FAR_MS 3000      /* and where it is not found there */
#define FLOOR 1e-7       /* of an energy: -70 dB */
#define LIKENESS 0.7     /* correlation that the same sound has at least */
#define PEAK_APART_MS 60 /* another peak as high, so far away: it repeats itself */
#define PEAK_HIGHER 0.02
#define SMOOTH_MS 40    /* coders change noise, not its level */
#define TURNS 8u        /* ways to lay a square on a square */
#define LAG_PICTURES 15 /* looked for to both sides */
#define STEP_US 20000
#define EARLY_US 1000000 /* before its begin a picture may be shown that comes early */
#define STILL 0.35       /* mean difference, of 255, that says nothing */
#define APART_US 120000  /* other lags that far away have to fit worse */
#define EVEN 16          /* variance of brightness, of 255 squared, of a picture without content */
#define ENDS 2u          /* pictures at both ends, where title and source may differ */
#define MOVES 1.0        /* mean difference of two pictures that is no noise */
#define FROZEN 20        /* times less than the source's that a picture moves which stands still */
#define CELLS (VPI_LOOK_SIDE * VPI_LOOK_SIDE)

/* ---- sound ---- */

void vpi_traces_place(int64_t duration_us, int64_t starts_us[VPI_TRACES])
{
    int64_t length = VPI_TRACE_MS * INT64_C(1000), step = length;

    if (duration_us > VPI_TRACES * length) step = (duration_us - length) / (VPI_TRACES - 1);
    for (int i = 0; i < VPI_TRACES; i++) starts_us[i] = i * step;
}

vp_status vpi_sound_init(vpi_heard_sound *s, const int64_t starts_us[VPI_TRACES], vp_error *err)
{
    memset(s, 0, sizeof(*s));
    s->loudness = vpi_loudness_new();
    if (starts_us) s->trace = vpi_calloc(VPI_TRACES, sizeof(*s->trace));
    for (size_t i = 0; s->trace && i < VPI_TRACES; i++) s->trace[i].start_us = starts_us[i];
    if (s->loudness && (s->trace || !starts_us)) return VP_OK;
    vpi_sound_dispose(s);
    return vpi_fail_nomem(err);
}

void vpi_sound_dispose(vpi_heard_sound *s)
{
    vpi_loudness_free(s->loudness);
    vpi_free(s->trace);
    memset(s, 0, sizeof(*s));
}

static void trace_sound(vpi_sound_trace *trace, double from_us, const vpi_heard *h)
{
    uint32_t used = VPI_MIN(h->channels, VPI_SOUND_CHANNELS_MAX);
    double step = 1000.0 / h->sample_rate, ms = (from_us - (double)trace->start_us) / 1000;

    if (ms >= (double)VPI_TRACE_MS || ms + step * h->samples < 0) return;
    for (uint32_t n = 0; n < h->samples; n++, ms += step) {
        float sum = 0;

        if (ms < 0) continue;
        if (ms >= (double)VPI_TRACE_MS) return;
        for (uint32_t c = 0; c < used; c++) sum += h->planes[c][n] * h->planes[c][n];
        trace->energy[(size_t)ms] += sum / (float)used / (float)h->sample_rate * 1000;
        trace->any = true;
    }
}

vp_status vpi_sound_hear(void *sound, const vpi_heard *h, vp_error *err)
{
    vpi_heard_sound *s = sound;

    (void)err;
    if (h->sample_rate == 0 || h->channels == 0) return VP_OK;
    if (s->samples == 0) {
        s->sample_rate = h->sample_rate;
        s->channels = h->channels;
    }
    s->changes |= s->sample_rate != h->sample_rate || s->channels != h->channels;
    if (h->has_pts && (!s->own_clock || !s->has_first)) {
        int64_t us = vpi_rescale(h->pts, h->tb.num * 1000000, h->tb.den, VPI_NEAREST) - s->zero_us;

        /* Rounded times of single frames are not better than the count. */
        if (!s->has_first || llabs(us - s->next_us) > 2000) s->exact_us = s->own_clock ? 0 : (double)us;
        if (!s->has_first) s->first_us = (int64_t)s->exact_us;
        s->has_first = true;
    }
    for (size_t i = 0; s->trace && i < VPI_TRACES; i++) trace_sound(&s->trace[i], s->exact_us, h);
    vpi_loudness_add(s->loudness, h);
    s->samples += h->samples;
    s->exact_us += (double)h->samples * 1e6 / h->sample_rate;
    s->next_us = (int64_t)s->exact_us;
    return VP_OK;
}

typedef struct series {
    float *v; /* VPI_TRACE_MS */
    size_t count;
} series;

/* Of a trace's milliseconds before `to`, each the mean of `width` around it. */
static bool levels(const vpi_sound_trace *t, size_t to, size_t width, series *out)
{
    double sum = 0;

    out->v = vpi_alloc(VPI_TRACE_MS * sizeof(*out->v));
    if (!out->v) return false;
    for (size_t i = 0; i < VPI_MIN(width / 2, to); i++) sum += t->energy[i];
    for (size_t i = 0; i < to; i++) {
        if (t->energy[i] > 0) out->count = i + 1;
        if (i + width / 2 < to) sum += t->energy[i + width / 2];
        if (i > width / 2) sum -= t->energy[i - width / 2 - 1];
        out->v[i] = (float)log10(VPI_MAX(sum, 0) / (double)(width | 1) + FLOOR);
    }
    return true;
}

/* Correlation of a[i + lag] with b[i], for i from `from` on. */
static double likeness(const series *a, const series *b, size_t from, int lag)
{
    double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0, n = 0, va, vb;

    if (lag < 0) from = VPI_MAX(from, (size_t)-lag);
    for (size_t i = from; i < b->count && (int64_t)i + lag < (int64_t)a->count; i++) {
        double x = a->v[(size_t)((int64_t)i + lag)], y = b->v[i];

        sa += x;
        sb += y;
        saa += x * x;
        sbb += y * y;
        sab += x * y;
        n++;
    }
    if (n < 500) return 0;
    va = saa / n - sa / n * (sa / n);
    vb = sbb / n - sb / n * (sb / n);
    /* Steady sound has no shape. */
    if (va < 0.01 || vb < 0.01) return 0;
    return (sab / n - sa / n * (sb / n)) / sqrt(va * vb);
}

/* The best lag, of at most `most` to both sides. */
static void best_lag(const series *a, const series *b, size_t from, int most, vpi_lag *out)
{
    double c[2 * FAR_MS + 1], other = 0;
    int at = 0;

    memset(out, 0, sizeof(*out));
    for (int lag = -most; lag <= most; lag++) {
        c[lag + most] = likeness(a, b, from, lag);
        out->shaped |= fabs(c[lag + most]) > 0;
        if (c[lag + most] <= out->likeness) continue;
        out->likeness = c[lag + most];
        at = lag;
    }
    for (int lag = -most; lag <= most; lag++) {
        if (abs(lag - at) > PEAK_APART_MS) other = VPI_MAX(other, c[lag + most]);
    }
    out->told = out->likeness >= LIKENESS && out->likeness - other >= PEAK_HIGHER && abs(at) < most;
    out->us = (int64_t)at * 1000;
}

bool vpi_sound_lag(const vpi_sound_trace *ours, const vpi_sound_trace *theirs, size_t from, size_t to,
                   vpi_lag *out)
{
    series a = { NULL, 0 }, b = { NULL, 0 };
    bool good = levels(ours, VPI_TRACE_MS, 1, &a) && levels(theirs, VPI_MIN(to, (size_t)VPI_TRACE_MS), 1, &b);

    memset(out, 0, sizeof(*out));
    if (good) best_lag(&a, &b, from, LAG_MS, out);
    if (out->likeness > 0 && out->likeness < LIKENESS) best_lag(&a, &b, from, FAR_MS, out);
    vpi_free(a.v);
    vpi_free(b.v);
    return good;
}

bool vpi_sound_alike(const vpi_sound_trace *ours, const vpi_sound_trace *theirs, vpi_lag *out)
{
    series a = { NULL, 0 }, b = { NULL, 0 };
    bool good = levels(ours, VPI_TRACE_MS, SMOOTH_MS, &a) && levels(theirs, VPI_TRACE_MS, SMOOTH_MS, &b);

    memset(out, 0, sizeof(*out));
    if (good) best_lag(&a, &b, 0, FAR_MS, out);
    vpi_free(a.v);
    vpi_free(b.v);
    return good;
}

/* ---- pictures ---- */

vpi_picture_trace *vpi_picture_traces_new(const int64_t starts_us[VPI_TRACES])
{
    vpi_picture_trace *t = vpi_calloc(VPI_TRACES, sizeof(*t));

    for (size_t i = 0; t && i < VPI_TRACES; i++) t[i].start_us = starts_us[i];
    return t;
}

bool vpi_picture_trace_add(vpi_picture_trace *t, int64_t us, const uint8_t *grid)
{
    if (t->count >= VPI_TRACE_LOOKS || us >= t->start_us + (int64_t)VPI_TRACE_MS * 1000) return false;
    if (us < t->start_us - EARLY_US) return true;
    t->us[t->count] = us;
    memcpy(t->grid[t->count++], grid, CELLS);
    return true;
}

/* The cell that lies at n of a square turned by quarters and mirrored: a source may be stored so. */
static size_t turned(size_t n, unsigned turn)
{
    size_t x = n % VPI_LOOK_SIDE, y = n / VPI_LOOK_SIDE, last = VPI_LOOK_SIDE - 1, t;

    if (turn & 4) x = last - x;
    for (unsigned k = turn & 3; k > 0; k--) {
        t = x;
        x = y;
        y = last - t;
    }
    return y * VPI_LOOK_SIDE + x;
}

/* The last picture that is shown at a time. */
static size_t shown_at(const vpi_picture_trace *t, int64_t us)
{
    size_t low = 0, high = t->count;

    while (low + 1 < high) {
        size_t middle = (low + high) / 2;

        if (t->us[middle] <= us)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Mean difference of ours to theirs, theirs moved by `lag`; *apart: mean time between the two of a pair. */
static double difference(const vpi_picture_trace *a, const vpi_picture_trace *b, unsigned turn, int64_t lag,
                         double *apart)
{
    int64_t end = b->us[b->count - 1], frame = b->count > 1 ? (end - b->us[0]) / (int64_t)(b->count - 1) : 0;
    uint64_t sum = 0, n = 0;
    double times = 0;

    for (size_t i = 0; i < a->count; i++) {
        int64_t us = a->us[i] - lag + frame / 2;
        size_t k;

        if (us < b->us[0] || us > end + frame) continue;
        k = shown_at(b, us);
        for (size_t cell = 0; cell < CELLS; cell++) {
            sum += (uint64_t)abs(a->grid[i][cell] - b->grid[k][turned(cell, turn)]);
        }
        times += (double)(a->us[i] - b->us[k]);
        n++;
    }
    *apart = n ? times / (double)n : 0;
    return n >= 10 ? (double)sum / (double)(n * CELLS) : 255;
}

/* Correlation of all cells of all pairs; 0 where one of both is still and even. */
static double cell_likeness(const vpi_picture_trace *a, const vpi_picture_trace *b, unsigned turn,
                            int64_t lag)
{
    double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0, n = 0, va, vb;

    for (size_t i = 0; i < a->count; i++) {
        int64_t us = a->us[i] - lag;
        size_t k = shown_at(b, us);

        if (us < b->us[0] || us > b->us[b->count - 1]) continue;
        for (size_t cell = 0; cell < CELLS; cell++) {
            double x = a->grid[i][cell], y = b->grid[k][turned(cell, turn)];

            sa += x;
            sb += y;
            saa += x * x;
            sbb += y * y;
            sab += x * y;
            n++;
        }
    }
    va = saa / n - sa / n * (sa / n);
    vb = sbb / n - sb / n * (sb / n);
    if (n < 10 * CELLS || va < EVEN || vb < EVEN) return 0;
    return (sab / n - sa / n * (sb / n)) / sqrt(va * vb);
}

void vpi_picture_lag(const vpi_picture_trace *a, const vpi_picture_trace *b, vpi_lag *out)
{
    double best = 255, apart, found = 0, other = 255, d;
    unsigned turn = 0;
    int at = 0;

    memset(out, 0, sizeof(*out));
    if (a->count < 10 || b->count < 10) return;
    for (unsigned t = 0; t < TURNS; t++) {
        for (int step = -LAG_PICTURES; step <= LAG_PICTURES; step++) {
            d = difference(a, b, t, (int64_t)step * STEP_US, &apart);
            if (d >= best - 1e-9) continue;
            best = d;
            turn = t;
            at = step;
            found = apart;
        }
    }
    for (int step = -LAG_PICTURES; step <= LAG_PICTURES; step++) {
        if (abs(step - at) * STEP_US <= APART_US) continue;
        other = VPI_MIN(other, difference(a, b, turn, (int64_t)step * STEP_US, &apart));
    }
    out->us = (int64_t)found;
    out->told = other > best + STILL && other > best * 1.3;
    out->likeness = cell_likeness(a, b, turn, (int64_t)at * STEP_US);
    out->upright = turn ? cell_likeness(a, b, 0, (int64_t)at * STEP_US) : out->likeness;
    out->shaped = fabs(out->likeness) > 0;
}

size_t vpi_pictures_missing(const vpi_picture_trace *ours, const vpi_picture_trace *theirs, int64_t lag_us,
                            int64_t slack, int64_t *us)
{
    size_t missing = 0;

    if (ours->count < 2 * ENDS) return 0;
    for (size_t i = ENDS; i + ENDS < theirs->count; i++) {
        int64_t due = theirs->us[i] + lag_us;
        size_t k = shown_at(ours, due);
        int64_t before = llabs(due - ours->us[k]),
                after = k + 1 < ours->count ? llabs(ours->us[k + 1] - due) : INT64_MAX;

        if (due < ours->us[0] || due > ours->us[ours->count - ENDS]) continue;
        if (VPI_MIN(before, after) <= slack) continue;
        if (!missing++) *us = due;
    }
    return missing;
}

/* Mean difference of two pictures, of 255. */
static double moved(const uint8_t *a, const uint8_t *b)
{
    unsigned sum = 0;

    for (size_t cell = 0; cell < CELLS; cell++) sum += (unsigned)abs(a[cell] - b[cell]);
    return (double)sum / CELLS;
}

size_t vpi_pictures_frozen(const vpi_picture_trace *ours, const vpi_picture_trace *theirs, int64_t lag_us,
                           int64_t *us)
{
    size_t frozen = 0;

    for (size_t i = 1; i < ours->count && theirs->count > 0; i++) {
        int64_t frame = ours->us[i] - ours->us[i - 1], at = ours->us[i] - lag_us + frame / 2;
        size_t k = shown_at(theirs, at);
        double theirs_moved;

        if (k == 0 || k + 1 >= theirs->count || at < theirs->us[0]) continue;
        /* a picture that the source holds for longer is not one that stands still here */
        if (llabs(at - frame / 2 - theirs->us[k]) * 2 > frame ||
            llabs(ours->us[i - 1] - lag_us - theirs->us[k - 1]) * 2 > frame)
            continue;
        theirs_moved = moved(theirs->grid[k], theirs->grid[k - 1]);
        if (theirs_moved < MOVES || moved(ours->grid[i], ours->grid[i - 1]) * FROZEN > theirs_moved) continue;
        if (!frozen++) *us = ours->us[i];
    }
    return frozen;
}

void vpi_track_media_dispose(vpi_track_media *m)
{
    vpi_free(m->looks);
    vpi_sound_dispose(&m->sound);
    memset(m, 0, sizeof(*m));
}
