/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_TRANSCODE_SOLVE_INT_H
#define VPI_TRANSCODE_SOLVE_INT_H

/*
 * From the statistics of a first pass over all spans: how many bits each span gets, so that quality is even over the
 * title and its average rate is the one asked for. Pure arithmetic, the same on every run of a build.
 *
 * With a macroblock tree x264's second pass gives all pictures of a span one quantiser, but for the factor of
 * I pictures, and finds it from the bits that the span may spend. So an even title is one quantiser for all spans:
 * it is found here by the same model of bits, and each span is told what it costs it.
 */

#include "base/buf.h"
#include "base/error.h"

/*
 * What a span costs at a quantiser q of x264's linear scale, in bits at the first pass's picture size:
 * texture / q^1.1 + motion / sqrt(max(q, 1)) + motion_intra / sqrt(max(q / 1.4, 1)) + other
 */
typedef struct vpi_span_cost {
    uint64_t texture, motion, motion_intra, other;
    uint64_t pictures;
    uint32_t width, height; /* of the first pass */
} vpi_span_cost;

/* From the text that x264 wrote, whole. Errors: DATA INPUT_CORRUPT naming the line, NOMEM. */
vp_status vpi_span_cost_parse(const char *text, size_t size, vpi_span_cost *out, vp_error *err);

typedef struct vpi_solve_span {
    vpi_span_cost cost;
    uint64_t duration_us;
    uint32_t kbps; /* out: what the second pass of this span is given */
} vpi_solve_span;

typedef struct vpi_solve_rung {
    uint32_t width, height;
    uint32_t kbps;         /* average of the title */
    uint32_t maxrate_kbps; /* no span gets more than fits below it; 0: no bound */
    uint32_t bufsize_kbit;
} vpi_solve_rung;

/*
 * Fills kbps of each span. Their mean is the rung's kbps, or less where all of them reached the maxrate, or where
 * nothing would be seen of more. Returns the quantiser of the title.
 */
double vpi_solve(const vpi_solve_rung *rung, vpi_solve_span *spans, size_t count);

/*
 * Could a span that is coded with its kbps, and nothing that minds the buffer, run the rung's buffer dry? Told from its
 * statistics and the title's quantiser, with a margin for what the model does not know. x264 then looks at all
 * pictures once more, which costs it a fifth. Errors: as vpi_span_cost_parse.
 */
vp_status vpi_solve_buffer(const char *text, size_t size, const vpi_solve_rung *rung, double q,
                           const vpi_solve_span *span, bool *tight, vp_error *err);

#endif
