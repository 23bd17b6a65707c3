/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/audio_int.h"

#include "media/libav_int.h"

/* Samples of a decoded frame that are resampled at a time: frames may be large. */
#define SLICE 16384
#define DECODE_FAILURES_MAX 64u
/*
 * Timestamps against counted samples. Containers with ticks of 1 ms round, muxers stamp Vorbis blocks up to
 * 21 ms to and fro, live recorders jitter, clocks run a little fast: to follow each stamp would chop the
 * sound. So up to HARD_US only the mean counts, and where it lasts above SOFT_US the sound is stretched by at
 * most one part in SOFT_SHARE. Beyond, or beyond DAMAGE_US after sound was lost, silence is put in or sound
 * is cut. So it is where sound stops after its first frame for more than FIRST_US: fragmented MP4 of common
 * writers has the priming frame at 0 and the others where the picture begins.
 *
 * A packet that was lost or came twice is a step of less, but one that stays: where a frame is off by STEP_US and
 * the one before was not, the next ones are decoded ahead, and by as much as all of them are off the sound is moved
 * at once. One stamp of a PES packet or an Ogg page is told for all its frames: there must be several stamps.
 */
#define HARD_US 50000
#define DAMAGE_US 15000
#define FIRST_US 25000
#define SOFT_US 5000
#define SOFT_SHARE 100
#define MEAN_SECONDS 1.0 /* of the running mean */
#define STEP_US 15000
#define STEP_LEAST_US 10000 /* from the frame before */
#define AHEAD_US 200000     /* longer than bursts of a recorder's jitter */
#define AHEAD_STAMPS 5u
#define AHEAD_MAX 96u

typedef struct decoded {
    AVFrame *frame;
    bool fresh;   /* another recording begins: it goes where its time says */
    bool damaged; /* sound was lost before it */
    bool stamped; /* its time is one that the file tells */
} decoded;

struct vpi_audio {
    vpi_audio_options o;
    vp_context *context;
    vp_cancel *cancel;
    vpi_demux *demux;
    AVCodecContext *decoder;
    AVRational tb;
    vpi_packet packet;
    decoded now; /* samples from frame_at on are to be mixed yet */
    bool has_frame, ended;
    bool fresh, damaged;                      /* of the next frame that has a time */
    bool fed_fresh, fed_damaged, fed_stamped; /* of the next frame that comes out of the decoder */
    int64_t fed_position;
    bool first;    /* the frame before is the first one that was placed */
    int64_t shift; /* of the last packet: another one begins another recording */
    int32_t edit;  /* likewise another part of one */
    int frame_at;
    decoded ahead[AHEAD_MAX]; /* a ring: ahead_count frames from ahead_at on */
    unsigned ahead_at, ahead_count;
    int64_t drift; /* of the frame before, in samples */
    vpi_mix mix;
    vpi_aac aac;
    uint64_t silence;  /* samples to give before the frame */
    int64_t position;  /* title time of what comes after the FIFO and the silence, in samples */
    uint64_t seen;     /* mix.added that position knows of */
    double mean;       /* of the drift, in samples */
    int64_t next_soft; /* position at which the mean is looked at again */
    uint64_t sent, given, content, refused;
};

/* ---- opening ---- */

static vp_status open_decoder(vpi_audio *a, vp_error *err)
{
    const AVStream *stream = vpi_demux_avstream(a->demux, a->o.stream);
    const AVCodec *codec = vpi_libav_decoder(stream->codecpar->codec_id);
    int r;

    if (!codec) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "no decoder for %s",
                        avcodec_get_name(stream->codecpar->codec_id));
    }
    a->decoder = avcodec_alloc_context3(codec);
    a->now.frame = av_frame_alloc();
    if (!a->decoder || !a->now.frame) return vpi_fail_nomem(err);
    r = avcodec_parameters_to_context(a->decoder, stream->codecpar);
    if (r < 0) return vpi_libav_error(err, r, "decode");
    /* The decoder skips priming samples by itself, and moves the times: it needs to know their ticks. */
    a->decoder->pkt_timebase = a->tb = stream->time_base;
    a->decoder->thread_count = 1;
    a->decoder->flags |= AV_CODEC_FLAG_BITEXACT;
    vpi_cpu_enter(a->context);
    r = avcodec_open2(a->decoder, codec, NULL);
    vpi_cpu_leave(a->context);
    return r < 0 ? vpi_libav_error(err, r, "decode") : VP_OK;
}

