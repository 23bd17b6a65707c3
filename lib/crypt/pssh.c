/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 'pssh' boxes (ISO/IEC 23001-7 8.1), and what common, ClearKey and Widevine put into theirs. */
#include "crypt/pssh_int.h"

#define KID ((size_t)16)
#define BOX_HEAD 8u
#define FULL_HEAD 28u /* size, type, version and flags, system */
#define MAX_KIDS 4096u
#define MAX_DATA ((size_t)1 << 24)

/* WidevinePsshData, protocol buffers: (field number << 3) | wire type. */
#define WIDEVINE_KEY_ID 0x12u           /* 2, bytes */
#define WIDEVINE_PROTECTION_SCHEME 0x48 /* 9, varint */

static vp_status corrupt(vp_error *err, const char *what)
{
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "pssh: %s", what);
}

/* ---- the box ---- */

vp_status vpi_pssh_parse(const void *data, size_t size, vpi_pssh *out, vp_error *err)
{
    const uint8_t *p = data;
    size_t at = FULL_HEAD, box;

    *out = (vpi_pssh){ 0 };
    if (!p || size < FULL_HEAD + 4) return corrupt(err, "shorter than an empty box");
    box = vpi_rd32(p);
    if (memcmp(p + 4, "pssh", 4) != 0) return corrupt(err, "not a 'pssh' box");
    if (box < FULL_HEAD + 4 || box > size) return corrupt(err, "the size of the box is wrong");
    if (p[8] > 1) return corrupt(err, "unknown version");
    out->version = p[8];
    memcpy(out->system, p + 12, sizeof(out->system));
    if (out->version == 1) {
        uint32_t count = vpi_rd32(p + at);

        at += 4;
        if (count > (box - at) / KID || box - at - count * KID < 4)
            return corrupt(err, "more KIDs than bytes");
        out->kids = count > 0 ? p + at : NULL;
        out->kid_count = count;
        at += count * KID;
    }
    out->data_size = vpi_rd32(p + at);
    at += 4;
    if (out->data_size != box - at) return corrupt(err, "the size of its data is not that of the box");
    out->data = p + at;
    out->size = box;
    return VP_OK;
}

void vpi_pssh_write(const uint8_t system[16], const uint8_t *kids, uint32_t kid_count, const void *data,
                    size_t data_size, vpi_buf *out)
{
    size_t start = out->size, whole = FULL_HEAD + 4 + (kid_count > 0 ? 4 + kid_count * KID : 0) + data_size;

    if (kid_count > MAX_KIDS || data_size > MAX_DATA) {
        out->failed = true;
        return;
    }
    vpi_buf_be32(out, (uint32_t)whole);
    vpi_buf_str(out, "pssh");
    vpi_buf_be32(out, kid_count > 0 ? 1u << 24 : 0);
    vpi_buf_add(out, system, 16);
    if (kid_count > 0) {
        vpi_buf_be32(out, kid_count);
        vpi_buf_add(out, kids, kid_count * KID);
    }
    vpi_buf_be32(out, (uint32_t)data_size);
    vpi_buf_add(out, data, data_size);
    if (!vpi_buf_failed(out) && out->size - start != whole) out->failed = true;
}

/* ---- Widevine ---- */

static void add_varint(vpi_buf *out, uint64_t v)
{
    while (v > 0x7F) {
        vpi_buf_u8(out, (unsigned)(v & 0x7F) | 0x80);
        v >>= 7;
    }
    vpi_buf_u8(out, (unsigned)v);
}

static void widevine_data(vpi_scheme scheme, const uint8_t *kids, uint32_t kid_count, vpi_buf *out)
{
    for (uint32_t i = 0; i < kid_count; i++) {
        vpi_buf_u8(out, WIDEVINE_KEY_ID);
        vpi_buf_u8(out, KID);
        vpi_buf_add(out, kids + i * KID, KID);
    }
    vpi_buf_u8(out, WIDEVINE_PROTECTION_SCHEME);
    add_varint(out, vpi_rd32((const uint8_t *)(scheme == VPI_SCHEME_CENC ? "cenc" : "cbcs")));
}

static bool read_varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
    *v = 0;
    for (unsigned shift = 0; shift < 64 && *p < end; shift += 7) {
        uint8_t byte = *(*p)++;

        *v |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) return true;
    }
    return false;
}

static vp_status widevine_kids(const uint8_t *p, size_t size, vpi_buf *out, vp_error *err)
{
    const uint8_t *end = p + size;
    uint64_t tag, n;

    while (p < end) {
        if (!read_varint(&p, end, &tag)) return corrupt(err, "broken Widevine data");
        switch (tag & 7) {
        case 0:
            if (!read_varint(&p, end, &n)) return corrupt(err, "broken Widevine data");
            n = 0;
            break;
        case 1:
            n = 8;
            break;
        case 2:
            if (!read_varint(&p, end, &n)) return corrupt(err, "broken Widevine data");
            break;
        case 5:
            n = 4;
            break;
        default:
            return corrupt(err, "broken Widevine data");
        }
        if (n > (uint64_t)(end - p)) return corrupt(err, "broken Widevine data");
        /* Key ids of other sizes are of content that is not ISO-BMFF. */
        if (tag == WIDEVINE_KEY_ID && n == KID) vpi_buf_add(out, p, KID);
        p += n;
    }
    return VP_OK;
}

