/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "title.h"

#include <unistd.h>

#include "base/fault.h"
#include "manifest/dash_int.h"

static char schema[512]; /* folder with the schema; "" when there is none here */
static unsigned checked;

static bool run(const char *format, ...) VPI_PRINTF(1, 2);
static bool run(const char *format, ...)
{
    char command[2048];
    va_list args;
    int n;
    FILE *f;
    char line[512];

    va_start(args, format);
    n = vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    assert_true(n > 0 && (size_t)n < sizeof(command));
    f = popen(command, "r");
    if (!f) return false;
    while (fgets(line, sizeof(line), f)) fputs(line, stderr);
    return pclose(f) == 0;
}

/* A copy of the schema beside its xlink import, with the import pointing there: nothing is fetched. */
static int prepare(void **state)
{
    const char *shared = getenv("VODPIPE_SHARED"), *tmp = getenv("TMPDIR");
    char template[300];

    (void)state;
    if (!shared || !run("test -f '%s/vectors/dash/DASH-MPD.xsd' && command -v xmllint >/dev/null", shared)) {
        print_message("no DASH schema or no xmllint here: MPDs are not validated\n");
        return 0;
    }
    snprintf(template, sizeof(template), "%s/vodpipe-dash-XXXXXX", tmp && strlen(tmp) < 200 ? tmp : "/tmp");
    if (!mkdtemp(template)) return -1;
    snprintf(schema, sizeof(schema), "%s", template);
    return run("cp '%s/vectors/dash/xlink.xsd' '%s/' && sed "
               "'s,http://www.w3.org/XML/2008/06/xlink.xsd,xlink.xsd,' "
               "'%s/vectors/dash/DASH-MPD.xsd' >'%s/mpd.xsd'",
               shared, schema, shared, schema)
               ? 0
               : -1;
}

static int clean(void **state)
{
    (void)state;
    if (schema[0]) {
        print_message("%u MPDs were validated against the schema\n", checked);
        run("rm -rf '%s'", schema);
    }
    return 0;
}

static void validate(const char *text)
{
    char path[600];
    FILE *f;

    if (!schema[0]) return;
    snprintf(path, sizeof(path), "%s/x.mpd", schema);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
    assert_true(run("xmllint --nonet --noout --schema '%s/mpd.xsd' '%s' 2>&1 | grep -v ' validates$'; "
                    "xmllint --nonet --noout --schema '%s/mpd.xsd' '%s' >/dev/null 2>&1",
                    schema, path, schema, path));
    checked++;
}

static char *mpd_of(const vp_presentation *p)
{
    vp_bytes *b = NULL;
    vp_status st = vp_manifest_dash(p, &b, NULL);
    char *text = text_of(st, b);

    validate(text);
    return text;
}

static void mpd_is(const vp_presentation *p, const char *expected)
{
    char *text = mpd_of(p);

    assert_string_equal(text, expected);
    vpi_free(text);
}

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
    set_text(&t->label, "English & more");
    finish(p);
    return p;
}

#define HEAD(profile)                                                                                        \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"                                                           \
    "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:" profile                 \
    ":2011,urn:mpeg:dash:profile:cmaf:2019\" type=\"static\" mediaPresentationDuration=\"PT14.4S\" "

