/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "package_codec.h"

#include "media/audio.h"

#define REORDER_MAX 16u
#define SHAPE_MAX 65535 /* of a pixel: what H.264 and HEVC can say */
#define UNSPECIFIED 2   /* ISO/IEC 23091-2 */

/* ---- video ---- */

/* 0: not there at all. */
static bool is_told(unsigned primaries, unsigned transfer, unsigned matrix)
{
    if (!primaries && !transfer) return false;
    return primaries != UNSPECIFIED || transfer != UNSPECIFIED || matrix != UNSPECIFIED;
}

/* Colour by the container, where the bitstream does not tell. */
static void container_colour(vpi_track_setup *s, const vpi_track *t)
{
    if (!t->cicp_primaries || !t->cicp_transfer) return;
    if (!is_told(t->cicp_primaries, t->cicp_transfer, t->cicp_matrix)) return;
    s->primaries = t->cicp_primaries;
    s->transfer = t->cicp_transfer;
    s->matrix = t->cicp_matrix;
}

/* The container's pasp, which players take first, else what the bitstream says. */
static void set_shape(vpi_track_setup *s, const vpi_track *t, uint32_t sar_num, uint32_t sar_den)
{
    vpi_rational shape = { 0, 1 };

    if (t->sar_num && t->sar_den)
        shape = vpi_reduce(t->sar_num, t->sar_den);
    else if (sar_num && sar_den)
        shape = vpi_reduce(sar_num, sar_den);
    if (shape.num == shape.den || shape.num > SHAPE_MAX || shape.den > SHAPE_MAX || !shape.num) return;
    s->sar_num = (uint32_t)shape.num;
    s->sar_den = (uint32_t)shape.den;
}

static vp_status h264_setup(vpi_ready_video *v, const vpi_track *t, vp_error *err)
{
    vpi_track_setup *s = &v->setup;
    vpi_avcc avcc;
    vpi_h264_sps sps;

    VPI_TRY(vpi_avcc_parse(v->config.data, v->config.size, &avcc, err));
    if (!avcc.sps_count)
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                        "H.264 without parameter sets in its avcC");
    VPI_TRY(vpi_h264_sps_parse(&avcc.sps[0], &sps, err));
    s->width = sps.width;
    s->height = sps.height;
    s->full_range = sps.full_range;
    set_shape(s, t, sps.sar_num, sps.sar_den);
    v->nal_length = avcc.length_size;
    if (sps.has_vui && sps.primaries != UNSPECIFIED) {
        s->primaries = sps.primaries;
        s->transfer = sps.transfer;
        s->matrix = sps.matrix;
    }
    v->interlaced = !sps.frame_mbs_only;
    v->reorder = sps.has_reorder ? VPI_MIN(sps.max_reorder_frames, REORDER_MAX) : 0;
    return vpi_codecs_avc(v->config.data, v->config.size, v->codecs, err);
}

static vp_status hevc_setup(vpi_ready_video *v, const vpi_track *t, vp_error *err)
{
    vpi_track_setup *s = &v->setup;
    vpi_hevc_ptl ptl;

    VPI_TRY(vpi_hvcc_parse(v->config.data, v->config.size, &ptl, &v->nal_length, err));
    if (!ptl.width)
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                        "HEVC without parameter sets in its hvcC");
    vpi_hvcc_complete(v->config.data, v->config.size);
    s->width = ptl.width;
    s->height = ptl.height;
    s->full_range = ptl.full_range;
    set_shape(s, t, ptl.sar_num, ptl.sar_den);
    container_colour(s, t);
    if (ptl.has_colour && is_told(ptl.primaries, ptl.transfer, ptl.matrix)) {
        s->primaries = ptl.primaries;
        s->transfer = ptl.transfer;
        s->matrix = ptl.matrix;
    }
    /* general_progressive_source_flag 0, general_interlaced_source_flag 1 */
    v->interlaced = (ptl.constraints[0] & 0xC0) == 0x40;
    v->reorder = VPI_MIN(ptl.reorder, REORDER_MAX);
    return vpi_codecs_hevc(v->config.data, v->config.size, v->codecs, err);
}

/* What the configuration says, its sequence header first. */
static vp_status av1_configure(vpi_ready_video *v, vp_error *err)
{
    vpi_track_setup *s = &v->setup;
    vpi_av1_colour c;

    VPI_TRY(vpi_codecs_av1(v->config.data, v->config.size, v->codecs, err));
    VPI_TRY(vpi_av1_colour_parse(v->config.data + 4, v->config.size - 4, &c, err));
    if (!c.found) return VP_OK;
    s->width = c.width;
    s->height = c.height;
    s->full_range = c.full_range;
    if (c.described && is_told(c.primaries, c.transfer, c.matrix)) {
        s->primaries = c.primaries;
        s->transfer = c.transfer;
        s->matrix = c.matrix;
    }
    return VP_OK;
}

