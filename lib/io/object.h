/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_IO_OBJECT_H
#define VPI_IO_OBJECT_H

#include <sys/uio.h>

#include <vodpipe/io.h>

#include "base/common.h"

/* Writes count pieces in order; a directory sink hands large batches to writev(2) without copying them. */
vp_status vpi_object_writev(vp_object *object, const struct iovec *iov, size_t count, vp_error *err);

/* Bytes written so far, as the sink gets them. */
uint64_t vpi_object_size(const vp_object *object);

/*
 * A cipher in the way of an object's bytes. update: `in` is a whole number of blocks, or more than is left of one and
 * to be kept by the cipher; writes at most size + VPI_CIPHER_BLOCK bytes to out and says how many in *written. final:
 * what is left with its padding, at most VPI_CIPHER_BLOCK bytes; afterwards the cipher is not used again. release:
 * always called once, also where the object is aborted.
 */
#define VPI_CIPHER_BLOCK 16u
typedef struct vpi_object_cipher {
    void *user;
    vp_status (*update)(void *user, const uint8_t *in, size_t size, uint8_t *out, size_t *written,
                        vp_error *err);
    vp_status (*final)(void *user, uint8_t out[VPI_CIPHER_BLOCK], size_t *written, vp_error *err);
    void (*release)(void *user);
} vpi_object_cipher;
/*
 * From here on all that is written goes through it; size and CRC of the object are those of what comes out. The object
 * owns it, also after a failure. Another one may follow behind vpi_object_cipher_end.
 */
vp_status vpi_object_cipher_begin(vp_object *object, const vpi_object_cipher *cipher, vp_error *err);
/* Writes what the cipher holds; what follows is clear again. A commit does it by itself. */
vp_status vpi_object_cipher_end(vp_object *object, vp_error *err);

#endif
