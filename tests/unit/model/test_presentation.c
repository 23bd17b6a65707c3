/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/fault.h"
#include "model/presentation.h"

/* Every field that there is, at least once. */
static const char full[] =
    "{\"vodpipe\":1,\"version\":\"a1b2c3d4e5f6\",\"request\":\"00ff\",\"duration\":{\"ticks\":\"1080000\","
    "\"timescale\":90000},\"tracks\":["
    "{\"name\":\"720p\",\"kind\":\"video\",\"group\":\"video\",\"codecs\":\"avc1.64001f\",\"width\":1280,"
    "\"height\":720,\"frame_rate\":\"25/1\",\"primaries\":6,\"transfer\":6,\"matrix\":6,\"timescale\":90000,"
    "\"bandwidth\":3120442,\"average_bandwidth\":2711034,\"container\":\"cmaf\","
    "\"init\":{\"key\":\"a1/video/720p/init.mp4\",\"bytes\":812,\"crc32c\":\"00000001\"},\"protection\":null,"
    "\"segments\":[{\"key\":\"a1/video/720p/00001.m4s\",\"start\":\"0\",\"ticks\":540000,\"bytes\":812331,"
    "\"crc32c\":\"1f2e3d4c\",\"fragments\":[{\"offset\":0,\"bytes\":271002,\"ticks\":180000,\"idr_bytes\":"
    "60211},"
    "{\"offset\":271002,\"bytes\":541329,\"ticks\":360000,\"idr_bytes\":541329}]},"
    "{\"key\":\"a1/video/720p/00002.m4s\",\"start\":\"540000\",\"ticks\":540000,\"bytes\":5,"
    "\"crc32c\":\"00000000\"}]},"
    "{\"name\":\"en-stereo\",\"kind\":\"audio\",\"group\":\"stereo\",\"codecs\":\"mp4a.40.2\","
    "\"language\":\"en\",\"label\":\"English\",\"default\":true,\"sample_rate\":48000,\"channels\":2,"
    "\"timescale\":48000,\"bandwidth\":128000,\"average_bandwidth\":127000,\"container\":\"cmaf\","
    "\"object\":{\"bytes\":100912,\"crc32c\":\"deadbeef\"},\"init\":{\"key\":\"a1/a.mp4\",\"bytes\":812},"
    "\"index\":{\"key\":\"a1/a.mp4\",\"offset\":812,\"bytes\":100},\"protection\":null,"
    "\"segments\":[{\"key\":\"a1/"
    "a.mp4\",\"offset\":912,\"start\":\"0\",\"ticks\":576000,\"bytes\":100000}]}]}\n";

/* Under AES-128 from the second segment on, and under cbcs with two keys. */
static const char closed[] =
    "{\"vodpipe\":1,\"version\":\"a1\",\"request\":\"00ff\",\"duration\":{\"ticks\":\"4\",\"timescale\":1},"
    "\"tracks\":[{\"name\":\"ts\",\"kind\":\"audio\",\"group\":\"stereo\",\"codecs\":\"mp4a.40.2\","
    "\"timescale\":1,"
    "\"bandwidth\":8,\"average_bandwidth\":8,\"container\":\"ts\",\"protection\":{\"scheme\":\"aes128\","
    "\"label\":\"audio\",\"clear_segments\":1,\"keys\":[{\"uri\":\"https://k/1\"}]},"
    "\"segments\":[{\"key\":\"a1/1.ts\",\"start\":\"0\",\"ticks\":2,\"bytes\":16,\"crc32c\":\"00000000\"},"
    "{\"key\":\"a1/2.ts\",\"start\":\"2\",\"ticks\":2,\"bytes\":16,\"crc32c\":\"00000000\","
    "\"iv\":\"000102030405060708090a0b0c0d0e0f\"}]},"
    "{\"name\":\"cmaf\",\"kind\":\"audio\",\"group\":\"stereo\",\"codecs\":\"mp4a.40.2\",\"timescale\":1,"
    "\"bandwidth\":8,\"average_bandwidth\":8,\"container\":\"cmaf\",\"protection\":{\"scheme\":\"cbcs\","
    "\"label\":\"audio\",\"rotation\":1,\"keys\":[{\"kid\":\"a0a1a2a3a4a5a6a7a8a9aaabacadaeaf\","
    "\"iv\":\"c0c1c2c3c4c5c6c7c8c9cacbcccdcecf\",\"drm\":[{\"system\":\"fairplay\",\"uri\":\"skd://1\"}]},"
    "{\"kid\":\"b0b1b2b3b4b5b6b7b8b9babbbcbdbebf\",\"iv\":\"d0d1d2d3d4d5d6d7d8d9dadbdcdddedf\"}]},"
    "\"segments\":[{\"key\":\"a1/1.m4s\",\"start\":\"0\",\"ticks\":2,\"bytes\":1,\"crc32c\":\"00000000\"},"
    "{\"key\":\"a1/2.m4s\",\"start\":\"2\",\"ticks\":2,\"bytes\":1,\"crc32c\":\"00000000\"}]}]}\n";

