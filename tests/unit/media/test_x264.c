/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "av_tools.h"

#include <libavcodec/avcodec.h>

#include "base/fault.h"
#include "bitstream/bitstream.h"

#define PICTURES 75

static vpi_h264enc_options options_of(uint32_t width, uint32_t height)
{
    vpi_h264enc_options o = {
        .width = width,
        .height = height,
        .fps_num = 25,
        .fps_den = 1,
        .timebase_num = 1,
        .timebase_den = 12800,
        .preset = "veryfast",
        .trellis = 1,
        .lookahead = 20,
        .keyint_max = 250,
        .abr = true,
        .kbps = 300,
        .maxrate_kbps = 450,
        .bufsize_kbit = 450,
        .level_idc = 30,
        .profile = "high",
        .colour = { 1, 1, 1 },
    };

    return o;
}

typedef struct coded_run {
    vpi_buf bytes;
    size_t first_gop; /* its share of them */
    uint32_t count, idrs, order_breaks;
    int64_t pts[PICTURES], idr_pts[PICTURES];
    uint8_t sps[64], pps[64];
    size_t sps_size, pps_size;
} coded_run;

static void keep(coded_run *run, const vpi_coded *c)
{
    size_t at = 0;
    vpi_nal nal;
    bool bad = false, idr_nal = false;

    while (vpi_avcc_next(c->data, c->size, 4, &at, &nal, &bad)) {
        unsigned type = vpi_h264_type(&nal);

        assert_true(type == VPI_H264_SLICE || type == VPI_H264_IDR);
        if (type == VPI_H264_IDR) idr_nal = true;
    }
    assert_false(bad);
    assert_int_equal(at, c->size);
    assert_int_equal(idr_nal, c->idr);
    assert_true(run->count < PICTURES);
    if (run->count && c->pts < run->pts[run->count - 1]) run->order_breaks++;
    run->pts[run->count++] = c->pts;
    if (c->idr) run->idr_pts[run->idrs++] = c->pts;
    vpi_buf_add(&run->bytes, c->data, c->size);
    if (run->idrs <= 1) run->first_gop = run->bytes.size;
}

/* Encodes PICTURES made pictures with an IDR each `gop`. */
static void encode_all(const vpi_h264enc_options *o, int gop, coded_run *run)
{
    vpi_h264enc *e = NULL;
    vpi_frame_pool pool;
    const uint8_t *sps, *pps;
    vpi_coded c;
    vp_status st;
    int i;

    memset(run, 0, sizeof(*run));
    assert_true(vpi_frame_pool_init(&pool, o->width, o->height));
    assert_ok(vpi_h264enc_new(context, o, &e, &err));
    vpi_h264enc_headers(e, &sps, &run->sps_size, &pps, &run->pps_size);
    assert_true(run->sps_size <= sizeof(run->sps) && run->pps_size <= sizeof(run->pps));
    memcpy(run->sps, sps, run->sps_size);
    memcpy(run->pps, pps, run->pps_size);
    for (i = 0; i < PICTURES; i++) {
        vpi_frame *f = made_frame(&pool, i);

        st = vpi_h264enc_encode(e, f, (int64_t)i * 512, i % gop == 0, &c, &err);
        vpi_frame_unref(f);
        assert_true(st == VP_OK || st == VP_AGAIN);
        if (st == VP_OK) keep(run, &c);
    }
    while ((st = vpi_h264enc_encode(e, NULL, 0, false, &c, &err)) == VP_OK) keep(run, &c);
    assert_int_equal(st, VP_END);
    assert_int_equal(vpi_h264enc_encode(e, NULL, 0, false, &c, &err), VP_END);
    vpi_h264enc_free(e);
    vpi_frame_pool_dispose(&pool);
}

