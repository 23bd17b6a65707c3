/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job_file.h"

/* plan, run and finish: the same work as publish, in pieces that any machine may take. */

#define PLAN_NAME "plan.json"
#define DOCUMENT_MAX ((uint64_t)256 << 20)

/* ---- plan ---- */

static vp_status make_ladder(const cli_options *o, const settings *set, const vp_media *media,
                             vp_ladder **out, vp_error *err)
{
    vp_ladder_options l = VP_LADDER_OPTIONS_INIT;
    if (set->ladder_document) {
        char *text = json_dumps(set->ladder_document, JSON_COMPACT);
        if (!text) return vp_error_set(err, VP_E_NOMEM, "NOMEM", 0, "out of memory");
        vp_status st = vp_ladder_parse(text, strlen(text), media, out, err);
        free(text);
        return st;
    }
    l.rungs = o->ladder;
    l.max_fps = o->max_fps;
    return vp_ladder_derive(media, &l, out, err);
}

static vp_status make_plan(session *s, const settings *set, vp_source *source, vp_plan **out, vp_error *err)
{
    const cli_options *o = s->options;
    vp_probe_options p = VP_PROBE_OPTIONS_INIT;
    vp_media_info info = VP_MEDIA_INFO_INIT;
    vp_media *media = NULL;
    vp_ladder *ladder = NULL;
    const char *name, *text;
    int64_t time_us = VP_TIME_UNKNOWN;
    p.full = 1;
    reporter_stage(&s->report, VP_STAGE_SCAN);
    vp_status st = vp_probe(s->context, source, &p, cli_cancel, &media, err);
    if (st >= 0) st = vp_media_get_info(media, &info, err);
    for (uint32_t i = 0; st >= 0 && i < info.warning_count; i++) {
        name = vp_media_warning(media, i, &text, &time_us);
        reporter_warning(&s->report, name, time_us, text);
    }
    if (st >= 0) reporter_stage(&s->report, VP_STAGE_SOLVE);
    if (st >= 0) st = make_ladder(o, set, media, &ladder, err);
    for (uint32_t i = 0; st >= 0 && i < vp_ladder_warning_count(ladder); i++) {
        name = vp_ladder_warning(ladder, i, &text);
        reporter_warning(&s->report, name, VP_TIME_UNKNOWN, text);
    }
    if (st >= 0) st = vp_plan_new(s->context, media, ladder, &set->transcode, out, err);
    vp_ladder_unref(ladder);
    vp_media_unref(media);
    return st;
}

/* The same plan may be written again; another one would make the finished tasks of the first worthless. */
static vp_status check_work(session *s, const vp_bytes *text, vp_error *err)
{
    vp_bytes *there = NULL;
    vp_plan *other = NULL;
    vp_status st = vp_store_get(s->work, PLAN_NAME, DOCUMENT_MAX, &there, err);
    bool same = there && vp_bytes_size(there) == vp_bytes_size(text) &&
                !memcmp(vp_bytes_data(there), vp_bytes_data(text), (size_t)vp_bytes_size(text));
    if (st == VP_OK && !same) {
        /* What is damaged is no plan of anybody: records of tasks name theirs themselves. */
        st = vp_plan_parse(vp_bytes_data(there), vp_bytes_size(there), &other, err);
        if (st >= 0)
            st = vp_error_set(err, VP_E_CONFLICT, "PLAN_MISMATCH", 0, "the work folder holds another plan");
        else if (st != VP_E_NOMEM)
            st = vp_store_remove(s->work, PLAN_NAME, err);
    }
    vp_plan_unref(other);
    vp_bytes_unref(there);
    return st < 0 ? st : VP_OK;
}

/* IVs of an encrypted plan are random: the plan of the same request that is there already stays the plan. */
static vp_status take_kept(session *s, vp_plan **plan, vp_error *err)
{
    vp_bytes *there = NULL;
    vp_plan *other = NULL;
    if (!s->options->encrypt) return VP_OK;
    vp_status st = vp_store_get(s->work, PLAN_NAME, DOCUMENT_MAX, &there, err);
    if (st == VP_OK && vp_plan_parse(vp_bytes_data(there), vp_bytes_size(there), &other, NULL) >= 0 &&
        !strcmp(vp_plan_request(other), vp_plan_request(*plan))) {
        vp_plan_unref(*plan);
        *plan = other;
        other = NULL;
    }
    vp_plan_unref(other);
    vp_bytes_unref(there);
    return st < 0 ? st : VP_OK;
}

