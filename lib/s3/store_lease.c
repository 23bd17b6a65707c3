/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leases of this process. Each is an object that only its holder replaces, by If-Match with the ETag of its own last
 * request, as long as it renews it; whoever finds it older than its life takes it over in the same way. So of two that
 * try one gets 412, and a holder that was stopped for too long learns with its next request that it is none any more.
 */

#include "store.h"

#define TAKE_TRIES 4
#define WRITE_TRIES 4
#define RENEW_ROUNDS 4
#define RETURN_MS 5000 /* what is not given back in this time ends by itself */
#define LOOK_US 100000 /* how soon a cancel is seen */
#define SLACK_S 3      /* of whole seconds, of two servers behind one address */
#define NOBODYS "\"00000000000000000000000000000000\""

struct vpi_s3_lease {
    char *key;
    /* Of whoever made it busy. */
    vpi_s3_lease_state is; /* as we wrote it last; where that is not sure, as it was before */
    uint64_t serial;
    int64_t sent_us; /* when the last request that went well was sent; 0: not sure what is there */
    struct {
        vpi_s3_lease *next;
        int64_t due_us;     /* for the thread */
        vp_cancel *attempt; /* of the thread's request */
        bool busy;          /* one request at a time */
        bool lost, leaving;
    } synced;
};

static void lease_free(vpi_s3_lease *l)
{
    vpi_free(l->key);
    vpi_free(l);
}

static vp_status lost(vpi_s3_store *s, vpi_s3_lease *l, const char *how, vp_error *err)
{
    pthread_mutex_lock(&s->lock);
    l->synced.lost = true;
    pthread_mutex_unlock(&s->lock);
    vpi_error_key(err, l->key);
    return vpi_fail(err, VP_E_CONFLICT, "ALREADY_RUNNING", "the lease was lost: %s", how);
}

/* ---- writing over what is ours; by whoever made it busy ---- */

static bool is_ours(const vpi_s3_lease *l, const vpi_s3_lease_state *found)
{
    return strcmp(found->owner, l->is.owner) == 0;
}

/* Also where the answer to an earlier request was lost, and the object is one that we do not know the ETag of. */
static vp_status write_over(vpi_s3_store *s, vpi_s3_lease *l, bool held, vp_cancel *cancel, vp_error *err)
{
    vpi_s3_lease_state want, found;

    for (int i = 0; i < WRITE_TRIES; i++) {
        vp_error why = VP_ERROR_INIT;
        int64_t now = vpi_now_us();
        vp_status st;

        want = l->is;
        want.held = held;
        want.serial = ++l->serial;
        st = vpi_s3_lease_put(s, l->key, &want, cancel, &why);
        if (st == VP_OK) {
            l->is = want;
            l->sent_us = now;
            return VP_OK;
        }
        l->sent_us = 0;
        if (st != VP_E_CONFLICT && st != VP_END) {
            vpi_error_copy(err, &why);
            return st;
        }
        st = vpi_s3_lease_get(s, l->key, cancel, &found, err);
        if (st < 0) return st;
        if (st == VP_END) return lost(s, l, "its object was removed", err);
        if (!is_ours(l, &found)) return lost(s, l, "another process has taken it over", err);
        l->is = found;
        if (found.serial ==
            want.serial) { /* done by a try whose answer did not come; how long ago is not sure */
            l->sent_us = now;
            return VP_OK;
        }
    }
    vpi_error_key(err, l->key);
    return vpi_fail(err, VP_E_IO, "S3_ERROR",
                    "the lease could not be written: its ETag is another each time");
}

/*
 * From here on it is ours for a third of its life, at least. Soon after a request of the thread's a look does: it is
 * cheaper, and some servers take one write a second to a key. The server's word counts, not our clock, which stands
 * still while the machine is suspended.
 */
