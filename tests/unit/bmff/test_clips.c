/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fragmented files that ffmpeg makes, compared with what ffprobe says of them; codec strings compared with the
 * MPD that ffmpeg's dash muxer writes over the same streams.
 */
#include "unit/bitstream/tools.h"

#include "bitstream/bitstream.h"
#include "bmff/bmff.h"

#define FLAGS "-video_track_timescale 90000"

typedef struct packet {
    int64_t pts, dts, size;
    bool key;
} packet;

/* Packets of the first stream as ffprobe lists them, in timescale ticks. */
static size_t list_packets(const char *name, packet *to, size_t room)
{
    run("ffprobe -v error -select_streams 0 -show_entries packet=pts,dts,size,flags -of csv=p=0 %s "
        ">packets.txt",
        name);
    char *text = read_text("packets.txt");
    size_t count = 0;
    for (char *line = text; *line && count < room;) {
        packet *p = &to[count];
        char flag;
        if (sscanf(line, "%ld,%ld,%ld,%c", &p->pts, &p->dts, &p->size, &flag) == 4) {
            p->key = flag == 'K';
            count++;
        }
        char *next = strchr(line, '\n');
        if (!next) break;
        line = next + 1;
    }
    free(text);
    return count;
}

/* Walks the fragments and compares each sample with ffprobe's packets. Returns the number of fragments. */
static unsigned check_fragments(const char *name, const vpi_init_info *init)
{
    static packet packets[4096];
    blob b = read_file(name);
    size_t count = list_packets(name, packets, VPI_COUNT(packets)), seen = 0, at = 0;
    unsigned fragments = 0;
    int64_t shift = 0;
    vpi_box box, mdat;
    vp_status st;
    while ((st = vpi_box_next(b.data, b.size, 0, &at, &box, NULL)) == VP_OK) {
        if (box.type != VPI_FOURCC('m', 'o', 'o', 'f')) continue;
        vpi_fragment_info f;
        vp_error err = VP_ERROR_INIT;
        if (vpi_moof_parse(&box, 100000, &f, &err) != VP_OK) fail_msg("%s", err.message);
        assert_int_equal(f.sequence, ++fragments);
        assert_int_equal(f.track_id, init->track_id);
        assert_true(f.has_tfdt);
        uint64_t dts = f.tfdt, bytes = 0;
        size_t next = at;
        assert_int_equal(vpi_box_next(b.data, b.size, 0, &next, &mdat, NULL), VP_OK);
        assert_int_equal(mdat.type, VPI_FOURCC('m', 'd', 'a', 't'));
        assert_true((uint64_t)f.data_offset == box.size + 8);
        for (size_t i = 0; i < f.count; i++, seen++) {
            assert_true(seen < count);
            uint32_t size = f.samples[i].size ? f.samples[i].size : init->trex_size;
            uint32_t flags = f.samples[i].flags ? f.samples[i].flags : init->trex_flags;
            assert_int_equal(size, packets[seen].size);
            assert_true((int64_t)dts == packets[seen].dts);
            /* ffmpeg moves all presentation times so that none is before its decoding time. */
            int64_t pts = (int64_t)dts + f.samples[i].cts;
            if (seen == 0) shift = packets[0].pts - pts;
            assert_true(shift >= 0 && pts + shift == packets[seen].pts);
            assert_int_equal(!(flags >> 16 & 1), packets[seen].key); /* sample_is_non_sync_sample */
            dts += f.samples[i].duration ? f.samples[i].duration : init->trex_duration;
            bytes += size;
        }
        assert_true(bytes == mdat.data_size);
        vpi_fragment_info_dispose(&f);
    }
    assert_int_equal(st, VP_END);
    assert_int_equal(seen, count);
    free(b.data);
    return fragments;
}

static blob kept; /* views of the answer point into it */

static vpi_init_info read_init(const char *name)
{
    vpi_init_info i;
    vp_error err = VP_ERROR_INIT;
    free(kept.data);
    kept = read_file(name);
    if (vpi_init_parse(kept.data, kept.size, &i, &err) != VP_OK) fail_msg("%s: %s", name, err.message);
    return i;
}

