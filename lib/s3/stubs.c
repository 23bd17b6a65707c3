/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This folder where object storage is built out: every symbol stays and answers FEATURE_DISABLED. */

#include <vodpipe/s3.h>

#include "base/error.h"

static vp_status disabled(vp_error *err)
{
    vpi_error_reset(err);
    return vpi_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED",
                    "this library was built without object storage");
}

vp_status vp_s3_reply_set(vp_s3_reply *reply, const vp_s3_credentials *credentials, vp_error *err)
{
    (void)reply, (void)credentials;
    return disabled(err);
}

vp_status vp_s3_sign(const vp_s3_request *request, const vp_s3_credentials *credentials, vp_bytes **lines,
                     vp_error *err)
{
    (void)request, (void)credentials, (void)lines;
    return disabled(err);
}

vp_status vp_s3_presign(const vp_s3_request *request, const vp_s3_credentials *credentials, vp_bytes **url,
                        vp_error *err)
{
    (void)request, (void)credentials, (void)url;
    return disabled(err);
}

vp_status vp_s3_chunks_begin(const vp_s3_request *request, const vp_s3_credentials *credentials,
                             vp_bytes **lines, vp_s3_chunks **out, vp_error *err)
{
    (void)request, (void)credentials, (void)lines, (void)out;
    return disabled(err);
}

vp_s3_chunks *vp_s3_chunks_ref(vp_s3_chunks *chunks)
{
    (void)chunks;
    return NULL;
}

vp_s3_chunks *vp_s3_chunks_unref(vp_s3_chunks *chunks)
{
    (void)chunks;
    return NULL;
}

vp_status vp_s3_chunks_next(vp_s3_chunks *chunks, const void *data, uint64_t size, vp_bytes **text,
                            vp_error *err)
{
    (void)chunks, (void)data, (void)size, (void)text;
    return disabled(err);
}

vp_status vp_s3_chunks_end(vp_s3_chunks *chunks, const char *trailer, vp_bytes **text, vp_error *err)
{
    (void)chunks, (void)trailer, (void)text;
    return disabled(err);
}

vp_status vp_s3_chunks_size(const char *payload_sha256, uint64_t size, uint64_t chunk_size,
                            const char *trailer, uint64_t *out, vp_error *err)
{
    (void)payload_sha256, (void)size, (void)chunk_size, (void)trailer, (void)out;
    return disabled(err);
}

vp_status vp_s3_post_policy(const vp_s3_post *post, const vp_s3_credentials *credentials, vp_bytes **json,
                            vp_error *err)
{
    (void)post, (void)credentials, (void)json;
    return disabled(err);
}

vp_status vp_cloudfront_sign_url(const vp_cloudfront *cloudfront, const char *address, vp_bytes **url,
                                 vp_error *err)
{
    (void)cloudfront, (void)address, (void)url;
    return disabled(err);
}

vp_status vp_cloudfront_sign_cookies(const vp_cloudfront *cloudfront, vp_bytes **lines, vp_error *err)
{
    (void)cloudfront, (void)lines;
    return disabled(err);
}

vp_status vp_s3_new(vp_context *context, const vp_s3_options *options, vp_s3 **out, vp_error *err)
{
    (void)context, (void)options, (void)out;
    return disabled(err);
}

vp_s3 *vp_s3_ref(vp_s3 *s3)
{
    (void)s3;
    return NULL;
}

vp_s3 *vp_s3_unref(vp_s3 *s3)
{
    (void)s3;
    return NULL;
}

vp_status vp_s3_get_counts(vp_s3 *s3, vp_s3_counts *out, vp_error *err)
{
    (void)s3, (void)out;
    return disabled(err);
}

vp_status vp_s3_presign_object(vp_s3 *s3, const char *method, const char *bucket, const char *key,
                               const char *query, const char *headers, uint32_t expires_s, vp_cancel *cancel,
                               vp_bytes **url, vp_error *err)
{
    (void)s3, (void)method, (void)bucket, (void)key, (void)query, (void)headers, (void)expires_s,
        (void)cancel, (void)url;
    return disabled(err);
}

vp_status vp_s3_put(vp_s3 *s3, const char *bucket, const char *key, vp_source *source,
                    const vp_s3_object *object, vp_cancel *cancel, vp_s3_info *out, vp_error *err)
{
    (void)s3, (void)bucket, (void)key, (void)source, (void)object, (void)cancel, (void)out;
    return disabled(err);
}

vp_status vp_s3_get(vp_s3 *s3, const char *bucket, const char *key, uint64_t limit, vp_cancel *cancel,
                    vp_bytes **out, vp_error *err)
{
    (void)s3, (void)bucket, (void)key, (void)limit, (void)cancel, (void)out;
    return disabled(err);
}

vp_status vp_s3_head(vp_s3 *s3, const char *bucket, const char *key, vp_cancel *cancel, vp_s3_info *out,
                     vp_error *err)
{
    (void)s3, (void)bucket, (void)key, (void)cancel, (void)out;
    return disabled(err);
}

vp_status vp_s3_delete(vp_s3 *s3, const char *bucket, const char *key, vp_cancel *cancel, vp_error *err)
{
    (void)s3, (void)bucket, (void)key, (void)cancel;
    return disabled(err);
}

