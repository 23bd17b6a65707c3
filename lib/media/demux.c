/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/reader_int.h"
#include "media/repair_int.h"

#include <libavutil/mem.h>
#include <libavutil/opt.h>

#include "bitstream/bitstream.h"

#define BAD_READS_MAX 64u    /* failed reads in a row that a demuxer may take to find its way again */
#define QUEUE_MAX 1024u      /* packets looked at ahead of the reader */
#define STREAMS_OPEN 5000    /* above it libav* says ENOMEM, below it we say what is wrong */
#define SETTLE_PACKETS 2000u /* looked at to see all streams of a file without a list of them */
#define SETTLE_BYTES (1u << 20)
#define SEEK_PACKETS 100000u               /* looked at for a random access point */
#define TICK_SAMPLES 32                    /* of AVI: in so much time there is more than one byte */
#define ANALYZE_US (30 * INT64_C(1000000)) /* media time in which a declared track may begin */

struct vpi_demux {
    vp_context *context;
    vp_source *source;
    vp_cancel *cancel;
    vpi_limits limits;
    vpi_structure structure;
    vpi_avio io;
    const AVInputFormat *format;
    AVFormatContext *ic;
    bool refused_open; /* the demuxer wanted another file */
    bool read_any;
    bool lost; /* the reads after the last packet failed */
    unsigned
        late_streams; /* so many are there once a first look has come to the end of the file; 0: it was enough */
    vpi_track *tracks;
    char **dropped;
    bool *wanted;
    vpi_mp4 *mp4;
    int64_t *positions; /* of each stream's last packet */
    int64_t
        *counted; /* time of the next packet, for streams of structure.avi_frames; AV_NOPTS_VALUE: its own */
    bool *behind; /* its edits have ended */
    const vpi_timeline *timeline;
    vpi_routes routes;
    size_t count;
    AVPacket **queue; /* read, not given out yet */
    size_t queue_at, queue_count, queue_cap;
};

/* ---- opening ---- */

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
        memset(head + got, 0, AVPROBE_PADDING_SIZE);
        last = got >= d->io.size || size >= limit;
        st = vpi_formats_choose(head, got, last, &d->format, err);
        if (st == VP_AGAIN && got < size && !last) {
            st = vpi_fail(err, VP_E_DATA, "INPUT_TRUNCATED", "the source ended at byte %zu of %llu", got,
                          (unsigned long long)d->io.size);
        }
    }
    vpi_free(head);
    return st;
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

    if (ic->nb_streams > VPI_MIN(d->limits.max_streams, VPI_STREAMS_MAX)) {
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "%u streams are more than the limit of %u",
                        ic->nb_streams, d->limits.max_streams);
    }
    if (ic->duration != AV_NOPTS_VALUE && ic->duration > 0 &&
        (uint64_t)ic->duration > d->limits.max_duration_us) {
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "a duration of %lld s is more than the limit",
                        (long long)(ic->duration / VPI_TICKS_PER_US));
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

static vp_status open_input(vpi_demux *d, vp_error *err)
{
    VPI_TRY(open_once(d, err));
    if (d->late_streams || !appeared_late(d)) return VP_OK;
    /* Once more, reading on until they are all there before libavformat looks at each. */
    d->late_streams = d->ic->nb_streams;
    avformat_close_input(&d->ic);
    if (avio_seek(d->io.context, 0, SEEK_SET) < 0)
        return vpi_fail(err, VP_E_IO, NULL, "no way back to byte 0");
    return open_once(d, err);
}

/* ---- tracks ---- */

/* Text why a picture or sound stream cannot be used, NULL when it can. *codec: for lack of a decoder. */
static char *unusable(const AVStream *stream, const vpi_track *t, bool *codec, bool *nomem)
{
    char *text = NULL;

    *codec = !vpi_libav_decoder(stream->codecpar->codec_id);
    if (*codec) {
        text = vpi_asprintf("the codec %s is not supported", t->codec_name);
    } else if (t->kind == VPI_KIND_VIDEO && (!t->width || !t->height)) {
        text = vpi_strdup("no picture of it was found");
    } else if (t->kind == VPI_KIND_AUDIO && (!t->sample_rate || !t->channels)) {
        text = vpi_strdup("no sound of it was found");
    } else {
        return NULL;
    }
    *nomem = !text;
    return text;
}

