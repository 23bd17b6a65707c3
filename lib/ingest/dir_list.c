/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Walks over the directory: lists, and what killed processes left. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ingest/dir_int.h"

#define OLD_SECONDS 3600
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY)

/* A stream of its own: the shared descriptor of a folder has one position for all. */
static DIR *open_stream(int at, const char *name)
{
    int fd = vpi_dirs_openat(at, name, FOLDER_FLAGS);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir && fd >= 0) close(fd);
    if (!dir) errno = fd < 0 ? -fd : ENOMEM;
    return dir;
}

/* The id of "ID" + end; false for other names. */
static bool id_of(const char *name, const char *end, char id[VP_UPLOAD_ID_MAX + 1])
{
    size_t n = strlen(name), tail = strlen(end);

    if (n <= tail || strcmp(name + n - tail, end) != 0) return false;
    n -= tail;
    if (!vpi_upload_id_valid(name, n)) return false;
    memcpy(id, name, n);
    id[n] = 0;
    return true;
}

static vp_status list_folder(int at, const char *folder, const char *end,
                             vp_status (*fn)(void *user, const char *id), void *user, vp_error *err)
{
    DIR *dir = open_stream(at, folder);
    char id[VP_UPLOAD_ID_MAX + 1];
    struct dirent *e;
    vp_status st = VP_OK;

    if (!dir) return errno == ENOENT ? VP_OK : vpi_fail_errno(err, errno, folder, "listing uploads failed");
    while (st == VP_OK) {
        errno = 0;
        e = readdir(dir);
        if (!e && errno) st = vpi_fail_errno(err, errno, folder, "listing uploads failed");
        if (!e) break;
        /* What is no file is none of ours, and might not even let itself be opened. */
        if (e->d_type != DT_REG && e->d_type != DT_UNKNOWN) continue;
        if (id_of(e->d_name, end, id)) st = fn(user, id);
    }
    closedir(dir);
    return st;
}

vp_status vpi_dirs_list(void *back, vp_status (*fn)(void *user, const char *id), void *user, vp_error *err)
{
    dir_store *d = back;
    int at = vpi_dirs_open(d, &d->uploads, NULL, "uploads", false);
    vp_status st = VP_OK;
    char name[3];

    if (at == -ENOENT) return VP_OK;
    if (at < 0) return vpi_fail_errno(err, -at, NULL, "opening the folder of uploads failed");
    for (unsigned i = 0; i < DIR_FOLDERS && st == VP_OK; i++) {
        snprintf(name, sizeof(name), "%02x", i);
        st = list_folder(at, name, ".rec", fn, user, err);
    }
    return st;
}

/* ---- concatenations that wait ---- */

vp_status vpi_dirs_waiting(void *back, const char *id, bool add, vp_error *err)
{
    dir_store *d = back;
    int at = vpi_dirs_open(d, &d->waiting, NULL, "waiting", add), rc;

    if (at == -ENOENT) return VP_OK;
    rc = at < 0 ? at : add ? vpi_dirs_openat(at, id, O_WRONLY | O_CREAT) : vpi_dirs_unlink(at, id);
    if (rc >= 0 && add) {
        close(rc);
        rc = vpi_dirs_sync(d, &d->waiting);
    }
    return rc < 0 ? vpi_fail_errno(err, -rc, id, "keeping a concatenation failed") : VP_OK;
}

vp_status vpi_dirs_waiting_list(void *back, vp_status (*fn)(void *user, const char *id), void *user,
                                vp_error *err)
{
    dir_store *d = back;
    int at = vpi_dirs_open(d, &d->waiting, NULL, "waiting", false);

    if (at == -ENOENT) return VP_OK;
    if (at < 0) return vpi_fail_errno(err, -at, NULL, "opening the folder of concatenations failed");
    return list_folder(at, ".", "", fn, user, err);
}

/* ---- what killed processes left ---- */

static bool is_old(const struct stat *s, int64_t now_s)
{
    return VPI_MAX(s->st_mtim.tv_sec, s->st_ctim.tv_sec) < now_s - OLD_SECONDS;
}

