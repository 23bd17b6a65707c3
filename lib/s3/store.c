/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Unfinished work in a bucket: values that are put once, and what keeps them; leases are in store_lease.c. */

#include <time.h>

#include "io/io.h"
#include "store.h"

#define LIFE_S 30u
#define RENEW_MS 10000u
#define SMALL (UINT64_C(1) << 20) /* values up to this size are had with one request */

typedef struct s3_value {
    vpi_s3_writer *writer;
    vp_cancel *cancel;
    char *key;
} s3_value;

/* ---- calls that can be ended from outside ---- */

vp_status vpi_s3_store_enter(vpi_s3_store *s, vp_cancel **out, vp_error *err)
{
    vp_error mine = VP_ERROR_INIT;
    vp_status st = VP_OK;

    pthread_mutex_lock(&s->lock);
    if (vp_cancel_fired(s->synced.calls)) s->synced.calls = vp_cancel_unref(s->synced.calls);
    if (!s->synced.calls) st = vp_cancel_child(vpi_context_cancel(s->context), &s->synced.calls, &mine);
    *out = vp_cancel_ref(s->synced.calls);
    pthread_mutex_unlock(&s->lock);
    if (st < 0) vpi_error_copy(err, &mine);
    return st;
}

void vpi_s3_store_wait_synced(vpi_s3_store *s, int64_t until)
{
    struct timespec t = { .tv_sec = (time_t)(until / 1000000), .tv_nsec = (long)(until % 1000000) * 1000 };

    pthread_cond_timedwait(&s->changed, &s->lock, &t);
}

