/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reading.h"

#include <math.h>

#include "base/context.h"
#include "base/hash.h"
#include "model/media.h"

static const vpi_track *video_of(const vp_media *media)
{
    const vpi_track *t = vpi_media_nth(&media->m, VPI_KIND_VIDEO, 0);

    assert_non_null(t);
    return t;
}

static void expect_rate(const char *name, int full, int variable, int64_t num, int64_t den)
{
    vp_media *m = accepted(name, full);
    const vpi_track *t = video_of(m);

    if (t->variable != variable || t->frame_rate.num * den != num * t->frame_rate.den) {
        fail_msg("%s (full %d): %lld/%lld variable %d, %lld/%lld variable %d expected", name, full,
                 (long long)t->frame_rate.num, (long long)t->frame_rate.den, t->variable, (long long)num,
                 (long long)den, variable);
    }
    vp_media_unref(m);
}

/* ---- frame rates ---- */

static void test_rates(void **state)
{
    static const struct {
        const char *name;
        int64_t num, den;
    } rates[] = { { "24000/1001", 24000, 1001 }, { "24", 24, 1 },   { "25", 25, 1 },
                  { "30000/1001", 30000, 1001 }, { "30", 30, 1 },   { "50", 50, 1 },
                  { "60000/1001", 60000, 1001 }, { "12.5", 25, 2 }, { "10", 10, 1 } };
    char name[64], command[512];

    (void)state;
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        static const char *const kinds[] = { "mp4", "mkv", "ts" };

        snprintf(command, sizeof(command),
                 "FF -f lavfi -i testsrc2=s=64x64:r=%s:d=3 -c:v libx264 -preset veryfast r%zu.mp4 && "
                 "FF -i r%zu.mp4 -c copy r%zu.mkv && FF -i r%zu.mp4 -c copy r%zu.ts",
                 rates[i].name, i, i, i, i, i);
        shell(command);
        for (size_t k = 0; k < 3; k++) {
            snprintf(name, sizeof(name), "r%zu.%s", i, kinds[k]);
            expect_rate(name, 1, 0, rates[i].num, rates[i].den);
        }
        snprintf(name, sizeof(name), "r%zu.mp4", i);
        expect_rate(name, 0, 0, rates[i].num, rates[i].den);
    }
}

/* The recipe of FAILURES I01, in ticks of MP4, of 1/600 and of Matroska: 13.4 on average, libav* says 30
 * or 600. */
static void test_variable(void **state)
{
    static const char *const names[] = { "vfr.mp4", "vfr600.mov", "vfr.mkv" };

    (void)state;
    shell("FF -f lavfi -i testsrc2=s=64x64:r=30:d=4 -vf \"select='eq(mod(n\\,7)\\,0)+eq(mod(n\\,3)\\,0)'\" "
          "-fps_mode vfr "
          "-c:v libx264 -preset ultrafast vfr.mp4 && FF -i vfr.mp4 -c copy vfr.mkv && "
          "FF -i vfr.mp4 -c copy -video_track_timescale 600 vfr600.mov");
    for (size_t i = 0; i < 3; i++) {
        vp_media *m = accepted(names[i], 1);
        const vpi_track *t = video_of(m);
        double rate = (double)t->frame_rate.num / (double)t->frame_rate.den;

        assert_int_equal(t->variable, 1);
        assert_true(rate > 12.5 && rate < 13.5);
        assert_true(t->min_delta > 0 && t->max_delta >= 2 * t->min_delta);
        assert_non_null(warned(m, "VARIABLE_FRAME_RATE"));
        vp_media_unref(m);
    }
}

/* A constant rate that 1/600 s can only be near to. */
static void test_timescale_600(void **state)
{
    (void)state;
    shell("FF -f lavfi -i testsrc2=s=64x64:r=30000/1001:d=3 -c:v libx264 -preset ultrafast "
          "-video_track_timescale 600 "
          "s600.mov");
    expect_rate("s600.mov", 1, 0, 30000, 1001);
}

static void test_one_frame(void **state)
{
    vp_media *m;

    (void)state;
    shell("FF -f lavfi -i testsrc2=s=64x64:r=25 -frames:v 1 -c:v libx264 one.mp4");
    m = accepted("one.mp4", 1);
    assert_int_equal(video_of(m)->packets, 1);
    assert_int_equal(m->m.duration_us, 40000);
    assert_int_equal(video_of(m)->frame_rate.num, 25);
    vp_media_unref(m);
}

