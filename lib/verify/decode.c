/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A segment decoded alone: init and segment as a file of their own. Its pictures are counted, timed and their tags
 * compared; its sound goes to one decoder for the whole track, which is how a player hears it.
 */
#include <stdlib.h>

#include "media/demux.h"
#include "verify/sound_int.h"

#define TS_TURN ((int64_t)1 << 33)
#define US INT64_C(1000000)
enum { UNSPECIFIED = 2, RANGE_SLACK_US = 2, TS_PACKET = 188, TS_PACKETS_MIN = 64 };

/* ---- pictures ---- */

typedef struct viewer {
    vpi_verifier *v;
    const vpi_media_state *s;
    uint64_t count, damaged;
    bool tags, size, range; /* as they should be, all pictures */
    bool timed;
    int64_t first_us, last_us;
    vpi_picture_trace *looks; /* VPI_TRACES */
} viewer;

/* Title time of a picture of the segment. */
static int64_t title_us(const vpi_media_state *s, const vpi_look *look)
{
    int64_t near, ticks;

    if (s->t->container != VP_CONTAINER_TS)
        return vpi_rescale(look->pts, look->tb.num * US, look->tb.den, VPI_NEAREST);
    /* 33 bits, and the base. */
    near = vpi_ts_due_of(s->t, s->segment->start);
    ticks = ((look->pts - near) % TS_TURN + TS_TURN + TS_TURN / 2) % TS_TURN - TS_TURN / 2 + near;
    return vpi_rescale(ticks - VPI_MPEG_TS_BASE, US, VPI_MPEG_TS_CLOCK, VPI_NEAREST);
}

static vp_status see(void *user, const vpi_look *look, vp_error *err)
{
    viewer *w = user;
    const vpi_ptrack *t = w->s->t;
    int64_t us;

    (void)err;
    w->count++;
    w->damaged += look->damaged;
    w->size &= look->width == t->width && look->height == t->height;
    if (t->primaries && look->primaries != UNSPECIFIED) {
        w->tags &=
            look->primaries == t->primaries && look->transfer == t->transfer && look->matrix == t->matrix;
    }
    if (w->s->has_init && w->s->init.has_colr && look->full_range >= 0)
        w->range &= look->full_range == w->s->init.colr_full_range;
    if (!look->has_pts) return VP_OK;
    us = title_us(w->s, look);
    w->first_us = w->timed ? VPI_MIN(w->first_us, us) : us;
    w->last_us = w->timed ? VPI_MAX(w->last_us, us) : us;
    w->timed = true;
    for (size_t i = 0; w->looks && i < VPI_TRACES; i++) vpi_picture_trace_add(&w->looks[i], us, look->grid);
    return VP_OK;
}

static int64_t segment_us(const vpi_media_state *s, uint64_t ticks)
{
    return vpi_rescale((int64_t)ticks, US, s->t->timescale, VPI_NEAREST);
}

static void check_pictures(const viewer *w, uint64_t refused)
{
    const vpi_media_state *s = w->s;
    int64_t start = segment_us(s, s->segment->start),
            end = segment_us(s, s->segment->start + s->segment->ticks);

    vpi_check(w->v, w->damaged + refused == 0, "P04", s->where, "alone %llu pictures do not decode",
              (unsigned long long)(w->damaged + refused));
    vpi_check(w->v, w->count == s->frames, "P04", s->where,
              "alone it decodes to %llu pictures, it holds %llu", (unsigned long long)w->count,
              (unsigned long long)s->frames);
    vpi_check(w->v, w->tags, "COLOUR", s->where, "decoded pictures are not tagged %u/%u/%u", s->t->primaries,
              s->t->transfer, s->t->matrix);
    vpi_check(w->v, w->range, "COLOUR", s->where, "decoded pictures have another range than colr says");
    vpi_check(w->v, w->size, "P13", s->where, "decoded pictures are not %ux%u", s->t->width, s->t->height);
    if (!w->timed) return;
    vpi_check(w->v, llabs(w->first_us - start) <= RANGE_SLACK_US * 20, "P06", s->where,
              "the first picture decodes at %.4f, the segment starts at %.4f", (double)w->first_us / 1e6,
              (double)start / 1e6);
    vpi_check(w->v, w->last_us < end + RANGE_SLACK_US, "P11", s->where,
              "the last picture decodes at %.4f, the segment ends at %.4f", (double)w->last_us / 1e6,
              (double)end / 1e6);
}

