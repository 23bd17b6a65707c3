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

/*
 * Bytes of a source that is still growing (vp_ingest_peek) are not there yet: a failure for everybody but vp_probe,
 * which answers VP_AGAIN. reason: NULL, or VPI_MOOV_AT_END.
 */
#define VPI_MOOV_AT_END "MOOV_AT_END"
vp_status vpi_not_yet(const char *reason, vp_error *err);
bool vpi_is_not_yet(const vp_error *err);

/* ---- formats.c: which demuxer, or which refusal ---- */

/* head holds size bytes of the start of the file and AVPROBE_PADDING_SIZE zeros; last: there are no more.
 * VP_AGAIN: give more bytes. */
vp_status vpi_formats_choose(const uint8_t *head, size_t size, bool last, const AVInputFormat **out,
                             vp_error *err);
/* Comma list of decoder names for AVFormatContext.codec_whitelist; NULL on no memory; av_free. */
char *vpi_formats_codec_list(void);
/* No timestamps in the file, or only those a parser makes up: an elementary stream. */
bool vpi_formats_raw(const AVInputFormat *format);
/* Bytes of the ID3v2 tag that begins there, of which the first 10 tell; 0: there is none. */
size_t vpi_id3_size(const uint8_t *head, size_t size);

/* ---- structure.c, boxes.c, ebml.c: is the file whole, and one, by its outer structure ---- */

#define VPI_PARTS_OPEN 64u     /* parts looked at before reading begins */
#define VPI_PARTS_ALL 4000000u /* of a scan: two fragments a second for 11 days */

typedef struct vpi_structure {
    char name[16]; /* "mp4", "mov", "webm" ...; "" where the demuxer's name says all */
    bool moov_at_end;
    bool
        edits_complex; /* several edits, or a media rate other than 1, that libavformat has to make something of */
    bool fragmented;
    bool encrypted;
    bool formats_mixed;  /* MP4: samples of a track are of several formats; those of the first are read */
    bool open_end;       /* how long it is was not known when it was begun: it ends where the file does */
    uint64_t last_part;  /* of several Matroska files one behind the other; 0: there is one */
    uint64_t avi_frames; /* bit n: sound of stream n is a frame a chunk, which libavformat times wrongly */
    uint64_t movie_us;   /* what the head of an MP4 without fragments says that it lasts; 0: nothing */
    bool whole_tags;     /* FLV that ends where a tag does: no upload that was broken off */
    struct vpi_edits *edits; /* of tracks that have a list; none: edits are libavformat's affair */
    size_t edit_tracks, edit_cap;
    uint64_t edited; /* of the tracks with more than a few edits: samples, by their edits */
} vpi_structure;
void vpi_structure_dispose(vpi_structure *structure); /* accepts a zeroed one */

/* all: walk every part, else stop at what tells enough. Refusals INPUT_NO_MOOV, INPUT_TRUNCATED, INPUT_CORRUPT,
 * INPUT_LIMIT, NOT_A_VIDEO, INPUT_ENCRYPTED, CODEC_UNSUPPORTED. */
vp_status vpi_structure_check(vpi_window *w, const AVInputFormat *format, bool all, vpi_structure *out,
                              vp_error *err);
/* Its cases. */
vp_status vpi_boxes_check(vpi_window *w, bool all, vpi_structure *out, vp_error *err);
vp_status vpi_ebml_check(vpi_window *w, bool all, vpi_structure *out, vp_error *err);
/* Its refusals: the file reaches farther than it is long; another one begins at a byte of it. */
vp_status vpi_structure_cut(uint64_t needed, uint64_t size, vp_error *err);
vp_status vpi_structure_second(uint64_t at, uint64_t size, vp_error *err);

/* ---- edits.c: edit lists of MP4 that play on through the media at its own speed ---- */

