/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* AudioSpecificConfig, ADTS, AC-3 and E-AC-3 headers. */
#include "fuzz.h"

#include "bitstream/bitstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *d = fuzz_exact(data, size), adts[7];
    char codecs[VPI_CODECS_SIZE];
    size_t header, frame, again, whole, at;
    vp_error err = VP_ERROR_INIT;
    vpi_asc asc, back;
    vpi_ac3 ac3;
    vp_status st = vpi_asc_parse(d, size, &asc, &err);

    FUZZ_REFUSAL(st, err);
    if (st == VP_OK && vpi_adts_write(&asc, 100, adts)) {
        FUZZ_CHECK(vpi_adts_parse(adts, 7, &back, &again, &whole, NULL) == VP_OK);
        FUZZ_CHECK(again == 7 && whole == 107 && back.sample_rate == asc.sample_rate);
    }
    st = vpi_codecs_aac(d, size, codecs, &err);
    FUZZ_REFUSAL(st, err);
    for (at = 0; at < size; at += frame) {
        st = vpi_adts_parse(d + at, size - at, &asc, &header, &frame, &err);
        FUZZ_REFUSAL(st, err);
        if (st < 0) break;
        FUZZ_ACCEPTED(frame <= size - at);
        FUZZ_CHECK((header == 7 || header == 9) && frame >= header && asc.sample_rate > 0);
        if (frame > size - at) break;
    }
    for (at = 0; at < size; at += ac3.frame_bytes) {
        st = vpi_ac3_parse(d + at, size - at, &ac3, &err);
        FUZZ_REFUSAL(st, err);
        if (st < 0) break;
        FUZZ_CHECK(ac3.frame_bytes > 0 && ac3.sample_rate > 0 && ac3.samples > 0);
        if (ac3.frame_bytes > size - at) break;
    }
    free(d);
    return 0;
}
