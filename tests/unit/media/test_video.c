/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "av_tools.h"

#include "base/fault.h"

#define MOVING "-f lavfi -i testsrc2=s=128x72:r=25:d=5 "
#define FRAMES_MAX 400

typedef struct picture {
    int64_t pts;
    uint32_t crc;
} picture;

typedef struct reading {
    picture p[FRAMES_MAX];
    size_t n;
    uint64_t concealed, refused;
} reading;

static vpi_video_reader *open_reader(const char *path, const vpi_video_reader_options *o)
{
    vp_source *source = source_of(path);
    vpi_video_reader *reader = NULL;

    assert_ok(vpi_video_reader_open(context, source, o, NULL, &reader, &err));
    vp_source_unref(source);
    return reader;
}

/* Up to max frames. */
static void read_frames(const char *path, const vpi_video_reader_options *o, size_t max, reading *out)
{
    vpi_video_reader *reader = open_reader(path, o);
    vpi_frame *frame = NULL;
    vp_status st = VP_OK;

    out->n = 0;
    while (out->n < max && (st = vpi_video_reader_next(reader, &frame, &err)) == VP_OK) {
        assert_true(out->n < FRAMES_MAX);
        assert_int_equal(vpi_frame_width(frame), o->width);
        assert_int_equal(vpi_frame_height(frame), o->height);
        out->p[out->n++] = (picture){ vpi_frame_pts(frame), frame_crc(frame) };
        vpi_frame_unref(frame);
    }
    if (st < 0) fail_msg("%s: %s %s", path, err.reason, err.message);
    if (out->n < max) {
        assert_int_equal(st, VP_END);
        assert_int_equal(vpi_video_reader_next(reader, &frame, &err), VP_END);
        assert_null(frame);
    }
    vpi_video_reader_damage(reader, &out->concealed, &out->refused);
    vpi_video_reader_close(reader);
}

/* ---- the same pictures from any start ---- */

static void same_from(const char *path, size_t least)
{
    vpi_track track = track_of(path, VPI_KIND_VIDEO);
    vpi_video_reader_options o = reader_options(&track);
    static reading all, part;
    size_t i, k, step;

    read_frames(path, &o, FRAMES_MAX, &all);
    assert_true(all.n >= least);
    for (i = 1; i < all.n; i++) assert_true(all.p[i].pts > all.p[i - 1].pts);
    step = VPI_MAX(all.n / 23, (size_t)1);
    for (i = 0; i < all.n; i += step) {
        /* At the time of a frame and just before the next one. */
        for (int late = 0; late < 2; late++) {
            o.from = late && i + 1 < all.n ? all.p[i + 1].pts - 1 : all.p[i].pts;
            read_frames(path, &o, 8, &part);
            if (part.n != VPI_MIN((size_t)8, all.n - i)) {
                fail_msg("%s from %lld: %zu pictures, %zu", path, (long long)o.from, part.n, all.n - i);
            }
            for (k = 0; k < part.n; k++) {
                if (part.p[k].pts != all.p[i + k].pts || part.p[k].crc != all.p[i + k].crc) {
                    fail_msg("%s from %lld: picture %zu at %lld is another than at %lld", path,
                             (long long)o.from, k, (long long)part.p[k].pts, (long long)all.p[i + k].pts);
                }
            }
        }
    }
    /* Before the first and after the last. */
    o.from = all.p[0].pts - 1000;
    read_frames(path, &o, 2, &part);
    assert_int_equal(part.p[0].pts, all.p[0].pts);
    assert_int_equal(part.p[0].crc, all.p[0].crc);
    o.from = all.p[all.n - 1].pts + 1000000;
    read_frames(path, &o, 2, &part);
    assert_int_equal(part.n, 1);
    assert_int_equal(part.p[0].crc, all.p[all.n - 1].crc);
}

