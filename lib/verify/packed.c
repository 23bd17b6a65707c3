/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ADTS frames, and packed audio: an ID3 timestamp in front of them (RFC 8216 3.4). */
#include "verify/ts_int.h"

enum { ID3_HEADER = 10, ID3_FRAME = 10, AAC_SAMPLES = 1024, STAMP = 8 };

static const char owner[] = "com.apple.streaming.transportStreamTimestamp";

/* ADTS tells the core only: with SBR the track has twice the rate, and with PS twice the channels. */
static void check_config(vpi_verifier *v, const vpi_media_state *s, const vpi_asc *asc)
{
    const vpi_ptrack *t = s->t;
    bool plain = vpi_codecs_hold(t->codecs, "mp4a.40.2");
    bool extended = vpi_codecs_hold(t->codecs, "mp4a.40.5") || vpi_codecs_hold(t->codecs, "mp4a.40.29");

    vpi_check(v, asc->object_type == 2 && (plain || extended), "P13", s->where,
              "audio is mp4a.40.%u, the presentation says %s", (unsigned)asc->object_type, t->codecs);
    if (!plain || t->sample_rate == 0) return;
    vpi_check(v, asc->sample_rate == t->sample_rate, "P13", s->where,
              "audio of %u Hz, the presentation says %u", asc->sample_rate, t->sample_rate);
    vpi_check(v, asc->channels == t->channels, "P13", s->where, "%u channels, the presentation says %u",
              asc->channels, t->channels);
}

void vpi_verify_adts(vpi_verifier *v, vpi_media_state *s, const uint8_t *data, size_t size, int64_t time)
{
    size_t at = 0, header, frame;
    vp_error cause = VP_ERROR_INIT;
    vpi_asc asc;
    int64_t due;

    while (at < size) {
        if (vpi_adts_parse(data + at, size - at, &asc, &header, &frame, &cause) < 0 || frame > size - at) {
            vpi_check(v, false, "STRUCTURE", s->where, "no whole ADTS frame at byte %zu of an audio packet",
                      at);
            return;
        }
        if (s->audio_frames == 0) {
            check_config(v, s, &asc);
            s->audio_first = time;
            s->audio_rate = asc.sample_rate;
            s->audio_channels = asc.channels;
        } else if (!vpi_check(v, asc.sample_rate == s->audio_rate && asc.channels == s->audio_channels, "P13",
                              s->where, "the sample rate or the channels change")) {
            return;
        }
        if (at == 0) {
            /* All times follow from the first one: rounding never adds up. */
            due = s->audio_first + vpi_rescale((int64_t)(s->audio_frames * AAC_SAMPLES), VPI_MPEG_TS_CLOCK,
                                               s->audio_rate, VPI_NEAREST);
            vpi_check(v, time - due <= 2 && due - time <= 2, "P05", s->where,
                      "audio at PTS %lld, the frames before end at %lld", (long long)time, (long long)due);
        }
        s->audio_frames++;
        s->frames++;
        at += frame;
    }
}

static size_t syncsafe(const uint8_t *p)
{
    return (size_t)(p[0] & 127u) << 21 | (size_t)(p[1] & 127u) << 14 | (size_t)(p[2] & 127u) << 7 |
           (p[3] & 127u);
}

/* Size of the tag, 0 when there is no timestamp. */
static size_t read_tag(const uint8_t *d, size_t size, uint64_t *stamp)
{
    size_t end, at = ID3_HEADER;

    if (size < ID3_HEADER || memcmp(d, "ID3", 3) != 0) return 0;
    end = ID3_HEADER + syncsafe(d + 6);
    if (end > size) return 0;
    while (at + ID3_FRAME <= end) {
        size_t n = syncsafe(d + at + 4);
        const uint8_t *body = d + at + ID3_FRAME;

        if (n > end - at - ID3_FRAME) return 0;
        if (memcmp(d + at, "PRIV", 4) == 0 && n == sizeof(owner) + STAMP &&
            memcmp(body, owner, sizeof(owner)) == 0) {
            *stamp = vpi_rd64(body + sizeof(owner));
            return end;
        }
        at += ID3_FRAME + n;
    }
    return 0;
}

vp_status vpi_verify_packed(vpi_verifier *v, vpi_media_state *s, const uint8_t *data, size_t size,
                            vp_error *err)
{
    uint64_t stamp = 0, before = s->audio_frames, samples, ticks;
    int64_t start = vpi_ts_due(s, s->segment->start), time;
    size_t tag = read_tag(data, size, &stamp);

    (void)err;
    if (!vpi_check(v, tag > 0, "STRUCTURE", s->where, "no ID3 timestamp in front")) return VP_OK;
    vpi_check(v, stamp >> 33 == 0, "P06", s->where, "timestamp of more than 33 bits");
    time = vpi_ts_unwrap(stamp & (((uint64_t)1 << 33) - 1), true, start);
    vpi_check(v, time - start <= 1 && start - time <= 1, "P06", s->where, "timestamp %lld, %lld is due",
              (long long)time, (long long)start);
    vpi_verify_adts(v, s, data + tag, size - tag, time);
    samples = (s->audio_frames - before) * AAC_SAMPLES;
    ticks = s->segment->ticks;
    /* One sample of slack for a timescale other than the sample rate. */
    vpi_check(v,
              s->audio_rate == 0 ||
                  vpi_time_near(vpi_time_of(samples, s->audio_rate), vpi_time_of(ticks, s->t->timescale),
                                vpi_time_of(1, s->audio_rate)),
              "P01", s->where, "%llu samples, the segment lasts %llu/%u", (unsigned long long)samples,
              (unsigned long long)ticks, s->t->timescale);
    return VP_OK;
}
