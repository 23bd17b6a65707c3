/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Blocks of a source over a fetcher that does what the test says; as lib/s3 uses it, without a network. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "base/context.h"
#include "http/ranged.h"

#define MIB ((uint64_t)1 << 20)

/* How fetches end: in start, from start by done, or later from a thread of its own. */
enum { REFUSE, AT_ONCE, LATER };

typedef struct fake {
    uint64_t size;
    const char *identity;
    int how;
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct {
        vpi_fetch *waiting[32];
        unsigned count, starts, most, disposed, released;
        bool held, quit;
    } synced;
    pthread_t thread;
} fake;

static void end(fake *f, vpi_fetch *fetch, bool canceled)
{
    vp_error err = VP_ERROR_INIT;
    size_t got;

    if (canceled) {
        vpi_fail(&err, VP_E_CANCELED, "CANCELED", "stopped");
        vpi_fetch_done(fetch, VP_E_CANCELED, 0, "", 0, &err);
        return;
    }
    got = (size_t)VPI_MIN((uint64_t)fetch->size, f->size - VPI_MIN(f->size, fetch->offset));
    for (size_t i = 0; i < got; i += 4096) fetch->to[i] = (uint8_t)((fetch->offset + i) >> 12);
    vpi_fetch_done(fetch, VP_OK, f->size, f->identity, got, NULL);
}

static vp_status fake_start(void *user, vpi_fetch *fetch, vp_error *err)
{
    fake *f = user;

    assert_in_range(fetch->size, 1, VPI_RANGED_BLOCK);
    *(int *)fetch->own = 1;
    pthread_mutex_lock(&f->lock);
    f->synced.starts++;
    if (f->how == LATER) {
        f->synced.waiting[f->synced.count++] = fetch;
        f->synced.most = VPI_MAX(f->synced.most, f->synced.count);
        pthread_cond_signal(&f->news);
    }
    pthread_mutex_unlock(&f->lock);
    if (f->how == REFUSE) return vpi_fail(err, VP_E_IO, "CONNECTION_FAILED", "refused");
    if (f->how == AT_ONCE) end(f, fetch, false);
    return VP_OK;
}

static void fake_stop(void *user, vpi_fetch *fetch)
{
    fake *f = user;
    bool found = false;

    pthread_mutex_lock(&f->lock);
    for (unsigned i = 0; i < f->synced.count && !found; i++) {
        found = f->synced.waiting[i] == fetch;
        if (found) f->synced.waiting[i] = f->synced.waiting[--f->synced.count];
    }
    pthread_mutex_unlock(&f->lock);
    if (found) end(f, fetch, true);
}

static void fake_dispose(void *user, void *own)
{
    fake *f = user;

    assert_int_equal(*(int *)own, 1);
    f->synced.disposed++;
}

static void fake_release(void *user)
{
    ((fake *)user)->synced.released++;
}

