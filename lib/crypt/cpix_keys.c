/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CPIX 2.3, "Key Encryption": content keys under document keys (AES-256-CBC, PKCS#7, the IV before the ciphertext),
 * these to recipients (RSA-OAEP with MGF1 and SHA-1); HMAC-SHA512 over each encrypted content key, under a key that
 * goes to the recipients in the same way.
 */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "crypt/cpix_int.h"

#define RSA_OAEP "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
#define AES256_CBC "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
#define HMAC_SHA512 "http://www.w3.org/2001/04/xmldsig-more#hmac-sha512"
#define SHA1 "http://www.w3.org/2000/09/xmldsig#sha1"
#define MAX_DELIVERIES 256
#define MAX_DOCUMENT_KEYS ((size_t)64)
#define MAX_RSA_BYTES ((size_t)2048)
#define MAX_CERTIFICATE ((size_t)64 << 10)
#define DOCUMENT_KEY ((size_t)32)
#define MAC_MIN ((size_t)16)
#define KEY ((size_t)16)
#define WRAPPED (KEY + 2 * KEY) /* IV, key, padding */

/* Which document key a content key is under (DocumentKey@encryptsKey). */
typedef struct grant {
    uint8_t kid[16];
    size_t document_key;
} grant;

struct vpi_cpix_secrets {
    bool deliveries, opened;
    uint8_t keys[MAX_DOCUMENT_KEYS][DOCUMENT_KEY];
    size_t key_count, for_all; /* for_all: the one without encryptsKey; key_count: none */
    grant *grants;             /* sorted */
    size_t grant_count, grant_cap;
    uint8_t mac[MAX_RSA_BYTES];
    size_t mac_size; /* 0: no MACMethod */
};

/* ---- encrypted values ---- */

/* EncryptionMethod may be missing, else it is the one that CPIX names. */
static vp_status check_method(const vpi_xml_node *encrypted, const char *wanted, const char *where,
                              vp_error *err)
{
    const vpi_xml_node *n = vpi_xml_child(encrypted, "EncryptionMethod"),
                       *digest = vpi_xml_child(n, "DigestMethod");
    const char *algorithm = n ? vpi_xml_attribute(n, "Algorithm") : wanted;
    const char *hash = digest ? vpi_xml_attribute(digest, "Algorithm") : SHA1;

    if (vpi_streq(algorithm, wanted) && vpi_streq(hash, SHA1)) return VP_OK;
    return vpi_key_invalid(err, "%s: EncryptionMethod is not %s", where, wanted);
}

static vp_status cipher_value(const vpi_xml_node *encrypted, size_t max, const char *where, vpi_buf *out,
                              vp_error *err)
{
    const vpi_xml_node *n = vpi_xml_path(encrypted, "CipherData/CipherValue");

    if (!n) return vpi_key_invalid(err, "%s: no CipherValue", where);
    return vpi_cpix_base64(n->text, n->text_size, max, where, "CipherValue", out, err);
}

/* *size 0: it was not encrypted to this key. */
static vp_status unwrap(EVP_PKEY *own, const vpi_xml_node *encrypted, const char *where,
                        uint8_t to[MAX_RSA_BYTES], size_t *size, vp_error *err)
{
    EVP_PKEY_CTX *ctx;
    vpi_buf b = { 0 };
    vp_status st = VP_OK;

    *size = 0;
    VPI_TRY(check_method(encrypted, RSA_OAEP, where, err));
    VPI_TRY(cipher_value(encrypted, MAX_RSA_BYTES, where, &b, err));
    ctx = EVP_PKEY_CTX_new(own, NULL);
    if (!ctx || EVP_PKEY_decrypt_init(ctx) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) != 1) {
        st = vpi_fail_nomem(err);
    } else {
        size_t n = MAX_RSA_BYTES;

        if (b.size == (size_t)EVP_PKEY_get_size(own) && EVP_PKEY_decrypt(ctx, to, &n, b.data, b.size) == 1)
            *size = n;
    }
    EVP_PKEY_CTX_free(ctx);
    vpi_cpix_wipe(&b);
    return st;
}

/* ---- deliveries ---- */

