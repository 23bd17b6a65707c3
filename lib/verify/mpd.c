/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The MPD (ISO/IEC 23009-1): its own attributes, and each Representation as its elements come. */
#include "verify/mpd_int.h"

#define SLACK_NS UINT64_C(1000000)
#define NS UINT64_C(1000000000)

static bool duration_of(const vpi_tag *tag, const char *name, uint64_t *ns)
{
    vpi_view value;

    return vpi_tag_attribute(tag, name, &value) && vpi_xml_duration(value, ns);
}

/* Of the track that ends first: a player asks for nothing behind the length that is told. */
static uint64_t shortest(const vpi_verifier *v, uint64_t otherwise)
{
    uint64_t length = UINT64_MAX;

    for (size_t i = 0; i < v->p->track_count; i++) {
        const vpi_ptrack *t = &v->p->tracks[i];
        const vpi_segment *last = t->segment_count ? &t->segments[t->segment_count - 1] : NULL;

        if (!v->sane[i] || !last || t->container != VP_CONTAINER_CMAF) continue;
        length =
            VPI_MIN(length, (uint64_t)(((vpi_u128)last->start + (uint64_t)last->ticks) * NS / t->timescale));
    }
    return length == UINT64_MAX ? otherwise : length;
}

static void check_length(vpi_mpd *m, const vpi_tag *tag, const char *name)
{
    const vpi_presentation *p = m->v->p;
    uint64_t due, media, said = 0;

    if (!vpi_check(m->v, duration_of(tag, name, &said), "DASH", m->key, "no usable %s", name)) return;
    if (p->timescale == 0) return;
    due = (uint64_t)((vpi_u128)p->duration * NS / p->timescale);
    media = shortest(m->v, due);
    vpi_check(m->v, said <= VPI_MAX(due, media) + SLACK_NS && said + SLACK_NS >= VPI_MIN(due, media), "P22",
              m->key, "%s %.6f, the title lasts %.6f", name, (double)said / 1e9, (double)due / 1e9);
}

static void read_root(vpi_mpd *m, const vpi_tag *tag)
{
    vpi_view value = { "", 0 };

    vpi_tag_attribute(tag, "type", &value);
    vpi_check(m->v, vpi_view_is(value, "static"), "DASH", m->key, "type %.*s", (int)value.size, value.data);
    vpi_check(m->v, vpi_tag_attribute(tag, "profiles", &m->profiles), "DASH", m->key, "no profiles");
    vpi_check(m->v,
              vpi_tag_attribute(tag, "xmlns", &value) && vpi_view_is(value, "urn:mpeg:dash:schema:mpd:2011"),
              "DASH", m->key, "the namespace is not that of an MPD");
    vpi_check(m->v, duration_of(tag, "minBufferTime", &m->buffer_ns) && m->buffer_ns > 0, "DASH", m->key,
              "no usable minBufferTime");
    check_length(m, tag, "mediaPresentationDuration");
}

static void read_period(vpi_mpd *m, const vpi_tag *tag)
{
    vpi_view value;
    uint64_t start = 0;

    m->periods++;
    if (!vpi_check(m->v, m->periods == 1, "P26", m->key, "a second Period in a title of one piece")) return;
    vpi_check(m->v,
              !vpi_tag_attribute(tag, "start", &value) || (vpi_xml_duration(value, &start) && start == 0),
              "P06", m->key, "the Period does not start at 0");
    if (vpi_tag_attribute(tag, "duration", &value)) check_length(m, tag, "duration");
}

static void read_set(vpi_mpd *m, const vpi_tag *tag)
{
    static const char *const aligned[] = { "segmentAlignment", "subsegmentAlignment" };
    static const char *const sap[] = { "startWithSAP", "subsegmentStartsWithSAP" };
    vpi_view value;
    bool good = false;

    m->set = *tag;
    m->in_set = true;
    m->main_role = false;
    m->of_track = NULL;
    m->sets++;
    memset(&m->of_set, 0, sizeof(m->of_set));
    memset(m->colour, 0, sizeof(m->colour));
    m->scheme = m->kid = (vpi_view){ "", 0 };
    m->closed = m->switching = false;
    for (size_t i = 0; i < VPI_COUNT(aligned); i++) {
        good |= vpi_tag_attribute(tag, aligned[i], &value) && vpi_view_is(value, "true") &&
                vpi_tag_attribute(tag, sap[i], &value) &&
                (vpi_view_is(value, "1") || vpi_view_is(value, "2"));
    }
    vpi_check(m->v, good, "DASH", m->key, "AdaptationSet %zu: alignment or SAP is not stated", m->sets);
}

