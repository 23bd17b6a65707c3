/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The disk is full in the middle of a publish: DISK_FULL, and the title that is there stays as it is. */

#include "api/host.h"

#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

static char root[64];
static uint64_t tree_sum, tree_files, tree_temporary;
static const char *tree_skip;

static int add_file(const char *path, const struct stat *s, int type, struct FTW *ftw)
{
    clip c = { 0 };
    (void)s;
    (void)ftw;
    if (type != FTW_F || (tree_skip && !strstr(path, tree_skip))) return 0;
    assert_true(clip_load(path, &c));
    uint64_t sum = 14695981039346656037u;
    for (const char *p = path; *p; p++) sum = (sum ^ (uint8_t)*p) * 1099511628211u;
    for (size_t i = 0; i < c.size; i++) sum = (sum ^ c.data[i]) * 1099511628211u;
    tree_sum += sum;
    tree_files++;
    free(c.data);
    return 0;
}

/* Order of names does not matter. only: part of the path, or NULL. */
static uint64_t sum_of(const char *path, const char *only)
{
    tree_sum = tree_files = 0;
    tree_skip = only;
    assert_int_equal(nftw(path, add_file, 16, FTW_PHYS), 0);
    return tree_sum;
}

static int count_temporary(const char *path, const struct stat *s, int type, struct FTW *ftw)
{
    const char *name = path + ftw->base;
    (void)s;
    if (type == FTW_F && name[0] == '.' && strcmp(name, ".vodpipe-version") != 0) tree_temporary++;
    return 0;
}

static int drop(const char *path, const struct stat *s, int type, struct FTW *ftw)
{
    (void)s;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void directory_sink(room *r, const char *path)
{
    vp_sink_unref(r->sink);
    assert_end(VP_OK, vp_sink_directory(r->context, path, &r->sink, &r->err), &r->err);
}

static void limit_files(uint64_t bytes)
{
    struct rlimit l;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
    l.rlim_cur = bytes ? bytes : l.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static uint64_t root_sum(const char *folder)
{
    char path[256];
    uint64_t sum = 0;
    static const char *const names[] = { "master.m3u8", "manifest.mpd", "presentation.json" };
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        sum = sum * 31 + sum_of(path, NULL);
        assert_int_equal(tree_files, 1);
    }
    return sum;
}

/* Publishes one title, then another while there is no room, then with room again. */
static void fill_up(room *r, const char *folder, void (*limit)(bool on))
{
    vp_report *report = NULL;
    char version[64];
    vp_presentation *p = NULL;
    vp_presentation_info info;
    directory_sink(r, folder);
    room_publish(r, QUICK, VP_OK);
    assert_ok(vp_job_presentation(r->job, &p, NULL));
    vp_presentation_info_init(&info, sizeof(info));
    assert_ok(vp_presentation_get_info(p, &info, NULL));
    snprintf(version, sizeof(version), "/%s/", info.version);
    vp_presentation_unref(p);
    uint64_t title = sum_of(folder, version), roots = root_sum(folder);
    room_source(r, &long_clip);
    limit(true);
    room_start(r, QUICK);
    vp_status st = vp_job_wait(r->job, -1, &r->err);
    limit(false);
    assert_end(VP_E_IO, st, &r->err);
    assert_string_equal(r->err.reason, "DISK_FULL");
    assert_true(r->err.native == EFBIG || r->err.native == ENOSPC);
    assert_int_equal(r->err.domain, VP_DOM_ERRNO);
    assert_true(r->err.flags & VP_ERRF_RETRYABLE || r->err.native == EFBIG);
    print_message("%s: %s (%s, %s)\n", r->err.reason, r->err.message, r->err.op, r->err.key);
    assert_true(sum_of(folder, version) == title);
    assert_true(root_sum(folder) == roots);
    assert_end(VP_OK, vp_verify(r->context, r->sink, NULL, NULL, &report, &r->err), &r->err);
    vp_report_unref(report);
    tree_temporary = 0;
    assert_int_equal(nftw(folder, count_temporary, 16, FTW_PHYS), 0);
    assert_int_equal(tree_temporary, 0);
}

static void file_limit(bool on)
{
    limit_files(on ? 30000 : 0);
}

static void limit_of_size(void **state)
{
    room *r = *state;
    char folder[128];
    snprintf(folder, sizeof(folder), "%s/a", root);
    fill_up(r, folder, file_limit);
    room_publish(r, QUICK, VP_OK); /* there is room again */
    nftw(folder, drop, 16, FTW_DEPTH | FTW_PHYS);
}

/* The work store is what is full. */
static void limit_of_work(void **state)
{
    room *r = *state;
    char folder[128];
    snprintf(folder, sizeof(folder), "%s/work", root);
    vp_store_unref(r->work);
    assert_ok(vp_store_directory(r->context, folder, &r->work, &r->err));
    limit_files(500);
    room_start(r, QUICK);
    vp_status st = vp_job_wait(r->job, -1, &r->err);
    limit_files(0);
    assert_end(VP_E_IO, st, &r->err);
    assert_string_equal(r->err.reason, "DISK_FULL");
    assert_false(sink_holds(r->sink, "master.m3u8"));
    room_publish(r, QUICK, VP_OK);
    nftw(folder, drop, 16, FTW_DEPTH | FTW_PHYS);
}

static void no_limit(bool on)
{
    (void)on;
}

static void small_disk(void **state)
{
    room *r = *state;
    char folder[128], title[160];
    snprintf(folder, sizeof(folder), "%s/disk", root);
    assert_int_equal(mkdir(folder, 0700), 0);
    if (geteuid() != 0 || mount("tmpfs", folder, "tmpfs", 0, "size=640k") != 0) {
        rmdir(folder);
        print_message("no file system may be mounted here\n");
        skip();
    }
    snprintf(title, sizeof(title), "%s/title", folder);
    fill_up(r, title, no_limit);
    directory_sink(r, "/nowhere");
    assert_int_equal(umount2(folder, MNT_DETACH), 0);
    rmdir(folder);
}

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/vpt-disk-XXXXXX");
    signal(SIGXFSZ, SIG_IGN);
    return mkdtemp(root) ? 0 : -1;
}

static int drop_root(void **state)
{
    (void)state;
    return nftw(root, drop, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, room_open, room_close)

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(limit_of_size), TEST(limit_of_work), TEST(small_disk) };
    int rc = clips_open();
    return rc ? clips_close(rc)
              : clips_close(cmocka_run_group_tests_name("disk full", tests, make_root, drop_root));
}