vp_status vp_s3_delete_prefix(vp_s3 *s3, const char *bucket, const char *prefix, vp_cancel *cancel,
                              uint64_t *count, vp_error *err)
{
    (void)s3, (void)bucket, (void)prefix, (void)cancel, (void)count;
    return disabled(err);
}

vp_status vp_s3_list(vp_s3 *s3, const char *bucket, const char *prefix, vp_list_fn fn, void *user,
                     vp_cancel *cancel, vp_error *err)
{
    (void)s3, (void)bucket, (void)prefix, (void)fn, (void)user, (void)cancel;
    return disabled(err);
}

vp_status vp_s3_copy(vp_s3 *s3, const char *bucket, const char *key, const char *to_bucket,
                     const char *to_key, const vp_s3_object *object, vp_cancel *cancel, vp_error *err)
{
    (void)s3, (void)bucket, (void)key, (void)to_bucket, (void)to_key, (void)object, (void)cancel;
    return disabled(err);
}

vp_status vp_s3_sweep(vp_s3 *s3, const char *bucket, const char *prefix, int64_t older_than_s,
                      vp_cancel *cancel, uint64_t *count, vp_error *err)
{
    (void)s3, (void)bucket, (void)prefix, (void)older_than_s, (void)cancel, (void)count;
    return disabled(err);
}

vp_status vp_s3_abandon(vp_s3 *s3, vp_store *work, vp_cancel *cancel, uint64_t *count, vp_error *err)
{
    (void)s3, (void)work, (void)cancel, (void)count;
    return disabled(err);
}

vp_status vp_s3_upload_begin(vp_s3 *s3, const char *bucket, const char *key, uint64_t size,
                             const vp_s3_object *object, vp_cancel *cancel, vp_s3_upload **out, vp_error *err)
{
    (void)s3, (void)bucket, (void)key, (void)size, (void)object, (void)cancel, (void)out;
    return disabled(err);
}

vp_status vp_s3_upload_resume(vp_s3 *s3, const void *token, uint64_t token_size, vp_cancel *cancel,
                              vp_s3_upload **out, vp_error *err)
{
    (void)s3, (void)token, (void)token_size, (void)cancel, (void)out;
    return disabled(err);
}

vp_s3_upload *vp_s3_upload_ref(vp_s3_upload *upload)
{
    (void)upload;
    return NULL;
}

vp_s3_upload *vp_s3_upload_unref(vp_s3_upload *upload)
{
    (void)upload;
    return NULL;
}

uint64_t vp_s3_upload_part_size(const vp_s3_upload *upload)
{
    (void)upload;
    return 0;
}

vp_status vp_s3_upload_token(vp_s3_upload *upload, vp_bytes **token, vp_error *err)
{
    (void)upload, (void)token;
    return disabled(err);
}

vp_status vp_s3_upload_has(vp_s3_upload *upload, uint32_t number, uint64_t *size, uint32_t *crc32c)
{
    (void)upload, (void)number, (void)size, (void)crc32c;
    return VP_E_UNSUPPORTED;
}

vp_status vp_s3_upload_part(vp_s3_upload *upload, uint32_t number, const void *data, uint64_t size,
                            vp_cancel *cancel, vp_error *err)
{
    (void)upload, (void)number, (void)data, (void)size, (void)cancel;
    return disabled(err);
}

vp_status vp_s3_upload_complete(vp_s3_upload *upload, vp_cancel *cancel, vp_s3_info *out, vp_error *err)
{
    (void)upload, (void)cancel, (void)out;
    return disabled(err);
}

vp_status vp_s3_upload_presign(vp_s3_upload *upload, uint32_t number, uint32_t expires_s, vp_cancel *cancel,
                               vp_bytes **url, vp_error *err)
{
    (void)upload, (void)number, (void)expires_s, (void)cancel, (void)url;
    return disabled(err);
}

vp_status vp_s3_upload_adopt(vp_s3_upload *upload, vp_cancel *cancel, vp_error *err)
{
    (void)upload, (void)cancel;
    return disabled(err);
}

vp_status vp_s3_upload_abort(vp_s3_upload *upload, vp_cancel *cancel, vp_error *err)
{
    (void)upload, (void)cancel;
    return disabled(err);
}

vp_status vp_sink_s3(vp_s3 *s3, const vp_sink_s3_options *options, vp_sink **out, vp_error *err)
{
    (void)s3, (void)options, (void)out;
    return disabled(err);
}

vp_status vp_source_s3(vp_s3 *s3, const char *bucket, const char *key, vp_source **out, vp_error *err)
{
    (void)s3, (void)bucket, (void)key, (void)out;
    return disabled(err);
}

vp_status vp_store_s3(vp_s3 *s3, const char *bucket, const char *prefix, vp_store **out, vp_error *err)
{
    (void)s3, (void)bucket, (void)prefix, (void)out;
    return disabled(err);
}

vp_status vp_s3_put_tree(vp_s3 *s3, const char *directory, const vp_sink_s3_options *sink, vp_store *work,
                         vp_s3_progress_fn progress, void *user, vp_cancel *cancel, vp_error *err)
{
    (void)s3, (void)directory, (void)sink, (void)work, (void)progress, (void)user, (void)cancel;
    return disabled(err);
}

vp_status vp_ingest_s3(vp_s3 *s3, const char *bucket, const char *prefix, const vp_ingest_options *options,
                       vp_ingest **out, vp_error *err)
{
    (void)s3, (void)bucket, (void)prefix, (void)options, (void)out;
    return disabled(err);
}
