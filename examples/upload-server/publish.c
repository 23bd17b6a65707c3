/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes of uploads that are whole: published, in this run or a later one. */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

#define AGAIN_FIRST_MS                                                                                       \
    2000 /* what failed for what may pass is tried again then, and each time after twice as long */
#define AGAIN_MOST_MS 3600000
#define LINE_MAX_BYTES 1024

/* ---- one ---- */

typedef struct telling {
    server *s;
    title *t;
} telling;

static int32_t on_event(void *user, const vp_event *event)
{
    telling *to = user;
    vp_bytes *line = NULL;

    if (event->kind == VP_EVENT_OBJECT || event->kind == VP_EVENT_SUSPENDED) return 0;
    if (vp_event_json(event, NULL, &line, NULL) < 0) return 0;
    pthread_mutex_lock(&to->s->lock);
    /* the end is told when it is known to a next start, too */
    if (vp_bytes_size(line) < LINE_MAX_BYTES && event->kind != VP_EVENT_DONE &&
        event->kind != VP_EVENT_FAILED && event->kind != VP_EVENT_CANCELED)
        titles_tell(to->s, to->t, vp_bytes_data(line), false);
    pthread_mutex_unlock(&to->s->lock);
    vp_bytes_unref(line);
    return 0;
}

/* VP_END: the upload is gone. */
static vp_status publish(server *s, title *t, vp_error *err)
{
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    telling to = { s, t };
    vp_source *source = NULL;
    vp_sink *sink = NULL;
    vp_store *work = NULL;
    vp_job *job = NULL;
    char out[4096], folder[4096];
    vp_status st = VP_E_ARG;

    if (path_of(s, "titles", t->id, out, sizeof(out)) && path_of(s, "work", t->id, folder, sizeof(folder)))
        st = vp_ingest_source(s->ingest, t->id, &source, err);
    if (st == VP_OK) st = vp_sink_directory(s->context, out, &sink, err);
    if (st == VP_OK) st = vp_store_directory(s->context, folder, &work, err);
    o.source = source;
    o.sink = sink;
    o.work = work;
    o.cancel = s->stop; /* suspends: the next start goes on */
    o.player = 1;
    o.player_script = s->player_script[0] ? s->player_script : NULL;
    o.on_event = on_event;
    o.event_user = &to;
    if (st == VP_OK) st = vp_job_new(s->context, &o, &job, err);
    if (st == VP_OK) st = vp_job_start(job, err);
    if (st == VP_OK) {
        st = vp_job_wait(job, -1, err);
        /* Published already: by a server that was killed before it kept the outcome. */
        if (st == VP_END) st = VP_OK;
    }
    vp_job_unref(job);
    vp_store_unref(work);
    vp_sink_unref(sink);
    vp_source_unref(source);
    return st;
}

/* What the file itself is guilty of: docs/reasons.md. Everything else may pass, if only by an operator's hand. */
static bool for_good(vp_status st, const vp_error *err)
{
    static const char *const not_its[] = { "TIMEOUT", "MEMORY_LIMIT", "FEATURE_DISABLED", "CHECKSUM_MISMATCH",
                                           "VERIFY_FAILED" };

    if (err->flags & VP_ERRF_RETRYABLE) return false;
    for (size_t i = 0; i < sizeof(not_its) / sizeof(not_its[0]); i++)
        if (strcmp(err->reason, not_its[i]) == 0) return false;
    return st == VP_E_DATA || st == VP_E_UNSUPPORTED || st == VP_E_LIMIT;
}

/* ---- what is left of it ---- */

/*
 * Its work goes, and what was written of a title that is none; not while another process on this folder is at it: that
 * has the lease of the job (docs/architecture.md), which stays a file in a store, so the folder goes.
 */
static void clear(server *s, const char *id, bool failed)
{
    char out[4096], folder[4096];
    vp_store *work = NULL;
    vp_lease *lease = NULL;

    if (path_of(s, "titles", id, out, sizeof(out)) && path_of(s, "work", id, folder, sizeof(folder)) &&
        vp_store_directory(s->context, folder, &work, NULL) == VP_OK &&
        vp_store_lease(work, "lease/job", &lease, NULL, NULL) == VP_OK) {
        if (failed) remove_tree(out);
        remove_tree(folder);
    }
    vp_lease_release(lease);
    vp_store_unref(work);
}

/* ---- how it ended ---- */

/* Keeps how it ended, so that no later start begins again, and tells it. Of an upload that is gone none would. */
static void end(server *s, title *t, vp_status st, const char *line)
{
    char name[80];

    snprintf(name, sizeof(name), "%s.%s", t->id, st == VP_OK ? "done" : "failed");
    if (st != VP_END) vp_store_put(s->outcomes, name, line, strlen(line), NULL);
    pthread_mutex_lock(&s->lock);
    titles_tell(s, t, line, true);
    pthread_mutex_unlock(&s->lock);
    clear(s, t->id, st != VP_OK);
}

/* Nothing of it is kept: a next start tries at once. */
static void again_later(server *s, title *t, const vp_error *err)
{
    char line[LINE_MAX_BYTES];
    int64_t wait = AGAIN_FIRST_MS;

    for (unsigned i = 0; i < t->tries && wait < AGAIN_MOST_MS; i++) wait *= 2;
    if (wait > AGAIN_MOST_MS) wait = AGAIN_MOST_MS;
    snprintf(line, sizeof(line), "{\"event\":\"waiting\",\"reason\":\"%s\",\"seconds\":%lld}", err->reason,
             (long long)wait / 1000);
    pthread_mutex_lock(&s->lock);
    t->tries++;
    t->due = now_ms() + wait;
    t->queued = true;
    t->begun = false;
    titles_move(s, t, &s->whole);
    titles_tell(s, t, line, false);
    pthread_mutex_unlock(&s->lock);
}

