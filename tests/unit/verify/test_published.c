/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Published titles: good ones pass, and each way to spoil the media is found by its rule. */
#include "title.h"

#define V1 VERSION_FOLDER "/video/192p/"
#define V2 VERSION_FOLDER "/video/96p/"
#define A1 VERSION_FOLDER "/audio/en-stereo/"
#define T1 VERSION_FOLDER "/ts/192p/"

static const title_options cmaf = { .formats = VP_FORMAT_CMAF };
static const title_options ts = { .formats = VP_FORMAT_TS };
static const title_options ts_packed = { .formats = VP_FORMAT_TS, .audio_tracks = 2 };
static const title_options single = { .formats = VP_FORMAT_CMAF, .single_file = true };

/* VODPIPE_TITLE_DUMP=DIR leaves good titles there, for tests/integration/checker.py. */
static void good(const char *name, const title_options *o)
{
    const char *directory = getenv("VODPIPE_TITLE_DUMP");
    char path[1024];
    title t;

    title_make(&t, o);
    title_verify(&t);
    if (t.status != VP_OK) print_message("%s:\n", name);
    expect_good(&t);
    assert_int_equal(title_gate(&t, false), VP_OK);
    expect_good(&t);
    assert_int_equal(title_gate(&t, true), VP_OK);
    expect_good(&t);
    if (directory) {
        snprintf(path, sizeof(path), "%s/%s", directory, name);
        title_dump(&t, path);
    }
    title_close(&t);
}

static void test_good(void **state)
{
    (void)state;
    good("cmaf", &cmaf);
    good("ts", &ts);
    good("ts-packed", &ts_packed);
    good("single", &single);
    good("both", &(title_options){ .formats = VP_FORMAT_CMAF | VP_FORMAT_TS });
    good("two-languages", &(title_options){ .formats = VP_FORMAT_CMAF, .audio_tracks = 2 });
    good("video-only", &(title_options){ .formats = VP_FORMAT_CMAF, .no_audio = true });
    good("audio-only", &(title_options){ .formats = VP_FORMAT_CMAF, .no_video = true });
    good("ts-video-only", &(title_options){ .formats = VP_FORMAT_TS, .no_audio = true });
    good("ts-audio-only", &(title_options){ .formats = VP_FORMAT_TS, .no_video = true });
    good("short", &(title_options){ .formats = VP_FORMAT_CMAF, .seconds = 0.4 });
    good("tail", &(title_options){ .formats = VP_FORMAT_CMAF | VP_FORMAT_TS, .seconds = 4.2 });
}

typedef void (*spoil_fn)(title *t);

static void spoil(const title_options *o, spoil_fn fn, const char *rule)
{
    title t;

    title_make(&t, o);
    fn(&t);
    title_verify(&t);
    expect_rule(&t, rule);
    title_close(&t);
}

/* ---- objects ---- */

static void remove_segment(title *t)
{
    object_remove(t, V2 "00002.m4s");
}
static void remove_init(title *t)
{
    object_remove(t, A1 "init.mp4");
}
static void remove_playlist(title *t)
{
    object_remove(t, V1 "playlist.m3u8");
}
static void remove_master(title *t)
{
    object_remove(t, "master.m3u8");
}
static void remove_mpd(title *t)
{
    object_remove(t, "manifest.mpd");
}
static void remove_json(title *t)
{
    object_remove(t, "presentation.json");
}
static void remove_marker(title *t)
{
    object_remove(t, under(".vodpipe-version"));
}
static void add_stray(title *t)
{
    object_put(t, under("video/192p/00009.m4s"), "x", 1);
}
static void add_old_master(title *t)
{
    object_put(t, "master-ts.m3u8", "#EXTM3U\n", 8);
}
static void garbage_json(title *t)
{
    object_put(t, "presentation.json", "{\"vodpipe\":1}", 13);
}

static void cut_segment(title *t)
{
    size_t size;
    uint8_t *data = object_get(t, V1 "00001.m4s", &size);

    object_put(t, V1 "00001.m4s", data, size - 1);
    free(data);
}

static void flip_byte(title *t)
{
    size_t size;
    uint8_t *data = object_get(t, V1 "00001.m4s", &size);

    data[size - 1] ^= 1;
    object_put(t, V1 "00001.m4s", data, size);
    free(data);
}

