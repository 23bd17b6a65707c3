/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CMAF bytes: init, fragments, sizes, protection, sidx. */

#include "clip.h"

#include "base/fault.h"

static void parse_init(const vpi_track_setup *setup, const vpi_protect *protect, vpi_buf *bytes,
                       vpi_init_info *info)
{
    vp_error err = VP_ERROR_INIT;

    memset(bytes, 0, sizeof(*bytes));
    if (vpi_cmaf_init(setup, protect, bytes, &err) != VP_OK) fail_msg("%s", err.message);
    if (vpi_init_parse(bytes->data, bytes->size, info, &err) != VP_OK) fail_msg("%s", err.message);
}

static void test_init_video(void **state)
{
    vpi_init_info info;
    vpi_buf b;
    vpi_box box;
    clip c;

    (void)state;
    clip_fake_video(&c, 1, 1, 0, 30000, 1001, 1);
    c.setup.full_range = true;
    parse_init(&c.setup, NULL, &b, &info);
    assert_true(info.brand_iso6 && info.brand_cmfc);
    assert_int_equal(info.track_id, 1);
    assert_int_equal(info.timescale, 30000);
    assert_int_equal(info.mvhd_duration, 0);
    assert_int_equal(info.tkhd_duration, 0);
    assert_int_equal(info.mdhd_duration, 0);
    assert_int_equal(info.handler, VPI_FOURCC('v', 'i', 'd', 'e'));
    assert_string_equal(info.language, "und");
    assert_int_equal(info.sample_entry, VPI_FOURCC('a', 'v', 'c', '1'));
    assert_int_equal(info.width, 320);
    assert_int_equal(info.height, 180);
    assert_int_equal(info.tkhd_width, 320 << 16);
    assert_int_equal(info.tkhd_height, 180 << 16);
    assert_int_equal(info.codec_config_size, c.setup.config_size);
    assert_memory_equal(info.codec_config, c.setup.config, c.setup.config_size);
    assert_false(info.has_edit_list);
    assert_false(info.samples_in_stbl);
    assert_true(info.has_mvex && info.has_colr && info.has_pasp);
    assert_int_equal(info.pasp_h, 1);
    assert_int_equal(info.pasp_v, 1);
    assert_int_equal(info.colr_primaries, 1);
    assert_true(info.colr_full_range);
    assert_int_equal(info.trex_description_index, 1);
    assert_int_equal(info.trex_duration, 0);
    assert_int_equal(vpi_box_path(b.data, b.size, "moov/trak/edts", &box, NULL), VP_END);
    assert_int_equal(vpi_box_path(b.data, b.size, "moov/udta", &box, NULL), VP_END);
    assert_int_equal(vpi_box_path(b.data, b.size, "moov/trak/mdia/minf/stbl/stsd", &box, NULL), VP_OK);
    vpi_buf_dispose(&b);
    c.setup.primaries = c.setup.transfer = c.setup.matrix = 0;
    parse_init(&c.setup, NULL, &b, &info);
    assert_false(info.has_colr);
    vpi_buf_dispose(&b);
    clip_dispose(&c);
}

