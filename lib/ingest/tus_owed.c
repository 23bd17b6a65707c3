/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Uploads that are finished, or about to be, and whose request was closed before the host had said whether it takes
 * them. The client asks for the offset, finds all bytes there and does not come again: that request asks.
 */

#include "ingest/store_int.h"
#include "ingest/tus_int.h"

#define MOST 4096u /* the oldest are forgotten: nobody came for them */

struct vpi_tus_owed {
    vpi_tus_owed *next;
    char id[68];
};

/* The handler's list, locked; NULL: in a forked child nothing is kept. */
static vpi_tus_owed **enter(vp_tus *tus)
{
    if (vpi_forked(tus->ingest->fork_mark)) return NULL;
    pthread_mutex_lock(&tus->owed_lock);
    return &tus->owed;
}

static vpi_tus_owed **find(vpi_tus_owed **at, const char *id)
{
    while (*at && strcmp((*at)->id, id) != 0) at = &(*at)->next;
    return at;
}

static void take_out(vp_tus *tus, vpi_tus_owed **at)
{
    vpi_tus_owed *o = *at;

    *at = o->next;
    tus->owed_count--;
    vpi_free(o);
}

void vpi_tus_owe(vp_tus *tus, const char *id)
{
    vpi_tus_owed *o, **list = enter(tus);

    if (!list) return;
    o = *find(list, id) ? NULL : vpi_calloc(1, sizeof(*o));
    if (o) {
        vpi_strlcpy(o->id, id, sizeof(o->id));
        o->next = *list;
        *list = o;
        if (++tus->owed_count > MOST) {
            while ((*list)->next) list = &(*list)->next;
            take_out(tus, list);
        }
    }
    pthread_mutex_unlock(&tus->owed_lock);
}

bool vpi_tus_owes(vp_tus *tus, const char *id)
{
    vpi_tus_owed **list = enter(tus);
    bool found;

    if (!list) return false;
    found = *find(list, id) != NULL;
    pthread_mutex_unlock(&tus->owed_lock);
    return found;
}

void vpi_tus_settle(vp_tus *tus, const char *id)
{
    vpi_tus_owed **list = enter(tus), **at;

    if (!list) return;
    at = find(list, id);
    if (*at) take_out(tus, at);
    pthread_mutex_unlock(&tus->owed_lock);
}

void vpi_tus_owed_dispose(vp_tus *tus)
{
    while (tus->owed) take_out(tus, &tus->owed);
    if (!vpi_forked(tus->ingest->fork_mark)) pthread_mutex_destroy(&tus->owed_lock);
}
