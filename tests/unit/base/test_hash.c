/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include <stdio.h>

#include "base/sha256_int.h"

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
static void vectors(void)
{
    char hex[65], other[65];
    vpi_sha256 s;

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

static void pieces(void)
{
    uint8_t data[300], one[32], two[32];
    size_t size, cut;
    vpi_sha256 s;

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

/* By all instructions that this processor has, and without them. */
static void each_way(void (*fn)(void))
{
    for (int most = VPI_SHA256_PLAIN; most <= VPI_SHA256_AVX512; most++) {
        vpi_sha256_limit(most);
        fn();
    }
}

static void sha_vectors(void **state)
{
    (void)state;
    each_way(vectors);
}

static void sha_pieces(void **state)
{
    (void)state;
    each_way(pieces);
}

#define MANY 35 /* two times sixteen, two, and one */
static uint8_t noise[MANY][400];

/* What many messages of one length come to, first `first` bytes of each and then the rest, is what each comes to. */
static void same_as_alone(unsigned n, size_t size, size_t first)
{
    vpi_sha256 s[MANY], alone;
    const uint8_t *from[MANY] = { NULL };
    uint8_t want[32], got[32];
    unsigned i;

    for (i = 0; i < n; i++) {
        vpi_sha256_init(&s[i]);
        from[i] = noise[i] + i % 5;
    }
    vpi_sha256_add_many(s, from, n, first);
    for (i = 0; i < n; i++) from[i] += first;
    vpi_sha256_add_many(s, from, n, size - first);
    for (i = 0; i < n; i++) {
        vpi_sha256_init(&alone);
        vpi_sha256_add(&alone, noise[i] + i % 5, size);
        vpi_sha256_done(&alone, want);
        vpi_sha256_done(&s[i], got);
        assert_memory_equal(got, want, 32);
    }
}

static void lengths(void)
{
    for (unsigned n = 0; n <= MANY; n++) {
        for (size_t size = 0; size <= 320; size += size % 64 == 8 ? 48 : 1) {
            same_as_alone(n, size, size);
            same_as_alone(n, size, size / 128 * 64);
            same_as_alone(n, size, size / 3);
        }
    }
}

static void sha_many(void **state)
{
    uint32_t seed = 1;

    (void)state;
    for (size_t i = 0; i < sizeof(noise); i++) {
        seed = seed * 1664525u + 1013904223u;
        (&noise[0][0])[i] = (uint8_t)(seed >> 24);
    }
    each_way(lengths);
}

/* Messages of unlike lengths before. */
static void unlike(void)
{
    vpi_sha256 s[3];
    const uint8_t *from[3] = { noise[0], noise[1], noise[2] };
    char got[65], want[65];

    for (unsigned i = 0; i < 3; i++) {
        vpi_sha256_init(&s[i]);
        vpi_sha256_add(&s[i], noise[3], 40 * i);
    }
    vpi_sha256_add_many(s, from, 3, 300);
    for (unsigned i = 0; i < 3; i++) {
        vpi_sha256 alone;

        vpi_sha256_init(&alone);
        vpi_sha256_add(&alone, noise[3], 40 * i);
        vpi_sha256_add(&alone, noise[i], 300);
        vpi_sha256_hex(&alone, want);
        vpi_sha256_hex(&s[i], got);
        assert_string_equal(got, want);
    }
}

static void sha_unlike(void **state)
{
    (void)state;
    each_way(unlike);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_vectors), cmocka_unit_test(crc_ways), cmocka_unit_test(sha_vectors),
        cmocka_unit_test(sha_pieces),  cmocka_unit_test(sha_many), cmocka_unit_test(sha_unlike),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
