/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is put into boxes that exist: parents grow, places are found, protection reads back as it was written. */
#include "unit/bitstream/tools.h"

#include "bmff/bmff.h"

static void grows(void **state)
{
    uint8_t small[8] = { 0, 0, 1, 0, 'f', 'r', 'e', 'e' };
    uint8_t large[16] = { 0, 0, 0, 1, 'm', 'd', 'a', 't', 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff };
    uint8_t whole[8] = { 0, 0, 0, 0, 'm', 'd', 'a', 't' };
    (void)state;
    assert_true(vpi_box_grow(small, 0x1234));
    assert_int_equal(vpi_rd32(small), 0x1334);
    assert_true(vpi_box_grow(small, UINT32_MAX - 0x1334u));
    assert_int_equal(vpi_rd32(small), UINT32_MAX);
    assert_false(vpi_box_grow(small, 1));
    assert_int_equal(vpi_rd32(small), UINT32_MAX);
    assert_false(vpi_box_grow(small, UINT64_MAX));
    assert_true(vpi_box_grow(large, 1));
    assert_int_equal(vpi_rd64(large + 8), UINT64_C(0x100000000));
    assert_int_equal(vpi_rd32(large), 1);
    assert_false(vpi_box_grow(large, UINT64_MAX));
    assert_true(vpi_box_grow(whole, UINT64_MAX)); /* its end is the file's */
    assert_int_equal(vpi_rd32(whole), 0);
}

typedef struct shape {
    uint32_t tfhd_flags, trun_flags, more; /* type of a further box; 0: none */
    const char *group;                     /* of that box, where it is sbgp */
    bool endless;                          /* it has no size */
} shape;

/* moof with one traf; a box of 12 bytes before it. */
static vpi_box make(vpi_buf *b, const shape *s)
{
    vpi_box out;
    size_t at = 0, moof = vpi_box_begin(b, VPI_FOURCC('m', 'o', 'o', 'f')), traf, box;
    box = vpi_box_begin(b, VPI_FOURCC('f', 'r', 'e', 'e'));
    vpi_buf_be32(b, 7);
    vpi_box_end(b, box);
    traf = vpi_box_begin(b, VPI_FOURCC('t', 'r', 'a', 'f'));
    box = vpi_fullbox_begin(b, VPI_FOURCC('t', 'f', 'h', 'd'), 0, s->tfhd_flags);
    vpi_buf_be32(b, 1);
    if (s->tfhd_flags & 1) vpi_buf_be64(b, 0);
    if (s->tfhd_flags & 2) vpi_buf_be32(b, 1);
    vpi_box_end(b, box);
    box = vpi_fullbox_begin(b, VPI_FOURCC('t', 'r', 'u', 'n'), 0, s->trun_flags);
    vpi_buf_be32(b, 0);
    if (s->trun_flags & 1) vpi_buf_be32(b, 99);
    vpi_box_end(b, box);
    if (s->more) {
        box = vpi_fullbox_begin(b, s->more, 0, 0);
        vpi_buf_str(b, s->group ? s->group : "    ");
        vpi_box_end(b, box);
        if (s->endless) vpi_buf_patch_be32(b, box, 0);
    }
    vpi_box_end(b, traf);
    vpi_box_end(b, moof);
    assert_int_equal(vpi_box_next(b->data, b->size, 500, &at, &out, NULL), VP_OK);
    return out;
}

static vp_status find(const shape *s, vpi_moof_places *out)
{
    vpi_buf b = { 0 };
    vpi_box moof = make(&b, s);
    vp_status st = vpi_moof_places_find(&moof, out, NULL);
    vpi_buf_dispose(&b);
    return st;
}

static void places(void **state)
{
    vpi_moof_places p;
    (void)state;
    assert_int_equal(find(&(shape){ .tfhd_flags = 0x20000, .trun_flags = 1 }, &p), VP_OK);
    assert_int_equal(p.traf, 8 + 12);
    assert_int_equal(p.tfhd, 28);
    assert_int_equal(p.description, 28 + 16);
    assert_int_equal(p.data_offset, 44 + 16);
    assert_int_equal(p.traf_end, 44 + 20);
    assert_int_equal(p.tfhd_flags, 0x20000);
    assert_int_equal(p.trun_flags, 1);
    assert_false(p.is_protected);
    assert_int_equal(find(&(shape){ .tfhd_flags = 2, .more = VPI_FOURCC('s', 'u', 'b', 's') }, &p), VP_OK);
    assert_int_equal(p.description, 28 + 16);
    assert_int_equal(p.traf_end, 48 + 16 + 16);
    assert_false(p.is_protected);
    assert_int_equal(find(&(shape){ .tfhd_flags = 1 }, &p), VP_E_DATA);
    assert_int_equal(find(&(shape){ .more = VPI_FOURCC('s', 'u', 'b', 's'), .endless = true }, &p),
                     VP_E_DATA);
}

