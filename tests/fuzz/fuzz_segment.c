/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Segments as verify reads them back. The first byte says how (CMAF video, CMAF audio, TS with picture and sound,
 * TS audio, packed audio, single file), and in what is over whether they are encrypted (cenc, cbcs, cbcs behind a
 * clear segment); with CMAF two bytes of the size of the init segment follow, of a single file two of its index as
 * well. The rest is the object: the init, the index, then the same bytes as both segments.
 */
#include "title.h"

enum { CMAF_VIDEO, CMAF_AUDIO, CMAF_HEVC, TS_MUXED, TS_AUDIO, PACKED, SINGLE, KINDS };

static size_t take16(const uint8_t **data, size_t *size)
{
    size_t n;

    if (*size < 2) return 0;
    n = (size_t)(*data)[0] << 8 | (*data)[1];
    *data += 2;
    *size -= 2;
    return n > *size ? *size : n;
}

static void set_segments(vp_sink *sink, vpi_ptrack *t, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < t->segment_count; i++) {
        vpi_segment *s = &t->segments[i];

        s->bytes = size;
        s->fragments[0].bytes = VPI_MIN(s->fragments[0].bytes, size);
        s->fragments[1].offset = s->fragments[0].bytes;
        s->fragments[1].bytes = size - s->fragments[1].offset;
        fuzz_put(sink, s->key, data, size);
    }
}

static void set_single(vp_sink *sink, vpi_ptrack *t, const uint8_t *data, size_t size)
{
    const uint8_t *rest = data;
    size_t left = size, init = take16(&rest, &left), index = take16(&rest, &left), half;

    if (init + index > left) index = left - init;
    fuzz_put(sink, "media.mp4", rest, left);
    t->single_file = true;
    t->object_bytes = left;
    vpi_free(t->init.key);
    t->init = (vpi_part){ fuzz_text("media.mp4"), 0, init, 0 };
    t->index = (vpi_part){ fuzz_text("media.mp4"), init, index, 0 };
    half = (left - init - index) / 2;
    for (size_t i = 0; i < t->segment_count; i++) {
        vpi_free(t->segments[i].key);
        t->segments[i].key = fuzz_text("media.mp4");
        t->segments[i].offset = init + index + i * half;
        t->segments[i].bytes = half;
    }
}

/* One key for all, KID and IV of one byte each. */
static void protect(vpi_ptrack *t, unsigned how)
{
    vpi_key_info *k;

    if (how == 0) return;
    if (how == 1 && t->container != VP_CONTAINER_CMAF) how = 2;
    t->protection.scheme = how == 1 ? VPI_SCHEME_CENC : VPI_SCHEME_CBCS;
    t->protection.clear_segments = how == 3;
    k = vpi_protection_add_key(&t->protection);
    if (!k) abort();
    k->has_kid = true;
    k->has_iv = how > 1;
    memset(k->kid, 0x11, sizeof(k->kid));
    if (k->has_iv) memset(k->iv, 0x22, sizeof(k->iv));
}

static void fill(vp_sink *sink, vpi_presentation *p, unsigned kind, unsigned how, const uint8_t *data,
                 size_t size)
{
    static const struct {
        int32_t kind, container;
        const char *codecs;
    } tracks[KINDS] = {
        [CMAF_VIDEO] = { VP_TRACK_VIDEO, VP_CONTAINER_CMAF, "avc1.4d001e" },
        [CMAF_AUDIO] = { VP_TRACK_AUDIO, VP_CONTAINER_CMAF, "mp4a.40.2" },
        [CMAF_HEVC] = { VP_TRACK_VIDEO, VP_CONTAINER_CMAF, "hvc1.1.6.L60.90" },
        [TS_MUXED] = { VP_TRACK_VIDEO, VP_CONTAINER_TS, "avc1.4d001e,mp4a.40.2" },
        [TS_AUDIO] = { VP_TRACK_AUDIO, VP_CONTAINER_TS, "mp4a.40.2" },
        [PACKED] = { VP_TRACK_AUDIO, VP_CONTAINER_PACKED, "mp4a.40.2" },
        [SINGLE] = { VP_TRACK_VIDEO, VP_CONTAINER_CMAF, "avc1.4d001e" },
    };
    vpi_ptrack *t = fuzz_track(p, "a", tracks[kind].kind, tracks[kind].container, tracks[kind].codecs);
    size_t init;

    protect(t, how);
    if (kind == TS_MUXED) {
        t->sample_rate = 48000;
        t->channels = 2;
    }
    if (kind == SINGLE) {
        set_single(sink, t, data, size);
        return;
    }
    if (tracks[kind].container == VP_CONTAINER_CMAF) {
        init = take16(&data, &size);
        t->init.bytes = init;
        fuzz_put(sink, t->init.key, data, init);
        data += init;
        size -= init;
    }
    set_segments(sink, t, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static vp_context *context;
    vp_verify_options o = VP_VERIFY_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    vp_presentation *p = vpi_presentation_new();
    vp_report *report = NULL;
    vp_sink *sink = NULL;
    vp_status st;

    if (!context && vp_context_new(NULL, &context, NULL) < 0) abort();
    if (!p || vp_sink_memory(context, &sink, NULL) < 0) abort();
    if (size > 0) fill(sink, &p->p, data[0] % KINDS, data[0] / KINDS % 4, data + 1, size - 1);
    o.presentation = p;
    o.read_objects = 1;
    st = vp_verify(context, sink, &o, NULL, &report, &err);
    FUZZ_CHECK((st == VP_OK || st == VP_E_DATA) && report);
    FUZZ_CHECK((st == VP_OK) == (vp_report_failed(report) == 0));
    FUZZ_ACCEPTED(vp_report_checks(report) > 60);
    vp_report_unref(report);
    vp_presentation_unref(p);
    vp_sink_unref(sink);
    return 0;
}
