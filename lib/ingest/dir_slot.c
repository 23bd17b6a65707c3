/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ingest/dir_slot.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/hash.h"

#define PAGE SLOT_PAGE
#define HEAD_MAGIC 0x56505546u   /* "VPUF" */
#define SLOT_MAGIC 0x56505553u   /* "VPUS" */
#define INSIDE_MAGIC 0x56505549u /* "VPUI" */
#define HEAD_SIZE 32u
#define HEAD_APART 1u
#define HEAD_INSIDE 3u
#define APART_HEAD 32u
#define INSIDE_HEAD 40u
#define FILE_MAX (PAGE + 2 * (uint64_t)(VPI_RECORD_MAX + 2 * PAGE))
#define FIRST_READ (3u * PAGE)
#define SUM_PIECE 32768u

static unsigned slot_head_size(bool inside)
{
    return inside ? INSIDE_HEAD : APART_HEAD;
}

/* That no record has, in the first slot. */
static unsigned taken(bool inside)
{
    return slot_head_size(inside) + (inside ? SLOT_SECTOR : 0);
}

size_t vpi_slot_room(size_t record, bool inside)
{
    return (taken(inside) + record + PAGE - 1) / PAGE * PAGE;
}

size_t vpi_slot_most(size_t room, bool inside)
{
    return room - taken(inside);
}

uint64_t vpi_slot_at(size_t room, bool inside, unsigned which)
{
    if (inside) return which == 0 ? SLOT_SECTOR : which * (uint64_t)room;
    return PAGE + which * (uint64_t)room;
}

/* ---- reading ---- */

static slot_head parse_head(const uint8_t *p)
{
    uint32_t kind = vpi_rd32(p + 4);

    if (vpi_rd32(p) != HEAD_MAGIC || (kind != HEAD_APART && kind != HEAD_INSIDE) || vpi_rd32(p + 24) == 0 ||
        vpi_rd32(p + 28) != vpi_crc32c(0, p, 28))
        return (slot_head){ 0 };
    return (slot_head){ vpi_rd64(p + 8), vpi_rd64(p + 16), (size_t)vpi_rd32(p + 24) * PAGE,
                        kind == HEAD_INSIDE };
}

static bool blank(const uint8_t *p, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (p[i]) return false;
    }
    return true;
}

/* Of all but the sum itself. */
static uint32_t slot_sum(const uint8_t *p, size_t size, bool inside)
{
    uint32_t sum = vpi_crc32c(0, p, 24);

    return inside ? vpi_crc32c(sum, p + 28, INSIDE_HEAD - 28 + size) : vpi_crc32c(sum, p + APART_HEAD, size);
}

static bool parse_slot(const uint8_t *p, size_t room, bool inside, slot *s)
{
    unsigned head = slot_head_size(inside);
    size_t size = vpi_rd32(p + 4);

    *s = (slot){ 0 };
    if (vpi_rd32(p) != (inside ? INSIDE_MAGIC : SLOT_MAGIC) || size > vpi_slot_most(room, inside))
        return false;
    if (vpi_rd32(p + 24) != slot_sum(p, size, inside)) return false;
    *s = (slot){ .number = vpi_rd64(p + 8), .fence = vpi_rd64(p + 16), .record = p + head, .size = size };
    if (inside) {
        s->bytes = vpi_rd32(p + 28);
        s->sum = vpi_rd32(p + 32);
    }
    return s->number > 0;
}

/*
 * Whether something was confirmed of a record without a valid slot. The head comes with the first sync, and says more
 * than UNNAMED only after one: where it is blank or says that, a machine stopped before.
 */
static bool was_confirmed(const slot_file *f, bool torn)
{
    return f->head.room > 0 ? f->head.durable != SLOT_UNNAMED : torn && !blank(f->bytes.data, HEAD_SIZE);
}

