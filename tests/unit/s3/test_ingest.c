/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tokens of uploads in a bucket: what is written is read again, what is not whole is refused. Numbers of parts. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "s3/ingest_s3.h"

typedef struct room {
    vp_context *context;
    vp_s3 *s3;
    vpi_hold hold;
    vp_error err;
} room;

static char bucket[] = "b", prefix[] = "in/";

static int setup(void **state)
{
    static room r;
    vp_s3_options o = VP_S3_OPTIONS_INIT;

    memset(&r, 0, sizeof(r));
    vp_error_init(&r.err);
    o.flags = VP_S3_ANONYMOUS;
    o.endpoint = "http://127.0.0.1:1";
    assert_int_equal(vp_context_new(NULL, &r.context, &r.err), VP_OK);
    assert_int_equal(vp_s3_new(r.context, &o, &r.s3, &r.err), VP_OK);
    r.hold.context = r.context;
    r.hold.s3 = r.s3;
    r.hold.bucket = bucket;
    r.hold.prefix = prefix;
    *state = &r;
    return 0;
}

static int teardown(void **state)
{
    room *r = *state;

    vp_s3_unref(r->s3);
    vp_context_unref(r->context);
    return 0;
}

static void fill(room *r, vpi_hold_token *t, int32_t checksum, uint32_t count)
{
    static const char *const etags[] = { "\"0123456789abcdef0123456789abcdef\"",
                                         "fedcba98765432100123456789abcdef",
                                         "\"not a digest, \\ but <one> of its own\"",
                                         "\"0123456789ABCDEF0123456789ABCDEF\"" };

    *t = (vpi_hold_token){
        .kind = VPI_HOLD_UPLOAD, .length = UINT64_C(1) << 40, .stride = 3, .head = 5 << 20
    };
    t->key = vpi_strdup("data/u/0123456789abcdef-00000001-89abcdef");
    vpi_hold_stamp(t->head_stamp);
    for (uint32_t i = 0; i < 5; i++) {
        vpi_hold_stamp(t->pieces[i].stamp);
        t->pieces[i].size = i + 1;
    }
    t->piece_count = 5;
    assert_int_equal(vpi_s3_upload_blank(r->s3, bucket, "in/data/u/x", &t->upload, &r->err), VP_OK);
    t->upload->id = vpi_strdup("id of the server's+/=");
    vpi_s3_marker_make(t->upload->marker);
    t->upload->part_size = 8 << 20;
    t->upload->checksum = checksum;
    for (uint32_t i = 0; i < count; i++) {
        vpi_s3_part p = { .size = (8 << 20) + i, .crc32c = i * 77, .crc64 = UINT64_MAX - i, .in = true };

        vpi_strlcpy(p.etag, etags[count > 100 ? 0 : i % VPI_COUNT(etags)], sizeof(p.etag));
        assert_int_equal(vpi_s3_part_note_whole(t->upload, 2 * i + 1, &p, &r->err), VP_OK);
    }
}

static void same(const vpi_hold_token *a, const vpi_hold_token *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_string_equal(a->stamp, b->stamp);
    assert_string_equal(a->key, b->key);
    assert_true(a->length == b->length && a->whole == b->whole && a->stride == b->stride &&
                a->head == b->head);
    assert_string_equal(a->head_stamp, b->head_stamp);
    assert_int_equal(a->piece_count, b->piece_count);
    assert_memory_equal(a->pieces, b->pieces, sizeof(a->pieces));
    assert_string_equal(a->upload->id, b->upload->id);
    assert_string_equal(a->upload->marker, b->upload->marker);
    assert_true(a->upload->part_size == b->upload->part_size && a->upload->checksum == b->upload->checksum);
    assert_int_equal(a->upload->synced.count, b->upload->synced.count);
    for (size_t i = 0; i < a->upload->synced.count; i++) {
        const vpi_s3_part *p = &a->upload->synced.parts[i], *q = &b->upload->synced.parts[i];

        assert_int_equal(p->in, q->in);
        assert_true(p->size == q->size);
        assert_string_equal(p->etag, q->etag);
        if (a->upload->checksum == VP_S3_CHECKSUM_CRC32C) assert_int_equal(p->crc32c, q->crc32c);
        if (a->upload->checksum == VP_S3_CHECKSUM_CRC64NVME) assert_true(p->crc64 == q->crc64);
    }
}

