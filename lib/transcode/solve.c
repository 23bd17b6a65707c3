/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "transcode/solve_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/*
 * x264's model (its own second pass reckons with it): coefficients cost bits by quantiser^-1.1, vectors by its
 * square root, the rest not at all; I pictures get a finer quantiser; from one picture size to another bits grow
 * by less than the area.
 */
#define TEXTURE_POWER 1.1
#define AREA_POWER 0.7
#define INTRA_FACTOR 1.4
#define QP_ZERO 12.0 /* of the linear scale */
#define QP_SCALE 0.85
/* Bounds of the search, on the linear scale: finer than this nobody sees (as crf 15), above what H.264 can code. */
#define QUALITY_CAP 2.24
#define COARSEST 1000.0
/*
 * Hard scenes get a coarser quantiser than easy ones, by this power of what they cost at the reference (crf 23): to
 * the eye, as to SSIM and VMAF, one quantiser for all makes still scenes poor, busy ones needlessly good.
 */
#define EVENNESS 0.5
#define REFERENCE 5.65
#define COARSER_MAX 3.0
#define STEPS 48
#define MAXRATE_SHARE 0.95    /* of the maxrate: what a GOP may have on average */
#define LEAST_MARGIN 1.1      /* over what x264 takes for the least that pictures can cost */
#define BUFFER_START 0.9      /* of the buffer is full when a span begins, as x264 has it */
#define BUFFER_MARGIN 1.3     /* what a picture may cost beyond the model */
#define LINE_BYTES_MAX 65536u /* x264 lists weights and references of each picture */
#define BITS_MAX 1e9
#define PICTURES_MAX 1000000u

/* ---- reading ---- */

typedef struct picture { /* one line of the statistics; q on the linear scale */
    bool idr, intra, kept;
    double q, texture, motion, other;
} picture;

typedef bool (*picture_fn)(void *user, const picture *p); /* false: that picture cannot be */

/* The number behind " name:"; false when there is none, or none in 0..max. Without the locale's idea of a point. */
static bool field(const char *line, const char *name, double max, double *out)
{
    char key[16];
    const char *at;
    double unit = 1;

    snprintf(key, sizeof(key), " %s:", name);
    at = strstr(line, key);
    if (!at) return false;
    at += strlen(key);
    if (*at < '0' || *at > '9') return false;
    for (*out = 0; *at >= '0' && *at <= '9' && *out <= max; at++) *out = *out * 10 + (*at - '0');
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++) *out += (*at - '0') * (unit /= 10);
    return *out <= max;
}

static bool read_picture(const char *line, picture *p)
{
    const char *type = strstr(line, " type:");
    double qp;

    if (!type || !type[6] || !strchr("IiPBb", type[6])) return false;
    if (!field(line, "q", 100, &qp) || !field(line, "tex", BITS_MAX, &p->texture) ||
        !field(line, "mv", BITS_MAX, &p->motion) || !field(line, "misc", BITS_MAX, &p->other))
        return false;
    p->idr = type[6] == 'I';
    p->intra = p->idr || type[6] == 'i';
    p->kept = type[6] != 'b';
    p->q = QP_SCALE * pow(2, (qp - QP_ZERO) / 6);
    return true;
}

static bool read_options(const char *line, uint32_t *width, uint32_t *height)
{
    return sscanf(line, "#options: %5ux%5u", width, height) == 2 && *width && *height;
}

/* Visits the pictures in coded order. */
static vp_status walk(const char *text, size_t size, picture_fn visit, void *user, uint32_t *width,
                      uint32_t *height, vp_error *err)
{
    char *line = vpi_alloc(LINE_BYTES_MAX);
    size_t number = 0;
    bool good = true;

    if (!line) return vpi_fail_nomem(err);
    while (size && good) {
        const char *end = memchr(text, '\n', size);
        size_t length = end ? (size_t)(end - text) : 0;
        picture p;

        number++;
        good = end && length < LINE_BYTES_MAX && number <= PICTURES_MAX;
        if (!good) break;
        memcpy(line, text, length);
        line[length] = 0;
        good = number == 1 ? read_options(line, width, height) : read_picture(line, &p);
        if (good && number > 1) good = visit(user, &p);
        text += length + 1;
        size -= length + 1;
    }
    vpi_free(line);
    if (!good)
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "statistics: line %zu is not one of x264's", number);
    if (number < 2) return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "statistics of no picture");
    return VP_OK;
}

typedef struct sums { /* of a GOP; exact until its last line is read */
    vpi_costs *costs;
    double texture, motion, motion_intra, other;
    bool failed;
} sums;

