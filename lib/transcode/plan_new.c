/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "base/build.h"
#include "base/context.h"
#include "base/hash.h"
#include "bitstream/bitstream.h"
#include "media/demux.h"
#include "model/level.h"
#include "plan_int.h"

/* Length of a span by the title's length (DESIGN section 1): an eighth, within these. */
#define SPAN_MIN_MS 12000
#define SPAN_MAX_MS 60000
#define TITLE_SPANS 8

/* Encoder defaults behind --preset auto; measured in tests/bench. */
#define DEFAULT_PRESET "veryfast"
#define DEFAULT_TRELLIS 1
#define DEFAULT_AQ_MODE 2
#define DEFAULT_AQ_STRENGTH_MILLI 1200
/* From here on parts of macroblocks in P pictures gain more than they cost; up to there exacter motion costs little. */
#define LARGE_PICTURE (1440u * 816)
#define SMALL_PICTURE (854u * 480)
#define SMALL_SUBME 3
#define DEFAULT_LOOKAHEAD 15
#define TS_PICTURE_BYTES 125 /* of packets and headers around a picture */
#define DECODER_THREADS 1
/* The shared first pass; measured in tests/bench. It is never slower than the encoders that it leads. */
#define ANALYSIS_MOST (960u * 540)  /* pixels */
#define ANALYSIS_WHOLE (640u * 360) /* pictures up to this are not shrunk */
#define ANALYSIS_PRESET "veryfast"
#define ANALYSIS_LOOKAHEAD 40
#define ANALYSIS_CRF_MILLI 23000
#define LEVEL_REFS 4 /* as lib/ladder has it */
#define CLEAR_LEAD_MAX_MS 86400000u

void vp_transcode_options_init(vp_transcode_options *options, size_t size)
{
    static const vp_transcode_options init = VP_TRANSCODE_OPTIONS_INIT;

    vpi_struct_init(options, size, &init, sizeof(init));
}

void vp_task_info_init(vp_task_info *info, size_t size)
{
    vpi_struct_init(info, size, NULL, 0);
}

void vp_task_options_init(vp_task_options *options, size_t size)
{
    static const vp_task_options init = VP_TASK_OPTIONS_INIT;

    vpi_struct_init(options, size, &init, sizeof(init));
}

static vp_status bad(vp_error *err, const char *what)
{
    return vpi_fail(err, VP_E_ARG, NULL, "%s", what);
}

vp_status vpi_check_encryption(const vp_transcode_options *o, vp_error *err)
{
    if (o->encrypt > VPI_SCHEME_CBCS) return bad(err, "encrypt: unknown");
    if (!o->encrypt)
        return o->key_rotation || o->clear_lead_ms ? bad(err, "key_rotation, clear_lead: without encrypt")
                                                   : VP_OK;
    if (o->encrypt == VPI_SCHEME_CENC && o->formats != VP_FORMAT_CMAF)
        return bad(err, "encrypt: cenc is for format cmaf only");
    if (o->clear_lead_ms > CLEAR_LEAD_MAX_MS) return bad(err, "clear_lead: at most 24 hours");
    if (!o->keys) return vpi_fail(err, VP_E_AUTH, "KEY_MISSING", "encryption needs keys");
    return VP_OK;
}

static vp_status check_options(vp_transcode_options *o, vp_error *err)
{
    if (!o->formats) o->formats = VP_FORMAT_CMAF;
    if (!o->segment_ms) o->segment_ms = 6000;
    if (!o->gop_ms) o->gop_ms = 2000;
    if (!o->rate) o->rate = VP_RATE_2PASS;
    if (!o->crf_milli) o->crf_milli = 23000;
    if (!o->max_fps) o->max_fps = 60;
    if (o->formats & ~(VP_FORMAT_CMAF | VP_FORMAT_TS)) return bad(err, "formats: unknown bits");
    if (o->segment_ms < 500 || o->segment_ms > 60000) return bad(err, "segment: 0.5 to 60 seconds");
    if (o->gop_ms < 250 || o->gop_ms > 60000) return bad(err, "gop: 0.25 to 60 seconds");
    if (o->segment_ms % o->gop_ms) return bad(err, "segment: not a whole multiple of gop");
    if (o->single_file > 1) return bad(err, "single_file: 0 or 1");
    if (o->single_file && o->formats != VP_FORMAT_CMAF) return bad(err, "single_file: with format cmaf only");
    if (o->rate != VP_RATE_ABR && o->rate != VP_RATE_CRF && o->rate != VP_RATE_2PASS)
        return bad(err, "rate: unknown");
    if (o->crf_milli > 51000) return bad(err, "crf: at most 51");
    if (o->audio_kbps && (o->audio_kbps < 16 || o->audio_kbps > 512))
        return bad(err, "audio bitrate: 16 to 512 kbit/s");
    if (o->timeline > VP_TIMELINE_FAIL) return bad(err, "timeline: unknown");
    if (o->max_fps > 240) return bad(err, "max_fps: at most 240");
    if (o->span_ms > 600000) return bad(err, "span: at most 600 seconds");
    return vpi_check_encryption(o, err);
}

