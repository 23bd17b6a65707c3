/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/reader_int.h"

/*
 * Outer structure of a file, read without libav*, which plays what is left of a cut file and calls it whole, and the
 * first of two files that were put one behind the other. Only sizes and names are read here; what the parts hold is
 * the demuxer's affair.
 */

#define RIFF_SLACK 16u /* writers that count a header or padding wrongly */

vp_status vpi_structure_cut(uint64_t needed, uint64_t size, vp_error *err)
{
    return vpi_fail(err, VP_E_DATA, "INPUT_TRUNCATED",
                    "the file's parts reach to byte %llu, but it ends at %llu", (unsigned long long)needed,
                    (unsigned long long)size);
}

vp_status vpi_structure_second(uint64_t at, uint64_t size, vp_error *err)
{
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT",
                    "a second file follows at byte %llu of %llu: they have to be joined by an editor",
                    (unsigned long long)at, (unsigned long long)size);
}

/* What writers put there that cannot go back to it, as into a pipe: 0, about 2^32, or 2^31 (SoX). */
static bool riff_open(uint64_t size)
{
    return size == 0 || size >= UINT32_MAX - 64 || (size >= 0x7FFFF000u && size < 0x7FFFF000u + 256);
}

/* AVI of more than 1 GB is several RIFF chunks in a row. */
static vp_status check_riff(vpi_window *w, vpi_structure *out, vp_error *err)
{
    uint64_t at = 0, size;
    const uint8_t *p;
    size_t got;

    for (unsigned n = 0; n < VPI_PARTS_OPEN; n++) {
        VPI_TRY(vpi_window_read(w, at, 12, &p, &got, err));
        if (got < 12 || memcmp(p, "RIFF", 4) != 0) return VP_OK;
        if (n && (memcmp(p + 8, "AVI ", 4) == 0 || memcmp(p + 8, "WAVE", 4) == 0))
            return vpi_structure_second(at, w->size, err);
        size = (uint32_t)p[4] | ((uint32_t)p[5] << 8) | ((uint32_t)p[6] << 16) | ((uint32_t)p[7] << 24);
        out->open_end = riff_open(size);
        if (out->open_end) return VP_OK;
        if (at + 8 + size > w->size + RIFF_SLACK) return vpi_structure_cut(at + 8 + size, w->size, err);
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
    if (end > w->size + RIFF_SLACK) return vpi_structure_cut(end, w->size, err);
    end += end & 1;
    VPI_TRY(vpi_window_read(w, end, 12, &p, &got, err));
    if (got < 12 || memcmp(p, "FORM", 4) != 0 || memcmp(p + 8, "AIF", 3) != 0) return VP_OK;
    return vpi_structure_second(end, w->size, err);
}

/* Apple's Core Audio Format: chunks of 64-bit sizes; that of the data may be -1, "to the end". */
static vp_status check_caf(vpi_window *w, vpi_structure *out, vp_error *err)
{
    uint64_t at = 8, size, end;
    const uint8_t *p;
    size_t got;

    for (unsigned n = 0; n < VPI_PARTS_OPEN && at < w->size; n++, at = end) {
        VPI_TRY(vpi_window_read(w, at, 12, &p, &got, err));
        if (got < 12) return VP_OK;
        if (memcmp(p, "caff", 4) == 0) return vpi_structure_second(at, w->size, err);
        size = vpi_rd64(p + 4);
        out->open_end = size == UINT64_MAX && memcmp(p, "data", 4) == 0;
        if (size >= INT64_MAX || !vpi_add_u64(at + 12, size, &end)) return VP_OK;
        if (memcmp(p, "data", 4) == 0 && end > w->size) return vpi_structure_cut(end, w->size, err);
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
    if (got < 13) return vpi_structure_cut(13, w->size, err);
    if (p[10] & 0x80) at += UINT64_C(3) << ((p[10] & 7) + 1);
    while (at < w->size) {
        VPI_TRY(vpi_window_read(w, at, 10, &p, &got, err));
        if (p[0] == 0x21) {
            at += 2;
        } else if (p[0] == 0x2C) {
            if (got < 10) return vpi_structure_cut(at + 10, w->size, err);
            at += 11 + (p[9] & 0x80 ? UINT64_C(3) << ((p[9] & 7) + 1) : 0); /* and the code size */
        } else {
            return VP_OK; /* trailer, or what only a decoder can judge */
        }
        st = skip_blocks(w, &at, err);
        if (st != VP_OK) return st == VP_END ? vpi_structure_cut(at + 1, w->size, err) : st;
    }
    return at > w->size ? vpi_structure_cut(at, w->size, err) : VP_OK;
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
    if (got < 27 || got < (size_t)27 + p[26]) return vpi_structure_cut(next + 27, w->size, err);
    at = next + 27 + p[26];
    for (unsigned i = 0; i < p[26]; i++) at += p[27 + i];
    return at > w->size ? vpi_structure_cut(at, w->size, err) : VP_OK;
}

static uint64_t rd64le(const uint8_t *p)
{
    uint64_t v = 0;

    for (size_t n = 0; n < 8; n++) v |= (uint64_t)p[n] << (8 * n);
    return v;
}

static const uint8_t asf_header[16] = { 0x30, 0x26, 0xB2, 0x75, 0x8E, 0x66, 0xCF, 0x11,
                                        0xA6, 0xD9, 0x00, 0xAA, 0x00, 0x62, 0xCE, 0x6C };

/* ASF specification 2.1: header, data and index objects, each with its size. */
static vp_status check_asf_objects(vpi_window *w, vp_error *err)
{
    uint64_t at = 0, size;
    const uint8_t *p;
    size_t got;

    for (unsigned n = 0; n < VPI_PARTS_OPEN; n++, at += size) {
        VPI_TRY(vpi_window_read(w, at, 24, &p, &got, err));
        if (got < 24) return VP_OK;
        if (n && memcmp(p, asf_header, sizeof(asf_header)) == 0)
            return vpi_structure_second(at, w->size, err);
        size = rd64le(p + 16);
        if (size < 24 || size > w->size - at) return VP_OK; /* of data that are being written: 0 */
    }
    return VP_OK;
}

/* 3.2: the File Properties Object of the header names the size of the file, unless broadcast. */
static vp_status check_asf(vpi_window *w, vp_error *err)
{
    static const uint8_t properties[16] = { 0xA1, 0xDC, 0xAB, 0x8C, 0x47, 0xA9, 0xCF, 0x11,
                                            0x8E, 0xE4, 0x00, 0xC0, 0x0C, 0x20, 0x53, 0x65 };
    const uint8_t *p;
    size_t got;

    VPI_TRY(vpi_window_read(w, 0, 4096, &p, &got, err));
    for (size_t i = 0; i + 104 <= got; i++) {
        uint64_t size;

        if (memcmp(p + i, properties, sizeof(properties)) != 0) continue;
        size = rd64le(p + i + 40);
        if (!(p[i + 88] & 1) && size > w->size) return vpi_structure_cut(size, w->size, err);
        break;
    }
    return check_asf_objects(w, err);
}

/*
 * Adobe Flash Video specification E.2, E.3: tags, each with its size before and behind it. What the metadata say of the
 * duration is often that of what the file was cut from.
 */
static vp_status check_flv(vpi_window *w, vpi_structure *out, vp_error *err)
{
    uint64_t at;
    uint32_t size = 0;
    const uint8_t *p;
    size_t got;

    VPI_TRY(vpi_window_read(w, 0, 9, &p, &got, err));
    if (got < 9) return VP_OK;
    at = vpi_rd32(p + 5) + UINT64_C(4);
    for (unsigned n = 0; n < VPI_PARTS_ALL; n++) {
        uint32_t type;

        if (at == w->size && size) {
            VPI_TRY(vpi_window_read(w, at - 4, 4, &p, &got, err));
            out->whole_tags = got == 4 && vpi_rd32(p) == size;
        }
        VPI_TRY(vpi_window_read(w, at, 11, &p, &got, err));
        if (got < 11) return VP_OK;
        if (memcmp(p, "FLV\1", 4) == 0 && vpi_rd32(p + 5) == 9) return vpi_structure_second(at, w->size, err);
        type = p[0] & 0x1Fu;
        if (type != 8 && type != 9 && type != 18) return VP_OK;
        size = 11 + (vpi_rd32(p) & 0xFFFFFFu);
        at += (uint64_t)size + 4;
    }
    return VP_OK;
}

/* IVF: frames, each with its size (little-endian) before it. */
static vp_status check_ivf(vpi_window *w, vp_error *err)
{
    uint64_t at = 32;
    const uint8_t *p;
    size_t got;

    for (unsigned n = 0; n < VPI_PARTS_ALL; n++) {
        VPI_TRY(vpi_window_read(w, at, 12, &p, &got, err));
        if (got < 12) return VP_OK;
        if (memcmp(p, "DKIF\0\0", 6) == 0) return vpi_structure_second(at, w->size, err);
        at += 12 +
              (uint64_t)((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
    }
    return VP_OK;
}

/* PNG (ISO/IEC 15948) 5: chunks up to IEND. */
static vp_status check_apng(vpi_window *w, vp_error *err)
{
    uint64_t at = 8;
    const uint8_t *p;
    bool end = false;
    size_t got;

    for (unsigned n = 0; n < VPI_PARTS_ALL; n++) {
        VPI_TRY(vpi_window_read(w, at, 8, &p, &got, err));
        if (end && at <= w->size) {
            bool again = got == 8 && memcmp(p, "\x89PNG\r\n\x1a\n", 8) == 0;

            return again ? vpi_structure_second(at, w->size, err) : VP_OK;
        }
        if (got < 8) return vpi_structure_cut(end ? at : at + 12, w->size, err);
        end = memcmp(p + 4, "IEND", 4) == 0;
        at += 12 + (uint64_t)vpi_rd32(p);
    }
    return VP_OK;
}

/* FLAC (RFC 9639 6, 8.2): the marker and STREAMINFO, whose size never differs. Frames do not tell their size. */
static vp_status check_flac(vpi_window *w, vp_error *err)
{
    static const uint8_t mark[] = { 'f', 'L', 'a', 'C', 0, 0, 0, 34 };
    const uint8_t *p, *found;
    uint64_t first = 0;
    size_t got, tag = 1;

    /* Tags of ID3v2 stand before it; so many bytes of padding as its writer likes. */
    for (unsigned n = 0; tag > 0 && n < VPI_PARTS_OPEN; n++) {
        VPI_TRY(vpi_window_read(w, first, 10, &p, &got, err));
        tag = vpi_id3_size(p, got);
        first += tag;
    }
    for (uint64_t at = first + 1; at + sizeof(mark) <= w->size; at += got - (sizeof(mark) - 1)) {
        VPI_TRY(vpi_window_read(w, at, 4096, &p, &got, err));
        if (got < sizeof(mark)) return VP_OK;
        found = memmem(p, got, mark, sizeof(mark));
        if (found) return vpi_structure_second(at + (uint64_t)(found - p), w->size, err);
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
    const char *name = format->name;

    memset(out, 0, sizeof(*out));
    if (strncmp(name, "mov", 3) == 0) return vpi_boxes_check(w, all, out, err);
    if (strncmp(name, "matroska", 8) == 0) return vpi_ebml_check(w, all, out, err);
    if (strcmp(name, "avi") == 0) VPI_TRY(vpi_avi_frames(w, &out->avi_frames, err));
    if (strcmp(name, "avi") == 0 || strcmp(name, "wav") == 0) return check_riff(w, out, err);
    if (strcmp(name, "aiff") == 0) return check_aiff(w, err);
    if (strcmp(name, "caf") == 0) return check_caf(w, out, err);
    if (strcmp(name, "ogg") == 0) return check_ogg(w, err);
    if (strcmp(name, "asf") == 0) return check_asf(w, err);
    if (strcmp(name, "mpegts") == 0) return check_ts(w, err);
    if (strcmp(name, "mpeg") == 0) vpi_strlcpy(out->name, "mpegps", sizeof(out->name));
    if (!all) return VP_OK; /* those below are looked at from begin to end */
    if (strcmp(name, "gif") == 0) return check_gif(w, err);
    if (strcmp(name, "flv") == 0) return check_flv(w, out, err);
    if (strcmp(name, "ivf") == 0) return check_ivf(w, err);
    if (strcmp(name, "apng") == 0) return check_apng(w, err);
    if (strcmp(name, "flac") == 0) return check_flac(w, err);
    return VP_OK;
}
