/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "media/frame_int.h"

#define MAX_SIDE 16384u
/* NAL types that stay in a sample: coded slices (ITU-T H.264 table 7-1). */
#define LAST_SLICE_NAL 5
#define MAX_KBPS 2000000u
#define MAX_AQ_STRENGTH_MILLI 3000u
#define MAX_SUBME 11u
#define PASS_BFRAMES 3
#define MAX_LOOKAHEAD 250u /* X264_LOOKAHEAD_MAX, which x264.h does not tell */

struct vpi_h264enc {
    vp_context *context;
    x264_t *x264;
    uint8_t *sps, *pps;
    size_t sps_size, pps_size;
    uint32_t reorder;
    int64_t last_pts;
    bool started, flushing;
    int width, height;
};

static bool known(const char *const *names, const char *name)
{
    for (; *names; names++) {
        if (strcmp(*names, name) == 0) return true;
    }
    return false;
}

/* x264's own lines: most are of interest only to who looks for them. It has no way to hand a context through
 * x264_param_default_preset, which is why names are checked before: it would print. */
static void log_line(void *opaque, int level, const char *format, va_list args)
{
    char text[256];
    size_t n;

    if (vsnprintf(text, sizeof(text), format, args) < 0) return;
    n = strlen(text);
    while (n > 0 && text[n - 1] == '\n') text[--n] = 0;
    vpi_log(opaque, level <= X264_LOG_ERROR ? VP_LOG_WARN : VP_LOG_DEBUG, "x264", "%s", text);
}

/* ---- options ---- */

static vp_status check_options(const vpi_h264enc_options *o, vp_error *err)
{
    if (!o->width || !o->height || o->width > MAX_SIDE || o->height > MAX_SIDE || o->width % 2 ||
        o->height % 2) {
        return vpi_fail(err, VP_E_ARG, NULL, "H.264 pictures of %ux%u", o->width, o->height);
    }
    if (!o->fps_num || !o->fps_den || !o->timebase_num || !o->timebase_den) {
        return vpi_fail(err, VP_E_ARG, NULL, "the encoder needs a frame rate and a time base");
    }
    if (!memchr(o->preset, 0, sizeof(o->preset)) || !known(x264_preset_names, o->preset)) {
        return vpi_fail(err, VP_E_ARG, NULL, "x264 has no preset \"%.16s\"", o->preset);
    }
    if (strcmp(o->profile, "high") && strcmp(o->profile, "main") && strcmp(o->profile, "baseline")) {
        return vpi_fail(err, VP_E_ARG, NULL, "no H.264 profile \"%.16s\"", o->profile);
    }
    if (o->pass > VPI_PASS_SECOND || (o->pass == VPI_PASS_FIRST && !o->stats) ||
        (o->pass == VPI_PASS_FIRST && o->abr) || (o->pass == VPI_PASS_SECOND && !o->abr)) {
        return vpi_fail(err, VP_E_ARG, NULL, "a pass of the encoder without what it needs");
    }
    if (o->qp > 51 || (o->qp && o->pass != VPI_PASS_SINGLE)) {
        return vpi_fail(err, VP_E_ARG, NULL, "a constant quantiser of %u", o->qp);
    }
    if (o->abr && (!o->kbps || o->kbps > MAX_KBPS)) {
        return vpi_fail(err, VP_E_ARG, NULL, "rate of %u kbit/s", o->kbps);
    }
    if (o->maxrate_kbps > MAX_KBPS || o->bufsize_kbit > MAX_KBPS || o->crf_milli > 51000 || o->trellis > 2 ||
        o->aq_mode > X264_AQ_AUTOVARIANCE_BIASED || o->aq_strength_milli > MAX_AQ_STRENGTH_MILLI ||
        o->subme > MAX_SUBME || o->inter > VPI_INTER_P8X8) {
        return vpi_fail(err, VP_E_ARG, NULL, "rate control values are out of range");
    }
    return VP_OK;
}