/* A default that is there in stereo and surround is main in both groups, once in each. */
static void check_main(vpi_mpd *m)
{
    const vpi_presentation *p = m->v->p;
    size_t main = (size_t)(m->of_track - p->tracks);

    for (size_t i = 0; i < p->track_count; i++) {
        vpi_check(m->v, !m->mains[i] || strcmp(p->tracks[i].group, m->of_track->group) != 0, "P16", m->key,
                  "%s and %s both have the role main", p->tracks[i].name, m->of_track->name);
    }
    m->mains[main] = true;
}

static void end_set(vpi_mpd *m)
{
    if (m->main_role && m->of_track && m->of_track->kind == VP_TRACK_AUDIO) check_main(m);
    m->in_set = false;
}

static void read_address(vpi_mpd *m, const vpi_tag *tag, bool is_template)
{
    vpi_address *a = m->in_representation ? &m->own : &m->of_set;

    memset(a, 0, sizeof(*a));
    a->is_template = is_template;
    a->is_base = !is_template;
    a->element = *tag;
}

/* Colours are the only essential ones: a player leaves a set out whose properties it does not know. */
static void read_property(vpi_mpd *m, const vpi_tag *tag)
{
    static const char *const schemes[] = { "urn:mpeg:mpegB:cicp:ColourPrimaries",
                                           "urn:mpeg:mpegB:cicp:TransferCharacteristics",
                                           "urn:mpeg:mpegB:cicp:MatrixCoefficients" };
    vpi_view scheme = { "", 0 };
    bool known = false;

    vpi_tag_attribute(tag, "schemeIdUri", &scheme);
    for (size_t i = 0; i < VPI_COUNT(schemes); i++) {
        if (!vpi_view_is(scheme, schemes[i])) continue;
        known = vpi_tag_attribute(tag, "value", &m->colour[i]);
    }
    m->switching |= vpi_view_is(scheme, "urn:mpeg:dash:adaptation-set-switching:2016");
    vpi_check(m->v, known || vpi_view_is(tag->name, "SupplementalProperty"), "DASH", m->key,
              "an essential property %.*s", (int)scheme.size, scheme.data);
}

/* The scheme and the key; what systems are told is the text that the writers make (MANIFEST). */
static void read_protection(vpi_mpd *m, const vpi_tag *tag)
{
    vpi_view scheme = { "", 0 };

    vpi_check(m->v, !m->in_representation, "DASH", m->key, "ContentProtection of a Representation alone");
    m->closed = true;
    if (!vpi_tag_attribute(tag, "schemeIdUri", &scheme) ||
        !vpi_view_is(scheme, "urn:mpeg:dash:mp4protection:2011")) {
        return;
    }
    vpi_check(m->v, m->scheme.size == 0, "DASH", m->key, "two schemes of protection in a set");
    vpi_tag_attribute(tag, "value", &m->scheme);
    vpi_tag_attribute(tag, "cenc:default_KID", &m->kid);
}

static void read_inner(vpi_mpd *m, const vpi_tag_walk *w, const vpi_tag *tag)
{
    vpi_address *a = m->in_representation ? &m->own : &m->of_set;
    vpi_view value;

    if (vpi_view_is(tag->name, "SegmentTemplate")) {
        read_address(m, tag, true);
    } else if (vpi_view_is(tag->name, "SegmentBase")) {
        read_address(m, tag, false);
    } else if (vpi_view_is(tag->name, "ContentProtection")) {
        read_protection(m, tag);
    } else if (vpi_view_is(tag->name, "SegmentTimeline")) {
        a->has_timeline = true;
        a->timeline = tag->after;
    } else if (vpi_view_is(tag->name, "Initialization")) {
        a->has_init_range = vpi_tag_attribute(tag, "range", &a->init_range);
    } else if (vpi_view_is(tag->name, "BaseURL") && m->in_representation) {
        m->base_url = vpi_tag_text(w, tag);
    } else if (vpi_view_is(tag->name, "AudioChannelConfiguration") && m->in_representation) {
        vpi_tag_attribute(tag, "value", &m->channels);
    } else if (vpi_view_is(tag->name, "EssentialProperty") ||
               vpi_view_is(tag->name, "SupplementalProperty")) {
        read_property(m, tag);
    } else if (vpi_view_is(tag->name, "Role") && vpi_tag_attribute(tag, "value", &value)) {
        m->main_role |= vpi_view_is(value, "main");
    } else if (vpi_view_is(tag->name, "SegmentList")) {
        vpi_check(m->v, false, "DASH", m->key, "a SegmentList");
    }
}

