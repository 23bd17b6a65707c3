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
#define TURNS 8u        /* ways to lay a square on a square */
#define LAG_PICTURES 15 /* looked for to both sides */
#define STEP_US 20000
#define EARLY_US 1000000 /* before its begin a picture may be shown that comes early */
#define STILL 0.35       /* mean difference, of 255, that says nothing */
#define APART_US 120000  /* other lags that far away have to fit worse */
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

static bool levels(const vpi_sound_trace *t, series *out)
{
    out->v = vpi_alloc(VPI_TRACE_MS * sizeof(*out->v));
    if (!out->v) return false;
    for (size_t i = 0; i < VPI_TRACE_MS; i++) {
        if (t->energy[i] > 0) out->count = i + 1;
        out->v[i] = (float)log10(t->energy[i] + FLOOR);
    }
    return true;
}

/* Correlation of a[i + lag] with b[i]. */
static double likeness(const series *a, const series *b, int lag)
{
    double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0, n = 0, va, vb;
    size_t from = lag < 0 ? (size_t)-lag : 0;

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

/* How far the best lag is, at most `most` to both sides; *like: how alike the two are there. */
static int best_lag(const series *a, const series *b, int most, double *like, bool *clear)
{
    double c[2 * FAR_MS + 1], other = 0;
    int at = 0;

    *like = 0;
    for (int lag = -most; lag <= most; lag++) {
        c[lag + most] = likeness(a, b, lag);
        if (c[lag + most] <= *like) continue;
        *like = c[lag + most];
        at = lag;
    }
    for (int lag = -most; lag <= most; lag++) {
        if (abs(lag - at) > PEAK_APART_MS) other = VPI_MAX(other, c[lag + most]);
    }
    *clear = *like >= LIKENESS && *like - other >= PEAK_HIGHER && abs(at) < most;
    return at;
}

bool vpi_sound_lag(const vpi_sound_trace *ours, const vpi_sound_trace *theirs, int64_t *us)
{
    series a = { NULL, 0 }, b = { NULL, 0 };
    double like = 0;
    bool told = false;
    int at = 0;

    if (levels(ours, &a) && levels(theirs, &b)) {
        at = best_lag(&a, &b, LAG_MS, &like, &told);
        if (like > 0 && like < LIKENESS) at = best_lag(&a, &b, FAR_MS, &like, &told);
    }
    vpi_free(a.v);
    vpi_free(b.v);
    *us = (int64_t)at * 1000;
    return told;
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

bool vpi_picture_lag(const vpi_picture_trace *a, const vpi_picture_trace *b, int64_t *us)
{
    double best = 255, apart, found = 0, other = 255, d;
    unsigned turn = 0;
    int at = 0;

    *us = 0;
    if (a->count < 10 || b->count < 10) return false;
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
    *us = (int64_t)found;
    return other > best + STILL && other > best * 1.3;
}

void vpi_track_media_dispose(vpi_track_media *m)
{
    vpi_free(m->looks);
    vpi_sound_dispose(&m->sound);
    memset(m, 0, sizeof(*m));
}
