/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Init segments (ISO/IEC 14496-12 8.2 to 8.6, 8.8.1 to 8.8.3). */
#include "bmff/box_int.h"

#define MAX_TRACKS 1u
#define MAX_BRANDS 256u

/* all ones: unknown (8.2.2.3), whatever the width */
static uint64_t take_duration(vpi_cursor *c, uint8_t version)
{
    uint64_t v = vpi_take(c, version ? 8 : 4);
    return !version && v == UINT32_MAX ? UINT64_MAX : v;
}

static vp_status parse_ftyp(const vpi_box *box, vpi_init_info *out, vp_error *err)
{
    vpi_cursor c = { box->data, box->data_size, false };
    out->major_brand = vpi_take32(&c);
    uint32_t brand = out->major_brand;
    vpi_drop(&c, 4);
    if (c.failed) return VPI_CORRUPT(err, "broken 'ftyp'");
    for (unsigned i = 0; i < MAX_BRANDS; i++) {
        uint8_t last = (uint8_t)brand;
        /* The brands went on from iso9 to isoa; isom is the first of all. */
        bool sixth = (last >= '6' && last <= '9') || (last >= 'a' && last <= 'l');
        if (sixth && brand >> 8 == VPI_FOURCC(0, 'i', 's', 'o')) out->brand_iso6 = true;
        if (brand == VPI_FOURCC('c', 'm', 'f', 'c') || brand == VPI_FOURCC('c', 'm', 'f', '2'))
            out->brand_cmfc = true;
        if (c.left < 4) break;
        brand = vpi_take32(&c);
    }
    return VP_OK;
}

vp_status vpi_mvhd_parse(const vpi_box *box, vpi_init_info *out, vp_error *err)
{
    uint8_t version;
    uint32_t flags;
    vpi_cursor c = vpi_cursor_open(box, &version, &flags);
    vpi_drop(&c, version ? 16 : 8);
    out->movie_timescale = vpi_take32(&c);
    out->mvhd_duration = take_duration(&c, version);
    if (c.failed || version > 1 || out->movie_timescale == 0) return VPI_CORRUPT(err, "broken 'mvhd'");
    return VP_OK;
}

vp_status vpi_tkhd_parse(const vpi_box *box, vpi_init_info *out, vp_error *err)
{
    uint8_t version;
    uint32_t flags, matrix[9];
    vpi_cursor c = vpi_cursor_open(box, &version, &flags);
    out->enabled = (flags & 1) != 0;
    vpi_drop(&c, version ? 16 : 8);
    out->track_id = vpi_take32(&c);
    vpi_drop(&c, 4);
    out->tkhd_duration = take_duration(&c, version);
    vpi_drop(&c, 8 + 2 + 2 + 2 + 2);
    for (unsigned i = 0; i < VPI_COUNT(matrix); i++) matrix[i] = vpi_take32(&c);
    out->turned = matrix[1] || matrix[3] || matrix[0] >> 31 || matrix[4] >> 31;
    out->tkhd_width = vpi_take32(&c);
    out->tkhd_height = vpi_take32(&c);
    if (c.failed || version > 1 || out->track_id == 0) return VPI_CORRUPT(err, "broken 'tkhd'");
    return VP_OK;
}

vp_status vpi_mdhd_parse(const vpi_box *box, vpi_init_info *out, vp_error *err)
{
    uint8_t version;
    uint32_t flags;
    vpi_cursor c = vpi_cursor_open(box, &version, &flags);
    vpi_drop(&c, version ? 16 : 8);
    out->timescale = vpi_take32(&c);
    out->mdhd_duration = take_duration(&c, version);
    unsigned language = vpi_take16(&c);
    if (c.failed || version > 1 || out->timescale == 0) return VPI_CORRUPT(err, "broken 'mdhd'");
    for (unsigned i = 0; i < 3; i++) {
        unsigned letter = 0x60 + (language >> (10 - 5 * i) & 31u);
        out->language[i] = (char)letter;
        /* Codes of the Macintosh, and what is no letter */
        if (letter < 'a' || letter > 'z') language = 0;
    }
    out->language[3] = 0;
    if (language == 0) memcpy(out->language, "und", 4);
    return VP_OK;
}

