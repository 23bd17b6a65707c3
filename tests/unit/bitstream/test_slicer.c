/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What of samples may be encrypted: streams made by hand, whose headers end where the test wrote their end, and hostile
 * bytes. test_slicer_clips.c compares with ffmpeg.
 */
#include "unit/bitstream/tools.h"

#include "base/fault.h"
#include "base/buf.h"
#include "bitstream/bitstream.h"

static vpi_range *ranges;
static size_t count, cap;

static vp_status slice(vpi_slicer *s, blob sample, vp_error *err)
{
    uint8_t *copy = exact_copy(sample.data, sample.size);
    count = 0;
    vp_error_init(err);
    vp_status st = vpi_slicer_sample(s, copy, sample.size, &ranges, &count, &cap, err);
    assert_true(st >= 0 || (count == 0 && err->status == st && err->reason[0] && err->message[0]));
    size_t from = 1;
    for (size_t i = 0; i < count; i++) {
        assert_true(ranges[i].size > 0 && ranges[i].at >= from);
        assert_true(ranges[i].at <= sample.size && ranges[i].size <= sample.size - ranges[i].at);
        from = ranges[i].at + ranges[i].size;
    }
    free(copy);
    return st;
}

static vpi_slicer *open_slicer(vpi_slicer_codec codec, const void *config, size_t size)
{
    vpi_slicer *s = NULL;
    vp_error err = VP_ERROR_INIT;
    uint8_t *copy = exact_copy(config, size);
    if (vpi_slicer_new(codec, copy, size, &s, &err) != VP_OK) fail_msg("%s", err.message);
    free(copy);
    return s;
}

static void append(blob *to, const void *data, size_t size)
{
    to->data = realloc(to->data, to->size + size);
    assert_non_null(to->data);
    if (size) memcpy(to->data + to->size, data, size);
    to->size += size;
}

/* A NAL unit with its length of four bytes; frees nal. */
static void append_nal(blob *to, blob nal)
{
    uint8_t length[4] = { 0, 0, (uint8_t)(nal.size >> 8), (uint8_t)nal.size };
    append(to, length, 4);
    append(to, nal.data, nal.size);
    free(nal.data);
}

static bit_writer w;
#define START() (w.bits = 0)
#define U(count_, value) put(&w, count_, value)
#define UE(value) put_ue(&w, value)
#define SE(value) put_se(&w, value)

/* ---- HEVC ---- */

static const uint8_t hvcc_head[23] = { [0] = 1, [21] = 3 }; /* no arrays */

typedef struct hevc_case {
    bool screen, lists, weights, tiles, dependent, extension, tall;
} hevc_case;

/* 3 reference sets, the second and third predicted; 2 long-term pictures; 64 x 64 in blocks of 16. */
static blob hevc_sps(const hevc_case *c)
{
    START();
    U(16, 0x4201);
    U(4, 0), U(3, 0), U(1, 1);
    U(32, 0x01600000), U(32, 0), U(24, 0), U(8, 60);
    UE(3), UE(1), UE(64), UE(c->tall ? 32768 : 64), U(1, 0), UE(0), UE(0);
    UE(4), U(1, 1), UE(4), UE(0), UE(0); /* order counts of 8 bits */
    UE(0), UE(1), UE(0), UE(0), UE(0), UE(0);
    U(1, 0), U(1, 0), U(1, 1), U(1, 0); /* with SAO */
    UE(3);
    UE(2), UE(1), UE(0), U(1, 1), UE(1), U(1, 0), UE(0), U(1, 1); /* -1 used, -3, +1 used */
    /* From it with -1: -2 from -1, -4 from -3, 0 from +1 is gone, -1 the set's own picture. */
    U(1, 1), U(1, 1), UE(0), U(1, 1), U(1, 1), U(1, 1), U(1, 1);
    /* From that with +2: 0 from -2 is gone, -2 from -4 left out, +1 from -1 used, +2 used. */
    U(1, 1), U(1, 0), UE(1), U(1, 1), U(1, 1), U(1, 0), U(1, 0), U(1, 1);
    U(1, 1), UE(2), U(8, 17), U(1, 1), U(8, 18), U(1, 0); /* long-term, the first used */
    U(1, 1), U(1, 0), U(1, 0);
    U(1, c->screen);
    if (c->screen) {
        U(8, 0x10); /* sps_scc_extension_flag */
        U(1, 1), U(1, 0), U(2, 2), U(1, 0);
    }
    put_stop(&w);
    return escaped(&w);
}

