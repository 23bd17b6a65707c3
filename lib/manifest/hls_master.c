/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "manifest/hls_int.h"
#include "model/media.h"

#define NAME_SIZE 160

/*
 * Players begin with the first variant. One that most networks carry starts fastest: the best at or below
 * this peak (HLS Authoring Specification 1.32 speaks of about 2 Mbit/s).
 */
#define FIRST_VARIANT_RATE 2500000u

/* Transfer characteristics of ISO/IEC 23091-2 that are not SDR. */
enum { TRANSFER_PQ = 16, TRANSFER_HLG = 18 };

typedef struct rendition {
    const vpi_ptrack *track;
    char name[NAME_SIZE]; /* unique in its group */
} rendition;

typedef struct variant {
    const vpi_ptrack *video; /* NULL: audio only */
    const vpi_ptrack *lead;  /* whose playlist the variant names */
    const char *group;       /* NULL: none */
    uint64_t peak, average;
} variant;

typedef struct master {
    const vpi_presentation *p;
    int32_t container;
    const vpi_ptrack **videos;
    size_t video_count;
    rendition *audio;
    size_t audio_count;
    const char **groups; /* in order of appearance */
    size_t group_count;
    const rendition **members; /* one of each name, in order of appearance */
    size_t member_count;
    const rendition *chosen; /* DEFAULT=YES */
    variant *variants;
    size_t variant_count;
    bool hdr;
} master;

static void dispose(master *m)
{
    vpi_free(m->videos);
    vpi_free(m->audio);
    vpi_free(m->groups);
    vpi_free(m->members);
    vpi_free(m->variants);
}

static bool listed(const master *m, const vpi_ptrack *t)
{
    if (t->segment_count == 0 || t->timescale == 0) return false;
    if (m->container == VP_HLS_CMAF) return t->container == VP_CONTAINER_CMAF;
    return t->container == VP_CONTAINER_TS || t->container == VP_CONTAINER_PACKED;
}

/* ---- audio groups ---- */

static bool name_taken(const master *m, const rendition *r)
{
    size_t i;

    for (i = 0; i < m->audio_count; i++) {
        if (strcmp(m->audio[i].track->group, r->track->group) == 0 &&
            strcmp(m->audio[i].name, r->name) == 0) {
            return true;
        }
    }
    return false;
}

/* NAME is unique in a group (RFC 8216 4.3.4.1.1). */
static void add_rendition(master *m, const vpi_ptrack *t)
{
    rendition *r = &m->audio[m->audio_count];
    char label[NAME_SIZE - 16];
    unsigned n;

    r->track = t;
    if (t->label) {
        vpi_strlcpy(label, t->label, sizeof(label));
    } else {
        vpi_language_name(t->language, label, sizeof(label));
    }
    vpi_strlcpy(r->name, label, sizeof(r->name));
    for (n = 2; name_taken(m, r); n++) snprintf(r->name, sizeof(r->name), "%s %u", label, n);
    m->audio_count++;
}

static void add_group(master *m, const char *group)
{
    size_t i;

    for (i = 0; i < m->group_count; i++) {
        if (strcmp(m->groups[i], group) == 0) return;
    }
    m->groups[m->group_count++] = group;
}

static void add_member(master *m, const rendition *r)
{
    size_t i;

    for (i = 0; i < m->member_count; i++) {
        if (strcmp(m->members[i]->name, r->name) == 0) return;
    }
    m->members[m->member_count++] = r;
}

/*
 * All groups have the same members (4.3.4.2.1): where a group lacks one, for example a language that there is
 * in stereo only, the rendition of another group stands in.
 */
static const vpi_ptrack *member_of(const master *m, const char *group, const char *name)
{
    const vpi_ptrack *other = NULL;
    size_t i;

    for (i = 0; i < m->audio_count; i++) {
        if (strcmp(m->audio[i].name, name) != 0) continue;
        if (strcmp(m->audio[i].track->group, group) == 0) return m->audio[i].track;
        if (!other) other = m->audio[i].track;
    }
    return other;
}

static const char *language(const vpi_ptrack *t)
{
    return t->language ? t->language : "und";
}

