/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Transport streams and packed audio, read back by a strict reader: segments alone and joined. */

#include "ts_check.h"

#include "base/fault.h"

typedef struct title {
    clip video, audio;
    bool has_video, has_audio;
    bool protect;
    size_t clear; /* segments at the start */
    uint32_t reorder;
    uint64_t min_frame;
    vpi_buf bytes; /* all segments */
    size_t segments[64], count;
} title;

static void title_dispose(title *t)
{
    clip_dispose(&t->video);
    clip_dispose(&t->audio);
    vpi_buf_dispose(&t->bytes);
}

static uint64_t nearest_audio(const title *t, uint64_t ticks)
{
    if (ticks >= t->video.end) return t->audio.count;
    return (uint64_t)vpi_rescale((int64_t)(ticks - (uint64_t)t->video.samples[0].pts),
                                 t->audio.setup.timescale, (int64_t)t->video.setup.timescale * 1024,
                                 VPI_NEAREST);
}

static int64_t ts_ticks(int64_t ticks, uint32_t scale)
{
    return VPI_TS_BASE + vpi_rescale(ticks, 90000, scale, VPI_NEAREST);
}

/* NAL units, but for delimiters, and frames of audio. */
static size_t count_units(const vpi_ts_in *in)
{
    size_t count = in->audio ? in->audio->count : 0;

    for (size_t i = 0; in->video && i < in->video->count; i++) {
        const vpi_sample *s = &in->video->samples[i];
        size_t at = 0;
        bool bad = false;
        vpi_nal nal;

        if (s->sync) count += 2;
        while (vpi_avcc_next(s->data, s->size, 4, &at, &nal, &bad))
            count += vpi_h264_type(&nal) != VPI_H264_AUD;
    }
    return count;
}

/* Writes samples [first, end) and checks that simulation and entry agree with the bytes. */
static void add_segment(title *t, size_t first, size_t end)
{
    const clip *main = t->has_video ? &t->video : &t->audio;
    vp_error err = VP_ERROR_INIT;
    vpi_segment e = { 0 }, simulated = { 0 };
    vpi_protect step = step_protect();
    const vpi_protect *protect = t->protect ? &step : NULL;
    vpi_ts_in in = { .reorder = t->reorder, .min_frame = t->min_frame };
    cut video, audio;
    uint64_t total = 0;
    uint8_t *data;
    size_t size;
    written w;

    if (t->has_video) {
        clip_cut(&t->video, first, end, &video);
        in.video = &video.in;
        if (t->has_audio) {
            size_t from = (size_t)nearest_audio(t, video.in.start),
                   to = (size_t)nearest_audio(t, video.in.end);

            if (from >= t->audio.count) from = to = t->audio.count;
            if (from < to) {
                clip_cut(&t->audio, from, to, &audio);
            } else {
                memset(&audio, 0, sizeof(audio));
                audio.in.setup = &t->audio.setup;
            }
            in.audio = &audio.in;
        }
    } else {
        clip_cut(&t->audio, first, end, &audio);
        audio.in.first_fragment = t->count;
        in.audio = &audio.in;
    }
    step.clear = t->count < t->clear;
    step_units = 0;
    written_begin(&w);
    if (vpi_ts_segment(&in, protect, w.object, &e, &err) != VP_OK) fail_msg("%s", err.message);
    data = written_end(&w, &size);
    assert_int_equal(step_units, protect && !step.clear ? count_units(&in) : 0);
    assert_int_equal(vpi_ts_segment_size(&in, protect, &simulated, NULL), VP_OK);
    assert_int_equal(e.bytes, size);
    assert_int_equal(e.bytes, simulated.bytes);
    assert_int_equal(e.fragment_count, simulated.fragment_count);
    assert_memory_equal(e.fragments, simulated.fragments, e.fragment_count * sizeof(*e.fragments));
    assert_int_equal(e.fragments[0].offset, 0);
    assert_int_equal(e.fragment_count, main == &t->video ? video.in.fragment_count : 1);
    for (size_t f = 0; f < e.fragment_count; f++) {
        const vpi_fragment *g = &e.fragments[f];
        ts_stream alone;

        assert_int_equal(vpi_rd16(data + g->offset + 1), 0x4000);
        assert_int_equal(g->offset + g->bytes,
                         f + 1 < e.fragment_count ? e.fragments[f + 1].offset : e.bytes);
        total += g->ticks;
        if (!t->has_video) continue;
        ts_read(data + g->offset, (size_t)g->idr_bytes,
                ts_ticks((int64_t)video.in.start, t->video.setup.timescale), &alone);
        assert_int_equal(alone.video_count, 1);
        assert_int_equal(alone.audio_count, 0);
        assert_true(alone.video[0].random_access);
        assert_int_equal(ts_protected(&alone), protect && !step.clear);
        ts_dispose(&alone);
    }
    assert_int_equal(total, e.ticks);
    vpi_buf_add(&t->bytes, data, size);
    t->segments[t->count++] = size;
    free(data);
    segment_dispose(&e);
    segment_dispose(&simulated);
}

