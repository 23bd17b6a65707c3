/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * own_threads INPUT OUT THREADS: plan and tasks on the host's own threads, as a host with a scheduler, queue or
 * cluster does it. A task is a pure function: whoever runs it, wherever and how often, its bytes are the same. Here
 * the workers share a store in memory; machines would share a directory and vp_plan_json().
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <vodpipe/vodpipe.h>

typedef struct crew {
    vp_context *context;
    vp_plan *plan;
    vp_source *source;
    vp_store *work;
    vp_sink *sink;
    vp_cancel *stop; /* fired by the first that fails */
} crew;

typedef struct hand {
    pthread_t thread;
    crew *crew;
    vp_status status;
    vp_error err;
} hand;

static void *work(void *arg)
{
    hand *h = arg;
    const crew *c = h->crew;
    char name[64];
    vp_error_init(&h->err);
    while (!vp_cancel_fired(c->stop)) {
        h->status = vp_plan_next(c->plan, c->work, name, sizeof(name), &h->err);
        if (h->status == VP_AGAIN) {
            usleep(20000); /* others hold all that is left */
            continue;
        }
        if (h->status != VP_OK) break; /* VP_END: all are done */
        /* On this thread; a task also starts the threads that its vp_task_info names. */
        h->status =
            vp_task_run(c->context, c->plan, name, c->source, c->work, c->sink, NULL, c->stop, &h->err);
        if (h->status < 0) break;
        if (h->status == VP_OK) printf("%s\n", name);
    }
    if (h->status < 0) vp_cancel_fire(c->stop);
    return NULL;
}

static vp_status make_plan(crew *c, vp_error *err)
{
    vp_probe_options probe = VP_PROBE_OPTIONS_INIT;
    vp_transcode_options settings = VP_TRANSCODE_OPTIONS_INIT;
    vp_ladder_options rungs = VP_LADDER_OPTIONS_INIT;
    vp_media *media = NULL;
    vp_ladder *ladder = NULL;
    probe.full = 1; /* a plan needs the whole index */
    vp_status st = vp_probe(c->context, c->source, &probe, c->stop, &media, err);
    if (st >= 0) st = vp_ladder_derive(media, &rungs, &ladder, err);
    if (st >= 0) st = vp_plan_new(c->context, media, ladder, &settings, &c->plan, err);
    /* Is the place free? A version folder is marked as this title's before anything is written into it. */
    if (st >= 0) st = vp_plan_claim(c->context, c->plan, c->sink, 0, err);
    vp_ladder_unref(ladder);
    vp_media_unref(media);
    return st;
}

int main(int argc, char **argv)
{
    vp_error err = VP_ERROR_INIT;
    crew c = { 0 };
    vp_job_options options = VP_JOB_OPTIONS_INIT;
    int count = argc == 4 ? atoi(argv[3]) : 0, started = 0;
    hand hands[64] = { 0 };
    if (count < 1 || count > 64) {
        fprintf(stderr, "usage: %s INPUT OUT THREADS\n", argv[0]);
        return 2;
    }
    vp_status st = vp_context_new(NULL, &c.context, &err);
    if (st >= 0) st = vp_cancel_new(&c.stop, &err);
    if (st >= 0) st = vp_source_file(c.context, argv[1], &c.source, &err);
    if (st >= 0) st = vp_sink_directory(c.context, argv[2], &c.sink, &err);
    if (st >= 0) st = vp_store_memory(c.context, &c.work, &err);
    if (st >= 0) st = make_plan(&c, &err);

    for (; st >= 0 && started < count; started++) {
        hands[started].crew = &c;
        if (pthread_create(&hands[started].thread, NULL, work, &hands[started]) != 0) break;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(hands[i].thread, NULL);
        if (st >= 0 && hands[i].status < 0 && hands[i].status != VP_E_CANCELED) {
            st = hands[i].status;
            err = hands[i].err;
        }
    }

    /* Checks that every task is in, then manifests; only now the title is visible. */
    options.sink = c.sink;
    options.work = c.work;
    if (st >= 0) st = vp_plan_finish(c.context, c.plan, &options, NULL, NULL, &err);
    if (st < 0) fprintf(stderr, "%s: %s\n", err.reason, err.message);

    vp_plan_unref(c.plan);
    vp_store_unref(c.work);
    vp_sink_unref(c.sink);
    vp_source_unref(c.source);
    vp_cancel_unref(c.stop);
    vp_context_unref(c.context);
    return st < 0;
}
