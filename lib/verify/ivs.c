/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counter mode gives the same key stream for the same key and IV, and who has two samples under one stream has both.
 * An IV of 8 bytes counts blocks of its own sample behind it (ISO/IEC 23001-7 9.2), so it is enough that no two
 * samples of the title share key and IV. Writers count IVs up in steps, of one, or of as many as there are tracks: the
 * step is that of the first two that are seen. What is kept is one range for each run of IVs a step apart, which for a
 * title of hours is as many as it has segments; ranges meet only where they leave the same rest. Random IVs would be a
 * range for every sample; beyond a million nothing more is kept, and a warning says so.
 */
#include <stdlib.h>

#include "verify/verify_int.h"

static int compare_ivs(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static int compare_ranges(const void *a, const void *b)
{
    const vpi_iv_range *x = a, *y = b;
    int order = memcmp(x->kid, y->kid, sizeof(x->kid));

    if (order) return order;
    if (x->rest != y->rest) return x->rest < y->rest ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

static vp_status add_range(vpi_verifier *v, const vpi_iv_range *r, vp_error *err)
{
    vpi_iv_range *last = v->iv_count ? &v->ivs[v->iv_count - 1] : NULL;

    if (last && last->track == r->track && memcmp(last->kid, r->kid, sizeof(r->kid)) == 0 &&
        last->last < r->first && r->first - last->last == v->iv_step) {
        last->last = r->last;
        return VP_OK;
    }
    if (v->iv_count >= VPI_VERIFY_MAX_IVS) {
        v->ivs_full = true;
        return VP_OK;
    }
    if (!VPI_GROW(v->ivs, v->iv_count, v->iv_cap)) return vpi_fail_nomem(err);
    v->ivs[v->iv_count++] = *r;
    return VP_OK;
}

vp_status vpi_ivs_add(vpi_verifier *v, const vpi_media_state *s, uint64_t *ivs, size_t count, vp_error *err)
{
    vpi_iv_range r = { .track = (uint32_t)(s->t - v->p->tracks), .segment = (uint32_t)s->number };
    size_t end;

    memcpy(r.kid, s->key->kid, sizeof(r.kid));
    qsort(ivs, count, sizeof(*ivs), compare_ivs);
    if (v->iv_step == 0 && count > 1) v->iv_step = ivs[1] - ivs[0];
    for (size_t i = 0; i < count; i = end) {
        for (end = i + 1; end < count && v->iv_step && ivs[end] - ivs[end - 1] == v->iv_step; end++) continue;
        r.first = ivs[i];
        r.last = ivs[end - 1];
        VPI_TRY(add_range(v, &r, err));
    }
    return VP_OK;
}

void vpi_verify_ivs(vpi_verifier *v)
{
    const vpi_iv_range *widest = NULL;

    if (v->ivs_full) {
        vpi_warn(v, "E08", NULL, "more than %zu runs of IVs: those behind them were not compared",
                 VPI_VERIFY_MAX_IVS);
    }
    if (v->iv_count == 0) return;
    for (size_t i = 0; i < v->iv_count; i++) v->ivs[i].rest = v->iv_step ? v->ivs[i].first % v->iv_step : 0;
    qsort(v->ivs, v->iv_count, sizeof(*v->ivs), compare_ranges);
    for (size_t i = 0; i < v->iv_count; i++) {
        const vpi_iv_range *r = &v->ivs[i];
        bool apart = !widest || memcmp(widest->kid, r->kid, sizeof(r->kid)) != 0 || widest->rest != r->rest ||
                     widest->last < r->first;

        vpi_check(v, apart, "E08", v->p->tracks[r->track].segments[r->segment].key,
                  "samples have IVs of samples of %s",
                  v->p->tracks[apart ? r->track : widest->track]
                      .segments[apart ? r->segment : widest->segment]
                      .key);
        if (!widest || apart || r->last > widest->last) widest = r;
    }
}
