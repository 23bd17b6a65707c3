/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams of x264 and of real files. ffmpeg's trace_headers filter prints every syntax element of every header
 * with its bit position: an independent reader to compare with, to the bit. ffprobe tells sizes and frame types.
 */
#include "unit/bitstream/tools.h"

#include "bitstream/bitstream.h"

#define MAX_SLICES 4096u

/* One header as ffmpeg reads it: lines "position name bits = value" from at on, up to end. */
typedef struct traced {
    const char *at, *end;
    size_t bits; /* where the last element ends */
} traced;

/* Value of an element, or fallback where the header has none of that name. */
static int64_t element(const traced *t, const char *name, int64_t fallback)
{
    char wanted[96];
    snprintf(wanted, sizeof(wanted), " %s ", name);
    const char *at = memmem(t->at, (size_t)(t->end - t->at), wanted, strlen(wanted));
    if (!at) return fallback;
    return strtoll(strstr(at, " = ") + 3, NULL, 10);
}

/* Next header with that title after *at. */
static bool next_traced(const char **at, const char *title, traced *out)
{
    size_t length = strlen(title);
    for (const char *line = *at; *line; line = strchr(line, '\n') + 1) {
        const char *text = strstr(line, "] ");
        if (!text || text > strchr(line, '\n')) continue;
        if (strncmp(text + 2, title, length) != 0 || text[2 + length] != '\n') continue;
        line = strchr(line, '\n') + 1;
        *out = (traced){ line, line, 0 };
        for (;;) {
            size_t position;
            char name[96], bits[96];
            text = strstr(line, "] ");
            if (!text || sscanf(text + 2, "%zu %95s %95[01] =", &position, name, bits) != 3) break;
            line = strchr(line, '\n') + 1;
            out->end = line;
            /* belongs to slice_data (7.3.4) */
            if (strcmp(name, "cabac_alignment_one_bit") != 0) out->bits = position + strlen(bits);
        }
        *at = line;
        return true;
    }
    *at += strlen(*at);
    return false;
}

typedef struct stream {
    blob bytes;
    char *trace, *types;
    vpi_h264_sps sps[32];
    vpi_h264_pps pps[256];
    bool has_sps[32], has_pps[256];
    unsigned idrs, pictures, slices, weighted, fields;
    unsigned kinds[5];
} stream;

static void check_sps(stream *s, const vpi_nal *nal, const traced *t)
{
    vpi_h264_sps p;
    vp_error err = VP_ERROR_INIT;
    if (vpi_h264_sps_parse(nal, &p, &err) != VP_OK) fail_msg("SPS: %s", err.message);
    assert_int_equal(p.profile_idc, element(t, "profile_idc", -1));
    assert_int_equal(p.level_idc, element(t, "level_idc", -1));
    assert_int_equal(p.constraints >> 6 & 1, element(t, "constraint_set1_flag", -1));
    assert_int_equal(p.id, element(t, "seq_parameter_set_id", -1));
    assert_int_equal(p.chroma_format_idc, element(t, "chroma_format_idc", 1));
    assert_int_equal(p.bit_depth_luma, 8 + element(t, "bit_depth_luma_minus8", 0));
    assert_int_equal(p.log2_max_frame_num, 4 + element(t, "log2_max_frame_num_minus4", -1));
    assert_int_equal(p.poc_type, element(t, "pic_order_cnt_type", -1));
    assert_int_equal(p.max_ref_frames, element(t, "max_num_ref_frames", -1));
    assert_int_equal(p.mb_width, 1 + element(t, "pic_width_in_mbs_minus1", -1));
    assert_int_equal(p.frame_mbs_only, element(t, "frame_mbs_only_flag", -1));
    assert_int_equal(p.has_vui, element(t, "vui_parameters_present_flag", -1));
    assert_int_equal(p.full_range, element(t, "video_full_range_flag", 0));
    assert_int_equal(p.primaries, element(t, "colour_primaries", 2));
    assert_int_equal(p.transfer, element(t, "transfer_characteristics", 2));
    assert_int_equal(p.matrix, element(t, "matrix_coefficients", 2));
    assert_int_equal(p.num_units_in_tick, element(t, "num_units_in_tick", 0));
    assert_int_equal(p.time_scale, element(t, "time_scale", 0));
    assert_int_equal(p.fixed_frame_rate, element(t, "fixed_frame_rate_flag", 0));
    assert_int_equal(p.has_reorder, element(t, "bitstream_restriction_flag", 0));
    assert_int_equal(p.max_reorder_frames, element(t, "max_num_reorder_frames", 0));
    assert_int_equal(p.max_dec_frame_buffering, element(t, "max_dec_frame_buffering", 0));
    if (element(t, "aspect_ratio_idc", 0) == 255) {
        assert_int_equal(p.sar_num, element(t, "sar_width", -1));
        assert_int_equal(p.sar_den, element(t, "sar_height", -1));
    }
    assert_true(p.id < 32);
    s->sps[p.id] = p;
    s->has_sps[p.id] = true;
}

