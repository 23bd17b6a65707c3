/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads of the library and the queue between them. */

#include "test.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "base/context.h"
#include "base/fault.h"

static vp_context *new_context(void)
{
    vp_context *c = NULL;

    assert_int_equal(vp_context_new(NULL, &c, NULL), VP_OK);
    return c;
}

typedef struct probe {
    vp_context *context;
    char name[16];
    bool ours, usr1, term;
    vp_status close_status;
} probe;

static void look_around(void *arg)
{
    probe *p = arg;
    sigset_t set;

    p->ours = vpi_thread_is_ours();
    pthread_getname_np(pthread_self(), p->name, sizeof(p->name));
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    p->usr1 = sigismember(&set, SIGUSR1);
    p->term = sigismember(&set, SIGTERM);
    p->close_status = vp_context_close(p->context, NULL);
}

static void one_thread(void **state)
{
    probe p = { .context = new_context() };
    vpi_thread *t = NULL;
    sigset_t set;

    (void)state;
    assert_false(vpi_thread_is_ours());
    assert_int_equal(vpi_thread_start(p.context, "vp-a-very-long-name", look_around, &p, &t, NULL), VP_OK);
    assert_null(vpi_thread_join(t));
    assert_true(p.ours && p.usr1 && p.term);
    assert_string_equal(p.name, "vp-a-very-long-");
    assert_int_equal(p.close_status, VP_E_STATE);
    /* Our own mask is as before. */
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    assert_int_equal(sigismember(&set, SIGUSR1), 0);
    assert_null(vpi_thread_join(NULL));
    assert_int_equal(vp_context_close(p.context, NULL), VP_OK);
    assert_int_equal(vpi_thread_start(p.context, "x", look_around, &p, &t, NULL), VP_E_STATE);
    assert_null(t);
    vp_context_unref(p.context);
}

static void start_faults(void **state)
{
    vp_context *c = new_context();
    vp_error err = VP_ERROR_INIT;
    vpi_thread *t = NULL;
    probe p = { .context = c };

    (void)state;
    atomic_store(&vpi_alloc_fail_at, 1);
    assert_int_equal(vpi_thread_start(c, "x", look_around, &p, &t, &err), VP_E_NOMEM);
    vp_error_init(&err);
    atomic_store(&vpi_alloc_fail_at, 2);
    assert_int_equal(vpi_thread_start(c, "x", look_around, &p, &t, &err), VP_E_IO);
    assert_int_equal(err.native, EAGAIN);
    assert_true(err.flags & VP_ERRF_RETRYABLE);
    assert_null(t);
    assert_int_equal(vp_context_close(c, NULL), VP_OK);
    vp_context_unref(c);
}

static void until_cancelled(void *arg)
{
    while (!vp_cancel_fired(arg)) usleep(200);
}

typedef struct joiner {
    vpi_thread *thread;
    pthread_barrier_t *start;
} joiner;

static void *join_at_once(void *arg)
{
    joiner *j = arg;

    pthread_barrier_wait(j->start);
    vpi_thread_join(j->thread);
    return NULL;
}

/* Owners join while the context closes: each thread is joined once and freed by its owner. */
static void close_and_join(void **state)
{
    int round;

    (void)state;
    for (round = 0; round < 30; round++) {
        vp_context *c = new_context();
        pthread_barrier_t start;
        pthread_t owners[4];
        joiner j[4];
        vpi_thread *late = NULL;
        size_t i;

        pthread_barrier_init(&start, NULL, 5);
        for (i = 0; i < 4; i++) {
            j[i].start = &start;
            assert_int_equal(
                vpi_thread_start(c, "x", until_cancelled, vpi_context_cancel(c), &j[i].thread, NULL), VP_OK);
            pthread_create(&owners[i], NULL, join_at_once, &j[i]);
        }
        assert_int_equal(vpi_thread_start(c, "x", until_cancelled, vpi_context_cancel(c), &late, NULL),
                         VP_OK);
        pthread_barrier_wait(&start);
        assert_int_equal(vp_context_close(c, NULL), VP_OK);
        for (i = 0; i < 4; i++) pthread_join(owners[i], NULL);
        /* The thread holds the context until its owner lets go of it. */
        vp_context_unref(c);
        vpi_thread_join(late);
        pthread_barrier_destroy(&start);
    }
}