static void templates(void **state)
{
    vp_presentation *p = title(false);

    (void)state;
    mpd_is(
        p,
        HEAD("isoff-live") "minBufferTime=\"PT6.016S\" maxSegmentDuration=\"PT6.016S\">\n"
                           "  <Period id=\"0\" start=\"PT0S\" duration=\"PT14.4S\">\n"
                           "    <AdaptationSet id=\"0\" contentType=\"video\" mimeType=\"video/mp4\" "
                           "par=\"16:9\" maxWidth=\"1920\" "
                           "maxHeight=\"1080\" maxFrameRate=\"25\" segmentAlignment=\"true\" "
                           "startWithSAP=\"1\">\n"
                           "      <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"main\"/>\n"
                           "      <SegmentTemplate timescale=\"90000\" "
                           "initialization=\"v1/video/$RepresentationID$/init.mp4\" "
                           "media=\"v1/video/$RepresentationID$/$Number%05d$.m4s\" startNumber=\"1\">\n"
                           "        <SegmentTimeline>\n"
                           "          <S t=\"0\" d=\"540000\" r=\"1\"/>\n"
                           "          <S d=\"216000\"/>\n"
                           "        </SegmentTimeline>\n"
                           "      </SegmentTemplate>\n"
                           "      <Representation id=\"1080p\" bandwidth=\"4993343\" codecs=\"avc1.64001f\" "
                           "width=\"1920\" "
                           "height=\"1080\" frameRate=\"25\" sar=\"1:1\"/>\n"
                           "      <Representation id=\"480p\" bandwidth=\"1398136\" codecs=\"avc1.64001e\" "
                           "width=\"854\" "
                           "height=\"480\" frameRate=\"25\" sar=\"1:1\"/>\n"
                           "    </AdaptationSet>\n"
                           "    <AdaptationSet id=\"1\" contentType=\"audio\" mimeType=\"audio/mp4\" "
                           "lang=\"en\" "
                           "segmentAlignment=\"true\" startWithSAP=\"1\">\n"
                           "      <Label>English &amp; more</Label>\n"
                           "      <Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"main\"/>\n"
                           "      <Representation id=\"en-stereo\" bandwidth=\"127993\" codecs=\"mp4a.40.2\" "
                           "audioSamplingRate=\"48000\">\n"
                           "        <AudioChannelConfiguration "
                           "schemeIdUri=\"urn:mpeg:mpegB:cicp:ChannelConfiguration\" "
                           "value=\"2\"/>\n"
                           "        <SegmentTemplate timescale=\"48000\" "
                           "initialization=\"v1/audio/en-stereo/init.mp4\" "
                           "media=\"v1/audio/en-stereo/$Number%05d$.m4s\" startNumber=\"1\">\n"
                           "          <SegmentTimeline>\n"
                           "            <S t=\"0\" d=\"287744\"/>\n"
                           "            <S d=\"288768\"/>\n"
                           "            <S d=\"114688\"/>\n"
                           "          </SegmentTimeline>\n"
                           "        </SegmentTemplate>\n"
                           "      </Representation>\n"
                           "    </AdaptationSet>\n"
                           "  </Period>\n"
                           "</MPD>\n");
    vp_presentation_unref(p);
}

static void single_file(void **state)
{
    vp_presentation *p = title(true);
    char *text;

    (void)state;
    text = mpd_of(p);
    assert_non_null(strstr(
        text, HEAD("isoff-on-demand") "minBufferTime=\"PT6.016S\" maxSubsegmentDuration=\"PT6.016S\">"));
    assert_int_equal(count_of(text, " subsegmentAlignment=\"true\" subsegmentStartsWithSAP=\"1\">"), 2);
    assert_non_null(strstr(text, "height=\"480\" frameRate=\"25\" sar=\"1:1\">\n"
                                 "        <BaseURL>v1/video/480p/media.mp4</BaseURL>\n"
                                 "        <SegmentBase timescale=\"90000\" indexRange=\"800-899\" "
                                 "indexRangeExact=\"true\">\n"
                                 "          <Initialization range=\"0-799\"/>\n"
                                 "        </SegmentBase>\n"
                                 "      </Representation>\n"));
    assert_int_equal(count_of(text, "<SegmentBase "), 3);
    vpi_free(text);
    vp_presentation_unref(p);
}

