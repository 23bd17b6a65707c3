/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Boxes that are put into what exists: growing parents, places in a moof, protection (ISO/IEC 23001-7 4, 6, 7). */
#include "bmff/box_int.h"

#define SEIG VPI_FOURCC('s', 'e', 'i', 'g')

enum { TFHD_BASE_OFFSET = 0x1, SENC_SUBSAMPLES = 2 };

/* The box of PIFF 1.1 that became senc. */
static const uint8_t piff_senc[16] = { 0xa2, 0x39, 0x4f, 0x52, 0x5a, 0x9b, 0x4f, 0x14,
                                       0xa2, 0x44, 0x6c, 0x42, 0x7c, 0x64, 0x8d, 0xf4 };

bool vpi_box_grow(uint8_t *box, uint64_t by)
{
    uint32_t size = vpi_rd32(box);
    uint64_t whole = size == 1 ? vpi_rd64(box + 8) : size;
    if (size == 0) return true; /* to the end */
    if (!vpi_add_u64(whole, by, &whole) || (size != 1 && whole > UINT32_MAX)) return false;
    for (unsigned i = 0; i < (size == 1 ? 8u : 4u); i++)
        box[(size == 1 ? 15 : 3) - i] = (uint8_t)(whole >> (8 * i));
    return true;
}

/* ---- places ---- */

static uint32_t group_type(const vpi_box *box)
{
    uint8_t version;
    uint32_t flags;
    vpi_cursor c = vpi_cursor_open(box, &version, &flags);
    return vpi_take32(&c);
}

static vp_status note_child(const vpi_box *moof, const vpi_box *box, vpi_moof_places *out, vp_error *err)
{
    size_t at = (size_t)(box->offset - moof->offset), head = (size_t)box->size - box->data_size;
    uint32_t word = box->data_size >= 4 ? vpi_rd32(box->data) & 0xffffffu : 0;
    switch (box->type) {
    case VPI_FOURCC('t', 'f', 'h', 'd'):
        if (word & TFHD_BASE_OFFSET)
            return VPI_CORRUPT(err, "'tfhd' with an offset in a file, which CMAF has not");
        out->tfhd = at;
        out->tfhd_flags = word;
        out->description = at + head + 4 + 4;
        return VP_OK;
    case VPI_FOURCC('t', 'r', 'u', 'n'):
        out->trun_flags = word;
        out->data_offset = at + head + 4 + 4;
        return VP_OK;
    case VPI_FOURCC('s', 'e', 'n', 'c'):
    case VPI_FOURCC('s', 'a', 'i', 'z'):
    case VPI_FOURCC('s', 'a', 'i', 'o'):
        out->is_protected = true;
        return VP_OK;
    case VPI_FOURCC('u', 'u', 'i', 'd'):
        if (memcmp(box->usertype, piff_senc, sizeof(piff_senc)) == 0) out->is_protected = true;
        return VP_OK;
    case VPI_FOURCC('s', 'b', 'g', 'p'):
    case VPI_FOURCC('s', 'g', 'p', 'd'):
        if (group_type(box) == SEIG) out->is_protected = true;
        return VP_OK;
    default:
        return VP_OK;
    }
}

vp_status vpi_moof_places_find(const vpi_box *moof, vpi_moof_places *out, vp_error *err)
{
    vpi_box traf, box;
    size_t at = 0;
    memset(out, 0, sizeof(*out));
    VPI_TRY(vpi_box_need(moof, VPI_FOURCC('t', 'r', 'a', 'f'), &traf, err));
    uint64_t base = traf.offset + (traf.size - traf.data_size);
    out->traf = (size_t)(traf.offset - moof->offset);
    out->traf_end = (size_t)(base - moof->offset);
    for (;;) { /* vpi_moof_parse has bounded their number */
        size_t before = at;
        vp_status st = vpi_box_next(traf.data, traf.data_size, base, &at, &box, err);
        if (st < 0) return st;
        if (st == VP_END) break;
        /* it would take in what is put behind it */
        if (vpi_rd32(traf.data + before) == 0) return VPI_CORRUPT(err, "a box without a size in 'traf'");
        out->traf_end = (size_t)(box.offset + box.size - moof->offset);
        VPI_TRY(note_child(moof, &box, out, err));
    }
    return out->tfhd && out->data_offset ? VP_OK : VPI_CORRUPT(err, "'traf' without 'tfhd' or 'trun'");
}

