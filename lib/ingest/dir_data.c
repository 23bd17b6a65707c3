/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes of uploads: as files, or in the file of the record. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/hash.h"
#include "ingest/dir_slot.h"

#define COPY_PIECE (1u << 20)
#define COPY_STEP (256u << 20)
#define DIRECT_PAGE 4096u

_Atomic size_t vpi_dirs_direct_least = VPI_PAST_CACHE;

static int data_open(dir_item *it, int flags)
{
    char name[DIR_NAME_ROOM];

    vpi_dirs_name(name, "", it->id, ".data");
    return vpi_dirs_openat(atomic_load(&it->folder->fd), name, flags);
}

static int write_all(int fd, uint64_t offset, const void *data, size_t size, size_t *done)
{
    int rc = vpi_fault_disk();

    *done = 0;
    if (rc < 0) return rc;
    if (offset > INT64_MAX - size) return -EFBIG;
    while (*done < size) {
        ssize_t n = pwrite(fd, (const uint8_t *)data + *done, size - *done, (off_t)(offset + *done));

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) return -ENOSPC;
        *done += (size_t)n;
    }
    return 0;
}

/* Calls on the descriptor never overlap, but for syncs, which do not care. */
static bool set_direct(dir_item *it, bool direct)
{
    if (it->direct == direct) return true;
    if (fcntl(it->data, F_SETFL, direct ? O_DIRECT : 0) != 0) return false;
    it->direct = direct;
    return true;
}

static int write_plain(dir_item *it, uint64_t offset, const uint8_t *data, size_t size, size_t *done)
{
    *done = 0;
    if (size == 0) return 0;
    if (!set_direct(it, false)) return -errno;
    return write_all(it->data, offset, data, size, done);
}

/*
 * Past the page cache: no copy, no pages to find, no writing back for the sync to wait for. What is read of it comes
 * from the disk. Where that cannot be, the pages go the usual way, from the first that did not.
 */
static int write_direct(dir_item *it, uint64_t offset, const uint8_t *data, size_t size, size_t *done)
{
    size_t n = 0;
    int rc;

    if (!set_direct(it, true)) {
        atomic_store(&it->store->indirect, true);
        return write_plain(it, offset, data, size, done);
    }
    rc = write_all(it->data, offset, data, size, done);
    if (rc != -EINVAL) return rc;
    /* Also for an end that is no whole block any more. */
    if (*done % DIRECT_PAGE == 0) atomic_store(&it->store->indirect, true);
    rc = write_plain(it, offset + *done, data + *done, size - *done, &n);
    *done += n;
    return rc;
}

/* Where nothing is synced, what the disk cannot take soon goes through the cache and waits for nobody. */
static int write_pages(dir_item *it, uint64_t offset, const uint8_t *data, size_t size, size_t *done)
{
    dir_store *s = it->store;
    bool through = s->unsynced && vpi_pace_through(&s->pace, atomic_load(&s->direct));
    unsigned running;
    int64_t began;
    int rc;

    if (through) {
        began = vpi_thread_cpu_us();
        rc = write_plain(it, offset, data, size, done);
        vpi_pace_through_took(&s->pace, *done, vpi_thread_cpu_us() - began);
        return rc;
    }
    began = vpi_now_us();
    running = atomic_fetch_add(&s->direct, 1) + 1;
    rc = write_direct(it, offset, data, size, done);
    atomic_fetch_sub(&s->direct, 1);
    vpi_pace_past_took(&s->pace, *done, vpi_now_us() - began, running);
    return rc;
}

/* Whole pages that lie in memory as in the file are written past the cache where that is worth it. */
static int write_item(dir_item *it, uint64_t offset, const uint8_t *data, size_t size, size_t *done)
{
    size_t head = (size_t)((DIRECT_PAGE - offset % DIRECT_PAGE) % DIRECT_PAGE), pages, n = 0;
    int rc;

    *done = 0;
    if (size < head + DIRECT_PAGE ||
        size < atomic_load_explicit(&vpi_dirs_direct_least, memory_order_relaxed) ||
        (uintptr_t)data % DIRECT_PAGE != offset % DIRECT_PAGE ||
        atomic_load_explicit(&it->store->indirect, memory_order_relaxed))
        return write_plain(it, offset, data, size, done);
    rc = write_plain(it, offset, data, head, done);
    if (rc < 0) return rc;
    pages = (size - head) / DIRECT_PAGE * DIRECT_PAGE;
    rc = write_pages(it, offset + head, data + head, pages, &n);
    *done += n;
    if (rc < 0) return rc;
    rc = write_plain(it, offset + *done, data + *done, size - *done, &n);
    *done += n;
    return rc;
}

