/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "transcode/model_int.h"
#include "transcode/solve_int.h"

/* Bounds of the search, on the linear scale: finer than this nobody sees (QP 19), above what H.264 can code. */
#define QUALITY_CAP 1.9
#define COARSEST 1000.0
/*
 * Hard scenes get a coarser quantiser than easy ones, by this power of what they cost at the reference (QP 28.4): to
 * the eye, as to SSIM and VMAF, one quantiser for all makes still scenes poor, busy ones needlessly good.
 */
#define EVENNESS 0.2
#define REFERENCE 5.65
#define COARSER_MAX 3.0
#define STEPS 48
#define MAXRATE_SHARE 0.95 /* of the maxrate: what a GOP may have on average */
#define LEAST_MARGIN 1.1   /* over what x264 takes for the least that pictures can cost */
/*
 * Bits fall with the quantiser by a power between these, whatever was measured; those of texture that needs a fine one
 * grow faster with the size of pictures (fitted to a cartoon, a still camera with grain, and films).
 */
#define POWER_MIN 0.2
#define POWER_MAX 3.0
#define AREA_BY_POWER 0.2
#define AREA_USUAL_POWER 1.2
#define AREA_POWER_MIN 0.5
#define AREA_POWER_MAX 1.2

/* ---- what pictures cost ---- */

/* What of a GOP does not change while the title's quantiser is looked for: a title of ten hours has 18,000 of them. */
typedef struct part_model {
    const vpi_cost_part *cost;
    double factor, area;               /* of x264's model: on the quantiser, on bits */
    bool gauged;                       /* else x264's model it is */
    double log_bits[VPI_GAUGE_POINTS]; /* at the points, of all its pictures at the rung's size */
    double offset;                     /* from the title's quantiser to the mean one of these pictures, QP */
} part_model;

typedef struct model {
    part_model intra, inter;
    double reference; /* bits at the reference */
    double coarser, most;
} model;

/* Logarithm of what a step between points is on the linear scale: ln 2 is 6 QP. */
#define GAUGE_STEP (VPI_GAUGE_STEP_QP * 0.11552453009332421)

static double model_bits(const part_model *m, double q)
{
    double at = q / m->factor;

    return m->area * ((double)m->cost->texture / pow(q, VPI_TEXTURE_POWER) +
                      (double)m->cost->motion / sqrt(VPI_MAX(at, 1.0)) + (double)m->cost->other);
}

/* The line through the points, straight on beyond them; above the last at least as steep as x264's model has it. */
static double curve(const double y[VPI_GAUGE_POINTS], double qp)
{
    const size_t last = VPI_GAUGE_POINTS - 1;
    double x = (qp - VPI_GAUGE_FIRST_QP) / VPI_GAUGE_STEP_QP;
    size_t i = (size_t)VPI_CLAMP(x, 0.0, (double)(last - 1));
    double rise = y[i + 1] - y[i];

    if (x <= (double)last) return y[i] + rise * (x - (double)i);
    return y[last] + VPI_MIN(rise, -VPI_TEXTURE_POWER * GAUGE_STEP) * (x - (double)last);
}

static double part_bits(const part_model *m, double q)
{
    return m->gauged ? exp(curve(m->log_bits, vpi_q_to_qp(q) + m->offset)) : model_bits(m, q);
}

static void gauge_part(part_model *m, const vpi_solve_rung *rung, uint32_t qp_milli)
{
    const vpi_cost_part *c = m->cost;
    double *y = m->log_bits, step = GAUGE_STEP, power, base;

    m->gauged = c->bits > 0;
    for (size_t i = 0; i < VPI_GAUGE_POINTS; i++) {
        m->gauged = m->gauged && c->gauge[i] > 0;
        y[i] = log((double)VPI_MAX(c->gauge[i], 1u));
        if (i) y[i] = VPI_CLAMP(y[i], y[i - 1] - POWER_MAX * step, y[i - 1] - POWER_MIN * step);
    }
    if (!m->gauged) return;
    m->offset = ((double)c->qp_milli - (double)qp_milli) / 1000;
    power = (y[0] - y[VPI_GAUGE_POINTS - 1]) / (step * (VPI_GAUGE_POINTS - 1));
    power = VPI_CLAMP(VPI_AREA_POWER + AREA_BY_POWER * (power - AREA_USUAL_POWER), AREA_POWER_MIN,
                      AREA_POWER_MAX);
    base = log((double)c->bits) - curve(y, (double)c->qp_milli / 1000) + log(vpi_area_factor(rung, power));
    for (size_t i = 0; i < VPI_GAUGE_POINTS; i++) y[i] += base;
}

static double gop_bits(const model *m, double q)
{
    return part_bits(&m->intra, q) + part_bits(&m->inter, q);
}

