/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reading.h"

#include <fcntl.h>

#include "base/context.h"
#include "base/fault.h"
#include "model/media.h"

static void both(const char *name, vp_status status, const char *reason)
{
    refused(name, 0, status, reason);
    refused(name, 1, status, reason);
}

/* ---- what is no media (I27) ---- */

static void test_not_media(void **state)
{
    char name[32], command[256];

    (void)state;
    shell(": >zero.mp4");
    both("zero.mp4", VP_E_DATA, "INPUT_EMPTY");
    for (unsigned seed = 1; seed <= 12; seed++) {
        snprintf(name, sizeof(name), "random%u.mp4", seed);
        snprintf(command, sizeof(command),
                 "python3 -c \"import random; random.seed(%u); open('%s','wb').write(random.randbytes(%u))\"",
                 seed, name, seed * seed * 9000 + 1);
        shell(command);
        both(name, VP_E_DATA, "INPUT_UNRECOGNISED");
    }
    shell("yes text | head -c 100000 >text.mp4; head -c 100000 /dev/zero >zeros.mp4; printf '%%PDF-1.4\\n' "
          ">pdf.mp4; "
          "printf 'a' >one.mp4");
    both("text.mp4", VP_E_DATA, "INPUT_UNRECOGNISED");
    both("zeros.mp4", VP_E_DATA, "INPUT_UNRECOGNISED");
    both("pdf.mp4", VP_E_DATA, "INPUT_UNRECOGNISED");
    both("one.mp4", VP_E_DATA, "INPUT_UNRECOGNISED");
}

static void test_stills(void **state)
{
    static const char *const names[] = { "still.png", "still.jpg", "still.webp",
                                         "still.gif", "still.bmp", "still.tiff" };

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char command[128];

        snprintf(command, sizeof(command), "FF -f lavfi -i testsrc2=s=64x64 -frames:v 1 %s", names[i]);
        shell(command);
        both(names[i], VP_E_DATA, "NOT_A_VIDEO");
    }
    shell("FF -f lavfi -i testsrc2=s=64x64:r=10:d=1 moving.gif");
    vp_media_unref(accepted("moving.gif", 1));
}

/* ---- what is not whole (I29, I30) ---- */

static void test_cut(void **state)
{
    static const struct {
        const char *from, *command, *reason;
        int plain; /* a probe sees it as well */
    } table[] = {
        { "base.mp4", "true", "INPUT_NO_MOOV", 1 },
        { "fast.mp4", "FF -i base.mp4 -c copy -movflags +faststart fast.mp4", "INPUT_TRUNCATED", 1 },
        { "base.mkv", "FF -i base.mp4 -c copy base.mkv", "INPUT_TRUNCATED", 1 },
        { "base.webm", "FF -i base.mp4 -c:v libvpx -deadline realtime -cpu-used 8 -c:a libvorbis base.webm",
          "INPUT_TRUNCATED", 1 },
        { "base.avi", "FF -i base.mp4 -c:v mpeg4 -c:a mp3 base.avi", "INPUT_TRUNCATED", 1 },
        { "frag.mp4", "FF -i base.mp4 -c copy -movflags +frag_keyframe+empty_moov frag.mp4",
          "INPUT_TRUNCATED", 0 },
        { "base.flv", "FF -i base.mp4 -c copy base.flv", "INPUT_TRUNCATED", 0 },
        { "base.mxf", "FF -i base.mp4 -c:v mpeg2video -c:a pcm_s16le base.mxf", "INPUT_TRUNCATED", 0 },
        { "base.asf", "FF -i base.mp4 -c:v wmv2 -c:a wmav2 base.asf", "INPUT_TRUNCATED", 1 },
        { "tone.wav", "FF -f lavfi -i sine=d=3 tone.wav", "INPUT_TRUNCATED", 1 },
        { "tone.opus", "FF -f lavfi -i sine=d=3 tone.opus", "INPUT_TRUNCATED", 1 },
        { "tone.flac", "FF -f lavfi -i sine=d=3 tone.flac", "INPUT_TRUNCATED", 0 },
        { "tone.mp3", "FF -f lavfi -i sine=d=3 tone.mp3", "INPUT_TRUNCATED", 0 },
    };

    (void)state;
    have_base();
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char command[128], name[64];

        shell(table[i].command);
        vp_media_unref(accepted(table[i].from, 1));
        snprintf(name, sizeof(name), "cut-%s", table[i].from);
        snprintf(command, sizeof(command), "head -c $(( $(stat -c %%s %s) * 6 / 10 )) %s >%s", table[i].from,
                 table[i].from, name);
        shell(command);
        refused(name, 1, VP_E_DATA, table[i].reason);
        if (table[i].plain) refused(name, 0, VP_E_DATA, table[i].reason);
    }
    /* Cut within the first boxes; and a transport stream, which may end anywhere. */
    shell("head -c 1000 fast.mp4 >headcut.mp4; head -c 300 base.mp4 >stub.mp4; FF -i base.mp4 -c copy a.ts; "
          "head -c 65988 a.ts >cut.ts");
    both("headcut.mp4", VP_E_DATA, "INPUT_TRUNCATED");
    both("stub.mp4", VP_E_DATA, "INPUT_NO_MOOV");
    vp_media_unref(accepted("cut.ts", 1));
}