/*
 * What packets of a transport stream add to a rung (PES header, access unit delimiter, half a packet of stuffing
 * with each picture, 4 bytes of 188) comes off its VBV, so that segments keep to maxrate in this form too.
 */
static void leave_room_for_ts(const vpi_plan_video *v, vpi_h264enc_options *e)
{
    uint64_t pictures = (uint64_t)vpi_rescale(TS_PICTURE_BYTES * 8, v->fps.num, v->fps.den * 1000, VPI_CEIL);
    uint64_t rate = e->maxrate_kbps > pictures ? (e->maxrate_kbps - pictures) * 184 / 188 : 0;
    uint32_t before = e->maxrate_kbps;
    uint64_t least = (uint64_t)e->kbps * 5 / 4; /* tiny rungs would starve */
    e->maxrate_kbps = (uint32_t)VPI_MIN(VPI_MAX(rate, least), (uint64_t)before);
    e->bufsize_kbit = (uint32_t)((uint64_t)e->bufsize_kbit * e->maxrate_kbps / before);
}

/* A ladder does not always know the rate that is published: its level is raised where it cannot hold that (I37). */
static uint32_t fitting_level(const vp_rung *r, vpi_rational fps)
{
    bool high = vpi_streq(r->profile, "high");
    unsigned least =
        vpi_model_h264_level(r->width, r->height, fps, r->maxrate_kbps, r->bufsize_kbit, 1, high);
    unsigned good =
        vpi_model_h264_level(r->width, r->height, fps, r->maxrate_kbps, r->bufsize_kbit, LEVEL_REFS, high);
    return r->level >= least ? r->level : VPI_MAX(good, least);
}

static void rung_encoder(const vp_plan *plan, const vp_rung *r, const vp_transcode_options *o,
                         vpi_h264enc_options *e)
{
    const vpi_plan_video *v = &plan->video;
    bool automatic = !o->preset || vpi_streq(o->preset, "auto");
    e->width = r->width;
    e->height = r->height;
    e->fps_num = (uint32_t)v->fps.num;
    e->fps_den = (uint32_t)v->fps.den;
    e->timebase_num = 1;
    e->timebase_den = plan->grid.timescale;
    e->variable = v->variable;
    vpi_strlcpy(e->preset, automatic ? DEFAULT_PRESET : o->preset, sizeof(e->preset));
    e->trellis = automatic ? DEFAULT_TRELLIS : -1;
    e->aq_mode = automatic ? DEFAULT_AQ_MODE : 0;
    if (automatic) {
        uint64_t area = (uint64_t)r->width * r->height;

        e->aq_strength_milli = DEFAULT_AQ_STRENGTH_MILLI;
        e->inter = area >= LARGE_PICTURE ? VPI_INTER_P8X8 : VPI_INTER_16X16;
        if (area <= SMALL_PICTURE) e->subme = SMALL_SUBME;
    }
    e->lookahead = DEFAULT_LOOKAHEAD;
    /* a GOP merged with a short tail is up to half a second longer than the others */
    uint64_t most = plan->grid.fragment + plan->grid.timescale;
    e->keyint_max = (uint32_t)VPI_CLAMP(most / v->min_gap + 2, 2u, 100000u);
    e->abr = o->rate != VP_RATE_CRF;
    if (plan->two_pass) {
        e->pass = VPI_PASS_SECOND; /* with the first one's frame types and tree: nothing to look ahead for */
        e->lookahead = 0;
    }
    e->kbps = r->kbps;
    e->crf_milli = o->crf_milli;
    e->maxrate_kbps = r->maxrate_kbps;
    e->bufsize_kbit = r->bufsize_kbit;
    if (o->formats & VP_FORMAT_TS && e->maxrate_kbps) leave_room_for_ts(v, e);
    e->level_idc = fitting_level(r, v->fps);
    vpi_strlcpy(e->profile, r->profile, sizeof(e->profile));
    e->colour = v->colour;
}