static void test_objects(void **state)
{
    (void)state;
    spoil(&cmaf, remove_segment, "X04");
    spoil(&cmaf, remove_init, "X04");
    spoil(&cmaf, remove_playlist, "X04");
    spoil(&cmaf, remove_master, "X04");
    spoil(&cmaf, remove_mpd, "X04");
    spoil(&cmaf, remove_json, "X04");
    spoil(&cmaf, cut_segment, "X04");
    spoil(&cmaf, flip_byte, "CRC");
    spoil(&single, remove_master, "X04");
    spoil(&cmaf, remove_marker, "NAMES");
    spoil(&cmaf, add_stray, "NAMES");
    spoil(&cmaf, add_old_master, "S22");
    spoil(&cmaf, garbage_json, "STRUCTURE");
}

/* ---- CMAF; offsets count from behind the box type ---- */

static void tfdt_time(title *t)
{
    object_patch(t, V1 "00002.m4s", "tfdt", 0, 4 + 7, 1);
}
static void tfdt_audio(title *t)
{
    object_patch(t, A1 "00002.m4s", "tfdt", 0, 4 + 7, 1);
}
static void trun_version(title *t)
{
    object_patch(t, V1 "00001.m4s", "trun", 0, 0, -1);
}
static void data_offset(title *t)
{
    object_patch(t, V1 "00001.m4s", "trun", 0, 4 + 4 + 3, 1);
}
static void base_flag(title *t)
{
    object_patch(t, V1 "00001.m4s", "tfhd", 0, 1, -2);
}
static void sequence(title *t)
{
    object_patch(t, V1 "00002.m4s", "mfhd", 0, 4 + 3, -3);
}
static void track_id(title *t)
{
    object_patch(t, V1 "00001.m4s", "tfhd", 0, 4 + 3, 1);
}
static void picture_type(title *t)
{
    object_patch(t, V1 "00001.m4s", "mdat", 0, 4, -0x24);
}
static void nal_length(title *t)
{
    object_patch(t, V1 "00001.m4s", "mdat", 0, 2, 0x40);
}
static void box_size(title *t)
{
    object_patch(t, V1 "00001.m4s", "moof", 0, -5, 1);
}
static void stray_box(title *t)
{
    object_patch(t, V1 "00001.m4s", "styp", 0, -4, 1);
}
static void parameter_set(title *t)
{
    object_patch(t, V1 "00001.m4s", "mdat", 0, 4, 2);
}

static void tfdt_version(title *t)
{
    size_t size, at;
    uint8_t *data = object_get(t, V1 "00001.m4s", &size);

    /* Version 0 reads the upper half of the 64 bits, which is 0 here, and stays a whole box. */
    at = find_bytes(data, size, "tfdt", 4);
    data[at + 4] = 0;
    object_put(t, V1 "00001.m4s", data, size);
    free(data);
}

static void test_cmaf(void **state)
{
    (void)state;
    spoil(&cmaf, tfdt_time, "P23");
    spoil(&cmaf, tfdt_audio, "P23");
    spoil(&cmaf, tfdt_version, "P24");
    spoil(&cmaf, trun_version, "P09");
    spoil(&cmaf, data_offset, "CMAF");
    spoil(&cmaf, base_flag, "CMAF");
    spoil(&cmaf, sequence, "CMAF");
    spoil(&cmaf, track_id, "CMAF");
    spoil(&cmaf, picture_type, "P04");
    spoil(&cmaf, nal_length, "STRUCTURE");
    spoil(&cmaf, box_size, "STRUCTURE");
    spoil(&cmaf, stray_box, "STRUCTURE");
    spoil(&cmaf, parameter_set, "P13");
}

/* Sample fields: fragments hold duration, size, flags and offset of each sample, or defaults. */
static void change_trun(title *t, const char *key, unsigned field, uint32_t value)
{
    size_t size, at, entry;
    uint8_t *data = object_get(t, key, &size);
    uint32_t flags;
    unsigned before = 0;

    at = find_bytes(data, size, "trun", 4) + 4;
    flags = vpi_rd32(data + at) & 0xFFFFFF;
    assert_true(flags & field);
    entry = at + 8 + (flags & 1 ? 4 : 0) + (flags & 4 ? 4 : 0);
    for (unsigned bit = 0x100; bit < field; bit <<= 1) before += flags & bit ? 4 : 0;
    for (int i = 0; i < 4; i++) data[entry + before + (size_t)i] = (uint8_t)(value >> (24 - 8 * i));
    object_put(t, key, data, size);
    free(data);
}