vp_status vpi_audio_open(vp_context *context, vp_source *source, const vpi_audio_options *options,
                         vp_cancel *cancel, vpi_audio **out, vp_error *err)
{
    vpi_audio *a;
    const vpi_track *track;
    vp_status st;

    *out = NULL;
    VPI_TRY(vpi_media_load(err));
    a = vpi_calloc(1, sizeof(*a));
    if (!a) return vpi_fail_nomem(err);
    a->o = *options;
    a->context = vp_context_ref(context);
    a->cancel = vp_cancel_ref(cancel);
    a->fed_fresh = true;
    if (a->o.origin == INT64_MIN) {
        st = vpi_fail(err, VP_E_ARG, NULL, "the origin of the timeline is not set");
        goto done;
    }
    VPI_GO(vpi_aac_open(&a->aac, a->o.sample_rate, a->o.channels, a->o.kbps, err));
    VPI_GO(vpi_mix_init(&a->mix, a->o.sample_rate, a->o.channels, err));
    VPI_GO(vpi_demux_open(context, source, NULL, cancel, &a->demux, err));
    track = vpi_demux_track(a->demux, a->o.stream);
    if (!track || track->kind != VPI_KIND_AUDIO) {
        st = vpi_fail(err, VP_E_ARG, NULL, "stream %d is no sound", a->o.stream);
        goto done;
    }
    vpi_demux_select(a->demux, &a->o.stream, 1);
    vpi_demux_set_timeline(a->demux, a->o.timeline);
    VPI_GO(open_decoder(a, err));
    *out = a;
    return VP_OK;
done:
    vpi_audio_close(a);
    return st;
}

vpi_audio *vpi_audio_close(vpi_audio *a)
{
    if (!a) return NULL;
    vpi_packet_dispose(&a->packet);
    av_frame_free(&a->now.frame);
    for (unsigned i = 0; i < AHEAD_MAX; i++) av_frame_free(&a->ahead[i].frame);
    avcodec_free_context(&a->decoder);
    vpi_mix_dispose(&a->mix);
    vpi_aac_close(&a->aac);
    vpi_demux_close(a->demux);
    vp_cancel_unref(a->cancel);
    vp_context_unref(a->context);
    vpi_free(a);
    return NULL;
}

void vpi_audio_config(const vpi_audio *a, const uint8_t **asc, size_t *size)
{
    *asc = a->aac.context->extradata;
    *size = (size_t)a->aac.context->extradata_size;
}

void vpi_audio_stats(const vpi_audio *a, uint64_t *content_samples, uint64_t *refused)
{
    if (content_samples) *content_samples = a->content;
    if (refused) *refused = a->refused;
}

/* ---- decoding ---- */

static vp_status feed(vpi_audio *a, vp_error *err)
{
    vp_status st;
    int r;

    VPI_TRY(vpi_cancel_check(a->cancel, err));
    st = vpi_demux_read(a->demux, &a->packet, err);
    if (st < 0) return st;
    /* Another recording or edit begins: its sound stays with its picture, to the sample. */
    if (st == VP_OK && (a->packet.shift != a->shift || a->packet.edit != a->edit || a->packet.discard))
        a->fed_fresh = true;
    if (st == VP_OK) {
        a->shift = a->packet.shift;
        a->edit = a->packet.edit;
    }
    if (st == VP_OK && a->packet.position != a->fed_position && a->packet.position >= 0) {
        a->fed_position = a->packet.position;
        a->fed_stamped = true;
    }
    vpi_cpu_enter(a->context);
    r = avcodec_send_packet(a->decoder, st == VP_END ? NULL : vpi_packet_av(&a->packet));
    vpi_cpu_leave(a->context);
    vpi_packet_dispose(&a->packet);
    if (r == AVERROR(ENOMEM)) return vpi_fail_nomem(err);
    if (r < 0 && r != AVERROR_EOF) {
        a->refused++;
        a->fed_damaged = true;
    }
    return VP_OK;
}

