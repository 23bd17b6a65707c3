/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "model/media.h"

static void set_video(vpi_track *t)
{
    t->kind = VPI_KIND_VIDEO;
    t->codec = VPI_CODEC_H264;
    memcpy(t->codec_name, "h264", sizeof("h264"));
    memcpy(t->codecs, "avc1.4d401e", sizeof("avc1.4d401e"));
    t->width = t->display_width = 768;
    t->height = t->display_height = 432;
    t->sar_num = t->sar_den = 1;
    t->frame_rate = (vpi_rational){ 10, 1 };
    t->packets = 1394;
    t->bit_depth = 8;
    memcpy(t->chroma, "4:2:0", sizeof("4:2:0"));
    memcpy(t->primaries, "bt709", sizeof("bt709"));
    memcpy(t->transfer, "bt709", sizeof("bt709"));
    memcpy(t->matrix, "bt709", sizeof("bt709"));
    memcpy(t->range, "limited", sizeof("limited"));
    memcpy(t->hdr, "none", sizeof("none"));
    t->keyframe_min_us = 400000;
    t->keyframe_mean_us = 5000000;
    t->keyframe_max_us = 25000000;
    t->tb = (vpi_rational){ 1, 12800 };
    t->has_times = true;
    t->start = 12800;
    t->end = 12800 * 3;
}

/* Stream 0 is cover art, 1 video, 2 audio, 3 data. */
static vp_media *sample(void)
{
    vp_media *media = vpi_media_new();
    vpi_track *t;

    assert_non_null(media);
    t = media->m.tracks = vpi_calloc(4, sizeof(*t));
    assert_non_null(t);
    media->m.track_count = 4;
    memcpy(media->m.format, "mp4", sizeof("mp4"));
    media->m.size = 3291918;
    media->m.duration_us = 139400000;
    media->m.bit_rate = 188900;
    t[0].kind = VPI_KIND_VIDEO;
    t[0].attached_picture = true;
    memcpy(t[0].codec_name, "mjpeg", sizeof("mjpeg"));
    set_video(&t[1]);
    t[1].id = 1;
    t[2].id = 2;
    t[2].kind = VPI_KIND_AUDIO;
    memcpy(t[2].codec_name, "aac", sizeof("aac"));
    memcpy(t[2].codecs, "mp4a.40.2", sizeof("mp4a.40.2"));
    t[2].sample_rate = 48000;
    t[2].channels = 2;
    memcpy(t[2].layout, "stereo", sizeof("stereo"));
    memcpy(t[2].language, "en", sizeof("en"));
    t[2].is_default = true;
    t[3].id = 3;
    memcpy(t[3].codec_name, "tmcd", sizeof("tmcd"));
    return media;
}

static void counting(void **state)
{
    vp_media *media = sample();

    (void)state;
    assert_int_equal(vpi_media_count(&media->m, VPI_KIND_VIDEO), 1);
    assert_int_equal(vpi_media_nth(&media->m, VPI_KIND_VIDEO, 0)->id, 1);
    assert_null(vpi_media_nth(&media->m, VPI_KIND_VIDEO, 1));
    assert_int_equal(vpi_media_nth(&media->m, VPI_KIND_AUDIO, 0)->id, 2);
    assert_null(vpi_media_nth(&media->m, VPI_KIND_TEXT, 0));
    assert_ptr_equal(vp_media_ref(media), media);
    assert_null(vp_media_unref(media));
    assert_null(vp_media_unref(media));
    assert_null(vp_media_unref(NULL));
}

