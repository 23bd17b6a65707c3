/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small uploads between their creation and their bytes, which mostly come with the next request: the file stays open
 * and the record in memory, so that nothing is looked up or read again. Whether anybody else had it meanwhile the file
 * itself tells (resume, dir_record.c).
 */

#include "ingest/dir_slot.h"

#define RECORD_MOST 1024u

void vpi_park_init(dir_store *d)
{
    pthread_mutex_init(&d->parked.lock, NULL);
}

void vpi_park_dispose(dir_store *d, bool forked)
{
    for (unsigned i = 0; i < DIR_PARKED; i++)
        if (d->parked.items[i]) vpi_dirs_dispose(d->parked.items[i]);
    if (!forked) pthread_mutex_destroy(&d->parked.lock);
}

void vpi_park_note(dir_item *it, const void *record, size_t size)
{
    if (it->base > 0 && size <= RECORD_MOST) vpi_buf_add(&it->record, record, size);
}

bool vpi_park(dir_item *it)
{
    dir_store *d = it->store;
    dir_item *old;

    if (it->record.size == 0 || it->record.failed || it->held || it->small || it->end != it->base ||
        vpi_forked(d->fork_mark))
        return false;
    /* Nobody has it open. */
    if (vpi_dirs_unlock_open(it) < 0) return false;
    pthread_mutex_lock(&d->parked.lock);
    old = d->parked.items[d->parked.next];
    d->parked.items[d->parked.next] = it;
    d->parked.next = (d->parked.next + 1) % DIR_PARKED;
    pthread_mutex_unlock(&d->parked.lock);
    if (old) vpi_dirs_dispose(old);
    return true;
}

dir_item *vpi_unpark(dir_store *d, const char *id)
{
    dir_item *found = NULL;

    pthread_mutex_lock(&d->parked.lock);
    for (unsigned i = 0; i < DIR_PARKED && !found; i++) {
        if (!d->parked.items[i] || strcmp(d->parked.items[i]->id, id) != 0) continue;
        found = d->parked.items[i];
        d->parked.items[i] = NULL;
    }
    pthread_mutex_unlock(&d->parked.lock);
    return found;
}
