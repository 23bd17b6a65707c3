/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a server of objects answers, and tokens of uploads: the first byte tells which. */
#include "fuzz.h"

#include "s3/upload.h"

static vp_context *context;
static vp_s3 *s3;

static void make_client(void)
{
    vp_s3_credentials credentials = VP_S3_CREDENTIALS_INIT;
    vp_s3_options o = VP_S3_OPTIONS_INIT;

    credentials.access_key = credentials.secret_key = "key";
    o.credentials = &credentials;
    FUZZ_CHECK(vp_context_new(NULL, &context, NULL) == VP_OK);
    FUZZ_CHECK(vp_s3_new(context, &o, &s3, NULL) == VP_OK);
}

typedef struct seen {
    size_t elements;
    char root[64];
} seen;

static vp_status on_element(void *user, const char *path, const char *text, vp_error *err)
{
    seen *s = user;

    (void)err;
    FUZZ_CHECK(path[0] && strlen(text) <= 8192);
    s->elements++;
    return VP_OK;
}

static void check_xml(const uint8_t *d, size_t size)
{
    vp_error err = VP_ERROR_INIT;
    seen s = { 0 };
    vp_status st = vpi_s3_xml(d, size, on_element, &s, s.root, &err);

    FUZZ_REFUSAL(st, err);
    FUZZ_CHECK(st < 0 || s.elements > 0);
    FUZZ_ACCEPTED(st == VP_OK);
}

/* What was read is written, and read, as the same. */
static void check_token(const uint8_t *d, size_t size)
{
    vp_error err = VP_ERROR_INIT;
    vp_s3_upload *u, *v;
    vpi_buf a = { 0 }, b = { 0 };
    vp_status st = vpi_s3_token_read(s3, d, size, &u, &err);

    FUZZ_REFUSAL(st, err);
    if (st < 0) return;
    FUZZ_CHECK(vpi_s3_token_write(u, &a, NULL) == VP_OK);
    FUZZ_CHECK(vpi_s3_token_read(s3, a.data, a.size, &v, NULL) == VP_OK);
    FUZZ_CHECK(vpi_s3_token_write(v, &b, NULL) == VP_OK);
    FUZZ_CHECK(a.size == b.size && memcmp(a.data, b.data, a.size) == 0);
    FUZZ_ACCEPTED(true);
    vp_s3_upload_unref(u);
    vp_s3_upload_unref(v);
    vpi_buf_dispose(&a);
    vpi_buf_dispose(&b);
}

static void check_part(const uint8_t *d, size_t size)
{
    vpi_s3_part part = { 0 }, again = { 0 };
    vpi_buf text = { 0 };

    if (!vpi_s3_part_parse(d, size, &part)) return;
    vpi_s3_part_text(&text, &part);
    FUZZ_CHECK(vpi_s3_part_parse(text.data, text.size, &again));
    FUZZ_CHECK(part.size == again.size && part.crc32c == again.crc32c && strcmp(part.etag, again.etag) == 0);
    FUZZ_ACCEPTED(true);
    vpi_buf_dispose(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *d;

    if (!s3) make_client();
    if (!size) return 0;
    d = fuzz_exact(data + 1, size - 1);
    if (data[0] == 'x')
        check_xml(d, size - 1);
    else if (data[0] == 't')
        check_token(d, size - 1);
    else if (data[0] == 'p')
        check_part(d, size - 1);
    free(d);
    return 0;
}
