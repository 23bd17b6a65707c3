/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include <vodpipe/manifest.h>

#include "base/error.h"
#include "manifest/dash_int.h"
#include "manifest/drm.h"

#define MICROSECONDS 1000000u
#define BT709 1
#define UNSPECIFIED 2

enum { TRANSFER_PQ = 16, TRANSFER_HLG = 18 };

/* Tracks that players switch between. */
typedef struct set {
    const vpi_ptrack **tracks;
    size_t count;
    int32_t kind;
    vpi_addressing how;
    bool main, preferred;
} set;

typedef struct mpd {
    const vpi_presentation *p;
    const vpi_ptrack **tracks; /* CMAF, video and audio; each set's tracks lie together */
    size_t track_count;
    set *sets;
    size_t set_count;
    vpi_dash_time time;
} mpd;

/* ---- what there is ---- */

static bool listed(const vpi_ptrack *t)
{
    return t->container == VP_CONTAINER_CMAF && (t->kind == VP_TRACK_VIDEO || t->kind == VP_TRACK_AUDIO) &&
           t->segment_count > 0 && t->timescale > 0;
}

/* One family of codecs ("avc1" and "hvc1" do not switch), one group; audio tracks stand alone. */
static bool switches(const set *s, const vpi_ptrack *t)
{
    const vpi_ptrack *first = s->tracks[0];
    size_t n = strcspn(first->codecs, ".,");

    return t->kind == VP_TRACK_VIDEO && first->kind == VP_TRACK_VIDEO &&
           strcmp(first->group, t->group) == 0 && n == strcspn(t->codecs, ".,") &&
           memcmp(first->codecs, t->codecs, n) == 0;
}

/* One key in a set (DASH-IF): tracks of others get sets of their own, which players switch between. */
static bool belongs(const set *s, const vpi_ptrack *t)
{
    return switches(s, t) && vpi_dash_same_key(s->tracks[0], t);
}

static void add_set(mpd *m, size_t from)
{
    const vpi_ptrack *first = m->p->tracks + from;
    set *s = &m->sets[m->set_count];
    size_t i;

    for (i = 0; i < m->track_count; i++) {
        if (m->tracks[i] == first) return; /* in an earlier set */
    }
    m->set_count++;
    s->tracks = m->tracks + m->track_count;
    s->tracks[s->count++] = first;
    s->kind = first->kind;
    s->how = vpi_dash_addressing(first);
    for (i = from + 1; i < m->p->track_count; i++) {
        const vpi_ptrack *t = &m->p->tracks[i];

        if (!listed(t) || !belongs(s, t)) continue;
        s->tracks[s->count++] = t;
        if (vpi_dash_addressing(t) != s->how) s->how = VPI_DASH_LIST;
    }
    m->track_count += s->count;
}

/*
 * One set of each kind is the main one (DASH-IF): the first codec of the pictures; of the sound the default track, else
 * the first. A default that is there in stereo and surround is main in both, and stereo, which comes first, is what to
 * begin with.
 */
static void choose_main(mpd *m)
{
    set *sound = NULL, *picture = NULL;
    size_t i;

    for (i = 0; i < m->set_count; i++) {
        set *s = &m->sets[i];

        if (s->kind == VP_TRACK_VIDEO) {
            if (!picture) picture = s;
        } else if (!sound || (s->tracks[0]->is_default && !sound->tracks[0]->is_default)) {
            sound = s;
        } else if (s->tracks[0]->is_default && strcmp(s->tracks[0]->group, sound->tracks[0]->group) != 0) {
            s->main = sound->preferred = true;
        }
    }
    /* All that is switched between has one role: players leave out what has another than what they chose. */
    for (i = 0; picture && i < m->set_count; i++) m->sets[i].main |= switches(picture, m->sets[i].tracks[0]);
    if (sound) sound->main = true;
}

static void measure(mpd *m)
{
    size_t i, k;

    for (i = 0; i < m->track_count; i++) {
        const vpi_ptrack *t = m->tracks[i];
        const vpi_segment *last = &t->segments[t->segment_count - 1];
        uint64_t end = last->start + last->ticks;

        if (m->time.timescale == 0 ||
            (vpi_u128)end * m->time.timescale < (vpi_u128)m->time.end * t->timescale) {
            m->time.end = end;
            m->time.timescale = t->timescale;
        }
        for (k = 0; k < t->segment_count; k++) {
            vpi_u128 us = ((vpi_u128)t->segments[k].ticks * MICROSECONDS + t->timescale - 1) / t->timescale;

            if (us > m->time.buffer_us) m->time.buffer_us = us > INT64_MAX ? INT64_MAX : (uint64_t)us;
        }
    }
}

