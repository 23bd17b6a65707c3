/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who owns what: references dropped in any order, release called once, a closed context, a forked child. */

#include "api/host.h"

#include <sys/wait.h>

static uint32_t seed = 8080;

static uint32_t next_random(uint32_t below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

/* ---- any order ---- */

typedef struct hold {
    void *handle;
    void *(*unref)(void *);
} hold;

#define UNREF(type)                                                                                          \
    static void *drop_##type(void *handle)                                                                   \
    {                                                                                                        \
        return vp_##type##_unref(handle);                                                                    \
    }
UNREF(context)
UNREF(source)
UNREF(sink)
UNREF(store)
UNREF(queue)
UNREF(job)
UNREF(cancel)
UNREF(ladder)
UNREF(presentation)

static void shuffle(hold *list, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t k = next_random((uint32_t)i);
        hold h = list[i - 1];
        list[i - 1] = list[k];
        list[k] = h;
    }
}

static const char *const ladder_text =
    "{\"rungs\":[{\"name\":\"240p\",\"width\":320,\"height\":180,\"kbps\":300}]}";

/* how: 0 the job never starts, 1 it ended, 2 it runs while the handles go. */
static void drop_in_any_order(int how)
{
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    vp_context *context = NULL;
    vp_ladder *ladder = NULL;
    vp_presentation *p = NULL;
    vp_job *job = NULL;
    vp_error err;
    size_t n = 0;
    hold list[9];
    assert_ok(vp_context_new(NULL, &context, &err));
    assert_ok(vp_source_memory(context, the_clip.data, the_clip.size, &o.source, &err));
    assert_ok(vp_sink_memory(context, &o.sink, &err));
    assert_ok(vp_store_memory(context, &o.work, &err));
    assert_ok(vp_queue_new(&o.queue, &err));
    assert_ok(vp_cancel_new(&o.cancel, &err));
    assert_end(VP_OK, vp_ladder_parse(ladder_text, strlen(ladder_text), NULL, &ladder, &err), &err);
    o.ladder = ladder;
    o.settings_json = "{\"preset\":\"ultrafast\",\"segment\":1,\"gop\":1}";
    assert_end(VP_OK, vp_job_new(context, &o, &job, &err), &err);
    if (how) assert_ok(vp_job_start(job, &err));
    if (how == 1) {
        assert_end(VP_OK, vp_job_wait(job, -1, &err), &err);
        assert_ok(vp_job_presentation(job, &p, &err));
    }
    if (how == 2) sleep_ms(next_random(60));
    list[n++] = (hold){ context, drop_context };
    list[n++] = (hold){ o.source, drop_source };
    list[n++] = (hold){ o.sink, drop_sink };
    list[n++] = (hold){ o.work, drop_store };
    list[n++] = (hold){ o.queue, drop_queue };
    list[n++] = (hold){ o.cancel, drop_cancel };
    list[n++] = (hold){ ladder, drop_ladder };
    list[n++] = (hold){ job, drop_job };
    if (p) list[n++] = (hold){ p, drop_presentation };
    shuffle(list, n);
    for (size_t i = 0; i < n; i++) assert_null(list[i].unref(list[i].handle));
}

static void any_order(void **state)
{
    (void)state;
    for (int i = 0; i < (full_run() ? 300 : 40); i++) drop_in_any_order(0);
    for (int i = 0; i < (full_run() ? 50 : 4); i++) drop_in_any_order(1);
    for (int i = 0; i < (full_run() ? 100 : 8); i++) drop_in_any_order(2);
}

static void a_reference_more(void **state)
{
    room *r = *state;
    vp_cancel *parent = NULL, *child = NULL;
    assert_ptr_equal(vp_context_ref(r->context), r->context);
    assert_null(vp_context_unref(r->context));
    assert_int_equal(vp_context_threads(r->context), 2);
    assert_ptr_equal(vp_source_ref(r->source), r->source);
    assert_null(vp_source_unref(r->source));
    assert_ok(vp_cancel_new(&parent, NULL));
    assert_ok(vp_cancel_child(parent, &child, NULL));
    vp_cancel_unref(parent);
    assert_int_equal(vp_cancel_fired(child), 0);
    vp_cancel_fire(child);
    assert_int_equal(vp_cancel_fired(child), 1);
    vp_cancel_unref(child);
}

/* ---- callbacks of the host ---- */

typedef struct ends {
    int released;
} ends;

static void on_release(void *user)
{
    ((ends *)user)->released++;
}

static vp_status read_nothing(void *user, uint64_t offset, void *data, size_t capacity, size_t *got,
                              vp_error *err)
{
    (void)user;
    (void)offset;
    (void)data;
    (void)capacity;
    (void)err;
    *got = 0;
    return VP_OK;
}

static vp_status size_nothing(void *user, uint64_t *bytes, vp_error *err)
{
    (void)user;
    (void)err;
    *bytes = 0;
    return VP_OK;
}

