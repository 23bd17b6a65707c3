/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The canonical form of a request: what client and server must come to alike, each from its own side. A server sees
 * names and values decoded, so everything is decoded and encoded anew, strictly (S12, S13).
 */

#include <stdlib.h>
#include <strings.h>

#include "sign.h"

/* ---- bytes ---- */

static bool unreserved(unsigned c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void vpi_s3_put_byte(vpi_buf *out, unsigned c)
{
    static const char hex[] = "0123456789ABCDEF";

    if (unreserved(c)) {
        vpi_buf_u8(out, c);
    } else {
        vpi_buf_u8(out, '%');
        vpi_buf_u8(out, (unsigned char)hex[c >> 4 & 15]);
        vpi_buf_u8(out, (unsigned char)hex[c & 15]);
    }
}

void vpi_s3_put_url(vpi_buf *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned c = (unsigned char)text[i];

        if (c <= 0x20 || c >= 0x7F || strchr("\"<>\\^`{|}", (int)c)) {
            vpi_s3_put_byte(out, c);
        } else {
            vpi_buf_u8(out, c);
        }
    }
}

bool vpi_s3_token(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned c = (unsigned char)text[i];

        if (!unreserved(c) && (!c || !strchr("!#$%&'*+^`|", (int)c))) return false;
    }
    return size > 0;
}

static int digit(unsigned c)
{
    if (c >= '0' && c <= '9') return (int)c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? (int)c - 'a' + 10 : -1;
}

/* The byte at *at, decoded; *at goes on. The url was checked: '%' has its digits. */
static unsigned next(const char *text, size_t size, size_t *at, bool *escaped)
{
    unsigned c = (unsigned char)text[(*at)++];

    *escaped = c == '%' && size - *at >= 2;
    if (*escaped) {
        c = (unsigned)(digit((unsigned char)text[*at]) << 4 | digit((unsigned char)text[*at + 1])) & 0xFF;
        *at += 2;
    }
    return c;
}

/* ---- url ---- */

static vp_status check_bytes(const char *url, vp_error *err)
{
    for (const char *p = url; *p; p++) {
        unsigned c = (unsigned char)*p;

        if (c < 0x20 || c == 0x7F) return vpi_fail(err, VP_E_ARG, NULL, "url: has a control byte");
        if (c == '#') return vpi_fail(err, VP_E_ARG, NULL, "url: has a fragment; in a name '#' is %%23");
        if (c == '%' && (digit((unsigned char)p[1]) < 0 || digit((unsigned char)p[2]) < 0))
            return vpi_fail(err, VP_E_ARG, NULL, "url: '%%' without two digits; in a name '%%' is %%25");
    }
    return VP_OK;
}

/* The port that the scheme has anyway is not sent by clients, and so not signed. */
static vp_status split_host(vpi_s3_url *u, vp_error *err)
{
    size_t colon = u->host_size, digits;
    unsigned long port;

    for (size_t i = 0; i < u->host_size; i++) {
        unsigned c = (unsigned char)u->host[i];

        if (c <= 0x20 || c >= 0x7F || strchr("@\\\"<>%^`{|}", (int)c))
            return vpi_fail(err, VP_E_ARG, NULL,
                            "url: a host is letters, digits, dots and dashes, without user info");
        if (c == ':') colon = i;
        if (c == ']') colon = u->host_size;
    }
    if (!colon) return vpi_fail(err, VP_E_ARG, NULL, "url: has no host");
    if (colon == u->host_size) return VP_OK;
    digits = u->host_size - colon - 1;
    if (digits > 5 || strspn(u->host + colon + 1, "0123456789") < digits)
        return vpi_fail(err, VP_E_ARG, NULL, "url: its port is none");
    port = digits ? strtoul(u->host + colon + 1, NULL, 10) : 0;
    if (port > 65535) return vpi_fail(err, VP_E_ARG, NULL, "url: its port is none");
    if (!digits || port == (u->tls ? 443u : 80u)) u->host_size = colon;
    return VP_OK;
}