/* Metadata of FLV that tell more, or nothing sensible, of a file that ends with a whole tag. */
static void test_flv_duration(void **state)
{
    static const char *const values[] = { "4000.0", "float('nan')", "-5.0", "1e300", "0.0" };

    (void)state;
    have_base();
    have("base.flv", "FF -i base.mp4 -c copy base.flv");
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char command[512];
        vp_media *media;

        snprintf(command, sizeof(command),
                 "python3 -c \"import struct; d = bytearray(open('base.flv', 'rb').read()); "
                 "struct.pack_into('>d', d, d.index(b'duration') + 9, %s); open('long.flv', 'wb').write(d); "
                 "open('cut.flv', 'wb').write(d[:-70])\"",
                 values[i]);
        shell(command);
        media = accepted("long.flv", 1);
        assert_true(media->m.duration_us > 1990000 && media->m.duration_us < 2100000);
        vp_media_unref(media);
        if (i == 0) refused("cut.flv", 1, VP_E_DATA, "INPUT_TRUNCATED");
    }
}

/* Every cut of a faststart file is either seen or outside of its media. */
static void test_every_cut(void **state)
{
    (void)state;
    have_base();
    have("fast.mp4", "FF -i base.mp4 -c copy -movflags +faststart fast.mp4");
    for (unsigned permille = 5; permille < 1000; permille += 35) {
        char command[160];
        vp_error err = VP_ERROR_INIT;

        snprintf(command, sizeof(command),
                 "head -c $(( $(stat -c %%s fast.mp4) * %u / 1000 )) fast.mp4 >some.mp4", permille);
        shell(command);
        assert_null(look("some.mp4", 1, &err));
        assert_int_equal(err.status, VP_E_DATA);
        assert_true(strcmp(err.reason, "INPUT_TRUNCATED") == 0 || strcmp(err.reason, "INPUT_NO_MOOV") == 0);
    }
}

/* ---- two files, one behind the other ---- */

/* Refused, and the text says where the second one begins. */
static void second(const char *name, const char *first)
{
    char text[64];
    vp_error err = VP_ERROR_INIT;
    vp_media *media = look(name, 1, &err);
    FILE *f = fopen(clip_path(first), "rb");

    if (media) {
        vp_media_unref(media);
        fail_msg("%s was accepted", name);
    }
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    snprintf(text, sizeof(text), "a second file follows at byte %ld of ", ftell(f));
    fclose(f);
    if (strcmp(err.reason, "INPUT_CORRUPT") != 0 || !strstr(err.message, text))
        fail_msg("%s: %s (%s)", name, err.reason, err.message);
}

