/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bitstream/bitstream.h"
#include "media/reader_int.h"

#define PROBE_TIMEOUT_MS 60000u
#define SAMPLE_US (4 * INT64_C(1000000)) /* media time that a probe looks at packets of */
#define SAMPLE_BYTES (8u << 20)
/* Pictures farther apart than this may be told early by an edit between them. */
#define EDIT_GAP_US 50000
#define LATE_US 20000 /* sync that people notice */
#define EARLY_US 100000
#define PACKET_S 2          /* no packet of sound is longer */
#define PRIMING_US 100000   /* longest priming of a codec */
#define CAPTIONS_HEAD 2048u /* of a picture: captions stand before its slices */

void vp_probe_options_init(vp_probe_options *options, size_t size)
{
    static const vp_probe_options init = VP_PROBE_OPTIONS_INIT;

    vpi_struct_init(options, size, &init, sizeof(init));
}

vp_status vpi_limits_from(const vp_probe_options *options, vpi_limits *out, vp_error *err)
{
    vp_probe_options o = VP_PROBE_OPTIONS_INIT;

    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    out->max_pixels = o.max_pixels ? VPI_MIN(o.max_pixels, (uint64_t)INT32_MAX) : UINT64_C(8192) * 4608;
    out->max_streams = o.max_streams ? o.max_streams : 64;
    out->max_duration_us = o.max_duration_us ? o.max_duration_us : UINT64_C(48) * 3600 * 1000000;
    out->probe_bytes = o.probe_bytes ? VPI_MAX(o.probe_bytes, (uint64_t)2048) : UINT64_C(16) << 20;
    out->max_frame_rate = o.max_frame_rate ? o.max_frame_rate : 1000;
    out->timeout_ms = o.timeout_ms;
    out->full = o.full != 0;
    return VP_OK;
}

/* Within bounds that leave room for a difference of two. */
static int64_t to_us(int64_t ticks, vpi_rational tb)
{
    return VPI_CLAMP(vpi_rescale(ticks, tb.num * VPI_TICKS_PER_US, tb.den, VPI_NEAREST), -VPI_TIME_MAX,
                     VPI_TIME_MAX);
}

static bool is_content(const vpi_track *t)
{
    return (t->kind == VPI_KIND_VIDEO && !t->attached_picture) || t->kind == VPI_KIND_AUDIO;
}

vp_status vpi_report_new(vpi_demux *d, vp_media **out, vp_error *err)
{
    size_t n = vpi_demux_stream_count(d);
    vp_media *media = vpi_media_new();

    *out = NULL;
    if (!media) return vpi_fail_nomem(err);
    vpi_strlcpy(media->m.format, vpi_demux_format_name(d), sizeof(media->m.format));
    media->m.size = vpi_demux_avio(d)->size;
    media->m.duration_us = VP_TIME_UNKNOWN;
    media->m.complete = -1;
    media->m.tracks = vpi_calloc(n, sizeof(*media->m.tracks));
    if (!media->m.tracks) {
        vp_media_unref(media);
        return vpi_fail_nomem(err);
    }
    media->m.track_count = n;
    for (size_t i = 0; i < n; i++) media->m.tracks[i] = *vpi_demux_track(d, (int32_t)i);
    *out = media;
    return VP_OK;
}

vpi_stats *vpi_report_stats(vpi_demux *d, int32_t stream, bool repaired, bool *nomem)
{
    const vpi_track *t = vpi_demux_track(d, stream);
    const AVStream *av = vpi_demux_avstream(d, stream);
    const AVInputFormat *format = vpi_demux_format(d)->iformat;
    vpi_stats_options o = { .tb = t->tb, .video = t->kind == VPI_KIND_VIDEO && !t->attached_picture };
    vpi_stats *s;
    vpi_rational vui;

    if (t->attached_picture) return NULL;
    o.jumps_forward = !repaired && (format->flags & AVFMT_TS_DISCONT) != 0 && t->kind != VPI_KIND_TEXT;
    if (o.video) vpi_track_declared_rates(av, o.declared);
    if (vpi_formats_raw(format)) { /* the demuxer's own rate is a guess */
        vui = o.declared[2];
        o.declared[2] = o.declared[0];
        o.declared[0] = vui;
    }
    s = vpi_stats_new(&o);
    if (!s) *nomem = true;
    return s;
}

