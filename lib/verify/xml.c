/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tags and attributes of an MPD: enough XML for documents without a DTD, read where they lie. */
#include "verify/mpd_int.h"

#define NS UINT64_C(1000000000)

static bool space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Skips what begins with `start`, through `end`; false when it does not begin so. */
static bool skip(vpi_tag_walk *w, const char *start, const char *end)
{
    size_t n = strlen(start), m = strlen(end);

    if ((size_t)(w->end - w->at) < n || memcmp(w->at, start, n) != 0) return false;
    for (const char *p = w->at + n; p + m <= w->end; p++) {
        if (memcmp(p, end, m) != 0) continue;
        w->at = p + m;
        return true;
    }
    w->broken = true;
    return false;
}

/* The byte '>' that ends the tag at w->at; NULL when there is none. */
static const char *tag_end(const vpi_tag_walk *w)
{
    char quote = 0;

    for (const char *p = w->at + 1; p < w->end; p++) {
        if (quote) {
            if (*p == quote) quote = 0;
        } else if (*p == '"' || *p == '\'') {
            quote = *p;
        } else if (*p == '>') {
            return p;
        }
    }
    return NULL;
}

bool vpi_tag_next(vpi_tag_walk *w, vpi_tag *tag)
{
    const char *end, *p, *colon;

    for (;;) {
        w->at = w->broken || w->at >= w->end ? NULL : memchr(w->at, '<', (size_t)(w->end - w->at));
        if (!w->at) {
            w->at = w->end;
            return false;
        }
        if (skip(w, "<!--", "-->") || skip(w, "<?", "?>")) continue;
        break;
    }
    end = w->broken ? NULL : tag_end(w);
    if (!end || w->at[1] == '!') {
        w->broken = true;
        return false;
    }
    *tag = (vpi_tag){ .kind = VPI_TAG_OPEN, .after = end + 1 };
    p = w->at + 1;
    w->at = end + 1;
    if (*p == '/') {
        tag->kind = VPI_TAG_CLOSE;
        p++;
    } else if (end[-1] == '/') {
        tag->kind = VPI_TAG_EMPTY;
        end--;
    }
    tag->name.data = p;
    while (p < end && !space(*p)) p++;
    tag->name.size = (size_t)(p - tag->name.data);
    tag->attributes = (vpi_view){ p, (size_t)(end - p) };
    colon = memchr(tag->name.data, ':', tag->name.size);
    if (colon) {
        tag->name.size -= (size_t)(colon + 1 - tag->name.data);
        tag->name.data = colon + 1;
    }
    if (tag->name.size == 0) w->broken = true;
    return !w->broken;
}

bool vpi_tag_attribute(const vpi_tag *tag, const char *name, vpi_view *value)
{
    const char *p = tag->attributes.data, *end = p + tag->attributes.size;

    while (p < end) {
        vpi_view n = { NULL, 0 };
        const char *close;

        while (p < end && space(*p)) p++;
        n.data = p;
        while (p < end && *p != '=' && !space(*p)) p++;
        n.size = (size_t)(p - n.data);
        while (p < end && (space(*p) || *p == '=')) p++;
        if (p >= end || (*p != '"' && *p != '\'')) return false;
        close = memchr(p + 1, *p, (size_t)(end - p - 1));
        if (!close) return false;
        if (vpi_view_is(n, name)) {
            *value = (vpi_view){ p + 1, (size_t)(close - p - 1) };
            return true;
        }
        p = close + 1;
    }
    return false;
}

vpi_view vpi_tag_text(const vpi_tag_walk *w, const vpi_tag *tag)
{
    const char *next;

    if (tag->kind != VPI_TAG_OPEN) return (vpi_view){ "", 0 };
    next = memchr(tag->after, '<', (size_t)(w->end - tag->after));
    return (vpi_view){ tag->after, (size_t)((next ? next : w->end) - tag->after) };
}

bool vpi_xml_plain(vpi_view from, char *to, size_t capacity)
{
    static const struct {
        const char *name;
        char c;
    } entities[] = {
        { "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' }, { "&quot;", '"' }, { "&apos;", '\'' }
    };
    size_t n = 0;

    for (size_t i = 0; i < from.size; i++) {
        char c = from.data[i];

        if (c == '&') {
            vpi_view rest = { from.data + i, from.size - i };
            size_t k = 0;

            while (k < VPI_COUNT(entities) && !vpi_view_begins(rest, entities[k].name)) k++;
            if (k == VPI_COUNT(entities)) return false;
            c = entities[k].c;
            i += strlen(entities[k].name) - 1;
        }
        if (n + 1 >= capacity) return false;
        to[n++] = c;
    }
    to[n] = 0;
    return true;
}

bool vpi_xml_duration(vpi_view v, uint64_t *ns)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } parts[] = { { 'H', 3600 }, { 'M', 60 }, { 'S', 1 } };
    uint64_t sum = 0, part;
    size_t next = 0;

    if (!vpi_view_begins(v, "PT") || v.size < 4) return false;
    v = (vpi_view){ v.data + 2, v.size - 2 };
    while (v.size > 0) {
        size_t n = 0;

        while (n < v.size && ((v.data[n] >= '0' && v.data[n] <= '9') || v.data[n] == '.')) n++;
        if (n == 0 || n == v.size || !vpi_view_ns((vpi_view){ v.data, n }, &part)) return false;
        while (next < VPI_COUNT(parts) && parts[next].unit != v.data[n]) next++;
        if (next == VPI_COUNT(parts) || !vpi_mul_u64(part, parts[next].seconds, &part) ||
            !vpi_add_u64(sum, part, &sum)) {
            return false;
        }
        next++;
        v = (vpi_view){ v.data + n + 1, v.size - n - 1 };
    }
    *ns = sum;
    return true;
}
