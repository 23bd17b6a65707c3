/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vp_cenc: what it refuses and why, its handle, and the seed. */

#include "api/cenc.h"

/* ---- segments ---- */

static void refuse(const vp_cenc *cenc, const void *data, size_t size, vp_status want, const char *reason,
                   const char *text)
{
    vp_error err = VP_ERROR_INIT;
    vp_bytes *out = NULL;
    vp_status st = vp_cenc_segment(cenc, 0, data, size, &out, &err);
    if (st != want || strcmp(err.reason, reason) != 0 || !strstr(err.message, text))
        fail_msg("%s %s %s, not %s %s", vp_status_name(st), err.reason, err.message, reason, text);
    assert_null(out);
    assert_string_equal(err.op, "cenc.segment");
    assert_int_equal(vp_cenc_segment(cenc, 0, data, size, &out, NULL), want);
}
#define CORRUPT(text) refuse(cenc, copy, s.size, VP_E_DATA, "INPUT_CORRUPT", text)

static uint8_t *at_box(uint8_t *data, size_t size, const char *const *path)
{
    span box = box_in(data, size, *path, 0);
    while (*++path) box = child(box, 8, *path);
    assert_non_null(box.data);
    return data + (box.data - data);
}
#define PLACE(...) at_box(copy, s.size, (const char *const[]){ __VA_ARGS__, NULL })

static void damaged_segments(void **state)
{
    cmaf c;
    (void)state;
    if (!cmaf_make(&c, true, X264 "-movflags cmaf+frag_keyframe", 1)) skip();
    vp_cenc *cenc = cenc_open(&c, NULL);
    span s = c.segments[1];
    uint8_t *copy = malloc(s.size), *p;
    vp_bytes *made = segment_of(cenc, 0, s);
    assert_non_null(copy);
    refuse(cenc, vp_bytes_data(made), (size_t)vp_bytes_size(made), VP_E_UNSUPPORTED, "INPUT_ENCRYPTED",
           "already");
    vp_bytes_unref(made);
    refuse(cenc, c.init.data, c.init.size, VP_E_DATA, "INPUT_CORRUPT", "init segment");
    refuse(cenc, "", 0, VP_E_DATA, "INPUT_CORRUPT", "no 'moof'");
#define FRESH() memcpy(copy, s.data, s.size)
    FRESH();
    for (size_t cut = 1; cut < s.size; cut = cut * 2 + 1) /* anywhere */
        assert_int_equal(vp_cenc_segment(cenc, 0, copy, cut, &made, NULL), VP_E_DATA);
    memcpy(PLACE("moof") + 4, "free", 4);
    CORRUPT("'mdat' without");
    FRESH();
    memcpy(PLACE("mdat") + 4, "free", 4);
    CORRUPT("'moof' without");
    FRESH();
    p = PLACE("moof", "traf", "trun") + 16;
    put32(p, be32(p) + 1);
    CORRUPT("exactly the samples");
    put32(p, 0x80000000);
    CORRUPT("exactly the samples");
    FRESH();
    p = PLACE("moof", "traf", "trun");
    put32(p + 12, be32(p + 12) + 1);
    CORRUPT("");
    put32(p + 12, 0xffffffff);
    CORRUPT("");
    FRESH();
    p = PLACE("moof", "traf", "trun");
    put32(p + (be32(p + 8) & 4 ? 24 : 20), 0xffffffff);
    CORRUPT("exactly the samples");
    FRESH();
    put32(PLACE("moof", "traf", "tfhd") + 12, 9);
    CORRUPT("another track");
    FRESH();
    memcpy(PLACE("moof", "traf", "tfdt") + 4, "trun", 4);
    CORRUPT("more than one");
    memcpy(PLACE("moof", "traf") + 4, "free", 4);
    CORRUPT("'traf'");
    FRESH();
    memcpy(PLACE("moof", "mfhd") + 4, "traf", 4);
    CORRUPT("");
    FRESH();
    p = PLACE("mdat");
    put32(p + 8, 0xffffff00); /* a NAL unit longer than its sample */
    CORRUPT("");
    free(copy);
    vp_cenc_unref(cenc);
    cmaf_free(&c);
}

