/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "package_int.h"

/* What is in the inputs: one H.264 track of each, AAC from the first input that has each language and layout. */

#define PROBE_PACKETS 300 /* pictures looked at for reordering and distance */

bool vpi_ready_is_idr(const uint8_t *data, size_t size)
{
    size_t at = 0;
    vpi_nal nal;
    bool bad = false;
    while (vpi_avcc_next(data, size, 4, &at, &nal, &bad)) {
        unsigned type = vpi_h264_type(&nal);
        if (type == VPI_H264_IDR) return true;
        if (type >= 1 && type <= 4) return false;
    }
    return false;
}

int64_t vpi_ready_us(const vpi_ready_video *v, int64_t ticks)
{
    return vpi_rescale(ticks, v->tb.num * 1000000, v->tb.den, VPI_NEAREST);
}

static const char *input_name(const vpi_ready *pk, size_t input)
{
    return pk->job->renditions[input].name;
}

static vp_status unsupported(const vpi_ready *pk, size_t input, const char *what, const char *codec,
                             vp_error *err)
{
    vpi_error_key(err, input_name(pk, input));
    return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "%s: %s codec %s cannot be packaged",
                    input_name(pk, input), what, codec);
}

/* Timescale of the output: the source's ticks are kept, so that every time stays exact. */
static vp_status set_timescale(vpi_track_setup *s, vpi_rational tb, vp_error *err)
{
    if (tb.num != 1 || tb.den > INT32_MAX)
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "a time base of %lld/%lld",
                        (long long)tb.num, (long long)tb.den);
    s->timescale = (uint32_t)tb.den;
    return VP_OK;
}

static vp_status video_setup(vpi_ready_video *v, const vpi_track *t, vp_error *err)
{
    vpi_avcc avcc;
    vpi_h264_sps sps;
    VPI_TRY(vpi_avcc_parse(v->config.data, v->config.size, &avcc, err));
    if (!avcc.sps_count || avcc.length_size != 4)
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "NAL lengths of %u bytes",
                        avcc.length_size);
    VPI_TRY(vpi_h264_sps_parse(&avcc.sps[0], &sps, err));
    VPI_TRY(vpi_codecs_avc(v->config.data, v->config.size, v->codecs, err));
    v->setup = (vpi_track_setup){ .kind = VPI_KIND_VIDEO,
                                  .codec = VPI_CODEC_H264,
                                  .config = v->config.data,
                                  .config_size = v->config.size,
                                  .language = "und",
                                  .width = sps.width,
                                  .height = sps.height,
                                  .full_range = sps.full_range };
    if (sps.has_vui && sps.primaries != 2) {
        v->setup.primaries = sps.primaries;
        v->setup.transfer = sps.transfer;
        v->setup.matrix = sps.matrix;
    }
    v->fps = t->frame_rate; /* find_rate looks where it is not known */
    v->reorder = sps.has_reorder ? VPI_MIN(sps.max_reorder_frames, 16u) : 0;
    return set_timescale(&v->setup, v->tb, err);
}

static vp_status add_video(vpi_ready *pk, size_t input, vpi_demux *demux, const vpi_track *t, vp_error *err)
{
    const uint8_t *config = NULL;
    size_t size = 0;
    vpi_ready_video *v = &pk->video[pk->video_count];
    if (t->codec != VPI_CODEC_H264) return unsupported(pk, input, "video", t->codec_name, err);
    v->input = input;
    v->stream = t->id;
    v->tb = t->tb;
    pk->video_count++;
    VPI_TRY(vpi_demux_config(demux, t->id, &config, &size, err));
    vpi_buf_add(&v->config, config, size);
    if (vpi_buf_failed(&v->config)) return vpi_fail_nomem(err);
    VPI_TRY(video_setup(v, t, err));
    size_t same = 1;
    uint32_t side = VPI_MIN(v->setup.width, v->setup.height);
    for (size_t i = 0; i + 1 < pk->video_count; i++)
        same += VPI_MIN(pk->video[i].setup.width, pk->video[i].setup.height) == side;
    snprintf(v->name, sizeof(v->name), same > 1 ? "%up-%zu" : "%up", side, same);
    return VP_OK;
}

