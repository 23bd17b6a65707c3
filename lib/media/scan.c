/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/reader_int.h"

#include "base/hash.h"
#include "bitstream/bitstream.h"
#include "io/quick.h"
#include "media/holes_int.h"
#include "media/repair_int.h"

#define EDGE_BYTES 65536u /* of head and tail in the fingerprint */
#define PROGRESS_BYTES (1u << 20)
#define AC3_SAMPLES 1536u
/* A file that holds less than it declares is cut, where more is missing than writers are wrong by: 2 %, at most
 * LONG_MAX, and a tenth of a short one, between these. */
#define SHORT_MIN_US 200000
#define SHORT_MAX_US 1000000
#define LONG_MAX_US 10000000
/* Some writers of AVI and MXF count a picture or two more. */
#define COUNTED_TICKS 2
#define COUNTED_US 90000
#define EXACT_US 5000        /* where a header counts samples */
#define FRAGMENT_LEAST 4096u /* bytes behind the last packet that may be more than an index */
#define GAP_LEAST 1024u      /* bytes between packets that are more than heads, tables and padding */
#define PACKET_HEAD 32u      /* bytes around a packet that belong to it */
/* So much behind the last packet, and a tenth of the file, is not what these formats end with. */
#define REST_MIN_BYTES 131072u

typedef struct scan {
    vp_context *context;
    vp_cancel *cancel;
    vpi_demux *demux;
    vp_source *source;
    vp_media *media;
    size_t count;
    vpi_repairer *repairer;
    vpi_stats **stats;
    vpi_stats_result *results;
    uint64_t *packets, *bytes; /* per stream */
    int64_t *first, *last;     /* per stream: positions of packets; -1: none */
    vpi_sha256 sha;
    void (*progress)(void *user, uint64_t done, uint64_t total);
    void *progress_user;
    uint64_t told;
    vpi_holes holes;
    int32_t sound; /* the track whose pauses are looked at; -1: none that tells how long its packets last */
    bool partial;  /* the last packet is not whole */
    uint64_t gaps, reach; /* bytes between packets that belong to none, up to a position */
    uint64_t used;        /* end of the last packet in the file, nearly */
} scan;

static vp_status hash_edges(scan *s, vp_error *err)
{
    uint64_t size = s->media->m.size;
    size_t got = 0, want = (size_t)VPI_MIN(size, (uint64_t)EDGE_BYTES);
    uint8_t *edge = vpi_alloc(EDGE_BYTES);
    vp_status st;

    if (!edge) return vpi_fail_nomem(err);
    vpi_sha256_init(&s->sha);
    vpi_sha256_add_u64(&s->sha, size);
    VPI_GO(vp_source_read_at(s->source, 0, edge, want, &got, err));
    vpi_sha256_add(&s->sha, edge, got);
    VPI_GO(vp_source_read_at(s->source, size - want, edge, want, &got, err));
    vpi_sha256_add(&s->sha, edge, got);
done:
    vpi_free(edge);
    return st;
}

static void hash_packet(scan *s, const vpi_packet *p)
{
    vpi_sha256_add_u64(&s->sha, (uint64_t)p->stream);
    vpi_sha256_add_u64(&s->sha, (uint64_t)(p->has_pts ? p->pts : INT64_MIN));
    vpi_sha256_add_u64(&s->sha, (uint64_t)(p->has_dts ? p->dts : INT64_MIN));
    vpi_sha256_add_u64(&s->sha, p->size);
    vpi_sha256_add_u64(&s->sha, (uint64_t)p->key | (uint64_t)p->discard << 1);
}