static int read_all(int fd, uint64_t offset, void *data, size_t size)
{
    size_t have = 0;

    while (have < size) {
        ssize_t n = pread(fd, (uint8_t *)data + have, size - have, (off_t)(offset + have));

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) return -EIO; /* shorter than what was confirmed */
        have += (size_t)n;
    }
    return 0;
}

static int copy_through(int from, int to, uint64_t from_at, uint64_t to_at, uint64_t size)
{
    uint8_t *piece = vpi_alloc(COPY_PIECE);
    int rc = piece ? 0 : -ENOMEM;
    size_t n, done;

    while (rc == 0 && size > 0) {
        n = (size_t)VPI_MIN(size, (uint64_t)COPY_PIECE);
        rc = read_all(from, from_at, piece, n);
        if (rc == 0) rc = write_all(to, to_at, piece, n, &done);
        from_at += n;
        to_at += n;
        size -= n;
    }
    vpi_free(piece);
    return rc;
}

/* The kernel shares blocks where the file system can. */
static int copy_bytes(int from, int to, uint64_t from_at, uint64_t to_at, uint64_t size)
{
    int rc = vpi_fault_disk();

    if (rc < 0) return rc;
    while (size > 0) {
        loff_t in = (loff_t)from_at, out = (loff_t)to_at;
        ssize_t n = copy_file_range(from, &in, to, &out, (size_t)VPI_MIN(size, (uint64_t)COPY_STEP), 0);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EIO)) return -errno;
        if (n <= 0) return copy_through(from, to, from_at, to_at, size);
        from_at += (uint64_t)n;
        to_at += (uint64_t)n;
        size -= (uint64_t)n;
    }
    return 0;
}

/* ---- begin ---- */

/*
 * The file is shared although its upload goes on: whoever finished it was killed between the link and the record. Its
 * bytes are others' now; this upload gets a copy of those that count.
 */
static int own_copy(dir_item *it, uint64_t valid)
{
    char name[DIR_NAME_ROOM], temp[DIR_NAME_ROOM];
    int at = atomic_load(&it->folder->fd), from = it->data, rc;

    vpi_dirs_name(name, "", it->id, ".data");
    vpi_dirs_name(temp, ".", it->id, ".copy");
    rc = vpi_dirs_unlink(at, temp);
    if (rc < 0) return rc;
    it->data = vpi_dirs_openat(at, temp, O_RDWR | O_CREAT | O_EXCL);
    it->direct = false;
    rc = it->data < 0 ? it->data : copy_bytes(from, it->data, 0, 0, valid);
    if (rc == 0) rc = vpi_dirs_datasync(it->store, it->data);
    if (rc == 0) rc = vpi_fault_disk();
    if (rc == 0 && renameat(at, temp, at, name) != 0) rc = -errno;
    it->name = vpi_dirs_named(it->folder);
    close(from);
    return rc;
}

/* Inside: what this item found or wrote is all there is. -ENODATA: there is less. */
static int cut_inside(dir_item *it, uint64_t offset)
{
    uint64_t end = it->base + offset;
    int rc = vpi_small_write(it);

    if (rc < 0) return rc;
    if (it->end < end) return -ENODATA;
    if (it->end == end) return 0;
    rc = vpi_fault_disk();
    if (rc == 0 && ftruncate(it->rec, (off_t)end) != 0) rc = -errno;
    if (rc == 0) it->end = end;
    return rc;
}

/* -ENODATA: there is less. */
static int open_valid(dir_item *it, uint64_t offset)
{
    struct stat s;
    int rc;

    if (it->data < 0) {
        it->data = data_open(it, O_RDWR);
        if (it->data == -ENOENT && offset == 0) {
            it->data = data_open(it, O_RDWR | O_CREAT | O_EXCL);
            it->name = vpi_dirs_named(it->folder);
        }
    }
    if (it->data < 0) return it->data;
    if (fstat(it->data, &s) != 0) return -errno;
    if ((uint64_t)s.st_size < offset) return -ENODATA;
    if ((uint64_t)s.st_size == offset) return 0;
    it->cut = true;
    if (s.st_nlink > 1) return own_copy(it, offset);
    /* What lies beyond was never confirmed, and a sync that failed may have left the cache a lie: it goes. */
    rc = vpi_fault_disk();
    if (rc == 0 && ftruncate(it->data, (off_t)offset) != 0) rc = -errno;
    return rc;
}

