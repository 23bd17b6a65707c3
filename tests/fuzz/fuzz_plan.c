/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plans: what is accepted gives tasks and the same JSON again. */
#include "fuzz.h"

#include <vodpipe/transcode.h>

static void tasks(const vp_plan *plan)
{
    uint32_t count = vp_plan_task_count(plan);
    vp_error err = VP_ERROR_INIT;
    vp_bytes *out = NULL;

    for (uint32_t i = 0; i < count; i++) {
        vp_task_info info;
        vp_status st;

        vp_task_info_init(&info, sizeof(info));
        st = vp_plan_get_task(plan, i, &info, &err);
        FUZZ_CHECK(st == VP_OK && info.name && info.name[0]);
        if (i > 20 && i + 20 < count) i = count - 20;
    }
    FUZZ_CHECK(vp_plan_summary_json(plan, &out, NULL) == VP_OK);
    vp_bytes_unref(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *d = fuzz_exact(data, size);
    vp_error err = VP_ERROR_INIT;
    vp_plan *plan = NULL, *again = NULL;
    vp_bytes *one = NULL;
    vp_status st = vp_plan_parse(d, size, &plan, &err);

    FUZZ_REFUSAL(st, err);
    FUZZ_ACCEPTED(st == VP_OK);
    if (st == VP_OK) {
        tasks(plan);
        FUZZ_CHECK(vp_plan_json(plan, &one, NULL) == VP_OK);
        FUZZ_CHECK(vp_plan_parse(vp_bytes_data(one), vp_bytes_size(one), &again, NULL) == VP_OK);
        FUZZ_CHECK(strcmp(vp_plan_hash(plan), vp_plan_hash(again)) == 0);
    }
    vp_bytes_unref(one);
    vp_plan_unref(plan);
    vp_plan_unref(again);
    free(d);
    return 0;
}
