/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "plan_int.h"

static bool set_ratio(json_t *o, const char *name, vpi_rational r)
{
    char text[48];
    snprintf(text, sizeof(text), "%lld/%lld", (long long)r.num, (long long)r.den);
    return vpi_json_set_str(o, name, text);
}

static bool set_hex(json_t *o, const char *name, const vpi_buf *b)
{
    char *text = vpi_alloc(2 * b->size + 1);
    if (!text) return false;
    text[0] = 0;
    for (size_t i = 0; i < b->size; i++) snprintf(text + 2 * i, 3, "%02x", b->data[i]);
    bool ok = vpi_json_set_str(o, name, text);
    vpi_free(text);
    return ok;
}

static bool append(json_t *list, json_t *o, bool ok)
{
    if (ok) return json_array_append_new(list, o) == 0;
    json_decref(o);
    return false;
}

static bool put(json_t *o, const char *name, json_t *value, bool ok)
{
    if (ok) return json_object_set_new(o, name, value) == 0;
    json_decref(value);
    return false;
}

const char *const vpi_deinterlace_names[VPI_DEINTERLACE_COUNT] = { "none", "frames", "fields", "flagged" };
const char *const vpi_inter_names[VPI_INTER_COUNT] = { "preset", "16x16", "p8x8" };

static bool write_video(json_t *to, const vp_plan *p)
{
    const vpi_plan_video *v = &p->video;
    json_t *o = json_object();
    bool ok =
        vpi_json_set_i64(o, "stream", v->stream) && set_ratio(o, "timebase", v->tb) &&
        set_ratio(o, "origin", v->origin) && set_ratio(o, "rate", v->rate) && set_ratio(o, "fps", v->fps) &&
        vpi_json_set_bool(o, "variable", v->variable) && vpi_json_set_u64(o, "frame_ticks", v->frame_ticks) &&
        vpi_json_set_u64(o, "divide", v->divide) && vpi_json_set_u64(o, "min_gap", v->min_gap) &&
        vpi_json_set_u64(o, "source_width", v->source_width) &&
        vpi_json_set_u64(o, "source_height", v->source_height) &&
        vpi_json_set_i64(o, "rotation", v->rotation) && vpi_json_set_i64(o, "flipped", v->flipped) &&
        vpi_json_set_u64(o, "primaries", v->colour.primaries) &&
        vpi_json_set_u64(o, "transfer", v->colour.transfer) &&
        vpi_json_set_u64(o, "matrix", v->colour.matrix) &&
        vpi_json_set_u64(o, "decoder_threads", v->decoder_threads) &&
        vpi_json_set_str(o, "deinterlace", vpi_deinterlace_names[v->deinterlace]) &&
        vpi_json_set_bool(o, "bottom_first", v->bottom_first) &&
        vpi_json_set_u64s(o, "content_end", v->content_end) && vpi_json_set_u64s(o, "points", v->points);
    return put(to, "video", o, ok);
}

static bool write_rung(json_t *list, const vpi_plan_rung *r)
{
    const vpi_h264enc_options *e = &r->enc;
    json_t *o = json_object();
    bool ok = vpi_json_set_str(o, "name", r->name) && vpi_json_set_u64(o, "width", e->width) &&
              vpi_json_set_u64(o, "height", e->height) && vpi_json_set_str(o, "preset", e->preset) &&
              vpi_json_set_i64(o, "trellis", e->trellis) && vpi_json_set_u64(o, "aq_mode", e->aq_mode) &&
              vpi_json_set_u64(o, "aq_strength_milli", e->aq_strength_milli) &&
              vpi_json_set_u64(o, "subme", e->subme) &&
              vpi_json_set_str(o, "inter", vpi_inter_names[e->inter]) &&
              vpi_json_set_u64(o, "lookahead", e->lookahead) &&
              vpi_json_set_u64(o, "keyint", e->keyint_max) && vpi_json_set_bool(o, "abr", e->abr) &&
              vpi_json_set_u64(o, "kbps", e->kbps) && vpi_json_set_u64(o, "crf_milli", e->crf_milli) &&
              vpi_json_set_u64(o, "maxrate_kbps", e->maxrate_kbps) &&
              vpi_json_set_u64(o, "bufsize_kbit", e->bufsize_kbit) &&
              vpi_json_set_u64(o, "level_idc", e->level_idc) && vpi_json_set_str(o, "profile", e->profile) &&
              vpi_json_set_str(o, "codecs", r->codecs) && set_hex(o, "avcc", &r->avcc) &&
              set_hex(o, "init", &r->init);
    return append(list, o, ok);
}

