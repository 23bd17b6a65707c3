/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/reader_int.h"

#include <libavutil/buffer.h>

#include "base/buf.h"
#include "bitstream/bitstream.h"

#define CONFIG_MAX (1u << 20)

void vpi_mp4_dispose(vpi_mp4 *m)
{
    vpi_free(m->config);
    memset(m, 0, sizeof(*m));
}

static vp_status set_config(vpi_mp4 *m, const void *data, size_t size, vp_error *err)
{
    if (size > CONFIG_MAX) return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "decoder configuration too large");
    m->config = vpi_alloc(size);
    if (!m->config) return vpi_fail_nomem(err);
    memcpy(m->config, data, size);
    m->config_size = size;
    m->checked = true;
    return VP_OK;
}

static vp_status unsupported(const vpi_track *t, vp_error *err)
{
    return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "%s cannot be packaged from this file",
                    t->codec_name);
}

/* VP_AGAIN where data holds no SPS and PPS. */
static vp_status avcc_of_annexb(vpi_mp4 *m, const uint8_t *data, size_t size, vp_error *err)
{
    vpi_buf b = { 0 };
    vp_status st = vpi_track_avcc(data, size, &b, err);

    if (st == VP_OK) st = set_config(m, b.data, b.size, err);
    vpi_buf_dispose(&b);
    if (st != VP_OK) return st;
    m->annexb = true;
    m->length_size = 4;
    return VP_OK;
}

/* OpusHead (RFC 7845 5.1, little-endian) to the payload of dOps ("Encapsulation of Opus in ISOBMFF"
 * 4.3.2). */
static vp_status opus_config(vpi_mp4 *m, const uint8_t *head, size_t size, vp_error *err)
{
    uint8_t out[11 + 2 + 255];
    size_t n = 11;

    if (size < 19 || memcmp(head, "OpusHead", 8) != 0 || head[9] == 0) {
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "a damaged Opus header");
    }
    out[0] = 0;
    out[1] = head[9];
    out[2] = head[11];
    out[3] = head[10];
    for (size_t i = 0; i < 4; i++) out[4 + i] = head[15 - i];
    out[8] = head[17];
    out[9] = head[16];
    out[10] = head[18];
    if (head[18] != 0) {
        n += 2 + (size_t)head[9];
        if (size < 19 + 2 + (size_t)head[9]) {
            return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "a damaged Opus header");
        }
        memcpy(out + 11, head + 19, 2 + (size_t)head[9]);
    }
    return set_config(m, out, n, err);
}

/* STREAMINFO as the only metadata block of dfLa, after its version and flags. */
static vp_status flac_config(vpi_mp4 *m, const uint8_t *info, size_t size, vp_error *err)
{
    uint8_t out[4 + 34] = { 0x80, 0, 0, 34 };

    if (size < 34) return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "a damaged FLAC header");
    memcpy(out + 4, info, 34);
    return set_config(m, out, sizeof(out), err);
}

vp_status vpi_mp4_config(vpi_mp4 *m, const vpi_track *track, const AVStream *stream, vp_error *err)
{
    const AVCodecParameters *par = stream->codecpar;
    const uint8_t *extra = par->extradata;
    size_t size = par->extradata_size > 0 ? (size_t)par->extradata_size : 0;
    uint8_t vpcc[8];

    if (m->checked) return VP_OK;
    switch (track->codec) {
    case VPI_CODEC_H264:
        if (size < 7 || extra[0] != 1) return avcc_of_annexb(m, extra, size, err);
        m->length_size = (uint8_t)((extra[4] & 3) + 1);
        return set_config(m, extra, size, err);
    case VPI_CODEC_HEVC:
        if (size < 23 || extra[0] != 1) return unsupported(track, err);
        m->length_size = (uint8_t)((extra[21] & 3) + 1);
        return set_config(m, extra, size, err);
    case VPI_CODEC_AV1:
        if (size < 4 || extra[0] != 0x81) return unsupported(track, err);
        return set_config(m, extra, size, err);
    case VPI_CODEC_VP9:
        vpi_track_vpcc(track, par, vpcc);
        return set_config(m, vpcc, sizeof(vpcc), err);
    case VPI_CODEC_AAC:
        if (size >= 2) return set_config(m, extra, size, err);
        m->adts = true;
        return VP_AGAIN;
    case VPI_CODEC_OPUS:
        return opus_config(m, extra, size, err);
    case VPI_CODEC_FLAC:
        return flac_config(m, extra, size, err);
    case VPI_CODEC_AC3:
        return VP_AGAIN;
    default:
        return unsupported(track, err);
    }
}

