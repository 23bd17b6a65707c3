/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * SAMPLE-AES (Apple, "MPEG-2 Stream Encryption Format for HTTP Live Streaming", 2.0). Blocks are ciphered in the buffer
 * that the unit is copied to.
 */

#include <openssl/evp.h>

#include "bitstream/bitstream.h"
#include "sample_aes.h"

enum {
    BLOCK = 16,
    NAL_LEADER = 32,    /* clear, NAL header included (2.2) */
    NAL_CLEAR_MAX = 48, /* a NAL unit of no more bytes is clear as a whole */
    NAL_SKIP = 144,     /* clear behind each block: nine blocks */
    AUDIO_LEADER = 16,  /* clear, behind the ADTS header or from the sync word on (2.3.1) */
    ADTS_HEADER = 7
};

static vp_status fail_cipher(vp_error *err)
{
    return vpi_fail(err, VP_E_INTERNAL, NULL, "AES-128-CBC failed");
}

/* Whole blocks, in place; the chain goes on from the call before. */
static vp_status cipher(vpi_cipher *cbc, uint8_t *data, size_t size, vp_error *err)
{
    int done = 0;

    if (size == 0) return VP_OK;
    if (size > INT32_MAX || EVP_EncryptUpdate(cbc, data, &done, data, (int)size) != 1 || done != (int)size) {
        return fail_cipher(err);
    }
    return VP_OK;
}

/* ---- H.264 ---- */

/* One block in ten, and none at the very end: the last byte stays what it is, so a NAL unit never ends in zero. */
static vp_status cipher_nal(vpi_cipher *cbc, uint8_t *data, size_t size, vp_error *err)
{
    for (size_t at = NAL_LEADER; size - at > BLOCK; at += VPI_MIN((size_t)NAL_SKIP, size - at)) {
        VPI_TRY(cipher(cbc, data + at, BLOCK, err));
        at += BLOCK;
    }
    return VP_OK;
}

/* ITU-T H.264 7.4.1; from stands as far behind to as bytes may come in. Returns the bytes written. */
static size_t escape(uint8_t *to, const uint8_t *from, size_t size)
{
    unsigned zeros = 0;
    size_t used = 0;

    for (size_t i = 0; i < size; i++) {
        uint8_t byte = from[i];

        if (zeros == 2 && byte <= 3) {
            to[used++] = 3;
            zeros = 0;
        }
        to[used++] = byte;
        zeros = byte ? 0 : zeros + 1;
    }
    return used;
}

/*
 * The NAL unit is ciphered with the emulation prevention that its coder put in, and is then escaped as a whole once
 * more: a receiver takes the outer layer off, deciphers, and has the NAL unit of the coder.
 */
static vp_status protect_nal(vpi_cipher *cbc, const uint8_t *data, size_t size, vpi_buf *out, vp_error *err)
{
    vpi_nal nal = { data, size };
    unsigned type = vpi_h264_type(&nal);
    size_t base = out->size, room = size / 2;
    uint8_t *to;

    /* Zeros at the end belong to the next start code (H.264 annex B): a receiver would count without them. */
    if (type == VPI_H264_SLICE || type == VPI_H264_IDR) {
        while (size > 1 && data[size - 1] == 0) size--;
    }
    if ((type != VPI_H264_SLICE && type != VPI_H264_IDR) || size <= NAL_CLEAR_MAX) {
        vpi_buf_add(out, data, size);
        return vpi_buf_failed(out) ? vpi_fail_nomem(err) : VP_OK;
    }
    to = vpi_buf_space(out, size + room);
    if (!to) return vpi_fail_nomem(err);
    memcpy(to + room, data, size);
    VPI_TRY(cipher_nal(cbc, to + room, size, err));
    out->size = base + escape(to, to + room, size);
    return VP_OK;
}

/* ---- audio ---- */

/* `clear` bytes, whole blocks, a clear rest. */
static vp_status cipher_frame(vpi_cipher *cbc, uint8_t *data, size_t size, size_t clear, vp_error *err)
{
    if (size <= clear) return VP_OK;
    return cipher(cbc, data + clear, (size - clear) / BLOCK * BLOCK, err);
}

static vp_status cipher_adts(vpi_cipher *cbc, uint8_t *data, size_t size, vp_error *err)
{
    if (size < ADTS_HEADER || data[0] != 0xFF || (data[1] & 0xF6) != 0xF0) {
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "AAC frame without an ADTS header");
    }
    /* protection_absent: else there are two bytes of CRC (ISO/IEC 14496-3 1.A.2) */
    return cipher_frame(cbc, data, size, ADTS_HEADER + (data[1] & 1 ? 0 : 2) + AUDIO_LEADER, err);
}

/* Each sync frame has its clear bytes, the chain of the cipher runs over all of them (2.3.1.3). */
static vp_status cipher_eac3(vpi_cipher *cbc, uint8_t *data, size_t size, vp_error *err)
{
    for (size_t at = 0; at < size;) {
        vpi_ac3 frame;

        VPI_TRY(vpi_ac3_parse(data + at, size - at, &frame, err));
        if (frame.frame_bytes == 0 || frame.frame_bytes > size - at) {
            return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "E-AC-3 frame of %u bytes, there are %zu",
                            (unsigned)frame.frame_bytes, size - at);
        }
        VPI_TRY(cipher_frame(cbc, data + at, frame.frame_bytes, AUDIO_LEADER, err));
        at += frame.frame_bytes;
    }
    return VP_OK;
}

vp_status vpi_sample_aes_unit(vpi_cipher *cbc, const uint8_t iv[16], vpi_codec codec, const uint8_t *data,
                              size_t size, vpi_buf *out, vp_error *err)
{
    uint8_t *to;

    if (EVP_EncryptInit_ex(cbc, NULL, NULL, NULL, iv) != 1) return fail_cipher(err);
    if (codec == VPI_CODEC_H264) return protect_nal(cbc, data, size, out, err);
    to = vpi_buf_space(out, size);
    if (!to) return vpi_fail_nomem(err);
    if (size) memcpy(to, data, size);
    switch (codec) {
    case VPI_CODEC_AAC:
        return cipher_adts(cbc, to, size, err);
    case VPI_CODEC_AC3:
        return cipher_frame(cbc, to, size, AUDIO_LEADER, err);
    case VPI_CODEC_EAC3:
        return cipher_eac3(cbc, to, size, err);
    default:
        return vpi_fail(err, VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", "SAMPLE-AES has no rules for this codec");
    }
}