/* The next frame out of the decoder; VP_END after the last. */
static vp_status decode(vpi_audio *a, decoded *to, vp_error *err)
{
    unsigned failures = 0;
    int r;

    for (;;) {
        vpi_cpu_enter(a->context);
        r = avcodec_receive_frame(a->decoder, to->frame);
        vpi_cpu_leave(a->context);
        if (r == 0) {
            to->fresh = a->fed_fresh;
            to->damaged = a->fed_damaged;
            to->stamped = a->fed_stamped;
            a->fed_fresh = a->fed_damaged = a->fed_stamped = false;
            return VP_OK;
        }
        if (r == AVERROR_EOF) return VP_END;
        if (r == AVERROR(ENOMEM)) return vpi_fail_nomem(err);
        if (r == AVERROR(EAGAIN)) {
            failures = 0;
            VPI_TRY(feed(a, err));
            continue;
        }
        a->refused++;
        a->fed_damaged = true;
        if (++failures > DECODE_FAILURES_MAX) return vpi_libav_error(err, r, "decode");
    }
}

/* The n-th frame after the present one; VP_END: there is none. n is below AHEAD_MAX and at most ahead_count. */
static vp_status look_ahead(vpi_audio *a, unsigned n, const decoded **out, vp_error *err)
{
    decoded *d = &a->ahead[(a->ahead_at + n) % AHEAD_MAX];
    vp_status st;

    *out = d;
    if (n < a->ahead_count) return VP_OK;
    if (!d->frame) d->frame = av_frame_alloc();
    if (!d->frame) return vpi_fail_nomem(err);
    st = decode(a, d, err);
    if (st == VP_OK) a->ahead_count++;
    return st;
}

/* The next frame of the title into a->now; VP_END after the last. */
static vp_status next_frame(vpi_audio *a, vp_error *err)
{
    decoded d = a->now;
    vp_status st = VP_OK;

    if (a->ahead_count) {
        a->now = a->ahead[a->ahead_at];
        a->ahead[a->ahead_at] = d;
        a->ahead_at = (a->ahead_at + 1) % AHEAD_MAX;
        a->ahead_count--;
    } else {
        st = decode(a, &a->now, err);
    }
    if (st != VP_OK) return st;
    a->fresh = a->fresh || a->now.fresh;
    a->damaged = a->damaged || a->now.damaged;
    return VP_OK;
}

/* ---- the timeline ---- */

static int64_t samples_of(const vpi_audio *a, int64_t us)
{
    return us * a->o.sample_rate / 1000000;
}

/* Brings position up to date with what went into the FIFO. */
static void count_added(vpi_audio *a)
{
    a->position += (int64_t)(a->mix.added - a->seen);
    a->seen = a->mix.added;
}

/* The frame goes exactly where its time says. */
static vp_status place_hard(vpi_audio *a, int64_t wanted, vp_error *err)
{
    int64_t drift;

    VPI_TRY(vpi_mix_flush(&a->mix, err));
    count_added(a);
    a->mix.cut = 0;
    drift = wanted - a->position;
    if (drift > 0) {
        a->silence = (uint64_t)drift;
        a->position = wanted;
    } else {
        a->mix.cut = (uint64_t)-drift;
    }
    a->mean = 0;
    a->next_soft = a->position + a->o.sample_rate;
    return VP_OK;
}