static void check_pps(stream *s, const vpi_nal *nal, const traced *t)
{
    vpi_h264_pps p;
    vp_error err = VP_ERROR_INIT;
    int64_t sps_id = element(t, "seq_parameter_set_id", -1);
    assert_true(sps_id >= 0 && sps_id < 32 && s->has_sps[sps_id]);
    if (vpi_h264_pps_parse(nal, &s->sps[sps_id], &p, &err) != VP_OK) fail_msg("PPS: %s", err.message);
    assert_int_equal(p.id, element(t, "pic_parameter_set_id", -1));
    assert_int_equal(p.sps_id, sps_id);
    assert_int_equal(p.cabac, element(t, "entropy_coding_mode_flag", -1));
    assert_int_equal(p.bottom_field_order, element(t, "bottom_field_pic_order_in_frame_present_flag", -1));
    assert_int_equal(p.refs_l0, 1 + element(t, "num_ref_idx_l0_default_active_minus1", -1));
    assert_int_equal(p.refs_l1, 1 + element(t, "num_ref_idx_l1_default_active_minus1", -1));
    assert_int_equal(p.weighted_pred, element(t, "weighted_pred_flag", -1));
    assert_int_equal(p.weighted_bipred_idc, element(t, "weighted_bipred_idc", -1));
    assert_int_equal(p.deblocking_control, element(t, "deblocking_filter_control_present_flag", -1));
    s->pps[p.id] = p;
    s->has_pps[p.id] = true;
}

static void check_slice(stream *s, const vpi_nal *nal, const traced *t)
{
    vpi_h264_slice p;
    vp_error err = VP_ERROR_INIT;
    uint8_t id = 0;
    assert_int_equal(vpi_h264_slice_pps_id(nal, &id, NULL), VP_OK);
    assert_true(s->has_pps[id]);
    if (vpi_h264_slice_parse(nal, &s->sps[s->pps[id].sps_id], &s->pps[id], &p, &err) != VP_OK) {
        fail_msg("slice %u: %s", s->slices, err.message);
    }
    assert_int_equal(p.first_mb, element(t, "first_mb_in_slice", -1));
    assert_int_equal(p.type, element(t, "slice_type", -1));
    assert_int_equal(p.pps_id, element(t, "pic_parameter_set_id", -1));
    assert_int_equal(p.frame_num, element(t, "frame_num", -1));
    assert_int_equal(p.idr_pic_id, element(t, "idr_pic_id", 0));
    assert_int_equal(p.poc_lsb, element(t, "pic_order_cnt_lsb", 0));
    assert_int_equal(p.field_pic, element(t, "field_pic_flag", 0));
    assert_int_equal(p.bottom_field, element(t, "bottom_field_flag", 0));
    assert_int_equal(p.idr, element(t, "nal_unit_type", -1) == 5);
    assert_int_equal(p.header_bits, t->bits);
    uint8_t *plain = malloc(nal->size);
    vpi_nal head = { nal->data, p.header_bytes_escaped };
    assert_true(head.size <= nal->size);
    assert_int_equal(vpi_nal_unescape(&head, plain), (t->bits + 7) / 8);
    free(plain);

    if (p.first_mb == 0 && !p.bottom_field) {
        /* Types in coded order from ffprobe; a picture of several slices is told by its first. */
        char want = s->types[s->pictures++], got = "PBIPI"[p.type % 5];
        if (want != got) fail_msg("picture %u is %c, not %c", s->pictures - 1, got, want);
        s->idrs += p.idr;
    }
    s->kinds[p.type % 5]++;
    s->fields += p.field_pic;
    s->weighted += element(t, "luma_log2_weight_denom", -1) >= 0;
    s->slices++;
}

