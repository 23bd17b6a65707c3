/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A libavcodec that says to be older than its headers; whatever else is asked of it is found in the true one. */
#include <libavcodec/version.h>
#include <libavutil/macros.h>
#include <libavutil/version.h>

unsigned avcodec_version(void);

unsigned avcodec_version(void)
{
    return AV_VERSION_INT(LIBAVCODEC_VERSION_MAJOR, LIBAVCODEC_VERSION_MINOR - 1, 100);
}
