/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/reader_int.h"

#include "base/buf.h"
#include "bitstream/bitstream.h"

#define CONFIG_MAX (1u << 20)
#define SAMPLES_EAC3 1536u /* of a sample in ISO media files: six blocks (ETSI TS 102 366 F.1) */
#define PENDING_MAX (1u << 16)

void vpi_mp4_dispose(vpi_mp4 *m)
{
    vpi_free(m->config);
    vpi_buf_dispose(&m->pending);
    av_bsf_free(&m->bsf);
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

/* Takes what a writer of configurations gave: st, and b, which is disposed. */
static vp_status take_config(vpi_mp4 *m, vp_status st, vpi_buf *b, vp_error *err)
{
    if (st == VP_OK && vpi_buf_failed(b)) st = vpi_fail_nomem(err);
    if (st == VP_OK) st = set_config(m, b->data, b->size, err);
    vpi_buf_dispose(b);
    return st;
}

/* The NAL unit at *at: length_size 0 is Annex B. */
static bool next_nal(const uint8_t *data, size_t size, unsigned length_size, size_t *at, vpi_nal *nal,
                     bool *bad)
{
    *bad = false;
    if (!length_size) return vpi_annexb_next(data, size, at, nal);
    return vpi_avcc_next(data, size, length_size, at, nal, bad);
}

/* VP_AGAIN where data holds no SPS and PPS. */
static vp_status avcc_of(vpi_mp4 *m, const uint8_t *data, size_t size, unsigned length_size, vp_error *err)
{
    vpi_buf b = { 0 };
    vp_status st = vpi_track_avcc(data, size, length_size, &b, err);

    m->nal_length = (uint8_t)length_size;
    if (st == VP_OK && length_size && !vpi_buf_failed(&b)) b.data[4] = (uint8_t)(0xFCu | (length_size - 1));
    return take_config(m, st, &b, err);
}

/* avcC as it is; the sets lie in the samples alone where it has none ('avc3'): VP_AGAIN. */
static vp_status h264_config(vpi_mp4 *m, const uint8_t *extra, size_t size, vp_error *err)
{
    vpi_avcc avcc;

    if (size < 7 || extra[0] != 1) return avcc_of(m, extra, size, 0, err);
    VPI_TRY(vpi_avcc_parse(extra, size, &avcc, err));
    m->nal_length = avcc.length_size;
    return avcc.sps_count && avcc.pps_count ? set_config(m, extra, size, err) : VP_AGAIN;
}

/* VP_AGAIN where data does not hold all kinds of parameter sets. */
static vp_status hvcc_of(vpi_mp4 *m, const uint8_t *data, size_t size, unsigned length_size, vp_error *err)
{
    vpi_nal sets[VPI_HVCC_MAX_SETS], nal;
    size_t at = 0, count = 0;
    vpi_buf b = { 0 };
    bool bad;

    while (count < VPI_HVCC_MAX_SETS && next_nal(data, size, length_size, &at, &nal, &bad)) {
        unsigned type = vpi_hevc_type(&nal);
        bool set = type >= VPI_HEVC_VPS && type <= VPI_HEVC_PPS, known = false;
        for (size_t i = 0; i < count && set; i++)
            known = known || (sets[i].size == nal.size && memcmp(sets[i].data, nal.data, nal.size) == 0);
        if (set && !known) sets[count++] = nal;
    }
    m->nal_length = (uint8_t)length_size;
    return take_config(m, vpi_hvcc_write(sets, count, &b, err), &b, err);
}

/* hvcC as it is; the sets lie in the samples alone where its arrays are empty ('hev1'): VP_AGAIN. */
static vp_status hevc_config(vpi_mp4 *m, const uint8_t *extra, size_t size, vp_error *err)
{
    unsigned kinds = 0;
    vpi_hvcc hvcc;

    if (size < 23 || extra[0] != 1) return hvcc_of(m, extra, size, 0, err);
    VPI_TRY(vpi_hvcc_sets(extra, size, &hvcc, err));
    m->nal_length = hvcc.length_size;
    for (size_t i = 0; i < hvcc.count; i++) {
        unsigned type = vpi_hevc_type(&hvcc.sets[i]);
        if (type >= VPI_HEVC_VPS && type <= VPI_HEVC_PPS) kinds |= 1u << (type - VPI_HEVC_VPS);
    }
    if (kinds != 7) return VP_AGAIN;
    VPI_TRY(set_config(m, extra, size, err));
    vpi_hvcc_complete(m->config, m->config_size);
    return VP_OK;
}

/* av1C as it is, or of the sequence header in OBUs. */
static vp_status av1_config(vpi_mp4 *m, const uint8_t *extra, size_t size, vp_error *err)
{
    vpi_buf b = { 0 };

    if (size >= 4 && extra[0] == 0x81) return set_config(m, extra, size, err);
    return take_config(m, vpi_av1c_write(extra, size, &b, err), &b, err);
}

/* The container tells less than the key frame itself: profile, depth, subsampling and range come from there. */
static vp_status vp9_config(vpi_mp4 *m, const vpi_track *track, const AVStream *stream,
                            const AVPacket *packet, vp_error *err)
{
    vpi_rational rate = { stream->avg_frame_rate.num, stream->avg_frame_rate.den };
    uint8_t vpcc[8];
    vpi_vp9 head;

    if (vpi_vp9_parse(packet->data, (size_t)packet->size, &head, NULL) != VP_OK || !head.key) return VP_AGAIN;
    vpi_track_vpcc(track, stream, vpcc);
    vpcc[0] = head.profile;
    if (stream->codecpar->level <= 0)
        vpcc[1] = (uint8_t)vpi_vp9_level((uint64_t)head.width * head.height, rate);
    vpcc[2] = (uint8_t)(head.bit_depth << 4 | (head.full_range ? 1 : 0));
    if (!head.subsampling_x)
        vpcc[2] |= 3 << 1;
    else
        vpcc[2] |= head.subsampling_y ? 1 << 1 : 2 << 1;
    return set_config(m, vpcc, sizeof(vpcc), err);
}

/* Frames that are not shown travel with the next one that is (VP9 bitstream annex B). */
static vp_status open_superframes(vpi_mp4 *m, const AVStream *stream, vp_error *err)
{
    const AVBitStreamFilter *filter = av_bsf_get_by_name("vp9_superframe");
    int r;

    if (m->bsf || !filter) return VP_OK; /* a build without it: packets have to be whole */
    r = av_bsf_alloc(filter, &m->bsf);
    if (r >= 0) r = avcodec_parameters_copy(m->bsf->par_in, stream->codecpar);
    if (r >= 0) {
        m->bsf->time_base_in = stream->time_base;
        r = av_bsf_init(m->bsf);
    }
    return r < 0 ? vpi_libav_error(err, r, "open") : VP_OK;
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

    if (m->checked) return VP_OK;
    switch (track->codec) {
    case VPI_CODEC_H264:
        return h264_config(m, extra, size, err);
    case VPI_CODEC_HEVC:
        return hevc_config(m, extra, size, err);
    case VPI_CODEC_AV1:
        return av1_config(m, extra, size, err);
    case VPI_CODEC_VP9:
        VPI_TRY(open_superframes(m, stream, err));
        return VP_AGAIN;
    case VPI_CODEC_AAC:
        if (size >= 2) return set_config(m, extra, size, err);
        m->adts = true;
        return VP_AGAIN;
    case VPI_CODEC_OPUS:
        return opus_config(m, extra, size, err);
    case VPI_CODEC_FLAC:
        return flac_config(m, extra, size, err);
    case VPI_CODEC_AC3:
    case VPI_CODEC_EAC3:
        return VP_AGAIN;
    default:
        return unsupported(track, err);
    }
}

/* Damaged packets at the start: not this one. */
static vp_status ac3_config(vpi_mp4 *m, const AVPacket *packet, bool eac3)
{
    vpi_buf b = { 0 };
    const uint8_t *data = packet->data;
    size_t size = (size_t)packet->size;
    vp_status st = eac3 ? vpi_dec3_write(data, size, &b, NULL) : vpi_dac3_write(data, size, &b, NULL);

    return take_config(m, st == VP_E_DATA ? VP_AGAIN : st, &b, NULL);
}

static vp_status aac_config(vpi_mp4 *m, const AVPacket *packet, vp_error *err)
{
    size_t size = (size_t)packet->size, header, frame;
    uint8_t out[VPI_ASC_MAX];
    vpi_asc asc;

    if (vpi_adts_parse(packet->data, size, &asc, &header, &frame, NULL) != VP_OK) return VP_AGAIN;
    size = vpi_adts_config(packet->data, size, out);
    if (!size) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                        "AAC of object type %u and channel configuration %u in ADTS", asc.object_type,
                        asc.channel_config);
    }
    return set_config(m, out, size, err);
}

