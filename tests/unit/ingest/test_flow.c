/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Blocks of large uploads that are written and hashed by other threads while the next are filled. */

#include <time.h>

#include "gather_tools.h"

#define UPLOADS 6
#define MUCH 400000u

static const char *const names[UPLOADS] = { "a", "b", "c", "d", "e", "f" };

/* Bytes from `at` to `to`, again from where the store has gone back to. */
static void push(room *r, vp_upload *u, uint64_t to, int *failures)
{
    while (vp_upload_offset(u) < to) {
        uint64_t at = vp_upload_offset(u);
        vp_status st = append(u, (size_t)VPI_MIN(to - at, (uint64_t)30000), SEED, &r->err);

        if (st == VP_OK) continue;
        assert_reason(&r->err, VP_E_IO, "DISK_FULL");
        assert_true(vp_upload_offset(u) <= at + 30000);
        assert_int_equal(written(r, "x"), vp_upload_offset(u));
        ++*failures;
    }
}

/* ---- many at a time ---- */

/* Pieces of several uploads, in turn: each gets its bytes, its digest and its record. */
static void in_turn(void **state)
{
    room *r = *state;
    vp_upload *all[UPLOADS];

    for (int i = 0; i < UPLOADS; i++) all[i] = make_upload(r, names[i], MUCH);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < UPLOADS; i++) {
            /* Of different sizes, so that their blocks end in different places. */
            assert_int_equal(append(all[i], 1000 + 3001 * i, SEED, &r->err), VP_OK);
            if ((round + i) % 7) continue;
            assert_int_equal(vp_upload_sync(all[i], &r->err), VP_OK);
            assert_int_equal(stat_offset(r->store, names[i]), vp_upload_offset(all[i]));
            assert_int_equal(written(r, names[i]), vp_upload_offset(all[i]));
        }
    }
    for (int i = 0; i < UPLOADS; i++) finish(r, all[i], MUCH);
}

typedef struct sender {
    room *r;
    const char *id;
    pthread_t thread;
    bool ok;
} sender;

static void *send_one(void *arg)
{
    sender *s = arg;
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_upload *u = NULL;
    vp_error err = VP_ERROR_INIT;
    char hex[65];

    o.id = s->id;
    o.length = MUCH;
    if (vp_ingest_create(s->r->store, &o, &u, &err) != VP_OK) return NULL;
    while (vp_upload_offset(u) < MUCH) {
        uint64_t at = vp_upload_offset(u);

        if (append(u, (size_t)VPI_MIN(MUCH - at, (uint64_t)(1000 + at % 25000)), SEED, &err) != VP_OK) break;
        if (at % 5 == 0 && vp_upload_sync(u, &err) != VP_OK) break;
    }
    content_sha256(MUCH, SEED, hex);
    s->ok = vp_upload_finish(u, NULL, &info, &err) == VP_OK && strcmp(info.sha256, hex) == 0;
    vp_upload_close(u);
    return NULL;
}

/* More uploads than the store has blocks, each by a thread of its own. */
static void at_once(void **state)
{
    room *r = *state;
    sender all[24] = { 0 };
    char ids[24][16];

    for (int i = 0; i < 24; i++) {
        snprintf(ids[i], sizeof(ids[i]), "t%d", i);
        all[i] = (sender){ .r = r, .id = ids[i] };
        assert_int_equal(pthread_create(&all[i].thread, NULL, send_one, &all[i]), 0);
    }
    for (int i = 0; i < 24; i++) {
        vp_source *s = NULL;

        pthread_join(all[i].thread, NULL);
        assert_true(all[i].ok);
        assert_int_equal(vp_ingest_source(r->store, ids[i], &s, &r->err), VP_OK);
        assert_content(s, MUCH, SEED);
        vp_source_unref(s);
    }
}

/* One that stands still with half a block keeps nobody waiting. */
static void beside_one_that_stalls(void **state)
{
    room *r = *state;
    vp_upload *still = make_upload(r, "still", MUCH), *u = make_upload(r, "x", MUCH);

    assert_int_equal(append(still, BUFFER / 2, SEED, &r->err), VP_OK);
    finish(r, u, MUCH);
    finish(r, still, MUCH);
}