static void audio_names(vpi_ready *pk, vpi_ready_audio *a, const char *language)
{
    const char *layout = a->setup.channels == 6 ? "5.1" : a->setup.channels == 8 ? "7.1" : "stereo";
    if (a->setup.channels == 1) layout = "mono";
    size_t same = 1;
    char base[48];
    snprintf(base, sizeof(base), "%.24s-%s", language, layout);
    for (vpi_ready_audio *o = pk->audio; o < a; o++) same += !strncmp(o->name, base, strlen(base));
    snprintf(a->name, sizeof(a->name), same > 1 ? "%s-%zu" : "%s", base, same);
    vpi_language_name(language, a->label, sizeof(a->label) - 8);
    vpi_strlcpy(a->setup.language, language, sizeof(a->setup.language));
}

static bool have_audio(const vpi_ready *pk, const char *language, uint32_t channels, size_t input)
{
    for (size_t i = 0; i < pk->audio_count; i++) {
        const vpi_ready_audio *a = &pk->audio[i];
        if (a->input != input && a->setup.channels == channels && vpi_streq(a->setup.language, language))
            return true;
    }
    return false;
}

static vp_status add_audio(vpi_ready *pk, size_t input, vpi_demux *demux, const vpi_track *t, vp_error *err)
{
    const uint8_t *config = NULL;
    size_t size = 0;
    vpi_asc asc;
    vpi_ready_audio *a = &pk->audio[pk->audio_count];
    const char *language = t->language[0] ? t->language : "und";
    if (t->codec != VPI_CODEC_AAC) return unsupported(pk, input, "audio", t->codec_name, err);
    VPI_TRY(vpi_demux_config(demux, t->id, &config, &size, err));
    VPI_TRY(vpi_asc_parse(config, size, &asc, err));
    uint32_t channels = asc.channels ? asc.channels : t->channels;
    if (have_audio(pk, language, channels, input)) return VP_OK;
    pk->audio_count++;
    a->input = input;
    a->stream = t->id;
    a->tb = t->tb;
    a->frame_samples = asc.frame_samples ? asc.frame_samples : 1024;
    vpi_buf_add(&a->config, config, size);
    if (vpi_buf_failed(&a->config)) return vpi_fail_nomem(err);
    VPI_TRY(vpi_codecs_aac(config, size, a->codecs, err));
    a->setup = (vpi_track_setup){ .kind = VPI_KIND_AUDIO,
                                  .codec = VPI_CODEC_AAC,
                                  .timescale = asc.sample_rate,
                                  .config = a->config.data,
                                  .config_size = a->config.size,
                                  .sample_rate = asc.sample_rate,
                                  .channels = channels,
                                  .kbps = t->bit_rate / 1000 };
    audio_names(pk, a, language);
    a->is_default = pk->audio_count == 1;
    return VP_OK;
}

/* ---- times of a video track ---- */

static vp_status add_key(vpi_ready_video *v, int64_t pts, vp_error *err)
{
    if (!VPI_GROW(v->keys, v->key_count, v->key_cap)) return vpi_fail_nomem(err);
    v->keys[v->key_count++] = pts;
    return VP_OK;
}

static vp_status no_times(const vpi_ready *pk, const vpi_ready_video *v, vp_error *err)
{
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: pictures without times", input_name(pk, v->input));
}

vp_status vpi_ready_rewind(vpi_ready *pk, vpi_ready_video *v, vp_error *err)
{
    vp_source *source = pk->job->renditions[v->input].source;
    if (v->demux) return vpi_demux_seek(v->demux, v->stream, INT64_MIN, err);
    VPI_TRY(vpi_demux_open(pk->job->context, source, NULL, pk->job->stop, &v->demux, err));
    vpi_demux_select(v->demux, &v->stream, 1);
    return vpi_demux_as_mp4(v->demux, v->stream, err);
}

vp_status vpi_ready_read_all(vpi_ready *pk, vpi_ready_video *v, vp_error *err)
{
    vpi_packet p = { 0 };
    bool begun = false;
    vp_status st = vpi_ready_rewind(pk, v, err);
    v->key_count = 0;
    v->end = INT64_MIN;
    while (st >= 0) {
        st = vpi_demux_read(v->demux, &p, err);
        if (st != VP_OK) break;
        bool idr = vpi_ready_is_idr(p.data, p.size);
        if (p.stream == v->stream && (begun || idr)) { /* what comes before the first IDR cannot be shown */
            if (!p.has_pts) st = no_times(pk, v, err);
            if (st >= 0 && !begun) v->first = p.pts;
            begun = true;
            v->end = VPI_MAX(v->end, p.pts + VPI_MAX(p.duration, 1));
            if (st >= 0 && idr) st = add_key(v, p.pts - v->first, err);
        }
        vpi_packet_dispose(&p);
    }
    if (st < 0) return st;
    if (!begun)
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: no IDR picture", input_name(pk, v->input));
    v->end -= v->first;
    v->exact = true;
    return VP_OK;
}

