/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reading.h"

#include <pthread.h>
#include <time.h>

#include "base/buf.h"
#include "base/context.h"
#include "bitstream/bitstream.h"
#include "media/reader_int.h"

static vpi_demux *opened(const char *name)
{
    vp_error err = VP_ERROR_INIT;
    vp_source *source = clip_source(name);
    vpi_demux *d = NULL;

    if (vpi_demux_open(context, source, NULL, NULL, &d, &err) < 0) fail_msg("%s: %s", name, err.message);
    vp_source_unref(source); /* the reader has its own reference */
    return d;
}

static void have_variants(void)
{
    have_base();
    have("a.ts", "FF -i base.mp4 -c copy a.ts");
    have("b.mp4", "FF -f lavfi -i testsrc2=s=128x72:r=25:d=8 -f lavfi -i sine=d=8:r=48000 -c:v libx264 "
                  "-preset veryfast "
                  "-g 50 -bf 2 -x264-params bframes=2:b-adapt=0:open-gop=0 -c:a aac b.mp4");
    have("b.ts", "FF -i b.mp4 -c copy b.ts");
    have("b.mkv", "FF -i b.mp4 -c copy b.mkv");
    have("b.flv", "FF -i b.mp4 -c copy b.flv");
    have("b.mpg", "FF -i b.mp4 -c:v mpeg2video -g 25 -bf 2 -c:a mp2 b.mpg");
}

/* ---- reading ---- */

static void test_read(void **state)
{
    vpi_packet p = { 0 }, q = { 0 };
    vp_error err = VP_ERROR_INIT;
    unsigned video = 0, audio = 0, keys = 0;
    vpi_demux *d;
    vp_status st;

    (void)state;
    have_base();
    d = opened("base.mp4");
    assert_int_equal(vpi_demux_stream_count(d), 2);
    assert_null(vpi_demux_track(d, 2));
    assert_null(vpi_demux_track(d, -1));
    while ((st = vpi_demux_read(d, &p, &err)) == VP_OK) {
        assert_true(p.has_pts && p.size > 0 && p.data);
        if (p.stream == 0) {
            assert_int_equal(p.pts, (int64_t)video * 512);
            video++;
            keys += p.key;
        } else {
            assert_int_equal(p.pts, (int64_t)audio * 1024 - 1024); /* I07 */
            audio++;
        }
        vpi_packet_move(&q, &p);
        assert_null(p.ref);
        assert_non_null(q.ref);
    }
    assert_int_equal(st, VP_END);
    assert_int_equal(video, 60);
    assert_int_equal(keys, 2);
    assert_true(audio >= 94);
    assert_int_equal(vpi_demux_read(d, &p, &err), VP_END);
    vpi_packet_dispose(&q);
    vpi_packet_dispose(&q);
    assert_null(vpi_demux_close(d));
    assert_null(vpi_demux_close(NULL));
}

static void test_select(void **state)
{
    static const char *const names[] = { "b.mp4", "b.mkv", "b.ts", "b.flv" };
    vp_error err = VP_ERROR_INIT;
    const int32_t one = 1;

    (void)state;
    have_variants();
    for (size_t i = 0; i < 4; i++) {
        vpi_demux *d = opened(names[i]);
        vpi_packet p = { 0 };
        unsigned n = 0;

        vpi_demux_select(d, &one, 1);
        while (vpi_demux_read(d, &p, &err) == VP_OK) {
            assert_int_equal(p.stream, 1);
            n++;
        }
        assert_true(n > 300);
        vpi_packet_dispose(&p);
        vpi_demux_close(d);
    }
}

/* ---- edits ---- */

