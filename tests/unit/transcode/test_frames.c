/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Audio frames kept in the work store. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transcode/frames_int.h"

#define FRAMES 5000u

static size_t size_of(uint64_t n)
{
    return 1 + (size_t)(n * 7919 % 700);
}

static void fill(vp_store *store, uint64_t frames)
{
    vpi_frames_writer *w = NULL;
    uint8_t data[701];
    vpi_value_note notes[2];
    vp_error err = VP_ERROR_INIT;
    assert_int_equal(vpi_frames_create(store, "audio/en", &w, &err), VP_OK);
    for (uint64_t i = 0; i < frames; i++) {
        memset(data, (int)(i & 255), sizeof(data));
        assert_int_equal(vpi_frames_add(w, data, size_of(i), &err), VP_OK);
    }
    assert_int_equal(vpi_frames_commit(w, notes, &err), VP_OK);
    assert_string_equal(notes[0].name, "audio/en.data");
    assert_string_equal(notes[1].name, "audio/en.index");
    assert_int_equal(notes[1].bytes, frames * 2);
}

static void test_ranges(void **state)
{
    static const uint64_t ranges[][2] = {
        { 0, 1 },       { 0, 0 },      { 1023, 1025 },         { 1024, 2048 },
        { 3333, 4700 }, { 0, FRAMES }, { FRAMES - 1, FRAMES }, { FRAMES, FRAMES }
    };
    static uint32_t sizes[FRAMES];
    vp_context *context = NULL;
    vp_store *store = NULL;
    vpi_frames_reader *r = NULL;
    vp_error err = VP_ERROR_INIT;
    (void)state;
    assert_int_equal(vp_context_new(NULL, &context, &err), VP_OK);
    assert_int_equal(vp_store_memory(context, &store, &err), VP_OK);
    fill(store, FRAMES);
    fill(store, FRAMES); /* again: the first stays */
    assert_int_equal(vpi_frames_open(store, "audio/en", FRAMES, &r, &err), VP_OK);
    for (size_t k = 0; k < VPI_COUNT(ranges); k++) {
        vpi_buf data = { 0 };
        size_t at = 0;
        assert_int_equal(vpi_frames_read(r, ranges[k][0], ranges[k][1], &data, sizes, &err), VP_OK);
        for (uint64_t i = ranges[k][0]; i < ranges[k][1]; i++) {
            assert_int_equal(sizes[i - ranges[k][0]], size_of(i));
            for (size_t b = 0; b < size_of(i); b++) assert_int_equal(data.data[at + b], i & 255);
            at += size_of(i);
        }
        assert_int_equal(data.size, at);
        vpi_buf_dispose(&data);
    }
    assert_int_equal(vpi_frames_read(r, 1, FRAMES + 1, &(vpi_buf){ 0 }, sizes, NULL), VP_E_INTERNAL);
    vpi_frames_close(r);
    r = NULL;
    assert_int_equal(vpi_frames_open(store, "audio/en", FRAMES + 1, &r, &err), VP_E_DATA);
    assert_string_equal(err.reason, "CHECKSUM_MISMATCH");
    vp_error_init(&err);
    assert_int_equal(vpi_frames_open(store, "audio/fr", FRAMES, &r, &err), VP_E_CONFLICT);
    assert_string_equal(err.reason, "TASKS_MISSING");
    assert_null(r);
    vp_store_unref(store);
    vp_context_unref(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_ranges) };
    return cmocka_run_group_tests_name("transcode/frames", tests, NULL, NULL);
}
