/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Media and I-frame playlists against the presentation that they were made from (RFC 8216 4.3.2, 4.3.3). */
#include "verify/hls_int.h"

#define NS UINT64_C(1000000000)
#define SLACK_NS 1000000 /* 1 ms */

typedef struct list_state {
    const char *key;
    const vpi_ptrack *t;
    bool iframes;
    /* tags of the whole */
    bool vod, endlist, iframes_only, map;
    uint64_t version, target;
    bool has_target;
    /* of the entry that is being read */
    bool has_duration, has_range;
    uint64_t duration, size, offset;
    /* over all */
    size_t entries;
    uint64_t sum, largest;
    bool floats, ranges;
    vpi_key_tags keys;
    size_t segment, fragment; /* that the next entry stands for */
    uint64_t at;              /* ticks at which it starts */
} list_state;

uint32_t vpi_verify_target(const vpi_verifier *v)
{
    vpi_time longest = { 1, 1 };
    vpi_u128 ns;

    for (size_t i = 0; i < v->p->track_count; i++) {
        const vpi_ptrack *t = &v->p->tracks[i];

        if (!v->sane[i] || (t->kind != VP_TRACK_VIDEO && t->kind != VP_TRACK_AUDIO)) continue;
        for (size_t k = 0; k < t->segment_count; k++) {
            vpi_time d = vpi_time_of(t->segments[k].ticks, t->timescale);

            if (vpi_time_cmp(d, longest) > 0) longest = d;
        }
    }
    /* As printed, in microseconds, and then to the nearest second: what a player compares (4.3.3.1). */
    ns = ((vpi_u128)longest.ticks * 1000000 + longest.scale - 1) / longest.scale;
    ns = (ns + 500000) / 1000000;
    return ns > UINT32_MAX ? UINT32_MAX : (uint32_t)VPI_MAX(ns, 1);
}

static uint64_t ns_of(uint64_t ticks, uint32_t scale)
{
    return (uint64_t)((vpi_u128)ticks * NS / scale);
}

static bool near(uint64_t a, uint64_t b)
{
    return (a > b ? a - b : b - a) <= SLACK_NS;
}

/* ---- tags ---- */

static void read_map(vpi_verifier *v, list_state *l, vpi_view value)
{
    const vpi_part *init = &l->t->init;
    char key[1100];
    vpi_view uri, range;
    uint64_t size = init->bytes, offset = init->offset;
    bool quoted = false;

    l->map = true;
    if (!vpi_check(v, vpi_attribute(value, "URI", &uri, &quoted) && quoted && vpi_resolve(l->key, uri, key),
                   "HLS", l->key, "EXT-X-MAP without usable URI")) {
        return;
    }
    vpi_check(v, init->key && strcmp(key, init->key) == 0, "X04", l->key, "EXT-X-MAP names %s", key);
    if (vpi_attribute(value, "BYTERANGE", &range, &quoted)) {
        vpi_check(v, quoted && vpi_view_range(range, &size, &offset), "P19", l->key,
                  "BYTERANGE of EXT-X-MAP");
    } else {
        vpi_check(v, !l->t->single_file, "P19", l->key, "EXT-X-MAP without BYTERANGE");
    }
    vpi_check(v, size == init->bytes && offset == init->offset, "P19", l->key,
              "EXT-X-MAP is not the init segment");
}

static void read_extinf(vpi_verifier *v, list_state *l, vpi_view value)
{
    const char *comma = memchr(value.data, ',', value.size);
    vpi_view number = { value.data, comma ? (size_t)(comma - value.data) : value.size };
    const char *dot = memchr(number.data, '.', number.size);

    vpi_check(v, comma != NULL, "HLS", l->key, "EXTINF without comma");
    vpi_check(v, !l->has_range, "P19", l->key, "EXT-X-BYTERANGE before EXTINF");
    l->has_duration = vpi_check(v, vpi_view_ns(number, &l->duration), "HLS", l->key, "EXTINF %.*s",
                                (int)number.size, number.data);
    if (dot) {
        l->floats = true;
        vpi_check(v, number.size - (size_t)(dot - number.data) - 1 >= 5, "HLS", l->key,
                  "EXTINF %.*s has few decimals", (int)number.size, number.data);
    }
}