static void test_gop_and_order(void **state)
{
    vpi_h264enc_options o = options_of(128, 72);
    coded_run run;
    uint32_t i;
    bool seen[PICTURES] = { false };

    (void)state;
    encode_all(&o, 25, &run);
    assert_int_equal(run.count, PICTURES);
    assert_int_equal(run.idrs, 3);
    for (i = 0; i < 3; i++) assert_int_equal(run.idr_pts[i], (int64_t)i * 25 * 512);
    for (i = 0; i < run.count; i++) seen[run.pts[i] / 512] = true;
    for (i = 0; i < PICTURES; i++) assert_true(seen[i]);
    assert_true(run.order_breaks > 0); /* B pictures are used */
    vpi_buf_dispose(&run.bytes);
}

/* An IDR that nobody asked for is told. */
static void test_keyint(void **state)
{
    vpi_h264enc_options o = options_of(128, 72);
    coded_run run;

    (void)state;
    o.keyint_max = 30;
    encode_all(&o, 1000, &run);
    assert_int_equal(run.idrs, 3);
    assert_int_equal(run.idr_pts[1], 30 * 512);
    vpi_buf_dispose(&run.bytes);
}

static void test_parameter_sets(void **state)
{
    vpi_h264enc_options o = options_of(128, 72);
    coded_run a, b;
    vpi_h264_sps sps;
    vpi_h264_pps pps;
    vpi_nal nal;
    vpi_h264enc *e = NULL;

    (void)state;
    encode_all(&o, 25, &a);
    encode_all(&o, 10, &b); /* what is coded does not change them */
    assert_int_equal(a.sps_size, b.sps_size);
    assert_int_equal(a.pps_size, b.pps_size);
    assert_memory_equal(a.sps, b.sps, a.sps_size);
    assert_memory_equal(a.pps, b.pps, a.pps_size);
    nal = (vpi_nal){ a.sps, a.sps_size };
    assert_ok(vpi_h264_sps_parse(&nal, &sps, &err));
    assert_int_equal(sps.profile_idc, 100);
    assert_int_equal(sps.level_idc, 30);
    assert_int_equal(sps.width, 128);
    assert_int_equal(sps.height, 72);
    assert_int_equal(sps.sar_num, 1);
    assert_int_equal(sps.sar_den, 1);
    assert_false(sps.full_range);
    assert_int_equal(sps.primaries, 1);
    assert_int_equal(sps.transfer, 1);
    assert_int_equal(sps.matrix, 1);
    nal = (vpi_nal){ a.pps, a.pps_size };
    assert_ok(vpi_h264_pps_parse(&nal, &sps, &pps, &err));
    assert_ok(vpi_h264enc_new(context, &o, &e, &err));
    assert_true(sps.has_reorder);
    assert_int_equal(vpi_h264enc_reorder(e), sps.max_reorder_frames);
    vpi_h264enc_free(e);
    strcpy(o.profile, "baseline");
    assert_ok(vpi_h264enc_new(context, &o, &e, &err));
    assert_int_equal(vpi_h264enc_reorder(e), 0);
    vpi_h264enc_free(e);
    vpi_buf_dispose(&a.bytes);
    vpi_buf_dispose(&b.bytes);
}

/* Reference pictures are lowered to what the level's buffer holds: 720p at 3.1 has room for five. */
static void test_level(void **state)
{
    vpi_h264enc_options o = options_of(1280, 720);
    const uint8_t *s, *p;
    size_t s_size, p_size;
    vpi_h264enc *e = NULL;
    vpi_h264_sps sps;
    vpi_nal nal;

    (void)state;
    strcpy(o.preset, "veryslow");
    o.level_idc = 31;
    assert_ok(vpi_h264enc_new(context, &o, &e, &err));
    vpi_h264enc_headers(e, &s, &s_size, &p, &p_size);
    nal = (vpi_nal){ s, s_size };
    assert_ok(vpi_h264_sps_parse(&nal, &sps, &err));
    assert_int_equal(sps.level_idc, 31);
    assert_true(sps.max_ref_frames <= 5);
    vpi_h264enc_free(e);
}

static void test_same_bytes(void **state)
{
    vpi_h264enc_options o = options_of(320, 180);
    coded_run first, again;
    int i;

    (void)state;
    encode_all(&o, 25, &first);
    for (i = 0; i < 4; i++) {
        encode_all(&o, 25, &again);
        assert_int_equal(first.bytes.size, again.bytes.size);
        assert_memory_equal(first.bytes.data, again.bytes.data, first.bytes.size);
        vpi_buf_dispose(&again.bytes);
    }
    vpi_buf_dispose(&first.bytes);
}

