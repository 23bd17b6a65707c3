/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Settings of a job as JSON. */
#include "fuzz.h"

#include "job/job_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    vp_job_options o = VP_JOB_OPTIONS_INIT;
    vp_error err = VP_ERROR_INIT;
    vpi_settings s = { 0 };
    vp_status st;

    if (!text) abort();
    if (size) memcpy(text, data, size);
    text[size] = 0;
    o.settings_json = text;
    st = vpi_settings_load(&s, &o, &err);
    FUZZ_REFUSAL(st, err);
    FUZZ_ACCEPTED(st == VP_OK);
    if (st == VP_OK) FUZZ_CHECK(s.transcode.segment_ms <= 60000 && s.transcode.max_fps <= 240);
    vpi_settings_dispose(&s);
    free(text);
    return 0;
}
