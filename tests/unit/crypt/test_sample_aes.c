/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SAMPLE-AES read back by a receiver of the test's own, written from Apple's document, and against the CBC vectors of
 * NIST SP 800-38A F.2.1.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "base/fault.h"
#include "bitstream/bitstream.h"
#include "crypt/sample_aes.h"

#define MOST 4096

static const uint8_t key[16] = { 0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
                                 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c };
static const uint8_t iv[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
static const uint8_t plain[64] = { 0x6b, 0xc1, 0xbe, 0xe2, 0x2e, 0x40, 0x9f, 0x96, 0xe9, 0x3d, 0x7e,
                                   0x11, 0x73, 0x93, 0x17, 0x2a, 0xae, 0x2d, 0x8a, 0x57, 0x1e, 0x03,
                                   0xac, 0x9c, 0x9e, 0xb7, 0x6f, 0xac, 0x45, 0xaf, 0x8e, 0x51, 0x30,
                                   0xc8, 0x1c, 0x46, 0xa3, 0x5c, 0xe4, 0x11, 0xe5, 0xfb, 0xc1, 0x19,
                                   0x1a, 0x0a, 0x52, 0xef, 0xf6, 0x9f, 0x24, 0x45, 0xdf, 0x4f, 0x9b,
                                   0x17, 0xad, 0x2b, 0x41, 0x7b, 0xe6, 0x6c, 0x37, 0x10 };
static const uint8_t secret[64] = { 0x76, 0x49, 0xab, 0xac, 0x81, 0x19, 0xb2, 0x46, 0xce, 0xe9, 0x8e,
                                    0x9b, 0x12, 0xe9, 0x19, 0x7d, 0x50, 0x86, 0xcb, 0x9b, 0x50, 0x72,
                                    0x19, 0xee, 0x95, 0xdb, 0x11, 0x3a, 0x91, 0x76, 0x78, 0xb2, 0x73,
                                    0xbe, 0xd6, 0xb8, 0xe3, 0xc1, 0x74, 0x3b, 0x71, 0x16, 0xe6, 0x9e,
                                    0x22, 0x22, 0x95, 0x16, 0x3f, 0xf1, 0xca, 0xa1, 0x68, 0x1f, 0xac,
                                    0x09, 0x12, 0x0e, 0xca, 0x30, 0x75, 0x86, 0xe1, 0xa7 };

static vpi_cipher *cbc;

static uint32_t next_random(void)
{
    static uint32_t state = 12345;

    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

/* ---- the receiver ---- */

/* Chained blocks at rising places. */
static void decipher(uint8_t *data, const size_t *places, size_t count)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n;

    assert_non_null(ctx);
    assert_int_equal(EVP_DecryptInit_ex(ctx, EVP_aes_128_cbc(), NULL, key, iv), 1);
    EVP_CIPHER_CTX_set_padding(ctx, 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(EVP_DecryptUpdate(ctx, data + places[i], &n, data + places[i], 16), 1);
        assert_int_equal(n, 16);
    }
    EVP_CIPHER_CTX_free(ctx);
}

/* Also a check that the unit can stand in a byte stream. */
static size_t unescape(uint8_t *data, size_t size)
{
    size_t used = 0;
    unsigned zeros = 0;

    assert_true(size == 0 || data[size - 1] != 0);
    for (size_t i = 0; i < size; i++) {
        assert_false(zeros >= 2 && data[i] < 3);
        if (zeros >= 2 && data[i] == 3) {
            zeros = 0;
            continue;
        }
        zeros = data[i] ? 0 : zeros + 1;
        data[used++] = data[i];
    }
    return used;
}

static size_t receive_nal(uint8_t *data, size_t size)
{
    unsigned type = size ? data[0] & 31u : 0;
    size_t places[MOST], count = 0, remaining, at = 32;

    if ((type != 1 && type != 5) || size <= 48) return size;
    size = unescape(data, size);
    for (remaining = size - 32; remaining > 0;) {
        size_t clear;

        if (remaining > 16) {
            places[count++] = at;
            at += 16;
            remaining -= 16;
        }
        clear = remaining < 144 ? remaining : 144;
        at += clear;
        remaining -= clear;
    }
    decipher(data, places, count);
    return size;
}

/* Places of the blocks of one audio frame. */
static size_t audio_places(size_t start, size_t size, size_t clear, size_t *places)
{
    size_t count = 0;

    for (size_t at = clear; at + 16 <= size; at += 16) places[count++] = start + at;
    return count;
}

/* ---- sender under test ---- */

static vp_status protect(vpi_codec codec, const uint8_t *data, size_t size, vpi_buf *out)
{
    uint8_t *exact = malloc(size ? size : 1); /* a read past the end is seen */
    vp_status st;

    assert_non_null(exact);
    memcpy(exact, data, size);
    st = vpi_sample_aes_unit(cbc, iv, codec, exact, size, out, NULL);
    free(exact);
    return st;
}

/* size bytes as a coder would make them; zeros: of 8. */
static void make_nal(uint8_t *to, unsigned header, size_t size, unsigned zeros)
{
    unsigned run = 0;

    for (size_t i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)next_random();

        if (next_random() % 8 < zeros) byte = (uint8_t)(next_random() % 2 ? 0 : next_random() % 4);
        if (i == 0) byte = (uint8_t)header;
        if (i + 1 == size && byte == 0) byte = 0x80;
        if (run == 2 && byte <= 3)
            byte = i + 2 < size ? 3 : 0x80; /* emulation prevention, with what it guards */
        to[i] = byte;
        run = byte ? 0 : run + 1;
    }
}

