/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/measure_int.h"

/* Failures one after the other without taking a packet: the decoder goes nowhere. */
#define FAILURES_MAX 64u
#define SAMPLES_A_CELL 8u /* a side: rows and columns that are looked at */

int32_t vpi_measure_stream(const vpi_demux *demux, vpi_kind kind, int32_t wanted)
{
    for (size_t i = 0; i < vpi_demux_stream_count(demux); i++) {
        const vpi_track *t = vpi_demux_track(demux, (int32_t)i);

        if (t && t->kind == kind && !t->attached_picture && (wanted < 0 || wanted == (int32_t)i))
            return (int32_t)i;
    }
    return -1;
}

vp_status vpi_measure_decoder(vp_context *context, vpi_demux *demux, int32_t stream, AVCodecContext **out,
                              vp_error *err)
{
    const AVStream *s = vpi_demux_avstream(demux, stream);
    const AVCodec *codec = vpi_libav_decoder(s->codecpar->codec_id);
    AVCodecContext *decoder;
    int r;

    *out = NULL;
    if (!codec) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "no decoder for %s",
                        avcodec_get_name(s->codecpar->codec_id));
    }
    decoder = avcodec_alloc_context3(codec);
    if (!decoder) return vpi_fail_nomem(err);
    r = avcodec_parameters_to_context(decoder, s->codecpar);
    decoder->pkt_timebase = s->time_base;
    decoder->thread_count = 1;
    decoder->flags |= AV_CODEC_FLAG_BITEXACT;
    decoder->max_pixels = vpi_demux_max_pixels(demux);
    vpi_cpu_enter(context);
    if (r >= 0) r = avcodec_open2(decoder, codec, NULL);
    vpi_cpu_leave(context);
    if (r < 0) {
        avcodec_free_context(&decoder);
        return vpi_libav_error(err, r, "decode");
    }
    *out = decoder;
    return VP_OK;
}

/* ---- one picture ---- */

/* Where the samples of the first component lie, and how many bits each has; false: not readable so. */
static bool luma_of(const AVFrame *f, const AVComponentDescriptor **component, bool *wide)
{
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(f->format);

    if (!d || d->flags & (AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_BITSTREAM | AV_PIX_FMT_FLAG_PAL |
                          AV_PIX_FMT_FLAG_FLOAT | AV_PIX_FMT_FLAG_BE)) {
        return false;
    }
    /* Of RGB the green one is nearest to brightness. */
    *component = &d->comp[d->flags & AV_PIX_FMT_FLAG_RGB && d->nb_components > 1 ? 1 : 0];
    *wide = (*component)->depth > 8;
    return (*component)->depth >= 8 && (*component)->depth <= 16 && f->data[(*component)->plane];
}

static unsigned value_at(const AVFrame *f, const AVComponentDescriptor *c, bool wide, int x, int y)
{
    const uint8_t *p =
        f->data[c->plane] + (ptrdiff_t)y * f->linesize[c->plane] + (ptrdiff_t)x * c->step + c->offset;

    if (!wide) return (unsigned)(*p >> c->shift);
    return ((unsigned)(p[0] | p[1] << 8) >> c->shift) >> (c->depth - 8) & 255u;
}

static void fill_grid(const AVFrame *f, uint8_t grid[VPI_LOOK_SIDE * VPI_LOOK_SIDE])
{
    const AVComponentDescriptor *c;
    bool wide;

    memset(grid, 0, VPI_LOOK_SIDE * VPI_LOOK_SIDE);
    if (!luma_of(f, &c, &wide)) return;
    for (unsigned n = 0; n < VPI_LOOK_SIDE * VPI_LOOK_SIDE; n++) {
        unsigned sum = 0;

        for (unsigned k = 0; k < SAMPLES_A_CELL * SAMPLES_A_CELL; k++) {
            unsigned column = n % VPI_LOOK_SIDE * SAMPLES_A_CELL + k % SAMPLES_A_CELL;
            unsigned row = n / VPI_LOOK_SIDE * SAMPLES_A_CELL + k / SAMPLES_A_CELL;
            int64_t side = 2 * VPI_LOOK_SIDE * SAMPLES_A_CELL;

            sum += value_at(f, c, wide, (int)((2 * column + 1) * (int64_t)f->width / side),
                            (int)((2 * row + 1) * (int64_t)f->height / side));
        }
        grid[n] = (uint8_t)(sum / (SAMPLES_A_CELL * SAMPLES_A_CELL));
    }
}

static vp_status tell(const AVFrame *f, vpi_rational tb, vpi_look_fn fn, void *user, vp_error *err)
{
    int64_t pts = f->pts != AV_NOPTS_VALUE ? f->pts : f->best_effort_timestamp;
    vpi_look look = { .tb = tb,
                      .has_pts = pts != AV_NOPTS_VALUE,
                      .pts = pts,
                      .damaged = f->flags & AV_FRAME_FLAG_CORRUPT || f->decode_error_flags,
                      .width = (uint32_t)f->width,
                      .height = (uint32_t)f->height,
                      .primaries = (uint8_t)f->color_primaries,
                      .transfer = (uint8_t)f->color_trc,
                      .matrix = (uint8_t)f->colorspace,
                      .full_range = f->color_range == AVCOL_RANGE_JPEG   ? 1
                                    : f->color_range == AVCOL_RANGE_MPEG ? 0
                                                                         : -1 };

    fill_grid(f, look.grid);
    return fn(user, &look, err);
}

