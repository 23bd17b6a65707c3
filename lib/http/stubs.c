/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This folder where libcurl is not there: no client can be made, so nothing else is reached. */

#include "http.h"

static vp_status refuse(vp_error *err)
{
    return vpi_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED",
                    "this library was built without HTTP (libcurl)");
}

vp_status vpi_http_new(vp_context *context, const vp_http_options *options, vpi_http **out, vp_error *err)
{
    (void)context, (void)options;
    *out = NULL;
    return refuse(err);
}

vpi_http *vpi_http_free(vpi_http *http)
{
    (void)http;
    return NULL;
}

vp_status vpi_http_request_run(vpi_http *http, const vpi_http_request *request, vp_cancel *cancel,
                               vpi_http_answer *out, vp_error *err)
{
    (void)http, (void)request, (void)cancel, (void)out;
    return refuse(err);
}

vp_status vp_source_http(vp_context *context, const char *url, const vp_http_options *options,
                         vp_source **out, vp_error *err)
{
    vp_error_init(err);
    if (!out || !url) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    (void)context, (void)options;
    *out = NULL;
    return refuse(err);
}
