/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A source that breaks in the middle: reads fail from byte N on, or give fewer bytes than its size says, from the
 * start or only after so many bytes were read (in the midst of encoding). The job ends with the right reason, and
 * the title that was published in the same folder before stays as it is, byte by byte.
 */

#include "api/host.h"

#include <ftw.h>
#include <pthread.h>

#define REASON "HOST_TROUBLE"

typedef enum breakage { FAILS, FEWER, NOTHING } breakage;
static const char *const breakage_names[] = { "reads fail", "fewer bytes", "no bytes" };

typedef struct broken {
    pthread_mutex_t lock;
    breakage how;
    uint64_t from;  /* the first byte that cannot be had */
    uint64_t after; /* once so many bytes were read; 0: from the start */
    uint64_t served;
    bool hit;
} broken;

static vp_status broken_read(void *user, uint64_t offset, void *data, size_t capacity, size_t *got,
                             vp_error *err)
{
    broken *b = user;
    size_t n = offset < long_clip.size ? long_clip.size - (size_t)offset : 0;
    bool hit;

    if (n > capacity) n = capacity;
    pthread_mutex_lock(&b->lock);
    hit = b->served >= b->after && offset + n > b->from;
    b->hit = b->hit || hit;
    b->served += n;
    pthread_mutex_unlock(&b->lock);
    *got = 0;
    if (hit && b->how == FAILS) return vp_error_set(err, VP_E_IO, REASON, 5, "the disk has a bad sector");
    if (hit) n = offset < b->from && b->how == FEWER ? (size_t)(b->from - offset) : 0;
    if (n) memcpy(data, long_clip.data + offset, n);
    *got = n;
    return VP_OK;
}

static vp_status broken_size(void *user, uint64_t *bytes, vp_error *err)
{
    (void)user;
    (void)err;
    *bytes = long_clip.size;
    return VP_OK;
}

static void broken_source(room *r, broken *b)
{
    vp_source_ops ops = VP_SOURCE_OPS_INIT;

    ops.read_at = broken_read;
    ops.size = broken_size;
    vp_source_unref(r->source);
    assert_ok(vp_source_new(r->context, &ops, b, &r->source, &r->err));
}

static int drop(const char *path, const struct stat *s, int type, struct FTW *ftw)
{
    (void)s;
    (void)type;
    (void)ftw;
    return remove(path);
}

static vp_status no_temporary(void *user, const vp_object_info *info)
{
    (void)user;
    if (strstr(info->key, ".tmp-")) fail_msg("%s is left", info->key);
    return VP_OK;
}

/* All that model holds is in the room's sink too, with the same bytes; and it is still a good title. */
static void title_stays(room *r, vp_sink *model)
{
    comparison c = { model, r->sink, 0, 0 };
    vp_report *report = NULL;

    assert_ok(vp_sink_list(model, "", compare_key, &c, NULL));
    assert_int_equal(c.different, 0);
    assert_true(c.count > 5);
    assert_ok(vp_sink_list(r->sink, "", no_temporary, NULL, NULL));
    assert_end(VP_OK, vp_verify(r->context, r->sink, NULL, NULL, &report, &r->err), &r->err);
    vp_report_unref(report);
}

static void start(room *r, bool package)
{
    vp_job_options o = VP_JOB_OPTIONS_INIT;

    if (!package) {
        room_start(r, QUICK);
        return;
    }
    o.sink = r->sink;
    o.work = r->work;
    o.settings_json = "{\"segment\":1,\"gop\":1}";
    r->job = vp_job_unref(r->job);
    assert_end(VP_OK, vp_job_new_package(r->context, &o, &r->source, NULL, 1, &r->job, &r->err), &r->err);
    assert_ok(vp_job_start(r->job, &r->err));
}

/* Bytes that a whole run reads, of which the first part is the scan, and what it publishes. */
static uint64_t whole_run(room *r, bool package, vp_sink **made)
{
    broken b = { .from = UINT64_MAX };
    vp_sink *sink = r->sink;

    pthread_mutex_init(&b.lock, NULL);
    broken_source(r, &b);
    assert_ok(vp_sink_memory(r->context, &r->sink, &r->err));
    start(r, package);
    assert_end(VP_OK, vp_job_wait(r->job, -1, &r->err), &r->err);
    r->job = vp_job_unref(r->job);
    r->source = vp_source_unref(r->source);
    *made = r->sink;
    r->sink = sink;
    return b.served;
}

