/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Encrypted titles: good ones pass, and each mistake is found by its rule. */
#include "closed.h"

#include <stdatomic.h>

#include "base/fault.h"

#define VIDEO "video/192p/"

static const closed_options good[] = {
    { .scheme = VPI_SCHEME_CENC },
    { .scheme = VPI_SCHEME_CBCS },
    { .scheme = VPI_SCHEME_AES128 },
    { .scheme = VPI_SCHEME_CENC, .clear_segments = 1 },
    { .scheme = VPI_SCHEME_CBCS, .clear_segments = 1, .rotation = 1 },
    { .scheme = VPI_SCHEME_CENC, .rotation = 2 },
    { .scheme = VPI_SCHEME_AES128, .clear_segments = 2, .rotation = 1 },
    { .scheme = VPI_SCHEME_CBCS, .container = VP_CONTAINER_TS },
    { .scheme = VPI_SCHEME_CBCS, .container = VP_CONTAINER_TS, .clear_segments = 1, .rotation = 1 },
    { .scheme = VPI_SCHEME_AES128, .container = VP_CONTAINER_TS, .clear_segments = 1 },
    { .scheme = VPI_SCHEME_CENC, .iv_step = 1024, .rotation = 1 },
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < VPI_COUNT(good); i++) {
        title t;

        closed_make(&t, &good[i]);
        title_gate(&t, true);
        expect_good(&t);
        title_verify(&t);
        expect_good(&t);
        title_close(&t);
    }
}

static void test_packager(void **state)
{
    static const struct {
        closed_options options;
        const char *rule;
    } cases[] = {
        { { .scheme = VPI_SCHEME_CENC, .same_ivs = true }, "E08" },
        { { .scheme = VPI_SCHEME_CENC, .same_ivs = true, .iv_step = 1024 }, "E08" },
        { { .scheme = VPI_SCHEME_CENC, .iv_step = 160 }, "E08" }, /* they begin 160 apart */
        { { .scheme = VPI_SCHEME_CENC, .headers = true }, "E10" },
        { { .scheme = VPI_SCHEME_CBCS, .headers = true }, "E10" },
        { { .scheme = VPI_SCHEME_CENC, .odd_bytes = true }, "E10" },
        { { .scheme = VPI_SCHEME_CENC, .open = true }, "E14" },
        { { .scheme = VPI_SCHEME_CENC, .rotation = 1, .never_group = true }, "E07" },
        { { .scheme = VPI_SCHEME_CBCS, .clear_segments = 1, .never_second = true }, "CMAF" },
    };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        title t;

        closed_make(&t, &cases[i].options);
        title_verify(&t);
        expect_rule(&t, cases[i].rule);
        title_close(&t);
    }
}

/* ---- bytes ---- */

