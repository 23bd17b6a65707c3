/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "analysis_int.h"

vp_plan *vpi_plan_alloc(void)
{
    vp_plan *plan = vpi_calloc(1, sizeof(*plan));
    if (plan) plan->refs = 1;
    return plan;
}

vp_plan *vp_plan_ref(vp_plan *plan)
{
    if (plan) plan->refs++;
    return plan;
}

vp_plan *vp_plan_unref(vp_plan *plan)
{
    if (!plan || --plan->refs) return NULL;
    for (size_t i = 0; i < plan->rung_count; i++) {
        vpi_buf_dispose(&plan->rungs[i].avcc);
        vpi_buf_dispose(&plan->rungs[i].init);
    }
    for (size_t i = 0; i < plan->audio_count; i++) {
        vpi_buf_dispose(&plan->audio[i].config);
        vpi_buf_dispose(&plan->audio[i].silence);
        vpi_buf_dispose(&plan->audio[i].init);
    }
    vpi_free(plan->rungs);
    vpi_free(plan->audio);
    vpi_free(plan->spans);
    vpi_free(plan->timeline.repairs);
    vpi_plan_protect_dispose(plan);
    vpi_free(plan->task_names);
    vpi_free(plan->build);
    vpi_free(plan);
    return NULL;
}

const char *vp_plan_hash(const vp_plan *plan)
{
    return plan ? plan->hash : "";
}

const char *vp_plan_request(const vp_plan *plan)
{
    return plan ? plan->request : "";
}

const char *vp_plan_version(const vp_plan *plan)
{
    return plan ? plan->version : "";
}

const char *vp_plan_prefix(const vp_plan *plan)
{
    return plan ? plan->prefix : "";
}

uint32_t vp_plan_task_count(const vp_plan *plan)
{
    return plan ? (uint32_t)(vpi_plan_analyses(plan) + plan->audio_count + plan->span_count) : 0;
}

size_t vpi_plan_analyses(const vp_plan *plan)
{
    return plan->two_pass ? plan->span_count : 0;
}

size_t vpi_plan_analysis_task(const vp_plan *plan, size_t span)
{
    (void)plan;
    return span;
}

size_t vpi_plan_audio_task(const vp_plan *plan, size_t audio)
{
    return vpi_plan_analyses(plan) + audio;
}

size_t vpi_plan_video_task(const vp_plan *plan, size_t span)
{
    return vpi_plan_analyses(plan) + plan->audio_count + span;
}

int32_t vpi_plan_task_kind(const vp_plan *plan, uint32_t index, size_t *at)
{
    size_t analyses = vpi_plan_analyses(plan), first = analyses + plan->audio_count;
    *at = index < analyses ? index : index < first ? index - analyses : index - first;
    return index < analyses ? VP_TASK_ANALYSE : index < first ? VP_TASK_AUDIO : VP_TASK_VIDEO;
}

size_t vpi_plan_rung_count(const vp_plan *plan)
{
    return plan->rung_count;
}

const char *vpi_plan_rung_name(const vp_plan *plan, size_t rung)
{
    return rung < plan->rung_count ? plan->rungs[rung].name : NULL;
}

bool vpi_plan_has_video(const vp_plan *plan)
{
    return plan->has_video;
}

bool vpi_plan_has_ts(const vp_plan *plan)
{
    return plan->ts;
}

bool vpi_plan_has_cmaf(const vp_plan *plan)
{
    return plan->cmaf;
}

vp_status vpi_plan_name_tasks(vp_plan *plan, vp_error *err)
{
    static const char *const words[] = { "", "analyse", "audio", "video" };
    uint32_t n = vp_plan_task_count(plan);
    plan->task_names = vpi_calloc(n ? n : 1, sizeof(*plan->task_names));
    if (!plan->task_names) return vpi_fail_nomem(err);
    for (uint32_t i = 0; i < n; i++) {
        size_t at;
        int32_t kind = vpi_plan_task_kind(plan, i, &at);
        snprintf(plan->task_names[i], sizeof(*plan->task_names), "%s-%04zu", words[kind], at + 1);
    }
    return VP_OK;
}

static int64_t title_us(const vp_plan *plan, uint64_t ticks)
{
    return vpi_rescale((int64_t)ticks, 1000000, plan->grid.timescale, VPI_NEAREST);
}

/* Rough costs measured in tests/bench: nanoseconds for a pixel. */
#define NS_DECODE_PIXEL 3
#define NS_ENCODE_PIXEL 10
#define US_AAC_FRAME 150
#define PIPE_FRAMES 8
#define DECODER_FRAMES 20
#define FIELD_FRAMES 8

