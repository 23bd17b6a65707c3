/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/reader_int.h"

#include "base/buf.h"
#include "base/hash.h"

/*
 * Boxes of MP4 and QuickTime files, read without libav*, which plays what is left of a cut file and calls it whole.
 */

#define PADDING_MAX (64u << 20)
#define BOXES_INSIDE 4096u /* children of moov, and of a trak */
#define ENTRIES_MAX 64u
#define RUNS_MAX 100000u /* entries of stsc looked at */
#define DEPTH_MAX 5u     /* moov trak mdia minf stbl stsd */

typedef struct box {
    uint32_t type;
    uint64_t at, body, end; /* end: as declared, may lie behind the file */
} box;

#define TYPE(a, b, c, d)                                                                                     \
    (((uint32_t)(a) << 24) | ((uint32_t)(b) << 16) | ((uint32_t)(c) << 8) | (uint32_t)(d))

/* VP_END: no box header fits or its size makes no sense. */
static vp_status box_at(vpi_window *w, uint64_t at, uint64_t limit, box *b, vp_error *err)
{
    const uint8_t *p;
    size_t got;
    uint64_t size;

    VPI_TRY(vpi_window_read(w, at, 16, &p, &got, err));
    if (got < 8 || at + 8 > limit) return VP_END;
    size = vpi_rd32(p);
    b->type = vpi_rd32(p + 4);
    b->at = at;
    b->body = at + 8;
    if (size == 1) {
        if (got < 16) return VP_END;
        size = vpi_rd64(p + 8);
        b->body = at + 16;
        if (size < 16) return VP_END;
    } else if (size == 0) {
        size = limit - at;
    } else if (size < 8) {
        return VP_END;
    }
    if (!vpi_add_u64(at, size, &b->end)) b->end = UINT64_MAX;
    return VP_OK;
}

/* Formats of QuickTime's that have several names, which libavformat reads side by side. */
static bool has_names(uint32_t format)
{
    return format == TYPE('a', 'p', 'c', 'n') || format == TYPE('a', 'p', 'c', 'h') ||
           format == TYPE('d', 'v', 'p', 'p') || format == TYPE('d', 'v', 'c', 'p') ||
           format == TYPE('j', 'p', 'e', 'g');
}

/*
 * Sample entries of protected tracks (ISO/IEC 14496-12 8.12; the last four: Apple's stores). libavformat
 * gives the name of the codec inside instead. Bit n of *other: entry n is of another format than the first.
 */
static vp_status entries(vpi_window *w, const box *stsd, bool *encrypted, uint64_t *other, vp_error *err)
{
    uint64_t at = stsd->body + 8, end = VPI_MIN(stsd->end, w->size);
    uint32_t first = 0;
    vp_status st;
    box b;

    for (unsigned n = 0; at < end && n < ENTRIES_MAX; n++, at = b.end) {
        st = box_at(w, at, end, &b, err);
        if (st != VP_OK) return st < 0 ? st : VP_OK;
        if (n == 0) first = b.type;
        if (b.type != first && !has_names(first)) *other |= UINT64_C(1) << n;
        switch (b.type) {
        case TYPE('e', 'n', 'c', 'v'):
        case TYPE('e', 'n', 'c', 'a'):
        case TYPE('d', 'r', 'm', 's'):
        case TYPE('d', 'r', 'm', 'i'):
        case TYPE('p', '6', '0', '8'):
            *encrypted = true;
            break;
        default:
            break;
        }
        if (b.end <= at) break;
    }
    return VP_OK;
}

/* Does a chunk (8.7.4) use one of the entries of another format? */
static vp_status runs(vpi_window *w, const vpi_trak *t, bool *mixed, vp_error *err)
{
    const uint8_t *p;
    uint32_t count;
    size_t got;

    if (!t->other || !t->stsc.at || !(t->video || t->sound)) return VP_OK;
    VPI_TRY(vpi_window_read(w, t->stsc.at, 8, &p, &got, err));
    count = got < 8 ? 0 : VPI_MIN(vpi_rd32(p + 4), RUNS_MAX);
    for (uint32_t i = 0; i < count && !*mixed; i++) {
        uint64_t at = t->stsc.at + 8 + (uint64_t)i * 12;
        uint32_t entry;

        if (at + 12 > t->stsc.end) break;
        VPI_TRY(vpi_window_read(w, at, 12, &p, &got, err));
        if (got < 12) break;
        entry = vpi_rd32(p + 8);
        *mixed = entry >= 1 && entry <= ENTRIES_MAX && (t->other >> (entry - 1) & 1);
    }
    return VP_OK;
}