static blob hevc_pps(const hevc_case *c)
{
    START();
    U(16, 0x4401);
    UE(5), UE(3), U(1, c->dependent), U(1, 1), U(3, 2), U(1, 0), U(1, 1);
    UE(1), UE(0), SE(0), U(1, 0), U(1, 0), U(1, 0), SE(0), SE(0), U(1, 1);
    U(1, c->weights), U(1, c->weights), U(1, 0), U(1, c->tiles), U(1, c->tall);
    if (c->tiles) UE(1), UE(1), U(1, 1), U(1, 1);
    U(1, 1), U(1, 1), U(1, 1), U(1, 1); /* deblocking: overridden, else off */
    U(1, 0), U(1, c->lists), UE(0), U(1, c->extension);
    U(1, c->screen);
    if (c->screen) {
        U(8, 0x10);
        U(1, 1), U(1, 1), U(1, 1), SE(0), SE(0), SE(0), U(1, 0); /* current picture, offsets of slices */
    }
    put_stop(&w);
    return escaped(&w);
}

static void hevc_tail(const hevc_case *c)
{
    if (c->tiles) UE(2), UE(6), U(7, 3), U(7, 4);
    if (c->tall) UE(1500), UE(23);
    for (unsigned i = 0; c->tall && i < 1500; i++) U(24, i);
    if (c->extension) UE(3), U(24, 0);
}

/* Writes a B slice that names reference set `set`; total: pictures that it may use. */
static void hevc_b_slice(const hevc_case *c, unsigned set, unsigned total)
{
    START();
    U(16, 0x0201);
    U(1, 1), UE(5), U(2, 0), UE(0), U(1, 1); /* first, parameter set, reserved bits, B, output */
    U(8, 9), U(1, 1), U(2, set);
    UE(1), UE(1), U(1, 0), U(1, 0), U(8, 33), U(1, 0), U(1, 1),
        UE(6);             /* long-term: listed first, own not used */
    U(1, 1);               /* temporal prediction */
    U(1, 1), U(1, 0);      /* SAO */
    U(1, 1), UE(3), UE(0); /* 4 and 1 references */
    unsigned bits = total > 4 ? 3 : total > 2 ? 2 : 1;
    if (c->lists) {
        U(1, 1);
        for (unsigned i = 0; i < 4; i++) U(bits, i == 1 ? total - 1 : 0);
        U(1, 0);
    }
    U(1, 0), U(1, 0), U(1, 1), UE(2); /* mvd_l1_zero, cabac_init, collocated in list 0 */
    if (c->weights) {
        UE(7), SE(-1);
        /* With the picture itself as the last of all: entry 1 of list 0 is it. */
        unsigned told = c->screen ? 3 : 4;
        for (unsigned i = 0; i < told; i++) U(1, i == 0);
        for (unsigned i = 0; i < told; i++) U(1, i == 1);
        SE(3), SE(-4);
        SE(1), SE(2), SE(3), SE(-100);
        U(1, 1), U(1, 0), SE(0), SE(5);
    }
    UE(4);
    if (c->screen) U(1, 1);
    SE(-3), SE(1), SE(-1);
    if (c->screen) SE(0), SE(1), SE(2);
    U(1, 1), U(1, 0), SE(2), SE(-2); /* deblocking on */
    U(1, 1);
    hevc_tail(c);
}

