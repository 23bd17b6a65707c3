/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changes of the disk that fail, records that are torn (U09, U10, U12, U13). */

#include "workers.h"

/* ---- changes that fail ---- */

static void failing_in(const room *r, int number, const char *scope)
{
    bool left = true;

    made_scope = scope;
    for (long n = 1; left && n < STEPS_MAX; n++) {
        worker w = { .pipe = -1 };
        vp_error err = VP_ERROR_INIT;
        vp_status st;

        clear(r);
        make_twin(r);
        assert_int_equal(begin(&w, r, false), VP_OK);
        atomic_store(&vpi_disk_fail_with, number);
        atomic_store(&vpi_disk_fail_at, n);
        st = upload_work(&w, &err);
        left = atomic_exchange(&vpi_disk_fail_at, 0) <= 0;
        if (!left) assert_int_equal(st, VP_OK);
        if (st < 0) {
            assert_int_equal(st, VP_E_IO);
            if (number == ENOSPC) assert_string_equal(err.reason, "DISK_FULL");
        }
        end(&w);
        check_upload(r, &w.told, true);
    }
    assert_false(left);
}

static void failing(const room *r, int number)
{
    failing_in(r, number, NULL);
    failing_in(r, number, "s");
}

static void io_errors(void **state)
{
    failing(*state, EIO);
}

static void full_disk(void **state)
{
    failing(*state, ENOSPC);
}

/* Path of a file of upload "x". */
static void path_of(const room *r, const char *end, char path[256])
{
    snprintf(path, 256, "%s/uploads/%02x/x.%s", r->path, vpi_crc32c(0, "x", 1) % 16, end);
}

/*
 * U12: after a failed sync the handle is dead, nothing more was told, and what the kernel holds of the bytes is not
 * believed: here it is even other bytes.
 */
static void failed_sync_of(room *r, const char *scope, long step)
{
    vp_upload *u;
    vp_source *s = NULL;
    char path[256];
    int fd;

    made_scope = scope;
    u = make_upload(r, "x", SIZE);
    assert_int_equal(append(u, 1000, SEED, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    assert_int_equal(append(u, 5000, SEED, &r->err), VP_OK);
    atomic_store(&vpi_disk_fail_with, EIO);
    atomic_store(&vpi_disk_fail_at, step);
    assert_int_equal(vp_upload_sync(u, &r->err), VP_E_IO);
    assert_int_equal(r->err.native, EIO);
    assert_int_equal(vp_upload_sync(u, &r->err), VP_E_IO); /* not tried again */
    assert_int_equal(append(u, 1, SEED, &r->err), VP_E_IO);
    assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_E_IO);
    vp_upload_close(u);
    assert_int_equal(stat_offset(r->store, "x"), 1000);
    path_of(r, scope ? "data" : "rec", path);
    fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "garbage", 7, scope ? 1000 : 3 * 4096 + 1000), 7);
    close(fd);
    assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK);
    assert_int_equal(vp_upload_offset(u), 1000);
    assert_int_equal(append(u, SIZE - 1000, SEED, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, &s, NULL, &r->err), VP_OK);
    assert_content(s, SIZE, SEED);
    vp_source_unref(s);
    vp_upload_close(u);
    assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
}

static void failed_sync(void **state)
{
    failed_sync_of(*state, "s", 1);  /* the bytes */
    failed_sync_of(*state, NULL, 1); /* the slot that confirms them, and then the sync of both */
    failed_sync_of(*state, NULL, 2);
}

/* The sync of the record fails: the offset that it would have said is not told by anybody afterwards. */
static void failed_record_of(room *r, const char *scope)
{
    vp_upload *u;

    made_scope = scope;
    u = make_upload(r, "x", SIZE);
    assert_int_equal(append(u, 1000, SEED, &r->err), VP_OK);
    atomic_store(&vpi_disk_fail_with, EIO);
    atomic_store(&vpi_disk_fail_at, scope ? 4 : 2); /* bytes and folder, slot, and then its sync */
    assert_int_equal(vp_upload_sync(u, &r->err), VP_E_IO);
    assert_int_equal(stat_offset(r->store, "x"), 0);
    vp_upload_close(u);
    room_again(r, NULL);
    assert_int_equal(stat_offset(r->store, "x"), 0);
    assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK);
    assert_int_equal(vp_upload_offset(u), 0);
    vp_upload_close(u);
    assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
}