static void test_bytes(void **state)
{
    static const struct {
        vpi_scheme scheme;
        const char *object, *fourcc;
        unsigned nth;
        long offset;
        int by;
        const char *rule;
    } cases[] = {
        { VPI_SCHEME_CENC, VIDEO "init.mp4", "tenc", 0, 6, -1, "E14" }, /* isProtected */
        { VPI_SCHEME_CENC, VIDEO "init.mp4", "tenc", 0, 7, 8, "E09" },  /* IVs of 16 bytes */
        { VPI_SCHEME_CENC, VIDEO "init.mp4", "tenc", 0, 8, 1, "E13" },  /* KID */
        { VPI_SCHEME_CBCS, VIDEO "init.mp4", "tenc", 0, 5, 1, "E11" },  /* pattern 1:10 */
        { VPI_SCHEME_CBCS, VIDEO "init.mp4", "tenc", 0, 25, 1, "E11" }, /* constant IV */
        { VPI_SCHEME_CBCS, "audio/en-stereo/init.mp4", "tenc", 0, 5, 0x19, "E11" },
        { VPI_SCHEME_CBCS, VIDEO "init.mp4", "schm", 0, 4, 1, "E11" },
        { VPI_SCHEME_CBCS, VIDEO "init.mp4", "frma", 0, 3, 1, "P13" },
        { VPI_SCHEME_CBCS, VIDEO "init.mp4", "encv", 0, -1, 1, "E14" },
        { VPI_SCHEME_CENC, VIDEO "00002.m4s", "saiz", 0, 8, 1, "E12" },   /* samples */
        { VPI_SCHEME_CENC, VIDEO "00002.m4s", "saiz", 0, 4, 1, "E12" },   /* size of each */
        { VPI_SCHEME_CENC, VIDEO "00002.m4s", "saio", 0, 11, 1, "E12" },  /* offset */
        { VPI_SCHEME_CENC, VIDEO "00002.m4s", "senc", 0, 7, 1, "E12" },   /* samples */
        { VPI_SCHEME_CENC, VIDEO "00002.m4s", "senc", 0, 19, 1, "E10" },  /* clear bytes of a subsample */
        { VPI_SCHEME_CENC, VIDEO "00002.m4s", "senc", 0, 23, 16, "E10" }, /* encrypted ones */
        { VPI_SCHEME_CBCS, VIDEO "00002.m4s", "senc", 0, 11, 1, "E10" },
        { VPI_SCHEME_CENC, "audio/en-stereo/00001.m4s", "senc", 0, 15, 1, "E08" }, /* an IV of the next one */
    };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        title t;

        closed_make(&t, &(closed_options){ .scheme = cases[i].scheme });
        object_patch(&t, under(cases[i].object), cases[i].fourcc, cases[i].nth, cases[i].offset, cases[i].by);
        title_verify(&t);
        if (!title_failed(&t, cases[i].rule)) print_message("case %zu\n", i);
        expect_rule(&t, cases[i].rule);
        title_close(&t);
    }
}

/* With rotation and a clear start: groups, sample entries, boxes for DRM systems. */
static void test_periods(void **state)
{
    static const struct {
        const char *object, *fourcc;
        long offset;
        int by;
        const char *rule;
    } cases[] = {
        { "00002.m4s", "sgpd", 20, 1, "E07" },  /* KID */
        { "00002.m4s", "sgpd", 37, 1, "E11" },  /* constant IV */
        { "00002.m4s", "sbgp", 15, 1, "E07" },  /* samples */
        { "00002.m4s", "sbgp", 19, 1, "E07" },  /* which description */
        { "00002.m4s", "sbgp", -1, 1, "E07" },  /* no such box */
        { "00002.m4s", "pssh", 30, 1, "E13" },  /* KID */
        { "00001.m4s", "tfhd", 11, -1, "E07" }, /* the encrypted entry for what is clear */
        { "init.mp4", "pasp", 3, 1, "CMAF" },   /* the entries differ (and are wrong) */
        { "init.mp4", "stsd", 7, -1, "CMAF" },  /* one entry only */
    };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        char object[64];
        title t;

        closed_make(&t, &(closed_options){ .scheme = VPI_SCHEME_CBCS, .clear_segments = 1, .rotation = 1 });
        snprintf(object, sizeof(object), VIDEO "%s", cases[i].object);
        object_patch(&t, under(object), cases[i].fourcc, 0, cases[i].offset, cases[i].by);
        title_verify(&t);
        if (!title_failed(&t, cases[i].rule)) print_message("case %zu\n", i);
        expect_rule(&t, cases[i].rule);
        title_close(&t);
    }
}

/* ---- manifests ---- */

