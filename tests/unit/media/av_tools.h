/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TEST_MEDIA_AV_TOOLS_H
#define TEST_MEDIA_AV_TOOLS_H

/* What the tests of the codec half share: clips made by ffmpeg, sources on them, checksums of pictures. */

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/hash.h"
#include "media/demux.h"
#include "media/frame_int.h"
#include "media/video.h"

#define FF "nice ffmpeg -v error -nostdin -y -threads 1 "
#define assert_ok(call)                                                                                      \
    do {                                                                                                     \
        vp_error_init(&err);                                                                                 \
        vp_status assert_ok_ = (call);                                                                       \
        if (assert_ok_ != VP_OK) fail_msg("%s: %d %s %s", #call, assert_ok_, err.reason, err.message);       \
    } while (0)
#define assert_fails(call, want, why)                                                                        \
    do {                                                                                                     \
        vp_error_init(&err);                                                                                 \
        assert_int_equal((call), (want));                                                                    \
        assert_string_equal(err.reason, (why));                                                              \
        assert_true(err.message[0] != 0);                                                                    \
    } while (0)

static char clip_dir[64];
static vp_context *context;
static vp_error err = VP_ERROR_INIT;

static inline int clips_setup(void **state)
{
    (void)state;
    strcpy(clip_dir, "/tmp/vpclipsXXXXXX");
    if (!mkdtemp(clip_dir)) return -1;
    return vp_context_new(NULL, &context, &err) == VP_OK ? 0 : -1;
}

static inline int clips_teardown(void **state)
{
    char command[128];

    (void)state;
    context = vp_context_unref(context);
    snprintf(command, sizeof(command), "rm -rf %s", clip_dir);
    return system(command);
}

/* Path of a clip; the command gets it appended. Made once. */
static inline const char *clip(const char *name, const char *args)
{
    static char path[160];
    char command[4096];

    snprintf(path, sizeof(path), "%s/%s", clip_dir, name);
    if (access(path, R_OK) == 0) return path;
    snprintf(command, sizeof(command), "cd %s && " FF "%s %s", clip_dir, args, path);
    if (system(command) != 0) fail_msg("%s", command);
    return path;
}

static inline vp_source *source_of(const char *path)
{
    vp_source *source = NULL;

    assert_ok(vp_source_file(context, path, &source, &err));
    return source;
}

/* A copy of the first track of a kind, without what it owns. */
static inline vpi_track track_of(const char *path, vpi_kind kind)
{
    vp_source *source = source_of(path);
    vpi_demux *demux = NULL;
    vpi_track track = { 0 };
    bool found = false;
    size_t i;

    assert_ok(vpi_demux_open(context, source, NULL, NULL, &demux, &err));
    for (i = 0; i < vpi_demux_stream_count(demux) && !found; i++) {
        const vpi_track *t = vpi_demux_track(demux, (int32_t)i);

        if (t->kind != kind) continue;
        track = *t;
        track.id = (int32_t)i;
        found = true;
    }
    assert_true(found);
    vpi_demux_close(demux);
    vp_source_unref(source);
    return track;
}

static inline uint32_t frame_crc(const vpi_frame *frame)
{
    const AVFrame *av = frame->av;
    uint32_t crc = 0;
    int i, y;

    for (i = 0; i < 3; i++) {
        int w = i ? (av->width + 1) / 2 : av->width, h = i ? (av->height + 1) / 2 : av->height;

        for (y = 0; y < h; y++)
            crc = vpi_crc32c(crc, av->data[i] + (ptrdiff_t)y * av->linesize[i], (size_t)w);
    }
    return crc;
}

static inline vpi_video_reader_options reader_options(const vpi_track *track)
{
    vpi_video_reader_options o = { 0 };

    o.stream = track->id;
    o.width = track->display_width;
    o.height = track->display_height;
    o.rotation = track->rotation;
    o.flipped = track->flipped;
    o.from = INT64_MIN;
    o.decoder_threads = 1;
    vpi_video_colour_for(track, &o.colour);
    return o;
}

/* A picture of our own: a moving gradient with some noise, from its number alone. */
static inline vpi_frame *made_frame(vpi_frame_pool *pool, int n)
{
    AVFrame *av = vpi_frame_pool_get(pool);
    uint32_t noise = 0x9E3779B9u * (uint32_t)(n + 1);
    int i, x, y;
    vpi_frame *frame;

    assert_non_null(av);
    for (i = 0; i < 3; i++) {
        int w = i ? av->width / 2 : av->width, h = i ? av->height / 2 : av->height;

        for (y = 0; y < h; y++) {
            for (x = 0; x < w; x++) {
                noise = noise * 1664525u + 1013904223u;
                av->data[i][y * av->linesize[i] + x] =
                    (uint8_t)(16 + ((x + y * (i + 1) + n * 5) & 127) + (noise >> 28));
            }
        }
    }
    frame = vpi_frame_wrap(av, n, 1);
    assert_non_null(frame);
    return frame;
}

#endif
