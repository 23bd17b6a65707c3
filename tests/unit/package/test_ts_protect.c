/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What tables and tags say of segments under SAMPLE-AES, byte for byte. */

#include "ts_check.h"

/* The bytes of the PMT of one segment behind its head; zeros: so many end it. */
static void check_program(const vpi_ts_in *in, const void *want, size_t size, size_t zeros)
{
    vpi_protect protect = step_protect();
    vpi_segment e = { 0 };
    uint8_t *data;
    size_t bytes;
    ts_stream s;
    written w;

    written_begin(&w);
    assert_int_equal(vpi_ts_segment(in, &protect, w.object, &e, NULL), VP_OK);
    data = written_end(&w, &bytes);
    ts_read(data, bytes, VPI_TS_BASE, &s);
    assert_int_equal(s.program_size, 12 + size + zeros);
    assert_int_equal(s.program[5], 0xC3);
    assert_memory_equal(s.program + 12, want, size);
    ts_dispose(&s);
    free(data);
    segment_dispose(&e);
}

#define ENTRY_VIDEO "\xDB\xE1\0\xF0\6\17\4zavc"
#define LANGUAGE "\12\4eng\0"
#define ENTRY_AUDIO(language_size) "\xCF\xE1\1\xF0" language_size
#define SETUP(size, type, config_size) "\17\4aacd\5" size "apad" type "\0\0\1" config_size
#define WANT(text) text, sizeof(text) - 1

static void test_program(void **state)
{
    static const uint8_t sbr[] = { 0x2B, 0x92, 0x08, 0 }, ps[] = { 0xEB, 0x92, 0x08, 0 },
                         main_profile[] = { 0x09, 0x90 }, sync[] = { 0x13, 0x10, 0x56, 0xE5, 0x98 };
    uint8_t longest[200] = { 0x11, 0x90 };
    vpi_ts_in in = { .min_frame = 1 };
    vpi_protect protect = step_protect();
    vpi_segment e = { 0 };
    cut video, audio;
    clip v, a;

    (void)state;
    clip_fake_video(&v, 10, 5, 0, 25, 1, 1);
    clip_fake_audio(&a, 10, 48000, 1);
    clip_cut(&v, 0, 10, &video);
    clip_cut(&a, 0, 10, &audio);
    in.video = &video.in;
    check_program(&in, WANT(ENTRY_VIDEO), 0);
    in.audio = &audio.in;
    assert_int_equal(a.setup.config_size, 2);
    check_program(&in, WANT(ENTRY_VIDEO ENTRY_AUDIO("\34") LANGUAGE SETUP("\16", "zaac", "\2") "\x11\x90"),
                  0);
    in.video = NULL;
    a.setup.language[0] = 0;
    check_program(&in, WANT(ENTRY_AUDIO("\26") SETUP("\16", "zaac", "\2") "\x11\x90"), 0);
    a.setup.config = sbr;
    a.setup.config_size = sizeof(sbr);
    check_program(&in, WANT(ENTRY_AUDIO("\30") SETUP("\20", "zach", "\4") "\x2B\x92\x08\0"), 0);
    a.setup.config = ps;
    check_program(&in, WANT(ENTRY_AUDIO("\30") SETUP("\20", "zacp", "\4") "\xEB\x92\x08\0"), 0);
    a.setup.config = sync;
    a.setup.config_size = sizeof(sync);
    check_program(&in, WANT(ENTRY_AUDIO("\31") SETUP("\21", "zach", "\5") "\x13\x10\x56\xE5\x98"), 0);
    a.setup.config = main_profile;
    a.setup.config_size = sizeof(main_profile);
    assert_int_equal(vpi_ts_segment_size(&in, &protect, &e, NULL), VP_E_UNSUPPORTED);
    a.setup.config = longest;
    a.setup.config_size = 125;
    in.video = &video.in;
    memcpy(a.setup.language, "eng", 4);
    check_program(
        &in, WANT(ENTRY_VIDEO ENTRY_AUDIO("\227") LANGUAGE SETUP("\211", "zaac", "\175") "\x11\x90"), 123);
    a.setup.config_size++;
    assert_int_equal(vpi_ts_segment_size(&in, &protect, &e, NULL), VP_E_UNSUPPORTED);
    protect.unit = step_failing; /* a frame that gets longer */
    a.setup.config_size = 2;
    in.video = NULL;
    assert_int_equal(vpi_ts_segment_size(&in, &protect, &e, NULL), VP_E_INTERNAL);
    segment_dispose(&e);
    clip_dispose(&v);
    clip_dispose(&a);
}

static void test_packed_protected(void **state)
{
    static const char tag[] =
        "ID3\4\0\0\0\0\0\170PRIV\0\0\0\65\0\0com.apple.streaming.transportStreamTimestamp";
    static const char setup[] = "PRIV\0\0\0\57\0\0com.apple.streaming.audioDescription\0zaac\0\0\1\2\x11\x90";
    vpi_protect protect = step_protect();
    vpi_segment e = { 0 };
    size_t size, n = 0;
    uint8_t *data;
    written w;
    clip c;
    cut k;

    (void)state;
    clip_fake_audio(&c, 100, 48000, 1);
    clip_cut(&c, 0, 100, &k);
    step_units = 0;
    written_begin(&w);
    assert_int_equal(vpi_packed_audio_segment(&k.in, &protect, w.object, &e, NULL), VP_OK);
    data = written_end(&w, &size);
    assert_int_equal(step_units, 100);
    assert_int_equal(e.bytes, size);
    assert_memory_equal(data, tag, sizeof(tag));
    assert_int_equal(vpi_rd64(data + 65), VPI_TS_BASE);
    assert_memory_equal(data + 73, setup, sizeof(setup) - 1);
    for (size_t at = 73 + sizeof(setup) - 1; at < size; n++) {
        size_t header, frame;
        vpi_asc asc;

        assert_int_equal(vpi_adts_parse(data + at, size - at, &asc, &header, &frame, NULL), VP_OK);
        assert_int_equal(frame - header, c.samples[n].size);
        step_assert_frame(data + at + header, &c.samples[n], true);
        at += frame;
    }
    assert_int_equal(n, 100);
    free(data);
    segment_dispose(&e);
    memset(&e, 0, sizeof(e));
    protect.clear = true;
    written_begin(&w);
    assert_int_equal(vpi_packed_audio_segment(&k.in, &protect, w.object, &e, NULL), VP_OK);
    free(written_end(&w, &size));
    assert_int_equal(size, e.bytes);
    assert_int_equal(step_units, 100);
    segment_dispose(&e);
    clip_dispose(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_program),
        cmocka_unit_test(test_packed_protected),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
