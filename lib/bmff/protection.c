/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Common encryption (ISO/IEC 23001-7 7, 8; ISO/IEC 14496-12 8.7.8, 8.7.9, 8.9, 8.12) in headers and fragments. */
#include "bmff/box_int.h"

#define SEIG VPI_FOURCC('s', 'e', 'i', 'g')

enum {
    IV_MAX = 16,
    VIDEO_ENTRY = 78, /* VisualSampleEntry and AudioSampleEntry up to their boxes (12.1.3, 12.2.3) */
    AUDIO_ENTRY = 28,
    AUX_TYPE = 1, /* flag of saiz and saio: aux_info_type is told */
    SENC_SUBSAMPLES = 2,
    SUBSAMPLE = 6
};

/* ---- init segments ---- */

static bool iv_size_good(unsigned size)
{
    return size == 0 || size == 8 || size == IV_MAX;
}

/* The end of tenc, and of a description of 'seig' (8.2, 6). */
static bool take_scheme(vpi_cursor *c, vpi_tenc *out)
{
    out->is_protected = vpi_take8(c);
    out->iv_size = vpi_take8(c);
    for (unsigned i = 0; i < sizeof(out->kid); i++) out->kid[i] = vpi_take8(c);
    if (out->is_protected == 1 && out->iv_size == 0) {
        out->constant_iv_size = vpi_take8(c);
        if (!iv_size_good(out->constant_iv_size)) return false;
        for (unsigned i = 0; i < out->constant_iv_size; i++) out->constant_iv[i] = vpi_take8(c);
    }
    return !c->failed && iv_size_good(out->iv_size) && out->is_protected <= 1;
}

vp_status vpi_tenc_parse(const vpi_box *box, vpi_tenc *out, vp_error *err)
{
    uint32_t flags;
    unsigned pattern;
    memset(out, 0, sizeof(*out));
    vpi_cursor c = vpi_cursor_open(box, &out->version, &flags);
    vpi_drop(&c, 1);
    pattern = vpi_take8(&c);
    if (out->version > 0) {
        out->crypt_blocks = (uint8_t)(pattern >> 4);
        out->skip_blocks = pattern & 15u;
    }
    if (!take_scheme(&c, out) || out->version > 1) return VPI_CORRUPT(err, "broken 'tenc'");
    return VP_OK;
}

static vp_status parse_sinf(const vpi_box *sinf, vpi_entry_info *out, vp_error *err)
{
    vpi_box box, tenc;
    uint8_t version;
    uint32_t flags;
    VPI_TRY(vpi_box_need(sinf, VPI_FOURCC('f', 'r', 'm', 'a'), &box, err));
    vpi_cursor c = { box.data, box.data_size, false };
    out->original = vpi_take32(&c);
    if (c.failed) return VPI_CORRUPT(err, "broken 'frma'");
    VPI_TRY(vpi_box_need(sinf, VPI_FOURCC('s', 'c', 'h', 'm'), &box, err));
    c = vpi_cursor_open(&box, &version, &flags);
    out->scheme = vpi_take32(&c);
    out->scheme_version = vpi_take32(&c);
    if (c.failed) return VPI_CORRUPT(err, "broken 'schm'");
    VPI_TRY(vpi_box_need(sinf, VPI_FOURCC('s', 'c', 'h', 'i'), &box, err));
    VPI_TRY(vpi_box_need(&box, VPI_FOURCC('t', 'e', 'n', 'c'), &tenc, err));
    return vpi_tenc_parse(&tenc, &out->tenc, err);
}

static vp_status parse_entry(const vpi_box *entry, uint32_t handler, vpi_entry_info *out, vp_error *err)
{
    size_t fields = handler == VPI_FOURCC('v', 'i', 'd', 'e') ? VIDEO_ENTRY : AUDIO_ENTRY, at = 0;
    out->type = entry->type;
    out->data = entry->data;
    out->size = entry->data_size;
    if (entry->data_size < fields) return VPI_CORRUPT(err, "broken sample entry");
    for (unsigned count = 0;; count++) {
        vpi_box box;
        vp_status st = vpi_box_next(entry->data + fields, entry->data_size - fields, fields, &at, &box, err);
        if (st == VP_END) return VP_OK;
        if (st < 0) return st;
        if (count >= VPI_MAX_BOXES) return VPI_CORRUPT(err, "too many boxes in a sample entry");
        if (box.type != VPI_FOURCC('s', 'i', 'n', 'f')) continue;
        if (out->has_sinf) return VPI_CORRUPT(err, "more than one 'sinf' in a sample entry");
        out->has_sinf = true;
        out->sinf_at = (size_t)box.offset;
        out->sinf_size = (size_t)box.size;
        VPI_TRY(parse_sinf(&box, out, err));
    }
}

