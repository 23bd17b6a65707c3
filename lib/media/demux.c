/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/demux_int.h"

#define QUEUE_MAX 1024u /* packets looked at ahead of the reader */

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
    VPI_TRY(vpi_media_load(err));
    d = vpi_calloc(1, sizeof(*d));
    if (!d) return vpi_fail_nomem(err);
    d->context = vp_context_ref(context);
    d->source = vp_source_ref(source);
    d->cancel = vp_cancel_ref(cancel);
    d->limits = *limits;
    VPI_GO(vpi_cancel_check(cancel, err));
    st = vpi_avio_open(&d->io, source, cancel, err);
    if (st < 0 && vpi_is_not_yet(err)) {
        vp_error_init(err);
        st = vpi_demux_look_at_head(d, err);
    }
    if (st < 0) goto done;
    if (d->io.size == 0) {
        st = vpi_fail(err, VP_E_DATA, "INPUT_EMPTY", "the file is empty");
        goto done;
    }
    VPI_GO(vpi_demux_begin(d, all, err));
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

vpi_demux *vpi_demux_close(vpi_demux *d)
{
    if (!d) return NULL;
    vpi_demux_clear_queue(d);
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
        st = vpi_demux_next(d, &p, err);
        if (st == VP_END) {
            return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "stream %d has no decoder configuration",
                            stream);
        }
        if (st < 0) return st;
        st = VP_AGAIN;
        if (p->stream_index == stream) st = vpi_mp4_config_packet(m, t, d->ic->streams[stream], p, err);
        VPI_TRY(vpi_demux_queue(d, p, err));
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