/* Frame types by the number of their packet: ffprobe gives them in display order. */
static char *coded_types(const char *text)
{
    char *types = calloc(1, MAX_SLICES + 1);
    assert_non_null(types);
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char type;
        unsigned number;
        if (sscanf(line, "%u,%c", &number, &type) == 2 && number < MAX_SLICES) types[number] = type;
    }
    return types;
}

/* Reads tools_dir/NAME (Annex B) with our reader and with ffmpeg's. */
static stream check_stream(const char *name)
{
    static stream s;
    memset(&s, 0, sizeof(s));
    s.bytes = read_file(name);
    run("ffmpeg -hide_banner -nostats -v info -f h264 -i %s -c copy -bsf:v trace_headers -f null - "
        ">trace.txt 2>&1",
        name);
    /* FFmpeg 7 does not tell the coded number of a picture: each packet's number goes along as its time. */
    run("ffmpeg -v error -y -f h264 -i %s -c copy -bsf:v setts=ts=N -f nut numbered.nut && "
        "ffprobe -v error -show_entries frame=pts,pict_type -of csv=p=0 numbered.nut >types.txt",
        name);
    s.trace = read_text("trace.txt");
    char *types = read_text("types.txt");
    s.types = coded_types(types);
    free(types);
    /* The headers that ffmpeg prints before the first packet are its copy, the extradata. */
    const char *sps = strstr(s.trace, "] Packet: ");
    assert_non_null(sps);
    const char *pps = sps, *slice = sps;
    vpi_nal nal;
    traced t;
    size_t at = 0;
    while (vpi_annexb_next(s.bytes.data, s.bytes.size, &at, &nal)) {
        uint8_t *copy = exact_copy(nal.data, nal.size);
        nal.data = copy;
        switch (vpi_h264_type(&nal)) {
        case VPI_H264_SPS:
            assert_true(next_traced(&sps, "Sequence Parameter Set", &t));
            check_sps(&s, &nal, &t);
            break;
        case VPI_H264_PPS:
            assert_true(next_traced(&pps, "Picture Parameter Set", &t));
            check_pps(&s, &nal, &t);
            break;
        case VPI_H264_SLICE:
        case VPI_H264_IDR:
            assert_true(next_traced(&slice, "Slice Header", &t));
            check_slice(&s, &nal, &t);
            break;
        default:
            break;
        }
        free(copy);
    }
    assert_false(next_traced(&slice, "Slice Header", &t));
    assert_int_equal(s.pictures, strlen(s.types));
    free(s.trace);
    free(s.types);
    free(s.bytes.data);
    return s;
}

#define MOVING "-f lavfi -i testsrc2=s=%s:r=25:d=1"
#define FADING "-f lavfi -i testsrc2=s=320x180:r=25:d=2,fade=t=in:d=0.8,fade=t=out:st=1:d=0.9"