static void test_joined(void **state)
{
    static const struct {
        const char *name, *options;
    } table[] = {
        { "one.mp4", "-c copy" },
        { "fast.mp4", "-c copy -movflags +faststart" },
        { "frag.mp4", "-c copy -movflags +frag_keyframe+empty_moov" },
        { "one.mov", "-c copy" },
        { "one.mkv", "-c copy" },
        { "one.avi", "-c:v mpeg4 -c:a mp3" },
        { "one.flv", "-c copy" },
        { "one.wmv", "-c:v wmv2 -c:a wmav2" },
        { "one.ivf", "-c:v libvpx -deadline realtime -cpu-used 8 -an" },
        { "one.apng", "-an -vf scale=64:36" },
        { "one.wav", "-vn" },
        { "one.aiff", "-vn" },
        { "one.caf", "-vn -c:a pcm_s16le" },
        { "one.flac", "-vn" },
    };

    (void)state;
    have_base();
    shell("FF -f lavfi -i testsrc=s=96x64:r=25:d=1 -f lavfi -i sine=500:d=1:r=44100 -c:v libx264 -c:a aac "
          "other.mp4");
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char command[512], joined[64];

        snprintf(joined, sizeof(joined), "joined-%s", table[i].name);
        snprintf(command, sizeof(command),
                 "FF -i base.mp4 %s %s; FF -i other.mp4 %s second-%s; cat %s second-%s >%s", table[i].options,
                 table[i].name, table[i].options, table[i].name, table[i].name, table[i].name, joined);
        shell(command);
        vp_media_unref(accepted(table[i].name, 1));
        second(joined, table[i].name);
    }
    /* Behind padding; and QuickTime of old, without ftyp. */
    shell("(cat one.mp4; head -c 70001 /dev/zero; cat fast.mp4) >padded.mp4; tail -c +21 one.mov >old.mov; "
          "cat old.mov old.mov >joined-old.mov");
    refused("padded.mp4", 1, VP_E_DATA, "INPUT_CORRUPT");
    vp_media_unref(accepted("old.mov", 1));
    refused("joined-old.mov", 1, VP_E_DATA, "INPUT_CORRUPT");
}

/* What recorders and editors of tags leave behind a file, and repeat within it. */
static void test_tails(void **state)
{
    static const char *const tails[] = {
        "head -c 3000001 /dev/zero",
        "printf 'TAG'; head -c 125 /dev/zero",
        "printf 'APETAGEX'; head -c 24 /dev/zero",
        "printf '\\000\\000\\003\\350free'; head -c 992 /dev/zero; printf '\\000\\000\\000\\010skip'",
        "printf '\\000\\000\\001\\012SEFD'; head -c 300 /dev/zero; printf 'SEFHl\\000\\000\\000SEFT'",
        "head -c 20000 base.mp4",               /* ftyp and mdat of a file without moov */
        "seq 30000 | gzip -9n | head -c 20000", /* noise, each time the same: some could begin like an element */
    };
    char command[512];

    (void)state;
    have_base();
    have("fast.mp4", "FF -i base.mp4 -c copy -movflags +faststart fast.mp4");
    have("one.mkv", "FF -i base.mp4 -c copy one.mkv");
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        snprintf(command, sizeof(command), "(cat fast.mp4; %s) >tail.mp4; (cat one.mkv; %s) >tail.mkv",
                 tails[i], tails[i]);
        shell(command);
        vp_media_unref(accepted("tail.mp4", 1));
        vp_media_unref(accepted("tail.mkv", 1));
    }
}

static const char repeat_py[] =
    "import struct\n"
    "data, at, parts = open('frag.mp4', 'rb').read(), 0, []\n"
    "while at < len(data):\n"
    "    size, name = struct.unpack_from('>I4s', data, at)\n"
    "    parts.append((name, data[at:at + size]))\n"
    "    at += size\n"
    "init = b''.join(x for n, x in parts if n in (b'ftyp', b'moov'))\n"
    "media = [x for n, x in parts if n in (b'moof', b'mdat')]\n"
    "open('again.mp4', 'wb').write(init + b''.join(media[:2]) + init + b''.join(media[2:]))\n"
    "open('whole.mp4', 'wb').write(init + b''.join(media))\n"
    "open('twice.mp4', 'wb').write(init + b''.join(media) + init + b''.join(media))\n";

