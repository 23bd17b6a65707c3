/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "closed.h"

#include "base/hash.h"
#include "bitstream/bitstream.h"
#include "package/package.h"

enum { RATE = 25, SCALE = 12800, FRAME = SCALE / RATE, GOP = 25, SOUND = 48000, AAC = 1024, SEGMENTS = 3 };
enum { PICTURES = 50, SIZE_MAX_SAMPLE = 4096, BLOCK = 16 };

typedef struct maker {
    title *t;
    const closed_options *o;
    vpi_ptrack *track;
    vpi_track_setup setup;
    vpi_buf config;
    vpi_slicer *slicer;
    uint64_t iv;       /* of the next sample */
    uint64_t sound_at; /* frames before the segment */
    vpi_buf bytes;     /* of the samples */
    vpi_sample *samples;
    size_t count, cap;
} maker;

/* ---- samples ---- */

/* A NAL unit with a slice header that can be read (H.264 7.3.3), then made up bytes. */
static void add_picture(maker *m, int64_t n, vpi_sample *s)
{
    bool idr = n % GOP == 0;
    unsigned number = (unsigned)(n % GOP) & 15u;
    size_t size = (idr ? 1200u : 300u) + (size_t)(n % 7), at = m->bytes.size;
    uint8_t *d = vpi_buf_space(&m->bytes, size);

    assert_non_null(d);
    for (size_t i = 0; i < size; i++) d[i] = (uint8_t)(i * 7 + (size_t)n) | 0x10;
    memset(d, 0, 4);
    d[2] = (uint8_t)((size - 4) >> 8);
    d[3] = (uint8_t)(size - 4);
    d[4] = idr ? 0x65 : 0x41;
    d[5] = (uint8_t)(idr ? 0x88 : 0x9A | number >> 3);
    d[6] = (uint8_t)(idr ? 0x84 : (number & 7u) << 5 | 0x02);
    if (idr) d[7] |= 0x80;
    *s = (vpi_sample){ n * FRAME, idr, (const uint8_t *)at, size };
}

static void add_sound(maker *m, uint64_t n, vpi_sample *s)
{
    size_t size = 180 + (size_t)(n % 5), at = m->bytes.size;
    uint8_t *d = vpi_buf_space(&m->bytes, size);

    assert_non_null(d);
    for (size_t i = 0; i < size; i++) d[i] = (uint8_t)(i * 5 + n) | 0x10;
    *s = (vpi_sample){ (int64_t)(n * AAC), true, (const uint8_t *)at, size };
}

static uint64_t frames_before(size_t segment)
{
    return ((uint64_t)segment * 2 * SOUND + AAC / 2) / AAC;
}

/* Samples of a segment; the buffer moves while it grows, so that pointers are put in last. */
static void fill(maker *m, size_t segment)
{
    uint64_t first = segment * PICTURES, end = first + PICTURES;

    if (m->setup.kind == VPI_KIND_AUDIO) {
        first = frames_before(segment);
        end = frames_before(segment + 1);
    }
    m->count = 0;
    vpi_buf_clear(&m->bytes);
    for (uint64_t n = first; n < end; n++) {
        assert_true(VPI_GROW(m->samples, m->count, m->cap));
        if (m->setup.kind == VPI_KIND_AUDIO)
            add_sound(m, n, &m->samples[m->count++]);
        else
            add_picture(m, (int64_t)n, &m->samples[m->count++]);
    }
    for (size_t i = 0; i < m->count; i++) m->samples[i].data = m->bytes.data + (uintptr_t)m->samples[i].data;
}

/* ---- the cipher ---- */

static void change(uint8_t *d, size_t size)
{
    for (size_t i = 0; i < size; i++) d[i] ^= 0x01;
}

static void add_part(vpi_protect_out *out, size_t clear, size_t closed)
{
    out->subsamples[out->subsample_count++] = (vpi_subsample){ (uint16_t)clear, (uint32_t)closed };
}

static void close_picture(maker *m, const uint8_t *data, size_t size, uint8_t *to, vpi_protect_out *out)
{
    vpi_range *ranges = NULL;
    size_t count = 0, cap = 0, at = 0;

    assert_int_equal(vpi_slicer_sample(m->slicer, data, size, &ranges, &count, &cap, &m->t->err), VP_OK);
    for (size_t i = 0; i < count && !m->o->open; i++) {
        size_t begin = ranges[i].at, end = begin + ranges[i].size;

        if (m->o->headers) begin -= 2;
        if (m->o->scheme == VPI_SCHEME_CENC && !m->o->odd_bytes) begin = end - (end - begin) / BLOCK * BLOCK;
        add_part(out, begin - at, end - begin);
        change(to + begin, end - begin);
        at = end;
    }
    if (at < size) add_part(out, size - at, 0);
    vpi_free(ranges);
}

