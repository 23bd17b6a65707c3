/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Init segments: a sample entry becomes encv or enca (ISO/IEC 14496-12 8.12, 23001-7 4.1, 8.2). */

#include "cenc_int.h"

enum {
    VIDEO_ENTRY = 78, /* VisualSampleEntry and AudioSampleEntry up to their boxes (12.1.3, 12.2.3) */
    AUDIO_ENTRY = 28,
    STSD_HEAD = 8, /* version, flags, count */
    PARENTS = 6,
    BOXES_MAX = 100000
};

static const struct {
    uint32_t entry;
    vpi_kind kind;
    vpi_codec codec;
} entries[] = {
    { VPI_FOURCC('a', 'v', 'c', '1'), VPI_KIND_VIDEO, VPI_CODEC_H264 },
    { VPI_FOURCC('a', 'v', 'c', '3'), VPI_KIND_VIDEO, VPI_CODEC_H264 },
    { VPI_FOURCC('h', 'v', 'c', '1'), VPI_KIND_VIDEO, VPI_CODEC_HEVC },
    { VPI_FOURCC('h', 'e', 'v', '1'), VPI_KIND_VIDEO, VPI_CODEC_HEVC },
    { VPI_FOURCC('d', 'v', 'h', '1'), VPI_KIND_VIDEO, VPI_CODEC_HEVC }, /* Dolby Vision of one layer */
    { VPI_FOURCC('d', 'v', 'h', 'e'), VPI_KIND_VIDEO, VPI_CODEC_HEVC },
    { VPI_FOURCC('a', 'v', '0', '1'), VPI_KIND_VIDEO, VPI_CODEC_AV1 },
    { VPI_FOURCC('m', 'p', '4', 'a'), VPI_KIND_AUDIO, VPI_CODEC_AAC },
    { VPI_FOURCC('a', 'c', '-', '3'), VPI_KIND_AUDIO, VPI_CODEC_AC3 },
    { VPI_FOURCC('e', 'c', '-', '3'), VPI_KIND_AUDIO, VPI_CODEC_EAC3 },
    { VPI_FOURCC('O', 'p', 'u', 's'), VPI_KIND_AUDIO, VPI_CODEC_OPUS },
    { VPI_FOURCC('f', 'L', 'a', 'C'), VPI_KIND_AUDIO, VPI_CODEC_FLAC },
};

static vp_status corrupt(vp_error *err, const char *what)
{
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "init segment: %s", what);
}

static vp_status encrypted(vp_error *err)
{
    return vpi_fail(err, VP_E_UNSUPPORTED, "INPUT_ENCRYPTED", "init segment: it is protected already");
}

/* ---- checks ---- */

/* Media or an index of it in here would stay as it is. */
static vp_status check_top(const vp_cenc *cenc, vp_error *err)
{
    vpi_box box;
    size_t at = 0;
    unsigned moovs = 0;

    for (unsigned n = 0; n < BOXES_MAX; n++) {
        vp_status st = vpi_box_next(cenc->source, cenc->source_size, 0, &at, &box, err);

        if (st < 0) return st;
        if (st == VP_END) return VP_OK;
        if (box.type == VPI_FOURCC('m', 'o', 'o', 'v') && moovs++)
            return corrupt(err, "more than one 'moov'");
        if (box.type == VPI_FOURCC('m', 'o', 'o', 'f') || box.type == VPI_FOURCC('m', 'd', 'a', 't') ||
            box.type == VPI_FOURCC('s', 'i', 'd', 'x'))
            return corrupt(err, "segments, or an index of them, are in it");
    }
    return corrupt(err, "too many boxes");
}

vp_status vpi_cenc_check_init(const vp_cenc *cenc, vpi_kind *kind, vpi_codec *codec, vp_error *err)
{
    const vpi_init_info *info = &cenc->info;
    uint32_t handler = info->handler;
    size_t i = 0;

    VPI_TRY(check_top(cenc, err));
    if (info->sample_entry == VPI_FOURCC('e', 'n', 'c', 'v') ||
        info->sample_entry == VPI_FOURCC('e', 'n', 'c', 'a'))
        return encrypted(err);
    if (info->samples_in_stbl || !info->has_trex) return corrupt(err, "not of a file in fragments");
    if (info->descriptions != 1) return corrupt(err, "more than one sample entry");
    if (info->trex_description_index != 1 || info->elsewhere)
        return corrupt(err, "samples of another sample entry, or in another file");
    while (i < VPI_COUNT(entries) && entries[i].entry != info->sample_entry) i++;
    /* mp4a is also of MPEG-1 layers and others (ISO/IEC 14496-1 table 5) */
    if (i == VPI_COUNT(entries) || (entries[i].codec == VPI_CODEC_AAC && info->object_type != 0x40 &&
                                    (info->object_type < 0x66 || info->object_type > 0x68)))
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                        "init segment: this codec is not encrypted");
    *kind = entries[i].kind;
    *codec = entries[i].codec;
    if (handler !=
        (*kind == VPI_KIND_VIDEO ? VPI_FOURCC('v', 'i', 'd', 'e') : VPI_FOURCC('s', 'o', 'u', 'n')))
        return corrupt(err, "sample entry and handler contradict each other");
    return VP_OK;
}

/* ---- places ---- */

typedef struct init_places {
    size_t parents[PARENTS];       /* moov to stsd, whose sizes grow */
    size_t count;                  /* of stsd: the field */
    size_t entry, entry_end, sinf; /* sinf: where it goes, behind the last box of the entry */
    size_t moov_end;               /* behind the last box of moov */
} init_places;