/* Nothing of a picture but its head is looked at: the scan reads every packet of the file. */
static bool has_captions(vpi_demux *d, const vpi_packet *p)
{
    const AVCodecParameters *par = vpi_demux_avstream(d, p->stream)->codecpar;
    const uint8_t *extra = par->extradata;
    size_t size = VPI_MIN(p->size, (size_t)CAPTIONS_HEAD);
    bool boxed = par->extradata_size > 0 && extra[0] == 1, hevc = par->codec_id == AV_CODEC_ID_HEVC;
    unsigned length = 0;

    if (par->codec_id == AV_CODEC_ID_MPEG2VIDEO) return vpi_captions_mpeg2(p->data, size);
    if (par->codec_id != AV_CODEC_ID_H264 && !hevc) return false;
    if (boxed && par->extradata_size > (hevc ? 21 : 4)) length = (extra[hevc ? 21 : 4] & 3u) + 1;
    return vpi_captions_h26x(p->data, size, length, hevc);
}

/* libvpx writes alternate references as packets of their own, with the time of the next picture or near it. */
static bool is_hidden(vpi_demux *d, const vpi_packet *p)
{
    switch (vpi_demux_avstream(d, p->stream)->codecpar->codec_id) {
    case AV_CODEC_ID_VP8:
        return !vpi_vp8_shows(p->data, p->size);
    case AV_CODEC_ID_VP9:
        return !vpi_vp9_shows(p->data, p->size);
    default:
        return false;
    }
}

/* Samples that a packet of sound says are not content, in ticks. */
static int64_t skipped(const vpi_track *track, uint32_t samples)
{
    return vpi_rescale(samples, track->tb.den, track->tb.num * (int64_t)track->sample_rate, VPI_NEAREST);
}

/* Newer versions of libavformat read MP4's shorter last sample as a duration and as a cut. */
static bool already_cut(const vpi_track *track, const AVCodecParameters *par, int64_t duration, uint32_t end)
{
    int64_t samples =
        vpi_rescale(duration, track->tb.num * (int64_t)track->sample_rate, track->tb.den, VPI_NEAREST);

    return par->frame_size > 0 && samples + end <= par->frame_size;
}

int64_t vpi_report_cut(vpi_demux *d, const vpi_packet *packet)
{
    const vpi_track *track = vpi_demux_track(d, packet->stream);
    uint32_t start, end;

    if (track->kind != VPI_KIND_AUDIO || !track->sample_rate) return 0;
    if (vpi_formats_trimmed(vpi_demux_format(d)->iformat)) return 0;
    vpi_packet_skips(vpi_packet_av(packet), &start, &end);
    if (end == 0 ||
        already_cut(track, vpi_demux_avstream(d, packet->stream)->codecpar, packet->duration, end))
        return 0;
    return VPI_MIN(skipped(track, end), packet->duration);
}

bool vpi_report_count(vpi_demux *d, vpi_stats *stats, const vpi_packet *packet)
{
    const vpi_track *track = vpi_demux_track(d, packet->stream);
    vpi_stats_packet p = { .has_pts = packet->has_pts,
                           .has_dts = packet->has_dts,
                           .key = packet->key,
                           .pts = packet->pts,
                           .dts = packet->dts,
                           .duration = packet->duration };
    uint32_t start, end;

    /* What an edit list takes out is not on the timeline. */
    if (packet->discard && packet->has_pts) vpi_stats_hide(stats, packet->pts);
    if (packet->discard) return true;
    if (track->kind == VPI_KIND_VIDEO && is_hidden(d, packet)) return true;
    if (track->kind == VPI_KIND_VIDEO) p.captions = has_captions(d, packet);
    vpi_packet_skips(vpi_packet_av(packet), &start, &end);
    if (track->kind == VPI_KIND_AUDIO && track->sample_rate) {
        /* The Opus decoder skips what its header says where the demuxer does not ask for it. */
        if (!start && track->codec == VPI_CODEC_OPUS && !vpi_stats_started(stats))
            start = track->skip_samples;
        p.skip_samples = start;
        p.skip_start = skipped(track, start);
        p.skip_end = vpi_report_cut(d, packet);
    }
    return vpi_stats_add(stats, &p);
}

