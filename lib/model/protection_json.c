/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The JSON form of a protection: what presentation.json and the plan tell of it, never a key. */
#include <stdio.h>

#include "model/json.h"
#include "model/protection.h"

#define WHERE_SIZE 96
#define UUID_BYTES ((size_t)16)
#define CHECK_BYTES ((size_t)8)
#define PSSH_MAX ((size_t)64 << 10)
#define URI_MAX ((size_t)2048)

static vp_status refuse(vp_error *err, const char *where, const char *name, const char *what)
{
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s.%s: %s", where, name, what);
}

/* ---- writing ---- */

static bool set_hex(json_t *o, const char *name, const uint8_t *data, size_t size)
{
    char text[2 * UUID_BYTES + 1];

    vpi_hex_text(data, size, text);
    return vpi_json_set_str(o, name, text);
}

static bool set_base64(json_t *o, const char *name, const void *data, size_t size)
{
    vpi_buf b = { 0 };
    char *text;
    bool ok;

    vpi_base64_add(&b, data, size);
    text = vpi_buf_steal_string(&b);
    ok = text && vpi_json_set_str(o, name, text);
    vpi_free(text);
    return ok;
}

static json_t *drm_json(const vpi_drm *d)
{
    const char *word = vpi_system_word(d->system);
    char uuid[VPI_UUID_TEXT];
    json_t *o = json_object();
    bool ok = o != NULL;

    vpi_uuid_text(d->system, uuid);
    ok = ok && vpi_json_set_str(o, "system", word ? word : uuid);
    ok = ok && (!d->pssh || set_base64(o, "pssh", d->pssh, d->pssh_size));
    ok = ok && (!d->uri || vpi_json_set_str(o, "uri", d->uri));
    ok = ok && (!d->laurl || vpi_json_set_str(o, "laurl", d->laurl));
    if (ok) return o;
    json_decref(o);
    return NULL;
}

static bool add_drm(json_t *key, const vpi_key_info *k)
{
    json_t *array;

    if (k->drm_count == 0) return true;
    array = json_array();
    if (json_object_set_new(key, "drm", array) != 0) return false;
    for (size_t i = 0; i < k->drm_count; i++) {
        if (json_array_append_new(array, drm_json(&k->drm[i])) != 0) return false;
    }
    return true;
}

static json_t *key_json(const vpi_key_info *k, bool check)
{
    json_t *o = json_object();
    bool ok = o != NULL;

    ok = ok && (!k->has_kid || set_hex(o, "kid", k->kid, sizeof(k->kid)));
    ok = ok && (!k->has_iv || set_hex(o, "iv", k->iv, sizeof(k->iv)));
    ok = ok && (!k->uri || vpi_json_set_str(o, "uri", k->uri));
    ok = ok && (!check || set_hex(o, "check", k->check, sizeof(k->check)));
    if (ok && add_drm(o, k)) return o;
    json_decref(o);
    return NULL;
}

static bool fill(json_t *o, const vpi_protection *p, bool check)
{
    json_t *keys = json_array();
    bool ok =
        vpi_json_set_str(o, "scheme", vpi_scheme_word(p->scheme)) && vpi_json_set_str(o, "label", p->label);

    ok = ok && (p->clear_segments == 0 || vpi_json_set_u64(o, "clear_segments", p->clear_segments));
    ok = ok && (p->rotation == 0 || vpi_json_set_u64(o, "rotation", p->rotation));
    if (!ok) {
        json_decref(keys);
        return false;
    }
    if (json_object_set_new(o, "keys", keys) != 0) return false;
    for (size_t i = 0; i < p->key_count; i++) {
        if (json_array_append_new(keys, key_json(&p->keys[i], check)) != 0) return false;
    }
    return true;
}

struct json_t *vpi_protection_to_json(const vpi_protection *p, bool check)
{
    json_t *o;

