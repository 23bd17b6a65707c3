/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HEVC, AV1 and VP9 configurations, whatever the bytes are. */
#include "fuzz.h"

#include "bitstream/bitstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *d = fuzz_exact(data, size), length;
    char codecs[VPI_CODECS_SIZE];
    vp_error err = VP_ERROR_INIT;
    vpi_nal nal = { d, size };
    vpi_hevc_ptl ptl;
    vp_status st = vpi_hvcc_parse(d, size, &ptl, &length, &err);

    FUZZ_REFUSAL(st, err);
    if (st == VP_OK) FUZZ_CHECK(length >= 1 && length <= 4);
    st = vpi_hevc_sps_parse(&nal, &ptl, &err);
    FUZZ_ACCEPTED(st == VP_OK);
    FUZZ_REFUSAL(st, err);
    st = vpi_codecs_hevc(d, size, codecs, &err);
    FUZZ_ACCEPTED(st == VP_OK);
    FUZZ_REFUSAL(st, err);
    st = vpi_codecs_av1(d, size, codecs, &err);
    FUZZ_ACCEPTED(st == VP_OK);
    FUZZ_REFUSAL(st, err);
    st = vpi_codecs_vp9(d, size, codecs, &err);
    FUZZ_ACCEPTED(st == VP_OK);
    FUZZ_REFUSAL(st, err);
    vpi_mastering mastering = { .has_light = false };
    for (length = 0; length <= 4; length++) vpi_mastering_h26x(d, size, length, length & 1, &mastering);
    vpi_mastering_hvcc(d, size, &mastering);
    vpi_mastering_av1(d, size, &mastering);
    free(d);
    return 0;
}
