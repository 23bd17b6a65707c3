/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An upload as text, for whoever goes on with it:
 *   {"vodpipe_upload":1,"bucket":"b","key":"k","id":"...","marker":"...","part_size":8388608,"size":123,
 *    "checksum":0,"parts":[[size,"crc32c","crc64","etag"],null,...]}
 * size is null where it is not known; a part that is not in is null, one that others sent [size,"etag"]. Nothing in it
 * is secret.
 */

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "upload.h"

enum { VERSION = 1 };
#define TOKEN_MAX ((size_t)8 << 20)

/* ---- writing ---- */

static void add_string(vpi_buf *out, const char *text)
{
    vpi_buf_u8(out, '"');
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;

        if (c == '"' || c == '\\')
            vpi_buf_printf(out, "\\%c", c);
        else if (c < 0x20)
            vpi_buf_printf(out, "\\u%04x", c);
        else
            vpi_buf_u8(out, c);
    }
    vpi_buf_u8(out, '"');
}

void vpi_s3_part_text(vpi_buf *out, const vpi_s3_part *p)
{
    vpi_buf_printf(out, "[%" PRIu64 ",", p->size);
    if (!p->foreign) vpi_buf_printf(out, "\"%08x\",\"%016" PRIx64 "\",", (unsigned)p->crc32c, p->crc64);
    add_string(out, p->etag);
    vpi_buf_u8(out, ']');
}

vp_status vpi_s3_token_write(vp_s3_upload *u, vpi_buf *out, vp_error *err)
{
    vpi_buf_printf(out, "{\"vodpipe_upload\":%d,\"bucket\":", VERSION);
    add_string(out, u->bucket);
    vpi_buf_str(out, ",\"key\":");
    add_string(out, u->key);
    vpi_buf_str(out, ",\"id\":");
    add_string(out, u->id);
    vpi_buf_printf(out, ",\"marker\":\"%s\",\"part_size\":%" PRIu64 ",\"size\":", u->marker, u->part_size);
    if (u->size == VP_SIZE_UNKNOWN)
        vpi_buf_str(out, "null");
    else
        vpi_buf_printf(out, "%" PRIu64, u->size);
    vpi_buf_printf(out, ",\"checksum\":%d,\"parts\":[", (int)u->checksum);
    pthread_mutex_lock(&u->lock);
    for (size_t i = 0; i < u->synced.count; i++) {
        const vpi_s3_part *p = &u->synced.parts[i];

        if (i) vpi_buf_u8(out, ',');
        if (p->in)
            vpi_s3_part_text(out, p);
        else
            vpi_buf_str(out, "null");
    }
    pthread_mutex_unlock(&u->lock);
    vpi_buf_str(out, "]}\n");
    return vpi_buf_failed(out) ? vpi_fail_nomem(err) : VP_OK;
}

vp_status vp_s3_upload_token(vp_s3_upload *u, vp_bytes **token, vp_error *err)
{
    vpi_buf out = { 0 };
    vp_status st;

    vpi_error_reset(err);
    if (!u || !token) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *token = NULL;
    pthread_mutex_lock(&u->lock);
    u->synced.shown = true;
    pthread_mutex_unlock(&u->lock);
    st = vpi_s3_token_write(u, &out, err);
    if (st >= 0) st = vpi_bytes_from_buf(&out, token, err);
    vpi_buf_dispose(&out);
    return st;
}

/* ---- reading: a token comes from outside ---- */

static vp_status bad(vp_error *err)
{
    return vpi_fail(err, VP_E_ARG, NULL, "token: not one of vp_s3_upload_token");
}

static bool hex_field(const json_t *v, size_t digits, uint64_t *out)
{
    const char *text = json_string_value(v);

    if (!text || strlen(text) != digits || strspn(text, "0123456789abcdef") != digits) return false;
    *out = strtoull(text, NULL, 16);
    return true;
}

static bool read_part(const json_t *v, vpi_s3_part *p)
{
    bool foreign = json_array_size(v) == 2;
    const char *etag = json_string_value(json_array_get(v, foreign ? 1 : 3));
    uint64_t crc32c = 0;

    if ((!foreign && json_array_size(v) != 4) || !json_is_integer(json_array_get(v, 0)) ||
        json_integer_value(json_array_get(v, 0)) < 0 || !etag || !*etag || strlen(etag) >= sizeof(p->etag))
        return false;
    if (!foreign &&
        (!hex_field(json_array_get(v, 1), 8, &crc32c) || !hex_field(json_array_get(v, 2), 16, &p->crc64)))
        return false;
    p->foreign = foreign;
    p->size = (uint64_t)json_integer_value(json_array_get(v, 0));
    p->crc32c = (uint32_t)crc32c;
    vpi_strlcpy(p->etag, etag, sizeof(p->etag));
    p->in = true;
    return true;
}

bool vpi_s3_part_parse(const void *text, size_t size, vpi_s3_part *out)
{
    json_t *v = json_loadb(text, size, 0, NULL);
    bool good = v && read_part(v, out);

    json_decref(v);
    return good;
}