vp_status vpi_s3_url_split(const char *url, vpi_s3_url *out, vp_error *err)
{
    vpi_s3_url u = { 0 };

    if (!url) return vpi_fail(err, VP_E_ARG, NULL, "url: is missing");
    u.tls = strncasecmp(url, "https://", 8) == 0;
    if (!u.tls && strncasecmp(url, "http://", 7) != 0)
        return vpi_fail(err, VP_E_ARG, NULL, "url: begins neither with https:// nor with http://");
    VPI_TRY(check_bytes(url, err));
    u.host = url + (u.tls ? 8 : 7);
    u.host_size = strcspn(u.host, "/?");
    u.path = u.host + u.host_size;
    u.path_size = strcspn(u.path, "?");
    u.query = u.path + u.path_size;
    u.has_query = *u.query == '?';
    u.query += u.has_query;
    u.query_size = strlen(u.query);
    VPI_TRY(split_host(&u, err));
    *out = u;
    return VP_OK;
}

/* ---- path ---- */

/* RFC 3986 5.2.4, and one slash for several; p begins with one. Returns the new size. */
static size_t normalize(char *p, size_t size)
{
    size_t to = 1;

    for (size_t at = 1; at < size;) {
        const char *slash = memchr(p + at, '/', size - at);
        size_t n = slash ? (size_t)(slash - (p + at)) : size - at;

        if (n == 2 && p[at] == '.' && p[at + 1] == '.') {
            if (to > 1) to--;
            while (to > 1 && p[to - 1] != '/') to--;
        } else if (n && !(n == 1 && p[at] == '.')) {
            memmove(p + to, p + at, n);
            to += n;
            if (slash) p[to++] = '/';
        }
        at += n + 1;
    }
    return to;
}

void vpi_s3_put_path(vpi_buf *out, const char *path, size_t size, uint32_t flags)
{
    bool twice = flags & VP_S3_SIGN_ENCODE_TWICE, escaped;
    vpi_buf once = { 0 };

    if (!size) vpi_buf_u8(&once, '/');
    for (size_t i = 0; i < size;) {
        unsigned c = next(path, size, &i, &escaped);

        /* To S3 an encoded slash is one of the key like any other; where names are encoded twice it is told apart. */
        if (c == '/' && !(escaped && twice)) {
            vpi_buf_u8(&once, c);
        } else {
            vpi_s3_put_byte(&once, c);
        }
    }
    if ((flags & VP_S3_SIGN_NORMALIZE) && !once.failed) once.size = normalize((char *)once.data, once.size);
    for (size_t i = 0; i < once.size; i++) {
        vpi_buf_u8(out, once.data[i]);
        if (twice && once.data[i] == '%') vpi_buf_str(out, "25");
    }
    out->failed |= once.failed;
    vpi_buf_dispose(&once);
}

/* ---- fields ---- */

void vpi_s3_fields_dispose(vpi_s3_fields *fields)
{
    vpi_s3_buf_wipe(&fields->text);
    vpi_free(fields->list);
    memset(fields, 0, sizeof(*fields));
}

/* Opens a field with its name at the end of text; its value is what is written there next. */
static vpi_s3_field *begin(vpi_s3_fields *f, size_t name, vp_error *err)
{
    vpi_s3_field *field;

    if (!VPI_GROW(f->list, f->count, f->cap)) {
        vpi_fail_nomem(err);
        return NULL;
    }
    field = &f->list[f->count++];
    *field = (vpi_s3_field){ .name = name, .name_size = f->text.size - name, .value = f->text.size };
    return field;
}

static vp_status end(vpi_s3_fields *f, vp_error *err)
{
    vpi_s3_field *field = &f->list[f->count - 1];

    if (vpi_buf_failed(&f->text)) return vpi_fail_nomem(err);
    field->value_size = f->text.size - field->value;
    return VP_OK;
}

