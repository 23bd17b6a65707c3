/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "io/dir.h"

#define LEASE_MARK ".lease"
/* The fence number has a fixed width, so that it is replaced by one write within one sector. */
#define FENCE_ROOM 24
#define FENCE_SIZE 21
#define LEASE_TRIES 100

typedef struct dir_store {
    vp_context *context;
    uint32_t fork_mark;
    vpi_dir *dir;
} dir_store;

typedef struct dir_value {
    vpi_dir_file file; /* its name points into name */
    char *name;
} dir_value;

typedef struct dir_lease {
    char *key; /* of the lock file */
    int fd;
} dir_lease;

static bool is_lease(const char *name)
{
    size_t n = strlen(name), mark = sizeof(LEASE_MARK) - 1;

    return n >= mark && strcmp(name + n - mark, LEASE_MARK) == 0;
}

static vp_status check_name(const char *name, vp_error *err)
{
    if (!vpi_dir_is_temp(vpi_key_name(name)) && !is_lease(name)) return VP_OK;
    return vpi_fail(err, VP_E_ARG, NULL, "the name has the form of a lease or a temporary name");
}

/* ---- values ---- */

static void value_free(dir_value *v)
{
    vpi_free(v->name);
    vpi_free(v);
}

static vp_status dir_begin(void *user, const char *name, void **value, vp_error *err)
{
    dir_store *s = user;
    dir_value *v;
    int rc;

    VPI_TRY(check_name(name, err));
    v = vpi_calloc(1, sizeof(*v));
    if (v) v->name = vpi_strdup(name);
    if (!v || !v->name) {
        vpi_free(v);
        return vpi_fail_nomem(err);
    }
    v->file = (vpi_dir_file)VPI_DIR_FILE_NONE;
    rc = vpi_dir_file_create(s->dir, v->name, &v->file);
    if (rc < 0) {
        value_free(v);
        return vpi_fail_errno(err, -rc, name, "creating the value failed");
    }
    *value = v;
    return VP_OK;
}

static vp_status dir_write(void *user, void *value, const void *data, size_t size, vp_error *err)
{
    dir_value *v = value;
    int rc = vpi_fd_write(v->file.fd, data, size);

    (void)user;
    return rc < 0 ? vpi_fail_errno(err, -rc, v->name, "writing the value failed") : VP_OK;
}

static void dir_abort(void *user, void *value)
{
    dir_store *s = user;
    dir_value *v = value;

    vpi_dir_file_abort(s->dir, v->name, &v->file);
    value_free(v);
}

static vp_status dir_commit(void *user, void *value, vp_error *err)
{
    dir_store *s = user;
    dir_value *v = value;
    vp_status st = VP_OK;
    char *folder = NULL;
    bool taken = false;
    int rc;

    rc = vpi_dir_file_sync(&v->file);
    if (rc < 0) {
        st = vpi_fail_errno(err, -rc, v->name, "making the value durable failed");
        goto done;
    }
    rc = vpi_dir_file_name(&v->file, false);
    taken = rc == -EEXIST;
    if (rc < 0 && !taken) {
        st = vpi_fail_errno(err, -rc, v->name, "naming the value failed");
        goto done;
    }
    folder = vpi_strdup(v->name);
    if (!folder) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    folder[vpi_key_name(folder) == folder ? 0 : vpi_key_name(folder) - folder - 1] = 0;
    /* Also when it was there: whoever put it may not have come to this point. */
    rc = vpi_dir_sync(s->dir, folder, true);
    if (rc < 0) st = vpi_fail_errno(err, -rc, v->name, "making the name durable failed");
done:
    vpi_dir_file_close(&v->file, st < 0 || taken);
    vpi_free(folder);
    value_free(v);
    return st == VP_OK && taken ? VP_END : st;
}

static vp_status dir_open(void *user, const char *name, vp_source **out, vp_error *err)
{
    dir_store *s = user;

    VPI_TRY(check_name(name, err));
    return vpi_dir_source(s->dir, s->context, name, out, err);
}

static vp_status dir_list(void *user, const char *prefix, vp_list_fn fn, void *fn_user, vp_error *err)
{
    return vpi_dir_list(((dir_store *)user)->dir, prefix, is_lease, fn, fn_user, err);
}

static vp_status dir_remove(void *user, const char *name, vp_error *err)
{
    dir_store *s = user;

    VPI_TRY(check_name(name, err));
    return vpi_dir_remove(s->dir, name, err);
}

/* ---- leases ---- */

