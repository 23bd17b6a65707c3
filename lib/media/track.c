/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "media/reader_int.h"
#include "media/turn_int.h"

#include "bitstream/bitstream.h"

#define SAR_MAX 1000u /* wilder shapes are damage, not pictures */
#define SETS_MAX 16u  /* parameter sets taken from Annex B extradata */

/* The fields of these names are enum values from libav*, possibly newer than the name table: NULL is
 * unknown. */
static const char *or_unknown(const char *name)
{
    return name && strcmp(name, "reserved") != 0 ? name : "unknown";
}

static void fill_colour(vpi_track *t, const AVCodecParameters *par)
{
    vpi_strlcpy(t->primaries, or_unknown(av_color_primaries_name(par->color_primaries)),
                sizeof(t->primaries));
    vpi_strlcpy(t->transfer, or_unknown(av_color_transfer_name(par->color_trc)), sizeof(t->transfer));
    vpi_strlcpy(t->matrix, or_unknown(av_color_space_name(par->color_space)), sizeof(t->matrix));
    t->cicp_primaries = (uint8_t)VPI_CLAMP((int)par->color_primaries, 0, 255);
    t->cicp_transfer = (uint8_t)VPI_CLAMP((int)par->color_trc, 0, 255);
    t->cicp_matrix = (uint8_t)VPI_CLAMP((int)par->color_space, 0, 255);
    t->full_range = -1;
    vpi_strlcpy(t->range, "unknown", sizeof(t->range));
    if (par->color_range == AVCOL_RANGE_MPEG) {
        t->full_range = 0;
        vpi_strlcpy(t->range, "limited", sizeof(t->range));
    } else if (par->color_range == AVCOL_RANGE_JPEG) {
        t->full_range = 1;
        vpi_strlcpy(t->range, "full", sizeof(t->range));
    }
}

/* Its record, or a sample entry that it alone has (Dolby Vision Streams within the ISO Base Media File Format). */
static bool fill_dolby_vision(vpi_track *t, const AVStream *stream)
{
    static const uint32_t entries[] = { MKTAG('d', 'v', 'h', '1'), MKTAG('d', 'v', 'h', 'e'),
                                        MKTAG('d', 'v', 'a', '1'), MKTAG('d', 'v', 'a', 'v'),
                                        MKTAG('d', 'a', 'v', '1') };
    AVDOVIDecoderConfigurationRecord record = { 0 };
    size_t size;
    const uint8_t *data = vpi_libav_side_data(stream, AV_PKT_DATA_DOVI_CONF, &size);

    if (data) {
        memcpy(&record, data, VPI_MIN(size, sizeof(record)));
        t->dv_profile = record.dv_profile;
        t->dv_compatibility = record.dv_bl_signal_compatibility_id;
        return true;
    }
    for (size_t i = 0; i < VPI_COUNT(entries); i++)
        if (stream->codecpar->codec_tag == entries[i]) return true;
    return false;
}

static uint32_t in_units(AVRational v, int64_t units)
{
    if (v.num < 0 || v.den <= 0) return 0;
    return (uint32_t)VPI_MIN(vpi_rescale(v.num, units, v.den, VPI_NEAREST), (int64_t)UINT32_MAX);
}

static void read_mastering(const AVStream *stream, vpi_mastering *m)
{
    const void *data;
    AVMasteringDisplayMetadata volume = { .has_luminance = 0 };
    AVContentLightMetadata light = { 0 };
    uint32_t points[8];
    size_t size;

    data = vpi_libav_side_data(stream, AV_PKT_DATA_MASTERING_DISPLAY_METADATA, &size);
    if (data) memcpy(&volume, data, VPI_MIN(size, sizeof(volume)));
    for (size_t i = 0; i < 8; i++)
        points[i] =
            in_units(i < 6 ? volume.display_primaries[i / 2][i % 2] : volume.white_point[i - 6], 50000);
    if (volume.has_primaries && volume.has_luminance) {
        vpi_mastering_set_volume(m, points, in_units(volume.max_luminance, 10000),
                                 in_units(volume.min_luminance, 10000));
    }
    data = vpi_libav_side_data(stream, AV_PKT_DATA_CONTENT_LIGHT_LEVEL, &size);
    if (!data) return;
    memcpy(&light, data, VPI_MIN(size, sizeof(light)));
    vpi_mastering_set_light(m, light.MaxCLL, light.MaxFALL);
}

