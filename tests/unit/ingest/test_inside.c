/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small uploads, whose bytes are in the file of the record: what a machine that stops leaves of both, in any order
 * (U06, U09, U10).
 */

#include "workers.h"

#define PAGE 4096u
#define HEAD 512u
#define BASE (2 * PAGE) /* of the bytes: head and first slot, second slot */
#define WHOLE 20000u

typedef struct image {
    uint8_t p[BASE + WHOLE + PAGE];
    size_t size;
} image;

static void path_of(const room *r, const char *id, char path[256])
{
    snprintf(path, 256, "%s/uploads/%02x/%s.rec", r->path, vpi_crc32c(0, id, strlen(id)) % 16, id);
}

static void load(const room *r, const char *id, image *i)
{
    char path[256];
    ssize_t n;
    int fd;

    path_of(r, id, path);
    fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    n = read(fd, i->p, sizeof(i->p));
    close(fd);
    assert_true(n > 0 && (size_t)n < sizeof(i->p));
    memset(i->p + n, 0, sizeof(i->p) - (size_t)n);
    i->size = (size_t)n;
}

/* As a machine leaves it: no process has it open. */
static void store(const room *r, const char *id, const image *i)
{
    char path[256];
    int fd;

    path_of(r, id, path);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, i->p, i->size), i->size);
    close(fd);
}

/* To the end of x, from what there is; the bytes are right. */
static void complete(room *r)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;
    vp_source *s = NULL;
    vp_status st = vp_ingest_open(r->store, "x", &u, &r->err);

    if (st == VP_END) {
        o.id = "x";
        o.length = WHOLE;
        st = vp_ingest_create(r->store, &o, &u, &r->err);
    }
    if (st != VP_OK) fail_msg("%s: %s", r->err.reason, r->err.message);
    assert_int_equal(append(u, (size_t)(WHOLE - vp_upload_offset(u)), SEED, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, &s, NULL, &r->err), VP_OK);
    assert_content(s, WHOLE, SEED);
    vp_source_unref(s);
    vp_upload_close(u);
}

/* What x has confirmed; -1: there is none. */
static int64_t confirmed(room *r)
{
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_status st = vp_ingest_stat(r->store, "x", &info, NULL, &r->err);

    if (st == VP_END) return -1;
    if (st != VP_OK) fail_msg("%s: %s", r->err.reason, r->err.message);
    return (int64_t)info.offset;
}

/* x with `old` bytes confirmed, in *before, and with `more` in *after, which the head does not know yet. */
static void two_images(room *r, size_t old, size_t more, image *before, image *after)
{
    vp_upload *u = make_upload(r, "x", WHOLE);

    if (old > 0) {
        assert_int_equal(append(u, old, SEED, &r->err), VP_OK);
        assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    }
    load(r, "x", before);
    assert_int_equal(append(u, more - old, SEED, &r->err), VP_OK);
    assert_int_equal(more == WHOLE ? vp_upload_finish(u, NULL, NULL, &r->err) : vp_upload_sync(u, &r->err),
                     VP_OK);
    vp_upload_close(u);
    load(r, "x", after);
    /* What came in one request is written in whole pages. */
    assert_true(after->size >= BASE + more && after->size < BASE + more + PAGE);
    memcpy(after->p, before->p, HEAD);
    assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
}

static uint32_t next_random(void)
{
    static uint32_t seed = 1;

    seed = seed * 1103515245u + 12345u;
    return seed >> 8;
}

static const struct {
    size_t old, more;
} growths[] = { { 0, 1000 }, { 0, WHOLE }, { 1000, 1300 }, { 700, 9000 }, { 8192, WHOLE } };

/*
 * A sync of bytes and record that did not come to its end: of what it was about to write each sector is there, or is as
 * it was. Where something was confirmed before, that is there still; all of the new or nothing of it counts.
 */
