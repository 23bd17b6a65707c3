/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_S3_SIGNING_H
#define VPT_S3_SIGNING_H

/* The credentials and the day of S3's documentation. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "s3/sign.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define MAY_2013 1369353600000000 /* 20130524T000000Z */

static inline vp_s3_credentials example(void)
{
    vp_s3_credentials c = VP_S3_CREDENTIALS_INIT;

    c.access_key = "AKIAIOSFODNN7EXAMPLE";
    c.secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    return c;
}

static inline vp_s3_request request_of(const char *method, const char *url)
{
    vp_s3_request r = VP_S3_REQUEST_INIT;

    r.method = method;
    r.url = url;
    r.region = "us-east-1";
    r.time_us = MAY_2013;
    return r;
}

static inline const char *text_of(vp_bytes *bytes)
{
    return vp_bytes_data(bytes);
}

#endif
