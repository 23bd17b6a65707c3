/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Samples and whole objects under their ciphers, beside vectors of NIST SP 800-38A and a decryptor of our own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "crypt/crypt_int.h"
#include "io/object.h"

static const uint8_t key[16] = { 0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6,
                                 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c };
/* SP 800-38A F.2.1: CBC-AES128 */
static const uint8_t cbc_iv[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
static const char plain_hex[] = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
                                "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";
static const char cbc_hex[] = "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"
                              "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7";

static void put_hex(const char *text, uint8_t *to, size_t size)
{
    assert_true(vpi_hex_parse(text, to, size));
}

/* AES-128 in ECB, the block that everything below is made of; straight from OpenSSL, not through our code. */
static void block(const uint8_t in[16], uint8_t out[16])
{
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n = 0;

    assert_int_equal(EVP_EncryptInit_ex(c, EVP_aes_128_ecb(), NULL, key, NULL), 1);
    EVP_CIPHER_CTX_set_padding(c, 0);
    assert_int_equal(EVP_EncryptUpdate(c, out, &n, in, 16), 1);
    EVP_CIPHER_CTX_free(c);
}

/* CBC from its definition: blocks at 0, step, 2 * step ...; step 16: all. */
static void cbc(const uint8_t iv[16], uint8_t *data, size_t size, size_t step)
{
    uint8_t last[16];

    memcpy(last, iv, 16);
    for (size_t at = 0; at + 16 <= size; at += step) {
        for (int i = 0; i < 16; i++) last[i] ^= data[at + (size_t)i];
        block(last, last);
        memcpy(data + at, last, 16);
    }
}

/* Counter mode with an IV of 8 bytes. */
static void ctr(const uint8_t iv[8], uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size; at++) {
        uint8_t counter[16] = { 0 }, stream[16];

        memcpy(counter, iv, 8);
        for (int i = 0; i < 8; i++) counter[15 - i] = (uint8_t)((uint64_t)(at / 16) >> (8 * i));
        block(counter, stream);
        data[at] ^= stream[at % 16];
    }
}

static void fill(uint8_t *data, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1103515245u + 12345;
        data[i] = (uint8_t)(seed >> 16);
    }
}

/* ---- whole objects ---- */

static void test_object(void **state)
{
    static const size_t sizes[] = { 0, 1, 15, 16, 17, 31, 32, 64, 100000 };
    static uint8_t in[100000], out[100064], want[100016];
    (void)state;
    fill(in, sizeof(in), 7);
    put_hex(plain_hex, in, 64);
    for (size_t i = 0; i < VPI_COUNT(sizes); i++) {
        vpi_object_cipher c;
        size_t size = sizes[i], n = 0, written = 0, padded = size / 16 * 16 + 16;

        assert_int_equal(vpi_segment_cipher(key, cbc_iv, &c, NULL), VP_OK);
        for (size_t at = 0, step = 1; at < size; at += step, step = VPI_MIN(step * 3, size - at)) {
            assert_int_equal(c.update(c.user, in + at, step, out + n, &written, NULL), VP_OK);
            n += written;
        }
        assert_int_equal(c.final(c.user, out + n, &written, NULL), VP_OK);
        c.release(c.user);
        assert_int_equal(n + written, padded); /* PKCS#7 always pads (E03) */
        memcpy(want, in, size);
        memset(want + size, (int)(padded - size), padded - size);
        cbc(cbc_iv, want, padded, 16);
        assert_memory_equal(out, want, padded);
        if (size >= 64) {
            put_hex(cbc_hex, want, 64);
            assert_memory_equal(out, want, 64);
        }
    }
}

/* ---- sound ---- */

static void audio(vpi_scheme scheme, size_t size)
{
    static const uint8_t config[2] = { 0x11, 0x90 };
    uint8_t *in = malloc(size + 1), *out = malloc(size + 1), *want = malloc(size + 1);
    vpi_sampler s;
    vpi_cipher *c = NULL;
    vpi_protect_out told;

    fill(in, size, (unsigned)size);
    memcpy(want, in, size);
    assert_int_equal(vpi_sampler_open(&s, scheme, VPI_KIND_AUDIO, VPI_CODEC_AAC, config, 2, NULL), VP_OK);
    assert_int_equal(vpi_cipher_new(scheme == VPI_SCHEME_CENC, key, &c, NULL), VP_OK);
    for (int again = 0; again < 2; again++) { /* the second time in place: no state is left from the first */
        memcpy(out, in, size);
        assert_int_equal(vpi_sampler_sample(&s, c, cbc_iv, again ? out : in, size, out, &told, NULL), VP_OK);
        if (!again) scheme == VPI_SCHEME_CENC ? ctr(cbc_iv, want, size) : cbc(cbc_iv, want, size, 16);
        assert_memory_equal(out, want, size);
        assert_int_equal(told.subsample_count, 0);
        assert_int_equal(told.iv_size, scheme == VPI_SCHEME_CENC ? 8 : 0);
        if (scheme == VPI_SCHEME_CENC) assert_memory_equal(told.iv, cbc_iv, 8);
    }
    vpi_cipher_free(c);
    vpi_sampler_close(&s);
    free(in);
    free(out);
    free(want);
}

static void test_audio(void **state)
{
    static const size_t sizes[] = { 0, 1, 15, 16, 17, 160, 371, 4096 };
    (void)state;
    for (size_t i = 0; i < VPI_COUNT(sizes); i++) {
        audio(VPI_SCHEME_CENC, sizes[i]);
        audio(VPI_SCHEME_CBCS, sizes[i]);
    }
}

