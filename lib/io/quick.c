/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/quick.h"

#include "base/common.h"
#include "base/context.h"
#include "base/error.h"
#include "base/hash.h"

#define QUICK_BYTES 65536u
#define COPY_BYTES ((size_t)1 << 20)

vp_status vpi_source_quick_hash(vp_source *source, uint8_t digest[32], vp_error *err)
{
    uint64_t size = 0;
    vpi_sha256 sha;
    vp_status st = VP_OK;
    uint8_t *block = vpi_alloc(QUICK_BYTES);
    if (!block) return vpi_fail_nomem(err);
    VPI_GO(vp_source_size(source, &size, err));
    vpi_sha256_init(&sha);
    vpi_sha256_add_u64(&sha, size);
    for (int tail = 0; tail < 2; tail++) {
        uint64_t at = tail && size > QUICK_BYTES ? size - QUICK_BYTES : 0;
        size_t got = 0;
        VPI_GO(vp_source_read_at(source, at, block, QUICK_BYTES, &got, err));
        vpi_sha256_add(&sha, block, got);
    }
    vpi_sha256_done(&sha, digest);
done:
    vpi_free(block);
    return st;
}

vp_status vpi_store_copy(vp_store *store, const char *name, vp_object *object, vp_cancel *cancel,
                         uint64_t *bytes, uint32_t *crc32c, vp_error *err)
{
    uint32_t crc = 0;
    vp_source *value = NULL;
    uint64_t at = 0, size = 0;
    uint8_t *block = NULL;
    vp_status st = vp_store_open(store, name, &value, err);
    if (st != VP_OK) return st;
    VPI_GO(vp_source_size(value, &size, err));
    block = vpi_alloc(COPY_BYTES);
    if (!block) st = vpi_fail_nomem(err);
    while (st >= 0 && at < size) {
        size_t got = 0;
        VPI_GO(vpi_cancel_check(cancel, err));
        VPI_GO(vp_source_read_at(value, at, block, (size_t)VPI_MIN(size - at, COPY_BYTES), &got, err));
        if (!got) VPI_GO(vpi_fail(err, VP_E_IO, "IO_ERROR", "%s became shorter", name));
        VPI_GO(vp_object_write(object, block, got, err));
        crc = vpi_crc32c(crc, block, got);
        at += got;
    }
    if (bytes) *bytes = at;
    if (crc32c) *crc32c = crc;
done:
    vp_source_unref(value);
    vpi_free(block);
    return st;
}
