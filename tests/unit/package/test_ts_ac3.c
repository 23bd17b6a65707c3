/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* AC-3 and E-AC-3 in transport streams and packed audio: tables byte for byte, frames as they were. */

#include "ts_check.h"

enum { FRAME = 1536, SMALL = 64 };

/* ---- made up frames ---- */

/* The head of an E-AC-3 frame at 48 kHz: 6 blocks (blocks 3) or 1 (0), stereo. type 1: dependent. */
static void put_eac3(uint8_t *to, size_t size, unsigned type, unsigned blocks)
{
    size_t words = size / 2 - 1;

    for (size_t i = 0; i < size; i++) to[i] = (uint8_t)(i * 7 + type);
    to[0] = 0x0B;
    to[1] = 0x77;
    to[2] = (uint8_t)(type << 6 | words >> 8);
    to[3] = (uint8_t)words;
    to[4] = (uint8_t)(blocks << 4 | 2 << 1);
    to[5] = 16 << 3;
    to[6] = to[7] = 0;
}

/* 32 kbit/s at 48 kHz: 128 bytes; stereo. */
static void put_ac3(uint8_t *to, unsigned seed)
{
    for (size_t i = 0; i < 128; i++) to[i] = (uint8_t)(i * 5 + seed);
    memcpy(to, "\x0B\x77\0\0\0\x40\x40", 7);
}

static void fake(clip *c, vpi_codec codec)
{
    memset(c, 0, sizeof(*c));
    memcpy(c->config, codec == VPI_CODEC_AC3 ? "\x10\x10\0\0" : "\x01\0\x20\x04", 5);
    c->setup = (vpi_track_setup){ .kind = VPI_KIND_AUDIO,
                                  .codec = codec,
                                  .timescale = 48000,
                                  .config = c->config,
                                  .config_size = codec == VPI_CODEC_AC3 ? 3 : 5,
                                  .sample_rate = 48000,
                                  .channels = 2,
                                  .language = "en" };
}

static void fake_add(clip *c, const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size);

    assert_non_null(copy);
    assert_true(VPI_GROW(c->samples, c->count, c->cap));
    memcpy(copy, data, size);
    c->samples[c->count] = (vpi_sample){ .pts = (int64_t)(c->count * FRAME), true, copy, size };
    c->count++;
    c->end = c->count * FRAME;
    vpi_track_setup_head(&c->setup, data, size);
}

/* ---- one segment ---- */

static uint8_t *segment(const vpi_ts_in *in, const vpi_protect *protect, ts_stream *s, size_t *size)
{
    vpi_segment e = { 0 }, counted = { 0 };
    uint8_t *data;
    written w;

    assert_int_equal(vpi_ts_segment_size(in, protect, &counted, NULL), VP_OK);
    written_begin(&w);
    assert_int_equal(vpi_ts_segment(in, protect, w.object, &e, NULL), VP_OK);
    data = written_end(&w, size);
    assert_int_equal(e.bytes, *size);
    assert_int_equal(counted.bytes, *size);
    assert_int_equal(counted.fragment_count, e.fragment_count);
    segment_dispose(&e);
    segment_dispose(&counted);
    ts_read(data, *size, VPI_TS_BASE, s);
    return data;
}

static int64_t ticks(int64_t pts, uint32_t rate)
{
    return VPI_TS_BASE + (pts * 90000 * 2 + rate) / (2 * (int64_t)rate);
}

/* Samples of the clip fill the PES packets, which begin with one at its time. */
static void check_sound(const clip *c, const ts_stream *s, bool protected)
{
    size_t n = 0;

    for (size_t i = 0; i < s->audio_count; i++) {
        const ts_pes *pes = &s->audio[i];

        assert_int_equal(pes->pts, ticks(c->samples[n].pts, c->setup.timescale));
        for (size_t at = 0; at < pes->size; n++) {
            assert_true(n < c->count && c->samples[n].size <= pes->size - at);
            step_assert_frame(pes->data + at, &c->samples[n], protected);
            at += c->samples[n].size;
        }
    }
    assert_int_equal(n, c->count);
}

