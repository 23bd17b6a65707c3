/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packed audio: ID3 timestamp (RFC 8216 3.4), then the frames. */

#include "package/package_int.h"

enum { ID3_HEADER = 10, BATCH = 32 };

static void put_size(uint8_t *p, size_t size) /* four groups of seven bits (ID3v2.4 6.2) */
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)((size >> (7 * (3 - i))) & 0x7Fu);
}

/* A PRIV frame (ID3v2.4 4.27); owner_size with its NUL. */
static void add_private(vpi_buf *tag, const char *owner, size_t owner_size, const void *data, size_t size)
{
    uint8_t header[ID3_HEADER] = "PRIV";

    put_size(header + 4, owner_size + size);
    vpi_buf_add(tag, header, sizeof(header));
    vpi_buf_add(tag, owner, owner_size);
    vpi_buf_add(tag, data, size);
}

/* setup: audio_setup_information of protected audio (2.4), else empty. */
static vp_status add_tag(vpi_out *out, uint64_t pts, const vpi_buf *setup, vp_error *err)
{
    static const char time_owner[] = "com.apple.streaming.transportStreamTimestamp";
    static const char setup_owner[] = "com.apple.streaming.audioDescription";
    uint8_t header[ID3_HEADER] = "ID3\4", time[8];
    vpi_buf tag = { 0 };
    vp_status st = VP_OK;

    for (int i = 0; i < 8; i++) time[i] = (uint8_t)(pts >> (8 * (7 - i)));
    vpi_buf_add(&tag, header, sizeof(header));
    add_private(&tag, time_owner, sizeof(time_owner), time, sizeof(time));
    if (setup->size) add_private(&tag, setup_owner, sizeof(setup_owner), setup->data, setup->size);
    if (vpi_buf_failed(&tag)) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    put_size(tag.data + 6, tag.size - ID3_HEADER);
    VPI_GO(vpi_out_add(out, &(struct iovec){ tag.data, tag.size }, 1, err));
done:
    vpi_buf_dispose(&tag);
    return st;
}

static vp_status add_frames(const vpi_segment_in *in, const vpi_audio_form *form, vpi_out *out, vp_error *err)
{
    struct iovec pieces[2 * BATCH];
    uint8_t headers[BATCH][VPI_ADTS_HEADER];
    size_t used = 0, header = vpi_audio_header_size(form);

    for (size_t i = 0; i < in->count; i++) {
        const vpi_sample *s = &in->samples[i];
        size_t n = i % BATCH;

        VPI_TRY(vpi_audio_header(form, s, headers[n], err));
        if (header) pieces[used++] = (struct iovec){ headers[n], header };
        pieces[used++] = (struct iovec){ (void *)(uintptr_t)s->data, s->size };
        if (n == BATCH - 1) {
            VPI_TRY(vpi_out_add(out, pieces, used, err));
            used = 0;
        }
    }
    return vpi_out_add(out, pieces, used, err);
}

static vp_status add_protected_frames(const vpi_segment_in *in, const vpi_audio_form *form,
                                      const vpi_protect *protect, vpi_out *out, vp_error *err)
{
    vpi_buf frame = { 0 }, batch = { 0 };
    vp_status st = VP_OK;

    for (size_t i = 0; i < in->count; i++) {
        VPI_GO(vpi_audio_protect(form, protect, &in->samples[i], &frame, &batch, err));
        if ((i + 1) % BATCH == 0 || i + 1 == in->count) {
            VPI_GO(vpi_out_add(out, &(struct iovec){ batch.data, batch.size }, 1, err));
            vpi_buf_clear(&batch);
        }
    }
done:
    vpi_buf_dispose(&frame);
    vpi_buf_dispose(&batch);
    return st;
}

static vp_status add_segment(const vpi_segment_in *in, const vpi_audio_form *form, const vpi_protect *protect,
                             vpi_out *out, vp_error *err)
{
    int64_t pts = vpi_ts_time(in->samples[0].pts, in->setup->timescale);
    vpi_buf setup = { 0 };
    vp_status st = VP_OK;

    if (protect) VPI_GO(vpi_audio_setup(form, &setup, err));
    VPI_GO(add_tag(out, (uint64_t)pts & 0x1FFFFFFFFu, &setup, err));
    /* Protection leaves sizes as they are: where they are only counted it does not run. */
    VPI_GO(protect && !vpi_out_counts(out) ? add_protected_frames(in, form, protect, out, err)
                                           : add_frames(in, form, out, err));
done:
    vpi_buf_dispose(&setup);
    return st;
}

vp_status vpi_packed_audio_out(const vpi_segment_in *in, const vpi_protect *protect, vpi_out *out,
                               vpi_segment *entry, vp_error *err)
{
    vpi_fragment *fragment;
    vpi_audio_form form;

    VPI_TRY(vpi_segment_in_check(in, err));
    VPI_TRY(vpi_audio_form_of(in->setup, &form, err));
    VPI_TRY(vpi_unit_protect(protect, &protect, err));
    for (size_t i = 0; i < in->count; i++) {
        if (in->samples[i].pts < 0 || (i > 0 && in->samples[i].pts <= in->samples[i - 1].pts)) {
            return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "audio time %lld does not rise",
                            (long long)in->samples[i].pts);
        }
    }
    vpi_entry_begin(entry, in);
    VPI_TRY(add_segment(in, &form, protect, out, err));
    fragment = vpi_segment_add_fragment(entry);
    if (!fragment) return vpi_fail_nomem(err);
    fragment->offset = 0;
    fragment->bytes = out->bytes;
    fragment->ticks = entry->ticks;
    fragment->idr_bytes = 0;
    entry->bytes = out->bytes;
    return VP_OK;
}

vp_status vpi_packed_audio_segment(const vpi_segment_in *in, const vpi_protect *protect, vp_object *object,
                                   vpi_segment *entry, vp_error *err)
{
    vpi_out out = { .object = object };

    return vpi_packed_audio_out(in, protect, &out, entry, err);
}