/* Replaces the edit list of each track, which the file has; moov stands at the end. Times in seconds of the media. */
static const char edit_py[] =
    "import struct,sys\n"
    "d = bytearray(open('long.mp4', 'rb').read())\n"
    "u32 = lambda at: struct.unpack_from('>I', d, at)[0]\n"
    "movie, at = u32(d.index(b'mvhd') + 16), d.index(b'moov') - 4\n"
    "edits = [tuple(map(float, x.split(','))) for x in sys.argv[2:]]\n"
    "for _ in range(2):\n"
    "    at = d.index(b'elst', at) - 4\n"
    "    media, size, first = u32(d.index(b'mdhd', at) + 16), u32(at), u32(at + 20)\n"
    "    table = b''.join(struct.pack('>IiI', round(l * movie), first + round(m * media) if m >= 0 else -1, "
    "65536)\n"
    "                     for l, m in edits)\n"
    "    new = struct.pack('>I4sII', 16 + len(table), b'elst', 0, len(edits)) + table\n"
    "    for parent in (b'edts', b'trak', b'moov'):\n"
    "        p = d.rindex(parent, 0, at) - 4\n"
    "        struct.pack_into('>I', d, p, u32(p) + len(new) - size)\n"
    "    d[at:at + size] = new\n"
    "    at += len(new)\n"
    "open(sys.argv[1], 'wb').write(d)\n";

static void have_edited(const char *name, const char *edits)
{
    char command[3000];

    have("long.mp4",
         "FF -f lavfi -i testsrc2=s=64x64:r=25:d=20 -f lavfi -i sine=d=20:r=48000 -c:v libx264 "
         "-preset veryfast -threads 1 -bf 2 -g 50 -keyint_min 50 -sc_threshold 0 -c:a aac long.mp4");
    snprintf(command, sizeof(command), "cat >edit.py <<'END'\n%s\nEND\npython3 edit.py %s %s", edit_py, name,
             edits);
    shell(command);
}

/* 4.01 to 6.01 s, half a second of nothing, 15.03 to 17.03 s. */
static void test_edits(void **state)
{
    static const int64_t at_ms[] = { 100, 1900, 2200, 2600, 3000, 4400 };
    vp_error err = VP_ERROR_INIT;
    vpi_packet p = { 0 };
    const int32_t video = 0;
    int64_t scale, shown = 0, hidden = 0, last = 0, furthest = 0;
    vpi_demux *d;

    (void)state;
    have_edited("edited.mp4", "2,4.01 0.5,-1 2,15.03");
    d = opened("edited.mp4");
    scale = vpi_demux_track(d, video)->tb.den;
    assert_int_equal(vpi_demux_track(d, video)->start, 0);
    assert_int_equal(vpi_demux_track(d, video)->end, 4500 * scale / 1000);
    vpi_demux_select(d, &video, 1);
    while (vpi_demux_read(d, &p, &err) == VP_OK) {
        assert_true(p.edit == 1 || p.edit == 2 || p.discard);
        hidden += p.discard;
        shown += !p.discard;
        if (p.discard) continue;
        /* the picture that an edit begins within is there from its begin on, cut like the last one */
        assert_true(p.edit == 1 ? p.pts >= 0 && p.pts + p.duration <= 2000 * scale / 1000
                                : p.pts >= 2500 * scale / 1000 && p.pts + p.duration <= 4500 * scale / 1000);
        if (p.edit != last) assert_int_equal(p.pts, p.edit == 1 ? 0 : 2500 * scale / 1000);
        last = p.edit;
        furthest = VPI_MAX(furthest, p.position);
    }
    assert_true(shown == 102 || shown == 103);
    /* no more than from the access point before is decoded, and nothing behind */
    assert_true(hidden > 50 && hidden < 170);
    assert_true((uint64_t)furthest < vpi_demux_avio(d)->size * 95 / 100);
    for (size_t i = 0; i < sizeof(at_ms) / sizeof(at_ms[0]); i++) {
        bool reached = false;

        assert_int_equal(vpi_demux_seek(d, video, at_ms[i] * scale / 1000, &err), VP_OK);
        assert_int_equal(vpi_demux_read(d, &p, &err), VP_OK);
        assert_true(p.key && p.pts <= at_ms[i] * scale / 1000);
        do {
            int64_t end = p.pts + (p.edit == 1 ? VPI_MAX(p.duration, 501 * scale / 1000) : p.duration);

            reached =
                reached || (!p.discard && p.pts <= at_ms[i] * scale / 1000 && end > at_ms[i] * scale / 1000);
        } while (vpi_demux_read(d, &p, &err) == VP_OK);
        if (!reached) fail_msg("nothing is shown at %lld ms", (long long)at_ms[i]);
    }
    vpi_packet_dispose(&p);
    vpi_demux_close(d);
}

