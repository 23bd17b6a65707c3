/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "clip.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint8_t fake_avcc[] = {
    0x01, 0x64, 0x00, 0x0c, 0xff, 0xe1, 0x00, 0x1c, 0x67, 0x64, 0x00, 0x0c, 0xac, 0xd9, 0x41, 0x41,
    0x9f, 0x9f, 0x01, 0x6a, 0x02, 0x02, 0x02, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x19,
    0x07, 0x8a, 0x14, 0xcb, 0x01, 0x00, 0x04, 0x68, 0xef, 0x8f, 0xcb, 0xfd, 0xf8, 0xf8, 0x00,
};

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static vpi_sample *add(clip *c, const void *data, size_t size, int64_t pts, bool sync)
{
    uint8_t *copy = malloc(size ? size : 1);

    assert_non_null(copy);
    memcpy(copy, data, size);
    assert_true(VPI_GROW(c->samples, c->count, c->cap));
    c->samples[c->count] = (vpi_sample){ .pts = pts, .sync = sync, .data = copy, .size = size };
    return &c->samples[c->count++];
}

void clip_dispose(clip *c)
{
    for (size_t i = 0; i < c->count; i++) free((void *)(uintptr_t)c->samples[i].data);
    vpi_free(c->samples);
    memset(c, 0, sizeof(*c));
}

static size_t put_nal(uint8_t *p, unsigned header, size_t size, uint32_t *random)
{
    p[0] = (uint8_t)(size >> 24);
    p[1] = (uint8_t)(size >> 16);
    p[2] = (uint8_t)(size >> 8);
    p[3] = (uint8_t)size;
    p[4] = (uint8_t)header;
    for (size_t i = 1; i < size; i++) p[4 + i] = (uint8_t)(next_random(random) | 1u);
    return size + 4;
}

void clip_fake_video(clip *c, size_t count, size_t gop, unsigned b, uint32_t timescale, uint64_t frame,
                     unsigned seed)
{
    uint32_t random = seed * 2654435761u + 1;
    uint8_t *data = malloc(200000);

    assert_non_null(data);
    memset(c, 0, sizeof(*c));
    memcpy(c->config, fake_avcc, sizeof(fake_avcc));
    c->setup = (vpi_track_setup){ .kind = VPI_KIND_VIDEO,
                                  .codec = VPI_CODEC_H264,
                                  .timescale = timescale,
                                  .config = c->config,
                                  .config_size = sizeof(fake_avcc),
                                  .width = 320,
                                  .height = 180,
                                  .primaries = 1,
                                  .transfer = 1,
                                  .matrix = 1 };
    for (size_t i = 0; i < count; i++) {
        size_t in_gop = i % gop, shown = i, at = 0;
        bool sync = in_gop == 0;

        /* P b b P b b: the P comes b places early, each b one place late. */
        if (b && !sync) {
            size_t first = i - in_gop + 1, left = VPI_MIN(gop - 1, count - first), k = (in_gop - 1) / (b + 1);
            size_t length = VPI_MIN(b + 1, left - k * (b + 1)), place = (in_gop - 1) % (b + 1);

            shown = first + k * (b + 1) + (place == 0 ? length - 1 : place - 1);
        }
        if (next_random(&random) % 3 == 0) at += put_nal(data + at, 9, 2, &random);
        if (next_random(&random) % 3 == 0)
            at += put_nal(data + at, 6, 5 + next_random(&random) % 40, &random);
        at += put_nal(data + at, sync ? 0x65 : 0x41, 12 + next_random(&random) % (sync ? 60000 : 3000),
                      &random);
        if (next_random(&random) % 4 == 0) {
            at += put_nal(data + at, sync ? 0x65 : 0x41, 2 + next_random(&random) % 500, &random);
        }
        add(c, data, at, (int64_t)(shown * frame), sync);
    }
    c->end = count * frame;
    free(data);
}

