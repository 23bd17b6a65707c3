/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_S3_SINK_INT_H
#define VPI_S3_SINK_INT_H

/* Inside of a sink: sink.c has its objects, sink_zip.c compressed manifests, sink_read.c what is there already. */

#include <zlib.h>

#include "upload.h"

#define VPI_S3_MANIFEST_MAX ((size_t)64 << 20)

typedef struct vpi_s3_sink vpi_s3_sink;

typedef struct vpi_s3_sink_object {
    vpi_s3_sink *sink;
    char *key; /* in the bucket */
    vpi_s3_writer *writer;
    vp_cancel *cancel; /* what interrupt of its time fires */
    z_stream *zip;     /* NULL: stored as it is */
    struct vpi_s3_sink_object *next;
    bool stopped;
    bool large; /* it went in parts, so that something of it may be in the journal */
} vpi_s3_sink_object;

struct vpi_s3_sink {
    vp_s3 *s3;
    char *bucket, *prefix; /* prefix with its '/' at the end, or "" */
    vp_s3_object object;   /* strings are ours */
    char *strings[10];
    char *cache_segments, *cache_manifests; /* NULL: as the job says */
    uint32_t flags;
    vp_s3_headers_fn headers;
    void (*release)(void *user);
    void *user;
    vp_store *work;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct {
        vp_cancel *cancel;
        vpi_s3_sink_object *pending; /* committed, on their way */
        vpi_s3_sink_object *ended; /* to be freed, and taken out of the journal, by a thread that may wait */
        unsigned count, interrupting;
        vp_status st;
        vp_error err;
    } synced;
};

/* Of the bucket; the caller's to free, NULL on no memory. */
char *vpi_s3_sink_key(const vpi_s3_sink *s, const char *key);
vp_cancel *vpi_s3_sink_cancel(vpi_s3_sink *s); /* what an interrupt from now on fires; a reference */

/* sink_zip.c */
vp_status vpi_s3_zip_new(vpi_s3_sink_object *o, vp_error *err);
vp_status vpi_s3_zip_write(vpi_s3_sink_object *o, const void *data, size_t size, int flush, vp_error *err);
/* What was stored compressed, as it was. *out stays as it is where it was not. */
vp_status vpi_s3_unzip(vp_bytes **out, vp_error *err);

/* sink_read.c, as in vp_sink_ops */
vp_status vpi_s3_sink_stat(void *user, const char *key, vp_object_info *info, vp_error *err);
vp_status vpi_s3_sink_list(void *user, const char *prefix, vp_list_fn fn, void *fn_user, vp_error *err);
vp_status vpi_s3_sink_open(void *user, const char *key, vp_source **out, vp_error *err);
vp_status vpi_s3_sink_remove(void *user, const char *key, vp_error *err);

#endif
