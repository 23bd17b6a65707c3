/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_INGEST_TOOLS_H
#define VPT_INGEST_TOOLS_H

/* What the tests of lib/ingest share: a scratch directory, a store in it, bytes that are known by their place. */

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

#include <vodpipe/ingest.h>

#include "base/error.h"
#include "base/fault.h"
#include "base/hash.h"
#include "ingest/dir_int.h"
#include "ingest/store_int.h"

typedef struct room {
    vp_context *context;
    vp_ingest *store;
    char path[64];
    vp_error err;
    int64_t now_us; /* of room_clock */
} room;

/* Of uploads that are made: small ones without a scope keep their bytes with the record, others in a file. */
static const char *made_scope;

static inline int64_t room_clock(void *user)
{
    return ((room *)user)->now_us;
}

static inline vp_ingest *room_store(room *r, const vp_ingest_options *options)
{
    vp_ingest *s = NULL;

    assert_int_equal(vp_ingest_directory(r->context, r->path, options, &s, &r->err), VP_OK);
    return s;
}

static inline const char *where(void)
{
    if (getenv("VPT_DIR")) return getenv("VPT_DIR");
    return access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
}

/* VPT_GATHER: uploads as small as those of the tests are gathered and written past the page cache. */
static inline void gather_small(void)
{
    if (!getenv("VPT_GATHER")) return;
    atomic_store(&vpi_gather_bytes, 4096);
    atomic_store(&vpi_dirs_direct_least, 1024);
}

static inline int room_open(void **state)
{
    room *r = calloc(1, sizeof(*r));

    gather_small();
    /* Most tests need no disk: a file system in memory makes thousands of syncs cheap. */
    snprintf(r->path, sizeof(r->path), "%s/vpt-ingest-XXXXXX", where());
    *state = r;
    made_scope = NULL;
    r->now_us = INT64_C(1800000000000000);
    if (!mkdtemp(r->path) || vp_context_new(NULL, &r->context, NULL) != VP_OK) return -1;
    r->store = room_store(r, NULL);
    return 0;
}

static inline int room_close(void **state)
{
    room *r = *state;
    char command[256];
    int rc;

    vp_ingest_unref(r->store);
    vp_context_unref(r->context);
    snprintf(command, sizeof(command), "chmod -R u+w %s; rm -rf %s", r->path, r->path);
    rc = system(command);
    free(r);
    return rc;
}

/* With other options. */
static inline void room_again(room *r, const vp_ingest_options *options)
{
    vp_ingest_unref(r->store);
    r->store = room_store(r, options);
}

/* Byte number i of the content `seed`. */
static inline uint8_t byte_at(uint64_t i, unsigned seed)
{
    uint64_t v = (i / 8 + seed) * UINT64_C(0x9E3779B97F4A7C15);

    return (uint8_t)((v ^ v >> 29) >> (8 * (i % 8)));
}

static inline uint8_t *make_bytes(uint64_t from, size_t size, unsigned seed)
{
    uint8_t *p = malloc(size ? size : 1);

    for (size_t i = 0; i < size; i++) p[i] = byte_at(from + i, seed);
    return p;
}

/* The next `size` bytes of the content go to the upload. */
static inline vp_status append(vp_upload *u, size_t size, unsigned seed, vp_error *err)
{
    uint64_t at = vp_upload_offset(u);
    uint8_t *p = make_bytes(at, size, seed);
    vp_status st = vp_upload_append(u, at, p, size, err);

    free(p);
    return st;
}

/* What is under way when the call ends is told of by the sync. */
static inline vp_status append_through(vp_upload *u, size_t size, unsigned seed, vp_error *err)
{
    vp_status st = append(u, size, seed, err);

    return st == VP_OK ? vp_upload_sync(u, err) : st;
}

static inline void assert_content(vp_source *source, uint64_t size, unsigned seed)
{
    uint64_t found = 0;
    uint8_t piece[4096];
    size_t got;

    assert_int_equal(vp_source_size(source, &found, NULL), VP_OK);
    assert_int_equal(found, size);
    for (uint64_t at = 0; at < size; at += got) {
        assert_int_equal(vp_source_read_at(source, at, piece, sizeof(piece), &got, NULL), VP_OK);
        assert_true(got > 0);
        for (size_t i = 0; i < got; i++) assert_int_equal(piece[i], byte_at(at + i, seed));
    }
}

static inline void content_sha256(uint64_t size, unsigned seed, char hex[65])
{
    uint8_t *p = make_bytes(0, (size_t)size, seed);
    vpi_sha256 s;

    vpi_sha256_init(&s);
    vpi_sha256_add(&s, p, (size_t)size);
    vpi_sha256_hex(&s, hex);
    free(p);
}

static inline vp_upload *make_upload(room *r, const char *id, uint64_t length)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;

    o.id = id;
    o.length = length;
    o.scope = made_scope;
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_OK);
    return u;
}

static inline uint64_t stat_offset(vp_ingest *s, const char *id)
{
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_error err = VP_ERROR_INIT;

    if (vp_ingest_stat(s, id, &info, NULL, &err) != VP_OK) fail_msg("stat of %s: %s", id, err.message);
    return info.offset;
}

static inline void assert_reason(const vp_error *err, vp_status status, const char *reason)
{
    if (err->status != status || strcmp(err->reason, reason) != 0)
        fail_msg("%s %s expected, found %s %s: %s", vp_status_name(status), reason,
                 vp_status_name(err->status), err->reason, err->message);
}

#endif