static bool collect(mpd *m)
{
    size_t i;

    m->tracks = vpi_calloc(m->p->track_count + 1, sizeof(*m->tracks));
    m->sets = vpi_calloc(m->p->track_count + 1, sizeof(*m->sets));
    if (!m->tracks || !m->sets) return false;
    for (i = 0; i < m->p->track_count; i++) {
        if (listed(&m->p->tracks[i])) add_set(m, i);
    }
    choose_main(m);
    measure(m);
    return true;
}

/* ---- text ---- */

/* xs:duration in seconds, without trailing zeros. */
static void attr_duration(vpi_xml *x, const char *name, uint64_t us)
{
    char fraction[24];
    size_t n;

    snprintf(fraction, sizeof(fraction), ".%06u", (unsigned)(us % MICROSECONDS));
    for (n = strlen(fraction); n > 0 && (fraction[n - 1] == '0' || fraction[n - 1] == '.'); n--) {
        if (fraction[n - 1] == '.') {
            n--;
            break;
        }
    }
    fraction[n] = 0;
    vpi_xml_attrf(x, name, "PT%" PRIu64 "%sS", us / MICROSECONDS, fraction);
}

static void descriptor(vpi_xml *x, const char *element, const char *scheme, const char *value)
{
    vpi_xml_open(x, element);
    vpi_xml_attr(x, "schemeIdUri", scheme);
    vpi_xml_attr(x, "value", value);
    vpi_xml_close(x);
}

static void cicp(vpi_xml *x, const char *scheme, unsigned value, bool essential)
{
    char text[16];

    if (value == 0 || value == UNSPECIFIED) return;
    snprintf(text, sizeof(text), "%u", value);
    descriptor(x, essential ? "EssentialProperty" : "SupplementalProperty", scheme, text);
}

/* BT.709 is what players assume. HDR is for those only that understand it. */
static void add_colour(vpi_xml *x, const set *s)
{
    const vpi_ptrack *t = s->tracks[0];
    bool essential = t->transfer == TRANSFER_PQ || t->transfer == TRANSFER_HLG;
    size_t i;

    if (t->primaries == BT709 && t->transfer == BT709 && t->matrix == BT709) return;
    for (i = 1; i < s->count; i++) {
        if (s->tracks[i]->primaries != t->primaries || s->tracks[i]->transfer != t->transfer ||
            s->tracks[i]->matrix != t->matrix) {
            return;
        }
    }
    cicp(x, "urn:mpeg:mpegB:cicp:ColourPrimaries", t->primaries, essential);
    cicp(x, "urn:mpeg:mpegB:cicp:TransferCharacteristics", t->transfer, essential);
    cicp(x, "urn:mpeg:mpegB:cicp:MatrixCoefficients", t->matrix, essential);
}

/* ISO/IEC 23091-3 ChannelConfiguration of the usual layout of so many channels; 0: there is none. */
static unsigned channel_configuration(uint32_t channels)
{
    static const uint8_t table[] = { 0, 1, 2, 3, 4, 5, 6, 11, 12 };

    return channels < VPI_COUNT(table) ? table[channels] : 0;
}

