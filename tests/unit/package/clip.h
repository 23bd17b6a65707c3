/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_PACKAGE_CLIP_H
#define VPT_PACKAGE_CLIP_H

/* Samples for the tests of package: made up ones, and real ones cut out of what ffmpeg encodes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bitstream/bitstream.h"
#include "bmff/bmff.h"
#include "package/package.h"

typedef struct clip {
    vpi_track_setup setup;
    uint8_t config[512];
    vpi_sample *samples; /* decode order */
    size_t count, cap;
    uint64_t end; /* ticks */
} clip;

void clip_dispose(clip *c);
/*
 * H.264 of `count` pictures, made up bytes with valid lengths; a reorder depth of `b` (0..2), IDR each `gop`.
 */
void clip_fake_video(clip *c, size_t count, size_t gop, unsigned b, uint32_t timescale, uint64_t frame,
                     unsigned seed);
void clip_fake_audio(clip *c, size_t count, uint32_t rate, unsigned seed);
void clip_shift(clip *c, uint64_t ticks);

/* ---- real ones: false when ffmpeg or ffprobe is missing ---- */

bool have_ffmpeg(void);
/* A folder of its own, removed by tmp_remove. */
const char *tmp_dir(void);
void tmp_remove(void);
/*
 * Runs a shell command, returns its exit status; what it prints goes to *text (free) when text is not NULL.
 */
int run(char **text, const char *format, ...) VPI_PRINTF(2, 3);
/* Encodes with ffmpeg's options and reads the pictures back with their presentation times. */
void clip_real_video(clip *c, const char *input, const char *options, uint32_t timescale);
void clip_real_audio(clip *c, const char *input, const char *options);
/* AC-3, or E-AC-3 in samples of six blocks. */
void clip_real_ac3(clip *c, const char *input, const char *options, bool eac3);

/* ---- segments ---- */

/* Indices of sync samples in [first, end) as fragments; returns their number. */
size_t sync_fragments(const clip *c, size_t first, size_t end, size_t *fragments, size_t cap);
typedef struct cut {
    vpi_segment_in in;
    size_t fragments[512];
} cut;
/* Samples [first, end) as one segment. */
void clip_cut(const clip *c, size_t first, size_t end, cut *out);

/* A memory sink, and one object as bytes. */
vp_context *test_context(void);
typedef struct written {
    vp_sink *sink;
    vp_object *object;
} written;
void written_begin(written *w);
/* Takes the object's bytes out; free() them. */
uint8_t *written_end(written *w, size_t *size);
/* In tmp_dir(); what get_file gives goes to free(). */
void put_file(const char *name, const void *data, size_t size);
uint8_t *get_file(const char *name, size_t *size);
void segment_dispose(vpi_segment *s);

#endif
