/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "picture.h"

static vp_status parse(const char *text, const vp_media *media, vp_ladder **out, vp_error *err)
{
    return vp_ladder_parse(text, strlen(text), media, out, err);
}

static void gives(const char *text, const vp_media *media, const char *rungs, uint32_t warnings)
{
    vp_ladder *ladder = NULL;
    vp_error err = VP_ERROR_INIT;
    vp_status st = parse(text, media, &ladder, &err);

    assert_string_equal(err.message, "");
    assert_int_equal(st, VP_OK);
    rungs_are(ladder, rungs);
    assert_int_equal(vp_ladder_warning_count(ladder), warnings);
    vp_ladder_unref(ladder);
}

static void short_form(void **state)
{
    vp_media *wide = picture_of(1920, 800, 25, 1), *tall = picture_of(1080, 1920, 25, 1);
    vp_media *audio = picture_of(0, 0, 0, 1);

    (void)state;
    audio->m.tracks[0].kind = VPI_KIND_AUDIO;
    gives("{\"rungs\":[{\"name\":\"a\",\"height\":400,\"kbps\":900}]}", wide, "a 960x400 900 3.0", 0);
    gives("{\"rungs\":[{\"name\":\"a\",\"height\":640,\"kbps\":900}]}", tall, "a 360x640 900 3.0", 0);
    gives("{\"rungs\":[{\"name\":\"low\",\"height\":201,\"kbps\":300},{\"name\":\"top\",\"height\":800,"
          "\"kbps\":4000}]}",
          wide, "top 1920x800 4000 4.0, low 484x202 300 2.1", 0);
    /* never upscale */
    gives("{\"rungs\":[{\"name\":\"a\",\"height\":802,\"kbps\":900},{\"name\":\"b\",\"height\":400,\"kbps\":"
          "900}]}",
          wide, "b 960x400 900 3.0", 1);
    gives("{\"rungs\":[{\"name\":\"a\",\"height\":1600,\"kbps\":900}]}", wide, "800p 1920x800 3704 4.0", 1);
    gives("{\"rungs\":[{\"name\":\"a\",\"height\":400,\"kbps\":900}]}", audio, "", 0);
    vp_media_unref(wide);
    vp_media_unref(tall);
    vp_media_unref(audio);
}

/* A full size of the picture's shape is taken as it is, another is a box. */
static void boxes(void **state)
{
    static const char box[] = "{\"rungs\":[{\"name\":\"a\",\"width\":1280,\"height\":720,\"kbps\":2000}]}";
    vp_media *normal = picture_of(1920, 1080, 25, 1), *narrow = picture_of(1440, 1080, 25, 1);
    vp_media *tall = picture_of(1080, 1920, 25, 1), *wide = picture_of(1920, 800, 25, 1);

    (void)state;
    gives(box, normal, "a 1280x720 2000 3.1", 0);
    gives(box, narrow, "a 960x720 2000 3.1", 0);
    gives(box, tall, "a 720x1280 2000 3.1", 0);
    gives(box, wide, "a 1280x534 2000 3.1", 0);
    gives(box, NULL, "a 1280x720 2000 3.1", 0);
    vp_media_unref(normal);
    vp_media_unref(narrow);
    vp_media_unref(tall);
    vp_media_unref(wide);
}

/* parse(json(x)) is x: with the same media, and without any. */
static void round_trip(void **state)
{
    uint32_t width, height, with;

    (void)state;
    for (width = 16; width < 4100; width += 83) {
        for (height = 16; height < 2400; height += 151) {
            vp_media *media = picture_of(width, height, 60000, 1001);
            vp_ladder *one = NULL, *two = NULL;
            vp_bytes *a = NULL, *b = NULL;

            assert_int_equal(vp_ladder_derive(media, NULL, &one, NULL), VP_OK);
            assert_int_equal(vp_ladder_json(one, &a, NULL), VP_OK);
            for (with = 0; with < 2; with++) {
                assert_int_equal(
                    vp_ladder_parse(vp_bytes_data(a), vp_bytes_size(a), with ? media : NULL, &two, NULL),
                    VP_OK);
                assert_int_equal(vp_ladder_json(two, &b, NULL), VP_OK);
                assert_string_equal(vp_bytes_data(a), vp_bytes_data(b));
                assert_int_equal(vp_ladder_warning_count(two), 0);
                b = vp_bytes_unref(b);
                two = vp_ladder_unref(two);
            }
            vp_bytes_unref(a);
            vp_ladder_unref(one);
            vp_media_unref(media);
        }
    }
}

