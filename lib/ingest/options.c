/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Structs of ingest.h and tus.h at their start. */

#include <vodpipe/tus.h>

#include "base/common.h"

#define INIT(type, macro)                                                                                    \
    void type##_init(type *p, size_t size)                                                                   \
    {                                                                                                        \
        static const type init = macro;                                                                      \
        vpi_struct_init(p, size, &init, sizeof(init));                                                       \
    }

INIT(vp_ingest_options, VP_INGEST_OPTIONS_INIT)
INIT(vp_upload_options, VP_UPLOAD_OPTIONS_INIT)
INIT(vp_upload_info, VP_UPLOAD_INFO_INIT)
INIT(vp_ingest_ops, VP_INGEST_OPS_INIT)
INIT(vp_tus_options, VP_TUS_OPTIONS_INIT)
INIT(vp_tus_info, VP_TUS_INFO_INIT)
INIT(vp_tus_accept_options, VP_TUS_ACCEPT_OPTIONS_INIT)
