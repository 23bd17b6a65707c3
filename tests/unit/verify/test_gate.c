/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The gate before publishing: numbers of a presentation, and the sink asked only for sizes. */
#include "title.h"

#include "base/fault.h"

static const title_options cmaf = { .formats = VP_FORMAT_CMAF };
static const title_options single = { .formats = VP_FORMAT_CMAF, .single_file = true };

typedef void (*spoil_fn)(title *t);

static void spoil(const title_options *o, spoil_fn fn, const char *rule)
{
    title t;

    title_make(&t, o);
    fn(&t);
    title_gate(&t, false);
    expect_rule(&t, rule);
    title_close(&t);
}

static vpi_ptrack *big(title *t)
{
    return track_of(t, "192p", VP_CONTAINER_CMAF);
}
static vpi_ptrack *small(title *t)
{
    return track_of(t, "96p", VP_CONTAINER_CMAF);
}
static vpi_ptrack *sound(title *t)
{
    return track_of(t, "en-stereo", VP_CONTAINER_CMAF);
}

static void rename_key(char **key, const char *to)
{
    vpi_free(*key);
    *key = vpi_strdup(to);
}

static void drop_last(vpi_ptrack *t)
{
    vpi_segment *s = &t->segments[--t->segment_count];

    vpi_free(s->key);
    vpi_free(s->fragments);
}

/* Shifts all segments behind the first by some ticks. */
static void shift(vpi_ptrack *t, int64_t ticks)
{
    t->segments[0].ticks = (uint64_t)((int64_t)t->segments[0].ticks + ticks);
    t->segments[0].fragments[0].ticks = (uint64_t)((int64_t)t->segments[0].fragments[0].ticks + ticks);
    for (size_t i = 1; i < t->segment_count; i++) {
        t->segments[i].start = (uint64_t)((int64_t)t->segments[i].start + ticks);
    }
}

static void gap(title *t)
{
    big(t)->segments[1].start += 10;
}
static void fewer(title *t)
{
    drop_last(small(t));
}
static void fewer_audio(title *t)
{
    drop_last(sound(t));
}
static void shifted(title *t)
{
    shift(small(t), 512);
}
static void audio_drifts(title *t)
{
    shift(sound(t), 2 * 1024);
}
static void later(title *t)
{
    for (size_t i = 0; i < big(t)->segment_count; i++) big(t)->segments[i].start += 512;
}
static void audio_later(title *t)
{
    for (size_t i = 0; i < sound(t)->segment_count; i++) sound(t)->segments[i].start += 1025;
}
static void longer_title(title *t)
{
    t->presentation->p.duration += t->presentation->p.timescale / 2;
}
static void no_time(title *t)
{
    big(t)->segments[1].ticks = 0;
}
static void no_bytes(title *t)
{
    big(t)->segments[1].bytes = 0;
}
static void fragment_time(title *t)
{
    big(t)->segments[1].fragments[0].ticks--;
}
static void fragment_place(title *t)
{
    big(t)->segments[1].fragments[1].offset--;
}
static void fragment_outside(title *t)
{
    big(t)->segments[1].fragments[1].bytes += 100000;
}
static void no_idr(title *t)
{
    big(t)->segments[0].fragments[0].idr_bytes = 0;
}
static void other_folder(title *t)
{
    rename_key(&big(t)->segments[0].key, "elsewhere/video/192p/00001.m4s");
}
static void extension(title *t)
{
    rename_key(&big(t)->segments[0].key, under("video/192p/00001.ts"));
}
static void number(title *t)
{
    rename_key(&big(t)->segments[0].key, under("video/192p/00007.m4s"));
}
static void doubled(title *t)
{
    rename_key(&small(t)->init.key, under("video/192p/init.mp4"));
}
static void bad_key(title *t)
{
    rename_key(&big(t)->segments[0].key, "../00001.m4s");
}
static void no_key(title *t)
{
    vpi_free(big(t)->segments[0].key);
    big(t)->segments[0].key = NULL;
}
static void no_init(title *t)
{
    vpi_free(big(t)->init.key);
    big(t)->init.key = NULL;
}
static void no_codecs(title *t)
{
    rename_key(&big(t)->codecs, "");
}
static void odd_picture(title *t)
{
    big(t)->width = 321;
}
static void no_rate(title *t)
{
    big(t)->frame_rate_num = 0;
}
static void low_bandwidth(title *t)
{
    big(t)->bandwidth /= 2;
}
static void high_average(title *t)
{
    big(t)->average_bandwidth = big(t)->bandwidth * 2;
}
static void huge(title *t)
{
    big(t)->segments[1].start = UINT64_MAX - 5;
}
static void no_scale(title *t)
{
    big(t)->timescale = 0;
}
static void empty(title *t)
{
    while (big(t)->segment_count > 0) drop_last(big(t));
}
static void missing(title *t)
{
    object_remove(t, under("video/96p/00002.m4s"));
}
static void missing_init(title *t)
{
    object_remove(t, under("audio/en-stereo/init.mp4"));
}
static void other_size(title *t)
{
    object_put(t, under("video/96p/00002.m4s"), "x", 1);
}
static void short_tail(title *t)
{
    vpi_ptrack *const tracks[] = { big(t), small(t) };

    for (size_t i = 0; i < 2; i++) {
        vpi_segment *s = &tracks[i]->segments[tracks[i]->segment_count - 1];

        s->ticks = s->fragments[0].ticks = 12800 / 4;
        s->fragment_count = 1;
    }
}

