/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses: which host, which style, which region (S09, S11, S12). */

#include <stdio.h>
#include <arpa/inet.h>
#include <strings.h>

#include "client.h"

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcasecmp(text + n - m, end) == 0;
}

static int32_t vendor_of(const char *host)
{
    if (ends_with(host, ".amazonaws.com") || ends_with(host, ".amazonaws.com.cn")) return VP_S3_VENDOR_AWS;
    if (ends_with(host, ".r2.cloudflarestorage.com")) return VP_S3_VENDOR_R2;
    if (ends_with(host, "storage.googleapis.com")) return VP_S3_VENDOR_GCS;
    if (ends_with(host, ".backblazeb2.com")) return VP_S3_VENDOR_B2;
    return VP_S3_VENDOR_MINIO;
}

/* Host and port as they go into Host: without the port that the scheme has anyway. */
static vp_status host_text(const char *p, bool tls, char **out, vp_error *err)
{
    size_t n = strcspn(p, "/?#");
    const char *port = NULL;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];

        if (c <= 0x20 || c >= 0x7F || strchr("@\\\"<>%", c)) n = 0;
        if (n && c == ':' && !memchr(p + i, ']', n - i)) port = p + i;
    }
    if (!n || (p[n] && !(p[n] == '/' && !p[n + 1])))
        return vpi_fail(err, VP_E_ARG, NULL,
                        "endpoint: wanted is https://host or http://host, with :port or not");
    if (port) {
        size_t digits = (size_t)(p + n - port) - 1;

        if (!digits || digits > 5 || strspn(port + 1, "0123456789") < digits)
            return vpi_fail(err, VP_E_ARG, NULL, "endpoint: its port is none");
        if (digits == (tls ? 3u : 2u) && memcmp(port + 1, tls ? "443" : "80", digits) == 0)
            n = (size_t)(port - p);
    }
    *out = vpi_strndup(p, n);
    return *out ? VP_OK : vpi_fail_nomem(err);
}

vp_status vpi_s3_place_endpoint(vp_s3 *s3, const char *endpoint, vp_error *err)
{
    bool tls = strncasecmp(endpoint, "https://", 8) == 0;

    if (!tls && strncasecmp(endpoint, "http://", 7) != 0)
        return vpi_fail(err, VP_E_ARG, NULL, "endpoint: begins neither with https:// nor with http://");
    vpi_free(s3->synced.host);
    s3->synced.host = NULL;
    VPI_TRY(host_text(endpoint + (tls ? 8 : 7), tls, &s3->synced.host, err));
    s3->tls = tls;
    if (s3->o.vendor == VP_S3_VENDOR_AUTO) s3->vendor = vendor_of(s3->synced.host);
    return VP_OK;
}

/* Rules of names: docs.aws.amazon.com, "General purpose bucket naming rules"; older ones may have capitals and '_'. */
vp_status vpi_s3_bucket_check(const char *bucket, const char *key, vp_error *err)
{
    size_t n = bucket ? strlen(bucket) : 0;

    if (n < 1 || n > 255) return vpi_fail(err, VP_E_ARG, NULL, "bucket: a name is missing or too long");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)bucket[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    (i > 0 && (c == '-' || c == '.' || c == '_'));

        if (!good) return vpi_fail(err, VP_E_ARG, NULL, "bucket: not a name of a bucket");
    }
    if (key && (!*key || strlen(key) > 1024))
        return vpi_fail(err, VP_E_ARG, NULL, "key: wanted are 1 to 1024 bytes");
    return VP_OK;
}

static bool is_address(const char *host)
{
    char text[64];
    struct in_addr v4;
    size_t n = strcspn(host, ":");

    if (*host == '[') return true;
    if (n >= sizeof(text)) return false;
    memcpy(text, host, n);
    text[n] = 0;
    return inet_pton(AF_INET, text, &v4) == 1;
}

