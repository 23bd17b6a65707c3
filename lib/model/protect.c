/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/hash.h"
#include "model/protection.h"

/* ISO/IEC 23001-7 10.4: one block of ten is encrypted in pictures; sound is encrypted whole. */
enum { CRYPT_BLOCKS = 1, SKIP_BLOCKS = 9, SHORT_IV = 8, WHOLE_IV = 16 };

#define FOURCC(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

void vpi_protect_from(const vpi_protection *p, uint64_t period, vpi_kind kind, vpi_protect *out)
{
    const vpi_key_info *key = &p->keys[VPI_MIN(period, (uint64_t)p->key_count - 1)];

    memset(out, 0, sizeof(*out));
    memcpy(out->kid, key->kid, sizeof(out->kid));
    out->clear = p->clear_segments > 0;
    if (p->scheme == VPI_SCHEME_CENC) {
        out->scheme = FOURCC('c', 'e', 'n', 'c');
        out->per_sample_iv_size = SHORT_IV;
        return;
    }
    out->scheme = FOURCC('c', 'b', 'c', 's');
    out->constant_iv_size = WHOLE_IV;
    memcpy(out->constant_iv, key->iv, sizeof(out->constant_iv));
    if (kind == VPI_KIND_VIDEO) {
        out->crypt_blocks = CRYPT_BLOCKS;
        out->skip_blocks = SKIP_BLOCKS;
    }
}

#define SD_PIXELS (768u * 576)
#define HD_PIXELS (1920u * 1080)

const char *vpi_label_of(uint32_t width, uint32_t height)
{
    uint64_t pixels = (uint64_t)width * height;

    return pixels <= SD_PIXELS ? "sd" : pixels <= HD_PIXELS ? "hd" : "uhd";
}

static void hash_key(vpi_sha256 *sha, const vpi_key_info *k)
{
    vpi_sha256_add(sha, k->kid, sizeof(k->kid));
    vpi_sha256_add(sha, k->check, sizeof(k->check));
    if (!k->iv_derived) vpi_sha256_add(sha, k->iv, sizeof(k->iv));
    vpi_sha256_add_str(sha, k->uri);
    vpi_sha256_add_u64(sha, k->drm_count);
    for (size_t i = 0; i < k->drm_count; i++) {
        const vpi_drm *d = &k->drm[i];
        vpi_sha256_add(sha, d->system, sizeof(d->system));
        vpi_sha256_add_u64(sha, d->pssh_size);
        vpi_sha256_add(sha, d->pssh, d->pssh_size);
        vpi_sha256_add_str(sha, d->uri);
        vpi_sha256_add_str(sha, d->laurl);
    }
}

void vpi_protection_hash(const vpi_protection *p, vpi_sha256 *sha)
{
    vpi_sha256_add_str(sha, p->label);
    vpi_sha256_add_u64(sha, p->rotation);
    vpi_sha256_add_u64(sha, p->clear_segments);
    for (size_t i = 0; i < p->key_count; i++) hash_key(sha, &p->keys[i]);
}
