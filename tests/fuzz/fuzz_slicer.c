/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What of samples may be encrypted. Input: the codec in a byte, then a decoder configuration and samples, each with its
 * size in two bytes before it.
 */
#include "fuzz.h"

#include "bitstream/bitstream.h"

typedef struct cursor {
    const uint8_t *data;
    size_t size;
} cursor;

/* The next part in a block of its own. NULL at the end. */
static uint8_t *next_part(cursor *c, size_t *size)
{
    if (c->size < 2) return NULL;
    *size = (size_t)c->data[0] << 8 | c->data[1];
    c->data += 2;
    c->size -= 2;
    if (*size > c->size) *size = c->size;
    uint8_t *part = fuzz_exact(c->data, *size);
    c->data += *size;
    c->size -= *size;
    return part;
}

static void check_ranges(const vpi_range *ranges, size_t count, size_t size)
{
    size_t from = 1; /* a length or a header is first */

    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(ranges[i].size > 0 && ranges[i].at <= size && ranges[i].size <= size - ranges[i].at);
        FUZZ_CHECK(ranges[i].at >= from);
        from = ranges[i].at + ranges[i].size;
    }
}

static void read_samples(vpi_slicer *s, cursor *c)
{
    vpi_range *ranges = NULL;
    size_t count = 0, cap = 0, size;
    vp_error err = VP_ERROR_INIT;
    uint8_t *sample;

    while ((sample = next_part(c, &size))) {
        size_t before = count;
        vp_status st = vpi_slicer_sample(s, sample, size, &ranges, &count, &cap, &err);

        FUZZ_REFUSAL(st, err);
        FUZZ_CHECK(count >= before && (st >= 0 || count == before));
        FUZZ_ACCEPTED(count > before);
        if (count > before) check_ranges(ranges + before, count - before, size);
        if (count > 4096) count = 0;
        free(sample);
    }
    vpi_free(ranges);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cursor c = { data, size };
    vpi_slicer *s = NULL;
    vp_error err = VP_ERROR_INIT;
    size_t config_size = 0;

    if (size < 1) return 0;
    vpi_slicer_codec codec = (vpi_slicer_codec)(c.data[0] % 3);
    c.data++;
    c.size--;
    uint8_t *config = next_part(&c, &config_size);
    if (!config) return 0;
    vp_status st = vpi_slicer_new(codec, config, config_size, &s, &err);
    FUZZ_REFUSAL(st, err);
    FUZZ_CHECK((st == VP_OK) == (s != NULL));
    free(config); /* nothing may point into it */
    if (s) read_samples(s, &c);
    vpi_slicer_free(s);
    return 0;
}