/* What came becomes durable behind its request, also where no more comes. */
static void stalled(void **state)
{
    room *r = *state;
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    struct timespec pause = { 0, 1000000 };

    o.sync_bytes = 2 * BUFFER;
    room_again(r, &o);
    for (int round = 0; round < 50; round++) {
        vp_upload *u = make_upload(r, "x", LENGTH);
        int waited = 0;

        assert_int_equal(append(u, 2 * BUFFER, SEED, &r->err), VP_OK);
        while (stat_offset(r->store, "x") < 2 * BUFFER) {
            assert_true(waited++ < 5000);
            nanosleep(&pause, NULL);
        }
        vp_upload_close(u);
        assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
    }
}

/* ---- what fails ---- */

/* U13: whatever has no room, what is written stays and the rest is sent again. */
static void full_disk(void **state)
{
    room *r = *state;
    int failures = 1, all = 0;

    for (long n = 1; failures > 0; n++) {
        vp_upload *u = make_upload(r, "x", MUCH);

        failures = 0;
        assert_int_equal(append(u, 5000, SEED, &r->err), VP_OK);
        assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
        atomic_store(&vpi_disk_fail_with, ENOSPC);
        atomic_store(&vpi_disk_fail_at, n);
        push(r, u, 130000, &failures);
        if (vp_upload_sync(u, &r->err) != VP_OK) {
            assert_reason(&r->err, VP_E_IO, "DISK_FULL");
            failures++;
            if (vp_upload_sync(u, &r->err) != VP_OK) {
                /* It was no write: what the disk has is only known again behind what was durable. */
                vp_upload_close(u);
                assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK);
                assert_int_equal(vp_upload_offset(u), 5000);
            }
        }
        atomic_store(&vpi_disk_fail_at, 0);
        push(r, u, MUCH, &failures);
        finish(r, u, MUCH);
        assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
        all += failures;
    }
    atomic_store(&vpi_disk_fail_at, 0);
    assert_true(all > 10);
}

/* U10: after another failure nothing counts that was not durable. */
static void broken_disk(void **state)
{
    room *r = *state;

    for (long n = 1; n < 12; n++) {
        vp_upload *u = make_upload(r, "x", MUCH);
        vp_status st = VP_OK;
        uint64_t durable;

        assert_int_equal(append(u, 3 * BUFFER, SEED, &r->err), VP_OK);
        assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
        atomic_store(&vpi_disk_fail_with, EIO);
        atomic_store(&vpi_disk_fail_at, n);
        for (int i = 0; i < 20 && st == VP_OK; i++) st = append(u, 10000, SEED, &r->err);
        if (st == VP_OK) st = vp_upload_sync(u, &r->err);
        assert_int_equal(st, VP_E_IO);
        atomic_store(&vpi_disk_fail_at, 0);
        assert_int_equal(append(u, 1, SEED, &r->err), VP_E_IO);
        assert_int_equal(vp_upload_sync(u, &r->err), VP_E_IO);
        durable = stat_offset(r->store, "x");
        vp_upload_close(u);
        assert_true(durable >= 3 * BUFFER);
        assert_int_equal(stat_offset(r->store, "x"), durable);
        assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK);
        assert_int_equal(vp_upload_offset(u), durable);
        finish(r, u, MUCH);
        assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
    }
}

/* Without memory or threads it goes on by itself, or says so and loses nothing. */
static void no_memory(void **state)
{
    room *r = *state;

    for (long n = 1; n < 12; n++) {
        vp_upload *u;

        room_again(r, NULL); /* its threads are not there yet */
        u = make_upload(r, "x", MUCH);
        atomic_store(&vpi_alloc_fail_at, n);
        while (vp_upload_offset(u) < MUCH) {
            uint64_t at = vp_upload_offset(u);
            vp_status st = append(u, (size_t)VPI_MIN(MUCH - at, (uint64_t)30000), SEED, &r->err);

            assert_true(st == VP_OK || st == VP_E_NOMEM);
        }
        atomic_store(&vpi_alloc_fail_at, 0);
        finish(r, u, MUCH);
        assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
    }
}