/*
 * The last frame of these is shorter than the others, by up to a second, which only its decoder sees; Matroska gives it
 * the length of the others, but its own duration is what was written.
 */
static bool ends_as_declared(const vpi_track *t, const vpi_stats_result *r)
{
    return (strcmp(t->codec_name, "tta") == 0 || strcmp(t->codec_name, "alac") == 0) && r->has_times &&
           t->end < r->end && t->end > r->last;
}

void vpi_report_track(vpi_track *t, vpi_stats_result *r, bool exact)
{
    if (r->packets == 0) return;
    if (t->kind == VPI_KIND_AUDIO) {
        t->skip_samples = r->skip_samples;
        /* What the first packet primes only (Vorbis) libavformat knows. */
        if (t->has_times && t->start > r->start && to_us(t->start - r->start, t->tb) < PRIMING_US)
            r->start = t->start;
        /* One packet that does not tell how long it lasts: what the container says of the whole. */
        if (r->has_times && r->end <= r->start && t->end > r->start)
            r->end = VPI_MIN(t->end, r->start + vpi_rescale(PACKET_S, t->tb.den, t->tb.num, VPI_NEAREST));
        if (ends_as_declared(t, r)) r->end = t->end;
    }
    if (r->has_times) {
        if (exact)
            t->end = r->end;
        else if (t->has_times)
            t->end += r->start - t->start > 0 ? 0 : r->start - t->start;
        else
            t->end = VPI_MAX(t->end, r->end);
        t->start = r->start;
        t->has_times = true;
    }
    if (t->kind == VPI_KIND_VIDEO && !t->attached_picture) {
        t->frame_rate = r->rate;
        t->variable = r->variable;
        t->phase = r->phase;
        if (r->reordered) t->has_b_frames = true;
        if (!r->has_times) {
            t->start = 0;
            t->end = vpi_rescale((int64_t)r->packets * r->rate.den, t->tb.den, r->rate.num * t->tb.num,
                                 VPI_NEAREST);
        }
    }
    if (!exact) return;
    t->packets = r->packets;
    t->min_delta = r->min_delta;
    t->max_delta = r->max_delta;
    t->duplicates = r->duplicates;
    t->missing_pts = r->missing_pts;
    t->keyframes = r->keyframes;
    t->keyframe_count = r->keyframe_count;
    r->keyframes = NULL;
    if (r->keyframe_gaps) {
        t->keyframe_min_us = to_us(r->keyframe_min, t->tb);
        t->keyframe_max_us = to_us(r->keyframe_max, t->tb);
        t->keyframe_mean_us = to_us(r->keyframe_sum / (int64_t)r->keyframe_gaps, t->tb);
    } else if (t->keyframe_count && t->end > t->start) {
        t->keyframe_min_us = t->keyframe_max_us = t->keyframe_mean_us = to_us(t->end - t->start, t->tb);
    }
}

/* ---- warnings ---- */

static bool warn_text(vpi_media *m, const vpi_track *t)
{
    if (strncmp(t->codec_name, "eia_", 4) == 0) {
        return vpi_media_warn(m, "CAPTIONS_DROPPED", VP_TIME_UNKNOWN,
                              "stream %d: closed captions are not carried over", t->id);
    }
    return vpi_media_warn(m, "SUBTITLE_UNSUPPORTED", VP_TIME_UNKNOWN,
                          "stream %d: subtitles (%s) are not carried over", t->id, t->codec_name);
}

