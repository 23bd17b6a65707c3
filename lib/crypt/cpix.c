/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * DASH-IF CPIX 2.3: content keys, what DRM systems are told of them, and rules that say which key is for what. XML
 * signatures are not looked at: who hands a document over vouches for it.
 */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "crypt/cpix_int.h"

#define SPACE "urn:dashif:org:cpix"
#define IV_BYTES ((size_t)16)

/* ---- text ---- */

void vpi_cpix_wipe(vpi_buf *b)
{
    if (b->data) OPENSSL_cleanse(b->data, b->capacity);
    vpi_buf_dispose(b);
}

vp_status vpi_cpix_base64(const char *text, size_t size, size_t max, const char *where, const char *name,
                          vpi_buf *out, vp_error *err)
{
    vpi_buf plain = { 0 };
    vp_status st = VP_OK;

    if (!vpi_buf_reserve(&plain, size)) return vpi_fail_nomem(err);
    for (size_t i = 0; i < size; i++) {
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r' && text[i] != '\n')
            vpi_buf_u8(&plain, (uint8_t)text[i]);
    }
    if (plain.size / 4 * 3 > max + 2) {
        st = vpi_key_invalid(err, "%s: %s is longer than %zu bytes", where, name, max);
    } else if (!vpi_base64_decode((const char *)plain.data, plain.size, out)) {
        st = vpi_buf_failed(out) ? vpi_fail_nomem(err)
                                 : vpi_key_invalid(err, "%s: %s is not base64", where, name);
    } else if (out->size > max) {
        st = vpi_key_invalid(err, "%s: %s is longer than %zu bytes", where, name, max);
    }
    vpi_cpix_wipe(&plain);
    if (st != VP_OK) vpi_cpix_wipe(out);
    return st;
}

vp_status vpi_cpix_uuid(const vpi_xml_node *n, const char *where, const char *name, uint8_t to[16],
                        vp_error *err)
{
    const char *text = vpi_xml_attribute(n, name);

    if (!text) return vpi_key_invalid(err, "%s: no %s", where, name);
    if (vpi_uuid_parse(text, to)) return VP_OK;
    return vpi_key_invalid(err, "%s: %s is not a UUID", where, name);
}

vp_status vpi_cpix_number(const vpi_xml_node *n, const char *where, const char *name, uint64_t max,
                          uint64_t *out, vp_error *err)
{
    const char *text = vpi_xml_attribute(n, name);
    uint64_t v = 0;

    if (!text) return VP_OK;
    for (size_t i = 0; text[i] || i == 0; i++) {
        if (text[i] < '0' || text[i] > '9' || !vpi_mul_u64(v, 10, &v) ||
            !vpi_add_u64(v, (uint64_t)(text[i] - '0'), &v)) {
            return vpi_key_invalid(err, "%s: %s is not a whole number", where, name);
        }
    }
    if (v > max) return vpi_key_invalid(err, "%s: %s is too large", where, name);
    *out = v;
    return VP_OK;
}

/* ---- content keys ---- */

/* explicitIV is the constant IV, which cenc does not have: some services give one for whatever they are asked. */
static vp_status read_iv(const vpi_xml_node *n, const char *where, vpi_key_info *k, vp_error *err)
{
    static const char *const schemes[] = { "cenc", "cbcs", "AES-128", "SAMPLE-AES", "SAMPLE-AES-CTR" };
    const char *scheme = vpi_xml_attribute(n, "commonEncryptionScheme"),
               *text = vpi_xml_attribute(n, "explicitIV");
    vpi_buf iv = { 0 };
    size_t i = 0;

    while (scheme && i < VPI_COUNT(schemes) && strcmp(scheme, schemes[i]) != 0) i++;
    if (i == VPI_COUNT(schemes)) {
        return vpi_key_invalid(err, "%s: commonEncryptionScheme is neither cenc nor cbcs", where);
    }
    if (!text || !text[0]) return VP_OK;
    VPI_TRY(vpi_cpix_base64(text, strlen(text), IV_BYTES, where, "explicitIV", &iv, err));
    k->has_iv = iv.size == IV_BYTES;
    if (k->has_iv) memcpy(k->iv, iv.data, IV_BYTES);
    vpi_buf_dispose(&iv);
    if (!k->has_iv) return vpi_key_invalid(err, "%s: explicitIV is not 16 bytes", where);
    if (vpi_streq(scheme, "cenc") || vpi_streq(scheme, "SAMPLE-AES-CTR")) k->has_iv = false;
    return VP_OK;
}

static vp_status read_key(const vpi_cpix_secrets *secrets, const vpi_xml_node *n, const char *where,
                          vpi_key *k, vp_error *err)
{
    VPI_TRY(vpi_cpix_uuid(n, where, "kid", k->info.kid, err));
    k->info.has_kid = true;
    if (vpi_xml_attribute(n, "dependsOnKey")) {
        return vpi_key_invalid(err, "%s: keys that depend on others are not supported", where);
    }
    VPI_TRY(read_iv(n, where, &k->info, err));
    return vpi_cpix_secrets_key(secrets, n, where, k->info.kid, k->key, err);
}

