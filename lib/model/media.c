/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "model/fill.h"
#include "model/media.h"

#define WARNING_TEXT 1024
#define MICROSECONDS 1000000

vp_media *vpi_media_new(void)
{
    vp_media *media = vpi_calloc(1, sizeof(*media));

    if (!media) return NULL;
    atomic_init(&media->refs, 1);
    media->m.duration_us = VP_TIME_UNKNOWN;
    media->m.complete = -1;
    return media;
}

vp_media *vp_media_ref(vp_media *media)
{
    if (media) atomic_fetch_add_explicit(&media->refs, 1, memory_order_relaxed);
    return media;
}

vp_media *vp_media_unref(vp_media *media)
{
    size_t i;

    if (!media || atomic_fetch_sub_explicit(&media->refs, 1, memory_order_acq_rel) != 1) return NULL;
    vpi_free(media->m.timeline.repairs);
    for (i = 0; i < media->m.track_count; i++) vpi_free(media->m.tracks[i].keyframes);
    for (i = 0; i < media->m.warning_count; i++) vpi_free(media->m.warnings[i].text);
    vpi_free(media->m.tracks);
    vpi_free(media->m.warnings);
    vpi_free(media);
    return NULL;
}

bool vpi_media_warn(vpi_media *m, const char *name, int64_t time_us, const char *format, ...)
{
    char text[WARNING_TEXT];
    vpi_warning *w;
    char *copy;
    va_list args;

    va_start(args, format);
    if (vsnprintf(text, sizeof(text), format, args) < 0) text[0] = 0;
    va_end(args);
    copy = vpi_strdup(text);
    if (!copy || !VPI_GROW(m->warnings, m->warning_count, m->warning_cap)) {
        vpi_free(copy);
        return false;
    }
    w = &m->warnings[m->warning_count++];
    memset(w, 0, sizeof(*w));
    vpi_strlcpy(w->name, name, sizeof(w->name));
    w->text = copy;
    w->time_us = time_us;
    return true;
}

enum { DV_NO_BASE = 0, DV_SDR = 2 }; /* bl_signal_compatibility_id */

/* Records of profiles 4 and 7 may be of a version that did not tell the base, which they always have. */
static bool has_dv_base(const vpi_track *t)
{
    bool tagged = t->cicp_transfer && t->cicp_transfer != 2; /* ISO/IEC 23091-2: not unspecified */
    if (!t->dv_profile) return tagged;
    if (t->dv_profile == 5) return false;
    if (t->dv_compatibility == DV_NO_BASE && t->dv_profile != 4 && t->dv_profile != 7) return false;
    return tagged || t->dv_compatibility == DV_SDR;
}

vp_status vpi_track_check_base(const vpi_track *t, vp_error *err)
{
    if (!vpi_streq(t->hdr, "dolbyvision") || has_dv_base(t)) return VP_OK;
    return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                    "Dolby Vision without an HDR10, HLG or SDR base layer (profile %u)", t->dv_profile);
}

static bool is_cover(const vpi_track *t)
{
    return t->kind == VPI_KIND_VIDEO && t->attached_picture;
}

const vpi_track *vpi_media_nth(const vpi_media *m, vpi_kind kind, size_t n)
{
    size_t i;

    for (i = 0; i < m->track_count; i++) {
        if (m->tracks[i].kind == kind && !is_cover(&m->tracks[i]) && n-- == 0) return &m->tracks[i];
    }
    return NULL;
}

size_t vpi_media_count(const vpi_media *m, vpi_kind kind)
{
    size_t i, count = 0;

    for (i = 0; i < m->track_count; i++) count += m->tracks[i].kind == kind && !is_cover(&m->tracks[i]);
    return count;
}

/* Cover art comes after the video tracks proper: index 0 is the picture of the title where there is one. */
static const vpi_track *cover(const vpi_media *m, size_t n)
{
    size_t i;

    for (i = 0; i < m->track_count; i++) {
        if (is_cover(&m->tracks[i]) && n-- == 0) return &m->tracks[i];
    }
    return NULL;
}

static size_t cover_count(const vpi_media *m)
{
    size_t n = 0;

    while (cover(m, n)) n++;
    return n;
}

/* Ticks of tb as microseconds; VP_TIME_UNKNOWN where that cannot be said. */
static int64_t to_us(int64_t ticks, vpi_rational tb)
{
    if (tb.num <= 0 || tb.den <= 0 || tb.num > INT64_MAX / MICROSECONDS) return VP_TIME_UNKNOWN;
    return vpi_rescale(ticks, tb.num * MICROSECONDS, tb.den, VPI_NEAREST);
}

static void times(const vpi_track *t, int64_t *start_us, int64_t *duration_us)
{
    int64_t ticks;

    *start_us = *duration_us = VP_TIME_UNKNOWN;
    if (!t->has_times) return;
    *start_us = to_us(t->start, t->tb);
    if (!__builtin_sub_overflow(t->end, t->start, &ticks)) *duration_us = to_us(ticks, t->tb);
}

static const char *or_else(const char *text, const char *other)
{
    return text[0] ? text : other;
}

void vp_media_info_init(vp_media_info *info, size_t size)
{
    static const vp_media_info init = VP_MEDIA_INFO_INIT;

    vpi_struct_init(info, size, &init, sizeof(init));
}

void vp_video_info_init(vp_video_info *info, size_t size)
{
    vpi_struct_init(info, size, NULL, 0);
}

void vp_audio_info_init(vp_audio_info *info, size_t size)
{
    vpi_struct_init(info, size, NULL, 0);
}

