/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A client: its options, its start and its end. */

#include <time.h>

#include "base/build.h"
#include "client.h"

#define CONNECTIONS 8u
#define CONNECTIONS_MAX 64u
#define ATTEMPTS 10u
#define STALL_MS 20000u
#define SLOW_RATE 1024u
#define DEADLINE_MS 600000u
#define MEMORY (UINT64_C(20) << 20)
#define MULTIPART_FROM (UINT64_C(8) << 20)

int vpi_s3_feature(void)
{
    return 1;
}

static vp_status check_options(const vp_s3_options *o, vp_error *err)
{
    const uint32_t known = VP_S3_PATH_STYLE | VP_S3_VIRTUAL_HOST | VP_S3_FROM_ENVIRONMENT |
                           VP_S3_SIGN_PAYLOAD | VP_S3_UNSIGNED_PAYLOAD | VP_S3_ANONYMOUS;

    if (o->flags & ~known) return vpi_fail(err, VP_E_ARG, NULL, "flags: unknown ones");
    if ((o->flags & VP_S3_PATH_STYLE && o->flags & VP_S3_VIRTUAL_HOST) ||
        (o->flags & VP_S3_SIGN_PAYLOAD && o->flags & VP_S3_UNSIGNED_PAYLOAD))
        return vpi_fail(err, VP_E_ARG, NULL, "flags: two that exclude each other");
    if (o->vendor < VP_S3_VENDOR_AUTO || o->vendor > VP_S3_VENDOR_B2)
        return vpi_fail(err, VP_E_ARG, NULL, "vendor: unknown");
    if (o->checksum < VP_S3_CHECKSUM_AUTO || o->checksum > VP_S3_CHECKSUM_CRC64NVME)
        return vpi_fail(err, VP_E_ARG, NULL, "checksum: unknown");
    if (o->connections > CONNECTIONS_MAX)
        return vpi_fail(err, VP_E_ARG, NULL, "connections: at most %u", CONNECTIONS_MAX);
    if (o->part_size && (o->part_size < VPI_S3_PART_MIN || o->part_size > VPI_S3_PART_MAX))
        return vpi_fail(err, VP_E_ARG, NULL, "part_size: 5 MiB to 5 GiB");
    if (o->multipart_from > VPI_S3_PART_MAX)
        return vpi_fail(err, VP_E_ARG, NULL, "multipart_from: at most 5 GiB");
    if (o->credentials && o->get_credentials)
        return vpi_fail(err, VP_E_ARG, NULL, "credentials are given twice");
    if (!o->credentials && !o->get_credentials && !(o->flags & (VP_S3_FROM_ENVIRONMENT | VP_S3_ANONYMOUS)))
        return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING",
                        "no credentials, no callback for them, and the environment is not to be asked");
    if (o->profile && !(o->flags & VP_S3_FROM_ENVIRONMENT))
        return vpi_fail(err, VP_E_ARG, NULL, "profile: only with what the environment says");
    return VP_OK;
}

static bool copy(char **to, const char *from)
{
    *to = vpi_strdup(from);
    return *to || !from;
}

static void defaults(vp_s3 *s3)
{
    vp_s3_options *o = &s3->o;

    if (!o->connections) o->connections = CONNECTIONS;
    s3->patient = !o->attempts;
    if (!o->attempts) o->attempts = ATTEMPTS;
    if (!o->stall_ms) o->stall_ms = STALL_MS;
    if (!o->slow_rate) o->slow_rate = SLOW_RATE;
    if (!o->deadline_ms) o->deadline_ms = DEADLINE_MS;
    if (!o->memory) o->memory = MEMORY;
    if (!o->multipart_from) o->multipart_from = MULTIPART_FROM;
    s3->vendor = o->vendor;
    s3->tls = true;
    s3->checksum = o->checksum;
}

/* What follows from the endpoint; before the first request. */
void vpi_s3_settle(vp_s3 *s3)
{
    char region[64];

    vpi_s3_join_synced(s3);
    if (!s3->vendor) s3->vendor = VP_S3_VENDOR_AWS;
    if (!vpi_s3_told_region(s3, "") && vpi_s3_endpoint_region(s3, region))
        vpi_s3_learn_region_synced(s3, "", region);
    s3->sign_payload = s3->o.flags & VP_S3_SIGN_PAYLOAD || !(s3->tls || s3->o.flags & VP_S3_UNSIGNED_PAYLOAD);
    if (s3->o.flags & VP_S3_ANONYMOUS) s3->sign_payload = false;
    if (s3->o.checksum) return;
    if (s3->vendor == VP_S3_VENDOR_AWS)
        s3->checksum = VP_S3_CHECKSUM_CRC64NVME;
    else
        s3->checksum = s3->sign_payload ? VP_S3_CHECKSUM_NONE : VP_S3_CHECKSUM_MD5;
}

static void on_close(void *user)
{
    vp_s3 *s3 = user;

    pthread_mutex_lock(&s3->lock);
    s3->synced.closed = true;
    pthread_cond_broadcast(&s3->renew);
    pthread_cond_broadcast(&s3->room);
    pthread_mutex_unlock(&s3->lock);
}

