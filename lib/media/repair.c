/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One clock out of several: recordings that were put one behind the other, or whose clock was set anew, tell times
 * that jump. All tracks of a file share its clock, so a jump that one shows holds for all from the same byte on:
 * sound and picture stay together. What is found while the file is scanned is a list of (byte, shift); applying it
 * needs no state, so that every reader of the file sees the same times.
 */
#include "media/repair_int.h"

#define REPAIRS_MAX 10000u
/* Decoding times never run back; so much is not jitter of a writer, or (exact) no rounding of a page's end. */
#define BACK_DTS_MS 1000
#define BACK_EXACT_MS 100
#define BACK_PTS_MS 10000
#define FORWARD_S 10 /* a clock that may jump: as long without any packet of any track is a jump */
#define SAME_S 2     /* how far tracks of one recording begin from each other */
#define TIME_MAX ((int64_t)1 << 60)

typedef struct clock_of {
    bool any;
    bool by_dts;
    int64_t last; /* continuous time, 1/90000 s */
    int64_t step; /* of the last packet */
    int64_t end;  /* of what is shown, 1/90000 s of continuous time */
    int64_t position;
    int64_t shift; /* of the last packet */
} clock_of;

struct vpi_repairer {
    clock_of *clocks;
    size_t count;
    bool forward, exact;
    vpi_repair *list;
    size_t used, cap;
    int64_t step; /* of the track that showed the last jump */
    uint64_t found;
    int64_t first_at, first_by;
};

vpi_repairer *vpi_repairer_new(size_t streams, bool jumps_forward, bool exact)
{
    vpi_repairer *r = vpi_calloc(1, sizeof(*r));

    if (!r) return NULL;
    r->clocks = vpi_calloc(streams, sizeof(*r->clocks));
    if (!r->clocks) {
        vpi_free(r);
        return NULL;
    }
    r->count = streams;
    r->forward = jumps_forward;
    r->exact = exact;
    return r;
}

vpi_repairer *vpi_repairer_free(vpi_repairer *r)
{
    if (!r) return NULL;
    vpi_free(r->list);
    vpi_free(r->clocks);
    vpi_free(r);
    return NULL;
}

int64_t vpi_repair_shift(const vpi_repair *list, size_t count, int64_t position)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (list[mid].position <= position)
            low = mid + 1;
        else
            high = mid;
    }
    return low ? list[low - 1].shift : 0;
}

int64_t vpi_repair_ticks(int64_t shift, vpi_rational tb)
{
    return vpi_rescale(shift, tb.den, 90000 * tb.num, VPI_NEAREST);
}

static int64_t clock90(int64_t ticks, vpi_rational tb)
{
    return vpi_rescale(ticks, 90000 * tb.num, tb.den, VPI_NEAREST);
}

/* Nothing of any track for so long before t? A single track may just pause. */
static bool all_silent(const vpi_repairer *r, int64_t t)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->clocks[i].any && t - r->clocks[i].last < FORWARD_S * 90000) return false;
    return true;
}

/* Where a track begins, or goes on: behind its last packet, or where the others are by now. */
static bool wanted_at(const vpi_repairer *r, const clock_of *c, int64_t *wanted)
{
    bool any = c->any;

    *wanted = c->last + c->step;
    for (size_t i = 0; !c->any && i < r->count; i++) {
        if (!r->clocks[i].any || (any && r->clocks[i].last <= *wanted)) continue;
        *wanted = r->clocks[i].last;
        any = true;
    }
    return any;
}

static bool is_jump(const vpi_repairer *r, const clock_of *c, bool by_dts, int64_t t, int64_t wanted)
{
    int64_t back = !c->by_dts || !by_dts ? BACK_PTS_MS : r->exact ? BACK_EXACT_MS : BACK_DTS_MS;
    int64_t by = t - c->last;

    /* A track that begins late; where clocks jump, all are interleaved. */
    if (!c->any) return r->forward && t - wanted < -SAME_S * 90000;
    if (by < -back * 90) return true;
    return r->forward && by > FORWARD_S * 90000 && by > 2 * c->step && all_silent(r, t);
}

/* A jump that another track showed first, a little behind this byte: it begins here already. */
static bool is_known(vpi_repairer *r, int64_t position, int64_t time, int64_t wanted)
{
    vpi_repair *last = r->used ? &r->list[r->used - 1] : NULL;
    int64_t off;

    if (!last || last->position <= position) return false;
    if (r->used > 1 && r->list[r->used - 2].position >= position) return false;
    off = time - last->shift - wanted;
    if (off < -SAME_S * 90000 || off > SAME_S * 90000) return false;
    last->position = position;
    return true;
}

