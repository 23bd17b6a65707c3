/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "title.h"

#include <vodpipe/manifest.h>

#include "bitstream/bitstream.h"

enum { RATE = 25, SCALE = 12800, FRAME = SCALE / RATE, GOP = 25, SOUND = 48000, AAC = 1024 };

/* ---- parameter sets ---- */

typedef struct bit_writer {
    uint8_t data[64];
    size_t bits;
} bit_writer;

static void put(bit_writer *b, uint32_t value, unsigned count)
{
    while (count-- > 0) {
        if (value >> count & 1u) b->data[b->bits / 8] |= (uint8_t)(0x80u >> b->bits % 8);
        b->bits++;
    }
}

static void put_ue(bit_writer *b, uint32_t value)
{
    unsigned length = 0;

    while ((value + 1) >> length > 1) length++;
    put(b, 0, length);
    put(b, value + 1, length + 1);
}

/* Main profile, level 3.0, one reference (H.264 7.3.2.1.1). */
static size_t make_sps(unsigned width, unsigned height, uint8_t *to)
{
    bit_writer b = { .bits = 0 };

    put(&b, 0x674D001E, 32);
    put_ue(&b, 0); /* id */
    put_ue(&b, 0); /* log2_max_frame_num - 4 */
    put_ue(&b, 2); /* pic_order_cnt_type */
    put_ue(&b, 1); /* max_num_ref_frames */
    put(&b, 0, 1);
    put_ue(&b, width / 16 - 1);
    put_ue(&b, height / 16 - 1);
    put(&b, 1, 1); /* frame_mbs_only */
    put(&b, 1, 1); /* direct_8x8 */
    put(&b, 0, 2); /* cropping, VUI */
    put(&b, 1, 1);
    memcpy(to, b.data, (b.bits + 7) / 8);
    return (b.bits + 7) / 8;
}

/* ---- tracks ---- */

void title_avcc(unsigned width, unsigned height, vpi_buf *to)
{
    static const uint8_t pps_bytes[] = { 0x68, 0xCE, 0x38, 0x80 };
    uint8_t sps_bytes[64];
    vpi_nal sps = { sps_bytes, make_sps(width, height, sps_bytes) }, pps = { pps_bytes, sizeof(pps_bytes) };

    assert_int_equal(vpi_avcc_write(&sps, 1, &pps, 1, to, NULL), VP_OK);
}

static uint32_t add_video(title *t, vp_packager *pk, const char *name, unsigned width, unsigned height)
{
    vp_track_config c;
    vpi_buf config = { 0 };
    uint32_t track = 0;

    title_avcc(width, height, &config);
    vp_track_config_init(&c, sizeof(c));
    c.codec = VP_CODEC_H264;
    c.config = config.data;
    c.config_size = (uint32_t)config.size;
    c.timescale = SCALE;
    c.name = name;
    c.frame_rate_num = RATE;
    c.frame_rate_den = 1;
    assert_int_equal(vp_packager_add_track(pk, &c, &track, &t->err), VP_OK);
    vpi_buf_dispose(&config);
    return track;
}

static uint32_t add_audio(title *t, vp_packager *pk, const char *name, const char *language, bool is_default)
{
    vp_track_config c;
    uint8_t asc[2];
    uint32_t track = 0;

    assert_true(vpi_asc_write_lc(SOUND, 2, asc));
    vp_track_config_init(&c, sizeof(c));
    c.codec = VP_CODEC_AAC;
    c.config = asc;
    c.config_size = sizeof(asc);
    c.timescale = SOUND;
    c.name = name;
    c.language = language;
    c.is_default = is_default;
    assert_int_equal(vp_packager_add_track(pk, &c, &track, &t->err), VP_OK);
    return track;
}