static void check_nal(const uint8_t *nal, size_t size, size_t *grown)
{
    uint8_t back[2 * MOST];
    vpi_buf out = { 0 };
    unsigned type = size ? nal[0] & 31u : 0;

    vpi_buf_add(&out, "before", 6); /* appended */
    assert_int_equal(protect(VPI_CODEC_H264, nal, size, &out), VP_OK);
    assert_memory_equal(out.data, "before", 6);
    assert_true(out.size - 6 >= size && out.size - 6 <= sizeof(back));
    memcpy(back, out.data + 6, out.size - 6);
    if ((type == 1 || type == 5) && size > 48) {
        assert_memory_equal(back, nal, 1);
        assert_true(out.size - 6 != size || memcmp(back, nal, size) != 0);
        *grown += out.size - 6 > size;
    } else {
        assert_int_equal(out.size - 6, size);
        assert_memory_equal(back, nal, size);
    }
    assert_int_equal(receive_nal(back, out.size - 6), size);
    assert_memory_equal(back, nal, size);
    vpi_buf_dispose(&out);
}

static void test_nal(void **state)
{
    static const uint8_t headers[] = { 0x41, 0x65, 0x01, 0x25, 0x06, 0x67, 0x68, 0x09, 0x0C, 0x21, 0x74 };
    uint8_t nal[MOST] = { 0 };
    size_t grown = 0;

    (void)state;
    check_nal(nal, 0, &grown);
    for (size_t size = 1; size < 700; size++) {
        for (unsigned i = 0; i < 8; i++) {
            make_nal(nal, headers[(size + i) % 2 ? i % 4 : next_random() % sizeof(headers)], size, i);
            check_nal(nal, size, &grown);
        }
    }
    for (unsigned i = 0; i < 200; i++) {
        size_t size = 700 + next_random() % (MOST - 700);

        make_nal(nal, headers[i % 2], size, i % 8);
        check_nal(nal, size, &grown);
    }
    assert_true(grown > 1000);
    /* escaped all over, and cabac_zero_words at the end */
    for (size_t i = 0; i < 3000; i++) nal[i] = i % 3 == 2 ? 3 : 0;
    nal[0] = 0x65;
    check_nal(nal, 3000, &grown);
    nal[49] = nal[50] = 0;
    nal[51] = 3;
    check_nal(nal, 52, &grown);
}

/* The receiver of a byte stream does not see zeros at the end: the limit and the pattern count without them. */
static void test_trailing_zeros(void **state)
{
    uint8_t nal[64] = { 0x41 }, back[128];

    (void)state;
    for (size_t size = 47; size < 52; size++) {
        vpi_buf out = { 0 };

        memset(nal + 1, 0xA5, sizeof(nal) - 1);
        memset(nal + size, 0, sizeof(nal) - size);
        assert_int_equal(protect(VPI_CODEC_H264, nal, sizeof(nal), &out), VP_OK);
        assert_int_equal(out.size, size);
        memcpy(back, out.data, out.size);
        assert_int_equal(receive_nal(back, out.size), size);
        assert_memory_equal(back, nal, size);
        assert_int_equal(memcmp(out.data, nal, size) == 0, size <= 48);
        vpi_buf_dispose(&out);
    }
}

static void test_vectors(void **state)
{
    uint8_t nal[32 + 3 * 160 + 17], frame[16 + 64 + 15];
    vpi_buf out = { 0 };

    (void)state;
    memset(nal, 0xEE, sizeof(nal));
    nal[0] = 0x65;
    for (size_t i = 0; i < 4; i++) memcpy(nal + 32 + 160 * i, plain + 16 * i, 16);
    assert_int_equal(protect(VPI_CODEC_H264, nal, sizeof(nal), &out), VP_OK);
    for (size_t i = 0; i < 4; i++) memcpy(nal + 32 + 160 * i, secret + 16 * i, 16);
    assert_int_equal(out.size, sizeof(nal));
    assert_memory_equal(out.data, nal, sizeof(nal));
    /* one byte less behind the pattern, and the last block is clear */
    for (size_t i = 0; i < 4; i++) memcpy(nal + 32 + 160 * i, plain + 16 * i, 16);
    vpi_buf_clear(&out);
    assert_int_equal(protect(VPI_CODEC_H264, nal, sizeof(nal) - 1, &out), VP_OK);
    for (size_t i = 0; i < 3; i++) memcpy(nal + 32 + 160 * i, secret + 16 * i, 16);
    assert_int_equal(out.size, sizeof(nal) - 1);
    assert_memory_equal(out.data, nal, sizeof(nal) - 1);

    memset(frame, 0xEE, sizeof(frame));
    memcpy(frame + 16, plain, 64);
    vpi_buf_clear(&out);
    assert_int_equal(protect(VPI_CODEC_AC3, frame, sizeof(frame), &out), VP_OK);
    memcpy(frame + 16, secret, 64);
    assert_int_equal(out.size, sizeof(frame));
    assert_memory_equal(out.data, frame, sizeof(frame));
    vpi_buf_dispose(&out);
}

