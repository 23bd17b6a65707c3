/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TEST_MANIFEST_TITLE_H
#define TEST_MANIFEST_TITLE_H

/* Building small titles in memory. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <vodpipe/manifest.h>

#include "base/buf.h"
#include "model/presentation.h"

static inline void set_text(char **to, const char *text)
{
    vpi_free(*to);
    *to = vpi_strdup(text);
    assert_true(!text || *to);
}

static inline vpi_ptrack *add_track(vp_presentation *p, const char *name, int32_t kind, int32_t container,
                                    uint32_t timescale)
{
    vpi_ptrack *t = vpi_presentation_add_track(&p->p);

    assert_non_null(t);
    set_text(&t->name, name);
    set_text(&t->group, kind == VP_TRACK_VIDEO ? "video" : "stereo");
    set_text(&t->codecs, kind == VP_TRACK_VIDEO ? "avc1.64001f" : "mp4a.40.2");
    t->kind = kind;
    t->container = container;
    t->timescale = timescale;
    if (kind == VP_TRACK_AUDIO) t->channels = 2;
    return t;
}

/* Where a track's objects lie: "v1/video/720p/"; file "%05zu.m4s" or the single file. */
static inline vpi_segment *add_segment(vpi_ptrack *t, const char *folder, uint64_t ticks, uint64_t bytes)
{
    const vpi_segment *last = t->segment_count ? &t->segments[t->segment_count - 1] : NULL;
    uint64_t start = last ? last->start + last->ticks : 0, offset = last ? last->offset + last->bytes : 0;
    vpi_segment *s = vpi_ptrack_add_segment(t);

    assert_non_null(s);
    if (t->single_file) {
        s->key = vpi_asprintf("%smedia.mp4", folder);
        s->offset = last ? offset : t->init.bytes + t->index.bytes;
    } else {
        s->key = vpi_asprintf("%s%05zu.%s", folder, t->segment_count,
                              t->container == VP_CONTAINER_CMAF ? "m4s"
                              : t->container == VP_CONTAINER_TS ? "ts"
                                                                : "aac");
    }
    assert_non_null(s->key);
    s->start = start;
    s->ticks = ticks;
    s->bytes = bytes;
    return s;
}

static inline void add_init(vpi_ptrack *t, const char *folder)
{
    t->init.key = vpi_asprintf("%s%s", folder, t->single_file ? "media.mp4" : "init.mp4");
    t->init.bytes = 800;
    if (!t->single_file) return;
    t->index.key = vpi_strdup(t->init.key);
    t->index.offset = 800;
    t->index.bytes = 100;
    assert_true(t->init.key && t->index.key);
}

/* Cuts the last segment into fragments of the same length and size. */
static inline void add_fragments(vpi_segment *s, size_t count, uint64_t idr_bytes)
{
    size_t i;

    for (i = 0; i < count; i++) {
        vpi_fragment *f = vpi_segment_add_fragment(s);

        assert_non_null(f);
        *f = (vpi_fragment){ i * (s->bytes / count), s->bytes / count, s->ticks / count, idr_bytes };
    }
}

static inline void finish(vp_presentation *p)
{
    vp_error err = VP_ERROR_INIT;
    vp_status st = vpi_presentation_finish(&p->p, &err);

    assert_string_equal(err.message, "");
    assert_int_equal(st, VP_OK);
}

/* Video at 25 frames a second, three segments of 6, 6 and 2.4 s; sizes by the rate in kbit/s. */
static inline vpi_ptrack *add_video(vp_presentation *p, const char *name, uint32_t width, uint32_t height,
                                    uint32_t kbps, bool single_file)
{
    static const uint64_t ticks[] = { 540000, 540000, 216000 };
    vpi_ptrack *t = add_track(p, name, VP_TRACK_VIDEO, VP_CONTAINER_CMAF, 90000);
    char *folder = vpi_asprintf("v1/video/%s/", name);
    size_t i;

    assert_non_null(folder);
    t->single_file = single_file;
    t->width = width;
    t->height = height;
    t->frame_rate_num = 25;
    t->frame_rate_den = 1;
    t->primaries = t->transfer = t->matrix = 1;
    add_init(t, folder);
    for (i = 0; i < VPI_COUNT(ticks); i++) {
        vpi_segment *s = add_segment(t, folder, ticks[i], kbps * ticks[i] / 90000 * 125);

        add_fragments(s, i < 2 ? 3 : 1, 1000 * (i + 1));
    }
    vpi_free(folder);
    return t;
}

