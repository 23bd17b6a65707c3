/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes of a large upload are gathered until they are worth a write of their own: a buffer that is aligned as direct
 * writes need it, from a few that the whole store has. Whoever does not fill one soon gives it back and writes each
 * piece as it comes, so that any number of slow uploads costs no more memory than those few buffers.
 *
 * What is gathered has been taken (`position`), but does not count before it is written (`counted`, the digests).
 */

#include <stdlib.h>
#include <sys/mman.h>

#include "base/fault.h"
#include "ingest/store_int.h"

#define SLABS 8u
#define SLAB_BUFFERS 2u
#define BUFFERS (SLABS * SLAB_BUFFERS)
#define PAGE 4096u
#define SOON_US 250000

#define DEFAULT_BYTES ((size_t)1 << 20)

_Atomic size_t vpi_gather_bytes = DEFAULT_BYTES;

struct vpi_gather_pool {
    pthread_mutex_t lock;
    size_t bytes; /* of a buffer */
    uint32_t slabs, idle;
    uint8_t *slab[SLABS];
    uint8_t *free[BUFFERS]; /* the last one is the one that was used last */
};

vpi_gather_pool *vpi_gather_pool_new(void)
{
    vpi_gather_pool *p = vpi_calloc(1, sizeof(*p));

    if (!p) return NULL;
    p->bytes = atomic_load(&vpi_gather_bytes);
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

vpi_gather_pool *vpi_gather_pool_free(vpi_gather_pool *p, bool forked)
{
    if (!p) return NULL;
    for (uint32_t i = 0; i < p->slabs; i++) free(p->slab[i]);
    if (!forked) pthread_mutex_destroy(&p->lock);
    vpi_free(p);
    return NULL;
}

/* Two buffers at once are one large page, which a disk takes as one piece. */
static void add_slab_synced(vpi_gather_pool *p)
{
    size_t bytes = SLAB_BUFFERS * p->bytes;
    uint8_t *slab;

    if (p->slabs == SLABS || vpi_fault_hit()) return;
    slab = aligned_alloc(p->bytes == DEFAULT_BYTES ? bytes : PAGE, bytes);
    if (!slab) return;
#ifdef MADV_HUGEPAGE
    if (p->bytes == DEFAULT_BYTES) (void)madvise(slab, bytes, MADV_HUGEPAGE);
#endif
    p->slab[p->slabs++] = slab;
    for (unsigned i = 0; i < SLAB_BUFFERS; i++) p->free[p->idle++] = slab + i * p->bytes;
}

/* NULL: none is left. */
static uint8_t *borrow(vpi_gather_pool *p)
{
    uint8_t *buffer;

    pthread_mutex_lock(&p->lock);
    if (p->idle == 0) add_slab_synced(p);
    buffer = p->idle > 0 ? p->free[--p->idle] : NULL;
    pthread_mutex_unlock(&p->lock);
    return buffer;
}

void vpi_gather_return_synced(vp_upload *upload)
{
    vpi_gather_pool *p = upload->ingest->gather;
    uint8_t *buffer = upload->gather.data;

    upload->gather.data = NULL;
    upload->gather.have = 0;
    if (!buffer || vpi_forked(upload->ingest->fork_mark)) return;
    pthread_mutex_lock(&p->lock);
    p->free[p->idle++] = buffer;
    pthread_mutex_unlock(&p->lock);
}

/* ---- what is gathered ---- */

vp_status vpi_gather_flush_synced(vp_upload *upload, vp_error *err)
{
    size_t done = 0, have = upload->gather.have;
    const uint8_t *p;
    vp_status st;

    if (have == 0) return VP_OK;
    p = upload->gather.data + upload->gather.from;
    st = vpi_upload_write_synced(upload, upload->position - have, p, have, &done, err);
    if (upload->check.running) vpi_digest_add(&upload->check.digest, p, done);
    /* The rest never came: it is sent again from where the file ends. */
    upload->position -= have - done;
    if (!upload->check.running) upload->counted = upload->position;
    vpi_gather_return_synced(upload);
    return st;
}

void vpi_gather_drop_synced(vp_upload *upload)
{
    upload->position -= upload->gather.have;
    vpi_gather_return_synced(upload);
}

/* A buffer for what comes at `position`, at the place that makes whole pages of the file whole pages in memory. */
static bool start(vp_upload *u, int64_t now)
{
    u->gather.data = borrow(u->ingest->gather);
    if (!u->gather.data) return false;
    u->gather.from = (size_t)(u->position % PAGE);
    u->gather.since_us = now;
    return true;
}

/* Whether it comes fast enough, as far as it is written piece by piece. */
static bool is_fast(vp_upload *u, size_t size, int64_t now)
{
    if (!u->gather.slow) return true;
    if (u->gather.since_us == 0 || now - u->gather.since_us > SOON_US) {
        u->gather.since_us = now;
        u->gather.came = 0;
    }
    u->gather.came += size;
    u->gather.slow = u->gather.came < u->ingest->gather->bytes;
    return !u->gather.slow;
}

/* Whether this piece is gathered. VP_END: it is not. */
static vp_status choose(vp_upload *u, size_t size, vp_error *err)
{
    uint64_t limit = vpi_upload_limit(u);
    int64_t now;

    if (u->gather.have == 0 && limit - u->position < u->ingest->gather->bytes) return VP_END;
    now = vpi_now_us();
    if (u->gather.have > 0) {
        if (now - u->gather.since_us <= SOON_US) return VP_OK;
        VPI_TRY(vpi_gather_flush_synced(u, err));
        u->gather.slow = true;
        u->gather.since_us = 0;
    }
    if (u->rec.length == VP_SIZE_UNKNOWN && u->position < u->ingest->gather->bytes) return VP_END;
    return is_fast(u, size, now) && start(u, now) ? VP_OK : VP_END;
}

vp_status vpi_gather_add_synced(vp_upload *upload, const uint8_t *data, size_t size, size_t *done,
                                vp_error *err)
{
    size_t n, room;

    *done = 0;
    if (!upload->ingest->gather || upload->ingest->o.sync_bytes < upload->ingest->gather->bytes)
        return VP_END;
    while (*done < size) {
        vp_status st = choose(upload, size - *done, err);

        if (st != VP_OK) return st;
        room = upload->ingest->gather->bytes - upload->gather.from - upload->gather.have;
        n = VPI_MIN(size - *done, room);
        memcpy(upload->gather.data + upload->gather.from + upload->gather.have, data + *done, n);
        upload->gather.have += n;
        upload->position += n;
        *done += n;
        if (n == room) VPI_TRY(vpi_gather_flush_synced(upload, err));
    }
    return VP_OK;
}
