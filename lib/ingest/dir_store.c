/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The directory as a whole: its folders and how their names become durable. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/hash.h"
#include "ingest/dir_slot.h"

#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* ---- small steps ---- */

void vpi_dirs_name(char name[DIR_NAME_ROOM], const char *before, const char *id, const char *after)
{
    snprintf(name, DIR_NAME_ROOM, "%s%s%s", before, id, after);
}

int vpi_dirs_openat(int at, const char *name, int flags)
{
    int fd = flags & O_CREAT ? vpi_fault_disk() : 0;

    if (fd < 0) return fd;
    /* That it was read is no reason to write to the disk; who is not the owner may not say so. */
    flags |= O_NOFOLLOW | O_CLOEXEC | O_NOATIME;
    do {
        fd = openat(at, name, flags, 0600);
        if (fd < 0 && errno == EPERM && (flags & O_NOATIME)) {
            flags &= ~O_NOATIME;
            errno = EINTR;
        }
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

int vpi_dirs_unlink(int at, const char *name)
{
    int rc = vpi_fault_disk();

    if (rc < 0) return rc;
    return unlinkat(at, name, 0) != 0 && errno != ENOENT ? -errno : 0;
}

int vpi_dirs_datasync(const dir_store *d, int fd)
{
    int rc = d->unsynced ? 0 : vpi_fault_disk();

    if (rc < 0 || d->unsynced) return rc;
    do {
        rc = fdatasync(fd);
    } while (rc != 0 && errno == EINTR);
    return rc != 0 ? -errno : 0;
}

/* ---- folders ---- */

static int sync_folder(const dir_store *d, int fd)
{
    int rc = d->unsynced ? 0 : vpi_fault_disk();

    if (rc < 0 || d->unsynced) return rc;
    do {
        rc = fsync(fd);
    } while (rc != 0 && errno == EINTR);
    /* Some file systems cannot sync folders at all and say so with EINVAL. */
    return rc != 0 && errno != EINVAL ? -errno : 0;
}

/* All that asked by now, and all names that were made. Opens the lock meanwhile. */
static int sync_synced(dir_store *d, dir_folder *f)
{
    uint64_t mine = ++f->asked, target, names;
    int rc = 0;

    while (f->done < mine) {
        if (f->running) {
            pthread_cond_wait(&f->done_cond, &f->lock);
            continue;
        }
        f->running = true;
        target = f->asked;
        names = atomic_load(&f->names);
        pthread_mutex_unlock(&f->lock);
        rc = sync_folder(d, atomic_load(&f->fd));
        pthread_mutex_lock(&f->lock);
        f->running = false;
        f->done = target;
        if (rc < 0) {
            f->failed = target;
            f->doubtful = names;
            f->rc = rc;
        } else {
            f->durable = names;
        }
        pthread_cond_broadcast(&f->done_cond);
    }
    /* A later success says nothing of names that an earlier failure may have dropped. */
    return f->failed >= mine ? f->rc : 0;
}

int vpi_dirs_sync(dir_store *d, dir_folder *f)
{
    int rc;

    pthread_mutex_lock(&f->lock);
    rc = sync_synced(d, f);
    pthread_mutex_unlock(&f->lock);
    return rc;
}

uint64_t vpi_dirs_named(dir_folder *f)
{
    return atomic_fetch_add(&f->names, 1) + 1;
}

int vpi_dirs_sync_name(dir_store *d, dir_folder *f, uint64_t name)
{
    int rc = 0;

    pthread_mutex_lock(&f->lock);
    if (f->doubtful >= name)
        rc = f->rc;
    else if (f->durable < name)
        rc = sync_synced(d, f);
    pthread_mutex_unlock(&f->lock);
    return rc;
}

static int make_folder(int at, const char *name)
{
    int rc = vpi_fault_disk();

    if (rc < 0) return rc;
    return mkdirat(at, name, 0700) != 0 && errno != EEXIST ? -errno : 0;
}

static int open_folder_synced(dir_store *d, dir_folder *above, const char *name, bool make)
{
    int at = above ? atomic_load(&above->fd) : vpi_dir_root(d->root, make), fd, rc;

    if (at < 0) return at;
    fd = vpi_dirs_openat(at, name, FOLDER_FLAGS);
    if (fd == -ENOENT && make) {
        rc = make_folder(at, name);
        fd = rc < 0 ? rc : vpi_dirs_openat(at, name, FOLDER_FLAGS);
    }
    if (fd < 0) return fd;
    /* Once in each process, whoever made it: that one may have been killed before the name was durable. */
    rc = above ? vpi_dirs_sync(d, above) : sync_folder(d, at);
    if (rc < 0) close(fd);
    return rc < 0 ? rc : fd;
}

int vpi_dirs_open(dir_store *d, dir_folder *f, dir_folder *above, const char *name, bool make)
{
    int fd = atomic_load_explicit(&f->fd, memory_order_acquire);

    if (fd >= 0 && !vpi_fd_is_removed(fd)) return fd;
    pthread_mutex_lock(&d->lock);
    fd = atomic_load(&f->fd);
    if (fd < 0 || vpi_fd_is_removed(fd))
        fd = vpi_folder_keep(&f->fd, open_folder_synced(d, above, name, make));
    pthread_mutex_unlock(&d->lock);
    return fd;
}

dir_folder *vpi_dirs_folder(dir_store *d, const char *id)
{
    return &d->parts[vpi_crc32c(0, id, strlen(id)) % DIR_FOLDERS];
}

int vpi_dirs_upload_folder(dir_store *d, const char *id, bool make, dir_folder **out)
{
    dir_folder *f = vpi_dirs_folder(d, id);
    char name[3];
    int fd = atomic_load_explicit(&f->fd, memory_order_acquire);

    *out = f;
    if (fd >= 0 && !vpi_fd_is_removed(fd)) return fd;
    fd = vpi_dirs_open(d, &d->uploads, NULL, "uploads", make);
    if (fd < 0) return fd;
    snprintf(name, sizeof(name), "%02x", (unsigned)(f - d->parts) & 0xFF);
    return vpi_dirs_open(d, f, &d->uploads, name, make);
}

/* ---- the store ---- */

static void folder_init(dir_folder *f)
{
    atomic_init(&f->fd, -1);
    atomic_init(&f->names, 0);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->done_cond, NULL);
}

static void folder_dispose(dir_folder *f, bool forked)
{
    int fd = atomic_load(&f->fd);

    if (fd >= 0) close(fd);
    if (forked) return;
    pthread_cond_destroy(&f->done_cond);
    pthread_mutex_destroy(&f->lock);
}

static void release(void *back)
{
    dir_store *d = back;
    bool forked = vpi_forked(d->fork_mark);

    vpi_park_dispose(d, forked);
    folder_dispose(&d->uploads, forked);
    folder_dispose(&d->shared, forked);
    folder_dispose(&d->waiting, forked);
    for (unsigned i = 0; i < DIR_FOLDERS; i++) folder_dispose(&d->parts[i], forked);
    vpi_dir_free(d->root);
    vpi_small_dispose(d, forked);
    if (!forked) pthread_mutex_destroy(&d->lock);
    vpi_free(d);
}

static const vpi_back_ops ops = {
    .any_order = true,
    .overlap = true,
    .growing = true,
    .create = vpi_dirs_create,
    .create_end = vpi_dirs_create_end,
    .open = vpi_dirs_take,
    .look = vpi_dirs_look,
    .put = vpi_dirs_put,
    .check = vpi_dirs_check,
    .begin = vpi_dirs_begin,
    .write = vpi_dirs_write,
    .sync_data = vpi_dirs_sync_data,
    .read = vpi_dirs_read,
    .copy = vpi_dirs_copy,
    .finish = vpi_dirs_finish,
    .share = vpi_dirs_share,
    .remove = vpi_dirs_remove,
    .destroy = vpi_dirs_destroy,
    .remove_data = vpi_dirs_remove_data,
    .close = vpi_dirs_close,
    .source = vpi_dirs_source,
    .list = vpi_dirs_list,
    .waiting = vpi_dirs_waiting,
    .waiting_list = vpi_dirs_waiting_list,
    .quota_take = vpi_dirs_quota_take,
    .quota_settle = vpi_dirs_quota_settle,
    .quota_mark = vpi_dirs_quota_mark,
    .quota_give = vpi_dirs_quota_give,
    .tidy = vpi_dirs_tidy,
    .release = release,
};

vp_status vpi_back_directory(vp_context *context, const char *path, bool unsynced, uint32_t wait_ms,
                             vpi_back *out, vp_error *err)
{
    dir_store *d = vpi_calloc(1, sizeof(*d));
    vp_status st;

    if (!d) return vpi_fail_nomem(err);
    st = vpi_dir_new(path, &d->root, err);
    if (st < 0) {
        vpi_free(d);
        return st;
    }
    d->context = context;
    d->fork_mark = vpi_fork_mark();
    d->unsynced = unsynced;
    d->wait_ms = wait_ms;
    pthread_mutex_init(&d->lock, NULL);
    vpi_small_init(d);
    vpi_park_init(d);
    folder_init(&d->uploads);
    folder_init(&d->shared);
    folder_init(&d->waiting);
    for (unsigned i = 0; i < DIR_FOLDERS; i++) folder_init(&d->parts[i]);
    *out = (vpi_back){ &ops, d };
    return VP_OK;
}
