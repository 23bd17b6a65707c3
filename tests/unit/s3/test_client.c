/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a client works out by itself: addresses, sizes of parts, sums, what XML says, tokens. No I/O. */

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/sha256_int.h"
#include "s3/upload.h"

#define MIB (UINT64_C(1) << 20)
#define TIB (UINT64_C(1) << 40)

typedef struct room {
    vp_context *context;
    vp_s3 *s3;
    vp_error err;
} room;

static void make(room *r, const char *endpoint, const char *region, uint32_t flags)
{
    vp_s3_credentials credentials = VP_S3_CREDENTIALS_INIT;
    vp_s3_options o = VP_S3_OPTIONS_INIT;

    credentials.access_key = "AKIDEXAMPLE";
    credentials.secret_key = "secret";
    o.credentials = &credentials;
    o.endpoint = endpoint;
    o.region = region;
    o.flags = flags;
    vp_error_init(&r->err);
    assert_int_equal(vp_s3_new(r->context, &o, &r->s3, &r->err), VP_OK);
}

static void end(room *r)
{
    r->s3 = vp_s3_unref(r->s3);
}

static int set_up(void **state)
{
    static room r;

    memset(&r, 0, sizeof(r));
    *state = &r;
    return vp_context_new(NULL, &r.context, NULL);
}

static int tear_down(void **state)
{
    room *r = *state;

    r->context = vp_context_unref(r->context);
    return 0;
}

/* ---- addresses (S11, S12) ---- */

static void check_address(room *r, const char *endpoint, uint32_t flags, const char *bucket, const char *key,
                          const char *wanted)
{
    vpi_buf url = { 0 };
    char region[64];

    make(r, endpoint, endpoint ? NULL : "eu-west-3", flags);
    assert_int_equal(vpi_s3_address_synced(r->s3, bucket, key, NULL, &url, region, &r->err), VP_OK);
    assert_string_equal((const char *)url.data, wanted);
    vpi_buf_dispose(&url);
    end(r);
}

static void addresses(void **state)
{
    room *r = *state;

    check_address(r, NULL, 0, "bucket", "a/b", "https://bucket.s3.eu-west-3.amazonaws.com/a/b");
    check_address(r, NULL, 0, "dotted.bucket", "k", "https://s3.eu-west-3.amazonaws.com/dotted.bucket/k");
    check_address(r, NULL, 0, "Old_Bucket", "k", "https://s3.eu-west-3.amazonaws.com/Old_Bucket/k");
    check_address(r, NULL, VP_S3_PATH_STYLE, "bucket", NULL, "https://s3.eu-west-3.amazonaws.com/bucket");
    check_address(r, NULL, 0, "bucket", NULL, "https://bucket.s3.eu-west-3.amazonaws.com/");
    check_address(r, "http://127.0.0.1:9000", 0, "bucket", "k", "http://127.0.0.1:9000/bucket/k");
    check_address(r, "http://[::1]:9000/", 0, "bucket", "k", "http://[::1]:9000/bucket/k");
    check_address(r, "https://10.0.0.1", 0, "bucket", "k", "https://10.0.0.1/bucket/k");
    check_address(r, "https://s3.example.org:443", 0, "bucket", "k", "https://bucket.s3.example.org/k");
    check_address(r, "https://s3.example.org:8443", 0, "bucket", "k", "https://s3.example.org:8443/bucket/k");
    check_address(r, "https://s3.example.org:8443", VP_S3_VIRTUAL_HOST, "bucket", "k",
                  "https://bucket.s3.example.org:8443/k");
    check_address(r, "https://acc.r2.cloudflarestorage.com", 0, "bucket", "a+b c~@(\xC3\xA9)/../%",
                  "https://bucket.acc.r2.cloudflarestorage.com/a%2Bb%20c~%40%28%C3%A9%29/../%25");
}

