/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bodies in signed chunks: the examples of S3's documentation, their length, what is refused. */

#include "base/fault.h"
#include "unit/s3/signing.h"

#define URL "https://s3.amazonaws.com/examplebucket/chunkObject.txt"
#define HEADERS                                                                                              \
    "Content-Encoding: aws-chunked\nx-amz-decoded-content-length: 66560\n"                                   \
    "x-amz-storage-class: REDUCED_REDUNDANCY\n"
#define CRC "x-amz-checksum-crc32c: sOO8/Q==\n"

static char as[66560];

static vp_s3_request chunked(const char *word, const char *headers)
{
    vp_s3_request r = request_of("PUT", URL);

    r.payload_sha256 = word;
    r.headers = headers;
    return r;
}

static vp_s3_chunks *begun(const vp_s3_request *r, const char *signature)
{
    vp_s3_credentials c = example();
    vp_s3_chunks *chunks = NULL;
    vp_bytes *lines = NULL;
    vp_error err = VP_ERROR_INIT;

    if (vp_s3_chunks_begin(r, &c, &lines, &chunks, &err) != VP_OK) fail_msg("%s", err.message);
    assert_non_null(strstr((const char *)vp_bytes_data(lines), r->payload_sha256));
    if (signature && !strstr((const char *)vp_bytes_data(lines), signature))
        fail_msg("%s", (const char *)vp_bytes_data(lines));
    vp_bytes_unref(lines);
    return chunks;
}

/* Compares and counts. */
static uint64_t told(vp_status st, vp_bytes *text, const char *want)
{
    uint64_t n = vp_bytes_size(text);

    assert_int_equal(st, VP_OK);
    assert_string_equal((const char *)vp_bytes_data(text), want);
    assert_int_equal(n, strlen(want));
    vp_bytes_unref(text);
    return n;
}

static uint64_t size_of(const char *word, uint64_t size, uint64_t chunk, const char *trailer)
{
    uint64_t n = 0;

    assert_int_equal(vp_s3_chunks_size(word, size, chunk, trailer, &n, NULL), VP_OK);
    return n;
}