static void found_protection(void **state)
{
    static const uint32_t types[] = { VPI_FOURCC('s', 'e', 'n', 'c'), VPI_FOURCC('s', 'a', 'i', 'z'),
                                      VPI_FOURCC('s', 'a', 'i', 'o') };
    vpi_moof_places p;
    (void)state;
    for (size_t i = 0; i < VPI_COUNT(types); i++) {
        assert_int_equal(find(&(shape){ .more = types[i] }, &p), VP_OK);
        assert_true(p.is_protected);
    }
    assert_int_equal(find(&(shape){ .more = VPI_FOURCC('s', 'b', 'g', 'p'), .group = "seig" }, &p), VP_OK);
    assert_true(p.is_protected);
    assert_int_equal(find(&(shape){ .more = VPI_FOURCC('s', 'g', 'p', 'd'), .group = "roll" }, &p), VP_OK);
    assert_false(p.is_protected);
}

/* sinf, and the boxes of a fragment, as their readers see them. */
static void written(void **state)
{
    vpi_tenc tenc = {
        .version = 1, .crypt_blocks = 1, .skip_blocks = 9, .is_protected = 1, .constant_iv_size = 16
    };
    vpi_buf b = { 0 }, sizes = { 0 }, aux = { 0 };
    vpi_moof_protection p;
    vpi_tenc got;
    vpi_box box;
    size_t at = 0, moof, traf;
    (void)state;
    memset(tenc.kid, 0x11, 16);
    memset(tenc.constant_iv, 0x22, 16);
    vpi_sinf_write(&b, VPI_FOURCC('a', 'v', 'c', '1'), VPI_FOURCC('c', 'b', 'c', 's'), &tenc);
    assert_int_equal(vpi_box_path(b.data, b.size, "sinf/schi/tenc", &box, NULL), VP_OK);
    assert_int_equal(vpi_tenc_parse(&box, &got, NULL), VP_OK);
    assert_memory_equal(&got, &tenc, sizeof(tenc));
    vpi_buf_clear(&b);
    vpi_buf_str(&sizes, "\x08\x0e");
    for (int i = 0; i < 22; i++) vpi_buf_u8(&aux, 0x33);
    vpi_buf_str(&b, "in front");
    moof = vpi_box_begin(&b, VPI_FOURCC('m', 'o', 'o', 'f'));
    traf = vpi_box_begin(&b, VPI_FOURCC('t', 'r', 'a', 'f'));
    vpi_seig_write(&b, &tenc, 2);
    vpi_senc_write(&b, moof, &sizes, &aux, true);
    vpi_box_end(&b, traf);
    vpi_box_end(&b, moof);
    assert_int_equal(vpi_box_next(b.data + 8, b.size - 8, 0, &at, &box, NULL), VP_OK);
    assert_int_equal(vpi_moof_protection_parse(&box, &p, NULL), VP_OK);
    assert_memory_equal(&p.seig, &tenc, sizeof(tenc));
    assert_int_equal(p.group_samples, 2);
    assert_int_equal(p.saiz_count, 2);
    assert_int_equal(p.saiz_default, 0);
    assert_int_equal(p.saio, p.senc_at);
    assert_int_equal(p.senc_size, 22);
    assert_true(p.senc_subsamples);
    vpi_buf_clear(&aux);
    vpi_buf_clear(&b);
    vpi_senc_write(&b, 0, &sizes, &aux, false); /* nothing of a sample to tell: no box */
    assert_int_equal(b.size, 0);
    vpi_buf_dispose(&b);
    vpi_buf_dispose(&sizes);
    vpi_buf_dispose(&aux);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows),
        cmocka_unit_test(places),
        cmocka_unit_test(found_protection),
        cmocka_unit_test(written),
    };
    return cmocka_run_group_tests_name("rewrite", tests, NULL, NULL);
}