/* ---- protection ---- */

/* The end of tenc, and of a description of 'seig'. */
static void add_scheme(vpi_buf *b, const vpi_tenc *tenc)
{
    vpi_buf_u8(b, 0);
    vpi_buf_u8(b, tenc->version ? (unsigned)tenc->crypt_blocks << 4 | (tenc->skip_blocks & 15u) : 0);
    vpi_buf_u8(b, 1); /* isProtected */
    vpi_buf_u8(b, tenc->iv_size);
    vpi_buf_add(b, tenc->kid, sizeof(tenc->kid));
    if (tenc->iv_size) return;
    vpi_buf_u8(b, tenc->constant_iv_size);
    vpi_buf_add(b, tenc->constant_iv, tenc->constant_iv_size);
}

void vpi_sinf_write(vpi_buf *b, uint32_t original, uint32_t scheme, const vpi_tenc *tenc)
{
    size_t sinf = vpi_box_begin(b, VPI_FOURCC('s', 'i', 'n', 'f'));
    size_t at = vpi_box_begin(b, VPI_FOURCC('f', 'r', 'm', 'a')), schi;
    vpi_buf_be32(b, original);
    vpi_box_end(b, at);
    at = vpi_fullbox_begin(b, VPI_FOURCC('s', 'c', 'h', 'm'), 0, 0);
    vpi_buf_be32(b, scheme);
    vpi_buf_be32(b, 0x00010000);
    vpi_box_end(b, at);
    schi = vpi_box_begin(b, VPI_FOURCC('s', 'c', 'h', 'i'));
    at = vpi_fullbox_begin(b, VPI_FOURCC('t', 'e', 'n', 'c'), tenc->version, 0);
    add_scheme(b, tenc);
    vpi_box_end(b, at);
    vpi_box_end(b, schi);
    vpi_box_end(b, sinf);
}

void vpi_seig_write(vpi_buf *b, const vpi_tenc *tenc, uint32_t samples)
{
    size_t at = vpi_fullbox_begin(b, VPI_FOURCC('s', 'b', 'g', 'p'), 0, 0);
    vpi_buf_be32(b, SEIG);
    vpi_buf_be32(b, 1);
    vpi_buf_be32(b, samples);
    vpi_buf_be32(b, 0x10001); /* the first description of this fragment */
    vpi_box_end(b, at);
    at = vpi_fullbox_begin(b, VPI_FOURCC('s', 'g', 'p', 'd'), 1, 0);
    vpi_buf_be32(b, SEIG);
    vpi_buf_be32(b, 20u + (tenc->iv_size ? 0 : 1u + tenc->constant_iv_size));
    vpi_buf_be32(b, 1);
    add_scheme(b, tenc);
    vpi_box_end(b, at);
}

void vpi_senc_write(vpi_buf *b, size_t moof, const vpi_buf *sizes, const vpi_buf *aux, bool subsamples)
{
    size_t at, offset, same = 1;
    if (aux->size == 0) return; /* whole samples under a constant IV: tenc says it all */
    while (same < sizes->size && sizes->data[same] == sizes->data[0]) same++;
    at = vpi_fullbox_begin(b, VPI_FOURCC('s', 'a', 'i', 'z'), 0, 0);
    vpi_buf_u8(b, same == sizes->size ? sizes->data[0] : 0);
    vpi_buf_be32(b, (uint32_t)sizes->size);
    if (same < sizes->size) vpi_buf_add(b, sizes->data, sizes->size);
    vpi_box_end(b, at);
    at = vpi_fullbox_begin(b, VPI_FOURCC('s', 'a', 'i', 'o'), 0, 0);
    vpi_buf_be32(b, 1);
    offset = b->size;
    vpi_buf_be32(b, 0);
    vpi_box_end(b, at);
    at = vpi_fullbox_begin(b, VPI_FOURCC('s', 'e', 'n', 'c'), 0, subsamples ? SENC_SUBSAMPLES : 0);
    vpi_buf_be32(b, (uint32_t)sizes->size);
    if (!b->failed) vpi_buf_patch_be32(b, offset, (uint32_t)(b->size - moof));
    vpi_buf_add(b, aux->data, aux->size);
    vpi_box_end(b, at);
}
