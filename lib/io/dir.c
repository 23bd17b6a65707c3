/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "io/dir.h"

#define PART_ROOM 256      /* NAME_MAX and a NUL */
#define TEMP_NAME_ROOM 201 /* leaves room for the rest of a temporary name within NAME_MAX */
#define TEMP_MARK ".tmp-"
#define TRIES 100
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

struct vpi_dir {
    char *path;
    uint32_t fork_mark;
    pthread_mutex_t lock;
    atomic_int root; /* -1 until it is used */
};

/* ---- the root ---- */

vp_status vpi_dir_new(const char *path, vpi_dir **out, vp_error *err)
{
    vpi_dir *d = NULL;
    char *here = NULL;

    *out = NULL;
    if (!path || !path[0]) return vpi_fail(err, VP_E_ARG, NULL, "the path of the directory is empty");
    d = vpi_calloc(1, sizeof(*d));
    if (!d) return vpi_fail_nomem(err);
    /* It is made later, and the host may change its working directory until then. */
    if (path[0] == '/') {
        d->path = vpi_strdup(path);
    } else if ((here = getcwd(NULL, 0)) != NULL) {
        d->path = vpi_asprintf("%s/%s", here, path);
        free(here);
    } else {
        vpi_free(d);
        return vpi_fail_errno(err, errno, path, "the working directory is not known");
    }
    if (!d->path) {
        vpi_free(d);
        return vpi_fail_nomem(err);
    }
    d->fork_mark = vpi_fork_mark();
    pthread_mutex_init(&d->lock, NULL);
    atomic_init(&d->root, -1);
    *out = d;
    return VP_OK;
}

vpi_dir *vpi_dir_free(vpi_dir *dir)
{
    if (!dir) return NULL;
    if (atomic_load(&dir->root) >= 0) close(atomic_load(&dir->root));
    if (!vpi_forked(dir->fork_mark)) pthread_mutex_destroy(&dir->lock);
    vpi_free(dir->path);
    vpi_free(dir);
    return NULL;
}

