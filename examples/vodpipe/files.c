/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

char *read_file(const char *path, size_t limit, size_t *size)
{
    struct stat s;
    char *data = NULL;
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), error = 0;
    if (fd < 0) return NULL;
    if (fstat(fd, &s) != 0)
        error = errno;
    else if (!S_ISREG(s.st_mode))
        error = S_ISDIR(s.st_mode) ? EISDIR : EINVAL;
    else if ((uint64_t)s.st_size > limit)
        error = EFBIG;
    else if (!(data = malloc((size_t)s.st_size + 1)))
        error = ENOMEM;
    while (!error && n < (size_t)s.st_size) {
        ssize_t got = read(fd, data + n, (size_t)s.st_size - n);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) error = errno;
        if (got <= 0) break;
        n += (size_t)got;
    }
    close(fd);
    if (error) {
        free(data);
        errno = error;
        return NULL;
    }
    data[n] = 0;
    *size = n;
    return data;
}

char *join_path(const char *folder, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s%s%s", folder, *folder && folder[strlen(folder) - 1] == '/' ? "" : "/", name) <
                   0
               ? NULL
               : path;
}

char *absolute_path(const char *path)
{
    if (*path == '/') return strdup(path);
    char *here = getcwd(NULL, 0), *whole = here ? join_path(here, path) : NULL;
    free(here);
    return whole;
}

/* ---- the work folder ---- */

#define LEASE_END ".lease"
#define TEMP_PART ".tmp-"
#define DEPTH_MAX 8

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

static bool is_temp(const char *name)
{
    return name[0] == '.' && strstr(name + 1, TEMP_PART);
}

static bool is_dots(const char *name)
{
    return !strcmp(name, ".") || !strcmp(name, "..");
}

bool is_work(const char *name, size_t length)
{
    static const char *const ours[] = { "plan.json", "job.json", "permille", "lease",  "result", "part",
                                        "audio",     "stats",    "seed",     "source", "s3" };
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (strlen(ours[i]) == length && !strncmp(ours[i], name, length)) return true;
    return false;
}

char *work_stranger(const char *path)
{
    char *found = NULL;
    DIR *dir = opendir(path);
    const struct dirent *e;
    if (!dir) return NULL;
    while (!found && (e = readdir(dir))) {
        bool known = is_dots(e->d_name) || is_temp(e->d_name) || ends_with(e->d_name, LEASE_END);
        if (!known && !is_work(e->d_name, strlen(e->d_name))) found = strdup(e->d_name);
    }
    closedir(dir);
    return found;
}

/*
 * The library keeps a lease's file, it remembers the fence. With the work done nobody needs that number, and the
 * file may go if nobody holds its lock: who opens it meanwhile sees that its name is gone and begins anew.
 */
static void remove_lease(int parent, const char *name)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = openat(parent, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return;
    if (fcntl(fd, F_OFD_SETLK, &whole) == 0) unlinkat(parent, name, 0);
    close(fd);
}

static void remove_in(int parent, const char *folder, int depth)
{
    int fd = openat(parent, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *e;
    if (!dir) {
        if (fd >= 0) close(fd);
        return;
    }
    while ((e = readdir(dir))) {
        struct stat s;
        if (is_dots(e->d_name) || fstatat(fd, e->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0) continue;
        if (S_ISDIR(s.st_mode) && depth < DEPTH_MAX) remove_in(fd, e->d_name, depth + 1);
        if (S_ISREG(s.st_mode) && ends_with(e->d_name, LEASE_END)) remove_lease(fd, e->d_name);
        if (S_ISREG(s.st_mode) && is_temp(e->d_name)) unlinkat(fd, e->d_name, 0);
    }
    closedir(dir);
    unlinkat(parent, folder, AT_REMOVEDIR); /* stays when something is in it */
}

void work_remove(const char *path)
{
    char *stranger = work_stranger(path);
    if (!stranger) remove_in(AT_FDCWD, path, 0);
    free(stranger);
}
