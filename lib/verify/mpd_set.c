/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A Representation against the track that it stands for (ISO/IEC 23009-1 5.3.5, 5.3.9). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "verify/mpd_int.h"

#define KEY_SIZE 1100
#define NS UINT64_C(1000000000)

/* Of the Representation, or else of its set. */
static bool attribute(const vpi_mpd *m, const char *name, vpi_view *value)
{
    *value = (vpi_view){ "", 0 };
    return vpi_tag_attribute(&m->representation, name, value) || vpi_tag_attribute(&m->set, name, value);
}

static bool number_of(const vpi_tag *tag, const char *name, uint64_t otherwise, uint64_t *out)
{
    vpi_view value;

    *out = otherwise;
    return !vpi_tag_attribute(tag, name, &value) || vpi_view_u64(value, out);
}

/* ---- templates (5.3.9.4.4) ---- */

static bool add(char *to, size_t *n, const char *what, size_t size)
{
    if (size >= KEY_SIZE - *n) return false;
    memcpy(to + *n, what, size);
    *n += size;
    to[*n] = 0;
    return true;
}

/* "Number%05d": the width, 1 without one. */
static bool number_width(vpi_view name, int *width)
{
    uint64_t w;

    *width = 1;
    if (vpi_view_is(name, "Number")) return true;
    if (!vpi_view_begins(name, "Number%0") || name.size < 10 || name.data[name.size - 1] != 'd') return false;
    if (!vpi_view_u64((vpi_view){ name.data + 8, name.size - 9 }, &w) || w > 20) return false;
    *width = (int)w;
    return true;
}

/* Key of the object that a template names; false when it cannot be one of the title. */
static bool expand(const vpi_mpd *m, vpi_view form, vpi_view id, uint64_t number, char key[KEY_SIZE])
{
    char plain[KEY_SIZE], uri[KEY_SIZE] = "", digits[32];
    size_t n = 0;

    if (!vpi_xml_plain(form, plain, sizeof(plain))) return false;
    for (const char *p = plain; *p;) {
        const char *close;
        int width;

        if (*p != '$') {
            if (!add(uri, &n, p++, 1)) return false;
            continue;
        }
        close = strchr(p + 1, '$');
        if (!close) return false;
        if (vpi_view_is((vpi_view){ p + 1, (size_t)(close - p - 1) }, "RepresentationID")) {
            if (!add(uri, &n, id.data, id.size)) return false;
        } else if (number_width((vpi_view){ p + 1, (size_t)(close - p - 1) }, &width)) {
            snprintf(digits, sizeof(digits), "%0*" PRIu64, width, number);
            if (!add(uri, &n, digits, strlen(digits))) return false;
        } else {
            return false;
        }
        p = close + 1;
    }
    return vpi_resolve(m->key, (vpi_view){ uri, n }, key);
}

/* ---- the track ---- */

static const vpi_address *address_of(const vpi_mpd *m)
{
    return m->own.is_template || m->own.is_base ? &m->own : &m->of_set;
}

static size_t find_track(const vpi_mpd *m, const vpi_address *a, vpi_view id, char key[KEY_SIZE])
{
    const vpi_verifier *v = m->v;
    vpi_view form;
    char plain[KEY_SIZE];
    bool good;

    key[0] = 0;
    if (a->is_template) {
        good = vpi_tag_attribute(&a->element, "initialization", &form) && expand(m, form, id, 0, key);
    } else {
        good = vpi_xml_plain(m->base_url, plain, sizeof(plain)) &&
               vpi_resolve(m->key, (vpi_view){ plain, strlen(plain) }, key);
    }
    for (size_t i = 0; good && i < v->p->track_count; i++) {
        const vpi_ptrack *t = &v->p->tracks[i];

        if (!v->sane[i] || t->container != VP_CONTAINER_CMAF || t->single_file == a->is_template) continue;
        if (t->init.key && strcmp(t->init.key, key) == 0) return i;
    }
    return v->p->track_count;
}