static vp_status av1_setup(vpi_ready_video *v, const vpi_track *t, vp_error *err)
{
    v->setup.width = t->width;
    v->setup.height = t->height;
    set_shape(&v->setup, t, 0, 0);
    container_colour(&v->setup, t);
    return av1_configure(v, err);
}

static vp_status vp9_setup(vpi_ready_video *v, const vpi_track *t, vp_error *err)
{
    vpi_track_setup *s = &v->setup;
    const uint8_t *p = v->config.data;

    VPI_TRY(vpi_codecs_vp9(p, v->config.size, v->codecs, err));
    s->width = t->width;
    s->height = t->height;
    s->full_range = p[2] & 1;
    set_shape(s, t, 0, 0);
    container_colour(s, t);
    if (is_told(p[3], p[4], p[5]) && p[3] && p[4]) {
        s->primaries = p[3];
        s->transfer = p[4];
        s->matrix = p[5];
    }
    return VP_OK;
}

/* The container's configuration may leave the sequence header out: then all are as they are. */
static bool same_sequence(const vpi_ready_video *v, const uint8_t *data, size_t size)
{
    vpi_obu first = { .type = 0 }, own = vpi_av1_sequence(data, size);

    if (v->config.size > 4) first = vpi_av1_sequence(v->config.data + 4, v->config.size - 4);
    if (!first.type || !own.type) return true;
    return first.payload_size == own.payload_size &&
           memcmp(first.payload, own.payload, own.payload_size) == 0;
}

/*
 * Encoders write the configuration before they have settled their tools (SVT-AV1 1.4 does): what the first picture has
 * is what decoders go by, and what the sample entry must tell (AV1-ISOBMFF 2.3.4).
 */
static vp_status take_sequence(vpi_ready_video *v, const uint8_t *data, size_t size, vp_error *err)
{
    unsigned delay = v->config.data[3]; /* initial_presentation_delay */

    if (same_sequence(v, data, size)) return VP_OK;
    vpi_buf_clear(&v->config);
    VPI_TRY(vpi_av1c_write(data, size, &v->config, err));
    if (vpi_buf_failed(&v->config)) return vpi_fail_nomem(err);
    v->config.data[3] = (uint8_t)delay;
    v->setup.config = v->config.data;
    v->setup.config_size = v->config.size;
    return av1_configure(v, err);
}

/* Static metadata of HDR: the bitstream's, then the container's. Also Dolby Vision that no record tells of. */
vp_status vpi_ready_video_head(vpi_ready_video *v, const uint8_t *data, size_t size, vp_error *err)
{
    vpi_track_setup *s = &v->setup;
    vpi_mastering m = { .has_volume = false };
    bool hevc = s->codec == VPI_CODEC_HEVC;

    if (hevc && !is_told(s->primaries, s->transfer, s->matrix) && vpi_hevc_has_rpu(data, size, v->nal_length))
        return vpi_fail(
            err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
            "Dolby Vision (by the metadata of its pictures) whose base layer has no colours told");
    if (hevc) vpi_mastering_hvcc(v->config.data, v->config.size, &m);
    if (s->codec == VPI_CODEC_AV1 && v->config.size > 4)
        vpi_mastering_av1(v->config.data + 4, v->config.size - 4, &m);
    if (s->codec == VPI_CODEC_AV1)
        vpi_mastering_av1(data, size, &m);
    else if (v->nal_length)
        vpi_mastering_h26x(data, size, v->nal_length, hevc, &m);
    if (s->codec == VPI_CODEC_VP9) VPI_TRY(vpi_vp9_parse(data, size, &v->vp9, err));
    vpi_mastering_merge(&m, &s->mastering);
    s->mastering = m;
    return s->codec == VPI_CODEC_AV1 ? take_sequence(v, data, size, err) : VP_OK;
}

static bool same_vp9(const vpi_vp9 *a, const uint8_t *data, size_t size)
{
    vpi_vp9 b;

    if (vpi_vp9_parse(data, size, &b, NULL) != VP_OK || !b.key) return true;
    return a->profile == b.profile && a->bit_depth == b.bit_depth && a->width == b.width &&
           a->height == b.height && a->full_range == b.full_range && a->colour_space == b.colour_space &&
           a->subsampling_x == b.subsampling_x && a->subsampling_y == b.subsampling_y;
}