static void test_video_fragments(void **state)
{
    (void)state;
    run("ffmpeg -v error -y -f lavfi -i testsrc2=s=320x180:r=25:d=2 -vf setsar=4/3,format=yuv420p,"
        "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709 -c:v libx264 -preset fast -g "
        "20 " FLAGS " -movflags cmaf+write_colr+frag_keyframe+empty_moov -metadata:s:v language=deu v.mp4");
    vpi_init_info i = read_init("v.mp4");
    assert_true(i.brand_iso6);
    assert_int_equal(i.timescale, 90000);
    assert_int_equal(i.handler, VPI_FOURCC('v', 'i', 'd', 'e'));
    assert_string_equal(i.language, "deu");
    assert_int_equal(i.sample_entry, VPI_FOURCC('a', 'v', 'c', '1'));
    assert_int_equal(i.width, 320);
    assert_int_equal(i.height, 180);
    assert_true(i.has_mvex);
    assert_false(i.samples_in_stbl);
    assert_true(i.has_pasp);
    assert_int_equal(i.pasp_h * 3, i.pasp_v * 4);
    assert_true(i.has_colr);
    assert_int_equal(i.colr_primaries, 1);
    assert_int_equal(i.colr_transfer, 1);
    assert_int_equal(i.colr_matrix, 1);
    assert_int_equal(i.tkhd_height, 180u << 16);
    vpi_avcc avcc;
    assert_int_equal(vpi_avcc_parse(i.codec_config, i.codec_config_size, &avcc, NULL), VP_OK);
    vpi_h264_sps sps;
    assert_int_equal(vpi_h264_sps_parse(&avcc.sps[0], &sps, NULL), VP_OK);
    assert_int_equal(sps.width, 320);
    assert_int_equal(sps.sar_num * 3, sps.sar_den * 4);
    /* Our record of the same sets is ffmpeg's, byte for byte. */
    vpi_buf again = { 0 };
    assert_int_equal(vpi_avcc_write(avcc.sps, avcc.sps_count, avcc.pps, avcc.pps_count, &again, NULL), VP_OK);
    assert_int_equal(again.size, i.codec_config_size);
    assert_memory_equal(again.data, i.codec_config, again.size);
    vpi_buf_dispose(&again);
    assert_int_equal(check_fragments("v.mp4", &i), 3);

    /* Not CMAF: with the base offset of old, and a moof-relative one */
    run("ffmpeg -v error -y -i v.mp4 -c copy " FLAGS " -movflags frag_keyframe+empty_moov f.mp4");
    i = read_init("f.mp4");
    assert_int_equal(check_fragments("f.mp4", &i), 3);
    run("ffmpeg -v error -y -i v.mp4 -c copy " FLAGS
        " -movflags frag_keyframe+empty_moov+default_base_moof d.mp4");
    i = read_init("d.mp4");
    assert_int_equal(check_fragments("d.mp4", &i), 3);
    /* With samples in moov */
    run("ffmpeg -v error -y -i v.mp4 -c copy " FLAGS " p.mp4");
    i = read_init("p.mp4");
    assert_true(i.samples_in_stbl);
    assert_false(i.has_mvex);
    assert_true(i.mdhd_duration == 180000);
    /* QuickTime */
    run("ffmpeg -v error -y -i v.mp4 -c copy " FLAGS " q.mov");
    i = read_init("q.mov");
    assert_int_equal(i.major_brand, VPI_FOURCC('q', 't', ' ', ' '));
    assert_int_equal(i.sample_entry, VPI_FOURCC('a', 'v', 'c', '1'));
    assert_non_null(i.codec_config);
}

