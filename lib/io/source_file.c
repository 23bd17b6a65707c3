/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io_int.h"

typedef struct file {
    int fd;
    uint64_t base, size;
    char mark[24]; /* "": the identity is the file's */
    char name[sizeof(((vp_error *)0)->key)];
} file;

vp_status vpi_file_read_at(void *user, uint64_t offset, void *data, size_t capacity, size_t *got,
                           vp_error *err)
{
    file *f = user;
    ssize_t n;

    *got = 0;
    if (offset > INT64_MAX - f->base) return VP_OK;
    capacity = VPI_MIN(capacity, (size_t)PTRDIFF_MAX);
    /* Of a range what is behind it is not its own; a file may grow. */
    if (f->base > 0) capacity = (size_t)VPI_MIN((uint64_t)capacity, f->size - VPI_MIN(offset, f->size));
    do {
        n = pread(f->fd, data, capacity, (off_t)(f->base + offset));
    } while (n < 0 && errno == EINTR);
    if (n < 0) return vpi_fail_errno(err, errno, f->name, "reading the file failed");
    *got = (size_t)n;
    return VP_OK;
}

static vp_status file_size(void *user, uint64_t *bytes, vp_error *err)
{
    file *f = user;

    (void)err;
    *bytes = f->size;
    return VP_OK;
}

static vp_status file_identity(void *user, char *text, size_t capacity, vp_error *err)
{
    file *f = user;
    struct stat s;

    if (fstat(f->fd, &s) != 0) return vpi_fail_errno(err, errno, f->name, "looking at the file failed");
    if (f->mark[0]) {
        snprintf(text, capacity, "%s-%llu-%llu", f->mark, (unsigned long long)f->size,
                 (unsigned long long)s.st_ino);
        return VP_OK;
    }
    snprintf(text, capacity, "%lld%09ld-%lld-%llu", (long long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec,
             (long long)s.st_size, (unsigned long long)s.st_ino);
    return VP_OK;
}

static void file_release(void *user)
{
    file *f = user;

    close(f->fd);
    vpi_free(f);
}

static vp_status open_range(vp_context *context, const file *range, vp_source **out, vp_error *err)
{
    vp_source_ops ops = VP_SOURCE_OPS_INIT;
    struct stat s;
    file *f = NULL;
    vp_status st;

    *out = NULL;
    if (fstat(range->fd, &s) != 0) {
        st = vpi_fail_errno(err, errno, range->name, "looking at the file failed");
    } else if (!S_ISREG(s.st_mode)) {
        st = vpi_fail(err, VP_E_ARG, NULL, "not a regular file");
    } else if ((f = vpi_calloc(1, sizeof(*f))) == NULL) {
        st = vpi_fail_nomem(err);
    } else {
        *f = *range;
        if (!f->mark[0]) f->size = (uint64_t)s.st_size;
        ops.read_at = vpi_file_read_at;
        ops.size = file_size;
        ops.identity = file_identity;
        ops.release = file_release;
        st = vpi_source_new_internal(context, &ops, f, out, err);
    }
    if (st == VP_OK) return VP_OK;
    vpi_error_key(err, range->name);
    vpi_free(f);
    close(range->fd);
    return st;
}

vp_status vpi_source_fd(vp_context *context, int fd, const char *name, vp_source **out, vp_error *err)
{
    file all = { .fd = fd };

    vpi_strlcpy(all.name, name, sizeof(all.name));
    return open_range(context, &all, out, err);
}

vp_status vpi_source_range(vp_context *context, int fd, uint64_t base, uint64_t size, const char *mark,
                           const char *name, vp_source **out, vp_error *err)
{
    file range = { .fd = fd, .base = base, .size = size };

    vpi_strlcpy(range.mark, mark, sizeof(range.mark));
    vpi_strlcpy(range.name, name, sizeof(range.name));
    return open_range(context, &range, out, err);
}

vp_status vp_source_file(vp_context *context, const char *path, vp_source **out, vp_error *err)
{
    vp_status st;
    int fd;

    vp_error_init(err);
    if (!out || !path) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    /* NONBLOCK: a FIFO or a device must not hang here, before it is known what it is. */
    do {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        st = vpi_fail_errno(err, errno, path, "opening the file failed");
    } else {
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        st = vpi_source_fd(context, fd, path, out, err);
    }
    return vpi_io_done(st, "source.open", path, err);
}
