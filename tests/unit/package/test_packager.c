/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The push packager: borders, numbers, names, single files, refusals, memory. */

#include "ts_check.h"

#include <vodpipe/package.h>

#include "base/fault.h"

typedef struct pushed {
    const clip *clip;
    const char *name;
    uint32_t number;
    size_t next;
} pushed;

typedef struct host {
    vp_sink *sink;
    vp_store *store;
    vp_packager *packager;
    vp_presentation *presentation;
    vp_error err;
} host;

static void host_dispose(host *h)
{
    vp_packager_unref(h->packager);
    vp_presentation_unref(h->presentation);
    vp_store_unref(h->store);
    vp_sink_unref(h->sink);
    memset(h, 0, sizeof(*h));
}

static vp_status host_new(host *h, const vp_package_options *options)
{
    memset(h, 0, sizeof(*h));
    vp_error_init(&h->err);
    if (vp_sink_memory(test_context(), &h->sink, &h->err) < 0) return h->err.status;
    if (vp_store_memory(test_context(), &h->store, &h->err) < 0) return h->err.status;
    return vp_packager_new(test_context(), options, h->sink, h->store, &h->packager, &h->err);
}

static vp_status add_track(host *h, const clip *c, const char *name, uint32_t *number)
{
    vp_track_config config;

    vp_track_config_init(&config, sizeof(config));
    config.codec = c->setup.kind == VPI_KIND_VIDEO ? VP_CODEC_H264 : VP_CODEC_AAC;
    config.config = c->setup.config;
    config.config_size = (uint32_t)c->setup.config_size;
    config.timescale = c->setup.timescale;
    config.name = name;
    config.language = c->setup.kind == VPI_KIND_AUDIO ? "eng" : NULL;
    config.is_default = c->setup.kind == VPI_KIND_AUDIO;
    return vp_packager_add_track(h->packager, &config, number, &h->err);
}

static uint64_t duration_of(const clip *c, size_t i)
{
    int64_t next = (int64_t)c->end;

    for (size_t k = 0; k < c->count; k++) {
        if (c->samples[k].pts > c->samples[i].pts) next = VPI_MIN(next, c->samples[k].pts);
    }
    return (uint64_t)(next - c->samples[i].pts);
}

static vp_status push(host *h, const pushed *p)
{
    const vpi_sample *from = &p->clip->samples[p->next];
    vp_sample s;

    vp_sample_init(&s, sizeof(s));
    s.flags = from->sync ? VP_SAMPLE_SYNC : 0;
    s.pts = from->pts;
    s.duration = duration_of(p->clip, p->next);
    s.data = from->data;
    s.size = from->size;
    return vp_packager_write(h->packager, p->number, &s, &h->err);
}

/* Whole clips, by decode time, `ahead` samples of the first before the others begin. */
static vp_status push_all(host *h, pushed *tracks, size_t count, size_t ahead)
{
    vp_status st;

    for (size_t i = 0; i < count; i++) {
        st = add_track(h, tracks[i].clip, tracks[i].name, &tracks[i].number);
        if (st < 0) return st;
    }
    for (;;) {
        size_t best = count;
        double least = 0;

        for (size_t i = 0; i < count; i++) {
            const clip *c = tracks[i].clip;
            double at;

            if (tracks[i].next == c->count) continue;
            at = (double)c->samples[tracks[i].next].pts / c->setup.timescale;
            if (i == 0 && tracks[i].next < ahead) at = -1;
            if (best == count || at < least) {
                best = i;
                least = at;
            }
        }
        if (best == count) break;
        st = push(h, &tracks[best]);
        if (st < 0) return st;
        tracks[best].next++;
    }
    return vp_packager_finish(h->packager, &h->presentation, &h->err);
}

static void publish(host *h, const vp_package_options *options, pushed *tracks, size_t count, size_t ahead)
{
    if (host_new(h, options) < 0 || push_all(h, tracks, count, ahead) < 0) {
        fail_msg("%s: %s", h->err.reason, h->err.message);
    }
}