static void write_sample(title *t, vp_packager *pk, uint32_t track, int64_t pts, uint64_t duration,
                         bool video, bool sync, size_t size)
{
    uint8_t data[4096];
    vp_sample s;

    for (size_t i = 0; i < size; i++) data[i] = (uint8_t)(i * 7 + (size_t)pts + track * 31 + 1);
    if (video) {
        memset(data, 0, 3);
        data[2] = (uint8_t)((size - 4) >> 8);
        data[3] = (uint8_t)(size - 4);
        data[4] = sync ? 0x65 : 0x41;
        for (size_t i = 5; i < size; i++) data[i] |= 0x10; /* no start codes */
    }
    vp_sample_init(&s, sizeof(s));
    s.flags = sync ? VP_SAMPLE_SYNC : 0;
    s.pts = pts;
    s.duration = duration;
    s.data = data;
    s.size = size;
    assert_int_equal(vp_packager_write(pk, track, &s, &t->err), VP_OK);
}

static void write_samples(title *t, vp_packager *pk, const uint32_t *video, size_t videos,
                          const uint32_t *audio, size_t audios, double seconds)
{
    int64_t pictures = (int64_t)(seconds * (int)RATE),
            frames = (int64_t)(seconds * (int)SOUND / (int)AAC + 0.5), done = 0;

    if (frames < 1) frames = 1;
    for (int64_t i = 0; i < pictures || done < frames; i++) {
        for (size_t k = 0; i < pictures && k < videos; k++) {
            bool sync = i % GOP == 0;

            write_sample(t, pk, video[k], i * FRAME, FRAME, true, sync,
                         (sync ? 2400u : 700u) / (k + 1) + (size_t)(i % 7));
        }
        for (; done < frames && (i >= pictures || done * AAC * RATE <= i * SOUND); done++) {
            for (size_t k = 0; k < audios; k++)
                write_sample(t, pk, audio[k], done * AAC, AAC, false, true, 200);
        }
    }
}

/* ---- the whole ---- */

void title_open(title *t)
{
    memset(t, 0, sizeof(*t));
    vp_error_init(&t->err);
    assert_int_equal(vp_context_new(NULL, &t->context, &t->err), VP_OK);
    assert_int_equal(vp_sink_memory(t->context, &t->sink, &t->err), VP_OK);
    assert_int_equal(vp_store_memory(t->context, &t->store, &t->err), VP_OK);
}

void title_make(title *t, const title_options *o)
{
    static const char *const names[] = { "en-stereo", "fr-stereo" }, *const languages[] = { "en", "fr" };
    vp_package_options options = VP_PACKAGE_OPTIONS_INIT;
    vp_packager *pk = NULL;
    uint32_t video[2], audio[2];
    size_t videos = 0, audios = 0, wanted = o->no_audio ? 0 : VPI_MAX(o->audio_tracks, 1);

    title_open(t);
    options.formats = o->formats;
    options.segment_ms = 2000;
    options.fragment_ms = 1000;
    options.single_file = o->single_file;
    options.prefix = VERSION_FOLDER;
    assert_int_equal(vp_packager_new(t->context, &options, t->sink, t->store, &pk, &t->err), VP_OK);
    if (!o->no_video) {
        video[videos++] = add_video(t, pk, "192p", 320, 192);
        video[videos++] = add_video(t, pk, "96p", 160, 96);
    }
    for (; audios < wanted; audios++) {
        audio[audios] = add_audio(t, pk, names[audios], languages[audios], audios == 0);
    }
    write_samples(t, pk, video, videos, audio, audios, o->seconds > 0 ? o->seconds : 5);
    if (vp_packager_finish(pk, &t->presentation, &t->err) != VP_OK) {
        print_error("packager: %s\n", t->err.message);
        fail();
    }
    vp_packager_unref(pk);
    title_publish(t);
}

void object_put(title *t, const char *key, const void *data, size_t size)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *object = NULL;

    info.key = key;
    info.content_type = "application/octet-stream";
    assert_int_equal(vp_sink_begin(t->sink, &info, &object, &t->err), VP_OK);
    assert_int_equal(vp_object_write(object, data, size, &t->err), VP_OK);
    assert_int_equal(vp_object_commit(object, NULL, NULL, &t->err), VP_OK);
}