static void parse(slot_file *f)
{
    bool inside = f->head.inside, all;

    f->newest = f->dropped = -1;
    f->torn = false;
    if (f->bytes.size < vpi_slot_at(PAGE, inside, 2)) {
        /*
         * Made by a process that was killed before it wrote all, or by a machine that was: but not if the head says
         * more, or is none in a file that is as long as a small upload's.
         */
        f->torn = was_confirmed(f, f->bytes.size >= vpi_slot_at(PAGE, true, 2));
        f->head = (slot_head){ 0 };
        return;
    }
    f->room = inside ? f->head.room : (f->bytes.size - PAGE) / 2 / PAGE * PAGE;
    all = f->head.room == 0 || (f->head.room == f->room && f->bytes.size >= vpi_slot_at(f->room, inside, 2));
    for (int i = 0; i < 2; i++) {
        const uint8_t *p;

        f->slots[i] = (slot){ 0 };
        if (!all) continue;
        p = f->bytes.data + vpi_slot_at(f->room, inside, (unsigned)i);
        if (!parse_slot(p, f->room, inside, &f->slots[i])) {
            f->torn = f->torn || !blank(p, APART_HEAD);
        } else if (f->newest < 0 || f->slots[i].number > f->slots[f->newest].number) {
            f->newest = i;
        }
    }
    if (f->newest < 0) f->torn = was_confirmed(f, f->torn);
}

/* Appends up to `size` bytes. */
static int read_more(int fd, vpi_buf *b, size_t size)
{
    size_t have = b->size, end = have + size;

    if (size == 0) return 0;
    if (!vpi_buf_space(b, size)) return -ENOMEM;
    while (have < end) {
        ssize_t n = pread(fd, b->data + have, end - have, (off_t)have);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) break;
        have += (size_t)n;
    }
    b->size = have;
    return 0;
}

int vpi_slots_read(int fd, slot_file *f)
{
    struct stat s;
    uint64_t want;
    int rc;

    if (fstat(fd, &s) != 0) return -errno;
    f->end = (uint64_t)s.st_size;
    f->links = (unsigned)s.st_nlink;
    f->head = (slot_head){ 0 };
    vpi_buf_clear(&f->bytes);
    rc = read_more(fd, &f->bytes, (size_t)VPI_MIN(f->end, (uint64_t)FIRST_READ));
    if (rc == 0 && f->bytes.size >= HEAD_SIZE) f->head = parse_head(f->bytes.data);
    want = f->head.inside ? vpi_slot_at(f->head.room, true, 2) : f->end;
    if (rc == 0 && want > FILE_MAX) rc = -EFBIG;
    want = VPI_MIN(want, f->end);
    if (rc == 0 && want > f->bytes.size) rc = read_more(fd, &f->bytes, (size_t)(want - f->bytes.size));
    if (rc == 0) parse(f);
    return rc;
}

slot_head vpi_slot_head(int fd)
{
    uint8_t p[HEAD_SIZE];

    return pread(fd, p, sizeof(p), 0) == (ssize_t)sizeof(p) ? parse_head(p) : (slot_head){ 0 };
}

int vpi_slot_sum(int fd, uint64_t at, uint64_t size, uint32_t *sum)
{
    uint8_t piece[SUM_PIECE];

    *sum = 0;
    while (size > 0) {
        ssize_t n = pread(fd, piece, (size_t)VPI_MIN(size, (uint64_t)sizeof(piece)), (off_t)at);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 ? -errno : -ENODATA;
        *sum = vpi_crc32c(*sum, piece, (size_t)n);
        at += (uint64_t)n;
        size -= (uint64_t)n;
    }
    return 0;
}