static void set_model(model *m, const vpi_solve_rung *rung, const vpi_solve_gop *g)
{
    double area = vpi_area_factor(rung, VPI_AREA_POWER);

    m->intra = (part_model){ .cost = &g->cost.intra, .factor = VPI_INTRA_FACTOR, .area = area };
    m->inter = (part_model){ .cost = &g->cost.inter, .factor = 1, .area = area };
    gauge_part(&m->intra, rung, g->cost.qp_milli);
    gauge_part(&m->inter, rung, g->cost.qp_milli);
    m->most =
        rung->maxrate_kbps ? MAXRATE_SHARE * rung->maxrate_kbps * (double)g->duration_us / 1000 : INFINITY;
}

/* ---- solving ---- */

/* What is hard to code, against the title, gets a coarser quantiser. */
static void set_coarser(model *models, const vpi_solve_gop *gops, size_t count)
{
    double mean = 0, us = 0;

    for (size_t i = 0; i < count; i++) {
        models[i].reference = gop_bits(&models[i], REFERENCE);
        mean += models[i].reference;
        us += (double)gops[i].duration_us;
    }
    mean = us > 0 ? mean / us : 0;
    for (size_t i = 0; i < count; i++) {
        double rate = models[i].reference / (double)VPI_MAX(gops[i].duration_us, 1u);
        double factor = mean > 0 ? pow(rate / mean, EVENNESS) : 1;

        models[i].coarser = VPI_CLAMP(factor, 1 / COARSER_MAX, COARSER_MAX);
    }
}

/* With q for the title: bits of all, each GOP's in its bits. */
static double all_bits(vpi_solve_gop *gops, const model *models, size_t count, double q)
{
    double all = 0;

    for (size_t i = 0; i < count; i++) {
        gops[i].bits = VPI_MIN(gop_bits(&models[i], q * models[i].coarser), models[i].most);
        all += gops[i].bits;
    }
    return all;
}

/* The quantiser between these at which a GOP costs that. */
static double quantiser_for(const model *m, double low, double high, double bits)
{
    for (unsigned n = 0; n < STEPS; n++) { /* halving, on a logarithmic scale */
        double middle = sqrt(low * high);

        *(gop_bits(m, middle) > bits ? &low : &high) = middle;
    }
    return high;
}

/* Each GOP's own quantiser, coarser where it may not have what it costs; and how x264's model says the same bits. */
static void set_gop(vpi_solve_gop *g, const model *m, double q)
{
    double bits, intra, inter;

    g->q = q * m->coarser;
    if (gop_bits(m, g->q) > m->most) g->q = quantiser_for(m, g->q, COARSEST, m->most);
    intra = part_bits(&m->intra, g->q);
    inter = part_bits(&m->inter, g->q);
    bits = intra + inter;
    bits = bits > 0 ? g->bits / bits : 1;
    g->intra_scale = bits * intra / VPI_MAX(model_bits(&m->intra, g->q), 1e-3);
    g->inter_scale = bits * inter / VPI_MAX(model_bits(&m->inter, g->q), 1e-3);
}

vp_status vpi_solve(const vpi_solve_rung *rung, vpi_solve_gop *gops, size_t count, vp_error *err)
{
    double low = QUALITY_CAP, high = COARSEST, wanted = 0, total;
    model *models = vpi_calloc(count ? count : 1, sizeof(*models));

    if (!models) return vpi_fail_nomem(err);
    for (size_t i = 0; i < count; i++) {
        set_model(&models[i], rung, &gops[i]);
        wanted += rung->kbps * (double)gops[i].duration_us / 1000;
    }
    set_coarser(models, gops, count);
    wanted = VPI_MIN(wanted, all_bits(gops, models, count, QUALITY_CAP)); /* easier than its rate */
    for (unsigned n = 0; n < STEPS; n++) {
        double middle = sqrt(low * high);

        *(all_bits(gops, models, count, middle) > wanted ? &low : &high) = middle;
    }
    total = all_bits(gops, models, count, high);
    for (size_t i = 0; i < count; i++) {
        /* At the ends of the search the model has no say: what is left is scaled. */
        if (total > 0) gops[i].bits = VPI_MIN(gops[i].bits * wanted / total, models[i].most);
        set_gop(&gops[i], &models[i], high);
    }
    vpi_free(models);
    return VP_OK;
}

uint32_t vpi_solve_kbps(const vpi_solve_rung *rung, const vpi_solve_gop *gops, size_t count)
{
    double bits = 0, least = 0, us = 0, area = vpi_area_factor(rung, VPI_AREA_POWER) * LEAST_MARGIN;

    for (size_t i = 0; i < count; i++) {
        bits += gops[i].bits;
        least += ((double)gops[i].cost.intra.other * gops[i].intra_scale +
                  (double)gops[i].cost.inter.other * gops[i].inter_scale) *
                 area;
        us += (double)gops[i].duration_us;
    }
    bits = VPI_MAX(bits, least);
    return (uint32_t)VPI_CLAMP(us > 0 ? ceil(bits * 1000 / us) + 1 : 1, 1.0, (double)INT32_MAX);
}