static vp_status fill(vp_s3 *s3, vp_error *err)
{
    vp_s3_options *o = &s3->o;

    if (!copy(&s3->endpoint, o->endpoint) || !copy(&s3->region, o->region) || !copy(&s3->profile, o->profile))
        return vpi_fail_nomem(err);
    if (s3->endpoint) VPI_TRY(vpi_s3_place_endpoint(s3, s3->endpoint, err));
    if (s3->region && !vpi_s3_learn_region_synced(s3, "", s3->region) &&
        strcmp(vpi_s3_region_synced(s3, ""), s3->region) != 0)
        return vpi_fail(err, VP_E_ARG, NULL, "region: not a name of a region");
    if (o->credentials) {
        VPI_TRY(vpi_s3_secret_copy(&s3->synced.secret, o->credentials, err));
        s3->synced.secret_id = 1;
        s3->given = true;
    }
    if (o->flags & VP_S3_FROM_ENVIRONMENT)
        VPI_TRY(vpi_s3_chain_new(s3->context, s3->profile, o->http, &s3->chain, err));
    vpi_s3_settle(s3);
    VPI_TRY(vpi_loop_new(s3->context, o->http, o->connections + VPI_S3_RESERVED, &s3->loop, err));
    s3->hook.fn = on_close;
    s3->hook.arg = s3;
    return vpi_hook_add(s3->context, &s3->hook, err);
}

static void dispose(vp_s3 *s3)
{
    bool forked = vpi_forked(s3->fork_mark);

    if (s3->hook.at) vpi_hook_remove(s3->context, &s3->hook);
    if (!forked) {
        on_close(s3);
        vpi_thread_join(s3->synced.renewer);
    }
    vpi_loop_free(s3->loop);
    vpi_s3_chain_free(s3->chain);
    while (s3->synced.regions) {
        vpi_s3_region *r = s3->synced.regions;

        s3->synced.regions = r->next;
        vpi_free(r);
    }
    vpi_s3_secret_wipe(&s3->synced.secret);
    vpi_s3_wipe(&s3->synced.day, sizeof(s3->synced.day));
    vpi_free(s3->synced.block);
    vpi_context_unshare(s3->context, s3->synced.common);
    vpi_free(s3->synced.host);
    vpi_free(s3->endpoint);
    vpi_free(s3->region);
    vpi_free(s3->profile);
    if (!forked) { /* in a child threads of the parent's may be waiting, for ever */
        pthread_cond_destroy(&s3->renew);
        pthread_cond_destroy(&s3->room);
        pthread_mutex_destroy(&s3->lock);
    }
    vp_context_unref(s3->context);
    vpi_free(s3);
}

vp_status vp_s3_new(vp_context *context, const vp_s3_options *options, vp_s3 **out, vp_error *err)
{
    vp_s3_options o = VP_S3_OPTIONS_INIT;
    vp_s3 *s3;
    vp_status st;

    vpi_error_reset(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "out is NULL");
    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    VPI_TRY(check_options(&o, err));
    s3 = vpi_calloc(1, sizeof(*s3));
    if (!s3) return vpi_fail_nomem(err);
    pthread_mutex_init(&s3->lock, NULL);
    vpi_cond_init(&s3->renew);
    vpi_cond_init(&s3->room);
    atomic_init(&s3->refs, 1);
    s3->fork_mark = vpi_fork_mark();
    s3->context = vp_context_ref(context);
    s3->o = o;
    s3->synced.last = &s3->synced.first;
    defaults(s3);
    s3->synced.limit = s3->o.connections;
    st = fill(s3, err);
    s3->o.endpoint = s3->o.region = s3->o.profile = NULL; /* the caller's */
    s3->o.credentials = NULL;
    s3->o.http = NULL;
    if (st < 0) {
        dispose(s3);
        return st;
    }
    *out = s3;
    return VP_OK;
}

vp_s3 *vp_s3_ref(vp_s3 *s3)
{
    if (s3) atomic_fetch_add(&s3->refs, 1);
    return s3;
}

vp_s3 *vp_s3_unref(vp_s3 *s3)
{
    void (*release)(void *user);
    void *user;

    if (!s3 || atomic_fetch_sub(&s3->refs, 1) > 1) return NULL;
    release = s3->o.release;
    user = s3->o.user;
    dispose(s3);
    if (release) release(user);
    return NULL;
}

vp_status vp_s3_get_counts(vp_s3 *s3, vp_s3_counts *out, vp_error *err)
{
    vp_s3_counts counts;
    uint32_t size;

    vpi_error_reset(err);
    if (!s3 || !out) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    size = out->struct_size;
    if (size < sizeof(size)) return vpi_fail(err, VP_E_ARG, NULL, "struct_size is not set");
    pthread_mutex_lock(&s3->lock);
    counts = s3->synced.counts;
    counts.connections = s3->synced.limit;
    counts.skew_us = s3->synced.skew_us;
    pthread_mutex_unlock(&s3->lock);
    counts.struct_size = size;
    memcpy(out, &counts, VPI_MIN(size, sizeof(counts)));
    out->struct_size = size;
    return VP_OK;
}
