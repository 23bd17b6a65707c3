/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_CRYPT_PSSH_INT_H
#define VPI_CRYPT_PSSH_INT_H

#include "crypt/crypt.h"

/*
 * playready.c. A PlayReady Object with a WRMHEADER for these KIDs, appended to out; laurl NULL: none. LIMIT where it
 * does not fit into its 16-bit length. The caller asks vpi_buf_failed.
 */
vp_status vpi_playready_object(vpi_scheme scheme, const uint8_t *kids, uint32_t kid_count, const char *laurl,
                               vpi_buf *out, vp_error *err);
/* KIDs of an object with a header of 4.0 to 4.3, 16 bytes each, appended. */
vp_status vpi_playready_kids(const uint8_t *data, size_t size, vpi_buf *out, vp_error *err);

#endif