/* ---- two passes ---- */

static char stats_path[600];

static vpi_h264enc_options first_of(uint32_t width, uint32_t height)
{
    vpi_h264enc_options o = options_of(width, height);

    o.abr = false;
    o.crf_milli = 23000;
    o.maxrate_kbps = o.bufsize_kbit = 0;
    o.lookahead = 40;
    o.pass = VPI_PASS_FIRST;
    o.stats = stats_path;
    return o;
}

static void set_stats_path(const char *name)
{
    char tree[sizeof(stats_path) + 8];

    snprintf(stats_path, sizeof(stats_path), "%s/%s", clip_dir, name);
    snprintf(tree, sizeof(tree), "%s.mbtree", stats_path);
    unlink(stats_path);
    unlink(tree);
}

/* Statistics of a small size lead another size: same types at the same places, the rate asked for, same bytes. */
static void test_two_passes(void **state)
{
    vpi_h264enc_options first = first_of(128, 72), second = options_of(320, 180);
    coded_run a, b, again;
    double kbps;

    (void)state;
    set_stats_path("passes.stats");
    encode_all(&first, 25, &a);
    second.pass = VPI_PASS_SECOND;
    second.stats = stats_path;
    second.kbps = 200;
    second.maxrate_kbps = second.bufsize_kbit = 0;
    encode_all(&second, 1000, &b); /* IDRs as the first pass had them */
    assert_int_equal(b.count, a.count);
    assert_int_equal(b.idrs, 3);
    assert_memory_equal(a.pts, b.pts, sizeof(a.pts));
    assert_memory_equal(a.idr_pts, b.idr_pts, 3 * sizeof(a.idr_pts[0]));
    kbps = (double)b.bytes.size * 8 / 1000 / 3;
    print_message("two passes: %.0f kbit/s of 200\n", kbps);
    assert_true(kbps > 200 * 0.8 && kbps < 200 * 1.2); /* of three seconds, told by a sixth of the pixels */
    encode_all(&second, 1000, &again);
    assert_int_equal(again.bytes.size, b.bytes.size);
    assert_memory_equal(again.bytes.data, b.bytes.data, b.bytes.size);
    vpi_buf_dispose(&again.bytes);
    second.zones = (const vpi_zone[]){ { 0, 24, 2.0f }, { 25, 74, 0.7f } }; /* the first GOP finer */
    second.zone_count = 2;
    encode_all(&second, 1000, &again);
    assert_int_equal(again.count, b.count);
    assert_true(again.first_gop * 10 > b.first_gop * 13);
    assert_true(again.bytes.size - again.first_gop < b.bytes.size - b.first_gop);
    vpi_buf_dispose(&again.bytes);
    second.kbps = 400;
    encode_all(&second, 1000, &again);
    assert_true(again.bytes.size > b.bytes.size * 3 / 2);
    vpi_buf_dispose(&a.bytes);
    vpi_buf_dispose(&b.bytes);
    vpi_buf_dispose(&again.bytes);
}

/* No statistics, or no place for them. */
static void test_wrong_statistics(void **state)
{
    vpi_h264enc_options first = first_of(128, 72), second = options_of(128, 72);
    vpi_h264enc *e = NULL;

    (void)state;
    set_stats_path("wrong.stats");
    second.pass = VPI_PASS_SECOND;
    second.stats = stats_path;
    assert_fails(vpi_h264enc_new(context, &second, &e, &err), VP_E_IO, "IO_ERROR");
    set_stats_path("no/such/folder/stats");
    assert_fails(vpi_h264enc_new(context, &first, &e, &err), VP_E_IO, "IO_ERROR");
    assert_null(e);
}