/* The segment that the next entry is of; as many as there are when no more is due. */
static size_t next_segment(const list_state *l)
{
    size_t n = l->segment;

    if (l->iframes && n < l->t->segment_count && l->fragment >= l->t->segments[n].fragment_count) n++;
    return n;
}

static void read_tag(vpi_verifier *v, list_state *l, vpi_view line)
{
    vpi_view name, value;

    vpi_split_tag(line, &name, &value);
    if (vpi_view_is(name, "EXTINF")) {
        read_extinf(v, l, value);
    } else if (vpi_view_is(name, "EXT-X-BYTERANGE")) {
        l->ranges = true;
        l->has_range = vpi_check(v, vpi_view_range(value, &l->size, &l->offset), "P19", l->key,
                                 "EXT-X-BYTERANGE %.*s", (int)value.size, value.data);
    } else if (vpi_view_is(name, "EXT-X-MAP")) {
        vpi_check(v, !l->map, "HLS", l->key, "a second EXT-X-MAP");
        vpi_check(v, !l->keys.any, "E02", l->key,
                  "EXT-X-MAP behind EXT-X-KEY, but the init segment is clear");
        read_map(v, l, value);
    } else if (vpi_view_is(name, "EXT-X-TARGETDURATION")) {
        l->has_target = vpi_view_u64(value, &l->target);
    } else if (vpi_view_is(name, "EXT-X-VERSION")) {
        vpi_check(v, vpi_view_u64(value, &l->version), "HLS", l->key, "EXT-X-VERSION");
    } else if (vpi_view_is(name, "EXT-X-PLAYLIST-TYPE")) {
        l->vod = vpi_view_is(value, "VOD");
    } else if (vpi_view_is(name, "EXT-X-ENDLIST")) {
        l->endlist = true;
    } else if (vpi_view_is(name, "EXT-X-I-FRAMES-ONLY")) {
        l->iframes_only = true;
    } else if (vpi_view_is(name, "EXT-X-KEY")) {
        vpi_read_key(v, l->key, l->t, next_segment(l), value, &l->keys);
    } else if (vpi_view_is(name, "EXT-X-GAP")) {
        vpi_check(v, false, "HLS", l->key, "EXT-X-GAP in a title that is whole");
    } else if (vpi_view_is(name, "EXT-X-DISCONTINUITY")) {
        vpi_check(v, false, "P26", l->key, "a discontinuity in a title of one piece");
    }
}

/* ---- entries ---- */

/* What the next entry must be: a segment, or the IDR picture of a fragment. */
typedef struct expected {
    const char *key;
    uint64_t ticks, start, size, offset;
    bool range;
} expected;

static bool next_expected(list_state *l, expected *e)
{
    const vpi_ptrack *t = l->t;

    while (l->segment < t->segment_count) {
        const vpi_segment *s = &t->segments[l->segment];

        *e = (expected){ s->key, s->ticks, s->start, s->bytes, s->offset, t->single_file };
        if (!l->iframes) {
            l->segment++;
            return true;
        }
        if (l->fragment == 0) l->at = s->start;
        if (l->fragment < s->fragment_count) {
            const vpi_fragment *f = &s->fragments[l->fragment++];

            *e = (expected){ s->key, f->ticks, l->at, f->idr_bytes, s->offset + f->offset, true };
            l->at += f->ticks;
            return true;
        }
        l->segment++;
        l->fragment = 0;
    }
    return false;
}

static void check_entry(vpi_verifier *v, list_state *l, const char *key)
{
    const char *time_rule = l->iframes ? "P29" : "P01", *range_rule = l->iframes ? "P29" : "P19";
    uint64_t first = l->t->segments[0].start;
    size_t n = next_segment(l);
    expected e = { 0 };

    if (!vpi_check(v, next_expected(l, &e), l->iframes ? "P29" : "X04", l->key, "entry %zu is one too many",
                   l->entries)) {
        return;
    }
    vpi_check(v, strcmp(key, e.key) == 0, "X04", l->key, "entry %zu names %s, the presentation %s",
              l->entries, key, e.key);
    vpi_check_key(v, l->key, l->t, n, &l->keys);
    vpi_check(v, near(l->duration, ns_of(e.ticks, l->t->timescale)), time_rule, l->key,
              "entry %zu: EXTINF %.6f, true length %.6f", l->entries, (double)l->duration / 1e9,
              vpi_time_seconds(vpi_time_of(e.ticks, l->t->timescale)));
    vpi_check(v, near(l->sum, ns_of(e.start - first, l->t->timescale)), time_rule, l->key,
              "entry %zu: EXTINFs before sum to %.6f, it starts at %.6f", l->entries, (double)l->sum / 1e9,
              vpi_time_seconds(vpi_time_of(e.start - first, l->t->timescale)));
    if (!vpi_check(v, l->has_range == e.range, range_rule, l->key, "entry %zu %s a byte range", l->entries,
                   e.range ? "lacks" : "has") ||
        !e.range) {
        return;
    }
    vpi_check(v, l->size == e.size && l->offset == e.offset, range_rule, l->key,
              "entry %zu has range %llu@%llu, due is %llu@%llu", l->entries, (unsigned long long)l->size,
              (unsigned long long)l->offset, (unsigned long long)e.size, (unsigned long long)e.offset);
}