static void end_gop(sums *s)
{
    vpi_cost *c = s->costs->count ? &s->costs->gops[s->costs->count - 1] : NULL;

    if (!c) return;
    c->texture = (uint64_t)(s->texture + 0.5);
    c->motion = (uint64_t)(s->motion + 0.5);
    c->motion_intra = (uint64_t)(s->motion_intra + 0.5);
    c->other = (uint64_t)(s->other + 0.5);
    s->texture = s->motion = s->motion_intra = s->other = 0;
}

static bool add_picture(void *user, const picture *p)
{
    sums *s = user;
    vpi_costs *c = s->costs;
    double motion = p->motion * sqrt(VPI_MAX(p->q, 1.0));

    if (!p->idr && !c->count) return false;
    if (p->idr) {
        end_gop(s);
        s->failed = !VPI_GROW(c->gops, c->count, c->cap);
        if (s->failed) return false;
        c->gops[c->count++] = (vpi_cost){ 0 };
    }
    c->gops[c->count - 1].pictures++;
    c->kept += p->kept;
    s->texture += (p->texture + 0.1) * pow(p->intra ? p->q * INTRA_FACTOR : p->q, TEXTURE_POWER);
    *(p->intra ? &s->motion_intra : &s->motion) += motion;
    s->other += p->other;
    return true;
}

vp_status vpi_costs_parse(const char *text, size_t size, vpi_costs *out, vp_error *err)
{
    sums s = { .costs = out };
    vp_status st;

    *out = (vpi_costs){ 0 };
    st = walk(text, size, add_picture, &s, &out->width, &out->height, err);
    end_gop(&s);
    if (st >= 0) return VP_OK;
    vpi_costs_dispose(out);
    return s.failed ? vpi_fail_nomem(err) : st;
}

void vpi_costs_dispose(vpi_costs *costs)
{
    vpi_free(costs->gops);
    *costs = (vpi_costs){ 0 };
}

/* ---- solving ---- */

/* At the first pass's size. */
static double cost_bits(const vpi_cost *c, double q)
{
    return (double)c->texture / pow(q, TEXTURE_POWER) + (double)c->motion / sqrt(VPI_MAX(q, 1.0)) +
           (double)c->motion_intra / sqrt(VPI_MAX(q / INTRA_FACTOR, 1.0)) + (double)c->other;
}

static double rate_of(const vpi_solve_gop *g, double q)
{
    return cost_bits(&g->cost, q) / (double)VPI_MAX(g->duration_us, 1u);
}

static double area_factor(const vpi_solve_rung *rung)
{
    return pow((double)rung->width * rung->height / ((double)rung->pass_width * rung->pass_height),
               AREA_POWER);
}

static double most_bits(const vpi_solve_rung *rung, const vpi_solve_gop *g)
{
    if (!rung->maxrate_kbps) return INFINITY;
    return MAXRATE_SHARE * rung->maxrate_kbps * (double)g->duration_us / 1000;
}

/* Of a GOP, against the title: what is hard to code gets a coarser one. */
static double coarser(const vpi_solve_gop *g, double mean)
{
    double factor = mean > 0 ? pow(rate_of(g, REFERENCE) / mean, EVENNESS) : 1;

    return VPI_CLAMP(factor, 1 / COARSER_MAX, COARSER_MAX);
}

/* What of a GOP does not change while the title's quantiser is looked for: a title of ten hours has 18,000 of them. */
typedef struct fixed {
    double coarser, texture, most;
} fixed;

/* With q for the title: bits of all, each GOP's in its bits. */
static double all_bits(const vpi_solve_rung *rung, vpi_solve_gop *gops, const fixed *f, size_t count,
                       double q)
{
    double area = area_factor(rung), power = pow(q, -TEXTURE_POWER), all = 0;

    for (size_t i = 0; i < count; i++) {
        const vpi_cost *c = &gops[i].cost;
        double own = q * f[i].coarser;
        double bits = f[i].texture * power + (double)c->motion / sqrt(VPI_MAX(own, 1.0)) +
                      (double)c->motion_intra / sqrt(VPI_MAX(own / INTRA_FACTOR, 1.0)) + (double)c->other;

        gops[i].bits = VPI_MIN(bits * area, f[i].most);
        all += gops[i].bits;
    }
    return all;
}

/* Each GOP's own quantiser; coarser where it may not have what it costs. */
static void set_quantisers(const vpi_solve_rung *rung, vpi_solve_gop *gops, const fixed *f, size_t count,
                           double q)
{
    double area = area_factor(rung);

    for (size_t i = 0; i < count; i++) {
        double bits;

        gops[i].q = q * f[i].coarser;
        bits = cost_bits(&gops[i].cost, gops[i].q) * area;
        if (bits > f[i].most) gops[i].q *= pow(bits / VPI_MAX(f[i].most, 1.0), 1 / TEXTURE_POWER);
    }
}