int vpi_slots_prove(int fd, slot_file *f)
{
    while (f->newest >= 0 && f->slots[f->newest].number > f->head.durable) {
        const slot *s = &f->slots[f->newest];
        uint32_t sum;
        int rc = vpi_slot_sum(fd, vpi_slot_at(f->room, true, 2), s->bytes, &sum);

        if (rc < 0 && rc != -ENODATA) return rc;
        if (rc == 0 && sum == s->sum) break;
        f->dropped = f->newest;
        f->slots[f->dropped] = (slot){ 0 };
        f->newest = f->slots[1 - f->dropped].number > 0 ? 1 - f->dropped : -1;
        if (f->newest < 0) f->torn = was_confirmed(f, f->torn);
    }
    return 0;
}

/* ---- writing ---- */

static void put64(uint8_t *p, uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8) p[i] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 3; i >= 0; i--, v >>= 8) p[i] = (uint8_t)v;
}

int vpi_slot_write_at(int fd, const void *data, size_t size, uint64_t offset)
{
    const uint8_t *p = data;
    int rc = vpi_fault_disk();

    if (rc < 0) return rc;
    while (size > 0) {
        ssize_t n = pwrite(fd, p, size, (off_t)offset);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 ? -errno : -ENOSPC;
        p += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static void make_head(uint8_t *p, slot_head h)
{
    memset(p, 0, HEAD_SIZE);
    put32(p, HEAD_MAGIC);
    put32(p + 4, h.inside ? HEAD_INSIDE : HEAD_APART);
    put64(p + 8, h.fence);
    put64(p + 16, h.durable);
    put32(p + 24, (uint32_t)(h.room / PAGE));
    put32(p + 28, vpi_crc32c(0, p, 28));
}

int vpi_slot_write_head(int fd, slot_head h)
{
    uint8_t p[HEAD_SIZE];

    make_head(p, h);
    return vpi_slot_write_at(fd, p, sizeof(p), 0);
}

void vpi_slot_form(uint8_t *p, const slot_head *h, const slot *s)
{
    bool inside = h->inside;
    unsigned head = slot_head_size(inside);

    memset(p, 0, head);
    put32(p, inside ? INSIDE_MAGIC : SLOT_MAGIC);
    put32(p + 4, (uint32_t)s->size);
    put64(p + 8, s->number);
    put64(p + 16, s->fence);
    if (inside) {
        put32(p + 28, s->bytes);
        put32(p + 32, s->sum);
    }
    memcpy(p + head, s->record, s->size);
    put32(p + 24, slot_sum(p, s->size, inside));
}

int vpi_slots_make(int fd, slot_head h, const slot *first)
{
    uint64_t end = vpi_slot_at(h.room, h.inside, 2);
    /* Bytes inside need free space in any case, and the second slot comes with them. */
    size_t size = h.inside ? h.room : (size_t)end;
    uint8_t *p = vpi_calloc(1, size);
    int rc;

    if (!p) return -ENOMEM;
    make_head(p, h);
    vpi_slot_form(p + vpi_slot_at(h.room, h.inside, 0), &h, first);
    rc = vpi_slot_write_at(fd, p, size, 0);
    if (rc == 0 && h.inside) rc = vpi_fault_disk();
    if (rc == 0 && h.inside && ftruncate(fd, (off_t)end) != 0) rc = -errno;
    vpi_free(p);
    return rc;
}

int vpi_slot_write(int fd, const slot_head *h, unsigned which, const slot *s)
{
    size_t size = slot_head_size(h->inside) + s->size;
    uint8_t small[PAGE], *p = small;
    int rc;

    if (size > sizeof(small) && !(p = vpi_alloc(size))) return -ENOMEM;
    vpi_slot_form(p, h, s);
    rc = vpi_slot_write_at(fd, p, size, vpi_slot_at(h->room, h->inside, which));
    if (p != small) vpi_free(p);
    return rc;
}

int vpi_slot_wipe(int fd, const slot_head *h, unsigned which)
{
    static const uint8_t none[INSIDE_HEAD];

    return vpi_slot_write_at(fd, none, slot_head_size(h->inside), vpi_slot_at(h->room, h->inside, which));
}
