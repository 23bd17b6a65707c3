/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MEDIA_VIDEO_H
#define VPI_MEDIA_VIDEO_H

/*
 * Decoding pictures upright, with square pixels, 8-bit 4:2:0 limited range, scaling them down a cascade, and
 * encoding them with libx264. No libav* or x264 type crosses this header. Each handle is used by one thread at a
 * time; frames may be shared between threads (the count is atomic).
 */

#include <vodpipe/io.h>

#include "base/common.h"
#include "base/context.h"
#include "base/error.h"
#include "model/media.h"

/* ---- frames ---- */

typedef struct vpi_frame vpi_frame;
vpi_frame *vpi_frame_ref(vpi_frame *frame);
vpi_frame *vpi_frame_unref(vpi_frame *frame);       /* NULL is allowed; returns NULL */
int64_t vpi_frame_pts(const vpi_frame *frame);      /* ticks of the stream's tb, file timeline */
int64_t vpi_frame_duration(const vpi_frame *frame); /* 0 unknown */
/* 1: made of the second field of the picture at pts: it is shown half the duration later. */
uint32_t vpi_frame_field(const vpi_frame *frame);
uint32_t vpi_frame_width(const vpi_frame *frame);
uint32_t vpi_frame_height(const vpi_frame *frame);

/* ---- reader: demux + decode + filter ---- */

typedef struct vpi_video_colour { /* what the encoder is told; ISO/IEC 23091-2 numbers, never 2 */
    uint8_t primaries, transfer, matrix;
} vpi_video_colour;

typedef enum vpi_deinterlace {
    VPI_DEINTERLACE_NONE,
    VPI_DEINTERLACE_FRAMES, /* one picture for each that is decoded */
    VPI_DEINTERLACE_FIELDS, /* two: one for each field */
    VPI_DEINTERLACE_FLAGGED /* one for each, made of those that say they are of fields */
} vpi_deinterlace;

typedef struct vpi_video_reader_options {
    int32_t stream;
    uint32_t width, height;    /* of the frames given out: upright, square pixels, even */
    int32_t rotation, flipped; /* as in vpi_track; applied by the reader */
    bool rough;      /* cheap decoding and scaling, near enough to measure by; not what is published */
    bool by_picture; /* where the container turns nothing: instead, what each picture says itself */
    vpi_video_colour colour;
    const vpi_timeline *timeline; /* NULL: the file's own times; borrowed until close */
    int64_t from; /* first presentation time wanted, ticks of the stream's tb; INT64_MIN: from the start */
    /* Fixed by the plan; 1 or more. Only with 1 are the pictures of damaged streams the same in every run. */
    uint32_t decoder_threads;
    vpi_deinterlace deinterlace; /* of all pictures, whatever they say themselves, but for FLAGGED */
    bool bottom_first;           /* the field order that is taken for it, but for FLAGGED */
} vpi_video_reader_options;

typedef struct vpi_video_reader vpi_video_reader;
/* Opens its own demuxer on the source. */
vp_status vpi_video_reader_open(vp_context *context, vp_source *source,
                                const vpi_video_reader_options *options, vp_cancel *cancel,
                                vpi_video_reader **out, vp_error *err);
vpi_video_reader *vpi_video_reader_close(vpi_video_reader *reader);
/*
 * Next frame in presentation order; VP_END after the last. With `from` it begins with the frame shown at that time:
 * the last one with pts <= from, or the first of the file. The same pictures come whatever `from` is: seeking goes
 * to a random access point before it and drops what is not decodable from there (open GOP leading pictures).
 * Frames without a time get the previous one's plus its duration. Takes and leaves CPU slots by itself.
 */
vp_status vpi_video_reader_next(vpi_video_reader *reader, vpi_frame **out, vp_error *err);
/* Frames that the decoder reported as damaged or concealed, packets it refused. */
void vpi_video_reader_damage(const vpi_video_reader *reader, uint64_t *concealed, uint64_t *refused);

/* Colour that all rungs are tagged with: the source's, or BT.709 / BT.601 by height where it says nothing; HDR
 * sources are tone-mapped by the reader, which then gives BT.709. */
void vpi_video_colour_for(const vpi_track *track, vpi_video_colour *out);

/* ---- scaler: one step of the cascade ---- */

typedef struct vpi_scaler vpi_scaler;
vp_status vpi_scaler_new(uint32_t from_width, uint32_t from_height, uint32_t to_width, uint32_t to_height,
                         vpi_scaler **out, vp_error *err);
