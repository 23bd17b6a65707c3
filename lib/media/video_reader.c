/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/video_reader_int.h"

#include "bitstream/bitstream.h"

/* First step back when a seek came out behind the time wanted; doubled each time. */
#define STEP_BACK_MS 1000
#define STEPS_MAX 24
/* Access points that are gone back from one that is not sure. */
#define PREROLL_RECOVERY 1u
#define PREROLL_UNSURE 3u
#define SEI_RECOVERY_POINT 6u
#define SEI_HEAD 256 /* bytes of an SEI that are looked at */
/* Packets that are looked at for the first random access point of a file. */
#define LEADING_MAX 1000u
/* Failures of the decoder one after the other without taking a packet. */
#define DECODE_FAILURES_MAX 64u

/* ---- opening ---- */

/* libavcodec's own VP8 and VP9 decoders do not see the alpha plane of WebM. */
static const AVCodec *find_decoder(const AVStream *stream)
{
    const AVDictionaryEntry *alpha = av_dict_get(stream->metadata, "alpha_mode", NULL, 0);
    enum AVCodecID id = stream->codecpar->codec_id;
    const AVCodec *codec = NULL;

    if (alpha && strcmp(alpha->value, "1") == 0) {
        if (id == AV_CODEC_ID_VP8) codec = avcodec_find_decoder_by_name("libvpx");
        if (id == AV_CODEC_ID_VP9) codec = avcodec_find_decoder_by_name("libvpx-vp9");
    }
    return codec ? codec : vpi_libav_decoder(id);
}

static vp_status open_decoder(vpi_video_reader *r, vp_error *err)
{
    const AVStream *stream = vpi_demux_avstream(r->demux, r->o.stream);
    const AVCodec *codec = find_decoder(stream);
    int e;

    if (!codec) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "no decoder for %s",
                        avcodec_get_name(stream->codecpar->codec_id));
    }
    r->decoder = avcodec_alloc_context3(codec);
    if (!r->decoder) return vpi_fail_nomem(err);
    e = avcodec_parameters_to_context(r->decoder, stream->codecpar);
    if (e < 0) return vpi_libav_error(err, e, "decode");
    r->decoder->pkt_timebase = stream->time_base;
    r->decoder->thread_count = (int)r->o.decoder_threads;
    r->decoder->thread_type = r->o.decoder_threads > 1 ? FF_THREAD_FRAME : 0;
    r->decoder->flags |= AV_CODEC_FLAG_BITEXACT;
    if (r->o.rough) r->decoder->skip_loop_filter = AVDISCARD_ALL;
    r->decoder->max_pixels = vpi_demux_max_pixels(r->demux);
    vpi_cpu_enter(r->context);
    e = avcodec_open2(r->decoder, codec, NULL);
    vpi_cpu_leave(r->context);
    return e < 0 ? vpi_libav_error(err, e, "decode") : VP_OK;
}

static vp_status open_filter(vpi_video_reader *r, vp_error *err)
{
    const vpi_track *track = vpi_demux_track(r->demux, r->o.stream);

    r->by_picture = r->o.by_picture && !track->rotation && !track->flipped;
    const vpi_filter_options f = {
        .width = r->o.width,
        .height = r->o.height,
        .rotation = r->o.rotation,
        .flipped = r->o.flipped,
        .by_picture = r->by_picture,
        .rough = r->o.rough,
        .colour = r->o.colour,
        .tags = { track->cicp_primaries, track->cicp_transfer, track->cicp_matrix },
        .full_range = track->full_range == 1,
        .full_grey = track->full_range < 0 && track->codec != VPI_CODEC_H264 &&
                     track->codec != VPI_CODEC_HEVC && track->codec != VPI_CODEC_AV1,
        .nominal_width = track->width,
        .nominal_height = track->height,
        .deinterlace = r->o.deinterlace,
        .bottom_first = r->o.bottom_first,
    };

    VPI_TRY(vpi_track_check_base(track, err));
    return vpi_filter_new(&f, &r->filter, err);
}