/* Puts the packet on the one clock of the title. */
static bool repair(scan *s, vpi_packet *p)
{
    const vpi_track *t = vpi_demux_track(s->demux, p->stream);
    const vpi_repair_packet r = { .stream = p->stream,
                                  .has_pts = p->has_pts,
                                  .has_dts = p->has_dts,
                                  .pts = p->pts,
                                  .dts = p->dts,
                                  .duration = p->duration - vpi_report_cut(s->demux, p),
                                  .tb = t->tb,
                                  .position = p->position };
    int64_t shift = 0;

    /* The clock of MP4 is its tables; edits show a part of it again, from the access point before. */
    if (p->discard || strncmp(vpi_demux_format(s->demux)->iformat->name, "mov", 3) == 0) return true;
    if (t->attached_picture || (t->kind != VPI_KIND_VIDEO && t->kind != VPI_KIND_AUDIO)) return true;
    if (!vpi_repairer_see(s->repairer, &r, &shift)) return false;
    shift = vpi_repair_ticks(shift, t->tb);
    if (p->has_pts) p->has_pts = vpi_add_i64(p->pts, -shift, &p->pts);
    if (p->has_dts) p->has_dts = vpi_add_i64(p->dts, -shift, &p->dts);
    return true;
}

static int64_t track_us(const vpi_track *t, int64_t ticks, vpi_round round)
{
    return vpi_rescale(ticks, t->tb.num * VPI_TICKS_PER_US, t->tb.den, round);
}

static void look_for_holes(scan *s, const vpi_packet *p)
{
    const vpi_track *t = &s->media->m.tracks[p->stream];
    int64_t at = p->has_pts ? p->pts : p->dts;

    if (p->discard || (!p->has_pts && !p->has_dts)) return;
    if (t->kind == VPI_KIND_VIDEO && !t->attached_picture) {
        vpi_holes_picture(&s->holes, track_us(t, at, VPI_NEAREST));
    } else if (p->stream == s->sound && p->duration > 0) {
        vpi_holes_sound(&s->holes, track_us(t, at, VPI_NEAREST), track_us(t, at + p->duration, VPI_NEAREST));
    } else if (p->stream == s->sound) {
        s->sound = -1;
    }
}

/* Of several frames in one packet of a transport or program stream only the first has its position. */
static void look_for_gap(scan *s, const vpi_packet *p)
{
    uint64_t at = (uint64_t)p->position;

    if (p->position < 0 || p->position == s->last[p->stream]) {
        s->reach += p->size;
        return;
    }
    if (s->reach && at > s->reach + GAP_LEAST) s->gaps += at - s->reach;
    s->reach = VPI_MAX(s->reach, at + p->size);
}

static void tell(scan *s, bool end)
{
    uint64_t done = end ? s->media->m.size : vpi_demux_avio(s->demux)->furthest;

    if (!s->progress || (!end && done < s->told + PROGRESS_BYTES)) return;
    s->told = done;
    s->progress(s->progress_user, done, s->media->m.size);
}

/* Can the frames be passed through as they are? */
static void look_at_ac3(vpi_track *t, const vpi_packet *p)
{
    vpi_ac3 first, a;

    if ((t->codec != VPI_CODEC_AC3 && t->codec != VPI_CODEC_EAC3) || t->ac3_mixed || p->discard) return;
    t->ac3_mixed = vpi_ac3_parse(p->data, p->size, &a, NULL) != VP_OK || a.frame_bytes != p->size ||
                   a.samples != AC3_SAMPLES;
    if (!t->ac3_mixed && !t->ac3_size) {
        t->ac3_size = VPI_MIN(p->size, sizeof(t->ac3_head));
        memcpy(t->ac3_head, p->data, t->ac3_size);
    } else if (!t->ac3_mixed) {
        t->ac3_mixed = vpi_ac3_parse(t->ac3_head, t->ac3_size, &first, NULL) != VP_OK ||
                       a.eac3 != first.eac3 || a.sample_rate != first.sample_rate || a.acmod != first.acmod ||
                       a.lfe != first.lfe || a.bsid != first.bsid || a.bsmod != first.bsmod;
    }
    if (t->ac3_mixed) t->ac3_size = 0;
}

