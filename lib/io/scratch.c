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
#include <time.h>
#include <unistd.h>

#include "base/common.h"

/*
 * Folders are named vodpipe-XXXXXX and hold a file `lock`, which is locked as long as its process lives. One whose
 * lock is free has no owner any more.
 */
#define PREFIX "vodpipe-"
#define LOCK_NAME "lock"
#define BASE_MAX 400u
#define AGE_S 60 /* a folder this young may not have its lock yet */

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

/* Of a process of this user that has ended without removing it? */
static bool is_left(const char *path)
{
    char name[VPI_SCRATCH_PATH];
    struct stat s;
    bool left = false;
    int fd;

    if (lstat(path, &s) != 0 || !S_ISDIR(s.st_mode) || s.st_uid != geteuid()) return false;
    if (snprintf(name, sizeof(name), "%s/" LOCK_NAME, path) >= (int)sizeof(name)) return false;
    fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return errno == ENOENT && time(NULL) - s.st_mtime > AGE_S;
    left = flock(fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
    return left;
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
        if (is_left(path)) remove_folder(path);
    }
    closedir(dir);
}

vp_status vpi_scratch_new(vpi_scratch **out, vp_error *err)
{
    vpi_scratch *s = vpi_calloc(1, sizeof(*s));
    char name[VPI_SCRATCH_PATH], fresh[VPI_SCRATCH_PATH];
    int n;

    *out = NULL;
    if (!s) return vpi_fail_nomem(err);
    s->lock = -1;
    sweep(base_folder());
    n = snprintf(s->path, sizeof(s->path), "%s/" PREFIX "XXXXXX", base_folder());
    if (n < 0 || n >= (int)sizeof(s->path) || !mkdtemp(s->path)) {
        int code = errno;
        s->path[0] = 0;
        vpi_scratch_free(s);
        return vpi_fail_errno(err, code, base_folder(), "no folder for temporary files could be made");
    }
    /* It gets its name when it is locked: a free one is taken for left. */
    vpi_scratch_file(s, LOCK_NAME, name);
    vpi_scratch_file(s, "new", fresh);
    s->lock = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (s->lock < 0 || flock(s->lock, LOCK_EX | LOCK_NB) != 0 || rename(fresh, name) != 0) {
        int code = errno;
        vpi_scratch_free(s);
        return vpi_fail_errno(err, code, name, "the lock of a temporary folder could not be made");
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
