/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/demux_int.h"

#include "bitstream/bitstream.h"

#define STREAMS_OPEN 5000    /* above it libav* says ENOMEM, below it we say what is wrong */
#define SETTLE_PACKETS 2000u /* looked at to see all streams of a file without a list of them */
#define SETTLE_BYTES (1u << 20)
#define ANALYZE_US (30 * INT64_C(1000000)) /* media time in which a declared track may begin */

static int refuse_open(AVFormatContext *ic, AVIOContext **pb, const char *url, int flags,
                       AVDictionary **options)
{
    vpi_demux *d = ic->opaque;

    (void)url;
    (void)flags;
    (void)options;
    *pb = NULL;
    if (d) d->refused_open = true;
    return AVERROR(EPERM);
}

/* The source's own failure and the cancel come before what libav* made of them. */
static vp_status libav_failed(vpi_demux *d, int averror, const char *op, vp_error *err)
{
    vp_status st = vpi_avio_failed(&d->io, err);

    if (st == VP_OK) st = vpi_cancel_check(d->cancel, err);
    if (st == VP_OK && d->refused_open) {
        st = vpi_fail(err, VP_E_UNSUPPORTED, "INPUT_FORBIDDEN_FORMAT",
                      "the file makes a reader open other files");
    }
    if (st == VP_OK && averror == AVERROR_EOF) {
        st = vpi_libav_fail(err, VP_E_DATA, "INPUT_TRUNCATED", averror, op);
    }
    if (st == VP_OK && averror != AVERROR(ENOMEM))
        st = vpi_libav_fail(err, VP_E_DATA, "INPUT_CORRUPT", averror, op);
    if (st == VP_OK) st = vpi_libav_error(err, averror, op);
    vpi_error_op(err, op);
    return st;
}

static vp_status choose_format(vpi_demux *d, vp_error *err)
{
    size_t size = 32768, got = 0, limit;
    vp_status st = VP_AGAIN;
    uint8_t *head = NULL, *more;
    bool growing;

    limit = (size_t)VPI_MIN((uint64_t)VPI_HEAD_MAX, d->limits.probe_bytes);
    while (st == VP_AGAIN) {
        bool last;

        size = VPI_MIN(size * 2, limit);
        st = vpi_cancel_check(d->cancel, err);
        if (st < 0) break;
        more = vpi_realloc(head, size + AVPROBE_PADDING_SIZE, 1);
        if (!more) {
            st = vpi_fail_nomem(err);
            break;
        }
        head = more;
        st = vp_source_read_at(d->source, 0, head, size, &got, err);
        if (st < 0) break;
        growing = st == VP_AGAIN || (got < size && d->io.size == VP_SIZE_UNKNOWN);
        memset(head + got, 0, AVPROBE_PADDING_SIZE);
        last = !growing && (got >= d->io.size || size >= limit);
        st = vpi_formats_choose(head, got, last, &d->format, err);
        if (st == VP_AGAIN && growing) st = vpi_not_yet(NULL, err);
        if (st == VP_AGAIN && got < size && !last) {
            st = vpi_fail(err, VP_E_DATA, "INPUT_TRUNCATED", "the source ended at byte %zu of %llu", got,
                          (unsigned long long)d->io.size);
        }
    }
    vpi_free(head);
    return st;
}

vp_status vpi_demux_look_at_head(vpi_demux *d, vp_error *err)
{
    d->io.size = VP_SIZE_UNKNOWN;
    VPI_TRY(choose_format(d, err));
    return vpi_not_yet(NULL, err);
}

static vp_status check_structure(vpi_demux *d, bool all, vp_error *err)
{
    vpi_window *w = vpi_calloc(1, sizeof(*w));
    vp_status st;

    if (!w) return vpi_fail_nomem(err);
    w->source = d->source;
    w->cancel = d->cancel;
    w->size = d->io.size;
    st = vpi_structure_check(w, d->format, all, &d->structure, err);
    vpi_free(w);
    return st;
}

static vp_status too_large(uint64_t width, uint64_t height, vp_error *err)
{
    return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "pictures of %llux%llu are larger than the limit",
                    (unsigned long long)width, (unsigned long long)height);
}

