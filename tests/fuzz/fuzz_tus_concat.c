/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Upload-Concat, targets, ids, ranges, header lines. */
#include <vodpipe/ingest.h>

#include "fuzz.h"

#include "ingest/tus_text.h"

/* Whatever was asked for, what comes out are ids of the store's alphabet. */
static void check_ids(const char *ids)
{
    size_t count = 1;

    for (const char *p = ids; *p; p++) {
        FUZZ_CHECK((*p >= '0' && *p <= '9') || ((*p | 32) >= 'a' && (*p | 32) <= 'z') || *p == '_' ||
                   (*p == '-' && p > ids && p[-1] != ' ') || (*p == ' ' && p > ids && p[-1] != ' ' && p[1]));
        count += *p == ' ';
    }
    FUZZ_CHECK(*ids && count <= VP_UPLOAD_PARTS_MAX);
}

static void concat(const char *line, const char *base_url)
{
    char *ids = NULL;
    int refusal = vpi_tus_concat_read(line, "/files/", base_url, &ids);

    FUZZ_CHECK(refusal == 0 || (refusal == 400 && !ids));
    FUZZ_ACCEPTED(ids);
    if (ids) check_ids(ids);
    vpi_free(ids);
}

static void range(const char *line)
{
    static const uint64_t totals[] = { 0, 1, 10, INT64_MAX };
    uint64_t from, size;

    for (size_t i = 0; i < VPI_COUNT(totals); i++) {
        int status = vpi_tus_range(line, totals[i], &from, &size);

        FUZZ_CHECK(status == 200 || status == 206 || status == 416);
        FUZZ_CHECK(status == 206 ? size > 0 && from < totals[i] && size <= totals[i] - from
                                 : from == 0 && size == totals[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line = malloc(size + 1), id[68];
    vpi_tus_fields f;
    int refusal;

    if (!line) abort();
    if (size) memcpy(line, data, size);
    line[size] = 0;
    concat(line, NULL);
    concat(line, "https://example.org/up/");
    if (vpi_tus_id(line, strlen(line), id)) check_ids(id);
    range(line);
    refusal = vpi_tus_fields_read(&f, line);
    FUZZ_CHECK(refusal == 0 || refusal == 400 || refusal == 431);
    for (size_t i = 0; i < f.count; i++) {
        FUZZ_CHECK(*f.field[i].name && vpi_tus_printable(f.field[i].value));
        FUZZ_CHECK(vpi_tus_field_get(&f, f.field[i].name));
    }
    (void)vpi_tus_fields_conflict(&f);
    vpi_tus_fields_dispose(&f);
    free(line);
    return 0;
}
