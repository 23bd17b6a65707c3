/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A probe of the head, through libavformat. */
#include "probing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_probe(data, size, 0);
    return 0;
}