/* The picture buffer of the level bounds the reference frames (table A-1), as the x264 tool does it. */
static void fit_level(x264_param_t *p)
{
    int mbs = ((p->i_width + 15) / 16) * ((p->i_height + 15) / 16);
    const x264_level_t *level;

    for (level = x264_levels; level->level_idc; level++) {
        if (level->level_idc != p->i_level_idc) continue;
        while (mbs * p->i_frame_reference > level->dpb && p->i_frame_reference > 1) p->i_frame_reference--;
        return;
    }
}

static void set_rate(x264_param_t *p, const vpi_h264enc_options *o)
{
    p->rc.i_rc_method = o->abr ? X264_RC_ABR : X264_RC_CRF;
    if (o->abr) {
        p->rc.i_bitrate = (int)o->kbps;
    } else {
        p->rc.f_rf_constant = (float)o->crf_milli / 1000.0f;
    }
    p->rc.i_vbv_max_bitrate = (int)o->maxrate_kbps;
    p->rc.i_vbv_buffer_size = (int)o->bufsize_kbit;
    p->rc.i_lookahead = (int)VPI_MIN(o->lookahead, MAX_LOOKAHEAD);
    p->i_nal_hrd = X264_NAL_HRD_NONE;
    if (!o->qp) return;
    p->rc.i_rc_method = X264_RC_CQP;
    p->rc.i_qp_constant = (int)o->qp;
    p->rc.f_ip_factor = 1;
    p->i_bframe = 0;
    p->rc.i_lookahead = 0;
    p->analyse.i_weighted_pred = X264_WEIGHTP_NONE;
}

/* The second pass checks that these are as in the first; presets differ in them. */
static void set_pass(x264_param_t *p, const vpi_h264enc_options *o)
{
    if (o->pass == VPI_PASS_SINGLE) return;
    p->i_bframe = PASS_BFRAMES;
    p->i_bframe_adaptive = X264_B_ADAPT_TRELLIS; /* of the first pass alone, which is small */
    p->i_bframe_pyramid = X264_B_PYRAMID_NORMAL;
    p->rc.b_mb_tree = 1;
    if (p->rc.i_aq_mode == X264_AQ_NONE) p->rc.i_aq_mode = X264_AQ_VARIANCE;
    p->rc.i_lookahead = VPI_MAX(p->rc.i_lookahead, 1); /* without any x264 gives the tree up */
    p->rc.b_stat_write = o->pass == VPI_PASS_FIRST;
    p->rc.b_stat_read = o->pass == VPI_PASS_SECOND && o->stats;
    if (!o->stats) return;
    p->rc.psz_stat_out = p->rc.psz_stat_in = (char *)(uintptr_t)o->stats; /* x264 copies both */
}

