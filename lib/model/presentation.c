/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdatomic.h>

#include "model/fill.h"
#include "model/presentation_int.h"

#define MICROSECONDS 1000000
#define FOLDER_SIZE 1024

vp_presentation *vpi_presentation_new(void)
{
    vp_presentation *p = vpi_calloc(1, sizeof(*p));

    if (!p) return NULL;
    atomic_init(&p->refs, 1);
    p->p.version = vpi_strdup("");
    p->p.request = vpi_strdup("");
    if (!p->p.version || !p->p.request) return vp_presentation_unref(p);
    return p;
}

vp_presentation *vp_presentation_ref(vp_presentation *presentation)
{
    if (presentation) atomic_fetch_add_explicit(&presentation->refs, 1, memory_order_relaxed);
    return presentation;
}

vp_presentation *vp_presentation_unref(vp_presentation *presentation)
{
    if (presentation && atomic_fetch_sub_explicit(&presentation->refs, 1, memory_order_acq_rel) == 1) {
        vpi_presentation_dispose(&presentation->p);
        vpi_free(presentation);
    }
    return NULL;
}

vpi_ptrack *vpi_presentation_add_track(vpi_presentation *p)
{
    vpi_ptrack *t;

    if (!VPI_GROW(p->tracks, p->track_count, p->track_cap)) return NULL;
    t = &p->tracks[p->track_count++];
    memset(t, 0, sizeof(*t));
    return t;
}

vpi_segment *vpi_ptrack_add_segment(vpi_ptrack *t)
{
    vpi_segment *s;

    if (!VPI_GROW(t->segments, t->segment_count, t->segment_cap)) return NULL;
    s = &t->segments[t->segment_count++];
    memset(s, 0, sizeof(*s));
    return s;
}

vpi_fragment *vpi_segment_add_fragment(vpi_segment *s)
{
    vpi_fragment *f;

    if (!VPI_GROW(s->fragments, s->fragment_count, s->fragment_cap)) return NULL;
    f = &s->fragments[s->fragment_count++];
    memset(f, 0, sizeof(*f));
    return f;
}

void vpi_ptrack_dispose(vpi_ptrack *t)
{
    size_t i;

    for (i = 0; i < t->segment_count; i++) {
        vpi_free(t->segments[i].key);
        vpi_free(t->segments[i].fragments);
    }
    vpi_free(t->segments);
    vpi_free(t->name);
    vpi_free(t->group);
    vpi_free(t->codecs);
    vpi_free(t->language);
    vpi_free(t->label);
    vpi_free(t->init.key);
    vpi_free(t->index.key);
    vpi_protection_dispose(&t->protection);
    memset(t, 0, sizeof(*t));
}

void vpi_presentation_dispose(vpi_presentation *p)
{
    size_t i;

    for (i = 0; i < p->track_count; i++) vpi_ptrack_dispose(&p->tracks[i]);
    vpi_free(p->tracks);
    vpi_free(p->version);
    vpi_free(p->request);
    memset(p, 0, sizeof(*p));
}

uint64_t vpi_ptrack_ticks(const vpi_ptrack *t)
{
    const vpi_segment *last = t->segment_count ? &t->segments[t->segment_count - 1] : NULL;

    return last ? last->start + last->ticks - t->segments[0].start : 0;
}

void vpi_ptrack_folder(const vpi_ptrack *t, char to[1024])
{
    const char *key = t->init.key ? t->init.key : t->segment_count ? t->segments[0].key : NULL;
    const char *slash = key ? strrchr(key, '/') : NULL;
    size_t n = slash ? (size_t)(slash - key) : 0;

    if (n >= FOLDER_SIZE) n = 0;
    if (n > 0) memcpy(to, key, n);
    to[n] = 0;
}

/* ---- the view of a host ---- */

void vp_presentation_info_init(vp_presentation_info *info, size_t size)
{
    vpi_struct_init(info, size, NULL, 0);
}

void vp_track_info_init(vp_track_info *info, size_t size)
{
    vpi_struct_init(info, size, NULL, 0);
}

void vp_segment_info_init(vp_segment_info *info, size_t size)
{
    vpi_struct_init(info, size, NULL, 0);
}

static const char *text_or(const char *text, const char *other)
{
    return text ? text : other;
}

