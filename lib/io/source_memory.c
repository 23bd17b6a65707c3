/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/io_int.h"

static vp_status memory_read_at(void *user, uint64_t offset, void *data, size_t capacity, size_t *got,
                                vp_error *err)
{
    vp_bytes *bytes = user;
    uint64_t size = vp_bytes_size(bytes);

    (void)err;
    *got = offset < size ? (size_t)VPI_MIN(size - offset, (uint64_t)capacity) : 0;
    if (*got > 0) memcpy(data, (const uint8_t *)vp_bytes_data(bytes) + offset, *got);
    return VP_OK;
}

static vp_status memory_size(void *user, uint64_t *bytes, vp_error *err)
{
    (void)err;
    *bytes = vp_bytes_size(user);
    return VP_OK;
}

static void memory_release(void *user)
{
    vp_bytes_unref(user);
}

vp_status vpi_source_bytes(vp_context *context, vp_bytes *bytes, vp_source **out, vp_error *err)
{
    vp_source_ops ops = VP_SOURCE_OPS_INIT;
    vp_status st;

    ops.read_at = memory_read_at;
    ops.size = memory_size;
    ops.release = memory_release;
    st = vpi_source_new_internal(context, &ops, vp_bytes_ref(bytes), out, err);
    if (st < 0) vp_bytes_unref(bytes);
    return st;
}

vp_status vp_source_memory(vp_context *context, const void *data, uint64_t size, vp_source **out,
                           vp_error *err)
{
    vp_bytes *bytes = NULL;
    vp_status st;

    vp_error_init(err);
    if (!out || (!data && size > 0)) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    if (size > SIZE_MAX - 1) return vpi_fail_nomem(err);
    VPI_TRY(vpi_bytes_copy(data, (size_t)size, &bytes, err));
    st = vpi_source_bytes(context, bytes, out, err);
    vp_bytes_unref(bytes);
    return st;
}