static inline vpi_ptrack *add_audio(vp_presentation *p, const char *name, const char *language,
                                    const char *group, uint32_t channels, uint32_t kbps, bool single_file)
{
    static const uint64_t ticks[] = { 287744, 288768, 114688 };
    vpi_ptrack *t = add_track(p, name, VP_TRACK_AUDIO, VP_CONTAINER_CMAF, 48000);
    char *folder = vpi_asprintf("v1/audio/%s/", name);
    size_t i;

    assert_non_null(folder);
    t->single_file = single_file;
    set_text(&t->language, language);
    set_text(&t->group, group);
    t->channels = channels;
    t->sample_rate = 48000;
    add_init(t, folder);
    for (i = 0; i < VPI_COUNT(ticks); i++) add_segment(t, folder, ticks[i], kbps * ticks[i] / 48000 * 125);
    vpi_free(folder);
    return t;
}

/* ---- protection ---- */

/* Puts a track under a scheme; keys follow. */
static inline void protect(vpi_ptrack *t, vpi_scheme scheme, uint64_t clear_segments, uint64_t rotation)
{
    size_t i;

    t->protection.scheme = scheme;
    vpi_strlcpy(t->protection.label, t->kind == VP_TRACK_VIDEO ? "hd" : "audio", VPI_LABEL_SIZE);
    t->protection.clear_segments = clear_segments;
    t->protection.rotation = rotation;
    for (i = clear_segments; scheme == VPI_SCHEME_AES128 && i < t->segment_count; i++) {
        t->segments[i].has_iv = true;
        memset(t->segments[i].iv, 0x10 + (int)i, sizeof(t->segments[i].iv));
    }
}

/* KID first, first + 1, ...; the IV of cbcs is 0xC0, 0xC0, ...; uri NULL: none. */
static inline vpi_key_info *add_key(vpi_ptrack *t, uint8_t first, const char *uri)
{
    vpi_key_info *k = vpi_protection_add_key(&t->protection);
    size_t i;

    assert_non_null(k);
    k->has_kid = t->protection.scheme != VPI_SCHEME_AES128;
    for (i = 0; k->has_kid && i < sizeof(k->kid); i++) k->kid[i] = (uint8_t)(first + i);
    k->has_iv = t->protection.scheme == VPI_SCHEME_CBCS;
    if (k->has_iv) memset(k->iv, 0xC0, sizeof(k->iv));
    if (uri) set_text(&k->uri, uri);
    return k;
}

/* data NULL: no box; kid: in a box of version 1. */
static inline vpi_drm *add_drm(vpi_key_info *k, const uint8_t system[16], const char *data, bool kid,
                               const char *uri, const char *laurl)
{
    vpi_drm *d = vpi_key_info_add_drm(k);
    vpi_buf b = { 0 };

    assert_non_null(d);
    memcpy(d->system, system, sizeof(d->system));
    if (uri) set_text(&d->uri, uri);
    if (laurl) set_text(&d->laurl, laurl);
    if (!data) return d;
    vpi_buf_be32(&b, 0);
    vpi_buf_str(&b, "pssh");
    vpi_buf_be32(&b, kid ? 1u << 24 : 0);
    vpi_buf_add(&b, system, sizeof(d->system));
    if (kid) {
        vpi_buf_be32(&b, 1);
        vpi_buf_add(&b, k->kid, sizeof(k->kid));
    }
    vpi_buf_be32(&b, (uint32_t)strlen(data));
    vpi_buf_str(&b, data);
    vpi_buf_patch_be32(&b, 0, (uint32_t)b.size);
    assert_false(vpi_buf_failed(&b));
    d->pssh = b.data;
    d->pssh_size = b.size;
    return d;
}

/* Text of a manifest, to free with vpi_free. */
static inline char *text_of(vp_status st, vp_bytes *b)
{
    char *text;

    assert_int_equal(st, VP_OK);
    assert_int_equal(strlen(vp_bytes_data(b)), vp_bytes_size(b));
    text = vpi_strdup(vp_bytes_data(b));
    assert_non_null(text);
    vp_bytes_unref(b);
    return text;
}

static inline void is_text(vp_status st, vp_bytes *b, const char *expected)
{
    char *text = text_of(st, b);

    assert_string_equal(text, expected);
    vpi_free(text);
}

static inline size_t count_of(const char *text, const char *what)
{
    size_t n = 0;

    for (text = strstr(text, what); text; text = strstr(text + 1, what)) n++;
    return n;
}

#endif