static vp_status set_params(x264_param_t *p, const vpi_h264enc_options *o, vp_context *context, vp_error *err)
{
    if (x264_param_default_preset(p, o->preset, NULL) < 0) {
        return vpi_fail(err, VP_E_ARG, NULL, "x264 refuses the preset \"%s\"", o->preset);
    }
    /* One thread, and nothing that depends on the machine: with VBV other thread counts give other bytes. */
    p->i_threads = 1;
    p->i_lookahead_threads = 1;
    p->b_sliced_threads = 0;
    p->i_sync_lookahead = 0;
    p->b_deterministic = 1;
    p->b_cpu_independent = 1;

    p->i_csp = X264_CSP_I420;
    p->i_width = (int)o->width;
    p->i_height = (int)o->height;
    p->i_fps_num = o->fps_num;
    p->i_fps_den = o->fps_den;
    p->i_timebase_num = o->timebase_num;
    p->i_timebase_den = o->timebase_den;
    p->b_vfr_input = o->variable;

    /* The caller places the IDRs. keyint_min 1 lets it force one at any frame. */
    p->i_keyint_max = o->keyint_max ? (int)VPI_MIN(o->keyint_max, (uint32_t)X264_KEYINT_MAX_INFINITE)
                                    : X264_KEYINT_MAX_INFINITE;
    p->i_keyint_min = 1;
    p->i_scenecut_threshold = 0;
    p->b_open_gop = 0;
    p->b_intra_refresh = 0;
    /* Equal on all passes and rungs, else statistics of one do not fit the other. */
    p->analyse.i_weighted_pred = X264_WEIGHTP_SIMPLE;
    if (o->trellis >= 0) p->analyse.i_trellis = o->trellis;
    if (o->aq_mode) p->rc.i_aq_mode = (int)o->aq_mode;
    if (o->aq_strength_milli) p->rc.f_aq_strength = (float)o->aq_strength_milli / 1000.0f;
    if (o->subme) p->analyse.i_subpel_refine = (int)o->subme;
    if (o->inter) p->analyse.inter &= ~(unsigned)(X264_ANALYSE_PSUB8x8 | X264_ANALYSE_BSUB16x16);
    if (o->inter == VPI_INTER_16X16) p->analyse.inter &= ~(unsigned)X264_ANALYSE_PSUB16x16;
    set_rate(p, o);
    set_pass(p, o);

    /* Length-prefixed NALs; parameter sets only from x264_encoder_headers, never changed by what is coded. */
    p->b_annexb = 0;
    p->b_repeat_headers = 0;
    p->b_aud = 0;
    p->b_stitchable = 1;
    p->i_level_idc = (int)o->level_idc;

    p->vui.i_sar_width = 1;
    p->vui.i_sar_height = 1;
    p->vui.b_fullrange = 0;
    p->vui.i_colorprim = o->colour.primaries;
    p->vui.i_transfer = o->colour.transfer;
    p->vui.i_colmatrix = o->colour.matrix;

    p->i_log_level = X264_LOG_WARNING;
    p->pf_log = log_line;
    p->p_log_private = context;

    fit_level(p);
    if (x264_param_apply_profile(p, o->profile) < 0) {
        return vpi_fail(err, VP_E_ARG, NULL, "the preset does not fit the profile \"%s\"", o->profile);
    }
    return VP_OK;
}

/* ---- life ---- */

static vp_status keep_set(uint8_t **to, size_t *to_size, const x264_nal_t *nal, vp_error *err)
{
    size_t size = nal->i_payload > 4 ? (size_t)nal->i_payload - 4 : 0;

    if (*to || !size) {
        return vpi_fail(err, VP_E_INTERNAL, NULL, "x264 made parameter sets that are not expected");
    }
    *to = vpi_alloc(size);
    if (!*to) return vpi_fail_nomem(err);
    memcpy(*to, nal->p_payload + 4, size);
    *to_size = size;
    return VP_OK;
}

static vp_status keep_headers(vpi_h264enc *e, vp_error *err)
{
    x264_nal_t *nals = NULL;
    int count = 0, i;

    if (x264_encoder_headers(e->x264, &nals, &count) < 0) {
        return vpi_fail(err, VP_E_INTERNAL, NULL, "x264 makes no headers");
    }
    for (i = 0; i < count; i++) {
        if (nals[i].i_type == NAL_SPS) VPI_TRY(keep_set(&e->sps, &e->sps_size, &nals[i], err));
        if (nals[i].i_type == NAL_PPS) VPI_TRY(keep_set(&e->pps, &e->pps_size, &nals[i], err));
    }
    if (!e->sps || !e->pps) return vpi_fail(err, VP_E_INTERNAL, NULL, "x264 makes no parameter sets");
    return VP_OK;
}

/* x264 leaks the encoder that it was about to open when it cannot open these. */
static vp_status try_stats(const vpi_h264enc_options *o, vp_error *err)
{
    FILE *file;

    if (!o->stats) return VP_OK;
    file = fopen(o->stats, o->pass == VPI_PASS_FIRST ? "wbe" : "rbe");
    if (!file) return vpi_fail_errno(err, errno, o->stats, "statistics of the encoder");
    fclose(file);
    return VP_OK;
}

