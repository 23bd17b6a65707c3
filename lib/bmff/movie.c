/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Movie and track boxes of a file that is not in memory (ISO/IEC 14496-12 8.2 to 8.7). */
#include "bmff/box_int.h"
#include "bmff/movie.h"

#define TRACKS_MAX 64u
#define SMALL_MAX (1u << 20) /* bytes of a box that is taken into memory: stsd and smaller ones */
#define TOP_MAX 100000u      /* boxes at one level */

typedef struct movie_reader {
    const vpi_movie_file *file;
    vpi_movie *movie;
    vp_error *err;
} movie_reader;

/* A box in the file: payload from `at` to `end`. */
typedef struct place {
    uint32_t type;
    uint64_t at, end;
} place;

static vp_status not_plain(const movie_reader *r, const char *what)
{
    return vpi_fail(r->err, VP_E_UNSUPPORTED, NULL, "no plain movie file: %s", what);
}

/* Box at *at, which moves behind it; VP_END at the end. */
static vp_status next_place(const movie_reader *r, uint64_t *at, uint64_t end, place *out)
{
    uint8_t head[32];
    uint64_t size = 0;
    size_t header = 0, n = (size_t)VPI_MIN(end - *at, (uint64_t)sizeof(head));

    if (n < 8) return VP_END; /* QuickTime's terminator, or rests that nobody needs */
    VPI_TRY(r->file->read(r->file->user, *at, head, n, r->err));
    vp_status st = vpi_box_header(head, n, &out->type, &size, &header);
    if (st == VP_OK && size == 0) size = end - *at;
    if (st != VP_OK || size > end - *at) return VPI_CORRUPT(r->err, "a box does not fit");
    out->at = *at + header;
    out->end = *at + size;
    *at = out->end;
    return VP_OK;
}

typedef vp_status (*box_fn)(movie_reader *r, void *user, const place *box);

static vp_status each_box(movie_reader *r, uint64_t at, uint64_t end, box_fn fn, void *user)
{
    for (unsigned n = 0; n < TOP_MAX; n++) {
        place box;
        vp_status st = next_place(r, &at, end, &box);
        if (st == VP_END) return VP_OK;
        if (st < 0) return st;
        VPI_TRY(fn(r, user, &box));
    }
    return VPI_CORRUPT(r->err, "more than %u boxes in one container", TOP_MAX);
}

/* The payload in memory; vpi_free. */
static vp_status load(const movie_reader *r, const place *p, uint8_t **data, vpi_box *box)
{
    uint64_t size = p->end - p->at;

    *data = NULL;
    if (size > SMALL_MAX) return not_plain(r, "a large header");
    *data = vpi_alloc((size_t)size + 1);
    if (!*data) return vpi_fail_nomem(r->err);
    memset(box, 0, sizeof(*box));
    *box = (vpi_box){ .type = p->type, .size = size, .data = *data, .data_size = (size_t)size };
    vp_status st = r->file->read(r->file->user, p->at, *data, (size_t)size, r->err);
    if (st < 0) {
        vpi_free(*data);
        *data = NULL;
    }
    return st;
}

typedef vp_status (*parse_fn)(const vpi_box *box, vpi_init_info *out, vp_error *err);

static vp_status parse_small(const movie_reader *r, const place *p, parse_fn parse, vpi_init_info *out)
{
    uint8_t *data;
    vpi_box box;

    VPI_TRY(load(r, p, &data, &box));
    vp_status st = parse(&box, out, r->err);
    vpi_free(data);
    return st;
}

/* ---- tables: where they lie, and that their entries fit in their boxes ---- */

static vp_status table(const movie_reader *r, const place *p, unsigned before, unsigned entry,
                       vpi_movie_table *out)
{
    uint8_t head[16];
    size_t n = 8 + (size_t)before;

    if (out->offset) return not_plain(r, "two tables of one kind");
    if (p->end - p->at < n) return VPI_CORRUPT(r->err, "a cut sample table");
    VPI_TRY(r->file->read(r->file->user, p->at, head, n, r->err));
    vpi_cursor c = { head + 4 + before, 4, false };
    out->count = vpi_take32(&c);
    out->offset = p->at + n;
    if (entry && (p->end - out->offset) / entry < out->count)
        return VPI_CORRUPT(r->err, "a cut sample table");
    return VP_OK;
}

static vp_status read_stsz(const movie_reader *r, const place *p, vpi_movie_track *t)
{
    uint8_t head[12];

    VPI_TRY(table(r, p, 4, 0, &t->sizes));
    VPI_TRY(r->file->read(r->file->user, p->at, head, sizeof(head), r->err));
    vpi_cursor c = { head + 4, 8, false };
    t->sample_size = vpi_take32(&c);
    t->samples = vpi_take32(&c);
    if (!t->sample_size && (p->end - t->sizes.offset) / 4 < t->samples)
        return VPI_CORRUPT(r->err, "a cut sample table");
    return VP_OK;
}

