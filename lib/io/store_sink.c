/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/error.h"
#include "io/io.h"
#include "io/quick.h"

static vp_status store_begin(void *user, const vp_object_info *info, void **object, vp_error *err)
{
    vp_value *value = NULL;
    vp_status st = vp_store_begin(user, info->key, &value, err);
    *object = value;
    return st;
}

static vp_status store_write(void *user, void *object, const void *data, size_t size, vp_error *err)
{
    (void)user;
    return vp_value_write(object, data, size, err);
}

static vp_status store_commit(void *user, void *object, vp_error *err)
{
    (void)user;
    vp_status st = vp_value_commit(object, err);
    /* the name was taken: by an earlier run of the same task, with the same bytes */
    return st == VP_END ? VP_OK : st;
}

static void store_abort(void *user, void *object)
{
    (void)user;
    vp_value_abort(object);
}

static void store_release(void *user)
{
    vp_store_unref(user);
}

vp_status vpi_sink_over_store(vp_context *context, vp_store *store, vp_sink **out, vp_error *err)
{
    const vpi_sink_extra extra = { .direct = true };
    vp_sink_ops ops;
    vp_sink_ops_init(&ops, sizeof(ops));
    ops.begin = store_begin;
    ops.write = store_write;
    ops.commit = store_commit;
    ops.abort = store_abort;
    ops.release = store_release;
    vp_status st = vpi_sink_new_internal(context, &ops, &extra, vp_store_ref(store), out, err);
    if (st < 0) vp_store_unref(store);
    return st;
}
