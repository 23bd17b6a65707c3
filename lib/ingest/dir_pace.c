/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ingest/dir_pace.h"

#include "base/common.h"

#define MIB (1u << 20)
#define LEAST_SIZE (MIB / 4) /* smaller writes say nothing */
#define MOST_US 1000000      /* one that stood still is no measure either */
#define RUNNING 2u           /* keep a disk busy */
#define THROUGH_US 250       /* until it is known, and where it tends to: what was dear once is tried again */
#define REST_US 500          /* of a processor, that 1 MiB costs besides: to receive and to hash it */
#define WEIGHT 8             /* of the past against a new measure */
#define FORGET 128           /* writes past the cache */

bool vpi_pace_through(const vpi_pace *pace, unsigned running)
{
    unsigned past = atomic_load_explicit(&pace->past_us, memory_order_relaxed);
    unsigned through = atomic_load_explicit(&pace->through_us, memory_order_relaxed);

    if (running < RUNNING) return false;
    return past > REST_US + 2 * (through ? through : THROUGH_US);
}

static unsigned mean(unsigned old, unsigned now, unsigned weight)
{
    return old ? (unsigned)(((uint64_t)old * (weight - 1) + now + weight / 2) / weight) : now;
}

/* Two that note at once lose one of the measures; there will be others. */
static void note(atomic_uint *at, int64_t us, unsigned weight)
{
    unsigned old = atomic_load_explicit(at, memory_order_relaxed);
    unsigned now = (unsigned)VPI_MIN(VPI_MAX(us, 1), MOST_US);

    atomic_store_explicit(at, mean(old, now, weight), memory_order_relaxed);
}

void vpi_pace_past_took(vpi_pace *pace, size_t size, int64_t us, unsigned running)
{
    if (size < LEAST_SIZE || us < 0 || us > MOST_US) return;
    note(&pace->past_us, us * (MIB / 1024) / (int64_t)(size / 1024) / VPI_MAX(running, 1u), WEIGHT);
    if (atomic_load_explicit(&pace->through_us, memory_order_relaxed))
        note(&pace->through_us, THROUGH_US, FORGET);
}

void vpi_pace_through_took(vpi_pace *pace, size_t size, int64_t us)
{
    if (size < LEAST_SIZE || us < 0 || us > MOST_US) return;
    note(&pace->through_us, us * (MIB / 1024) / (int64_t)(size / 1024), WEIGHT);
}