static void test_audio_fragments(void **state)
{
    (void)state;
    run("ffmpeg -v error -y -f lavfi -i sine=d=2:r=44100 -ac 2 -c:a aac -b:a 64k -movflags cmaf "
        "-frag_duration 500000 a.mp4");
    vpi_init_info i = read_init("a.mp4");
    assert_int_equal(i.handler, VPI_FOURCC('s', 'o', 'u', 'n'));
    assert_int_equal(i.sample_entry, VPI_FOURCC('m', 'p', '4', 'a'));
    assert_int_equal(i.channels, 2);
    assert_int_equal(i.sample_rate, 44100);
    assert_int_equal(i.timescale, 44100);
    vpi_asc asc;
    assert_int_equal(vpi_asc_parse(i.codec_config, i.codec_config_size, &asc, NULL), VP_OK);
    assert_int_equal(asc.object_type, 2);
    assert_int_equal(asc.sample_rate, 44100);
    assert_int_equal(asc.channels, 2);
    assert_true(check_fragments("a.mp4", &i) >= 3);

    run("ffmpeg -v error -y -f lavfi -i sine=d=0.3:r=48000 -ac 6 -c:a aac -b:a 128k m.mov");
    i = read_init("m.mov"); /* QuickTime puts esds into wave */
    assert_int_equal(vpi_asc_parse(i.codec_config, i.codec_config_size, &asc, NULL), VP_OK);
    assert_int_equal(asc.channels, 6);
    assert_int_equal(asc.sample_rate, 48000);
}

/* ADTS and AC-3: headers chain through the whole file and agree with ffprobe's packets. */
static void test_frame_headers(void **state)
{
    (void)state;
    static packet packets[4096];
    run("ffmpeg -v error -y -f lavfi -i sine=d=1:r=48000 -ac 2 -c:a aac -b:a 64k a.aac");
    blob b = read_file("a.aac");
    size_t count = list_packets("a.aac", packets, VPI_COUNT(packets)), at = 0, n = 0;
    for (; at < b.size; n++) {
        vpi_asc asc;
        size_t header, frame;
        uint8_t again[7];
        assert_int_equal(vpi_adts_parse(b.data + at, b.size - at, &asc, &header, &frame, NULL), VP_OK);
        assert_int_equal(asc.sample_rate, 48000);
        assert_int_equal(asc.channels, 2);
        assert_true(n < count);
        assert_int_equal(frame, packets[n].size);
        assert_true(vpi_adts_write(&asc, frame - header, again));
        assert_memory_equal(again, b.data + at, 7);
        at += frame;
    }
    assert_int_equal(at, b.size);
    free(b.data);

    static const struct {
        const char *codec;
        unsigned rate, channels, kbps;
    } rows[] = { { "ac3", 48000, 2, 192 },  { "ac3", 44100, 6, 448 },  { "ac3", 32000, 1, 96 },
                 { "eac3", 48000, 6, 256 }, { "eac3", 44100, 2, 128 }, { "eac3", 32000, 2, 96 } };
    for (size_t k = 0; k < VPI_COUNT(rows); k++) {
        run("ffmpeg -v error -y -f lavfi -i sine=d=1:r=%u -ac %u -c:a %s -b:a %uk a.%s", rows[k].rate,
            rows[k].channels, rows[k].codec, rows[k].kbps, rows[k].codec);
        char name[16];
        snprintf(name, sizeof(name), "a.%s", rows[k].codec);
        b = read_file(name);
        count = list_packets(name, packets, VPI_COUNT(packets));
        for (at = 0, n = 0; at < b.size; n++) {
            vpi_ac3 a;
            assert_int_equal(vpi_ac3_parse(b.data + at, b.size - at, &a, NULL), VP_OK);
            assert_int_equal(a.eac3, rows[k].codec[0] == 'e');
            assert_int_equal(a.sample_rate, rows[k].rate);
            assert_int_equal(a.channels, rows[k].channels);
            assert_int_equal(a.lfe, rows[k].channels == 6);
            assert_int_equal(a.bsmod, 0);
            assert_true(n < count);
            assert_int_equal(a.frame_bytes, packets[n].size);
            assert_true(a.bit_rate > rows[k].kbps * 990 && a.bit_rate < rows[k].kbps * 1010);
            at += a.frame_bytes;
        }
        assert_int_equal(at, b.size);
        free(b.data);
    }
}

