/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of records: head, slots, bytes behind them. Their sums are put right, so that what lies behind is reached. */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "ingest/dir_slot.h"

static void put32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void check_slot(const slot_file *f, int which)
{
    const slot *s = &f->slots[which];

    FUZZ_CHECK(s->number > 0);
    FUZZ_CHECK(s->record >= f->bytes.data && (size_t)(s->record - f->bytes.data) + s->size <= f->bytes.size);
    FUZZ_CHECK(s->size <= vpi_slot_most(f->room, f->head.inside));
}

static void look(const uint8_t *d, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    slot_file f = { 0 };
    uint32_t sum;

    if (fd < 0 || pwrite(fd, d, size, 0) != (ssize_t)size) abort();
    if (vpi_slots_read(fd, &f) == 0) {
        FUZZ_CHECK(f.newest >= -1 && f.newest <= 1);
        if (f.newest >= 0) check_slot(&f, f.newest);
        FUZZ_CHECK(vpi_slots_prove(fd, &f) == 0);
        FUZZ_CHECK(f.newest >= -1 && f.newest <= 1 && (f.dropped < 0 || f.dropped != f.newest));
        if (f.newest >= 0) {
            const slot *s = &f.slots[f.newest];

            FUZZ_ACCEPTED(1);
            check_slot(&f, f.newest);
            FUZZ_CHECK(
                s->number <= f.head.durable ||
                (vpi_slot_sum(fd, vpi_slot_at(f.room, true, 2), s->bytes, &sum) == 0 && sum == s->sum));
        }
    }
    vpi_buf_dispose(&f.bytes);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *d;
    size_t room;

    if (size < SLOT_PAGE || size > (64u << 10)) return 0;
    d = fuzz_exact(data, size);
    look(d, size);
    put32(d + 28, vpi_crc32c(0, d, 28));
    look(d, size);
    room = (size_t)vpi_rd32(d + 24) * SLOT_PAGE;
    for (unsigned i = 0; i < 2 && room > 0; i++) {
        size_t at = vpi_slot_at(room, vpi_rd32(d + 4) == 3, i), n;

        if (at + 40 > size) break;
        n = vpi_rd32(d + at + 4);
        if (n > size - at - 40) continue;
        put32(d + at + 24, d[at + 3] == 'I' ? vpi_crc32c(vpi_crc32c(0, d + at, 24), d + at + 28, 12 + n)
                                            : vpi_crc32c(vpi_crc32c(0, d + at, 24), d + at + 32, n));
    }
    look(d, size);
    free(d);
    return 0;
}
