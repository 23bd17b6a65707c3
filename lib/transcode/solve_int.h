/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_TRANSCODE_SOLVE_INT_H
#define VPI_TRANSCODE_SOLVE_INT_H

/*
 * From the statistics of a first pass over all spans: how many bits each GOP of the title gets, so that quality is even
 * and the average rate is the one asked for. Pure arithmetic, the same on every run of a build.
 *
 * With a macroblock tree x264's second pass gives all pictures one quantiser, but for the factor of I pictures, and
 * finds it from the bits that it may spend. Here the title's is found by the same model of bits, with each GOP's own
 * share of it: spans are told what that costs them, encoders (as zones) how their GOPs lie to each other.
 */

#include "base/buf.h"
#include "base/error.h"

/*
 * What a GOP costs at a quantiser q of x264's linear scale, in bits at the first pass's picture size:
 * texture / q^1.1 + motion / sqrt(max(q, 1)) + motion_intra / sqrt(max(q / 1.4, 1)) + other
 */
typedef struct vpi_cost {
    uint64_t texture, motion, motion_intra, other;
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