static vp_status opened(const dir_item *it, int rc, vp_error *err)
{
    if (rc == -ENOENT || rc == -ENODATA)
        return vpi_fail(err, VP_E_DATA, "UPLOAD_CORRUPT", "bytes that were confirmed are not there");
    return rc < 0 ? vpi_fail_errno(err, -rc, it->id, "opening the upload's file failed") : VP_OK;
}

vp_status vpi_dirs_begin(void *item, const vpi_buf *token, uint64_t offset, uint64_t length, vp_error *err)
{
    dir_item *it = item;
    int rc;

    (void)token;
    (void)length;
    /* Nobody else has written, or the first write will say so. */
    if (it->base > 0 && it->end == it->base + offset) return VP_OK;
    VPI_TRY(vpi_dirs_step(it, err));
    rc = it->base > 0 ? cut_inside(it, offset) : open_valid(it, offset);
    vpi_dirs_step_end(it);
    return opened(it, rc, err);
}

/* What was written and does not count must not be in a file that is whole. */
vp_status vpi_dirs_finish(void *item, const vpi_buf *token, uint64_t size, vp_error *err)
{
    dir_item *it = item;
    int rc;

    (void)token;
    if (it->base > 0 && (it->end == it->base + size || vpi_small_is_all(it, size))) return VP_OK;
    VPI_TRY(vpi_dirs_step(it, err));
    rc = it->base > 0 ? cut_inside(it, size) : open_valid(it, size);
    if (rc == 0 && it->cut) rc = vpi_dirs_datasync(it->store, it->data);
    if (rc == 0) it->cut = false;
    vpi_dirs_step_end(it);
    return opened(it, rc, err);
}

/* ---- bytes ---- */

/* What is written again, or beyond what counts, is summed when it is put. */
static void note_inside(dir_item *it, uint64_t offset, const void *data, size_t size)
{
    if (it->summed == offset) {
        it->sum = vpi_crc32c(it->sum, data, size);
        it->summed += size;
    } else if (offset < it->summed) {
        it->summed = UINT64_MAX;
    }
}

vp_status vpi_dirs_write(void *item, uint64_t offset, const void *data, size_t size, size_t *done,
                         vp_error *err)
{
    dir_item *it = item;
    int rc;

    *done = 0;
    if (vpi_small_keep(it, offset, data, size)) {
        *done = size;
        note_inside(it, offset, data, size);
        return VP_OK;
    }
    VPI_TRY(vpi_dirs_step(it, err));
    if (it->base > 0) {
        rc = vpi_small_write(it);
        if (rc == 0) rc = write_all(it->rec, it->base + offset, data, size, done);
        it->end = VPI_MAX(it->end, it->base + offset + *done);
        note_inside(it, offset, data, *done);
    } else {
        rc = write_item(it, offset, data, size, done);
    }
    vpi_dirs_step_end(it);
    return rc < 0 ? vpi_fail_errno(err, -rc, it->id, "writing the upload failed") : VP_OK;
}

vp_status vpi_dirs_sync_data(void *item, vpi_buf *token, vp_error *err)
{
    dir_item *it = item;
    int rc = 0;

    (void)token;
    if (it->base > 0) return VP_OK; /* with the record */
    if (it->data >= 0) rc = vpi_dirs_datasync(it->store, it->data);
    if (rc == 0) it->cut = false;
    if (rc == 0 && it->name > 0) {
        rc = vpi_dirs_sync_name(it->store, it->folder, it->name);
        if (rc == 0) it->name = 0;
    }
    if (rc < 0) return vpi_fail_errno(err, -rc, it->id, "making the upload durable failed");
    return it->data >= 0 && vpi_fd_is_removed(it->data) ? vpi_dirs_removed(it->id, err) : VP_OK;
}

