/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What of samples may be encrypted, of streams that encoders make. ffmpeg's trace_headers filter prints every syntax
 * element of every header with its bit position: an independent reader to compare with, to the byte.
 */
#include "unit/bitstream/tools.h"

#include "base/buf.h"
#include "bitstream/bitstream.h"

#define MAX_RANGES 8192u
#define MAX_SETS 64u

typedef struct range_list {
    vpi_range at[MAX_RANGES];
    size_t count;
} range_list;
static range_list wanted;

static void want(size_t at, size_t size)
{
    assert_true(wanted.count < MAX_RANGES);
    if (size) wanted.at[wanted.count++] = (vpi_range){ at, size };
}

/* ---- ffmpeg's trace ---- */

/* One header: its lines "position name bits = value" from at on, up to end; where the last element ends. */
typedef struct traced {
    const char *at, *end;
    size_t bits;
} traced;

/* Value of an element, or fallback where the header has none of that name. */
static int64_t element(const traced *t, const char *name, int64_t fallback)
{
    char text[96];
    snprintf(text, sizeof(text), " %s ", name);
    const char *at = memmem(t->at, (size_t)(t->end - t->at), text, strlen(text));
    return at ? strtoll(strstr(at, " = ") + 3, NULL, 10) : fallback;
}

/* Next header of one of two titles after *at. Of "OBU header" the titles behind, that of its content, belong to it. */
static bool next_traced(const char **at, const char *title, traced *out)
{
    bool obu = strncmp(title, "OBU", 3) == 0, within = false;
    memset(out, 0, sizeof(*out));
    for (const char *line = *at; *line; line = strchr(line, '\n') + 1) {
        const char *text = strstr(line, "] ");
        size_t position;
        char name[96], bits[128];
        if (!text || text > strchr(line, '\n')) continue;
        text += 2;
        bool is_element = sscanf(text, "%zu %95s %127[01] =", &position, name, bits) == 3;
        /* Sizes and the like have no bits of their own in the trace. */
        if (!is_element && sscanf(text, "%zu %95s =", &position, name) == 2) continue;
        if (within && is_element) {
            out->end = strchr(line, '\n') + 1;
            /* belongs to slice_data of H.264 (7.3.4) */
            if (strcmp(name, "cabac_alignment_one_bit") != 0) out->bits = position + strlen(bits);
        } else if (within && (!obu || strncmp(text, "OBU", 3) == 0 || strncmp(text, "Packet", 6) == 0)) {
            *at = line;
            return true;
        } else if (!within && strncmp(text, title, strlen(title)) == 0 && text[strlen(title)] == '\n') {
            within = true;
            out->at = out->end = strchr(line, '\n') + 1;
        }
    }
    *at += strlen(*at);
    return within;
}

/* The trace of a file from its first packet on; free *text. */
static const char *trace_of(const char *format, const char *name, char **text)
{
    run("ffmpeg -hide_banner -nostats -v info -f %s -i %s -c copy -bsf:v trace_headers -f null - >trace.txt "
        "2>&1",
        format, name);
    *text = read_text("trace.txt");
    const char *at = strstr(*text, "] Packet: ");
    assert_non_null(at);
    return at;
}

/* ---- our reader ---- */

static vpi_range *ranges;
static size_t count, cap;

static void compare(const char *name)
{
    assert_true(wanted.count > 0);
    for (size_t i = 0; i < VPI_MIN(count, wanted.count); i++) {
        if (ranges[i].at == wanted.at[i].at && ranges[i].size == wanted.at[i].size) continue;
        fail_msg("%s: range %zu is %zu+%zu, not %zu+%zu", name, i, ranges[i].at, ranges[i].size,
                 wanted.at[i].at, wanted.at[i].size);
    }
    assert_int_equal(count, wanted.count);
}

/* Feeds bytes at `at` of a stream; the ranges are counted from its begin. */
static void feed(vpi_slicer *s, const uint8_t *data, size_t at, size_t size)
{
    vp_error err = VP_ERROR_INIT;
    uint8_t *copy = exact_copy(data + at, size);
    size_t before = count;
    if (vpi_slicer_sample(s, copy, size, &ranges, &count, &cap, &err) != VP_OK) fail_msg("%s", err.message);
    for (size_t i = before; i < count; i++) ranges[i].at += at;
    free(copy);
}

