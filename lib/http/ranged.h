/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_HTTP_RANGED_H
#define VPI_HTTP_RANGED_H

/* A source whose bytes are fetched by ranges from somewhere else: its blocks, and reading ahead. Needs no libcurl. */

#include "io/io.h"

#define VPI_RANGED_BLOCK ((size_t)1 << 20)
#define VPI_RANGED_BLOCKS 16u /* so that a source takes 16 MiB at most */
#define VPI_RANGED_FLIGHT 8u  /* fetches at a time */
#define VPI_RANGED_IDENTITY 160u

/*
 * One range to fetch. identity and total are those of the first answer, "" and VP_SIZE_UNKNOWN before: then the range
 * may go beyond the end, and begins at 0. Where a server shows another identity or size the source finds it by itself:
 * CONFLICT SOURCE_CHANGED. Nothing of it changes until vpi_fetch_done.
 */
typedef struct vpi_fetch {
    uint64_t offset;
    size_t size; /* 1 to VPI_RANGED_BLOCK */
    uint8_t *to;
    char identity[VPI_RANGED_IDENTITY];
    uint64_t total;
    bool probe; /* one byte, and no condition: is the identity still the same? */
    void *own;  /* own_size bytes of the fetcher's, zeroed at first, kept from fetch to fetch */
} vpi_fetch;

typedef struct vpi_ranged_ops {
    size_t own_size;
    /*
     * Fetches without blocking; trying again is its own business. A failure comes here or by vpi_fetch_done, never by
     * both. From threads that read, several at a time for different fetches; with no lock held.
     */
    vp_status (*start)(void *user, vpi_fetch *fetch, vp_error *err);
    /* vpi_fetch_done comes soon, perhaps on this thread. Nothing for a fetch that does not run. */
    void (*stop)(void *user, vpi_fetch *fetch);
    void (*dispose)(void *user, void *own); /* of each own that a fetch had; may be NULL */
    void (*release)(void *user);            /* no fetch runs; also in a forked child */
} vpi_ranged_ops;

/* From any thread, with no lock held. VP_OK: got bytes lie in fetch->to; fewer than size only at the end of total. */
void vpi_fetch_done(vpi_fetch *fetch, vp_status status, uint64_t total, const char *identity, size_t got,
                    const vp_error *err);

/*
 * No I/O before the first use, which fetches the first block. Several threads may read. Whoever reads on is read ahead
 * for, up to four blocks; whoever jumps gets one block. user belongs to the source from VP_OK on.
 */
vp_status vpi_ranged_source(vp_context *context, const vpi_ranged_ops *ops, void *user, vp_source **out,
                            vp_error *err);

#endif
