/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A job that is killed, or whose disk fails, at each change of a disk that it makes: run again, it ends with the same
 * bytes as one that nobody disturbed, does no finished task twice, and leaves nothing behind. CI_FULL=1 tries every
 * change.
 */

#include "fault/tiny.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/fault.h"

#define TASKS_MAX 64u
#define NEVER 1000000000L

static char root[64];

typedef struct form {
    const char *name;
    uint32_t rate, formats, single_file;
    bool package;
    bool over; /* where another title is published already, which is to be pruned */
} form;

static const char *in_root(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *p = paths[next++ % 4];
    snprintf(p, sizeof(paths[0]), "%s/%s", root, name);
    return p;
}

static int shell(const char *format, const char *a, const char *b)
{
    char command[400];
    snprintf(command, sizeof(command), format, a, b);
    return system(command);
}

/* ---- one run, in a process of its own ---- */

/* "video-0001 begins": which tasks were run. */
static void on_log(void *user, int32_t level, const char *module, const char *line)
{
    char text[128];
    (void)module;
    if (level != VP_LOG_INFO || !strstr(line, " begins")) return;
    int n = snprintf(text, sizeof(text), "%.*s\n", (int)strcspn(line, " "), line);
    if (write(*(int *)user, text, (size_t)n) != n) abort();
}

static vp_status run_job(const form *f, int log, const char *out, vp_error *err)
{
    vp_context_options c = VP_CONTEXT_OPTIONS_INIT;
    vp_transcode_options t = VP_TRANSCODE_OPTIONS_INIT;
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    vp_context *context = NULL;
    vp_job *job = NULL;
    const char *name = "tiny.mp4";
    c.threads = 2;
    c.log = on_log;
    c.log_user = &log;
    c.log_level = VP_LOG_INFO;
    t.rate = f->rate;
    t.formats = f->formats;
    t.single_file = f->single_file;
    t.preset = "ultrafast";
    t.segment_ms = t.gop_ms = 500;
    t.span_ms = 500;
    o.transcode = &t;
    o.prune = f->over;
    vp_status st = vp_context_new(&c, &context, err);
    if (st >= 0) st = vp_source_memory(context, the_clip.data, the_clip.size, &o.source, err);
    if (st >= 0) st = vp_sink_directory(context, in_root(out), &o.sink, err);
    if (st >= 0) st = vp_store_directory(context, in_root("work"), &o.work, err);
    if (st >= 0)
        st = f->package ? vp_job_new_package(context, &o, &o.source, &name, 1, &job, err)
                        : vp_job_new(context, &o, &job, err);
    if (st >= 0) st = vp_job_start(job, err);
    if (st >= 0) st = vp_job_wait(job, -1, err);
    vp_job_unref(job);
    vp_store_unref(o.work);
    vp_sink_unref(o.sink);
    vp_source_unref(o.source);
    vp_context_unref(context);
    return st;
}

