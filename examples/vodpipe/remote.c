/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

void fill_http(vp_http_options *http)
{
    const char *ca = getenv("AWS_CA_BUNDLE");
    vp_http_options_init(http, sizeof(*http));
    if (ca && *ca) http->ca_file = ca;
}

void remote_init(remote *r, const cli_options *o, vp_context *context)
{
    *r = (remote){ .options = o, .context = context };
}

void remote_close(remote *r)
{
    r->s3 = vp_s3_unref(r->s3);
    free(r->endpoint);
    free(r->region);
    r->endpoint = r->region = NULL;
}

vp_status remote_s3(remote *r, vp_s3 **out, vp_error *err)
{
    const cli_options *o = r->options;
    vp_s3_options s = VP_S3_OPTIONS_INIT;
    vp_http_options http;
    vp_status st = VP_OK;
    fill_http(&http);
    s.flags = VP_S3_FROM_ENVIRONMENT | (o->path_style || r->path_style ? VP_S3_PATH_STYLE : 0);
    if (o->unsigned_payload) {
        s.flags |= VP_S3_UNSIGNED_PAYLOAD;
        s.checksum = VP_S3_CHECKSUM_CRC32C;
    }
    s.endpoint = o->endpoint ? o->endpoint : r->endpoint;
    s.region = o->region ? o->region : r->region;
    s.profile = o->profile;
    s.http = &http;
    if (!r->s3) st = vp_s3_new(r->context, &s, &r->s3, err);
    *out = r->s3;
    return st;
}

static vp_status split(const char *place, char **bucket, char **key, vp_error *err)
{
    if (place_split(place, bucket, key)) return VP_OK;
    return vp_error_set(err, VP_E_NOMEM, "NOMEM", 0, "out of memory");
}

vp_status remote_source(remote *r, const char *place, vp_source **out, vp_error *err)
{
    char *bucket = NULL, *key = NULL;
    vp_http_options http;
    vp_s3 *s3 = NULL;
    vp_status st;
    *out = NULL;
    switch (place_of(place)) {
    case PLACE_WEB:
        fill_http(&http);
        return vp_source_http(r->context, place, &http, out, err);
    case PLACE_S3:
        st = split(place, &bucket, &key, err);
        if (st >= 0) st = remote_s3(r, &s3, err);
        if (st >= 0) st = vp_source_s3(s3, bucket, key, out, err);
        free(bucket);
        free(key);
        return st;
    case PLACE_PATH:
        break;
    }
    return vp_source_file(r->context, place, out, err);
}

static vp_status s3_sink(remote *r, const char *place, vp_store *work, bool gzip, vp_sink **out,
                         vp_error *err)
{
    vp_sink_s3_options s = VP_SINK_S3_OPTIONS_INIT;
    char *bucket = NULL, *key = NULL;
    vp_s3 *s3 = NULL;
    vp_status st = split(place, &bucket, &key, err);
    s.flags = gzip ? VP_SINK_S3_GZIP : 0;
    s.bucket = bucket;
    s.prefix = key && *key ? key : NULL;
    s.work = work;
    if (st >= 0) st = remote_s3(r, &s3, err);
    if (st >= 0) st = vp_sink_s3(s3, &s, out, err);
    free(bucket);
    free(key);
    return st;
}

vp_status remote_sink(remote *r, const char *place, vp_store *work, bool gzip, vp_sink **out, vp_error *err)
{
    vp_http_options http;
    *out = NULL;
    switch (place_of(place)) {
    case PLACE_S3:
        return s3_sink(r, place, work, gzip, out, err);
    case PLACE_WEB:
        fill_http(&http);
        return web_sink(r->context, place, &http, out, err);
    case PLACE_PATH:
        break;
    }
    return vp_sink_directory(r->context, place, out, err);
}

vp_status remote_store(remote *r, const char *place, vp_store **out, vp_error *err)
{
    char *bucket = NULL, *key = NULL;
    vp_s3 *s3 = NULL;
    *out = NULL;
    if (place_of(place) != PLACE_S3) return vp_store_directory(r->context, place, out, err);
    vp_status st = split(place, &bucket, &key, err);
    if (st >= 0) st = remote_s3(r, &s3, err);
    if (st >= 0) st = vp_store_s3(s3, bucket, *key ? key : NULL, out, err);
    free(bucket);
    free(key);
    return st;
}
