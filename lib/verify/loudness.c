/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Integrated loudness by ITU-R BS.1770-4: K-weighting, blocks of 400 ms every 100 ms, two gates. Blocks are kept as a
 * histogram of tenths of a unit with the sum of their energies, so that memory does not depend on the length.
 */
#include <math.h>

#include "verify/sound_int.h"

#define GATE_LOW (-70.0)
#define GATE_RELATIVE (-10.0)
#define BINS 1000u /* from -70 to +30 */
#define BIN 0.1
#define PARTS 4u /* of 100 ms in a block */
#define PI 3.14159265358979323846

typedef struct biquad {
    double b0, b1, b2, a1, a2;
} biquad;

typedef struct memory {
    double x1, x2;
} memory;

struct vpi_loudness {
    uint32_t rate;
    biquad shelf, high_pass;
    memory state[VPI_SOUND_CHANNELS_MAX][2];
    double part; /* weighted energy of the 100 ms that are being filled */
    uint32_t filled, part_size;
    double parts[PARTS];
    uint64_t parts_done;
    uint64_t counts[BINS];
    double sums[BINS];
};

vpi_loudness *vpi_loudness_new(void)
{
    return vpi_calloc(1, sizeof(vpi_loudness));
}

void vpi_loudness_free(vpi_loudness *l)
{
    vpi_free(l);
}

/* The two filters of annex 1 at any rate: the analogue prototypes that give the table's values at 48 kHz. */
static void design(vpi_loudness *l, uint32_t rate)
{
    double k = tan(PI * 1681.974450955533 / rate), q = 0.7071752369554196;
    double vh = pow(10, 3.999843853973347 / 20), vb = pow(vh, 0.4996667741545416), a0 = 1 + k / q + k * k;

    l->shelf = (biquad){ (vh + vb * k / q + k * k) / a0, 2 * (k * k - vh) / a0,
                         (vh - vb * k / q + k * k) / a0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0 };
    k = tan(PI * 38.13547087602444 / rate);
    q = 0.5003270373238773;
    a0 = 1 + k / q + k * k;
    l->high_pass = (biquad){ 1, -2, 1, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0 };
    memset(l->state, 0, sizeof(l->state));
    l->rate = rate;
    l->part_size = rate / 10;
    l->part = 0;
    l->filled = 0;
    l->parts_done = 0;
}

/* Direct form II transposed would need the same two numbers. */
static double run(const biquad *f, memory *m, double in)
{
    double x = in - f->a1 * m->x1 - f->a2 * m->x2, out = f->b0 * x + f->b1 * m->x1 + f->b2 * m->x2;

    m->x2 = m->x1;
    m->x1 = x;
    return out;
}

static double units(double energy)
{
    return energy > 0 ? -0.691 + 10 * log10(energy) : -200;
}

static void end_part(vpi_loudness *l)
{
    double energy = 0, loud;
    size_t bin;

    l->parts[l->parts_done++ % PARTS] = l->part / l->part_size;
    l->part = 0;
    l->filled = 0;
    if (l->parts_done < PARTS) return;
    for (size_t i = 0; i < PARTS; i++) energy += l->parts[i] / PARTS;
    loud = units(energy);
    if (loud <= GATE_LOW) return;
    bin = (size_t)((loud - GATE_LOW) / BIN);
    bin = VPI_MIN(bin, BINS - 1u);
    l->counts[bin]++;
    l->sums[bin] += energy;
}

void vpi_loudness_add(vpi_loudness *l, const vpi_heard *h)
{
    uint32_t used = VPI_MIN(h->channels, VPI_SOUND_CHANNELS_MAX);

    if (h->sample_rate < 1000) return;
    if (h->sample_rate != l->rate) design(l, h->sample_rate);
    for (uint32_t n = 0; n < h->samples; n++) {
        for (uint32_t c = 0; c < used; c++) {
            double x = run(&l->high_pass, &l->state[c][1], run(&l->shelf, &l->state[c][0], h->planes[c][n]));

            l->part += h->weights[c] * x * x;
        }
        if (++l->filled >= l->part_size) end_part(l);
    }
}

static double mean_from(const vpi_loudness *l, size_t bin)
{
    uint64_t count = 0;
    double sum = 0;

    for (; bin < BINS; bin++) {
        count += l->counts[bin];
        sum += l->sums[bin];
    }
    return count ? sum / (double)count : 0;
}

double vpi_loudness_integrated(const vpi_loudness *l)
{
    double gate = units(mean_from(l, 0)) + GATE_RELATIVE;
    double bin = gate > GATE_LOW ? (gate - GATE_LOW) / BIN : 0;

    return VPI_MAX(units(mean_from(l, VPI_MIN((size_t)bin, (size_t)BINS))), GATE_LOW);
}