/* False when the certificate in DeliveryKey says that it is somebody else's. */
static bool maybe_mine(const vpi_xml_node *delivery, EVP_PKEY *own)
{
    const vpi_xml_node *n = vpi_xml_path(delivery, "DeliveryKey/X509Data/X509Certificate");
    vpi_buf b = { 0 };
    const uint8_t *p;
    X509 *x = NULL;
    bool mine = true;

    if (!n || vpi_cpix_base64(n->text, n->text_size, MAX_CERTIFICATE, "DeliveryKey", "X509Certificate", &b,
                              NULL) != VP_OK) {
        return true;
    }
    p = b.data;
    if (p) x = d2i_X509(NULL, &p, (long)b.size);
    if (x && X509_get0_pubkey(x)) mine = EVP_PKEY_eq(X509_get0_pubkey(x), own) == 1;
    X509_free(x);
    vpi_buf_dispose(&b);
    return mine;
}

static vp_status add_grants(vpi_cpix_secrets *s, const char *kids, size_t document_key, const char *where,
                            vp_error *err)
{
    static const char blanks[] = " \t\r\n";
    char text[VPI_UUID_TEXT];

    for (kids += strspn(kids, blanks); *kids; kids += strspn(kids, blanks)) {
        size_t n = strcspn(kids, blanks);

        if (!VPI_GROW(s->grants, s->grant_count, s->grant_cap)) return vpi_fail_nomem(err);
        vpi_strlcpy(text, kids, VPI_MIN(n + 1, sizeof(text)));
        if (n >= sizeof(text) || !vpi_uuid_parse(text, s->grants[s->grant_count].kid)) {
            return vpi_key_invalid(err, "%s: encryptsKey is not a list of UUIDs", where);
        }
        s->grants[s->grant_count++].document_key = document_key;
        kids += n;
    }
    return VP_OK;
}

static vp_status open_document_key(vpi_cpix_secrets *s, const vpi_xml_node *n, EVP_PKEY *own,
                                   const char *where, bool *mine, vp_error *err)
{
    const vpi_xml_node *encrypted = vpi_xml_path(n, "Data/Secret/EncryptedValue");
    const char *kids = vpi_xml_attribute(n, "encryptsKey");
    uint8_t value[MAX_RSA_BYTES];
    size_t size, at = s->key_count;
    vp_status st;

    if (at == MAX_DOCUMENT_KEYS) return vpi_key_invalid(err, "%s: more than %zu DocumentKeys", where, at);
    if (!encrypted) return vpi_key_invalid(err, "%s: DocumentKey without EncryptedValue", where);
    st = unwrap(own, encrypted, where, value, &size, err);
    *mine = size > 0;
    if (st == VP_OK && *mine && size != DOCUMENT_KEY) {
        st = vpi_key_invalid(err, "%s: DocumentKey is not of 256 bits", where);
    }
    if (st == VP_OK && *mine) {
        memcpy(s->keys[at], value, DOCUMENT_KEY);
        s->key_count++;
        if (kids) {
            st = add_grants(s, kids, at, where, err);
        } else {
            s->for_all = at;
        }
    }
    OPENSSL_cleanse(value, sizeof(value));
    return st;
}

static vp_status open_mac(vpi_cpix_secrets *s, const vpi_xml_node *n, EVP_PKEY *own, const char *where,
                          vp_error *err)
{
    /* "Key" in CPIX documents of old, "MACKey" in the schema of PSKC (RFC 6030 6.1.1). */
    const vpi_xml_node *key =
        vpi_xml_child(n, "MACKey") ? vpi_xml_child(n, "MACKey") : vpi_xml_child(n, "Key");

    if (!vpi_streq(vpi_xml_attribute(n, "Algorithm"), HMAC_SHA512)) {
        return vpi_key_invalid(err, "%s: MACMethod is not " HMAC_SHA512, where);
    }
    if (!key) return vpi_key_invalid(err, "%s: MACMethod without a key", where);
    if (vpi_xml_child(key, "EncryptedValue")) key = vpi_xml_child(key, "EncryptedValue");
    VPI_TRY(unwrap(own, key, where, s->mac, &s->mac_size, err));
    if (s->mac_size >= MAC_MIN) return VP_OK;
    return vpi_key_invalid(err, "%s: the key of MACMethod cannot be decrypted, or is too short", where);
}

static vp_status open_delivery(vpi_cpix_secrets *s, const vpi_xml_node *delivery, EVP_PKEY *own,
                               const char *where, vp_error *err)
{
    const vpi_xml_node *mac = vpi_xml_child(delivery, "MACMethod");
    bool mine = maybe_mine(delivery, own);

    for (const vpi_xml_node *n = delivery->first; n && mine; n = n->next) {
        if (strcmp(n->name, "DocumentKey") == 0) VPI_TRY(open_document_key(s, n, own, where, &mine, err));
    }
    if (!mine || s->key_count == 0) return VP_OK;
    s->opened = true;
    return mac ? open_mac(s, mac, own, where, err) : VP_OK;
}