/* A good stream stays in the slicer; what is broken afterwards must do no harm. */
static vpi_slicer *victim;
static void take_broken(const uint8_t *data, size_t size)
{
    vp_error err = VP_ERROR_INIT;
    count = 0;
    vp_status st = vpi_slicer_sample(victim, data, size, &ranges, &count, &cap, &err);
    assert_true(st >= 0 || (count == 0 && err.reason[0]));
    for (size_t i = 0; i < count; i++) {
        assert_true(ranges[i].at <= size && ranges[i].size <= size - ranges[i].at);
    }
}

/* ---- NAL units ---- */

static bool is_slice(const vpi_nal *nal, bool hevc)
{
    unsigned type = hevc ? vpi_hevc_type(nal) : vpi_h264_type(nal);
    if (hevc) return type <= 9 || (type >= 16 && type <= 21);
    return type == 1 || type == 5;
}

/* Coded bytes that hold the first bits of a NAL unit. */
static size_t coded_bytes(const vpi_nal *nal, size_t bits)
{
    size_t at = 0, zeros = 0, seen = 0;
    for (; at < nal->size && seen < (bits + 7) / 8; at++) {
        bool added = zeros >= 2 && nal->data[at] == 3;
        zeros = added || nal->data[at] ? 0 : zeros + 1;
        seen += !added;
    }
    return at;
}

static vpi_slicer *open_config(bool hevc, const vpi_nal *sets, size_t set_count)
{
    vpi_buf config = { 0 };
    vpi_slicer *s = NULL;
    vp_error err = VP_ERROR_INIT;
    vp_status st;
    if (hevc) {
        st = vpi_hvcc_write(sets, set_count, &config, &err);
    } else {
        st = vpi_avcc_write(sets, 1, sets + 1, set_count - 1, &config, &err);
    }
    if (st != VP_OK) fail_msg("%s", err.message);
    if (vpi_slicer_new(hevc ? VPI_SLICER_HEVC : VPI_SLICER_H264, config.data, config.size, &s, &err) !=
        VP_OK) {
        fail_msg("%s", err.message);
    }
    vpi_buf_dispose(&config);
    return s;
}

/* Compares tools_dir/NAME, an Annex B stream; the number of its slices. */
static size_t check_nals(const char *name, bool hevc)
{
    blob bytes = read_file(name), stream = { malloc(2 * bytes.size + 4), 0 };
    vpi_nal nal, sets[MAX_SETS];
    size_t at = 0, set_count = 0;
    char *text;
    const char *trace = trace_of(hevc ? "hevc" : "h264", name, &text);
    traced t;
    wanted.count = count = 0;
    while (vpi_annexb_next(bytes.data, bytes.size, &at, &nal)) {
        unsigned type = hevc ? vpi_hevc_type(&nal) : vpi_h264_type(&nal);
        bool set = hevc ? type >= VPI_HEVC_VPS && type <= VPI_HEVC_PPS
                        : type == VPI_H264_SPS || type == VPI_H264_PPS;
        if (set && wanted.count == 0 && set_count < MAX_SETS) sets[set_count++] = nal;
        for (unsigned i = 0; i < 4; i++) stream.data[stream.size++] = (uint8_t)(nal.size >> (24 - 8 * i));
        if (is_slice(&nal, hevc)) {
            assert_true(next_traced(&trace, hevc ? "Slice Segment Header" : "Slice Header", &t));
            size_t head = coded_bytes(&nal, t.bits);
            want(stream.size + head, nal.size - head);
        }
        memcpy(stream.data + stream.size, nal.data, nal.size);
        stream.size += nal.size;
    }
    assert_false(next_traced(&trace, hevc ? "Slice Segment Header" : "Slice Header", &t));
    vpi_slicer *s = open_config(hevc, sets, set_count);
    feed(s, stream.data, 0, stream.size);
    compare(name);
    victim = s;
    size_t start = ranges[0].at - VPI_MIN(ranges[0].at, 60u);
    torture(stream.data + start, VPI_MIN(stream.size - start, 400u), 2000, take_broken);
    vpi_slicer_free(s);
    free(text);
    free(stream.data);
    free(bytes.data);
    return wanted.count;
}

