/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_READER_INT_H
#define VPI_MEDIA_READER_INT_H

/* Private to the reading half of this folder: byte access, format choice, structure checks, tracks. */

#include "base/buf.h"
#include "media/libav_int.h"
#include "media/stats_int.h"

#define VPI_HEAD_MAX (1u << 20)      /* bytes of the head that the format is chosen by */
#define VPI_AVIO_BUFFER (128u << 10) /* of the AVIOContext */
#define VPI_STREAMS_MAX 1000u        /* hard limit, above any option */
#define VPI_TICKS_PER_US 1000000
/* Of times on either side of zero, in ticks or microseconds: the difference of two fits. */
#define VPI_TIME_MAX (INT64_C(1) << 60)

/* ---- avio.c: AVIO over a vp_source ---- */

typedef struct vpi_avio {
    vp_source *source;
    vp_cancel *cancel;
    uint64_t size, position, furthest; /* furthest byte that was read */
    bool beyond;                       /* libav* wanted bytes after the end of the source */
    bool refuse_packed;                /* fail at a compressed movie header */
    uint8_t last[16];                  /* end of the read before, which ended at last_at */
    uint64_t last_at;
    vp_error error; /* first failure of the source or the cancel; libav* makes it an EOF */
    AVIOContext *context;
} vpi_avio;

/* Takes no references: source and cancel outlive it. The size is asked here. */
vp_status vpi_avio_open(vpi_avio *a, vp_source *source, vp_cancel *cancel, vp_error *err);
void vpi_avio_close(vpi_avio *a); /* accepts a zeroed one */
/* The stored failure, copied into err; VP_OK when there is none. */
vp_status vpi_avio_failed(const vpi_avio *a, vp_error *err);

/* Small reads near each other, without libav*: one window is kept. */
typedef struct vpi_window {
    vp_source *source;
    vp_cancel *cancel;
    uint64_t size, at; /* of the source; of the window */
    size_t filled;
    uint8_t bytes[16384];
} vpi_window;
/* Up to n bytes (n <= 4096) at an offset: *got is smaller only at the end. Borrowed until the next call. */
vp_status vpi_window_read(vpi_window *w, uint64_t offset, size_t n, const uint8_t **data, size_t *got,
                          vp_error *err);

/* ---- formats.c: which demuxer, or which refusal ---- */

/* head holds size bytes of the start of the file and AVPROBE_PADDING_SIZE zeros; last: there are no more.
 * VP_AGAIN: give more bytes. */
vp_status vpi_formats_choose(const uint8_t *head, size_t size, bool last, const AVInputFormat **out,
                             vp_error *err);
/* Comma list of decoder names for AVFormatContext.codec_whitelist; NULL on no memory; av_free. */
char *vpi_formats_codec_list(void);
/* No timestamps in the file, or only those a parser makes up: an elementary stream. */
bool vpi_formats_raw(const AVInputFormat *format);

/* ---- boxes.c: is the file whole, by its outer structure ---- */

typedef struct vpi_structure {
    char name[16]; /* "mp4", "mov", "webm" ...; "" where the demuxer's name says all */
    bool moov_at_end;
    bool edits_complex; /* several edits, or a media rate other than 1 */
    bool fragmented;
    bool encrypted;
} vpi_structure;

/* all: walk every top-level box, else stop at what tells enough. Refusals INPUT_NO_MOOV, INPUT_TRUNCATED,
 * NOT_A_VIDEO, INPUT_ENCRYPTED. */
vp_status vpi_structure_check(vpi_window *w, const AVInputFormat *format, bool all, vpi_structure *out,
                              vp_error *err);

/* ---- track.c ---- */

/* Fills a zeroed track from a stream after avformat_find_stream_info. */
void vpi_track_fill(vpi_track *track, const AVStream *stream, const AVFormatContext *format);
/* Presentation skip (priming) and cut at the end of an audio packet, in samples. */
void vpi_packet_skips(const AVPacket *packet, uint32_t *start, uint32_t *end);
/* The demuxer takes the cut out of the packet's duration itself. */
bool vpi_formats_trimmed(const AVInputFormat *format);
/* Rates that the container declares, as the scan's first candidates; 0/1 where there is none. */
void vpi_track_declared_rates(const AVStream *stream, vpi_rational rates[3]);
/* Adds the avcC of the parameter sets in data; length_size 0: Annex B. VP_AGAIN where there is no SPS or no PPS. */
vp_status vpi_track_avcc(const uint8_t *data, size_t size, unsigned length_size, vpi_buf *out, vp_error *err);
/* Payload of vpcC after version and flags. */
void vpi_track_vpcc(const vpi_track *track, const AVStream *stream, uint8_t out[8]);
bool vpi_track_encrypted(const AVStream *stream);
void vpi_track_dispose(vpi_track *track); /* what a track owns */

