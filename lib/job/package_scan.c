/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>

#include "package_codec.h"

/* What is in the inputs: one video track of each, sound from the first input that has each language, codec, layout. */

#define HEAD 300         /* pictures that the frame rate is found from */
#define NEIGHBOURS 32    /* pictures that can be out of order with each other */
#define LOOKED 4u        /* sync samples that are looked at for parameter sets */
#define LEAD_REORDER 16u /* most pictures by which decoding is ahead (H.264 A.3.1) */

int64_t vpi_ready_us(const vpi_ready_video *v, int64_t ticks)
{
    return vpi_rescale(ticks, v->tb.num * 1000000, v->tb.den, VPI_NEAREST);
}

static const char *input_name(const vpi_ready *pk, size_t input)
{
    return pk->job->renditions[input].name;
}

static bool packaged(const vpi_track *t)
{
    switch (t->codec) {
    case VPI_CODEC_H264:
    case VPI_CODEC_HEVC:
    case VPI_CODEC_AV1:
    case VPI_CODEC_VP9:
        return t->kind == VPI_KIND_VIDEO;
    case VPI_CODEC_AAC:
    case VPI_CODEC_AC3:
    case VPI_CODEC_EAC3:
    case VPI_CODEC_OPUS:
    case VPI_CODEC_FLAC:
        return t->kind == VPI_KIND_AUDIO;
    default:
        return false;
    }
}

/* What the transport stream writer knows. */
static bool in_ts(const vpi_track *t)
{
    return t->codec == VPI_CODEC_H264 || t->codec == VPI_CODEC_AAC || t->codec == VPI_CODEC_AC3 ||
           t->codec == VPI_CODEC_EAC3;
}

static vp_status check_codec(const vpi_ready *pk, size_t input, const vpi_track *t, vp_error *err)
{
    const char *what = t->kind == VPI_KIND_VIDEO ? "video" : "audio", *name = input_name(pk, input);
    if (packaged(t) && (!pk->ts || in_ts(t))) return vpi_track_check_base(t, err);
    vpi_error_key(err, name);
    if (packaged(t))
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                        "%s: %s codec %s is not put into transport streams: format cmaf has room for it",
                        name, what, t->codec_name);
    return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "%s: %s codec %s cannot be packaged", name,
                    what, t->codec_name);
}

static void warn_track(vpi_ready *pk, size_t input, const vpi_track *t, const char *name, const char *what)
{
    char text[300];
    snprintf(text, sizeof(text), "%.120s: track %d %s", input_name(pk, input), (int)t->id, what);
    vpi_emit_warning(&pk->job->emitter, name, VP_TIME_UNKNOWN, text);
}

static vp_status add_video(vpi_ready *pk, size_t input, const vpi_track *t, const uint8_t *config,
                           size_t size, vp_error *err)
{
    vpi_ready_video *v = &pk->video[pk->video_count];
    v->input = input;
    v->stream = t->id;
    v->tb = t->tb;
    pk->video_count++;
    vpi_buf_add(&v->config, config, size);
    if (vpi_buf_failed(&v->config)) return vpi_fail_nomem(err);
    VPI_TRY(vpi_ready_video_setup(v, t, err));
    /* What is left is a whole stream of HDR10, HLG or SDR. */
    if (vpi_streq(t->hdr, "dolbyvision"))
        warn_track(pk, input, t, "DOLBY_VISION_DROPPED",
                   "is packaged as the base layer of Dolby Vision alone");
    if (v->interlaced)
        warn_track(pk, input, t, "INTERLACED", "is coded as interlaced, which many players show as it is");
    size_t same = 1;
    uint32_t side = VPI_MIN(v->setup.width, v->setup.height);
    for (size_t i = 0; i + 1 < pk->video_count; i++)
        same += VPI_MIN(pk->video[i].setup.width, pk->video[i].setup.height) == side;
    snprintf(v->name, sizeof(v->name), same > 1 ? "%up-%zu" : "%up", side, same);
    return VP_OK;
}

