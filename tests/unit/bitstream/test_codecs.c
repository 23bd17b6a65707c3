/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* AAC, HEVC, AV1, VP9 and AC-3 configurations from byte vectors, and codec strings. */
#include "unit/bitstream/tools.h"

#include "base/buf.h"
#include "bitstream/bitstream.h"

/* Made by libx265 and libaom through ffmpeg 5.1. */
#define HVCC_HEAD "01 01 60000000 900000000000 3c f000fcfdf8f800000f"
#define HEVC_SPS "42010101600000030090000003000003003ca00a080b9f796566924caf016808000003000800000300c840"
#define AV1C_PLAIN "81000c000a0b000000043cfeccdaf90040"
#define AV1C_PQ "81004c000a0e000000043cfeccdaf95091009840"

static vp_status asc_hex(const char *hex, vpi_asc *out)
{
    blob b = exact_hex(hex);
    vp_status st = vpi_asc_parse(b.data, b.size, out, NULL);
    free(b.data);
    return st;
}

static void test_asc(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        unsigned object_type, core, rate, ext_rate, channels, frame;
        bool sbr, ps;
    } rows[] = {
        { "1190", 2, 2, 48000, 0, 2, 1024, false, false },
        { "1210", 2, 2, 44100, 0, 2, 1024, false, false },
        { "1194", 2, 2, 48000, 0, 2, 960, false, false },
        { "11b0", 2, 2, 48000, 0, 6, 1024, false, false },
        { "11b8", 2, 2, 48000, 0, 8, 1024, false, false },
        { "17805dc090", 2, 2, 48001, 0, 2, 1024, false, false }, /* a rate without index */
        { "2b920800", 5, 2, 22050, 44100, 2, 1024, true, false },
        { "eb8a0800", 29, 2, 22050, 44100, 1, 1024, true, true },
        { "131056e598", 2, 2, 24000, 48000, 2, 1024, true, false }, /* signalled behind the config */
        { "131056e59d4880", 2, 2, 24000, 48000, 2, 1024, true, true },
        { "131056e500", 2, 2, 24000, 0, 2, 1024, false, false }, /* sbrPresentFlag 0 */
        { "f9464300", 42, 42, 48000, 0, 2, 768, false, false },  /* xHE-AAC */
        { "f9464320", 42, 42, 48000, 0, 2, 1024, false, false },
    };
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        vpi_asc a;
        if (asc_hex(rows[i].hex, &a) != VP_OK) fail_msg("%s is refused", rows[i].hex);
        assert_int_equal(a.object_type, rows[i].object_type);
        assert_int_equal(a.core_object_type, rows[i].core);
        assert_int_equal(a.sample_rate, rows[i].rate);
        assert_int_equal(a.ext_sample_rate, rows[i].ext_rate);
        assert_int_equal(a.channels, rows[i].channels);
        assert_int_equal(a.frame_samples, rows[i].frame);
        assert_int_equal(a.sbr, rows[i].sbr);
        assert_int_equal(a.ps, rows[i].ps);
    }
    static const char *const broken[] = { "", "12", "0210", "1690", "1710", "178000", "178000000010", "2b" };
    vpi_asc a;
    for (size_t i = 0; i < VPI_COUNT(broken); i++) {
        if (asc_hex(broken[i], &a) != VP_E_DATA) fail_msg("%s is taken", broken[i]);
    }
}

static void test_program_config(void **state)
{
    (void)state;
    bit_writer w = { .bits = 0 };
    put(&w, 5, 2);
    put(&w, 4, 3);
    put(&w, 4, 0);
    put(&w, 3, 0);
    put(&w, 10, 3);     /* tag, object type, rate */
    put(&w, 12, 0x201); /* two front, no side, one back element */
    put(&w, 2, 1);
    put(&w, 7, 1 << 4 | 2); /* one data element, two coupling ones */
    put(&w, 3, 0);
    put(&w, 5, 0);  /* centre */
    put(&w, 5, 16); /* left and right */
    put(&w, 5, 17);
    put(&w, 4, 0);
    put(&w, 4, 0);
    put(&w, 10, 0);
    while (w.bits % 8) put(&w, 1, 0);
    put(&w, 8, 3);
    put(&w, 24, 0x616263);
    put(&w, 11, 0x2b7); /* what follows is found */
    put(&w, 5, 5);
    put(&w, 5, 0x10);
    size_t size = (w.bits + 7) / 8;
    for (size_t n = 0; n <= size; n++) {
        uint8_t *p = exact_copy(w.data, n);
        vpi_asc a;
        vp_status st = vpi_asc_parse(p, n, &a, NULL);
        assert_int_equal(st, n >= 2 ? VP_OK : VP_E_DATA);
        if (st == VP_OK) {
            bool whole = n >= size - 3; /* less the three bytes of the extension */
            assert_int_equal(a.channel_config, 0);
            assert_int_equal(a.channels, whole ? 6 : 0);
            assert_int_equal(a.ext_sample_rate, n == size ? 96000 : 0);
        }
        free(p);
    }
}