/* A list serves where keys follow no pattern and where a single file has no index; the whole set has one. */
static void lists(void **state)
{
    vp_presentation *p = title(true);
    vpi_ptrack *t = &p->p.tracks[1];
    char *text;

    (void)state;
    vpi_free(t->index.key);
    memset(&t->index, 0, sizeof(t->index));
    text = mpd_of(p);
    assert_non_null(strstr(text, "isoff-main:2011,"));
    assert_int_equal(count_of(text, "<SegmentList "), 2);
    assert_int_equal(count_of(text, "<SegmentBase "), 1);
    assert_non_null(strstr(
        text, "        <SegmentList timescale=\"90000\">\n"
              "          <Initialization sourceURL=\"v1/video/480p/media.mp4\" range=\"0-799\"/>\n"
              "          <SegmentTimeline>\n"
              "            <S t=\"0\" d=\"540000\" r=\"1\"/>\n"
              "            <S d=\"216000\"/>\n"
              "          </SegmentTimeline>\n"
              "          <SegmentURL media=\"v1/video/480p/media.mp4\" mediaRange=\"900-1050899\"/>\n"));
    vpi_free(text);
    vp_presentation_unref(p);

    p = title(false);
    set_text(&p->p.tracks[0].segments[1].key, "v1/video/1080p/x y$.m4s");
    text = mpd_of(p);
    assert_int_equal(count_of(text, "<SegmentURL media=\"v1/video/"), 6);
    assert_non_null(strstr(text, "<SegmentURL media=\"v1/video/1080p/x%20y%24.m4s\"/>"));
    assert_non_null(strstr(text, "<Initialization sourceURL=\"v1/video/1080p/init.mp4\"/>"));
    vpi_free(text);
    vp_presentation_unref(p);
}

static void patterns(void **state)
{
    static const struct {
        const char *keys[3], *media, *number;
    } cases[] = {
        { { "v/s9.m4s", "v/s10.m4s", "v/s11.m4s" }, "v/s$Number$.m4s", "9" },
        { { "v/99.m4s", "v/100.m4s", "v/101.m4s" }, "v/$Number%02d$.m4s", "99" },
        { { "v2/x4-07.m4s", "v2/x4-08.m4s", "v2/x4-09.m4s" }, "v2/x4-$Number%02d$.m4s", "7" },
        { { "1.m4s", "2.m4s", "3.m4s" }, "$Number$.m4s", "1" },
        { { "v$/0.m4s", "v$/1.m4s", "v$/2.m4s" }, "v%24/$Number$.m4s", "0" },
        { { "v/1.m4s", "v/3.m4s", "v/5.m4s" }, NULL, NULL },
        { { "v/08.m4s", "v/9.m4s", "v/10.m4s" }, NULL, NULL },
        { { "v/a.m5s", "v/b.m6s", "v/c.m7s" }, NULL, NULL },
        { { "1/x.m4s", "2/x.m4s", "3/x.m4s" }, NULL, NULL },
    };
    char expected[128];
    size_t i, k;

    (void)state;
    for (i = 0; i < VPI_COUNT(cases); i++) {
        vp_presentation *p = vpi_presentation_new();
        vpi_ptrack *t = add_video(p, "480p", 854, 480, 1400, false);
        char *text;

        for (k = 0; k < 3; k++) set_text(&t->segments[k].key, cases[i].keys[k]);
        finish(p);
        text = mpd_of(p);
        if (cases[i].media) {
            snprintf(expected, sizeof(expected), " media=\"%s\" startNumber=\"%s\">", cases[i].media,
                     cases[i].number);
            assert_non_null(strstr(text, expected));
        } else {
            assert_non_null(strstr(text, "<SegmentList "));
        }
        vpi_free(text);
        vp_presentation_unref(p);
    }
}

