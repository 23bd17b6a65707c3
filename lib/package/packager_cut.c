/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the push packager cuts. Targets lie on a fixed grid of whole multiples of the segment length, so that
 * a late IDR does not push all later borders; a border is the first sync sample at or after a target, and the
 * next target is the first one at least half a length after it. Fragments follow the same rule with their own
 * length.
 */

#include "package/packager_int.h"

#define TAIL_MS 500    /* shorter ends belong to what stands before them */
#define TOLERANCE_MS 1 /* times of tracks with different timescales are rounded */

typedef __int128 wide;

/* a ticks of one scale minus b of another: sign tells; in units of 1 / (scale_a * scale_b) s. */
static wide difference(int64_t a, uint32_t scale_a, int64_t b, uint32_t scale_b)
{
    return (wide)a * scale_b - (wide)b * scale_a;
}

/* First grid point, in ms, at least half a length after ticks. */
static int64_t next_target(int64_t ticks, uint32_t scale, uint64_t length_ms)
{
    wide unit = (wide)scale * 2 * (int64_t)length_ms;
    wide at =
        (wide)ticks * 2000 + (wide)scale * (int64_t)length_ms; /* (ticks + half) in 1 / (2000 scale) s */

    return (int64_t)((at + unit - 1) / unit) * (int64_t)length_ms;
}

static bool reached(int64_t ticks, uint32_t scale, int64_t target_ms)
{
    return difference(ticks, scale, target_ms - TOLERANCE_MS, 1000) >= 0;
}

/*
 * An audio border is the frame whose start is nearest to the target: the first whose middle lies behind it.
 */
static bool audio_reached(const vpi_pk_track *t, size_t i, int64_t at, uint32_t scale)
{
    return difference(2 * t->samples[i].pts + (int64_t)t->durations[i], t->setup.timescale, 2 * at, scale) >=
           0;
}

static vp_status add_mark(vp_packager *pk, int64_t pts, bool segment, vp_error *err)
{
    if (!VPI_GROW(pk->marks, pk->mark_count, pk->mark_cap)) return vpi_fail_nomem(err);
    pk->marks[pk->mark_count++] = (vpi_pk_mark){ pts, segment };
    return VP_OK;
}

vp_status vpi_pk_look(vp_packager *pk, vp_error *err)
{
    const vpi_pk_track *t = &pk->tracks[pk->main];
    size_t last = t->count - 1;
    const vpi_sample *s = &t->samples[last];
    uint32_t scale = t->setup.timescale;
    int64_t fragment, to_segment, to_fragment;
    size_t segment = pk->mark_count;
    bool at_segment, at_fragment;

    if (pk->mark_count == 0) return add_mark(pk, s->pts, true, err);
    fragment = pk->marks[pk->mark_count - 1].pts;
    if (!s->sync || s->pts <= fragment) return VP_OK;
    while (!pk->marks[segment - 1].segment) segment--; /* the first mark is one */
    to_segment = next_target(pk->marks[segment - 1].pts, scale, pk->segment_ms);
    to_fragment = next_target(fragment, scale, pk->fragment_ms);
    if (vpi_pk_is_video(t)) {
        at_segment = reached(s->pts, scale, to_segment);
        at_fragment = reached(s->pts, scale, to_fragment);
    } else {
        at_segment = audio_reached(t, last, to_segment, 1000);
        at_fragment = audio_reached(t, last, to_fragment, 1000);
    }
    return at_segment || at_fragment ? add_mark(pk, s->pts, at_segment, err) : VP_OK;
}

/*
 * The sample of t that begins at the mark; t->count when there is none. Video: a sync sample at the same
 * time; when it must be there and a later one has come, RENDITIONS_NOT_ALIGNED.
 */
static vp_status find_video(const vp_packager *pk, const vpi_pk_track *t, int64_t pts, bool must, size_t *at,
                            vp_error *err)
{
    uint32_t scale = pk->tracks[pk->main].setup.timescale;
    wide tolerance = (wide)scale * t->setup.timescale * TOLERANCE_MS / 1000;

    for (size_t i = 0; i < t->count; i++) {
        wide d;

        if (!t->samples[i].sync) continue;
        d = difference(t->samples[i].pts, t->setup.timescale, pts, scale);
        if (d < -tolerance) continue;
        if (d <= tolerance) {
            *at = i;
            return VP_OK;
        }
        if (!must) break;
        vpi_error_key(err, t->name);
        return vpi_fail(err, VP_E_DATA, "RENDITIONS_NOT_ALIGNED",
                        "track %s has no IDR picture at %lld.%03lld s", t->name, (long long)(pts / scale),
                        (long long)(pts % scale * 1000 / scale));
    }
    *at = t->count;
    return VP_OK;
}

static size_t find_audio(const vp_packager *pk, const vpi_pk_track *t, int64_t pts)
{
    uint32_t scale = pk->tracks[pk->main].setup.timescale;

    for (size_t i = 0; i < t->count; i++) {
        if (audio_reached(t, i, pts, scale)) return i;
    }
    return t->count;
}

/* The main track's samples carry the marks' own times. */
static vp_status find(const vp_packager *pk, const vpi_pk_track *t, int64_t pts, bool must, size_t *at,
                      vp_error *err)
{
    *at = t->count;
    if (t == &pk->tracks[pk->main]) {
        for (size_t i = 0; i < t->count; i++) {
            if (t->samples[i].sync && t->samples[i].pts == pts) {
                *at = i;
                break;
            }
        }
        return VP_OK;
    }
    if (vpi_pk_is_video(t)) return find_video(pk, t, pts, must, at, err);
    *at = find_audio(pk, t, pts);
    return VP_OK;
}

