/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "crypt/key_int.h"

#define FIRST_KEYS ((size_t)8)
#define TEXT_ROOM 448 /* of vp_error.message */

bool vpi_label_valid(const char *label)
{
    static const char *const labels[] = { "*", "audio", "sd", "hd", "uhd", "trick" };

    for (size_t i = 0; label && i < VPI_COUNT(labels); i++) {
        if (strcmp(label, labels[i]) == 0) return true;
    }
    return false;
}

vp_status vpi_key_invalid(vp_error *err, const char *format, ...)
{
    char text[TEXT_ROOM];
    va_list args;

    va_start(args, format);
    if (vsnprintf(text, sizeof(text), format, args) < 0) text[0] = 0;
    va_end(args);
    return vpi_fail(err, VP_E_AUTH, "KEY_INVALID", "%s", text);
}

/* realloc would leave keys behind in memory that it gives back. */
static bool grow(vpi_key_list *list)
{
    size_t cap = VPI_MAX(list->cap * 2, FIRST_KEYS);
    vpi_key *bigger;

    if (list->count < list->cap) return true;
    bigger = vpi_calloc(cap, sizeof(*bigger));
    if (!bigger) return false;
    if (list->count > 0) memcpy(bigger, list->keys, list->count * sizeof(*bigger));
    OPENSSL_cleanse(list->keys, list->count * sizeof(*bigger));
    vpi_free(list->keys);
    list->keys = bigger;
    list->cap = cap;
    return true;
}

vpi_key *vpi_key_list_add(vpi_key_list *list)
{
    vpi_key *k;

    if (!grow(list)) return NULL;
    k = &list->keys[list->count++];
    *k = (vpi_key){ .label = "" };
    return k;
}

void vpi_key_list_dispose(vpi_key_list *list)
{
    for (size_t i = 0; i < list->count; i++) vpi_key_info_dispose(&list->keys[i].info);
    OPENSSL_cleanse(list->keys, list->count * sizeof(*list->keys));
    vpi_free(list->keys);
    vpi_key_info_dispose(&list->common);
    *list = (vpi_key_list){ 0 };
}

vp_status vpi_key_uri_check(const char *uri, size_t size, const char *where, const char *name, vp_error *err)
{
    if (size == 0 || size > VPI_KEY_URI_MAX) {
        return vpi_key_invalid(err, "%s.%s: empty or longer than %zu bytes", where, name, VPI_KEY_URI_MAX);
    }
    for (size_t i = 0; i < size; i++) {
        if (uri[i] <= 0x20 || uri[i] >= 0x7F || uri[i] == '"') {
            return vpi_key_invalid(err, "%s.%s: not printable ASCII without quotes", where, name);
        }
    }
    return VP_OK;
}

/* Packagers wrote it before Apple's id was in the list of DASH-IF. */
static const uint8_t old_fairplay[16] = { 0x29, 0x70, 0x1F, 0xE4, 0x3C, 0xC7, 0x4A, 0x34,
                                          0x8C, 0x5B, 0xAE, 0x90, 0xC7, 0x43, 0x9A, 0x47 };

bool vpi_key_system_parse(const char *text, uint8_t system[16])
{
    if (vpi_system_from_word(text, system)) return true;
    if (!vpi_uuid_parse(text, system)) return false;
    if (memcmp(system, old_fairplay, 16) == 0) memcpy(system, vpi_system_fairplay, 16);
    return true;
}

static bool same_system(const uint8_t box[16], const uint8_t system[16])
{
    if (memcmp(box, system, 16) == 0) return true;
    return memcmp(box, old_fairplay, 16) == 0 && memcmp(system, vpi_system_fairplay, 16) == 0;
}

vp_status vpi_key_pssh_set(vpi_drm *d, vpi_buf *box, const char *where, vp_error *err)
{
    vpi_pssh pssh = { 0 };
    vp_status st = VP_OK;

    if (box->size > VPI_KEY_PSSH_MAX || vpi_pssh_parse(box->data, box->size, &pssh, NULL) != VP_OK ||
        pssh.size != box->size) {
        st = vpi_key_invalid(err, "%s: pssh is not one whole 'pssh' box", where);
    } else if (!same_system(pssh.system, d->system)) {
        st = vpi_key_invalid(err, "%s: pssh is a box of another system", where);
    }
    if (st != VP_OK) {
        vpi_buf_dispose(box);
        return st;
    }
    vpi_free(d->pssh);
    d->pssh = box->data;
    d->pssh_size = box->size;
    *box = (vpi_buf){ 0 };
    return VP_OK;
}

static int by_kid(const void *a, const void *b)
{
    const vpi_key *const *x = a, *const *y = b;

    return memcmp((*x)->info.kid, (*y)->info.kid, sizeof((*x)->info.kid));
}

vp_status vpi_key_list_check(const vpi_key_list *list, vp_error *err)
{
    const vpi_key **sorted = vpi_calloc(list->count, sizeof(*sorted));
    char uuid[VPI_UUID_TEXT];
    vp_status st = VP_OK;
    size_t n = 0;

    if (!sorted) return vpi_fail_nomem(err);
    for (size_t i = 0; i < list->count; i++) {
        if (list->keys[i].info.has_kid) sorted[n++] = &list->keys[i];
    }
    qsort(sorted, n, sizeof(*sorted), by_kid);
    for (size_t i = 1; i < n && st == VP_OK; i++) {
        const vpi_key *a = sorted[i - 1], *b = sorted[i];

        if (by_kid(&a, &b) != 0 || CRYPTO_memcmp(a->key, b->key, sizeof(a->key)) == 0) continue;
        vpi_uuid_text(a->info.kid, uuid);
        st = vpi_key_invalid(err, "kid %s: two different keys", uuid);
    }
    vpi_free(sorted);
    return st;
}