static void read_uri(vpi_verifier *v, list_state *l, vpi_view line)
{
    char key[1100];

    l->entries++;
    vpi_check(v, l->has_duration, "HLS", l->key, "entry %zu without EXTINF", l->entries);
    vpi_check(v, l->duration > 0, "P10", l->key, "entry %zu lasts 0 s", l->entries);
    if (vpi_check(v, vpi_resolve(l->key, line, key), "HLS", l->key, "entry %zu: URI leaves the title",
                  l->entries)) {
        check_entry(v, l, key);
    }
    l->sum += l->duration;
    l->largest = VPI_MAX(l->largest, l->duration);
    l->has_duration = l->has_range = false;
    l->duration = 0;
}

static void check_whole(vpi_verifier *v, const list_state *l)
{
    uint64_t need = l->floats ? 3 : 1, rounded = (l->largest + NS / 2) / NS;
    uint64_t length = vpi_ptrack_ticks(l->t);
    expected e;
    list_state rest = *l;

    if (l->ranges || l->iframes_only) need = 4;
    if (l->map) need = l->iframes_only ? 5 : 6;
    need = VPI_MAX(need, l->keys.version);
    vpi_check(v, l->version >= need, "HLS", l->key, "EXT-X-VERSION %llu, needed is %llu",
              (unsigned long long)l->version, (unsigned long long)need);
    vpi_check(v, l->vod && l->endlist, "HLS", l->key, "no PLAYLIST-TYPE VOD, or no ENDLIST");
    vpi_check(v, l->iframes_only == l->iframes, "P29", l->key, "EXT-X-I-FRAMES-ONLY is %s",
              l->iframes ? "missing" : "in a normal playlist");
    vpi_check(v, l->map == (l->t->init.key != NULL), "CMAF", l->key, "EXT-X-MAP and container do not fit");
    vpi_check(v, !next_expected(&rest, &e), l->iframes ? "P29" : "X04", l->key, "ends after %zu entries",
              l->entries);
    vpi_check(v, near(l->sum, ns_of(length, l->t->timescale)), l->iframes ? "P29" : "P01", l->key,
              "EXTINFs sum to %.6f, the track lasts %.6f", (double)l->sum / 1e9,
              vpi_time_seconds(vpi_time_of(length, l->t->timescale)));
    vpi_check(v, l->has_target && l->target >= rounded && l->target >= 1, "P02", l->key,
              "TARGETDURATION %llu, the longest entry lasts %.6f", (unsigned long long)l->target,
              (double)l->largest / 1e9);
    if (!l->iframes) {
        vpi_check(v, l->target == vpi_verify_target(v), "P02", l->key,
                  "TARGETDURATION %llu, of the title it is %u", (unsigned long long)l->target,
                  vpi_verify_target(v));
    }
}

void vpi_verify_playlist(vpi_verifier *v, size_t track, bool iframes, const char *key, const char *text,
                         size_t size)
{
    list_state l = { .key = key, .t = &v->p->tracks[track], .iframes = iframes, .version = 1 };
    vpi_line_walk w = { text, text + size };
    vpi_view line;
    bool tag;

    if (!vpi_m3u8_frame(v, key, text, size)) return;
    while (vpi_next_line(&w, &line, &tag)) {
        if (tag)
            read_tag(v, &l, line);
        else
            read_uri(v, &l, line);
    }
    check_whole(v, &l);
}