static vp_status read_stsd(const movie_reader *r, const place *p, vpi_movie_track *t)
{
    vpi_box box;

    if (t->stsd) return not_plain(r, "two tables of one kind");
    VPI_TRY(load(r, p, &t->stsd, &box));
    if (box.data_size >= 8) {
        vpi_cursor c = { box.data + 4, 4, false };
        t->descriptions = vpi_take32(&c);
    }
    return vpi_stsd_parse(&box, &t->info, r->err);
}

static vp_status in_stbl(movie_reader *r, void *user, const place *box)
{
    vpi_movie_track *t = user;

    switch (box->type) {
    case VPI_FOURCC('s', 't', 's', 'd'):
        return read_stsd(r, box, t);
    case VPI_FOURCC('s', 't', 't', 's'):
        return table(r, box, 0, 8, &t->times);
    case VPI_FOURCC('c', 't', 't', 's'):
        return table(r, box, 0, 8, &t->offsets);
    case VPI_FOURCC('s', 't', 's', 's'):
        t->has_syncs = true;
        return table(r, box, 0, 4, &t->syncs);
    case VPI_FOURCC('s', 't', 's', 'z'):
        return read_stsz(r, box, t);
    case VPI_FOURCC('s', 't', 's', 'c'):
        return table(r, box, 0, 12, &t->runs);
    case VPI_FOURCC('s', 't', 'c', 'o'):
        return table(r, box, 0, 4, &t->chunks);
    case VPI_FOURCC('c', 'o', '6', '4'):
        t->wide_chunks = true;
        return table(r, box, 0, 8, &t->chunks);
    case VPI_FOURCC('s', 't', 'z', '2'):
    case VPI_FOURCC('s', 'e', 'n', 'c'):
        return not_plain(r, "compact sizes or protected samples");
    default:
        return VP_OK;
    }
}

/* ---- edits ---- */

typedef struct edits {
    bool any;
    uint64_t empty, length; /* movie ticks; length 0: all there is */
    int64_t media_time;
} edits;

/* At most one empty edit, then at most one of media at normal speed. */
static vp_status read_elst(const movie_reader *r, const place *p, edits *out)
{
    uint8_t *data, version;
    uint32_t flags, count;
    vpi_box box;
    bool plain = true;

    VPI_TRY(load(r, p, &data, &box));
    vpi_cursor c = vpi_cursor_open(&box, &version, &flags);
    count = vpi_take32(&c);
    for (uint32_t i = 0; plain && !c.failed && i < count; i++) {
        uint64_t duration = vpi_take(&c, version ? 8 : 4);
        int64_t at = version ? (int64_t)vpi_take(&c, 8) : (int32_t)vpi_take32(&c);
        uint32_t rate = vpi_take32(&c);
        plain = rate == 0x10000 && !out->any;
        if (at == -1 && !out->any && !out->empty) {
            out->empty = duration;
            continue;
        }
        plain = plain && at >= 0;
        out->any = true;
        out->media_time = at;
        out->length = duration;
    }
    vpi_free(data);
    if (c.failed) return VPI_CORRUPT(r->err, "broken 'elst'");
    return plain ? VP_OK : not_plain(r, "several edits");
}

/* ---- tracks ---- */

typedef struct track_reader {
    vpi_movie_track *track;
    edits edits;
} track_reader;

static vp_status in_edts(movie_reader *r, void *user, const place *box)
{
    track_reader *t = user;
    return box->type == VPI_FOURCC('e', 'l', 's', 't') ? read_elst(r, box, &t->edits) : VP_OK;
}

static vp_status in_minf(movie_reader *r, void *user, const place *box)
{
    if (box->type != VPI_FOURCC('s', 't', 'b', 'l')) return VP_OK;
    return each_box(r, box->at, box->end, in_stbl, user);
}

static vp_status in_mdia(movie_reader *r, void *user, const place *box)
{
    vpi_movie_track *t = user;

    if (box->type == VPI_FOURCC('m', 'd', 'h', 'd')) return parse_small(r, box, vpi_mdhd_parse, &t->info);
    if (box->type == VPI_FOURCC('h', 'd', 'l', 'r')) return parse_small(r, box, vpi_hdlr_parse, &t->info);
    if (box->type == VPI_FOURCC('m', 'i', 'n', 'f')) return each_box(r, box->at, box->end, in_minf, t);
    return VP_OK;
}

static vp_status in_trak(movie_reader *r, void *user, const place *box)
{
    track_reader *t = user;

    if (box->type == VPI_FOURCC('t', 'k', 'h', 'd'))
        return parse_small(r, box, vpi_tkhd_parse, &t->track->info);
    if (box->type == VPI_FOURCC('e', 'd', 't', 's')) return each_box(r, box->at, box->end, in_edts, t);
    if (box->type == VPI_FOURCC('m', 'd', 'i', 'a')) return each_box(r, box->at, box->end, in_mdia, t->track);
    return VP_OK;
}