/* No times at all: those of the SPS. */
static void test_raw(void **state)
{
    vp_media *m;

    (void)state;
    have_base();
    shell("FF -i base.mp4 -c copy -bsf:v h264_mp4toannexb raw.h264");
    m = accepted("raw.h264", 1);
    assert_int_equal(video_of(m)->frame_rate.num, 30);
    assert_int_equal(m->m.duration_us, 2000000);
    assert_non_null(warned(m, "TIMELINE_REPAIRED"));
    assert_false(m->m.seekable);
    vp_media_unref(m);
}

/* ---- picture ---- */

static void expect_display(const char *name, int rotation, int flipped, unsigned w, unsigned h)
{
    for (int full = 0; full < 2; full++) {
        vp_media *m = accepted(name, full);
        const vpi_track *t = video_of(m);

        assert_int_equal(t->rotation, rotation);
        assert_int_equal(t->flipped, flipped);
        assert_int_equal(t->width, 128);
        assert_int_equal(t->height, 72);
        assert_int_equal(t->display_width, w);
        assert_int_equal(t->display_height, h);
        vp_media_unref(m);
    }
}

/* Turns and mirrors are numbers of the matrix in tkhd, written here: FFmpeg 7 has no "rotate" tag, 5.1 no
 * "-display_rotation". rot90.mp4 is to be turned counter-clockwise, as ffmpeg does ("transpose=cclock"). */
static void test_rotation(void **state)
{
    (void)state;
    have_base();
    shell("cat >turn.py <<'EOF'\n"
          "import struct\n"
          "for name, a, b, c, d in (('rot90', 0, -1, 1, 0), ('rot180', -1, 0, 0, -1), ('rot270', 0, 1, -1, "
          "0),\n"
          "                         ('hflip', -1, 0, 0, 1), ('vflip', 1, 0, 0, -1)):\n"
          "    f = bytearray(open('base.mp4', 'rb').read()); i = f.index(b'tkhd') + 44\n"
          "    f[i:i + 36] = struct.pack('>9i', a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)\n"
          "    open(name + '.mp4', 'wb').write(f)\n"
          "EOF\n"
          "python3 turn.py");
    expect_display("rot90.mp4", 270, 0, 72, 128);
    expect_display("rot180.mp4", 180, 0, 128, 72);
    expect_display("rot270.mp4", 90, 0, 72, 128);
    expect_display("hflip.mp4", 0, 1, 128, 72);
    expect_display("vflip.mp4", 180, 1, 128, 72);
}

static void test_sar(void **state)
{
    static const struct {
        const char *sar;
        unsigned num, den, w, h;
    } table[] = { { "16/11", 16, 11, 186, 72 },
                  { "8/9", 8, 9, 128, 81 },
                  { "1", 1, 1, 128, 72 },
                  { "199/200", 1, 1, 128, 72 } };
    char command[256];

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        vp_media *m;
        const vpi_track *t;

        snprintf(
            command, sizeof(command),
            "FF -f lavfi -i testsrc2=s=128x72:r=10:d=1 -vf setsar=%s -c:v libx264 -preset ultrafast sar.mkv",
            table[i].sar);
        shell(command);
        m = accepted("sar.mkv", 1);
        t = video_of(m);
        assert_int_equal(t->sar_num, table[i].num);
        assert_int_equal(t->sar_den, table[i].den);
        assert_int_equal(t->display_width, table[i].w);
        assert_int_equal(t->display_height, table[i].h);
        vp_media_unref(m);
    }
}

static void test_colour(void **state)
{
    vp_media *m;
    const vpi_track *t;

    (void)state;
    shell("FF -f lavfi -i testsrc2=s=128x72:r=10:d=1 -vf format=yuv420p10le,setparams=range=tv:"
          "color_primaries=bt2020:color_trc=arib-std-b67:colorspace=bt2020nc -c:v libx264 -preset ultrafast "
          "hlg.mp4");
    m = accepted("hlg.mp4", 0);
    t = video_of(m);
    assert_string_equal(t->hdr, "hlg");
    assert_int_equal(t->bit_depth, 10);
    assert_string_equal(t->chroma, "4:2:0");
    assert_string_equal(t->primaries, "bt2020");
    assert_int_equal(t->cicp_primaries, 9);
    assert_int_equal(t->cicp_transfer, 18);
    assert_int_equal(t->cicp_matrix, 9);
    assert_int_equal(t->full_range, 0);
    vp_media_unref(m);
}

