/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Content types, caller's structs, and what all writers share: output and the times of a segment. */

#include <stdlib.h>

#include <vodpipe/package.h>

#include "package/package_int.h"

void vp_package_options_init(vp_package_options *options, size_t size)
{
    static const vp_package_options init = VP_PACKAGE_OPTIONS_INIT;

    vpi_struct_init(options, size, &init, sizeof(init));
}

void vp_track_config_init(vp_track_config *config, size_t size)
{
    vpi_struct_init(config, size, NULL, 0);
}

void vp_sample_init(vp_sample *sample, size_t size)
{
    vpi_struct_init(sample, size, NULL, 0);
}

const char *vpi_content_type(int32_t container, int32_t kind, int32_t object_kind)
{
    bool audio = kind == VP_TRACK_AUDIO;

    switch (object_kind) {
    case VP_OBJECT_INIT: /* init.mp4, and media.mp4 of a single-file track */
        return audio ? "audio/mp4" : "video/mp4";
    case VP_OBJECT_SEGMENT:
        if (kind == VP_TRACK_TEXT) return "text/vtt";
        if (container == VP_CONTAINER_TS) return "video/mp2t";
        if (container == VP_CONTAINER_PACKED) return "audio/aac";
        return "video/iso.segment"; /* registered for .m4s of any kind */
    case VP_OBJECT_PLAYLIST:
    case VP_OBJECT_MASTER: /* of the masters, that of HLS; an MPD and JSON have their own */
        return "application/vnd.apple.mpegurl";
    case VP_OBJECT_IMAGE:
        return "image/jpeg";
    case VP_OBJECT_MARKER:
        return "text/plain";
    default:
        return "application/octet-stream";
    }
}

static bool is_packed(const vpi_ptrack *t, const char *codec)
{
    return t->container == VP_CONTAINER_PACKED && t->codecs && vpi_streq(t->codecs, codec);
}

const char *vpi_segment_type(const vpi_ptrack *t)
{
    if (is_packed(t, "ac-3")) return "audio/ac3";
    if (is_packed(t, "ec-3")) return "audio/eac3";
    return vpi_content_type(t->container, t->kind, VP_OBJECT_SEGMENT);
}

const char *vpi_segment_suffix(const vpi_ptrack *t)
{
    if (is_packed(t, "ac-3")) return "ac3";
    if (is_packed(t, "ec-3")) return "ec3";
    return t->container == VP_CONTAINER_CMAF ? "m4s" : t->container == VP_CONTAINER_TS ? "ts" : "aac";
}

vp_status vpi_out_add(vpi_out *out, const struct iovec *pieces, size_t count, vp_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (!vpi_add_u64(out->bytes, pieces[i].iov_len, &out->bytes)) {
            return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "segment of more than 2^64 bytes");
        }
    }
    if (out->object) return vpi_object_writev(out->object, pieces, count, err);
    if (out->value) {
        for (size_t i = 0; i < count; i++) {
            VPI_TRY(vp_value_write(out->value, pieces[i].iov_base, pieces[i].iov_len, err));
        }
    }
    return VP_OK;
}

/* ---- times ---- */

vp_status vpi_segment_in_check(const vpi_segment_in *in, vp_error *err)
{
    if (!in->setup || !in->samples || !in->fragments || in->count == 0 || in->fragment_count == 0 ||
        in->fragments[0] != 0 || in->end <= in->start || in->end > INT64_MAX || in->setup->timescale == 0) {
        return vpi_fail(err, VP_E_INTERNAL, NULL, "segment without samples, fragments or duration");
    }
    for (size_t f = 0; f < in->fragment_count; f++) {
        size_t end = f + 1 < in->fragment_count ? in->fragments[f + 1] : in->count;

        if (in->fragments[f] >= end || end > in->count) {
            return vpi_fail(err, VP_E_INTERNAL, NULL, "fragment %zu of the segment is empty", f);
        }
    }
    return VP_OK;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

vp_status vpi_segment_times(const vpi_segment_in *in, uint64_t *sorted, uint64_t *starts, vp_error *err)
{
    for (size_t i = 0; i < in->count; i++) {
        if (in->samples[i].pts < 0 || (uint64_t)in->samples[i].pts < in->start) {
            return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "presentation time %lld lies before its segment",
                            (long long)in->samples[i].pts);
        }
        sorted[i] = (uint64_t)in->samples[i].pts;
    }
    for (size_t f = 0; f < in->fragment_count; f++) {
        size_t first = in->fragments[f];
        size_t end = f + 1 < in->fragment_count ? in->fragments[f + 1] : in->count;

        qsort(sorted + first, end - first, sizeof(*sorted), compare_u64);
        starts[f] = sorted[first];
    }
    starts[in->fragment_count] = in->end;
    for (size_t i = 0; i < in->count; i++) {
        uint64_t next = i + 1 < in->count ? sorted[i + 1] : in->end;

        if (sorted[i] >= next) {
            return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT",
                            "presentation time %llu is used twice or lies outside its fragment",
                            (unsigned long long)sorted[i]);
        }
    }
    starts[0] = in->start; /* of the timeline; a first picture may come later */
    return VP_OK;
}

void vpi_entry_begin(vpi_segment *entry, const vpi_segment_in *in)
{
    entry->start = in->start;
    entry->ticks = in->end - in->start;
    entry->bytes = 0;
    entry->fragment_count = 0;
}