static uint32_t divisor(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

static void attr_frame_rate(vpi_xml *x, const char *name, const vpi_ptrack *t)
{
    uint32_t d;

    if (!t->frame_rate_num || !t->frame_rate_den) return;
    d = divisor(t->frame_rate_num, t->frame_rate_den);
    if (t->frame_rate_den == d) {
        vpi_xml_attrf(x, name, "%u", t->frame_rate_num / d);
    } else {
        vpi_xml_attrf(x, name, "%u/%u", t->frame_rate_num / d, t->frame_rate_den / d);
    }
}

/* par and the largest values of the set's pictures. */
static void attr_pictures(vpi_xml *x, const set *s)
{
    const vpi_ptrack *largest = s->tracks[0], *fastest = s->tracks[0];
    uint32_t width = 0, height = 0, shown, d;
    size_t i;

    for (i = 0; i < s->count; i++) {
        const vpi_ptrack *t = s->tracks[i];

        if ((uint64_t)t->width * t->height > (uint64_t)largest->width * largest->height) largest = t;
        if ((uint64_t)t->frame_rate_num * fastest->frame_rate_den >
            (uint64_t)fastest->frame_rate_num * t->frame_rate_den) {
            fastest = t;
        }
        width = VPI_MAX(width, t->width);
        height = VPI_MAX(height, t->height);
    }
    if (!width || !height) return;
    shown = vpi_ptrack_shown_width(largest);
    d = divisor(shown, largest->height);
    if (d) vpi_xml_attrf(x, "par", "%u:%u", shown / d, largest->height / d);
    vpi_xml_attrf(x, "maxWidth", "%u", width);
    vpi_xml_attrf(x, "maxHeight", "%u", height);
    attr_frame_rate(x, "maxFrameRate", fastest);
}

/* Segments of all tracks begin at the same times: what the alignment attributes promise. */
static bool aligned(const set *s)
{
    const vpi_ptrack *a = s->tracks[0];
    size_t i, k;

    for (i = 1; i < s->count; i++) {
        const vpi_ptrack *b = s->tracks[i];

        if (a->segment_count != b->segment_count) return false;
        for (k = 0; k < a->segment_count; k++) {
            if ((vpi_u128)a->segments[k].start * b->timescale !=
                (vpi_u128)b->segments[k].start * a->timescale) {
                return false;
            }
        }
    }
    return true;
}

static void attr_alignment(vpi_xml *x, const set *s)
{
    const char *yes = aligned(s) ? "true" : "false";

    if (s->how == VPI_DASH_BASE) {
        vpi_xml_attr(x, "subsegmentAlignment", yes);
        vpi_xml_attr(x, "subsegmentStartsWithSAP", "1");
    } else {
        vpi_xml_attr(x, "segmentAlignment", yes);
        vpi_xml_attr(x, "startWithSAP", "1");
    }
}

static void add_representation(vpi_xml *x, const mpd *m, const set *s, const vpi_ptrack *t, bool address)
{
    unsigned configuration = channel_configuration(t->channels);
    uint32_t bandwidth = vpi_dash_bandwidth(t, vpi_dash_segments(t, &m->time), m->time.buffer_us);

    vpi_xml_open(x, "Representation");
    vpi_xml_attr(x, "id", t->name);
    vpi_xml_attrf(x, "bandwidth", "%u", bandwidth);
    vpi_xml_attr(x, "codecs", t->codecs);
    if (s->kind == VP_TRACK_VIDEO) {
        if (t->width && t->height) {
            vpi_xml_attrf(x, "width", "%u", t->width);
            vpi_xml_attrf(x, "height", "%u", t->height);
        }
        attr_frame_rate(x, "frameRate", t);
        vpi_xml_attrf(x, "sar", "%u:%u", t->sar_num ? t->sar_num : 1, t->sar_den ? t->sar_den : 1);
    } else {
        if (t->sample_rate) vpi_xml_attrf(x, "audioSamplingRate", "%u", t->sample_rate);
        if (configuration) {
            char value[16];

            snprintf(value, sizeof(value), "%u", configuration);
            descriptor(x, "AudioChannelConfiguration", "urn:mpeg:mpegB:cicp:ChannelConfiguration", value);
        }
    }
    if (address) vpi_dash_address(x, t, s->how, &m->time);
    vpi_xml_close(x);
}

/* The ids of the other sets that hold the same pictures under other keys (ISO/IEC 23009-1 5.3.3.5). */
static void add_switching(vpi_xml *x, const mpd *m, size_t index)
{
    vpi_buf ids = { 0 };
    char *text;
    size_t i;

    for (i = 0; i < m->set_count; i++) {
        if (i != index && switches(&m->sets[index], m->sets[i].tracks[0]))
            vpi_buf_printf(&ids, ids.size ? ",%zu" : "%zu", i);
    }
    if (ids.size == 0 && !vpi_buf_failed(&ids)) return;
    text = vpi_buf_steal_string(&ids);
    if (text) {
        descriptor(x, "SupplementalProperty", "urn:mpeg:dash:adaptation-set-switching:2016", text);
    } else {
        x->out->failed = true;
    }
    vpi_free(text);
}

static void add_set_text(vpi_xml *x, const mpd *m, size_t index)
{
    const set *s = &m->sets[index];
    const vpi_ptrack *first = s->tracks[0];
    bool video = s->kind == VP_TRACK_VIDEO, shared = false;
    size_t i;

    vpi_xml_open(x, "AdaptationSet");
    vpi_xml_attrf(x, "id", "%zu", index);
    vpi_xml_attr(x, "contentType", video ? "video" : "audio");
    vpi_xml_attr(x, "mimeType", video ? "video/mp4" : "audio/mp4");
    if (video) {
        attr_pictures(x, s);
    } else {
        vpi_xml_attr(x, "lang", first->language ? first->language : "und");
    }
    if (s->preferred) vpi_xml_attr(x, "selectionPriority", "2");
    attr_alignment(x, s);
    vpi_dash_protection(x, first);
    if (video) add_colour(x, s);
    add_switching(x, m, index);
    if (!video && first->label) {
        vpi_xml_open(x, "Label");
        vpi_xml_text(x, first->label);
        vpi_xml_close(x);
    }
    descriptor(x, "Role", "urn:mpeg:dash:role:2011", s->main ? "main" : "alternate");
    if (s->how == VPI_DASH_TEMPLATE) shared = vpi_dash_shared_template(x, s->tracks, s->count, &m->time);
    for (i = 0; i < s->count; i++) add_representation(x, m, s, s->tracks[i], !shared);
    vpi_xml_close(x);
}

/* The profile that all sets keep to; "main" has no rule about addressing. */
static const char *profiles(const mpd *m)
{
    size_t i;

    for (i = 1; i < m->set_count; i++) {
        if (m->sets[i].how != m->sets[0].how) break;
    }
    if (i < m->set_count || m->sets[0].how == VPI_DASH_LIST) {
        return "urn:mpeg:dash:profile:isoff-main:2011,urn:mpeg:dash:profile:cmaf:2019";
    }
    if (m->sets[0].how == VPI_DASH_BASE) {
        return "urn:mpeg:dash:profile:isoff-on-demand:2011,urn:mpeg:dash:profile:cmaf:2019";
    }
    return "urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019";
}

static void add_mpd(vpi_buf *b, const mpd *m)
{
    /* Down, so that the MPD never promises more than there is. */
    uint64_t duration = (uint64_t)((vpi_u128)m->time.end * MICROSECONDS / m->time.timescale);
    unsigned namespaces = 0;
    vpi_xml x;
    size_t i;

    vpi_xml_begin(&x, b);
    vpi_xml_open(&x, "MPD");
    vpi_xml_attr(&x, "xmlns", "urn:mpeg:dash:schema:mpd:2011");
    for (i = 0; i < m->track_count; i++) namespaces |= vpi_dash_namespaces(m->tracks[i]);
    if (namespaces & VPI_DASH_NS_CENC) vpi_xml_attr(&x, "xmlns:cenc", "urn:mpeg:cenc:2013");
    if (namespaces & VPI_DASH_NS_MSPR) vpi_xml_attr(&x, "xmlns:mspr", "urn:microsoft:playready");
    if (namespaces & VPI_DASH_NS_DASHIF) vpi_xml_attr(&x, "xmlns:dashif", "https://dashif.org/CPS");
    vpi_xml_attr(&x, "profiles", profiles(m));
    vpi_xml_attr(&x, "type", "static");
    attr_duration(&x, "mediaPresentationDuration", duration);
    attr_duration(&x, "minBufferTime", m->time.buffer_us);
    attr_duration(&x, m->sets[0].how == VPI_DASH_BASE ? "maxSubsegmentDuration" : "maxSegmentDuration",
                  m->time.buffer_us);
    vpi_xml_open(&x, "Period");
    vpi_xml_attr(&x, "id", "0");
    vpi_xml_attr(&x, "start", "PT0S");
    attr_duration(&x, "duration", duration);
    for (i = 0; i < m->set_count; i++) add_set_text(&x, m, i);
    vpi_xml_close(&x);
    vpi_xml_close(&x);
}

vp_status vp_manifest_dash(const vp_presentation *presentation, vp_bytes **out, vp_error *err)
{
    mpd m = { 0 };
    vpi_buf b = { 0 };
    vp_status st = VP_OK;
    size_t i;

    vp_error_init(err);
    if (out) *out = NULL;
    if (!presentation || !out)
        return vpi_fail(err, VP_E_ARG, NULL, "no presentation or nowhere to put its text");
    m.p = &presentation->p;
    for (i = 0; i < m.p->track_count; i++) {
        if (!listed(&m.p->tracks[i]) || !vpi_whole_segments(&m.p->tracks[i])) continue;
        return vpi_fail(err, VP_E_UNSUPPORTED, NULL, "%s is AES-128: no DASH player decrypts whole segments",
                        m.p->tracks[i].name);
    }
    if (!collect(&m)) VPI_GO(vpi_fail_nomem(err));
    if (m.set_count == 0) VPI_GO(vpi_fail(err, VP_E_ARG, NULL, "the presentation has no CMAF track"));
    add_mpd(&b, &m);
    st = vpi_bytes_from_buf(&b, out, err);
done:
    vpi_free(m.tracks);
    vpi_free(m.sets);
    return st;
}