static void test_init_codecs(void **state)
{
    static const struct {
        vpi_codec codec;
        uint32_t entry;
        uint32_t rate, rate_written;
    } kinds[] = {
        { VPI_CODEC_HEVC, VPI_FOURCC('h', 'v', 'c', '1'), 0, 0 },
        { VPI_CODEC_AV1, VPI_FOURCC('a', 'v', '0', '1'), 0, 0 },
        { VPI_CODEC_VP9, VPI_FOURCC('v', 'p', '0', '9'), 0, 0 },
        { VPI_CODEC_AAC, VPI_FOURCC('m', 'p', '4', 'a'), 44100, 44100 },
        { VPI_CODEC_AC3, VPI_FOURCC('a', 'c', '-', '3'), 48000, 48000 },
        { VPI_CODEC_EAC3, VPI_FOURCC('e', 'c', '-', '3'), 48000, 48000 },
        { VPI_CODEC_OPUS, VPI_FOURCC('O', 'p', 'u', 's'), 16000, 48000 },
        { VPI_CODEC_FLAC, VPI_FOURCC('f', 'L', 'a', 'C'), 96000, 48000 },
    };
    uint8_t config[300];
    vpi_init_info info;
    vpi_buf b;

    (void)state;
    for (size_t i = 0; i < VPI_COUNT(kinds); i++) {
        vpi_track_setup s = {
            .codec = kinds[i].codec, .timescale = 48000, .config = config, .language = "de"
        };

        memset(config, 0x11, sizeof(config));
        s.config_size =
            kinds[i].codec == VPI_CODEC_AAC ? sizeof(config) : 40; /* a long one: longer descriptors */
        s.kind = kinds[i].rate ? VPI_KIND_AUDIO : VPI_KIND_VIDEO;
        s.width = s.height = kinds[i].rate ? 0 : 64;
        s.sample_rate = kinds[i].rate;
        s.channels = kinds[i].rate ? 6 : 0;
        parse_init(&s, NULL, &b, &info);
        assert_int_equal(info.sample_entry, kinds[i].entry);
        assert_string_equal(info.language, kinds[i].rate ? "deu" : "deu");
        if (kinds[i].rate) {
            assert_int_equal(info.sample_rate, kinds[i].rate_written);
            assert_int_equal(info.channels, 6);
            assert_int_equal(info.handler, VPI_FOURCC('s', 'o', 'u', 'n'));
        }
        assert_true(info.codec_config_size >= s.config_size);
        assert_memory_equal(info.codec_config + info.codec_config_size - s.config_size, config,
                            s.config_size);
        vpi_buf_dispose(&b);
    }
}

static void test_init_refused(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vpi_buf b = { 0 };
    clip c;

    (void)state;
    clip_fake_video(&c, 1, 1, 0, 30000, 1001, 1);
    c.setup.codec = VPI_CODEC_MP3;
    assert_int_equal(vpi_cmaf_init(&c.setup, NULL, &b, &err), VP_E_UNSUPPORTED);
    assert_string_equal(err.reason, "CODEC_UNSUPPORTED");
    c.setup.codec = VPI_CODEC_AAC; /* audio codec of a video track */
    assert_int_equal(vpi_cmaf_init(&c.setup, NULL, &b, NULL), VP_E_UNSUPPORTED);
    c.setup.codec = VPI_CODEC_H264;
    c.setup.width = 70000;
    assert_int_equal(vpi_cmaf_init(&c.setup, NULL, &b, NULL), VP_E_ARG);
    c.setup.width = 320;
    c.setup.timescale = 0;
    assert_int_equal(vpi_cmaf_init(&c.setup, NULL, &b, NULL), VP_E_ARG);
    c.setup.timescale = 1;
    c.setup.config_size = 0;
    assert_int_equal(vpi_cmaf_init(&c.setup, NULL, &b, NULL), VP_E_ARG);
    vpi_buf_dispose(&b);
    clip_dispose(&c);
}

/* ---- protection made up for the tests ---- */

typedef struct fake {
    unsigned mode; /* 0: whole samples, no IV; 1: whole samples, IV of 8; 2: subsamples and IV */
    uint64_t calls, next;
} fake;

static vp_status fake_sample(void *user, uint64_t index, const uint8_t *data, size_t size, uint8_t *to,
                             vpi_protect_out *out, vp_error *err)
{
    fake *f = user;

    (void)err;
    assert_int_equal(index, f->next);
    f->next++;
    f->calls++;
    if (data) {
        for (size_t i = 0; i < size; i++) to[i] = data[i] ^ 0x5A;
    }
    out->iv_size = f->mode ? 8 : 0;
    out->subsample_count = 0;
    if (f->mode) memset(out->iv, (int)index, 16);
    if (f->mode == 2) {
        out->subsample_count = 1 + (uint32_t)(size % 3);
        for (uint32_t i = 0; i < out->subsample_count; i++) {
            out->subsamples[i].clear = (uint16_t)i;
            out->subsamples[i].protected_bytes = 16;
        }
    }
    return VP_OK;
}

static vpi_protect fake_protect(fake *f, unsigned mode, uint64_t first)
{
    vpi_protect p = { .scheme = mode ? VPI_FOURCC('c', 'e', 'n', 'c') : VPI_FOURCC('c', 'b', 'c', 's'),
                      .per_sample_iv_size = mode ? 8 : 0,
                      .constant_iv_size = mode ? 0 : 16,
                      .crypt_blocks = 1,
                      .skip_blocks = 9,
                      .sample = fake_sample,
                      .user = f };

    *f = (fake){ .mode = mode, .next = first };
    memset(p.kid, 0xAB, 16);
    memset(p.constant_iv, 0xCD, 16);
    return p;
}

