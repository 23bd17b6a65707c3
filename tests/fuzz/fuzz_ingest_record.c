/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records of uploads. Size and CRC are put right, so that what lies behind them is reached. */
#include "fuzz.h"

#include "base/hash.h"
#include "ingest/record.h"

static void put32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* What was read is written and read again: the same bytes come out. */
static void round_trip(const vpi_record *r)
{
    vpi_buf once = { 0 }, twice = { 0 };
    vpi_record again = { 0 };

    vpi_record_write(r, &once);
    FUZZ_CHECK(once.failed || once.size <= vpi_record_room(r) + r->token.size);
    if (!once.failed && vpi_record_read(&again, r->id, once.data, once.size, NULL) == VP_OK) {
        vpi_record_write(&again, &twice);
        FUZZ_CHECK(twice.failed ||
                   (twice.size == once.size && memcmp(twice.data, once.data, once.size) == 0));
    } else {
        FUZZ_CHECK(once.failed);
    }
    vpi_record_dispose(&again);
    vpi_buf_dispose(&once);
    vpi_buf_dispose(&twice);
}

static void look(const uint8_t *d, size_t size)
{
    vpi_record r = { 0 };
    vp_error err = VP_ERROR_INIT;
    vp_status st = vpi_record_read(&r, NULL, d, size, &err);

    FUZZ_CHECK(st == VP_OK || st == VP_E_DATA || st == VP_E_VERSION);
    if (st == VP_OK) {
        vpi_range g;

        FUZZ_ACCEPTED(1);
        FUZZ_CHECK(r.length == VP_SIZE_UNKNOWN || r.offset <= r.length);
        FUZZ_CHECK(vpi_ranges_sum(&r.ranges) <= INT64_MAX);
        FUZZ_CHECK(!vpi_ranges_gap(&r.ranges, 0, r.length, &g) || g.from < g.to);
        round_trip(&r);
    }
    vpi_record_dispose(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *d;

    if (size == 0) return 0;
    d = fuzz_exact(data, size);
    look(d, size);
    if (size >= 16) {
        put32(d + 8, (uint32_t)size);
        put32(d + size - 4, vpi_crc32c(0, d, size - 4));
        look(d, size);
    }
    free(d);
    return 0;
}
