/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "transcode/model_int.h"
#include "transcode/solve_int.h"

#include <stdio.h>
#include <string.h>

/* What x264 writes of a first pass, a line a picture: read into costs, scaled for a second, put through a buffer. */

#define BUFFER_START 0.9      /* of the buffer is full when a span begins, as x264 has it */
#define BUFFER_MARGIN 1.3     /* what a picture may cost beyond the model */
#define LINE_BYTES_MAX 65536u /* x264 lists weights and references of each picture */
#define BITS_MAX 1e9
#define PICTURES_MAX 1000000u

/* ---- reading ---- */

typedef struct picture { /* one line of the statistics; q on the linear scale */
    const char *line;    /* ended by NUL */
    bool idr, intra, kept;
    double qp, aq; /* without and with what tree and adaptation do */
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

    if (!type || !type[6] || !strchr("IiPBb", type[6])) return false;
    if (!field(line, "q", 100, &p->qp) || !field(line, "aq", 100, &p->aq) ||
        !field(line, "tex", BITS_MAX, &p->texture) || !field(line, "mv", BITS_MAX, &p->motion) ||
        !field(line, "misc", BITS_MAX, &p->other))
        return false;
    p->idr = type[6] == 'I';
    p->intra = p->idr || type[6] == 'i';
    p->kept = type[6] != 'b';
    p->q = vpi_qp_to_q(p->qp);
    p->line = line;
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

typedef struct part { /* exact until the GOP's last line is read */
    double texture, motion, other, bits, aq, qp;
} part;

typedef struct sums { /* of a GOP */
    vpi_costs *costs;
    part intra, inter;
    bool failed;
} sums;

static void end_part(const part *from, vpi_cost_part *to)
{
    to->texture = (uint64_t)(from->texture + 0.5);
    to->motion = (uint64_t)(from->motion + 0.5);
    to->other = (uint64_t)(from->other + 0.5);
    to->bits = (uint64_t)(from->bits + 0.5);
    if (from->bits > 0) to->qp_milli = (uint32_t)(from->aq / from->bits * 1000 + 0.5);
}

static void end_gop(sums *s)
{
    vpi_cost *c = s->costs->count ? &s->costs->gops[s->costs->count - 1] : NULL;
    double intra = 6 * log2(VPI_INTRA_FACTOR);

    if (!c) return;
    end_part(&s->intra, &c->intra);
    end_part(&s->inter, &c->inter);
    if (s->inter.bits > 0)
        c->qp_milli = (uint32_t)(s->inter.qp / s->inter.bits * 1000 + 0.5);
    else if (s->intra.bits > 0)
        c->qp_milli = (uint32_t)((s->intra.qp / s->intra.bits + intra) * 1000 + 0.5);
    s->intra = s->inter = (part){ 0 };
}

static bool add_picture(void *user, const picture *p)
{
    sums *s = user;
    vpi_costs *c = s->costs;
    part *to = p->intra ? &s->intra : &s->inter;
    double bits = p->texture + p->motion + p->other;

    if (!p->idr && !c->count) return false;
    if (p->idr) {
        end_gop(s);
        s->failed = !VPI_GROW(c->gops, c->count, c->cap);
        if (s->failed) return false;
        c->gops[c->count++] = (vpi_cost){ 0 };
    }
    c->gops[c->count - 1].pictures++;
    c->kept += p->kept;
    to->texture += (p->texture + 0.1) * pow(p->intra ? p->q * VPI_INTRA_FACTOR : p->q, VPI_TEXTURE_POWER);
    to->motion += p->motion * sqrt(VPI_MAX(p->q, 1.0));
    to->other += p->other;
    to->bits += bits;
    to->aq += p->aq * bits;
    to->qp += p->qp * bits;
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
    if (!s.failed) return st;
    vpi_error_reset(err); /* walk takes it for a line that cannot be */
    return vpi_fail_nomem(err);
}

void vpi_costs_dispose(vpi_costs *costs)
{
    vpi_free(costs->gops);
    *costs = (vpi_costs){ 0 };
}

/* ---- writing ---- */

typedef struct writer {
    const vpi_solve_gop *gops;
    size_t count, next; /* the GOP that begins with the next IDR */
    vpi_buf *out;
} writer;

static uint64_t scaled(double bits, double scale)
{
    return (uint64_t)VPI_CLAMP(bits * scale + 0.5, 0.0, BITS_MAX);
}

/* The line with other numbers in place of these three, which lie beside each other. */
static bool write_picture(void *user, const picture *p)
{
    writer *w = user;
    const char *from = strstr(p->line, " tex:"), *to = strstr(p->line, " misc:");
    const vpi_solve_gop *g;
    double scale;

    if (p->idr && w->next++ >= w->count) return false;
    if (!w->next || !from || !to || to < from) return false;
    g = &w->gops[w->next - 1];
    scale = p->intra ? g->intra_scale : g->inter_scale;
    for (to++; *to && *to != ' '; to++) {}
    vpi_buf_add(w->out, p->line, (size_t)(from - p->line));
    vpi_buf_printf(w->out, " tex:%llu mv:%llu misc:%llu", (unsigned long long)scaled(p->texture, scale),
                   (unsigned long long)scaled(p->motion, scale), (unsigned long long)scaled(p->other, scale));
    vpi_buf_str(w->out, to);
    vpi_buf_u8(w->out, '\n');
    return true;
}

vp_status vpi_solve_statistics(const char *text, size_t size, const vpi_solve_gop *gops, size_t count,
                               vpi_buf *out, vp_error *err)
{
    writer w = { .gops = gops, .count = count, .out = out };
    const char *end = size ? memchr(text, '\n', size) : NULL;
    uint32_t width, height;

    if (end) vpi_buf_add(out, text, (size_t)(end - text) + 1);
    VPI_TRY(walk(text, size, write_picture, &w, &width, &height, err));
    if (w.next != count)
        return vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "statistics of %zu GOPs, not %zu", w.next, count);
    return vpi_buf_failed(out) ? vpi_fail_nomem(err) : VP_OK;
}

