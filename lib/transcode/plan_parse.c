/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/hash.h"
#include "plan_int.h"

#define SCALE_MAX INT32_MAX
#define TICKS_MAX ((uint64_t)1 << 62)
#define SIZE_MAX_PICTURE 16384u

static vp_status refuse(vp_error *err, const char *where, const char *what)
{
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: %s", where, what);
}

/* A fixed text field. */
static vp_status get_text(const json_t *o, const char *where, const char *name, char *to, size_t capacity,
                          vp_error *err)
{
    char *text = NULL;
    VPI_TRY(vpi_json_str(o, where, name, true, &text, err));
    bool fits = strlen(text) < capacity;
    if (fits) vpi_strlcpy(to, text, capacity);
    vpi_free(text);
    return fits ? VP_OK : vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s.%s: too long", where, name);
}

/* "num/den" with a numerator of either sign; positive when asked. */
static vp_status get_ratio(const json_t *o, const char *where, const char *name, bool positive,
                           vpi_rational *r, vp_error *err)
{
    char text[48];
    long long num = 0, den = 0;
    char end;
    VPI_TRY(get_text(o, where, name, text, sizeof(text), err));
    if (sscanf(text, "%lld/%lld%c", &num, &den, &end) != 2 || den < 1 || (positive && num < 1))
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s.%s: not a ratio", where, name);
    *r = (vpi_rational){ num, den };
    return VP_OK;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static vp_status get_hex(const json_t *o, const char *where, const char *name, vpi_buf *to, vp_error *err)
{
    char *text = NULL;
    VPI_TRY(vpi_json_str(o, where, name, true, &text, err));
    size_t n = strlen(text);
    bool ok = n > 0 && n % 2 == 0 && n <= 2 * 65536;
    for (size_t i = 0; ok && i < n; i += 2) {
        int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
        ok = high >= 0 && low >= 0;
        if (ok) vpi_buf_u8(to, (unsigned)(high * 16 + low));
    }
    vpi_free(text);
    if (vpi_buf_failed(to)) return vpi_fail_nomem(err);
    return ok ? VP_OK : vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s.%s: not hex digits", where, name);
}

static vp_status get_u8(const json_t *o, const char *where, const char *name, uint8_t *to, vp_error *err)
{
    uint32_t v = 0;
    VPI_TRY(vpi_json_u32(o, where, name, true, 255, &v, err));
    *to = (uint8_t)v;
    return VP_OK;
}

static vp_status get_i32(const json_t *o, const char *where, const char *name, int32_t low, int32_t high,
                         int32_t *to, vp_error *err)
{
    int64_t v = 0;
    VPI_TRY(vpi_json_i64(o, where, name, true, &v, err));
    if (v < low || v > high)
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s.%s: out of range", where, name);
    *to = (int32_t)v;
    return VP_OK;
}

static vp_status read_head(vp_plan *p, const json_t *o, vp_error *err)
{
    static const char *const source_fields[] = { "size", "fingerprint", "quick", NULL };
    static const char *const grid_fields[] = { "timescale", "fragment", "per_segment", "total", NULL };
    const json_t *source = json_object_get(o, "source"), *grid = json_object_get(o, "grid");
    if (!json_is_object(source) || !json_is_object(grid))
        return refuse(err, "plan", "source and grid are needed");
    VPI_TRY(vpi_json_fields(source, "plan.source", source_fields, err));
    VPI_TRY(vpi_json_fields(grid, "plan.grid", grid_fields, err));
    VPI_TRY(vpi_json_u64(source, "plan.source", "size", true, INT64_MAX, &p->source_size, err));
    VPI_TRY(get_text(source, "plan.source", "fingerprint", p->fingerprint, sizeof(p->fingerprint), err));
    VPI_TRY(get_text(source, "plan.source", "quick", p->quick, sizeof(p->quick), err));
    VPI_TRY(vpi_json_u32(grid, "plan.grid", "timescale", true, SCALE_MAX, &p->grid.timescale, err));
    VPI_TRY(vpi_json_u64(grid, "plan.grid", "fragment", true, TICKS_MAX, &p->grid.fragment, err));
    VPI_TRY(vpi_json_u32(grid, "plan.grid", "per_segment", true, 1000, &p->grid.per_segment, err));
    VPI_TRY(vpi_json_u64(grid, "plan.grid", "total", true, TICKS_MAX, &p->grid.total, err));
    if (!p->grid.timescale || !p->grid.fragment || !p->grid.per_segment || !p->grid.total)
        return refuse(err, "plan.grid", "zero");
    VPI_TRY(vpi_json_bool(o, "plan", "cmaf", true, &p->cmaf, err));
    VPI_TRY(vpi_json_bool(o, "plan", "ts", true, &p->ts, err));
    VPI_TRY(vpi_json_bool(o, "plan", "single_file", true, &p->single_file, err));
    VPI_TRY(vpi_json_bool(o, "plan", "mux_audio", true, &p->mux_audio, err));
    VPI_TRY(get_text(o, "plan", "plan", p->hash, sizeof(p->hash), err));
    VPI_TRY(get_text(o, "plan", "version", p->version, sizeof(p->version), err));
    VPI_TRY(get_text(o, "plan", "request", p->request, sizeof(p->request), err));
    VPI_TRY(get_text(o, "plan", "prefix", p->prefix, sizeof(p->prefix), err));
    if (p->prefix[0] && !vpi_key_valid(p->prefix)) return refuse(err, "plan.prefix", "not a name");
    return vpi_json_str(o, "plan", "build", true, &p->build, err);
}

static vp_status read_repair(const json_t *o, vpi_repair *before, vpi_repair *to, vp_error *err)
{
    static const char *const fields[] = { "position", "shift", NULL };
    const char *w = "plan.timeline.repairs";
    uint64_t position = 0;
    if (!json_is_object(o)) return refuse(err, w, "not an object");
    VPI_TRY(vpi_json_fields(o, w, fields, err));
    VPI_TRY(vpi_json_u64(o, w, "position", true, INT64_MAX, &position, err));
    VPI_TRY(vpi_json_i64(o, w, "shift", true, &to->shift, err));
    to->position = (int64_t)position;
    if (to->shift > (int64_t)TICKS_MAX || to->shift < -(int64_t)TICKS_MAX ||
        (before && before->position >= to->position))
        return refuse(err, w, "numbers that do not fit each other");
    return VP_OK;
}

static vp_status read_timeline(vpi_timeline *t, const json_t *o, vp_error *err)
{
    static const char *const fields[] = { "repairs", "untimed", "decode_times", NULL };
    const char *w = "plan.timeline";
    const json_t *repairs = NULL;
    uint32_t num = 0, den = 0;
    VPI_TRY(vpi_json_fields(o, w, fields, err));
    VPI_TRY(vpi_json_array(o, w, "repairs", true, &repairs, err));
    VPI_TRY(vpi_json_ratio(o, w, "untimed", false, &num, &den, err));
    VPI_TRY(vpi_json_bool(o, w, "decode_times", false, &t->decode_times, err));
    t->untimed = (vpi_rational){ num, den };
    size_t n = json_array_size(repairs);
    if (!n) return VP_OK;
    t->repairs = vpi_calloc(n, sizeof(*t->repairs));
    if (!t->repairs) return vpi_fail_nomem(err);
    t->count = n;
    for (size_t i = 0; i < n; i++)
        VPI_TRY(read_repair(json_array_get(repairs, i), i ? &t->repairs[i - 1] : NULL, &t->repairs[i], err));
    return VP_OK;
}

/* One of n words, by its place among them; known: they, to be read by people. */
static vp_status get_choice(const json_t *o, const char *where, const char *name, const char *const *words,
                            size_t n, const char *known, size_t *to, vp_error *err)
{
    char word[16];
    VPI_TRY(get_text(o, where, name, word, sizeof(word), err));
    for (size_t i = 0; i < n; i++) {
        if (!vpi_streq(word, words[i])) continue;
        *to = i;
        return VP_OK;
    }
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s.%s: %s", where, name, known);
}

static vp_status read_video(vp_plan *p, const json_t *o, vp_error *err)
{
    static const char *const fields[] = {
        "stream",   "timebase", "origin",       "rate",         "fps",         "variable",  "frame_ticks",
        "divide",   "min_gap",  "source_width", "rotation",     "flipped",     "primaries", "source_height",
        "transfer", "matrix",   "deinterlace",  "bottom_first", "content_end", "points",    "decoder_threads",
        NULL
    };
    const char *w = "plan.video";
    vpi_plan_video *v = &p->video;
    size_t choice = 0;
    VPI_TRY(vpi_json_fields(o, w, fields, err));
    VPI_TRY(get_i32(o, w, "stream", 0, 65535, &v->stream, err));
    VPI_TRY(get_ratio(o, w, "timebase", true, &v->tb, err));
    VPI_TRY(get_ratio(o, w, "origin", false, &v->origin, err));
    VPI_TRY(get_ratio(o, w, "rate", true, &v->rate, err));
    VPI_TRY(get_ratio(o, w, "fps", true, &v->fps, err));
    VPI_TRY(vpi_json_bool(o, w, "variable", true, &v->variable, err));
    VPI_TRY(vpi_json_u32(o, w, "frame_ticks", true, SCALE_MAX, &v->frame_ticks, err));
    VPI_TRY(vpi_json_u32(o, w, "divide", true, VPI_PLAN_DIVIDE, &v->divide, err));
    VPI_TRY(vpi_json_u32(o, w, "min_gap", true, SCALE_MAX, &v->min_gap, err));
    VPI_TRY(vpi_json_u32(o, w, "source_width", true, 65536, &v->source_width, err));
    VPI_TRY(vpi_json_u32(o, w, "source_height", true, 65536, &v->source_height, err));
    VPI_TRY(get_i32(o, w, "rotation", 0, 270, &v->rotation, err));
    VPI_TRY(get_i32(o, w, "flipped", 0, 1, &v->flipped, err));
    VPI_TRY(get_u8(o, w, "primaries", &v->colour.primaries, err));
    VPI_TRY(get_u8(o, w, "transfer", &v->colour.transfer, err));
    VPI_TRY(get_u8(o, w, "matrix", &v->colour.matrix, err));
    VPI_TRY(vpi_json_u32(o, w, "decoder_threads", true, 16, &v->decoder_threads, err));
    VPI_TRY(get_choice(o, w, "deinterlace", vpi_deinterlace_names, VPI_COUNT(vpi_deinterlace_names),
                       "none, frames, fields or flagged", &choice, err));
    v->deinterlace = (vpi_deinterlace)choice;
    VPI_TRY(vpi_json_bool(o, w, "bottom_first", true, &v->bottom_first, err));
    VPI_TRY(vpi_json_u64(o, w, "content_end", true, TICKS_MAX, &v->content_end, err));
    VPI_TRY(vpi_json_u64(o, w, "points", true, TICKS_MAX, &v->points, err));
    if (!v->frame_ticks || !v->divide || !v->min_gap || !v->decoder_threads || v->rotation % 90 ||
        p->grid.total % v->frame_ticks || p->grid.total / v->frame_ticks != v->points ||
        v->fps.num > INT32_MAX || v->fps.den > INT32_MAX || v->tb.num > INT32_MAX || v->tb.den > INT32_MAX ||
        v->rate.num > INT32_MAX || v->rate.den > INT32_MAX)
        return refuse(err, w, "numbers that do not fit each other");
    p->has_video = true;
    return VP_OK;
}

/* What an encoder takes from the plan as a whole. */
static void common_options(const vp_plan *p, vpi_h264enc_options *e)
{
    e->fps_num = (uint32_t)p->video.fps.num;
    e->fps_den = (uint32_t)p->video.fps.den;
    e->timebase_num = 1;
    e->timebase_den = p->grid.timescale;
    e->variable = p->video.variable;
    e->colour = p->video.colour;
}

static vp_status read_adaptation(const json_t *o, const char *w, vpi_h264enc_options *e, vp_error *err)
{
    VPI_TRY(vpi_json_u32(o, w, "aq_mode", true, 3, &e->aq_mode, err));
    return vpi_json_u32(o, w, "aq_strength_milli", true, 3000, &e->aq_strength_milli, err);
}

static vp_status read_rung(vp_plan *p, const json_t *o, vpi_plan_rung *r, vp_error *err)
{
    static const char *const fields[] = { "name",
                                          "width",
                                          "height",
                                          "preset",
                                          "trellis",
                                          "aq_mode",
                                          "aq_strength_milli",
                                          "subme",
                                          "inter",
                                          "lookahead",
                                          "keyint",
                                          "abr",
                                          "kbps",
                                          "crf_milli",
                                          "maxrate_kbps",
                                          "bufsize_kbit",
                                          "level_idc",
                                          "profile",
                                          "codecs",
                                          "avcc",
                                          "init",
                                          NULL };
    const char *w = "plan.rungs";
    vpi_h264enc_options *e = &r->enc;
    size_t choice = 0;
    VPI_TRY(vpi_json_fields(o, w, fields, err));
    VPI_TRY(get_text(o, w, "name", r->name, sizeof(r->name), err));
    VPI_TRY(vpi_json_u32(o, w, "width", true, SIZE_MAX_PICTURE, &e->width, err));
    VPI_TRY(vpi_json_u32(o, w, "height", true, SIZE_MAX_PICTURE, &e->height, err));
    VPI_TRY(get_text(o, w, "preset", e->preset, sizeof(e->preset), err));
    VPI_TRY(get_i32(o, w, "trellis", -1, 2, &e->trellis, err));
    VPI_TRY(read_adaptation(o, w, e, err));
    VPI_TRY(vpi_json_u32(o, w, "subme", true, 11, &e->subme, err));
    VPI_TRY(get_choice(o, w, "inter", vpi_inter_names, VPI_COUNT(vpi_inter_names), "preset, 16x16 or p8x8",
                       &choice, err));
    e->inter = (vpi_inter)choice;
    VPI_TRY(vpi_json_u32(o, w, "lookahead", true, 250, &e->lookahead, err));
    VPI_TRY(vpi_json_u32(o, w, "keyint", true, 1000000, &e->keyint_max, err));
    VPI_TRY(vpi_json_bool(o, w, "abr", true, &e->abr, err));
    VPI_TRY(vpi_json_u32(o, w, "kbps", true, 10000000, &e->kbps, err));
    VPI_TRY(vpi_json_u32(o, w, "crf_milli", true, 51000, &e->crf_milli, err));
    VPI_TRY(vpi_json_u32(o, w, "maxrate_kbps", true, 10000000, &e->maxrate_kbps, err));
    VPI_TRY(vpi_json_u32(o, w, "bufsize_kbit", true, 10000000, &e->bufsize_kbit, err));
    VPI_TRY(vpi_json_u32(o, w, "level_idc", true, 255, &e->level_idc, err));
    VPI_TRY(get_text(o, w, "profile", e->profile, sizeof(e->profile), err));
    VPI_TRY(get_text(o, w, "codecs", r->codecs, sizeof(r->codecs), err));
    VPI_TRY(get_hex(o, w, "avcc", &r->avcc, err));
    VPI_TRY(get_hex(o, w, "init", &r->init, err));
    if (!vpi_key_valid(r->name) || strchr(r->name, '/')) return refuse(err, w, "name: not a folder name");
    if (e->width < 2 || e->height < 2 || e->width % 2 || e->height % 2)
        return refuse(err, w, "size: not even");
    common_options(p, e);
    if (p->two_pass) e->pass = VPI_PASS_SECOND;
    return VP_OK;
}

static vp_status read_analysis(vp_plan *p, const json_t *o, vp_error *err)
{
    static const char *const fields[] = {
        "width",     "height", "preset",    "aq_mode",   "aq_strength_milli",
        "lookahead", "keyint", "crf_milli", "level_idc", NULL
    };
    const char *w = "plan.analysis";
    vpi_h264enc_options *e = &p->analysis;
    if (!p->has_video) return refuse(err, w, "without video");
    VPI_TRY(vpi_json_fields(o, w, fields, err));
    VPI_TRY(vpi_json_u32(o, w, "width", true, SIZE_MAX_PICTURE, &e->width, err));
    VPI_TRY(vpi_json_u32(o, w, "height", true, SIZE_MAX_PICTURE, &e->height, err));
    VPI_TRY(get_text(o, w, "preset", e->preset, sizeof(e->preset), err));
    VPI_TRY(read_adaptation(o, w, e, err));
    VPI_TRY(vpi_json_u32(o, w, "lookahead", true, 250, &e->lookahead, err));
    VPI_TRY(vpi_json_u32(o, w, "keyint", true, 1000000, &e->keyint_max, err));
    VPI_TRY(vpi_json_u32(o, w, "crf_milli", true, 51000, &e->crf_milli, err));
    VPI_TRY(vpi_json_u32(o, w, "level_idc", true, 255, &e->level_idc, err));
    if (e->width < 2 || e->height < 2 || e->width % 2 || e->height % 2)
        return refuse(err, w, "size: not even");
    vpi_strlcpy(e->profile, "high", sizeof(e->profile));
    e->trellis = -1;
    e->inter = VPI_INTER_16X16;
    e->pass = VPI_PASS_FIRST;
    common_options(p, e);
    p->two_pass = true;
    return VP_OK;
}

static vp_status read_audio_codec(const json_t *o, const char *w, vpi_plan_audio *a, vp_error *err)
{
    char word[8];
    VPI_TRY(get_text(o, w, "codec", word, sizeof(word), err));
    a->codec = vpi_streq(word, "ac3")    ? VPI_CODEC_AC3
               : vpi_streq(word, "eac3") ? VPI_CODEC_EAC3
                                         : VPI_CODEC_AAC;
    a->frame_samples = a->codec == VPI_CODEC_AAC ? VPI_AAC_FRAME : VPI_AC3_FRAME;
    if (!vpi_streq(word, vpi_plan_codec_word(a->codec))) return refuse(err, w, "codec: not known");
    if (a->codec == VPI_CODEC_AAC) return VP_OK;
    VPI_TRY(vpi_json_u32(o, w, "phase", true, VPI_AC3_FRAME - 1, &a->phase, err));
    return get_hex(o, w, "silence", &a->silence, err);
}

static vp_status read_audio(const json_t *o, vpi_plan_audio *a, vp_error *err)
{
    static const char *const fields[] = { "name",    "group",   "codec",       "language", "label",
                                          "default", "stream",  "sample_rate", "channels", "kbps",
                                          "origin",  "frames",  "codecs",      "config",   "init",
                                          "phase",   "silence", NULL };
    const char *w = "plan.audio";
    VPI_TRY(vpi_json_fields(o, w, fields, err));
    VPI_TRY(read_audio_codec(o, w, a, err));
    VPI_TRY(get_text(o, w, "name", a->name, sizeof(a->name), err));
    VPI_TRY(get_text(o, w, "group", a->group, sizeof(a->group), err));
    VPI_TRY(get_text(o, w, "language", a->language, sizeof(a->language), err));
    VPI_TRY(get_text(o, w, "label", a->label, sizeof(a->label), err));
    VPI_TRY(vpi_json_bool(o, w, "default", true, &a->is_default, err));
    VPI_TRY(get_i32(o, w, "stream", 0, 65535, &a->audio.stream, err));
    VPI_TRY(vpi_json_u32(o, w, "sample_rate", true, 192000, &a->audio.sample_rate, err));
    VPI_TRY(vpi_json_u32(o, w, "channels", true, 8, &a->audio.channels, err));
    VPI_TRY(vpi_json_u32(o, w, "kbps", true, 4096, &a->audio.kbps, err));
    VPI_TRY(vpi_json_i64(o, w, "origin", true, &a->audio.origin, err));
    VPI_TRY(vpi_json_u64(o, w, "frames", true, (uint64_t)1 << 40, &a->audio.frames, err));
    VPI_TRY(get_text(o, w, "codecs", a->codecs, sizeof(a->codecs), err));
    VPI_TRY(get_hex(o, w, "config", &a->config, err));
    VPI_TRY(get_hex(o, w, "init", &a->init, err));
    if (!vpi_key_valid(a->name) || strchr(a->name, '/')) return refuse(err, w, "name: not a folder name");
    if (a->audio.sample_rate < 8000 || !a->audio.channels || !a->audio.frames) return refuse(err, w, "zero");
    if (!a->group[0]) return refuse(err, w, "group: empty");
    return VP_OK;
}

static vp_status read_spans(vp_plan *p, const json_t *list, vp_error *err)
{
    size_t n = json_array_size(list);
    uint64_t first = 0, segments = vpi_grid_segments(&p->grid);
    p->spans = vpi_calloc(n ? n : 1, sizeof(*p->spans));
    if (!p->spans) return vpi_fail_nomem(err);
    p->span_count = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *count = json_array_get(list, i);
        json_int_t v = json_is_integer(count) ? json_integer_value(count) : 0;
        if (v < 1 || (uint64_t)v > segments - first)
            return refuse(err, "plan.spans", "not the title's segments");
        p->spans[i] = (vpi_plan_span){ first, (uint64_t)v };
        first += (uint64_t)v;
    }
    if (p->has_video && first != segments) return refuse(err, "plan.spans", "not the title's segments");
    return VP_OK;
}