static vp_status parse_colr(const vpi_box *box, vpi_init_info *out, vp_error *err)
{
    vpi_cursor c = { box->data, box->data_size, false };
    uint32_t kind = vpi_take32(&c);
    bool nclx = kind == VPI_FOURCC('n', 'c', 'l', 'x');
    if (!nclx && kind != VPI_FOURCC('n', 'c', 'l', 'c')) return VP_OK;
    out->colr_primaries = vpi_take16(&c);
    out->colr_transfer = vpi_take16(&c);
    out->colr_matrix = vpi_take16(&c);
    if (nclx) out->colr_full_range = vpi_take8(&c) >> 7;
    if (c.failed) return VPI_CORRUPT(err, "broken 'colr'");
    out->has_colr = true;
    return VP_OK;
}

static vp_status parse_pasp(const vpi_box *box, vpi_init_info *out, vp_error *err)
{
    vpi_cursor c = { box->data, box->data_size, false };
    out->pasp_h = vpi_take32(&c);
    out->pasp_v = vpi_take32(&c);
    if (c.failed) return VPI_CORRUPT(err, "broken 'pasp'");
    out->has_pasp = true;
    return VP_OK;
}

static void set_config(vpi_init_info *out, const uint8_t *data, size_t size)
{
    if (out->codec_config) return;
    out->codec_config = data;
    out->codec_config_size = size;
}

static vp_status parse_entry_child(const vpi_box *box, vpi_init_info *out, vp_error *err)
{
    const uint8_t *config = NULL;
    size_t size = 0;
    switch (box->type) {
    case VPI_FOURCC('a', 'v', 'c', 'C'):
    case VPI_FOURCC('h', 'v', 'c', 'C'):
    case VPI_FOURCC('a', 'v', '1', 'C'):
    case VPI_FOURCC('d', 'O', 'p', 's'):
    case VPI_FOURCC('d', 'a', 'c', '3'):
    case VPI_FOURCC('d', 'e', 'c', '3'):
        set_config(out, box->data, box->data_size);
        return VP_OK;
    case VPI_FOURCC('v', 'p', 'c', 'C'):
    case VPI_FOURCC('d', 'f', 'L', 'a'):
        if (box->data_size < 4) return VPI_CORRUPT(err, "broken codec configuration");
        set_config(out, box->data + 4, box->data_size - 4);
        return VP_OK;
    case VPI_FOURCC('e', 's', 'd', 's'):
        VPI_TRY(vpi_esds_config(box, &out->object_type, &config, &size, err));
        if (config) set_config(out, config, size);
        return VP_OK;
    case VPI_FOURCC('d', 'v', 'c', 'C'):
    case VPI_FOURCC('d', 'v', 'v', 'C'):
    case VPI_FOURCC('d', 'v', 'w', 'C'):
        out->dolby_vision = true;
        return VP_OK;
    case VPI_FOURCC('m', 'd', 'c', 'v'):
        if (box->data_size >= 24) out->mdcv = box->data;
        return VP_OK;
    case VPI_FOURCC('c', 'l', 'l', 'i'):
        if (box->data_size >= 4) out->clli = box->data;
        return VP_OK;
    case VPI_FOURCC('S', 'm', 'D', 'm'): /* of VP9, with version and flags */
        if (box->data_size >= 4 + 24) out->smdm = box->data + 4;
        return VP_OK;
    case VPI_FOURCC('C', 'o', 'L', 'L'):
        if (box->data_size >= 4 + 4) out->clli = box->data + 4;
        return VP_OK;
    case VPI_FOURCC('c', 'o', 'l', 'r'):
        return out->has_colr ? VP_OK : parse_colr(box, out, err);
    case VPI_FOURCC('p', 'a', 's', 'p'):
        return out->has_pasp ? VP_OK : parse_pasp(box, out, err);
    default:
        return VP_OK;
    }
}

