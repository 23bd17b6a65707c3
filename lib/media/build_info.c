/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/build.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "media/libav.h"

#define INFO_ROOM 512

static char info[INFO_ROOM];
static pthread_once_t info_once = PTHREAD_ONCE_INIT;

/* The libraries that run, not the headers: bytes depend on them. x264's soname is its build number. */
static void make_info(void)
{
    size_t at = 0;
    int n;

    if (vpi_media_load(NULL) < 0) {
        snprintf(info, sizeof(info), "media unavailable\n");
        return;
    }
    const struct {
        const char *name;
        unsigned version;
    } parts[] = {
        { "libavformat", avformat_version() }, { "libavcodec", avcodec_version() },
        { "libavutil", avutil_version() },     { "libavfilter", avfilter_version() },
        { "libswscale", swscale_version() },   { "libswresample", swresample_version() },
    };
    for (size_t i = 0; i < VPI_COUNT(parts) && at < sizeof(info); i++) {
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
    if (vpi_media_load(NULL) < 0) return VPI_MEDIA_LICENSE;
    return strstr(avformat_license(), "version 3") ? "GPL-3.0-or-later" : "GPL-2.0-or-later";
}

int vpi_media_feature(const char *name)
{
    if (strcmp(name, "media") != 0 && strcmp(name, "h264") != 0) return 0;
    return vpi_media_load(NULL) >= 0;
}
