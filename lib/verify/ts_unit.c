/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PES packets of a transport stream: times, pictures, audio frames (ISO/IEC 13818-1 2.4.3.6, 2.14). */
#include "verify/ts_int.h"

enum { PES_HEADER = 9, TIME_SIZE = 5, HEVC_AUD = 35, PRIVATE_STREAM_1 = 0xBD };

typedef struct unit {
    int64_t pts, dts;
    const uint8_t *data;
    size_t size;
} unit;

static bool broken(vpi_verifier *v, const vpi_media_state *s, const vpi_ts_stream *stream, const char *what)
{
    vpi_check(v, false, "STRUCTURE", s->where, "PES packet of PID 0x%x at %llu: %s", stream->pid,
              (unsigned long long)stream->at, what);
    return false;
}

static uint64_t read_time(const uint8_t *p)
{
    return (uint64_t)(p[0] >> 1 & 7u) << 30 | (uint64_t)p[1] << 22 | (uint64_t)(p[2] >> 1) << 15 |
           (uint64_t)p[3] << 7 | p[4] >> 1;
}

/* AC-3 is none of MPEG's own formats: its stream is private (ATSC A/52 A.3, G.3). */
static bool stream_id_fits(const vpi_ts_state *ts, const vpi_ts_stream *stream, unsigned id)
{
    if (stream == &ts->streams[VPI_TS_VIDEO]) return id >> 4 == 0xE;
    if (stream->type == VPI_STREAM_AC3 || stream->type == VPI_STREAM_EAC3) return id == PRIVATE_STREAM_1;
    return id >> 5 == 6;
}

static bool read_header(vpi_verifier *v, vpi_media_state *s, const vpi_ts_stream *stream, unit *u)
{
    const uint8_t *d = stream->data.data;
    size_t size = stream->data.size, head;
    vpi_ts_state *ts = s->ts;
    unsigned flags;

    if (size < PES_HEADER || d[0] != 0 || d[1] != 0 || d[2] != 1)
        return broken(v, s, stream, "no start code");
    if (d[6] & 0x30) return broken(v, s, stream, "scrambled");
    if (!stream_id_fits(ts, stream, d[3])) return broken(v, s, stream, "stream_id of another kind");
    head = (size_t)PES_HEADER + d[8];
    flags = d[7] >> 6;
    if (head > size || !(flags & 2) || d[8] < (flags == 3 ? 2 * TIME_SIZE : TIME_SIZE)) {
        return broken(v, s, stream, "header without PTS, or cut off");
    }
    if (vpi_rd16(d + 4) != 0 && (size_t)vpi_rd16(d + 4) + 6 != size)
        return broken(v, s, stream, "length is wrong");
    u->dts = vpi_ts_unwrap(read_time(d + (flags == 3 ? PES_HEADER + TIME_SIZE : PES_HEADER)), ts->has_near,
                           ts->near);
    u->pts = vpi_ts_unwrap(read_time(d + PES_HEADER), true, u->dts);
    u->data = d + head;
    u->size = size - head;
    ts->has_near = true;
    ts->near = u->dts;
    return true;
}

static void check_order(vpi_verifier *v, const vpi_media_state *s, vpi_ts_stream *stream, const unit *u)
{
    vpi_check(v, u->dts <= u->pts, "P18", s->where, "DTS %lld is after PTS %lld", (long long)u->dts,
              (long long)u->pts);
    vpi_check(v, !stream->has_dts || u->dts > stream->last_dts, "P09", s->where,
              "PID 0x%x: DTS %lld after %lld", stream->pid, (long long)u->dts, (long long)stream->last_dts);
    stream->has_dts = true;
    stream->last_dts = u->dts;
    if (vpi_check(v, stream->has_clock, "P18", s->where, "a PES packet before the first PCR")) {
        int64_t clock = vpi_ts_unwrap(stream->clock / 300 & (((uint64_t)1 << 33) - 1), true, u->dts);

        vpi_check(v, clock <= u->dts, "P18", s->where, "PCR %lld is after DTS %lld", (long long)clock,
                  (long long)u->dts);
    }
}

/* ---- pictures ---- */

typedef struct picture {
    bool idr, sps, pps, aud_first;
} picture;

static picture look(vpi_verifier *v, const vpi_media_state *s, const vpi_ts_stream *stream, const unit *u)
{
    bool h264 = stream->type == VPI_STREAM_H264;
    picture p = { 0 };
    size_t at = 0, n = 0;
    vpi_nal nal;

    for (; vpi_annexb_next(u->data, u->size, &at, &nal); n++) {
        unsigned type = h264 ? vpi_h264_type(&nal) : (nal.size ? nal.data[0] >> 1 & 63u : 0);

        if (n == 0) p.aud_first = type == (h264 ? (unsigned)VPI_H264_AUD : HEVC_AUD);
        p.idr |= h264 ? type == VPI_H264_IDR : type == 19 || type == 20;
        p.sps |= h264 ? type == VPI_H264_SPS : type == 33;
        p.pps |= h264 ? type == VPI_H264_PPS : type == 34;
        if (h264 && type == VPI_H264_SPS) vpi_verify_sps(v, s->t, s->where, &nal);
    }
    return p;
}

