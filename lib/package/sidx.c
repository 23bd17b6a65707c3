/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Segment index of a single-file track (ISO/IEC 14496-12 8.16.3): one reference for each fragment. */

#include "package/package.h"

#include "bmff/bmff.h"

#define SAP_FIRST 0x90000000u /* starts_with_SAP, SAP_type 1, SAP_delta_time 0 */

static vp_status count_references(const vpi_ptrack *track, size_t *count, vp_error *err)
{
    uint64_t total = 0;

    for (size_t s = 0; s < track->segment_count; s++) total += track->segments[s].fragment_count;
    if (total == 0) return vpi_fail(err, VP_E_INTERNAL, NULL, "track without fragments");
    if (total > UINT16_MAX) {
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "%llu fragments, a segment index holds 65535",
                        (unsigned long long)total);
    }
    *count = (size_t)total;
    return VP_OK;
}

static vp_status add_reference(const vpi_segment *segment, size_t f, vpi_buf *out, vp_error *err)
{
    const vpi_fragment *fragment = &segment->fragments[f];
    uint64_t next = f + 1 < segment->fragment_count ? fragment[1].offset : segment->bytes;

    /* References follow each other without a gap. */
    if (fragment->offset + fragment->bytes != next || (f == 0 && fragment->offset != 0)) {
        return vpi_fail(err, VP_E_INTERNAL, NULL, "fragments of a single file are not contiguous");
    }
    if (fragment->bytes > INT32_MAX || fragment->ticks > UINT32_MAX) {
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "fragment of %llu bytes, %llu ticks",
                        (unsigned long long)fragment->bytes, (unsigned long long)fragment->ticks);
    }
    vpi_buf_be32(out, (uint32_t)fragment->bytes); /* reference_type 0: media */
    vpi_buf_be32(out, (uint32_t)fragment->ticks);
    vpi_buf_be32(out, SAP_FIRST);
    return VP_OK;
}

vp_status vpi_cmaf_sidx(const vpi_ptrack *track, vpi_buf *out, vp_error *err)
{
    size_t count = 0, at;

    VPI_TRY(count_references(track, &count, err));
    at = vpi_fullbox_begin(out, VPI_FOURCC('s', 'i', 'd', 'x'), 1, 0);
    vpi_buf_be32(out, 1); /* reference_ID: track_ID */
    vpi_buf_be32(out, track->timescale);
    vpi_buf_be64(out, track->segments[0].start);
    vpi_buf_be64(out, 0); /* first_offset: the first moof follows */
    vpi_buf_be16(out, 0);
    vpi_buf_be16(out, (unsigned)count);
    for (size_t s = 0; s < track->segment_count; s++) {
        for (size_t f = 0; f < track->segments[s].fragment_count; f++) {
            VPI_TRY(add_reference(&track->segments[s], f, out, err));
        }
    }
    vpi_box_end(out, at);
    return vpi_buf_failed(out) ? vpi_fail_nomem(err) : VP_OK;
}
