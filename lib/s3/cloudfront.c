/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CloudFront's signed addresses and cookies. Sources: docs.aws.amazon.com, CloudFront developer guide, "Create a signed
 * URL using a canned policy", "... a custom policy", "Set signed cookies using a canned policy", "... a custom policy";
 * PublicKey of the API reference: RSA 2048 or ECDSA 256. Without Hash-Algorithm the server takes SHA-1, also for ECDSA.
 */

#include <strings.h>

#include <openssl/core_names.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "sign.h"

#define FLAGS (VP_CLOUDFRONT_SHA256 | VP_CLOUDFRONT_CUSTOM)
#define KEY_MAX_SIZE (64u << 10)
#define RSA_BITS 2048

/* ---- what callers give ---- */

/* Policies are compared byte by byte with what a viewer asks for, which is ASCII and percent-encoded. */
static vp_status check_url(const char *url, const char *what, vp_error *err)
{
    size_t scheme = strncmp(url, "https://", 8) == 0 ? 8 : strncmp(url, "http://", 7) == 0 ? 7 : 0;

    if (!scheme || !url[scheme] || strchr("/?#", url[scheme])) {
        return vpi_fail(err, VP_E_ARG, NULL,
                        "%s: begins neither with https:// nor with http://, or has no host", what);
    }
    for (const unsigned char *p = (const unsigned char *)url; *p; p++) {
        if (*p <= 0x20 || *p >= 0x7F || strchr("\"<>\\^`{|}", *p))
            return vpi_fail(err, VP_E_ARG, NULL, "%s: a byte that is to be percent-encoded", what);
        if (*p == '#') return vpi_fail(err, VP_E_ARG, NULL, "%s: has a fragment", what);
    }
    return VP_OK;
}

/* An address that parameters are added to: its own may not be theirs. */
static vp_status check_address(const char *url, vp_error *err)
{
    static const char *const names[] = { "Expires", "Policy", "Signature", "Key-Pair-Id", "Hash-Algorithm" };
    const char *p = strchr(url, '?');

    if (!p) return VP_OK;
    if (!p[1]) return vpi_fail(err, VP_E_ARG, NULL, "address: '?' with nothing behind it");
    while (p) {
        size_t n = strcspn(++p, "=&");

        for (size_t i = 0; i < VPI_COUNT(names); i++)
            if (strlen(names[i]) == n && strncasecmp(names[i], p, n) == 0)
                return vpi_fail(err, VP_E_ARG, NULL, "address: is signed already, or has a parameter %s",
                                names[i]);
        p = strchr(p, '&');
    }
    return VP_OK;
}

/* '*' is any bytes, '?' any one byte. */
static bool matches(const char *pattern, const char *text)
{
    const char *star = NULL, *from = NULL;

    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            from = text;
        } else if (*pattern == *text || *pattern == '?') {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return !*pattern;
}

/* IPv4 with or without the size of a network; IPv6 CloudFront does not know here. */
static vp_status check_ip(const char *ip, vp_error *err)
{
    static const char text[] = "ip: an IPv4 address, or a range of them like 192.0.2.0/24";
    const char *p = ip;

    for (unsigned part = 0; part < 5; part++) {
        unsigned value = 0, digits = 0, most = part < 4 ? 255 : 32;

        while (*p >= '0' && *p <= '9' && digits < 4) {
            value = value * 10 + (unsigned)(*p++ - '0');
            digits++;
        }
        if (!digits || digits > 3 || value > most) return vpi_fail(err, VP_E_ARG, NULL, "%s", text);
        if (part >= 3 && !*p) return VP_OK;
        if (part == 4 || *p++ != (part < 3 ? '.' : '/')) return vpi_fail(err, VP_E_ARG, NULL, "%s", text);
    }
    return VP_OK;
}

static vp_status check(const vp_cloudfront *c, vp_error *err)
{
    const char *id = c->key_pair_id;

    if (c->flags & ~FLAGS) return vpi_fail(err, VP_E_ARG, NULL, "flags: unknown");
    if (!id || !*id) return vpi_fail(err, VP_E_ARG, NULL, "key_pair_id: is missing");
    for (const char *p = id; *p; p++)
        if (!vpi_s3_token(p, 1) || strchr("!#$%&'*+^`|", *p))
            return vpi_fail(err, VP_E_ARG, NULL, "key_pair_id: no id of a public key");
    if (!c->private_key || !c->private_key_size || c->private_key_size > KEY_MAX_SIZE)
        return vpi_fail(err, VP_E_ARG, NULL, "private_key: is missing or too large");
    if (!c->url) return vpi_fail(err, VP_E_ARG, NULL, "url: is missing");
    VPI_TRY(check_url(c->url, "url", err));
    if (c->expires_s <= 0) return vpi_fail(err, VP_E_ARG, NULL, "expires_s: is missing, or before 1970");
    if (c->starts_s < 0 || c->starts_s >= c->expires_s)
        return vpi_fail(err, VP_E_ARG, NULL, "starts_s: before 1970, or not before expires_s");
    return c->ip ? check_ip(c->ip, err) : VP_OK;
}

