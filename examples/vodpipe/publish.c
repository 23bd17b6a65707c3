/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session.h"

/* ---- what publish, package, plan, run and finish share ---- */

/* How far the last run came; worth nothing without work. */
#define REACHED_NAME "permille"

static vp_status note_value(void *user, const vp_object_info *info)
{
    if (!strcmp(info->key, REACHED_NAME)) return VP_OK;
    *(bool *)user = true;
    return VP_END; /* one is enough */
}

void session_init(session *s, const cli_options *o)
{
    *s = (session){ .options = o };
    reporter_init(&s->report, o);
}

int session_open(session *s, const char *out, const char *work)
{
    const cli_options *o = s->options;
    vp_error err = VP_ERROR_INIT;
    s->out = strdup(out);
    s->work_path = work ? strdup(work) : join_path(out, ".vodpipe");
    if (!s->out || !s->work_path) return fail_text(o, "NOMEM", "out of memory");
    s->made_out = access(out, F_OK) != 0;
    char *stranger = work_stranger(s->work_path);
    if (stranger) {
        int status = fail_text(o, "OUTPUT_EXISTS", "the work folder %s holds what is not work: %s",
                               s->work_path, stranger);
        free(stranger);
        return status;
    }
    vp_status st = context_open(o, &s->context, &err);
    if (st >= 0) st = vp_sink_directory(s->context, out, &s->sink, &err);
    if (st >= 0) st = vp_store_directory(s->context, s->work_path, &s->work, &err);
    return st < 0 ? fail(o, st, &err) : EXIT_DONE;
}

void session_close(session *s)
{
    bool kept = true;
    reporter_close(&s->report);
    if (s->work) {
        bool found = false;
        vp_status st = vp_store_list(s->work, "", note_value, &found, NULL);
        kept = found || st < 0;
        if (!kept) vp_store_remove(s->work, REACHED_NAME, NULL);
    }
    vp_store_unref(s->work);
    vp_sink_unref(s->sink);
    vp_context_unref(s->context);
    if (!kept) work_remove(s->work_path);
    if (!kept && s->made_out) rmdir(s->out); /* only if nothing came into it */
    free(s->work_path);
    free(s->out);
}

static const char *const root_names[] = { "master.m3u8", "master-ts.m3u8", "manifest.mpd", "player.html" };

void print_published(const cli_options *o, vp_sink *sink, const char *out)
{
    (void)o;
    for (size_t i = 0; i < sizeof(root_names) / sizeof(root_names[0]); i++) {
        vp_object_info info = VP_OBJECT_INFO_INIT;
        char *path = join_path(out, root_names[i]);
        if (path && vp_sink_stat(sink, root_names[i], &info, NULL) == VP_OK) print_line("%s", path);
        free(path);
    }
}

int session_done(session *s, vp_status st, const vp_presentation *presentation)
{
    const cli_options *o = s->options;
    vp_presentation_info info;
    vp_presentation_info_init(&info, sizeof(info));
    if (presentation) vp_presentation_get_info(presentation, &info, NULL);
    reporter_done(&s->report, info.version, st == VP_END);
    reporter_close(&s->report);
    if (s->report.mode != SHOW_JSON) print_published(o, s->sink, s->out);
    if (st == VP_END)
        note(o, "ALREADY_DONE: %s holds this title already, nothing was written", s->out);
    else
        note(o, "done: version %s, %llu objects, %.1f MB",
             info.version && *info.version ? info.version : "without folder",
             (unsigned long long)s->report.objects, (double)s->report.bytes / 1e6);
    return EXIT_DONE;
}

/* ---- publish and package ---- */

static void fill_job(vp_job_options *j, session *s, const settings *set)
{
    vp_job_options_init(j, sizeof(*j));
    j->sink = s->sink;
    j->work = s->work;
    j->work_name = s->work_path;
    j->cancel = cli_cancel;
    j->on_event = reporter_event;
    j->event_user = &s->report;
    j->settings_json = set->json;
    j->player_script = set->player_script;
}

/* Runs a job that was made to its end and tells how it went. */
static int run_job(session *s, vp_job *job)
{
    vp_error err = VP_ERROR_INIT;
    vp_presentation *presentation = NULL;
    vp_status st = vp_job_start(job, &err);
    if (st >= 0) st = vp_job_wait(job, -1, &err);
    if (st < 0) return fail(s->options, st, &err);
    vp_job_presentation(job, &presentation, NULL);
    int status = session_done(s, st, presentation);
    vp_presentation_unref(presentation);
    return status;
}

int cmd_publish(const cli_options *o)
{
    vp_error err = VP_ERROR_INIT;
    session s = { 0 };
    settings set = { 0 };
    vp_source *source = NULL;
    vp_job *job = NULL;
    session_init(&s, o);
    int status = settings_load(&set, o);
    if (status == EXIT_DONE) status = session_open(&s, o->args[1], o->work);
    if (status == EXIT_DONE) {
        vp_job_options j;
        fill_job(&j, &s, &set);
        s.report.work = s.work_path;
        vp_status st = session_input(&s, o->args[0], &source, &err);
        j.source = source;
        if (st >= 0) st = vp_job_new(s.context, &j, &job, &err);
        status = st < 0 ? fail(o, st, &err) : run_job(&s, job);
    }
    vp_job_unref(job);
    vp_source_unref(source);
    session_forget_input(&s); /* a run that goes on gets it again */
    session_close(&s);
    settings_free(&set);
    return status;
}

int cmd_package(const cli_options *o)
{
    vp_error err = VP_ERROR_INIT;
    session s = { 0 };
    settings set = { 0 };
    uint32_t count = (uint32_t)o->arg_count - 1;
    const char *const *names = (const char *const *)o->args;
    vp_source **sources = calloc(count, sizeof(vp_source *));
    vp_job *job = NULL;
    session_init(&s, o);
    int status = sources ? settings_load(&set, o) : fail_text(o, "NOMEM", "out of memory");
    if (status == EXIT_DONE) status = session_open(&s, o->args[count], o->work);
    if (status == EXIT_DONE) {
        vp_job_options j;
        vp_status st = VP_OK;
        fill_job(&j, &s, &set);
        s.report.work = s.work_path;
        for (uint32_t i = 0; st >= 0 && i < count; i++)
            st = vp_source_file(s.context, names[i], &sources[i], &err);
        if (st >= 0) st = vp_job_new_package(s.context, &j, sources, names, count, &job, &err);
        status = st < 0 ? fail(o, st, &err) : run_job(&s, job);
    }
    vp_job_unref(job);
    for (uint32_t i = 0; sources && i < count; i++) vp_source_unref(sources[i]);
    free(sources);
    session_close(&s);
    settings_free(&set);
    return status;
}
