/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines, tags, attributes and URIs of playlists (RFC 8216 4.1, 4.2). */
#include <stdio.h>

#include "verify/hls_int.h"

#define NS_DIGITS 9
#define NS_MAX_SECONDS UINT64_C(1000000000)

bool vpi_view_is(vpi_view v, const char *text)
{
    return strlen(text) == v.size && memcmp(v.data, text, v.size) == 0;
}

bool vpi_view_begins(vpi_view v, const char *text)
{
    size_t n = strlen(text);

    return v.size >= n && memcmp(v.data, text, n) == 0;
}

bool vpi_view_u64(vpi_view v, uint64_t *out)
{
    uint64_t n = 0;

    if (v.size == 0) return false;
    for (size_t i = 0; i < v.size; i++) {
        if (v.data[i] < '0' || v.data[i] > '9') return false;
        if (!vpi_mul_u64(n, 10, &n) || !vpi_add_u64(n, (uint64_t)(v.data[i] - '0'), &n)) return false;
    }
    *out = n;
    return true;
}

bool vpi_view_ns(vpi_view v, uint64_t *out)
{
    const char *dot = memchr(v.data, '.', v.size);
    vpi_view whole = { v.data, dot ? (size_t)(dot - v.data) : v.size };
    uint64_t seconds, rest = 0;

    if (!vpi_view_u64(whole, &seconds) || seconds > NS_MAX_SECONDS) return false;
    if (dot) {
        vpi_view part = { dot + 1, v.size - whole.size - 1 };

        if (part.size > NS_DIGITS || !vpi_view_u64(part, &rest)) return false;
        for (size_t i = part.size; i < NS_DIGITS; i++) rest *= 10;
    }
    *out = seconds * UINT64_C(1000000000) + rest;
    return true;
}

bool vpi_view_range(vpi_view v, uint64_t *size, uint64_t *offset)
{
    const char *at = memchr(v.data, '@', v.size);

    if (!at) return false;
    return vpi_view_u64((vpi_view){ v.data, (size_t)(at - v.data) }, size) &&
           vpi_view_u64((vpi_view){ at + 1, v.size - (size_t)(at - v.data) - 1 }, offset);
}

bool vpi_next_line(vpi_line_walk *w, vpi_view *line, bool *tag)
{
    while (w->at < w->end) {
        const char *end = memchr(w->at, '\n', (size_t)(w->end - w->at));

        if (!end) end = w->end;
        *line = (vpi_view){ w->at, (size_t)(end - w->at) };
        w->at = end < w->end ? end + 1 : end;
        if (line->size == 0) continue;
        *tag = vpi_view_begins(*line, "#EXT");
        if (*tag || line->data[0] != '#') return true;
    }
    return false;
}

void vpi_split_tag(vpi_view line, vpi_view *name, vpi_view *value)
{
    const char *colon = memchr(line.data, ':', line.size);
    size_t n = colon ? (size_t)(colon - line.data) : line.size;

    *name = (vpi_view){ line.data + 1, n - 1 };
    *value = (vpi_view){ line.data + n + (colon ? 1 : 0), line.size - n - (colon ? 1 : 0) };
}

/* Cuts the next attribute off the list; false at its end. *good: it has the right form. */
static bool next_attribute(vpi_view *list, vpi_view *name, vpi_view *value, bool *quoted, bool *good)
{
    const char *equals, *end;

    *good = false;
    if (list->size == 0) return false;
    equals = memchr(list->data, '=', list->size);
    if (!equals) {
        list->size = 0;
        return true;
    }
    *name = (vpi_view){ list->data, (size_t)(equals - list->data) };
    list->size -= name->size + 1;
    list->data = equals + 1;
    *quoted = list->size > 0 && list->data[0] == '"';
    if (*quoted) {
        end = memchr(list->data + 1, '"', list->size - 1);
        if (!end) {
            list->size = 0;
            return true;
        }
        *value = (vpi_view){ list->data + 1, (size_t)(end - list->data) - 1 };
        list->size -= value->size + 2;
        list->data = end + 1;
    } else {
        end = memchr(list->data, ',', list->size);
        *value = (vpi_view){ list->data, end ? (size_t)(end - list->data) : list->size };
        list->size -= value->size;
        list->data += value->size;
    }
    *good = list->size == 0 || (list->data[0] == ',' && list->size > 1);
    if (list->size > 0) {
        list->data++;
        list->size--;
    }
    return true;
}

bool vpi_attribute(vpi_view list, const char *name, vpi_view *value, bool *quoted)
{
    vpi_view n = { NULL, 0 }, found = { NULL, 0 };
    bool q = false, good;

    while (next_attribute(&list, &n, &found, &q, &good)) {
        if (!good || !vpi_view_is(n, name)) continue;
        *value = found;
        if (quoted) *quoted = q;
        return true;
    }
    return false;
}

/*
 * Attributes of EXT-X-MEDIA, -STREAM-INF, -I-FRAME-STREAM-INF, -MAP, -KEY and -SESSION-KEY; others, and
 * CLOSED-CAPTIONS, may be either.
 */