static void *work(void *arg)
{
    fake *f = arg;

    pthread_mutex_lock(&f->lock);
    while (!f->synced.quit) {
        if (f->synced.count && !f->synced.held) {
            vpi_fetch *fetch = f->synced.waiting[0];

            f->synced.waiting[0] = f->synced.waiting[--f->synced.count];
            pthread_mutex_unlock(&f->lock);
            end(f, fetch, false);
            pthread_mutex_lock(&f->lock);
        } else {
            pthread_cond_wait(&f->news, &f->lock);
        }
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

static vp_context *context;

static vp_source *open_fake(fake *f, uint64_t size, int how)
{
    static const vpi_ranged_ops ops = { sizeof(int), fake_start, fake_stop, fake_dispose, fake_release };
    vp_source *source = NULL;

    memset(f, 0, sizeof(*f));
    f->size = size;
    f->identity = "one";
    f->how = how;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->news, NULL);
    assert_int_equal(pthread_create(&f->thread, NULL, work, f), 0);
    assert_int_equal(vpi_ranged_source(context, &ops, f, &source, NULL), VP_OK);
    return source;
}

static void hold(fake *f, bool held)
{
    pthread_mutex_lock(&f->lock);
    f->synced.held = held;
    pthread_cond_signal(&f->news);
    pthread_mutex_unlock(&f->lock);
}

static void close_fake(fake *f, vp_source *source)
{
    vp_source_unref(source);
    assert_int_equal(f->synced.released, 1);
    pthread_mutex_lock(&f->lock);
    f->synced.quit = true;
    pthread_cond_signal(&f->news);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    pthread_cond_destroy(&f->news);
    pthread_mutex_destroy(&f->lock);
}

static void look(vp_source *source, uint64_t offset, size_t size)
{
    uint8_t *to = malloc(size);
    size_t got;

    assert_int_equal(vp_source_read_at(source, offset, to, size, &got, NULL), VP_OK);
    assert_int_equal(got, size);
    for (uint64_t i = (offset + 4095) / 4096 * 4096; i < offset + size; i += 4096)
        assert_int_equal(to[i - offset], (uint8_t)(i >> 12));
    free(to);
}

static void reads(void **state)
{
    (void)state;
    for (int how = AT_ONCE; how <= LATER; how++) {
        fake f;
        vp_source *s = open_fake(&f, 40 * MIB + 5, how);
        uint64_t bytes;
        char identity[16];

        look(s, 39 * MIB + 17, (size_t)MIB - 12); /* the first use, and not at the begin */
        assert_int_equal(vp_source_size(s, &bytes, NULL), VP_OK);
        assert_int_equal(bytes, 40 * MIB + 5);
        for (uint64_t at = 0; at < 40 * MIB; at += 300000)
            look(s, at, (size_t)VPI_MIN(300000, 40 * MIB + 5 - at));
        look(s, 3 * MIB + 100, (size_t)(20 * MIB));
        assert_int_equal(vp_source_identity(s, identity, sizeof(identity), NULL), VP_OK);
        assert_string_equal(identity, "one");
        assert_true(f.synced.most <= VPI_RANGED_FLIGHT + 1);
        close_fake(&f, s);
        assert_true(f.synced.disposed <= VPI_RANGED_BLOCKS + 1);
    }
}

static void refuses(void **state)
{
    fake f;
    vp_source *s = open_fake(&f, 4 * MIB, REFUSE);
    vp_error err = VP_ERROR_INIT;
    uint64_t bytes;
    size_t got;

    (void)state;
    assert_int_equal(vp_source_size(s, &bytes, &err), VP_E_IO);
    assert_string_equal(err.reason, "CONNECTION_FAILED");
    f.how = AT_ONCE; /* nothing stays of it */
    look(s, 0, 1000);
    f.how = REFUSE;
    assert_int_equal(vp_source_identity(s, (char[8]){ 0 }, 8, &err), VP_E_IO);
    assert_int_equal(vp_source_read_at(s, 2 * MIB, &bytes, 8, &got, &err), VP_E_IO);
    assert_int_equal(got, 0);
    f.how = AT_ONCE;
    f.size++; /* another one now */
    assert_int_equal(vp_source_read_at(s, 2 * MIB, &bytes, 8, &got, &err), VP_E_CONFLICT);
    assert_string_equal(err.reason, "SOURCE_CHANGED");
    f.size--;
    assert_int_equal(vp_source_read_at(s, 0, &bytes, 8, &got, &err), VP_E_CONFLICT);
    assert_string_equal(err.reason, "SOURCE_CHANGED");
    close_fake(&f, s);
}

/* ---- many readers ---- */

typedef struct reader {
    vp_source *source;
    uint64_t at;
    pthread_t thread;
    vp_status st;
} reader;

static void *read_one(void *arg)
{
    reader *r = arg;
    uint8_t byte[4096];
    size_t got;

    r->st = vp_source_read_at(r->source, r->at, byte, sizeof(byte), &got, NULL);
    return NULL;
}

/* More readers than there are blocks; all get theirs, and what hangs ends with an interrupt or with the source. */
static void crowd(void **state)
{
    fake f;
    vp_source *s = open_fake(&f, 64 * MIB, LATER);
    reader r[40];

    (void)state;
    look(s, 0, 10);
    for (int round = 0; round < 2; round++) {
        hold(&f, true);
        for (unsigned i = 0; i < VPI_COUNT(r); i++) {
            r[i] = (reader){ .source = s, .at = (63 - i - (uint64_t)round * 3 / 2) * MIB };
            assert_int_equal(pthread_create(&r[i].thread, NULL, read_one, &r[i]), 0);
        }
        usleep(50000);
        if (round == 0) {
            hold(&f, false);
        } else {
            vpi_source_interrupt(s);
        }
        for (unsigned i = 0; i < VPI_COUNT(r); i++) {
            pthread_join(r[i].thread, NULL);
            if (round == 0) assert_int_equal(r[i].st, VP_OK);
        }
    }
    close_fake(&f, s);
}

static int start(void **state)
{
    (void)state;
    return vp_context_new(NULL, &context, NULL);
}

static int stop(void **state)
{
    (void)state;
    vp_context_unref(context);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads),
        cmocka_unit_test(refuses),
        cmocka_unit_test(crowd),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