static vp_status confirm(vpi_s3_store *s, vpi_s3_lease *l, vp_cancel *cancel, vp_error *err)
{
    for (int i = 0; i < RENEW_ROUNDS; i++) {
        int64_t now = vpi_now_us();

        if (l->sent_us && now - l->sent_us < (int64_t)s->renew_ms * 1000) {
            vpi_s3_lease_state found;
            vp_status st = vpi_s3_lease_head(s, l->key, cancel, &found, err);

            if (st < 0) return st;
            if (st == VP_OK && vpi_s3_same_etag(found.etag, l->is.etag) &&
                found.age_s <= (int64_t)s->life_s / 3 &&
                vpi_now_us() - now < (int64_t)s->life_s * 1000000 / 6)
                return VP_OK;
        }
        now = vpi_now_us();
        VPI_TRY(write_over(s, l, true, cancel, err));
        if (vpi_now_us() - now < (int64_t)s->life_s * 1000000 / 3) return VP_OK;
    }
    vpi_error_key(err, l->key);
    return vpi_fail(err, VP_E_LIMIT, "TIMEOUT",
                    "the lease could not be renewed in time: the server is too slow");
}

/* ---- taking ---- */

/* A whole second less, so that with times in whole seconds it ends in time; never earlier than life - 2 s. */
static bool is_alive(const vpi_s3_store *s, const vpi_s3_lease_state *found)
{
    return found->held && found->age_s < (int64_t)s->life_s - 1;
}

static vp_status try_take(vpi_s3_store *s, vpi_s3_lease *l, vp_cancel *cancel, vp_error *err)
{
    vpi_s3_lease_state found;

    for (int i = 0; i < TAKE_TRIES; i++) {
        vp_error why = VP_ERROR_INIT;
        vp_status st = vpi_s3_lease_get(s, l->key, cancel, &found, err);

        if (st < 0) return st;
        if (st == VP_OK && is_ours(l, &found)) { /* taken with the try before, whose answer was lost */
            l->is = found;
            return VP_OK;
        }
        if (st == VP_OK && is_alive(s, &found)) return VP_AGAIN;
        l->is.fence = st == VP_OK ? found.fence + 1 : 1;
        l->is.serial = ++l->serial;
        l->is.held = true;
        vpi_strlcpy(l->is.etag, st == VP_OK ? found.etag : "", sizeof(l->is.etag));
        l->sent_us = vpi_now_us();
        st = vpi_s3_lease_put(s, l->key, &l->is, cancel, &why);
        if (st == VP_OK) return VP_OK;
        if (st != VP_E_CONFLICT && st != VP_END) {
            vpi_error_copy(err, &why);
            return st;
        }
    }
    return VP_AGAIN;
}

/*
 * Once for each store: a server that takes a write whatever its If-Match says would give one lease to two, and one
 * whose objects get other times than its clock says would let leases end too soon.
 */
static vp_status prove(vpi_s3_store *s, vpi_s3_lease *l, vp_cancel *cancel, vp_error *err)
{
    const char *const conditions[] = { NOBODYS, "" };
    vpi_s3_lease_state found, probe;
    int64_t passed_s;
    vp_status st = vpi_s3_lease_get(s, l->key, cancel, &found, err);

    if (st < 0) return st;
    passed_s = (vpi_now_us() - l->sent_us) / 1000000;
    if (st == VP_END || !is_ours(l, &found)) return lost(s, l, "another process has taken it", err);
    if (found.age_s < -SLACK_S || found.age_s > passed_s + SLACK_S)
        return vpi_fail(err, VP_E_IO, "S3_ERROR",
                        "the server says that an object of now is %lld s old: no lease can live by its clock",
                        (long long)found.age_s);
    l->is = found;
    for (size_t i = 0; i < VPI_COUNT(conditions); i++) {
        vp_error why = VP_ERROR_INIT;

        probe = l->is;
        probe.serial = ++l->serial;
        vpi_strlcpy(probe.etag, conditions[i], sizeof(probe.etag));
        st = vpi_s3_lease_put(s, l->key, &probe, cancel, &why);
        if (st == VP_OK) {
            l->is = probe;
            return vpi_fail(err, VP_E_UNSUPPORTED, NULL, "the server ignores %s: no leases in its buckets",
                            conditions[i][0] ? "If-Match" : "If-None-Match");
        }
        if (st != VP_E_CONFLICT) {
            vpi_error_copy(err, &why);
            return st == VP_END ? lost(s, l, "its object was removed", err) : st;
        }
    }
    pthread_mutex_lock(&s->lock);
    s->synced.proven = true;
    pthread_mutex_unlock(&s->lock);
    return VP_OK;
}

