/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The key file: {"keys":[{"label":"*","kid":"...","key":"...","iv":"..."}],"uri":"...","drm":[...]}.
 *
 * jansson keeps copies of what it reads in memory that nobody but it can reach. So it is given a text in which the
 * value of each "key" is the place where that value stands in the text of the caller. The caller's own text stays his,
 * to zeroise as he likes.
 */
#include <stdio.h>

#include <openssl/crypto.h>

#include "crypt/key_int.h"
#include "model/json.h"

#define ROOT "key file"
#define MAX_JSON ((size_t)64 << 20)
#define HEX_KEY ((size_t)32) /* digits */
#define NAME_ROOM ((size_t)16)
#define WHERE_SIZE 32

/* ---- hiding keys from the parser ---- */

/* Index of the quote that ends the string whose quote is at `at`; size when there is none. */
static size_t string_end(const char *text, size_t size, size_t at)
{
    for (at++; at < size && text[at] != '"'; at++) {
        if (text[at] == '\\') at++;
    }
    return VPI_MIN(at, size);
}

static size_t skip_space(const char *text, size_t size, size_t at)
{
    while (at < size && memchr(" \t\r\n", text[at], 4)) at++;
    return at;
}

/* Value of the member whose name ends at `end`: index of its quote, 0 when it is no member or no string. */
static size_t string_value(const char *text, size_t size, size_t end)
{
    size_t at = skip_space(text, size, end + 1);

    if (at >= size || text[at] != ':') return 0;
    at = skip_space(text, size, at + 1);
    return at < size && text[at] == '"' ? at : 0;
}

static void hide(char *text, size_t size)
{
    char place[HEX_KEY + 1];

    for (size_t at = 0; at < size; at++) {
        size_t end, value;

        if (text[at] != '"') continue;
        end = string_end(text, size, at);
        value = end - at == 4 && memcmp(text + at, "\"key", 4) == 0 ? string_value(text, size, end) : 0;
        if (value > 0) {
            end = string_end(text, size, value);
            if (end - value - 1 == HEX_KEY) {
                snprintf(place, sizeof(place), "%032zu", value + 1);
                memcpy(text + value + 1, place, HEX_KEY);
            } else {
                memset(text + value + 1, 'x', end - value - 1);
            }
        }
        at = end;
    }
}

/* The key that the place in a hidden text stands for. */
static bool find_key(const char *place, const char *text, size_t size, uint8_t key[16])
{
    char digits[HEX_KEY + 1];
    uint64_t at = 0;
    bool ok = strlen(place) == HEX_KEY;

    for (size_t i = 0; ok && i < HEX_KEY; i++) {
        ok = place[i] >= '0' && place[i] <= '9' && vpi_mul_u64(at, 10, &at) &&
             vpi_add_u64(at, (uint64_t)(place[i] - '0'), &at);
    }
    if (!ok || at > size || size - at < HEX_KEY) return false;
    memcpy(digits, text + at, HEX_KEY);
    digits[HEX_KEY] = 0;
    ok = vpi_hex_parse(digits, key, HEX_KEY / 2);
    OPENSSL_cleanse(digits, sizeof(digits));
    return ok;
}

/* The text of an error of jansson quotes the document, so only the place is told. */
static vp_status parse(const char *text, size_t size, json_t **out, vp_error *err)
{
    char *hidden = vpi_alloc(size);
    json_error_t at;

    if (!hidden) return vpi_fail_nomem(err);
    /* Byte by byte: memcpy leaves the text in vector registers, which the dynamic linker may spill to a stack. */
    for (size_t i = 0; i < size; i++) ((volatile char *)hidden)[i] = text[i];
    hide(hidden, size);
    *out = json_loadb(hidden, size, JSON_REJECT_DUPLICATES, &at);
    OPENSSL_cleanse(hidden, size);
    vpi_free(hidden);
    if (*out) return VP_OK;
    if (json_error_code(&at) == json_error_out_of_memory || at.line < 0) return vpi_fail_nomem(err);
    return vpi_key_invalid(err, ROOT ": not JSON at line %d, column %d", at.line, at.column);
}

/* ---- fields ---- */

