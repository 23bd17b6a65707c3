/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* moof and sidx: written by the writer, read back, cut and changed. */
#include "unit/bitstream/tools.h"

#include "bmff/bmff.h"

enum { COUNT = 50 };

typedef struct moof_shape {
    uint32_t tfhd_flags, trun_flags;
    unsigned tfdt_version, trun_version, samples, trafs, truns, tfdts;
    uint64_t base_offset, tfdt;
    int32_t data_offset;
    bool extras, no_mfhd, no_tfhd;
    uint32_t first_cts;
} moof_shape;

static const moof_shape cmaf = { .tfhd_flags = 0x20000,
                                 .trun_flags = 0xf01,
                                 .tfdt_version = 1,
                                 .trun_version = 1,
                                 .samples = COUNT,
                                 .trafs = 1,
                                 .truns = 1,
                                 .tfdts = 1,
                                 .tfdt = UINT64_C(0x123456789a),
                                 .data_offset = 1000 };

static void put_box(vpi_buf *b, uint32_t type, size_t payload)
{
    size_t at = vpi_box_begin(b, type);
    uint8_t *p = vpi_buf_space(b, payload);
    if (p) memset(p, 0x55, payload);
    vpi_box_end(b, at);
}

static void put_tfhd(vpi_buf *b, const moof_shape *s)
{
    size_t at = vpi_fullbox_begin(b, VPI_FOURCC('t', 'f', 'h', 'd'), 0, s->tfhd_flags);
    vpi_buf_be32(b, 7);
    if (s->tfhd_flags & 0x1) vpi_buf_be64(b, s->base_offset);
    if (s->tfhd_flags & 0x2) vpi_buf_be32(b, 1);
    if (s->tfhd_flags & 0x8) vpi_buf_be32(b, 3600);
    if (s->tfhd_flags & 0x10) vpi_buf_be32(b, 500);
    if (s->tfhd_flags & 0x20) vpi_buf_be32(b, 0x1010000);
    vpi_box_end(b, at);
}

static void put_trun(vpi_buf *b, const moof_shape *s)
{
    size_t at = vpi_fullbox_begin(b, VPI_FOURCC('t', 'r', 'u', 'n'), s->trun_version, s->trun_flags);
    vpi_buf_be32(b, s->samples);
    if (s->trun_flags & 0x1) vpi_buf_be32(b, (uint32_t)s->data_offset);
    if (s->trun_flags & 0x4) vpi_buf_be32(b, 0x2000000);
    for (unsigned i = 0; i < s->samples; i++) {
        if (s->trun_flags & 0x100) vpi_buf_be32(b, 3600 + i);
        if (s->trun_flags & 0x200) vpi_buf_be32(b, 1000 * i);
        if (s->trun_flags & 0x400) vpi_buf_be32(b, i);
        if (s->trun_flags & 0x800) vpi_buf_be32(b, i == 0 && s->first_cts ? s->first_cts : i);
    }
    vpi_box_end(b, at);
}

static vpi_buf make_moof(const moof_shape *s)
{
    vpi_buf b = { 0 };
    size_t moof = vpi_box_begin(&b, VPI_FOURCC('m', 'o', 'o', 'f')), at;
    if (s->extras) put_box(&b, VPI_FOURCC('p', 's', 's', 'h'), 40);
    if (!s->no_mfhd) {
        at = vpi_fullbox_begin(&b, VPI_FOURCC('m', 'f', 'h', 'd'), 0, 0);
        vpi_buf_be32(&b, 42);
        vpi_box_end(&b, at);
    }
    for (unsigned i = 0; i < s->trafs; i++) {
        size_t traf = vpi_box_begin(&b, VPI_FOURCC('t', 'r', 'a', 'f'));
        if (!s->no_tfhd) put_tfhd(&b, s);
        for (unsigned k = 0; k < s->tfdts; k++) {
            at = vpi_fullbox_begin(&b, VPI_FOURCC('t', 'f', 'd', 't'), s->tfdt_version, 0);
            if (s->tfdt_version) vpi_buf_be64(&b, s->tfdt);
            if (!s->tfdt_version) vpi_buf_be32(&b, (uint32_t)s->tfdt);
            vpi_box_end(&b, at);
        }
        if (s->extras) {
            put_box(&b, VPI_FOURCC('s', 'e', 'n', 'c'), 17);
            put_box(&b, VPI_FOURCC('s', 'a', 'i', 'z'), 9);
            put_box(&b, VPI_FOURCC('u', 'u', 'i', 'd'), 30);
        }
        for (unsigned k = 0; k < s->truns; k++) put_trun(&b, s);
        if (s->extras) {
            put_box(&b, VPI_FOURCC('s', 'a', 'i', 'o'), 12);
            put_box(&b, VPI_FOURCC('s', 'b', 'g', 'p'), 20);
            put_box(&b, VPI_FOURCC('s', 'g', 'p', 'd'), 1);
        }
        vpi_box_end(&b, traf);
    }
    vpi_box_end(&b, moof);
    assert_false(vpi_buf_failed(&b));
    return b;
}