/* One template for the set only while timelines, numbers and names agree. */
static void sharing(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < 6; i++) {
        vp_presentation *p = title(false);
        vpi_ptrack *t = &p->p.tracks[1];
        char *text;

        if (i == 1) {
            t->segments[0].ticks -= 90;
            t->segments[1].start -= 90;
            t->segments[1].ticks += 90;
        } else if (i == 2) {
            t->timescale = 45000;
        } else if (i == 3) {
            set_text(&t->name, "481p");
        } else if (i == 4) {
            set_text(&t->init.key, "v1/other/480p/init.mp4");
        } else if (i == 5) {
            set_text(&t->codecs, "hvc1.1.6.L93.B0");
        }
        text = mpd_of(p);
        assert_int_equal(count_of(text, "$RepresentationID$"), i == 0 ? 2 : 0);
        assert_int_equal(count_of(text, "<SegmentTemplate "), i == 0 ? 2 : 3);
        /* Other cuts: the players must not take them for aligned. Other codecs do not share a set. */
        assert_int_equal(count_of(text, "segmentAlignment=\"false\""), i == 1 || i == 2);
        assert_int_equal(count_of(text, "<AdaptationSet "), i == 5 ? 3 : 2);
        vpi_free(text);
        vp_presentation_unref(p);
    }
}

/* P22: the MPD is as long as the shortest track, and names nothing behind its end. */
static void unequal_ends(void **state)
{
    vp_presentation *p = title(false);
    vpi_ptrack *t = &p->p.tracks[2];
    char *text;

    (void)state;
    t->segments[2].ticks = 114688 - 2048;
    add_segment(&p->p.tracks[0], "v1/video/1080p/", 3600, 100);
    text = mpd_of(p);
    /* (691200 - 2048) / 48000 = 14.35733..., rounded down */
    assert_int_equal(count_of(text, "uration=\"PT14.357333S\""), 2);
    assert_null(strstr(text, "d=\"3600\""));
    vpi_free(text);

    t->segments[2].ticks = 114688 + 48000 * 6;
    add_segment(t, "v1/audio/en-stereo/", 1024, 100);
    text = mpd_of(p);
    assert_int_equal(count_of(text, "uration=\"PT14.4S\""), 2);
    assert_null(strstr(text, "d=\"1024\""));
    vpi_free(text);
    vp_presentation_unref(p);
}

static void sets(void **state)
{
    vp_presentation *p = vpi_presentation_new();
    vpi_ptrack *t;
    const char *at;
    char *text;

    (void)state;
    t = add_audio(p, "de-stereo", "de", "stereo", 2, 128, false);
    t = add_video(p, "480p", 480, 854, 1400, false);
    t->frame_rate_num = 30000;
    t->frame_rate_den = 1001;
    t->primaries = t->transfer = t->matrix = 6;
    t = add_audio(p, "en-stereo", "en-US", "stereo", 1, 128, false);
    t->is_default = true;
    t = add_audio(p, "en-7.1", "en-US", "surround", 8, 384, false);
    t = add_audio(p, "en-22.2", "en-US", "surround", 24, 384, false);
    t = add_track(p, "480p", VP_TRACK_VIDEO, VP_CONTAINER_TS, 90000);
    add_segment(t, "ts/", 540000, 1);
    finish(p);
    text = mpd_of(p);
    assert_int_equal(count_of(text, "<AdaptationSet "), 5);
    assert_null(strstr(text, "ts/"));
    assert_int_equal(count_of(text, "value=\"main\""), 2);
    assert_int_equal(count_of(text, "value=\"alternate\""), 3);
    at = strstr(text, "id=\"2\" contentType=\"audio\" mimeType=\"audio/mp4\" lang=\"en-US\"");
    assert_non_null(at);
    assert_true(strstr(at, "value=\"main\"") < strstr(at, "</AdaptationSet>"));
    assert_non_null(
        strstr(text, "par=\"240:427\" maxWidth=\"480\" maxHeight=\"854\" maxFrameRate=\"30000/1001\""));
    assert_non_null(strstr(text, "<SupplementalProperty schemeIdUri=\"urn:mpeg:mpegB:cicp:ColourPrimaries\" "
                                 "value=\"6\"/>"));
    assert_int_equal(count_of(text, "<AudioChannelConfiguration "), 3);
    assert_int_equal(count_of(text, "ChannelConfiguration\" value=\"12\""), 1);
    vpi_free(text);
    p->p.tracks[1].transfer = 16;
    text = mpd_of(p);
    assert_int_equal(count_of(text, "<EssentialProperty "), 3);
    vpi_free(text);
    vp_presentation_unref(p);
}

