/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Both stores against the same expectations, then what only the directory has: other processes. */

#include "tools.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static vp_store *open_store(room *r, bool memory)
{
    vp_store *s = NULL;

    if (memory) {
        assert_int_equal(vp_store_memory(r->context, &s, &r->err), VP_OK);
    } else {
        assert_int_equal(vp_store_directory(r->context, in_room(r, "work"), &s, &r->err), VP_OK);
        assert_false(exists(in_room(r, "work")));
    }
    return s;
}

static void values(room *r, vp_store *s)
{
    static uint8_t big[200000];
    vp_value *v = NULL;
    vp_bytes *b = NULL;
    vp_source *source = NULL;
    keys k = { .count = 0 };

    assert_int_equal(vp_store_get(s, "plan", 0, &b, &r->err), VP_END);
    assert_int_equal(vp_store_list(s, "", keep_key, &k, &r->err), VP_OK);
    assert_int_equal(vp_store_remove(s, "plan", &r->err), VP_OK);
    assert_int_equal(vp_store_put(s, "plan", "first", 5, &r->err), VP_OK);
    assert_int_equal(vp_store_put(s, "plan", "second", 6, &r->err), VP_END);
    assert_int_equal(vp_store_get(s, "plan", 0, &b, &r->err), VP_OK);
    assert_string_equal(vp_bytes_data(b), "first");
    vp_bytes_unref(b);
    assert_int_equal(vp_store_get(s, "plan", 4, &b, &r->err), VP_E_LIMIT);
    assert_null(b);
    fill(big, sizeof(big), 1);
    assert_int_equal(vp_store_begin(s, "stats/0001", &v, &r->err), VP_OK);
    assert_int_equal(vp_value_write(v, big, 10, &r->err), VP_OK);
    assert_int_equal(vp_value_write(v, big + 10, sizeof(big) - 10, &r->err), VP_OK);
    assert_int_equal(vp_store_open(s, "stats/0001", &source, &r->err), VP_END);
    assert_int_equal(vp_value_commit(v, &r->err), VP_OK);
    assert_int_equal(vp_store_get(s, "stats/0001", 0, &b, &r->err), VP_OK);
    assert_int_equal(vp_bytes_size(b), sizeof(big));
    assert_memory_equal(vp_bytes_data(b), big, sizeof(big));
    vp_bytes_unref(b);
    assert_int_equal(vp_store_begin(s, "gone/x", &v, &r->err), VP_OK);
    assert_int_equal(vp_value_write(v, "x", 1, &r->err), VP_OK);
    vp_value_abort(v);
    vp_value_abort(NULL);
    assert_int_equal(vp_store_put(s, "stats/0002", "", 0, &r->err), VP_OK);
    assert_int_equal(vp_store_list(s, "stats/", keep_key, &k, &r->err), VP_OK);
    assert_string_equal(k.text, "stats/0001 stats/0002");
    k = (keys){ .stop_after = 1 };
    assert_int_equal(vp_store_list(s, "", keep_key, &k, &r->err), VP_END);
    assert_string_equal(k.text, "plan");
    assert_int_equal(vp_store_remove(s, "plan", &r->err), VP_OK);
    assert_int_equal(vp_store_put(s, "plan", "third", 5, &r->err), VP_OK);
    assert_int_equal(vp_store_put(s, "../plan", "x", 1, &r->err), VP_E_ARG);
    assert_int_equal(vp_store_put(s, NULL, "x", 1, &r->err), VP_E_ARG);
    assert_int_equal(vp_store_put(NULL, "x", "x", 1, &r->err), VP_E_ARG);
}

static void leases(room *r, vp_store *s)
{
    vp_lease *a = NULL, *b = NULL, *other = NULL;
    uint64_t fence = 0, next = 0;
    keys k = { .count = 0 };

    assert_int_equal(vp_store_lease(s, "run", &a, &fence, &r->err), VP_OK);
    assert_true(fence > 0);
    assert_int_equal(vp_store_lease(s, "run", &b, &next, &r->err), VP_AGAIN);
    assert_null(b);
    assert_int_equal(r->err.status, VP_OK);
    assert_int_equal(vp_store_lease(s, "tasks/1", &other, NULL, &r->err), VP_OK);
    assert_int_equal(vp_lease_renew(a, &r->err), VP_OK);
    /* A lease is not a value. */
    assert_int_equal(vp_store_list(s, "", keep_key, &k, &r->err), VP_OK);
    assert_int_equal(k.count, 0);
    assert_null(vp_lease_release(a));
    assert_int_equal(vp_store_lease(s, "run", &a, &next, &r->err), VP_OK);
    assert_true(next > fence);
    /* A lease holds its store. */
    vp_store_unref(s);
    vp_lease_release(a);
    vp_lease_release(other);
    assert_null(vp_lease_release(NULL));
}