/* ---- init segments ---- */

static void refuse_init(span init, const vp_cenc_options *o, vp_status want, const char *reason)
{
    vp_error err = VP_ERROR_INIT;
    vp_keys *keys = NULL;
    vp_cenc *cenc = NULL;
    assert_ok(vp_keys_parse(keys_cenc, strlen(keys_cenc), &keys, NULL));
    vp_status st = vp_cenc_new(keys, init.data, init.size, o, &cenc, &err);
    if (st != want || strcmp(err.reason, reason) != 0)
        fail_msg("%s %s (%s), not %s", vp_status_name(st), err.reason, err.message, reason);
    assert_null(cenc);
    vp_keys_unref(keys);
}

static void refused_inits(void **state)
{
    vp_cenc_options o = VP_CENC_OPTIONS_INIT;
    cmaf c;
    (void)state;
    if (!cmaf_make(&c, true, X264 "-movflags cmaf+frag_keyframe", 1)) skip();
    vp_cenc *cenc = cenc_open(&c, NULL);
    vp_bytes *made = NULL;
    assert_ok(vp_cenc_init(cenc, &made, NULL));
    refuse_init((span){ vp_bytes_data(made), (size_t)vp_bytes_size(made) }, NULL, VP_E_UNSUPPORTED,
                "INPUT_ENCRYPTED");
    vp_bytes_unref(made);
    vp_cenc_unref(cenc);
    refuse_init((span){ c.init.data, c.init.size + c.segments[0].size }, NULL, VP_E_DATA, "INPUT_CORRUPT");
    refuse_init(c.segments[0], NULL, VP_E_DATA, "INPUT_NO_MOOV");
    for (size_t cut = 8; cut < c.init.size; cut += 3) {
        vp_error err = VP_ERROR_INIT;
        vp_keys *keys = NULL;
        assert_ok(vp_keys_parse(keys_cenc, strlen(keys_cenc), &keys, NULL));
        assert_int_equal(vp_cenc_new(keys, c.init.data, cut, NULL, &cenc, &err), VP_E_DATA);
        vp_keys_unref(keys);
    }
    o.key_rotation = 1; /* without segments */
    refuse_init(c.init, &o, VP_E_ARG, "ARG");
    o.segments = 4; /* there are three keys */
    refuse_init(c.init, &o, VP_E_AUTH, "KEY_MISSING");
    vp_cenc_options_init(&o, sizeof(o));
    o.scheme = VP_ENCRYPT_AES128;
    refuse_init(c.init, &o, VP_E_ARG, "ARG");
    vp_cenc_options_init(&o, sizeof(o));
    o.label = "*";
    refuse_init(c.init, &o, VP_E_ARG, "ARG");
    vp_cenc_options_init(&o, sizeof(o));
    o.track = 1024;
    refuse_init(c.init, &o, VP_E_ARG, "ARG");
    vp_cenc_options_init(&o, sizeof(o));
    o.flags = 2;
    refuse_init(c.init, &o, VP_E_ARG, "ARG");
    cmaf_free(&c);
    if (cmaf_make(&c, true, "-c:v mpeg4 -movflags cmaf+frag_keyframe", 1)) {
        refuse_init(c.init, NULL, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED");
        cmaf_free(&c);
    }
}

/* ---- handle ---- */

static void nulls(void **state)
{
    vp_cenc_options o = VP_CENC_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    vp_bytes *out = NULL;
    vp_cenc *cenc = NULL;
    uint8_t seed[16];
    cmaf c;
    (void)state;
    assert_null(vp_cenc_ref(NULL));
    assert_null(vp_cenc_unref(NULL));
    assert_int_equal(vp_cenc_new(NULL, "", 0, NULL, &cenc, &err), VP_E_ARG);
    assert_int_equal(vp_cenc_new(NULL, NULL, 0, NULL, NULL, NULL), VP_E_ARG);
    assert_int_equal(vp_cenc_init(NULL, &out, &err), VP_E_ARG);
    assert_int_equal(vp_cenc_segment(NULL, 0, "", 0, &out, &err), VP_E_ARG);
    assert_int_equal(vp_cenc_protection_json(NULL, &out, &err), VP_E_ARG);
    assert_int_equal(vp_cenc_seed(NULL, seed, &err), VP_E_ARG);
    if (!cmaf_make(&c, false, "-c:a aac -movflags cmaf -frag_duration 1000000", 1)) skip();
    o.segments = 2;
    cenc = cenc_open(&c, &o);
    assert_int_equal(vp_cenc_init(cenc, NULL, &err), VP_E_ARG);
    assert_int_equal(vp_cenc_segment(cenc, 0, NULL, 0, &out, &err), VP_E_ARG);
    assert_int_equal(vp_cenc_segment(cenc, 0, "", 0, NULL, &err), VP_E_ARG);
    assert_int_equal(vp_cenc_segment(cenc, 2, c.segments[0].data, c.segments[0].size, &out, &err), VP_E_ARG);
    assert_int_equal(vp_cenc_protection_json(cenc, NULL, &err), VP_E_ARG);
    assert_int_equal(vp_cenc_seed(cenc, NULL, &err), VP_E_ARG);
    vp_cenc_ref(cenc);
    assert_null(vp_cenc_unref(cenc));
    vp_cenc_unref(cenc);
    o.segments = 0;
    cenc = cenc_open(&c, &o);
    assert_int_equal(
        vp_cenc_segment(cenc, UINT64_C(1) << 32, c.segments[0].data, c.segments[0].size, &out, &err),
        VP_E_ARG);
    vp_bytes_unref(segment_of(cenc, UINT32_MAX, c.segments[0]));
    vp_cenc_unref(cenc);
    cmaf_free(&c);
}

/* Another seed or track, other IVs; the same seed in another handle, the same bytes. Random without one. */
static void seeds(void **state)
{
    cmaf c;
    uint8_t seed[16], other[16];
    vp_cenc_options o = VP_CENC_OPTIONS_INIT;
    (void)state;
    if (!cmaf_make(&c, false, "-c:a aac -movflags cmaf -frag_duration 1000000", 1)) skip();
    o.scheme = VP_ENCRYPT_CENC;
    vp_cenc *first = cenc_open(&c, &o), *second = cenc_open(&c, &o), *third, *fourth;
    assert_ok(vp_cenc_seed(first, seed, NULL));
    assert_ok(vp_cenc_seed(second, other, NULL));
    assert_memory_not_equal(seed, other, 16);
    o.seed = seed;
    third = cenc_open(&c, &o);
    o.track = 1;
    fourth = cenc_open(&c, &o);
    vp_bytes *a = segment_of(first, 3, c.segments[0]), *b = segment_of(second, 3, c.segments[0]),
             *same = segment_of(third, 3, c.segments[0]), *d = segment_of(fourth, 3, c.segments[0]);
    size_t size = (size_t)vp_bytes_size(a);
    assert_same_bytes(vp_bytes_data(a), size, vp_bytes_data(same), (size_t)vp_bytes_size(same));
    assert_memory_not_equal(vp_bytes_data(a), vp_bytes_data(b), size);
    assert_memory_not_equal(vp_bytes_data(a), vp_bytes_data(d), size);
    vp_bytes_unref(a);
    vp_bytes_unref(b);
    vp_bytes_unref(same);
    vp_bytes_unref(d);
    vp_cenc_unref(first);
    vp_cenc_unref(second);
    vp_cenc_unref(third);
    vp_cenc_unref(fourth);
    cmaf_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_segments),
        cmocka_unit_test(refused_inits),
        cmocka_unit_test(nulls),
        cmocka_unit_test(seeds),
    };
    if (!vp_feature("crypt")) {
        fprintf(stderr, "skipped: the library is built without encryption\n");
        return SKIPPED;
    }
    return cmocka_run_group_tests_name("cenc_refusals", tests, NULL, NULL);
}