/* Decoding gives the pictures back, near enough, in their order. */
static void test_decodes(void **state)
{
    vpi_h264enc_options o = options_of(128, 72);
    const AVCodec *codec = avcodec_find_decoder(AV_CODEC_ID_H264);
    AVCodecContext *d = avcodec_alloc_context3(codec);
    AVPacket *packet = av_packet_alloc();
    AVFrame *av = av_frame_alloc();
    vpi_frame_pool pool;
    vpi_h264enc *e = NULL;
    vpi_buf config = { 0 };
    vpi_nal sps, pps;
    vpi_coded c;
    int i, got = 0;
    vp_status st = VP_OK;

    (void)state;
    o.abr = false;
    o.crf_milli = 10000;
    o.maxrate_kbps = o.bufsize_kbit = 8000;
    assert_true(vpi_frame_pool_init(&pool, 128, 72));
    assert_ok(vpi_h264enc_new(context, &o, &e, &err));
    vpi_h264enc_headers(e, &sps.data, &sps.size, &pps.data, &pps.size);
    assert_ok(vpi_avcc_write(&sps, 1, &pps, 1, &config, &err));
    d->extradata = av_mallocz(config.size + AV_INPUT_BUFFER_PADDING_SIZE);
    memcpy(d->extradata, config.data, config.size);
    d->extradata_size = (int)config.size;
    d->thread_count = 1;
    assert_int_equal(avcodec_open2(d, codec, NULL), 0);
    for (i = 0; st != VP_END; i++) {
        vpi_frame *f = i < PICTURES ? made_frame(&pool, i) : NULL;

        st = vpi_h264enc_encode(e, f, (int64_t)i * 512, i == 0, &c, &err);
        vpi_frame_unref(f);
        if (st == VP_OK) {
            assert_int_equal(av_new_packet(packet, (int)c.size), 0);
            memcpy(packet->data, c.data, c.size);
            packet->pts = c.pts;
            assert_int_equal(avcodec_send_packet(d, packet), 0);
            av_packet_unref(packet);
        }
        if (st == VP_END) assert_int_equal(avcodec_send_packet(d, NULL), 0);
        while (avcodec_receive_frame(d, av) == 0) {
            vpi_frame *want = made_frame(&pool, got);
            double sum = 0;
            int x, y;

            assert_int_equal(av->pts, (int64_t)got * 512);
            for (y = 0; y < 72; y++) {
                for (x = 0; x < 128; x++) {
                    double diff = av->data[0][y * av->linesize[0] + x] -
                                  want->av->data[0][y * want->av->linesize[0] + x];

                    sum += diff * diff;
                }
            }
            assert_true(sum / (128 * 72) < 25);
            vpi_frame_unref(want);
            got++;
        }
    }
    assert_int_equal(got, PICTURES);
    vpi_h264enc_free(e);
    vpi_frame_pool_dispose(&pool);
    vpi_buf_dispose(&config);
    av_packet_free(&packet);
    av_frame_free(&av);
    avcodec_free_context(&d);
}

/* One frame for two times (a held picture), rates above the grid, and times that do not rise. */
static void test_times(void **state)
{
    vpi_h264enc_options o = options_of(128, 72);
    vpi_frame_pool pool;
    vpi_h264enc *e = NULL;
    vpi_frame *f;
    vpi_coded c;
    int got = 0;
    vp_status st;

    (void)state;
    o.variable = true;
    o.timebase_den = 90000;
    assert_true(vpi_frame_pool_init(&pool, 128, 72));
    assert_ok(vpi_h264enc_new(context, &o, &e, &err));
    f = made_frame(&pool, 1);
    assert_true(vpi_h264enc_encode(e, f, -500, true, &c, &err) >= 0);
    assert_true(vpi_h264enc_encode(e, f, 1, false, &c, &err) >= 0);
    assert_true(vpi_h264enc_encode(e, f, INT64_C(90000) * 86400, false, &c, &err) >= 0);
    assert_fails(vpi_h264enc_encode(e, f, 1, false, &c, &err), VP_E_ARG, "ARG");
    while ((st = vpi_h264enc_encode(e, NULL, 0, false, &c, &err)) == VP_OK) got++;
    assert_int_equal(st, VP_END);
    assert_int_equal(got, 3);
    assert_fails(vpi_h264enc_encode(e, f, INT64_MAX, false, &c, &err), VP_E_STATE, "STATE");
    vpi_frame_unref(f);
    vpi_frame_pool_dispose(&pool);
    assert_true(vpi_frame_pool_init(&pool, 64, 64));
    f = made_frame(&pool, 1);
    vpi_h264enc_free(e);
    assert_ok(vpi_h264enc_new(context, &o, &e, &err));
    assert_fails(vpi_h264enc_encode(e, f, 0, false, &c, &err), VP_E_ARG, "ARG");
    vpi_frame_unref(f);
    vpi_h264enc_free(e);
    vpi_frame_pool_dispose(&pool);
}