/* The sound of another programme of a multiplex is not that of the picture that is published. */
static vp_status keep_program(vpi_demux *d, vp_error *err)
{
    const AVProgram *shown = NULL;

    for (size_t i = 0; i < d->count && !shown; i++) {
        if (d->tracks[i].kind != VPI_KIND_VIDEO || d->tracks[i].attached_picture) continue;
        shown = av_find_program_from_stream(d->ic, NULL, (int)i);
        if (!shown) return VP_OK;
    }
    for (size_t i = 0; i < d->count && shown; i++) {
        const AVProgram *own = NULL;
        bool same = false;

        if (d->tracks[i].kind != VPI_KIND_AUDIO) continue;
        while ((own = av_find_program_from_stream(d->ic, (AVProgram *)own, (int)i)) != NULL && !same)
            same = own == shown;
        if (same || !av_find_program_from_stream(d->ic, NULL, (int)i)) continue;
        d->dropped[i] = vpi_strdup("it belongs to another programme than the picture");
        if (!d->dropped[i]) return vpi_fail_nomem(err);
        d->tracks[i].kind = VPI_KIND_OTHER;
    }
    return VP_OK;
}

static vp_status sort_tracks(vpi_demux *d, vp_error *err)
{
    unsigned good[2] = { 0, 0 }, bad[2] = { 0, 0 };
    bool codec, nomem = false, any_codec = false, any_text = false;
    const char *name = "";

    for (size_t i = 0; i < d->count; i++) {
        vpi_track *t = &d->tracks[i];
        unsigned k = t->kind == VPI_KIND_AUDIO;

        if (t->kind == VPI_KIND_TEXT) any_text = true;
        if (t->attached_picture || (t->kind != VPI_KIND_VIDEO && t->kind != VPI_KIND_AUDIO)) continue;
        d->dropped[i] = unusable(d->ic->streams[i], t, &codec, &nomem);
        if (nomem) return vpi_fail_nomem(err);
        if (!d->dropped[i]) {
            good[k]++;
            continue;
        }
        t->kind = VPI_KIND_OTHER;
        bad[k]++;
        if (codec && (!any_codec || k == 0)) {
            any_codec = true;
            name = t->codec_name;
        }
    }
    if (good[0]) return keep_program(d, err);
    if (good[1] && !bad[0]) return VP_OK;
    if (any_codec)
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "the codec %s is not supported", name);
    if (bad[0] || bad[1]) {
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT",
                        "the file declares streams, but nothing of them was found");
    }
    return vpi_fail(err, VP_E_DATA, "INPUT_NO_VIDEO_OR_AUDIO", "the file holds neither picture nor sound%s",
                    any_text ? ", only text" : "");
}

static void edit_range(vpi_demux *d, size_t i)
{
    const vpi_edits *edits = vpi_edits_of(&d->structure, d->ic->streams[i]);
    vpi_track *t = &d->tracks[i];

    if (!edits) return;
    vpi_edits_range(edits, t->end, &t->start, &t->end);
    t->has_times = true;
}

static vp_status fill_tracks(vpi_demux *d, vp_error *err)
{
    size_t n = d->ic->nb_streams;

    d->tracks = vpi_calloc(n, sizeof(*d->tracks));
    d->dropped = vpi_calloc(n, sizeof(*d->dropped));
    d->wanted = vpi_calloc(n, sizeof(*d->wanted));
    d->mp4 = vpi_calloc(n, sizeof(*d->mp4));
    d->positions = vpi_calloc(n, sizeof(*d->positions));
    d->counted = vpi_calloc(n, sizeof(*d->counted));
    d->behind = vpi_calloc(n, sizeof(*d->behind));
    if (!d->tracks || !d->dropped || !d->wanted || !d->mp4 || !d->positions || !d->counted || !d->behind)
        return vpi_fail_nomem(err);
    d->count = n;
    vpi_routes_reset(&d->routes, n);
    for (size_t i = 0; i < n; i++) {
        d->wanted[i] = true;
        d->counted[i] = AV_NOPTS_VALUE;
        vpi_track_fill(&d->tracks[i], d->ic->streams[i], d->ic);
        edit_range(d, i);
    }
    return sort_tracks(d, err);
}