static void endpoints_refused(void **state)
{
    static const char *const bad[] = { "s3.example.org",      "ftp://a",          "https://",
                                       "https:///",           "http://a b",       "https://user@host",
                                       "https://host/path",   "https://host:0x1", "https://host:",
                                       "https://host:123456", "https://ho\"st" };
    room *r = *state;
    vp_s3_credentials credentials = VP_S3_CREDENTIALS_INIT;

    credentials.access_key = "AKIDEXAMPLE";
    credentials.secret_key = "secret";
    for (size_t i = 0; i < VPI_COUNT(bad); i++) {
        vp_s3_options o = VP_S3_OPTIONS_INIT;

        o.credentials = &credentials;
        o.endpoint = bad[i];
        if (vp_s3_new(r->context, &o, &r->s3, &r->err) != VP_E_ARG) fail_msg("taken: %s", bad[i]);
        assert_null(r->s3);
    }
    {
        vp_s3_options o = VP_S3_OPTIONS_INIT;

        assert_int_equal(vp_s3_new(r->context, &o, &r->s3, &r->err), VP_E_AUTH);
        assert_string_equal(r->err.reason, "CREDENTIALS_MISSING");
        o.credentials = &credentials;
        o.region = "no region/at all";
        assert_int_equal(vp_s3_new(r->context, &o, &r->s3, &r->err), VP_E_ARG);
        o.region = NULL;
        o.connections = 65;
        assert_int_equal(vp_s3_new(r->context, &o, &r->s3, &r->err), VP_E_ARG);
        o.connections = 0;
        o.part_size = 5 * MIB - 1;
        assert_int_equal(vp_s3_new(r->context, &o, &r->s3, &r->err), VP_E_ARG);
    }
}

static void regions(void **state)
{
    room *r = *state;

    make(r, NULL, NULL, 0);
    assert_string_equal(vpi_s3_region_synced(r->s3, "b"), "us-east-1");
    assert_true(vpi_s3_learn_region_synced(r->s3, "b", "eu-west-3"));
    assert_false(vpi_s3_learn_region_synced(r->s3, "b", "eu-west-3"));
    assert_false(vpi_s3_learn_region_synced(r->s3, "b", "evil.example.org/"));
    assert_string_equal(vpi_s3_region_synced(r->s3, "b"), "eu-west-3");
    assert_string_equal(vpi_s3_region_synced(r->s3, "c"), "us-east-1");
    end(r);
    make(r, "https://x.r2.cloudflarestorage.com", NULL, 0);
    assert_string_equal(vpi_s3_region_synced(r->s3, "b"), "auto");
    end(r);
}

