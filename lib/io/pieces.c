/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/io_int.h"

static vp_status hand_on(vpi_pieces *p, const void *data, size_t size, vp_error *err)
{
    return vpi_io_status(p->write(p->user, p->object, data, size, err), p->host, "write", err);
}

vp_status vpi_pieces_add(vpi_pieces *p, const void *data, size_t size, vp_error *err)
{
    const uint8_t *from = data;

    if (p->pending.size > 0) {
        size_t n = VPI_MIN(size, VPI_PIECE - p->pending.size);

        vpi_buf_add(&p->pending, from, n);
        if (vpi_buf_failed(&p->pending)) return vpi_fail_nomem(err);
        from += n;
        size -= n;
        if (p->pending.size == VPI_PIECE) VPI_TRY(vpi_pieces_flush(p, err));
    }
    if (size == 0) return VP_OK;
    if (size >= VPI_PIECE) return hand_on(p, from, size, err);
    if (!vpi_buf_reserve(&p->pending, VPI_PIECE)) return vpi_fail_nomem(err);
    vpi_buf_add(&p->pending, from, size);
    return VP_OK;
}

vp_status vpi_pieces_flush(vpi_pieces *p, vp_error *err)
{
    size_t size = p->pending.size;

    if (size == 0) return VP_OK;
    vpi_buf_clear(&p->pending);
    return hand_on(p, p->pending.data, size, err);
}

void vpi_pieces_dispose(vpi_pieces *p)
{
    vpi_buf_dispose(&p->pending);
}
