/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_CRYPT_SPEKE_INT_H
#define VPI_CRYPT_SPEKE_INT_H

/* The request document of SPEKE 2.0 (speke_document.c). Facts: docs.aws.amazon.com/speke, "SPEKE API v2". */

#include "crypt/crypt_int.h"

#define VPI_SPEKE_SYSTEMS 16u

/* What does not change between the requests of a handle. */
typedef struct vpi_speke_form {
    uint8_t systems[VPI_SPEKE_SYSTEMS][16];
    size_t system_count;
    uint8_t *certificate; /* DER; NULL: keys come clear */
    size_t certificate_size;
} vpi_speke_form;

/* Names and ids with commas; NULL: the usual ones. ARG. */
vp_status vpi_speke_systems(const char *words, vpi_speke_form *form, vp_error *err);
/*
 * The same for every process that asks, another one for whatever differs: a UUID from SHA-256. The scheme is part of
 * it: a key that aes128 gives to every player must not be that of cbcs.
 */
void vpi_speke_kid(const char *content_id, vpi_scheme scheme, const char *label, uint32_t period,
                   uint8_t kid[16]);
/* For one key. */
void vpi_speke_document(const vpi_speke_form *form, const char *content_id, vpi_scheme scheme,
                        const char *label, uint32_t period, const uint8_t kid[16], vpi_buf *out);

#endif