/* Sound is cut to the sample: by what decoders are told to skip. */
static void test_edited_sound(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vpi_packet p = { 0 };
    const int32_t sound = 1;
    int64_t samples[3] = { 0 };
    vpi_demux *d;

    (void)state;
    have_edited("edited.mp4", "2,4.01 0.5,-1 2,15.03");
    d = opened("edited.mp4");
    assert_int_equal(vpi_demux_track(d, sound)->tb.den, 48000);
    vpi_demux_select(d, &sound, 1);
    while (vpi_demux_read(d, &p, &err) == VP_OK) {
        uint32_t before, behind;

        if (p.discard) continue;
        vpi_packet_skips(vpi_packet_av(&p), &before, &behind);
        assert_in_range(p.edit, 1, 2);
        if (!samples[p.edit]) assert_int_equal(p.pts + before, p.edit == 1 ? 0 : 120000);
        samples[p.edit] += p.duration - before - behind;
    }
    assert_int_equal(samples[1], 96000);
    assert_int_equal(samples[2], 96000);
    vpi_packet_dispose(&p);
    vpi_demux_close(d);
}

/* Lists that this is not for stay with libavformat, and are told. */
static void test_other_edits(void **state)
{
    static const struct {
        const char *edits;
        bool told;
    } table[] = { { "2,4 2,2", true },  { "2,4 2,4", true }, { "2,4 2,5", true },
                  { "2,4 2,6", false }, { "20,0", false },   { "0.2,-1 5,0", false } };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        vp_media *media;

        have_edited("other.mp4", table[i].edits);
        media = accepted("other.mp4", 1);
        if ((warned(media, "EDIT_LIST_APPROXIMATED") != NULL) != table[i].told)
            fail_msg("%s: %s", table[i].edits, table[i].told ? "not told" : "told");
        vp_media_unref(media);
    }
}

/* ---- seeking ---- */

/* Lands on a random access point at or before, not needlessly far before, and reading goes on from there. */
static void test_seek(void **state)
{
    static const char *const names[] = { "b.mp4", "b.mkv", "b.ts", "b.flv", "b.mpg" };
    static const int at_ms[] = { 7900, 100, 4010, 3990, 0, -500, 2000, 100000, 6001 };

    (void)state;
    have_variants();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        vpi_demux *d = opened(names[i]);
        const vpi_track *t = vpi_demux_track(d, 0);
        const int32_t video = t->kind == VPI_KIND_VIDEO ? 0 : 1;
        vp_error err = VP_ERROR_INIT;

        t = vpi_demux_track(d, video);
        vpi_demux_select(d, &video, 1);
        for (size_t k = 0; k < sizeof(at_ms) / sizeof(at_ms[0]); k++) {
            int64_t ms = t->tb.den / 1000 / t->tb.num,
                    target = t->start + at_ms[k] * t->tb.den / (1000 * t->tb.num);
            vpi_packet p = { 0 };
            unsigned n = 0;

            assert_int_equal(vpi_demux_seek(d, video, target, &err), VP_OK);
            while (vpi_demux_read(d, &p, &err) == VP_OK) {
                if (n++ > 0) continue;
                assert_true(p.key && p.has_pts);
                if (at_ms[k] <= 0)
                    assert_true(p.pts <= t->start + ms * 100);
                else
                    assert_true(p.pts <= target);
                if (at_ms[k] > 0 && at_ms[k] < 8000 && p.pts < target - ms * 7000) {
                    fail_msg("%s: %d ms landed %lld ms before", names[i], at_ms[k],
                             (long long)((target - p.pts) / ms));
                }
            }
            assert_true(n > 0);
            if (at_ms[k] <= 0) assert_true(n >= 199);
            vpi_packet_dispose(&p);
        }
        assert_int_equal(vpi_demux_seek(d, 99, 0, &err), VP_E_ARG);
        vpi_demux_close(d);
    }
}

/* ---- packaging ---- */

