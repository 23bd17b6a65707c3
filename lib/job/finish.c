/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job_int.h"

/* Publishing a plan whose tasks were run by others. */

typedef struct finishing {
    vpi_settings settings;
    vpi_emitter emitter;
    vp_cancel *stop;
} finishing;

static void on_object(void *user, const vp_object_info *info)
{
    finishing *f = user;
    vpi_emit_object(&f->emitter, info);
}

static vp_status finish_leased(vp_context *context, const vp_plan *plan, const vp_job_options *o,
                               finishing *f, vp_presentation **out, vp_bytes **missing, vp_error *err)
{
    vpi_output to = { .context = context,
                      .sink = o->sink,
                      .cancel = f->stop,
                      .emitter = &f->emitter,
                      .object = on_object,
                      .object_user = f,
                      .prefix = vp_plan_prefix(plan),
                      .request = vp_plan_request(plan),
                      .player = f->settings.player,
                      .prune = f->settings.prune,
                      .force = f->settings.force,
                      .player_script = o->player_script };
    vp_presentation *p = NULL;
    vp_status st = vpi_output_published(&to, &p, err);
    if (st < 0) return st;
    if (st == VP_OK) {
        *out = p;
        vpi_work_sweep(o->work, NULL);
        return VP_END;
    }
    VPI_TRY(vpi_plan_collect(plan, o->work, &p, missing, err));
    st = vpi_output_check(&to, err);
    if (st >= 0) st = vpi_output_mark(&to, err);
    if (st >= 0) st = vpi_plan_compose(plan, o->work, o->sink, p, on_object, f, f->stop, err);
    if (st >= 0) st = vpi_output_publish(&to, p, err);
    if (st < 0) {
        vp_presentation_unref(p);
        return st;
    }
    vpi_work_sweep(o->work, NULL);
    *out = p;
    return VP_OK;
}

vp_status vp_plan_claim(vp_context *context, const vp_plan *plan, vp_sink *sink, uint32_t force,
                        vp_error *err)
{
    vp_presentation *p = NULL;
    vpi_error_reset(err);
    if (!context || !plan || !sink) return vpi_fail(err, VP_E_ARG, NULL, "context, plan and sink are needed");
    VPI_TRY(vpi_context_check(context, err));
    vpi_output o = { .context = context,
                     .sink = sink,
                     .prefix = vp_plan_prefix(plan),
                     .request = vp_plan_request(plan),
                     .force = force != 0 };
    vp_status st = vpi_output_published(&o, &p, err);
    vp_presentation_unref(p);
    if (st != VP_END) return st < 0 ? st : VP_END;
    VPI_TRY(vpi_output_check(&o, err));
    VPI_TRY(vpi_output_mark(&o, err));
    return vpi_output_flush(&o, err);
}

vp_status vp_plan_finish(vp_context *context, const vp_plan *plan, const vp_job_options *options,
                         vp_presentation **out, vp_bytes **missing, vp_error *err)
{
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    finishing f = { 0 };
    vp_lease *lease = NULL;
    vp_presentation *p = NULL;
    vpi_error_reset(err);
    if (out) *out = NULL;
    if (missing) *missing = NULL;
    if (!context || !plan || !options)
        return vpi_fail(err, VP_E_ARG, NULL, "context, plan and options are needed");
    VPI_TRY(vpi_context_check(context, err));
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    if (!o.sink || !o.work) return vpi_fail(err, VP_E_ARG, NULL, "sink and work are needed");
    vpi_emitter_init(&f.emitter, o.queue, o.on_event, o.event_user, o.tag);
    vp_status st = vpi_settings_load(&f.settings, &o, err);
    if (st >= 0) st = vp_cancel_child(o.cancel, &f.stop, err);
    f.emitter.stop = f.stop;
    if (st >= 0) st = vp_store_lease(o.work, VPI_WORK_LEASE, &lease, NULL, err);
    if (st == VP_AGAIN)
        st = vpi_fail(err, VP_E_CONFLICT, "ALREADY_RUNNING", "another process works on this title");
    if (st >= 0) st = finish_leased(context, plan, &o, &f, &p, missing, err);
    vp_lease_release(lease);
    vpi_settings_dispose(&f.settings);
    vpi_emitter_dispose(&f.emitter);
    vp_cancel_unref(f.stop);
    vpi_error_op(err, "finish");
    if (st < 0 || !out)
        vp_presentation_unref(p);
    else
        *out = p;
    return st;
}