static bool write_analysis(json_t *to, const vpi_h264enc_options *e)
{
    json_t *o = json_object();
    bool ok =
        vpi_json_set_u64(o, "width", e->width) && vpi_json_set_u64(o, "height", e->height) &&
        vpi_json_set_str(o, "preset", e->preset) && vpi_json_set_u64(o, "aq_mode", e->aq_mode) &&
        vpi_json_set_u64(o, "aq_strength_milli", e->aq_strength_milli) &&
        vpi_json_set_u64(o, "lookahead", e->lookahead) && vpi_json_set_u64(o, "keyint", e->keyint_max) &&
        vpi_json_set_u64(o, "crf_milli", e->crf_milli) && vpi_json_set_u64(o, "level_idc", e->level_idc);
    return put(to, "analysis", o, ok);
}

const char *vpi_plan_codec_word(vpi_codec codec)
{
    return codec == VPI_CODEC_AC3 ? "ac3" : codec == VPI_CODEC_EAC3 ? "eac3" : "aac";
}

static bool write_audio(json_t *list, const vpi_plan_audio *a)
{
    json_t *o = json_object();
    bool ok = vpi_json_set_str(o, "name", a->name) && vpi_json_set_str(o, "group", a->group) &&
              vpi_json_set_str(o, "codec", vpi_plan_codec_word(a->codec)) &&
              vpi_json_set_str(o, "language", a->language) && vpi_json_set_str(o, "label", a->label) &&
              vpi_json_set_bool(o, "default", a->is_default) &&
              vpi_json_set_i64(o, "stream", a->audio.stream) &&
              vpi_json_set_u64(o, "sample_rate", a->audio.sample_rate) &&
              vpi_json_set_u64(o, "channels", a->audio.channels) &&
              vpi_json_set_u64(o, "kbps", a->audio.kbps) && vpi_json_set_i64(o, "origin", a->audio.origin) &&
              vpi_json_set_u64s(o, "frames", a->audio.frames) && vpi_json_set_str(o, "codecs", a->codecs) &&
              set_hex(o, "config", &a->config) && set_hex(o, "init", &a->init);
    if (ok && a->codec != VPI_CODEC_AAC)
        ok = vpi_json_set_u64(o, "phase", a->phase) && set_hex(o, "silence", &a->silence);
    return append(list, o, ok);
}

static bool write_head(json_t *o, const vp_plan *p)
{
    json_t *source = json_object(), *grid = json_object();
    bool ok = vpi_json_set_u64s(source, "size", p->source_size) &&
              vpi_json_set_str(source, "fingerprint", p->fingerprint) &&
              vpi_json_set_str(source, "quick", p->quick);
    ok = put(o, "source", source, ok);
    bool fine = vpi_json_set_u64(grid, "timescale", p->grid.timescale) &&
                vpi_json_set_u64s(grid, "fragment", p->grid.fragment) &&
                vpi_json_set_u64(grid, "per_segment", p->grid.per_segment) &&
                vpi_json_set_u64s(grid, "total", p->grid.total);
    fine = put(o, "grid", grid, fine);
    return ok && fine && vpi_json_set_bool(o, "cmaf", p->cmaf) && vpi_json_set_bool(o, "ts", p->ts) &&
           vpi_json_set_bool(o, "single_file", p->single_file) &&
           vpi_json_set_bool(o, "mux_audio", p->mux_audio);
}

/* Left out where the file's own times hold. */
static bool write_timeline(json_t *to, const vpi_timeline *t)
{
    json_t *o, *repairs;
    bool ok;
    if (!t->count && !t->untimed.num && !t->decode_times) return true;
    o = json_object();
    repairs = json_array();
    ok = o && repairs;
    for (size_t i = 0; ok && i < t->count; i++) {
        json_t *r = json_object();
        ok = append(repairs, r,
                    vpi_json_set_u64s(r, "position", (uint64_t)t->repairs[i].position) &&
                        vpi_json_set_i64(r, "shift", t->repairs[i].shift));
    }
    ok = put(o, "repairs", repairs, ok);
    if (t->decode_times) ok = ok && vpi_json_set_bool(o, "decode_times", true);
    if (t->untimed.num)
        ok = ok && vpi_json_set_ratio(o, "untimed", (uint64_t)t->untimed.num, (uint64_t)t->untimed.den);
    return put(to, "timeline", o, ok);
}

