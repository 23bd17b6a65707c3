/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frames of sound as transport streams and packed audio have them: AAC behind ADTS headers (ISO/IEC 14496-3 1.A.2),
 * AC-3 and E-AC-3 as they are (ETSI TS 102 366). SAMPLE-AES is that of Apple, "MPEG-2 Stream Encryption Format for HTTP
 * Live Streaming".
 */

#include "package/package_int.h"

enum { AOT_LC = 2 };

vp_status vpi_audio_form_of(const vpi_track_setup *setup, vpi_audio_form *out, vp_error *err)
{
    uint8_t header[VPI_ADTS_HEADER];

    *out = (vpi_audio_form){ .setup = setup };
    if (setup->kind == VPI_KIND_AUDIO && (setup->codec == VPI_CODEC_AC3 || setup->codec == VPI_CODEC_EAC3)) {
        return VP_OK;
    }
    if (setup->kind != VPI_KIND_AUDIO || setup->codec != VPI_CODEC_AAC) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                        "only AAC, AC-3 and E-AC-3 can be audio of a transport stream");
    }
    VPI_TRY(vpi_asc_parse(setup->config, setup->config_size, &out->asc, err));
    if (!vpi_adts_write(&out->asc, 100, header)) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "AAC object type %u does not fit ADTS",
                        (unsigned)out->asc.object_type);
    }
    return VP_OK;
}

size_t vpi_audio_header_size(const vpi_audio_form *form)
{
    return form->setup->codec == VPI_CODEC_AAC ? VPI_ADTS_HEADER : 0;
}

vp_status vpi_audio_header(const vpi_audio_form *form, const vpi_sample *s, uint8_t header[VPI_ADTS_HEADER],
                           vp_error *err)
{
    bool aac = form->setup->codec == VPI_CODEC_AAC;

    if (aac ? vpi_adts_write(&form->asc, s->size, header) : vpi_ac3_samples(s->data, s->size) > 0) {
        if (s->size <= VPI_TS_AUDIO_BYTES) return VP_OK;
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                        "audio frames of %zu bytes do not fit a transport stream", s->size);
    }
    return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "audio frame of %zu bytes", s->size);
}

/* ---- SAMPLE-AES ---- */

vp_status vpi_unit_protect(const vpi_protect *protect, const vpi_protect **out, vp_error *err)
{
    *out = NULL;
    if (!protect || protect->clear) return VP_OK;
    if (protect->scheme != VPI_FOURCC('c', 'b', 'c', 's') || !protect->unit) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED",
                        "transport streams and packed audio have no protection but SAMPLE-AES");
    }
    *out = protect;
    return VP_OK;
}

static vp_status protect_unit(const vpi_audio_form *form, const vpi_protect *protect, const uint8_t *data,
                              size_t size, vpi_buf *out, vp_error *err)
{
    size_t before = out->size;

    VPI_TRY(protect->unit(protect->user, form->setup->codec, data, size, out, err));
    if (vpi_buf_failed(out)) return vpi_fail_nomem(err);
    if (out->size - before != size) { /* its header would lie */
        return vpi_fail(err, VP_E_INTERNAL, NULL, "protection made %zu bytes of an audio frame of %zu",
                        out->size - before, size);
    }
    return VP_OK;
}

vp_status vpi_audio_protect(const vpi_audio_form *form, const vpi_protect *protect, const vpi_sample *s,
                            vpi_buf *frame, vpi_buf *out, vp_error *err)
{
    uint8_t header[VPI_ADTS_HEADER];

    VPI_TRY(vpi_audio_header(form, s, header, err));
    if (form->setup->codec == VPI_CODEC_EAC3) return protect_unit(form, protect, s->data, s->size, out, err);
    if (form->setup->codec == VPI_CODEC_AC3) {
        vpi_ac3 ac3;

        /* of usually one sync frame; each is a unit of its own */
        for (size_t at = 0; at < s->size; at += ac3.frame_bytes) {
            VPI_TRY(vpi_ac3_parse(s->data + at, s->size - at, &ac3, err));
            VPI_TRY(protect_unit(form, protect, s->data + at, ac3.frame_bytes, out, err));
        }
        return VP_OK;
    }
    vpi_buf_clear(frame);
    vpi_buf_add(frame, header, sizeof(header));
    vpi_buf_add(frame, s->data, s->size);
    if (vpi_buf_failed(frame)) return vpi_fail_nomem(err);
    return protect_unit(form, protect, frame->data, frame->size, out, err);
}

void vpi_track_setup_head(vpi_track_setup *setup, const uint8_t *frame, size_t size)
{
    if (setup->has_head || size < sizeof(setup->head)) return;
    memcpy(setup->head, frame, sizeof(setup->head));
    setup->has_head = true;
}

/* What tells the decoder of the track (2.3.2.1 to 2.3.2.3). */
static vp_status setup_data(const vpi_audio_form *form, const char **type, const uint8_t **data, size_t *size,
                            vp_error *err)
{
    const vpi_track_setup *s = form->setup;

    *data = s->config;
    *size = s->config_size;
    switch (s->codec) {
    case VPI_CODEC_AC3: /* the first bytes of the audio data */
        if (!s->has_head) return vpi_fail(err, VP_E_INTERNAL, NULL, "AC-3 without the head of a frame");
        *type = "zac3";
        *data = s->head;
        *size = sizeof(s->head);
        return VP_OK;
    case VPI_CODEC_EAC3: /* payload of dec3 */
        *type = "zec3";
        return VP_OK;
    default:
        /* SBR also where only a sync extension tells it (ISO/IEC 14496-3 1.6.5) */
        *type = form->asc.ps ? "zacp" : form->asc.sbr ? "zach" : "zaac";
        if (form->asc.core_object_type == AOT_LC) return VP_OK;
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                        "AAC object type %u is not known to SAMPLE-AES",
                        (unsigned)form->asc.core_object_type);
    }
}

vp_status vpi_audio_setup(const vpi_audio_form *form, vpi_buf *out, vp_error *err)
{
    const char *type = NULL;
    const uint8_t *data = NULL;
    size_t size = 0;

    VPI_TRY(setup_data(form, &type, &data, &size, err));
    if (size > UINT8_MAX) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                        "a decoder configuration of %zu bytes is too long for SAMPLE-AES", size);
    }
    vpi_buf_str(out, type);
    vpi_buf_be16(out, 0); /* priming: not told */
    vpi_buf_u8(out, 1);   /* version */
    vpi_buf_u8(out, (unsigned)size);
    vpi_buf_add(out, data, size);
    return vpi_buf_failed(out) ? vpi_fail_nomem(err) : VP_OK;
}