static void test_interlaced(void **state)
{
    vp_media *m;

    (void)state;
    shell("FF -f lavfi -i testsrc2=s=128x96:r=50:d=1 -vf tinterlace=interleave_top -c:v libx264 -x264opts "
          "tff=1 "
          "-flags +ildct+ilme il.mkv");
    m = accepted("il.mkv", 1);
    assert_true(video_of(m)->interlaced);
    assert_non_null(warned(m, "INTERLACED"));
    vp_media_unref(m);
}

/* ---- sound, tracks, times ---- */

static void test_skew(void **state)
{
    vp_media *m;

    (void)state;
    have_base();
    m = accepted("base.mp4", 1); /* the first packet at -1024 is priming, not content */
    assert_int_equal(m->m.start_skew_us, 0);
    assert_int_equal(m->m.duration_us, 2000000);
    assert_int_equal(vpi_media_nth(&m->m, VPI_KIND_AUDIO, 0)->start, 0);
    assert_null(warned(m, "AUDIO_STARTS_LATE"));
    vp_media_unref(m);

    shell("FF -i base.mp4 -itsoffset 1.5 -i base.mp4 -map 0:v -map 1:a -c copy late.mp4");
    m = accepted("late.mp4", 1);
    assert_true(llabs(m->m.start_skew_us - 1478000) < 2000);
    assert_non_null(warned(m, "AUDIO_STARTS_LATE"));
    vp_media_unref(m);

    shell("FF -i base.mp4 -t 1 -i base.mp4 -map 0:v -map 1:a -c copy early.mp4");
    m = accepted("early.mp4", 1);
    assert_non_null(warned(m, "AUDIO_ENDS_EARLY"));
    assert_null(warned(m, "VIDEO_ENDS_EARLY"));
    vp_media_unref(m);
}

/* Picture that is shorter than the sound at either end: told, and what becomes of it. */
static void test_short_picture(void **state)
{
    static const struct {
        const char *seconds, *what;
    } ends[] = { { "2.05", NULL }, { "3", "sound is cut" }, { "11.9", "sound is cut" }, { "12.1", "held" } };
    char command[256];
    vp_media *m;

    (void)state;
    have_base();
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        snprintf(command, sizeof(command),
                 "FF -i base.mp4 -f lavfi -i sine=d=%s:r=48000 -map 0:v -map 1 -c:v copy -c:a aac tail.mp4",
                 ends[i].seconds);
        shell(command);
        m = accepted("tail.mp4", 1);
        assert_int_equal(warned(m, "VIDEO_ENDS_EARLY") != NULL, ends[i].what != NULL);
        if (ends[i].what && !strstr(warned(m, "VIDEO_ENDS_EARLY"), ends[i].what))
            fail_msg("%s s: %s", ends[i].seconds, warned(m, "VIDEO_ENDS_EARLY"));
        assert_null(warned(m, "VIDEO_STARTS_LATE"));
        vp_media_unref(m);
    }
    shell("FF -itsoffset 1.5 -i base.mp4 -i base.mp4 -map 0:v -map 1:a -c copy behind.mp4");
    m = accepted("behind.mp4", 1);
    assert_non_null(strstr(warned(m, "VIDEO_STARTS_LATE"), " 1500 ms after the sound"));
    assert_null(warned(m, "AUDIO_STARTS_LATE"));
    vp_media_unref(m);
}

/* Content of exactly three seconds, whatever is written around it for the decoder's sake. */
static void test_priming(void **state)
{
    static const char *const names[] = { "p.m4a", "p.opus", "p.ogg", "p.mp3", "p.flac", "p.wav" };

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char command[128];
        vp_media *m;

        snprintf(command, sizeof(command), "FF -f lavfi -i sine=d=3:r=48000 %s %s",
                 strcmp(names[i], "p.ogg") == 0 ? "-c:a libvorbis" : "", names[i]);
        shell(command);
        m = accepted(names[i], 1);
        if (llabs(m->m.duration_us - 3000000) > 1) {
            fail_msg("%s: %lld us", names[i], (long long)m->m.duration_us);
        }
        assert_int_equal(vpi_media_count(&m->m, VPI_KIND_VIDEO), 0);
        vp_media_unref(m);
    }
}

