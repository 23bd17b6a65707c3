/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/reader_int.h"

#include "base/buf.h"

/*
 * Outer structure of a file, read without libav*, which plays what is left of a cut file and calls it whole.
 * Only sizes and names are read here; what the boxes hold is the demuxer's affair.
 */

#define BOXES_OPEN 64u     /* top-level boxes looked at before reading begins */
#define BOXES_ALL 4000000u /* of a scan: two fragments a second for 11 days */
#define BOXES_INSIDE 4096u /* children of moov, and of a trak */
#define EDITS_MAX 64u      /* entries looked at */
#define ENTRIES_MAX 64u
#define DEPTH_MAX 5u   /* moov trak mdia minf stbl stsd */
#define RIFF_SLACK 16u /* writers that count a header or padding wrongly */

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

/* ISO/IEC 14496-12 8.6.6: more than one edit with media, or one that is not played at rate 1. */
static vp_status edits(vpi_window *w, const box *elst, bool *complex, vp_error *err)
{
    const uint8_t *p;
    size_t got, entry;
    uint32_t count, version, media = 0;

    VPI_TRY(vpi_window_read(w, elst->body, 8, &p, &got, err));
    if (got < 8) return VP_OK;
    version = p[0];
    count = VPI_MIN(vpi_rd32(p + 4), EDITS_MAX);
    entry = version == 1 ? 20 : 12;
    for (uint32_t i = 0; i < count; i++) {
        int64_t time;
        uint32_t rate;

        VPI_TRY(vpi_window_read(w, elst->body + 8 + i * entry, entry, &p, &got, err));
        if (got < entry || elst->body + 8 + (i + 1) * entry > elst->end) break;
        time = version == 1 ? (int64_t)vpi_rd64(p + 8) : (int32_t)vpi_rd32(p + 4);
        rate = vpi_rd32(p + entry - 4);
        if (time < 0) continue;
        media++;
        if (rate != 0x10000) *complex = true;
    }
    if (media > 1) *complex = true;
    return VP_OK;
}

/*
 * Sample entries of protected tracks (ISO/IEC 14496-12 8.12; the last four: Apple's stores). libavformat
 * gives the name of the codec inside instead.
 */
