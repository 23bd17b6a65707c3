/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Decoded tracks against each other, and against the source: counts, sync, loudness. */
#include <math.h>
#include <stdlib.h>

#include "media/demux.h"
#include "verify/sound_int.h"

#define US INT64_C(1000000)
#define SYNC_US 20000   /* less than the priming of an AAC encoder, 21 ms, which this would be otherwise */
#define LOUDNESS_LU 1.0 /* EBU Tech 3341 allows meters 0.1 */
#define QUIET_LUFS (-60.0)

/* ---- tracks of the title ---- */

static double frame_us(const vpi_ptrack *t)
{
    return vpi_time_seconds(vpi_track_frame(t)) * 1e6;
}

static bool same_kind_of_rung(const vpi_ptrack *a, const vpi_ptrack *b)
{
    return a->kind == VP_TRACK_VIDEO && b->kind == VP_TRACK_VIDEO &&
           (uint64_t)a->frame_rate_num * b->frame_rate_den == (uint64_t)b->frame_rate_num * a->frame_rate_den;
}

static void check_counts(vpi_verifier *v, size_t first, size_t n, const char *where)
{
    const vpi_track_media *a = &v->media[first], *b = &v->media[n];

    if (!b->has_pictures || !same_kind_of_rung(&v->p->tracks[first], &v->p->tracks[n])) return;
    vpi_check(v, a->pictures == b->pictures, "FRAMES", where, "decodes to %llu pictures, %s to %llu",
              (unsigned long long)b->pictures, v->p->tracks[first].name, (unsigned long long)a->pictures);
}

/* Picture and sound begin and end together, as they were decoded. */
static void check_together(vpi_verifier *v, size_t first, size_t n, const char *where)
{
    const vpi_ptrack *video = &v->p->tracks[first], *track = &v->p->tracks[n];
    const vpi_track_media *pictures = &v->media[first], *sound = &v->media[n];
    const vpi_heard_sound *h = &sound->sound;
    double slack, end, samples;

    if (!sound->has_sound || !h->has_first || h->samples == 0) return;
    samples = 2048e6 / h->sample_rate;
    /* its last frame is a whole one: 4096 samples and more of FLAC */
    slack = VPI_MAX(VPI_MAX(samples, frame_us(video)), vpi_time_seconds(vpi_track_frame(track)) * 1e6);
    vpi_check(v, (double)llabs(h->first_us - pictures->first_us) <= samples, "P06", where,
              "sound starts at %.4f s, the picture at %.4f s", (double)h->first_us / 1e6,
              (double)pictures->first_us / 1e6);
    end = vpi_time_seconds(vpi_track_end(video)) * 1e6;
    vpi_check(v, fabs(h->exact_us - end) <= slack, "P11", where,
              "sound ends at %.4f s, the picture at %.4f s", h->exact_us / 1e6, end / 1e6);
}

static void check_tracks(vpi_verifier *v)
{
    size_t video = SIZE_MAX;
    char where[1024];

    for (size_t i = 0; i < v->p->track_count && video == SIZE_MAX; i++) {
        if (v->sane[i] && v->media[i].has_pictures) video = i;
    }
    for (size_t i = 0; video != SIZE_MAX && i < v->p->track_count; i++) {
        if (!v->sane[i]) continue;
        vpi_track_where(&v->p->tracks[i], where);
        check_counts(v, video, i, where);
        check_together(v, video, i, where);
    }
}

/* ---- the source ---- */

typedef struct original {
    vpi_verifier *v;
    vp_media *media;
    const vpi_track *video; /* NULL: none */
    int64_t zero_us;        /* of its own times, where its first track of picture, or else of sound, begins */
    vpi_picture_trace *looks; /* VPI_TRACES, as what follows */
    bool has_picture_lag[VPI_TRACES];
    int64_t picture_lag_us[VPI_TRACES];
} original;

static vp_status look_at(void *user, const vpi_look *look, vp_error *err)
{
    original *o = user;
    bool more = false;
    int64_t us;

    (void)err;
    if (!look->has_pts) return VP_OK;
    us = vpi_rescale(look->pts, look->tb.num * US, look->tb.den, VPI_NEAREST) - o->zero_us;
    for (size_t i = 0; i < VPI_TRACES; i++)
        more = vpi_picture_trace_add(&o->looks[i], us, look->grid) || more;
    return more ? VP_OK : VP_END;
}

static int64_t track_us(const vpi_track *t, int64_t ticks)
{
    return vpi_rescale(ticks, t->tb.num * US, t->tb.den, VPI_NEAREST);
}

/* A source of constant rate that the title keeps. */
static bool same_rate(const original *o, const vpi_ptrack *t)
{
    const vpi_track *s = o->video;

    return s->variable == 0 && !s->interlaced && s->frame_rate.num > 0 &&
           (vpi_i128)s->frame_rate.num * t->frame_rate_den == (vpi_i128)t->frame_rate_num * s->frame_rate.den;
}