static vp_status read_keys(const vpi_xml_node *root, const vpi_cpix_secrets *secrets, vpi_key_list *keys,
                           vp_error *err)
{
    const vpi_xml_node *list = vpi_xml_child(root, "ContentKeyList");
    char where[VPI_CPIX_WHERE];

    for (const vpi_xml_node *n = list ? list->first : NULL; n; n = n->next) {
        vpi_key *k;

        if (strcmp(n->name, "ContentKey") != 0) continue;
        snprintf(where, sizeof(where), "ContentKey[%zu]", keys->count);
        k = vpi_key_list_add(keys);
        if (!k) return vpi_fail_nomem(err);
        VPI_TRY(read_key(secrets, n, where, k, err));
    }
    if (keys->count == 0) return vpi_fail(err, VP_E_AUTH, "KEY_MISSING", "ContentKeyList: no key");
    return VP_OK;
}

static int compare_kids(const void *a, const void *b)
{
    const vpi_key *const *x = a, *const *y = b;

    return memcmp((*x)->info.kid, (*y)->info.kid, sizeof((*x)->info.kid));
}

/* Pointers are sorted, not keys: qsort may copy what it sorts into memory that it does not wipe. */
static vp_status sort_keys(const vpi_key_list *keys, vpi_key ***out, vp_error *err)
{
    vpi_key **by_kid = vpi_calloc(keys->count, sizeof(*by_kid));
    char uuid[VPI_UUID_TEXT];

    *out = by_kid;
    if (!by_kid) return vpi_fail_nomem(err);
    for (size_t i = 0; i < keys->count; i++) by_kid[i] = &keys->keys[i];
    qsort(by_kid, keys->count, sizeof(*by_kid), compare_kids);
    for (size_t i = 1; i < keys->count; i++) {
        if (compare_kids(&by_kid[i - 1], &by_kid[i]) != 0) continue;
        vpi_uuid_text(by_kid[i]->info.kid, uuid);
        return vpi_key_invalid(err, "ContentKeyList: kid %s is there twice", uuid);
    }
    return VP_OK;
}

vpi_key *vpi_cpix_find(vpi_key *const *by_kid, size_t count, const uint8_t kid[16])
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int c = memcmp(kid, by_kid[middle]->info.kid, 16);

        if (c == 0) return by_kid[middle];
        if (c < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

static vp_status read_systems(const vpi_xml_node *root, vpi_key *const *by_kid, size_t count, vp_error *err)
{
    const vpi_xml_node *list = vpi_xml_child(root, "DRMSystemList");
    char where[VPI_CPIX_WHERE];
    uint8_t kid[16];
    size_t i = 0;

    for (const vpi_xml_node *n = list ? list->first : NULL; n; n = n->next) {
        vpi_key *k;

        if (strcmp(n->name, "DRMSystem") != 0) continue;
        snprintf(where, sizeof(where), "DRMSystem[%zu]", i++);
        VPI_TRY(vpi_cpix_uuid(n, where, "kid", kid, err));
        k = vpi_cpix_find(by_kid, count, kid);
        if (!k) return vpi_key_invalid(err, "%s: there is no ContentKey of its kid", where);
        VPI_TRY(vpi_cpix_drm(n, where, &k->info, err));
    }
    return VP_OK;
}

/* ---- document ---- */

/* Lists are there once, so that no second one slips past what was read. */
static vp_status check_root(const vpi_xml_node *root, vp_error *err)
{
    static const char *const lists[] = { "DeliveryDataList", "ContentKeyList", "DRMSystemList",
                                         "ContentKeyPeriodList", "ContentKeyUsageRuleList" };

    if (strcmp(root->name, "CPIX") != 0 || strcmp(root->space, SPACE) != 0) {
        return vpi_key_invalid(err, "not a CPIX document: no CPIX of " SPACE);
    }
    for (size_t i = 0; i < VPI_COUNT(lists); i++) {
        const vpi_xml_node *n = vpi_xml_child(root, lists[i]);

        for (n = n ? n->next : NULL; n; n = n->next) {
            if (strcmp(n->name, lists[i]) == 0) return vpi_key_invalid(err, "%s: there twice", lists[i]);
        }
    }
    return VP_OK;
}

static vp_status read_document(const vpi_xml_node *root, const vpi_cpix_secrets *secrets, vpi_key_list *out,
                               vp_error *err)
{
    vpi_key_list keys = { 0 };
    vpi_key **by_kid = NULL;
    vp_status st;

    VPI_GO(read_keys(root, secrets, &keys, err));
    VPI_GO(sort_keys(&keys, &by_kid, err));
    VPI_GO(read_systems(root, by_kid, keys.count, err));
    VPI_GO(vpi_cpix_rules(root, &keys, by_kid, out, err));
done:
    vpi_free(by_kid);
    vpi_key_list_dispose(&keys);
    return st;
}

vp_status vpi_cpix_parse(const void *data, size_t size, const void *private_key, size_t private_key_size,
                         const char *passphrase, vpi_key_list *out, vp_error *err)
{
    vp_error own = VP_ERROR_INIT;
    vpi_cpix_secrets *secrets = NULL;
    const vpi_xml_node *root;
    vpi_xml *xml = NULL;
    vp_status st;

    *out = (vpi_key_list){ 0 };
    st = vpi_xml_parse(data, size, NULL, &xml, &own);
    if (st == VP_E_NOMEM) return vpi_fail_nomem(err);
    if (st != VP_OK) return vpi_key_invalid(err, "%s", own.message);
    root = vpi_xml_root(xml);
    VPI_GO(check_root(root, err));
    VPI_GO(vpi_cpix_secrets_open(vpi_xml_child(root, "DeliveryDataList"), private_key, private_key_size,
                                 passphrase, &secrets, err));
    VPI_GO(read_document(root, secrets, out, err));
done:
    vpi_cpix_secrets_free(secrets);
    vpi_xml_free(xml);
    if (st != VP_OK) vpi_key_list_dispose(out);
    return st;
}
