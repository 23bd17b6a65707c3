/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Movie fragments (ISO/IEC 14496-12 8.8.4 to 8.8.12), in the CMAF shape: one track, one run. */
#include "bmff/box_int.h"

enum {
    TFHD_BASE_OFFSET = 0x1,
    TFHD_DESCRIPTION = 0x2,
    TFHD_DURATION = 0x8,
    TFHD_SIZE = 0x10,
    TFHD_FLAGS = 0x20,
    TFHD_EMPTY = 0x10000,
    TFHD_BASE_IS_MOOF = 0x20000,
    TRUN_OFFSET = 0x1,
    TRUN_FIRST_FLAGS = 0x4,
    TRUN_DURATION = 0x100,
    TRUN_SIZE = 0x200,
    TRUN_FLAGS = 0x400,
    TRUN_CTS = 0x800
};

static vp_status parse_tfhd(const vpi_box *box, vpi_tfhd *out, vp_error *err)
{
    uint8_t version;
    vpi_cursor c = vpi_cursor_open(box, &version, &out->flags);
    out->track_id = vpi_take32(&c);
    if (out->flags & TFHD_BASE_OFFSET) out->base_data_offset = vpi_take(&c, 8);
    if (out->flags & TFHD_DESCRIPTION) out->description_index = vpi_take32(&c);
    if (out->flags & TFHD_DURATION) out->default_duration = vpi_take32(&c);
    if (out->flags & TFHD_SIZE) out->default_size = vpi_take32(&c);
    if (out->flags & TFHD_FLAGS) out->default_flags = vpi_take32(&c);
    if (c.failed || out->track_id == 0) return VPI_CORRUPT(err, "broken 'tfhd'");
    return VP_OK;
}

static vp_status parse_tfdt(const vpi_box *box, vpi_fragment_info *out, vp_error *err)
{
    uint32_t flags;
    vpi_cursor c = vpi_cursor_open(box, &out->tfdt_version, &flags);
    out->tfdt = vpi_take(&c, out->tfdt_version == 0 ? 4 : 8);
    if (c.failed || out->tfdt_version > 1) return VPI_CORRUPT(err, "broken 'tfdt'");
    out->has_tfdt = true;
    return VP_OK;
}

static vp_status read_samples(vpi_cursor *c, uint32_t flags, uint32_t first_flags, vpi_fragment_info *out,
                              vp_error *err)
{
    for (size_t i = 0; i < out->count; i++) {
        vpi_trun_sample *s = &out->samples[i];
        s->duration = flags & TRUN_DURATION ? vpi_take32(c) : out->default_duration;
        s->size = flags & TRUN_SIZE ? vpi_take32(c) : out->default_size;
        s->flags = flags & TRUN_FLAGS ? vpi_take32(c) : out->default_flags;
        if (i == 0 && flags & TRUN_FIRST_FLAGS) s->flags = first_flags;
        uint32_t cts = flags & TRUN_CTS ? vpi_take32(c) : 0;
        if (out->trun_version == 0 && cts > INT32_MAX) {
            return VPI_CORRUPT(err, "'trun': composition offset %u of sample %zu", cts, i);
        }
        s->cts = (int32_t)cts;
    }
    return VP_OK;
}

/* The run's data_offset counts from the base; the answer counts from the moof. */
static vp_status resolve_offset(const vpi_tfhd *tfhd, const vpi_box *moof, vpi_fragment_info *out,
                                vp_error *err)
{
    if (!(tfhd->flags & TFHD_BASE_OFFSET)) return VP_OK;
    if (tfhd->base_data_offset > INT64_MAX / 2 || moof->offset > INT64_MAX / 2) {
        return VPI_CORRUPT(err, "'tfhd': base offset is too large");
    }
    int64_t offset = (int64_t)tfhd->base_data_offset - (int64_t)moof->offset + out->data_offset;
    if (offset < INT32_MIN || offset > INT32_MAX)
        return VPI_CORRUPT(err, "'tfhd': base offset is far from 'moof'");
    out->data_offset = (int32_t)offset;
    return VP_OK;
}

static vp_status parse_trun(const vpi_box *box, size_t limit, vpi_fragment_info *out, vp_error *err)
{
    uint32_t flags, first_flags = 0;
    vpi_cursor c = vpi_cursor_open(box, &out->trun_version, &flags);
    uint32_t count = vpi_take32(&c);
    if (flags & TRUN_OFFSET) out->data_offset = (int32_t)vpi_take32(&c);
    if (flags & TRUN_FIRST_FLAGS) first_flags = vpi_take32(&c);
    if (c.failed || out->trun_version > 1) return VPI_CORRUPT(err, "broken 'trun'");
    size_t each = 0;
    for (uint32_t bit = TRUN_DURATION; bit <= TRUN_CTS; bit <<= 1) each += flags & bit ? 4 : 0;
    if (each && count > c.left / each) return VPI_CORRUPT(err, "'trun': %u samples do not fit", count);
    if (count > limit) return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "'trun': %u samples", count);
    if (count == 0) return VP_OK;
    out->samples = vpi_calloc(count, sizeof(*out->samples));
    if (!out->samples) return vpi_fail_nomem(err);
    out->count = count;
    return read_samples(&c, flags, first_flags, out, err);
}

