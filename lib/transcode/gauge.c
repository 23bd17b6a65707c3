/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "analysis_int.h"

/*
 * Of each run of 16 pictures one, and the one 4 before it to be foretold from: about as far as P pictures are from each
 * other. The first of a GOP is coded by itself.
 */
#define RUN 16u
#define FROM 4u
#define MEASURED 8u
#define PRESET "ultrafast"

typedef struct measured { /* a GOP: bits at each point */
    uint64_t intra[VPI_GAUGE_POINTS], inter[VPI_GAUGE_POINTS];
} measured;

struct vpi_gauge {
    vpi_h264enc *encoders[VPI_GAUGE_POINTS];
    uint64_t at;   /* of the next picture, in its GOP */
    int64_t coded; /* pictures that the encoders got */
    measured *gops;
    size_t count, cap;
};

static vpi_h264enc_options options_like(const vpi_h264enc_options *like)
{
    vpi_h264enc_options o = *like;

    vpi_strlcpy(o.preset, PRESET, sizeof(o.preset));
    o.timebase_num = o.fps_den; /* pictures are numbered */
    o.timebase_den = o.fps_num;
    o.variable = false;
    o.lookahead = 0;
    o.pass = VPI_PASS_SINGLE;
    o.trellis = -1;
    o.aq_mode = o.aq_strength_milli = 0;
    o.subme = 0;
    o.inter = VPI_INTER_PRESET;
    o.qp = VPI_GAUGE_FIRST_QP;
    return o;
}

uint64_t vpi_gauge_memory(const vpi_h264enc_options *like)
{
    const vpi_h264enc_options o = options_like(like);

    return VPI_GAUGE_POINTS * vpi_h264enc_memory(&o);
}

vp_status vpi_gauge_new(vp_context *context, const vpi_h264enc_options *like, vpi_gauge **out, vp_error *err)
{
    vpi_gauge *g = vpi_calloc(1, sizeof(*g));
    vpi_h264enc_options o = options_like(like);
    vp_status st = VP_OK;

    *out = NULL;
    if (!g) return vpi_fail_nomem(err);
    for (unsigned i = 0; i < VPI_GAUGE_POINTS && st >= 0; i++) {
        o.qp = VPI_GAUGE_FIRST_QP + i * VPI_GAUGE_STEP_QP;
        st = vpi_h264enc_new(context, &o, &g->encoders[i], err);
    }
    if (st < 0) {
        vpi_gauge_free(g);
        return st;
    }
    *out = g;
    return VP_OK;
}

vpi_gauge *vpi_gauge_free(vpi_gauge *g)
{
    if (!g) return NULL;
    for (size_t i = 0; i < VPI_GAUGE_POINTS; i++) vpi_h264enc_free(g->encoders[i]);
    vpi_free(g->gops);
    vpi_free(g);
    return NULL;
}

static vp_status measure(vpi_gauge *g, vpi_frame *frame, bool idr, uint64_t *bits, vp_error *err)
{
    for (size_t i = 0; i < VPI_GAUGE_POINTS; i++) {
        vpi_coded coded;
        vp_status st = vpi_h264enc_encode(g->encoders[i], frame, g->coded, idr, &coded, err);

        if (st < 0) return st;
        if (st != VP_OK) return vpi_fail(err, VP_E_INTERNAL, NULL, "x264 keeps a picture that is measured");
        if (bits) bits[i] += (uint64_t)coded.size * 8;
    }
    g->coded++;
    return VP_OK;
}

vp_status vpi_gauge_add(vpi_gauge *g, vpi_frame *frame, bool idr, vp_error *err)
{
    measured *gop;
    uint64_t at;

    if (idr) {
        if (!VPI_GROW(g->gops, g->count, g->cap)) return vpi_fail_nomem(err);
        g->gops[g->count++] = (measured){ 0 };
        g->at = 0;
    }
    if (!g->count) return vpi_fail(err, VP_E_INTERNAL, NULL, "a span that does not begin with an IDR");
    gop = &g->gops[g->count - 1];
    at = g->at++;
    if (idr) return measure(g, frame, true, gop->intra, err);
    if (at == FROM || at % RUN == MEASURED) return measure(g, frame, false, gop->inter, err);
    return at % RUN == FROM ? measure(g, frame, false, NULL, err) : VP_OK;
}

vp_status vpi_gauge_take(const vpi_gauge *g, vpi_costs *costs, vp_error *err)
{
    if (g->count != costs->count)
        return vpi_fail(err, VP_E_INTERNAL, NULL, "statistics of %zu GOPs, not %zu", costs->count, g->count);
    for (size_t i = 0; i < g->count; i++) {
        memcpy(costs->gops[i].intra.gauge, g->gops[i].intra, sizeof(g->gops[i].intra));
        memcpy(costs->gops[i].inter.gauge, g->gops[i].inter, sizeof(g->gops[i].inter));
    }
    return VP_OK;
}
