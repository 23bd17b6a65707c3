/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/fields_int.h"

#include <stdlib.h>

/* A change of less is noise. */
#define MOTION 12
/* Moving samples from which on a picture says something: this many, and one of so many. */
#define MOVING_LEAST 48u
#define MOVING_SHARE 1000u
/* In percent: the farther field's mismatch over the nearer one's; the nearer one's over that of lines within. */
#define APART 120
#define WITHIN 140
/* A field that changes by less than the other divided by this is the one of the picture before. */
#define REPEATED 4u
/* Pictures that have to move for a decision by looking. */
#define LOOKED_LEAST 4u
/*
 * In percent. A title that says nothing is interlaced by this share of combed pictures; one that says so is not by
 * less than this share of combed ones, where that share of all that move is seen to be whole (PsF).
 */
#define COMBED_PLAIN 30u
#define COMBED_SMALL                                                                                         \
    60u /* no camera gives fields of so few lines, and patterns in them look combed at times */
#define SMALL_ROWS 144u
#define COMBED_FLAGGED 8u
#define WHOLE_FLAGGED 70u
/*
 * Nor where bands of so many lines are combed, by this much more, in this share of the pictures that move: the rest
 * may be film, the ticker below it is of the television.
 */
#define BAND_ROWS 16u
#define BAND_APART 200
#define BAND_SHARE 64u /* one of so many samples of the band has to move */
#define PART_FLAGGED 25u
/* Of so many that say they are of fields one has to move and to look like it: flags alone are often wrong. */
#define PARTS_COMBED 4u
/* The common field order outnumbers the other by this. */
#define ORDER_SURE 3u
/* 3:2 pulldown: a repeated field every two, then every three pictures. */
#define PULLDOWN 5u
#define REPEATS_LEAST 4u
#define RUN_LEAST 10u

typedef enum repeat { REPEAT_NONE, REPEAT_TOP, REPEAT_BOTTOM } repeat;

struct vpi_fields {
    uint32_t width, height;
    uint8_t *planes[3]; /* before, now, after; [2] is filled next */
    uint32_t held;      /* pictures of this run in the planes */
    uint8_t repeats[VPI_FIELDS_RUN];
    uint32_t run, moved; /* pictures of the run; those that move */
    vpi_fields_result r;
};

typedef struct sums {
    uint64_t far_top, far_bottom; /* large where the top (bottom) field is the earlier one */
    uint64_t within;
    uint64_t moving;
} sums;

vpi_fields *vpi_fields_new(uint32_t width, uint32_t height)
{
    vpi_fields *f = vpi_calloc(1, sizeof(*f));
    bool ok = f != NULL;

    if (!f) return NULL;
    f->width = width;
    f->height = height;
    f->r.rows = height;
    for (int i = 0; i < 3; i++) {
        f->planes[i] = vpi_calloc(height, width);
        ok = ok && f->planes[i];
    }
    return ok ? f : vpi_fields_free(f);
}

vpi_fields *vpi_fields_free(vpi_fields *f)
{
    if (!f) return NULL;
    for (int i = 0; i < 3; i++) vpi_free(f->planes[i]);
    vpi_free(f);
    return NULL;
}

uint8_t *vpi_fields_plane(vpi_fields *f)
{
    return f->planes[2];
}

const vpi_fields_result *vpi_fields_result_of(const vpi_fields *f)
{
    return &f->r;
}

static uint32_t distance(uint8_t a, uint8_t b)
{
    return a > b ? (uint32_t)(a - b) : (uint32_t)(b - a);
}

/* How much a line differs from the mean of those around it, doubled. */
static uint32_t mismatch(uint8_t above, uint8_t line, uint8_t below)
{
    return (uint32_t)abs(above + below - 2 * line);
}

