/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tus.h in a library without OpenSSL: there is no store, so there are no requests either. */

#include <vodpipe/tus.h>

#include "base/error.h"

static vp_status missing(vp_error *err)
{
    vpi_error_reset(err);
    return vpi_fail(err, VP_E_UNSUPPORTED, "FEATURE_DISABLED",
                    "this library was built without encryption support (OpenSSL)");
}

vp_status vp_tus_new(vp_ingest *ingest, const vp_tus_options *options, vp_tus **out, vp_error *err)
{
    (void)ingest, (void)options;
    if (out) *out = NULL;
    return missing(err);
}

vp_tus *vp_tus_ref(vp_tus *tus)
{
    return tus;
}

vp_tus *vp_tus_unref(vp_tus *tus)
{
    (void)tus;
    return NULL;
}

vp_status vp_tus_begin(vp_tus *tus, const char *method, const char *target, const char *headers, uint64_t tag,
                       vp_tus_request **out, vp_error *err)
{
    (void)tus, (void)method, (void)target, (void)headers, (void)tag;
    if (out) *out = NULL;
    return missing(err);
}

vp_status vp_tus_begin_draft(vp_tus *tus, const char *method, const char *target, const char *headers,
                             uint64_t tag, vp_tus_request **out, vp_error *err)
{
    (void)tus, (void)method, (void)target, (void)headers, (void)tag;
    if (out) *out = NULL;
    return missing(err);
}

vp_tus_request *vp_tus_close(vp_tus_request *request)
{
    (void)request;
    return NULL;
}

int32_t vp_tus_state(const vp_tus_request *request)
{
    (void)request;
    return 0;
}

vp_status vp_tus_get_info(const vp_tus_request *request, vp_tus_info *info, vp_error *err)
{
    (void)request, (void)info;
    return missing(err);
}

vp_status vp_tus_metadata(const vp_tus_request *request, uint32_t index, const char **name,
                          const void **value, uint64_t *size, vp_error *err)
{
    (void)request, (void)index, (void)name, (void)value, (void)size;
    return missing(err);
}

const char *vp_tus_request_header(const vp_tus_request *request, const char *name)
{
    (void)request, (void)name;
    return NULL;
}

vp_status vp_tus_accept(vp_tus_request *request, const vp_tus_accept_options *options, vp_error *err)
{
    (void)request, (void)options;
    return missing(err);
}

vp_status vp_tus_reject(vp_tus_request *request, int32_t status, const char *headers, const void *body,
                        uint64_t size, vp_error *err)
{
    (void)request, (void)status, (void)headers, (void)body, (void)size;
    return missing(err);
}

vp_status vp_tus_body(vp_tus_request *request, const void *data, uint64_t size, vp_error *err)
{
    (void)request, (void)data, (void)size;
    return missing(err);
}

vp_status vp_tus_end(vp_tus_request *request, const char *trailers, vp_error *err)
{
    (void)request, (void)trailers;
    return missing(err);
}

vp_status vp_tus_step(vp_tus_request *request, vp_error *err)
{
    (void)request;
    return missing(err);
}

int64_t vp_tus_due(vp_tus_request *request)
{
    (void)request;
    return -1;
}

int32_t vp_tus_interim(vp_tus_request *request, const char **headers)
{
    (void)request;
    if (headers) *headers = NULL;
    return 0;
}

int32_t vp_tus_status(const vp_tus_request *request)
{
    (void)request;
    return 0;
}

vp_status vp_tus_answer_header(const vp_tus_request *request, uint32_t index, const char **name,
                               const char **value, vp_error *err)
{
    (void)request, (void)index, (void)name, (void)value;
    return missing(err);
}

vp_status vp_tus_answer_body(const vp_tus_request *request, const void **data, uint64_t *size, vp_error *err)
{
    (void)request, (void)data, (void)size;
    return missing(err);
}

vp_status vp_tus_answer_source(vp_tus_request *request, vp_source **out, uint64_t *offset, uint64_t *size,
                               vp_error *err)
{
    (void)request, (void)offset, (void)size;
    if (out) *out = NULL;
    return missing(err);
}