/* The codecs attribute that ffmpeg's dash muxer gives the file's stream. */
static void dash_codecs(const char *name, char out[VPI_CODECS_SIZE])
{
    run("ffmpeg -v error -y -i %s -c copy -f dash o.mpd", name);
    char *text = read_text("o.mpd"), *at = strstr(text, "codecs=\"");
    assert_non_null(at);
    at += 8;
    size_t length = strcspn(at, "\"");
    assert_true(length < VPI_CODECS_SIZE);
    memcpy(out, at, length);
    out[length] = 0;
    free(text);
}

typedef vp_status (*codecs_fn)(const void *, size_t, char[VPI_CODECS_SIZE], vp_error *);

static void test_codec_strings(void **state)
{
    (void)state;
    static const struct {
        codecs_fn fn;
        const char *encoder, *options;
        const char *text; /* NULL: as ffmpeg says */
    } rows[] = {
        { vpi_codecs_avc, "libx264", "-pix_fmt yuv420p", NULL },
        { vpi_codecs_avc, "libx264", "-pix_fmt yuv420p -profile:v baseline -level 3.1", NULL },
        { vpi_codecs_avc, "libx264", "-pix_fmt yuv420p -profile:v main -level 4", NULL },
        { vpi_codecs_avc, "libx264", "-pix_fmt yuv420p10le", NULL },
        /* ffmpeg 5.1 writes "hvc1" alone: the vectors are what libx265 codes for these profiles. */
        { vpi_codecs_hevc, "libx265",
          "-pix_fmt yuv420p -x265-params log-level=none:level-idc=3.1 -tag:v hvc1", "hvc1.1.6.L93.90" },
        { vpi_codecs_hevc, "libx265",
          "-pix_fmt yuv420p10le -x265-params log-level=none:level-idc=5.1 -tag:v hvc1", "hvc1.2.4.H153.90" },
        { vpi_codecs_av1, "libaom-av1", "-cpu-used 8 -pix_fmt yuv420p", NULL },
        { vpi_codecs_av1, "libaom-av1",
          "-cpu-used 8 -vf format=yuv420p10le,"
          "setparams=range=pc:color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc",
          NULL },
        { vpi_codecs_vp9, "libvpx-vp9", "-deadline realtime -cpu-used 8 -pix_fmt yuv420p", NULL },
    };
    for (size_t k = 0; k < VPI_COUNT(rows); k++) {
        char ours[VPI_CODECS_SIZE], theirs[VPI_CODECS_SIZE];
        vp_error err = VP_ERROR_INIT;
        if (!have_encoder(rows[k].encoder)) {
            printf("skipped: no encoder %s\n", rows[k].encoder);
            continue;
        }
        run("ffmpeg -v error -y -f lavfi -i testsrc2=s=320x180:r=25:d=0.2 -c:v %s %s -f mp4 c.mp4",
            rows[k].encoder, rows[k].options);
        vpi_init_info i = read_init("c.mp4");
        if (rows[k].fn(i.codec_config, i.codec_config_size, ours, &err) != VP_OK) fail_msg("%s", err.message);
        if (rows[k].text) {
            assert_string_equal(ours, rows[k].text);
        } else {
            dash_codecs("c.mp4", theirs);
            assert_string_equal(ours, theirs);
        }
        if (rows[k].fn == vpi_codecs_hevc) {
            vpi_hevc_ptl ptl;
            uint8_t length_size;
            assert_int_equal(vpi_hvcc_parse(i.codec_config, i.codec_config_size, &ptl, &length_size, NULL),
                             VP_OK);
            assert_int_equal(ptl.width, 320);
            assert_int_equal(ptl.height, 180);
        }
    }
    run("ffmpeg -v error -y -f lavfi -i sine=d=0.2 -c:a aac c.mp4");
    char ours[VPI_CODECS_SIZE], theirs[VPI_CODECS_SIZE];
    vpi_init_info i = read_init("c.mp4");
    assert_int_equal(vpi_codecs_aac(i.codec_config, i.codec_config_size, ours, NULL), VP_OK);
    dash_codecs("c.mp4", theirs);
    assert_string_equal(ours, theirs);
}

