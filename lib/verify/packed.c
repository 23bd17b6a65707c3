/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packed audio: an ID3 timestamp in front of frames (RFC 8216 3.4). */
#include "verify/ts_int.h"

enum { ID3_HEADER = 10, ID3_FRAME = 10, STAMP = 8 };

static const char time_owner[] = "com.apple.streaming.transportStreamTimestamp";
/* of SAMPLE-AES (Apple, "MPEG-2 Stream Encryption Format for HTTP Live Streaming", 2.4) */
static const char setup_owner[] = "com.apple.streaming.audioDescription";

typedef struct tag {
    size_t size; /* 0: there is none that is whole */
    bool timed;
    uint64_t stamp;
    const uint8_t *setup; /* NULL: there is none */
    size_t setup_size;
} tag;

static size_t syncsafe(const uint8_t *p)
{
    return (size_t)(p[0] & 127u) << 21 | (size_t)(p[1] & 127u) << 14 | (size_t)(p[2] & 127u) << 7 |
           (p[3] & 127u);
}

/* Is it a PRIV frame of this owner? owner_size with its NUL. */
static bool is_private(const uint8_t *frame, size_t size, const char *owner, size_t owner_size)
{
    return memcmp(frame, "PRIV", 4) == 0 && size >= owner_size &&
           memcmp(frame + ID3_FRAME, owner, owner_size) == 0;
}

static tag read_tag(const uint8_t *d, size_t size)
{
    tag t = { 0 };
    size_t end, at = ID3_HEADER;

    if (size < ID3_HEADER || memcmp(d, "ID3", 3) != 0) return t;
    end = ID3_HEADER + syncsafe(d + 6);
    if (end > size) return t;
    while (at + ID3_FRAME <= end) {
        size_t n = syncsafe(d + at + 4);
        const uint8_t *body = d + at + ID3_FRAME;

        if (n > end - at - ID3_FRAME) return t;
        if (n == sizeof(time_owner) + STAMP && is_private(d + at, n, time_owner, sizeof(time_owner))) {
            t.timed = true;
            t.stamp = vpi_rd64(body + sizeof(time_owner));
        } else if (is_private(d + at, n, setup_owner, sizeof(setup_owner))) {
            t.setup = body + sizeof(setup_owner);
            t.setup_size = n - sizeof(setup_owner);
        }
        at += ID3_FRAME + n;
    }
    t.size = end;
    return t;
}

/* What tells a decoder of frames that it cannot read itself. */
static void check_setup(vpi_verifier *v, const vpi_media_state *s, const tag *t)
{
    if (!s->key) {
        vpi_check(v, !t->setup, "E07", s->where, "an audio description in a clear segment");
        return;
    }
    vpi_check(v, t->setup && vpi_audio_setup_fits(s->t, t->setup, t->setup_size), "TS", s->where,
              "no audio description of %s in the ID3 tag", s->t->codecs);
}

vp_status vpi_verify_packed(vpi_verifier *v, vpi_media_state *s, const uint8_t *data, size_t size,
                            vp_error *err)
{
    uint64_t before = s->audio_samples, samples, ticks;
    int64_t start = vpi_ts_due(s, s->segment->start), time;
    tag t = read_tag(data, size);

    (void)err;
    if (!vpi_check(v, t.size > 0 && t.timed, "STRUCTURE", s->where, "no ID3 timestamp in front"))
        return VP_OK;
    vpi_check(v, t.stamp >> 33 == 0, "P06", s->where, "timestamp of more than 33 bits");
    time = vpi_ts_unwrap(t.stamp & (((uint64_t)1 << 33) - 1), true, start);
    vpi_check(v, time - start <= 1 && start - time <= 1, "P06", s->where, "timestamp %lld, %lld is due",
              (long long)time, (long long)start);
    check_setup(v, s, &t);
    vpi_verify_frames(v, s, data + t.size, size - t.size, time);
    samples = s->audio_samples - before;
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
