/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* WebVTT segments (RFC 8216 3.5): a header in each, and times that fit those of the picture. */
#include "verify/hls_int.h"

/* "MPEGTS:900000,LOCAL:00:00:00.000" in either order; false when it is not understood. */
static bool read_map(vpi_view v, uint64_t *mpeg, bool *local_zero)
{
    bool has_mpeg = false, has_local = false;

    while (v.size > 0) {
        const char *comma = memchr(v.data, ',', v.size);
        vpi_view part = { v.data, comma ? (size_t)(comma - v.data) : v.size };

        if (vpi_view_begins(part, "MPEGTS:")) {
            has_mpeg = vpi_view_u64((vpi_view){ part.data + 7, part.size - 7 }, mpeg);
        } else if (vpi_view_begins(part, "LOCAL:")) {
            has_local = true;
            *local_zero = vpi_view_is(part, "LOCAL:00:00:00.000") || vpi_view_is(part, "LOCAL:00:00.000");
        }
        v.data += part.size + (comma ? 1 : 0);
        v.size -= part.size + (comma ? 1 : 0);
    }
    return has_mpeg && has_local;
}

/* Where title time 0 lies in the picture's own times: the TS base, or 0 where there is fMP4. */
static uint64_t base_of(const vpi_verifier *v)
{
    for (size_t i = 0; i < v->p->track_count; i++) {
        if (v->p->tracks[i].kind == VP_TRACK_VIDEO && v->p->tracks[i].container == VP_CONTAINER_CMAF)
            return 0;
    }
    return VPI_MPEG_TS_BASE;
}

void vpi_verify_text(vpi_verifier *v, const vpi_ptrack *t, const char *where, const uint8_t *data,
                     size_t size)
{
    static const char map_name[] = "X-TIMESTAMP-MAP=";
    vpi_view all = { (const char *)data, size };
    uint64_t mpeg = 0, due = base_of(v);
    bool local_zero = true, found = false;

    if (!vpi_ends_with(where, ".vtt") || t->container == VP_CONTAINER_CMAF) return;
    if (vpi_view_begins(all, "\xEF\xBB\xBF")) all = (vpi_view){ all.data + 3, all.size - 3 };
    if (!vpi_check(v, vpi_view_begins(all, "WEBVTT"), "P25", where, "does not begin with WEBVTT")) return;
    /* The header ends with an empty line. */
    while (all.size > 0) {
        const char *end = memchr(all.data, '\n', all.size);
        vpi_view line = { all.data, end ? (size_t)(end - all.data) : all.size };

        all.data += line.size + (end ? 1 : 0);
        all.size -= line.size + (end ? 1 : 0);
        if (line.size > 0 && line.data[line.size - 1] == '\r') line.size--;
        if (line.size == 0) break;
        if (!vpi_view_begins(line, map_name)) continue;
        line = (vpi_view){ line.data + sizeof(map_name) - 1, line.size - (sizeof(map_name) - 1) };
        found = vpi_check(v, read_map(line, &mpeg, &local_zero), "P25", where,
                          "X-TIMESTAMP-MAP is not understood");
        if (!found) return;
    }
    vpi_check(v, (found || due == 0) && mpeg == due && local_zero, "P25", where,
              "X-TIMESTAMP-MAP is at %llu, the title at %llu", (unsigned long long)mpeg,
              (unsigned long long)due);
}