static bool has_children(uint32_t type)
{
    return type == TYPE('t', 'r', 'a', 'k') || type == TYPE('e', 'd', 't', 's') ||
           type == TYPE('m', 'd', 'i', 'a') || type == TYPE('m', 'i', 'n', 'f') ||
           type == TYPE('s', 't', 'b', 'l');
}

/* What an edit list is reckoned with, and what samples are; 8.3.2, 8.4.2, 8.4.3, 8.6.1, 8.6.6, 8.7.3, 8.7.4. */
static vp_status look_at_table(vpi_window *w, const box *b, vpi_trak *t, vp_error *err)
{
    const vpi_span span = { b->body, VPI_MIN(b->end, w->size) };
    const uint8_t *p;
    size_t got;

    switch (b->type) {
    case TYPE('e', 'l', 's', 't'):
        t->elst = span;
        return VP_OK;
    case TYPE('s', 't', 't', 's'):
        t->stts = span;
        return VP_OK;
    case TYPE('c', 't', 't', 's'):
        t->ctts = span;
        return VP_OK;
    case TYPE('s', 't', 's', 'c'):
        t->stsc = span;
        return VP_OK;
    case TYPE('s', 't', 's', 'z'):
    case TYPE('s', 't', 'z', '2'): /* both tell their number at the same place */
        VPI_TRY(vpi_window_read(w, b->body, 12, &p, &got, err));
        if (got == 12) t->samples = vpi_rd32(p + 8);
        return VP_OK;
    case TYPE('t', 'k', 'h', 'd'):
        VPI_TRY(vpi_window_read(w, b->body, 24, &p, &got, err));
        if (got == 24) t->id = vpi_rd32(p + (p[0] == 1 ? 20 : 12));
        return VP_OK;
    case TYPE('m', 'd', 'h', 'd'):
        VPI_TRY(vpi_window_read(w, b->body, 24, &p, &got, err));
        if (got == 24) t->scale = vpi_rd32(p + (p[0] == 1 ? 20 : 12));
        return VP_OK;
    case TYPE('h', 'd', 'l', 'r'):
        VPI_TRY(vpi_window_read(w, b->body, 12, &p, &got, err));
        if (got == 12 && vpi_rd32(p + 8) == TYPE('v', 'i', 'd', 'e')) t->video = true;
        if (got == 12 && vpi_rd32(p + 8) == TYPE('s', 'o', 'u', 'n')) t->sound = true;
        return VP_OK;
    default:
        return VP_OK;
    }
}

static vp_status look_at_track(vpi_window *w, const box *parent, unsigned depth, vpi_trak *t,
                               vpi_structure *out, vp_error *err)
{
    uint64_t at = parent->body, end = VPI_MIN(parent->end, w->size);
    vp_status st = VP_OK;
    box b;

    for (unsigned n = 0; at < end && n < BOXES_INSIDE; n++) {
        st = box_at(w, at, end, &b, err);
        if (st != VP_OK) return st < 0 ? st : VP_OK;
        if (b.type == TYPE('s', 't', 's', 'd')) {
            VPI_TRY(entries(w, &b, &out->encrypted, &t->other, err));
        } else if (depth < DEPTH_MAX && has_children(b.type)) {
            VPI_TRY(look_at_track(w, &b, depth + 1, t, out, err));
        } else {
            VPI_TRY(look_at_table(w, &b, t, err));
        }
        if (b.end <= at) break;
        at = b.end;
    }
    return VP_OK;
}

