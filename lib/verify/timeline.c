/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Exact times, and what the tracks of a title owe each other: cuts, starts, ends, groups. */
#include "verify/verify_int.h"

#define AAC_FRAME 1024u
#define AC3_FRAME 1536u
#define OPUS_RATE 48000u
#define OPUS_FRAME 5760u /* 120 ms, the longest */
#define FLAC_FRAME 65535u

int vpi_time_cmp(vpi_time a, vpi_time b)
{
    vpi_u128 x = (vpi_u128)a.ticks * b.scale, y = (vpi_u128)b.ticks * a.scale;

    return (x > y) - (x < y);
}

bool vpi_time_near(vpi_time a, vpi_time b, vpi_time limit)
{
    vpi_i128 x = (vpi_i128)a.ticks * b.scale, y = (vpi_i128)b.ticks * a.scale, d = x > y ? x - y : y - x;

    /* Ticks stay below 2^62, so that the products below fit when d is small; a large d is far in any case. */
    if (d >> 90 != 0) return false;
    return (vpi_u128)d * limit.scale <= (vpi_u128)limit.ticks * a.scale * b.scale;
}

double vpi_time_seconds(vpi_time t)
{
    return (double)t.ticks / (double)t.scale;
}

static bool begins(const char *text, const char *start)
{
    return text && strncmp(text, start, strlen(start)) == 0;
}

vpi_time vpi_track_frame(const vpi_ptrack *t)
{
    if (t->kind == VP_TRACK_VIDEO && t->frame_rate_num > 0 && t->frame_rate_den > 0) {
        return vpi_time_of(t->frame_rate_den, t->frame_rate_num);
    }
    if (t->kind != VP_TRACK_AUDIO || t->sample_rate == 0) return vpi_time_of(0, 1);
    if (begins(t->codecs, "ac-3") || begins(t->codecs, "ec-3")) return vpi_time_of(AC3_FRAME, t->sample_rate);
    if (begins(t->codecs, "Opus")) return vpi_time_of(OPUS_FRAME, OPUS_RATE);
    if (begins(t->codecs, "fLaC")) return vpi_time_of(FLAC_FRAME, t->sample_rate);
    /* A frame of SBR gives twice the samples at twice the rate. */
    if (begins(t->codecs, "mp4a.40.5") || begins(t->codecs, "mp4a.40.29")) {
        return vpi_time_of((uint64_t)AAC_FRAME * 2, t->sample_rate);
    }
    return vpi_time_of(AAC_FRAME, t->sample_rate);
}

vpi_time vpi_track_start(const vpi_ptrack *t)
{
    return vpi_time_of(t->segments[0].start, t->timescale);
}

vpi_time vpi_track_end(const vpi_ptrack *t)
{
    const vpi_segment *last = &t->segments[t->segment_count - 1];

    return vpi_time_of(last->start + last->ticks, t->timescale);
}

const char *vpi_track_where(const vpi_ptrack *t, char buffer[1024])
{
    if (t->segment_count > 0 && vpi_key_valid(t->segments[0].key)) {
        vpi_ptrack_folder(t, buffer);
    } else {
        vpi_strlcpy(buffer, t->name ? t->name : "", 1024);
    }
    return buffer;
}

bool vpi_ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

static vpi_time longer(vpi_time a, vpi_time b)
{
    return vpi_time_cmp(a, b) < 0 ? b : a;
}

/* ---- video against video: same cuts everywhere (P03, P10, P11) ---- */

typedef struct fragment_walk {
    const vpi_ptrack *t;
    size_t segment, fragment;
    uint64_t at; /* ticks */
} fragment_walk;

static bool next_fragment(fragment_walk *w, vpi_time *start)
{
    while (w->segment < w->t->segment_count) {
        const vpi_segment *s = &w->t->segments[w->segment];

        if (w->fragment == 0) w->at = s->start;
        if (w->fragment < s->fragment_count) {
            *start = vpi_time_of(w->at, w->t->timescale);
            w->at += s->fragments[w->fragment++].ticks;
            return true;
        }
        w->segment++;
        w->fragment = 0;
    }
    return false;
}

static void same_fragments(vpi_verifier *v, const vpi_ptrack *t, const vpi_ptrack *first, const char *where)
{
    fragment_walk a = { t, 0, 0, 0 }, b = { first, 0, 0, 0 };
    vpi_time x = { 0, 1 }, y = { 0, 1 };
    bool more_a, more_b;
    size_t n = 0;

    do {
        more_a = next_fragment(&a, &x);
        more_b = next_fragment(&b, &y);
        n++;
    } while (more_a && more_b && vpi_time_cmp(x, y) == 0);
    if (more_a && more_b) {
        vpi_check(v, false, "P03", where, "IDR picture %zu is at %.6f, in %s at %.6f", n, vpi_time_seconds(x),
                  first->name, vpi_time_seconds(y));
    } else {
        vpi_check(v, more_a == more_b, "P03", where, "IDR pictures differ in number from %s", first->name);
    }
}

static void same_segments(vpi_verifier *v, const vpi_ptrack *t, const vpi_ptrack *first, const char *where)
{
    size_t i, n = VPI_MIN(t->segment_count, first->segment_count);

    vpi_check(v, t->segment_count == first->segment_count, "P10", where, "%zu segments, %s has %zu",
              t->segment_count, first->name, first->segment_count);
    for (i = 0; i < n; i++) {
        vpi_time x = vpi_time_of(t->segments[i].start, t->timescale);
        vpi_time y = vpi_time_of(first->segments[i].start, first->timescale);

        if (!vpi_check(v, vpi_time_cmp(x, y) == 0, "P03", t->segments[i].key, "starts at %.6f, in %s at %.6f",
                       vpi_time_seconds(x), first->name, vpi_time_seconds(y))) {
            break;
        }
    }
    same_fragments(v, t, first, where);
    vpi_check(v, vpi_time_near(vpi_track_end(t), vpi_track_end(first), vpi_time_of(1, 1000)), "P11", where,
              "ends at %.4f, %s at %.4f", vpi_time_seconds(vpi_track_end(t)), first->name,
              vpi_time_seconds(vpi_track_end(first)));
}

