/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* AC-3 and E-AC-3 passed through: whole frames on a grid of 1536 samples. */
#include "media/audio.h"

#include "bitstream/bitstream.h"
#include "media/demux.h"
#include "media/libav_int.h"

struct vpi_audio_copy {
    vpi_audio_copy_options o;
    vp_cancel *cancel;
    vpi_demux *demux;
    vpi_rational tb;
    vpi_packet packet, given_packet; /* the next one of the source; the one that the caller looks at */
    bool has_packet, placed, ended;
    int64_t slot;     /* of packet */
    int64_t expected; /* the slot behind the last packet */
    uint64_t given, refused;
};

vp_status vpi_audio_copy_open(vp_context *context, vp_source *source, const vpi_audio_copy_options *options,
                              vp_cancel *cancel, vpi_audio_copy **out, vp_error *err)
{
    vpi_audio_copy *c;
    const vpi_track *track;
    vp_status st = VP_OK;

    *out = NULL;
    VPI_TRY(vpi_media_load(err));
    c = vpi_calloc(1, sizeof(*c));
    if (!c) return vpi_fail_nomem(err);
    c->o = *options;
    c->cancel = vp_cancel_ref(cancel);
    if (!c->o.silence_size || !c->o.sample_rate || c->o.phase >= VPI_AC3_FRAME)
        VPI_GO(vpi_fail(err, VP_E_ARG, NULL, "no grid or no silence for what is passed through"));
    VPI_GO(vpi_demux_open(context, source, NULL, cancel, &c->demux, err));
    track = vpi_demux_track(c->demux, c->o.stream);
    if (!track || (track->codec != VPI_CODEC_AC3 && track->codec != VPI_CODEC_EAC3))
        VPI_GO(vpi_fail(err, VP_E_ARG, NULL, "stream %d is no AC-3", c->o.stream));
    c->tb = track->tb;
    vpi_demux_select(c->demux, &c->o.stream, 1);
    vpi_demux_set_timeline(c->demux, c->o.timeline);
    *out = c;
    return VP_OK;
done:
    vpi_audio_copy_close(c);
    return st;
}

vpi_audio_copy *vpi_audio_copy_close(vpi_audio_copy *c)
{
    if (!c) return NULL;
    vpi_packet_dispose(&c->packet);
    vpi_packet_dispose(&c->given_packet);
    vpi_demux_close(c->demux);
    vp_cancel_unref(c->cancel);
    vpi_free(c);
    return NULL;
}

uint64_t vpi_audio_copy_refused(const vpi_audio_copy *c)
{
    return c->refused;
}

static bool whole_frame(const vpi_audio_copy *c)
{
    vpi_ac3 a;

    return vpi_ac3_parse(c->packet.data, c->packet.size, &a, NULL) == VP_OK && a.samples == VPI_AC3_FRAME &&
           a.frame_bytes == c->packet.size && a.sample_rate == c->o.sample_rate;
}

/*
 * The place of the packet. Times of containers are rounded, and jitter: frames follow each other until their times
 * are off by a whole frame, less what rounding takes.
 */
#define OFF (VPI_AC3_FRAME - VPI_AC3_FRAME / 16)

static vp_status place(vpi_audio_copy *c, vp_error *err)
{
    int64_t wanted, drift;

    c->slot = c->expected;
    if (!c->packet.has_pts) return VP_OK;
    if (!vpi_add_i64(c->packet.pts, -c->o.origin, &wanted))
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "a time out of range");
    wanted = vpi_rescale(wanted, c->tb.num * (int64_t)c->o.sample_rate, c->tb.den, VPI_NEAREST);
    wanted = VPI_CLAMP(wanted, INT64_MIN / 4, INT64_MAX / 4) - c->o.phase;
    drift = wanted - c->expected * (int64_t)VPI_AC3_FRAME;
    if (c->placed && drift < (int64_t)OFF && drift > -(int64_t)OFF) return VP_OK;
    c->slot = vpi_rescale(wanted, 1, VPI_AC3_FRAME, VPI_NEAREST);
    return VP_OK;
}

/* The next packet that has a place of its own; VP_END after the last. */
static vp_status fetch(vpi_audio_copy *c, vp_error *err)
{
    while (!c->has_packet) {
        vp_status st;

        vpi_packet_dispose(&c->packet);
        VPI_TRY(vpi_cancel_check(c->cancel, err));
        st = vpi_demux_read(c->demux, &c->packet, err);
        if (st != VP_OK) return st;
        if (c->packet.discard) continue;
        if (!whole_frame(c)) {
            c->refused++;
            continue;
        }
        VPI_TRY(place(c, err));
        if (c->slot < (c->placed ? c->expected : INT64_MIN)) continue;
        c->placed = true;
        c->expected = c->slot + 1;
        c->has_packet = c->slot >= 0;
    }
    return VP_OK;
}

