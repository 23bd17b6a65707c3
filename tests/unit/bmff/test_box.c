/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit/bitstream/tools.h"

#include "bmff/bmff.h"

#define ABCD VPI_FOURCC('a', 'b', 'c', 'd')
#define UUID VPI_FOURCC('u', 'u', 'i', 'd')

static void test_writer(void **state)
{
    (void)state;
    vpi_buf b = { 0 };
    size_t outer = vpi_box_begin(&b, VPI_FOURCC('m', 'o', 'o', 'v'));
    size_t inner = vpi_fullbox_begin(&b, VPI_FOURCC('t', 'f', 'd', 't'), 1, 0x1020304);
    vpi_buf_be64(&b, 7);
    vpi_box_end(&b, inner);
    inner = vpi_box_begin(&b, VPI_FOURCC('f', 'r', 'e', 'e'));
    vpi_box_end(&b, inner);
    vpi_box_end(&b, outer);
    blob want = exact_hex("00000024 6d6f6f76 00000014 74666474 01020304 0000000000000007 00000008 66726565");
    assert_false(vpi_buf_failed(&b));
    assert_int_equal(b.size, want.size);
    assert_memory_equal(b.data, want.data, want.size);

    vpi_box box;
    uint8_t version;
    uint32_t flags;
    const uint8_t *data;
    size_t size;
    assert_int_equal(vpi_box_path(want.data, want.size, "moov/tfdt", &box, NULL), VP_OK);
    assert_int_equal(box.offset, 8);
    assert_int_equal(box.size, 20);
    assert_true(vpi_fullbox(&box, &version, &flags, &data, &size));
    assert_int_equal(version, 1);
    assert_int_equal(flags, 0x20304);
    assert_int_equal(size, 8);
    assert_ptr_equal(data, want.data + 20);
    assert_int_equal(vpi_box_path(want.data, want.size, "moov/free", &box, NULL), VP_OK);
    assert_int_equal(box.offset, 28);
    assert_int_equal(box.data_size, 0);
    assert_false(vpi_fullbox(&box, &version, &flags, &data, &size));
    assert_int_equal(vpi_box_path(want.data, want.size, "moov/trak", &box, NULL), VP_END);
    assert_int_equal(vpi_box_path(want.data, want.size, "free", &box, NULL), VP_END);
    assert_int_equal(vpi_box_path(want.data, want.size, "moo", &box, NULL), VP_E_INTERNAL);
    assert_int_equal(vpi_box_path(want.data, want.size, "moov/", &box, NULL), VP_E_INTERNAL);
    free(want.data);
    vpi_buf_dispose(&b);

    /* A buffer that has failed stays so, and nothing is written into it. */
    b.failed = true;
    outer = vpi_box_begin(&b, ABCD);
    vpi_box_end(&b, outer);
    assert_true(vpi_buf_failed(&b));
    assert_int_equal(b.size, 0);
    vpi_buf_dispose(&b);
}

static vp_status next_hex(const char *hex, vpi_box *out, size_t *at)
{
    blob b = exact_hex(hex);
    vp_error err = VP_ERROR_INIT;
    *at = 0;
    vp_status st = vpi_box_next(b.data, b.size, 1000, at, out, &err);
    if (st < 0) {
        assert_int_equal(st, VP_E_DATA);
        assert_string_equal(err.reason, "INPUT_CORRUPT");
    }
    if (st == VP_OK) {
        assert_int_equal(out->offset, 1000);
        assert_int_equal(out->size, *at);
    }
    free(b.data);
    return st;
}

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        vp_status status;
        size_t size, payload;
    } rows[] = {
        { "00000008 61626364", VP_OK, 8, 0 },
        { "0000000a 61626364 0102 00", VP_OK, 10, 2 },
        { "00000000 61626364 010203", VP_OK, 11, 3 }, /* to the end */
        { "00000001 61626364 0000000000000012 0102 ffff", VP_OK, 18, 2 },
        { "00000018 75756964 000102030405060708090a0b0c0d0e0f", VP_OK, 24, 0 },
        { "00000001 75756964 0000000000000021 000102030405060708090a0b0c0d0e0f 77", VP_OK, 33, 1 },
        { "", VP_END, 0, 0 },
        { "00000000", VP_END, 0, 0 }, /* QuickTime's terminator */
        { "00000000000000", VP_END, 0, 0 },
        { "00000001", VP_E_DATA, 0, 0 },
        { "00000007 61626364", VP_E_DATA, 0, 0 },
        { "00000009 61626364", VP_E_DATA, 0, 0 },
        { "ffffffff 61626364 00", VP_E_DATA, 0, 0 },
        { "00000001 61626364 0000000000000000 00", VP_E_DATA, 0, 0 }, /* "to the end" has no large form */
        { "00000001 61626364 000000000000000f 00", VP_E_DATA, 0, 0 },
        { "00000001 61626364 ffffffffffffffff 00", VP_E_DATA, 0, 0 },
        { "00000001 61626364 00000000", VP_E_DATA, 0, 0 },
        { "00000017 75756964 000102030405060708090a0b0c0d0e0f", VP_E_DATA, 0, 0 },
        { "00000010 75756964 0001020304050607", VP_E_DATA, 0, 0 },
    };
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        vpi_box box;
        size_t at;
        vp_status st = next_hex(rows[i].hex, &box, &at);
        if (st != rows[i].status) fail_msg("%s gives %d", rows[i].hex, (int)st);
        if (st != VP_OK) continue;
        assert_int_equal(box.size, rows[i].size);
        assert_int_equal(box.data_size, rows[i].payload);
        if (box.type == UUID)
            assert_memory_equal(box.usertype, "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\17", 16);
        if (box.type != UUID) assert_int_equal(box.type, ABCD);
    }
}