static vp_status close_sample(void *user, uint64_t index, const uint8_t *data, size_t size, uint8_t *to,
                              vpi_protect_out *out, vp_error *err)
{
    maker *m = user;

    (void)index;
    (void)err;
    memmove(to, data, size);
    if (m->o->scheme == VPI_SCHEME_CENC) {
        out->iv_size = 8;
        for (unsigned i = 0; i < 8; i++) out->iv[i] = (uint8_t)(m->iv >> (56 - 8 * i));
        m->iv += VPI_MAX(m->o->iv_step, 1);
    }
    if (m->setup.kind == VPI_KIND_VIDEO)
        close_picture(m, data, size, to, out);
    else
        change(to, size);
    return VP_OK;
}

/* Headers stay as they are: a NAL unit's first 32 bytes, of a frame of sound the header and a block. */
static vp_status close_unit(void *user, vpi_codec codec, const uint8_t *data, size_t size, vpi_buf *out,
                            vp_error *err)
{
    size_t at = out->size, clear = codec == VPI_CODEC_AAC ? 7 + BLOCK : 32;

    (void)user;
    (void)err;
    vpi_buf_add(out, data, size);
    if (size > clear && (codec == VPI_CODEC_AAC || (data[0] & 31) == 1 || (data[0] & 31) == 5))
        change(out->data + at + clear, size - clear);
    return VP_OK;
}

static const vpi_protect *protect_segment(maker *m, size_t segment, vpi_protect *room)
{
    const vpi_protection *p = &m->track->protection;
    uint64_t period = p->rotation ? segment / p->rotation : 0;
    const vpi_key_info *key = vpi_protection_key(p, segment);

    if (p->scheme == VPI_SCHEME_NONE || p->scheme == VPI_SCHEME_AES128) return NULL;
    vpi_protect_from(p, period, m->setup.kind, room);
    room->clear = !key;
    room->group = key && period > 0 && !m->o->never_group;
    room->sample = close_sample;
    room->unit = close_unit;
    room->user = m;
    if (room->group && key->drm_count > 0) {
        room->pssh = key->drm[0].pssh;
        room->pssh_size = key->drm[0].pssh_size;
    }
    return room;
}

/* ---- objects ---- */

static uint32_t crc_of(title *t, const char *key, uint64_t *bytes)
{
    size_t size;
    uint8_t *data = object_get(t, key, &size);
    uint32_t crc = vpi_crc32c(0, data, size);

    *bytes = size;
    free(data);
    return crc;
}

static vp_object *begin_object(title *t, const char *key)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_object *object = NULL;

    info.key = key;
    info.content_type = "application/octet-stream";
    assert_int_equal(vp_sink_begin(t->sink, &info, &object, &t->err), VP_OK);
    return object;
}

/* PKCS#7: whole blocks, always a byte more. */
static void close_object(title *t, vpi_segment *s, size_t number)
{
    size_t size;
    uint8_t *data = object_get(t, s->key, &size), pad[BLOCK];
    vpi_buf b = { 0 };

    memset(pad, (int)(BLOCK - size % BLOCK), sizeof(pad));
    vpi_buf_add(&b, data, size);
    vpi_buf_add(&b, pad, BLOCK - size % BLOCK);
    change(b.data, b.size);
    object_put(t, s->key, b.data, b.size);
    vpi_buf_dispose(&b);
    free(data);
    s->has_iv = true;
    memset(s->iv, 0x71 + (int)number, sizeof(s->iv));
    s->fragment_count = 0;
}

static vpi_segment_in segment_in(const maker *m, size_t segment, const size_t fragments[2])
{
    bool video = m->setup.kind == VPI_KIND_VIDEO;

    return (vpi_segment_in){ .setup = &m->setup,
                             .samples = m->samples,
                             .count = m->count,
                             .fragments = fragments,
                             .fragment_count = video ? 2 : 1,
                             .start = video ? segment * PICTURES * FRAME : frames_before(segment) * AAC,
                             .end =
                                 video ? (segment + 1) * PICTURES * FRAME : frames_before(segment + 1) * AAC,
                             .first_fragment = segment * (video ? 2 : 1) };
}

