/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/presentation_int.h"

#define BITS 8
#define MICROSECONDS 1000000u

typedef unsigned __int128 u128;

/* Segments of a track, or the entries of its I-frame playlist, one after the other. */
typedef struct walk {
    const vpi_ptrack *t;
    size_t segment, fragment;
    bool iframes;
} walk;

static bool next(walk *w, uint64_t *bytes, uint64_t *ticks)
{
    while (w->segment < w->t->segment_count) {
        const vpi_segment *s = &w->t->segments[w->segment];

        if (!w->iframes) {
            w->segment++;
            *bytes = s->bytes;
            *ticks = s->ticks;
            return true;
        }
        if (w->fragment < s->fragment_count) {
            const vpi_fragment *f = &s->fragments[w->fragment++];

            *bytes = f->idr_bytes;
            *ticks = f->ticks;
            return true;
        }
        w->segment++;
        w->fragment = 0;
    }
    return false;
}

/* Bytes over ticks as bit/s, rounded up. */
static uint64_t rate(uint64_t bytes, uint64_t ticks, uint32_t timescale)
{
    u128 bits = (u128)bytes * BITS * timescale, r;

    if (ticks == 0) return 0;
    r = (bits + ticks - 1) / ticks;
    return r > UINT64_MAX ? UINT64_MAX : (uint64_t)r;
}

typedef struct run {
    uint64_t bytes, ticks;
} run;

static void keep_faster(run *best, uint64_t bytes, uint64_t ticks)
{
    if (best->ticks == 0 || (u128)bytes * best->ticks > (u128)best->bytes * ticks)
        *best = (run){ bytes, ticks };
}

/* Runs that begin with the next entry of the walk: those of 0.5 to 1.5 targets. */
static void runs_from(walk w, u128 target_ticks, run *best)
{
    uint64_t bytes = 0, ticks = 0, b, d;

    for (unsigned n = 0; n < VPI_RATE_RUN && next(&w, &b, &d); n++) {
        bytes += b;
        ticks += d;
        if ((u128)ticks * 2 > target_ticks * 3) return;
        if ((u128)ticks * 2 >= target_ticks) keep_faster(best, bytes, ticks);
    }
}

static void rates(const vpi_ptrack *t, bool iframes, uint32_t target, uint64_t *peak, uint64_t *average)
{
    walk w = { t, 0, 0, iframes };
    uint64_t bytes = 0, ticks = 0, b, d;
    run best = { 0, 0 }, single = { 0, 0 };

    *peak = *average = 0;
    for (;;) {
        walk from = w;

        if (!next(&w, &b, &d)) break;
        runs_from(from, (u128)target * t->timescale, &best);
        keep_faster(&single, b, d);
        bytes += b;
        ticks += d;
    }
    if (best.ticks == 0) best = single;
    *peak = rate(best.bytes, best.ticks, t->timescale);
    *average = rate(bytes, ticks, t->timescale);
    /* Entries that no run covers can lift the mean above the peak; BANDWIDTH may not be below the average. */
    *peak = VPI_MAX(*peak, *average);
}

void vpi_ptrack_iframe_rates(const vpi_ptrack *t, uint32_t target, uint64_t *peak, uint64_t *average)
{
    rates(t, true, target, peak, average);
}

uint32_t vpi_presentation_target(const vpi_presentation *p)
{
    u128 target = 1;
    size_t i, k;

    for (i = 0; i < p->track_count; i++) {
        const vpi_ptrack *t = &p->tracks[i];

        if ((t->kind != VP_TRACK_VIDEO && t->kind != VP_TRACK_AUDIO) || t->timescale == 0) continue;
        for (k = 0; k < t->segment_count; k++) {
            /*
             * EXTINF is written in microseconds, rounded: a duration just below a half may be printed as the
             * half. Rounding up to microseconds first keeps TARGETDURATION at or above every printed EXTINF
             * rounded.
             */
            u128 us = ((u128)t->segments[k].ticks * MICROSECONDS + t->timescale - 1) / t->timescale;
            u128 seconds = (us + MICROSECONDS / 2) / MICROSECONDS;

            target = VPI_MAX(target, seconds);
        }
    }
    return target > UINT32_MAX ? UINT32_MAX : (uint32_t)target;
}

/* What every video and audio track covers, where nobody said it. */
static void shortest(vpi_presentation *p)
{
    size_t i;

    for (i = 0; i < p->track_count; i++) {
        const vpi_ptrack *t = &p->tracks[i];
        uint64_t end;

        if (t->kind != VP_TRACK_VIDEO && t->kind != VP_TRACK_AUDIO) continue;
        end = t->segments[t->segment_count - 1].start + t->segments[t->segment_count - 1].ticks;
        if (p->timescale == 0 || (u128)end * p->timescale < (u128)p->duration * t->timescale) {
            p->duration = end;
            p->timescale = t->timescale;
        }
    }
}

vp_status vpi_presentation_finish(vpi_presentation *p, vp_error *err)
{
    uint32_t target;
    size_t i;

    VPI_TRY(vpi_presentation_check(p, VP_E_INTERNAL, NULL, err));
    target = vpi_presentation_target(p);
    for (i = 0; i < p->track_count; i++) {
        vpi_ptrack *t = &p->tracks[i];

        rates(t, false, target, &t->bandwidth, &t->average_bandwidth);
    }
    if (p->timescale == 0) shortest(p);
    return VP_OK;
}
