/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Locks of single bytes of open files: they are the file's, not the process's, and end with it. */

#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "ingest/dir_int.h"

int vpi_dirs_lock(int fd, off_t at, short type)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };
    int rc;

    do {
        rc = fcntl(fd, F_OFD_SETLK, &lock);
    } while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : errno == EACCES ? -EAGAIN : -errno;
}

void vpi_dirs_pause(long ms)
{
    struct timespec t = { 0, ms * 1000000 };

    nanosleep(&t, NULL);
}

vp_status vpi_dirs_lock_failed(int rc, const char *id, vp_error *err)
{
    if (rc != -EAGAIN) return vpi_fail_errno(err, -rc, id, "locking the upload failed");
    return vpi_fail(err, VP_E_CONFLICT, "ALREADY_RUNNING",
                    "another process writes the upload and does not end");
}

vp_status vpi_dirs_lock_wait(const dir_store *d, int fd, const char *id, vp_error *err)
{
    int64_t until = 0;
    long ms = 1;
    int rc;

    for (;;) {
        rc = vpi_dirs_lock(fd, 0, F_WRLCK);
        if (rc == 0) return VP_OK;
        if (rc != -EAGAIN) return vpi_dirs_lock_failed(rc, id, err);
        if (until == 0) until = vpi_now_us() + (int64_t)d->wait_ms * 1000;
        if (vpi_now_us() >= until) return vpi_dirs_lock_failed(rc, id, err);
        VPI_TRY(vpi_context_check(d->context, err));
        vpi_dirs_pause(ms);
        ms = VPI_MIN(2 * ms, 16);
    }
}
