/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses for others, by what the client has and knows. */

#include <stdio.h>

#include "upload.h"

static vp_status find_region(vp_s3 *s3, const char *bucket, vp_cancel *cancel, vp_error *err)
{
    vpi_s3_op op = { .method = "HEAD", .bucket = bucket };
    vp_error ignored = VP_ERROR_INIT;
    char region[64];
    vp_status st;

    /* Whatever it answers, the region was learned from it, or is the one that we have. */
    st = vpi_s3_run(s3, &op, cancel, &ignored);
    vpi_s3_op_dispose(&op);
    if (st < 0 &&
        !(st == VP_E_AUTH && strcmp(ignored.reason, "S3_ACCESS_DENIED") == 0)) { /* others may do more */
        vpi_error_copy(err, &ignored);
        return st;
    }
    pthread_mutex_lock(&s3->lock);
    vpi_strlcpy(region, vpi_s3_region_synced(s3, bucket), sizeof(region));
    vpi_s3_learn_region_synced(s3, bucket, region); /* also where it is the one that is tried first */
    pthread_mutex_unlock(&s3->lock);
    return VP_OK;
}

/* One client of a process has it told; else it is asked for, once. */
static bool knows_region(vp_s3 *s3, const char *bucket)
{
    bool known = s3->region || s3->vendor != VP_S3_VENDOR_AWS;

    pthread_mutex_lock(&s3->lock);
    for (const vpi_s3_region *r = s3->synced.regions; r && !known; r = r->next)
        known = !r->bucket[0] || strcmp(r->bucket, bucket) == 0;
    pthread_mutex_unlock(&s3->lock);
    return known;
}

static vp_status sign_synced(vp_s3 *s3, vp_s3_request *request, const char *bucket, const char *key,
                             const char *query, vpi_buf *url, vp_error *err)
{
    vpi_buf plain = { 0 };
    vp_s3_credentials credentials;
    char region[64];
    int64_t left;
    vp_status st;

    VPI_GO(vpi_s3_address_synced(s3, bucket, key, query, &plain, region, err));
    if (s3->o.flags & VP_S3_ANONYMOUS) {
        vpi_buf_str(url, (const char *)plain.data);
        goto done;
    }
    credentials = vpi_s3_secret_view(&s3->synced.secret);
    request->url = (const char *)plain.data;
    request->region = region;
    request->time_us = vpi_s3_time_us() + s3->synced.skew_us;
    left = credentials.expires_us ? (credentials.expires_us - request->time_us) / 1000000 : INT32_MAX;
    if (left < (int64_t)request->expires_s) request->expires_s = (uint32_t)VPI_MAX(left, 1);
    st = vpi_s3_sign_url(request, &credentials, NULL, url, err);
done:
    vpi_buf_dispose(&plain);
    return st;
}

vp_status vp_s3_presign_object(vp_s3 *s3, const char *method, const char *bucket, const char *key,
                               const char *query, const char *headers, uint32_t expires_s, vp_cancel *cancel,
                               vp_bytes **url, vp_error *err)
{
    vp_s3_request request = VP_S3_REQUEST_INIT;
    vpi_buf text = { 0 };
    vp_status st;

    vpi_error_reset(err);
    if (!s3 || !method || !key || !url) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *url = NULL;
    if (!vpi_streq(method, "GET") && !vpi_streq(method, "PUT") && !vpi_streq(method, "HEAD") &&
        !vpi_streq(method, "DELETE"))
        return vpi_fail(err, VP_E_ARG, NULL, "method: GET, PUT, HEAD or DELETE");
    VPI_TRY(vpi_s3_bucket_check(bucket, key, err));
    VPI_TRY(vpi_s3_take_expires(expires_s, &request.expires_s, err));
    VPI_TRY(vpi_s3_ready(s3, cancel, err));
    request.method = method;
    request.headers = headers;
    if (!(s3->o.flags & VP_S3_ANONYMOUS)) {
        if (!knows_region(s3, bucket)) VPI_TRY(find_region(s3, bucket, cancel, err));
        VPI_TRY(vpi_s3_have_secret(s3, cancel, err));
    }
    pthread_mutex_lock(&s3->lock);
    st = sign_synced(s3, &request, bucket, key, query, &text, err);
    pthread_mutex_unlock(&s3->lock);
    if (st >= 0) st = vpi_bytes_from_buf(&text, url, err);
    vpi_buf_dispose(&text);
    vpi_error_op(err, "s3.presign");
    return st;
}

vp_status vp_s3_upload_presign(vp_s3_upload *u, uint32_t number, uint32_t expires_s, vp_cancel *cancel,
                               vp_bytes **url, vp_error *err)
{
    vpi_buf query = { 0 };
    vp_status st;

    vpi_error_reset(err);
    if (!u || !url) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *url = NULL;
    if (number < 1 || number > VPI_S3_PARTS_MAX)
        return vpi_fail(err, VP_E_ARG, NULL, "number: 1 to %u", VPI_S3_PARTS_MAX);
    pthread_mutex_lock(&u->lock);
    u->synced.shown = true;
    pthread_mutex_unlock(&u->lock);
    vpi_buf_printf(&query, "partNumber=%u&uploadId=", (unsigned)number);
    vpi_s3_encode(&query, u->id, false);
    vpi_buf_u8(&query, 0);
    if (vpi_buf_failed(&query))
        st = vpi_fail_nomem(err);
    else
        st = vp_s3_presign_object(u->s3, "PUT", u->bucket, u->key, (const char *)query.data, NULL, expires_s,
                                  cancel, url, err);
    vpi_buf_dispose(&query);
    return st;
}
