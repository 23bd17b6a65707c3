/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/scratch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/common.h"

/* Folders are named vodpipe-XXXXXX and locked as long as their process lives. One whose lock is free has no owner. */
#define PREFIX "vodpipe-"
#define BASE_MAX 400u
#define TRIES 100

#define TRY_BLOCK 65536u
#define TRY_BLOCKS 16u

struct vpi_scratch {
    char path[VPI_SCRATCH_PATH - 80];
    int lock;
};

static const char *base_folder(void)
{
    const char *base = getenv("TMPDIR");

    return base && base[0] == '/' && strlen(base) < BASE_MAX ? base : "/tmp";
}

/* What is in the folder is plain files: nothing else is put there. */
static void remove_folder(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *e;

    if (!dir) return;
    while ((e = readdir(dir)))
        if (e->d_name[0] != '.') unlinkat(dirfd(dir), e->d_name, 0);
    closedir(dir);
    rmdir(path);
}

static int open_folder(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* Removes it if it is of a process of this user that has ended. */
static void remove_left(const char *path)
{
    struct stat s;
    int fd = open_folder(path);

    if (fd < 0) return;
    if (fstat(fd, &s) == 0 && s.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0) remove_folder(path);
    close(fd);
}

static void sweep(const char *base)
{
    DIR *dir = opendir(base);
    struct dirent *e;

    if (!dir) return;
    while ((e = readdir(dir))) {
        char path[VPI_SCRATCH_PATH];

        if (strncmp(e->d_name, PREFIX, strlen(PREFIX)) != 0 || strlen(e->d_name) != strlen(PREFIX) + 6)
            continue;
        if (snprintf(path, sizeof(path), "%s/%s", base, e->d_name) >= (int)sizeof(path)) continue;
        remove_left(path);
    }
    closedir(dir);
}

/* Locks a folder that was just made; false when somebody was quicker, who takes it for left by an ended process. */
static bool own_folder(const char *path, int *lock)
{
    struct stat s;

    *lock = open_folder(path);
    /* Where folders cannot be locked, nobody finds a free lock either. */
    if (*lock >= 0 && (flock(*lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) &&
        fstat(*lock, &s) == 0 && s.st_nlink > 0)
        return true;
    if (*lock >= 0) close(*lock);
    *lock = -1;
    return false;
}

vp_status vpi_scratch_new(vpi_scratch **out, vp_error *err)
{
    vpi_scratch *s = vpi_calloc(1, sizeof(*s));
    int n, tries;

    *out = NULL;
    if (!s) return vpi_fail_nomem(err);
    s->lock = -1;
    sweep(base_folder());
    for (tries = 0; tries < TRIES; tries++) {
        n = snprintf(s->path, sizeof(s->path), "%s/" PREFIX "XXXXXX", base_folder());
        if (n < 0 || n >= (int)sizeof(s->path) || !mkdtemp(s->path)) {
            int code = errno;
            vpi_free(s);
            return vpi_fail_errno(err, code, base_folder(), "no folder for temporary files could be made");
        }
        if (own_folder(s->path, &s->lock)) break;
    }
    if (s->lock < 0) {
        vpi_free(s);
        return vpi_fail(err, VP_E_IO, "IO_ERROR", "temporary folders are removed as soon as they are made");
    }
    *out = s;
    return VP_OK;
}

vpi_scratch *vpi_scratch_free(vpi_scratch *s)
{
    if (!s) return NULL;
    if (s->path[0]) remove_folder(s->path);
    if (s->lock >= 0) close(s->lock);
    vpi_free(s);
    return NULL;
}

void vpi_scratch_file(const vpi_scratch *s, const char *name, char to[VPI_SCRATCH_PATH])
{
    snprintf(to, VPI_SCRATCH_PATH, "%s/%.64s", s->path, name);
}

vp_status vpi_scratch_try(const vpi_scratch *s, vp_error *err)
{
    static const char block[TRY_BLOCK];
    char path[VPI_SCRATCH_PATH];
    vp_status st = VP_OK;
    int fd;

    vpi_scratch_file(s, "try", path);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return vpi_fail_errno(err, errno, path, "temporary files cannot be written");
    for (unsigned n = 0; st >= 0 && n < TRY_BLOCKS; n++) {
        ssize_t done = write(fd, block, sizeof(block));
        if (done < 0 && errno != EINTR)
            st = vpi_fail_errno(err, errno, path, "temporary files cannot be written");
    }
    close(fd);
    unlink(path);
    return st;
}
