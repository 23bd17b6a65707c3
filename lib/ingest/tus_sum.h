/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_INGEST_TUS_SUM_H
#define VPI_INGEST_TUS_SUM_H

/*
 * All checksums of a body whose Upload-Checksum comes behind it: until then nobody knows which it is. To the store the
 * chunk is one with a CRC32C, which is computed here too and told when the client's own is right.
 */

#include "base/common.h"

typedef struct vpi_tus_sums vpi_tus_sums;
vpi_tus_sums *vpi_tus_sums_new(void);             /* NULL: no memory */
vpi_tus_sums *vpi_tus_sums_free(vpi_tus_sums *s); /* NULL is allowed; returns NULL */
bool vpi_tus_sums_add(vpi_tus_sums *s, const void *data, size_t size);
void vpi_tus_sums_crc32c(const vpi_tus_sums *s, uint8_t to[4]);
/* Once, at the end. */
bool vpi_tus_sums_match(vpi_tus_sums *s, const char *algorithm, const uint8_t *digest, size_t size);

#endif