static bool right_form(vpi_view name, bool quoted)
{
    static const char strings[] =
        " URI CODECS AUDIO VIDEO SUBTITLES NAME GROUP-ID LANGUAGE ASSOC-LANGUAGE INSTREAM-ID"
        " CHANNELS BYTERANGE SUPPLEMENTAL-CODECS CHARACTERISTICS KEYFORMAT KEYFORMATVERSIONS ";
    static const char words[] =
        " TYPE DEFAULT AUTOSELECT FORCED BANDWIDTH AVERAGE-BANDWIDTH RESOLUTION FRAME-RATE"
        " HDCP-LEVEL VIDEO-RANGE SCORE METHOD IV KEYID ";
    char spaced[64];

    if (name.size + 3 > sizeof(spaced)) return true;
    snprintf(spaced, sizeof(spaced), " %.*s ", (int)name.size, name.data);
    return strstr(strings, spaced) ? quoted : !strstr(words, spaced) || !quoted;
}

static bool is_there_before(vpi_view list, vpi_view name)
{
    vpi_view n = { NULL, 0 }, value = { NULL, 0 };
    bool quoted = false, good;

    while (next_attribute(&list, &n, &value, &quoted, &good) && n.data != name.data)
        if (n.size == name.size && memcmp(n.data, name.data, n.size) == 0) return true;
    return false;
}

bool vpi_attributes_valid(vpi_view list)
{
    vpi_view n = { NULL, 0 }, value = { NULL, 0 }, whole = list;
    bool quoted = false, good, all = true;

    while (next_attribute(&list, &n, &value, &quoted, &good)) {
        if (good) good = n.size > 0 && (quoted || (value.size > 0 && !memchr(value.data, ' ', value.size)));
        for (size_t i = 0; good && i < n.size; i++) {
            char c = n.data[i];

            good = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
        }
        if (good) good = right_form(n, quoted) && !is_there_before(whole, n);
        all = all && good;
    }
    return all;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Percent-decodes into out behind `at`; false when there is no room or a colon, query or fragment comes. */
static bool unescape(vpi_view uri, char *out, size_t at, size_t capacity)
{
    for (size_t i = 0; i < uri.size; i++) {
        char c = uri.data[i];

        if (c == ':' || c == '?' || c == '#' || at + 1 >= capacity) return false;
        if (c == '%') {
            int high = i + 2 < uri.size ? hex_digit(uri.data[i + 1]) : -1;
            int low = i + 2 < uri.size ? hex_digit(uri.data[i + 2]) : -1;

            if (high >= 0 && low >= 0) {
                c = (char)(high << 4 | low);
                i += 2;
            } else {
                return false;
            }
        }
        out[at++] = c;
    }
    out[at] = 0;
    return true;
}

bool vpi_resolve(const char *playlist, vpi_view uri, char out[1100])
{
    const char *slash = strrchr(playlist, '/');
    size_t folder = slash ? (size_t)(slash - playlist) + 1 : 0;

    if (uri.size == 0 || uri.data[0] == '/' || folder >= 1024) return false;
    memcpy(out, playlist, folder);
    while (vpi_view_begins(uri, "../")) {
        uri = (vpi_view){ uri.data + 3, uri.size - 3 };
        if (folder == 0) return false;
        for (folder--; folder > 0 && out[folder - 1] != '/'; folder--) continue;
    }
    return unescape(uri, out, folder, 1100) && vpi_key_valid(out);
}

/* Tags that a playlist has at most once (4.3.1 to 4.3.3, 4.3.5). */
static bool once(const char *text, size_t size)
{
    static const char *const tags[] = { "EXT-X-VERSION",
                                        "EXT-X-INDEPENDENT-SEGMENTS",
                                        "EXT-X-TARGETDURATION",
                                        "EXT-X-MEDIA-SEQUENCE",
                                        "EXT-X-PLAYLIST-TYPE",
                                        "EXT-X-ENDLIST",
                                        "EXT-X-I-FRAMES-ONLY",
                                        "EXT-X-START",
                                        "EXT-X-DISCONTINUITY-SEQUENCE" };
    bool seen[VPI_COUNT(tags)] = { false }, good = true, tag;
    vpi_line_walk w = { text, text + size };
    vpi_view line, name, value;

    while (vpi_next_line(&w, &line, &tag)) {
        if (!tag) continue;
        vpi_split_tag(line, &name, &value);
        for (size_t i = 0; i < VPI_COUNT(tags); i++) {
            if (!vpi_view_is(name, tags[i])) continue;
            good = good && !seen[i];
            seen[i] = true;
        }
    }
    return good;
}

bool vpi_m3u8_frame(vpi_verifier *v, const char *key, const char *text, size_t size)
{
    static const char head[] = "#EXTM3U\n";
    bool good = size >= sizeof(head) - 1 && memcmp(text, head, sizeof(head) - 1) == 0;

    vpi_check(v, good, "HLS", key, "does not begin with #EXTM3U");
    vpi_check(v, size > 0 && text[size - 1] == '\n', "HLS", key, "does not end with a newline");
    vpi_check(v, once(text, size), "HLS", key, "a tag of the whole playlist is there twice");
    vpi_check(v, !memchr(text, '\r', size) && !memchr(text, 0, size), "HLS", key, "holds CR or NUL bytes");
    return good;
}