/* A default that is there in stereo and surround: main in both, stereo is what to begin with. */
static void surround(void **state)
{
    vp_presentation *p = vpi_presentation_new();
    char *text, *at;

    (void)state;
    add_video(p, "480p", 480, 854, 1400, false);
    add_audio(p, "de-stereo", "de", "stereo", 2, 128, false);
    add_audio(p, "en-stereo", "en", "stereo", 2, 128, false)->is_default = true;
    add_audio(p, "de-5.1", "de", "surround", 6, 384, false);
    add_audio(p, "en-5.1", "en", "surround", 6, 384, false)->is_default = true;
    finish(p);
    text = mpd_of(p);
    assert_int_equal(count_of(text, "<AdaptationSet "), 5);
    assert_int_equal(count_of(text, "value=\"main\""), 3);
    assert_int_equal(count_of(text, "selectionPriority"), 1);
    at = strstr(text, "selectionPriority=\"2\"");
    assert_non_null(at);
    assert_true(at < strstr(text, "id=\"en-stereo\"") && at > strstr(text, "id=\"de-stereo\""));
    assert_true(strstr(strstr(text, "id=\"de-5.1\""), "value=\"main\"") > strstr(text, "id=\"de-5.1\""));
    assert_int_equal(count_of(text, "ChannelConfiguration\" value=\"6\""), 2);
    free(text);
    vp_presentation_unref(p);
}

static void refusals(void **state)
{
    vp_presentation *p = vpi_presentation_new();
    vpi_ptrack *t = add_track(p, "480p", VP_TRACK_VIDEO, VP_CONTAINER_TS, 90000);
    vp_bytes *b = NULL;

    (void)state;
    add_segment(t, "ts/", 540000, 1);
    assert_int_equal(vp_manifest_dash(p, &b, NULL), VP_E_ARG);
    assert_int_equal(vp_manifest_dash(NULL, &b, NULL), VP_E_ARG);
    assert_int_equal(vp_manifest_dash(p, NULL, NULL), VP_E_ARG);
    assert_null(b);
    vp_presentation_unref(p);
}

/* By the definition: every segment to start from, every one after it. */
static uint64_t brute_bandwidth(const vpi_ptrack *t, uint64_t buffer_us)
{
    uint64_t best = 1;
    size_t i, k;

    for (i = 0; i < t->segment_count; i++) {
        unsigned __int128 bits = 0;

        for (k = i; k < t->segment_count; k++) {
            unsigned __int128 time =
                (unsigned __int128)buffer_us * t->timescale +
                (unsigned __int128)(t->segments[k].start - t->segments[i].start) * 1000000;
            uint64_t rate;

            bits += (unsigned __int128)t->segments[k].bytes * 8 * t->timescale * 1000000;
            rate = (uint64_t)((bits + time - 1) / time);
            best = VPI_MAX(best, rate);
        }
    }
    return best;
}

static void bandwidth(void **state)
{
    uint32_t seed = 7, round;

    (void)state;
    for (round = 0; round < 300; round++) {
        vp_presentation *p = vpi_presentation_new();
        vpi_ptrack *t = add_track(p, "a", VP_TRACK_VIDEO, VP_CONTAINER_CMAF, round % 2 ? 90000 : 24000);
        uint32_t count = 1 + round % 40, i;

        for (i = 0; i < count; i++) {
            seed = seed * 1664525u + 1013904223u;
            add_segment(t, "v/", 1 + (seed >> 8) % (t->timescale * 8u), 1 + (seed >> 4) % 3000000);
        }
        assert_true(vpi_dash_bandwidth(t, count, 6000000) == brute_bandwidth(t, 6000000));
        assert_true(vpi_dash_bandwidth(t, count, 100000) == brute_bandwidth(t, 100000));
        vp_presentation_unref(p);
    }
}