static int open_folder(int at, const char *name, int flags)
{
    int fd;

    do {
        fd = openat(at, name, flags);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

static int sync_fd(int fd)
{
    int rc = vpi_fault_disk();

    if (rc < 0) return rc;
    do {
        rc = fsync(fd);
    } while (rc != 0 && errno == EINTR);
    /* Some file systems cannot sync folders at all and say so with EINVAL. */
    return rc != 0 && errno != EINVAL ? -errno : 0;
}

/* mkdir -p of the host's own path, whose links are followed; each new entry is made durable at once. */
static int make_root(const char *path)
{
    char *copy = vpi_strdup(path), *at;
    int rc = copy ? 0 : -ENOMEM, denied = 0;

    for (at = copy; rc == 0 && at;) {
        at = strchr(at + 1, '/');
        if (at) *at = 0;
        rc = vpi_fault_disk();
        if (rc < 0) break;
        if (mkdir(copy, 0755) == 0) {
            char *cut = strrchr(copy, '/') + 1, keep = *cut;
            int fd;

            *cut = 0;
            fd = open_folder(AT_FDCWD, copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            *cut = keep;
            if (fd >= 0) {
                rc = sync_fd(fd);
                close(fd);
            }
        } else if (errno == EROFS || errno == EACCES || errno == EPERM) {
            /* Perhaps only a parent that is there already; else the next step fails, for this reason. */
            denied = -errno;
        } else if (errno != EEXIST) {
            rc = denied ? denied : -errno;
        }
        if (at) *at = '/';
    }
    if (rc == 0 && denied && access(path, F_OK) != 0) rc = denied;
    vpi_free(copy);
    return rc;
}

bool vpi_fd_is_removed(int fd)
{
    struct stat s;

    return fstat(fd, &s) != 0 || s.st_nlink == 0;
}

static int open_root(const char *path, bool create)
{
    int fd = open_folder(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd != -ENOENT || !create) return fd;
    fd = make_root(path);
    return fd < 0 ? fd : open_folder(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int vpi_folder_keep(atomic_int *kept, int fd)
{
    int old = atomic_load(kept), rc;

    if (fd < 0) return fd;
    if (old < 0) {
        atomic_store_explicit(kept, fd, memory_order_release);
        return fd;
    }
    /* Others use that number right now. */
    rc = dup3(fd, old, O_CLOEXEC) < 0 ? -errno : old;
    close(fd);
    return rc;
}

int vpi_dir_root(vpi_dir *dir, bool create)
{
    int fd = atomic_load_explicit(&dir->root, memory_order_acquire);

    if (fd >= 0 && !vpi_fd_is_removed(fd)) return fd;
    pthread_mutex_lock(&dir->lock);
    fd = atomic_load(&dir->root);
    if (fd < 0 || vpi_fd_is_removed(fd)) fd = vpi_folder_keep(&dir->root, open_root(dir->path, create));
    pthread_mutex_unlock(&dir->lock);
    return fd;
}

/* ---- walking ---- */

const char *vpi_key_name(const char *key)
{
    const char *slash = strrchr(key, '/');

    return slash ? slash + 1 : key;
}

/* Opens the next part of a path and moves *at behind it; closes folder unless it is the root. */
static int step(int root, int folder, const char **at, bool *made)
{
    const char *slash = strchr(*at, '/');
    size_t n = slash ? (size_t)(slash - *at) : strlen(*at);
    char part[PART_ROOM];
    int next = -ENAMETOOLONG, tries;

    if (n < sizeof(part)) {
        memcpy(part, *at, n);
        part[n] = 0;
        /* Another sink or process may make or prune the same folder at the same time. */
        for (tries = 0; tries < TRIES; tries++) {
            next = open_folder(folder, part, FOLDER_FLAGS);
            if (next != -ENOENT || !made) break;
            next = vpi_fault_disk();
            if (next < 0) break;
            if (mkdirat(folder, part, 0755) == 0) {
                *made = true;
            } else if (errno != EEXIST) {
                next = -errno;
                break;
            }
        }
    }
    if (folder != root) close(folder);
    *at += n + (slash ? 1 : 0);
    return next;
}

static int own_copy(int root)
{
    int fd = fcntl(root, F_DUPFD_CLOEXEC, 0);

    return fd < 0 ? -errno : fd;
}

int vpi_dir_parent(vpi_dir *dir, const char *key, bool *made, const char **name)
{
    int root = vpi_dir_root(dir, made != NULL), folder = root;

    *name = vpi_key_name(key);
    while (folder >= 0 && key < *name) folder = step(root, folder, &key, made);
    return folder >= 0 && folder == root ? own_copy(root) : folder;
}

/* ---- temporary files ---- */

bool vpi_dir_is_temp(const char *name)
{
    return name[0] == '.' && strstr(name + 1, TEMP_MARK) != NULL;
}

/* Hexadecimal digits, then `end`; past that, or NULL. */
static const char *hex_until(const char *at, char end)
{
    const char *first = at;

    while ((*at >= '0' && *at <= '9') || (*at >= 'a' && *at <= 'f')) at++;
    return at > first && *at == end ? at + 1 : NULL;
}

size_t vpi_dir_temp_of(const char *name)
{
    const char *mark = NULL, *next, *at;

    if (name[0] != '.') return 0;
    for (next = strstr(name + 1, TEMP_MARK); next; next = strstr(next + 1, TEMP_MARK)) mark = next;
    if (!mark || mark == name + 1) return 0;
    at = hex_until(mark + sizeof(TEMP_MARK) - 1, '-');
    if (at) at = hex_until(at, '-');
    if (at) at = hex_until(at, 0);
    return at ? (size_t)(mark - name - 1) : 0;
}

int vpi_fd_lock(int fd, short type)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET };
    int rc;

    do {
        rc = fcntl(fd, F_OFD_SETLK, &lock);
    } while (rc != 0 && errno == EINTR);
    return rc != 0 ? -errno : 0;
}

/* Locks a file that was just made; false when somebody was quicker, who takes it for left by a process that ended. */
static bool own_temp(int fd)
{
    struct stat s;
    int rc = vpi_fd_lock(fd, F_WRLCK);

    if (rc == -EAGAIN || rc == -EACCES) return false;
    return fstat(fd, &s) != 0 || s.st_nlink > 0;
}

int vpi_dir_temp(int parent, const char *name, char temp[VPI_TEMP_ROOM])
{
    static atomic_uint counter;
    char kept[TEMP_NAME_ROOM];
    int fd = -EEXIST, tries;

    vpi_strlcpy(kept, name, sizeof(kept));
    for (tries = 0; fd == -EEXIST && tries < TRIES; tries++) {
        struct timespec now = { 0, 0 };

        fd = vpi_fault_disk();
        if (fd < 0) break;
        /* Unique on this machine; on a shared file system O_EXCL decides. */
        clock_gettime(CLOCK_REALTIME, &now);
        snprintf(temp, VPI_TEMP_ROOM, ".%s" TEMP_MARK "%x-%x-%lx", kept, (unsigned)getpid(),
                 atomic_fetch_add(&counter, 1), (unsigned long)now.tv_nsec);
        fd = openat(parent, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd < 0) {
            fd = errno == EINTR ? -EEXIST : -errno;
        } else if (!own_temp(fd)) {
            unlinkat(parent, temp, 0);
            close(fd);
            fd = -EEXIST;
        }
    }
    return fd;
}

int vpi_dir_file_create(vpi_dir *dir, const char *key, vpi_dir_file *f)
{
    int tries, rc = -ENOENT;

    /* Now, not when it is renamed. */
    if (strlen(vpi_key_name(key)) >= PART_ROOM) return -ENAMETOOLONG;
    for (tries = 0; rc == -ENOENT && tries < TRIES; tries++) {
        /* A folder may be pruned between any two steps. */
        rc = vpi_dir_parent(dir, key, &f->made, &f->name);
        if (rc < 0) continue;
        f->parent = rc;
        rc = vpi_dir_temp(f->parent, f->name, f->temp);
        if (rc >= 0) {
            f->fd = rc;
            return 0;
        }
        close(f->parent);
        f->parent = -1;
    }
    return rc;
}

int vpi_dir_file_sync(const vpi_dir_file *f)
{
    int rc = vpi_fault_disk();

    if (rc < 0) return rc;
    do {
        rc = fsync(f->fd);
    } while (rc != 0 && errno == EINTR);
    return rc != 0 ? -errno : 0;
}

int vpi_dir_file_name(const vpi_dir_file *f, bool replace)
{
    int rc = vpi_fault_disk();

    if (rc < 0) return rc;
    if (replace) return renameat(f->parent, f->temp, f->parent, f->name) != 0 ? -errno : 0;
    if (renameat2(f->parent, f->temp, f->parent, f->name, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return -errno;
    /* The file system cannot do that: a hard link cannot replace either. */
    if (linkat(f->parent, f->temp, f->parent, f->name, 0) != 0) return -errno;
    unlinkat(f->parent, f->temp, 0);
    return 0;
}

void vpi_dir_file_close(vpi_dir_file *f, bool unlink)
{
    if (f->fd >= 0) close(f->fd);
    if (f->parent >= 0) {
        if (unlink) unlinkat(f->parent, f->temp, 0);
        close(f->parent);
    }
    f->fd = f->parent = -1;
}

void vpi_dir_file_abort(vpi_dir *dir, const char *key, vpi_dir_file *f)
{
    bool ours = !vpi_forked(dir->fork_mark);

    vpi_dir_file_close(f, ours);
    if (ours && f->made) vpi_dir_prune(dir, key);
}

/* ---- writing ---- */

int vpi_fd_writev(int fd, struct iovec *iov, int count)
{
    int rc = vpi_fault_disk();

    if (rc < 0) return rc;
    while (count > 0) {
        ssize_t n = writev(fd, iov, count);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        while (count > 0 && (size_t)n >= iov->iov_len) {
            n -= (ssize_t)iov->iov_len;
            iov++;
            count--;
        }
        if (count > 0) {
            /* A short write is followed by the error that explains it, or by the rest. */
            iov->iov_base = (uint8_t *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
    return 0;
}

int vpi_fd_write(int fd, const void *data, size_t size)
{
    struct iovec iov = { (void *)(uintptr_t)data, size };

    return vpi_fd_writev(fd, &iov, size > 0 ? 1 : 0);
}

/* No file of that name: nothing there, a part that is a file or a link, or a link in its place. */
static bool is_none(int number)
{
    return number == ENOENT || number == ENOTDIR || number == ELOOP || number == ENAMETOOLONG;
}

int vpi_dir_sync(vpi_dir *dir, const char *folder, bool above)
{
    int root = vpi_dir_root(dir, false), at = root, rc = 0;

    while (at >= 0 && folder[0]) {
        if (above) rc = sync_fd(at);
        if (rc < 0) break;
        at = step(root, at, &folder, NULL);
    }
    if (rc == 0) rc = at >= 0 ? sync_fd(at) : at;
    if (at >= 0 && at != root) close(at);
    /* A folder that was pruned since, and perhaps replaced by an object, needs no sync. */
    return is_none(-rc) ? 0 : rc;
}

void vpi_dir_prune(vpi_dir *dir, const char *key)
{
    char *path = vpi_strdup(key), *slash;

    while (path && (slash = strrchr(path, '/')) != NULL) {
        const char *name;
        int parent, rc;

        *slash = 0;
        parent = vpi_dir_parent(dir, path, NULL, &name);
        if (parent < 0) break;
        rc = unlinkat(parent, name, AT_REMOVEDIR);
        close(parent);
        if (rc != 0) break;
    }
    vpi_free(path);
}

/* ---- committed files ---- */

vp_status vpi_dir_stat(vpi_dir *dir, const char *key, vp_object_info *info, vp_error *err)
{
    const char *name;
    struct stat s;
    int parent = vpi_dir_parent(dir, key, NULL, &name), rc = parent;

    if (parent >= 0) {
        rc = fstatat(parent, name, &s, AT_SYMLINK_NOFOLLOW) != 0 ? -errno : 0;
        close(parent);
    }
    if (rc < 0) return is_none(-rc) ? VP_END : vpi_fail_errno(err, -rc, key, "looking at the object failed");
    if (!S_ISREG(s.st_mode)) return VP_END;
    info->key = key;
    info->size = (uint64_t)s.st_size;
    info->mtime_us = (uint64_t)s.st_mtim.tv_sec * 1000000 + (uint64_t)s.st_mtim.tv_nsec / 1000;
    return VP_OK;
}

vp_status vpi_dir_source(vpi_dir *dir, vp_context *context, const char *key, vp_source **out, vp_error *err)
{
    const char *name;
    struct stat s;
    int parent = vpi_dir_parent(dir, key, NULL, &name), fd = parent;

    *out = NULL;
    if (parent >= 0) {
        fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0) fd = -errno;
        close(parent);
    }
    if (fd < 0) return is_none(-fd) ? VP_END : vpi_fail_errno(err, -fd, key, "opening the object failed");
    if (fstat(fd, &s) == 0 && !S_ISREG(s.st_mode)) {
        close(fd);
        return VP_END;
    }
    return vpi_source_fd(context, fd, key, out, err);
}

vp_status vpi_dir_remove(vpi_dir *dir, const char *key, vp_error *err)
{
    const char *name;
    int parent = vpi_dir_parent(dir, key, NULL, &name), rc = parent;

    if (parent >= 0) {
        rc = vpi_fault_disk();
        if (rc == 0 && unlinkat(parent, name, 0) != 0) rc = -errno;
        close(parent);
    }
    /* Linux answers EISDIR for a folder: no object, so nothing to remove. */
    if (rc < 0 && !is_none(-rc) && rc != -EISDIR) {
        return vpi_fail_errno(err, -rc, key, "removing the object failed");
    }
    if (rc == 0) vpi_dir_prune(dir, key);
    return VP_OK;
}