/* Ends a header, adds slice data that begins with zeros; *head: coded bytes of the header. */
static blob with_data(size_t *head)
{
    put_stop(&w);
    size_t plain = w.bits / 8;
    static const uint8_t data[] = { 0, 0, 0, 1, 2, 3, 0, 0, 2, 9, 0x80 };
    for (size_t i = 0; i < sizeof(data); i++) U(8, data[i]);
    blob nal = escaped(&w);
    /* Of what the escaping added, count what stands before the data. */
    size_t at = 0, zeros = 0, seen = 0;
    for (; seen < plain; at++) {
        bool added = zeros >= 2 && nal.data[at] == 3;
        zeros = added || nal.data[at] ? 0 : zeros + 1;
        seen += !added;
    }
    *head = at;
    return nal;
}

static void check_hevc(const hevc_case *c, unsigned set, unsigned total)
{
    vpi_slicer *s = open_slicer(VPI_SLICER_HEVC, hvcc_head, sizeof(hvcc_head));
    vp_error err = VP_ERROR_INIT;
    blob sample = { 0 };
    size_t head[2];
    static const uint8_t sei[] = { 0x4e, 1, 5, 1, 7, 0x80 }, rpu[] = { 0x7c, 1, 1, 2, 3, 0x80 };
    append_nal(&sample, hevc_sps(c));
    append_nal(&sample, hevc_pps(c));
    append_nal(&sample, (blob){ exact_copy(sei, sizeof(sei)), sizeof(sei) });
    hevc_b_slice(c, set, total);
    blob nal = with_data(&head[0]);
    size_t at = sample.size + 4, size = nal.size, second = 0, second_size = 0;
    append_nal(&sample, nal);
    if (c->dependent) {
        START();
        U(16, 0x0201);
        U(1, 0), UE(5), U(1, 1), U(4, 7);
        hevc_tail(c);
        nal = with_data(&head[1]);
        second = sample.size + 4;
        second_size = nal.size;
        append_nal(&sample, nal);
    }
    hevc_b_slice(c, set, total);
    nal = with_data(&head[1]);
    nal.data[1] |= 8; /* nuh_layer_id 1 */
    append_nal(&sample, nal);
    append_nal(&sample, (blob){ exact_copy(rpu, sizeof(rpu)), sizeof(rpu) });
    if (slice(s, sample, &err) != VP_OK) fail_msg("%s", err.message);
    assert_int_equal(count, c->dependent ? 2 : 1);
    assert_int_equal(ranges[0].at, at + head[0]);
    assert_int_equal(ranges[0].at + ranges[0].size, at + size);
    if (c->dependent) assert_int_equal(ranges[1].at + ranges[1].size, second + second_size);
    vpi_slicer_free(s);
    free(sample.data);
}

static void test_hevc_headers(void **state)
{
    (void)state;
    /* Used of set 0: 2, of 1: 3, of 2: 2; one of the long-term pictures. */
    static const unsigned used[] = { 2, 3, 2 };
    for (unsigned set = 0; set < 3; set++) {
        for (unsigned flags = 0; flags < 64; flags++) {
            hevc_case c = { flags & 1, flags & 2, flags & 4, flags & 8, flags & 16, flags & 32, false };
            if (c.screen && !c.lists) continue;
            check_hevc(&c, set, used[set] + 1 + c.screen);
        }
    }
}

/* A header of more bytes than are looked at first. */
static void test_hevc_long_header(void **state)
{
    (void)state;
    hevc_case c = { .tall = true, .weights = true };
    check_hevc(&c, 0, 3);
}