static const vpi_ptrack *track_of(const host *h, size_t i)
{
    assert_true(i < h->presentation->p.track_count);
    return &h->presentation->p.tracks[i];
}

static vp_bytes *object_of(const host *h, const char *key)
{
    vp_bytes *b = NULL;

    if (vp_sink_get(h->sink, key, 0, &b, NULL) != VP_OK) fail_msg("no object %s", key);
    return b;
}

static size_t count_objects;
static vp_status count_one(void *user, const vp_object_info *info)
{
    (void)user;
    (void)info;
    count_objects++;
    return VP_OK;
}

static size_t objects(const host *h)
{
    count_objects = 0;
    assert_int_equal(vp_sink_list(h->sink, "", count_one, NULL, NULL), VP_OK);
    return count_objects;
}

/* All samples of a CMAF track, found again through the presentation and the sink. */
static void check_cmaf(const host *h, const vpi_ptrack *t, const clip *c)
{
    size_t n = 0;
    uint64_t sequence = 0, end = (uint64_t)c->samples[0].pts;

    for (size_t s = 0; s < t->segment_count; s++) {
        const vpi_segment *g = &t->segments[s];
        vp_bytes *b = object_of(h, g->key);
        const uint8_t *data = (const uint8_t *)vp_bytes_data(b) + g->offset;

        assert_true(vp_bytes_size(b) >= g->offset + g->bytes);
        if (!t->single_file) assert_int_equal(vp_bytes_size(b), g->bytes);
        assert_int_equal(g->start, end);
        for (size_t f = 0; f < g->fragment_count; f++) {
            const vpi_fragment *fragment = &g->fragments[f];
            vpi_fragment_info info;
            size_t at = 0;
            vpi_box moof;
            const uint8_t *media;

            assert_int_equal(
                vpi_box_next(data + fragment->offset, (size_t)fragment->bytes, 0, &at, &moof, NULL), VP_OK);
            assert_int_equal(vpi_moof_parse(&moof, 100000, &info, NULL), VP_OK);
            assert_int_equal(info.sequence, ++sequence);
            assert_int_equal(info.tfdt, end);
            media = data + fragment->offset + info.data_offset;
            if (t->kind == VP_TRACK_VIDEO) assert_true(c->samples[n].sync);
            for (size_t i = 0; i < info.count; i++, n++) {
                assert_int_equal(info.samples[i].size, c->samples[n].size);
                assert_memory_equal(media, c->samples[n].data, c->samples[n].size);
                assert_int_equal((int64_t)end + info.samples[i].cts, c->samples[n].pts);
                media += c->samples[n].size;
                end += info.samples[i].duration;
            }
            vpi_fragment_info_dispose(&info);
        }
        assert_int_equal(end, g->start + g->ticks);
        vp_bytes_unref(b);
    }
    assert_int_equal(n, c->count);
}

