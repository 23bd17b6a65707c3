/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Equal bytes once: shared/SCOPE/ab/SHA is a hard link to the data of each upload that has them. The number of links
 * is the count of owners; none is kept. That a link or a rename here is lost with the machine costs room, never bytes:
 * each upload's own name leads to whole bytes before and after.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/hash.h"
#include "ingest/dir_int.h"

#define TRIES 100
#define PATH_ROOM (64 + 1 + 2 + 1 + 64 + 1)
#define SCOPE_END 64 /* where "SCOPE" ends in a path, and "SCOPE/ab" */
#define PREFIX_END 67

/* SCOPE is the SHA-256 of what the host said, so that no name of hers is a name of ours. */
static void shared_path(char path[PATH_ROOM], const char *scope, const char *sha256)
{
    char hex[65];
    vpi_sha256 s;

    vpi_sha256_init(&s);
    vpi_sha256_add(&s, scope, strlen(scope));
    vpi_sha256_hex(&s, hex);
    snprintf(path, PATH_ROOM, "%s/%.2s/%s", hex, sha256, sha256);
}

static int make_folders(int shared, char *path)
{
    static const int ends[] = { SCOPE_END, PREFIX_END };

    for (unsigned i = 0; i < VPI_COUNT(ends); i++) {
        int rc = vpi_fault_disk();

        if (rc < 0) return rc;
        path[ends[i]] = 0;
        rc = mkdirat(shared, path, 0700) != 0 && errno != EEXIST ? -errno : 0;
        path[ends[i]] = '/';
        if (rc < 0 && rc != -ENOENT) return rc; /* ENOENT: somebody prunes; the caller tries again */
    }
    return 0;
}

static int link_step(int from_at, const char *from, int to_at, const char *to)
{
    int rc = vpi_fault_disk();

    if (rc < 0) return rc;
    return linkat(from_at, from, to_at, to, 0) != 0 ? -errno : 0;
}

/* Our file becomes a link to the shared one. 1: it is already. */
static int adopt(dir_item *it, int shared, const char *path, uint64_t size)
{
    char name[DIR_NAME_ROOM], temp[DIR_NAME_ROOM];
    struct stat theirs, ours;
    int at = atomic_load(&it->folder->fd), rc;

    vpi_dirs_name(name, "", it->id, ".data");
    vpi_dirs_name(temp, ".", it->id, ".link");
    if (fstatat(at, name, &ours, AT_SYMLINK_NOFOLLOW) != 0) return -errno;
    rc = vpi_dirs_unlink(at, temp);
    if (rc == 0) rc = link_step(shared, path, at, temp);
    if (rc < 0) return rc;
    if (fstatat(at, temp, &theirs, AT_SYMLINK_NOFOLLOW) != 0) {
        rc = -errno;
    } else if (theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev) {
        rc = 1; /* a rename of one file to itself would leave both names */
    } else if (!S_ISREG(theirs.st_mode) || (uint64_t)theirs.st_size != size) {
        rc = -EPERM; /* not what its name says: it is left alone */
    } else {
        rc = vpi_fault_disk();
        if (rc == 0 && renameat(at, temp, at, name) != 0) rc = -errno;
        if (rc == 0) {
            if (it->data >= 0) close(it->data);
            it->data = -1;
            return 0;
        }
    }
    (void)vpi_dirs_unlink(at, temp);
    return rc;
}

static bool cannot_link(int rc)
{
    return rc == -EMLINK || rc == -EPERM || rc == -EOPNOTSUPP || rc == -EXDEV || rc == -ENOSYS ||
           rc == -EACCES;
}