/* A name is told only if it cannot be a key. */
static bool name_telling(const char *name)
{
    size_t i;

    for (i = 0; name[i]; i++) {
        char c = name[i];

        if (i >= NAME_ROOM || ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_')) return false;
    }
    return i > 0;
}

static vp_status fields(const json_t *o, const char *where, const char *const *allowed, vp_error *err)
{
    void *it;

    if (!json_is_object(o)) return vpi_key_invalid(err, "%s: not an object", where);
    /* jansson's iterators take a non-const object; nothing is changed. */
    for (it = json_object_iter((json_t *)o); it; it = json_object_iter_next((json_t *)o, it)) {
        const char *name = json_object_iter_key(it);
        size_t i = 0;

        while (allowed[i] && strcmp(allowed[i], name) != 0) i++;
        if (allowed[i]) continue;
        if (!name_telling(name)) return vpi_key_invalid(err, "%s: a field of an unknown name", where);
        return vpi_key_invalid(err, "%s.%s: unknown field", where, name);
    }
    return VP_OK;
}

/* *text is borrowed; NULL when the field is missing. */
static vp_status text_field(const json_t *o, const char *where, const char *name, bool required,
                            const char **text, vp_error *err)
{
    const json_t *v = json_object_get(o, name);

    *text = NULL;
    if (!v) return required ? vpi_key_invalid(err, "%s.%s: missing", where, name) : VP_OK;
    if (!json_is_string(v)) return vpi_key_invalid(err, "%s.%s: not a string", where, name);
    *text = json_string_value(v);
    return VP_OK;
}

static vp_status uri_field(const json_t *o, const char *where, const char *name, char **out, vp_error *err)
{
    const char *text;

    VPI_TRY(text_field(o, where, name, false, &text, err));
    if (!text) return VP_OK;
    VPI_TRY(vpi_key_uri_check(text, strlen(text), where, name, err));
    *out = vpi_strdup(text);
    return *out ? VP_OK : vpi_fail_nomem(err);
}

static vp_status array_field(const json_t *o, const char *name, size_t max, const json_t **out, vp_error *err)
{
    *out = json_object_get(o, name);
    if (!*out) return VP_OK;
    if (!json_is_array(*out)) return vpi_key_invalid(err, "%s.%s: not an array", ROOT, name);
    if (json_array_size(*out) <= max) return VP_OK;
    return vpi_key_invalid(err, "%s.%s: more than %zu", ROOT, name, max);
}

/* ---- drm ---- */

static vp_status pssh_field(const json_t *o, const char *where, vpi_drm *d, vp_error *err)
{
    vpi_buf box = { 0 };
    const char *text;
    vp_status st;

    VPI_TRY(text_field(o, where, "pssh", false, &text, err));
    if (!text) return VP_OK;
    if (vpi_base64_decode(text, strlen(text), &box)) return vpi_key_pssh_set(d, &box, where, err);
    st = vpi_buf_failed(&box) ? vpi_fail_nomem(err) : vpi_key_invalid(err, "%s.pssh: not base64", where);
    vpi_buf_dispose(&box);
    return st;
}

static vp_status read_drm(const json_t *o, const char *where, vpi_key_info *k, vp_error *err)
{
    static const char *const allowed[] = { "system", "pssh", "uri", "laurl", NULL };
    const char *system;
    uint8_t id[16];
    vpi_drm *d;

    VPI_TRY(fields(o, where, allowed, err));
    VPI_TRY(text_field(o, where, "system", true, &system, err));
    if (!vpi_key_system_parse(system, id)) {
        return vpi_key_invalid(err, "%s.system: neither a known name nor a UUID", where);
    }
    for (size_t i = 0; i < k->drm_count; i++) {
        if (memcmp(k->drm[i].system, id, sizeof(id)) == 0) {
            return vpi_key_invalid(err, "%s.system: given twice", where);
        }
    }
    d = vpi_key_info_add_drm(k);
    if (!d) return vpi_fail_nomem(err);
    memcpy(d->system, id, sizeof(id));
    VPI_TRY(pssh_field(o, where, d, err));
    VPI_TRY(uri_field(o, where, "uri", &d->uri, err));
    return uri_field(o, where, "laurl", &d->laurl, err);
}

static vp_status read_common(const json_t *root, vpi_key_info *common, vp_error *err)
{
    char where[WHERE_SIZE];
    const json_t *drm;

    VPI_TRY(uri_field(root, ROOT, "uri", &common->uri, err));
    VPI_TRY(array_field(root, "drm", VPI_KEY_DRM_MAX, &drm, err));
    for (size_t i = 0; i < json_array_size(drm); i++) {
        snprintf(where, sizeof(where), "drm[%zu]", i);
        VPI_TRY(read_drm(json_array_get(drm, i), where, common, err));
    }
    return VP_OK;
}

/* ---- keys ---- */

/* Periods of a label so far. */
typedef struct counter {
    char label[VPI_LABEL_SIZE];
    uint32_t periods;
} counter;
#define LABELS 6

static vp_status read_label(const json_t *o, const char *where, counter *counters, vpi_key *k, vp_error *err)
{
    const char *label;
    size_t i = 0;

    VPI_TRY(text_field(o, where, "label", true, &label, err));
    if (!vpi_label_valid(label)) {
        return vpi_key_invalid(err, "%s.label: not *, audio, sd, hd, uhd or trick", where);
    }
    while (counters[i].label[0] && strcmp(counters[i].label, label) != 0) i++;
    vpi_strlcpy(counters[i].label, label, sizeof(counters[i].label));
    if (counters[i].periods == VPI_KEY_PERIODS_MAX) {
        return vpi_key_invalid(err, "%s: more than %u keys of one label", where, VPI_KEY_PERIODS_MAX);
    }
    vpi_strlcpy(k->label, label, sizeof(k->label));
    k->period = counters[i].periods++;
    return VP_OK;
}

static vp_status read_key(const json_t *o, const char *where, const char *text, size_t size,
                          counter *counters, vpi_key_list *list, vp_error *err)
{
    static const char *const allowed[] = { "label", "kid", "key", "iv", NULL };
    const char *kid, *key, *iv;
    vpi_key *k;

    VPI_TRY(fields(o, where, allowed, err));
    k = vpi_key_list_add(list);
    if (!k) return vpi_fail_nomem(err);
    VPI_TRY(read_label(o, where, counters, k, err));
    VPI_TRY(text_field(o, where, "kid", false, &kid, err));
    VPI_TRY(text_field(o, where, "key", true, &key, err));
    VPI_TRY(text_field(o, where, "iv", false, &iv, err));
    if (kid && !vpi_uuid_parse(kid, k->info.kid)) {
        return vpi_key_invalid(err, "%s.kid: not 32 hex digits", where);
    }
    if (!find_key(key, text, size, k->key)) {
        return vpi_key_invalid(err, "%s.key: not 32 hex digits", where);
    }
    if (iv && !vpi_hex_parse(iv, k->info.iv, sizeof(k->info.iv))) {
        return vpi_key_invalid(err, "%s.iv: not 32 hex digits", where);
    }
    k->info.has_kid = kid != NULL;
    k->info.has_iv = iv != NULL;
    return VP_OK;
}

static vp_status read_head(const json_t *root, const char *const *allowed, vpi_key_list *out, vp_error *err)
{
    const json_t *version;

    VPI_TRY(fields(root, ROOT, allowed, err));
    version = json_object_get(root, "vodpipe");
    if (version && (!json_is_integer(version) || json_integer_value(version) != 1)) {
        return vpi_key_invalid(err, ROOT ".vodpipe: not 1");
    }
    return read_common(root, &out->common, err);
}

static vp_status read_whole(const json_t *root, const char *text, size_t size, vpi_key_list *out,
                            vp_error *err)
{
    static const char *const allowed[] = { "vodpipe", "keys", "uri", "drm", NULL };
    counter counters[LABELS] = { { "", 0 } };
    const json_t *keys;
    char where[WHERE_SIZE];

    VPI_TRY(read_head(root, allowed, out, err));
    VPI_TRY(array_field(root, "keys", LABELS * (size_t)VPI_KEY_PERIODS_MAX, &keys, err));
    for (size_t i = 0; i < json_array_size(keys); i++) {
        snprintf(where, sizeof(where), "keys[%zu]", i);
        VPI_TRY(read_key(json_array_get(keys, i), where, text, size, counters, out, err));
    }
    if (out->count == 0) return vpi_fail(err, VP_E_AUTH, "KEY_MISSING", ROOT ".keys: no key");
    return vpi_key_list_check(out, err);
}

static vp_status read_document(const char *text, size_t size, bool whole, vpi_key_list *out, vp_error *err)
{
    static const char *const allowed[] = { "vodpipe", "uri", "drm", NULL };
    json_t *root = NULL;
    vp_status st;

    *out = (vpi_key_list){ 0 };
    if (!text || size == 0) return vpi_key_invalid(err, ROOT ": empty");
    if (size > MAX_JSON) return vpi_key_invalid(err, ROOT ": larger than %zu bytes", MAX_JSON);
    VPI_TRY(parse(text, size, &root, err));
    st = whole ? read_whole(root, text, size, out, err) : read_head(root, allowed, out, err);
    json_decref(root);
    if (st != VP_OK) vpi_key_list_dispose(out);
    return st;
}

vp_status vpi_key_file_parse(const void *json, size_t size, vpi_key_list *out, vp_error *err)
{
    return read_document(json, size, true, out, err);
}

vp_status vpi_key_common_parse(const void *json, size_t size, vpi_key_list *out, vp_error *err)
{
    return read_document(json, size, false, out, err);
}
