/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sample tables (ISO/IEC 14496-12 8.6.1, 8.6.2, 8.7.3 to 8.7.5) walked side by side. */
#include "bmff/box_int.h"
#include "bmff/movie.h"

#define WINDOW 16384u
#define TIME_MAX (INT64_MAX >> 2)

/* One table, read forward. */
typedef struct column {
    const vpi_movie_table *table;
    unsigned entry;    /* bytes */
    uint32_t next;     /* entry */
    uint32_t at, held; /* entries in the window: the first one's number, how many */
    uint8_t *window;
} column;

/* Runs of equal values: how many samples the present one still has. */
typedef struct run {
    column column;
    uint32_t left, value;
} run;

struct vpi_movie_cursor {
    const vpi_movie_file *file;
    const vpi_movie_track *track;
    run times, offsets;
    column syncs, sizes, runs, chunks;
    uint32_t sample; /* next one, from 0 */
    uint32_t sync;   /* number of the next sync sample, from 1; 0: none is left */
    /* chunks: the present one's number from 1, its samples that are left, where the next run of chunks begins */
    uint32_t chunk, in_chunk, per_chunk, run_end;
    uint64_t offset;
    int64_t dts;
    uint8_t windows[6][WINDOW];
};

static vp_status broken(vp_error *err, const char *table, uint32_t sample)
{
    return VPI_CORRUPT(err, "'%s' does not fit at sample %u", table, (unsigned)sample + 1);
}

/* The next entry; VP_END behind the last one. */
static vp_status take(const vpi_movie_cursor *c, column *t, const uint8_t **out, vp_error *err)
{
    if (t->next >= t->table->count) return VP_END;
    if (t->next >= t->at + t->held || t->next < t->at) {
        uint32_t n = VPI_MIN(t->table->count - t->next, WINDOW / t->entry);
        t->held = 0;
        VPI_TRY(c->file->read(c->file->user, t->table->offset + (uint64_t)t->next * t->entry, t->window,
                              (size_t)n * t->entry, err));
        t->at = t->next;
        t->held = n;
    }
    *out = t->window + (size_t)(t->next - t->at) * t->entry;
    t->next++;
    return VP_OK;
}

static uint64_t number(const uint8_t *p, unsigned bytes)
{
    vpi_cursor c = { p, bytes, false };
    return vpi_take(&c, bytes);
}

/* Value of the next sample in a table of (count, value); VP_END where it has none. */
static vp_status take_run(const vpi_movie_cursor *c, run *r, uint32_t *value, vp_error *err)
{
    while (!r->left) {
        const uint8_t *p;
        vp_status st = take(c, &r->column, &p, err);
        if (st != VP_OK) return st;
        r->left = (uint32_t)number(p, 4);
        r->value = (uint32_t)number(p + 4, 4);
    }
    r->left--;
    *value = r->value;
    return VP_OK;
}

/* ---- where samples lie ---- */

/* First chunk of the run behind the one that `runs` has just given; UINT32_MAX when that was the last. */
static vp_status peek_run(const vpi_movie_cursor *c, column *t, uint32_t *first, vp_error *err)
{
    const uint8_t *p;
    vp_status st = take(c, t, &p, err);
    *first = UINT32_MAX;
    if (st == VP_END) return VP_OK;
    if (st < 0) return st;
    *first = (uint32_t)number(p, 4);
    t->next--;
    return VP_OK;
}

static vp_status next_run(vpi_movie_cursor *c, vp_error *err)
{
    const uint8_t *p;
    uint32_t first, end;

    if (take(c, &c->runs, &p, err) != VP_OK) return broken(err, "stsc", c->sample);
    first = (uint32_t)number(p, 4);
    c->per_chunk = (uint32_t)number(p + 4, 4);
    if (number(p + 8, 4) != 1)
        return vpi_fail(err, VP_E_UNSUPPORTED, NULL, "no plain movie file: several descriptions");
    VPI_TRY(peek_run(c, &c->runs, &end, err));
    if (first != c->chunk || end <= first || !c->per_chunk) return broken(err, "stsc", c->sample);
    c->run_end = end;
    return VP_OK;
}

static vp_status next_chunk(vpi_movie_cursor *c, vp_error *err)
{
    const uint8_t *p;
    vp_status st = take(c, &c->chunks, &p, err);

    if (st < 0) return st;
    if (st == VP_END) return broken(err, c->track->wide_chunks ? "co64" : "stco", c->sample);
    c->offset = number(p, c->chunks.entry);
    c->chunk++;
    if (c->chunk >= c->run_end) VPI_TRY(next_run(c, err));
    c->in_chunk = c->per_chunk;
    return VP_OK;
}

