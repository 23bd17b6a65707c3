/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Context, cancel, budgets, log, fork. */

#include "test.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/context.h"
#include "base/fault.h"

static vp_context *context_with(uint32_t threads, uint64_t memory)
{
    vp_context_options o = VP_CONTEXT_OPTIONS_INIT;
    vp_context *c = NULL;

    o.threads = threads;
    o.memory_bytes = memory;
    assert_int_equal(vp_context_new(&o, &c, NULL), VP_OK);
    return c;
}

/* The same bytes for the same key, in the same context, as long as somebody has them. */
static void sharing(void **state)
{
    vp_context *c = context_with(1, 0), *d = context_with(1, 0);
    int *a = vpi_context_share(c, "a", sizeof(*a)), *b = vpi_context_share(c, "b", sizeof(*b)), *again;
    int *other = vpi_context_share(d, "a", sizeof(*a));

    (void)state;
    assert_non_null(a);
    assert_int_equal(*a, 0);
    *a = 7;
    *b = 8;
    again = vpi_context_share(c, "a", sizeof(*a));
    assert_ptr_equal(again, a);
    assert_non_null(other);
    assert_ptr_not_equal(other, a);
    assert_null(vpi_context_unshare(c, a));
    assert_int_equal(*again, 7);
    vpi_context_unshare(c, again);
    a = vpi_context_share(c, "a", sizeof(*a));
    assert_int_equal(*a, 0);
    assert_int_equal(*b, 8);
    for (int n = 1; n <= 2; n++) { /* block and key */
        atomic_store(&vpi_alloc_fail_at, n);
        assert_null(vpi_context_share(c, "c", 1));
        atomic_store(&vpi_alloc_fail_at, 0);
    }
    vpi_context_unshare(c, b);
    vpi_context_unshare(c, a);
    vpi_context_unshare(d, vpi_context_share(d, "a", 1));
    vpi_context_unshare(d, other);
    assert_null(vpi_context_unshare(c, NULL));
    vp_context_unref(c);
    vp_context_unref(d);
}

static void *other_thread(void *arg)
{
    *(vp_status *)arg = vpi_cancel_check_scope(NULL, NULL);
    return NULL;
}

/* Of one thread; a call's own cancel is another one's child or not. */
static void scopes(void **state)
{
    vp_cancel *c = NULL, *own = NULL;
    vp_error err = VP_ERROR_INIT;
    vp_status there = VP_E_STATE;
    pthread_t thread;

    (void)state;
    assert_int_equal(vp_cancel_new(&c, NULL), VP_OK);
    assert_int_equal(vp_cancel_new(&own, NULL), VP_OK);
    assert_false(vpi_cancel_scoped());
    assert_null(vp_cancel_scope(c));
    assert_true(vpi_cancel_scoped());
    assert_int_equal(vpi_cancel_check_scope(own, &err), VP_OK);
    assert_ptr_equal(vpi_cancel_enter(NULL), c); /* a call without one leaves it */
    assert_ptr_equal(vpi_cancel_enter(own), c);
    vp_cancel_fire(c);
    assert_int_equal(vpi_cancel_check_scope(NULL, &err), VP_OK);
    assert_ptr_equal(vp_cancel_scope(c), own);
    assert_int_equal(vpi_cancel_check_scope(own, &err), VP_E_CANCELED);
    assert_int_equal(vpi_cancel_check(own, &err), VP_OK); /* who tidies up looks at its own alone */
    pthread_create(&thread, NULL, other_thread, &there);
    pthread_join(thread, NULL);
    assert_int_equal(there, VP_OK);
    vp_cancel_deadline(own, 1);
    assert_ptr_equal(vp_cancel_scope(own), c);
    while (!vp_cancel_fired(own)) {}
    assert_int_equal(vpi_cancel_check_scope(NULL, &err), VP_E_LIMIT);
    assert_ptr_equal(vp_cancel_scope(NULL), own);
    vp_cancel_unref(own);
    vp_cancel_unref(c);
}

static void creation(void **state)
{
    vp_context_options o, m = VP_CONTEXT_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    vp_context *c = NULL;

    (void)state;
    memset(&o, 0xAA, sizeof(o));
    vp_context_options_init(&o, sizeof(o));
    assert_memory_equal(&o, &m, sizeof(o));
    assert_int_equal(vp_context_new(NULL, &c, &err), VP_OK);
    assert_true(vp_context_threads(c) >= 1);
    assert_true(vp_context_memory(c) > 0);
    assert_ptr_equal(vp_context_ref(c), c);
    assert_null(vp_context_unref(c));
    assert_null(vp_context_unref(c));
    assert_null(vp_context_unref(NULL));
    o.threads = 1025;
    assert_int_equal(vp_context_new(&o, &c, &err), VP_E_ARG);
    assert_null(c);
    assert_string_equal(err.reason, "ARG");
    o.threads = 0;
    o.log_level = 5;
    assert_int_equal(vp_context_new(&o, &c, &err), VP_E_ARG);
    o.log_level = 0;
    o.reserved = 1;
    assert_int_equal(vp_context_new(&o, &c, &err), VP_E_ARG);
    assert_int_equal(vp_context_new(&o, NULL, &err), VP_E_ARG);
    c = context_with(1024, 5);
    assert_int_equal(vp_context_threads(c), 1024);
    assert_int_equal(vp_context_memory(c), 5);
    vp_context_unref(c);
}