static void audio_names(vpi_ready *pk, vpi_ready_audio *a, const char *language)
{
    static const char *const layouts[] = { "", "mono", "stereo", "3ch", "4ch", "5ch", "5.1", "7ch", "7.1" };
    char base[48], layout[16];
    bool aac = a->setup.codec == VPI_CODEC_AAC;
    size_t same = 1;
    if (a->setup.channels < VPI_COUNT(layouts))
        vpi_strlcpy(layout, layouts[a->setup.channels], sizeof(layout));
    else
        snprintf(layout, sizeof(layout), "%uch", (unsigned)a->setup.channels);
    snprintf(base, sizeof(base), "%.24s-%s%s%s", language, layout, aac ? "" : "-",
             aac ? "" : vpi_ready_family(a->setup.codec));
    for (vpi_ready_audio *o = pk->audio; o < a; o++) same += vpi_streq(o->base, base);
    vpi_strlcpy(a->base, base, sizeof(a->base));
    snprintf(a->name, sizeof(a->name), same > 1 ? "%s-%zu" : "%s", base, same);
    vpi_language_name(language, a->label, sizeof(a->label) - 8);
    vpi_strlcpy(a->setup.language, language, sizeof(a->setup.language));
}

static bool have_audio(const vpi_ready *pk, const vpi_ready_audio *one, const char *language)
{
    for (const vpi_ready_audio *a = pk->audio; a < one; a++) {
        if (a->input != one->input && a->setup.codec == one->setup.codec &&
            a->setup.channels == one->setup.channels && vpi_streq(a->setup.language, language))
            return true;
    }
    return false;
}

static vp_status add_audio(vpi_ready *pk, size_t input, const vpi_track *t, const uint8_t *config,
                           size_t size, vp_error *err)
{
    vpi_ready_audio *a = &pk->audio[pk->audio_count];
    const char *language = t->language[0] ? t->language : "und";
    a->input = input;
    a->stream = t->id;
    a->tb = t->tb;
    vpi_buf_add(&a->config, config, size);
    vp_status st = vpi_buf_failed(&a->config) ? vpi_fail_nomem(err) : vpi_ready_audio_setup(a, t, err);
    if (st < 0 || have_audio(pk, a, language)) {
        vpi_ready_audio_dispose(a);
        return st;
    }
    pk->audio_count++;
    audio_names(pk, a, language);
    a->marked = t->is_default;
    return VP_OK;
}

/* ---- times of a video track ---- */

/* Pictures as they come, in decode order: what the writers must know of their order. */
typedef struct picture_order {
    int64_t head[HEAD], last[NEIGHBOURS];
    uint64_t count;
    int64_t min_gap;
    uint32_t reorder;
    int64_t key;    /* time of the last key */
    bool leading;   /* no picture after it in decode order was shown after it yet */
    bool first_key; /* it is the first one */
} picture_order;

static void order_add(picture_order *o, int64_t pts)
{
    uint32_t later = 0; /* pictures that are decoded before this one and shown after it */
    size_t n = (size_t)VPI_MIN(o->count, (uint64_t)NEIGHBOURS);

    for (size_t i = 0; i < n; i++) {
        int64_t gap = pts > o->last[i] ? pts - o->last[i] : o->last[i] - pts;
        if (gap > 0 && (!o->min_gap || gap < o->min_gap)) o->min_gap = gap;
        if (o->last[i] > pts) later++;
    }
    o->reorder = VPI_MAX(o->reorder, VPI_MIN(later, LEAD_REORDER));
    if (o->count < HEAD) o->head[o->count] = pts;
    o->last[o->count++ % NEIGHBOURS] = pts;
}