static vp_status parse_text(const char *text, size_t size, vp_error *err)
{
    vp_presentation *p = NULL;
    vp_status st = vp_presentation_parse(text, size, &p, err);

    assert_true((st == VP_OK) == (p != NULL));
    vp_presentation_unref(p);
    return st;
}

static vp_presentation *parse_full(void)
{
    vp_presentation *p = NULL;
    vp_error err = VP_ERROR_INIT;
    vp_status st = vp_presentation_parse(full, sizeof(full) - 1, &p, &err);

    assert_string_equal(err.message, "");
    assert_int_equal(st, VP_OK);
    return p;
}

static void round_trip(void **state)
{
    vp_presentation *p = parse_full();
    vp_bytes *b = NULL;

    (void)state;
    assert_int_equal(vp_presentation_json(p, &b, NULL), VP_OK);
    assert_string_equal(vp_bytes_data(b), full);
    vp_bytes_unref(b);
    vp_presentation_unref(p);
}

static void single_track(void **state)
{
    vp_presentation *p = parse_full();
    struct json_t *one, *two;
    vpi_ptrack t = { 0 };
    size_t i;

    (void)state;
    for (i = 0; i < 2; i++) {
        one = vpi_ptrack_to_json(&p->p.tracks[i]);
        assert_int_equal(vpi_ptrack_from_json(one, &t, NULL), VP_OK);
        two = vpi_ptrack_to_json(&t);
        assert_true(json_equal(one, two));
        json_decref(one);
        json_decref(two);
        vpi_ptrack_dispose(&t);
    }
    vp_presentation_unref(p);
}

static void infos(void **state)
{
    vp_presentation *p = parse_full();
    vp_presentation_info info;
    vp_track_info t;
    vp_segment_info s;
    char folder[1024];

    (void)state;
    vp_presentation_info_init(&info, sizeof(info));
    assert_int_equal(vp_presentation_get_info(p, &info, NULL), VP_OK);
    assert_int_equal(info.track_count, 2);
    assert_int_equal(info.duration_us, 12000000);
    assert_string_equal(info.version, "a1b2c3d4e5f6");
    vp_track_info_init(&t, sizeof(t));
    assert_int_equal(vp_presentation_get_track(p, 0, &t, NULL), VP_OK);
    assert_int_equal(t.kind, VP_TRACK_VIDEO);
    assert_string_equal(t.language, "und");
    assert_int_equal(t.duration_ticks, 1080000);
    assert_string_equal(t.init_key, "a1/video/720p/init.mp4");
    assert_int_equal(vp_presentation_get_track(p, 2, &t, NULL), VP_E_ARG);
    vp_segment_info_init(&s, sizeof(s));
    assert_int_equal(vp_presentation_get_segment(p, 0, 1, &s, NULL), VP_OK);
    assert_int_equal(s.start_ticks, 540000);
    assert_int_equal(vp_presentation_get_segment(p, 1, 0, &s, NULL), VP_OK);
    assert_int_equal(s.offset, 912);
    assert_int_equal(vp_presentation_get_segment(p, 1, 1, &s, NULL), VP_E_ARG);
    vpi_ptrack_folder(&p->p.tracks[0], folder);
    assert_string_equal(folder, "a1/video/720p");
    vp_presentation_unref(p);
}

static void truncation(void **state)
{
    vp_error err = VP_ERROR_INIT;
    size_t n;

    (void)state;
    for (n = 0; n < sizeof(full) - 2; n++) {
        vp_error_init(&err);
        assert_int_equal(parse_text(full, n, &err), VP_E_DATA);
        assert_string_equal(err.reason, "INPUT_CORRUPT");
    }
    assert_int_equal(parse_text(NULL, 1, NULL), VP_E_ARG);
    assert_int_equal(parse_text(full, ((uint64_t)256 << 20) + 1, &err), VP_E_LIMIT);
}

