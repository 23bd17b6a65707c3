/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_TRANSCODE_MODEL_INT_H
#define VPI_TRANSCODE_MODEL_INT_H

/*
 * x264's model of bits, which its second pass reckons with: coefficients cost bits by quantiser^-1.1, vectors by its
 * square root, the rest not at all; I pictures get a finer quantiser; from one picture size to another bits grow by
 * less than the area.
 */

#include <math.h>

#include "transcode/solve_int.h"

#define VPI_TEXTURE_POWER 1.1
#define VPI_AREA_POWER 0.7
#define VPI_INTRA_FACTOR 1.4
#define VPI_QP_ZERO 12.0 /* of the linear scale */
#define VPI_QP_SCALE 0.85

static inline double vpi_qp_to_q(double qp)
{
    return VPI_QP_SCALE * pow(2, (qp - VPI_QP_ZERO) / 6);
}

static inline double vpi_q_to_qp(double q)
{
    return VPI_QP_ZERO + 6 * log2(q / VPI_QP_SCALE);
}

/* What a picture of the rung costs, times one of the first pass's size. */
static inline double vpi_area_factor(const vpi_solve_rung *r, double power)
{
    return pow((double)r->width * r->height / ((double)r->pass_width * r->pass_height), power);
}

#endif