vp_status vpi_mp4_config_packet(vpi_mp4 *m, const vpi_track *track, const AVStream *stream,
                                const AVPacket *packet, vp_error *err)
{
    if (m->checked) return VP_OK;
    if (packet->size <= 0) return VP_AGAIN;
    switch (track->codec) {
    case VPI_CODEC_H264:
        if (!(packet->flags & AV_PKT_FLAG_KEY)) return VP_AGAIN;
        return avcc_of(m, packet->data, (size_t)packet->size, m->nal_length, err);
    case VPI_CODEC_HEVC:
        return hvcc_of(m, packet->data, (size_t)packet->size, m->nal_length, err);
    case VPI_CODEC_AV1:
        return av1_config(m, packet->data, (size_t)packet->size, err);
    case VPI_CODEC_VP9:
        return vp9_config(m, track, stream, packet, err);
    case VPI_CODEC_AAC:
        return aac_config(m, packet, err);
    case VPI_CODEC_AC3:
    case VPI_CODEC_EAC3:
        return ac3_config(m, packet, track->codec == VPI_CODEC_EAC3);
    default:
        return unsupported(track, err);
    }
}

bool vpi_mp4_converts(const vpi_mp4 *m, vpi_codec codec)
{
    if (codec == VPI_CODEC_AAC) return m->adts;
    return codec == VPI_CODEC_H264 || codec == VPI_CODEC_HEVC || codec == VPI_CODEC_AV1 ||
           (codec == VPI_CODEC_VP9 && m->bsf) || codec == VPI_CODEC_EAC3;
}