static vp_status check_sps(const vpi_demux *d, enum AVCodecID codec, const vpi_nal *nal, vp_error *err)
{
    uint64_t width = 0, height = 0;
    vpi_h264_sps sps;
    vpi_hevc_ptl ptl;

    if (codec == AV_CODEC_ID_H264 && vpi_h264_type(nal) == VPI_H264_SPS &&
        vpi_h264_sps_parse(nal, &sps, NULL) == VP_OK) {
        width = sps.width;
        height = sps.height;
    }
    if (codec == AV_CODEC_ID_HEVC && nal->size > 2 && ((nal->data[0] >> 1) & 63) == 33 &&
        vpi_hevc_sps_parse(nal, &ptl, NULL) == VP_OK) {
        width = ptl.width;
        height = ptl.height;
    }
    return width * height > d->limits.max_pixels ? too_large(width, height, err) : VP_OK;
}

/* The size that the bitstream tells may be larger than the container's. */
static vp_status check_sets(const vpi_demux *d, const AVCodecParameters *par, vp_error *err)
{
    size_t size = par->extradata_size > 0 ? (size_t)par->extradata_size : 0, at = 0;
    vpi_hevc_ptl ptl;
    vpi_avcc avcc;
    vpi_nal nal;
    uint8_t length;

    if (!size || (par->codec_id != AV_CODEC_ID_H264 && par->codec_id != AV_CODEC_ID_HEVC)) return VP_OK;
    if (par->extradata[0] != 1) {
        while (vpi_annexb_next(par->extradata, size, &at, &nal))
            VPI_TRY(check_sps(d, par->codec_id, &nal, err));
    } else if (par->codec_id == AV_CODEC_ID_HEVC) {
        if (vpi_hvcc_parse(par->extradata, size, &ptl, &length, NULL) == VP_OK &&
            (uint64_t)ptl.width * ptl.height > d->limits.max_pixels) {
            return too_large(ptl.width, ptl.height, err);
        }
    } else if (vpi_avcc_parse(par->extradata, size, &avcc, NULL) == VP_OK) {
        for (size_t i = 0; i < avcc.sps_count; i++) VPI_TRY(check_sps(d, par->codec_id, &avcc.sps[i], err));
    }
    return VP_OK;
}

/* All ones: its writer did not know it (ISO/IEC 14496-12 8.2.2, 8.4.2). libavformat takes that for a number. */
static void forget_unknown(vpi_demux *d)
{
    if (strncmp(d->ic->iformat->name, "mov", 3) != 0) return;
    for (unsigned i = 0; i < d->ic->nb_streams; i++) {
        AVStream *stream = d->ic->streams[i];

        if (stream->duration != UINT32_MAX) continue;
        stream->duration = AV_NOPTS_VALUE;
        d->ic->duration = AV_NOPTS_VALUE;
    }
}

/* What is declared, before anything is decoded; and once more with what the decoders said. */
static vp_status check_limits(const vpi_demux *d, vp_error *err)
{
    const AVFormatContext *ic = d->ic;
    /* libavformat 60 and later know it only when they have looked at samples, which may not have come yet. */
    uint64_t declared = ic->duration > 0 ? (uint64_t)ic->duration : d->structure.movie_us;

    if (ic->nb_streams > VPI_MIN(d->limits.max_streams, VPI_STREAMS_MAX)) {
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "%u streams are more than the limit of %u",
                        ic->nb_streams, d->limits.max_streams);
    }
    if (declared > d->limits.max_duration_us) {
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "a duration of %llu s is more than the limit",
                        (unsigned long long)(declared / VPI_TICKS_PER_US));
    }
    for (unsigned i = 0; i < ic->nb_streams; i++) {
        const AVCodecParameters *par = ic->streams[i]->codecpar;

        if (par->codec_type != AVMEDIA_TYPE_VIDEO) continue;
        if (ic->streams[i]->disposition & AV_DISPOSITION_ATTACHED_PIC) continue;
        if (par->width > 0 && par->height > 0 &&
            (uint64_t)par->width * (uint64_t)par->height > d->limits.max_pixels) {
            return too_large((uint64_t)par->width, (uint64_t)par->height, err);
        }
        VPI_TRY(check_sets(d, par, err));
    }
    return VP_OK;
}

