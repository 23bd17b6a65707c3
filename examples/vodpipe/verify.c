/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli.h"

static void print_report(const vp_report *report)
{
    const char *where, *text;
    for (uint32_t i = 0; i < vp_report_failed(report); i++) {
        const char *rule = vp_report_failure(report, i, &where, &text);
        print_line("%s %s %s", rule, where, text);
    }
    for (uint32_t i = 0; i < vp_report_warnings(report); i++) {
        const char *rule = vp_report_warning(report, i, &where, &text);
        print_line("warning %s %s %s", rule, where, text);
    }
    print_line("%llu checks, %u failed", (unsigned long long)vp_report_checks(report),
               vp_report_failed(report));
}

int cmd_verify(const cli_options *o)
{
    vp_error err = VP_ERROR_INIT;
    vp_verify_options v = VP_VERIFY_OPTIONS_INIT;
    vp_context *context = NULL;
    remote far;
    vp_sink *sink = NULL;
    vp_source *source = NULL;
    vp_report *report = NULL;
    vp_bytes *json = NULL;
    int status = EXIT_DONE;
    if (o->source && !o->decode) return usage_error(o, "--source: needs --decode");
    v.decode = o->decode;
    vp_status st = context_open(o, &context, &err);
    remote_init(&far, o, context);
    /* With gzip both are read, what is compressed and what is not. */
    if (st >= 0) st = remote_sink(&far, o->args[0], NULL, true, &sink, &err);
    if (st >= 0 && o->source) st = remote_source(&far, o->source, &source, &err);
    v.source = source;
    if (st >= 0) st = vp_verify(context, sink, &v, cli_cancel, &report, &err);
    if (report && !o->json) print_report(report);
    if (report && o->json) {
        vp_error why = VP_ERROR_INIT;
        vp_status dumped = vp_report_json(report, &json, &why);
        if (dumped >= 0) {
            print_bytes(json);
        } else if (st >= 0) {
            st = dumped;
            err = why;
        }
    }
    if (st < 0) status = fail(o, st, &err);
    vp_bytes_unref(json);
    vp_report_unref(report);
    vp_source_unref(source);
    vp_sink_unref(sink);
    remote_close(&far);
    vp_context_unref(context);
    return status;
}