static double fix(const vpi_solve_rung *rung, const vpi_solve_gop *gops, fixed *f, size_t count)
{
    double wanted = 0, mean = 0, us = 0;

    for (size_t i = 0; i < count; i++) {
        wanted += rung->kbps * (double)gops[i].duration_us / 1000;
        mean += cost_bits(&gops[i].cost, REFERENCE);
        us += (double)gops[i].duration_us;
    }
    mean = us > 0 ? mean / us : 0;
    for (size_t i = 0; i < count; i++) {
        f[i].coarser = coarser(&gops[i], mean);
        f[i].texture = (double)gops[i].cost.texture * pow(f[i].coarser, -TEXTURE_POWER);
        f[i].most = most_bits(rung, &gops[i]);
    }
    return wanted;
}

vp_status vpi_solve(const vpi_solve_rung *rung, vpi_solve_gop *gops, size_t count, vp_error *err)
{
    double low = QUALITY_CAP, high = COARSEST, wanted, total;
    fixed *f = vpi_calloc(count ? count : 1, sizeof(*f));

    if (!f) return vpi_fail_nomem(err);
    wanted = fix(rung, gops, f, count);
    wanted = VPI_MIN(wanted, all_bits(rung, gops, f, count, QUALITY_CAP)); /* easier than its rate */
    for (unsigned n = 0; n < STEPS; n++) { /* halving, on a logarithmic scale */
        double middle = sqrt(low * high);

        *(all_bits(rung, gops, f, count, middle) > wanted ? &low : &high) = middle;
    }
    total = all_bits(rung, gops, f, count, high);
    set_quantisers(rung, gops, f, count, high);
    /* At the ends of the search the model has no say: what is left is scaled. */
    for (size_t i = 0; i < count && total > 0; i++)
        gops[i].bits = VPI_MIN(gops[i].bits * wanted / total, f[i].most);
    vpi_free(f);
    return VP_OK;
}

uint32_t vpi_solve_kbps(const vpi_solve_rung *rung, const vpi_solve_gop *gops, size_t count)
{
    double bits = 0, least = 0, us = 0;

    for (size_t i = 0; i < count; i++) {
        bits += gops[i].bits;
        least += (double)gops[i].cost.other * area_factor(rung) * LEAST_MARGIN;
        us += (double)gops[i].duration_us;
    }
    bits = VPI_MAX(bits, least);
    return (uint32_t)VPI_CLAMP(us > 0 ? ceil(bits * 1000 / us) + 1 : 1, 1.0, (double)INT32_MAX);
}

/* ---- the buffer ---- */

typedef struct bucket {
    const vpi_solve_rung *rung;
    const vpi_solve_gop *gops;
    size_t count, next;    /* the GOP that begins with the next IDR */
    double level;          /* bits that the buffer holds */
    double q, scale, fill; /* of this GOP: quantiser, model to bits, what comes in for each picture */
    bool dry;
} bucket;

static double picture_bits(const picture *p, double q)
{
    double at = p->intra ? q / INTRA_FACTOR : q;

    return (p->texture + 0.1) * pow(p->q / at, TEXTURE_POWER) +
           p->motion * sqrt(VPI_MAX(p->q, 1.0) / VPI_MAX(at, 1.0)) + p->other;
}

static bool drain(void *user, const picture *p)
{
    bucket *b = user;
    double size = b->rung->bufsize_kbit * 1000.0;

    if (p->idr) {
        const vpi_solve_gop *g = &b->gops[b->next];
        if (b->next++ >= b->count || !g->cost.pictures) return false;
        b->q = g->q;
        b->scale = g->bits / VPI_MAX(cost_bits(&g->cost, g->q), 1.0) * BUFFER_MARGIN;
        b->fill = b->rung->maxrate_kbps * (double)g->duration_us / 1000 / (double)g->cost.pictures;
    }
    b->level -= picture_bits(p, b->q) * b->scale;
    b->dry = b->dry || b->level < 0;
    b->level = VPI_MIN(b->level + b->fill, size);
    return true;
}

vp_status vpi_solve_buffer(const char *text, size_t size, const vpi_solve_rung *rung,
                           const vpi_solve_gop *gops, size_t count, bool *tight, vp_error *err)
{
    bucket b = {
        .rung = rung, .gops = gops, .count = count, .level = rung->bufsize_kbit * 1000.0 * BUFFER_START
    };
    uint32_t width, height;

    *tight = false;
    if (!rung->maxrate_kbps) return VP_OK;
    VPI_TRY(walk(text, size, drain, &b, &width, &height, err));
    *tight = b.dry;
    return VP_OK;
}
