/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pieces of large uploads that are gathered, and whole pages that go past the page cache: each block before its call
 * returns; test_flow.c has the others.
 */

#include <dirent.h>
#include <sys/mount.h>
#include <time.h>

#include "gather_tools.h"

/* Whether a descriptor of this process on the upload's bytes writes past the cache. */
static bool is_direct(const room *r, const char *id)
{
    DIR *all = opendir("/proc/self/fd");
    char path[256], link[300], target[300];
    struct dirent *e;
    bool found = false;

    path_of(r, id, path);
    assert_non_null(all);
    while ((e = readdir(all)) != NULL) {
        ssize_t n;

        snprintf(link, sizeof(link), "/proc/self/fd/%s", e->d_name);
        n = readlink(link, target, sizeof(target) - 1);
        if (n < 0) continue;
        target[n] = 0;
        if (strcmp(target, path) == 0) found = found || (fcntl(atoi(e->d_name), F_GETFL) & O_DIRECT);
    }
    closedir(all);
    return found;
}

/* Whether the file system of the test does that at all. */
static bool can_direct(const room *r)
{
    char path[256];
    int fd;

    snprintf(path, sizeof(path), "%s/probe", r->path);
    fd = open(path, O_RDWR | O_CREAT | O_DIRECT, 0600);
    if (fd >= 0) close(fd);
    unlink(path);
    return fd >= 0;
}

/* ---- the way of the bytes ---- */

static void gathered(void **state)
{
    room *r = *state;
    vp_upload *u = make_upload(r, "x", LENGTH);
    bool direct = can_direct(r);

    assert_int_equal(append(u, 1000, SEED, &r->err), VP_OK);
    assert_int_equal(vp_upload_offset(u), 1000);
    assert_int_equal(written(r, "x"), 0);
    assert_int_equal(append(u, BUFFER - 1000, SEED, &r->err), VP_OK);
    assert_int_equal(written(r, "x"), BUFFER);
    assert_true(is_direct(r, "x") == direct);
    assert_int_equal(stat_offset(r->store, "x"), 0); /* written is not durable */
    /* What is told is written, synced and in the record. */
    assert_int_equal(append(u, 777, SEED, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    assert_int_equal(written(r, "x"), BUFFER + 777);
    assert_int_equal(stat_offset(r->store, "x"), BUFFER + 777);
    assert_false(is_direct(r, "x")); /* an end that is no page */
    /* From there on pages are whole again where the file has them. */
    assert_int_equal(append(u, 3 * BUFFER, SEED, &r->err), VP_OK);
    assert_int_equal(written(r, "x"), 4 * BUFFER);
    assert_true(is_direct(r, "x") == direct);
    /* A handle that is closed leaves all that came. */
    assert_int_equal(append(u, 100, SEED, &r->err), VP_OK);
    vp_upload_close(u);
    assert_int_equal(stat_offset(r->store, "x"), 4 * BUFFER + 877);
    assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK);
    assert_int_equal(append(u, 50, SEED, &r->err), VP_OK);
    finish(r, u, LENGTH);
    assert_int_equal(written(r, "x"), LENGTH);
}

/* Without a length only what has come already tells that there is much. */
static void no_length(void **state)
{
    room *r = *state;
    vp_upload *u = make_upload(r, "x", VP_SIZE_UNKNOWN);

    assert_int_equal(append(u, 1000, SEED, &r->err), VP_OK);
    assert_int_equal(written(r, "x"), 1000);
    assert_int_equal(append(u, BUFFER, SEED, &r->err), VP_OK);
    assert_int_equal(append(u, 1000, SEED, &r->err), VP_OK);
    assert_int_equal(written(r, "x"), BUFFER + 1000);
    assert_int_equal(vp_upload_set_length(u, BUFFER + 1999, &r->err),
                     VP_E_CONFLICT); /* what is gathered has come */
    assert_int_equal(vp_upload_set_length(u, BUFFER + 2000, &r->err), VP_OK);
    finish(r, u, BUFFER + 2000);
}

/* A small rest, and a store whose bytes are to be durable soon, are not gathered. */
static void not_gathered(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_upload *u;

    made_scope = "s"; /* else so small a one has no file of its own */
    u = make_upload(r, "x", BUFFER - 1);
    made_scope = NULL;
    assert_int_equal(append(u, 1000, SEED, &r->err), VP_OK);
    assert_int_equal(written(r, "x"), 1000);
    finish(r, u, BUFFER - 1);
    o.sync_bytes = BUFFER - 1;
    room_again(r, &o);
    u = make_upload(r, "y", LENGTH);
    assert_int_equal(append(u, 1000, SEED, &r->err), VP_OK);
    assert_int_equal(written(r, "y"), 1000);
    finish(r, u, LENGTH);
}

/* Whoever does not fill a buffer soon has none, until it comes fast again. */
static void slow(void **state)
{
    room *r = *state;
    struct timespec long_enough = { 0, 300000000 };
    vp_upload *u = make_upload(r, "x", LENGTH);

    assert_int_equal(append(u, 1000, SEED, &r->err), VP_OK);
    assert_int_equal(written(r, "x"), 0);
    nanosleep(&long_enough, NULL);
    assert_int_equal(append(u, 1000, SEED, &r->err), VP_OK);
    assert_int_equal(written(r, "x"), 2000);
    assert_int_equal(append(u, 1000, SEED, &r->err), VP_OK);
    assert_int_equal(written(r, "x"), 3000);
    finish(r, u, LENGTH);
}

/* The store has sixteen buffers. Who finds none writes as it comes, and they come back. */
static void many(void **state)
{
    room *r = *state;
    vp_upload *all[40];
    int without = 0;
    char id[16];

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 40; i++) {
            snprintf(id, sizeof(id), "%c%d", "ab"[round], i);
            all[i] = make_upload(r, id, LENGTH);
            assert_int_equal(append(all[i], 1000, SEED, &r->err), VP_OK);
            without += written(r, id) == 1000;
        }
        assert_int_equal(without, 24 * (round + 1));
        for (int i = 0; i < 40; i++) finish(r, all[i], LENGTH);
    }
}

