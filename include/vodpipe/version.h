/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_VERSION_H
#define VODPIPE_VERSION_H

/*
 * Version numbers, export macro and what this build contains. Tier 0: includes nothing of ours.
 * meson.build reads the four numbers below; they live nowhere else.
 */

#include <stdint.h>

#define VP_VERSION_MAJOR 0
#define VP_VERSION_MINOR 1
#define VP_VERSION_PATCH 0

/* Binary interface number, the soname of the shared library (libvodpipe.so.ABI). */
#define VP_ABI_VERSION 0

#define VP_VERSION_NUMBER (VP_VERSION_MAJOR * 10000 + VP_VERSION_MINOR * 100 + VP_VERSION_PATCH)

#if defined(_WIN32)
#define VP_API
#elif defined(__GNUC__)
#define VP_API __attribute__((visibility("default")))
#else
#define VP_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* All functions of this header may be called from any thread at any time; strings are static. */

/* Version of the library that is loaded, as VP_VERSION_NUMBER; compare with the macro to see a mismatch. */
VP_API uint32_t vp_version_number(void);

/* "MAJOR.MINOR.PATCH". */
VP_API const char *vp_version_string(void);

/* VP_ABI_VERSION of the library that is loaded. Bindings compare it at import and refuse another one. */
VP_API uint32_t vp_abi_version(void);

/*
 * SPDX expression of the whole as built: "LGPL-2.1-or-later" without media, "GPL-2.0-or-later" and
 * "GPL-3.0-or-later" where FFmpeg, libx264 or OpenSSL demand it. Loads FFmpeg, as vp_build_info() does.
 */
VP_API const char *vp_build_license(void);

/*
 * 1 when the named feature is there, 0 when it is not or the name is unknown. Names: "media" (probe, decoding,
 * encoding), "h264" (the libx264 encoder), "crypt" (encryption), "s3" (object storage), "ingest" (uploads; with
 * "crypt"). Calls that need a missing feature return VP_E_UNSUPPORTED with reason FEATURE_DISABLED. FFmpeg and libx264
 * are loaded when media is first used; asking for "media" or "h264" is such a use, and they are not there where the
 * libraries cannot be loaded.
 */
VP_API int32_t vp_feature(const char *name);

/*
 * One line per library that media needs, "name version\n"; what a plan records as its build. "media unavailable\n"
 * where they cannot be loaded. Never NULL.
 */
VP_API const char *vp_build_info(void);

#ifdef __cplusplus
}
#endif

#endif
