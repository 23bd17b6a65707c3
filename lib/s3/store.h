/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_S3_STORE_H
#define VPI_S3_STORE_H

/* The work store in a bucket: what store.c, store_lease.c and lease_object.c know of each other. Private to lib/s3. */

#include "upload.h"

#define VPI_S3_LEASE_MARK ".lease"

typedef struct vpi_s3_lease vpi_s3_lease;

typedef struct vpi_s3_store {
    vp_context *context; /* the store around it holds the reference */
    uint32_t fork_mark;
    vp_s3 *s3;
    char *bucket, *prefix; /* "" or with a '/' at its end */
    uint32_t life_s;       /* of a lease that nobody renews, by the server's clock */
    uint32_t renew_ms;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* of anything below */
    struct {
        vp_cancel *calls; /* of those that began since the last interrupt; NULL: none did */
        vpi_s3_lease *leases;
        vpi_thread *thread; /* "vp-s3-lease", from the first lease on */
        bool ending;
        bool proven; /* the server heeds the conditions that leases live by */
    } synced;
} vpi_s3_store;

/* vp_store_s3 with other times, for tests: 0: 30 s and 10 s. */
vp_status vpi_s3_store_new(vp_s3 *s3, const char *bucket, const char *prefix, uint32_t life_s,
                           uint32_t renew_ms, vp_store **out, vp_error *err);
/* A cancel for one call, to be dropped by vp_cancel_unref: fires with the next interrupt and the context's end. */
vp_status vpi_s3_store_enter(vpi_s3_store *store, vp_cancel **out, vp_error *err);
/* On store->changed, until then at most (vpi_now_us); with the lock held. */
void vpi_s3_store_wait_synced(vpi_s3_store *store, int64_t until_us);

/* ---- the object of a lease (lease_object.c) ---- */

typedef struct vpi_s3_lease_state {
    char owner[VPI_S3_MARKER]; /* random, of each holder anew */
    uint64_t fence;
    uint64_t serial; /* rises with each request of a holder: no two of them are alike, nor are their ETags */
    bool held;
    char etag[136]; /* of the object; "": there is none */
    int64_t age_s;  /* only after a look: how long ago it was written, both times by the server's clock */
} vpi_s3_lease_state;

/* All three go before other requests of the client, where there is a queue. VP_END: there is no such object. */
vp_status vpi_s3_lease_get(vpi_s3_store *store, const char *key, vp_cancel *cancel, vpi_s3_lease_state *out,
                           vp_error *err);
/* Only etag and age. */
vp_status vpi_s3_lease_head(vpi_s3_store *store, const char *key, vp_cancel *cancel, vpi_s3_lease_state *out,
                            vp_error *err);
/*
 * Written in place of the object with state->etag, or as a new one where that is "". The new ETag comes back in it.
 * CONFLICT: another object is there.
 */
vp_status vpi_s3_lease_put(vpi_s3_store *store, const char *key, vpi_s3_lease_state *state, vp_cancel *cancel,
                           vp_error *err);
bool vpi_s3_same_etag(const char *a, const char *b); /* with or without quotes */

/* ---- leases of this process (store_lease.c): as in vp_store_ops ---- */

vp_status vpi_s3_lease_take(vpi_s3_store *store, const char *name, void **lease, uint64_t *fence,
                            vp_error *err);
vp_status vpi_s3_lease_renew(vpi_s3_store *store, vpi_s3_lease *lease, vp_error *err);
void vpi_s3_lease_return(vpi_s3_store *store, vpi_s3_lease *lease);

#endif