static void write_cmaf(maker *m, const char *folder)
{
    static const size_t fragments[2] = { 0, GOP };
    vpi_protect room;
    vpi_buf b = { 0 };
    const vpi_protect *p = NULL;

    if (m->o->scheme != VPI_SCHEME_AES128) {
        vpi_protect_from(&m->track->protection, 0, m->setup.kind, &room);
        room.clear = room.clear && !m->o->never_second;
        p = &room;
    }
    assert_int_equal(vpi_cmaf_init(&m->setup, p, &b, &m->t->err), VP_OK);
    m->track->init.key = vpi_asprintf("%s/init.mp4", folder);
    object_put(m->t, m->track->init.key, b.data, b.size);
    m->track->init.crc32c = crc_of(m->t, m->track->init.key, &m->track->init.bytes);
    vpi_buf_dispose(&b);
    for (size_t i = 0; i < SEGMENTS; i++) {
        vpi_segment *s = vpi_ptrack_add_segment(m->track);
        vpi_segment_in in;
        vp_object *object;

        fill(m, i);
        in = segment_in(m, i, fragments);
        s->key = vpi_asprintf("%s/%05zu.m4s", folder, i + 1);
        object = begin_object(m->t, s->key);
        if (vpi_cmaf_segment(&in, protect_segment(m, i, &room), true, object, s, &m->t->err) != VP_OK)
            fail_msg("%s", m->t->err.message);
        assert_int_equal(vp_object_commit(object, NULL, NULL, &m->t->err), VP_OK);
        if (m->o->scheme == VPI_SCHEME_AES128 && vpi_protection_key(&m->track->protection, i))
            close_object(m->t, s, i);
        s->crc32c = crc_of(m->t, s->key, &s->bytes);
    }
}

/* ---- tracks ---- */

static void add_keys(maker *m, uint8_t first)
{
    vpi_protection *p = &m->track->protection;
    size_t periods = m->o->rotation ? (SEGMENTS - 1) / m->o->rotation + 1 : 1;

    p->scheme = m->o->scheme;
    p->clear_segments = m->o->clear_segments;
    p->rotation = m->o->rotation;
    vpi_strlcpy(p->label, m->track->kind == VP_TRACK_VIDEO ? "sd" : "audio", sizeof(p->label));
    for (size_t i = 0; i < periods; i++) {
        static const uint8_t head[] = { 0, 0, 0, 52, 'p', 's', 's', 'h', 1, 0, 0, 0 };
        vpi_key_info *k = vpi_protection_add_key(p);
        vpi_drm *d;
        vpi_buf b = { 0 };

        assert_non_null(k);
        k->uri = vpi_asprintf("https://k.example/%u-%zu", first, i);
        k->has_kid = m->o->scheme != VPI_SCHEME_AES128;
        if (!k->has_kid) continue;
        memset(k->kid, first + (int)i, sizeof(k->kid));
        k->has_iv = m->o->scheme == VPI_SCHEME_CBCS;
        if (k->has_iv) memset(k->iv, 0xC0 + (int)i, sizeof(k->iv));
        d = vpi_key_info_add_drm(k);
        memcpy(d->system, vpi_system_common, sizeof(d->system));
        vpi_buf_add(&b, head, sizeof(head));
        vpi_buf_add(&b, d->system, sizeof(d->system));
        vpi_buf_be32(&b, 1);
        vpi_buf_add(&b, k->kid, sizeof(k->kid));
        vpi_buf_be32(&b, 0);
        d->pssh = b.data;
        d->pssh_size = b.size;
        d = vpi_key_info_add_drm(k);
        memcpy(d->system, vpi_system_fairplay, sizeof(d->system));
        d->uri = vpi_asprintf("skd://%u-%zu", first, i);
    }
}

static void set_video(maker *m, unsigned width, unsigned height)
{
    title_avcc(width, height, &m->config);
    m->setup = (vpi_track_setup){ .kind = VPI_KIND_VIDEO,
                                  .codec = VPI_CODEC_H264,
                                  .timescale = SCALE,
                                  .config = m->config.data,
                                  .config_size = m->config.size,
                                  .width = width,
                                  .height = height };
    assert_int_equal(vpi_slicer_new(VPI_SLICER_H264, m->config.data, m->config.size, &m->slicer, &m->t->err),
                     VP_OK);
    m->track->width = width;
    m->track->height = height;
    m->track->frame_rate_num = RATE;
    m->track->frame_rate_den = 1;
    m->track->codecs = vpi_strdup("avc1.4d001e");
    m->track->timescale = SCALE;
}

