/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_FUZZ_TITLE_H
#define VPT_FUZZ_TITLE_H

/* A presentation without media, for targets that put hostile bytes where its objects should be. */

#include <vodpipe/verify.h>

#include "fuzz.h"
#include "io/io.h"
#include "model/presentation.h"

#define FUZZ_FOLDER "a1b2c3d4e5f6"

static inline char *fuzz_text(const char *text)
{
    char *copy = vpi_strdup(text);

    if (!copy) abort();
    return copy;
}

/* Two segments of two seconds (50 pictures, or samples of 48 kHz) with a fragment a second. */
static inline vpi_ptrack *fuzz_track(vpi_presentation *p, const char *name, int32_t kind, int32_t container,
                                     const char *codecs)
{
    static const char *const ends[] = { "", "m4s", "ts", "aac" };
    bool video = kind == VP_TRACK_VIDEO;
    vpi_ptrack *t = vpi_presentation_add_track(p);
    char key[256];

    if (!t) abort();
    t->name = fuzz_text(name);
    t->group = fuzz_text(video ? "video" : "audio");
    t->codecs = fuzz_text(codecs);
    t->kind = kind;
    t->container = container;
    t->timescale = video ? 12800 : 48000;
    if (video) {
        t->width = 320;
        t->height = 192;
        t->frame_rate_num = 25;
        t->frame_rate_den = 1;
    } else {
        t->language = fuzz_text("en");
        t->is_default = true;
        t->sample_rate = 48000;
        t->channels = 2;
    }
    for (unsigned i = 0; i < 2; i++) {
        vpi_segment *s = vpi_ptrack_add_segment(t);

        if (!s) abort();
        snprintf(key, sizeof(key), FUZZ_FOLDER "/%s/%s/%05u.%s", video ? "video" : "audio", name, i + 1,
                 ends[container]);
        s->key = fuzz_text(key);
        s->start = (uint64_t)i * 2 * t->timescale;
        s->ticks = (uint64_t)2 * t->timescale;
        s->bytes = 1000;
        for (unsigned k = 0; k < 2; k++) {
            vpi_fragment *f = vpi_segment_add_fragment(s);

            if (!f) abort();
            *f = (vpi_fragment){ (uint64_t)k * 500, 500, t->timescale, video ? 100 : 0 };
        }
    }
    if (container == VP_CONTAINER_CMAF) {
        snprintf(key, sizeof(key), FUZZ_FOLDER "/%s/%s/init.mp4", video ? "video" : "audio", name);
        t->init.key = fuzz_text(key);
        t->init.bytes = 700;
    }
    return t;
}

static inline void fuzz_put(vp_sink *sink, const char *key, const void *data, size_t size)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;

    info.key = key;
    info.content_type = "application/octet-stream";
    if (vpi_sink_put(sink, &info, data, size, NULL, NULL, NULL) < 0) abort();
}

#endif
