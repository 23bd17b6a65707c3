/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes of uploads: looked at while they come, published when they are whole. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

title *titles_find(server *s, const char *id)
{
    title *t = s->titles;

    while (t && strcmp(t->id, id) != 0) t = t->next;
    return t;
}

static title *find_or_add(server *s, const char *id)
{
    title *t = titles_find(s, id);

    if (t || !id_valid(id, strlen(id))) return t;
    t = calloc(1, sizeof(*t));
    if (!t) return NULL;
    snprintf(t->id, sizeof(t->id), "%s", id);
    t->next = s->titles;
    s->titles = t;
    return t;
}

void titles_free(server *s)
{
    while (s->titles) {
        title *t = s->titles;

        s->titles = t->next;
        free(t);
    }
}

static void tell(server *s, title *t, const char *line, bool ended)
{
    snprintf(t->line, sizeof(t->line), "%s", line);
    t->number++;
    t->ended = ended;
    wake_listeners(s, t);
}

void titles_add(server *s, const char *id)
{
    title *t;

    pthread_mutex_lock(&s->lock);
    t = find_or_add(s, id);
    if (t && !t->queued && !t->begun && !t->ended) {
        t->queued = true;
        t->look = false;
        tell(s, t, "{\"event\":\"queued\"}", false);
        pthread_cond_broadcast(&s->more);
    }
    pthread_mutex_unlock(&s->lock);
}

/* ---- looking ---- */

void titles_look(server *s, const char *id)
{
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    title *t;

    pthread_mutex_lock(&s->lock);
    t = titles_find(s, id);
    if (t && (t->looked || t->queued || t->begun || t->ended))
        t = NULL; /* no more of it */
    else if (!t || !t->look) {
        /* of a part nothing can be said */
        if (vp_ingest_stat(s->ingest, id, &info, NULL, NULL) == VP_OK && info.state == VP_UPLOAD_OPEN &&
            !(info.flags & (VP_UPLOADF_PARTIAL | VP_UPLOADF_FINAL)))
            t = find_or_add(s, id);
        if (t) t->look = true;
    }
    if (t) pthread_cond_broadcast(&s->more);
    pthread_mutex_unlock(&s->lock);
}

bool titles_refused(server *s, const char *id, char *reason, size_t size)
{
    const title *t;

    pthread_mutex_lock(&s->lock);
    t = titles_find(s, id);
    snprintf(reason, size, "%s", t ? t->refused : "");
    pthread_mutex_unlock(&s->lock);
    return reason[0] != 0;
}

/* VP_AGAIN: more bytes are needed to tell. */
static vp_status probe(server *s, const char *id, vp_error *err)
{
    vp_source *source = NULL;
    vp_media *media = NULL;
    vp_status st = vp_ingest_peek(s->ingest, id, &source, err);

    if (st == VP_OK) st = vp_probe(s->context, source, NULL, s->stop, &media, err);
    vp_media_unref(media);
    vp_source_unref(source);
    return st;
}

static void look_at(server *s, title *t)
{
    vp_error err = VP_ERROR_INIT;
    char line[1024];
    vp_status st = probe(s, t->id, &err);

    pthread_mutex_lock(&s->lock);
    /* With VP_AGAIN the next progress asks again. */
    t->looked = st != VP_AGAIN;
    if (t->queued || t->begun) {
        /* While it was looked at its last byte came: what is told from now on is how it is published. */
    } else if (st == VP_E_DATA || st == VP_E_UNSUPPORTED || st == VP_E_LIMIT) {
        snprintf(t->refused, sizeof(t->refused), "%s", err.reason);
        snprintf(line, sizeof(line), "{\"event\":\"refused\",\"reason\":\"%s\"}", err.reason);
        tell(s, t, line, false);
    } else if (st == VP_AGAIN && strcmp(err.reason, "MOOV_AT_END") == 0 && !t->number) {
        tell(s, t, "{\"event\":\"warning\",\"reason\":\"MOOV_AT_END\"}", false);
    }
    pthread_mutex_unlock(&s->lock);
}

static title *next_to(server *s, bool publish)
{
    for (;;) {
        if (s->stopping) return NULL;
        for (title *t = s->titles; t; t = t->next)
            if (publish ? t->queued : t->look) return t;
        pthread_cond_wait(&s->more, &s->lock);
    }
}