/*
 * The first packet of a track behind a jump that another one showed, whose recording had ended before that of this
 * track: all of what follows is moved on, so that nothing is shown at once with what came before. In whole steps, which
 * keep a grid of pictures; less than one is the length of the last frame of sound. Returns by how much.
 */
static int64_t move_on(vpi_repairer *r, const clock_of *c, int64_t shift, int64_t shown)
{
    int64_t over = c->end - shown, step = VPI_MAX(r->step, 1);

    if (!c->any || !r->used || shift == c->shift || shift != r->list[r->used - 1].shift) return 0;
    if (over <= VPI_MAX(r->step, c->step) || over > FORWARD_S * 90000) return 0;
    over = (over + step - 1) / step * step;
    r->list[r->used - 1].shift -= over;
    return over;
}

static bool add(vpi_repairer *r, int64_t position, int64_t shift, int64_t at, int64_t by)
{
    if (r->used && r->list[r->used - 1].position >= position) {
        r->list[r->used - 1].shift = shift;
        return true;
    }
    if (r->used >= REPAIRS_MAX) return true; /* the last one stays: damage, not a clock */
    if (!VPI_GROW(r->list, r->used, r->cap)) return false;
    r->list[r->used++] = (vpi_repair){ .position = position, .shift = shift };
    if (r->found++ == 0) {
        r->first_at = at;
        r->first_by = by;
    }
    return true;
}

/* From decoding to showing; 0 where the file does not tell, or nothing sensible. */
static int64_t delay_of(const vpi_repair_packet *p, int64_t time)
{
    int64_t shown = p->has_dts && p->has_pts ? clock90(p->pts, p->tb) : time;

    return shown < time || shown > TIME_MAX || shown - time > SAME_S * 90000 ? 0 : shown - time;
}

/*
 * What of a recording is put behind the one before. Times below 0 are its decoder's to begin with (priming of Opus,
 * AAC), which nobody hears; those of a clock that begins anywhere mean nothing.
 */
static int64_t begin_of(const vpi_repairer *r, const vpi_repair_packet *p, int64_t time)
{
    return (r->exact || !r->forward) && p->has_pts && p->pts < 0 ? time - clock90(p->pts, p->tb) : time;
}

bool vpi_repairer_see(vpi_repairer *r, const vpi_repair_packet *p, int64_t *shift)
{
    clock_of *c = &r->clocks[p->stream];
    int64_t position = p->position >= 0 ? p->position : c->position, time, t, wanted;
    int64_t delay, begin, by;

    *shift = vpi_repair_shift(r->list, r->used, position);
    c->position = position;
    if (!p->has_dts && !p->has_pts) return true;
    time = clock90(p->has_dts ? p->dts : p->pts, p->tb);
    if (time > TIME_MAX || time < -TIME_MAX) return true;
    t = time - *shift;
    delay = delay_of(p, time);
    begin = begin_of(r, p, time);
    if (wanted_at(r, c, &wanted) && is_jump(r, c, p->has_dts, t, wanted)) {
        if (!is_known(r, position, begin, wanted)) {
            if (!add(r, position, begin - wanted, wanted, t - wanted)) return false;
            r->step = c->step;
            c->shift = r->list[r->used - 1].shift;
        }
        *shift = vpi_repair_shift(r->list, r->used, position);
        t = time - *shift;
    }
    by = move_on(r, c, *shift, begin - *shift + delay);
    *shift -= by;
    t += by;
    c->shift = *shift;
    if (p->duration > 0)
        c->step = clock90(p->duration, p->tb);
    else if (c->any && t > c->last && t - c->last < 90000)
        c->step = t - c->last;
    c->end = c->any ? VPI_MAX(c->end, t + delay + c->step) : t + delay + c->step;
    c->last = t;
    c->by_dts = p->has_dts;
    c->any = true;
    return true;
}

uint64_t vpi_repairer_result(vpi_repairer *r, vpi_repair **list, size_t *count, int64_t *at_us,
                             int64_t *by_us)
{
    *list = r->list;
    *count = r->used;
    *at_us = vpi_rescale(r->first_at, 100, 9, VPI_NEAREST);
    *by_us = vpi_rescale(r->first_by, 100, 9, VPI_NEAREST);
    r->list = NULL;
    r->used = r->cap = 0;
    return r->found;
}
