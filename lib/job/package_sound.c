/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "package_sound.h"

#include <stdio.h>

#include "package_codec.h"

#define SILENCE_MAX 50  /* frames of silence that may be added so that sound ends with the picture */
#define LATE_MAX_S 10   /* seconds of silence before sound that begins late, or in place of what is missing */
#define HOLE_MS 50      /* off by so much is off: clocks of containers round and jitter */
#define LATE_MS 15      /* for so many packets in a row this is, too */
#define LATE_PACKETS 8u /* and at once, where so many were exact before */

vp_status vpi_ready_sound_open(vpi_ready_sound *r, vp_error *err)
{
    return vpi_ready_open(&r->pk->inputs[r->a->input], r->a->stream, &r->reader, err);
}

void vpi_ready_sound_close(vpi_ready_sound *r)
{
    if (!r->reader) return;
    vpi_ready_drop(r->reader, &r->next);
    r->reader = vpi_ready_close(r->reader);
}

vp_status vpi_ready_sound_none(const vpi_ready_sound *r, const char *what, vp_error *err)
{
    return vpi_fail(err, VP_E_DATA, "INPUT_TRUNCATED", "%s: sound %s the picture", r->a->name, what);
}

/*
 * Samples from title time 0 to a packet. The first one of Opus lies before it by the pre-skip: where the container's
 * clock says about that, it is that.
 */
static int64_t samples_to(const vpi_ready_sound *r, int64_t pts)
{
    const vpi_ready_audio *a = r->a;
    int64_t rate = a->setup.timescale;
    int64_t at = vpi_rescale(pts - a->origin, a->tb.num * rate, a->tb.den, VPI_NEAREST);
    int64_t tick = vpi_rescale(1, a->tb.num * rate, a->tb.den, VPI_CEIL), off = at + (int64_t)a->pre_skip;
    bool first = a->pre_skip && r->dropped == 0 && a->origin == 0;
    return first && off >= -tick && off <= tick ? -(int64_t)a->pre_skip : at;
}

/* Sound that begins `at` samples late gets silence before it, in whole frames. */
static vp_status place(vpi_ready_sound *r, int64_t at, vp_error *err)
{
    int64_t frame = (int64_t)r->a->frame_samples;
    r->placed = true;
    r->at = at;
    if (at < (int64_t)r->samples) return VP_OK;
    r->lead = r->before = (uint64_t)(at / frame);
    r->at = at % frame;
    if (r->lead && (!r->a->silence.size || at / r->a->setup.timescale >= LATE_MAX_S))
        return vpi_ready_sound_none(r, "begins long after", err);
    return VP_OK;
}

static vp_status not_mended(const vpi_ready_sound *r, int64_t away, const char *what, vp_error *err)
{
    int64_t rate = r->a->setup.timescale;
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: %lld ms of sound %s at %lld ms", r->a->name,
                    (long long)(away * 1000 / rate), what, (long long)(r->at * 1000 / rate));
}

/* Is a packet off by so many samples (of a frame, away > 0) for good, not by a clock that jitters? */
static bool is_off(vpi_ready_sound *r, int64_t away, bool behind)
{
    int64_t rate = r->a->setup.timescale, frame = (int64_t)r->a->frame_samples;
    if (4 * away < 3 * frame || away * 1000 < LATE_MS * rate) {
        r->late = 0;
        r->steady = 8 * away > frame ? 0 : VPI_MIN(r->steady + 1, LATE_PACKETS);
        return false;
    }
    int64_t rest = away % frame, whole = VPI_MIN(rest, frame - rest);
    bool at_once = r->steady >= LATE_PACKETS && 8 * whole <= frame;
    r->late = behind ? VPI_MAX(r->late, 0) + 1 : VPI_MIN(r->late, 0) - 1;
    bool large = away >= frame && away * 1000 >= HOLE_MS * rate;
    bool off = large || at_once || r->late >= (int)LATE_PACKETS || r->late <= -(int)LATE_PACKETS;
    r->steady = 0;
    if (off) r->late = 0;
    return off;
}

static void note(vpi_ready_sound *r)
{
    if (!r->between && !r->left_out) r->first_mended = r->at;
}

/*
 * Where frames are missing silence stands in, where they come again they are left out: what follows stays with its
 * picture. *leave: the packet is one of those.
 */
static vp_status mend(vpi_ready_sound *r, bool *leave, vp_error *err)
{
    int64_t rate = r->a->setup.timescale, frame = (int64_t)r->a->frame_samples, hole;
    *leave = false;
    if (!r->next.has_pts) return VP_OK;
    hole = samples_to(r, r->next.pts) - r->at;
    if (r->repeats) {
        r->repeats = *leave = 2 * hole < -(int64_t)r->samples;
    } else if (is_off(r, hole < 0 ? -hole : hole, hole > 0)) {
        if (hole > 0 && (!r->a->silence.size || hole / rate >= LATE_MAX_S))
            return not_mended(r, hole, "are missing", err);
        if (hole < 0 && -hole / rate >= LATE_MAX_S) return not_mended(r, -hole, "come again", err);
        note(r);
        if (hole > 0) r->lead = (uint64_t)((hole + frame / 2) / frame);
        r->between += r->lead;
        r->repeats = *leave = hole < 0;
    }
    if (*leave) r->left_out++;
    return VP_OK;
}