static int compare_pts(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Pictures in the time that the first ones take: a rate in common use that is within rounding, else the average. */
static void find_rate(vpi_ready_video *v, picture_order *o)
{
    static const vpi_rational common[] = { { 24, 1 },       { 24000, 1001 }, { 25, 1 }, { 30, 1 },
                                           { 30000, 1001 }, { 50, 1 },       { 60, 1 }, { 15, 1 },
                                           { 60000, 1001 }, { 12, 1 } };
    size_t count = (size_t)VPI_MIN(o->count, (uint64_t)HEAD);
    int64_t n, span, best = INT64_MAX;

    if (v->fps.num > 0) return;
    v->fps = (vpi_rational){ 25, 1 };
    /* among the last ones in decode order some are missing that are shown between them */
    if (count < v->reorder + 2) return;
    qsort(o->head, count, sizeof(*o->head), compare_pts);
    n = (int64_t)(count - v->reorder) - 1;
    span = o->head[n] - o->head[0];
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

/*
 * Pictures that are decoded after a key and shown before it may need what was before the key (RASL pictures of HEVC,
 * open GOPs): nothing can be cut there. After the first key they cannot be shown at all, and are left out.
 * True: the picture is one of those.
 */
static bool leads(vpi_ready_video *v, picture_order *o, int64_t pts)
{
    if (pts > o->key) o->leading = false;
    if (!o->leading || pts >= o->key) return false;
    if (o->first_key) return true;
    if (v->key_count && v->keys[v->key_count - 1] == o->key - v->first) v->key_count--;
    return false;
}

/* One picture of the walk through a track: what comes before the first key cannot be shown. */
static vp_status add_picture(vpi_ready_video *v, picture_order *o, int64_t pts, int64_t duration, bool key,
                             vp_error *err)
{
    if (!o->count && !key) return VP_OK;
    if (!o->count) {
        v->first = pts;
        v->end = 0;
        v->key_count = 0;
    }
    if (pts < v->first - (INT64_MAX >> 2) || pts > v->first + (INT64_MAX >> 2))
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "a picture at tick %lld", (long long)pts);
    if (!key && leads(v, o, pts)) return VP_OK;
    if (key) {
        o->first_key = !o->count;
        o->key = pts;
        o->leading = true;
    }
    order_add(o, pts);
    v->end = VPI_MAX(v->end, pts + VPI_MAX(duration, 1) - v->first);
    if (!key) return VP_OK;
    if (!VPI_GROW(v->keys, v->key_count, v->key_cap)) return vpi_fail_nomem(err);
    v->keys[v->key_count++] = pts - v->first;
    return VP_OK;
}

bool vpi_ready_is_key(const vpi_ready_video *v, int64_t at)
{
    size_t low = 0, high = v->key_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (v->keys[mid] == at) return true;
        if (v->keys[mid] < at)
            low = mid + 1;
        else
            high = mid;
    }
    return false;
}

static vp_status end_pictures(const vpi_ready *pk, vpi_ready_video *v, picture_order *o, vp_error *err)
{
    if (!o->count)
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: no IDR picture", input_name(pk, v->input));
    v->min_gap = VPI_MAX(o->min_gap, 1);
    v->reorder = VPI_MAX(v->reorder, o->reorder);
    find_rate(v, o);
    return VP_OK;
}

/* By the file's tables; look: sync samples count when they are IDR pictures. */
static vp_status walk_table(vpi_ready *pk, vpi_ready_video *v, bool look, vp_error *err)
{
    const vpi_ready_input *in = &pk->inputs[v->input];
    vpi_movie_cursor *cursor = NULL;
    picture_order o = { .count = 0 };
    unsigned looked = 0;
    vp_status st = vpi_movie_cursor_new(&in->file, &in->movie.tracks[v->stream], &cursor, err);

    while (st >= 0) {
        vpi_movie_sample s;
        st = vpi_movie_next(cursor, &s, err);
        if (st != VP_OK) break;
        bool key = s.sync;
        looked += key;
        if (key && (look || looked <= LOOKED || !o.count)) {
            vpi_point point;
            bool sets = false;
            st = vpi_ready_point_at(in, v->setup.codec, v->nal_length, &s, &point, &sets, err);
            key = point != VPI_POINT_NONE;
            /* they are to be taken out, or to be refused where they change: the other reader does both */
            if (st >= 0 && sets) st = vpi_fail(err, VP_E_UNSUPPORTED, NULL, "parameter sets within samples");
        }
        if (st >= 0) st = add_picture(v, &o, s.pts, s.duration, key, err);
    }
    vpi_movie_cursor_free(cursor);
    if (st < 0) return st;
    v->exact = look;
    return end_pictures(pk, v, &o, err);
}

