/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "title.h"

#include "base/fault.h"

static vp_presentation *title(bool single_file)
{
    vp_presentation *p = vpi_presentation_new();
    vpi_ptrack *t;

    assert_non_null(p);
    add_video(p, "1080p", 1920, 1080, 5000, single_file);
    t = add_video(p, "480p", 854, 480, 1400, single_file);
    set_text(&t->codecs, "avc1.64001e");
    t = add_audio(p, "en-stereo", "en", "stereo", 2, 128, single_file);
    t->is_default = true;
    finish(p);
    return p;
}

static void media_of(const vp_presentation *p, uint32_t track, const char *expected)
{
    vp_bytes *b = NULL;
    vp_status st = vp_manifest_hls_media(p, track, &b, NULL);

    is_text(st, b, expected);
}

static void iframes_of(const vp_presentation *p, uint32_t track, const char *expected)
{
    vp_bytes *b = NULL;
    vp_status st = vp_manifest_hls_iframes(p, track, &b, NULL);

    is_text(st, b, expected);
}

static char *master_of(const vp_presentation *p, int32_t container)
{
    vp_bytes *b = NULL;
    vp_status st = vp_manifest_hls_master(p, container, &b, NULL);

    return text_of(st, b);
}

static void master_is(const vp_presentation *p, int32_t container, const char *expected)
{
    char *text = master_of(p, container);

    assert_string_equal(text, expected);
    vpi_free(text);
}

static void cmaf_master(void **state)
{
    vp_presentation *p = title(false);

    (void)state;
    /*
     * Pictures have the nominal rate all along. Audio: 96250 bytes in 6.016 s are the peak, 230250 in 14.4 s
     * the mean. I-frames: 2000 + 3000 bytes in 4.4 s, 12000 in 14.4 s.
     */
    master_is(
        p, VP_HLS_CMAF,
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"stereo\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT="
        "YES,"
        "CHANNELS=\"2\",URI=\"v1/audio/en-stereo/playlist.m3u8\"\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=1527993,AVERAGE-BANDWIDTH=1527917,CODECS=\"avc1.64001e,mp4a.40.2\","
        "RESOLUTION=854x480,FRAME-RATE=25.000,AUDIO=\"stereo\",CLOSED-CAPTIONS=NONE\n"
        "v1/video/480p/playlist.m3u8\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=5127993,AVERAGE-BANDWIDTH=5127917,CODECS=\"avc1.64001f,mp4a.40.2\","
        "RESOLUTION=1920x1080,FRAME-RATE=25.000,AUDIO=\"stereo\",CLOSED-CAPTIONS=NONE\n"
        "v1/video/1080p/playlist.m3u8\n"
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=9091,AVERAGE-BANDWIDTH=6667,CODECS=\"avc1.64001f\","
        "RESOLUTION=1920x1080,URI=\"v1/video/1080p/iframes.m3u8\"\n"
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=9091,AVERAGE-BANDWIDTH=6667,CODECS=\"avc1.64001e\","
        "RESOLUTION=854x480,URI=\"v1/video/480p/iframes.m3u8\"\n");
    vp_presentation_unref(p);
}

