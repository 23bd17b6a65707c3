/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "io/object.h"
#include "io/quick.h"
#include "package_codec.h"
#include "package_sound.h"

/*
 * Segments of one track of a package job. Samples stay in the reader's buffers until their fragment is
 * written: one read, one write, no copy between.
 */

#define SAMPLES_MAX VPI_GUARD_SAMPLES /* of one segment */

static const size_t one_fragment[1] = { 0 };

typedef struct segment_job {
    vpi_ready *pk;
    vpi_ptrack *track; /* of the presentation: the entry goes here */
    const char *kind, *name;
    uint64_t number;
    const vpi_segment_in *in;
    const vpi_ts_in *ts; /* not NULL: as a transport stream */
    vp_object *part;     /* not NULL: into a single file */
    vpi_track_guard *guard;
} segment_job;

bool vpi_ready_key(const vpi_ready *pk, const char *kind, const char *name, const char *file, char key[1024])
{
    int n = snprintf(key, 1024, "%s%s%s/%s/%s", pk->prefix, pk->prefix[0] ? "/" : "", kind, name, file);
    return n > 0 && n < 1024;
}

static vp_status write_bytes(const segment_job *s, vp_object *object, vpi_segment *entry, vp_error *err)
{
    vpi_protect room;
    const vpi_protect *protect;
    VPI_TRY(vpi_track_guard_segment(s->guard, s->number, &room, &protect, err));
    if (s->ts) return vpi_ts_segment(s->ts, protect, object, entry, err);
    if (s->track->container == VP_CONTAINER_PACKED)
        return vpi_packed_audio_segment(s->in, protect, object, entry, err);
    return vpi_cmaf_segment(s->in, protect, !s->part, object, entry, err);
}

/* The segment's entry and, unless it goes into a single file, its object. */
static vp_status begin_segment(const segment_job *s, vpi_segment **out, vp_object **object, vp_error *err)
{
    char file[32], key[1024];
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vpi_segment *entry = vpi_ptrack_add_segment(s->track);
    if (!entry) return vpi_fail_nomem(err);
    snprintf(file, sizeof(file), "%05llu.%s", (unsigned long long)s->number + 1,
             vpi_segment_suffix(s->track));
    if (!vpi_ready_key(s->pk, s->kind, s->name, s->part ? "media.mp4" : file, key))
        return vpi_fail(err, VP_E_ARG, NULL, "key too long");
    entry->key = vpi_strdup(key);
    if (!entry->key) return vpi_fail_nomem(err);
    *out = entry;
    if (s->part) return VP_OK;
    info.kind = VP_OBJECT_SEGMENT;
    info.key = key;
    info.content_type = vpi_segment_type(s->track);
    info.cache_control = VPI_CACHE_LONG(s->pk->prefix);
    return vp_sink_begin(s->pk->job->sink, &info, object, err);
}

static vp_status commit_segment(const segment_job *s, vpi_segment *entry, vp_object *object, vp_error *err)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;
    VPI_TRY(vp_object_commit(object, &info.size, &info.crc32c, err));
    entry->crc32c = info.crc32c;
    info.kind = VP_OBJECT_SEGMENT;
    info.key = entry->key;
    info.content_type = vpi_segment_type(s->track);
    info.cache_control = VPI_CACHE_LONG(s->pk->prefix);
    info.has_crc32c = 1;
    vpi_job_object(s->pk->job, &info);
    return VP_OK;
}

static vp_status write_segment(const segment_job *s, vp_error *err)
{
    vp_object *object = NULL;
    vpi_segment *entry = NULL;
    VPI_TRY(begin_segment(s, &entry, &object, err));
    vp_object *to = s->part ? s->part : object;
    uint64_t before = vpi_object_size(to);
    vp_status st = vpi_track_guard_begin(s->guard, s->number, to, entry, err);
    if (st >= 0) st = write_bytes(s, to, entry, err);
    if (st >= 0) st = vpi_track_guard_end(s->guard, to, entry, before, err);
    if (st < 0) {
        vp_object_abort(object);
        return st;
    }
    return object ? commit_segment(s, entry, object, err) : VP_OK;
}

/* ---- audio ---- */

