/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A probe that reads every packet. */
#include "probing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_probe(data, size, 1);
    return 0;
}