static void cmaf_media(void **state)
{
    vp_presentation *p = title(false);

    (void)state;
    media_of(p, 0,
             "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:1\n"
             "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init.mp4\"\n"
             "#EXTINF:6.000000,\n00001.m4s\n#EXTINF:6.000000,\n00002.m4s\n#EXTINF:2.400000,\n00003.m4s\n"
             "#EXT-X-ENDLIST\n");
    media_of(p, 2,
             "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:1\n"
             "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-MAP:URI=\"init.mp4\"\n"
             "#EXTINF:5.994667,\n00001.m4s\n#EXTINF:6.016000,\n00002.m4s\n#EXTINF:2.389333,\n00003.m4s\n"
             "#EXT-X-ENDLIST\n");
    iframes_of(p, 0,
               "#EXTM3U\n#EXT-X-VERSION:5\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:1\n"
               "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-I-FRAMES-ONLY\n#EXT-X-INDEPENDENT-SEGMENTS\n"
               "#EXT-X-MAP:URI=\"init.mp4\"\n"
               "#EXTINF:2.000000,\n#EXT-X-BYTERANGE:1000@0\n00001.m4s\n"
               "#EXTINF:2.000000,\n#EXT-X-BYTERANGE:1000@1250000\n00001.m4s\n"
               "#EXTINF:2.000000,\n#EXT-X-BYTERANGE:1000@2500000\n00001.m4s\n"
               "#EXTINF:2.000000,\n#EXT-X-BYTERANGE:2000@0\n00002.m4s\n"
               "#EXTINF:2.000000,\n#EXT-X-BYTERANGE:2000@1250000\n00002.m4s\n"
               "#EXTINF:2.000000,\n#EXT-X-BYTERANGE:2000@2500000\n00002.m4s\n"
               "#EXTINF:2.400000,\n#EXT-X-BYTERANGE:3000@0\n00003.m4s\n#EXT-X-ENDLIST\n");
    vp_presentation_unref(p);
}

static void single_file(void **state)
{
    vp_presentation *p = title(true);
    char *text;

    (void)state;
    media_of(p, 1,
             "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:1\n"
             "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n"
             "#EXT-X-MAP:URI=\"media.mp4\",BYTERANGE=\"800@0\"\n"
             "#EXTINF:6.000000,\n#EXT-X-BYTERANGE:1050000@900\nmedia.mp4\n"
             "#EXTINF:6.000000,\n#EXT-X-BYTERANGE:1050000@1050900\nmedia.mp4\n"
             "#EXTINF:2.400000,\n#EXT-X-BYTERANGE:420000@2100900\nmedia.mp4\n#EXT-X-ENDLIST\n");
    text = master_of(p, VP_HLS_CMAF);
    assert_non_null(strstr(text, "#EXT-X-VERSION:6\n"));
    vpi_free(text);
    vp_presentation_unref(p);
}

static void keys(void **state)
{
    vp_presentation *p = title(false);
    vp_bytes *b = NULL;
    vp_status st = vp_manifest_hls_media_key(p, 0, 0, &b, NULL);

    (void)state;
    is_text(st, b, "v1/video/1080p/playlist.m3u8");
    st = vp_manifest_hls_media_key(p, 1, 1, &b, NULL);
    is_text(st, b, "v1/video/480p/iframes.m3u8");
    assert_int_equal(vp_manifest_hls_media_key(p, 3, 0, &b, NULL), VP_E_ARG);
    assert_int_equal(vp_manifest_hls_media(p, 3, &b, NULL), VP_E_ARG);
    assert_int_equal(vp_manifest_hls_media(NULL, 0, &b, NULL), VP_E_ARG);
    assert_int_equal(vp_manifest_hls_media(p, 0, NULL, NULL), VP_E_ARG);
    assert_int_equal(vp_manifest_hls_iframes(p, 2, &b, NULL), VP_E_ARG);
    assert_int_equal(vp_manifest_hls_master(p, VP_HLS_TS, &b, NULL), VP_E_ARG);
    assert_int_equal(vp_manifest_hls_master(p, 3, &b, NULL), VP_E_ARG);
    vp_presentation_unref(p);
}