/* Members chosen automatically differ in language (4.3.4.1.1), the default one first. */
static bool autoselect(const master *m, const rendition *r)
{
    size_t i;

    if (r == m->chosen) return true;
    if (strcmp(language(r->track), language(m->chosen->track)) == 0) return false;
    for (i = 0; i < m->member_count && m->members[i] != r; i++) {
        if (strcmp(language(r->track), language(m->members[i]->track)) == 0) return false;
    }
    return true;
}

static void group_rates(const master *m, const char *group, uint64_t *peak, uint64_t *average)
{
    size_t i;

    *peak = *average = 0;
    for (i = 0; i < m->member_count; i++) {
        const vpi_ptrack *t = member_of(m, group, m->members[i]->name);

        *peak = VPI_MAX(*peak, t->bandwidth);
        *average = VPI_MAX(*average, t->average_bandwidth);
    }
}

/* ---- what there is ---- */

static bool collect(master *m)
{
    size_t n = m->p->track_count + 1, i;
    bool muxed = false;

    m->videos = vpi_calloc(n, sizeof(*m->videos));
    m->audio = vpi_calloc(n, sizeof(*m->audio));
    m->groups = vpi_calloc(n, sizeof(*m->groups));
    m->members = vpi_calloc(n, sizeof(*m->members));
    if (!m->videos || !m->audio || !m->groups || !m->members) return false;
    for (i = 0; i < m->p->track_count; i++) {
        const vpi_ptrack *t = &m->p->tracks[i];

        if (!listed(m, t) || t->kind != VP_TRACK_VIDEO) continue;
        m->videos[m->video_count++] = t;
        muxed = muxed || t->channels > 0;
        m->hdr = m->hdr || t->transfer == TRANSFER_PQ || t->transfer == TRANSFER_HLG;
    }
    for (i = 0; i < m->p->track_count && !muxed; i++) {
        if (listed(m, &m->p->tracks[i]) && m->p->tracks[i].kind == VP_TRACK_AUDIO)
            add_rendition(m, &m->p->tracks[i]);
    }
    for (i = 0; i < m->audio_count; i++) {
        add_group(m, m->audio[i].track->group);
        add_member(m, &m->audio[i]);
    }
    for (i = 0; i < m->member_count && !m->chosen; i++) {
        if (m->members[i]->track->is_default) m->chosen = m->members[i];
    }
    if (!m->chosen && m->member_count) m->chosen = m->members[0];
    return true;
}

/* One audio track needs no group of its own when there is no picture. */
static bool has_groups(const master *m)
{
    return m->group_count > 0 && (m->video_count > 0 || m->member_count > 1);
}

static void add_variant(master *m, const vpi_ptrack *video, const char *group)
{
    variant *v = &m->variants[m->variant_count++];

    v->video = video;
    v->group = group;
    if (group) group_rates(m, group, &v->peak, &v->average);
    if (video) {
        v->peak += video->bandwidth;
        v->average += video->average_bandwidth;
    }
    v->lead = video ? video : member_of(m, group, m->chosen->name);
}

/* Falling by rate, in order of appearance where equal. */
static void sort(variant *v, size_t count)
{
    size_t i, k;

    for (i = 1; i < count; i++) {
        variant one = v[i];

        for (k = i; k > 0 && one.peak > v[k - 1].peak; k--) v[k] = v[k - 1];
        v[k] = one;
    }
}

/* Brings the variant to begin with to the front; it has the first audio group. */
static void choose_first(master *m)
{
    size_t i, best = m->variant_count;
    variant v;

    for (i = 0; i < m->variant_count; i++) {
        const variant *c = &m->variants[i];

        if (m->group_count && strcmp(c->group, m->groups[0]) != 0) continue;
        best = i; /* they fall: the last one is the lowest, for when all are above */
        if (c->peak <= FIRST_VARIANT_RATE) break;
    }
    if (best >= m->variant_count) return;
    v = m->variants[best];
    memmove(m->variants + 1, m->variants, best * sizeof(v));
    m->variants[0] = v;
}

static bool combine(master *m)
{
    size_t groups = VPI_MAX(m->group_count, (size_t)1), videos = VPI_MAX(m->video_count, (size_t)1), i, k;

    m->variants = vpi_calloc(groups * videos, sizeof(*m->variants));
    if (!m->variants) return false;
    for (i = 0; i < videos; i++) {
        for (k = 0; k < groups; k++) {
            add_variant(m, m->video_count ? m->videos[i] : NULL, m->group_count ? m->groups[k] : NULL);
        }
    }
    sort(m->variants, m->variant_count);
    choose_first(m);
    return true;
}

