/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A pipe, kept as a value of a work store: what it held can then be read in any order. */
#include <stdio.h>

#include "io/io.h"
#include "io/io_int.h"

#define CHUNK ((size_t)1 << 18)
#define NAME_MAX_BYTES 1024

typedef struct spooled {
    vp_source *value;
    vp_lease *lease;
} spooled;

static vp_status spooled_read(void *user, uint64_t offset, void *data, size_t capacity, size_t *got,
                              vp_error *err)
{
    return vp_source_read_at(((spooled *)user)->value, offset, data, capacity, got, err);
}

static vp_status spooled_size(void *user, uint64_t *bytes, vp_error *err)
{
    return vp_source_size(((spooled *)user)->value, bytes, err);
}

static vp_status spooled_identity(void *user, char *text, size_t capacity, vp_error *err)
{
    return vp_source_identity(((spooled *)user)->value, text, capacity, err);
}

static void spooled_release(void *user)
{
    spooled *s = user;

    vp_source_unref(s->value);
    vp_lease_release(s->lease);
    vpi_free(s);
}

static vp_status copy(vp_value *value, vp_read_fn read, void *user, uint64_t limit, vp_cancel *cancel,
                      vp_error *err)
{
    uint8_t *data = vpi_alloc(CHUNK);
    uint64_t total = 0;
    vp_status st = data ? VP_OK : vpi_fail_nomem(err);

    while (st >= 0) {
        size_t got = 0;

        st = vpi_cancel_check(cancel, err);
        if (st >= 0) st = vpi_io_status(read(user, data, CHUNK, &got, err), true, "read", err);
        if (st >= 0 && got > CHUNK)
            st = vpi_fail(err, VP_E_HOST, NULL, "read answered with more bytes than it was asked for");
        if (st < 0 || got == 0) break;
        if (!vpi_add_u64(total, got, &total) || (limit > 0 && total > limit))
            st = vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT",
                          "there are more than the %llu bytes that are allowed", (unsigned long long)limit);
        else
            st = vp_value_write(value, data, got, err);
    }
    vpi_free(data);
    return st < 0 ? st : VP_OK;
}

/* The value, new, and nobody else's. */
static vp_status spool(vp_store *store, const char *name, vp_read_fn read, void *user, uint64_t limit,
                       vp_cancel *cancel, vp_source **out, vp_error *err)
{
    vp_value *value = NULL;
    vp_status st;

    VPI_TRY(vp_store_remove(store, name, err));
    VPI_TRY(vp_store_begin(store, name, &value, err));
    st = copy(value, read, user, limit, cancel, err);
    if (st < 0) {
        vp_value_abort(value);
        return st;
    }
    st = vp_value_commit(value, err);
    if (st == VP_OK) st = vp_store_open(store, name, out, err);
    /* taken between the two, or removed: by somebody who does not ask for the lease */
    if (st == VP_END) st = vpi_fail(err, VP_E_CONFLICT, "ALREADY_RUNNING", "another writes %s", name);
    return st;
}

vp_status vp_source_spool(vp_context *context, vp_store *store, const char *name, vp_read_fn read, void *user,
                          uint64_t limit, vp_cancel *cancel, vp_source **out, vp_error *err)
{
    const vp_source_ops ops = { .struct_size = sizeof(ops),
                                .read_at = spooled_read,
                                .size = spooled_size,
                                .identity = spooled_identity,
                                .release = spooled_release };
    char lease[NAME_MAX_BYTES];
    spooled *s;
    vp_status st;

    vp_error_init(err);
    if (!out || !store || !name || !read) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    if ((size_t)snprintf(lease, sizeof(lease), "lease/%s", name) >= sizeof(lease))
        return vpi_fail(err, VP_E_ARG, NULL, "the name is too long");
    s = vpi_calloc(1, sizeof(*s));
    if (!s) return vpi_fail_nomem(err);
    st = vp_store_lease(store, lease, &s->lease, NULL, err);
    if (st == VP_AGAIN)
        st = vpi_fail(err, VP_E_CONFLICT, "ALREADY_RUNNING", "another reads or writes %s", name);
    if (st >= 0) st = spool(store, name, read, user, limit, cancel, &s->value, err);
    if (st >= 0) {
        st = vpi_source_new_internal(context, &ops, s, out, err);
        if (st < 0) vp_store_remove(store, name, NULL);
    }
    if (st < 0) spooled_release(s);
    return st < 0 ? st : VP_OK;
}
