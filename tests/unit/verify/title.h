/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_VERIFY_TITLE_H
#define VPT_VERIFY_TITLE_H

/* A small good title in a memory sink, and ways to spoil it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <vodpipe/package.h>
#include <vodpipe/verify.h>

#include "base/buf.h"
#include "model/presentation.h"

#define VERSION_FOLDER "a1b2c3d4e5f6"

typedef struct title {
    vp_context *context;
    vp_sink *sink;
    vp_store *store;
    vp_presentation *presentation;
    vp_report *report;
    vp_error err;
    vp_status status; /* of the last verify */
} title;

typedef struct title_options {
    uint32_t formats; /* VP_FORMAT_* */
    bool single_file, no_audio, no_video;
    unsigned audio_tracks; /* 0: one */
    double seconds;        /* 0: 5 */
} title_options;

/* Two rungs of 25 frames/s, an IDR picture each second, segments of 2 s, AAC stereo; made up pictures. */
void title_make(title *t, const title_options *options);
/* An empty title with a context, a sink and a store: for tests that fill it by themselves. */
void title_open(title *t);
/* avcC of a rung: Main profile, level 3.0. */
void title_avcc(unsigned width, unsigned height, vpi_buf *to);
/* Manifests, presentation.json and marker of t->presentation. */
void title_publish(title *t);
void title_close(title *t);

/* Verifies; title_verify reads what is published, title_gate checks t->presentation. */
vp_status title_verify(title *t);
vp_status title_gate(title *t, bool read);
bool title_failed(const title *t, const char *rule);
/* Prints all failures. */
void title_print(const title *t);
void expect_good(title *t);
/* The last verify found this rule (and VERIFY_FAILED). */
void expect_rule(title *t, const char *rule);

/* ---- objects ---- */

/* Bytes of an object; free(). A NUL follows them. */
uint8_t *object_get(title *t, const char *key, size_t *size);
void object_put(title *t, const char *key, const void *data, size_t size);
void object_remove(title *t, const char *key);
/* Replaces the first occurrence in a text object. */
void object_replace(title *t, const char *key, const char *from, const char *to);
/* Position of bytes in an object; fails the test when they are not there. */
size_t find_bytes(const uint8_t *data, size_t size, const void *what, size_t n);
/* Adds `by` to the byte at `offset` behind the nth (from 0) occurrence of a four-character code. */
void object_patch(title *t, const char *key, const char *fourcc, unsigned nth, long offset, int by);

/* Key below the version folder; static buffer of the call before the last is overwritten. */
const char *under(const char *name);
/* The track of that name and container. */
vpi_ptrack *track_of(title *t, const char *name, int32_t container);
/* All objects into a directory, for other checkers. */
void title_dump(title *t, const char *directory);

#endif
