/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* EXT-X-KEY and EXT-X-SESSION-KEY: which lines, where, and what else they change in a playlist. */
#include "title.h"

#include "base/fault.h"

#define KID "000102030405060708090a0b0c0d0e0f"
#define HEAD                                                                                                 \
    "#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-PLAYLIST-TYPE:VOD\n"                           \
    "#EXT-X-INDEPENDENT-SEGMENTS\n"
#define WIDEVINE_FORM                                                                                        \
    "KEYID=0x" KID ",KEYFORMAT=\"urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed\",KEYFORMATVERSIONS=\"1\"\n"

static char *media_text(const vp_presentation *p, uint32_t track)
{
    vp_bytes *b = NULL;
    vp_status st = vp_manifest_hls_media(p, track, &b, NULL);

    return text_of(st, b);
}

static char *iframes_text(const vp_presentation *p, uint32_t track)
{
    vp_bytes *b = NULL;
    vp_status st = vp_manifest_hls_iframes(p, track, &b, NULL);

    return text_of(st, b);
}

static char *master_text(const vp_presentation *p, int32_t container)
{
    vp_bytes *b = NULL;
    vp_status st = vp_manifest_hls_master(p, container, &b, NULL);

    return text_of(st, b);
}

static void expect(char *text, const char *expected)
{
    assert_string_equal(text, expected);
    vpi_free(text);
}

/* How often a text comes; frees it. */
static size_t times(char *text, const char *what)
{
    size_t n = count_of(text, what);

    vpi_free(text);
    return n;
}

static void whole_segments(void **state)
{
    vp_presentation *p = vpi_presentation_new();
    vpi_ptrack *t = add_video(p, "480p", 854, 480, 1400, false);
    vp_error err = VP_ERROR_INIT;
    vp_bytes *b = NULL;

    (void)state;
    protect(t, VPI_SCHEME_AES128, 1, 0);
    add_key(t, 0, "https://k.example/1?a=b&c");
    finish(p);
    expect(media_text(p, 0),
           "#EXTM3U\n#EXT-X-VERSION:6\n" HEAD "#EXT-X-MAP:URI=\"init.mp4\"\n"
           "#EXTINF:6.000000,\n00001.m4s\n"
           "#EXT-X-KEY:METHOD=AES-128,URI=\"https://k.example/1?a=b&c\","
           "IV=0x11111111111111111111111111111111\n#EXTINF:6.000000,\n00002.m4s\n"
           "#EXT-X-KEY:METHOD=AES-128,URI=\"https://k.example/1?a=b&c\","
           "IV=0x12121212121212121212121212121212\n#EXTINF:2.400000,\n00003.m4s\n#EXT-X-ENDLIST\n");
    /* No part of an encrypted whole can be read alone. */
    assert_int_equal(vp_manifest_hls_iframes(p, 0, &b, &err), VP_E_UNSUPPORTED);
    assert_null(b);
    assert_int_equal(times(master_text(p, VP_HLS_CMAF), "I-FRAME"), 0);
    assert_int_equal(times(master_text(p, VP_HLS_CMAF), "SESSION-KEY"), 0);

    /* Where the same IV is meant for several, one line serves them. */
    memset(t->segments[2].iv, 0x11, sizeof(t->segments[2].iv));
    assert_int_equal(times(media_text(p, 0), "#EXT-X-KEY:"), 1);
    /* Another key needs a line of its own. */
    t->protection.rotation = 2;
    add_key(t, 0, "https://k.example/2");
    assert_int_equal(times(media_text(p, 0), "#EXT-X-KEY:"), 2);
    vp_presentation_unref(p);
}

/* What each system is told; all in the order of the key. */
static void add_systems(vpi_key_info *k)
{
    add_drm(k, vpi_system_widevine, "abc", false, NULL, NULL);
    add_drm(k, vpi_system_playready, "PRO object", false, NULL, NULL);
    add_drm(k, vpi_system_fairplay, NULL, false, "skd://a", NULL);
    add_drm(k, vpi_system_clearkey, "", true, NULL, "https://ck.example");
    add_drm(k, vpi_system_common, "", true, NULL, NULL);
}

