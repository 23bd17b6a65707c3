/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "kafka_worker.h"

/* The finisher: for every task that is done, sends the tasks that waited for it, or publishes when it was the last. */

#define UNSEEN_WAITS                                                                                         \
    5 /* times that a done task whose record is not to be seen is looked for before it is sent again */
#define MOST_REFUSALS 2 /* times that a title is made before what does not pass verify is given up */

static vp_status announce(host *h, const title *t, const order *o, vp_error *err)
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
    if (st < 0) return st;
    notes_forget(t->work);
    say("published %s", o->output);
    return st;
}

/* Its needs are in now. Or it was done before, and is missing all the same: it was lost. */
static bool freed_or_lost(const order *o, const json_t *notes, const json_t *task, const char *name)
{
    if (!strcmp(name, o->task)) return o->waits >= UNSEEN_WAITS;
    if (note_is(notes, NOTE_TOLD, name)) return true;
    /* The producer has sent those that need none. */
    return json_array_size(json_object_get(task, "needs")) && !note_is(notes, NOTE_SENT, name);
}

/* What the tasks made does not pass. The library has dropped what it doubts, so that it is made anew; not for ever. */
static vp_status refused(const title *t)
{
    attempt a;
    vp_status st = attempt_begin(&a, t->work, "refused", MOST_REFUSALS, NULL);
    bool last = a.number >= MOST_REFUSALS;
    attempt_end(&a, last ? COUNT_NONE : COUNT_IT);
    return last ? VP_E_DATA : st < 0 ? st : VP_AGAIN;
}

static vp_status run_finish(host *h, const title *t, const order *o, vp_error *err)
{
    json_t *missing = NULL;
    /* Published before, but perhaps its finisher died before it could say so. */
    if (!t->plan) return announce(h, t, o, err);
    vp_status st = note_put(t->work, NOTE_TOLD, o->task, err);
    if (st < 0) return st;
    st = publish(h, t, &missing, err);
    if (st >= 0) return announce(h, t, o, err);
    if (st == VP_E_DATA) return refused(t);
    if (!missing) return st; /* ALREADY_RUNNING: another finisher has the lease, and may yet die */
    vp_error_init(err);
    st = send_missing(h, t, o, missing, freed_or_lost, err);
    /* A store that does not show yet what was put there (NFS without lookupcache=positive): look again later. */
    bool unseen = json_object_get(missing, o->task) && o->waits < UNSEEN_WAITS;
    json_decref(missing);
    return st >= 0 && unseen ? VP_AGAIN : st;
}

int cmd_finish(const options *o)
{
    static const role finisher = { .from = TOPIC_DONE,
                                   .retry = TOPIC_DONE_RETRY,
                                   .group = "finishers",
                                   .counted = "finish",
                                   .in_order = true,
                                   .run = run_finish };
    return loop_run(o, &finisher);
}
