/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/holes_int.h"

#define HOLE_US 250000

/* Well inside: a picture at an end may be the last before or the first behind. */
static bool within(const vpi_hole *hole, int64_t at)
{
    int64_t margin = (hole->to - hole->from) / 4;

    return at > hole->from + margin && at < hole->to - margin;
}

static void close_hole(vpi_holes *h, size_t i, bool is_one)
{
    const vpi_hole *hole = &h->open[i];

    if (is_one) {
        if (h->count++ == 0) h->first = hole->from;
        h->total += hole->to - hole->from;
    }
    memmove(h->open + i, h->open + i + 1, (--h->open_count - i) * sizeof(*h->open));
}

void vpi_holes_picture(vpi_holes *h, int64_t at)
{
    h->pictures[h->picture_count++ % VPI_HOLES_PICTURES] = at;
    h->picture_last = h->any_picture ? VPI_MAX(h->picture_last, at) : at;
    h->any_picture = true;
    for (size_t i = h->open_count; i-- > 0;) {
        if (within(&h->open[i], at))
            close_hole(h, i, false);
        else if (at >= h->open[i].to)
            close_hole(h, i, true);
    }
}

void vpi_holes_sound(vpi_holes *h, int64_t from, int64_t to)
{
    const vpi_hole hole = { h->sound_end, from };
    bool is_one = h->any_sound && from - h->sound_end >= HOLE_US;

    h->sound_end = h->any_sound ? VPI_MAX(h->sound_end, to) : to;
    h->any_sound = true;
    for (size_t i = 0; is_one && i < VPI_MIN(h->picture_count, (uint64_t)VPI_HOLES_PICTURES); i++)
        is_one = !within(&hole, h->pictures[i]);
    if (!is_one) return;
    if (h->open_count == VPI_HOLES_OPEN) close_hole(h, 0, false);
    h->open[h->open_count++] = hole;
    if (h->any_picture && h->picture_last >= hole.to) close_hole(h, h->open_count - 1, true);
}

void vpi_holes_finish(vpi_holes *h)
{
    /* Behind the last picture sound is alone, and may pause. */
    while (h->open_count) close_hole(h, 0, !h->any_picture || h->picture_last > h->open[0].from);
}