/* ---- segments ---- */

static void check_timeline(vpi_mpd *m, const vpi_address *a, const vpi_ptrack *t)
{
    vpi_tag_walk w = { a->timeline, m->end, false };
    uint64_t at = 0, d, r, start;
    bool times = true, lengths = true;
    size_t n = 0;
    vpi_view value;
    vpi_tag s;

    while (vpi_tag_next(&w, &s) && vpi_view_is(s.name, "S")) {
        if (s.kind == VPI_TAG_CLOSE) continue;
        if (!vpi_check(m->v,
                       number_of(&s, "t", at, &start) && number_of(&s, "d", 0, &d) &&
                           number_of(&s, "r", 0, &r),
                       "DASH", m->key, "an S of %s is not understood", t->name)) {
            return;
        }
        vpi_check(m->v, n == 0 || start == at || !vpi_tag_attribute(&s, "t", &value), "P22", m->key,
                  "%s: a gap in the timeline before segment %zu", t->name, n + 1);
        at = start;
        for (uint64_t k = 0; k <= r && n < t->segment_count; k++, n++) {
            times &= at == t->segments[n].start;
            lengths &= d == t->segments[n].ticks;
            at += d;
        }
        if (!vpi_check(m->v, n < t->segment_count || r == 0 || at == vpi_track_end(t).ticks, "P22", m->key,
                       "%s: the timeline has too many segments", t->name)) {
            return;
        }
    }
    vpi_check(m->v, times, "P23", m->key, "%s: S@t are not the segments' tfdt", t->name);
    vpi_check(m->v, lengths, "P22", m->key, "%s: S@d are not the segments' lengths", t->name);
}

/* How many segments the timeline asks for. */
static bool count_segments(const vpi_mpd *m, const vpi_address *a, uint64_t *count)
{
    vpi_tag_walk w = { a->timeline, m->end, false };
    uint64_t r;
    vpi_tag s;

    *count = 0;
    while (vpi_tag_next(&w, &s) && vpi_view_is(s.name, "S")) {
        if (s.kind == VPI_TAG_CLOSE) continue;
        if (!number_of(&s, "r", 0, &r) || r > UINT32_MAX || !vpi_add_u64(*count, r + 1, count)) return false;
    }
    return true;
}

static void check_template(vpi_mpd *m, const vpi_address *a, const vpi_ptrack *t, vpi_view id)
{
    char key[KEY_SIZE] = "";
    uint64_t first, count = 0;
    vpi_view media;
    bool same = true;

    if (!vpi_check(m->v, a->has_timeline && vpi_tag_attribute(&a->element, "media", &media), "DASH", m->key,
                   "%s: SegmentTemplate without media or SegmentTimeline", t->name)) {
        return;
    }
    vpi_check(m->v, number_of(&a->element, "startNumber", 1, &first), "DASH", m->key, "%s: startNumber",
              t->name);
    for (size_t i = 0; i < t->segment_count && same; i++) {
        same = expand(m, media, id, first + i, key) && strcmp(key, t->segments[i].key) == 0;
    }
    vpi_check(m->v, same, "P22", m->key, "%s: the template names %s, which is no segment in its place",
              t->name, key);
    vpi_check(m->v, count_segments(m, a, &count) && count == t->segment_count, "P22", m->key,
              "%s: the timeline asks for %llu segments, there are %zu", t->name, (unsigned long long)count,
              t->segment_count);
    check_timeline(m, a, t);
}

/* "first-last" of bytes. */
static bool range_is(vpi_view v, const vpi_part *part)
{
    const char *dash = memchr(v.data, '-', v.size);
    uint64_t first, last;

    return dash && vpi_view_u64((vpi_view){ v.data, (size_t)(dash - v.data) }, &first) &&
           vpi_view_u64((vpi_view){ dash + 1, v.size - (size_t)(dash - v.data) - 1 }, &last) &&
           first == part->offset && last + 1 == part->offset + part->bytes;
}