static vp_status read_all(scan *s, vp_error *err)
{
    vpi_packet p = { 0 };
    vp_status st;

    for (;;) {
        st = vpi_demux_read(s->demux, &p, err);
        if (st != VP_OK) break;
        hash_packet(s, &p);
        s->partial = p.corrupt;
        if (p.position >= 0) s->used = VPI_MAX(s->used, (uint64_t)p.position + p.size);
        look_for_gap(s, &p);
        if (s->first[p.stream] < 0) s->first[p.stream] = p.position;
        s->last[p.stream] = VPI_MAX(s->last[p.stream], p.position);
        s->packets[p.stream]++;
        s->bytes[p.stream] += p.size;
        look_at_ac3(&s->media->m.tracks[p.stream], &p);
        if (!repair(s, &p) || (s->stats[p.stream] && !vpi_report_count(s->demux, s->stats[p.stream], &p))) {
            st = vpi_fail_nomem(err);
            break;
        }
        look_for_holes(s, &p);
        tell(s, false);
    }
    vpi_packet_dispose(&p);
    return st == VP_END ? VP_OK : st;
}

/* The file ends inside its last packet. Captures of broadcasts begin and end where somebody pressed a button. */
static vp_status check_last(const scan *s, vp_error *err)
{
    const vpi_avio *io = vpi_demux_avio(s->demux);

    if (!s->partial || vpi_demux_any_start(s->demux) || io->furthest < io->size) return VP_OK;
    if (vpi_demux_structure(s->demux)->open_end) return VP_OK;
    return vpi_fail(err, VP_E_DATA, "INPUT_TRUNCATED", "the file ends inside its last packet");
}

/* Fragments of MP4 behind the last one that could be read: the demuxer stops where a box makes no sense. */
static vp_status check_unread(const scan *s, vp_error *err)
{
    uint8_t *part = vpi_alloc(EDGE_BYTES);
    uint64_t at = s->used, size = s->media->m.size;
    vp_status st = part ? VP_OK : vpi_fail_nomem(err);
    size_t got;

    if (size - VPI_MIN(size, at) < FRAGMENT_LEAST) at = size; /* an empty one says that it was the last */
    while (st >= 0 && at < size) {
        VPI_GO(vpi_cancel_check(s->cancel, err));
        VPI_GO(vp_source_read_at(s->source, at, part, EDGE_BYTES, &got, err));
        if (memmem(part, got, "moof", 4)) {
            st = vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT",
                          "behind byte %llu of %llu are fragments that cannot be read",
                          (unsigned long long)s->used, (unsigned long long)size);
        }
        if (got < EDGE_BYTES) break;
        at += EDGE_BYTES - 3; /* one may lie across */
    }
done:
    vpi_free(part);
    return st < 0 ? st : VP_OK;
}

/* The reader lost its way, as where two files were put one behind the other: what follows would be missing. */
static vp_status check_rest(const scan *s, vp_error *err)
{
    static const char *const names[] = { "flv", "ogg", "asf", "mpegts" };
    const char *name = vpi_demux_format(s->demux)->iformat->name;
    uint64_t size = s->media->m.size, rest = size - VPI_MIN(size, s->used);
    bool whole = false, lost = strcmp(name, "ogg") == 0 && vpi_demux_lost(s->demux);

    if (vpi_demux_structure(s->demux)->fragmented) return check_unread(s, err);
    for (size_t i = 0; i < VPI_COUNT(names); i++) whole = whole || strcmp(name, names[i]) == 0;
    lost = lost || s->used < vpi_demux_structure(s->demux)->last_part;
    if (!lost && (!whole || rest < REST_MIN_BYTES || rest < size / 10)) return VP_OK;
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT",
                    "nothing that can be read is in the last %llu of %llu bytes", (unsigned long long)rest,
                    (unsigned long long)size);
}

