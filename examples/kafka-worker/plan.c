/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kafka_worker.h"

/* The producer: plans a title, keeps the plan in the work store, sends the tasks that need no other. */

static vp_status make_plan(const options *o, vp_context *context, const char *input, vp_plan **plan,
                           vp_error *err)
{
    vp_probe_options probe = VP_PROBE_OPTIONS_INIT;
    vp_ladder_options rungs = VP_LADDER_OPTIONS_INIT;
    vp_source *source = NULL;
    vp_media *media = NULL;
    vp_ladder *ladder = NULL;
    probe.full = 1; /* a plan needs the whole index */
    rungs.rungs = o->ladder;
    vp_status st = vp_source_file(context, input, &source, err);
    if (st >= 0) st = vp_probe(context, source, &probe, NULL, &media, err);
    if (st >= 0) st = vp_ladder_derive(media, &rungs, &ladder, err);
    if (st >= 0) st = vp_plan_new(context, media, ladder, &o->transcode, plan, err);
    vp_ladder_unref(ladder);
    vp_media_unref(media);
    vp_source_unref(source);
    return st;
}

/* Planning again is harmless: the same plan, and tasks that are done are skipped. */
static vp_status keep_plan(vp_store *work, const vp_plan *plan, vp_error *err)
{
    vp_bytes *text = NULL, *there = NULL;
    vp_status st = vp_plan_json(plan, &text, err);
    if (st >= 0) st = vp_store_put(work, PLAN_NAME, vp_bytes_data(text), vp_bytes_size(text), err);
    if (st == VP_END) { /* the name was taken */
        st = vp_store_get(work, PLAN_NAME, PLAN_MAX, &there, err);
        if (st == VP_OK && (vp_bytes_size(text) != vp_bytes_size(there) ||
                            memcmp(vp_bytes_data(text), vp_bytes_data(there), (size_t)vp_bytes_size(text))))
            st = vp_error_set(err, VP_E_CONFLICT, "PLAN_MISMATCH", 0, "the work store holds another plan");
    }
    vp_bytes_unref(there);
    vp_bytes_unref(text);
    return st;
}

static vp_status send_tasks(bus *b, const vp_plan *plan, const places *at, vp_error *err)
{
    json_t *tasks = NULL, *task;
    size_t i, count = 0;
    batch sent = { 0 };
    vp_status st = plan_tasks(plan, &tasks, err);
    json_array_foreach (tasks, i, task) {
        /* The finisher sends the others when what they need is done. */
        if (st < 0 || json_array_size(json_object_get(task, "needs"))) continue;
        st = order_send(b, &sent, TOPIC_TASKS, task, vp_plan_request(plan), at, err);
        count++;
    }
    json_decref(tasks);
    vp_status there = bus_wait(b, &sent, st < 0 ? NULL : err);
    if (st >= 0) st = there;
    if (st >= 0) say("planned %s: %zu of %u tasks sent", vp_plan_hash(plan), count, vp_plan_task_count(plan));
    return st;
}

/* Absolute, as all machines name it. The folder is made. */
static char *folder_path(const char *path)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST) return NULL;
    return realpath(path, NULL);
}

int cmd_plan(const options *o)
{
    vp_error err = VP_ERROR_INIT;
    vp_context_options c = VP_CONTEXT_OPTIONS_INIT;
    vp_context *context = NULL;
    vp_store *work = NULL;
    vp_sink *sink = NULL;
    vp_plan *plan = NULL;
    bus b = { 0 };
    char *input = realpath(o->args[0], NULL), *output = folder_path(o->args[1]),
         *place = folder_path(o->args[2]);
    const places at = { input, output, place };
    vp_status st = VP_OK;
    c.threads = o->jobs;
    if (!input || !output || !place) st = vp_error_set(&err, VP_E_IO, "IO_ERROR", errno, strerror(errno));
    if (st >= 0) st = vp_context_new(&c, &context, &err);
    if (st >= 0) st = vp_store_directory(context, place, &work, &err);
    if (st >= 0) st = vp_sink_directory(context, output, &sink, &err);
    if (st >= 0) st = make_plan(o, context, input, &plan, &err);
    if (st >= 0) st = vp_plan_claim(context, plan, sink, 0, &err);
    if (st == VP_END) {
        say("published already: %s", output);
    } else if (st >= 0) {
        st = keep_plan(work, plan, &err);
        if (st >= 0 && !bus_open(&b, o)) st = vp_error_set(&err, VP_E_HOST, "KAFKA", 0, "no producer");
        if (st >= 0) st = send_tasks(&b, plan, &at, &err);
        bus_close(&b);
    }
    if (st < 0) complain("%s: %s", err.reason, err.message);
    vp_plan_unref(plan);
    vp_sink_unref(sink);
    vp_store_unref(work);
    vp_context_unref(context);
    free(place);
    free(output);
    free(input);
    return st < 0;
}

/* For anyone who reaches the work store: what the records of the tasks add up to, wherever these ran. */
int cmd_progress(const options *o)
{
    vp_error err = VP_ERROR_INIT;
    vp_context_options c = VP_CONTEXT_OPTIONS_INIT;
    vp_progress p = VP_PROGRESS_INIT;
    vp_context *context = NULL;
    vp_store *work = NULL;
    vp_plan *plan = NULL;
    vp_bytes *text = NULL;
    vp_status st = vp_context_new(&c, &context, &err);
    if (st >= 0) st = vp_store_directory(context, o->args[0], &work, &err);
    if (st >= 0) st = vp_store_get(work, PLAN_NAME, PLAN_MAX, &text, &err);
    if (st == VP_OK) st = vp_plan_parse(vp_bytes_data(text), vp_bytes_size(text), &plan, &err);
    if (st == VP_OK) st = vp_plan_progress(plan, work, &p, &err);
    if (st == VP_OK)
        say("%u.%u %%, %u of %u tasks", p.permille / 10, p.permille % 10, p.tasks_done, p.tasks_total);
    else if (st == VP_END)
        say("no plan in %s: not planned, or published", o->args[0]);
    else
        complain("%s: %s", err.reason, err.message);
    vp_bytes_unref(text);
    vp_plan_unref(plan);
    vp_store_unref(work);
    vp_context_unref(context);
    return st < 0;
}
