/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "kafka_worker.h"

/* The finisher: for every task that is done, sends the tasks that waited for it, or publishes when it was the last. */

static vp_status announce(host *h, const order *o, vp_error *err)
{
    batch sent = { 0 };
    json_t *json = json_pack("{s:i, s:s, s:s, s:s, s:s}", "vodpipe", 1, "plan", o->plan, "request",
                             o->request, "output", o->output, "status", "published");
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (!text) return vp_error_set(err, VP_E_NOMEM, NULL, 0, "out of memory");
    bus_send(&h->bus, &sent, TOPIC_TITLES, o->plan, text, strlen(text), NULL);
    free(text);
    vp_status st = bus_wait(&h->bus, &sent, err);
    if (st >= 0) say("published %s", o->output);
    return st;
}

/* {"video-0003":true,...} of ["video-0003",...] */
static json_t *name_set(const void *text, uint64_t size)
{
    json_t *names = json_loadb(text, (size_t)size, 0, NULL), *set = json_object(), *name;
    size_t i;
    json_array_foreach (names, i, name) json_object_set_new(set, json_string_value(name), json_true());
    json_decref(names);
    return set;
}

/* Does the task wait for that one, and for none that is still missing? */
static bool freed_by(const json_t *task, const char *done, const json_t *missing)
{
    json_t *need;
    size_t i;
    bool waited = false;
    json_array_foreach (json_object_get(task, "needs"), i, need) {
        const char *name = json_string_value(need);
        if (json_object_get(missing, name)) return false;
        if (!strcmp(name, done)) waited = true;
    }
    return waited;
}

static vp_status send_freed(host *h, const title *t, const order *o, const json_t *missing, vp_error *err)
{
    const places at = { o->input, o->output, o->work };
    batch sent = { 0 };
    vp_bytes *text = NULL;
    json_t *task;
    size_t i;
    vp_status st = vp_plan_summary_json(t->plan, &text, err);
    if (st < 0) return st;
    json_t *summary = json_loadb(vp_bytes_data(text), (size_t)vp_bytes_size(text), 0, NULL);
    vp_bytes_unref(text);
    json_array_foreach (json_object_get(summary, "tasks"), i, task) {
        const char *name = json_string_value(json_object_get(task, "task"));
        if (st >= 0 && json_object_get(missing, name) && freed_by(task, o->task, missing))
            st = order_send(&h->bus, &sent, TOPIC_TASKS, task, o->request, &at, err);
    }
    json_decref(summary);
    vp_status there = bus_wait(&h->bus, &sent, st < 0 ? NULL : err);
    return st < 0 ? st : there;
}

static vp_status run_finish(host *h, const title *t, const order *o, vp_error *err)
{
    vp_job_options j = VP_JOB_OPTIONS_INIT;
    vp_bytes *names = NULL;
    /* Published before, but perhaps its finisher died before it could say so. */
    if (!t->plan) return announce(h, o, err);
    j.sink = t->sink;
    j.work = t->work;
    j.cancel = h->cancel;
    vp_status st = vp_plan_finish(h->context, t->plan, &j, NULL, &names, err);
    if (st >= 0) return announce(h, o, err);
    if (!names) return st; /* ALREADY_RUNNING: another finisher has the lease, and may yet die */
    json_t *missing = name_set(vp_bytes_data(names), vp_bytes_size(names));
    vp_bytes_unref(names);
    vp_error_init(err);
    /* A store that does not show yet what was put there (NFS without lookupcache=positive): look again later. */
    if (json_object_get(missing, o->task))
        st = VP_AGAIN;
    else
        st = send_freed(h, t, o, missing, err);
    json_decref(missing);
    return st;
}

int cmd_finish(const options *o)
{
    static const role finisher = { TOPIC_DONE, TOPIC_DONE_RETRY, "finishers", "finish", run_finish };
    return loop_run(o, &finisher);
}
