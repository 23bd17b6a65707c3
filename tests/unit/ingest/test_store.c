/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Uploads from their making to their end, one request at a time. */

#include "tools.h"

/* Created, written over several requests, finished, read. */
static void way(void **state)
{
    room *r = *state;
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_upload *u = NULL;
    vp_source *source = NULL;
    vp_bytes *metadata = NULL;
    char hex[65], id[68];

    o.length = 300000;
    o.metadata = "title\0x";
    o.metadata_size = 7;
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_OK);
    assert_int_equal(vp_upload_get_info(u, &info, &r->err), VP_OK);
    assert_int_equal(strlen(info.id), 32);
    assert_int_equal(info.state, VP_UPLOAD_OPEN);
    assert_int_equal(info.offset, 0);
    assert_int_equal(info.writes, 1);
    strcpy(id, info.id);
    assert_int_equal(append(u, 100000, 1, &r->err), VP_OK);
    assert_int_equal(stat_offset(r->store, id), 0); /* written, not durable */
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    assert_int_equal(stat_offset(r->store, id), 100000);
    assert_int_equal(append(u, 1000, 1, &r->err), VP_OK);
    assert_null(vp_upload_close(u)); /* what was written counts */
    assert_int_equal(stat_offset(r->store, id), 101000);

    room_again(r, NULL); /* as another process */
    assert_int_equal(vp_ingest_open(r->store, id, &u, &r->err), VP_OK);
    assert_int_equal(vp_upload_offset(u), 101000);
    assert_int_equal(append(u, 199000, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, &source, &info, &r->err), VP_OK);
    assert_int_equal(info.state, VP_UPLOAD_FINISHED);
    assert_int_equal(info.shared, 0);
    content_sha256(300000, 1, hex);
    assert_string_equal(info.sha256, hex); /* over two openings: the state was kept */
    assert_content(source, 300000, 1);
    vp_source_unref(source);
    source = NULL;
    assert_int_equal(vp_upload_finish(u, &source, &info, &r->err), VP_OK); /* again */
    assert_content(source, 300000, 1);
    vp_upload_close(u);

    assert_int_equal(vp_ingest_stat(r->store, id, &info, &metadata, &r->err), VP_OK);
    assert_int_equal(info.metadata_size, 7);
    assert_int_equal(vp_bytes_size(metadata), 7);
    assert_memory_equal(vp_bytes_data(metadata), "title\0x", 7);
    vp_bytes_unref(metadata);
    assert_int_equal(vp_ingest_remove(r->store, id, &r->err), VP_OK);
    assert_content(source, 300000, 1); /* still readable by who had it */
    vp_source_unref(source);
    assert_int_equal(vp_ingest_stat(r->store, id, &info, NULL, &r->err), VP_END);
    assert_string_equal(r->err.reason, "UPLOAD_UNKNOWN");
    assert_int_equal(vp_ingest_remove(r->store, id, &r->err), VP_OK);
}

/* U01, U03, U16: offsets and lengths that do not fit. */
static void refusals(void **state)
{
    room *r = *state;
    vp_ingest_options so = VP_INGEST_OPTIONS_INIT;
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = make_upload(r, "a", 10), *v = NULL;
    static const char *bad[] = {
        "",    "-a",       "a/b",
        "..",  ".",        "a.b",
        "a b", "\xC3\xA4", "12345678901234567890123456789012345678901234567890123456789012345"
    };

    assert_int_equal(vp_upload_append(u, 1, "x", 1, &r->err), VP_E_CONFLICT);
    assert_reason(&r->err, VP_E_CONFLICT, "OFFSET_MISMATCH");
    assert_int_equal(append(u, 4, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_append(u, 3, "x", 1, &r->err), VP_E_CONFLICT);
    assert_int_equal(vp_upload_append(u, 5, "x", 1, &r->err), VP_E_CONFLICT);
    assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_E_CONFLICT);
    assert_reason(&r->err, VP_E_CONFLICT, "LENGTH_MISMATCH");
    /* Up to the length is written, nothing beyond. */
    assert_int_equal(append(u, 20, 1, &r->err), VP_E_LIMIT);
    assert_reason(&r->err, VP_E_LIMIT, "UPLOAD_TOO_LARGE");
    assert_int_equal(vp_upload_offset(u), 10);
    assert_int_equal(vp_upload_set_length(u, 11, &r->err), VP_E_CONFLICT);
    assert_int_equal(vp_upload_set_length(u, 10, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    vp_upload_close(u);
    assert_int_equal(stat_offset(r->store, "a"), 10);

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        o.id = bad[i];
        assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_E_ARG);
        assert_int_equal(vp_ingest_open(r->store, bad[i], &u, &r->err), VP_E_ARG);
        assert_null(u);
    }
    o.id = "a";
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_E_CONFLICT);
    assert_reason(&r->err, VP_E_CONFLICT, "ALREADY_EXISTS");

    so.max_size = 1000;
    room_again(r, &so);
    o.id = "b";
    o.length = 1001;
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_E_LIMIT);
    assert_reason(&r->err, VP_E_LIMIT, "UPLOAD_TOO_LARGE");
    o.length = VP_SIZE_UNKNOWN;
    assert_int_equal(vp_ingest_create(r->store, &o, &v, &r->err), VP_OK);
    assert_int_equal(append(v, 1500, 1, &r->err), VP_E_LIMIT);
    assert_int_equal(vp_upload_offset(v), 1000);
    assert_int_equal(vp_upload_finish(v, NULL, NULL, &r->err),
                     VP_E_CONFLICT); /* nobody said that this is all */
    assert_int_equal(vp_upload_set_length(v, 999, &r->err), VP_E_CONFLICT);
    assert_int_equal(vp_upload_set_length(v, 1000, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(v, NULL, NULL, &r->err), VP_OK);
    vp_upload_close(v);
}