static vp_status check_options(const vpi_video_reader_options *o, vp_error *err)
{
    if (!o->width || !o->height || o->width % 2 || o->height % 2 || o->width > INT16_MAX ||
        o->height > INT16_MAX) {
        return vpi_fail(err, VP_E_ARG, NULL, "pictures of %ux%u", o->width, o->height);
    }
    if (o->rotation < 0 || o->rotation > 270 || o->rotation % 90) {
        return vpi_fail(err, VP_E_ARG, NULL, "a rotation by %d degrees", o->rotation);
    }
    if (!o->decoder_threads || o->decoder_threads > 64) {
        return vpi_fail(err, VP_E_ARG, NULL, "%u decoder threads", o->decoder_threads);
    }
    return VP_OK;
}

vp_status vpi_video_reader_open(vp_context *context, vp_source *source,
                                const vpi_video_reader_options *options, vp_cancel *cancel,
                                vpi_video_reader **out, vp_error *err)
{
    vpi_video_reader *r = NULL;
    const vpi_track *track;
    vp_status st;

    *out = NULL;
    VPI_TRY(check_options(options, err));
    VPI_TRY(vpi_media_load(err));
    r = vpi_calloc(1, sizeof(*r));
    if (!r) return vpi_fail_nomem(err);
    r->o = *options;
    r->context = vp_context_ref(context);
    r->cancel = vp_cancel_ref(cancel);
    r->last_pts = AV_NOPTS_VALUE;
    VPI_GO(vpi_demux_open(context, source, NULL, cancel, &r->demux, err));
    track = vpi_demux_track(r->demux, r->o.stream);
    if (!track || track->kind != VPI_KIND_VIDEO) {
        st = vpi_fail(err, VP_E_ARG, NULL, "stream %d is no picture", r->o.stream);
        goto done;
    }
    vpi_demux_select(r->demux, &r->o.stream, 1);
    vpi_demux_set_timeline(r->demux, r->o.timeline);
    VPI_GO(open_decoder(r, err));
    VPI_GO(open_filter(r, err));
    *out = r;
    return VP_OK;
done:
    vpi_video_reader_close(r);
    return st;
}

static void drop_pending(vpi_video_reader *r)
{
    size_t i;

    for (i = 0; i < VPI_COUNT(r->pending); i++) av_frame_free(&r->pending[i]);
    av_frame_free(&r->ahead);
}

vpi_video_reader *vpi_video_reader_close(vpi_video_reader *r)
{
    if (!r) return NULL;
    drop_pending(r);
    vpi_packet_dispose(&r->packet);
    avcodec_free_context(&r->decoder);
    vpi_filter_free(r->filter);
    vpi_demux_close(r->demux);
    vp_cancel_unref(r->cancel);
    vp_context_unref(r->context);
    vpi_free(r);
    return NULL;
}

void vpi_video_reader_damage(const vpi_video_reader *r, uint64_t *concealed, uint64_t *refused)
{
    if (concealed) *concealed = r->concealed;
    if (refused) *refused = r->refused;
}

/* ---- decoding ---- */

static int64_t frame_duration(const AVFrame *av)
{
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(57, 30, 100)
    int64_t duration = av->duration;
#else
    int64_t duration = av->pkt_duration;
#endif
    return duration > 0 ? duration : 0;
}

/*
 * Pictures in the order of showing have the packets' decoding times in rising order. Packets get their number as
 * presentation time, which decoders pass on, so that those without a picture are known.
 */
static void wait_for(vpi_video_reader *r, const vpi_packet *packet)
{
    if (!r->o.timeline || !r->o.timeline->decode_times || !packet->has_dts || !packet->size) return;
    if (r->waiting_count == VPI_WAITING_MAX)
        memmove(r->waiting, r->waiting + 1, --r->waiting_count * sizeof(*r->waiting));
    r->waiting[r->waiting_count++] = (vpi_waiting){ r->fed, packet->dts };
    vpi_packet_av(packet)->pts = (int64_t)r->fed++;
}

