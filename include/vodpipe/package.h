/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_PACKAGE_H
#define VODPIPE_PACKAGE_H

/*
 * Push packager: the host's own coded samples in, segments out through a sink, a presentation at the end; and
 * packaging of ready-made renditions. Tier 2.
 */

#include <vodpipe/io.h>
#include <vodpipe/presentation.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bits of vp_package_options.formats. */
#define VP_FORMAT_CMAF 0x1u /* fMP4 segments for HLS and DASH */
#define VP_FORMAT_TS 0x2u   /* MPEG-TS segments for HLS */

typedef struct vp_package_options {
    uint32_t struct_size;
    uint32_t formats;     /* 0: VP_FORMAT_CMAF */
    uint32_t segment_ms;  /* target length of a segment; 0: 6000; 500..60000 */
    uint32_t fragment_ms; /* target length of a fragment; 0: 2000; segment_ms is a whole multiple of it */
    uint32_t single_file; /* 1: one media.mp4 for each track (CMAF only); needs store */
    uint32_t reserved;
    const char *prefix; /* folder before all keys, NULL or "": none */
} vp_package_options;
#define VP_PACKAGE_OPTIONS_INIT                                                                              \
    {                                                                                                        \
        (uint32_t)sizeof(vp_package_options), 0, 0, 0, 0, 0, NULL                                            \
    }
VP_API void vp_package_options_init(vp_package_options *options, size_t size);

/* Codecs that samples may have. */
enum { VP_CODEC_H264 = 1, VP_CODEC_AAC = 5 };

/*
 * One track. H.264: config is an AVCDecoderConfigurationRecord (avcC), samples are length-prefixed NAL units;
 * AAC: config is an AudioSpecificConfig, samples are raw frames.
 */
typedef struct vp_track_config {
    uint32_t struct_size;
    int32_t codec; /* VP_CODEC_* */
    const void *config;
    uint32_t config_size;
    uint32_t timescale;                      /* ticks a second of the samples' times; 1..2^31-1 */
    const char *name;                        /* folder and rung name, "720p", "en-stereo"; unique */
    const char *language;                    /* BCP-47; NULL: "und" */
    uint32_t frame_rate_num, frame_rate_den; /* video: nominal, 0/0: from the samples */
    uint32_t is_default;                     /* audio: the one players choose */
    uint32_t reserved;
} vp_track_config;
VP_API void vp_track_config_init(vp_track_config *config, size_t size);

#define VP_SAMPLE_SYNC 0x1u /* an IDR picture; every audio frame */

typedef struct vp_sample {
    uint32_t struct_size;
    uint32_t flags;    /* VP_SAMPLE_* */
    int64_t pts;       /* ticks, presentation time; all tracks share the same zero */
    uint64_t duration; /* ticks, above 0 */
    const void *data;  /* copied during the call */
    uint64_t size;     /* at most 256 MiB */
} vp_sample;
VP_API void vp_sample_init(vp_sample *sample, size_t size);

/* One thread at a time. */
typedef struct vp_packager vp_packager;

/*
 * No I/O. options NULL: defaults. store is needed for single_file only (NULL else), and holds the parts until
 * finish. Errors: ARG, NOMEM, STATE, VERSION.
 */
VP_API vp_status vp_packager_new(vp_context *context, const vp_package_options *options, vp_sink *sink,
                                 vp_store *store, vp_packager **out, vp_error *err);
/*
 * All tracks are added before the first sample. *track is its number. Formats with TS mux the audio into each
 * video track when there is exactly one audio track, else audio becomes packed ADTS.
 * Errors: ARG; DATA INPUT_CORRUPT for a config that cannot be read; UNSUPPORTED CODEC_UNSUPPORTED.
 */
VP_API vp_status vp_packager_add_track(vp_packager *packager, const vp_track_config *config, uint32_t *track,
                                       vp_error *err);
/*
 * Samples of one track come in decode order; tracks may be interleaved as the host likes, but memory holds what
 * one track is ahead of another, and at most max(256 MiB) of it (LIMIT). Segments are cut at sync samples of the
 * first video track at or after each target; the other video tracks must have a sync sample at the same time, else
 * DATA RENDITIONS_NOT_ALIGNED. Audio is cut at the frame nearest to the video cut.
 */
VP_API vp_status vp_packager_write(vp_packager *packager, uint32_t track, const vp_sample *sample,
                                   vp_error *err);
/* Writes what is left, flushes the sink and gives the presentation. Afterwards only unref is allowed. */
VP_API vp_status vp_packager_finish(vp_packager *packager, vp_presentation **out, vp_error *err);
/* Drops what was not finished; segments that were committed stay. */
VP_API vp_packager *vp_packager_unref(vp_packager *packager);

#ifdef __cplusplus
}
#endif

#endif
