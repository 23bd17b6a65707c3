/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "package_int.h"

/* By how many pictures decoding is ahead of showing: the largest (decode position - presentation position). */
static size_t reorder_of(const vpi_sample *samples, size_t count, const uint64_t *sorted)
{
    size_t most = 0;

    for (size_t i = 0; i < count; i++) {
        size_t low = 0, high = count;

        while (low < high) {
            size_t mid = low + (high - low) / 2;

            if (sorted[mid] < (uint64_t)samples[i].pts) {
                low = mid + 1;
            } else {
                high = mid;
            }
        }
        if (i > low && i - low > most) most = i - low;
    }
    return most;
}

/*
 * Signed offsets from the sorted times would be exact too, and CMAF allows them (cmf2); but libavformat, and all that
 * is built on it, shows a fragmented track with negative offsets later by the largest of them (mov.c, dts_shift), which
 * puts sound and picture apart. So the pictures decoded ahead share the first picture's time, the others follow
 * `reorder` places behind, and the last one is decoded when it is shown, so that no sample reaches past the fragment.
 */
void vpi_decode_times(const vpi_sample *samples, size_t count, uint64_t *times)
{
    size_t reorder = reorder_of(samples, count, times);
    uint64_t first = times[0], gap;

    if (!reorder) return;
    gap = times[1] - first;
    if (gap <= reorder) return; /* the clock is too coarse: signed offsets it is */
    for (size_t i = count - 1; i > reorder; i--) times[i] = times[i - reorder];
    for (size_t i = 1; i <= reorder && i < count; i++) times[i] = first + i * gap / (reorder + 1);
    times[count - 1] = (uint64_t)samples[count - 1].pts;
}