static vp_status decode_video(vpi_verifier *v, vpi_media_state *s, vp_source *source, vp_error *err)
{
    vpi_track_media *m = s->media;
    viewer w = { .v = v, .s = s, .tags = true, .size = true, .range = true, .looks = m->looks };
    uint64_t refused = 0;

    VPI_TRY(vpi_measure_pictures(v->context, source, -1, NULL, v->cancel, see, &w, &refused, err));
    check_pictures(&w, refused);
    if (w.timed) {
        m->first_us = m->has_pictures ? m->first_us : w.first_us;
        m->last_us = w.last_us;
        m->has_pictures = true;
    }
    m->pictures += w.count;
    return VP_OK;
}

/* ---- ranges of the I-frame playlist ---- */

/* Empty packets (PID 0x1FFF) behind a short stream: from a few alone a demuxer does not know what it is. */
static void add_null_packets(vpi_buf *b)
{
    uint8_t *packet;

    for (size_t n = b->size / TS_PACKET; n < TS_PACKETS_MIN; n++) {
        packet = vpi_buf_space(b, TS_PACKET);
        if (!packet) return;
        memset(packet, 0xFF, TS_PACKET);
        memcpy(packet, "\x47\x1F\xFF\x10", 4);
    }
}

/* What a player has of a fragment after it fetched such a range: in CMAF the rest of mdat is missing. */
static vp_status decode_range(vpi_verifier *v, const vpi_media_state *s, const uint8_t *data, size_t number,
                              vp_error *err)
{
    const vpi_fragment *f = &s->segment->fragments[number];
    viewer w = { .v = v, .s = s, .tags = true, .size = true, .range = true };
    vp_error cause = VP_ERROR_INIT;
    vp_source *source = NULL;
    vpi_buf b = { 0 };
    const vpi_measure_options first = { .first_only = true };
    uint64_t refused = 0;
    vp_status st;

    vpi_buf_add(&b, s->init_bytes.data, s->init_bytes.size);
    vpi_buf_add(&b, data + f->offset, (size_t)f->idr_bytes);
    if (s->t->container == VP_CONTAINER_CMAF) {
        vpi_buf_space(&b, (size_t)(f->bytes - f->idr_bytes)); /* zeros */
    } else if (s->t->container == VP_CONTAINER_TS) {
        add_null_packets(&b);
    }
    if (vpi_buf_failed(&b)) {
        vpi_buf_dispose(&b);
        return vpi_fail_nomem(err);
    }
    st = vp_source_memory(v->context, b.data, b.size, &source, err);
    vpi_buf_dispose(&b);
    if (st < 0) return st;
    st = vpi_measure_pictures(v->context, source, -1, &first, v->cancel, see, &w, &refused, &cause);
    vp_source_unref(source);
    if (st < 0) return vpi_caught(v, st, &cause, "P29", s->where, err);
    vpi_check(v, w.count == 1 && w.damaged + refused == 0, "P29", s->where,
              "the range of IDR picture %zu does not decode alone", number + 1);
    return VP_OK;
}

/* ---- sound ---- */

/* Packets must come out of the segment alone. */
static vp_status count_packets(vpi_verifier *v, vp_source *source, uint64_t *count, vp_error *err)
{
    vpi_demux *demux = NULL;
    vpi_packet packet = { 0 };
    vp_status st;

    *count = 0;
    st = vpi_demux_open(v->context, source, NULL, v->cancel, &demux, err);
    while (st == VP_OK) {
        st = vpi_demux_read(demux, &packet, err);
        if (st == VP_OK && !packet.corrupt) (*count)++;
        vpi_packet_dispose(&packet);
    }
    vpi_demux_close(demux);
    return st < 0 ? st : VP_OK;
}

static vp_status decode_sound(vpi_verifier *v, vpi_media_state *s, vp_source *source, vp_error *err)
{
    vpi_track_media *m = s->media;
    uint64_t packets, before;

    if (!s->ear) {
        VPI_TRY(vpi_sound_init(&m->sound, v->source ? v->looked_at_us : NULL, err));
        m->sound.own_clock = s->t->container == VP_CONTAINER_PACKED;
        m->sound.zero_us = s->t->container == VP_CONTAINER_TS ? VPI_MPEG_TS_BASE * US / VPI_MPEG_TS_CLOCK : 0;
        VPI_TRY(vpi_ear_new(v->context, v->cancel, vpi_sound_hear, &m->sound, &s->ear, err));
        m->has_sound = true;
    }
    before = vpi_ear_refused(s->ear);
    VPI_TRY(vpi_ear_add(s->ear, source, -1, NULL, err));
    vpi_check(v, vpi_ear_refused(s->ear) == before, "P04", s->where, "%llu audio frames do not decode",
              (unsigned long long)(vpi_ear_refused(s->ear) - before));
    if (s->t->kind != VP_TRACK_AUDIO || s->t->container != VP_CONTAINER_CMAF) return VP_OK;
    VPI_TRY(count_packets(v, source, &packets, err));
    vpi_check(v, packets == s->frames, "P04", s->where, "alone it has %llu audio frames, it holds %llu",
              (unsigned long long)packets, (unsigned long long)s->frames);
    return VP_OK;
}

