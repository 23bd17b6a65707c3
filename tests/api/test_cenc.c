/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vp_cenc: CMAF of ffmpeg and of our own packager, protected, opened again by a player's code that is not ours. */

#include "api/cenc.h"

static const uint8_t the_seed[16] = "0123456789abcde";

static void standard_vectors(void **state)
{
    /* FIPS 197 appendix C.1: the test's own cipher is one */
    static const uint8_t want[16] = { 0x69, 0xc4, 0xe0, 0xd8, 0x6a, 0x7b, 0x04, 0x30,
                                      0xd8, 0xcd, 0xb7, 0x80, 0x70, 0xb4, 0xc5, 0x5a };
    uint8_t key[16], plain[16], out[16];
    aes a;
    (void)state;
    for (int i = 0; i < 16; i++) {
        key[i] = (uint8_t)i;
        plain[i] = (uint8_t)(i * 0x11);
    }
    aes_init(&a, key);
    aes_encrypt(&a, plain, out);
    assert_memory_equal(out, want, 16);
    aes_decrypt(&a, want, out);
    assert_memory_equal(out, plain, 16);
}

/* ---- one track ---- */

/* frma and the entry's own boxes give the old entry; all behind and before stsd is as it was. */
static scheme_info check_init(const cmaf *c, const vp_cenc *cenc, const vp_cenc_options *o)
{
    vp_bytes *init = NULL;
    assert_ok(vp_cenc_init(cenc, &init, NULL));
    const uint8_t *data = vp_bytes_data(init);
    size_t size = (size_t)vp_bytes_size(init), added;
    span old = sample_entry(c->init.data, c->init.size, 0), entry = sample_entry(data, size, 0),
         second = sample_entry(data, size, 1), sinf;
    scheme_info how = read_tenc(entry);
    size_t at = (size_t)(old.data - c->init.data);
    sinf = child(entry, is_type(entry.data, "encv") ? 86 : 36, "sinf");
    assert_ptr_equal(sinf.data + sinf.size, entry.data + entry.size);
    assert_memory_equal(child(sinf, 8, "frma").data + 8, old.data + 4, 4);
    assert_same_bytes(entry.data + 8, entry.size - sinf.size - 8, old.data + 8, old.size - 8);
    added = sinf.size;
    assert_int_equal(second.data != NULL, o->clear_segments > 0);
    if (second.data) {
        assert_same_bytes(second.data, second.size, old.data, old.size);
        added += second.size;
    }
    assert_int_equal(entry.data - data, at);
    /* of what is before only sizes of parents and the number of entries differ */
    span pssh = child(box_in(data, size, "moov", 0), 8, "pssh");
    size_t tail = c->init.size - at - old.size;
    if (o->flags & VP_CENC_PSSH) {
        assert_non_null(pssh.data);
        while (pssh.data < data + size && is_type(pssh.data, "pssh")) {
            added += be32(pssh.data);
            pssh.data += be32(pssh.data);
        }
        tail = (size_t)(data + size - pssh.data);
    } else {
        assert_null(pssh.data);
    }
    assert_int_equal(size, c->init.size + added);
    assert_memory_equal(data + size - tail, c->init.data + c->init.size - tail, tail);
    vp_bytes_unref(init);
    return how;
}

/* Each reference of each sidx ends where a box ends, and they tell all that is behind them. */
static void check_index(span s)
{
    for (unsigned n = 0;; n++) {
        span sidx = box_in(s.data, s.size, "sidx", n);
        if (!sidx.data) return;
        bool wide = sidx.data[8] > 0;
        const uint8_t *p = sidx.data + 20 + (wide ? 12 : 4), *at = sidx.data + sidx.size;
        unsigned count;
        at += be32(p); /* first_offset, below 2^32 */
        count = (unsigned)(p[6] << 8 | p[7]);
        for (unsigned i = 0; i < count; i++) {
            assert_true(at < s.data + s.size &&
                        (is_type(at, "moof") || is_type(at, "sidx") || is_type(at, "styp")));
            at += be32(p + 8 + 12 * i) & 0x7fffffff;
        }
        assert_true(at <= s.data + s.size);
        assert_true(at == s.data + s.size || !is_type(at, "mdat"));
    }
}