static vp_status parse_shape(const moof_shape *s, uint64_t offset, size_t limit, vpi_fragment_info *out,
                             vp_error *err)
{
    vpi_buf b = make_moof(s);
    vpi_box box;
    size_t at = 0;
    assert_int_equal(vpi_box_next(b.data, b.size, offset, &at, &box, NULL), VP_OK);
    vp_status st = vpi_moof_parse(&box, limit, out, err);
    if (st < 0) assert_true(out->samples == NULL && out->count == 0);
    vpi_buf_dispose(&b);
    return st;
}

static void test_round_trip(void **state)
{
    (void)state;
    vpi_fragment_info f;
    /* Every combination of what can be in a sample or a default */
    for (uint32_t bits = 0; bits < 1024; bits++) {
        moof_shape s = cmaf;
        s.tfhd_flags = 0x20000 | (bits & 7) << 3 | (bits >> 3 & 1) << 1;
        s.trun_flags = 1 | (bits >> 4 & 15) << 8 | (bits & 256 ? 4 : 0);
        s.extras = bits & 512;
        s.tfdt_version = s.trun_version = bits & 1;
        if (!s.tfdt_version) s.tfdt = 0xfedcba98;
        assert_int_equal(parse_shape(&s, 4000, COUNT, &f, NULL), VP_OK);
        assert_int_equal(f.sequence, 42);
        assert_int_equal(f.track_id, 7);
        assert_true(f.default_base_is_moof);
        assert_true(f.has_tfdt);
        assert_int_equal(f.tfdt_version, s.tfdt_version);
        assert_int_equal(f.trun_version, s.trun_version);
        assert_true(f.tfdt == s.tfdt);
        assert_int_equal(f.data_offset, 1000);
        assert_int_equal(f.count, COUNT);
        uint32_t duration = s.tfhd_flags & 8 ? 3600 : 0, size = s.tfhd_flags & 16 ? 500 : 0;
        uint32_t flags = s.tfhd_flags & 32 ? 0x1010000 : 0;
        assert_int_equal(f.default_duration, duration);
        assert_int_equal(f.default_size, size);
        assert_int_equal(f.default_flags, flags);
        for (uint32_t i = 0; i < COUNT; i++) {
            uint32_t first = s.trun_flags & 0x400 ? i : flags;
            if (i == 0 && s.trun_flags & 4) first = 0x2000000;
            assert_int_equal(f.samples[i].duration, s.trun_flags & 0x100 ? 3600 + i : duration);
            assert_int_equal(f.samples[i].size, s.trun_flags & 0x200 ? 1000 * i : size);
            assert_int_equal(f.samples[i].flags, first);
            assert_int_equal(f.samples[i].cts, s.trun_flags & 0x800 ? i : 0);
        }
        vpi_fragment_info_dispose(&f);
        assert_null(f.samples);
        vpi_fragment_info_dispose(&f);
    }
}

static void test_special(void **state)
{
    (void)state;
    vpi_fragment_info f;
    moof_shape s = cmaf;
    s.first_cts = 0xffffff00; /* negative with version 1, refused with version 0 */
    assert_int_equal(parse_shape(&s, 0, COUNT, &f, NULL), VP_OK);
    assert_int_equal(f.samples[0].cts, -256);
    vpi_fragment_info_dispose(&f);
    s.trun_version = 0;
    assert_int_equal(parse_shape(&s, 0, COUNT, &f, NULL), VP_E_DATA);

    /* A base offset in the file is turned into one from moof. */
    s = cmaf;
    s.tfhd_flags = 1;
    s.base_offset = 10000;
    s.data_offset = -300;
    assert_int_equal(parse_shape(&s, 9000, COUNT, &f, NULL), VP_OK);
    assert_int_equal(f.data_offset, 700);
    assert_false(f.default_base_is_moof);
    vpi_fragment_info_dispose(&f);
    s.base_offset = UINT64_MAX;
    assert_int_equal(parse_shape(&s, 9000, COUNT, &f, NULL), VP_E_DATA);
    s.base_offset = UINT64_C(1) << 40;
    assert_int_equal(parse_shape(&s, 9000, COUNT, &f, NULL), VP_E_DATA);

    s = cmaf;
    s.samples = 0;
    s.tfdts = 0;
    assert_int_equal(parse_shape(&s, 0, COUNT, &f, NULL), VP_OK);
    assert_null(f.samples);
    assert_int_equal(f.count, 0);
    assert_false(f.has_tfdt);
    vpi_fragment_info_dispose(&f);
}