/* x264 copies them when it opens. */
static vp_status set_zones(x264_param_t *p, const vpi_h264enc_options *o, x264_zone_t **out, vp_error *err)
{
    x264_zone_t *zones;

    *out = NULL;
    if (!o->zone_count) return VP_OK;
    zones = vpi_calloc(o->zone_count, sizeof(*zones));
    if (!zones) return vpi_fail_nomem(err);
    for (size_t i = 0; i < o->zone_count; i++) {
        zones[i].i_start = (int)o->zones[i].first;
        zones[i].i_end = (int)o->zones[i].last;
        zones[i].f_bitrate_factor = o->zones[i].factor;
    }
    p->rc.zones = *out = zones;
    p->rc.i_zones = (int)o->zone_count;
    return VP_OK;
}

vp_status vpi_h264enc_new(vp_context *context, const vpi_h264enc_options *options, vpi_h264enc **out,
                          vp_error *err)
{
    vpi_h264enc *e = NULL;
    x264_zone_t *zones = NULL;
    x264_param_t param;
    vp_status st;

    *out = NULL;
    VPI_TRY(check_options(options, err));
    VPI_TRY(vpi_media_load(err));
    VPI_TRY(set_params(&param, options, context, err));
    VPI_TRY(try_stats(options, err));
    e = vpi_calloc(1, sizeof(*e));
    if (!e) return vpi_fail_nomem(err);
    e->width = param.i_width;
    e->height = param.i_height;
    e->context = vp_context_ref(context);
    VPI_GO(set_zones(&param, options, &zones, err));
    vpi_cpu_enter(context);
    e->x264 = x264_encoder_open(&param);
    vpi_cpu_leave(context);
    vpi_free(zones);
    if (!e->x264 && options->stats) {
        st = vpi_fail(err, VP_E_IO, NULL, "x264 cannot %s statistics of %dx%d at %s",
                      options->pass == VPI_PASS_FIRST ? "write" : "use", e->width, e->height, options->stats);
        goto done;
    }
    if (!e->x264) {
        st = vpi_fail(err, VP_E_NOMEM, NULL, "x264 does not open an encoder for %dx%d", e->width, e->height);
        goto done;
    }
    x264_encoder_parameters(e->x264, &param);
    e->reorder = param.i_bframe_pyramid ? 2 : param.i_bframe ? 1 : 0;
    VPI_GO(keep_headers(e, err));
    *out = e;
    return VP_OK;
done:
    vpi_h264enc_free(e);
    return st;
}

vpi_h264enc *vpi_h264enc_free(vpi_h264enc *e)
{
    if (!e) return NULL;
    if (e->x264) x264_encoder_close(e->x264);
    vpi_free(e->sps);
    vpi_free(e->pps);
    vp_context_unref(e->context);
    vpi_free(e);
    return NULL;
}

void vpi_h264enc_headers(const vpi_h264enc *e, const uint8_t **sps, size_t *sps_size, const uint8_t **pps,
                         size_t *pps_size)
{
    *sps = e->sps;
    *sps_size = e->sps_size;
    *pps = e->pps;
    *pps_size = e->pps_size;
}

uint32_t vpi_h264enc_reorder(const vpi_h264enc *e)
{
    return e->reorder;
}

/* ---- coding ---- */