/* Boxes of a sample entry; 'sinf' is passed over, the codec's own box is its sibling (ISO/IEC 23001-7 4). */
static vp_status parse_entry_children(const uint8_t *data, size_t size, unsigned depth, vpi_init_info *out,
                                      vp_error *err)
{
    size_t at = 0;
    for (unsigned count = 0;; count++) {
        vpi_box box;
        vp_status st = vpi_box_next(data, size, 0, &at, &box, err);
        if (st == VP_END) return VP_OK;
        if (st < 0) return st;
        if (count >= VPI_MAX_BOXES) return VPI_CORRUPT(err, "too many boxes in a sample entry");
        if (box.type == VPI_FOURCC('w', 'a', 'v', 'e') && depth == 0) { /* QuickTime keeps 'esds' in there */
            VPI_TRY(parse_entry_children(box.data, box.data_size, depth + 1, out, err));
        } else {
            VPI_TRY(parse_entry_child(&box, out, err));
        }
    }
}

/* Hz of a big-endian binary64; 0 for what is no plausible rate. */
static uint32_t rate_of_double(uint64_t bits)
{
    double rate;
    memcpy(&rate, &bits, sizeof(rate));
    return rate >= 1 && rate < 4294967295.0 ? (uint32_t)rate : 0;
}

/* AudioSampleEntry (12.2.3), and QuickTime's versions 1 and 2 of it, which exist in 'stsd' version 0 only. */
static void parse_audio_entry(vpi_cursor *c, uint8_t stsd_version, vpi_init_info *out)
{
    unsigned version = vpi_take16(c);
    vpi_drop(c, 6);
    out->channels = vpi_take16(c);
    vpi_drop(c, 2 + 2 + 2);
    out->sample_rate = vpi_take32(c) >> 16;
    if (stsd_version != 0) return;
    if (version == 1) {
        vpi_drop(c, 16);
    } else if (version == 2) {
        vpi_drop(c, 4);
        out->sample_rate = rate_of_double(vpi_take(c, 8));
        uint32_t channels = vpi_take32(c);
        out->channels = (uint16_t)VPI_MIN(channels, (uint32_t)UINT16_MAX);
        vpi_drop(c, 20);
    }
}

vp_status vpi_stsd_parse(const vpi_box *box, vpi_init_info *out, vp_error *err)
{
    uint8_t version;
    uint32_t flags;
    vpi_box entry;
    size_t at = 0;
    vpi_cursor c = vpi_cursor_open(box, &version, &flags);
    uint32_t count = vpi_take32(&c);
    if (c.failed || version > 1 || count == 0) return VPI_CORRUPT(err, "broken 'stsd'");
    vp_status st = vpi_box_next(c.p, c.left, 0, &at, &entry, err);
    if (st < 0) return st;
    if (st == VP_END) return VPI_CORRUPT(err, "'stsd' without a sample entry");
    out->sample_entry = entry.type;
    out->descriptions = count;
    c = (vpi_cursor){ entry.data, entry.data_size, false };
    vpi_drop(&c, 6);
    out->data_reference = vpi_take16(&c);
    switch (out->handler) {
    case VPI_FOURCC('v', 'i', 'd', 'e'):
        vpi_drop(&c, 16);
        out->width = vpi_take16(&c);
        out->height = vpi_take16(&c);
        vpi_drop(&c, 50);
        break;
    case VPI_FOURCC('s', 'o', 'u', 'n'):
        parse_audio_entry(&c, version, out);
        break;
    default: /* text, metadata: their fields vary and nothing of them is told here */
        return c.failed ? VPI_CORRUPT(err, "broken sample entry") : VP_OK;
    }
    if (c.failed) return VPI_CORRUPT(err, "broken sample entry");
    return parse_entry_children(c.p, c.left, 0, out, err);
}

/* Whether a table of stbl holds entries; skip: bytes between version/flags and the count. */
static vp_status table_filled(const vpi_box *stbl, uint32_t type, size_t skip, bool *filled, vp_error *err)
{
    vpi_box box;
    uint8_t version;
    uint32_t flags;
    char name[5];
    vp_status st = vpi_box_child(stbl, type, &box, err);
    if (st < 0) return st;
    if (st == VP_END) return VP_OK;
    vpi_cursor c = vpi_cursor_open(&box, &version, &flags);
    vpi_drop(&c, skip);
    uint32_t count = vpi_take32(&c);
    if (c.failed) return VPI_CORRUPT(err, "broken '%s'", vpi_fourcc_text(type, name));
    if (count) *filled = true;
    return VP_OK;
}

