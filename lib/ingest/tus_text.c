/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Header lines, numbers, targets, ids. */

#include <vodpipe/ingest.h>

#include "ingest/tus_text.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool token_byte(char c)
{
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool same_n(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (lower(a[i]) != lower(b[i]) || !a[i]) return false;
    return true;
}

bool vpi_tus_same(const char *a, const char *b)
{
    size_t n = strlen(a);

    return n == strlen(b) && same_n(a, b, n);
}

/* ---- header lines ---- */

void vpi_tus_fields_dispose(vpi_tus_fields *f)
{
    vpi_free(f->field);
    f->field = NULL;
    f->count = 0;
}

/* "Name: value" without its end. RFC 9112 5: no blank before the colon, no folded lines. */
static bool read_line(char *line, char *end, vpi_tus_field *out)
{
    char *p = line;

    while (p < end && token_byte(*p)) p++;
    if (p == line || p == end || *p != ':') return false;
    *p++ = 0;
    while (p < end && (*p == ' ' || *p == '\t')) p++;
    while (end > p && (end[-1] == ' ' || end[-1] == '\t')) end--;
    *end = 0;
    out->name = line;
    out->value = p;
    return vpi_tus_printable(p);
}

bool vpi_tus_printable(const char *value)
{
    for (; *value; value++)
        if (((unsigned char)*value < 32 && *value != '\t') || *value == 127) return false;
    return true;
}

int vpi_tus_fields_read(vpi_tus_fields *f, const char *lines)
{
    size_t size = lines ? strlen(lines) : 0, count = 0;
    char *text, *p;

    f->field = NULL;
    f->count = 0;
    if (size > VPI_TUS_HEADER_BYTES) return 431;
    for (size_t i = 0; i < size; i++)
        if (lines[i] == '\n') count++;
    if (size && lines[size - 1] != '\n') count++;
    if (count > VPI_TUS_HEADER_LINES) return 431;
    f->field = vpi_alloc(count * sizeof(*f->field) + size + 1);
    if (!f->field) return VPI_TUS_NOMEM;
    text = (char *)(f->field + count);
    if (size) memcpy(text, lines, size);
    text[size] = 0;
    for (p = text; p < text + size;) {
        char *end = memchr(p, '\n', (size_t)(text + size - p));
        char *next = end ? end + 1 : text + size;

        if (!end) end = next;
        if (end > p && end[-1] == '\r') end--;
        if (end == p && next == text + size) break; /* the empty line that ends a head */
        if (!read_line(p, end, &f->field[f->count])) {
            vpi_tus_fields_dispose(f);
            return 400;
        }
        f->count++;
        p = next;
    }
    return 0;
}

const char *vpi_tus_field_get(const vpi_tus_fields *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++)
        if (vpi_tus_same(f->field[i].name, name)) return f->field[i].value;
    return NULL;
}

bool vpi_tus_fields_conflict(const vpi_tus_fields *f)
{
    static const char *const once[] = { "Tus-Resumable",  "Upload-Length",   "Upload-Defer-Length",
                                        "Upload-Offset",  "Upload-Metadata", "Upload-Concat",
                                        "Content-Type",   "Content-Length",  "Upload-Checksum",
                                        "Origin",         "Range",           "X-HTTP-Method-Override",
                                        "Upload-Complete" };

    for (size_t i = 0; i < f->count; i++) {
        size_t k = 0;

        while (k < VPI_COUNT(once) && !vpi_tus_same(once[k], f->field[i].name)) k++;
        if (k < VPI_COUNT(once) && strcmp(vpi_tus_field_get(f, once[k]), f->field[i].value) != 0) return true;
    }
    return false;
}

bool vpi_tus_listed(const char *value, const char *name)
{
    size_t n = strlen(name);

    while (value && *value) {
        const char *end = strchr(value, ',');
        size_t size = end ? (size_t)(end - value) : strlen(value);

        while (size && (*value == ' ' || *value == '\t')) value++, size--;
        while (size && (value[size - 1] == ' ' || value[size - 1] == '\t')) size--;
        if (size == n && same_n(value, name, n)) return true;
        value = end ? end + 1 : NULL;
    }
    return false;
}

/* ---- values ---- */

bool vpi_tus_number(const char *text, uint64_t *out)
{
    uint64_t v = 0;
    size_t n = 0;

    for (; text[n]; n++) {
        if (text[n] < '0' || text[n] > '9' || n == 19) return false;
        v = 10 * v + (uint64_t)(text[n] - '0'); /* 19 digits fit */
    }
    if (n == 0 || v > INT64_MAX) return false;
    *out = v;
    return true;
}

