/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Structs of s3.h at their start. */

#include <vodpipe/s3.h>

#include "base/common.h"

#define INIT(type, macro)                                                                                    \
    void type##_init(type *p, size_t size)                                                                   \
    {                                                                                                        \
        static const type init = macro;                                                                      \
        vpi_struct_init(p, size, &init, sizeof(init));                                                       \
    }

INIT(vp_s3_credentials, VP_S3_CREDENTIALS_INIT)
INIT(vp_s3_request, VP_S3_REQUEST_INIT)
INIT(vp_s3_post, VP_S3_POST_INIT)
INIT(vp_cloudfront, VP_CLOUDFRONT_INIT)
INIT(vp_s3_options, VP_S3_OPTIONS_INIT)
INIT(vp_s3_counts, VP_S3_COUNTS_INIT)
INIT(vp_s3_object, VP_S3_OBJECT_INIT)
INIT(vp_s3_info, VP_S3_INFO_INIT)
INIT(vp_sink_s3_options, VP_SINK_S3_OPTIONS_INIT)
INIT(vp_s3_progress, VP_S3_PROGRESS_INIT)