/* Joined files that can be read through: from one recorder. */
static void test_joined_whole(void **state)
{
    vp_media *media;
    char command[1024];

    (void)state;
    have_base();
    have("frag.mp4", "FF -i base.mp4 -c copy -movflags +frag_keyframe+empty_moov frag.mp4");
    snprintf(command, sizeof(command), "cat >repeat.py <<'END'\n%s\nEND\npython3 repeat.py", repeat_py);
    shell(command);
    media = accepted("again.mp4", 1); /* the init segment of a stream, repeated */
    assert_true(media->m.duration_us > 1990000 && media->m.duration_us < 2050000);
    vp_media_unref(media);
    second("twice.mp4", "whole.mp4");
    shell("FF -i base.mp4 -c:v libvpx -deadline realtime -cpu-used 8 -c:a libvorbis known.webm; "
          "FF -i known.webm -c copy -live 1 live.webm; cat known.webm known.webm >known2.webm; "
          "cat live.webm live.webm >live2.webm; FF -i base.mp4 -an -c:v libvpx -deadline realtime mute.webm; "
          "cat live.webm mute.webm >other.webm");
    for (unsigned i = 0; i < 2; i++) {
        media = accepted(i ? "live2.webm" : "known2.webm", 1);
        assert_true(media->m.duration_us > 3990000 && media->m.duration_us < 4100000);
        assert_non_null(warned(media, "TIMELINE_REPAIRED"));
        vp_media_unref(media);
    }
    second("other.webm", "live.webm");
}

/* ---- what opens other files (I39) ---- */

static void test_forbidden(void **state)
{
    char command[1024];

    (void)state;
    have_base();
    shell("FF -i base.mp4 -c copy a.ts");
    snprintf(command, sizeof(command),
             "printf "
             "'#EXTM3U\\n#EXT-X-VERSION:3\\n#EXT-X-TARGETDURATION:3\\n#EXTINF:2.0,\\nfile://%s/"
             "a.ts\\n#EXT-X-ENDLIST\\n' "
             ">hls.mp4; printf 'ffconcat version 1.0\\nfile base.mp4\\n' >concat.mp4; "
             "printf '<?xml version=\"1.0\"?>\\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\">"
             "<BaseURL>file://%s/base.mp4</BaseURL></MPD>' >dash.mp4; "
             "printf '\\357\\273\\277#EXTM3U\\nhttp://127.0.0.1:9/x.ts\\n' >bom.mp4; printf '  "
             "\\n#EXTM3U\\n' >blank.mp4; "
             "printf 'v=0\\no=- 0 0 IN IP4 127.0.0.1\\ns=x\\nm=video 5000 RTP/AVP 96\\n' >sdp.mp4; "
             "printf '<smil><body><video src=\"base.mp4\"/></body></smil>' >smil.mp4; "
             "printf '\\377\\376#\\0E\\0X\\0T\\0M\\0003\\0U\\0\\n\\0' >utf16.mp4; sed -i "
             "'s/M.3.U/M\\x003\\x00U/' utf16.mp4; true",
             clip_dir, clip_dir);
    shell(command);
    /* a reference movie: moov, rmra, rmda, rdrf */
    shell("printf '\\0\\0\\0\\100moov\\0\\0\\0\\070rmra\\0\\0\\0\\060rmda\\0\\0\\0\\050rdrf\\0\\0\\0\\0url "
          "\\0\\0\\0\\024file:///etc/passwd\\0\\0' >reference.mov");
    both("reference.mov", VP_E_UNSUPPORTED, "INPUT_FORBIDDEN_FORMAT");
    both("hls.mp4", VP_E_UNSUPPORTED, "INPUT_FORBIDDEN_FORMAT");
    both("concat.mp4", VP_E_UNSUPPORTED, "INPUT_FORBIDDEN_FORMAT");
    both("dash.mp4", VP_E_UNSUPPORTED, "INPUT_FORBIDDEN_FORMAT");
    both("bom.mp4", VP_E_UNSUPPORTED, "INPUT_FORBIDDEN_FORMAT");
    both("blank.mp4", VP_E_UNSUPPORTED, "INPUT_FORBIDDEN_FORMAT");
    both("sdp.mp4", VP_E_UNSUPPORTED, "INPUT_FORBIDDEN_FORMAT");
    both("smil.mp4", VP_E_UNSUPPORTED, "INPUT_FORBIDDEN_FORMAT");
}

