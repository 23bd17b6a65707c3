/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interlaced pictures: found by looking at them, deinterlaced to frames or fields. */
#include "av_tools.h"

#include "base/fault.h"
#include "media/fields_int.h"

#define W 96u
#define H 64u
#define SHOWN_MAX 400

/* ---- looking at planes ---- */

/* A bar with a soft pattern, at a place that goes with time. */
static uint8_t scene(uint32_t x, uint32_t y, int time)
{
    uint32_t at = (x + 200u - 3u * (uint32_t)time % 100u) % 96u;

    return (uint8_t)(at < 24 ? 200 - y : 60 + (x * 2 + y) % 40);
}

/* One picture whose fields are of two times. */
static void add(vpi_fields *f, int top, int bottom, vpi_scan_order flag)
{
    uint8_t *p = vpi_fields_plane(f);

    for (uint32_t y = 0; y < H; y++)
        for (uint32_t x = 0; x < W; x++) *p++ = scene(x, y, y % 2 ? bottom : top);
    vpi_fields_add(f, flag);
}

static vpi_fields *made(void)
{
    vpi_fields *f = vpi_fields_new(W, H);

    assert_non_null(f);
    return f;
}

static void test_orders(void **state)
{
    static const struct {
        int top, bottom, step; /* times of the fields, and from picture to picture */
        vpi_scan_order flag, want;
    } rows[] = {
        { 0, 1, 2, VPI_SCAN_PROGRESSIVE, VPI_SCAN_TOP_FIRST },
        { 1, 0, 2, VPI_SCAN_PROGRESSIVE, VPI_SCAN_BOTTOM_FIRST },
        { 0, 1, 2, VPI_SCAN_BOTTOM_FIRST, VPI_SCAN_TOP_FIRST }, /* wrongly flagged */
        { 0, 0, 2, VPI_SCAN_PROGRESSIVE, VPI_SCAN_PROGRESSIVE },
        { 0, 0, 2, VPI_SCAN_TOP_FIRST, VPI_SCAN_PROGRESSIVE }, /* PsF */
        { 0, 0, 0, VPI_SCAN_TOP_FIRST, VPI_SCAN_TOP_FIRST },   /* nothing moves: as it says */
        { 0, 0, 0, VPI_SCAN_PROGRESSIVE, VPI_SCAN_PROGRESSIVE },
    };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        vpi_fields *f = made();

        for (int n = 0; n < 20; n++)
            add(f, rows[i].top + n * rows[i].step, rows[i].bottom + n * rows[i].step, rows[i].flag);
        vpi_fields_cut(f);
        if (vpi_fields_decide(vpi_fields_result_of(f), VPI_SCAN_PROGRESSIVE) != rows[i].want)
            fail_msg("row %zu: %d", i, vpi_fields_decide(vpi_fields_result_of(f), VPI_SCAN_PROGRESSIVE));
        assert_false(vpi_fields_telecine(vpi_fields_result_of(f)));
        vpi_fields_free(f);
    }
}

/* A film, whole pictures, over a ticker of fields: by its flag it is interlaced, without one it is left. */
static void ticker(vpi_scan_order flag, vpi_scan_order want)
{
    vpi_fields *f = made();

    for (int n = 0; n < 20; n++) {
        uint8_t *p = vpi_fields_plane(f);

        for (uint32_t y = 0; y < H; y++)
            for (uint32_t x = 0; x < W; x++) *p++ = scene(x, y, 2 * n + (y > H - 16u && y % 2));
        vpi_fields_add(f, flag);
    }
    vpi_fields_cut(f);
    assert_int_equal(vpi_fields_decide(vpi_fields_result_of(f), VPI_SCAN_PROGRESSIVE), want);
    vpi_fields_free(f);
}

static void test_parts(void **state)
{
    (void)state;
    ticker(VPI_SCAN_TOP_FIRST, VPI_SCAN_TOP_FIRST);
    ticker(VPI_SCAN_BOTTOM_FIRST, VPI_SCAN_TOP_FIRST);
    ticker(VPI_SCAN_PROGRESSIVE, VPI_SCAN_PROGRESSIVE);
}

/* 60 pictures of which the last so many say they are of fields, and are, or not: is the rest left alone? */
static void some(int flagged, bool are, vpi_scan_order want, bool parts)
{
    vpi_fields *f = made();
    const vpi_fields_result *r;

    for (int n = 0; n < 60; n++) {
        bool say = n >= 60 - flagged;

        add(f, 2 * n, 2 * n + (say && are), say ? VPI_SCAN_TOP_FIRST : VPI_SCAN_PROGRESSIVE);
    }
    vpi_fields_cut(f);
    r = vpi_fields_result_of(f);
    assert_int_equal(vpi_fields_decide(r, VPI_SCAN_PROGRESSIVE), want);
    assert_int_equal(vpi_fields_parts(r, vpi_fields_decide(r, VPI_SCAN_PROGRESSIVE)), parts);
    vpi_fields_free(f);
}

