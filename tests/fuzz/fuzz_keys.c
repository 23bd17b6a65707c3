/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Key files: whole ones, and those that hold only what is common to all keys. */
#include "fuzz.h"

#include "crypt/crypt_int.h"

/* A message may tell a KID with its dashes, nothing that could be a key. */
static void without_keys(const char *message)
{
    for (size_t run = 0; *message; message++) {
        bool hex = (*message >= '0' && *message <= '9') || (*message >= 'a' && *message <= 'f') ||
                   (*message >= 'A' && *message <= 'F');

        run = hex ? run + 1 : 0;
        FUZZ_CHECK(run < 20);
    }
}

static void check(const vpi_key_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const vpi_key *k = &list->keys[i];

        FUZZ_CHECK(vpi_label_valid(k->label));
        FUZZ_CHECK(k->period < VPI_KEY_PERIODS_MAX);
        FUZZ_CHECK(k->info.drm_count == 0 && !k->info.uri);
    }
    FUZZ_CHECK(list->common.drm_count <= VPI_KEY_DRM_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *d = fuzz_exact(data, size);
    vp_error err = VP_ERROR_INIT;
    vpi_key_list list;
    vp_status st = vpi_key_file_parse(d, size, &list, &err);

    without_keys(err.message);
    FUZZ_REFUSAL(st, err);
    FUZZ_ACCEPTED(st == VP_OK);
    FUZZ_CHECK(st == VP_OK ? list.count > 0 : !list.keys && !list.common.drm);
    check(&list);
    vpi_key_list_dispose(&list);
    st = vpi_key_common_parse(d, size, &list, &err);
    without_keys(err.message);
    FUZZ_REFUSAL(st, err);
    check(&list);
    vpi_key_list_dispose(&list);
    free(d);
    return 0;
}