static void test_config(void **state)
{
    static const struct {
        const char *name, *command;
        size_t min, max;
    } table[] = {
        { "c1.mp4", "FF -i base.mp4 -an -c copy c1.mp4", 20, 200 },
        { "c2.ts", "FF -i base.mp4 -an -c copy c2.ts", 20, 200 },
        { "c3.ts", "FF -i base.mp4 -vn -c copy c3.ts", 2, 2 },
        { "c4.m4a", "FF -i base.mp4 -vn -c copy c4.m4a", 2, 5 },
        { "c5.webm",
          "FF -f lavfi -i testsrc2=s=64x64:d=1 -c:v libvpx-vp9 -deadline realtime -cpu-used 8 c5.webm", 8,
          8 },
        { "c6.opus", "FF -f lavfi -i sine=d=1 c6.opus", 11, 11 },
        { "c7.flac", "FF -f lavfi -i sine=d=1 c7.flac", 38, 38 },
        { "c8.ts", "FF -f lavfi -i sine=d=1 -c:a ac3 c8.ts", 3, 3 },
        { "c9.mp4", "FF -i base.mp4 -an -c:v libx265 -x265-params log-level=none c9.mp4", 23, 5000 },
    };

    (void)state;
    have_base();
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        vp_error err = VP_ERROR_INIT;
        const uint8_t *data;
        size_t size;
        vpi_packet p = { 0 };
        vpi_demux *d;

        shell(table[i].command);
        d = opened(table[i].name);
        if (vpi_demux_config(d, 0, &data, &size, &err) != VP_OK)
            fail_msg("%s: %s", table[i].name, err.message);
        if (size < table[i].min || size > table[i].max) fail_msg("%s: %zu bytes", table[i].name, size);
        assert_int_equal(vpi_demux_read(d, &p, &err), VP_OK); /* what was looked at is not lost */
        assert_true(p.key);
        vpi_packet_dispose(&p);
        vpi_demux_close(d);
    }
    {
        vpi_demux *d;
        vp_error err = VP_ERROR_INIT;
        const uint8_t *data;
        size_t size;

        shell("FF -i base.mp4 -an -c:v mpeg4 c10.mp4");
        d = opened("c10.mp4");
        assert_int_equal(vpi_demux_config(d, 0, &data, &size, &err), VP_E_UNSUPPORTED);
        assert_string_equal(err.reason, "CODEC_UNSUPPORTED");
        vpi_demux_close(d);
    }
}

static bool is_media_nal(const vpi_nal *n)
{
    unsigned type = vpi_h264_type(n);

    return type == VPI_H264_SLICE || type == VPI_H264_IDR;
}

/* The slices of a length-prefixed sample, hashed by simple addition of all bytes and places. */
static uint64_t slices(const vpi_packet *p, bool *clean)
{
    uint64_t sum = 0;
    size_t at = 0;
    vpi_nal n;
    bool bad = false;

    while (vpi_avcc_next(p->data, p->size, 4, &at, &n, &bad)) {
        unsigned type = vpi_h264_type(&n);

        if (type == VPI_H264_AUD || type == VPI_H264_SPS || type == VPI_H264_PPS) *clean = false;
        if (!is_media_nal(&n)) continue;
        for (size_t i = 0; i < n.size; i++) sum = sum * 31 + n.data[i];
    }
    assert_false(bad);
    return sum;
}

/* A transport stream of an MP4's streams gives the MP4's samples back. */
static void test_as_mp4(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vpi_demux *mp4, *ts;
    const uint8_t *c1, *c2;
    size_t s1, s2;

    (void)state;
    have_variants();
    for (int32_t stream = 0; stream < 2; stream++) {
        vpi_packet a = { 0 }, b = { 0 };
        unsigned n = 0;

        mp4 = opened("b.mp4");
        ts = opened("b.ts");
        vpi_demux_select(mp4, &stream, 1);
        vpi_demux_select(ts, &stream, 1);
        assert_int_equal(vpi_demux_as_mp4(mp4, stream, &err), VP_OK);
        assert_int_equal(vpi_demux_as_mp4(ts, stream, &err), VP_OK);
        assert_int_equal(vpi_demux_config(mp4, stream, &c1, &s1, &err), VP_OK);
        assert_int_equal(vpi_demux_config(ts, stream, &c2, &s2, &err), VP_OK);
        if (stream == 0) {
            vpi_avcc x, y;

            assert_int_equal(vpi_avcc_parse(c1, s1, &x, &err), VP_OK);
            assert_int_equal(vpi_avcc_parse(c2, s2, &y, &err), VP_OK);
            assert_int_equal(x.sps[0].size, y.sps[0].size);
            assert_memory_equal(x.sps[0].data, y.sps[0].data, x.sps[0].size);
            assert_memory_equal(x.pps[0].data, y.pps[0].data, x.pps[0].size);
        } else {
            assert_memory_equal(c1, c2, 2); /* the first two bytes: object type, rate, channels */
        }
        while (vpi_demux_read(mp4, &a, &err) == VP_OK) {
            bool clean = true;

            if (vpi_demux_read(ts, &b, &err) != VP_OK) fail_msg("stream %d: %u of the TS", stream, n);
            assert_int_equal(a.key, b.key);
            if (stream == 0) {
                assert_true(slices(&a, &clean) == slices(&b, &clean));
                clean = true;
                slices(&b, &clean);
                assert_true(clean);
            } else {
                assert_int_equal(a.size, b.size);
                assert_memory_equal(a.data, b.data, a.size);
            }
            n++;
        }
        assert_int_equal(vpi_demux_read(ts, &b, &err), VP_END);
        assert_true(n >= 200);
        vpi_packet_dispose(&a);
        vpi_packet_dispose(&b);
        vpi_demux_close(mp4);
        vpi_demux_close(ts);
    }
}

