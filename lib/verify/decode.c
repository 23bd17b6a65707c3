/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A segment decoded alone: init and segment as a file of their own. */
#include "media/demux.h"
#include "media/video.h"
#include "verify/verify_int.h"

/* As many pictures as the segment holds, none of them damaged. */
static vp_status count_pictures(vpi_verifier *v, vp_source *source, const vpi_video_reader_options *options,
                                uint64_t *count, uint64_t *damaged, vp_error *err)
{
    vpi_video_reader *reader = NULL;
    vpi_frame *frame = NULL;
    uint64_t concealed = 0, refused = 0;
    vp_status st;

    *count = *damaged = 0;
    st = vpi_video_reader_open(v->context, source, options, v->cancel, &reader, err);
    while (st == VP_OK) {
        st = vpi_cancel_check(v->cancel, err);
        if (st == VP_OK) st = vpi_video_reader_next(reader, &frame, err);
        if (st == VP_OK) (*count)++;
        frame = vpi_frame_unref(frame);
    }
    if (reader) vpi_video_reader_damage(reader, &concealed, &refused);
    *damaged = concealed + refused;
    vpi_video_reader_close(reader);
    return st < 0 ? st : VP_OK;
}

/* Audio is not decoded: its frames were counted and their headers read; packets must still come out. */
static vp_status count_packets(vpi_verifier *v, vp_source *source, uint64_t *count, vp_error *err)
{
    vpi_demux *demux = NULL;
    vpi_packet packet = { 0 };
    vp_status st;

    *count = 0;
    st = vpi_demux_open(v->context, source, NULL, v->cancel, &demux, err);
    while (st == VP_OK) {
        st = vpi_demux_read(demux, &packet, err);
        if (st == VP_OK && !packet.corrupt) (*count)++;
        vpi_packet_dispose(&packet);
    }
    vpi_demux_close(demux);
    return st < 0 ? st : VP_OK;
}

static vp_status find_video(vpi_verifier *v, vp_source *source, vpi_video_reader_options *options,
                            vp_error *err)
{
    vpi_demux *demux = NULL;
    vp_status st;

    options->stream = -1;
    st = vpi_demux_open(v->context, source, NULL, v->cancel, &demux, err);
    for (size_t i = 0; st == VP_OK && i < vpi_demux_stream_count(demux); i++) {
        const vpi_track *t = vpi_demux_track(demux, (int32_t)i);

        if (!t || t->kind != VPI_KIND_VIDEO || options->stream >= 0) continue;
        options->stream = (int32_t)i;
        vpi_video_colour_for(t, &options->colour);
    }
    vpi_demux_close(demux);
    return st;
}

static vp_status decode_video(vpi_verifier *v, const vpi_media_state *s, vp_source *source, vp_error *err)
{
    vpi_video_reader_options o = {
        .width = s->t->width, .height = s->t->height, .from = INT64_MIN, .decoder_threads = 1
    };
    uint64_t count, damaged;

    VPI_TRY(find_video(v, source, &o, err));
    if (!vpi_check(v, o.stream >= 0, "P04", s->where, "alone it holds no video")) return VP_OK;
    VPI_TRY(count_pictures(v, source, &o, &count, &damaged, err));
    vpi_check(v, damaged == 0, "P04", s->where, "alone %llu pictures do not decode",
              (unsigned long long)damaged);
    vpi_check(v, count == s->frames, "P04", s->where, "alone it decodes to %llu pictures, it holds %llu",
              (unsigned long long)count, (unsigned long long)s->frames);
    return VP_OK;
}

vp_status vpi_verify_decode(vpi_verifier *v, vpi_media_state *s, const uint8_t *data, size_t size,
                            vp_error *err)
{
    vp_error cause = VP_ERROR_INIT;
    vp_source *source = NULL;
    vpi_buf whole = { 0 };
    uint64_t packets;
    vp_status st;

    if (s->protected_samples || s->frames == 0) return VP_OK;
    vpi_buf_add(&whole, s->init_bytes.data, s->init_bytes.size);
    vpi_buf_add(&whole, data, size);
    if (vpi_buf_failed(&whole)) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    VPI_GO(vp_source_memory(v->context, whole.data, whole.size, &source, err));
    vpi_buf_dispose(&whole);
    if (s->t->kind == VP_TRACK_VIDEO) {
        st = decode_video(v, s, source, &cause);
    } else {
        st = count_packets(v, source, &packets, &cause);
        if (st == VP_OK && s->t->container == VP_CONTAINER_CMAF) {
            vpi_check(v, packets == s->frames, "P04", s->where,
                      "alone it has %llu audio frames, it holds %llu", (unsigned long long)packets,
                      (unsigned long long)s->frames);
        }
    }
    st = vpi_caught(v, st, &cause, "P04", s->where, err);
done:
    vpi_buf_dispose(&whole);
    vp_source_unref(source);
    return st;
}