static void test_adts(void **state)
{
    (void)state;
    static const uint32_t rates[] = { 96000, 88200, 64000, 48000, 44100, 32000, 24000,
                                      22050, 16000, 12000, 11025, 8000,  7350 };
    uint8_t asc[2], adts[7];
    vpi_asc a, b;
    size_t header, frame;
    for (size_t i = 0; i < VPI_COUNT(rates); i++) {
        for (unsigned channels = 0; channels <= 9; channels++) {
            bool can = channels >= 1 && channels <= 8 && channels != 7;
            assert_int_equal(vpi_asc_write_lc(rates[i], channels, asc), can);
            if (!can) continue;
            assert_int_equal(vpi_asc_parse(asc, 2, &a, NULL), VP_OK);
            assert_int_equal(a.object_type, 2);
            assert_int_equal(a.sample_rate, rates[i]);
            assert_int_equal(a.channels, channels);
            for (size_t payload = 0; payload <= 8184; payload += 341) {
                assert_true(vpi_adts_write(&a, payload, adts));
                assert_int_equal(vpi_adts_parse(adts, 7, &b, &header, &frame, NULL), VP_OK);
                assert_int_equal(header, 7);
                assert_int_equal(frame, payload + 7);
                assert_int_equal(b.object_type, 2);
                assert_int_equal(b.sample_rate, rates[i]);
                assert_int_equal(b.channels, channels);
            }
            assert_false(vpi_adts_write(&a, 8185, adts));
        }
    }
    assert_false(vpi_asc_write_lc(44000, 2, asc));
    /* The very bytes that ffmpeg writes for 48 kHz stereo and 100 bytes of payload */
    assert_int_equal(asc_hex("1190", &a), VP_OK);
    assert_true(vpi_adts_write(&a, 100, adts));
    assert_memory_equal(adts, "\xff\xf1\x4c\x80\x0d\x7f\xfc", 7);
    /* What ADTS cannot say */
    assert_int_equal(asc_hex("1194", &a), VP_OK);
    assert_false(vpi_adts_write(&a, 100, adts));
    assert_int_equal(asc_hex("17805dc090", &a), VP_OK);
    assert_false(vpi_adts_write(&a, 100, adts));
    assert_int_equal(asc_hex("f9464320", &a), VP_OK);
    assert_false(vpi_adts_write(&a, 100, adts));
    assert_int_equal(asc_hex("2b920800", &a), VP_OK); /* the core of HE-AAC, SBR is implicit */
    assert_true(vpi_adts_write(&a, 100, adts));
    assert_int_equal(vpi_adts_parse(adts, 7, &b, &header, &frame, NULL), VP_OK);
    assert_int_equal(b.sample_rate, 22050);

    static const struct {
        const char *hex;
        vp_status status;
    } rows[] = {
        { "fff14c800d7ffc", VP_OK },
        { "fff04c800d7ffc", VP_OK },
        { "fff94c800d7ffc", VP_OK },
        { "fff14c800d7f", VP_E_DATA },
        { "fef14c800d7ffc", VP_E_DATA },
        { "fff34c800d7ffc", VP_E_DATA },
        { "fff17c800d7ffc", VP_E_DATA },
        { "fff14c8000dffc", VP_E_DATA },
        { "fff04c80011ffc", VP_E_DATA },
        { "", VP_E_DATA },
        { "fff14c800d7ffd", VP_E_UNSUPPORTED },
    };
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        blob bytes = exact_hex(rows[i].hex);
        assert_int_equal(vpi_adts_parse(bytes.data, bytes.size, &a, &header, &frame, NULL), rows[i].status);
        if (rows[i].status == VP_OK) assert_int_equal(header, bytes.data[1] & 1 ? 7 : 9);
        free(bytes.data);
    }
}

