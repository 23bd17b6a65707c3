/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/demux_int.h"

#define BAD_READS_MAX 64u    /* failed reads in a row that a demuxer may take to find its way again */
#define SEEK_PACKETS 100000u /* looked at for a random access point */
#define TICK_SAMPLES 32      /* of AVI: in so much time there is more than one byte */

/* ---- reading ---- */

/* A failed av_read_frame: VP_OK to try again, VP_END, or the failure. */
static vp_status read_failed(vpi_demux *d, int averror, unsigned *bad, vp_error *err)
{
    bool mov = strncmp(d->format->name, "mov", 3) == 0;

    VPI_TRY(vpi_avio_failed(&d->io, err));
    VPI_TRY(vpi_cancel_check(d->cancel, err));
    if (averror == AVERROR(ENOMEM)) return vpi_fail_nomem(err);
    /* The index names bytes that are not there. */
    if (mov && d->io.beyond) {
        return vpi_libav_fail(err, VP_E_DATA, "INPUT_TRUNCATED", averror, "read");
    }
    if (averror == AVERROR_EOF) return VP_END;
    if (d->io.position >= d->io.size && avio_feof(d->io.context)) {
        return vpi_libav_fail(err, VP_E_DATA, "INPUT_TRUNCATED", averror, "read");
    }
    if (++*bad > BAD_READS_MAX) return vpi_libav_fail(err, VP_E_DATA, "INPUT_CORRUPT", averror, "read");
    return VP_OK;
}

/* Times that no clock tells are as good as none; what is left can be added and subtracted. */
static void bound_times(AVPacket *p)
{
    if (p->pts < -VPI_TIME_MAX || p->pts > VPI_TIME_MAX) p->pts = AV_NOPTS_VALUE;
    if (p->dts < -VPI_TIME_MAX || p->dts > VPI_TIME_MAX) p->dts = AV_NOPTS_VALUE;
    if (p->duration < 0 || p->duration > VPI_TIME_MAX) p->duration = 0;
}

/*
 * Is the sound of an AVI a frame a chunk, timed by its size as if it were samples? What is made up of samples of so
 * many bits is. A tick of such a stream is a frame, or a good part of one.
 */
static bool is_counted(const vpi_demux *d, int32_t stream)
{
    const AVStream *st = d->ic->streams[stream];
    const AVCodecParameters *par = st->codecpar;

    return stream < 64 && d->structure.avi_frames >> stream & 1 && !av_get_bits_per_sample(par->codec_id) &&
           par->codec_type == AVMEDIA_TYPE_AUDIO && par->sample_rate > 0 && st->time_base.den > 0 &&
           (int64_t)st->time_base.num * par->sample_rate / st->time_base.den >= TICK_SAMPLES;
}

/* Each frame begins where the one before ends. */
static void count_time(vpi_demux *d, AVPacket *p)
{
    int64_t *next = &d->counted[p->stream_index];

    if (!is_counted(d, p->stream_index)) return;
    if (*next == AV_NOPTS_VALUE) *next = p->dts;
    if (*next == AV_NOPTS_VALUE) return;
    p->pts = p->dts = *next;
    if (p->duration <= 0) p->duration = 1; /* dwRate / dwScale: frames a second */
    if (!vpi_add_i64(*next, p->duration, next)) *next = AV_NOPTS_VALUE;
}

/* Have the edits of all wanted tracks ended? */
static bool all_behind(const vpi_demux *d)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->wanted[i] && !d->behind[i]) return false;
    return true;
}

/* What is to be done with a packet that was read. VP_OK: it is given out; VP_AGAIN: it is not; VP_END: nor is any
 * other. */
static vp_status take_packet(vpi_demux *d, AVPacket *packet, vp_error *err)
{
    vpi_edit_place place = VPI_EDIT_GIVEN;
    const vpi_edits *edits;
    int32_t track;

    VPI_TRY(vpi_route_packet(&d->routes, d->ic, packet, &track, err));
    /* Other streams that show up after opening were not checked: they are left out. */
    if (track < 0 || (size_t)track >= d->count || !d->wanted[track]) return VP_AGAIN;
    packet->stream_index = track;
    bound_times(packet);
    count_time(d, packet);
    edits = vpi_edits_of(&d->structure, d->ic->streams[track]);
    if (!edits) return VP_OK;
    VPI_TRY(vpi_edits_apply(edits, d->ic->streams[track], packet, &place, err));
    if (place == VPI_EDIT_GIVEN) return VP_OK;
    if (place == VPI_EDIT_BEHIND) d->behind[track] = true;
    return all_behind(d) ? VP_END : VP_AGAIN;
}