/* Without told entries the list repeats, and its last is the picture itself where not all fit (8.3.4). */
static void test_hevc_current_picture(void **state)
{
    (void)state;
    hevc_case c = { .screen = true, .weights = true };
    vpi_slicer *s = open_slicer(VPI_SLICER_HEVC, hvcc_head, sizeof(hvcc_head));
    vp_error err = VP_ERROR_INIT;
    blob sets = { 0 };
    append_nal(&sets, hevc_sps(&c));
    append_nal(&sets, hevc_pps(&c));
    assert_int_equal(slice(s, sets, &err), VP_OK);
    /* 1: the only one of an IDR picture; 3: too few; 5: entries 3 of 2 + 1 + 1; 9: entries 3 and 7 */
    for (uint32_t refs = 1; refs <= 9; refs += 2) {
        bool idr = refs == 1;
        uint32_t told = idr ? 0 : refs == 3 ? 2 : refs < 8 ? refs - 1 : refs - 2;
        blob sample = { 0 };
        size_t head;
        START();
        U(16, idr ? 0x2601 : 0x0201);
        U(1, 1);
        if (idr) U(1, 0);
        UE(5), U(2, 0), UE(1), U(1, 1); /* a P slice */
        if (!idr) U(8, 9), U(1, 1), U(2, 0), UE(1), UE(0), U(1, 0), U(1, 0), U(1, 0);
        U(2, 0), U(1, 1), UE(refs - 1), U(1, 0);
        UE(0), SE(0);
        for (uint32_t i = 0; i < 2 * told; i++) U(1, 0);
        UE(0), U(1, 0), SE(0), SE(0), SE(0), SE(0), SE(0), SE(0), U(1, 0);
        blob nal = with_data(&head);
        size_t size = nal.size;
        append_nal(&sample, nal);
        if (slice(s, sample, &err) != VP_OK) fail_msg("%u: %s", refs, err.message);
        assert_int_equal(ranges[0].at, 4 + head);
        assert_int_equal(ranges[0].size, size - head);
        free(sample.data);
    }
    vpi_slicer_free(s);
    free(sets.data);
}

/* ---- H.264 ---- */

static void test_h264_units(void **state)
{
    (void)state;
    /* 64 x 64, order count type 2, deblocking told */
    START();
    U(24, 0x6742c0), U(8, 10);
    UE(0), UE(0), UE(2), UE(1), U(1, 0), UE(3), UE(3), U(1, 1), U(1, 1), U(1, 0), U(1, 0);
    put_stop(&w);
    blob sps = escaped(&w);
    START();
    U(8, 0x68);
    UE(0), UE(0), U(1, 0), U(1, 0), UE(0), UE(0), UE(0), U(3, 0), SE(0), SE(0), SE(0), U(1, 1), U(1, 0),
        U(1, 0);
    put_stop(&w);
    blob pps = escaped(&w);
    vpi_nal sets[2] = { { sps.data, sps.size }, { pps.data, pps.size } };
    vpi_buf config = { 0 };
    vp_error err = VP_ERROR_INIT;
    assert_int_equal(vpi_avcc_write(&sets[0], 1, &sets[1], 1, &config, &err), VP_OK);
    vpi_slicer *s = open_slicer(VPI_SLICER_H264, config.data, config.size);
    blob sample = { 0 };
    append_nal(&sample, exact_hex("09 10"));
    append_nal(&sample, exact_hex("06 05 01 07 80"));
    append_nal(&sample, exact_hex("")); /* empty units are nothing */
    START();
    U(8, 0x65);
    UE(0), UE(7), UE(0), U(4, 0), UE(3), U(2, 0), SE(2), UE(1);
    size_t head = (w.bits + 7) / 8, at = sample.size + 4;
    put_stop(&w);
    U(24, 0x010203);
    append_nal(&sample, escaped(&w));
    append_nal(&sample, exact_hex("0c ff ff 80"));
    if (slice(s, sample, &err) != VP_OK) fail_msg("%s", err.message);
    assert_int_equal(count, 1);
    assert_int_equal(ranges[0].at, at + head);
    /* Data partitions are not read; a length past the end; a slice of an unknown set. */
    blob bad = { 0 };
    append_nal(&bad, exact_hex("22 88 80"));
    assert_int_equal(slice(s, bad, &err), VP_E_UNSUPPORTED);
    assert_string_equal(err.reason, "CODEC_UNSUPPORTED");
    bad.data[3]++;
    assert_int_equal(slice(s, bad, &err), VP_E_DATA);
    assert_string_equal(err.reason, "INPUT_CORRUPT");
    free(bad.data);
    bad = (blob){ 0 };
    append_nal(&bad, exact_hex("65 88 45 80 00"));
    assert_int_equal(slice(s, bad, &err), VP_E_DATA);
    free(bad.data);
    vpi_slicer_free(s);
    vpi_buf_dispose(&config);
    free(sps.data);
    free(pps.data);
    free(sample.data);
}