/* Behind the last box; has: one of that type is there. */
static vp_status find_end(const uint8_t *data, size_t size, uint64_t base, uint32_t type, bool *has,
                          size_t *end, vp_error *err)
{
    vpi_box box;
    size_t at = 0;

    *has = false;
    *end = (size_t)base;
    for (unsigned n = 0; n < BOXES_MAX; n++) {
        size_t before = at;
        vp_status st = vpi_box_next(data, size, base, &at, &box, err);

        if (st < 0) return st;
        if (st == VP_END) return VP_OK;
        /* it would take in what comes behind it */
        if (vpi_rd32(data + before) == 0) return corrupt(err, "a box without a size");
        if (box.type == type) *has = true;
        *end = (size_t)(box.offset + box.size);
    }
    return corrupt(err, "too many boxes");
}

static vp_status find_entry(const vp_cenc *cenc, const vpi_box *stsd, init_places *out, vp_error *err)
{
    bool video = cenc->track.kind == VPI_KIND_VIDEO, has;
    size_t fields = video ? VIDEO_ENTRY : AUDIO_ENTRY, at = 0;
    vpi_box entry;

    if (stsd->data_size < STSD_HEAD) return corrupt(err, "broken 'stsd'");
    out->count = (size_t)(stsd->offset + (stsd->size - stsd->data_size)) + 4;
    if (vpi_box_next(stsd->data + STSD_HEAD, stsd->data_size - STSD_HEAD, out->count + 4, &at, &entry, err) !=
        VP_OK)
        return corrupt(err, "no sample entry");
    out->entry = (size_t)entry.offset;
    out->entry_end = (size_t)(entry.offset + entry.size);
    if (entry.data_size < fields || vpi_rd32(cenc->source + out->entry) != entry.size)
        return corrupt(err, "broken sample entry");
    /* QuickTime has longer forms, in version 0 of stsd (12.2.3 allows version 1 in version 1 of it) */
    if (!video && stsd->data[0] == 0 && vpi_rd16(entry.data + 8) != 0)
        return corrupt(err, "sample entry of QuickTime");
    VPI_TRY(find_end(entry.data + fields, entry.data_size - fields, entry.offset + 8 + fields,
                     VPI_FOURCC('s', 'i', 'n', 'f'), &has, &out->sinf, err));
    return has ? encrypted(err) : VP_OK;
}

static vp_status find_places(const vp_cenc *cenc, init_places *out, vp_error *err)
{
    static const char path[] = "moov/trak/mdia/minf/stbl/stsd";
    char part[sizeof(path)];
    vpi_box box, moov = { .data = NULL };
    bool has;

    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < PARENTS; i++) {
        vpi_strlcpy(part, path, 5 * (i + 1));
        if (vpi_box_path(cenc->source, cenc->source_size, part, &box, err) != VP_OK)
            return corrupt(err, "a box is missing");
        out->parents[i] = (size_t)box.offset;
        if (i == 0) moov = box;
    }
    VPI_TRY(find_entry(cenc, &box, out, err));
    return find_end(moov.data, moov.data_size, moov.offset + (moov.size - moov.data_size), 0, &has,
                    &out->moov_end, err);
}

/* ---- writing ---- */

static vp_status assemble(const vp_cenc *cenc, const init_places *p, const vpi_protect *protect,
                          const vpi_buf *pssh, vpi_buf *b, vp_error *err)
{
    const uint8_t *from = cenc->source;
    bool video = cenc->track.kind == VPI_KIND_VIDEO;
    size_t entry = p->entry_end - p->entry, sinf;
    vpi_tenc tenc;

    vpi_cenc_tenc(protect, &tenc);
    vpi_buf_add(b, from, p->sinf);
    vpi_sinf_write(b, cenc->info.sample_entry, protect->scheme, &tenc);
    sinf = b->size - p->sinf;
    vpi_buf_add(b, from + p->sinf, p->entry_end - p->sinf);
    if (protect->clear) vpi_buf_add(b, from + p->entry, entry);
    vpi_buf_add(b, from + p->entry_end, p->moov_end - p->entry_end);
    vpi_buf_add(b, pssh->data, pssh->size);
    vpi_buf_add(b, from + p->moov_end, cenc->source_size - p->moov_end);
    if (vpi_buf_failed(b)) return vpi_fail_nomem(err);
    vpi_buf_patch_be32(b, p->entry + 4,
                       video ? VPI_FOURCC('e', 'n', 'c', 'v') : VPI_FOURCC('e', 'n', 'c', 'a'));
    vpi_buf_patch_be32(b, p->count, protect->clear ? 2 : 1);
    bool fits = vpi_box_grow(b->data + p->entry, sinf) && vpi_box_grow(b->data + p->parents[0], pssh->size);
    for (size_t i = 0; i < PARENTS && fits; i++)
        fits = vpi_box_grow(b->data + p->parents[i], sinf + (protect->clear ? entry : 0));
    return fits ? VP_OK : vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "init segment: a box of more than 4 GiB");
}

vp_status vpi_cenc_write_init(const vp_cenc *cenc, const vpi_protect *protect, const vpi_buf *pssh,
                              vp_bytes **out, vp_error *err)
{
    init_places places;
    vpi_buf b = { 0 };
    vp_status st;

    VPI_TRY(find_places(cenc, &places, err));
    st = assemble(cenc, &places, protect, pssh, &b, err);
    if (st >= 0) st = vpi_bytes_from_buf(&b, out, err);
    vpi_buf_dispose(&b);
    return st;
}
