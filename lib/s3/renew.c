/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Credentials of a client. Asking for them may take seconds (files, processes, other servers, the host), so a thread of
 * its own does it, and ends with it; operations that cannot be signed wait (S08).
 */

#include "client.h"

#define EARLY_US INT64_C(300000000) /* before they expire */
#define PAUSE_US 5000000            /* between two times that nobody waits for */

static bool can_renew(const vp_s3 *s3)
{
    return s3->o.get_credentials || (s3->chain && !s3->given);
}

static vp_status ask(vp_s3 *s3, vpi_s3_secret *out, vp_error *err)
{
    struct vp_s3_reply reply = { 0 };
    vp_status st;

    if (!s3->o.get_credentials) return vpi_s3_chain_get(s3->chain, vpi_context_cancel(s3->context), out, err);
    st = s3->o.get_credentials(s3->o.user, &reply, err);
    if (st < 0) {
        vpi_s3_secret_wipe(&reply.secret);
        return vpi_fail_host(err, st, "the host's credentials callback failed");
    }
    if (!reply.secret.access_key)
        return vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING", "the host's credentials callback gave none");
    *out = reply.secret;
    return VP_OK;
}

/* What the environment says of region and endpoint; once. */
static vp_status find_place(vp_s3 *s3, vp_error *err)
{
    char *region = NULL, *endpoint = NULL;
    vp_status st = VP_OK;

    if (s3->synced.placed || !s3->chain) return VP_OK;
    VPI_TRY(vpi_s3_chain_place(s3->chain, &region, &endpoint, err));
    pthread_mutex_lock(&s3->lock);
    if (region && !s3->region) vpi_s3_learn_region_synced(s3, "", region);
    if (endpoint && !s3->endpoint) st = vpi_s3_place_endpoint(s3, endpoint, err);
    vpi_s3_settle(s3);
    s3->synced.placed = st >= 0;
    pthread_mutex_unlock(&s3->lock);
    vpi_free(region);
    vpi_free(endpoint);
    return st;
}

/* Credentials that live shorter than EARLY_US are not asked for again and again. */
static int64_t half_life_synced(const vp_s3 *s3)
{
    int64_t expires = s3->synced.secret.expires_us;

    return expires ? (expires - vpi_s3_time_us() - s3->synced.skew_us) / 2 : 0;
}

/* Asks once, with the lock taken where it is needed; all that waited goes on, or ends. */
static void renew_once(vp_s3 *s3)
{
    vpi_s3_secret secret = { 0 };
    vp_error err = VP_ERROR_INIT;
    vpi_s3_op *parked, *next;
    vp_status st = find_place(s3, &err);
    bool news;

    if (st >= 0 && !(s3->o.flags & VP_S3_ANONYMOUS) && can_renew(s3)) st = ask(s3, &secret, &err);
    pthread_mutex_lock(&s3->lock);
    if (st >= 0 && secret.access_key) {
        vpi_s3_secret_wipe(&s3->synced.secret);
        s3->synced.secret = secret;
        memset(&secret, 0, sizeof(secret));
        s3->synced.secret_id++;
    }
    s3->synced.renewing = false;
    news = strcmp(s3->synced.renew_error.message, err.message) != 0; /* several may ask in a row */
    s3->synced.renew_error = err;
    pthread_cond_broadcast(&s3->room);
    s3->synced.renew_after_us = vpi_now_us() + VPI_MAX(st < 0 ? 0 : half_life_synced(s3), PAUSE_US);
    parked = s3->synced.parked;
    s3->synced.parked = NULL;
    for (vpi_s3_op *op = parked; op; op = op->next) op->state = VPI_S3_IDLE;
    for (; st >= 0 && parked; parked = next) {
        next = parked->next;
        vpi_s3_queue_synced(s3, parked, false);
    }
    pthread_mutex_unlock(&s3->lock);
    vpi_s3_secret_wipe(&secret);
    if (st < 0) {
        if (news) vpi_log(s3->context, VP_LOG_WARN, "s3", "credentials: %s", err.message);
        vpi_s3_finish_list(parked, st, &err);
    }
    vpi_s3_pump(s3);
}

static void renew_main(void *user)
{
    vp_s3 *s3 = user;
    vp_error err = VP_ERROR_INIT;
    vpi_s3_op *parked;

    pthread_mutex_lock(&s3->lock);
    while (!s3->synced.closed) {
        if (!s3->synced.renewing) {
            pthread_cond_wait(&s3->renew, &s3->lock);
            continue;
        }
        pthread_mutex_unlock(&s3->lock);
        renew_once(s3);
        pthread_mutex_lock(&s3->lock);
    }
    s3->synced.renewing = false; /* whoever waits for it waits for nobody */
    parked = s3->synced.parked;
    s3->synced.parked = NULL;
    for (vpi_s3_op *op = parked; op; op = op->next) op->state = VPI_S3_IDLE;
    pthread_mutex_unlock(&s3->lock);
    vpi_fail(&err, VP_E_CANCELED, NULL, "the context closes");
    vpi_s3_finish_list(parked, VP_E_CANCELED, &err);
}