/* Last key to the end of the file: where the last picture ends. */
static vp_status read_tail(vpi_ready_video *v, int64_t dts, vp_error *err)
{
    vpi_packet p = { 0 };
    int64_t end = INT64_MIN;
    vp_status st = vpi_demux_seek(v->demux, v->stream, dts, err);
    while (st >= 0) {
        st = vpi_demux_read(v->demux, &p, err);
        if (st != VP_OK) break;
        if (p.has_pts) end = VPI_MAX(end, p.pts + VPI_MAX(p.duration, 1));
        vpi_packet_dispose(&p);
    }
    v->end = end - v->first;
    return st < 0 ? st : VP_OK;
}

/* The first few hundred pictures: when they are shown, and how the first one is coded. */
typedef struct video_head {
    int64_t pts[PROBE_PACKETS], first_pts, first_dts;
    size_t count;
    bool begins_well; /* with an IDR picture that has both times */
} video_head;

static vp_status read_head(vpi_ready_video *v, video_head *head, vp_error *err)
{
    vpi_packet p = { 0 };
    vp_status st = VP_OK;
    bool first = true;
    while (st >= 0 && head->count < PROBE_PACKETS) {
        st = vpi_demux_read(v->demux, &p, err);
        if (st != VP_OK) break;
        if (first) {
            head->first_pts = p.pts;
            head->first_dts = p.dts;
            head->begins_well = p.has_pts && p.has_dts && vpi_ready_is_idr(p.data, p.size);
        }
        first = false;
        if (p.has_pts) head->pts[head->count++] = p.pts;
        vpi_packet_dispose(&p);
    }
    return st < 0 ? st : VP_OK;
}

/* Times by the file's index; the distance of decode and presentation time is that of the first key. */
static vp_status read_index(vpi_ready_video *v, const video_head *head, vp_error *err)
{
    int64_t *dts = NULL, ahead = head->first_pts - head->first_dts;
    size_t n = 0;
    vp_status st = vpi_demux_index(v->demux, v->stream, &dts, &n, err);
    if (st >= 0 && (!n || !head->begins_well || head->first_dts != dts[0])) st = VP_E_UNSUPPORTED;
    v->first = head->first_pts;
    for (size_t i = 0; st >= 0 && i < n; i++) st = add_key(v, dts[i] + ahead - v->first, err);
    if (st >= 0) st = read_tail(v, dts[n - 1], err);
    vpi_free(dts);
    return st;
}

/* How far pictures are out of order, and how close. */
static void find_order(vpi_ready_video *v, const video_head *head)
{
    const int64_t *pts = head->pts;
    v->min_gap = INT64_MAX;
    for (size_t i = 0; i < head->count; i++) {
        uint32_t later = 0; /* pictures that are decoded before this one and shown after it */
        for (size_t k = 0; k < head->count; k++) {
            int64_t gap = pts[i] > pts[k] ? pts[i] - pts[k] : pts[k] - pts[i];
            if (k != i && gap > 0) v->min_gap = VPI_MIN(v->min_gap, gap);
            if (k < i && pts[k] > pts[i]) later++;
        }
        v->reorder = VPI_MAX(v->reorder, VPI_MIN(later, 16u));
    }
    if (v->min_gap == INT64_MAX) v->min_gap = 1;
    v->min_gap = VPI_MAX(v->min_gap / 2, 1); /* later pictures may be closer than the first ones were */
}

