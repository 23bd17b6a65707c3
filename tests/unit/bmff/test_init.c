/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Init segments built by the writer: every field read back, every rule broken once, cut and changed. */
#include "unit/bitstream/tools.h"

#include "bmff/bmff.h"

/* What to put into the init segment; zero is a plain CMAF video track. */
typedef struct shape {
    bool audio, text, wide, encrypted, colour, filled, two_tracks, no_track, mvex_first, no_mvex,
        no_stsd_entry;
    bool quicktime_v1, quicktime_v2, wave, terminator, edits, empty_edits;
    uint32_t brand, language, timescale, track_id;
    const char *esds; /* payload of esds behind version and flags, in hex */
} shape;

static void put_hex(vpi_buf *b, const char *hex)
{
    blob bytes = exact_hex(hex);
    vpi_buf_add(b, bytes.data, bytes.size);
    free(bytes.data);
}

static void put_zeros(vpi_buf *b, size_t count)
{
    for (size_t i = 0; i < count; i++) vpi_buf_u8(b, 0);
}

static void put_table(vpi_buf *b, uint32_t type, size_t before, uint32_t count)
{
    size_t at = vpi_fullbox_begin(b, type, 0, 0);
    put_zeros(b, before);
    vpi_buf_be32(b, count);
    put_zeros(b, count * 12);
    vpi_box_end(b, at);
}

static void put_times(vpi_buf *b, bool wide)
{
    put_zeros(b, wide ? 16 : 8);
}

static void put_duration(vpi_buf *b, bool wide, uint64_t duration)
{
    if (wide) vpi_buf_be64(b, duration);
    if (!wide) vpi_buf_be32(b, (uint32_t)duration);
}

static void put_esds(vpi_buf *b, const char *hex)
{
    size_t at = vpi_fullbox_begin(b, VPI_FOURCC('e', 's', 'd', 's'), 0, 0);
    put_hex(b, hex);
    vpi_box_end(b, at);
}

#define ESDS_LONG                                                                                            \
    "03808080 22 0001 00 04808080 14 40 15 000000 00000000 00000000 05808080 02 1190 06808080 01 02"

static void put_audio_entry(vpi_buf *b, const shape *s)
{
    size_t at =
        vpi_box_begin(b, s->encrypted ? VPI_FOURCC('e', 'n', 'c', 'a') : VPI_FOURCC('m', 'p', '4', 'a'));
    put_hex(b, "000000000000 0001");
    vpi_buf_be16(b, s->quicktime_v2 ? 2 : s->quicktime_v1 ? 1 : 0);
    put_zeros(b, 6);
    vpi_buf_be16(b, s->quicktime_v2 ? 3 : 2);
    vpi_buf_be16(b, 16);
    vpi_buf_be32(b, 0);
    vpi_buf_be32(b, s->quicktime_v2 ? 0x10000 : 48000u << 16);
    if (s->quicktime_v1) put_zeros(b, 16);
    if (s->quicktime_v2)
        put_hex(b, "00000048 40f7700000000000 00000006 7f000000 00000010 00000000 00000000 00000400");
    if (s->wave) {
        size_t wave = vpi_box_begin(b, VPI_FOURCC('w', 'a', 'v', 'e'));
        size_t frma = vpi_box_begin(b, VPI_FOURCC('f', 'r', 'm', 'a'));
        put_hex(b, "6d703461");
        vpi_box_end(b, frma);
        put_esds(b, s->esds ? s->esds : ESDS_LONG);
        put_hex(b, "00000008 00000000"); /* QuickTime's terminator atom */
        vpi_box_end(b, wave);
    } else {
        put_esds(b, s->esds ? s->esds : ESDS_LONG);
    }
    if (s->terminator) put_zeros(b, 4);
    vpi_box_end(b, at);
}