static void check_packed(const clip *c, const vpi_protect *protect, const void *setup, size_t setup_size)
{
    static const char owner[] = "com.apple.streaming.audioDescription";
    uint8_t *data;
    size_t size, at = 73;
    vpi_segment e = { 0 };
    written w;
    cut k;

    clip_cut(c, 0, c->count, &k);
    written_begin(&w);
    assert_int_equal(vpi_packed_audio_segment(&k.in, protect, w.object, &e, NULL), VP_OK);
    data = written_end(&w, &size);
    assert_int_equal(e.bytes, size);
    assert_memory_equal(data, "ID3\4", 4);
    assert_int_equal(vpi_rd64(data + 65), VPI_TS_BASE);
    if (protect) {
        assert_memory_equal(data + at + 10, owner, sizeof(owner));
        assert_memory_equal(data + at + 10 + sizeof(owner), setup, setup_size);
        at += 10 + sizeof(owner) + setup_size;
    }
    assert_int_equal(data[8] << 7 | data[9], at - 10);
    for (size_t n = 0; n < c->count; n++) {
        step_assert_frame(data + at, &c->samples[n], protect != NULL);
        at += c->samples[n].size;
    }
    assert_int_equal(at, size);
    free(data);
    segment_dispose(&e);
}

/* ---- tests ---- */

static void both_forms(const clip *c, const clip *video)
{
    vpi_protect protect = step_protect();
    uint8_t setup[64] = "zac3\0\0\1";
    cut audio, picture;

    clip_cut(c, 0, c->count, &audio);
    clip_cut(video, 0, video->count, &picture);
    memcpy(setup, c->setup.codec == VPI_CODEC_AC3 ? "zac3" : "zec3", 4);
    setup[7] = (uint8_t)(c->setup.codec == VPI_CODEC_AC3 ? 10 : c->setup.config_size);
    memcpy(setup + 8, c->setup.codec == VPI_CODEC_AC3 ? c->samples[0].data : c->setup.config, setup[7]);
    for (unsigned i = 0; i < 4; i++) {
        vpi_ts_in in = { .audio = &audio.in, .video = i & 1 ? &picture.in : NULL, .min_frame = 1 };
        bool closed = i & 2;
        ts_stream s;
        size_t size;
        uint8_t *data = segment(&in, closed ? &protect : NULL, &s, &size);

        assert_int_equal(s.audio_type,
                         c->setup.codec == VPI_CODEC_AC3 ? (closed ? 0xC1 : 0x81) : (closed ? 0xC2 : 0x87));
        check_sound(c, &s, closed);
        assert_string_equal(s.language, strcmp(c->setup.language, "de") ? "eng" : "deu");
        ts_dispose(&s);
        free(data);
    }
    check_packed(c, NULL, NULL, 0);
    check_packed(c, &protect, setup, 8u + setup[7]);
}

static void test_real(void **state)
{
    static const char *const options[] = { "-ac 2 -b:a 192k", "-ac 6 -b:a 448k",
                                           "-ac 2 -ar 44100 -b:a 160k" };
    clip video, c;

    (void)state;
    if (!have_ffmpeg()) {
        print_message("ffmpeg is not there, its frames are left out\n");
        return;
    }
    clip_fake_video(&video, 75, 25, 0, 25, 1, 1);
    for (size_t i = 0; i < 2 * VPI_COUNT(options); i++) {
        clip_real_ac3(&c, "-f lavfi -i sine=440:d=3:r=48000", options[i / 2], i & 1);
        both_forms(&c, &video);
        clip_dispose(&c);
    }
    clip_real_ac3(&c, "-f lavfi -i sine=440:d=1:r=48000", "-ac 2 -b:a 2500k", true);
    assert_true(c.samples[0].size > 4096); /* several sync frames of fewer blocks */
    both_forms(&c, &video);
    clip_dispose(&c);
    clip_dispose(&video);
    tmp_remove();
}

static void check_program(const vpi_ts_in *in, const vpi_protect *protect, const void *want, size_t size)
{
    size_t bytes;
    ts_stream s;
    uint8_t *data = segment(in, protect, &s, &bytes);

    assert_int_equal(s.program_size, 12 + size);
    assert_memory_equal(s.program + 12, want, size);
    ts_dispose(&s);
    free(data);
}

#define LANGUAGE "\12\4eng\0"
#define WANT(text) text, sizeof(text) - 1

