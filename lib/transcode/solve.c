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
#define STEPS 60
#define MAXRATE_SHARE 0.95    /* of the maxrate: what a span may have on average */
#define BUFFER_START 0.9      /* of the buffer is full when a span begins, as x264 has it */
#define BUFFER_MARGIN 1.3     /* what a picture may cost beyond the model */
#define LINE_BYTES_MAX 65536u /* x264 lists weights and references of each picture */
#define BITS_MAX 1e9
#define PICTURES_MAX 1000000u

/* ---- reading ---- */

typedef struct picture { /* one line of the statistics; q on the linear scale */
    bool intra;
    double q, texture, motion, other;
} picture;

typedef void (*picture_fn)(void *user, const picture *p);

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
    p->intra = type[6] == 'I' || type[6] == 'i';
    p->q = QP_SCALE * pow(2, (qp - QP_ZERO) / 6);
    return true;
}

static bool read_options(const char *line, uint32_t *width, uint32_t *height)
{
    return sscanf(line, "#options: %5ux%5u", width, height) == 2 && *width && *height;
}

typedef struct head { /* what is no picture's */
    uint32_t width, height;
    size_t pictures;
} head;

/* Visits the pictures in coded order. */
static vp_status walk(const char *text, size_t size, picture_fn visit, void *user, head *out, vp_error *err)
{
    char *line = vpi_alloc(LINE_BYTES_MAX);
    size_t number = 0;
    bool good = true;

    *out = (head){ 0 };
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
        good = number == 1 ? read_options(line, &out->width, &out->height) : read_picture(line, &p);
        if (good && number > 1) visit(user, &p);
        text += length + 1;
        size -= length + 1;
    }
    vpi_free(line);
    if (!good)
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "statistics: line %zu is not one of x264's", number);
    if (number < 2) return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "statistics of no picture");
    out->pictures = number - 1;
    return VP_OK;
}

typedef struct costs { /* exact until all lines are read */
    double texture, motion, motion_intra, other;
} costs;

static void add_costs(void *user, const picture *p)
{
    costs *c = user;
    double motion = p->motion * sqrt(VPI_MAX(p->q, 1.0));

    c->texture += (p->texture + 0.1) * pow(p->intra ? p->q * INTRA_FACTOR : p->q, TEXTURE_POWER);
    *(p->intra ? &c->motion_intra : &c->motion) += motion;
    c->other += p->other;
}

vp_status vpi_span_cost_parse(const char *text, size_t size, vpi_span_cost *out, vp_error *err)
{
    costs c = { 0, 0, 0, 0 };
    head h;

    *out = (vpi_span_cost){ 0 };
    VPI_TRY(walk(text, size, add_costs, &c, &h, err));
    out->width = h.width;
    out->height = h.height;
    out->pictures = h.pictures;
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

static double area_factor(const vpi_solve_rung *rung, uint32_t width, uint32_t height)
{
    return pow((double)rung->width * rung->height / ((double)width * height), AREA_POWER);
}

static double span_bits(const vpi_solve_rung *rung, const vpi_solve_span *span, double q)
{
    const vpi_span_cost *c = &span->cost;
    double bits = (double)c->texture / pow(q, TEXTURE_POWER) + (double)c->motion / sqrt(VPI_MAX(q, 1.0)) +
                  (double)c->motion_intra / sqrt(VPI_MAX(q / INTRA_FACTOR, 1.0)) + (double)c->other;

    return VPI_MIN(bits * area_factor(rung, c->width, c->height), most_bits(rung, span));
}

static double all_bits(const vpi_solve_rung *rung, const vpi_solve_span *spans, size_t count, double q)
{
    double bits = 0;

    for (size_t i = 0; i < count; i++) bits += span_bits(rung, &spans[i], q);
    return bits;
}

double vpi_solve(const vpi_solve_rung *rung, vpi_solve_span *spans, size_t count)
{
    double low = QUALITY_CAP, high = COARSEST, wanted = 0, total;

    for (size_t i = 0; i < count; i++) wanted += rung->kbps * (double)spans[i].duration_us / 1000;
    for (unsigned n = 0; n < STEPS; n++) { /* halving, on a logarithmic scale */
        double middle = sqrt(low * high);

        *(all_bits(rung, spans, count, middle) > wanted ? &low : &high) = middle;
    }
    total = all_bits(rung, spans, count, high);
    wanted = VPI_MIN(wanted, all_bits(rung, spans, count, QUALITY_CAP)); /* easier than its rate */
    for (size_t i = 0; i < count; i++) {
        /* At the ends of the search the model has no say: what is left is scaled. */
        double bits = total > 0 ? span_bits(rung, &spans[i], high) * wanted / total : 0;
        double kbps = spans[i].duration_us ? bits * 1000 / (double)spans[i].duration_us : 0;

        kbps = VPI_MIN(kbps, rung->maxrate_kbps ? MAXRATE_SHARE * rung->maxrate_kbps : kbps);
        spans[i].kbps = (uint32_t)VPI_CLAMP(kbps + 0.5, 1.0, (double)INT32_MAX);
    }
    return high;
}

/* ---- the buffer ---- */

typedef struct bucket {
    double q;
    double bits;        /* of all pictures, by the model; then what makes them the bits that the span has */
    double size, level; /* of the buffer, bits */
    double fill;        /* between two pictures */
    bool dry;
} bucket;

static double picture_bits(const picture *p, double q)
{
    double at = p->intra ? q / INTRA_FACTOR : q;

    return (p->texture + 0.1) * pow(p->q / at, TEXTURE_POWER) +
           p->motion * sqrt(VPI_MAX(p->q, 1.0) / VPI_MAX(at, 1.0)) + p->other;
}

static void sum_bits(void *user, const picture *p)
{
    bucket *b = user;

    b->bits += picture_bits(p, b->q);
}

static void drain(void *user, const picture *p)
{
    bucket *b = user;

    b->level -= picture_bits(p, b->q) * b->bits * BUFFER_MARGIN;
    b->dry = b->dry || b->level < 0;
    b->level = VPI_MIN(b->level + b->fill, b->size);
}

vp_status vpi_solve_buffer(const char *text, size_t size, const vpi_solve_rung *rung, double q,
                           const vpi_solve_span *span, bool *tight, vp_error *err)
{
    bucket b = { .q = q };
    double seconds = (double)span->duration_us / 1000000;
    head h;

    *tight = false;
    if (!rung->maxrate_kbps) return VP_OK;
    VPI_TRY(walk(text, size, sum_bits, &b, &h, err));
    b.bits = b.bits > 0 ? span->kbps * 1000.0 * seconds / b.bits : 0;
    b.size = rung->bufsize_kbit * 1000.0;
    b.level = b.size * BUFFER_START;
    b.fill = rung->maxrate_kbps * 1000.0 * seconds / (double)h.pictures;
    VPI_TRY(walk(text, size, drain, &b, &h, err));
    *tight = b.dry;
    return VP_OK;
}
