/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses and header lines that are signed, in headers and in the query, and forms of the same texts. */
#include "fuzz.h"

#include "s3/sign.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"

static const vp_s3_credentials none = VP_S3_CREDENTIALS_INIT;

/* Whole lines, and no line break more than those that we put there. */
static void check_lines(const vp_bytes *lines, size_t count)
{
    const char *text = vp_bytes_data(lines);

    FUZZ_CHECK(strlen(text) == vp_bytes_size(lines));
    for (; *text; text = strchr(text, '\n') + 1, count--) {
        FUZZ_CHECK(count > 0 && strchr(text, '\n') && strcspn(text, ":") < strcspn(text, "\n"));
        FUZZ_CHECK(strcspn(text, "\r") > strcspn(text, "\n"));
    }
    FUZZ_CHECK(count == 0);
}

/* What comes out goes over a wire as it is, and is not signed a second time. */
static void check_url(const vp_s3_request *r, const vp_s3_credentials *c, const vp_bytes *url)
{
    vp_s3_request again = *r;
    vp_bytes *out = NULL;

    again.url = vp_bytes_data(url);
    for (const char *p = again.url; *p; p++) FUZZ_CHECK(*p > ' ' && *p < 0x7F && !strchr("\"<>\\^`{|}#", *p));
    FUZZ_CHECK(strlen(again.url) == vp_bytes_size(url));
    FUZZ_CHECK(vp_s3_presign(&again, c, &out, NULL) == VP_E_ARG);
}

/* The same request with all that a url cannot have encoded has the same signature. */
static void check_encoded(const vp_s3_request *r, const vp_s3_credentials *c, const vp_bytes *lines)
{
    vp_s3_request again = *r;
    vpi_buf b = { 0 };
    vp_bytes *out = NULL;

    vpi_s3_put_url(&b, r->url, strlen(r->url));
    vpi_buf_u8(&b, 0);
    if (!b.failed) {
        again.url = (const char *)b.data;
        FUZZ_CHECK(vp_s3_sign(&again, c, &out, NULL) == VP_OK);
        FUZZ_CHECK(strcmp(vp_bytes_data(out), vp_bytes_data(lines)) == 0);
        vp_bytes_unref(out);
    }
    vpi_buf_dispose(&b);
}

static void sign(const vp_s3_request *r, const vp_s3_credentials *c)
{
    vp_error err = VP_ERROR_INIT;
    vp_bytes *lines = NULL, *url = NULL;
    vp_status st = vp_s3_sign(r, c, &lines, &err), other;

    FUZZ_CHECK(!strstr(err.message, SECRET));
    FUZZ_REFUSAL(st, err);
    other = vp_s3_presign(r, c, &url, &err);
    FUZZ_REFUSAL(other, err);
    FUZZ_CHECK(st == other);
    FUZZ_ACCEPTED(st == VP_OK);
    if (st < 0) return;
    check_lines(lines, 2 + (c->session_token != NULL) + !(r->flags & VP_S3_SIGN_NO_BODY_HEADER));
    check_url(r, c, url);
    check_encoded(r, c, lines);
    vp_bytes_unref(lines);
    vp_bytes_unref(url);
}

static void post(const char *url, const char *fields, const char *key, const vp_s3_credentials *c)
{
    vp_s3_post p = VP_S3_POST_INIT;
    vp_error err = VP_ERROR_INIT;
    vp_bytes *json = NULL;
    vp_status st;

    p.url = url;
    p.bucket = "b";
    p.region = "us-east-1";
    p.key = p.content_type = key;
    p.fields = fields;
    st = vp_s3_post_policy(&p, c, &json, &err);
    FUZZ_REFUSAL(st, err);
    if (st < 0) return;
    for (const unsigned char *t = vp_bytes_data(json); *t; t++) FUZZ_CHECK(*t >= ' ');
    FUZZ_CHECK(!strstr(vp_bytes_data(json), SECRET));
    vp_bytes_unref(json);
}

/* One byte of flags, then url, headers, method, payload and token, each up to a zero. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vp_s3_request r = VP_S3_REQUEST_INIT;
    vp_s3_credentials c = none;
    char *text, *part[5], *p;

    if (memmem(data, size, SECRET, strlen(SECRET))) return 0; /* told by whoever asks, not by us */
    p = text = malloc(size + 1);
    if (!text) abort();
    if (size) memcpy(text, data, size);
    text[size] = 0;
    r.flags = size ? (uint32_t)*p & 15 : 0;
    p += size > 0;
    for (size_t i = 0; i < 5; i++) {
        part[i] = p;
        p += strlen(p);
        if (p < text + size) p++;
    }
    r.url = part[0];
    r.headers = part[1];
    r.method = *part[2] ? part[2] : "GET";
    r.payload_sha256 = *part[3] ? part[3] : NULL;
    r.region = "us-east-1";
    r.time_us = 1369353600000000;
    c.access_key = "AKIAIOSFODNN7EXAMPLE";
    c.secret_key = SECRET;
    c.session_token = *part[4] ? part[4] : NULL;
    sign(&r, &c);
    post(part[0], part[1], part[2], &c);
    free(text);
    return 0;
}
