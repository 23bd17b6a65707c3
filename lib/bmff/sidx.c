/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Segment index (ISO/IEC 14496-12 8.16.3). */
#include "bmff/box_int.h"

#define REFERENCE_SIZE 12u

vp_status vpi_sidx_parse(const vpi_box *box, vpi_sidx *out, vp_error *err)
{
    uint32_t flags;
    memset(out, 0, sizeof(*out));
    vpi_cursor c = vpi_cursor_open(box, &out->version, &flags);
    out->reference_id = vpi_take32(&c);
    out->timescale = vpi_take32(&c);
    unsigned width = out->version == 0 ? 4 : 8;
    out->earliest = vpi_take(&c, width);
    out->first_offset = vpi_take(&c, width);
    vpi_drop(&c, 2);
    size_t count = vpi_take16(&c);
    if (c.failed || out->version > 1 || out->timescale == 0) return VPI_CORRUPT(err, "broken 'sidx'");
    if (count > c.left / REFERENCE_SIZE) return VPI_CORRUPT(err, "'sidx': %zu references do not fit", count);
    if (count == 0) return VP_OK;
    out->refs = vpi_calloc(count, sizeof(*out->refs));
    if (!out->refs) return vpi_fail_nomem(err);
    out->count = count;
    for (size_t i = 0; i < count; i++) {
        vpi_sidx_ref *r = &out->refs[i];
        uint32_t size = vpi_take32(&c);
        r->duration = vpi_take32(&c);
        uint32_t sap = vpi_take32(&c);
        r->type_sidx = size >> 31;
        r->size = size & INT32_MAX;
        r->starts_with_sap = sap >> 31;
        r->sap_type = sap >> 28 & 7;
    }
    return VP_OK;
}

void vpi_sidx_dispose(vpi_sidx *sidx)
{
    vpi_free(sidx->refs);
    memset(sidx, 0, sizeof(*sidx));
}
