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

static vp_status init(vpi_s3_summer *s, const vp_s3 *s3, bool sha256, vp_error *err)
{
    vp_status st;

    memset(s, 0, sizeof(*s));
    s->crc64 = s3->checksum == VP_S3_CHECKSUM_CRC64NVME;
    if (sha256 && !(s->sha256 = EVP_MD_CTX_new())) return vpi_fail_nomem(err);
    if (s3->checksum == VP_S3_CHECKSUM_MD5 && !(s->md5 = EVP_MD_CTX_new())) {
        vpi_s3_summer_dispose(s);
        return vpi_fail_nomem(err);
    }
    st = vpi_s3_summer_restart(s, err);
    if (st < 0) vpi_s3_summer_dispose(s);
    return st;
}

vp_status vpi_s3_summer_init(vpi_s3_summer *s, const vp_s3 *s3, vp_error *err)
{
    return init(s, s3, s3->sign_payload, err);
}

vp_status vpi_s3_summer_add(vpi_s3_summer *s, const void *data, size_t size, vp_error *err)
{
    if (!s->no_crc32c) s->sums.crc32c = vpi_crc32c(s->sums.crc32c, data, size);
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

/* ---- many at a time ---- */

vp_status vpi_s3_summers_start(vpi_s3_summers **summers, const vp_s3 *s3, unsigned count, bool no_crc32c,
                               vp_error *err)
{
    vpi_s3_summers *s = *summers;

    if (!s) s = *summers = vpi_calloc(1, sizeof(*s));
    if (!s) return vpi_fail_nomem(err);
    for (unsigned i = 0; i < count; i++) {
        if (i < s->count)
            VPI_TRY(vpi_s3_summer_restart(&s->others[i], err));
        else
            VPI_TRY(init(&s->others[i], s3, false, err));
        s->others[i].no_crc32c = no_crc32c;
        vpi_sha256_init(&s->sha256[i]);
    }
    for (unsigned i = count; i < s->count; i++) vpi_s3_summer_dispose(&s->others[i]);
    s->count = count;
    return VP_OK;
}

vp_status vpi_s3_summers_add(vpi_s3_summers *s, const uint8_t *const data[], size_t size, vp_error *err)
{
    vpi_sha256_add_many(s->sha256, data, s->count, size);
    for (unsigned i = 0; i < s->count; i++) VPI_TRY(vpi_s3_summer_add(&s->others[i], data[i], size, err));
    return VP_OK;
}

vp_status vpi_s3_summers_done(vpi_s3_summers *s, unsigned i, vpi_s3_sums *out, vp_error *err)
{
    VPI_TRY(vpi_s3_summer_done(&s->others[i], out, err));
    vpi_sha256_hex(&s->sha256[i], out->sha256);
    return VP_OK;
}

void vpi_s3_summers_free(vpi_s3_summers *s)
{
    if (!s) return;
    for (unsigned i = 0; i < VPI_S3_TOGETHER; i++) vpi_s3_summer_dispose(&s->others[i]);
    vpi_free(s);
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