static void audio_groups(void **state)
{
    vp_presentation *p = vpi_presentation_new();
    vpi_ptrack *t;
    char *text;

    (void)state;
    add_video(p, "480p", 854, 480, 1400, false);
    add_audio(p, "fr-stereo", "fr", "stereo", 2, 128, false);
    t = add_audio(p, "en-stereo", "en", "stereo", 2, 128, false);
    t->is_default = true;
    add_audio(p, "en-stereo-2", "en", "stereo", 2, 160, false);
    t = add_audio(p, "en-5.1", "en", "surround", 6, 384, false);
    set_text(&t->codecs, "ec-3");
    finish(p);
    text = master_of(p, VP_HLS_CMAF);
    /* Both groups have the same three members; what there is in stereo only stands in for surround. */
    assert_int_equal(count_of(text, "#EXT-X-MEDIA:"), 6);
    assert_non_null(strstr(text,
                           "GROUP-ID=\"stereo\",NAME=\"French\",LANGUAGE=\"fr\",DEFAULT=NO,AUTOSELECT=YES,"
                           "CHANNELS=\"2\",URI=\"v1/audio/fr-stereo/playlist.m3u8\""));
    assert_non_null(strstr(text,
                           "GROUP-ID=\"stereo\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,"
                           "CHANNELS=\"2\",URI=\"v1/audio/en-stereo/playlist.m3u8\""));
    assert_non_null(strstr(text,
                           "GROUP-ID=\"stereo\",NAME=\"English 2\",LANGUAGE=\"en\",DEFAULT=NO,AUTOSELECT=NO,"
                           "CHANNELS=\"2\",URI=\"v1/audio/en-stereo-2/playlist.m3u8\""));
    assert_non_null(
        strstr(text, "GROUP-ID=\"surround\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,AUTOSELECT=YES,"
                     "CHANNELS=\"6\",URI=\"v1/audio/en-5.1/playlist.m3u8\""));
    assert_non_null(strstr(text,
                           "GROUP-ID=\"surround\",NAME=\"French\",LANGUAGE=\"fr\",DEFAULT=NO,AUTOSELECT=YES,"
                           "CHANNELS=\"2\",URI=\"v1/audio/fr-stereo/playlist.m3u8\""));
    /* One variant a group: the rate is the picture's and the largest of the group's. */
    assert_int_equal(count_of(text, "#EXT-X-STREAM-INF:"), 2);
    assert_non_null(strstr(text, "CODECS=\"avc1.64001f,mp4a.40.2\",RESOLUTION=854x480,FRAME-RATE=25.000,"
                                 "AUDIO=\"stereo\""));
    assert_non_null(strstr(text, "CODECS=\"avc1.64001f,mp4a.40.2,ec-3\",RESOLUTION=854x480,FRAME-RATE=25.000,"
                                 "AUDIO=\"surround\""));
    assert_non_null(strstr(text, "BANDWIDTH=1559976,")); /* 1400000 + 159976 */
    vpi_free(text);
    vp_presentation_unref(p);

    /* A title of a track may be anything; names of a group differ. */
    p = vpi_presentation_new();
    add_video(p, "480p", 854, 480, 1400, false);
    t = add_audio(p, "a", "en", "stereo", 2, 128, false);
    set_text(&t->label, "The \"x\"\n\xFF");
    t = add_audio(p, "b", NULL, "stereo", 2, 128, false);
    set_text(&t->label, "Undetermined 2");
    add_audio(p, "c", "und", "stereo", 2, 128, false);
    add_audio(p, "d", "und", "stereo", 2, 128, false);
    finish(p);
    text = master_of(p, VP_HLS_CMAF);
    assert_non_null(strstr(text, "NAME=\"The 'x' \xEF\xBF\xBD\",LANGUAGE=\"en\",DEFAULT=YES"));
    assert_non_null(strstr(text, "NAME=\"Undetermined 2\",LANGUAGE=\"und\",DEFAULT=NO,AUTOSELECT=YES"));
    assert_non_null(strstr(text, "NAME=\"Undetermined\",LANGUAGE=\"und\",DEFAULT=NO,AUTOSELECT=NO"));
    assert_non_null(strstr(text, "NAME=\"Undetermined 3\""));
    vpi_free(text);
    vp_presentation_unref(p);
}