static void video_estimate(const vp_plan *plan, vp_task_info *info)
{
    const vpi_plan_video *v = &plan->video;
    uint64_t source = (uint64_t)v->source_width * v->source_height, pixels = 0;
    info->memory_bytes = DECODER_FRAMES * vpi_frame_memory(v->source_width, v->source_height);
    for (size_t i = 0; i < plan->rung_count; i++) {
        const vpi_h264enc_options *e = &plan->rungs[i].enc;
        uint64_t segment =
            plan->grid.fragment * plan->grid.per_segment * e->maxrate_kbps * 125 / plan->grid.timescale;
        pixels += (uint64_t)e->width * e->height;
        info->memory_bytes +=
            vpi_h264enc_memory(e) + PIPE_FRAMES * vpi_frame_memory(e->width, e->height) + 2 * segment;
    }
    /* the deinterlacer's three pictures and what it makes */
    if (v->deinterlace != VPI_DEINTERLACE_NONE)
        info->memory_bytes += FIELD_FRAMES * vpi_frame_memory(v->source_width, v->source_height);
    info->cpu_us = info->frames * (source * NS_DECODE_PIXEL + pixels * NS_ENCODE_PIXEL) / 1000;
    info->threads = (uint32_t)plan->rung_count;
}

static void analysis_estimate(const vp_plan *plan, vp_task_info *info)
{
    const vpi_plan_video *v = &plan->video;
    const vpi_h264enc_options *e = &plan->analysis;
    uint64_t source = (uint64_t)v->source_width * v->source_height, pixels = (uint64_t)e->width * e->height;
    info->memory_bytes = DECODER_FRAMES * vpi_frame_memory(v->source_width, v->source_height) +
                         vpi_h264enc_memory(e) + vpi_gauge_memory(e) +
                         PIPE_FRAMES * vpi_frame_memory(e->width, e->height);
    if (v->deinterlace != VPI_DEINTERLACE_NONE)
        info->memory_bytes += FIELD_FRAMES * vpi_frame_memory(v->source_width, v->source_height);
    info->cpu_us = info->frames * (source * NS_DECODE_PIXEL + pixels * NS_ENCODE_PIXEL) / 1000;
    info->threads = 1; /* x264's lookahead */
}

uint64_t vpi_plan_span_frames(const vp_plan *plan, size_t span)
{
    const vpi_plan_span *s = &plan->spans[span];
    uint64_t ticks = vpi_grid_start(&plan->grid, s->first + s->count) - vpi_grid_start(&plan->grid, s->first);
    if (!plan->video.variable) return ticks / plan->video.frame_ticks;
    return (uint64_t)vpi_rescale((int64_t)ticks, plan->video.fps.num,
                                 plan->video.fps.den * plan->grid.timescale, VPI_CEIL);
}

static void span_task(const vp_plan *plan, size_t span, vp_task_info *info)
{
    const vpi_plan_span *s = &plan->spans[span];
    info->start_us = title_us(plan, vpi_grid_start(&plan->grid, s->first));
    info->end_us = title_us(plan, vpi_grid_start(&plan->grid, s->first + s->count));
    info->frames = vpi_plan_span_frames(plan, span);
    if (info->kind == VP_TASK_ANALYSE) {
        analysis_estimate(plan, info);
        return;
    }
    info->need_count = (uint32_t)vpi_plan_analyses(plan) + (plan->mux_audio ? 1 : 0);
    video_estimate(plan, info);
}

vp_status vp_plan_get_task(const vp_plan *plan, uint32_t index, vp_task_info *info, vp_error *err)
{
    vp_task_info full;
    size_t at;
    vpi_error_reset(err);
    if (!plan || !info || info->struct_size < 4 || index >= vp_plan_task_count(plan))
        return vpi_fail(err, VP_E_ARG, NULL, "no task %u", index);
    vp_task_info_init(&full, sizeof(full));
    full.name = plan->task_names[index];
    full.kind = vpi_plan_task_kind(plan, index, &at);
    if (full.kind == VP_TASK_AUDIO) {
        full.frames = plan->audio[at].audio.frames;
        full.cpu_us = full.frames * US_AAC_FRAME * plan->audio[at].audio.channels / 2;
        full.memory_bytes = (uint64_t)8 << 20;
        full.end_us = title_us(plan, plan->grid.total);
    } else {
        span_task(plan, at, &full);
    }
    full.struct_size = VPI_MIN(info->struct_size, (uint32_t)sizeof(full));
    memcpy(info, &full, full.struct_size);
    return VP_OK;
}

const char *vp_plan_get_need(const vp_plan *plan, uint32_t index, uint32_t need)
{
    size_t at;
    if (index >= vp_plan_task_count(plan) || vpi_plan_task_kind(plan, index, &at) != VP_TASK_VIDEO)
        return NULL;
    if (need < vpi_plan_analyses(plan)) return plan->task_names[need]; /* the solver wants the whole title */
    return plan->mux_audio && need == vpi_plan_analyses(plan) ? plan->task_names[need] : NULL;
}