static void no_memory(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vp_context *c = NULL;
    long n;

    (void)state;
    for (n = 1;; n++) {
        vp_status st;

        atomic_store(&vpi_alloc_fail_at, n);
        st = vp_context_new(NULL, &c, &err);
        if (st == VP_OK) break;
        assert_int_equal(st, VP_E_NOMEM);
        assert_string_equal(err.reason, "NOMEM");
    }
    atomic_store(&vpi_alloc_fail_at, 0);
    assert_true(n > 1);
    vp_context_unref(c);
}

static void cancels(void **state)
{
    vp_cancel *parent = NULL, *child = NULL, *other = NULL;
    vp_error err = VP_ERROR_INIT;

    (void)state;
    assert_int_equal(vp_cancel_new(&parent, &err), VP_OK);
    assert_int_equal(vp_cancel_child(parent, &child, &err), VP_OK);
    assert_int_equal(vp_cancel_child(parent, &other, &err), VP_OK);
    assert_int_equal(vp_cancel_fired(NULL), 0);
    assert_int_equal(vpi_cancel_check(NULL, &err), VP_OK);
    assert_int_equal(vpi_cancel_check(child, &err), VP_OK);
    vp_cancel_fire(child);
    assert_int_equal(vp_cancel_fired(child), 1);
    assert_int_equal(vp_cancel_fired(parent), 0);
    assert_int_equal(vp_cancel_fired(other), 0);
    assert_int_equal(vpi_cancel_check(child, &err), VP_E_CANCELED);
    assert_string_equal(err.reason, "CANCELED");
    vp_cancel_deadline(parent, 20);
    assert_int_equal(vp_cancel_fired(other), 0);
    usleep(30000);
    vp_error_init(&err);
    assert_int_equal(vp_cancel_fired(other), 1);
    assert_int_equal(vpi_cancel_check(other, &err), VP_E_LIMIT);
    assert_string_equal(err.reason, "TIMEOUT");
    assert_int_equal(vpi_cancel_check(child, NULL), VP_E_CANCELED);
    vp_cancel_deadline(parent, 0);
    assert_int_equal(vp_cancel_fired(other), 0);
    vp_cancel_deadline(parent, UINT64_MAX);
    assert_int_equal(vp_cancel_fired(other), 0);
    /* Children hold their parent. */
    vp_cancel_fire(parent);
    assert_null(vp_cancel_unref(parent));
    assert_int_equal(vpi_cancel_check(other, NULL), VP_E_CANCELED);
    vp_cancel_unref(child);
    vp_cancel_unref(other);
    vp_cancel_unref(NULL);
    vp_cancel_fire(NULL);
    vp_cancel_deadline(NULL, 1);
}

static void memory_budget(void **state)
{
    vp_context *c = context_with(1, 100);
    vp_error err = VP_ERROR_INIT;

    (void)state;
    assert_int_equal(vpi_memory_try(NULL, 1000, &err), VP_OK);
    assert_int_equal(vpi_memory_try(c, 60, &err), VP_OK);
    assert_int_equal(vpi_memory_try(c, 41, &err), VP_AGAIN);
    assert_int_equal(vpi_memory_try(c, 40, &err), VP_OK);
    assert_int_equal(vpi_memory_try(c, 101, &err), VP_E_LIMIT);
    assert_string_equal(err.reason, "MEMORY_LIMIT");
    assert_int_equal(vpi_memory_try(c, UINT64_MAX, NULL), VP_E_LIMIT);
    vpi_memory_release(c, 100);
    assert_int_equal(vpi_memory_try(c, 101, NULL), VP_E_LIMIT);
    assert_int_equal(vpi_memory_try(c, 100, NULL), VP_OK);
    assert_int_equal(vpi_memory_try(c, 1, NULL), VP_AGAIN);
    vpi_memory_release(c, 100);
    assert_int_equal(vpi_memory_try(c, 1, NULL), VP_OK);
    vpi_memory_release(c, 1);
    vp_context_unref(c);
}

/* ---- slots ---- */

typedef struct slots {
    vp_context *context;
    atomic_int inside, most, rounds;
} slots;

static void *slot_user(void *arg)
{
    slots *s = arg;
    int i;

    for (i = 0; i < 200; i++) {
        int now, most;

        vpi_cpu_enter(s->context);
        now = atomic_fetch_add(&s->inside, 1) + 1;
        most = atomic_load(&s->most);
        while (now > most && !atomic_compare_exchange_weak(&s->most, &most, now)) {}
        if (i % 16 == 0) usleep(100);
        atomic_fetch_sub(&s->inside, 1);
        atomic_fetch_add(&s->rounds, 1);
        vpi_cpu_leave(s->context);
    }
    return NULL;
}

