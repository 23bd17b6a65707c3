/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Upload-Metadata, Upload-Concat, Upload-Checksum; what is kept with an upload. */

#include <vodpipe/ingest.h>

#include "ingest/tus_text.h"

/* ---- metadata ---- */

void vpi_tus_metadata_dispose(vpi_tus_metadata *m)
{
    vpi_free(m->pair);
    m->pair = NULL;
    m->count = 0;
}

const vpi_tus_pair *vpi_tus_metadata_get(const vpi_tus_metadata *m, const char *name)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (strcmp(m->pair[i].name, name) == 0) return &m->pair[i];
    return NULL;
}

/* One "name base64" without blanks around it into *to on; false: not one. */
static bool read_pair(vpi_tus_metadata *m, const char *text, size_t size, uint8_t **to)
{
    const char *space = memchr(text, ' ', size);
    size_t name = space ? (size_t)(space - text) : size, got = 0;
    vpi_tus_pair *p = &m->pair[m->count];

    if (name == 0) return false;
    for (size_t i = 0; i < name; i++)
        if ((unsigned char)text[i] <= 32 || (unsigned char)text[i] >= 127) return false;
    memcpy(*to, text, name);
    (*to)[name] = 0;
    p->name = (const char *)*to;
    if (vpi_tus_metadata_get(m, p->name)) return false;
    *to += name + 1;
    if (space && !vpi_base64_bytes(space + 1, size - name - 1, *to, &got)) return false;
    p->value = *to;
    p->size = got;
    *to += got;
    *(*to)++ = 0;
    m->count++;
    return true;
}

int vpi_tus_metadata_read(vpi_tus_metadata *m, const char *text)
{
    size_t size, pairs = 1;
    uint8_t *to;

    m->pair = NULL;
    m->count = 0;
    while (text && *text == ' ') text++;
    if (!text || !*text) return 0;
    size = strlen(text);
    if (size > VP_UPLOAD_METADATA_MAX) return 400;
    for (size_t i = 0; i < size; i++) pairs += text[i] == ',';
    if (pairs > VPI_TUS_PAIRS_MAX) return 400;
    /* Names and values are shorter than their text; two NULs each. */
    m->pair = vpi_alloc(pairs * sizeof(*m->pair) + size + 2 * pairs);
    if (!m->pair) return VPI_TUS_NOMEM;
    to = (uint8_t *)(m->pair + pairs);
    for (;;) {
        const char *end = strchr(text, ',');
        size_t n = end ? (size_t)(end - text) : strlen(text);

        while (n && (*text == ' ' || *text == '\t')) text++, n--;
        while (n && (text[n - 1] == ' ' || text[n - 1] == '\t')) n--;
        if (!read_pair(m, text, n, &to)) {
            vpi_tus_metadata_dispose(m);
            return 400;
        }
        if (!end) return 0;
        text = end + 1;
    }
}

void vpi_tus_metadata_write(const vpi_tus_metadata *m, vpi_buf *to)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (i) vpi_buf_u8(to, ',');
        vpi_buf_str(to, m->pair[i].name);
        if (m->pair[i].size) vpi_buf_u8(to, ' ');
        vpi_base64_add(to, m->pair[i].value, m->pair[i].size);
    }
}

/* ---- parts of a concatenation ---- */

int vpi_tus_concat_read(const char *value, const char *base_path, const char *base_url, char **parts)
{
    vpi_buf ids = { 0 };
    size_t count = 0;
    int refusal = 400;

    *parts = NULL;
    if (strcmp(value, "partial") == 0) return 0;
    if (strncmp(value, "final;", 6) != 0) return 400;
    for (value += 6; *value;) {
        size_t n = strcspn(value, " "), size;
        char id[68];
        const char *rest;

        if (n) {
            /* A bare id is a url that is relative to where creations go. */
            if (!vpi_tus_id(value, n, id) &&
                (!vpi_tus_below(value, n, base_path, base_url, &rest, &size) || !vpi_tus_id(rest, size, id)))
                goto done;
            if (++count > VP_UPLOAD_PARTS_MAX) goto done;
            if (ids.size) vpi_buf_u8(&ids, ' ');
            vpi_buf_str(&ids, id);
        }
        value += n;
        while (*value == ' ') value++;
    }
    if (count == 0) goto done;
    *parts = vpi_buf_steal_string(&ids);
    refusal = *parts ? 0 : VPI_TUS_NOMEM;
done:
    vpi_buf_dispose(&ids);
    return refusal;
}