/* Takes the place for the title, then keeps plan and job. What is refused leaves nothing behind. */
static vp_status keep_plan(session *s, const vp_plan *plan, vp_error *err)
{
    vp_bytes *text = NULL;
    char *job = job_file_text(s);
    vp_status st =
        job ? vp_plan_json(plan, &text, err) : vp_error_set(err, VP_E_NOMEM, "NOMEM", 0, "out of memory");
    if (st >= 0) st = check_work(s, text, err);
    /* A title that is published already is planned all the same: finish says ALREADY_DONE. */
    if (st >= 0) st = vp_plan_claim(s->context, plan, s->sink, s->options->force, err);
    if (st >= 0) st = vp_store_put(s->work, PLAN_NAME, vp_bytes_data(text), vp_bytes_size(text), err);
    if (st >= 0) st = vp_store_remove(s->work, JOB_NAME, err);
    if (st >= 0) st = vp_store_put(s->work, JOB_NAME, job, strlen(job), err);
    vp_bytes_unref(text);
    free(job);
    return st;
}

int cmd_plan(const cli_options *o)
{
    vp_error err = VP_ERROR_INIT;
    session s = { 0 };
    settings set = { 0 };
    vp_source *source = NULL;
    vp_plan *plan = NULL;
    vp_bytes *summary = NULL;
    session_init(&s, o);
    int status = settings_load(&set, o);
    if (status == EXIT_DONE) status = session_open(&s, o->args[1], o->work);
    if (status == EXIT_DONE) {
        vp_status st = session_input(&s, o->args[0], &source, &err);
        if (st >= 0) st = make_plan(&s, &set, source, &plan, &err);
        if (st >= 0) st = take_kept(&s, &plan, &err);
        if (st >= 0) st = vp_plan_summary_json(plan, &summary, &err);
        if (st >= 0) st = keep_plan(&s, plan, &err);
        if (st < 0)
            status = fail(o, st, &err);
        else
            print_bytes(summary);
        if (st < 0) session_forget_input(&s);
    }
    vp_bytes_unref(summary);
    vp_plan_unref(plan);
    vp_source_unref(source);
    session_close(&s);
    settings_free(&set);
    return status;
}

/* ---- run and finish: what `plan` left ---- */

typedef struct planned {
    session s;
    job_file job;
    vp_plan *plan;
    key_ring *keys;
} planned;

static vp_status read_plan(vp_store *work, vp_plan **plan, vp_bytes **job, vp_error *err)
{
    vp_bytes *text = NULL;
    vp_status st = vp_store_get(work, PLAN_NAME, DOCUMENT_MAX, &text, err);
    if (st == VP_OK) st = vp_plan_parse(vp_bytes_data(text), vp_bytes_size(text), plan, err);
    vp_bytes_unref(text);
    if (st == VP_OK) st = vp_store_get(work, JOB_NAME, DOCUMENT_MAX, job, err);
    if (st != VP_END) return st;
    return vp_error_set(err, VP_E_IO, "IO_ERROR", ENOENT,
                        "the work folder holds no plan; vodpipe plan writes one");
}

/* The work first: where OUT is, and on which server, is known only from what is in it. */
static int planned_open(planned *p, const cli_options *o)
{
    vp_error err = VP_ERROR_INIT;
    vp_bytes *job = NULL;
    *p = (planned){ 0 };
    session_init(&p->s, o);
    int status = session_open_work(&p->s, NULL, o->work);
    if (status != EXIT_DONE) return status;
    vp_status st = read_plan(p->s.work, &p->plan, &job, &err);
    status = st < 0 ? fail(o, st, &err) : job_file_parse(o, job, &p->job);
    vp_bytes_unref(job);
    if (status == EXIT_DONE) status = keys_load(o, &p->keys);
    if (status != EXIT_DONE) return status;
    p->s.remote.endpoint = p->job.endpoint;
    p->s.remote.region = p->job.region;
    p->s.remote.path_style = p->job.path_style;
    p->job.endpoint = p->job.region = NULL;
    status = session_open_out(&p->s, o->output ? o->output : p->job.output, p->job.gzip);
    p->s.report.work = p->s.work_path;
    return status;
}

static void planned_close(planned *p)
{
    vp_plan_unref(p->plan);
    keys_free(p->keys);
    session_close(&p->s);
    job_file_free(&p->job);
}

typedef struct task_report {
    reporter *report;
    int32_t stage;
} task_report;

static void on_progress(void *user, uint64_t done, uint64_t total)
{
    task_report *t = user;
    reporter_progress(t->report, t->stage, "frames", done, total, -1);
}

static void on_object(void *user, const vp_object_info *info)
{
    task_report *t = user;
    vp_event e;
    vp_event_init(&e, sizeof(e));
    e.kind = VP_EVENT_OBJECT;
    e.object_kind = info->kind;
    e.bytes = info->size;
    e.crc32c = info->crc32c;
    snprintf(e.key, sizeof(e.key), "%s", info->key);
    reporter_event(t->report, &e);
}