static vp_status check_encrypted(const vpi_demux *d, vp_error *err)
{
    for (unsigned i = 0; i < d->ic->nb_streams; i++) {
        if (!vpi_track_encrypted(d->ic->streams[i])) continue;
        return vpi_fail(err, VP_E_UNSUPPORTED, "INPUT_ENCRYPTED", "stream %u is encrypted", i);
    }
    return VP_OK;
}

static vp_status new_input(vpi_demux *d, vp_error *err)
{
    AVFormatContext *ic = avformat_alloc_context();

    if (!ic) return vpi_fail_nomem(err);
    ic->opaque = d;
    ic->pb = d->io.context;
    ic->flags |= AVFMT_FLAG_CUSTOM_IO;
    ic->io_open = refuse_open;
    ic->interrupt_callback.callback = vpi_libav_interrupted;
    ic->interrupt_callback.opaque = d->cancel;
    ic->probesize = (int64_t)VPI_CLAMP(d->limits.probe_bytes, (uint64_t)2048, (uint64_t)INT32_MAX);
    ic->max_analyze_duration = ANALYZE_US;
    ic->max_streams = STREAMS_OPEN;
    ic->max_probe_packets = 2500;
    ic->format_whitelist = av_strdup(d->format->name);
    ic->protocol_whitelist = av_strdup("none");
    ic->codec_whitelist = vpi_formats_codec_list();
    d->ic = ic;
    if (!ic->format_whitelist || !ic->protocol_whitelist || !ic->codec_whitelist) return vpi_fail_nomem(err);
    return VP_OK;
}

/* The sequence header of MPEG-1 and -2 (ISO/IEC 13818-2 6.2.2.1): 12 bits each, without the extension's
 * two more. */
static vp_status check_mpeg(const vpi_demux *d, const AVPacket *p, vp_error *err)
{
    enum AVCodecID codec = d->ic->streams[p->stream_index]->codecpar->codec_id;

    if (codec != AV_CODEC_ID_MPEG1VIDEO && codec != AV_CODEC_ID_MPEG2VIDEO) return VP_OK;
    for (int i = 0; i + 7 < p->size && i < 64; i++) {
        const uint8_t *b = p->data + i;
        uint64_t width = (uint64_t)b[4] << 4 | b[5] >> 4, height = (uint64_t)(b[5] & 15) << 8 | b[6];

        if (b[0] || b[1] || b[2] != 1 || b[3] != 0xB3) continue;
        return width * height > d->limits.max_pixels ? too_large(width, height, err) : VP_OK;
    }
    return VP_OK;
}

/*
 * Files without a list of streams show them packet by packet. avformat_find_stream_info takes options only
 * for streams that it was started with, and these carry the limit on pixels: so read on until all are
 * there, go back.
 */
static vp_status settle_streams(vpi_demux *d, vp_error *err)
{
    int64_t start = avio_tell(d->io.context), bytes = 0;
    uint64_t limit = d->late_streams ? d->limits.probe_bytes : SETTLE_BYTES;
    AVPacket *packet;
    vp_status st = VP_OK;
    int r = 0;

    if (!d->late_streams && !(d->ic->ctx_flags & AVFMTCTX_NOHEADER)) return VP_OK;
    if (!d->late_streams && strcmp(d->format->name, "mpeg") != 0 && strcmp(d->format->name, "flv") != 0)
        return VP_OK;
    packet = av_packet_alloc();
    if (!packet) return vpi_fail_nomem(err);
    for (unsigned n = 0; (n < SETTLE_PACKETS || d->late_streams) && bytes < (int64_t)limit; n++) {
        if (d->late_streams && d->ic->nb_streams >= d->late_streams) break;
        st = vpi_cancel_check(d->cancel, err);
        if (st < 0) break;
        r = av_read_frame(d->ic, packet);
        if (r < 0) break;
        bytes += packet->size;
        st = check_mpeg(d, packet, err);
        av_packet_unref(packet);
        if (st < 0) break;
    }
    av_packet_free(&packet);
    if (st < 0) return st;
    VPI_TRY(vpi_avio_failed(&d->io, err));
    VPI_TRY(check_limits(d, err));
    r = av_seek_frame(d->ic, -1, start, AVSEEK_FLAG_BYTE);
    return r < 0 ? libav_failed(d, r, "open", err) : VP_OK;
}