vp_status vpi_s3_fields_add(vpi_s3_fields *fields, const char *name, const char *value, size_t value_size,
                            vp_error *err)
{
    size_t at = fields->text.size;

    vpi_buf_str(&fields->text, name);
    if (!begin(fields, at, err)) return VP_E_NOMEM;
    vpi_buf_add(&fields->text, value, value_size);
    return end(fields, err);
}

vp_status vpi_s3_fields_encoded(vpi_s3_fields *fields, const char *name, const char *value, vp_error *err)
{
    size_t at = fields->text.size;

    vpi_buf_str(&fields->text, name);
    if (!begin(fields, at, err)) return VP_E_NOMEM;
    vpi_s3_encode(&fields->text, value, false);
    return end(fields, err);
}

static bool is_one_of(const char *const *names, const void *name, size_t size)
{
    for (; *names; names++)
        if (strlen(*names) == size && strncasecmp(*names, name, size) == 0) return true;
    return false;
}

/* ---- query ---- */

static void encode_anew(vpi_buf *out, const char *text, size_t size)
{
    bool escaped;

    for (size_t i = 0; i < size;) vpi_s3_put_byte(out, next(text, size, &i, &escaped));
}

vp_status vpi_s3_fields_query(vpi_s3_fields *fields, const char *query, size_t size, vp_error *err)
{
    static const char *const ours[] = { "X-Amz-Algorithm", "X-Amz-Credential",     "X-Amz-Date",
                                        "X-Amz-Expires",   "X-Amz-SignedHeaders",  "X-Amz-Security-Token",
                                        "X-Amz-Signature", "X-Amz-Content-Sha256", NULL };

    if (memchr(query, '+', size)) {
        return vpi_fail(err, VP_E_ARG, NULL,
                        "url: '+' in the query is a space to some servers: %%2B, or %%20 for a space");
    }
    for (size_t at = 0; at < size;) {
        const char *p = query + at, *amp = memchr(p, '&', size - at);
        size_t n = amp ? (size_t)(amp - p) : size - at, name, start = fields->text.size;
        const char *equals = memchr(p, '=', n);

        at += n + 1;
        if (!n) continue;
        name = equals ? (size_t)(equals - p) : n;
        encode_anew(&fields->text, p, name);
        if (!begin(fields, start, err)) return VP_E_NOMEM;
        if (equals) encode_anew(&fields->text, equals + 1, n - name - 1);
        VPI_TRY(end(fields, err));
        if (is_one_of(ours, fields->text.data + start, fields->list[fields->count - 1].name_size))
            return vpi_fail(err, VP_E_ARG, NULL, "url: is signed already");
    }
    return VP_OK;
}

/* ---- headers ---- */

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* A line and those that go on with it (RFC 9112 5.2), which begin with a blank. */
static size_t line_size(const char *p)
{
    size_t n = strcspn(p, "\n");

    while (p[n] == '\n' && blank(p[n + 1])) n += 1 + strcspn(p + n + 1, "\n");
    return n;
}

/* Blanks at both ends go, several become one space. */
static bool put_value(vpi_buf *out, const char *p, size_t size)
{
    size_t start = out->size;
    bool gap = false;

    for (size_t i = 0; i < size; i++) {
        unsigned c = (unsigned char)p[i];
        bool folded = c == '\n' || (c == '\r' && i + 1 < size && p[i + 1] == '\n');

        if (blank(p[i]) || folded) {
            gap = true;
            continue;
        }
        if (c < 0x20 || c == 0x7F) return false;
        if (gap && out->size > start) vpi_buf_u8(out, ' ');
        gap = false;
        vpi_buf_u8(out, c);
    }
    return true;
}