static int32_t stage_of(const vp_plan *plan, const char *task)
{
    for (uint32_t i = 0; i < vp_plan_task_count(plan); i++) {
        vp_task_info info;
        vp_task_info_init(&info, sizeof(info));
        if (vp_plan_get_task(plan, i, &info, NULL) < 0 || strcmp(info.name, task)) continue;
        return info.kind == VP_TASK_AUDIO   ? VP_STAGE_AUDIO
               : info.kind == VP_TASK_VIDEO ? VP_STAGE_ENCODE
                                            : VP_STAGE_ANALYSE;
    }
    return VP_STAGE_ENCODE;
}

static vp_status run_task(planned *p, vp_source *source, const char *name, vp_error *err)
{
    task_report report = { &p->s.report, stage_of(p->plan, name) };
    vp_task_options t = VP_TASK_OPTIONS_INIT;
    t.progress = on_progress;
    t.progress_user = &report;
    t.object = on_object;
    t.object_user = &report;
    t.keys = keys_provider(p->keys);
    reporter_stage(&p->s.report, report.stage);
    return vp_task_run(p->s.context, p->plan, name, source, p->s.work, p->s.sink, &t, cli_cancel, err);
}

/* The name of the task that was run comes into name; VP_END: there was none to run. */
static vp_status run_next(planned *p, vp_source *source, char name[64], vp_error *err)
{
    while (true) {
        vp_status st = vp_plan_next(p->plan, p->s.work, name, 64, err);
        if (st != VP_OK) return st < 0 ? st : VP_END; /* all are done, or others have what is left */
        st = run_task(p, source, name, err);
        if (st <= VP_OK) return st; /* END, AGAIN: another process was quicker, look for the next */
    }
}

int cmd_run(const cli_options *o)
{
    vp_error err = VP_ERROR_INIT;
    planned p;
    vp_source *source = NULL;
    char name[64] = "";
    int status = planned_open(&p, o);
    if (status == EXIT_DONE && p.job.cut && !o->input)
        status = usage_error(
            o, "--input is needed: INPUT of the plan is an address with what is secret in it, which "
               "is not kept");
    if (status == EXIT_DONE) {
        bool next = !strcmp(o->task, "next");
        if (!next) snprintf(name, sizeof(name), "%s", o->task);
        vp_status st = remote_source(&p.s.remote, o->input ? o->input : p.job.input, &source, &err);
        if (st >= 0) st = next ? run_next(&p, source, name, &err) : run_task(&p, source, name, &err);
        if (!next && st == VP_AGAIN)
            st = vp_error_set(&err, VP_E_CONFLICT, "ALREADY_RUNNING", 0, "another process runs it");
        if (st < 0) {
            status = fail(o, st, &err);
        } else {
            reporter_done(&p.s.report, vp_plan_version(p.plan), false);
            reporter_close(&p.s.report);
            print_line("%s", next && st == VP_END ? "none" : name);
        }
    }
    vp_source_unref(source);
    planned_close(&p);
    return status;
}

/* One name a line, for scripts. */
static void print_missing(const vp_bytes *missing)
{
    json_error_t why;
    json_t *names = json_loadb(vp_bytes_data(missing), (size_t)vp_bytes_size(missing), 0, &why), *name;
    size_t i;
    json_array_foreach (names, i, name) {
        if (json_is_string(name)) print_line("%s", json_string_value(name));
    }
    json_decref(names);
}

int cmd_finish(const cli_options *o)
{
    vp_error err = VP_ERROR_INIT;
    planned p;
    vp_presentation *presentation = NULL;
    vp_bytes *missing = NULL;
    char *script = NULL;
    int status = planned_open(&p, o);
    if (status == EXIT_DONE) {
        vp_job_options j = VP_JOB_OPTIONS_INIT;
        vp_transcode_options t = VP_TRANSCODE_OPTIONS_INIT;
        t.keys = keys_provider(p.keys);
        if (t.keys) j.transcode = &t;
        j.sink = p.s.sink;
        j.work = p.s.work;
        j.work_name = p.s.work_path;
        j.cancel = cli_cancel;
        j.on_event = reporter_event;
        j.event_user = &p.s.report;
        j.player = o->player || p.job.player;
        j.prune = o->prune || p.job.prune;
        j.force = o->force || p.job.force;
        if (j.player) j.player_script = script = player_script_load();
        vp_status st = vp_plan_finish(p.s.context, p.plan, &j, &presentation, &missing, &err);
        if (missing) print_missing(missing);
        if (st >= 0) vp_store_remove(p.s.work, JOB_NAME, NULL);
        if (st >= 0) vp_store_remove(p.s.work, SPOOL_NAME, NULL);
        status = st < 0 ? fail(o, st, &err) : session_done(&p.s, st, presentation);
    }
    free(script);
    vp_bytes_unref(missing);
    vp_presentation_unref(presentation);
    planned_close(&p);
    return status;
}
