/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <vodpipe/http.h>

#include "base/common.h"

void vp_http_options_init(vp_http_options *options, size_t size)
{
    static const vp_http_options init = VP_HTTP_OPTIONS_INIT;

    vpi_struct_init(options, size, &init, sizeof(init));
}
