/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "manifest/dash_int.h"
#include "manifest/uri.h"

#define MAX_REFERENCES 65535u /* of a sidx: reference_count has 16 bits (ISO/IEC 14496-12 8.16.3) */
#define MAX_DIGITS 9
#define NUMBER_TEXT 24
#define FOLDER_SIZE 1024

/* Keys of a track as prefix, number, suffix; the number counts up by one. */
typedef struct pattern {
    size_t prefix;      /* bytes of the key before the number */
    size_t digits;      /* of the first number */
    const char *suffix; /* behind it, in the first key */
    uint64_t first;
} pattern;

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool follows(const pattern *p, const char *first_key, const char *key, uint64_t number)
{
    char text[NUMBER_TEXT];
    int n = snprintf(text, sizeof(text), "%0*" PRIu64, (int)p->digits, number);

    return n > 0 && strncmp(key, first_key, p->prefix) == 0 &&
           strncmp(key + p->prefix, text, (size_t)n) == 0 && strcmp(key + p->prefix + n, p->suffix) == 0;
}

static bool holds(const pattern *p, const vpi_ptrack *t)
{
    size_t i;

    for (i = 0; i < t->segment_count; i++) {
        if (!follows(p, t->segments[0].key, t->segments[i].key, p->first + i)) return false;
    }
    return true;
}

/* Tries each number in the name of the first segment's file: "00001.m4s" has two. */
static bool find_pattern(const vpi_ptrack *t, pattern *p)
{
    const char *key = t->segments[0].key, *slash = strrchr(key, '/');
    const char *at = slash ? slash + 1 : key;

    while (*at) {
        size_t n = 0;

        while (is_digit(at[n])) n++;
        if (n > 0 && n <= MAX_DIGITS) {
            size_t i;

            *p = (pattern){ (size_t)(at - key), n, at + n, 0 };
            for (i = 0; i < n; i++) p->first = p->first * 10 + (uint64_t)(at[i] - '0');
            if (holds(p, t)) return true;
        }
        at += n ? n : 1;
    }
    return false;
}

static size_t references(const vpi_ptrack *t)
{
    size_t n = 0, i;

    for (i = 0; i < t->segment_count; i++) n += VPI_MAX(t->segments[i].fragment_count, (size_t)1);
    return n;
}

vpi_addressing vpi_dash_addressing(const vpi_ptrack *t)
{
    pattern p;

    if (t->single_file) {
        return t->index.key && t->init.key && references(t) <= MAX_REFERENCES ? VPI_DASH_BASE : VPI_DASH_LIST;
    }
    return t->init.key && find_pattern(t, &p) ? VPI_DASH_TEMPLATE : VPI_DASH_LIST;
}

size_t vpi_dash_segments(const vpi_ptrack *t, const vpi_dash_time *time)
{
    size_t n = t->segment_count;

    while (n > 1 &&
           (vpi_u128)t->segments[n - 1].start * time->timescale >= (vpi_u128)time->end * t->timescale)
        n--;
    return n;
}

/* S@r is the number of further segments of the same length; S@t is needed on the first only (5.3.9.6). */
static void timeline(vpi_xml *x, const vpi_ptrack *t, size_t segments)
{
    size_t i, run;

    vpi_xml_open(x, "SegmentTimeline");
    for (i = 0; i < segments; i += run) {
        const vpi_segment *s = &t->segments[i];

        for (run = 1; i + run < segments && t->segments[i + run].ticks == s->ticks; run++) continue;
        vpi_xml_open(x, "S");
        if (i == 0) vpi_xml_attrf(x, "t", "%" PRIu64, s->start);
        vpi_xml_attrf(x, "d", "%" PRIu64, s->ticks);
        if (run > 1) vpi_xml_attrf(x, "r", "%zu", run - 1);
        vpi_xml_close(x);
    }
    vpi_xml_close(x);
}