/* ---- with chunks that are checked, and others that take it ---- */

static void checked(void **state)
{
    room *r = *state;
    vp_upload *u = make_upload(r, "x", MUCH);
    uint8_t *p = make_bytes(0, MUCH, SEED), digest[32];
    vpi_sha256 s;

    assert_int_equal(append(u, 50000, SEED, &r->err), VP_OK);
    for (int way = 0; way < 3; way++) {
        assert_int_equal(vp_upload_check_begin(u, "sha256", &r->err), VP_OK);
        for (uint64_t at = 50000; at < 150000; at += 10000)
            assert_int_equal(vp_upload_append(u, at, p + at, 10000, &r->err), VP_OK);
        if (way == 0) vp_upload_check_drop(u);
        if (way == 1)
            assert_int_equal(vp_upload_check_end(u, "something else than the digest..", 32, &r->err),
                             VP_E_DATA);
        assert_int_equal(vp_upload_offset(u), way < 2 ? 50000 : 150000);
    }
    vpi_sha256_init(&s);
    vpi_sha256_add(&s, p + 50000, 100000);
    vpi_sha256_done(&s, digest);
    assert_int_equal(vp_upload_check_end(u, digest, 32, &r->err), VP_OK);
    free(p);
    finish(r, u, MUCH);
}

/* Whoever takes it finds what was told to be durable, and no byte of the older one comes behind it. */
static void taken_over(void **state)
{
    room *r = *state;
    vp_ingest *other = room_store(r, NULL);

    for (int round = 0; round < 50; round++) {
        vp_upload *old = make_upload(r, "x", MUCH), *new = NULL;
        vp_status st;
        uint64_t had;

        assert_int_equal(append(old, 20000, SEED, &r->err), VP_OK);
        assert_int_equal(vp_upload_sync(old, &r->err), VP_OK);
        assert_int_equal(append(old, 40000, SEED + 1, &r->err), VP_OK); /* under way, most of it */
        assert_int_equal(vp_ingest_open(round % 2 ? other : r->store, "x", &new, &r->err), VP_OK);
        had = vp_upload_offset(new);
        assert_int_equal(had, round % 2 ? 20000 : 60000);
        st = append(old, 40000, SEED + 1, &r->err);
        if (st == VP_OK) st = vp_upload_sync(old, &r->err);
        assert_int_equal(st, VP_E_CONFLICT);
        assert_reason(&r->err, VP_E_CONFLICT, "TAKEN_OVER");
        vp_upload_close(old);
        if (round % 2) {
            finish(r, new, MUCH);
        } else {
            vp_upload_close(new);
        }
        assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
    }
    vp_ingest_unref(other);
}

/* ---- several digests in one pass ---- */

static void many_digests(void **state)
{
    static const uint8_t kinds[] = { VPI_DIGEST_SHA256, VPI_DIGEST_SHA256, VPI_DIGEST_SHA1, VPI_DIGEST_SHA256,
                                     VPI_DIGEST_NONE };
    uint8_t *p = make_bytes(0, MUCH, SEED), one[VPI_DIGEST_MAX], many[VPI_DIGEST_MAX];
    vpi_digest a[20], b[20];
    vpi_digest_input in[20];

    (void)state;
    for (unsigned n = 1; n <= 20; n++) {
        for (unsigned i = 0; i < n; i++) {
            vpi_digest_init(&a[i], kinds[(i + n) % 5]);
            /* Some have part of a block, and some are longer than others. */
            vpi_digest_add(&a[i], p, i % 3 == 2 ? 10 * i : 128);
            b[i] = a[i];
            in[i] = (vpi_digest_input){ &b[i], p + 100 * i, 5000 + (i * n * 97) % 3000 };
            if (i == 4) in[i].size = 63;
        }
        vpi_digest_add_many(in, n);
        for (unsigned i = 0; i < n; i++) {
            vpi_digest_add(&a[i], in[i].data, in[i].size);
            for (int more = 0; more < 2; more++) {
                vpi_digest_peek(&a[i], one);
                vpi_digest_peek(&b[i], many);
                assert_memory_equal(one, many, sizeof(one));
                assert_int_equal(a[i].length, b[i].length);
                vpi_digest_add(&a[i], p, 777);
                vpi_digest_add(&b[i], p, 777);
            }
        }
    }
    free(p);
}