static bool warn_picture(vpi_media *m, const vpi_track *t)
{
    bool ok = true;

    if (t->interlaced)
        ok = vpi_media_warn(m, "INTERLACED", VP_TIME_UNKNOWN, "stream %d is interlaced", t->id);
    if (t->interlaced_parts) {
        ok = vpi_media_warn(m, "INTERLACED", VP_TIME_UNKNOWN, "stream %d is interlaced in parts", t->id);
    }
    if (t->telecine) {
        ok = vpi_media_warn(m, "TELECINE_SUSPECTED", VP_TIME_UNKNOWN,
                            "stream %d: film with fields repeated (3:2 pulldown)", t->id) &&
             ok;
    }
    if (strcmp(t->hdr, "pq") == 0 || strcmp(t->hdr, "hlg") == 0 || strcmp(t->hdr, "dolbyvision") == 0) {
        ok = vpi_media_warn(m, "HDR_TONE_MAPPED", VP_TIME_UNKNOWN,
                            "stream %d is HDR (%s): what is encoded of it is mapped to BT.709", t->id,
                            t->hdr) &&
             ok;
    }
    return ok;
}

/* Streams that were opened as tracks and carry on the track of another one. */
void vpi_report_routes(vpi_demux *d, vpi_media *m)
{
    for (size_t i = 0; i < m->track_count; i++) {
        if (vpi_route_of(vpi_demux_routes(d), i) != (int32_t)i) m->tracks[i].kind = VPI_KIND_OTHER;
    }
}

/* Streams that began behind opening; a picture that would go on in one was refused. */
static bool warn_late(vpi_demux *d, vpi_media *m)
{
    const AVFormatContext *ic = vpi_demux_format(d);
    bool ok = true;
    int64_t at;
    vpi_kind kind;

    for (unsigned i = 0; i < ic->nb_streams; i++) {
        if (!vpi_route_late(vpi_demux_routes(d), ic, i, &kind, &at)) continue;
        ok = vpi_media_warn(m, "TRACK_DROPPED", VP_TIME_UNKNOWN, "stream %u (%s) begins at byte %lld only", i,
                            kind == VPI_KIND_VIDEO ? "picture" : "sound", (long long)at) &&
             ok;
    }
    return ok;
}

static bool warn_streams(vpi_demux *d, vpi_media *m, const vpi_stats_result *results)
{
    const vpi_track *video = vpi_media_nth(m, VPI_KIND_VIDEO, 0);
    bool ok = true;

    for (size_t i = 0; i < m->track_count; i++) {
        const vpi_track *t = &m->tracks[i];
        const char *why = vpi_demux_dropped(d, (int32_t)i);

        if (why && vpi_route_of(vpi_demux_routes(d), i) == (int32_t)i)
            ok = vpi_media_warn(m, "TRACK_DROPPED", VP_TIME_UNKNOWN, "stream %d: %s", t->id, why) && ok;
        if (video && t != video && t->kind == VPI_KIND_VIDEO && !t->attached_picture) {
            ok = vpi_media_warn(m, "TRACK_DROPPED", VP_TIME_UNKNOWN,
                                "stream %d is another picture; that of stream %d is published", t->id,
                                video->id) &&
                 ok;
            continue;
        }
        if (t->kind == VPI_KIND_TEXT) ok = warn_text(m, t) && ok;
        if (t->kind == VPI_KIND_VIDEO && results[i].captions) {
            ok = vpi_media_warn(m, "CAPTIONS_DROPPED", VP_TIME_UNKNOWN,
                                "stream %d: closed captions in its pictures are not carried over", t->id) &&
                 ok;
        }
        if (t->kind == VPI_KIND_VIDEO && !t->attached_picture) ok = warn_picture(m, t) && ok;
        if (t->kind == VPI_KIND_VIDEO && !t->attached_picture && t->variable == 1) {
            ok = vpi_media_warn(m, "VARIABLE_FRAME_RATE", VP_TIME_UNKNOWN,
                                "stream %d has no constant frame rate: %lld/%lld on average", t->id,
                                (long long)t->frame_rate.num, (long long)t->frame_rate.den) &&
                 ok;
        }
    }
    return ok;
}

