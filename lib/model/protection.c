/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model/protection.h"

static const char *const scheme_words[] = { "none", "aes128", "cenc", "cbcs" };

const char *vpi_scheme_word(vpi_scheme scheme)
{
    return (size_t)scheme < VPI_COUNT(scheme_words) ? scheme_words[scheme] : scheme_words[0];
}

bool vpi_scheme_from_word(const char *word, vpi_scheme *out)
{
    for (size_t i = 0; word && i < VPI_COUNT(scheme_words); i++) {
        if (strcmp(word, scheme_words[i]) != 0) continue;
        *out = (vpi_scheme)i;
        return true;
    }
    return false;
}

/* ---- memory ---- */

vpi_drm *vpi_key_info_add_drm(vpi_key_info *k)
{
    vpi_drm *d;

    if (!VPI_GROW(k->drm, k->drm_count, k->drm_cap)) return NULL;
    d = &k->drm[k->drm_count++];
    *d = (vpi_drm){ 0 };
    return d;
}

void vpi_key_info_dispose(vpi_key_info *k)
{
    for (size_t i = 0; i < k->drm_count; i++) {
        vpi_free(k->drm[i].pssh);
        vpi_free(k->drm[i].uri);
        vpi_free(k->drm[i].laurl);
    }
    vpi_free(k->drm);
    vpi_free(k->uri);
    *k = (vpi_key_info){ 0 };
}

static bool copy_text(char **to, const char *from)
{
    *to = vpi_strdup(from);
    return *to || !from;
}

static bool copy_drm(vpi_drm *to, const vpi_drm *from)
{
    memcpy(to->system, from->system, sizeof(to->system));
    if (from->pssh) {
        to->pssh = vpi_alloc(from->pssh_size);
        if (!to->pssh) return false;
        memcpy(to->pssh, from->pssh, from->pssh_size);
        to->pssh_size = from->pssh_size;
    }
    return copy_text(&to->uri, from->uri) && copy_text(&to->laurl, from->laurl);
}

vp_status vpi_drm_copy(vpi_drm *to, const vpi_drm *from, vp_error *err)
{
    return copy_drm(to, from) ? VP_OK : vpi_fail_nomem(err);
}

static bool copy_info(vpi_key_info *to, const vpi_key_info *from)
{
    *to = *from;
    to->uri = NULL;
    to->drm = NULL;
    to->drm_count = to->drm_cap = 0;
    if (!copy_text(&to->uri, from->uri)) return false;
    for (size_t i = 0; i < from->drm_count; i++) {
        vpi_drm *d = vpi_key_info_add_drm(to);

        if (!d || !copy_drm(d, &from->drm[i])) return false;
    }
    return true;
}

vp_status vpi_key_info_copy(vpi_key_info *to, const vpi_key_info *from, vp_error *err)
{
    if (copy_info(to, from)) return VP_OK;
    vpi_key_info_dispose(to);
    return vpi_fail_nomem(err);
}

vpi_key_info *vpi_protection_add_key(vpi_protection *p)
{
    vpi_key_info *k;

    if (!VPI_GROW(p->keys, p->key_count, p->key_cap)) return NULL;
    k = &p->keys[p->key_count++];
    *k = (vpi_key_info){ 0 };
    return k;
}

void vpi_protection_dispose(vpi_protection *p)
{
    for (size_t i = 0; i < p->key_count; i++) vpi_key_info_dispose(&p->keys[i]);
    vpi_free(p->keys);
    *p = (vpi_protection){ 0 };
}

vp_status vpi_protection_copy(vpi_protection *to, const vpi_protection *from, vp_error *err)
{
    *to = *from;
    to->keys = NULL;
    to->key_count = to->key_cap = 0;
    for (size_t i = 0; i < from->key_count; i++) {
        vpi_key_info *k = vpi_protection_add_key(to);

        if (k && copy_info(k, &from->keys[i])) continue;
        vpi_protection_dispose(to);
        return vpi_fail_nomem(err);
    }
    return VP_OK;
}

const vpi_protection *vpi_protection_find(const vpi_protection *list, size_t count, const char *label)
{
    for (size_t i = 0; i < count; i++)
        if (vpi_streq(list[i].label, label)) return &list[i];
    return NULL;
}

