/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 5.1: encoded as AAC, and AC-3 frames that are passed through. */
#include "av_tools.h"

#include <libavcodec/avcodec.h>
#include <libavutil/channel_layout.h>
#include <libavutil/mem.h>

#include "base/fault.h"
#include "bitstream/bitstream.h"
#include "media/audio.h"

#define CHANNELS 6
#define RATE 48000
#define SAMPLES_MAX (RATE * 4)
#define AMPLITUDE "0.3"

static float heard[CHANNELS][SAMPLES_MAX];
static int heard_samples;

static void hear_channels(AVCodecContext *d, const uint8_t *data, size_t size, int channels)
{
    AVPacket *packet = av_packet_alloc();
    AVFrame *av = av_frame_alloc();
    int c;

    assert_int_equal(av_new_packet(packet, (int)size), 0);
    memcpy(packet->data, data, size);
    assert_int_equal(avcodec_send_packet(d, packet), 0);
    while (avcodec_receive_frame(d, av) == 0) {
        assert_int_equal(av->format, AV_SAMPLE_FMT_FLTP);
        assert_int_equal(av->ch_layout.nb_channels, channels);
        assert_true(heard_samples + av->nb_samples <= SAMPLES_MAX);
        for (c = 0; c < channels; c++) {
            memcpy(heard[c] + heard_samples, av->extended_data[c], (size_t)av->nb_samples * sizeof(float));
        }
        heard_samples += av->nb_samples;
    }
    av_packet_free(&packet);
    av_frame_free(&av);
}

static void hear_packet(AVCodecContext *d, const uint8_t *data, size_t size)
{
    hear_channels(d, data, size, CHANNELS);
}

static AVCodecContext *decoder(enum AVCodecID id, const uint8_t *config, size_t size)
{
    const AVCodec *codec = avcodec_find_decoder(id);
    AVCodecContext *d = avcodec_alloc_context3(codec);

    if (size > 0) {
        d->extradata = av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE);
        memcpy(d->extradata, config, size);
        d->extradata_size = (int)size;
    }
    assert_int_equal(avcodec_open2(d, codec, NULL), 0);
    heard_samples = 0;
    return d;
}

/* Two seconds of the clip as AAC 5.1, decoded. */
static void hear(const char *path)
{
    vpi_track track = track_of(path, VPI_KIND_AUDIO);
    vpi_audio_options o = { .stream = track.id,
                            .sample_rate = RATE,
                            .channels = CHANNELS,
                            .kbps = 384,
                            .origin = track.start,
                            .frames = 94 };
    vp_source *source = source_of(path);
    vpi_audio *audio = NULL;
    AVCodecContext *d;
    const uint8_t *data;
    size_t size;

    assert_ok(vpi_audio_open(context, source, &o, NULL, &audio, &err));
    vp_source_unref(source);
    vpi_audio_config(audio, &data, &size);
    d = decoder(AV_CODEC_ID_AAC, data, size);
    while (vpi_audio_next(audio, &data, &size, &err) == VP_OK) hear_packet(d, data, size);
    assert_int_equal(heard_samples, 94 * 1024);
    avcodec_free_context(&d);
    vpi_audio_close(audio);
}

/* Amplitude of a tone in the middle second of a channel. */
static double tone(int channel, double hz)
{
    double re = 0, im = 0;
    int i;

    for (i = RATE / 2; i < RATE * 3 / 2; i++) {
        re += (double)heard[channel][i] * cos(2 * M_PI * hz * i / RATE);
        im += (double)heard[channel][i] * sin(2 * M_PI * hz * i / RATE);
    }
    return 2 * hypot(re, im) / RATE;
}

#define assert_tone(channel, hz, want)                                                                       \
    do {                                                                                                     \
        double tone_ = tone((channel), (hz));                                                                \
        if (fabs(tone_ - (want)) > 0.02) {                                                                   \
            fail_msg("channel %d has %g of %g Hz, not %g", (channel), tone_, (double)(hz), (double)(want));  \
        }                                                                                                    \
    } while (0)

static const double tones[8] = { 300, 400, 500, 60, 700, 800, 900, 1000 };

#define T(hz) AMPLITUDE "*sin(2*PI*" #hz "*t)"
#define SIX T(300) "|" T(400) "|" T(500) "|" T(60) "|" T(700) "|" T(800)
#define FROM(expressions, layout) "-f lavfi -i \"aevalsrc='" expressions "':c=" layout ":s=48000:d=2\" "

