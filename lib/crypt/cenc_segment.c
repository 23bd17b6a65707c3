/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Segments: samples are protected where they are, their moof says how (ISO/IEC 23001-7 7; 14496-12 8.8, 8.16.3). */

#include "cenc_int.h"

enum { AUX_MAX = 255 }; /* of a sample: saiz has 8 bits */

/* A border between boxes, in the segment as it came and in the answer. */
typedef struct mark {
    uint64_t from, to;
} mark;

/* A moof that waits for its mdat. */
typedef struct fragment {
    bool open;
    vpi_box moof;
    vpi_moof_places places;
    vpi_fragment_info info;
    uint64_t bytes;  /* of its samples */
    size_t at, mark; /* where it goes in out; the mark of what comes behind it */
} fragment;

typedef struct rewriting {
    const vp_cenc *cenc;
    vpi_protect protect;
    const uint8_t *data;
    size_t size;
    uint64_t first_sample, samples; /* number of the segment's first one; so many are done */
    unsigned fragments;
    fragment now;
    vpi_buf *out;
    vpi_buf head, aux, aux_sizes; /* moof; what senc and saiz hold of its samples */
    mark *marks;                  /* rising */
    size_t mark_count, mark_cap;
} rewriting;

static vp_status corrupt(vp_error *err, const char *what)
{
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "segment: %s", what);
}

static vp_status too_large(vp_error *err, const char *what)
{
    return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "segment: %s", what);
}

/* ---- samples ---- */

/* One form for the whole fragment: a picture that is protected as a whole is one subsample. */
static vp_status add_aux(rewriting *r, const vpi_protect_out *p, size_t size, vp_error *err)
{
    size_t before = r->aux.size;

    vpi_buf_add(&r->aux, p->iv, p->iv_size);
    if (r->cenc->track.kind == VPI_KIND_VIDEO) {
        vpi_buf_be16(&r->aux, p->subsample_count ? p->subsample_count : 1);
        for (uint32_t i = 0; i < p->subsample_count; i++) {
            vpi_buf_be16(&r->aux, p->subsamples[i].clear);
            vpi_buf_be32(&r->aux, p->subsamples[i].protected_bytes);
        }
        if (p->subsample_count == 0) {
            vpi_buf_be16(&r->aux, 0);
            vpi_buf_be32(&r->aux, (uint32_t)size);
        }
    }
    if (r->aux.size - before > AUX_MAX) return too_large(err, "a picture of more than 40 slices or tiles");
    vpi_buf_u8(&r->aux_sizes, (unsigned)(r->aux.size - before));
    return VP_OK;
}

static vp_status protect_samples(rewriting *r, uint8_t *at, vp_error *err)
{
    const vpi_fragment_info *info = &r->now.info;
    vpi_protect_out p;

    vpi_buf_clear(&r->aux);
    vpi_buf_clear(&r->aux_sizes);
    for (size_t i = 0; i < info->count; i++) {
        size_t size = info->samples[i].size;

        VPI_TRY(r->protect.sample(r->protect.user, r->first_sample + r->samples + i, at, size, at, &p, err));
        VPI_TRY(add_aux(r, &p, size, err));
        at += size;
    }
    return vpi_buf_failed(&r->aux) || vpi_buf_failed(&r->aux_sizes) ? vpi_fail_nomem(err) : VP_OK;
}

/* ---- moof ---- */

static vp_status check_fragment(rewriting *r, fragment *f, vp_error *err)
{
    const vpi_init_info *init = &r->cenc->info;
    bool sized = f->places.trun_flags & VPI_TRUN_SIZE || f->places.tfhd_flags & VPI_TFHD_SIZE;

    if (f->places.is_protected)
        return vpi_fail(err, VP_E_UNSUPPORTED, "INPUT_ENCRYPTED", "segment: it is protected already");
    if (f->info.track_id != init->track_id) return corrupt(err, "of another track than the init segment");
    if (f->places.tfhd_flags & VPI_TFHD_DESCRIPTION && f->info.description_index != 1)
        return corrupt(err, "'tfhd' names a sample entry that there is not");
    if (!(f->places.trun_flags & VPI_TRUN_OFFSET))
        return corrupt(err, "'trun' does not say where its data are");
    f->bytes = 0;
    for (size_t i = 0; i < f->info.count; i++) {
        if (!sized) f->info.samples[i].size = init->trex_size;
        f->bytes += f->info.samples[i].size; /* at most 2^20 of 32 bits */
    }
    return VP_OK;
}

