/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_BASE_BUILD_H
#define VPI_BASE_BUILD_H

/*
 * The seam through which version.h learns what lib/media was built with: base knows neither libav nor x264.
 * lib/media defines all three; base holds weak ones ("no media") for programs that link base alone.
 */

/* Lines "name version\n" of the linked media libraries, "" for none. Static text; never NULL. */
const char *vpi_media_build_info(void);
/* SPDX expression that the linked media libraries demand of the whole, "" for none. Static text; never NULL. */
const char *vpi_media_license(void);
/* 1 when the named feature is built in, else 0. name is never NULL. */
int vpi_media_feature(const char *name);
/* The same of lib/s3: 1 where it can send. */
int vpi_s3_feature(void);
/* The same of lib/ingest: 1 where uploads can be stored. */
int vpi_ingest_feature(void);
/* The same of lib/crypt, which defines it where it has a cipher: 1. */
int vpi_crypt_feature(void);

#endif
