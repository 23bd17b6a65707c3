/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/libav_int.h"

/* No title of 48 hours has more. */
#define KEYS_MAX 10000000

vp_status vpi_demux_index(vpi_demux *demux, int32_t stream, int64_t **dts, size_t *count, vp_error *err)
{
    AVStream *s = vpi_demux_avstream(demux, stream);
    int64_t *list = NULL;
    size_t n = 0, cap = 0;
    if (!s) return vpi_fail(err, VP_E_ARG, NULL, "no stream %d", (int)stream);
    int entries = avformat_index_get_entries_count(s);
    /* a fragmented file, and every other container, fills its index while it is read */
    if (entries < 1 || s->nb_frames != entries)
        return vpi_fail(err, VP_E_UNSUPPORTED, NULL, "the file has no complete index");
    for (int i = 0; i < entries; i++) {
        const AVIndexEntry *e = avformat_index_get_entry(s, i);
        if (!e || !(e->flags & AVINDEX_KEYFRAME) || e->flags & AVINDEX_DISCARD_FRAME) continue;
        if (n >= KEYS_MAX) break;
        if (!VPI_GROW(list, n, cap)) {
            vpi_free(list);
            return vpi_fail_nomem(err);
        }
        list[n++] = e->timestamp;
    }
    *dts = list;
    *count = n;
    return VP_OK;
}
