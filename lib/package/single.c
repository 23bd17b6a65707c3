/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "package/package.h"

vp_status vpi_ptrack_index(vpi_ptrack *track, vpi_buf *init, vp_error *err)
{
    vp_error why = VP_ERROR_INIT;
    uint64_t head = init->size, at;
    vp_status st = vpi_cmaf_sidx(track, init, &why);
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