static void test_some(void **state)
{
    (void)state;
    some(0, false, VPI_SCAN_PROGRESSIVE, false);
    some(8, true, VPI_SCAN_PROGRESSIVE, true);
    some(8, false, VPI_SCAN_PROGRESSIVE, false);
    some(40, true, VPI_SCAN_TOP_FIRST, false);
    some(60, false, VPI_SCAN_PROGRESSIVE, false);
}

/* Noise, flashes and a still picture are not taken for fields. */
static void test_noise(void **state)
{
    vpi_fields *f = made();
    uint32_t noise = 1;

    (void)state;
    for (int n = 0; n < 30; n++) {
        uint8_t *p = vpi_fields_plane(f);

        for (uint32_t i = 0; i < W * H; i++) {
            noise = noise * 1664525u + 1013904223u;
            p[i] = (uint8_t)(n % 7 == 3 ? 235 : 40 + (noise >> 25));
        }
        vpi_fields_add(f, VPI_SCAN_PROGRESSIVE);
    }
    vpi_fields_cut(f);
    assert_int_equal(vpi_fields_decide(vpi_fields_result_of(f), VPI_SCAN_PROGRESSIVE), VPI_SCAN_PROGRESSIVE);
    vpi_fields_free(f);
}

/* Film a b c d as aa bb bc cd dd; each picture of the film is two times of the scene after the last. */
static void test_telecine(void **state)
{
    static const int top[] = { 0, 1, 1, 2, 3 }, bottom[] = { 0, 1, 2, 3, 3 };
    vpi_fields *f = made();

    (void)state;
    for (int n = 0; n < 30; n++)
        add(f, 2 * (n / 5 * 4 + top[n % 5]), 2 * (n / 5 * 4 + bottom[n % 5]), VPI_SCAN_TOP_FIRST);
    vpi_fields_cut(f);
    assert_true(vpi_fields_telecine(vpi_fields_result_of(f)));
    assert_int_equal(vpi_fields_decide(vpi_fields_result_of(f), VPI_SCAN_TOP_FIRST), VPI_SCAN_TOP_FIRST);
    vpi_fields_free(f);
}

/* ---- the scan's decision ---- */

#define FIFTY "-f lavfi -i testsrc2=s=160x96:r=50:d=3 "
#define LARGE "-f lavfi -i testsrc2=s=720x288:r=50:d=3 "
#define INTERLACED "-flags +ildct+ilme -c:v libx264 -preset ultrafast "

static void scanned(const char *path, vpi_scan_order order, bool telecine, int64_t num, int64_t den)
{
    vp_source *source = source_of(path);
    vp_media *media = NULL;
    const vpi_track *t;

    assert_ok(vpi_scan(context, source, NULL, NULL, NULL, NULL, &media, &err));
    t = vpi_media_nth(&media->m, VPI_KIND_VIDEO, 0);
    if (t->order != order || t->telecine != telecine) fail_msg("%s: %d %d", path, t->order, t->telecine);
    assert_int_equal(t->interlaced, order != VPI_SCAN_PROGRESSIVE);
    assert_int_equal(t->frame_rate.num, num);
    assert_int_equal(t->frame_rate.den, den);
    vp_media_unref(media);
    vp_source_unref(source);
}

static void test_scan(void **state)
{
    (void)state;
    scanned(clip("tff.ts", FIFTY "-vf tinterlace=interleave_top,setfield=tff " INTERLACED),
            VPI_SCAN_TOP_FIRST, false, 25, 1);
    scanned(clip("bff.mkv", FIFTY "-vf tinterlace=interleave_bottom,setfield=bff " INTERLACED),
            VPI_SCAN_BOTTOM_FIRST, false, 25, 1);
    scanned(clip("plain.mp4", LARGE "-vf tinterlace=interleave_bottom,setfield=prog -c:v libx264"),
            VPI_SCAN_BOTTOM_FIRST, false, 25, 1);
    scanned(clip("wrong.ts", LARGE "-vf tinterlace=interleave_top,setfield=bff " INTERLACED),
            VPI_SCAN_TOP_FIRST, false, 25, 1);
    scanned(clip("psf.ts", "-f lavfi -i testsrc2=s=720x288:r=25:d=3 -vf setfield=tff " INTERLACED),
            VPI_SCAN_PROGRESSIVE, false, 25, 1);
    scanned(clip("m2.mpg", FIFTY "-vf tinterlace=interleave_top,setfield=tff -c:v mpeg2video -q:v 3 "
                                 "-flags +ildct+ilme -f mpeg"),
            VPI_SCAN_TOP_FIRST, false, 25, 1);
    scanned(clip("deep.mov", FIFTY "-vf tinterlace=interleave_top,setfield=tff -c:v prores_ks -profile:v 1 "
                                   "-flags +ildct+ilme"),
            VPI_SCAN_TOP_FIRST, false, 25, 1);
    scanned(clip("raw.h264", FIFTY "-vf tinterlace=interleave_top,setfield=tff " INTERLACED),
            VPI_SCAN_TOP_FIRST, false, 25, 1);
    scanned(clip("still.ts", "-f lavfi -i color=red:s=160x96:r=25:d=3 -vf setfield=tff " INTERLACED),
            VPI_SCAN_TOP_FIRST, false, 25, 1);
    scanned(clip("film.mp4",
                 "-f lavfi -i testsrc2=s=160x96:r=24000/1001:d=5 -vf telecine=pattern=23 " INTERLACED),
            VPI_SCAN_TOP_FIRST, true, 30000, 1001);
}