/* An endpoint of AWS follows a bucket that is elsewhere, and never leaves AWS (S09). */
static void regional_endpoints(void **state)
{
    static const struct {
        const char *endpoint, *region, *first; /* of the host's endpoint; what is signed with at first */
        const char *told, *url;                /* by the server, and where requests go then */
    } table[] = {
        { "https://s3.us-east-1.amazonaws.com", NULL, "us-east-1", "eu-west-3",
          "https://bucket.s3.eu-west-3.amazonaws.com/k" },
        { "https://s3.eu-west-1.amazonaws.com", NULL, "eu-west-1", "us-east-1",
          "https://bucket.s3.us-east-1.amazonaws.com/k" },
        { "https://s3.eu-west-1.amazonaws.com", "us-west-2", "us-west-2", "us-west-2",
          "https://bucket.s3.us-west-2.amazonaws.com/k" },
        { "https://s3.amazonaws.com", NULL, "us-east-1", "eu-west-3",
          "https://bucket.s3.eu-west-3.amazonaws.com/k" },
        { "https://s3-us-west-2.amazonaws.com", NULL, "us-west-2", "eu-west-3",
          "https://bucket.s3-eu-west-3.amazonaws.com/k" },
        { "https://S3.dualstack.us-east-1.amazonaws.com", NULL, "us-east-1", "ap-southeast-2",
          "https://bucket.S3.dualstack.ap-southeast-2.amazonaws.com/k" },
        { "https://s3-fips.us-gov-west-1.amazonaws.com", NULL, "us-gov-west-1", "us-gov-east-1",
          "https://bucket.s3-fips.us-gov-east-1.amazonaws.com/k" },
        { "https://s3-fips.dualstack.us-east-1.amazonaws.com", NULL, "us-east-1", "us-east-2",
          "https://bucket.s3-fips.dualstack.us-east-2.amazonaws.com/k" },
        { "https://s3.cn-north-1.amazonaws.com.cn", NULL, "cn-north-1", "cn-northwest-1",
          "https://bucket.s3.cn-northwest-1.amazonaws.com.cn/k" },
        /* to another part of AWS nobody's credentials go */
        { "https://s3.cn-north-1.amazonaws.com.cn", NULL, "cn-north-1", "us-east-1",
          "https://bucket.s3.cn-north-1.amazonaws.com.cn/k" },
        { "https://s3.us-east-1.amazonaws.com", NULL, "us-east-1", "cn-north-1",
          "https://bucket.s3.us-east-1.amazonaws.com/k" },
        /* what names no region stays, only the scope changes */
        { "https://s3-accelerate.amazonaws.com", NULL, "us-east-1", "eu-west-3",
          "https://bucket.s3-accelerate.amazonaws.com/k" },
        { "https://s3-accelerate.dualstack.amazonaws.com", NULL, "us-east-1", "eu-west-3",
          "https://bucket.s3-accelerate.dualstack.amazonaws.com/k" },
        { "https://vpce-1a2b.s3.us-east-1.vpce.amazonaws.com", NULL, "us-east-1", "eu-west-3",
          "https://bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com/k" },
        { "https://s3.us-east-1.amazonaws.com:8443", NULL, "us-east-1", "eu-west-3",
          "https://s3.us-east-1.amazonaws.com:8443/bucket/k" },
        { "https://s3.us-east-1.amazonaws.com.example.org", NULL, "us-east-1", "eu-west-3",
          "https://bucket.s3.us-east-1.amazonaws.com.example.org/k" },
        { "https://s3.us-east-1.example.org", NULL, "us-east-1", "eu-west-3",
          "https://bucket.s3.us-east-1.example.org/k" },
        /* a region that would be another host is none */
        { "https://s3.us-east-1.amazonaws.com", NULL, "us-east-1", "x.example.org/",
          "https://bucket.s3.us-east-1.amazonaws.com/k" },
        { "https://s3.us-east-1.amazonaws.com", NULL, "us-east-1", "a.b",
          "https://bucket.s3.us-east-1.amazonaws.com/k" },
    };
    room *r = *state;

    for (size_t i = 0; i < VPI_COUNT(table); i++) {
        vpi_buf url = { 0 };
        char region[64], before[64];

        make(r, table[i].endpoint, table[i].region, 0);
        assert_int_equal(vpi_s3_address_synced(r->s3, "bucket", "k", NULL, &url, before, &r->err), VP_OK);
        assert_string_equal(before, table[i].first);
        vpi_s3_learn_region_synced(r->s3, "bucket", table[i].told);
        assert_int_equal(vpi_s3_address_synced(r->s3, "bucket", "k", NULL, &url, region, &r->err), VP_OK);
        assert_string_equal((const char *)url.data, table[i].url);
        assert_string_equal(region, strchr(table[i].told, '.') ? before : table[i].told);
        /* another bucket is where it was */
        assert_int_equal(vpi_s3_address_synced(r->s3, "other", NULL, NULL, &url, region, &r->err), VP_OK);
        assert_string_equal(region, table[i].first);
        assert_non_null(strstr((const char *)url.data, table[i].endpoint + 8));
        vpi_buf_dispose(&url);
        end(r);
    }
}

/* What goes with bodies: by vendor, TLS and flags (S14). */
static void defaults(void **state)
{
    static const struct {
        const char *endpoint;
        uint32_t flags;
        int32_t checksum;
        bool sign;
    } table[] = {
        { NULL, 0, VP_S3_CHECKSUM_CRC64NVME, false },
        { NULL, VP_S3_SIGN_PAYLOAD, VP_S3_CHECKSUM_CRC64NVME, true },
        { "https://minio.example.org", 0, VP_S3_CHECKSUM_MD5, false },
        { "http://127.0.0.1:9000", 0, VP_S3_CHECKSUM_NONE, true },
        { "http://127.0.0.1:9000", VP_S3_UNSIGNED_PAYLOAD, VP_S3_CHECKSUM_MD5, false },
        { "https://s3.eu-west-3.amazonaws.com", 0, VP_S3_CHECKSUM_CRC64NVME, false },
        { "https://x.r2.cloudflarestorage.com", 0, VP_S3_CHECKSUM_MD5, false },
    };
    room *r = *state;

    for (size_t i = 0; i < VPI_COUNT(table); i++) {
        make(r, table[i].endpoint, NULL, table[i].flags);
        assert_int_equal(r->s3->checksum, table[i].checksum);
        assert_int_equal(r->s3->sign_payload, table[i].sign);
        end(r);
    }
}