/* mvhd, 8.2.2. movie_us stays where its writer did not know it (all ones). */
static vp_status look_at_header(vpi_window *w, const box *mvhd, uint32_t *scale, uint64_t *movie_us,
                                vp_error *err)
{
    const uint8_t *p;
    uint64_t duration;
    size_t got;
    bool wide;

    VPI_TRY(vpi_window_read(w, mvhd->body, 32, &p, &got, err));
    if (got < 32) return VP_OK;
    wide = p[0] == 1;
    *scale = vpi_rd32(p + (wide ? 20 : 12));
    duration = wide ? vpi_rd64(p + 24) : vpi_rd32(p + 16);
    if (*scale == 0 || duration == (wide ? UINT64_MAX : UINT32_MAX)) return VP_OK;
    *movie_us = duration > UINT64_MAX / 1000000 ? UINT64_MAX : duration * 1000000 / *scale;
    return VP_OK;
}

static vp_status look_at_movie(vpi_window *w, const box *moov, vpi_structure *out, vp_error *err)
{
    uint64_t at = moov->body, end = VPI_MIN(moov->end, w->size);
    uint64_t movie_us = 0;
    uint32_t scale = 0;
    bool fragments = false;
    box b;

    for (unsigned n = 0; at < end && n < BOXES_INSIDE; n++) {
        vp_status st = box_at(w, at, end, &b, err);

        if (st < 0) return st;
        if (st == VP_END) break;
        if (b.type == TYPE('m', 'v', 'h', 'd')) {
            VPI_TRY(look_at_header(w, &b, &scale, &movie_us, err));
        } else if (b.type == TYPE('m', 'v', 'e', 'x')) {
            fragments = true;
        } else if (b.type == TYPE('r', 'm', 'r', 'a')) { /* QuickTime's list of movies to be played instead */
            return vpi_fail(err, VP_E_UNSUPPORTED, "INPUT_FORBIDDEN_FORMAT",
                            "the file is a reference movie, which makes a reader open other files");
        } else if (b.type == TYPE('t', 'r', 'a', 'k')) {
            vpi_trak trak = { .movie_scale = scale };

            VPI_TRY(look_at_track(w, &b, 1, &trak, out, err));
            VPI_TRY(runs(w, &trak, &out->formats_mixed, err));
            VPI_TRY(vpi_edits_add(w, &trak, out, err));
        }
        if (b.end <= at) break;
        at = b.end;
    }
    if (!fragments) out->movie_us = movie_us;
    return vpi_edits_decide(w, fragments, out, err);
}

static const char *brand_name(uint32_t brand)
{
    switch (brand) {
    case TYPE('q', 't', ' ', ' '):
        return "mov";
    case TYPE('M', '4', 'A', ' '):
    case TYPE('M', '4', 'B', ' '):
        return "m4a";
    default:
        return brand >> 8 == (TYPE('3', 'g', 'p', 0) >> 8) ? "3gp" : "mp4";
    }
}

static bool brand_is_image(uint32_t brand)
{
    return brand == TYPE('h', 'e', 'i', 'c') || brand == TYPE('h', 'e', 'i', 'x') ||
           brand == TYPE('m', 'i', 'f', '1') || brand == TYPE('a', 'v', 'i', 'f') ||
           brand == TYPE('c', 'r', 'x', ' ');
}

/* Writers pad with zeros: to the ftyp behind them, or to where that is not found. */
static vp_status skip_zeros(vpi_window *w, uint64_t *at, vp_error *err)
{
    const uint8_t *p;
    size_t got, n;

    for (uint64_t from = *at; from < w->size && from - *at < PADDING_MAX; from += got) {
        VPI_TRY(vpi_window_read(w, from, 4096, &p, &got, err));
        for (n = 0; n < got && p[n] == 0; n++) continue;
        if (n == got) continue;
        /* The last byte of a size below 256. */
        if (from + n >= *at + 3) *at = from + n - 3;
        return VP_OK;
    }
    return VP_OK;
}

static vp_status checksum(vpi_window *w, const box *b, uint32_t *crc, vp_error *err)
{
    const uint8_t *p;
    size_t got;

    *crc = 0;
    for (uint64_t at = b->at; at < b->end; at += got) {
        VPI_TRY(vpi_window_read(w, at, (size_t)VPI_MIN(b->end - at, (uint64_t)4096), &p, &got, err));
        if (!got) break;
        *crc = vpi_crc32c(*crc, p, got);
    }
    return VP_OK;
}