/* ---- samples ---- */

static bool same_set(const vpi_nal *nal, const vpi_nal *sets, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (sets[i].size == nal->size && memcmp(sets[i].data, nal->data, nal->size) == 0) return true;
    }
    return false;
}

/* What the configuration holds, of either codec. */
typedef struct config_sets {
    bool hevc;
    bool base; /* of Dolby Vision: its metadata (RPU) and enhancement layer are left out */
    vpi_avcc avcc;
    vpi_hvcc hvcc;
} config_sets;

/* True for a NAL that goes into the sample. Sets *other for a parameter set that the configuration does
 * not hold. */
static bool keeps(const vpi_nal *nal, const config_sets *c, bool *other)
{
    if (c->hevc) {
        unsigned type = vpi_hevc_type(nal);
        bool set = type >= VPI_HEVC_VPS && type <= VPI_HEVC_PPS;
        if (set && !same_set(nal, c->hvcc.sets, c->hvcc.count)) *other = true;
        if (c->base && (type == VPI_HEVC_DV_RPU || type == VPI_HEVC_DV_LAYER)) return false;
        return nal->size > 0 && !set && !(type >= VPI_HEVC_AUD && type <= VPI_HEVC_FILLER);
    }
    switch (vpi_h264_type(nal)) {
    case VPI_H264_AUD:
    case VPI_H264_EOSEQ:
    case VPI_H264_EOSTREAM:
        return false;
    case VPI_H264_SPS:
        if (!same_set(nal, c->avcc.sps, c->avcc.sps_count)) *other = true;
        return false;
    case VPI_H264_PPS:
        if (!same_set(nal, c->avcc.pps, c->avcc.pps_count)) *other = true;
        return false;
    default:
        return nal->size > 0;
    }
}

/* Gives the packet size bytes of its own, zeroed; the caller unrefs what it had, *old. */
static vp_status replace(AVPacket *packet, size_t size, AVBufferRef **old, vp_error *err)
{
    AVBufferRef *buffer = NULL;

    if (size > INT32_MAX - AV_INPUT_BUFFER_PADDING_SIZE)
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "a picture of %zu bytes", size);
    buffer = av_buffer_allocz(size + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!buffer) return vpi_fail_nomem(err);
    *old = packet->buf;
    packet->buf = buffer;
    packet->data = buffer->data;
    packet->size = (int)size;
    return VP_OK;
}

static vp_status convert_nals(const vpi_mp4 *m, const vpi_track *track, AVPacket *packet, vp_error *err)
{
    const uint8_t *data = packet->data;
    size_t size = (size_t)packet->size, at = 0, needed = 0;
    unsigned length = m->nal_length, own = length ? length : 4;
    AVBufferRef *old = NULL;
    bool hevc = track->codec == VPI_CODEC_HEVC;
    config_sets c = { .hevc = hevc, .base = vpi_streq(track->hdr, "dolbyvision") };
    vpi_nal nal;
    uint8_t *p;
    bool other = false, bad = false;

    if (hevc)
        VPI_TRY(vpi_hvcc_sets(m->config, m->config_size, &c.hvcc, err));
    else
        VPI_TRY(vpi_avcc_parse(m->config, m->config_size, &c.avcc, err));
    while (next_nal(data, size, length, &at, &nal, &bad)) {
        if (keeps(&nal, &c, &other)) needed += own + nal.size;
    }
    if (other) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED",
                        "the parameter sets change within the stream");
    }
    /* What has the form already stays as it is, also where it is damaged: the decoder conceals that. */
    if (bad || (length && needed == size)) return VP_OK;
    VPI_TRY(replace(packet, needed, &old, err));
    p = packet->data;
    at = 0;
    while (next_nal(data, size, length, &at, &nal, &bad)) {
        if (!keeps(&nal, &c, &other)) continue;
        for (unsigned i = own; i > 0; i--) *p++ = (uint8_t)(nal.size >> 8 * (i - 1));
        memcpy(p, nal.data, nal.size);
        p += nal.size;
    }
    av_buffer_unref(&old);
    return VP_OK;
}