/* "Transferring Payload in Multiple Chunks (Chunked Upload)", its example: 66,824 bytes in all. */
static void test_documented(void **state)
{
    vp_s3_request r = chunked(VP_S3_CHUNKS_SIGNED, HEADERS "Content-Length: 66824\n");
    vp_s3_chunks *c = begun(&r, "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
    vp_bytes *text = NULL;
    uint64_t n = sizeof(as);
    vp_status st;

    (void)state;
    st = vp_s3_chunks_next(c, as, 65536, &text, NULL);
    n += told(st, text,
              "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n");
    st = vp_s3_chunks_next(c, as + 65536, 1024, &text, NULL);
    n += told(st, text,
              "\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n");
    st = vp_s3_chunks_end(c, NULL, &text, NULL);
    n += told(
        st, text,
        "\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n");
    assert_int_equal(n, 66824);
    assert_int_equal(size_of(VP_S3_CHUNKS_SIGNED, 66560, 65536, NULL), 66824);
    assert_int_equal(vp_s3_chunks_end(c, NULL, &text, NULL), VP_E_STATE);
    assert_int_equal(vp_s3_chunks_next(c, as, 1, &text, NULL), VP_E_STATE);
    assert_null(vp_s3_chunks_unref(c));
}

/* "... with Trailing Headers", its example. */
static void test_documented_trailer(void **state)
{
    vp_s3_request r = chunked(VP_S3_CHUNKS_SIGNED_TRAILER, HEADERS "x-amz-trailer: x-amz-checksum-crc32c\n");
    vp_s3_chunks *c = begun(&r, "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e");
    vp_bytes *text = NULL;
    uint64_t n = sizeof(as);
    vp_status st;

    (void)state;
    st = vp_s3_chunks_next(c, as, 65536, &text, NULL);
    n += told(st, text,
              "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n");
    st = vp_s3_chunks_next(c, as + 65536, 1024, &text, NULL);
    n += told(st, text,
              "\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n");
    assert_ptr_equal(vp_s3_chunks_ref(c), c);
    vp_s3_chunks_unref(c);
    st = vp_s3_chunks_end(c, CRC, &text, NULL);
    n += told(
        st, text,
        "\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
        "x-amz-checksum-crc32c:sOO8/Q==\r\n"
        "x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n");
    assert_int_equal(size_of(VP_S3_CHUNKS_SIGNED_TRAILER, 66560, 65536, CRC), n);
    vp_s3_chunks_unref(c);
}

static void test_unsigned(void **state)
{
    vp_s3_request r =
        chunked(VP_S3_CHUNKS_TRAILER, HEADERS "x-amz-trailer: X-Amz-Checksum-CRC32C , x-amz-a\n");
    vp_s3_chunks *c = begun(&r, NULL);
    vp_bytes *text = NULL;
    uint64_t n = sizeof(as);
    vp_status st;

    (void)state;
    for (int i = 0; i < 8; i++) {
        st = vp_s3_chunks_next(c, as, i < 7 ? 8192 : 9216, &text, NULL);
        n += told(st, text, i == 0 ? "2000\r\n" : i < 7 ? "\r\n2000\r\n" : "\r\n2400\r\n");
    }
    st = vp_s3_chunks_end(c, CRC "X-Amz-A:  b  c \n", &text, NULL);
    told(st, text, "\r\n0\r\nx-amz-a:b c\r\nx-amz-checksum-crc32c:sOO8/Q==\r\n\r\n");
    vp_s3_chunks_unref(c);
    r.headers = "x-amz-decoded-content-length: 0\nContent-Encoding: aws-chunked,gzip\nx-amz-trailer: "
                "x-amz-checksum-crc32c";
    c = begun(&r, NULL);
    st = vp_s3_chunks_end(c, CRC, &text, NULL);
    n = told(st, text, "0\r\nx-amz-checksum-crc32c:sOO8/Q==\r\n\r\n");
    assert_int_equal(size_of(VP_S3_CHUNKS_TRAILER, 0, 8192, CRC), n);
    assert_int_equal(size_of(VP_S3_CHUNKS_TRAILER, 8192, 8192, CRC), n + 8192 + 4 + 2 + 2);
    vp_s3_chunks_unref(c);
}

/* The sizes of everything that is sent, for sizes around each edge. */
static void test_size(void **state)
{
    static const uint64_t sizes[] = { 0, 1, 15, 16, 8191, 8192, 8193, 16384, 65535, 65536, 66559 };
    char headers[300];

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(sizes) * 3; i++) {
        const char *word = i % 3 == 0   ? VP_S3_CHUNKS_SIGNED
                           : i % 3 == 1 ? VP_S3_CHUNKS_SIGNED_TRAILER
                                        : VP_S3_CHUNKS_TRAILER;
        uint64_t size = sizes[i / 3], n = size, step = i % 2 ? 8192 : 10000;
        vp_s3_request r;
        vp_s3_chunks *c;
        vp_bytes *text = NULL;

        snprintf(headers, sizeof(headers),
                 "Content-Encoding: aws-chunked\nx-amz-decoded-content-length: %llu\n%s",
                 (unsigned long long)size, i % 3 ? "x-amz-trailer: x-amz-checksum-crc32c\n" : "");
        r = chunked(word, headers);
        c = begun(&r, NULL);
        for (uint64_t at = 0; at < size; at += step) {
            assert_int_equal(vp_s3_chunks_next(c, as + at, VPI_MIN(step, size - at), &text, NULL), VP_OK);
            n += vp_bytes_size(text);
            vp_bytes_unref(text);
        }
        assert_int_equal(vp_s3_chunks_end(c, i % 3 ? CRC : NULL, &text, NULL), VP_OK);
        n += vp_bytes_size(text);
        vp_bytes_unref(text);
        assert_int_equal(size_of(word, size, step, i % 3 ? CRC : NULL), n);
        vp_s3_chunks_unref(c);
    }
}

static void refused(const char *word, const char *headers, const char *why)
{
    vp_s3_request r = chunked(word, headers);
    vp_s3_credentials c = example();
    vp_s3_chunks *chunks = (vp_s3_chunks *)&r;
    vp_bytes *lines = (vp_bytes *)&r;
    vp_error err = VP_ERROR_INIT;

    assert_int_equal(vp_s3_chunks_begin(&r, &c, &lines, &chunks, &err), VP_E_ARG);
    assert_true(!chunks && !lines);
    if (!strstr(err.message, why)) fail_msg("%s: wanted %s", err.message, why);
}

