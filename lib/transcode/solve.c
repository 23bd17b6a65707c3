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
/* Bounds of the search, on the linear scale: below and above what H.264 can code. */
#define FINEST 0.01
#define COARSEST 1000.0
#define STEPS 60
#define MAXRATE_SHARE 0.95    /* of the maxrate: what a span may have on average */
#define LINE_BYTES_MAX 65536u /* x264 lists weights and references of each picture */
#define BITS_MAX 1e9
#define PICTURES_MAX 1000000u

/* ---- reading ---- */

typedef struct costs { /* exact until all lines are read */
    double texture, motion, motion_intra, other;
} costs;

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

static bool add_picture(const char *line, costs *c)
{
    const char *type = strstr(line, " type:");
    double qp, texture, motion, other, q;
    bool intra;

    if (!type || !type[6] || !strchr("IiPBb", type[6])) return false;
    if (!field(line, "q", 100, &qp) || !field(line, "tex", BITS_MAX, &texture) ||
        !field(line, "mv", BITS_MAX, &motion) || !field(line, "misc", BITS_MAX, &other))
        return false;
    intra = type[6] == 'I' || type[6] == 'i';
    q = QP_SCALE * pow(2, (qp - QP_ZERO) / 6);
    c->texture += (texture + 0.1) * pow(intra ? q * INTRA_FACTOR : q, TEXTURE_POWER);
    motion *= sqrt(VPI_MAX(q, 1.0));
    *(intra ? &c->motion_intra : &c->motion) += motion;
    c->other += other;
    return true;
}

static bool read_options(const char *line, vpi_span_cost *out)
{
    return sscanf(line, "#options: %5ux%5u", &out->width, &out->height) == 2 && out->width && out->height;
}

vp_status vpi_span_cost_parse(const char *text, size_t size, vpi_span_cost *out, vp_error *err)
{
    char *line = vpi_alloc(LINE_BYTES_MAX);
    costs c = { 0, 0, 0, 0 };
    size_t number = 0;
    bool good = true;

    *out = (vpi_span_cost){ 0 };
    if (!line) return vpi_fail_nomem(err);
    while (size && good) {
        const char *end = memchr(text, '\n', size);
        size_t length = end ? (size_t)(end - text) : 0;

        number++;
        good = end && length < LINE_BYTES_MAX && number <= PICTURES_MAX;
        if (!good) break;
        memcpy(line, text, length);
        line[length] = 0;
        good = number == 1 ? read_options(line, out) : add_picture(line, &c);
        text += length + 1;
        size -= length + 1;
    }
    vpi_free(line);
    if (!good)
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "statistics: line %zu is not one of x264's", number);
    if (number < 2) return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "statistics of no picture");
    out->pictures = number - 1;
    out->texture = (uint64_t)(c.texture + 0.5);
    out->motion = (uint64_t)(c.motion + 0.5);
    out->motion_intra = (uint64_t)(c.motion_intra + 0.5);
    out->other = (uint64_t)(c.other + 0.5);
    return VP_OK;
}

/* ---- solving ---- */

static double most_bits(const vpi_solve_rung *rung, const vpi_solve_span *span)
{
    if (!rung->maxrate_kbps) return INFINITY;
    return MAXRATE_SHARE * rung->maxrate_kbps * (double)span->duration_us / 1000;
}

static double span_bits(const vpi_solve_rung *rung, const vpi_solve_span *span, double q)
{
    const vpi_span_cost *c = &span->cost;
    double area = (double)rung->width * rung->height / ((double)c->width * c->height);
    double bits = (double)c->texture / pow(q, TEXTURE_POWER) + (double)c->motion / sqrt(VPI_MAX(q, 1.0)) +
                  (double)c->motion_intra / sqrt(VPI_MAX(q / INTRA_FACTOR, 1.0)) + (double)c->other;

    return VPI_MIN(bits * pow(area, AREA_POWER), most_bits(rung, span));
}

static double all_bits(const vpi_solve_rung *rung, const vpi_solve_span *spans, size_t count, double q)
{
    double bits = 0;

    for (size_t i = 0; i < count; i++) bits += span_bits(rung, &spans[i], q);
    return bits;
}

void vpi_solve(const vpi_solve_rung *rung, vpi_solve_span *spans, size_t count)
{
    double low = FINEST, high = COARSEST, wanted = 0, total;

    for (size_t i = 0; i < count; i++) wanted += rung->kbps * (double)spans[i].duration_us / 1000;
    for (unsigned n = 0; n < STEPS; n++) { /* halving, on a logarithmic scale */
        double middle = sqrt(low * high);

        *(all_bits(rung, spans, count, middle) > wanted ? &low : &high) = middle;
    }
    total = all_bits(rung, spans, count, high);
    for (size_t i = 0; i < count; i++) {
        /* At the ends of the search the model has no say: what is left is scaled. */
        double bits = total > 0 ? span_bits(rung, &spans[i], high) * wanted / total : 0;
        double kbps = spans[i].duration_us ? bits * 1000 / (double)spans[i].duration_us : 0;

        kbps = VPI_MIN(kbps, rung->maxrate_kbps ? MAXRATE_SHARE * rung->maxrate_kbps : kbps);
        spans[i].kbps = (uint32_t)VPI_CLAMP(kbps + 0.5, 1.0, (double)INT32_MAX);
    }
}