/* ---- key ---- */

static bool key_usable(const EVP_PKEY *key)
{
    char group[64];
    size_t n;

    if (EVP_PKEY_is_a(key, "RSA")) return EVP_PKEY_get_bits(key) == RSA_BITS;
    return EVP_PKEY_is_a(key, "EC") &&
           EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), &n) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

/* PEM or DER, PKCS#8 or the older forms; never asks a terminal for a passphrase. */
static EVP_PKEY *load(const vp_cloudfront *c)
{
    static const char end_of_curve[] =
        "-----END EC PARAMETERS-----"; /* "openssl ecparam -genkey" has it before the key */
    const unsigned char *p = c->private_key, *curve;
    size_t n = (size_t)c->private_key_size;
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *ctx =
        OSSL_DECODER_CTX_new_for_pkey(&key, NULL, NULL, NULL, EVP_PKEY_KEYPAIR, NULL, NULL);

    if (!ctx) return NULL;
    curve = memmem(p, n, end_of_curve, sizeof(end_of_curve) - 1);
    if (c->passphrase)
        OSSL_DECODER_CTX_set_passphrase(ctx, (const unsigned char *)c->passphrase, strlen(c->passphrase));
    if (curve) {
        curve += sizeof(end_of_curve) - 1;
        n -= (size_t)(curve - p);
        p = curve;
    }
    if (OSSL_DECODER_from_data(ctx, &p, &n) != 1) key = NULL;
    OSSL_DECODER_CTX_free(ctx);
    return key;
}

static vp_status sign_with(EVP_PKEY *key, const EVP_MD *md, const vpi_buf *policy, vpi_buf *out,
                           vp_error *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n = 0;
    vp_status st = VP_OK;
    uint8_t *to;

    if (!ctx) return vpi_fail_nomem(err);
    if (EVP_DigestSignInit(ctx, NULL, md, NULL, key) != 1 ||
        EVP_DigestSign(ctx, NULL, &n, policy->data, policy->size) != 1) {
        st = vpi_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED",
                      "this OpenSSL does not sign with %s: its policy forbids it", EVP_MD_get0_name(md));
    } else if (!(to = vpi_buf_space(out, n))) {
        st = vpi_fail_nomem(err);
    } else if (EVP_DigestSign(ctx, to, &n, policy->data, policy->size) != 1) {
        st = vpi_fail(err, VP_E_INTERNAL, NULL, "the signature failed");
    } else {
        out->size = n; /* that of ECDSA is often shorter than the most */
    }
    EVP_MD_CTX_free(ctx);
    return st;
}

static vp_status sign_policy(const vp_cloudfront *c, const vpi_buf *policy, vpi_buf *out, vp_error *err)
{
    EVP_PKEY *key;
    vp_status st;

    /* What fails here is nobody's business on the thread's queue of errors. */
    ERR_set_mark();
    key = load(c);
    if (!key) {
        st = vpi_fail(err, VP_E_AUTH, "KEY_INVALID",
                      "private_key: no private key in PEM or DER, or the passphrase is wrong");
    } else if (!key_usable(key)) {
        st = vpi_fail(err, VP_E_AUTH, "KEY_INVALID", "private_key: neither RSA of 2048 bits nor ECDSA P-256");
    } else {
        st = sign_with(key, c->flags & VP_CLOUDFRONT_SHA256 ? EVP_sha256() : EVP_sha1(), policy, out, err);
    }
    EVP_PKEY_free(key);
    ERR_pop_to_mark();
    return st;
}

/* ---- policy ---- */

/* A canned policy is not sent: CloudFront makes it of the address and Expires, so it must be these bytes. */
static bool custom(const vp_cloudfront *c, const char *address)
{
    return c->flags & VP_CLOUDFRONT_CUSTOM || c->starts_s || c->ip || strchr(c->url, '*') ||
           (address && strcmp(address, c->url) != 0);
}

static vp_status write_policy(const vp_cloudfront *c, vpi_buf *out, vp_error *err)
{
    vpi_buf_printf(
        out, "{\"Statement\":[{\"Resource\":\"%s\",\"Condition\":{\"DateLessThan\":{\"AWS:EpochTime\":%lld}",
        c->url, (long long)c->expires_s);
    if (c->starts_s)
        vpi_buf_printf(out, ",\"DateGreaterThan\":{\"AWS:EpochTime\":%lld}", (long long)c->starts_s);
    if (c->ip)
        vpi_buf_printf(out, ",\"IpAddress\":{\"AWS:SourceIp\":\"%s%s\"}", c->ip,
                       strchr(c->ip, '/') ? "" : "/32");
    vpi_buf_str(out, "}}]}");
    return vpi_buf_failed(out) ? vpi_fail_nomem(err) : VP_OK;
}