/* How many packets behind that of a random access point gave pictures that are shown before its own. */
static uint64_t leading_shown(const vpi_video_reader *r, int64_t number)
{
    uint64_t n = 0;

    for (size_t i = 0; i < VPI_MIN(r->given, (uint64_t)VPI_WAITING_MAX); i++) n += r->shown[i] > number;
    return n;
}

static int64_t next_waiting(vpi_video_reader *r, const AVFrame *av)
{
    uint64_t place = 0;
    int64_t time;
    size_t n = 0;

    /* All that was coded before it is shown before it: what still waits of that gave no picture. */
    if (av->pts != AV_NOPTS_VALUE && (vpi_libav_is_key(av) || !r->decoder->has_b_frames))
        place = (uint64_t)av->pts + leading_shown(r, av->pts);
    r->shown[r->given++ % VPI_WAITING_MAX] = av->pts;
    while (n < r->waiting_count && r->waiting[n].number < place) n++;
    if (n >= r->waiting_count) return AV_NOPTS_VALUE;
    time = r->waiting[n++].dts;
    r->waiting_count -= n;
    memmove(r->waiting, r->waiting + n, r->waiting_count * sizeof(*r->waiting));
    return time;
}

/*
 * The frame's own time; in a stream that gives times a missing one is the previous plus its duration, in one
 * that gives none (AVI) it is what the decoder makes of the decoding times.
 */
static void set_time(vpi_video_reader *r, AVFrame *av)
{
    const vpi_timeline *timeline = r->o.timeline;
    const vpi_track *track = vpi_demux_track(r->demux, r->o.stream);
    int64_t pts = av->pts;

    if (timeline && timeline->untimed.num > 0) { /* there are no times: pictures are counted */
        av->pts = vpi_rescale((int64_t)r->counted++, timeline->untimed.den * track->tb.den,
                              timeline->untimed.num * track->tb.num, VPI_NEAREST);
        return;
    }

    if (timeline && timeline->decode_times) pts = next_waiting(r, av);
    if (pts != AV_NOPTS_VALUE) r->has_times = true;
    if (pts == AV_NOPTS_VALUE && !r->has_times) pts = av->best_effort_timestamp;
    if (pts == AV_NOPTS_VALUE ||
        (av->pts == AV_NOPTS_VALUE && r->last_pts != AV_NOPTS_VALUE && pts <= r->last_pts)) {
        pts = 0;
        if (r->last_pts != AV_NOPTS_VALUE && !vpi_add_i64(r->last_pts, VPI_MAX(r->last_duration, 1), &pts)) {
            pts = r->last_pts;
        }
    }
    if (frame_duration(av)) {
        r->last_duration = frame_duration(av);
    } else if (r->last_pts != AV_NOPTS_VALUE && pts > r->last_pts) {
        r->last_duration = pts - r->last_pts;
    }
    r->last_pts = pts;
    av->pts = pts;
}

/* Dolby Vision without a record shows in its pictures; without told colours it is of a profile that has no base. */
static vp_status check_first(vpi_video_reader *r, vp_error *err)
{
    const vpi_track *track = vpi_demux_track(r->demux, r->o.stream);
    const uint8_t *extra = r->decoder->extradata;
    bool boxed = r->decoder->extradata_size > 21 && extra[0] == 1;

    if (r->looked) return VP_OK;
    r->looked = true;
    if (vpi_streq(track->hdr, "dolbyvision")) return VP_OK;
    if (track->codec != VPI_CODEC_HEVC ||
        (track->cicp_transfer && track->cicp_transfer != AVCOL_TRC_UNSPECIFIED) ||
        !vpi_hevc_has_rpu(r->packet.data, r->packet.size, boxed ? (extra[21] & 3u) + 1 : 0))
        return VP_OK;
    return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                    "Dolby Vision (by the metadata of its pictures) whose base layer has no colours told");
}