/* U16: a length of 0 is whole at once. */
static void empty(void **state)
{
    room *r = *state;
    vp_upload *u = make_upload(r, "e", 0);
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_source *source = NULL;
    char hex[65];

    assert_int_equal(vp_ingest_stat(r->store, "e", &info, NULL, &r->err), VP_OK);
    assert_int_equal(info.state, VP_UPLOAD_COMPLETE);
    assert_int_equal(vp_upload_finish(u, &source, &info, &r->err), VP_OK);
    content_sha256(0, 0, hex);
    assert_string_equal(info.sha256, hex);
    assert_content(source, 0, 0);
    vp_source_unref(source);
    vp_upload_close(u);
}

/* The whole file's digest, told at the begin. */
static void declared(void **state)
{
    static const char *const right[] = {
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha1:A9993E364706816ABA3E25717850C26C9CD0D89D", "md5:900150983cd24fb0d6963f7d28e17f72",
        "crc32c:364b3fb7"
    };
    room *r = *state;
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;
    char text[80];

    o.length = 3;
    o.id = "d";
    for (size_t i = 0; i < 4; i++) {
        for (int wrong = 0; wrong < 2; wrong++) {
            strcpy(text, right[i]);
            text[strlen(text) - 1] ^= (char)wrong;
            o.digest = text;
            assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_OK);
            assert_int_equal(vp_upload_append(u, 0, "a", 1, &r->err), VP_OK);
            vp_upload_close(u);
            assert_int_equal(vp_ingest_open(r->store, "d", &u, &r->err), VP_OK);
            assert_int_equal(vp_upload_append(u, 1, "bc", 2, &r->err), VP_OK);
            assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), wrong ? VP_E_DATA : VP_OK);
            if (wrong) assert_reason(&r->err, VP_E_DATA, "CHECKSUM_MISMATCH");
            vp_upload_close(u);
            if (wrong)
                assert_int_equal(vp_ingest_stat(r->store, "d", NULL, NULL, &r->err), VP_END); /* removed */
            assert_int_equal(vp_ingest_remove(r->store, "d", &r->err), VP_OK);
        }
    }
    o.digest = "sha256:12";
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_E_ARG);
    o.digest = "sha512:12";
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_E_UNSUPPORTED);
}

/* U05, U14: a newer request of this process takes over, and what came through the older one counts. */
static void take_over(void **state)
{
    room *r = *state;
    vp_upload *old = make_upload(r, "t", 100000), *new = NULL;

    assert_int_equal(append(old, 5000, 3, &r->err), VP_OK);
    assert_int_equal(vp_ingest_open(r->store, "t", &new, &r->err), VP_OK);
    assert_int_equal(vp_upload_offset(new), 5000);
    assert_int_equal(append(old, 1, 3, &r->err), VP_E_CONFLICT);
    assert_reason(&r->err, VP_E_CONFLICT, "TAKEN_OVER");
    assert_int_equal(vp_upload_sync(old, &r->err), VP_E_CONFLICT);
    assert_int_equal(vp_upload_finish(old, NULL, NULL, &r->err), VP_E_CONFLICT);
    assert_int_equal(append(new, 95000, 3, &r->err), VP_OK);
    vp_upload_close(old);
    assert_int_equal(vp_upload_finish(new, NULL, NULL, &r->err), VP_OK);
    vp_upload_close(new);
}