/* The last frame of sound is shorter than the others, which each last a second in TTA. */
static void test_short_last_frame(void **state)
{
    static const char *const names[] = { "tta.mkv", "alac.mkv", "tta.tta" };

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char command[128];
        vp_media *m;

        snprintf(command, sizeof(command), "FF -f lavfi -i sine=d=2.3:r=48000 -c:a %.*s %s",
                 (int)strcspn(names[i], "."), names[i], names[i]);
        shell(command);
        m = accepted(names[i], 1);
        if (llabs(m->m.duration_us - 2300000) > 1000)
            fail_msg("%s: %lld us", names[i], (long long)m->m.duration_us);
        vp_media_unref(m);
    }
}

/* AVI whose sound is a frame a chunk under a block size of a few bytes, and what has one that means something. */
static void test_avi_sound(void **state)
{
    static const char *const codecs[] = { "dca -ac 1",       "eac3 -ac 2", "flac -ac 6",
                                          "libvorbis -ac 2", "libmp3lame", "adpcm_ms -ac 2" };

    (void)state;
    have_base();
    for (size_t i = 0; i < sizeof(codecs) / sizeof(codecs[0]); i++) {
        const vpi_track *t;
        char command[128];
        int64_t us;
        vp_media *m;

        snprintf(command, sizeof(command), "FF -i base.mp4 -c:v copy -strict -2 -c:a %s a.avi", codecs[i]);
        shell(command);
        m = accepted("a.avi", 1);
        t = vpi_media_nth(&m->m, VPI_KIND_AUDIO, 0);
        us = vpi_rescale(t->end - t->start, t->tb.num * 1000000, t->tb.den, VPI_NEAREST);
        if (llabs(us - 2000000) > 100000) fail_msg("%s: %lld us", codecs[i], (long long)us);
        assert_null(warned(m, "VIDEO_ENDS_EARLY"));
        vp_media_unref(m);
    }
}

static void test_jump(void **state)
{
    vp_media *m;

    (void)state;
    have_base();
    shell("FF -i base.mp4 -c copy a.ts && FF -i base.mp4 -c copy -output_ts_offset 5000 b.ts && cat a.ts "
          "b.ts >jump.ts "
          "&& FF -i base.mp4 -c copy -output_ts_offset 95441.3 -f mpegts wrap.ts");
    m = accepted("jump.ts", 1);
    assert_non_null(warned(m, "TIMELINE_REPAIRED"));
    assert_true(m->m.duration_us > 3900000 && m->m.duration_us < 4200000);
    assert_int_equal(video_of(m)->frame_rate.num, 30);
    assert_int_equal(video_of(m)->variable, 0);
    assert_false(m->m.seekable);
    vp_media_unref(m);
    m = accepted("wrap.ts", 1); /* 33 bits run over inside: one timeline */
    assert_null(warned(m, "TIMELINE_REPAIRED"));
    assert_true(m->m.duration_us > 1900000 && m->m.duration_us < 2200000);
    assert_int_equal(video_of(m)->variable, 0);
    vp_media_unref(m);
}

