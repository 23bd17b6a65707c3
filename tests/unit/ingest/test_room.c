/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Quota, full disks, peeking, memory that runs out, random ways. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "tools.h"

/* ---- quota and room ---- */

static vp_status try_make(vp_ingest *s, const char *id, uint64_t length, vp_error *err)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;
    vp_status st;

    o.id = id;
    o.length = length;
    st = vp_ingest_create(s, &o, &u, err);
    vp_upload_close(u);
    return st;
}

static void quota(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_ingest *other;
    vp_upload *u;
    char path[256];

    o.quota = 10000;
    room_again(r, &o);
    other = room_store(r, &o);
    assert_int_equal(try_make(r->store, "a", 6000, &r->err), VP_OK);
    assert_int_equal(try_make(other, "b", 4001, &r->err), VP_E_LIMIT);
    assert_reason(&r->err, VP_E_LIMIT, "QUOTA_EXCEEDED");
    assert_int_equal(try_make(other, "b", 4000, &r->err), VP_OK);
    assert_int_equal(try_make(r->store, "c", 1, &r->err), VP_E_LIMIT);
    assert_int_equal(try_make(r->store, "a", 0, &r->err), VP_E_CONFLICT);
    assert_int_equal(vp_ingest_remove(r->store, "b", &r->err), VP_OK);
    assert_int_equal(try_make(r->store, "b", 3000, &r->err), VP_OK);
    /* One that grows takes it as it comes. */
    u = make_upload(r, "g", VP_SIZE_UNKNOWN);
    assert_int_equal(append(u, 900, 1, &r->err), VP_OK);
    assert_int_equal(append(u, 101, 1, &r->err), VP_E_LIMIT);
    assert_reason(&r->err, VP_E_LIMIT, "QUOTA_EXCEEDED");
    vp_upload_close(u);
    assert_int_equal(stat_offset(r->store, "g"), 900);
    assert_int_equal(vp_ingest_remove(other, "a", &r->err), VP_OK);
    assert_int_equal(vp_ingest_remove(other, "g", &r->err), VP_OK);
    /* A sum that a killed process left too high is counted anew; one that is lost, too. */
    snprintf(path, sizeof(path), "%s/quota", r->path);
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(try_make(r->store, "d", 7001, &r->err), VP_E_LIMIT);
    assert_int_equal(try_make(r->store, "d", 7000, &r->err), VP_OK);
    vp_ingest_unref(other);
}