static unsigned boxes_of(span s, const char *type)
{
    unsigned n = 0;
    while (box_in(s.data, s.size, type, n).data) n++;
    return n;
}

static void check_segment(const cmaf *c, const vp_cenc *cenc, const vp_cenc_options *o,
                          const scheme_info *how, unsigned n, opened *got)
{
    vp_bytes *made = segment_of(cenc, n, c->segments[n]), *again = segment_of(cenc, n, c->segments[n]);
    span m = { vp_bytes_data(made), (size_t)vp_bytes_size(made) };
    uint32_t period = o->key_rotation ? n / o->key_rotation : 0;
    bool clear = n < o->clear_segments;
    opened want;
    assert_same_bytes(m.data, m.size, vp_bytes_data(again), (size_t)vp_bytes_size(again));
    open_segment(c->segments[n].data, c->segments[n].size, NULL, c->trex_size, &want);
    open_segment(m.data, m.size, how, c->trex_size, got);
    assert_same_bytes(got->data, got->size, want.data, want.size);
    assert_int_equal(got->samples, want.samples);
    assert_int_equal(got->protected_samples, clear ? 0 : got->samples);
    if (!clear) assert_int_equal(got->kid[0] >> 4, period);
    span moof = box_in(m.data, m.size, "moof", 0);
    assert_int_equal(child(moof, 8, "pssh").data != NULL, o->key_rotation && !clear);
    assert_int_equal(child(child(moof, 8, "traf"), 8, "sbgp").data != NULL, !clear && period > 0);
    assert_int_equal(boxes_of(m, "sidx"), boxes_of(c->segments[n], "sidx"));
    assert_int_equal(boxes_of(m, "mdat"), boxes_of(c->segments[n], "mdat"));
    assert_int_equal(boxes_of(m, "mfra"), 0);
    check_index(m);
    free(want.data);
    vp_bytes_unref(made);
    vp_bytes_unref(again);
}

/* Blocks of a key stream are 8 bytes of IV and a counter: no IV may come twice. */
static void check_ivs(const opened *all, unsigned count)
{
    for (unsigned a = 0; a < count; a++)
        for (size_t i = 0; i < all[a].iv_count; i++)
            for (unsigned b = 0; b <= a; b++)
                for (size_t k = 0; k < (b == a ? i : all[b].iv_count); k++)
                    assert_memory_not_equal(all[a].ivs[i], all[b].ivs[k], 8);
}

static void check_json(const vp_cenc *cenc, const vp_cenc_options *o, unsigned periods)
{
    vp_bytes *json = NULL;
    char want[64];
    unsigned kids = 0;
    assert_ok(vp_cenc_protection_json(cenc, &json, NULL));
    const char *text = vp_bytes_data(json);
    snprintf(want, sizeof(want),
             "{\"scheme\":\"%s\",\"label\":", o->scheme == VP_ENCRYPT_CENC ? "cenc" : "cbcs");
    assert_memory_equal(text, want, strlen(want));
    for (const char *p = text; (p = strstr(p, "\"kid\"")); p++) kids++;
    assert_int_equal(kids, periods);
    assert_null(strstr(text, "f0e0d0c0b0a0908"));
    vp_bytes_unref(json);
}

static void check_track(const cmaf *c, const vp_cenc_options *options)
{
    vp_cenc_options o = *options;
    unsigned periods = o.key_rotation ? (c->count + o.key_rotation - 1) / o.key_rotation : 1;
    opened *got = calloc(c->count, sizeof(*got));
    assert_non_null(got);
    o.segments = c->count;
    o.seed = the_seed;
    vp_cenc *cenc = cenc_open(c, &o);
    scheme_info how = check_init(c, cenc, &o);
    assert_int_equal(how.cbc, o.scheme != VP_ENCRYPT_CENC);
    for (unsigned n = 0; n < c->count; n++) check_segment(c, cenc, &o, &how, n, &got[n]);
    if (o.scheme == VP_ENCRYPT_CENC) check_ivs(got, c->count);
    check_json(cenc, &o, periods);
    for (unsigned n = 0; n < c->count; n++) free(got[n].data);
    free(got);
    vp_cenc_unref(cenc);
}

