/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A process that works for a long time: a thousand handles opened and closed and a thousand jobs leave no descriptor,
 * no thread and no memory behind, and the host's locale, signals and av_log as they were. X13 of the list of failures.
 * CI_FULL=1: a thousand jobs, otherwise some of them.
 */

#include "fault/tiny.h"

#include <inttypes.h>
#include <locale.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED __has_feature(address_sanitizer)
#else
#define SANITIZED 0
#endif

#define TINY "{\"preset\":\"ultrafast\",\"ladder\":\"240p\",\"segment\":1,\"gop\":1,\"format\":\"both\"}"

static char clip_path[] = "/tmp/vpt-endurance-XXXXXX";

/* Resident bytes; 0 where that tells nothing: AddressSanitizer keeps what was freed, and says itself what leaks. */
static size_t resident(void)
{
    unsigned long total, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    malloc_trim(0);
    if (!f) return 0;
    if (fscanf(f, "%lu %lu", &total, &pages) != 2) pages = 0;
    fclose(f);
    return SANITIZED ? 0 : pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* What a long process must not lose. */
typedef struct still {
    unsigned files, threads;
    struct sigaction signals[32];
    sigset_t mask;
    char locale[256], folder[512];
    int av_level;
} still;

static int (*av_level)(void);
static void (*av_log_call)(void *, int, const char *, ...);
static int av_lines;

static void host_av_log(void *object, int level, const char *format, va_list args)
{
    (void)object;
    (void)level;
    (void)format;
    (void)args;
    av_lines++;
}

static void look(still *s, unsigned threads)
{
    s->files = count_files();
    s->threads = thread_count_settled(threads);
    for (int n = 1; n < 32; n++) sigaction(n, NULL, &s->signals[n]);
    pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
    snprintf(s->locale, sizeof(s->locale), "%s", setlocale(LC_ALL, NULL));
    assert_non_null(getcwd(s->folder, sizeof(s->folder)));
    s->av_level = av_level();
}

static void expect_same(const still *before)
{
    still now;
    int lines = av_lines;

    look(&now, before->threads);
    assert_int_equal(now.files, before->files);
    assert_int_equal(now.threads, before->threads);
    for (int n = 1; n < 32; n++) {
        assert_true(now.signals[n].sa_handler == before->signals[n].sa_handler);
        assert_int_equal(now.signals[n].sa_flags, before->signals[n].sa_flags);
    }
    for (int n = 1; n < 65; n++) assert_int_equal(sigismember(&now.mask, n), sigismember(&before->mask, n));
    assert_string_equal(now.locale, before->locale);
    assert_string_equal(now.folder, before->folder);
    assert_int_equal(now.av_level, before->av_level);
    av_log_call(NULL, 16, "x");
    assert_int_equal(av_lines, lines + 1); /* the host's callback, once */
}

/* ---- open and close ---- */

static vp_status never_read(void *user, uint64_t offset, void *data, size_t capacity, size_t *got,
                            vp_error *err)
{
    (void)user;
    (void)offset;
    (void)data;
    (void)capacity;
    *got = 0;
    return vp_error_set(err, VP_E_IO, NULL, 0, "never");
}

static vp_status no_size(void *user, uint64_t *bytes, vp_error *err)
{
    (void)user;
    (void)err;
    *bytes = 0;
    return VP_OK;
}

static void open_and_close_once(unsigned round)
{
    room r = { 0 };
    vp_source_ops ops = VP_SOURCE_OPS_INIT;
    vp_source *sources[3] = { NULL };
    vp_cancel *cancel = NULL, *child = NULL;
    vp_sink *folder = NULL;
    vp_store *store = NULL;
    vp_media *media = NULL;

    ops.read_at = never_read;
    ops.size = no_size;
    assert_ok(vp_context_new(NULL, &r.context, &r.err));
    assert_ok(vp_cancel_new(&cancel, &r.err));
    assert_ok(vp_cancel_child(cancel, &child, &r.err));
    assert_end(VP_OK, vp_source_file(r.context, clip_path, &sources[0], &r.err), &r.err);
    assert_ok(vp_source_memory(r.context, the_clip.data, the_clip.size, &sources[1], &r.err));
    assert_ok(vp_source_new(r.context, &ops, NULL, &sources[2], &r.err));
    assert_ok(vp_sink_memory(r.context, &r.sink, &r.err));
    assert_ok(vp_sink_directory(r.context, "/nowhere/at/all", &folder, &r.err));
    assert_ok(vp_store_directory(r.context, "/nowhere/at/all", &store, &r.err));
    assert_ok(vp_store_memory(r.context, &r.work, &r.err));
    assert_ok(vp_queue_new(&r.queue, &r.err));
    for (int i = 0; i < 3; i++) {
        vp_job *job = NULL;

        assert_ok(vp_job_new_json(r.context, sources[i], r.sink, r.work, r.queue, 0, TINY, &job, &r.err));
        if (round % 20 == 0) assert_ok(vp_job_start(job, &r.err)); /* the last handle stops it */
        vp_job_unref(job);
        if (i < 2 && round % 10 == 0)
            assert_ok(vp_probe(r.context, sources[i], NULL, cancel, &media, &r.err));
        media = vp_media_unref(media);
        vp_source_unref(sources[i]);
    }
    if (round % 2) assert_ok(vp_context_close(r.context, &r.err));
    vp_sink_unref(folder);
    vp_store_unref(store);
    vp_cancel_unref(child);
    vp_cancel_unref(cancel);
    vp_sink_unref(r.sink);
    vp_store_unref(r.work);
    vp_queue_unref(r.queue);
    vp_context_unref(r.context);
}

/* A leak grows in every window; what allocators of threads keep is reached in one of them, when is chance. */
static void open_and_close(void **state)
{
    still before;
    size_t early = 0, late = 0;
    unsigned n = 0, windows = 0;

    (void)state;
    look(&before, thread_count());
    for (; n < 500; n++) open_and_close_once(n);
    do {
        early = resident();
        for (unsigned end = n + 500; n < end; n++) open_and_close_once(n);
        late = resident();
        windows++;
        print_message("open and close: %zu kB before, %zu kB after round %u\n", early >> 10, late >> 10, n);
    } while (late > early + (2u << 20) && windows < 4);
    expect_same(&before);
    assert_true(late <= early + (2u << 20));
}

/* ---- jobs ---- */

static void one_job(room *r, unsigned n)
{
    static const char packed[] = "{\"segment\":1,\"gop\":1}";
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    vp_event e;

    vp_sink_unref(r->sink);
    r->sink = NULL;
    assert_ok(vp_sink_memory(r->context, &r->sink, &r->err));
    r->job = vp_job_unref(r->job);
    if (n % 3 == 2) {
        o.sink = r->sink;
        o.queue = r->queue;
        o.settings_json = packed;
        assert_ok(vp_job_new_package(r->context, &o, &r->source, NULL, 1, &r->job, &r->err));
        assert_ok(vp_job_start(r->job, &r->err));
    } else {
        room_start(r, TINY);
    }
    if (n % 7 == 3) vp_job_cancel(r->job, NULL);
    vp_status st = vp_job_wait(r->job, -1, &r->err);
    if (n % 7 != 3 || st != VP_E_CANCELED) assert_end(VP_OK, st, &r->err);
    read_until_end(r->queue, &e);
}

static size_t resident_after(room *r, unsigned *n, unsigned jobs)
{
    for (unsigned end = *n + jobs; *n < end; ++*n) one_job(r, *n);
    r->job = vp_job_unref(r->job);
    return resident();
}

/* As above: a plateau, sooner or later. */
static void many_jobs(void **state)
{
    unsigned size = full_run() ? 350 : 30, n = 0, windows = 0;
    size_t bound = (1u << 20) + (size_t)size * 4096, early, late;
    room *r = *state;
    still before;

    signal(SIGUSR1, SIG_IGN);
    look(&before, thread_count());
    late = resident_after(r, &n, size);
    do {
        early = late;
        late = resident_after(r, &n, size);
        windows++;
        print_message("jobs: %zu kB before, %zu kB after %u\n", early >> 10, late >> 10, n);
    } while (late > early + bound && windows < 6);
    expect_same(&before);
    signal(SIGUSR1, SIG_DFL);
    assert_true(late <= early + bound);
}

/* ---- signals ---- */

/* Signals 32 and 33 belong to the threads library, which never lets them be blocked. */
#define MUST_BLOCK (~(UINT64_C(1) << (SIGKILL - 1) | UINT64_C(1) << (SIGSTOP - 1) | UINT64_C(3) << 31))

/* Looks at all threads but this one; true when one was there. */
static bool look_at_masks(unsigned *seen)
{
    DIR *d = opendir("/proc/self/task");
    struct dirent *e;
    bool any = false;

    assert_non_null(d);
    while ((e = readdir(d))) {
        char path[300], line[256], name[64] = "?";
        uint64_t blocked = 0;
        unsigned threads = 0;
        bool known = false;
        FILE *f;

        if (e->d_name[0] == '.' || atoi(e->d_name) == getpid()) continue;
        snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
        f = fopen(path, "r");
        if (!f) continue; /* it has ended */
        while (fgets(line, sizeof(line), f)) {
            if (sscanf(line, "Name: %63s", name) == 1) continue;
            if (sscanf(line, "Threads: %u", &threads) == 1) continue;
            if (sscanf(line, "SigBlk: %" SCNx64, &blocked) == 1) known = true;
        }
        fclose(f);
        /* A thread that is ending has no signal state any more: the kernel writes zeros, also as the count of threads
           (fs/proc/array.c, task_sig). */
        if (!known || threads == 0) continue;
        if (~blocked & MUST_BLOCK)
            fail_msg("thread %s lets signals in: it blocks %016" PRIx64, name, blocked);
        any = true;
        ++*seen;
    }
    closedir(d);
    return any;
}

static void threads_block_signals(void **state)
{
    room *r = *state;
    unsigned seen = 0, looks = 0, before = thread_count();

    assert_int_equal(before, 1);
    for (int i = 0; i < 3; i++) {
        vp_sink_unref(r->sink);
        assert_ok(vp_sink_memory(r->context, &r->sink, &r->err));
        room_start(r, "{\"preset\":\"veryfast\",\"ladder\":\"240p\",\"segment\":1,\"gop\":1}");
        while (vp_job_wait(r->job, 1, &r->err) == VP_AGAIN) looks += look_at_masks(&seen);
        assert_end(VP_OK, vp_job_wait(r->job, 0, &r->err), &r->err);
    }
    print_message("%u looks, %u threads seen\n", looks, seen);
    assert_true(looks > 3 && seen > 3 * looks / 2);
}

/* ---- fork ---- */

/* A child may drop what it inherited, at any moment of the parent's work, and ends as it should. */
static void child_may_drop(void **state)
{
    room *r = *state;

    for (int i = 0; i < (full_run() ? 100 : 10); i++) {
        int status = 0;
        pid_t pid;

        vp_sink_unref(r->sink);
        assert_ok(vp_sink_memory(r->context, &r->sink, &r->err));
        room_start(r, TINY);
        sleep_ms(i * 3 % 40);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            alarm(20); /* should it wait for a lock that a thread of the parent held */
            vp_job_unref(r->job);
            vp_source_unref(r->source);
            vp_sink_unref(r->sink);
            vp_store_unref(r->work);
            vp_queue_unref(r->queue);
            vp_context_unref(r->context);
            _exit(42);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 42);
        assert_end(VP_OK, vp_job_wait(r->job, -1, &r->err), &r->err);
    }
}

static bool save_clip(void)
{
    int fd = mkstemp(clip_path);
    bool ok = fd >= 0 && write(fd, the_clip.data, the_clip.size) == (ssize_t)the_clip.size;

    if (fd >= 0) close(fd);
    return ok;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, room_open, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(open_and_close), TEST(many_jobs),
                                        TEST(threads_block_signals), TEST(child_may_drop) };
    void (*set_callback)(void (*)(void *, int, const char *, va_list)) = NULL;
    int rc = tiny_clip();

    if (rc) return clips_close(rc);
    *(void **)&set_callback = av_symbol("av_log_set_callback");
    *(void **)&av_level = av_symbol("av_log_get_level");
    *(void **)&av_log_call = av_symbol("av_log");
    if (!set_callback || !av_level || !av_log_call || !save_clip()) return clips_close(1);
    set_callback(host_av_log);
    setlocale(LC_ALL, "C");
    rc = clips_close(cmocka_run_group_tests_name("endurance", tests, NULL, NULL));
    unlink(clip_path);
    return rc;
}