static void put_video_entry(vpi_buf *b, const shape *s)
{
    size_t at = vpi_box_begin(b,
                              s->encrypted ? VPI_FOURCC('e', 'n', 'c', 'v') : VPI_FOURCC('a', 'v', 'c', '1')),
           box;
    put_hex(b, "000000000000 0001");
    put_zeros(b, 16);
    vpi_buf_be16(b, 1280);
    vpi_buf_be16(b, 536);
    put_zeros(b, 50);
    if (s->encrypted) {
        box = vpi_box_begin(b, VPI_FOURCC('s', 'i', 'n', 'f'));
        put_hex(b, "0000000c 66726d61 61766331 0000000c 61766343 ffffffff");
        vpi_box_end(b, box);
    }
    box = vpi_box_begin(b, VPI_FOURCC('a', 'v', 'c', 'C'));
    put_hex(b, "0164001fffe000");
    vpi_box_end(b, box);
    if (s->colour) {
        box = vpi_box_begin(b, VPI_FOURCC('c', 'o', 'l', 'r'));
        put_hex(b, "70726f66 01020304"); /* an ICC profile is not what is asked for */
        vpi_box_end(b, box);
        box = vpi_box_begin(b, VPI_FOURCC('c', 'o', 'l', 'r'));
        put_hex(b, "6e636c78 0009 0010 0009 80");
        vpi_box_end(b, box);
        box = vpi_box_begin(b, VPI_FOURCC('p', 'a', 's', 'p'));
        put_hex(b, "00000040 0000002d");
        vpi_box_end(b, box);
    }
    if (s->terminator) put_zeros(b, 4);
    vpi_box_end(b, at);
}

static void put_stbl(vpi_buf *b, const shape *s)
{
    size_t stbl = vpi_box_begin(b, VPI_FOURCC('s', 't', 'b', 'l'));
    size_t stsd = vpi_fullbox_begin(b, VPI_FOURCC('s', 't', 's', 'd'), 0, 0);
    vpi_buf_be32(b, s->no_stsd_entry ? 0 : 1);
    if (s->text) {
        put_hex(b, "00000010 77767474 000000000000 0001");
    } else if (s->audio) {
        put_audio_entry(b, s);
    } else {
        put_video_entry(b, s);
    }
    vpi_box_end(b, stsd);
    put_table(b, VPI_FOURCC('s', 't', 't', 's'), 0, 0);
    put_table(b, VPI_FOURCC('s', 't', 's', 'c'), 0, 0);
    put_table(b, VPI_FOURCC('s', 't', 's', 'z'), 4, s->filled ? 3 : 0);
    put_table(b, VPI_FOURCC('s', 't', 'c', 'o'), 0, 0);
    vpi_box_end(b, stbl);
}

static void put_trak(vpi_buf *b, const shape *s)
{
    size_t trak = vpi_box_begin(b, VPI_FOURCC('t', 'r', 'a', 'k')), at;
    at = vpi_fullbox_begin(b, VPI_FOURCC('t', 'k', 'h', 'd'), s->wide, 3);
    put_times(b, s->wide);
    vpi_buf_be32(b, s->track_id ? s->track_id : 5);
    vpi_buf_be32(b, 0);
    put_duration(b, s->wide, s->wide ? UINT64_C(1) << 33 : 0xffffffff);
    put_zeros(b, 52);
    vpi_buf_be32(b, 1280u << 16 | 0x8000);
    vpi_buf_be32(b, 536u << 16);
    vpi_box_end(b, at);
    if (s->edits || s->empty_edits) {
        at = vpi_box_begin(b, VPI_FOURCC('e', 'd', 't', 's'));
        put_table(b, VPI_FOURCC('e', 'l', 's', 't'), 0, s->edits);
        vpi_box_end(b, at);
    }
    size_t mdia = vpi_box_begin(b, VPI_FOURCC('m', 'd', 'i', 'a'));
    at = vpi_fullbox_begin(b, VPI_FOURCC('m', 'd', 'h', 'd'), s->wide, 0);
    put_times(b, s->wide);
    vpi_buf_be32(b, s->timescale == UINT32_MAX ? 0 : 90000);
    put_duration(b, s->wide, 0);
    vpi_buf_be16(b, s->language);
    vpi_buf_be16(b, 0);
    vpi_box_end(b, at);
    at = vpi_fullbox_begin(b, VPI_FOURCC('h', 'd', 'l', 'r'), 0, 0);
    vpi_buf_be32(b, 0);
    vpi_buf_str(b, s->text ? "text" : s->audio ? "soun" : "vide");
    put_zeros(b, 13);
    vpi_box_end(b, at);
    size_t minf = vpi_box_begin(b, VPI_FOURCC('m', 'i', 'n', 'f'));
    put_stbl(b, s);
    vpi_box_end(b, minf);
    vpi_box_end(b, mdia);
    vpi_box_end(b, trak);
}