/* ---- AV1 ---- */

static void append_obu(blob *to, unsigned type, const void *data, size_t size)
{
    uint8_t head[3] = { (uint8_t)(type << 3 | 2), (uint8_t)(size | 0x80), (uint8_t)(size >> 7) };
    append(to, head, 3);
    append(to, data, size);
}

static const uint8_t av1c_head[4] = { 0x81, 0, 0, 0 };

/* 256 x 64, profile 0, blocks of 64, no order hints; reduced: a still picture. */
static void av1_sequence(blob *to, bool reduced)
{
    START();
    U(3, 0), U(1, reduced), U(1, reduced);
    if (reduced) {
        U(5, 0);
    } else {
        U(1, 0), U(1, 0), U(5, 0), U(12, 0), U(5, 0);
    }
    U(4, 7), U(4, 7), U(8, 255), U(8, 63);
    if (!reduced) U(1, 0);
    U(3, 0);
    if (!reduced) U(4, 0), U(1, 0), U(1, 0), U(1, 0);
    U(3, 0);                            /* superres, CDEF, restoration */
    U(1, 0), U(1, 0), U(1, 0), U(1, 0); /* 8 bits, colour */
    U(2, 0), U(1, 0), U(1, 0);
    put_stop(&w);
    append_obu(to, VPI_OBU_SEQUENCE, w.data, w.bits / 8);
}

/* From uniform_tile_spacing_flag on: 4 tiles in a row, sizes of 2 bytes. */
static void av1_rest(bool intra)
{
    U(1, 1), U(2, 3), U(2, 3), U(2, 1);
    U(8, 100), U(1, 0), U(1, 0), U(1, 0), U(1, 0); /* quantizer */
    U(1, 0), U(1, 0);                              /* segments, delta_q */
    U(12, 0), U(3, 0), U(1, 0);                    /* loop filter */
    U(1, 0);
    if (!intra) U(1, 0);
    U(1, 0);
    if (!intra) U(7, 0);
}

