/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

int cmd_presign(const cli_options *o)
{
    const char *method = !strcmp(o->args[0], "put") ? "PUT" : "GET";
    vp_error err = VP_ERROR_INIT;
    vp_context *context = NULL;
    remote far;
    vp_s3 *s3 = NULL;
    vp_bytes *url = NULL;
    char *bucket = NULL, *key = NULL;
    int status = EXIT_DONE;
    vp_status st = context_open(o, &context, &err);
    remote_init(&far, o, context);
    if (st >= 0 && !place_split(o->args[1], &bucket, &key))
        st = vp_error_set(&err, VP_E_NOMEM, "NOMEM", 0, "out of memory");
    if (st >= 0) st = remote_s3(&far, &s3, &err);
    if (st >= 0)
        st = vp_s3_presign_object(s3, method, bucket, key, NULL, NULL, o->expires_s, cli_cancel, &url, &err);
    if (st < 0)
        status = fail(o, st, &err);
    else
        print_bytes(url);
    vp_bytes_unref(url);
    free(bucket);
    free(key);
    remote_close(&far);
    vp_context_unref(context);
    return status;
}
