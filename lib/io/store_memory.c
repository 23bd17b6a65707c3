/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/memory_map.h"

/* Stays in the store when it is given back: the fence has to go on rising. */
typedef struct memory_lease {
    char *name;
    uint64_t fence;
    bool held;
    struct memory_lease *next;
} memory_lease;

typedef struct memory_store {
    vp_context *context;
    vpi_map map;
    pthread_mutex_t lock;
    memory_lease *leases; /* by lock, as are their members */
} memory_store;

static vp_status memory_begin(void *user, const char *name, void **value, vp_error *err)
{
    (void)user;
    return vpi_map_begin(name, 0, value, err);
}

static vp_status memory_write(void *user, void *value, const void *data, size_t size, vp_error *err)
{
    (void)user;
    return vpi_map_write(value, data, size, err);
}

static vp_status memory_commit(void *user, void *value, vp_error *err)
{
    return vpi_map_commit(&((memory_store *)user)->map, value, false, err);
}

static void memory_abort(void *user, void *value)
{
    (void)user;
    vpi_map_abort(value);
}

static vp_status memory_open(void *user, const char *name, vp_source **out, vp_error *err)
{
    memory_store *s = user;

    return vpi_map_open(&s->map, s->context, name, out, err);
}

static vp_status memory_list(void *user, const char *prefix, vp_list_fn fn, void *fn_user, vp_error *err)
{
    return vpi_map_list(&((memory_store *)user)->map, prefix, fn, fn_user, err);
}

static vp_status memory_remove(void *user, const char *name, vp_error *err)
{
    (void)err;
    vpi_map_remove(&((memory_store *)user)->map, name);
    return VP_OK;
}

static memory_lease *lease_synced(memory_store *s, const char *name)
{
    memory_lease *l;

    for (l = s->leases; l && strcmp(l->name, name) != 0;) l = l->next;
    if (l) return l;
    l = vpi_calloc(1, sizeof(*l));
    if (l) l->name = vpi_strdup(name);
    if (!l || !l->name) {
        vpi_free(l);
        return NULL;
    }
    l->next = s->leases;
    s->leases = l;
    return l;
}

static vp_status memory_lease_take(void *user, const char *name, void **lease, uint64_t *fence, vp_error *err)
{
    memory_store *s = user;
    memory_lease *l;
    vp_status st = VP_OK;

    pthread_mutex_lock(&s->lock);
    l = lease_synced(s, name);
    if (!l) {
        st = vpi_fail_nomem(err);
    } else if (l->held) {
        st = VP_AGAIN;
    } else {
        l->held = true;
        *fence = ++l->fence;
        *lease = l;
    }
    pthread_mutex_unlock(&s->lock);
    return st;
}

static vp_status memory_renew(void *user, void *lease, vp_error *err)
{
    (void)user;
    (void)lease;
    (void)err;
    return VP_OK;
}

static void memory_unlease(void *user, void *lease)
{
    memory_store *s = user;

    if (vpi_forked(s->map.fork_mark)) return;
    pthread_mutex_lock(&s->lock);
    ((memory_lease *)lease)->held = false;
    pthread_mutex_unlock(&s->lock);
}

static void memory_release(void *user)
{
    memory_store *s = user;

    if (!vpi_forked(s->map.fork_mark)) {
        while (s->leases) {
            memory_lease *next = s->leases->next;

            vpi_free(s->leases->name);
            vpi_free(s->leases);
            s->leases = next;
        }
        pthread_mutex_destroy(&s->lock);
    }
    vpi_map_dispose(&s->map);
    vpi_free(s);
}

vp_status vp_store_memory(vp_context *context, vp_store **out, vp_error *err)
{
    vp_store_ops ops = VP_STORE_OPS_INIT;
    memory_store *s;
    vp_status st;

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "no place for the result");
    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    s = vpi_calloc(1, sizeof(*s));
    if (!s) return vpi_fail_nomem(err);
    s->context = context; /* the store around it holds the reference */
    vpi_map_init(&s->map);
    pthread_mutex_init(&s->lock, NULL);
    ops.begin = memory_begin;
    ops.write = memory_write;
    ops.commit = memory_commit;
    ops.abort = memory_abort;
    ops.open = memory_open;
    ops.list = memory_list;
    ops.remove = memory_remove;
    ops.lease = memory_lease_take;
    ops.renew = memory_renew;
    ops.unlease = memory_unlease;
    ops.release = memory_release;
    st = vpi_store_new_internal(context, &ops, NULL, s, out, err);
    if (st < 0) memory_release(s);
    return st;
}
