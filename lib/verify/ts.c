/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* MPEG-TS segments (ISO/IEC 13818-1 2.4.3, 2.4.4; RFC 8216 3.2): packets, counters, tables, clock. */
#include "media/measure.h"
#include "verify/ts_int.h"

enum { PACKET = 188, SYNC = 0x47, NULL_PID = 0x1FFF, LAST_TABLE_PID = 0x1F };
enum { PRIVATE_DATA = 15, REGISTRATION = 5 }; /* tags of descriptors (2.6) */
#define CLOCK_RATIO 300u
#define CLOCK_GAP_MAX 2700000u /* 100 ms */

void vpi_media_state_dispose(vpi_media_state *s)
{
    vpi_ear_free(s->ear);
    vpi_buf_dispose(&s->init_bytes);
    vpi_free(s->times);
    vpi_slicer_free(s->slicer);
    vpi_free(s->ranges);
    vpi_free(s->sample_ivs);
    if (s->ts) {
        for (int i = 0; i < VPI_TS_STREAMS; i++) vpi_buf_dispose(&s->ts->streams[i].data);
        vpi_free(s->ts);
    }
    memset(s, 0, sizeof(*s));
}

int64_t vpi_ts_unwrap(uint64_t value, bool has_near, int64_t near)
{
    const int64_t turn = (int64_t)1 << 33;
    int64_t d;

    if (!has_near) return (int64_t)value;
    d = near - (int64_t)value + turn / 2;
    /* floor division */
    return (int64_t)value + (d >= 0 ? d / turn : -((-d + turn - 1) / turn)) * turn;
}

int64_t vpi_ts_due_of(const vpi_ptrack *t, uint64_t ticks)
{
    return VPI_MPEG_TS_BASE + vpi_rescale((int64_t)ticks, VPI_MPEG_TS_CLOCK, t->timescale, VPI_NEAREST);
}

int64_t vpi_ts_due(const vpi_media_state *s, uint64_t ticks)
{
    return vpi_ts_due_of(s->t, ticks);
}

static bool broken(vpi_verifier *v, const vpi_media_state *s, uint64_t n, const char *what)
{
    vpi_check(v, false, "STRUCTURE", s->where, "packet %llu: %s", (unsigned long long)n, what);
    return false;
}

/* ---- tables ---- */

static uint32_t crc_mpeg(const uint8_t *data, size_t size)
{
    uint32_t crc = 0xFFFFFFFFu;

    for (size_t i = 0; i < size; i++) {
        crc ^= (uint32_t)data[i] << 24;
        for (int bit = 0; bit < 8; bit++) crc = crc & 0x80000000u ? crc << 1 ^ 0x04C11DB7u : crc << 1;
    }
    return crc;
}

/* The descriptor of this tag that begins with these four letters: what follows them; NULL: there is none. */
static const uint8_t *find_descriptor(const uint8_t *d, size_t size, uint8_t tag, const char *text,
                                      size_t *left)
{
    for (size_t at = 0; at + 2 <= size && d[at + 1] <= size - at - 2; at += 2u + d[at + 1]) {
        if (d[at] != tag || d[at + 1] < 4 || memcmp(d + at + 2, text, 4) != 0) continue;
        *left = d[at + 1] - 4u;
        return d + at + 6;
    }
    return NULL;
}

/* SAMPLE-AES has types of its own (Apple: MPEG-2 Stream Encryption Format for HTTP Live Streaming, 3.0). */
typedef struct stream_kind {
    uint8_t clear, closed;
    const char *format; /* of the registration of a clear stream (ATSC A/52 A.4.1, G.3.2); NULL: needs none */
    const char *indicator; /* private data indicator of an encrypted one */
} stream_kind;

static const stream_kind stream_kinds[] = {
    { VPI_STREAM_H264, 0xDB, NULL, "zavc" },
    { VPI_STREAM_ADTS, 0xCF, NULL, "aacd" },
    { VPI_STREAM_AC3, 0xC1, "AC-3", "ac3d" },
    { VPI_STREAM_EAC3, 0xC2, "EAC3", "ec3d" },
};

