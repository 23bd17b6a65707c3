/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <openssl/evp.h>

#include "base/hash.h"
#include "ingest/tus_sum.h"

#define KINDS 3

struct vpi_tus_sums {
    EVP_MD_CTX *of[KINDS];
    uint32_t crc;
};

static const char *const names[KINDS] = { "sha1", "sha256", "md5" };

vpi_tus_sums *vpi_tus_sums_free(vpi_tus_sums *s)
{
    for (size_t i = 0; s && i < KINDS; i++) EVP_MD_CTX_free(s->of[i]);
    vpi_free(s);
    return NULL;
}

vpi_tus_sums *vpi_tus_sums_new(void)
{
    vpi_tus_sums *s = vpi_calloc(1, sizeof(*s));
    const EVP_MD *kind[KINDS] = { EVP_sha1(), EVP_sha256(), EVP_md5() };

    if (!s) return NULL;
    for (size_t i = 0; i < KINDS; i++) {
        s->of[i] = EVP_MD_CTX_new();
        /* A machine in FIPS mode has no MD5: a request that brings one is refused then. */
        if (s->of[i] && EVP_DigestInit_ex(s->of[i], kind[i], NULL) == 1) continue;
        EVP_MD_CTX_free(s->of[i]);
        s->of[i] = NULL;
    }
    return s;
}

bool vpi_tus_sums_add(vpi_tus_sums *s, const void *data, size_t size)
{
    s->crc = vpi_crc32c(s->crc, data, size);
    for (size_t i = 0; i < KINDS; i++)
        if (s->of[i] && EVP_DigestUpdate(s->of[i], data, size) != 1) return false;
    return true;
}

void vpi_tus_sums_crc32c(const vpi_tus_sums *s, uint8_t to[4])
{
    for (unsigned i = 0; i < 4; i++) to[i] = (uint8_t)(s->crc >> (24 - 8 * i));
}

bool vpi_tus_sums_match(vpi_tus_sums *s, const char *algorithm, const uint8_t *digest, size_t size)
{
    uint8_t own[EVP_MAX_MD_SIZE];
    unsigned got = 4;

    vpi_tus_sums_crc32c(s, own);
    if (strcmp(algorithm, "crc32c") == 0) return size == got && memcmp(own, digest, size) == 0;
    for (size_t i = 0; i < KINDS; i++) {
        if (strcmp(algorithm, names[i]) != 0) continue;
        return s->of[i] && EVP_DigestFinal_ex(s->of[i], own, &got) == 1 && got == size &&
               memcmp(own, digest, size) == 0;
    }
    return false;
}
