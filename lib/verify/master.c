/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Master playlists (RFC 8216 4.3.4): variants, I-frame variants, audio groups. */
#include <stdio.h>

#include <vodpipe/manifest.h>

#include "verify/hls_int.h"

#define RATE_SLACK 10u /* percent */
#define GROUPS_MAX 1024u

typedef struct rendition {
    vpi_view group, name, language;
    size_t track;
    bool is_default;
} rendition;

typedef struct master {
    const char *key;
    int32_t container; /* VP_HLS_* */
    bool independent;
    bool *seen; /* tracks that are named */
    size_t variants, iframes;
    rendition *renditions;
    size_t rendition_count, rendition_cap;
    bool no_memory;
} master;

/* The track whose media (or I-frame) playlist has this key; track_count when there is none. */
static size_t find_track(const vpi_verifier *v, master *m, const char *key, bool iframes)
{
    for (size_t i = 0; i < v->p->track_count; i++) {
        vp_bytes *own = NULL;
        vp_status st;
        bool same;

        if (!v->sane[i] || (iframes && v->p->tracks[i].kind != VP_TRACK_VIDEO)) continue;
        st = vp_manifest_hls_media_key(v->presentation, (uint32_t)i, iframes, &own, NULL);
        m->no_memory |= st == VP_E_NOMEM;
        if (st != VP_OK) continue;
        same = strcmp(vp_bytes_data(own), key) == 0;
        vp_bytes_unref(own);
        if (same) return i;
    }
    return v->p->track_count;
}

static void check_rate(vpi_verifier *v, const master *m, vpi_view list, const char *name, const char *rule,
                       uint64_t due)
{
    vpi_view value = { "", 0 };
    uint64_t said = 0;

    if (!vpi_check(v, vpi_attribute(list, name, &value, NULL) && vpi_view_u64(value, &said), rule, m->key,
                   "no usable %s", name)) {
        return;
    }
    vpi_check(v, said >= due - due * RATE_SLACK / 100 && said <= due + due * RATE_SLACK / 100 + 1, rule,
              m->key, "%s %llu, measured %llu", name, (unsigned long long)said, (unsigned long long)due);
}

static void check_picture(vpi_verifier *v, const master *m, vpi_view list, const vpi_ptrack *t,
                          const char *rule)
{
    vpi_view value = { "", 0 };
    char due[32];

    snprintf(due, sizeof(due), "%ux%u", t->width, t->height);
    vpi_check(v, vpi_attribute(list, "RESOLUTION", &value, NULL) && vpi_view_is(value, due), rule, m->key,
              "RESOLUTION %.*s of %s", (int)value.size, value.data, t->name);
}

/* Every codec of the list is one of the tracks', and none is missing. */
static void check_codecs(vpi_verifier *v, const master *m, vpi_view list, const vpi_ptrack *t,
                         const vpi_ptrack *audio)
{
    vpi_view value = { "", 0 };
    char text[512];
    size_t named = 0, due = 1;
    bool quoted = false;

    if (!vpi_check(v, vpi_attribute(list, "CODECS", &value, &quoted) && quoted && value.size < sizeof(text),
                   "P13", m->key, "variant %s without CODECS", t->name)) {
        return;
    }
    memcpy(text, value.data, value.size);
    text[value.size] = 0;
    for (const char *c = t->codecs; c; c = strchr(c, ',') ? strchr(c, ',') + 1 : NULL) {
        char one[VPI_CODECS_SIZE];

        vpi_strlcpy(one, c, sizeof(one));
        one[strcspn(one, ",")] = 0;
        vpi_check(v, vpi_codecs_hold(text, one), "P13", m->key, "CODECS %s of %s lacks %s", text, t->name,
                  one);
    }
    if (audio) {
        vpi_check(v, vpi_codecs_hold(text, audio->codecs), "P16", m->key,
                  "CODECS %s of %s lacks the audio's %s", text, t->name, audio->codecs);
    }
    for (const char *c = text; (c = strchr(c, ',')) != NULL; c++) named++;
    for (const char *c = t->codecs; (c = strchr(c, ',')) != NULL; c++) due++;
    vpi_check(v, named + 1 >= due, "P13", m->key, "CODECS %s of %s", text, t->name);
}