/* Index of the mark that ends the first segment; mark_count: there is none. */
static size_t end_mark(const vp_packager *pk)
{
    size_t i = 1;

    while (i < pk->mark_count && !pk->marks[i].segment) i++;
    return i;
}

/* Fragments of [0, t->cut) at those marks of the segment for which the track has a sample. */
static vp_status cut_fragments(const vp_packager *pk, vpi_pk_track *t, size_t marks, vp_error *err)
{
    t->fragment_count = 0;
    for (size_t m = 0; m < marks && t->cut > 0; m++) {
        size_t at = 0;

        if (m > 0) VPI_TRY(find(pk, t, pk->marks[m].pts, false, &at, err));
        if (at >= t->cut || (m > 0 && at <= t->fragments[t->fragment_count - 1])) continue;
        if (!VPI_GROW(t->fragments, t->fragment_count, t->fragment_cap)) return vpi_fail_nomem(err);
        t->fragments[t->fragment_count++] = at;
    }
    return VP_OK;
}

static vp_status cut_track(const vp_packager *pk, vpi_pk_track *t, size_t mark, bool finishing, vp_error *err)
{
    bool last = mark == pk->mark_count;

    if (last) {
        t->cut = t->count;
        t->cut_end = t->end;
    } else {
        VPI_TRY(find(pk, t, pk->marks[mark].pts, true, &t->cut, err));
        if (t->cut == t->count) {
            if (!finishing) return VP_AGAIN;
            if (vpi_pk_is_video(t)) {
                vpi_error_key(err, t->name);
                return vpi_fail(err, VP_E_DATA, "RENDITIONS_NOT_ALIGNED", "track %s ends before the others",
                                t->name);
            }
            t->cut_end = t->end;
        } else {
            t->cut_end = (uint64_t)t->samples[t->cut].pts;
        }
    }
    return VP_OK;
}

vp_status vpi_pk_cut(vp_packager *pk, bool finishing, vp_error *err)
{
    const vpi_pk_track *main = &pk->tracks[pk->main];
    size_t mark = end_mark(pk);

    if (main->count == 0) return VP_AGAIN;
    if (!finishing) {
        if (mark == pk->mark_count) return VP_AGAIN;
        /* Held back until what follows is known to be more than a tail. */
        if (difference((int64_t)main->end, main->setup.timescale, pk->marks[mark].pts,
                       main->setup.timescale) <
            (wide)main->setup.timescale * main->setup.timescale * TAIL_MS / 1000) {
            return VP_AGAIN;
        }
    }
    for (size_t i = 0; i < pk->track_count; i++) {
        vp_status st = cut_track(pk, &pk->tracks[i], mark, finishing, err);

        if (st != VP_OK) return st;
    }
    for (size_t i = 0; i < pk->track_count; i++) VPI_TRY(cut_fragments(pk, &pk->tracks[i], mark, err));
    return VP_OK;
}

/* ---- end ---- */

static void drop_short_tail(vp_packager *pk, bool segments)
{
    const vpi_pk_track *main = &pk->tracks[pk->main];
    size_t last = pk->mark_count;
    wide rest;

    while (last > 0 && segments && !pk->marks[last - 1].segment) last--;
    if (last < 2) return; /* the first mark begins what is left and stays */
    rest = (wide)(int64_t)main->end - pk->marks[last - 1].pts;
    if (rest * 1000 >= (wide)main->setup.timescale * TAIL_MS) return;
    if (segments) {
        pk->marks[last - 1].segment = false;
    } else if (!pk->marks[last - 1].segment) {
        pk->mark_count--;
    }
}

static void trim_audio(vp_packager *pk, vpi_pk_track *t)
{
    const vpi_pk_track *main = &pk->tracks[pk->main];
    size_t keep = t->count;

    while (keep > 0 && difference(t->samples[keep - 1].pts, t->setup.timescale, (int64_t)main->end,
                                  main->setup.timescale) >= 0) {
        keep--;
        pk->held -= t->samples[keep].size + VPI_PK_COST;
        vpi_free((void *)(uintptr_t)t->samples[keep].data);
    }
    if (keep == t->count) return;
    vpi_log(pk->context, VP_LOG_WARN, "package", "track %s: %zu frames after the last picture are left out",
            t->name, t->count - keep);
    t->end = (uint64_t)t->samples[keep].pts; /* the border after what stays; the memory is still there */
    t->count = keep;
}

vp_status vpi_pk_close(vp_packager *pk, vp_error *err)
{
    for (size_t i = 0; i < pk->track_count; i++) {
        vpi_pk_track *t = &pk->tracks[i];

        if (!t->started) {
            vpi_error_key(err, t->name);
            return vpi_fail(err, VP_E_ARG, NULL, "track %s got no samples", t->name);
        }
        if (i != pk->main && !vpi_pk_is_video(t) && vpi_pk_is_video(&pk->tracks[pk->main])) trim_audio(pk, t);
    }
    drop_short_tail(pk, true);
    if (pk->fragment_ms >= TAIL_MS) drop_short_tail(pk, false);
    return VP_OK;
}