/* Once a second of sound: most of a lasting drift is taken back over the next second. */
static vp_status place_soft(vpi_audio *a, int64_t drift, vp_error *err)
{
    double most = (double)a->o.sample_rate / SOFT_SHARE, delta;
    double length = (double)a->now.frame->nb_samples / a->now.frame->sample_rate;

    a->mean += ((double)drift - a->mean) * VPI_MIN(length / MEAN_SECONDS, 1.0);
    if (a->position < a->next_soft) return VP_OK;
    a->next_soft = a->position + a->o.sample_rate;
    if (a->mean < (double)samples_of(a, SOFT_US) && a->mean > -(double)samples_of(a, SOFT_US)) return VP_OK;
    delta = VPI_CLAMP(a->mean * 3 / 4, -most, most);
    return vpi_mix_stretch(&a->mix, (int)delta, (int)a->o.sample_rate, err);
}

/* Samples at the output rate. */
static int64_t length_of(const vpi_audio *a, const AVFrame *frame)
{
    return vpi_rescale(frame->nb_samples, a->o.sample_rate, VPI_MAX(frame->sample_rate, 1), VPI_NEAREST);
}

/* How far the frame's time is behind that of the present one, in samples. */
static int64_t distance_of(const vpi_audio *a, const AVFrame *frame)
{
    int64_t ticks = 0;

    if (!vpi_add_i64(frame->pts, -a->now.frame->pts, &ticks)) return 0;
    return vpi_rescale(ticks, (int64_t)a->tb.num * a->o.sample_rate, a->tb.den, VPI_NEAREST);
}

/* Of the drift of the present frame what the next ones have too; 0: not all of them are off. */
static vp_status lasting_drift(vpi_audio *a, int64_t drift, int64_t *lasting, vp_error *err)
{
    int64_t step = samples_of(a, STEP_US), length = length_of(a, a->now.frame), least = drift, now;
    unsigned stamps = 1;

    *lasting = 0;
    for (unsigned n = 0; n < AHEAD_MAX && (stamps < AHEAD_STAMPS || length < samples_of(a, AHEAD_US)); n++) {
        const decoded *d;
        vp_status st = look_ahead(a, n, &d, err);

        if (st < 0) return st;
        if (st == VP_END || d->fresh) break;
        if (d->frame->pts != AV_NOPTS_VALUE) {
            now = drift + distance_of(a, d->frame) - length;
            if (drift > 0 ? now < step : now > -step) return VP_OK;
            least = drift > 0 ? VPI_MIN(least, now) : VPI_MAX(least, now);
            stamps += d->stamped;
        }
        length += length_of(a, d->frame);
    }
    if (stamps >= AHEAD_STAMPS) *lasting = least;
    return VP_OK;
}

static bool steps(const vpi_audio *a, int64_t drift)
{
    int64_t step = samples_of(a, STEP_US), by = drift - a->drift, least = samples_of(a, STEP_LEAST_US);

    return drift > 0 ? drift >= step && by >= least : drift <= -step && by <= -least;
}

/* Puts a newly decoded frame on the timeline. */
static vp_status align(vpi_audio *a, vp_error *err)
{
    bool damaged = a->damaged, aligned = !a->fresh;
    int64_t wanted, drift, lasting = 0, hard = samples_of(a, damaged ? DAMAGE_US : HARD_US);
    vp_status st = vpi_mix_prepare(&a->mix, a->now.frame, err);

    if (st < 0) return st;
    if (st == VP_AGAIN) {
        a->refused++;
        a->damaged = true;
        return VP_OK;
    }
    count_added(a);
    a->has_frame = true;
    a->frame_at = 0;
    if (a->now.frame->pts == AV_NOPTS_VALUE) return VP_OK;
    a->damaged = a->fresh = false;
    if (!vpi_add_i64(a->now.frame->pts, -a->o.origin, &wanted)) {
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "a time out of range");
    }
    wanted = vpi_rescale(wanted, (int64_t)a->tb.num * a->o.sample_rate, a->tb.den, VPI_NEAREST);
    wanted = VPI_CLAMP(wanted, INT64_MIN / 4, INT64_MAX / 4);
    drift = wanted - (a->position + vpi_mix_held(&a->mix) - (int64_t)a->mix.cut);
    if (a->first && drift > samples_of(a, FIRST_US)) hard = 0;
    a->first = !aligned;
    if (aligned && drift <= hard && drift >= -hard) {
        if (steps(a, drift)) VPI_TRY(lasting_drift(a, drift, &lasting, err));
        a->drift = drift - lasting;
        if (!lasting) return place_soft(a, drift, err);
        wanted -= drift - lasting;
    }
    a->drift = 0;
    return place_hard(a, wanted, err);
}