static void test_init_protected(void **state)
{
    vpi_init_info info;
    vpi_protect p;
    vpi_buf b;
    fake f;
    clip c;
    static const uint8_t kid[4] = { 0xAB, 0xAB, 0xAB, 0xAB };

    (void)state;
    clip_fake_video(&c, 1, 1, 0, 30000, 1001, 1);
    for (unsigned mode = 0; mode < 2; mode++) {
        const uint8_t *tenc = NULL;

        p = fake_protect(&f, mode, 0);
        parse_init(&c.setup, &p, &b, &info);
        assert_int_equal(info.sample_entry, VPI_FOURCC('e', 'n', 'c', 'v'));
        assert_memory_equal(info.codec_config, c.setup.config, c.setup.config_size);
        for (size_t i = 4; i + 40 < b.size; i++) {
            if (memcmp(b.data + i, "tenc", 4) == 0) tenc = b.data + i + 4;
        }
        assert_non_null(tenc);
        assert_int_equal(tenc[0], mode ? 0 : 1); /* version */
        assert_int_equal(tenc[5], mode ? 0 : 0x19);
        assert_int_equal(tenc[6], 1);
        assert_int_equal(tenc[7], mode ? 8 : 0);
        assert_memory_equal(tenc + 8, kid, 4);
        if (!mode) {
            assert_int_equal(tenc[24], 16);
            assert_int_equal(tenc[25], 0xCD);
        }
        vpi_buf_dispose(&b);
    }
    clip_dispose(&c);
}

/* ---- fragments ---- */

/* Reads a segment back with the box reader and compares it with what went in. */
static void check_segment(const cut *k, const uint8_t *data, size_t size, const vpi_segment *e, uint8_t mask)
{
    const vpi_segment_in *in = &k->in;
    uint64_t begin, total = 0;

    assert_int_equal(e->fragment_count, in->fragment_count);
    assert_int_equal(e->bytes, size);
    assert_int_equal(e->start, in->start);
    assert_int_equal(e->ticks, in->end - in->start);
    begin = in->start;
    for (size_t f = 0; f < e->fragment_count; f++) {
        size_t first = in->fragments[f], end = f + 1 < in->fragment_count ? in->fragments[f + 1] : in->count,
               at = 0;
        const uint8_t *p = data + e->fragments[f].offset, *media;
        vpi_fragment_info info;
        vpi_box moof, mdat;
        uint64_t dts;

        assert_int_equal(vpi_box_next(p, (size_t)e->fragments[f].bytes, 0, &at, &moof, NULL), VP_OK);
        assert_int_equal(moof.type, VPI_FOURCC('m', 'o', 'o', 'f'));
        assert_int_equal(vpi_box_next(p, (size_t)e->fragments[f].bytes, 0, &at, &mdat, NULL), VP_OK);
        assert_int_equal(mdat.type, VPI_FOURCC('m', 'd', 'a', 't'));
        assert_int_equal(at, e->fragments[f].bytes);
        assert_int_equal(vpi_moof_parse(&moof, 100000, &info, NULL), VP_OK);
        assert_true(info.default_base_is_moof && info.has_tfdt);
        assert_int_equal(info.tfdt_version, 1);
        assert_int_equal(info.trun_version, 1);
        assert_int_equal(info.sequence, in->first_fragment + f + 1);
        assert_int_equal(info.tfdt, begin);
        assert_int_equal(info.count, end - first);
        assert_int_equal(info.data_offset, moof.size + 8);
        dts = info.tfdt;
        media = mdat.data;
        for (size_t i = 0; i < info.count; i++) {
            const vpi_sample *s = &in->samples[first + i];

            assert_int_equal(info.samples[i].size, s->size);
            assert_int_equal(info.samples[i].flags, s->sync ? 0x02000000 : 0x01010000);
            assert_int_equal((int64_t)dts + info.samples[i].cts, s->pts);
            if (in->setup->timescale > 1000) assert_true(info.samples[i].cts >= 0);
            for (size_t n = 0; n < s->size; n++) {
                if ((media[n] ^ mask) != s->data[n]) fail_msg("byte %zu of sample %zu", n, i);
            }
            media += s->size;
            dts += info.samples[i].duration;
        }
        if (in->setup->kind == VPI_KIND_VIDEO) {
            assert_int_equal(e->fragments[f].idr_bytes, moof.size + 8 + in->samples[first].size);
        } else {
            assert_int_equal(e->fragments[f].idr_bytes, 0);
        }
        assert_int_equal(e->fragments[f].ticks, dts - begin);
        begin = dts;
        total = e->fragments[f].offset + e->fragments[f].bytes;
        vpi_fragment_info_dispose(&info);
    }
    assert_int_equal(begin, in->end);
    assert_int_equal(total, size);
}