/* From the start of the first to the end of the last track of picture or sound, seconds. */
static double source_length(const original *o)
{
    int64_t from = INT64_MAX, to = INT64_MIN;

    for (size_t i = 0; i < o->media->m.track_count; i++) {
        const vpi_track *t = &o->media->m.tracks[i];

        if ((t->kind != VPI_KIND_VIDEO && t->kind != VPI_KIND_AUDIO) || t->attached_picture || !t->has_times)
            continue;
        from = VPI_MIN(from, track_us(t, t->start));
        to = VPI_MAX(to, track_us(t, t->end));
    }
    return to > from ? (double)(to - from) / 1e6 : 0;
}

static void count_frames(original *o, const vpi_ptrack *t, const vpi_track_media *m, const char *where)
{
    const vpi_track *s = o->video;
    double length = (double)(track_us(s, s->end) - track_us(s, s->start)) / 1e6, title;
    double due = length * t->frame_rate_num / t->frame_rate_den;

    if (o->v->p->timescale == 0 || !s->has_times || o->media->m.complete == 0) return;
    title = (double)o->v->p->duration / (double)o->v->p->timescale;
    vpi_check(o->v, title >= length - 2 * frame_us(t) / 1e6 - 0.1, "FRAMES", where,
              "the title lasts %.3f s, the source's picture %.3f s", title, length);
    vpi_check(o->v, title <= source_length(o) + 2 * frame_us(t) / 1e6 + 0.1, "FRAMES", where,
              "the title lasts %.3f s, all of the source %.3f s", title, source_length(o));
    if (!same_rate(o, t)) return;
    vpi_check(o->v, (double)m->pictures >= due - 1.5, "FRAMES", where, "%llu pictures of the source's %.0f",
              (unsigned long long)m->pictures, due);
    /* Sound that lasts longer, or begins before it, holds pictures. */
    if (title > length + 1.5 * frame_us(t) / 1e6) return;
    vpi_check(o->v, (double)m->pictures <= due + 1.5, "FRAMES", where, "%llu pictures, the source has %.0f",
              (unsigned long long)m->pictures, due);
}

/* Ticks of the source's picture at a title time. */
static int64_t source_ticks(const original *o, int64_t us)
{
    const vpi_rational tb = o->video->tb;

    return vpi_rescale(us + o->zero_us, tb.den, tb.num * US, VPI_FLOOR);
}

/* What has to be decoded for the traces: each from the access point before it. */
static size_t choose_parts(const original *o, vpi_measure_part parts[VPI_TRACES])
{
    const vpi_track *t = o->video;
    size_t n = 0, key = 0;

    for (size_t i = 0; i < VPI_TRACES; i++) {
        int64_t start = source_ticks(o, o->looks[i].start_us), end;

        if (i > 0 && (start >= t->end || t->keyframe_count == 0)) break;
        end = source_ticks(o, o->looks[i].start_us + VPI_TRACE_MS * INT64_C(1000));
        while (key + 1 < t->keyframe_count && t->keyframes[key + 1] <= start) key++;
        if (n > 0 && t->keyframes[key] <= parts[n - 1].to)
            parts[n - 1].to = end;
        else
            parts[n++] = (vpi_measure_part){ i > 0 ? t->keyframes[key] : INT64_MIN, end };
    }
    return n;
}

static vp_status compare_pictures(original *o, vp_error *err)
{
    vpi_verifier *v = o->v;
    vpi_measure_part parts[VPI_TRACES];
    vpi_measure_options options = { .timeline = &o->media->m.timeline, .parts = parts };
    char where[1024];
    uint64_t refused;

    o->looks = vpi_picture_traces_new(v->looked_at_us);
    if (!o->looks) return vpi_fail_nomem(err);
    options.part_count = choose_parts(o, parts);
    VPI_TRY(vpi_measure_pictures(v->context, v->source, o->video->id, &options, v->cancel, look_at, o,
                                 &refused, err));
    for (size_t i = 0; i < v->p->track_count; i++) {
        const vpi_ptrack *t = &v->p->tracks[i];

        if (!v->sane[i] || !v->media[i].has_pictures) continue;
        vpi_track_where(t, where);
        count_frames(o, t, &v->media[i], where);
        for (size_t k = 0; v->media[i].looks && k < VPI_TRACES; k++) {
            if (!o->has_picture_lag[k])
                o->has_picture_lag[k] =
                    vpi_picture_lag(&v->media[i].looks[k], &o->looks[k], &o->picture_lag_us[k]);
        }
    }
    return VP_OK;
}

/* ---- sound of the source ---- */