/* Attribute whose value is text in a buffer, which is given up. */
static void attr_buf(vpi_xml *x, const char *name, vpi_buf *value)
{
    vpi_buf_u8(value, 0);
    if (vpi_buf_failed(value)) {
        x->out->failed = true;
    } else {
        vpi_xml_attr(x, name, (const char *)value->data);
    }
    vpi_buf_dispose(value);
}

/* Bytes of the key in front of the track's own folder; SIZE_MAX when that has another name than the track. */
static size_t before_own_folder(const char *key, const char *name)
{
    const char *slash = strrchr(key, '/');
    size_t n = strlen(name), folder = slash ? (size_t)(slash - key) : 0;

    if (folder < n || memcmp(key + folder - n, name, n) != 0) return SIZE_MAX;
    if (folder > n && key[folder - n - 1] != '/') return SIZE_MAX;
    return folder - n;
}

/* Key up to size bytes, the track's own folder as $RepresentationID$ when shared. */
static void add_template(vpi_buf *b, const vpi_ptrack *t, const char *key, size_t size, bool shared)
{
    size_t before = shared ? before_own_folder(key, t->name) : SIZE_MAX, rest;

    if (before == SIZE_MAX) {
        vpi_uri_add(b, key, size);
        return;
    }
    rest = before + strlen(t->name);
    vpi_uri_add(b, key, before);
    vpi_buf_str(b, "$RepresentationID$");
    vpi_uri_add(b, key + rest, size - rest);
}

static void media_template(vpi_buf *b, const vpi_ptrack *t, const pattern *p, bool shared)
{
    const char *key = t->segments[0].key;

    add_template(b, t, key, p->prefix, shared);
    if (p->digits > 1) {
        vpi_buf_printf(b, "$Number%%0%zud$", p->digits);
    } else {
        vpi_buf_str(b, "$Number$");
    }
    vpi_uri_add(b, p->suffix, strlen(p->suffix));
}

static void add_segment_template(vpi_xml *x, const vpi_ptrack *t, size_t segments, bool shared)
{
    vpi_buf text = { 0 };
    pattern p = { 0 };

    find_pattern(t, &p);
    vpi_xml_open(x, "SegmentTemplate");
    vpi_xml_attrf(x, "timescale", "%u", t->timescale);
    add_template(&text, t, t->init.key, strlen(t->init.key), shared);
    attr_buf(x, "initialization", &text);
    media_template(&text, t, &p, shared);
    attr_buf(x, "media", &text);
    vpi_xml_attrf(x, "startNumber", "%" PRIu64, p.first);
    timeline(x, t, segments);
    vpi_xml_close(x);
}

static void attr_uri(vpi_xml *x, const char *name, const char *key)
{
    vpi_buf text = { 0 };

    vpi_uri_add(&text, key, strlen(key));
    attr_buf(x, name, &text);
}

static void attr_range(vpi_xml *x, const char *name, uint64_t offset, uint64_t bytes)
{
    vpi_xml_attrf(x, name, "%" PRIu64 "-%" PRIu64, offset, offset + bytes - 1);
}

static void add_segment_base(vpi_xml *x, const vpi_ptrack *t)
{
    vpi_buf text = { 0 };

    vpi_xml_open(x, "BaseURL");
    vpi_uri_add(&text, t->init.key, strlen(t->init.key));
    vpi_buf_u8(&text, 0);
    if (vpi_buf_failed(&text)) {
        x->out->failed = true;
    } else {
        vpi_xml_text(x, (const char *)text.data);
    }
    vpi_buf_dispose(&text);
    vpi_xml_close(x);
    vpi_xml_open(x, "SegmentBase");
    vpi_xml_attrf(x, "timescale", "%u", t->timescale);
    attr_range(x, "indexRange", t->index.offset, t->index.bytes);
    vpi_xml_attr(x, "indexRangeExact", "true");
    vpi_xml_open(x, "Initialization");
    attr_range(x, "range", t->init.offset, t->init.bytes);
    vpi_xml_close(x);
    vpi_xml_close(x);
}

