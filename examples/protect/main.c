/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * protect [-s cenc|cbcs] [-r N] [-c N] [-t N] [-i SEED] [-p] KEYS FOLDER OUT: one track of CMAF that exists, init.mp4
 * and *.m4s, protected into another folder. README.md says more.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vodpipe/vodpipe.h>

#include "protect.h"

enum { THREADS = 4 };

typedef struct work {
    vp_cenc *cenc;
    const char *from, *to;
    char **names;
    uint32_t count;
    atomic_uint next;
    atomic_int failed;
} work;

static int say(const char *what, const vp_error *err)
{
    fprintf(stderr, "%s: %s: %s\n", what, err->reason, err->message);
    return -1;
}

static int segment(work *w, uint32_t number)
{
    vp_error err = VP_ERROR_INIT;
    vp_bytes *made = NULL;
    size_t size;
    void *data = file_read(w->from, w->names[number], &size);
    if (!data) return -1;
    vp_status st = vp_cenc_segment(w->cenc, number, data, size, &made, &err);
    free(data);
    if (st < 0) return say(w->names[number], &err);
    int rc = file_write(w->to, w->names[number], vp_bytes_data(made), (size_t)vp_bytes_size(made));
    vp_bytes_unref(made);
    return rc;
}

/* The handle is shared; each thread takes the next segment that nobody has. */
static void *worker(void *user)
{
    work *w = user;
    for (uint32_t n; !w->failed && (n = atomic_fetch_add(&w->next, 1)) < w->count;)
        if (segment(w, n) < 0) w->failed = 1;
    return NULL;
}

static int all_segments(work *w)
{
    pthread_t threads[THREADS];
    int started = 0;
    while (started < THREADS && pthread_create(&threads[started], NULL, worker, w) == 0) started++;
    if (started == 0) worker(w);
    while (started > 0) pthread_join(threads[--started], NULL);
    return w->failed ? -1 : 0;
}

/* The init segment, what manifests say, and the seed. */
static int rest(work *w)
{
    vp_error err = VP_ERROR_INIT;
    vp_bytes *init = NULL, *told = NULL;
    uint8_t seed[16];
    vp_status st = vp_cenc_init(w->cenc, &init, &err);
    if (st >= 0) st = vp_cenc_protection_json(w->cenc, &told, &err);
    if (st >= 0) st = vp_cenc_seed(w->cenc, seed, &err);
    int rc = st < 0 ? say("init.mp4", &err) : 0;
    if (rc == 0) rc = file_write(w->to, "init.mp4", vp_bytes_data(init), (size_t)vp_bytes_size(init));
    if (rc == 0) rc = file_write(w->to, "protection.json", vp_bytes_data(told), (size_t)vp_bytes_size(told));
    vp_bytes_unref(init);
    vp_bytes_unref(told);
    if (rc < 0) return rc;
    printf("seed ");
    for (int i = 0; i < 16; i++) printf("%02x", seed[i]);
    printf("\n");
    return 0;
}

static int open_track(work *w, const char *keys_file, const vp_cenc_options *options)
{
    vp_error err = VP_ERROR_INIT;
    vp_keys *keys = NULL;
    size_t keys_size = 0, init_size = 0;
    char *text = file_read(NULL, keys_file, &keys_size);
    void *init = text ? file_read(w->from, "init.mp4", &init_size) : NULL;
    vp_status st = init ? vp_keys_parse(text, keys_size, &keys, &err) : VP_E_IO;
    if (st >= 0) st = vp_cenc_new(keys, init, init_size, options, &w->cenc, &err);
    if (init && st < 0) say(keys ? "init.mp4" : keys_file, &err);
    if (text) explicit_bzero(text, keys_size);
    free(text);
    free(init);
    vp_keys_unref(keys); /* the track has its own reference */
    return st < 0 ? -1 : 0;
}

static int usage(const char *name)
{
    fprintf(stderr, "usage: %s [-s cenc|cbcs] [-r N] [-c N] [-t N] [-i SEED] [-p] KEYS FOLDER OUT\n", name);
    return 2;
}

static int read_seed(const char *text, uint8_t seed[16])
{
    int digits = 0;
    if (strlen(text) != 32) return -1;
    for (int i = 0; i < 16; i++) digits += sscanf(text + 2 * i, "%2hhx", &seed[i]);
    return digits == 16 ? 0 : -1;
}

static int parse(int argc, char **argv, vp_cenc_options *o, uint8_t seed[16])
{
    int bad = 0;
    for (int c; (c = getopt(argc, argv, "s:r:c:t:i:p")) != -1;) {
        uint32_t number = optarg ? (uint32_t)strtoul(optarg, NULL, 10) : 0;
        switch (c) {
        case 's':
            o->scheme = strcmp(optarg, "cenc") == 0 ? VP_ENCRYPT_CENC : VP_ENCRYPT_CBCS;
            bad |= o->scheme == VP_ENCRYPT_CBCS && strcmp(optarg, "cbcs") != 0;
            break;
        case 'r':
            o->key_rotation = number;
            break;
        case 'c':
            o->clear_segments = number;
            break;
        case 't':
            o->track = number;
            break;
        case 'i':
            bad |= read_seed(optarg, seed);
            o->seed = seed;
            break;
        case 'p':
            o->flags |= VP_CENC_PSSH;
            break;
        default:
            bad = 1;
        }
    }
    return !bad && argc - optind == 3 ? 0 : -1;
}

int main(int argc, char **argv)
{
    vp_cenc_options options = VP_CENC_OPTIONS_INIT;
    work w = { .cenc = NULL };
    uint8_t seed[16];
    if (parse(argc, argv, &options, seed) < 0) return usage(argv[0]);
    w.from = argv[optind + 1];
    w.to = argv[optind + 2];
    w.names = file_list(w.from, ".m4s", &w.count);
    options.segments = w.count;
    int rc = !w.names || open_track(&w, argv[optind], &options) < 0 || all_segments(&w) < 0 || rest(&w) < 0;
    vp_cenc_unref(w.cenc);
    for (uint32_t i = 0; w.names && i < w.count; i++) free(w.names[i]);
    free(w.names);
    return rc;
}