/* NAL units of a picture as they have to come out. */
static void check_picture(const vpi_sample *s, const ts_pes *pes, bool protected)
{
    static const uint8_t aud[] = { 0, 0, 0, 1, 9, 0xF0 };
    size_t at = 0, from = 0;
    vpi_nal nal, want;
    bool bad = false;

    assert_true(pes->size > 6);
    assert_memory_equal(pes->data, aud, sizeof(aud));
    assert_true(vpi_annexb_next(pes->data, pes->size, &at, &nal));
    if (s->sync) {
        assert_true(vpi_annexb_next(pes->data, pes->size, &at, &nal));
        assert_int_equal(vpi_h264_type(&nal), VPI_H264_SPS);
        assert_true(vpi_annexb_next(pes->data, pes->size, &at, &nal));
        assert_int_equal(vpi_h264_type(&nal), VPI_H264_PPS);
    }
    while (vpi_avcc_next(s->data, s->size, 4, &from, &want, &bad)) {
        if (vpi_h264_type(&want) == VPI_H264_AUD) continue;
        assert_true(vpi_annexb_next(pes->data, pes->size, &at, &nal));
        step_assert_nal(&nal, &want, protected);
    }
    assert_false(vpi_annexb_next(pes->data, pes->size, &at, &nal));
}

static void check_audio(const clip *audio, const ts_stream *s, bool protected)
{
    size_t n = 0;

    for (size_t i = 0; i < s->audio_count; i++) {
        const ts_pes *pes = &s->audio[i];
        size_t header, frame;
        vpi_asc asc;

        assert_int_equal(pes->pts, ts_ticks(audio->samples[n].pts, audio->setup.timescale));
        for (size_t at = 0; at < pes->size; at += frame, n++) {
            assert_int_equal(vpi_adts_parse(pes->data + at, pes->size - at, &asc, &header, &frame, NULL),
                             VP_OK);
            assert_int_equal(frame - header, audio->samples[n].size);
            step_assert_frame(pes->data + at + header, &audio->samples[n], protected);
        }
    }
    assert_int_equal(n, audio->count);
}

static void check_title(const title *t)
{
    const clip *main = t->has_video ? &t->video : &t->audio;
    ts_stream s;
    size_t at = 0;

    ts_read(t->bytes.data, t->bytes.size, ts_ticks(main->samples[0].pts, main->setup.timescale), &s);
    assert_true(s.longest_gap <= 9000);
    /* A second at most, but for audio beside reordered pictures that are a second apart themselves. */
    if (!t->has_video || t->video.setup.timescale > 1) assert_true(s.longest_lead < 90000);
    assert_int_equal(s.video_count, t->has_video ? t->video.count : 0);
    for (size_t i = 0; i < s.video_count; i++) {
        assert_int_equal(s.video[i].pts, ts_ticks(t->video.samples[i].pts, t->video.setup.timescale));
        assert_int_equal(s.video[i].random_access, t->video.samples[i].sync);
        if (i > 0) assert_true(s.video[i].dts > s.video[i - 1].dts);
        if (t->clear == 0) check_picture(&t->video.samples[i], &s.video[i], t->protect);
    }
    if (t->has_audio) {
        if (t->clear == 0) check_audio(&t->audio, &s, t->protect);
        assert_string_equal(s.language, "eng");
    }
    ts_dispose(&s);
    for (size_t i = 0; i < t->count; i++) { /* media counters begin anew and come out even in each */
        ts_read(t->bytes.data + at, t->segments[i], ts_ticks(main->samples[0].pts, main->setup.timescale),
                &s);
        assert_int_equal(ts_protected(&s), t->protect && i >= t->clear);
        ts_dispose(&s);
        at += t->segments[i];
    }
}

static bool protect_titles;
static size_t clear_segments;

static void make_title(title *t, size_t pictures, size_t gop, size_t segment, unsigned b, uint32_t scale,
                       uint64_t frame, bool audio, unsigned seed, uint64_t shift_seconds)
{
    memset(t, 0, sizeof(*t));
    t->has_video = true;
    t->protect = protect_titles;
    t->clear = clear_segments;
    clip_fake_video(&t->video, pictures, gop, b, scale, frame, seed);
    t->reorder = b ? 1 : 0;
    t->min_frame = frame;
    t->has_audio = audio;
    clip_shift(&t->video, shift_seconds * scale);
    if (audio) {
        uint64_t seconds = pictures * frame / scale + 1;

        clip_fake_audio(&t->audio, (size_t)(seconds * 48000 / 1024), 48000, seed);
        clip_shift(&t->audio, shift_seconds * 48000);
        while ((uint64_t)t->audio.samples[t->audio.count - 1].pts * scale >= t->video.end * 48000) {
            free((void *)(uintptr_t)t->audio.samples[--t->audio.count].data);
            t->audio.end -= 1024;
        }
    }
    for (size_t i = 0; i < pictures; i += segment) add_segment(t, i, VPI_MIN(i + segment, pictures));
}