static void test_asc_sbr(void **state)
{
    uint8_t out[7];
    size_t size;
    vpi_asc a, b;
    (void)state;
    assert_int_equal(asc_hex("1310", &a), VP_OK);
    assert_true(vpi_asc_write_sbr(&a, false, out, &size));
    assert_int_equal(size, 5);
    assert_memory_equal(out, "\x13\x10\x56\xe5\x98", 5);
    assert_true(vpi_asc_write_sbr(&a, true, out, &size));
    assert_int_equal(size, 7);
    assert_int_equal(vpi_asc_parse(out, size, &b, NULL), VP_OK);
    assert_true(b.sbr && b.ps && b.ext_sample_rate == 48000 && b.object_type == 2);
    assert_int_equal(asc_hex("1314", &a), VP_OK); /* frames of 960 */
    assert_false(vpi_asc_write_sbr(&a, false, out, &size));
    assert_int_equal(asc_hex("1010", &a), VP_OK); /* 96 kHz */
    assert_false(vpi_asc_write_sbr(&a, false, out, &size));
}

static void test_adts_config(void **state)
{
    /* 59 bits for 8 channels, alignment, a comment of 3 bytes */
    static const char element[] = "04c84800 2000c640 034c6176";
    uint8_t frame[64] = { 0xff, 0xf1, 0x4c, 0x00, 0, 0, 0xfc }, out[VPI_ASC_MAX];
    blob e = exact_hex(element);
    bit_writer w = { .bits = 0 };
    vpi_asc a;
    (void)state;
    put(&w, 3, 5); /* ID_PCE; the element itself is not aligned here */
    size_t plain = e.size - 4;
    for (size_t i = 0; i < plain; i++) put(&w, 8, e.data[i]);
    w.bits -= 3;
    for (size_t i = plain; i < e.size; i++) put(&w, 8, e.data[i]);
    put(&w, 3, 7);
    size_t size = 7 + (w.bits + 7) / 8;
    frame[4] = (uint8_t)(size >> 3);
    frame[5] = (uint8_t)((size & 7) << 5 | 0x1f);
    memcpy(frame + 7, w.data, size - 7);
    size_t n = vpi_adts_config(frame, size, out);
    assert_int_equal(n, 2 + e.size);
    assert_memory_equal(out + 2, e.data, e.size);
    assert_int_equal(vpi_asc_parse(out, n, &a, NULL), VP_OK);
    assert_true(a.object_type == 2 && a.sample_rate == 48000 && a.channels == 8);
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *p = exact_copy(frame, cut);
        assert_int_equal(vpi_adts_config(p, cut, out), 0);
        free(p);
    }
    frame[7] = 0; /* begins with a single channel element */
    assert_int_equal(vpi_adts_config(frame, size, out), 0);
    frame[3] = 0x80; /* stereo */
    assert_int_equal(vpi_adts_config(frame, size, out), 2);
    assert_memory_equal(out, "\x11\x90", 2);
    free(e.data);
}