static void test_program(void **state)
{
    vpi_protect protect = step_protect();
    uint8_t frame[SMALL];
    vpi_ts_in in = { .min_frame = 1 };
    uint8_t data[128];
    clip c;
    cut k;

    (void)state;
    fake(&c, VPI_CODEC_AC3);
    for (unsigned i = 0; i < 8; i++) {
        put_ac3(data, i);
        fake_add(&c, data, sizeof(data));
    }
    clip_cut(&c, 4, 8, &k); /* the setup is that of the track's first frame in any segment */
    in.audio = &k.in;
    check_program(&in, NULL, WANT("\x81\xE1\1\xF0\14" LANGUAGE "\5\4AC-3"));
    check_program(&in, &protect,
                  WANT("\xC1\xE1\1\xF0\44" LANGUAGE "\17\4ac3d"
                       "\5\26"
                       "apadzac3\0\0\1\12\x0B\x77\0\0\0\x40\x40\x23\x28\x2D"));
    clip_dispose(&c);
    fake(&c, VPI_CODEC_EAC3);
    c.setup.language[0] = 0;
    put_eac3(frame, sizeof(frame), 0, 3);
    for (unsigned i = 0; i < 8; i++) fake_add(&c, frame, sizeof(frame));
    clip_cut(&c, 0, 8, &k);
    check_program(&in, NULL, WANT("\x87\xE1\1\xF0\6\5\4EAC3"));
    check_program(&in, &protect,
                  WANT("\xC2\xE1\1\xF0\31\17\4ec3d"
                       "\5\21"
                       "apadzec3\0\0\1\5\x01\0\x20\x04\0"));
    clip_dispose(&c);
}

/* What the cipher gets at a time: a sync frame of AC-3, an access unit of E-AC-3. */
static void test_units(void **state)
{
    vpi_protect protect = step_protect();
    uint8_t two[256], unit[6 * SMALL];
    vpi_segment e = { 0 };
    uint8_t *data;
    size_t size;
    written w;
    clip c;
    cut k;

    (void)state;
    fake(&c, VPI_CODEC_AC3);
    put_ac3(two, 1);
    put_ac3(two + 128, 2);
    fake_add(&c, two, 128);
    fake_add(&c, two, 256);
    clip_cut(&c, 0, 2, &k);
    step_units = 0;
    written_begin(&w);
    assert_int_equal(vpi_packed_audio_segment(&k.in, &protect, w.object, &e, NULL), VP_OK);
    data = written_end(&w, &size);
    assert_int_equal(step_units, 3);
    assert_memory_equal(data + size - 128, two + 128, 16); /* each has its own clear bytes */
    free(data);
    clip_dispose(&c);
    fake(&c, VPI_CODEC_EAC3);
    for (unsigned i = 0; i < 6; i++) put_eac3(unit + i * SMALL, SMALL, i & 1, i & 1 ? 0 : 1);
    fake_add(&c, unit, sizeof(unit)); /* three frames of two blocks with their dependent ones */
    clip_cut(&c, 0, 1, &k);
    step_units = 0;
    written_begin(&w);
    assert_int_equal(vpi_packed_audio_segment(&k.in, &protect, w.object, &e, NULL), VP_OK);
    free(written_end(&w, &size));
    assert_int_equal(step_units, 1);
    segment_dispose(&e);
    clip_dispose(&c);
}

static void refused(const clip *c, const vpi_protect *protect, vp_status want)
{
    vpi_segment e = { 0 };
    vpi_ts_in in = { .min_frame = 1 };
    written w;
    size_t size;
    cut k;

    clip_cut(c, 0, c->count, &k);
    in.audio = &k.in;
    assert_int_equal(vpi_ts_segment_size(&in, protect, &e, NULL), want);
    written_begin(&w);
    assert_int_equal(vpi_packed_audio_segment(&k.in, protect, w.object, &e, NULL), want);
    free(written_end(&w, &size));
    segment_dispose(&e);
}

static void test_refused(void **state)
{
    vpi_protect protect = step_protect();
    static uint8_t large[15 * 4096];
    uint8_t data[128];
    clip c;

    (void)state;
    put_ac3(data, 1);
    fake(&c, VPI_CODEC_AC3);
    fake_add(&c, data, 128);
    c.setup.has_head = false;
    refused(&c, &protect, VP_E_INTERNAL);
    refused(&c, NULL, VP_OK);
    fake_add(&c, data, 127); /* cut off */
    refused(&c, NULL, VP_E_DATA);
    refused(&c, &protect, c.setup.has_head ? VP_E_DATA : VP_E_INTERNAL);
    clip_dispose(&c);
    fake(&c, VPI_CODEC_EAC3);
    fake_add(&c, (const uint8_t *)"no frame at all", 15);
    refused(&c, NULL, VP_E_DATA);
    clip_dispose(&c);
    fake(&c, VPI_CODEC_EAC3);
    for (size_t i = 0; i < 15; i++) put_eac3(large + i * 4096, 4096, i > 0, 3);
    fake_add(&c, large, sizeof(large)); /* more than a PES packet of sound can have */
    refused(&c, NULL, VP_E_UNSUPPORTED);
    clip_dispose(&c);
    fake(&c, VPI_CODEC_OPUS);
    fake_add(&c, data, 128);
    refused(&c, NULL, VP_E_UNSUPPORTED);
    clip_dispose(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real),
        cmocka_unit_test(test_program),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