static void sample_size(title *t)
{
    change_trun(t, V1 "00001.m4s", 0x200, 17);
}

static void test_samples(void **state)
{
    (void)state;
    spoil(&cmaf, sample_size, "P29");
    spoil(&cmaf, sample_size, "CMAF");
}

static void mvhd_duration(title *t)
{
    object_patch(t, V1 "init.mp4", "mvhd", 0, 4 + 12 + 3, 1);
}
static void mdhd_scale(title *t)
{
    object_patch(t, V1 "init.mp4", "mdhd", 0, 4 + 8 + 3, 1);
}
static void avcc_level(title *t)
{
    object_patch(t, V1 "init.mp4", "avcC", 0, 3, 1);
}
static void entry_width(title *t)
{
    object_patch(t, V1 "init.mp4", "avc1", 0, 25, 2);
}
static void no_pasp(title *t)
{
    object_patch(t, V1 "init.mp4", "pasp", 0, -1, 1);
}
static void no_mvex(title *t)
{
    object_patch(t, V1 "init.mp4", "mvex", 0, -1, 1);
}
static void brand(title *t)
{
    size_t size;
    uint8_t *data = object_get(t, V1 "init.mp4", &size), *at;

    while ((at = memmem(data, size, "cmfc", 4)) != NULL) at[3] = 'x';
    while ((at = memmem(data, size, "cmf2", 4)) != NULL) at[3] = 'x';
    object_put(t, V1 "init.mp4", data, size);
    free(data);
}

/* Grows trak and moov by an edit list. */
static void edit_list(title *t)
{
    static const uint8_t edts[36] = {
        0, 0, 0, 36, 'e', 'd', 't', 's', 0, 0,  0, 28, 'e', 'l', 's', 't', 0, 0,
        0, 0, 0, 0,  0,   1,   0,   0,   0, 80, 0, 0,  0,   0,   0,   1,   0, 0
    };
    const char *key = V1 "init.mp4";
    size_t size, moov, trak, mdia;
    uint8_t *data = object_get(t, key, &size), *out = malloc(size + sizeof(edts));

    assert_non_null(out);
    moov = find_bytes(data, size, "moov", 4) - 4;
    trak = find_bytes(data, size, "trak", 4) - 4;
    mdia = find_bytes(data, size, "mdia", 4) - 4;
    for (size_t i = 0; i < 2; i++) {
        uint8_t *p = data + (i ? trak : moov);
        uint32_t n = vpi_rd32(p) + (uint32_t)sizeof(edts);

        p[2] = (uint8_t)(n >> 8);
        p[3] = (uint8_t)n;
    }
    memcpy(out, data, mdia);
    memcpy(out + mdia, edts, sizeof(edts));
    memcpy(out + mdia + sizeof(edts), data + mdia, size - mdia);
    object_put(t, key, out, size + sizeof(edts));
    /* The presentation knows the new size, so that nothing but the edit list is wrong. */
    track_of(t, "192p", VP_CONTAINER_CMAF)->init.bytes += sizeof(edts);
    title_publish(t);
    free(out);
    free(data);
}

static void test_init(void **state)
{
    (void)state;
    spoil(&cmaf, mvhd_duration, "CMAF");
    spoil(&cmaf, mdhd_scale, "P23");
    spoil(&cmaf, avcc_level, "P13");
    spoil(&cmaf, entry_width, "P13");
    spoil(&cmaf, no_pasp, "CMAF");
    spoil(&cmaf, no_mvex, "CMAF");
    spoil(&cmaf, brand, "CMAF");
    spoil(&cmaf, edit_list, "P07");
}

/* ---- single file ---- */

static void sidx_version(title *t)
{
    object_patch(t, V1 "media.mp4", "sidx", 0, 4 + 7, 1);
}
static void sidx_size(title *t)
{
    object_patch(t, V1 "media.mp4", "sidx", 0, 4 + 8 + 16 + 4 + 3, 1);
}
static void sidx_type(title *t)
{
    object_patch(t, V1 "media.mp4", "sidx", 0, 4 + 8 + 16 + 4, -128);
}
static void single_flip(title *t)
{
    object_patch(t, V1 "media.mp4", "mdat", 0, 40, 1);
}

