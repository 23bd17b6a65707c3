/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Samples under Common Encryption (ISO/IEC 23001-7 9.5, 10.1, 10.4). */

#include <openssl/evp.h>

#include "crypt_int.h"

enum { BLOCK = 16, CRYPT_BLOCKS = 1, SKIP_BLOCKS = 9, PATTERN = (CRYPT_BLOCKS + SKIP_BLOCKS) * BLOCK };
#define CLEAR_MAX 65535u
#define UPDATE_MAX (1u << 30)

/* ---- cipher ---- */

static vp_status broken(vp_error *err)
{
    return vpi_fail(err, VP_E_INTERNAL, NULL, "the cipher failed");
}

vp_status vpi_cipher_new(bool ctr, const uint8_t key[16], vpi_cipher **out, vp_error *err)
{
    vpi_cipher *c = EVP_CIPHER_CTX_new();

    *out = NULL;
    if (!c) return vpi_fail_nomem(err);
    if (EVP_EncryptInit_ex(c, ctr ? EVP_aes_128_ctr() : EVP_aes_128_cbc(), NULL, key, NULL) != 1 ||
        EVP_CIPHER_CTX_set_padding(c, 0) != 1) {
        EVP_CIPHER_CTX_free(c);
        return vpi_fail(err, VP_E_INTERNAL, NULL, "no AES-128 in this OpenSSL");
    }
    *out = c;
    return VP_OK;
}

void vpi_cipher_free(vpi_cipher *cipher)
{
    EVP_CIPHER_CTX_free(cipher); /* cleanses */
}

static bool set_iv(vpi_cipher *c, const uint8_t iv[16])
{
    return EVP_EncryptInit_ex(c, NULL, NULL, NULL, iv) == 1;
}

/* In place is allowed. */
static bool encrypt(vpi_cipher *c, const uint8_t *data, size_t size, uint8_t *to)
{
    while (size > 0) {
        int n = (int)VPI_MIN(size, (size_t)UPDATE_MAX), written = 0;

        if (EVP_EncryptUpdate(c, to, &written, data, n) != 1 || written != n) return false;
        data += n;
        to += n;
        size -= (size_t)n;
    }
    return true;
}

/* ---- track ---- */

vp_status vpi_sampler_open(vpi_sampler *s, vpi_scheme scheme, vpi_kind kind, vpi_codec codec,
                           const void *config, size_t config_size, vp_error *err)
{
    vpi_slicer_codec how;

    memset(s, 0, sizeof(*s));
    s->scheme = scheme;
    s->kind = kind;
    s->codec = codec;
    switch (codec) {
    case VPI_CODEC_AAC:
    case VPI_CODEC_AC3:
    case VPI_CODEC_EAC3:
    case VPI_CODEC_OPUS:
    case VPI_CODEC_FLAC:
        return VP_OK;
    case VPI_CODEC_H264:
        how = VPI_SLICER_H264;
        break;
    case VPI_CODEC_HEVC:
        how = VPI_SLICER_HEVC;
        break;
    case VPI_CODEC_AV1:
        how = VPI_SLICER_AV1;
        break;
    default:
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "this codec is not encrypted");
    }
    return vpi_slicer_new(how, config, config_size, &s->slicer, err);
}

void vpi_sampler_close(vpi_sampler *s)
{
    vpi_slicer_free(s->slicer);
    vpi_free(s->ranges);
    vpi_buf_dispose(&s->blocks);
    memset(s, 0, sizeof(*s));
}

/* ---- subsamples ---- */

static vp_status add_subsample(vpi_protect_out *out, size_t clear, size_t protected_bytes, vp_error *err)
{
    for (;; clear -= CLEAR_MAX) {
        bool more = clear > CLEAR_MAX;

        if (out->subsample_count == VPI_SUBSAMPLES_MAX)
            return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "picture of more than %u parts",
                            (unsigned)VPI_SUBSAMPLES_MAX);
        out->subsamples[out->subsample_count++] = (vpi_subsample){
            .clear = (uint16_t)(more ? CLEAR_MAX : clear),
            .protected_bytes = more ? 0 : (uint32_t)protected_bytes,
        };
        if (!more) return VP_OK;
    }
}

/*
 * cenc protects whole blocks only, and tiles of AV1 are protected so in both schemes (AV1 binding 4.3): what is over
 * stays clear, in front. In cbcs the rest of the last block is counted as protected and left as it is.
 */
static bool whole_blocks(const vpi_sampler *s)
{
    return s->scheme == VPI_SCHEME_CENC || s->codec == VPI_CODEC_AV1;
}