static vp_status add_header(vpi_s3_fields *f, const char *line, size_t size, vp_error *err)
{
    static const char *const ours[] = { "host",          "x-amz-date",           "x-amz-security-token",
                                        "authorization", "x-amz-content-sha256", NULL };
    const char *colon = memchr(line, ':', size);
    size_t name = colon ? (size_t)(colon - line) : 0, at = f->text.size;

    if (!vpi_s3_token(line, name))
        return vpi_fail(err, VP_E_ARG, NULL, "headers: not lines of \"Name: value\"");
    if (is_one_of(ours, line, name)) {
        return vpi_fail(err, VP_E_ARG, NULL, "headers: %.*s is the signature's own, or comes from the url",
                        (int)name, line);
    }
    for (size_t i = 0; i < name; i++) {
        unsigned c = (unsigned char)line[i];

        vpi_buf_u8(&f->text, c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    if (!begin(f, at, err)) return VP_E_NOMEM;
    if (!put_value(&f->text, colon + 1, size - name - 1))
        return vpi_fail(err, VP_E_ARG, NULL, "headers: a control byte in a value");
    return end(f, err);
}

vp_status vpi_s3_fields_headers(vpi_s3_fields *fields, const char *lines, vp_error *err)
{
    while (lines && *lines) {
        size_t size = line_size(lines), text = size;

        if (text && lines[text - 1] == '\r') text--;
        if (text) VPI_TRY(add_header(fields, lines, text, err));
        lines += size + (lines[size] == '\n');
    }
    return VP_OK;
}

/* ---- order ---- */

static int compare_text(const char *a, size_t a_size, const char *b, size_t b_size)
{
    int r = memcmp(a, b, VPI_MIN(a_size, b_size));

    return r ? r : (a_size > b_size) - (a_size < b_size);
}

static int compare_names(const void *x, const void *y)
{
    const vpi_s3_field *a = x, *b = y;
    int r = compare_text(a->text + a->name, a->name_size, b->text + b->name, b->name_size);

    return r ? r : (a->name > b->name) - (a->name < b->name); /* as they came */
}

static int compare_values(const void *x, const void *y)
{
    const vpi_s3_field *a = x, *b = y;
    int r = compare_text(a->text + a->name, a->name_size, b->text + b->name, b->name_size);

    return r ? r : compare_text(a->text + a->value, a->value_size, b->text + b->value, b->value_size);
}

void vpi_s3_fields_sort(vpi_s3_fields *fields, bool by_value)
{
    for (size_t i = 0; i < fields->count; i++) fields->list[i].text = (const char *)fields->text.data;
    if (fields->count > 1) {
        qsort(fields->list, fields->count, sizeof(*fields->list), by_value ? compare_values : compare_names);
    }
}

void vpi_s3_put_query(vpi_buf *out, const vpi_s3_fields *sorted)
{
    for (size_t i = 0; i < sorted->count; i++) {
        const vpi_s3_field *f = &sorted->list[i];

        if (i) vpi_buf_u8(out, '&');
        vpi_buf_add(out, f->text + f->name, f->name_size);
        vpi_buf_u8(out, '=');
        vpi_buf_add(out, f->text + f->value, f->value_size);
    }
}

static bool same_name(const vpi_s3_field *a, const vpi_s3_field *b)
{
    return compare_text(a->text + a->name, a->name_size, b->text + b->name, b->name_size) == 0;
}

void vpi_s3_put_headers(vpi_buf *out, const vpi_s3_fields *sorted)
{
    for (size_t i = 0; i < sorted->count; i++) {
        const vpi_s3_field *f = &sorted->list[i];

        if (i && same_name(f - 1, f)) {
            vpi_buf_u8(out, ',');
        } else {
            if (i) vpi_buf_u8(out, '\n');
            vpi_buf_add(out, f->text + f->name, f->name_size);
            vpi_buf_u8(out, ':');
        }
        vpi_buf_add(out, f->text + f->value, f->value_size);
    }
    vpi_buf_u8(out, '\n');
}

void vpi_s3_put_names(vpi_buf *out, const vpi_s3_fields *sorted)
{
    for (size_t i = 0; i < sorted->count; i++) {
        const vpi_s3_field *f = &sorted->list[i];

        if (i && same_name(f - 1, f)) continue;
        if (i) vpi_buf_u8(out, ';');
        vpi_buf_add(out, f->text + f->name, f->name_size);
    }
}
