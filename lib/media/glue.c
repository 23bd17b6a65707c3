/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/libav_int.h"

vp_status vpi_libav_fail(vp_error *err, vp_status status, const char *reason, int averror, const char *op)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";

    if (err && err->status < 0) return err->status;
    /* A broken file may ask for more memory than there is, which says nothing of the machine. */
    if (averror == AVERROR(ENOMEM) && status != VP_E_DATA) {
        status = VP_E_NOMEM;
        reason = NULL;
    }
    av_strerror(averror, text, sizeof(text));
    vpi_fail(err, status, reason, "%s", text);
    if (err) {
        err->native = averror;
        err->domain = VP_DOM_LIBAV;
    }
    vpi_error_op(err, op);
    return status;
}

vp_status vpi_libav_error(vp_error *err, int averror, const char *op)
{
    switch (averror) {
    case AVERROR(ENOMEM):
        return vpi_libav_fail(err, VP_E_NOMEM, NULL, averror, op);
    case AVERROR_EXIT:
        return vpi_libav_fail(err, VP_E_CANCELED, "CANCELED", averror, op);
    case AVERROR(EIO):
    case AVERROR(ENOSPC):
    case AVERROR(EACCES):
        return vpi_libav_fail(err, VP_E_IO, "IO_ERROR", averror, op);
    case AVERROR_DECODER_NOT_FOUND:
    case AVERROR_PATCHWELCOME:
    case AVERROR(ENOSYS):
        return vpi_libav_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", averror, op);
    default:
        return vpi_libav_fail(err, VP_E_DATA, "INPUT_CORRUPT", averror, op);
    }
}

const uint8_t *vpi_libav_side_data(const AVStream *stream, enum AVPacketSideDataType type, size_t *size)
{
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
    const AVPacketSideData *sd = av_packet_side_data_get(stream->codecpar->coded_side_data,
                                                         stream->codecpar->nb_coded_side_data, type);
    *size = sd ? sd->size : 0;
    return sd ? sd->data : NULL;
#else
    *size = 0;
    return av_stream_get_side_data(stream, type, size);
#endif
}

bool vpi_libav_is_key(const AVFrame *av)
{
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(58, 7, 100)
    return (av->flags & AV_FRAME_FLAG_KEY) != 0;
#else
    return av->key_frame != 0;
#endif
}

int vpi_libav_interrupted(void *cancel)
{
    return vpi_cancel_check((const vp_cancel *)cancel, NULL) < 0;
}

AVPacket *vpi_packet_av(const vpi_packet *packet)
{
    return (AVPacket *)packet->ref;
}

void vpi_packet_dispose(vpi_packet *packet)
{
    AVPacket *p = (AVPacket *)packet->ref;

    if (p) av_packet_free(&p); /* empty ones are disposed of where libav* was never loaded */
    memset(packet, 0, sizeof(*packet));
}

void vpi_packet_move(vpi_packet *to, vpi_packet *from)
{
    vpi_packet_dispose(to);
    *to = *from;
    memset(from, 0, sizeof(*from));
}