static void failed_record(void **state)
{
    failed_record_of(*state, "s");
    failed_record_of(*state, NULL);
}

/* U13: a write that has no room keeps what had. */
static void full_write(void **state)
{
    room *r = *state;
    vp_upload *u = make_upload(r, "x", SIZE);

    assert_int_equal(append(u, 1000, SEED, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    atomic_store(&vpi_disk_fail_with, ENOSPC);
    atomic_store(&vpi_disk_fail_at, 1);
    assert_int_equal(append_through(u, 8192, SEED, &r->err), VP_E_IO);
    assert_reason(&r->err, VP_E_IO, "DISK_FULL");
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    assert_int_equal(stat_offset(r->store, "x"), 1000);
    assert_int_equal(append(u, 1000, SEED, &r->err), VP_OK); /* room came back */
    vp_upload_close(u);
    assert_int_equal(stat_offset(r->store, "x"), 2000);
}

/* Another id whose file is in the folder of x. */
static void same_folder(char id[16])
{
    for (int i = 0; i < 1000; i++) {
        snprintf(id, 16, "n%d", i);
        if (vpi_crc32c(0, id, strlen(id)) % 16 == vpi_crc32c(0, "x", 1) % 16) return;
    }
    fail();
}

/* The sync of a folder covers the names that were made before it began; one that fails is no proof for any of them. */
static void names(void **state)
{
    room *r = *state;
    char other[16];

    same_folder(other);
    for (int broken = 0; broken < 2; broken++) {
        vp_upload *u = make_upload(r, "x", 1000), *v = make_upload(r, other, 1000);

        assert_int_equal(append(u, 500, SEED, &r->err), VP_OK);
        assert_int_equal(append(v, 500, SEED, &r->err), VP_OK);
        atomic_store(&vpi_disk_fail_with, EIO);
        atomic_store(&vpi_disk_fail_at,
                     broken ? 3 : 1000); /* the write, the sync of the file, that of its name */
        assert_int_equal(vp_upload_sync(u, &r->err), broken ? VP_E_IO : VP_OK);
        atomic_store(&vpi_disk_fail_at, 1000);
        assert_int_equal(vp_upload_sync(v, &r->err), broken ? VP_E_IO : VP_OK);
        /* A write, a sync, and what the head says; or those, none, and what takes the record back with its sync. */
        assert_int_equal(atomic_exchange(&vpi_disk_fail_at, 0), broken ? 996 : 997);
        vp_upload_close(u);
        vp_upload_close(v);
        assert_int_equal(stat_offset(r->store, "x"), broken ? 0 : 500);
        assert_int_equal(stat_offset(r->store, other), broken ? 0 : 500);
        assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
        assert_int_equal(vp_ingest_remove(r->store, other, &r->err), VP_OK);
    }
}

/* ---- torn records ---- */

static size_t load(const char *path, uint8_t *p, size_t room_)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, p, room_);

    assert_true(n > 0 && (size_t)n < room_);
    close(fd);
    return (size_t)n;
}

static void store_file(const char *path, const uint8_t *p, size_t size)
{
    int fd = open(path, O_WRONLY | O_TRUNC);

    assert_int_equal(write(fd, p, size), size);
    close(fd);
}