vp_status vpi_entries_parse(const uint8_t *data, size_t size, vpi_entries *out, vp_error *err)
{
    vpi_box box, stsd, entry;
    vpi_init_info handler = { 0 };
    uint8_t version;
    uint32_t flags;
    size_t at = 0;
    memset(out, 0, sizeof(*out));
    vp_status st = vpi_box_path(data, size, "moov/trak/mdia/hdlr", &box, err);
    if (st == VP_OK) st = vpi_hdlr_parse(&box, &handler, err);
    if (st == VP_OK) st = vpi_box_path(data, size, "moov/trak/mdia/minf/stbl/stsd", &stsd, err);
    if (st < 0) return st;
    if (st == VP_END) return VPI_CORRUPT(err, "no 'hdlr' or no 'stsd'");
    vpi_cursor c = vpi_cursor_open(&stsd, &version, &flags);
    out->count = vpi_take32(&c);
    if (c.failed) return VPI_CORRUPT(err, "broken 'stsd'");
    for (size_t i = 0; i < out->count && i < VPI_COUNT(out->entries); i++) {
        st = vpi_box_next(c.p, c.left, 0, &at, &entry, err);
        if (st == VP_END) break; /* fewer than it says: the caller sees both */
        if (st < 0) return st;
        VPI_TRY(parse_entry(&entry, handler.handler, &out->entries[i], err));
    }
    st = vpi_box_path(data, size, "moov/pssh", &box, err);
    out->has_pssh = st == VP_OK;
    return st < 0 ? st : VP_OK;
}

/* ---- fragments ---- */

static vp_status parse_saiz(const vpi_box *box, vpi_moof_protection *out, vp_error *err)
{
    uint8_t version;
    uint32_t flags;
    vpi_cursor c = vpi_cursor_open(box, &version, &flags);
    if (flags & AUX_TYPE) vpi_drop(&c, 8);
    out->saiz_default = vpi_take8(&c);
    out->saiz_count = vpi_take32(&c);
    if (c.failed || (out->saiz_default == 0 && out->saiz_count > c.left))
        return VPI_CORRUPT(err, "broken 'saiz'");
    out->saiz = out->saiz_default ? NULL : c.p;
    return VP_OK;
}

static vp_status parse_saio(const vpi_box *box, vpi_moof_protection *out, vp_error *err)
{
    uint8_t version;
    uint32_t flags;
    vpi_cursor c = vpi_cursor_open(box, &version, &flags);
    if (flags & AUX_TYPE) vpi_drop(&c, 8);
    out->saio_count = vpi_take32(&c);
    if (out->saio_count > 0) out->saio = vpi_take(&c, version ? 8 : 4);
    if (c.failed || version > 1) return VPI_CORRUPT(err, "broken 'saio'");
    return VP_OK;
}

static vp_status parse_senc(const vpi_box *box, const vpi_box *moof, vpi_moof_protection *out, vp_error *err)
{
    uint8_t version;
    uint32_t flags;
    vpi_cursor c = vpi_cursor_open(box, &version, &flags);
    out->senc_count = vpi_take32(&c);
    if (c.failed || version > 0) return VPI_CORRUPT(err, "broken 'senc'");
    out->senc_subsamples = (flags & SENC_SUBSAMPLES) != 0;
    out->senc = c.p;
    out->senc_size = c.left;
    out->senc_at = box->offset - moof->offset + (box->size - c.left);
    return VP_OK;
}

/* Groups of another type are no matter of protection. */
static vp_status parse_sbgp(const vpi_box *box, vpi_moof_protection *out, vp_error *err)
{
    uint8_t version;
    uint32_t flags;
    vpi_cursor c = vpi_cursor_open(box, &version, &flags);
    uint32_t type = vpi_take32(&c);
    if (version == 1) vpi_drop(&c, 4);
    uint32_t count = vpi_take32(&c);
    if (c.failed || version > 1) return VPI_CORRUPT(err, "broken 'sbgp'");
    if (type != SEIG) return VP_OK;
    if (out->has_sbgp) return VPI_CORRUPT(err, "more than one 'sbgp' of protection");
    out->has_sbgp = true;
    for (uint32_t i = 0; i < count && !c.failed; i++) {
        uint32_t samples = vpi_take32(&c), index = vpi_take32(&c);
        if (i == 0) out->group_index = index;
        if (index != out->group_index) out->groups_differ = true;
        out->group_samples += samples;
    }
    return c.failed ? VPI_CORRUPT(err, "broken 'sbgp'") : VP_OK;
}

