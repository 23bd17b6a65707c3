/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/reader_int.h"

/*
 * Edit lists (ISO/IEC 14496-12 8.6.6): which part of a track's media is shown when. libavformat moves the first picture
 * behind the begin of an edit to that begin, and all others with it: by up to a picture each time, against sound that
 * it cuts to the sample. So where a list has more to it than a delay and the priming of an encoder, libavformat is told
 * to leave it alone, and packets get their times here. Only lists that play on through the media are done so: those
 * that repeat or reorder it, or change the speed, stay with libavformat.
 */

#define EDITS_MAX 4096u
/* Of looking for what is on the screen: entries of tables, and edits for each. */
#define STEPS_MAX (1u << 24)
#define LATEST_S 10    /* no picture is shown so long after it was decoded */
#define KEY_BEFORE_S 1 /* pictures of the access point before may be needed by those shown before the next */
#define PREROLL_MS 200 /* of sound that decoders need before the first sample wanted */
#define RATE_ONE 0x10000
/* libavformat keeps each sample that an edit shows or needs: more edits than these, and samples, are a bomb. */
#define EDITS_FEW 16u
#define EDITED_MAX (UINT64_C(32) << 20)

/* ---- reading ---- */

static int64_t bounded(uint64_t ticks)
{
    return (int64_t)VPI_MIN(ticks, (uint64_t)VPI_TIME_MAX);
}

static vp_status read_entry(vpi_window *w, const vpi_trak *t, uint32_t version, uint32_t n, int64_t *duration,
                            int64_t *media, uint32_t *rate, vp_error *err)
{
    size_t size = version == 1 ? 20 : 12, got;
    uint64_t at = t->elst.at + 8 + n * (uint64_t)size;
    const uint8_t *p;

    if (at + size > t->elst.end) return VP_END;
    VPI_TRY(vpi_window_read(w, at, size, &p, &got, err));
    if (got < size) return VP_END;
    *duration = bounded(version == 1 ? vpi_rd64(p) : vpi_rd32(p));
    *media = version == 1 ? (int64_t)vpi_rd64(p + 8) : (int32_t)vpi_rd32(p + 4);
    *rate = vpi_rd32(p + size - 4);
    return VP_OK;
}

static bool add_edit(vpi_edits *e, size_t *cap, int64_t from, int64_t to, int64_t media)
{
    const vpi_edit *before = e->count ? &e->list[e->count - 1] : NULL;
    const vpi_trak *t = &e->trak;
    /* Times of the movie are coarser than those of the media. */
    int64_t slack = 1 + vpi_rescale(1, t->scale, t->movie_scale, VPI_CEIL);
    vpi_edit edit = { .start = vpi_rescale(from, t->scale, t->movie_scale, VPI_NEAREST),
                      .media = VPI_MIN(media, VPI_TIME_MAX),
                      .hold = INT64_MIN };

    edit.start = VPI_MIN(edit.start, VPI_TIME_MAX);
    edit.length = to < 0 ? VPI_TIME_MAX
                         : VPI_MIN(vpi_rescale(to, t->scale, t->movie_scale, VPI_NEAREST), 2 * VPI_TIME_MAX) -
                               edit.start;
    if (before && edit.media < before->media + before->length - slack) e->onward = false;
    if (!VPI_GROW(e->list, e->count, *cap)) return false;
    e->list[e->count++] = edit;
    return true;
}

static vp_status read_list(vpi_window *w, vpi_edits *e, vp_error *err)
{
    const uint8_t *p;
    size_t got, cap = 0;
    uint32_t count, version, rate;
    int64_t at = 0, duration, media;

    e->onward = true;
    VPI_TRY(vpi_window_read(w, e->trak.elst.at, 8, &p, &got, err));
    if (got < 8) return VP_OK;
    version = p[0];
    count = vpi_rd32(p + 4);
    if (count > EDITS_MAX) e->onward = false;
    for (uint32_t i = 0; i < VPI_MIN(count, EDITS_MAX); i++) {
        vp_status st = read_entry(w, &e->trak, version, i, &duration, &media, &rate, err);

        if (st != VP_OK) return st < 0 ? st : VP_OK;
        if (media >= 0) {
            /* Without a length the last one plays to the end. */
            bool open = duration == 0 && i + 1 == count;

            if (rate != RATE_ONE) e->onward = false;
            if (!add_edit(e, &cap, at, open ? -1 : at + duration, media)) return vpi_fail_nomem(err);
        }
        at = VPI_MIN(at + duration, VPI_TIME_MAX);
    }
    return VP_OK;
}