/* Parameter sets that change within a stream cannot be taken out of it. */
static void test_changing_sets(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vpi_packet p = { 0 };
    vpi_demux *d;
    vp_status st;

    (void)state;
    have_base();
    shell("FF -f lavfi -i testsrc2=s=128x72:d=1 -c:v libx264 one.ts; FF -f lavfi -i testsrc2=s=96x128:d=1 "
          "-c:v libx264 "
          "-output_ts_offset 1 two.ts; cat one.ts two.ts >change.ts");
    d = opened("change.ts");
    assert_int_equal(vpi_demux_as_mp4(d, 0, &err), VP_OK);
    while ((st = vpi_demux_read(d, &p, &err)) == VP_OK) continue;
    assert_int_equal(st, VP_E_UNSUPPORTED);
    assert_string_equal(err.reason, "CODEC_UNSUPPORTED");
    vpi_packet_dispose(&p);
    vpi_demux_close(d);
}

/* ---- sources that fail ---- */

typedef struct bad_source {
    uint8_t *bytes;
    uint64_t size, fail_at, short_at; /* 0: never */
    unsigned delay_ms;
    vp_cancel *cancel; /* fired at fire_at */
    uint64_t fire_at, reads;
} bad_source;

static vp_status bad_read(void *user, uint64_t offset, void *data, size_t capacity, size_t *got,
                          vp_error *err)
{
    bad_source *b = user;
    uint64_t end = b->short_at ? VPI_MIN(b->short_at, b->size) : b->size;

    b->reads++;
    if (b->delay_ms) {
        struct timespec t = { 0, (long)b->delay_ms * 1000000 };

        nanosleep(&t, NULL);
        capacity = VPI_MIN(capacity, 512);
    }
    if (b->cancel && offset + capacity > b->fire_at) vp_cancel_fire(b->cancel);
    if (b->fail_at && offset + capacity > b->fail_at) {
        return vp_error_set(err, VP_E_IO, "CONNECTION_FAILED", 4711, "the host's line is down");
    }
    *got = offset >= end ? 0 : (size_t)VPI_MIN((uint64_t)capacity, end - offset);
    if (*got) memcpy(data, b->bytes + offset, *got);
    return VP_OK;
}

static vp_status bad_size(void *user, uint64_t *bytes, vp_error *err)
{
    (void)err;
    *bytes = ((bad_source *)user)->size;
    return VP_OK;
}

static vp_source *bad_open(bad_source *b, const char *name)
{
    vp_source_ops ops = VP_SOURCE_OPS_INIT;
    vp_error err = VP_ERROR_INIT;
    vp_source *source = NULL;
    FILE *f = fopen(clip_path(name), "rb");

    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    b->size = (uint64_t)ftell(f);
    rewind(f);
    free(b->bytes);
    b->bytes = malloc(b->size);
    assert_int_equal(fread(b->bytes, 1, b->size, f), b->size);
    fclose(f);
    ops.read_at = bad_read;
    ops.size = bad_size;
    assert_int_equal(vp_source_new(context, &ops, b, &source, &err), VP_OK);
    return source;
}