static vp_status place(vpi_movie_cursor *c, vpi_movie_sample *out, vp_error *err)
{
    const uint8_t *p;

    if (!c->in_chunk) VPI_TRY(next_chunk(c, err));
    out->size = c->track->sample_size;
    if (!out->size) {
        vp_status st = take(c, &c->sizes, &p, err);
        if (st != VP_OK) return st < 0 ? st : broken(err, "stsz", c->sample);
        out->size = (uint32_t)number(p, 4);
    }
    out->offset = c->offset;
    if (!out->size || out->offset > c->file->size || out->size > c->file->size - out->offset)
        return broken(err, "stsz", c->sample);
    c->offset += out->size;
    c->in_chunk--;
    return VP_OK;
}

/* ---- when they are shown ---- */

static vp_status when(vpi_movie_cursor *c, vpi_movie_sample *out, vp_error *err)
{
    uint32_t delta = 0, offset = 0;
    vp_status st = take_run(c, &c->times, &delta, err);

    if (st != VP_OK) return st < 0 ? st : broken(err, "stts", c->sample);
    /* Version 0 is unsigned by the standard, but many writers put negative offsets into it (as QuickTime does). */
    st = take_run(c, &c->offsets, &offset, err);
    if (st < 0) return st;
    if (delta > INT32_MAX || c->dts > TIME_MAX) return broken(err, "stts", c->sample);
    out->dts = c->dts;
    out->duration = delta;
    out->pts = c->dts + (int32_t)offset + c->track->shift;
    c->dts += delta;
    return VP_OK;
}

static vp_status next_sync(vpi_movie_cursor *c, vp_error *err)
{
    const uint8_t *p;
    uint32_t before = c->sync;
    vp_status st = take(c, &c->syncs, &p, err);

    if (st < 0) return st;
    c->sync = st == VP_OK ? (uint32_t)number(p, 4) : 0;
    return st == VP_OK && c->sync <= before ? broken(err, "stss", c->sample) : VP_OK;
}

vp_status vpi_movie_next(vpi_movie_cursor *c, vpi_movie_sample *out, vp_error *err)
{
    memset(out, 0, sizeof(*out));
    if (c->sample >= c->track->samples) return VP_END;
    if (c->sample == 0 && c->track->has_syncs) VPI_TRY(next_sync(c, err));
    VPI_TRY(place(c, out, err));
    VPI_TRY(when(c, out, err));
    c->sample++;
    out->sync = !c->track->has_syncs || c->sync == c->sample;
    if (c->track->has_syncs && out->sync) VPI_TRY(next_sync(c, err));
    return VP_OK;
}

static column open_column(const vpi_movie_table *table, unsigned entry, uint8_t *window)
{
    return (column){ .table = table, .entry = entry, .window = window };
}

void vpi_movie_rewind(vpi_movie_cursor *c)
{
    const vpi_movie_track *t = c->track;

    c->times = (run){ .column = open_column(&t->times, 8, c->windows[0]) };
    c->offsets = (run){ .column = open_column(&t->offsets, 8, c->windows[1]) };
    c->syncs = open_column(&t->syncs, 4, c->windows[2]);
    c->sizes = open_column(&t->sizes, 4, c->windows[3]);
    c->runs = open_column(&t->runs, 12, c->windows[4]);
    c->chunks = open_column(&t->chunks, t->wide_chunks ? 8 : 4, c->windows[5]);
    c->sample = c->sync = c->chunk = c->in_chunk = c->per_chunk = c->run_end = 0;
    c->offset = 0;
    c->dts = 0;
}

vp_status vpi_movie_cursor_new(const vpi_movie_file *file, const vpi_movie_track *track,
                               vpi_movie_cursor **out, vp_error *err)
{
    vpi_movie_cursor *c = vpi_calloc(1, sizeof(*c));

    *out = c;
    if (!c) return vpi_fail_nomem(err);
    c->file = file;
    c->track = track;
    vpi_movie_rewind(c);
    return VP_OK;
}

vpi_movie_cursor *vpi_movie_cursor_free(vpi_movie_cursor *c)
{
    vpi_free(c);
    return NULL;
}