/*
 * libavformat moves the first picture that an edit shows to the edit's begin, also where that lies long before it:
 * what is on the screen there is the picture before, which is hidden.
 */
static bool warn_edit(vpi_media *m, const vpi_track *t, const vpi_stats_result *r)
{
    int64_t gap;

    if (t->kind != VPI_KIND_VIDEO || !r->hides || !r->has_times || r->hidden >= r->start) return true;
    gap = to_us(r->start, t->tb) - to_us(r->hidden, t->tb);
    if (gap <= EDIT_GAP_US) return true;
    return vpi_media_warn(m, "EDIT_LIST_APPROXIMATED", 0,
                          "stream %d: the edit begins between two pictures %lld ms apart, by up to which the "
                          "picture may be early",
                          t->id, (long long)(gap / 1000));
}

static bool warn_times(vpi_media *m, bool exact, const vpi_stats_result *results)
{
    bool ok = true;

    for (size_t i = 0; results && i < m->track_count; i++) {
        const vpi_track *t = &m->tracks[i];

        if (!is_content(t)) continue;
        if (results[i].jumps) {
            ok = vpi_media_warn(m, "TIMELINE_REPAIRED", to_us(results[i].jump_at, t->tb),
                                "stream %d: the clock jumps by %lld ms (%llu times)", t->id,
                                (long long)(to_us(results[i].jump_by, t->tb) / 1000),
                                (unsigned long long)results[i].jumps) &&
                 ok;
        }
        if (exact && t->kind == VPI_KIND_VIDEO && results[i].duplicates) {
            ok = vpi_media_warn(m, "TIMELINE_REPAIRED", VP_TIME_UNKNOWN,
                                "stream %d: %llu pictures have the time of another; the later one is shown",
                                t->id, (unsigned long long)results[i].duplicates) &&
                 ok;
        }
        if (t->kind == VPI_KIND_VIDEO && results[i].packets && !results[i].has_times) {
            ok = vpi_media_warn(m, "TIMELINE_REPAIRED", 0,
                                "stream %d has no times: %lld/%lld frames a second taken", t->id,
                                (long long)t->frame_rate.num, (long long)t->frame_rate.den) &&
                 ok;
        }
    }
    return ok;
}

/* By the picture: what sound lacks is silent, for what the picture lacks its first or last one is held. */
static bool warn_sound(vpi_media *m, const vpi_track *video, const vpi_track *audio, bool exact)
{
    int64_t late = to_us(audio->start, audio->tb) - to_us(video->start, video->tb);
    int64_t early = to_us(video->end, video->tb) - to_us(audio->end, audio->tb);
    bool ok = true;

    if (late > LATE_US) {
        ok =
            vpi_media_warn(m, "AUDIO_STARTS_LATE", to_us(audio->start, audio->tb),
                           "stream %d starts %lld ms after the picture", audio->id, (long long)(late / 1000));
    }
    if (exact && early > EARLY_US) {
        ok = vpi_media_warn(m, "AUDIO_ENDS_EARLY", to_us(audio->end, audio->tb),
                            "stream %d ends %lld ms before the picture", audio->id,
                            (long long)(early / 1000)) &&
             ok;
    }
    return ok;
}

static bool warn_picture_times(vpi_media *m, const vpi_track *video, int64_t late, int64_t early, bool exact)
{
    bool ok = true;

    if (late > EARLY_US) {
        ok = vpi_media_warn(m, "VIDEO_STARTS_LATE", to_us(video->start, video->tb),
                            "stream %d starts %lld ms after the sound: its first picture is held", video->id,
                            (long long)(late / 1000));
    }
    if (exact && early > EARLY_US) {
        ok = vpi_media_warn(m, "VIDEO_ENDS_EARLY", to_us(video->end, video->tb),
                            "stream %d ends %lld ms before the sound: %s", video->id,
                            (long long)(early / 1000),
                            early > VPI_AUDIO_TAIL_US ? "its last picture is held" : "that sound is cut") &&
             ok;
    }
    return ok;
}

