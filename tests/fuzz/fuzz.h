/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPT_FUZZ_H
#define VPT_FUZZ_H

/* What fuzz targets share. A target is a file with LLVMFuzzerTestOneInput; it returns 0. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Inputs that the parser took: a corpus in which there is none would prove little (replay.c asks). */
__attribute__((weak)) unsigned long fuzz_accepted;
#define FUZZ_ACCEPTED(condition) (fuzz_accepted += (condition) ? 1 : 0)

/* What must hold for any input; a breach is a crash for the fuzzer. */
#define FUZZ_CHECK(condition)                                                                                \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                    \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/*
 * A refusal says why. Empties the error for the next call: a first cause is never overwritten. Needs base.h
 * before.
 */
#define FUZZ_REFUSAL(st_, err_)                                                                              \
    do {                                                                                                     \
        FUZZ_CHECK((st_) >= 0 || ((err_).status == (st_) && (err_).reason[0] && (err_).message[0]));         \
        vp_error_init(&(err_));                                                                              \
    } while (0)

/*
 * A parser must also not look behind its bytes: an allocation of exactly the right size lets AddressSanitizer
 * see that. free().
 */
static inline uint8_t *fuzz_exact(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    return copy;
}

#endif