static void put_trex(vpi_buf *b, uint32_t track)
{
    size_t at = vpi_fullbox_begin(b, VPI_FOURCC('t', 'r', 'e', 'x'), 0, 0);
    vpi_buf_be32(b, track);
    for (uint32_t i = 1; i <= 4; i++) vpi_buf_be32(b, track * 10 + i);
    vpi_box_end(b, at);
}

static void put_mvex(vpi_buf *b)
{
    size_t at = vpi_box_begin(b, VPI_FOURCC('m', 'v', 'e', 'x'));
    put_trex(b, 4);
    put_trex(b, 5);
    vpi_box_end(b, at);
}

static vpi_buf make_init(const shape *s)
{
    vpi_buf b = { 0 };
    size_t at = vpi_box_begin(&b, VPI_FOURCC('f', 't', 'y', 'p'));
    vpi_buf_str(&b, "mp42");
    vpi_buf_be32(&b, 1);
    vpi_buf_be32(&b, s->brand ? s->brand : VPI_FOURCC('i', 's', 'o', '6'));
    vpi_buf_str(&b, "mp41");
    vpi_box_end(&b, at);
    size_t moov = vpi_box_begin(&b, VPI_FOURCC('m', 'o', 'o', 'v'));
    at = vpi_fullbox_begin(&b, VPI_FOURCC('m', 'v', 'h', 'd'), s->wide, 0);
    put_times(&b, s->wide);
    vpi_buf_be32(&b, 1000);
    put_duration(&b, s->wide, 0);
    put_zeros(&b, 80);
    vpi_box_end(&b, at);
    if (s->mvex_first) put_mvex(&b);
    if (!s->no_track) put_trak(&b, s);
    if (s->two_tracks) put_trak(&b, s);
    if (!s->mvex_first && !s->no_mvex) put_mvex(&b);
    vpi_box_end(&b, moov);
    assert_false(vpi_buf_failed(&b));
    return b;
}

static vpi_buf kept; /* views of the answer point into it */

static vp_status parse_shape(const shape *s, vpi_init_info *out, vp_error *err)
{
    vpi_buf_dispose(&kept);
    kept = make_init(s);
    return vpi_init_parse(kept.data, kept.size, out, err);
}

static void test_video(void **state)
{
    (void)state;
    vpi_init_info i;
    for (unsigned wide = 0; wide < 2; wide++) {
        shape s = { .wide = wide, .language = 0x15c7, .colour = true };
        assert_int_equal(parse_shape(&s, &i, NULL), VP_OK);
        assert_int_equal(i.major_brand, VPI_FOURCC('m', 'p', '4', '2'));
        assert_true(i.brand_iso6);
        assert_false(i.brand_cmfc);
        assert_int_equal(i.track_id, 5);
        assert_int_equal(i.timescale, 90000);
        assert_int_equal(i.movie_timescale, 1000);
        assert_int_equal(i.mvhd_duration, 0);
        assert_true(i.tkhd_duration == (wide ? UINT64_C(1) << 33 : UINT64_MAX));
        assert_int_equal(i.mdhd_duration, 0);
        assert_int_equal(i.handler, VPI_FOURCC('v', 'i', 'd', 'e'));
        assert_string_equal(i.language, "eng");
        assert_int_equal(i.sample_entry, VPI_FOURCC('a', 'v', 'c', '1'));
        assert_int_equal(i.width, 1280);
        assert_int_equal(i.height, 536);
        assert_int_equal(i.tkhd_width, 1280u << 16 | 0x8000);
        assert_int_equal(i.tkhd_height, 536u << 16);
        assert_int_equal(i.codec_config_size, 7);
        assert_memory_equal(i.codec_config, "\x01\x64\x00\x1f\xff\xe0\x00", 7);
        assert_false(i.has_edit_list);
        assert_false(i.samples_in_stbl);
        assert_true(i.has_colr);
        assert_int_equal(i.colr_primaries, 9);
        assert_int_equal(i.colr_transfer, 16);
        assert_int_equal(i.colr_matrix, 9);
        assert_true(i.colr_full_range);
        assert_true(i.has_pasp);
        assert_int_equal(i.pasp_h, 64);
        assert_int_equal(i.pasp_v, 45);
        assert_true(i.has_mvex);
        assert_true(i.moov_before_mvex_end);
        assert_int_equal(i.trex_description_index, 51);
        assert_int_equal(i.trex_duration, 52);
        assert_int_equal(i.trex_size, 53);
        assert_int_equal(i.trex_flags, 54);
    }
    shape s = { .encrypted = true, .terminator = true, .filled = true, .mvex_first = true, .edits = true };
    assert_int_equal(parse_shape(&s, &i, NULL), VP_OK);
    assert_int_equal(i.sample_entry, VPI_FOURCC('e', 'n', 'c', 'v'));
    assert_int_equal(i.codec_config_size, 7); /* not the bytes inside sinf */
    assert_true(i.samples_in_stbl);
    assert_true(i.has_mvex);
    assert_false(i.moov_before_mvex_end);
    assert_true(i.has_edit_list);
    assert_false(i.has_colr);
    assert_false(i.has_pasp);
    assert_string_equal(i.language, "und");
    s = (shape){ .no_mvex = true, .empty_edits = true };
    assert_int_equal(parse_shape(&s, &i, NULL), VP_OK);
    assert_false(i.has_mvex);
    assert_false(i.has_edit_list);
    s = (shape){ .text = true };
    assert_int_equal(parse_shape(&s, &i, NULL), VP_OK);
    assert_int_equal(i.sample_entry, VPI_FOURCC('w', 'v', 't', 't'));
    assert_null(i.codec_config);
}