static void sync_torn(void **state)
{
    static image before, after, mix;
    room *r = *state;
    int old = 0, new = 0;

    for (size_t g = 0; g < sizeof(growths) / sizeof(growths[0]); g++) {
        two_images(r, growths[g].old, growths[g].more, &before, &after);
        for (int round = 0; round < 250; round++) {
            unsigned density = (unsigned)round % 5;
            int64_t found;

            mix = after;
            for (size_t at = 0; at < after.size; at += 512) {
                size_t n = after.size - at < 512 ? after.size - at : 512;

                if (next_random() % 64 < density * density) memcpy(mix.p + at, before.p + at, n);
            }
            if (round % 7 == 1) mix.size = before.size; /* the file has not grown yet */
            store(r, "x", &mix);
            found = confirmed(r);
            if (found != (int64_t)growths[g].old && found != (int64_t)growths[g].more)
                fail_msg("%lld", (long long)found);
            if (found == (int64_t)growths[g].more) {
                assert_int_equal(mix.size, after.size);
                assert_memory_equal(mix.p + BASE, after.p + BASE, growths[g].more);
                new ++;
            } else {
                old++;
            }
            complete(r);
            assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
        }
    }
    assert_true(old > 100 && new > 100);
}

/* The first sync, of a file of which nothing was on the disk: sectors of zeroes, any prefix. */
static void first_sync_torn(void **state)
{
    static image before, after, mix;
    room *r = *state;
    int gone = 0, made = 0, there = 0;

    for (int round = 0; round < 800; round++) {
        size_t more = growths[round % 2].more, cut;
        unsigned density = (unsigned)round / 2 % 4;
        int64_t found;

        two_images(r, 0, more, &before, &after);
        mix = after;
        for (size_t at = 0; at < mix.size; at += 512) {
            if (next_random() % 64 < density * density) memset(mix.p + at, 0, 512);
        }
        cut = round % 3 ? mix.size : next_random() % (mix.size / PAGE + 1) * PAGE;
        mix.size = cut;
        store(r, "x", &mix);
        found = confirmed(r);
        assert_true(found == -1 || found == 0 || found == (int64_t)more);
        gone += found == -1;
        made += found == 0;
        there += found > 0;
        complete(r);
        assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
    }
    assert_true(gone > 50 && made > 50 && there > 50);
}

/* Page by page, in both orders. */
static void pages_torn(void **state)
{
    static image before, after, mix;
    room *r = *state;

    for (size_t g = 0; g < sizeof(growths) / sizeof(growths[0]); g++) {
        two_images(r, growths[g].old, growths[g].more, &before, &after);
        for (size_t cut = 0; cut <= after.size + PAGE; cut += PAGE) {
            for (int order = 0; order < 2; order++) {
                size_t n = cut < after.size ? cut : after.size;
                bool all = order ? cut == 0 : cut >= after.size;

                mix = after;
                memcpy(mix.p + (order ? 0 : n), before.p + (order ? 0 : n), order ? n : after.size - n);
                store(r, "x", &mix);
                if (all) assert_int_equal(confirmed(r), growths[g].more);
                assert_true(confirmed(r) == (int64_t)growths[g].old ||
                            memcmp(mix.p + BASE, after.p + BASE, growths[g].more) == 0);
                complete(r);
                assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
            }
        }
    }
}

/* A slot that came without its bytes is no longer there when the same bytes come and are not confirmed. */
static void dropped(void **state)
{
    static image before, after;
    room *r = *state;
    vp_upload *u = NULL;

    two_images(r, 700, 9000, &before, &after);
    memset(after.p + BASE + 700, 0, 9000 - 700);
    store(r, "x", &after);
    assert_int_equal(confirmed(r), 700);
    assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK);
    assert_int_equal(vp_upload_offset(u), 700);
    assert_int_equal(append(u, 9000 - 700, SEED, &r->err), VP_OK);
    assert_int_equal(confirmed(r), 700);
    vp_upload_close(u); /* confirms them */
    assert_int_equal(confirmed(r), 9000);
    complete(r);
}

/* The bytes that a record confirms are summed right, whatever was written besides. */
static void summed(void **state)
{
    static image made, now;
    room *r = *state;
    vp_upload *u = make_upload(r, "x", WHOLE);

    load(r, "x", &made);
    assert_int_equal(append(u, 100, SEED, &r->err), VP_OK);
    assert_int_equal(vp_upload_check_begin(u, "sha1", &r->err), VP_OK);
    assert_int_equal(append(u, 500, SEED + 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK); /* while more is there */
    for (int i = 0; i < 3; i++) {
        int64_t right = i == 0 ? 100 : i == 1 ? 600 : 7000;

        load(r, "x", &now);
        vp_upload_close(u);
        memcpy(now.p, made.p, HEAD); /* what the head says is lost: it must be proved */
        store(r, "x", &now);
        assert_int_equal(confirmed(r), right);
        assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK);
        assert_int_equal(vp_upload_offset(u), right);
        if (i == 0) { /* again, as many as were dropped */
            assert_int_equal(vp_upload_check_begin(u, "sha1", &r->err), VP_OK);
            assert_int_equal(append(u, 500, SEED + 1, &r->err), VP_OK);
            assert_int_equal(vp_upload_check_end(u, "not the digest......", 20, &r->err), VP_E_DATA);
            assert_int_equal(append(u, 500, SEED, &r->err), VP_OK);
            assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
        } else if (i == 1) { /* in pieces, after an opening */
            assert_int_equal(append(u, 6000, SEED, &r->err), VP_OK);
            assert_int_equal(append(u, 400, SEED, &r->err), VP_OK);
            assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
        }
    }
    vp_upload_close(u);
    complete(r);
}