static bool warn_ends(vpi_media *m, bool exact)
{
    const vpi_track *video = vpi_media_nth(m, VPI_KIND_VIDEO, 0), *audio;
    int64_t late = 0, early = 0;
    bool ok = true;

    if (!video || !video->has_times) return true;
    for (size_t i = 0; (audio = vpi_media_nth(m, VPI_KIND_AUDIO, i)) != NULL; i++) {
        if (!audio->has_times) continue;
        ok = warn_sound(m, video, audio, exact) && ok;
        late = VPI_MAX(late, to_us(video->start, video->tb) - to_us(audio->start, audio->tb));
        early = VPI_MAX(early, to_us(audio->end, audio->tb) - to_us(video->end, video->tb));
    }
    return warn_picture_times(m, video, late, early, exact) && ok;
}

/* ---- the whole ---- */

static void set_times(vpi_demux *d, vpi_media *m)
{
    const vpi_track *video, *audio;
    int64_t start = INT64_MAX, end = INT64_MIN, declared = vpi_demux_format(d)->duration;

    for (size_t i = 0; i < m->track_count; i++) {
        const vpi_track *t = &m->tracks[i];

        if (!is_content(t) || t->end <= t->start) continue;
        start = VPI_MIN(start, to_us(t->start, t->tb));
        end = VPI_MAX(end, to_us(t->end, t->tb));
    }
    if (end > start && start != INT64_MAX)
        m->duration_us = end - start;
    else if (declared != AV_NOPTS_VALUE && declared > 0)
        m->duration_us = declared;
    if (m->duration_us > 0)
        m->bit_rate = (uint64_t)vpi_rescale((int64_t)m->size, 8000000, m->duration_us, VPI_NEAREST);
    video = vpi_media_nth(m, VPI_KIND_VIDEO, 0);
    audio = vpi_media_nth(m, VPI_KIND_AUDIO, 0);
    if (video && audio && video->has_times && audio->has_times) {
        m->start_skew_us = to_us(audio->start, audio->tb) - to_us(video->start, video->tb);
    }
}

static vp_status check_final(const vpi_media *m, const vpi_limits *limits, bool exact,
                             const vpi_stats_result *results, vp_error *err)
{
    if (m->duration_us != VP_TIME_UNKNOWN && (uint64_t)m->duration_us > limits->max_duration_us) {
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "a duration of %lld s is more than the limit",
                        (long long)(m->duration_us / VPI_TICKS_PER_US));
    }
    for (size_t i = 0; i < m->track_count; i++) {
        const vpi_track *t = &m->tracks[i];

        if (t->kind != VPI_KIND_VIDEO || t->attached_picture || !results[i].packets) continue;
        if (t->frame_rate.den > 0 &&
            t->frame_rate.num / t->frame_rate.den > (int64_t)limits->max_frame_rate) {
            return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "%lld frames a second are more than the limit",
                            (long long)(t->frame_rate.num / t->frame_rate.den));
        }
        if (exact && results[i].packets == 1 &&
            (strcmp(m->format, "gif") == 0 || strcmp(m->format, "apng") == 0)) {
            return vpi_fail(err, VP_E_DATA, "NOT_A_VIDEO", "the file is a still image (%s)", m->format);
        }
    }
    return VP_OK;
}

bool vpi_report_seekable(vpi_demux *d, const vpi_media *m, const vpi_stats_result *results)
{
    bool jumps = false, times = true;

    for (size_t i = 0; i < m->track_count; i++) {
        if (!is_content(&m->tracks[i])) continue;
        jumps = jumps || results[i].jumps || vpi_demux_has_palette(d, (int32_t)i);
        times = times && m->tracks[i].has_times;
    }
    return times && !jumps && !vpi_demux_routes(d)->joined && !m->timeline.count &&
           !m->timeline.decode_times && !vpi_formats_raw(vpi_demux_format(d)->iformat);
}