static void test_header(void **state)
{
    (void)state;
    blob b = exact_hex("00000001 75756964 0000001000000000 000102030405060708090a0b0c0d0e0f");
    uint32_t type;
    uint64_t size;
    size_t header;
    for (size_t n = 0; n < b.size; n++) {
        uint8_t *cut = exact_copy(b.data, n);
        assert_int_equal(vpi_box_header(cut, n, &type, &size, &header), VP_AGAIN);
        free(cut);
    }
    assert_int_equal(vpi_box_header(b.data, b.size, &type, &size, &header), VP_OK);
    assert_int_equal(type, UUID);
    assert_int_equal(header, 32);
    assert_true(size == UINT64_C(0x1000000000));
    free(b.data);
    b = exact_hex("00000000 6d646174");
    assert_int_equal(vpi_box_header(b.data, b.size, &type, &size, &header), VP_OK);
    assert_int_equal(size, 0);
    assert_int_equal(header, 8);
    b.data[3] = 4;
    assert_int_equal(vpi_box_header(b.data, b.size, &type, &size, &header), VP_E_DATA);
    free(b.data);
}

static void test_iteration(void **state)
{
    (void)state;
    /* Offsets through two levels, one of them with a large header */
    blob b = exact_hex("00000008 66726565 00000001 6d6f6f76 0000000000000024"
                       "00000014 7472616b 0000000c 6d646961 01020304");
    vpi_box box;
    assert_int_equal(vpi_box_path(b.data, b.size, "moov/trak/mdia", &box, NULL), VP_OK);
    assert_int_equal(box.offset, 32);
    assert_ptr_equal(box.data, b.data + 40);
    assert_int_equal(box.data_size, 4);
    assert_int_equal(vpi_box_find(b.data, b.size, VPI_FOURCC('m', 'o', 'o', 'v'), &box, NULL), VP_OK);
    assert_int_equal(box.offset, 8);
    assert_int_equal(box.data_size, 20);
    assert_int_equal(vpi_box_find(b.data, b.size, ABCD, &box, NULL), VP_END);
    /* What is broken behind the box looked for is not in the way; before it, it is. */
    b.data[11] = 7;
    assert_int_equal(vpi_box_find(b.data, b.size, VPI_FOURCC('f', 'r', 'e', 'e'), &box, NULL), VP_OK);
    assert_int_equal(vpi_box_find(b.data, b.size, ABCD, &box, NULL), VP_E_DATA);
    free(b.data);

    /* The limit of boxes in one container */
    enum { MANY = 100000 };
    uint8_t *many = calloc(MANY + 2, 8);
    assert_non_null(many);
    for (size_t i = 0; i < MANY + 2; i++) memcpy(many + i * 8, "\0\0\0\10free", 8);
    memcpy(many + (MANY - 1) * 8 + 4, "abcd", 4);
    assert_int_equal(vpi_box_find(many, (MANY + 2) * 8, ABCD, &box, NULL), VP_OK);
    memcpy(many + (MANY - 1) * 8 + 4, "free", 4);
    assert_int_equal(vpi_box_find(many, (MANY + 2) * 8, ABCD, &box, NULL), VP_E_DATA);
    free(many);
}

static void walk(const uint8_t *data, size_t size)
{
    vpi_box box;
    size_t at = 0, before = 0;
    vp_status st;
    while ((st = vpi_box_next(data, size, 0, &at, &box, NULL)) == VP_OK) {
        assert_true(at > before && at <= size);
        assert_true(box.data_size <= box.size && box.data + box.data_size == data + at);
        before = at;
    }
    vpi_box_path(data, size, "moov/trak/mdia", &box, NULL);
}

static void test_torture(void **state)
{
    (void)state;
    blob b = exact_hex("00000008 66726565 00000001 6d6f6f76 0000000000000024"
                       "00000014 7472616b 0000000c 6d646961 01020304"
                       "00000018 75756964 000102030405060708090a0b0c0d0e0f 00000000 6d646174 01");
    torture(b.data, b.size, 100000, walk);
    free(b.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writer),    cmocka_unit_test(test_sizes),   cmocka_unit_test(test_header),
        cmocka_unit_test(test_iteration), cmocka_unit_test(test_torture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
