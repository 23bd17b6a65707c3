/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_CRYPT_H
#define VPI_CRYPT_H

/* Keys and ciphers, for lib/job, which joins them to the writers of segments and to manifests. */

#include <vodpipe/crypt.h>

#include "base/buf.h"
#include "base/common.h"
#include "base/error.h"
#include "model/protection.h"

/* ---- pssh.c (ISO/IEC 23001-7 8.1) ---- */

typedef struct vpi_pssh { /* a view */
    uint8_t version;      /* 0, 1 */
    uint8_t system[16];
    const uint8_t *kids; /* kid_count of 16 bytes; version 1 */
    uint32_t kid_count;
    const uint8_t *data;
    size_t data_size;
    size_t size; /* of the whole box */
} vpi_pssh;
/* The box at data; size: as many bytes as there are. DATA INPUT_CORRUPT. */
vp_status vpi_pssh_parse(const void *data, size_t size, vpi_pssh *out, vp_error *err);
/* version 1 where there are kids (kid_count * 16 bytes), else 0. */
void vpi_pssh_write(const uint8_t system[16], const uint8_t *kids, uint32_t kid_count, const void *data,
                    size_t data_size, vpi_buf *out);
/*
 * What a system is told, as a whole box: common and ClearKey (version 1, no data), Widevine (WidevinePsshData with the
 * KIDs and the scheme), PlayReady (a PlayReady Object with a WRMHEADER: 4.0 for one KID of cenc, else 4.3; laurl or
 * NULL). UNSUPPORTED for other systems.
 */
vp_status vpi_pssh_make(const uint8_t system[16], vpi_scheme scheme, const uint8_t *kids, uint32_t kid_count,
                        const char *laurl, vpi_buf *out, vp_error *err);
/* KIDs that a box tells in any of these forms, 16 bytes each, appended to out; none is no failure. */
vp_status vpi_pssh_kids(const vpi_pssh *pssh, vpi_buf *out, vp_error *err);

/* ---- keyring.c ---- */
extern const vpi_keys_ops vpi_keyring_ops;

#endif