static bool view_equal(vpi_view a, vpi_view b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static void check_variant(vpi_verifier *v, master *m, vpi_view list, const char *key)
{
    size_t n = find_track(v, m, key, false);
    const vpi_ptrack *t, *loudest = NULL;
    uint64_t peak = 0, mean = 0;
    vpi_view group;

    m->variants++;
    vpi_check(v, vpi_attributes_valid(list), "HLS", m->key, "attributes of variant %zu", m->variants);
    if (!vpi_check(v, n < v->p->track_count, "X04", m->key, "variant names %s, which is no track's", key))
        return;
    t = &v->p->tracks[n];
    m->seen[n] = true;
    if (vpi_attribute(list, "AUDIO", &group, NULL)) {
        for (size_t i = 0; i < m->rendition_count; i++) {
            const vpi_ptrack *a = &v->p->tracks[m->renditions[i].track];

            if (!view_equal(m->renditions[i].group, group)) continue;
            peak = VPI_MAX(peak, a->bandwidth);
            mean = VPI_MAX(mean, a->average_bandwidth);
            loudest = a;
        }
        vpi_check(v, loudest != NULL, "P16", m->key, "audio group %.*s has no member", (int)group.size,
                  group.data);
    }
    check_rate(v, m, list, "BANDWIDTH", "P14", t->bandwidth + peak);
    check_rate(v, m, list, "AVERAGE-BANDWIDTH", "P14", t->average_bandwidth + mean);
    check_codecs(v, m, list, t, loudest);
    if (t->kind == VP_TRACK_VIDEO) {
        check_picture(v, m, list, t, "P13");
        vpi_check(v, vpi_attribute(list, "FRAME-RATE", &group, NULL), "HLS", m->key, "no FRAME-RATE for %s",
                  t->name);
    } else {
        vpi_check(v, !vpi_attribute(list, "RESOLUTION", &group, NULL), "HLS", m->key, "RESOLUTION for audio");
    }
}

static void check_iframes(vpi_verifier *v, master *m, vpi_view list)
{
    static const char *const forbidden[] = { "FRAME-RATE", "AUDIO", "SUBTITLES", "CLOSED-CAPTIONS" };
    vpi_view value = { "", 0 };
    char key[1100];
    uint64_t peak = 0, mean = 0;
    size_t n;

    m->iframes++;
    vpi_check(v, vpi_attributes_valid(list), "HLS", m->key, "attributes of I-frame variant %zu", m->iframes);
    for (size_t i = 0; i < VPI_COUNT(forbidden); i++) {
        vpi_check(v, !vpi_attribute(list, forbidden[i], &value, NULL), "P29", m->key,
                  "%s in an I-frame variant", forbidden[i]);
    }
    if (!vpi_check(v, vpi_attribute(list, "URI", &value, NULL) && vpi_resolve(m->key, value, key), "P29",
                   m->key, "I-frame variant without usable URI")) {
        return;
    }
    n = find_track(v, m, key, true);
    if (!vpi_check(v, n < v->p->track_count, "X04", m->key, "I-frame variant names %s, which is no track's",
                   key)) {
        return;
    }
    vpi_ptrack_iframe_rates(&v->p->tracks[n], vpi_verify_target(v), &peak, &mean);
    check_rate(v, m, list, "BANDWIDTH", "P29", peak);
    check_picture(v, m, list, &v->p->tracks[n], "P29");
    vpi_check(v, vpi_attribute(list, "CODECS", &value, NULL), "P29", m->key,
              "I-frame variant without CODECS");
}

static void check_media(vpi_verifier *v, master *m, vpi_view list)
{
    vpi_view type = { "", 0 }, value = { "", 0 };
    rendition r = { .group = { "", 0 }, .name = { "", 0 }, .language = { "", 0 } };
    bool quoted = false;
    char key[1100];

    vpi_check(v, vpi_attributes_valid(list), "HLS", m->key, "attributes of EXT-X-MEDIA");
    vpi_attribute(list, "TYPE", &type, NULL);
    vpi_check(v, vpi_attribute(list, "GROUP-ID", &r.group, &quoted) && quoted, "P16", m->key,
              "EXT-X-MEDIA without GROUP-ID");
    vpi_check(v, vpi_attribute(list, "NAME", &r.name, &quoted) && quoted, "P16", m->key,
              "EXT-X-MEDIA without NAME");
    vpi_check(v, vpi_attribute(list, "LANGUAGE", &r.language, &quoted) && quoted, "P16", m->key,
              "EXT-X-MEDIA without LANGUAGE");
    if (!vpi_view_is(type, "AUDIO")) return;
    r.is_default = vpi_attribute(list, "DEFAULT", &value, NULL) && vpi_view_is(value, "YES");
    if (!vpi_check(v, vpi_attribute(list, "URI", &value, NULL) && vpi_resolve(m->key, value, key), "P16",
                   m->key, "audio rendition without usable URI")) {
        return;
    }
    r.track = find_track(v, m, key, false);
    if (!vpi_check(v, r.track < v->p->track_count, "X04", m->key, "EXT-X-MEDIA names %s, which is no track's",
                   key)) {
        return;
    }
    m->seen[r.track] = true;
    for (size_t i = 0; i < m->rendition_count; i++) {
        const rendition *o = &m->renditions[i];

        if (!view_equal(o->group, r.group)) continue;
        vpi_check(v, !view_equal(o->name, r.name), "P16", m->key, "NAME %.*s twice in a group",
                  (int)r.name.size, r.name.data);
        vpi_check(v, !(o->is_default && r.is_default), "P16", m->key, "two defaults in group %.*s",
                  (int)r.group.size, r.group.data);
    }
    if (m->rendition_count >= GROUPS_MAX) return;
    if (!VPI_GROW(m->renditions, m->rendition_count, m->rendition_cap))
        m->no_memory = true;
    else
        m->renditions[m->rendition_count++] = r;
}

/* Groups of a type offer the same choice (4.3.4.1.1): each NAME and LANGUAGE is in every group. */
static void check_groups(vpi_verifier *v, const master *m)
{
    for (size_t i = 0; i < m->rendition_count; i++) {
        for (size_t k = 0; k < m->rendition_count; k++) {
            bool found = false;

            if (view_equal(m->renditions[i].group, m->renditions[k].group)) continue;
            for (size_t n = 0; n < m->rendition_count && !found; n++) {
                found = view_equal(m->renditions[n].group, m->renditions[k].group) &&
                        view_equal(m->renditions[n].name, m->renditions[i].name) &&
                        view_equal(m->renditions[n].language, m->renditions[i].language);
            }
            if (!vpi_check(v, found, "P16", m->key, "%.*s is not in group %.*s",
                           (int)m->renditions[i].name.size, m->renditions[i].name.data,
                           (int)m->renditions[k].group.size, m->renditions[k].group.data)) {
                return;
            }
        }
    }
}

static void read_lines(vpi_verifier *v, master *m, const char *text, size_t size, bool media_pass)
{
    vpi_line_walk w = { text, text + size };
    vpi_view line, name, value, pending = { NULL, 0 };
    char key[1100];
    bool tag;

    while (vpi_next_line(&w, &line, &tag)) {
        if (!tag) {
            if (media_pass) continue;
            if (vpi_check(v, pending.data && vpi_resolve(m->key, line, key), "HLS", m->key,
                          "a URI without EXT-X-STREAM-INF, or one that leaves the title")) {
                check_variant(v, m, pending, key);
            }
            pending.data = NULL;
            continue;
        }
        vpi_split_tag(line, &name, &value);
        if (media_pass) {
            if (vpi_view_is(name, "EXT-X-MEDIA")) check_media(v, m, value);
        } else if (vpi_view_is(name, "EXT-X-STREAM-INF")) {
            pending = value;
        } else if (vpi_view_is(name, "EXT-X-I-FRAME-STREAM-INF")) {
            check_iframes(v, m, value);
        } else if (vpi_view_is(name, "EXT-X-INDEPENDENT-SEGMENTS")) {
            m->independent = true;
        }
    }
    vpi_check(v, !pending.data, "HLS", m->key, "EXT-X-STREAM-INF without URI");
}

static bool belongs(const vpi_ptrack *t, int32_t container)
{
    bool cmaf = t->container == VP_CONTAINER_CMAF;

    return (t->kind == VP_TRACK_VIDEO || t->kind == VP_TRACK_AUDIO) && cmaf == (container == VP_HLS_CMAF);
}

vp_status vpi_verify_master(vpi_verifier *v, int32_t container, const char *key, const char *text,
                            size_t size, vp_error *err)
{
    master m = { .key = key, .container = container };
    vp_status st = VP_OK;

    if (!vpi_m3u8_frame(v, key, text, size)) return VP_OK;
    m.seen = vpi_calloc(v->p->track_count ? v->p->track_count : 1, sizeof(*m.seen));
    if (!m.seen) return vpi_fail_nomem(err);
    read_lines(v, &m, text, size, true);
    read_lines(v, &m, text, size, false);
    check_groups(v, &m);
    vpi_check(v, m.variants > 0, "HLS", key, "no variants");
    vpi_check(v, m.independent, "P04", key, "no EXT-X-INDEPENDENT-SEGMENTS");
    for (size_t i = 0; i < v->p->track_count; i++) {
        if (!v->sane[i] || !belongs(&v->p->tracks[i], container)) continue;
        vpi_check(v, m.seen[i], "X04", key, "does not name %s", v->p->tracks[i].name);
    }
    if (m.no_memory) st = vpi_fail_nomem(err);
    vpi_free(m.renditions);
    vpi_free(m.seen);
    return st;
}
