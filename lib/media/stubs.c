/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * This folder where media is built out: every symbol stays and answers FEATURE_DISABLED, so that the rest
 * links and ingest, packaging, manifests and uploads work without libav* and x264.
 */

#include <vodpipe/probe.h>

#include "base/error.h"
#include "media/audio.h"
#include "media/demux.h"
#include "media/measure.h"
#include "media/video.h"

static vp_status disabled(vp_error *err)
{
    return vpi_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED",
                    "this library was built without media support");
}

vp_status vpi_media_load(vp_error *err)
{
    return disabled(err);
}

/* ---- probe ---- */

void vp_libav_log_redirect(vp_context *context)
{
    (void)context;
}

void vp_probe_options_init(vp_probe_options *options, size_t size)
{
    static const vp_probe_options init = VP_PROBE_OPTIONS_INIT;

    vpi_struct_init(options, size, &init, sizeof(init));
}

vp_status vp_probe(vp_context *context, vp_source *source, const vp_probe_options *options, vp_cancel *cancel,
                   vp_media **out, vp_error *err)
{
    (void)context;
    (void)source;
    (void)options;
    (void)cancel;
    vpi_error_reset(err);
    if (out) *out = NULL;
    return disabled(err);
}

vp_status vpi_scan(vp_context *context, vp_source *source, const vp_probe_options *options, vp_cancel *cancel,
                   void (*progress)(void *user, uint64_t done_bytes, uint64_t total_bytes),
                   void *progress_user, vp_media **out, vp_error *err)
{
    (void)context;
    (void)source;
    (void)options;
    (void)cancel;
    (void)progress;
    (void)progress_user;
    *out = NULL;
    return disabled(err);
}

/* ---- demux ---- */

void vpi_packet_dispose(vpi_packet *packet)
{
    memset(packet, 0, sizeof(*packet));
}

void vpi_packet_move(vpi_packet *to, vpi_packet *from)
{
    *to = *from;
    memset(from, 0, sizeof(*from));
}

vp_status vpi_demux_open(vp_context *context, vp_source *source, const vp_probe_options *limits,
                         vp_cancel *cancel, vpi_demux **out, vp_error *err)
{
    (void)context;
    (void)source;
    (void)limits;
    (void)cancel;
    *out = NULL;
    return disabled(err);
}

vpi_demux *vpi_demux_close(vpi_demux *demux)
{
    (void)demux;
    return NULL;
}

vp_status vpi_demux_read(vpi_demux *demux, vpi_packet *packet, vp_error *err)
{
    (void)demux;
    (void)packet;
    return disabled(err);
}

vp_status vpi_demux_seek(vpi_demux *demux, int32_t stream, int64_t pts, vp_error *err)
{
    (void)demux;
    (void)stream;
    (void)pts;
    return disabled(err);
}

void vpi_demux_select(vpi_demux *demux, const int32_t *streams, size_t n)
{
    (void)demux;
    (void)streams;
    (void)n;
}

void vpi_demux_set_timeline(vpi_demux *demux, const vpi_timeline *timeline)
{
    (void)demux;
    (void)timeline;
}

bool vpi_demux_any_start(const vpi_demux *demux)
{
    (void)demux;
    return false;
}

size_t vpi_demux_stream_count(const vpi_demux *demux)
{
    (void)demux;
    return 0;
}

const vpi_track *vpi_demux_track(const vpi_demux *demux, int32_t stream)
{
    (void)demux;
    (void)stream;
    return NULL;
}

vp_status vpi_demux_config(vpi_demux *demux, int32_t stream, const uint8_t **data, size_t *size,
                           vp_error *err)
{
    (void)demux;
    (void)stream;
    *data = NULL;
    *size = 0;
    return disabled(err);
}

vp_status vpi_demux_as_mp4(vpi_demux *demux, int32_t stream, vp_error *err)
{
    (void)demux;
    (void)stream;
    return disabled(err);
}

/* ---- video ---- */

vpi_frame *vpi_frame_ref(vpi_frame *frame)
{
    return frame;
}

vpi_frame *vpi_frame_unref(vpi_frame *frame)
{
    (void)frame;
    return NULL;
}

int64_t vpi_frame_pts(const vpi_frame *frame)
{
    (void)frame;
    return 0;
}

int64_t vpi_frame_duration(const vpi_frame *frame)
{
    (void)frame;
    return 0;
}

uint32_t vpi_frame_field(const vpi_frame *frame)
{
    (void)frame;
    return 0;
}

uint32_t vpi_frame_width(const vpi_frame *frame)
{
    (void)frame;
    return 0;
}

uint32_t vpi_frame_height(const vpi_frame *frame)
{
    (void)frame;
    return 0;
}

vp_status vpi_video_reader_open(vp_context *context, vp_source *source,
                                const vpi_video_reader_options *options, vp_cancel *cancel,
                                vpi_video_reader **out, vp_error *err)
{
    (void)context;
    (void)source;
    (void)options;
    (void)cancel;
    *out = NULL;
    return disabled(err);
}

vpi_video_reader *vpi_video_reader_close(vpi_video_reader *reader)
{
    (void)reader;
    return NULL;
}

vp_status vpi_video_reader_next(vpi_video_reader *reader, vpi_frame **out, vp_error *err)
{
    (void)reader;
    *out = NULL;
    return disabled(err);
}

void vpi_video_reader_damage(const vpi_video_reader *reader, uint64_t *concealed, uint64_t *refused)
{
    (void)reader;
    *concealed = *refused = 0;
}

void vpi_video_colour_for(const vpi_track *track, vpi_video_colour *out)
{
    (void)track;
    *out = (vpi_video_colour){ 1, 1, 1 };
}