/* ---- pictures: IDR slices of H.264 High 640x360, CABAC, as x264 writes them ---- */

static const uint8_t avcc[] = { 0x01, 0x64, 0x00, 0x1e, 0xff, 0xe1, 0x00, 0x1e, 0x67, 0x64, 0x00, 0x1e, 0xac,
                                0xd9, 0x40, 0xa0, 0x2f, 0xf9, 0x70, 0x16, 0xa0, 0xc0, 0xc0, 0xc8, 0x00, 0x00,
                                0x03, 0x00, 0x08, 0x00, 0x00, 0x03, 0x01, 0x94, 0x78, 0xb1, 0x6c, 0xb0, 0x01,
                                0x00, 0x04, 0x68, 0xef, 0xbc, 0xb0, 0xfd, 0xf8, 0xf8, 0x00 };

/* A NAL unit with its length before it; type 5 begins with a slice header, then what fill() gives. */
static size_t add_nal(uint8_t *to, uint8_t type, size_t size, unsigned seed)
{
    static const uint8_t slice[] = { 0x88, 0x84, 0x00, 0x2b, 0xff };

    to[0] = (uint8_t)(size >> 24), to[1] = (uint8_t)(size >> 16), to[2] = (uint8_t)(size >> 8),
    to[3] = (uint8_t)size;
    fill(to + 4, size, seed);
    for (size_t i = 0; i < size; i++) to[4 + i] |= 1; /* nothing to escape */
    to[4] = type;
    if ((type & 31) == 5) memcpy(to + 5, slice, sizeof(slice));
    return 4 + size;
}

static void video(vpi_scheme scheme, const size_t *sizes, size_t count)
{
    size_t total = 0, at = 0, covered = 0;
    uint8_t *in = malloc(400000), *out = malloc(400000), *want = malloc(400000);
    vpi_sampler s;
    vpi_cipher *c = NULL;
    vpi_protect_out told;
    vp_error err = VP_ERROR_INIT;

    for (size_t i = 0; i < count; i++)
        total += add_nal(in + total, sizes[i] & 1 ? 6 : 0x65, sizes[i], (unsigned)i);
    memcpy(want, in, total);
    if (vpi_sampler_open(&s, scheme, VPI_KIND_VIDEO, VPI_CODEC_H264, avcc, sizeof(avcc), &err) != VP_OK)
        fail_msg("%s", err.message);
    assert_int_equal(vpi_cipher_new(scheme == VPI_SCHEME_CENC, key, &c, NULL), VP_OK);
    if (vpi_sampler_sample(&s, c, cbc_iv, in, total, out, &told, &err) != VP_OK) fail_msg("%s", err.message);
    /* Undone by what is told of it alone: in counter mode encryption is its own inverse, one stream for all parts. */
    uint8_t *gathered = malloc(400000);
    size_t n = 0;
    for (uint32_t i = 0; i < told.subsample_count; i++) {
        const vpi_subsample *p = &told.subsamples[i];

        assert_memory_equal(out + at, in + at, p->clear);
        at += p->clear;
        if (scheme == VPI_SCHEME_CENC) {
            assert_int_equal(p->protected_bytes % 16, 0); /* E10 */
            memcpy(gathered + n, in + at, p->protected_bytes);
        } else {
            cbc(cbc_iv, want + at, p->protected_bytes, 160);
            assert_memory_equal(out + at, want + at, p->protected_bytes);
        }
        n += p->protected_bytes;
        at += p->protected_bytes;
    }
    assert_int_equal(at, total);
    if (scheme == VPI_SCHEME_CENC) ctr(cbc_iv, gathered, n);
    at = 0;
    for (uint32_t i = 0; scheme == VPI_SCHEME_CENC && i < told.subsample_count; i++) {
        at += told.subsamples[i].clear;
        assert_memory_equal(out + at, gathered + covered, told.subsamples[i].protected_bytes);
        at += told.subsamples[i].protected_bytes;
        covered += told.subsamples[i].protected_bytes;
    }
    /* Of every slice all but its header and less than a block is covered; of SEI nothing. */
    size_t slices = 0;
    for (size_t i = 0; i < count; i++)
        if (!(sizes[i] & 1) && sizes[i] >= 40) slices += sizes[i] - 24;
    assert_true(n >= slices);
    free(gathered);
    vpi_cipher_free(c);
    vpi_sampler_close(&s);
    free(in);
    free(out);
    free(want);
}

static void test_video(void **state)
{
    static const size_t one[] = { 1000 }, small[] = { 8, 21, 24, 30 },
                        many[] = { 33, 500, 70001, 16000, 40, 65, 200 }, clear[] = { 131073 };
    (void)state;
    for (vpi_scheme s = VPI_SCHEME_CENC; s <= VPI_SCHEME_CBCS; s++) {
        video(s, one, VPI_COUNT(one));
        video(s, small, VPI_COUNT(small));
        video(s, many, VPI_COUNT(many)); /* a clear run over 65535 bytes is split (E10) */
        video(s, clear, VPI_COUNT(clear));
    }
}

static void test_refused(void **state)
{
    vpi_sampler s;
    vp_error err = VP_ERROR_INIT;
    (void)state;
    assert_int_equal(vpi_sampler_open(&s, VPI_SCHEME_CENC, VPI_KIND_VIDEO, VPI_CODEC_VP9, "", 0, &err),
                     VP_E_UNSUPPORTED);
    assert_string_equal(err.reason, "CODEC_UNSUPPORTED");
    vpi_sampler_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_object),
        cmocka_unit_test(test_audio),
        cmocka_unit_test(test_video),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