static uint8_t *write_segment(const cut *k, const vpi_protect *protect, bool styp, vpi_segment *e,
                              size_t *size)
{
    vp_error err = VP_ERROR_INIT;
    written w;

    memset(e, 0, sizeof(*e));
    written_begin(&w);
    if (vpi_cmaf_segment(&k->in, protect, styp, w.object, e, &err) != VP_OK) fail_msg("%s", err.message);
    return written_end(&w, size);
}

static void assert_same_entry(const vpi_segment *a, const vpi_segment *b)
{
    assert_int_equal(a->bytes, b->bytes);
    assert_int_equal(a->start, b->start);
    assert_int_equal(a->ticks, b->ticks);
    assert_int_equal(a->fragment_count, b->fragment_count);
    assert_memory_equal(a->fragments, b->fragments, a->fragment_count * sizeof(*a->fragments));
}

static void check_clip(clip *c, size_t first, size_t end)
{
    for (unsigned mode = 0; mode < 4; mode++) {
        unsigned form = mode == 3 && c->setup.kind == VPI_KIND_AUDIO ? 1 : mode - 1;
        vpi_protect protect;
        vpi_segment e, simulated = { 0 };
        uint8_t *data;
        size_t size;
        fake f;
        cut k;

        clip_cut(c, first, end, &k);
        if (mode) protect = fake_protect(&f, form, first);
        data = write_segment(&k, mode ? &protect : NULL, first == 0, &e, &size);
        check_segment(&k, data, size, &e, mode ? 0x5A : 0);
        if (mode) {
            assert_int_equal(f.calls, end - first);
            protect = fake_protect(&f, form, first);
        }
        assert_int_equal(vpi_cmaf_segment_size(&k.in, mode ? &protect : NULL, first == 0, &simulated, NULL),
                         VP_OK);
        assert_same_entry(&e, &simulated);
        if (first == 0) {
            assert_memory_equal(data + 4, "stypmsdh", 8);
            assert_int_equal(e.fragments[0].offset, 28);
        } else {
            assert_int_equal(e.fragments[0].offset, 0);
        }
        segment_dispose(&e);
        segment_dispose(&simulated);
        free(data);
    }
}

static void test_fragments(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 12; seed++) {
        clip c;

        clip_fake_video(&c, 60 + seed, 15, seed % 3, seed % 2 ? 90000 : 24000, seed % 2 ? 3600 : 1001, seed);
        if (seed > 8) clip_shift(&c, UINT64_C(1) << (20 + seed)); /* decode times beyond 32 bits */
        if (seed == 11) clip_shift(&c, UINT64_C(36000) * 90000);
        check_clip(&c, 0, 60);
        check_clip(&c, 15, c.count);
        clip_dispose(&c);
        clip_fake_audio(&c, 281, 48000, seed);
        check_clip(&c, 0, 281);
        check_clip(&c, 100, 101);
        clip_dispose(&c);
    }
}

/* Simulation without data: the counts alone decide. */
static void test_size_without_data(void **state)
{
    vpi_segment e, simulated = { 0 };
    uint8_t *data;
    size_t size;
    clip c;
    cut k;

    (void)state;
    clip_fake_video(&c, 50, 25, 2, 25, 1, 3);
    clip_cut(&c, 0, 50, &k);
    data = write_segment(&k, NULL, true, &e, &size);
    for (size_t i = 0; i < c.count; i++) {
        free((void *)(uintptr_t)c.samples[i].data);
        c.samples[i].data = NULL;
    }
    assert_int_equal(vpi_cmaf_segment_size(&k.in, NULL, true, &simulated, NULL), VP_OK);
    assert_same_entry(&e, &simulated);
    segment_dispose(&e);
    segment_dispose(&simulated);
    free(data);
    clip_dispose(&c);
}