static void no_memory(void **state)
{
    room *r = *state;
    vp_upload *u = make_upload(r, "x", LENGTH);

    atomic_store(&vpi_alloc_fail_at, 1);
    assert_int_equal(append(u, 1000, SEED, &r->err), VP_OK);
    assert_true(atomic_exchange(&vpi_alloc_fail_at, 0) <= 0);
    assert_int_equal(written(r, "x"), 1000);
    finish(r, u, LENGTH);
}

/* ---- with chunks that are checked, and others that take it ---- */

static void checked(void **state)
{
    room *r = *state;
    vp_upload *u = make_upload(r, "x", LENGTH);
    uint8_t *p = make_bytes(0, 30000, SEED), digest[32];
    char hex[65];
    vpi_sha256 s;

    assert_int_equal(append(u, 1000, SEED, &r->err), VP_OK); /* counts, and is not written yet */
    for (int way = 0; way < 3; way++) {
        assert_int_equal(vp_upload_check_begin(u, "sha256", &r->err), VP_OK);
        assert_int_equal(vp_upload_append(u, 1000, p + 1000, way ? 20000 : 500, &r->err), VP_OK);
        if (way == 0) vp_upload_check_drop(u);
        if (way == 1)
            assert_int_equal(vp_upload_check_end(u, "something else than the digest..", 32, &r->err),
                             VP_E_DATA);
        assert_int_equal(vp_upload_offset(u), way < 2 ? 1000 : 21000);
    }
    vpi_sha256_init(&s);
    vpi_sha256_add(&s, p + 1000, 20000);
    vpi_sha256_hex(&s, hex);
    for (int i = 0; i < 32; i++) assert_int_equal(sscanf(hex + 2 * i, "%2hhx", &digest[i]), 1);
    assert_int_equal(vp_upload_check_end(u, digest, 32, &r->err), VP_OK);
    free(p);
    finish(r, u, LENGTH);
}

