/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/audio_int.h"

#include "media/libav_int.h"

#define IN_RATE_MIN 1000
#define IN_RATE_MAX 1536000
#define IN_CHANNELS_MAX 64
#define USUAL_MAX 8 /* channels whose usual layout is taken for granted */
/* Samples that one call may give: a slice of the caller, resampled from the lowest rate. */
#define OUT_MAX (1 << 22)

/* The order that AAC has for six channels: rear speakers are called back there, whatever the source calls them. */
void vpi_mix_layout(uint32_t channels, AVChannelLayout *layout)
{
    *layout = channels == VPI_SURROUND ? (AVChannelLayout)AV_CHANNEL_LAYOUT_5POINT1_BACK
                                       : (AVChannelLayout)AV_CHANNEL_LAYOUT_STEREO;
}

vp_status vpi_mix_init(vpi_mix *mix, uint32_t rate, uint32_t channels, vp_error *err)
{
    *mix = (vpi_mix){ 0 };
    mix->rate = (int)rate;
    mix->channels = (int)channels;
    mix->fifo = av_audio_fifo_alloc(AV_SAMPLE_FMT_FLTP, mix->channels, VPI_AAC_SAMPLES * 4);
    return mix->fifo ? VP_OK : vpi_fail_nomem(err);
}

void vpi_mix_dispose(vpi_mix *mix)
{
    int i;

    swr_free(&mix->swr);
    if (mix->fifo) av_audio_fifo_free(mix->fifo);
    mix->fifo = NULL;
    av_channel_layout_uninit(&mix->in_layout);
    for (i = 0; i < VPI_SURROUND; i++) {
        vpi_free(mix->planes[i]);
        mix->planes[i] = NULL;
    }
}

/* ---- the mixer ---- */

static vp_status new_swr(vpi_mix *mix, AVChannelLayout *layout, const AVFrame *frame, vp_error *err)
{
    AVChannelLayout out;
    int r;

    vpi_mix_layout((uint32_t)mix->channels, &out);
    swr_free(&mix->swr);
    r = swr_alloc_set_opts2(&mix->swr, &out, AV_SAMPLE_FMT_FLTP, mix->rate, layout,
                            (enum AVSampleFormat)frame->format, frame->sample_rate, 0, NULL);
    /* Weights of the downmix add up to one: no clipping, and the centre stays as loud as the sides allow. */
    if (r >= 0) r = av_opt_set_double(mix->swr, "rematrix_maxval", 1.0, 0);
    if (r < 0) return vpi_libav_error(err, r, "resample");
    return VP_OK;
}

/*
 * Weights of a stereo mix where the library has none: mono goes to both sides at full level (not 3 dB down),
 * Ambisonics give their omnidirectional first channel, what has no known layout its channels left and right in turn.
 */
static bool stereo_weights(const AVChannelLayout *layout, double *weights)
{
    int n = layout->nb_channels, i;
    bool mono = n == 1 || layout->order == AV_CHANNEL_ORDER_AMBISONIC;

    if (!mono && layout->order == AV_CHANNEL_ORDER_NATIVE) return false;
    for (i = 0; i < n; i++) {
        double side = 1.0 / ((n + 1) / 2);

        weights[i] = mono ? i == 0 : i % 2 == 0 ? side : 0;
        weights[n + i] = mono ? i == 0 : i % 2 ? side : 0;
    }
    return true;
}

/*
 * The same for 5.1. Of 7.1 each rear speaker takes the side and the back one of its side at -3 dB, and the front
 * stays as it is: the library would turn all of it down by 5 dB.
 */
