/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where keys come from: documents, callbacks of the host, random ones in the host's vault. */

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <stdio.h>

#include "base/build.h"
#include "crypt_int.h"
#include "key_int.h"

struct vp_keys {
    vpi_keys_head head;
    _Atomic uint32_t refs;
    vpi_key_list list; /* of a document; of a vault its common part */
    vp_key_fn get;     /* of the host; NULL: the list */
    bool own;          /* get is ours: what it says of a failure is no failure of the host */
    void (*release)(void *user);
    void *user;
    vp_key_vault vault; /* load NULL: none */
};

struct vp_key_reply {
    vpi_key *key;
    bool set;
};

int vpi_crypt_feature(void)
{
    return 1;
}

void vp_key_request_init(vp_key_request *request, size_t size)
{
    static const vp_key_request init = VP_KEY_REQUEST_INIT;

    vpi_struct_init(request, size, &init, sizeof(init));
}

void vp_key_vault_init(vp_key_vault *vault, size_t size)
{
    static const vp_key_vault init = VP_KEY_VAULT_INIT;

    vpi_struct_init(vault, size, &init, sizeof(init));
}

/* ---- handle ---- */

static vp_keys *keys_new(void)
{
    vp_keys *keys = vpi_calloc(1, sizeof(*keys));

    if (!keys) return NULL;
    keys->head.ops = &vpi_keyring_ops;
    keys->refs = 1;
    return keys;
}

vp_keys *vp_keys_ref(vp_keys *keys)
{
    if (keys) keys->refs++;
    return keys;
}

vp_keys *vp_keys_unref(vp_keys *keys)
{
    if (!keys || --keys->refs) return NULL;
    vpi_key_list_dispose(&keys->list);
    if (keys->release) keys->release(keys->user);
    OPENSSL_cleanse(keys, sizeof(*keys));
    vpi_free(keys);
    return NULL;
}

vp_status vp_keys_new(vp_key_fn get, void (*release)(void *user), void *user, vp_keys **out, vp_error *err)
{
    vp_keys *keys;

    vpi_error_reset(err);
    if (out) *out = NULL;
    if (!get || !out) return vpi_fail(err, VP_E_ARG, NULL, "no callback, or nowhere to put the handle");
    keys = keys_new();
    if (!keys) return vpi_fail_nomem(err);
    keys->get = get;
    keys->release = release;
    keys->user = user;
    *out = keys;
    return VP_OK;
}

vp_status vpi_keys_new_internal(vp_key_fn get, void (*release)(void *user), void *user, vp_keys **out,
                                vp_error *err)
{
    VPI_TRY(vp_keys_new(get, release, user, out, err));
    (*out)->own = true;
    return VP_OK;
}

vp_status vp_keys_parse(const void *json, uint64_t size, vp_keys **out, vp_error *err)
{
    vp_keys *keys;
    vp_status st;

    vpi_error_reset(err);
    if (out) *out = NULL;
    if (!json || !out || size > SIZE_MAX)
        return vpi_fail(err, VP_E_ARG, NULL, "no document, or nowhere to put the keys");
    keys = keys_new();
    if (!keys) return vpi_fail_nomem(err);
    st = vpi_key_file_parse(json, (size_t)size, &keys->list, err);
    if (st < 0) {
        vp_keys_unref(keys);
        return st;
    }
    *out = keys;
    return VP_OK;
}

vp_status vp_keys_cpix(const void *xml, uint64_t size, const void *private_key, uint64_t private_key_size,
                       const char *passphrase, vp_keys **out, vp_error *err)
{
    vp_keys *keys;
    vp_status st;

    vpi_error_reset(err);
    if (out) *out = NULL;
    if (!xml || !out || size > SIZE_MAX || private_key_size > SIZE_MAX)
        return vpi_fail(err, VP_E_ARG, NULL, "no document, or nowhere to put the keys");
    keys = keys_new();
    if (!keys) return vpi_fail_nomem(err);
    st = vpi_cpix_parse(xml, (size_t)size, private_key, private_key ? (size_t)private_key_size : 0,
                        passphrase, &keys->list, err);
    if (st < 0) {
        vp_keys_unref(keys);
        return st;
    }
    *out = keys;
    return VP_OK;
}