/* Children of traf that matter, each at most once; senc, saiz, saio, sbgp, subs and uuid are passed over. */
typedef struct traf_parts {
    vpi_box tfhd, tfdt, trun;
    bool has_tfhd, has_tfdt, has_trun;
} traf_parts;

static vp_status collect(const vpi_box *traf, traf_parts *parts, vp_error *err)
{
    uint64_t base = traf->offset + (traf->size - traf->data_size);
    size_t at = 0;
    for (unsigned count = 0;; count++) {
        vpi_box box;
        vp_status st = vpi_box_next(traf->data, traf->data_size, base, &at, &box, err);
        if (st == VP_END) break;
        if (st < 0) return st;
        if (count >= VPI_MAX_BOXES) return VPI_CORRUPT(err, "too many boxes in 'traf'");
        vpi_box *place = NULL;
        bool *has = NULL;
        switch (box.type) {
        case VPI_FOURCC('t', 'f', 'h', 'd'):
            place = &parts->tfhd, has = &parts->has_tfhd;
            break;
        case VPI_FOURCC('t', 'f', 'd', 't'):
            place = &parts->tfdt, has = &parts->has_tfdt;
            break;
        case VPI_FOURCC('t', 'r', 'u', 'n'):
            place = &parts->trun, has = &parts->has_trun;
            break;
        default:
            continue;
        }
        if (*has) return VPI_CORRUPT(err, "more than one of a box in 'traf'");
        *has = true;
        *place = box;
    }
    if (!parts->has_tfhd || !parts->has_trun) return VPI_CORRUPT(err, "'traf' without 'tfhd' or 'trun'");
    return VP_OK;
}

/* The one traf; DATA for none and for several. */
static vp_status only_traf(const vpi_box *moof, vpi_box *traf, vp_error *err)
{
    uint64_t base = moof->offset + (moof->size - moof->data_size);
    size_t at = 0;
    bool found = false;
    for (unsigned count = 0;; count++) {
        vpi_box box;
        vp_status st = vpi_box_next(moof->data, moof->data_size, base, &at, &box, err);
        if (st < 0) return st;
        if (st == VP_END) break;
        if (count >= VPI_MAX_BOXES) return VPI_CORRUPT(err, "too many boxes in 'moof'");
        if (box.type != VPI_FOURCC('t', 'r', 'a', 'f')) continue;
        if (found) return VPI_CORRUPT(err, "'moof' with several tracks");
        found = true;
        *traf = box;
    }
    return found ? VP_OK : VPI_CORRUPT(err, "'moof' without 'traf'");
}

static vp_status parse_parts(const vpi_box *moof, size_t limit, vpi_fragment_info *out, vp_error *err)
{
    vpi_box mfhd, traf = { .data = NULL };
    traf_parts parts = { .has_tfhd = false };
    vpi_tfhd tfhd = { .flags = 0 };
    uint8_t version;
    uint32_t flags;
    VPI_TRY(vpi_box_need(moof, VPI_FOURCC('m', 'f', 'h', 'd'), &mfhd, err));
    vpi_cursor c = vpi_cursor_open(&mfhd, &version, &flags);
    out->sequence = vpi_take32(&c);
    if (c.failed) return VPI_CORRUPT(err, "broken 'mfhd'");
    VPI_TRY(only_traf(moof, &traf, err));
    VPI_TRY(collect(&traf, &parts, err));
    VPI_TRY(parse_tfhd(&parts.tfhd, &tfhd, err));
    out->track_id = tfhd.track_id;
    out->default_duration = tfhd.default_duration;
    out->default_size = tfhd.default_size;
    out->default_flags = tfhd.default_flags;
    out->default_base_is_moof = tfhd.flags & TFHD_BASE_IS_MOOF;
    out->description_index = tfhd.description_index;
    out->empty = tfhd.flags & TFHD_EMPTY;
    if (parts.has_tfdt) VPI_TRY(parse_tfdt(&parts.tfdt, out, err));
    VPI_TRY(parse_trun(&parts.trun, limit, out, err));
    return resolve_offset(&tfhd, moof, out, err);
}

vp_status vpi_moof_parse(const vpi_box *moof, size_t limit, vpi_fragment_info *out, vp_error *err)
{
    memset(out, 0, sizeof(*out));
    vp_status st = parse_parts(moof, limit, out, err);
    if (st < 0) vpi_fragment_info_dispose(out);
    return st;
}

void vpi_fragment_info_dispose(vpi_fragment_info *info)
{
    vpi_free(info->samples);
    memset(info, 0, sizeof(*info));
}