static void test_refusals(void **state)
{
    vpi_h264enc_options o = options_of(128, 72), bad;
    vpi_h264enc *e = NULL;

    (void)state;
#define REFUSED(change)                                                                                      \
    do {                                                                                                     \
        bad = o;                                                                                             \
        change;                                                                                              \
        assert_fails(vpi_h264enc_new(context, &bad, &e, &err), VP_E_ARG, "ARG");                             \
        assert_null(e);                                                                                      \
    } while (0)
    REFUSED(strcpy(bad.preset, "hasty"));
    REFUSED(strcpy(bad.preset, "5"));
    REFUSED(memset(bad.preset, 'a', sizeof(bad.preset)));
    REFUSED(strcpy(bad.profile, "high10"));
    REFUSED(bad.width = 127);
    REFUSED(bad.height = 0);
    REFUSED(bad.fps_den = 0);
    REFUSED(bad.timebase_num = 0);
    REFUSED(bad.kbps = 0);
    REFUSED(bad.trellis = 3);
    REFUSED((bad.pass = VPI_PASS_SECOND, bad.abr = false));
    REFUSED((bad.pass = VPI_PASS_FIRST, bad.abr = false));
    REFUSED((bad.pass = VPI_PASS_FIRST, bad.stats = "x")); /* a first pass is by crf */
#undef REFUSED
}

static void test_memory(void **state)
{
    vpi_h264enc_options o = options_of(1920, 1080);
    uint64_t with_20 = vpi_h264enc_memory(&o), with_40;

    (void)state;
    o.lookahead = 40;
    with_40 = vpi_h264enc_memory(&o);
    /* Measured on 1080p: 217 MB and 352 MB of resident memory. */
    assert_in_range(with_20 >> 20, 200, 290);
    assert_in_range(with_40 >> 20, 320, 460);
    assert_true(vpi_frame_memory(1920, 1080) >= 1920 * 1080 * 3 / 2);
    assert_true(vpi_frame_memory(1920, 1080) < 1920 * 1080 * 8 / 5);
}

/* Each allocation fails once: NOMEM comes out, nothing leaks. */
static void test_no_memory(void **state)
{
    vpi_h264enc_options o = options_of(128, 72);
    vpi_h264enc *e = NULL;
    vpi_scaler *s = NULL;
    long n, left = 0;
    vp_status st;

    (void)state;
    for (n = 1; left == 0; n++) {
        vpi_alloc_fail_at = n;
        vp_error_init(&err);
        st = vpi_h264enc_new(context, &o, &e, &err);
        if (st == VP_OK) st = vpi_scaler_new(64, 64, 32, 32, &s, &err);
        left = vpi_alloc_fail_at;
        vpi_alloc_fail_at = 0;
        assert_int_equal(st, left ? VP_OK : VP_E_NOMEM);
        e = vpi_h264enc_free(e);
        s = vpi_scaler_free(s);
        assert_true(n < 100);
    }
    assert_true(n > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gop_and_order),
        cmocka_unit_test(test_keyint),
        cmocka_unit_test(test_parameter_sets),
        cmocka_unit_test(test_level),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_two_passes),
        cmocka_unit_test(test_wrong_statistics),
        cmocka_unit_test(test_decodes),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests_name("media/x264", tests, clips_setup, clips_teardown);
}