/* What one client was told counts for all of the context that go to the same host and port (S05). */
static void common_pace(void **state)
{
    static const char *const places[] = { "http://one.test:9000",
                                          "http://one.test:9000",
                                          "http://one.test:9001",
                                          "https://one.test:9000",
                                          NULL,
                                          NULL };
    room *r = *state;
    room other = { .context = NULL };
    vp_s3 *list[VPI_COUNT(places)];
    int64_t now = vpi_now_us();

    for (size_t i = 0; i < VPI_COUNT(places); i++) {
        make(r, places[i], NULL, 0);
        list[i] = r->s3;
    }
    assert_int_equal(vp_context_new(NULL, &other.context, NULL), VP_OK);
    make(&other, places[0], NULL, 0);
    vpi_s3_slow_synced(list[0], 9000000);
    for (size_t i = 0; i < VPI_COUNT(places); i++) {
        bool same = i < 2 || i == 3;

        assert_int_equal(vpi_s3_slow_until_synced(list[i]) >= now + 9000000, same);
        assert_int_equal(list[i]->synced.limit, same ? 4 : 8);
        vpi_s3_slow_until_synced(list[i]); /* heeded once */
        assert_int_equal(list[i]->synced.limit, same ? 4 : 8);
    }
    assert_int_equal(vpi_s3_slow_until_synced(other.s3), 0);
    /* one that was told too, while the pause lasts, is no second cut */
    vpi_s3_slow_synced(list[1], 0);
    assert_int_equal(list[1]->synced.limit, 4);
    vpi_s3_slow_synced(list[4], 1000000);
    assert_true(vpi_s3_slow_until_synced(list[5]) >= now + 1000000);
    assert_int_equal(list[0]->synced.limit, 4);
    /* who comes later has not been told */
    make(r, places[0], NULL, 0);
    assert_int_equal(vpi_s3_slow_until_synced(r->s3), 0);
    end(r);
    for (size_t i = 0; i < VPI_COUNT(places); i++) vp_s3_unref(list[i]);
    end(&other);
    vp_context_unref(other.context);
}

/* ---- parts (S03, S04) ---- */

static void part_sizes(void **state)
{
    room *r = *state;
    vp_s3_upload u = { 0 };
    uint64_t total = 0;

    make(r, NULL, NULL, 0);
    for (uint64_t size = 1; size <= 40 * TIB; size = size * 3 + 1) {
        uint64_t part = vpi_s3_part_size(r->s3, size);

        assert_true(part >= VPI_S3_PART_MIN && part <= VPI_S3_PART_MAX);
        assert_true((size + part - 1) / part <= VPI_S3_PARTS_MAX);
    }
    assert_int_equal(vpi_s3_part_size(r->s3, 5 * TIB), 525 * MIB);
    assert_true(vpi_s3_part_size(r->s3, UINT64_C(48) * TIB) > 0);
    assert_int_equal(vpi_s3_part_size(r->s3, 50 * TIB), 0);
    assert_int_equal(vpi_s3_part_size(r->s3, UINT64_MAX - 1), 0);
    u.s3 = r->s3;
    u.size = VP_SIZE_UNKNOWN;
    u.part_size = vpi_s3_part_size(r->s3, VP_SIZE_UNKNOWN);
    for (uint32_t n = 1; n <= VPI_S3_PARTS_MAX; n++) total += vpi_s3_part_room(&u, n);
    assert_true(total > UINT64_C(400) * 1024 * MIB); /* what an unknown size may come to */
    end(r);
}