static void note_end(server *s, title *t, vp_status st, const vp_error *err)
{
    char line[LINE_MAX_BYTES];

    if (st == VP_E_CANCELED) return;
    if (st < 0) fprintf(stderr, "upload-server: %s: %s: %s\n", t->id, err->reason, err->message);
    if (st < 0 && !for_good(st, err)) {
        again_later(s, t, err);
        return;
    }
    if (st == VP_OK)
        snprintf(line, sizeof(line), "{\"event\":\"done\",\"player\":\"/titles/%s/player.html\"}", t->id);
    else
        snprintf(line, sizeof(line), "{\"event\":\"failed\",\"reason\":\"%s\"}", err->reason);
    end(s, t, st, line);
}

/* ---- outcomes ---- */

/* failed (may be NULL): which of the two it was. */
static vp_bytes *outcome(server *s, const char *id, bool *failed)
{
    static const char *const how[] = { "done", "failed" };
    char name[80];
    vp_bytes *line = NULL;

    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof(name), "%s.%s", id, how[i]);
        if (vp_store_get(s->outcomes, name, LINE_MAX_BYTES, &line, NULL) == VP_OK) {
            if (failed) *failed = i == 1;
            return line;
        }
    }
    return NULL;
}

bool publish_recall(server *s, const char *id)
{
    vp_bytes *line = outcome(s, id, NULL);
    title *t;

    if (!line) return false;
    pthread_mutex_lock(&s->lock);
    t = titles_find_or_add(s, id);
    if (t && !t->ended) titles_tell(s, t, vp_bytes_data(line), true);
    pthread_mutex_unlock(&s->lock);
    vp_bytes_unref(line);
    return true;
}

/* What a server that was killed had no time to clear, and what it began of uploads that are gone now. */
static void clear_left(server *s)
{
    char path[4096];
    DIR *work = path_of(s, "work", NULL, path, sizeof(path)) ? opendir(path) : NULL;
    struct dirent *e;

    while (work && !vp_cancel_fired(s->stop) && (e = readdir(work)) != NULL) {
        vp_upload_info info = VP_UPLOAD_INFO_INIT;
        bool failed = true;
        vp_bytes *line;

        if (!id_valid(e->d_name, strlen(e->d_name))) continue;
        line = outcome(s, e->d_name, &failed);
        if (line || vp_ingest_stat(s->ingest, e->d_name, &info, NULL, NULL) == VP_END)
            clear(s, e->d_name, failed);
        vp_bytes_unref(line);
    }
    if (work) closedir(work);
}

/* ---- one after the other ---- */

/* With the lock; the first whose time has come. NULL: stopping. */
static title *next_due(server *s)
{
    while (!s->stopping) {
        int64_t now = now_ms(), soonest = INT64_MAX;
        struct timespec until;

        for (title *t = s->whole.first; t; t = t->behind) {
            if (t->due <= now) return t;
            if (t->due < soonest) soonest = t->due;
        }
        if (soonest == INT64_MAX) {
            pthread_cond_wait(&s->more, &s->lock);
            continue;
        }
        until.tv_sec = (time_t)(soonest / 1000);
        until.tv_nsec = (long)(soonest % 1000 + 1) * 1000000 - 1;
        pthread_cond_timedwait(&s->more, &s->lock, &until);
    }
    return NULL;
}

static void *publish_thread(void *user)
{
    server *s = user;
    title *t;

    clear_left(s);
    pthread_mutex_lock(&s->lock);
    while ((t = next_due(s)) != NULL) {
        vp_error err = VP_ERROR_INIT;

        t->queued = false;
        t->begun = true;
        titles_move(s, t, NULL);
        pthread_mutex_unlock(&s->lock);
        /* A client that has lost its last answer asks for it again, and so for its title. */
        if (!publish_recall(s, t->id)) note_end(s, t, publish(s, t, &err), &err);
        pthread_mutex_lock(&s->lock);
        if (t->queued) continue;
        t->begun = false;
        titles_move(s, t, &s->idle);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- a new start ---- */

static vp_status take_up(void *user, const vp_upload_info *info)
{
    server *s = user;
    vp_bytes *line;

    if (info->state != VP_UPLOAD_FINISHED || info->flags & VP_UPLOADF_PARTIAL) return VP_OK;
    line = outcome(s, info->id, NULL);
    if (!line) titles_add(s, info->id);
    vp_bytes_unref(line);
    return VP_OK;
}

bool publish_start(server *s, pthread_t threads[2], vp_error *err)
{
    if (vp_ingest_list(s->ingest, take_up, s, err) < 0) return false;
    if (pthread_create(&threads[0], NULL, titles_look_thread, s) == 0) {
        if (pthread_create(&threads[1], NULL, publish_thread, s) == 0) return true;
        pthread_mutex_lock(&s->lock);
        s->stopping = true;
        pthread_cond_broadcast(&s->more);
        pthread_mutex_unlock(&s->lock);
        pthread_join(threads[0], NULL);
    }
    vp_error_set(err, VP_E_NOMEM, "NOMEM", 0, "no thread");
    return false;
}