static void round_trip(void **state)
{
    const int32_t checksums[] = { VP_S3_CHECKSUM_NONE, VP_S3_CHECKSUM_CRC32C, VP_S3_CHECKSUM_CRC64NVME };
    room *r = *state;

    for (size_t i = 0; i < VPI_COUNT(checksums); i++) {
        vpi_hold_token a, b;
        vpi_buf text = { 0 };

        fill(r, &a, checksums[i], 9);
        assert_int_equal(vpi_hold_token_write(&a, &text, &r->err), VP_OK);
        assert_int_equal(vpi_hold_token_read(&r->hold, text.data, text.size, &b, &r->err), VP_OK);
        same(&a, &b);
        assert_string_equal(b.upload->key, "in/data/u/0123456789abcdef-00000001-89abcdef");
        assert_true(b.upload->sparse);
        assert_true(vpi_hold_in_parts(&b) == UINT64_C(9) * (8 << 20) + 36);
        assert_true(vpi_hold_in_pieces(&b) == 15);
        assert_int_equal(vpi_hold_last_part(&b), 17);
        vpi_hold_token_dispose(&b);
        /* Cut anywhere, and with one more byte. */
        for (size_t n = 1; n < text.size; n++) {
            vp_error_init(&r->err);
            assert_int_equal(vpi_hold_token_read(&r->hold, text.data, n, &b, &r->err), VP_E_DATA);
            assert_string_equal(r->err.reason, "UPLOAD_CORRUPT");
        }
        vpi_buf_u8(&text, 0);
        assert_int_equal(vpi_hold_token_read(&r->hold, text.data, text.size, &b, &r->err), VP_E_DATA);
        vpi_buf_dispose(&text);
        vpi_hold_token_dispose(&a);
    }
}

/* Any byte another one: refused, or a token that is whole in itself. */
static void changed(void **state)
{
    room *r = *state;
    vpi_hold_token a, b;
    vpi_buf text = { 0 };
    unsigned refused = 0;

    fill(r, &a, VP_S3_CHECKSUM_CRC32C, 9);
    assert_int_equal(vpi_hold_token_write(&a, &text, &r->err), VP_OK);
    for (size_t i = 0; i < text.size; i++) {
        for (unsigned k = 0; k < 3; k++) {
            uint8_t was = text.data[i];
            vp_status st;

            text.data[i] = k == 0 ? 0 : k == 1 ? 255 : was ^ 1;
            st = vpi_hold_token_read(&r->hold, text.data, text.size, &b, &r->err);
            assert_true(st == VP_OK || st == VP_E_DATA);
            refused += st != VP_OK;
            vpi_hold_token_dispose(&b);
            text.data[i] = was;
        }
    }
    assert_true(refused > 300);
    vpi_buf_dispose(&text);
    vpi_hold_token_dispose(&a);
}

/* As many parts as an upload may have find room in a record. */
static void most(void **state)
{
    room *r = *state;
    vpi_hold_token a, b;
    vpi_buf text = { 0 };

    fill(r, &a, VP_S3_CHECKSUM_CRC64NVME, VPI_HOLD_PARTS);
    assert_int_equal(vpi_hold_token_write(&a, &text, &r->err), VP_OK);
    assert_true(text.size < 192u << 10);
    assert_int_equal(vpi_hold_token_read(&r->hold, text.data, text.size, &b, &r->err), VP_OK);
    same(&a, &b);
    vpi_hold_token_dispose(&b);
    vpi_hold_token_dispose(&a);
    vpi_buf_dispose(&text);
}

/* Owners of consecutive epochs share no number, numbers rise, and all parts of an upload find one. */
static void numbers(void **state)
{
    (void)state;
    for (uint32_t stride = 1; stride <= VPI_HOLD_STRIDE; stride++) {
        vpi_hold_token t = { .stride = stride };
        uint32_t last = 0;

        for (uint32_t epoch = 1; epoch < 100; epoch++) {
            uint32_t n = vpi_hold_next_part(&t, last, epoch), other = vpi_hold_next_part(&t, last, epoch + 1);

            assert_true(n > last && n <= last + stride);
            if (stride > 1) assert_int_not_equal(n, other);
            last = n;
        }
    }
    /* Also where a hundredth of the parts fail and use up a number. */
    for (uint64_t parts = 1; parts <= VPI_HOLD_PARTS; parts++) {
        uint32_t stride = vpi_hold_stride(parts * 8, 8);

        assert_in_range(stride, 2, VPI_HOLD_STRIDE);
        assert_true((parts + parts / 100 + 1) * stride <= VPI_S3_PARTS_MAX);
    }
    /* None is left: those that failed come again. */
    {
        vpi_hold_token t = { .stride = 8 };

        assert_int_equal(vpi_hold_next_part(&t, VPI_S3_PARTS_MAX - 3, 1), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(changed, setup, teardown),
        cmocka_unit_test_setup_teardown(most, setup, teardown),
        cmocka_unit_test_setup_teardown(numbers, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