/* ---- an event loop, beside a disk that stands still ---- */

static struct {
    pthread_t loop;
    atomic_int free;    /* changes that other threads may still make */
    atomic_bool over;   /* the disk goes on */
    atomic_int by_loop; /* changes that the loop made itself */
} disk;

static void disk_waits(void)
{
    struct timespec pause = { 0, 1000000 };

    if (pthread_equal(pthread_self(), disk.loop)) {
        atomic_fetch_add(&disk.by_loop, 1);
        return;
    }
    if (atomic_fetch_sub(&disk.free, 1) > 0) return;
    while (!atomic_load(&disk.over)) nanosleep(&pause, NULL);
}

static void disk_stops(int after)
{
    disk.loop = pthread_self();
    atomic_store(&disk.free, after);
    atomic_store(&disk.over, false);
    atomic_store(&disk.by_loop, 0);
    atomic_store(&vpi_disk_hook, disk_waits);
}

static void disk_goes_on(void)
{
    atomic_store(&disk.over, true);
    atomic_store(&vpi_disk_hook, NULL);
}

static vp_status append_start(vp_upload *u, size_t size, vp_queue *queue, uint64_t tag, vp_error *err)
{
    static uint8_t piece[30000]; /* stays until its event */
    uint64_t at = vp_upload_offset(u);

    for (size_t i = 0; i < size; i++) piece[i] = byte_at(at + i, SEED);
    return vp_upload_append_start(u, at, piece, size, queue, tag, err);
}

/* Pieces until one has to wait; so many bytes were taken before. */
static uint64_t until_it_waits(room *r, vp_upload *u, size_t size, vp_queue *queue)
{
    vp_event e = { .struct_size = sizeof(e) };
    vp_status st;
    uint64_t at;

    do {
        at = vp_upload_offset(u);
        assert_true(at < MUCH);
        st = append_start(u, size, queue, 5, &r->err);
        if (st < 0) fail_msg("%s", r->err.message);
        /* It may also have met a thread that had the lock for a moment. */
        if (st == VP_AGAIN) st = vp_queue_next(queue, 50, &e, NULL);
    } while (st == VP_OK);
    assert_int_equal(st, VP_AGAIN);
    disk_goes_on();
    assert_int_equal(vp_queue_next(queue, 60000, &e, NULL), VP_OK);
    assert_int_equal(e.kind, VP_EVENT_UPLOAD_SYNCED);
    assert_int_equal(e.tag, 5);
    assert_int_equal(e.status, VP_OK);
    assert_int_equal(vp_upload_offset(u), at + size);
    return at;
}

