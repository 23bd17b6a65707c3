/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One object: what is said of it, asking for it, taking it away, copying it. */

#include <stdlib.h>

#include "client.h"

/* ---- how it is kept ---- */

/* RFC 9110 5.5 without obs-text: S3's metadata is ASCII only. */
static bool value_valid(const char *p)
{
    for (; *p; p++)
        if (((unsigned char)*p < 0x20 && *p != '\t') || (unsigned char)*p > 0x7E) return false;
    return true;
}

static bool lines_valid(const char *p)
{
    while (*p) {
        size_t name = strcspn(p, ":\n"), n = strcspn(p, "\n");

        if (n && (!name || name == n || memchr(p, ' ', name))) return false;
        for (size_t i = 0; i < n; i++)
            if (((unsigned char)p[i] < 0x20 && p[i] != '\t') || (unsigned char)p[i] > 0x7E) return false;
        p += n + (p[n] == '\n');
    }
    return true;
}

vp_status vpi_s3_object_copy(vp_s3_object *to, const vp_s3_object *from, vp_error *err)
{
    *to = (vp_s3_object)VP_S3_OBJECT_INIT;
    VPI_TRY(vpi_copy_struct(to, sizeof(*to), from, err));
    if (to->flags & ~VP_S3_IF_ABSENT) return vpi_fail(err, VP_E_ARG, NULL, "object: unknown flags");
    return VP_OK;
}

vp_status vpi_s3_object_lines(const vp_s3_object *o, vpi_buf *lines, vp_error *err)
{
    const struct {
        const char *name, *value;
    } list[] = {
        { "Content-Type", o->content_type },
        { "Cache-Control", o->cache_control },
        { "Content-Encoding", o->content_encoding },
        { "Content-Disposition", o->content_disposition },
        { "x-amz-storage-class", o->storage_class },
        { "x-amz-acl", o->acl },
        { "x-amz-tagging", o->tags },
        { "x-amz-server-side-encryption", o->sse },
        { "x-amz-server-side-encryption-aws-kms-key-id", o->sse_key },
    };

    for (size_t i = 0; i < VPI_COUNT(list); i++) {
        if (!list[i].value || !*list[i].value) continue;
        if (!value_valid(list[i].value))
            return vpi_fail(err, VP_E_ARG, NULL, "object: %s has bytes that no header may have",
                            list[i].name);
        vpi_buf_printf(lines, "%s: ", list[i].name);
        vpi_buf_str(lines, list[i].value);
        vpi_buf_u8(lines, '\n');
    }
    if (o->headers && *o->headers) {
        if (!lines_valid(o->headers))
            return vpi_fail(err, VP_E_ARG, NULL, "object: headers are not lines of \"Name: value\" in ASCII");
        vpi_buf_str(lines, o->headers);
        if (o->headers[strlen(o->headers) - 1] != '\n') vpi_buf_u8(lines, '\n');
    }
    return vpi_buf_failed(lines) ? vpi_fail_nomem(err) : VP_OK;
}

vp_status vpi_s3_host_lines(vp_s3_headers_fn headers, void *user, const vp_object_info *info, vpi_buf *lines,
                            vp_error *err)
{
    vp_s3_object extra = VP_S3_OBJECT_INIT;
    vp_bytes *more = NULL;
    vp_status st = headers ? headers(user, info, &more, err) : VP_OK;

    if (st < 0) {
        st = vpi_fail_host(err, st, "the host's headers callback failed");
    } else {
        extra.headers = more ? vp_bytes_data(more) : NULL;
        st = vpi_s3_object_lines(&extra, lines, err);
    }
    vp_bytes_unref(more);
    return st;
}

/* ---- what is there ---- */

void vpi_s3_info_read(const vpi_s3_op *op, vp_s3_info *out)
{
    char text[64];

    *out = (vp_s3_info)VP_S3_INFO_INIT;
    vpi_s3_header(op, "content-length", text, sizeof(text));
    out->size = strtoull(text, NULL, 10);
    vpi_s3_header(op, "last-modified", text, sizeof(text));
    out->mtime_us = text[0] ? vpi_s3_parse_time(text) : 0;
    vpi_s3_header(op, "etag", out->etag, sizeof(out->etag));
    vpi_s3_header(op, "content-type", out->content_type, sizeof(out->content_type));
    vpi_s3_header(op, "x-amz-meta-vodpipe-upload", out->upload, sizeof(out->upload));
}

vp_status vpi_s3_info_give(const vp_s3_info *from, vp_s3_info *to, vp_error *err)
{
    uint32_t size;

    if (!to) return VP_OK;
    size = to->struct_size;
    if (size < sizeof(size)) return vpi_fail(err, VP_E_ARG, NULL, "struct_size is not set");
    memcpy(to, from, VPI_MIN(size, sizeof(*from)));
    to->struct_size = size;
    return VP_OK;
}

vp_status vp_s3_head(vp_s3 *s3, const char *bucket, const char *key, vp_cancel *cancel, vp_s3_info *out,
                     vp_error *err)
{
    vpi_s3_op op = { .method = "HEAD", .bucket = bucket, .key = key };
    vp_s3_info info;
    vp_status st;

    vpi_error_reset(err);
    if (!s3 || !key) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    VPI_TRY(vpi_s3_bucket_check(bucket, key, err));
    VPI_TRY(vpi_s3_ready(s3, cancel, err));
    st = vpi_s3_run(s3, &op, cancel, err);
    if (st == VP_OK) {
        vpi_s3_info_read(&op, &info);
        st = vpi_s3_info_give(&info, out, err);
    }
    vpi_s3_op_dispose(&op);
    vpi_error_op(err, "s3.head");
    return st;
}

vp_status vp_s3_get(vp_s3 *s3, const char *bucket, const char *key, uint64_t limit, vp_cancel *cancel,
                    vp_bytes **out, vp_error *err)
{
    vpi_s3_op op = { .method = "GET", .bucket = bucket, .key = key };
    vp_status st;

    vpi_error_reset(err);
    if (!s3 || !key || !out) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_s3_bucket_check(bucket, key, err));
    VPI_TRY(vpi_s3_ready(s3, cancel, err));
    op.max_body = (size_t)VPI_MIN(limit ? limit : UINT64_C(64) << 20, SIZE_MAX / 2);
    st = vpi_s3_run(s3, &op, cancel, err);
    if (st == VP_OK) st = vpi_bytes_from_buf(&op.call.answer.body, out, err);
    vpi_s3_op_dispose(&op);
    vpi_error_op(err, "s3.get");
    return st;
}

vp_status vp_s3_delete(vp_s3 *s3, const char *bucket, const char *key, vp_cancel *cancel, vp_error *err)
{
    vpi_s3_op op = { .method = "DELETE", .bucket = bucket, .key = key };
    vp_status st;

    vpi_error_reset(err);
    if (!s3 || !key) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    VPI_TRY(vpi_s3_bucket_check(bucket, key, err));
    VPI_TRY(vpi_s3_ready(s3, cancel, err));
    st = vpi_s3_run(s3, &op, cancel, err);
    vpi_s3_op_dispose(&op);
    vpi_error_op(err, "s3.delete");
    return st == VP_END ? VP_OK : st;
}
