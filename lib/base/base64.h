/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RFC 4648 4. */
#ifndef VPI_BASE_BASE64_H
#define VPI_BASE_BASE64_H

#include "base/buf.h"

void vpi_base64_add(vpi_buf *out, const void *data, size_t size);
/* False for what is not base64, no whitespace; `to` may hold part of it then. At most size / 4 * 3 bytes. */
bool vpi_base64_bytes(const char *text, size_t size, uint8_t *to, size_t *got);
bool vpi_base64_decode(const char *text, size_t length, vpi_buf *out); /* also false: no memory */

#endif