static void test_hevc(void **state)
{
    (void)state;
    vpi_hevc_ptl p;
    uint8_t length_size;
    blob sps = exact_hex(HEVC_SPS);
    vpi_nal nal = { sps.data, sps.size };
    assert_int_equal(vpi_hevc_sps_parse(&nal, &p, NULL), VP_OK);
    assert_int_equal(p.profile_idc, 1);
    assert_int_equal(p.compatibility, 0x60000000);
    assert_int_equal(p.constraints[0], 0x90);
    assert_int_equal(p.level_idc, 60);
    assert_int_equal(p.chroma_format_idc, 1);
    assert_int_equal(p.bit_depth, 8);
    assert_int_equal(p.width, 320);
    assert_int_equal(p.height, 180);
    sps.data[0] |= 1; /* a layer above 31 */
    assert_int_equal(vpi_hevc_sps_parse(&nal, &p, NULL), VP_E_DATA);
    free(sps.data);

    blob c = exact_hex(HVCC_HEAD "01 a1 0001 002b" HEVC_SPS);
    for (size_t n = 0; n <= c.size; n++) {
        uint8_t *cut = exact_copy(c.data, n);
        assert_int_equal(vpi_hvcc_parse(cut, n, &p, &length_size, NULL), n == c.size ? VP_OK : VP_E_DATA);
        free(cut);
    }
    assert_int_equal(vpi_hvcc_parse(c.data, c.size, &p, &length_size, NULL), VP_OK);
    assert_int_equal(length_size, 4);
    assert_int_equal(p.width, 320);
    assert_int_equal(p.height, 180);
    assert_int_equal(p.level_idc, 60);
    free(c.data);
    /* Without arrays the size is not known; the rest is. */
    c = exact_hex(HVCC_HEAD "00");
    assert_int_equal(vpi_hvcc_parse(c.data, c.size, &p, &length_size, NULL), VP_OK);
    assert_int_equal(p.width, 0);
    assert_int_equal(p.bit_depth, 8);
    free(c.data);

    /* Sub-layers: their profiles and levels lie between the general one and the size. */
    bit_writer w = { .bits = 0 };
    put(&w, 16, 0x4201);
    put(&w, 8, 2 << 1 | 1); /* three sub-layers */
    put(&w, 8, 0x22);
    put(&w, 32, 0x20000000);
    put(&w, 32, 0xb0000000);
    put(&w, 16, 0);
    put(&w, 8, 153);
    put(&w, 16, 0xe000 & 0xd000); /* 11 00, then six reserved pairs */
    for (unsigned i = 0; i < 88 + 8; i += 8) put(&w, 8, 0xff);
    put_ue(&w, 0);
    put_ue(&w, 1);
    put_ue(&w, 3840);
    put_ue(&w, 2176);
    put(&w, 1, 1);
    put_ue(&w, 0);
    put_ue(&w, 0);
    put_ue(&w, 0);
    put_ue(&w, 8);
    put_ue(&w, 2);
    put_ue(&w, 2);
    blob made = escaped(&w);
    nal = (vpi_nal){ made.data, made.size };
    assert_int_equal(vpi_hevc_sps_parse(&nal, &p, NULL), VP_OK);
    assert_int_equal(p.tier, 1);
    assert_int_equal(p.profile_idc, 2);
    assert_int_equal(p.level_idc, 153);
    assert_int_equal(p.width, 3840);
    assert_int_equal(p.height, 2160);
    assert_int_equal(p.bit_depth, 10);
    free(made.data);
}

typedef vp_status (*codecs_fn)(const void *, size_t, char[VPI_CODECS_SIZE], vp_error *);

static void test_strings(void **state)
{
    (void)state;
    static const struct {
        codecs_fn fn;
        const char *hex, *text;
    } rows[] = {
        { vpi_codecs_avc, "0164001fffe0", NULL },
        { vpi_codecs_avc, "0164001fffe000", "avc1.64001f" },
        { vpi_codecs_avc, "014d4028ffe000", "avc1.4d4028" },
        { vpi_codecs_avc, "0142c00affe000", "avc1.42c00a" },
        { vpi_codecs_avc, "0264001fffe000", NULL },
        { vpi_codecs_hevc, "01 01 60000000 b00000000000 5d f000fcfdf8f800000f 00", "hvc1.1.6.L93.B0" },
        { vpi_codecs_hevc, "01 02 20000000 b00000000000 99 f000fcfdfafa00000f 00", "hvc1.2.4.L153.B0" },
        { vpi_codecs_hevc, "01 22 20000000 b00000000000 99 f000fcfdfafa00000f 00", "hvc1.2.4.H153.B0" },
        { vpi_codecs_hevc, "01 04 08000000 9d0800000000 78 f000fcfdfafa00000f 00", "hvc1.4.10.L120.9D.8" },
        { vpi_codecs_hevc, "01 41 60000000 000000000001 5d f000fcfdf8f800000f 00",
          "hvc1.A1.6.L93.0.0.0.0.0.1" },
        { vpi_codecs_hevc, "01 c1 ffffffff ffffffffffff ff f000fcfdf8f800000f 00",
          "hvc1.C1.FFFFFFFF.L255.FF.FF.FF.FF.FF.FF" },
        { vpi_codecs_hevc, "01 01 60000000 000000000000 5d f000fcfdf8f800000f 00", "hvc1.1.6.L93" },
        { vpi_codecs_av1, "81040c00", "av01.0.04M.08" },
        { vpi_codecs_av1, "810dcc00", "av01.0.13H.10" },
        { vpi_codecs_av1, AV1C_PLAIN, "av01.0.00M.08" },
        { vpi_codecs_av1, AV1C_PQ, "av01.0.00M.10.0.110.09.16.09.1" },
        { vpi_codecs_av1, "81241000", "av01.1.04M.08.1.000.02.02.02.0" },
        { vpi_codecs_av1, "81446800", "av01.2.04M.12.0.100.02.02.02.0" },
        { vpi_codecs_av1, "81040c000a0b0000", NULL }, /* an OBU that is cut off */
        { vpi_codecs_av1, "01040c00", NULL },
        { vpi_codecs_vp9, "000a80020202 0000", "vp09.00.10.08" },
        { vpi_codecs_vp9, "000a82010101 0000", "vp09.00.10.08" },
        { vpi_codecs_vp9, "0233a2091009 0000", "vp09.02.51.10.01.09.16.09.00" },
        { vpi_codecs_vp9, "011f87020202 0000", "vp09.01.31.08.03.02.02.02.01" },
        { vpi_codecs_vp9, "000a8002020200", NULL },
        { vpi_codecs_vp9, "000a900202020000", NULL },
        { vpi_codecs_aac, "1190", "mp4a.40.2" },
        { vpi_codecs_aac, "2b920800", "mp4a.40.5" },
        { vpi_codecs_aac, "eb8a0800", "mp4a.40.29" },
        { vpi_codecs_aac, "f9464320", "mp4a.40.42" },
        { vpi_codecs_aac, "131056e598", "mp4a.40.5" }, /* signalled behind the config */
        { vpi_codecs_aac, "130856e59d4880", "mp4a.40.29" },
        { vpi_codecs_aac, "131056e500", "mp4a.40.2" },
        { vpi_codecs_aac, "", NULL },
    };
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        blob b = exact_hex(rows[i].hex);
        char text[VPI_CODECS_SIZE];
        vp_error err = VP_ERROR_INIT;
        vp_status st = rows[i].fn(b.data, b.size, text, &err);
        if (rows[i].text) {
            if (st != VP_OK) fail_msg("%s: %s", rows[i].hex, err.message);
            assert_string_equal(text, rows[i].text);
        } else {
            assert_int_equal(st, VP_E_DATA);
            assert_string_equal(err.reason, "INPUT_CORRUPT");
            assert_string_equal(text, "");
        }
        free(b.data);
    }
}

