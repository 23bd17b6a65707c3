/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Uploads in a bucket: the store, and calls that can be ended from outside. */

#include "ingest_s3.h"

#define LENGTH_MAX (VPI_HOLD_PARTS * VPI_S3_PART_MAX)

/* ---- calls ---- */

vp_status vpi_hold_enter(vpi_hold *h, vp_cancel **out, vp_error *err)
{
    vp_error mine = VP_ERROR_INIT;
    vp_status st = VP_OK;

    *out = NULL;
    pthread_mutex_lock(&h->lock);
    if (vp_cancel_fired(h->synced.calls)) h->synced.calls = vp_cancel_unref(h->synced.calls);
    if (!h->synced.calls) st = vp_cancel_child(vpi_context_cancel(h->context), &h->synced.calls, &mine);
    *out = vp_cancel_ref(h->synced.calls);
    pthread_mutex_unlock(&h->lock);
    if (st >= 0) st = vpi_s3_ready(h->s3, *out, &mine);
    if (st < 0) {
        *out = vp_cancel_unref(*out);
        vpi_error_copy(err, &mine);
    }
    return st;
}

static void hold_interrupt(void *user)
{
    vpi_hold *h = user;

    pthread_mutex_lock(&h->lock);
    vp_cancel_fire(h->synced.calls);
    pthread_mutex_unlock(&h->lock);
}

/* ---- names ---- */

void vpi_hold_stamp(char stamp[VPI_HOLD_STAMP])
{
    char marker[VPI_S3_MARKER];

    vpi_s3_marker_make(marker);
    memcpy(stamp, marker, VPI_HOLD_STAMP - 1);
    stamp[VPI_HOLD_STAMP - 1] = 0;
}

char *vpi_hold_name(const vpi_hold *h, const char *id, const char *kind, const char *stamp)
{
    return vpi_asprintf("%suploads/%s.%s%s%s", h->prefix, id, kind, stamp ? "-" : "", stamp ? stamp : "");
}

char *vpi_hold_key(const vpi_hold *h, const char *below)
{
    return vpi_asprintf("%s%s", h->prefix, below);
}

void vpi_hold_drop(vpi_hold *h, const char *key, vp_cancel *cancel)
{
    vp_error why = VP_ERROR_INIT;

    if (!key || vp_s3_delete(h->s3, h->bucket, key, cancel, &why) >= 0 || why.status == VP_E_CANCELED) return;
    vpi_log(h->context, VP_LOG_WARN, "s3", "%s is left for the next expiry: %s", key, why.message);
}

/* ---- the store ---- */

static void hold_release(void *user)
{
    vpi_hold *h = user;

    if (!vpi_forked(h->fork_mark)) {
        for (size_t i = 0; i < VPI_HOLD_STRIPES; i++) pthread_mutex_destroy(&h->stripes[i]);
        pthread_mutex_destroy(&h->lock);
    }
    vp_cancel_unref(h->synced.calls);
    vp_s3_unref(h->s3);
    vpi_free(h->bucket);
    vpi_free(h->prefix);
    vpi_free(h);
}

/* "a/b" and "a/b/" are one. */
static vp_status set_prefix(vpi_hold *h, const char *prefix, vp_error *err)
{
    size_t n = prefix ? strlen(prefix) : 0;
    char *text;

    if (n > 0 && prefix[n - 1] == '/') n--;
    text = vpi_strndup(prefix ? prefix : "", n);
    if (!text) return vpi_fail_nomem(err);
    if (n > 512 || (n > 0 && !vpi_key_valid(text))) {
        vpi_free(text);
        return vpi_fail(err, VP_E_ARG, NULL,
                        "prefix: wanted is \"a/b\", without \"..\" or empty parts, at most 512 bytes");
    }
    h->prefix = vpi_asprintf("%s%s", text, n > 0 ? "/" : "");
    vpi_free(text);
    return h->prefix ? VP_OK : vpi_fail_nomem(err);
}

static vp_status hold_new(vp_s3 *s3, const char *bucket, const char *prefix, vpi_hold **out, vp_error *err)
{
    vpi_hold *h = vpi_calloc(1, sizeof(*h));
    vp_status st;

    if (!h) return vpi_fail_nomem(err);
    h->context = s3->context;
    h->fork_mark = vpi_fork_mark();
    h->s3 = vp_s3_ref(s3);
    pthread_mutex_init(&h->lock, NULL);
    for (size_t i = 0; i < VPI_HOLD_STRIPES; i++) pthread_mutex_init(&h->stripes[i], NULL);
    h->bucket = vpi_strdup(bucket);
    VPI_GO(h->bucket ? VP_OK : vpi_fail_nomem(err));
    VPI_GO(set_prefix(h, prefix, err));
    *out = h;
    return VP_OK;
done:
    hold_release(h);
    return st;
}

vp_status vpi_hold_ingest(vp_s3 *s3, const char *bucket, const char *prefix, const vp_ingest_options *options,
                          vp_ingest **out, vpi_hold **hold, vp_error *err)
{
    static const vp_ingest_ops ops = { .struct_size = sizeof(ops),
                                       .record_get = vpi_hold_record_get,
                                       .record_put = vpi_hold_record_put,
                                       .record_remove = vpi_hold_record_remove,
                                       .record_list = vpi_hold_record_list,
                                       .data_open = vpi_hold_data_open,
                                       .data_append = vpi_hold_data_append,
                                       .data_sync = vpi_hold_data_sync,
                                       .data_close = vpi_hold_data_close,
                                       .data_finish = vpi_hold_data_finish,
                                       .data_source = vpi_hold_data_source,
                                       .data_remove = vpi_hold_data_remove,
                                       .data_share = vpi_hold_data_share,
                                       .tidy = vpi_hold_tidy,
                                       .interrupt = hold_interrupt,
                                       .release = hold_release };
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vpi_hold *h = NULL;
    vp_status st;

    vpi_error_reset(err);
    if (!s3 || !bucket || !out) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_context_check(s3->context, err));
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    /* What no object can hold is refused when it is made, not with its first byte. */
    if (o.max_size == 0 || o.max_size > LENGTH_MAX) o.max_size = LENGTH_MAX;
    VPI_TRY(vpi_s3_bucket_check(bucket, NULL, err));
    VPI_TRY(hold_new(s3, bucket, prefix, &h, err));
    st = vpi_ingest_new(s3->context, &ops, h, false, &o, out, err);
    if (st < 0)
        hold_release(h); /* a store that was not made does not call it */
    else if (hold)
        *hold = h;
    return st;
}

vp_status vp_ingest_s3(vp_s3 *s3, const char *bucket, const char *prefix, const vp_ingest_options *options,
                       vp_ingest **out, vp_error *err)
{
    return vpi_hold_ingest(s3, bucket, prefix, options, out, NULL, err);
}