static void check_idr(vpi_verifier *v, vpi_media_state *s, const vpi_ts_stream *stream, const unit *u,
                      const picture *p)
{
    vpi_ts_state *ts = s->ts;
    const vpi_fragment *f =
        ts->fragment < s->segment->fragment_count ? &s->segment->fragments[ts->fragment] : NULL;
    uint64_t tables = stream->at >= 376 ? stream->at - 376 : 0;

    vpi_check(v, p->sps && p->pps, "P04", s->where, "an IDR picture without parameter sets");
    ts->idr_pts = u->pts;
    /* An IDR picture inside a fragment, as in a last fragment that was too short to stand alone. */
    if (stream->units > 0 && !stream->tables_before && !stream->random_access) return;
    vpi_check(v, stream->tables_before, "P17", s->where, "no PAT and PMT before the IDR picture at %llu",
              (unsigned long long)stream->at);
    vpi_check(v, stream->random_access, "P17", s->where, "an IDR picture without random_access_indicator");
    if (f) {
        vpi_check(v, f->offset == tables, "P19", s->where,
                  "fragment %zu begins at %llu, the presentation says %llu", ts->fragment + 1,
                  (unsigned long long)tables, (unsigned long long)f->offset);
        vpi_check(v, f->offset + f->idr_bytes >= stream->end, "P29", s->where,
                  "the IDR picture of fragment %zu ends at %llu, its range at %llu", ts->fragment + 1,
                  (unsigned long long)stream->end, (unsigned long long)(f->offset + f->idr_bytes));
    }
    ts->fragment++;
}

static void check_picture(vpi_verifier *v, vpi_media_state *s, vpi_ts_stream *stream, const unit *u)
{
    vpi_ts_state *ts = s->ts;
    picture p = look(v, s, stream, u);

    vpi_check(v, p.aud_first, "TS", s->where, "a picture at %llu without access unit delimiter",
              (unsigned long long)stream->at);
    if (stream->units == 0) vpi_check(v, p.idr, "P04", s->where, "does not begin with an IDR picture");
    if (p.idr)
        check_idr(v, s, stream, u, &p);
    else if (ts->fragment > 0) {
        vpi_check(v, u->pts > ts->idr_pts, "P03", s->where, "a picture is shown before its IDR");
    }
    ts->first_pts = ts->has_pts ? VPI_MIN(ts->first_pts, u->pts) : u->pts;
    ts->last_pts = ts->has_pts ? VPI_MAX(ts->last_pts, u->pts) : u->pts;
    ts->has_pts = true;
}

/* ---- audio ---- */

static void check_audio(vpi_verifier *v, vpi_media_state *s, const vpi_ts_stream *stream, const unit *u)
{
    int64_t start = vpi_ts_due(s, s->segment->start);
    vpi_time frame = vpi_track_frame(s->t);
    bool sbr = vpi_codecs_hold(s->t->codecs, "mp4a.40.5") || vpi_codecs_hold(s->t->codecs, "mp4a.40.29");
    int64_t length, samples = vpi_track_is_ac3(s->t) ? 1536 : sbr ? 2048 : 1024;

    if (stream->units == 0 && s->t->sample_rate > 0) {
        /* Muxed: the frame of the audio, not of the video, is what its border may differ by. */
        length = s->t->kind == VP_TRACK_AUDIO ? (int64_t)(frame.ticks * VPI_MPEG_TS_CLOCK / frame.scale)
                                              : samples * VPI_MPEG_TS_CLOCK / (int64_t)s->t->sample_rate;
        vpi_check(v, u->pts >= start - length - 1 && u->pts <= start + length + 1, "P05", s->where,
                  "audio begins at PTS %lld, the segment at %lld", (long long)u->pts, (long long)start);
    }
    vpi_verify_frames(v, s, u->data, u->size, u->pts);
}

bool vpi_ts_unit_finish(vpi_verifier *v, vpi_media_state *s, vpi_ts_stream *stream)
{
    unit u = { 0 };

    stream->open = false;
    if (vpi_buf_failed(&stream->data)) return false; /* the caller sees it too */
    if (!read_header(v, s, stream, &u)) return false;
    check_order(v, s, stream, &u);
    if (stream == &s->ts->streams[VPI_TS_VIDEO])
        check_picture(v, s, stream, &u);
    else
        check_audio(v, s, stream, &u);
    stream->units++;
    return true;
}