#define SOURCE "ffmpeg -v error -y -threads 1 -f lavfi -i testsrc2=s=320x180:r=25:d=0.8,fade=t=in:d=0.5 "

static void test_h264(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "yuv420p -x264-params slices=3:bframes=2:ref=4:weightp=2",
        "yuv420p -x264-params cabac=0:slice-max-size=400:ref=3",
        "yuv420p -x264-params tff=1:bframes=2:ref=3",
        "yuv420p -profile:v baseline -x264-params slices=2:keyint=5:repeat-headers=1",
        "yuv444p -x264-params ref=4",
        "gray -x264-params intra-refresh=1:aud=1",
    };
    if (!have_encoder("libx264")) skip();
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        run(SOURCE "-c:v libx264 -preset fast -pix_fmt %s -f h264 a.264", rows[i]);
        assert_true(check_nals("a.264", false) >= 20);
    }
}

static void test_hevc(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "yuv420p -x265-params log-level=none:pools=1:slices=3:ctu=16:wpp=1:bframes=3:weightp=1:weightb=1",
        "yuv420p10le -x265-params log-level=none:pools=1:no-wpp=1:ref=4:tskip=1:scaling-list=default",
        "yuv444p -x265-params log-level=none:pools=1:no-deblock=1:cbqpoffs=2:repeat-headers=1:keyint=6:aud=1",
        "yuv420p -x265-params log-level=none:pools=1:multi-pass-opt-rps=1:pass=1:stats=rps.log:bframes=3",
        "yuv420p -x265-params log-level=none:pools=1:hrd=1:vbv-maxrate=400:vbv-bufsize=400:temporal-layers=1",
    };
    if (!have_encoder("libx265")) skip();
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        run(SOURCE "-c:v libx265 -preset ultrafast -pix_fmt %s -f hevc a.265", rows[i]);
        assert_true(check_nals("a.265", true) >= 20);
    }
}

/* ---- AV1 ---- */

/* The tiles of one OBU: data from its first byte on, header_bits: up to where ffmpeg read. tiles: of a frame. */
static void want_tiles(const vpi_obu *obu, const uint8_t *stream, const traced *t, unsigned tiles,
                       unsigned size_bytes)
{
    size_t at = (t->bits + 7) / 8;
    int64_t first = element(t, "tg_start", 0), last = element(t, "tg_end", tiles - 1);
    for (int64_t i = first; i <= last; i++) {
        size_t size = obu->size - at;
        if (i < last) {
            size = 1;
            for (unsigned k = 0; k < size_bytes; k++) size += (size_t)obu->data[at + k] << (8 * k);
            at += size_bytes;
        }
        want((size_t)(obu->data - stream) + at, size);
        at += size;
    }
    assert_int_equal(at, obu->size);
}

/* Compares tools_dir/a.obu, frames of which have so many tiles; the number of frame headers. */
static unsigned check_av1(const char *what, unsigned tiles)
{
    blob bytes = read_file("a.obu");
    vpi_buf config = { 0 };
    vpi_slicer *s = NULL;
    vp_error err = VP_ERROR_INIT;
    vpi_obu obu = { 0 };
    size_t at = 0, begin = 0;
    unsigned frames = 0, size_bytes = 0;
    char *text;
    const char *trace = trace_of("obu", "a.obu", &text);
    traced t;
    assert_int_equal(vpi_av1c_write(bytes.data, bytes.size, &config, &err), VP_OK);
    assert_int_equal(vpi_slicer_new(VPI_SLICER_AV1, config.data, config.size, &s, &err), VP_OK);
    wanted.count = count = 0;
    while (at < bytes.size) {
        size_t start = at;
        assert_int_equal(vpi_obu_next(bytes.data, bytes.size, &at, &obu, &err), VP_OK);
        assert_true(next_traced(&trace, "OBU header", &t));
        assert_int_equal(element(&t, "obu_type", -1), obu.type);
        if (obu.type == VPI_OBU_DELIMITER && start > begin) {
            feed(s, bytes.data, begin, start - begin);
            begin = start;
        }
        frames += obu.type == VPI_OBU_HEADER || obu.type == VPI_OBU_FRAME;
        int64_t told = element(&t, "tile_size_bytes_minus1", -1);
        if (told >= 0) size_bytes = (unsigned)told + 1;
        if (obu.type == 4 || obu.type == VPI_OBU_FRAME) want_tiles(&obu, bytes.data, &t, tiles, size_bytes);
    }
    feed(s, bytes.data, begin, bytes.size - begin);
    compare(what);
    victim = s;
    torture(bytes.data, VPI_MIN(bytes.size, 400u), 2000, take_broken);
    vpi_slicer_free(s);
    vpi_buf_dispose(&config);
    free(text);
    free(bytes.data);
    return frames;
}