static void check_base(vpi_mpd *m, const vpi_address *a, const vpi_ptrack *t)
{
    vpi_view range = { "", 0 }, init = a->has_init_range ? a->init_range : range;

    vpi_tag_attribute(&a->element, "indexRange", &range);
    vpi_check(m->v, range_is(range, &t->index), "P19", m->key, "%s: indexRange %.*s is not the sidx", t->name,
              (int)range.size, range.data);
    vpi_check(m->v, range_is(init, &t->init), "P19", m->key,
              "%s: Initialization %.*s is not the init segment", t->name, (int)init.size, init.data);
}

static void check_address(vpi_mpd *m, const vpi_address *a, const vpi_ptrack *t, vpi_view id)
{
    uint64_t scale, offset;
    bool good = number_of(&a->element, "timescale", 1, &scale);

    vpi_check(m->v, good && scale == t->timescale, "P23", m->key, "%s: timescale %llu, the track's is %u",
              t->name, (unsigned long long)scale, t->timescale);
    good = number_of(&a->element, "presentationTimeOffset", 0, &offset);
    vpi_check(m->v, good && offset == 0, "P23", m->key, "%s: presentationTimeOffset %llu", t->name,
              (unsigned long long)offset);
    if (a->is_template)
        check_template(m, a, t, id);
    else
        check_base(m, a, t);
}

/* ---- what it says about the pictures and the sound ---- */

static bool says(const vpi_mpd *m, const char *name, uint64_t due)
{
    vpi_view value;
    uint64_t n;

    return attribute(m, name, &value) && vpi_view_u64(value, &n) && n == due;
}

/* "25" or "30000/1001" */
static bool same_rate(const vpi_mpd *m, const vpi_ptrack *t)
{
    vpi_view value, top;
    uint64_t num, den = 1;
    const char *slash;

    if (!attribute(m, "frameRate", &value)) return false;
    slash = memchr(value.data, '/', value.size);
    top = (vpi_view){ value.data, slash ? (size_t)(slash - value.data) : value.size };
    if (!vpi_view_u64(top, &num) || num > UINT32_MAX) return false;
    if (slash &&
        (!vpi_view_u64((vpi_view){ slash + 1, value.size - top.size - 1 }, &den) || den > UINT32_MAX))
        return false;
    return num * t->frame_rate_den == (uint64_t)t->frame_rate_num * den;
}

/* Of the set: a shape that its tracks have within 5 %, sizes that they do not pass. */
static void check_set(vpi_mpd *m, const vpi_ptrack *t)
{
    static const char *const names[] = { "primaries", "transfer", "matrix" };
    const uint8_t colours[] = { t->primaries, t->transfer, t->matrix };
    vpi_view value, part;
    uint64_t n, width, height;
    double shape = (double)vpi_ptrack_shown_width(t) / t->height;
    const char *colon;

    if (vpi_tag_attribute(&m->set, "maxWidth", &value))
        vpi_check(m->v, vpi_view_u64(value, &n) && n >= t->width, "P13", m->key, "%s is wider than maxWidth",
                  t->name);
    if (vpi_tag_attribute(&m->set, "maxHeight", &value))
        vpi_check(m->v, vpi_view_u64(value, &n) && n >= t->height, "P13", m->key,
                  "%s is higher than maxHeight", t->name);
    if (vpi_tag_attribute(&m->set, "par", &value)) {
        colon = memchr(value.data, ':', value.size);
        part = (vpi_view){ value.data, colon ? (size_t)(colon - value.data) : 0 };
        vpi_check(m->v,
                  colon && vpi_view_u64(part, &width) &&
                      vpi_view_u64((vpi_view){ colon + 1, value.size - part.size - 1 }, &height) &&
                      height > 0 && (double)width <= shape * 1.05 * (double)height &&
                      (double)width * 1.05 >= shape * (double)height,
                  "P13", m->key, "par %.*s, %s is of %.3f:1", (int)value.size, value.data, t->name, shape);
    }
    for (size_t i = 0; i < VPI_COUNT(colours); i++) {
        if (!m->colour[i].size) continue;
        vpi_check(m->v, vpi_view_u64(m->colour[i], &n) && n == colours[i], "COLOUR", m->key,
                  "%s: %s %.*s, not %u", t->name, names[i], (int)m->colour[i].size, m->colour[i].data,
                  colours[i]);
    }
}