static void test_text_only(void **state)
{
    (void)state;
    shell("printf '1\\n00:00:01,000 --> 00:00:02,000\\nhello\\n\\n2\\n00:00:03,000 --> "
          "00:00:04,000\\nhello\\n' >sub.srt; "
          "printf 'WEBVTT\\n\\n00:01.000 --> 00:02.000\\nhi\\n' >sub.vtt; FF -i sub.srt sub.mkv");
    both("sub.srt", VP_E_DATA, "INPUT_NO_VIDEO_OR_AUDIO");
    both("sub.vtt", VP_E_DATA, "INPUT_NO_VIDEO_OR_AUDIO");
    both("sub.mkv", VP_E_DATA, "INPUT_NO_VIDEO_OR_AUDIO");
}

/* File names are never read as addresses or patterns (I40). */
static void test_names(void **state)
{
    static const char *const names[] = { "a:b.mp4",      "x%03d.mp4",     "-x",         "new\nline.mp4",
                                         "\xff\xfe.mp4", "file:base.mp4", "concat:a|b", "http:" };

    (void)state;
    have_base();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char from[600];

        snprintf(from, sizeof(from), "%s", clip_path("base.mp4"));
        assert_int_equal(link(from, clip_path(names[i])), 0);
        vp_media_unref(accepted(names[i], 1));
    }
}

/* ---- what is locked or too large (I38, I41) ---- */

static void test_encrypted(void **state)
{
    (void)state;
    have_base();
    shell("FF -i base.mp4 -c copy -encryption_scheme cenc-aes-ctr -encryption_key "
          "76a6c65c5ea762046bd749a2e632ccbb "
          "-encryption_kid a7e61c373e219033c21091fa607bf3b8 enc.mp4 && "
          "FF -i base.mp4 -c copy a.ts && python3 -c \"d=bytearray(open('a.ts','rb').read())\n"
          "for i in range(0,len(d),188):\n"
          "  if ((d[i+1]&31)<<8|d[i+2])>=256 and d[i+3]&16: d[i+3]|=0x80\n"
          "open('scrambled.ts','wb').write(d)\"");
    both("enc.mp4", VP_E_UNSUPPORTED, "INPUT_ENCRYPTED");
    refused("scrambled.ts", 0, VP_E_UNSUPPORTED, "INPUT_ENCRYPTED");
}

static void with_options(const char *name, const vp_probe_options *options, vp_status status,
                         const char *reason)
{
    vp_error err = VP_ERROR_INIT;
    vp_source *source = clip_source(name);
    vp_media *media = NULL;

    vp_probe(context, source, options, NULL, &media, &err);
    if (strcmp(err.reason, reason) != 0)
        fail_msg("%s: %s (%s), %s expected", name, err.reason, err.message, reason);
    assert_int_equal(err.status, status);
    assert_null(media);
    vp_source_unref(source);
}