static void systems(void **state)
{
    static const char *const lines[] = {
        ",URI=\"data:text/plain;base64,AAAAI3Bzc2gAAAAA7e+LqXnWSs6jyCfc1R0h7QAAAANhYmM=\"," WIDEVINE_FORM,
        ",URI=\"data:text/"
        "plain;charset=UTF-16;base64,UFJPIG9iamVjdA==\",KEYFORMAT=\"com.microsoft.playready\","
        "KEYFORMATVERSIONS=\"1\"\n",
        ",URI=\"skd://a\",KEYFORMAT=\"com.apple.streamingkeydelivery\",KEYFORMATVERSIONS=\"1\"\n",
        ",URI=\"data:text/plain;base64,AAECAwQFBgcICQoLDA0ODw==\",KEYFORMAT=\"org.w3.clearkey\","
        "KEYFORMATVERSIONS=\"1\"\n",
        ",URI=\"data:text/plain;base64,"
        "AAAANHBzc2gBAAAAEHfv7MCyTQKs4zweUuL7SwAAAAEAAQIDBAUGBwgJCgsMDQ4PAAAAAA==\","
        "KEYID=0x" KID
        ",KEYFORMAT=\"urn:uuid:1077efec-c0b2-4d02-ace3-3c1e52e2fb4b\",KEYFORMATVERSIONS=\"1\"\n",
    };
    bool ctr;

    (void)state;
    for (ctr = false;; ctr = true) {
        vp_presentation *p = vpi_presentation_new();
        vpi_ptrack *t = add_video(p, "480p", 854, 480, 1400, false);
        const char *method = ctr ? "SAMPLE-AES-CTR" : "SAMPLE-AES";
        char expected[4096], line[512];
        char *text;
        size_t i;

        protect(t, ctr ? VPI_SCHEME_CENC : VPI_SCHEME_CBCS, 0, 0);
        add_systems(add_key(t, 0, "key.bin"));
        finish(p);
        snprintf(expected, sizeof(expected),
                 "#EXTM3U\n#EXT-X-VERSION:6\n" HEAD "#EXT-X-MAP:URI=\"init.mp4\"\n");
        for (i = 0; i < VPI_COUNT(lines); i++) {
            if (ctr && i == 2) continue; /* no FairPlay */
            snprintf(line, sizeof(line), "#EXT-X-KEY:METHOD=%s%s", method, lines[i]);
            strcat(expected, line);
        }
        strcat(expected,
               "#EXTINF:6.000000,\n00001.m4s\n#EXTINF:6.000000,\n00002.m4s\n#EXTINF:2.400000,\n00003.m4s\n"
               "#EXT-X-ENDLIST\n");
        expect(media_text(p, 0), expected);

        text = iframes_text(p, 0);
        assert_int_equal(count_of(text, "#EXT-X-KEY:"), ctr ? 4 : 5);
        assert_true(strstr(text, "#EXT-X-MAP:") < strstr(text, "#EXT-X-KEY:"));
        assert_null(strstr(text, "identity")); /* beside DRM systems hls.js would take it */
        assert_non_null(strstr(text, "#EXT-X-VERSION:5\n"));
        vpi_free(text);

        text = master_text(p, VP_HLS_CMAF);
        assert_int_equal(count_of(text, "#EXT-X-SESSION-KEY:METHOD="), ctr ? 4 : 5);
        assert_null(strstr(text, "identity"));
        snprintf(line, sizeof(line), "#EXT-X-SESSION-KEY:METHOD=%s%s", method, lines[0]);
        assert_non_null(strstr(text, line));
        assert_true(strstr(text, "#EXT-X-SESSION-KEY") < strstr(text, "#EXT-X-STREAM-INF"));
        vpi_free(text);
        size_t drm_count = p->p.tracks[0].protection.keys[0].drm_count;
        p->p.tracks[0].protection.keys[0].drm_count = 0; /* alone it is what there is */
        text = media_text(p, 0);
        snprintf(line, sizeof(line),
                 "#EXT-X-KEY:METHOD=%s,URI=\"key.bin\"%s,KEYFORMAT=\"identity\",KEYFORMATVERSIONS=\"1\"\n",
                 method, ctr ? "" : ",IV=0xc0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0");
        assert_non_null(strstr(text, line));
        assert_int_equal(count_of(text, "#EXT-X-KEY:"), 1);
        vpi_free(text);
        p->p.tracks[0].protection.keys[0].drm_count = drm_count;
        vp_presentation_unref(p);
        if (ctr) break;
    }
}