typedef struct vpi_span { /* of the content of a box in the file; at 0: there is none */
    uint64_t at, end;
} vpi_span;
typedef struct vpi_trak {
    uint32_t id, scale, movie_scale; /* timescales; 0: unknown */
    bool video, sound;
    uint32_t samples; /* as its table of sizes says */
    uint64_t other;   /* bit n: sample entry n is of another format than the first */
    vpi_span elst, stts, ctts, stsc;
} vpi_trak;
typedef struct vpi_edit {         /* ticks of the media */
    int64_t start, length, media; /* where it is shown, for how long, from which time of the media on */
    int64_t hold; /* time of the picture that is on the screen there already; INT64_MIN: none */
} vpi_edit;
typedef struct vpi_edits {
    vpi_trak trak;
    bool onward; /* at speed 1, nothing twice, nothing back */
    size_t count;
    vpi_edit *list;
} vpi_edits;
/* While the boxes are walked: adds the list of a track; behind the last, takes them or leaves them to libavformat. */
vp_status vpi_edits_add(vpi_window *w, const vpi_trak *trak, vpi_structure *out, vp_error *err);
vp_status vpi_edits_decide(vpi_window *w, bool fragments, vpi_structure *structure, vp_error *err);
/* Of a picture or sound; NULL: it has none. */
const vpi_edits *vpi_edits_of(const vpi_structure *structure, const AVStream *stream);
/* The time of the media that is shown at a time; where nothing is, what was before. */
int64_t vpi_edits_media(const vpi_edits *edits, int64_t shown);
/* From the first to the last edit; media_end: of the whole media. */
void vpi_edits_range(const vpi_edits *edits, int64_t media_end, int64_t *start, int64_t *end);
typedef enum vpi_edit_place {
    VPI_EDIT_GIVEN,    /* shown, or (flagged as to be discarded) to be decoded only */
    VPI_EDIT_LEFT_OUT, /* needed for nothing */
    VPI_EDIT_BEHIND,   /* neither is what follows it in the track */
} vpi_edit_place;
/* Gives a packet with times of the media those it is shown at; opaque becomes the number of its edit, from 1. */
vp_status vpi_edits_apply(const vpi_edits *edits, AVStream *stream, AVPacket *packet, vpi_edit_place *place,
                          vp_error *err);

/* ---- route.c: which track a packet belongs to ---- */

typedef struct vpi_route { /* of a stream of libavformat */
    int32_t to;            /* track that it belongs to: mostly itself; -1: none */
    int32_t carrier;       /* of a track: stream of its last packet */
    bool carried;          /* and there was one */
    bool named;            /* by a program map when it began */
    bool timed;            /* of a track carried by another stream: next is known */
    int64_t next;          /* end of the last packet, ticks */
    int64_t position;      /* of its first packet */
} vpi_route;
typedef struct vpi_routes {
    vpi_route *list;
    size_t count, cap, tracks;
    bool joined; /* a stream carries on the track of another one */
} vpi_routes;
void vpi_routes_dispose(vpi_routes *routes);
/* At the first byte of the file; streams below `tracks` are tracks. */
void vpi_routes_reset(vpi_routes *routes, size_t tracks);
/* *track: -1: none. Times that libavformat does not give are put in. */
vp_status vpi_route_packet(vpi_routes *routes, AVFormatContext *format, AVPacket *packet, int32_t *track,
                           vp_error *err);
/* The track of a stream; itself, where no packet came yet. */
int32_t vpi_route_of(const vpi_routes *routes, size_t stream);
/* Is it a picture or sound that showed up behind opening and carries on no track? */
bool vpi_route_late(const vpi_routes *routes, const AVFormatContext *format, size_t stream, vpi_kind *kind,
                    int64_t *position);

/* ---- avi.c ---- */

/* vpi_structure.avi_frames of an AVI file. */
vp_status vpi_avi_frames(vpi_window *w, uint64_t *frames, vp_error *err);

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
/* As far as was read. */
const vpi_routes *vpi_demux_routes(const vpi_demux *demux);
/* Did reads fail after the last packet, so that the file may hold more? */
bool vpi_demux_lost(const vpi_demux *demux);
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

/* Makes streams that carry on the track of another one no tracks of their own. */
void vpi_report_routes(vpi_demux *demux, vpi_media *media);
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
/* Ticks at the end of a packet of sound that are not content and not left out of its duration already. */
int64_t vpi_report_cut(vpi_demux *demux, const vpi_packet *packet);
/* Statistics for a stream of the demuxer; NULL for one that needs none or (nomem) on no memory. */
vpi_stats *vpi_report_stats(vpi_demux *demux, int32_t stream, bool repaired, bool *nomem);
bool vpi_report_count(vpi_demux *demux, vpi_stats *stats, const vpi_packet *packet);

#endif
