/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <vodpipe/version.h>

#include "base/build.h"
#include "base/common.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#define VERSION_TEXT TEXT(VP_VERSION_MAJOR) "." TEXT(VP_VERSION_MINOR) "." TEXT(VP_VERSION_PATCH)
#define BUILD_INFO_ROOM 4096

/* A fixed array: the text must be there when memory is not, and it lives as long as the library. */
static char build_info[BUILD_INFO_ROOM];
static pthread_once_t build_info_once = PTHREAD_ONCE_INIT;

static void build_info_make(void)
{
    int n = snprintf(build_info, sizeof(build_info), "vodpipe %s\n%s", VERSION_TEXT, vpi_media_build_info());

    if (n < 0) vpi_strlcpy(build_info, "vodpipe " VERSION_TEXT "\n", sizeof(build_info));
}

uint32_t vp_version_number(void)
{
    return VP_VERSION_NUMBER;
}

const char *vp_version_string(void)
{
    return VERSION_TEXT;
}

uint32_t vp_abi_version(void)
{
    return VP_ABI_VERSION;
}

const char *vp_build_license(void)
{
    const char *license = vpi_media_license();

    /* OpenSSL 3 is under Apache-2.0, which goes with version 3 of the GPL only. */
    if (license[0] == 'G' && vpi_crypt_feature()) return "GPL-3.0-or-later";
    return license[0] ? license : "LGPL-2.1-or-later";
}

int32_t vp_feature(const char *name)
{
    if (!name) return 0;
    if (strcmp(name, "crypt") == 0) return vpi_crypt_feature();
    if (strcmp(name, "ingest") == 0) return vpi_ingest_feature();
    if (strcmp(name, "s3") == 0) return vpi_s3_feature();
    return vpi_media_feature(name) ? 1 : 0;
}

const char *vp_build_info(void)
{
    pthread_once(&build_info_once, build_info_make);
    return build_info;
}