static vp_status parse_stbl(const vpi_box *stbl, vpi_init_info *out, vp_error *err)
{
    vpi_box stsd;
    VPI_TRY(vpi_box_need(stbl, VPI_FOURCC('s', 't', 's', 'd'), &stsd, err));
    VPI_TRY(vpi_stsd_parse(&stsd, out, err));
    VPI_TRY(table_filled(stbl, VPI_FOURCC('s', 't', 's', 'z'), 4, &out->samples_in_stbl, err));
    VPI_TRY(table_filled(stbl, VPI_FOURCC('s', 't', 'z', '2'), 4, &out->samples_in_stbl, err));
    VPI_TRY(table_filled(stbl, VPI_FOURCC('s', 't', 't', 's'), 0, &out->samples_in_stbl, err));
    VPI_TRY(table_filled(stbl, VPI_FOURCC('s', 't', 's', 'c'), 0, &out->samples_in_stbl, err));
    VPI_TRY(table_filled(stbl, VPI_FOURCC('s', 't', 'c', 'o'), 0, &out->samples_in_stbl, err));
    return table_filled(stbl, VPI_FOURCC('c', 'o', '6', '4'), 0, &out->samples_in_stbl, err);
}

vp_status vpi_hdlr_parse(const vpi_box *box, vpi_init_info *out, vp_error *err)
{
    uint8_t version;
    uint32_t flags;
    vpi_cursor c = vpi_cursor_open(box, &version, &flags);
    vpi_drop(&c, 4);
    out->handler = vpi_take32(&c);
    return c.failed ? VPI_CORRUPT(err, "broken 'hdlr'") : VP_OK;
}

/* Which media header there is, and whether the data lie in this file (8.4.5, 8.7.2). */
static vp_status parse_minf(const vpi_box *minf, vpi_init_info *out, vp_error *err)
{
    static const uint32_t headers[] = { VPI_FOURCC('v', 'm', 'h', 'd'), VPI_FOURCC('s', 'm', 'h', 'd'),
                                        VPI_FOURCC('n', 'm', 'h', 'd'), VPI_FOURCC('s', 't', 'h', 'd') };
    vpi_box box, dref, entry;
    uint8_t version;
    uint32_t flags;
    size_t at = 0;
    vp_status st;
    for (size_t i = 0; i < VPI_COUNT(headers) && !out->media_header; i++) {
        st = vpi_box_child(minf, headers[i], &box, err);
        if (st < 0) return st;
        if (st == VP_OK) out->media_header = headers[i];
    }
    st = vpi_box_child(minf, VPI_FOURCC('d', 'i', 'n', 'f'), &box, err);
    if (st == VP_OK) st = vpi_box_child(&box, VPI_FOURCC('d', 'r', 'e', 'f'), &dref, err);
    if (st != VP_OK) return st < 0 ? st : VP_OK;
    vpi_cursor c = vpi_cursor_open(&dref, &version, &flags);
    vpi_drop(&c, 4);
    st = c.failed ? VP_END : vpi_box_next(c.p, c.left, 0, &at, &entry, err);
    if (st != VP_OK) return st < 0 ? st : VP_OK;
    vpi_cursor_open(&entry, &version, &flags);
    out->elsewhere = !(flags & 1);
    return VP_OK;
}

static vp_status parse_trak(const vpi_box *trak, vpi_init_info *out, vp_error *err)
{
    vpi_box tkhd, edts, mdia, mdhd, hdlr, minf, stbl;
    VPI_TRY(vpi_box_need(trak, VPI_FOURCC('t', 'k', 'h', 'd'), &tkhd, err));
    VPI_TRY(vpi_tkhd_parse(&tkhd, out, err));
    vp_status st = vpi_box_child(trak, VPI_FOURCC('e', 'd', 't', 's'), &edts, err);
    if (st < 0) return st;
    if (st == VP_OK)
        VPI_TRY(table_filled(&edts, VPI_FOURCC('e', 'l', 's', 't'), 0, &out->has_edit_list, err));
    VPI_TRY(vpi_box_need(trak, VPI_FOURCC('m', 'd', 'i', 'a'), &mdia, err));
    VPI_TRY(vpi_box_need(&mdia, VPI_FOURCC('m', 'd', 'h', 'd'), &mdhd, err));
    VPI_TRY(vpi_mdhd_parse(&mdhd, out, err));
    VPI_TRY(vpi_box_need(&mdia, VPI_FOURCC('h', 'd', 'l', 'r'), &hdlr, err));
    VPI_TRY(vpi_hdlr_parse(&hdlr, out, err));
    VPI_TRY(vpi_box_need(&mdia, VPI_FOURCC('m', 'i', 'n', 'f'), &minf, err));
    VPI_TRY(parse_minf(&minf, out, err));
    VPI_TRY(vpi_box_need(&minf, VPI_FOURCC('s', 't', 'b', 'l'), &stbl, err));
    return parse_stbl(&stbl, out, err);
}