static void assert_positions(void)
{
    int c, t;

    for (c = 0; c < CHANNELS; c++) {
        for (t = 0; t < CHANNELS; t++) assert_tone(c, tones[t], c == t ? 0.3 : 0);
    }
}

static void test_positions(void **state)
{
    (void)state;
    hear(clip("back.mkv", FROM(SIX, "5.1") "-c:a pcm_s16le"));
    assert_positions();
    hear(clip("side.mkv", FROM(SIX, "'5.1(side)'") "-c:a flac"));
    assert_positions();
    /* without a layout: the usual one for six channels */
    hear(clip("unknown.mkv",
              FROM(SIX, "5.1") "-f s16le raw; " FF "-f s16le -ar 48000 -ac 6 -i raw -c:a pcm_s16le"));
    assert_positions();
}

/* 7.1: the front as it is, sides and backs of a side at -3 dB in one speaker. */
static void test_wide(void **state)
{
    int c;

    (void)state;
    hear(clip("wide.mkv", FROM(SIX "|" T(900) "|" T(1000), "7.1") "-c:a pcm_s16le"));
    for (c = 0; c < 4; c++) assert_tone(c, tones[c], 0.3);
    for (c = 4; c < CHANNELS; c++) {
        assert_tone(c, tones[c], 0.3 * M_SQRT1_2);
        assert_tone(c, tones[c + 2], 0.3 * M_SQRT1_2);
        assert_tone(c, tones[9 - c], 0);
    }
}

static void test_narrow(void **state)
{
    int c;

    (void)state;
    hear(clip("stereo.mkv", FROM(T(300) "|" T(400), "stereo") "-c:a pcm_s16le"));
    assert_tone(0, 300, 0.3);
    assert_tone(0, 400, 0);
    assert_tone(1, 400, 0.3);
    for (c = 2; c < CHANNELS; c++) {
        assert_tone(c, 300, 0);
        assert_tone(c, 400, 0);
    }
}

static void test_config(void **state)
{
    uint8_t bytes[16];
    size_t size;
    vpi_asc asc;

    (void)state;
    assert_ok(vpi_audio_asc(RATE, CHANNELS, 384, bytes, &size, &err));
    assert_ok(vpi_asc_parse(bytes, size, &asc, &err));
    assert_int_equal(asc.channel_config, 6); /* no PCE: what ADTS carries, and what all players know */
    assert_int_equal(asc.channels, CHANNELS);
    assert_int_equal(asc.object_type, 2);
    assert_fails(vpi_audio_asc(RATE, 5, 384, bytes, &size, &err), VP_E_ARG, "ARG");
    assert_fails(vpi_audio_asc(RATE, CHANNELS, 1729, bytes, &size, &err), VP_E_ARG, "ARG");
}

/* ---- passed through ---- */

static const vpi_ac3 plain_51 = { .sample_rate = RATE, .bit_rate = 384000, .acmod = 7, .lfe = 1 };

static void test_silence(void **state)
{
    static const struct {
        bool eac3;
        uint32_t rate, bit_rate;
        uint8_t acmod, lfe;
    } t[] = {
        { false, 48000, 384000, 7, 1 }, { false, 44100, 448000, 7, 1 }, { true, 48000, 256000, 7, 1 },
        { true, 32000, 640000, 7, 1 },  { false, 48000, 192000, 2, 0 }, { false, 48000, 96000, 1, 0 },
        { false, 32000, 448000, 3, 0 }, { true, 48000, 256000, 4, 1 },  { true, 44100, 256000, 5, 0 },
        { false, 48000, 448000, 6, 0 },
    };
    size_t i;
    int c, n;

    (void)state;
    for (i = 0; i < VPI_COUNT(t); i++) {
        vpi_buf frame = { 0 };
        vpi_ac3 a;
        AVCodecContext *d;

        vpi_ac3 like = { .eac3 = t[i].eac3,
                         .sample_rate = t[i].rate,
                         .bit_rate = t[i].bit_rate,
                         .acmod = t[i].acmod,
                         .lfe = t[i].lfe };
        assert_ok(vpi_ac3_silence(&like, &frame, &err));
        assert_ok(vpi_ac3_parse(frame.data, frame.size, &a, &err));
        assert_int_equal(a.frame_bytes, frame.size);
        assert_int_equal(a.eac3, t[i].eac3);
        assert_int_equal(a.sample_rate, t[i].rate);
        assert_int_equal(a.samples, VPI_AC3_FRAME);
        assert_int_equal(a.acmod, t[i].acmod);
        assert_int_equal(a.lfe, t[i].lfe);
        d = decoder(t[i].eac3 ? AV_CODEC_ID_EAC3 : AV_CODEC_ID_AC3, NULL, 0);
        hear_channels(d, frame.data, frame.size, a.channels);
        hear_channels(d, frame.data, frame.size, a.channels);
        assert_int_equal(heard_samples, 2 * VPI_AC3_FRAME);
        for (c = 0; c < a.channels; c++) {
            for (n = 0; n < heard_samples; n++) assert_true(fabsf(heard[c][n]) < 1e-4f);
        }
        avcodec_free_context(&d);
        vpi_buf_dispose(&frame);
    }
}

