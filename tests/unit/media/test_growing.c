/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A source whose bytes are still coming: asked again and again, it is known as soon as it can be, and never wrongly. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <vodpipe/probe.h>

#include "base/error.h"
#include "io/io.h"

typedef struct growing {
    uint8_t *bytes;
    size_t size, have; /* have: from the begin */
    size_t tail;       /* and so many at the end */
    bool length_unknown;
} growing;

static vp_status read_at(void *user, uint64_t offset, void *data, size_t capacity, size_t *got, vp_error *err)
{
    growing *g = user;
    size_t end = offset < g->have ? g->have : g->size;

    (void)err;
    *got = 0;
    if (offset >= g->size) return VP_OK;
    if (offset >= g->have && offset < g->size - g->tail) return VP_AGAIN;
    *got = end - offset < capacity ? end - (size_t)offset : capacity;
    memcpy(data, g->bytes + offset, *got);
    return VP_OK;
}

static vp_status size_of(void *user, uint64_t *bytes, vp_error *err)
{
    growing *g = user;

    (void)err;
    *bytes = g->size;
    return g->length_unknown && g->have < g->size ? VP_AGAIN : VP_OK;
}

static void load(growing *g, const char *name)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/media/%s",
             getenv("VODPIPE_SRC") ? getenv("VODPIPE_SRC") : ".", name);
    f = fopen(path, "rb");
    if (!f) fail_msg("%s is not there", path);
    g->bytes = malloc(1 << 20);
    g->size = fread(g->bytes, 1, 1 << 20, f);
    fclose(f);
    assert_true(g->size > 0 && g->size < 1 << 20);
}

static vp_status probe(vp_context *c, growing *g, uint64_t max_duration_us, vp_error *err)
{
    vp_source_ops ops = VP_SOURCE_OPS_INIT;
    vp_probe_options o = VP_PROBE_OPTIONS_INIT;
    vp_source *s = NULL;
    vp_media *media = NULL;
    vp_status st;

    ops.read_at = read_at;
    ops.size = size_of;
    o.max_duration_us = max_duration_us;
    assert_int_equal(vpi_source_new_internal(c, &ops, g, &s, NULL), VP_OK);
    st = vp_probe(c, s, &o, NULL, &media, err);
    assert_true((st == VP_OK) == (media != NULL));
    vp_media_unref(media);
    vp_source_unref(s);
    return st;
}

/* Each prefix: not yet, or what it is. */
static size_t known_at(vp_context *c, const char *name, bool moov_at_end)
{
    growing g = { 0 };
    vp_error err = VP_ERROR_INIT;
    size_t first = 0;
    bool told = false;

    load(&g, name);
    for (g.have = 0; g.have < g.size; g.have += g.have < 200 ? 1 : 37) {
        vp_status st = probe(c, &g, 0, &err);

        if (st != VP_OK && st != VP_AGAIN)
            fail_msg("%s, %zu bytes: %s: %s", name, g.have, err.reason, err.message);
        assert_int_equal(err.status, VP_OK);
        if (st == VP_OK && first == 0) first = g.have;
        if (first) assert_int_equal(st, VP_OK); /* once known it stays known */
        if (st == VP_AGAIN && strcmp(err.reason, "MOOV_AT_END") == 0) told = true;
    }
    assert_int_equal(told, moov_at_end);
    g.have = g.size;
    assert_int_equal(probe(c, &g, 0, &err), VP_OK);
    free(g.bytes);
    return first ? first : g.size;
}

static void prefixes(void **state)
{
    vp_context *c = *state;

    known_at(c, "start.mp4", false);
    known_at(c, "h264-aac.mp4", true);
    known_at(c, "av1.mp4", true);
}

/* With the index at the end, and that sent first, the head is enough. */
static void tail_first(void **state)
{
    vp_context *c = *state;
    growing g = { 0 };
    vp_error err = VP_ERROR_INIT;

    load(&g, "h264-aac.mp4");
    /* A longer mdat: over a short gap libavformat reads instead of seeking. ftyp 32, free 8, mdat 2885, moov 1502. */
    memmove(g.bytes + 2925 + 100000, g.bytes + 2925, 1502);
    memset(g.bytes + 2925, 0, 100000);
    g.size += 100000;
    g.bytes[40 + 1] = (2885 + 100000) >> 16;
    g.bytes[40 + 2] = (2885 + 100000) >> 8 & 0xFF;
    g.bytes[40 + 3] = (2885 + 100000) & 0xFF;
    g.have = 100;
    assert_int_equal(probe(c, &g, 0, &err), VP_AGAIN);
    assert_string_equal(err.reason, "MOOV_AT_END");
    /* What the index tells is refused at once, long before the bytes are there. */
    g.tail = 1502;
    assert_int_equal(probe(c, &g, 1, &err), VP_E_LIMIT);
    assert_string_equal(err.reason, "INPUT_LIMIT");
    free(g.bytes);
}

static void early_refusals(void **state)
{
    vp_context *c = *state;
    growing g = { 0 };
    vp_error err = VP_ERROR_INIT;

    load(&g, "start.mp4");
    g.have = 32 + 839 + 8 + 8; /* the index, and where the media begin */
    assert_int_equal(probe(c, &g, 1, &err), VP_E_LIMIT);
    assert_string_equal(err.reason, "INPUT_LIMIT");
    g.length_unknown = true;
    assert_int_equal(probe(c, &g, 0, &err), VP_AGAIN);
    g.length_unknown = false;
    /* Something that is no video is known by its head. */
    memcpy(g.bytes, "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", 15);
    assert_true(probe(c, &g, 0, &err) != VP_OK);
    free(g.bytes);
    /* Also where nobody knows how much will come, but not before more would decide nothing. */
    g.size = 3u << 20;
    g.bytes = malloc(g.size);
    for (size_t i = 0; i < g.size; i++) g.bytes[i] = (uint8_t) "some text\n"[i % 10];
    g.length_unknown = true;
    g.have = (1u << 20) - 1;
    assert_int_equal(probe(c, &g, 0, &err), VP_AGAIN);
    g.have = 1u << 20;
    assert_int_equal(probe(c, &g, 0, &err), VP_E_DATA);
    assert_string_equal(err.reason, "INPUT_UNRECOGNISED");
    memcpy(g.bytes, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
    g.have = 100000;
    assert_int_equal(probe(c, &g, 0, &err), VP_E_DATA);
    assert_string_equal(err.reason, "NOT_A_VIDEO");
    free(g.bytes);
}

static int open_context(void **state)
{
    return vp_context_new(NULL, (vp_context **)state, NULL) == VP_OK ? 0 : -1;
}

static int close_context(void **state)
{
    vp_context_unref(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes),
        cmocka_unit_test(tail_first),
        cmocka_unit_test(early_refusals),
    };

    return cmocka_run_group_tests(tests, open_context, close_context);
}
