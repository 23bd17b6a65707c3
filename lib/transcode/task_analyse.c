/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "analysis_int.h"
#include "feed_int.h"
#include "io/scratch.h"

/* The first pass of one span: decoded roughly, small, coded on this thread; only the statistics are kept. */

typedef struct analyser {
    vpi_h264enc *enc;
    vpi_gauge *gauge;
    uint64_t fed, coded;
} analyser;

static vp_status take(analyser *a, vpi_frame *frame, uint64_t ticks, bool idr, vp_error *err)
{
    vpi_coded coded;
    vp_status st = vpi_h264enc_encode(a->enc, frame, (int64_t)ticks, idr, &coded, err);
    if (st == VP_OK) a->coded++;
    return st;
}

static vp_status feed(void *user, vpi_frame *frame, uint64_t ticks, bool idr, vp_error *err)
{
    analyser *a = user;
    a->fed++;
    VPI_TRY(vpi_gauge_add(a->gauge, frame, idr, err));
    vp_status st = take(a, frame, ticks, idr, err);
    return st < 0 ? st : VP_OK;
}

static vp_status flush(analyser *a, vp_error *err)
{
    vp_status st = VP_OK;
    while (st == VP_OK) st = take(a, NULL, 0, false, err);
    if (st < 0) return st;
    if (a->coded == a->fed) return VP_OK;
    return vpi_fail(err, VP_E_INTERNAL, NULL, "analysis: %llu pictures in, %llu out",
                    (unsigned long long)a->fed, (unsigned long long)a->coded);
}

/* x264 does not tell why it could not write: where nobody can, that is it. */
static vp_status why(const vpi_scratch *scratch, vp_status st, vp_error *err)
{
    vp_error own = VP_ERROR_INIT;
    vp_status full;

    if (st != VP_E_INTERNAL && st != VP_E_IO && st != VP_E_DATA) return st;
    full = vpi_scratch_try(scratch, &own);
    if (full >= 0) return st;
    if (err) vpi_error_copy(err, &own);
    return full;
}

vp_status vpi_task_analyse(vpi_task_env *env, vp_error *err)
{
    analyser a = { 0 };
    vpi_h264enc_options enc = env->plan->analysis;
    const vpi_feed_options o = {
        .width = enc.width, .height = enc.height, .rough = true, .picture = feed, .user = &a
    };
    char path[VPI_SCRATCH_PATH];
    vpi_scratch *scratch = NULL;
    vpi_costs costs = { 0 };
    uint64_t pictures = 0;
    json_t *json;
    vp_status st;

    VPI_TRY(vpi_scratch_new(&scratch, err));
    vpi_scratch_file(scratch, "stats", path);
    enc.stats = path;
    VPI_GO(vpi_h264enc_new(env->context, &enc, &a.enc, err));
    VPI_GO(vpi_gauge_new(env->context, &enc, &a.gauge, err));
    VPI_GO(vpi_feed_span(env, &o, err));
    VPI_GO(flush(&a, err));
    a.enc = vpi_h264enc_free(a.enc); /* completes the files */
    VPI_GO(vpi_analysis_store(env, path, &costs, err));
    for (size_t i = 0; i < costs.count; i++) pictures += costs.gops[i].pictures;
    if (pictures != a.fed)
        VPI_GO(vpi_fail(err, VP_E_IO, NULL, "statistics of %llu pictures of %llu",
                        (unsigned long long)pictures, (unsigned long long)a.fed));
    VPI_GO(vpi_gauge_take(a.gauge, &costs, err));
    json = vpi_costs_to_json(&costs);
    if (!json || json_object_set_new(env->record, "cost", json) != 0) st = vpi_fail_nomem(err);
    env->concealed = 0; /* counted where the title's pictures are made */
done:
    if (st < 0) st = why(scratch, st, err);
    vpi_costs_dispose(&costs);
    vpi_h264enc_free(a.enc);
    vpi_gauge_free(a.gauge);
    vpi_scratch_free(scratch);
    return st < 0 ? st : VP_OK;
}
