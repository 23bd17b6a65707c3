/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chunks with checksums, bytes in any order, concatenations, states of digests. */

#include "tools.h"

#include "ingest/digest.h"
#include "ingest/record.h"

static const char *const algorithms[] = { "sha256", "sha1", "md5", "crc32c" };

/* What is hashed in one go, and with the state written down and read again in between, is the same. */
static void digest_states(void **state)
{
    uint8_t *p = make_bytes(0, 1000, 5), once[VPI_DIGEST_MAX], twice[VPI_DIGEST_MAX];

    (void)state;
    for (unsigned a = 0; a < 4; a++) {
        for (size_t cut = 0; cut <= 200; cut++) {
            uint8_t kind = vpi_digest_named(algorithms[a], strlen(algorithms[a]));
            vpi_digest whole, first, second = { 0 };
            vpi_buf b = { 0 };

            vpi_digest_init(&whole, kind);
            vpi_digest_add(&whole, p, 1000);
            vpi_digest_peek(&whole, once);
            vpi_digest_init(&first, kind);
            vpi_digest_add(&first, p, cut);
            vpi_digest_write(&first, &b);
            assert_false(b.failed);
            for (size_t n = 0; n < b.size; n++) assert_int_equal(vpi_digest_read(&second, b.data, n), 0);
            assert_int_equal(vpi_digest_read(&second, b.data, b.size), b.size);
            assert_int_equal(second.length, cut);
            vpi_digest_add(&second, p + cut, 1000 - cut);
            vpi_digest_peek(&second, twice);
            assert_memory_equal(once, twice, vpi_digest_size(kind));
            vpi_buf_dispose(&b);
        }
    }
    free(p);
    assert_int_equal(vpi_digest_named("sha512", 6), VPI_DIGEST_NONE);
}

/* A state does not depend on how OpenSSL lays out its struct: this one was written down by hand from FIPS 180-4. */
static void digest_form(void **state)
{
    static const uint8_t form[] = { 1,    0,    0,    0,    0,    0,    0,    0,    3,    0x6a, 0x09,
                                    0xe6, 0x67, 0xbb, 0x67, 0xae, 0x85, 0x3c, 0x6e, 0xf3, 0x72, 0xa5,
                                    0x4f, 0xf5, 0x3a, 0x51, 0x0e, 0x52, 0x7f, 0x9b, 0x05, 0x68, 0x8c,
                                    0x1f, 0x83, 0xd9, 0xab, 0x5b, 0xe0, 0xcd, 0x19, 'a',  'b',  'c' };
    vpi_digest d;
    vpi_buf b = { 0 };

    (void)state;
    vpi_digest_init(&d, VPI_DIGEST_SHA256);
    vpi_digest_add(&d, "abc", 3);
    vpi_digest_write(&d, &b);
    assert_int_equal(b.size, sizeof(form));
    assert_memory_equal(b.data, form, sizeof(form));
    vpi_buf_dispose(&b);
}

static void digest_of(const char *algorithm, uint64_t from, size_t size, unsigned seed,
                      uint8_t out[VPI_DIGEST_MAX])
{
    uint8_t *p = make_bytes(from, size, seed);
    vpi_digest d;

    vpi_digest_init(&d, vpi_digest_named(algorithm, strlen(algorithm)));
    vpi_digest_add(&d, p, size);
    vpi_digest_peek(&d, out);
    free(p);
}