void clip_fake_audio(clip *c, size_t count, uint32_t rate, unsigned seed)
{
    uint32_t random = seed * 2654435761u + 7;
    uint8_t data[512];

    memset(c, 0, sizeof(*c));
    assert_true(vpi_asc_write_lc(rate, 2, c->config));
    c->setup = (vpi_track_setup){ .kind = VPI_KIND_AUDIO,
                                  .codec = VPI_CODEC_AAC,
                                  .timescale = rate,
                                  .config = c->config,
                                  .config_size = 2,
                                  .sample_rate = rate,
                                  .channels = 2,
                                  .kbps = 128,
                                  .language = "en" };
    for (size_t i = 0; i < count; i++) {
        size_t size = 6 + next_random(&random) % 400;

        for (size_t k = 0; k < size; k++) data[k] = (uint8_t)next_random(&random);
        add(c, data, size, (int64_t)i * 1024, true);
    }
    c->end = count * 1024;
}

void clip_shift(clip *c, uint64_t ticks)
{
    for (size_t i = 0; i < c->count; i++) c->samples[i].pts += (int64_t)ticks;
    c->end += ticks;
}

/* ---- ffmpeg ---- */

static char tmp_path[64];

const char *tmp_dir(void)
{
    if (!tmp_path[0]) {
        snprintf(tmp_path, sizeof(tmp_path), "%s", "/tmp/vpt-package-XXXXXX");
        assert_non_null(mkdtemp(tmp_path));
    }
    return tmp_path;
}

void tmp_remove(void)
{
    if (tmp_path[0]) run(NULL, "rm -rf %s", tmp_path);
    tmp_path[0] = 0;
}

