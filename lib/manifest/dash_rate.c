/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manifest/dash_int.h"

#define MICROSECONDS 1000000u
#define BITS 8

/*
 * A bucket that holds the bits since the segment that is the worst to start from, less what the rate has
 * delivered since. All is scaled by timescale * 10^6, so that it is whole:
 * bits * timescale * 10^6 <= rate * (us * timescale + ticks * 10^6).
 */
static bool enough(const vpi_ptrack *t, size_t segments, uint64_t buffer_us, uint64_t rate)
{
    vpi_u128 level = 0, room = (vpi_u128)buffer_us * t->timescale * rate, drained = 0;
    size_t i;

    for (i = 0; i < segments; i++) {
        const vpi_segment *s = &t->segments[i];

        level = level > drained ? level - drained : 0;
        level += (vpi_u128)s->bytes * BITS * t->timescale * MICROSECONDS;
        if (level > room) return false;
        drained = (vpi_u128)s->ticks * MICROSECONDS * rate;
    }
    return true;
}

uint32_t vpi_dash_bandwidth(const vpi_ptrack *t, size_t segments, uint64_t buffer_us)
{
    uint64_t low = 1, high = UINT32_MAX;

    while (low < high) {
        uint64_t middle = (low + high) / 2;

        if (enough(t, segments, buffer_us, middle)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return (uint32_t)low;
}
