/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "picture.h"

#include "base/fault.h"

typedef struct expectation {
    uint32_t width, height;
    int64_t num, den;
    const char *list, *rungs;
    uint32_t warnings;
} expectation;

static const expectation cases[] = {
    { 1920, 1080, 25, 1, NULL,
      "1080p 1920x1080 5000 4.0, 720p 1280x720 2800 3.1, 480p 854x480 1400 3.0, 360p 640x360 800 3.0, "
      "240p 426x240 400 2.1",
      0 },
    { 3840, 2160, 25, 1, "auto",
      "2160p 3840x2160 16000 5.1, 1440p 2560x1440 9000 5.0, 1080p 1920x1080 5000 4.0, 720p 1280x720 2800 "
      "3.1, "
      "480p 854x480 1400 3.0, 360p 640x360 800 3.0, 240p 426x240 400 2.1",
      0 },
    /* portrait, wide, narrow */
    { 1080, 1920, 30, 1, "720p,360p", "720p 720x1280 2800 3.1, 360p 360x640 800 3.0", 0 },
    { 1920, 800, 24, 1, "1080p,720p", "1080p 1920x800 5000 4.0, 720p 1280x534 2800 3.1", 0 },
    { 1440, 1080, 25, 1, "1080p,720p", "1080p 1440x1080 5000 4.0, 720p 960x720 2800 3.1", 0 },
    { 10000, 2, 25, 1, "240p", "240p 426x2 400 1.3", 0 },
    /* above 30 frames a second; what counts as 30; the cap; nothing known */
    { 1280, 720, 60, 1, "720p", "720p 1280x720 4200 3.2", 0 },
    { 1280, 720, 60000, 1001, "720p", "720p 1280x720 4200 3.2", 0 },
    { 1280, 720, 3002, 100, "720p", "720p 1280x720 2800 3.2", 0 },
    { 1280, 720, 240, 1, "720p", "720p 1280x720 4200 3.2", 0 },
    { 1280, 720, 0, 1, "720p", "720p 1280x720 2800 3.1", 0 },
    { 1280, 720, 0, 0, "720p", "720p 1280x720 2800 3.1", 0 },
    /* order of the list does not matter; what is above the source is left out */
    { 768, 432, 10, 1, NULL, "360p 640x360 800 2.2, 240p 426x240 400 2.1", 0 },
    { 768, 432, 10, 1, "240p,1080p,360p,480p", "360p 640x360 800 2.2, 240p 426x240 400 2.1", 2 },
    /* nothing is left: the own size, even, at the nearest preset's rate times the ratio of pixels */
    { 320, 180, 25, 1, NULL, "180p 320x180 225 1.2", 0 },
    { 127, 71, 25, 1, NULL, "72p 128x72 36 1.0", 0 },
    { 1280, 720, 25, 1, "1080p", "720p 1280x720 2800 3.1", 1 },
    { 1278, 718, 50, 1, "1080p", "718p 1278x718 4182 3.2", 1 },
    { 1, 1, 25, 1, NULL, "2p 2x2 16 1.0", 0 },
};

static void presets(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < VPI_COUNT(cases); i++) {
        vp_media *media = picture_of(cases[i].width, cases[i].height, cases[i].num, cases[i].den);
        vp_ladder_options o = VP_LADDER_OPTIONS_INIT;
        vp_ladder *ladder = NULL;
        uint32_t k;

        o.rungs = cases[i].list;
        assert_int_equal(vp_ladder_derive(media, &o, &ladder, NULL), VP_OK);
        rungs_are(ladder, cases[i].rungs);
        assert_int_equal(vp_ladder_warning_count(ladder), cases[i].warnings);
        for (k = 0; k < cases[i].warnings; k++) {
            const char *text = NULL;

            assert_string_equal(vp_ladder_warning(ladder, k, &text), "RUNG_ABOVE_SOURCE");
            assert_non_null(strstr(text, "is left out: the picture is "));
        }
        assert_null(vp_ladder_warning(ladder, k, NULL));
        vp_ladder_unref(ladder);
        vp_media_unref(media);
    }
}

/* Whatever the picture: at least one rung, even, never larger, shape kept, falling, names differ. */
static void all_sizes(void **state)
{
    uint32_t width, height;

    (void)state;
    for (width = 16; width < 5000; width += 61) {
        for (height = 16; height < 3000; height += 97) {
            vp_media *media = picture_of(width, height, 25, 1);
            vp_ladder *ladder = NULL;
            uint64_t last = UINT64_MAX;
            uint32_t i;

            assert_int_equal(vp_ladder_derive(media, NULL, &ladder, NULL), VP_OK);
            assert_true(vp_ladder_count(ladder) > 0);
            for (i = 0; i < vp_ladder_count(ladder); i++) {
                vp_rung r;
                int64_t skew;

                vp_rung_init(&r, sizeof(r));
                assert_int_equal(vp_ladder_get(ladder, i, &r, NULL), VP_OK);
                assert_true(r.width % 2 == 0 && r.height % 2 == 0 && r.width && r.height);
                assert_true(r.width <= width + width % 2 && r.height <= height + height % 2);
                skew = (int64_t)r.width * height - (int64_t)r.height * width;
                if (r.width > 2 && r.height > 2)
                    assert_true(skew <= width + height && -skew <= width + height);
                assert_true((uint64_t)r.width * r.height < last);
                last = (uint64_t)r.width * r.height;
                assert_true(r.maxrate_kbps == r.kbps + r.kbps / 2 && r.bufsize_kbit == r.maxrate_kbps);
                assert_true(r.level >= 10);
            }
            vp_ladder_unref(ladder);
            vp_media_unref(media);
        }
    }
}