static void test_limits(void **state)
{
    static const uint8_t bomb[] =
        "GIF89a\x80\x3e\x80\x3e\0\0\0\x2c\0\0\0\0\x80\x3e\x80\x3e\0\x02\x02\x4c\x01\0\x3b";
    vp_probe_options o = VP_PROBE_OPTIONS_INIT;
    int fd;

    (void)state;
    have_base();
    fd = open(clip_path("bomb.gif"), O_CREAT | O_WRONLY | O_TRUNC, 0600);
    assert_int_equal(write(fd, bomb, sizeof(bomb) - 1), sizeof(bomb) - 1);
    close(fd);
    both("bomb.gif", VP_E_LIMIT, "INPUT_LIMIT");
    for (o.full = 0; o.full < 2; o.full++) {
        o.max_pixels = 128 * 72 - 1;
        with_options("base.mp4", &o, VP_E_LIMIT, "INPUT_LIMIT");
        o.max_pixels = 0;
        o.max_streams = 1;
        with_options("base.mp4", &o, VP_E_LIMIT, "INPUT_LIMIT");
        o.max_streams = 0;
        o.max_duration_us = 1500000;
        with_options("base.mp4", &o, VP_E_LIMIT, "INPUT_LIMIT");
        o.max_duration_us = 0;
        o.max_frame_rate = 29;
        with_options("base.mp4", &o, VP_E_LIMIT, "INPUT_LIMIT");
        o.max_frame_rate = 0;
    }
    /* Streams that show up late are bound as well. */
    shell("FF -i base.mp4 -c:v mpeg2video -c:a mp2 base.mpg && FF -i base.mp4 -c copy base.flv && FF -i "
          "base.mp4 -c copy a.ts");
    o = (vp_probe_options)VP_PROBE_OPTIONS_INIT;
    o.max_pixels = 128 * 72 - 1;
    with_options("base.mpg", &o, VP_E_LIMIT, "INPUT_LIMIT");
    with_options("base.flv", &o, VP_E_LIMIT, "INPUT_LIMIT");
    with_options("a.ts", &o, VP_E_LIMIT, "INPUT_LIMIT");
    /* The container says small, the parameter sets say large. */
    shell("FF -f lavfi -i testsrc2=s=640x480:r=5:d=1 -c:v libx264 -preset ultrafast big.mkv && "
          "python3 -c \"d=bytearray(open('big.mkv','rb').read()); i=d.index(b'\\xb0\\x82\\x02\\x80'); "
          "d[i+2:i+4]=b'\\x00\\x40'; "
          "open('lie.mkv','wb').write(d)\"");
    o.max_pixels = 128 * 480;
    with_options("lie.mkv", &o, VP_E_LIMIT, "INPUT_LIMIT");
}

/* 9.8 hours from two seconds (I26). */
static void test_long(void **state)
{
    vp_media *m;
    vp_probe_options o = VP_PROBE_OPTIONS_INIT;

    (void)state;
    have_base();
    shell("FF -i base.mp4 -map 0:v -c copy -bsf:v setts=ts=TS*18000 long.mp4");
    m = accepted("long.mp4", 1);
    assert_true(m->m.duration_us > INT64_C(35000) * 1000000);
    assert_int_equal(m->m.tracks[0].packets, 60);
    vp_media_unref(m);
    o.max_duration_us = UINT64_C(9) * 3600 * 1000000;
    with_options("long.mp4", &o, VP_E_LIMIT, "INPUT_LIMIT");
}

static void test_unsupported_codec(void **state)
{
    (void)state;
    shell("FF -f lavfi -i testsrc2=s=64x64:d=1:r=10 -c:v cljr cljr.avi");
    both("cljr.avi", VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED");
}

/* ---- damage ---- */

/* Bytes changed anywhere: an answer, never a crash or a hang. */
static void test_mutations(void **state)
{
    static const char *const names[] = { "base.mp4", "base.mkv", "a.ts",       "base.avi",
                                         "base.mpg", "base.flv", "moving.gif", "tone.opus" };
    uint32_t seed = 12345;

    (void)state;
    have_base();
    shell("FF -i base.mp4 -c copy a.ts; FF -i base.mp4 -c copy base.mkv; FF -i base.mp4 -c:v mpeg4 -c:a mp3 "
          "base.avi; "
          "FF -i base.mp4 -c:v mpeg2video -c:a mp2 base.mpg; FF -i base.mp4 -c copy base.flv; "
          "FF -f lavfi -i testsrc2=s=64x64:r=10:d=1 moving.gif; FF -f lavfi -i sine=d=3 tone.opus");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        FILE *f = fopen(clip_path(names[i]), "rb");
        static uint8_t bytes[400000], copy[400000];
        size_t size;

        assert_non_null(f);
        size = fread(bytes, 1, sizeof(bytes), f);
        fclose(f);
        for (unsigned round = 0; round < 24; round++) {
            vp_probe_options o = VP_PROBE_OPTIONS_INIT;
            vp_error err = VP_ERROR_INIT;
            vp_source *source = NULL;
            vp_media *media = NULL;
            size_t near = round % 2 ? size : VPI_MIN(size, 2048);

            memcpy(copy, bytes, size);
            for (unsigned k = 0; k < 1 + round; k++) {
                seed = seed * 1664525 + 1013904223;
                copy[(seed >> 8) % near] = (uint8_t)(seed >> 24);
            }
            if (round % 3 == 0) { /* the index of MP4 is at the end */
                seed = seed * 1664525 + 1013904223;
                copy[size - 1 - (seed >> 8) % VPI_MIN(size, 2500)] ^= (uint8_t)(seed | 1);
            }
            o.full = 1;
            o.timeout_ms = 10000;
            assert_int_equal(vp_source_memory(context, copy, size, &source, &err), VP_OK);
            if (vp_probe(context, source, &o, NULL, &media, &err) < 0) {
                assert_string_not_equal(err.reason, "TIMEOUT");
                assert_true(err.reason[0] != 0);
            }
            vp_media_unref(media);
            vp_source_unref(source);
        }
    }
}

