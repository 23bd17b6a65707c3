/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_AUDIO_H
#define VPI_MEDIA_AUDIO_H

/*
 * One audio track decoded, laid on the title's timeline without gaps, mixed to stereo, encoded as AAC-LC. One
 * thread at a time per handle.
 */

#include <vodpipe/io.h>

#include "base/common.h"
#include "base/context.h"
#include "base/error.h"
#include "model/media.h"

typedef struct vpi_audio_options {
    int32_t stream;
    uint32_t sample_rate; /* out: 44100 or 48000 */
    uint32_t channels;    /* out: 2 */
    uint32_t kbps;
    /*
     * Title time 0 on the stream's own timeline, in ticks of its tb: content before it is cut, silence fills the
     * time to a later start, gaps are filled, overlaps are cut. Timestamps that are off by up to 50 ms (rounding,
     * jitter of muxers and recorders, a clock that runs fast) make no hole: where they stay off by 5 ms or more
     * the sound is stretched, by at most one part in 100.
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

#endif
