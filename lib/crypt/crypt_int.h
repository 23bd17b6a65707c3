/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_CRYPT_INT_H
#define VPI_CRYPT_INT_H

/* Private to lib/crypt: keys as providers give them. */

#include <vodpipe/crypt.h>

#include "base/buf.h"
#include "base/common.h"
#include "base/error.h"
#include "bitstream/bitstream.h"
#include "crypt/crypt.h"
#include "model/protection.h"

/* One key with its secret. */
typedef struct vpi_key {
    char label[VPI_LABEL_SIZE]; /* "*", "audio", "sd", "hd", "uhd", "trick" */
    uint32_t period;
    uint8_t key[16];
    vpi_key_info info; /* keys of a file have their own uri and drm only where a provider gives them */
} vpi_key;

/* What a key document, or one answer of a provider, holds. */
typedef struct vpi_key_list {
    vpi_key *keys;
    size_t count, cap;
    vpi_key_info common; /* uri and drm of every key that has none of its own */
} vpi_key_list;

vpi_key *vpi_key_list_add(vpi_key_list *list); /* zeroed; NULL on no memory */
void vpi_key_list_dispose(vpi_key_list *list); /* keys are zeroised */
bool vpi_label_valid(const char *label);       /* one of the five, or "*" */

/* AUTH KEY_INVALID with what is wrong; never with a key in the text. */
vp_status vpi_key_invalid(vp_error *err, const char *format, ...) VPI_PRINTF(2, 3);

/* ---- key_file.c: FORMATS "keys FILE" ---- */
vp_status vpi_key_file_parse(const void *json, size_t size, vpi_key_list *out, vp_error *err);
/* The same document without "keys": only what is common to all. */
vp_status vpi_key_common_parse(const void *json, size_t size, vpi_key_list *out, vp_error *err);

/* ---- keys.c ---- */
/*
 * The provider's key for a request, complete: uri and drm with their placeholders filled, a pssh made where a system
 * needs one, checked against the scheme. *out is zeroed before; vpi_key_dispose it.
 */
vp_status vpi_keys_get(vp_keys *keys, const vp_key_request *request, vpi_key *out, vp_error *err);
void vpi_key_dispose(vpi_key *key); /* zeroises */
/* As vp_keys_new, for providers of ours: their failures are not marked FROM_HOST. */
vp_status vpi_keys_new_internal(vp_key_fn get, void (*release)(void *user), void *user, vp_keys **out,
                                vp_error *err);

/* ---- sample.c: ISO/IEC 23001-7 ---- */

typedef struct evp_cipher_ctx_st vpi_cipher;
/* AES-128-CTR or -CBC without padding under key; the IV is set for each use. */
vp_status vpi_cipher_new(bool ctr, const uint8_t key[16], vpi_cipher **out, vp_error *err);
void vpi_cipher_free(vpi_cipher *cipher); /* accepts NULL */

typedef struct vpi_sampler { /* of one track; zeroed: nothing to free */
    vpi_scheme scheme;
    vpi_kind kind;
    vpi_codec codec;
    struct vpi_slicer *slicer; /* video */
    vpi_range *ranges;
    size_t range_count, range_cap;
    vpi_buf blocks; /* gathered from the pattern */
} vpi_sampler;
/* UNSUPPORTED CODEC_UNSUPPORTED for codecs that have no rule. */
vp_status vpi_sampler_open(vpi_sampler *s, vpi_scheme scheme, vpi_kind kind, vpi_codec codec,
                           const void *config, size_t config_size, vp_error *err);
void vpi_sampler_close(vpi_sampler *s);
/* iv: 8 bytes of cenc, 16 of cbcs. data may be `to`. */
vp_status vpi_sampler_sample(vpi_sampler *s, vpi_cipher *cipher, const uint8_t *iv, const uint8_t *data,
                             size_t size, uint8_t *to, vpi_protect_out *out, vp_error *err);

/* ---- segment.c ---- */
vp_status vpi_segment_cipher(const uint8_t key[16], const uint8_t iv[16], struct vpi_object_cipher *out,
                             vp_error *err);

/* ---- cpix.c: DASH-IF CPIX 2.3 ---- */
/*
 * private_key: PEM or DER (PKCS#8, PKCS#1) of the recipient of encrypted keys; NULL where keys are clear. passphrase of
 * it, or NULL.
 */
vp_status vpi_cpix_parse(const void *xml, size_t size, const void *private_key, size_t private_key_size,
                         const char *passphrase, vpi_key_list *out, vp_error *err);

#endif