/* All schemes, with and without what changes boxes. */
static void check_material(const char *name, bool video, const char *arguments, unsigned fragments)
{
    static const vp_cenc_options forms[] = { { .key_rotation = 0 },
                                             { .key_rotation = 2 },
                                             { .clear_segments = 1 },
                                             { .key_rotation = 2, .clear_segments = 3 },
                                             { .flags = VP_CENC_PSSH } };
    cmaf c;
    if (!cmaf_make(&c, video, arguments, fragments)) {
        print_message("left out: this ffmpeg makes no %s\n", name);
        return;
    }
    print_message("%s: %u segments\n", name, c.count);
    for (uint32_t scheme = VP_ENCRYPT_CENC; scheme <= VP_ENCRYPT_CBCS; scheme++) {
        for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
            vp_cenc_options o = forms[i];
            o.struct_size = (uint32_t)sizeof(o);
            o.scheme = scheme;
            check_track(&c, &o);
        }
    }
    cmaf_free(&c);
}

static void pictures(void **state)
{
    (void)state;
    check_material("H.264", true, X264 "-bf 2 -movflags cmaf+frag_keyframe", 1);
    check_material("H.264, two fragments", true, X264 "-movflags cmaf+frag_keyframe", 2);
    check_material("H.264, four slices", true, X264 "-x264-params slices=4 -movflags cmaf+frag_keyframe", 1);
    check_material("H.264 with sidx", true, X264 "-movflags dash+frag_keyframe+empty_moov+default_base_moof",
                   1);
    check_material("H.264 of one sidx", true, X264 "-movflags cmaf+global_sidx+frag_keyframe", 4);
    check_material("H.264, each picture", true, X264 "-t 0.5 -movflags cmaf+frag_every_frame", 3);
    check_material(
        "HEVC", true,
        "-c:v libx265 -preset ultrafast -x265-params keyint=25:min-keyint=25:log-level=none -tag:v hvc1 "
        "-movflags cmaf+frag_keyframe",
        1);
    check_material("AV1", true, "-c:v libsvtav1 -preset 12 -g 25 -movflags cmaf+frag_keyframe", 1);
}

static void sound(void **state)
{
    (void)state;
    check_material("AAC", false, "-c:a aac -movflags cmaf -frag_duration 1000000", 1);
    check_material("Opus", false, "-c:a libopus -movflags cmaf+delay_moov -frag_duration 1000000", 1);
    check_material("AC-3", false, "-c:a ac3 -movflags cmaf+delay_moov -frag_duration 1000000", 1);
    check_material("E-AC-3", false, "-c:a eac3 -movflags cmaf+delay_moov -frag_duration 1000000", 2);
    check_material("FLAC", false, "-c:a flac -movflags cmaf+delay_moov -frag_duration 1000000", 1);
}

/* A segment of one fragment with NAL lengths of two bytes instead of four; its new size. */
static size_t shorten(span from, uint8_t *to)
{
    span moof = box_in(from.data, from.size, "moof", 0), mdat = box_in(from.data, from.size, "mdat", 0);
    moof_parts m;
    size_t head = (size_t)(mdat.data - from.data) + 8;
    const uint8_t *at = mdat.data + 8;
    uint8_t *p = to + head;
    take_moof(moof, 0, &m);
    assert_non_null(m.sizes);
    memcpy(to, from.data, head);
    for (uint32_t i = 0; i < m.count; i++) {
        const uint8_t *end = at + be32(m.sizes + i * m.step);
        const uint8_t *begin = p;
        while (at < end) {
            uint32_t size = be32(at);
            assert_true(size < 65536);
            memcpy(p, at + 2, size + 2);
            p += size + 2;
            at += size + 4;
        }
        put32(to + (m.sizes + i * m.step - from.data), (uint32_t)(p - begin));
    }
    put32(to + head - 8, (uint32_t)(p - to - (ptrdiff_t)head + 8));
    return (size_t)(p - to);
}