/* Feeds the decoder with the next packet; VP_END after the last. */
static vp_status feed(vpi_video_reader *r, vp_error *err)
{
    vp_status st = VP_OK;
    int e;

    VPI_TRY(vpi_cancel_check(r->cancel, err));
    if (r->has_packet) {
        r->has_packet = false;
    } else {
        st = vpi_demux_read(r->demux, &r->packet, err);
    }
    if (st < 0) return st;
    if (st == VP_OK) VPI_TRY(check_first(r, err));
    if (st == VP_OK) wait_for(r, &r->packet);
    vpi_cpu_enter(r->context);
    e = avcodec_send_packet(r->decoder, st == VP_END ? NULL : vpi_packet_av(&r->packet));
    vpi_cpu_leave(r->context);
    vpi_packet_dispose(&r->packet);
    if (e == AVERROR(ENOMEM)) return vpi_fail_nomem(err);
    if (e < 0 && e != AVERROR_EOF) r->refused++;
    return VP_OK;
}

/* The next picture as the decoder gives it, with its time set; VP_END after the last. */
static vp_status decode(vpi_video_reader *r, AVFrame **out, vp_error *err)
{
    AVFrame *av = av_frame_alloc();
    unsigned failures = 0;
    vp_status st = VP_OK;
    int e;

    *out = NULL;
    if (!av) return vpi_fail_nomem(err);
    while (st == VP_OK) {
        vpi_cpu_enter(r->context);
        e = avcodec_receive_frame(r->decoder, av);
        vpi_cpu_leave(r->context);
        if (e == 0) {
            set_time(r, av);
            *out = av;
            return VP_OK;
        }
        if (e == AVERROR_EOF) {
            st = VP_END;
        } else if (e == AVERROR(ENOMEM)) {
            st = vpi_fail_nomem(err);
        } else if (e == AVERROR(EAGAIN)) {
            failures = 0;
            st = feed(r, err);
        } else {
            r->refused++;
            if (++failures > DECODE_FAILURES_MAX) st = vpi_libav_error(err, e, "decode");
        }
    }
    av_frame_free(&av);
    return st;
}

vp_status vpi_video_reader_decode(vpi_video_reader *r, AVFrame **out, vp_error *err)
{
    vp_status st = VP_OK;

    *out = r->ahead;
    r->ahead = NULL;
    if (!*out) st = decode(r, out, err);
    if (st != VP_OK || !r->by_picture) return st;
    if (vpi_turn_is_open(&r->turn, *out)) st = decode(r, &r->ahead, err);
    if (st >= 0) st = vpi_turn_keep(&r->turn, *out, r->ahead, err);
    if (st < 0) av_frame_free(out);
    return st;
}

/* ---- the place to begin ---- */

/* Recovery point SEI (ITU-T H.264 D.1.8): true when all is exact from its own picture on. */
static bool recovers_at_once(const vpi_nal *nal)
{
    uint8_t head[SEI_HEAD];
    vpi_nal cut = { nal->data, VPI_MIN(nal->size, sizeof(head)) };
    size_t size = vpi_nal_unescape(&cut, head), at = 0;
    vpi_sei sei;

    while (size > 1 && vpi_sei_next(head + 1, size - 1, &at, &sei)) {
        vpi_bits bits;

        if (!sei.whole) return false;
        if (sei.type != SEI_RECOVERY_POINT) continue;
        vpi_bits_init(&bits, sei.data, sei.size);
        return vpi_bits_ue(&bits) == 0 && vpi_bits_read(&bits, 1) == 1 && !bits.failed;
    }
    return false;
}

/*
 * By how many access points decoding has to begin earlier, so that pictures from this one's time on are as in
 * a whole decode. H.264: none for an IDR; at other recovery points libavcodec may still lose a picture; after
 * gradual refresh and plain I pictures later ones may refer to earlier ones for long.
 */