/* Movie ticks to ticks of the track, to the nearest; false when it does not fit. */
static bool to_track(const vpi_movie *m, const vpi_movie_track *t, uint64_t ticks, int64_t *out)
{
    if (ticks > (uint64_t)INT64_MAX >> 2) return false;
    *out = vpi_rescale((int64_t)ticks, t->info.timescale, m->timescale, VPI_NEAREST);
    return *out <= INT64_MAX >> 2;
}

static vp_status settle_edits(const movie_reader *r, vpi_movie_track *t, const edits *e)
{
    int64_t empty = 0, length = 0;

    if (!to_track(r->movie, t, e->empty, &empty) || !to_track(r->movie, t, e->length, &length) ||
        e->media_time > INT64_MAX >> 2)
        return VPI_CORRUPT(r->err, "broken 'elst'");
    t->shift = empty - e->media_time;
    t->edit_end = length ? empty + length : INT64_MAX;
    return VP_OK;
}

static vp_status read_trak(movie_reader *r, const place *box)
{
    vpi_movie *m = r->movie;
    track_reader t = { 0 };
    void *grown;

    if (m->count >= TRACKS_MAX) return not_plain(r, "many tracks");
    grown = vpi_realloc(m->tracks, m->count + 1, sizeof(*m->tracks));
    if (!grown) return vpi_fail_nomem(r->err);
    m->tracks = grown;
    t.track = &m->tracks[m->count++];
    memset(t.track, 0, sizeof(*t.track));
    VPI_TRY(each_box(r, box->at, box->end, in_trak, &t));
    if (!t.track->info.timescale) return VPI_CORRUPT(r->err, "a track without 'mdhd'");
    return settle_edits(r, t.track, &t.edits);
}

static vp_status in_moov(movie_reader *r, void *user, const place *box)
{
    vpi_init_info info;

    (void)user;
    memset(&info, 0, sizeof(info));
    switch (box->type) {
    case VPI_FOURCC('m', 'v', 'h', 'd'):
        VPI_TRY(parse_small(r, box, vpi_mvhd_parse, &info));
        r->movie->timescale = info.movie_timescale;
        return VP_OK;
    case VPI_FOURCC('t', 'r', 'a', 'k'):
        if (!r->movie->timescale) return not_plain(r, "'trak' before 'mvhd'");
        return read_trak(r, box);
    case VPI_FOURCC('m', 'v', 'e', 'x'):
    case VPI_FOURCC('c', 'm', 'o', 'v'):
    case VPI_FOURCC('r', 'm', 'r', 'a'):
        return not_plain(r, "fragments, or a compressed or remote movie");
    default:
        return VP_OK;
    }
}

static vp_status at_top(movie_reader *r, void *user, const place *box)
{
    bool *seen = user;

    if (box->type == VPI_FOURCC('m', 'o', 'o', 'f')) return not_plain(r, "fragments");
    if (box->type != VPI_FOURCC('m', 'o', 'o', 'v')) return VP_OK;
    if (*seen) return not_plain(r, "two 'moov' boxes");
    *seen = true;
    return each_box(r, box->at, box->end, in_moov, NULL);
}

/* Such a file says what it is in its first box; QuickTime's older ones begin with the data or the movie. */
static vp_status check_first(const movie_reader *r)
{
    uint64_t at = 0;
    place first;

    if (r->file->size < 16) return not_plain(r, "too short");
    vp_status st = next_place(r, &at, r->file->size, &first);
    if (st == VP_E_DATA) {
        vp_error_init(r->err);
        return not_plain(r, "the first box does not fit");
    }
    if (st < 0) return st;
    if (st == VP_OK && first.type == VPI_FOURCC('f', 't', 'y', 'p')) return VP_OK;
    return not_plain(r, "no 'ftyp'");
}

vp_status vpi_movie_open(const vpi_movie_file *file, vpi_movie *out, vp_error *err)
{
    movie_reader r = { .file = file, .movie = out, .err = err };
    bool seen = false;
    vp_status st;

    memset(out, 0, sizeof(*out));
    VPI_GO(check_first(&r));
    VPI_GO(each_box(&r, 0, file->size, at_top, &seen));
    if (!out->count) st = not_plain(&r, "no tracks");
done:
    if (st < 0) vpi_movie_dispose(out);
    return st;
}

void vpi_movie_dispose(vpi_movie *m)
{
    for (size_t i = 0; i < m->count; i++) vpi_free(m->tracks[i].stsd);
    vpi_free(m->tracks);
    memset(m, 0, sizeof(*m));
}
