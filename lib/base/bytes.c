/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdatomic.h>

#include "base/buf.h"
#include "base/error.h"

struct vp_bytes {
    atomic_uint refs;
    size_t size;
    uint8_t *data; /* size bytes and a NUL */
};

const void *vp_bytes_data(const vp_bytes *bytes)
{
    return bytes ? bytes->data : NULL;
}

uint64_t vp_bytes_size(const vp_bytes *bytes)
{
    return bytes ? bytes->size : 0;
}

vp_bytes *vp_bytes_ref(vp_bytes *bytes)
{
    if (bytes) atomic_fetch_add_explicit(&bytes->refs, 1, memory_order_relaxed);
    return bytes;
}

vp_bytes *vp_bytes_unref(vp_bytes *bytes)
{
    if (bytes && atomic_fetch_sub_explicit(&bytes->refs, 1, memory_order_acq_rel) == 1) {
        vpi_free(bytes->data);
        vpi_free(bytes);
    }
    return NULL;
}

vp_status vpi_bytes_from_buf(vpi_buf *b, vp_bytes **out, vp_error *err)
{
    vp_bytes *bytes = NULL;
    uint8_t *smaller;

    *out = NULL;
    vpi_buf_u8(b, 0);
    if (!b->failed) bytes = vpi_calloc(1, sizeof(*bytes));
    if (!bytes) {
        vpi_buf_dispose(b);
        return vpi_fail_nomem(err);
    }
    /* The buffer grew by doubling; what is kept for long should not hold twice its size. */
    smaller = b->capacity - b->size > b->size / 4 ? vpi_realloc(b->data, b->size, 1) : NULL;
    atomic_init(&bytes->refs, 1);
    bytes->size = b->size - 1;
    bytes->data = smaller ? smaller : b->data;
    *b = (vpi_buf){ 0 };
    *out = bytes;
    return VP_OK;
}

vp_status vpi_bytes_copy(const void *data, size_t size, vp_bytes **out, vp_error *err)
{
    vpi_buf b = { 0 };

    /* Exact room, because the buffer itself would round up. */
    b.data = size < SIZE_MAX ? vpi_alloc(size + 1) : NULL;
    b.capacity = b.data ? size + 1 : 0;
    b.failed = !b.data;
    vpi_buf_add(&b, data, size);
    return vpi_bytes_from_buf(&b, out, err);
}