static void test_refused(void **state)
{
    static const char *const trailers[] = { NULL, "", "x-amz-checksum-crc32: AAAAAA==\n", CRC "x-amz-b: 1\n",
                                            CRC CRC };
    vp_s3_request r = chunked(VP_S3_CHUNKS_SIGNED_TRAILER, HEADERS "x-amz-trailer: x-amz-checksum-crc32c\n");
    vp_s3_chunks *c;
    vp_bytes *text = NULL;
    uint64_t n;

    (void)state;
    refused(NULL, HEADERS, "payload_sha256");
    refused(EMPTY, HEADERS, "payload_sha256");
    refused("UNSIGNED-PAYLOAD", HEADERS, "payload_sha256");
    refused(VP_S3_CHUNKS_SIGNED, NULL, "x-amz-decoded-content-length");
    refused(VP_S3_CHUNKS_SIGNED, "Content-Encoding: aws-chunked", "x-amz-decoded-content-length");
    refused(VP_S3_CHUNKS_SIGNED, "x-amz-decoded-content-length: -1\nContent-Encoding: aws-chunked",
            "no number");
    refused(VP_S3_CHUNKS_SIGNED,
            "x-amz-decoded-content-length: 99999999999999999999\nContent-Encoding: aws-chunked", "no number");
    refused(VP_S3_CHUNKS_SIGNED_TRAILER, HEADERS, "do not fit");
    refused(VP_S3_CHUNKS_TRAILER, HEADERS "x-amz-trailer: a b", "no names");
    refused(VP_S3_CHUNKS_SIGNED, HEADERS "x-amz-trailer: x-amz-checksum-crc32c", "do not fit");
    assert_int_equal(vp_s3_chunks_size("x", 1, 8192, NULL, &n, NULL), VP_E_ARG);
    assert_int_equal(vp_s3_chunks_size(VP_S3_CHUNKS_SIGNED, 1, 8191, NULL, &n, NULL), VP_E_ARG);
    assert_int_equal(vp_s3_chunks_size(VP_S3_CHUNKS_SIGNED, UINT64_MAX, 8192, NULL, &n, NULL), VP_E_ARG);
    assert_int_equal(vp_s3_chunks_size(VP_S3_CHUNKS_SIGNED, 1, 8192, CRC, &n, NULL), VP_E_ARG);
    assert_int_equal(vp_s3_chunks_size(VP_S3_CHUNKS_TRAILER, 1, 8192, NULL, &n, NULL), VP_E_ARG);

    c = begun(&r, NULL);
    assert_int_equal(vp_s3_chunks_next(c, as, 0, &text, NULL), VP_E_ARG);
    assert_int_equal(vp_s3_chunks_next(c, as, 66561, &text, NULL), VP_E_STATE);
    assert_int_equal(vp_s3_chunks_next(c, as, 60000, &text, NULL), VP_OK);
    vp_bytes_unref(text);
    assert_int_equal(vp_s3_chunks_end(c, CRC, &text, NULL), VP_E_STATE); /* bytes are missing */
    assert_int_equal(vp_s3_chunks_next(c, as, 6561, &text, NULL), VP_E_STATE);
    assert_int_equal(vp_s3_chunks_next(c, as, 6559, &text, NULL), VP_OK);
    vp_bytes_unref(text);
    assert_int_equal(vp_s3_chunks_next(c, as, 1, &text, NULL), VP_E_STATE); /* after a small one */
    assert_null(text);
    vp_s3_chunks_unref(c);
    for (size_t i = 0; i < VPI_COUNT(trailers); i++) {
        c = begun(&r, NULL);
        assert_int_equal(vp_s3_chunks_next(c, as, 66560, &text, NULL), VP_OK);
        vp_bytes_unref(text);
        assert_int_equal(vp_s3_chunks_end(c, trailers[i], &text, NULL), VP_E_ARG);
        assert_null(text);
        assert_int_equal(vp_s3_chunks_end(c, CRC, &text, NULL), VP_OK); /* it was not the end */
        vp_bytes_unref(text);
        vp_s3_chunks_unref(c);
    }
}

/* Every n-th allocation fails: NOMEM, nothing lost, and no chunk after one that failed. */
static void test_memory(void **state)
{
    vp_s3_request r = chunked(VP_S3_CHUNKS_SIGNED_TRAILER, HEADERS "x-amz-trailer: x-amz-checksum-crc32c\n");
    vp_s3_credentials e = example();
    bool done = false;

    (void)state;
    for (long n = 1; !done; n++) {
        vp_s3_chunks *c = NULL;
        vp_bytes *text = NULL;
        vp_status st;

        atomic_store(&vpi_alloc_fail_at, n);
        st = vp_s3_chunks_begin(&r, &e, &text, &c, NULL);
        for (int i = 0; st == VP_OK && i < 3; i++) {
            vp_bytes_unref(text);
            st = i < 2 ? vp_s3_chunks_next(c, as, 33280, &text, NULL) : vp_s3_chunks_end(c, CRC, &text, NULL);
        }
        done = atomic_exchange(&vpi_alloc_fail_at, 0) > 0;
        if (done || st == VP_OK)
            assert_int_equal(st, VP_OK); /* what only makes a result smaller may fail */
        else
            assert_int_equal(st, VP_E_NOMEM);
        assert_true((st == VP_OK) == (text != NULL));
        vp_bytes_unref(text);
        vp_s3_chunks_unref(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documented), cmocka_unit_test(test_documented_trailer),
        cmocka_unit_test(test_unsigned),   cmocka_unit_test(test_size),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_memory),
    };

    memset(as, 'a', sizeof(as));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
