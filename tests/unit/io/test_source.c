/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

static void files(void **state)
{
    room *r = *state;
    vp_source *s = NULL;
    uint8_t data[10000], got[10000];
    char identity[64], later[64];
    uint64_t size = 0;
    size_t n = 9;

    fill(data, sizeof(data), 1);
    write_file(in_room(r, "f"), data, sizeof(data));
    assert_int_equal(vp_source_file(r->context, in_room(r, "f"), &s, &r->err), VP_OK);
    assert_int_equal(vp_source_size(s, &size, &r->err), VP_OK);
    assert_int_equal(size, sizeof(data));
    assert_int_equal(vp_source_read_at(s, 0, got, sizeof(got), &n, &r->err), VP_OK);
    assert_int_equal(n, sizeof(data));
    assert_memory_equal(got, data, n);
    assert_int_equal(vp_source_read_at(s, 9000, got, sizeof(got), &n, &r->err), VP_OK);
    assert_int_equal(n, 1000);
    assert_memory_equal(got, data + 9000, n);
    assert_int_equal(vp_source_read_at(s, 10000, got, 1, &n, &r->err), VP_OK);
    assert_int_equal(n, 0);
    assert_int_equal(vp_source_read_at(s, UINT64_MAX, got, 5, &n, &r->err), VP_OK);
    assert_int_equal(n, 0);
    assert_int_equal(vp_source_read_at(s, 0, NULL, 0, &n, &r->err), VP_OK);
    assert_int_equal(vp_source_read_at(s, 0, NULL, 1, &n, &r->err), VP_E_ARG);
    assert_int_equal(vp_source_identity(s, identity, sizeof(identity), &r->err), VP_OK);
    assert_non_null(strstr(identity, "-10000-"));
    write_file(in_room(r, "f"), data, 5000);
    assert_int_equal(vp_source_identity(s, later, sizeof(later), &r->err), VP_OK);
    assert_string_not_equal(identity, later);
    assert_int_equal(vp_source_identity(s, later, 5, &r->err), VP_OK);
    assert_int_equal(strlen(later), 4);
    assert_int_equal(vp_source_identity(s, later, 0, &r->err), VP_E_ARG);
    assert_null(vp_source_unref(s));
    assert_null(vp_source_unref(NULL));
}

static void not_files(void **state)
{
    room *r = *state;
    vp_source *s = NULL;

    assert_int_equal(vp_source_file(r->context, in_room(r, "none"), &s, &r->err), VP_E_IO);
    assert_int_equal(r->err.native, ENOENT);
    assert_string_equal(r->err.reason, "IO_ERROR");
    assert_string_equal(r->err.op, "source.open");
    assert_string_equal(r->err.key, in_room(r, "none"));
    assert_int_equal(vp_source_file(r->context, r->path, &s, &r->err), VP_E_ARG);
    assert_string_equal(r->err.message, "not a regular file");
    assert_string_equal(r->err.reason, "ARG");
    /* Opening must not wait for a writer. */
    assert_int_equal(mkfifo(in_room(r, "fifo"), 0600), 0);
    assert_int_equal(vp_source_file(r->context, in_room(r, "fifo"), &s, &r->err), VP_E_ARG);
    assert_int_equal(vp_source_file(r->context, "/dev/zero", &s, &r->err), VP_E_ARG);
    assert_int_equal(vp_source_file(r->context, "http://127.0.0.1/x", &s, &r->err), VP_E_IO);
    assert_int_equal(vp_source_file(r->context, NULL, &s, &r->err), VP_E_ARG);
    assert_int_equal(vp_source_file(NULL, "/dev/null", &s, &r->err), VP_E_ARG);
    assert_null(s);
}

