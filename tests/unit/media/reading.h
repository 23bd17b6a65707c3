/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_MEDIA_READING_H
#define VPT_MEDIA_READING_H

/* What the tests of the reading half share: clips made with the ffmpeg tool in a folder of their own. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <vodpipe/probe.h>

#include "media/demux.h"

#define SKIPPED 77

static char clip_dir[64];
static vp_context *context;

static inline int clip_tools(void)
{
    return system("ffmpeg -version >/dev/null 2>&1") == 0 && system("ffprobe -version >/dev/null 2>&1") == 0;
}

static inline int clip_begin(void **state)
{
    vp_error err = VP_ERROR_INIT;

    (void)state;
    snprintf(clip_dir, sizeof(clip_dir), "/tmp/vpt-media-XXXXXX");
    if (!mkdtemp(clip_dir)) return -1;
    return vp_context_new(NULL, &context, &err);
}

static inline int clip_end(void **state)
{
    char command[128];

    (void)state;
    vp_context_unref(context);
    snprintf(command, sizeof(command), "rm -rf %s", clip_dir);
    return system(command);
}

/* Runs a shell command in the folder; FF stands for ffmpeg with quiet options. Fails the test where it
 * fails. */
static inline void shell(const char *command)
{
    char text[4096];

    snprintf(text, sizeof(text),
             "cd %s && FF() { nice ffmpeg -nostdin -v error -y -threads 1 \"$@\" 2>/dev/null; } && %s",
             clip_dir, command);
    if (system(text) != 0) {
        print_error("failed: %s\n", command);
        fail();
    }
}

static inline char *clip_path(const char *name)
{
    static char path[600];

    snprintf(path, sizeof(path), "%s%s%s", name[0] == '/' ? "" : clip_dir, name[0] == '/' ? "" : "/", name);
    return path;
}

static inline void have(const char *name, const char *command)
{
    if (access(clip_path(name), F_OK) != 0) shell(command);
}

static inline vp_source *clip_source(const char *name)
{
    vp_error err = VP_ERROR_INIT;
    vp_source *source = NULL;

    if (vp_source_file(context, clip_path(name), &source, &err) < 0) fail_msg("%s: %s", name, err.message);
    return source;
}

/* base.mp4 of FAILURES.md: 60 frames at 30/s and two seconds of tone. */
static inline void have_base(void)
{
    have("base.mp4",
         "FF -f lavfi -i testsrc2=s=128x72:r=30:d=2 -f lavfi -i sine=1000:d=2:r=48000 -c:v libx264 "
         "-preset ultrafast -g 30 -c:a aac base.mp4");
}

/* The clip probed (full: scanned), NULL with err filled when it was refused. */
static inline vp_media *look(const char *name, int full, vp_error *err)
{
    vp_probe_options options = VP_PROBE_OPTIONS_INIT;
    vp_source *source = clip_source(name);
    vp_media *media = NULL;
    vp_status st;

    options.full = (uint32_t)full;
    st = vp_probe(context, source, &options, NULL, &media, err);
    if (st < 0)
        assert_null(media);
    else
        assert_non_null(media);
    vp_source_unref(source);
    return media;
}

static inline vp_media *accepted(const char *name, int full)
{
    vp_error err = VP_ERROR_INIT;
    vp_media *media = look(name, full, &err);

    if (!media) fail_msg("%s: %s: %s", name, err.reason, err.message);
    return media;
}

static inline void refused(const char *name, int full, vp_status status, const char *reason)
{
    vp_error err = VP_ERROR_INIT;
    vp_media *media = look(name, full, &err);

    if (media) {
        vp_media_unref(media);
        fail_msg("%s was accepted, %s expected", name, reason);
    }
    if (strcmp(err.reason, reason) != 0)
        fail_msg("%s: %s (%s), %s expected", name, err.reason, err.message, reason);
    assert_int_equal(err.status, status);
    assert_true(err.message[0] != 0 && err.op[0] != 0);
}

static inline const char *warned(const vp_media *media, const char *name)
{
    const char *text = NULL, *n;

    for (uint32_t i = 0; (n = vp_media_warning(media, i, &text, NULL)) != NULL; i++) {
        if (strcmp(n, name) == 0) return text;
    }
    return NULL;
}

#endif