static void test_single(void **state)
{
    (void)state;
    spoil(&single, sidx_version, "P23");
    spoil(&single, sidx_size, "P19");
    spoil(&single, sidx_type, "DASH");
    spoil(&single, single_flip, "CRC");
}

/* ---- transport streams ---- */

static void patch_packet(title *t, const char *key, unsigned pid, unsigned nth, size_t at, int by)
{
    size_t size, n;
    uint8_t *data = object_get(t, key, &size);

    for (n = 0; n < size / 188; n++) {
        const uint8_t *p = data + n * 188;

        if ((vpi_rd16(p + 1) & 0x1FFFu) == pid && nth-- == 0) break;
    }
    assert_true(n < size / 188);
    data[n * 188 + at] = (uint8_t)(data[n * 188 + at] + by);
    object_put(t, key, data, size);
    free(data);
}

static void counter_pat(title *t)
{
    patch_packet(t, T1 "00002.ts", 0, 0, 3, 1);
}
static void counter_video(title *t)
{
    patch_packet(t, T1 "00001.ts", 0x100, 3, 3, 1);
}
static void pat_crc(title *t)
{
    patch_packet(t, T1 "00001.ts", 0, 0, 9, 1);
}
static void sync_byte(title *t)
{
    patch_packet(t, T1 "00001.ts", 0x100, 3, 0, 1);
}
static void clock_late(title *t)
{
    patch_packet(t, T1 "00001.ts", 0x100, 0, 4 + 2 + 2, 40);
}
static void foreign_pid(title *t)
{
    patch_packet(t, T1 "00001.ts", 0x101, 0, 2, 0x20);
}
static void no_random_access(title *t)
{
    patch_packet(t, T1 "00001.ts", 0x100, 0, 5, -0x40);
}
/* Behind the adaptation field of 8 bytes: 9 bytes of PES header, then PTS. */
static void pts_later(title *t)
{
    patch_packet(t, T1 "00001.ts", 0x100, 0, 4 + 8 + 9 + 4, 20);
}

static void idr_as_slice(title *t)
{
    static const uint8_t pps[] = { 0x68, 0xCE, 0x38, 0x80 };
    size_t size, at;
    uint8_t *data = object_get(t, T1 "00001.ts", &size);

    at = find_bytes(data, size, pps, sizeof(pps));
    at += find_bytes(data + at, size - at, "\0\0\1\x65", 4) + 3;
    data[at] = 0x61;
    object_put(t, T1 "00001.ts", data, size);
    free(data);
}

static void other_level(title *t)
{
    static const uint8_t sps[] = { 0x67, 0x4D, 0x00, 0x1E };
    size_t size, at;
    uint8_t *data = object_get(t, T1 "00001.ts", &size);

    at = find_bytes(data, size, sps, sizeof(sps));
    data[at + 3] = 0x1F;
    object_put(t, T1 "00001.ts", data, size);
    free(data);
}

static void packed_stamp(title *t)
{
    size_t size, at;
    uint8_t *data = object_get(t, VERSION_FOLDER "/ts/en-stereo/00002.aac", &size);

    at = find_bytes(data, size, "Timestamp", 9) + 10 + 6;
    data[at]++;
    object_put(t, VERSION_FOLDER "/ts/en-stereo/00002.aac", data, size);
    free(data);
}

static void test_ts(void **state)
{
    (void)state;
    spoil(&ts, counter_pat, "P17");
    spoil(&ts, counter_video, "P17");
    spoil(&ts, no_random_access, "P17");
    spoil(&ts, pat_crc, "STRUCTURE");
    spoil(&ts, sync_byte, "STRUCTURE");
    spoil(&ts, foreign_pid, "STRUCTURE");
    spoil(&ts, clock_late, "P18");
    spoil(&ts, pts_later, "P01");
    spoil(&ts, idr_as_slice, "P04");
    spoil(&ts, other_level, "P13");
    spoil(&ts_packed, packed_stamp, "P06");
}

/* ---- anything ---- */

typedef struct keys {
    char names[64][256];
    size_t count;
} keys;

static vp_status add_key(void *user, const vp_object_info *info)
{
    keys *k = user;

    if (strstr(info->key, ".vodpipe-version")) return VP_OK; /* what it holds does not matter */
    if (k->count < VPI_COUNT(k->names)) snprintf(k->names[k->count++], sizeof(k->names[0]), "%s", info->key);
    return VP_OK;
}

