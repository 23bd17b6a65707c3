/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_SLICER_INT_H
#define VPI_SLICER_INT_H

#include "bitstream/bits_int.h"

#define VPI_NOT_READ(err, ...) vpi_fail((err), VP_E_UNSUPPORTED, "CODEC_UNSUPPORTED", __VA_ARGS__)

/* Where ranges go; base is the first byte of the sample. */
typedef struct vpi_range_sink {
    const uint8_t *base;
    vpi_range **ranges;
    size_t *count, *cap;
} vpi_range_sink;
/* Bytes of the sample; none is no range. NOMEM. */
vp_status vpi_range_add(vpi_range_sink *to, const uint8_t *data, size_t size, vp_error *err);

/* HEVC: SPS and PPS by their ids. */
typedef struct vpi_hevc_store vpi_hevc_store;
vpi_hevc_store *vpi_hevc_store_new(void); /* NULL: no memory */
void vpi_hevc_store_free(vpi_hevc_store *store);
/* Takes a parameter set; units of other kinds and layers are passed over. */
vp_status vpi_hevc_store_take(vpi_hevc_store *store, const vpi_nal *nal, vp_error *err);
/* Bytes of a slice segment up to the last that holds a bit of its header, byte_alignment() included. */
vp_status vpi_hevc_slice_head(const vpi_hevc_store *store, const vpi_nal *nal, size_t *head, vp_error *err);

/* AV1: sequence header and reference frames. */
typedef struct vpi_av1_store vpi_av1_store;
vpi_av1_store *vpi_av1_store_new(void);
void vpi_av1_store_free(vpi_av1_store *store);
/* OBUs of a sample, or of av1C: to NULL, all but sequence headers are passed over. */
vp_status vpi_av1_store_take(vpi_av1_store *store, const uint8_t *data, size_t size, vpi_range_sink *to,
                             vp_error *err);

#endif