static void test_cmaf(void **state)
{
    vp_package_options o = VP_PACKAGE_OPTIONS_INIT;
    clip big, small, audio;
    vpi_init_info init;
    vp_bytes *b;
    host h;

    (void)state;
    clip_fake_video(&big, 700, 50, 2, 90000, 3600, 1); /* 28 s */
    clip_fake_video(&small, 700, 50, 2, 25, 1, 2);
    clip_fake_audio(&audio, 1312, 48000, 3); /* 27.99 s */
    o.prefix = "abc";
    for (size_t ahead = 0; ahead <= 700; ahead += 350) {
        pushed tracks[] = { { &big, "720p", 0, 0 }, { &small, "360p", 0, 0 }, { &audio, "en-stereo", 0, 0 } };

        publish(&h, &o, tracks, 3, ahead);
        assert_int_equal(h.presentation->p.track_count, 3);
        assert_string_equal(h.presentation->p.version, "abc");
        assert_int_equal(objects(&h), 3 * 6);
        for (size_t i = 0; i < 3; i++) {
            const vpi_ptrack *t = track_of(&h, i);

            assert_int_equal(t->segment_count, 5);
            check_cmaf(&h, t, tracks[i].clip);
            assert_true(t->bandwidth >= t->average_bandwidth && t->average_bandwidth > 0);
            b = object_of(&h, t->init.key);
            assert_int_equal(vp_bytes_size(b), t->init.bytes);
            assert_int_equal(vpi_init_parse(vp_bytes_data(b), (size_t)vp_bytes_size(b), &init, NULL), VP_OK);
            assert_int_equal(init.timescale, tracks[i].clip->setup.timescale);
            vp_bytes_unref(b);
            for (size_t s = 0; s < 4; s++) {
                assert_int_equal(t->segments[s].fragment_count, 3);
                if (i < 2) assert_int_equal(t->segments[s].start, s * 6 * t->timescale);
                if (i == 2)
                    assert_true(llabs((long long)t->segments[s].start - (long long)s * 288000) <= 512);
            }
            assert_int_equal(t->segments[4].fragment_count, 2);
        }
        assert_string_equal(track_of(&h, 0)->segments[4].key, "abc/video/720p/00005.m4s");
        assert_string_equal(track_of(&h, 2)->segments[0].key, "abc/audio/en-stereo/00001.m4s");
        assert_string_equal(track_of(&h, 0)->codecs, "avc1.64000c");
        assert_string_equal(track_of(&h, 2)->codecs, "mp4a.40.2");
        assert_string_equal(track_of(&h, 2)->language, "en");
        assert_int_equal(track_of(&h, 0)->width, 320);
        assert_int_equal(track_of(&h, 1)->frame_rate_num, 25);
        assert_int_equal(track_of(&h, 1)->frame_rate_den, 1);
        assert_int_equal(vp_packager_write(h.packager, 0, NULL, NULL), VP_E_STATE);
        host_dispose(&h);
    }
    clip_dispose(&big);
    clip_dispose(&small);
    clip_dispose(&audio);
}

/* Targets are a grid: GOPs of 5 s for segments of 6 s do not drift; late cuts do not move later ones. */
static void test_borders(void **state)
{
    static const uint64_t want[] = { 0, 10, 20, 25, 30, 40 };
    pushed track = { NULL, "v", 0, 0 };
    clip c;
    host h;

    (void)state;
    clip_fake_video(&c, 50, 5, 0, 1, 1, 1);
    track.clip = &c;
    publish(&h, NULL, &track, 1, 0);
    check_cmaf(&h, track_of(&h, 0), &c);
    for (size_t i = 0; i < track_of(&h, 0)->segment_count; i++) {
        assert_true(i < VPI_COUNT(want));
        assert_int_equal(track_of(&h, 0)->segments[i].start, want[i]);
    }
    assert_int_equal(track_of(&h, 0)->segment_count, VPI_COUNT(want));
    host_dispose(&h);
    clip_dispose(&c);
}

/* A tail under half a second goes to the segment before; one of half a second stays. */
static void test_tail(void **state)
{
    (void)state;
    for (size_t frames = 310; frames <= 315; frames += 5) {
        pushed track = { NULL, "v", 0, 0 };
        clip c;
        host h;

        clip_fake_video(&c, frames, 50, 1, 25, 1, 1);
        track.clip = &c;
        publish(&h, NULL, &track, 1, 0);
        check_cmaf(&h, track_of(&h, 0), &c);
        assert_int_equal(track_of(&h, 0)->segment_count, frames == 310 ? 2 : 3);
        assert_int_equal(track_of(&h, 0)->segments[1].ticks, frames == 310 ? 160 : 150);
        if (frames == 310) assert_int_equal(track_of(&h, 0)->segments[1].fragment_count, 3);
        host_dispose(&h);
        clip_dispose(&c);
    }
}

