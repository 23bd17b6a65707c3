/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is in the bucket already, as the job that wrote it looks at it. */

#include "io/io.h"
#include "sink_int.h"

static vp_status get_whole(vpi_s3_sink *s, const char *key, vp_cancel *cancel, vp_bytes **out, vp_error *err)
{
    vp_status st = vp_s3_get(s->s3, s->bucket, key, VPI_S3_MANIFEST_MAX, cancel, out, err);

    if (st == VP_OK) st = vpi_s3_unzip(out, err);
    if (st < 0) *out = vp_bytes_unref(*out);
    return st;
}

static bool may_be_zipped(const vpi_s3_sink *s, const char *key)
{
    const char *dot = strrchr(key, '.');

    return s->flags & VP_SINK_S3_GZIP && dot &&
           (!strcmp(dot, ".m3u8") || !strcmp(dot, ".mpd") || !strcmp(dot, ".json") || !strcmp(dot, ".html"));
}

vp_status vpi_s3_sink_stat(void *user, const char *key, vp_object_info *info, vp_error *err)
{
    vpi_s3_sink *s = user;
    vp_s3_info found = VP_S3_INFO_INIT;
    vp_cancel *cancel = vpi_s3_sink_cancel(s);
    char *full = vpi_s3_sink_key(s, key);
    vp_bytes *bytes = NULL;
    vp_status st = full ? vp_s3_head(s->s3, s->bucket, full, cancel, &found, err) : vpi_fail_nomem(err);

    info->size = found.size;
    info->mtime_us = (uint64_t)VPI_MAX(found.mtime_us, 0);
    if (st == VP_OK && may_be_zipped(s, key)) {
        st = get_whole(s, full, cancel, &bytes, err);
        if (st == VP_OK) info->size = vp_bytes_size(bytes);
    }
    vp_bytes_unref(bytes);
    vpi_free(full);
    vp_cancel_unref(cancel);
    return st;
}

typedef struct relative {
    size_t skip;
    vp_list_fn fn;
    void *user;
} relative;

static vp_status on_listed(void *user, const vp_object_info *info)
{
    const relative *r = user;
    vp_object_info ours = *info;

    ours.key += r->skip;
    /* Consoles make objects like "titles/" to show folders: none of a title. */
    return vpi_key_valid(ours.key) ? r->fn(r->user, &ours) : VP_OK;
}

vp_status vpi_s3_sink_list(void *user, const char *prefix, vp_list_fn fn, void *fn_user, vp_error *err)
{
    vpi_s3_sink *s = user;
    relative r = { strlen(s->prefix), fn, fn_user };
    vp_cancel *cancel = vpi_s3_sink_cancel(s);
    char *full = vpi_s3_sink_key(s, prefix);
    vp_status st =
        full ? vp_s3_list(s->s3, s->bucket, full, on_listed, &r, cancel, err) : vpi_fail_nomem(err);

    vpi_free(full);
    vp_cancel_unref(cancel);
    return st;
}

vp_status vpi_s3_sink_open(void *user, const char *key, vp_source **out, vp_error *err)
{
    vpi_s3_sink *s = user;
    vp_s3_info found = VP_S3_INFO_INIT;
    vp_cancel *cancel = vpi_s3_sink_cancel(s);
    char *full = vpi_s3_sink_key(s, key);
    vp_bytes *bytes = NULL;
    vp_status st = VP_OK;

    if (!full) {
        st = vpi_fail_nomem(err);
    } else if (may_be_zipped(s, key)) {
        st = get_whole(s, full, cancel, &bytes, err);
        if (st == VP_OK)
            st = vp_source_memory(s->s3->context, vp_bytes_data(bytes), vp_bytes_size(bytes), out, err);
    } else {
        st = vp_s3_head(s->s3, s->bucket, full, cancel, &found, err);
        if (st == VP_OK) st = vp_source_s3(s->s3, s->bucket, full, out, err);
    }
    vp_bytes_unref(bytes);
    vpi_free(full);
    vp_cancel_unref(cancel);
    return st;
}

vp_status vpi_s3_sink_remove(void *user, const char *key, vp_error *err)
{
    vpi_s3_sink *s = user;
    vp_cancel *cancel = vpi_s3_sink_cancel(s);
    char *full = vpi_s3_sink_key(s, key);
    vp_status st = full ? vp_s3_delete(s->s3, s->bucket, full, cancel, err) : vpi_fail_nomem(err);

    vpi_free(full);
    vp_cancel_unref(cancel);
    return st;
}