/* The picture goes on in a stream that cannot be joined to its own: half of the film would be missing. */
static vp_status check_goes_on(const scan *s, vp_error *err)
{
    const AVFormatContext *ic = vpi_demux_format(s->demux);
    const vpi_track *shown = vpi_media_nth(&s->media->m, VPI_KIND_VIDEO, 0);

    if (!shown || !vpi_demux_any_start(s->demux) || s->last[shown->id] < 0) return VP_OK;
    for (unsigned i = 0; i < ic->nb_streams; i++) {
        vpi_kind kind = VPI_KIND_OTHER;
        int64_t at = -1;

        if (i >= s->count && !vpi_route_late(vpi_demux_routes(s->demux), ic, i, &kind, &at)) continue;
        if (i < s->count && ic->streams[i]->codecpar->codec_type == AVMEDIA_TYPE_VIDEO) {
            kind = VPI_KIND_VIDEO;
            at = s->first[i];
        }
        if (kind != VPI_KIND_VIDEO || at <= s->last[shown->id]) continue;
        return vpi_fail(
            err, VP_E_DATA, "INPUT_CORRUPT",
            "the picture ends, and another one that cannot be joined to it begins at byte %lld of %llu",
            (long long)at, (unsigned long long)s->media->m.size);
    }
    return VP_OK;
}

/* Fragments (tfdt, ISO/IEC 14496-12 8.8.12) never run back: libavformat gives those that do in no order. */
static vp_status check_fragments(const scan *s, vp_error *err)
{
    if (!vpi_demux_structure(s->demux)->fragmented) return VP_OK;
    for (size_t i = 0; i < s->count; i++) {
        if (!s->stats[i] || !s->results[i].jumps) continue;
        return vpi_fail(
            err, VP_E_DATA, "INPUT_CORRUPT",
            "stream %zu: the times of the fragments run back, as where a second recording follows", i);
    }
    return VP_OK;
}

/* From when to when there is something; VP_END where there is nothing with times. */
static vp_status extent(const scan *s, int64_t *first, int64_t *end)
{
    *first = INT64_MAX;
    *end = INT64_MIN;
    for (size_t i = 0; i < s->count; i++) {
        const vpi_track *t = &s->media->m.tracks[i];

        if (!s->stats[i] || !s->results[i].has_times) continue;
        *first = VPI_MIN(*first, track_us(t, s->results[i].start, VPI_FLOOR));
        *end = VPI_MAX(*end, track_us(t, s->results[i].end, VPI_CEIL));
    }
    return *end == INT64_MIN ? VP_END : VP_OK;
}

/*
 * A time that is damaged makes a title of hours out of a minute: the file is longer than it declares, by as much as
 * times go forward at one place.
 */
static vp_status check_leap(const scan *s, int64_t declared, int64_t length, vp_error *err)
{
    int64_t excess = length - declared;

    if (excess <= VPI_MAX(declared, LONG_MAX_US)) return VP_OK;
    for (size_t i = 0; i < s->count; i++) {
        const vpi_track *t = &s->media->m.tracks[i];
        int64_t leap = s->stats[i] ? track_us(t, s->results[i].leap, VPI_CEIL) : 0;

        if (t->kind != VPI_KIND_VIDEO && t->kind != VPI_KIND_AUDIO) continue;
        if (leap < excess - excess / 10) continue;
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "the file declares %lld ms, but times leap by %lld",
                        (long long)(declared / 1000), (long long)(leap / 1000));
    }
    return VP_OK;
}

/* How much less than declared may be a writer's rounding. */
static int64_t slack(int64_t declared)
{
    return VPI_CLAMP(declared / 50, VPI_CLAMP(declared / 10, SHORT_MIN_US, SHORT_MAX_US), LONG_MAX_US);
}

/*
 * Is what the container declares all there? Only where the duration is written down somewhere else than in
 * the packets themselves; the index of MP4 was checked by its bytes.
 */