static vp_status read_parts(vp_s3_upload *u, const json_t *parts, vp_error *err)
{
    size_t n = json_array_size(parts);

    if (!json_is_array(parts) || n > VPI_S3_PARTS_MAX) return bad(err);
    u->synced.parts = vpi_calloc(VPI_MAX(n, 1), sizeof(*u->synced.parts));
    if (!u->synced.parts) return vpi_fail_nomem(err);
    u->synced.cap = VPI_MAX(n, 1);
    u->synced.count = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(parts, i);

        if (!json_is_null(v) && !read_part(v, &u->synced.parts[i])) return bad(err);
    }
    return VP_OK;
}

static vp_status read_fields(vp_s3_upload *u, const json_t *root, vp_error *err)
{
    const char *id = json_string_value(json_object_get(root, "id"));
    const char *marker = json_string_value(json_object_get(root, "marker"));
    const json_t *size = json_object_get(root, "size");
    json_int_t part = json_integer_value(json_object_get(root, "part_size"));
    json_int_t checksum = json_integer_value(json_object_get(root, "checksum"));

    if (!id || !*id || strlen(id) > 1024 || !marker || strlen(marker) != VPI_S3_MARKER - 1 ||
        strspn(marker, "0123456789abcdef") != VPI_S3_MARKER - 1)
        return bad(err);
    if (part < (json_int_t)VPI_S3_PART_MIN || part > (json_int_t)VPI_S3_PART_MAX ||
        checksum < VP_S3_CHECKSUM_NONE || checksum > VP_S3_CHECKSUM_CRC64NVME ||
        (!json_is_null(size) && !json_is_integer(size)) ||
        (json_is_integer(size) && json_integer_value(size) < 0))
        return bad(err);
    u->id = vpi_strdup(id);
    if (!u->id) return vpi_fail_nomem(err);
    vpi_strlcpy(u->marker, marker, sizeof(u->marker));
    u->part_size = (uint64_t)part;
    u->size = json_is_null(size) ? VP_SIZE_UNKNOWN : (uint64_t)json_integer_value(size);
    u->checksum = (int32_t)checksum;
    if (u->checksum == VP_S3_CHECKSUM_CRC64NVME && u->s3->checksum != u->checksum)
        u->checksum = VP_S3_CHECKSUM_NONE; /* this client makes none for its parts */
    return read_parts(u, json_object_get(root, "parts"), err);
}

vp_status vpi_s3_token_read(vp_s3 *s3, const void *token, size_t size, vp_s3_upload **out, vp_error *err)
{
    const char *bucket, *key;
    vp_s3_upload *u = NULL;
    json_error_t at;
    json_t *root;
    vp_status st;

    *out = NULL;
    if (!token || !size || size > TOKEN_MAX) return bad(err);
    root = json_loadb(token, size, JSON_REJECT_DUPLICATES, &at);
    if (!root) return json_error_code(&at) == json_error_out_of_memory ? vpi_fail_nomem(err) : bad(err);
    bucket = json_string_value(json_object_get(root, "bucket"));
    key = json_string_value(json_object_get(root, "key"));
    if (json_integer_value(json_object_get(root, "vodpipe_upload")) != VERSION || !bucket || !key ||
        vpi_s3_bucket_check(bucket, key, NULL) < 0) {
        st = bad(err);
        goto done;
    }
    VPI_GO(vpi_s3_upload_blank(s3, bucket, key, &u, err));
    VPI_GO(read_fields(u, root, err));
    *out = u;
    u = NULL;
done:
    vp_s3_upload_unref(u);
    json_decref(root);
    return st;
}

/* ---- going on ---- */

/* Gone: it may have become the object already, which its marker tells. */
static vp_status gone(vp_s3_upload *u, vp_cancel *cancel, vp_error *err)
{
    vp_s3_info info = VP_S3_INFO_INIT;
    vp_status st = vp_s3_head(u->s3, u->bucket, u->key, cancel, &info, err);

    if (st < 0) return st;
    if (st == VP_OK && strcmp(info.upload, u->marker) == 0) {
        u->synced.complete = true;
        return VP_OK;
    }
    vpi_error_key(err, u->key);
    return vpi_fail(err, VP_E_CONFLICT, NULL, "the upload is there no more");
}

vp_status vp_s3_upload_resume(vp_s3 *s3, const void *token, uint64_t token_size, vp_cancel *cancel,
                              vp_s3_upload **out, vp_error *err)
{
    vp_s3_upload *u = NULL;
    vp_status st;

    vpi_error_reset(err);
    if (!s3 || !out) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_s3_ready(s3, cancel, err));
    VPI_TRY(vpi_s3_token_read(s3, token, (size_t)VPI_MIN(token_size, SIZE_MAX), &u, err));
    st = vpi_s3_upload_check(u, cancel, err);
    if (st == VP_END) st = gone(u, cancel, err);
    if (st < 0)
        vp_s3_upload_unref(u);
    else
        *out = u;
    vpi_error_op(err, "s3.upload_resume");
    return st;
}