vpi_scaler *vpi_scaler_free(vpi_scaler *scaler);
/* Same pts and duration. Equal sizes give a reference. accurate_rnd + bitexact: same bytes on every CPU. */
vp_status vpi_scaler_scale(vpi_scaler *scaler, vpi_frame *from, vpi_frame **out, vp_error *err);

/* ---- H.264 encoder (libx264, one thread) ---- */

typedef enum vpi_pass { VPI_PASS_SINGLE, VPI_PASS_FIRST, VPI_PASS_SECOND } vpi_pass;

/* Sizes of macroblocks' parts that pictures are foretold in, where the preset has smaller ones too. */
typedef enum vpi_inter { VPI_INTER_PRESET, VPI_INTER_16X16, VPI_INTER_P8X8 } vpi_inter;

typedef struct vpi_zone { /* pictures first to last, counted from 0, have their quantiser divided by factor */
    uint32_t first, last;
    float factor;
} vpi_zone;

typedef struct vpi_h264enc_options {
    uint32_t width, height;
    uint32_t fps_num, fps_den;           /* grid, or an upper bound when variable */
    uint32_t timebase_num, timebase_den; /* of the pts given to encode */
    bool variable;                       /* b_vfr_input */
    char preset[16];                     /* x264's names: "veryfast" ... */
    int32_t trellis;                     /* -1: the preset's; 0..2 */
    uint32_t aq_mode;                    /* 0: the preset's; 1..3 */
    uint32_t aq_strength_milli;          /* 0: the preset's; 3000 at most; equal in both passes */
    uint32_t subme;                      /* 0: the preset's; 1..11 */
    vpi_inter inter;                     /* P8X8: parts of 8x8 in P pictures, and whole macroblocks in B */
    uint32_t lookahead;                  /* frames */
    uint32_t keyint_max;                 /* frames; IDRs are forced, this is only a bound */
    bool abr;                            /* true: kbps; false: crf */
    uint32_t kbps;
    uint32_t crf_milli; /* 23000 = 23 */
    uint32_t qp;        /* not 0: for all pictures, in place of both; no weights, each is coded at once */
    uint32_t maxrate_kbps, bufsize_kbit;
    uint32_t level_idc;
    char profile[16]; /* "high", "main", "baseline" */
    vpi_video_colour colour;
    /*
     * Shared analysis. VPI_PASS_FIRST encodes by crf and writes statistics; what it codes is thrown away by most.
     * VPI_PASS_SECOND (with abr) takes frame types and macroblock tree from them, at any size, and needs no
     * lookahead; its pictures, their times and IDRs must be those of the first pass. Both set what has to be
     * equal: B-frames, their pyramid, weights.
     */
    vpi_pass pass;
    /* With a pass: a local path; the macroblock tree is beside it, at stats + ".mbtree". NULL in a second pass: only
     * its parameter sets are wanted. */
    const char *stats;
    const vpi_zone *zones; /* of a second pass, rising; borrowed while the encoder opens */
    size_t zone_count;
} vpi_h264enc_options;

typedef struct vpi_h264enc vpi_h264enc;
typedef struct
    vpi_coded { /* one coded picture, 4-byte length-prefixed NALs, no parameter sets, no SEI user data */
    const uint8_t *data; /* valid until the next call with this encoder */
    size_t size;
    int64_t pts; /* as given */
    bool idr;
} vpi_coded;
vp_status vpi_h264enc_new(vp_context *context, const vpi_h264enc_options *options, vpi_h264enc **out,
                          vp_error *err);
/* After a first pass: completes the statistics, if all was flushed. They can be read only then. */
vpi_h264enc *vpi_h264enc_free(vpi_h264enc *encoder);
/* Parameter sets without start codes, borrowed until free. The same options give the same bytes. */
void vpi_h264enc_headers(const vpi_h264enc *encoder, const uint8_t **sps, size_t *sps_size,
                         const uint8_t **pps, size_t *pps_size);
/* Largest number of pictures by which decode order and presentation order differ (num_reorder_frames). */
uint32_t vpi_h264enc_reorder(const vpi_h264enc *encoder);
/*
 * One picture in (frame NULL: flush), at most one out: VP_OK with *coded, VP_AGAIN when none is ready, VP_END when
 * flushing is done. The same frame may be given twice with different pts. Takes a CPU slot while it encodes.
 */
vp_status vpi_h264enc_encode(vpi_h264enc *encoder, vpi_frame *frame, int64_t pts, bool force_idr,
                             vpi_coded *coded, vp_error *err);
/* Bytes that an encoder with these options will hold, and one frame of a size. */
uint64_t vpi_h264enc_memory(const vpi_h264enc_options *options);
uint64_t vpi_frame_memory(uint32_t width, uint32_t height);

#endif