static void max_fps(void **state)
{
    vp_media *media = picture_of(1280, 720, 60, 1);
    vp_ladder_options o = VP_LADDER_OPTIONS_INIT;
    vp_ladder *ladder = NULL;

    (void)state;
    o.rungs = "720p";
    o.max_fps = 30;
    assert_int_equal(vp_ladder_derive(media, &o, &ladder, NULL), VP_OK);
    rungs_are(ladder, "720p 1280x720 2800 3.1");
    vp_ladder_unref(ladder);
    vp_media_unref(media);
}

static void without_video(void **state)
{
    vp_media *media = picture_of(0, 0, 25, 1);
    vp_ladder *ladder = NULL;
    vp_ladder_options o = VP_LADDER_OPTIONS_INIT;

    (void)state;
    media->m.tracks[0].kind = VPI_KIND_AUDIO;
    assert_int_equal(vp_ladder_derive(media, NULL, &ladder, NULL), VP_OK);
    assert_int_equal(vp_ladder_count(ladder), 0);
    assert_int_equal(vp_ladder_audio_kbps(ladder), 128);
    vp_ladder_unref(ladder);
    /* Cover art is no picture. */
    media->m.tracks[0].kind = VPI_KIND_VIDEO;
    media->m.tracks[0].attached_picture = true;
    media->m.tracks[0].display_width = media->m.tracks[0].display_height = 600;
    assert_int_equal(vp_ladder_derive(media, NULL, &ladder, NULL), VP_OK);
    assert_int_equal(vp_ladder_count(ladder), 0);
    vp_ladder_unref(ladder);
    o.rungs = "721p";
    assert_int_equal(vp_ladder_derive(media, &o, &ladder, NULL), VP_E_ARG);
    vp_media_unref(media);
}

static void wrong_lists(void **state)
{
    static const char *const lists[][2] = {
        { "", "ladder: \"\" is not a preset" },
        { "720p,", "ladder: \"\" is not a preset" },
        { "720p, 360p", "ladder: \" 360p\" is not a preset" },
        { "720", "ladder: \"720\" is not a preset" },
        { "720p,360p,720p", "ladder: 720p is named twice" },
        { "auto,720p", "ladder: \"auto\" is not a preset" },
    };
    vp_media *media = picture_of(1280, 720, 25, 1);
    size_t i;

    (void)state;
    for (i = 0; i < VPI_COUNT(lists); i++) {
        vp_ladder_options o = VP_LADDER_OPTIONS_INIT;
        vp_error err = VP_ERROR_INIT;
        vp_ladder *ladder = NULL;

        o.rungs = lists[i][0];
        assert_int_equal(vp_ladder_derive(media, &o, &ladder, &err), VP_E_ARG);
        assert_null(ladder);
        assert_string_equal(err.message, lists[i][1]);
    }
    vp_media_unref(media);
}

static void handles(void **state)
{
    vp_media *media = picture_of(1280, 720, 25, 1);
    vp_ladder_options macro = VP_LADDER_OPTIONS_INIT, function;
    struct {
        vp_ladder_options o;
        uint64_t tail;
    } newer = { VP_LADDER_OPTIONS_INIT, 1 };
    vp_ladder *ladder = NULL;
    vp_rung r;
    long n;

    (void)state;
    memset(&function, 0xAA, sizeof(function));
    vp_ladder_options_init(&function, sizeof(function));
    assert_int_equal(memcmp(&macro, &function, sizeof(macro)), 0);
    newer.o.struct_size = sizeof(newer);
    assert_int_equal(vp_ladder_derive(media, &newer.o, &ladder, NULL), VP_E_VERSION);
    assert_int_equal(vp_ladder_derive(NULL, NULL, &ladder, NULL), VP_E_ARG);
    assert_int_equal(vp_ladder_derive(media, NULL, NULL, NULL), VP_E_ARG);
    macro.rungs = "2160p,720p";
    for (n = 1; n < 50; n++) {
        vp_status st;

        vpi_alloc_fail_at = n;
        st = vp_ladder_derive(media, &macro, &ladder, NULL);
        if (vpi_alloc_fail_at > 0) break;
        assert_int_equal(st, VP_E_NOMEM);
    }
    vpi_alloc_fail_at = 0;
    assert_true(n > 2 && n < 50);
    assert_ptr_equal(vp_ladder_ref(ladder), ladder);
    assert_null(vp_ladder_unref(ladder));
    vp_rung_init(&r, sizeof(r));
    assert_int_equal(vp_ladder_get(ladder, 1, &r, NULL), VP_E_ARG);
    assert_null(vp_ladder_unref(ladder));
    assert_null(vp_ladder_unref(NULL));
    vp_media_unref(media);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets),       cmocka_unit_test(all_sizes),   cmocka_unit_test(max_fps),
        cmocka_unit_test(without_video), cmocka_unit_test(wrong_lists), cmocka_unit_test(handles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