typedef struct walk {
    uint32_t brand, crc; /* crc: of the first moov */
    bool ftyp, moov, mdat, meta;
    bool tail;         /* behind a second ftyp */
    bool moov2, mdat2; /* without any ftyp: more of each behind the first of each */
    bool timed, again; /* a fragment was seen; the init segment is repeated before the next one */
    uint32_t track;    /* of the first fragment, with its time */
    uint64_t time;
    uint64_t second; /* begin of what may be another file */
    uint64_t needed; /* size of the file at least; 0: nothing is missing */
} walk;

/* A brand, or the begin of a second file. */
static vp_status see_ftyp(vpi_window *w, walk *k, const box *b, vpi_structure *out, vp_error *err)
{
    const uint8_t *p;
    size_t got;

    if (k->moov && k->mdat) {
        if (!k->tail) k->second = b->at;
        k->tail = true;
        return VP_OK;
    }
    VPI_TRY(vpi_window_read(w, b->body, 4, &p, &got, err));
    if (got < 4) return VP_OK;
    k->ftyp = true;
    k->brand = vpi_rd32(p);
    vpi_strlcpy(out->name, brand_name(k->brand), sizeof(out->name));
    return VP_OK;
}

/* QuickTime files of old have no ftyp: another moov may be a copy, and together with other media another file. */
static vp_status see_again(vpi_window *w, walk *k, const box *b, bool *again, vp_error *err)
{
    if (k->ftyp || !k->moov || !k->mdat) return VP_OK;
    if (!k->moov2 && !k->mdat2) k->second = b->at;
    *again = true;
    return k->moov2 && k->mdat2 ? vpi_structure_second(k->second, w->size, err) : VP_OK;
}

/*
 * libavformat takes the first moov alone. A second one with an ftyp of its own is another file put behind this one;
 * except in fragments, where recordings of streams repeat both.
 */
static vp_status see_moov(vpi_window *w, walk *k, const box *b, vpi_structure *out, vp_error *err)
{
    uint32_t crc = 0;

    if (!k->moov) {
        out->moov_at_end = k->mdat;
        k->moov = true;
        VPI_TRY(checksum(w, b, &k->crc, err));
        return look_at_movie(w, b, out, err);
    }
    if (out->fragmented) {
        VPI_TRY(checksum(w, b, &crc, err));
        k->again = k->tail && crc == k->crc;
        k->tail = k->tail && !k->again;
    }
    if (k->tail) return vpi_structure_second(k->second, w->size, err);
    return out->fragmented ? VP_OK : see_again(w, k, b, &k->moov2, err);
}

/* Track and decode time (ISO/IEC 14496-12 8.8.7, 8.8.12) of the first track of a fragment; VP_END: it has none. */
static vp_status time_of(vpi_window *w, const box *moof, uint32_t *track, uint64_t *time, vp_error *err)
{
    uint64_t at = moof->body, end = moof->end;
    bool has_track = false;
    const uint8_t *p;
    size_t got;
    box b;

    for (unsigned n = 0; n < BOXES_INSIDE && at < end; n++) {
        vp_status st = box_at(w, at, end, &b, err);

        if (st != VP_OK) return st;
        at = b.type == TYPE('t', 'r', 'a', 'f') ? b.body : b.end;
        if (b.type != TYPE('t', 'f', 'h', 'd') && b.type != TYPE('t', 'f', 'd', 't')) continue;
        VPI_TRY(vpi_window_read(w, b.body, 12, &p, &got, err));
        if (got < 12) return VP_END;
        if (b.type == TYPE('t', 'f', 'h', 'd')) {
            *track = vpi_rd32(p + 4);
            has_track = true;
        } else {
            *time = p[0] == 1 ? vpi_rd64(p + 4) : vpi_rd32(p + 4);
            return has_track ? VP_OK : VP_END;
        }
    }
    return VP_END;
}