static vp_status open_fragment(rewriting *r, const vpi_box *moof, vp_error *err)
{
    fragment *f = &r->now;

    if (f->open) return corrupt(err, "'moof' without its 'mdat'");
    VPI_TRY(vpi_moof_parse(moof, (size_t)(VPI_GUARD_SAMPLES - r->samples), &f->info, err));
    f->open = true;
    f->moof = *moof;
    VPI_TRY(vpi_moof_places_find(moof, &f->places, err));
    f->at = r->out->size;
    f->mark = r->mark_count;
    return check_fragment(r, f, err);
}

/* Clear samples of a protected track are of the second sample entry. */
static size_t add_clear_head(rewriting *r, const uint8_t *moof, size_t rest)
{
    const vpi_moof_places *p = &r->now.places;
    bool there = p->tfhd_flags & VPI_TFHD_DESCRIPTION;

    vpi_buf_add(&r->head, moof, p->description);
    vpi_buf_be32(&r->head, 2);
    vpi_buf_add(&r->head, moof + p->description + (there ? 4 : 0), rest - p->description - (there ? 4 : 0));
    return there ? 0 : 4;
}

static void add_protected_head(rewriting *r, const uint8_t *moof, size_t rest)
{
    const vpi_moof_places *p = &r->now.places;
    vpi_tenc tenc;

    vpi_cenc_tenc(&r->protect, &tenc);
    vpi_buf_add(&r->head, moof, p->traf);
    if (r->fragments == 0) vpi_buf_add(&r->head, r->protect.pssh, r->protect.pssh_size);
    vpi_buf_add(&r->head, moof + p->traf, p->traf_end - p->traf);
    if (r->protect.group) vpi_seig_write(&r->head, &tenc, (uint32_t)r->now.info.count);
    vpi_senc_write(&r->head, 0, &r->aux_sizes, &r->aux, r->cenc->track.kind == VPI_KIND_VIDEO);
    vpi_buf_add(&r->head, moof + p->traf_end, rest - p->traf_end);
}

/* The moof as it shall be. What is put in stands before the data, so that these move away by as much. */
static vp_status build_head(rewriting *r, vp_error *err)
{
    const fragment *f = &r->now;
    const uint8_t *moof = r->data + f->moof.offset;
    size_t size = (size_t)f->moof.size, described = 0, pssh = 0, grown;
    uint8_t *head;
    int64_t offset;

    vpi_buf_clear(&r->head);
    if (r->protect.clear) {
        described = add_clear_head(r, moof, size);
    } else {
        pssh = r->fragments == 0 ? r->protect.pssh_size : 0;
        add_protected_head(r, moof, size);
    }
    if (vpi_buf_failed(&r->head)) return vpi_fail_nomem(err);
    grown = r->head.size - size;
    offset = f->info.data_offset + (int64_t)grown;
    head = r->head.data;
    if (offset > INT32_MAX || !vpi_box_grow(head, grown) ||
        !vpi_box_grow(head + f->places.traf + pssh, grown - pssh))
        return too_large(err, "'moof' of more than 2 GiB");
    if (described) {
        uint8_t *tfhd = head + f->places.tfhd;

        vpi_box_grow(tfhd, described);
        head[f->places.description - 4 - 1] |= VPI_TFHD_DESCRIPTION; /* flags end before track_ID */
    }
    /* trun may stand on either side of tfhd */
    size_t field =
        f->places.data_offset + pssh + (f->places.data_offset > f->places.description ? described : 0);
    vpi_buf_patch_be32(&r->head, field, (uint32_t)offset);
    return VP_OK;
}

