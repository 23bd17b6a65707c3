/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * KIDs in ready-made pssh boxes (ISO/IEC 23001-7 8.1). Boxes come from key servers: one that tells KIDs must tell
 * that of its key; what tells none is the server's own business.
 */
#include "verify/verify_int.h"

enum { KID = 16, SYSTEM_AT = 4, KIDS_AT = 20, BASE64_KID = 24 };

typedef struct search {
    const uint8_t *kid;
    size_t told;
    bool found;
} search;

static void tell(search *s, const uint8_t kid[KID])
{
    s->told++;
    s->found |= memcmp(s->kid, kid, KID) == 0;
}

/* ---- Widevine: fields of a message, key_id is number 2 ---- */

static bool varint(const uint8_t *d, size_t size, size_t *at, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && *at < size; shift += 7) {
        uint8_t c = d[(*at)++];

        *out |= (uint64_t)(c & 127u) << shift;
        if (!(c & 128u)) return true;
    }
    return false;
}

static void look_widevine(search *s, const uint8_t *d, size_t size)
{
    size_t at = 0;
    uint64_t tag, value;

    while (varint(d, size, &at, &tag)) {
        if ((tag & 7) == 0) {
            if (!varint(d, size, &at, &value)) return;
        } else if ((tag & 7) == 2) {
            if (!varint(d, size, &at, &value) || value > size - at) return;
            if (tag >> 3 == 2 && value == KID) tell(s, d + at);
            at += (size_t)value;
        } else {
            return;
        }
    }
}

/* ---- PlayReady: a header in UTF-16LE, KIDs in base64 with the bytes of a GUID ---- */

/* The text as single bytes, what is no ASCII left out. */
static bool narrow(const uint8_t *d, size_t size, vpi_buf *to)
{
    for (size_t i = 0; i + 1 < size; i += 2) {
        if (d[i + 1] == 0 && d[i] != 0) vpi_buf_u8(to, d[i]);
    }
    vpi_buf_u8(to, 0);
    return !vpi_buf_failed(to);
}

static void tell_guid(search *s, const char *text)
{
    static const uint8_t order[KID] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
    uint8_t kid[KID];
    vpi_buf guid = { 0 };

    if (strnlen(text, BASE64_KID) == BASE64_KID && vpi_base64_decode(text, BASE64_KID, &guid) &&
        guid.size == KID) {
        for (size_t i = 0; i < KID; i++) kid[i] = guid.data[order[i]];
        tell(s, kid);
    }
    vpi_buf_dispose(&guid);
}

/* Version 4.0 has <KID>...</KID>, later ones <KID ... VALUE="..."/>. */
static bool look_playready(search *s, const uint8_t *d, size_t size)
{
    vpi_buf text = { 0 };
    const char *at, *value;

    if (!narrow(d, size, &text)) {
        vpi_buf_dispose(&text);
        return false;
    }
    for (at = strstr((const char *)text.data, "<KID"); at; at = strstr(at + 1, "<KID")) {
        if (at[4] == '>') {
            tell_guid(s, at + 5);
        } else if (at[4] == ' ') {
            value = strstr(at, "VALUE=\"");
            if (value && value < at + strcspn(at, ">")) tell_guid(s, value + 7);
        }
    }
    vpi_buf_dispose(&text);
    return true;
}

/* ---- the box ---- */

static bool look(search *s, const vpi_drm *d, const vpi_box *box, bool *good)
{
    const uint8_t *data = box->data;
    size_t size = box->data_size, at = KIDS_AT;
    uint32_t kids;

    *good = box->type == VPI_FOURCC('p', 's', 's', 'h') && box->size == d->pssh_size && size >= at + 4 &&
            data[0] <= 1 && memcmp(data + SYSTEM_AT, d->system, sizeof(d->system)) == 0;
    if (!*good) return true;
    if (data[0] == 1) {
        kids = vpi_rd32(data + at);
        at += 4;
        *good = kids <= (size - at) / KID && size - at - (size_t)kids * KID >= 4;
        for (uint32_t i = 0; *good && i < kids; i++, at += KID) tell(s, data + at);
    }
    *good = *good && vpi_rd32(data + at) == size - at - 4;
    if (!*good) return true;
    at += 4;
    if (memcmp(d->system, vpi_system_widevine, sizeof(d->system)) == 0)
        look_widevine(s, data + at, size - at);
    if (memcmp(d->system, vpi_system_playready, sizeof(d->system)) == 0)
        return look_playready(s, data + at, size - at);
    return true;
}

vp_status vpi_verify_pssh(vpi_verifier *v, const vpi_drm *d, const uint8_t kid[16], const char *where,
                          vp_error *err)
{
    search s = { .kid = kid };
    char uuid[VPI_UUID_TEXT];
    vpi_box box;
    size_t at = 0;
    bool good = false;

    if (!d->pssh) return VP_OK;
    vpi_uuid_text(d->system, uuid);
    if (vpi_box_next(d->pssh, d->pssh_size, 0, &at, &box, NULL) == VP_OK && !look(&s, d, &box, &good))
        return vpi_fail_nomem(err);
    if (vpi_check(v, good, "E13", where, "the pssh for %s is broken, or of another system", uuid))
        vpi_check(v, s.told == 0 || s.found, "E13", where, "the pssh for %s tells other KIDs", uuid);
    return VP_OK;
}