static void test_texts(void **state)
{
    static const struct {
        closed_options options;
        const char *object, *from, *to, *rule;
    } cases[] = {
        { { .scheme = VPI_SCHEME_AES128 }, VIDEO "playlist.m3u8", ",IV=0x", ",X-IV=0x", "E01" },
        { { .scheme = VPI_SCHEME_AES128 }, VIDEO "playlist.m3u8", "IV=0x71", "IV=0x72", "E01" },
        { { .scheme = VPI_SCHEME_AES128 },
          VIDEO "playlist.m3u8",
          "#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"https://k.example/32-0\","
          "IV=0x71717171717171717171717171717171\n",
          "#EXT-X-KEY:METHOD=AES-128,URI=\"https://k.example/32-0\",IV=0x71717171717171717171717171717171\n"
          "#EXT-X-MAP:URI=\"init.mp4\"\n",
          "E02" },
        { { .scheme = VPI_SCHEME_AES128 }, VIDEO "playlist.m3u8", "/32-0\"", "/32-1\"", "E07" },
        { { .scheme = VPI_SCHEME_AES128 }, VIDEO "playlist.m3u8", "AES-128", "SAMPLE-AES", "HLS" },
        { { .scheme = VPI_SCHEME_AES128, .clear_segments = 1 },
          VIDEO "playlist.m3u8",
          "#EXTINF:2.000000,\n00001.m4s\n",
          "#EXT-X-KEY:METHOD=AES-128,URI=\"a\",IV=0x00\n#EXTINF:2.000000,\n00001.m4s\n",
          "E07" },
        { { .scheme = VPI_SCHEME_CBCS, .rotation = 1 },
          "audio/en-stereo/playlist.m3u8",
          "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://96-1\"",
          "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://96-2\"",
          "E07" },
        { { .scheme = VPI_SCHEME_CBCS }, VIDEO "playlist.m3u8", "KEYID=0x20", "KEYID=0x21", "E13" },
        { { .scheme = VPI_SCHEME_CBCS },
          VIDEO "playlist.m3u8",
          "URI=\"skd://32-0\",",
          "URI=\"skd://32-0\",IV=0xc0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0,",
          "HLS" },
        { { .scheme = VPI_SCHEME_CBCS },
          VIDEO "iframes.m3u8",
          "#EXT-X-VERSION:5",
          "#EXT-X-VERSION:4",
          "HLS" },
        { { .scheme = VPI_SCHEME_CBCS },
          "",
          "#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://32-0\"",
          "#EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://32-9\"",
          "E13" },
        { { .scheme = VPI_SCHEME_CBCS }, "", "skd://96-0", "skd://32-0", "HLS" },
    };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        title t;

        closed_make(&t, &cases[i].options);
        object_replace(&t, cases[i].object[0] ? under(cases[i].object) : "master.m3u8", cases[i].from,
                       cases[i].to);
        title_verify(&t);
        if (!title_failed(&t, cases[i].rule)) print_message("case %zu\n", i);
        expect_rule(&t, cases[i].rule);
        title_close(&t);
    }
}

static void test_mpd(void **state)
{
    static const struct {
        const char *from, *to, *rule;
    } cases[] = {
        { "default_KID=\"2020", "default_KID=\"2120", "E13" },
        { "default_KID=\"2020", "default_kid=\"2020", "E13" },
        { "value=\"cbcs\"", "value=\"cenc\"", "DASH" },
        { "adaptation-set-switching:2016", "adaptation-set-switching:2017", "DASH" },
        { "<ContentProtection schemeIdUri=\"urn:mpeg:dash:mp4protection:2011\" value=\"cbcs\" "
          "cenc:default_KID=\"60606060-6060-6060-6060-606060606060\"/>",
          "", "E13" },
    };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        title t;

        closed_make(&t, &good[1]);
        object_replace(&t, "manifest.mpd", cases[i].from, cases[i].to);
        title_verify(&t);
        if (!title_failed(&t, cases[i].rule)) print_message("case %zu\n", i);
        expect_rule(&t, cases[i].rule);
        title_close(&t);
    }
}

/* An MPD or an I-frame playlist of a title under AES-128 is none of ours. */
static void test_left_over(void **state)
{
    title t;

    (void)state;
    closed_make(&t, &good[2]);
    object_put(&t, "manifest.mpd", "<MPD/>", 6);
    title_verify(&t);
    expect_rule(&t, "S22");
    object_remove(&t, "manifest.mpd");
    object_put(&t, under(VIDEO "iframes.m3u8"), "#EXTM3U\n", 8);
    title_verify(&t);
    expect_rule(&t, "NAMES");
    title_close(&t);
}

/* ---- the presentation alone ---- */

static void no_keys(title *t)
{
    vpi_protection *p = &t->presentation->p.tracks[0].protection;

    while (p->key_count > 1) vpi_key_info_dispose(&p->keys[--p->key_count]);
}

static void other_size(title *t)
{
    t->presentation->p.tracks[0].segments[0].bytes += 1;
}

static void bad_uri(title *t)
{
    t->presentation->p.tracks[0].protection.keys[0].uri[3] = '"';
}

static void other_kid(title *t)
{
    t->presentation->p.tracks[0].protection.keys[0].kid[0] ^= 1;
}