static void memories(void **state)
{
    room *r = *state;
    char text[] = "hello", got[10], identity[4] = "x";
    vp_source *s = NULL;
    vp_bytes *b = NULL;
    size_t n;

    assert_int_equal(vp_source_memory(r->context, text, 5, &s, &r->err), VP_OK);
    text[0] = 'j';
    assert_int_equal(vp_source_read_at(s, 1, got, sizeof(got), &n, &r->err), VP_OK);
    assert_int_equal(n, 4);
    assert_memory_equal(got, "ello", 4);
    assert_int_equal(vp_source_identity(s, identity, sizeof(identity), &r->err), VP_OK);
    assert_string_equal(identity, "");
    assert_int_equal(vpi_source_read_all(s, 0, &b, &r->err), VP_OK);
    assert_string_equal(vp_bytes_data(b), "hello");
    vp_bytes_unref(b);
    assert_int_equal(vpi_source_read_all(s, 4, &b, &r->err), VP_E_LIMIT);
    assert_string_equal(r->err.reason, "INPUT_LIMIT");
    assert_null(b);
    vp_source_unref(s);
    assert_int_equal(vp_source_memory(r->context, NULL, 0, &s, &r->err), VP_OK);
    assert_int_equal(vp_source_read_at(s, 0, got, 1, &n, &r->err), VP_OK);
    assert_int_equal(n, 0);
    vp_source_unref(s);
    assert_int_equal(vp_source_memory(r->context, NULL, 1, &s, &r->err), VP_E_ARG);
}

/* ---- a source of the host ---- */

typedef struct host {
    const uint8_t *data;
    uint64_t size;
    size_t piece;
    vp_status fail;
    bool quiet, lies;
    atomic_int inside, overlaps, released, interrupts;
} host;

static vp_status host_read(void *user, uint64_t offset, void *data, size_t capacity, size_t *got,
                           vp_error *err)
{
    host *h = user;
    size_t n = h->piece < capacity ? h->piece : capacity;

    if (atomic_fetch_add(&h->inside, 1) > 0) atomic_fetch_add(&h->overlaps, 1);
    if (offset >= h->size)
        n = 0;
    else if (n > h->size - offset)
        n = (size_t)(h->size - offset);
    memcpy(data, h->data + offset, n);
    *got = h->lies ? capacity + 1 : n;
    if (h->fail && !h->quiet) vp_error_set(err, h->fail, "HOST_TROUBLE", 4711, "the host's own words");
    atomic_fetch_sub(&h->inside, 1);
    return h->fail;
}

static vp_status host_size(void *user, uint64_t *bytes, vp_error *err)
{
    (void)err;
    *bytes = ((host *)user)->size;
    return VP_OK;
}

static vp_status host_identity(void *user, char *text, size_t capacity, vp_error *err)
{
    (void)user;
    (void)err;
    memset(text, 'e', capacity);
    return VP_OK;
}

static void host_interrupt(void *user)
{
    atomic_fetch_add(&((host *)user)->interrupts, 1);
}

static void host_release(void *user)
{
    atomic_fetch_add(&((host *)user)->released, 1);
}

static vp_source_ops host_ops(void)
{
    vp_source_ops ops = VP_SOURCE_OPS_INIT;

    ops.read_at = host_read;
    ops.size = host_size;
    ops.identity = host_identity;
    ops.interrupt = host_interrupt;
    ops.release = host_release;
    return ops;
}