/* ---- text ---- */

static unsigned version(const master *m)
{
    unsigned v = 3;
    size_t i;

    /* The most that one of the playlists needs: EXT-X-MAP 6, KEYFORMAT 5, I-frame playlists and byte ranges 4. */
    for (i = 0; i < m->p->track_count; i++) {
        const vpi_ptrack *t = &m->p->tracks[i];

        if (!listed(m, t)) continue;
        if (t->init.key) v = 6;
        if (v < 4 && (t->single_file || vpi_hls_has_iframes(t))) v = 4;
        v = VPI_MAX(v, vpi_hls_key_version(t));
    }
    return v;
}

/* No tag twice (4.3.4.5): tracks share their keys, or some of them. */
static bool has_line(const vpi_buf *b, const uint8_t *line, size_t size)
{
    size_t at = 0;

    while (at < b->size) {
        const uint8_t *end = memchr(b->data + at, '\n', b->size - at);
        size_t length = end ? (size_t)(end - b->data) + 1 - at : b->size - at;

        if (length == size && memcmp(b->data + at, line, size) == 0) return true;
        at += length;
    }
    return false;
}

static void add_session_keys(vpi_buf *b, const master *m)
{
    vpi_buf all = { 0 }, own = { 0 };
    size_t i, at, length;

    for (i = 0; i < m->p->track_count; i++) {
        if (!listed(m, &m->p->tracks[i])) continue;
        vpi_buf_clear(&own);
        vpi_hls_session_tags(&own, &m->p->tracks[i]);
        for (at = 0; at < own.size && !own.failed; at += length) {
            length =
                (size_t)((const uint8_t *)memchr(own.data + at, '\n', own.size - at) - own.data) + 1 - at;
            if (!has_line(&all, own.data + at, length)) vpi_buf_add(&all, own.data + at, length);
        }
        if (vpi_buf_failed(&own)) b->failed = true;
    }
    if (vpi_buf_failed(&all)) b->failed = true;
    vpi_buf_add(b, all.data, all.size);
    vpi_buf_dispose(&own);
    vpi_buf_dispose(&all);
}

static void add_media_tags(vpi_buf *b, const master *m)
{
    size_t g, i;

    for (g = 0; g < m->group_count; g++) {
        for (i = 0; i < m->member_count; i++) {
            const rendition *r = m->members[i];
            const vpi_ptrack *t = member_of(m, m->groups[g], r->name);

            vpi_buf_str(b, "#EXT-X-MEDIA:TYPE=AUDIO");
            vpi_hls_quoted(b, false, "GROUP-ID", m->groups[g]);
            vpi_hls_quoted(b, false, "NAME", r->name);
            vpi_hls_quoted(b, false, "LANGUAGE", language(r->track));
            vpi_buf_str(b, r == m->chosen ? ",DEFAULT=YES" : ",DEFAULT=NO");
            vpi_buf_str(b, autoselect(m, r) ? ",AUTOSELECT=YES" : ",AUTOSELECT=NO");
            if (t->channels) vpi_buf_printf(b, ",CHANNELS=\"%u\"", t->channels);
            vpi_buf_str(b, ",URI=\"");
            vpi_hls_playlist_uri(t, false, b);
            vpi_buf_str(b, "\"\n");
        }
    }
}

static void add_codecs(vpi_buf *b, const master *m, const variant *v)
{
    vpi_buf list = { 0 };
    size_t i;

    if (v->video) vpi_hls_merge_codecs(&list, v->video->codecs, true);
    for (i = 0; v->group && i < m->member_count; i++) {
        vpi_hls_merge_codecs(&list, member_of(m, v->group, m->members[i]->name)->codecs, true);
    }
    vpi_buf_u8(&list, 0);
    if (vpi_buf_failed(&list)) {
        b->failed = true;
    } else {
        vpi_hls_quoted(b, false, "CODECS", (const char *)list.data);
    }
    vpi_buf_dispose(&list);
}

/* Three decimals, half up. */
static void add_frame_rate(vpi_buf *b, const vpi_ptrack *t)
{
    uint64_t milli;

    if (!t->frame_rate_num || !t->frame_rate_den) return;
    milli = ((uint64_t)t->frame_rate_num * 2000 + t->frame_rate_den) / ((uint64_t)t->frame_rate_den * 2);
    vpi_buf_printf(b, ",FRAME-RATE=%" PRIu64 ".%03" PRIu64, milli / 1000, milli % 1000);
}