static void test_high(void **state)
{
    (void)state;
    run("ffmpeg -v error -y " MOVING
        " -c:v libx264 -pix_fmt yuv420p -x264-params bframes=3:ref=4:weightp=2:keyint=12"
        " -f h264 a.264",
        "320x180");
    stream s = check_stream("a.264");
    assert_int_equal(s.sps[0].profile_idc, 100);
    assert_int_equal(s.sps[0].width, 320);
    assert_int_equal(s.sps[0].height, 180);
    assert_int_equal(s.pictures, 25);
    assert_int_equal(s.idrs, 3);
    assert_true(s.kinds[0] > 0 && s.kinds[1] > 0 && s.kinds[2] > 0);
}

static void test_weights(void **state)
{
    (void)state;
    run("ffmpeg -v error -y " FADING
        " -c:v libx264 -pix_fmt yuv420p -x264-params bframes=2:ref=4:weightp=2:cabac=0:8x8dct=0"
        " -profile:v main -f h264 w.264");
    stream s = check_stream("w.264");
    assert_int_equal(s.sps[0].profile_idc, 77);
    assert_false(s.pps[0].cabac);
    assert_true(s.weighted > 5);
}

static void test_baseline(void **state)
{
    (void)state;
    run("ffmpeg -v error -y " MOVING " -c:v libx264 -pix_fmt yuv420p -profile:v baseline -level 3.1"
        " -x264-params ref=2:slices=4:keyint=9 -f h264 b.264",
        "350x202");
    stream s = check_stream("b.264");
    assert_int_equal(s.sps[0].profile_idc, 66);
    assert_int_equal(s.sps[0].level_idc, 31);
    assert_int_equal(s.sps[0].width, 350);
    assert_int_equal(s.sps[0].height, 202);
    assert_int_equal(s.slices, 100);
    assert_int_equal(s.kinds[1], 0);
}

static void test_interlaced(void **state)
{
    (void)state;
    run("ffmpeg -v error -y " MOVING
        " -c:v libx264 -pix_fmt yuv420p -x264-params tff=1:bframes=3:ref=4:b-pyramid=normal"
        " -aspect 16:9 -f h264 i.264",
        "352x288");
    stream s = check_stream("i.264");
    assert_false(s.sps[0].frame_mbs_only);
    assert_true(s.sps[0].mb_adaptive);
    assert_int_equal(s.sps[0].height, 288);
    assert_int_equal(s.sps[0].sar_num, 16);
    assert_int_equal(s.sps[0].sar_den, 11);
    /* Crop units are twice as high here: 180 lines are no multiple of 32. */
    run("ffmpeg -v error -y " MOVING " -c:v libx264 -pix_fmt yuv420p -x264-params bff=1 -f h264 i.264",
        "320x180");
    s = check_stream("i.264");
    assert_int_equal(s.sps[0].width, 320);
    assert_int_equal(s.sps[0].height, 180);
    assert_int_equal(s.sps[0].mb_height, 12);
}

static void test_vui(void **state)
{
    (void)state;
    run("ffmpeg -v error -y " MOVING " -vf setsar=64/45,format=yuv420p,"
        "setparams=range=pc:color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc -c:v libx264"
        " -x264-params nal-hrd=vbr:vbv-maxrate=800:vbv-bufsize=800:force-cfr=1:cqm=jvt:aud=1 -f h264 v.264",
        "320x180");
    stream s = check_stream("v.264");
    assert_true(s.sps[0].full_range);
    assert_int_equal(s.sps[0].primaries, 9);
    assert_int_equal(s.sps[0].transfer, 16);
    assert_int_equal(s.sps[0].matrix, 9);
    assert_int_equal(s.sps[0].sar_num, 64);
    assert_int_equal(s.sps[0].sar_den, 45);
    assert_int_equal(s.sps[0].num_units_in_tick * 50, s.sps[0].time_scale);
}

