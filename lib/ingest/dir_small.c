/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bytes of a small upload, kept in memory until its record confirms them: then second slot and bytes, which follow
 * each other in the file, are one write past the page cache. A page in the cache costs several times its bytes: it is
 * found, copied to, noted, and written back by the sync. Only the first put of an upload goes so, and only while one of
 * a few buffers is left; else the bytes are written as they come.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/hash.h"
#include "ingest/dir_slot.h"

#define ROOM_MOST (2u * SLOT_PAGE)
#define BUFFER (ROOM_MOST + VPI_SMALL)

/* ---- buffers ---- */

static uint8_t *borrow(dir_store *d)
{
    uint8_t *p = NULL;

    pthread_mutex_lock(&d->small.lock);
    if (d->small.idle > 0) {
        p = d->small.free[--d->small.idle];
    } else if (d->small.made < DIR_SMALL && !vpi_fault_hit()) {
        p = aligned_alloc(SLOT_PAGE, BUFFER);
        d->small.made += p != NULL;
    }
    pthread_mutex_unlock(&d->small.lock);
    return p;
}

void vpi_small_return(dir_item *it)
{
    dir_store *d = it->store;

    if (!it->small || vpi_forked(d->fork_mark)) return;
    pthread_mutex_lock(&d->small.lock);
    d->small.free[d->small.idle++] = it->small;
    pthread_mutex_unlock(&d->small.lock);
    it->small = NULL;
    it->small_have = 0;
}

void vpi_small_init(dir_store *d)
{
    pthread_mutex_init(&d->small.lock, NULL);
}

void vpi_small_dispose(dir_store *d, bool forked)
{
    while (d->small.idle > 0) free(d->small.free[--d->small.idle]);
    if (!forked) pthread_mutex_destroy(&d->small.lock);
}

/* ---- bytes ---- */

/* Behind the second slot, where the file has nothing yet; the first holds the record. */
static bool may_keep(const dir_item *it)
{
    return it->base > 0 && it->slot == 0 && it->end == it->base && it->room <= ROOM_MOST &&
           !atomic_load_explicit(&it->store->indirect, memory_order_relaxed);
}

bool vpi_small_keep(dir_item *it, uint64_t offset, const void *data, size_t size)
{
    if (!it->small && offset == 0 && may_keep(it)) it->small = borrow(it->store);
    if (!it->small || offset > it->small_have || size > VPI_SMALL - offset) return false;
    memcpy(it->small + it->room + offset, data, size);
    it->small_have = (size_t)offset + size;
    return true;
}

int vpi_small_write(dir_item *it)
{
    int rc;

    if (!it->small) return 0;
    rc = vpi_slot_write_at(it->rec, it->small + it->room, it->small_have, it->base);
    if (rc < 0) return rc; /* still kept: they count for the caller */
    it->end = VPI_MAX(it->end, it->base + it->small_have);
    vpi_small_return(it);
    return 0;
}

static int write_past_cache(dir_item *it, size_t size)
{
    int rc = fcntl(it->rec, F_SETFL, O_DIRECT) == 0 ? 0 : -EINVAL;

    if (rc == 0) {
        rc = vpi_slot_write_at(it->rec, it->small, size, it->room);
        (void)fcntl(it->rec, F_SETFL, 0);
    }
    if (rc == -EINVAL) atomic_store(&it->store->indirect, true);
    return rc;
}

bool vpi_small_is_all(const dir_item *it, uint64_t size)
{
    return it->small && size > 0 && size == it->small_have && it->slot == 0;
}

int vpi_small_put(dir_item *it, const slot_head *h, slot *s)
{
    size_t size = it->room + it->small_have, whole = (size + SLOT_PAGE - 1) / SLOT_PAGE * SLOT_PAGE;
    int rc;

    s->bytes = (uint32_t)it->small_have;
    s->sum = it->summed == it->small_have ? it->sum : vpi_crc32c(0, it->small + it->room, it->small_have);
    it->sum = s->sum;
    it->summed = it->small_have;
    memset(it->small, 0, it->room);
    vpi_slot_form(it->small, h, s);
    /* Behind the bytes nothing is read; a file that goes on is written over or cut there. */
    memset(it->small + size, 0, whole - size);
    rc = write_past_cache(it, whole);
    if (rc == -EINVAL) rc = vpi_slot_write_at(it->rec, it->small, size, it->room);
    if (rc == 0) it->end = it->base + it->small_have;
    return rc;
}