/* A line where the key changes, in the playlists of all tracks before the same segment. */
static void rotation(void **state)
{
    vp_presentation *p = vpi_presentation_new();
    uint8_t i, k;

    (void)state;
    for (i = 0; i < 2; i++) {
        vpi_ptrack *t = i ? add_audio(p, "en", "en", "stereo", 2, 128, false)
                          : add_video(p, "480p", 854, 480, 1400, false);

        protect(t, VPI_SCHEME_CBCS, 1, 1);
        for (k = 0; k < 3; k++) {
            char uri[16];

            snprintf(uri, sizeof(uri), "skd://%u", k);
            add_drm(add_key(t, (uint8_t)(k * 16), NULL), vpi_system_fairplay, NULL, false, uri, NULL);
        }
    }
    finish(p);
    for (i = 0; i < 2; i++) {
        char *text = media_text(p, i);

        assert_null(strstr(text, "skd://0"));
        assert_true(strstr(text, "00001.m4s") < strstr(text, "skd://1"));
        assert_true(strstr(text, "skd://1") < strstr(text, "00002.m4s"));
        assert_true(strstr(text, "00002.m4s") < strstr(text, "skd://2"));
        assert_true(strstr(text, "skd://2") < strstr(text, "00003.m4s"));
        vpi_free(text);
    }
    /* In the I-frame playlist before the first range of the segment. */
    assert_int_equal(times(iframes_text(p, 0), "skd://"), 2);
    /* Both tracks begin with one key, and nothing is told twice. */
    assert_int_equal(times(master_text(p, VP_HLS_CMAF), "#EXT-X-SESSION-KEY:"), 1);
    assert_int_equal(times(master_text(p, VP_HLS_CMAF), "skd://1"), 1);

    /* The host may give one key to two periods. */
    set_text(&p->p.tracks[0].protection.keys[2].drm[0].uri, "skd://1");
    assert_int_equal(times(media_text(p, 0), "#EXT-X-KEY:"), 1);
    /* All clear: no key at all. */
    p->p.tracks[0].protection.clear_segments = p->p.tracks[1].protection.clear_segments = 3;
    assert_int_equal(times(media_text(p, 0), "#EXT-X-KEY:"), 0);
    assert_int_equal(times(master_text(p, VP_HLS_CMAF), "#EXT-X-SESSION-KEY:"), 0);
    vp_presentation_unref(p);
}

