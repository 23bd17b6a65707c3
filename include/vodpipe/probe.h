/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_PROBE_H
#define VODPIPE_PROBE_H

/* What is it, is it safe, is it whole. Tier 2. */

#include <vodpipe/io.h>
#include <vodpipe/media.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vp_probe_options {
    uint32_t struct_size;
    uint32_t full;            /* 1: read the whole packet index (frames, keyframe map, complete) */
    uint64_t max_pixels;      /* of one frame; 0: 8192 * 4608 */
    uint32_t max_streams;     /* 0: 64 */
    uint32_t timeout_ms;      /* of the whole call; 0: 60000 for a probe, none with full */
    uint64_t max_duration_us; /* 0: 48 hours */
    uint64_t probe_bytes;     /* read to find streams; 0: 16 MiB */
    uint32_t max_frame_rate;  /* 0: 1000 */
    uint32_t reserved;
} vp_probe_options;
#define VP_PROBE_OPTIONS_INIT                                                                                \
    {                                                                                                        \
        (uint32_t)sizeof(vp_probe_options), 0, 0, 0, 0, 0, 0, 0, 0                                           \
    }
VP_API void vp_probe_options_init(vp_probe_options *options, size_t size);

/*
 * Looks at a source on the calling thread. Opens nothing but the source: no other file, no network.
 * options and cancel may be NULL. Refusals
 *   DATA         INPUT_EMPTY INPUT_UNRECOGNISED INPUT_NO_MOOV INPUT_TRUNCATED INPUT_CORRUPT
 *                INPUT_NO_VIDEO_OR_AUDIO NOT_A_VIDEO
 *   UNSUPPORTED  INPUT_FORBIDDEN_FORMAT INPUT_ENCRYPTED CODEC_UNSUPPORTED FEATURE_DISABLED
 *   LIMIT        INPUT_LIMIT TIMEOUT
 * besides ARG, NOMEM, STATE, IO, CANCELED and what the source itself returns. VP_AGAIN, without a failure: bytes that
 * are needed have not come yet (vp_ingest_peek); err's reason is MOOV_AT_END where it is known that the end has to come
 * first. What the bytes that are there tell is refused at once; as long as the source's size is VP_AGAIN too, what its
 * first MiB shows to be no media.
 */
VP_API vp_status vp_probe(vp_context *context, vp_source *source, const vp_probe_options *options,
                          vp_cancel *cancel, vp_media **out, vp_error *err);

/*
 * Opt-in and process-wide: lines of FFmpeg's own log go to this context's log callback (module "libav") instead of
 * where av_log sends them, standard error by default. NULL gives them back to FFmpeg's default. The context is kept
 * referenced. Libraries should leave this to the program; does nothing without media. Loads nothing: where the library
 * has not used FFmpeg yet, it takes effect when it first does.
 */
VP_API void vp_libav_log_redirect(vp_context *context);

#ifdef __cplusplus
}
#endif

#endif