static bool surround_weights(const AVChannelLayout *layout, double *weights)
{
    static const AVChannelLayout wide = AV_CHANNEL_LAYOUT_7POINT1;
    double front[VPI_STEREO * IN_CHANNELS_MAX] = { 0 };
    int n = layout->nb_channels, i;

    memset(weights, 0, sizeof(double) * VPI_SURROUND * (size_t)n);
    if (layout->order == AV_CHANNEL_ORDER_NATIVE) {
        if (av_channel_layout_compare(layout, &wide) != 0) return false;
        for (i = 0; i < 4; i++) weights[i * n + i] = 1;
        for (i = 4; i < VPI_SURROUND; i++) weights[i * n + i] = weights[i * n + i + 2] = M_SQRT1_2;
        return true;
    }
    if (!stereo_weights(layout, front)) return false;
    memcpy(weights, front, sizeof(double) * VPI_STEREO * (size_t)n);
    return true;
}

static int start_swr(vpi_mix *mix, const AVChannelLayout *layout)
{
    double weights[VPI_SURROUND * IN_CHANNELS_MAX];
    bool own =
        mix->channels == VPI_SURROUND ? surround_weights(layout, weights) : stereo_weights(layout, weights);
    int r = own ? swr_set_matrix(mix->swr, weights, layout->nb_channels) : 0;

    return r < 0 ? r : swr_init(mix->swr);
}

static vp_status open_swr(vpi_mix *mix, const AVFrame *frame, vp_error *err)
{
    /* What FFmpeg calls sixteen tracks of a production: of such a ring of speakers it would mix eight. */
    static const AVChannelLayout ring = AV_CHANNEL_LAYOUT_HEXADECAGONAL;
    AVChannelLayout layout = { 0 };
    vp_status st = VP_OK;
    int r;

    if (frame->ch_layout.order == AV_CHANNEL_ORDER_NATIVE &&
        av_channel_layout_compare(&frame->ch_layout, &ring) != 0) {
        r = av_channel_layout_copy(&layout, &frame->ch_layout);
        if (r < 0) return vpi_fail_nomem(err);
        VPI_GO(new_swr(mix, &layout, frame, err));
        r = start_swr(mix, &layout);
        if (r >= 0) goto done;
    }
    /* Unknown layouts, and those that cannot be mixed: what is usual for the number of channels. */
    av_channel_layout_uninit(&layout);
    av_channel_layout_default(&layout, frame->ch_layout.nb_channels);
    if (frame->ch_layout.order == AV_CHANNEL_ORDER_AMBISONIC || layout.order != AV_CHANNEL_ORDER_NATIVE ||
        layout.nb_channels > USUAL_MAX) {
        av_channel_layout_uninit(&layout);
        layout.order = frame->ch_layout.order == AV_CHANNEL_ORDER_AMBISONIC ? AV_CHANNEL_ORDER_AMBISONIC
                                                                            : AV_CHANNEL_ORDER_UNSPEC;
        layout.nb_channels = frame->ch_layout.nb_channels;
    }
    VPI_GO(new_swr(mix, &layout, frame, err));
    r = start_swr(mix, &layout);
    if (r < 0) st = vpi_libav_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", r, "resample");
done:
    av_channel_layout_uninit(&layout);
    if (st < 0) swr_free(&mix->swr);
    return st;
}

vp_status vpi_mix_prepare(vpi_mix *mix, const AVFrame *frame, vp_error *err)
{
    int channels = frame->ch_layout.nb_channels;

    if (frame->nb_samples <= 0 || frame->sample_rate < IN_RATE_MIN || frame->sample_rate > IN_RATE_MAX ||
        channels < 1 || channels > IN_CHANNELS_MAX) {
        return VP_AGAIN;
    }
    if (mix->swr && frame->sample_rate == mix->in_rate && frame->format == mix->in_format &&
        av_channel_layout_compare(&frame->ch_layout, &mix->in_layout) == 0) {
        return VP_OK;
    }
    VPI_TRY(vpi_mix_flush(mix, err));
    VPI_TRY(open_swr(mix, frame, err));
    mix->in_rate = frame->sample_rate;
    mix->in_format = frame->format;
    av_channel_layout_uninit(&mix->in_layout);
    return av_channel_layout_copy(&mix->in_layout, &frame->ch_layout) < 0 ? vpi_fail_nomem(err) : VP_OK;
}