static void hosts(void **state)
{
    room *r = *state;
    vp_source_ops ops = host_ops(), init;
    uint8_t data[1000], got[1000];
    host h = { .data = data, .size = sizeof(data), .piece = 7 };
    vp_source *s = NULL;
    char text[8];
    size_t n;

    memset(&init, 0xAA, sizeof(init));
    vp_source_ops_init(&init, sizeof(init));
    assert_memory_equal(&init, &(vp_source_ops)VP_SOURCE_OPS_INIT, sizeof(init));
    fill(data, sizeof(data), 2);
    assert_int_equal(vp_source_new(r->context, &init, &h, &s, &r->err), VP_E_ARG);
    ops.flags = 0x80;
    assert_int_equal(vp_source_new(r->context, &ops, &h, &s, &r->err), VP_E_ARG);
    ops.flags = 0;
    assert_int_equal(atomic_load(&h.released), 0);
    assert_int_equal(vp_source_new(r->context, &ops, &h, &s, &r->err), VP_OK);
    /* Short reads are put together. */
    assert_int_equal(vp_source_read_at(s, 10, got, 500, &n, &r->err), VP_OK);
    assert_int_equal(n, 500);
    assert_memory_equal(got, data + 10, n);
    assert_int_equal(vp_source_read_at(s, 990, got, 500, &n, &r->err), VP_OK);
    assert_int_equal(n, 10);
    assert_int_equal(vp_source_identity(s, text, sizeof(text), &r->err), VP_OK);
    assert_string_equal(text, "eeeeeee");
    /* The host's failure arrives whole. */
    h.fail = VP_E_AUTH;
    assert_int_equal(vp_source_read_at(s, 0, got, 5, &n, &r->err), VP_E_AUTH);
    assert_string_equal(r->err.reason, "HOST_TROUBLE");
    assert_string_equal(r->err.message, "the host's own words");
    assert_int_equal(r->err.native, 4711);
    assert_int_equal(r->err.domain, VP_DOM_HOST);
    assert_true(r->err.flags & VP_ERRF_FROM_HOST);
    assert_int_equal(vp_source_read_at(s, 0, got, 5, &n, NULL), VP_E_AUTH);
    h.quiet = true;
    h.fail = -1000;
    assert_int_equal(vp_source_read_at(s, 0, got, 5, &n, &r->err), VP_E_HOST);
    assert_string_equal(r->err.reason, "HOST");
    assert_int_equal(r->err.native, -1000);
    h.fail = VP_OK;
    h.lies = true;
    assert_int_equal(vp_source_read_at(s, 0, got, 5, &n, &r->err), VP_E_HOST);
    h.lies = false;
    /* No callback after close but release. */
    assert_int_equal(vp_context_close(r->context, NULL), VP_OK);
    assert_int_equal(atomic_load(&h.interrupts), 1);
    assert_int_equal(vp_source_read_at(s, 0, got, 5, &n, &r->err), VP_E_STATE);
    vp_source_unref(vp_source_ref(s));
    assert_int_equal(atomic_load(&h.released), 0);
    vp_source_unref(s);
    assert_int_equal(atomic_load(&h.released), 1);
}

static void *read_much(void *arg)
{
    uint8_t b[64];
    size_t n;
    int i;

    for (i = 0; i < 300; i++) vp_source_read_at(arg, 0, b, sizeof(b), &n, NULL);
    return NULL;
}

static void serial(void **state)
{
    room *r = *state;
    vp_source_ops ops = host_ops();
    uint8_t data[100] = { 0 };
    host h = { .data = data, .size = sizeof(data), .piece = 3 };
    vp_source *s = NULL;
    pthread_t t[4];
    int i;

    ops.flags = VP_SOURCEF_SERIAL;
    assert_int_equal(vp_source_new(r->context, &ops, &h, &s, &r->err), VP_OK);
    for (i = 0; i < 4; i++) pthread_create(&t[i], NULL, read_much, s);
    for (i = 0; i < 4; i++) pthread_join(t[i], NULL);
    assert_int_equal(atomic_load(&h.overlaps), 0);
    vp_source_unref(s);
}

static void forked(void **state)
{
    room *r = *state;
    vp_source_ops ops = host_ops();
    uint8_t data[100] = { 0 };
    host h = { .data = data, .size = sizeof(data), .piece = 3 };
    vp_source *s = NULL, *file = NULL;
    int status;
    pid_t pid;

    write_file(in_room(r, "f"), data, sizeof(data));
    assert_int_equal(vp_source_file(r->context, in_room(r, "f"), &file, &r->err), VP_OK);
    assert_int_equal(vp_source_new(r->context, &ops, &h, &s, &r->err), VP_OK);
    pid = fork();
    if (pid == 0) {
        uint64_t size;
        int ok =
            vp_source_size(s, &size, NULL) == VP_E_STATE && vp_source_size(file, &size, NULL) == VP_E_STATE;

        vp_source_unref(s);
        vp_source_unref(file);
        _exit(ok && h.released == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    vp_source_unref(s);
    vp_source_unref(file);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, room_open, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(files), TEST(not_files), TEST(memories),
                                        TEST(hosts), TEST(serial),    TEST(forked) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
