/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames of sound in transport streams and packed audio: ADTS (ISO/IEC 14496-3 1.A.2), AC-3 (ETSI TS 102 366). */
#include "verify/ts_int.h"

enum { AAC_SAMPLES = 1024, AC3_SAMPLES = 1536, SETUP_HEAD = 8 };

/* The first frame tells the format of the track, and all others have it. */
static bool check_format(vpi_verifier *v, vpi_media_state *s, uint32_t rate, uint32_t channels)
{
    if (s->audio_rate == 0) {
        s->audio_rate = rate;
        s->audio_channels = channels;
    }
    return vpi_check(v, rate == s->audio_rate && channels == s->audio_channels, "P13", s->where,
                     "the sample rate or the channels change");
}

/* All times follow from the first one: rounding never adds up. */
static void check_time(vpi_verifier *v, vpi_media_state *s, int64_t time)
{
    int64_t due;

    if (s->audio_samples == 0) s->audio_first = time;
    due = s->audio_first +
          vpi_rescale((int64_t)s->audio_samples, VPI_MPEG_TS_CLOCK, s->audio_rate, VPI_NEAREST);
    vpi_check(v, time - due <= 2 && due - time <= 2, "P05", s->where,
              "audio at PTS %lld, the frames before end at %lld", (long long)time, (long long)due);
}

static void check_config(vpi_verifier *v, const vpi_media_state *s, uint32_t rate, uint32_t channels)
{
    const vpi_ptrack *t = s->t;

    if (t->sample_rate == 0) return;
    vpi_check(v, rate == t->sample_rate, "P13", s->where, "audio of %u Hz, the presentation says %u", rate,
              t->sample_rate);
    vpi_check(v, channels == t->channels, "P13", s->where, "%u channels, the presentation says %u", channels,
              t->channels);
}

/* ---- AAC ---- */

/* ADTS tells the core only: with SBR the track has twice the rate, and with PS twice the channels. */
static void check_asc(vpi_verifier *v, const vpi_media_state *s, const vpi_asc *asc)
{
    const char *codecs = s->t->codecs;
    bool plain = vpi_codecs_hold(codecs, "mp4a.40.2");
    bool extended = vpi_codecs_hold(codecs, "mp4a.40.5") || vpi_codecs_hold(codecs, "mp4a.40.29");

    vpi_check(v, asc->object_type == 2 && (plain || extended), "P13", s->where,
              "audio is mp4a.40.%u, the presentation says %s", (unsigned)asc->object_type, codecs);
    if (plain) check_config(v, s, asc->sample_rate, asc->channels);
}

static void adts_frames(vpi_verifier *v, vpi_media_state *s, const uint8_t *data, size_t size, int64_t time)
{
    size_t header, frame;
    vp_error cause = VP_ERROR_INIT;
    vpi_asc asc;

    for (size_t at = 0; at < size; at += frame) {
        if (vpi_adts_parse(data + at, size - at, &asc, &header, &frame, &cause) < 0 || frame > size - at) {
            vpi_check(v, false, "STRUCTURE", s->where, "no whole ADTS frame at byte %zu of an audio packet",
                      at);
            return;
        }
        if (s->audio_rate == 0) check_asc(v, s, &asc);
        if (!check_format(v, s, asc.sample_rate, asc.channels)) return;
        if (at == 0) check_time(v, s, time);
        s->audio_samples += AAC_SAMPLES;
        s->frames++;
    }
}

/* ---- AC-3, E-AC-3 ---- */

/* Of the first programme's own substream, which tells the time. */
static bool tells_time(const vpi_ac3 *a)
{
    return !a->eac3 || (a->stream_type != 1 && a->substream == 0);
}

/* Bytes of the access unit at the start: frames of all substreams for six blocks (E.1.3.1.1, F.5). */
static size_t first_unit(const uint8_t *data, size_t size)
{
    uint32_t samples = 0;
    size_t at = 0;
    vpi_ac3 a;

    while (at < size && vpi_ac3_parse(data + at, size - at, &a, NULL) == VP_OK &&
           a.frame_bytes <= size - at) {
        if (tells_time(&a)) {
            if (samples >= AC3_SAMPLES) break;
            samples += a.samples;
        }
        at += a.frame_bytes;
    }
    return at;
}

/* Dependent substreams have channels of their own. */
static uint32_t channels_of(const uint8_t *data, size_t size, const vpi_ac3 *first)
{
    vpi_buf config = { 0 };
    vpi_sound sound = { .channels = first->channels };

    if (first->eac3 && vpi_dec3_write(data, first_unit(data, size), &config, NULL) == VP_OK &&
        !vpi_buf_failed(&config))
        vpi_dec3_parse(config.data, config.size, &sound, NULL);
    vpi_buf_dispose(&config);
    return sound.channels;
}

static void ac3_frames(vpi_verifier *v, vpi_media_state *s, const uint8_t *data, size_t size, int64_t time)
{
    bool eac3 = vpi_codecs_hold(s->t->codecs, "ec-3");
    vpi_ac3 a;

    for (size_t at = 0; at < size; at += a.frame_bytes) {
        if (vpi_ac3_parse(data + at, size - at, &a, NULL) < 0 || a.frame_bytes > size - at ||
            (at == 0 && !tells_time(&a))) {
            vpi_check(v, false, "STRUCTURE", s->where, "no whole AC-3 frame at byte %zu of an audio packet",
                      at);
            return;
        }
        if (!tells_time(&a)) continue;
        if (s->audio_rate == 0) {
            vpi_check(v, a.eac3 == eac3, "P13", s->where, "audio is %s, the presentation says %s",
                      a.eac3 ? "ec-3" : "ac-3", s->t->codecs);
            check_config(v, s, a.sample_rate, channels_of(data + at, size - at, &a));
        }
        if (!check_format(v, s, a.sample_rate, a.channels)) return;
        if (at == 0) check_time(v, s, time);
        s->audio_samples += a.samples;
        s->frames++;
    }
}

void vpi_verify_frames(vpi_verifier *v, vpi_media_state *s, const uint8_t *data, size_t size, int64_t time)
{
    if (vpi_track_is_ac3(s->t))
        ac3_frames(v, s, data, size, time);
    else
        adts_frames(v, s, data, size, time);
}

bool vpi_track_is_ac3(const vpi_ptrack *t)
{
    return vpi_codecs_hold(t->codecs, "ac-3") || vpi_codecs_hold(t->codecs, "ec-3");
}

/* Type, priming, version 1, length, setup data (Apple, "MPEG-2 Stream Encryption Format for HTTP Live Streaming"). */
bool vpi_audio_setup_fits(const vpi_ptrack *t, const uint8_t *data, size_t size)
{
    static const char *const aac[] = { "zaac", "zach", "zacp" };

    if (size <= SETUP_HEAD || data[6] != 1 || data[7] != size - SETUP_HEAD) return false;
    if (vpi_codecs_hold(t->codecs, "ac-3"))
        return memcmp(data, "zac3", 4) == 0 && data[7] == 10 && vpi_rd16(data + SETUP_HEAD) == 0x0B77;
    if (vpi_codecs_hold(t->codecs, "ec-3")) return memcmp(data, "zec3", 4) == 0 && data[7] >= 5;
    for (size_t i = 0; i < VPI_COUNT(aac); i++) {
        if (memcmp(data, aac[i], 4) == 0) return true;
    }
    return false;
}