/* Composition offset of the first sample. */
static vp_status first_offset(vpi_window *w, const vpi_trak *t, int64_t *offset, vp_error *err)
{
    const uint8_t *p;
    size_t got;

    *offset = 0;
    if (!t->ctts.at) return VP_OK;
    VPI_TRY(vpi_window_read(w, t->ctts.at, 16, &p, &got, err));
    if (got == 16 && vpi_rd32(p + 4) > 0) *offset = (int32_t)vpi_rd32(p + 12);
    return VP_OK;
}

/* A table of (count, value): stts and ctts (8.6.1.2, 8.6.1.3). */
typedef struct runs {
    vpi_window *w;
    vpi_span box;
    uint32_t entry, entries, left;
    int32_t value;
} runs;

/* To an entry that has samples left; VP_END behind the last. */
static vp_status fill_run(runs *r, vp_error *err)
{
    const uint8_t *p;
    size_t got;

    while (r->left == 0) {
        uint64_t at = r->box.at + 8 + 8 * (uint64_t)r->entry;

        if (r->entry >= r->entries || at + 8 > r->box.end) return VP_END;
        VPI_TRY(vpi_window_read(r->w, at, 8, &p, &got, err));
        if (got < 8) return VP_END;
        r->left = vpi_rd32(p);
        r->value = (int32_t)vpi_rd32(p + 4);
        r->entry++;
    }
    return VP_OK;
}

static vp_status open_runs(runs *r, vpi_window *w, vpi_span box, vp_error *err)
{
    const uint8_t *p;
    size_t got;

    *r = (runs){ .w = w, .box = box };
    if (!box.at) return VP_OK;
    VPI_TRY(vpi_window_read(w, box.at, 8, &p, &got, err));
    if (got == 8) r->entries = vpi_rd32(p + 4);
    return VP_OK;
}

/*
 * Of `count` pictures, from `first` on each `step` ticks after the one before: those that are on the screen where edits
 * begin. By the run and not by the picture: a few bytes may declare thousands of millions.
 */
static void see_run(vpi_edits *e, int64_t first, uint32_t step, uint32_t count, uint32_t *steps)
{
    int64_t last = first + (int64_t)step * (count - 1);
    size_t low = 0, high = e->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (e->list[mid].media < first)
            low = mid + 1;
        else
            high = mid;
    }
    for (; low < e->count; low++) {
        vpi_edit *edit = &e->list[low];
        int64_t until = VPI_MIN(edit->media, last);
        int64_t shown = step ? until - (until - first) % step : first;

        if (low == 0 || shown > e->list[low - 1].media) edit->hold = VPI_MAX(edit->hold, shown);
        if (edit->media >= last || --*steps == 0) break;
    }
}

static vp_status find_holds(vpi_window *w, vpi_edits *e, uint32_t *steps, vp_error *err)
{
    int64_t decoded = 0, last = e->list[e->count - 1].media + LATEST_S * (int64_t)e->trak.scale;
    vpi_window *other = vpi_calloc(1, sizeof(*other));
    runs times, offsets;
    vp_status st;

    if (!other) return vpi_fail_nomem(err);
    other->source = w->source;
    other->cancel = w->cancel;
    other->size = w->size;
    VPI_GO(open_runs(&times, w, e->trak.stts, err));
    VPI_GO(open_runs(&offsets, other, e->trak.ctts, err));
    for (; *steps > 0 && decoded <= last; --*steps) {
        bool offset;
        uint32_t n, delta;

        VPI_GO(fill_run(&times, err));
        if (st == VP_END) break;
        VPI_GO(fill_run(&offsets, err));
        offset = st == VP_OK;
        delta = (uint32_t)times.value;
        n = offset ? VPI_MIN(times.left, offsets.left) : times.left;
        if (delta) n = (uint32_t)VPI_MIN((int64_t)n, (last - decoded) / delta + 1);
        see_run(e, decoded + (offset ? offsets.value : 0), delta, n, steps);
        if (*steps == 0) break;
        decoded += (int64_t)n * delta;
        times.left -= n;
        if (offset) offsets.left -= n;
    }
    st = VP_OK;
done:
    vpi_free(other);
    return st;
}