static void short_lengths(void **state)
{
    cmaf c;
    uint8_t *copies[SEGMENTS_MAX] = { NULL }, *init;
    size_t at = 0;
    (void)state;
    if (!cmaf_make(&c, true, X264 "-movflags cmaf+frag_keyframe", 1)) skip();
    init = malloc(c.init.size);
    assert_non_null(init);
    memcpy(init, c.init.data, c.init.size);
    while (at + 13 < c.init.size && memcmp(init + at, "avcC", 4) != 0) at++;
    assert_int_equal(init[at + 8] & 3, 3);
    init[at + 8] = 0xfd;
    c.init.data = init;
    for (unsigned i = 0; i < c.count; i++) {
        copies[i] = malloc(c.segments[i].size);
        assert_non_null(copies[i]);
        c.segments[i] = (span){ copies[i], shorten(c.segments[i], copies[i]) };
    }
    for (uint32_t scheme = VP_ENCRYPT_CENC; scheme <= VP_ENCRYPT_CBCS; scheme++) {
        vp_cenc_options o = VP_CENC_OPTIONS_INIT;
        o.scheme = scheme;
        check_track(&c, &o);
    }
    for (unsigned i = 0; i < c.count; i++) free(copies[i]);
    free(init);
    cmaf_free(&c);
}

/* Sizes that are told once for all samples: in tfhd (ffmpeg's way for AC-3), then in trex alone (8.8.3). */
static void common_sizes(void **state)
{
    vp_cenc_options o = VP_CENC_OPTIONS_INIT;
    cmaf c;
    (void)state;
    if (!cmaf_make(&c, false, "-c:a ac3 -b:a 96k -movflags cmaf+delay_moov -frag_duration 1000000", 1))
        skip();
    span s = c.segments[1], moof = box_in(s.data, s.size, "moof", 0), traf = child(moof, 8, "traf"),
         tfhd = child(traf, 8, "tfhd"), trun = child(traf, 8, "trun");
    uint32_t flags = be32(tfhd.data + 8), frames = be32(trun.data + 12);
    if (!(flags & 0x10) || be32(trun.data + 8) & 0x200) skip();
    size_t field = (size_t)(tfhd.data - s.data) + 16 + (flags & 2 ? 4 : 0) + (flags & 8 ? 4 : 0);
    uint8_t *copy = malloc(s.size), *init = malloc(c.init.size);
    assert_true(copy && init && frames > 10);
    memcpy(copy, s.data, s.size);
    memcpy(init, c.init.data, c.init.size);
    put32(copy + (moof.data - s.data), (uint32_t)moof.size - 4);
    put32(copy + (traf.data - s.data), (uint32_t)traf.size - 4);
    put32(copy + (tfhd.data - s.data), (uint32_t)tfhd.size - 4);
    put32(copy + (tfhd.data - s.data) + 8, flags & ~0x10u);
    put32(copy + (trun.data - s.data) + 16, be32(trun.data + 16) - 4);
    memmove(copy + field, copy + field + 4, s.size - field - 4);
    span trex = child(child(box_in(init, c.init.size, "moov", 0), 8, "mvex"), 8, "trex");
    c.trex_size = be32(s.data + field);
    put32(init + (trex.data - init) + 24, c.trex_size);
    c.init.data = init;
    c.segments[1] = (span){ copy, s.size - 4 };
    o.scheme = VP_ENCRYPT_CENC;
    o.clear_segments = 1;
    check_track(&c, &o);
    /* wrong for these data */
    put32(init + (trex.data - init) + 24, c.trex_size + 1);
    vp_cenc *cenc = cenc_open(&c, &o);
    assert_int_equal(vp_cenc_segment(cenc, 1, copy, s.size - 4, &(vp_bytes *){ NULL }, NULL), VP_E_DATA);
    vp_cenc_unref(cenc);
    free(copy);
    free(init);
    cmaf_free(&c);
}

/* ---- the same as a job ---- */

static const char fixed_iv[] = "{\"keys\":[{\"label\":\"*\",\"kid\":\"" KID_TEXT(
    "0") "\",\"key\":\"" KEY_TEXT("0") "\",\"iv\":\"000102030405060708090a0b0c0d0e0f\"}]}";