vp_status vpi_scaler_new(uint32_t from_width, uint32_t from_height, uint32_t to_width, uint32_t to_height,
                         vpi_scaler **out, vp_error *err)
{
    (void)from_width;
    (void)from_height;
    (void)to_width;
    (void)to_height;
    *out = NULL;
    return disabled(err);
}

vpi_scaler *vpi_scaler_free(vpi_scaler *scaler)
{
    (void)scaler;
    return NULL;
}

vp_status vpi_scaler_scale(vpi_scaler *scaler, vpi_frame *from, vpi_frame **out, vp_error *err)
{
    (void)scaler;
    (void)from;
    *out = NULL;
    return disabled(err);
}

vp_status vpi_h264enc_new(vp_context *context, const vpi_h264enc_options *options, vpi_h264enc **out,
                          vp_error *err)
{
    (void)context;
    (void)options;
    *out = NULL;
    return disabled(err);
}

vpi_h264enc *vpi_h264enc_free(vpi_h264enc *encoder)
{
    (void)encoder;
    return NULL;
}

void vpi_h264enc_headers(const vpi_h264enc *encoder, const uint8_t **sps, size_t *sps_size,
                         const uint8_t **pps, size_t *pps_size)
{
    (void)encoder;
    *sps = *pps = NULL;
    *sps_size = *pps_size = 0;
}

uint32_t vpi_h264enc_reorder(const vpi_h264enc *encoder)
{
    (void)encoder;
    return 0;
}

vp_status vpi_h264enc_encode(vpi_h264enc *encoder, vpi_frame *frame, int64_t pts, bool force_idr,
                             vpi_coded *coded, vp_error *err)
{
    (void)encoder;
    (void)frame;
    (void)pts;
    (void)force_idr;
    memset(coded, 0, sizeof(*coded));
    return disabled(err);
}

uint64_t vpi_h264enc_memory(const vpi_h264enc_options *options)
{
    (void)options;
    return 0;
}

uint64_t vpi_frame_memory(uint32_t width, uint32_t height)
{
    (void)width;
    (void)height;
    return 0;
}

/* ---- audio ---- */

vp_status vpi_audio_open(vp_context *context, vp_source *source, const vpi_audio_options *options,
                         vp_cancel *cancel, vpi_audio **out, vp_error *err)
{
    (void)context;
    (void)source;
    (void)options;
    (void)cancel;
    *out = NULL;
    return disabled(err);
}

vpi_audio *vpi_audio_close(vpi_audio *audio)
{
    (void)audio;
    return NULL;
}

void vpi_audio_config(const vpi_audio *audio, const uint8_t **asc, size_t *size)
{
    (void)audio;
    *asc = NULL;
    *size = 0;
}

vp_status vpi_audio_next(vpi_audio *audio, const uint8_t **data, size_t *size, vp_error *err)
{
    (void)audio;
    *data = NULL;
    *size = 0;
    return disabled(err);
}

void vpi_audio_stats(const vpi_audio *audio, uint64_t *content_samples, uint64_t *refused)
{
    (void)audio;
    *content_samples = *refused = 0;
}

vp_status vpi_audio_asc(uint32_t sample_rate, uint32_t channels, uint32_t kbps, uint8_t asc[16], size_t *size,
                        vp_error *err)
{
    (void)sample_rate;
    (void)channels;
    (void)kbps;
    (void)asc;
    *size = 0;
    return disabled(err);
}

vp_status vpi_audio_copy_open(vp_context *context, vp_source *source, const vpi_audio_copy_options *options,
                              vp_cancel *cancel, vpi_audio_copy **out, vp_error *err)
{
    (void)context;
    (void)source;
    (void)options;
    (void)cancel;
    *out = NULL;
    return disabled(err);
}

vpi_audio_copy *vpi_audio_copy_close(vpi_audio_copy *copy)
{
    (void)copy;
    return NULL;
}

vp_status vpi_audio_copy_next(vpi_audio_copy *copy, const uint8_t **data, size_t *size, vp_error *err)
{
    (void)copy;
    *data = NULL;
    *size = 0;
    return disabled(err);
}

uint64_t vpi_audio_copy_refused(const vpi_audio_copy *copy)
{
    (void)copy;
    return 0;
}

vp_status vpi_ac3_silence(const vpi_ac3 *like, vpi_buf *out, vp_error *err)
{
    (void)like;
    (void)out;
    return disabled(err);
}

/* ---- looking and listening ---- */

vp_status vpi_measure_pictures(vp_context *context, vp_source *source, int32_t stream,
                               const vpi_measure_options *options, vp_cancel *cancel, vpi_look_fn fn,
                               void *user, uint64_t *refused, vp_error *err)
{
    (void)context;
    (void)source;
    (void)stream;
    (void)options;
    (void)cancel;
    (void)fn;
    (void)user;
    *refused = 0;
    return disabled(err);
}

vp_status vpi_ear_new(vp_context *context, vp_cancel *cancel, vpi_heard_fn fn, void *user, vpi_ear **out,
                      vp_error *err)
{
    (void)context;
    (void)cancel;
    (void)fn;
    (void)user;
    *out = NULL;
    return disabled(err);
}

vpi_ear *vpi_ear_free(vpi_ear *ear)
{
    (void)ear;
    return NULL;
}

vp_status vpi_ear_add(vpi_ear *ear, vp_source *source, int32_t stream, const vpi_timeline *timeline,
                      vp_error *err)
{
    (void)ear;
    (void)source;
    (void)stream;
    (void)timeline;
    return disabled(err);
}

vp_status vpi_ear_end(vpi_ear *ear, vp_error *err)
{
    (void)ear;
    return disabled(err);
}

uint64_t vpi_ear_refused(const vpi_ear *ear)
{
    (void)ear;
    return 0;
}