/* U08 */
static void checks(void **state)
{
    room *r = *state;
    vp_upload *u = make_upload(r, "c", 100000);
    uint8_t digest[VPI_DIGEST_MAX];
    vp_source *s = NULL;
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    char hex[65];

    assert_int_equal(vp_upload_check_begin(u, "sha512", &r->err), VP_E_UNSUPPORTED);
    assert_int_equal(vp_upload_check_end(u, digest, 4, &r->err), VP_E_STATE);
    for (unsigned a = 0; a < 4; a++) {
        uint64_t at = vp_upload_offset(u);
        size_t size = vpi_digest_size(vpi_digest_named(algorithms[a], strlen(algorithms[a])));

        for (int round = 0; round < 4; round++) {
            assert_int_equal(vp_upload_check_begin(u, algorithms[a], &r->err), VP_OK);
            assert_int_equal(vp_upload_check_begin(u, algorithms[a], &r->err), VP_E_STATE);
            assert_int_equal(append(u, 7000, round == 3 ? 2 : 99, &r->err), VP_OK); /* 99: other bytes */
            assert_int_equal(append(u, 1000, round == 3 ? 2 : 99, &r->err), VP_OK);
            assert_int_equal(vp_upload_offset(u), at + 8000);
            assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_E_STATE);
            assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
            assert_int_equal(stat_offset(r->store, "c"), at); /* does not count yet */
            digest_of(algorithms[a], at, 8000, 2, digest);
            if (round == 0) {
                assert_int_equal(vp_upload_check_end(u, digest, size, &r->err), VP_E_DATA);
                assert_reason(&r->err, VP_E_DATA, "CHECKSUM_MISMATCH");
            } else if (round == 1) {
                vp_upload_check_drop(u);
            } else if (round == 2) {
                /* The request breaks off in mid-check. */
                vp_upload_close(u);
                assert_int_equal(vp_ingest_open(r->store, "c", &u, &r->err), VP_OK);
            } else {
                assert_int_equal(vp_upload_check_end(u, digest, size, &r->err), VP_OK);
            }
            assert_int_equal(vp_upload_offset(u), round == 3 ? at + 8000 : at);
        }
        assert_int_equal(vp_upload_check_begin(u, algorithms[a], &r->err), VP_OK);
        assert_int_equal(vp_upload_check_end(u, digest, size - 1, &r->err), VP_E_DATA); /* too short */
    }
    assert_int_equal(append(u, 100000 - 32000, 2, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, &s, &info, &r->err), VP_OK);
    assert_content(s, 100000, 2);
    content_sha256(100000, 2, hex);
    assert_string_equal(info.sha256, hex);
    vp_source_unref(s);
    vp_upload_close(u);
}

/* ---- any order ---- */

static vp_upload *make_any(room *r, const char *id, uint64_t length)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;

    o.id = id;
    o.length = length;
    o.flags = VP_UPLOADF_ANY_ORDER;
    o.digest = NULL;
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_OK);
    return u;
}

static vp_status put_at(vp_upload *u, uint64_t from, size_t size, unsigned seed, vp_error *err)
{
    uint8_t *p = make_bytes(from, size, seed);
    vp_status st = vp_upload_write_at(u, from, p, size, err);

    free(p);
    return st;
}

