/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Structured fields (RFC 9651) as far as the draft needs them. What is not one is ignored as a whole, as it says. */

#include "ingest/tus_text.h"

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool key_byte(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || c == '*' || (!first && c && (digit(c) || strchr("_-.", c)));
}

static const char *blanks(const char *p)
{
    while (*p == ' ') p++;
    return p;
}

/* 3.1.2 and 4.2.3: ";key=value" after an item; NULL: wrong. */
static const char *parameters(const char *p);

/* 4.2.3.1: behind a bare item of any type; NULL: wrong. */
static const char *bare_item(const char *p)
{
    const char *from = p;

    if (*p == '"') {
        for (p++; *p != '"'; p++) {
            if ((unsigned char)*p < 32 || (unsigned char)*p >= 127) return NULL;
            if (*p == '\\' && *++p != '"' && *p != '\\') return NULL;
        }
        return p + 1;
    }
    if (*p == ':') {
        for (p++; *p != ':'; p++)
            if (!(digit(*p) || ((*p | 32) >= 'a' && (*p | 32) <= 'z') || (*p && strchr("+/=", *p))))
                return NULL;
        return p + 1;
    }
    if (*p == '?') return p[1] == '0' || p[1] == '1' ? p + 2 : NULL;
    if (*p == '-' || digit(*p)) {
        p += *p == '-';
        from = p;
        while (digit(*p)) p++;
        if (p == from || p - from > 15) return NULL;
        if (*p == '.') {
            if (p - from > 12 || !digit(p[1])) return NULL;
            from = ++p;
            while (digit(*p)) p++;
            if (p - from > 3) return NULL;
        }
        return p;
    }
    if (*p == '*' || ((*p | 32) >= 'a' && (*p | 32) <= 'z')) {
        while (*p && ((unsigned char)*p > 32 && (unsigned char)*p < 127) && !strchr("\"(),;<=>?@[\\]{}", *p))
            p++;
        return p;
    }
    return NULL;
}

static const char *key(const char *p)
{
    if (!key_byte(*p, true)) return NULL;
    while (key_byte(*p, false)) p++;
    return p;
}

static const char *parameters(const char *p)
{
    while (p && *p == ';') {
        p = key(blanks(p + 1));
        if (p && *p == '=') p = bare_item(p + 1);
    }
    return p;
}

/* Nothing but blanks is left. */
static bool ends(const char *p)
{
    p = p ? parameters(p) : NULL;
    return p && !*blanks(p);
}

bool vpi_draft_integer(const char *text, uint64_t *out)
{
    uint64_t v = 0;
    size_t n = 0;

    text = blanks(text);
    for (; digit(text[n]); n++) {
        if (n == 15) return false;
        v = 10 * v + (uint64_t)(text[n] - '0');
    }
    if (n == 0 || !ends(text + n)) return false;
    *out = v;
    return true;
}

bool vpi_draft_boolean(const char *text, bool *out)
{
    text = blanks(text);
    if (text[0] != '?' || (text[1] != '0' && text[1] != '1') || !ends(text + 2)) return false;
    *out = text[1] == '1';
    return true;
}

/* 4.2.2. The last of several equal keys counts. */
bool vpi_draft_bytes(const char *text, const char *name, uint8_t *to, size_t size)
{
    const char *p = blanks(text), *from, *value;
    bool found = false;

    while (*p) {
        from = p;
        p = key(p);
        if (!p) return false;
        if ((size_t)(p - from) == strlen(name) && memcmp(from, name, strlen(name)) == 0) {
            uint8_t bytes[48 + 3];
            size_t got = 0;

            value = *p == '=' ? p + 1 : "";
            p = *p == '=' ? bare_item(value) : p;
            if (!p) return false;
            found = value[0] == ':' && p - value - 2 <= 64 &&
                    vpi_base64_bytes(value + 1, (size_t)(p - value - 2), bytes, &got) && got == size;
            if (found) memcpy(to, bytes, size);
        } else if (*p == '=') {
            p = bare_item(p + 1);
        }
        p = p ? parameters(p) : NULL;
        if (!p) return false;
        while (*p == ' ' || *p == '\t') p++;
        if (!*p) break;
        if (*p++ != ',') return false;
        while (*p == ' ' || *p == '\t') p++;
        if (!*p) return false;
    }
    return found;
}

static int hex(char c)
{
    return digit(c) ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* RFC 6266: filename*=UTF-8''percent before filename="quoted" or a token. */
void vpi_draft_filename(const char *value, vpi_buf *to)
{
    const char *p = value, *plain = NULL, *coded = NULL;

    while ((p = strchr(p, ';')) != NULL) {
        for (p++; *p == ' ' || *p == '\t';) p++;
        if (strncmp(p, "filename*=", 10) == 0) coded = p + 10;
        if (strncmp(p, "filename=", 9) == 0) plain = p + 9;
        if (*(p += strcspn(p, "\";")) == '"') { /* a ';' between quotes ends nothing */
            for (p++; *p && *p != '"'; p++) p += *p == '\\' && p[1];
        }
    }
    if (coded && (strncmp(coded, "UTF-8''", 7) == 0 || strncmp(coded, "utf-8''", 7) == 0)) {
        for (p = coded + 7; *p && !strchr("; \t", *p); p++) {
            int high = *p == '%' ? hex(p[1]) : -1, low = high >= 0 ? hex(p[2]) : -1;

            vpi_buf_u8(to, low >= 0 ? (unsigned)(16 * high + low) : (unsigned char)*p);
            if (low >= 0) p += 2;
        }
    } else if (plain && *plain == '"') {
        for (p = plain + 1; *p && *p != '"'; p++) {
            if (*p == '\\' && p[1]) p++;
            vpi_buf_u8(to, (unsigned char)*p);
        }
    } else if (plain) {
        vpi_buf_add(to, plain, strcspn(plain, "; \t"));
    }
}