static vp_status entries(vpi_window *w, const box *stsd, bool *encrypted, vp_error *err)
{
    uint64_t at = stsd->body + 8, end = VPI_MIN(stsd->end, w->size);
    vp_status st;
    box b;

    for (unsigned n = 0; at < end && n < ENTRIES_MAX; n++, at = b.end) {
        st = box_at(w, at, end, &b, err);
        if (st != VP_OK) return st < 0 ? st : VP_OK;
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

static bool has_children(uint32_t type)
{
    return type == TYPE('t', 'r', 'a', 'k') || type == TYPE('e', 'd', 't', 's') ||
           type == TYPE('m', 'd', 'i', 'a') || type == TYPE('m', 'i', 'n', 'f') ||
           type == TYPE('s', 't', 'b', 'l');
}

static vp_status look_inside(vpi_window *w, const box *parent, unsigned depth, vpi_structure *out,
                             vp_error *err)
{
    uint64_t at = parent->body, end = VPI_MIN(parent->end, w->size);
    vp_status st = VP_OK;
    box b;

    for (unsigned n = 0; at < end && n < BOXES_INSIDE; n++) {
        st = box_at(w, at, end, &b, err);
        if (st != VP_OK) return st < 0 ? st : VP_OK;
        if (b.type == TYPE('e', 'l', 's', 't')) {
            VPI_TRY(edits(w, &b, &out->edits_complex, err));
        } else if (b.type == TYPE('s', 't', 's', 'd')) {
            VPI_TRY(entries(w, &b, &out->encrypted, err));
        } else if (depth < DEPTH_MAX && has_children(b.type)) {
            VPI_TRY(look_inside(w, &b, depth + 1, out, err));
        }
        if (b.end <= at) break;
        at = b.end;
    }
    return VP_OK;
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

static vp_status cut(uint64_t needed, uint64_t size, vp_error *err)
{
    return vpi_fail(err, VP_E_DATA, "INPUT_TRUNCATED",
                    "the file's parts reach to byte %llu, but it ends at %llu", (unsigned long long)needed,
                    (unsigned long long)size);
}

static vp_status check_mp4(vpi_window *w, bool all, vpi_structure *out, vp_error *err)
{
    bool moov = false, mdat = false, meta = false, over = false;
    uint64_t at = 0, needed = 0;
    uint32_t brand = 0, limit = all ? BOXES_ALL : BOXES_OPEN;
    const uint8_t *p;
    size_t got;
    vp_status st;
    box b;

    vpi_strlcpy(out->name, "mov", sizeof(out->name)); /* QuickTime files of old have no ftyp */
    for (uint32_t n = 0; at < w->size && n < limit; n++) {
        st = box_at(w, at, w->size, &b, err);
        if (st < 0) return st;
        if (st == VP_END) break; /* not a box: junk behind the last one is common and harmless */
        switch (b.type) {
        case TYPE('f', 't', 'y', 'p'):
            VPI_TRY(vpi_window_read(w, b.body, 4, &p, &got, err));
            if (got < 4) break;
            brand = vpi_rd32(p);
            vpi_strlcpy(out->name, brand_name(brand), sizeof(out->name));
            break;
        case TYPE('m', 'o', 'o', 'v'):
            if (!moov) out->moov_at_end = mdat;
            moov = true;
            over = b.end > w->size;
            if (!over) VPI_TRY(look_inside(w, &b, 0, out, err));
            break;
        case TYPE('m', 'o', 'o', 'f'):
            out->fragmented = true;
            over = b.end > w->size;
            break;
        case TYPE('m', 'd', 'a', 't'):
            mdat = true;
            over = b.end > w->size;
            break;
        case TYPE('m', 'e', 't', 'a'):
            meta = true;
            break;
        default:
            break;
        }
        if (over) {
            needed = b.end;
            break;
        }
        if (b.end <= at) break;
        at = b.end;
        /* A recording in fragments has thousands of them. */
        if (!all && moov && out->fragmented) break;
    }
    if (!moov) {
        if (meta && (brand_is_image(brand) || !mdat)) {
            return vpi_fail(err, VP_E_DATA, "NOT_A_VIDEO", "the file is a still image");
        }
        return vpi_fail(err, VP_E_DATA, "INPUT_NO_MOOV",
                        "the file has no index (moov): the upload or recording is not complete");
    }
    if (out->encrypted) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "INPUT_ENCRYPTED", "the file's tracks are encrypted");
    }
    return over ? cut(needed, w->size, err) : VP_OK;
}

/* RFC 8794: length 1..8 by the leading zeros. marker: kept for ids. False where it does not fit. */
static bool ebml_number(const uint8_t *p, size_t size, bool id, uint64_t *value, size_t *length)
{
    size_t n = 1;
    uint64_t v;

    if (!size || !p[0]) return false;
    while (!(p[0] & (0x80u >> (n - 1)))) n++;
    if (n > size) return false;
    v = id ? p[0] : p[0] & (0xFFu >> n);
    for (size_t i = 1; i < n; i++) v = (v << 8) | p[i];
    if (!id && v == (UINT64_C(1) << (7 * n)) - 1) v = UINT64_MAX;
    *value = v;
    *length = n;
    return true;
}

static vp_status ebml_at(vpi_window *w, uint64_t at, uint64_t *id, uint64_t *body, uint64_t *size,
                         vp_error *err)
{
    const uint8_t *p;
    size_t got, n, m;

    VPI_TRY(vpi_window_read(w, at, 16, &p, &got, err));
    if (!ebml_number(p, got, true, id, &n) || !ebml_number(p + n, got - n, false, size, &m)) return VP_END;
    *body = at + n + m;
    return VP_OK;
}

static vp_status check_matroska(vpi_window *w, vpi_structure *out, vp_error *err)
{
    uint64_t id, body, size, at, end;
    const uint8_t *p;
    size_t got;
    vp_status st;

    vpi_strlcpy(out->name, "matroska", sizeof(out->name));
    st = ebml_at(w, 0, &id, &body, &size, err);
    if (st != VP_OK || id != 0x1A45DFA3 || size > 4096) return st < 0 ? st : VP_OK;
    end = body + size;
    for (at = body; at < end; at = body + size) {
        st = ebml_at(w, at, &id, &body, &size, err);
        if (st != VP_OK || size > 4096) return st < 0 ? st : VP_OK;
        if (id != 0x4282) continue; /* DocType */
        VPI_TRY(vpi_window_read(w, body, 4, &p, &got, err));
        if (got == 4 && size >= 4 && memcmp(p, "webm", 4) == 0)
            vpi_strlcpy(out->name, "webm", sizeof(out->name));
    }
    for (unsigned n = 0; n < BOXES_OPEN; n++, at = end) {
        st = ebml_at(w, at, &id, &body, &size, err);
        if (st != VP_OK || size == UINT64_MAX) return st < 0 ? st : VP_OK;
        if (!vpi_add_u64(body, size, &end)) end = UINT64_MAX;
        if (id == 0x18538067 && end > w->size) return cut(end, w->size, err);
        if (end > w->size) return VP_OK;
        if (id == 0x1A45DFA3) out->last_part = at;
    }
    return VP_OK;
}

/* AVI of more than 1 GB is several RIFF chunks in a row. Sizes of 0 and 2^32-1 are those of a pipe's
 * output. */
static vp_status check_riff(vpi_window *w, vp_error *err)
{
    uint64_t at = 0, size;
    const uint8_t *p;
    size_t got;

    for (unsigned n = 0; n < BOXES_OPEN; n++) {
        VPI_TRY(vpi_window_read(w, at, 8, &p, &got, err));
        if (got < 8 || memcmp(p, "RIFF", 4) != 0) return VP_OK;
        size = vpi_rl32(p + 4);
        if (size == 0 || size >= UINT32_MAX - 64) return VP_OK;
        if (at + 8 + size > w->size + RIFF_SLACK) return cut(at + 8 + size, w->size, err);
        at += 8 + size + (size & 1);
    }
    return VP_OK;
}

/* AIFF: one FORM chunk, its size big-endian. */
static vp_status check_aiff(vpi_window *w, vp_error *err)
{
    const uint8_t *p;
    uint64_t end;
    size_t got;

    VPI_TRY(vpi_window_read(w, 0, 8, &p, &got, err));
    if (got < 8 || memcmp(p, "FORM", 4) != 0) return VP_OK;
    end = 8 + (uint64_t)vpi_rd32(p + 4);
    return end > w->size + RIFF_SLACK ? cut(end, w->size, err) : VP_OK;
}

/* Apple's Core Audio Format: chunks of 64-bit sizes; that of the data may be -1, "to the end". */
static vp_status check_caf(vpi_window *w, vp_error *err)
{
    uint64_t at = 8, size, end;
    const uint8_t *p;
    size_t got;

    for (unsigned n = 0; n < BOXES_OPEN && at < w->size; n++, at = end) {
        VPI_TRY(vpi_window_read(w, at, 12, &p, &got, err));
        if (got < 12) return VP_OK;
        size = vpi_rd64(p + 4);
        if (size >= INT64_MAX || !vpi_add_u64(at + 12, size, &end)) return VP_OK;
        if (memcmp(p, "data", 4) == 0 && end > w->size) return cut(end, w->size, err);
    }
    return VP_OK;
}

/* Sub-blocks (GIF89a 15) up to their terminator; VP_END: the file ends inside. */
static vp_status skip_blocks(vpi_window *w, uint64_t *at, vp_error *err)
{
    const uint8_t *p;
    size_t got;

    for (;;) {
        VPI_TRY(vpi_window_read(w, *at, 1, &p, &got, err));
        if (got < 1) return VP_END;
        *at += 1 + (uint64_t)p[0];
        if (p[0] == 0) return VP_OK;
    }
}

/* GIF89a: pictures and extensions up to the trailer. One that ends between two of them without a trailer is let
 * pass: some writers leave it out. */
static vp_status check_gif(vpi_window *w, vp_error *err)
{
    uint64_t at = 13;
    const uint8_t *p;
    vp_status st;
    size_t got;

    VPI_TRY(vpi_window_read(w, 0, 13, &p, &got, err));
    if (got < 13) return cut(13, w->size, err);
    if (p[10] & 0x80) at += UINT64_C(3) << ((p[10] & 7) + 1);
    while (at < w->size) {
        VPI_TRY(vpi_window_read(w, at, 10, &p, &got, err));
        if (p[0] == 0x21) {
            at += 2;
        } else if (p[0] == 0x2C) {
            if (got < 10) return cut(at + 10, w->size, err);
            at += 11 + (p[9] & 0x80 ? UINT64_C(3) << ((p[9] & 7) + 1) : 0); /* and the code size */
        } else {
            return VP_OK; /* trailer, or what only a decoder can judge */
        }
        st = skip_blocks(w, &at, err);
        if (st != VP_OK) return st == VP_END ? cut(at + 1, w->size, err) : st;
    }
    return at > w->size ? cut(at, w->size, err) : VP_OK;
}

/* RFC 3533: a file ends with a whole page. */
static vp_status check_ogg(vpi_window *w, vp_error *err)
{
    uint64_t at = w->size > 8192 ? w->size - 8192 : 0, next = UINT64_MAX;
    const uint8_t *p;
    size_t got;

    /* The last page may be 64 KiB: go back page by page of our own until one begins there. */
    for (unsigned n = 0; n < 9; n++) {
        VPI_TRY(vpi_window_read(w, at, 4096, &p, &got, err));
        for (size_t half = 0; half < 2; half++) {
            uint64_t from = at + (1 - half) * 4096;

            VPI_TRY(vpi_window_read(w, from, 4096, &p, &got, err));
            for (size_t i = got; i-- > 0;) {
                if (got - i >= 5 && memcmp(p + i, "OggS\0", 5) == 0) {
                    next = from + i;
                    break;
                }
            }
            if (next != UINT64_MAX) break;
        }
        if (next != UINT64_MAX || at == 0) break;
        at = at > 8192 ? at - 8192 : 0;
    }
    if (next == UINT64_MAX) return VP_OK;
    VPI_TRY(vpi_window_read(w, next, 27 + 255, &p, &got, err));
    if (got < 27 || got < (size_t)27 + p[26]) return cut(next + 27, w->size, err);
    at = next + 27 + p[26];
    for (unsigned i = 0; i < p[26]; i++) at += p[27 + i];
    return at > w->size ? cut(at, w->size, err) : VP_OK;
}

/* ASF specification 3.2: the File Properties Object of the header names the size of the file, unless
 * broadcast. */
static vp_status check_asf(vpi_window *w, vp_error *err)
{
    static const uint8_t properties[16] = { 0xA1, 0xDC, 0xAB, 0x8C, 0x47, 0xA9, 0xCF, 0x11,
                                            0x8E, 0xE4, 0x00, 0xC0, 0x0C, 0x20, 0x53, 0x65 };
    const uint8_t *p;
    size_t got;

    VPI_TRY(vpi_window_read(w, 0, 4096, &p, &got, err));
    for (size_t i = 0; i + 104 <= got; i++) {
        uint64_t size = 0;

        if (memcmp(p + i, properties, sizeof(properties)) != 0) continue;
        for (size_t n = 0; n < 8; n++) size |= (uint64_t)p[i + 40 + n] << (8 * n);
        if (!(p[i + 88] & 1) && size > w->size) return cut(size, w->size, err);
        break;
    }
    return VP_OK;
}

/* ISO/IEC 13818-1 2.4.3.3: transport_scrambling_control of packets with payload. */
static vp_status check_ts(vpi_window *w, vp_error *err)
{
    unsigned scrambled = 0, clear = 0, step = 188;
    uint64_t at = 0;
    const uint8_t *p;
    size_t got;

    VPI_TRY(vpi_window_read(w, 0, 1024, &p, &got, err));
    for (size_t i = 0; i + 3 * 204 < got && i < 204; i++) {
        if (p[i] == 0x47 && p[i + 192] == 0x47 && p[i + 2 * 192] == 0x47)
            step = 192;
        else if (p[i] == 0x47 && p[i + 204] == 0x47 && p[i + 2 * 204] == 0x47)
            step = 204;
        else if (p[i] != 0x47 || p[i + 188] != 0x47 || p[i + 2 * 188] != 0x47)
            continue;
        at = i;
        break;
    }
    for (unsigned n = 0; n < 4000; n++, at += step) {
        unsigned pid;

        VPI_TRY(vpi_window_read(w, at, 4, &p, &got, err));
        if (got < 4 || p[0] != 0x47) break;
        pid = ((p[1] & 0x1Fu) << 8) | p[2];
        if (pid < 32 || pid == 0x1FFF || !(p[3] & 0x10)) continue;
        if (p[3] & 0x80)
            scrambled++;
        else
            clear++;
    }
    if (scrambled <= clear) return VP_OK;
    return vpi_fail(err, VP_E_UNSUPPORTED, "INPUT_ENCRYPTED", "the transport stream is scrambled");
}

vp_status vpi_structure_check(vpi_window *w, const AVInputFormat *format, bool all, vpi_structure *out,
                              vp_error *err)
{
    memset(out, 0, sizeof(*out));
    if (strncmp(format->name, "mov", 3) == 0) return check_mp4(w, all, out, err);
    if (strncmp(format->name, "matroska", 8) == 0) return check_matroska(w, out, err);
    if (strcmp(format->name, "avi") == 0) VPI_TRY(vpi_avi_frames(w, &out->avi_frames, err));
    if (strcmp(format->name, "avi") == 0 || strcmp(format->name, "wav") == 0) return check_riff(w, err);
    if (strcmp(format->name, "aiff") == 0) return check_aiff(w, err);
    if (strcmp(format->name, "caf") == 0) return check_caf(w, err);
    if (strcmp(format->name, "gif") == 0 && all) return check_gif(w, err);
    if (strcmp(format->name, "ogg") == 0) return check_ogg(w, err);
    if (strcmp(format->name, "asf") == 0) return check_asf(w, err);
    if (strcmp(format->name, "mpegts") == 0) return check_ts(w, err);
    if (strcmp(format->name, "mpeg") == 0) vpi_strlcpy(out->name, "mpegps", sizeof(out->name));
    return VP_OK;
}