/* ---- mdat ---- */

/* Bytes that are no sample's would stay clear, and nobody would know. */
static vp_status check_data(const rewriting *r, const vpi_box *mdat, vp_error *err)
{
    const fragment *f = &r->now;
    uint64_t data = mdat->offset + (mdat->size - mdat->data_size);

    if (f->info.data_offset < 0 || f->moof.offset + (uint64_t)f->info.data_offset != data ||
        f->bytes != mdat->data_size)
        return corrupt(err, "'mdat' does not hold exactly the samples of its 'moof'");
    return VP_OK;
}

/* Before what has come since; marks move along. */
static vp_status insert_head(rewriting *r, vp_error *err)
{
    size_t at = r->now.at, behind = r->out->size - at, size = r->head.size;

    if (!vpi_buf_space(r->out, size)) return vpi_fail_nomem(err);
    memmove(r->out->data + at + size, r->out->data + at, behind);
    memcpy(r->out->data + at, r->head.data, size);
    for (size_t i = r->now.mark; i < r->mark_count; i++) r->marks[i].to += size;
    return VP_OK;
}

static vp_status close_fragment(rewriting *r, const vpi_box *mdat, vp_error *err)
{
    fragment *f = &r->now;
    size_t data;

    if (!f->open) return corrupt(err, "'mdat' without a 'moof'");
    VPI_TRY(check_data(r, mdat, err));
    vpi_buf_add(r->out, r->data + mdat->offset, (size_t)mdat->size);
    if (vpi_buf_failed(r->out)) return vpi_fail_nomem(err);
    data = r->out->size - mdat->data_size;
    if (!r->protect.clear) VPI_TRY(protect_samples(r, r->out->data + data, err));
    VPI_TRY(build_head(r, err));
    VPI_TRY(insert_head(r, err));
    r->samples += f->info.count;
    r->fragments++;
    vpi_fragment_info_dispose(&f->info);
    f->open = false;
    return VP_OK;
}

/* ---- sidx ---- */

static bool moved(const rewriting *r, uint64_t from, uint64_t *to)
{
    size_t low = 0, high = r->mark_count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (r->marks[mid].from < from) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (low == r->mark_count || r->marks[low].from != from) return false;
    *to = r->marks[low].to;
    return true;
}

static void write_be(uint8_t *to, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) to[i] = (uint8_t)(v >> (8 * (bytes - 1 - i)));
}

/* What is referenced begins first_offset behind the box, one reference behind the other (8.16.3.3). */
static vp_status patch_references(rewriting *r, const vpi_box *box, const vpi_sidx *sidx, vp_error *err)
{
    unsigned width = sidx->version ? 8 : 4;
    uint64_t at = box->offset + box->size, to = 0, end = 0, begin;
    size_t head = (size_t)box->size - box->data_size;
    uint8_t *field;

    if (!moved(r, box->offset, &begin) || !moved(r, at, &end) || !vpi_add_u64(at, sidx->first_offset, &at) ||
        !moved(r, at, &to))
        return corrupt(err, "'sidx' speaks of what is no box of the segment");
    field = r->out->data + begin + head + 4 + 8 + width; /* behind the earliest time */
    if (width == 4 && to - end > UINT32_MAX) return too_large(err, "'sidx' far from what it speaks of");
    write_be(field, to - end, width);
    field += width + 4;
    for (size_t i = 0; i < sidx->count; i++, field += 12) {
        begin = to;
        at += sidx->refs[i].size; /* no overflow: it was the place of a box */
        if (!moved(r, at, &to)) return corrupt(err, "'sidx' speaks of what is no box of the segment");
        if (to - begin > INT32_MAX) return too_large(err, "more than 2 GiB in a reference of 'sidx'");
        write_be(field, (uint64_t)sidx->refs[i].type_sidx << 31 | (to - begin), 4);
    }
    return VP_OK;
}