/* Temporal delimiters and padding do not belong into samples (binding 2.4). */
static bool keeps_obu(const vpi_obu *obu)
{
    return obu->type != VPI_OBU_DELIMITER && obu->type != VPI_OBU_PADDING;
}

static vp_status convert_av1(AVPacket *packet, vp_error *err)
{
    const uint8_t *data = packet->data;
    size_t size = (size_t)packet->size, at = 0, needed = 0;
    AVBufferRef *old = NULL;
    vpi_obu obu;
    uint8_t *p;

    while (vpi_obu_next(data, size, &at, &obu, NULL) == VP_OK) {
        if (keeps_obu(&obu)) needed += obu.size;
    }
    if (needed == size || needed == 0) return VP_OK;
    VPI_TRY(replace(packet, needed, &old, err));
    p = packet->data;
    at = 0;
    while (vpi_obu_next(data, size, &at, &obu, NULL) == VP_OK) {
        if (!keeps_obu(&obu)) continue;
        memcpy(p, obu.data, obu.size);
        p += obu.size;
    }
    av_buffer_unref(&old);
    return VP_OK;
}

static vp_status convert_vp9(vpi_mp4 *m, AVPacket *packet, vp_error *err)
{
    int r = av_bsf_send_packet(m->bsf, packet);

    if (r >= 0) r = av_bsf_receive_packet(m->bsf, packet);
    if (r == AVERROR(EAGAIN)) return VP_AGAIN;
    return r < 0 ? vpi_libav_fail(err, r == AVERROR(ENOMEM) ? VP_E_NOMEM : VP_E_DATA,
                                  r == AVERROR(ENOMEM) ? NULL : "INPUT_CORRUPT", r, "read")
                 : VP_OK;
}

/* Frames of less than six blocks are joined; the sample has the time of the first. */
static vp_status convert_eac3(vpi_mp4 *m, AVPacket *packet, vp_error *err)
{
    uint32_t samples = vpi_ac3_samples(packet->data, (size_t)packet->size);
    AVBufferRef *old = NULL;

    if (!samples) return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "a damaged E-AC-3 frame");
    if (samples == SAMPLES_EAC3 && !m->pending.size) return VP_OK;
    if (!m->pending.size) {
        m->pending_pts = packet->pts;
        m->pending_samples = 0;
    }
    vpi_buf_add(&m->pending, packet->data, (size_t)packet->size);
    m->pending_samples += samples;
    if (vpi_buf_failed(&m->pending)) return vpi_fail_nomem(err);
    if (m->pending_samples < SAMPLES_EAC3 && m->pending.size < PENDING_MAX) return VP_AGAIN;
    if (m->pending_samples != SAMPLES_EAC3)
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "E-AC-3 frames of changing length");
    VPI_TRY(replace(packet, m->pending.size, &old, err));
    memcpy(packet->data, m->pending.data, m->pending.size);
    av_buffer_unref(&old);
    packet->pts = m->pending_pts;
    vpi_buf_clear(&m->pending);
    return VP_OK;
}

static vp_status convert_adts(const vpi_track *track, AVPacket *packet, vp_error *err)
{
    size_t header, frame;
    vpi_asc asc;

    VPI_TRY(vpi_adts_parse(packet->data, (size_t)packet->size, &asc, &header, &frame, err));
    if (frame > (size_t)packet->size || frame < header) {
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "a cut %s frame", track->codec_name);
    }
    packet->data += header;
    packet->size = (int)(frame - header);
    return VP_OK;
}

vp_status vpi_mp4_convert(vpi_mp4 *m, const vpi_track *track, AVPacket *packet, vp_error *err)
{
    if (packet->size <= 0) return VP_OK;
    switch (track->codec) {
    case VPI_CODEC_H264:
    case VPI_CODEC_HEVC:
        return convert_nals(m, track, packet, err);
    case VPI_CODEC_AV1:
        return convert_av1(packet, err);
    case VPI_CODEC_VP9:
        return convert_vp9(m, packet, err);
    case VPI_CODEC_EAC3:
        return convert_eac3(m, packet, err);
    default:
        return convert_adts(track, packet, err);
    }
}