static void set_sound(maker *m)
{
    uint8_t asc[2];

    assert_true(vpi_asc_write_lc(SOUND, 2, asc));
    vpi_buf_add(&m->config, asc, sizeof(asc));
    m->setup = (vpi_track_setup){ .kind = VPI_KIND_AUDIO,
                                  .codec = VPI_CODEC_AAC,
                                  .timescale = SOUND,
                                  .config = m->config.data,
                                  .config_size = m->config.size,
                                  .language = "en",
                                  .sample_rate = SOUND,
                                  .channels = 2 };
}

static void dispose(maker *m)
{
    vpi_slicer_free(m->slicer);
    vpi_buf_dispose(&m->config);
    vpi_buf_dispose(&m->bytes);
    vpi_free(m->samples);
}

static vpi_ptrack *new_track(title *t, const char *name, int32_t kind, int32_t container)
{
    vpi_ptrack *track = vpi_presentation_add_track(&t->presentation->p);

    assert_non_null(track);
    track->name = vpi_strdup(name);
    track->group = vpi_strdup(kind == VP_TRACK_VIDEO ? "video" : "stereo");
    track->kind = kind;
    track->container = container;
    return track;
}

static void add_cmaf(title *t, const closed_options *o, const char *name, unsigned width, unsigned height,
                     uint8_t key)
{
    maker m = { .t = t, .o = o, .iv = (uint64_t)(o->same_ivs || o->iv_step ? 1 : key) << 32 };
    char folder[128];

    m.track = new_track(t, name, width ? VP_TRACK_VIDEO : VP_TRACK_AUDIO, VP_CONTAINER_CMAF);
    snprintf(folder, sizeof(folder), VERSION_FOLDER "/%s/%s", width ? "video" : "audio", name);
    if (width) {
        set_video(&m, width, height);
    } else {
        set_sound(&m);
        m.track->codecs = vpi_strdup("mp4a.40.2");
        m.track->language = vpi_strdup("en");
        m.track->is_default = true;
        m.track->timescale = m.track->sample_rate = SOUND;
        m.track->channels = 2;
    }
    if (o->iv_step && !o->same_ivs) m.iv += width;
    add_keys(&m, key);
    write_cmaf(&m, folder);
    dispose(&m);
}

static void write_ts(maker *m, maker *sound)
{
    static const size_t fragments[2] = { 0, GOP };
    vpi_protect room;

    for (size_t i = 0; i < SEGMENTS; i++) {
        vpi_segment *s = vpi_ptrack_add_segment(m->track);
        vpi_segment_in video, audio;
        vpi_ts_in in = { &video, &audio, 0, FRAME };
        vp_object *object;

        fill(m, i);
        fill(sound, i);
        video = segment_in(m, i, fragments);
        audio = segment_in(sound, i, fragments);
        s->key = vpi_asprintf(VERSION_FOLDER "/ts/192p/%05zu.ts", i + 1);
        object = begin_object(m->t, s->key);
        if (vpi_ts_segment(&in, protect_segment(m, i, &room), object, s, &m->t->err) != VP_OK)
            fail_msg("%s", m->t->err.message);
        assert_int_equal(vp_object_commit(object, NULL, NULL, &m->t->err), VP_OK);
        if (m->o->scheme == VPI_SCHEME_AES128 && vpi_protection_key(&m->track->protection, i))
            close_object(m->t, s, i);
        s->crc32c = crc_of(m->t, s->key, &s->bytes);
    }
}

static void add_ts(title *t, const closed_options *o)
{
    maker m = { .t = t, .o = o }, sound = { .t = t, .o = o };

    m.track = new_track(t, "192p", VP_TRACK_VIDEO, VP_CONTAINER_TS);
    set_video(&m, 320, 192);
    set_sound(&sound);
    vpi_free(m.track->codecs);
    m.track->codecs = vpi_strdup("avc1.4d001e,mp4a.40.2");
    m.track->sample_rate = SOUND;
    m.track->channels = 2;
    add_keys(&m, 0x20);
    write_ts(&m, &sound);
    dispose(&m);
    dispose(&sound);
}

void closed_make(title *t, const closed_options *o)
{
    title_open(t);
    t->presentation = vpi_presentation_new();
    assert_non_null(t->presentation);
    if (o->container == VP_CONTAINER_TS) {
        add_ts(t, o);
    } else {
        add_cmaf(t, o, "192p", 320, 192, 0x20);
        add_cmaf(t, o, "96p", 160, 96, o->same_ivs || o->iv_step ? 0x20 : 0x40);
        add_cmaf(t, o, "en-stereo", 0, 0, 0x60);
    }
    if (vpi_presentation_finish(&t->presentation->p, &t->err) != VP_OK) fail_msg("%s", t->err.message);
    title_publish(t);
}