static void test_audio_only(void **state)
{
    vp_package_options o = VP_PACKAGE_OPTIONS_INIT;
    pushed track = { NULL, "a", 0, 0 };
    clip c;
    host h;

    (void)state;
    clip_fake_audio(&c, 1000, 44100, 1); /* 23.2 s */
    track.clip = &c;
    o.formats = VP_FORMAT_CMAF | VP_FORMAT_TS;
    publish(&h, &o, &track, 1, 0);
    assert_int_equal(h.presentation->p.track_count, 2);
    check_cmaf(&h, track_of(&h, 0), &c);
    assert_int_equal(track_of(&h, 0)->segment_count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(llabs((long long)track_of(&h, 0)->segments[i].start - (long long)i * 6 * 44100) <= 512);
        assert_int_equal(track_of(&h, 0)->segments[i].start, track_of(&h, 1)->segments[i].start);
    }
    assert_int_equal(track_of(&h, 1)->container, VP_CONTAINER_PACKED);
    assert_string_equal(track_of(&h, 1)->segments[3].key, "ts/a/00004.aac");
    assert_int_equal(objects(&h), 1 + 4 + 4);
    host_dispose(&h);
    clip_dispose(&c);
}

static void check_ts(const host *h, const vpi_ptrack *t, const clip *video, const clip *audio)
{
    vpi_buf all = { 0 };
    ts_stream s;
    size_t frames = 0;

    for (size_t i = 0; i < t->segment_count; i++) {
        vp_bytes *b = object_of(h, t->segments[i].key);

        assert_int_equal(vp_bytes_size(b), t->segments[i].bytes);
        vpi_buf_add(&all, vp_bytes_data(b), (size_t)vp_bytes_size(b));
        vp_bytes_unref(b);
    }
    ts_read(all.data, all.size, VPI_TS_BASE, &s);
    assert_int_equal(s.video_count, video->count);
    for (size_t i = 0; i < s.video_count; i++) {
        assert_int_equal(s.video[i].pts, VPI_TS_BASE + vpi_rescale(video->samples[i].pts, 90000,
                                                                   video->setup.timescale, VPI_NEAREST));
        if (i > 0) assert_true(s.video[i].dts > s.video[i - 1].dts);
    }
    for (size_t i = 0; i < s.audio_count; i++) {
        for (size_t at = 0, header, frame; at < s.audio[i].size; at += frame, frames++) {
            vpi_asc asc;

            assert_int_equal(
                vpi_adts_parse(s.audio[i].data + at, s.audio[i].size - at, &asc, &header, &frame, NULL),
                VP_OK);
        }
    }
    assert_int_equal(frames, audio ? audio->count : 0);
    vpi_buf_dispose(&all);
    ts_dispose(&s);
}

static void test_ts(void **state)
{
    vp_package_options o = VP_PACKAGE_OPTIONS_INIT;
    clip video, audio, second;
    host h;

    (void)state;
    clip_fake_video(&video, 700, 50, 2, 24000, 1001, 1);
    clip_fake_audio(&audio, 1360, 48000, 3);
    clip_fake_audio(&second, 1360, 48000, 4);
    o.formats = VP_FORMAT_TS;
    {
        pushed tracks[] = { { &video, "v", 0, 0 }, { &audio, "a", 0, 0 } };

        publish(&h, &o, tracks, 2, 30);
        assert_int_equal(h.presentation->p.track_count, 1); /* muxed */
        assert_string_equal(track_of(&h, 0)->codecs, "avc1.64000c,mp4a.40.2");
        assert_int_equal(track_of(&h, 0)->sample_rate, 48000);
        check_ts(&h, track_of(&h, 0), &video, &audio);
        host_dispose(&h);
    }
    {
        pushed tracks[] = { { &video, "v", 0, 0 }, { &audio, "a", 0, 0 }, { &second, "b", 0, 0 } };

        publish(&h, &o, tracks, 3, 30);
        assert_int_equal(h.presentation->p.track_count, 3);
        check_ts(&h, track_of(&h, 0), &video, NULL);
        assert_int_equal(track_of(&h, 2)->container, VP_CONTAINER_PACKED);
        assert_int_equal(track_of(&h, 0)->segment_count, track_of(&h, 2)->segment_count);
        host_dispose(&h);
    }
    /* frame distances change on the way: pictures come closer in the second half */
    for (size_t i = 350; i < 700; i++)
        video.samples[i].pts = 350 * 1001 + (video.samples[i].pts - 350 * 1001) / 3;
    video.end = 350 * 1001 + 350 * 1001 / 3;
    {
        pushed track = { &video, "v", 0, 0 };

        publish(&h, &o, &track, 1, 0);
        check_ts(&h, track_of(&h, 0), &video, NULL);
        host_dispose(&h);
    }
    clip_dispose(&video);
    clip_dispose(&audio);
    clip_dispose(&second);
}