static vp_status parse_json(const json_t *root, vp_error *err)
{
    char *text = json_dumps(root, JSON_COMPACT);
    vp_status st = parse_text(text, strlen(text), err);

    free(text);
    return st;
}

/*
 * Calls change for each object of the document in turn, which it may alter; it gets the number of the object.
 * Returns how many there are.
 */
static size_t each_object(json_t *root, json_t *at, size_t number, void (*check)(json_t *root, json_t *at))
{
    json_t *value;
    const char *key;
    size_t i;

    if (json_is_object(at)) {
        check(root, at);
        number++;
        json_object_foreach (at, key, value) number = each_object(root, value, number, check);
    } else if (json_is_array(at)) {
        json_array_foreach (at, i, value) number = each_object(root, value, number, check);
    }
    return number;
}

static void unknown_in(json_t *root, json_t *at)
{
    vp_error err = VP_ERROR_INIT;

    json_object_set_new(at, "surprise", json_integer(1));
    assert_int_equal(parse_json(root, &err), VP_E_DATA);
    assert_string_equal(err.reason, "INPUT_CORRUPT");
    assert_non_null(strstr(err.message, "surprise: unknown field"));
    json_object_del(at, "surprise");
}

static void unknown_fields(void **state)
{
    json_t *root = json_loads(full, 0, NULL);

    (void)state;
    assert_int_equal(each_object(root, root, 0, unknown_in), 13);
    assert_int_equal(parse_json(root, NULL), VP_OK);
    json_decref(root);
}

/* Every field of an object takes one type only: each other one is refused, and the field is named. */
static void wrong_types_in(json_t *root, json_t *at)
{
    void *it;

    for (it = json_object_iter(at); it; it = json_object_iter_next(at, it)) {
        const char *key = json_object_iter_key(it);
        json_t *kept = json_incref(json_object_iter_value(it));
        json_t *others[] = { json_true(),  json_real(1.5), json_integer(-1), json_string("\x01, "),
                             json_array(), json_object(),  json_null() };
        size_t i;

        for (i = 0; i < VPI_COUNT(others); i++) {
            bool same = json_typeof(others[i]) == json_typeof(kept) ||
                        (json_is_boolean(others[i]) && json_is_boolean(kept));
            vp_error err = VP_ERROR_INIT;

            if (json_is_array(kept) || json_is_object(kept) || json_is_null(kept)) {
                if (same) continue;
            } else if (json_is_boolean(kept) && same) {
                continue;
            } else if ((strcmp(key, "request") == 0 || strcmp(key, "label") == 0) && same) {
                continue; /* any text */
            }
            json_object_iter_set(at, it, others[i]);
            assert_true(parse_json(root, &err) < 0);
            if (strcmp(key, "name") != 0)
                assert_non_null(strstr(err.message, key[0] == 'k' ? "" : "presentation"));
        }
        json_object_iter_set_new(at, it, kept);
        for (i = 0; i < VPI_COUNT(others); i++) json_decref(others[i]);
    }
}

static void wrong_types(void **state)
{
    json_t *root = json_loads(full, 0, NULL);

    (void)state;
    each_object(root, root, 0, wrong_types_in);
    assert_int_equal(parse_json(root, NULL), VP_OK);
    json_decref(root);
}

/* One change, one message. */
static void refused_in(const char *document, const char *from, const char *to, vp_status status,
                       const char *message)
{
    char text[VPI_MAX(sizeof(full), sizeof(closed)) + 256];
    const char *at = strstr(document, from);
    vp_error err = VP_ERROR_INIT;
    size_t head;

    assert_non_null(at);
    head = (size_t)(at - document);
    memcpy(text, document, head);
    memcpy(text + head, to, strlen(to));
    memcpy(text + head + strlen(to), at + strlen(from), strlen(at + strlen(from)) + 1);
    assert_int_equal(parse_text(text, strlen(text), &err), status);
    assert_string_equal(err.message, message);
}

static void refused(const char *from, const char *to, vp_status status, const char *message)
{
    refused_in(full, from, to, status, message);
}