static void open_tag(vpi_mpd *m, const vpi_tag_walk *w, const vpi_tag *tag)
{
    vpi_check(m->v, !vpi_view_is(tag->name, "BaseURL") || m->in_representation, "X04", m->key,
              "a BaseURL that moves all objects");
    if (vpi_view_is(tag->name, "MPD")) {
        read_root(m, tag);
    } else if (vpi_view_is(tag->name, "Period")) {
        read_period(m, tag);
    } else if (vpi_view_is(tag->name, "AdaptationSet")) {
        read_set(m, tag);
    } else if (vpi_view_is(tag->name, "Representation") && m->in_set) {
        m->representation = *tag;
        m->in_representation = true;
        memset(&m->own, 0, sizeof(m->own));
        m->base_url = m->channels = (vpi_view){ "", 0 };
        if (tag->kind == VPI_TAG_EMPTY) vpi_mpd_representation(m);
        m->in_representation = tag->kind == VPI_TAG_OPEN;
    } else if (m->in_set) {
        read_inner(m, w, tag);
    }
}

static void close_tag(vpi_mpd *m, const vpi_tag *tag)
{
    if (vpi_view_is(tag->name, "Representation") && m->in_representation) {
        vpi_mpd_representation(m);
        m->in_representation = false;
    } else if (vpi_view_is(tag->name, "AdaptationSet") && m->in_set) {
        end_set(m);
    }
}

/* Pictures of one group that are in two sets, each with its key: both say that a player may switch. */
static void check_switching(vpi_mpd *m, size_t n)
{
    const vpi_ptrack *t = &m->v->p->tracks[n];

    for (size_t i = 0; i < m->v->p->track_count; i++) {
        const vpi_ptrack *o = &m->v->p->tracks[i];
        size_t family = strcspn(t->codecs, ".,");

        if (i == n || !m->seen[i] || o->kind != VP_TRACK_VIDEO || strcmp(o->group, t->group) != 0 ||
            strncmp(o->codecs, t->codecs, family) != 0 || !vpi_by_sample(o) ||
            memcmp(o->protection.keys[0].kid, t->protection.keys[0].kid, sizeof(o->protection.keys[0].kid)) ==
                0) {
            continue;
        }
        vpi_check(m->v, m->switches[n], "DASH", m->key, "%s and %s have two keys, but its set names no other",
                  t->name, o->name);
    }
}

static void check_whole(vpi_mpd *m)
{
    const vpi_presentation *p = m->v->p;

    vpi_check(m->v, m->periods > 0, "DASH", m->key, "no Period");
    for (size_t i = 0; i < p->track_count; i++) {
        const vpi_ptrack *t = &p->tracks[i];

        if (!m->v->sane[i] || t->container != VP_CONTAINER_CMAF) continue;
        if (t->kind != VP_TRACK_VIDEO && t->kind != VP_TRACK_AUDIO) continue;
        if (!vpi_check(m->v, m->seen[i], "X04", m->key, "does not name %s", t->name)) continue;
        if (t->kind == VP_TRACK_VIDEO && vpi_by_sample(t) && t->protection.key_count > 0)
            check_switching(m, i);
    }
}

vp_status vpi_verify_mpd(vpi_verifier *v, const char *key, const char *text, size_t size, vp_error *err)
{
    vpi_mpd m = { .v = v, .key = key, .end = text + size };
    vpi_tag_walk w = { text, text + size, false };
    vp_status st = VP_OK;
    size_t depth = 0;
    vpi_tag tag;

    m.seen = vpi_calloc(v->p->track_count ? v->p->track_count : 1, sizeof(*m.seen));
    m.mains = vpi_calloc(v->p->track_count ? v->p->track_count : 1, sizeof(*m.mains));
    m.switches = vpi_calloc(v->p->track_count ? v->p->track_count : 1, sizeof(*m.switches));
    if (!m.seen || !m.mains || !m.switches) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    while (vpi_tag_next(&w, &tag)) {
        if (tag.kind == VPI_TAG_CLOSE) {
            w.broken = depth-- == 0;
            close_tag(&m, &tag);
        } else {
            if (depth == 0) vpi_check(v, vpi_view_is(tag.name, "MPD"), "DASH", key, "the root is no MPD");
            depth += tag.kind == VPI_TAG_OPEN;
            open_tag(&m, &w, &tag);
        }
        if (w.broken) break;
    }
    if (vpi_check(v, !w.broken && depth == 0, "DASH", key, "is no whole XML document")) check_whole(&m);
done:
    vpi_free(m.seen);
    vpi_free(m.mains);
    vpi_free(m.switches);
    return st;
}