static void infos(void **state)
{
    vp_media *media = sample();
    vp_media_info info = VP_MEDIA_INFO_INIT;
    vp_video_info v;
    vp_audio_info a;
    vp_error err = VP_ERROR_INIT;

    (void)state;
    assert_int_equal(vp_media_get_info(media, &info, NULL), VP_OK);
    assert_int_equal(info.video_count, 2);
    assert_int_equal(info.audio_count, 1);
    assert_int_equal(info.other_count, 1);
    assert_int_equal(info.complete, -1);
    vp_video_info_init(&v, sizeof(v));
    assert_int_equal(vp_media_get_video(media, 0, &v, NULL), VP_OK);
    assert_int_equal(v.id, 1);
    assert_int_equal(v.start_us, 1000000);
    assert_int_equal(v.duration_us, 2000000);
    assert_int_equal(vp_media_get_video(media, 1, &v, NULL), VP_OK);
    assert_int_equal(v.attached_picture, 1);
    assert_int_equal(v.frame_rate_num, 0);
    assert_int_equal(v.frame_rate_den, 1);
    assert_int_equal(v.sar_num, 1);
    assert_true(v.start_us == VP_TIME_UNKNOWN);
    assert_string_equal(v.primaries, "unknown");
    assert_int_equal(vp_media_get_video(media, 2, &v, &err), VP_E_ARG);
    assert_string_equal(err.reason, "ARG");
    vp_audio_info_init(&a, sizeof(a));
    assert_int_equal(vp_media_get_audio(media, 0, &a, NULL), VP_OK);
    assert_string_equal(a.language, "en");
    assert_int_equal(vp_media_get_audio(media, 1, &a, NULL), VP_E_ARG);
    assert_int_equal(vp_media_get_info(NULL, &info, NULL), VP_E_ARG);
    assert_int_equal(vp_media_get_info(media, NULL, NULL), VP_E_ARG);
    a.struct_size = 3;
    assert_int_equal(vp_media_get_audio(media, 0, &a, NULL), VP_E_ARG);
    vp_media_unref(media);
}

/* A host with an older header has a smaller struct, in an exact block for the sanitizer. */
static void old_struct(void **state)
{
    vp_media *media = sample();
    /* volatile: the compiler must not see that the block is shorter than the type */
    volatile uint32_t known = (uint32_t)offsetof(vp_media_info, duration_us);
    uint32_t size = known;
    vp_media_info *old = malloc(size);

    (void)state;
    memset(old, 0x55, size);
    old->struct_size = size;
    assert_int_equal(vp_media_get_info(media, old, NULL), VP_OK);
    assert_int_equal(old->struct_size, size);
    assert_int_equal(old->size, 3291918);
    free(old);
    vp_media_unref(media);
}

static void init_agrees(void **state)
{
    vp_media_info macro = VP_MEDIA_INFO_INIT, function;

    (void)state;
    memset(&function, 0xAA, sizeof(function));
    vp_media_info_init(&function, sizeof(function));
    assert_memory_equal(&macro, &function, sizeof(macro));
}

static void json_is(const vp_media *media, const char *expected)
{
    vp_bytes *b = NULL;

    assert_int_equal(vp_media_json(media, &b, NULL), VP_OK);
    assert_string_equal(vp_bytes_data(b), expected);
    vp_bytes_unref(b);
}