vp_status vpi_demux_next(vpi_demux *d, AVPacket **out, vp_error *err)
{
    AVPacket *packet = av_packet_alloc();
    unsigned bad = 0;
    vp_status st;
    int r;

    *out = NULL;
    if (!packet) return vpi_fail_nomem(err);
    if (!d->ic) { /* opening it again for a seek failed */
        av_packet_free(&packet);
        return vpi_fail(err, VP_E_STATE, NULL, "the reader has failed before");
    }
    d->read_any = true;
    for (;;) {
        st = vpi_cancel_check(d->cancel, err);
        if (st < 0) break;
        r = av_read_frame(d->ic, packet);
        if (r < 0) {
            st = read_failed(d, r, &bad, err);
            d->lost = bad > 0;
            if (st != VP_OK) break;
            continue;
        }
        st = take_packet(d, packet, err);
        if (st == VP_OK) {
            d->lost = false;
            *out = packet;
            return VP_OK;
        }
        if (st != VP_AGAIN) break;
        av_packet_unref(packet);
    }
    av_packet_free(&packet);
    return st;
}

vp_status vpi_demux_queue(vpi_demux *d, AVPacket *packet, vp_error *err)
{
    if (d->queue_at == d->queue_count) d->queue_at = d->queue_count = 0;
    if (!VPI_GROW(d->queue, d->queue_count, d->queue_cap)) {
        av_packet_free(&packet);
        return vpi_fail_nomem(err);
    }
    d->queue[d->queue_count++] = packet;
    return VP_OK;
}

void vpi_demux_clear_queue(vpi_demux *d)
{
    for (; d->queue_at < d->queue_count; d->queue_at++) av_packet_free(&d->queue[d->queue_at]);
    d->queue_at = d->queue_count = 0;
}

static int64_t repair(vpi_demux *d, AVPacket *p)
{
    int64_t shift, *position = &d->positions[p->stream_index];

    if (!d->timeline || !d->timeline->count) return 0;
    if (p->pos >= 0) *position = p->pos;
    shift = vpi_repair_shift(d->timeline->repairs, d->timeline->count, *position);
    shift = vpi_repair_ticks(shift, d->tracks[p->stream_index].tb);
    if (p->pts != AV_NOPTS_VALUE && !vpi_add_i64(p->pts, -shift, &p->pts)) p->pts = AV_NOPTS_VALUE;
    if (p->dts != AV_NOPTS_VALUE && !vpi_add_i64(p->dts, -shift, &p->dts)) p->dts = AV_NOPTS_VALUE;
    return shift;
}

void vpi_demux_set_timeline(vpi_demux *d, const vpi_timeline *timeline)
{
    d->timeline = timeline;
}

static void give(AVPacket *p, vpi_packet *out)
{
    out->stream = p->stream_index;
    out->key = (p->flags & AV_PKT_FLAG_KEY) != 0;
    out->discard = (p->flags & AV_PKT_FLAG_DISCARD) != 0;
    out->corrupt = (p->flags & AV_PKT_FLAG_CORRUPT) != 0;
    out->has_pts = p->pts != AV_NOPTS_VALUE;
    out->has_dts = p->dts != AV_NOPTS_VALUE;
    out->pts = out->has_pts ? p->pts : 0;
    out->dts = out->has_dts ? p->dts : 0;
    out->duration = p->duration > 0 ? p->duration : 0;
    out->position = p->pos;
    out->data = p->data;
    out->size = p->size > 0 ? (size_t)p->size : 0;
    out->edit = (int32_t)(intptr_t)p->opaque;
    out->ref = p;
}

vp_status vpi_demux_read(vpi_demux *d, vpi_packet *packet, vp_error *err)
{
    AVPacket *p = NULL;
    vp_status st;

    vpi_packet_dispose(packet);
    do {
        if (d->queue_at < d->queue_count) {
            p = d->queue[d->queue_at++];
            if (!d->wanted[p->stream_index]) av_packet_free(&p);
        } else {
            st = vpi_demux_next(d, &p, err);
            if (st != VP_OK) return st;
        }
        if (!p || !d->mp4[p->stream_index].active) continue;
        st = vpi_mp4_convert(&d->mp4[p->stream_index], &d->tracks[p->stream_index], p, err);
        if (st != VP_OK) av_packet_free(&p);
        if (st < 0) return st;
    } while (!p);
    packet->shift = repair(d, p);
    give(p, packet);
    return VP_OK;
}

/* ---- seeking ---- */

/* Another stream may carry on a track: see route.c. */
static bool may_be_wanted(const vpi_demux *d, size_t stream)
{
    for (size_t i = 0; i < d->count; i++) {
        if (d->wanted[i] &&
            (i == stream || (d->ic->nb_programs > 0 && d->ic->streams[i]->codecpar->codec_id ==
                                                           d->ic->streams[stream]->codecpar->codec_id)))
            return true;
    }
    return false;
}

