/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_AV1_INT_H
#define VPI_AV1_INT_H

/* What frame headers of AV1 need, and what they leave for later ones (AV1 bitstream 5.5, 5.9, 7.20). */

#include "bitstream/slicer_int.h"

#define VPI_AV1_SLOTS 8u /* NUM_REF_FRAMES */
#define VPI_AV1_REFS 7u  /* REFS_PER_FRAME: LAST_FRAME to ALTREF_FRAME */
#define VPI_AV1_SEGMENTS 8u
#define VPI_AV1_MAX_TILES 64u /* columns, and rows */
#define VPI_AV1_CHOOSE 2u     /* SELECT_SCREEN_CONTENT_TOOLS, SELECT_INTEGER_MV: each frame tells */

enum { VPI_AV1_KEY = 0, VPI_AV1_INTER = 1, VPI_AV1_INTRA_ONLY = 2, VPI_AV1_SWITCH = 3 };

typedef struct vpi_av1_sequence_tools {
    bool reduced, equal_interval, decoder_model, frame_ids, sb128;
    bool warped_motion, order_hint, ref_frame_mvs, superres, cdef, restoration;
    bool mono, subsampling_x, subsampling_y, separate_uv, film_grain;
    uint8_t removal_bits, presentation_bits; /* with decoder_model */
    uint8_t points;                          /* operating points */
    uint32_t point_models;                   /* decoder_model_present_for_this_op, a bit each */
    uint16_t point_idc[32];
    uint8_t width_bits, height_bits, delta_id_bits, id_bits, hint_bits;
    uint8_t screen_content, integer_mv; /* 0, 1 or VPI_AV1_CHOOSE */
    uint32_t width, height;
} vpi_av1_sequence_tools;

typedef struct vpi_av1_slot {
    bool valid;
    uint8_t type;
    uint32_t hint;          /* OrderHint */
    uint32_t width, height; /* UpscaledWidth, FrameHeight */
    uint8_t alt_q_on;       /* of each segment */
    int16_t alt_q[VPI_AV1_SEGMENTS];
} vpi_av1_slot;

typedef struct vpi_av1_frame {
    vpi_av1_slot kept; /* what the slots it refreshes are to hold */
    bool show_existing, show, showable, intra, error_resilient;
    uint8_t existing, refresh; /* with show_existing: the slot */
    uint8_t primary;           /* 7: none */
    uint8_t refs[VPI_AV1_REFS];
    bool size_override, screen_content, integer_mv, intra_copy, high_precision, reference_select;
    bool lossless, all_lossless; /* CodedLossless, AllLossless */
    bool segments;
    uint32_t coded_width; /* FrameWidth: before the upscaling of superres */
    uint32_t base_q;
    bool no_delta_q;
    uint32_t columns, rows, tile_bits, tile_size_bytes;
} vpi_av1_frame;

struct vpi_av1_store {
    bool has_sequence;
    vpi_av1_sequence_tools sequence;
    vpi_av1_slot slots[VPI_AV1_SLOTS];
    /* the frame whose tiles are not all there yet */
    bool in_frame;
    uint32_t next_tile;
    vpi_av1_frame frame;
};

vp_status vpi_av1_read_sequence(const uint8_t *data, size_t size, vpi_av1_sequence_tools *out, vp_error *err);
/* uncompressed_header(); layer: temporal_id, spatial_id << 8. References that it tells to be lost are replaced. */
vp_status vpi_av1_read_frame(vpi_bits *b, vpi_av1_store *store, unsigned layer, vpi_av1_frame *out,
                             vp_error *err);
/* tile_info(), which leaves columns, rows, tile_bits and tile_size_bytes. */
vp_status vpi_av1_read_tile_info(vpi_bits *b, const vpi_av1_sequence_tools *s, vpi_av1_frame *f,
                                 vp_error *err);
void vpi_av1_skip_motion(vpi_bits *b, const vpi_av1_frame *f); /* global_motion_params() */
void vpi_av1_skip_grain(vpi_bits *b, const vpi_av1_sequence_tools *s, const vpi_av1_frame *f);

#endif