static void document(void **state)
{
    vp_media *media = sample(), *empty = vpi_media_new();
    vp_bytes *b = NULL;

    (void)state;
    media->m.complete = 1;
    assert_true(vpi_media_warn(&media->m, "VARIABLE_FRAME_RATE", 5, "%d to %d", 1, 2));
    json_is(
        media,
        "{\"vodpipe\":1,\"format\":\"mp4\",\"size\":3291918,\"duration_us\":139400000,\"bit_rate\":188900,"
        "\"video\":[{\"id\":1,\"codec\":\"h264\",\"codecs\":\"avc1.4d401e\",\"width\":768,\"height\":432,"
        "\"display_width\":768,\"display_height\":432,\"rotation\":0,\"sar\":\"1:1\",\"frame_rate\":\"10/1\","
        "\"variable_frame_rate\":false,\"frames\":1394,\"bit_depth\":8,\"chroma\":\"4:2:0\","
        "\"interlaced\":false,\"primaries\":\"bt709\",\"transfer\":\"bt709\",\"matrix\":\"bt709\","
        "\"range\":\"limited\",\"hdr\":\"none\","
        "\"keyframe_interval_us\":{\"min\":400000,\"mean\":5000000,\"max\":25000000}}],"
        "\"audio\":[{\"id\":2,\"codec\":\"aac\",\"codecs\":\"mp4a.40.2\",\"sample_rate\":48000,\"channels\":"
        "2,"
        "\"layout\":\"stereo\",\"language\":\"en\",\"default\":true}],"
        "\"text\":[],\"other\":[{\"id\":0,\"codec\":\"mjpeg\"},{\"id\":3,\"codec\":\"tmcd\"}],"
        "\"start_skew_us\":0,\"complete\":true,"
        "\"warnings\":[{\"name\":\"VARIABLE_FRAME_RATE\",\"text\":\"1 to 2\"}]}");
    json_is(empty, "{\"vodpipe\":1,\"size\":0,\"video\":[],\"audio\":[],\"text\":[],\"other\":[],"
                   "\"start_skew_us\":0,\"warnings\":[]}");
    assert_int_equal(vp_media_json(NULL, &b, NULL), VP_E_ARG);
    vp_media_unref(empty);
    vp_media_unref(media);
}

static void warnings(void **state)
{
    vp_media *media = vpi_media_new();
    const char *text = "";
    int64_t at = 0;
    long n;

    (void)state;
    for (n = 0; n < 20; n++) assert_true(vpi_media_warn(&media->m, "MOOV_AT_END", n, "number %ld", n));
    assert_string_equal(vp_media_warning(media, 19, &text, &at), "MOOV_AT_END");
    assert_string_equal(text, "number 19");
    assert_int_equal(at, 19);
    assert_null(vp_media_warning(media, 20, &text, NULL));
    assert_null(text);
    for (n = 1; n < 100; n++) {
        vpi_alloc_fail_at = n;
        if (vpi_media_warn(&media->m, "A", 0, "b") && vpi_alloc_fail_at > 0) break;
    }
    vpi_alloc_fail_at = 0;
    assert_true(n > 1 && n < 100);
    vp_media_unref(media);
}

static void dolby_vision(void **state)
{
    static const struct {
        uint8_t profile, compatibility, transfer;
        bool shown;
    } rows[] = {
        { 5, 0, 2, false },  { 5, 0, 16, false }, { 8, 1, 16, true },  { 8, 1, 2, false },
        { 8, 2, 2, true },   { 8, 4, 18, true },  { 8, 0, 16, false }, { 7, 6, 16, true },
        { 7, 0, 16, true },  { 4, 0, 1, true },   { 9, 2, 1, true },   { 10, 0, 16, false },
        { 10, 1, 16, true }, { 20, 0, 2, false }, { 0, 0, 16, true },  { 0, 0, 2, false },
        { 0, 0, 0, false },
    };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        vpi_track t = { .hdr = "dolbyvision",
                        .dv_profile = rows[i].profile,
                        .dv_compatibility = rows[i].compatibility,
                        .cicp_transfer = rows[i].transfer };
        vp_error err = VP_ERROR_INIT;
        assert_int_equal(vpi_track_check_base(&t, &err), rows[i].shown ? VP_OK : VP_E_UNSUPPORTED);
        if (!rows[i].shown) assert_string_equal(err.reason, "CODEC_UNSUPPORTED");
        memcpy(t.hdr, "pq", sizeof("pq"));
        assert_int_equal(vpi_track_check_base(&t, NULL), VP_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counting),     cmocka_unit_test(infos),    cmocka_unit_test(old_struct),
        cmocka_unit_test(init_agrees),  cmocka_unit_test(document), cmocka_unit_test(warnings),
        cmocka_unit_test(dolby_vision),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