/* ---- the same fields from any start ---- */

typedef struct shown {
    int64_t pts, duration;
    uint32_t field, crc;
} shown;

typedef struct reading {
    shown p[SHOWN_MAX];
    size_t n;
} reading;

static void read_frames(const char *path, const vpi_video_reader_options *o, size_t max, reading *out)
{
    vp_source *source = source_of(path);
    vpi_video_reader *reader = NULL;
    vpi_frame *frame = NULL;
    vp_status st = VP_OK;

    out->n = 0;
    assert_ok(vpi_video_reader_open(context, source, o, NULL, &reader, &err));
    while (out->n < max && (st = vpi_video_reader_next(reader, &frame, &err)) == VP_OK) {
        assert_true(out->n < SHOWN_MAX);
        assert_int_equal(vpi_frame_width(frame), o->width);
        out->p[out->n++] = (shown){ vpi_frame_pts(frame), vpi_frame_duration(frame), vpi_frame_field(frame),
                                    frame_crc(frame) };
        vpi_frame_unref(frame);
    }
    if (st < 0) fail_msg("%s: %s %s", path, err.reason, err.message);
    vpi_video_reader_close(reader);
    vp_source_unref(source);
}

static void same_from(const char *path, vpi_deinterlace mode, size_t least)
{
    vpi_track track = track_of(path, VPI_KIND_VIDEO);
    vpi_video_reader_options o = reader_options(&track);
    size_t each = mode == VPI_DEINTERLACE_FIELDS ? 2 : 1;
    static reading all, part;

    o.deinterlace = mode;
    read_frames(path, &o, SHOWN_MAX, &all);
    assert_true(all.n >= least * each);
    for (size_t i = 0; i < all.n; i++) {
        assert_int_equal(all.p[i].field, i % each);
        if (i >= each) assert_true(all.p[i].pts > all.p[i - each].pts);
        if (i + each < all.n) assert_int_equal(all.p[i].duration, all.p[i + each].pts - all.p[i].pts);
    }
    for (size_t i = 0; i < all.n; i += each * 5) {
        o.from = all.p[i].pts;
        read_frames(path, &o, 7, &part);
        assert_int_equal(part.n, VPI_MIN((size_t)7, all.n - i));
        for (size_t k = 0; k < part.n; k++) {
            if (memcmp(&part.p[k], &all.p[i + k], sizeof(part.p[k])) != 0)
                fail_msg("%s from picture %zu: number %zu is another (pts %lld, %lld)", path, i, k,
                         (long long)part.p[k].pts, (long long)all.p[i + k].pts);
        }
    }
}

static void test_from(void **state)
{
    (void)state;
    same_from(clip("closed.mp4", FIFTY "-vf tinterlace=interleave_top,setfield=tff -flags +ildct+ilme "
                                       "-c:v libx264 -bf 3 -g 20"),
              VPI_DEINTERLACE_FIELDS, 75);
    same_from(clip("closed.mp4", ""), VPI_DEINTERLACE_FRAMES, 75);
    same_from(clip("open.ts", FIFTY "-vf tinterlace=interleave_top,setfield=tff -flags +ildct+ilme "
                                    "-c:v libx264 -bf 3 -g 12 -x264-params open-gop=1"),
              VPI_DEINTERLACE_FIELDS, 75);
    same_from(clip("m2.ts",
                   FIFTY "-vf tinterlace=interleave_top,setfield=tff -c:v mpeg2video -bf 2 -g 15 -q:v 4 "
                         "-flags +ildct+ilme"),
              VPI_DEINTERLACE_FIELDS, 74);
    same_from(clip("gaps.mkv",
                   FIFTY "-vf \"tinterlace=interleave_top,setfield=tff,select='mod(n,7)'\" -fps_mode vfr "
                         "-c:v libx264 -bf 2 -g 20 -flags +ildct+ilme"),
              VPI_DEINTERLACE_FIELDS, 60);
}