/* What lies behind the bytes that were confirmed is nobody's, also where nothing more is written. */
static void surplus(void **state)
{
    static image now;
    room *r = *state;
    vp_upload *u = NULL;
    vp_source *s = NULL;

    for (int left = 0; left < 2; left++) {
        u = make_upload(r, "x", WHOLE);
        assert_int_equal(append(u, WHOLE - (left ? 10 : 0), SEED, &r->err), VP_OK);
        vp_upload_close(u);
        load(r, "x", &now);
        memset(now.p + now.size, 0xAA, 300);
        now.size += 300;
        store(r, "x", &now);
        assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK);
        if (left) assert_int_equal(append(u, 10, SEED, &r->err), VP_OK);
        assert_int_equal(vp_upload_finish(u, &s, NULL, &r->err), VP_OK);
        assert_content(s, WHOLE, SEED);
        vp_source_unref(s);
        vp_upload_close(u);
        assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
    }
}

/* Nobody can tell what such a file confirms, however short it is: that is said, and nothing takes its place. */
static void head_damaged(void **state)
{
    static const uint64_t lengths[] = { 0, 100, WHOLE };
    static image now;
    room *r = *state;

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
        vp_upload *u = make_upload(r, "x", lengths[i]);

        for (int half = 0; half < 2 && lengths[i] > 0; half++) {
            assert_int_equal(append(u, (size_t)lengths[i] / 2, SEED, &r->err), VP_OK);
            vp_upload_close(u);
            assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK);
        }
        assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_OK);
        vp_upload_close(u);
        load(r, "x", &now);
        assert_int_equal(now.size, BASE + lengths[i]);
        now.p[9] ^= 1;
        store(r, "x", &now);
        assert_int_equal(vp_ingest_stat(r->store, "x", NULL, NULL, &r->err), VP_E_DATA);
        assert_string_equal(r->err.reason, "UPLOAD_CORRUPT");
        assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_E_DATA);
        o.id = "x";
        o.length = 1;
        assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_E_CONFLICT);
        assert_string_equal(r->err.reason, "ALREADY_EXISTS");
        assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
        assert_int_equal(files_like(r, "x.*"), 0);
    }
}

/* An expired one confirms nothing: also where the machine stops, its record without bytes is right. */
static void expired(void **state)
{
    static image made, gone;
    room *r = *state;
    worker w = { .pipe = -1 };
    vp_upload *u = NULL;

    assert_int_equal(begin(&w, r, true), VP_OK);
    vp_ingest_unref(r->store);
    r->store = vp_ingest_ref(w.store);
    u = make_upload(r, "x", WHOLE);
    load(r, "x", &made);
    assert_int_equal(append(u, 9000, SEED, &r->err), VP_OK);
    vp_upload_close(u);
    future_days = 1;
    assert_int_equal(expire_work(&w, NULL), VP_OK);
    load(r, "x", &gone);
    assert_int_equal(gone.size, BASE);
    memcpy(gone.p, made.p, HEAD);
    store(r, "x", &gone);
    assert_int_equal(vp_ingest_stat(r->store, "x", NULL, NULL, &r->err), VP_END);
    assert_string_equal(r->err.reason, "UPLOAD_EXPIRED");
    future_days = 3;
    assert_int_equal(expire_work(&w, NULL), VP_OK);
    future_days = 0;
    assert_int_equal(files_like(r, "x.*"), 0);
    end(&w);
}