static void test_refusals(void **state)
{
    (void)state;
    vpi_fragment_info f;
    moof_shape rows[8];
    for (size_t i = 0; i < 8; i++) rows[i] = cmaf;
    rows[0].trafs = 0;
    rows[1].trafs = 2;
    rows[2].truns = 0;
    rows[3].truns = 2;
    rows[4].tfdts = 2;
    rows[5].no_mfhd = true;
    rows[6].no_tfhd = true;
    rows[7].trun_version = 2;
    for (size_t i = 0; i < 8; i++) {
        vp_error err = VP_ERROR_INIT;
        assert_int_equal(parse_shape(&rows[i], 0, COUNT, &f, &err), VP_E_DATA);
        assert_string_equal(err.reason, "INPUT_CORRUPT");
    }
    vp_error err = VP_ERROR_INIT;
    assert_int_equal(parse_shape(&cmaf, 0, COUNT - 1, &f, &err), VP_E_LIMIT);
    assert_string_equal(err.reason, "INPUT_LIMIT");

    /* A run without any field per sample can claim any count: only the limit holds it. */
    moof_shape s = cmaf;
    s.trun_flags = 0;
    vpi_buf b = make_moof(&s);
    vpi_box box;
    size_t at = 0;
    memset(b.data + b.size - 4, 0xff, 4);
    assert_int_equal(vpi_box_next(b.data, b.size, 0, &at, &box, NULL), VP_OK);
    assert_int_equal(vpi_moof_parse(&box, 100000, &f, NULL), VP_E_LIMIT);
    vpi_buf_dispose(&b);
}

static void parse_moof(const uint8_t *data, size_t size)
{
    vpi_box box = { .type = VPI_FOURCC('m', 'o', 'o', 'f'), .size = size, .data = data, .data_size = size };
    vpi_fragment_info f;
    if (vpi_moof_parse(&box, 1000, &f, NULL) == VP_OK) assert_true(f.count <= 1000);
    vpi_fragment_info_dispose(&f);
}

static void parse_sidx(const uint8_t *data, size_t size)
{
    vpi_box box = { .type = VPI_FOURCC('s', 'i', 'd', 'x'), .size = size, .data = data, .data_size = size };
    vpi_sidx s;
    if (vpi_sidx_parse(&box, &s, NULL) == VP_OK) assert_true(s.count * 12 <= size);
    vpi_sidx_dispose(&s);
}

static vpi_buf make_sidx(unsigned version, unsigned count, unsigned claimed)
{
    vpi_buf b = { 0 };
    size_t at = vpi_fullbox_begin(&b, VPI_FOURCC('s', 'i', 'd', 'x'), version, 0);
    vpi_buf_be32(&b, 3);
    vpi_buf_be32(&b, 90000);
    if (version) {
        vpi_buf_be64(&b, UINT64_C(5) << 32);
        vpi_buf_be64(&b, 11);
    } else {
        vpi_buf_be32(&b, 5);
        vpi_buf_be32(&b, 11);
    }
    vpi_buf_be16(&b, 0);
    vpi_buf_be16(&b, claimed);
    for (unsigned i = 0; i < count; i++) {
        vpi_buf_be32(&b, (i == 1 ? 0x80000000u : 0) | (1000 + i));
        vpi_buf_be32(&b, 540000 + i);
        vpi_buf_be32(&b, i == 1 ? 0 : 0x90000000u);
    }
    vpi_box_end(&b, at);
    assert_false(vpi_buf_failed(&b));
    return b;
}

static void test_sidx(void **state)
{
    (void)state;
    for (unsigned version = 0; version < 2; version++) {
        vpi_buf b = make_sidx(version, 4, 4);
        vpi_box box;
        vpi_sidx s;
        assert_int_equal(vpi_box_find(b.data, b.size, VPI_FOURCC('s', 'i', 'd', 'x'), &box, NULL), VP_OK);
        assert_int_equal(vpi_sidx_parse(&box, &s, NULL), VP_OK);
        assert_int_equal(s.version, version);
        assert_int_equal(s.reference_id, 3);
        assert_int_equal(s.timescale, 90000);
        assert_true(s.earliest == (version ? UINT64_C(5) << 32 : 5));
        assert_int_equal(s.first_offset, 11);
        assert_int_equal(s.count, 4);
        for (unsigned i = 0; i < 4; i++) {
            assert_int_equal(s.refs[i].size, 1000 + i);
            assert_int_equal(s.refs[i].duration, 540000 + i);
            assert_int_equal(s.refs[i].type_sidx, i == 1);
            assert_int_equal(s.refs[i].starts_with_sap, i != 1);
            assert_int_equal(s.refs[i].sap_type, i == 1 ? 0 : 1);
        }
        vpi_sidx_dispose(&s);
        torture(b.data + 8, b.size - 8, 50000, parse_sidx);
        vpi_buf_dispose(&b);
    }
    vpi_buf b = make_sidx(1, 4, 5);
    vpi_box box;
    vpi_sidx s;
    assert_int_equal(vpi_box_find(b.data, b.size, VPI_FOURCC('s', 'i', 'd', 'x'), &box, NULL), VP_OK);
    assert_int_equal(vpi_sidx_parse(&box, &s, NULL), VP_E_DATA);
    assert_null(s.refs);
    vpi_buf_dispose(&b);
}

static void test_torture(void **state)
{
    (void)state;
    moof_shape s = cmaf;
    s.samples = 6;
    s.extras = true;
    s.tfhd_flags = 0x2003b;
    s.trun_flags = 0xf05;
    vpi_buf b = make_moof(&s);
    torture(b.data + 8, b.size - 8, 100000, parse_moof);
    vpi_buf_dispose(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_special), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_sidx),       cmocka_unit_test(test_torture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
