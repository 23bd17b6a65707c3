/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What needs no libcurl: reading answers, and what may be told of an address. */

#include <strings.h>

#include "http.h"

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

bool vpi_http_header(const vpi_http_answer *answer, const char *name, char *to, size_t capacity)
{
    const char *p = (const char *)answer->headers.data, *end = p ? p + answer->headers.size : p;
    size_t length = strlen(name);

    while (p < end) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        const char *next = line_end ? line_end + 1 : end;

        if (!line_end) line_end = end;
        if ((size_t)(line_end - p) > length && p[length] == ':' && strncasecmp(p, name, length) == 0) {
            size_t n;

            p += length + 1;
            while (p < line_end && (*p == ' ' || *p == '\t')) p++;
            n = VPI_MIN((size_t)(line_end - p), capacity - 1);
            memcpy(to, p, n);
            to[n] = 0;
            return true;
        }
        p = next;
    }
    return false;
}

/* Where the line that begins at p ends, its break included; NULL: it does not. */
static const uint8_t *line_end(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *lf = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;

    return lf ? lf + 1 : NULL;
}

/* "HTTP/1.1 403 ": 403; 0: no such line. */
static int status_of(const uint8_t *p, const uint8_t *end)
{
    int status = 0;

    if (end - p < 13 || memcmp(p, "HTTP/1.", 7) != 0 || p[8] != ' ') return 0;
    for (int i = 9; i < 12; i++) {
        if (p[i] < '0' || p[i] > '9') return 0;
        status = status * 10 + p[i] - '0';
    }
    return status >= 100 ? status : 0;
}

/* What there is of chunks, without their sizes. */
static void add_chunks(vpi_buf *to, const uint8_t *p, const uint8_t *end)
{
    const uint8_t *next;

    while ((next = line_end(p, end)) != NULL) {
        size_t size = 0;
        bool digits = false;

        for (; p < next && size <= (SIZE_MAX >> 5); p++) {
            static const char hex[] = "0123456789abcdef";
            const char *at = *p ? memchr(hex, lower((char)*p), 16) : NULL;

            if (!at) break;
            digits = true;
            size = size << 4 | (size_t)(at - hex);
        }
        if (!digits || size == 0) return;
        size = VPI_MIN(size, (size_t)(end - next));
        vpi_buf_add(to, next, size);
        p = line_end(next + size, end);
        if (!p) return;
    }
}

bool vpi_http_parse(const void *data, size_t size, vpi_http_answer *out)
{
    const uint8_t *p = data, *end = p + size, *next;
    char text[32];

    for (;;) {
        out->status = status_of(p, end);
        if (!out->status) return false;
        vpi_buf_clear(&out->headers);
        vpi_buf_clear(&out->body);
        for (p = line_end(p, end); (next = line_end(p, end)) != NULL; p = next) {
            size_t n = (size_t)(next - p);

            while (n && (p[n - 1] == '\r' || p[n - 1] == '\n')) n--;
            if (!n) break;
            vpi_buf_add(&out->headers, p, n);
            vpi_buf_u8(&out->headers, '\n');
        }
        if (!next) return false;
        p = next;
        if (out->status >= 200) break; /* 100 Continue and the like come before the answer */
    }
    if (vpi_http_header(out, "Transfer-Encoding", text, sizeof(text))) {
        add_chunks(&out->body, p, end);
    } else {
        vpi_buf_add(&out->body, p, (size_t)(end - p));
    }
    return !vpi_buf_failed(&out->headers) && !vpi_buf_failed(&out->body);
}

static void wipe(vpi_buf *b)
{
    /* through a volatile function: a plain memset before free is taken out by compilers */
    static void *(*const volatile set)(void *, int, size_t) = memset;

    if (b->data) set(b->data, 0, b->size);
    vpi_buf_dispose(b);
}

void vpi_http_answer_dispose(vpi_http_answer *answer)
{
    wipe(&answer->headers);
    wipe(&answer->body);
    vpi_free(answer->redirect);
    answer->redirect = NULL;
    answer->status = 0;
}

bool vpi_http_number(const char **p, uint64_t *out)
{
    uint64_t n = 0;
    const char *begin = *p;

    for (; **p >= '0' && **p <= '9'; (*p)++) {
        unsigned digit = (unsigned)(**p - '0');

        if (n > ((uint64_t)INT64_MAX - digit) / 10) return false;
        n = n * 10 + digit;
    }
    *out = n;
    return *p > begin;
}

bool vpi_http_content_range(const vpi_http_answer *answer, uint64_t *first, uint64_t *last, uint64_t *total)
{
    char text[96];
    const char *p = text;

    if (!vpi_http_header(answer, "Content-Range", text, sizeof(text))) return false;
    if (strncasecmp(p, "bytes", 5) != 0) return false;
    p += 5;
    while (*p == ' ') p++;
    *first = 1;
    *last = 0;
    if (*p == '*') {
        p++;
    } else if (!vpi_http_number(&p, first) || *p++ != '-' || !vpi_http_number(&p, last) || *first > *last) {
        return false;
    }
    return *p++ == '/' && vpi_http_number(&p, total) && (*first > *last || *last < *total);
}

bool vpi_http_retryable(int status)
{
    return status == 408 || status == 425 || status == 429 ||
           (status >= 500 && status <= 599 && status != 501 && status != 505);
}

/* Length of "https://" or "http://" at the begin; 0: neither. */
static size_t scheme_size(const char *url)
{
    static const char *const schemes[] = { "https://", "http://" };

    for (size_t i = 0; i < VPI_COUNT(schemes); i++) {
        size_t n = 0;

        while (schemes[i][n] && lower(url[n]) == schemes[i][n]) n++;
        if (!schemes[i][n]) return n;
    }
    return 0;
}

void vpi_http_origin(const char *url, char *to, size_t capacity)
{
    static const char host_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:[]";
    size_t scheme = scheme_size(url);
    const char *host = url + scheme;
    size_t authority = strcspn(host, "/?#\\"), user = authority, n;

    while (user > 0 && host[user - 1] != '@') user--;
    host += user; /* user info is not for texts; the last '@' ends it */
    authority -= user;
    n = strspn(host, host_chars);
    if (!scheme || !authority || n < authority || scheme + authority + 1 > capacity) {
        vpi_strlcpy(to, "?", capacity);
        return;
    }
    memcpy(to, scheme == 8 ? "https://" : "http://", scheme);
    for (size_t i = 0; i < authority; i++) to[scheme + i] = lower(host[i]);
    to[scheme + authority] = 0;
}