/* Base64 with '-', '_' and '~' in place of '+', '=' and '/'. */
static void put_base64(vpi_buf *out, const vpi_buf *data)
{
    size_t size = (data->size + 2) / 3 * 4;
    uint8_t *to = data->size < INT32_MAX / 2 ? vpi_buf_space(out, size + 1) : NULL; /* and its NUL */

    if (!to) {
        out->failed = true;
        return;
    }
    EVP_EncodeBlock(to, data->data, (int)data->size);
    out->size--;
    for (size_t i = 0; i < size; i++) {
        if (to[i] == '+') to[i] = '-';
        if (to[i] == '=') to[i] = '_';
        if (to[i] == '/') to[i] = '~';
    }
}

/* The parameters with a word before each and one after it but the last. */
static vp_status write_all(const vp_cloudfront *c, bool is_custom, const char *before, const char *after,
                           vpi_buf *out, vp_error *err)
{
    vpi_buf policy = { 0 }, signature = { 0 };
    vp_status st;

    VPI_GO(write_policy(c, &policy, err));
    VPI_GO(sign_policy(c, &policy, &signature, err));
    if (is_custom) {
        vpi_buf_printf(out, "%sPolicy=", before);
        put_base64(out, &policy);
    } else {
        vpi_buf_printf(out, "%sExpires=%lld", before, (long long)c->expires_s);
    }
    vpi_buf_printf(out, "%s%sSignature=", after, before);
    put_base64(out, &signature);
    vpi_buf_printf(out, "%s%sKey-Pair-Id=%s", after, before, c->key_pair_id);
    if (c->flags & VP_CLOUDFRONT_SHA256) vpi_buf_printf(out, "%s%sHash-Algorithm=SHA256", after, before);
done:
    vpi_buf_dispose(&policy);
    vpi_buf_dispose(&signature);
    return st;
}

/* ---- public ---- */

vp_status vp_cloudfront_sign_url(const vp_cloudfront *cloudfront, const char *address, vp_bytes **url,
                                 vp_error *err)
{
    vp_cloudfront c = VP_CLOUDFRONT_INIT;
    const char *base;
    vpi_buf b = { 0 };
    vp_status st;

    vpi_error_reset(err);
    if (!url) return vpi_fail(err, VP_E_ARG, NULL, "nowhere to put the result");
    *url = NULL;
    if (!cloudfront) return vpi_fail(err, VP_E_ARG, NULL, "cloudfront: is missing");
    VPI_TRY(vpi_copy_struct(&c, sizeof(c), cloudfront, err));
    VPI_TRY(check(&c, err));
    if (!address && strchr(c.url, '*'))
        return vpi_fail(err, VP_E_ARG, NULL, "url: has '*'; it wants the one address to sign beside it");
    base = address ? address : c.url;
    VPI_TRY(check_url(base, address ? "address" : "url", err));
    VPI_TRY(check_address(base, err));
    if (address && !matches(c.url, address))
        return vpi_fail(err, VP_E_ARG, NULL, "address: not one that url allows");
    vpi_buf_str(&b, base);
    vpi_buf_u8(&b, strchr(base, '?') ? '&' : '?');
    st = write_all(&c, custom(&c, address), "", "&", &b, err);
    if (st >= 0) return vpi_bytes_from_buf(&b, url, err);
    vpi_buf_dispose(&b);
    return st;
}

vp_status vp_cloudfront_sign_cookies(const vp_cloudfront *cloudfront, vp_bytes **lines, vp_error *err)
{
    vp_cloudfront c = VP_CLOUDFRONT_INIT;
    vpi_buf b = { 0 };
    vp_status st;

    vpi_error_reset(err);
    if (!lines) return vpi_fail(err, VP_E_ARG, NULL, "nowhere to put the result");
    *lines = NULL;
    if (!cloudfront) return vpi_fail(err, VP_E_ARG, NULL, "cloudfront: is missing");
    VPI_TRY(vpi_copy_struct(&c, sizeof(c), cloudfront, err));
    VPI_TRY(check(&c, err));
    st = write_all(&c, custom(&c, NULL), "CloudFront-", "\n", &b, err);
    vpi_buf_u8(&b, '\n');
    if (st >= 0) return vpi_bytes_from_buf(&b, lines, err);
    vpi_buf_dispose(&b);
    return st;
}
