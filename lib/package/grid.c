/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Borders of segments and fragments of a title: exact, from numbers alone. */

#include "package/package.h"

static uint64_t segment_ticks(const vpi_grid *grid)
{
    uint64_t ticks;

    return vpi_mul_u64(grid->fragment, grid->per_segment, &ticks) ? ticks : UINT64_MAX;
}

/*
 * Pieces of `length` that cover the total; a broken last piece of less than half a second belongs to the one
 * before it. A whole last piece stays also when pieces are that short.
 */
static uint64_t pieces(const vpi_grid *grid, uint64_t length)
{
    uint64_t count = grid->total / length, rest = grid->total % length;

    if (rest == 0) return count;
    return count > 0 && rest < (grid->timescale + (uint64_t)1) / 2 ? count : count + 1;
}

uint64_t vpi_grid_segments(const vpi_grid *grid)
{
    return pieces(grid, segment_ticks(grid));
}

uint64_t vpi_grid_start(const vpi_grid *grid, uint64_t n)
{
    return n < vpi_grid_segments(grid) ? n * segment_ticks(grid) : grid->total;
}

uint64_t vpi_grid_fragments(const vpi_grid *grid, uint64_t n)
{
    return n < vpi_grid_segments(grid) ? n * grid->per_segment : pieces(grid, grid->fragment);
}

uint64_t vpi_grid_fragment_start(const vpi_grid *grid, uint64_t f)
{
    return f < pieces(grid, grid->fragment) ? f * grid->fragment : grid->total;
}

uint64_t vpi_grid_audio(const vpi_grid *grid, uint64_t n, uint32_t sample_rate, uint32_t frame_samples,
                        uint64_t frames)
{
    uint64_t start;
    int64_t nearest;

    if (n >= vpi_grid_segments(grid)) return frames;
    start = vpi_grid_start(grid, n);
    nearest = vpi_rescale((int64_t)VPI_MIN(start, (uint64_t)INT64_MAX), sample_rate,
                          (int64_t)grid->timescale * frame_samples, VPI_NEAREST);
    return VPI_MIN((uint64_t)nearest, frames);
}
