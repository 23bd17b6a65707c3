/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Samples and configurations that a host gives to the packager: [1 byte: bit 0 audio, bits 1-2 formats][2 bytes size of
 * the configuration][configuration], then samples of [2 bytes size][1 byte: bit 0 sync, the rest the duration][data].
 */
#include <vodpipe/package.h>

#include "fuzz.h"

static size_t take(const uint8_t **d, size_t *left, size_t bytes)
{
    size_t n = 0;

    if (*left < bytes) return 0;
    for (size_t i = 0; i < bytes; i++) n = n << 8 | (*d)[i];
    *d += bytes;
    *left -= bytes;
    return n;
}

static void write_samples(vp_packager *packager, uint32_t track, const uint8_t *d, size_t left)
{
    vp_error err = VP_ERROR_INIT;
    vp_presentation *p = NULL;
    int64_t pts = 0;
    vp_sample s;
    vp_status st = VP_OK;

    while (st == VP_OK && left > 3) {
        size_t size = take(&d, &left, 2), flags = take(&d, &left, 1);

        vp_sample_init(&s, sizeof(s));
        s.size = size < left ? size : left;
        s.data = d;
        s.flags = flags & 1 ? VP_SAMPLE_SYNC : 0;
        s.pts = pts;
        s.duration = (uint64_t)1024 << (flags >> 4);
        pts += (int64_t)s.duration;
        d += s.size;
        left -= (size_t)s.size;
        st = vp_packager_write(packager, track, &s, &err);
    }
    if (st == VP_OK) st = vp_packager_finish(packager, &p, &err);
    FUZZ_ACCEPTED(st == VP_OK && p);
    if (st < 0) FUZZ_CHECK(err.status == st && err.reason[0] && st != -13 /* INTERNAL */);
    vp_presentation_unref(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static vp_context *context;
    vp_package_options o = VP_PACKAGE_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    vp_packager *packager = NULL;
    vp_sink *sink = NULL;
    vp_store *store = NULL;
    vp_track_config c;
    uint32_t track = 0;
    size_t how = take(&data, &size, 1), config = take(&data, &size, 2);

    if (!context && vp_context_new(NULL, &context, NULL) < 0) abort();
    if (vp_sink_memory(context, &sink, NULL) < 0 || vp_store_memory(context, &store, NULL) < 0) abort();
    o.formats = (uint32_t)(how >> 1 & 3);
    o.segment_ms = 2000;
    o.fragment_ms = 1000;
    vp_track_config_init(&c, sizeof(c));
    c.codec = how & 1 ? VP_CODEC_AAC : VP_CODEC_H264;
    c.config = data;
    c.config_size = (uint32_t)(config < size ? config : size);
    c.timescale = 48000;
    c.name = "a";
    if (vp_packager_new(context, &o, sink, store, &packager, &err) == VP_OK) {
        vp_status st = vp_packager_add_track(packager, &c, &track, &err);

        FUZZ_REFUSAL(st, err);
        if (st == VP_OK) write_samples(packager, track, data + c.config_size, size - c.config_size);
    }
    vp_packager_unref(packager);
    vp_sink_unref(sink);
    vp_store_unref(store);
    return 0;
}