/* Start and length of what was heard, against the track. */
vp_status vpi_verify_decoded(vpi_verifier *v, vpi_media_state *s, const char *where, vp_error *err)
{
    vpi_track_media *m = s->media;
    vp_error cause = VP_ERROR_INIT;
    const vpi_heard_sound *h = &m->sound;
    double length, heard, frame, slack;
    vp_status st;

    if (!s->ear) return VP_OK;
    st = vpi_ear_end(s->ear, &cause);
    if (st < 0) return vpi_caught(v, st, &cause, "P04", where, err);
    if (!vpi_check(v, h->samples > 0, "P12", where, "decodes to silence without samples")) return VP_OK;
    vpi_check(v, !h->changes, "P13", where, "sample rate or channels change in mid-track");
    length = vpi_time_seconds(vpi_track_end(s->t)) - vpi_time_seconds(vpi_track_start(s->t));
    heard = (double)h->samples / h->sample_rate;
    frame = VPI_MAX(vpi_time_seconds(vpi_track_frame(s->t)), 2048.0 / h->sample_rate);
    /* Other decoders than AAC's begin each segment with a pre-roll that they keep to themselves. */
    slack = strncmp(s->t->codecs, "mp4a", 4) == 0 || s->t->kind == VP_TRACK_VIDEO
                ? frame
                : frame * (double)s->t->segment_count;
    vpi_check(v, heard - length <= slack && length - heard <= slack, "P11", where,
              "%.4f s of sound decode, the track lasts %.4f s", heard, length);
    if (h->has_first) {
        vpi_check(v, (double)llabs(h->first_us) <= frame * 1e6, "P06", where,
                  "the first sample decodes at %.4f s", (double)h->first_us / 1e6);
    }
    if (s->t->kind == VP_TRACK_AUDIO && s->t->sample_rate > 0) {
        /* SBR and PS that only the decoder finds give twice of what is stated. */
        vpi_check(v,
                  (h->sample_rate == s->t->sample_rate || h->sample_rate == 2 * s->t->sample_rate) &&
                      (h->channels == s->t->channels || (h->channels == 2 && s->t->channels == 1)),
                  "P13", where, "decodes to %u Hz and %u channels", h->sample_rate, h->channels);
    }
    return VP_OK;
}

/* ---- a segment ---- */

static vp_status decode_parts(vpi_verifier *v, vpi_media_state *s, vp_source *source, const uint8_t *data,
                              size_t size, vp_error *err)
{
    vp_error cause = VP_ERROR_INIT;
    bool muxed = s->t->container == VP_CONTAINER_TS && s->t->channels > 0;
    vp_status st;

    if (s->t->kind == VP_TRACK_VIDEO) {
        st = decode_video(v, s, source, &cause);
        VPI_TRY(vpi_caught(v, st, &cause, "P04", s->where, err));
        for (size_t i = 0; i < s->segment->fragment_count; i++) {
            const vpi_fragment *f = &s->segment->fragments[i];

            if (f->offset > size || f->idr_bytes > f->bytes || f->bytes > size - f->offset) continue;
            VPI_TRY(decode_range(v, s, data, i, err));
        }
    }
    if (s->t->kind == VP_TRACK_AUDIO || muxed) {
        st = decode_sound(v, s, source, &cause);
        return vpi_caught(v, st, &cause, "P04", s->where, err);
    }
    return VP_OK;
}

vp_status vpi_verify_decode(vpi_verifier *v, vpi_media_state *s, const uint8_t *data, size_t size,
                            vp_error *err)
{
    vp_source *source = NULL;
    vpi_buf whole = { 0 };
    vp_status st;

    if (s->frames == 0) return VP_OK;
    if (v->source && s->t->kind == VP_TRACK_VIDEO && !s->media->looks) {
        s->media->looks = vpi_picture_traces_new(v->looked_at_us);
        if (!s->media->looks) return vpi_fail_nomem(err);
    }
    vpi_buf_add(&whole, s->init_bytes.data, s->init_bytes.size);
    vpi_buf_add(&whole, data, size);
    if (vpi_buf_failed(&whole)) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    VPI_GO(vp_source_memory(v->context, whole.data, whole.size, &source, err));
    vpi_buf_dispose(&whole);
    st = decode_parts(v, s, source, data, size, err);
done:
    vpi_buf_dispose(&whole);
    vp_source_unref(source);
    return st;
}
