/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sum of what uploads occupy, in a file that the processes of this machine share: ROOT/quota. It is raised before
 * an upload is made and lowered after one was removed, so a kill leaves it too high, never too low; it is counted anew
 * when it stands in the way, and after the machine has started again. Byte 0 is locked around a change, byte 1 is held
 * shared from the raise until the upload can be counted. Whoever lowers it says when it was counted before the record
 * went: after a later count, which may have missed those bytes already, the sum stays as it is.
 */

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "base/hash.h"
#include "ingest/dir_int.h"

#define MAGIC 0x56505552u /* "VPUR" */
#define BOOT 36u
#define SIZE (4u + BOOT + 16u + 4u)
#define TRIES 400

static void read_boot(uint8_t boot[BOOT])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

    memset(boot, 0, BOOT);
    if (fd < 0) return;
    if (read(fd, boot, BOOT) != (ssize_t)BOOT) memset(boot, 0, BOOT);
    close(fd);
}

static int lock_soon(int fd, off_t at, short type)
{
    struct timespec t = { 0, 1000000 };
    int rc = vpi_dirs_lock(fd, at, type);

    for (int tries = 0; rc == -EAGAIN && tries < TRIES; tries++) {
        nanosleep(&t, NULL);
        rc = vpi_dirs_lock(fd, at, type);
    }
    return rc;
}

/* counted: when that was done last, on the clock of this start of the machine; never 0. */
static bool read_sum(int fd, uint64_t *sum, uint64_t *counted)
{
    uint8_t p[SIZE], boot[BOOT];

    if (pread(fd, p, SIZE, 0) != (ssize_t)SIZE) return false;
    read_boot(boot);
    *sum = vpi_rd64(p + 4 + BOOT);
    *counted = vpi_rd64(p + 12 + BOOT);
    return vpi_rd32(p) == MAGIC && memcmp(p + 4, boot, BOOT) == 0 &&
           vpi_rd32(p + SIZE - 4) == vpi_crc32c(0, p, SIZE - 4);
}

static int write_sum(int fd, uint64_t sum, uint64_t counted)
{
    uint8_t boot[BOOT];
    vpi_buf b = { 0 };
    ssize_t n = -1;

    read_boot(boot);
    vpi_buf_be32(&b, MAGIC);
    vpi_buf_add(&b, boot, BOOT);
    vpi_buf_be64(&b, sum);
    vpi_buf_be64(&b, counted);
    if (!b.failed) vpi_buf_be32(&b, vpi_crc32c(0, b.data, b.size));
    if (b.failed)
        errno = ENOMEM;
    else
        n = pwrite(fd, b.data, b.size, 0);
    vpi_buf_dispose(&b);
    return n == (ssize_t)SIZE ? 0 : n < 0 ? -errno : -ENOSPC;
}

static int open_quota(dir_store *d)
{
    int root = vpi_dir_root(d->root, true);

    return root < 0 ? root : vpi_dirs_openat(root, "quota", O_RDWR | O_CREAT);
}

typedef vp_status (*recount_fn)(void *user, uint64_t *sum, vp_error *err);

/* With byte 0. Nobody may be between raise and record; who is there for long keeps the old sum. */
static vp_status count_anew(int fd, recount_fn recount, void *user, uint64_t *sum, vp_error *err)
{
    uint64_t found = 0;
    int rc = lock_soon(fd, 1, F_WRLCK);
    vp_status st;

    if (rc == -EAGAIN) return VP_AGAIN;
    if (rc < 0) return vpi_fail_errno(err, -rc, "quota", "locking the quota failed");
    st = recount(user, &found, err);
    if (st == VP_OK) *sum = found;
    vpi_dirs_lock(fd, 1, F_UNLCK);
    return st;
}

static vp_status take_locked(int fd, uint64_t bytes, uint64_t limit, recount_fn recount, void *user,
                             bool *fits, vp_error *err)
{
    uint64_t sum = 0, counted = 0, raised;
    bool known = read_sum(fd, &sum, &counted);
    int rc;

    *fits = known && vpi_add_u64(sum, bytes, &raised) && raised <= limit;
    if (!*fits) {
        vp_status st = count_anew(fd, recount, user, &sum, err);

        if (st < 0) return st;
        if (st == VP_OK) counted = VPI_MAX((uint64_t)vpi_now_us(), counted + 1);
        if (st == VP_AGAIN && !known)
            return vpi_fail(err, VP_E_CONFLICT, "ALREADY_RUNNING", "the quota is being taken");
        *fits = vpi_add_u64(sum, bytes, &raised) && raised <= limit;
    }
    rc = write_sum(fd, *fits ? raised : sum, counted);
    return rc < 0 ? vpi_fail_errno(err, -rc, "quota", "writing the quota failed") : VP_OK;
}

vp_status vpi_dirs_quota_take(void *back, uint64_t bytes, uint64_t limit, recount_fn recount, void *user,
                              intptr_t *hold, bool *fits, vp_error *err)
{
    int fd = open_quota(back), rc;
    vp_status st;

    *fits = false;
    if (fd < 0) return vpi_fail_errno(err, -fd, "quota", "opening the quota failed");
    rc = lock_soon(fd, 0, F_WRLCK);
    if (rc < 0) {
        close(fd);
        if (rc != -EAGAIN) return vpi_fail_errno(err, -rc, "quota", "locking the quota failed");
        return vpi_fail(err, VP_E_CONFLICT, "ALREADY_RUNNING", "the quota is being taken");
    }
    st = take_locked(fd, bytes, limit, recount, user, fits, err);
    if (st == VP_OK && *fits && hold && vpi_dirs_lock(fd, 1, F_RDLCK) == 0) {
        vpi_dirs_lock(fd, 0, F_UNLCK);
        *hold = (intptr_t)fd + 1;
    } else {
        close(fd);
    }
    return st;
}

void vpi_dirs_quota_settle(void *back, intptr_t hold)
{
    (void)back;
    if (hold > 0) close((int)(hold - 1));
}

uint64_t vpi_dirs_quota_mark(void *back)
{
    int fd = open_quota(back);
    uint64_t sum, counted = 0;

    if (fd < 0) return 0;
    if (!read_sum(fd, &sum, &counted)) counted = 0;
    close(fd);
    return counted;
}

void vpi_dirs_quota_give(void *back, uint64_t bytes, uint64_t mark)
{
    int fd = open_quota(back);
    uint64_t sum, counted;

    if (fd < 0) return;
    /* Where this does not come through the sum stays too high until somebody counts. */
    if (lock_soon(fd, 0, F_WRLCK) == 0 && read_sum(fd, &sum, &counted) && counted == mark)
        (void)write_sum(fd, sum - VPI_MIN(sum, bytes), counted);
    close(fd);
}
