/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_HEVC_INT_H
#define VPI_HEVC_INT_H

/* What slice segment headers need of SPS and PPS (ITU-T H.265 7.3.2.2, 7.3.2.3). */

#include "bitstream/slicer_int.h"

#define VPI_HEVC_MAX_SPS 16u
#define VPI_HEVC_MAX_PPS 64u
#define VPI_HEVC_MAX_SETS 64u     /* short-term reference picture sets (7.4.3.2.1) */
#define VPI_HEVC_MAX_PICTURES 16u /* in one of them */
#define VPI_HEVC_MAX_LONG_TERM 32u

typedef struct vpi_hevc_rps {
    uint8_t negative, count;
    uint16_t used;                        /* used_by_curr_pic, a bit each */
    int32_t delta[VPI_HEVC_MAX_PICTURES]; /* of order counts: the negative ones first, the nearest first */
} vpi_hevc_rps;

typedef struct vpi_hevc_slice_sps {
    bool separate_planes, chroma; /* chroma: ChromaArrayType is not 0 */
    bool sao, long_term, temporal_mvp, integer_mv_coded;
    uint8_t poc_bits, set_count, long_term_count;
    uint32_t long_term_used; /* a bit each */
    uint32_t ctbs, ctb_rows; /* of a picture */
    vpi_hevc_rps sets[VPI_HEVC_MAX_SETS];
} vpi_hevc_slice_sps;

typedef struct vpi_hevc_slice_pps {
    uint8_t sps_id, extra_bits, refs[2];
    bool dependent_segments, output_flag, cabac_init, chroma_qp_offsets, weighted_pred, weighted_bipred,
        tiles, wavefront, loop_filter_across, deblocking_override, deblocking_disabled, list_modification,
        extension;
    bool chroma_qp_lists;                /* range extension */
    bool current_reference, act_offsets; /* screen content */
    uint32_t tile_count, tile_columns;
} vpi_hevc_slice_pps;

struct vpi_hevc_store {
    vpi_hevc_slice_sps *sps[VPI_HEVC_MAX_SPS];
    vpi_hevc_slice_pps pps[VPI_HEVC_MAX_PPS];
    bool has_pps[VPI_HEVC_MAX_PPS];
};

/* st_ref_pic_set(index), 7.3.7; index set_count is that of a slice header. */
void vpi_hevc_read_rps(vpi_bits *b, const vpi_hevc_slice_sps *sps, unsigned index, vpi_hevc_rps *out);
/* Ceil(Log2(values)) */
unsigned vpi_hevc_bits_for(uint32_t values);

#endif