/* Every allocation of ours fails once. */
static void test_no_memory(void **state)
{
    long n;

    (void)state;
    have_base();
    for (int full = 0; full < 2; full++) {
        for (n = 1; n < 3000; n++) {
            vp_probe_options o = VP_PROBE_OPTIONS_INIT;
            vp_error err = VP_ERROR_INIT;
            vp_source *source = clip_source("base.mp4");
            vp_media *media = NULL;
            vp_status st;
            long left;

            o.full = (uint32_t)full;
            atomic_store(&vpi_alloc_fail_at, n);
            st = vp_probe(context, source, &o, NULL, &media, &err);
            left = atomic_exchange(&vpi_alloc_fail_at, 0);
            vp_source_unref(source);
            vp_media_unref(media);
            if (left > 0) break;
            /* A codec string may be missing for lack of memory; nothing else is answered wrongly. */
            if (st < 0) assert_int_equal(st, VP_E_NOMEM);
        }
        assert_true(n > 10 && n < 3000);
    }
}

static void test_arguments(void **state)
{
    vp_probe_options o = VP_PROBE_OPTIONS_INIT, p;
    vp_error err = VP_ERROR_INIT;
    vp_source *source;
    vp_media *media = NULL;

    (void)state;
    have_base();
    source = clip_source("base.mp4");
    assert_int_equal(vp_probe(NULL, source, &o, NULL, &media, &err), VP_E_ARG);
    assert_int_equal(vp_probe(context, NULL, &o, NULL, &media, &err), VP_E_ARG);
    assert_int_equal(vp_probe(context, source, &o, NULL, NULL, NULL), VP_E_ARG);
    o.struct_size = 2;
    assert_int_equal(vp_probe(context, source, &o, NULL, &media, &err), VP_E_ARG);
    o.struct_size = 8; /* an older and shorter one */
    assert_int_equal(vp_probe(context, source, &o, NULL, &media, &err), VP_OK);
    vp_media_unref(media);
    assert_int_equal(vp_probe(context, source, NULL, NULL, &media, NULL), VP_OK);
    vp_media_unref(media);
    vp_probe_options_init(&p, sizeof(p));
    o = (vp_probe_options)VP_PROBE_OPTIONS_INIT;
    assert_memory_equal(&o, &p, sizeof(o));
    vp_source_unref(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_media),
        cmocka_unit_test(test_stills),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_flv_duration),
        cmocka_unit_test(test_joined),
        cmocka_unit_test(test_tails),
        cmocka_unit_test(test_joined_whole),
        cmocka_unit_test(test_forbidden),
        cmocka_unit_test(test_text_only),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_encrypted),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_long),
        cmocka_unit_test(test_unsupported_codec),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_arguments),
    };

    if (!clip_tools()) {
        puts("no ffmpeg tool to make clips with");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, clip_begin, clip_end);
}