/* The first picture that can be shown, of a file that is read by its tables. */
static vp_status look_at_head(vpi_ready *pk, vpi_ready_video *v, vp_error *err)
{
    vpi_ready_reader *reader = NULL;
    bool found = false;
    vp_status st = vpi_ready_open(&pk->inputs[v->input], v->stream, &reader, err);

    while (st >= 0 && !found) {
        vpi_ready_packet p;
        st = vpi_ready_next(reader, &p, err);
        if (st != VP_OK) break;
        found =
            p.key && vpi_ready_point(v->setup.codec, v->nal_length, p.data, p.size, NULL) != VPI_POINT_NONE;
        if (found) st = vpi_ready_video_head(v, p.data, p.size, err);
        vpi_ready_drop(reader, &p);
    }
    vpi_ready_close(reader);
    return st < 0 ? st : VP_OK;
}

vp_status vpi_ready_look(vpi_ready *pk, vpi_ready_video *v, vp_error *err)
{
    return walk_table(pk, v, true, err);
}

/* By reading every packet. */
static vp_status walk_packets(vpi_ready *pk, vpi_ready_video *v, vp_error *err)
{
    vpi_ready_reader *reader = NULL;
    picture_order o = { .count = 0 };
    vp_status st = vpi_ready_open(&pk->inputs[v->input], v->stream, &reader, err);

    while (st >= 0) {
        vpi_ready_packet p;
        st = vpi_ready_next(reader, &p, err);
        if (st != VP_OK) break;
        bool idr = vpi_ready_point(v->setup.codec, v->nal_length, p.data, p.size, NULL) != VPI_POINT_NONE;
        if ((o.count || idr) && !p.has_pts)
            st = vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "%s: pictures without times",
                          input_name(pk, v->input));
        else if (idr)
            st = o.count ? vpi_ready_video_same(v, p.data, p.size, err)
                         : vpi_ready_video_head(v, p.data, p.size, err);
        if (st >= 0) st = add_picture(v, &o, p.pts, p.duration, idr, err);
        vpi_ready_drop(reader, &p);
    }
    vpi_ready_close(reader);
    if (st < 0) return st;
    v->exact = true;
    return end_pictures(pk, v, &o, err);
}

/* ---- all inputs ---- */

void vpi_ready_warn_dropped(vpi_ready *pk, size_t input, int32_t stream, const char *codec, const char *why)
{
    char text[300];
    snprintf(text, sizeof(text), "%.120s: track %d (%s) is left out: %s", input_name(pk, input), (int)stream,
             codec, why);
    vpi_emit_warning(&pk->job->emitter, "TRACK_DROPPED", VP_TIME_UNKNOWN, text);
}

/* One file while it is scanned: what it adds to the job. */
typedef struct file_scan {
    vpi_ready *pk;
    size_t input, first_audio, first_video;
    bool has_audio;   /* also where it repeats another file's */
    vpi_demux *demux; /* NULL: by the file's tables */
} file_scan;

static bool has_video(const file_scan *f)
{
    return f->pk->video_count > f->first_video;
}

/* The frames know of substreams and object audio what many writers of dec3 leave out. */
static vp_status dec3_of_frames(const file_scan *f, int32_t stream, vpi_buf *out, vp_error *err)
{
    vpi_ready_reader *reader = NULL;
    vpi_ready_packet p = { 0 };
    vp_status st = vpi_ready_open(&f->pk->inputs[f->input], stream, &reader, err);
    if (st >= 0) st = vpi_ready_next(reader, &p, err);
    if (st == VP_OK && vpi_dec3_write(p.data, p.size, out, NULL) < 0) vpi_buf_clear(out);
    if (st >= 0) vpi_ready_drop(reader, &p);
    vpi_ready_close(reader);
    return st < 0 ? st : vpi_buf_failed(out) ? vpi_fail_nomem(err) : VP_OK;
}

static vp_status config_of(const file_scan *f, int32_t stream, const uint8_t **config, size_t *size,
                           vp_error *err)
{
    if (f->demux) return vpi_demux_config(f->demux, stream, config, size, err);
    const vpi_init_info *info = &f->pk->inputs[f->input].movie.tracks[stream].info;
    *config = info->codec_config;
    *size = info->codec_config_size;
    return VP_OK;
}