/* Parameter sets and init segment come from an encoder opened once with the rung's settings. */
static vp_status rung_headers(vp_context *context, vp_plan *plan, size_t index, vp_error *err)
{
    vpi_plan_rung *r = &plan->rungs[index];
    vpi_h264enc *enc = NULL;
    vpi_nal sps, pps;
    vpi_track_setup setup;
    vp_status st = vpi_h264enc_new(context, &r->enc, &enc, err);
    if (st < 0) return st;
    vpi_h264enc_headers(enc, &sps.data, &sps.size, &pps.data, &pps.size);
    VPI_GO(vpi_avcc_write(&sps, 1, &pps, 1, &r->avcc, err));
    VPI_GO(vpi_codecs_avc(r->avcc.data, r->avcc.size, r->codecs, err));
    vpi_plan_rung_setup(plan, index, &setup);
    VPI_GO(vpi_plan_write_init(plan, &setup, vpi_plan_rung_protection(plan, index), &r->init, err));
done:
    vpi_h264enc_free(enc);
    return st;
}

static vp_status add_rungs(vp_context *context, vp_plan *plan, const vp_ladder *ladder,
                           const vp_transcode_options *o, vp_error *err)
{
    uint32_t n = vp_ladder_count(ladder);
    if (!n || n > VPI_PLAN_RUNGS)
        return vpi_fail(err, VP_E_ARG, NULL, "a ladder has 1 to %u rungs", VPI_PLAN_RUNGS);
    plan->rungs = vpi_calloc(n, sizeof(*plan->rungs));
    if (!plan->rungs) return vpi_fail_nomem(err);
    plan->rung_count = n;
    for (uint32_t i = 0; i < n; i++) {
        vp_rung r;
        vp_rung_init(&r, sizeof(r));
        VPI_TRY(vp_ladder_get(ladder, i, &r, err));
        if (!vpi_streq(r.codec, "h264"))
            return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "rung %s: codec %s", r.name, r.codec);
        vpi_strlcpy(plan->rungs[i].name, r.name, sizeof(plan->rungs[i].name));
        rung_encoder(plan, &r, o, &plan->rungs[i].enc);
        VPI_TRY(rung_headers(context, plan, i, err));
    }
    return VP_OK;
}

/* A whole fraction of the first rung: x264 scales what it finds up again, and is most exact where that is by 2. */
static uint32_t shrink(uint32_t side, uint32_t by)
{
    return VPI_MAX(side / by / 2 * 2, 2u);
}

static void plan_analysis(vp_plan *plan)
{
    const vpi_h264enc_options *top = &plan->rungs[0].enc;
    vpi_h264enc_options *e = &plan->analysis;
    uint32_t by = top->width * top->height > ANALYSIS_WHOLE ? 2 : 1;
    bool faster = vpi_streq(top->preset, "ultrafast") || vpi_streq(top->preset, "superfast");
    *e = *top;
    while ((uint64_t)shrink(top->width, by) * shrink(top->height, by) > ANALYSIS_MOST) by++;
    e->width = shrink(top->width, by);
    e->height = shrink(top->height, by);
    if (!faster) vpi_strlcpy(e->preset, ANALYSIS_PRESET, sizeof(e->preset));
    e->subme = 0;
    vpi_strlcpy(e->profile, "high", sizeof(e->profile));
    e->trellis = -1;
    e->inter = VPI_INTER_16X16;
    e->lookahead = ANALYSIS_LOOKAHEAD;
    e->abr = false;
    e->kbps = e->maxrate_kbps = e->bufsize_kbit = 0;
    e->crf_milli = ANALYSIS_CRF_MILLI;
    e->pass = VPI_PASS_FIRST;
}

static vp_status cut_spans(vp_plan *plan, const vp_transcode_options *o, bool seekable, vp_error *err)
{
    uint64_t segments = vpi_grid_segments(&plan->grid), per = segments;
    uint64_t title_ms =
        (uint64_t)vpi_rescale((int64_t)plan->grid.total, 1000, plan->grid.timescale, VPI_CEIL);
    uint64_t span_ms = o->span_ms ? o->span_ms : VPI_CLAMP(title_ms / TITLE_SPANS, SPAN_MIN_MS, SPAN_MAX_MS);
    /* a source that cannot be seeked is decoded once, from its start, as one span */
    if (seekable) per = VPI_MAX((span_ms + o->segment_ms / 2) / o->segment_ms, 1u);
    uint64_t n = (segments + per - 1) / per;
    if (n > 1 && segments - (n - 1) * per < (per + 1) / 2)
        n--; /* no span under half the length of the others */
    if (n > VPI_PLAN_SPANS)
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "more than %u spans", VPI_PLAN_SPANS);
    plan->spans = vpi_calloc((size_t)n, sizeof(*plan->spans));
    if (!plan->spans) return vpi_fail_nomem(err);
    plan->span_count = (size_t)n;
    for (uint64_t i = 0; i < n; i++) {
        plan->spans[i].first = i * per;
        plan->spans[i].count = i + 1 < n ? per : segments - i * per;
    }
    return VP_OK;
}

