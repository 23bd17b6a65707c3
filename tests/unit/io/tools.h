/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_IO_TOOLS_H
#define VPT_IO_TOOLS_H

/* What the tests of lib/io share: a scratch directory, a context, files looked at without the library. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/io.h"

typedef struct room {
    vp_context *context;
    char path[64];
    vp_error err;
} room;

static inline int room_open(void **state)
{
    room *r = calloc(1, sizeof(*r));

    snprintf(r->path, sizeof(r->path), "/tmp/vpt-io-XXXXXX");
    *state = r;
    return mkdtemp(r->path) && vp_context_new(NULL, &r->context, NULL) == VP_OK ? 0 : -1;
}

static inline int room_close(void **state)
{
    room *r = *state;
    char command[256];
    int rc;

    vp_context_unref(r->context);
    snprintf(command, sizeof(command), "chmod -R u+w %s; rm -rf %s", r->path, r->path);
    rc = system(command);
    free(r);
    return rc;
}

static inline void room_empty(const room *r)
{
    char command[256];

    snprintf(command, sizeof(command), "rm -rf %s/*", r->path);
    assert_int_equal(system(command), 0);
}

/* Path inside of the scratch directory; valid until the fourth call after. */
static inline const char *in_room(const room *r, const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *p = paths[next++ % 4];

    snprintf(p, sizeof(paths[0]), "%s/%s", r->path, name);
    return p;
}

static inline bool exists(const char *path)
{
    struct stat s;

    return lstat(path, &s) == 0;
}

static inline void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    fclose(f);
}

static inline void expect_file(const char *path, const void *data, size_t size)
{
    uint8_t *got = malloc(size + 1);
    FILE *f = fopen(path, "rb");

    assert_non_null(f);
    assert_int_equal(fread(got, 1, size + 1, f), size);
    assert_memory_equal(got, data, size);
    fclose(f);
    free(got);
}

/* Number of things below a directory, by find(1). */
static inline int count_below(const char *path, const char *what)
{
    char command[600];
    FILE *f;
    int n = -1;

    snprintf(command, sizeof(command), "find %s -mindepth 1 %s 2>/dev/null | wc -l", path, what);
    f = popen(command, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &n), 1);
    pclose(f);
    return n;
}

static inline void fill(uint8_t *data, size_t size, uint32_t seed)
{
    size_t i;

    for (i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (uint8_t)(seed >> 24);
    }
}

static inline vp_status put(vp_sink *s, const char *key, const void *data, size_t size, vp_error *err)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;

    info.key = key;
    return vpi_sink_put(s, &info, data, size, NULL, NULL, err);
}

/* Keys of a listing, joined with blanks. */
typedef struct keys {
    char text[4096];
    unsigned count, stop_after;
    uint64_t bytes;
} keys;

static inline vp_status keep_key(void *user, const vp_object_info *info)
{
    keys *k = user;

    if (k->count++) strcat(k->text, " ");
    strcat(k->text, info->key);
    k->bytes += info->size;
    return k->stop_after && k->count == k->stop_after ? VP_END : VP_OK;
}

#endif