static void have_large(void)
{
    static const char *const kinds[] = { "mp4", "mkv", "ts", "flv", "avi", "mpg" };
    char command[256];

    have("big.mp4", "FF -f lavfi -i testsrc2=s=640x360:r=25:d=12 -f lavfi -i sine=d=12 -c:v libx264 -preset "
                    "ultrafast -b:v 3M "
                    "-c:a aac -movflags +faststart big.mp4");
    for (size_t i = 1; i < 6; i++) {
        char name[16];

        snprintf(name, sizeof(name), "big.%s", kinds[i]);
        snprintf(command, sizeof(command), "FF -i big.mp4 %s %s",
                 i < 4    ? "-c copy"
                 : i == 4 ? "-c:v mpeg4 -b:v 3M -c:a mp3"
                          : "-c:v mpeg2video -b:v 3M -c:a mp2",
                 name);
        have(name, command);
    }
}

/* A failed read in the middle is the host's own failure, not the end of a short file. */
static void test_read_error(void **state)
{
    static const char *const names[] = { "big.mp4", "big.mkv", "big.ts", "big.flv", "big.avi", "big.mpg" };

    (void)state;
    have_large();
    for (size_t i = 0; i < 6; i++) {
        bad_source b = { 0 };
        vp_source *source = bad_open(&b, names[i]);
        vp_error err = VP_ERROR_INIT;
        vp_probe_options o = VP_PROBE_OPTIONS_INIT;
        vp_media *media = NULL;
        vpi_packet p = { 0 };
        vpi_demux *d = NULL;
        vp_status st;

        o.full = 1;
        b.fail_at = b.size * 6 / 10;
        st = vp_probe(context, source, &o, NULL, &media, &err);
        if (st != VP_E_IO) fail_msg("%s: %d %s", names[i], st, err.message);
        assert_string_equal(err.reason, "CONNECTION_FAILED");
        assert_int_equal(err.native, 4711);
        assert_true(err.flags & VP_ERRF_FROM_HOST);
        b.fail_at = 0;
        vp_error_init(&err);
        assert_int_equal(vpi_demux_open(context, source, NULL, NULL, &d, &err), VP_OK);
        b.fail_at = b.size * 6 / 10;
        while ((st = vpi_demux_read(d, &p, &err)) == VP_OK) continue;
        assert_int_equal(st, VP_E_IO);
        assert_string_equal(err.reason, "CONNECTION_FAILED");
        vpi_packet_dispose(&p);
        vpi_demux_close(d);
        /* One byte into the file already. */
        b.fail_at = 1;
        vp_error_init(&err);
        assert_int_equal(vp_probe(context, source, NULL, NULL, &media, &err), VP_E_IO);
        assert_string_equal(err.reason, "CONNECTION_FAILED");
        vp_source_unref(source);
        free(b.bytes);
    }
}

/* Bytes end before the size that the source has told. */
static void test_short_source(void **state)
{
    static const char *const names[] = { "big.mp4", "big.mkv", "big.ts", "big.flv" };

    (void)state;
    have_large();
    for (size_t i = 0; i < 4; i++) {
        bad_source b = { 0 };
        vp_source *source = bad_open(&b, names[i]);
        vp_error err = VP_ERROR_INIT;
        vp_probe_options o = VP_PROBE_OPTIONS_INIT;
        vp_media *media = NULL;
        vp_status st;

        o.full = 1;
        b.short_at = b.size * 6 / 10;
        st = vp_probe(context, source, &o, NULL, &media, &err);
        if (st >= 0 || (strcmp(err.reason, "INPUT_TRUNCATED") != 0 && st != VP_E_IO)) {
            fail_msg("%s: %d %s %s", names[i], st, err.reason, err.message);
        }
        vp_source_unref(source);
        free(b.bytes);
    }
}

