/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kafka_worker.h"

/* ---- messages ---- */

static vp_status refuse(vp_error *err, const char *what)
{
    char text[128];
    snprintf(text, sizeof(text), "message: %s", what);
    return vp_error_set(err, VP_E_DATA, "INPUT_CORRUPT", 0, text);
}

vp_status order_parse(order *o, const void *data, size_t size, vp_error *err)
{
    json_error_t why;
    const struct {
        const char *name, **to;
    } fields[] = { { "plan", &o->plan },   { "task", &o->task },     { "request", &o->request },
                   { "input", &o->input }, { "output", &o->output }, { "work", &o->work } };
    *o = (order){ .json = data ? json_loadb(data, size, JSON_REJECT_DUPLICATES, &why) : NULL };
    if (!json_is_object(o->json)) return refuse(err, "not a JSON object");
    if (json_integer_value(json_object_get(o->json, "vodpipe")) != 1)
        return refuse(err, "not of this version");
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        *fields[i].to = json_string_value(json_object_get(o->json, fields[i].name));
        if (!*fields[i].to || !**fields[i].to) return refuse(err, fields[i].name);
    }
    return VP_OK;
}

void order_free(order *o)
{
    json_decref(o->json);
    *o = (order){ 0 };
}

vp_status order_send(bus *b, batch *sent, topic to, const json_t *task, const char *request, const places *at,
                     vp_error *err)
{
    char key[256];
    const char *plan = json_string_value(json_object_get(task, "plan"));
    const char *name = json_string_value(json_object_get(task, "task"));
    json_t *json = json_copy((json_t *)(uintptr_t)task);
    bool ok = plan && name && json_object_set_new(json, "request", json_string(request)) == 0 &&
              json_object_set_new(json, "input", json_string(at->input)) == 0 &&
              json_object_set_new(json, "output", json_string(at->output)) == 0 &&
              json_object_set_new(json, "work", json_string(at->work)) == 0;
    char *text = ok ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (!text) return vp_error_set(err, VP_E_ARG, NULL, 0, "a path is not UTF-8, or out of memory");
    /* Messages of one task have one key, so a duplicate comes to the worker that ran it, afterwards. */
    snprintf(key, sizeof(key), to == TOPIC_DONE ? "%s" : "%s/%s", plan, name);
    bus_send(b, sent, to, key, text, strlen(text), NULL);
    free(text);
    return VP_OK;
}

vp_status plan_tasks(const vp_plan *plan, json_t **tasks, vp_error *err)
{
    vp_bytes *text = NULL;
    *tasks = NULL;
    vp_status st = vp_plan_summary_json(plan, &text, err);
    if (st < 0) return st;
    json_t *summary = json_loadb(vp_bytes_data(text), (size_t)vp_bytes_size(text), 0, NULL);
    vp_bytes_unref(text);
    *tasks = json_incref(json_object_get(summary, "tasks"));
    json_decref(summary);
    return *tasks ? VP_OK : vp_error_set(err, VP_E_NOMEM, NULL, 0, "out of memory");
}

/* ---- titles ---- */

/* OK: OUT shows the title of this message. */
static vp_status check_published(const title *t, const order *o, vp_error *err)
{
    vp_bytes *text = NULL;
    vp_presentation *p = NULL;
    vp_presentation_info info;
    vp_presentation_info_init(&info, sizeof(info));
    vp_status st = vp_sink_get(t->sink, "presentation.json", PLAN_MAX, &text, err);
    if (st == VP_OK) st = vp_presentation_parse(vp_bytes_data(text), vp_bytes_size(text), &p, err);
    if (st == VP_OK) st = vp_presentation_get_info(p, &info, err);
    bool same = st == VP_OK && !strcmp(info.request, o->request);
    vp_presentation_unref(p);
    vp_bytes_unref(text);
    if (st < 0 || same) return st;
    return vp_error_set(err, VP_E_IO, "PLAN_MISSING", 0,
                        "no plan in the work store, no title in the output: are they mounted here?");
}

vp_status title_open(title *t, vp_context *context, const order *o, vp_error *err)
{
    vp_bytes *text = NULL;
    *t = (title){ 0 };
    vp_status st = vp_store_directory(context, o->work, &t->work, err);
    if (st >= 0) st = vp_sink_directory(context, o->output, &t->sink, err);
    if (st >= 0) st = vp_store_get(t->work, PLAN_NAME, PLAN_MAX, &text, err);
    if (st == VP_END) return check_published(t, o, err);
    if (st >= 0) st = vp_plan_parse(vp_bytes_data(text), vp_bytes_size(text), &t->plan, err);
    vp_bytes_unref(text);
    if (st >= 0 && strcmp(vp_plan_hash(t->plan), o->plan) != 0)
        st = vp_error_set(err, VP_E_CONFLICT, "PLAN_MISMATCH", 0, "the work store holds another plan");
    return st;
}

void title_close(title *t)
{
    vp_plan_unref(t->plan);
    vp_sink_unref(t->sink);
    vp_store_unref(t->work);
    *t = (title){ 0 };
}