static void audio_only(void **state)
{
    vp_presentation *p = vpi_presentation_new();

    (void)state;
    add_audio(p, "en-stereo", "en", "stereo", 2, 128, false);
    finish(p);
    master_is(p, VP_HLS_CMAF,
              "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n"
              "#EXT-X-STREAM-INF:BANDWIDTH=127993,AVERAGE-BANDWIDTH=127917,CODECS=\"mp4a.40.2\","
              "CLOSED-CAPTIONS=NONE\nv1/audio/en-stereo/playlist.m3u8\n");
    add_audio(p, "de-stereo", "de", "stereo", 2, 128, false);
    finish(p);
    master_is(
        p, VP_HLS_CMAF,
        "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"stereo\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,"
        "AUTOSELECT=YES,CHANNELS=\"2\",URI=\"v1/audio/en-stereo/playlist.m3u8\"\n"
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"stereo\",NAME=\"German\",LANGUAGE=\"de\",DEFAULT=NO,"
        "AUTOSELECT=YES,CHANNELS=\"2\",URI=\"v1/audio/de-stereo/playlist.m3u8\"\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=127993,AVERAGE-BANDWIDTH=127917,CODECS=\"mp4a.40.2\",AUDIO=\"stereo\","
        "CLOSED-CAPTIONS=NONE\nv1/audio/en-stereo/playlist.m3u8\n");
    vp_presentation_unref(p);
}

static vpi_ptrack *add_ts(vp_presentation *p, bool muxed)
{
    vpi_ptrack *t = add_track(p, "720p", VP_TRACK_VIDEO, VP_CONTAINER_TS, 90000);
    vpi_segment *s;

    t->width = 1280;
    t->height = 720;
    t->frame_rate_num = 24000;
    t->frame_rate_den = 1001;
    if (muxed) {
        set_text(&t->codecs, "avc1.64001f,mp4a.40.2");
        t->channels = 2;
    }
    s = add_segment(t, "ts/720p/", 540540, 188 * 9000);
    add_fragments(s, 3, 188 * 300);
    s = add_segment(t, "ts/720p/", 180180, 188 * 3000);
    add_fragments(s, 1, 188 * 300);
    return t;
}

static void transport_stream(void **state)
{
    vp_presentation *p = vpi_presentation_new();
    vpi_ptrack *t;

    (void)state;
    add_ts(p, true);
    finish(p);
    master_is(
        p, VP_HLS_TS,
        "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=2253747,AVERAGE-BANDWIDTH=2253747,CODECS=\"avc1.64001f,mp4a.40.2\","
        "RESOLUTION=1280x720,FRAME-RATE=23.976,CLOSED-CAPTIONS=NONE\nts/720p/playlist.m3u8\n"
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=225375,AVERAGE-BANDWIDTH=225375,CODECS=\"avc1.64001f\","
        "RESOLUTION=1280x720,URI=\"ts/720p/iframes.m3u8\"\n");
    media_of(p, 0,
             "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:1\n"
             "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n"
             "#EXTINF:6.006000,\n00001.ts\n#EXTINF:2.002000,\n00002.ts\n#EXT-X-ENDLIST\n");
    iframes_of(p, 0,
               "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:1\n"
               "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-I-FRAMES-ONLY\n#EXT-X-INDEPENDENT-SEGMENTS\n"
               "#EXTINF:2.002000,\n#EXT-X-BYTERANGE:56400@0\n00001.ts\n"
               "#EXTINF:2.002000,\n#EXT-X-BYTERANGE:56400@564000\n00001.ts\n"
               "#EXTINF:2.002000,\n#EXT-X-BYTERANGE:56400@1128000\n00001.ts\n"
               "#EXTINF:2.002000,\n#EXT-X-BYTERANGE:56400@0\n00002.ts\n#EXT-X-ENDLIST\n");
    vp_presentation_unref(p);

    p = vpi_presentation_new();
    t = add_ts(p, false);
    t->segments[1].fragments[0].idr_bytes = 0;
    t = add_track(p, "en-stereo", VP_TRACK_AUDIO, VP_CONTAINER_PACKED, 90000);
    set_text(&t->language, "en");
    add_segment(t, "ts/audio/", 540540, 96000);
    add_segment(t, "ts/audio/", 180180, 32000);
    finish(p);
    master_is(
        p, VP_HLS_TS,
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"stereo\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,"
        "AUTOSELECT=YES,CHANNELS=\"2\",URI=\"ts/audio/playlist.m3u8\"\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=2381620,AVERAGE-BANDWIDTH=2381620,CODECS=\"avc1.64001f,mp4a.40.2\","
        "RESOLUTION=1280x720,FRAME-RATE=23.976,AUDIO=\"stereo\",CLOSED-CAPTIONS=NONE\n"
        "ts/720p/playlist.m3u8\n");
    vp_presentation_unref(p);
}

