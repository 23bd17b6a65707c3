/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is known of uploads, as much of it as memory shall hold, and what they are found to be while they come. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"

/* ---- the table ---- */

static title **bucket(server *s, const char *id)
{
    uint32_t h = 2166136261u; /* FNV-1a */

    while (*id) h = (h ^ (unsigned char)*id++) * 16777619u;
    return &s->titles[h % TITLE_BUCKETS];
}

static void drop(server *s, title *t)
{
    title **at = bucket(s, t->id);

    titles_move(s, t, NULL);
    while (*at != t) at = &(*at)->next;
    *at = t->next;
    free(t->line);
    free(t);
}

void titles_move(server *s, title *t, title_list *to)
{
    title_list *from = t->list;

    if (from) {
        *(t->before ? &t->before->behind : &from->first) = t->behind;
        *(t->behind ? &t->behind->before : &from->last) = t->before;
        from->count--;
    }
    t->list = to;
    t->before = to ? to->last : NULL;
    t->behind = NULL;
    if (!to) return;
    *(to->last ? &to->last->behind : &to->first) = t;
    to->last = t;
    to->count++;
    if (to == &s->idle && to->count > TITLES_KEPT) drop(s, to->first);
}

title *titles_find(server *s, const char *id)
{
    title *t = *bucket(s, id);

    while (t && strcmp(t->id, id) != 0) t = t->next;
    if (t && t->list == &s->idle) titles_move(s, t, &s->idle);
    return t;
}

title *titles_find_or_add(server *s, const char *id)
{
    title *t = titles_find(s, id), **at = bucket(s, id);

    if (t || !id_valid(id, strlen(id))) return t;
    t = calloc(1, sizeof(*t));
    if (!t) return NULL;
    snprintf(t->id, sizeof(t->id), "%s", id);
    t->next = *at;
    *at = t;
    titles_move(s, t, &s->idle);
    return t;
}

void titles_free(server *s)
{
    for (size_t i = 0; i < TITLE_BUCKETS; i++)
        while (s->titles[i]) drop(s, s->titles[i]);
}

void titles_tell(server *s, title *t, const char *line, bool ended)
{
    char *copy = strdup(line);

    if (copy) { /* without memory who listens hears the next one */
        free(t->line);
        t->line = copy;
    }
    t->number = ++s->numbers;
    t->ended = ended;
    wake_listeners(s, t);
}

void titles_add(server *s, const char *id)
{
    title *t;

    pthread_mutex_lock(&s->lock);
    t = titles_find_or_add(s, id);
    if (t && !t->queued && !t->begun && !t->ended) {
        t->queued = true;
        titles_move(s, t, &s->whole);
        titles_tell(s, t, "{\"event\":\"queued\"}", false);
        pthread_cond_broadcast(&s->more);
    }
    pthread_mutex_unlock(&s->lock);
}

/* ---- looking ---- */

/* With the lock. */
static bool look_wanted(server *s, const title *t)
{
    return !t || !(t->list == &s->looks || t->looked || t->queued || t->begun || t->ended);
}

void titles_look(server *s, const char *id)
{
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    bool wanted;
    title *t;

    pthread_mutex_lock(&s->lock);
    wanted = look_wanted(s, titles_find(s, id));
    pthread_mutex_unlock(&s->lock);
    /* of a part nothing can be said */
    if (!wanted || vp_ingest_stat(s->ingest, id, &info, NULL, NULL) != VP_OK ||
        info.state != VP_UPLOAD_OPEN || info.flags & (VP_UPLOADF_PARTIAL | VP_UPLOADF_FINAL))
        return;
    pthread_mutex_lock(&s->lock);
    t = titles_find_or_add(s, id);
    if (t && look_wanted(s, t)) { /* meanwhile it may have come to its end */
        titles_move(s, t, &s->looks);
        pthread_cond_broadcast(&s->more);
    }
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

static void look_at(server *s, const char *id)
{
    vp_error err = VP_ERROR_INIT;
    char line[1024];
    vp_status st = probe(s, id, &err);
    title *t;

    pthread_mutex_lock(&s->lock);
    t = titles_find(s, id);
    /* With VP_AGAIN the next progress asks again. */
    if (t) t->looked = st != VP_AGAIN;
    if (!t || t->queued || t->begun || t->ended) {
        /* While it was looked at its last byte came: what is told from now on is how it is published. */
    } else if (st == VP_E_DATA || st == VP_E_UNSUPPORTED || st == VP_E_LIMIT) {
        snprintf(t->refused, sizeof(t->refused), "%s", err.reason);
        snprintf(line, sizeof(line), "{\"event\":\"refused\",\"reason\":\"%s\"}", err.reason);
        titles_tell(s, t, line, false);
    } else if (st == VP_AGAIN && strcmp(err.reason, "MOOV_AT_END") == 0 && !t->number) {
        titles_tell(s, t, "{\"event\":\"warning\",\"reason\":\"MOOV_AT_END\"}", false);
    }
    pthread_mutex_unlock(&s->lock);
}

void *titles_look_thread(void *user)
{
    server *s = user;
    char id[68];

    pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        title *t = s->looks.first;

        if (!t) {
            pthread_cond_wait(&s->more, &s->lock);
            continue;
        }
        memcpy(id, t->id, sizeof(id)); /* it may be forgotten meanwhile */
        titles_move(s, t, &s->idle);
        pthread_mutex_unlock(&s->lock);
        look_at(s, id);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}