/* Also when the context closes: the thread sees that its cancel has fired. */
static void s3_interrupt(void *user)
{
    vpi_s3_store *s = user;

    pthread_mutex_lock(&s->lock);
    vp_cancel_fire(s->synced.calls);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* ---- names ---- */

static bool is_lease(const char *name)
{
    size_t n = strlen(name), mark = sizeof(VPI_S3_LEASE_MARK) - 1;

    return n >= mark && strcmp(name + n - mark, VPI_S3_LEASE_MARK) == 0;
}

/* The rule of store_directory.c, so that one name is as good here as there. */
static vp_status key_of(const vpi_s3_store *s, const char *name, char **key, vp_error *err)
{
    *key = NULL;
    if (is_lease(name)) return vpi_fail(err, VP_E_ARG, NULL, "the name has the form of a lease");
    *key = vpi_asprintf("%s%s", s->prefix, name);
    return *key ? VP_OK : vpi_fail_nomem(err);
}

/* ---- values ---- */

static void value_free(const vpi_s3_store *s, s3_value *v)
{
    /* In a child the writer's locks may be held for ever, by threads that are not there. */
    if (!vpi_forked(s->fork_mark)) vpi_s3_writer_free(v->writer);
    vp_cancel_unref(v->cancel);
    vpi_free(v->key);
    vpi_free(v);
}

static vp_status s3_begin(void *user, const char *name, void **value, vp_error *err)
{
    vpi_s3_store *s = user;
    vpi_s3_writer_options o = { .bucket = s->bucket,
                                .lines = "Content-Type: application/octet-stream\n",
                                .size = VP_SIZE_UNKNOWN,
                                .flags = VP_S3_IF_ABSENT };
    s3_value *v = vpi_calloc(1, sizeof(*v));
    vp_status st;

    if (!v) return vpi_fail_nomem(err);
    VPI_GO(key_of(s, name, &v->key, err));
    VPI_GO(vpi_s3_bucket_check(s->bucket, v->key, err));
    VPI_GO(vpi_s3_store_enter(s, &v->cancel, err));
    VPI_GO(vpi_s3_ready(s->s3, v->cancel, err));
    o.key = v->key;
    o.cancel = v->cancel;
    VPI_GO(vpi_s3_writer_new(s->s3, &o, &v->writer, err));
    *value = v;
    return VP_OK;
done:
    value_free(s, v);
    return st;
}

static vp_status s3_write(void *user, void *value, const void *data, size_t size, vp_error *err)
{
    s3_value *v = value;
    const uint8_t *from = data;

    (void)user;
    while (size > 0) {
        size_t room;
        void *to;

        VPI_TRY(vpi_s3_writer_space(v->writer, size, &to, &room, err));
        memcpy(to, from, room);
        VPI_TRY(vpi_s3_writer_put(v->writer, room, err));
        from += room;
        size -= room;
    }
    return VP_OK;
}

/*
 * 412 says that the name is taken. 409 says that another is just being written, also after all tries: whether it was, a
 * look tells.
 */
static vp_status in_the_way(vpi_s3_store *s, const s3_value *v, const vp_error *why, vp_error *err)
{
    vp_status st;

    if (why->native == 412) return VP_END;
    st = vp_s3_head(s->s3, s->bucket, v->key, v->cancel, NULL, err);
    if (st == VP_OK) return VP_END;
    if (st < 0) return st;
    st = vpi_fail(err, VP_E_IO, "S3_ERROR", "%s", why->message);
    if (err) err->flags |= VP_ERRF_RETRYABLE;
    return st;
}

static vp_status s3_commit(void *user, void *value, vp_error *err)
{
    vpi_s3_store *s = user;
    s3_value *v = value;
    vp_error why = VP_ERROR_INIT;
    vp_status st = vpi_s3_writer_wait(v->writer, v->cancel, NULL, &why);

    if (st == VP_E_CONFLICT)
        st = in_the_way(s, v, &why, err);
    else if (st < 0)
        vpi_error_copy(err, &why);
    value_free(s, v);
    return st;
}

static void s3_abort(void *user, void *value)
{
    value_free(user, value);
}

static vp_status s3_open(void *user, const char *name, vp_source **out, vp_error *err)
{
    vpi_s3_store *s = user;
    vp_error why = VP_ERROR_INIT;
    vp_cancel *cancel = NULL;
    vp_bytes *bytes = NULL;
    char *key = NULL;
    vp_status st;

    VPI_GO(key_of(s, name, &key, &why));
    VPI_GO(vpi_s3_store_enter(s, &cancel, &why));
    st = vp_s3_get(s->s3, s->bucket, key, SMALL, cancel, &bytes, &why);
    if (st == VP_OK) {
        st = vpi_source_bytes(s->context, bytes, out, &why);
    } else if (st == VP_E_LIMIT && vpi_streq(why.reason, "INPUT_LIMIT")) {
        vp_error_init(&why);
        st = vp_source_s3(s->s3, s->bucket, key, out, &why);
    }
done:
    if (st < 0) vpi_error_copy(err, &why);
    vp_bytes_unref(bytes);
    vp_cancel_unref(cancel);
    vpi_free(key);
    return st;
}

typedef struct listing {
    size_t skip; /* of the store's prefix */
    vp_list_fn fn;
    void *user;
    vp_status stopped; /* what fn answered when that was not VP_OK */
} listing;

static vp_status on_listed(void *user, const vp_object_info *info)
{
    listing *l = user;
    vp_object_info own = *info;

    own.key += l->skip;
    /* Consoles make objects like "work/" to show folders: no names of values. */
    if (!vpi_key_valid(own.key) || is_lease(own.key)) return VP_OK;
    l->stopped = l->fn(l->user, &own);
    return l->stopped == VP_OK ? VP_OK : VP_E_CANCELED;
}

static vp_status s3_list(void *user, const char *prefix, vp_list_fn fn, void *fn_user, vp_error *err)
{
    vpi_s3_store *s = user;
    listing l = { .skip = strlen(s->prefix), .fn = fn, .user = fn_user };
    vp_error why = VP_ERROR_INIT;
    vp_cancel *cancel = NULL;
    char *whole = vpi_asprintf("%s%s", s->prefix, prefix);
    vp_status st = whole ? vpi_s3_store_enter(s, &cancel, &why) : vpi_fail_nomem(&why);

    if (st >= 0) st = vp_s3_list(s->s3, s->bucket, whole, on_listed, &l, cancel, &why);
    if (l.stopped != VP_OK)
        st = l.stopped;
    else if (st < 0)
        vpi_error_copy(err, &why);
    vp_cancel_unref(cancel);
    vpi_free(whole);
    return st;
}

static vp_status s3_remove(void *user, const char *name, vp_error *err)
{
    vpi_s3_store *s = user;
    vp_error why = VP_ERROR_INIT;
    vp_cancel *cancel = NULL;
    char *key = NULL;
    vp_status st;

    VPI_GO(key_of(s, name, &key, &why));
    VPI_GO(vpi_s3_store_enter(s, &cancel, &why));
    st = vp_s3_delete(s->s3, s->bucket, key, cancel, &why);
done:
    if (st < 0) vpi_error_copy(err, &why);
    vp_cancel_unref(cancel);
    vpi_free(key);
    return st;
}

/* ---- leases ---- */

static vp_status s3_lease(void *user, const char *name, void **lease, uint64_t *fence, vp_error *err)
{
    if (is_lease(name)) return vpi_fail(err, VP_E_ARG, NULL, "the name has the form of a lease");
    return vpi_s3_lease_take(user, name, lease, fence, err);
}

static vp_status s3_renew(void *user, void *lease, vp_error *err)
{
    return vpi_s3_lease_renew(user, lease, err);
}

static void s3_unlease(void *user, void *lease)
{
    vpi_s3_lease_return(user, lease);
}

/* ---- the store ---- */

static void s3_release(void *user)
{
    vpi_s3_store *s = user;

    if (!vpi_forked(s->fork_mark)) {
        pthread_mutex_lock(&s->lock);
        s->synced.ending = true;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
        vpi_thread_join(s->synced.thread);
        pthread_cond_destroy(&s->changed);
        pthread_mutex_destroy(&s->lock);
    }
    vp_cancel_unref(s->synced.calls);
    vp_s3_unref(s->s3);
    vpi_free(s->bucket);
    vpi_free(s->prefix);
    vpi_free(s);
}

/* "a/b" and "a/b/" are one. */
static vp_status set_prefix(vpi_s3_store *s, const char *prefix, vp_error *err)
{
    size_t n = prefix ? strlen(prefix) : 0;
    char *text;

    if (n > 0 && prefix[n - 1] == '/') n--;
    text = vpi_strndup(prefix ? prefix : "", n);
    if (!text) return vpi_fail_nomem(err);
    if (n > 0 && !vpi_key_valid(text)) {
        vpi_free(text);
        return vpi_fail(err, VP_E_ARG, NULL, "prefix: wanted is \"a/b\", without \"..\" or empty parts");
    }
    s->prefix = vpi_asprintf("%s%s", text, n > 0 ? "/" : "");
    vpi_free(text);
    return s->prefix ? VP_OK : vpi_fail_nomem(err);
}

static void init_locks(vpi_s3_store *s)
{

    pthread_mutex_init(&s->lock, NULL);
    vpi_cond_init(&s->changed);
}

vp_status vpi_s3_store_new(vp_s3 *s3, const char *bucket, const char *prefix, uint32_t life_s,
                           uint32_t renew_ms, vp_store **out, vp_error *err)
{
    static const vp_store_ops ops = { .struct_size = sizeof(ops),
                                      .begin = s3_begin,
                                      .write = s3_write,
                                      .commit = s3_commit,
                                      .abort = s3_abort,
                                      .open = s3_open,
                                      .list = s3_list,
                                      .remove = s3_remove,
                                      .lease = s3_lease,
                                      .renew = s3_renew,
                                      .unlease = s3_unlease,
                                      .interrupt = s3_interrupt,
                                      .release = s3_release };
    vpi_s3_store *s;
    vp_status st;

    vpi_error_reset(err);
    if (!s3 || !bucket || !out) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_context_check(s3->context, err));
    VPI_TRY(vpi_s3_bucket_check(bucket, NULL, err));
    s = vpi_calloc(1, sizeof(*s));
    if (!s) return vpi_fail_nomem(err);
    s->context = s3->context;
    s->fork_mark = vpi_fork_mark();
    s->s3 = vp_s3_ref(s3);
    s->life_s = life_s ? life_s : LIFE_S;
    s->renew_ms = renew_ms ? renew_ms : RENEW_MS;
    init_locks(s);
    s->bucket = vpi_strdup(bucket);
    VPI_GO(s->bucket ? VP_OK : vpi_fail_nomem(err));
    VPI_GO(set_prefix(s, prefix, err));
    VPI_GO(vpi_store_new_internal(s->context, &ops, NULL, s, out, err));
    return VP_OK;
done:
    s3_release(s);
    return st;
}

vp_status vp_store_s3(vp_s3 *s3, const char *bucket, const char *prefix, vp_store **out, vp_error *err)
{
    return vpi_s3_store_new(s3, bucket, prefix, 0, 0, out, err);
}