vp_status vpi_dirs_read(void *item, uint64_t offset, void *data, size_t size, vp_error *err)
{
    dir_item *it = item;
    int fd = it->base > 0 ? it->rec : it->data, rc = -EBADF;

    if (fd >= 0) rc = fd == it->rec ? vpi_small_write(it) : set_direct(it, false) ? 0 : -errno;
    if (rc == 0) rc = read_all(fd, it->base + offset, data, size);
    return rc < 0 ? vpi_fail_errno(err, -rc, it->id, "reading the upload failed") : VP_OK;
}

/* The bytes of an upload, to read. The record says where they are, as of the newest slot. */
typedef struct place {
    int fd;
    uint64_t base, end; /* of the bytes, in the file */
    uint32_t sum;       /* with a base: of what is confirmed */
} place;

static int find_bytes(dir_store *d, const char *id, place *p)
{
    char name[DIR_NAME_ROOM];
    dir_folder *f;
    slot_file c = { 0 };
    struct stat s;
    int at = vpi_dirs_upload_folder(d, id, false, &f), rc;

    if (at < 0) return at;
    *p = (place){ .fd = -1 };
    vpi_dirs_name(name, "", id, ".rec");
    p->fd = vpi_dirs_openat(at, name, O_RDONLY);
    if (p->fd < 0) return p->fd;
    rc = vpi_slots_read(p->fd, &c);
    if (rc == 0 && c.head.inside) {
        p->base = vpi_slot_at(c.room, true, 2);
        p->end = c.end;
        p->sum = c.newest < 0 ? 0 : c.slots[c.newest].sum;
    }
    vpi_buf_dispose(&c.bytes);
    if (rc == 0 && p->base == 0) {
        close(p->fd);
        vpi_dirs_name(name, "", id, ".data");
        p->fd = vpi_dirs_openat(at, name, O_RDONLY);
        if (p->fd < 0) return p->fd;
        if (fstat(p->fd, &s) != 0) rc = -errno;
        p->end = (uint64_t)s.st_size;
    }
    if (rc < 0) close(p->fd);
    return rc;
}

vp_status vpi_dirs_copy(void *item, uint64_t offset, const char *from, uint64_t size, vp_error *err)
{
    dir_item *it = item;
    uint64_t at;
    place p;
    int rc = find_bytes(it->store, from, &p);

    if (rc == -ENOMEM) return vpi_fail_nomem(err);
    if (rc < 0) return vpi_fail_errno(err, -rc, from, "opening a part failed");
    at = p.base;
    while (rc == 0 && size > 0) {
        uint64_t n = VPI_MIN(size, (uint64_t)COPY_STEP);
        vp_status st = vpi_dirs_step(it, err);

        if (st < 0) {
            close(p.fd);
            return st;
        }
        rc = set_direct(it, false) ? copy_bytes(p.fd, it->data, at, offset, n) : -errno;
        vpi_dirs_step_end(it);
        at += n;
        offset += n;
        size -= n;
    }
    close(p.fd);
    if (rc == -ENOMEM) return vpi_fail_nomem(err);
    return rc < 0 ? vpi_fail_errno(err, -rc, it->id, "copying a part failed") : VP_OK;
}

vp_status vpi_dirs_source(void *back, const char *id, const vpi_buf *token, uint64_t size, bool finished,
                          vp_source **out, vp_error *err)
{
    dir_store *d = back;
    char mark[24];
    place p;
    int rc = find_bytes(d, id, &p);

    (void)token;
    if (rc == -ENOMEM) return vpi_fail_nomem(err);
    if (rc < 0) return vpi_fail_errno(err, -rc, id, "opening the upload's bytes failed");
    /* Behind bytes that are inside a page may be filled up. */
    if (p.end < p.base || p.end - p.base < size || (finished && p.base == 0 && p.end != size)) {
        close(p.fd);
        return vpi_fail(err, VP_E_DATA, "UPLOAD_CORRUPT",
                        "the upload's file has not the size that was confirmed");
    }
    if (p.base == 0) return vpi_source_fd(d->context, p.fd, id, out, err);
    /* The file changes with each request that looks at the upload, the bytes do not. */
    snprintf(mark, sizeof(mark), "%08lx", (unsigned long)p.sum);
    /* Of one that grows the caller knows where it ends. */
    if (!finished) size = (uint64_t)INT64_MAX - p.base;
    return vpi_source_range(d->context, p.fd, p.base, size, mark, id, out, err);
}