json_t *vpi_plan_to_json(const vp_plan *p)
{
    json_t *o = json_object(), *rungs = json_array(), *audio = json_array(), *spans = json_array();
    bool ok = o && rungs && audio && spans && write_head(o, p) && write_timeline(o, &p->timeline);
    if (ok && p->has_video) ok = write_video(o, p);
    for (size_t i = 0; ok && i < p->rung_count; i++) ok = write_rung(rungs, &p->rungs[i]);
    for (size_t i = 0; ok && i < p->audio_count; i++) ok = write_audio(audio, &p->audio[i]);
    for (size_t i = 0; ok && i < p->span_count; i++)
        ok = json_array_append_new(spans, json_integer((json_int_t)p->spans[i].count)) == 0;
    if (ok && p->two_pass) ok = write_analysis(o, &p->analysis);
    ok = ok && vpi_plan_write_protection(o, p);
    ok = put(o, "rungs", rungs, ok);
    ok = put(o, "audio", audio, ok);
    ok = put(o, "spans", spans, ok);
    if (ok) return o;
    json_decref(o);
    return NULL;
}

vp_status vp_plan_json(const vp_plan *plan, vp_bytes **out, vp_error *err)
{
    vpi_buf text = { 0 };
    vpi_error_reset(err);
    if (!plan || !out) return vpi_fail(err, VP_E_ARG, NULL, "plan and out are needed");
    json_t *o = json_object(), *body = vpi_plan_to_json(plan);
    bool ok = o && body && vpi_json_set_u64(o, "vodpipe", 1) && vpi_json_set_str(o, "plan", plan->hash) &&
              vpi_json_set_str(o, "version", plan->version) &&
              vpi_json_set_str(o, "request", plan->request) && vpi_json_set_str(o, "prefix", plan->prefix) &&
              vpi_json_set_str(o, "build", plan->build) && json_object_update(o, body) == 0;
    vp_status st = ok ? vpi_json_dump_pretty(o, &text, err) : vpi_fail_nomem(err);
    if (st >= 0) st = vpi_bytes_from_buf(&text, out, err);
    vpi_buf_dispose(&text);
    json_decref(body);
    json_decref(o);
    return st;
}

static json_t *task_json(const vp_plan *plan, uint32_t index)
{
    vp_task_info info;
    vp_task_info_init(&info, sizeof(info));
    if (vp_plan_get_task(plan, index, &info, NULL) < 0) return NULL;
    json_t *o = json_object(), *needs = json_array(), *estimate = json_object();
    bool ok = o && needs && estimate && vpi_json_set_u64(o, "vodpipe", 1) &&
              vpi_json_set_str(o, "plan", plan->hash) && vpi_json_set_str(o, "task", info.name) &&
              vpi_json_set_str(o, "kind",
                               info.kind == VP_TASK_ANALYSE ? "analyse"
                               : info.kind == VP_TASK_AUDIO ? "audio"
                                                            : "video");
    for (uint32_t n = 0; ok && n < info.need_count; n++)
        ok = json_array_append_new(needs, json_string(vp_plan_get_need(plan, index, n))) == 0;
    ok = ok && vpi_json_set_u64(estimate, "cpu_us", info.cpu_us) &&
         vpi_json_set_u64(estimate, "memory_bytes", info.memory_bytes) &&
         vpi_json_set_u64(estimate, "threads", info.threads);
    ok = put(o, "needs", needs, ok);
    ok = put(o, "estimate", estimate, ok);
    if (ok) return o;
    json_decref(o);
    return NULL;
}

vp_status vp_plan_summary_json(const vp_plan *plan, vp_bytes **out, vp_error *err)
{
    vpi_buf text = { 0 };
    vpi_error_reset(err);
    if (!plan || !out) return vpi_fail(err, VP_E_ARG, NULL, "plan and out are needed");
    json_t *o = json_object(), *tasks = json_array();
    bool ok = o && tasks && vpi_json_set_u64(o, "vodpipe", 1) && vpi_json_set_str(o, "plan", plan->hash) &&
              vpi_json_set_str(o, "version", plan->version);
    for (uint32_t i = 0; ok && i < vp_plan_task_count(plan); i++) {
        json_t *task = task_json(plan, i);
        ok = task && json_array_append_new(tasks, task) == 0;
    }
    ok = put(o, "tasks", tasks, ok);
    vp_status st = ok ? vpi_json_dump(o, &text, err) : vpi_fail_nomem(err);
    if (st >= 0) st = vpi_bytes_from_buf(&text, out, err);
    vpi_buf_dispose(&text);
    json_decref(o);
    return st;
}