static vp_status check_length(const scan *s, vp_error *err)
{
    const AVFormatContext *ic = vpi_demux_format(s->demux);
    const char *name = ic->iformat->name;
    int64_t first, end, missing, allowed;

    if (ic->duration_estimation_method != AVFMT_DURATION_FROM_STREAM || ic->duration <= 0) return VP_OK;
    if (vpi_formats_raw(ic->iformat) || strcmp(name, "mpegts") == 0 || strcmp(name, "mpeg") == 0)
        return VP_OK;
    if (vpi_demux_structure(s->demux)->open_end) return VP_OK;
    if (strncmp(name, "mov", 3) == 0 && !vpi_demux_structure(s->demux)->fragmented) return VP_OK;
    if (extent(s, &first, &end) != VP_OK) return VP_OK;
    VPI_TRY(check_leap(s, ic->duration, end - first, err));
    if (vpi_demux_structure(s->demux)->whole_tags) return VP_OK;
    first = VPI_MIN(first, 0);
    missing = ic->duration - (end - first);
    allowed = slack(ic->duration);
    if (strcmp(name, "flac") == 0) allowed = EXACT_US; /* STREAMINFO */
    if (missing <= allowed) return VP_OK;
    return vpi_fail(err, VP_E_DATA, "INPUT_TRUNCATED", "the file declares %lld ms, but holds %lld",
                    (long long)(ic->duration / 1000), (long long)((end - first) / 1000));
}

/* A stream that is declared, but of which nothing came. */
static vp_status check_empty(scan *s, vp_error *err)
{
    vpi_media *m = &s->media->m;
    bool empty = false;

    for (size_t i = 0; i < s->count; i++) {
        vpi_track *t = &m->tracks[i];

        if (s->packets[i] || t->attached_picture || (t->kind != VPI_KIND_VIDEO && t->kind != VPI_KIND_AUDIO))
            continue;
        if (!vpi_media_warn(m, "TRACK_DROPPED", VP_TIME_UNKNOWN, "stream %d is empty", t->id)) {
            return vpi_fail_nomem(err);
        }
        empty = empty || t->kind == VPI_KIND_VIDEO;
        t->kind = VPI_KIND_OTHER;
    }
    if (vpi_media_count(m, VPI_KIND_VIDEO) == 0 && (empty || vpi_media_count(m, VPI_KIND_AUDIO) == 0)) {
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT",
                        "the file declares streams, but holds no packet of them");
    }
    return VP_OK;
}

static vp_status prepare(scan *s, vp_error *err)
{
    bool nomem = false;

    s->count = vpi_demux_stream_count(s->demux);
    s->stats = vpi_calloc(s->count, sizeof(*s->stats));
    s->results = vpi_calloc(s->count, sizeof(*s->results));
    s->packets = vpi_calloc(s->count, sizeof(*s->packets));
    s->bytes = vpi_calloc(s->count, sizeof(*s->bytes));
    s->first = vpi_calloc(s->count, sizeof(*s->first));
    s->last = vpi_calloc(s->count, sizeof(*s->last));
    if (!s->stats || !s->results || !s->packets || !s->bytes || !s->first || !s->last)
        return vpi_fail_nomem(err);
    for (size_t i = 0; i < s->count; i++) s->first[i] = s->last[i] = -1;
    for (size_t i = 0; i < s->count && !nomem; i++) {
        s->stats[i] = vpi_report_stats(s->demux, (int32_t)i, true, &nomem);
    }
    s->repairer = vpi_repairer_new(s->count, vpi_demux_any_start(s->demux),
                                   strcmp(vpi_demux_format(s->demux)->iformat->name, "ogg") == 0);
    if (nomem || !s->repairer) return vpi_fail_nomem(err);
    VPI_TRY(vpi_report_new(s->demux, &s->media, err));
    s->sound = -1;
    /* The tables of MP4 tell of each pause as it was meant. */
    if (strncmp(vpi_demux_format(s->demux)->iformat->name, "mov", 3) != 0 ||
        vpi_demux_structure(s->demux)->fragmented) {
        const vpi_track *sound = vpi_media_nth(&s->media->m, VPI_KIND_AUDIO, 0);

        if (sound) s->sound = sound->id;
    }
    return hash_edges(s, err);
}

