/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sums of bodies: SHA-256 for signatures, MD5, CRC32C and CRC-64/NVME for what arrives. */

#include <openssl/evp.h>

#include "base/hash.h"
#include "client.h"

void vpi_s3_base64(const void *data, size_t size, char *to)
{
    int n = EVP_EncodeBlock((unsigned char *)to, data, (int)size);

    to[n] = 0;
}

/* ---- while the bytes pass ---- */

static vp_status start(void *context, const EVP_MD *kind, vp_error *err)
{
    if (context && !EVP_DigestInit_ex(context, kind, NULL))
        return vpi_fail(err, VP_E_INTERNAL, NULL, "%s cannot be started", EVP_MD_get0_name(kind));
    return VP_OK;
}

vp_status vpi_s3_summer_restart(vpi_s3_summer *s, vp_error *err)
{
    memset(&s->sums, 0, sizeof(s->sums));
    VPI_TRY(start(s->sha256, EVP_sha256(), err));
    return start(s->md5, EVP_md5(), err);
}

vp_status vpi_s3_summer_init(vpi_s3_summer *s, const vp_s3 *s3, vp_error *err)
{
    memset(s, 0, sizeof(*s));
    s->crc64 = s3->checksum == VP_S3_CHECKSUM_CRC64NVME;
    if (s3->sign_payload && !(s->sha256 = EVP_MD_CTX_new())) return vpi_fail_nomem(err);
    if (s3->checksum == VP_S3_CHECKSUM_MD5 && !(s->md5 = EVP_MD_CTX_new())) {
        vpi_s3_summer_dispose(s);
        return vpi_fail_nomem(err);
    }
    vp_status st = vpi_s3_summer_restart(s, err);
    if (st < 0) vpi_s3_summer_dispose(s);
    return st;
}

vp_status vpi_s3_summer_add(vpi_s3_summer *s, const void *data, size_t size, vp_error *err)
{
    s->sums.crc32c = vpi_crc32c(s->sums.crc32c, data, size);
    if (s->crc64) s->sums.crc64 = vpi_s3_crc64(s->sums.crc64, data, size);
    if ((s->sha256 && !EVP_DigestUpdate(s->sha256, data, size)) ||
        (s->md5 && !EVP_DigestUpdate(s->md5, data, size)))
        return vpi_fail(err, VP_E_INTERNAL, NULL, "a digest refuses its data");
    return VP_OK;
}

vp_status vpi_s3_summer_done(vpi_s3_summer *s, vpi_s3_sums *out, vp_error *err)
{
    uint8_t sha[EVP_MAX_MD_SIZE];

    if ((s->sha256 && !EVP_DigestFinal_ex(s->sha256, sha, NULL)) ||
        (s->md5 && !EVP_DigestFinal_ex(s->md5, s->sums.md5, NULL)))
        return vpi_fail(err, VP_E_INTERNAL, NULL, "a digest gives no result");
    if (s->sha256) {
        static const char digits[] = "0123456789abcdef";

        for (unsigned i = 0; i < 32; i++) {
            s->sums.sha256[2 * i] = digits[sha[i] >> 4];
            s->sums.sha256[2 * i + 1] = digits[sha[i] & 15];
        }
        s->sums.sha256[64] = 0;
    }
    *out = s->sums;
    return vpi_s3_summer_restart(s, err);
}

void vpi_s3_summer_dispose(vpi_s3_summer *s)
{
    EVP_MD_CTX_free(s->sha256);
    EVP_MD_CTX_free(s->md5);
    s->sha256 = s->md5 = NULL;
}

vp_status vpi_s3_sum(const vp_s3 *s3, const void *data, size_t size, vpi_s3_sums *out, vp_error *err)
{
    vpi_s3_summer s;
    vp_status st;

    VPI_TRY(vpi_s3_summer_init(&s, s3, err));
    st = vpi_s3_summer_add(&s, data, size, err);
    if (st >= 0) st = vpi_s3_summer_done(&s, out, err);
    vpi_s3_summer_dispose(&s);
    return st;
}
