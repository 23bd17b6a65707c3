/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Init segments of one track, down to the codec's configuration. */
#include "fuzz.h"

#include "bmff/bmff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *d = fuzz_exact(data, size);
    vp_error err = VP_ERROR_INIT;
    vpi_init_info info;
    vpi_entries entries;
    vp_status st = vpi_init_parse(d, size, &info, &err);

    FUZZ_REFUSAL(st, err);
    FUZZ_ACCEPTED(st == VP_OK && info.codec_config);
    if (st == VP_OK && info.codec_config) {
        FUZZ_CHECK(info.codec_config >= d && info.codec_config + info.codec_config_size <= d + size);
    }
    st = vpi_entries_parse(d, size, &entries, &err);
    FUZZ_REFUSAL(st, err);
    for (size_t i = 0; st == VP_OK && i < VPI_COUNT(entries.entries) && entries.entries[i].data; i++) {
        const vpi_entry_info *e = &entries.entries[i];

        FUZZ_CHECK(e->data >= d && e->data + e->size <= d + size);
        FUZZ_CHECK(e->sinf_at + e->sinf_size <= e->size);
    }
    free(d);
    return 0;
}