static void test_av1(void **state)
{
    (void)state;
    static const struct {
        const char *encoder, *arguments;
        unsigned tiles; /* of a frame */
    } rows[] = {
        { "libaom-av1", "yuv420p -cpu-used 8 -g 8 -tile-columns 1 -tile-rows 1", 4 },
        { "libaom-av1", "yuv420p -cpu-used 8 -error-resilience default -aom-params enable-order-hint=0", 1 },
        { "libaom-av1", "yuv420p -cpu-used 8 -aom-params film-grain-test=3:sb-size=64", 1 },
        { "libaom-av1", "yuv420p -cpu-used 4 -crf 20 -aom-params enable-restoration=1:cdf-update-mode=0", 1 },
        { "libaom-av1",
          "yuv420p -cpu-used 8 -tile-columns 1 -tile-rows 1 -aom-params num-tile-groups=3:enable-qm=1", 4 },
        { "libaom-av1",
          "yuv420p10le -cpu-used 8 -aom-params film-grain-test=10:aq-mode=1:reduced-tx-type-set=1", 1 },
        { "libaom-av1", "yuv444p -cpu-used 8 -aom-params tune-content=screen:lossless=1", 1 },
        { "libaom-av1", "gray -cpu-used 8 -aom-params deltaq-mode=2:delta-lf-mode=1:timing-info=model", 1 },
        { "libsvtav1", "yuv420p -preset 10 -svtav1-params superres-mode=1:superres-denom=12", 1 },
        { "libsvtav1", "yuv420p -preset 10 -g 6 -svtav1-params film-grain=20:irefresh-type=1", 1 },
        { "librav1e", "yuv420p -rav1e-params speed=10:low_latency=true:switch_frame_interval=3", 1 },
    };
    char command[1024];
    unsigned tried = 0, failed = 0;

    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        if (!have_encoder(rows[i].encoder)) continue;
        tried++;
        snprintf(command, sizeof(command),
                 SOURCE "-c:v %s -frames:v 14 -pix_fmt %s -f obu a.obu >encoder.log 2>&1", rows[i].encoder,
                 rows[i].arguments);
        if (!runs_well(command)) {
            /* libaom 3.12 ends itself with several tile groups. */
            fprintf(stderr, "left out, its encoder failed: %s\n", command);
            failed++;
            continue;
        }
        assert_true(check_av1(rows[i].arguments, rows[i].tiles) >= 14);
    }
    assert_true(failed <= 1 || failed < tried / 4);
}

static void test_shared_clips(void **state)
{
    (void)state;
    static const char *const names[] = { "bbb.mp4", "car.mp4" };
    const char *media = shared_media();
    if (!media) skip();
    for (size_t i = 0; i < VPI_COUNT(names); i++) {
        run("ffmpeg -v error -y -i '%s/%s' -an -c copy -bsf:v h264_mp4toannexb -t 6 -f h264 s.264", media,
            names[i]);
        assert_true(check_nals("s.264", false) > 50);
    }
}

int main(void)
{
    if (!have_program("ffmpeg")) {
        printf("skipped: no ffmpeg\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_h264),
        cmocka_unit_test(test_hevc),
        cmocka_unit_test(test_av1),
        cmocka_unit_test(test_shared_clips),
    };
    if (tools_open() != 0) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tools_close();
    vpi_free(ranges);
    return failed;
}