static void memory_store(void **state)
{
    room *r = *state;
    vp_store *s = open_store(r, true);

    values(r, s);
    vp_store_unref(s);
    leases(r, open_store(r, true));
}

static void directory_store(void **state)
{
    room *r = *state;
    vp_store *s = open_store(r, false);

    values(r, s);
    vp_store_unref(s);
    assert_int_equal(count_below(in_room(r, "work"), "-name '.*'"), 0);
    assert_false(exists(in_room(r, "work/gone")));
    room_empty(r);
    leases(r, open_store(r, false));
}

static void names_of_ours(void **state)
{
    room *r = *state;
    vp_store *s = open_store(r, false);
    vp_source *source = NULL;
    vp_lease *l = NULL;

    assert_int_equal(vp_store_put(s, "run.lease", "x", 1, &r->err), VP_E_ARG);
    assert_int_equal(vp_store_put(s, "a/.x.tmp-1", "x", 1, &r->err), VP_E_ARG);
    assert_int_equal(vp_store_open(s, "run.lease", &source, &r->err), VP_E_ARG);
    assert_int_equal(vp_store_remove(s, "run.lease", &r->err), VP_E_ARG);
    assert_int_equal(vp_store_lease(s, "run.lease", &l, NULL, &r->err), VP_E_ARG);
    vp_store_unref(s);
}

/* ---- races ---- */

#define ROUNDS 30

typedef struct racer {
    vp_store *store;
    pthread_barrier_t *start;
    char text[16];
    int won, lost, failed;
} racer;

static void *race(void *arg)
{
    racer *c = arg;
    char name[32];
    int i;

    for (i = 0; i < ROUNDS; i++) {
        vp_status st;

        snprintf(name, sizeof(name), "span/%d", i);
        pthread_barrier_wait(c->start);
        st = vp_store_put(c->store, name, c->text, strlen(c->text), NULL);
        if (st == VP_OK)
            c->won++;
        else if (st == VP_END)
            c->lost++;
        else
            c->failed++;
    }
    return NULL;
}

static void put_races(void **state)
{
    room *r = *state;
    int memory, i;

    for (memory = 0; memory < 2; memory++) {
        vp_store *s = open_store(r, memory);
        pthread_barrier_t start;
        racer c[2];
        pthread_t t[2];
        keys k = { .count = 0 };

        pthread_barrier_init(&start, NULL, 2);
        for (i = 0; i < 2; i++) {
            c[i] = (racer){ .store = s, .start = &start };
            snprintf(c[i].text, sizeof(c[i].text), "by %d", i);
            pthread_create(&t[i], NULL, race, &c[i]);
        }
        for (i = 0; i < 2; i++) {
            pthread_join(t[i], NULL);
            assert_int_equal(c[i].failed, 0);
        }
        assert_int_equal(c[0].won + c[1].won, ROUNDS);
        assert_int_equal(c[0].lost + c[1].lost, ROUNDS);
        assert_int_equal(vp_store_list(s, "span/", keep_key, &k, &r->err), VP_OK);
        assert_int_equal(k.count, ROUNDS);
        pthread_barrier_destroy(&start);
        vp_store_unref(s);
    }
}

/* Values that come to nothing: each takes away folders that another thread is on its way into. */
static void *come_and_go(void *arg)
{
    racer *c = arg;
    int i;

    for (i = 0; i < 100 * ROUNDS; i++) {
        char name[32];
        vp_value *v = NULL;

        snprintf(name, sizeof(name), "host/task/%s", c->text);
        if (vp_store_begin(c->store, name, &v, NULL) != VP_OK) c->failed++;
        vp_value_abort(v);
    }
    return NULL;
}

static void folders_come_and_go(void **state)
{
    room *r = *state;
    vp_store *s = open_store(r, false);
    racer c[3];
    pthread_t t[3];
    int i;

    for (i = 0; i < 3; i++) {
        c[i] = (racer){ .store = s };
        snprintf(c[i].text, sizeof(c[i].text), "%d", i);
        pthread_create(&t[i], NULL, come_and_go, &c[i]);
    }
    for (i = 0; i < 3; i++) pthread_join(t[i], NULL);
    for (i = 0; i < 3; i++) assert_int_equal(c[i].failed, 0);
    vp_store_unref(s);
}