static void broken_box(title *t)
{
    t->presentation->p.tracks[0].protection.keys[0].drm[0].pssh[3]++;
}

static void other_lead(title *t)
{
    t->presentation->p.tracks[1].protection.clear_segments = 1;
}

/* A PlayReady header tells its KID with the bytes of a GUID. */
static void play_ready(title *t, const char *kid)
{
    vpi_drm *d = &t->presentation->p.tracks[0].protection.keys[0].drm[0];
    vpi_buf b = { 0 };

    vpi_buf_be32(&b, 0);
    vpi_buf_str(&b, "pssh");
    vpi_buf_be32(&b, 0);
    vpi_buf_add(&b, vpi_system_playready, 16);
    vpi_buf_be32(&b, (uint32_t)(2 * strlen(kid)));
    for (; *kid; kid++) {
        vpi_buf_u8(&b, (uint8_t)*kid);
        vpi_buf_u8(&b, 0);
    }
    vpi_buf_patch_be32(&b, 0, (uint32_t)b.size);
    memcpy(d->system, vpi_system_playready, sizeof(d->system));
    vpi_free(d->pssh);
    d->pssh = b.data;
    d->pssh_size = b.size;
}

static void set_kid(title *t)
{
    vpi_key_info *k = &t->presentation->p.tracks[0].protection.keys[0];

    for (uint8_t i = 0; i < 16; i++) k->kid[i] = i;
}

/* GUID {00010203-0405-0607-0809-0a0b0c0d0e0f}, little-endian where a GUID is. */
#define GUID "AwIBAAUEBwYICQoLDA0ODw=="

static void other_guid(title *t)
{
    set_kid(t);
    play_ready(t, "<WRMHEADER><DATA><KID>AAECAwQFBgcICQoLDA0ODw==</KID></DATA></WRMHEADER>");
}

static void widevine(title *t)
{
    static const uint8_t data[] = { 0,    0,    0,    54,   'p',  's',  's',  'h',  0,    0,    0,
                                    0,    0xED, 0xEF, 0x8B, 0xA9, 0x79, 0xD6, 0x4A, 0xCE, 0xA3, 0xC8,
                                    0x27, 0xDC, 0xD5, 0x1D, 0x21, 0xED, 0,    0,    0,    22,   0x08,
                                    0x01, 0x12, 0x10, 1,    2,    3,    4,    5,    6,    7,    8,
                                    9,    10,   11,   12,   13,   14,   15,   16,   0x22, 0 };
    vpi_drm *d = &t->presentation->p.tracks[0].protection.keys[0].drm[0];

    memcpy(d->system, vpi_system_widevine, sizeof(d->system));
    vpi_free(d->pssh);
    d->pssh = vpi_alloc(sizeof(data));
    memcpy(d->pssh, data, sizeof(data));
    d->pssh_size = sizeof(data);
}

static void test_keys(void **state)
{
    static const struct {
        closed_options options;
        void (*spoil)(title *t);
        const char *rule;
    } cases[] = {
        { { .scheme = VPI_SCHEME_CENC, .rotation = 1 }, no_keys, "E07" },
        { { .scheme = VPI_SCHEME_CENC }, other_lead, "E07" },
        { { .scheme = VPI_SCHEME_AES128 }, other_size, "E03" },
        { { .scheme = VPI_SCHEME_AES128 }, bad_uri, "E06" },
        { { .scheme = VPI_SCHEME_CENC }, other_kid, "E13" },
        { { .scheme = VPI_SCHEME_CENC }, broken_box, "E13" },
        { { .scheme = VPI_SCHEME_CENC }, other_guid, "E13" },
        { { .scheme = VPI_SCHEME_CENC }, widevine, "E13" },
    };
    title t;

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        closed_make(&t, &cases[i].options);
        cases[i].spoil(&t);
        title_gate(&t, false);
        if (!title_failed(&t, cases[i].rule)) print_message("case %zu\n", i);
        expect_rule(&t, cases[i].rule);
        title_close(&t);
    }
    /* And both forms of a PlayReady header that tell the right one. */
    for (size_t i = 0; i < 2; i++) {
        closed_make(&t, &good[0]);
        set_kid(&t);
        play_ready(&t, i ? "<KIDS><KID ALGID=\"AESCTR\" VALUE=\"" GUID "\"></KID></KIDS>"
                         : "<KID>" GUID "</KID>");
        title_gate(&t, false);
        expect_good(&t);
        title_close(&t);
    }
}