/* ---- the thread that renews ---- */

static vpi_s3_lease *first_due_synced(vpi_s3_store *s)
{
    vpi_s3_lease *first = NULL;

    for (vpi_s3_lease *l = s->synced.leases; l; l = l->synced.next) {
        if (l->synced.busy || l->synced.lost || l->synced.leaving) continue;
        if (!first || l->synced.due_us < first->synced.due_us) first = l;
    }
    return first;
}

static vp_status attempt(vpi_s3_store *s, vpi_s3_lease *l, vp_cancel *cancel)
{
    vp_error why = VP_ERROR_INIT;
    vp_status st = cancel ? write_over(s, l, true, cancel, &why) : vpi_fail_nomem(&why);

    if (st < 0 && st != VP_E_CANCELED)
        vpi_log(s->context, VP_LOG_WARN, "s3", "lease %s: %s", l->key, why.message);
    return st;
}

/* With the lock, which is given up in between. */
static void renew_one_synced(vpi_s3_store *s, vpi_s3_lease *l)
{
    int64_t now = vpi_now_us();
    vp_cancel *cancel = NULL;
    vp_status st;

    if (vp_cancel_child(vpi_context_cancel(s->context), &cancel, NULL) >= 0)
        vp_cancel_deadline(cancel, s->renew_ms / 2);
    l->synced.attempt = cancel;
    l->synced.busy = true;
    pthread_mutex_unlock(&s->lock);
    st = attempt(s, l, cancel);
    pthread_mutex_lock(&s->lock);
    l->synced.attempt = vp_cancel_unref(cancel);
    l->synced.busy = false;
    if (st >= 0)
        l->synced.due_us = now + (int64_t)s->renew_ms * 1000;
    else
        l->synced.due_us = vpi_now_us() + (int64_t)s->renew_ms * 100;
    pthread_cond_broadcast(&s->changed);
}

static void lease_main(void *user)
{
    vpi_s3_store *s = user;

    pthread_mutex_lock(&s->lock);
    while (!s->synced.ending && !vp_cancel_fired(vpi_context_cancel(s->context))) {
        vpi_s3_lease *l = first_due_synced(s);

        if (!l)
            pthread_cond_wait(&s->changed, &s->lock);
        else if (l->synced.due_us > vpi_now_us())
            vpi_s3_store_wait_synced(s, l->synced.due_us);
        else
            renew_one_synced(s, l);
    }
    pthread_mutex_unlock(&s->lock);
}

static vp_status add(vpi_s3_store *s, vpi_s3_lease *l, vp_error *err)
{
    vp_error mine = VP_ERROR_INIT;
    vp_status st = VP_OK;

    pthread_mutex_lock(&s->lock);
    l->synced.due_us = l->sent_us + (int64_t)s->renew_ms * 1000;
    l->synced.next = s->synced.leases;
    s->synced.leases = l;
    if (!s->synced.thread)
        st = vpi_thread_start(s->context, "vp-s3-lease", lease_main, s, &s->synced.thread, &mine);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (st < 0) vpi_error_copy(err, &mine);
    return st;
}

/* ---- as a store's ---- */

/* Waits for the thread where it is just renewing. */
static vp_status make_busy(vpi_s3_store *s, vpi_s3_lease *l, vp_cancel *cancel, vp_error *err)
{
    vp_status st = VP_OK;

    pthread_mutex_lock(&s->lock);
    while (st >= 0 && l->synced.busy) {
        vpi_s3_store_wait_synced(s, vpi_now_us() + LOOK_US);
        st = vpi_cancel_check_scope(cancel, err);
    }
    if (st >= 0) l->synced.busy = true;
    pthread_mutex_unlock(&s->lock);
    return st;
}