static void fill_mastering(vpi_track *t, const AVStream *stream)
{
    vpi_mastering m = { .has_volume = false };

    read_mastering(stream, &m);
    t->has_mdcv = m.has_volume;
    t->has_clli = m.has_light;
    memcpy(t->mdcv, m.volume, sizeof(t->mdcv));
    memcpy(t->clli, m.light, sizeof(t->clli));
}

static void fill_pixels(vpi_track *t, const AVStream *stream)
{
    const AVCodecParameters *par = stream->codecpar;
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get((enum AVPixelFormat)par->format);
    const char *hdr = "none", *chroma = "";

    if (d) {
        t->bit_depth = (uint32_t)d->comp[0].depth;
        if (d->flags & AV_PIX_FMT_FLAG_RGB)
            chroma = "4:4:4";
        else if (d->nb_components < 3)
            chroma = "4:0:0";
        else if (d->log2_chroma_w == 1 && d->log2_chroma_h == 1)
            chroma = "4:2:0";
        else if (d->log2_chroma_w == 1 && d->log2_chroma_h == 0)
            chroma = "4:2:2";
        else if (d->log2_chroma_w == 0 && d->log2_chroma_h == 0)
            chroma = "4:4:4";
        else if (d->log2_chroma_w == 0 && d->log2_chroma_h == 1)
            chroma = "4:4:0";
        else if (d->log2_chroma_w == 2 && d->log2_chroma_h == 0)
            chroma = "4:1:1";
        else if (d->log2_chroma_w == 2 && d->log2_chroma_h == 2)
            chroma = "4:1:0";
    }
    vpi_strlcpy(t->chroma, chroma, sizeof(t->chroma));
    if (par->color_trc == AVCOL_TRC_SMPTE2084) hdr = "pq";
    if (par->color_trc == AVCOL_TRC_ARIB_STD_B67) hdr = "hlg";
    if (fill_dolby_vision(t, stream)) hdr = "dolbyvision";
    vpi_strlcpy(t->hdr, hdr, sizeof(t->hdr));
}

static void fill_rotation(vpi_track *t, const AVStream *stream)
{
    size_t size = 0;
    const uint8_t *data = vpi_libav_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
    int32_t m[9];
    vpi_turn turn;

    if (!data || size < sizeof(m)) return;
    memcpy(m, data, sizeof(m));
    turn = vpi_turn_of(m);
    t->rotation = turn.rotation;
    t->flipped = turn.flipped;
}

static void fill_display(vpi_track *t, const AVStream *stream)
{
    AVRational sar = stream->sample_aspect_ratio;
    uint64_t w = t->width, h = t->height, n, d;

    /* The container's shape wins: it is what an editor or a remuxer set last. */
    if (sar.num <= 0 || sar.den <= 0) sar = stream->codecpar->sample_aspect_ratio;
    t->sar_num = t->sar_den = 1;
    if (sar.num > 0 && sar.den > 0) {
        n = (uint64_t)sar.num;
        d = (uint64_t)sar.den;
        /* Within 1 % of square is a rounding of the writer. */
        if ((n > d ? n - d : d - n) * 100 > d && n <= d * SAR_MAX && d <= n * SAR_MAX) {
            t->sar_num = (uint32_t)n;
            t->sar_den = (uint32_t)d;
        }
    }
    /* Stretch, never shrink: no line or column is lost. */
    if (t->sar_num > t->sar_den) w = (uint64_t)vpi_rescale((int64_t)w, t->sar_num, t->sar_den, VPI_NEAREST);
    if (t->sar_num < t->sar_den) h = (uint64_t)vpi_rescale((int64_t)h, t->sar_den, t->sar_num, VPI_NEAREST);
    w = VPI_MIN(w, UINT32_MAX);
    h = VPI_MIN(h, UINT32_MAX);
    t->display_width = (uint32_t)(t->rotation % 180 ? h : w);
    t->display_height = (uint32_t)(t->rotation % 180 ? w : h);
}

