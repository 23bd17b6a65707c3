/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Upload-Metadata, Upload-Checksum, structured fields, and what is kept with an upload. */
#include "fuzz.h"

#include "ingest/tus_text.h"

/* What is written is read back the same. */
static void round_trip(const vpi_tus_metadata *m)
{
    vpi_buf b = { 0 };
    vpi_tus_metadata again;
    vpi_tus_kept kept;
    char *text;

    vpi_tus_metadata_write(m, &b);
    text = vpi_buf_steal_string(&b);
    FUZZ_CHECK(text && vpi_tus_printable(text));
    FUZZ_CHECK(vpi_tus_metadata_read(&again, text) == 0 && again.count == m->count);
    for (uint32_t i = 0; i < m->count; i++) {
        FUZZ_CHECK(strcmp(m->pair[i].name, again.pair[i].name) == 0);
        FUZZ_CHECK(m->pair[i].size == again.pair[i].size && m->pair[i].value[m->pair[i].size] == 0);
        FUZZ_CHECK(memcmp(m->pair[i].value, again.pair[i].value, m->pair[i].size) == 0);
    }
    if (vpi_tus_kept_write(text, "partial", 5, &b)) {
        FUZZ_CHECK(vpi_tus_kept_read(b.data, b.size, &kept) == 0 && strcmp(kept.concat, "partial") == 0);
        FUZZ_CHECK(*text ? strcmp(kept.metadata, text) == 0 : !kept.metadata);
        vpi_tus_kept_dispose(&kept);
    }
    vpi_buf_dispose(&b);
    vpi_tus_metadata_dispose(&again);
    vpi_free(text);
}

static void shown(const vpi_tus_metadata *m)
{
    vpi_buf b = { 0 };

    for (uint32_t i = 0; i < m->count; i++) {
        const char *type = vpi_tus_safe_type(&m->pair[i]);

        FUZZ_CHECK(!type || vpi_tus_printable(type));
        vpi_buf_clear(&b);
        vpi_tus_disposition(&m->pair[i], &b);
        vpi_buf_u8(&b, 0);
        FUZZ_CHECK(vpi_tus_printable((const char *)b.data) && strlen((const char *)b.data) + 1 == b.size);
    }
    vpi_buf_dispose(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = (char *)fuzz_exact(data, size), *line = malloc(size + 1);
    vpi_tus_metadata m;
    vpi_tus_kept kept;
    vpi_tus_sum sum;
    vpi_buf name = { 0 };
    uint8_t digest[32];
    uint64_t n;
    bool is;

    if (!line) abort();
    memcpy(line, text, size);
    line[size] = 0;
    FUZZ_CHECK(vpi_tus_kept_read(text, size, &kept) == 0);
    FUZZ_CHECK(!kept.metadata || vpi_tus_printable(kept.metadata));
    FUZZ_CHECK(!kept.concat || vpi_tus_printable(kept.concat));
    vpi_tus_kept_dispose(&kept);
    if (vpi_tus_metadata_read(&m, line) == 0) {
        FUZZ_ACCEPTED(m.count > 0);
        round_trip(&m);
        shown(&m);
    }
    vpi_tus_metadata_dispose(&m);
    if (vpi_tus_sum_read(line, &sum) == 0) FUZZ_CHECK(sum.algorithm && sum.size >= 4 && sum.size <= 32);
    if (vpi_draft_integer(line, &n)) FUZZ_CHECK(n < UINT64_C(1000000000000000));
    (void)vpi_draft_boolean(line, &is);
    (void)vpi_draft_bytes(line, "sha-256", digest, sizeof(digest));
    vpi_draft_filename(line, &name);
    FUZZ_CHECK(name.size <= size);
    vpi_buf_dispose(&name);
    free(line);
    free(text);
    return 0;
}
