/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "package/package.h"

vp_status vpi_ptrack_index(vpi_ptrack *track, vpi_buf *init, vp_error *err)
{
    vp_error why = VP_ERROR_INIT;
    uint64_t head = init->size, at;
    /* Ciphered segments are of no use to readers of an index, and their bytes are not those of fragments. */
    bool opaque = track->protection.scheme == VPI_SCHEME_AES128;
    vp_status st = opaque ? VP_E_LIMIT : vpi_cmaf_sidx(track, init, &why);
    if (st == VP_E_LIMIT) {
        init->size = (size_t)head;
    } else if (st < 0) {
        vpi_error_copy(err, &why);
        return st;
    } else {
        track->index.key = vpi_strdup(track->init.key);
        track->index.offset = head;
        track->index.bytes = init->size - head;
        if (!track->index.key) return vpi_fail_nomem(err);
    }
    at = init->size;
    for (size_t i = 0; i < track->segment_count; i++) {
        track->segments[i].offset = at;
        at += track->segments[i].bytes;
    }
    return VP_OK;
}