vp_status vpi_track_avcc(const uint8_t *data, size_t size, unsigned length_size, vpi_buf *out, vp_error *err)
{
    vpi_nal sps[SETS_MAX], pps[SETS_MAX], nal;
    size_t at = 0, n_sps = 0, n_pps = 0;
    bool bad = false;

    while (length_size ? vpi_avcc_next(data, size, length_size, &at, &nal, &bad)
                       : vpi_annexb_next(data, size, &at, &nal)) {
        if (vpi_h264_type(&nal) == VPI_H264_SPS && n_sps < SETS_MAX) sps[n_sps++] = nal;
        if (vpi_h264_type(&nal) == VPI_H264_PPS && n_pps < SETS_MAX) pps[n_pps++] = nal;
    }
    if (!n_sps || !n_pps) return VP_AGAIN;
    VPI_TRY(vpi_avcc_write(sps, n_sps, pps, n_pps, out, err));
    return vpi_buf_failed(out) ? vpi_fail_nomem(err) : VP_OK;
}

static void h264_string(vpi_track *t, const AVCodecParameters *par)
{
    vpi_buf b = { 0 };

    if (par->extradata_size > 0 && par->extradata[0] == 1) {
        vpi_codecs_avc(par->extradata, (size_t)par->extradata_size, t->codecs, NULL);
        return;
    }
    if (par->extradata_size > 0 &&
        vpi_track_avcc(par->extradata, (size_t)par->extradata_size, 0, &b, NULL) == VP_OK) {
        vpi_codecs_avc(b.data, b.size, t->codecs, NULL);
    }
    vpi_buf_dispose(&b);
}

void vpi_track_vpcc(const vpi_track *t, const AVStream *stream, uint8_t out[8])
{
    const AVCodecParameters *par = stream->codecpar;
    vpi_rational rate = { stream->avg_frame_rate.num, stream->avg_frame_rate.den };
    unsigned chroma = strcmp(t->chroma, "4:2:2") == 0 ? 2 : strcmp(t->chroma, "4:4:4") == 0 ? 3 : 1;

    memset(out, 0, 8);
    out[0] = (uint8_t)(par->profile >= 0 && par->profile <= 3 ? par->profile : 0);
    out[1] =
        (uint8_t)(par->level > 0 && par->level < 100 ? (unsigned)par->level
                                                     : vpi_vp9_level((uint64_t)t->width * t->height, rate));
    out[2] = (uint8_t)((t->bit_depth ? t->bit_depth : 8) << 4 | chroma << 1 | (t->full_range == 1));
    out[3] = t->cicp_primaries;
    out[4] = t->cicp_transfer;
    out[5] = t->cicp_matrix;
}

static void aac_string(vpi_track *t, const AVCodecParameters *par)
{
    int type = par->profile >= 0 && par->profile < 64 ? par->profile + 1 : 2;

    if (par->extradata_size >= 2 &&
        vpi_codecs_aac(par->extradata, (size_t)par->extradata_size, t->codecs, NULL) >= 0) {
        return;
    }
    snprintf(t->codecs, sizeof(t->codecs), "mp4a.40.%d", type);
}

static void fill_codec_string(vpi_track *t, const AVStream *stream)
{
    const AVCodecParameters *par = stream->codecpar;
    const uint8_t *extra = par->extradata;
    size_t size = par->extradata_size > 0 ? (size_t)par->extradata_size : 0;
    uint8_t vpcc[8];

    t->codecs[0] = 0;
    switch (t->codec) {
    case VPI_CODEC_H264:
        h264_string(t, par);
        break;
    case VPI_CODEC_HEVC:
        if (size && extra[0] == 1) vpi_codecs_hevc(extra, size, t->codecs, NULL);
        break;
    case VPI_CODEC_AV1:
        if (size) vpi_codecs_av1(extra, size, t->codecs, NULL);
        break;
    case VPI_CODEC_VP9:
        vpi_track_vpcc(t, stream, vpcc);
        vpi_codecs_vp9(vpcc, sizeof(vpcc), t->codecs, NULL);
        break;
    case VPI_CODEC_AAC:
        aac_string(t, par);
        break;
    case VPI_CODEC_AC3:
        vpi_strlcpy(t->codecs, "ac-3", sizeof(t->codecs));
        break;
    case VPI_CODEC_EAC3:
        vpi_strlcpy(t->codecs, "ec-3", sizeof(t->codecs));
        break;
    case VPI_CODEC_OPUS:
        vpi_strlcpy(t->codecs, "opus", sizeof(t->codecs));
        break;
    case VPI_CODEC_FLAC:
        vpi_strlcpy(t->codecs, "fLaC", sizeof(t->codecs));
        break;
    case VPI_CODEC_MP3:
        vpi_strlcpy(t->codecs, "mp4a.40.34", sizeof(t->codecs));
        break;
    default:
        break;
    }
}