static vp_status take_repairs(scan *s, vp_error *err)
{
    vpi_media *m = &s->media->m;
    int64_t at = 0, by = 0;
    uint64_t jumps = vpi_repairer_result(s->repairer, &m->timeline.repairs, &m->timeline.count, &at, &by);

    if (!jumps || vpi_media_warn(m, "TIMELINE_REPAIRED", at, "the clock jumps by %lld ms (%llu times)",
                                 (long long)(by / 1000), (unsigned long long)jumps))
        return VP_OK;
    return vpi_fail_nomem(err);
}

/*
 * AVI and MXF have no times: pictures are counted, and those behind a lost one come too early. How many there should
 * be the header says. AVI may repeat a picture by a chunk without content, which is no packet and nothing lost.
 */
static vp_status check_counted(scan *s, vp_error *err)
{
    const char *name = vpi_demux_format(s->demux)->iformat->name;

    if ((strcmp(name, "avi") != 0 || !s->gaps) && strcmp(name, "mxf") != 0) return VP_OK;
    for (size_t i = 0; i < s->count; i++) {
        const vpi_track *t = &s->media->m.tracks[i];
        const AVStream *av = vpi_demux_avstream(s->demux, (int32_t)i);
        int64_t declared, missing;

        if (t->kind != VPI_KIND_VIDEO || t->attached_picture || !s->results[i].has_times) continue;
        if (av->duration <= 0 || av->duration > VPI_TIME_MAX) continue;
        declared = track_us(t, av->duration, VPI_NEAREST);
        missing = declared - track_us(t, s->results[i].end - s->results[i].start, VPI_NEAREST);
        if (missing <= VPI_MAX(COUNTED_US, track_us(t, COUNTED_TICKS, VPI_CEIL))) continue;
        if (missing > slack(declared)) {
            return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT",
                            "stream %d declares %lld ms of pictures, of which %lld cannot be read", t->id,
                            (long long)(declared / 1000), (long long)(missing / 1000));
        }
        if (!vpi_media_warn(&s->media->m, "FRAMES_CONCEALED", VP_TIME_UNKNOWN,
                            "stream %d: %lld ms of pictures cannot be read, those behind are early by that",
                            t->id, (long long)(missing / 1000)))
            return vpi_fail_nomem(err);
    }
    return VP_OK;
}

/* What is not there. Where it is much and the bytes are, they cannot be read. */
static vp_status take_holes(scan *s, vp_error *err)
{
    const vpi_holes *h = &s->holes;
    uint64_t unread = s->media->m.size;
    int64_t first, end;

    vpi_holes_finish(&s->holes);
    if (!h->count || s->sound < 0 || extent(s, &first, &end) != VP_OK) return VP_OK;
    for (size_t i = 0; i < s->count; i++)
        unread -= VPI_MIN(unread, s->bytes[i] + PACKET_HEAD * s->packets[i]);
    unread = VPI_MIN(unread, s->gaps);
    if (h->total > (end - first) / 10 && unread > s->media->m.size / 10) {
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT",
                        "neither sound nor picture can be read for %lld of %lld ms",
                        (long long)(h->total / 1000), (long long)((end - first) / 1000));
    }
    if (vpi_media_warn(&s->media->m, "FRAMES_CONCEALED", h->first,
                       "neither sound nor picture is there for %lld ms (%llu times)",
                       (long long)(h->total / 1000), (unsigned long long)h->count))
        return VP_OK;
    return vpi_fail_nomem(err);
}

/* AVI and elementary streams hold none: what a parser adds is the decoding time of those that are not reordered. */
static bool lacks_shown_times(const scan *s, const vpi_track *t)
{
    const AVInputFormat *format = vpi_demux_format(s->demux)->iformat;
    bool none = strcmp(format->name, "avi") == 0 || vpi_formats_raw(format);

    return t->has_times && t->packets && t->missing_pts && (none || t->missing_pts == t->packets);
}

