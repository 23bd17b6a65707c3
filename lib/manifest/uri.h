/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MANIFEST_URI_H
#define VPI_MANIFEST_URI_H

#include "base/buf.h"

/*
 * A key as a relative reference (RFC 3986 4.2): all but unreserved characters and '/' are percent-encoded,
 * which also keeps ':' from making a scheme of it and '$' from meaning something in a DASH template.
 */
void vpi_uri_add(vpi_buf *b, const char *key, size_t size);
/* The same, as seen from a folder ("" is the root): "../1080p/00001.m4s". */
void vpi_uri_relative(vpi_buf *b, const char *folder, const char *key);

#endif
