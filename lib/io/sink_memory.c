/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/memory_map.h"

typedef struct memory_sink {
    vp_context *context;
    vpi_map map;
} memory_sink;

static vp_status memory_begin(void *user, const vp_object_info *info, void **object, vp_error *err)
{
    (void)user;
    return vpi_map_begin(info->key, info->size == VP_SIZE_UNKNOWN ? 0 : info->size, object, err);
}

static vp_status memory_write(void *user, void *object, const void *data, size_t size, vp_error *err)
{
    (void)user;
    return vpi_map_write(object, data, size, err);
}

static vp_status memory_commit(void *user, void *object, vp_error *err)
{
    return vpi_map_commit(&((memory_sink *)user)->map, object, true, err);
}

static void memory_abort(void *user, void *object)
{
    (void)user;
    vpi_map_abort(object);
}

static vp_status memory_stat(void *user, const char *key, vp_object_info *info, vp_error *err)
{
    (void)err;
    return vpi_map_stat(&((memory_sink *)user)->map, key, info);
}

static vp_status memory_list(void *user, const char *prefix, vp_list_fn fn, void *fn_user, vp_error *err)
{
    return vpi_map_list(&((memory_sink *)user)->map, prefix, fn, fn_user, err);
}

static vp_status memory_open(void *user, const char *key, vp_source **out, vp_error *err)
{
    memory_sink *s = user;

    return vpi_map_open(&s->map, s->context, key, out, err);
}

static vp_status memory_remove(void *user, const char *key, vp_error *err)
{
    (void)err;
    vpi_map_remove(&((memory_sink *)user)->map, key);
    return VP_OK;
}

static void memory_release(void *user)
{
    memory_sink *s = user;

    vpi_map_dispose(&s->map);
    vpi_free(s);
}

vp_status vp_sink_memory(vp_context *context, vp_sink **out, vp_error *err)
{
    vp_sink_ops ops = VP_SINK_OPS_INIT;
    const vpi_sink_extra extra = { .direct = true };
    memory_sink *s;
    vp_status st;

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "no place for the result");
    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    s = vpi_calloc(1, sizeof(*s));
    if (!s) return vpi_fail_nomem(err);
    s->context = context; /* the sink around it holds the reference */
    vpi_map_init(&s->map);
    ops.begin = memory_begin;
    ops.write = memory_write;
    ops.commit = memory_commit;
    ops.abort = memory_abort;
    ops.stat = memory_stat;
    ops.list = memory_list;
    ops.open = memory_open;
    ops.remove = memory_remove;
    ops.release = memory_release;
    st = vpi_sink_new_internal(context, &ops, &extra, s, out, err);
    if (st < 0) memory_release(s);
    return st;
}