/* Audio that starts late, ends early or goes on after the picture. */
static void test_uneven(void **state)
{
    vp_package_options o = VP_PACKAGE_OPTIONS_INIT;
    clip video, audio;
    host h;

    (void)state;
    o.formats = VP_FORMAT_CMAF | VP_FORMAT_TS;
    clip_fake_video(&video, 500, 50, 0, 25, 1, 1); /* 20 s */
    clip_fake_audio(&audio, 400, 48000, 3);        /* 8.5 s */
    {
        pushed tracks[] = { { &video, "v", 0, 0 }, { &audio, "a", 0, 0 } };

        publish(&h, &o, tracks, 2, 0);
        assert_int_equal(track_of(&h, 0)->segment_count, 4);
        assert_int_equal(track_of(&h, 1)->segment_count, 4);
        assert_int_equal(track_of(&h, 2)->segment_count, 2);
        check_cmaf(&h, track_of(&h, 2), &audio);
        check_ts(&h, track_of(&h, 1), &video, &audio);
        host_dispose(&h);
    }
    clip_shift(&audio, 48000 * 8);
    {
        pushed tracks[] = { { &video, "v", 0, 0 }, { &audio, "a", 0, 0 } };

        publish(&h, &o, tracks, 2, 0);
        assert_int_equal(track_of(&h, 2)->segment_count, 2);
        assert_int_equal(track_of(&h, 2)->segments[0].start, 48000 * 8);
        check_cmaf(&h, track_of(&h, 2), &audio);
        check_ts(&h, track_of(&h, 1), &video, &audio);
        host_dispose(&h);
    }
    clip_dispose(&audio);
    clip_fake_audio(&audio, 1200, 48000, 3); /* 25.6 s */
    {
        pushed tracks[] = { { &video, "v", 0, 0 }, { &audio, "a", 0, 0 } };
        uint64_t end;

        publish(&h, &o, tracks, 2, 0);
        end = vpi_ptrack_ticks(track_of(&h, 2));
        assert_int_equal(track_of(&h, 2)->segment_count, 4);
        assert_true(end >= 20 * 48000 && end < 20 * 48000 + 1024);
        host_dispose(&h);
    }
    clip_dispose(&video);
    clip_dispose(&audio);
}