static void fill_video(vpi_track *t, const AVStream *stream)
{
    const AVCodecParameters *par = stream->codecpar;

    t->width = par->width > 0 ? (uint32_t)par->width : 0;
    t->height = par->height > 0 ? (uint32_t)par->height : 0;
    t->attached_picture = (stream->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0;
    /* Names are "coded first, shown first". */
    if (par->field_order == AV_FIELD_TT || par->field_order == AV_FIELD_BT) t->order = VPI_SCAN_TOP_FIRST;
    if (par->field_order == AV_FIELD_BB || par->field_order == AV_FIELD_TB) t->order = VPI_SCAN_BOTTOM_FIRST;
    t->interlaced = t->order != VPI_SCAN_PROGRESSIVE;
    t->has_b_frames = par->video_delay > 0;
    t->variable = -1;
    t->frame_rate = (vpi_rational){ 0, 1 };
    fill_colour(t, par);
    fill_pixels(t, stream);
    fill_mastering(t, stream);
    fill_rotation(t, stream);
    fill_display(t, stream);
}

static void fill_audio(vpi_track *t, const AVCodecParameters *par)
{
    t->sample_rate = par->sample_rate > 0 ? (uint32_t)par->sample_rate : 0;
    t->channels = par->ch_layout.nb_channels > 0 ? (uint32_t)par->ch_layout.nb_channels : 0;
    if (par->initial_padding > 0) t->skip_samples = (uint32_t)par->initial_padding;
    vpi_strlcpy(t->layout, "unknown", sizeof(t->layout));
    if (par->ch_layout.order == AV_CHANNEL_ORDER_NATIVE) {
        av_channel_layout_describe(&par->ch_layout, t->layout, sizeof(t->layout));
    }
}

static vpi_kind kind_of(const AVStream *stream)
{
    switch (stream->codecpar->codec_type) {
    case AVMEDIA_TYPE_VIDEO:
        return VPI_KIND_VIDEO;
    case AVMEDIA_TYPE_AUDIO:
        return VPI_KIND_AUDIO;
    case AVMEDIA_TYPE_SUBTITLE:
        return VPI_KIND_TEXT;
    default:
        return VPI_KIND_OTHER;
    }
}

static void fill_name(vpi_track *t, const AVCodecParameters *par)
{
    const AVCodecDescriptor *d = avcodec_descriptor_get(par->codec_id);
    char tag[AV_FOURCC_MAX_STRING_SIZE];

    if (d) {
        vpi_strlcpy(t->codec_name, d->name, sizeof(t->codec_name));
    } else if (par->codec_tag) {
        vpi_strlcpy(t->codec_name, av_fourcc_make_string(tag, par->codec_tag), sizeof(t->codec_name));
    } else {
        vpi_strlcpy(t->codec_name, "unknown", sizeof(t->codec_name));
    }
}

bool vpi_track_encrypted(const AVStream *stream)
{
    size_t size;
    uint32_t tag = stream->codecpar->codec_tag;

    return vpi_libav_side_data(stream, AV_PKT_DATA_ENCRYPTION_INIT_INFO, &size) != NULL ||
           tag == MKTAG('e', 'n', 'c', 'v') || tag == MKTAG('e', 'n', 'c', 'a') ||
           tag == MKTAG('e', 'n', 'c', 't') || tag == MKTAG('d', 'r', 'm', 's') ||
           tag == MKTAG('d', 'r', 'm', 'i') || tag == MKTAG('p', '6', '0', '8') ||
           av_dict_get(stream->metadata, "enc_key_id", NULL, 0) != NULL;
}

static void fill_times(vpi_track *t, const AVStream *stream, const AVFormatContext *format)
{
    int64_t duration = stream->duration;

    if (stream->start_time >= -VPI_TIME_MAX && stream->start_time <= VPI_TIME_MAX) {
        t->has_times = true;
        t->start = stream->start_time;
    }
    if (duration == AV_NOPTS_VALUE && format->duration != AV_NOPTS_VALUE && format->duration > 0) {
        duration = vpi_rescale(format->duration, t->tb.den,
                               vpi_rescale(AV_TIME_BASE, t->tb.num, 1, VPI_NEAREST), VPI_NEAREST);
    }
    t->end = t->start;
    if (duration != AV_NOPTS_VALUE && duration > 0) t->end = t->start + VPI_MIN(duration, VPI_TIME_MAX);
}

void vpi_track_fill(vpi_track *track, const AVStream *stream, const AVFormatContext *format)
{
    const AVCodecParameters *par = stream->codecpar;
    const AVDictionaryEntry *entry;

    track->id = stream->index;
    track->kind = kind_of(stream);
    track->codec = vpi_libav_codec(par->codec_id);
    fill_name(track, par);
    track->tb = (vpi_rational){ stream->time_base.num, stream->time_base.den };
    if (track->tb.num <= 0 || track->tb.den <= 0) track->tb = (vpi_rational){ 1, 1000000 };
    entry = av_dict_get(stream->metadata, "language", NULL, 0);
    vpi_language_bcp47(entry ? entry->value : NULL, track->language);
    entry = av_dict_get(stream->metadata, "title", NULL, 0);
    if (entry) vpi_strlcpy(track->title, entry->value, sizeof(track->title));
    track->is_default = (stream->disposition & AV_DISPOSITION_DEFAULT) != 0;
    track->encrypted = vpi_track_encrypted(stream);
    track->bit_rate = (uint32_t)VPI_CLAMP(par->bit_rate, 0, (int64_t)UINT32_MAX);
    fill_times(track, stream, format);
    if (track->kind == VPI_KIND_VIDEO) fill_video(track, stream);
    if (track->kind == VPI_KIND_AUDIO) fill_audio(track, par);
    if (track->kind == VPI_KIND_VIDEO || track->kind == VPI_KIND_AUDIO) fill_codec_string(track, stream);
}

void vpi_packet_skips(const AVPacket *packet, uint32_t *start, uint32_t *end)
{
    size_t size = 0;
    const uint8_t *data = av_packet_get_side_data(packet, AV_PKT_DATA_SKIP_SAMPLES, &size);

    *start = *end = 0;
    if (!data || size < 10) return;
    *start = AV_RL32(data);
    *end = AV_RL32(data + 4);
}

/* Rate of the first SPS: a frame lasts two ticks of the VUI's clock (H.264 E.2.1, D.2.3). */
static vpi_rational vui_rate(const AVCodecParameters *par)
{
    vpi_rational none = { 0, 1 };
    vpi_h264_sps sps;
    vpi_avcc avcc;
    vpi_nal nal;
    size_t at = 0, size = par->extradata_size > 0 ? (size_t)par->extradata_size : 0;
    bool found = false;

    if (par->codec_id != AV_CODEC_ID_H264 || !size) return none;
    if (par->extradata[0] == 1) {
        if (vpi_avcc_parse(par->extradata, size, &avcc, NULL) < 0 || !avcc.sps_count) return none;
        nal = avcc.sps[0];
        found = true;
    } else {
        while (!found && vpi_annexb_next(par->extradata, size, &at, &nal)) {
            found = vpi_h264_type(&nal) == VPI_H264_SPS;
        }
    }
    if (!found || vpi_h264_sps_parse(&nal, &sps, NULL) < 0 || !sps.num_units_in_tick || !sps.time_scale)
        return none;
    return vpi_reduce(sps.time_scale, 2 * (int64_t)sps.num_units_in_tick);
}

/* Where a stream tells no rate, libavformat 61 gives that of its clock, 1.2 MHz in raw H.264 and HEVC. */
static bool is_clock(AVRational rate, AVRational tb)
{
    return av_q2d(rate) > 1000 && av_cmp_q(rate, av_inv_q(tb)) == 0;
}

void vpi_track_declared_rates(const AVStream *stream, vpi_rational rates[3])
{
    rates[0] = rates[1] = (vpi_rational){ 0, 1 };
    if (stream->avg_frame_rate.num > 0 && stream->avg_frame_rate.den > 0) {
        rates[0] = vpi_reduce(stream->avg_frame_rate.num, stream->avg_frame_rate.den);
    }
    if (stream->r_frame_rate.num > 0 && stream->r_frame_rate.den > 0 &&
        !is_clock(stream->r_frame_rate, stream->time_base)) {
        rates[1] = vpi_reduce(stream->r_frame_rate.num, stream->r_frame_rate.den);
    }
    rates[2] = vui_rate(stream->codecpar);
}

void vpi_track_dispose(vpi_track *track)
{
    vpi_free(track->keyframes);
    track->keyframes = NULL;
    track->keyframe_count = 0;
}