/* The same between stores that know nothing of each other, as two processes. */
static void take_over_apart(void **state)
{
    room *r = *state;
    vp_ingest *other = room_store(r, NULL);
    vp_upload *old = make_upload(r, "t", 100000), *new = NULL;
    vp_source *source = NULL;

    assert_int_equal(append(old, 5000, 3, &r->err), VP_OK);
    assert_int_equal(vp_upload_sync(old, &r->err), VP_OK);
    assert_int_equal(append(old, 5000, 3, &r->err), VP_OK); /* never confirmed */
    assert_int_equal(vp_ingest_open(other, "t", &new, &r->err), VP_OK);
    assert_int_equal(vp_upload_offset(new), 5000);
    assert_int_equal(append_through(old, 8192, 4, &r->err), VP_E_CONFLICT);
    assert_reason(&r->err, VP_E_CONFLICT, "TAKEN_OVER");
    vp_upload_close(old);
    assert_int_equal(append(new, 95000, 3, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(new, &source, NULL, &r->err), VP_OK);
    assert_content(source, 100000, 3);
    vp_source_unref(source);
    vp_upload_close(new);
    vp_ingest_unref(other);
}

static vp_status count(void *user, const vp_upload_info *info)
{
    (void)info;
    return ++*(int *)user == 3 ? VP_AGAIN : VP_OK;
}

static void lists(void **state)
{
    room *r = *state;
    int n = 0;

    assert_int_equal(vp_ingest_list(r->store, count, &n, &r->err), VP_OK);
    assert_int_equal(n, 0);
    vp_upload_close(make_upload(r, "a", 1));
    vp_upload_close(make_upload(r, "b", 1));
    assert_int_equal(vp_ingest_list(r->store, count, &n, &r->err), VP_OK);
    assert_int_equal(n, 2);
    n = 0;
    vp_upload_close(make_upload(r, "c", 1));
    vp_upload_close(make_upload(r, "d", 1));
    assert_int_equal(vp_ingest_list(r->store, count, &n, &r->err), VP_AGAIN);
    assert_int_equal(n, 3);
}

/* What is no file is no upload, and keeps nobody from the others. */
static void lists_strangers(void **state)
{
    static const char *const ids[] = { "folder", "link", "pipe" };
    room *r = *state;
    char path[256];
    int n = 0;

    vp_upload_close(make_upload(r, "a", 1));
    for (int i = 0; i < 3; i++) {
        int len = snprintf(path, sizeof(path), "%s/uploads/%02x", r->path,
                           vpi_crc32c(0, ids[i], strlen(ids[i])) % 16);

        (void)mkdir(path, 0700);
        snprintf(path + len, sizeof(path) - (size_t)len, "/%s.rec", ids[i]);
        assert_int_equal(i == 0   ? mkdir(path, 0700)
                         : i == 1 ? symlink("/etc/passwd", path)
                                  : mkfifo(path, 0600),
                         0);
    }
    assert_int_equal(vp_ingest_list(r->store, count, &n, &r->err), VP_OK);
    assert_int_equal(n, 1);
    assert_int_equal(vp_ingest_expire(r->store, NULL, NULL, &r->err), VP_OK);
}

/* All below the directory, or all and the directory, by an operator's hand. */
static void sweep(const room *r, bool whole)
{
    char line[128];

    snprintf(line, sizeof(line), "rm -rf %s%s", r->path, whole ? "" : "/*");
    assert_int_equal(system(line), 0);
}

/* What is removed while it is written is not confirmed any more, and new uploads find folders again. */
static void removed_outside(void **state)
{
    room *r = *state;
    vp_ingest *other = room_store(r, NULL);
    vp_upload *u, *beside;

    for (int i = 0; i < 8; i++) {
        made_scope = i & 1 ? "s" : NULL; /* bytes apart, or with the record */
        u = make_upload(r, "u", 10000);
        beside = make_upload(r, "beside", 100);
        assert_int_equal(append(u, 5000, 3, &r->err), VP_OK);
        if (i & 2) assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
        vp_upload_close(beside);
        sweep(r, i & 4);
        assert_int_equal(append(u, 5000, 3, &r->err), VP_OK);
        assert_int_equal(vp_upload_sync(u, &r->err), VP_E_DATA);
        assert_reason(&r->err, VP_E_DATA, "UPLOAD_CORRUPT");
        vp_upload_close(u);
        assert_int_equal(vp_ingest_open(r->store, "u", &u, &r->err), VP_END);
        assert_int_equal(vp_ingest_open(r->store, "beside", &u, &r->err), VP_END);

        u = make_upload(r, "u", 10000);
        assert_int_equal(append(u, 10000, 4, &r->err), VP_OK);
        assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
        assert_int_equal(stat_offset(other, "u"), 10000);
        assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_OK);
        vp_upload_close(u);
        assert_int_equal(vp_ingest_remove(other, "u", &r->err), VP_OK);
        assert_int_equal(vp_ingest_stat(r->store, "u", NULL, NULL, &r->err), VP_END);
    }
    vp_ingest_unref(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(way, room_open, room_close),
        cmocka_unit_test_setup_teardown(refusals, room_open, room_close),
        cmocka_unit_test_setup_teardown(empty, room_open, room_close),
        cmocka_unit_test_setup_teardown(declared, room_open, room_close),
        cmocka_unit_test_setup_teardown(take_over, room_open, room_close),
        cmocka_unit_test_setup_teardown(take_over_apart, room_open, room_close),
        cmocka_unit_test_setup_teardown(lists, room_open, room_close),
        cmocka_unit_test_setup_teardown(lists_strangers, room_open, room_close),
        cmocka_unit_test_setup_teardown(removed_outside, room_open, room_close),
    };

    setenv("VPT_DIR", "/tmp", 0); /* on a disk */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