/* What docs/storage.md says of each. */
static void vendors(void **state)
{
    static const struct {
        const char *endpoint;
        int32_t vendor;
        int32_t plain, tls; /* checksums */
        uint32_t unknown;   /* GiB of an object whose size is not told */
        const char *region;
    } table[] = {
        { "s3.eu-west-3.amazonaws.com", VP_S3_VENDOR_AWS, VP_S3_CHECKSUM_CRC64NVME, VP_S3_CHECKSUM_CRC64NVME,
          484, "eu-west-3" },
        { "minio.test", VP_S3_VENDOR_MINIO, VP_S3_CHECKSUM_NONE, VP_S3_CHECKSUM_MD5, 484, "us-east-1" },
        { "x.r2.cloudflarestorage.com", VP_S3_VENDOR_R2, VP_S3_CHECKSUM_NONE, VP_S3_CHECKSUM_MD5, 78,
          "auto" },
        { "storage.googleapis.com", VP_S3_VENDOR_GCS, VP_S3_CHECKSUM_NONE, VP_S3_CHECKSUM_MD5, 484,
          "us-east-1" },
        { "s3.us-west-004.backblazeb2.com", VP_S3_VENDOR_B2, VP_S3_CHECKSUM_NONE, VP_S3_CHECKSUM_MD5, 484,
          "us-east-1" },
    };
    room *r = *state;

    for (size_t i = 0; i < 2 * VPI_COUNT(table); i++) {
        vp_s3_upload u = { .size = VP_SIZE_UNKNOWN };
        char endpoint[80];
        uint64_t total = 0;

        snprintf(endpoint, sizeof(endpoint), "%s://%s", i % 2 ? "https" : "http", table[i / 2].endpoint);
        make(r, endpoint, NULL, 0);
        assert_int_equal(r->s3->vendor, table[i / 2].vendor);
        assert_int_equal(r->s3->checksum, i % 2 ? table[i / 2].tls : table[i / 2].plain);
        assert_string_equal(vpi_s3_region_synced(r->s3, "b"), table[i / 2].region);
        u.s3 = r->s3;
        u.part_size = vpi_s3_part_size(r->s3, u.size);
        for (uint32_t n = 1; n <= VPI_S3_PARTS_MAX; n++) {
            uint64_t part = vpi_s3_part_room(&u, n);

            assert_true(part >= VPI_S3_PART_MIN && part <= VPI_S3_PART_MAX);
            assert_true(table[i / 2].vendor != VP_S3_VENDOR_R2 || part == u.part_size);
            total += part;
        }
        assert_int_equal(total >> 30, table[i / 2].unknown);
        end(r);
    }
}

/* ---- sums ---- */

static void sums(void **state)
{
    static const char digits[] = "123456789";
    uint8_t data[1000];
    char text[32];

    (void)state;
    assert_true(vpi_s3_crc64(0, digits, 9) == UINT64_C(0xAE8B14860A799888));
    assert_true(vpi_s3_crc64(0, "", 0) == 0);
    for (size_t i = 0; i < sizeof(data); i++) data[i] = (uint8_t)(i * 31 + i / 7);
    for (size_t cut = 0; cut <= sizeof(data); cut += 13) {
        uint64_t whole = vpi_s3_crc64(0, data, sizeof(data)), a = vpi_s3_crc64(0, data, cut);

        assert_true(vpi_s3_crc64(a, data + cut, sizeof(data) - cut) == whole);
        assert_true(vpi_s3_crc64_combine(a, vpi_s3_crc64(0, data + cut, sizeof(data) - cut),
                                         sizeof(data) - cut) == whole);
    }
    /* by instructions and without, of every length and alignment */
    for (size_t from = 0; from < 16; from += 3)
        for (size_t n = 0; from + n <= sizeof(data) && n < 400; n++)
            assert_true(vpi_s3_crc64(n, data + from, n) == vpi_s3_crc64_table(n, data + from, n));
    assert_true(vpi_s3_crc64(0, data, sizeof(data)) == vpi_s3_crc64_table(0, data, sizeof(data)));
    vpi_s3_base64("\x14\xFB\x9C\x03", 4, text);
    assert_string_equal(text, "FPucAw==");
}