/* ---- the buffer ---- */

typedef struct bucket {
    const vpi_solve_rung *rung;
    const vpi_solve_gop *gops;
    size_t count, next; /* the GOP that begins with the next IDR */
    double level;       /* bits that the buffer holds */
    double q, scale[2]; /* of this GOP: quantiser, model to bits of I pictures and others */
    double fill, area;  /* what comes in for each picture; from the first pass's size to the rung's */
    bool dry;
} bucket;

static double picture_bits(const picture *p, double q)
{
    double at = p->intra ? q / VPI_INTRA_FACTOR : q;

    return (p->texture + 0.1) * pow(p->q / at, VPI_TEXTURE_POWER) +
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
        b->scale[0] = g->inter_scale * b->area * BUFFER_MARGIN;
        b->scale[1] = g->intra_scale * b->area * BUFFER_MARGIN;
        b->fill = b->rung->maxrate_kbps * (double)g->duration_us / 1000 / (double)g->cost.pictures;
    }
    b->level -= picture_bits(p, b->q) * b->scale[p->intra];
    b->dry = b->dry || b->level < 0;
    b->level = VPI_MIN(b->level + b->fill, size);
    return true;
}

vp_status vpi_solve_buffer(const char *text, size_t size, const vpi_solve_rung *rung,
                           const vpi_solve_gop *gops, size_t count, bool *tight, vp_error *err)
{
    bucket b = { .rung = rung,
                 .gops = gops,
                 .count = count,
                 .level = rung->bufsize_kbit * 1000.0 * BUFFER_START,
                 .area = vpi_area_factor(rung, VPI_AREA_POWER) };
    uint32_t width, height;

    *tight = false;
    if (!rung->maxrate_kbps) return VP_OK;
    VPI_TRY(walk(text, size, drain, &b, &width, &height, err));
    *tight = b.dry;
    return VP_OK;
}