static void put_bytes(title *t, const char *key, vp_bytes *bytes)
{
    object_put(t, key, vp_bytes_data(bytes), (size_t)vp_bytes_size(bytes));
    vp_bytes_unref(bytes);
}

static void publish_track(title *t, uint32_t i, bool iframes)
{
    vp_bytes *key = NULL, *text = NULL;

    assert_int_equal(vp_manifest_hls_media_key(t->presentation, i, iframes, &key, &t->err), VP_OK);
    assert_int_equal(iframes ? vp_manifest_hls_iframes(t->presentation, i, &text, &t->err)
                             : vp_manifest_hls_media(t->presentation, i, &text, &t->err),
                     VP_OK);
    put_bytes(t, vp_bytes_data(key), text);
    vp_bytes_unref(key);
}

void title_publish(title *t)
{
    vpi_presentation *p = &t->presentation->p;
    bool cmaf = false, ts = false, whole = false;
    vp_bytes *text = NULL;

    if (!p->version[0]) {
        vpi_free(p->version);
        p->version = vpi_strdup(VERSION_FOLDER);
    }
    for (uint32_t i = 0; i < p->track_count; i++) {
        /* AES-128 leaves nothing for I-frame playlists and MPDs. */
        if (p->tracks[i].protection.scheme == VPI_SCHEME_AES128) whole = true;
        publish_track(t, i, false);
        if (p->tracks[i].kind == VP_TRACK_VIDEO && !whole) publish_track(t, i, true);
        if (p->tracks[i].container == VP_CONTAINER_CMAF)
            cmaf = true;
        else
            ts = true;
    }
    if (cmaf) {
        assert_int_equal(vp_manifest_hls_master(t->presentation, VP_HLS_CMAF, &text, &t->err), VP_OK);
        put_bytes(t, "master.m3u8", text);
    }
    if (cmaf && !whole) {
        assert_int_equal(vp_manifest_dash(t->presentation, &text, &t->err), VP_OK);
        put_bytes(t, "manifest.mpd", text);
    }
    if (ts) {
        assert_int_equal(vp_manifest_hls_master(t->presentation, VP_HLS_TS, &text, &t->err), VP_OK);
        put_bytes(t, cmaf ? "master-ts.m3u8" : "master.m3u8", text);
    }
    assert_int_equal(vp_presentation_json(t->presentation, &text, &t->err), VP_OK);
    put_bytes(t, "presentation.json", text);
    object_put(t, under(".vodpipe-version"), "1\n", 2);
}

void title_close(title *t)
{
    vp_report_unref(t->report);
    vp_presentation_unref(t->presentation);
    vp_store_unref(t->store);
    vp_sink_unref(t->sink);
    vp_context_unref(t->context);
    memset(t, 0, sizeof(*t));
}

/* ---- verify ---- */

static vp_status verify(title *t, const vp_verify_options *o)
{
    t->report = vp_report_unref(t->report);
    t->status = vp_verify(t->context, t->sink, o, NULL, &t->report, &t->err);
    return t->status;
}

vp_status title_verify(title *t)
{
    return verify(t, NULL);
}

vp_status title_gate(title *t, bool read)
{
    vp_verify_options o = VP_VERIFY_OPTIONS_INIT;

    o.presentation = t->presentation;
    o.read_objects = read;
    return verify(t, &o);
}

bool title_failed(const title *t, const char *rule)
{
    for (uint32_t i = 0; i < vp_report_failed(t->report); i++) {
        if (strcmp(vp_report_failure(t->report, i, NULL, NULL), rule) == 0) return true;
    }
    return false;
}

void title_print(const title *t)
{
    const char *rule, *where, *text;

    print_message("status %d %s %s\n", (int)t->status, t->err.reason, t->err.message);
    for (uint32_t i = 0; (rule = vp_report_failure(t->report, i, &where, &text)) != NULL; i++) {
        print_message("  %s %s: %s\n", rule, where ? where : "-", text);
    }
}

void expect_good(title *t)
{
    if (t->status != VP_OK) title_print(t);
    assert_int_equal(t->status, VP_OK);
    assert_int_equal(vp_report_failed(t->report), 0);
    assert_true(vp_report_checks(t->report) > 20);
}