/* Wherever a byte is wrong: it is found, and nothing else happens. */
static void test_flips(void **state)
{
    static const char *const objects[] = { VIDEO "init.mp4", VIDEO "00002.m4s", "audio/en-stereo/00003.m4s" };
    static const size_t which[] = { 0, 4 };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(which) * VPI_COUNT(objects); i++) {
        const char *key = objects[i % VPI_COUNT(objects)];
        title t;
        size_t size;
        uint8_t *data;

        closed_make(&t, &good[which[i / VPI_COUNT(objects)]]);
        data = object_get(&t, under(key), &size);
        for (size_t at = 0; at < size && at < 1200; at += 3) {
            uint8_t was = data[at];

            data[at] = (uint8_t)(at % 2 ? was ^ 0x80 : was + 1);
            object_put(&t, under(key), data, size);
            assert_int_equal(title_gate(&t, true), VP_E_DATA);
            data[at] = was;
        }
        free(data);
        title_close(&t);
    }
}

/* A presentation that says something else about what is there. */
static void test_otherwise(void **state)
{
    static const struct {
        size_t made;
        vpi_scheme said;
        const char *rule;
    } cases[] = {
        { 0, VPI_SCHEME_NONE, "E14" }, { 0, VPI_SCHEME_CBCS, "E11" }, { 1, VPI_SCHEME_CENC, "E09" },
        { 7, VPI_SCHEME_NONE, "E07" }, { 2, VPI_SCHEME_CENC, "E14" }, { 9, VPI_SCHEME_CBCS, "E14" },
    };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(cases); i++) {
        title t;

        closed_make(&t, &good[cases[i].made]);
        for (size_t k = 0; k < t.presentation->p.track_count; k++) {
            vpi_ptrack *track = &t.presentation->p.tracks[k];

            track->protection.scheme = cases[i].said;
            for (size_t n = 0; n < track->segment_count; n++) track->segments[n].has_iv = false;
            /* In TS what is clear is all that could be read. */
            if (cases[i].made == 9) track->protection.clear_segments = 0;
        }
        title_gate(&t, true);
        if (!title_failed(&t, cases[i].rule)) print_message("case %zu\n", i);
        expect_rule(&t, cases[i].rule);
        title_close(&t);
    }
}

/* Every allocation may fail: the answer is NOMEM, never a finding that is none. */
static void test_allocations(void **state)
{
    static const size_t which[] = { 0, 4 };

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(which); i++) {
        bool done = false;
        title t;

        closed_make(&t, &good[which[i]]);
        if (i == 0) set_kid(&t);
        if (i == 0) play_ready(&t, "<KID>" GUID "</KID>");
        for (long n = 1; !done && n < 100000; n++) {
            atomic_store(&vpi_alloc_fail_at, n);
            title_gate(&t, i > 0); /* the other KID is not that of the segments */
            done = atomic_exchange(&vpi_alloc_fail_at, 0) > 0;
            if (t.status != VP_OK && t.status != VP_E_NOMEM) title_print(&t);
            assert_true(t.status == VP_OK || t.status == VP_E_NOMEM);
            assert_true((t.report != NULL) == (t.status == VP_OK));
        }
        assert_true(done);
        title_close(&t);
    }
    for (size_t i = 0; i < 2; i++) {
        bool done = false;
        title t;

        closed_make(&t, &good[i]);
        for (long n = 1; !done && n < 100000; n++) {
            atomic_store(&vpi_alloc_fail_at, n);
            title_verify(&t);
            done = atomic_exchange(&vpi_alloc_fail_at, 0) > 0;
            assert_true(t.status == VP_OK || t.status == VP_E_NOMEM);
        }
        assert_true(done);
        title_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),      cmocka_unit_test(test_packager),    cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_periods),   cmocka_unit_test(test_texts),       cmocka_unit_test(test_mpd),
        cmocka_unit_test(test_left_over), cmocka_unit_test(test_keys),        cmocka_unit_test(test_flips),
        cmocka_unit_test(test_otherwise), cmocka_unit_test(test_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