vp_status vpi_audio_copy_next(vpi_audio_copy *c, const uint8_t **data, size_t *size, vp_error *err)
{
    *data = c->o.silence;
    *size = c->o.silence_size;
    if (c->given >= c->o.frames) return VP_END;
    if (!c->ended) {
        vp_status st = fetch(c, err);

        if (st < 0) return st;
        c->ended = st == VP_END;
    }
    if (c->has_packet && (uint64_t)c->slot <= c->given) {
        vpi_packet_dispose(&c->given_packet);
        vpi_packet_move(&c->given_packet, &c->packet);
        c->has_packet = false;
        *data = c->given_packet.data;
        *size = c->given_packet.size;
    }
    c->given++;
    return VP_OK;
}

/* ---- silence ---- */

/* ETSI TS 102 366 table 4.3; 0: two programmes, which have no layout. */
static uint64_t layout_of(const vpi_ac3 *a)
{
    static const uint64_t layouts[8] = { 0,
                                         AV_CH_LAYOUT_MONO,
                                         AV_CH_LAYOUT_STEREO,
                                         AV_CH_LAYOUT_SURROUND,
                                         AV_CH_LAYOUT_2_1,
                                         AV_CH_LAYOUT_4POINT0,
                                         AV_CH_LAYOUT_2_2,
                                         AV_CH_LAYOUT_5POINT0 };
    return layouts[a->acmod & 7] | (a->acmod && a->lfe ? AV_CH_LOW_FREQUENCY : 0);
}

static vp_status open_encoder(const vpi_ac3 *like, AVCodecContext **out, vp_error *err)
{
    const AVCodec *codec = avcodec_find_encoder_by_name(like->eac3 ? "eac3" : "ac3");
    AVCodecContext *c;

    if (!codec) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED", "libavcodec without its AC-3 encoder");
    }
    *out = c = avcodec_alloc_context3(codec);
    if (!c) return vpi_fail_nomem(err);
    if (av_channel_layout_from_mask(&c->ch_layout, layout_of(like)) < 0)
        return vpi_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED", "no silence of two programmes in AC-3");
    c->sample_rate = (int)like->sample_rate;
    c->sample_fmt = AV_SAMPLE_FMT_FLTP;
    c->time_base = (AVRational){ 1, (int)like->sample_rate };
    c->bit_rate = like->bit_rate;
    c->thread_count = 1;
    c->flags |= AV_CODEC_FLAG_BITEXACT;
    return VP_OK;
}

static vp_status encode_silence(AVCodecContext *c, AVFrame *frame, AVPacket *packet, vpi_buf *out,
                                vp_error *err)
{
    int r = avcodec_open2(c, c->codec, NULL), i;

    if (r >= 0 && c->frame_size != (int)VPI_AC3_FRAME) r = AVERROR(EINVAL);
    if (r < 0) return vpi_libav_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED", r, "encode");
    frame->nb_samples = c->frame_size;
    frame->format = AV_SAMPLE_FMT_FLTP;
    frame->sample_rate = c->sample_rate;
    frame->pts = 0;
    r = av_channel_layout_copy(&frame->ch_layout, &c->ch_layout);
    if (r >= 0) r = av_frame_get_buffer(frame, 0);
    if (r < 0) return vpi_libav_error(err, r, "encode");
    for (i = 0; i < frame->ch_layout.nb_channels; i++)
        memset(frame->extended_data[i], 0, (size_t)frame->nb_samples * sizeof(float));
    r = avcodec_send_frame(c, frame);
    if (r >= 0) r = avcodec_send_frame(c, NULL);
    if (r >= 0) r = avcodec_receive_packet(c, packet);
    if (r < 0) return vpi_libav_error(err, r, "encode");
    vpi_buf_add(out, packet->data, (size_t)packet->size);
    return vpi_buf_failed(out) ? vpi_fail_nomem(err) : VP_OK;
}

vp_status vpi_ac3_silence(const vpi_ac3 *like, vpi_buf *out, vp_error *err)
{
    AVCodecContext *c = NULL;
    AVFrame *frame;
    AVPacket *packet;
    vpi_ac3 a;
    vp_status st;

    VPI_TRY(vpi_media_load(err));
    frame = av_frame_alloc();
    packet = av_packet_alloc();
    st = frame && packet ? VP_OK : vpi_fail_nomem(err);
    if (st >= 0) st = open_encoder(like, &c, err);
    if (st >= 0) st = encode_silence(c, frame, packet, out, err);
    if (st >= 0 && (vpi_ac3_parse(out->data, out->size, &a, NULL) != VP_OK || a.eac3 != like->eac3 ||
                    a.samples != VPI_AC3_FRAME || a.frame_bytes != out->size ||
                    a.sample_rate != like->sample_rate || a.acmod != like->acmod || a.lfe != like->lfe)) {
        st = vpi_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED",
                      "libavcodec's AC-3 frames are not what is due");
    }
    avcodec_free_context(&c);
    av_frame_free(&frame);
    av_packet_free(&packet);
    return st;
}