static void test_formats(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        unsigned chroma, depth, profile;
    } rows[] = {
        { "gray", 0, 8, 100 },    { "yuv420p10le", 1, 10, 110 }, { "yuv422p", 2, 8, 122 },
        { "yuv444p", 3, 8, 244 }, { "yuv444p10le", 3, 10, 244 },
    };
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        run("ffmpeg -v error -y -f lavfi -i testsrc2=s=334x182:r=25:d=0.4,fade=t=in:d=0.3 -c:v libx264 "
            "-pix_fmt %s"
            " -x264-params ref=3:cqm=jvt -f h264 f.264",
            rows[i].format);
        stream s = check_stream("f.264");
        assert_int_equal(s.sps[0].chroma_format_idc, rows[i].chroma);
        assert_int_equal(s.sps[0].bit_depth_luma, rows[i].depth);
        assert_int_equal(s.sps[0].profile_idc, rows[i].profile);
        assert_int_equal(s.sps[0].width, 334);
        assert_int_equal(s.sps[0].height, 182);
    }
}

static void test_probe_agrees(void **state)
{
    (void)state;
    static const char *const sizes[] = { "128x96", "176x144", "426x240", "854x480", "1280x718", "718x1280" };
    for (size_t i = 0; i < VPI_COUNT(sizes); i++) {
        /* Of an elementary stream ffprobe 7 tells the rate of fields. */
        run("ffmpeg -v error -y -f lavfi -i testsrc2=s=%s:r=30000/1001:d=0.1 -c:v libx264 -preset veryfast "
            "-pix_fmt yuv420p p.mp4 && ffmpeg -v error -y -i p.mp4 -c copy p.264",
            sizes[i]);
        run("ffprobe -v error -show_entries stream=width,height,level,r_frame_rate -of csv=p=0 p.mp4 >p.txt");
        stream s = check_stream("p.264");
        char *text = read_text("p.txt");
        unsigned width, height, level, num, den;
        assert_int_equal(sscanf(text, "%u,%u,%u,%u/%u", &width, &height, &level, &num, &den), 5);
        assert_int_equal(s.sps[0].width, width);
        assert_int_equal(s.sps[0].height, height);
        assert_int_equal(s.sps[0].level_idc, level);
        assert_int_equal((uint64_t)s.sps[0].time_scale * den, (uint64_t)s.sps[0].num_units_in_tick * num * 2);
        /* x264 chooses the level by the same table; it looks at frame buffering, not at rates without VBV. */
        vpi_rational rate = { 30000, 1001 };
        assert_int_equal(vpi_h264_level(width, height, rate, 0, 0, s.sps[0].max_dec_frame_buffering, true),
                         level);
        free(text);
    }
}

static void test_shared_clips(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned width, height;
    } rows[] = { { "bbb.mp4", 1280, 720 }, { "car.mp4", 768, 432 } };
    const char *media = shared_media();
    if (!media) skip();
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        run("ffmpeg -v error -y -i '%s/%s' -an -c copy -bsf:v h264_mp4toannexb -t 6 -f h264 s.264", media,
            rows[i].name);
        stream s = check_stream("s.264");
        assert_int_equal(s.sps[0].width, rows[i].width);
        assert_int_equal(s.sps[0].height, rows[i].height);
        assert_true(s.pictures > 50);
    }
}

int main(void)
{
    if (!have_program("ffmpeg") || !have_program("ffprobe") || !have_encoder("libx264")) {
        printf("skipped: no ffmpeg with libx264\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_high),         cmocka_unit_test(test_weights),
        cmocka_unit_test(test_baseline),     cmocka_unit_test(test_interlaced),
        cmocka_unit_test(test_vui),          cmocka_unit_test(test_formats),
        cmocka_unit_test(test_probe_agrees), cmocka_unit_test(test_shared_clips),
    };
    if (tools_open() != 0) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tools_close();
    return failed;
}