static void test_from_h264(void **state)
{
    (void)state;
    same_from(clip("closed.mp4", MOVING "-c:v libx264 -bf 3 -g 30"), 125);
    same_from(clip("open.mp4", MOVING "-c:v libx264 -bf 3 -g 20 -x264-params open-gop=1:ref=4"), 125);
    same_from(clip("open.ts", MOVING "-c:v libx264 -bf 3 -g 20 -x264-params open-gop=1:ref=4"), 125);
    same_from(clip("refresh.mkv", MOVING "-c:v libx264 -g 20 -x264-params intra-refresh=1:bframes=0"), 120);
}

static void test_from_others(void **state)
{
    (void)state;
    same_from(clip("m2.ts", MOVING "-c:v mpeg2video -bf 2 -g 15 -q:v 4"), 124);
    same_from(clip("m2.mpg", MOVING "-c:v mpeg2video -bf 2 -g 15 -q:v 4 -f mpeg"), 124);
    same_from(clip("hevc.mkv", MOVING "-c:v libx265 -preset ultrafast -x265-params "
                                      "keyint=25:open-gop=1:bframes=3:log-level=none:pools=none"),
              125);
    same_from(clip("vp9.webm", MOVING "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 40 -b:v 300k"), 125);
    same_from(clip("m4.avi", MOVING "-c:v mpeg4 -bf 2 -g 25 -q:v 5"), 120);
}

static void test_from_real(void **state)
{
    const char *shared = getenv("VODPIPE_SHARED");
    char path[512];
    vpi_track track;
    vpi_video_reader_options o;
    static reading all, part;
    size_t i, at;

    (void)state;
    if (!shared) skip();
    snprintf(path, sizeof(path), "%s/media/car.mp4", shared);
    if (access(path, R_OK) != 0) skip();
    track = track_of(path, VPI_KIND_VIDEO);
    o = reader_options(&track);
    read_frames(path, &o, 300, &all);
    assert_int_equal(all.n, 300);
    for (at = 37; at < 290; at += 119) {
        o.from = all.p[at].pts;
        read_frames(path, &o, 4, &part);
        for (i = 0; i < part.n; i++) assert_int_equal(part.p[i].crc, all.p[at + i].crc);
    }
}

/* Frame threads of the decoder change nothing. */
static void test_threads(void **state)
{
    const char *path = clip("closed.mp4", MOVING "-c:v libx264 -bf 3 -g 30");
    vpi_track track = track_of(path, VPI_KIND_VIDEO);
    vpi_video_reader_options o = reader_options(&track);
    static reading one, two;
    size_t i;

    (void)state;
    read_frames(path, &o, FRAMES_MAX, &one);
    o.decoder_threads = 2;
    read_frames(path, &o, FRAMES_MAX, &two);
    assert_int_equal(one.n, two.n);
    for (i = 0; i < one.n; i++) assert_int_equal(one.p[i].crc, two.p[i].crc);
}

/* ---- what the pictures look like ---- */

typedef struct mean {
    double y, u, v;
} mean;

/* Mean colour of a part of a frame, in tenths of its sides. */
static mean mean_of(const vpi_frame *frame, int x0, int y0, int x1, int y1)
{
    double sum[3] = { 0 };
    int i, x, y;

    for (i = 0; i < 3; i++) {
        const AVFrame *av = frame->av;
        int w = i ? av->width / 2 : av->width, h = i ? av->height / 2 : av->height, n = 0;

        for (y = h * y0 / 10; y < h * y1 / 10; y++) {
            for (x = w * x0 / 10; x < w * x1 / 10; x++, n++) sum[i] += av->data[i][y * av->linesize[i] + x];
        }
        sum[i] /= n;
    }
    return (mean){ sum[0], sum[1], sum[2] };
}

/* Frame number n, in a size or the display size. */
static vpi_frame *frame_of(const char *path, vpi_video_reader_options *o, int n)
{
    vpi_video_reader *reader = open_reader(path, o);
    vpi_frame *frame = NULL;

    do {
        frame = vpi_frame_unref(frame);
        assert_ok(vpi_video_reader_next(reader, &frame, &err));
    } while (n-- > 0);
    vpi_video_reader_close(reader);
    return frame;
}