static vp_status fill_picture(vpi_h264enc *e, const vpi_frame *frame, int64_t pts, bool force_idr,
                              x264_picture_t *picture, vp_error *err)
{
    const AVFrame *av = frame->av;
    int i;

    if (av->width != e->width || av->height != e->height || av->format != AV_PIX_FMT_YUV420P) {
        return vpi_fail(err, VP_E_ARG, NULL, "a frame of %dx%d in an encoder of %dx%d", av->width, av->height,
                        e->width, e->height);
    }
    if (e->flushing) return vpi_fail(err, VP_E_STATE, NULL, "the encoder is being flushed");
    if (e->started && pts <= e->last_pts) {
        return vpi_fail(err, VP_E_ARG, NULL, "a frame at %lld after one at %lld", (long long)pts,
                        (long long)e->last_pts);
    }
    x264_picture_init(picture);
    picture->i_type = force_idr ? X264_TYPE_IDR : X264_TYPE_AUTO;
    picture->i_pts = pts;
    picture->img.i_csp = X264_CSP_I420;
    picture->img.i_plane = 3;
    for (i = 0; i < 3; i++) {
        picture->img.plane[i] = av->data[i];
        picture->img.i_stride[i] = av->linesize[i];
    }
    e->started = true;
    e->last_pts = pts;
    return VP_OK;
}

/*
 * NALs lie one after the other; what is no slice (user data, fillers) is closed up. Returns the bytes left.
 */
static size_t slices_only(const x264_nal_t *nals, int count)
{
    uint8_t *to = nals[0].p_payload;
    int i;

    for (i = 0; i < count; i++) {
        if (nals[i].i_type > LAST_SLICE_NAL) continue;
        if (to != nals[i].p_payload) memmove(to, nals[i].p_payload, (size_t)nals[i].i_payload);
        to += nals[i].i_payload;
    }
    return (size_t)(to - nals[0].p_payload);
}

vp_status vpi_h264enc_encode(vpi_h264enc *e, vpi_frame *frame, int64_t pts, bool force_idr, vpi_coded *coded,
                             vp_error *err)
{
    x264_picture_t in, out;
    x264_nal_t *nals = NULL;
    int count = 0, size, delayed;

    *coded = (vpi_coded){ 0 };
    if (frame) VPI_TRY(fill_picture(e, frame, pts, force_idr, &in, err));
    if (!frame) e->flushing = true;
    vpi_cpu_enter(e->context);
    do {
        size = x264_encoder_encode(e->x264, &nals, &count, frame ? &in : NULL, &out);
        delayed = x264_encoder_delayed_frames(e->x264);
    } while (!frame && size == 0 && delayed > 0);
    vpi_cpu_leave(e->context);
    if (size < 0) {
        vpi_fail(err, VP_E_INTERNAL, NULL, "x264 failed at the frame at %lld", (long long)pts);
        if (err) err->domain = VP_DOM_X264;
        return VP_E_INTERNAL;
    }
    if (size == 0 || count <= 0) return frame ? VP_AGAIN : VP_END;
    coded->data = nals[0].p_payload;
    coded->size = slices_only(nals, count);
    coded->pts = out.i_pts;
    coded->idr = out.i_type == X264_TYPE_IDR;
    return VP_OK;
}

/*
 * Measured (x264 164, 640x360 to 1920x1080, veryfast to slower, lookahead 0 to 40): what an encoder holds is
 * close to a number of padded pictures with their half-size copies, 2.85 bytes a pixel.
 */
#define MEMORY_PAD 96u
#define MEMORY_PER_PIXEL_100 285u
#define MEMORY_FIXED_PICTURES 12u

uint64_t vpi_h264enc_memory(const vpi_h264enc_options *options)
{
    x264_param_t p;
    uint64_t pictures = MEMORY_FIXED_PICTURES + VPI_MIN(options->lookahead, MAX_LOOKAHEAD);
    uint64_t picture = ((uint64_t)options->width + MEMORY_PAD) * ((uint64_t)options->height + MEMORY_PAD);

    if (check_options(options, NULL) == VP_OK && vpi_media_load(NULL) == VP_OK &&
        set_params(&p, options, NULL, NULL) == VP_OK) {
        pictures += (uint64_t)(p.i_bframe + (p.i_frame_reference + 1) / 2);
    }
    return pictures * picture / 100 * MEMORY_PER_PIXEL_100;
}
