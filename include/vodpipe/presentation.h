/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_PRESENTATION_H
#define VODPIPE_PRESENTATION_H

/*
 * The data model of a title: tracks, segments, fragments. Manifests are made from it alone. A vp_presentation
 * is immutable once a host has it, and may be shared between threads. Tier 1.
 */

#include <vodpipe/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vp_presentation vp_presentation;
VP_API vp_presentation *vp_presentation_ref(vp_presentation *presentation);
VP_API vp_presentation *vp_presentation_unref(vp_presentation *presentation);

/*
 * Reads presentation.json, for example from a database. Unknown fields are refused by name (DATA,
 * INPUT_CORRUPT); a higher "vodpipe" number is VERSION. size in bytes, at most 256 MiB.
 */
VP_API vp_status vp_presentation_parse(const void *json, uint64_t size, vp_presentation **out, vp_error *err);
/* Same presentation, same bytes. Ends with a newline. */
VP_API vp_status vp_presentation_json(const vp_presentation *presentation, vp_bytes **out, vp_error *err);

typedef struct vp_presentation_info {
    uint32_t struct_size;
    uint32_t track_count;
    const char *version; /* the version folder, "" when there is none; borrowed */
    const char *request; /* hash of source and settings, 64 hex digits or "" */
    int64_t duration_us;
} vp_presentation_info;

enum { VP_TRACK_VIDEO = 1, VP_TRACK_AUDIO = 2, VP_TRACK_TEXT = 3, VP_TRACK_IMAGE = 4 };
enum { VP_CONTAINER_CMAF = 1, VP_CONTAINER_TS = 2, VP_CONTAINER_PACKED = 3 /* frames of sound with ID3 */ };

typedef struct vp_track_info {
    uint32_t struct_size;
    int32_t kind;           /* VP_TRACK_* */
    int32_t container;      /* VP_CONTAINER_* */
    uint32_t timescale;     /* ticks a second */
    const char *name;       /* "720p", "en-stereo" */
    const char *group;      /* "video", or the audio group */
    const char *codecs;     /* RFC 6381 */
    const char *language;   /* BCP-47, "und" */
    uint32_t width, height; /* video */
    uint32_t frame_rate_num, frame_rate_den;
    uint32_t sample_rate, channels; /* audio */
    uint64_t bandwidth;             /* peak bit/s by RFC 8216 4.1 */
    uint64_t average_bandwidth;     /* bit/s */
    uint64_t duration_ticks;
    uint32_t segment_count;
    int32_t is_default;
    const char *init_key;      /* NULL: none (TS, packed audio) */
    uint32_t sar_num, sar_den; /* shape of a pixel, video; 1/1: square */
    uint32_t scheme;           /* VP_ENCRYPT_* of crypt.h; 0: clear */
    uint8_t kid[16];           /* of the first key; zeros where it has none (AES-128) */
    uint32_t reserved;
} vp_track_info;

typedef struct vp_segment_info {
    uint32_t struct_size;
    uint32_t fragment_count;
    const char *key;
    uint64_t offset; /* in the object; 0 unless the track is a single file */
    uint64_t bytes;
    uint64_t start_ticks, duration_ticks;
    uint32_t crc32c;
    uint32_t reserved;
} vp_segment_info;

VP_API void vp_presentation_info_init(vp_presentation_info *info, size_t size);
VP_API void vp_track_info_init(vp_track_info *info, size_t size);
VP_API void vp_segment_info_init(vp_segment_info *info, size_t size);

/* Strings are borrowed as long as the presentation. ARG for an index too high. */
VP_API vp_status vp_presentation_get_info(const vp_presentation *presentation, vp_presentation_info *info,
                                          vp_error *err);
VP_API vp_status vp_presentation_get_track(const vp_presentation *presentation, uint32_t track,
                                           vp_track_info *info, vp_error *err);
VP_API vp_status vp_presentation_get_segment(const vp_presentation *presentation, uint32_t track,
                                             uint32_t segment, vp_segment_info *info, vp_error *err);

#ifdef __cplusplus
}
#endif

#endif