void vpi_plan_rung_setup(const vp_plan *plan, size_t rung, vpi_track_setup *setup)
{
    const vpi_plan_rung *r = &plan->rungs[rung];
    *setup = (vpi_track_setup){ .kind = VPI_KIND_VIDEO,
                                .codec = VPI_CODEC_H264,
                                .timescale = plan->grid.timescale,
                                .config = r->avcc.data,
                                .config_size = r->avcc.size,
                                .language = "und",
                                .width = r->enc.width,
                                .height = r->enc.height,
                                .primaries = r->enc.colour.primaries,
                                .transfer = r->enc.colour.transfer,
                                .matrix = r->enc.colour.matrix,
                                .kbps = r->enc.abr ? r->enc.kbps : 0 };
}

void vpi_plan_audio_setup(const vp_plan *plan, size_t audio, vpi_track_setup *setup)
{
    const vpi_plan_audio *a = &plan->audio[audio];
    *setup = (vpi_track_setup){ .kind = VPI_KIND_AUDIO,
                                .codec = a->codec,
                                .timescale = a->audio.sample_rate,
                                .config = a->config.data,
                                .config_size = a->config.size,
                                .sample_rate = a->audio.sample_rate,
                                .channels = a->audio.channels,
                                .kbps = a->audio.kbps };
    vpi_strlcpy(setup->language, a->language, sizeof(setup->language));
}

uint64_t vpi_plan_audio_border(const vp_plan *plan, size_t audio, uint64_t segment)
{
    const vpi_plan_audio *a = &plan->audio[audio];
    const vpi_audio_options *o = &a->audio;
    if (!a->phase) return vpi_grid_audio(&plan->grid, segment, o->sample_rate, a->frame_samples, o->frames);
    if (!segment) return 0;
    if (segment >= vpi_grid_segments(&plan->grid)) return o->frames;
    int64_t start = (int64_t)vpi_grid_start(&plan->grid, segment);
    int64_t samples = vpi_rescale(start, o->sample_rate, plan->grid.timescale, VPI_NEAREST) - a->phase;
    return VPI_MIN((uint64_t)vpi_rescale(VPI_MAX(samples, 0), 1, a->frame_samples, VPI_NEAREST), o->frames);
}

bool vpi_plan_key(const vp_plan *plan, const char *kind, const char *name, const char *file, char key[1024])
{
    const char *p = plan->prefix;
    int n = snprintf(key, 1024, "%s%s%s/%s/%s", p, *p ? "/" : "", kind, name, file);
    return n > 0 && n < 1024;
}

vp_status vpi_plan_rung_track(const vp_plan *plan, size_t rung, int32_t container, vpi_ptrack *t,
                              vp_error *err)
{
    const vpi_plan_rung *r = &plan->rungs[rung];
    bool muxed = container == VP_CONTAINER_TS && plan->mux_audio;
    t->kind = VP_TRACK_VIDEO;
    t->container = container;
    t->name = vpi_strdup(r->name);
    t->group = vpi_strdup("video");
    t->codecs = muxed ? vpi_asprintf("%s,%s", r->codecs, plan->audio[0].codecs) : vpi_strdup(r->codecs);
    t->width = r->enc.width;
    t->height = r->enc.height;
    t->frame_rate_num = r->enc.fps_num;
    t->frame_rate_den = r->enc.fps_den;
    t->primaries = r->enc.colour.primaries;
    t->transfer = r->enc.colour.transfer;
    t->matrix = r->enc.colour.matrix;
    t->timescale = plan->grid.timescale;
    if (muxed) {
        t->sample_rate = plan->audio[0].audio.sample_rate;
        t->channels = plan->audio[0].audio.channels;
    }
    return t->name && t->group && t->codecs ? VP_OK : vpi_fail_nomem(err);
}

vp_status vpi_plan_audio_track(const vp_plan *plan, size_t audio, int32_t container, vpi_ptrack *t,
                               vp_error *err)
{
    const vpi_plan_audio *a = &plan->audio[audio];
    t->kind = VP_TRACK_AUDIO;
    t->container = container;
    t->name = vpi_strdup(a->name);
    t->group = vpi_strdup(a->group);
    t->codecs = vpi_strdup(a->codecs);
    t->language = vpi_strdup(a->language);
    t->label = vpi_strdup(a->label);
    t->is_default = a->is_default;
    t->sample_rate = a->audio.sample_rate;
    t->channels = a->audio.channels;
    t->timescale = a->audio.sample_rate;
    return t->name && t->group && t->codecs && t->language && t->label ? VP_OK : vpi_fail_nomem(err);
}