static void add_segment_list(vpi_xml *x, const vpi_ptrack *t, size_t segments)
{
    size_t i;

    vpi_xml_open(x, "SegmentList");
    vpi_xml_attrf(x, "timescale", "%u", t->timescale);
    if (t->init.key) {
        vpi_xml_open(x, "Initialization");
        attr_uri(x, "sourceURL", t->init.key);
        if (t->single_file) attr_range(x, "range", t->init.offset, t->init.bytes);
        vpi_xml_close(x);
    }
    timeline(x, t, segments);
    for (i = 0; i < segments; i++) {
        const vpi_segment *s = &t->segments[i];

        vpi_xml_open(x, "SegmentURL");
        attr_uri(x, "media", s->key);
        if (t->single_file || s->offset) attr_range(x, "mediaRange", s->offset, s->bytes);
        vpi_xml_close(x);
    }
    vpi_xml_close(x);
}

void vpi_dash_address(vpi_xml *x, const vpi_ptrack *t, vpi_addressing how, const vpi_dash_time *time)
{
    size_t segments = vpi_dash_segments(t, time);

    if (how == VPI_DASH_TEMPLATE) {
        add_segment_template(x, t, segments, false);
    } else if (how == VPI_DASH_BASE) {
        add_segment_base(x, t);
    } else {
        add_segment_list(x, t, segments);
    }
}

static bool same_timeline(const vpi_ptrack *a, const vpi_ptrack *b, size_t segments)
{
    size_t i;

    if (a->timescale != b->timescale) return false;
    for (i = 0; i < segments; i++) {
        if (a->segments[i].start != b->segments[i].start || a->segments[i].ticks != b->segments[i].ticks) {
            return false;
        }
    }
    return true;
}

/* Templates of a track, both in one text; false when its folder is not named like it. */
static bool templates(const vpi_ptrack *t, vpi_buf *b)
{
    vpi_buf name = { 0 };
    pattern p;
    bool plain;

    /* An id that would have to be escaped in an address cannot be put into one by the player. */
    vpi_uri_add(&name, t->name, strlen(t->name));
    plain = name.size == strlen(t->name) && !strchr(t->name, '/');
    /* Not "no", but "not known": the caller looks at the buffer. */
    if (vpi_buf_failed(&name)) b->failed = true;
    vpi_buf_dispose(&name);
    if (!plain || !t->init.key || !find_pattern(t, &p)) return false;
    if (before_own_folder(t->init.key, t->name) == SIZE_MAX ||
        before_own_folder(t->segments[0].key, t->name) == SIZE_MAX) {
        return false;
    }
    add_template(b, t, t->init.key, strlen(t->init.key), true);
    vpi_buf_u8(b, ' ');
    media_template(b, t, &p, true);
    vpi_buf_printf(b, " %" PRIu64, p.first);
    return true;
}

bool vpi_dash_shared_template(vpi_xml *x, const vpi_ptrack *const *tracks, size_t count,
                              const vpi_dash_time *time)
{
    size_t segments = vpi_dash_segments(tracks[0], time), i;
    vpi_buf one = { 0 }, other = { 0 };
    bool same = count > 1 && templates(tracks[0], &one);

    for (i = 1; same && i < count; i++) {
        vpi_buf_clear(&other);
        same = vpi_dash_segments(tracks[i], time) == segments &&
               same_timeline(tracks[0], tracks[i], segments) && templates(tracks[i], &other) &&
               other.size == one.size && memcmp(other.data, one.data, one.size) == 0;
    }
    if (vpi_buf_failed(&one) || vpi_buf_failed(&other)) x->out->failed = true;
    vpi_buf_dispose(&one);
    vpi_buf_dispose(&other);
    if (same) add_segment_template(x, tracks[0], segments, true);
    return same;
}