/* Bodies of one length that are hashed together: each has the sums that it has alone, which OpenSSL makes. */
static void check_together(vpi_s3_summers **summers, const vp_s3 *s3, unsigned count, size_t size)
{
    static uint8_t data[VPI_S3_TOGETHER * 20000];
    const uint8_t *from[VPI_S3_TOGETHER] = { NULL };
    vpi_s3_sums sums, want;
    vp_error err = VP_ERROR_INIT;

    for (size_t i = 0; i < sizeof(data); i++) data[i] = (uint8_t)(i * 31 + i / 7 + i / 1999);
    assert_int_equal(vpi_s3_summers_start(summers, s3, count, false, &err), VP_OK);
    for (size_t at = 0; at < size; at += 8192) {
        for (unsigned i = 0; i < count; i++) from[i] = data + i * size + at;
        assert_int_equal(vpi_s3_summers_add(*summers, from, VPI_MIN(8192, size - at), &err), VP_OK);
    }
    for (unsigned i = 0; i < count; i++) {
        memset(&sums, 0xFF, sizeof(sums));
        assert_int_equal(vpi_s3_summers_done(*summers, i, &sums, &err), VP_OK);
        assert_int_equal(vpi_s3_sum(s3, data + i * size, size, &want, &err), VP_OK);
        assert_string_equal(sums.sha256, want.sha256);
        assert_int_equal(strlen(sums.sha256), 64);
        assert_memory_equal(sums.md5, want.md5, sizeof(sums.md5));
        assert_true(sums.crc64 == want.crc64);
        assert_int_equal(sums.crc32c, want.crc32c);
    }
}

static void together(void **state)
{
    static const int kinds[] = { VP_S3_CHECKSUM_CRC64NVME, VP_S3_CHECKSUM_MD5, VP_S3_CHECKSUM_NONE };
    static const unsigned counts[] = { 2, 16, 1, 7, 8, 15, 3, 16 };

    (void)state;
    for (int most = VPI_SHA256_PLAIN; most <= VPI_SHA256_AVX512; most++) {
        vpi_sha256_limit(most);
        for (size_t k = 0; k < VPI_COUNT(kinds); k++) {
            vp_s3 s3 = { .sign_payload = true, .checksum = kinds[k] };
            vpi_s3_summers *summers = NULL;

            for (size_t i = 0; i < VPI_COUNT(counts); i++) {
                check_together(&summers, &s3, counts[i], 16384);
                check_together(&summers, &s3, counts[i], 19999);
            }
            vpi_s3_summers_free(summers);
        }
    }
    vpi_s3_summers_free(NULL);
}

/* ---- XML (S01, S25) ---- */

static vp_status collect(void *user, const char *path, const char *text, vp_error *err)
{
    vpi_buf *out = user;

    (void)err;
    vpi_buf_printf(out, "%s=%s;", path, text);
    return VP_OK;
}

static vp_status read_xml(const char *text, vpi_buf *out, char root[64])
{
    vpi_buf_clear(out);
    vp_status st = vpi_s3_xml(text, strlen(text), collect, out, root, NULL);
    vpi_buf_u8(out, 0);
    return st;
}

static void xml(void **state)
{
    static const char *const bad[] = {
        "",
        "   ",
        "not xml",
        "<a>",
        "<a></b>",
        "<!DOCTYPE a><a/>",
        "<html><body><p>portal</body></html>",
        "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
        "<1><2><3></3></2></1>",
        "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a></a></a></a></a></a></a></a></a></a></a></a></"
        "a></a></a></a>"
        "</a></a>",
    };
    vpi_buf out = { 0 };
    char root[64];

    (void)state;
    assert_int_equal(read_xml(" \n<?xml version=\"1.0\"?><Error/>", &out, root),
                     VP_OK); /* spaces before it (S01) */
    assert_string_equal(root, "Error");
    assert_int_equal(
        read_xml("<Error xmlns=\"u:x\"><Code>Slow&amp;Down</Code> <A><B>1</B></A></Error>", &out, root),
        VP_OK);
    assert_string_equal(root, "Error");
    assert_string_equal((char *)out.data, "Error/Code=Slow&Down;Error/A/B=1;Error/A=;Error=;");
    for (size_t i = 0; i < VPI_COUNT(bad); i++)
        if (read_xml(bad[i], &out, root) != VP_E_IO) fail_msg("taken: %s", bad[i]);
    vpi_buf_dispose(&out);
}

static void escapes(void **state)
{
    vpi_buf out = { 0 };

    (void)state;
    vpi_s3_xml_escape(&out, "a&b<c>\"d\"\x01\xC3\xA9");
    vpi_buf_u8(&out, 0);
    assert_string_equal((char *)out.data, "a&amp;b&lt;c&gt;&quot;d&quot;&#1;\xC3\xA9");
    vpi_buf_dispose(&out);
}