static void test_single_file(void **state)
{
    vp_package_options o = VP_PACKAGE_OPTIONS_INIT;
    clip video, audio;
    host h;

    (void)state;
    clip_fake_video(&video, 320, 50, 2, 24000, 1001, 1);
    clip_fake_audio(&audio, 620, 48000, 3);
    o.single_file = 1;
    {
        pushed tracks[] = { { &video, "v", 0, 0 }, { &audio, "a", 0, 0 } };
        uint8_t stale[3] = { 0 };

        assert_int_equal(host_new(&h, &o), VP_OK);
        assert_int_equal(vp_store_put(h.store, "parts/v/00001", stale, 3, NULL), VP_OK);
        if (push_all(&h, tracks, 2, 0) < 0) fail_msg("%s", h.err.message);
        assert_int_equal(objects(&h), 2);
        for (size_t i = 0; i < 2; i++) {
            const vpi_ptrack *t = track_of(&h, i);
            vp_bytes *b = object_of(&h, t->init.key);
            const uint8_t *data = vp_bytes_data(b);
            vpi_sidx sidx;
            vpi_box box;
            size_t at = 0, n = 0;
            uint64_t offset;

            assert_true(t->single_file);
            assert_string_equal(t->init.key, i ? "audio/a/media.mp4" : "video/v/media.mp4");
            assert_int_equal(vp_bytes_size(b), t->object_bytes);
            assert_int_equal(t->index.offset, t->init.bytes);
            assert_int_equal(vpi_box_next(data + t->index.offset, (size_t)t->index.bytes, 0, &at, &box, NULL),
                             VP_OK);
            assert_int_equal(at, t->index.bytes);
            assert_int_equal(vpi_sidx_parse(&box, &sidx, NULL), VP_OK);
            offset = t->index.offset + t->index.bytes;
            for (size_t s = 0; s < t->segment_count; s++) {
                for (size_t f = 0; f < t->segments[s].fragment_count; f++, n++) {
                    assert_int_equal(t->segments[s].offset + t->segments[s].fragments[f].offset, offset);
                    assert_int_equal(sidx.refs[n].size, t->segments[s].fragments[f].bytes);
                    offset += sidx.refs[n].size;
                }
            }
            assert_int_equal(n, sidx.count);
            assert_int_equal(offset, t->object_bytes);
            check_cmaf(&h, t, tracks[i].clip);
            vpi_sidx_dispose(&sidx);
            vp_bytes_unref(b);
        }
        count_objects = 0;
        assert_int_equal(vp_store_list(h.store, "", count_one, NULL, NULL), VP_OK);
        assert_int_equal(count_objects, 0);
        host_dispose(&h);
    }
    clip_dispose(&video);
    clip_dispose(&audio);
}

static void test_misaligned(void **state)
{
    clip a, b;
    host h;

    (void)state;
    clip_fake_video(&a, 400, 50, 0, 25, 1, 1);
    clip_fake_video(&b, 400, 40, 0, 25, 1, 1);
    {
        pushed tracks[] = { { &a, "720p", 0, 0 }, { &b, "360p", 0, 0 } };

        assert_int_equal(host_new(&h, NULL), VP_OK);
        assert_int_equal(push_all(&h, tracks, 2, 0), VP_E_DATA);
        assert_string_equal(h.err.reason, "RENDITIONS_NOT_ALIGNED");
        assert_string_equal(h.err.key, "360p");
        assert_non_null(strstr(h.err.message, "6.000 s"));
        assert_int_equal(vp_packager_finish(h.packager, &h.presentation, NULL), VP_E_STATE);
        host_dispose(&h);
    }
    clip_dispose(&a);
    clip_dispose(&b);
}