typedef struct audio_segment {
    vpi_ready_packet *packets;
    vpi_sample *samples;
    size_t count, packet_cap, sample_cap;
    vpi_track_setup setup; /* the track's, with the head of its first frame */
    vpi_segment_in in;
    vpi_track_guard cmaf_guard, packed_guard;
} audio_segment;

static void audio_clear(vpi_ready_sound *r, audio_segment *s)
{
    for (size_t i = 0; i < s->count; i++) vpi_ready_drop(r->reader, &s->packets[i]);
    s->count = 0;
}

static void audio_free(vpi_ready_sound *r, audio_segment *s)
{
    audio_clear(r, s);
    vpi_track_guard_close(&s->cmaf_guard);
    vpi_track_guard_close(&s->packed_guard);
    vpi_free(s->packets);
    vpi_free(s->samples);
}

static vp_status audio_protect(vpi_ready *pk, const vpi_ready_audio *a, audio_segment *s, vp_error *err)
{
    const vpi_protection *protection = vpi_ready_audio_protection(pk);
    const vpi_guard *guard = &pk->job->guard;
    size_t index = (size_t)(a - pk->audio);
    VPI_TRY(
        vpi_track_guard_open(guard, &a->setup, protection, VPI_ORDINAL_AUDIO, index, &s->cmaf_guard, err));
    return vpi_track_guard_open(guard, &a->setup, protection, VPI_ORDINAL_PACKED, index, &s->packed_guard,
                                err);
}

/* One more frame into the segment. */
static vp_status audio_add(vpi_ready_sound *r, audio_segment *s, int64_t border, vp_error *err)
{
    VPI_TRY(vpi_cancel_check(r->pk->job->stop, err));
    if (!VPI_GROW(s->packets, s->count, s->packet_cap) || !VPI_GROW(s->samples, s->count, s->sample_cap))
        return vpi_fail_nomem(err);
    s->packets[s->count] = (vpi_ready_packet){ 0 };
    s->samples[s->count] = (vpi_sample){ 0 };
    vpi_sample *sample = &s->samples[s->count];
    s->count++;
    VPI_TRY(vpi_ready_sound_take(r, &s->packets[s->count - 1], sample, border, err));
    vpi_track_setup_head(&s->setup, sample->data, sample->size);
    return VP_OK;
}

/* The segment of the frames that were added since it was cleared. */
static void audio_finish(const vpi_ready_sound *r, audio_segment *s, size_t number)
{
    s->in = (vpi_segment_in){ .setup = &s->setup,
                              .samples = s->samples,
                              .count = s->count,
                              .fragments = one_fragment,
                              .fragment_count = 1,
                              .start = s->count ? (uint64_t)s->samples[0].pts : (uint64_t)r->at,
                              .end = (uint64_t)r->at,
                              .first_fragment = number,
                              .first_sample = number * VPI_GUARD_SAMPLES };
}

/* The frames from here to the border behind segment `number`, as one segment. */
static vp_status audio_fill(vpi_ready_sound *r, audio_segment *s, size_t number, vp_error *err)
{
    int64_t border = vpi_ready_sound_border(r, number + 1);
    bool last = number + 1 >= r->pk->segments;
    audio_clear(r, s);
    for (;;) {
        VPI_TRY(vpi_ready_sound_fetch(r, err));
        if (!vpi_ready_sound_before(r, border, last) || (last && vpi_ready_sound_over(r, border))) break;
        VPI_TRY(audio_add(r, s, border, err));
    }
    if (!s->count) return vpi_ready_sound_none(r, "ends before", err);
    audio_finish(r, s, number);
    return VP_OK;
}

/* Border behind a segment of a title of sound alone, by the segment length. */
static int64_t alone_border(const vpi_ready *pk, const vpi_ready_audio *a, size_t number)
{
    return (int64_t)((uint64_t)(number + 1) * pk->job->settings.transcode.segment_ms * a->setup.timescale /
                     1000);
}

static vp_status begin_part(vpi_ready *pk, const char *name, vp_object **part, vp_error *err);