vp_status vpi_report_finish(vpi_demux *d, vp_media *media, const vpi_limits *limits, bool exact,
                            const vpi_stats_result *results, vp_error *err)
{
    const vpi_structure *structure = vpi_demux_structure(d);
    vpi_media *m = &media->m;
    bool ok = true;

    set_times(d, m);
    VPI_TRY(check_final(m, limits, exact, results, err));
    m->seekable = vpi_report_seekable(d, m, results);
    if (structure->moov_at_end) {
        ok = vpi_media_warn(m, "MOOV_AT_END", VP_TIME_UNKNOWN, "the index is at the end of the file");
    }
    if (structure->edits_complex) {
        ok = vpi_media_warn(m, "EDIT_LIST_APPROXIMATED", VP_TIME_UNKNOWN,
                            "the edit list has parts that repeat, go back or have another speed") &&
             ok;
    }
    for (size_t i = 0; exact && !structure->edits_complex && !structure->edit_tracks && i < m->track_count;
         i++)
        ok = warn_edit(m, &m->tracks[i], &results[i]) && ok;
    ok = warn_streams(d, m, results) && ok;
    ok = warn_late(d, m) && ok;
    ok = warn_times(m, exact, results) && ok;
    ok = warn_ends(m, exact) && ok;
    return ok ? VP_OK : vpi_fail_nomem(err);
}

/* ---- vp_probe ---- */

/* Has each track of content been seen for long enough? */
static bool seen_enough(const vpi_demux *d, const int64_t *first, const int64_t *last)
{
    for (size_t i = 0; i < vpi_demux_stream_count(d); i++) {
        const vpi_track *t = vpi_demux_track(d, (int32_t)i);

        if (!is_content(t)) continue;
        if (first[i] == INT64_MIN || to_us(last[i] - first[i], t->tb) < SAMPLE_US) return false;
    }
    return true;
}

/* Counts packets of the head. *whole: that was the whole file. */
static vp_status sample_head(vpi_demux *d, const vpi_limits *limits, vpi_stats **stats, bool *whole,
                             vp_error *err)
{
    size_t n = vpi_demux_stream_count(d);
    uint64_t bytes = 0, limit = VPI_MIN(limits->probe_bytes, (uint64_t)SAMPLE_BYTES);
    int64_t *first = vpi_calloc(n, sizeof(*first)), *last = vpi_calloc(n, sizeof(*last));
    vpi_packet p = { 0 };
    vp_status st = VP_OK;

    *whole = false;
    if (!first || !last) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    for (size_t i = 0; i < n; i++) first[i] = INT64_MIN;
    while (bytes < limit && !seen_enough(d, first, last)) {
        int64_t time;

        st = vpi_demux_read(d, &p, err);
        if (st == VP_END) *whole = true;
        if (st != VP_OK) break;
        bytes += p.size;
        time = p.has_dts ? p.dts : p.pts;
        if (p.has_dts || p.has_pts) {
            if (first[p.stream] == INT64_MIN) first[p.stream] = time;
            last[p.stream] = time;
        }
        if (stats[p.stream] && !vpi_report_count(d, stats[p.stream], &p)) {
            st = vpi_fail_nomem(err);
            break;
        }
    }
done:
    vpi_packet_dispose(&p);
    vpi_free(first);
    vpi_free(last);
    return st < 0 ? st : VP_OK;
}

/*
 * A head of constant rate says "constant" only where the container says the same of the whole: where
 * libavformat's avg_frame_rate comes from an index or header of the file, not from packets it looked at.
 */
static void temper(vpi_track *t, const AVStream *stream, const char *format)
{
    double own, declared;

    if (t->kind != VPI_KIND_VIDEO || t->attached_picture || t->variable != 0) return;
    t->variable = -1;
    if (strncmp(format, "mov", 3) != 0 && strcmp(format, "avi") != 0 && strcmp(format, "mxf") != 0) return;
    if (stream->avg_frame_rate.num <= 0 || stream->avg_frame_rate.den <= 0 || t->frame_rate.den <= 0) return;
    own = (double)t->frame_rate.num / (double)t->frame_rate.den;
    declared = av_q2d(stream->avg_frame_rate);
    if (own > declared * 0.999 && own < declared * 1.001) t->variable = 0;
}

