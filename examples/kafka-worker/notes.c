/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kafka_worker.h"

/* What this host keeps in the work store of a title, below kafka/; the sweep of vp_plan_finish() leaves it alone. */

#define NOTES "kafka/"

/* ---- attempts ---- */

static void attempt_name(const char *task, uint32_t number, char to[160])
{
    snprintf(to, 160, NOTES "attempt/%.100s/%u", task, number);
}

vp_status attempt_begin(attempt *a, vp_store *work, const char *task, uint32_t most, vp_error *err)
{
    char name[160], text[64];
    *a = (attempt){ .work = work, .task = task, .most = most };
    snprintf(name, sizeof(name), NOTES "run/%.100s", task);
    vp_status st = vp_store_lease(work, name, &a->lease, NULL, err);
    if (st != VP_OK) return st;
    for (uint32_t i = 1; i <= most; i++) {
        attempt_name(task, i, name);
        st = vp_store_put(work, name, "", 0, err); /* END: that number is taken */
        if (st == VP_OK) a->number = i;
        if (st != VP_END) return st;
    }
    a->number = most;
    snprintf(text, sizeof(text), "started %u times, and no worker came back", most);
    return vp_error_set(err, VP_E_LIMIT, "WORKER_LOST", 0, text);
}

void attempt_end(attempt *a, counting count)
{
    char name[160];
    uint32_t from = count == COUNT_NONE ? 1 : a->number, to = count == COUNT_NONE ? a->most : a->number;
    for (uint32_t i = from; a->lease && count != COUNT_IT && i && i <= to; i++) {
        attempt_name(a->task, i, name);
        vp_store_remove(a->work, name, NULL);
    }
    a->lease = vp_lease_release(a->lease);
}

/* ---- what finishers know of tasks ---- */

static void note_name(note which, const char *task, char to[160])
{
    snprintf(to, 160, "%s%.100s", which == NOTE_SENT ? NOTES "sent/" : NOTES "told/", task);
}

vp_status note_put(vp_store *work, note which, const char *task, vp_error *err)
{
    char name[160];
    note_name(which, task, name);
    vp_status st = vp_store_put(work, name, "", 0, err);
    return st == VP_END ? VP_OK : st;
}

void note_forget(vp_store *work, note which, const char *task)
{
    char name[160];
    note_name(which, task, name);
    vp_store_remove(work, name, NULL);
}

bool note_is(const json_t *notes, note which, const char *task)
{
    char name[160];
    note_name(which, task, name);
    return json_object_get(notes, name) != NULL;
}

static vp_status add_name(void *names, const vp_object_info *info)
{
    return json_object_set_new(names, info->key, json_true()) ? VP_E_NOMEM : VP_OK;
}

vp_status notes_list(vp_store *work, json_t **notes, vp_error *err)
{
    *notes = json_object();
    return vp_store_list(work, NOTES, add_name, *notes, err);
}

void notes_forget(vp_store *work)
{
    json_t *notes = NULL, *value;
    const char *name;
    notes_list(work, &notes, NULL);
    json_object_foreach (notes, name, value) vp_store_remove(work, name, NULL);
    json_decref(notes);
}