/* ISO/IEC 23091-3: channels of a ChannelConfiguration. */
static void check_channels(vpi_mpd *m, const vpi_ptrack *t)
{
    static const uint8_t counts[] = { 0, 1, 2, 3, 4, 5, 6, 8, 2, 3, 4, 7, 8 };
    uint64_t n;

    if (!m->channels.size) return;
    vpi_check(m->v, vpi_view_u64(m->channels, &n) && n < VPI_COUNT(counts) && counts[n] == t->channels, "P13",
              m->key, "%s: AudioChannelConfiguration %.*s of %u channels", t->name, (int)m->channels.size,
              m->channels.data, t->channels);
}

/* Live is addressed by templates, on-demand by an index. */
static void check_profile(vpi_mpd *m, const vpi_address *a)
{
    const char *wrong = a->is_template ? "urn:mpeg:dash:profile:isoff-on-demand:2011"
                                       : "urn:mpeg:dash:profile:isoff-live:2011";
    size_t n = strlen(wrong);
    bool found = false;

    for (size_t i = 0; i + n <= m->profiles.size; i++) found |= memcmp(m->profiles.data + i, wrong, n) == 0;
    vpi_check(m->v, !found, "DASH", m->key, "addresses are not of the profile %s", wrong);
}

static void check_words(vpi_mpd *m, const vpi_ptrack *t)
{
    const char *type = t->kind == VP_TRACK_VIDEO ? "video" : "audio";
    vpi_view value;
    char mime[16], shape[24];

    attribute(m, "codecs", &value);
    vpi_check(m->v, vpi_view_is(value, t->codecs), "P13", m->key, "%s: codecs %.*s, the track's are %s",
              t->name, (int)value.size, value.data, t->codecs);
    snprintf(mime, sizeof(mime), "%s/mp4", type);
    attribute(m, "mimeType", &value);
    vpi_check(m->v, vpi_view_is(value, mime), "P20", m->key, "%s: mimeType %.*s", t->name, (int)value.size,
              value.data);
    value = (vpi_view){ type, strlen(type) };
    vpi_tag_attribute(&m->set, "contentType", &value);
    vpi_check(m->v, vpi_view_is(value, type), "DASH", m->key, "%s: contentType %.*s", t->name,
              (int)value.size, value.data);
    if (t->kind == VP_TRACK_VIDEO) {
        check_set(m, t);
        snprintf(shape, sizeof(shape), "%u:%u", t->sar_num ? t->sar_num : 1, t->sar_num ? t->sar_den : 1);
        attribute(m, "sar", &value);
        vpi_check(m->v, vpi_view_is(value, shape), "P13", m->key, "%s: sar %.*s, not %s", t->name,
                  (int)value.size, value.data, shape);
        vpi_check(m->v, says(m, "width", t->width) && says(m, "height", t->height), "P13", m->key,
                  "%s: width and height are not %ux%u", t->name, t->width, t->height);
        vpi_check(m->v, same_rate(m, t), "P13", m->key, "%s: frameRate is not %u/%u", t->name,
                  t->frame_rate_num, t->frame_rate_den);
        return;
    }
    vpi_check(m->v, says(m, "audioSamplingRate", t->sample_rate), "P13", m->key,
              "%s: audioSamplingRate is not %u", t->name, t->sample_rate);
    check_channels(m, t);
    value = (vpi_view){ "und", 3 };
    vpi_tag_attribute(&m->set, "lang", &value);
    vpi_check(m->v, !t->language || vpi_view_is(value, t->language), "P16", m->key, "%s: lang %.*s, it is %s",
              t->name, (int)value.size, value.data, t->language);
}

