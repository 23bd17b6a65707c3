/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include <stdio.h>

#include "base/hash.h"

/* RFC 3720 B.4. */
static void crc_vectors(void **state)
{
    static const uint8_t read10[48] = { 0x01, 0xc0, 0,    0,    0,    0, 0, 0, 0,    0, 0, 0, 0,   0,
                                        0,    0,    0x14, 0,    0,    0, 0, 0, 0x04, 0, 0, 0, 0,   0x14,
                                        0,    0,    0,    0x18, 0x28, 0, 0, 0, 0,    0, 0, 0, 0x02 };
    uint8_t b[32];
    unsigned i;

    (void)state;
    memset(b, 0, 32);
    assert_int_equal(vpi_crc32c(0, b, 32), 0x8A9136AA);
    memset(b, 0xFF, 32);
    assert_int_equal(vpi_crc32c(0, b, 32), 0x62A8AB43);
    for (i = 0; i < 32; i++) b[i] = (uint8_t)i;
    assert_int_equal(vpi_crc32c(0, b, 32), 0x46DD794E);
    for (i = 0; i < 32; i++) b[i] = (uint8_t)(31 - i);
    assert_int_equal(vpi_crc32c(0, b, 32), 0x113FDB5C);
    assert_int_equal(vpi_crc32c(0, read10, 48), 0xD9963A56);
    assert_int_equal(vpi_crc32c(0, "123456789", 9), 0xE3069283);
    assert_int_equal(vpi_crc32c_table(0, "123456789", 9), 0xE3069283);
    assert_int_equal(vpi_crc32c(0, NULL, 0), 0);
}

/* Fast and simple ways agree at every length around the block sizes, at odd addresses and in pieces. */
static void crc_ways(void **state)
{
    static const size_t around[] = { 0, 8, 256, 768, 1024, 4096, 12288, 12288 + 768, 36864 };
    static uint8_t data[50000];
    uint32_t seed = 1;
    size_t i, size, cut;

    (void)state;
    for (i = 0; i < sizeof(data); i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (uint8_t)(seed >> 24);
    }
    for (i = 0; i < VPI_COUNT(around); i++) {
        for (size = around[i] > 9 ? around[i] - 9 : 0; size <= around[i] + 9; size++) {
            const uint8_t *p = data + size % 8;
            uint32_t want = vpi_crc32c_table(0, p, size), got;

            assert_int_equal(vpi_crc32c(0, p, size), want);
            cut = size / 3;
            got = vpi_crc32c(0, p, cut);
            assert_int_equal(vpi_crc32c(got, p + cut, size - cut), want);
        }
    }
}

static void sha_of(const char *text, size_t repeat, char hex[65])
{
    vpi_sha256 s;

    vpi_sha256_init(&s);
    while (repeat-- > 0) vpi_sha256_add(&s, text, strlen(text));
    vpi_sha256_hex(&s, hex);
}

/* FIPS 180-4 examples. */
static void sha_vectors(void **state)
{
    char hex[65], other[65];
    vpi_sha256 s;

    (void)state;
    sha_of("", 1, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha_of("abc", 1, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1, hex);
    assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    sha_of("aaaaaaaaaa", 100000, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    /* Text with its length: ("ab", "c") and ("a", "bc") differ, NULL is "". */
    vpi_sha256_init(&s);
    vpi_sha256_add_str(&s, "ab");
    vpi_sha256_add_str(&s, "c");
    vpi_sha256_hex(&s, hex);
    vpi_sha256_init(&s);
    vpi_sha256_add_str(&s, "a");
    vpi_sha256_add_str(&s, "bc");
    vpi_sha256_hex(&s, other);
    assert_string_not_equal(hex, other);
    vpi_sha256_init(&s);
    vpi_sha256_add_str(&s, NULL);
    vpi_sha256_hex(&s, hex);
    vpi_sha256_init(&s);
    vpi_sha256_add_u64(&s, 0);
    vpi_sha256_hex(&s, other);
    assert_string_equal(hex, other);
}

static void sha_pieces(void **state)
{
    uint8_t data[300], one[32], two[32];
    size_t size, cut;
    vpi_sha256 s;

    (void)state;
    for (size = 0; size < sizeof(data); size++) data[size] = (uint8_t)(size * 7);
    for (size = 0; size <= sizeof(data); size += 11) {
        vpi_sha256_init(&s);
        vpi_sha256_add(&s, data, size);
        vpi_sha256_done(&s, one);
        for (cut = 0; cut <= size; cut += 13) {
            vpi_sha256_init(&s);
            vpi_sha256_add(&s, data, cut);
            vpi_sha256_add(&s, data + cut, size - cut);
            vpi_sha256_done(&s, two);
            assert_memory_equal(one, two, 32);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_vectors),
        cmocka_unit_test(crc_ways),
        cmocka_unit_test(sha_vectors),
        cmocka_unit_test(sha_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
