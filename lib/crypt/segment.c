/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whole objects (RFC 8216 4.3.2.4): AES-128-CBC, PKCS#7, always at least one byte of padding. */

#include <openssl/evp.h>

#include "crypt_int.h"
#include "io/object.h"

static vp_status update(void *user, const uint8_t *in, size_t size, uint8_t *out, size_t *written,
                        vp_error *err)
{
    int n = 0;

    if (size > INT32_MAX / 2 || EVP_EncryptUpdate(user, out, &n, in, (int)size) != 1)
        return vpi_fail(err, VP_E_INTERNAL, NULL, "the cipher failed");
    *written = (size_t)n;
    return VP_OK;
}

static vp_status final(void *user, uint8_t out[VPI_CIPHER_BLOCK], size_t *written, vp_error *err)
{
    int n = 0;

    if (EVP_EncryptFinal_ex(user, out, &n) != 1)
        return vpi_fail(err, VP_E_INTERNAL, NULL, "the cipher failed");
    *written = (size_t)n;
    return VP_OK;
}

static void release(void *user)
{
    EVP_CIPHER_CTX_free(user); /* cleanses */
}

vp_status vpi_segment_cipher(const uint8_t key[16], const uint8_t iv[16], vpi_object_cipher *out,
                             vp_error *err)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    memset(out, 0, sizeof(*out));
    if (!ctx) return vpi_fail_nomem(err);
    if (EVP_EncryptInit_ex(ctx, EVP_aes_128_cbc(), NULL, key, iv) != 1) {
        EVP_CIPHER_CTX_free(ctx);
        return vpi_fail(err, VP_E_INTERNAL, NULL, "no AES-128-CBC in this OpenSSL");
    }
    *out = (vpi_object_cipher){ .user = ctx, .update = update, .final = final, .release = release };
    return VP_OK;
}