static vp_status add_track(file_scan *f, const vpi_track *t, vp_error *err)
{
    vpi_ready *pk = f->pk;
    const uint8_t *config = NULL;
    size_t size = 0;

    if (t->attached_picture || (t->kind == VPI_KIND_VIDEO && has_video(f))) {
        vpi_ready_warn_dropped(pk, f->input, t->id, t->codec_name, "not the first picture track");
        return VP_OK;
    }
    if (t->kind == VPI_KIND_TEXT) {
        warn_track(pk, f->input, t, "SUBTITLE_UNSUPPORTED", "(subtitles) is left out");
        return VP_OK;
    }
    if (t->kind == VPI_KIND_VIDEO) {
        VPI_TRY(check_codec(pk, f->input, t, err));
        VPI_TRY(config_of(f, t->id, &config, &size, err));
        return add_video(pk, f->input, t, config, size, err);
    }
    if (t->kind == VPI_KIND_AUDIO && pk->audio_count < VPI_READY_AUDIO_MAX) {
        f->has_audio = true;
        VPI_TRY(check_codec(pk, f->input, t, err));
        VPI_TRY(config_of(f, t->id, &config, &size, err));
        vpi_buf dec3 = { 0 };
        size_t before = pk->audio_count;
        vp_status st = VP_OK;
        if (!f->demux && t->codec == VPI_CODEC_EAC3) st = dec3_of_frames(f, t->id, &dec3, err);
        if (st >= 0)
            st =
                add_audio(pk, f->input, t, dec3.size ? dec3.data : config, dec3.size ? dec3.size : size, err);
        vpi_buf_dispose(&dec3);
        /* transport streams begin at any time */
        if (st >= 0 && pk->audio_count > before && f->demux && t->has_times && vpi_demux_any_start(f->demux))
            pk->audio[before].start = t->start;
        return st;
    }
    return VP_OK;
}

static vp_status add_tracks(file_scan *f, vp_error *err)
{
    vpi_ready_input *in = &f->pk->inputs[f->input];
    size_t n = f->demux ? vpi_demux_stream_count(f->demux) : in->movie.count;
    vpi_track t;

    for (size_t i = 0; i < n; i++) {
        if (!f->demux) vpi_ready_movie_track(in, i, &t);
        VPI_TRY(add_track(f, f->demux ? vpi_demux_track(f->demux, (int32_t)i) : &t, err));
    }
    return VP_OK;
}

/* Average rate of an audio track, and that its table holds. */
static vp_status walk_audio(vpi_ready *pk, vpi_ready_audio *a, vp_error *err)
{
    const vpi_ready_input *in = &pk->inputs[a->input];
    vpi_movie_cursor *cursor = NULL;
    vpi_movie_sample s;
    uint64_t bytes = 0, ticks = 0;
    vp_status st = vpi_movie_cursor_new(&in->file, &in->movie.tracks[a->stream], &cursor, err);

    while (st == VP_OK) {
        st = vpi_movie_next(cursor, &s, err);
        if (st != VP_OK) break;
        bytes += s.size;
        ticks += s.duration;
    }
    vpi_movie_cursor_free(cursor);
    if (ticks && bytes < UINT64_MAX / 8 / (uint64_t)a->tb.den)
        a->setup.kbps =
            (uint32_t)VPI_MIN(bytes * 8 * (uint64_t)a->tb.den / ticks / 1000, (uint64_t)UINT32_MAX);
    return st < 0 ? st : VP_OK;
}

/* Pictures are not cut within a GOP, so what an edit list trims away is in the title: somebody may want to know. */
static void look_at_edits(vpi_ready *pk, const vpi_ready_video *v)
{
    const vpi_movie_track *t = &pk->inputs[v->input].movie.tracks[v->stream];
    int64_t frame = VPI_MAX(v->min_gap, 1);
    char text[300];
    if (v->first >= -frame && v->first + v->end - frame <= t->edit_end) return;
    snprintf(text, sizeof(text), "%.120s: pictures that its edit list leaves out are in the title",
             input_name(pk, v->input));
    vpi_emit_warning(&pk->job->emitter, "EDIT_LIST_APPROXIMATED", VP_TIME_UNKNOWN, text);
}

