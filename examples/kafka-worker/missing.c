/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "kafka_worker.h"

/* {"video-0003":true,...} of ["video-0003",...] */
static json_t *name_set(const vp_bytes *text)
{
    json_t *names = json_loadb(vp_bytes_data(text), (size_t)vp_bytes_size(text), 0, NULL);
    json_t *set = json_object(), *name;
    size_t i;
    json_array_foreach (names, i, name) json_object_set_new(set, json_string_value(name), json_true());
    json_decref(names);
    return set;
}

vp_status publish(host *h, const title *t, json_t **missing, vp_error *err)
{
    vp_job_options j = VP_JOB_OPTIONS_INIT;
    vp_bytes *names = NULL;
    *missing = NULL;
    j.sink = t->sink;
    j.work = t->work;
    j.cancel = h->cancel;
    vp_status st = vp_plan_finish(h->context, t->plan, &j, NULL, &names, err);
    if (names) *missing = name_set(names);
    vp_bytes_unref(names);
    return st;
}

static bool waits_for_any(const json_t *task, const json_t *missing)
{
    json_t *need;
    size_t i;
    json_array_foreach (json_object_get(task, "needs"), i, need)
        if (json_object_get(missing, json_string_value(need))) return true;
    return false;
}

/* Only when they are sent: whoever dies before this sends them once more. */
static vp_status note_sent(vp_store *work, const json_t *names, vp_error *err)
{
    json_t *name;
    size_t i;
    vp_status st = VP_OK;
    json_array_foreach (names, i, name) {
        if (st >= 0) st = note_put(work, NOTE_SENT, json_string_value(name), err);
        if (st >= 0) note_forget(work, NOTE_TOLD, json_string_value(name));
    }
    return st;
}

vp_status send_missing(host *h, const title *t, const order *o, const json_t *missing, chooser is_chosen,
                       vp_error *err)
{
    const places at = { o->input, o->output, o->work };
    batch sent = { 0 };
    json_t *tasks = NULL, *notes = NULL, *task, *names = json_array();
    size_t i;
    vp_status st = plan_tasks(t->plan, &tasks, err);
    if (st >= 0) st = notes_list(t->work, &notes, err);
    json_array_foreach (tasks, i, task) {
        const char *name = json_string_value(json_object_get(task, "task"));
        if (st < 0 || !json_object_get(missing, name) || waits_for_any(task, missing)) continue;
        if (!is_chosen(o, notes, task, name)) continue;
        st = order_send(&h->bus, &sent, TOPIC_TASKS, task, o->request, &at, err);
        json_array_append_new(names, json_string(name));
    }
    vp_status there = bus_wait(&h->bus, &sent, st < 0 ? NULL : err);
    if (st >= 0) st = there;
    if (st >= 0) st = note_sent(t->work, names, err);
    json_decref(names);
    json_decref(notes);
    json_decref(tasks);
    return st;
}