static void cpu_slots(void **state)
{
    slots s = { .context = context_with(3, 1) };
    pthread_t t[8];
    size_t i;

    (void)state;
    vpi_cpu_enter(NULL);
    vpi_cpu_leave(NULL);
    for (i = 0; i < VPI_COUNT(t); i++) assert_int_equal(pthread_create(&t[i], NULL, slot_user, &s), 0);
    for (i = 0; i < VPI_COUNT(t); i++) pthread_join(t[i], NULL);
    assert_int_equal(s.rounds, 1600);
    assert_true(s.most <= 3);
    assert_true(s.most >= 2);
    vp_context_unref(s.context);
}

/* ---- log ---- */

typedef struct lines {
    unsigned count;
    int32_t level;
    char module[16], last[2000];
} lines;

static void keep_line(void *user, int32_t level, const char *module, const char *line)
{
    lines *l = user;

    l->count++;
    l->level = level;
    vpi_strlcpy(l->module, module, sizeof(l->module));
    vpi_strlcpy(l->last, line, sizeof(l->last));
}

static void logging(void **state)
{
    vp_context_options o = VP_CONTEXT_OPTIONS_INIT;
    lines l = { 0 };
    vp_context *c = NULL;
    char longer[1500];

    (void)state;
    o.log = keep_line;
    o.log_user = &l;
    assert_int_equal(vp_context_new(&o, &c, NULL), VP_OK);
    vpi_log(c, VP_LOG_INFO, "io", "not at this level");
    assert_int_equal(l.count, 0);
    vpi_log(c, VP_LOG_WARN, "io", "two\nlines %d", 5);
    assert_int_equal(l.count, 1);
    assert_int_equal(l.level, VP_LOG_WARN);
    assert_string_equal(l.module, "io");
    assert_string_equal(l.last, "two lines 5");
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    vpi_log(c, VP_LOG_ERROR, "io", "%s", longer);
    assert_int_equal(strlen(l.last), 1023);
    vpi_log(NULL, VP_LOG_ERROR, "io", "nowhere");
    vp_context_unref(c);
    c = context_with(1, 1);
    vpi_log(c, VP_LOG_ERROR, "io", "silent");
    vp_context_unref(c);
}

/* ---- close and fork ---- */

static void count_call(void *arg)
{
    ++*(int *)arg;
}

static void closing(void **state)
{
    vp_context *c = context_with(1, 1);
    vp_cancel *child = NULL;
    vp_error err = VP_ERROR_INIT;
    int calls = 0, gone = 0;
    vpi_hook hook = { .fn = count_call, .arg = &calls }, removed = { .fn = count_call, .arg = &gone };
    vpi_hook late = { .fn = count_call, .arg = &gone };

    (void)state;
    assert_int_equal(vpi_context_check(NULL, &err), VP_E_ARG);
    vp_error_init(&err);
    assert_int_equal(vpi_context_check(c, &err), VP_OK);
    assert_int_equal(vp_cancel_child(vpi_context_cancel(c), &child, &err), VP_OK);
    assert_int_equal(vpi_hook_add(c, &removed, &err), VP_OK);
    assert_int_equal(vpi_hook_add(c, &hook, &err), VP_OK);
    vpi_hook_remove(c, &removed);
    vpi_hook_remove(c, &removed);
    assert_int_equal(vp_context_close(c, &err), VP_OK);
    assert_int_equal(calls, 1);
    assert_int_equal(gone, 0);
    assert_int_equal(vp_cancel_fired(child), 1);
    assert_int_equal(vpi_context_check(c, &err), VP_E_STATE);
    assert_int_equal(vp_context_close(c, &err), VP_E_STATE);
    assert_int_equal(vpi_hook_add(c, &late, NULL), VP_E_STATE);
    vpi_hook_remove(c, &late);
    vpi_hook_remove(c, &hook);
    assert_int_equal(vp_context_close(NULL, &err), VP_E_ARG);
    vp_cancel_unref(child);
    vp_context_unref(c);
}

static void forking(void **state)
{
    vp_context *c = context_with(1, 1);
    uint32_t mark = vpi_fork_mark();
    vp_error err = VP_ERROR_INIT;
    int status = -1;
    pid_t pid;

    (void)state;
    assert_false(vpi_forked(mark));
    /* The only slot is taken: a child that waited for it would hang. */
    vpi_cpu_enter(c);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int ok = vpi_forked(mark) && vp_context_close(c, &err) == VP_E_STATE &&
                 strstr(err.message, "fork") != NULL && vpi_memory_try(c, 1, NULL) == VP_E_STATE;

        vpi_cpu_enter(c);
        vpi_cpu_leave(c);
        vp_context_unref(c);
        _exit(ok ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    vpi_cpu_leave(c);
    vp_context_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creation),      cmocka_unit_test(no_memory), cmocka_unit_test(cancels),
        cmocka_unit_test(memory_budget), cmocka_unit_test(cpu_slots), cmocka_unit_test(logging),
        cmocka_unit_test(closing),       cmocka_unit_test(forking),   cmocka_unit_test(sharing),
        cmocka_unit_test(scopes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