static int compare_grants(const void *a, const void *b)
{
    return memcmp(((const grant *)a)->kid, ((const grant *)b)->kid, 16);
}

static vp_status open_deliveries(vpi_cpix_secrets *s, const vpi_xml_node *list, EVP_PKEY *own, vp_error *err)
{
    char where[VPI_CPIX_WHERE];
    size_t i = 0;

    for (const vpi_xml_node *n = list->first; n && !s->opened; n = n->next) {
        if (strcmp(n->name, "DeliveryData") != 0) continue;
        if (i == MAX_DELIVERIES)
            return vpi_key_invalid(err, "DeliveryDataList: more than %d recipients", MAX_DELIVERIES);
        snprintf(where, sizeof(where), "DeliveryData[%zu]", i++);
        s->key_count = s->grant_count = 0;
        s->for_all = SIZE_MAX;
        VPI_TRY(open_delivery(s, n, own, where, err));
    }
    if (!s->opened) return vpi_key_invalid(err, "DeliveryDataList: nothing that this private key opens");
    if (s->grant_count > 0) qsort(s->grants, s->grant_count, sizeof(*s->grants), compare_grants);
    return VP_OK;
}

/* PEM or DER, PKCS#8 or PKCS#1; never asks a terminal for a passphrase. */
static EVP_PKEY *load_private(const void *data, size_t size, const char *passphrase)
{
    const unsigned char *p = data;
    OSSL_DECODER_CTX *ctx;
    EVP_PKEY *key = NULL;
    size_t n = size;

    ctx = OSSL_DECODER_CTX_new_for_pkey(&key, NULL, NULL, "RSA", EVP_PKEY_KEYPAIR, NULL, NULL);
    if (!ctx) return NULL;
    if (passphrase)
        OSSL_DECODER_CTX_set_passphrase(ctx, (const unsigned char *)passphrase, strlen(passphrase));
    if (OSSL_DECODER_from_data(ctx, &p, &n) != 1) key = NULL;
    OSSL_DECODER_CTX_free(ctx);
    if (key && (size_t)EVP_PKEY_get_size(key) <= MAX_RSA_BYTES) return key;
    EVP_PKEY_free(key);
    return NULL;
}

vp_status vpi_cpix_secrets_open(const vpi_xml_node *deliveries, const void *private_key,
                                size_t private_key_size, const char *passphrase, vpi_cpix_secrets **out,
                                vp_error *err)
{
    vpi_cpix_secrets *s = vpi_calloc(1, sizeof(*s));
    EVP_PKEY *own = NULL;
    vp_status st;

    *out = s;
    if (!s) return vpi_fail_nomem(err);
    s->deliveries = vpi_xml_child(deliveries, "DeliveryData") != NULL;
    if (!private_key || !s->deliveries) return VP_OK;
    /* What fails here is nobody's business on the thread's queue of errors. */
    ERR_set_mark();
    own = load_private(private_key, private_key_size, passphrase);
    st = own ? open_deliveries(s, deliveries, own, err)
             : vpi_key_invalid(err, "private key: not an RSA key in PEM or DER, or the passphrase is wrong");
    EVP_PKEY_free(own);
    ERR_pop_to_mark();
    return st;
}

void vpi_cpix_secrets_free(vpi_cpix_secrets *s)
{
    if (!s) return;
    vpi_free(s->grants);
    OPENSSL_cleanse(s, sizeof(*s));
    vpi_free(s);
}

/* ---- content keys ---- */

static vp_status check_mac(const vpi_cpix_secrets *s, const vpi_xml_node *secret, const vpi_buf *value,
                           const char *where, vp_error *err)
{
    const vpi_xml_node *n = vpi_xml_child(secret, "ValueMAC");
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    vpi_buf told = { 0 };
    bool same;

    if (s->mac_size == 0) return VP_OK;
    if (!n) return vpi_key_invalid(err, "%s: no ValueMAC, but there is a MACMethod", where);
    VPI_TRY(vpi_cpix_base64(n->text, n->text_size, sizeof(mac), where, "ValueMAC", &told, err));
    same = HMAC(EVP_sha512(), s->mac, (int)s->mac_size, value->data, value->size, mac, &size) &&
           told.size == size && CRYPTO_memcmp(told.data, mac, size) == 0;
    vpi_buf_dispose(&told);
    return same ? VP_OK : vpi_key_invalid(err, "%s: ValueMAC is wrong", where);
}

