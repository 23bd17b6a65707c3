/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_LIBAV_INT_H
#define VPI_MEDIA_LIBAV_INT_H

/* Glue to libav* that the files of this folder share. Only files of lib/media may include it. */

#include "base/context.h"
#include "media/demux.h"
#include "media/libav.h"

/*
 * Fills err for a failed libav* call: NOMEM for ENOMEM, CANCELED for AVERROR_EXIT, IO for errno values of
 * files, else DATA INPUT_CORRUPT; native is the AVERROR. op is the vp_error's op ("decode"). Returns the
 * status.
 */
vp_status vpi_libav_error(vp_error *err, int averror, const char *op);
/* The same with a status and reason of the caller's choice. */
vp_status vpi_libav_fail(vp_error *err, vp_status status, const char *reason, int averror, const char *op);

/* Decoder for a codec, NULL unless it is on the allow-list and built in. */
const AVCodec *vpi_libav_decoder(enum AVCodecID id);
vpi_codec vpi_libav_codec(enum AVCodecID id);

/* Stream side data over the versions (coded_side_data since libavformat 60.15). NULL when there is none. */
const uint8_t *vpi_libav_side_data(const AVStream *stream, enum AVPacketSideDataType type, size_t *size);

/* AVIOInterruptCB.callback and the like: opaque is the vp_cancel (may be NULL). Non-zero when it fired. */
int vpi_libav_interrupted(void *cancel);

/* Borrowed until close. Do not change codecpar; copy it. NULL for a number out of range. */
AVStream *vpi_demux_avstream(vpi_demux *demux, int32_t stream);
/* Largest frame in pixels that the handle accepts: AVCodecContext.max_pixels of decoders. */
int64_t vpi_demux_max_pixels(const vpi_demux *demux);
/* What the packet holds for avcodec_send_packet; pts, dts and duration in the stream's tb. Borrowed. */
AVPacket *vpi_packet_av(const vpi_packet *packet);
bool vpi_libav_is_key(const AVFrame *frame); /* a random access point */

#endif