/* early: nobody waits, what there is still serves. */
static void renew_synced(vp_s3 *s3, bool early)
{
    vp_error err = VP_ERROR_INIT;

    if (s3->synced.renewing || s3->synced.closed) return;
    if (early && vpi_now_us() < s3->synced.renew_after_us) return;
    s3->synced.renewing = s3->synced.renewer || vpi_thread_start(s3->context, "vp-s3-keys", renew_main, s3,
                                                                 &s3->synced.renewer, &err) >= 0;
    pthread_cond_signal(&s3->renew);
}

vpi_s3_have vpi_s3_secret_synced(vp_s3 *s3)
{
    int64_t expires = s3->synced.secret.expires_us, now;

    if (s3->o.flags & VP_S3_ANONYMOUS || !can_renew(s3)) {
        if (s3->synced.placed || !s3->chain) return VPI_S3_HAVE;
    } else if (s3->synced.secret_id && s3->synced.secret.access_key) {
        if (!expires) return VPI_S3_HAVE;
        now = vpi_s3_time_us() + s3->synced.skew_us;
        if (now + EARLY_US < expires) return VPI_S3_HAVE;
        renew_synced(s3, now < expires);
        if (now < expires) return VPI_S3_HAVE; /* they serve until the new ones are there */
    }
    renew_synced(s3, false);
    return s3->synced.renewing ? VPI_S3_WAIT : VPI_S3_NEVER;
}

bool vpi_s3_renew_synced(vp_s3 *s3, uint64_t used)
{
    if (!can_renew(s3) || s3->o.flags & VP_S3_ANONYMOUS) return false;
    if (used != s3->synced.secret_id) return true; /* others are there already */
    s3->synced.secret.expires_us = 1;              /* long ago: whoever comes waits */
    renew_synced(s3, false);
    return s3->synced.renewing;
}

vp_status vpi_s3_ready(vp_s3 *s3, vp_cancel *cancel, vp_error *err)
{
    vp_status st = VP_OK;

    if (vpi_forked(s3->fork_mark))
        return vpi_fail(err, VP_E_STATE, NULL, "this handle was inherited by fork()");
    VPI_TRY(vpi_context_check(s3->context, err));
    if (!s3->chain) return vpi_cancel_check_scope(cancel, err);
    pthread_mutex_lock(&s3->lock);
    if (!s3->synced.placed) renew_synced(s3, false);
    while (st >= 0 && !s3->synced.placed && s3->synced.renewing && !s3->synced.closed) {
        vpi_s3_wait_synced(s3, &s3->room);
        st = vpi_cancel_check_scope(cancel, err);
    }
    if (st >= 0 && !s3->synced.placed) {
        st = s3->synced.renew_error.status;
        vpi_error_copy(err, &s3->synced.renew_error);
        if (st >= 0) st = vpi_fail(err, VP_E_CANCELED, NULL, "the context closes");
    }
    pthread_mutex_unlock(&s3->lock);
    return st;
}

vp_status vpi_s3_have_secret(vp_s3 *s3, vp_cancel *cancel, vp_error *err)
{
    vpi_s3_have have;
    vp_status st = VP_OK;

    pthread_mutex_lock(&s3->lock);
    while ((have = vpi_s3_secret_synced(s3)) == VPI_S3_WAIT && st >= 0) {
        uint64_t before = s3->synced.secret_id;

        while (st >= 0 && s3->synced.renewing && !s3->synced.closed) {
            vpi_s3_wait_synced(s3, &s3->room);
            st = vpi_cancel_check_scope(cancel, err);
        }
        if (st >= 0 && s3->synced.renew_error.status < 0) {
            st = s3->synced.renew_error.status;
            vpi_error_copy(err, &s3->synced.renew_error);
        }
        if (st >= 0 && s3->synced.closed) st = vpi_fail(err, VP_E_CANCELED, NULL, "the context closes");
        if (st >= 0 && s3->synced.secret_id != before && vpi_s3_secret_synced(s3) != VPI_S3_HAVE)
            st = vpi_fail(err, VP_E_AUTH, "CREDENTIALS_MISSING",
                          "the credentials that were given have expired");
    }
    pthread_mutex_unlock(&s3->lock);
    return st >= 0 && have == VPI_S3_NEVER ? vpi_fail_nomem(err) : st;
}