static void test_brands(void **state)
{
    (void)state;
    static const struct {
        const char *brand;
        bool iso6, cmfc;
    } rows[] = {
        { "iso5", false, false }, { "iso6", true, false },  { "iso9", true, false }, { "isoa", true, false },
        { "isom", false, false }, { "cmfc", false, true },  { "cmf2", false, true }, { "dash", false, false },
        { "iso2", false, false }, { "mp42", false, false },
    };
    for (size_t k = 0; k < VPI_COUNT(rows); k++) {
        const char *t = rows[k].brand;
        vpi_init_info i;
        shape s = { .brand = VPI_FOURCC(t[0], t[1], t[2], t[3]) };
        assert_int_equal(parse_shape(&s, &i, NULL), VP_OK);
        assert_int_equal(i.brand_iso6, rows[k].iso6);
        assert_int_equal(i.brand_cmfc, rows[k].cmfc);
    }
}

static void test_audio(void **state)
{
    (void)state;
    static const struct {
        bool v1, v2, wave;
        unsigned channels, rate;
    } rows[] = { { false, false, false, 2, 48000 },
                 { true, false, false, 2, 48000 },
                 { false, true, false, 6, 96000 },
                 { true, false, true, 2, 48000 } };
    for (size_t k = 0; k < VPI_COUNT(rows); k++) {
        vpi_init_info i;
        shape s = { .audio = true,
                    .quicktime_v1 = rows[k].v1,
                    .quicktime_v2 = rows[k].v2,
                    .wave = rows[k].wave,
                    .terminator = rows[k].v1 };
        vp_error err = VP_ERROR_INIT;
        if (parse_shape(&s, &i, &err) != VP_OK) fail_msg("row %zu: %s", k, err.message);
        assert_int_equal(i.sample_entry, VPI_FOURCC('m', 'p', '4', 'a'));
        assert_int_equal(i.channels, rows[k].channels);
        assert_int_equal(i.sample_rate, rows[k].rate);
        assert_int_equal(i.codec_config_size, 2);
        assert_memory_equal(i.codec_config, "\x11\x90", 2);
    }
}

