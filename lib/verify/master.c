/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Master playlists (RFC 8216 4.3.4): variants, I-frame variants, audio groups. */
#include <stdio.h>

#include <vodpipe/manifest.h>

#include "verify/hls_int.h"

#define RATE_SLACK 10u /* percent */
#define GROUPS_MAX 1024u
enum { TRANSFER_PQ = 16, TRANSFER_HLG = 18 }; /* ISO/IEC 23091-2 */

typedef struct rendition {
    vpi_view group, name, language;
    size_t track;
    bool is_default;
} rendition;

typedef struct master {
    const char *key;
    int32_t container; /* VP_HLS_* */
    bool independent;
    bool *seen;   /* tracks that are named */
    bool *tricks; /* tracks whose I-frame playlist is named */
    size_t variants, iframes;
    vpi_view *session_keys;
    size_t session_count, session_cap;
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
    bool said = vpi_attribute(list, "RESOLUTION", &value, NULL);

    snprintf(due, sizeof(due), "%ux%u", vpi_ptrack_shown_width(t), t->height);
    vpi_check(v, said && vpi_view_is(value, due), rule, m->key, "RESOLUTION %.*s of %s", (int)value.size,
              value.data, t->name);
}

static bool view_equal(vpi_view a, vpi_view b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

/* Is it a codec of the group's members? */
static bool group_codec(const vpi_verifier *v, const master *m, vpi_view group, const char *codec)
{
    for (size_t i = 0; i < m->rendition_count; i++) {
        const rendition *r = &m->renditions[i];

        if (view_equal(r->group, group) && vpi_codecs_hold(v->p->tracks[r->track].codecs, codec)) return true;
    }
    return false;
}

/* FRAME-RATE has three decimals (RFC 8216bis 4.4.6.2). */
static void check_frame_rate(vpi_verifier *v, const master *m, vpi_view list, const vpi_ptrack *t)
{
    vpi_view value = { "", 0 };
    uint64_t milli = 0, num = t->frame_rate_num, den = t->frame_rate_den ? t->frame_rate_den : 1;
    char due[40];
    bool quoted = false;

    milli = (num * 2000 + den) / (den * 2);
    snprintf(due, sizeof(due), "%llu.%03u", (unsigned long long)(milli / 1000), (unsigned)(milli % 1000));
    if (!vpi_check(v, vpi_attribute(list, "FRAME-RATE", &value, &quoted) && !quoted, "HLS", m->key,
                   "no FRAME-RATE for %s", t->name)) {
        return;
    }
    vpi_check(v, vpi_view_is(value, due), "P13", m->key, "FRAME-RATE %.*s of %s, its pictures have %s",
              (int)value.size, value.data, t->name, due);
}

/* VIDEO-RANGE against the transfer characteristics; nothing said is SDR. */
static void check_range(vpi_verifier *v, const master *m, vpi_view list, const vpi_ptrack *t)
{
    const char *due = t->transfer == TRANSFER_PQ ? "PQ" : t->transfer == TRANSFER_HLG ? "HLG" : "SDR";
    vpi_view value = { "SDR", 3 };

    vpi_attribute(list, "VIDEO-RANGE", &value, NULL);
    vpi_check(v, vpi_view_is(value, due), "COLOUR", m->key, "VIDEO-RANGE %.*s of %s, it is %s",
              (int)value.size, value.data, t->name, due);
}

/* Every codec of the list is one of the tracks', and none is missing. */
static void check_codecs(vpi_verifier *v, const master *m, vpi_view list, const vpi_ptrack *t,
                         const vpi_ptrack *audio, vpi_view group)
{
    vpi_view value = { "", 0 };
    char text[512];
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
    for (const char *c = text; c; c = strchr(c, ',') ? strchr(c, ',') + 1 : NULL) {
        char one[VPI_CODECS_SIZE];

        vpi_strlcpy(one, c, sizeof(one));
        one[strcspn(one, ",")] = 0;
        vpi_check(v, vpi_codecs_hold(t->codecs, one) || (audio && group_codec(v, m, group, one)), "P13",
                  m->key, "CODECS %s of %s: %s is in none of its tracks", text, t->name, one);
    }
}

static void check_variant(vpi_verifier *v, master *m, vpi_view list, const char *key)
{
    size_t n = find_track(v, m, key, false);
    const vpi_ptrack *t, *loudest = NULL;
    uint64_t peak = 0, mean = 0;
    vpi_view group = { "", 0 };

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
    check_codecs(v, m, list, t, loudest, group);
    if (t->kind == VP_TRACK_VIDEO) {
        check_picture(v, m, list, t, "P13");
        check_frame_rate(v, m, list, t);
        check_range(v, m, list, t);
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
    vpi_check(v,
              vpi_attribute(list, "CODECS", &value, NULL) && value.size > 0 &&
                  strncmp(v->p->tracks[n].codecs, value.data, value.size) == 0,
              "P29", m->key, "CODECS %.*s of an I-frame variant, its pictures are %s", (int)value.size,
              value.data, v->p->tracks[n].codecs);
    m->tricks[n] = true;
}

/* A title may name no default; then the writers choose one. */
static bool other_default(const vpi_verifier *v, const vpi_ptrack *t)
{
    for (size_t i = 0; i < v->p->track_count; i++) {
        const vpi_ptrack *o = &v->p->tracks[i];

        if (v->sane[i] && o->kind == VP_TRACK_AUDIO && o->is_default && o != t &&
            strcmp(o->group, t->group) == 0)
            return true;
    }
    return false;
}

/* EXT-X-MEDIA against the track whose playlist it names. */
static void check_rendition(vpi_verifier *v, const master *m, vpi_view list, const rendition *r)
{
    const vpi_ptrack *t = &v->p->tracks[r->track];
    vpi_view value = { "", 0 };
    uint64_t channels = 0;

    vpi_check(v, !t->language || vpi_view_is(r->language, t->language), "P16", m->key,
              "LANGUAGE %.*s of %s, it is %s", (int)r->language.size, r->language.data, t->name, t->language);
    vpi_check(v, r->is_default ? t->is_default || !other_default(v, t) : !t->is_default, "P16", m->key,
              "DEFAULT of %s is not what the title says", t->name);
    /* "6" or "16/JOC" */
    if (vpi_attribute(list, "CHANNELS", &value, NULL)) {
        value.size = strcspn(value.data, "/\",\n") < value.size ? strcspn(value.data, "/\",\n") : value.size;
        vpi_check(v, vpi_view_u64(value, &channels) && channels == t->channels, "P13", m->key,
                  "CHANNELS %.*s of %s, it has %u", (int)value.size, value.data, t->name, t->channels);
    }
    if (r->is_default) {
        vpi_check(v, !vpi_attribute(list, "AUTOSELECT", &value, NULL) || vpi_view_is(value, "YES"), "P16",
                  m->key, "DEFAULT=YES with AUTOSELECT=NO");
    }
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
    check_rendition(v, m, list, &r);
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

/* Each is there once (4.3.4.5). */
static void check_session(vpi_verifier *v, master *m, vpi_view list)
{
    for (size_t i = 0; i < m->session_count; i++) {
        vpi_check(v, !view_equal(m->session_keys[i], list), "HLS", m->key,
                  "an EXT-X-SESSION-KEY is there twice");
    }
    vpi_check_session_key(v, m->key, m->container, list);
    if (m->session_count >= GROUPS_MAX) return;
    if (!VPI_GROW(m->session_keys, m->session_count, m->session_cap))
        m->no_memory = true;
    else
        m->session_keys[m->session_count++] = list;
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
        } else if (vpi_view_is(name, "EXT-X-SESSION-KEY")) {
            check_session(v, m, value);
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
    m.tricks = vpi_calloc(v->p->track_count ? v->p->track_count : 1, sizeof(*m.tricks));
    if (!m.seen || !m.tricks) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    read_lines(v, &m, text, size, true);
    read_lines(v, &m, text, size, false);
    check_groups(v, &m);
    vpi_check(v, m.variants > 0, "HLS", key, "no variants");
    vpi_check(v, m.independent, "P04", key, "no EXT-X-INDEPENDENT-SEGMENTS");
    for (size_t i = 0; i < v->p->track_count; i++) {
        if (!v->sane[i] || !belongs(&v->p->tracks[i], container)) continue;
        vpi_check(v, m.seen[i], "X04", key, "does not name %s", v->p->tracks[i].name);
        /* AES-128 leaves no part of a segment readable alone. */
        if (v->p->tracks[i].kind == VP_TRACK_VIDEO && !vpi_whole_object(&v->p->tracks[i]))
            vpi_check(v, m.tricks[i], "P29", key, "no I-frame variant of %s", v->p->tracks[i].name);
    }
    if (m.no_memory) st = vpi_fail_nomem(err);
done:
    vpi_free(m.renditions);
    vpi_free(m.session_keys);
    vpi_free(m.tricks);
    vpi_free(m.seen);
    return st;
}