/* trex of the track; that of another one is passed over. */
static vp_status parse_mvex(const vpi_box *mvex, vpi_init_info *out, vp_error *err)
{
    size_t at = 0;
    out->has_mvex = true;
    for (unsigned count = 0;; count++) {
        vpi_box box;
        uint8_t version;
        uint32_t flags;
        vp_status st = vpi_box_next(mvex->data, mvex->data_size, 0, &at, &box, err);
        if (st == VP_END) return VP_OK;
        if (st < 0) return st;
        if (count >= VPI_MAX_BOXES) return VPI_CORRUPT(err, "too many boxes in 'mvex'");
        if (box.type != VPI_FOURCC('t', 'r', 'e', 'x')) continue;
        vpi_cursor c = vpi_cursor_open(&box, &version, &flags);
        uint32_t id = vpi_take32(&c), index = vpi_take32(&c), duration = vpi_take32(&c),
                 size = vpi_take32(&c);
        uint32_t sample_flags = vpi_take32(&c);
        if (c.failed) return VPI_CORRUPT(err, "broken 'trex'");
        if (id != out->track_id) continue;
        out->has_trex = true;
        out->trex_description_index = index;
        out->trex_duration = duration;
        out->trex_size = size;
        out->trex_flags = sample_flags;
    }
}

static vp_status parse_moov(const vpi_box *moov, vpi_init_info *out, vp_error *err)
{
    vpi_box mvhd, trak = { .data = NULL }, mvex = { .data = NULL };
    uint64_t base = moov->offset + (moov->size - moov->data_size);
    size_t at = 0;
    unsigned tracks = 0;
    bool has_mvex = false, late = false;
    VPI_TRY(vpi_box_need(moov, VPI_FOURCC('m', 'v', 'h', 'd'), &mvhd, err));
    VPI_TRY(vpi_mvhd_parse(&mvhd, out, err));
    for (unsigned count = 0;; count++) {
        vpi_box box;
        vp_status st = vpi_box_next(moov->data, moov->data_size, base, &at, &box, err);
        if (st == VP_END) break;
        if (st < 0) return st;
        if (count >= VPI_MAX_BOXES) return VPI_CORRUPT(err, "too many boxes in 'moov'");
        if (box.type == VPI_FOURCC('t', 'r', 'a', 'k')) {
            trak = box;
            late = false;
            if (++tracks > MAX_TRACKS) return VPI_CORRUPT(err, "init segment with several tracks");
        } else if (box.type == VPI_FOURCC('m', 'v', 'e', 'x')) {
            mvex = box;
            has_mvex = late = true;
        }
    }
    if (tracks == 0) return VPI_CORRUPT(err, "init segment without a track");
    VPI_TRY(parse_trak(&trak, out, err));
    if (has_mvex) VPI_TRY(parse_mvex(&mvex, out, err));
    out->moov_before_mvex_end = has_mvex && late;
    return VP_OK;
}

vp_status vpi_init_parse(const uint8_t *data, size_t size, vpi_init_info *out, vp_error *err)
{
    size_t at = 0;
    memset(out, 0, sizeof(*out));
    for (unsigned count = 0; count < VPI_MAX_BOXES; count++) {
        vpi_box box;
        vp_status st = vpi_box_next(data, size, 0, &at, &box, err);
        if (st < 0) return st;
        if (st == VP_END) break;
        if (box.type == VPI_FOURCC('f', 't', 'y', 'p')) VPI_TRY(parse_ftyp(&box, out, err));
        if (box.type == VPI_FOURCC('m', 'o', 'o', 'v')) return parse_moov(&box, out, err);
    }
    return vpi_fail(err, VP_E_DATA, "INPUT_NO_MOOV", "no 'moov' box");
}