static vp_status scan_tables(file_scan *f, vp_error *err)
{
    vpi_ready *pk = f->pk;
    VPI_TRY(add_tracks(f, err));
    if (has_video(f)) {
        VPI_TRY(walk_table(pk, &pk->video[pk->video_count - 1], false, err));
        VPI_TRY(look_at_head(pk, &pk->video[pk->video_count - 1], err));
        look_at_edits(pk, &pk->video[pk->video_count - 1]);
    }
    for (size_t i = f->first_audio; i < pk->audio_count; i++) VPI_TRY(walk_audio(pk, &pk->audio[i], err));
    return VP_OK;
}

static vp_status scan_packets(file_scan *f, vp_error *err)
{
    vpi_ready *pk = f->pk;
    vp_source *source = pk->inputs[f->input].source;
    VPI_TRY(vpi_demux_open(pk->job->context, source, NULL, pk->job->stop, &f->demux, err));
    vp_status st = add_tracks(f, err);
    vpi_demux_close(f->demux);
    if (st >= 0 && has_video(f)) st = walk_packets(pk, &pk->video[pk->video_count - 1], err);
    return st;
}

/* Takes back what the file has added. */
static void forget(file_scan *f)
{
    vpi_ready *pk = f->pk;
    for (; pk->video_count > f->first_video; pk->video_count--)
        vpi_ready_video_dispose(&pk->video[pk->video_count - 1]);
    for (; pk->audio_count > f->first_audio; pk->audio_count--)
        vpi_ready_audio_dispose(&pk->audio[pk->audio_count - 1]);
    vpi_ready_input_close(&pk->inputs[f->input]);
}

static vp_status scan_input(vpi_ready *pk, size_t input, vp_error *err)
{
    file_scan f = {
        .pk = pk, .input = input, .first_audio = pk->audio_count, .first_video = pk->video_count
    };
    vpi_ready_input *in = &pk->inputs[input];
    vp_error why = VP_ERROR_INIT;
    vp_status st = VP_E_UNSUPPORTED;

    *in = (vpi_ready_input){ .context = pk->job->context,
                             .source = pk->job->renditions[input].source,
                             .name = input_name(pk, input),
                             .stop = pk->job->stop };
    VPI_TRY(vpi_ready_input_open(in, err));
    pk->total_bytes += in->file.size;
    if (in->movie.count) st = scan_tables(&f, &why);
    if (st == VP_E_UNSUPPORTED || st == VP_E_DATA) {
        /* a file that is odd or damaged: the other reader copes with it, or says what is wrong */
        forget(&f);
        st = scan_packets(&f, err);
    } else if (st < 0) {
        vpi_error_copy(err, &why);
    }
    if (st >= 0 && !has_video(&f) && !f.has_audio)
        st = vpi_fail(err, VP_E_DATA, "INPUT_NO_VIDEO_OR_AUDIO", "%s has neither video nor audio",
                      input_name(pk, input));
    if (st < 0) vpi_error_key(err, input_name(pk, input));
    /* sound is placed by the picture of its own file; a file of sound alone by its own zero */
    for (size_t i = f.first_audio; st >= 0 && i < pk->audio_count; i++) {
        vpi_ready_audio *a = &pk->audio[i];
        const vpi_ready_video *v = has_video(&f) ? &pk->video[pk->video_count - 1] : NULL;
        a->origin =
            v ? vpi_rescale(v->first, v->tb.num * a->tb.den, v->tb.den * a->tb.num, VPI_NEAREST) : a->start;
    }
    return st < 0 ? st : VP_OK;
}

vp_status vpi_ready_scan(vpi_ready *pk, vp_error *err)
{
    size_t n = pk->job->rendition_count;
    vpi_emit_stage(&pk->job->emitter, VP_STAGE_SCAN);
    pk->inputs = vpi_calloc(n, sizeof(*pk->inputs));
    pk->video = vpi_calloc(n, sizeof(*pk->video));
    pk->audio = vpi_calloc(VPI_READY_AUDIO_MAX, sizeof(*pk->audio));
    if (!pk->inputs || !pk->video || !pk->audio) return vpi_fail_nomem(err);
    for (size_t i = 0; i < n; i++) VPI_TRY(scan_input(pk, i, err));
    vpi_ready_settle_audio(pk);
    return VP_OK;
}