static vp_status audio_put(vpi_ready *pk, vpi_ready_audio *a, audio_segment *s, size_t number,
                           vp_object *part, vp_error *err)
{
    if (s->in.count > VPI_GUARD_SAMPLES)
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "%s: too many frames in a segment", a->name);
    segment_job job = { .pk = pk,
                        .track = &a->cmaf,
                        .kind = "audio",
                        .name = a->name,
                        .number = number,
                        .in = &s->in,
                        .part = part,
                        .guard = &s->cmaf_guard };
    if (pk->cmaf) VPI_TRY(write_segment(&job, err));
    if (!pk->ts || pk->mux_audio) return VP_OK;
    job.guard = &s->packed_guard;
    job.track = &a->packed;
    job.kind = "ts";
    job.part = NULL;
    return write_segment(&job, err);
}

/* The first `count` of the frames that are held as a segment; the others stay. */
static vp_status alone_put(vpi_ready *pk, vpi_ready_audio *a, vpi_ready_sound *r, audio_segment *s,
                           size_t count, size_t number, vp_object *part, vp_error *err)
{
    size_t left = s->count - count;
    s->in = (vpi_segment_in){ .setup = &s->setup,
                              .samples = s->samples,
                              .count = count,
                              .fragments = one_fragment,
                              .fragment_count = 1,
                              .start = (uint64_t)s->samples[0].pts,
                              .end = (uint64_t)(left ? s->samples[count].pts : r->at),
                              .first_fragment = number,
                              .first_sample = number * VPI_GUARD_SAMPLES };
    VPI_TRY(audio_put(pk, a, s, number, part, err));
    for (size_t i = 0; i < count; i++) vpi_ready_drop(r->reader, &s->packets[i]);
    memmove(s->packets, s->packets + count, left * sizeof(*s->packets));
    memmove(s->samples, s->samples + count, left * sizeof(*s->samples));
    s->count = left;
    return VP_OK;
}

/* Sound without a picture: all there is, borders by the segment length; an end of under 0.5 s is no segment. */
static vp_status audio_alone(vpi_ready *pk, vpi_ready_audio *a, vpi_ready_sound *r, audio_segment *s,
                             vp_object *part, vp_error *err)
{
    int64_t tail = (int64_t)a->setup.timescale / 2;
    size_t number = 0, count = 0; /* frames of the segment; more than those are held */
    int64_t border = alone_border(pk, a, number);
    for (;;) {
        VPI_TRY(vpi_ready_sound_fetch(r, err));
        if (r->ended) break;
        if (count == s->count && (!count || vpi_ready_sound_before(r, border, false))) count++;
        VPI_TRY(audio_add(r, s, border, err));
        if (count == s->count || r->at - s->samples[count].pts < tail) continue;
        VPI_TRY(alone_put(pk, a, r, s, count, number++, part, err));
        border = alone_border(pk, a, number);
        count = s->count; /* of half a second: no border lies within */
    }
    return s->count ? alone_put(pk, a, r, s, s->count, number, part, err) : VP_OK;
}

static vp_status audio_all(vpi_ready *pk, vpi_ready_audio *a, vpi_ready_sound *r, audio_segment *s,
                           vp_object *part, vp_error *err)
{
    if (pk->video_count) {
        for (size_t n = 0; n < pk->segments; n++) {
            VPI_TRY(audio_fill(r, s, n, err));
            VPI_TRY(audio_put(pk, a, s, n, part, err));
        }
        return VP_OK;
    }
    VPI_TRY(audio_alone(pk, a, r, s, part, err));
    pk->segments = a->cmaf.segment_count + a->packed.segment_count;
    return pk->segments ? VP_OK : vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: no sound", a->name);
}

/* Of priming that was dropped nothing is left to skip (Encapsulation of Opus in ISOBMFF 4.3.2). */
static void audio_settle(vpi_ready_audio *a, const vpi_ready_sound *r)
{
    if (a->setup.codec == VPI_CODEC_OPUS && r->dropped && a->config.size >= 4)
        a->config.data[2] = a->config.data[3] = 0;
}

vp_status vpi_ready_write_audio(vpi_ready *pk, vpi_ready_audio *a, vp_error *err)
{
    vpi_ready_sound r = { .pk = pk, .a = a };
    audio_segment s = { .setup = a->setup };
    vp_object *part = NULL;
    vp_status st = vpi_ready_sound_open(&r, err);
    if (st >= 0) st = audio_protect(pk, a, &s, err);
    if (st >= 0 && pk->single_file) st = begin_part(pk, a->name, &part, err);
    if (st >= 0) st = audio_all(pk, a, &r, &s, part, err);
    if (st >= 0) audio_settle(a, &r);
    if (st >= 0) vpi_ready_sound_tell(&r);
    audio_free(&r, &s);
    vpi_ready_sound_close(&r);
    if (st < 0)
        vp_object_abort(part);
    else if (part)
        st = vp_object_commit(part, NULL, NULL, err);
    return st;
}