static void test_titles(void **state)
{
    static const struct {
        uint32_t scale;
        uint64_t frame;
        size_t pictures, gop, segment;
    } rates[] = {
        { 24000, 1001, 160, 48, 144 }, { 90000, 3600, 300, 50, 150 },
        { 60, 1, 400, 120, 360 },      { 1, 1, 20, 2, 6 },
        { 90000, 9000, 70, 20, 20 },   { 90000, 1500, 130, 120, 120 },
    };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(rates); i++) {
        for (unsigned b = 0; b < 3; b++) {
            title t;

            make_title(&t, rates[i].pictures, rates[i].gop, rates[i].segment, b, rates[i].scale,
                       rates[i].frame, b != 1, (unsigned)i * 7 + b, 0);
            check_title(&t);
            title_dispose(&t);
        }
    }
}

static void test_protected(void **state)
{
    title plain, t;
    size_t size = 0;

    protect_titles = true;
    test_titles(state);
    clear_segments = 2; /* these are what they would be without */
    make_title(&t, 500, 50, 150, 2, 90000, 3600, true, 9, 0);
    check_title(&t);
    protect_titles = false;
    clear_segments = 0;
    make_title(&plain, 500, 50, 150, 2, 90000, 3600, true, 9, 0);
    for (size_t i = 0; i < 2; i++) size += plain.segments[i];
    assert_true(t.bytes.size > plain.bytes.size + 100000);
    assert_memory_equal(t.bytes.data, plain.bytes.data, size);
    title_dispose(&plain);
    title_dispose(&t);
}

/* 33 bits are over after 26.5 hours, less the base of 10 seconds. */
static void test_wrap(void **state)
{
    title t;

    (void)state;
    make_title(&t, 500, 50, 150, 2, 90000, 3600, true, 3, 95443 - 10 - 9);
    check_title(&t);
    title_dispose(&t);
    make_title(&t, 300, 50, 150, 2, 25, 1, true, 4, 36000); /* ten hours */
    check_title(&t);
    title_dispose(&t);
}

static void test_audio_only(void **state)
{
    static const uint32_t rates[] = { 48000, 44100, 8000 };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(rates); i++) {
        title t = { .has_audio = true, .protect = i == 1 };

        clip_fake_audio(&t.audio, 300, rates[i], (unsigned)i);
        for (size_t n = 0; n < 300; n += 130) add_segment(&t, n, VPI_MIN(n + 130, 300));
        check_title(&t);
        title_dispose(&t);
    }
}

/* The smallest pictures and a single audio frame still fill 16 packets. */
static void test_tiny(void **state)
{
    static const uint8_t nal[] = { 0, 0, 0, 2, 0x41, 0x9A };
    title t = { .has_video = true, .has_audio = true, .min_frame = 1 };

    (void)state;
    clip_fake_video(&t.video, 3, 3, 0, 25, 1, 1);
    for (size_t i = 1; i < 3; i++) {
        memcpy((void *)(uintptr_t)t.video.samples[i].data, nal, sizeof(nal));
        t.video.samples[i].size = sizeof(nal);
    }
    clip_fake_audio(&t.audio, 1, 8000, 1);
    t.audio.samples[0].size = 1;
    add_segment(&t, 0, 3);
    {
        ts_stream s = { 0 };
        size_t video = 0, audio = 0;

        for (size_t at = 0; at < t.bytes.size; at += 188) {
            const uint8_t *p = t.bytes.data + at;

            if (!(p[3] & 0x10)) continue;
            video += (vpi_rd16(p + 1) & 0x1FFF) == 0x100;
            audio += (vpi_rd16(p + 1) & 0x1FFF) == 0x101;
        }
        assert_int_equal(video % 16, 0);
        assert_int_equal(audio, 16);
        ts_dispose(&s);
    }
    title_dispose(&t);
}

