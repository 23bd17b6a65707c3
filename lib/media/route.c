/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/reader_int.h"

/*
 * Which track a packet belongs to. A stream of libavformat is a track, except where a transport stream changes its
 * PIDs: when the PMT does not name a track's stream any more, one of the same kind and codec that it names now carries
 * the track on. So it is where two recordings were joined, and at the borders of programmes in a capture. It depends on
 * nothing but what was read before, from the first byte on: every reader that begins there comes to the same.
 */

#define NOT_SEEN (-2)

void vpi_routes_dispose(vpi_routes *r)
{
    vpi_free(r->list);
    memset(r, 0, sizeof(*r));
}

void vpi_routes_reset(vpi_routes *r, size_t tracks)
{
    r->count = 0;
    r->tracks = tracks;
    r->joined = false;
}

static bool in_program(AVFormatContext *ic, int stream)
{
    return av_find_program_from_stream(ic, NULL, stream) != NULL;
}

static bool alike(const AVFormatContext *ic, int a, int b)
{
    const AVCodecParameters *x = ic->streams[a]->codecpar, *y = ic->streams[b]->codecpar;

    return x->codec_type == y->codec_type && x->codec_id == y->codec_id;
}

/* So many streams of the same kind and codec stand before it in its program and have not been seen. */
static size_t rank_of(const vpi_routes *r, AVFormatContext *ic, int stream)
{
    const AVProgram *program = av_find_program_from_stream(ic, NULL, stream);
    size_t n = 0;

    for (unsigned i = 0; program && i < program->nb_stream_indexes; i++) {
        int other = (int)program->stream_index[i];

        if (other < stream && (size_t)other < r->count && r->list[other].to == NOT_SEEN &&
            alike(ic, other, stream))
            n++;
    }
    return n;
}

/* The track that a stream of the transport stream carries on; -1: none. */
static int32_t continued(const vpi_routes *r, AVFormatContext *ic, int stream)
{
    size_t rank;

    if (ic->nb_programs == 0 || !in_program(ic, stream)) return -1;
    rank = rank_of(r, ic, stream);
    for (size_t t = 0; t < VPI_MIN(r->tracks, r->count); t++) {
        const vpi_route *track = &r->list[t];

        if (track->to != (int32_t)t || !track->carried || !track->named || !alike(ic, (int)t, stream))
            continue;
        if (in_program(ic, track->carrier)) continue;
        if (rank-- == 0) return (int32_t)t;
    }
    return -1;
}

/*
 * libavformat knows nothing of a stream that shows up late: its packets of sound have no lengths, and a time only
 * where a PES packet begins.
 */
static void complete_times(vpi_route *track, const AVStream *of_track, AVPacket *p)
{
    const AVCodecParameters *par = of_track->codecpar;
    int samples;

    if (par->codec_type != AVMEDIA_TYPE_AUDIO || par->sample_rate <= 0) return;
    if (p->pts == AV_NOPTS_VALUE && p->dts == AV_NOPTS_VALUE && track->timed) p->pts = p->dts = track->next;
    samples = av_get_audio_frame_duration2((AVCodecParameters *)par, p->size);
    if (p->duration <= 0 && samples > 0)
        p->duration = av_rescale_q(samples, av_make_q(1, par->sample_rate), of_track->time_base);
    track->timed = p->pts != AV_NOPTS_VALUE && p->duration > 0 && p->duration < VPI_TIME_MAX &&
                   p->pts > -VPI_TIME_MAX && p->pts < VPI_TIME_MAX;
    if (track->timed) track->next = p->pts + p->duration;
}

vp_status vpi_route_packet(vpi_routes *r, AVFormatContext *ic, AVPacket *packet, int32_t *track,
                           vp_error *err)
{
    int stream = packet->stream_index;
    vpi_route *route;

    *track = -1;
    if (stream < 0 || (unsigned)stream >= ic->nb_streams || (unsigned)stream >= VPI_STREAMS_MAX) return VP_OK;
    while (r->count < VPI_MIN(ic->nb_streams, VPI_STREAMS_MAX)) {
        if (!VPI_GROW(r->list, r->count, r->cap)) return vpi_fail_nomem(err);
        r->list[r->count++] = (vpi_route){ .to = NOT_SEEN };
    }
    route = &r->list[stream];
    if (route->to == NOT_SEEN) {
        route->to = continued(r, ic, stream);
        route->position = packet->pos;
        route->named = in_program(ic, stream);
        r->joined = r->joined || route->to >= 0;
        if (route->to < 0 && (size_t)stream < r->tracks) route->to = stream;
    }
    if (route->to < 0) return VP_OK;
    /*
     * What libavformat still held of a stream when another one took over (a picture, a frame of sound) it gives at the
     * end of the file, long behind its place.
     */
    if (r->list[route->to].carrier != stream && r->list[route->to].carried && !in_program(ic, stream))
        return VP_OK;
    r->list[route->to].carrier = stream;
    r->list[route->to].carried = true;
    if (route->to != stream) complete_times(&r->list[route->to], ic->streams[route->to], packet);
    *track = route->to;
    return VP_OK;
}

int32_t vpi_route_of(const vpi_routes *r, size_t stream)
{
    return stream < r->count && r->list[stream].to != NOT_SEEN ? r->list[stream].to : (int32_t)stream;
}

bool vpi_route_late(const vpi_routes *r, const AVFormatContext *ic, size_t stream, vpi_kind *kind,
                    int64_t *position)
{
    enum AVMediaType type;

    if (stream < r->tracks || stream >= r->count || r->list[stream].to != -1) return false;
    type = ic->streams[stream]->codecpar->codec_type;
    *kind = type == AVMEDIA_TYPE_VIDEO ? VPI_KIND_VIDEO : VPI_KIND_AUDIO;
    *position = r->list[stream].position;
    return type == AVMEDIA_TYPE_VIDEO || type == AVMEDIA_TYPE_AUDIO;
}