/* SAMPLE-AES: no pssh there, so that DRM systems but FairPlay have nothing to go by. */
static void transport_stream(void **state)
{
    vp_presentation *p = vpi_presentation_new();
    vpi_ptrack *t = add_track(p, "720p", VP_TRACK_VIDEO, VP_CONTAINER_TS, 90000);

    (void)state;
    t->frame_rate_num = 25;
    t->frame_rate_den = 1;
    add_fragments(add_segment(t, "ts/720p/", 540000, 188 * 9000), 3, 188 * 300);
    protect(t, VPI_SCHEME_CBCS, 0, 0);
    add_systems(add_key(t, 0, "key.bin"));
    finish(p);
    expect(media_text(p, 0),
           "#EXTM3U\n#EXT-X-VERSION:5\n" HEAD
           "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://a\",KEYFORMAT=\"com.apple.streamingkeydelivery\","
           "KEYFORMATVERSIONS=\"1\"\n"
           "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"key.bin\",IV=0xc0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0,"
           "KEYFORMAT=\"identity\",KEYFORMATVERSIONS=\"1\"\n"
           "#EXTINF:6.000000,\n00001.ts\n#EXT-X-ENDLIST\n");
    assert_int_equal(times(master_text(p, VP_HLS_TS), "#EXT-X-VERSION:5\n"), 1);
    assert_int_equal(times(iframes_text(p, 0), "#EXT-X-KEY:"), 2);
    assert_int_equal(times(iframes_text(p, 0), "#EXT-X-VERSION:5\n"), 1);

    /* Whole segments need no more than an IV (version 2), less than what else is there. */
    t->protection.scheme = VPI_SCHEME_AES128;
    t->segments[0].has_iv = true;
    assert_int_equal(times(media_text(p, 0), "#EXT-X-VERSION:3\n"), 1);
    vp_presentation_unref(p);
}

/* Boxes that hold no object, and systems without anything that a playlist could name. */
static void nothing_to_tell(void **state)
{
    vp_presentation *p = vpi_presentation_new();
    vpi_ptrack *t = add_video(p, "480p", 854, 480, 1400, false);
    vpi_key_info *k;
    vpi_drm *d;
    size_t n;

    (void)state;
    protect(t, VPI_SCHEME_CBCS, 0, 0);
    k = add_key(t, 0, NULL);
    add_drm(k, vpi_system_widevine, NULL, false, NULL, "https://lic.example");
    add_drm(k, vpi_system_fairplay, NULL, false, NULL, NULL);
    d = add_drm(k, vpi_system_playready, "PRO object", true, NULL, NULL);
    finish(p);
    assert_int_equal(times(media_text(p, 0), "#EXT-X-KEY:"), 1);
    for (n = 0; n < d->pssh_size; n++) {
        size_t whole = d->pssh_size;

        d->pssh_size = n;
        assert_int_equal(times(media_text(p, 0), "#EXT-X-KEY:"), 0);
        d->pssh_size = whole;
    }
    d->pssh[31] = 200; /* KIDs */
    assert_int_equal(times(media_text(p, 0), "#EXT-X-KEY:"), 0);
    vp_presentation_unref(p);
}

static void no_memory(void **state)
{
    vp_presentation *p = vpi_presentation_new();
    vpi_ptrack *t = add_video(p, "480p", 854, 480, 1400, false);
    vp_bytes *b = NULL;
    vp_status st = VP_OK;
    uint32_t what;
    char *due;
    long n;

    (void)state;
    protect(t, VPI_SCHEME_CBCS, 1, 0);
    add_systems(add_key(t, 0, "key.bin"));
    finish(p);
    for (what = 0; what < 3; what++) {
        due = what == 0 ? master_text(p, VP_HLS_CMAF) : what == 1 ? media_text(p, 0) : iframes_text(p, 0);
        for (n = 1; n < 500; n++) {
            vpi_alloc_fail_at = n;
            st = what == 0   ? vp_manifest_hls_master(p, VP_HLS_CMAF, &b, NULL)
                 : what == 1 ? vp_manifest_hls_media(p, 0, &b, NULL)
                             : vp_manifest_hls_iframes(p, 0, &b, NULL);
            if (vpi_alloc_fail_at > 0) break;
            vpi_alloc_fail_at = 0;
            assert_true(st == VP_E_NOMEM || st == VP_OK);
            /* Spare room that could not be given back does no harm, and nothing is left out. */
            if (st == VP_OK) assert_string_equal(vp_bytes_data(b), due);
            b = vp_bytes_unref(b);
        }
        vpi_alloc_fail_at = 0;
        assert_int_equal(st, VP_OK);
        b = vp_bytes_unref(b);
        vpi_free(due);
    }
    vp_presentation_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_segments),   cmocka_unit_test(systems),         cmocka_unit_test(rotation),
        cmocka_unit_test(transport_stream), cmocka_unit_test(nothing_to_tell), cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