static void test_refused(void **state)
{
    vp_package_options o = VP_PACKAGE_OPTIONS_INIT;
    vp_track_config config;
    uint32_t number;
    uint8_t junk[8] = { 1, 2, 3 };
    vp_sample s;
    clip v, a;
    host h;

    (void)state;
    o.segment_ms = 499;
    assert_int_equal(host_new(&h, &o), VP_E_ARG);
    host_dispose(&h);
    o.segment_ms = 6000;
    o.fragment_ms = 2500;
    assert_int_equal(host_new(&h, &o), VP_E_ARG);
    host_dispose(&h);
    o.fragment_ms = 0;
    o.formats = 4;
    assert_int_equal(host_new(&h, &o), VP_E_ARG);
    host_dispose(&h);
    o.formats = VP_FORMAT_TS;
    o.single_file = 1;
    assert_int_equal(host_new(&h, &o), VP_E_ARG);
    host_dispose(&h);
    o.single_file = 0;
    o.prefix = "../x";
    assert_int_equal(host_new(&h, &o), VP_E_ARG);
    host_dispose(&h);
    assert_int_equal(vp_packager_new(test_context(), NULL, NULL, NULL, &h.packager, NULL), VP_E_ARG);
    assert_int_equal(vp_packager_new(test_context(), NULL, NULL, NULL, NULL, NULL), VP_E_ARG);
    assert_null(vp_packager_unref(NULL));

    clip_fake_video(&v, 10, 10, 0, 25, 1, 1);
    clip_fake_audio(&a, 10, 48000, 1);
    assert_int_equal(host_new(&h, NULL), VP_OK);
    vp_track_config_init(&config, sizeof(config));
    config.codec = VP_CODEC_H264;
    config.config = junk;
    config.config_size = sizeof(junk);
    config.timescale = 25;
    config.name = "v";
    assert_int_equal(vp_packager_add_track(h.packager, &config, &number, &h.err), VP_E_DATA);
    assert_string_equal(h.err.reason, "INPUT_CORRUPT");
    config.codec = 99;
    assert_int_equal(vp_packager_add_track(h.packager, &config, &number, &h.err), VP_E_UNSUPPORTED);
    assert_string_equal(h.err.reason, "CODEC_UNSUPPORTED");
    config.name = "a/b";
    assert_int_equal(vp_packager_add_track(h.packager, &config, &number, NULL), VP_E_ARG);
    assert_int_equal(vp_packager_finish(h.packager, &h.presentation, NULL), VP_E_ARG); /* nothing written */
    host_dispose(&h);

    assert_int_equal(host_new(&h, NULL), VP_OK);
    assert_int_equal(add_track(&h, &v, "v", &number), VP_OK);
    assert_int_equal(add_track(&h, &v, "v", &number), VP_E_ARG); /* name is taken */
    assert_int_equal(add_track(&h, &a, "a", &number), VP_OK);
    vp_sample_init(&s, sizeof(s));
    assert_int_equal(vp_packager_write(h.packager, 0, &s, NULL), VP_E_ARG); /* no duration */
    s.duration = 1;
    s.data = v.samples[1].data;
    s.size = v.samples[1].size;
    assert_int_equal(vp_packager_write(h.packager, 2, &s, NULL), VP_E_ARG);
    assert_int_equal(vp_packager_write(h.packager, 0, &s, &h.err), VP_E_DATA); /* no IDR first */
    s.flags = VP_SAMPLE_SYNC;
    assert_int_equal(vp_packager_write(h.packager, 0, &s, &h.err), VP_E_DATA); /* says so, but is none */
    s.data = v.samples[0].data;
    s.size = v.samples[0].size - 1;
    assert_int_equal(vp_packager_write(h.packager, 0, &s, &h.err), VP_E_DATA); /* cut off */
    s.size++;
    s.pts = -1;
    assert_int_equal(vp_packager_write(h.packager, 0, &s, &h.err), VP_E_ARG);
    s.pts = 0;
    assert_int_equal(vp_packager_write(h.packager, 0, &s, &h.err), VP_OK); /* refusals changed nothing */
    assert_int_equal(vp_packager_write(h.packager, 1, &s, &h.err), VP_OK);
    assert_int_equal(vp_packager_write(h.packager, 1, &s, &h.err), VP_E_DATA); /* audio time does not rise */
    assert_int_equal(add_track(&h, &a, "b", &number), VP_E_STATE);
    host_dispose(&h);

    assert_int_equal(host_new(&h, NULL), VP_OK);
    assert_int_equal(add_track(&h, &v, "v", &number), VP_OK);
    assert_int_equal(add_track(&h, &a, "a", &number), VP_OK);
    assert_int_equal(vp_packager_write(h.packager, 0, &s, &h.err), VP_OK);
    assert_int_equal(vp_packager_finish(h.packager, &h.presentation, &h.err),
                     VP_E_ARG); /* audio got nothing */
    host_dispose(&h);
    clip_dispose(&v);
    clip_dispose(&a);
}