/* ---- video ---- */

typedef struct video_writer {
    vpi_ready *pk;
    vpi_ready_video *v;
    vpi_ready_reader *reader;
    vpi_ready_packet
        *packets; /* not written yet: a fragment, or a segment where there are transport streams */
    vpi_sample *samples;
    size_t count, packet_cap, sample_cap;
    size_t *fragments;
    size_t fragment_count, fragment_cap;
    int64_t fragment_us; /* start of the last one */
    uint64_t all_fragments;
    uint64_t segment_samples; /* of the segment, written already */
    size_t segment;
    vpi_track_guard cmaf_guard, ts_guard;
    uint64_t before; /* size of the object when the segment began */
    uint64_t bytes;  /* of the segment's samples */
    vp_object *part, *object;
    vpi_segment
        *entry; /* CMAF alone: what is written of the segment so far; NULL before its first fragment */
    vpi_ready_sound audio;
    audio_segment sound;
    bool muxed;
    bool leading; /* no picture was shown after the first one yet */
} video_writer;

static void video_clear(video_writer *w)
{
    for (size_t i = 0; i < w->count; i++) vpi_ready_drop(w->reader, &w->packets[i]);
    w->count = w->fragment_count = 0;
}

/* What is held has been written. */
static void video_done(video_writer *w)
{
    for (size_t i = 0; i < w->count; i++) w->bytes += w->samples[i].size;
    w->all_fragments += w->fragment_count;
    w->segment_samples += w->count;
    video_clear(w);
}

static vpi_segment_in video_in(const video_writer *w, uint64_t start, uint64_t end)
{
    return (vpi_segment_in){ .setup = &w->v->setup,
                             .samples = w->samples,
                             .count = w->count,
                             .fragments = w->fragments,
                             .fragment_count = w->fragment_count,
                             .start = start,
                             .end = end,
                             .first_fragment = w->all_fragments,
                             .first_sample = w->segment * VPI_GUARD_SAMPLES + w->segment_samples };
}

static segment_job video_job(video_writer *w, vpi_ptrack *track, const char *kind)
{
    return (segment_job){ .pk = w->pk,
                          .track = track,
                          .kind = kind,
                          .name = w->v->name,
                          .number = w->segment,
                          .guard = &w->cmaf_guard };
}

/*
 * The fragment that is held goes into its segment at once: memory holds one GOP of each track, not a segment.
 */
static vp_status video_put_fragment(video_writer *w, uint64_t end, vp_error *err)
{
    segment_job job = video_job(w, &w->v->cmaf, "video");
    bool first = !w->entry;
    vpi_segment piece = { 0 };
    vpi_segment_in in =
        video_in(w, first ? (uint64_t)w->v->cuts[w->segment] : (uint64_t)w->samples[0].pts, end);
    job.part = w->part;
    if (first) VPI_TRY(begin_segment(&job, &w->entry, &w->object, err));
    vp_object *to = w->part ? w->part : w->object;
    if (first) {
        w->before = vpi_object_size(to);
        VPI_TRY(vpi_track_guard_begin(&w->cmaf_guard, w->segment, to, w->entry, err));
    }
    vpi_protect room;
    const vpi_protect *protect;
    VPI_TRY(vpi_track_guard_segment(&w->cmaf_guard, w->segment, &room, &protect, err));
    if (!first) room.pssh_size = 0;            /* once a segment */
    in.writable = w->packets[0].block != NULL; /* what libavformat gave may be shared */
    vp_status st = vpi_cmaf_segment(&in, protect, first && !w->part, to, &piece, err);
    for (size_t i = 0; st >= 0 && i < piece.fragment_count; i++) {
        vpi_fragment *f = vpi_segment_add_fragment(w->entry);
        if (!f) {
            st = vpi_fail_nomem(err);
        } else {
            *f = piece.fragments[i];
            f->offset += w->entry->bytes;
        }
    }
    w->entry->bytes += piece.bytes;
    vpi_free(piece.fragments);
    if (st >= 0) video_done(w);
    return st;
}