static uint32_t dice(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Bytes changed at random places: nothing but a report may come of it. */
static void flips(const title_options *o, uint32_t seed)
{
    uint8_t *data, *copy;
    keys k = { .count = 0 };
    size_t size, found = 0;
    title t;

    title_make(&t, o);
    assert_int_equal(vp_sink_list(t.sink, "", add_key, &k, &t.err), VP_OK);
    for (unsigned i = 0; i < 300; i++) {
        const char *key = k.names[dice(&seed) % k.count];

        data = object_get(&t, key, &size);
        copy = malloc(size + 1);
        assert_non_null(copy);
        memcpy(copy, data, size);
        /* Heads hold the structure, so half of the changes are there. */
        for (unsigned n = 0; n < 1 + i % 3; n++) {
            copy[dice(&seed) % (i % 2 ? size : VPI_MIN(size, 600))] ^= (uint8_t)(1u << dice(&seed) % 8);
        }
        object_put(&t, key, copy, size);
        title_verify(&t);
        assert_true(t.status == VP_OK || t.status == VP_E_DATA || t.status == VP_E_VERSION ||
                    t.status == VP_E_UNSUPPORTED);
        found += t.status != VP_OK;
        object_put(&t, key, data, size);
        free(data);
        free(copy);
    }
    assert_true(found > 295); /* two changes may cancel out */
    title_verify(&t);
    expect_good(&t);
    title_close(&t);
}

static void test_flips(void **state)
{
    (void)state;
    flips(&cmaf, 1);
    flips(&ts_packed, 2);
    flips(&single, 3);
}

/* ---- the call ---- */

static void test_arguments(void **state)
{
    (void)state;
    title t;
    vp_cancel *cancel = NULL;
    vp_report *report = NULL;
    vp_bytes *json = NULL;
    const char *where, *text;

    title_open(&t);
    assert_int_equal(title_verify(&t), VP_E_IO);
    assert_string_equal(t.err.reason, "IO_ERROR");
    assert_null(t.report);
    title_close(&t);

    title_make(&t, &cmaf);
    assert_int_equal(vp_cancel_new(&cancel, NULL), VP_OK);
    vp_cancel_fire(cancel);
    assert_int_equal(vp_verify(t.context, t.sink, NULL, cancel, &report, &t.err), VP_E_CANCELED);
    assert_null(report);
    vp_cancel_unref(cancel);
    assert_int_equal(vp_verify(t.context, NULL, NULL, NULL, &report, NULL), VP_E_ARG);
    assert_int_equal(vp_verify(t.context, t.sink, NULL, NULL, NULL, NULL), VP_E_ARG);

    object_put(&t, "stranger.txt", "x", 1);
    flip_byte(&t);
    assert_int_equal(title_verify(&t), VP_E_DATA);
    assert_int_equal(vp_report_failed(t.report), 1);
    assert_string_equal(vp_report_failure(t.report, 0, &where, &text), "CRC");
    assert_string_equal(where, V1 "00001.m4s");
    assert_string_equal(t.err.key, where);
    assert_non_null(text);
    assert_null(vp_report_failure(t.report, 1, &where, &text));
    assert_null(where);
    assert_int_equal(vp_report_warnings(t.report), 1);
    assert_string_equal(vp_report_warning(t.report, 0, &where, NULL), "NAMES");
    assert_string_equal(where, "stranger.txt");
    assert_int_equal(vp_report_json(t.report, &json, &t.err), VP_OK);
    assert_non_null(
        strstr(vp_bytes_data(json), "\"failed\":[{\"rule\":\"CRC\",\"where\":\"" V1 "00001.m4s\""));
    assert_ptr_equal(strstr(vp_bytes_data(json), "{\"vodpipe\":1,\"checks\":"), vp_bytes_data(json));
    vp_bytes_unref(json);
    assert_int_equal(vp_report_json(NULL, &json, NULL), VP_E_ARG);
    assert_int_equal(vp_report_checks(NULL), 0);
    assert_null(vp_report_unref(NULL));
    title_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),    cmocka_unit_test(test_objects),   cmocka_unit_test(test_cmaf),
        cmocka_unit_test(test_samples), cmocka_unit_test(test_init),      cmocka_unit_test(test_single),
        cmocka_unit_test(test_ts),      cmocka_unit_test(test_arguments), cmocka_unit_test(test_flips),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
