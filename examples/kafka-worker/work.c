/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kafka_worker.h"

/* The worker: a task of any title, wherever its source, work store and output can be reached. */

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
    if (st < 0 || st == VP_AGAIN) return st; /* AGAIN: another worker has its lease, and may yet die */
    st = order_send(&h->bus, &sent, TOPIC_DONE, o->json, o->request, &at, err);
    return st < 0 ? st : bus_wait(&h->bus, &sent, err);
}

int cmd_work(const options *o)
{
    static const role worker = { TOPIC_TASKS, TOPIC_TASKS_RETRY, "workers", NULL, run_task };
    return loop_run(o, &worker);
}