/* How much libavformat would make of the list at most. */
static vp_status count_edited(vpi_window *w, const vpi_trak *t, uint64_t *edited, vp_error *err)
{
    const uint8_t *p;
    uint64_t count;
    size_t got;

    VPI_TRY(vpi_window_read(w, t->elst.at, 8, &p, &got, err));
    if (got < 8) return VP_OK;
    count = VPI_MIN((uint64_t)vpi_rd32(p + 4), (t->elst.end - t->elst.at) / (p[0] == 1 ? 20 : 12));
    if (count > EDITS_FEW && !vpi_add_u64(*edited, count * t->samples, edited)) *edited = UINT64_MAX;
    return VP_OK;
}

vp_status vpi_edits_add(vpi_window *w, const vpi_trak *trak, vpi_structure *out, vp_error *err)
{
    vpi_edits e = { .trak = *trak };
    vp_status st;

    if (!trak->elst.at) return VP_OK;
    VPI_TRY(count_edited(w, trak, &out->edited, err));
    if (!trak->scale || !trak->movie_scale) return VP_OK;
    VPI_GO(read_list(w, &e, err));
    if (e.count == 0) goto done;
    if (!VPI_GROW(out->edits, out->edit_tracks, out->edit_cap)) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    out->edits[out->edit_tracks++] = e;
    return VP_OK;
done:
    vpi_free(e.list);
    return st < 0 ? st : VP_OK;
}

static void forget(vpi_structure *s)
{
    for (size_t i = 0; i < s->edit_tracks; i++) vpi_free(s->edits[i].list);
    vpi_free(s->edits);
    s->edits = NULL;
    s->edit_tracks = s->edit_cap = 0;
}

vp_status vpi_edits_decide(vpi_window *w, bool fragments, vpi_structure *s, vp_error *err)
{
    bool wanted = false, able = !fragments, several = false, speed = false;
    uint32_t steps = STEPS_MAX;
    vp_status st = VP_OK;

    for (size_t i = 0; i < s->edit_tracks; i++) {
        const vpi_edits *e = &s->edits[i];
        int64_t first = 0;

        able = able && e->onward;
        speed = speed || !e->onward;
        several = several || e->count > 1;
        if (!e->trak.video) continue;
        VPI_GO(first_offset(w, &e->trak, &first, err));
        wanted = wanted || e->list[0].media > first;
    }
    wanted = wanted || several;
    s->edits_complex = !able && (several || speed);
    if (!able || !wanted) {
        if (s->edited > EDITED_MAX) {
            st = vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT",
                          "edits that show %llu samples are more than the limit",
                          (unsigned long long)s->edited);
        }
        goto done;
    }
    for (size_t i = 0; i < s->edit_tracks; i++)
        if (s->edits[i].trak.video) VPI_GO(find_holds(w, &s->edits[i], &steps, err));
    return VP_OK;
done:
    forget(s);
    return st;
}

void vpi_structure_dispose(vpi_structure *s)
{
    forget(s);
}

/* ---- times of packets ---- */

const vpi_edits *vpi_edits_of(const vpi_structure *s, const AVStream *stream)
{
    enum AVMediaType type = stream->codecpar->codec_type;

    if (type != AVMEDIA_TYPE_VIDEO && type != AVMEDIA_TYPE_AUDIO) return NULL;
    for (size_t i = 0; i < s->edit_tracks; i++)
        if ((int64_t)s->edits[i].trak.id == stream->id) return &s->edits[i];
    return NULL;
}

int64_t vpi_edits_media(const vpi_edits *e, int64_t shown)
{
    size_t n = 0;

    while (n + 1 < e->count && e->list[n + 1].start <= shown) n++;
    return e->list[n].media + VPI_CLAMP(shown - e->list[n].start, -VPI_TIME_MAX, e->list[n].length);
}

void vpi_edits_range(const vpi_edits *e, int64_t media_end, int64_t *start, int64_t *end)
{
    const vpi_edit *last = &e->list[e->count - 1];

    *start = e->list[0].start;
    *end = last->start + VPI_MIN(last->length, VPI_MAX(media_end - last->media, 0));
}