vp_status vp_media_get_info(const vp_media *media, vp_media_info *info, vp_error *err)
{
    vp_media_info own;
    const vpi_media *m;

    vp_error_init(err);
    if (!media) return vpi_fail(err, VP_E_ARG, NULL, "no media");
    m = &media->m;
    vp_media_info_init(&own, sizeof(own));
    own.complete = m->complete;
    own.format = m->format;
    own.size = m->size;
    own.duration_us = m->duration_us;
    own.bit_rate = m->bit_rate;
    own.start_skew_us = m->start_skew_us;
    own.video_count = (uint32_t)(vpi_media_count(m, VPI_KIND_VIDEO) + cover_count(m));
    own.audio_count = (uint32_t)vpi_media_count(m, VPI_KIND_AUDIO);
    own.text_count = (uint32_t)vpi_media_count(m, VPI_KIND_TEXT);
    own.other_count = (uint32_t)vpi_media_count(m, VPI_KIND_OTHER);
    own.warning_count = (uint32_t)m->warning_count;
    own.full = m->full;
    return vpi_fill_struct(info, &own, sizeof(own), err);
}

vp_status vp_media_get_video(const vp_media *media, uint32_t index, vp_video_info *info, vp_error *err)
{
    vp_video_info own;
    const vpi_track *t;
    size_t count;

    vp_error_init(err);
    if (!media) return vpi_fail(err, VP_E_ARG, NULL, "no media");
    count = vpi_media_count(&media->m, VPI_KIND_VIDEO);
    t = index < count ? vpi_media_nth(&media->m, VPI_KIND_VIDEO, index) : cover(&media->m, index - count);
    if (!t) return vpi_fail(err, VP_E_ARG, NULL, "there is no video track %u", index);
    vp_video_info_init(&own, sizeof(own));
    own.id = t->id;
    own.codec = t->codec_name;
    own.codecs = t->codecs;
    own.width = t->width;
    own.height = t->height;
    own.display_width = t->display_width;
    own.display_height = t->display_height;
    own.rotation = t->rotation;
    own.flipped = t->flipped;
    own.sar_num = t->sar_num && t->sar_den ? t->sar_num : 1;
    own.sar_den = t->sar_num && t->sar_den ? t->sar_den : 1;
    own.frame_rate_den = 1;
    if (t->frame_rate.num > 0 && t->frame_rate.num <= UINT32_MAX && t->frame_rate.den > 0 &&
        t->frame_rate.den <= UINT32_MAX) {
        own.frame_rate_num = (uint32_t)t->frame_rate.num;
        own.frame_rate_den = (uint32_t)t->frame_rate.den;
    }
    own.variable_frame_rate = t->variable;
    own.interlaced = t->interlaced;
    own.frames = t->packets;
    own.bit_depth = t->bit_depth;
    own.attached_picture = t->attached_picture;
    own.chroma = t->chroma;
    own.primaries = or_else(t->primaries, "unknown");
    own.transfer = or_else(t->transfer, "unknown");
    own.matrix = or_else(t->matrix, "unknown");
    own.range = or_else(t->range, "unknown");
    own.hdr = or_else(t->hdr, "none");
    own.language = or_else(t->language, "und");
    times(t, &own.start_us, &own.duration_us);
    own.keyframe_min_us = t->keyframe_min_us;
    own.keyframe_mean_us = t->keyframe_mean_us;
    own.keyframe_max_us = t->keyframe_max_us;
    return vpi_fill_struct(info, &own, sizeof(own), err);
}

vp_status vp_media_get_audio(const vp_media *media, uint32_t index, vp_audio_info *info, vp_error *err)
{
    vp_audio_info own;
    const vpi_track *t;

    vp_error_init(err);
    if (!media) return vpi_fail(err, VP_E_ARG, NULL, "no media");
    t = vpi_media_nth(&media->m, VPI_KIND_AUDIO, index);
    if (!t) return vpi_fail(err, VP_E_ARG, NULL, "there is no audio track %u", index);
    vp_audio_info_init(&own, sizeof(own));
    own.id = t->id;
    own.codec = t->codec_name;
    own.codecs = t->codecs;
    own.sample_rate = t->sample_rate;
    own.channels = t->channels;
    own.layout = or_else(t->layout, "unknown");
    own.language = or_else(t->language, "und");
    own.title = t->title;
    own.is_default = t->is_default;
    own.bit_rate = t->bit_rate;
    times(t, &own.start_us, &own.duration_us);
    return vpi_fill_struct(info, &own, sizeof(own), err);
}

const char *vp_media_warning(const vp_media *media, uint32_t index, const char **text, int64_t *time_us)
{
    const vpi_warning *w = media && index < media->m.warning_count ? &media->m.warnings[index] : NULL;

    if (text) *text = w ? w->text : NULL;
    if (time_us) *time_us = w ? w->time_us : VP_TIME_UNKNOWN;
    return w ? w->name : NULL;
}

vpi_rational vpi_track_publish_rate(const vpi_track *t, uint32_t max_fps, bool *fields)
{
    vpi_rational rate = t->frame_rate;
    int64_t whole;

    if (rate.num <= 0 || rate.den <= 0) rate = (vpi_rational){ 25, 1 };
    *fields = t->order != VPI_SCAN_PROGRESSIVE && rate.num <= INT32_MAX / 2 &&
              2 * rate.num <= rate.den * (int64_t)max_fps;
    if (*fields) return vpi_reduce(2 * rate.num, rate.den);
    whole = (rate.num + rate.den * max_fps - 1) / (rate.den * max_fps); /* ceil(rate / max) */
    return whole > 1 ? vpi_reduce(rate.num, rate.den * whole) : vpi_reduce(rate.num, rate.den);
}