/* A record that only cannot be read now is no reason to count too little; one that never can keeps nobody off. */
static void quota_unreadable(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    struct rlimit before, low;
    char path[256], other[256];
    vp_status st = VP_OK;
    int fd;

    o.quota = 10000;
    room_again(r, &o);
    assert_int_equal(try_make(r->store, "a", 6000, &r->err), VP_OK);
    assert_int_equal(try_make(r->store, "b", 100, &r->err), VP_OK);
    snprintf(path, sizeof(path), "%s/quota", r->path);
    /* From none on more descriptors, till there are enough for the walk and a record. */
    fd = dup(0);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (rlim_t spare = 0; st != VP_E_LIMIT; spare++) {
        assert_int_equal(truncate(path, 10), 0); /* to be counted anew */
        low = (struct rlimit){ (rlim_t)fd + spare, before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        st = try_make(r->store, "c", 5000, &r->err);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_true(st < 0 && spare < 64);
    }
    assert_reason(&r->err, VP_E_LIMIT, "QUOTA_EXCEEDED");
    snprintf(path, sizeof(path), "%s/uploads/%02x/a.rec", r->path, vpi_crc32c(0, "a", 1) % 16);
    fd = open(path, O_WRONLY);
    assert_true(fd >= 0 && pwrite(fd, "damaged", 7, 0) == 7 && pwrite(fd, "damaged", 7, 520) == 7);
    close(fd);
    snprintf(other, sizeof(other), "%s/quota", r->path);
    assert_int_equal(truncate(other, 10), 0);
    assert_int_equal(try_make(r->store, "c", 5000, &r->err), VP_OK);
}

/* U13 with a limit of the system: bytes up to it are kept, the record too, and another process goes on. */
static void file_limit(void **state)
{
    room *r = *state;
    vp_upload *u = make_upload(r, "a", 200000);
    vp_source *s = NULL;
    int status;
    pid_t pid;

    vp_upload_close(u);
    pid = fork();
    if (pid == 0) {
        struct rlimit limit = { 100000, 100000 };
        vp_context *context = NULL;
        vp_ingest *store = NULL;
        vp_error err = VP_ERROR_INIT;
        bool ok;

        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        ok = vp_context_new(NULL, &context, NULL) == VP_OK &&
             vp_ingest_directory(context, r->path, NULL, &store, NULL) == VP_OK &&
             vp_ingest_open(store, "a", &u, NULL) == VP_OK && append(u, 150000, 1, &err) == VP_E_IO &&
             strcmp(err.reason, "DISK_FULL") == 0 && vp_upload_sync(u, &err) == VP_OK &&
             vp_upload_offset(u) == 100000;
        vp_upload_close(u);
        _exit(ok ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(stat_offset(r->store, "a"), 100000);
    assert_int_equal(vp_ingest_open(r->store, "a", &u, &r->err), VP_OK);
    assert_int_equal(append(u, 100000, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, &s, NULL, &r->err), VP_OK);
    assert_content(s, 200000, 1);
    vp_source_unref(s);
    vp_upload_close(u);
}

/* U13 on a file system that is full. */
static void full_file_system(void **state)
{
    room *r = *state;
    vp_upload *u = NULL, *v = NULL;
    vp_source *s = NULL;
    uint64_t have;

    if (mount("tmpfs", r->path, "tmpfs", 0, "size=1m") != 0) {
        print_message("mounting a small file system is not permitted here\n");
        skip();
    }
    u = make_upload(r, "a", 2000000);
    v = make_upload(r, "b", 400000);
    assert_int_equal(append(v, 400000, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync(v, &r->err), VP_OK);
    assert_int_equal(append_through(u, 2000000, 1, &r->err), VP_E_IO);
    assert_reason(&r->err, VP_E_IO, "DISK_FULL");
    have = vp_upload_offset(u);
    assert_true(have > 100000 && have < 1000000);
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK); /* the record has its room */
    assert_int_equal(stat_offset(r->store, "a"), have);
    assert_int_equal(vp_upload_finish(v, &s, NULL, &r->err), VP_OK);
    assert_content(s, 400000, 1);
    vp_source_unref(s);
    vp_upload_close(v);
    vp_upload_close(u);
    assert_int_equal(vp_ingest_remove(r->store, "a", &r->err), VP_OK);
    u = make_upload(r, "c", 100);
    assert_int_equal(append(u, 100, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_OK);
    vp_upload_close(u);
    r->store = vp_ingest_unref(r->store);
    assert_int_equal(umount(r->path), 0);
}

static void disk_is_full_once(void)
{
    atomic_store(&vpi_disk_fail_with, ENOSPC);
    atomic_store(&vpi_disk_fail_at, 1);
}

/* U13 where also a change in place needs room, as on btrfs: what frees some is not refused for the lack of it. */
static void full_for_changes(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    vp_upload *u = NULL;
    uint64_t count;

    o.now_us = room_clock;
    o.now_user = r;
    o.expire_ms = 1000;
    o.quota = 1000;
    room_again(r, &o);
    for (int apart = 0; apart < 2; apart++) {
        made_scope = apart ? "s" : NULL;
        for (int by_time = 0; by_time < 2; by_time++) {
            u = make_upload(r, "a", 1000);
            assert_int_equal(append(u, 400, 1, &r->err), VP_OK);
            assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
            vp_upload_close(u);
            r->now_us += 2000000;
            disk_is_full_once();
            assert_int_equal(vp_ingest_open(r->store, "a", &u, &r->err), VP_E_IO);
            atomic_store(&vpi_disk_fail_at, 0);
            disk_is_full_once();
            if (by_time) {
                assert_int_equal(vp_ingest_expire(r->store, NULL, &count, &r->err), VP_OK);
                assert_int_equal(count, 1);
            } else {
                assert_int_equal(vp_ingest_remove(r->store, "a", &r->err), VP_OK);
            }
            assert_int_equal(atomic_load(&vpi_disk_fail_at), 0);
            assert_int_equal(vp_ingest_stat(r->store, "a", NULL, NULL, &r->err), VP_END);
        }
    }
}

/* ---- peeking ---- */

/* One that is removed and made again is another: nothing of its bytes, nor of the old ones, is given for it. */
static void peeking_another(void **state)
{
    room *r = *state;
    vp_ingest_options io = VP_INGEST_OPTIONS_INIT;

    io.now_us = room_clock;
    io.now_user = r;
    room_again(r, &io);
    for (int i = 0; i < 6; i++) {
        static const unsigned again[] = { 600, 10, 0 }; /* bytes of the other; 0: there is none */
        bool looked = i % 2;
        vp_upload *u = make_upload(r, "a", 1000);
        vp_source *s = NULL;
        uint8_t piece[100];
        size_t got;

        assert_int_equal(append(u, 400, 1, &r->err), VP_OK);
        assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
        vp_upload_close(u);
        assert_int_equal(vp_ingest_peek(r->store, "a", &s, &r->err), VP_OK);
        if (looked) assert_int_equal(vp_source_read_at(s, 0, piece, 100, &got, &r->err), VP_OK);
        assert_int_equal(vp_ingest_remove(r->store, "a", &r->err), VP_OK);
        r->now_us += 1;
        if (again[i / 2] > 0) {
            u = make_upload(r, "a", 1000);
            assert_int_equal(append(u, again[i / 2], 2, &r->err), VP_OK);
            assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
            vp_upload_close(u);
        }
        for (int tries = 0; tries < 2; tries++)
            assert_int_equal(vp_source_read_at(s, looked ? 500 : 0, piece, 100, &got, &r->err), VP_E_STATE);
        vp_source_unref(s);
        assert_int_equal(vp_ingest_remove(r->store, "a", &r->err), VP_OK);
        r->now_us += 1;
    }
}

static void peeking(void **state)
{
    room *r = *state;
    vp_upload *u = make_upload(r, "a", VP_SIZE_UNKNOWN);
    vp_source *s = NULL, *t = NULL;
    uint64_t size;
    uint8_t piece[100];
    size_t got;

    assert_int_equal(vp_ingest_source(r->store, "a", &t, &r->err), VP_E_STATE);
    assert_int_equal(vp_ingest_peek(r->store, "a", &s, &r->err), VP_OK);
    assert_int_equal(vp_source_size(s, &size, &r->err), VP_AGAIN);
    assert_int_equal(vp_source_read_at(s, 0, piece, 100, &got, &r->err), VP_AGAIN);
    assert_int_equal(got, 0);
    assert_int_equal(append(u, 1000, 1, &r->err), VP_OK);
    assert_int_equal(vp_source_read_at(s, 0, piece, 100, &got, &r->err), VP_AGAIN); /* not durable */
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    assert_int_equal(vp_source_read_at(s, 900, piece, 100, &got, &r->err), VP_OK);
    assert_int_equal(got, 100);
    assert_int_equal(piece[99], byte_at(999, 1));
    assert_int_equal(vp_source_read_at(s, 950, piece, 100, &got, &r->err), VP_AGAIN);
    assert_int_equal(got, 50); /* what there is */
    assert_int_equal(vp_upload_set_length(u, 1500, &r->err), VP_OK);
    assert_int_equal(vp_source_size(s, &size, &r->err), VP_OK);
    assert_int_equal(size, 1500);
    assert_int_equal(append(u, 500, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_OK);
    assert_content(s, 1500, 1); /* the same source, now whole */
    vp_upload_close(u);
    vp_source_unref(s);
    assert_int_equal(vp_ingest_peek(r->store, "nobody", &s, &r->err), VP_END);
}

/* ---- memory that runs out ---- */

static vp_status whole_way(room *r, vp_error *err)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;
    vp_ingest *store = NULL;
    vp_source *s = NULL;
    vp_bytes *metadata = NULL;
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    uint64_t count;
    vp_status st;

    VPI_GO(vp_ingest_directory(r->context, r->path, NULL, &store, err));
    o.length = 3000;
    o.scope = "s";
    o.metadata = "meta";
    o.metadata_size = 4;
    o.flags = VP_UPLOADF_ANY_ORDER | VP_UPLOADF_PARTIAL;
    VPI_GO(vp_ingest_create(store, &o, &u, err));
    VPI_GO(vp_upload_get_info(u, &info, err));
    VPI_GO(vp_upload_write_at(u, 2000, "xyz", 3, err));
    VPI_GO(vp_upload_check_begin(u, "crc32c", err));
    VPI_GO(vp_upload_write_at(u, 1000, "xyz", 3, err));
    VPI_GO(vp_upload_check_end(u, "\xfb\xc9\xe4\x9c", 4, err) == VP_E_DATA ? VP_OK : VP_E_NOMEM);
    VPI_GO(vp_upload_sync(u, err));
    u = vp_upload_close(u);
    VPI_GO(vp_ingest_open(store, info.id, &u, err));
    VPI_GO(append(u, 3000, 1, err));
    VPI_GO(vp_upload_finish(u, &s, &info, err));
    u = vp_upload_close(u);
    VPI_GO(vp_ingest_stat(store, info.id, &info, &metadata, err));
    s = vp_source_unref(s);
    VPI_GO(vp_ingest_peek(store, info.id, &s, err));
    o = (vp_upload_options)VP_UPLOAD_OPTIONS_INIT;
    o.parts = info.id;
    VPI_GO(vp_ingest_create(store, &o, &u, err));
    VPI_GO(vp_ingest_expire(store, NULL, &count, err));
    VPI_GO(vp_ingest_remove(store, info.id, err));
done:
    vp_bytes_unref(metadata);
    vp_source_unref(s);
    vp_upload_close(u);
    vp_ingest_unref(store);
    return st;
}

static void no_memory(void **state)
{
    room *r = *state;
    bool hit = true;

    for (long n = 1; hit && n < 2000; n++) {
        vp_error err = VP_ERROR_INIT;
        char command[128];
        vp_status st;

        snprintf(command, sizeof(command), "rm -rf %s/*", r->path);
        assert_int_equal(system(command), 0);
        atomic_store(&vpi_alloc_fail_at, n);
        st = whole_way(r, &err);
        hit = atomic_exchange(&vpi_alloc_fail_at, 0) <= 0;
        if (st < 0 && st != VP_E_NOMEM) fail_msg("allocation %ld: %s: %s", n, err.reason, err.message);
        if (!hit) assert_int_equal(st, VP_OK);
    }
    assert_false(hit);
}

/* ---- random ways ---- */

static uint32_t dice(uint32_t *seed, uint32_t sides)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % sides;
}

/* Appends, syncs, restarts, takeovers and checks in any order: what was told holds, and at the end all is right. */
static void random_ways(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;

    o.flags = VP_INGESTF_VOLATILE;
    for (uint32_t run = 1; run <= 60; run++) {
        uint32_t seed = run;
        uint64_t length = dice(&seed, 60000), told = 0;
        vp_upload *u;
        vp_source *s = NULL;
        vp_upload_info info = VP_UPLOAD_INFO_INIT;
        char id[16], hex[65];

        o.sync_bytes = 1000 + dice(&seed, 20000);
        room_again(r, &o);
        snprintf(id, sizeof(id), "u%u", run);
        u = make_upload(r, id, length);
        while (vp_upload_offset(u) < length) {
            uint64_t left = length - vp_upload_offset(u), n = 1 + dice(&seed, 9000);

            assert_int_equal(append(u, (size_t)(n < left ? n : left), run, &r->err), VP_OK);
            switch (dice(&seed, 6)) {
            case 0:
                assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
                told = vp_upload_offset(u);
                break;
            case 1: /* another process takes it */
                vp_upload_close(u);
                room_again(r, &o);
                assert_int_equal(vp_ingest_open(r->store, id, &u, &r->err), VP_OK);
                break;
            case 2: { /* a newer request takes it */
                vp_upload *newer = NULL;

                assert_int_equal(vp_ingest_open(r->store, id, &newer, &r->err), VP_OK);
                assert_true(vp_upload_offset(newer) == vp_upload_offset(u));
                vp_upload_close(u);
                u = newer;
                break;
            }
            case 3: { /* a chunk that is refused */
                uint64_t before = vp_upload_offset(u);

                assert_int_equal(vp_upload_check_begin(u, "md5", &r->err), VP_OK);
                if (before < length) assert_int_equal(append(u, 1, run + 1, &r->err), VP_OK);
                assert_int_equal(vp_upload_check_end(u, "0123456789abcdef", 16, &r->err), VP_E_DATA);
                assert_int_equal(vp_upload_offset(u), before);
                break;
            }
            default:
                break;
            }
            assert_true(vp_upload_offset(u) >= told);
            assert_true(stat_offset(r->store, id) >= told);
        }
        assert_int_equal(vp_upload_finish(u, &s, &info, &r->err), VP_OK);
        content_sha256(length, run, hex);
        assert_string_equal(info.sha256, hex);
        assert_content(s, length, run);
        vp_source_unref(s);
        vp_upload_close(u);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(quota_unreadable, room_open, room_close),
        cmocka_unit_test_setup_teardown(full_file_system, room_open, room_close),
        cmocka_unit_test_setup_teardown(full_for_changes, room_open, room_close),
        cmocka_unit_test_setup_teardown(quota, room_open, room_close),
        cmocka_unit_test_setup_teardown(file_limit, room_open, room_close),
        cmocka_unit_test_setup_teardown(peeking, room_open, room_close),
        cmocka_unit_test_setup_teardown(peeking_another, room_open, room_close),
        cmocka_unit_test_setup_teardown(no_memory, room_open, room_close),
        cmocka_unit_test_setup_teardown(random_ways, room_open, room_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
