/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_JOB_PACKAGE_CODEC_H
#define VPI_JOB_PACKAGE_CODEC_H

/* What packaging has to know of each codec: configuration, random access points, length of sound. */

#include "package_int.h"

/* config is already in v or a, whose codec is t's. CODEC_UNSUPPORTED for what cannot be put into CMAF. */
vp_status vpi_ready_video_setup(vpi_ready_video *v, const vpi_track *t, vp_error *err);
/* What the first picture tells; CODEC_UNSUPPORTED as above. */
vp_status vpi_ready_video_head(vpi_ready_video *v, const uint8_t *data, size_t size, vp_error *err);
/* At a key picture: is it of the configuration? CODEC_UNSUPPORTED where the format changes within the stream. */
vp_status vpi_ready_video_same(const vpi_ready_video *v, const uint8_t *data, size_t size, vp_error *err);
vp_status vpi_ready_audio_setup(vpi_ready_audio *a, const vpi_track *t, vp_error *err);
/* Samples that a packet lasts, at the track's sample rate; 0: damaged. */
uint32_t vpi_ready_frame(const vpi_ready_audio *a, const uint8_t *data, size_t size);
/* "aac", "ac-3", "ec-3", "opus", "flac" */
const char *vpi_ready_family(vpi_codec codec);

#endif