/* Frames as the file has them. */
typedef struct packets {
    uint32_t crc[128];
    size_t count;
} packets;

static packets frames_of(const char *path)
{
    vp_source *source = source_of(path);
    vpi_demux *demux = NULL;
    vpi_packet p = { 0 };
    packets out = { .count = 0 };

    assert_ok(vpi_demux_open(context, source, NULL, NULL, &demux, &err));
    while (vpi_demux_read(demux, &p, &err) == VP_OK) {
        assert_true(out.count < VPI_COUNT(out.crc));
        out.crc[out.count++] = vpi_crc32c(0, p.data, p.size);
        vpi_packet_dispose(&p);
    }
    vpi_demux_close(demux);
    vp_source_unref(source);
    return out;
}

static vpi_buf silence;

/* frames of the copy whose grid begins at `phase`, from title time 0 at `origin_samples`. */
static packets copy_of(const char *path, int64_t origin_samples, uint32_t phase, uint64_t frames)
{
    vpi_track track = track_of(path, VPI_KIND_AUDIO);
    vpi_audio_copy_options o = { .stream = track.id,
                                 .sample_rate = RATE,
                                 .phase = phase,
                                 .frames = frames,
                                 .silence = silence.data,
                                 .silence_size = silence.size };
    vp_source *source = source_of(path);
    vpi_audio_copy *copy = NULL;
    packets out = { .count = 0 };
    const uint8_t *data;
    size_t size;
    vp_status st;

    o.origin = vpi_rescale(origin_samples, track.tb.den, track.tb.num * (int64_t)RATE, VPI_NEAREST);
    assert_ok(vpi_audio_copy_open(context, source, &o, NULL, &copy, &err));
    vp_source_unref(source);
    while ((st = vpi_audio_copy_next(copy, &data, &size, &err)) == VP_OK) {
        assert_true(out.count < VPI_COUNT(out.crc));
        out.crc[out.count++] = vpi_crc32c(0, data, size);
    }
    assert_int_equal(st, VP_END);
    assert_int_equal(out.count, frames);
    assert_int_equal(vpi_audio_copy_refused(copy), 0);
    vpi_audio_copy_close(copy);
    return out;
}

/* got[0 .. count) are the frames from first on; -1: silence. */
static void assert_frames(const packets *got, size_t at, size_t count, const packets *file, int first)
{
    uint32_t quiet = vpi_crc32c(0, silence.data, silence.size);
    size_t i;

    for (i = 0; i < count; i++) {
        uint32_t want = first < 0 ? quiet : file->crc[(size_t)first + i];

        if (got->crc[at + i] != want) fail_msg("frame %zu is not what is due", at + i);
    }
}

static void test_copy(void **state)
{
    const char *path = clip("two.ac3", FROM(SIX, "5.1") "-c:a ac3 -b:a 384k");
    packets file = frames_of(path), got;

    (void)state;
    assert_ok(vpi_ac3_silence(&plain_51, &silence, &err));
    assert_true(file.count >= 62);
    got = copy_of(path, 0, 0, 62);
    assert_frames(&got, 0, 62, &file, 0);
    /* A title that begins in the middle of frame 1 begins with frame 2. */
    got = copy_of(path, 2000, 1072, 60);
    assert_frames(&got, 0, 60, &file, 2);
    /* One that begins ten frames and a bit before the sound. */
    got = copy_of(path, -(10 * 1536 + 100), 100, 72);
    assert_frames(&got, 0, 10, &file, -1);
    assert_frames(&got, 10, 62, &file, 0);
    /* What the file lacks at its end. */
    got = copy_of(path, 0, 0, file.count + 20);
    assert_frames(&got, 0, file.count, &file, 0);
    assert_frames(&got, file.count, 20, &file, -1);
    vpi_buf_dispose(&silence);
}

