/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/quick.h"

#include "base/common.h"
#include "base/error.h"
#include "base/hash.h"

#define QUICK_BYTES 65536u

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