/* ---- checksums ---- */

int vpi_tus_sum_read(const char *value, vpi_tus_sum *out)
{
    static const struct {
        const char *name;
        size_t size;
    } known[] = { { "sha1", 20 }, { "sha256", 32 }, { "md5", 16 }, { "crc32c", 4 } };
    const char *space = strchr(value, ' ');
    size_t name = space ? (size_t)(space - value) : 0, text = space ? strlen(space + 1) : 0;

    out->algorithm = NULL;
    for (size_t i = 0; i < VPI_COUNT(known); i++) {
        uint8_t digest[48];

        if (strlen(known[i].name) != name || memcmp(known[i].name, value, name) != 0) continue;
        if (text > 64 || !vpi_base64_bytes(space + 1, text, digest, &out->size) || out->size != known[i].size)
            return 400;
        memcpy(out->digest, digest, out->size);
        out->algorithm = known[i].name;
        return 0;
    }
    return 400;
}

/* ---- what browsers are told ---- */

const char *vpi_tus_safe_type(const vpi_tus_pair *type)
{
    static const char *const images[] = { "image/jpeg", "image/png", "image/gif", "image/webp",
                                          "image/avif" };
    const char *t = type ? (const char *)type->value : NULL;
    size_t n = 6;

    if (!t || type->size > 64 || strlen(t) != type->size) return NULL;
    for (size_t i = 0; i < VPI_COUNT(images); i++)
        if (vpi_tus_same(t, images[i])) return images[i];
    if (strncmp(t, "video/", 6) != 0 && strncmp(t, "audio/", 6) != 0) return NULL;
    while ((t[n] >= 'a' && t[n] <= 'z') || (t[n] >= '0' && t[n] <= '9') || (t[n] && strchr(".+-", t[n]))) n++;
    return n == 6 || t[n] ? NULL : t;
}

void vpi_tus_disposition(const vpi_tus_pair *filename, vpi_buf *to)
{
    vpi_buf_str(to, "attachment");
    if (!filename || filename->size == 0 || filename->size > 255) return;
    vpi_buf_str(to, "; filename=\"");
    for (size_t i = 0; i < filename->size; i++) {
        uint8_t c = filename->value[i];

        vpi_buf_u8(to, c < 32 || c >= 127 || strchr("\"\\/:*?<>|%;", c) ? '_' : c);
    }
    vpi_buf_str(to, "\"; filename*=UTF-8''");
    for (size_t i = 0; i < filename->size; i++) { /* RFC 8187 3.2.1 */
        uint8_t c = filename->value[i];

        if ((c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c && strchr("-._~", c))) {
            vpi_buf_u8(to, c);
        } else {
            vpi_buf_printf(to, "%%%02X", c);
        }
    }
}

/* ---- what is kept ---- */

#define KEPT "vodpipe-tus 1\n"

bool vpi_tus_kept_write(const char *metadata, const char *concat, uint64_t max_size, vpi_buf *to)
{
    vpi_buf_str(to, KEPT);
    if (metadata && *metadata) vpi_buf_printf(to, "m %s\n", metadata);
    if (concat) vpi_buf_printf(to, "c %s\n", concat);
    if (max_size) vpi_buf_printf(to, "x %llu\n", (unsigned long long)max_size);
    return vpi_buf_failed(to) || to->size <= VP_UPLOAD_METADATA_MAX;
}

void vpi_tus_kept_dispose(vpi_tus_kept *k)
{
    vpi_free(k->text);
    *k = (vpi_tus_kept){ 0 };
}

int vpi_tus_kept_read(const void *data, size_t size, vpi_tus_kept *out)
{
    char *p;

    *out = (vpi_tus_kept){ 0 };
    if (size < strlen(KEPT) || memcmp(data, KEPT, strlen(KEPT)) != 0) return 0;
    out->text = vpi_strndup(data, size);
    if (!out->text) return VPI_TUS_NOMEM;
    for (p = out->text + strlen(KEPT); *p;) {
        char *end = strchr(p, '\n'), kind = p[0];

        if (!end || p[1] != ' ') break;
        *end = 0;
        if (!vpi_tus_printable(p + 2)) break;
        if (kind == 'm') out->metadata = p + 2;
        if (kind == 'c') out->concat = p + 2;
        if (kind == 'x' && !vpi_tus_number(p + 2, &out->max_size)) out->max_size = 0;
        p = end + 1;
    }
    return 0;
}