static void release_once(void **state)
{
    room *r = *state;
    vp_source_ops ops = VP_SOURCE_OPS_INIT;
    ends e = { 0 };
    vp_source *s = NULL;
    ops.read_at = read_nothing;
    ops.size = size_nothing;
    ops.release = on_release;
    assert_ok(vp_source_new(r->context, &ops, &e, &s, NULL));
    memset(&ops, 0, sizeof(ops)); /* copied during the call */
    vp_source_ref(s);
    vp_source_unref(s);
    assert_int_equal(e.released, 0);
    r->source = vp_source_unref(r->source);
    r->source = vp_source_ref(s);
    /* an empty source is refused by name, and given back */
    room_start(r, QUICK);
    assert_status(VP_E_DATA, vp_job_wait(r->job, -1, &r->err));
    assert_string_equal(r->err.reason, "INPUT_EMPTY");
    r->job = vp_job_unref(r->job);
    r->source = vp_source_unref(r->source);
    assert_int_equal(e.released, 0);
    vp_source_unref(s);
    assert_int_equal(e.released, 1);
    /* on failure it is not called */
    ops = (vp_source_ops)VP_SOURCE_OPS_INIT;
    ops.release = on_release;
    assert_status(VP_E_ARG, vp_source_new(r->context, &ops, &e, &s, NULL));
    assert_int_equal(e.released, 1);
}

/* ---- errors ---- */

static void first_cause_stays(void **state)
{
    vp_error e = VP_ERROR_INIT;
    (void)state;
    assert_status(VP_E_IO, vp_error_set(&e, VP_E_IO, "FIRST", 1, "one"));
    assert_status(VP_E_DATA, vp_error_set(&e, VP_E_DATA, "SECOND", 2, "two"));
    assert_string_equal(e.reason, "FIRST");
    assert_int_equal(e.native, 1);
    assert_int_equal(e.status, VP_E_IO);
    vp_error_init(&e);
    assert_status(VP_E_HOST, vp_error_set(&e, VP_OK, "", 3, NULL));
    assert_string_equal(e.reason, "HOST");
}

/* ---- fork ---- */

#define CHILD(what)                                                                                          \
    do {                                                                                                     \
        if (!(what)) _exit(__LINE__ % 200 + 1);                                                              \
    } while (0)

static void child_of(room *r, vp_cancel *cancel)
{
    vp_error err;
    vp_event event;
    vp_bytes *bytes = NULL;
    vp_source *source = NULL;
    vp_job *job = NULL;
    vp_object *object = NULL;
    vp_object_info info = VP_OBJECT_INFO_INIT;
    size_t got;
    uint8_t byte;
    info.key = "a";
    vp_event_init(&event, sizeof(event));
    CHILD(vp_job_wait(r->job, 0, &err) == VP_E_STATE && err.status == VP_E_STATE);
    CHILD(vp_job_suspend(r->job, &err) == VP_E_STATE);
    CHILD(vp_job_cancel(r->job, &err) == VP_E_STATE);
    CHILD(vp_queue_next(r->queue, 0, &event, &err) == VP_E_STATE);
    CHILD(vp_source_read_at(r->source, 0, &byte, 1, &got, &err) == VP_E_STATE);
    CHILD(vp_sink_begin(r->sink, &info, &object, &err) == VP_E_STATE);
    CHILD(vp_sink_get(r->sink, "a", 0, &bytes, &err) == VP_E_STATE);
    CHILD(vp_store_put(r->work, "a", "b", 1, &err) == VP_E_STATE);
    CHILD(vp_source_memory(r->context, "a", 1, &source, &err) == VP_E_STATE);
    CHILD(vp_job_new_json(r->context, r->source, r->sink, NULL, NULL, 0, NULL, &job, &err) == VP_E_STATE);
    CHILD(vp_context_close(r->context, &err) == VP_E_STATE);
    CHILD(!vp_job_unref(r->job));
    CHILD(!vp_queue_unref(r->queue));
    CHILD(!vp_source_unref(r->source));
    CHILD(!vp_sink_unref(r->sink));
    CHILD(!vp_store_unref(r->work));
    CHILD(!vp_context_unref(r->context));
    CHILD(!vp_cancel_unref(cancel));
    /* a context of its own works */
    vp_context *own = NULL;
    CHILD(vp_context_new(NULL, &own, &err) == VP_OK);
    CHILD(vp_source_memory(own, "a", 1, &source, &err) == VP_OK);
    CHILD(vp_source_read_at(source, 0, &byte, 1, &got, &err) == VP_OK && got == 1 && byte == 'a');
    vp_source_unref(source);
    CHILD(vp_context_close(own, &err) == VP_OK);
    vp_context_unref(own);
    _exit(0);
}

static void fork_while_running(void **state)
{
    room *r = *state;
    vp_cancel *cancel = NULL;
    assert_ok(vp_cancel_new(&cancel, NULL));
    for (int i = 0; i < (full_run() ? 100 : 6); i++) {
        int status = 0;
        vp_sink_unref(r->sink);
        assert_ok(vp_sink_memory(r->context, &r->sink, NULL));
        room_start(r, QUICK);
        sleep_ms(next_random(80));
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            alarm(20); /* a child that hangs in an inherited lock */
            child_of(r, cancel);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("the child ended with %d, signal %d (line %d modulo 200)", WEXITSTATUS(status),
                     WIFSIGNALED(status) ? WTERMSIG(status) : 0, WEXITSTATUS(status) - 1);
        assert_end(VP_OK, vp_job_wait(r->job, -1, &r->err), &r->err); /* the parent is not disturbed */
    }
    vp_cancel_unref(cancel);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, room_open, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order),         TEST(a_reference_more),   TEST(release_once),
        cmocka_unit_test(first_cause_stays), TEST(fork_while_running),
    };
    int rc = clips_open();
    return rc ? clips_close(rc) : clips_close(cmocka_run_group_tests_name("handles", tests, NULL, NULL));
}