static vp_status ac3_config(vpi_mp4 *m, const AVPacket *packet, vp_error *err)
{
    vpi_ac3 a;
    uint8_t out[3];
    unsigned v;

    if (vpi_ac3_parse(packet->data, (size_t)packet->size, &a, NULL) != VP_OK || a.eac3) return VP_AGAIN;
    /* ETSI TS 102 366 F.4 */
    v = (unsigned)a.fscod << 22 | (unsigned)a.bsid << 17 | (unsigned)a.bsmod << 14 | (unsigned)a.acmod << 11 |
        (unsigned)(a.lfe & 1) << 10 | (unsigned)a.bit_rate_code << 5;
    out[0] = (uint8_t)(v >> 16);
    out[1] = (uint8_t)(v >> 8);
    out[2] = (uint8_t)v;
    return set_config(m, out, sizeof(out), err);
}

static vp_status aac_config(vpi_mp4 *m, const AVPacket *packet, vp_error *err)
{
    size_t header, frame;
    uint8_t out[2];
    vpi_asc asc;

    if (vpi_adts_parse(packet->data, (size_t)packet->size, &asc, &header, &frame, NULL) != VP_OK)
        return VP_AGAIN;
    if (asc.object_type != 2 || !vpi_asc_write_lc(asc.sample_rate, asc.channels, out)) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                        "AAC of object type %u with %u channels in ADTS", asc.object_type, asc.channels);
    }
    return set_config(m, out, sizeof(out), err);
}

vp_status vpi_mp4_config_packet(vpi_mp4 *m, const vpi_track *track, const AVPacket *packet, vp_error *err)
{
    if (m->checked) return VP_OK;
    if (packet->size <= 0) return VP_AGAIN;
    switch (track->codec) {
    case VPI_CODEC_H264:
        if (!(packet->flags & AV_PKT_FLAG_KEY)) return VP_AGAIN;
        return avcc_of_annexb(m, packet->data, (size_t)packet->size, err);
    case VPI_CODEC_AAC:
        return aac_config(m, packet, err);
    case VPI_CODEC_AC3:
        return ac3_config(m, packet, err);
    default:
        return unsupported(track, err);
    }
}

static bool same_set(const vpi_nal *nal, const vpi_nal *sets, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (sets[i].size == nal->size && memcmp(sets[i].data, nal->data, nal->size) == 0) return true;
    }
    return false;
}

/* True for a NAL that goes into the sample. Sets *other for a parameter set that the configuration does
 * not hold. */
static bool keeps(const vpi_nal *nal, const vpi_avcc *avcc, bool *other)
{
    switch (vpi_h264_type(nal)) {
    case VPI_H264_AUD:
    case VPI_H264_EOSEQ:
    case VPI_H264_EOSTREAM:
        return false;
    case VPI_H264_SPS:
        if (!same_set(nal, avcc->sps, avcc->sps_count)) *other = true;
        return false;
    case VPI_H264_PPS:
        if (!same_set(nal, avcc->pps, avcc->pps_count)) *other = true;
        return false;
    default:
        return nal->size > 0;
    }
}

static vp_status convert_h264(const vpi_mp4 *m, AVPacket *packet, vp_error *err)
{
    const uint8_t *data = packet->data;
    size_t size = (size_t)packet->size, at = 0, needed = 0;
    AVBufferRef *buffer;
    vpi_avcc avcc;
    vpi_nal nal;
    uint8_t *p;
    bool other = false;

    VPI_TRY(vpi_avcc_parse(m->config, m->config_size, &avcc, err));
    while (vpi_annexb_next(data, size, &at, &nal)) {
        if (keeps(&nal, &avcc, &other)) needed += 4 + nal.size;
    }
    if (other) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                        "the parameter sets change within the stream");
    }
    if (needed > INT32_MAX - AV_INPUT_BUFFER_PADDING_SIZE) {
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "a picture of %zu bytes", needed);
    }
    buffer = av_buffer_allocz(needed + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!buffer) return vpi_fail_nomem(err);
    p = buffer->data;
    at = 0;
    while (vpi_annexb_next(data, size, &at, &nal)) {
        if (!keeps(&nal, &avcc, &other)) continue;
        for (unsigned i = 0; i < 4; i++) *p++ = (uint8_t)(nal.size >> (24 - 8 * i));
        memcpy(p, nal.data, nal.size);
        p += nal.size;
    }
    av_buffer_unref(&packet->buf);
    packet->buf = buffer;
    packet->data = buffer->data;
    packet->size = (int)needed;
    return VP_OK;
}

vp_status vpi_mp4_convert(const vpi_mp4 *m, const vpi_track *track, AVPacket *packet, vp_error *err)
{
    size_t header, frame;
    vpi_asc asc;

    if (m->annexb) return convert_h264(m, packet, err);
    VPI_TRY(vpi_adts_parse(packet->data, (size_t)packet->size, &asc, &header, &frame, err));
    if (frame > (size_t)packet->size || frame < header) {
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "a cut %s frame", track->codec_name);
    }
    packet->data += header;
    packet->size = (int)(frame - header);
    return VP_OK;
}