/* U09: of what a sync wrote to the record only a part reached the disk, in any order of its pages. */
static void torn(void **state)
{
    static uint8_t before[65536], after[65536], mix[65536];
    room *r = *state;
    vp_upload *u;
    char path[256];
    size_t size;

    made_scope = "s";
    path_of(r, "rec", path);
    for (int round = 0; round < 2; round++) {
        uint64_t old = round ? 1000 : 0;

        u = round ? NULL : make_upload(r, "x", SIZE);
        if (!u) assert_int_equal(vp_ingest_open(r->store, "x", &u, NULL), VP_OK);
        size = load(path, before, sizeof(before));
        assert_int_equal(append(u, 1000, SEED, NULL), VP_OK);
        assert_int_equal(vp_upload_sync(u, NULL), VP_OK);
        vp_upload_close(u);
        assert_int_equal(load(path, after, sizeof(after)), size);
        for (size_t cut = 0; cut <= size; cut += cut < 4096 ? 1 : cut % 4096 < 1000 ? 7 : 512) {
            for (int order = 0; order < 2; order++) {
                uint64_t found;

                memcpy(mix, order ? before : after, cut);
                memcpy(mix + cut, (order ? after : before) + cut, size - cut);
                store_file(path, mix, size);
                found = stat_offset(r->store, "x");
                assert_true(found == old || found == old + 1000);
                if (cut % 16 == 0) {
                    assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK);
                    assert_true(vp_upload_offset(u) == old || vp_upload_offset(u) == old + 1000);
                    vp_upload_close(u);
                }
            }
        }
        store_file(path, after, size);
    }
    assert_int_equal(stat_offset(r->store, "x"), 2000);
    /* Both slots are bad: that is told, and nothing is made up. */
    memset(mix, 0x5A, size);
    store_file(path, mix, size);
    assert_int_equal(vp_ingest_stat(r->store, "x", NULL, NULL, &r->err), VP_E_DATA);
    assert_reason(&r->err, VP_E_DATA, "UPLOAD_CORRUPT");
    assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_E_DATA);
    assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
    assert_int_equal(vp_ingest_stat(r->store, "x", NULL, NULL, &r->err), VP_END);
    assert_int_equal(files_like(r, "x.*"), 0);
}

/* ---- never synced ---- */

/* Nothing was confirmed: there is no such upload, or it is as it was made; either way the id comes to its end. */
static void assert_usable(room *r, uint64_t offset)
{
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;
    vp_source *s = NULL;
    vp_status st = vp_ingest_stat(r->store, "x", &info, NULL, &r->err);

    if (st < 0) fail_msg("stat: %s: %s", r->err.reason, r->err.message);
    if (st == VP_OK) {
        assert_true(info.offset == 0 || info.offset == offset);
        assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK);
    } else {
        assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_END);
        o.id = "x";
        o.length = 2000;
        if (vp_ingest_create(r->store, &o, &u, &r->err) != VP_OK) fail_msg("create: %s", r->err.message);
    }
    assert_int_equal(append(u, (size_t)(2000 - vp_upload_offset(u)), SEED, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, &s, NULL, &r->err), VP_OK);
    assert_content(s, 2000, SEED);
    vp_source_unref(s);
    vp_upload_close(u);
    assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
}

static vp_upload *make_large(room *r, size_t metadata, uint32_t flags)
{
    static uint8_t bytes[VP_UPLOAD_METADATA_MAX];
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;

    memset(bytes, 'm', sizeof(bytes));
    o.id = "x";
    o.length = 2000;
    o.scope = made_scope;
    o.flags = flags;
    o.metadata = bytes;
    o.metadata_size = metadata;
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_OK);
    return u;
}

/* A file that a machine left behind in place of the record. */
static void leave_record(const room *r, const uint8_t *p, size_t size)
{
    char path[256];
    int fd;

    path_of(r, "rec", path);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, size), size);
    close(fd);
}

static const struct {
    size_t metadata;
    uint32_t flags;
} kinds[] = { { 0, 0 }, { 5000, 0 }, { VP_UPLOAD_METADATA_MAX, 0 }, { 6000, VP_UPLOADF_ANY_ORDER } };

/*
 * The machine stopped after an upload was made and before its first sync: of the record there is a prefix, with or
 * without its first pages.
 */