vp_status vp_keys_random(const vp_key_vault *vault, vp_keys **out, vp_error *err)
{
    vp_keys *keys;
    vp_status st;

    vpi_error_reset(err);
    if (out) *out = NULL;
    if (!vault || !out) return vpi_fail(err, VP_E_ARG, NULL, "no vault, or nowhere to put the handle");
    keys = keys_new();
    if (!keys) return vpi_fail_nomem(err);
    vp_key_vault_init(&keys->vault, sizeof(keys->vault));
    st = vpi_copy_struct(&keys->vault, sizeof(keys->vault), vault, err);
    if (st >= 0 && (!keys->vault.load || !keys->vault.store))
        st = vpi_fail(err, VP_E_ARG, NULL, "a vault needs load and store");
    if (st >= 0 && keys->vault.document)
        st = vpi_key_common_parse(keys->vault.document, strlen(keys->vault.document), &keys->list, err);
    keys->vault.document = NULL;
    if (st < 0) {
        keys->vault.load = NULL;
        vp_keys_unref(keys);
        return st;
    }
    keys->release = keys->vault.release;
    keys->user = keys->vault.user;
    *out = keys;
    return VP_OK;
}

/* ---- replies ---- */

static vp_status check_uri(const char *uri, const char *where, const char *name, vp_error *err)
{
    return uri ? vpi_key_uri_check(uri, strlen(uri), where, name, err) : VP_OK;
}

static vp_status set_text(char **to, const char *from, vp_error *err)
{
    char *copy = vpi_strdup(from);

    if (from && !copy) return vpi_fail_nomem(err);
    vpi_free(*to);
    *to = copy;
    return VP_OK;
}

vp_status vp_key_reply_set(vp_key_reply *reply, const uint8_t kid[16], const uint8_t key[16],
                           const uint8_t iv[16], vp_error *err)
{
    vpi_key *k;

    vpi_error_reset(err);
    if (!reply || !key) return vpi_fail(err, VP_E_ARG, NULL, "no reply or no key");
    k = reply->key;
    memcpy(k->key, key, sizeof(k->key));
    k->info.has_kid = kid != NULL;
    k->info.has_iv = iv != NULL;
    if (kid) memcpy(k->info.kid, kid, sizeof(k->info.kid));
    if (iv) memcpy(k->info.iv, iv, sizeof(k->info.iv));
    reply->set = true;
    return VP_OK;
}

vp_status vp_key_reply_uri(vp_key_reply *reply, const char *uri, vp_error *err)
{
    vpi_error_reset(err);
    if (!reply || !uri) return vpi_fail(err, VP_E_ARG, NULL, "no reply or no uri");
    VPI_TRY(check_uri(uri, "reply", "uri", err));
    return set_text(&reply->key->info.uri, uri, err);
}

vp_status vp_key_reply_drm(vp_key_reply *reply, const uint8_t system[16], const void *pssh,
                           uint32_t pssh_size, const char *uri, const char *laurl, vp_error *err)
{
    vpi_drm *drm;
    vpi_pssh box;

    vpi_error_reset(err);
    if (!reply || !system) return vpi_fail(err, VP_E_ARG, NULL, "no reply or no system");
    VPI_TRY(check_uri(uri, "drm", "uri", err));
    VPI_TRY(check_uri(laurl, "drm", "laurl", err));
    if (pssh && (vpi_pssh_parse(pssh, pssh_size, &box, NULL) < 0 || box.size != pssh_size ||
                 memcmp(box.system, system, 16) != 0))
        return vpi_key_invalid(err, "drm: the pssh is not a whole box of this system");
    if (reply->key->info.drm_count >= VPI_KEY_DRM_MAX)
        return vpi_key_invalid(err, "drm: more than %u systems", VPI_KEY_DRM_MAX);
    drm = vpi_key_info_add_drm(&reply->key->info);
    if (!drm) return vpi_fail_nomem(err);
    memcpy(drm->system, system, 16);
    if (pssh) {
        drm->pssh = vpi_alloc(pssh_size);
        if (!drm->pssh) return vpi_fail_nomem(err);
        memcpy(drm->pssh, pssh, pssh_size);
        drm->pssh_size = pssh_size;
    }
    VPI_TRY(set_text(&drm->uri, uri, err));
    return set_text(&drm->laurl, laurl, err);
}

/* ---- asking ---- */