/* At the picture that is published, the first one. */
static vp_status look(scan *s, vp_error *err)
{
    vpi_media *m = &s->media->m;
    bool ran_back;

    for (size_t i = 0; i < s->count; i++) {
        vpi_track *t = &m->tracks[i];

        if (t->kind != VPI_KIND_VIDEO || t->attached_picture) continue;
        m->timeline.decode_times = lacks_shown_times(s, t);
        m->seekable = vpi_report_seekable(s->demux, m, s->results);
        VPI_TRY(vpi_look(s->context, s->source, m, t, s->cancel, &ran_back, err));
        /* Reordered pictures whose writer gave them their decoding times to be shown at. */
        if (ran_back && t->has_times && !t->missing_pts && !s->results[i].delayed) {
            m->timeline.decode_times = true;
            m->seekable = false; /* which picture has which time is known from the start only */
        }
        return VP_OK;
    }
    m->seekable = vpi_report_seekable(s->demux, m, s->results);
    return VP_OK;
}

static vp_status run(scan *s, const vpi_limits *limits, vp_error *err)
{
    vpi_media *m;

    VPI_TRY(prepare(s, err));
    VPI_TRY(read_all(s, err));
    VPI_TRY(check_last(s, err));
    VPI_TRY(check_rest(s, err));
    m = &s->media->m;
    vpi_report_routes(s->demux, m);
    VPI_TRY(check_goes_on(s, err));
    m->full = true;
    for (size_t i = 0; i < s->count; i++) {
        m->tracks[i].packets = s->packets[i];
        m->tracks[i].bytes = s->bytes[i];
        if (!s->stats[i]) continue;
        vpi_stats_finish(s->stats[i], &s->results[i]);
        vpi_report_track(&m->tracks[i], &s->results[i], true);
    }
    VPI_TRY(check_fragments(s, err));
    VPI_TRY(take_repairs(s, err));
    VPI_TRY(check_length(s, err));
    VPI_TRY(check_counted(s, err));
    VPI_TRY(take_holes(s, err));
    VPI_TRY(check_empty(s, err));
    VPI_TRY(look(s, err));
    VPI_TRY(vpi_report_finish(s->demux, s->media, limits, true, s->results, err));
    m->complete = 1;
    vpi_sha256_done(&s->sha, m->fingerprint);
    VPI_TRY(vpi_source_quick_hash(s->source, m->quick, err));
    tell(s, true);
    return VP_OK;
}

vp_status vpi_scan(vp_context *context, vp_source *source, const vp_probe_options *options, vp_cancel *cancel,
                   void (*progress)(void *user, uint64_t done_bytes, uint64_t total_bytes),
                   void *progress_user, vp_media **out, vp_error *err)
{
    scan s = { .context = context, .source = source, .progress = progress, .progress_user = progress_user };
    vp_cancel *child = NULL;
    vpi_limits limits;
    vp_status st;

    *out = NULL;
    VPI_TRY(vpi_limits_from(options, &limits, err));
    VPI_TRY(vp_cancel_child(cancel, &child, err));
    if (limits.timeout_ms) vp_cancel_deadline(child, limits.timeout_ms);
    s.cancel = child;
    VPI_GO(vpi_demux_open_limits(context, source, &limits, true, child, &s.demux, err));
    VPI_GO(run(&s, &limits, err));
    *out = s.media;
    s.media = NULL;
done:
    vpi_error_op(err, "scan");
    vp_media_unref(s.media);
    for (size_t i = 0; i < s.count; i++) {
        if (s.results) vpi_free(s.results[i].keyframes);
        if (s.stats) vpi_stats_free(s.stats[i]);
    }
    vpi_repairer_free(s.repairer);
    vpi_free(s.stats);
    vpi_free(s.results);
    vpi_free(s.packets);
    vpi_free(s.bytes);
    vpi_free(s.first);
    vpi_free(s.last);
    vpi_demux_close(s.demux);
    vp_cancel_unref(child);
    return st < 0 ? st : VP_OK;
}
