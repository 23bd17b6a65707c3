/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unit/bitstream/tools.h"

#include "bitstream/bits_int.h"

static void test_read(void **state)
{
    (void)state;
    const uint8_t bytes[] = { 0xa5, 0x0f, 0xff, 0x00, 0x12, 0x34 };
    uint8_t *p = exact_copy(bytes, sizeof(bytes));
    vpi_bits b;
    vpi_bits_init(&b, p, sizeof(bytes));
    assert_int_equal(vpi_bits_left(&b), 48);
    assert_int_equal(vpi_bits_read(&b, 0), 0);
    assert_int_equal(vpi_bits_read(&b, 1), 1);
    assert_int_equal(vpi_bits_read(&b, 3), 2);
    assert_int_equal(vpi_bits_read(&b, 32), 0x50fff001);
    assert_int_equal(vpi_bits_left(&b), 12);
    assert_int_equal(vpi_bits_read(&b, 12), 0x234);
    assert_false(b.failed);
    assert_int_equal(vpi_bits_read(&b, 0), 0);
    assert_false(b.failed);
    assert_int_equal(vpi_bits_read(&b, 1), 0);
    assert_true(b.failed);

    vpi_bits_init(&b, p, 2);
    vpi_bits_skip(&b, 16);
    assert_false(b.failed);
    vpi_bits_skip(&b, 1);
    assert_true(b.failed);
    vpi_bits_init(&b, p, 2);
    vpi_bits_skip(&b, SIZE_MAX);
    assert_true(b.failed);
    vpi_bits_init(&b, p, 2);
    assert_int_equal(vpi_bits_read(&b, 33), 0);
    assert_true(b.failed);
    vpi_bits_init(&b, NULL, 0);
    assert_int_equal(vpi_bits_left(&b), 0);
    assert_int_equal(vpi_bits_ue(&b), 0);
    assert_true(b.failed);
    free(p);
}