/* ---- all of them ---- */

typedef struct watch {
    vp_context *context;
    vp_cancel *cancel;
    vpi_measure_options o;
    vpi_demux *demux;
    AVCodecContext *decoder;
    AVFrame *frame;
    vpi_packet packet;
    size_t part; /* the next one, or that which is being decoded */
    bool inside;
    bool drained; /* no more packets, of this part or at all */
    bool ended;
    uint64_t refused;
    uint64_t fed;
} watch;

/* Is the packet one to be decoded? VP_END: the part ends before it. */
static vp_status place(watch *w, const vpi_packet *p)
{
    int64_t time = p->has_pts ? p->pts : p->dts, decoded = p->has_dts ? p->dts : time;

    if (w->o.part_count == 0) return VP_OK;
    if (!p->has_pts && !p->has_dts) return w->inside ? VP_OK : VP_AGAIN;
    if (w->inside) return decoded > w->o.parts[w->part].to ? VP_END : VP_OK;
    while (w->part < w->o.part_count && decoded > w->o.parts[w->part].to) w->part++;
    if (w->part == w->o.part_count) return VP_END;
    w->inside = p->key && time >= w->o.parts[w->part].from;
    return w->inside ? VP_OK : VP_AGAIN;
}

/* The next packet to be decoded; VP_END: there is none in this part. */
static vp_status next_packet(watch *w, vp_error *err)
{
    vp_status st;

    for (;;) {
        VPI_TRY(vpi_cancel_check(w->cancel, err));
        if (w->o.first_only && w->fed > 0) return VP_END;
        st = vpi_demux_read(w->demux, &w->packet, err);
        if (st != VP_OK) w->ended = true;
        if (st == VP_OK) st = place(w, &w->packet);
        if (st == VP_AGAIN) continue;
        if (st != VP_OK) vpi_packet_dispose(&w->packet);
        return st;
    }
}

static vp_status feed(watch *w, vp_error *err)
{
    vp_status st = next_packet(w, err);
    int r;

    if (st < 0) return st;
    w->drained = st == VP_END;
    w->fed++;
    vpi_cpu_enter(w->context);
    r = avcodec_send_packet(w->decoder, w->drained ? NULL : vpi_packet_av(&w->packet));
    vpi_cpu_leave(w->context);
    vpi_packet_dispose(&w->packet);
    if (r == AVERROR(ENOMEM)) return vpi_fail_nomem(err);
    if (r < 0 && r != AVERROR_EOF) w->refused++;
    return VP_OK;
}

/* Behind a part; VP_END: it was the last one. */
static vp_status next_part(watch *w)
{
    w->part += w->inside;
    w->inside = false;
    if (w->ended || w->part >= w->o.part_count) return VP_END;
    w->drained = false;
    avcodec_flush_buffers(w->decoder);
    return VP_OK;
}

static vp_status watch_all(watch *w, vpi_rational tb, vpi_look_fn fn, void *user, vp_error *err)
{
    unsigned failures = 0;
    vp_status st = VP_OK;
    int r;

    while (st == VP_OK) {
        vpi_cpu_enter(w->context);
        r = avcodec_receive_frame(w->decoder, w->frame);
        vpi_cpu_leave(w->context);
        if (r == 0) {
            failures = 0;
            st = tell(w->frame, tb, fn, user, err);
            av_frame_unref(w->frame);
        } else if (r == AVERROR_EOF) {
            st = next_part(w);
        } else if (r == AVERROR(ENOMEM)) {
            st = vpi_fail_nomem(err);
        } else if (r == AVERROR(EAGAIN)) {
            failures = 0;
            st = w->drained ? VP_END : feed(w, err);
        } else {
            w->refused++;
            if (++failures > FAILURES_MAX) st = vpi_libav_error(err, r, "decode");
        }
    }
    return st < 0 ? st : VP_OK;
}

vp_status vpi_measure_pictures(vp_context *context, vp_source *source, int32_t stream,
                               const vpi_measure_options *options, vp_cancel *cancel, vpi_look_fn fn,
                               void *user, uint64_t *refused, vp_error *err)
{
    watch w = { .context = context, .cancel = cancel };
    vp_status st;

    if (options) w.o = *options;

    *refused = 0;
    VPI_TRY(vpi_media_load(err));
    VPI_GO(vpi_demux_open(context, source, NULL, cancel, &w.demux, err));
    stream = vpi_measure_stream(w.demux, VPI_KIND_VIDEO, stream);
    if (stream < 0) {
        st = vpi_fail(err, VP_E_DATA, "INPUT_NO_VIDEO_OR_AUDIO", "holds no such video");
        goto done;
    }
    vpi_demux_select(w.demux, &stream, 1);
    vpi_demux_set_timeline(w.demux, w.o.timeline);
    w.frame = av_frame_alloc();
    if (!w.frame) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    VPI_GO(vpi_measure_decoder(context, w.demux, stream, &w.decoder, err));
    st = watch_all(&w, vpi_demux_track(w.demux, stream)->tb, fn, user, err);
    *refused = w.refused;
done:
    vpi_packet_dispose(&w.packet);
    av_frame_free(&w.frame);
    avcodec_free_context(&w.decoder);
    vpi_demux_close(w.demux);
    return st;
}