void expect_rule(title *t, const char *rule)
{
    if (!title_failed(t, rule)) {
        print_message("%s was not found\n", rule);
        title_print(t);
    }
    assert_int_equal(t->status, VP_E_DATA);
    assert_string_equal(t->err.reason, "VERIFY_FAILED");
    assert_true(title_failed(t, rule));
}

/* ---- objects ---- */

uint8_t *object_get(title *t, const char *key, size_t *size)
{
    vp_bytes *bytes = NULL;
    uint8_t *copy;

    if (vp_sink_get(t->sink, key, 0, &bytes, &t->err) != VP_OK) {
        print_error("no object %s\n", key);
        fail();
    }
    *size = (size_t)vp_bytes_size(bytes);
    copy = malloc(*size + 1);
    assert_non_null(copy);
    memcpy(copy, vp_bytes_data(bytes), *size);
    copy[*size] = 0;
    vp_bytes_unref(bytes);
    return copy;
}

void object_remove(title *t, const char *key)
{
    free(object_get(t, key, &(size_t){ 0 }));
    assert_int_equal(vp_sink_remove(t->sink, key, &t->err), VP_OK);
}

void object_replace(title *t, const char *key, const char *from, const char *to)
{
    size_t size;
    char *text = (char *)object_get(t, key, &size), *at = strstr(text, from);
    vpi_buf b = { 0 };

    if (!at) {
        print_error("%s does not hold %s:\n%s\n", key, from, text);
        fail();
        return;
    }
    vpi_buf_add(&b, text, (size_t)(at - text));
    vpi_buf_str(&b, to);
    vpi_buf_str(&b, at + strlen(from));
    object_put(t, key, b.data, b.size);
    vpi_buf_dispose(&b);
    free(text);
}

size_t find_bytes(const uint8_t *data, size_t size, const void *what, size_t n)
{
    const uint8_t *at = memmem(data, size, what, n);

    assert_non_null(at);
    return (size_t)(at - data);
}

void object_patch(title *t, const char *key, const char *fourcc, unsigned nth, long offset, int by)
{
    size_t size, at = 0;
    uint8_t *data = object_get(t, key, &size);

    for (unsigned i = 0; i <= nth; i++) at += find_bytes(data + at, size - at, fourcc, 4) + (i < nth ? 4 : 0);
    at = (size_t)((long)at + 4 + offset);
    assert_true(at < size);
    data[at] = (uint8_t)(data[at] + by);
    object_put(t, key, data, size);
    free(data);
}

const char *under(const char *name)
{
    static char buffers[2][256];
    static unsigned turn;
    char *to = buffers[turn++ % 2];

    snprintf(to, sizeof(buffers[0]), VERSION_FOLDER "/%s", name);
    return to;
}

vpi_ptrack *track_of(title *t, const char *name, int32_t container)
{
    vpi_presentation *p = &t->presentation->p;

    for (size_t i = 0; i < p->track_count; i++) {
        if (strcmp(p->tracks[i].name, name) == 0 && p->tracks[i].container == container) return &p->tracks[i];
    }
    print_error("no track %s\n", name);
    fail();
    return NULL;
}

typedef struct dump {
    title *t;
    vp_sink *to;
} dump;

static vp_status dump_one(void *user, const vp_object_info *info)
{
    dump *d = user;
    size_t size;
    uint8_t *data = object_get(d->t, info->key, &size);
    title copy = { .sink = d->to };

    object_put(&copy, info->key, data, size);
    free(data);
    return VP_OK;
}

void title_dump(title *t, const char *directory)
{
    dump d = { t, NULL };

    assert_int_equal(vp_sink_directory(t->context, directory, &d.to, &t->err), VP_OK);
    assert_int_equal(vp_sink_list(t->sink, "", dump_one, &d, &t->err), VP_OK);
    assert_int_equal(vp_sink_flush(d.to, &t->err), VP_OK);
    vp_sink_unref(d.to);
}
