/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What version.c answers when no lib/media is linked; in a file of its own so that the linker can replace it. */

#include "base/build.h"

__attribute__((weak)) const char *vpi_media_build_info(void)
{
    return "";
}

__attribute__((weak)) const char *vpi_media_license(void)
{
    return "";
}

__attribute__((weak)) int vpi_media_feature(const char *name)
{
    (void)name;
    return 0;
}