/* Times that are rounded to 1 ms make no hole; frames that are missing are silent; a step back is cut. */
static void test_jumps(void **state)
{
    packets file, got;
    const char *path;

    (void)state;
    assert_ok(vpi_ac3_silence(&plain_51, &silence, &err));
    clip("two.ac3", FROM(SIX, "5.1") "-c:a ac3 -b:a 384k");
    path = clip("hole.mkv", "-i two.ac3 -c copy -bsf:a \"noise=amount=0:drop='gte(n,20)*lt(n,40)'\"");
    file = frames_of(path);
    got = copy_of(path, 0, 0, 62);
    assert_frames(&got, 0, 20, &file, 0);
    assert_frames(&got, 20, 20, &file, -1);
    assert_frames(&got, 40, 22, &file, 20);
    /* One, where times are rounded against the grid. */
    path = clip("one.mka", "-i two.ac3 -c copy -bsf:a \"noise=amount=0:drop='eq(n,20)'\"");
    file = frames_of(path);
    got = copy_of(path, 0, 20, 60);
    assert_frames(&got, 0, 20, &file, 0);
    assert_frames(&got, 20, 1, &file, -1);
    assert_frames(&got, 21, 39, &file, 20);
    path = clip("back.mka", "-i two.ac3 -c copy -bsf:a \"setts=ts='TS-if(gte(N,30),5*DURATION,0)'\"");
    file = frames_of(path);
    got = copy_of(path, 0, 0, 50);
    assert_frames(&got, 0, 30, &file, 0);
    assert_frames(&got, 30, 20, &file, 35);
    vpi_buf_dispose(&silence);
}

static void test_refusals(void **state)
{
    const char *path = clip("two.ac3", FROM(SIX, "5.1") "-c:a ac3 -b:a 384k");
    uint8_t quiet[16] = { 0 };
    vpi_audio_copy_options o = { .sample_rate = RATE, .frames = 9, .silence = quiet, .silence_size = 16 },
                           bad = o;
    vpi_audio_copy *copy = NULL;
    vp_source *source = source_of(path), *other;
    const uint8_t *data;
    size_t size;
    long n, left = 0;
    vp_status st = VP_OK;

    (void)state;
    bad.silence_size = 0;
    assert_fails(vpi_audio_copy_open(context, source, &bad, NULL, &copy, &err), VP_E_ARG, "ARG");
    bad = o;
    bad.phase = 1536;
    assert_fails(vpi_audio_copy_open(context, source, &bad, NULL, &copy, &err), VP_E_ARG, "ARG");
    other = source_of(clip("side.mkv", FROM(SIX, "'5.1(side)'") "-c:a flac"));
    assert_fails(vpi_audio_copy_open(context, other, &o, NULL, &copy, &err), VP_E_ARG, "ARG");
    assert_null(copy);
    vp_source_unref(other);
    for (n = 1; left == 0; n++) {
        vpi_alloc_fail_at = n;
        vp_error_init(&err);
        st = vpi_audio_copy_open(context, source, &o, NULL, &copy, &err);
        while (st == VP_OK) st = vpi_audio_copy_next(copy, &data, &size, &err);
        left = vpi_alloc_fail_at;
        vpi_alloc_fail_at = 0;
        if (st != VP_END && st != VP_E_NOMEM) fail_msg("%ld: %d %s %s", n, st, err.reason, err.message);
        copy = vpi_audio_copy_close(copy);
        assert_true(n < 1000);
    }
    assert_int_equal(st, VP_END);
    vp_source_unref(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_positions), cmocka_unit_test(test_wide),     cmocka_unit_test(test_narrow),
        cmocka_unit_test(test_config),    cmocka_unit_test(test_silence),  cmocka_unit_test(test_copy),
        cmocka_unit_test(test_jumps),     cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, clips_setup, clips_teardown);
}