static bool has_label(const vpi_key_list *list, const char *label)
{
    for (size_t i = 0; i < list->count; i++)
        if (vpi_streq(list->keys[i].label, label)) return true;
    return false;
}

/* A label that has keys of its own never falls back to "*": that would be a key which nobody meant for it. */
static vp_status from_list(const vpi_key_list *list, const vp_key_request *r, vpi_key *out, vp_error *err)
{
    const char *label = has_label(list, r->label) ? r->label : "*";

    for (size_t i = 0; i < list->count; i++) {
        const vpi_key *k = &list->keys[i];

        if (k->period != r->period || !vpi_streq(k->label, label)) continue;
        memcpy(out->key, k->key, sizeof(out->key));
        return vpi_key_info_copy(&out->info, &k->info, err);
    }
    return vpi_fail(err, VP_E_AUTH, "KEY_MISSING", "no key for label %s, period %u", r->label,
                    (unsigned)r->period);
}

static vp_status from_host(const vp_keys *keys, const vp_key_request *r, vpi_key *out, vp_error *err)
{
    vp_key_reply reply = { .key = out };
    vp_status st = keys->get(keys->user, r, &reply, err);

    if (st < 0) return keys->own ? st : vpi_fail_host(err, st, "key callback");
    if (!reply.set)
        return vpi_fail(err, VP_E_AUTH, "KEY_MISSING", "the host gave no key for label %s, period %u",
                        r->label, (unsigned)r->period);
    return VP_OK;
}

static vp_status from_vault(const vp_keys *keys, const vp_key_request *r, vpi_key *out, vp_error *err)
{
    const vp_key_vault *v = &keys->vault;
    uint8_t pair[32];
    vp_status st = v->load(v->user, r, pair, err);

    if (st == VP_END) {
        if (RAND_bytes(pair, 16) != 1 || RAND_priv_bytes(pair + 16, 16) != 1)
            return vpi_fail(err, VP_E_INTERNAL, NULL, "no random numbers");
        pair[6] = (uint8_t)((pair[6] & 0x0f) | 0x40); /* a KID is a UUID, this one of version 4 */
        pair[8] = (uint8_t)((pair[8] & 0x3f) | 0x80);
        st = v->store(v->user, r, pair, err);
        if (st == VP_END) {
            st = v->load(v->user, r, pair, err);
            if (st == VP_END) st = vpi_fail(err, VP_E_HOST, NULL, "the vault stores nothing");
        }
    }
    if (st >= 0) {
        out->info.has_kid = true;
        memcpy(out->info.kid, pair, 16);
        memcpy(out->key, pair + 16, 16);
    }
    OPENSSL_cleanse(pair, sizeof(pair));
    return st < 0 ? vpi_fail_host(err, st, "key vault") : VP_OK;
}

/* ---- what is told with a key ---- */

/* {kid}: 32 hex digits; {n}: the period. */
static vp_status fill_uri(char **uri, const vpi_key_info *k, uint32_t period, vp_error *err)
{
    vpi_buf b = { 0 };
    char kid[33];

    if (!*uri || !strchr(*uri, '{')) return VP_OK;
    vpi_hex_text(k->kid, 16, kid);
    for (const char *p = *uri; *p; p++) {
        if (strncmp(p, "{kid}", 5) == 0 && k->has_kid) {
            vpi_buf_str(&b, kid);
            p += 4;
        } else if (strncmp(p, "{n}", 3) == 0) {
            vpi_buf_printf(&b, "%u", (unsigned)period);
            p += 2;
        } else {
            vpi_buf_u8(&b, (uint8_t)*p);
        }
    }
    vpi_free(*uri);
    *uri = vpi_buf_steal_string(&b);
    return *uri ? VP_OK : vpi_fail_nomem(err);
}

/* What is made of the KID where the provider gave no box: all systems but FairPlay, which goes by its uri. */
static vp_status fill_pssh(vpi_drm *drm, vpi_scheme scheme, const vpi_key_info *k, vp_error *err)
{
    vpi_buf b = { 0 };
    vp_status st;

    if (drm->pssh || !vpi_system_word(drm->system) || !memcmp(drm->system, vpi_system_fairplay, 16))
        return VP_OK;
    st = vpi_pssh_make(drm->system, scheme, k->kid, 1, drm->laurl, &b, err);
    if (st < 0) {
        vpi_buf_dispose(&b);
        return st;
    }
    if (vpi_buf_failed(&b)) return vpi_fail_nomem(err);
    drm->pssh = b.data;
    drm->pssh_size = b.size;
    return VP_OK;
}