static void test_tracks(void **state)
{
    vp_media *m;
    const vpi_track *t;

    (void)state;
    have_base();
    shell("printf '1\\n00:00:00,500 --> 00:00:01,000\\nhello\\n' >s.srt && FF -i base.mp4 -i s.srt -map 0:v "
          "-map 0:a "
          "-map 0:a -map 1 -c copy -c:s mov_text -metadata:s:a:0 language=eng -metadata:s:a:1 language=fre "
          "-timecode 01:00:00:00 tracks.mp4");
    m = accepted("tracks.mp4", 1);
    assert_int_equal(vpi_media_count(&m->m, VPI_KIND_AUDIO), 2);
    assert_int_equal(vpi_media_count(&m->m, VPI_KIND_TEXT), 1);
    assert_string_equal(vpi_media_nth(&m->m, VPI_KIND_AUDIO, 1)->language, "fr");
    assert_non_null(warned(m, "SUBTITLE_UNSUPPORTED"));
    assert_non_null(warned(m, "MOOV_AT_END"));
    vp_media_unref(m);
    shell("FF -f lavfi -i color=red:s=200x200 -frames:v 1 art.jpg && FF -i base.mp4 -i art.jpg -map 0:a -map "
          "1 -c copy "
          "-disposition:v:0 attached_pic art.m4a");
    m = accepted("art.m4a", 1);
    assert_int_equal(vpi_media_count(&m->m, VPI_KIND_VIDEO), 0);
    assert_int_equal(vpi_media_count(&m->m, VPI_KIND_AUDIO), 1);
    vp_media_unref(m);
    shell(
        "FF -i base.mp4 -f lavfi -i sine=d=2 -map 0 -map 1 -c:v copy -c:a:0 copy -c:a:1 adpcm_g722 drop.mkv");
    m = accepted("drop.mkv", 1);
    assert_int_equal(vpi_media_count(&m->m, VPI_KIND_AUDIO), 1);
    assert_non_null(warned(m, "TRACK_DROPPED"));
    vp_media_unref(m);
    m = accepted("tracks.mp4", 0);
    t = video_of(m);
    assert_string_equal(t->codecs, "avc1.42c00a");
    vp_media_unref(m);
}

/* A track that begins long after the others (I42): within the limits of the probe it is found. */
static void test_late_track(void **state)
{
    vp_media *m;

    (void)state;
    shell("FF -f lavfi -i testsrc2=s=64x64:r=10:d=12 -itsoffset 8 -f lavfi -i sine=d=4 -map 0 -map 1 -c:v "
          "libx264 -c:a aac "
          "lateaudio.ts");
    m = accepted("lateaudio.ts", 1);
    assert_int_equal(vpi_media_count(&m->m, VPI_KIND_AUDIO), 1);
    assert_true(m->m.start_skew_us > 7000000);
    vp_media_unref(m);
}

/* Several edits (I09): libavformat plays them, the probe says that it was asked to. */
static void test_edit_list(void **state)
{
    vp_media *m;

    (void)state;
    have_base();
    m = accepted("base.mp4", 0);
    assert_null(warned(m, "EDIT_LIST_APPROXIMATED"));
    vp_media_unref(m);
    shell("python3 -c \"d=bytearray(open('base.mp4','rb').read()); i=d.index(b'elst'); "
          "d[i+20:i+24]=b'\\x00\\x02\\x00\\x00'; "
          "open('rate2.mp4','wb').write(d)\"");
    m = accepted("rate2.mp4", 0);
    assert_non_null(warned(m, "EDIT_LIST_APPROXIMATED"));
    vp_media_unref(m);
}

/* ---- against ffprobe ---- */

static long ffprobe(const char *name, const char *stream, const char *entry)
{
    char command[1024], text[64] = "";
    FILE *f;

    snprintf(command, sizeof(command),
             "ffprobe -v error -count_packets -select_streams %s -show_entries stream=%s -of csv=p=0 '%s' "
             "2>/dev/null",
             stream, entry, clip_path(name));
    f = popen(command, "r");
    assert_non_null(f);
    if (!fgets(text, sizeof(text), f)) text[0] = 0;
    pclose(f);
    return strtol(text, NULL, 10);
}

static void test_real_clips(void **state)
{
    static const char *const names[] = { "bbb.mp4", "car.mp4", "echo.webm" };
    const char *shared = getenv("VODPIPE_SHARED");
    char path[512];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        vp_media *m;
        const vpi_track *v, *a;

        snprintf(path, sizeof(path), "%s/media/%s", shared ? shared : "../shared", names[i]);
        if (access(path, R_OK) != 0) skip();
        m = accepted(path, 1);
        v = video_of(m);
        a = vpi_media_nth(&m->m, VPI_KIND_AUDIO, 0);
        assert_non_null(a);
        assert_int_equal(v->width, ffprobe(path, "v:0", "width"));
        assert_int_equal(v->height, ffprobe(path, "v:0", "height"));
        assert_int_equal(v->packets, ffprobe(path, "v:0", "nb_read_packets"));
        assert_int_equal(a->packets, ffprobe(path, "a:0", "nb_read_packets"));
        assert_int_equal(a->sample_rate, ffprobe(path, "a:0", "sample_rate"));
        assert_int_equal(a->channels, ffprobe(path, "a:0", "channels"));
        assert_int_equal(m->m.complete, 1);
        assert_true(v->keyframe_count > 0);
        vp_media_unref(m);
    }
}

