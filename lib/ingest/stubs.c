/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ingest.h where there is no libcrypto: everything answers UNSUPPORTED, nothing can be made. */

#include <vodpipe/ingest.h>

#include "base/error.h"

static vp_status off(vp_error *err)
{
    vp_error_init(err);
    return vpi_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED", "this library was built without uploads");
}

vp_status vp_ingest_directory(vp_context *context, const char *path, const vp_ingest_options *options,
                              vp_ingest **out, vp_error *err)
{
    (void)context;
    (void)path;
    (void)options;
    (void)out;
    if (out) *out = NULL;
    return off(err);
}

vp_ingest *vp_ingest_ref(vp_ingest *ingest)
{
    (void)ingest;
    return NULL;
}

vp_ingest *vp_ingest_unref(vp_ingest *ingest)
{
    (void)ingest;
    return NULL;
}

vp_status vp_ingest_create(vp_ingest *ingest, const vp_upload_options *options, vp_upload **out,
                           vp_error *err)
{
    (void)ingest;
    (void)options;
    (void)out;
    if (out) *out = NULL;
    return off(err);
}

vp_status vp_ingest_open(vp_ingest *ingest, const char *id, vp_upload **out, vp_error *err)
{
    (void)ingest;
    (void)id;
    (void)out;
    if (out) *out = NULL;
    return off(err);
}

vp_status vp_ingest_stat(vp_ingest *ingest, const char *id, vp_upload_info *info, vp_bytes **metadata,
                         vp_error *err)
{
    (void)ingest;
    (void)id;
    (void)info;
    (void)metadata;
    return off(err);
}

vp_status vp_ingest_peek(vp_ingest *ingest, const char *id, vp_source **out, vp_error *err)
{
    (void)ingest;
    (void)id;
    (void)out;
    if (out) *out = NULL;
    return off(err);
}

vp_status vp_ingest_source(vp_ingest *ingest, const char *id, vp_source **out, vp_error *err)
{
    (void)ingest;
    (void)id;
    (void)out;
    if (out) *out = NULL;
    return off(err);
}

vp_status vp_ingest_remove(vp_ingest *ingest, const char *id, vp_error *err)
{
    (void)ingest;
    (void)id;
    return off(err);
}

vp_status vp_ingest_list(vp_ingest *ingest, vp_upload_fn fn, void *user, vp_error *err)
{
    (void)ingest;
    (void)fn;
    (void)user;
    return off(err);
}

vp_status vp_ingest_expire(vp_ingest *ingest, vp_cancel *cancel, uint64_t *count, vp_error *err)
{
    (void)ingest;
    (void)cancel;
    (void)count;
    return off(err);
}

vp_upload *vp_upload_close(vp_upload *upload)
{
    (void)upload;
    return NULL;
}

vp_status vp_upload_get_info(vp_upload *upload, vp_upload_info *info, vp_error *err)
{
    (void)upload;
    (void)info;
    return off(err);
}

uint64_t vp_upload_offset(const vp_upload *upload)
{
    (void)upload;
    return 0;
}

vp_status vp_upload_set_length(vp_upload *upload, uint64_t length, vp_error *err)
{
    (void)upload;
    (void)length;
    return off(err);
}

vp_status vp_upload_append(vp_upload *upload, uint64_t offset, const void *data, size_t size, vp_error *err)
{
    (void)upload;
    (void)offset;
    (void)data;
    (void)size;
    return off(err);
}

vp_status vp_upload_write_at(vp_upload *upload, uint64_t offset, const void *data, size_t size, vp_error *err)
{
    (void)upload;
    (void)offset;
    (void)data;
    (void)size;
    return off(err);
}

vp_status vp_upload_missing(vp_upload *upload, uint64_t index, uint64_t *from, uint64_t *to, vp_error *err)
{
    (void)upload;
    (void)index;
    (void)from;
    (void)to;
    return off(err);
}

vp_status vp_upload_check_begin(vp_upload *upload, const char *algorithm, vp_error *err)
{
    (void)upload;
    (void)algorithm;
    return off(err);
}

vp_status vp_upload_check_end(vp_upload *upload, const void *digest, size_t size, vp_error *err)
{
    (void)upload;
    (void)digest;
    (void)size;
    return off(err);
}

void vp_upload_check_drop(vp_upload *upload)
{
    (void)upload;
}

vp_status vp_upload_sync(vp_upload *upload, vp_error *err)
{
    (void)upload;
    return off(err);
}

vp_status vp_upload_sync_start(vp_upload *upload, vp_queue *queue, uint64_t tag, vp_error *err)
{
    (void)upload;
    (void)queue;
    (void)tag;
    return off(err);
}

vp_status vp_upload_append_start(vp_upload *upload, uint64_t offset, const void *data, size_t size,
                                 vp_queue *queue, uint64_t tag, vp_error *err)
{
    (void)upload;
    (void)offset;
    (void)data;
    (void)size;
    (void)queue;
    (void)tag;
    return off(err);
}

vp_status vp_upload_finish(vp_upload *upload, vp_source **out, vp_upload_info *info, vp_error *err)
{
    (void)upload;
    (void)out;
    (void)info;
    if (out) *out = NULL;
    return off(err);
}

vp_status vp_upload_finish_start(vp_upload *upload, vp_queue *queue, uint64_t tag, vp_error *err)
{
    (void)upload;
    (void)queue;
    (void)tag;
    return off(err);
}

vp_status vp_ingest_reply_set(vp_ingest_reply *reply, const void *data, uint64_t size, uint64_t version,
                              vp_error *err)
{
    (void)reply;
    (void)data;
    (void)size;
    (void)version;
    return off(err);
}

vp_status vp_ingest_new(vp_context *context, const vp_ingest_ops *ops, void *user,
                        const vp_ingest_options *options, vp_ingest **out, vp_error *err)
{
    (void)context;
    (void)ops;
    (void)user;
    (void)options;
    (void)out;
    if (out) *out = NULL;
    return off(err);
}