static vp_status take_common(vpi_key_info *k, const vpi_key_info *common, vp_error *err)
{
    if (!k->uri) VPI_TRY(set_text(&k->uri, common->uri, err));
    if (k->drm_count) return VP_OK;
    for (size_t i = 0; i < common->drm_count; i++) {
        vpi_drm *to = vpi_key_info_add_drm(k);

        if (!to) return vpi_fail_nomem(err);
        VPI_TRY(vpi_drm_copy(to, &common->drm[i], err));
    }
    return VP_OK;
}

static vp_status check(const vpi_key *key, vpi_scheme scheme, vp_error *err)
{
    const vpi_key_info *k = &key->info;

    if (scheme == VPI_SCHEME_AES128)
        return k->uri ? VP_OK : vpi_key_invalid(err, "uri: aes128 needs one, players fetch the key there");
    if (!k->has_kid) return vpi_key_invalid(err, "kid: %s needs one", vpi_scheme_word(scheme));
    if (scheme == VPI_SCHEME_CENC && k->has_iv)
        return vpi_key_invalid(err, "iv: cenc has one for each sample, made from the plan");
    return VP_OK;
}

static vp_status complete(const vp_keys *keys, const vp_key_request *r, vpi_key *out, vp_error *err)
{
    vpi_key_info *k = &out->info;
    vpi_scheme scheme = (vpi_scheme)r->scheme;

    vpi_strlcpy(out->label, r->label, sizeof(out->label));
    out->period = r->period;
    VPI_TRY(take_common(k, &keys->list.common, err));
    VPI_TRY(fill_uri(&k->uri, k, r->period, err));
    VPI_TRY(check(out, scheme, err));
    if (scheme == VPI_SCHEME_AES128) return VP_OK;
    for (size_t i = 0; i < k->drm_count; i++) {
        VPI_TRY(fill_uri(&k->drm[i].uri, k, r->period, err));
        VPI_TRY(fill_uri(&k->drm[i].laurl, k, r->period, err));
        VPI_TRY(fill_pssh(&k->drm[i], scheme, k, err));
    }
    return VP_OK;
}

vp_status vpi_keys_get(vp_keys *keys, const vp_key_request *request, vpi_key *out, vp_error *err)
{
    vp_status st;

    memset(out, 0, sizeof(*out));
    st = keys->get          ? from_host(keys, request, out, err)
         : keys->vault.load ? from_vault(keys, request, out, err)
                            : from_list(&keys->list, request, out, err);
    if (st >= 0) st = complete(keys, request, out, err);
    if (st < 0) vpi_key_dispose(out);
    return st < 0 ? st : VP_OK;
}

void vpi_key_dispose(vpi_key *key)
{
    vpi_key_info_dispose(&key->info);
    OPENSSL_cleanse(key, sizeof(*key));
}

vp_status vp_keys_ask(vp_keys *keys, const vp_key_request *request, vp_key_reply *reply, uint8_t kid[16],
                      uint8_t key[16], vp_error *err)
{
    vp_key_request r = VP_KEY_REQUEST_INIT;
    vpi_key found;

    vpi_error_reset(err);
    if (!keys || !request) return vpi_fail(err, VP_E_ARG, NULL, "no keys or no request");
    VPI_TRY(vpi_copy_struct(&r, sizeof(r), request, err));
    if (!r.title) r.title = "";
    if (!r.label || !vpi_label_valid(r.label) || r.scheme < VP_ENCRYPT_AES128 || r.scheme > VP_ENCRYPT_CBCS)
        return vpi_fail(err, VP_E_ARG, NULL, "label or scheme is not one of those that there are");
    VPI_TRY(vpi_keys_get(keys, &r, &found, err));
    if (kid) memcpy(kid, found.info.kid, 16);
    if (key) memcpy(key, found.key, 16);
    if (reply) {
        vpi_key_dispose(reply->key);
        *reply->key = found;
        reply->set = true;
        OPENSSL_cleanse(&found, sizeof(found));
        return VP_OK;
    }
    vpi_key_dispose(&found);
    return VP_OK;
}