/* One file each; what is shared, longer or in any order has two. Sources begin where the bytes do. */
static void places(void **state)
{
    static uint8_t back[8];
    room *r = *state;
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = make_upload(r, "x", WHOLE);
    vp_source *growing = NULL, *s = NULL;
    char before[256], after[256];
    size_t got;

    assert_int_equal(vp_ingest_peek(r->store, "x", &growing, &r->err), VP_OK);
    assert_int_equal(vp_source_read_at(growing, 0, back, 8, &got, &r->err), VP_AGAIN);
    assert_int_equal(append(u, 5000, SEED, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    assert_int_equal(vp_source_read_at(growing, 4992, back, 8, &got, &r->err), VP_OK);
    assert_int_equal(got, 8);
    assert_int_equal(back[0], byte_at(4992, SEED));
    assert_int_equal(append(u, WHOLE - 5000, SEED, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, &s, NULL, &r->err), VP_OK);
    vp_upload_close(u);
    assert_int_equal(vp_source_read_at(growing, WHOLE - 8, back, 8, &got, &r->err), VP_OK);
    assert_int_equal(back[0], byte_at(WHOLE - 8, SEED));
    assert_content(s, WHOLE, SEED);
    assert_int_equal(vp_source_identity(s, before, sizeof(before), &r->err), VP_OK);
    vp_source_unref(growing);
    vp_source_unref(s);
    usleep(20000);
    assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK); /* writes into the head */
    vp_upload_close(u);
    assert_int_equal(vp_ingest_source(r->store, "x", &s, &r->err), VP_OK);
    assert_int_equal(vp_source_identity(s, after, sizeof(after), &r->err), VP_OK);
    assert_string_equal(before, after);
    vp_source_unref(s);
    vp_upload_close(make_upload(r, "limit", 128 << 10));
    assert_int_equal(files_like(r, "*.data"), 0);
    vp_upload_close(make_upload(r, "long", (128 << 10) + 1));
    vp_upload_close(make_upload(r, "unknown", VP_SIZE_UNKNOWN));
    o.id = "order";
    o.length = 10;
    o.flags = VP_UPLOADF_ANY_ORDER;
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_OK);
    vp_upload_close(u);
    o.id = "scope";
    o.flags = 0;
    o.scope = "s";
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_OK);
    vp_upload_close(u);
    assert_int_equal(files_like(r, "*.data"), 4);
    assert_int_equal(files_like(r, "*.rec"), 6);
}

static vp_upload *part_of(room *r, int i, uint64_t length)
{
    char id[16];

    snprintf(id, sizeof(id), "m%d", i);
    return make_upload(r, id, length);
}

/* More at a time than the store keeps in memory, of any size, some with a sync in the middle. */
static void many_at_once(void **state)
{
    room *r = *state;
    vp_upload *all[40];
    char id[16];

    for (int i = 0; i < 40; i++) {
        all[i] = part_of(r, i, 3300u * (unsigned)i + 7);
        assert_int_equal(append(all[i], 5, SEED, &r->err), VP_OK);
    }
    for (int i = 0; i < 40; i++) {
        uint64_t length = 3300u * (unsigned)i + 7;
        vp_source *s = NULL;

        if (i % 3 == 0) assert_int_equal(vp_upload_sync(all[i], &r->err), VP_OK);
        assert_int_equal(append(all[i], (size_t)length - 5, SEED, &r->err), VP_OK);
        assert_int_equal(vp_upload_finish(all[i], NULL, NULL, &r->err), VP_OK);
        vp_upload_close(all[i]);
        snprintf(id, sizeof(id), "m%d", i);
        assert_int_equal(vp_ingest_source(r->store, id, &s, &r->err), VP_OK);
        assert_content(s, length, SEED);
        vp_source_unref(s);
    }
}

/* A file system that refuses direct writes, at once or later, and one without room for a moment. */
static void refused(void **state)
{
    static const int errors[] = { EINVAL, ENOSPC };
    room *r = *state;

    for (size_t e = 0; e < 2; e++) {
        for (long n = 1; n < 5; n++) {
            vp_upload *u = part_of(r, 0, WHOLE);
            vp_source *s = NULL;
            vp_status st;

            assert_int_equal(append(u, WHOLE, SEED, &r->err), VP_OK);
            atomic_store(&vpi_disk_fail_with, errors[e]);
            atomic_store(&vpi_disk_fail_at, n);
            st = vp_upload_finish(u, NULL, NULL, &r->err);
            atomic_store(&vpi_disk_fail_at, 0);
            vp_upload_close(u);
            if (e == 0 && n == 1) assert_int_equal(st, VP_OK); /* written in the usual way */
            if (st != VP_OK) {
                assert_int_equal(vp_ingest_open(r->store, "m0", &u, &r->err), VP_OK);
                assert_int_equal(vp_upload_offset(u), 0);
                assert_int_equal(append(u, WHOLE, SEED, &r->err), VP_OK);
                assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_OK);
                vp_upload_close(u);
            }
            assert_int_equal(vp_ingest_source(r->store, "m0", &s, &r->err), VP_OK);
            assert_content(s, WHOLE, SEED);
            vp_source_unref(s);
            assert_int_equal(vp_ingest_remove(r->store, "m0", &r->err), VP_OK);
            room_again(r, NULL);
        }
    }
}