static void add_row(const vpi_fields *f, uint32_t y, sums *s)
{
    size_t at = (size_t)y * f->width, w = f->width;
    const uint8_t *before = f->planes[0] + at, *now = f->planes[1] + at, *after = f->planes[2] + at;
    const uint8_t *over = now - w, *under = now + w;

    for (size_t x = 0; x < w; x++) {
        const uint8_t above = over[x], below = under[x];

        if (distance(now[x], before[x]) < MOTION && distance(now[x], after[x]) < MOTION) continue;
        s->moving++;
        s->within += mismatch(above, now[x], below);
        /* With the top field first the other lines of now are nearer to after's top and to before's bottom. */
        if (y % 2 == 0) {
            s->far_top += mismatch(above, before[x], below);
            s->far_bottom += mismatch(above, after[x], below);
        } else {
            s->far_top += mismatch(above, after[x], below);
            s->far_bottom += mismatch(above, before[x], below);
        }
    }
}

/* Is one field of the picture in the middle that of the picture before? */
static repeat find_repeat(const vpi_fields *f)
{
    uint64_t change[2] = { 0 };

    for (uint32_t y = 0; y < f->height; y++) {
        const uint8_t *before = f->planes[0] + (size_t)y * f->width, *now = before;

        now = f->planes[1] + (size_t)y * f->width;
        for (uint32_t x = 0; x < f->width; x++) change[y % 2] += distance(now[x], before[x]);
    }
    if (change[0] * REPEATED < change[1]) return REPEAT_TOP;
    if (change[1] * REPEATED < change[0]) return REPEAT_BOTTOM;
    return REPEAT_NONE;
}

/* 1: the band is combed and its top field the earlier one, -1: the bottom one. */
static int order_of_band(const vpi_fields *f, const sums *band)
{
    uint64_t far = VPI_MAX(band->far_top, band->far_bottom), near = VPI_MIN(band->far_top, band->far_bottom);
    uint64_t least = VPI_MAX((uint64_t)f->width * BAND_ROWS / BAND_SHARE, (uint64_t)MOVING_LEAST);

    if (band->moving < least || far * 100 <= near * BAND_APART || near * 100 > band->within * WITHIN)
        return 0;
    return band->far_top > band->far_bottom ? 1 : -1;
}

static void add_band(sums *s, const sums *band)
{
    s->far_top += band->far_top;
    s->far_bottom += band->far_bottom;
    s->within += band->within;
    s->moving += band->moving;
}

static void look(vpi_fields *f)
{
    sums s = { 0 }, band = { 0 };
    uint64_t far, near, least;
    bool moves, part[3] = { false, false, false };

    for (uint32_t y = 1; y + 1 < f->height; y++) {
        add_row(f, y, &band);
        if (y % BAND_ROWS && y + 2 < f->height) continue;
        part[1 + order_of_band(f, &band)] = true;
        add_band(&s, &band);
        memset(&band, 0, sizeof(band));
    }
    f->r.pictures++;
    least = VPI_MAX((uint64_t)f->width * f->height / MOVING_SHARE, (uint64_t)MOVING_LEAST);
    moves = s.moving >= least;
    if (f->run < VPI_FIELDS_RUN) f->repeats[f->run++] = moves ? (uint8_t)find_repeat(f) : REPEAT_NONE;
    if (!moves) return;
    f->moved++;
    f->r.moving++;
    far = VPI_MAX(s.far_top, s.far_bottom);
    near = VPI_MIN(s.far_top, s.far_bottom);
    if (far * 100 > near * APART && near * 100 <= s.within * WITHIN) {
        if (s.far_top > s.far_bottom)
            f->r.top++;
        else
            f->r.bottom++;
    } else if (near * 100 > s.within * WITHIN) {
        f->r.whole++;
        if (part[2] && !part[0]) f->r.part_top++;
        if (part[0] && !part[2]) f->r.part_bottom++;
    }
}

