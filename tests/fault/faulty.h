/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_FAULT_FAULTY_H
#define VPT_FAULT_FAULTY_H

/* A sink and a source of the host whose n-th call fails. */

#include <pthread.h>
#include <stdatomic.h>

#include "api/host.h"

#define NATIVE 4711
#define REASON "HOST_TROUBLE"

typedef enum call_kind { CALL_BEGIN, CALL_WRITE, CALL_COMMIT, CALL_FLUSH, CALL_READ, CALL_KINDS } call_kind;

static const char *const call_names[] = { "begin", "write", "commit", "flush", "read" };

typedef struct stored {
    char *key;
    uint8_t *data;
    size_t size;
    struct stored *next;
} stored;

typedef struct faulty {
    pthread_mutex_t lock;
    unsigned calls[CALL_KINDS];
    call_kind fail_kind;
    unsigned fail_at;  /* 0: never */
    bool silent;       /* fails without a word in vp_error */
    unsigned open;     /* begun and neither committed nor aborted */
    bool master_first; /* master.m3u8 was there when the call failed */
    bool failed;
    stored *first;
    unsigned released;
    const clip *clip;
    uint32_t seed; /* short reads; 0: whole ones */
} faulty;

static inline stored *faulty_find(faulty *f, const char *key)
{
    stored *s = f->first;
    while (s && strcmp(s->key, key) != 0) s = s->next;
    return s;
}

static inline void stored_free(stored *s)
{
    free(s->key);
    free(s->data);
    free(s);
}

static inline void faulty_empty(faulty *f)
{
    while (f->first) {
        stored *next = f->first->next;
        stored_free(f->first);
        f->first = next;
    }
}

/* VP_OK, or the failure that this call is to have. */
static inline vp_status faulty_call(faulty *f, call_kind kind, vp_error *err)
{
    pthread_mutex_lock(&f->lock);
    bool hit = ++f->calls[kind] == f->fail_at && kind == f->fail_kind;
    if (hit) {
        f->failed = true;
        f->master_first = faulty_find(f, "master.m3u8") != NULL;
    }
    pthread_mutex_unlock(&f->lock);
    if (!hit) return VP_OK;
    return f->silent ? VP_E_IO : vp_error_set(err, VP_E_IO, REASON, NATIVE, "the host had trouble");
}

static inline vp_status faulty_begin(void *user, const vp_object_info *info, void **object, vp_error *err)
{
    faulty *f = user;
    vp_status st = faulty_call(f, CALL_BEGIN, err);
    stored *s;
    if (st < 0) return st;
    s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->key = strdup(info->key);
    *object = s;
    pthread_mutex_lock(&f->lock);
    f->open++;
    pthread_mutex_unlock(&f->lock);
    return VP_OK;
}

static inline vp_status faulty_write(void *user, void *object, const void *data, size_t size, vp_error *err)
{
    stored *s = object;
    vp_status st = faulty_call(user, CALL_WRITE, err);
    if (st < 0) return st;
    s->data = realloc(s->data, s->size + size);
    assert_non_null(s->data);
    memcpy(s->data + s->size, data, size);
    s->size += size;
    return VP_OK;
}

static inline vp_status faulty_commit(void *user, void *object, vp_error *err)
{
    faulty *f = user;
    stored *s = object, **old;
    vp_status st = faulty_call(f, CALL_COMMIT, err);
    pthread_mutex_lock(&f->lock);
    f->open--;
    if (st == VP_OK) {
        for (old = &f->first; *old && strcmp((*old)->key, s->key) != 0;) old = &(*old)->next;
        if (*old) {
            stored *gone = *old;
            *old = gone->next;
            stored_free(gone);
        }
        s->next = f->first;
        f->first = s;
    } else {
        stored_free(s); /* a failed commit has freed the object */
    }
    pthread_mutex_unlock(&f->lock);
    return st;
}

static inline void faulty_abort(void *user, void *object)
{
    faulty *f = user;
    pthread_mutex_lock(&f->lock);
    f->open--;
    pthread_mutex_unlock(&f->lock);
    stored_free(object);
}

static inline vp_status faulty_flush(void *user, vp_error *err)
{
    return faulty_call(user, CALL_FLUSH, err);
}

static inline void faulty_release(void *user)
{
    faulty *f = user;
    pthread_mutex_lock(&f->lock);
    f->released++;
    pthread_mutex_unlock(&f->lock);
}

static inline vp_status faulty_read(void *user, uint64_t offset, void *data, size_t capacity, size_t *got,
                                    vp_error *err)
{
    faulty *f = user;
    vp_status st = faulty_call(f, CALL_READ, err);
    size_t n = 0;
    if (st < 0) return st;
    if (offset < f->clip->size) n = f->clip->size - (size_t)offset;
    if (n > capacity) n = capacity;
    if (f->seed) {
        pthread_mutex_lock(&f->lock);
        f->seed = f->seed * 1664525u + 1013904223u;
        size_t most = 1 + (f->seed >> 8) % 4096;
        if ((f->seed >> 24) % 4 == 0) most = 1 + most % 8; /* often only a few bytes */
        pthread_mutex_unlock(&f->lock);
        if (n > most) n = most;
    }
    if (n) memcpy(data, f->clip->data + offset, n);
    *got = n;
    return VP_OK;
}

static inline vp_status faulty_size(void *user, uint64_t *bytes, vp_error *err)
{
    (void)err;
    *bytes = ((faulty *)user)->clip->size;
    return VP_OK;
}

static inline void faulty_init(faulty *f)
{
    *f = (faulty){ .clip = &the_clip };
    pthread_mutex_init(&f->lock, NULL);
}

static inline void faulty_sink(room *r, faulty *f)
{
    vp_sink_ops ops = VP_SINK_OPS_INIT;
    ops.begin = faulty_begin;
    ops.write = faulty_write;
    ops.commit = faulty_commit;
    ops.abort = faulty_abort;
    ops.flush = faulty_flush;
    ops.release = faulty_release;
    vp_sink_unref(r->sink);
    assert_ok(vp_sink_new(r->context, &ops, f, &r->sink, &r->err));
}

static inline void faulty_source(room *r, faulty *f)
{
    vp_source_ops ops = VP_SOURCE_OPS_INIT;
    ops.read_at = faulty_read;
    ops.size = faulty_size;
    ops.release = faulty_release;
    vp_source_unref(r->source);
    assert_ok(vp_source_new(r->context, &ops, f, &r->source, &r->err));
}

/* The failure of the job is the one of the callback, word for word. */
static inline void expect_trouble(const room *r, const faulty *f)
{
    assert_true(f->failed);
    assert_true(r->err.flags & VP_ERRF_FROM_HOST);
    if (f->silent) return;
    assert_string_equal(r->err.reason, REASON);
    assert_int_equal(r->err.native, NATIVE);
    assert_int_equal(r->err.domain, VP_DOM_HOST);
    assert_string_equal(r->err.message, "the host had trouble");
}

/* Which of so many calls are tried: all of them in a full run, else the first, the last and some between. */
static inline unsigned next_try(unsigned n, unsigned of)
{
    unsigned step = full_run() || of < 6 ? 1 : of / 4;
    if (n == of) return of + 1;
    return n + step < of ? n + step : of;
}

#endif
