/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers of web servers where libcurl has not read them, ranges and addresses. */
#include "fuzz.h"

#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vpi_http_answer a = { 0 };
    uint64_t first, last, total;
    char *text = malloc(size + 1), origin[300];
    bool good;

    if (!text) abort();
    if (size) memcpy(text, data, size);
    text[size] = 0;
    vpi_http_origin(text, origin, sizeof(origin));
    FUZZ_CHECK(!strpbrk(origin, "@?#" /* user info, query */ "\r\n") || strcmp(origin, "?") == 0);
    good = vpi_http_parse(data, size, &a);
    if (good) {
        FUZZ_CHECK(a.status >= 200 && a.status <= 999);
        FUZZ_CHECK(a.headers.size + a.body.size <= size);
        FUZZ_CHECK(!vpi_http_header(&a, "", origin, sizeof(origin)) || strlen(origin) < sizeof(origin));
        if (vpi_http_content_range(&a, &first, &last, &total))
            FUZZ_CHECK(total <= INT64_MAX && (first > last || last < total));
    }
    FUZZ_ACCEPTED(good);
    vpi_http_answer_dispose(&a);
    free(text);
    return 0;
}