static void text_form(void **state)
{
    vp_media *media = picture_of(1280, 720, 25, 1);
    vp_ladder *ladder = NULL;
    vp_bytes *b = NULL;

    (void)state;
    assert_int_equal(
        parse("{\"vodpipe\":1,\"rungs\":[{\"name\":\"x\",\"height\":720,\"kbps\":2800,\"maxrate_kbps\":3000,"
              "\"bufsize_kbit\":6000,\"codec\":\"h264\",\"profile\":\"main\",\"level\":\"4.0\"}],"
              "\"audio\":[{\"kbps\":96}]}",
              media, &ladder, NULL),
        VP_OK);
    assert_int_equal(vp_ladder_audio_kbps(ladder), 96);
    assert_int_equal(vp_ladder_json(ladder, &b, NULL), VP_OK);
    assert_string_equal(vp_bytes_data(b),
                        "{\n  \"vodpipe\": 1,\n  \"rungs\": [\n    {\n      \"name\": \"x\",\n"
                        "      \"width\": 1280,\n      \"height\": 720,\n      \"kbps\": 2800,\n"
                        "      \"maxrate_kbps\": 3000,\n      \"bufsize_kbit\": 6000,\n"
                        "      \"codec\": \"h264\",\n      \"profile\": \"main\",\n"
                        "      \"level\": \"4.0\"\n    }\n  ],\n  \"audio\": [\n    {\n"
                        "      \"codec\": \"aac\",\n      \"channels\": 2,\n      \"kbps\": 96\n"
                        "    }\n  ]\n}\n");
    vp_bytes_unref(b);
    vp_ladder_unref(ladder);
    vp_media_unref(media);
}

#define RUNG(fields) "{\"rungs\":[{\"name\":\"a\",\"height\":360,\"kbps\":800" fields "}]}"