static void check_closed(vpi_verifier *v, const vpi_media_state *s, const stream_kind *kind, const uint8_t *d,
                         size_t size)
{
    const uint8_t *setup;
    size_t left = 0;

    vpi_check(v, find_descriptor(d, size, PRIVATE_DATA, kind->indicator, &left) != NULL, "TS", s->where,
              "an encrypted stream of type 0x%02x without %s", kind->closed, kind->indicator);
    if (kind->clear == VPI_STREAM_H264) return;
    setup = find_descriptor(d, size, REGISTRATION, "apad", &left);
    vpi_check(v, setup && vpi_audio_setup_fits(s->t, setup, left), "TS", s->where,
              "encrypted sound without the setup of a decoder for %s", s->t->codecs);
}

/* Type of the stream as if it were clear. */
static uint8_t read_type(vpi_verifier *v, const vpi_media_state *s, uint8_t type, const uint8_t *d,
                         size_t size)
{
    const stream_kind *kind = NULL;
    size_t left;

    for (size_t i = 0; i < VPI_COUNT(stream_kinds); i++) {
        if (type == stream_kinds[i].clear || type == stream_kinds[i].closed) kind = &stream_kinds[i];
    }
    bool closed = kind && type == kind->closed;
    vpi_check(v, closed == (s->key != NULL), closed ? "E07" : "E14", s->where,
              "stream type 0x%02x in a segment that is %s", type, s->key ? "encrypted" : "clear");
    if (closed) {
        check_closed(v, s, kind, d, size);
    } else if (kind && kind->format) {
        vpi_check(v, find_descriptor(d, size, REGISTRATION, kind->format, &left) != NULL, "TS", s->where,
                  "a stream of type 0x%02x without the registration of %s", type, kind->format);
    }
    return kind ? kind->clear : type;
}

/* What the codec of the sound asks for. */
static uint8_t audio_type(const vpi_ptrack *t)
{
    return vpi_codecs_hold(t->codecs, "ac-3")   ? VPI_STREAM_AC3
           : vpi_codecs_hold(t->codecs, "ec-3") ? VPI_STREAM_EAC3
                                                : VPI_STREAM_ADTS;
}

static bool read_pmt(vpi_verifier *v, vpi_media_state *s, const uint8_t *d, size_t size, uint64_t n)
{
    vpi_ts_state *ts = s->ts;
    size_t at = 12 + (vpi_rd16(d + 10) & 0xFFFu);
    unsigned found[VPI_TS_STREAMS] = { 0 };
    uint8_t types[VPI_TS_STREAMS] = { 0 };

    ts->clock_pid = vpi_rd16(d + 8) & 0x1FFFu;
    for (; at + 5 <= size - 4; at += 5 + (vpi_rd16(d + at + 3) & 0xFFFu)) {
        size_t length = vpi_rd16(d + at + 3) & 0xFFFu;
        uint8_t type = length <= size - 4 - at - 5 ? read_type(v, s, d[at], d + at + 5, length) : d[at];
        int kind = type == VPI_STREAM_H264 || type == VPI_STREAM_HEVC ? VPI_TS_VIDEO : VPI_TS_AUDIO;

        if (found[kind]) return broken(v, s, n, "two streams of a kind in the PMT");
        found[kind] = vpi_rd16(d + at + 1) & 0x1FFFu;
        types[kind] = type;
    }
    for (int i = 0; i < VPI_TS_STREAMS; i++) {
        if (ts->has_pmt && ts->streams[i].pid != found[i])
            return broken(v, s, n, "the PMT changes inside a segment");
        ts->streams[i].pid = found[i];
        ts->streams[i].type = types[i];
    }
    if (found[VPI_TS_AUDIO]) {
        vpi_check(v, types[VPI_TS_AUDIO] == audio_type(s->t), "P13", s->where,
                  "audio of stream type 0x%02x, the presentation says %s", types[VPI_TS_AUDIO], s->t->codecs);
    }
    ts->has_pmt = true;
    ts->pmt_at = n;
    return true;
}

static bool read_section(vpi_verifier *v, vpi_media_state *s, unsigned pid, const uint8_t *d, size_t left,
                         uint64_t n)
{
    vpi_ts_state *ts = s->ts;
    size_t size, at;
    unsigned programs = 0;

    if (left < 1 || (size_t)d[0] + 4 >= left) return broken(v, s, n, "table cut off");
    left -= 1u + d[0];
    d += 1u + d[0];
    size = 3 + (vpi_rd16(d + 1) & 0xFFFu);
    if (size > left || size < 12 || crc_mpeg(d, size) != 0) {
        return broken(v, s, n, "table cut off, or its CRC is wrong");
    }
    if (pid != 0) return size < 16 ? broken(v, s, n, "PMT is too short") : read_pmt(v, s, d, size, n);
    for (at = 8; at + 4 <= size - 4; at += 4) {
        if (vpi_rd16(d + at) == 0) continue;
        ts->pmt_pid = vpi_rd16(d + at + 2) & 0x1FFFu;
        programs++;
    }
    if (programs != 1) return broken(v, s, n, "the PAT does not name one program");
    ts->has_pat = true;
    ts->pat_at = n;
    return true;
}