/* The fingerprint depends on content only, and on all of it. */
static void test_fingerprint(void **state)
{
    vp_media *a, *b;

    (void)state;
    have_base();
    shell("cp base.mp4 copy.mp4 && FF -i base.mp4 -c copy -movflags +faststart other.mp4");
    a = accepted("base.mp4", 1);
    b = accepted("copy.mp4", 1);
    assert_memory_equal(a->m.fingerprint, b->m.fingerprint, 32);
    vp_media_unref(b);
    b = accepted("other.mp4", 1);
    assert_memory_not_equal(a->m.fingerprint, b->m.fingerprint, 32);
    vp_media_unref(a);
    vp_media_unref(b);
}

/* Many containers, the same two seconds. */
static void test_containers(void **state)
{
    static const struct {
        const char *name, *command, *format;
    } table[] = {
        { "c.mkv", "FF -i base.mp4 -c copy c.mkv", "matroska" },
        { "c.webm", "FF -i base.mp4 -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus c.webm",
          "webm" },
        { "c.ts", "FF -i base.mp4 -c copy c.ts", "mpegts" },
        { "c.flv", "FF -i base.mp4 -c copy c.flv", "flv" },
        { "c.avi", "FF -i base.mp4 -c:v mpeg4 -c:a mp3 c.avi", "avi" },
        { "c.mpg", "FF -i base.mp4 -c:v mpeg2video -c:a mp2 c.mpg", "mpegps" },
        { "c.mxf", "FF -i base.mp4 -c:v mpeg2video -c:a pcm_s16le c.mxf", "mxf" },
        { "c.mov", "FF -i base.mp4 -c copy c.mov", "mov" },
        { "frag.mp4", "FF -i base.mp4 -c copy -movflags +frag_keyframe+empty_moov frag.mp4", "mp4" },
        { "c.asf", "FF -i base.mp4 -c:v wmv2 -c:a wmav2 c.asf", "asf" },
        { "hevc.mp4", "FF -i base.mp4 -c:v libx265 -x265-params log-level=none -c:a copy hevc.mp4", "mp4" },
        { "live.mkv", "FF -i base.mp4 -c copy -f matroska - >live.mkv", "matroska" },
    };

    (void)state;
    have_base();
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        shell(table[i].command);
        for (int full = 0; full < 2; full++) {
            vp_media *m = accepted(table[i].name, full);
            const vpi_track *t = video_of(m);

            assert_string_equal(m->m.format, table[i].format);
            assert_int_equal(t->display_width, 128);
            assert_int_equal(t->frame_rate.num, 30);
            assert_int_equal(vpi_media_count(&m->m, VPI_KIND_AUDIO), 1);
            if (full) {
                assert_int_equal(t->packets, 60);
                assert_int_equal(t->variable, 0);
                assert_int_equal(m->m.complete, 1);
                assert_true(m->m.duration_us > 1990000 && m->m.duration_us < 2100000);
            }
            vp_media_unref(m);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_variable),
        cmocka_unit_test(test_timescale_600),
        cmocka_unit_test(test_one_frame),
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_sar),
        cmocka_unit_test(test_colour),
        cmocka_unit_test(test_interlaced),
        cmocka_unit_test(test_skew),
        cmocka_unit_test(test_short_picture),
        cmocka_unit_test(test_avi_sound),
        cmocka_unit_test(test_short_last_frame),
        cmocka_unit_test(test_priming),
        cmocka_unit_test(test_jump),
        cmocka_unit_test(test_tracks),
        cmocka_unit_test(test_late_track),
        cmocka_unit_test(test_edit_list),
        cmocka_unit_test(test_real_clips),
        cmocka_unit_test(test_fingerprint),
        cmocka_unit_test(test_containers),
    };

    if (!clip_tools()) {
        puts("no ffmpeg tool to make clips with");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, clip_begin, clip_end);
}