static vp_status parse_sgpd(const vpi_box *box, vpi_moof_protection *out, vp_error *err)
{
    uint8_t version;
    uint32_t flags, length = 0;
    vpi_cursor c = vpi_cursor_open(box, &version, &flags);
    uint32_t type = vpi_take32(&c);
    if (type != SEIG && !c.failed) return VP_OK;
    if (version == 1) length = vpi_take32(&c);
    if (version >= 2) vpi_drop(&c, 4);
    out->group_descriptions = vpi_take32(&c);
    if (c.failed || version == 0 || out->has_sgpd) return VPI_CORRUPT(err, "broken 'sgpd'");
    out->has_sgpd = true;
    if (out->group_descriptions == 0) return VP_OK;
    if (version == 1 && length == 0) vpi_drop(&c, 4);
    vpi_drop(&c, 1);
    unsigned pattern = vpi_take8(&c);
    out->seig.version = 1;
    out->seig.crypt_blocks = (uint8_t)(pattern >> 4);
    out->seig.skip_blocks = pattern & 15u;
    return take_scheme(&c, &out->seig) ? VP_OK : VPI_CORRUPT(err, "broken 'sgpd'");
}

static vp_status parse_one(const vpi_box *box, const vpi_box *moof, vpi_moof_protection *out, vp_error *err)
{
    bool *has = NULL;
    vp_status st = VP_OK;
    switch (box->type) {
    case VPI_FOURCC('s', 'a', 'i', 'z'):
        has = &out->has_saiz;
        st = parse_saiz(box, out, err);
        break;
    case VPI_FOURCC('s', 'a', 'i', 'o'):
        has = &out->has_saio;
        st = parse_saio(box, out, err);
        break;
    case VPI_FOURCC('s', 'e', 'n', 'c'):
        has = &out->has_senc;
        st = parse_senc(box, moof, out, err);
        break;
    case VPI_FOURCC('s', 'b', 'g', 'p'):
        return parse_sbgp(box, out, err);
    case VPI_FOURCC('s', 'g', 'p', 'd'):
        return parse_sgpd(box, out, err);
    default:
        return VP_OK;
    }
    if (st == VP_OK && *has) return VPI_CORRUPT(err, "more than one box of protection in 'traf'");
    *has = true;
    return st;
}

vp_status vpi_moof_protection_parse(const vpi_box *moof, vpi_moof_protection *out, vp_error *err)
{
    vpi_box traf;
    size_t at = 0;
    memset(out, 0, sizeof(*out));
    VPI_TRY(vpi_box_need(moof, VPI_FOURCC('t', 'r', 'a', 'f'), &traf, err));
    uint64_t base = traf.offset + (traf.size - traf.data_size);
    for (unsigned count = 0;; count++) {
        vpi_box box;
        vp_status st = vpi_box_next(traf.data, traf.data_size, base, &at, &box, err);
        if (st == VP_END) return VP_OK;
        if (st < 0) return st;
        if (count >= VPI_MAX_BOXES) return VPI_CORRUPT(err, "too many boxes in 'traf'");
        VPI_TRY(parse_one(&box, moof, out, err));
    }
}

bool vpi_senc_next(const vpi_moof_protection *p, unsigned iv_size, size_t *at, vpi_senc_sample *out)
{
    vpi_cursor c = { p->senc + *at, p->senc_size - *at, false };
    memset(out, 0, sizeof(*out));
    out->iv = c.p;
    vpi_drop(&c, iv_size);
    if (p->senc_subsamples) {
        out->count = vpi_take16(&c);
        out->subsamples = c.p;
        vpi_drop(&c, (size_t)out->count * SUBSAMPLE);
    }
    if (c.failed) return false;
    out->size = p->senc_size - *at - c.left;
    *at += out->size;
    return true;
}

void vpi_senc_subsample(const vpi_senc_sample *s, size_t n, uint32_t *clear, uint32_t *protected_bytes)
{
    const uint8_t *d = s->subsamples + n * SUBSAMPLE;
    *clear = vpi_rd16(d);
    *protected_bytes = vpi_rd32(d + 2);
}
