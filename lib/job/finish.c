/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "io/io.h"
#include "job_int.h"

/* The end of every publish; and a whole one of a plan whose tasks were run by others. */

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

static void warn_damage(const vpi_output *o, uint64_t concealed)
{
    char text[96];
    if (!concealed) return;
    snprintf(text, sizeof(text), "%llu damaged pictures or frames were concealed",
             (unsigned long long)concealed);
    vpi_emit_warning(o->emitter, "FRAMES_CONCEALED", VP_TIME_UNKNOWN, text);
}

static vp_status compose_and_publish(const vp_plan *plan, vp_store *work, const vpi_output *o,
                                     vp_presentation *p, vp_error *err)
{
    VPI_TRY(vpi_plan_compose(plan, work, o->sink, p, o->object, o->object_user, o->cancel, err));
    vp_status st = vpi_output_publish(o, p, err);
    /* The gate found objects that are not what the records say: nobody knows which tasks are to blame. */
    if (st == VP_E_DATA) vpi_plan_forget(plan, work, NULL);
    return st;
}

vp_status vpi_finish(const vp_plan *plan, vp_store *work, const vpi_output *o, vp_presentation **out,
                     vp_bytes **missing, vp_error *err)
{
    vp_presentation *p = NULL;
    uint64_t concealed = 0;
    VPI_TRY(vpi_plan_collect(o->context, plan, work, o->sink, &p, &concealed, missing, err));
    warn_damage(o, concealed);
    vp_status st = compose_and_publish(plan, work, o, p, err);
    if (st < 0) {
        vp_presentation_unref(p);
        return st;
    }
    if (!o->lease || vp_lease_renew(o->lease, NULL) == VP_OK) vpi_work_sweep(work, NULL);
    *out = p;
    return VP_OK;
}

static vp_status finish_leased(vp_context *context, const vp_plan *plan, const vp_job_options *o,
                               finishing *f, vp_lease *lease, vp_presentation **out, vp_bytes **missing,
                               vp_error *err)
{
    vpi_output to = { .context = context,
                      .sink = o->sink,
                      .cancel = f->stop,
                      .lease = lease,
                      .emitter = &f->emitter,
                      .object = on_object,
                      .object_user = f,
                      .prefix = vp_plan_prefix(plan),
                      .request = vp_plan_request(plan),
                      .player = f->settings.player,
                      .prune = f->settings.prune,
                      .force = f->settings.force,
                      .player_script = o->player_script };
    vpi_store_tidy(o->work, "");
    vp_status st = vpi_output_claim(&to, out, err);
    if (st == VP_END) vpi_work_sweep(o->work, NULL);
    return st == VP_OK ? vpi_finish(plan, o->work, &to, out, missing, err) : st;
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
    vp_status st = vpi_output_claim(&o, &p, err);
    vp_presentation_unref(p);
    return st;
}

/* Nothing is encrypted here; a host that gives keys is told when they are not those that tasks used. */
static vp_status check_keys(const vp_plan *plan, const vpi_settings *s, vp_error *err)
{
    vpi_keyring *ring = NULL;
    VPI_TRY(vpi_plan_keyring(plan, s->keys, s->title, &ring, err));
    if (ring) vpi_keys_ops_of(s->keys)->free_ring(ring);
    return VP_OK;
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
    vp_cancel *before = vpi_cancel_enter(f.stop);
    if (st >= 0 && f.settings.keys) st = check_keys(plan, &f.settings, err);
    if (st >= 0) st = vp_store_lease(o.work, VPI_WORK_LEASE, &lease, NULL, err);
    if (st == VP_AGAIN)
        st = vpi_fail(err, VP_E_CONFLICT, "ALREADY_RUNNING", "another process works on this title");
    if (st >= 0) st = finish_leased(context, plan, &o, &f, lease, &p, missing, err);
    vp_lease_release(lease);
    vp_cancel_scope(before);
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