/* ---- packets ---- */

static void check_clock(vpi_verifier *v, vpi_media_state *s, unsigned pid, const uint8_t *p)
{
    vpi_ts_state *ts = s->ts;
    uint64_t base = (uint64_t)vpi_rd32(p) << 1 | p[4] >> 7, extension = (uint64_t)(p[4] & 1u) << 8 | p[5];
    int64_t near = ts->has_clock ? (int64_t)(ts->clock / CLOCK_RATIO) : ts->near;
    int64_t whole = vpi_ts_unwrap(base, ts->has_clock || ts->has_near, near);
    uint64_t now = (uint64_t)VPI_MAX(whole, 0) * CLOCK_RATIO + extension;

    vpi_check(v, !ts->has_pmt || pid == ts->clock_pid, "P18", s->where, "PCR on PID 0x%x, the PMT says 0x%x",
              pid, ts->clock_pid);
    if (ts->has_clock) {
        vpi_check(v, now > ts->clock, "P18", s->where, "the clock goes back");
        vpi_check(v, now <= ts->clock || now - ts->clock <= CLOCK_GAP_MAX, "P18", s->where,
                  "%llu ms between PCRs", (unsigned long long)((now - ts->clock) / 27000));
    }
    ts->has_clock = true;
    ts->clock = now;
}

static void check_counter(vpi_verifier *v, vpi_media_state *s, unsigned pid, unsigned counter, bool payload)
{
    int8_t *last = &s->ts->counters[pid];

    if (*last >= 0) {
        unsigned due = payload ? ((unsigned)*last + 1) & 15u : (unsigned)*last;

        vpi_check(v, counter == due, "P17", s->where, "PID 0x%x: continuity counter %u, %u is due", pid,
                  counter, due);
    }
    *last = (int8_t)counter;
}

static bool begin_unit(vpi_verifier *v, vpi_media_state *s, vpi_ts_stream *stream, uint64_t n,
                       bool random_access)
{
    vpi_ts_state *ts = s->ts;

    if (stream->open && !vpi_ts_unit_finish(v, s, stream)) return false;
    vpi_buf_clear(&stream->data);
    stream->open = true;
    stream->at = n * PACKET;
    stream->random_access = random_access;
    stream->tables_before = n >= 2 && ts->pat_at == n - 2 && ts->pmt_at == n - 1;
    stream->has_clock = ts->has_clock;
    stream->clock = ts->clock;
    return true;
}

static bool add_payload(vpi_verifier *v, vpi_media_state *s, unsigned pid, const uint8_t *data, size_t size,
                        bool start, bool random_access, uint64_t n)
{
    vpi_ts_state *ts = s->ts;
    vpi_ts_stream *stream = NULL;

    if (pid == 0 || (ts->has_pat && pid == ts->pmt_pid)) {
        return start ? read_section(v, s, pid, data, size, n)
                     : broken(v, s, n, "a table over several packets");
    }
    if (pid <= LAST_TABLE_PID) return true;
    for (int i = 0; i < VPI_TS_STREAMS; i++) {
        if (ts->has_pmt && ts->streams[i].pid == pid) stream = &ts->streams[i];
    }
    if (!stream) return broken(v, s, n, "a PID that no table names");
    if (start && !begin_unit(v, s, stream, n, random_access)) return false;
    if (!stream->open) return broken(v, s, n, "goes on with a PES packet of another segment");
    vpi_buf_add(&stream->data, data, size);
    stream->end = (n + 1) * PACKET;
    return true;
}

