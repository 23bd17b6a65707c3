/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Borders of segments, fragments and audio. */

#include "clip.h"

static void test_borders(void **state)
{
    vpi_grid g = { .timescale = 90000, .fragment = 180000, .total = 12546000, .per_segment = 3 };

    (void)state;
    assert_int_equal(vpi_grid_segments(&g), 24); /* 23 of 6 s, one of 1.4 s */
    assert_int_equal(vpi_grid_start(&g, 0), 0);
    assert_int_equal(vpi_grid_start(&g, 23), 23 * 540000);
    assert_int_equal(vpi_grid_start(&g, 24), 12546000);
    assert_int_equal(vpi_grid_start(&g, 99), 12546000);
    assert_int_equal(vpi_grid_fragments(&g, 0), 0);
    assert_int_equal(vpi_grid_fragments(&g, 23), 69);
    assert_int_equal(vpi_grid_fragments(&g, 24), 70);
    assert_int_equal(vpi_grid_fragment_start(&g, 69), 69 * 180000);
    assert_int_equal(vpi_grid_fragment_start(&g, 70), 12546000);
    g.total = 540000;
    assert_int_equal(vpi_grid_segments(&g), 1);
    assert_int_equal(vpi_grid_fragments(&g, 1), 3);
    g.total = 1;
    assert_int_equal(vpi_grid_segments(&g), 1);
    assert_int_equal(vpi_grid_fragments(&g, 1), 1);
}

/* A tail under half a second belongs to what comes before it, in segments and fragments alike. */
static void test_merge(void **state)
{
    vpi_grid g = { .timescale = 24000, .fragment = 48048, .per_segment = 3 };

    (void)state;
    g.total = 2 * 144144 + 11999;
    assert_int_equal(vpi_grid_segments(&g), 2);
    assert_int_equal(vpi_grid_start(&g, 2), g.total);
    assert_int_equal(vpi_grid_fragments(&g, 2), 6);
    assert_int_equal(vpi_grid_fragment_start(&g, 6), g.total);
    g.total = 2 * 144144 + 12000;
    assert_int_equal(vpi_grid_segments(&g), 3);
    assert_int_equal(vpi_grid_fragments(&g, 3), 7);
    g.total = 144144 + 48048 + 100; /* only the fragment */
    assert_int_equal(vpi_grid_segments(&g), 2);
    assert_int_equal(vpi_grid_fragments(&g, 2), 4);
    g.total = 100; /* nothing before it */
    assert_int_equal(vpi_grid_segments(&g), 1);
    g = (vpi_grid){
        .timescale = 25, .fragment = 5, .total = 50, .per_segment = 5
    }; /* 0.2 s fragments stay */
    assert_int_equal(vpi_grid_segments(&g), 2);
    assert_int_equal(vpi_grid_fragments(&g, 2), 10);
    g.total = 52;
    assert_int_equal(vpi_grid_fragments(&g, 2), 10);
}

/* Every fragment lies in one segment, borders rise, all of the title is covered. */
static void test_consistent(void **state)
{
    (void)state;
    for (uint32_t fragment = 10; fragment < 120; fragment += 13) {
        for (uint64_t total = 1; total < 1500; total += 7) {
            vpi_grid g = { .timescale = 50, .fragment = fragment, .total = total, .per_segment = 3 };
            uint64_t count = vpi_grid_segments(&g), last = 0;

            for (uint64_t n = 0; n < count; n++) {
                uint64_t first = vpi_grid_fragments(&g, n), end = vpi_grid_fragments(&g, n + 1);

                assert_true(end > first);
                assert_int_equal(vpi_grid_fragment_start(&g, first), vpi_grid_start(&g, n));
                assert_int_equal(vpi_grid_fragment_start(&g, end), vpi_grid_start(&g, n + 1));
                assert_true(n == 0 || vpi_grid_start(&g, n) > last);
                last = vpi_grid_start(&g, n);
            }
            assert_int_equal(vpi_grid_start(&g, count), total);
            assert_true(count == 1 || total - last >= 25);
        }
    }
}

/* Ten hours of 23.976: the audio border is never further than half a frame from the video border. */
static void test_audio(void **state)
{
    vpi_grid g = {
        .timescale = 24000, .fragment = 48048, .total = UINT64_C(863136) * 1001, .per_segment = 3
    };
    uint64_t frames = (uint64_t)vpi_rescale((int64_t)g.total, 48000, (int64_t)24000 * 1024, VPI_CEIL);
    uint64_t count = vpi_grid_segments(&g), last = 0;

    (void)state;
    assert_int_equal(count, 5994);
    for (uint64_t n = 1; n < count; n++) {
        uint64_t a = vpi_grid_audio(&g, n, 48000, 1024, frames);
        int64_t distance = (int64_t)(a * 1024 * 24000) - (int64_t)(vpi_grid_start(&g, n) * 48000);

        assert_true(a > last);
        last = a;
        assert_true(distance <= (int64_t)512 * 24000 && distance >= -(int64_t)512 * 24000);
    }
    assert_int_equal(vpi_grid_audio(&g, 0, 48000, 1024, frames), 0);
    assert_int_equal(vpi_grid_audio(&g, count, 48000, 1024, frames), frames);
    assert_int_equal(vpi_grid_audio(&g, 5, 48000, 1024, 7), 7);
}

static void test_content_types(void **state)
{
    (void)state;
    assert_string_equal(vpi_content_type(VP_CONTAINER_CMAF, VP_TRACK_VIDEO, VP_OBJECT_INIT), "video/mp4");
    assert_string_equal(vpi_content_type(VP_CONTAINER_CMAF, VP_TRACK_AUDIO, VP_OBJECT_INIT), "audio/mp4");
    assert_string_equal(vpi_content_type(VP_CONTAINER_CMAF, VP_TRACK_AUDIO, VP_OBJECT_SEGMENT),
                        "video/iso.segment");
    assert_string_equal(vpi_content_type(VP_CONTAINER_TS, VP_TRACK_VIDEO, VP_OBJECT_SEGMENT), "video/mp2t");
    assert_string_equal(vpi_content_type(VP_CONTAINER_PACKED, VP_TRACK_AUDIO, VP_OBJECT_SEGMENT),
                        "audio/aac");
    assert_string_equal(vpi_content_type(0, VP_TRACK_TEXT, VP_OBJECT_SEGMENT), "text/vtt");
    assert_string_equal(vpi_content_type(0, 0, VP_OBJECT_PLAYLIST), "application/vnd.apple.mpegurl");
    assert_string_equal(vpi_content_type(0, 0, VP_OBJECT_OTHER), "application/octet-stream");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_borders),       cmocka_unit_test(test_merge),
        cmocka_unit_test(test_consistent),    cmocka_unit_test(test_audio),
        cmocka_unit_test(test_content_types),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