static int64_t end_of(const vpi_edit *edit)
{
    return edit->media + edit->length;
}

/* Are its packets needed to decode what is shown behind it? */
static bool leads_to(const vpi_edit *edit, AVStream *stream, const AVPacket *p)
{
    int64_t scale = stream->time_base.den;
    const AVIndexEntry *entry;
    int index;

    if (stream->codecpar->codec_type == AVMEDIA_TYPE_AUDIO)
        return p->pts >= edit->media - PREROLL_MS * scale / 1000;
    index = av_index_search_timestamp(stream, edit->media - KEY_BEFORE_S * scale, AVSEEK_FLAG_BACKWARD);
    entry = index >= 0 ? avformat_index_get_entry(stream, index) : NULL;
    return !entry || p->dts >= entry->timestamp;
}

static vp_status cut_sound(const vpi_edit *edit, const AVStream *stream, AVPacket *p, vp_error *err)
{
    int64_t rate = stream->codecpar->sample_rate, scale = stream->time_base.den;
    int64_t before = VPI_MAX(edit->media - p->pts, 0),
            behind = VPI_MAX(p->pts + p->duration - end_of(edit), 0);
    uint8_t *skip;
    size_t size;

    if (!before && !behind && !av_packet_get_side_data(p, AV_PKT_DATA_SKIP_SAMPLES, &size)) return VP_OK;
    skip = av_packet_new_side_data(p, AV_PKT_DATA_SKIP_SAMPLES, 10);
    if (!skip) return vpi_fail_nomem(err);
    memset(skip, 0, 10);
    AV_WL32(skip, (uint32_t)VPI_CLAMP(vpi_rescale(before, rate, scale, VPI_NEAREST), 0, (int64_t)UINT32_MAX));
    AV_WL32(skip + 4,
            (uint32_t)VPI_CLAMP(vpi_rescale(behind, rate, scale, VPI_NEAREST), 0, (int64_t)UINT32_MAX));
    return VP_OK;
}

/* A picture of an edit, or the one that is on the screen where it begins: what is seen of it. */
static void cut_picture(const vpi_edit *edit, int64_t offset, AVPacket *p)
{
    int64_t media = p->pts - offset, from = VPI_MAX(media, edit->media), to = media + p->duration;

    p->pts = from + offset;
    if (p->duration > 0) p->duration = VPI_MAX(VPI_MIN(to, end_of(edit)) - from, 0);
}

vp_status vpi_edits_apply(const vpi_edits *e, AVStream *stream, AVPacket *p, vpi_edit_place *place,
                          vp_error *err)
{
    bool sound = stream->codecpar->codec_type == AVMEDIA_TYPE_AUDIO, shown;
    const vpi_edit *edit;
    int64_t offset;
    size_t n = 0;

    *place = VPI_EDIT_GIVEN;
    if (p->pts == AV_NOPTS_VALUE) p->pts = p->dts;
    if (p->dts == AV_NOPTS_VALUE) p->dts = p->pts;
    if (p->pts == AV_NOPTS_VALUE) return VP_OK;
    while (n < e->count && end_of(&e->list[n]) <= p->pts) n++;
    if (n == e->count && p->dts >= end_of(&e->list[n - 1])) {
        *place = VPI_EDIT_BEHIND;
        return VP_OK;
    }
    edit = &e->list[VPI_MIN(n, e->count - 1)];
    shown = n < e->count &&
            (p->pts >= edit->media || (sound ? p->pts + p->duration > edit->media : p->pts == edit->hold));
    /* What comes before an edit leads to it, or pictures shown before it refer to it. */
    if (!shown && n < e->count && !leads_to(edit, stream, p) && (n == 0 || p->dts >= end_of(edit - 1))) {
        *place = VPI_EDIT_LEFT_OUT;
        return VP_OK;
    }
    offset = edit->start - edit->media;
    if (shown && sound) VPI_TRY(cut_sound(edit, stream, p, err));
    p->pts += offset;
    p->dts += offset;
    if (!shown)
        p->flags |= AV_PKT_FLAG_DISCARD;
    else if (!sound)
        cut_picture(edit, offset, p);
    p->opaque = (void *)(intptr_t)(n + 1);
    return VP_OK;
}