vp_status vpi_demux_open_limits(vp_context *context, vp_source *source, const vpi_limits *limits, bool all,
                                vp_cancel *cancel, vpi_demux **out, vp_error *err)
{
    vpi_demux *d = NULL;
    vp_status st;

    *out = NULL;
    d = vpi_calloc(1, sizeof(*d));
    if (!d) return vpi_fail_nomem(err);
    d->context = vp_context_ref(context);
    d->source = vp_source_ref(source);
    d->cancel = vp_cancel_ref(cancel);
    d->limits = *limits;
    VPI_GO(vpi_cancel_check(cancel, err));
    VPI_GO(vpi_avio_open(&d->io, source, cancel, err));
    if (d->io.size == 0) {
        st = vpi_fail(err, VP_E_DATA, "INPUT_EMPTY", "the file is empty");
        goto done;
    }
    VPI_GO(choose_format(d, err));
    VPI_GO(check_structure(d, all, err));
    VPI_GO(open_input(d, err));
    VPI_GO(fill_tracks(d, err));
    *out = d;
    return VP_OK;
done:
    vpi_error_op(err, "open");
    vpi_demux_close(d);
    return st;
}

vp_status vpi_demux_open(vp_context *context, vp_source *source, const vp_probe_options *limits,
                         vp_cancel *cancel, vpi_demux **out, vp_error *err)
{
    vpi_limits l;

    *out = NULL;
    VPI_TRY(vpi_limits_from(limits, &l, err));
    return vpi_demux_open_limits(context, source, &l, false, cancel, out, err);
}

static void clear_queue(vpi_demux *d)
{
    for (; d->queue_at < d->queue_count; d->queue_at++) av_packet_free(&d->queue[d->queue_at]);
    d->queue_at = d->queue_count = 0;
}

vpi_demux *vpi_demux_close(vpi_demux *d)
{
    if (!d) return NULL;
    clear_queue(d);
    vpi_free(d->queue);
    avformat_close_input(&d->ic);
    for (size_t i = 0; i < d->count; i++) {
        vpi_track_dispose(&d->tracks[i]);
        vpi_mp4_dispose(&d->mp4[i]);
        vpi_free(d->dropped[i]);
    }
    vpi_free(d->tracks);
    vpi_free(d->dropped);
    vpi_free(d->wanted);
    vpi_free(d->mp4);
    vpi_free(d->positions);
    vpi_free(d->counted);
    vpi_free(d->behind);
    vpi_structure_dispose(&d->structure);
    vpi_routes_dispose(&d->routes);
    vpi_avio_close(&d->io);
    vp_cancel_unref(d->cancel);
    vp_source_unref(d->source);
    vp_context_unref(d->context);
    vpi_free(d);
    return NULL;
}

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

/* The next packet of a wanted stream, from the file. */
static vp_status read_packet(vpi_demux *d, AVPacket **out, vp_error *err)
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