/* The best at or below 2.5 Mbit/s comes first, the others fall. */
static void order(void **state)
{
    static const struct {
        uint32_t kbps[4];
        const char *names[4];
    } cases[] = {
        { { 5000, 2800, 1400, 800 }, { "r2/", "r0/", "r1/", "r3/" } },
        { { 800, 1400, 2800, 5000 }, { "r1/", "r3/", "r2/", "r0/" } },
        { { 9000, 5000, 4000, 3000 }, { "r3/", "r0/", "r1/", "r2/" } },
        { { 800, 700, 600, 500 }, { "r0/", "r1/", "r2/", "r3/" } },
        { { 700, 700, 700, 700 }, { "r0/", "r1/", "r2/", "r3/" } },
    };
    size_t i, k;

    (void)state;
    for (i = 0; i < VPI_COUNT(cases); i++) {
        vp_presentation *p = vpi_presentation_new();
        const char *at;
        char *text;

        for (k = 0; k < 4; k++) {
            char name[8];

            snprintf(name, sizeof(name), "r%zu", k);
            add_video(p, name, 640, 360, cases[i].kbps[k], false);
        }
        finish(p);
        at = text = master_of(p, VP_HLS_CMAF);
        for (k = 0; k < 4; k++) {
            at = strstr(at + 1, "\nv1/video/");
            assert_non_null(at);
            assert_int_equal(strncmp(at + 10, cases[i].names[k], 3), 0);
        }
        vpi_free(text);
        vp_presentation_unref(p);
    }
}

static void ranges(void **state)
{
    vp_presentation *p = vpi_presentation_new();
    vpi_ptrack *t;
    char *text;

    (void)state;
    t = add_video(p, "a", 640, 360, 800, false);
    t->transfer = 16;
    t = add_video(p, "b", 640, 360, 700, false);
    t->frame_rate_num = 60000;
    t->frame_rate_den = 1001;
    t = add_video(p, "c", 640, 360, 600, false);
    t->frame_rate_num = 2;
    t->frame_rate_den = 3;
    finish(p);
    text = master_of(p, VP_HLS_CMAF);
    assert_int_equal(count_of(text, "VIDEO-RANGE=PQ"), 2);
    assert_int_equal(count_of(text, "VIDEO-RANGE=SDR"), 4);
    assert_int_equal(count_of(text, "FRAME-RATE=59.940,"), 1);
    assert_int_equal(count_of(text, "FRAME-RATE=0.667,"), 1);
    vpi_free(text);
    vp_presentation_unref(p);
}