/* Ranges become what is protected of them; those without a whole block are dropped. Fills out's subsamples. */
static vp_status lay_out(vpi_sampler *s, size_t size, vpi_protect_out *out, vp_error *err)
{
    size_t at = 0, kept = 0;

    for (size_t i = 0; i < s->range_count; i++) {
        vpi_range r = s->ranges[i];
        size_t over = whole_blocks(s) ? r.size % BLOCK : 0;

        r.at += over;
        r.size -= over;
        if (r.size < BLOCK) continue;
        VPI_TRY(add_subsample(out, r.at - at, r.size, err));
        at = r.at + r.size;
        s->ranges[kept++] = r;
    }
    s->range_count = kept;
    return at < size || !kept ? add_subsample(out, size - at, 0, err) : VP_OK;
}

/* ---- cbcs: pattern ---- */

/* Gathered, so that the cipher is called once for a range and not for every block. */
static vp_status encrypt_pattern(vpi_sampler *s, vpi_cipher *c, uint8_t *data, size_t size, vp_error *err)
{
    size_t n = 0;
    uint8_t *blocks;

    vpi_buf_clear(&s->blocks);
    if (!vpi_buf_reserve(&s->blocks, size / PATTERN * BLOCK + BLOCK)) {
        vpi_buf_dispose(&s->blocks); /* a failure stays with a buffer */
        return vpi_fail_nomem(err);
    }
    blocks = s->blocks.data;
    for (size_t at = 0; at + BLOCK <= size; at += PATTERN, n += BLOCK) memcpy(blocks + n, data + at, BLOCK);
    if (!encrypt(c, blocks, n, blocks)) return broken(err);
    n = 0;
    for (size_t at = 0; at + BLOCK <= size; at += PATTERN, n += BLOCK) memcpy(data + at, blocks + n, BLOCK);
    return VP_OK;
}

/* ---- samples ---- */

static vp_status sample_video(vpi_sampler *s, vpi_cipher *c, const uint8_t iv[16], const uint8_t *data,
                              size_t size, uint8_t *to, vpi_protect_out *out, vp_error *err)
{
    bool cbcs = s->scheme == VPI_SCHEME_CBCS;

    s->range_count = 0;
    VPI_TRY(vpi_slicer_sample(s->slicer, data, size, &s->ranges, &s->range_count, &s->range_cap, err));
    VPI_TRY(lay_out(s, size, out, err));
    if (to != data) memcpy(to, data, size);
    if (!cbcs && !set_iv(c, iv)) return broken(err);
    for (size_t i = 0; i < s->range_count; i++) {
        uint8_t *at = to + s->ranges[i].at;
        size_t n = s->ranges[i].size;

        if (cbcs ? !set_iv(c, iv) : !encrypt(c, at, n, at)) return broken(err);
        if (cbcs) VPI_TRY(encrypt_pattern(s, c, at, n, err));
    }
    return VP_OK;
}

static vp_status sample_audio(vpi_sampler *s, vpi_cipher *c, const uint8_t iv[16], const uint8_t *data,
                              size_t size, uint8_t *to, vp_error *err)
{
    size_t n = s->scheme == VPI_SCHEME_CBCS ? size - size % BLOCK : size;

    if (!set_iv(c, iv) || !encrypt(c, data, n, to)) return broken(err);
    if (to != data) memcpy(to + n, data + n, size - n);
    return VP_OK;
}

vp_status vpi_sampler_sample(vpi_sampler *s, vpi_cipher *cipher, const uint8_t *iv, const uint8_t *data,
                             size_t size, uint8_t *to, vpi_protect_out *out, vp_error *err)
{
    uint8_t whole[16] = { 0 };
    bool cenc = s->scheme == VPI_SCHEME_CENC;

    memcpy(whole, iv, cenc ? 8 : 16); /* the counter of blocks begins at 0 (10.1) */
    out->subsample_count = 0;
    out->iv_size = cenc ? 8 : 0;
    memcpy(out->iv, whole, sizeof(out->iv));
    if (size == 0) return VP_OK;
    if (!data) {
        return s->kind == VPI_KIND_VIDEO
                   ? vpi_fail(err, VP_E_INTERNAL, NULL, "subsamples of a picture are not known from its size")
                   : VP_OK;
    }
    return s->kind == VPI_KIND_VIDEO ? sample_video(s, cipher, whole, data, size, to, out, err)
                                     : sample_audio(s, cipher, whole, data, size, to, err);
}
