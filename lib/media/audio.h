/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_AUDIO_H
#define VPI_MEDIA_AUDIO_H

/*
 * One audio track on the title's timeline without gaps: decoded, mixed to stereo or 5.1 and encoded as AAC-LC, or
 * its AC-3 frames as they are. One thread at a time per handle.
 */

#include <vodpipe/io.h>

#include "base/buf.h"
#include "base/common.h"
#include "base/context.h"
#include "base/error.h"
#include "bitstream/bitstream.h"
#include "model/media.h"

typedef struct vpi_audio_options {
    int32_t stream;
    uint32_t sample_rate; /* out: 44100 or 48000 */
    uint32_t channels;    /* out: 2, or 6 for 5.1 */
    uint32_t kbps;
    /*
     * Title time 0 on the stream's own timeline, in ticks of its tb: content before it is cut, silence fills the
     * time to a later start, gaps are filled, overlaps are cut. Timestamps that are off by up to 50 ms (rounding,
     * jitter of muxers and recorders, a clock that runs fast) make no hole: where they stay off by 5 ms or more
     * the sound is stretched, by at most one part in 100. A step of 15 ms or more that lasts, as where a packet is
     * missing, is a hole or an overlap.
     */
    int64_t origin;
    const vpi_timeline *timeline; /* NULL: the file's own times; borrowed until close */
    uint64_t frames; /* AAC frames to give out: longer content is cut, shorter is padded with silence */
} vpi_audio_options;

typedef struct vpi_audio vpi_audio;
vp_status vpi_audio_open(vp_context *context, vp_source *source, const vpi_audio_options *options,
                         vp_cancel *cancel, vpi_audio **out, vp_error *err);
vpi_audio *vpi_audio_close(vpi_audio *audio);
/* AudioSpecificConfig, borrowed until close. */
void vpi_audio_config(const vpi_audio *audio, const uint8_t **asc, size_t *size);
/*
 * Next AAC frame (1024 samples), the first begins with content sample 0: the encoder's priming, whatever its length,
 * is made a whole number of frames and dropped. VP_END after options.frames frames. data is valid until the next
 * call. Takes and leaves CPU slots by itself.
 */
vp_status vpi_audio_next(vpi_audio *audio, const uint8_t **data, size_t *size, vp_error *err);
/* Content that was decoded, in samples at the output rate, up to the cut; frames the decoder refused. */
void vpi_audio_stats(const vpi_audio *audio, uint64_t *content_samples, uint64_t *refused);
/*
 * ASC that vpi_audio_open will give for these parameters, without a source (the plan needs it). *size <= 16.
 */
vp_status vpi_audio_asc(uint32_t sample_rate, uint32_t channels, uint32_t kbps, uint8_t asc[16], size_t *size,
                        vp_error *err);

/* ---- AC-3 and E-AC-3 passed through ---- */

#define VPI_AC3_FRAME 1536u /* samples */

typedef struct vpi_audio_copy_options {
    int32_t stream;
    const vpi_timeline *timeline; /* NULL: the file's own times; borrowed until close */
    uint32_t sample_rate;         /* of the source, and out */
    int64_t origin;               /* as above */
    /*
     * Frame n stands for samples [phase + 1536 n, phase + 1536 (n + 1)) of the title: the first frame that begins at
     * or after time 0 lies there exactly. phase is below 1536.
     */
    uint32_t phase;
    uint64_t frames;
    const uint8_t *silence; /* a frame for times of which the source has none; borrowed until close */
    size_t silence_size;
} vpi_audio_copy_options;

typedef struct vpi_audio_copy vpi_audio_copy;
vp_status vpi_audio_copy_open(vp_context *context, vp_source *source, const vpi_audio_copy_options *options,
                              vp_cancel *cancel, vpi_audio_copy **out, vp_error *err);
vpi_audio_copy *vpi_audio_copy_close(vpi_audio_copy *copy);
/*
 * Next frame: bytes of the source untouched, or the silent one where times jump ahead by a frame and more, before a
 * late start and after the end. Where times jump back, frames are left out. VP_END after options.frames frames.
 */
vp_status vpi_audio_copy_next(vpi_audio_copy *copy, const uint8_t **data, size_t *size, vp_error *err);
/* Packets that were no whole frame and gave way to silence. */
uint64_t vpi_audio_copy_refused(const vpi_audio_copy *copy);
/*
 * A silent frame of AC-3 or E-AC-3 in one substream: eac3, sample_rate, acmod and lfe as in `like`, bit_rate about so.
 * UNSUPPORTED FEATURE_DISABLED where libavcodec has no encoder for it.
 */
vp_status vpi_ac3_silence(const vpi_ac3 *like, vpi_buf *out, vp_error *err);

#endif