/* DASH-IF IOP part 6: descriptors of each set, one key in a set, sets that players switch between. */
static void protection(void **state)
{
    vp_presentation *p = title(false);
    vpi_ptrack *t;
    char *text;
    size_t i;

    (void)state;
    for (i = 0; i < 3; i++) {
        vpi_key_info *k;

        t = &p->p.tracks[i];
        protect(t, VPI_SCHEME_CBCS, 0, 0);
        k = add_key(t, i < 2 ? 0xA0 : 0x10, "key.bin");
        add_drm(k, vpi_system_widevine, "abc", false, NULL, "https://wv.example/?a=1&b=2");
        add_drm(k, vpi_system_playready, "PRO object", false, NULL, NULL);
        add_drm(k, vpi_system_clearkey, "", true, NULL, "https://ck.example");
        add_drm(k, vpi_system_fairplay, NULL, false, "skd://a", NULL);
    }
    text = mpd_of(p);
    assert_int_equal(count_of(text, "<AdaptationSet "), 2);
    assert_non_null(
        strstr(text, "<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" xmlns:cenc=\"urn:mpeg:cenc:2013\" "
                     "xmlns:mspr=\"urn:microsoft:playready\" xmlns:dashif=\"https://dashif.org/CPS\" "));
    assert_non_null(strstr(
        text, "      <ContentProtection schemeIdUri=\"urn:mpeg:dash:mp4protection:2011\" value=\"cbcs\" "
              "cenc:default_KID=\"a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf\"/>\n"
              "      <ContentProtection schemeIdUri=\"urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed\" "
              "value=\"Widevine\">\n"
              "        <cenc:pssh>AAAAI3Bzc2gAAAAA7e+LqXnWSs6jyCfc1R0h7QAAAANhYmM=</cenc:pssh>\n"
              "        <dashif:Laurl>https://wv.example/?a=1&amp;b=2</dashif:Laurl>\n"
              "      </ContentProtection>\n"
              "      <ContentProtection schemeIdUri=\"urn:uuid:9a04f079-9840-4286-ab92-e65be0885f95\" "
              "value=\"MSPR 2.0\">\n"
              "        <cenc:pssh>AAAAKnBzc2gAAAAAmgTweZhAQoarkuZb4IhflQAAAApQUk8gb2JqZWN0</cenc:pssh>\n"
              "        <mspr:pro>UFJPIG9iamVjdA==</mspr:pro>\n"
              "      </ContentProtection>\n"
              "      <ContentProtection schemeIdUri=\"urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e\" "
              "value=\"ClearKey1.0\">\n"
              "        <dashif:Laurl licenseType=\"EME-1.0\">https://ck.example</dashif:Laurl>\n"
              "      </ContentProtection>\n"
              "      <ContentProtection schemeIdUri=\"urn:uuid:94ce86fb-07ff-4f43-adb8-93d2fa968ca2\" "
              "value=\"FairPlay\"/>\n"));
    assert_int_equal(count_of(text, "default_KID=\"10111213-"), 1);
    assert_null(strstr(text, "adaptation-set-switching"));
    vpi_free(text);

    /* Another key for the larger pictures: a set of its own, with the same role. */
    p->p.tracks[0].protection.keys[0].kid[15] ^= 1;
    p->p.tracks[0].transfer = 6;
    text = mpd_of(p);
    assert_int_equal(count_of(text, "<AdaptationSet "), 3);
    assert_int_equal(count_of(text,
                              "<SupplementalProperty "
                              "schemeIdUri=\"urn:mpeg:dash:adaptation-set-switching:2016\" value=\"1\"/>"),
                     1);
    assert_int_equal(count_of(text, "adaptation-set-switching:2016\" value=\"0\"/>"), 1);
    assert_int_equal(count_of(text, "value=\"main\""), 3);
    assert_int_equal(count_of(text, "default_KID=\"a0a1a2a3-"), 2);
    vpi_free(text);

    /* Counter mode: no FairPlay. Nothing that needs a namespace: none is declared. */
    for (i = 0; i < 3; i++) {
        vpi_key_info *k = &p->p.tracks[i].protection.keys[0], old = *k;

        p->p.tracks[i].protection.scheme = VPI_SCHEME_CENC;
        vpi_key_info_dispose(k);
        k->has_kid = true;
        memcpy(k->kid, old.kid, sizeof(k->kid));
    }
    add_drm(&p->p.tracks[0].protection.keys[0], vpi_system_fairplay, NULL, false, "skd://a",
            "https://fp.example");
    text = mpd_of(p);
    assert_int_equal(count_of(text, "<ContentProtection "), 3);
    assert_int_equal(count_of(text, " value=\"cenc\" "), 3);
    assert_true(!strstr(text, "xmlns:mspr") && !strstr(text, "xmlns:dashif"));
    vpi_free(text);

    /* A clear track beside: its own set. */
    vpi_protection_dispose(&p->p.tracks[1].protection);
    text = mpd_of(p);
    assert_int_equal(count_of(text, "<AdaptationSet "), 3);
    assert_int_equal(count_of(text, "<ContentProtection "), 2);
    vpi_free(text);
    vp_presentation_unref(p);
}