/* Bytes that other muxers write for such streams. */
static void test_ac3_config(void **state)
{
    (void)state;
    vpi_ac3 a = {
        .sample_rate = 48000, .bit_rate = 384000, .bsid = 8, .acmod = 7, .lfe = 1, .bit_rate_code = 14
    };
    uint8_t dac3[5], dec3[5];
    assert_int_equal(vpi_ac3_config(&a, dac3), 3);
    assert_memory_equal(dac3, "\x10\x3d\xc0", 3);
    a.eac3 = true;
    a.bsid = 16;
    assert_int_equal(vpi_ac3_config(&a, dec3), 5);
    assert_memory_equal(dec3, "\x0c\x00\x20\x0f\x00", 5);
    a.fscod = 1;
    a.bsmod = 5;
    a.acmod = 2;
    a.lfe = 0;
    a.bit_rate = 255871;
    assert_int_equal(vpi_ac3_config(&a, dec3), 5);
    assert_memory_equal(dec3, "\x08\x00\x60\x54\x00", 5);
}

static void test_ac3(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        bool eac3;
        unsigned rate, bytes, samples, bit_rate, channels, lfe, bsid, acmod;
    } rows[] = {
        { "0b77fe95144043e1", false, 48000, 768, 1536, 192000, 2, 0, 8, 2 },
        { "0b7700001e40e1000000", false, 48000, 1792, 1536, 448000, 6, 1, 8, 7 },
        { "0b7700005540 40", false, 44100, 836, 1536, 192000, 2, 0, 8, 2 },
        { "0b7700005440 40", false, 44100, 834, 1536, 192000, 2, 0, 8, 2 },
        { "0b7700009440 40", false, 32000, 1152, 1536, 192000, 2, 0, 8, 2 },
        { "0b7700001448 40", false, 24000, 768, 1536, 96000, 2, 0, 9, 2 },
        { "0b77022c7f87c000", true, 44100, 1114, 1536, 255871, 6, 1, 16, 7 },
        { "0b7701ff34860000", true, 48000, 1024, 1536, 256000, 2, 0, 16, 2 },
    };
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        blob b = exact_hex(rows[i].hex);
        vpi_ac3 a;
        if (vpi_ac3_parse(b.data, b.size, &a, NULL) != VP_OK) fail_msg("%s is refused", rows[i].hex);
        assert_int_equal(a.eac3, rows[i].eac3);
        assert_int_equal(a.sample_rate, rows[i].rate);
        assert_int_equal(a.frame_bytes, rows[i].bytes);
        assert_int_equal(a.samples, rows[i].samples);
        assert_int_equal(a.bit_rate, rows[i].bit_rate);
        assert_int_equal(a.channels, rows[i].channels);
        assert_int_equal(a.lfe, rows[i].lfe);
        assert_int_equal(a.bsid, rows[i].bsid);
        assert_int_equal(a.acmod, rows[i].acmod);
        for (size_t n = 0; n < 7; n++) {
            uint8_t *cut = exact_copy(b.data, n);
            assert_int_equal(vpi_ac3_parse(cut, n, &a, NULL), VP_E_DATA);
            free(cut);
        }
        free(b.data);
    }
    static const char *const broken[] = { "0b770000d44043", "0b770000264043", "0b7700001488 40",
                                          "0b76fe95144043" };
    for (size_t i = 0; i < VPI_COUNT(broken); i++) {
        blob b = exact_hex(broken[i]);
        vpi_ac3 a;
        assert_int_equal(vpi_ac3_parse(b.data, b.size, &a, NULL), VP_E_DATA);
        free(b.data);
    }
}

