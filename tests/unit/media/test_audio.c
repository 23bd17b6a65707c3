/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "av_tools.h"

#include <libavcodec/avcodec.h>
#include <libavutil/channel_layout.h>
#include <libavutil/mem.h>

#include "base/fault.h"
#include "bitstream/bitstream.h"
#include "media/audio.h"

#define SECONDS_MAX 30
#define SAMPLES_MAX (48000 * SECONDS_MAX)

/* What a player hears: our frames decoded. Sample n is title time n / rate. */
typedef struct heard {
    float left[SAMPLES_MAX], right[SAMPLES_MAX];
    int n;
    uint64_t frames, content, refused;
    uint32_t crc;
} heard;

static heard a, b;

static void hear_packet(AVCodecContext *d, AVPacket *packet, AVFrame *av, heard *out)
{
    assert_int_equal(avcodec_send_packet(d, packet), 0);
    while (avcodec_receive_frame(d, av) == 0) {
        assert_int_equal(av->format, AV_SAMPLE_FMT_FLTP);
        assert_int_equal(av->ch_layout.nb_channels, 2);
        assert_true(out->n + av->nb_samples <= SAMPLES_MAX);
        memcpy(out->left + out->n, av->extended_data[0], (size_t)av->nb_samples * sizeof(float));
        memcpy(out->right + out->n, av->extended_data[1], (size_t)av->nb_samples * sizeof(float));
        out->n += av->nb_samples;
    }
}

static AVCodecContext *aac_decoder(const uint8_t *asc, size_t size)
{
    const AVCodec *codec = avcodec_find_decoder(AV_CODEC_ID_AAC);
    AVCodecContext *d = avcodec_alloc_context3(codec);

    d->extradata = av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE);
    memcpy(d->extradata, asc, size);
    d->extradata_size = (int)size;
    assert_int_equal(avcodec_open2(d, codec, NULL), 0);
    return d;
}

static vpi_audio_options options_of(const vpi_track *track, double seconds)
{
    vpi_audio_options o = { .stream = track->id, .sample_rate = 48000, .channels = 2, .kbps = 128 };

    o.frames = (uint64_t)ceil(seconds * o.sample_rate / 1024);
    return o;
}

static void hear_with(const char *path, const vpi_audio_options *o, heard *out)
{
    vp_source *source = source_of(path);
    vpi_audio *audio = NULL;
    AVCodecContext *d;
    AVPacket *packet = av_packet_alloc();
    AVFrame *av = av_frame_alloc();
    const uint8_t *data, *asc;
    uint8_t planned[16];
    size_t size, asc_size, planned_size;
    vp_status st;

    out->n = 0;
    out->frames = 0;
    out->crc = 0;
    assert_ok(vpi_audio_open(context, source, o, NULL, &audio, &err));
    vp_source_unref(source);
    vpi_audio_config(audio, &asc, &asc_size);
    assert_ok(vpi_audio_asc(o->sample_rate, o->channels, o->kbps, planned, &planned_size, &err));
    assert_int_equal(asc_size, planned_size);
    assert_memory_equal(asc, planned, asc_size);
    d = aac_decoder(asc, asc_size);
    while ((st = vpi_audio_next(audio, &data, &size, &err)) == VP_OK) {
        assert_true(size > 0 && size < 6144);
        assert_int_equal(av_new_packet(packet, (int)size), 0);
        memcpy(packet->data, data, size);
        out->crc = vpi_crc32c(out->crc, data, size);
        hear_packet(d, packet, av, out);
        av_packet_unref(packet);
        out->frames++;
    }
    if (st != VP_END) fail_msg("%s: %s %s", path, err.reason, err.message);
    assert_int_equal(vpi_audio_next(audio, &data, &size, &err), VP_END);
    assert_int_equal(out->frames, o->frames);
    assert_int_equal(out->n, o->frames * 1024);
    vpi_audio_stats(audio, &out->content, &out->refused);
    vpi_audio_close(audio);
    avcodec_free_context(&d);
    av_packet_free(&packet);
    av_frame_free(&av);
}