static void test_spoiled(void **state)
{
    (void)state;
    spoil(&cmaf, gap, "P01");
    spoil(&cmaf, fragment_time, "P01");
    spoil(&cmaf, shifted, "P03");
    spoil(&cmaf, audio_drifts, "P05");
    spoil(&cmaf, later, "P06");
    spoil(&cmaf, audio_later, "P06");
    spoil(&cmaf, fewer, "P10");
    spoil(&cmaf, fewer_audio, "P10");
    spoil(&cmaf, no_time, "P10");
    spoil(&cmaf, no_bytes, "P10");
    spoil(&cmaf, short_tail, "P10");
    spoil(&cmaf, fewer_audio, "P11");
    spoil(&cmaf, longer_title, "P11");
    spoil(&cmaf, no_codecs, "P13");
    spoil(&cmaf, odd_picture, "P13");
    spoil(&cmaf, no_rate, "P13");
    spoil(&cmaf, low_bandwidth, "P14");
    spoil(&cmaf, high_average, "P14");
    spoil(&cmaf, fragment_place, "P19");
    spoil(&cmaf, extension, "P20");
    spoil(&cmaf, no_idr, "P29");
    spoil(&cmaf, other_folder, "S22");
    spoil(&cmaf, number, "NAMES");
    spoil(&cmaf, doubled, "NAMES");
    spoil(&cmaf, bad_key, "NAMES");
    spoil(&cmaf, no_key, "NAMES");
    spoil(&cmaf, no_init, "CMAF");
    spoil(&cmaf, fragment_outside, "STRUCTURE");
    spoil(&cmaf, huge, "STRUCTURE");
    spoil(&cmaf, no_scale, "STRUCTURE");
    spoil(&cmaf, empty, "STRUCTURE");
    spoil(&cmaf, missing, "X04");
    spoil(&cmaf, missing_init, "X04");
    spoil(&cmaf, other_size, "X04");
}

static void object_size(title *t)
{
    big(t)->object_bytes++;
}
static void segment_place(title *t)
{
    big(t)->segments[1].offset++;
}
static void index_place(title *t)
{
    big(t)->index.bytes--;
}

static void test_single(void **state)
{
    (void)state;
    spoil(&single, object_size, "P19");
    spoil(&single, object_size, "X04");
    spoil(&single, segment_place, "P19");
    spoil(&single, index_place, "P19");
}

/* Two codecs in one audio group, and two defaults. */
static void test_groups(void **state)
{
    (void)state;
    title t;

    title_make(&t, &(title_options){ .formats = VP_FORMAT_CMAF, .audio_tracks = 2 });
    rename_key(&track_of(&t, "fr-stereo", VP_CONTAINER_CMAF)->codecs, "ac-3");
    title_gate(&t, false);
    expect_rule(&t, "P16");
    rename_key(&track_of(&t, "fr-stereo", VP_CONTAINER_CMAF)->codecs, "mp4a.40.2");
    title_gate(&t, false);
    expect_good(&t);
    track_of(&t, "fr-stereo", VP_CONTAINER_CMAF)->is_default = true;
    title_gate(&t, false);
    expect_rule(&t, "P16");
    title_close(&t);
}

/* ---- sinks that offer less ---- */