#define assert_near(a, b, tolerance)                                                                         \
    do {                                                                                                     \
        if (fabs((double)(a) - (double)(b)) > (tolerance))                                                   \
            fail_msg("%s is %g, not %g", #a, (double)(a), (double)(b));                                      \
    } while (0)
#define assert_mean(frame, Y, U, V)                                                                          \
    do {                                                                                                     \
        mean m_ = mean_of(frame, 1, 1, 9, 9);                                                                \
        assert_near(m_.y, Y, 2);                                                                             \
        assert_near(m_.u, U, 2);                                                                             \
        assert_near(m_.v, V, 2);                                                                             \
    } while (0)

/* White in the first quarter of the picture; where it is after turning. */
static void test_rotation(void **state)
{
    const char *path =
        clip("corner.mp4", "-f lavfi -i color=black:s=160x96:r=25:d=0.2,drawbox=w=80:h=48:c=white:t=fill "
                           "-c:v libx264 -qp 10 -pix_fmt yuv420p");
    static const struct {
        int rotation, flipped, x, y; /* quadrant that is white then */
    } want[] = { { 0, 0, 0, 0 }, { 90, 0, 1, 0 }, { 180, 0, 1, 1 }, { 270, 0, 0, 1 },
                 { 0, 1, 1, 0 }, { 90, 1, 1, 1 }, { 180, 1, 0, 1 }, { 270, 1, 0, 0 } };
    vpi_track track = track_of(path, VPI_KIND_VIDEO);
    size_t i;
    int x, y;

    (void)state;
    for (i = 0; i < VPI_COUNT(want); i++) {
        vpi_video_reader_options o = reader_options(&track);
        vpi_frame *f;

        o.rotation = want[i].rotation;
        o.flipped = want[i].flipped;
        if (o.rotation % 180) {
            o.width = 96;
            o.height = 160;
        }
        f = frame_of(path, &o, 0);
        assert_int_equal(vpi_frame_width(f), o.width);
        for (x = 0; x < 2; x++) {
            for (y = 0; y < 2; y++) {
                bool white = x == want[i].x && y == want[i].y;

                assert_near(mean_of(f, x * 5 + 1, y * 5 + 1, x * 5 + 4, y * 5 + 4).y, white ? 235 : 16, 3);
            }
        }
        vpi_frame_unref(f);
    }
}

static void one_colour(const char *name, const char *args, double y, double u, double v)
{
    const char *path = clip(name, args);
    vpi_track track = track_of(path, VPI_KIND_VIDEO);
    vpi_video_reader_options o = reader_options(&track);
    vpi_frame *f;

    o.width = (o.width + 1) & ~1u;
    o.height = (o.height + 1) & ~1u;
    f = frame_of(path, &o, 1);
    assert_int_equal(f->av->format, AV_PIX_FMT_YUV420P);
    assert_mean(f, y, u, v);
    vpi_frame_unref(f);
}

/* Small pictures are BT.601: red is 81 90 240, white 235 128 128. */
static void test_formats(void **state)
{
    (void)state;
#define RED "-f lavfi -i color=red:s=160x96:r=25:d=0.2,format=gbrp "
    one_colour("r10.mkv", RED "-c:v ffv1 -pix_fmt yuv420p10le", 81, 90, 240);
    one_colour("r422.mkv", RED "-c:v ffv1 -pix_fmt yuv422p10le", 81, 90, 240);
    one_colour("r444.mkv", RED "-c:v ffv1 -pix_fmt yuv444p", 81, 90, 240);
    one_colour("rgb.mkv", RED "-c:v ffv1 -pix_fmt gbrp", 81, 90, 240);
    one_colour("rj.mp4", RED "-c:v libx264 -qp 5 -pix_fmt yuvj420p", 81, 90, 240);
    one_colour("rj.avi", RED "-c:v mjpeg -q:v 1 -pix_fmt yuvj422p", 81, 90, 240);
    one_colour("grey.mkv", "-f lavfi -i color=white:s=160x96:r=25:d=0.2,format=yuv444p,format=gray -c:v ffv1",
               235, 128, 128);
    one_colour("odd.mkv", "-f lavfi -i color=red:s=200x200:d=0.2,format=rgb24,crop=127:71 -c:v ffv1", 81, 90,
               240);
#undef RED
}

/* Half transparent red over black, and what hides behind full transparency. */
static void test_alpha(void **state)
{
    (void)state;
    one_colour("half.mov", "-f lavfi -i color=red@0.5:s=160x96:r=25:d=0.2,format=argb -c:v qtrle", 48.5, 109,
               184);
    one_colour("clear.mov", "-f lavfi -i color=white@0.0:s=160x96:r=25:d=0.2,format=argb -c:v qtrle", 16, 128,
               128);
    one_colour("p4444.mov",
               "-f lavfi -i color=red@0.5:s=160x96:r=25:d=0.2,format=yuva444p10le -c:v prores_ks", 48.5, 109,
               184);
    one_colour(
        "alpha.webm",
        "-f lavfi -i color=red@0.5:s=160x96:r=25:d=0.2,format=yuva420p -c:v libvpx-vp9 -deadline realtime "
        "-cpu-used 8 -auto-alt-ref 0 -metadata:s:v:0 alpha_mode=1",
        48.5, 109, 184);
}

/* Red in one matrix, tagged so, given out in another; and left alone where the tags are kept. */
static void test_matrix(void **state)
{
    const char *path = clip("m709.mkv", "-f lavfi -i color=red:s=160x96:r=25:d=0.2,format=gbrp "
                                        "-vf scale=out_color_matrix=bt709,format=yuv420p,"
                                        "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709 "
                                        "-c:v libx264 -qp 5");
    vpi_track track = track_of(path, VPI_KIND_VIDEO);
    vpi_video_reader_options o = reader_options(&track);
    vpi_frame *f;

    (void)state;
    assert_int_equal(o.colour.matrix, 1);
    f = frame_of(path, &o, 0);
    assert_mean(f, 63, 102, 240);
    vpi_frame_unref(f);
    o.colour = (vpi_video_colour){ 6, 6, 6 };
    f = frame_of(path, &o, 0);
    assert_mean(f, 81, 90, 240);
    vpi_frame_unref(f);
}

static void test_colour_for(void **state)
{
    static const struct {
        uint32_t width, height;
        uint8_t in[3];
        const char *hdr;
        uint8_t out[3];
    } t[] = {
        { 1920, 1080, { 2, 2, 2 }, "none", { 1, 1, 1 } },
        { 640, 360, { 2, 2, 2 }, "none", { 6, 6, 6 } },
        { 720, 576, { 2, 2, 2 }, "none", { 5, 6, 5 } },
        { 720, 480, { 2, 2, 2 }, "none", { 6, 6, 6 } },
        { 720, 1280, { 2, 2, 2 }, "none", { 1, 1, 1 } },
        { 1280, 536, { 2, 2, 2 }, "none", { 1, 1, 1 } },
        { 720, 576, { 5, 6, 5 }, "none", { 5, 6, 5 } },
        { 640, 360, { 1, 1, 1 }, "none", { 1, 1, 1 } },
        { 640, 360, { 1, 2, 2 }, "none", { 1, 1, 1 } },
        { 1920, 1080, { 2, 2, 5 }, "none", { 5, 6, 5 } },
        { 3840, 2160, { 9, 16, 9 }, "pq", { 1, 1, 1 } },
        { 3840, 2160, { 9, 18, 9 }, "hlg", { 1, 1, 1 } },
        { 3840, 2160, { 9, 14, 9 }, "none", { 9, 14, 9 } },
        { 1920, 1080, { 1, 13, 0 }, "none", { 1, 13, 1 } },
        { 640, 360, { 2, 2, 0 }, "none", { 6, 6, 6 } },
        { 1920, 1080, { 0, 0, 3 }, "none", { 1, 1, 1 } },
        { 1920, 1080, { 200, 99, 77 }, "none", { 1, 1, 1 } },
    };
    size_t i;

    (void)state;
    for (i = 0; i < VPI_COUNT(t); i++) {
        vpi_track track = { .width = t[i].width, .height = t[i].height };
        vpi_video_colour c;

        track.cicp_primaries = t[i].in[0];
        track.cicp_transfer = t[i].in[1];
        track.cicp_matrix = t[i].in[2];
        strcpy(track.hdr, t[i].hdr);
        vpi_video_colour_for(&track, &c);
        if (c.primaries != t[i].out[0] || c.transfer != t[i].out[1] || c.matrix != t[i].out[2]) {
            fail_msg("row %zu: %d %d %d", i, c.primaries, c.transfer, c.matrix);
        }
    }
}

/* A grey ramp in HLG and PQ comes out rising, from black to bright, without a tint. */
static void hdr_ramp(const char *name, const char *trc, double middle_least, double middle_most)
{
    char args[512];
    const char *path;
    vpi_track track;
    vpi_video_reader_options o;
    vpi_frame *f;
    double last = 0;
    int x;

    snprintf(
        args, sizeof(args),
        "-f lavfi -i \"nullsrc=s=320x180:r=25:d=0.2,format=yuv420p10le,geq=lum='64+876*X/W':cb=512:cr=512\" "
        "-vf setparams=range=tv:color_primaries=bt2020:color_trc=%s:colorspace=bt2020nc "
        "-c:v libx265 -preset ultrafast -x265-params log-level=none:pools=none:qp=4",
        trc);
    path = clip(name, args);
    track = track_of(path, VPI_KIND_VIDEO);
    o = reader_options(&track);
    assert_int_equal(o.colour.transfer, 1);
    f = frame_of(path, &o, 1);
    for (x = 0; x < 10; x++) {
        mean m = mean_of(f, x, 2, x + 1, 8);

        assert_true(m.y >= last - 0.5);
        assert_near(m.u, 128, 2);
        assert_near(m.v, 128, 2);
        if (x == 0) assert_true(m.y < 30);
        if (x == 5) assert_in_range((uint64_t)m.y, (uint64_t)middle_least, (uint64_t)middle_most);
        if (x == 9) assert_true(m.y > 180 && m.y < 240);
        last = m.y;
    }
    vpi_frame_unref(f);
}

static void test_hdr(void **state)
{
    (void)state;
    hdr_ramp("hlg.mp4", "arib-std-b67", 90, 180);
    hdr_ramp("pq.mp4", "smpte2084", 90, 200);
}

/* Anamorphic pictures fill the square-pixel size that was made for them. */
static void test_sar(void **state)
{
    const char *path =
        clip("sar.mp4", "-f lavfi -i color=white:s=160x96:r=25:d=0.2,setsar=16/11 -c:v libx264");
    vpi_track track = track_of(path, VPI_KIND_VIDEO);
    vpi_video_reader_options o = reader_options(&track);
    vpi_frame *f;

    (void)state;
    o.width = 232;
    o.height = 96;
    f = frame_of(path, &o, 0);
    assert_near(mean_of(f, 0, 0, 10, 10).y, 235, 1);
    vpi_frame_unref(f);
}

/* Another size in mid-stream is fitted with black bars; nothing green. */
static void test_size_change(void **state)
{
    const char *path;
    vpi_track track;
    vpi_video_reader_options o;
    vpi_video_reader *reader;
    vpi_frame *f = NULL;
    int n = 0, barred = 0;

    (void)state;
    clip("a.ts", "-f lavfi -i color=white:s=128x72:r=25:d=1 -c:v libx264 -g 25");
    clip("b.ts", "-f lavfi -i color=white:s=96x128:r=25:d=1 -c:v libx264 -g 25 -output_ts_offset 1");
    path = clip("change.ts", "-f lavfi -i color -frames:v 1 x.png; cat a.ts b.ts >");
    track = track_of(path, VPI_KIND_VIDEO);
    o = reader_options(&track);
    reader = open_reader(path, &o);
    while (vpi_video_reader_next(reader, &f, &err) == VP_OK) {
        mean side = mean_of(f, 0, 1, 2, 9), mid = mean_of(f, 4, 1, 6, 9), any = mean_of(f, 0, 0, 10, 10);

        assert_int_equal(vpi_frame_width(f), 128);
        assert_int_equal(vpi_frame_height(f), 72);
        assert_near(mid.y, 235, 2);
        assert_near(any.u, 128, 1);
        assert_near(any.v, 128, 1);
        if (side.y < 20) barred++;
        n++;
        vpi_frame_unref(f);
    }
    vpi_video_reader_close(reader);
    assert_in_range(n, 48, 50);
    assert_in_range(barred, 23, 25);
}

/* What needs no filter is the decoder's own picture: equal to what ffmpeg decodes. */
static void test_untouched(void **state)
{
    const char *path = clip("closed.mp4", MOVING "-c:v libx264 -bf 3 -g 30");
    vpi_track track = track_of(path, VPI_KIND_VIDEO);
    vpi_video_reader_options o = reader_options(&track);
    vpi_frame *f = frame_of(path, &o, 0);
    char command[512];
    uint8_t raw[128 * 72 * 3 / 2];
    FILE *pipe;
    uint32_t crc;

    (void)state;
    snprintf(command, sizeof(command), FF "-i %s -frames:v 1 -f rawvideo -", path);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_int_equal(fread(raw, 1, sizeof(raw), pipe), sizeof(raw));
    pclose(pipe);
    crc = vpi_crc32c(0, raw, sizeof(raw));
    assert_int_equal(crc, frame_crc(f));
    vpi_frame_unref(f);
}

/* ---- bad streams ---- */

static void test_damage(void **state)
{
    const char *path;
    vpi_track track;
    vpi_video_reader_options o;
    static reading one, two;
    size_t i;

    (void)state;
    clip("closed.mp4", MOVING "-c:v libx264 -bf 3 -g 30");
    path = clip("noise.mp4", "-i closed.mp4 -c copy -bsf:v noise=amount=200");
    track = track_of(path, VPI_KIND_VIDEO);
    o = reader_options(&track);
    read_frames(path, &o, FRAMES_MAX, &one);
    assert_true(one.n > 60);
    assert_true(one.concealed + one.refused > 0);
    read_frames(path, &o, FRAMES_MAX, &two);
    assert_int_equal(one.n, two.n);
    assert_int_equal(one.concealed, two.concealed);
    for (i = 0; i < one.n; i++) assert_int_equal(one.p[i].crc, two.p[i].crc);
}

/* Times that repeat, times that are missing, a variable rate: all frames come, in order. */
static void test_times(void **state)
{
    const char *path;
    vpi_track track;
    vpi_video_reader_options o;
    static reading r;
    size_t i;

    (void)state;
    clip("closed.mp4", MOVING "-c:v libx264 -bf 0 -g 30");
    path = clip("dup.mkv", "-f lavfi -i testsrc2=s=128x72:r=30:d=2 -c:v libx264 -bf 0 -f mp4 d.mp4; " FF
                           "-i d.mp4 -c copy -bsf:v \"setts=ts='if(eq(mod(N,10),5),PREV_OUTPTS,TS)'\"");
    track = track_of(path, VPI_KIND_VIDEO);
    o = reader_options(&track);
    read_frames(path, &o, FRAMES_MAX, &r);
    assert_int_equal(r.n, 60);
    for (i = 1; i < r.n; i++) assert_true(r.p[i].pts >= r.p[i - 1].pts);
    path =
        clip("vfr.mkv", "-f lavfi -i testsrc2=s=128x72:r=30:d=4 "
                        "-vf \"select='eq(mod(n\\,7)\\,0)+eq(mod(n\\,3)\\,0)'\" -fps_mode vfr -c:v libx264");
    same_from(path, 50);
    path = clip("bare.h264", MOVING "-c:v libx264 -bf 3 -g 30");
    track = track_of(path, VPI_KIND_VIDEO);
    o = reader_options(&track);
    read_frames(path, &o, FRAMES_MAX, &r);
    assert_int_equal(r.n, 125);
    for (i = 1; i < r.n; i++) assert_true(r.p[i].pts > r.p[i - 1].pts);
}

static void test_refusals(void **state)
{
    const char *path = clip("tone.m4a", "-f lavfi -i sine=440:d=0.5 -c:a aac");
    vp_source *source = source_of(path);
    vpi_video_reader_options o = { .width = 64, .height = 64, .decoder_threads = 1, .colour = { 1, 1, 1 } };
    vpi_video_reader *reader = NULL;
    vp_cancel *cancel = NULL;
    vpi_track track;
    vpi_frame *f = NULL;

    (void)state;
    assert_fails(vpi_video_reader_open(context, source, &o, NULL, &reader, &err), VP_E_ARG, "ARG");
    o.width = 63;
    assert_fails(vpi_video_reader_open(context, source, &o, NULL, &reader, &err), VP_E_ARG, "ARG");
    assert_null(reader);
    vp_source_unref(source);
    path = clip("closed.mp4", MOVING "-c:v libx264 -bf 3 -g 30");
    track = track_of(path, VPI_KIND_VIDEO);
    o = reader_options(&track);
    source = source_of(path);
    assert_ok(vp_cancel_new(&cancel, &err));
    assert_ok(vpi_video_reader_open(context, source, &o, cancel, &reader, &err));
    assert_ok(vpi_video_reader_next(reader, &f, &err));
    vpi_frame_unref(f);
    vp_cancel_fire(cancel);
    vp_error_init(&err);
    while (vpi_video_reader_next(reader, &f, &err) == VP_OK) vpi_frame_unref(f);
    assert_int_equal(err.status, VP_E_CANCELED);
    vpi_video_reader_close(reader);
    vp_cancel_unref(cancel);
    vp_source_unref(source);
}

/* Each allocation fails once: NOMEM comes out, nothing leaks. */
static void test_no_memory(void **state)
{
    const char *path = clip("closed.mp4", MOVING "-c:v libx264 -bf 3 -g 30");
    vpi_track track = track_of(path, VPI_KIND_VIDEO);
    vpi_video_reader_options o = reader_options(&track);
    vp_source *source = source_of(path);
    vpi_video_reader *reader = NULL;
    vpi_frame *f = NULL;
    long n, left = 0;
    vp_status st;
    int i;

    (void)state;
    o.width = 64;
    o.height = 36;
    o.from = track.tb.den / track.tb.num * 2;
    for (n = 1; left == 0; n++) {
        vpi_alloc_fail_at = n;
        vp_error_init(&err);
        st = vpi_video_reader_open(context, source, &o, NULL, &reader, &err);
        for (i = 0; st == VP_OK && i < 3; i++) {
            st = vpi_video_reader_next(reader, &f, &err);
            f = vpi_frame_unref(f);
        }
        left = vpi_alloc_fail_at;
        vpi_alloc_fail_at = 0;
        if (st != VP_OK && st != VP_E_NOMEM) fail_msg("%ld: %d %s %s", n, st, err.reason, err.message);
        reader = vpi_video_reader_close(reader);
        assert_true(n < 1000);
    }
    assert_int_equal(st, VP_OK);
    vp_source_unref(source);
}

/* ---- scaler ---- */

static void test_scaler(void **state)
{
    vpi_frame_pool pool;
    vpi_frame *f, *g = NULL, *h = NULL;
    vpi_scaler *s = NULL;
    uint32_t crc;

    (void)state;
    assert_true(vpi_frame_pool_init(&pool, 192, 108));
    f = made_frame(&pool, 7);
    assert_ok(vpi_scaler_new(192, 108, 128, 72, &s, &err));
    assert_ok(vpi_scaler_scale(s, f, &g, &err));
    assert_int_equal(vpi_frame_width(g), 128);
    assert_int_equal(vpi_frame_height(g), 72);
    assert_int_equal(vpi_frame_pts(g), 7);
    assert_int_equal(vpi_frame_duration(g), 1);
    crc = frame_crc(g);
    g = vpi_frame_unref(g);
    assert_ok(vpi_scaler_scale(s, f, &g, &err)); /* the buffer from the pool */
    assert_int_equal(crc, frame_crc(g));
    assert_ok(vpi_scaler_scale(s, f, &h, &err));
    assert_ptr_not_equal(g->av->data[0], h->av->data[0]);
    h = vpi_frame_unref(h);
    assert_fails(vpi_scaler_scale(s, g, &h, &err), VP_E_ARG, "ARG");
    vpi_scaler_free(s); /* frames outlive it */
    assert_int_equal(crc, frame_crc(g));
    vpi_frame_unref(g);
    assert_ok(vpi_scaler_new(192, 108, 192, 108, &s, &err));
    assert_ok(vpi_scaler_scale(s, f, &g, &err));
    assert_ptr_equal(f, g);
    vpi_frame_unref(g);
    vpi_scaler_free(s);
    vpi_frame_unref(f);
    assert_fails(vpi_scaler_new(0, 108, 192, 108, &s, &err), VP_E_ARG, "ARG");
    vpi_frame_pool_dispose(&pool);
}

/* Flat colours stay exactly, and a ramp does not move: chroma keeps its place beside luma. */
static void test_scaler_true(void **state)
{
    static const uint32_t sides[] = { 720, 480, 360, 240, 144 };
    vpi_frame_pool pool;
    vpi_frame *from, *to = NULL;
    vpi_scaler *s = NULL;
    size_t i;
    int x, y, k;

    (void)state;
    assert_true(vpi_frame_pool_init(&pool, 1280, 720));
    from = made_frame(&pool, 0);
    for (k = 0; k < 3; k++) {
        const AVFrame *av = from->av;

        for (y = 0; y < (k ? 360 : 720); y++) {
            for (x = 0; x < (k ? 640 : 1280); x++) {
                /* Luma at column c is 16 + c / 8; the chroma sample of it is at 2 x. */
                av->data[k][y * av->linesize[k] + x] = (uint8_t)(k ? 16 + x / 4 : 16 + x / 8);
            }
        }
    }
    for (i = 1; i < VPI_COUNT(sides); i++) {
        uint32_t w = sides[i] * 16 / 9 & ~1u;
        double worst = 0;

        assert_ok(vpi_scaler_new(vpi_frame_width(from), vpi_frame_height(from), w, sides[i], &s, &err));
        assert_ok(vpi_scaler_scale(s, from, &to, &err));
        for (x = 8; x < (int)w / 2 - 8; x++) {
            double luma = to->av->data[0][50 * to->av->linesize[0] + 2 * x];
            double chroma = to->av->data[1][25 * to->av->linesize[1] + x];

            worst = fmax(worst, fabs(luma - chroma));
        }
        assert_true(worst <= 2);
        vpi_scaler_free(s);
        vpi_frame_unref(from);
        from = to;
    }
    vpi_frame_unref(from);
    vpi_frame_pool_dispose(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scaler),      cmocka_unit_test(test_scaler_true),
        cmocka_unit_test(test_colour_for),  cmocka_unit_test(test_untouched),
        cmocka_unit_test(test_from_h264),   cmocka_unit_test(test_from_others),
        cmocka_unit_test(test_from_real),   cmocka_unit_test(test_threads),
        cmocka_unit_test(test_rotation),    cmocka_unit_test(test_formats),
        cmocka_unit_test(test_alpha),       cmocka_unit_test(test_matrix),
        cmocka_unit_test(test_hdr),         cmocka_unit_test(test_sar),
        cmocka_unit_test(test_size_change), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_times),       cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests_name("media/video", tests, clips_setup, clips_teardown);
}
