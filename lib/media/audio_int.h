/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_AUDIO_INT_H
#define VPI_MEDIA_AUDIO_INT_H

/* Private to the audio half: AAC encoder, mixer to stereo or 5.1 at the output rate. */

#include "media/audio.h"
#include "media/libav.h"

#define VPI_AAC_SAMPLES 1024 /* of a frame of AAC-LC */
#define VPI_STEREO 2
#define VPI_SURROUND 6 /* 5.1: front left, right, centre, LFE, back left, right */

/* ---- aac.c ---- */

typedef struct vpi_aac {
    AVCodecContext *context;
    AVFrame *frame;
    AVPacket *packet;
    int64_t pts;
    /* Silent samples to send before the content, and packets to drop then: content begins with a packet. */
    uint32_t lead, drop;
} vpi_aac;

vp_status vpi_aac_open(vpi_aac *aac, uint32_t sample_rate, uint32_t channels, uint32_t kbps, vp_error *err);
void vpi_aac_close(vpi_aac *aac); /* accepts a zeroed one */
/* Planes to fill with the next VPI_AAC_SAMPLES samples; valid until vpi_aac_send. */
vp_status vpi_aac_room(vpi_aac *aac, float *planes[VPI_SURROUND], vp_error *err);
vp_status vpi_aac_send(vpi_aac *aac, vp_error *err);
/* VP_AGAIN: send more. The packet is aac->packet until the next call. */
vp_status vpi_aac_receive(vpi_aac *aac, vp_error *err);

/* ---- audio_mix.c: any rate, layout and format to stereo or 5.1 floats at one rate ---- */

struct SwrContext;
struct AVAudioFifo;

typedef struct vpi_mix {
    struct SwrContext *swr;
    struct AVAudioFifo *fifo; /* planar floats at the output rate */
    int rate, channels;       /* out */
    int in_rate, in_format;
    AVChannelLayout in_layout;
    float *planes[VPI_SURROUND];
    int room;       /* samples of planes */
    uint64_t cut;   /* samples of what comes next that are thrown away */
    uint64_t added; /* samples that ever went into the FIFO */
} vpi_mix;

/* channels: 2 or 6. */
vp_status vpi_mix_init(vpi_mix *mix, uint32_t rate, uint32_t channels, vp_error *err);
/* What so many channels are, for encoder and mixer; the caller uninits it. */
void vpi_mix_layout(uint32_t channels, AVChannelLayout *layout);
void vpi_mix_dispose(vpi_mix *mix); /* accepts a zeroed one */
/*
 * Ready for frames like this one; VP_AGAIN where they are not usable. What was held of earlier ones is let
 * out.
 */
vp_status vpi_mix_prepare(vpi_mix *mix, const AVFrame *frame, vp_error *err);
/* Samples [at, at + count) of the frame that vpi_mix_prepare saw. */
vp_status vpi_mix_add(vpi_mix *mix, const AVFrame *frame, int at, int count, vp_error *err);
/* Lets out what the resampler holds; the next sample starts afresh. */
vp_status vpi_mix_flush(vpi_mix *mix, vp_error *err);
/* Samples that the resampler holds, at the output rate. */
int64_t vpi_mix_held(const vpi_mix *mix);
/* Makes the next `distance` output samples longer (or shorter) by `delta`. */
vp_status vpi_mix_stretch(vpi_mix *mix, int delta, int distance, vp_error *err);
int vpi_mix_size(const vpi_mix *mix); /* samples in the FIFO */
void vpi_mix_read(vpi_mix *mix, float *const planes[VPI_SURROUND], int at, int count);

#endif