int run(char **text, const char *format, ...)
{
    char command[4096], part[4096];
    vpi_buf all = { 0 };
    va_list args;
    size_t got;
    FILE *pipe;
    int status;

    va_start(args, format);
    vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    fflush(NULL);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    while ((got = fread(part, 1, sizeof(part), pipe)) > 0) vpi_buf_add(&all, part, got);
    status = pclose(pipe);
    if (text) {
        *text = vpi_buf_steal_string(&all);
        assert_non_null(*text);
    }
    vpi_buf_dispose(&all);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool have_ffmpeg(void)
{
    return run(NULL, "command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null") == 0;
}

uint8_t *get_file(const char *name, size_t *size)
{
    char path[256];
    struct stat st;
    uint8_t *data;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", tmp_dir(), name);
    assert_int_equal(stat(path, &st), 0);
    f = fopen(path, "rb");
    assert_non_null(f);
    data = malloc((size_t)st.st_size + 1);
    assert_non_null(data);
    *size = fread(data, 1, (size_t)st.st_size, f);
    fclose(f);
    return data;
}

void put_file(const char *name, const void *data, size_t size)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", tmp_dir(), name);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

/* One access unit, from AUD to AUD, as length-prefixed sample; parameter sets go to the configuration. */
static void add_unit(clip *c, const uint8_t *data, size_t size, int64_t pts, vpi_nal sets[2])
{
    vpi_buf sample = { 0 };
    bool sync = false;
    size_t at = 0;
    vpi_nal nal;

    while (vpi_annexb_next(data, size, &at, &nal)) {
        unsigned type = vpi_h264_type(&nal);

        if (type == VPI_H264_SPS) sets[0] = nal;
        if (type == VPI_H264_PPS) sets[1] = nal;
        if (type == VPI_H264_IDR) sync = true;
        if (type == VPI_H264_SPS || type == VPI_H264_PPS || type == VPI_H264_AUD) continue;
        vpi_buf_be32(&sample, (uint32_t)nal.size);
        vpi_buf_add(&sample, nal.data, nal.size);
    }
    assert_false(vpi_buf_failed(&sample));
    add(c, sample.data, sample.size, pts, sync);
    vpi_buf_dispose(&sample);
}

static void split_units(clip *c, const uint8_t *data, size_t size, char *times, int64_t base)
{
    vpi_nal sets[2] = { { 0 } }, nal;
    vpi_buf config = { 0 };
    size_t at = 0, begin = 0;
    bool have = false;
    char *line = times;

    while (begin < size) {
        bool more = vpi_annexb_next(data, size, &at, &nal);
        size_t here = more ? (size_t)(nal.data - data) - 3 : size;

        if (more && vpi_h264_type(&nal) != VPI_H264_AUD) continue;
        if (here > 0 && data[here - 1] == 0) here--;
        if (have) {
            int64_t pts = strtoll(line, &line, 10);

            while (*line && *line != '\n') line++;
            while (*line == '\n') line++;
            add_unit(c, data + begin, here - begin, pts - base, sets);
        }
        have = true;
        begin = here;
        if (!more) break;
    }
    assert_int_equal(vpi_avcc_write(&sets[0], 1, &sets[1], 1, &config, NULL), VP_OK);
    assert_true(config.size <= sizeof(c->config));
    memcpy(c->config, config.data, config.size);
    c->setup.config_size = config.size;
    vpi_buf_dispose(&config);
}

void clip_real_video(clip *c, const char *input, const char *options, uint32_t timescale)
{
    char *text, *line;
    vpi_avcc avcc;
    vpi_h264_sps sps;
    uint8_t *data;
    size_t size;
    int64_t first = INT64_MAX, last = 0;

    memset(c, 0, sizeof(*c));
    c->setup = (vpi_track_setup){
        .kind = VPI_KIND_VIDEO, .codec = VPI_CODEC_H264, .timescale = timescale, .config = c->config
    };
    assert_int_equal(
        run(NULL,
            "cd %s && ffmpeg -v error -y %s -an -c:v libx264 -threads 1 -preset veryfast -x264-params "
            "scenecut=0:open-gop=0 %s -video_track_timescale %u clip.mp4 && ffmpeg -v error -y "
            "-i clip.mp4 -c copy -bsf:v h264_mp4toannexb,h264_metadata=aud=insert -f h264 clip.h264",
            tmp_dir(), input, options, (unsigned)timescale),
        0);
    assert_int_equal(run(&text,
                         "cd %s && ffprobe -v error -select_streams v -show_entries packet=pts -of csv=p=0 "
                         "clip.mp4",
                         tmp_dir()),
                     0);
    for (line = text; *line;) {
        int64_t pts = strtoll(line, &line, 10);

        first = VPI_MIN(first, pts);
        last = VPI_MAX(last, pts);
        while (*line && *line != '\n') line++;
        while (*line == '\n') line++;
    }
    data = get_file("clip.h264", &size);
    split_units(c, data, size, text, first);
    free(data);
    vpi_free(text);
    assert_int_equal(vpi_avcc_parse(c->config, c->setup.config_size, &avcc, NULL), VP_OK);
    assert_int_equal(vpi_h264_sps_parse(&avcc.sps[0], &sps, NULL), VP_OK);
    c->setup.width = sps.width;
    c->setup.height = sps.height;
    assert_true(c->count > 1);
    c->end = (uint64_t)(last - first) + (uint64_t)(last - first) / (c->count - 1);
}

void clip_real_audio(clip *c, const char *input, const char *options)
{
    uint8_t *data;
    size_t size, header, frame;
    vpi_asc asc;

    memset(c, 0, sizeof(*c));
    assert_int_equal(run(NULL, "cd %s && ffmpeg -v error -y %s -vn -c:a aac %s -f adts clip.aac", tmp_dir(),
                         input, options),
                     0);
    data = get_file("clip.aac", &size);
    for (size_t at = 0; at < size; at += frame) {
        assert_int_equal(vpi_adts_parse(data + at, size - at, &asc, &header, &frame, NULL), VP_OK);
        add(c, data + at + header, frame - header, (int64_t)c->count * 1024, true);
    }
    free(data);
    assert_true(vpi_asc_write_lc(asc.sample_rate, asc.channels, c->config));
    c->setup = (vpi_track_setup){ .kind = VPI_KIND_AUDIO,
                                  .codec = VPI_CODEC_AAC,
                                  .timescale = asc.sample_rate,
                                  .config = c->config,
                                  .config_size = 2,
                                  .sample_rate = asc.sample_rate,
                                  .channels = asc.channels,
                                  .kbps = 128,
                                  .language = "de" };
    c->end = c->count * 1024;
}

void clip_real_ac3(clip *c, const char *input, const char *options, bool eac3)
{
    const char *name = eac3 ? "eac3" : "ac3";
    vpi_buf config = { 0 };
    size_t size, begin = 0;
    uint32_t samples = 0;
    vpi_ac3 frame;

    memset(c, 0, sizeof(*c));
    assert_int_equal(run(NULL, "cd %s && ffmpeg -v error -y %s -vn -c:a %s %s -f %s clip.%s", tmp_dir(),
                         input, name, options, name, name),
                     0);
    uint8_t *data = get_file(eac3 ? "clip.eac3" : "clip.ac3", &size);
    for (size_t at = 0; at < size; at += frame.frame_bytes) {
        assert_int_equal(vpi_ac3_parse(data + at, size - at, &frame, NULL), VP_OK);
        samples += frame.samples;
        if (samples < 1536) continue;
        add(c, data + begin, at + frame.frame_bytes - begin, (int64_t)c->count * 1536, true);
        begin = at + frame.frame_bytes;
        samples = 0;
    }
    free(data);
    assert_true(c->count > 1);
    assert_int_equal(
        (eac3 ? vpi_dec3_write : vpi_dac3_write)(c->samples[0].data, c->samples[0].size, &config, NULL),
        VP_OK);
    memcpy(c->config, config.data, config.size);
    c->setup = (vpi_track_setup){ .kind = VPI_KIND_AUDIO,
                                  .codec = eac3 ? VPI_CODEC_EAC3 : VPI_CODEC_AC3,
                                  .timescale = frame.sample_rate,
                                  .config = c->config,
                                  .config_size = config.size,
                                  .sample_rate = frame.sample_rate,
                                  .channels = frame.channels,
                                  .language = "de" };
    vpi_track_setup_head(&c->setup, c->samples[0].data, c->samples[0].size);
    c->end = c->count * 1536;
    vpi_buf_dispose(&config);
}

/* ---- segments ---- */

size_t sync_fragments(const clip *c, size_t first, size_t end, size_t *fragments, size_t cap)
{
    size_t count = 0;

    for (size_t i = first; i < end; i++) {
        if (i == first || (c->setup.kind == VPI_KIND_VIDEO && c->samples[i].sync)) {
            assert_true(count < cap);
            fragments[count++] = i - first;
        }
    }
    return count;
}

void clip_cut(const clip *c, size_t first, size_t end, cut *out)
{
    size_t before = 0;

    for (size_t i = 0; i < first; i++) {
        if (c->setup.kind == VPI_KIND_VIDEO && c->samples[i].sync) before++;
    }
    memset(out, 0, sizeof(*out));
    out->in.setup = &c->setup;
    out->in.samples = c->samples + first;
    out->in.count = end - first;
    out->in.fragments = out->fragments;
    out->in.fragment_count = sync_fragments(c, first, end, out->fragments, VPI_COUNT(out->fragments));
    out->in.start = (uint64_t)c->samples[first].pts;
    out->in.end = end < c->count ? (uint64_t)c->samples[end].pts : c->end;
    out->in.first_fragment = before;
    out->in.first_sample = first;
}

static vp_context *context;

vp_context *test_context(void)
{
    vp_error err;

    if (!context && vp_context_new(NULL, &context, &err) < 0) fail_msg("context: %s", err.message);
    return context;
}

void written_begin(written *w)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;

    info.key = "x";
    info.kind = VP_OBJECT_SEGMENT;
    info.content_type = "video/iso.segment";
    assert_int_equal(vp_sink_memory(test_context(), &w->sink, NULL), VP_OK);
    assert_int_equal(vp_sink_begin(w->sink, &info, &w->object, NULL), VP_OK);
}

uint8_t *written_end(written *w, size_t *size)
{
    vp_bytes *bytes = NULL;
    uint8_t *copy;
    uint64_t written_bytes = 0;

    assert_int_equal(vp_object_commit(w->object, &written_bytes, NULL, NULL), VP_OK);
    assert_int_equal(vp_sink_get(w->sink, "x", UINT64_C(1) << 32, &bytes, NULL), VP_OK);
    *size = (size_t)vp_bytes_size(bytes);
    assert_int_equal(*size, written_bytes);
    copy = malloc(*size + 1);
    assert_non_null(copy);
    memcpy(copy, vp_bytes_data(bytes), *size);
    vp_bytes_unref(bytes);
    vp_sink_unref(w->sink);
    return copy;
}

void segment_dispose(vpi_segment *s)
{
    vpi_free(s->key);
    vpi_free(s->fragments);
    memset(s, 0, sizeof(*s));
}