/*
 * A client that has minBufferTime of it before it begins, from any segment on, never runs dry at `bandwidth`
 * (5.3.5.4): the bits that came in are a bucket.
 */
static bool never_dry(const vpi_ptrack *t, uint64_t bandwidth, uint64_t buffer_ns)
{
    double room = (double)buffer_ns / 1e9 * (double)bandwidth, level = 0, drained = 0;

    for (size_t i = 0; i < t->segment_count; i++) {
        level = VPI_MAX(level - drained, 0.0) + (double)t->segments[i].bytes * 8;
        if (level > room * 1.0001 + 8) return false;
        drained = (double)t->segments[i].ticks / t->timescale * (double)bandwidth;
    }
    return true;
}

/* One scheme and one key for all of a set (DASH-IF IOP part 6); the KID as text in lower case. */
static void check_protection(vpi_mpd *m, const vpi_ptrack *t)
{
    char kid[VPI_UUID_TEXT];

    if (!vpi_check(m->v, m->closed == vpi_by_sample(t), "DASH", m->key, "%s: ContentProtection is %s",
                   t->name, m->closed ? "there, but it is clear" : "missing") ||
        !m->closed || t->protection.key_count == 0) {
        return;
    }
    vpi_uuid_text(t->protection.keys[0].kid, kid);
    vpi_check(m->v, vpi_view_is(m->kid, kid), "E13", m->key, "%s: default_KID %.*s, not %s", t->name,
              (int)m->kid.size, m->kid.data, kid);
    vpi_check(m->v, vpi_view_is(m->scheme, vpi_scheme_word(t->protection.scheme)), "DASH", m->key,
              "%s: scheme %.*s, not %s", t->name, (int)m->scheme.size, m->scheme.data,
              vpi_scheme_word(t->protection.scheme));
}

void vpi_mpd_representation(vpi_mpd *m)
{
    const vpi_address *a = address_of(m);
    vpi_view id = { "", 0 }, value = { "", 0 };
    uint64_t bandwidth = 0, end;
    const vpi_ptrack *t;
    char key[KEY_SIZE];
    bool good;
    size_t n;

    vpi_tag_attribute(&m->representation, "id", &id);
    if (!vpi_check(m->v, a->is_template || a->is_base, "DASH", m->key,
                   "Representation %.*s has neither SegmentTemplate nor SegmentBase", (int)id.size,
                   id.data)) {
        return;
    }
    n = find_track(m, a, id, key);
    if (!vpi_check(m->v, n < m->v->p->track_count, "X04", m->key,
                   "Representation %.*s names %s, which is no track's init segment", (int)id.size, id.data,
                   key)) {
        return;
    }
    t = &m->v->p->tracks[n];
    vpi_check(m->v, !m->seen[n], "DASH", m->key, "%s is there twice", t->name);
    m->seen[n] = true;
    m->of_track = t;
    m->switches[n] = m->switching;
    check_words(m, t);
    check_protection(m, t);
    check_profile(m, a);
    check_address(m, a, t, id);
    good = vpi_tag_attribute(&m->representation, "bandwidth", &value) && vpi_view_u64(value, &bandwidth);
    vpi_check(m->v, good && never_dry(t, bandwidth, m->buffer_ns), "P14", m->key,
              "%s: bandwidth %.*s starves a player that holds minBufferTime", t->name, (int)value.size,
              value.data);
    vpi_check(m->v, bandwidth <= t->bandwidth * 2 + 1000, "P14", m->key,
              "%s: bandwidth %llu, its peak is %llu", t->name, (unsigned long long)bandwidth,
              (unsigned long long)t->bandwidth);
    end = (uint64_t)((vpi_u128)vpi_track_end(t).ticks * NS / t->timescale);
    m->longest_ns = VPI_MAX(m->longest_ns, end);
}
