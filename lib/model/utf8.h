/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_MODEL_UTF8_H
#define VPI_MODEL_UTF8_H

#include "base/common.h"

#define VPI_UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* Length of the well-formed UTF-8 sequence (RFC 3629) at s, which ends with NUL; 0 where there is none. */
size_t vpi_utf8_sequence(const uint8_t *s);

#endif