/* ---- demux.c ---- */

typedef struct vpi_limits { /* vp_probe_options with the defaults in */
    uint64_t max_pixels, max_duration_us, probe_bytes;
    uint32_t max_streams, max_frame_rate, timeout_ms;
    bool full;
} vpi_limits;
vp_status vpi_limits_from(const vp_probe_options *options, vpi_limits *out, vp_error *err);

/* vpi_demux_open with checked limits; all: see vpi_structure_check. */
vp_status vpi_demux_open_limits(vp_context *context, vp_source *source, const vpi_limits *limits, bool all,
                                vp_cancel *cancel, vpi_demux **out, vp_error *err);
const vpi_structure *vpi_demux_structure(const vpi_demux *demux);
/* Pictures of a palette, which MOV and AVI give with the first packet alone: never behind a seek. */
bool vpi_demux_has_palette(const vpi_demux *demux, int32_t stream);
AVFormatContext *vpi_demux_format(vpi_demux *demux);
const vpi_avio *vpi_demux_avio(const vpi_demux *demux);
const char *vpi_demux_format_name(const vpi_demux *demux);
/* Why a stream is listed under other though it is picture or sound; NULL when it is not. */
const char *vpi_demux_dropped(const vpi_demux *demux, int32_t stream);

/* ---- mp4_samples.c: MP4 samples and decoder configurations from what the file has ---- */

typedef struct vpi_mp4 {
    bool active, checked;
    bool adts;          /* what the packets are */
    uint8_t nal_length; /* of NAL units in the packets; 0: Annex B */
    uint8_t *config;    /* decoder configuration */
    size_t config_size;
    struct AVBSFContext *bsf; /* VP9: joins hidden frames */
    vpi_buf pending;          /* E-AC-3: frames of the next sample */
    int64_t pending_pts;
    uint32_t pending_samples;
} vpi_mp4;
void vpi_mp4_dispose(vpi_mp4 *m);
/* From extradata alone. VP_AGAIN: a packet is needed. */
vp_status vpi_mp4_config(vpi_mp4 *m, const vpi_track *track, const AVStream *stream, vp_error *err);
/* The same from a packet of the stream; VP_AGAIN: not this one. */
vp_status vpi_mp4_config_packet(vpi_mp4 *m, const vpi_track *track, const AVStream *stream,
                                const AVPacket *packet, vp_error *err);
/* Do packets of the stream go through vpi_mp4_convert? */
bool vpi_mp4_converts(const vpi_mp4 *m, vpi_codec codec);
/* Changes the packet's data in place of the packet's own buffer. VP_AGAIN: it is part of a later sample. */
vp_status vpi_mp4_convert(vpi_mp4 *m, const vpi_track *track, AVPacket *packet, vp_error *err);

/* ---- look.c ---- */

/*
 * Looks at decoded pictures of a video track that the scan has filled, and settles interlaced, order, telecine and
 * the frame rate of what is interlaced. What cannot be decoded is left as the container says.
 */
vp_status vpi_look(vp_context *context, vp_source *source, const vpi_media *media, vpi_track *track,
                   vp_cancel *cancel, bool *ran_back, vp_error *err);

/* ---- probe.c: what probe and scan share ---- */

/* Are seeks exact: every track with times, no jumps, a format with an index or times? */
bool vpi_report_seekable(vpi_demux *demux, const vpi_media *media, const vpi_stats_result *results);

/* A vp_media with the tracks as opening found them. */
vp_status vpi_report_new(vpi_demux *demux, vp_media **out, vp_error *err);
/* Statistics of one stream into its track. exact: all packets were counted. */
void vpi_report_track(vpi_track *track, vpi_stats_result *result, bool exact);
/* Duration, skew, bit rate, limits and warnings, once the tracks are final. jumps: indexed like the
 * tracks. */
vp_status vpi_report_finish(vpi_demux *demux, vp_media *media, const vpi_limits *limits, bool exact,
                            const vpi_stats_result *results, vp_error *err);
/* Statistics for a stream of the demuxer; NULL for one that needs none or (nomem) on no memory. */
vpi_stats *vpi_report_stats(vpi_demux *demux, int32_t stream, bool repaired, bool *nomem);
bool vpi_report_count(vpi_demux *demux, vpi_stats *stats, const vpi_packet *packet);

#endif