static bool read_packet(vpi_verifier *v, vpi_media_state *s, const uint8_t *d, uint64_t n)
{
    unsigned pid = vpi_rd16(d + 1) & 0x1FFFu, control = d[3] >> 4 & 3u;
    bool start = d[1] & 0x40, random_access = false;
    size_t at = 4;

    if (d[0] != SYNC) return broken(v, s, n, "no sync byte");
    if (d[1] & 0x80) return broken(v, s, n, "transport error");
    if (d[3] & 0xC0) return broken(v, s, n, "scrambled");
    if (n < 2) {
        bool right = n == 0 ? pid == 0 : s->ts->has_pat && pid == s->ts->pmt_pid;

        vpi_check(v, right, "P17", s->where, "packet %llu is not the %s", (unsigned long long)n,
                  n ? "PMT" : "PAT");
    }
    if (pid == NULL_PID) return true;
    check_counter(v, s, pid, d[3] & 15u, control & 1);
    if (control & 2) {
        size_t size = d[4];

        if (size > (control & 1 ? PACKET - 6 : PACKET - 5))
            return broken(v, s, n, "adaptation field is too long");
        if (size > 0) {
            random_access = d[5] & 0x40;
            vpi_check(v, !(d[5] & 0x80), "P17", s->where, "PID 0x%x: discontinuity indicator", pid);
            if (d[5] & 0x10 && size < 7) return broken(v, s, n, "adaptation field without room for its PCR");
            if (d[5] & 0x10) check_clock(v, s, pid, d + 6);
        }
        at += 1 + size;
    }
    if (!(control & 1)) return true;
    return add_payload(v, s, pid, d + at, PACKET - at, start, random_access, n);
}

/* ---- segment ---- */

static void begin_segment(vpi_ts_state *ts)
{
    for (int i = 0; i < VPI_TS_STREAMS; i++) {
        ts->streams[i].pid = 0;
        ts->streams[i].open = false;
        ts->streams[i].units = 0;
    }
    ts->has_pat = ts->has_pmt = ts->has_pts = false;
    ts->pmt_pid = ts->clock_pid = 0;
    ts->fragment = 0;
}

static void end_segment(vpi_verifier *v, vpi_media_state *s)
{
    const vpi_ts_state *ts = s->ts;
    const vpi_ts_stream *video = &ts->streams[VPI_TS_VIDEO], *audio = &ts->streams[VPI_TS_AUDIO];
    int64_t start = vpi_ts_due(s, s->segment->start),
            end = vpi_ts_due(s, s->segment->start + s->segment->ticks);

    vpi_check(v, ts->has_clock, "P18", s->where, "no PCR");
    if (s->t->kind == VP_TRACK_AUDIO) {
        vpi_check(v, audio->units > 0, "P12", s->where, "no audio");
        s->frames = audio->units;
        return;
    }
    vpi_check(v, video->units > 0, "P12", s->where, "no video");
    if (s->t->channels > 0 || vpi_codecs_hold(s->t->codecs, "mp4a.40.2")) {
        vpi_check(v, audio->units > 0, "P12", s->where, "no audio in a muxed segment");
    }
    s->frames = video->units;
    s->pictures += video->units;
    if (!ts->has_pts) return;
    vpi_check(v, ts->first_pts == start, "P01", s->where,
              "the first picture is shown at PTS %lld, %lld is due", (long long)ts->first_pts,
              (long long)start);
    vpi_check(v, ts->last_pts < end, "P03", s->where,
              "a picture is shown at PTS %lld, the segment ends at %lld", (long long)ts->last_pts,
              (long long)end);
    vpi_check(v, ts->fragment == s->segment->fragment_count, "P03", s->where,
              "%zu IDR pictures, the presentation says %zu", ts->fragment, s->segment->fragment_count);
}

vp_status vpi_verify_ts(vpi_verifier *v, vpi_media_state *s, const uint8_t *data, size_t size, vp_error *err)
{
    bool good = true, failed = false;

    if (!s->ts) {
        s->ts = vpi_calloc(1, sizeof(*s->ts));
        if (!s->ts) return vpi_fail_nomem(err);
        memset(s->ts->counters, -1, sizeof(s->ts->counters));
    }
    begin_segment(s->ts);
    if (!vpi_check(v, size > 0 && size % PACKET == 0, "STRUCTURE", s->where, "%zu bytes are no whole packets",
                   size)) {
        return VP_OK;
    }
    for (uint64_t n = 0; good && n < size / PACKET; n++) good = read_packet(v, s, data + n * PACKET, n);
    for (int i = 0; i < VPI_TS_STREAMS; i++) {
        vpi_ts_stream *stream = &s->ts->streams[i];

        if (good && stream->open) good = vpi_ts_unit_finish(v, s, stream);
        failed |= vpi_buf_failed(&stream->data);
    }
    if (failed) return vpi_fail_nomem(err);
    if (good) end_segment(v, s);
    return VP_OK;
}