vp_status vp_presentation_get_info(const vp_presentation *presentation, vp_presentation_info *info,
                                   vp_error *err)
{
    vp_presentation_info own;
    const vpi_presentation *p;

    vp_error_init(err);
    if (!presentation) return vpi_fail(err, VP_E_ARG, NULL, "no presentation");
    p = &presentation->p;
    vp_presentation_info_init(&own, sizeof(own));
    own.track_count = (uint32_t)p->track_count;
    own.version = text_or(p->version, "");
    own.request = text_or(p->request, "");
    if (p->timescale && p->timescale <= INT64_MAX && p->duration <= INT64_MAX) {
        own.duration_us = vpi_rescale((int64_t)p->duration, MICROSECONDS, (int64_t)p->timescale, VPI_FLOOR);
    }
    return vpi_fill_struct(info, &own, sizeof(own), err);
}

/* NULL after a failure was told. */
static const vpi_ptrack *track_at(const vp_presentation *presentation, uint32_t track, vp_error *err)
{
    if (!presentation) {
        vpi_fail(err, VP_E_ARG, NULL, "no presentation");
        return NULL;
    }
    if (track < presentation->p.track_count) return &presentation->p.tracks[track];
    vpi_fail(err, VP_E_ARG, NULL, "there is no track %u", track);
    return NULL;
}

uint32_t vpi_ptrack_shown_width(const vpi_ptrack *t)
{
    if (!t->sar_num || !t->sar_den) return t->width;
    return (uint32_t)VPI_MIN(vpi_rescale(t->width, t->sar_num, t->sar_den, VPI_NEAREST), (int64_t)INT32_MAX);
}

vp_status vp_presentation_get_track(const vp_presentation *presentation, uint32_t track, vp_track_info *info,
                                    vp_error *err)
{
    vp_track_info own;
    const vpi_ptrack *t;

    vp_error_init(err);
    t = track_at(presentation, track, err);
    if (!t) return VP_E_ARG;
    vp_track_info_init(&own, sizeof(own));
    own.kind = t->kind;
    own.container = t->container;
    own.timescale = t->timescale;
    own.name = text_or(t->name, "");
    own.group = text_or(t->group, "");
    own.codecs = text_or(t->codecs, "");
    own.language = text_or(t->language, "und");
    own.width = t->width;
    own.height = t->height;
    own.sar_num = t->sar_num && t->sar_den ? t->sar_num : 1;
    own.sar_den = t->sar_num && t->sar_den ? t->sar_den : 1;
    own.frame_rate_num = t->frame_rate_num;
    own.frame_rate_den = t->frame_rate_den;
    own.sample_rate = t->sample_rate;
    own.channels = t->channels;
    own.bandwidth = t->bandwidth;
    own.average_bandwidth = t->average_bandwidth;
    own.duration_ticks = vpi_ptrack_ticks(t);
    own.segment_count = (uint32_t)t->segment_count;
    own.is_default = t->is_default;
    own.init_key = t->init.key;
    own.scheme = (uint32_t)t->protection.scheme;
    if (t->protection.key_count) memcpy(own.kid, t->protection.keys[0].kid, sizeof(own.kid));
    return vpi_fill_struct(info, &own, sizeof(own), err);
}

vp_status vp_presentation_get_segment(const vp_presentation *presentation, uint32_t track, uint32_t segment,
                                      vp_segment_info *info, vp_error *err)
{
    vp_segment_info own;
    const vpi_ptrack *t;
    const vpi_segment *s;

    vp_error_init(err);
    t = track_at(presentation, track, err);
    if (!t) return VP_E_ARG;
    if (segment >= t->segment_count) {
        return vpi_fail(err, VP_E_ARG, NULL, "track %u has no segment %u", track, segment);
    }
    s = &t->segments[segment];
    vp_segment_info_init(&own, sizeof(own));
    own.fragment_count = (uint32_t)s->fragment_count;
    own.key = text_or(s->key, "");
    own.offset = s->offset;
    own.bytes = s->bytes;
    own.start_ticks = s->start;
    own.duration_ticks = s->ticks;
    own.crc32c = s->crc32c;
    return vpi_fill_struct(info, &own, sizeof(own), err);
}