static void refusals(void **state)
{
    static const char *const cases[][2] = {
        { "", "ladder: empty" },
        { "[]", "ladder: not an object" },
        { "{}", "ladder.rungs: missing" },
        { "{\"rungs\":[]}", "ladder.rungs: none" },
        { "{\"rungs\":{}}", "ladder.rungs: not an array" },
        { "{\"rungs\":[],\"more\":1}", "ladder.more: unknown field" },
        { "{\"rungs\":[1]}", "ladder.rungs[0]: not an object" },
        { "{\"rungs\":[{\"height\":360,\"kbps\":800}]}", "ladder.rungs[0].name: missing" },
        { "{\"rungs\":[{\"name\":\"a\",\"kbps\":800}]}", "ladder.rungs[0].height: missing" },
        { "{\"rungs\":[{\"name\":\"a\",\"height\":360}]}", "ladder.rungs[0].kbps: missing" },
        { "{\"rungs\":[{\"name\":\"a\",\"height\":0,\"kbps\":800}]}", "ladder.rungs[0].height: too small" },
        { "{\"rungs\":[{\"name\":\"a\",\"height\":16385,\"kbps\":800}]}",
          "ladder.rungs[0].height: too large" },
        { "{\"rungs\":[{\"name\":\"a\",\"height\":360,\"kbps\":0}]}", "ladder.rungs[0].kbps: too small" },
        { "{\"rungs\":[{\"name\":\"a\",\"height\":360.0,\"kbps\":1}]}",
          "ladder.rungs[0].height: not a whole number" },
        { "{\"rungs\":[{\"name\":\"../a\",\"height\":360,\"kbps\":800}]}",
          "ladder.rungs[0].name: other than letters, digits, '-', '_' and '.'" },
        { "{\"rungs\":[{\"name\":\"\",\"height\":360,\"kbps\":800}]}", "ladder.rungs[0].name: empty" },
        { "{\"rungs\":[{\"name\":\"0123456789012345678901234567890x\",\"height\":360,\"kbps\":800}]}",
          "ladder.rungs[0].name: too long" },
        { RUNG(",\"width\":\"x\""), "ladder.rungs[0].width: not a whole number" },
        { RUNG(",\"maxrate_kbps\":700"), "ladder.rungs[0].maxrate_kbps: too small" },
        { RUNG(",\"bufsize_kbit\":0"), "ladder.rungs[0].bufsize_kbit: too small" },
        { RUNG(",\"codec\":\"hevc\""), "ladder.rungs[0].codec: only h264 is encoded" },
        { RUNG(",\"profile\":\"high10\""), "ladder.rungs[0].profile: neither high nor main nor baseline" },
        { RUNG(",\"level\":\"3.3\""), "ladder.rungs[0].level: not a level of H.264" },
        { RUNG(",\"level\":3.1"), "ladder.rungs[0].level: not a string" },
        { RUNG(",\"level\":\"1.1\""), "ladder.rungs[0].level: too low for this size and rate" },
        { RUNG(",\"fps\":25"), "ladder.rungs[0].fps: unknown field" },
        { "{\"rungs\":[{\"name\":\"a\",\"height\":360,\"kbps\":1},{\"name\":\"a\",\"height\":180,\"kbps\":1}]"
          "}",
          "ladder.rungs[1].name: taken" },
        { "{\"rungs\":[{\"name\":\"a\",\"height\":360,\"kbps\":1}],\"audio\":[]}",
          "ladder.audio: not one element" },
        { "{\"rungs\":[{\"name\":\"a\",\"height\":360,\"kbps\":1}],\"audio\":[{\"kbps\":15}]}",
          "ladder.audio[0].kbps: too small" },
        { "{\"rungs\":[{\"name\":\"a\",\"height\":360,\"kbps\":1}],\"audio\":[{\"kbps\":513}]}",
          "ladder.audio[0].kbps: too large" },
        { "{\"rungs\":[{\"name\":\"a\",\"height\":360,\"kbps\":1}],\"audio\":[{\"codec\":\"mp3\"}]}",
          "ladder.audio[0].codec: only aac is encoded" },
        { "{\"rungs\":[{\"name\":\"a\",\"height\":360,\"kbps\":1}],\"audio\":[{\"channels\":6}]}",
          "ladder.audio[0].channels: too large" },
        { "{\"rungs\":[{\"name\":\"a\",\"height\":360,\"kbps\":1}],\"audio\":[{\"rate\":6}]}",
          "ladder.audio[0].rate: unknown field" },
    };
    vp_media *media = picture_of(1920, 1080, 25, 1);
    vp_ladder *ladder = NULL;
    vp_error err;
    size_t i;

    (void)state;
    for (i = 0; i < VPI_COUNT(cases); i++) {
        vp_error_init(&err);
        assert_int_equal(parse(cases[i][0], media, &ladder, &err), VP_E_DATA);
        assert_null(ladder);
        assert_string_equal(err.reason, "INPUT_CORRUPT");
        assert_string_equal(err.message, cases[i][1]);
    }
    vp_error_init(&err);
    assert_int_equal(parse("{\"vodpipe\":2,\"new\":1}", media, &ladder, &err), VP_E_VERSION);
    /* Without a picture the width cannot be derived. */
    vp_error_init(&err);
    assert_int_equal(parse(RUNG(""), NULL, &ladder, &err), VP_E_DATA);
    assert_string_equal(err.message, "ladder.rungs[0].width: missing");
    assert_int_equal(vp_ladder_parse(NULL, 3, media, &ladder, NULL), VP_E_ARG);
    assert_int_equal(vp_ladder_parse("{}", 2, media, NULL, NULL), VP_E_ARG);
    vp_media_unref(media);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_form), cmocka_unit_test(boxes),    cmocka_unit_test(round_trip),
        cmocka_unit_test(text_form),  cmocka_unit_test(refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