static bool right_reason(const broken *b, const vp_error *err)
{
    if (b->how == FAILS) return err->status == VP_E_IO && err->native == 5 && !strcmp(err->reason, REASON);
    /* While the index is made that is a short file; later on the file has changed: tasks look at its ends first. */
    if (!strcmp(err->reason, "SOURCE_CHANGED")) return err->status == VP_E_CONFLICT;
    return err->status == VP_E_DATA && !strcmp(err->reason, "INPUT_TRUNCATED");
}

/* A folder of its own with a title in it: the room's short clip. */
static void publish_first(room *r, char *folder)
{
    memcpy(folder, "/tmp/vpt-broken-XXXXXX", sizeof("/tmp/vpt-broken-XXXXXX"));
    assert_non_null(mkdtemp(folder));
    vp_sink_unref(r->sink);
    assert_ok(vp_sink_directory(r->context, folder, &r->sink, &r->err));
    vp_source_unref(r->source);
    assert_ok(vp_source_memory(r->context, the_clip.data, the_clip.size, &r->source, &r->err));
    room_publish(r, QUICK, VP_OK);
}

static void one_break(room *r, vp_sink *model, vp_sink *whole, bool package, broken b)
{
    comparison c = { whole, r->sink, 0, 0 };
    char text[128], folder[32];
    vp_status st;

    snprintf(text, sizeof(text), "%s from byte %llu after %llu", breakage_names[b.how],
             (unsigned long long)b.from, (unsigned long long)b.after);
    publish_first(r, folder);
    pthread_mutex_init(&b.lock, NULL);
    broken_source(r, &b);
    start(r, package);
    st = vp_job_wait(r->job, -1, &r->err);
    if (!b.hit && !b.after) fail_msg("%s: never read", text);
    if (st == VP_OK && b.after) {
        /* What could not be had was read in advance and not needed: nothing is amiss. */
        c.with = r->sink;
        assert_ok(vp_sink_list(whole, "", compare_key, &c, NULL));
        if (c.different) fail_msg("%s: published with %u objects that differ", text, c.different);
        print_message("%s: not needed\n", text);
    } else {
        if (!right_reason(&b, &r->err))
            fail_msg("%s: %s %s (%s)", text, vp_status_name(st), r->err.reason, r->err.message);
        title_stays(r, model);
    }
    r->job = vp_job_unref(r->job);
    r->source = vp_source_unref(r->source);
    r->sink = vp_sink_unref(r->sink);
    vp_store_unref(r->work);
    assert_ok(vp_store_memory(r->context, &r->work, &r->err));
    nftw(folder, drop, 16, FTW_DEPTH | FTW_PHYS);
}

static void break_in_the_middle(room *r, bool package)
{
    vp_sink *model = r->sink, *made = NULL;
    unsigned steps = full_run() ? 16 : 3, tries = 0;
    uint64_t whole;

    room_publish(r, QUICK, VP_OK);
    r->sink = NULL;
    whole = whole_run(r, package, &made);
    for (int how = FAILS; how <= NOTHING; how++) {
        for (unsigned i = 0; i < steps; i++, tries++) {
            uint64_t from = long_clip.size * (2 * i + 1) / (2 * steps);

            one_break(r, model, made, package, (broken){ .how = how, .from = from });
            /* The scan is over after about half of what is read. */
            from = whole * (i + steps) / (2 * steps);
            one_break(r, model, made, package, (broken){ .how = how, .from = 4096, .after = from });
        }
    }
    print_message("%s: %u tries, %llu bytes of %zu are read\n", package ? "package" : "publish", 2 * tries,
                  (unsigned long long)whole, long_clip.size);
    vp_sink_unref(model);
    vp_sink_unref(made);
}

static void publish_breaks(void **state)
{
    break_in_the_middle(*state, false);
}

static void package_breaks(void **state)
{
    break_in_the_middle(*state, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, room_open, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(publish_breaks), TEST(package_breaks) };
    int rc = clips_open();
    return rc ? clips_close(rc) : clips_close(cmocka_run_group_tests_name("read errors", tests, NULL, NULL));
}