static void test_av1_tiles(void **state)
{
    (void)state;
    vpi_slicer *s = open_slicer(VPI_SLICER_AV1, av1c_head, sizeof(av1c_head));
    vp_error err = VP_ERROR_INIT;
    blob sample = { 0 };
    uint8_t header[64];
    av1_sequence(&sample, false);
    START();
    U(4, 1), U(4, 0); /* shown key frame; CDF updates, no sizes */
    av1_rest(true);
    put_stop(&w);
    size_t header_size = w.bits / 8;
    memcpy(header, w.data, header_size);
    append_obu(&sample, VPI_OBU_HEADER, header, header_size);
    /* Tiles 0 to 2, of 3, 2 and the remaining 4 bytes; then a copy of the header; then tile 3 alone. */
    static const uint8_t group[] = { 0x80 | 0 << 5 | 2 << 3, 2, 0, 9, 9, 9, 1, 0, 8, 8, 7, 7, 7, 7 };
    size_t first = sample.size + 3;
    append_obu(&sample, 4, group, sizeof(group));
    append_obu(&sample, 7, header, header_size);
    static const uint8_t last[] = { 0x80 | 3 << 5 | 3 << 3, 6, 6 };
    size_t second = sample.size + 3;
    append_obu(&sample, 4, last, sizeof(last));
    if (slice(s, sample, &err) != VP_OK) fail_msg("%s", err.message);
    assert_int_equal(count, 4);
    const size_t want[4][2] = { { first + 3, 3 }, { first + 8, 2 }, { first + 10, 4 }, { second + 1, 2 } };
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(ranges[i].at, want[i][0]);
        assert_int_equal(ranges[i].size, want[i][1]);
    }
    /* Shown again: no tiles. Then one that refers to it, in one OBU without a size. */
    static const uint8_t again[] = { 0x88 };
    blob next = { 0 };
    append_obu(&next, VPI_OBU_HEADER, again, 1);
    assert_int_equal(slice(s, next, &err), VP_OK);
    assert_int_equal(count, 0);
    START();
    U(8, VPI_OBU_FRAME << 3);
    U(1, 0), U(2, 1), U(1, 1), U(3, 0), U(3, 7), U(8, 1);
    for (unsigned i = 0; i < 7; i++) U(3, i);
    U(1, 0), U(1, 0), U(1, 1), U(1, 0), U(1, 0); /* sizes, motion vectors, filter, mode, CDF update */
    av1_rest(false);
    while (w.bits % 8) U(1, 0);
    U(8, 0); /* all tiles */
    for (unsigned i = 0; i < 3; i++) U(8, 0), U(8, 0), U(8, 5);
    U(16, 0x0505);
    append(&next, w.data, w.bits / 8);
    if (slice(s, next, &err) != VP_OK) fail_msg("%s", err.message);
    assert_int_equal(count, 4);
    assert_int_equal(ranges[3].at + ranges[3].size, next.size);
    assert_int_equal(ranges[3].size, 2);
    assert_int_equal(ranges[2].at + 1, ranges[3].at);
    free(sample.data);
    free(next.data);
    vpi_slicer_free(s);
}

static void test_av1_refused(void **state)
{
    (void)state;
    vp_error err = VP_ERROR_INIT;
    static const uint8_t key[] = { 0x10, 0 }, shown[] = { 0x88 };
    static const struct {
        unsigned type;
        const uint8_t *data;
        size_t size;
        bool sequence;
        vp_status status;
    } rows[] = {
        { VPI_OBU_FRAME, key, 2, false, VP_E_DATA },
        { 4, key, 2, true, VP_E_DATA },
        { 7, key, 2, true, VP_E_DATA },
        { 8, key, 2, true, VP_E_UNSUPPORTED },
        { VPI_OBU_HEADER, shown, 1, true, VP_E_DATA },
        { VPI_OBU_FRAME, key, 2, true, VP_E_DATA },
        { VPI_OBU_PADDING, key, 2, true, VP_OK },
    };
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        vpi_slicer *s = open_slicer(VPI_SLICER_AV1, av1c_head, sizeof(av1c_head));
        blob sample = { 0 };
        if (rows[i].sequence) av1_sequence(&sample, false);
        append_obu(&sample, rows[i].type, rows[i].data, rows[i].size);
        assert_int_equal(slice(s, sample, &err), rows[i].status);
        free(sample.data);
        vpi_slicer_free(s);
    }
    /* A still picture with the short header: its sequence header is in av1C. */
    blob config = { 0 }, sample = { 0 };
    append(&config, av1c_head, sizeof(av1c_head));
    av1_sequence(&config, true);
    vpi_slicer *s = open_slicer(VPI_SLICER_AV1, config.data, config.size);
    START();
    U(1, 0), U(1, 0), U(1, 0); /* disable_cdf_update, screen content, render size */
    av1_rest(true);
    while (w.bits % 8) U(1, 0);
    U(8, 0);
    for (unsigned i = 0; i < 4; i++) U(16, 0), U(8, 1);
    append_obu(&sample, VPI_OBU_FRAME, w.data, w.bits / 8);
    if (slice(s, sample, &err) != VP_OK) fail_msg("%s", err.message);
    assert_int_equal(count, 4);
    vpi_slicer_free(s);
    free(config.data);
    free(sample.data);
}