/*
 * Made and closed, an upload waits in memory for its bytes: whatever another process did with it meanwhile is seen.
 * More of them than the store keeps are no less there.
 */
static void parked(void **state)
{
    room *r = *state;
    vp_ingest *other = room_store(r, NULL);
    vp_upload *u = NULL;
    vp_source *s = NULL;
    char id[16];

    for (int way = 0; way < 4; way++) {
        vp_upload_close(make_upload(r, "x", WHOLE));
        if (way == 2) {
            assert_int_equal(vp_ingest_remove(other, "x", &r->err), VP_OK);
            assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_END);
            continue;
        }
        if (way == 3) { /* removed, and made again by the other */
            vp_ingest *mine = r->store;

            assert_int_equal(vp_ingest_remove(other, "x", &r->err), VP_OK);
            r->store = other;
            u = make_upload(r, "x", WHOLE);
            r->store = mine;
        } else {
            assert_int_equal(vp_ingest_open(other, "x", &u, &r->err), VP_OK);
        }
        if (way != 1) assert_int_equal(append(u, 5000, SEED, &r->err), VP_OK);
        vp_upload_close(u);
        assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_OK);
        assert_int_equal(vp_upload_offset(u), way == 1 ? 0 : 5000);
        vp_upload_close(u);
        complete(r);
        assert_int_equal(vp_ingest_remove(r->store, "x", &r->err), VP_OK);
    }
    for (int i = 0; i < 100; i++) vp_upload_close(part_of(r, i, 3000));
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof(id), "m%d", i);
        assert_int_equal(vp_ingest_open(r->store, id, &u, &r->err), VP_OK);
        assert_int_equal(append(u, 3000, SEED, &r->err), VP_OK);
        assert_int_equal(vp_upload_finish(u, &s, NULL, &r->err), VP_OK);
        assert_content(s, 3000, SEED);
        vp_source_unref(s);
        vp_upload_close(u);
    }
    vp_ingest_unref(other);
}

/* It is not open: another process may remove it when its time is over. */
static void parked_expires(void **state)
{
    room *r = *state;
    worker w = { .pipe = -1 };
    vp_upload *u = NULL;

    assert_int_equal(begin(&w, r, true), VP_OK);
    vp_ingest_unref(r->store);
    r->store = room_store(r, NULL);
    {
        vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;

        o.id = "x";
        o.length = WHOLE;
        o.expire_ms = 1000;
        assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_OK);
        vp_upload_close(u);
    }
    future_days = 1;
    assert_int_equal(expire_work(&w, NULL), VP_OK);
    assert_int_equal(vp_ingest_open(r->store, "x", &u, &r->err), VP_END);
    assert_string_equal(r->err.reason, "UPLOAD_EXPIRED");
    future_days = 0;
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sync_torn, room_open, room_close),
        cmocka_unit_test_setup_teardown(first_sync_torn, room_open, room_close),
        cmocka_unit_test_setup_teardown(pages_torn, room_open, room_close),
        cmocka_unit_test_setup_teardown(dropped, room_open, room_close),
        cmocka_unit_test_setup_teardown(summed, room_open, room_close),
        cmocka_unit_test_setup_teardown(surplus, room_open, room_close),
        cmocka_unit_test_setup_teardown(head_damaged, room_open, room_close),
        cmocka_unit_test_setup_teardown(expired, room_open, room_close),
        cmocka_unit_test_setup_teardown(places, room_open, room_close),
        cmocka_unit_test_setup_teardown(many_at_once, room_open, room_close),
        cmocka_unit_test_setup_teardown(refused, room_open, room_close),
        cmocka_unit_test_setup_teardown(parked, room_open, room_close),
        cmocka_unit_test_setup_teardown(parked_expires, room_open, room_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
