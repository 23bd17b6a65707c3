/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files with sample tables: each sample as ffprobe lists it, odd files refused, damaged ones survived. */
#include "unit/bitstream/tools.h"

#include "bmff/movie.h"

typedef struct packet {
    int64_t pts, dts, size, position;
    bool key;
} packet;

static vp_status read_blob(void *user, uint64_t offset, void *data, size_t size, vp_error *err)
{
    const blob *b = user;
    (void)err;
    assert_true(offset <= b->size && size <= b->size - offset);
    memcpy(data, b->data + offset, size);
    return VP_OK;
}

static vpi_movie_file file_of(blob *b)
{
    return (vpi_movie_file){ .read = read_blob, .user = b, .size = b->size };
}

static size_t list_packets(const char *name, unsigned stream, packet *to, size_t room)
{
    run("ffprobe -v error -select_streams %u -show_entries packet=pts,dts,size,pos,flags -of csv=p=0 %s "
        ">packets.txt",
        stream, name);
    char *text = read_text("packets.txt");
    size_t count = 0;
    for (char *line = text; *line && count < room;) {
        packet *p = &to[count];
        char flag;
        if (*line != '\n' &&
            sscanf(line, "%ld,%ld,%ld,%ld,%c", &p->pts, &p->dts, &p->size, &p->position, &flag) == 5) {
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

/* Every sample of a track, twice: what ffprobe says. Returns how many. */
static size_t check_track(const char *name, unsigned stream)
{
    static packet packets[8192];
    blob b = read_file(name);
    vpi_movie_file file = file_of(&b);
    vpi_movie m;
    vp_error err = VP_ERROR_INIT;
    vpi_movie_cursor *c = NULL;
    size_t count = list_packets(name, stream, packets, VPI_COUNT(packets));
    if (vpi_movie_open(&file, &m, &err) != VP_OK) fail_msg("%s: %s", name, err.message);
    assert_true(stream < m.count);
    const vpi_movie_track *t = &m.tracks[stream];
    assert_int_equal(t->samples, count);
    assert_int_equal(t->descriptions, 1);
    assert_non_null(t->info.codec_config);
    assert_int_equal(vpi_movie_cursor_new(&file, t, &c, &err), VP_OK);
    for (unsigned pass = 0; pass < 2; pass++) {
        vpi_movie_sample s;
        int64_t delay = 0;
        for (size_t i = 0; i < count; i++) {
            if (vpi_movie_next(c, &s, &err) != VP_OK) fail_msg("%s: %s", name, err.message);
            if (i == 0) delay = packets[0].dts - s.dts; /* ffmpeg begins decoding before the edit */
            assert_int_equal(s.dts + delay, packets[i].dts);
            assert_int_equal(s.pts, packets[i].pts);
            assert_int_equal(s.size, packets[i].size);
            assert_int_equal(s.offset, packets[i].position);
            assert_int_equal(s.sync, packets[i].key);
        }
        assert_int_equal(vpi_movie_next(c, &s, &err), VP_END);
        assert_int_equal(vpi_movie_next(c, &s, &err), VP_END);
        vpi_movie_rewind(c);
    }
    vpi_movie_cursor_free(c);
    vpi_movie_dispose(&m);
    free(b.data);
    return count;
}

#define SOURCE                                                                                               \
    "ffmpeg -v error -y -f lavfi -i testsrc2=s=320x180:r=25:d=4 -f lavfi -i sine=d=4:r=48000 -map 0 -map 1 " \
    "-c:v libx264 -preset fast -pix_fmt yuv420p -g 20 -c:a aac -ac 2 "

static void test_tables(void **state)
{
    (void)state;
    run(SOURCE "a.mp4");
    assert_int_equal(check_track("a.mp4", 0), 100);
    assert_true(check_track("a.mp4", 1) > 180);
    run("ffmpeg -v error -y -i a.mp4 -c copy -movflags faststart b.mp4");
    assert_int_equal(check_track("b.mp4", 0), 100);
    run("ffmpeg -v error -y -i a.mp4 -c copy c.mov");
    assert_int_equal(check_track("c.mov", 0), 100);
    assert_true(check_track("c.mov", 1) > 180);
    /* all pictures are sync samples: no stss; no reordering: no ctts */
    run("ffmpeg -v error -y -f lavfi -i testsrc2=s=160x90:r=30000/1001:d=3 -c:v libx264 -g 1 -bf 0 d.mp4");
    assert_int_equal(check_track("d.mp4", 0), 90);
    /* negative composition offsets */
    run("ffmpeg -v error -y -i a.mp4 -c copy -movflags negative_cts_offsets e.mp4");
    assert_int_equal(check_track("e.mp4", 0), 100);
    /* variable rate: many runs in stts */
    run("ffmpeg -v error -y -i a.mp4 -vf \"select='mod(n,7)*mod(n,3)'\" -fps_mode vfr -an -c:v libx264 "
        "f.mp4");
    assert_true(check_track("f.mp4", 0) > 40);
    /* one chunk for each track, and an empty edit */
    run("ffmpeg -v error -y -i a.mp4 -itsoffset 0.5 -i a.mp4 -map 0:v -map 1:a -c copy g.mp4");
    assert_int_equal(check_track("g.mp4", 0), 100);
    assert_true(check_track("g.mp4", 1) > 180);
}

/* Longer than the windows of the tables. */
static void test_windows(void **state)
{
    (void)state;
    run("ffmpeg -v error -y -f lavfi -i color=s=16x16:r=50:d=120 -f lavfi -i sine=d=120:r=48000 -c:v libx264 "
        "-preset ultrafast -bf 2 -g 10 -c:a aac -b:a 32k l.mp4");
    assert_int_equal(check_track("l.mp4", 0), 6000);
    assert_true(check_track("l.mp4", 1) > 5600);
}

static void expect_refused(const char *name)
{
    blob b = read_file(name);
    vpi_movie_file file = file_of(&b);
    vpi_movie m;
    vp_error err = VP_ERROR_INIT;
    assert_int_equal(vpi_movie_open(&file, &m, &err), VP_E_UNSUPPORTED);
    assert_int_equal(m.count, 0);
    assert_null(m.tracks);
    free(b.data);
}

static void test_odd_files(void **state)
{
    (void)state;
    run(SOURCE "a.mp4");
    run("ffmpeg -v error -y -i a.mp4 -c copy -movflags frag_keyframe+empty_moov f.mp4");
    expect_refused("f.mp4");
    run("ffmpeg -v error -y -i a.mp4 -c copy t.ts && ffmpeg -v error -y -i a.mp4 -c copy t.mkv");
    expect_refused("t.ts");
    expect_refused("t.mkv");
    run("head -c 12 a.mp4 >short.mp4 && : >empty.mp4");
    expect_refused("short.mp4");
    expect_refused("empty.mp4");
}

static void walk(const uint8_t *data, size_t size)
{
    blob b = { (uint8_t *)(uintptr_t)data, size };
    vpi_movie_file file = file_of(&b);
    vpi_movie m;
    vp_error err = VP_ERROR_INIT;
    vp_status st = vpi_movie_open(&file, &m, &err);
    if (st != VP_OK) {
        assert_true(st == VP_E_DATA || st == VP_E_UNSUPPORTED);
        assert_int_equal(err.status, st);
        return;
    }
    for (size_t i = 0; i < m.count; i++) {
        vpi_movie_cursor *c = NULL;
        vpi_movie_sample s;
        uint64_t n = 0;
        assert_int_equal(vpi_movie_cursor_new(&file, &m.tracks[i], &c, &err), VP_OK);
        while (n < 100000 && (st = vpi_movie_next(c, &s, &err)) == VP_OK) {
            assert_true(s.size && s.offset + s.size <= size);
            n++;
        }
        assert_true(n == 100000 || st == VP_END || st == VP_E_DATA || st == VP_E_UNSUPPORTED);
        vpi_movie_cursor_free(c);
    }
    vpi_movie_dispose(&m);
}

static void test_damage(void **state)
{
    (void)state;
    /* little else than boxes */
    run("ffmpeg -v error -y -f lavfi -i color=s=16x16:r=25:d=0.4 -f lavfi -i sine=d=0.4 -c:v libx264 -g 4 "
        "-c:a "
        "aac -b:a 8k -x264-params info=0 -movflags faststart s.mp4");
    blob b = read_file("s.mp4");
    torture(b.data, b.size, 20000, walk);
    free(b.data);
}

int main(void)
{
    if (!have_program("ffmpeg") || !have_program("ffprobe") || !have_encoder("libx264")) {
        printf("skipped: no ffmpeg with libx264\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_odd_files),
        cmocka_unit_test(test_damage),
    };
    if (tools_open() != 0) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tools_close();
    return failed;
}