/* Behind a repeated init segment the times of one recording go on. */
static vp_status see_moof(vpi_window *w, walk *k, const box *b, vpi_structure *out, vp_error *err)
{
    uint32_t track = 0;
    uint64_t time = 0;
    vp_status st;

    out->fragmented = true;
    if (k->timed && !k->again) return VP_OK;
    st = time_of(w, b, &track, &time, err);
    if (st != VP_OK) return st < 0 ? st : VP_OK;
    if (k->again && track == k->track && time <= k->time)
        return vpi_structure_second(k->second, w->size, err);
    k->again = false;
    if (!k->timed) {
        k->track = track;
        k->time = time;
    }
    k->timed = true;
    return VP_OK;
}

/* VP_END: nothing behind this box is of interest. */
static vp_status see_box(vpi_window *w, walk *k, const box *b, vpi_structure *out, vp_error *err)
{
    bool part = b->type == TYPE('m', 'o', 'o', 'v') || b->type == TYPE('m', 'o', 'o', 'f') ||
                b->type == TYPE('m', 'd', 'a', 't');

    if (part && b->end > w->size) {
        if (b->type == TYPE('m', 'o', 'o', 'v')) k->moov = true;
        if (!k->tail) k->needed = b->end;
        return VP_END;
    }
    switch (b->type) {
    case TYPE('f', 't', 'y', 'p'):
        return see_ftyp(w, k, b, out, err);
    case TYPE('m', 'o', 'o', 'v'):
        return see_moov(w, k, b, out, err);
    case TYPE('m', 'o', 'o', 'f'):
        return see_moof(w, k, b, out, err);
    case TYPE('m', 'd', 'a', 't'):
        if (!out->fragmented) VPI_TRY(see_again(w, k, b, &k->mdat2, err));
        k->mdat = true;
        return VP_OK;
    case TYPE('m', 'e', 't', 'a'):
        k->meta = true;
        return VP_OK;
    default:
        return VP_OK;
    }
}

vp_status vpi_boxes_check(vpi_window *w, bool all, vpi_structure *out, vp_error *err)
{
    uint32_t limit = all ? VPI_PARTS_ALL : VPI_PARTS_OPEN;
    walk k = { .ftyp = false };
    uint64_t at = 0;
    vp_status st;
    box b;

    vpi_strlcpy(out->name, "mov", sizeof(out->name)); /* QuickTime files of old have no ftyp */
    for (uint32_t n = 0; at < w->size && n < limit; n++) {
        st = box_at(w, at, w->size, &b, err);
        if (st == VP_OK && b.type == 0 && at > 0) {
            VPI_TRY(skip_zeros(w, &at, err));
            st = box_at(w, at, w->size, &b, err);
            if (st == VP_OK && b.type != TYPE('f', 't', 'y', 'p')) break;
        }
        if (vpi_is_not_yet(err)) {
            /* Of a file that grows the index is enough to say what it is. */
            st = k.moov ? VP_END : st;
            vp_error_init(err);
            if (st < 0) vpi_not_yet(k.mdat ? VPI_MOOV_AT_END : NULL, err);
        }
        if (st < 0) return st;
        if (st == VP_END) break; /* not a box: junk behind the last one is common and harmless */
        st = see_box(w, &k, &b, out, err);
        if (st < 0) return st;
        if (st == VP_END || b.end <= at) break;
        at = b.end;
        /* A recording in fragments has thousands of them. */
        if (!all && k.moov && out->fragmented) break;
    }
    if (!k.moov) {
        if (k.meta && (brand_is_image(k.brand) || !k.mdat)) {
            return vpi_fail(err, VP_E_DATA, "NOT_A_VIDEO", "the file is a still image");
        }
        return vpi_fail(err, VP_E_DATA, "INPUT_NO_MOOV",
                        "the file has no index (moov): the upload or recording is not complete");
    }
    if (out->encrypted) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "INPUT_ENCRYPTED", "the file's tracks are encrypted");
    }
    if (out->formats_mixed) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                        "a track changes from one codec to another in the middle");
    }
    return k.needed ? vpi_structure_cut(k.needed, w->size, err) : VP_OK;
}