/* hvcC from parameter sets in any order, and back. */
static void test_hvcc_write(void **state)
{
    (void)state;
    blob sps = exact_hex(HEVC_SPS), vps = exact_hex("40010c01"), pps = exact_hex("4401c172");
    vpi_nal sets[] = { { pps.data, pps.size }, { sps.data, sps.size }, { vps.data, vps.size } };
    vpi_buf b = { 0 };
    vpi_hvcc hvcc;
    vpi_hevc_ptl p;
    uint8_t length_size;
    assert_int_equal(vpi_hvcc_write(sets, 2, &b, NULL), VP_AGAIN);
    assert_int_equal(b.size, 0);
    assert_int_equal(vpi_hvcc_write(sets, 3, &b, NULL), VP_OK);
    assert_int_equal(vpi_hvcc_parse(b.data, b.size, &p, &length_size, NULL), VP_OK);
    assert_int_equal(length_size, 4);
    assert_int_equal(p.width, 320);
    assert_int_equal(p.height, 180);
    assert_int_equal(p.bit_depth, 8);
    assert_int_equal(vpi_hvcc_sets(b.data, b.size, &hvcc, NULL), VP_OK);
    assert_int_equal(hvcc.count, 3);
    assert_int_equal(vpi_hevc_type(&hvcc.sets[0]), VPI_HEVC_VPS);
    assert_int_equal(vpi_hevc_type(&hvcc.sets[2]), VPI_HEVC_PPS);
    assert_memory_equal(hvcc.sets[1].data, sps.data, sps.size);
    assert_int_equal(b.data[23], 0x80 | VPI_HEVC_VPS);
    b.data[23] &= 0x7f;
    vpi_hvcc_complete(b.data, b.size);
    assert_int_equal(b.data[23], 0x80 | VPI_HEVC_VPS);
    vpi_buf_dispose(&b);
    free(sps.data);
    free(vps.data);
    free(pps.data);
}

