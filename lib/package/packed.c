/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packed audio: ID3 timestamp (RFC 8216 3.4), then ADTS frames. */

#include "package/package_int.h"

enum { ID3_HEADER = 10, BATCH = 32 };

vp_status vpi_adts_setup(const vpi_track_setup *setup, vpi_asc *asc, vp_error *err)
{
    uint8_t header[7];

    if (setup->kind != VPI_KIND_AUDIO || setup->codec != VPI_CODEC_AAC) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                        "only AAC can be audio of a transport stream");
    }
    VPI_TRY(vpi_asc_parse(setup->config, setup->config_size, asc, err));
    if (!vpi_adts_write(asc, 100, header)) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "AAC object type %u does not fit ADTS",
                        (unsigned)asc->object_type);
    }
    return VP_OK;
}

static void put_size(uint8_t *p, size_t size) /* four groups of seven bits (ID3v2.4 6.2) */
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)((size >> (7 * (3 - i))) & 0x7Fu);
}

static vp_status add_timestamp(vpi_out *out, uint64_t pts, vp_error *err)
{
    static const char owner[] = "com.apple.streaming.transportStreamTimestamp";
    uint8_t tag[ID3_HEADER + ID3_HEADER + sizeof(owner) + 8] = "ID3\4";
    uint8_t *frame = tag + ID3_HEADER, *p = frame + ID3_HEADER;

    put_size(tag + 6, sizeof(tag) - ID3_HEADER);
    memcpy(frame, "PRIV", 4);
    put_size(frame + 4, sizeof(owner) + 8);
    memcpy(p, owner, sizeof(owner));
    p += sizeof(owner);
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(pts >> (8 * (7 - i)));
    return vpi_out_add(out, &(struct iovec){ tag, sizeof(tag) }, 1, err);
}

static vp_status add_frames(const vpi_segment_in *in, const vpi_asc *asc, vpi_out *out, vp_error *err)
{
    struct iovec pieces[2 * BATCH];
    uint8_t headers[BATCH][7];
    size_t used = 0;

    for (size_t i = 0; i < in->count; i++) {
        const vpi_sample *s = &in->samples[i];

        if (!vpi_adts_write(asc, s->size, headers[used])) {
            return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "audio frame of %zu bytes", s->size);
        }
        pieces[2 * used] = (struct iovec){ headers[used], 7 };
        pieces[2 * used + 1] = (struct iovec){ (void *)(uintptr_t)s->data, s->size };
        if (++used == BATCH) {
            VPI_TRY(vpi_out_add(out, pieces, 2 * used, err));
            used = 0;
        }
    }
    return vpi_out_add(out, pieces, 2 * used, err);
}

vp_status vpi_packed_audio_out(const vpi_segment_in *in, vpi_out *out, vpi_segment *entry, vp_error *err)
{
    vpi_fragment *fragment;
    vpi_asc asc;
    int64_t pts;

    VPI_TRY(vpi_segment_in_check(in, err));
    VPI_TRY(vpi_adts_setup(in->setup, &asc, err));
    for (size_t i = 0; i < in->count; i++) {
        if (in->samples[i].pts < 0 || (i > 0 && in->samples[i].pts <= in->samples[i - 1].pts)) {
            return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "audio time %lld does not rise",
                            (long long)in->samples[i].pts);
        }
    }
    vpi_entry_begin(entry, in);
    pts = vpi_ts_time(in->samples[0].pts, in->setup->timescale);
    VPI_TRY(add_timestamp(out, (uint64_t)pts & 0x1FFFFFFFFu, err));
    VPI_TRY(add_frames(in, &asc, out, err));
    fragment = vpi_segment_add_fragment(entry);
    if (!fragment) return vpi_fail_nomem(err);
    fragment->offset = 0;
    fragment->bytes = out->bytes;
    fragment->ticks = entry->ticks;
    fragment->idr_bytes = 0;
    entry->bytes = out->bytes;
    return VP_OK;
}

vp_status vpi_packed_audio_segment(const vpi_segment_in *in, vp_object *object, vpi_segment *entry,
                                   vp_error *err)
{
    vpi_out out = { .object = object };

    return vpi_packed_audio_out(in, &out, entry, err);
}
