/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_TRANSCODE_SOLVE_INT_H
#define VPI_TRANSCODE_SOLVE_INT_H

/*
 * From the statistics of a first pass over all spans: how many bits each GOP of the title gets, so that quality is even
 * and the average rate is the one asked for. Pure arithmetic, the same on every run of a build.
 *
 * With a macroblock tree x264's second pass gives all pictures one quantiser, but for the factor of I pictures, and
 * finds it from the bits that it may spend. Here the title's is found, with each GOP's own share of it: spans are told
 * what that costs them, encoders (as zones) how their GOPs lie to each other.
 *
 * What pictures cost at another quantiser is foretold from a few of each GOP that the analysis codes at several
 * (gauge): still scenes with grain cost many times more at a finer one, which x264's own model does not know. Its
 * statistics are scaled so that it reckons with the same bits.
 */

#include "base/buf.h"
#include "base/error.h"

#define VPI_GAUGE_POINTS 4u
#define VPI_GAUGE_FIRST_QP 9 /* the points: 9, 16, 23, 30 */
#define VPI_GAUGE_STEP_QP 7

/*
 * I pictures of a GOP, or all others. By x264's model they cost at a quantiser q of its linear scale (of I pictures
 * q / 1.4), in bits at the first pass's picture size: texture / q^1.1 + motion / sqrt(max(q, 1)) + other
 */
typedef struct vpi_cost_part {
    uint64_t texture, motion, other;
    uint64_t bits;     /* that the first pass coded */
    uint32_t qp_milli; /* at this mean quantiser, macroblock tree and adaptive quantisation included */
    uint64_t gauge[VPI_GAUGE_POINTS]; /* bits of some of them at the points; 0: not measured */
} vpi_cost_part;

typedef struct vpi_cost { /* of a GOP */
    vpi_cost_part intra, inter;
    uint32_t qp_milli; /* that the first pass had for pictures other than I, without tree and adaptation */
    uint64_t pictures;
} vpi_cost;

typedef struct vpi_costs {  /* of a span */
    uint32_t width, height; /* of the first pass */
    vpi_cost *gops;
    size_t count, cap;
    uint64_t kept; /* pictures that others refer to: the macroblock tree is of these */
} vpi_costs;

/* From the text that x264 wrote, whole. Errors: DATA INPUT_CORRUPT naming the line, NOMEM; then out is empty. */
vp_status vpi_costs_parse(const char *text, size_t size, vpi_costs *out, vp_error *err);
void vpi_costs_dispose(vpi_costs *costs);

typedef struct vpi_solve_gop {
    vpi_cost cost;
    uint64_t duration_us;
    double bits; /* out: what it gets */
    double q;    /* out: the quantiser at which it costs about that */
    double intra_scale,
        inter_scale; /* out: of x264's model for that, at the rung's size, to say these bits */
} vpi_solve_gop;

typedef struct vpi_solve_rung {
    uint32_t width, height;
    uint32_t pass_width, pass_height; /* of the first pass */
    uint32_t kbps;                    /* average of the title */
    uint32_t maxrate_kbps;            /* no GOP gets more than fits below it; 0: no bound */
    uint32_t bufsize_kbit;
} vpi_solve_rung;

/*
 * Over all GOPs of the title. Their mean is the rung's kbps, or less where all of them reached the maxrate, or where
 * nothing would be seen of more. Errors: NOMEM.
 */
vp_status vpi_solve(const vpi_solve_rung *rung, vpi_solve_gop *gops, size_t count, vp_error *err);

/*
 * The statistics of a span as x264 has to read them, appended to out: scaled to what its GOPs are solved to cost.
 * Errors: as vpi_costs_parse, also where the GOPs are others.
 */
vp_status vpi_solve_statistics(const char *text, size_t size, const vpi_solve_gop *gops, size_t count,
                               vpi_buf *out, vp_error *err);

/* The rate of a span out of its solved GOPs; x264 refuses rates below what headers alone cost. */
uint32_t vpi_solve_kbps(const vpi_solve_rung *rung, const vpi_solve_gop *gops, size_t count);

/*
 * Could a span that is coded so, by an encoder that does not mind the buffer, run the rung's buffer dry? Told from
 * its statistics and its solved GOPs, with a margin for what the model does not know. (An encoder that minds it looks
 * at all pictures once more, which costs it a fifth.) Errors: as vpi_costs_parse; also where the GOPs are others.
 */
vp_status vpi_solve_buffer(const char *text, size_t size, const vpi_solve_rung *rung,
                           const vpi_solve_gop *gops, size_t count, bool *tight, vp_error *err);

#endif
