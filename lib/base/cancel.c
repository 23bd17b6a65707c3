/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdatomic.h>

#include "base/context.h"

struct vp_cancel {
    atomic_uint refs;
    atomic_bool fired;
    _Atomic int64_t deadline_us; /* on the monotonic clock; 0: none */
    vp_cancel *parent;           /* a reference */
};

vp_status vp_cancel_new(vp_cancel **out, vp_error *err)
{
    return vp_cancel_child(NULL, out, err);
}

vp_status vp_cancel_child(vp_cancel *parent, vp_cancel **out, vp_error *err)
{
    vp_cancel *c;

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "no place for the result");
    *out = NULL;
    c = vpi_calloc(1, sizeof(*c));
    if (!c) return vpi_fail_nomem(err);
    atomic_init(&c->refs, 1);
    atomic_init(&c->fired, false);
    atomic_init(&c->deadline_us, 0);
    c->parent = vp_cancel_ref(parent);
    *out = c;
    return VP_OK;
}

void vp_cancel_fire(vp_cancel *cancel)
{
    if (cancel) atomic_store_explicit(&cancel->fired, true, memory_order_release);
}

void vp_cancel_deadline(vp_cancel *cancel, uint64_t milliseconds)
{
    int64_t at = 0;

    if (!cancel) return;
    if (milliseconds > 0) {
        if (milliseconds > INT64_MAX / 1000 ||
            !vpi_add_i64(vpi_now_us(), (int64_t)milliseconds * 1000, &at)) {
            at = INT64_MAX;
        }
    }
    atomic_store_explicit(&cancel->deadline_us, at, memory_order_relaxed);
}

/* CANCELED before TIMEOUT when both are true: it is what somebody asked for. */
static vp_status look(const vp_cancel *cancel)
{
    int64_t now = 0;
    bool late = false;

    for (; cancel; cancel = cancel->parent) {
        int64_t deadline = atomic_load_explicit(&cancel->deadline_us, memory_order_relaxed);

        if (atomic_load_explicit(&cancel->fired, memory_order_acquire)) return VP_E_CANCELED;
        if (deadline == 0 || late) continue;
        if (now == 0) now = vpi_now_us();
        late = now >= deadline;
    }
    return late ? VP_E_LIMIT : VP_OK;
}

int32_t vp_cancel_fired(const vp_cancel *cancel)
{
    return look(cancel) != VP_OK;
}

vp_cancel *vp_cancel_ref(vp_cancel *cancel)
{
    if (cancel) atomic_fetch_add_explicit(&cancel->refs, 1, memory_order_relaxed);
    return cancel;
}

vp_cancel *vp_cancel_unref(vp_cancel *cancel)
{
    while (cancel && atomic_fetch_sub_explicit(&cancel->refs, 1, memory_order_acq_rel) == 1) {
        vp_cancel *parent = cancel->parent;

        vpi_free(cancel);
        cancel = parent;
    }
    return NULL;
}

vp_status vpi_cancel_check(const vp_cancel *cancel, vp_error *err)
{
    switch (look(cancel)) {
    case VP_OK:
        return VP_OK;
    case VP_E_CANCELED:
        return vpi_fail(err, VP_E_CANCELED, "CANCELED", "canceled");
    default:
        return vpi_fail(err, VP_E_LIMIT, "TIMEOUT", "the deadline has passed");
    }
}

/* ---- of a thread ---- */

static _Thread_local vp_cancel *scope;

vp_cancel *vp_cancel_scope(vp_cancel *cancel)
{
    vp_cancel *before = scope;

    scope = cancel;
    return before;
}

vp_cancel *vpi_cancel_enter(vp_cancel *cancel)
{
    return vp_cancel_scope(cancel ? cancel : scope);
}

bool vpi_cancel_scoped(void)
{
    return scope != NULL;
}

vp_status vpi_cancel_check_scope(const vp_cancel *cancel, vp_error *err)
{
    VPI_TRY(vpi_cancel_check(cancel, err));
    return vpi_cancel_check(scope, err);
}