static void test_aac(void **state)
{
    (void)state;
    for (unsigned crc = 0; crc < 2; crc++) {
        size_t header = crc ? 9 : 7;

        for (size_t size = header; size < 300; size++) {
            uint8_t frame[300];
            size_t places[32], count = audio_places(0, size, header + 16, places);
            vpi_buf out = { 0 };

            for (size_t i = 0; i < size; i++) frame[i] = (uint8_t)next_random();
            frame[0] = 0xFF;
            frame[1] = crc ? 0xF0 : 0xF1;
            assert_int_equal(protect(VPI_CODEC_AAC, frame, size, &out), VP_OK);
            assert_int_equal(out.size, size);
            assert_memory_equal(out.data, frame, VPI_MIN(size, header + 16));
            assert_int_equal(memcmp(out.data, frame, size) == 0, size < header + 32);
            decipher(out.data, places, count);
            assert_memory_equal(out.data, frame, size);
            vpi_buf_dispose(&out);
        }
    }
}

/* Sync frames of E-AC-3 with frmsiz and little else (ETSI TS 102 366 E.1.2.1, E.1.2.2). */
static void make_eac3(uint8_t *to, size_t size, unsigned type)
{
    for (size_t i = 0; i < size; i++) to[i] = (uint8_t)next_random();
    to[0] = 0x0b;
    to[1] = 0x77;
    to[2] = (uint8_t)(type << 6 | (size / 2 - 1) >> 8);
    to[3] = (uint8_t)(size / 2 - 1);
    to[4] = 0x34; /* 48 kHz, six blocks, stereo */
    to[5] = 16 << 3;
}

static void test_eac3(void **state)
{
    (void)state;
    for (size_t first = 16; first < 200; first += 2) {
        uint8_t frame[600];
        size_t sizes[3] = { first, 48, 350 - first }, at = 0, count = 0, places[64];
        vpi_buf out = { 0 };

        for (size_t i = 0; i < 3; at += sizes[i++]) {
            make_eac3(frame + at, sizes[i], i ? 1 : 0);
            count += audio_places(at, sizes[i], 16, places + count);
        }
        assert_int_equal(protect(VPI_CODEC_EAC3, frame, at, &out), VP_OK);
        assert_int_equal(out.size, at);
        decipher(out.data, places, count); /* one chain */
        assert_memory_equal(out.data, frame, at);
        vpi_buf_clear(&out);
        assert_int_equal(protect(VPI_CODEC_EAC3, frame, at - 1, &out), VP_E_DATA);
        vpi_buf_dispose(&out);
    }
}

static void test_refused(void **state)
{
    static const uint8_t bytes[40] = { 0xFF, 0xE1 };
    vpi_buf out = { 0 };

    (void)state;
    assert_int_equal(protect(VPI_CODEC_AAC, bytes, sizeof(bytes), &out), VP_E_DATA);
    assert_int_equal(protect(VPI_CODEC_AAC, (const uint8_t *)"\xFF\xF1\0\0\0\0", 6, &out), VP_E_DATA);
    assert_int_equal(protect(VPI_CODEC_EAC3, bytes, sizeof(bytes), &out), VP_E_DATA);
    assert_int_equal(protect(VPI_CODEC_HEVC, bytes, sizeof(bytes), &out), VP_E_UNSUPPORTED);
    assert_int_equal(protect(VPI_CODEC_OPUS, bytes, sizeof(bytes), &out), VP_E_UNSUPPORTED);
    vpi_buf_dispose(&out);
}

static void test_no_memory(void **state)
{
    static const vpi_codec codecs[] = { VPI_CODEC_H264, VPI_CODEC_H264, VPI_CODEC_AC3 };
    uint8_t data[100] = { 0x65 };

    (void)state;
    memset(data + 1, 0xA5, sizeof(data) - 1);
    for (size_t i = 0; i < VPI_COUNT(codecs); i++) {
        vpi_buf out = { 0 };

        vpi_alloc_fail_at = 1;
        assert_int_equal(vpi_sample_aes_unit(cbc, iv, codecs[i], data, i ? 40 : 100, &out, NULL), VP_E_NOMEM);
        assert_int_equal(vpi_alloc_fail_at, 0);
        vpi_buf_dispose(&out);
    }
}

static int setup(void **state)
{
    (void)state;
    return vpi_cipher_new(false, key, &cbc, NULL) == VP_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    vpi_cipher_free(cbc);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nal),       cmocka_unit_test(test_trailing_zeros),
        cmocka_unit_test(test_vectors),   cmocka_unit_test(test_aac),
        cmocka_unit_test(test_eac3),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
