/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_CRYPT_SAMPLE_AES_H
#define VPI_CRYPT_SAMPLE_AES_H

/*
 * Private to lib/crypt: SAMPLE-AES of transport streams and packed audio (Apple, "MPEG-2 Stream Encryption Format for
 * HTTP Live Streaming").
 */

#include "base/buf.h"
#include "crypt/crypt_int.h"
#include "model/media.h"

/*
 * vpi_protect.unit, with a cipher for CBC: appends what goes into the stream to out. H.264: one NAL unit as it is
 * coded, emulation prevention included, without a start code. AAC: one ADTS frame. AC-3: one sync frame. E-AC-3: one
 * audio frame, with all its sync frames. The chain of the cipher begins at iv with each call. DATA INPUT_CORRUPT for
 * audio without its header, UNSUPPORTED CODEC_UNSUPPORTED for other codecs.
 */
vp_status vpi_sample_aes_unit(vpi_cipher *cbc, const uint8_t iv[16], vpi_codec codec, const uint8_t *data,
                              size_t size, vpi_buf *out, vp_error *err);

#endif