    if (p->scheme == VPI_SCHEME_NONE) return json_null();
    o = json_object();
    if (o && fill(o, p, check)) return o;
    json_decref(o);
    return NULL;
}

/* ---- reading ---- */

/* Hex digits of a fixed number of bytes; *has says whether the field was there. */
static vp_status read_hex(const json_t *o, const char *where, const char *name, bool required, uint8_t *to,
                          size_t size, bool *has, vp_error *err)
{
    char *text = NULL;
    bool ok;

    VPI_TRY(vpi_json_str(o, where, name, required, &text, err));
    *has = text != NULL;
    if (!text) return VP_OK;
    ok = vpi_hex_parse(text, to, size);
    vpi_free(text);
    if (ok) return VP_OK;
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s.%s: not %zu hex digits", where, name, 2 * size);
}

/* What is written between quotes into playlists (RFC 8216 4.2). */
static vp_status read_uri(const json_t *o, const char *where, const char *name, char **out, vp_error *err)
{
    size_t i;

    VPI_TRY(vpi_json_str(o, where, name, false, out, err));
    if (!*out) return VP_OK;
    for (i = 0; (*out)[i]; i++) {
        char c = (*out)[i];

        if (c <= 0x20 || c >= 0x7F || c == '"') return refuse(err, where, name, "not an address");
    }
    return i > 0 && i <= URI_MAX ? VP_OK : refuse(err, where, name, "empty or too long");
}

static vp_status read_pssh(const json_t *o, const char *where, vpi_drm *d, vp_error *err)
{
    char *text = NULL;
    vpi_buf b = { 0 };
    bool ok;

    VPI_TRY(vpi_json_str(o, where, "pssh", false, &text, err));
    if (!text) return VP_OK;
    ok = vpi_base64_decode(text, strlen(text), &b) && b.size > 0 && b.size <= PSSH_MAX;
    vpi_free(text);
    if (ok) {
        d->pssh = b.data;
        d->pssh_size = b.size;
        return VP_OK;
    }
    ok = vpi_buf_failed(&b);
    vpi_buf_dispose(&b);
    return ok ? vpi_fail_nomem(err) : refuse(err, where, "pssh", "not base64 of at most 65536 bytes");
}

static vp_status read_drm(const json_t *o, const char *where, vpi_drm *d, vp_error *err)
{
    static const char *const fields[] = { "system", "pssh", "uri", "laurl", NULL };
    char *system = NULL;
    bool ok;

    VPI_TRY(vpi_json_fields(o, where, fields, err));
    VPI_TRY(vpi_json_str(o, where, "system", true, &system, err));
    ok = vpi_system_from_word(system, d->system) || vpi_uuid_parse(system, d->system);
    vpi_free(system);
    if (!ok) return refuse(err, where, "system", "neither a name nor a uuid");
    VPI_TRY(read_pssh(o, where, d, err));
    VPI_TRY(read_uri(o, where, "uri", &d->uri, err));
    return read_uri(o, where, "laurl", &d->laurl, err);
}

static vp_status read_drms(const json_t *o, const char *where, vpi_key_info *k, vp_error *err)
{
    char at[WHERE_SIZE * 2];
    const json_t *array;

    VPI_TRY(vpi_json_array(o, where, "drm", false, &array, err));
    if (!array) return VP_OK;
    if (json_array_size(array) > VPI_KEY_DRM_MAX) return refuse(err, where, "drm", "too many");
    for (size_t i = 0; i < json_array_size(array); i++) {
        vpi_drm *d = vpi_key_info_add_drm(k);

        if (!d) return vpi_fail_nomem(err);
        snprintf(at, sizeof(at), "%s.drm[%zu]", where, i);
        VPI_TRY(read_drm(json_array_get(array, i), at, d, err));
    }
    return VP_OK;
}

