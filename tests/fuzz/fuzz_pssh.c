/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 'pssh' boxes; then the same bytes as data of Widevine, as a PlayReady Object, and as a header inside one. */
#include "fuzz.h"

#include "crypt/crypt.h"

static void box(const uint8_t *data, size_t size, bool whole)
{
    uint8_t *d = fuzz_exact(data, size), system[16];
    vp_error err = VP_ERROR_INIT;
    vp_bytes *kids = NULL;
    vp_status st = vp_pssh_parse(d, size, system, &kids, &err);

    FUZZ_REFUSAL(st, err);
    FUZZ_ACCEPTED(st == VP_OK);
    FUZZ_CHECK((st == VP_OK) == (kids != NULL));
    if (kids) FUZZ_CHECK(vp_bytes_size(kids) % 16 == 0);
    if (kids && whole) {
        vpi_pssh p;
        vpi_buf again = { 0 };

        FUZZ_CHECK(vpi_pssh_parse(d, size, &p, NULL) == VP_OK && p.size == size);
        vpi_pssh_write(p.system, p.kids, p.kid_count, p.data, p.data_size, &again);
        /* Version 1 without KIDs, and flags, are not written again. */
        if (p.kid_count == p.version && vpi_rd32(d + 8) == (uint32_t)p.version << 24) {
            FUZZ_CHECK(again.size == size && memcmp(again.data, d, size) == 0);
        }
        vpi_buf_dispose(&again);
    }
    vp_bytes_unref(kids);
    free(d);
}

static void inside(const uint8_t system[16], const uint8_t *data, size_t size)
{
    vpi_buf b = { 0 };

    vpi_pssh_write(system, NULL, 0, data, size, &b);
    if (!vpi_buf_failed(&b)) box(b.data, b.size, true);
    vpi_buf_dispose(&b);
}

static void le16(vpi_buf *b, size_t v)
{
    vpi_buf_u8(b, v & 0xFF);
    vpi_buf_u8(b, v >> 8 & 0xFF);
}

static void header(const uint8_t *data, size_t size)
{
    vpi_buf b = { 0 };

    if (size > 30000) return;
    le16(&b, 2 * size + 10);
    le16(&b, 0);
    le16(&b, 1);
    le16(&b, 1);
    le16(&b, 2 * size);
    for (size_t i = 0; i < size; i++) le16(&b, data[i]);
    inside(vpi_system_playready, b.data, b.size);
    vpi_buf_dispose(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    box(data, size, true);
    inside(vpi_system_widevine, data, size);
    inside(vpi_system_playready, data, size);
    header(data, size);
    return 0;
}