static vp_status video_close_fragments(video_writer *w, vp_error *err)
{
    uint64_t start = (uint64_t)w->v->cuts[w->segment], end = (uint64_t)w->v->cuts[w->segment + 1];
    segment_job job = video_job(w, &w->v->cmaf, "video");
    vpi_segment *entry;
    vp_object *object;
    VPI_TRY(video_put_fragment(w, end, err));
    VPI_TRY(vpi_track_guard_end(&w->cmaf_guard, w->part ? w->part : w->object, w->entry, w->before, err));
    entry = w->entry;
    object = w->object;
    entry->start = start;
    entry->ticks = end - start;
    w->entry = NULL;
    w->object = NULL;
    return object ? commit_segment(&job, entry, object, err) : VP_OK;
}

/* Both forms of a whole segment. */
static vp_status video_close_whole(video_writer *w, vp_error *err)
{
    vpi_ready_video *v = w->v;
    vpi_segment_in in = video_in(w, (uint64_t)v->cuts[w->segment], (uint64_t)v->cuts[w->segment + 1]);
    vpi_ts_in ts = { .video = &in, .reorder = v->reorder, .min_frame = (uint64_t)v->min_gap };
    segment_job job = video_job(w, &v->cmaf, "video");
    job.in = &in;
    if (w->pk->cmaf) VPI_TRY(write_segment(&job, err));
    if (w->muxed) {
        VPI_TRY(audio_fill(&w->audio, &w->sound, w->segment, err));
        ts.audio = &w->sound.in;
    }
    job.track = &v->ts;
    job.kind = "ts";
    job.guard = &w->ts_guard;
    job.ts = &ts;
    VPI_TRY(write_segment(&job, err));
    video_done(w);
    return VP_OK;
}

static vp_status video_close_segment(video_writer *w, vp_error *err)
{
    VPI_TRY(w->pk->ts ? video_close_whole(w, err) : video_close_fragments(w, err));
    w->segment++;
    w->segment_samples = 0;
    vpi_ready_progress(w->pk, w->bytes);
    w->bytes = 0;
    return VP_OK;
}

/* Takes *p over, unless it fails or leaves the picture out. */
static vp_status take_picture(video_writer *w, vpi_ready_packet *p, vp_error *err)
{
    vpi_ready_video *v = w->v;
    int64_t pts = p->pts - v->first, us = vpi_ready_us(v, pts);
    bool sets;
    vpi_point point = vpi_ready_point(v->setup.codec, v->nal_length, p->data, p->size, &sets);
    if (!p->key) point = VPI_POINT_NONE;
    if (sets || point != VPI_POINT_NONE) VPI_TRY(vpi_ready_video_same(v, p->data, p->size, err));
    /* H.264 has no pictures before its IDR, in whatever order they come */
    bool idr = point != VPI_POINT_NONE && (v->setup.codec != VPI_CODEC_HEVC || vpi_ready_is_key(v, pts));
    bool sync = idr || point == VPI_POINT_CLEAN;
    if (pts > 0) w->leading = false;
    if (w->leading && pts < 0) return VP_OK; /* see leads() of the scan */
    bool cut = idr && w->segment + 1 < w->pk->segments && pts == v->cuts[w->segment + 1];
    if (cut) VPI_TRY(video_close_segment(w, err));
    /* Fragments are those of all renditions: a scene cut of one of them begins none. */
    bool gop = idr && us - w->fragment_us + 2000 >= (int64_t)w->pk->job->settings.transcode.gop_ms * 1000 &&
               vpi_ready_shared(w->pk, v, pts);
    if (gop && w->count && !w->pk->ts) VPI_TRY(video_put_fragment(w, (uint64_t)pts, err));
    if (!w->count || gop) {
        if (!VPI_GROW(w->fragments, w->fragment_count, w->fragment_cap)) return vpi_fail_nomem(err);
        w->fragments[w->fragment_count++] = w->count;
        w->fragment_us = us;
    }
    if (w->segment_samples + w->count >= SAMPLES_MAX)
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "%s: too many pictures in a segment", v->name);
    if (!VPI_GROW(w->packets, w->count, w->packet_cap) || !VPI_GROW(w->samples, w->count, w->sample_cap))
        return vpi_fail_nomem(err);
    w->packets[w->count] = *p;
    w->samples[w->count++] = (vpi_sample){ .pts = pts, .sync = sync, .data = p->data, .size = p->size };
    *p = (vpi_ready_packet){ 0 };
    return VP_OK;
}