static void test_vfr(void **state)
{
    vpi_segment e;
    uint8_t *data;
    size_t size;
    clip c;
    cut k;

    (void)state;
    clip_fake_video(&c, 40, 20, 2, 90000, 3000, 5);
    for (size_t i = 0; i < c.count; i++) {
        int64_t n = c.samples[i].pts / 3000;
        c.samples[i].pts = n * 3000 + (n * n * 37) % 2500; /* stays in order */
    }
    for (size_t i = 0; i < c.count; i++) {
        for (size_t j = 0; j < i; j++) assert_true(c.samples[i].pts != c.samples[j].pts);
    }
    clip_cut(&c, 0, 40, &k);
    data = write_segment(&k, NULL, true, &e, &size);
    check_segment(&k, data, size, &e, 0);
    segment_dispose(&e);
    free(data);
    clip_dispose(&c);
}

/* The auxiliary information that saio points at: from moof, behind the header of senc. */
static void test_auxiliary(void **state)
{
    vpi_protect protect;
    vpi_segment e;
    uint8_t *data;
    size_t size;
    fake f;
    clip c;
    cut k;

    (void)state;
    clip_fake_video(&c, 10, 5, 0, 25, 1, 9);
    clip_cut(&c, 0, 10, &k);
    protect = fake_protect(&f, 2, 0);
    data = write_segment(&k, &protect, true, &e, &size);
    for (size_t n = 0; n < e.fragment_count; n++) {
        const uint8_t *moof = data + e.fragments[n].offset, *p;
        const vpi_sample *samples = k.in.samples + k.in.fragments[n];
        vpi_box saiz, saio, senc;
        size_t moof_size = vpi_rd32(moof);

        assert_int_equal(vpi_box_path(moof, moof_size, "moof/traf/saiz", &saiz, NULL), VP_OK);
        assert_int_equal(vpi_box_path(moof, moof_size, "moof/traf/saio", &saio, NULL), VP_OK);
        assert_int_equal(vpi_box_path(moof, moof_size, "moof/traf/senc", &senc, NULL), VP_OK);
        assert_int_equal(vpi_rd32(saio.data + 4), 1);
        p = moof + vpi_rd32(saio.data + 8);
        assert_ptr_equal(p, senc.data + 8);
        assert_int_equal(vpi_rd32(senc.data), 2);
        assert_int_equal(vpi_rd32(senc.data + 4), 5);
        assert_int_equal(vpi_rd32(saiz.data + 5), 5);
        for (size_t i = 0; i < 5; i++) {
            unsigned subsamples = 1 + (unsigned)(samples[i].size % 3);
            unsigned bytes = saiz.data[4] ? saiz.data[4] : saiz.data[9 + i];

            assert_int_equal(p[0], n * 5 + i);
            assert_int_equal(vpi_rd16(p + 8), subsamples);
            assert_int_equal(vpi_rd32(p + 12), 16);
            assert_int_equal(bytes, 10 + 6 * subsamples);
            p += bytes;
        }
        assert_ptr_equal(p, senc.data + senc.data_size);
    }
    segment_dispose(&e);
    free(data);
    clip_dispose(&c);
}

static vp_status size_of(const cut *k, vp_error *err)
{
    vpi_segment e = { 0 };
    vp_status st = vpi_cmaf_segment_size(&k->in, NULL, true, &e, err);

    segment_dispose(&e);
    return st;
}

static void test_refused(void **state)
{
    vp_error err = VP_ERROR_INIT;
    clip c;
    cut k;

    (void)state;
    clip_fake_video(&c, 40, 20, 0, 25, 1, 5);
    clip_cut(&c, 0, 40, &k);
    c.samples[7].pts = 6; /* twice */
    assert_int_equal(size_of(&k, &err), VP_E_DATA);
    assert_string_equal(err.reason, "INPUT_CORRUPT");
    c.samples[7].pts = 25; /* inside the other fragment */
    assert_int_equal(size_of(&k, NULL), VP_E_DATA);
    c.samples[7].pts = 41;
    assert_int_equal(size_of(&k, NULL), VP_E_DATA);
    c.samples[7].pts = -1;
    assert_int_equal(size_of(&k, NULL), VP_E_DATA);
    c.samples[7].pts = 7;
    k.in.start = 1;
    assert_int_equal(size_of(&k, NULL), VP_E_DATA);
    k.in.start = 0;
    k.in.end = 39;
    assert_int_equal(size_of(&k, NULL), VP_E_DATA);
    k.in.end = 40;
    assert_int_equal(size_of(&k, NULL), VP_OK);
    k.fragments[1] = 0;
    assert_int_equal(size_of(&k, NULL), VP_E_INTERNAL);
    k.fragments[1] = 20;
    c.samples[3].size = (size_t)3 << 30;
    assert_int_equal(size_of(&k, NULL), VP_OK); /* only counted */
    c.samples[4].size = (size_t)1 << 30;
    memset(&err, 0, sizeof(err));
    vp_error_init(&err);
    assert_int_equal(size_of(&k, &err), VP_E_LIMIT);
    k.in.first_fragment = UINT32_MAX - 1;
    c.samples[3].size = 100;
    assert_int_equal(size_of(&k, NULL), VP_E_LIMIT);
    clip_dispose(&c);
}