static void make_idle(vpi_s3_store *s, vpi_s3_lease *l)
{
    pthread_mutex_lock(&s->lock);
    l->synced.busy = false;
    if (l->sent_us) l->synced.due_us = l->sent_us + (int64_t)s->renew_ms * 1000;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void drop_synced(vpi_s3_store *s, vpi_s3_lease *l)
{
    vpi_s3_lease **at = &s->synced.leases;

    while (*at && *at != l) at = &(*at)->synced.next;
    if (*at) *at = l->synced.next;
}

void vpi_s3_lease_return(vpi_s3_store *s, vpi_s3_lease *l)
{
    vp_cancel *cancel = NULL, *before;
    bool gone;

    if (vpi_forked(s->fork_mark)) {
        lease_free(l);
        return;
    }
    before = vp_cancel_scope(NULL); /* also of a cancelled call: others wait for it */
    pthread_mutex_lock(&s->lock);
    l->synced.leaving = true;
    vp_cancel_fire(l->synced.attempt);
    while (l->synced.busy) vpi_s3_store_wait_synced(s, vpi_now_us() + LOOK_US);
    drop_synced(s, l);
    gone = l->synced.lost;
    pthread_mutex_unlock(&s->lock);
    /* It is not removed: the fence has to go on rising. */
    if (!gone && vp_cancel_child(vpi_context_cancel(s->context), &cancel, NULL) >= 0) {
        vp_error why = VP_ERROR_INIT;

        vp_cancel_deadline(cancel, RETURN_MS);
        if (write_over(s, l, false, cancel, &why) < 0)
            vpi_log(s->context, VP_LOG_INFO, "s3", "lease %s ends by itself in %u s: %s", l->key,
                    (unsigned)s->life_s, why.message);
        vp_cancel_unref(cancel);
    }
    vp_cancel_scope(before);
    lease_free(l);
}

vp_status vpi_s3_lease_take(vpi_s3_store *s, const char *name, void **lease, uint64_t *fence, vp_error *err)
{
    vpi_s3_lease *l = vpi_calloc(1, sizeof(*l));
    vp_error why = VP_ERROR_INIT;
    vp_cancel *cancel = NULL;
    bool taken = false, proven;
    vp_status st;

    if (!l) return vpi_fail_nomem(err);
    l->key = vpi_asprintf("%s%s" VPI_S3_LEASE_MARK, s->prefix, name);
    VPI_GO(l->key ? VP_OK : vpi_fail_nomem(&why));
    vpi_s3_marker_make(l->is.owner);
    VPI_GO(vpi_s3_store_enter(s, &cancel, &why));
    st = try_take(s, l, cancel, &why);
    if (st != VP_OK) goto done;
    taken = true;
    pthread_mutex_lock(&s->lock);
    proven = s->synced.proven;
    pthread_mutex_unlock(&s->lock);
    if (!proven) VPI_GO(prove(s, l, cancel, &why));
    *fence = l->is.fence; /* before the thread knows of it */
    VPI_GO(add(s, l, &why));
    *lease = l;
    vp_cancel_unref(cancel);
    return VP_OK;
done:
    vp_cancel_unref(cancel);
    if (st < 0) vpi_error_copy(err, &why);
    if (taken)
        vpi_s3_lease_return(s, l);
    else
        lease_free(l);
    return st;
}

vp_status vpi_s3_lease_renew(vpi_s3_store *s, vpi_s3_lease *l, vp_error *err)
{
    vp_error why = VP_ERROR_INIT;
    vp_cancel *cancel = NULL;
    bool gone;
    vp_status st;

    VPI_GO(vpi_s3_store_enter(s, &cancel, &why));
    VPI_GO(make_busy(s, l, cancel, &why));
    pthread_mutex_lock(&s->lock);
    gone = l->synced.lost;
    pthread_mutex_unlock(&s->lock);
    st = gone ? lost(s, l, "another process has taken it over", &why) : confirm(s, l, cancel, &why);
    make_idle(s, l);
done:
    vp_cancel_unref(cancel);
    if (st < 0) vpi_error_copy(err, &why);
    return st;
}
