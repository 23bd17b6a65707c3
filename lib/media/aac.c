/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/audio_int.h"

#include "media/libav_int.h"

#define ASC_MAX 16
#ifdef AV_PROFILE_AAC_LOW
#define PROFILE_LC AV_PROFILE_AAC_LOW
#else
#define PROFILE_LC FF_PROFILE_AAC_LOW /* before libavcodec 60.31 */
#endif
#define MAX_CHANNEL_KBPS 288u /* ISO/IEC 14496-3: 6144 bits a channel and frame, at 48 kHz */

static vp_status check_options(uint32_t sample_rate, uint32_t channels, uint32_t kbps, vp_error *err)
{
    if (sample_rate != 44100 && sample_rate != 48000) {
        return vpi_fail(err, VP_E_ARG, NULL, "AAC at %u Hz", sample_rate);
    }
    if (channels != VPI_STEREO && channels != VPI_SURROUND)
        return vpi_fail(err, VP_E_ARG, NULL, "AAC of %u channels", channels);
    if (!kbps || kbps > MAX_CHANNEL_KBPS * channels)
        return vpi_fail(err, VP_E_ARG, NULL, "AAC of %u kbit/s", kbps);
    return VP_OK;
}

static vp_status open_encoder(vpi_aac *aac, uint32_t sample_rate, uint32_t channels, uint32_t kbps,
                              vp_error *err)
{
    const AVCodec *codec = avcodec_find_encoder_by_name("aac");
    AVCodecContext *c;
    uint32_t padding;
    int r;

    if (!codec) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED", "libavcodec without its AAC encoder");
    }
    aac->context = c = avcodec_alloc_context3(codec);
    aac->frame = av_frame_alloc();
    aac->packet = av_packet_alloc();
    if (!c || !aac->frame || !aac->packet) return vpi_fail_nomem(err);
    vpi_mix_layout(channels, &c->ch_layout);
    c->sample_rate = (int)sample_rate;
    c->sample_fmt = AV_SAMPLE_FMT_FLTP;
    c->time_base = (AVRational){ 1, (int)sample_rate };
    c->bit_rate = (int64_t)kbps * 1000;
    c->profile = PROFILE_LC;
    c->thread_count = 1;
    c->log_level_offset = AV_LOG_DEBUG - AV_LOG_INFO; /* it tells statistics at each end */
    /* bitexact: without the name of the encoder in the first frame. */
    c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
    r = avcodec_open2(c, codec, NULL);
    if (r < 0) return vpi_libav_fail(err, VP_E_INTERNAL, NULL, r, "encode");
    if (c->frame_size != VPI_AAC_SAMPLES || c->extradata_size < 2 || c->extradata_size > ASC_MAX ||
        c->initial_padding < 0) {
        return vpi_fail(err, VP_E_INTERNAL, NULL, "libavcodec's AAC encoder has frames of %d samples",
                        c->frame_size);
    }
    padding = (uint32_t)c->initial_padding;
    aac->lead = (VPI_AAC_SAMPLES - padding % VPI_AAC_SAMPLES) % VPI_AAC_SAMPLES;
    aac->drop = (padding + aac->lead) / VPI_AAC_SAMPLES;
    return VP_OK;
}

vp_status vpi_aac_open(vpi_aac *aac, uint32_t sample_rate, uint32_t channels, uint32_t kbps, vp_error *err)
{
    vp_status st;

    *aac = (vpi_aac){ 0 };
    VPI_TRY(check_options(sample_rate, channels, kbps, err));
    VPI_TRY(vpi_media_load(err));
    st = open_encoder(aac, sample_rate, channels, kbps, err);
    if (st < 0) vpi_aac_close(aac);
    return st;
}

void vpi_aac_close(vpi_aac *aac)
{
    avcodec_free_context(&aac->context);
    av_frame_free(&aac->frame);
    av_packet_free(&aac->packet);
}

vp_status vpi_aac_room(vpi_aac *aac, float *planes[VPI_SURROUND], vp_error *err)
{
    AVFrame *f = aac->frame;
    int r, i;

    /* The encoder keeps a reference to what it was sent. */
    av_frame_unref(f);
    f->nb_samples = VPI_AAC_SAMPLES;
    f->format = AV_SAMPLE_FMT_FLTP;
    f->sample_rate = aac->context->sample_rate;
    r = av_channel_layout_copy(&f->ch_layout, &aac->context->ch_layout);
    if (r >= 0) r = av_frame_get_buffer(f, 0);
    if (r < 0) return vpi_libav_error(err, r, "encode");
    for (i = 0; i < f->ch_layout.nb_channels; i++) planes[i] = (float *)(void *)f->extended_data[i];
    return VP_OK;
}

vp_status vpi_aac_send(vpi_aac *aac, vp_error *err)
{
    int r;

    aac->frame->pts = aac->pts;
    aac->pts += VPI_AAC_SAMPLES;
    r = avcodec_send_frame(aac->context, aac->frame);
    if (r == AVERROR(ENOMEM)) return vpi_fail_nomem(err);
    return r < 0 ? vpi_libav_fail(err, VP_E_INTERNAL, NULL, r, "encode") : VP_OK;
}

vp_status vpi_aac_receive(vpi_aac *aac, vp_error *err)
{
    int r;

    for (;;) {
        av_packet_unref(aac->packet);
        r = avcodec_receive_packet(aac->context, aac->packet);
        if (r == AVERROR(EAGAIN)) return VP_AGAIN;
        if (r == AVERROR(ENOMEM)) return vpi_fail_nomem(err);
        if (r < 0 || aac->packet->size <= 0) return vpi_libav_fail(err, VP_E_INTERNAL, NULL, r, "encode");
        if (!aac->drop) return VP_OK;
        aac->drop--;
    }
}

vp_status vpi_audio_asc(uint32_t sample_rate, uint32_t channels, uint32_t kbps, uint8_t asc[16], size_t *size,
                        vp_error *err)
{
    vpi_aac aac;

    *size = 0;
    VPI_TRY(vpi_aac_open(&aac, sample_rate, channels, kbps, err));
    *size = (size_t)aac.context->extradata_size;
    memcpy(asc, aac.context->extradata, *size);
    vpi_aac_close(&aac);
    return VP_OK;
}