static vp_status read_lists(vp_plan *p, const json_t *o, vp_error *err)
{
    const json_t *rungs = NULL, *audio = NULL, *spans = NULL;
    VPI_TRY(vpi_json_array(o, "plan", "rungs", true, &rungs, err));
    VPI_TRY(vpi_json_array(o, "plan", "audio", true, &audio, err));
    VPI_TRY(vpi_json_array(o, "plan", "spans", true, &spans, err));
    size_t n = json_array_size(rungs), m = json_array_size(audio);
    if (n > VPI_PLAN_RUNGS || m > VPI_PLAN_AUDIO || json_array_size(spans) > VPI_PLAN_SPANS)
        return refuse(err, "plan", "too many rungs, tracks or spans");
    if (p->has_video ? !n : n || json_array_size(spans) || !m)
        return refuse(err, "plan", "video without rungs or the reverse");
    if (p->mux_audio && (!p->ts || m != 1))
        return refuse(err, "plan.mux_audio", "needs ts and one audio track");
    p->rungs = vpi_calloc(n ? n : 1, sizeof(*p->rungs));
    p->audio = vpi_calloc(m ? m : 1, sizeof(*p->audio));
    if (!p->rungs || !p->audio) return vpi_fail_nomem(err);
    p->rung_count = n;
    p->audio_count = m;
    for (size_t i = 0; i < n; i++) VPI_TRY(read_rung(p, json_array_get(rungs, i), &p->rungs[i], err));
    for (size_t i = 0; i < m; i++) VPI_TRY(read_audio(json_array_get(audio, i), &p->audio[i], err));
    if (p->mux_audio && p->audio[0].codec != VPI_CODEC_AAC) return refuse(err, "plan.mux_audio", "needs AAC");
    return read_spans(p, spans, err);
}