/* Fields come out as the pictures that they were made of. */
static void test_like_source(void **state)
{
    const char *path = clip("wave.mkv", "-f lavfi -i \"color=black:s=160x96:r=50:d=1,format=yuv420p,"
                                        "geq=lum='16+4*N':cb=128:cr=128\" "
                                        "-vf tinterlace=interleave_top,setfield=tff -c:v ffv1");
    vpi_track track = track_of(path, VPI_KIND_VIDEO);
    vpi_video_reader_options o = reader_options(&track);
    vp_source *source = source_of(path);
    vpi_video_reader *reader = NULL;
    vpi_frame *f = NULL;
    int n = 0;

    (void)state;
    o.deinterlace = VPI_DEINTERLACE_FIELDS;
    assert_ok(vpi_video_reader_open(context, source, &o, NULL, &reader, &err));
    while (vpi_video_reader_next(reader, &f, &err) == VP_OK) {
        /* The first and last field have no neighbour on one side. */
        if (n > 1 && n < 48)
            assert_in_range(f->av->data[0][48 * f->av->linesize[0] + 80], 16 + 4 * n - 1, 16 + 4 * n + 1);
        n++;
        vpi_frame_unref(f);
    }
    assert_int_equal(n, 50);
    vpi_video_reader_close(reader);
    vp_source_unref(source);
}

/* Another size and format in mid-stream: the old graph gives out what it holds, the new one goes on. */
static void test_change(void **state)
{
    const char *path;
    vpi_track track;
    vpi_video_reader_options o;
    static reading r;

    (void)state;
    clip("a.ts", "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -c:v libx264 -g 25");
    clip("b.ts", "-f lavfi -i testsrc2=s=96x128:r=25:d=1 -c:v libx264 -g 25 -pix_fmt yuv422p10le "
                 "-output_ts_offset 1.2");
    path = clip("change.ts", "-f lavfi -i color -frames:v 1 x.png; cat a.ts b.ts >");
    track = track_of(path, VPI_KIND_VIDEO);
    o = reader_options(&track);
    o.deinterlace = VPI_DEINTERLACE_FIELDS;
    read_frames(path, &o, SHOWN_MAX, &r);
    assert_in_range(r.n, 96, 100);
    for (size_t i = 0; i < r.n; i++) assert_int_equal(r.p[i].field, i % 2);
    same_from(path, VPI_DEINTERLACE_FIELDS, 48);
}

/* Each allocation fails once: NOMEM comes out, nothing leaks. */
static void test_no_memory(void **state)
{
    const char *path = clip("tff.ts", FIFTY "-vf tinterlace=interleave_top,setfield=tff " INTERLACED);
    vpi_track track = track_of(path, VPI_KIND_VIDEO);
    vpi_video_reader_options o = reader_options(&track);
    vp_source *source = source_of(path);
    long n, left = 0;
    vp_status st = VP_OK;

    (void)state;
    o.deinterlace = VPI_DEINTERLACE_FIELDS;
    o.from = track.start + track.tb.den / track.tb.num;
    for (n = 1; left == 0; n++) {
        vpi_video_reader *reader = NULL;
        vp_media *media = NULL;

        vpi_alloc_fail_at = n;
        vp_error_init(&err);
        st = vpi_video_reader_open(context, source, &o, NULL, &reader, &err);
        for (int i = 0; st == VP_OK && i < 3; i++) {
            vpi_frame *f = NULL;

            st = vpi_video_reader_next(reader, &f, &err);
            vpi_frame_unref(f);
        }
        if (st == VP_OK && n % 3 == 0) st = vpi_scan(context, source, NULL, NULL, NULL, NULL, &media, &err);
        left = vpi_alloc_fail_at;
        vpi_alloc_fail_at = 0;
        if (st != VP_OK && st != VP_E_NOMEM) fail_msg("%ld: %d %s %s", n, st, err.reason, err.message);
        vp_media_unref(media);
        vpi_video_reader_close(reader);
        assert_true(n < 1000);
    }
    assert_int_equal(st, VP_OK);
    vp_source_unref(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders),    cmocka_unit_test(test_parts),       cmocka_unit_test(test_some),
        cmocka_unit_test(test_noise),     cmocka_unit_test(test_telecine),    cmocka_unit_test(test_scan),
        cmocka_unit_test(test_from),      cmocka_unit_test(test_like_source), cmocka_unit_test(test_change),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests_name("media/fields", tests, clips_setup, clips_teardown);
}