/*
 * Bytes without a record. Whoever makes an upload of this id holds its record's lock: with an empty record of ours in
 * that place nobody makes one right now.
 */
static void tidy_data(int folder, const char *name, const char *id)
{
    char rec[DIR_NAME_ROOM];
    int fd;

    vpi_dirs_name(rec, "", id, ".rec");
    if (faccessat(folder, rec, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT) return;
    fd = vpi_dirs_openat(folder, rec, O_RDWR | O_CREAT | O_EXCL);
    if (fd < 0) return;
    if (vpi_dirs_lock(fd, 0, F_WRLCK) == 0) {
        (void)vpi_dirs_unlink(folder, name);
        (void)vpi_dirs_unlink(folder, rec);
    }
    close(fd);
}

static void tidy_file(int folder, const char *name, int64_t now_s)
{
    char id[VP_UPLOAD_ID_MAX + 1], data[DIR_NAME_ROOM];
    struct stat s;

    if (fstatat(folder, name, &s, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(s.st_mode) || !is_old(&s, now_s))
        return;
    if (id_of(name, ".data", id)) {
        tidy_data(folder, name, id);
    } else if (id_of(name, ".rec", id)) {
        if (!vpi_dirs_drop_blank(folder, name)) return;
        vpi_dirs_name(data, "", id, ".data"); /* of one whose remover was killed */
        tidy_data(folder, data, id);
    } else if (name[0] == '.' && (id_of(name + 1, ".link", id) || id_of(name + 1, ".copy", id))) {
        (void)vpi_dirs_unlink(folder, name);
    }
}

/* Shared bytes of no upload: their last owner's remover was killed. */
static void tidy_shared(int folder, const char *name, int64_t now_s)
{
    struct stat s;

    if (fstatat(folder, name, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(s.st_mode) && s.st_nlink == 1 &&
        is_old(&s, now_s))
        (void)vpi_dirs_unlink(folder, name);
}

/* fn for each file in the folders `depth` below. */
static void walk(int at, const char *name, int depth, int64_t now_s,
                 void (*fn)(int folder, const char *name, int64_t now_s))
{
    DIR *dir = open_stream(at, name);
    struct dirent *e;

    if (!dir) return;
    while ((e = readdir(dir)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (depth > 0)
            walk(dirfd(dir), e->d_name, depth - 1, now_s, fn);
        else
            fn(dirfd(dir), e->d_name, now_s);
    }
    closedir(dir);
}

typedef struct tidying {
    dir_store *store;
    int64_t now_s;
} tidying;

/* A name that waits for an upload which was never made, or is removed. */
static vp_status tidy_waiting(void *user, const char *id)
{
    tidying *t = user;
    char rec[DIR_NAME_ROOM];
    dir_folder *f;
    struct stat s;
    int waiting = atomic_load(&t->store->waiting.fd), at = vpi_dirs_upload_folder(t->store, id, false, &f);

    if (fstatat(waiting, id, &s, AT_SYMLINK_NOFOLLOW) != 0 || !is_old(&s, t->now_s)) return VP_OK;
    vpi_dirs_name(rec, "", id, ".rec");
    if (at == -ENOENT || (at >= 0 && faccessat(at, rec, F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT))
        (void)vpi_dirs_unlink(waiting, id);
    return VP_OK;
}

void vpi_dirs_tidy(void *back, int64_t now_us, vp_cancel *cancel)
{
    dir_store *d = back;
    tidying t = { d, now_us / 1000000 };
    int uploads = vpi_dirs_open(d, &d->uploads, NULL, "uploads", false);
    int shared = vpi_dirs_open(d, &d->shared, NULL, "shared", false);

    (void)cancel; /* a walk through folders takes no time that anybody would want back */
    if (uploads >= 0) walk(uploads, ".", 1, now_us / 1000000, tidy_file);
    (void)vpi_dirs_waiting_list(d, tidy_waiting, &t, NULL);
    if (shared >= 0) walk(shared, ".", 2, now_us / 1000000, tidy_shared);
}
