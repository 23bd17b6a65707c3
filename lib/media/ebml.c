/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/reader_int.h"

#include "base/hash.h"

/* Elements of Matroska and WebM files (RFC 8794, RFC 9559), read without libav*. */

#define HEADER_MAX 4096u       /* of the EBML header and its children */
#define ELEMENT_MAX 12u        /* id and size of an element */
#define TOP_MAX 64u            /* elements looked at for the tracks, outside of clusters */
#define PRIVATE_MAX (1u << 20) /* of what decoders are set up with */

enum {
    ID_EBML = 0x1A45DFA3,
    ID_DOCTYPE = 0x4282,
    ID_SEGMENT = 0x18538067,
    ID_CLUSTER = 0x1F43B675,
    ID_TRACKS = 0x1654AE6B,
    ID_TRACK = 0xAE,
    ID_NUMBER = 0xD7,
    ID_TYPE = 0x83,
    ID_CODEC = 0x86,
    ID_PRIVATE = 0x63A2,
    ID_ENCODINGS = 0x6D80,
    ID_VIDEO = 0xE0,
    ID_AUDIO = 0xE1,
};

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

/* What decoders of the tracks are set up with, as a checksum. */
static vp_status add_tracks(vpi_window *w, uint64_t at, uint64_t end, uint32_t *crc, vp_error *err)
{
    uint64_t id, body, size;
    const uint8_t *p;
    size_t got;
    vp_status st;

    for (unsigned n = 0; at < end && n < HEADER_MAX; n++) {
        st = ebml_at(w, at, &id, &body, &size, err);
        if (st != VP_OK) return st < 0 ? st : VP_OK;
        if (id == ID_TRACK) { /* its children follow */
            at = body;
            continue;
        }
        if (size > end - VPI_MIN(body, end)) return VP_OK;
        if (id == ID_NUMBER || id == ID_TYPE || id == ID_CODEC || id == ID_PRIVATE || id == ID_ENCODINGS ||
            id == ID_VIDEO || id == ID_AUDIO) {
            uint64_t stop = body + VPI_MIN(size, (uint64_t)PRIVATE_MAX);

            for (; at < stop; at += got) {
                VPI_TRY(vpi_window_read(w, at, (size_t)VPI_MIN(stop - at, (uint64_t)4096), &p, &got, err));
                if (!got) return VP_OK;
                *crc = vpi_crc32c(*crc, p, got);
            }
        }
        at = body + size;
    }
    return VP_OK;
}

/* The tracks of the file that begins at `at`; VP_END: there are none before its first cluster. */
static vp_status tracks_of(vpi_window *w, uint64_t at, uint32_t *crc, vp_error *err)
{
    uint64_t id, body, size;

    *crc = 0;
    for (unsigned n = 0; n < TOP_MAX; n++) {
        vp_status st = ebml_at(w, at, &id, &body, &size, err);

        if (st != VP_OK || id == ID_CLUSTER) return st < 0 ? st : VP_END;
        if (id == ID_TRACKS && size <= w->size - VPI_MIN(body, w->size))
            return add_tracks(w, body, body + size, crc, err);
        if (id == ID_SEGMENT)
            at = body;
        else if (size > w->size - VPI_MIN(body, w->size))
            return VP_END;
        else
            at = body + size;
    }
    return VP_END;
}

/*
 * A file behind the first one. libavformat reads its clusters with the tracks of the first: right where they are the
 * same, as those of one recorder are.
 */
static vp_status check_second(vpi_window *w, uint64_t at, vp_error *err)
{
    uint32_t first, second;
    vp_status st = tracks_of(w, at, &second, err);

    if (st != VP_OK) return st < 0 ? st : VP_OK;
    VPI_TRY(tracks_of(w, 0, &first, err));
    return first == second ? VP_OK : vpi_structure_second(at, w->size, err);
}

static vp_status doc_type(vpi_window *w, vpi_structure *out, uint64_t *next, vp_error *err)
{
    uint64_t id, body, size, at, end;
    const uint8_t *p;
    size_t got;
    vp_status st;

    *next = 0;
    st = ebml_at(w, 0, &id, &body, &size, err);
    if (st != VP_OK || id != ID_EBML || size > HEADER_MAX) return st < 0 ? st : VP_OK;
    end = body + size;
    for (at = body; at < end; at = body + size) {
        st = ebml_at(w, at, &id, &body, &size, err);
        if (st != VP_OK || size > HEADER_MAX) return st < 0 ? st : VP_OK;
        if (id != ID_DOCTYPE) continue;
        VPI_TRY(vpi_window_read(w, body, 4, &p, &got, err));
        if (got == 4 && size >= 4 && memcmp(p, "webm", 4) == 0)
            vpi_strlcpy(out->name, "webm", sizeof(out->name));
    }
    *next = at;
    return VP_OK;
}

vp_status vpi_ebml_check(vpi_window *w, bool all, vpi_structure *out, vp_error *err)
{
    uint64_t id, body, size, at, end;
    bool live = false; /* inside of a segment whose size is unknown, nothing but its elements tells its end */
    vp_status st;

    vpi_strlcpy(out->name, "matroska", sizeof(out->name));
    VPI_TRY(doc_type(w, out, &at, err));
    for (unsigned n = 0; at && at < w->size && n < (all ? VPI_PARTS_ALL : VPI_PARTS_OPEN); n++) {
        st = ebml_at(w, at, &id, &body, &size, err);
        if (st < 0) return st;
        if (st == VP_END)
            return live && w->size - at < ELEMENT_MAX ? vpi_structure_cut(at + ELEMENT_MAX, w->size, err)
                                                      : VP_OK;
        if (id == ID_EBML) {
            live = false;
            VPI_TRY(check_second(w, at, err));
            out->last_part = at;
        }
        if (!vpi_add_u64(body, size, &end)) end = UINT64_MAX;
        if (size == UINT64_MAX) { /* of live recordings: its children follow, then the next element */
            if (!all) return VP_OK;
            live = true;
            end = body;
        } else if (end > w->size) {
            return live || id == ID_SEGMENT ? vpi_structure_cut(end, w->size, err) : VP_OK;
        }
        at = end;
    }
    return VP_OK;
}