/* ---- pipe ---- */

static atomic_int dropped;

static void drop(void *element)
{
    (void)element;
    atomic_fetch_add(&dropped, 1);
}

static void pipe_alone(void **state)
{
    vpi_pipe *p = NULL;
    vp_error err = VP_ERROR_INIT;
    int x[3];
    void *e;

    (void)state;
    assert_int_equal(vpi_pipe_new(0, drop, &p, &err), VP_E_ARG);
    vp_error_init(&err);
    assert_int_equal(vpi_pipe_new(SIZE_MAX / 4, drop, &p, &err), VP_E_ARG);
    assert_int_equal(vpi_pipe_new(2, drop, &p, NULL), VP_OK);
    assert_int_equal(vpi_pipe_push(p, &x[0]), VP_OK);
    assert_int_equal(vpi_pipe_push(p, &x[1]), VP_OK);
    assert_int_equal(vpi_pipe_pop(p, &e), VP_OK);
    assert_ptr_equal(e, &x[0]);
    assert_int_equal(vpi_pipe_push(p, &x[2]), VP_OK);
    vpi_pipe_close(p);
    assert_int_equal(vpi_pipe_push(p, &x[0]), VP_E_STATE);
    assert_int_equal(vpi_pipe_pop(p, &e), VP_OK);
    assert_ptr_equal(e, &x[1]);
    assert_int_equal(vpi_pipe_pop(p, &e), VP_OK);
    assert_ptr_equal(e, &x[2]);
    assert_int_equal(vpi_pipe_pop(p, &e), VP_END);
    assert_null(e);
    assert_null(vpi_pipe_free(p));
    assert_int_equal(vpi_pipe_new(2, drop, &p, NULL), VP_OK);
    atomic_store(&dropped, 0);
    vpi_pipe_push(p, &x[0]);
    vpi_pipe_push(p, &x[1]);
    vpi_pipe_abort(p);
    assert_int_equal(atomic_load(&dropped), 2);
    assert_int_equal(vpi_pipe_push(p, &x[0]), VP_E_CANCELED);
    assert_int_equal(vpi_pipe_pop(p, &e), VP_E_CANCELED);
    vpi_pipe_free(p);
    assert_int_equal(vpi_pipe_new(2, drop, &p, NULL), VP_OK);
    vpi_pipe_push(p, &x[0]);
    vpi_pipe_free(p);
    assert_int_equal(atomic_load(&dropped), 3);
    assert_null(vpi_pipe_free(NULL));
}

static void produce(void *arg)
{
    uintptr_t i;

    for (i = 1; i <= 1000; i++) {
        if (vpi_pipe_push(arg, (void *)i) < 0) return;
    }
}

static void pipe_between_threads(void **state)
{
    vp_context *c = new_context();
    vpi_thread *t[3];
    vpi_pipe *p = NULL;
    uintptr_t sum = 0;
    void *e;
    int i;

    (void)state;
    assert_int_equal(vpi_pipe_new(4, NULL, &p, NULL), VP_OK);
    for (i = 0; i < 3; i++) assert_int_equal(vpi_thread_start(c, "x", produce, p, &t[i], NULL), VP_OK);
    for (i = 0; i < 3000; i++) {
        assert_int_equal(vpi_pipe_pop(p, &e), VP_OK);
        sum += (uintptr_t)e;
    }
    assert_int_equal(sum, 3 * 500500);
    for (i = 0; i < 3; i++) vpi_thread_join(t[i]);
    vpi_pipe_free(p);
    /* Abort frees a producer that waits for room. */
    assert_int_equal(vpi_pipe_new(4, NULL, &p, NULL), VP_OK);
    assert_int_equal(vpi_thread_start(c, "x", produce, p, &t[0], NULL), VP_OK);
    usleep(2000);
    vpi_pipe_abort(p);
    vpi_thread_join(t[0]);
    vpi_pipe_free(p);
    vp_context_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread),           cmocka_unit_test(start_faults),
        cmocka_unit_test(close_and_join),       cmocka_unit_test(pipe_alone),
        cmocka_unit_test(pipe_between_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