static vp_sink *packaged(room *r, vp_keys *keys, const char *settings)
{
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    vp_transcode_options t = VP_TRANSCODE_OPTIONS_INIT;
    const char *name = "clip";
    vp_job *job = NULL;
    assert_ok(vp_sink_memory(r->context, &o.sink, NULL));
    t.encrypt = keys ? VP_ENCRYPT_CBCS : VP_ENCRYPT_NONE;
    t.keys = keys;
    t.segment_ms = t.gop_ms = 1000;
    t.prefix = "none";
    o.transcode = &t;
    o.settings_json = settings;
    assert_end(VP_OK, vp_job_new_package(r->context, &o, &r->source, &name, 1, &job, &r->err), &r->err);
    assert_end(VP_OK, vp_job_start(job, &r->err), &r->err);
    assert_end(VP_OK, vp_job_wait(job, -1, &r->err), &r->err);
    vp_job_unref(job);
    return o.sink;
}

static void compare_track(vp_sink *clear, vp_sink *want, vp_keys *keys, const char *folder, uint32_t lead)
{
    vp_cenc_options o = VP_CENC_OPTIONS_INIT;
    vp_bytes *from = NULL, *ours = NULL, *theirs = NULL;
    vp_cenc *cenc = NULL;
    char key[128];
    unsigned n = 0;
    o.clear_segments = lead;
    snprintf(key, sizeof(key), "%s/init.mp4", folder);
    assert_ok(vp_sink_get(clear, key, 0, &from, NULL));
    assert_ok(vp_sink_get(want, key, 0, &theirs, NULL));
    assert_ok(vp_cenc_new(keys, vp_bytes_data(from), vp_bytes_size(from), &o, &cenc, NULL));
    assert_ok(vp_cenc_init(cenc, &ours, NULL));
    for (;; n++) {
        assert_same_bytes(vp_bytes_data(ours), (size_t)vp_bytes_size(ours), vp_bytes_data(theirs),
                          (size_t)vp_bytes_size(theirs));
        from = vp_bytes_unref(from);
        ours = vp_bytes_unref(ours);
        theirs = vp_bytes_unref(theirs);
        snprintf(key, sizeof(key), "%s/%05u.m4s", folder, n + 1);
        if (!sink_holds(clear, key)) break;
        assert_ok(vp_sink_get(clear, key, 0, &from, NULL));
        assert_ok(vp_sink_get(want, key, 0, &theirs, NULL));
        assert_ok(vp_cenc_segment(cenc, n, vp_bytes_data(from), vp_bytes_size(from), &ours, NULL));
    }
    assert_true(n >= 3);
    vp_cenc_unref(cenc);
}

/* What a job writes protected is what vp_cenc makes of what it writes clear: two ways, one form. */
static void as_a_job(void **state)
{
    room *r = *state;
    vp_keys *keys = NULL;
    assert_ok(vp_keys_parse(fixed_iv, strlen(fixed_iv), &keys, NULL));
    vp_sink *clear = packaged(r, NULL, NULL);
    for (uint32_t lead = 0; lead < 2; lead++) {
        vp_sink *want = packaged(r, keys, lead ? "{\"clear_lead\":0.5}" : NULL);
        compare_track(clear, want, keys, "video/180p", lead);
        compare_track(clear, want, keys, "audio/und-mono", lead);
        vp_sink_unref(want);
    }
    vp_sink_unref(clear);
    vp_keys_unref(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(standard_vectors),
        cmocka_unit_test(pictures),
        cmocka_unit_test(sound),
        cmocka_unit_test(short_lengths),
        cmocka_unit_test(common_sizes),
        cmocka_unit_test_setup_teardown(as_a_job, room_open, room_close),
    };
    int rc;
    if (!vp_feature("crypt")) {
        fprintf(stderr, "skipped: the library is built without encryption\n");
        return SKIPPED;
    }
    rc = clips_open();
    return rc ? rc : clips_close(cmocka_run_group_tests_name("cenc", tests, NULL, NULL));
}