void vpi_fields_add(vpi_fields *f, vpi_scan_order flag)
{
    uint8_t *oldest;

    if (flag == VPI_SCAN_TOP_FIRST)
        f->r.flagged_top++;
    else if (flag == VPI_SCAN_BOTTOM_FIRST)
        f->r.flagged_bottom++;
    else
        f->r.flagged_whole++;
    if (f->held < 3) f->held++;
    if (f->held == 3) look(f);
    oldest = f->planes[0];
    f->planes[0] = f->planes[1];
    f->planes[1] = f->planes[2];
    f->planes[2] = oldest;
}

/* Repeats of top and bottom take turns, two and three pictures apart. */
static bool run_is_telecine(const vpi_fields *f)
{
    uint32_t repeats = 0, good = 0, last = 0, gap = 0;

    for (uint32_t i = 0; i < f->run; i++) {
        if (f->repeats[i] == REPEAT_NONE) continue;
        if (repeats && f->repeats[i] != f->repeats[last]) {
            uint32_t now = i - last;

            if ((now == 2 || now == 3) && (!gap || gap + now == PULLDOWN)) good++;
            gap = now;
        }
        last = i;
        repeats++;
    }
    return repeats >= REPEATS_LEAST && good * 5 >= (repeats - 1) * 4 && repeats * PULLDOWN >= f->run;
}

void vpi_fields_cut(vpi_fields *f)
{
    if (f->moved >= RUN_LEAST) {
        if (run_is_telecine(f))
            f->r.telecine_runs++;
        else
            f->r.other_runs++;
    }
    f->held = f->run = f->moved = 0;
}

vpi_scan_order vpi_fields_decide(const vpi_fields_result *r, vpi_scan_order declared)
{
    uint32_t flagged = r->flagged_top + r->flagged_bottom, combed = r->top + r->bottom,
             all = combed + r->whole;
    uint32_t many = VPI_MAX(r->top, r->bottom), few = VPI_MIN(r->top, r->bottom);
    vpi_scan_order flag = declared, seen = r->top >= r->bottom ? VPI_SCAN_TOP_FIRST : VPI_SCAN_BOTTOM_FIRST;
    bool sure = many >= few * ORDER_SURE, parts;
    uint32_t least;

    if (flagged * 2 > r->flagged_whole)
        flag = r->flagged_top >= r->flagged_bottom ? VPI_SCAN_TOP_FIRST : VPI_SCAN_BOTTOM_FIRST;
    if (all < LOOKED_LEAST) return flag;
    if (flag != VPI_SCAN_PROGRESSIVE) {
        many = VPI_MAX(r->part_top, r->part_bottom);
        few = VPI_MIN(r->part_top, r->part_bottom);
        parts = many * 100 >= r->moving * PART_FLAGGED && many >= few * ORDER_SURE;
        if (parts && combed * 100 < all * COMBED_FLAGGED)
            return r->part_top > r->part_bottom ? VPI_SCAN_TOP_FIRST : VPI_SCAN_BOTTOM_FIRST;
        if (combed * 100 < all * COMBED_FLAGGED && r->whole * 100 >= r->moving * WHOLE_FLAGGED)
            return VPI_SCAN_PROGRESSIVE;
        return sure ? seen : flag;
    }
    least = r->rows < SMALL_ROWS ? COMBED_SMALL : COMBED_PLAIN;
    return sure && combed * 100 >= all * least ? seen : VPI_SCAN_PROGRESSIVE;
}

bool vpi_fields_parts(const vpi_fields_result *r, vpi_scan_order decided)
{
    uint32_t flagged = r->flagged_top + r->flagged_bottom, combed = r->top + r->bottom;

    return decided == VPI_SCAN_PROGRESSIVE && flagged > 0 && flagged * 2 <= r->flagged_whole &&
           combed * PARTS_COMBED >= flagged;
}

bool vpi_fields_telecine(const vpi_fields_result *r)
{
    return r->telecine_runs > r->other_runs;
}