static int compare_pts(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Pictures in the time that the first ones take: a rate in common use that is within rounding, else the average. */
static void find_rate(vpi_ready_video *v, video_head *head)
{
    static const vpi_rational common[] = { { 24, 1 },       { 24000, 1001 }, { 25, 1 }, { 30, 1 },
                                           { 30000, 1001 }, { 50, 1 },       { 60, 1 }, { 15, 1 },
                                           { 60000, 1001 }, { 12, 1 } };
    int64_t n, span, best = INT64_MAX;
    if (v->fps.num > 0) return;
    v->fps = (vpi_rational){ 25, 1 };
    /* among the last ones in decode order some are missing that are shown between them */
    if (head->count < v->reorder + 2) return;
    qsort(head->pts, head->count, sizeof(*head->pts), compare_pts);
    n = (int64_t)(head->count - v->reorder) - 1;
    span = head->pts[n] - head->pts[0];
    if (span <= 0 || span > INT32_MAX || v->tb.num != 1 || v->tb.den > INT32_MAX) return;
    v->fps = vpi_reduce(n * v->tb.den, span);
    for (size_t i = 0; i < VPI_COUNT(common); i++) {
        /* in ticks: what the pictures take and what they would take at this rate, times num */
        int64_t error = span * common[i].num - n * common[i].den * v->tb.den;
        error = error < 0 ? -error : error;
        if (error > 2 * common[i].num || error / common[i].num >= best) continue;
        best = error / common[i].num;
        v->fps = common[i];
    }
}

/* The reader is at the first packet; takes it over. */
static vp_status read_times(vpi_ready *pk, vpi_ready_video *v, vpi_demux *demux, vp_error *err)
{
    video_head head = { .count = 0 };
    vp_error why = VP_ERROR_INIT;
    v->demux = demux;
    vpi_demux_select(demux, &v->stream, 1);
    VPI_TRY(vpi_demux_as_mp4(demux, v->stream, err));
    VPI_TRY(read_head(v, &head, err));
    vp_status st = read_index(v, &head, &why);
    if (st == VP_E_UNSUPPORTED) {
        st = vpi_ready_read_all(pk, v, err);
    } else if (st < 0) {
        vpi_error_copy(err, &why);
    }
    find_order(v, &head);
    find_rate(v, &head);
    return st < 0 ? st : VP_OK;
}

/* ---- all inputs ---- */

static void warn_dropped(vpi_ready *pk, size_t input, const vpi_track *t, const char *why)
{
    char text[300];
    snprintf(text, sizeof(text), "%.120s: track %d (%s) is left out: %s", input_name(pk, input), (int)t->id,
             t->codec_name, why);
    vpi_emit_warning(&pk->job->emitter, "TRACK_DROPPED", VP_TIME_UNKNOWN, text);
}

static vp_status scan_input(vpi_ready *pk, size_t input, vp_error *err)
{
    vpi_demux *demux = NULL;
    bool video = false, audio = false;
    vp_source *source = pk->job->renditions[input].source;
    vp_status st = vpi_demux_open(pk->job->context, source, NULL, pk->job->stop, &demux, err);
    size_t n = st >= 0 ? vpi_demux_stream_count(demux) : 0;
    size_t first_audio = pk->audio_count;
    for (size_t i = 0; st >= 0 && i < n; i++) {
        const vpi_track *t = vpi_demux_track(demux, (int32_t)i);
        if (t->attached_picture || (t->kind == VPI_KIND_VIDEO && video)) {
            warn_dropped(pk, input, t, "not the first picture track");
        } else if (t->kind == VPI_KIND_VIDEO) {
            video = true;
            st = add_video(pk, input, demux, t, err);
        } else if (t->kind == VPI_KIND_AUDIO && pk->audio_count < VPI_READY_AUDIO_MAX) {
            audio = true;
            st = add_audio(pk, input, demux, t, err);
        }
    }
    if (st >= 0 && !video && !audio)
        st = vpi_fail(err, VP_E_DATA, "INPUT_NO_VIDEO_OR_AUDIO", "%s has neither video nor audio",
                      input_name(pk, input));
    if (st >= 0 && video)
        st = read_times(pk, &pk->video[pk->video_count - 1], demux, err);
    else
        vpi_demux_close(demux);
    vpi_error_key(err, input_name(pk, input));
    /* sound is placed by the picture of its own file; a file of sound alone by its own zero */
    for (size_t i = first_audio; st >= 0 && i < pk->audio_count; i++) {
        vpi_ready_audio *a = &pk->audio[i];
        const vpi_ready_video *v = video ? &pk->video[pk->video_count - 1] : NULL;
        a->origin = v ? vpi_rescale(v->first, v->tb.num * a->tb.den, v->tb.den * a->tb.num, VPI_NEAREST) : 0;
    }
    return st < 0 ? st : VP_OK;
}

vp_status vpi_ready_scan(vpi_ready *pk, vp_error *err)
{
    size_t n = pk->job->rendition_count;
    vpi_emit_stage(&pk->job->emitter, VP_STAGE_SCAN);
    pk->video = vpi_calloc(n, sizeof(*pk->video));
    pk->audio = vpi_calloc(VPI_READY_AUDIO_MAX, sizeof(*pk->audio));
    if (!pk->video || !pk->audio) return vpi_fail_nomem(err);
    for (size_t i = 0; i < n; i++) {
        uint64_t size = 0;
        VPI_TRY(vp_source_size(pk->job->renditions[i].source, &size, err));
        pk->total_bytes += size;
        VPI_TRY(scan_input(pk, i, err));
    }
    return VP_OK;
}