/* The hash must be that of the content: a plan edited by hand would publish bytes under a name that is not theirs. */
static vp_status check_hash(const vp_plan *p, vp_error *err)
{
    vpi_buf text = { 0 };
    vpi_sha256 sha;
    char hash[65];
    json_t *o = vpi_plan_to_json(p);
    vp_status st = o ? vpi_json_dump(o, &text, err) : vpi_fail_nomem(err);
    json_decref(o);
    if (st >= 0) {
        vpi_sha256_init(&sha);
        vpi_sha256_add(&sha, text.data, text.size);
        vpi_sha256_add_str(&sha, p->build);
        vpi_sha256_hex(&sha, hash);
        if (!vpi_streq(hash, p->hash) || strncmp(hash, p->version, 12) != 0)
            st = vpi_fail(err, VP_E_CONFLICT, "PLAN_MISMATCH", "the plan's hash does not match its content");
    }
    vpi_buf_dispose(&text);
    return st;
}

static vp_status read_plan(vp_plan *p, const json_t *o, vp_error *err)
{
    static const char *const fields[] = { "vodpipe",     "plan",      "version",  "request",    "prefix",
                                          "build",       "source",    "grid",     "cmaf",       "ts",
                                          "single_file", "mux_audio", "video",    "rungs",      "audio",
                                          "spans",       "timeline",  "analysis", "protection", NULL };
    VPI_TRY(vpi_json_version(o, "plan", true, err));
    VPI_TRY(vpi_json_fields(o, "plan", fields, err));
    VPI_TRY(read_head(p, o, err));
    const json_t *video = json_object_get(o, "video");
    if (video) VPI_TRY(read_video(p, video, err));
    const json_t *timeline = NULL;
    VPI_TRY(vpi_json_object(o, "plan", "timeline", false, &timeline, err));
    if (timeline) VPI_TRY(read_timeline(&p->timeline, timeline, err));
    const json_t *analysis = NULL;
    VPI_TRY(vpi_json_object(o, "plan", "analysis", false, &analysis, err));
    if (analysis) VPI_TRY(read_analysis(p, analysis, err));
    VPI_TRY(read_lists(p, o, err));
    VPI_TRY(vpi_plan_read_protection(p, o, err));
    VPI_TRY(check_hash(p, err));
    return vpi_plan_name_tasks(p, err);
}

vp_status vp_plan_parse(const void *json, uint64_t size, vp_plan **out, vp_error *err)
{
    json_t *o = NULL;
    vpi_error_reset(err);
    if (out) *out = NULL;
    if (!json || !out) return vpi_fail(err, VP_E_ARG, NULL, "json and out are needed");
    VPI_TRY(vpi_json_parse(json, (size_t)size, "plan", &o, err));
    vp_plan *plan = vpi_plan_alloc();
    vp_status st = plan ? read_plan(plan, o, err) : vpi_fail_nomem(err);
    json_decref(o);
    if (st < 0) {
        vp_plan_unref(plan);
        return st;
    }
    *out = plan;
    return VP_OK;
}
