/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/io_int.h"

struct vp_store {
    atomic_uint refs;
    vp_context *context;
    uint32_t fork_mark;
    bool host;
    vp_store_ops ops;
    vpi_tidy_fn tidy;
    void *user;
    vpi_hook hook;
};

struct vp_value {
    vp_store *store;
    void *value;
    char *name;
    vpi_pieces pieces;
    vp_error first;
};

struct vp_lease {
    vp_store *store;
    void *lease;
    char *name;
};

void vp_store_ops_init(vp_store_ops *ops, size_t size)
{
    static const vp_store_ops init = VP_STORE_OPS_INIT;

    vpi_struct_init(ops, size, &init, sizeof(init));
}

/* ---- the handle ---- */

static void interrupt_hook(void *arg)
{
    vpi_store_interrupt(arg);
}

static vp_status store_new(vp_context *context, const vp_store_ops *ops, bool host, void *user,
                           vp_store **out, vp_error *err)
{
    vp_store *s = vpi_calloc(1, sizeof(*s));
    vp_status st;

    if (!s) return vpi_fail_nomem(err);
    atomic_init(&s->refs, 1);
    s->context = context;
    s->fork_mark = vpi_fork_mark();
    s->host = host;
    s->ops = *ops;
    s->user = user;
    s->hook.fn = interrupt_hook;
    s->hook.arg = s;
    if (ops->interrupt) {
        st = vpi_hook_add(context, &s->hook, err);
        if (st < 0) {
            vpi_free(s);
            return st;
        }
    }
    vp_context_ref(context);
    *out = s;
    return VP_OK;
}

vp_status vp_store_new(vp_context *context, const vp_store_ops *ops, void *user, vp_store **out,
                       vp_error *err)
{
    vp_store_ops o = VP_STORE_OPS_INIT;

    vp_error_init(err);
    if (!out || !ops) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), ops, err));
    if (!o.begin || !o.write || !o.commit || !o.abort || !o.open || !o.list || !o.remove || !o.lease ||
        !o.renew || !o.unlease) {
        return vpi_fail(err, VP_E_ARG, NULL, "all operations but interrupt and release are required");
    }
    if (o.flags) return vpi_fail(err, VP_E_ARG, NULL, "unknown flags of a store");
    return store_new(context, &o, true, user, out, err);
}

vp_status vpi_store_new_internal(vp_context *context, const vp_store_ops *ops, vpi_tidy_fn tidy, void *user,
                                 vp_store **out, vp_error *err)
{
    *out = NULL;
    VPI_TRY(store_new(context, ops, false, user, out, err));
    (*out)->tidy = tidy;
    return VP_OK;
}

vp_store *vp_store_ref(vp_store *store)
{
    if (store) atomic_fetch_add_explicit(&store->refs, 1, memory_order_relaxed);
    return store;
}

/* Whether a callback that frees may be called here: those of a host not in a forked child. */
static bool may_free(const vp_store *s)
{
    return !s->host || !vpi_forked(s->fork_mark);
}

vp_store *vp_store_unref(vp_store *store)
{
    if (!store || atomic_fetch_sub_explicit(&store->refs, 1, memory_order_acq_rel) != 1) return NULL;
    vpi_hook_remove(store->context, &store->hook);
    if (store->ops.release && may_free(store)) store->ops.release(store->user);
    vp_context_unref(store->context);
    vpi_free(store);
    return NULL;
}

void vpi_store_interrupt(vp_store *store)
{
    if (store->ops.interrupt && !vpi_forked(store->fork_mark)) store->ops.interrupt(store->user);
}

void vpi_store_tidy(vp_store *store, const char *prefix)
{
    if (store->tidy && vpi_context_check(store->context, NULL) == VP_OK)
        store->tidy(store->user, prefix, NULL);
}

vp_context *vpi_store_context(const vp_store *store)
{
    return store->context;
}

static vp_status check(vp_store *s, const char *name, vp_error *err)
{
    if (!s) return vpi_fail(err, VP_E_ARG, NULL, "no store");
    VPI_TRY(vpi_context_check(s->context, err));
    return vpi_key_valid(name) ? VP_OK : vpi_fail(err, VP_E_ARG, NULL, "the name is not valid");
}

/* ---- values ---- */

static void value_free(vp_value *v)
{
    vpi_pieces_dispose(&v->pieces);
    vp_store_unref(v->store);
    vpi_free(v->name);
    vpi_free(v);
}

vp_status vp_store_begin(vp_store *store, const char *name, vp_value **out, vp_error *err)
{
    vp_value *v = NULL;
    vp_status st;

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "no place for the result");
    *out = NULL;
    VPI_TRY(check(store, name, err));
    v = vpi_calloc(1, sizeof(*v));
    if (v) v->name = vpi_strdup(name);
    if (!v || !v->name) {
        vpi_free(v);
        return vpi_fail_nomem(err);
    }
    v->store = vp_store_ref(store);
    vp_error_init(&v->first);
    st = vpi_io_status(store->ops.begin(store->user, v->name, &v->value, err), store->host, "begin", err);
    if (st < 0) {
        value_free(v);
        return vpi_io_done(st, "store.begin", name, err);
    }
    v->pieces.write = store->ops.write;
    v->pieces.user = store->user;
    v->pieces.object = v->value;
    v->pieces.host = store->host;
    *out = v;
    return VP_OK;
}