static void any_order(void **state)
{
    room *r = *state;
    vp_upload *u = make_any(r, "o", 10000);
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_source *s = NULL;
    uint64_t from, to;
    uint8_t digest[VPI_DIGEST_MAX];
    char hex[65];

    assert_int_equal(put_at(u, 9000, 1000, 1, &r->err), VP_OK);
    assert_int_equal(put_at(u, 9000, 1001, 1, &r->err), VP_E_LIMIT);
    assert_int_equal(put_at(u, 2000, 500, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_offset(u), 0);
    assert_int_equal(vp_upload_missing(u, 0, &from, &to, &r->err), VP_OK);
    assert_true(from == 0 && to == 2000);
    assert_int_equal(vp_upload_missing(u, 1, &from, &to, &r->err), VP_OK);
    assert_true(from == 2500 && to == 9000);
    assert_int_equal(vp_upload_missing(u, 2, &from, &to, &r->err), VP_END);
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    vp_upload_close(u);

    room_again(r, NULL);
    assert_int_equal(vp_ingest_stat(r->store, "o", &info, NULL, &r->err), VP_OK);
    assert_int_equal(info.offset, 0);
    assert_int_equal(info.received, 1500);
    assert_int_equal(vp_ingest_open(r->store, "o", &u, &r->err), VP_OK);
    /* What came before is not written again: other bytes there change nothing. */
    assert_int_equal(put_at(u, 2000, 500, 77, &r->err), VP_OK);
    assert_int_equal(put_at(u, 0, 2200, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_offset(u), 2500);
    assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_E_CONFLICT);
    /* A chunk with a checksum in the gap: refused, then taken. */
    digest_of("sha1", 3000, 1000, 1, digest);
    assert_int_equal(vp_upload_check_begin(u, "sha1", &r->err), VP_OK);
    assert_int_equal(put_at(u, 3000, 1000, 88, &r->err), VP_OK);
    assert_int_equal(vp_upload_check_end(u, digest, 20, &r->err), VP_E_DATA);
    assert_int_equal(vp_upload_missing(u, 0, &from, &to, &r->err), VP_OK);
    assert_true(from == 2500 && to == 9000);
    assert_int_equal(vp_upload_check_begin(u, "sha1", &r->err), VP_OK);
    assert_int_equal(put_at(u, 3000, 1000, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_check_end(u, digest, 20, &r->err), VP_OK);
    assert_int_equal(vp_upload_missing(u, 1, &from, &to, &r->err), VP_OK);
    assert_true(from == 4000 && to == 9000);
    assert_int_equal(append(u, 500, 1, &r->err), VP_OK); /* in order goes too */
    assert_int_equal(vp_upload_offset(u), 4000);
    assert_int_equal(put_at(u, 4000, 5000, 1, &r->err), VP_OK);
    assert_int_equal(vp_upload_missing(u, 0, &from, &to, &r->err), VP_END);
    assert_int_equal(vp_upload_finish(u, &s, &info, &r->err), VP_OK);
    assert_content(s, 10000, 1);
    content_sha256(10000, 1, hex);
    assert_string_equal(info.sha256, hex);
    vp_source_unref(s);
    vp_upload_close(u);
}

/* Too many pieces with gaps between them are refused, and the record stays within its room. */
static void any_order_limit(void **state)
{
    room *r = *state;
    vp_upload *u = make_any(r, "o", 1000000);
    vp_status st = VP_OK;
    unsigned i;

    for (i = 0; st == VP_OK && i < 5000; i++) st = vp_upload_write_at(u, 2 * i + 1, "x", 1, &r->err);
    assert_int_equal(st, VP_E_LIMIT);
    assert_int_equal(i, VPI_RANGES_MAX + 1);
    assert_int_equal(vp_upload_sync(u, &r->err), VP_OK);
    assert_int_equal(vp_upload_write_at(u, 2, "x", 1, &r->err), VP_OK); /* closes a gap */
    vp_upload_close(u);
    assert_int_equal(vp_ingest_open(r->store, "o", &u, &r->err), VP_OK);
    vp_upload_close(u);
}

/* ---- concatenation ---- */

static void make_part(room *r, const char *id, size_t size, size_t have, unsigned seed, uint32_t flags)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL;

    o.id = id;
    o.length = size;
    o.flags = flags;
    assert_int_equal(vp_ingest_create(r->store, &o, &u, &r->err), VP_OK);
    assert_int_equal(append(u, have, seed, &r->err), VP_OK);
    vp_upload_close(u);
}

static vp_status concat(room *r, const char *id, const char *parts, const char *digest, uint32_t may_grow,
                        vp_upload **out)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;

    o.id = id;
    o.parts = parts;
    o.digest = digest;
    o.parts_may_grow = may_grow;
    return vp_ingest_create(r->store, &o, out, &r->err);
}

/* U18 */
static void concatenation(void **state)
{
    room *r = *state;
    vp_upload *u = NULL;
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_source *s = NULL;
    uint8_t all[3500], *p = make_bytes(0, 3000, 4);
    vpi_sha256 sum;
    char hex[65], text[80];
    size_t got;

    make_part(r, "a", 3000, 3000, 4, VP_UPLOADF_PARTIAL);
    make_part(r, "b", 500, 500, 4, VP_UPLOADF_PARTIAL);
    make_part(r, "short", 500, 499, 4, VP_UPLOADF_PARTIAL);
    make_part(r, "plain", 500, 500, 4, 0);
    memcpy(all, p, 3000);
    memcpy(all + 3000, p, 500);
    vpi_sha256_init(&sum);
    vpi_sha256_add(&sum, all, sizeof(all));
    vpi_sha256_hex(&sum, hex);
    snprintf(text, sizeof(text), "sha256:%s", hex);

    assert_int_equal(concat(r, "f", "a b", text, 0, &u), VP_OK);
    assert_int_equal(vp_upload_get_info(u, &info, &r->err), VP_OK);
    assert_int_equal(info.state, VP_UPLOAD_COMPLETE);
    assert_int_equal(info.flags, VP_UPLOADF_FINAL);
    assert_int_equal(info.length, 3500);
    assert_int_equal(vp_upload_append(u, 3500, "x", 1, &r->err), VP_E_STATE); /* nobody writes to it */
    assert_int_equal(vp_upload_finish(u, &s, &info, &r->err), VP_OK);
    assert_string_equal(info.sha256, hex);
    p = realloc(p, 3500);
    assert_int_equal(vp_source_read_at(s, 0, p, 3500, &got, NULL), VP_OK);
    assert_int_equal(got, 3500);
    assert_memory_equal(p, all, 3500);
    free(p);
    vp_source_unref(s);
    vp_upload_close(u);

    assert_int_equal(concat(r, "g", "a a a", NULL, 0, &u), VP_OK); /* repeats */
    vp_upload_close(u);
    assert_int_equal(stat_offset(r->store, "g"), 9000);
    assert_int_equal(concat(r, "h", "a short", NULL, 0, &u), VP_E_CONFLICT);
    assert_reason(&r->err, VP_E_CONFLICT, "LENGTH_MISMATCH");
    assert_int_equal(concat(r, "h", "a plain", NULL, 0, &u), VP_E_ARG);
    assert_int_equal(concat(r, "h", "a nobody", NULL, 0, &u), VP_END);
    assert_string_equal(r->err.reason, "UPLOAD_UNKNOWN");
    assert_int_equal(concat(r, "h", "a f", NULL, 0, &u), VP_E_ARG); /* a final one is no part */
    assert_int_equal(concat(r, "h", "", NULL, 0, &u), VP_E_ARG);
    assert_int_equal(concat(r, "h", "a  b", NULL, 0, &u), VP_E_ARG);
    assert_int_equal(concat(r, "h", " a", NULL, 0, &u), VP_E_ARG);
    assert_int_equal(concat(r, "h", "a ", NULL, 0, &u), VP_E_ARG);
    assert_int_equal(concat(r, "h", "../a", NULL, 0, &u), VP_E_ARG);
    assert_int_equal(vp_ingest_stat(r->store, "h", NULL, NULL, &r->err),
                     VP_END); /* none of these left anything */
    text[10] = text[10] == '0' ? '1' : '0';
    assert_int_equal(concat(r, "w", "a b", text, 0, &u), VP_OK);
    assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_E_DATA);
    vp_upload_close(u);
}