/* ---- samples ---- */

static vp_status make_room(vpi_mix *mix, int samples, vp_error *err)
{
    int i;

    if (samples <= mix->room) return VP_OK;
    if (samples > OUT_MAX) {
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "%d samples of sound at once", samples);
    }
    for (i = 0; i < mix->channels; i++) {
        float *more = vpi_realloc(mix->planes[i], (size_t)samples, sizeof(float));

        if (!more) return vpi_fail_nomem(err);
        mix->planes[i] = more;
    }
    mix->room = samples;
    return VP_OK;
}

/* count 0: lets out the rest. */
static vp_status convert(vpi_mix *mix, const uint8_t **data, int count, vp_error *err)
{
    float *out[VPI_SURROUND];
    void *queue[VPI_SURROUND];
    int most, n, cut, i;

    if (!mix->swr) return VP_OK;
    most = swr_get_out_samples(mix->swr, count);
    if (most < 0) return vpi_libav_error(err, most, "resample");
    VPI_TRY(make_room(mix, most + VPI_AAC_SAMPLES, err));
    for (i = 0; i < mix->channels; i++) out[i] = mix->planes[i];
    n = swr_convert(mix->swr, (uint8_t **)(void *)out, mix->room, data, count);
    if (n < 0) return vpi_libav_error(err, n, "resample");
    cut = (int)VPI_MIN(mix->cut, (uint64_t)n);
    mix->cut -= (uint64_t)cut;
    if (n == cut) return VP_OK;
    for (i = 0; i < mix->channels; i++) queue[i] = mix->planes[i] + cut;
    if (av_audio_fifo_write(mix->fifo, queue, n - cut) < n - cut) return vpi_fail_nomem(err);
    mix->added += (uint64_t)(n - cut);
    return VP_OK;
}

vp_status vpi_mix_add(vpi_mix *mix, const AVFrame *frame, int at, int count, vp_error *err)
{
    const uint8_t *data[IN_CHANNELS_MAX];
    int bytes = av_get_bytes_per_sample((enum AVSampleFormat)frame->format);
    int planes = 1, channels = frame->ch_layout.nb_channels, i;
    ptrdiff_t step = (ptrdiff_t)bytes * channels;

    if (av_sample_fmt_is_planar((enum AVSampleFormat)frame->format)) {
        planes = channels;
        step = bytes;
    }
    for (i = 0; i < planes; i++) data[i] = frame->extended_data[i] + step * at;
    return convert(mix, data, count, err);
}

vp_status vpi_mix_flush(vpi_mix *mix, vp_error *err)
{
    int r;

    if (!mix->swr || vpi_mix_held(mix) <= 0) return VP_OK;
    VPI_TRY(convert(mix, NULL, 0, err));
    swr_close(mix->swr);
    r = swr_init(mix->swr);
    return r < 0 ? vpi_libav_error(err, r, "resample") : VP_OK;
}

int64_t vpi_mix_held(const vpi_mix *mix)
{
    return mix->swr ? swr_get_delay(mix->swr, mix->rate) : 0;
}

vp_status vpi_mix_stretch(vpi_mix *mix, int delta, int distance, vp_error *err)
{
    int r = mix->swr ? swr_set_compensation(mix->swr, delta, distance) : 0;

    return r < 0 ? vpi_libav_error(err, r, "resample") : VP_OK;
}

int vpi_mix_size(const vpi_mix *mix)
{
    return av_audio_fifo_size(mix->fifo);
}

void vpi_mix_read(vpi_mix *mix, float *const planes[VPI_SURROUND], int at, int count)
{
    void *to[VPI_SURROUND];
    int i;

    for (i = 0; i < mix->channels; i++) to[i] = planes[i] + at;
    av_audio_fifo_read(mix->fifo, to, count);
}