static bool dns_label(const char *bucket) /* what can stand before a host name, under its certificate */
{
    size_t n = strlen(bucket);

    if (n < 3 || n > 63 || bucket[n - 1] == '-') return false;
    return strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

bool vpi_s3_path_style(const vp_s3 *s3, const char *host, const char *bucket)
{
    if (s3->o.flags & VP_S3_PATH_STYLE) return true;
    if (s3->o.flags & VP_S3_VIRTUAL_HOST) return false;
    return is_address(host) || strchr(host, ':') || strncmp(host, "localhost", 9) == 0 || !dns_label(bucket);
}

const char *vpi_s3_region_synced(const vp_s3 *s3, const char *bucket)
{
    const char *any = NULL;

    for (const vpi_s3_region *r = s3->synced.regions; r; r = r->next) {
        if (strcmp(r->bucket, bucket) == 0) return r->region;
        if (!r->bucket[0]) any = r->region;
    }
    return any ? any : s3->vendor == VP_S3_VENDOR_R2 ? "auto" : "us-east-1";
}

const char *vpi_s3_told_region(const vp_s3 *s3, const char *bucket)
{
    for (const vpi_s3_region *r = s3->synced.regions; r; r = r->next)
        if (strcmp(r->bucket, bucket) == 0) return r->region;
    return NULL;
}

static bool region_name(const char *region)
{
    size_t n = strlen(region);

    return n > 0 && n < 64 &&
           strspn(region, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == n;
}

bool vpi_s3_learn_region_synced(vp_s3 *s3, const char *bucket, const char *region)
{
    size_t n = strlen(bucket);
    vpi_s3_region *r;
    bool news;

    if (!region_name(region)) return false;
    for (r = s3->synced.regions; r; r = r->next) {
        if (strcmp(r->bucket, bucket) != 0) continue;
        if (strcmp(r->region, region) == 0) return false;
        vpi_strlcpy(r->region, region, sizeof(r->region));
        return true;
    }
    news = strcmp(vpi_s3_region_synced(s3, bucket), region) != 0;
    r = vpi_calloc(1, sizeof(*r) + n + 1);
    if (!r) return false;
    memcpy(r->bucket, bucket, n + 1);
    vpi_strlcpy(r->region, region, sizeof(r->region));
    r->next = s3->synced.regions;
    s3->synced.regions = r;
    return news;
}

/*
 * "s3.REGION.amazonaws.com" and its kin ("s3-REGION", "s3.dualstack.REGION", "s3-fips.REGION", China's ".cn"): what
 * stands before the region and after it. False: no such host, as "s3-accelerate", one of a VPC, one with a port.
 */
static bool aws_host(const char *host, size_t *before, size_t *region, const char **after)
{
    static const char *const starts[] = { "s3-fips.dualstack.", "s3.dualstack.", "s3-fips.", "s3.", "s3-" };
    static const char *const ends[] = { ".amazonaws.com", ".amazonaws.com.cn" };
    size_t n = strlen(host);

    for (size_t e = 0; e < VPI_COUNT(ends); e++) {
        if (!ends_with(host, ends[e])) continue;
        n -= strlen(ends[e]);
        for (size_t s = 0; s < VPI_COUNT(starts); s++) {
            size_t m = strlen(starts[s]);

            if (n <= m || strncasecmp(host, starts[s], m) != 0) continue;
            *before = m;
            *region = n - m;
            *after = host + n;
            /* one label with a digit at its end: "us-gov-west-1", but neither "accelerate" nor "fips" */
            return !memchr(host + m, '.', n - m) && host[n - 1] >= '0' && host[n - 1] <= '9' &&
                   memchr(host + m, '-', n - m);
        }
        return false;
    }
    return false;
}

static bool is_china(const char *region)
{
    return strncmp(region, "cn-", 3) == 0;
}

/*
 * An endpoint of AWS that the host gave, in the region that the bucket was told to be in (S09): only that label of it
 * changes, and a region's name has no dots, so that credentials stay with AWS; and with their part of it, China or not.
 */
static bool move_host(const vp_s3 *s3, const char *bucket, char *to, size_t capacity)
{
    const char *host = s3->synced.host, *region = vpi_s3_told_region(s3, bucket), *after;
    size_t before, n;

    if (!host || !region) return false;
    if (strcasecmp(host, "s3.amazonaws.com") == 0) {
        if (is_china(region)) return false;
        snprintf(to, capacity, "s3.%s.amazonaws.com", region);
        return true;
    }
    if (!aws_host(host, &before, &n, &after) || is_china(region) != is_china(host + before)) return false;
    if (before + strlen(region) + strlen(after) >= capacity) return false;
    snprintf(to, capacity, "%.*s%s%s", (int)before, host, region, after);
    return true;
}

bool vpi_s3_endpoint_region(const vp_s3 *s3, char region[64])
{
    size_t before, n;
    const char *after;

    if (!s3->synced.host || !aws_host(s3->synced.host, &before, &n, &after) || n >= 64) return false;
    memcpy(region, s3->synced.host + before, n);
    region[n] = 0;
    return true;
}

vp_status vpi_s3_address_synced(vp_s3 *s3, const char *bucket, const char *key, const char *query,
                                vpi_buf *url, char region[64], vp_error *err)
{
    char aws[256];
    const char *host = s3->synced.host;

    vpi_strlcpy(region, vpi_s3_region_synced(s3, bucket), 64);
    if (!host) {
        snprintf(aws, sizeof(aws), "s3.%s.amazonaws.com%s", region, is_china(region) ? ".cn" : "");
        host = aws;
    } else if (move_host(s3, bucket, aws, sizeof(aws))) {
        host = aws;
    }
    vpi_buf_clear(url);
    vpi_buf_str(url, s3->tls ? "https://" : "http://");
    if (vpi_s3_path_style(s3, host, bucket)) {
        vpi_buf_str(url, host);
        vpi_buf_u8(url, '/');
        vpi_s3_encode(url, bucket, false);
        if (key) vpi_buf_u8(url, '/');
    } else {
        vpi_buf_str(url, bucket);
        vpi_buf_u8(url, '.');
        vpi_buf_str(url, host);
        vpi_buf_u8(url, '/');
    }
    if (key) vpi_s3_encode(url, key, true);
    if (query) {
        vpi_buf_u8(url, '?');
        vpi_buf_str(url, query);
    }
    vpi_buf_u8(url, 0);
    return vpi_buf_failed(url) ? vpi_fail_nomem(err) : VP_OK;
}