vp_status vpi_dirs_share(void *item, vpi_buf *token, const char *scope, const char *sha256, uint64_t size,
                         bool *shared, vp_error *err)
{
    dir_item *it = item;
    char path[PATH_ROOM], name[DIR_NAME_ROOM];
    int at, rc = -EAGAIN;

    (void)token; /* the data are found by the id */
    if (it->base > 0) return VP_OK;
    at = vpi_dirs_open(it->store, &it->store->shared, NULL, "shared", true);
    if (at < 0) return vpi_fail_errno(err, -at, NULL, "making the folder of shared bytes failed");
    shared_path(path, scope, sha256);
    vpi_dirs_name(name, "", it->id, ".data");
    VPI_TRY(vpi_dirs_step(it, err));
    for (int tries = 0; tries < TRIES; tries++) {
        rc = link_step(atomic_load(&it->folder->fd), name, at, path);
        if (rc == -ENOENT) {
            rc = make_folders(at, path);
            if (rc < 0) break;
            rc = -EAGAIN;
            continue;
        }
        if (rc != -EEXIST) break;
        rc = adopt(it, at, path, size);
        if (rc == 0) *shared = true;
        if (rc != -ENOENT) break; /* ENOENT: it was removed in between */
    }
    vpi_dirs_step_end(it);
    if (rc < 0 && !cannot_link(rc) && rc != -EAGAIN && rc != -ENOENT)
        return vpi_fail_errno(err, -rc, it->id, "sharing the upload's bytes failed");
    return VP_OK;
}

/* ---- removing ---- */

/*
 * A record without data would be a lie: it says nothing any more before they go. Its name goes last, as our lock of it
 * keeps off whoever makes one of this id, and whose data would have the name of ours.
 */
static int blank_record(dir_item *it)
{
    int rc = vpi_fault_disk();

    return rc == 0 && ftruncate(it->rec, 0) != 0 ? -errno : rc;
}

static int remove_data(dir_item *it, const char *scope, const char *sha256, bool record_goes)
{
    char name[DIR_NAME_ROOM], path[PATH_ROOM];
    struct stat ours, theirs;
    int at = atomic_load(&it->folder->fd), shared, rc;

    if (it->base > 0 && !record_goes) {
        rc = vpi_fault_disk();
        return rc == 0 && ftruncate(it->rec, (off_t)it->base) != 0 ? -errno : rc;
    }
    vpi_dirs_name(name, "", it->id, ".data");
    if (fstatat(at, name, &ours, AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT ? 0 : -errno;
    rc = record_goes && it->base == 0 ? blank_record(it) : 0;
    if (rc == 0) rc = vpi_dirs_unlink(at, name);
    if (rc < 0 || ours.st_nlink != 2 || !sha256) return rc;
    /* The last owner is gone. Whoever links it at this moment keeps it by that link; only the name is lost. */
    shared = vpi_dirs_open(it->store, &it->store->shared, NULL, "shared", false);
    if (shared < 0) return shared == -ENOENT ? 0 : shared;
    shared_path(path, scope, sha256);
    if (fstatat(shared, path, &theirs, AT_SYMLINK_NOFOLLOW) != 0 || theirs.st_ino != ours.st_ino ||
        theirs.st_dev != ours.st_dev)
        return 0;
    rc = vpi_dirs_unlink(shared, path);
    path[PREFIX_END] = 0;
    if (rc == 0 && unlinkat(shared, path, AT_REMOVEDIR) == 0) {
        path[SCOPE_END] = 0;
        (void)unlinkat(shared, path, AT_REMOVEDIR);
    }
    return rc;
}

vp_status vpi_dirs_remove_data(void *item, const vpi_buf *token, const char *scope, const char *sha256,
                               vp_error *err)
{
    dir_item *it = item;
    int rc;

    (void)token;
    VPI_TRY(vpi_dirs_step(it, err));
    rc = remove_data(it, scope, sha256, false);
    vpi_dirs_step_end(it);
    return rc < 0 ? vpi_fail_errno(err, -rc, it->id, "removing the upload failed") : VP_OK;
}

vp_status vpi_dirs_remove(void *item, const vpi_buf *token, const char *scope, const char *sha256,
                          vp_error *err)
{
    dir_item *it = item;
    char name[DIR_NAME_ROOM];
    int rc;

    (void)token;
    vpi_dirs_name(name, "", it->id, ".rec");
    vpi_buf_dispose(&it->record); /* not to be parked */
    VPI_TRY(vpi_dirs_step(it, err));
    rc = remove_data(it, scope, sha256, true);
    if (rc == 0) rc = vpi_dirs_unlink(atomic_load(&it->folder->fd), name);
    if (rc == 0) rc = vpi_dirs_sync(it->store, it->folder);
    vpi_dirs_step_end(it);
    return rc < 0 ? vpi_fail_errno(err, -rc, it->id, "removing the upload failed") : VP_OK;
}