/* ---- all systems ---- */

static vp_status check(vpi_scheme scheme, const uint8_t *kids, uint32_t kid_count, vp_error *err)
{
    if (!kids || kid_count == 0 || kid_count > MAX_KIDS) {
        return vpi_fail(err, VP_E_ARG, NULL, "pssh: 1 to %u KIDs are wanted", MAX_KIDS);
    }
    if (scheme != VPI_SCHEME_CENC && scheme != VPI_SCHEME_CBCS) {
        return vpi_fail(err, VP_E_ARG, NULL, "pssh: neither cenc nor cbcs");
    }
    return VP_OK;
}

vp_status vpi_pssh_make(const uint8_t system[16], vpi_scheme scheme, const uint8_t *kids, uint32_t kid_count,
                        const char *laurl, vpi_buf *out, vp_error *err)
{
    const char *word = vpi_system_word(system);
    vpi_buf data = { 0 };
    vp_status st = VP_OK;

    VPI_TRY(check(scheme, kids, kid_count, err));
    if (vpi_streq(word, "common") || vpi_streq(word, "clearkey")) {
        vpi_pssh_write(system, kids, kid_count, NULL, 0, out);
    } else if (vpi_streq(word, "widevine")) {
        widevine_data(scheme, kids, kid_count, &data);
        vpi_pssh_write(system, NULL, 0, data.data, data.size, out);
    } else if (vpi_streq(word, "playready")) {
        st = vpi_playready_object(scheme, kids, kid_count, laurl, &data, err);
        if (st == VP_OK) vpi_pssh_write(system, NULL, 0, data.data, data.size, out);
    } else {
        return vpi_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED", "pssh: cannot be made for this system");
    }
    if (st == VP_OK && (vpi_buf_failed(&data) || vpi_buf_failed(out))) st = vpi_fail_nomem(err);
    vpi_buf_dispose(&data);
    return st;
}

vp_status vpi_pssh_kids(const vpi_pssh *pssh, vpi_buf *out, vp_error *err)
{
    vp_status st = VP_OK;

    if (pssh->kid_count > 0) {
        vpi_buf_add(out, pssh->kids, pssh->kid_count * KID);
    } else if (memcmp(pssh->system, vpi_system_widevine, 16) == 0) {
        st = widevine_kids(pssh->data, pssh->data_size, out, err);
    } else if (memcmp(pssh->system, vpi_system_playready, 16) == 0) {
        st = vpi_playready_kids(pssh->data, pssh->data_size, out, err);
    }
    if (st == VP_OK && vpi_buf_failed(out)) st = vpi_fail_nomem(err);
    return st;
}

/* ---- for hosts ---- */

vp_status vp_drm_system(const char *name, uint8_t system[16], vp_error *err)
{
    vpi_error_reset(err);
    if (!name || !system) return vpi_fail(err, VP_E_ARG, NULL, "no name, or nowhere to put the id");
    if (vpi_system_from_word(name, system)) return VP_OK;
    return vpi_fail(err, VP_E_ARG, NULL, "%s: not widevine, playready, fairplay, clearkey or common", name);
}

vp_status vp_pssh_build(const uint8_t system[16], uint32_t scheme, const uint8_t *kids, uint32_t count,
                        const char *laurl, vp_bytes **out, vp_error *err)
{
    vpi_scheme s = scheme == VP_ENCRYPT_CENC   ? VPI_SCHEME_CENC
                   : scheme == VP_ENCRYPT_CBCS ? VPI_SCHEME_CBCS
                                               : VPI_SCHEME_NONE;
    vpi_buf b = { 0 };
    vp_status st;

    vpi_error_reset(err);
    if (out) *out = NULL;
    if (!system || !out) return vpi_fail(err, VP_E_ARG, NULL, "no system, or nowhere to put the box");
    st = vpi_pssh_make(system, s, kids, count, laurl, &b, err);
    if (st == VP_OK) return vpi_bytes_from_buf(&b, out, err);
    vpi_buf_dispose(&b);
    return st;
}

vp_status vp_pssh_parse(const void *box, uint64_t size, uint8_t system[16], vp_bytes **kids, vp_error *err)
{
    vpi_buf b = { 0 };
    vpi_pssh pssh;
    vp_status st;

    vpi_error_reset(err);
    if (kids) *kids = NULL;
    if (!box || !kids) return vpi_fail(err, VP_E_ARG, NULL, "no box, or nowhere to put the KIDs");
    if (size > SIZE_MAX) return vpi_fail(err, VP_E_ARG, NULL, "more bytes than memory can hold");
    VPI_TRY(vpi_pssh_parse(box, (size_t)size, &pssh, err));
    if (pssh.size != size) return corrupt(err, "bytes behind the box");
    st = vpi_pssh_kids(&pssh, &b, err);
    if (st == VP_OK && system) memcpy(system, pssh.system, sizeof(pssh.system));
    if (st == VP_OK) return vpi_bytes_from_buf(&b, kids, err);
    vpi_buf_dispose(&b);
    return st;
}