static unsigned judge_entry(const vpi_video_reader *r, const vpi_packet *packet)
{
    const uint8_t *extra = r->decoder->extradata;
    size_t at = 0;
    vpi_nal nal;
    bool bad = false, avcc;
    unsigned length, type;

    if (r->decoder->codec_id != AV_CODEC_ID_H264) return 0;
    avcc = r->decoder->extradata_size >= 7 && extra[0] == 1;
    length = avcc ? (extra[4] & 3u) + 1 : 0;
    while (avcc ? vpi_avcc_next(packet->data, packet->size, length, &at, &nal, &bad)
                : vpi_annexb_next(packet->data, packet->size, &at, &nal)) {
        type = vpi_h264_type(&nal);
        if (type == VPI_H264_IDR) return 0;
        if (type == VPI_H264_SEI && recovers_at_once(&nal)) return PREROLL_RECOVERY;
        if (type >= VPI_H264_SLICE && type < VPI_H264_IDR) break;
    }
    return PREROLL_UNSURE;
}

static void forget(vpi_video_reader *r)
{
    drop_pending(r);
    vpi_packet_dispose(&r->packet);
    r->has_packet = false;
    avcodec_flush_buffers(r->decoder);
    r->last_pts = AV_NOPTS_VALUE;
    r->last_duration = 0;
    r->counted = 0;
    r->waiting_count = 0;
    r->fed = r->given = 0;
    r->turn = (vpi_turn_state){ .begun = false };
    r->refused = 0;
}

/*
 * A file cut out of a longer one may begin behind a random access point. What comes before the first one cannot be
 * decoded, and most decoders make grey of it; those of H.264 and MPEG-2 hold it back until pictures are whole.
 */
static vp_status skip_leading(vpi_video_reader *r, vp_error *err)
{
    enum AVCodecID id = r->decoder->codec_id;
    vp_status st = r->has_packet ? VP_OK : VP_END;
    unsigned n = 0;

    if (id == AV_CODEC_ID_H264 || id == AV_CODEC_ID_MPEG1VIDEO || id == AV_CODEC_ID_MPEG2VIDEO) return VP_OK;
    for (; st == VP_OK && !r->packet.key && n < LEADING_MAX; n++) {
        VPI_TRY(vpi_cancel_check(r->cancel, err));
        st = vpi_demux_read(r->demux, &r->packet, err);
    }
    if (st < 0) return st;
    r->counted = n;
    if (st == VP_OK && r->packet.key) return VP_OK;
    /* There is none: all that there is. */
    r->counted = 0;
    VPI_TRY(vpi_demux_seek(r->demux, r->o.stream, INT64_MIN, err));
    st = vpi_demux_read(r->demux, &r->packet, err);
    r->has_packet = st == VP_OK;
    return st < 0 ? st : VP_OK;
}

/* Seeks and looks at the first packet; *first is its time, INT64_MIN without one. */
static vp_status enter(vpi_video_reader *r, int64_t target, int64_t *first, unsigned *preroll, vp_error *err)
{
    vp_status st;

    *first = INT64_MIN;
    *preroll = 0;
    forget(r);
    VPI_TRY(vpi_demux_seek(r->demux, r->o.stream, target, err));
    st = vpi_demux_read(r->demux, &r->packet, err);
    if (st < 0) return st;
    r->has_packet = st == VP_OK;
    if (target == INT64_MIN) return skip_leading(r, err);
    if (st == VP_OK && r->packet.has_pts) *first = r->packet.pts;
    if (st == VP_OK) *preroll = judge_entry(r, &r->packet);
    return VP_OK;
}

/*
 * Decodes up to the first picture behind `from`. pending[1]: the last one at or before it, pending[2]: that
 * first one, pending[0]: the one before both. Pictures before `valid` may be broken: an open GOP's leading
 * ones, whose references were not read.
 */
static vp_status collect(vpi_video_reader *r, int64_t valid, vp_error *err)
{
    AVFrame *av = NULL;
    vp_status st;

    for (;;) {
        st = vpi_video_reader_decode(r, &av, err);
        if (st != VP_OK) return st < 0 ? st : VP_OK;
        if (av->pts < valid) {
            av_frame_free(&av);
        } else if (av->pts <= r->o.from) {
            av_frame_free(&r->pending[0]);
            r->pending[0] = r->pending[1];
            r->pending[1] = av;
        } else {
            r->pending[2] = av;
            return VP_OK;
        }
    }
}