vp_status vpi_ready_video_same(const vpi_ready_video *v, const uint8_t *data, size_t size, vp_error *err)
{
    bool same = true, sets = false;

    if (v->nal_length)
        vpi_ready_point(v->setup.codec, v->nal_length, data, size, &sets);
    else if (v->setup.codec == VPI_CODEC_AV1)
        same = same_sequence(v, data, size);
    else
        same = same_vp9(&v->vp9, data, size);
    if (same && !sets) return VP_OK;
    return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "%s: the %s change within the stream",
                    v->name, v->nal_length ? "parameter sets" : "size or format of the pictures");
}

/* Timescale of the output: the source's ticks are kept, so that every time stays exact. */
static vp_status set_timescale(vpi_track_setup *s, vpi_rational tb, vp_error *err)
{
    if (tb.num != 1 || tb.den > INT32_MAX)
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "a time base of %lld/%lld",
                        (long long)tb.num, (long long)tb.den);
    s->timescale = (uint32_t)tb.den;
    return VP_OK;
}

vp_status vpi_ready_video_setup(vpi_ready_video *v, const vpi_track *t, vp_error *err)
{
    vp_status st;

    /* Many players of segments show such pictures as they are coded. */
    if (t->rotation || t->flipped)
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                        "a picture that the container turns or mirrors: it has to be transcoded (publish)");
    v->setup = (vpi_track_setup){ .kind = VPI_KIND_VIDEO,
                                  .codec = t->codec,
                                  .config = v->config.data,
                                  .config_size = v->config.size,
                                  .language = "und" };
    v->setup.mastering = (vpi_mastering){ .has_volume = t->has_mdcv, .has_light = t->has_clli };
    memcpy(v->setup.mastering.volume, t->mdcv, sizeof(t->mdcv));
    memcpy(v->setup.mastering.light, t->clli, sizeof(t->clli));
    v->fps = t->frame_rate; /* the scan looks where it is not known */
    switch (t->codec) {
    case VPI_CODEC_H264:
        st = h264_setup(v, t, err);
        break;
    case VPI_CODEC_HEVC:
        st = hevc_setup(v, t, err);
        break;
    case VPI_CODEC_AV1:
        st = av1_setup(v, t, err);
        break;
    case VPI_CODEC_VP9:
        st = vp9_setup(v, t, err);
        break;
    default:
        st = vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "%s cannot be packaged", t->codec_name);
        break;
    }
    return st < 0 ? st : set_timescale(&v->setup, v->tb, err);
}

/* ---- audio ---- */

/*
 * SBR that only the frames show (libavcodec has decoded one): it is signalled, so that players need not find out after
 * they have begun.
 */
static vp_status signal_sbr(vpi_ready_audio *a, const vpi_track *t, vpi_asc *asc, vp_error *err)
{
    bool ps = asc->channels == 1 && t->channels == 2;
    uint8_t config[7];
    size_t size;

    if (asc->object_type != 2 || asc->sbr || t->sample_rate != 2 * asc->sample_rate ||
        !vpi_asc_write_sbr(asc, ps, config, &size))
        return VP_OK;
    vpi_buf_clear(&a->config);
    vpi_buf_add(&a->config, config, size);
    if (vpi_buf_failed(&a->config)) return vpi_fail_nomem(err);
    return vpi_asc_parse(a->config.data, a->config.size, asc, err);
}

static vp_status aac_setup(vpi_ready_audio *a, const vpi_track *t, vpi_sound *sound, vpi_asc *asc,
                           vp_error *err)
{
    uint8_t frame[VPI_AAC_SILENCE_MAX];
    size_t size;

    VPI_TRY(vpi_asc_parse(a->config.data, a->config.size, asc, err));
    /* Few of its frames can be decoded on their own (ISO/IEC 23003-3), which segments begin with. */
    if (asc->core_object_type == 42)
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "xHE-AAC cannot be packaged");
    VPI_TRY(signal_sbr(a, t, asc, err));
    *sound = (vpi_sound){ .sample_rate = asc->sample_rate,
                          .channels = asc->ps && asc->channels == 1 ? 2
                                      : asc->channels               ? asc->channels
                                                                    : t->channels,
                          .frame_samples = asc->frame_samples ? asc->frame_samples : 1024 };
    if (asc->core_object_type == 2 && vpi_aac_silence(asc->channel_config, frame, &size))
        vpi_buf_add(&a->silence, frame, size);
    return vpi_codecs_aac(a->config.data, a->config.size, a->codecs, err);
}