static vp_status read_key(const json_t *o, const char *where, bool check, vpi_scheme scheme, vpi_key_info *k,
                          vp_error *err)
{
    static const char *const fields[] = { "kid", "iv", "uri", "drm", NULL };
    static const char *const fields_check[] = { "kid", "iv", "uri", "drm", "check", NULL };
    bool by_kid = scheme == VPI_SCHEME_CENC || scheme == VPI_SCHEME_CBCS, has;

    VPI_TRY(vpi_json_fields(o, where, check ? fields_check : fields, err));
    VPI_TRY(read_hex(o, where, "kid", by_kid, k->kid, UUID_BYTES, &k->has_kid, err));
    VPI_TRY(read_hex(o, where, "iv", false, k->iv, UUID_BYTES, &k->has_iv, err));
    if (check) VPI_TRY(read_hex(o, where, "check", true, k->check, CHECK_BYTES, &has, err));
    VPI_TRY(read_uri(o, where, "uri", &k->uri, err));
    return read_drms(o, where, k, err);
}

static vp_status read_keys(const json_t *o, const char *where, bool check, vpi_protection *p, vp_error *err)
{
    char at[WHERE_SIZE];
    const json_t *keys;

    VPI_TRY(vpi_json_array(o, where, "keys", true, &keys, err));
    if (json_array_size(keys) == 0) return refuse(err, where, "keys", "empty");
    if (json_array_size(keys) > VPI_KEY_PERIODS_MAX) return refuse(err, where, "keys", "too many");
    for (size_t i = 0; i < json_array_size(keys); i++) {
        vpi_key_info *k = vpi_protection_add_key(p);

        if (!k) return vpi_fail_nomem(err);
        snprintf(at, sizeof(at), "%s.keys[%zu]", where, i);
        VPI_TRY(read_key(json_array_get(keys, i), at, check, p->scheme, k, err));
    }
    return VP_OK;
}

static vp_status read_words(const json_t *o, const char *where, vpi_protection *p, vp_error *err)
{
    static const char *const labels[] = { "audio", "sd", "hd", "uhd", "trick" };
    char *text = NULL;
    size_t i = 0;
    bool ok;

    VPI_TRY(vpi_json_str(o, where, "scheme", true, &text, err));
    ok = vpi_scheme_from_word(text, &p->scheme) && p->scheme != VPI_SCHEME_NONE;
    vpi_free(text);
    text = NULL;
    if (!ok) return refuse(err, where, "scheme", "not aes128, cenc or cbcs");
    VPI_TRY(vpi_json_str(o, where, "label", true, &text, err));
    while (i < VPI_COUNT(labels) && strcmp(text, labels[i]) != 0) i++;
    vpi_free(text);
    if (i == VPI_COUNT(labels)) return refuse(err, where, "label", "not audio, sd, hd, uhd or trick");
    vpi_strlcpy(p->label, labels[i], sizeof(p->label));
    return VP_OK;
}

static vp_status read_protection(const json_t *o, const char *where, bool check, vpi_protection *p,
                                 vp_error *err)
{
    static const char *const fields[] = { "scheme", "label", "clear_segments", "rotation", "keys", NULL };

    VPI_TRY(vpi_json_fields(o, where, fields, err));
    VPI_TRY(read_words(o, where, p, err));
    VPI_TRY(vpi_json_u64(o, where, "clear_segments", false, UINT32_MAX, &p->clear_segments, err));
    VPI_TRY(vpi_json_u64(o, where, "rotation", false, UINT32_MAX, &p->rotation, err));
    return read_keys(o, where, check, p, err);
}

vp_status vpi_protection_from_json(const struct json_t *json, const char *where, bool check,
                                   vpi_protection *p, vp_error *err)
{
    vp_status st;

    *p = (vpi_protection){ 0 };
    if (!json || json_is_null(json)) return VP_OK;
    st = read_protection(json, where, check, p, err);
    if (st != VP_OK) vpi_protection_dispose(p);
    return st;
}