/* The stream a track of the title was made of; -1: not clear. */
static int32_t stream_of(const original *o, size_t index)
{
    const vpi_presentation *p = o->v->p;
    const vpi_ptrack *t = &p->tracks[index];
    size_t nth = 0, sounds = vpi_media_count(&o->media->m, VPI_KIND_AUDIO);

    if (t->kind == VP_TRACK_VIDEO || sounds == 1)
        return sounds == 1 ? vpi_media_nth(&o->media->m, VPI_KIND_AUDIO, 0)->id : -1;
    for (size_t i = 0; i < index; i++) {
        const vpi_ptrack *b = &p->tracks[i];

        nth += b->kind == VP_TRACK_AUDIO && b->container == t->container && b->channels == t->channels &&
               vpi_streq(b->language, t->language);
    }
    for (size_t i = 0; i < sounds; i++) {
        const vpi_track *s = vpi_media_nth(&o->media->m, VPI_KIND_AUDIO, i);

        if (vpi_streq(s->language, t->language) && nth-- == 0) return s->id;
    }
    return -1;
}

/* On another grid pictures move by up to one. */
static int64_t sync_slack(const original *o)
{
    int64_t slack = SYNC_US;

    for (size_t i = 0; i < o->v->p->track_count; i++) {
        const vpi_ptrack *video = &o->v->p->tracks[i];

        if (o->v->sane[i] && video->kind == VP_TRACK_VIDEO && !same_rate(o, video))
            slack = SYNC_US + (int64_t)frame_us(video);
    }
    return slack;
}

/* At one of the places; false: it was found to be wrong. */
static bool check_sync_at(original *o, size_t k, const vpi_sound_trace *ours, const vpi_sound_trace *theirs,
                          const char *where)
{
    double at = (double)ours->start_us / 1e6;
    int64_t lag;

    if (!ours->any || !theirs->any || !vpi_sound_lag(ours, theirs, &lag)) return true;
    if (!o->video) {
        return vpi_check(o->v, llabs(lag) <= SYNC_US, "P08", where,
                         "from %.0f s on the sound comes %lld ms later than in the source", at,
                         (long long)lag / 1000);
    }
    if (!o->has_picture_lag[k]) return true;
    lag -= o->picture_lag_us[k];
    return vpi_check(o->v, llabs(lag) <= sync_slack(o), "SYNC", where,
                     "from %.0f s on, against the source, the sound comes %lld ms later than the picture", at,
                     (long long)lag / 1000);
}

static void check_sync(original *o, const vpi_heard_sound *ours, const vpi_heard_sound *theirs,
                       const char *where)
{
    for (size_t k = 0; ours->trace && k < VPI_TRACES; k++)
        if (!check_sync_at(o, k, &ours->trace[k], &theirs->trace[k], where)) return;
}

static vp_status compare_sound(original *o, size_t index, vp_error *err)
{
    vpi_verifier *v = o->v;
    const vpi_heard_sound *ours = &v->media[index].sound;
    int32_t stream = stream_of(o, index);
    vpi_heard_sound theirs = { 0 };
    vpi_ear *ear = NULL;
    char where[1024];
    double a, b;
    vp_status st;

    if (stream < 0 || ours->samples == 0) return VP_OK;
    vpi_track_where(&v->p->tracks[index], where);
    VPI_GO(vpi_sound_init(&theirs, v->looked_at_us, err));
    theirs.zero_us = o->zero_us;
    VPI_GO(vpi_ear_new(v->context, v->cancel, vpi_sound_hear, &theirs, &ear, err));
    VPI_GO(vpi_ear_add(ear, v->source, stream, &o->media->m.timeline, err));
    VPI_GO(vpi_ear_end(ear, err));
    check_sync(o, ours, &theirs, where);
    a = vpi_loudness_integrated(ours->loudness);
    b = vpi_loudness_integrated(theirs.loudness);
    if (ours->channels == theirs.channels && !theirs.changes && (a > QUIET_LUFS || b > QUIET_LUFS)) {
        vpi_check(v, fabs(a - b) <= LOUDNESS_LU, "LOUDNESS", where, "%.1f LUFS, the source has %.1f", a, b);
    }
done:
    vpi_ear_free(ear);
    vpi_sound_dispose(&theirs);
    return st;
}

static vp_status compare(original *o, vp_error *err)
{
    const vpi_track *first;

    o->video = vpi_media_nth(&o->media->m, VPI_KIND_VIDEO, 0);
    first = o->video ? o->video : vpi_media_nth(&o->media->m, VPI_KIND_AUDIO, 0);
    if (!first || !first->has_times) return VP_OK;
    o->zero_us = track_us(first, first->start);
    if (o->video) VPI_TRY(compare_pictures(o, err));
    for (size_t i = 0; i < o->v->p->track_count; i++) {
        if (o->v->sane[i] && o->v->media[i].has_sound) VPI_TRY(compare_sound(o, i, err));
    }
    return VP_OK;
}

vp_status vpi_verify_sync(vpi_verifier *v, vp_error *err)
{
    vp_probe_options options = VP_PROBE_OPTIONS_INIT;
    original o = { .v = v };
    vp_status st = VP_OK;

    check_tracks(v);
    if (!v->source) return VP_OK;
    options.full = 1;
    st = vpi_scan(v->context, v->source, &options, v->cancel, NULL, NULL, &o.media, err);
    if (st >= 0) st = compare(&o, err);
    vp_media_unref(o.media);
    vpi_free(o.looks);
    return st < 0 ? st : VP_OK;
}