/* ---- other processes ---- */

/* A child with a context of its own takes the lease, tells its fence, and holds it until it is killed. */
static pid_t holder(room *r, uint64_t *fence)
{
    int ends[2];
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        vp_context *c = NULL;
        vp_store *s = NULL;
        vp_lease *l = NULL;
        uint64_t number = 0;

        if (vp_context_new(NULL, &c, NULL) == VP_OK &&
            vp_store_directory(c, in_room(r, "work"), &s, NULL) == VP_OK) {
            (void)!vp_store_lease(s, "finish", &l, &number, NULL);
        }
        if (write(ends[1], &number, sizeof(number)) != sizeof(number)) _exit(1);
        for (;;) pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], fence, sizeof(*fence)), sizeof(*fence));
    close(ends[0]);
    return pid;
}

static void lease_of_a_process(void **state)
{
    room *r = *state;
    uint64_t first = 0, second = 0, third = 0, none = 7;
    pid_t a = holder(r, &first), b;
    vp_store *s = NULL;
    vp_lease *l = NULL;
    int status;

    assert_true(first > 0);
    assert_int_equal(vp_store_directory(r->context, in_room(r, "work"), &s, &r->err), VP_OK);
    assert_int_equal(vp_store_lease(s, "finish", &l, NULL, &r->err), VP_AGAIN);
    b = holder(r, &none);
    assert_int_equal(none, 0);
    kill(b, SIGKILL);
    waitpid(b, &status, 0);
    /* Its death ends it. */
    kill(a, SIGKILL);
    waitpid(a, &status, 0);
    assert_int_equal(vp_store_lease(s, "finish", &l, &second, &r->err), VP_OK);
    assert_true(second > first);
    vp_lease_release(l);
    a = holder(r, &third);
    assert_true(third > second);
    kill(a, SIGKILL);
    waitpid(a, &status, 0);
    vp_store_unref(s);
}

/* A forked child that only drops its copy does not end the parent's lease, nor keep it after the release. */
static void lease_and_fork(void **state)
{
    room *r = *state;
    vp_store *s = open_store(r, false);
    vp_lease *l = NULL, *other = NULL;
    pid_t pid, keeper;
    int status = -1;

    assert_int_equal(vp_store_lease(s, "finish", &l, NULL, &r->err), VP_OK);
    pid = fork();
    if (pid == 0) {
        int ok = vp_lease_renew(l, NULL) == VP_E_STATE;

        vp_lease_release(l);
        vp_store_unref(s);
        _exit(ok ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(vp_store_lease(s, "finish", &other, NULL, &r->err), VP_AGAIN);
    keeper = fork();
    if (keeper == 0) {
        for (;;) pause();
    }
    vp_lease_release(l);
    assert_int_equal(vp_store_lease(s, "finish", &l, NULL, &r->err), VP_OK);
    vp_lease_release(l);
    kill(keeper, SIGKILL);
    waitpid(keeper, &status, 0);
    vp_store_unref(s);
}

static void lost_lease(void **state)
{
    room *r = *state;
    vp_store *s = open_store(r, false);
    vp_lease *l = NULL;

    assert_int_equal(vp_store_lease(s, "finish", &l, NULL, &r->err), VP_OK);
    assert_int_equal(unlink(in_room(r, "work/finish.lease")), 0);
    assert_int_equal(vp_lease_renew(l, &r->err), VP_E_CONFLICT);
    assert_string_equal(r->err.reason, "ALREADY_RUNNING");
    vp_lease_release(l);
    /* A number that is none is refused: the fence must never fall. */
    write_file(in_room(r, "work/finish.lease"), "what?\n", 6);
    assert_int_equal(vp_store_lease(s, "finish", &l, NULL, &r->err), VP_E_IO);
    write_file(in_room(r, "work/finish.lease"), "00000000000000000041\n", 21);
    {
        uint64_t fence = 0;

        assert_int_equal(vp_store_lease(s, "finish", &l, &fence, &r->err), VP_OK);
        assert_int_equal(fence, 42);
    }
    vp_lease_release(l);
    vp_store_unref(s);
}

/* ---- a store of the host ---- */

static vp_status host_begin(void *user, const char *name, void **value, vp_error *err)
{
    (void)user;
    (void)name;
    (void)value;
    return vp_error_set(err, VP_E_AUTH, "NO_ENTRY", 3, "not here");
}

static vp_status host_write(void *user, void *value, const void *data, size_t size, vp_error *err)
{
    (void)user, (void)value, (void)data, (void)size, (void)err;
    return VP_OK;
}

static vp_status host_commit(void *user, void *value, vp_error *err)
{
    (void)user, (void)value, (void)err;
    return VP_OK;
}

static void host_abort(void *user, void *value)
{
    (void)user, (void)value;
}

static vp_status host_open(void *user, const char *name, vp_source **out, vp_error *err)
{
    (void)user, (void)name, (void)out, (void)err;
    return VP_OK; /* but no source */
}

static vp_status host_list(void *user, const char *prefix, vp_list_fn fn, void *fn_user, vp_error *err)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;

    (void)user, (void)prefix, (void)err;
    info.key = "../escape";
    return fn(fn_user, &info);
}

static vp_status host_list_explains(void *user, const char *prefix, vp_list_fn fn, void *fn_user,
                                    vp_error *err)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;

    (void)user, (void)prefix;
    info.key = "a";
    return fn(fn_user, &info) == VP_OK ? VP_OK : vp_error_set(err, VP_E_IO, "CUT", 5, "cut short");
}

