/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/measure_int.h"

#define FAILURES_MAX 64u
#define SLICE 8192 /* samples given at a time: frames may be large */

struct vpi_ear {
    vp_context *context;
    vp_cancel *cancel;
    vpi_heard_fn fn;
    void *user;
    AVCodecContext *decoder;
    AVFrame *frame;
    vpi_rational tb;
    float *samples; /* SLICE of each channel */
    uint64_t refused;
};

vp_status vpi_ear_new(vp_context *context, vp_cancel *cancel, vpi_heard_fn fn, void *user, vpi_ear **out,
                      vp_error *err)
{
    vpi_ear *ear;

    *out = NULL;
    VPI_TRY(vpi_media_load(err));
    ear = vpi_calloc(1, sizeof(*ear));
    if (!ear) return vpi_fail_nomem(err);
    ear->context = vp_context_ref(context);
    ear->cancel = vp_cancel_ref(cancel);
    ear->fn = fn;
    ear->user = user;
    ear->frame = av_frame_alloc();
    ear->samples = vpi_calloc((size_t)SLICE * VPI_SOUND_CHANNELS_MAX, sizeof(*ear->samples));
    if (!ear->frame || !ear->samples) {
        vpi_ear_free(ear);
        return vpi_fail_nomem(err);
    }
    *out = ear;
    return VP_OK;
}

vpi_ear *vpi_ear_free(vpi_ear *ear)
{
    if (!ear) return NULL;
    av_frame_free(&ear->frame);
    avcodec_free_context(&ear->decoder);
    vpi_free(ear->samples);
    vp_cancel_unref(ear->cancel);
    vp_context_unref(ear->context);
    vpi_free(ear);
    return NULL;
}

uint64_t vpi_ear_refused(const vpi_ear *ear)
{
    return ear->refused;
}

/* ---- one frame ---- */

static float sample_at(const AVFrame *f, int channel, int channels, int n)
{
    enum AVSampleFormat format = f->format;
    bool planar = av_sample_fmt_is_planar(format);
    const uint8_t *data = f->extended_data[planar ? channel : 0];
    size_t at = planar ? (size_t)n : (size_t)n * (size_t)channels + (size_t)channel;

    switch (av_get_packed_sample_fmt(format)) {
    case AV_SAMPLE_FMT_U8:
        return ((float)data[at] - 128.0f) / 128.0f;
    case AV_SAMPLE_FMT_S16:
        return (float)((const int16_t *)(const void *)data)[at] / 32768.0f;
    case AV_SAMPLE_FMT_S32:
        return (float)((const int32_t *)(const void *)data)[at] / 2147483648.0f;
    case AV_SAMPLE_FMT_S64:
        return (float)((const int64_t *)(const void *)data)[at] / 9223372036854775808.0f;
    case AV_SAMPLE_FMT_FLT:
        return ((const float *)(const void *)data)[at];
    case AV_SAMPLE_FMT_DBL:
        return (float)((const double *)(const void *)data)[at];
    default:
        return 0;
    }
}

static float weight_of(const AVChannelLayout *layout, int channel)
{
    switch (av_channel_layout_channel_from_index(layout, (unsigned)channel)) {
    case AV_CHAN_LOW_FREQUENCY:
    case AV_CHAN_LOW_FREQUENCY_2:
        return 0;
    case AV_CHAN_BACK_LEFT:
    case AV_CHAN_BACK_RIGHT:
    case AV_CHAN_SIDE_LEFT:
    case AV_CHAN_SIDE_RIGHT:
        return 1.41f;
    default:
        return 1;
    }
}

static vp_status tell(vpi_ear *ear, vp_error *err)
{
    const AVFrame *f = ear->frame;
    int channels = f->ch_layout.nb_channels, used = VPI_MIN(channels, (int)VPI_SOUND_CHANNELS_MAX);
    vpi_heard h = { .tb = ear->tb,
                    .has_pts = f->pts != AV_NOPTS_VALUE,
                    .pts = f->pts,
                    .sample_rate = (uint32_t)VPI_MAX(f->sample_rate, 0),
                    .channels = (uint32_t)channels };
    vp_status st = VP_OK;

    for (int c = 0; c < used; c++) {
        h.planes[c] = ear->samples + (size_t)c * SLICE;
        h.weights[c] = weight_of(&f->ch_layout, c);
    }
    for (int at = 0; st == VP_OK && at < f->nb_samples; at += SLICE) {
        h.samples = (uint32_t)VPI_MIN(SLICE, f->nb_samples - at);
        for (int c = 0; c < used; c++) {
            for (uint32_t n = 0; n < h.samples; n++)
                ear->samples[(size_t)c * SLICE + n] = sample_at(f, c, channels, at + (int)n);
        }
        st = ear->fn(ear->user, &h, err);
        h.has_pts = false;
    }
    return st;
}

/* ---- decoding ---- */

static vp_status receive(vpi_ear *ear, vp_error *err)
{
    unsigned failures = 0;
    int r;

    for (;;) {
        vpi_cpu_enter(ear->context);
        r = avcodec_receive_frame(ear->decoder, ear->frame);
        vpi_cpu_leave(ear->context);
        if (r == AVERROR(EAGAIN) || r == AVERROR_EOF) return VP_OK;
        if (r == AVERROR(ENOMEM)) return vpi_fail_nomem(err);
        if (r == 0) {
            vp_status st = tell(ear, err);

            av_frame_unref(ear->frame);
            if (st != VP_OK) return st;
            continue;
        }
        ear->refused++;
        if (++failures > FAILURES_MAX) return vpi_libav_error(err, r, "decode");
    }
}

static vp_status send(vpi_ear *ear, const vpi_packet *packet, vp_error *err)
{
    int r;

    vpi_cpu_enter(ear->context);
    r = avcodec_send_packet(ear->decoder, packet ? vpi_packet_av(packet) : NULL);
    vpi_cpu_leave(ear->context);
    if (r == AVERROR(ENOMEM)) return vpi_fail_nomem(err);
    if (r < 0 && r != AVERROR_EOF) ear->refused++;
    return receive(ear, err);
}

vp_status vpi_ear_add(vpi_ear *ear, vp_source *source, int32_t stream, const vpi_timeline *timeline,
                      vp_error *err)
{
    vpi_packet packet = { 0 };
    vpi_demux *demux = NULL;
    vp_status st;

    VPI_GO(vpi_demux_open(ear->context, source, NULL, ear->cancel, &demux, err));
    stream = vpi_measure_stream(demux, VPI_KIND_AUDIO, stream);
    if (stream < 0) {
        st = vpi_fail(err, VP_E_DATA, "INPUT_NO_VIDEO_OR_AUDIO", "holds no such sound");
        goto done;
    }
    vpi_demux_select(demux, &stream, 1);
    vpi_demux_set_timeline(demux, timeline);
    if (!ear->decoder) {
        VPI_GO(vpi_measure_decoder(ear->context, demux, stream, &ear->decoder, err));
        ear->tb = vpi_demux_track(demux, stream)->tb;
    }
    do {
        st = vpi_cancel_check(ear->cancel, err);
        if (st == VP_OK) st = vpi_demux_read(demux, &packet, err);
        if (st == VP_OK) st = send(ear, &packet, err);
        vpi_packet_dispose(&packet);
    } while (st == VP_OK);
    if (st == VP_END) st = VP_OK;
done:
    vpi_demux_close(demux);
    return st;
}

vp_status vpi_ear_end(vpi_ear *ear, vp_error *err)
{
    vp_status st = ear->decoder ? send(ear, NULL, err) : VP_OK;

    return st < 0 ? st : VP_OK;
}
