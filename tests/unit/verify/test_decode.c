/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* decode = 1 over a title that holds real pictures, cut out of a clip that ffmpeg makes. */
#include <unistd.h>

#include "title.h"

#include "media/demux.h"

static char folder[64] = "/tmp/vodpipe-verify-XXXXXX";

/* Asked of the demuxer itself: vp_feature() of a program that links rooms one by one knows only base. */
static bool have_media(void)
{
    vp_context *context = NULL;
    vp_source *source = NULL;
    vpi_demux *demux = NULL;
    vp_error err;
    vp_status st;

    vp_error_init(&err);
    assert_int_equal(vp_context_new(NULL, &context, &err), VP_OK);
    assert_int_equal(vp_source_memory(context, "nothing", 7, &source, &err), VP_OK);
    st = vpi_demux_open(context, source, NULL, NULL, &demux, &err);
    assert_int_not_equal(st, VP_OK);
    vp_source_unref(source);
    vp_context_unref(context);
    return strcmp(err.reason, "FEATURE_DISABLED") != 0;
}

static bool make_clip(char path[128], const char *options)
{
    char command[1024];

    snprintf(path, 128, "%s/clip.mp4", folder);
    snprintf(command, sizeof(command),
             "ffmpeg -v error -nostdin -y -threads 1 -f lavfi -i testsrc2=s=160x96:r=25:d=4 -f lavfi "
             "-i sine=440:d=4:r=48000 -map 0:v -map 1:a -c:v libx264 -preset ultrafast -g 25 -keyint_min 25 "
             "-sc_threshold 0 %s -c:a aac -ac 2 %s 2>/dev/null",
             options, path);
    return system(command) == 0;
}

typedef struct feed {
    title *t;
    vp_packager *pk;
    vpi_demux *demux;
    uint32_t number[2];
    const vpi_track *track[2];
} feed;

static void add_track(feed *f, int32_t stream)
{
    const vpi_track *track = vpi_demux_track(f->demux, stream);
    const uint8_t *config = NULL;
    vp_track_config c;
    size_t size = 0;

    vp_track_config_init(&c, sizeof(c));
    assert_int_equal(vpi_demux_config(f->demux, stream, &config, &size, &f->t->err), VP_OK);
    assert_int_equal(vpi_demux_as_mp4(f->demux, stream, &f->t->err), VP_OK);
    assert_int_equal(track->tb.num, 1);
    c.codec = track->kind == VPI_KIND_VIDEO ? VP_CODEC_H264 : VP_CODEC_AAC;
    c.config = config;
    c.config_size = (uint32_t)size;
    c.timescale = (uint32_t)track->tb.den;
    c.name = track->kind == VPI_KIND_VIDEO ? "96p" : "und-stereo";
    assert_int_equal(vp_packager_add_track(f->pk, &c, &f->number[stream], &f->t->err), VP_OK);
    f->track[stream] = track;
}

static void feed_samples(feed *f)
{
    vpi_packet p = { 0 };
    vp_sample s;

    while (vpi_demux_read(f->demux, &p, &f->t->err) == VP_OK) {
        vp_sample_init(&s, sizeof(s));
        s.flags = p.key ? VP_SAMPLE_SYNC : 0;
        s.pts = p.pts;
        s.duration = (uint64_t)p.duration;
        s.data = p.data;
        s.size = p.size;
        /* Priming comes before the title. */
        if (p.pts >= 0)
            assert_int_equal(vp_packager_write(f->pk, f->number[p.stream], &s, &f->t->err), VP_OK);
        vpi_packet_dispose(&p);
    }
}

static void real_title(title *t, const char *path, uint32_t formats)
{
    vp_package_options o = VP_PACKAGE_OPTIONS_INIT;
    vp_source *source = NULL;
    feed f = { .t = t };

    title_open(t);
    o.formats = formats;
    o.segment_ms = 2000;
    o.fragment_ms = 1000;
    o.prefix = VERSION_FOLDER;
    assert_int_equal(vp_source_file(t->context, path, &source, &t->err), VP_OK);
    assert_int_equal(vpi_demux_open(t->context, source, NULL, NULL, &f.demux, &t->err), VP_OK);
    assert_int_equal(vp_packager_new(t->context, &o, t->sink, NULL, &f.pk, &t->err), VP_OK);
    for (int32_t i = 0; i < 2; i++) add_track(&f, i);
    feed_samples(&f);
    if (vp_packager_finish(f.pk, &t->presentation, &t->err) != VP_OK) {
        print_error("packager: %s\n", t->err.message);
        fail();
    }
    vp_packager_unref(f.pk);
    vpi_demux_close(f.demux);
    vp_source_unref(source);
    title_publish(t);
}

static vp_status decode(title *t)
{
    vp_verify_options o = VP_VERIFY_OPTIONS_INIT;

    o.decode = 1;
    t->report = vp_report_unref(t->report);
    t->status = vp_verify(t->context, t->sink, &o, NULL, &t->report, &t->err);
    return t->status;
}

/* Pictures that are whole NAL units, but hold the bytes of another place. */
static void garble(title *t, const char *key)
{
    size_t size, at;
    uint8_t *data = object_get(t, key, &size);

    at = find_bytes(data, size, "mdat", 4) + 200;
    for (size_t i = at; i < at + 600; i++) data[i] = (uint8_t)(data[i] ^ 0x5A) | 0x10;
    object_put(t, key, data, size);
    free(data);
}

static void check_format(const char *path, uint32_t formats)
{
    const char *directory = getenv("VODPIPE_TITLE_DUMP");
    char name[1024];
    title t;

    real_title(&t, path, formats);
    title_verify(&t);
    expect_good(&t);
    decode(&t);
    expect_good(&t);
    if (directory) {
        snprintf(name, sizeof(name), "%s/real-%u", directory, formats);
        title_dump(&t, name);
    }
    if (formats & VP_FORMAT_CMAF) {
        garble(&t, under("video/96p/00002.m4s"));
        decode(&t);
        expect_rule(&t, "P04");
    }
    title_close(&t);
}

static void test_decode(void **state)
{
    (void)state;
    char path[128];

    if (!have_media() || !make_clip(path, "-bf 0")) skip();
    check_format(path, VP_FORMAT_CMAF);
    check_format(path, VP_FORMAT_TS);
    assert_true(make_clip(path, "-bf 2 -flags +cgop"));
    check_format(path, VP_FORMAT_CMAF);
    unlink(path);
}

/* Made up pictures parse, but do not decode; without media the answer is UNSUPPORTED. */
static void test_fake(void **state)
{
    (void)state;
    title t;

    title_make(&t, &(title_options){ .formats = VP_FORMAT_CMAF });
    if (have_media()) {
        decode(&t);
        expect_rule(&t, "P04");
    } else {
        assert_int_equal(decode(&t), VP_E_UNSUPPORTED);
        assert_string_equal(t.err.reason, "FEATURE_DISABLED");
        assert_null(t.report);
    }
    title_close(&t);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_decode), cmocka_unit_test(test_fake) };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
