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
#define PART_MS 2500 /* parts of a trace that sync is told of are not shorter */
#define PARTS_MAX 6u
#define ALIKE 0.5         /* correlation of the source's own pictures: far higher */
#define TURNED 0.95       /* as they are, of pictures that are turned or mirrored: less, */
#define TURNED_BETTER 4.0 /* and turned back they fit so much better */
#define SAME 0.8          /* of the levels of its sound */
#define OTHER 0.4         /* other sound has less */

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
    vpi_picture_trace *looks;    /* VPI_TRACES, as what follows */
    vpi_lag picture[VPI_TRACES]; /* of the first rung that it can be told of */
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

/* Picture for picture, at one of the places. False: they are others. */
static bool compare_looks(original *o, size_t k, const vpi_ptrack *t, const vpi_picture_trace *ours,
                          const char *where)
{
    const vpi_picture_trace *theirs = &o->looks[k];
    vpi_lag lag;
    size_t count;
    int64_t at = 0;

    vpi_picture_lag(ours, theirs, &lag);
    if (!o->picture[k].told) o->picture[k] = lag;
    if (!vpi_streq(o->video->hdr, "none")) return true; /* of other brightness */
    if (!vpi_check(o->v, !lag.shaped || lag.likeness >= ALIKE, "CONTENT", where,
                   "from %.0f s on these pictures are not the source's: correlation %.2f",
                   (double)ours->start_us / 1e6, lag.likeness))
        return false;
    if (lag.told && !o->video->rotation && !o->video->flipped &&
        !vpi_check(o->v, lag.upright >= TURNED || 1 - lag.upright < TURNED_BETTER * (1 - lag.likeness),
                   "CONTENT", where, "from %.0f s on these pictures are turned or mirrored",
                   (double)ours->start_us / 1e6))
        return false;
    /* Where the title's clock is the source's, with the same pictures on it. */
    if (!lag.told || !same_rate(o, t) || o->media->m.timeline.count > 0) return true;
    count = vpi_pictures_missing(ours, theirs, lag.us, (int64_t)(0.6 * frame_us(t)), &at);
    if (!vpi_check(o->v, count == 0, "FRAMES", where,
                   "%zu pictures of the source are missing, the first one at %.3f s", count,
                   (double)at / 1e6))
        return false;
    count = vpi_pictures_frozen(ours, theirs, lag.us, &at);
    return vpi_check(o->v, count == 0, "FRAMES", where, "%zu pictures stand still, the first one at %.3f s",
                     count, (double)at / 1e6);
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
        for (size_t k = 0; v->media[i].looks && refused == 0 && k < VPI_TRACES; k++)
            if (!compare_looks(o, k, t, &v->media[i].looks[k], where)) break;
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

/* The most that sound and picture may lie apart: on another grid pictures move by up to one. */
static int64_t sync_slack(const original *o)
{
    int64_t slack = SYNC_US;

    for (size_t i = 0; o->video && i < o->v->p->track_count; i++) {
        const vpi_ptrack *video = &o->v->p->tracks[i];

        if (o->v->sane[i] && video->kind == VP_TRACK_VIDEO && !same_rate(o, video))
            slack = SYNC_US + (int64_t)frame_us(video);
    }
    return slack;
}

/* At one of the places, then of its parts, as sound may jump in the middle. *good: nothing is wrong. */
static vp_status check_sync(original *o, size_t k, const vpi_sound_trace *ours, const vpi_heard_sound *theirs,
                            const char *where, bool *good, vp_error *err)
{
    int64_t other = o->video ? o->picture[k].us : 0, slack = sync_slack(o);
    double end = (theirs->exact_us - (double)ours->start_us) / 1000;
    size_t length = (size_t)VPI_CLAMP(end, 0, (double)VPI_TRACE_MS);
    size_t parts = VPI_MIN(length / PART_MS, (size_t)PARTS_MAX);
    vpi_lag lag;

    *good = true;
    if (o->video && !o->picture[k].told) return VP_OK;
    for (size_t i = 0; i <= parts; i++) {
        size_t from = i ? (i - 1) * length / parts : 0, to = i ? i * length / parts : length;

        if (!vpi_sound_lag(ours, &theirs->trace[k], from, to, &lag)) return vpi_fail_nomem(err);
        if (!lag.told) continue;
        *good = vpi_check(o->v, llabs(lag.us - other) <= slack, o->video ? "SYNC" : "P08", where,
                          "from %.1f s on, against the source, the sound comes %lld ms later than %s",
                          (double)ours->start_us / 1e6 + (double)from / 1e3,
                          (long long)(lag.us - other) / 1000, o->video ? "the picture" : "there");
        if (!*good) return VP_OK;
    }
    return VP_OK;
}

static vp_status hear_stream(original *o, int32_t stream, vpi_heard_sound *to, vp_error *err)
{
    vpi_ear *ear = NULL;
    vp_status st;

    VPI_GO(vpi_sound_init(to, o->v->looked_at_us, err));
    to->zero_us = o->zero_us;
    VPI_GO(vpi_ear_new(o->v->context, o->v->cancel, vpi_sound_hear, to, &ear, err));
    VPI_GO(vpi_ear_add(ear, o->v->source, stream, &o->media->m.timeline, err));
    VPI_GO(vpi_ear_end(ear, err));
done:
    vpi_ear_free(ear);
    return st;
}

/* Not the sound that its language says: is it that of another track? */
static vp_status tell_other(original *o, size_t index, int32_t stream, size_t k, const char *where,
                            vp_error *err)
{
    const vpi_ptrack *t = &o->v->p->tracks[index];
    const vpi_sound_trace *ours = &o->v->media[index].sound.trace[k];
    const vpi_track *found = NULL;
    size_t sounds = vpi_media_count(&o->media->m, VPI_KIND_AUDIO);

    for (size_t i = 0; i < sounds && !found; i++) {
        const vpi_track *s = vpi_media_nth(&o->media->m, VPI_KIND_AUDIO, i);
        vpi_heard_sound theirs = { 0 };
        vpi_lag lag = { .shaped = false };
        vp_status st;

        if (s->id == stream) continue;
        st = hear_stream(o, s->id, &theirs, err);
        if (st >= 0 && theirs.trace[k].any && !vpi_sound_alike(ours, &theirs.trace[k], &lag))
            st = vpi_fail_nomem(err);
        vpi_sound_dispose(&theirs);
        if (st < 0) return st;
        if (lag.shaped && lag.likeness >= SAME) found = s;
    }
    if (!found)
        vpi_check(o->v, false, "CONTENT", where, "from %.0f s on this sound is not the source's",
                  (double)ours->start_us / 1e6);
    else if (t->language)
        vpi_check(o->v, vpi_streq(found->language, t->language), "P16", where,
                  "this is the sound of stream %d in %s, not in %s", found->id, found->language, t->language);
    return VP_OK;
}

/* Trace for trace, until something is wrong. *same: it is the source's sound. */
static vp_status compare_traces(original *o, size_t index, int32_t stream, const vpi_heard_sound *theirs,
                                const char *where, bool *same, vp_error *err)
{
    const vpi_heard_sound *ours = &o->v->media[index].sound;
    bool good = true;

    for (size_t k = 0; ours->trace && good && k < VPI_TRACES; k++) {
        const vpi_sound_trace *a = &ours->trace[k], *b = &theirs->trace[k];
        vpi_lag lag;

        if (!a->any || !b->any) continue;
        if (!vpi_sound_alike(a, b, &lag)) return vpi_fail_nomem(err);
        *same = !lag.shaped || lag.likeness >= OTHER;
        if (!*same) return tell_other(o, index, stream, k, where, err);
        VPI_TRY(check_sync(o, k, a, theirs, where, &good, err));
    }
    return VP_OK;
}

static vp_status compare_sound(original *o, size_t index, vp_error *err)
{
    vpi_verifier *v = o->v;
    const vpi_heard_sound *ours = &v->media[index].sound;
    int32_t stream = stream_of(o, index);
    vpi_heard_sound theirs = { 0 };
    bool same = true;
    char where[1024];
    double a, b;
    vp_status st;

    if (stream < 0 || ours->samples == 0) return VP_OK;
    vpi_track_where(&v->p->tracks[index], where);
    VPI_GO(hear_stream(o, stream, &theirs, err));
    VPI_GO(compare_traces(o, index, stream, &theirs, where, &same, err));
    if (!same) goto done;
    a = vpi_loudness_integrated(ours->loudness);
    b = vpi_loudness_integrated(theirs.loudness);
    if (ours->channels == theirs.channels && !theirs.changes && (a > QUIET_LUFS || b > QUIET_LUFS)) {
        vpi_check(v, fabs(a - b) <= LOUDNESS_LU, "LOUDNESS", where, "%.1f LUFS, the source has %.1f", a, b);
    }
done:
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