/* ---- all ---- */

static void test_configs(void **state)
{
    (void)state;
    vpi_slicer *s;
    vp_error err = VP_ERROR_INIT;
    for (int codec = 0; codec < 4; codec++) {
        vp_error_init(&err);
        vp_status st = vpi_slicer_new((vpi_slicer_codec)codec, "\0\0\0\0\0\0\0", 7, &s, &err);
        assert_int_equal(st, codec == 3 ? VP_E_UNSUPPORTED : VP_E_DATA);
        assert_null(s);
    }
    vpi_slicer_free(NULL);
}

static vpi_slicer *victim;

static void take(const uint8_t *data, size_t size)
{
    vp_error err = VP_ERROR_INIT;
    slice(victim, (blob){ (uint8_t *)data, size }, &err);
}

static void test_hostile(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags < 64; flags += 9) {
        hevc_case c = { flags & 1, flags & 2, flags & 4, flags & 8, flags & 16, flags & 32, false };
        blob sample = { 0 };
        size_t head;
        victim = open_slicer(VPI_SLICER_HEVC, hvcc_head, sizeof(hvcc_head));
        append_nal(&sample, hevc_sps(&c));
        append_nal(&sample, hevc_pps(&c));
        hevc_b_slice(&c, 1, 4 + c.screen);
        append_nal(&sample, with_data(&head));
        torture(sample.data, sample.size, 20000, take);
        vpi_slicer_free(victim);
        free(sample.data);
    }
    blob sample = { 0 };
    victim = open_slicer(VPI_SLICER_AV1, av1c_head, sizeof(av1c_head));
    av1_sequence(&sample, false);
    START();
    U(4, 1), U(4, 0);
    av1_rest(true);
    while (w.bits % 8) U(1, 0);
    U(8, 0);
    for (unsigned i = 0; i < 4; i++) U(16, 0), U(8, 1);
    append_obu(&sample, VPI_OBU_FRAME, w.data, w.bits / 8);
    torture(sample.data, sample.size, 100000, take);
    vpi_slicer_free(victim);
    free(sample.data);
}

static void test_no_memory(void **state)
{
    (void)state;
    hevc_case c = { .tiles = true };
    blob sample = { 0 };
    size_t head;
    append_nal(&sample, hevc_sps(&c));
    append_nal(&sample, hevc_pps(&c));
    hevc_b_slice(&c, 0, 3);
    append_nal(&sample, with_data(&head));
    vp_status st = VP_E_NOMEM;
    for (long n = 1; st != VP_OK; n++) {
        vpi_range *own = NULL;
        size_t own_count = 0, own_cap = 0;
        vpi_slicer *s = NULL;
        vp_error err = VP_ERROR_INIT;
        atomic_store(&vpi_alloc_fail_at, n);
        st = vpi_slicer_new(VPI_SLICER_HEVC, hvcc_head, sizeof(hvcc_head), &s, &err);
        if (st == VP_OK)
            st = vpi_slicer_sample(s, sample.data, sample.size, &own, &own_count, &own_cap, &err);
        atomic_store(&vpi_alloc_fail_at, 0);
        assert_true(st == VP_OK || st == VP_E_NOMEM);
        assert_true(n < 20);
        vpi_slicer_free(s);
        vpi_free(own);
    }
    free(sample.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hevc_headers),     cmocka_unit_test(test_hevc_current_picture),
        cmocka_unit_test(test_hevc_long_header), cmocka_unit_test(test_h264_units),
        cmocka_unit_test(test_av1_tiles),        cmocka_unit_test(test_av1_refused),
        cmocka_unit_test(test_configs),          cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_no_memory),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    vpi_free(ranges);
    return failed;
}