static void test_no_memory(void **state)
{
    bool done = false;
    clip c;
    cut k;

    (void)state;
    clip_fake_video(&c, 40, 10, 2, 25, 1, 5);
    clip_cut(&c, 0, 40, &k);
    for (long n = 1; !done; n++) {
        vp_status st;

        assert_true(n < 1000);
        vpi_alloc_fail_at = n;
        st = size_of(&k, NULL);
        done = vpi_alloc_fail_at > 0;
        vpi_alloc_fail_at = 0;
        assert_int_equal(st, done ? VP_OK : VP_E_NOMEM);
    }
    clip_dispose(&c);
}

static void test_sidx(void **state)
{
    vpi_ptrack track = { .timescale = 25 };
    vpi_buf b = { 0 };
    vpi_sidx sidx;
    vpi_box box;
    size_t at = 0, n = 0;
    clip c;

    (void)state;
    clip_fake_video(&c, 100, 10, 2, 25, 1, 5);
    clip_shift(&c, 50);
    for (size_t i = 0; i < 100; i += 50) {
        cut k;

        clip_cut(&c, i, i + 50, &k);
        assert_int_equal(vpi_cmaf_segment_size(&k.in, NULL, false, vpi_ptrack_add_segment(&track), NULL),
                         VP_OK);
    }
    assert_int_equal(vpi_cmaf_sidx(&track, &b, NULL), VP_OK);
    assert_int_equal(b.size, 40 + 12 * 10);
    assert_int_equal(vpi_box_next(b.data, b.size, 0, &at, &box, NULL), VP_OK);
    assert_int_equal(vpi_sidx_parse(&box, &sidx, NULL), VP_OK);
    assert_int_equal(sidx.version, 1);
    assert_int_equal(sidx.reference_id, 1);
    assert_int_equal(sidx.timescale, 25);
    assert_int_equal(sidx.earliest, 50);
    assert_int_equal(sidx.first_offset, 0);
    assert_int_equal(sidx.count, 10);
    for (size_t s = 0; s < 2; s++) {
        for (size_t f = 0; f < 5; f++, n++) {
            assert_int_equal(sidx.refs[n].size, track.segments[s].fragments[f].bytes);
            assert_int_equal(sidx.refs[n].duration, 10);
            assert_true(sidx.refs[n].starts_with_sap && sidx.refs[n].sap_type == 1 &&
                        !sidx.refs[n].type_sidx);
        }
    }
    vpi_sidx_dispose(&sidx);
    track.segments[1].fragments[2].offset++; /* a hole */
    assert_int_equal(vpi_cmaf_sidx(&track, &b, NULL), VP_E_INTERNAL);
    track.segments[0].fragment_count = 0;
    track.segments[1].fragment_count = 0;
    assert_int_equal(vpi_cmaf_sidx(&track, &b, NULL), VP_E_INTERNAL);
    track.segments[0].fragment_count = 65536;
    assert_int_equal(vpi_cmaf_sidx(&track, &b, NULL), VP_E_LIMIT);
    track.segments[0].fragment_count = 5;
    vpi_buf_dispose(&b);
    vpi_ptrack_dispose(&track);
    clip_dispose(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_init_video),   cmocka_unit_test(test_init_codecs),
        cmocka_unit_test(test_init_refused), cmocka_unit_test(test_init_protected),
        cmocka_unit_test(test_fragments),    cmocka_unit_test(test_size_without_data),
        cmocka_unit_test(test_vfr),          cmocka_unit_test(test_auxiliary),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_sidx),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