static void test_esds(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        int size; /* of the config; -1 refused */
    } rows[] = {
        { "03 16 0001 00 04 11 40 15 000000 00000000 00000000 05 02 1190", 2 },
        { "03 18 0001 80 0007 04 11 40 15 000000 00000000 00000000 05 02 1190", 2 },
        { "03 1a 0001 40 03 616263 04 11 40 15 000000 00000000 00000000 05 02 1190", 2 },
        { "03 18 0001 20 0007 04 11 40 15 000000 00000000 00000000 05 02 1190", 2 },
        { "03 1e 0001 e0 0007 03 616263 0007 04 11 40 15 000000 00000000 00000000 05 02 1190", 2 },
        { "0e 01 00 03 1a 0001 00 0e 02 0000 04 11 40 15 000000 00000000 00000000 05 02 1190", 2 },
        { "03 12 0001 00 04 0d 6b 15 000000 00000000 00000000", 0 }, /* MP3 has none */
        { "03 14 0001 00 04 0f 40 15 000000 00000000 00000000 05 00", 0 },
        { ESDS_LONG, 2 },
        { "", -1 },
        { "04 11 40 15 000000 00000000 00000000 05 02 1190", -1 }, /* no ES_Descriptor */
        { "03 03 0001 00", -1 },                                   /* no DecoderConfigDescriptor */
        { "03 16 0001 00 04 11 40 15 000000 00000000 00000000 05 03 1190", -1 },
        { "03 17 0001 00 04 11 40 15 000000 00000000 00000000 05 02 1190", -1 },
        { "03 16 0001 00 04 12 40 15 000000 00000000 00000000 05 02 1190", -1 },
        { "03 16 0001 40 ff 04 11 40 15 000000 00000000 00000000 05 02", -1 },
        { "03 8080808016 0001 00 04 11 40 15 000000 00000000 00000000 05 02 1190",
          -1 }, /* five bytes of size */
        { "03 05 0001 00 04 00", -1 },
    };
    for (size_t k = 0; k < VPI_COUNT(rows); k++) {
        vpi_init_info i;
        shape s = { .audio = true, .esds = rows[k].hex };
        vp_error err = VP_ERROR_INIT;
        vp_status st = parse_shape(&s, &i, &err);
        if ((st == VP_OK) != (rows[k].size >= 0)) fail_msg("row %zu: %d %s", k, (int)st, err.message);
        if (st != VP_OK) continue;
        assert_int_equal(i.codec_config_size, rows[k].size);
        if (rows[k].size) assert_memory_equal(i.codec_config, "\x11\x90", 2);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    static const shape rows[] = {
        { .two_tracks = true },
        { .no_track = true },
        { .no_stsd_entry = true },
        { .timescale = UINT32_MAX },
    };
    vpi_init_info i;
    for (size_t k = 0; k < VPI_COUNT(rows); k++) {
        vp_error err = VP_ERROR_INIT;
        assert_int_equal(parse_shape(&rows[k], &i, &err), VP_E_DATA);
        assert_string_equal(err.reason, "INPUT_CORRUPT");
    }
    vp_error err = VP_ERROR_INIT;
    assert_int_equal(vpi_init_parse((const uint8_t *)"\0\0\0\10free", 8, &i, &err), VP_E_DATA);
    assert_string_equal(err.reason, "INPUT_NO_MOOV");

    /* Each box taken away by another name: refused where it is needed, passed over where it is not. */
    static const struct {
        const char *name;
        bool needed;
    } boxes[] = { { "ftyp", false }, { "mvhd", true },  { "tkhd", true },  { "mdia", true },
                  { "mdhd", true },  { "hdlr", true },  { "minf", true },  { "stbl", true },
                  { "stsd", true },  { "stsz", false }, { "mvex", false }, { "avcC", false } };
    for (size_t k = 0; k < VPI_COUNT(boxes); k++) {
        shape s = { .wide = false };
        vpi_buf b = make_init(&s);
        uint8_t *at = memmem(b.data, b.size, boxes[k].name, 4);
        assert_non_null(at);
        memcpy(at, "skip", 4);
        assert_int_equal(vpi_init_parse(b.data, b.size, &i, NULL), boxes[k].needed ? VP_E_DATA : VP_OK);
        vpi_buf_dispose(&b);
    }
}

static void parse_init(const uint8_t *data, size_t size)
{
    vpi_init_info i;
    if (vpi_init_parse(data, size, &i, NULL) != VP_OK) return;
    assert_true(i.track_id && i.timescale);
    if (i.codec_config) {
        assert_true(i.codec_config >= data && i.codec_config + i.codec_config_size <= data + size);
    }
}

static void test_torture(void **state)
{
    (void)state;
    static const shape rows[] = { { .colour = true, .encrypted = true, .edits = true },
                                  { .audio = true, .wide = true },
                                  { .audio = true, .quicktime_v2 = true, .wave = true } };
    for (size_t k = 0; k < VPI_COUNT(rows); k++) {
        vpi_buf b = make_init(&rows[k]);
        torture(b.data, b.size, 50000, parse_init);
        vpi_buf_dispose(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_video), cmocka_unit_test(test_brands),   cmocka_unit_test(test_audio),
        cmocka_unit_test(test_esds),  cmocka_unit_test(test_refusals), cmocka_unit_test(test_torture),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    vpi_buf_dispose(&kept);
    return failed;
}
