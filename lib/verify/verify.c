/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/demux.h"
#include "verify/sound_int.h"

#define PRESENTATION_KEY "presentation.json"

void vp_verify_options_init(vp_verify_options *options, size_t size)
{
    static const vp_verify_options init = VP_VERIFY_OPTIONS_INIT;

    vpi_struct_init(options, size, &init, sizeof(init));
}

static vp_status check_arguments(vpi_verifier *v, const vp_verify_options *o, vp_error *err)
{
    uint32_t has = vp_sink_has(v->sink);

    v->can_stat = has & VP_SINK_HAS_STAT;
    v->can_open = has & VP_SINK_HAS_OPEN;
    v->decode = o->decode != 0;
    v->source = o->source;
    if (v->source && !v->decode) return vpi_fail(err, VP_E_ARG, NULL, "source without decode");
    if (v->decode) VPI_TRY(vpi_media_load(err));
    if (o->presentation) {
        v->presentation = o->presentation;
        v->read = v->can_open && (o->read_objects || o->decode);
        if (!v->can_stat && !v->can_open) {
            return vpi_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED",
                            "the sink offers neither stat nor open");
        }
        return VP_OK;
    }
    v->read = true;
    if (!v->can_stat || !v->can_open || !(has & VP_SINK_HAS_LIST)) {
        return vpi_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED",
                        "the sink does not offer open, stat and list");
    }
    return VP_OK;
}

/* VP_END: what is there cannot be checked further, the report says why. */
static vp_status read_presentation(vpi_verifier *v, vp_presentation **own, vp_error *err)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_error cause = VP_ERROR_INIT;
    vp_status st = vp_sink_get(v->sink, PRESENTATION_KEY, VPI_VERIFY_MAX_MANIFEST, &v->json, &cause);

    if (st == VP_END) {
        st = vp_sink_stat(v->sink, "master.m3u8", &info, err);
        if (st < 0) return st;
        if (st == VP_END) {
            st = vpi_fail(err, VP_E_IO, "IO_ERROR",
                          "there is no title: neither presentation.json nor master.m3u8");
            vpi_error_key(err, PRESENTATION_KEY);
            return st;
        }
        vpi_check(v, false, "X04", PRESENTATION_KEY, "does not exist");
        return VP_END;
    }
    if (st < 0) {
        VPI_TRY(vpi_caught(v, st, &cause, "STRUCTURE", PRESENTATION_KEY, err));
        return VP_END;
    }
    st = vp_presentation_parse(vp_bytes_data(v->json), vp_bytes_size(v->json), own, &cause);
    if (st < 0) {
        VPI_TRY(vpi_caught(v, st, &cause, "STRUCTURE", PRESENTATION_KEY, err));
        return VP_END;
    }
    v->presentation = *own;
    return VP_OK;
}

static vp_status run(vpi_verifier *v, bool published, vp_error *err)
{
    v->p = &v->presentation->p;
    v->sane = vpi_calloc(v->p->track_count ? v->p->track_count : 1, sizeof(*v->sane));
    if (!v->sane) return vpi_fail_nomem(err);
    if (v->decode) {
        v->media = vpi_calloc(v->p->track_count ? v->p->track_count : 1, sizeof(*v->media));
        if (!v->media) return vpi_fail_nomem(err);
    }
    if (v->source && v->p->timescale > 0 && v->p->timescale <= UINT32_MAX) {
        int64_t duration = (int64_t)VPI_MIN(v->p->duration, (uint64_t)INT64_MAX);

        vpi_traces_place(vpi_rescale(duration, 1000000, (int64_t)v->p->timescale, VPI_FLOOR),
                         v->looked_at_us);
    }
    VPI_TRY(vpi_verify_presentation(v, err));
    VPI_TRY(vpi_cancel_check(v->cancel, err));
    if (published) VPI_TRY(vpi_verify_manifests(v, err));
    VPI_TRY(vpi_verify_objects(v, err));
    if (v->decode && v->read) VPI_TRY(vpi_verify_sync(v, err));
    return vpi_verify_report_status(v->report, err);
}

/* The first failure goes into the error too: it is often all that a host logs. */
static vp_status verdict(const vpi_verifier *v, vp_error *err)
{
    const char *where, *text, *rule = vp_report_failure(v->report, 0, &where, &text);
    vp_status st;

    if (!rule) return VP_OK;
    st = vpi_fail(err, VP_E_DATA, "VERIFY_FAILED", "%u rules failed, the first: %s: %s",
                  vp_report_failed(v->report), rule, text);
    vpi_error_key(err, where);
    return st;
}

vp_status vp_verify(vp_context *context, vp_sink *sink, const vp_verify_options *options, vp_cancel *cancel,
                    vp_report **out, vp_error *err)
{
    vp_verify_options o = VP_VERIFY_OPTIONS_INIT;
    vpi_verifier v = { .context = context, .sink = sink, .cancel = cancel };
    vp_presentation *own = NULL;
    vp_status st;

    vpi_error_reset(err);
    if (out) *out = NULL;
    if (!context || !sink || !out) return vpi_fail(err, VP_E_ARG, NULL, "context, sink or out is NULL");
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    VPI_TRY(vpi_context_check(context, err));
    VPI_TRY(vpi_cancel_check(cancel, err));
    VPI_TRY(check_arguments(&v, &o, err));
    v.report = vpi_verify_report_new();
    if (!v.report) return vpi_fail_nomem(err);
    st = o.presentation ? VP_OK : read_presentation(&v, &own, err);
    if (st == VP_OK) st = run(&v, !o.presentation, err);
    if (st >= 0) st = vpi_verify_report_status(v.report, err);
    if (st >= 0) {
        st = verdict(&v, err);
        *out = vp_report_ref(v.report);
    } else {
        vpi_error_op(err, "verify");
    }
    for (size_t i = 0; v.media && i < v.p->track_count; i++) vpi_track_media_dispose(&v.media[i]);
    vpi_free(v.media);
    vpi_free(v.sane);
    vpi_free(v.ivs);
    vp_bytes_unref(v.json);
    vp_presentation_unref(own);
    vp_report_unref(v.report);
    return st;
}
