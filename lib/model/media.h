/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MODEL_MEDIA_H
#define VPI_MODEL_MEDIA_H

/*
 * What a probe or scan found, as plain data. Filled by lib/media, read by ladder, transcode, job. Immutable
 * after the probe returned it.
 */

#include <vodpipe/media.h>

#include "base/common.h"
#include "base/error.h"

typedef enum vpi_kind { VPI_KIND_OTHER, VPI_KIND_VIDEO, VPI_KIND_AUDIO, VPI_KIND_TEXT } vpi_kind;

typedef enum vpi_codec {
    VPI_CODEC_UNKNOWN,
    VPI_CODEC_H264,
    VPI_CODEC_HEVC,
    VPI_CODEC_AV1,
    VPI_CODEC_VP9,
    VPI_CODEC_AAC,
    VPI_CODEC_AC3,
    VPI_CODEC_EAC3,
    VPI_CODEC_OPUS,
    VPI_CODEC_FLAC,
    VPI_CODEC_MP3,
    VPI_CODEC_OTHER /* decodable, but not one that we package */
} vpi_codec;

/* How the lines of pictures belong together. */
typedef enum vpi_scan_order {
    VPI_SCAN_PROGRESSIVE,
    VPI_SCAN_TOP_FIRST,
    VPI_SCAN_BOTTOM_FIRST
} vpi_scan_order;

/* One stream. Times are in ticks of tb (seconds a tick = tb.num / tb.den) on the file's own timeline. */
typedef struct vpi_track {
    int32_t id; /* stream number */
    vpi_kind kind;
    vpi_codec codec;
    char codec_name[32]; /* libavcodec's */
    char codecs[64];     /* RFC 6381 or "" */
    char language[36];   /* BCP-47, "und" */
    char title[128];
    vpi_rational tb;
    bool is_default, attached_picture, encrypted;
    uint32_t bit_rate;
    uint64_t packets, bytes; /* full scan only */
    /*
     * Presentation times: start is when content begins (decoder priming that the container says to skip is
     * not content); end is the last packet's end. With a plain probe end comes from the declared duration.
     */
    bool has_times;
    int64_t start, end;

    /* video */
    uint32_t width, height, display_width, display_height;
    int32_t rotation, flipped;
    uint32_t sar_num, sar_den;
    vpi_rational frame_rate; /* grid when cfr, average when not; 0/1 unknown */
    int32_t variable;        /* 1, 0, -1 unknown */
    int64_t phase; /* from start to a picture of the grid, where start is not on it (a cut); full scan only */
    /* A probe repeats what the file says; a scan looked at pictures and decided, and then knows the order. */
    bool interlaced;
    vpi_scan_order order;
    bool interlaced_parts; /* the order is progressive, but some pictures are of fields and say so */
    bool telecine;         /* film with its fields spread over more pictures; full scan only */
    bool has_b_frames;
    uint32_t bit_depth;
    char chroma[8], primaries[24], transfer[24], matrix[24], range[8], hdr[16];
    /* Dolby Vision: profile and base layer compatibility of its configuration record; profile 0: there is none */
    uint8_t dv_profile, dv_compatibility;
    /* Static metadata of HDR as the container has it: payload of the boxes mdcv and clli */
    bool has_mdcv, has_clli;
    uint8_t mdcv[24], clli[4];
    uint8_t cicp_primaries, cicp_transfer, cicp_matrix; /* ISO/IEC 23091-2, 2 unspecified */
    int8_t full_range;                                  /* 1, 0, -1 unknown */
    int64_t min_delta, max_delta;     /* between presentation times, ticks of tb; full scan only */
    uint64_t duplicates, missing_pts; /* packets */
    int64_t *keyframes; /* presentation times of random access points, rising; thinned to >= 100 ms apart */
    size_t keyframe_count;
    int64_t keyframe_min_us, keyframe_mean_us, keyframe_max_us;

    /* audio */
    uint32_t sample_rate, channels;
    char layout[32];
    uint32_t skip_samples; /* decoder priming at the start, samples */
    /*
     * AC-3 and E-AC-3, full scan only: the head of the first frame when every packet is one frame of 1536 samples
     * with the same parameters, else ac3_size is 0.
     */
    uint8_t ac3_head[64];
    size_t ac3_size;
    bool ac3_mixed;
} vpi_track;

/* From this byte of the file on its clock is ahead of the title's by `shift`, in 1/90000 s. */
typedef struct vpi_repair {
    int64_t position, shift;
} vpi_repair;

/* What readers do to the times of a file. Zeroed: nothing. */
typedef struct vpi_timeline {
    vpi_repair *repairs; /* by rising position */
    size_t count;
    vpi_rational untimed; /* the picture has no times: so many pictures a second are counted; 0/0: it has */
    bool decode_times;    /* the picture has decoding times alone (AVI): shown in their order */
} vpi_timeline;

/* Sound that outlasts the picture by more keeps the last picture on; less is cut. */
#define VPI_AUDIO_TAIL_US 10000000

typedef struct vpi_warning {
    char name[32];
    char *text;
    int64_t time_us; /* VP_TIME_UNKNOWN */
} vpi_warning;

typedef struct vpi_media {
    char format[32];
    uint64_t size;
    int64_t duration_us; /* VP_TIME_UNKNOWN */
    uint64_t bit_rate;
    int64_t start_skew_us;
    bool full;
    int32_t complete;      /* 1, 0, -1 */
    bool seekable;         /* keyframe seeks are exact: index present, timestamps sane */
    vpi_timeline timeline; /* full scan only; owned */
    vpi_track *tracks;
    size_t track_count;
    vpi_warning *warnings;
    size_t warning_count, warning_cap;
    uint8_t fingerprint[32]; /* SHA-256 of size, head, tail, packet index; full scan only */
    uint8_t quick[32];       /* vpi_source_quick_hash(): size, head, tail; full scan only */
} vpi_media;

struct vp_media {
    _Atomic uint32_t refs;
    vpi_media m;
};

vp_media *vpi_media_new(void); /* zeroed, one reference; NULL on no memory */
/* Adds a warning; text is printf-like. False on no memory. */
bool vpi_media_warn(vpi_media *m, const char *name, int64_t time_us, const char *format, ...)
    VPI_PRINTF(4, 5);
/* The n-th track of a kind (cover art does not count as video), NULL when there are fewer. */
const vpi_track *vpi_media_nth(const vpi_media *m, vpi_kind kind, size_t n);
size_t vpi_media_count(const vpi_media *m, vpi_kind kind);

/*
 * The constant rate, or the average, that a video track is published with: its own, or that of its fields where
 * it is interlaced and that is within max_fps (fields is 1 then). Divided by whole numbers where it is higher.
 */
vpi_rational vpi_track_publish_rate(const vpi_track *track, uint32_t max_fps, bool *fields);

/*
 * Can a video track be decoded to its true colours without Dolby Vision's own metadata? CODEC_UNSUPPORTED where it
 * has no base layer of HDR10, HLG or SDR (profile 5).
 */
vp_status vpi_track_check_base(const vpi_track *track, vp_error *err);

/* "eng", "en-US", "fre", NULL -> BCP-47 ("en", "en-US", "fr", "und"); to holds 36 bytes. */
void vpi_language_bcp47(const char *from, char to[36]);
/* BCP-47 -> ISO 639-2/T three letters for mdhd, "und" when there is none. */
void vpi_language_iso639(const char *bcp47, char to[4]);
/* English name for players ("English", "French"); the tag where it is not known; "Undetermined" for und. */
void vpi_language_name(const char *bcp47, char *to, size_t capacity);

#endif