static vp_status video_all(video_writer *w, vp_error *err)
{
    vpi_ready_packet p;
    bool begun = false;
    for (;;) {
        VPI_TRY(vpi_cancel_check(w->pk->job->stop, err));
        vp_status st = vpi_ready_next(w->reader, &p, err);
        if (st < 0) return st;
        if (st == VP_END) break;
        begun = begun || (p.has_pts && p.pts == w->v->first &&
                          vpi_ready_point(w->v->setup.codec, w->v->nal_length, p.data, p.size, NULL) !=
                              VPI_POINT_NONE);
        if (begun && !p.has_pts)
            st = vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: a picture without a time", w->v->name);
        if (begun && st >= 0) st = take_picture(w, &p, err);
        vpi_ready_drop(w->reader, &p);
        if (st < 0) return st;
    }
    if (!w->count || w->segment + 1 != w->pk->segments)
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: pictures end early", w->v->name);
    return video_close_segment(w, err);
}

static vp_status video_protect(video_writer *w, vp_error *err)
{
    const vpi_protection *protection = vpi_ready_video_protection(w->pk, w->v);
    const vpi_guard *guard = &w->pk->job->guard;
    size_t index = (size_t)(w->v - w->pk->video);
    VPI_TRY(
        vpi_track_guard_open(guard, &w->v->setup, protection, VPI_ORDINAL_CMAF, index, &w->cmaf_guard, err));
    return vpi_track_guard_open(guard, &w->v->setup, protection, VPI_ORDINAL_TS, index, &w->ts_guard, err);
}

vp_status vpi_ready_write_video(vpi_ready *pk, vpi_ready_video *v, vp_error *err)
{
    video_writer w = { .pk = pk, .v = v, .muxed = pk->mux_audio, .leading = true };
    vp_status st = vpi_ready_open(&pk->inputs[v->input], v->stream, &w.reader, err);
    if (st >= 0 && w.muxed) {
        w.audio = (vpi_ready_sound){ .pk = pk, .a = &pk->audio[0] };
        w.sound.setup = pk->audio[0].setup;
        st = vpi_ready_sound_open(&w.audio, err);
    }
    if (st >= 0) st = video_protect(&w, err);
    if (st >= 0 && pk->single_file) st = begin_part(pk, v->name, &w.part, err);
    if (st >= 0) st = video_all(&w, err);
    /* else its own writer does */
    if (st >= 0 && w.muxed && !pk->cmaf && v == &pk->video[0]) vpi_ready_sound_tell(&w.audio);
    video_clear(&w);
    vp_object_abort(w.object);
    vpi_track_guard_close(&w.cmaf_guard);
    vpi_track_guard_close(&w.ts_guard);
    vpi_free(w.packets);
    vpi_free(w.samples);
    vpi_free(w.fragments);
    audio_free(&w.audio, &w.sound);
    vpi_ready_sound_close(&w.audio);
    vpi_ready_close(w.reader);
    if (st < 0)
        vp_object_abort(w.part);
    else if (w.part)
        st = vp_object_commit(w.part, NULL, NULL, err);
    vpi_error_key(err, pk->job->renditions[v->input].name);
    return st;
}

static vp_status begin_part(vpi_ready *pk, const char *name, vp_object **part, vp_error *err)
{
    char key[160];
    vp_sink *parts = NULL;
    vp_object_info info = VP_OBJECT_INFO_INIT;
    snprintf(key, sizeof(key), "part/%s", name);
    info.key = key;
    VPI_TRY(vp_store_remove(pk->job->work, key, err)); /* of a run that was broken off */
    VPI_TRY(vpi_sink_over_store(pk->job->context, pk->job->work, &parts, err));
    vp_status st = vp_sink_begin(parts, &info, part, err);
    vp_sink_unref(parts);
    return st;
}