static void whole_segments(void **state)
{
    vp_presentation *p = title(false);
    vp_error err = VP_ERROR_INIT;
    vp_bytes *b = NULL;

    (void)state;
    protect(&p->p.tracks[2], VPI_SCHEME_AES128, 0, 0);
    assert_int_equal(vp_manifest_dash(p, &b, &err), VP_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "en-stereo is AES-128"));
    assert_null(b);
    vp_presentation_unref(p);
}

static void no_memory(void **state)
{
    vp_presentation *p = title(false);
    vp_bytes *b = NULL;
    vp_status st = VP_OK;
    long n;

    (void)state;
    for (uint32_t i = 0; i < p->p.track_count; i++) {
        protect(&p->p.tracks[i], VPI_SCHEME_CBCS, 0, 0);
        add_drm(add_key(&p->p.tracks[i], i == 2 ? 1 : 0, NULL), vpi_system_playready, "PRO", false, NULL,
                "https://l");
    }
    for (n = 1; n < 500; n++) {
        vpi_alloc_fail_at = n;
        st = vp_manifest_dash(p, &b, NULL);
        if (vpi_alloc_fail_at > 0) break;
        assert_true(st == VP_E_NOMEM || st == VP_OK);
        assert_true((st == VP_OK) == (b != NULL));
        /* Whatever could not be had: no text that differs. */
        if (b) assert_non_null(strstr(vp_bytes_data(b), "$RepresentationID$"));
        if (b) assert_int_equal(count_of(vp_bytes_data(b), "<mspr:pro>UFJP</mspr:pro>"), 2);
        b = vp_bytes_unref(b);
    }
    vpi_alloc_fail_at = 0;
    assert_int_equal(st, VP_OK);
    assert_true(n > 5 && n < 500);
    vp_bytes_unref(b);
    vp_presentation_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates), cmocka_unit_test(single_file), cmocka_unit_test(lists),
        cmocka_unit_test(patterns),  cmocka_unit_test(sharing),     cmocka_unit_test(unequal_ends),
        cmocka_unit_test(sets),      cmocka_unit_test(surround),    cmocka_unit_test(refusals),
        cmocka_unit_test(bandwidth), cmocka_unit_test(protection),  cmocka_unit_test(whole_segments),
        cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, prepare, clean);
}