/* One CELT frame of 20 ms without a coded sample (RFC 6716 4.3: the silence flag), mono: any stream may hold it. */
static void opus_silence(vpi_ready_audio *a, const vpi_sound *sound)
{
    static const uint8_t frame[] = { 0xF8, 0xFF, 0xFE };

    if (sound->family != 0) return; /* several streams in a packet */
    vpi_buf_add(&a->silence, frame, sizeof(frame));
}

/* Of one substream, which decoders take in place of any other frame; a libavcodec without encoders makes none. */
static vp_status ac3_silence(vpi_ready_audio *a, const vpi_sound *sound, bool eac3, vp_error *err)
{
    vpi_ac3 like = { .eac3 = eac3,
                     .sample_rate = sound->sample_rate,
                     .bit_rate = sound->bit_rate,
                     .acmod = sound->acmod,
                     .lfe = sound->lfe };
    if (sound->substreams != 1) return VP_OK;
    vp_status st = vpi_ac3_silence(&like, &a->silence, NULL);
    if (st == VP_E_NOMEM) return vpi_fail_nomem(err);
    if (st < 0) vpi_buf_clear(&a->silence);
    return VP_OK;
}

vp_status vpi_ready_audio_setup(vpi_ready_audio *a, const vpi_track *t, vp_error *err)
{
    const uint8_t *config = a->config.data;
    size_t size = a->config.size;
    vpi_sound sound = { 0 };
    vpi_asc asc = { 0 };

    vpi_buf_clear(&a->silence);
    switch (t->codec) {
    case VPI_CODEC_AAC:
        VPI_TRY(aac_setup(a, t, &sound, &asc, err));
        break;
    case VPI_CODEC_AC3:
        VPI_TRY(vpi_dac3_parse(config, size, &sound, err));
        VPI_TRY(ac3_silence(a, &sound, false, err));
        vpi_strlcpy(a->codecs, "ac-3", sizeof(a->codecs));
        break;
    case VPI_CODEC_EAC3:
        VPI_TRY(vpi_dec3_parse(config, size, &sound, err));
        VPI_TRY(ac3_silence(a, &sound, true, err));
        vpi_strlcpy(a->codecs, "ec-3", sizeof(a->codecs));
        break;
    case VPI_CODEC_OPUS:
        VPI_TRY(vpi_dops_parse(config, size, &sound, err));
        vpi_strlcpy(a->codecs, "Opus", sizeof(a->codecs));
        opus_silence(a, &sound);
        break;
    case VPI_CODEC_FLAC:
        VPI_TRY(vpi_dfla_parse(config, size, &sound, err));
        vpi_strlcpy(a->codecs, "fLaC", sizeof(a->codecs));
        break;
    default:
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "%s cannot be packaged", t->codec_name);
    }
    if (!sound.sample_rate) sound.sample_rate = t->sample_rate;
    if (!sound.sample_rate || !sound.channels)
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s of %u Hz and %u channels", t->codec_name,
                        (unsigned)sound.sample_rate, (unsigned)sound.channels);
    if (vpi_buf_failed(&a->silence)) return vpi_fail_nomem(err);
    a->frame_samples = sound.frame_samples;
    a->pre_skip = sound.pre_skip;
    a->setup = (vpi_track_setup){ .kind = VPI_KIND_AUDIO,
                                  .codec = t->codec,
                                  .timescale = sound.sample_rate,
                                  .config = a->config.data,
                                  .config_size = a->config.size,
                                  .sample_rate = asc.sbr ? asc.ext_sample_rate : sound.sample_rate,
                                  .channels = sound.channels,
                                  .kbps = t->bit_rate / 1000 };
    return VP_OK;
}

uint32_t vpi_ready_frame(const vpi_ready_audio *a, const uint8_t *data, size_t size)
{
    switch (a->setup.codec) {
    case VPI_CODEC_OPUS:
        return vpi_opus_samples(data, size);
    case VPI_CODEC_FLAC:
        return vpi_flac_samples(data, size);
    case VPI_CODEC_AC3:
    case VPI_CODEC_EAC3:
        return vpi_ac3_samples(data, size);
    default:
        return a->frame_samples;
    }
}

const char *vpi_ready_family(vpi_codec codec)
{
    switch (codec) {
    case VPI_CODEC_AC3:
        return "ac-3";
    case VPI_CODEC_EAC3:
        return "ec-3";
    case VPI_CODEC_OPUS:
        return "opus";
    case VPI_CODEC_FLAC:
        return "flac";
    default:
        return "aac";
    }
}