/* What ends before title time 0 (priming) is dropped, so is a frame that straddles it. */
vp_status vpi_ready_sound_fetch(vpi_ready_sound *r, vp_error *err)
{
    int64_t at = 0;
    while (!r->ended && !r->next.data) {
        vp_status st = vpi_ready_next(r->reader, &r->next, err);
        bool leave = false;
        if (st < 0) return st;
        r->ended = st == VP_END;
        if (r->ended) break;
        r->samples = vpi_ready_frame(r->a, r->next.data, r->next.size);
        if (!r->samples)
            return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: frame %llu is damaged", r->a->name,
                            (unsigned long long)(r->dropped + r->read + 1));
        if (r->placed) {
            VPI_TRY(mend(r, &leave, err));
            if (!leave) return VP_OK;
            vpi_ready_drop(r->reader, &r->next);
            continue;
        }
        /* frames of priming follow each other: their own lengths are more exact than the container's clock */
        if (r->dropped == 0 || !r->a->pre_skip) at = r->next.has_pts ? samples_to(r, r->next.pts) : 0;
        if (at >= 0) return place(r, at, err);
        at += r->samples;
        r->dropped++;
        vpi_ready_drop(r->reader, &r->next);
    }
    return VP_OK;
}

/* Samples of the frame that comes next, whatever it is. */
static uint32_t length(const vpi_ready_sound *r)
{
    return r->lead || r->ended ? r->a->frame_samples : r->samples;
}

bool vpi_ready_sound_before(const vpi_ready_sound *r, int64_t border, bool last)
{
    return last ? r->at < border : 2 * r->at + (int64_t)length(r) <= 2 * border;
}

vp_status vpi_ready_sound_take(vpi_ready_sound *r, vpi_ready_packet *to, vpi_sample *sample, int64_t border,
                               vp_error *err)
{
    const vpi_ready_audio *a = r->a;
    sample->pts = r->at;
    sample->sync = true;
    r->at += length(r);
    r->read++;
    if (!r->lead && !r->ended) {
        *to = r->next;
        r->next = (vpi_ready_packet){ 0 };
        sample->data = to->data;
        sample->size = to->size;
        return VP_OK;
    }
    if (r->lead) {
        r->lead--;
    } else {
        if (!a->silence.size || !r->placed ||
            border - sample->pts > (int64_t)SILENCE_MAX * (int64_t)a->frame_samples)
            return vpi_ready_sound_none(r, "ends before", err);
        r->behind++;
    }
    sample->data = a->silence.data;
    sample->size = a->silence.size;
    return VP_OK;
}

int64_t vpi_ready_sound_border(const vpi_ready_sound *r, size_t segment)
{
    const vpi_ready_video *v = &r->pk->video[0];
    return vpi_rescale(v->cuts[segment] * v->tb.num, r->a->setup.timescale, v->tb.den, VPI_NEAREST);
}

bool vpi_ready_sound_over(const vpi_ready_sound *r, int64_t border)
{
    return r->ended && !r->lead && r->placed && !r->a->silence.size &&
           border - r->at <= (int64_t)r->a->frame_samples;
}

/* ---- what the user is told ---- */

static void tell(const vpi_ready_sound *r, const char *name, int64_t at, const char *text)
{
    int64_t us = vpi_rescale(at, 1000000, r->a->setup.timescale, VPI_NEAREST);
    vpi_emit_warning(&r->pk->job->emitter, name, us, text);
}

/* A frame of silence at either end is of the grid, not of the file. */
void vpi_ready_sound_tell(const vpi_ready_sound *r)
{
    char text[300];
    const char *name = r->a->name;
    uint64_t frame = r->a->frame_samples, rate = r->a->setup.timescale;

    if (r->before > 1) {
        snprintf(text, sizeof(text), "%s: silence for %llu ms before it", name,
                 (unsigned long long)(r->before * frame * 1000 / rate));
        tell(r, "AUDIO_STARTS_LATE", 0, text);
    }
    if (r->between || r->left_out) {
        snprintf(text, sizeof(text), "%s: %llu frames were missing and are silent, %llu came twice", name,
                 (unsigned long long)r->between, (unsigned long long)r->left_out);
        tell(r, "FRAMES_CONCEALED", r->first_mended, text);
    }
    if (r->behind > 1) {
        snprintf(text, sizeof(text), "%s: silence for %llu ms behind it", name,
                 (unsigned long long)(r->behind * frame * 1000 / rate));
        tell(r, "AUDIO_ENDS_EARLY", r->at - (int64_t)(r->behind * frame), text);
    }
}