static vp_status find_streams(vpi_demux *d, vp_error *err)
{
    AVDictionary **options;
    unsigned n = d->ic->nb_streams;
    int r = 0;

    options = vpi_calloc(n ? n : 1, sizeof(*options));
    if (!options) return vpi_fail_nomem(err);
    for (unsigned i = 0; i < n && r >= 0; i++) {
        r = av_dict_set_int(&options[i], "max_pixels", (int64_t)d->limits.max_pixels, 0);
        if (r >= 0) r = av_dict_set(&options[i], "threads", "1", 0);
    }
    if (r >= 0) r = avformat_find_stream_info(d->ic, options);
    for (unsigned i = 0; i < n; i++) av_dict_free(&options[i]);
    vpi_free(options);
    if (r == AVERROR_EOF && d->ic->nb_streams == 0 && vpi_avio_failed(&d->io, NULL) == VP_OK)
        return vpi_fail(err, VP_E_DATA, "INPUT_NO_VIDEO_OR_AUDIO", "no stream was found in the file");
    return r < 0 ? libav_failed(d, r, "open", err) : vpi_avio_failed(&d->io, err);
}

/*
 * A sound whose PID the PMT names only later in the file: libavformat sees it when it looks at the end for the
 * duration, and knows no more of it than that.
 */
static bool appeared_late(const vpi_demux *d)
{
    if (strcmp(d->format->name, "mpegts") != 0) return false;
    for (unsigned i = 0; i < d->ic->nb_streams; i++) {
        const AVCodecParameters *par = d->ic->streams[i]->codecpar;

        if (par->codec_type == AVMEDIA_TYPE_AUDIO && par->sample_rate == 0 &&
            vpi_libav_decoder(par->codec_id))
            return true;
    }
    return false;
}

static vp_status open_once(vpi_demux *d, vp_error *err)
{
    AVDictionary *options = NULL;
    int r = 0;

    VPI_TRY(new_input(d, err));
    if (strncmp(d->format->name, "mov", 3) == 0) {
        r = av_dict_set(&options, "enable_drefs", "0", 0);
        if (r >= 0) r = av_dict_set(&options, "use_absolute_path", "0", 0);
        if (r >= 0 && d->structure.edit_tracks) r = av_dict_set(&options, "ignore_editlist", "1", 0);
    }
    d->io.refuse_packed = strncmp(d->format->name, "mov", 3) == 0;
    if (r >= 0) r = avformat_open_input(&d->ic, "", d->format, &options);
    av_dict_free(&options);
    if (r < 0) return libav_failed(d, r, "open", err);
    forget_unknown(d);
    VPI_TRY(check_limits(d, err));
    VPI_TRY(check_encrypted(d, err));
    VPI_TRY(settle_streams(d, err));
    VPI_TRY(find_streams(d, err));
    VPI_TRY(check_limits(d, err));
    VPI_TRY(check_encrypted(d, err));
    d->io.beyond = false;
    d->read_any = false;
    return VP_OK;
}

static vp_status back_to_start(vpi_demux *d, vp_error *err)
{
    avformat_close_input(&d->ic);
    if (avio_seek(d->io.context, 0, SEEK_SET) < 0)
        return vpi_fail(err, VP_E_IO, NULL, "no way back to byte 0");
    return VP_OK;
}

static vp_status open_input(vpi_demux *d, vp_error *err)
{
    VPI_TRY(open_once(d, err));
    if (d->late_streams || !appeared_late(d)) return VP_OK;
    /* Once more, reading on until they are all there before libavformat looks at each. */
    d->late_streams = d->ic->nb_streams;
    VPI_TRY(back_to_start(d, err));
    return open_once(d, err);
}

vp_status vpi_demux_reopen(vpi_demux *d, vp_error *err)
{
    VPI_TRY(back_to_start(d, err));
    return open_input(d, err);
}

vp_status vpi_demux_begin(vpi_demux *d, bool all, vp_error *err)
{
    VPI_TRY(choose_format(d, err));
    VPI_TRY(check_structure(d, all, err));
    return open_input(d, err);
}