static vp_status patch_index(rewriting *r, const vpi_box *box, vp_error *err)
{
    vpi_sidx sidx;
    vp_status st;

    VPI_TRY(vpi_sidx_parse(box, &sidx, err));
    st = patch_references(r, box, &sidx, err);
    vpi_sidx_dispose(&sidx);
    return st;
}

/* ---- segment ---- */

static vp_status add_mark(rewriting *r, uint64_t from, vp_error *err)
{
    if (!VPI_GROW(r->marks, r->mark_count, r->mark_cap)) return vpi_fail_nomem(err);
    r->marks[r->mark_count++] = (mark){ from, r->out->size };
    return VP_OK;
}

static vp_status take_box(rewriting *r, const vpi_box *box, vp_error *err)
{
    switch (box->type) {
    case VPI_FOURCC('m', 'o', 'o', 'f'):
        return open_fragment(r, box, err);
    case VPI_FOURCC('m', 'd', 'a', 't'):
        return close_fragment(r, box, err);
    case VPI_FOURCC('m', 'o', 'o', 'v'):
        return corrupt(err, "an init segment is in it");
    case VPI_FOURCC('m', 'f', 'r', 'a'): /* offsets in a file, sizes of parts of boxes */
    case VPI_FOURCC('s', 's', 'i', 'x'):
        return VP_OK;
    default:
        vpi_buf_add(r->out, r->data + box->offset, (size_t)box->size);
        return vpi_buf_failed(r->out) ? vpi_fail_nomem(err) : VP_OK;
    }
}

static vp_status take_boxes(rewriting *r, vp_error *err)
{
    vpi_box box;
    size_t at = 0;
    vp_status st;

    while ((st = vpi_box_next(r->data, r->size, 0, &at, &box, err)) != VP_END) {
        if (st < 0) return st;
        VPI_TRY(add_mark(r, box.offset, err));
        VPI_TRY(take_box(r, &box, err));
    }
    if (r->now.open) return corrupt(err, "'moof' without its 'mdat'");
    if (r->fragments == 0) return corrupt(err, "no 'moof'");
    return add_mark(r, r->size, err);
}

static vp_status take_indexes(rewriting *r, vp_error *err)
{
    vpi_box box;
    size_t at = 0;
    vp_status st;

    while ((st = vpi_box_next(r->data, r->size, 0, &at, &box, err)) != VP_END) {
        if (st < 0) return st;
        if (box.type == VPI_FOURCC('s', 'i', 'd', 'x')) VPI_TRY(patch_index(r, &box, err));
    }
    return VP_OK;
}

static void dispose(rewriting *r)
{
    vpi_fragment_info_dispose(&r->now.info);
    vpi_buf_dispose(&r->head);
    vpi_buf_dispose(&r->aux);
    vpi_buf_dispose(&r->aux_sizes);
    vpi_free(r->marks);
}

vp_status vpi_cenc_write_segment(const vp_cenc *cenc, uint64_t number, const uint8_t *data, size_t size,
                                 vpi_buf *out, vp_error *err)
{
    rewriting r = {
        .cenc = cenc, .data = data, .size = size, .first_sample = number * VPI_GUARD_SAMPLES, .out = out
    };
    vpi_guard_session *session = NULL;
    vp_status st;

    VPI_GO(cenc->guard.open(cenc->guard.user, &cenc->track, &session, err));
    VPI_GO(cenc->guard.segment(session, number, &r.protect, err));
    /* mostly enough: senc and saiz have some 20 bytes for a picture, 9 for a frame of sound */
    if (!vpi_buf_reserve(out, size + size / 32 + 4096)) st = vpi_fail_nomem(err);
    if (st >= 0) st = take_boxes(&r, err);
    if (st >= 0) st = take_indexes(&r, err);
done:
    cenc->guard.close(session);
    dispose(&r);
    return st;
}