bool vpi_tus_type_is(const char *value, const char *type)
{
    size_t n = strlen(type);

    if (!value || strlen(value) < n || !same_n(value, type, n)) return false;
    value += n;
    while (*value == ' ' || *value == '\t') value++;
    return !*value || *value == ';';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool vpi_tus_id(const char *text, size_t size, char id[68])
{
    size_t n = 0;

    for (size_t i = 0; i < size; i++) {
        char c = text[i];

        if (c == '%') {
            int high = size - i > 2 ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;

            if (low < 0) return false;
            c = (char)(16 * high + low);
            i += 2;
        }
        if (!((c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || c == '_' ||
              (c == '-' && n)) ||
            n == VP_UPLOAD_ID_MAX)
            return false;
        id[n++] = c;
    }
    id[n] = 0;
    return n > 0;
}

static bool strip(const char *text, size_t size, const char *base, const char **rest, size_t *left)
{
    size_t n = strlen(base);

    if (size >= n && memcmp(text, base, n) == 0) {
        *rest = text + n;
        *left = size - n;
        return true;
    }
    /* The base without its last slash. */
    *rest = text + size;
    *left = 0;
    return n > 1 && base[n - 1] == '/' && size == n - 1 && memcmp(text, base, size) == 0;
}

/* Where the path begins behind scheme and authority; 0: it has none. */
static size_t path_at(const char *url, size_t size)
{
    size_t n = size > 7 && same_n(url, "http://", 7) ? 7 : size > 8 && same_n(url, "https://", 8) ? 8 : 0;

    while (n && n < size && url[n] != '/') n++;
    return n;
}

bool vpi_tus_below(const char *target, size_t target_size, const char *base_path, const char *base_url,
                   const char **rest, size_t *size)
{
    size_t n = 0, at, base;

    while (n < target_size && target[n] != '?' && target[n] != '#') n++;
    if (strip(target, n, base_path, rest, size)) return true;
    at = path_at(target, n);
    if (!base_url) return at && strip(target + at, n - at, base_path, rest, size);
    /* What a client makes of base_url: its path alone, all of it, or, where it is a path, that of any authority. */
    base = path_at(base_url, strlen(base_url));
    if (at && base && (at != base || !same_n(target, base_url, at))) return false;
    return strip(target + at, n - at, base_url + base, rest, size);
}

void vpi_tus_date(int64_t us, char out[32])
{
    static const char days[] = "ThuFriSatSunMonTueWed";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t s = VPI_CLAMP(us / 1000000, 0, INT64_C(253402300799)); /* to the end of the year 9999 */
    int64_t day = s / 86400, z = day + 719468, era = z / 146097, of_era = z % 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t m = (5 * of_year + 2) / 153, d = of_year - (153 * m + 2) / 5 + 1;
    vpi_buf b = { 0 };

    /* Years that begin in March (Howard Hinnant, chrono-compatible low-level date algorithms). */
    m = m < 10 ? m + 3 : m - 9;
    year += 400 * era + (m <= 2);
    vpi_buf_printf(&b, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + 3 * (day % 7), (unsigned)d,
                   months + 3 * (m - 1), (unsigned)year, (unsigned)(s / 3600 % 24), (unsigned)(s / 60 % 60),
                   (unsigned)(s % 60));
    vpi_buf_u8(&b, 0);
    vpi_strlcpy(out, vpi_buf_failed(&b) ? "" : (const char *)b.data, 32);
    vpi_buf_dispose(&b);
}

int vpi_tus_range(const char *value, uint64_t total, uint64_t *from, uint64_t *size)
{
    char first[24], last[24];
    const char *dash;
    uint64_t a = 0, b = 0;

    *from = 0;
    *size = total;
    if (!value || !same_n(value, "bytes=", 6)) return 200;
    value += 6;
    dash = strchr(value, '-');
    if (!dash || strchr(value, ',') || (size_t)(dash - value) >= sizeof(first) || strlen(dash) > sizeof(last))
        return 200;
    memcpy(first, value, (size_t)(dash - value));
    first[dash - value] = 0;
    vpi_strlcpy(last, dash + 1, sizeof(last));
    if ((*first && !vpi_tus_number(first, &a)) || (*last && !vpi_tus_number(last, &b)) || (!*first && !*last))
        return 200;
    if (!*first) { /* the last b bytes */
        if (b == 0 || total == 0) return 416;
        *size = VPI_MIN(b, total);
        *from = total - *size;
        return 206;
    }
    if (*last && b < a) return 200; /* RFC 9110 14.1.1: invalid, as if it were not there */
    if (a >= total) return 416;
    *from = a;
    *size = (*last && b < total ? b + 1 : total) - a;
    return 206;
}