static vp_status queue_packet(vpi_demux *d, AVPacket *packet, vp_error *err)
{
    if (d->queue_at == d->queue_count) d->queue_at = d->queue_count = 0;
    if (!VPI_GROW(d->queue, d->queue_count, d->queue_cap)) {
        av_packet_free(&packet);
        return vpi_fail_nomem(err);
    }
    d->queue[d->queue_count++] = packet;
    return VP_OK;
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
            st = read_packet(d, &p, err);
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

/* To the first packet: demuxers differ too much in what they make of a seek there, so open the file again. */
static vp_status rewind_input(vpi_demux *d, vp_error *err)
{
    clear_queue(d);
    memset(d->behind, 0, d->count * sizeof(*d->behind));
    if (!d->read_any) return VP_OK;
    memset(d->positions, 0, d->count * sizeof(*d->positions));
    for (size_t i = 0; i < d->count; i++) d->counted[i] = AV_NOPTS_VALUE;
    vpi_routes_reset(&d->routes, d->count);
    avformat_close_input(&d->ic);
    if (avio_seek(d->io.context, 0, SEEK_SET) < 0)
        return vpi_fail(err, VP_E_IO, NULL, "no way back to byte 0");
    VPI_TRY(open_input(d, err));
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

        st = read_packet(d, &p, err);
        if (st != VP_OK) return st == VP_END ? VP_AGAIN : st;
        time = p->pts != AV_NOPTS_VALUE ? p->pts : p->dts;
        if (p->stream_index == stream && time != AV_NOPTS_VALUE) {
            bool key = (p->flags & AV_PKT_FLAG_KEY) && (p->pts != AV_NOPTS_VALUE || !need_pts);

            if (time <= pts && key) return queue_packet(d, p, err);
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
    clear_queue(d);
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

void vpi_demux_select(vpi_demux *d, const int32_t *streams, size_t n)
{
    memset(d->wanted, 0, d->count * sizeof(*d->wanted));
    for (size_t i = 0; i < n; i++) {
        if (streams[i] >= 0 && (size_t)streams[i] < d->count) d->wanted[streams[i]] = true;
    }
    apply_wanted(d);
}

/* ---- what is known ---- */

bool vpi_demux_any_start(const vpi_demux *d)
{
    return (d->format->flags & AVFMT_TS_DISCONT) != 0;
}

size_t vpi_demux_stream_count(const vpi_demux *d)
{
    return d->count;
}

const vpi_track *vpi_demux_track(const vpi_demux *d, int32_t stream)
{
    return stream >= 0 && (size_t)stream < d->count ? &d->tracks[stream] : NULL;
}

AVStream *vpi_demux_avstream(vpi_demux *d, int32_t stream)
{
    return stream >= 0 && (size_t)stream < d->count ? d->ic->streams[stream] : NULL;
}

int64_t vpi_demux_max_pixels(const vpi_demux *d)
{
    return (int64_t)d->limits.max_pixels;
}

const vpi_structure *vpi_demux_structure(const vpi_demux *d)
{
    return &d->structure;
}

AVFormatContext *vpi_demux_format(vpi_demux *d)
{
    return d->ic;
}

const vpi_avio *vpi_demux_avio(const vpi_demux *d)
{
    return &d->io;
}

const vpi_routes *vpi_demux_routes(const vpi_demux *d)
{
    return &d->routes;
}

bool vpi_demux_lost(const vpi_demux *d)
{
    return d->lost;
}

const char *vpi_demux_format_name(const vpi_demux *d)
{
    return d->structure.name[0] ? d->structure.name : d->format->name;
}

const char *vpi_demux_dropped(const vpi_demux *d, int32_t stream)
{
    return stream >= 0 && (size_t)stream < d->count ? d->dropped[stream] : NULL;
}

/* ---- packaging ---- */

vp_status vpi_demux_config(vpi_demux *d, int32_t stream, const uint8_t **data, size_t *size, vp_error *err)
{
    const vpi_track *t = vpi_demux_track(d, stream);
    vpi_mp4 *m;
    AVPacket *p;
    vp_status st;

    *data = NULL;
    *size = 0;
    if (!t) return vpi_fail(err, VP_E_ARG, NULL, "no stream %d", stream);
    m = &d->mp4[stream];
    st = vpi_mp4_config(m, t, d->ic->streams[stream], err);
    for (size_t i = d->queue_at; st == VP_AGAIN && i < d->queue_count; i++) {
        if (d->queue[i]->stream_index == stream)
            st = vpi_mp4_config_packet(m, t, d->ic->streams[stream], d->queue[i], err);
    }
    for (unsigned n = 0; st == VP_AGAIN; n++) {
        if (n >= QUEUE_MAX) {
            return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "stream %d has no decoder configuration",
                            stream);
        }
        st = read_packet(d, &p, err);
        if (st == VP_END) {
            return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "stream %d has no decoder configuration",
                            stream);
        }
        if (st < 0) return st;
        st = VP_AGAIN;
        if (p->stream_index == stream) st = vpi_mp4_config_packet(m, t, d->ic->streams[stream], p, err);
        VPI_TRY(queue_packet(d, p, err));
    }
    if (st < 0) return st;
    *data = m->config;
    *size = m->config_size;
    return VP_OK;
}

vp_status vpi_demux_as_mp4(vpi_demux *d, int32_t stream, vp_error *err)
{
    const uint8_t *data;
    size_t size;

    VPI_TRY(vpi_demux_config(d, stream, &data, &size, err));
    d->mp4[stream].active = vpi_mp4_converts(&d->mp4[stream], d->tracks[stream].codec);
    return VP_OK;
}