static void add_picture(vpi_buf *b, const master *m, const vpi_ptrack *t)
{
    /* RFC 8216 4.3.4.2: at which to display it. */
    if (t->width && t->height) vpi_buf_printf(b, ",RESOLUTION=%ux%u", vpi_ptrack_shown_width(t), t->height);
    if (!m->hdr) return; /* not needed where all is SDR */
    vpi_buf_str(b, ",VIDEO-RANGE=");
    vpi_buf_str(b, t->transfer == TRANSFER_PQ ? "PQ" : t->transfer == TRANSFER_HLG ? "HLG" : "SDR");
}

static void add_variants(vpi_buf *b, const master *m)
{
    size_t i;

    for (i = 0; i < m->variant_count; i++) {
        const variant *v = &m->variants[i];

        vpi_buf_printf(b, "#EXT-X-STREAM-INF:BANDWIDTH=%" PRIu64 ",AVERAGE-BANDWIDTH=%" PRIu64, v->peak,
                       v->average);
        add_codecs(b, m, v);
        if (v->video) {
            add_picture(b, m, v->video);
            add_frame_rate(b, v->video);
        }
        if (has_groups(m)) vpi_hls_quoted(b, false, "AUDIO", v->group);
        /* On all variants, since captions in the pictures are not carried over (4.3.4.2). */
        vpi_buf_str(b, ",CLOSED-CAPTIONS=NONE\n");
        vpi_hls_playlist_uri(v->lead, false, b);
        vpi_buf_u8(b, '\n');
    }
}

static void add_iframe_variants(vpi_buf *b, const master *m)
{
    uint32_t target = vpi_presentation_target(m->p);
    uint64_t peak, average;
    size_t i;

    for (i = 0; i < m->video_count; i++) {
        const vpi_ptrack *t = m->videos[i];
        vpi_buf codecs = { 0 };

        if (!vpi_hls_has_iframes(t)) continue;
        vpi_ptrack_iframe_rates(t, target, &peak, &average);
        vpi_buf_printf(b, "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=%" PRIu64 ",AVERAGE-BANDWIDTH=%" PRIu64, peak,
                       average);
        /* The I-frame playlist of a muxed track has pictures only. */
        vpi_hls_merge_codecs(&codecs, t->codecs, false);
        vpi_buf_u8(&codecs, 0);
        if (vpi_buf_failed(&codecs)) {
            b->failed = true;
        } else {
            vpi_hls_quoted(b, false, "CODECS", (const char *)codecs.data);
        }
        vpi_buf_dispose(&codecs);
        add_picture(b, m, t);
        vpi_buf_str(b, ",URI=\"");
        vpi_hls_playlist_uri(t, true, b);
        vpi_buf_str(b, "\"\n");
    }
}

vp_status vp_manifest_hls_master(const vp_presentation *presentation, int32_t container, vp_bytes **out,
                                 vp_error *err)
{
    master m = { 0 };
    vpi_buf b = { 0 };
    vp_status st = VP_OK;

    vp_error_init(err);
    if (out) *out = NULL;
    if (!presentation || !out)
        return vpi_fail(err, VP_E_ARG, NULL, "no presentation or nowhere to put its text");
    if (container != VP_HLS_CMAF && container != VP_HLS_TS) {
        return vpi_fail(err, VP_E_ARG, NULL, "container %d is neither CMAF nor TS", (int)container);
    }
    m.p = &presentation->p;
    m.container = container;
    if (!collect(&m)) VPI_GO(vpi_fail_nomem(err));
    if (!m.video_count && !m.audio_count) {
        VPI_GO(vpi_fail(err, VP_E_ARG, NULL, "the presentation has no track in this container"));
    }
    if (!combine(&m)) VPI_GO(vpi_fail_nomem(err));
    vpi_buf_printf(&b, "#EXTM3U\n#EXT-X-VERSION:%u\n#EXT-X-INDEPENDENT-SEGMENTS\n", version(&m));
    add_session_keys(&b, &m);
    if (has_groups(&m)) add_media_tags(&b, &m);
    add_variants(&b, &m);
    add_iframe_variants(&b, &m);
    st = vpi_bytes_from_buf(&b, out, err);
done:
    dispose(&m);
    return st;
}