static void lost(room *r, const char *scope)
{
    static uint8_t whole[400000], left[400000];

    made_scope = scope;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        char path[256];
        size_t size;

        path_of(r, "rec", path);
        vp_upload_close(make_large(r, kinds[k].metadata, kinds[k].flags));
        size = load(path, whole, sizeof(whole));
        assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
        for (size_t cut = 0; cut <= size; cut += cut % 4096 ? 4096 - cut % 4096 : cut < size ? 600 : 4096) {
            for (unsigned without = 0; without < 3; without++) {
                memcpy(left, whole, cut);
                /* nothing, the head, the head and the begin of the first slot */
                memset(left, 0, cut < without * 4096u ? cut : without * 4096u);
                leave_record(r, left, cut);
                assert_usable(r, 0);
            }
        }
    }
}

static void made_and_lost(void **state)
{
    lost(*state, NULL);
    lost(*state, "s");
}

/* What the first sync was about to write, in any order of its sectors: each is there or was never written. */
static void first_sync_torn(void **state)
{
    static uint8_t before[400000], after[400000], data[1000];
    room *r = *state;
    uint32_t seed = 1;
    int gone = 0, there = 0;

    made_scope = "s";
    for (int round = 0; round < 400; round++) {
        size_t k = (size_t)round % (sizeof(kinds) / sizeof(kinds[0])), size, cut;
        vp_upload *u = make_large(r, kinds[k].metadata, kinds[k].flags);
        char path[256];
        unsigned density = (unsigned)round / 4 % 4;
        int fd;

        path_of(r, "rec", path);
        size = load(path, before, sizeof(before));
        assert_int_equal(append(u, 1000, SEED, &r->err), VP_OK);
        assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
        vp_upload_close(u);
        assert_int_equal(load(path, after, sizeof(after)), size);
        memcpy(after, before, 4096); /* the head says more only after the sync */
        path_of(r, "data", path);
        fd = open(path, O_RDONLY);
        assert_int_equal(read(fd, data, 1000), 1000);
        close(fd);
        assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
        for (size_t at = 0; at < size; at += 512) {
            seed = seed * 1103515245u + 12345u;
            if (seed >> 16 & 1 && (density == 0 || seed >> 17 & density)) memset(after + at, 0, 512);
        }
        cut = round % 3 == 0 ? size : (seed >> 8) % (size / 4096 + 1) * 4096;
        leave_record(r, after, cut);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(write(fd, data, 1000), 1000); /* was synced before */
        close(fd);
        if (vp_ingest_stat(r->store, "x", NULL, NULL, &r->err) == VP_OK) {
            there++;
        } else {
            gone++;
        }
        assert_usable(r, 1000);
    }
    assert_true(gone > 10 && there > 10);
}

/* What is left of one that was never synced is tidied away. */
static void torn_is_tidied(void **state)
{
    static uint8_t whole[400000];
    room *r = *state;
    worker w = { .pipe = -1 };
    char path[256];
    size_t size;

    path_of(r, "rec", path);
    vp_upload_close(make_large(r, VP_UPLOAD_METADATA_MAX, 0));
    size = load(path, whole, sizeof(whole));
    assert_true(size > 5 * 4096);
    leave_record(r, whole, 5 * 4096);
    for (int i = 0; i < 3; i++) {
        future_days = 2 * i;
        assert_int_equal(begin(&w, r, true), VP_OK);
        assert_int_equal(expire_work(&w, NULL), VP_OK);
        end(&w);
    }
    future_days = 0;
    assert_int_equal(files_like(r, "x.*"), 0);
}

/* ---- more in the file than counts ---- */