static vp_status probe_head(vpi_demux *d, const vpi_limits *limits, vp_media **out, vp_error *err)
{
    size_t n = vpi_demux_stream_count(d);
    vpi_stats **stats = vpi_calloc(n, sizeof(*stats));
    vpi_stats_result *results = vpi_calloc(n, sizeof(*results));
    vp_media *media = NULL;
    bool whole = false, nomem = false;
    vp_status st;

    if (!stats || !results) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    for (size_t i = 0; i < n && !nomem; i++) stats[i] = vpi_report_stats(d, (int32_t)i, false, &nomem);
    if (nomem) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    VPI_GO(vpi_report_new(d, &media, err));
    VPI_GO(sample_head(d, limits, stats, &whole, err));
    for (size_t i = 0; i < n; i++) {
        if (!stats[i]) continue;
        if (!whole) vpi_stats_cut(stats[i]);
        vpi_stats_finish(stats[i], &results[i]);
        vpi_report_track(&media->m.tracks[i], &results[i], false);
        if (whole && results[i].has_times) media->m.tracks[i].end = results[i].end;
        if (!whole)
            temper(&media->m.tracks[i], vpi_demux_avstream(d, (int32_t)i),
                   vpi_demux_format(d)->iformat->name);
        vpi_free(results[i].keyframes);
        results[i].keyframes = NULL;
    }
    vpi_report_routes(d, &media->m);
    VPI_GO(vpi_report_finish(d, media, limits, whole, results, err));
    *out = media;
    media = NULL;
done:
    vp_media_unref(media);
    for (size_t i = 0; stats && i < n; i++) vpi_stats_free(stats[i]);
    vpi_free(stats);
    vpi_free(results);
    return st < 0 ? st : VP_OK;
}

static vp_status probe(vp_context *context, vp_source *source, const vp_probe_options *options,
                       vp_cancel *cancel, vp_media **out, vp_error *err)
{
    vp_cancel *child = NULL;
    vpi_demux *d = NULL;
    vpi_limits limits;
    vp_status st;

    if (out) *out = NULL;
    if (!context || !source || !out)
        return vpi_fail(err, VP_E_ARG, NULL, "context, source and out are needed");
    VPI_TRY(vpi_context_check(context, err));
    VPI_TRY(vpi_limits_from(options, &limits, err));
    if (limits.full) return vpi_scan(context, source, options, cancel, NULL, NULL, out, err);
    VPI_TRY(vp_cancel_child(cancel, &child, err));
    vp_cancel_deadline(child, limits.timeout_ms ? limits.timeout_ms : PROBE_TIMEOUT_MS);
    VPI_GO(vpi_demux_open_limits(context, source, &limits, false, child, &d, err));
    VPI_GO(probe_head(d, &limits, out, err));
done:
    vpi_error_op(err, "probe");
    vpi_demux_close(d);
    vp_cancel_unref(child);
    return st < 0 ? st : VP_OK;
}

vp_status vp_probe(vp_context *context, vp_source *source, const vp_probe_options *options, vp_cancel *cancel,
                   vp_media **out, vp_error *err)
{
    vp_error own = VP_ERROR_INIT;
    vp_status st = probe(context, source, options, cancel, out, &own);

    vpi_error_reset(err);
    if (st < 0 && vpi_is_not_yet(&own)) {
        /* No failure: whoever feeds the source asks again. What is known is told. */
        if (err && vpi_streq(own.reason, VPI_MOOV_AT_END))
            vpi_strlcpy(err->reason, own.reason, sizeof(err->reason));
        return VP_AGAIN;
    }
    if (st < 0) vpi_error_copy(err, &own);
    return st;
}