/* ---- audio against video ---- */

static void audio_borders(vpi_verifier *v, const vpi_ptrack *t, const vpi_ptrack *video, const char *where)
{
    vpi_time frame = vpi_track_frame(t);
    size_t i, n = VPI_MIN(t->segment_count, video->segment_count);

    vpi_check(v, t->segment_count == video->segment_count, "P10", where, "%zu segments, %s has %zu",
              t->segment_count, video->name, video->segment_count);
    for (i = 0; i < n; i++) {
        vpi_time x = vpi_time_of(t->segments[i].start, t->timescale);
        vpi_time y = vpi_time_of(video->segments[i].start, video->timescale);

        vpi_check(v, vpi_time_near(x, y, frame), "P05", t->segments[i].key,
                  "starts at %.4f, the video segment at %.4f: more than an audio frame apart",
                  vpi_time_seconds(x), vpi_time_seconds(y));
    }
    vpi_check(v, vpi_time_near(vpi_track_end(t), vpi_track_end(video), longer(frame, vpi_track_frame(video))),
              "P11", where, "ends at %.4f, the video at %.4f", vpi_time_seconds(vpi_track_end(t)),
              vpi_time_seconds(vpi_track_end(video)));
}

static void audio_alone(vpi_verifier *v, const vpi_ptrack *t, const vpi_ptrack *first, const char *where)
{
    vpi_check(v, t->segment_count == first->segment_count, "P10", where, "%zu segments, %s has %zu",
              t->segment_count, first->name, first->segment_count);
    vpi_check(v,
              vpi_time_near(vpi_track_end(t), vpi_track_end(first),
                            longer(vpi_track_frame(t), vpi_track_frame(first))),
              "P11", where, "ends at %.4f, %s at %.4f", vpi_time_seconds(vpi_track_end(t)), first->name,
              vpi_time_seconds(vpi_track_end(first)));
}

/* ---- groups (RFC 8216 4.3.4.1) ---- */

/* "mp4a" of "mp4a.40.2" */
static size_t family(const char *codecs)
{
    return strcspn(codecs, ".,");
}

static bool same_family(const vpi_ptrack *a, const vpi_ptrack *b)
{
    size_t n = family(a->codecs);

    return n == family(b->codecs) && strncmp(a->codecs, b->codecs, n) == 0;
}

static void audio_group(vpi_verifier *v, size_t index, const char *where)
{
    const vpi_ptrack *t = &v->p->tracks[index];

    for (size_t i = 0; i < index; i++) {
        const vpi_ptrack *o = &v->p->tracks[i];

        if (!v->sane[i] || o->kind != VP_TRACK_AUDIO || o->container != t->container) continue;
        if (strcmp(o->group, t->group) != 0) continue;
        vpi_check(v, same_family(o, t), "P16", where, "codec %s in a group with %s", t->codecs, o->codecs);
        vpi_check(v, !(t->is_default && o->is_default), "P16", where, "a second default of group %s",
                  t->group);
    }
}

static const vpi_ptrack *first_of(const vpi_verifier *v, int32_t kind)
{
    for (size_t i = 0; i < v->p->track_count; i++) {
        if (v->sane[i] && v->p->tracks[i].kind == kind) return &v->p->tracks[i];
    }
    return NULL;
}

static void covers_title(vpi_verifier *v, const vpi_ptrack *t, const char *where)
{
    vpi_time total, frame = vpi_track_frame(t);

    if (v->p->timescale == 0 || v->p->timescale > UINT32_MAX) return;
    total = vpi_time_of(v->p->duration, (uint32_t)v->p->timescale);
    vpi_check(v, vpi_time_near(vpi_track_end(t), total, longer(frame, vpi_time_of(1, 1000))), "P11", where,
              "ends at %.4f, the title lasts %.4f", vpi_time_seconds(vpi_track_end(t)),
              vpi_time_seconds(total));
}

void vpi_verify_timelines(vpi_verifier *v)
{
    const vpi_ptrack *video = first_of(v, VP_TRACK_VIDEO), *audio = first_of(v, VP_TRACK_AUDIO);
    char where[1024];

    vpi_check(v, video || audio, "STRUCTURE", "presentation.json",
              "neither video nor audio that can be checked");
    for (size_t i = 0; i < v->p->track_count; i++) {
        const vpi_ptrack *t = &v->p->tracks[i];

        if (!v->sane[i] || (t->kind != VP_TRACK_VIDEO && t->kind != VP_TRACK_AUDIO)) continue;
        vpi_track_where(t, where);
        covers_title(v, t, where);
        if (t->kind == VP_TRACK_VIDEO) {
            vpi_check(v, t->segments[0].start == 0, "P06", where, "starts at %.4f s",
                      vpi_time_seconds(vpi_track_start(t)));
            if (t != video) same_segments(v, t, video, where);
            continue;
        }
        /* Copied audio may begin within the first frame, never later. */
        vpi_check(v, vpi_time_near(vpi_track_start(t), vpi_time_of(0, 1), vpi_track_frame(t)), "P06", where,
                  "starts at %.4f s", vpi_time_seconds(vpi_track_start(t)));
        if (video)
            audio_borders(v, t, video, where);
        else if (t != audio)
            audio_alone(v, t, audio, where);
        audio_group(v, i, where);
    }
}