const vpi_key_info *vpi_protection_key(const vpi_protection *p, uint64_t segment)
{
    uint64_t period = p->rotation ? segment / p->rotation : 0;

    if (p->scheme == VPI_SCHEME_NONE || p->key_count == 0 || segment < p->clear_segments) return NULL;
    /* Behind the last key NULL would mean "clear", which must not come by a slip. */
    return &p->keys[VPI_MIN(period, (uint64_t)p->key_count - 1)];
}

/* ---- system ids (DASH-IF content protection) ---- */

const uint8_t vpi_system_widevine[16] = { 0xED, 0xEF, 0x8B, 0xA9, 0x79, 0xD6, 0x4A, 0xCE,
                                          0xA3, 0xC8, 0x27, 0xDC, 0xD5, 0x1D, 0x21, 0xED };
const uint8_t vpi_system_playready[16] = { 0x9A, 0x04, 0xF0, 0x79, 0x98, 0x40, 0x42, 0x86,
                                           0xAB, 0x92, 0xE6, 0x5B, 0xE0, 0x88, 0x5F, 0x95 };
/* Written in MPDs and by CPIX services; 29701fe4-3cc7-4a34-8c5b-ae90c7439a47 is the one of FairPlay in ISO-BMFF. */
const uint8_t vpi_system_fairplay[16] = { 0x94, 0xCE, 0x86, 0xFB, 0x07, 0xFF, 0x4F, 0x43,
                                          0xAD, 0xB8, 0x93, 0xD2, 0xFA, 0x96, 0x8C, 0xA2 };
const uint8_t vpi_system_clearkey[16] = { 0xE2, 0x71, 0x9D, 0x58, 0xA9, 0x85, 0xB3, 0xC9,
                                          0x78, 0x1A, 0xB0, 0x30, 0xAF, 0x78, 0xD3, 0x0E };
const uint8_t vpi_system_common[16] = { 0x10, 0x77, 0xEF, 0xEC, 0xC0, 0xB2, 0x4D, 0x02,
                                        0xAC, 0xE3, 0x3C, 0x1E, 0x52, 0xE2, 0xFB, 0x4B };

static const struct {
    const char *word;
    const uint8_t *system;
} systems[] = {
    { "widevine", vpi_system_widevine }, { "playready", vpi_system_playready },
    { "fairplay", vpi_system_fairplay }, { "clearkey", vpi_system_clearkey },
    { "common", vpi_system_common },
};

const char *vpi_system_word(const uint8_t system[16])
{
    for (size_t i = 0; i < VPI_COUNT(systems); i++) {
        if (memcmp(system, systems[i].system, 16) == 0) return systems[i].word;
    }
    return NULL;
}

bool vpi_system_from_word(const char *word, uint8_t system[16])
{
    for (size_t i = 0; word && i < VPI_COUNT(systems); i++) {
        if (strcmp(word, systems[i].word) != 0) continue;
        memcpy(system, systems[i].system, 16);
        return true;
    }
    return false;
}

/* ---- uuid, hex, base64 ---- */

static int digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool vpi_hex_parse(const char *text, uint8_t *to, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        int high = digit(text[2 * i]), low = high < 0 ? -1 : digit(text[2 * i + 1]);

        if (low < 0) return false;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return text[2 * size] == 0;
}

void vpi_hex_text(const uint8_t *data, size_t size, char *to)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        *to++ = digits[data[i] >> 4];
        *to++ = digits[data[i] & 15];
    }
    *to = 0;
}

/* RFC 4122 3: a dash stands behind 4, 6, 8 and 10 bytes. */
static bool dash_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void vpi_uuid_text(const uint8_t uuid[16], char to[VPI_UUID_TEXT])
{
    for (size_t i = 0; i < 16; i++) {
        if (dash_before(i)) *to++ = '-';
        vpi_hex_text(uuid + i, 1, to);
        to += 2;
    }
}

bool vpi_uuid_parse(const char *text, uint8_t to[16])
{
    bool dashes = strlen(text) == VPI_UUID_TEXT - 1;

    if (!dashes) return vpi_hex_parse(text, to, 16);
    for (size_t i = 0; i < 16; i++) {
        int high, low;

        if (dash_before(i) && *text++ != '-') return false;
        high = digit(text[0]);
        low = digit(text[1]);
        if (high < 0 || low < 0) return false;
        to[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    return true;
}