/*
 * The title begins with the picture: where ffmpeg moved the times to have no negative ones, both are moved.
 */
static int64_t picture_start(const char *path, const vpi_track *audio)
{
    vpi_track video = track_of(path, VPI_KIND_VIDEO);

    return vpi_rescale(video.start, video.tb.num * audio->tb.den, video.tb.den * audio->tb.num, VPI_NEAREST);
}

/* With the track's own zero as the title's. */
static void hear(const char *path, double seconds, heard *out)
{
    vpi_track track = track_of(path, VPI_KIND_AUDIO);
    vpi_audio_options o = options_of(&track, seconds);

    hear_with(path, &o, out);
}

static double level(const float *s, int from, int to)
{
    double sum = 0;
    int i;

    for (i = from; i < to; i++) sum += (double)s[i] * (double)s[i];
    return sqrt(sum / (to - from));
}

/* Seconds at which sound begins after at least `quiet` seconds of silence, from `start` on; -1: none. */
static double onset(const float *s, int n, int rate, double start)
{
    int i;

    for (i = (int)(start * rate); i < n; i++) {
        if (fabsf(s[i]) > 0.2f) return (double)i / rate;
    }
    return -1;
}

#define assert_near(v, want, tolerance)                                                                      \
    do {                                                                                                     \
        if (fabs((double)(v) - (double)(want)) > (tolerance)) {                                              \
            fail_msg("%s is %g, not %g", #v, (double)(v), (double)(want));                                   \
        }                                                                                                    \
    } while (0)

/* Beeps of 30 ms at each full second (plus shift), up to last. */
static void assert_beeps(const heard *h, int rate, double shift, int last)
{
    int s;

    for (s = 1; s <= last; s++) {
        assert_near(onset(h->left, h->n, rate, s + shift - 0.5), s + shift, 0.0015);
        assert_true(level(h->left, (int)((s + shift - 0.5) * rate), (int)((s + shift - 0.02) * rate)) < 0.01);
    }
}

#define BEEP(rate) "-f lavfi -i \"aevalsrc='sin(2*PI*1000*t)*lt(mod(t+0.000001,1),0.03)':d=6:s=" rate "\" "
#define PICTURE "-f lavfi -i color=black:s=64x64:r=25:d=6 "

/* ---- time ---- */

static void test_sync_in_containers(void **state)
{
    static const struct {
        const char *name, *codec;
    } t[] = {
        { "s.mp4", "-c:v libx264 -c:a aac" },
        { "s.mkv", "-c:v libx264 -c:a aac" },
        { "s.ts", "-c:v libx264 -c:a aac -muxdelay 0 -muxpreload 0" },
        { "o.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus" },
        { "o.mkv", "-c:v libx264 -c:a libopus" },
        { "m.mp3", "-map 1 -c:a libmp3lame" },
        { "m.mp4", "-c:v libx264 -c:a libmp3lame" },
        { "v.ogg", "-map 1 -c:a libvorbis" },
        { "f.flac", "-map 1 -c:a flac" },
        { "p.mov", "-c:v libx264 -c:a pcm_s24le" },
        { "a.avi", "-c:v mpeg4 -c:a pcm_s16le" },
    };
    size_t i;
    char args[512];

    (void)state;
    for (i = 0; i < VPI_COUNT(t); i++) {
        const char *path;
        vpi_track track;
        vpi_audio_options o;

        snprintf(args, sizeof(args), PICTURE BEEP("48000") "%s", t[i].codec);
        path = clip(t[i].name, args);
        track = track_of(path, VPI_KIND_AUDIO);
        o = options_of(&track, 6.1);
        /* ffmpeg's Matroska writer moves the picture of a file with Opus, but not the sound. */
        o.origin = strstr(t[i].codec, "opus")   ? 0
                   : strstr(t[i].codec, "-c:v") ? picture_start(path, &track)
                                                : track.start;
        hear_with(path, &o, &a);
        assert_beeps(&a, 48000, 0, 5);
    }
}

/* Content sample 0 is sample 0: the best match of the output with the source is at lag 0. */
static void test_first_sample(void **state)
{
    const char *path = clip("noise.wav", "-f lavfi -i anoisesrc=d=2:c=pink:seed=7:r=48000:a=0.5,lowpass=6000 "
                                         "-c:a pcm_s16le");
    static int16_t source[96000];
    FILE *f = fopen(path, "rb");
    double best = 0;
    int lag, best_lag = 1000, i;

    (void)state;
    assert_non_null(f);
    assert_int_equal(fseek(f, 78, SEEK_SET), 0); /* ffmpeg's header with its LIST chunk */
    assert_true(fread(source, 2, 96000, f) > 95000);
    fclose(f);
    hear(path, 2, &a);
    for (lag = -1100; lag <= 1100; lag++) {
        double sum = 0;

        for (i = 20000; i < 40000; i += 3) sum += (double)a.left[i + lag] * source[i];
        if (sum > best) {
            best = sum;
            best_lag = lag;
        }
    }
    assert_int_equal(best_lag, 0);
}

static void test_44100(void **state)
{
    const char *path = clip("s441.mp4", PICTURE BEEP("44100") "-c:v libx264 -c:a aac");
    vpi_track track = track_of(path, VPI_KIND_AUDIO);
    vpi_audio_options o = options_of(&track, 6);
    vpi_asc asc;
    uint8_t bytes[16];
    size_t size;

    (void)state;
    assert_int_equal(track.sample_rate, 44100);
    o.sample_rate = 44100;
    hear_with(path, &o, &a);
    assert_beeps(&a, 44100, 0, 5);
    assert_ok(vpi_audio_asc(44100, 2, 128, bytes, &size, &err));
    assert_ok(vpi_asc_parse(bytes, size, &asc, &err));
    assert_int_equal(asc.sample_rate, 44100);
    assert_int_equal(asc.object_type, 2);
    assert_int_equal(asc.channels, 2);
    assert_false(asc.sbr);
    /* And resampled. */
    o.sample_rate = 48000;
    hear_with(path, &o, &a);
    assert_beeps(&a, 48000, 0, 5);
}

static void test_late_and_short(void **state)
{
    const char *path;
    vpi_track track;
    vpi_audio_options o;

    (void)state;
    clip("s.mp4", PICTURE BEEP("48000") "-c:v libx264 -c:a aac");
    path = clip("late.mp4", "-i s.mp4 -itsoffset 1.5 -i s.mp4 -map 0:v -map 1:a -c copy -t 6");
    hear(path, 6.1, &a);
    assert_beeps(&a, 48000, 0.5, 5); /* 1.5, 2.5 ... */
    assert_true(level(a.left, 0, 70000) < 0.001);
    /* The same file cut at 0.7 s of it: what was before is gone. */
    track = track_of(path, VPI_KIND_AUDIO);
    o = options_of(&track, 4);
    o.origin = vpi_rescale(700, track.tb.den, 1000 * track.tb.num, VPI_NEAREST);
    hear_with(path, &o, &a);
    assert_beeps(&a, 48000, 0.8 - 1, 4); /* 1.5 - 0.7, 2.5 - 0.7 ... */
    /* Ends early: silence to the end; and content counts only what there is. */
    path = clip("early.mp4", "-f lavfi -i sine=440:d=2:r=48000 -c:a aac");
    hear(path, 5, &a);
    assert_true(level(a.left, 10000, 90000) > 0.05);
    assert_true(level(a.left, 98000, a.n) < 0.001);
    assert_in_range(a.content, 95900, 97300);
    hear(path, 1, &a);
    assert_int_equal(a.content, a.frames * 1024);
}

/* A hole in the middle is silence, and what follows keeps its time. */
static void test_gap(void **state)
{
    const char *path;

    (void)state;
    clip("s.mp4", PICTURE BEEP("48000") "-c:v libx264 -c:a aac");
    path = clip("gap.mp4", "-i s.mp4 -map 0:a -c copy -bsf:a \"noise=drop='between(n,60,120)'\"");
    hear(path, 6, &a);
    assert_near(onset(a.left, a.n, 48000, 0.5), 1, 0.0015);
    assert_near(onset(a.left, a.n, 48000, 1.1), 3, 0.0015); /* the beep at 2 is in the hole */
    assert_near(onset(a.left, a.n, 48000, 4.5), 5, 0.0015);
    /* Times that stand still for a while: overlaps are cut, the end is where it was. */
    path =
        clip("lap.mp4", "-i s.mp4 -map 0:a -c copy -bsf:a \"setts=ts='if(between(N,100,109),TS-9600,TS)'\"");
    hear(path, 6, &a);
    assert_near(onset(a.left, a.n, 48000, 4.5), 5, 0.0015);
}

/* One packet or two that were lost, or one that came twice: what follows is in its place at once. */
static void test_lost_packets(void **state)
{
    static const struct {
        const char *name, *args;
        double early;
    } t[] = {
        { "one.mp4", "-bsf:a \"noise=drop='eq(n,100)'\"", 0 },
        { "two.mp4", "-bsf:a \"noise=drop='eq(n,100)+eq(n,101)'\"", 0 },
        { "three.mkv", "-bsf:a \"noise=drop='eq(n,80)+eq(n,110)+eq(n,150)'\"", 0 },
        { "two.ts", "-muxdelay 0 -muxpreload 0 -bsf:a \"noise=drop='eq(n,100)+eq(n,101)'\"", 0 },
        { "one.flv", "-bsf:a \"noise=drop='eq(n,100)'\"", 0 },
        { "again.mp4", "-bsf:a \"setts=ts='TS-if(gte(N,100),1000,0)'\"", 1000 / 48000.0 },
    };

    (void)state;
    clip("s.mp4", PICTURE BEEP("48000") "-c:v libx264 -c:a aac");
    for (size_t i = 0; i < VPI_COUNT(t); i++) {
        char args[256];
        double first;

        snprintf(args, sizeof(args), "-i s.mp4 -map 0:a -c copy %s", t[i].args);
        hear(clip(t[i].name, args), 6, &a);
        first = onset(a.left, a.n, 48000, 0.5);
        assert_near(first, 1, 0.025); /* priming is not left out of all formats */
        for (int s = 3; s <= 5; s++)
            assert_near(onset(a.left, a.n, 48000, first + s - 1.3), first + s - 1 - t[i].early, 0.002);
    }
}

/* Clocks and stamps: +-20 ms of jitter (a packet lasts 43) makes no hole, a clock 0.2 % fast is followed. */
static void test_jitter_and_drift(void **state)
{
    const char *path =
        clip("jitter.mkv",
             "-f lavfi -i sine=300:d=8:r=48000 -c:a pcm_s16le t.wav; " FF
             "-max_size 4096 -i t.wav -c copy -bsf:a \"setts=ts='TS+if(mod(N,2),0.47,-0.47)*DURATION'\"");
    int i;

    (void)state;
    hear(path, 8, &a);
    for (i = 4800; i < 48000 * 7; i += 160) {
        double l = level(a.left, i, i + 160);

        if (l < 0.05 || l > 0.12) fail_msg("level %g at %g s", l, i / 48000.0);
    }
    path = clip("drift.mkv",
                BEEP("48000") "-c:a pcm_s16le u.wav; " FF "-i u.wav -c copy -bsf:a setts=ts='TS*1.002'");
    hear(path, 6.1, &a);
    for (i = 1; i <= 5; i++) assert_near(onset(a.left, a.n, 48000, i - 0.5), i * 1.002, 0.008);
}

/* ---- mixing ---- */

static void test_downmix(void **state)
{
    const char *path =
        clip("fc.mkv", "-f lavfi -i \"aevalsrc='0|0|0.5*sin(2*PI*500*t)|0|0|0':c=5.1:s=48000:d=2\" "
                       "-c:a pcm_s16le");
    double l;

    (void)state;
    hear(path, 2, &a);
    l = level(a.left, 10000, 80000);
    assert_true(l > 0.08); /* 0.354 of the source, 0.707 / 2.414 of it is 0.104 */
    assert_near(level(a.right, 10000, 80000), l, 0.002);
    /* All channels at once do not clip. */
    path =
        clip("all.mkv", "-f lavfi -i \"aevalsrc='.5*sin(2*PI*500*t)|.5*sin(2*PI*500*t)|.5*sin(2*PI*500*t)|0|"
                        ".5*sin(2*PI*500*t)|.5*sin(2*PI*500*t)':c=5.1:s=48000:d=2\" -c:a pcm_s16le");
    hear(path, 2, &a);
    assert_near(level(a.left, 10000, 80000), 0.3536, 0.01);
}

static void test_mono(void **state)
{
    const char *path =
        clip("mono.wav", "-f lavfi -i \"aevalsrc=0.5*sin(2*PI*500*t):s=48000:d=2\" -c:a pcm_s16le");

    (void)state;
    hear(path, 2, &a);
    assert_near(level(a.left, 10000, 80000), 0.3536, 0.01);
    assert_near(level(a.right, 10000, 80000), 0.3536, 0.01);
}

static void test_stereo_sides(void **state)
{
    const char *path = clip("side.wav", "-f lavfi -i \"aevalsrc=0.5*sin(2*PI*500*t)|0:c=stereo:s=48000:d=2\" "
                                        "-c:a pcm_s16le");

    (void)state;
    hear(path, 2, &a);
    assert_near(level(a.left, 10000, 80000), 0.3536, 0.01);
    assert_true(level(a.right, 10000, 80000) < 0.005);
}

/* No layout: the usual one for the count; more channels than any layout has: something is heard. */
static void test_unknown_layout(void **state)
{
    const char *path =
        clip("unknown.mkv", "-f lavfi -i \"aevalsrc='0|0|0.5*sin(2*PI*500*t)|0|0|0':c=5.1:s=48000:d=2\" "
                            "-f s16le raw; " FF "-f s16le -ar 48000 -ac 6 -i raw -c:a pcm_s16le");

    (void)state;
    hear(path, 2, &a);
    assert_true(level(a.left, 10000, 80000) > 0.08);
    path = clip("many.mkv", "-f s16le -ar 48000 -ac 12 -i raw -c:a pcm_s16le");
    hear(path, 1, &a);
    assert_true(level(a.left, 5000, 40000) > 0.01);
}

/* Rate and layout change in mid-stream. */
static void test_change(void **state)
{
    const char *path;

    (void)state;
    clip("c1.ts", "-f lavfi -i sine=500:r=48000:d=2 -ac 2 -c:a mp2 -muxdelay 0 -muxpreload 0");
    clip("c2.ts",
         "-f lavfi -i sine=500:r=44100:d=2 -ac 1 -c:a mp2 -muxdelay 0 -muxpreload 0 -output_ts_offset 2");
    path = clip("change.ts", "-f lavfi -i anullsrc -t 0.1 -c:a pcm_s16le x.wav; cat c1.ts c2.ts >");
    {
        vpi_track track = track_of(path, VPI_KIND_AUDIO);
        vpi_audio_options o = options_of(&track, 4);

        o.origin = track.start;
        hear_with(path, &o, &a);
    }
    for (int i = 4800; i < 48000 * 39 / 10; i += 4800) assert_true(level(a.left, i, i + 4800) > 0.04);
}

/* ---- damage, sameness, refusals ---- */

static void test_damage(void **state)
{
    const char *path;

    (void)state;
    clip("s.mp4", PICTURE BEEP("48000") "-c:v libx264 -c:a aac");
    path = clip("bad.mp4", "-i s.mp4 -map 0:a -c copy -bsf:a noise=amount=30");
    hear(path, 6, &a);
    hear(path, 6, &b);
    assert_int_equal(a.crc, b.crc);
    assert_true(a.refused > 0);
    assert_int_equal(a.refused, b.refused);
}

static void test_same_bytes(void **state)
{
    const char *path = clip("s441.mp4", PICTURE BEEP("44100") "-c:v libx264 -c:a aac");

    (void)state;
    hear(path, 6, &a);
    hear(path, 6, &b);
    assert_int_equal(a.crc, b.crc);
}

static void test_refusals(void **state)
{
    const char *path = clip("early.mp4", "-f lavfi -i sine=440:d=2:r=48000 -c:a aac");
    vp_source *source = source_of(path);
    vpi_audio_options o = { .sample_rate = 48000, .channels = 2, .kbps = 128, .frames = 10000 }, bad;
    vpi_audio *audio = NULL;
    vp_cancel *cancel = NULL;
    const uint8_t *data;
    uint8_t asc[16];
    size_t size;
    vp_status st;

    (void)state;
    bad = o;
    bad.sample_rate = 22050;
    assert_fails(vpi_audio_open(context, source, &bad, NULL, &audio, &err), VP_E_ARG, "ARG");
    bad = o;
    bad.channels = 3;
    assert_fails(vpi_audio_open(context, source, &bad, NULL, &audio, &err), VP_E_ARG, "ARG");
    bad = o;
    bad.stream = 7;
    assert_fails(vpi_audio_open(context, source, &bad, NULL, &audio, &err), VP_E_ARG, "ARG");
    assert_null(audio);
    assert_fails(vpi_audio_asc(48000, 2, 0, asc, &size, &err), VP_E_ARG, "ARG");
    assert_ok(vp_cancel_new(&cancel, &err));
    assert_ok(vpi_audio_open(context, source, &o, cancel, &audio, &err));
    assert_ok(vpi_audio_next(audio, &data, &size, &err));
    vp_cancel_fire(cancel);
    vp_error_init(&err);
    while ((st = vpi_audio_next(audio, &data, &size, &err)) == VP_OK) continue;
    assert_int_equal(st, VP_E_CANCELED);
    vpi_audio_close(audio);
    vp_cancel_unref(cancel);
    vp_source_unref(source);
}

/* Each allocation fails once: NOMEM comes out, nothing leaks. */
static void test_no_memory(void **state)
{
    const char *path = clip("early.mp4", "-f lavfi -i sine=440:d=2:r=48000 -c:a aac");
    vp_source *source = source_of(path);
    vpi_audio_options o = { .sample_rate = 44100, .channels = 2, .kbps = 128, .frames = 5 };
    vpi_audio *audio = NULL;
    const uint8_t *data;
    size_t size;
    long n, left = 0;
    vp_status st;

    (void)state;
    for (n = 1; left == 0; n++) {
        vpi_alloc_fail_at = n;
        vp_error_init(&err);
        st = vpi_audio_open(context, source, &o, NULL, &audio, &err);
        while (st == VP_OK) st = vpi_audio_next(audio, &data, &size, &err);
        left = vpi_alloc_fail_at;
        vpi_alloc_fail_at = 0;
        if (st != VP_END && st != VP_E_NOMEM) fail_msg("%ld: %d %s %s", n, st, err.reason, err.message);
        audio = vpi_audio_close(audio);
        assert_true(n < 1000);
    }
    assert_int_equal(st, VP_END);
    vp_source_unref(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_sample),
        cmocka_unit_test(test_sync_in_containers),
        cmocka_unit_test(test_44100),
        cmocka_unit_test(test_late_and_short),
        cmocka_unit_test(test_gap),
        cmocka_unit_test(test_jitter_and_drift),
        cmocka_unit_test(test_lost_packets),
        cmocka_unit_test(test_downmix),
        cmocka_unit_test(test_mono),
        cmocka_unit_test(test_stereo_sides),
        cmocka_unit_test(test_unknown_layout),
        cmocka_unit_test(test_change),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests_name("media/audio", tests, clips_setup, clips_teardown);
}