/* Is what was collected all that the first picture is made of? */
static bool found_start(const vpi_video_reader *r)
{
    return r->pending[1] && (r->pending[0] || r->o.deinterlace == VPI_DEINTERLACE_NONE);
}

/* Where to seek next: before the access point that was found, and a step before the time wanted. */
static int64_t step_back(const vpi_video_reader *r, const vpi_track *track, int64_t first, unsigned n)
{
    int64_t step = vpi_rescale((int64_t)STEP_BACK_MS << n, track->tb.den, 1000 * track->tb.num, VPI_CEIL),
            to = 0;

    if (!vpi_add_i64(r->o.from, -step, &to)) return INT64_MIN;
    return first != INT64_MIN && first <= to ? first - 1 : to;
}

static vp_status find_start(vpi_video_reader *r, vp_error *err)
{
    const vpi_track *track = vpi_demux_track(r->demux, r->o.stream);
    int64_t target = r->o.from, first;
    bool whole = !track->has_times || r->o.from == INT64_MIN;
    unsigned n = 0, preroll = PREROLL_UNSURE + 1, more;

    for (;;) {
        whole = whole || target <= track->start || n >= STEPS_MAX;
        VPI_TRY(enter(r, whole ? INT64_MIN : target, &first, &more, err));
        if (whole) return r->o.from == INT64_MIN ? VP_OK : collect(r, INT64_MIN, err);
        preroll = VPI_MIN(preroll - 1, more);
        if (first == INT64_MIN || first > r->o.from) { /* landed behind it */
            target = step_back(r, track, INT64_MIN, n++);
            preroll = PREROLL_UNSURE + 1;
        } else if (preroll > 0) {
            target = first - 1;
        } else {
            VPI_TRY(collect(r, first, err));
            if (found_start(r)) return VP_OK;
            target = step_back(r, track, first, n++);
            preroll = 1;
        }
    }
}

/* ---- giving out ---- */

vp_status vpi_video_reader_visit(vpi_video_reader *r, int64_t pts, vp_error *err)
{
    forget(r);
    r->started = true;
    return vpi_demux_seek(r->demux, r->o.stream, pts, err);
}

static vp_status start(vpi_video_reader *r, vp_error *err)
{
    VPI_TRY(find_start(r, err));
    r->started = true;
    if (r->o.deinterlace == VPI_DEINTERLACE_NONE) av_frame_free(&r->pending[0]);
    r->skip = r->pending[0] ? 1 : 0;
    return VP_OK;
}

/* The next picture into the filter. */
static vp_status filter_next(vpi_video_reader *r, vp_error *err)
{
    AVFrame *av = NULL;
    bool early = r->pending[0] != NULL;
    vp_status st = VP_OK;
    size_t i;

    for (i = 0; i < VPI_COUNT(r->pending) && !av; i++) {
        av = r->pending[i];
        r->pending[i] = NULL;
    }
    if (!av) st = vpi_video_reader_decode(r, &av, err);
    if (st < 0) return st;
    if (st == VP_END) {
        vpi_filter_end(r->filter);
        return VP_OK;
    }
    if (!early && (av->flags & AV_FRAME_FLAG_CORRUPT || av->decode_error_flags)) r->concealed++;
    vpi_filter_send(r->filter, &av, av->pts, frame_duration(av));
    return VP_OK;
}

vp_status vpi_video_reader_next(vpi_video_reader *r, vpi_frame **out, vp_error *err)
{
    vpi_filter_picture p;
    vp_status st;

    *out = NULL;
    if (!r->started) VPI_TRY(start(r, err));
    for (;;) {
        vpi_cpu_enter(r->context);
        st = vpi_filter_receive(r->filter, &p, err);
        vpi_cpu_leave(r->context);
        if (st == VP_AGAIN) {
            VPI_TRY(filter_next(r, err));
        } else if (st != VP_OK) {
            return st;
        } else if (p.number < r->skip) {
            av_frame_free(&p.av);
        } else {
            *out = vpi_frame_wrap(p.av, p.pts, p.duration);
            if (!*out) return vpi_fail_nomem(err);
            (*out)->field = p.field;
            return VP_OK;
        }
    }
}
