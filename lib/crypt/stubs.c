/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This folder where encryption is built out: every symbol stays and answers FEATURE_DISABLED. */

#include <vodpipe/crypt.h>

#include "base/error.h"

static vp_status disabled(vp_error *err)
{
    vpi_error_reset(err);
    return vpi_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED",
                    "this library was built without encryption support");
}

vp_keys *vp_keys_ref(vp_keys *keys)
{
    return keys;
}

vp_keys *vp_keys_unref(vp_keys *keys)
{
    (void)keys;
    return NULL;
}

vp_status vp_key_reply_set(vp_key_reply *reply, const uint8_t kid[16], const uint8_t key[16],
                           const uint8_t iv[16], vp_error *err)
{
    (void)reply, (void)kid, (void)key, (void)iv;
    return disabled(err);
}

vp_status vp_key_reply_uri(vp_key_reply *reply, const char *uri, vp_error *err)
{
    (void)reply, (void)uri;
    return disabled(err);
}

vp_status vp_key_reply_drm(vp_key_reply *reply, const uint8_t system[16], const void *pssh,
                           uint32_t pssh_size, const char *uri, const char *laurl, vp_error *err)
{
    (void)reply, (void)system, (void)pssh, (void)pssh_size, (void)uri, (void)laurl;
    return disabled(err);
}

vp_status vp_keys_new(vp_key_fn get, void (*release)(void *user), void *user, vp_keys **out, vp_error *err)
{
    (void)get, (void)release, (void)user;
    if (out) *out = NULL;
    return disabled(err);
}

vp_status vp_keys_parse(const void *json, uint64_t size, vp_keys **out, vp_error *err)
{
    (void)json, (void)size;
    if (out) *out = NULL;
    return disabled(err);
}

vp_status vp_keys_cpix(const void *xml, uint64_t size, const void *private_key, uint64_t private_key_size,
                       const char *passphrase, vp_keys **out, vp_error *err)
{
    (void)xml, (void)size, (void)private_key, (void)private_key_size, (void)passphrase;
    if (out) *out = NULL;
    return disabled(err);
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

vp_status vp_keys_random(const vp_key_vault *vault, vp_keys **out, vp_error *err)
{
    (void)vault;
    if (out) *out = NULL;
    return disabled(err);
}

void vp_speke_options_init(vp_speke_options *options, size_t size)
{
    static const vp_speke_options init = VP_SPEKE_OPTIONS_INIT;

    vpi_struct_init(options, size, &init, sizeof(init));
}

vp_status vp_keys_speke(vp_context *context, const vp_speke_options *options, vp_keys **out, vp_error *err)
{
    (void)context, (void)options;
    if (out) *out = NULL;
    return disabled(err);
}

vp_status vp_keys_ask(vp_keys *keys, const vp_key_request *request, vp_key_reply *reply, uint8_t kid[16],
                      uint8_t key[16], vp_error *err)
{
    (void)keys, (void)request, (void)reply, (void)kid, (void)key;
    return disabled(err);
}

vp_status vp_drm_system(const char *name, uint8_t system[16], vp_error *err)
{
    (void)name, (void)system;
    return disabled(err);
}

vp_status vp_pssh_build(const uint8_t system[16], uint32_t scheme, const uint8_t *kids, uint32_t count,
                        const char *laurl, vp_bytes **out, vp_error *err)
{
    (void)system, (void)scheme, (void)kids, (void)count, (void)laurl;
    if (out) *out = NULL;
    return disabled(err);
}

vp_status vp_pssh_parse(const void *box, uint64_t size, uint8_t system[16], vp_bytes **kids, vp_error *err)
{
    (void)box, (void)size, (void)system;
    if (kids) *kids = NULL;
    return disabled(err);
}

void vp_cenc_options_init(vp_cenc_options *options, size_t size)
{
    static const vp_cenc_options init = VP_CENC_OPTIONS_INIT;

    vpi_struct_init(options, size, &init, sizeof(init));
}

vp_status vp_cenc_new(vp_keys *keys, const void *init, uint64_t init_size, const vp_cenc_options *options,
                      vp_cenc **out, vp_error *err)
{
    (void)keys, (void)init, (void)init_size, (void)options;
    if (out) *out = NULL;
    return disabled(err);
}

vp_cenc *vp_cenc_ref(vp_cenc *cenc)
{
    return cenc;
}

vp_cenc *vp_cenc_unref(vp_cenc *cenc)
{
    (void)cenc;
    return NULL;
}

vp_status vp_cenc_init(const vp_cenc *cenc, vp_bytes **out, vp_error *err)
{
    (void)cenc;
    if (out) *out = NULL;
    return disabled(err);
}

vp_status vp_cenc_segment(const vp_cenc *cenc, uint64_t number, const void *data, uint64_t size,
                          vp_bytes **out, vp_error *err)
{
    (void)cenc, (void)number, (void)data, (void)size;
    if (out) *out = NULL;
    return disabled(err);
}

vp_status vp_cenc_protection_json(const vp_cenc *cenc, vp_bytes **out, vp_error *err)
{
    (void)cenc;
    if (out) *out = NULL;
    return disabled(err);
}

vp_status vp_cenc_seed(const vp_cenc *cenc, uint8_t seed[16], vp_error *err)
{
    (void)cenc, (void)seed;
    return disabled(err);
}