static void test_av1_vp9(void **state)
{
    (void)state;
    blob c = exact_hex(AV1C_PLAIN);
    vpi_buf b = { 0 };
    vpi_vp9 v;
    /* the same record from a sample that begins with a temporal delimiter */
    vpi_buf_add(&b, "\x12\x00", 2);
    vpi_buf_add(&b, c.data + 4, c.size - 4);
    vpi_buf again = { 0 };
    assert_int_equal(vpi_av1c_write(b.data, 2, &again, NULL), VP_AGAIN);
    assert_int_equal(vpi_av1c_write(b.data, b.size, &again, NULL), VP_OK);
    assert_int_equal(again.size, c.size);
    assert_memory_equal(again.data, c.data, c.size);
    assert_false(vpi_av1_sync(b.data, b.size)); /* no frame */
    vpi_buf_add(&b, "\x32\x7f\x10", 3);         /* a frame that goes on behind what is there: key, shown */
    assert_true(vpi_av1_sync(b.data, b.size));
    b.data[b.size - 1] = 0x30; /* an inter frame */
    assert_false(vpi_av1_sync(b.data, b.size));
    vpi_buf_dispose(&b);
    vpi_buf_dispose(&again);
    free(c.data);
    static const uint8_t key[] = { 0x82, 0x49, 0x83, 0x42, 0x20, 0x13, 0xf0, 0x0b, 0x34 };
    assert_int_equal(vpi_vp9_parse(key, sizeof(key), &v, NULL), VP_OK);
    assert_true(v.key && v.show && v.subsampling_x && v.subsampling_y);
    assert_int_equal(v.width, 320);
    assert_int_equal(v.height, 180);
    assert_int_equal(v.bit_depth, 8);
    assert_int_equal(vpi_vp9_parse(key, 3, &v, NULL), VP_E_DATA);
    /* show_frame 0 of an inter frame; an existing one is shown; a superframe */
    assert_true(vpi_vp9_shows(key, sizeof(key)));
    assert_false(vpi_vp9_shows((const uint8_t *)"\x84\x00\x00", 3));
    assert_true(vpi_vp9_shows((const uint8_t *)"\x86\x00\x00", 3));
    assert_true(vpi_vp9_shows((const uint8_t *)"\x88\x00\x00", 3));
    assert_true(vpi_vp9_shows((const uint8_t *)"\x84\x00\xc1", 3));
    assert_true(vpi_vp9_shows(NULL, 0)); /* nothing is no reason to leave it out */
    assert_false(vpi_vp8_shows((const uint8_t *)"\x01\x00\x00", 3));
    assert_true(vpi_vp8_shows((const uint8_t *)"\x11\x00\x00", 3));
    assert_true(vpi_vp8_shows((const uint8_t *)"", 0));
    assert_int_equal(vpi_vp9_level(1920 * 1080, (vpi_rational){ 30, 1 }), 40);
    assert_int_equal(vpi_vp9_level(1920 * 1080, (vpi_rational){ 60, 1 }), 41);
    assert_int_equal(vpi_vp9_level(1920 * 1080, (vpi_rational){ 0, 1 }), 40);
}

static void test_sound(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        uint32_t opus, flac;
    } rows[] = {
        { "fcfffe", 960, 0 },
        { "00", 480, 0 },
        { "18", 2880, 0 },
        { "1b03", 0, 0 },
        { "e3 0c", 120 * 12, 0 },
        { "0302", 960, 0 },
        { "fff8c90800 00", 0, 4096 },
        { "fff8690800 31", 0, 50 },
        { "fff8790800 03e700", 0, 1000 },
        { "fff8090800 00", 0, 0 },
        { "", 0, 0 },
    };
    for (size_t i = 0; i < VPI_COUNT(rows); i++) {
        blob b = exact_hex(rows[i].hex);
        if (rows[i].opus || !rows[i].flac) {
            bool flac = b.size && b.data[0] == 0xff;
            if (!flac) assert_int_equal(vpi_opus_samples(b.data, b.size), rows[i].opus);
        }
        assert_int_equal(vpi_flac_samples(b.data, b.size), rows[i].flac);
        free(b.data);
    }
    blob d = exact_hex("00 02 0138 0000bb80 0000 00");
    vpi_sound s;
    assert_int_equal(vpi_dops_parse(d.data, d.size, &s, NULL), VP_OK);
    assert_int_equal(s.pre_skip, 312);
    assert_int_equal(s.channels, 2);
    assert_int_equal(vpi_dops_parse(d.data, d.size - 1, &s, NULL), VP_E_DATA);
    free(d.data);
    d = exact_hex("80000022 1000 1000 000000 000000 0bb802f0 00000000 00000000000000000000000000000000");
    assert_int_equal(vpi_dfla_parse(d.data, d.size, &s, NULL), VP_OK);
    assert_int_equal(s.sample_rate, 48000);
    assert_int_equal(s.channels, 2);
    assert_int_equal(s.frame_samples, 4096);
    free(d.data);
}