/* Whether the name still means the file that is open. */
static int still_named(vpi_dir *dir, const char *key, int fd)
{
    const char *name;
    struct stat a, b;
    int parent = vpi_dir_parent(dir, key, NULL, &name), rc = parent;

    if (parent >= 0) {
        rc = fstatat(parent, name, &a, AT_SYMLINK_NOFOLLOW) != 0 || fstat(fd, &b) != 0 ? -errno : 0;
        close(parent);
    }
    if (rc == -ENOENT || rc == -ENOTDIR) return 0;
    if (rc < 0) return rc;
    return a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int open_lock(vpi_dir *dir, const char *key)
{
    const char *name;
    bool made = false;
    int tries, fd = -EAGAIN;

    for (tries = 0; tries < LEASE_TRIES; tries++) {
        int parent = vpi_dir_parent(dir, key, &made, &name), rc;

        fd = parent;
        if (fd == -ENOENT) continue;
        if (fd < 0) return fd;
        fd = openat(parent, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
        if (fd < 0) fd = -errno;
        close(parent);
        if (fd == -ENOENT || fd == -EINTR) continue;
        if (fd < 0) return fd;
        /* Of the open file: two openings in one process exclude each other too. */
        rc = vpi_fd_lock(fd, F_WRLCK);
        if (rc == 0) rc = still_named(dir, key, fd);
        if (rc == 1) return fd;
        close(fd);
        fd = -EAGAIN;
        if (rc < 0) return rc;
    }
    return fd;
}

/* Reads the number of the last holder and writes the next; 0 or a negative errno. */
static int next_fence(int fd, uint64_t *fence)
{
    char text[FENCE_ROOM] = { 0 };
    uint64_t last = 0;
    ssize_t n, i;

    do {
        n = pread(fd, text, FENCE_SIZE, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return -errno;
    for (i = 0; i < n && text[i] != '\n'; i++) {
        if (text[i] < '0' || text[i] > '9' || !vpi_mul_u64(last, 10, &last) ||
            !vpi_add_u64(last, (uint64_t)(text[i] - '0'), &last)) {
            return -EBADMSG;
        }
    }
    if (!vpi_add_u64(last, 1, fence)) return -EBADMSG;
    snprintf(text, sizeof(text), "%020llu\n", (unsigned long long)*fence);
    n = vpi_fault_disk();
    if (n < 0) return (int)n;
    do {
        n = pwrite(fd, text, FENCE_SIZE, 0);
    } while (n < 0 && errno == EINTR);
    if (n != FENCE_SIZE) return n < 0 ? -errno : -EIO;
    return fsync(fd) != 0 ? -errno : 0;
}

static void lease_free(dir_lease *l)
{
    if (l->fd >= 0) close(l->fd);
    vpi_free(l->key);
    vpi_free(l);
}

static vp_status dir_lease_take(void *user, const char *name, void **lease, uint64_t *fence, vp_error *err)
{
    dir_store *s = user;
    dir_lease *l;
    char *folder;
    int rc;

    VPI_TRY(check_name(name, err));
    l = vpi_calloc(1, sizeof(*l));
    if (!l) return vpi_fail_nomem(err);
    l->fd = -1;
    l->key = vpi_asprintf("%s" LEASE_MARK, name);
    folder = vpi_strdup(name);
    if (!l->key || !folder) {
        vpi_free(folder);
        lease_free(l);
        return vpi_fail_nomem(err);
    }
    folder[vpi_key_name(folder) == folder ? 0 : vpi_key_name(folder) - folder - 1] = 0;
    rc = l->fd = open_lock(s->dir, l->key);
    if (rc >= 0) rc = next_fence(l->fd, fence);
    /* The fence may not fall back by a crash that loses the name. */
    if (rc >= 0) rc = vpi_dir_sync(s->dir, folder, true);
    vpi_free(folder);
    if (rc >= 0) {
        *lease = l;
        return VP_OK;
    }
    lease_free(l);
    if (rc == -EAGAIN || rc == -EACCES) return VP_AGAIN;
    return vpi_fail_errno(err, -rc, name, "taking the lease failed");
}

static vp_status dir_renew(void *user, void *lease, vp_error *err)
{
    dir_store *s = user;
    dir_lease *l = lease;
    int rc = still_named(s->dir, l->key, l->fd);

    if (rc < 0) return vpi_fail_errno(err, -rc, l->key, "looking at the lease failed");
    return rc ? VP_OK
              : vpi_fail(err, VP_E_CONFLICT, "ALREADY_RUNNING", "the lease was lost: its file was removed");
}

static void dir_unlease(void *user, void *lease)
{
    dir_store *s = user;
    dir_lease *l = lease;

    /* Explicitly: a forked child may hold the descriptor open. The file stays, it remembers the fence. */
    if (!vpi_forked(s->fork_mark)) (void)vpi_fd_lock(l->fd, F_UNLCK);
    lease_free(l);
}

/* ---- the store ---- */

static void dir_tidy(void *user, const char *prefix, const char *only)
{
    vpi_dir_tidy(((dir_store *)user)->dir, prefix, only);
}

static void dir_release(void *user)
{
    dir_store *s = user;

    vpi_dir_free(s->dir);
    vpi_free(s);
}

vp_status vp_store_directory(vp_context *context, const char *path, vp_store **out, vp_error *err)
{
    vp_store_ops ops = VP_STORE_OPS_INIT;
    dir_store *s = NULL;
    vp_status st;

    vp_error_init(err);
    if (!out || !path) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    s = vpi_calloc(1, sizeof(*s));
    if (!s) return vpi_fail_nomem(err);
    s->context = context; /* the store around it holds the reference */
    s->fork_mark = vpi_fork_mark();
    VPI_GO(vpi_dir_new(path, &s->dir, err));
    ops.begin = dir_begin;
    ops.write = dir_write;
    ops.commit = dir_commit;
    ops.abort = dir_abort;
    ops.open = dir_open;
    ops.list = dir_list;
    ops.remove = dir_remove;
    ops.lease = dir_lease_take;
    ops.renew = dir_renew;
    ops.unlease = dir_unlease;
    ops.release = dir_release;
    VPI_GO(vpi_store_new_internal(context, &ops, dir_tidy, s, out, err));
done:
    if (st < 0) dir_release(s);
    return st;
}