static void test_configs(void **state)
{
    (void)state;
    static const struct {
        const char *codec, *options, *entry;
        size_t size;
    } rows[] = { { "libopus", "", "Opus", 11 },
                 { "flac", "-strict -2", "fLaC", 38 },
                 { "ac3", "", "ac-3", 3 },
                 { "eac3", "", "ec-3", 5 } };
    for (size_t k = 0; k < VPI_COUNT(rows); k++) {
        if (!have_encoder(rows[k].codec)) continue;
        run("ffmpeg -v error -y -f lavfi -i sine=d=0.2:r=48000 -ac 2 -c:a %s %s c.mp4", rows[k].codec,
            rows[k].options);
        vpi_init_info i = read_init("c.mp4");
        const char *e = rows[k].entry;
        assert_int_equal(i.sample_entry, VPI_FOURCC(e[0], e[1], e[2], e[3]));
        assert_non_null(i.codec_config);
        /* FFmpeg 6.1 has a byte of zeros behind dec3. */
        assert_in_range(i.codec_config_size, rows[k].size, rows[k].size + (strcmp(e, "ec-3") == 0));
    }
}

static void test_sidx(void **state)
{
    (void)state;
    run("ffmpeg -v error -y -f lavfi -i testsrc2=s=160x90:r=25:d=3 -c:v libx264 -g 25 " FLAGS
        " -movflags cmaf+global_sidx+frag_keyframe+empty_moov g.mp4");
    blob b = read_file("g.mp4");
    vpi_box box;
    vpi_sidx s;
    assert_int_equal(vpi_box_find(b.data, b.size, VPI_FOURCC('s', 'i', 'd', 'x'), &box, NULL), VP_OK);
    assert_int_equal(vpi_sidx_parse(&box, &s, NULL), VP_OK);
    assert_int_equal(s.timescale, 90000);
    assert_int_equal(s.count, 3);
    uint64_t at = box.offset + box.size + s.first_offset;
    for (size_t i = 0; i < s.count; i++) {
        uint32_t type;
        uint64_t size;
        size_t header;
        assert_int_equal(s.refs[i].duration, 90000);
        assert_int_equal(vpi_box_header(b.data + at, b.size - at, &type, &size, &header), VP_OK);
        assert_int_equal(type, VPI_FOURCC('m', 'o', 'o', 'f'));
        at += s.refs[i].size;
    }
    vpi_sidx_dispose(&s);
    free(b.data);
}

static void test_encrypted(void **state)
{
    (void)state;
    run("ffmpeg -v error -y -f lavfi -i testsrc2=s=160x90:r=25:d=1 -c:v libx264 -pix_fmt yuv420p " FLAGS
        " -movflags cmaf+frag_keyframe+empty_moov+default_base_moof -encryption_scheme cenc-aes-ctr"
        " -encryption_key 00112233445566778899aabbccddeeff -encryption_kid 0123456789abcdef0123456789abcdef "
        "e.mp4");
    vpi_init_info i = read_init("e.mp4");
    assert_int_equal(i.sample_entry, VPI_FOURCC('e', 'n', 'c', 'v'));
    char text[VPI_CODECS_SIZE];
    assert_int_equal(vpi_codecs_avc(i.codec_config, i.codec_config_size, text, NULL), VP_OK);
    vpi_box moof;
    vpi_fragment_info f;
    assert_int_equal(vpi_box_find(kept.data, kept.size, VPI_FOURCC('m', 'o', 'o', 'f'), &moof, NULL), VP_OK);
    assert_int_equal(vpi_moof_parse(&moof, 1000, &f, NULL), VP_OK);
    assert_int_equal(f.count, 25);
    vpi_fragment_info_dispose(&f);
}

int main(void)
{
    if (!have_program("ffmpeg") || !have_program("ffprobe") || !have_encoder("libx264")) {
        printf("skipped: no ffmpeg with libx264\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_video_fragments), cmocka_unit_test(test_audio_fragments),
        cmocka_unit_test(test_frame_headers),   cmocka_unit_test(test_codec_strings),
        cmocka_unit_test(test_configs),         cmocka_unit_test(test_sidx),
        cmocka_unit_test(test_encrypted),
    };
    if (tools_open() != 0) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tools_close();
    free(kept.data);
    return failed;
}
