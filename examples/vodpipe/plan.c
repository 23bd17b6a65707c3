/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session.h"

/* plan, run and finish: the same work as publish, in pieces that any machine may take. */

#define PLAN_NAME "plan.json"
#define JOB_NAME "job.json"
#define DOCUMENT_MAX ((uint64_t)256 << 20)

/* ---- job.json: where INPUT and OUT are; no part of the plan ---- */

/* A path in UTF-8 as it is, another one as hex digits under "<name>_hex". */
static bool put_path(json_t *json, const char *name, const char *path)
{
    char field[32], *copy = utf8_copy(path);
    bool plain = copy && !strcmp(copy, path);
    free(copy);
    if (plain) return json_object_set_new(json, name, json_string(path)) == 0;
    char *hex = malloc(2 * strlen(path) + 1);
    if (!hex) return false;
    for (size_t i = 0; path[i]; i++) snprintf(hex + 2 * i, 3, "%02x", (unsigned char)path[i]);
    snprintf(field, sizeof(field), "%s_hex", name);
    bool ok = json_object_set_new(json, field, json_string(hex)) == 0;
    free(hex);
    return ok;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

static char *get_path(const json_t *json, const char *name)
{
    char field[32];
    const char *text = json_string_value(json_object_get(json, name));
    if (text) return strdup(text);
    snprintf(field, sizeof(field), "%s_hex", name);
    text = json_string_value(json_object_get(json, field));
    size_t n = text ? strlen(text) / 2 : 0;
    char *path = n ? malloc(n + 1) : NULL;
    for (size_t i = 0; path && i < n; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0 || (!high && !low)) {
            free(path);
            return NULL;
        }
        path[i] = (char)(high * 16 + low);
    }
    if (path) path[n] = 0;
    return path;
}

static char *job_document(const cli_options *o)
{
    char *input = absolute_path(o->args[0]), *output = absolute_path(o->args[1]), *text = NULL;
    json_t *json = json_pack("{s:i}", "vodpipe", 1);
    bool ok = json && input && output && put_path(json, "input", input) && put_path(json, "output", output);
    if (ok && o->player) ok = json_object_set_new(json, "player", json_true()) == 0;
    if (ok && o->prune) ok = json_object_set_new(json, "prune", json_true()) == 0;
    if (ok && o->force) ok = json_object_set_new(json, "force", json_true()) == 0;
    if (ok) text = json_dumps(json, JSON_INDENT(1));
    json_decref(json);
    free(input);
    free(output);
    return text;
}

typedef struct job_file {
    char *input, *output;
    bool player, prune, force;
} job_file;

static void job_file_free(job_file *j)
{
    free(j->input);
    free(j->output);
}

static bool known_field(const char *name)
{
    static const char *const fields[] = { "vodpipe",    "input",  "input_hex", "output",
                                          "output_hex", "player", "prune",     "force" };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (!strcmp(fields[i], name)) return true;
    return false;
}

static int job_file_parse(const cli_options *o, const vp_bytes *text, job_file *j)
{
    json_error_t why;
    json_t *json = json_loadb(vp_bytes_data(text), (size_t)vp_bytes_size(text), JSON_REJECT_DUPLICATES, &why),
           *value;
    const char *name;
    int status = EXIT_DONE;
    if (!json) return fail_text(o, "INPUT_CORRUPT", JOB_NAME ": line %d: %s", why.line, why.text);
    json_object_foreach (json, name, value) {
        if (!known_field(name))
            status = fail_text(o, "INPUT_CORRUPT", JOB_NAME ": unknown field \"%s\"", name);
    }
    if (status == EXIT_DONE && json_integer_value(json_object_get(json, "vodpipe")) != 1)
        status = fail_text(o, "VERSION", JOB_NAME ": not of this version");
    j->input = get_path(json, "input");
    j->output = get_path(json, "output");
    j->player = json_is_true(json_object_get(json, "player"));
    j->prune = json_is_true(json_object_get(json, "prune"));
    j->force = json_is_true(json_object_get(json, "force"));
    json_decref(json);
    if (status == EXIT_DONE && (!j->input || !j->output))
        status = fail_text(o, "INPUT_CORRUPT", JOB_NAME ": input or output is missing");
    return status;
}

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

/* Takes the place for the title, then keeps plan and job. What is refused leaves nothing behind. */
static vp_status keep_plan(session *s, const vp_plan *plan, vp_error *err)
{
    vp_bytes *text = NULL;
    char *job = job_document(s->options);
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
        vp_status st = vp_source_file(s.context, o->args[0], &source, &err);
        if (st >= 0) st = make_plan(&s, &set, source, &plan, &err);
        if (st >= 0) st = vp_plan_summary_json(plan, &summary, &err);
        if (st >= 0) st = keep_plan(&s, plan, &err);
        if (st < 0)
            status = fail(o, st, &err);
        else
            print_bytes(summary);
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

/* The store is opened twice: where OUT is, is known only from what is in it. */
static int planned_open(planned *p, const cli_options *o)
{
    vp_error err = VP_ERROR_INIT;
    vp_context *context = NULL;
    vp_store *work = NULL;
    vp_bytes *job = NULL;
    *p = (planned){ 0 };
    session_init(&p->s, o);
    vp_status st = context_open(o, &context, &err);
    if (st >= 0) st = vp_store_directory(context, o->work, &work, &err);
    if (st >= 0) st = read_plan(work, &p->plan, &job, &err);
    vp_store_unref(work);
    vp_context_unref(context);
    int status = st < 0 ? fail(o, st, &err) : job_file_parse(o, job, &p->job);
    vp_bytes_unref(job);
    if (status != EXIT_DONE) return status;
    status = session_open(&p->s, o->output ? o->output : p->job.output, o->work);
    p->s.report.work = p->s.work_path;
    return status;
}

static void planned_close(planned *p)
{
    vp_plan_unref(p->plan);
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
    vp_event e;
    vp_event_init(&e, sizeof(e));
    e.kind = VP_EVENT_PROGRESS;
    e.stage = t->stage;
    e.done = done;
    e.total = total;
    e.permille = total ? (uint32_t)(done * 1000 / total) : 0;
    snprintf(e.unit, sizeof(e.unit), "frames");
    reporter_event(t->report, &e);
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
    if (status == EXIT_DONE) {
        bool next = !strcmp(o->task, "next");
        if (!next) snprintf(name, sizeof(name), "%s", o->task);
        vp_status st = vp_source_file(p.s.context, o->input ? o->input : p.job.input, &source, &err);
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
        status = st < 0 ? fail(o, st, &err) : session_done(&p.s, st, presentation);
    }
    free(script);
    vp_bytes_unref(missing);
    vp_presentation_unref(presentation);
    planned_close(&p);
    return status;
}