static void test_exp_golomb(void **state)
{
    (void)state;
    static const uint32_t values[] = { 0,   1,     2,          3,          7,          8,         254,
                                       255, 65535, 0x7ffffffe, 0x7fffffff, 0xfffffffd, 0xfffffffe };
    bit_writer w = { .bits = 0 };
    for (size_t i = 0; i < VPI_COUNT(values); i++) put_ue(&w, values[i]);
    vpi_bits b;
    vpi_bits_init(&b, w.data, (w.bits + 7) / 8);
    for (size_t i = 0; i < VPI_COUNT(values); i++) assert_int_equal(vpi_bits_ue(&b), values[i]);
    assert_false(b.failed);

    static const int32_t numbers[] = { 0, 1, -1, 2, -2, 127, -128, INT32_MAX, -INT32_MAX };
    w.bits = 0;
    for (size_t i = 0; i < VPI_COUNT(numbers); i++) put_se(&w, numbers[i]);
    vpi_bits_init(&b, w.data, (w.bits + 7) / 8);
    for (size_t i = 0; i < VPI_COUNT(numbers); i++) assert_int_equal(vpi_bits_se(&b), numbers[i]);
    assert_false(b.failed);

    /* 2^32-1 needs 32 leading zeros: refused. A code that is cut off too. */
    const uint8_t big[] = { 0, 0, 0, 0, 0x80, 0, 0, 0, 0 }, cut[] = { 0x08 },
                  none[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    vpi_bits_init(&b, big, sizeof(big));
    assert_int_equal(vpi_bits_ue(&b), 0);
    assert_true(b.failed);
    vpi_bits_init(&b, cut, sizeof(cut));
    vpi_bits_ue(&b);
    assert_true(b.failed);
    vpi_bits_init(&b, none, sizeof(none));
    vpi_bits_ue(&b);
    assert_true(b.failed);
}

static bool more(const char *hex, size_t position)
{
    blob bytes = exact_hex(hex);
    vpi_bits b;
    vpi_bits_init(&b, bytes.data, bytes.size);
    vpi_bits_skip(&b, position);
    bool answer = vpi_bits_more_rbsp(&b);
    free(bytes.data);
    return answer;
}

static void test_more_rbsp(void **state)
{
    (void)state;
    assert_true(more("f880", 7));
    assert_false(more("f880", 8));
    assert_false(more("f8", 4)); /* 11111 000: the fifth bit is the stop bit */
    assert_true(more("f8", 3));
    assert_false(more("8000", 0));
    assert_false(more("0000", 0));
    assert_false(more("", 0));
}

static void test_annexb(void **state)
{
    (void)state;
    blob b = exact_hex("00 00000001 6711 22 00 000001 68ee 00 00 000001 000001 65 88 00 00");
    static const char *const expected[] = { "671122", "68ee", "6588" };
    vpi_nal nal;
    size_t at = 0, count = 0;
    while (vpi_annexb_next(b.data, b.size, &at, &nal)) {
        assert_true(count < 3);
        blob want = exact_hex(expected[count++]);
        assert_int_equal(nal.size, want.size);
        assert_memory_equal(nal.data, want.data, want.size);
        free(want.data);
    }
    assert_int_equal(count, 3);
    assert_int_equal(at, b.size);
    assert_false(vpi_annexb_next(b.data, b.size, &at, &nal));
    free(b.data);

    static const char *const without[] = { "", "00", "0000", "000001", "67112233", "00000100000001" };
    for (size_t i = 0; i < VPI_COUNT(without); i++) {
        b = exact_hex(without[i]);
        at = 0;
        assert_false(vpi_annexb_next(b.data, b.size, &at, &nal));
        assert_int_equal(at, b.size);
        free(b.data);
    }
    /* A start code at every alignment is found. */
    for (size_t lead = 0; lead < 8; lead++) {
        uint8_t bytes[16];
        memset(bytes, 7, sizeof(bytes));
        memcpy(bytes + lead, "\0\0\1\x41\x9a", 5);
        at = 0;
        assert_true(vpi_annexb_next(bytes, lead + 5, &at, &nal));
        assert_int_equal(nal.size, 2);
        assert_ptr_equal(nal.data, bytes + lead + 3);
    }
}

static void test_avcc_samples(void **state)
{
    (void)state;
    for (unsigned length_size = 1; length_size <= 4; length_size++) {
        uint8_t bytes[32];
        size_t n = 0, at = 0;
        for (unsigned k = 0; k < 3; k++) {
            for (unsigned i = 1; i < length_size; i++) bytes[n++] = 0;
            bytes[n++] = (uint8_t)(2 - k);
            for (unsigned i = k; i < 2; i++) bytes[n++] = 0x65;
        }
        uint8_t *p = exact_copy(bytes, n);
        vpi_nal nal;
        bool bad = true;
        for (unsigned k = 0; k < 3; k++) {
            assert_true(vpi_avcc_next(p, n, length_size, &at, &nal, &bad));
            assert_int_equal(nal.size, 2 - k);
        }
        assert_false(vpi_avcc_next(p, n, length_size, &at, &nal, &bad));
        assert_false(bad);
        free(p);
        /* Cut inside a length and inside a unit */
        for (size_t cut = 1; cut < length_size + 2u; cut++) {
            p = exact_copy(bytes, cut);
            at = 0;
            assert_false(vpi_avcc_next(p, cut, length_size, &at, &nal, &bad));
            assert_true(bad);
            free(p);
        }
    }
    const uint8_t huge[] = { 0xff, 0xff, 0xff, 0xff, 1 };
    vpi_nal nal;
    bool bad = false;
    size_t at = 0;
    assert_false(vpi_avcc_next(huge, sizeof(huge), 4, &at, &nal, &bad));
    assert_true(bad);
    assert_false(vpi_avcc_next(huge, sizeof(huge), 0, &at, &nal, &bad));
    assert_true(bad);
}

static void test_escapes(void **state)
{
    (void)state;
    static const struct {
        const char *coded, *plain;
    } rows[] = {
        { "65000003", "650000" },
        { "6500000300000301", "650000000001" },
        { "65000003000003", "6500000000" },
        { "6500030003", "6500030003" },
        { "650000040000", "650000040000" },
        { "65", "65" },
        { "650000030300000301", "65000003000001" },
    };
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        blob coded = exact_hex(rows[i].coded), plain = exact_hex(rows[i].plain);
        vpi_nal nal = { coded.data, coded.size };
        uint8_t *to = malloc(coded.size);
        assert_int_equal(vpi_nal_unescape(&nal, to), plain.size);
        assert_memory_equal(to, plain.data, plain.size);
        /* Every prefix maps back: the coded bytes it took unescape to it, one byte less does not. */
        for (size_t n = 1; n <= plain.size; n++) {
            size_t taken = vpi_nal_escaped_size(&nal, n);
            vpi_nal head = { coded.data, taken };
            assert_int_equal(vpi_nal_unescape(&head, to), n);
            head.size--;
            assert_int_equal(vpi_nal_unescape(&head, to), n - 1);
        }
        free(to);
        free(coded.data);
        free(plain.data);
    }
    /* Random bytes there and back */
    uint32_t seed = 77;
    for (unsigned round = 0; round < 500; round++) {
        bit_writer w = { .bits = 0 };
        for (size_t n = next_random(&seed) % 64 + 1; n > 0; n--) {
            uint32_t v = next_random(&seed);
            put(&w, 8, v % 3 ? v >> 8 & 3 : v >> 8 & 255);
        }
        blob coded = escaped(&w);
        vpi_nal nal = { coded.data, coded.size };
        uint8_t *to = malloc(coded.size);
        assert_int_equal(vpi_nal_unescape(&nal, to), w.bits / 8);
        assert_memory_equal(to, w.data, w.bits / 8);
        free(to);
        free(coded.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),   cmocka_unit_test(test_exp_golomb),   cmocka_unit_test(test_more_rbsp),
        cmocka_unit_test(test_annexb), cmocka_unit_test(test_avcc_samples), cmocka_unit_test(test_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