/* 7.1: an independent 5.1 substream and a dependent one with the rear pair. */
static void test_dec3(void **state)
{
    (void)state;
    uint8_t frames[64] = { 0x0b, 0x77, 0x00, 0x0f, 0x3f, 0x86 };
    vpi_sound s;
    vpi_buf b = { 0 };
    bit_writer w = { .bits = 0 };
    put(&w, 16, 0x0b77);
    put(&w, 2, 1); /* dependent */
    put(&w, 3, 0);
    put(&w, 11, 15);
    put(&w, 4, 3); /* 48 kHz, six blocks */
    put(&w, 3, 2);
    put(&w, 1, 0);
    put(&w, 5, 16);
    put(&w, 5, 0);
    put(&w, 1, 0);
    put(&w, 1, 1);
    put(&w, 16, 1 << 9); /* Lrs/Rrs */
    put(&w, 8, 0);
    memcpy(frames + 32, w.data, (w.bits + 7) / 8);
    assert_int_equal(vpi_ac3_samples(frames, 64), 1536);
    assert_int_equal(vpi_dec3_write(frames, 64, &b, NULL), VP_OK);
    assert_int_equal(b.size, 2 + 4);
    assert_int_equal(vpi_dec3_parse(b.data, b.size, &s, NULL), VP_OK);
    assert_int_equal(s.channels, 8);
    assert_int_equal(s.sample_rate, 48000);
    assert_int_equal(vpi_dec3_write(frames, 63, &b, NULL), VP_E_DATA);
    vpi_buf_clear(&b);
    assert_int_equal(vpi_dec3_write(frames, 32, &b, NULL), VP_OK);
    assert_int_equal(b.size, 2 + 3);
    assert_int_equal(vpi_dec3_parse(b.data, b.size, &s, NULL), VP_OK);
    assert_int_equal(s.channels, 6);
    vpi_buf_dispose(&b);
}

static void parse_anything(const uint8_t *data, size_t size)
{
    static const codecs_fn fns[] = { vpi_codecs_avc, vpi_codecs_hevc, vpi_codecs_av1, vpi_codecs_vp9,
                                     vpi_codecs_aac };
    char text[VPI_CODECS_SIZE];
    vpi_nal nal = { data, size };
    vpi_hevc_ptl ptl;
    vpi_asc asc;
    vpi_ac3 ac3;
    size_t header, frame;
    for (size_t i = 0; i < VPI_COUNT(fns); i++) {
        fns[i](data, size, text, NULL);
        assert_true(strlen(text) < VPI_CODECS_SIZE);
    }
    vpi_hevc_sps_parse(&nal, &ptl, NULL);
    vpi_adts_parse(data, size, &asc, &header, &frame, NULL);
    vpi_ac3_parse(data, size, &ac3, NULL);
    vpi_buf b = { 0 };
    vpi_hvcc hvcc;
    vpi_vp9 vp9;
    vpi_sound sound;
    vpi_hvcc_sets(data, size, &hvcc, NULL);
    vpi_hvcc_write(&nal, 1, &b, NULL);
    vpi_av1c_write(data, size, &b, NULL);
    vpi_av1_sync(data, size);
    vpi_vp9_parse(data, size, &vp9, NULL);
    vpi_opus_samples(data, size);
    vpi_flac_samples(data, size);
    vpi_ac3_samples(data, size);
    vpi_dac3_write(data, size, &b, NULL);
    vpi_dec3_write(data, size, &b, NULL);
    vpi_dops_parse(data, size, &sound, NULL);
    vpi_dfla_parse(data, size, &sound, NULL);
    vpi_dac3_parse(data, size, &sound, NULL);
    vpi_dec3_parse(data, size, &sound, NULL);
    vpi_buf_dispose(&b);
}

static void test_torture(void **state)
{
    (void)state;
    static const char *const seeds[] = { HVCC_HEAD "01 a1 0001 002b" HEVC_SPS,
                                         HEVC_SPS,
                                         AV1C_PLAIN,
                                         AV1C_PQ,
                                         "000a800202020000",
                                         "131056e59d4880",
                                         "2b920800",
                                         "f9464320",
                                         "fff14c800d7ffc",
                                         "0b77fe95144043e106f4",
                                         "0b77022c7f87c00020f82000020040",
                                         "1180004100000000000000",
                                         "81000c000a0bffffffffffffffff0040" };
    for (size_t i = 0; i < VPI_COUNT(seeds); i++) {
        blob b = exact_hex(seeds[i]);
        torture(b.data, b.size, 20000, parse_anything);
        free(b.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asc),        cmocka_unit_test(test_program_config),
        cmocka_unit_test(test_adts),       cmocka_unit_test(test_hevc),
        cmocka_unit_test(test_strings),    cmocka_unit_test(test_ac3),
        cmocka_unit_test(test_hvcc_write), cmocka_unit_test(test_av1_vp9),
        cmocka_unit_test(test_asc_sbr),    cmocka_unit_test(test_adts_config),
        cmocka_unit_test(test_sound),      cmocka_unit_test(test_dec3),
        cmocka_unit_test(test_ac3_config), cmocka_unit_test(test_torture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