static void event_loop(void **state)
{
    vp_ingest_options o = VP_INGEST_OPTIONS_INIT;
    room *r = *state;
    vp_queue *queue = NULL;
    vp_upload *u;
    uint64_t at, most = (atomic_load(&vpi_gather_ahead) + 1) * BUFFER;

    assert_int_equal(vp_queue_new(&queue, NULL), VP_OK);
    /* Blocks that are not written: those under way, and what one more has room for. */
    u = make_upload(r, "x", MUCH);
    assert_int_equal(append_start(u, 100, queue, 1, &r->err), VP_AGAIN); /* the file is not open yet */
    assert_int_equal(vp_queue_next(queue, 60000, &(vp_event){ .struct_size = sizeof(vp_event) }, NULL),
                     VP_OK);
    disk_stops(0);
    at = until_it_waits(r, u, 1000, queue);
    assert_in_range(at, most - 1000, most);
    assert_int_equal(atomic_load(&disk.by_loop), 0);
    /* A large one at once. */
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    disk_stops(0);
    at = until_it_waits(r, u, 30000, queue);
    assert_int_equal(atomic_load(&disk.by_loop), 0);
    finish(r, u, MUCH);
    /* A sync behind whose data (1), or record (2, 3), is not written. */
    for (int after = 0; after < 3; after++) {
        o.sync_bytes = 3000;
        room_again(r, &o);
        u = make_upload(r, after == 0 ? "d" : after == 1 ? "e" : "f", MUCH);
        assert_int_equal(append(u, 1, SEED, &r->err), VP_OK);
        disk_stops(after);
        at = until_it_waits(r, u, 500, queue);
        assert_in_range(at, 3000 - 500, 4 * 3000);
        finish(r, u, MUCH);
    }
    /* Of a small one the put is not met by other writes. */
    for (int i = 0; i < 8; i++) {
        u = make_upload(r, "s", 100000);
        while (vp_upload_offset(u) < 100000) {
            vp_event e = { .struct_size = sizeof(e) };
            vp_status st = append_start(u, 500, queue, 8, &r->err);

            if (st == VP_AGAIN) st = vp_queue_next(queue, 60000, &e, NULL);
            assert_int_equal(st, VP_OK);
        }
        finish(r, u, 100000);
        assert_int_equal(vp_ingest_remove(r->store, "s", &r->err), VP_OK);
    }
    /* What waits is taken over, or closed. */
    u = make_upload(r, "g", MUCH);
    assert_int_equal(append_start(u, 500, queue, 9, &r->err), VP_AGAIN);
    vp_upload_close(u);
    assert_int_equal(stat_offset(r->store, "g"), 500);
    vp_queue_unref(queue);
}

/* Refusals are told at once. */
static void not_now(void **state)
{
    room *r = *state;
    vp_queue *queue = NULL;
    vp_upload *u = make_upload(r, "x", 100);

    assert_int_equal(vp_queue_new(&queue, NULL), VP_OK);
    assert_int_equal(vp_upload_append_start(u, 0, "x", 1, NULL, 1, &r->err), VP_E_ARG);
    assert_int_equal(vp_upload_append_start(u, 0, NULL, 1, queue, 1, &r->err), VP_E_ARG);
    assert_int_equal(append(u, 50, SEED, &r->err), VP_OK);
    assert_int_equal(vp_upload_append_start(u, 49, "x", 1, queue, 1, &r->err), VP_E_CONFLICT);
    assert_string_equal(r->err.reason, "OFFSET_MISMATCH");
    assert_int_equal(append_start(u, 51, queue, 1, &r->err), VP_E_LIMIT);
    assert_int_equal(vp_upload_offset(u), 100);
    assert_int_equal(vp_queue_next(queue, 0, &(vp_event){ .struct_size = sizeof(vp_event) }, NULL), VP_AGAIN);
    finish(r, u, 100);
    vp_queue_unref(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(in_turn, room_open, room_close),
        cmocka_unit_test_setup_teardown(at_once, room_open, room_close),
        cmocka_unit_test_setup_teardown(beside_one_that_stalls, room_open, room_close),
        cmocka_unit_test_setup_teardown(stalled, room_open, room_close),
        cmocka_unit_test_setup_teardown(event_loop, room_open, room_close),
        cmocka_unit_test_setup_teardown(not_now, room_open, room_close),
        cmocka_unit_test_setup_teardown(full_disk, room_open, room_close),
        cmocka_unit_test_setup_teardown(broken_disk, room_open, room_close),
        cmocka_unit_test_setup_teardown(no_memory, room_open, room_close),
        cmocka_unit_test_setup_teardown(checked, room_open, room_close),
        cmocka_unit_test_setup_teardown(taken_over, room_open, room_close),
        cmocka_unit_test(many_digests),
    };

    atomic_store(&vpi_gather_bytes, BUFFER);
    atomic_store(&vpi_dirs_direct_least, 4096);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