static void test_cancel(void **state)
{
    bad_source b = { 0 };
    vp_error err = VP_ERROR_INIT;
    vp_probe_options o = VP_PROBE_OPTIONS_INIT;
    vp_media *media = NULL;
    vp_source *source;

    (void)state;
    have_large();
    source = bad_open(&b, "big.ts");
    for (unsigned part = 0; part < 5; part++) {
        assert_int_equal(vp_cancel_new(&b.cancel, &err), VP_OK);
        b.fire_at = b.size * part / 5;
        o.full = 1;
        assert_int_equal(vp_probe(context, source, &o, b.cancel, &media, &err), VP_E_CANCELED);
        assert_string_equal(err.reason, "CANCELED");
        assert_null(media);
        b.cancel = vp_cancel_unref(b.cancel);
    }
    vp_source_unref(source);
    free(b.bytes);
}

/* A source that drips: the deadline of the options ends it. */
static void test_timeout(void **state)
{
    vp_probe_options o = VP_PROBE_OPTIONS_INIT;

    (void)state;
    have_large();
    o.timeout_ms = 300;
    for (o.full = 0; o.full < 2; o.full++) {
        bad_source b = { .delay_ms = 2 };
        vp_source *source = bad_open(&b, "big.ts");
        vp_error err = VP_ERROR_INIT;
        vp_media *media = NULL;
        int64_t start = vpi_now_us();

        assert_int_equal(vp_probe(context, source, &o, NULL, &media, &err), VP_E_LIMIT);
        assert_string_equal(err.reason, "TIMEOUT");
        assert_true(vpi_now_us() - start < 2500000);
        vp_source_unref(source);
        free(b.bytes);
    }
}

static void test_closed_context(void **state)
{
    vp_context *own = NULL;
    vp_error err = VP_ERROR_INIT;
    vp_source *source;
    vp_media *media = NULL;

    (void)state;
    have_base();
    source = clip_source("base.mp4");
    assert_int_equal(vp_context_new(NULL, &own, &err), VP_OK);
    assert_int_equal(vp_context_close(own, &err), VP_OK);
    assert_int_equal(vp_probe(own, source, NULL, NULL, &media, &err), VP_E_STATE);
    vp_context_unref(own);
    vp_source_unref(source);
}

/* ---- scan ---- */

static uint64_t told_last, told_total, told_count;

static void told(void *user, uint64_t done, uint64_t total)
{
    assert_ptr_equal(user, &told_count);
    assert_true(done >= told_last && done <= total);
    told_last = done;
    told_total = total;
    told_count++;
}

static void test_progress(void **state)
{
    vp_error err = VP_ERROR_INIT;
    vp_media *media = NULL;
    vp_source *source;
    uint64_t size;

    (void)state;
    have_large();
    source = clip_source("big.mp4");
    assert_int_equal(vp_source_size(source, &size, &err), VP_OK);
    assert_int_equal(vpi_scan(context, source, NULL, NULL, told, &told_count, &media, &err), VP_OK);
    assert_int_equal(told_last, size);
    assert_int_equal(told_total, size);
    assert_true(told_count >= 2);
    assert_true(media->m.full && media->m.seekable);
    vp_media_unref(media);
    vp_source_unref(source);
}

/* Two probes of one source at a time share nothing. */
static void *probe_thread(void *arg)
{
    vp_error err = VP_ERROR_INIT;
    vp_probe_options o = VP_PROBE_OPTIONS_INIT;
    vp_media *media = NULL;

    o.full = 1;
    for (int i = 0; i < 5; i++) {
        if (vp_probe(context, arg, &o, NULL, &media, &err) < 0) return arg;
        vp_media_unref(media);
    }
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t threads[3];
    vp_source *source;
    void *result;

    (void)state;
    have_base();
    source = clip_source("base.mp4");
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, probe_thread, source), 0);
    for (size_t i = 0; i < 3; i++) {
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    vp_source_unref(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),          cmocka_unit_test(test_select),
        cmocka_unit_test(test_edits),         cmocka_unit_test(test_edited_sound),
        cmocka_unit_test(test_other_edits),   cmocka_unit_test(test_seek),
        cmocka_unit_test(test_config),        cmocka_unit_test(test_as_mp4),
        cmocka_unit_test(test_changing_sets), cmocka_unit_test(test_read_error),
        cmocka_unit_test(test_short_source),  cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_timeout),       cmocka_unit_test(test_closed_context),
        cmocka_unit_test(test_progress),      cmocka_unit_test(test_threads),
    };

    if (!clip_tools()) {
        puts("no ffmpeg tool to make clips with");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, clip_begin, clip_end);
}
