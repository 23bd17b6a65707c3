/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "session.h"

#define POLL_MS 100 /* as long as a signal may wait */

static vp_status read_pipe(void *user, void *data, size_t capacity, size_t *got, vp_error *err)
{
    struct pollfd waits = { *(const int *)user, POLLIN, 0 };
    ssize_t n = -1;

    do {
        while (poll(&waits, 1, POLL_MS) <= 0) /* a signal ends it with -1 */
            if (vp_cancel_fired(cli_cancel))
                return vp_error_set(err, VP_E_CANCELED, "CANCELED", 0, "stopped while reading the input");
        n = read(waits.fd, data, capacity);
    } while (n < 0 && (errno == EINTR || errno == EAGAIN));
    if (n < 0) return vp_error_set(err, VP_E_IO, "IO_ERROR", errno, "reading from the pipe failed");
    *got = (size_t)n;
    return VP_OK;
}

static vp_status spool(session *s, int fd, vp_source **out, vp_error *err)
{
    uint64_t limit = (uint64_t)s->options->max_input_mb * 1000000;
    vp_status st =
        vp_source_spool(s->context, s->work, SPOOL_NAME, read_pipe, &fd, limit, cli_cancel, out, err);
    s->spooled = st >= 0;
    return st;
}

/* One that a shell hands over (`<(command)`, /dev/stdin). A named one may wait for ever for somebody to write. */
static bool is_pipe(const char *path)
{
    struct stat info;
    struct statfs system;

    return stat(path, &info) == 0 && S_ISFIFO(info.st_mode) && statfs(path, &system) == 0 &&
           system.f_type == PIPEFS_MAGIC;
}

vp_status session_input(session *s, const char *place, vp_source **out, vp_error *err)
{
    vp_status st;
    int fd;

    if (!strcmp(place, "-")) return spool(s, STDIN_FILENO, out, err);
    if (place_of(place) != PLACE_PATH || !is_pipe(place)) return remote_source(&s->remote, place, out, err);
    fd = open(place, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return vp_error_set(err, VP_E_IO, "IO_ERROR", errno, "opening the pipe failed");
    st = spool(s, fd, out, err);
    close(fd);
    return st;
}

void session_forget_input(session *s)
{
    if (s->spooled) vp_store_remove(s->work, SPOOL_NAME, NULL);
    s->spooled = false;
}