/* Bytes beyond the offset that was confirmed are nobody's, also when nothing is written before the end is told. */
static void more_than_counts(void **state)
{
    room *r = *state;

    for (int way = 0; way < 3; way++) {
        vp_upload *u = make_upload(r, "x", VP_SIZE_UNKNOWN);
        vp_upload_info info = VP_UPLOAD_INFO_INIT;
        vp_source *s = NULL;
        char path[256];
        int fd;

        assert_int_equal(append(u, 100, SEED, &r->err), VP_OK);
        if (way == 0) {
            assert_int_equal(vp_upload_check_begin(u, "sha1", &r->err), VP_OK);
            assert_int_equal(append(u, 500, SEED + 1, &r->err), VP_OK);
            assert_int_equal(vp_upload_check_end(u, "not the digest......", 20, &r->err), VP_E_DATA);
        } else {
            /* As a process leaves it that was killed before the sync. */
            if (way == 1) assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
            vp_upload_close(u);
            path_of(r, "data", path);
            fd = open(path, O_WRONLY);
            assert_int_equal(pwrite(fd, "garbage", 7, 100), 7);
            close(fd);
            assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK);
        }
        assert_int_equal(vp_upload_offset(u), 100);
        assert_int_equal(vp_upload_set_length(u, 100, &r->err), VP_OK);
        assert_int_equal(vp_upload_finish(u, &s, &info, &r->err), VP_OK);
        assert_content(s, 100, SEED);
        vp_source_unref(s);
        vp_upload_close(u);
        assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
    }
}

/* ---- bytes that could not be noted ---- */

/* ANY_ORDER: what was written and could not be noted is not in the record either, in no part of it. */
static void not_noted(void **state)
{
    room *r = *state;
    uint8_t *p = make_bytes(0, 2000, SEED);
    int refused = 0;

    for (int way = 0; way < 2; way++) {
        vp_upload *u = make_large(r, 0, VP_UPLOADF_ANY_ORDER);
        vp_upload_info info = VP_UPLOAD_INFO_INIT;
        vp_source *s = NULL;

        if (way == 0) {
            atomic_store(&vpi_alloc_fail_at, 1);
            refused += vp_upload_write_at(u, 0, p, 100, &r->err) == VP_E_NOMEM;
            atomic_store(&vpi_alloc_fail_at, 0);
        } else {
            /* More pieces than there may be; the length is a little short for them. */
            vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;

            vp_upload_close(u);
            assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
            o.id = "x";
            o.length = 9000;
            o.flags = VP_UPLOADF_ANY_ORDER;
            free(p);
            p = make_bytes(0, 9000, SEED);
            assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_OK);
            for (uint64_t i = 1; i <= 4096; i++)
                assert_int_equal(vp_upload_write_at(u, 2 * i, p + 2 * i, 1, &r->err), VP_OK);
            refused += vp_upload_write_at(u, 0, p, 1, &r->err) == VP_E_LIMIT;
        }
        assert_int_equal(vp_upload_write_at(u, 501, p + 501, 100, &r->err), VP_OK);
        assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
        assert_int_equal(vp_ingest_stat(r->store, "x", &info, NULL, &r->err), VP_OK);
        assert_int_equal(info.offset, 0);
        assert_true(info.received >= 100);
        assert_int_equal(vp_upload_write_at(u, 0, p, (size_t)info.length, &r->err), VP_OK);
        assert_int_equal(vp_upload_finish(u, &s, NULL, &r->err), VP_OK);
        assert_content(s, info.length, SEED);
        vp_source_unref(s);
        vp_upload_close(u);
        assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
    }
    free(p);
    assert_int_equal(refused, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(io_errors, room_open, room_close),
        cmocka_unit_test_setup_teardown(full_disk, room_open, room_close),
        cmocka_unit_test_setup_teardown(failed_sync, room_open, room_close),
        cmocka_unit_test_setup_teardown(failed_record, room_open, room_close),
        cmocka_unit_test_setup_teardown(full_write, room_open, room_close),
        cmocka_unit_test_setup_teardown(names, room_open, room_close),
        cmocka_unit_test_setup_teardown(torn, room_open, room_close),
        cmocka_unit_test_setup_teardown(made_and_lost, room_open, room_close),
        cmocka_unit_test_setup_teardown(first_sync_torn, room_open, room_close),
        cmocka_unit_test_setup_teardown(torn_is_tidied, room_open, room_close),
        cmocka_unit_test_setup_teardown(more_than_counts, room_open, room_close),
        cmocka_unit_test_setup_teardown(not_noted, room_open, room_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
