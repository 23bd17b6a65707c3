/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Manifests of a published title, and the playlist reader. */
#include "title.h"

#include "verify/hls_int.h"

#define MEDIA VERSION_FOLDER "/video/192p/playlist.m3u8"
#define IFRAMES VERSION_FOLDER "/video/192p/iframes.m3u8"
#define AUDIO VERSION_FOLDER "/audio/en-stereo/playlist.m3u8"

static const title_options cmaf = { .formats = VP_FORMAT_CMAF };
static const title_options single = { .formats = VP_FORMAT_CMAF, .single_file = true };

static void spoil(const title_options *o, const char *key, const char *from, const char *to, const char *rule)
{
    title t;

    title_make(&t, o);
    object_replace(&t, key, from, to);
    title_verify(&t);
    expect_rule(&t, rule);
    /* The text is not what the presentation gives, whatever else is wrong. */
    if (strcmp(rule, "STRUCTURE") != 0) expect_rule(&t, "MANIFEST");
    title_close(&t);
}

static void test_media(void **state)
{
    (void)state;
    spoil(&cmaf, MEDIA, "#EXTINF:2.0", "#EXTINF:2.1", "P01");
    spoil(&cmaf, AUDIO, "#EXTINF:2.0", "#EXTINF:2.1", "P01");
    spoil(&cmaf, MEDIA, "#EXTINF:2.0", "#EXTINF:0.0", "P01");
    spoil(&cmaf, MEDIA, "TARGETDURATION:2", "TARGETDURATION:1", "P02");
    spoil(&cmaf, MEDIA, "TARGETDURATION:2", "TARGETDURATION:3", "P02");
    spoil(&cmaf, MEDIA, "#EXT-X-ENDLIST\n", "", "HLS");
    spoil(&cmaf, MEDIA, "#EXT-X-PLAYLIST-TYPE:VOD", "#EXT-X-PLAYLIST-TYPE:EVENT", "HLS");
    spoil(&cmaf, MEDIA, "00002.m4s", "00001.m4s", "X04");
    spoil(&cmaf, MEDIA, "00002.m4s", "/00002.m4s", "HLS");
    spoil(&cmaf, MEDIA, "00002.m4s", "../../../../00002.m4s", "HLS");
    spoil(&cmaf, MEDIA, "00002.m4s", "https:00002.m4s", "HLS");
    spoil(&cmaf, MEDIA, "00001.m4s\n", "00001.m4s\n#EXT-X-DISCONTINUITY\n", "P26");
    spoil(&cmaf, MEDIA, "#EXTM3U\n", "#EXTM3U8\n", "HLS");
    spoil(&cmaf, MEDIA, "#EXTM3U\n", "#EXTM3U\r\n", "HLS");
    spoil(&cmaf, MEDIA, "init.mp4", "other.mp4", "X04");
    spoil(&cmaf, MEDIA, "#EXT-X-VERSION:", "#EXT-X-VERSION:1\n#X-", "HLS");
    spoil(&cmaf, MEDIA, "#EXT-X-ENDLIST", "#EXTINF:2.00000,\n00004.m4s\n#EXT-X-ENDLIST", "X04");
}

static void test_iframes(void **state)
{
    (void)state;
    spoil(&cmaf, IFRAMES, "#EXT-X-BYTERANGE:2", "#EXT-X-BYTERANGE:1", "P29");
    spoil(&cmaf, IFRAMES, "#EXT-X-I-FRAMES-ONLY\n", "", "P29");
    spoil(&cmaf, IFRAMES, "#EXTINF:1.0", "#EXTINF:1.1", "P29");
}

static void test_ranges(void **state)
{
    (void)state;
    spoil(&single, MEDIA, "#EXT-X-BYTERANGE:", "#EXT-X-BYTERANGE:1", "P19");
    spoil(&single, MEDIA, "@", "", "P19");
    spoil(&single, MEDIA, "BYTERANGE=\"", "BYTERANGE=\"1", "P19");
}

static void test_master(void **state)
{
    (void)state;
    spoil(&cmaf, "master.m3u8", ":BANDWIDTH=", ":BANDWIDTH=1", "P14");
    spoil(&cmaf, "master.m3u8", "AVERAGE-BANDWIDTH=", "AVERAGE-BANDWIDTH=1", "P14");
    spoil(&cmaf, "master.m3u8", "avc1.4d001e", "avc1.4d0028", "P13");
    spoil(&cmaf, "master.m3u8", "RESOLUTION=320x192", "RESOLUTION=320x190", "P13");
    spoil(&cmaf, "master.m3u8", ",AUDIO=\"", ",AUDIO=\"x", "P16");
    spoil(&cmaf, "master.m3u8", "LANGUAGE=\"en\"", "X-LANG=\"en\"", "P16");
    spoil(&cmaf, "master.m3u8", "192p/playlist.m3u8", "999p/playlist.m3u8", "X04");
    spoil(&cmaf, "master.m3u8", "192p/iframes.m3u8", "999p/iframes.m3u8", "X04");
    spoil(&cmaf, "master.m3u8", "#EXT-X-INDEPENDENT-SEGMENTS\n", "", "P04");
    spoil(&cmaf, "master.m3u8", "#EXT-X-I-FRAME-STREAM-INF:", "#EXT-X-I-FRAME-STREAM-INF:AUDIO=\"a\",",
          "P29");
    spoil(&cmaf, "master.m3u8", "FRAME-RATE=", "X-RATE=", "HLS");
    spoil(&cmaf, "manifest.mpd", "mediaPresentationDuration", "mediaPresentationDuratiom", "MANIFEST");
}

