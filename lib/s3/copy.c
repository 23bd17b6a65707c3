/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies inside the service. */

#include <inttypes.h>
#include <stdio.h>

#include "upload.h"

#define COPY_PART (UINT64_C(1) << 30)

static vp_status copy_source(const char *bucket, const char *key, vpi_buf *lines, vp_error *err)
{
    vpi_buf_str(lines, "x-amz-copy-source: /");
    vpi_s3_encode(lines, bucket, false);
    vpi_buf_u8(lines, '/');
    vpi_s3_encode(lines, key, true);
    vpi_buf_u8(lines, '\n');
    return vpi_buf_failed(lines) ? vpi_fail_nomem(err) : VP_OK;
}

static vp_status copy_whole(vp_s3 *s3, const char *bucket, const char *key, const char *to_bucket,
                            const char *to_key, const char *object_lines, vp_cancel *cancel, vp_error *err)
{
    vpi_s3_op op = { .method = "PUT", .bucket = to_bucket, .key = to_key, .flags = VPI_S3_MAYBE_ERROR };
    vpi_buf lines = { 0 };
    vp_status st;

    VPI_GO(copy_source(bucket, key, &lines, err));
    vpi_buf_printf(&lines, "x-amz-metadata-directive: %s\n", object_lines ? "REPLACE" : "COPY");
    if (object_lines) vpi_buf_str(&lines, object_lines);
    vpi_buf_u8(&lines, 0);
    if (vpi_buf_failed(&lines)) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    op.headers = (const char *)lines.data;
    st = vpi_s3_run(s3, &op, cancel, err);
done:
    vpi_buf_dispose(&lines);
    vpi_s3_op_dispose(&op);
    return st;
}

static vp_status on_copied(void *user, const char *path, const char *text, vp_error *err)
{
    (void)err;
    if (strcmp(path, "CopyPartResult/ETag") == 0) vpi_strlcpy(user, text, 136);
    return VP_OK;
}

vp_status vpi_s3_copy_part(vp_s3_upload *u, const char *bucket, const char *key, uint32_t number,
                           uint64_t from, uint64_t size, const char *etag, vp_cancel *cancel, vp_error *err)
{
    vpi_s3_part_op part = { 0 };
    vpi_s3_sums none = { 0 };
    vpi_buf lines = { 0 };
    char root[64], got[136] = "";
    vp_status st;

    VPI_TRY(vpi_s3_part_prepare(u, &part, number, NULL, 0, &none, err));
    VPI_GO(copy_source(bucket, key, &lines, err));
    vpi_buf_printf(&lines, "x-amz-copy-source-range: bytes=%" PRIu64 "-%" PRIu64 "\n", from, from + size - 1);
    vpi_buf_printf(&lines, "x-amz-copy-source-if-match: %s\n", etag);
    vpi_buf_u8(&lines, 0);
    if (vpi_buf_failed(&lines)) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    part.op.headers = (const char *)lines.data;
    part.op.flags = VPI_S3_MAYBE_ERROR | VPI_S3_NO_SUMS;
    VPI_GO(vpi_s3_run(u->s3, &part.op, cancel, err));
    VPI_GO(
        vpi_s3_xml(part.op.call.answer.body.data, part.op.call.answer.body.size, on_copied, got, root, err));
    if (!got[0]) {
        st =
            vpi_fail(err, VP_E_IO, "S3_ERROR", "the server copies part %u without an ETag", (unsigned)number);
        goto done;
    }
    st = vpi_s3_part_note_as(u, number, size, got, err);
done:
    vpi_buf_dispose(&lines);
    vpi_s3_op_dispose(&part.op);
    return st;
}

static vp_status copy_parts(vp_s3 *s3, const char *bucket, const char *key, const vp_s3_info *info,
                            const char *to_bucket, const char *to_key, const char *lines, vp_cancel *cancel,
                            vp_error *err)
{
    uint64_t step = VPI_MAX(COPY_PART, vpi_s3_part_size(s3, info->size)), at = 0;
    vp_s3_upload *u;
    vp_status st;

    VPI_TRY(vpi_s3_upload_new(s3, to_bucket, to_key, info->size, lines, true, cancel, &u, err));
    for (uint32_t number = 1; at < info->size; number++) {
        uint64_t size = VPI_MIN(step, info->size - at);

        VPI_GO(vpi_s3_copy_part(u, bucket, key, number, at, size, info->etag, cancel, err));
        at += size;
    }
    st = vp_s3_upload_complete(u, cancel, NULL, err);
done:
    if (st < 0) {
        vp_cancel *late = NULL;

        if (vp_cancel_new(&late, NULL) >= 0) vp_cancel_deadline(late, 5000);
        vp_s3_upload_abort(u, late, NULL);
        vp_cancel_unref(late);
    }
    vp_s3_upload_unref(u);
    return st;
}

vp_status vp_s3_copy(vp_s3 *s3, const char *bucket, const char *key, const char *to_bucket,
                     const char *to_key, const vp_s3_object *object, vp_cancel *cancel, vp_error *err)
{
    vp_s3_info info = VP_S3_INFO_INIT;
    vpi_buf lines = { 0 };
    vp_s3_object how;
    vp_status st;

    vpi_error_reset(err);
    if (!s3 || !key || !to_key) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    VPI_TRY(vpi_s3_bucket_check(bucket, key, err));
    VPI_TRY(vpi_s3_bucket_check(to_bucket, to_key, err));
    VPI_TRY(vpi_s3_object_copy(&how, object, err));
    if (how.flags) return vpi_fail(err, VP_E_ARG, NULL, "object: flags are for vp_s3_put");
    st = vp_s3_head(s3, bucket, key, cancel, &info, err);
    if (st != VP_OK) return st;
    if (object)
        VPI_GO(vpi_s3_object_lines(&how, &lines, err));
    else if (info.size > VPI_S3_PART_MAX && info.content_type[0]) /* of parts nothing is taken over */
        vpi_buf_printf(&lines, "Content-Type: %s\n", info.content_type);
    vpi_buf_u8(&lines, 0);
    if (vpi_buf_failed(&lines)) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    if (info.size > VPI_S3_PART_MAX)
        st = copy_parts(s3, bucket, key, &info, to_bucket, to_key, (const char *)lines.data, cancel, err);
    else
        st = copy_whole(s3, bucket, key, to_bucket, to_key, object ? (const char *)lines.data : NULL, cancel,
                        err);
done:
    vpi_buf_dispose(&lines);
    vpi_error_op(err, "s3.copy");
    return st;
}
