/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Language tags as containers hold them. */
#include "fuzz.h"

#include "model/media.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), tag[36], again[36], code[4], name[24];

    if (!text) abort();
    if (size) memcpy(text, data, size);
    text[size] = 0;
    vpi_language_bcp47(text, tag);
    FUZZ_CHECK(tag[0] && memchr(tag, 0, sizeof(tag)));
    for (const char *c = tag; *c; c++) {
        FUZZ_CHECK((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
                   *c == '-');
    }
    vpi_language_bcp47(tag, again);
    FUZZ_CHECK(strcmp(tag, again) == 0);
    vpi_language_iso639(text, code);
    FUZZ_CHECK(strlen(code) == 3);
    vpi_language_name(text, name, sizeof(name));
    FUZZ_CHECK(name[0] && memchr(name, 0, sizeof(name)));
    FUZZ_ACCEPTED(strcmp(tag, "und") != 0);
    free(text);
    return 0;
}