/* P01: two hours of 24000/1001 in segments of 144 frames. Any run of EXTINF is true to 1 us. */
static void two_hours(void **state)
{
    static const uint32_t scales[] = { 24000, 90000, 48000 };
    size_t round;

    (void)state;
    for (round = 0; round < VPI_COUNT(scales); round++) {
        vp_presentation *p = vpi_presentation_new();
        vpi_ptrack *t = add_track(p, "t", VP_TRACK_VIDEO, VP_CONTAINER_CMAF, scales[round]);
        vp_bytes *b = NULL;
        uint64_t sum = 0, target, i;
        const char *at;
        char *text;

        for (i = 0; i < 1200; i++) {
            /* what 144 frames are in ticks, cut at whole ticks where they do not divide */
            uint64_t start = i * 144 * 1001 * scales[round] / 24000,
                     end = (i + 1) * 144 * 1001 * scales[round] / 24000;

            add_segment(t, "v/", end - start - (i == 1199 ? 7 : 0), 1000);
        }
        finish(p);
        target = vpi_presentation_target(&p->p);
        assert_int_equal(vp_manifest_hls_media(p, 0, &b, NULL), VP_OK);
        at = text = text_of(VP_OK, b);
        for (i = 0; i < 1200; i++) {
            const vpi_segment *s = &t->segments[i];
            unsigned long long whole, micro;
            double truth;

            at = strstr(at, "#EXTINF:");
            assert_non_null(at);
            assert_int_equal(sscanf(at, "#EXTINF:%llu.%6llu,\n", &whole, &micro), 2);
            sum += whole * 1000000 + micro;
            assert_true((whole * 1000000 + micro + 500000) / 1000000 <= target);
            truth = (double)(s->start + s->ticks) * 1e6 / scales[round];
            assert_true((double)sum - truth <= 0.500001 && truth - (double)sum <= 0.500001);
            at++;
        }
        assert_null(strstr(at, "#EXTINF:"));
        vpi_free(text);
        vp_presentation_unref(p);
    }
}

static void escaping(void **state)
{
    vp_presentation *p = vpi_presentation_new();
    vpi_ptrack *t = add_track(p, "720p", VP_TRACK_VIDEO, VP_CONTAINER_CMAF, 90000);
    char *text;

    (void)state;
    add_segment(t, "my title/a b/", 540000, 1000);
    t->init.key = vpi_strdup("my title/init.mp4");
    t->init.bytes = 10;
    finish(p);
    /* The folder is the init segment's. */
    media_of(p, 0,
             "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:1\n"
             "#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"init.mp4\"\n"
             "#EXTINF:6.000000,\na%20b/00001.m4s\n#EXT-X-ENDLIST\n");
    text = master_of(p, VP_HLS_CMAF);
    assert_non_null(strstr(text, "\nmy%20title/playlist.m3u8\n"));
    vpi_free(text);
    vp_presentation_unref(p);
}

static void no_memory(void **state)
{
    vp_presentation *p = title(false);
    vp_bytes *b = NULL;
    vp_status st = VP_OK;
    uint32_t what;
    long n;

    (void)state;
    for (what = 0; what < 3; what++) {
        for (n = 1; n < 500; n++) {
            vpi_alloc_fail_at = n;
            st = what == 0   ? vp_manifest_hls_master(p, VP_HLS_CMAF, &b, NULL)
                 : what == 1 ? vp_manifest_hls_media(p, 0, &b, NULL)
                             : vp_manifest_hls_iframes(p, 0, &b, NULL);
            if (vpi_alloc_fail_at > 0) break;
            assert_true(st == VP_E_NOMEM || st == VP_OK);
            assert_true((st == VP_OK) == (b != NULL));
            b = vp_bytes_unref(b);
        }
        vpi_alloc_fail_at = 0;
        assert_int_equal(st, VP_OK);
        assert_true(n > 1);
        b = vp_bytes_unref(b);
    }
    vp_presentation_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cmaf_master),      cmocka_unit_test(cmaf_media),
        cmocka_unit_test(single_file),      cmocka_unit_test(keys),
        cmocka_unit_test(audio_groups),     cmocka_unit_test(audio_only),
        cmocka_unit_test(transport_stream), cmocka_unit_test(order),
        cmocka_unit_test(ranges),           cmocka_unit_test(two_hours),
        cmocka_unit_test(escaping),         cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