static void apply_wanted(vpi_demux *d)
{
    for (size_t i = 0; i < d->count && i < d->ic->nb_streams; i++)
        d->ic->streams[i]->discard = may_be_wanted(d, i) ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
}

void vpi_demux_select(vpi_demux *d, const int32_t *streams, size_t n)
{
    memset(d->wanted, 0, d->count * sizeof(*d->wanted));
    for (size_t i = 0; i < n; i++) {
        if (streams[i] >= 0 && (size_t)streams[i] < d->count) d->wanted[streams[i]] = true;
    }
    apply_wanted(d);
}

/* To the first packet: demuxers differ too much in what they make of a seek there, so open the file again. */
static vp_status rewind_input(vpi_demux *d, vp_error *err)
{
    vpi_demux_clear_queue(d);
    memset(d->behind, 0, d->count * sizeof(*d->behind));
    if (!d->read_any) return VP_OK;
    memset(d->positions, 0, d->count * sizeof(*d->positions));
    for (size_t i = 0; i < d->count; i++) d->counted[i] = AV_NOPTS_VALUE;
    vpi_routes_reset(&d->routes, d->count);
    VPI_TRY(vpi_demux_reopen(d, err));
    if (d->ic->nb_streams < d->count) {
        return vpi_fail(err, VP_E_CONFLICT, "SOURCE_CHANGED", "the file has other streams than before");
    }
    apply_wanted(d);
    return VP_OK;
}

/* After libav*'s seek: reads to the first random access point. VP_AGAIN: it lies behind pts. */
static vp_status land(vpi_demux *d, int32_t stream, int64_t pts, vp_error *err)
{
    /* Program streams time some pictures only; what libav* makes up for the others after a seek is wrong. */
    bool need_pts = (d->ic->iformat->flags & AVFMT_TS_DISCONT) != 0;
    AVPacket *p;
    vp_status st;

    for (unsigned n = 0; n < SEEK_PACKETS; n++) {
        int64_t time;

        st = vpi_demux_next(d, &p, err);
        if (st != VP_OK) return st == VP_END ? VP_AGAIN : st;
        time = p->pts != AV_NOPTS_VALUE ? p->pts : p->dts;
        if (p->stream_index == stream && time != AV_NOPTS_VALUE) {
            bool key = (p->flags & AV_PKT_FLAG_KEY) && (p->pts != AV_NOPTS_VALUE || !need_pts);

            if (time <= pts && key) return vpi_demux_queue(d, p, err);
            if (key || (p->dts != AV_NOPTS_VALUE && p->dts > pts)) {
                av_packet_free(&p);
                return VP_AGAIN;
            }
        }
        av_packet_free(&p);
    }
    return VP_AGAIN;
}

bool vpi_demux_has_palette(const vpi_demux *d, int32_t stream)
{
    const AVCodecParameters *par = d->ic->streams[stream]->codecpar;

    return par->codec_type == AVMEDIA_TYPE_VIDEO && par->format == AV_PIX_FMT_PAL8;
}

vp_status vpi_demux_seek(vpi_demux *d, int32_t stream, int64_t pts, vp_error *err)
{
    /* Where the file has no index libav* lands near the time, not on a random access point: begin earlier. */
    static const int64_t back_ms[] = { 0, 1000, 4000, 12000, 40000 };
    const vpi_track *t = vpi_demux_track(d, stream);
    const vpi_edits *edits;
    vp_status st = VP_AGAIN;

    if (!t) return vpi_fail(err, VP_E_ARG, NULL, "no stream %d", stream);
    vpi_demux_clear_queue(d);
    if (!t->has_times || vpi_formats_raw(d->format) || pts <= t->start ||
        (d->timeline && d->timeline->count) || !d->ic || vpi_demux_has_palette(d, stream))
        return rewind_input(d, err);
    memset(d->behind, 0, d->count * sizeof(*d->behind));
    edits = vpi_edits_of(&d->structure, d->ic->streams[stream]);
    for (size_t i = 0; i < VPI_COUNT(back_ms) && st == VP_AGAIN; i++) {
        int64_t back = vpi_rescale(back_ms[i], t->tb.den, 1000 * t->tb.num, VPI_CEIL), to = 0;

        if (!vpi_add_i64(pts, -back, &to) || (i > 0 && to <= t->start)) break;
        d->read_any = true;
        if (edits) to = vpi_edits_media(edits, to);
        if (av_seek_frame(d->ic, stream, to, AVSEEK_FLAG_BACKWARD) < 0) break;
        st = land(d, stream, pts, err);
    }
    VPI_TRY(vpi_avio_failed(&d->io, err));
    if (st != VP_AGAIN) return st;
    return rewind_input(d, err);
}