static vp_status mix_slice(vpi_audio *a, vp_error *err)
{
    int count = VPI_MIN(a->now.frame->nb_samples - a->frame_at, SLICE);
    vp_status st;

    vpi_cpu_enter(a->context);
    st = vpi_mix_add(&a->mix, a->now.frame, a->frame_at, count, err);
    vpi_cpu_leave(a->context);
    a->frame_at += count;
    if (a->frame_at >= a->now.frame->nb_samples) {
        a->has_frame = false;
        av_frame_unref(a->now.frame);
    }
    return st;
}

/* More for the FIFO or the silence; VP_END after the last. */
static vp_status more(vpi_audio *a, vp_error *err)
{
    vp_status st;

    if (a->has_frame) return mix_slice(a, err);
    if (a->ended) return VP_END;
    st = next_frame(a, err);
    if (st == VP_OK) return align(a, err);
    if (st != VP_END) return st;
    a->ended = true;
    return vpi_mix_flush(&a->mix, err);
}

static void silence(const vpi_audio *a, float *const planes[VPI_SURROUND], int at, int count)
{
    uint32_t i;

    for (i = 0; i < a->o.channels; i++) memset(planes[i] + at, 0, (size_t)count * sizeof(float));
}

/* The next 1024 samples of the title; nothing but silence after its end. */
static vp_status fill(vpi_audio *a, float *const planes[VPI_SURROUND], int at, vp_error *err)
{
    vp_status st;
    int n;

    while (at < VPI_AAC_SAMPLES) {
        n = VPI_MIN(vpi_mix_size(&a->mix), VPI_AAC_SAMPLES - at);
        if (n > 0) {
            uint64_t end = a->o.frames * VPI_AAC_SAMPLES, left = a->sent < end ? end - a->sent : 0;

            vpi_mix_read(&a->mix, planes, at, n);
            a->content += VPI_MIN(left, (uint64_t)n);
        } else if (a->silence > 0) {
            n = (int)VPI_MIN(a->silence, (uint64_t)(VPI_AAC_SAMPLES - at));
            silence(a, planes, at, n);
            a->silence -= (uint64_t)n;
        } else {
            st = more(a, err);
            if (st < 0) return st;
            if (st == VP_OK) continue;
            n = VPI_AAC_SAMPLES - at;
            silence(a, planes, at, n);
        }
        at += n;
        a->sent += (uint64_t)n;
    }
    return VP_OK;
}

static vp_status encode_more(vpi_audio *a, vp_error *err)
{
    float *planes[VPI_SURROUND];
    int lead = (int)a->aac.lead;
    vp_status st;

    VPI_TRY(vpi_aac_room(&a->aac, planes, err));
    a->aac.lead = 0;
    silence(a, planes, 0, lead);
    VPI_TRY(fill(a, planes, lead, err));
    vpi_cpu_enter(a->context);
    st = vpi_aac_send(&a->aac, err);
    vpi_cpu_leave(a->context);
    return st;
}

vp_status vpi_audio_next(vpi_audio *a, const uint8_t **data, size_t *size, vp_error *err)
{
    vp_status st;

    *data = NULL;
    *size = 0;
    if (a->given >= a->o.frames) return VP_END;
    for (;;) {
        vpi_cpu_enter(a->context);
        st = vpi_aac_receive(&a->aac, err);
        vpi_cpu_leave(a->context);
        if (st < 0) return st;
        if (st == VP_OK) break;
        VPI_TRY(encode_more(a, err));
    }
    a->given++;
    *data = a->aac.packet->data;
    *size = (size_t)a->aac.packet->size;
    return VP_OK;
}
