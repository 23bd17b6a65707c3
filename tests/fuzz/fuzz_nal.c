/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAL units in Annex B and behind lengths, and emulation prevention. */
#include "fuzz.h"

#include "bitstream/bitstream.h"

static void unescape(const vpi_nal *nal)
{
    uint8_t *to = malloc(nal->size ? nal->size : 1);

    if (!to) abort();
    FUZZ_CHECK(vpi_nal_unescape(nal, to) <= nal->size);
    free(to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *d = fuzz_exact(data, size);
    size_t at = 0, before;
    vpi_nal nal;

    for (before = 0; vpi_annexb_next(d, size, &at, &nal); before = at) {
        FUZZ_CHECK(at > before && at <= size && nal.data >= d && nal.data + nal.size <= d + size);
        unescape(&nal);
        FUZZ_ACCEPTED(nal.size > 4);
    }
    for (unsigned length = 1; length <= 4; length++) {
        bool bad = false;

        if (length == 3) continue;
        for (at = before = 0; vpi_avcc_next(d, size, length, &at, &nal, &bad); before = at) {
            FUZZ_CHECK(at > before && at <= size && nal.data + nal.size <= d + size);
            unescape(&nal);
        }
        FUZZ_CHECK(bad || at == size);
    }
    free(d);
    return 0;
}