/* One track far ahead of another: refused at 256 MiB, not before. */
static void test_memory_limit(void **state)
{
    size_t size = (size_t)16 << 20, n = 0;
    uint8_t *data = calloc(1, size);
    uint32_t number;
    vp_status st = VP_OK;
    clip v, a;
    host h;

    (void)state;
    assert_non_null(data);
    data[0] = (uint8_t)((size - 4) >> 24);
    data[1] = (uint8_t)((size - 4) >> 16);
    data[2] = (uint8_t)((size - 4) >> 8);
    data[3] = (uint8_t)(size - 4);
    data[4] = 0x65;
    clip_fake_video(&v, 1, 1, 0, 25, 1, 1);
    clip_fake_audio(&a, 1, 48000, 1);
    assert_int_equal(host_new(&h, NULL), VP_OK);
    assert_int_equal(add_track(&h, &v, "v", &number), VP_OK);
    assert_int_equal(add_track(&h, &a, "a", &number), VP_OK);
    while (st == VP_OK && n < 20) {
        vp_sample s;

        vp_sample_init(&s, sizeof(s));
        s.flags = VP_SAMPLE_SYNC;
        s.pts = (int64_t)n;
        s.duration = 1;
        s.data = data;
        s.size = size;
        st = vp_packager_write(h.packager, 0, &s, &h.err);
        if (st == VP_OK) n++;
    }
    assert_int_equal(st, VP_E_LIMIT);
    assert_string_equal(h.err.reason, "MEMORY_LIMIT");
    assert_int_equal(n, 15);
    host_dispose(&h);
    free(data);
    clip_dispose(&v);
    clip_dispose(&a);
}

/* Old and new struct sizes, and a tail that we do not know. */
static void test_struct_sizes(void **state)
{
    vp_package_options made, o = VP_PACKAGE_OPTIONS_INIT;
    uint8_t *longer = calloc(1, sizeof(o) + 16);
    uint32_t *shorter = malloc(8);
    vp_packager *pk = NULL;
    vp_sink *sink = NULL;

    (void)state;
    assert_non_null(longer);
    assert_non_null(shorter);
    memset(&made, 0xFF, sizeof(made));
    vp_package_options_init(&made, sizeof(made));
    assert_memory_equal(&made, &o, sizeof(o));
    assert_int_equal(vp_sink_memory(test_context(), &sink, NULL), VP_OK);
    shorter[0] = 8;
    shorter[1] = VP_FORMAT_TS;
    assert_int_equal(vp_packager_new(test_context(), (void *)shorter, sink, NULL, &pk, NULL), VP_OK);
    pk = vp_packager_unref(pk);
    memcpy(longer, &o, sizeof(o));
    *(uint32_t *)(void *)longer = (uint32_t)sizeof(o) + 16;
    assert_int_equal(vp_packager_new(test_context(), (void *)longer, sink, NULL, &pk, NULL), VP_OK);
    pk = vp_packager_unref(pk);
    longer[sizeof(o) + 3] = 1;
    assert_int_equal(vp_packager_new(test_context(), (void *)longer, sink, NULL, &pk, NULL), VP_E_VERSION);
    vp_sink_unref(sink);
    free(longer);
    free(shorter);
}

static void test_no_memory(void **state)
{
    vp_package_options o = VP_PACKAGE_OPTIONS_INIT;
    clip video, audio;
    bool done = false;

    (void)state;
    clip_fake_video(&video, 40, 10, 1, 5, 1, 1);
    clip_fake_audio(&audio, 370, 48000, 3);
    o.formats = VP_FORMAT_CMAF | VP_FORMAT_TS;
    o.single_file = 1;
    for (long n = 1; !done; n += 1 + n / 20) {
        pushed tracks[] = { { &video, "v", 0, 0 }, { &audio, "a", 0, 0 } };
        vp_status st;
        host h;

        assert_true(n < 100000);
        test_context();
        vpi_alloc_fail_at = n;
        st = host_new(&h, &o);
        if (st >= 0) st = push_all(&h, tracks, 2, 0);
        done = vpi_alloc_fail_at > 0;
        vpi_alloc_fail_at = 0;
        if (done)
            assert_int_equal(st, VP_OK);
        else if (st != VP_E_NOMEM)
            fail_msg("allocation %ld: %d %s", n, (int)st, h.err.message);
        host_dispose(&h);
    }
    clip_dispose(&video);
    clip_dispose(&audio);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cmaf),         cmocka_unit_test(test_borders),
        cmocka_unit_test(test_tail),         cmocka_unit_test(test_audio_only),
        cmocka_unit_test(test_ts),           cmocka_unit_test(test_uneven),
        cmocka_unit_test(test_single_file),  cmocka_unit_test(test_misaligned),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_struct_sizes), cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
