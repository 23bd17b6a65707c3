/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>

#include "session.h"

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
    j->transcode = set->transcode.keys ? &set->transcode : NULL; /* handles have no JSON form */
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
        if (status == EXIT_DONE) status = keys_write(o, set.keys);
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
    char **names = calloc(count, sizeof(char *)); /* for messages */
    vp_source **sources = calloc(count, sizeof(vp_source *));
    vp_job *job = NULL;
    session_init(&s, o);
    int status = sources && names ? settings_load(&set, o) : fail_text(o, "NOMEM", "out of memory");
    if (status == EXIT_DONE) status = session_open(&s, o->args[count], o->work);
    if (status == EXIT_DONE) {
        vp_job_options j;
        vp_status st = VP_OK;
        fill_job(&j, &s, &set);
        s.report.work = s.work_path;
        for (uint32_t i = 0; st >= 0 && i < count; i++) {
            st = remote_source(&s.remote, o->args[i], &sources[i], &err);
            names[i] = place_shown(o->args[i]);
            if (st >= 0 && !names[i]) st = vp_error_set(&err, VP_E_NOMEM, "NOMEM", 0, "out of memory");
        }
        if (st >= 0)
            st = vp_job_new_package(s.context, &j, sources, (const char *const *)names, count, &job, &err);
        status = st < 0 ? fail(o, st, &err) : run_job(&s, job);
        if (status == EXIT_DONE) status = keys_write(o, set.keys);
    }
    vp_job_unref(job);
    for (uint32_t i = 0; sources && i < count; i++) vp_source_unref(sources[i]);
    for (uint32_t i = 0; names && i < count; i++) free(names[i]);
    free(sources);
    free(names);
    session_close(&s);
    settings_free(&set);
    return status;
}