/* What waitpid tells. The n-th change fails with that number, 0: kills. The file `log` gets the tasks that began. */
static int run(const form *f, const char *out, long n, int number, long *left)
{
    int status = 0, ends[2];
    assert_int_equal(pipe(ends), 0);
    unlink(in_root("log"));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        vp_error err = VP_ERROR_INIT;
        int log = open(in_root("log"), O_WRONLY | O_CREAT | O_APPEND, 0600);
        setenv("TMPDIR", in_root("tmp"), 1);
        atomic_store(&vpi_disk_fail_with, number);
        atomic_store(&vpi_disk_fail_at, n);
        vp_status st = run_job(f, log, out, &err);
        long rest = atomic_load(&vpi_disk_fail_at);
        if (write(ends[1], &rest, sizeof(rest)) != sizeof(rest)) _exit(9);
        if (st < 0 && (n == 0 || st != VP_E_IO))
            fprintf(stderr, "%s %s: %s (%s %s)\n", vp_status_name(st), err.reason, err.message, err.op,
                    err.key);
        _exit(st == VP_OK ? 0 : st == VP_END ? 1 : st == VP_E_IO ? 2 : 3);
    }
    close(ends[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (read(ends[0], left, sizeof(*left)) != sizeof(*left)) *left = 0;
    close(ends[0]);
    return status;
}

/* ---- what is there after it ---- */

typedef struct tasks {
    char names[TASKS_MAX][64];
    unsigned count;
} tasks;

static void add_task(tasks *t, const char *name)
{
    assert_true(t->count < TASKS_MAX && strlen(name) < sizeof(t->names[0]));
    strcpy(t->names[t->count++], name);
}

static bool has_task(const tasks *t, const char *name)
{
    for (unsigned i = 0; i < t->count; i++)
        if (strcmp(t->names[i], name) == 0) return true;
    return false;
}

static void read_log(tasks *t)
{
    char line[128];
    FILE *file = fopen(in_root("log"), "r");
    t->count = 0;
    while (file && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = 0;
        assert_false(has_task(t, line));
        add_task(t, line);
    }
    if (file) fclose(file);
}

static void read_records(tasks *t)
{
    DIR *d = opendir(in_root("work/result"));
    struct dirent *e;
    t->count = 0;
    while (d && (e = readdir(d)) != NULL)
        if (e->d_name[0] != '.') add_task(t, e->d_name);
    if (d) closedir(d);
}

static void expect_nothing_left(void)
{
    assert_int_equal(
        shell("test -z \"$(find %s %s -type f ! -name '*.lease')\"", in_root("work"), in_root("tmp")), 0);
    assert_int_equal(
        shell("test -z \"$(find %s%s -name '.*' ! -name .vodpipe-version)\"", in_root("out"), ""), 0);
}

static void start_over(const form *f, const char *out)
{
    assert_int_equal(shell("rm -rf %s %s", in_root(out), in_root("work")), 0);
    assert_int_equal(shell("rm -rf %s; mkdir %s", in_root("tmp"), in_root("tmp")), 0);
    if (f->over) assert_int_equal(shell("cp -a %s %s", in_root("older"), in_root(out)), 0);
}

/* The title as it is when nobody disturbs the job; the number of changes of a disk, and the tasks. */
static long undisturbed(const form *f, int number, tasks *all)
{
    static const form older = { .rate = VP_RATE_ABR, .formats = VP_FORMAT_CMAF | VP_FORMAT_TS };
    long left = 0;
    if (f->over) {
        start_over(&older, "older");
        assert_int_equal(run(&older, "older", 0, 0, &left), 0);
    }
    start_over(f, "whole");
    assert_int_equal(run(f, "whole", NEVER, number, &left), 0);
    read_log(all);
    return NEVER - left;
}

/* After a run that was broken off: the next one, without disturbance. */
static void go_on(const form *f, unsigned all)
{
    tasks recorded, begun;
    long left;
    read_records(&recorded);
    int status = run(f, "out", 0, 0, &left);
    read_log(&begun);
    if (status != 0 && status != 1 << 8)
        print_error("%s: the next run ends with %x\n", f->name, (unsigned)status);
    assert_true(status == 0 || status == 1 << 8);
    for (unsigned i = 0; i < begun.count; i++) {
        if (!has_task(&recorded, begun.names[i])) continue;
        fail_msg("%s was done, and is run again", begun.names[i]);
    }
    if (status == 0) assert_int_equal(begun.count + recorded.count, all);
    assert_int_equal(shell("diff -r %s %s", in_root("whole"), in_root("out")), 0);
    expect_nothing_left();
}

static void try_changes(const form *f, int number)
{
    long left = 0, n;
    tasks all;
    long changes = undisturbed(f, number, &all);
    assert_true(f->package ? all.count == 0 : all.count > 4);
    assert_true(changes > 40);
    long step = full_run() ? 1 : changes / 11, tried = 0;
    for (n = 1; n <= changes; n += step, tried++) {
        start_over(f, "out");
        int status = run(f, "out", n, number, &left);
        /* Threads may do less than in the first run; and what fails while things are cleared up is no failure. */
        assert_true(number == 0 ? status == SIGKILL || status == 0 : status == 2 << 8 || status == 0);
        go_on(f, all.count);
    }
    print_message("%s: %ld of %ld changes\n", f->name, tried, changes);
}

/* Killed again and again, each time a little later. */
static void again_and_again(const form *f)
{
    long left;
    int status = SIGKILL;
    unsigned runs = 0;
    tasks begun, recorded;
    undisturbed(f, 0, &begun);
    start_over(f, "out");
    for (long n = 7; status == SIGKILL; n += full_run() ? 1 : 9) {
        read_records(&recorded);
        status = run(f, "out", n, 0, &left);
        read_log(&begun);
        for (unsigned i = 0; i < begun.count; i++) assert_false(has_task(&recorded, begun.names[i]));
        runs++;
    }
    assert_true(status == 0 || status == 1 << 8);
    assert_true(runs > 5);
    assert_int_equal(shell("diff -r %s %s", in_root("whole"), in_root("out")), 0);
    expect_nothing_left();
    print_message("%s: %u runs\n", f->name, runs);
}

static const form forms[] = {
    { "abr, both", VP_RATE_ABR, VP_FORMAT_CMAF | VP_FORMAT_TS, 0, false, false },
    { "2pass, cmaf", VP_RATE_2PASS, 0, 0, false, false },
    { "2pass, single file, over another title", VP_RATE_2PASS, 0, 1, false, true },
    { "package", 0, VP_FORMAT_CMAF | VP_FORMAT_TS, 0, true, false },
    { "package, single file", 0, 0, 1, true, false },
};
#define FORMS (sizeof(forms) / sizeof(forms[0]))

static void killed(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMS; i++) try_changes(&forms[i], 0);
}

static void killed_often(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMS; i++) again_and_again(&forms[i]);
}

static void failing_disk(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMS; i++) try_changes(&forms[i], EIO);
}

static void full_disk(void **state)
{
    (void)state;
    for (size_t i = 0; i < FORMS; i++) try_changes(&forms[i], ENOSPC);
}

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/vpt-kill-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int drop_root(void **state)
{
    (void)state;
    return shell("rm -rf %s%s", root, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(killed), cmocka_unit_test(killed_often),
                                        cmocka_unit_test(failing_disk), cmocka_unit_test(full_disk) };
    int rc = tiny_clip();
    return rc ? rc : clips_close(cmocka_run_group_tests_name("kill", tests, make_root, drop_root));
}
