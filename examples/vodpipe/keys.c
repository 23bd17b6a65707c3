/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

/*
 * Keys for a title: the provider of --keys behind one of our own that remembers what was asked for, so that
 * --write-key-file knows which keys are in use.
 */

#define DOCUMENT_MAX ((size_t)4 << 20)

typedef struct used_key {
    uint32_t period;
    uint8_t kid[16], key[16];
} used_key;

struct key_ring {
    vp_keys *inner, *outer;
    pthread_mutex_t lock;
    used_key *used;
    size_t count;
};

static bool remember(key_ring *ring, const used_key *key)
{
    bool done = true;
    pthread_mutex_lock(&ring->lock);
    size_t i = 0;
    while (i < ring->count &&
           (ring->used[i].period != key->period || memcmp(ring->used[i].key, key->key, sizeof(key->key))))
        i++;
    if (i == ring->count) {
        used_key *grown =
            calloc(ring->count + 1, sizeof(*grown)); /* not realloc, which leaves a copy behind */
        done = grown != NULL;
        if (done) {
            if (ring->count) memcpy(grown, ring->used, ring->count * sizeof(*grown));
            if (ring->count) explicit_bzero(ring->used, ring->count * sizeof(*grown));
            free(ring->used);
            grown[ring->count++] = *key;
            ring->used = grown;
        }
    }
    pthread_mutex_unlock(&ring->lock);
    return done;
}

static vp_status get_key(void *user, const vp_key_request *request, vp_key_reply *reply, vp_error *err)
{
    key_ring *ring = user;
    used_key key = { .period = request->period };
    vp_status st = vp_keys_ask(ring->inner, request, reply, key.kid, key.key, err);
    if (st >= 0 && !remember(ring, &key)) st = vp_error_set(err, VP_E_NOMEM, "NOMEM", 0, "out of memory");
    explicit_bzero(&key, sizeof(key));
    return st;
}

/* JSON (docs/formats.md), or a CPIX document with clear keys. */
static int load_inner(const cli_options *o, key_ring *ring)
{
    vp_error err = VP_ERROR_INIT;
    size_t size = 0;
    char *text = read_file(o->keys, DOCUMENT_MAX, &size);
    if (!text) return fail_text(o, "IO_ERROR", "reading %s failed: %s", o->keys, strerror(errno));
    const char *first = text + strspn(text, " \t\r\n\xef\xbb\xbf");
    vp_status st = *first == '<' ? vp_keys_cpix(text, size, NULL, 0, NULL, &ring->inner, &err)
                                 : vp_keys_parse(text, size, &ring->inner, &err);
    explicit_bzero(text, size);
    free(text);
    return st < 0 ? fail(o, st, &err) : EXIT_DONE;
}

int keys_load(const cli_options *o, key_ring **out)
{
    vp_error err = VP_ERROR_INIT;
    *out = NULL;
    if (!o->keys) return EXIT_DONE;
    key_ring *ring = calloc(1, sizeof(*ring));
    if (!ring) return fail_text(o, "NOMEM", "out of memory");
    pthread_mutex_init(&ring->lock, NULL);
    int status = load_inner(o, ring);
    if (status == EXIT_DONE) {
        vp_status st = vp_keys_new(get_key, NULL, ring, &ring->outer, &err);
        if (st < 0) status = fail(o, st, &err);
    }
    if (status == EXIT_DONE)
        *out = ring;
    else
        keys_free(ring);
    return status;
}

vp_keys *keys_provider(key_ring *ring)
{
    return ring ? ring->outer : NULL;
}

void keys_free(key_ring *ring)
{
    if (!ring) return;
    vp_keys_unref(ring->outer);
    vp_keys_unref(ring->inner);
    if (ring->used) explicit_bzero(ring->used, ring->count * sizeof(*ring->used));
    free(ring->used);
    pthread_mutex_destroy(&ring->lock);
    free(ring);
}

/* ---- key files ---- */

/* {kid} and {n} in the name of a file. */
static char *fill_path(const char *path, const used_key *key)
{
    size_t room = strlen(path) * 32 + 64, n = 0;
    char *to = malloc(room);
    for (const char *p = path; to && *p; p++) {
        if (!strncmp(p, "{kid}", 5)) {
            for (int i = 0; i < 16; i++) n += (size_t)snprintf(to + n, room - n, "%02x", key->kid[i]);
            p += 4;
        } else if (!strncmp(p, "{n}", 3)) {
            n += (size_t)snprintf(to + n, room - n, "%u", key->period);
            p += 2;
        } else {
            to[n++] = *p;
        }
    }
    if (to) to[n] = 0;
    return to;
}

static bool write_file(const char *path, const uint8_t key[16])
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return false;
    bool done = fchmod(fd, 0600) == 0 && /* of a file that was there */
                write(fd, key, 16) == 16 && fsync(fd) == 0;
    int why = errno;
    if (close(fd) < 0) done = false;
    errno = why;
    return done;
}

/* Another key under the same name would leave one of them without a file. */
static int check_names(const cli_options *o, const key_ring *ring, char **paths)
{
    for (size_t i = 0; i < ring->count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(paths[i], paths[k]) || !memcmp(ring->used[i].key, ring->used[k].key, 16)) continue;
            return fail_text(o, "KEY_INVALID",
                             "several keys would be written to %s; use {kid} or {n} in the name", paths[i]);
        }
    }
    return EXIT_DONE;
}

int keys_write(const cli_options *o, key_ring *ring)
{
    int status = EXIT_DONE;
    if (!o->write_key_file || !ring) return EXIT_DONE;
    char **paths = calloc(ring->count + 1, sizeof(*paths));
    if (!paths) return fail_text(o, "NOMEM", "out of memory");
    for (size_t i = 0; status == EXIT_DONE && i < ring->count; i++) {
        paths[i] = fill_path(o->write_key_file, &ring->used[i]);
        if (!paths[i]) status = fail_text(o, "NOMEM", "out of memory");
    }
    if (status == EXIT_DONE) status = check_names(o, ring, paths);
    for (size_t i = 0; status == EXIT_DONE && i < ring->count; i++)
        if (!write_file(paths[i], ring->used[i].key))
            status = fail_text(o, "IO_ERROR", "writing %s failed: %s", paths[i], strerror(errno));
    for (size_t i = 0; i < ring->count; i++) free(paths[i]);
    free(paths);
    return status;
}