static void test_refused(void **state)
{
    vpi_ts_in in = { .reorder = 1, .min_frame = 1 };
    vpi_protect protect = { .unit = step_unit, .user = &step_units };
    vpi_segment e = { 0 };
    clip c;
    cut k;

    (void)state;
    clip_fake_video(&c, 10, 5, 2, 25, 1, 1);
    clip_cut(&c, 0, 10, &k);
    in.video = &k.in;
    assert_int_equal(vpi_ts_segment_size(&in, NULL, &e, NULL), VP_OK);
    assert_int_equal(vpi_ts_segment_size(&in, &protect, &e, NULL), VP_E_UNSUPPORTED);
    protect = step_protect();
    assert_int_equal(vpi_ts_segment_size(&in, &protect, &e, NULL), VP_OK);
    protect.unit = NULL;
    assert_int_equal(vpi_ts_segment_size(&in, &protect, &e, NULL), VP_E_UNSUPPORTED);
    protect.unit = step_failing;
    assert_int_equal(vpi_ts_segment_size(&in, &protect, &e, NULL), VP_E_AUTH);
    in.reorder = 0; /* decode time after presentation time */
    assert_int_equal(vpi_ts_segment_size(&in, NULL, &e, NULL), VP_E_INTERNAL);
    in.reorder = 1;
    in.min_frame = 3; /* goes back behind the segment before */
    assert_int_equal(vpi_ts_segment_size(&in, NULL, &e, NULL), VP_E_INTERNAL);
    in.min_frame = 0;
    assert_int_equal(vpi_ts_segment_size(&in, NULL, &e, NULL), VP_E_INTERNAL);
    in.min_frame = 1;
    c.setup.codec = VPI_CODEC_HEVC;
    assert_int_equal(vpi_ts_segment_size(&in, NULL, &e, NULL), VP_E_UNSUPPORTED);
    c.setup.codec = VPI_CODEC_H264;
    ((uint8_t *)(uintptr_t)c.samples[3].data)[0] = 0x7F; /* length past the end */
    assert_int_equal(vpi_ts_segment_size(&in, NULL, &e, NULL), VP_E_DATA);
    segment_dispose(&e);
    clip_dispose(&c);
}

static void test_no_memory(void **state)
{
    bool done = false;
    cut video, audio;
    clip v, a;
    vpi_ts_in in = { .video = &video.in, .audio = &audio.in, .reorder = 1, .min_frame = 1 };

    (void)state;
    clip_fake_video(&v, 50, 25, 2, 25, 1, 1);
    clip_fake_audio(&a, 94, 48000, 1);
    clip_cut(&v, 0, 50, &video);
    clip_cut(&a, 0, 94, &audio);
    for (long n = 1; !done; n++) {
        vpi_protect protect = step_protect();
        vpi_segment e = { 0 };
        vp_status st;

        assert_true(n < 1000);
        vpi_alloc_fail_at = n;
        st = vpi_ts_segment_size(&in, &protect, &e, NULL);
        done = vpi_alloc_fail_at > 0;
        vpi_alloc_fail_at = 0;
        assert_int_equal(st, done ? VP_OK : VP_E_NOMEM);
        segment_dispose(&e);
    }
    clip_dispose(&v);
    clip_dispose(&a);
}

static void test_packed(void **state)
{
    vpi_segment e = { 0 };
    uint8_t *data;
    size_t size, n = 50, at;
    written w;
    clip c;
    cut k;

    (void)state;
    clip_fake_audio(&c, 200, 44100, 1);
    clip_shift(&c, UINT64_C(44100) * 95434); /* past the wrap */
    clip_cut(&c, 50, 150, &k);
    written_begin(&w);
    assert_int_equal(vpi_packed_audio_segment(&k.in, NULL, w.object, &e, NULL), VP_OK);
    data = written_end(&w, &size);
    assert_memory_equal(
        data, "ID3\4\0\0\0\0\0\77PRIV\0\0\0\65\0\0com.apple.streaming.transportStreamTimestamp", 65);
    assert_int_equal(data[64], 0);
    assert_int_equal(vpi_rd64(data + 65), ts_ticks(k.in.samples[0].pts, 44100) & 0x1FFFFFFFF);
    assert_true(vpi_rd64(data + 65) < 900000);
    for (at = 73; at < size; n++) {
        size_t header, frame;
        vpi_asc asc;

        assert_int_equal(vpi_adts_parse(data + at, size - at, &asc, &header, &frame, NULL), VP_OK);
        assert_memory_equal(data + at + header, c.samples[n].data, c.samples[n].size);
        at += frame;
    }
    assert_int_equal(n, 150);
    assert_int_equal(e.bytes, size);
    assert_int_equal(e.fragment_count, 1);
    assert_int_equal(e.fragments[0].bytes, size);
    assert_int_equal(e.ticks, 100 * 1024);
    free(data);
    segment_dispose(&e);
    clip_dispose(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_titles),     cmocka_unit_test(test_protected), cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_audio_only), cmocka_unit_test(test_tiny),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_memory),  cmocka_unit_test(test_packed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