static vp_status no_begin(void *user, const vp_object_info *info, void **object, vp_error *err)
{
    (void)user;
    (void)info;
    (void)object;
    return vp_error_set(err, VP_E_STATE, NULL, 0, "read only");
}
static vp_status no_write(void *user, void *object, const void *data, size_t size, vp_error *err)
{
    (void)user;
    (void)object;
    (void)data;
    (void)size;
    (void)err;
    return VP_E_STATE;
}
static vp_status no_commit(void *user, void *object, vp_error *err)
{
    (void)user;
    (void)object;
    (void)err;
    return VP_E_STATE;
}
static void no_abort(void *user, void *object)
{
    (void)user;
    (void)object;
}
static vp_status pass_stat(void *user, const char *key, vp_object_info *info, vp_error *err)
{
    return vp_sink_stat(user, key, info, err);
}
static vp_status pass_open(void *user, const char *key, vp_source **out, vp_error *err)
{
    return vp_sink_open(user, key, out, err);
}
static vp_status fail_stat(void *user, const char *key, vp_object_info *info, vp_error *err)
{
    (void)user;
    (void)key;
    (void)info;
    return vp_error_set(err, VP_E_IO, "CONNECTION_FAILED", 111, "gone");
}

static vp_status gate_through(title *t, vp_sink_ops *ops, uint32_t read)
{
    vp_verify_options o = VP_VERIFY_OPTIONS_INIT;
    vp_sink *sink = NULL;
    vp_report *report = NULL;
    vp_status st;

    ops->begin = no_begin;
    ops->write = no_write;
    ops->commit = no_commit;
    ops->abort = no_abort;
    assert_int_equal(vp_sink_new(t->context, ops, t->sink, &sink, &t->err), VP_OK);
    o.presentation = t->presentation;
    o.read_objects = read;
    st = vp_verify(t->context, sink, &o, NULL, &report, &t->err);
    assert_true((report != NULL) == (st == VP_OK || st == VP_E_DATA));
    vp_report_unref(report);
    if (st == VP_OK) {
        o.presentation = NULL;
        assert_int_equal(vp_verify(t->context, sink, &o, NULL, &report, &t->err), VP_E_UNSUPPORTED);
        assert_string_equal(t->err.reason, "FEATURE_DISABLED");
    }
    vp_sink_unref(sink);
    return st;
}

static void test_sinks(void **state)
{
    (void)state;
    vp_sink_ops ops;
    title t;

    title_make(&t, &cmaf);
    vp_sink_ops_init(&ops, sizeof(ops));
    ops.stat = pass_stat;
    assert_int_equal(gate_through(&t, &ops, 1), VP_OK);
    vp_sink_ops_init(&ops, sizeof(ops));
    ops.open = pass_open;
    assert_int_equal(gate_through(&t, &ops, 1), VP_OK);
    assert_int_equal(gate_through(&t, &ops, 0), VP_OK);
    vp_sink_ops_init(&ops, sizeof(ops));
    assert_int_equal(gate_through(&t, &ops, 0), VP_E_UNSUPPORTED);
    ops.stat = fail_stat;
    assert_int_equal(gate_through(&t, &ops, 0), VP_E_IO);
    assert_string_equal(t.err.reason, "CONNECTION_FAILED");
    assert_true(strncmp(t.err.key, VERSION_FOLDER, strlen(VERSION_FOLDER)) == 0);
    title_close(&t);
}

/* Every allocation may fail: the answer is NOMEM, never a finding that is none. */
static void every_allocation(title *t, vp_status (*verify)(title *))
{
    bool done = false;
    long reached = 0;

    for (long n = 1; !done; n++) {
        reached = n;
        atomic_store(&vpi_alloc_fail_at, n);
        verify(t);
        done = atomic_exchange(&vpi_alloc_fail_at, 0) > 0;
        if (t->status != VP_OK && t->status != VP_E_NOMEM) title_print(t);
        assert_true(t->status == VP_OK || t->status == VP_E_NOMEM);
        assert_true((t->report != NULL) == (t->status == VP_OK));
        assert_true(n < 100000);
    }
    assert_int_equal(t->status, VP_OK);
    assert_true(reached > 50);
}

static vp_status gate_reading(title *t)
{
    return title_gate(t, true);
}

static void test_allocations(void **state)
{
    (void)state;
    title t;

    title_make(&t, &(title_options){ .formats = VP_FORMAT_CMAF | VP_FORMAT_TS, .seconds = 2.6 });
    every_allocation(&t, title_verify);
    every_allocation(&t, gate_reading);
    title_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spoiled), cmocka_unit_test(test_single),      cmocka_unit_test(test_groups),
        cmocka_unit_test(test_sinks),   cmocka_unit_test(test_allocations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