vp_status vp_value_write(vp_value *value, const void *data, size_t size, vp_error *err)
{
    vp_status st;

    vp_error_init(err);
    if (!value || (!data && size > 0)) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    st = value->first.status;
    if (st == VP_OK) st = vpi_context_check(value->store->context, &value->first);
    if (st == VP_OK && size > 0) st = vpi_pieces_add(&value->pieces, data, size, &value->first);
    if (st < 0) {
        vpi_io_done(st, "store.write", value->name, &value->first);
        vpi_error_copy(err, &value->first);
    }
    return st;
}

vp_status vp_value_commit(vp_value *value, vp_error *err)
{
    vp_error *first;
    vp_store *s;
    vp_status st;

    vp_error_init(err);
    if (!value) return vpi_fail(err, VP_E_ARG, NULL, "no value");
    s = value->store;
    first = &value->first;
    st = first->status;
    if (st == VP_OK) st = vpi_context_check(s->context, first);
    if (st == VP_OK) st = vpi_pieces_flush(&value->pieces, first);
    if (st == VP_OK) {
        st = vpi_io_status_or(s->ops.commit(s->user, value->value, first), VP_END, s->host, "commit", first);
    } else if (may_free(s)) {
        s->ops.abort(s->user, value->value);
    }
    if (st < 0) {
        vpi_io_done(st, "store.commit", value->name, first);
        vpi_error_copy(err, first);
    }
    value_free(value);
    return st;
}

void vp_value_abort(vp_value *value)
{
    if (!value) return;
    if (may_free(value->store)) value->store->ops.abort(value->store->user, value->value);
    value_free(value);
}

vp_status vp_store_put(vp_store *store, const char *name, const void *data, uint64_t size, vp_error *err)
{
    vp_value *v = NULL;
    vp_status st;

    vp_error_init(err);
    if (size > SIZE_MAX) return vpi_fail_nomem(err);
    VPI_TRY(vp_store_begin(store, name, &v, err));
    st = vp_value_write(v, data, (size_t)size, err);
    if (st == VP_OK) return vp_value_commit(v, err);
    vp_value_abort(v);
    return st;
}

vp_status vp_store_open(vp_store *store, const char *name, vp_source **out, vp_error *err)
{
    vp_status st;

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "no place for the result");
    *out = NULL;
    VPI_TRY(check(store, name, err));
    st = vpi_io_status_or(store->ops.open(store->user, name, out, err), VP_END, store->host, "open", err);
    if (st == VP_OK && !*out) st = vpi_fail_host(err, VP_E_HOST, "open gave no source");
    if (st != VP_OK) *out = NULL;
    return vpi_io_done(st, "store.open", name, err);
}

vp_status vp_store_get(vp_store *store, const char *name, uint64_t limit, vp_bytes **out, vp_error *err)
{
    vp_source *source = NULL;
    vp_status st;

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "no place for the result");
    *out = NULL;
    st = vp_store_open(store, name, &source, err);
    if (st != VP_OK) return st;
    st = vpi_source_read_all(source, limit, out, err);
    vp_source_unref(source);
    return vpi_io_done(st, "store.get", name, err);
}

vp_status vp_store_list(vp_store *store, const char *prefix, vp_list_fn fn, void *user, vp_error *err)
{
    vpi_listing l = { fn, user, VP_OK };
    vp_status st;

    vp_error_init(err);
    if (!store || !prefix || !fn) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    VPI_TRY(vpi_context_check(store->context, err));
    st = store->ops.list(store->user, prefix, vpi_listing_step, &l, err);
    return vpi_io_done(vpi_listing_end(&l, st, store->host, err), "store.list", prefix, err);
}

vp_status vp_store_remove(vp_store *store, const char *name, vp_error *err)
{
    vp_status st;

    vp_error_init(err);
    VPI_TRY(check(store, name, err));
    st = vpi_io_status(store->ops.remove(store->user, name, err), store->host, "remove", err);
    return vpi_io_done(st, "store.remove", name, err);
}

/* ---- leases ---- */

vp_status vp_store_lease(vp_store *store, const char *name, vp_lease **out, uint64_t *fence, vp_error *err)
{
    uint64_t number = 0;
    vp_lease *l = NULL;
    vp_status st;

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "no place for the result");
    *out = NULL;
    VPI_TRY(check(store, name, err));
    l = vpi_calloc(1, sizeof(*l));
    if (l) l->name = vpi_strdup(name);
    if (!l || !l->name) {
        vpi_free(l);
        return vpi_fail_nomem(err);
    }
    st = vpi_io_status_or(store->ops.lease(store->user, l->name, &l->lease, &number, err), VP_AGAIN,
                          store->host, "lease", err);
    if (st != VP_OK) {
        vpi_free(l->name);
        vpi_free(l);
        return vpi_io_done(st, "store.lease", name, err);
    }
    l->store = vp_store_ref(store);
    if (fence) *fence = number;
    *out = l;
    return VP_OK;
}

vp_status vp_lease_renew(vp_lease *lease, vp_error *err)
{
    vp_store *s;
    vp_status st;

    vp_error_init(err);
    if (!lease) return vpi_fail(err, VP_E_ARG, NULL, "no lease");
    s = lease->store;
    VPI_TRY(vpi_context_check(s->context, err));
    st = vpi_io_status(s->ops.renew(s->user, lease->lease, err), s->host, "renew", err);
    return vpi_io_done(st, "store.renew", lease->name, err);
}

vp_lease *vp_lease_release(vp_lease *lease)
{
    if (!lease) return NULL;
    if (may_free(lease->store)) lease->store->ops.unlease(lease->store->user, lease->lease);
    vp_store_unref(lease->store);
    vpi_free(lease->name);
    vpi_free(lease);
    return NULL;
}