static void *look_thread(void *user)
{
    server *s = user;
    title *t;

    pthread_mutex_lock(&s->lock);
    while ((t = next_to(s, false)) != NULL) {
        t->look = false;
        pthread_mutex_unlock(&s->lock);
        look_at(s, t);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- publishing ---- */

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
    if (vp_bytes_size(line) < sizeof(to->t->line) && event->kind != VP_EVENT_DONE &&
        event->kind != VP_EVENT_FAILED && event->kind != VP_EVENT_CANCELED)
        tell(to->s, to->t, vp_bytes_data(line), false);
    pthread_mutex_unlock(&to->s->lock);
    vp_bytes_unref(line);
    return 0;
}

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
    if (st >= 0) st = vp_sink_directory(s->context, out, &sink, err);
    if (st >= 0) st = vp_store_directory(s->context, folder, &work, err);
    o.source = source;
    o.sink = sink;
    o.work = work;
    o.cancel = s->stop; /* suspends: the next start goes on */
    o.player = 1;
    o.player_script = s->player_script[0] ? s->player_script : NULL;
    o.on_event = on_event;
    o.event_user = &to;
    if (st >= 0) st = vp_job_new(s->context, &o, &job, err);
    if (st >= 0) st = vp_job_start(job, err);
    if (st >= 0) st = vp_job_wait(job, -1, err);
    vp_job_unref(job);
    vp_store_unref(work);
    vp_sink_unref(sink);
    vp_source_unref(source);
    return st;
}

/* Keeps how it ended, so that no later start begins again, and tells it. */
static void note_end(server *s, title *t, vp_status st, const vp_error *err)
{
    char name[80], line[1024];

    if (st == VP_E_CANCELED) return;
    if (st < 0) {
        fprintf(stderr, "upload-server: %s: %s: %s\n", t->id, err->reason, err->message);
        snprintf(line, sizeof(line), "{\"event\":\"failed\",\"reason\":\"%s\"}", err->reason);
    } else {
        snprintf(line, sizeof(line), "{\"event\":\"done\",\"player\":\"/titles/%s/player.html\"}", t->id);
    }
    snprintf(name, sizeof(name), "%s.%s", t->id, st < 0 ? "failed" : "done");
    vp_store_put(s->outcomes, name, line, strlen(line), NULL);
    pthread_mutex_lock(&s->lock);
    tell(s, t, line, true);
    pthread_mutex_unlock(&s->lock);
}

static void *publish_thread(void *user)
{
    server *s = user;
    title *t;

    pthread_mutex_lock(&s->lock);
    while ((t = next_to(s, true)) != NULL) {
        vp_error err = VP_ERROR_INIT;

        t->queued = false;
        t->begun = true;
        pthread_mutex_unlock(&s->lock);
        note_end(s, t, publish(s, t, &err), &err);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- a new start ---- */

/* An outcome that an earlier run kept. */
static bool has_ended(server *s, const char *id, const char *how)
{
    char name[80];
    vp_bytes *line = NULL;
    title *t;

    snprintf(name, sizeof(name), "%s.%s", id, how);
    if (vp_store_get(s->outcomes, name, 1024, &line, NULL) != VP_OK) return false;
    pthread_mutex_lock(&s->lock);
    t = find_or_add(s, id);
    if (t) tell(s, t, vp_bytes_data(line), true);
    pthread_mutex_unlock(&s->lock);
    vp_bytes_unref(line);
    return true;
}

static vp_status take_up(void *user, const vp_upload_info *info)
{
    server *s = user;

    if (info->state != VP_UPLOAD_FINISHED || info->flags & VP_UPLOADF_PARTIAL) return VP_OK;
    if (!has_ended(s, info->id, "done") && !has_ended(s, info->id, "failed")) titles_add(s, info->id);
    return VP_OK;
}

bool titles_start(server *s, pthread_t threads[2], vp_error *err)
{
    if (vp_ingest_list(s->ingest, take_up, s, err) < 0) return false;
    if (pthread_create(&threads[0], NULL, look_thread, s) == 0) {
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