static vp_status decrypt(const uint8_t document_key[DOCUMENT_KEY], const vpi_buf *value, const char *where,
                         uint8_t key[16], vp_error *err)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t plain[WRAPPED];
    int n = 0, rest = 0;
    bool ok;

    if (!ctx) return vpi_fail_nomem(err);
    ERR_set_mark();
    ok = EVP_DecryptInit_ex(ctx, EVP_aes_256_cbc(), NULL, document_key, value->data) == 1 &&
         EVP_DecryptUpdate(ctx, plain, &n, value->data + KEY, (int)(value->size - KEY)) == 1 &&
         EVP_DecryptFinal_ex(ctx, plain + n, &rest) == 1 && (size_t)n + (size_t)rest == KEY;
    if (ok) memcpy(key, plain, KEY);
    ERR_pop_to_mark();
    OPENSSL_cleanse(plain, sizeof(plain));
    EVP_CIPHER_CTX_free(ctx);
    return ok ? VP_OK : vpi_key_invalid(err, "%s: EncryptedValue cannot be decrypted", where);
}

static const uint8_t *document_key(const vpi_cpix_secrets *s, const uint8_t kid[16])
{
    const grant *g = NULL;
    grant wanted = { .document_key = 0 };

    memcpy(wanted.kid, kid, sizeof(wanted.kid));
    if (s->grant_count > 0) {
        g = bsearch(&wanted, s->grants, s->grant_count, sizeof(*s->grants), compare_grants);
    }
    if (g) return s->keys[g->document_key];
    return s->for_all < s->key_count ? s->keys[s->for_all] : NULL;
}

static vp_status encrypted_key(const vpi_cpix_secrets *s, const vpi_xml_node *secret, const char *where,
                               const uint8_t kid[16], uint8_t key[16], vp_error *err)
{
    const vpi_xml_node *encrypted = vpi_xml_child(secret, "EncryptedValue");
    const uint8_t *under;
    vpi_buf value = { 0 };
    vp_status st;

    if (!s->deliveries) return vpi_key_invalid(err, "%s: encrypted, but there is no DeliveryData", where);
    if (!s->opened) return vpi_key_invalid(err, "%s: encrypted, but no private key was given", where);
    under = document_key(s, kid);
    if (!under) return vpi_key_invalid(err, "%s: no DocumentKey for it", where);
    VPI_TRY(check_method(encrypted, AES256_CBC, where, err));
    VPI_TRY(cipher_value(encrypted, WRAPPED, where, &value, err));
    st = value.size == WRAPPED ? check_mac(s, secret, &value, where, err)
                               : vpi_key_invalid(err, "%s: EncryptedValue is not of an AES-128 key", where);
    if (st == VP_OK) st = decrypt(under, &value, where, key, err);
    vpi_cpix_wipe(&value);
    return st;
}

vp_status vpi_cpix_secrets_key(const vpi_cpix_secrets *s, const vpi_xml_node *content_key, const char *where,
                               const uint8_t kid[16], uint8_t key[16], vp_error *err)
{
    const vpi_xml_node *secret = vpi_xml_path(content_key, "Data/Secret"),
                       *plain = vpi_xml_child(secret, "PlainValue");
    vpi_buf value = { 0 };
    vp_status st = VP_OK;

    if (!secret) return vpi_key_invalid(err, "%s: no key in it", where);
    if (vpi_xml_child(secret, "EncryptedValue")) return encrypted_key(s, secret, where, kid, key, err);
    if (!plain) return vpi_key_invalid(err, "%s: neither PlainValue nor EncryptedValue", where);
    /* Else who cannot make a MAC could put in a key of his own. */
    if (s->deliveries) return vpi_key_invalid(err, "%s: in the clear, but there is DeliveryData", where);
    VPI_TRY(vpi_cpix_base64(plain->text, plain->text_size, KEY, where, "PlainValue", &value, err));
    if (value.size == KEY) {
        memcpy(key, value.data, KEY);
    } else {
        st = vpi_key_invalid(err, "%s: PlainValue is not 16 bytes", where);
    }
    vpi_cpix_wipe(&value);
    return st;
}
