/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_CRYPT_CENC_INT_H
#define VPI_CRYPT_CENC_INT_H

/* What the files of vp_cenc share. */

#include <stdatomic.h>

#include "bmff/bmff.h"
#include "crypt/crypt_int.h"

struct vp_cenc { /* immutable once it is given out */
    atomic_uint refs;
    uint8_t *source; /* the init segment as it came */
    size_t source_size;
    vpi_init_info info; /* views into source */
    vpi_keyring *ring;
    vpi_guard guard;
    vpi_guard_track track;
    vpi_protection told;
    uint8_t seed[16];
    uint64_t segments; /* 0: not known */
    vp_bytes *init;    /* protected */
};

/* What tenc, or a description of 'seig', says of it. */
void vpi_cenc_tenc(const vpi_protect *protect, vpi_tenc *out);

/* cenc_init.c: codec and label of what can be protected; refuses all else. */
vp_status vpi_cenc_check_init(const vp_cenc *cenc, vpi_kind *kind, vpi_codec *codec, vp_error *err);
/* pssh (may be empty) goes into moov. */
vp_status vpi_cenc_write_init(const vp_cenc *cenc, const vpi_protect *protect, const vpi_buf *pssh,
                              vp_bytes **out, vp_error *err);

/* cenc_segment.c */
vp_status vpi_cenc_write_segment(const vp_cenc *cenc, uint64_t number, const uint8_t *data, size_t size,
                                 vpi_buf *out, vp_error *err);

#endif