static void refusals(void **state)
{
    (void)state;
    refused("\"vodpipe\":1", "\"vodpipe\":2", VP_E_VERSION,
            "presentation.vodpipe: 2 is newer than this library, which reads 1");
    refused("\"start\":\"540000\"", "\"start\":\"540001\"", VP_E_DATA,
            "presentation.tracks[0].segments[1]: a gap before it");
    refused("\"start\":\"540000\"", "\"start\":\"539999\"", VP_E_DATA,
            "presentation.tracks[0].segments[1]: it overlaps the one before");
    refused("\"ticks\":360000", "\"ticks\":360001", VP_E_DATA,
            "presentation.tracks[0].segments[0]: fragments and time differ");
    refused("\"bytes\":541329", "\"bytes\":541330", VP_E_DATA,
            "presentation.tracks[0].segments[0]: a fragment outside its place");
    refused("\"idr_bytes\":541329", "\"idr_bytes\":541330", VP_E_DATA,
            "presentation.tracks[0].segments[0]: an IDR picture larger than its fragment");
    refused("a1/video/720p/00002.m4s", "../00002.m4s", VP_E_DATA,
            "presentation.tracks[0].segments[1]: not a key");
    refused("1f2e3d4c", "1F2E3D4C", VP_E_DATA,
            "presentation.tracks[0].segments[0].crc32c: not 8 hex digits in lower case");
    refused("1f2e3d4c", "1f2e3d4c0", VP_E_DATA,
            "presentation.tracks[0].segments[0].crc32c: not 8 hex digits in lower case");
    refused("\"version\":\"a1b2c3d4e5f6\"", "\"version\":\"a/b\"", VP_E_DATA,
            "presentation.version: not the name of a folder");
    refused("\"en-stereo\"", "\"720p\"", VP_E_DATA, "presentation.tracks[1].name: 720p is taken");
    refused("\"en-stereo\"", "\"en stereo\"", VP_E_DATA, "presentation.tracks[1].name: not a name");
    refused("\"language\":\"en\"", "\"language\":\"e n\"", VP_E_DATA,
            "presentation.tracks[1].language: not a BCP-47 tag");
    refused("\"English\"", "\"\"", VP_E_DATA, "presentation.tracks[1].label: empty");
    refused("\"average_bandwidth\":127000", "\"average_bandwidth\":128001", VP_E_DATA,
            "presentation.tracks[1].bandwidth: missing or below the average");
    refused("\"container\":\"cmaf\"", "\"container\":\"ogg\"", VP_E_DATA,
            "presentation.tracks[0].container: not known");
    refused("\"protection\":null", "\"protection\":{}", VP_E_DATA,
            "presentation.tracks[0].protection.scheme: missing");
    refused("\"crc32c\":\"1f2e3d4c\",",
            "\"crc32c\":\"1f2e3d4c\",\"iv\":\"000102030405060708090a0b0c0d0e0f\",", VP_E_DATA,
            "presentation.tracks[0].segments[0]: an IV, but it is not encrypted as a whole");
    refused("\"timescale\":48000", "\"timescale\":0", VP_E_DATA, "presentation.tracks[1].timescale: zero");
    refused("\"bytes\":100000", "\"bytes\":\"9223372036854775807\"", VP_E_DATA,
            "presentation.tracks[1].segments[0].bytes: too large");
}

static void refusals_closed(void **state)
{
    static const char where[] = "presentation.tracks[1].protection";
    char message[128];

    (void)state;
    refused_in(closed, ",\"iv\":\"000102030405060708090a0b0c0d0e0f\"", "", VP_E_DATA,
               "presentation.tracks[0].segments[1]: no IV");
    refused_in(closed, "000102030405060708090a0b0c0d0e0f", "000102030405060708090a0b0c0d0e0", VP_E_DATA,
               "presentation.tracks[0].segments[1].iv: not 32 hex digits");
    refused_in(closed, "000102030405060708090a0b0c0d0e0f", "000102030405060708090a0b0c0d0e0g", VP_E_DATA,
               "presentation.tracks[0].segments[1].iv: not 32 hex digits");
    refused_in(closed, "\"clear_segments\":1", "\"clear_segments\":2", VP_E_DATA,
               "presentation.tracks[0].segments[1]: an IV, but it is not encrypted as a whole");
    refused_in(closed, "{\"uri\":\"https://k/1\"}", "{}", VP_E_DATA,
               "presentation.tracks[0].protection: a key without a URI");
    snprintf(message, sizeof(message), "%s: fewer keys than periods", where);
    refused_in(closed,
               ",{\"kid\":\"b0b1b2b3b4b5b6b7b8b9babbbcbdbebf\",\"iv\":\"d0d1d2d3d4d5d6d7d8d9dadbdcdddedf\"}",
               "", VP_E_DATA, message);
    snprintf(message, sizeof(message), "%s: a key without its IV", where);
    refused_in(closed, ",\"iv\":\"d0d1d2d3d4d5d6d7d8d9dadbdcdddedf\"", "", VP_E_DATA, message);
    refused_in(closed, "\"scheme\":\"aes128\"", "\"scheme\":\"none\"", VP_E_DATA,
               "presentation.tracks[0].protection.scheme: not aes128, cenc or cbcs");
    refused_in(closed, "\"container\":\"cmaf\",\"protection\":{\"scheme\":\"cbcs\"",
               "\"container\":\"ts\",\"protection\":{\"scheme\":\"cenc\"", VP_E_DATA,
               "presentation.tracks[1].protection: cenc in another container than CMAF");
}

