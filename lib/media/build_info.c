/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/build.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <libavcodec/avcodec.h>
#include <libavfilter/avfilter.h>
#include <libavformat/avformat.h>
#include <libavutil/avutil.h>
#include <libswresample/swresample.h>
#include <libswscale/swscale.h>
#include <x264.h>

#define INFO_ROOM 512

static char info[INFO_ROOM];
static pthread_once_t info_once = PTHREAD_ONCE_INIT;

/* The libraries that run, not the headers: bytes depend on them. x264's soname is its build number. */
static void make_info(void)
{
    const struct {
        const char *name;
        unsigned version;
    } parts[] = {
        { "libavformat", avformat_version() }, { "libavcodec", avcodec_version() },
        { "libavutil", avutil_version() },     { "libavfilter", avfilter_version() },
        { "libswscale", swscale_version() },   { "libswresample", swresample_version() },
    };
    size_t at = 0;
    int n;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && at < sizeof(info); i++) {
        n = snprintf(info + at, sizeof(info) - at, "%s %u.%u.%u\n", parts[i].name,
                     AV_VERSION_MAJOR(parts[i].version), AV_VERSION_MINOR(parts[i].version),
                     AV_VERSION_MICRO(parts[i].version));
        at += n > 0 ? (size_t)n : 0;
    }
    if (at < sizeof(info)) snprintf(info + at, sizeof(info) - at, "x264 %s\n", X264_POINTVER);
}

const char *vpi_media_build_info(void)
{
    pthread_once(&info_once, make_info);
    return info;
}

const char *vpi_media_license(void)
{
    /* libx264 is GPL-2.0-or-later whatever libav* is built as. */
    return strstr(avformat_license(), "version 3") ? "GPL-3.0-or-later" : "GPL-2.0-or-later";
}

int vpi_media_feature(const char *name)
{
    return strcmp(name, "media") == 0 || strcmp(name, "h264") == 0;
}
