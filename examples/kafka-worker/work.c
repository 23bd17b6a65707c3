/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "kafka_worker.h"

/* The worker: a task of any title, wherever its source, work store and output can be reached. */

#define MISSING_WAITS 10 /* each so many times that a task waits for another one, that one is sent again */

static bool is_needed(const order *o, const json_t *notes, const json_t *task, const char *name)
{
    json_t *need;
    size_t i;
    (void)notes;
    (void)task;
    json_array_foreach (json_object_get(o->json, "needs"), i, need) /* a message may hold anything */
        if (json_is_string(need) && !strcmp(json_string_value(need), name)) return true;
    return false;
}

/*
 * A task that this one needs was lost: its message, or what it made (the library has dropped its record then). No news
 * will come of it, so it is sent again, which is harmless if it is on its way.
 */
static void send_needed(host *h, const title *t, const order *o)
{
    json_t *missing = NULL;
    publish(h, t, &missing, NULL); /* asks; nothing can be published without this task */
    if (missing) send_missing(h, t, o, missing, is_needed, NULL);
    json_decref(missing);
}

static bool lacks_need(vp_status st, const order *o, const vp_error *err)
{
    if (st == VP_E_DATA) return !strcmp(err->reason, "CHECKSUM_MISMATCH");
    return st == VP_E_CONFLICT && !strcmp(err->reason, "TASKS_MISSING") &&
           o->waits % MISSING_WAITS == MISSING_WAITS - 1;
}

static vp_status run_task(host *h, const title *t, const order *o, vp_error *err)
{
    const places at = { o->input, o->output, o->work };
    batch sent = { 0 };
    vp_source *source = NULL;
    if (!t->plan) return VP_END; /* a late duplicate: the title is out */
    vp_status st = vp_source_file(h->context, o->input, &source, err);
    /* Returns when its objects are durable and its result is in the work store. END: it was there already. */
    if (st >= 0)
        st = vp_task_run(h->context, t->plan, o->task, source, t->work, t->sink, NULL, h->cancel, err);
    vp_source_unref(source);
    if (lacks_need(st, o, err)) send_needed(h, t, o);
    if (st < 0 || st == VP_AGAIN) return st; /* AGAIN: another worker has its lease, and may yet die */
    st = order_send(&h->bus, &sent, TOPIC_DONE, o->json, o->request, &at, err);
    return st < 0 ? st : bus_wait(&h->bus, &sent, err);
}

int cmd_work(const options *o)
{
    static const role worker = {
        .from = TOPIC_TASKS, .retry = TOPIC_TASKS_RETRY, .group = "workers", .run = run_task
    };
    return loop_run(o, &worker);
}