/* What is told of keys goes through unchanged; a host sees the scheme and the first KID. */
static void protection(void **state)
{
    static const uint8_t none[16] = { 0 };
    vp_presentation *p = NULL;
    vp_error err = VP_ERROR_INIT;
    vp_bytes *b = NULL;
    vp_track_info t;
    vpi_ptrack copy = { 0 };
    struct json_t *one, *two;
    vp_status st = vp_presentation_parse(closed, sizeof(closed) - 1, &p, &err);

    (void)state;
    assert_string_equal(err.message, "");
    assert_int_equal(st, VP_OK);
    assert_int_equal(vp_presentation_json(p, &b, NULL), VP_OK);
    assert_string_equal(vp_bytes_data(b), closed);
    vp_bytes_unref(b);
    vp_track_info_init(&t, sizeof(t));
    assert_int_equal(vp_presentation_get_track(p, 0, &t, NULL), VP_OK);
    assert_int_equal(t.scheme, 1);
    assert_memory_equal(t.kid, none, sizeof(none));
    assert_int_equal(vp_presentation_get_track(p, 1, &t, NULL), VP_OK);
    assert_int_equal(t.scheme, 3);
    assert_int_equal(t.kid[0], 0xA0);
    assert_int_equal(t.kid[15], 0xAF);

    one = vpi_ptrack_to_json(&p->p.tracks[0]);
    assert_int_equal(vpi_ptrack_from_json(one, &copy, NULL), VP_OK);
    two = vpi_ptrack_to_json(&copy);
    assert_true(json_equal(one, two));
    assert_true(copy.segments[1].has_iv && copy.segments[1].iv[15] == 0x0F);
    json_decref(one);
    json_decref(two);
    vpi_ptrack_dispose(&copy);
    assert_null(copy.protection.keys);
    vp_presentation_unref(p);
}

/* Every allocation that fails is told as NOMEM and leaks nothing. */
static void no_memory(void **state)
{
    vp_presentation *p = NULL;
    vp_bytes *b = NULL;
    vp_status st;
    long n;

    (void)state;
    for (n = 1; n < 1000; n++) {
        vpi_alloc_fail_at = n;
        st = vp_presentation_parse(closed, sizeof(closed) - 1, &p, NULL);
        if (vpi_alloc_fail_at > 0) break;
        assert_int_equal(st, VP_E_NOMEM);
        assert_null(p);
    }
    vpi_alloc_fail_at = 0;
    assert_int_equal(st, VP_OK);
    p = vp_presentation_unref(p);
    for (n = 1; n < 1000; n++) {
        vpi_alloc_fail_at = n;
        st = vp_presentation_parse(full, sizeof(full) - 1, &p, NULL);
        if (vpi_alloc_fail_at > 0) break;
        assert_int_equal(st, VP_E_NOMEM);
        assert_null(p);
    }
    vpi_alloc_fail_at = 0;
    assert_int_equal(st, VP_OK);
    assert_true(n > 20);
    for (n = 1; n < 1000; n++) {
        vpi_alloc_fail_at = n;
        st = vp_presentation_json(p, &b, NULL);
        if (vpi_alloc_fail_at > 0) break;
        if (st == VP_OK)
            b = vp_bytes_unref(b); /* giving spare room back may fail without harm */
        else
            assert_int_equal(st, VP_E_NOMEM);
    }
    vpi_alloc_fail_at = 0;
    assert_int_equal(st, VP_OK);
    vp_bytes_unref(b);
    vp_presentation_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip), cmocka_unit_test(single_track),    cmocka_unit_test(infos),
        cmocka_unit_test(truncation), cmocka_unit_test(unknown_fields),  cmocka_unit_test(wrong_types),
        cmocka_unit_test(refusals),   cmocka_unit_test(refusals_closed), cmocka_unit_test(protection),
        cmocka_unit_test(no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