static void taken_over(void **state)
{
    room *r = *state;
    vp_ingest *other = room_store(r, NULL);
    vp_upload *old = make_upload(r, "x", LENGTH), *new = NULL, *third = NULL;

    /* Within the process: what came counts. */
    assert_int_equal(append(old, 5000, SEED, &r->err), VP_OK);
    assert_int_equal(written(r, "x"), 0);
    assert_int_equal(vp_ingest_open(r->store, "x", &new, &r->err), VP_OK);
    assert_int_equal(vp_upload_offset(new), 5000);
    assert_int_equal(append(old, 1, SEED, &r->err), VP_E_CONFLICT);
    vp_upload_close(old);
    /* From elsewhere: what was not written is refused with the next write, and never gets into the file. */
    assert_int_equal(append(new, 100, SEED + 1, &r->err), VP_OK);
    assert_int_equal(vp_ingest_open(other, "x", &third, &r->err), VP_OK);
    assert_int_equal(vp_upload_offset(third), 5000);
    assert_int_equal(append(third, 3 * BUFFER, SEED, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync(new, &r->err), VP_E_CONFLICT);
    assert_reason(&r->err, VP_E_CONFLICT, "TAKEN_OVER");
    vp_upload_close(new);
    finish(r, third, LENGTH);
    vp_ingest_unref(other);
}

/* ---- disks that cannot, or do not ---- */

/* U13: what had room is kept; what had none is sent again. */
static void full_disk(void **state)
{
    static const uint64_t with_head[] = { 3000, 4096, BUFFER };
    room *r = *state;

    for (int head = 0; head < 2; head++) {
        for (long n = 1; n < 4; n++) {
            vp_upload *u = make_upload(r, "x", LENGTH);
            uint64_t kept;

            assert_int_equal(append(u, BUFFER + 3000, SEED, &r->err), VP_OK);
            if (head) assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
            assert_int_equal(append(u, 3000, SEED, &r->err), VP_OK);
            atomic_store(&vpi_disk_fail_with, ENOSPC);
            atomic_store(&vpi_disk_fail_at, n);
            assert_int_equal(append(u, 50000, SEED, &r->err), VP_E_IO);
            assert_reason(&r->err, VP_E_IO, "DISK_FULL");
            kept = vp_upload_offset(u);
            assert_int_equal(written(r, "x"), kept);
            /* A head up to the next page is a write of its own. */
            assert_int_equal(kept - BUFFER, head ? with_head[n - 1] : (uint64_t)(n - 1) * BUFFER);
            assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
            assert_int_equal(stat_offset(r->store, "x"), kept);
            finish(r, u, LENGTH);
            assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
        }
    }
}

/* U10: after another failure nothing more is written through the handle. */
static void broken_disk(void **state)
{
    room *r = *state;
    vp_upload *u = make_upload(r, "x", LENGTH);

    assert_int_equal(append(u, 2 * BUFFER, SEED, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    assert_int_equal(append(u, 100, SEED, &r->err), VP_OK);
    atomic_store(&vpi_disk_fail_with, EIO);
    atomic_store(&vpi_disk_fail_at, 1);
    assert_int_equal(append(u, BUFFER, SEED, &r->err), VP_E_IO);
    assert_int_equal(append(u, 1, SEED, &r->err), VP_E_IO);
    assert_int_equal(vp_upload_sync(u, &r->err), VP_E_IO);
    vp_upload_close(u);
    assert_int_equal(stat_offset(r->store, "x"), 2 * BUFFER);
    assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK);
    finish(r, u, LENGTH);
}

/* A file system that takes the flag and then refuses the write gets all in the usual way from then on. */
static void refused_later(void **state)
{
    room *r = *state;
    vp_upload *u;

    if (!can_direct(r)) skip();
    u = make_upload(r, "x", LENGTH);
    assert_int_equal(append(u, BUFFER, SEED, &r->err), VP_OK);
    assert_true(is_direct(r, "x"));
    atomic_store(&vpi_disk_fail_with, EINVAL);
    atomic_store(&vpi_disk_fail_at, 1);
    assert_int_equal(append(u, 2 * BUFFER, SEED, &r->err), VP_OK);
    assert_true(atomic_exchange(&vpi_disk_fail_at, 0) <= 0);
    assert_int_equal(written(r, "x"), 3 * BUFFER);
    assert_false(is_direct(r, "x"));
    finish(r, u, LENGTH);
}

/* A store that syncs nothing writes through the cache what a slow disk has no time for, and nothing to a fast one. */
static void volatile_store(void **state)
{
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    room *r = *state;
    dir_store *d;
    vp_upload *u;

    o.flags |= VP_INGESTF_VOLATILE;
    room_again(r, &o);
    if (!can_direct(r)) skip();
    d = r->store->back.user;
    u = make_upload(r, "x", LENGTH);
    atomic_store(&d->direct, 2);
    assert_int_equal(append(u, BUFFER, SEED, &r->err), VP_OK);
    assert_true(is_direct(r, "x")); /* it is not known to be slow */
    atomic_store(&d->pace.past_us, 100000);
    assert_int_equal(append(u, BUFFER, SEED, &r->err), VP_OK);
    assert_int_equal(written(r, "x"), 2 * BUFFER);
    assert_false(is_direct(r, "x"));
    assert_int_equal(atomic_load(&d->direct), 2);
    atomic_store(&d->direct, 1);
    assert_int_equal(append(u, BUFFER, SEED, &r->err), VP_OK);
    assert_true(is_direct(r, "x"));
    atomic_store(&d->direct, 0);
    finish(r, u, LENGTH);
}

/* One that does not know direct writes. */
static void refused_at_once(void **state)
{
    room *r = *state;
    vp_upload *u;

    if (mount("ramfs", r->path, "ramfs", 0, "") != 0) {
        print_message("mounting a file system is not permitted here\n");
        skip();
    }
    assert_false(can_direct(r));
    u = make_upload(r, "x", LENGTH);
    assert_int_equal(append(u, 2 * BUFFER, SEED, &r->err), VP_OK);
    assert_int_equal(written(r, "x"), 2 * BUFFER);
    finish(r, u, LENGTH);
    r->store = vp_ingest_unref(r->store);
    assert_int_equal(umount(r->path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gathered, room_open, room_close),
        cmocka_unit_test_setup_teardown(no_length, room_open, room_close),
        cmocka_unit_test_setup_teardown(not_gathered, room_open, room_close),
        cmocka_unit_test_setup_teardown(slow, room_open, room_close),
        cmocka_unit_test_setup_teardown(many, room_open, room_close),
        cmocka_unit_test_setup_teardown(no_memory, room_open, room_close),
        cmocka_unit_test_setup_teardown(checked, room_open, room_close),
        cmocka_unit_test_setup_teardown(taken_over, room_open, room_close),
        cmocka_unit_test_setup_teardown(full_disk, room_open, room_close),
        cmocka_unit_test_setup_teardown(broken_disk, room_open, room_close),
        cmocka_unit_test_setup_teardown(refused_later, room_open, room_close),
        cmocka_unit_test_setup_teardown(volatile_store, room_open, room_close),
        cmocka_unit_test_setup_teardown(refused_at_once, room_open, room_close),
    };

    atomic_store(&vpi_gather_bytes, BUFFER);
    atomic_store(&vpi_gather_ahead, 0);
    atomic_store(&vpi_dirs_direct_least, 4096);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
