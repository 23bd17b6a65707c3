/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* presentation.json: what is accepted is written the same way again, and manifests can be made of it. */
#include "fuzz.h"

#include <vodpipe/manifest.h>

#include "model/presentation.h"

/* The writers may refuse a presentation, by name. */
static void manifests(const vp_presentation *p)
{
    uint32_t tracks = (uint32_t)VPI_MIN(p->p.track_count, 4);
    vp_error err = VP_ERROR_INIT;
    vp_bytes *out = NULL;
    vp_status st;

    for (int32_t container = VP_HLS_CMAF; container <= VP_HLS_TS; container++) {
        st = vp_manifest_hls_master(p, container, &out, &err);
        FUZZ_REFUSAL(st, err);
        out = vp_bytes_unref(out);
    }
    st = vp_manifest_dash(p, &out, &err);
    FUZZ_REFUSAL(st, err);
    out = vp_bytes_unref(out);
    for (uint32_t i = 0; i < tracks; i++) {
        st = vp_manifest_hls_media(p, i, &out, &err);
        FUZZ_REFUSAL(st, err);
        out = vp_bytes_unref(out);
        st = vp_manifest_hls_iframes(p, i, &out, &err);
        FUZZ_REFUSAL(st, err);
        out = vp_bytes_unref(out);
        st = vp_manifest_hls_media_key(p, i, 0, &out, &err);
        FUZZ_REFUSAL(st, err);
        out = vp_bytes_unref(out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *d = fuzz_exact(data, size);
    vp_error err = VP_ERROR_INIT;
    vp_presentation *p = NULL, *again = NULL;
    vp_bytes *one = NULL, *two = NULL;
    vp_status st = vp_presentation_parse(d, size, &p, &err);

    FUZZ_REFUSAL(st, err);
    if (st == VP_OK) {
        FUZZ_CHECK(vp_presentation_json(p, &one, NULL) == VP_OK);
        FUZZ_CHECK(vp_presentation_parse(vp_bytes_data(one), vp_bytes_size(one), &again, NULL) == VP_OK);
        FUZZ_CHECK(vp_presentation_json(again, &two, NULL) == VP_OK);
        FUZZ_CHECK(vp_bytes_size(one) == vp_bytes_size(two) &&
                   memcmp(vp_bytes_data(one), vp_bytes_data(two), vp_bytes_size(one)) == 0);
        manifests(p);
        FUZZ_ACCEPTED(true);
    }
    vp_bytes_unref(one);
    vp_bytes_unref(two);
    vp_presentation_unref(p);
    vp_presentation_unref(again);
    free(d);
    return 0;
}
