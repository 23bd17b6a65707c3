/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A program outside the tree: knows only what pkg-config says. Linked with a table of every public function. */

#include <stdio.h>
#include <string.h>

#include <vodpipe/vodpipe.h>

typedef void (*function)(void);
extern const function every_function[];

int main(int argc, char **argv)
{
    size_t count = 0;
    vp_context *context = NULL;
    vp_error err = VP_ERROR_INIT;

    if (argc != 4) {
        return 2;
    }
    while (every_function[count]) {
        count++;
    }
    if (vp_abi_version() != VP_ABI_VERSION || vp_version_number() != VP_VERSION_NUMBER) {
        fprintf(stderr, "header and library differ\n");
        return 1;
    }
    if (vp_context_new(NULL, &context, &err) != VP_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    vp_context_unref(context);
    /* The variables of vodpipe.pc: abi, features, license. */
    if ((uint32_t)(argv[1][0] - '0') != vp_abi_version()) {
        fprintf(stderr, "abi: pkg-config says %s, the library %u\n", argv[1], (unsigned)vp_abi_version());
        return 1;
    }
    if ((strstr(argv[2], "media") != NULL) != (vp_feature("media") == 1) ||
        (strstr(argv[2], "h264") != NULL) != (vp_feature("h264") == 1) ||
        (strstr(argv[2], "crypt") != NULL) != (vp_feature("crypt") == 1)) {
        fprintf(stderr, "features: pkg-config says '%s', the library %d %d %d\n", argv[2],
                (int)vp_feature("media"), (int)vp_feature("h264"), (int)vp_feature("crypt"));
        return 1;
    }
    if (strcmp(argv[3], vp_build_license()) != 0) {
        fprintf(stderr, "license: pkg-config says %s, the library %s\n", argv[3], vp_build_license());
        return 1;
    }
    printf("%s %s, %u functions\n", vp_version_string(), vp_build_license(), (unsigned)count);
    return 0;
}