static void hex32(const uint8_t digest[32], char to[65])
{
    for (int i = 0; i < 32; i++) snprintf(to + 2 * i, 3, "%02x", digest[i]);
}

static vp_status hash_json(json_t *json, const char *more, char to[65], vp_error *err)
{
    vpi_buf text = { 0 };
    vpi_sha256 sha;
    if (!json) return vpi_fail_nomem(err);
    vp_status st = vpi_json_dump(json, &text, err);
    json_decref(json);
    if (st >= 0) {
        vpi_sha256_init(&sha);
        vpi_sha256_add(&sha, text.data, text.size);
        vpi_sha256_add_str(&sha, more);
        vpi_sha256_hex(&sha, to);
    }
    vpi_buf_dispose(&text);
    return st;
}

/* Source and settings as asked for: what says that a title is done already, whatever build made it. */
static vp_status request_hash(vp_plan *plan, const vp_ladder *ladder, const vp_transcode_options *o,
                              vp_error *err)
{
    vpi_sha256 sha;
    vp_bytes *rungs = NULL;
    VPI_TRY(vp_ladder_json(ladder, &rungs, err));
    const uint32_t numbers[] = { o->formats,     o->segment_ms, o->gop_ms,
                                 o->single_file, o->rate,       o->rate == VP_RATE_CRF ? o->crf_milli : 0,
                                 o->max_fps,     o->span_ms };
    vpi_sha256_init(&sha);
    vpi_sha256_add_str(&sha, plan->fingerprint);
    vpi_sha256_add(&sha, vp_bytes_data(rungs), (size_t)vp_bytes_size(rungs));
    for (size_t i = 0; i < VPI_COUNT(numbers); i++) vpi_sha256_add_u64(&sha, numbers[i]);
    vpi_sha256_add_str(&sha, o->preset ? o->preset : "auto");
    for (size_t i = 0; i < plan->audio_count; i++) {
        vpi_sha256_add_u64(&sha, (uint64_t)plan->audio[i].audio.stream);
        vpi_sha256_add_u64(&sha, plan->audio[i].audio.kbps);
    }
    vpi_sha256_add_str(&sha, o->prefix ? o->prefix : "auto");
    vpi_plan_hash_protection(plan, &sha);
    vpi_sha256_hex(&sha, plan->request);
    vp_bytes_unref(rungs);
    return VP_OK;
}