static vp_status no_room(void *user, const vp_object_info *info)
{
    (void)user, (void)info;
    return VP_E_NOMEM;
}

static vp_status host_remove(void *user, const char *name, vp_error *err)
{
    (void)user, (void)name, (void)err;
    return VP_AGAIN; /* means nothing here */
}

static vp_status host_lease(void *user, const char *name, void **lease, uint64_t *fence, vp_error *err)
{
    (void)user, (void)name, (void)lease, (void)fence, (void)err;
    return VP_AGAIN;
}

static void host_release(void *user)
{
    ++*(int *)user;
}

static void host_store(void **state)
{
    room *r = *state;
    vp_store_ops ops = VP_STORE_OPS_INIT, twin;
    vp_store *s = NULL;
    vp_source *source = NULL;
    vp_lease *l = NULL;
    keys k = { .count = 0 };
    int released = 0;

    memset(&twin, 0xAA, sizeof(twin));
    vp_store_ops_init(&twin, sizeof(twin));
    assert_memory_equal(&twin, &ops, sizeof(ops));
    ops.begin = host_begin;
    ops.write = host_write;
    ops.commit = host_commit;
    ops.abort = host_abort;
    ops.open = host_open;
    ops.list = host_list;
    ops.remove = host_remove;
    ops.lease = host_lease;
    ops.renew = host_commit;
    assert_int_equal(vp_store_new(r->context, &ops, &released, &s, &r->err), VP_E_ARG);
    ops.unlease = host_abort;
    ops.release = host_release;
    assert_int_equal(vp_store_new(r->context, &ops, &released, &s, &r->err), VP_OK);
    assert_int_equal(vp_store_put(s, "a", "x", 1, &r->err), VP_E_AUTH);
    assert_string_equal(r->err.reason, "NO_ENTRY");
    assert_int_equal(r->err.native, 3);
    assert_true(r->err.flags & VP_ERRF_FROM_HOST);
    assert_int_equal(vp_store_open(s, "a", &source, &r->err), VP_E_HOST);
    assert_int_equal(vp_store_list(s, "", keep_key, &k, &r->err), VP_E_HOST);
    assert_int_equal(k.count, 0);
    assert_int_equal(vp_store_remove(s, "a", &r->err), VP_E_HOST);
    assert_int_equal(vp_store_lease(s, "a", &l, NULL, &r->err), VP_AGAIN);
    vp_store_unref(s);
    assert_int_equal(released, 1);
    /* Who ended a listing said why: what the host makes of that is not the error. */
    ops.list = host_list_explains;
    assert_int_equal(vp_store_new(r->context, &ops, &released, &s, &r->err), VP_OK);
    assert_int_equal(vp_store_list(s, "", no_room, NULL, &r->err), VP_E_NOMEM);
    assert_int_equal(r->err.status, VP_E_NOMEM);
    vp_store_unref(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, room_open, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(memory_store),   TEST(directory_store),     TEST(names_of_ours),
        TEST(put_races),      TEST(folders_come_and_go), TEST(lease_of_a_process),
        TEST(lease_and_fork), TEST(lost_lease),          TEST(host_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