/* ---- headers of objects ---- */

static void object_lines(void **state)
{
    static const char *const bad[] = { "a\nb", "a\rb", "a\x7F", "\xC3\xA9", "a\x01" };
    vp_s3_object o = VP_S3_OBJECT_INIT;
    vpi_buf lines = { 0 };

    (void)state;
    o.content_type = "video/mp4";
    o.tags = "a=1";
    o.headers = "x-amz-meta-a: b";
    assert_int_equal(vpi_s3_object_lines(&o, &lines, NULL), VP_OK);
    vpi_buf_u8(&lines, 0);
    assert_string_equal((char *)lines.data, "Content-Type: video/mp4\nx-amz-tagging: a=1\nx-amz-meta-a: b\n");
    for (size_t i = 0; i < VPI_COUNT(bad); i++) {
        o.content_type = bad[i];
        vpi_buf_clear(&lines);
        assert_int_equal(vpi_s3_object_lines(&o, &lines, NULL), VP_E_ARG);
    }
    o.content_type = NULL;
    o.headers = "no colon";
    assert_int_equal(vpi_s3_object_lines(&o, &lines, NULL), VP_E_ARG);
    vpi_buf_dispose(&lines);
}

/* ---- tokens ---- */

static void tokens(void **state)
{
    room *r = *state;
    vp_s3_upload *u, *v;
    vpi_s3_part part = { .size = 6 * MIB, .crc32c = 0xDEADBEEF, .crc64 = 7, .in = true };
    vpi_buf text = { 0 }, again = { 0 };

    make(r, NULL, NULL, 0);
    assert_int_equal(vpi_s3_upload_blank(r->s3, "bucket", "k\"e\\y\xC3\xA9", &u, &r->err), VP_OK);
    u->id = vpi_strdup("id\t1");
    vpi_s3_marker_make(u->marker);
    u->part_size = 6 * MIB;
    u->size = VP_SIZE_UNKNOWN;
    u->checksum = VP_S3_CHECKSUM_CRC64NVME;
    vpi_strlcpy(part.etag, "\"abc\"", sizeof(part.etag));
    assert_int_equal(vpi_s3_part_note_whole(u, 3, &part, &r->err), VP_OK);
    assert_int_equal(vpi_s3_token_write(u, &text, &r->err), VP_OK);
    assert_int_equal(vpi_s3_token_read(r->s3, text.data, text.size, &v, &r->err), VP_OK);
    assert_int_equal(vpi_s3_token_write(v, &again, &r->err), VP_OK);
    assert_int_equal(again.size, text.size);
    assert_memory_equal(again.data, text.data, text.size);
    assert_int_equal(vp_s3_upload_has(v, 1, NULL, NULL), VP_END);
    assert_int_equal(vp_s3_upload_has(v, 3, NULL, NULL), VP_OK);
    vp_s3_upload_unref(v);
    /* cut anywhere it is none */
    for (size_t n = 0; n + 2 < text.size; n++)
        assert_int_equal(vpi_s3_token_read(r->s3, text.data, n, &v, NULL), VP_E_ARG);
    vp_s3_upload_unref(u);
    vpi_buf_dispose(&text);
    vpi_buf_dispose(&again);
    end(r);
}

static void times(void **state)
{
    (void)state;
    assert_true(vpi_s3_parse_time("Fri, 24 May 2013 00:00:00 GMT") == INT64_C(1369353600) * 1000000);
    assert_true(vpi_s3_parse_time("2013-05-24T00:00:00.000Z") == INT64_C(1369353600) * 1000000);
    assert_true(vpi_s3_parse_time("") == 0 && vpi_s3_parse_time("soon") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),    cmocka_unit_test(endpoints_refused),
        cmocka_unit_test(regions),      cmocka_unit_test(defaults),
        cmocka_unit_test(part_sizes),   cmocka_unit_test(vendors),
        cmocka_unit_test(common_pace),  cmocka_unit_test(regional_endpoints),
        cmocka_unit_test(sums),         cmocka_unit_test(together),
        cmocka_unit_test(xml),          cmocka_unit_test(escapes),
        cmocka_unit_test(object_lines), cmocka_unit_test(tokens),
        cmocka_unit_test(times),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
