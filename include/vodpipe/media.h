/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_MEDIA_H
#define VODPIPE_MEDIA_H

/*
 * What a probe found. A vp_media is immutable and may be shared between threads. Tier 1.
 * Strings in the info structs are borrowed: valid as long as the vp_media.
 */

#include <vodpipe/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vp_media vp_media;
VP_API vp_media *vp_media_ref(vp_media *media);
VP_API vp_media *vp_media_unref(vp_media *media);

#define VP_TIME_UNKNOWN INT64_MIN

typedef struct vp_media_info {
    uint32_t struct_size;
    int32_t complete;    /* 1 whole, 0 not whole, -1 not known (a probe without full) */
    const char *format;  /* "mp4", "matroska", "mpegts", ... */
    uint64_t size;       /* bytes */
    int64_t duration_us; /* VP_TIME_UNKNOWN when not known */
    uint64_t bit_rate;   /* bit/s, 0 unknown */
    int64_t
        start_skew_us; /* start of the first audio minus start of the first video track; 0 with only one */
    uint32_t video_count, audio_count, text_count, other_count, warning_count;
    uint32_t full; /* 1 when the whole packet index was read */
} vp_media_info;

typedef struct vp_video_info {
    uint32_t struct_size;
    int32_t id;                              /* stream number in the file */
    const char *codec;                       /* "h264", "hevc", "vp9", ... */
    const char *codecs;                      /* RFC 6381 string, "" where there is none */
    uint32_t width, height;                  /* coded, after cropping */
    uint32_t display_width, display_height;  /* upright, square pixels */
    int32_t rotation;                        /* degrees clockwise to show it upright: 0, 90, 180, 270 */
    int32_t flipped;                         /* 1: mirrored left to right before the rotation */
    uint32_t sar_num, sar_den;               /* sample aspect ratio, 1:1 when unknown */
    uint32_t frame_rate_num, frame_rate_den; /* of the true grid, or the average when variable; 0/1 unknown */
    int32_t variable_frame_rate;             /* 1, 0; -1 not known */
    int32_t interlaced;                      /* 1, 0: what the file says; with full what its pictures are */
    uint64_t frames;                         /* 0 when not known */
    uint32_t bit_depth;
    int32_t attached_picture;                  /* 1: cover art, never the picture of the title */
    const char *chroma;                        /* "4:2:0", ... */
    const char *primaries, *transfer, *matrix; /* FFmpeg's names, "unknown" */
    const char *range;                         /* "limited", "full", "unknown" */
    const char *hdr;                           /* "none", "pq", "hlg", "dolbyvision" */
    const char *language;                      /* BCP-47, "und" */
    int64_t start_us, duration_us;             /* VP_TIME_UNKNOWN */
    int64_t keyframe_min_us, keyframe_mean_us, keyframe_max_us; /* 0 when not known */
} vp_video_info;

typedef struct vp_audio_info {
    uint32_t struct_size;
    int32_t id;
    const char *codec;
    const char *codecs;
    uint32_t sample_rate; /* Hz */
    uint32_t channels;
    const char *layout;   /* "stereo", "5.1", "unknown" */
    const char *language; /* BCP-47, "und" */
    const char *title;    /* "" */
    int32_t is_default;
    uint32_t bit_rate; /* bit/s, 0 unknown */
    int64_t start_us, duration_us;
} vp_audio_info;

#define VP_MEDIA_INFO_INIT                                                                                   \
    {                                                                                                        \
        (uint32_t)sizeof(vp_media_info), 0, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0                               \
    }
VP_API void vp_media_info_init(vp_media_info *info, size_t size);
VP_API void vp_video_info_init(vp_video_info *info, size_t size);
VP_API void vp_audio_info_init(vp_audio_info *info, size_t size);

/* Fill a struct whose struct_size is set; only that many bytes are written. Errors: ARG for an index too high. */
VP_API vp_status vp_media_get_info(const vp_media *media, vp_media_info *info, vp_error *err);
VP_API vp_status vp_media_get_video(const vp_media *media, uint32_t index, vp_video_info *info,
                                    vp_error *err);
VP_API vp_status vp_media_get_audio(const vp_media *media, uint32_t index, vp_audio_info *info,
                                    vp_error *err);
/* Name (see docs/reasons.md) and text of a warning, borrowed. NULLs for an index too high. time_us may be NULL. */
VP_API const char *vp_media_warning(const vp_media *media, uint32_t index, const char **text,
                                    int64_t *time_us);

/* The document of `vodpipe probe --json`, one line without a newline. */
VP_API vp_status vp_media_json(const vp_media *media, vp_bytes **out, vp_error *err);

#ifdef __cplusplus
}
#endif

#endif