static bool prefix_valid(const char *p)
{
    size_t n = strlen(p);
    if (!n || n > 128 || p[0] == '.') return false;
    for (size_t i = 0; i < n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", p[i])) return false;
    return true;
}

static vp_status settle_names(vp_plan *plan, const vp_transcode_options *o, vp_error *err)
{
    bool automatic = !o->prefix || !o->prefix[0] || vpi_streq(o->prefix, "auto");
    if (!automatic && !prefix_valid(o->prefix))
        return bad(err, "prefix: letters, digits, '-', '_' and '.', at most 128, not beginning with '.'");
    VPI_TRY(hash_json(vpi_plan_to_json(plan), plan->build, plan->hash, err));
    memcpy(plan->version, plan->hash, 12);
    plan->version[12] = 0;
    if (automatic)
        vpi_strlcpy(plan->prefix, plan->version, sizeof(plan->prefix));
    else if (!vpi_streq(o->prefix, "none"))
        vpi_strlcpy(plan->prefix, o->prefix, sizeof(plan->prefix));
    return VP_OK;
}

static vp_status copy_timeline(vp_plan *plan, const vpi_media *m, const vpi_track *video, vp_error *err)
{
    size_t n = m->timeline.count;
    if (video && !video->has_times) plan->timeline.untimed = video->frame_rate;
    plan->timeline.decode_times = m->timeline.decode_times;
    if (!n) return VP_OK;
    plan->timeline.repairs = vpi_calloc(n, sizeof(*plan->timeline.repairs));
    if (!plan->timeline.repairs) return vpi_fail_nomem(err);
    memcpy(plan->timeline.repairs, m->timeline.repairs, n * sizeof(*plan->timeline.repairs));
    plan->timeline.count = n;
    return VP_OK;
}

static vp_status fill(vp_context *context, vp_plan *plan, const vpi_media *m, const vp_ladder *ladder,
                      const vp_transcode_options *o, const uint8_t *seed, vp_error *err)
{
    const vpi_track *kept[VPI_PLAN_TRACKS], *audio[VPI_PLAN_AUDIO];
    const vpi_track *video = vpi_media_nth(m, VPI_KIND_VIDEO, 0);
    size_t count = vpi_plan_choose_audio(m, o->audio, kept);
    uint32_t kbps = o->audio_kbps ? o->audio_kbps : vp_ladder_audio_kbps(ladder);
    if (!video && !count)
        return vpi_fail(err, VP_E_DATA, "INPUT_NO_VIDEO_OR_AUDIO",
                        "nothing to publish is left of the source");
    plan->cmaf = o->formats & VP_FORMAT_CMAF;
    plan->ts = o->formats & VP_FORMAT_TS;
    plan->single_file = o->single_file;
    plan->has_video = video != NULL;
    plan->source_size = m->size;
    hex32(m->fingerprint, plan->fingerprint);
    hex32(m->quick, plan->quick);
    plan->build = vpi_strdup(vp_build_info());
    if (!plan->build) return vpi_fail_nomem(err);
    VPI_TRY(vpi_plan_add_audio(plan, kept, count, kbps, audio, err));
    plan->mux_audio = plan->ts && video && plan->audio_count == 1;
    VPI_TRY(copy_timeline(plan, m, video, err));
    VPI_TRY(vpi_plan_timeline(plan, video, audio, plan->audio_count, o, err));
    VPI_TRY(vpi_plan_protect(plan, ladder, o, seed, err));
    VPI_TRY(vpi_plan_finish_audio(plan, audio, err));
    if (video) {
        plan->video.stream = video->id;
        plan->video.source_width = video->width;
        plan->video.source_height = video->height;
        plan->video.rotation = video->rotation;
        plan->video.flipped = video->flipped;
        plan->video.decoder_threads = DECODER_THREADS;
        vpi_video_colour_for(video, &plan->video.colour);
        plan->two_pass = o->rate == VP_RATE_2PASS;
        VPI_TRY(add_rungs(context, plan, ladder, o, err));
        if (plan->two_pass) plan_analysis(plan);
        VPI_TRY(cut_spans(plan, o, m->seekable, err));
    }
    VPI_TRY(request_hash(plan, ladder, o, err));
    VPI_TRY(settle_names(plan, o, err));
    return vpi_plan_name_tasks(plan, err);
}

/* For hosts that would rather have the file again than guess at its clock (I04). */
static vp_status check_timeline(const vpi_media *m, const vp_transcode_options *o, vp_error *err)
{
    for (size_t i = 0; o->timeline == VP_TIMELINE_FAIL && i < m->warning_count; i++) {
        const vpi_warning *w = &m->warnings[i];
        if (!vpi_streq(w->name, "TIMELINE_REPAIRED")) continue;
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "the timeline needs repair: %s", w->text);
    }
    return VP_OK;
}

vp_status vpi_plan_new(vp_context *context, const vp_media *media, const vp_ladder *ladder,
                       const vp_transcode_options *options, const uint8_t *seed, vp_plan **out, vp_error *err)
{
    vp_transcode_options o = VP_TRANSCODE_OPTIONS_INIT;
    vp_ladder *derived = NULL;
    vp_plan *plan = NULL;
    vp_status st;
    vpi_error_reset(err);
    if (out) *out = NULL;
    if (!context || !media || !out) return bad(err, "context, media and out are needed");
    VPI_TRY(vpi_context_check(context, err));
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    VPI_TRY(check_options(&o, err));
    if (!media->m.full) return bad(err, "media: a full probe is needed");
    VPI_TRY(check_timeline(&media->m, &o, err));
    VPI_TRY(vpi_media_load(err));
    if (!ladder) {
        vp_ladder_options lo = VP_LADDER_OPTIONS_INIT;
        lo.max_fps = o.max_fps;
        VPI_TRY(vp_ladder_derive(media, &lo, &derived, err));
        ladder = derived;
    }
    plan = vpi_plan_alloc();
    st = plan ? fill(context, plan, &media->m, ladder, &o, seed, err) : vpi_fail_nomem(err);
    vp_ladder_unref(derived);
    vpi_error_op(err, "plan");
    if (st < 0) {
        vp_plan_unref(plan);
        return st;
    }
    *out = plan;
    return VP_OK;
}

vp_status vp_plan_new(vp_context *context, const vp_media *media, const vp_ladder *ladder,
                      const vp_transcode_options *options, vp_plan **out, vp_error *err)
{
    return vpi_plan_new(context, media, ladder, options, NULL, out, err);
}