/* Parts that are still growing; the last one makes it, in whatever process. */
static void concatenation_waits(void **state)
{
    room *r = *state;
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_upload *u = NULL, *part = NULL;
    vp_upload_info info = VP_UPLOAD_INFO_INIT;
    vp_source *s = NULL;

    make_part(r, "a", 1000, 1000, 6, VP_UPLOADF_PARTIAL);
    o.id = "b";
    o.flags = VP_UPLOADF_PARTIAL;
    assert_int_equal(vp_ingest_create(r->store, &o, &part, &r->err),
                     VP_OK); /* even its length is not known */
    assert_int_equal(concat(r, "f", "a b", NULL, 1, &u), VP_OK);
    vp_upload_close(u);
    assert_int_equal(vp_ingest_stat(r->store, "f", &info, NULL, &r->err), VP_OK);
    assert_int_equal(info.state, VP_UPLOAD_WAITING);
    assert_true(info.length == VP_SIZE_UNKNOWN);
    assert_int_equal(append(part, 200, 6, &r->err), VP_OK);
    assert_int_equal(vp_upload_set_length(part, 200, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(part, NULL, NULL, &r->err), VP_OK);
    vp_upload_close(part);
    assert_int_equal(vp_ingest_stat(r->store, "f", &info, NULL, &r->err), VP_OK);
    assert_int_equal(info.state, VP_UPLOAD_COMPLETE);
    assert_int_equal(info.length, 1200);
    assert_int_equal(vp_ingest_open(r->store, "f", &u, &r->err), VP_OK);
    assert_int_equal(vp_upload_finish(u, &s, NULL, &r->err), VP_OK);
    vp_source_unref(s);
    vp_upload_close(u);

    /* A part that is removed meanwhile: it waits for ever and says so. */
    make_part(r, "c", 1000, 10, 6, VP_UPLOADF_PARTIAL);
    assert_int_equal(concat(r, "g", "a c", NULL, 1, &u), VP_OK);
    assert_int_equal(vp_ingest_remove(r->store, "c", &r->err), VP_OK);
    assert_int_equal(vp_ingest_stat(r->store, "g", &info, NULL, &r->err), VP_OK);
    assert_int_equal(info.state, VP_UPLOAD_WAITING);
    assert_int_equal(vp_upload_finish(u, NULL, NULL, &r->err), VP_E_CONFLICT);
    vp_upload_close(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_states),
        cmocka_unit_test(digest_form),
        cmocka_unit_test_setup_teardown(checks, room_open, room_close),
        cmocka_unit_test_setup_teardown(any_order, room_open, room_close),
        cmocka_unit_test_setup_teardown(any_order_limit, room_open, room_close),
        cmocka_unit_test_setup_teardown(concatenation, room_open, room_close),
        cmocka_unit_test_setup_teardown(concatenation_waits, room_open, room_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
