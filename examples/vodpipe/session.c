/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "session.h"

/* What publish, package, plan, run, finish and put share. */

/* How far the last run came; worth nothing without work. */
#define REACHED_NAME "permille"
/* The lease under which a title is made, beside those of its tasks. */
#define LEASES "lease/"
#define JOB_LEASE LEASES "job"
#define ASK_MAX 65536

void session_init(session *s, const cli_options *o)
{
    *s = (session){ .options = o };
    reporter_init(&s->report, o);
}

/* ---- opening ---- */

static vp_status note_stranger(void *user, const vp_object_info *info)
{
    if (is_work(info->key, strcspn(info->key, "/"))) return VP_OK;
    *(char **)user = strdup(info->key);
    return VP_END; /* one is enough */
}

/* What is in W and no work is never touched. */
static int check_strangers(session *s)
{
    vp_error err = VP_ERROR_INIT;
    char *stranger = NULL;
    vp_status st = VP_OK;
    if (place_of(s->work_path) == PLACE_S3)
        st = vp_store_list(s->work, "", note_stranger, &stranger, &err);
    else
        stranger = work_stranger(s->work_path);
    if (st < 0) return fail(s->options, st, &err);
    if (!stranger) return EXIT_DONE;
    int status = fail_text(s->options, "OUTPUT_EXISTS", "the work folder %s holds what is not work: %s",
                           s->work_path, stranger);
    free(stranger);
    return status;
}

int session_open_work(session *s, const char *out, const char *work)
{
    const cli_options *o = s->options;
    vp_error err = VP_ERROR_INIT;
    bool homeless = false;
    s->work_path = work                          ? strdup(work)
                   : place_of(out) == PLACE_PATH ? join_path(out, ".vodpipe")
                                                 : default_work(o, out, &homeless);
    if (homeless) return usage_error(o, "--work is needed: neither XDG_STATE_HOME nor HOME is set");
    if (!s->work_path) return fail_text(o, "NOMEM", "out of memory");
    vp_status st = context_open(o, &s->context, &err);
    remote_init(&s->remote, o, s->context);
    if (st >= 0) st = remote_store(&s->remote, s->work_path, &s->work, &err);
    return st < 0 ? fail(o, st, &err) : check_strangers(s);
}

int session_open_out(session *s, const char *out, bool gzip)
{
    const cli_options *o = s->options;
    vp_error err = VP_ERROR_INIT;
    s->out = strdup(out);
    if (!s->out) return fail_text(o, "NOMEM", "out of memory");
    s->made_out = place_of(out) == PLACE_PATH && access(out, F_OK) != 0;
    vp_status st = remote_sink(&s->remote, out, s->work, gzip, &s->sink, &err);
    s->opened = st >= 0;
    return st < 0 ? fail(o, st, &err) : EXIT_DONE;
}

/* A bucket that is not there, or keys that are not taken, are told before a long source is read. */
static int ask(session *s, const char *out)
{
    vp_error err = VP_ERROR_INIT;
    char *bucket = NULL, *key = NULL, *name = join_path(out, "presentation.json");
    vp_bytes *bytes = NULL;
    vp_status st = VP_OK;
    if (!name || !place_split(name, &bucket, &key))
        st = vp_error_set(&err, VP_E_NOMEM, "NOMEM", 0, "out of memory");
    /* With its body, in which a server says what is wrong. */
    if (st >= 0) st = vp_s3_get(s->remote.s3, bucket, key, ASK_MAX, cli_cancel, &bytes, &err);
    vp_bytes_unref(bytes);
    free(bucket);
    free(key);
    free(name);
    return st >= 0 || st == VP_E_LIMIT ? EXIT_DONE : fail(s->options, st, &err);
}

int session_open(session *s, const char *out, const char *work)
{
    int status = session_open_work(s, out, work);
    if (status == EXIT_DONE) status = session_open_out(s, out, s->options->gzip_manifests);
    return status == EXIT_DONE && place_of(out) == PLACE_S3 ? ask(s, out) : status;
}

/* ---- closing ---- */

void session_abandon(session *s)
{
    vp_error err = VP_ERROR_INIT;
    if (!s->remote.s3) return;
    if (vp_s3_abandon(s->remote.s3, s->work, cli_cancel, NULL, &err) < 0)
        note(s->options, "warning: %s: an unfinished upload is left in the bucket: %s", err.reason,
             err.message);
}

static vp_status note_value(void *user, const vp_object_info *info)
{
    if (!strcmp(info->key, REACHED_NAME)) return VP_OK;
    *(bool *)user = true;
    return VP_END; /* one is enough */
}

/* Objects of leases remember the fence; with the work done nobody needs that number. */
static void remove_leases(session *s)
{
    char *bucket = NULL, *key = NULL, *prefix = NULL;
    vp_lease *lease = NULL;
    if (vp_store_lease(s->work, JOB_LEASE, &lease, NULL, NULL) == VP_OK &&
        place_split(s->work_path, &bucket, &key) &&
        asprintf(&prefix, "%s%s" LEASES, key, *key ? "/" : "") >= 0) {
        vp_s3_delete_prefix(s->remote.s3, bucket, prefix, NULL, NULL, NULL);
        free(prefix);
    }
    vp_lease_release(lease); /* which is gone with them */
    free(bucket);
    free(key);
}

void session_close(session *s)
{
    bool kept = true, away = s->work && place_of(s->work_path) == PLACE_S3;
    reporter_close(&s->report);
    if (s->opened) {
        bool found = false;
        vp_status st = vp_store_list(s->work, "", note_value, &found, NULL);
        kept = found || st < 0;
        if (!kept) vp_store_remove(s->work, REACHED_NAME, NULL);
        if (!kept && away) remove_leases(s);
    }
    vp_store_unref(s->work);
    vp_sink_unref(s->sink);
    remote_close(&s->remote);
    vp_context_unref(s->context);
    if (!kept && !away) work_remove(s->work_path);
    if (!kept && s->made_out) rmdir(s->out); /* only if nothing came into it */
    free(s->work_path);
    free(s->out);
}

/* ---- the last words ---- */

static const char *const root_names[] = { "master.m3u8", "master-ts.m3u8", "manifest.mpd", "player.html" };

static void print_published(vp_sink *sink, const char *out)
{
    for (size_t i = 0; i < sizeof(root_names) / sizeof(root_names[0]); i++) {
        vp_object_info info = VP_OBJECT_INFO_INIT;
        char *path = place_join(out, root_names[i]);
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
    if (s->report.mode != SHOW_JSON) print_published(s->sink, s->out);
    session_abandon(s);
    if (st == VP_END)
        note(o, "ALREADY_DONE: %s holds this title already, nothing was written", s->out);
    else
        note(o, "done: version %s, %llu objects, %.1f MB",
             info.version && *info.version ? info.version : "without folder",
             (unsigned long long)s->report.objects, (double)s->report.bytes / 1e6);
    return EXIT_DONE;
}