static void test_groups(void **state)
{
    (void)state;
    title t;

    title_make(&t, &(title_options){ .formats = VP_FORMAT_CMAF, .audio_tracks = 2 });
    object_replace(&t, "master.m3u8", "NAME=\"French\"", "NAME=\"English\"");
    title_verify(&t);
    expect_rule(&t, "P16");
    title_close(&t);
}

/* ---- the reader alone ---- */

static vpi_view view(const char *text)
{
    return (vpi_view){ text, strlen(text) };
}

static void test_numbers(void **state)
{
    (void)state;
    uint64_t a, b;

    assert_true(vpi_view_ns(view("6.006000"), &a));
    assert_int_equal(a, 6006000000);
    assert_true(vpi_view_ns(view("6"), &a));
    assert_int_equal(a, 6000000000);
    assert_false(vpi_view_ns(view("6."), &a));
    assert_false(vpi_view_ns(view(".5"), &a));
    assert_false(vpi_view_ns(view("1.0000000001"), &a));
    assert_false(vpi_view_ns(view("-1"), &a));
    assert_false(vpi_view_ns(view("99999999999"), &a));
    assert_false(vpi_view_u64(view("18446744073709551616"), &a));
    assert_true(vpi_view_u64(view("18446744073709551615"), &a));
    assert_true(vpi_view_range(view("12@34"), &a, &b));
    assert_int_equal(a, 12);
    assert_int_equal(b, 34);
    assert_false(vpi_view_range(view("12"), &a, &b));
    assert_false(vpi_view_range(view("@3"), &a, &b));
}

static void test_attributes(void **state)
{
    (void)state;
    vpi_view value;
    bool quoted;

    assert_true(vpi_attributes_valid(view("A=1,B=\"x,y=z\",C-D=0x1F")));
    assert_true(vpi_attribute(view("A=1,B=\"x,y=z\",C-D=0x1F"), "B", &value, &quoted));
    assert_true(quoted && vpi_view_is(value, "x,y=z"));
    assert_true(vpi_attribute(view("A=1,B=\"x,C=5\",C=2"), "C", &value, &quoted));
    assert_true(!quoted && vpi_view_is(value, "2"));
    assert_false(vpi_attribute(view("A=1"), "B", &value, &quoted));
    assert_false(vpi_attributes_valid(view("A=\"open")));
    assert_false(vpi_attributes_valid(view("BANDWIDTH=\"1\"")));
    assert_false(vpi_attributes_valid(view("CODECS=avc1")));
    assert_true(vpi_attributes_valid(view("CLOSED-CAPTIONS=\"cc\",CODECS=\"a\",BANDWIDTH=1")));
    assert_false(vpi_attributes_valid(view("A=1,B=2,A=1")));
    assert_false(vpi_attributes_valid(view("A")));
    assert_false(vpi_attributes_valid(view("A=1,")));
    assert_false(vpi_attributes_valid(view("a=1")));
    assert_false(vpi_attributes_valid(view("A=")));
    assert_false(vpi_attributes_valid(view("A=\"x\"y")));
}

static void test_uris(void **state)
{
    (void)state;
    char key[1100];

    assert_true(vpi_resolve("a/b/list.m3u8", view("seg%20ment.ts"), key));
    assert_string_equal(key, "a/b/seg ment.ts");
    assert_true(vpi_resolve("a/b/list.m3u8", view("../c/x.ts"), key));
    assert_string_equal(key, "a/c/x.ts");
    assert_true(vpi_resolve("list.m3u8", view("x.ts"), key));
    assert_string_equal(key, "x.ts");
    assert_false(vpi_resolve("a/list.m3u8", view("../../x.ts"), key));
    assert_false(vpi_resolve("a/list.m3u8", view("b/../../../x.ts"), key));
    assert_false(vpi_resolve("a/list.m3u8", view("%2e%2e/x.ts"), key));
    assert_false(vpi_resolve("a/list.m3u8", view("%zz"), key));
    assert_false(vpi_resolve("a/list.m3u8", view("%4"), key));
    assert_false(vpi_resolve("a/list.m3u8", view("http://x/y"), key));
    assert_false(vpi_resolve("a/list.m3u8", view("x.ts?token=1"), key));
    assert_false(vpi_resolve("a/list.m3u8", view(""), key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_media),      cmocka_unit_test(test_iframes), cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_master),     cmocka_unit_test(test_groups),  cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_attributes), cmocka_unit_test(test_uris),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
