/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/dir.h"

#define KEY_ROOM 1025
#define DEPTH_MAX (KEY_ROOM / 2) /* no valid key is deeper */

typedef struct walk {
    const char *prefix;
    size_t prefix_size;
    bool (*hidden)(const char *name);
    vp_list_fn fn;
    void *user;
    vpi_dir *tidied;  /* not NULL: temporary files are looked at instead, and removed */
    const char *only; /* not NULL: those of this name alone, in the root's folders alone */
    uint64_t removed;
    char key[KEY_ROOM];
    vp_error *err;
} walk;

typedef struct names {
    char **list;
    size_t count, cap;
} names;

static void names_dispose(names *n)
{
    while (n->count > 0) vpi_free(n->list[--n->count]);
    vpi_free(n->list);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All names first, so that whoever is called may remove objects. Takes fd over. */
static vp_status read_names(walk *w, int fd, names *n)
{
    DIR *d = fdopendir(fd);
    vp_status st = VP_OK;
    struct dirent *e;

    if (!d) {
        st = vpi_fail_errno(w->err, errno, w->key, "reading a folder failed");
        close(fd);
        return st;
    }
    for (errno = 0; st == VP_OK && (e = readdir(d)) != NULL; errno = 0) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (!VPI_GROW(n->list, n->count, n->cap) || !(n->list[n->count] = vpi_strdup(e->d_name))) {
            st = vpi_fail_nomem(w->err);
        } else {
            n->count++;
        }
    }
    if (st == VP_OK && errno) st = vpi_fail_errno(w->err, errno, w->key, "reading a folder failed");
    closedir(d);
    if (n->count > 1) qsort(n->list, n->count, sizeof(*n->list), by_name);
    return st;
}

/* Could a key that begins with this one, of n bytes, begin with the prefix? */
static bool in_prefix(const walk *w, size_t n)
{
    return memcmp(w->key, w->prefix, VPI_MIN(n, w->prefix_size)) == 0;
}

static vp_status visit_file(walk *w, size_t length, const struct stat *s)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;

    if (length < w->prefix_size) return VP_OK;
    info.key = w->key;
    info.size = (uint64_t)s->st_size;
    info.mtime_us = (uint64_t)s->st_mtim.tv_sec * 1000000 + (uint64_t)s->st_mtim.tv_nsec / 1000;
    return w->fn(w->user, &info);
}

/* ---- temporary files ---- */

/* Left by a process that ended: nobody holds its lock. */
static bool remove_left(int folder, const char *name)
{
    struct stat there, ours;
    bool gone = false;
    int fd = openat(folder, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0) return false;
    if (fstat(fd, &ours) == 0 && S_ISREG(ours.st_mode) && vpi_fd_lock(fd, F_WRLCK) == 0 &&
        fstatat(folder, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_ino == ours.st_ino &&
        there.st_dev == ours.st_dev) {
        gone = unlinkat(folder, name, 0) == 0;
    }
    close(fd);
    return gone;
}

/* The temporary file `name`, in the folder of w->key, belongs to a key with the prefix? */
static void tidy_file(walk *w, int folder, size_t length, const char *name)
{
    size_t size = vpi_dir_temp_of(name);

    if (size == 0 || length + size + 1 >= KEY_ROOM) return;
    memcpy(w->key + length, name + 1, size);
    w->key[length + size] = 0;
    if (w->only && (length == 0 || !vpi_streq(w->key + length, w->only))) return;
    if (length + size >= w->prefix_size && in_prefix(w, length + size))
        w->removed += remove_left(folder, name);
}

/* ---- folders ---- */

/* w->key holds the folder's key with a '/' behind it (or nothing), length bytes. Borrows folder. */
static vp_status visit_folder(walk *w, int folder, size_t length, unsigned depth)
{
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    names n = { NULL, 0, 0 };
    vp_status st;
    size_t i;
    unsigned deepest = w->only ? 1 : DEPTH_MAX;

    /* Pruned since it was opened. */
    if (copy < 0 && errno == ENOENT) return VP_OK;
    if (copy < 0) return vpi_fail_errno(w->err, errno, w->key, "reading a folder failed");
    st = read_names(w, copy, &n);
    for (i = 0; st == VP_OK && i < n.count; i++) {
        size_t size = strlen(n.list[i]);
        struct stat s;

        if (vpi_dir_is_temp(n.list[i])) {
            if (w->tidied) tidy_file(w, folder, length, n.list[i]);
            continue;
        }
        if (length + size + 1 >= KEY_ROOM) continue;
        memcpy(w->key + length, n.list[i], size + 1);
        if (!in_prefix(w, length + size)) continue;
        if (fstatat(folder, n.list[i], &s, AT_SYMLINK_NOFOLLOW) != 0) {
            /* Gone since the folder was read. */
            if (errno != ENOENT) st = vpi_fail_errno(w->err, errno, w->key, "looking at an object failed");
        } else if (S_ISDIR(s.st_mode) && depth < deepest) {
            uint64_t before = w->removed;
            int next = openat(folder, n.list[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

            if (next < 0) {
                if (errno != ENOENT && !w->tidied)
                    st = vpi_fail_errno(w->err, errno, w->key, "opening a folder failed");
                continue;
            }
            w->key[length + size] = '/';
            w->key[length + size + 1] = 0;
            if (in_prefix(w, length + size + 1)) st = visit_folder(w, next, length + size + 1, depth + 1);
            close(next);
            /* One that was made for what was never committed is empty now. */
            if (w->tidied && length + size + 1 >= w->prefix_size && (!w->only || w->removed > before))
                unlinkat(folder, n.list[i], AT_REMOVEDIR);
        } else if (w->tidied) {
            continue;
        } else if (S_ISREG(s.st_mode) && vpi_key_valid(w->key) && !(w->hidden && w->hidden(n.list[i]))) {
            st = visit_file(w, length + size, &s);
        }
        if (w->tidied) st = VP_OK; /* one thing that cannot be reached does not keep the others */
    }
    names_dispose(&n);
    return st;
}

vp_status vpi_dir_list(vpi_dir *dir, const char *prefix, bool (*hidden)(const char *name), vp_list_fn fn,
                       void *user, vp_error *err)
{
    walk w = {
        .prefix = prefix, .prefix_size = strlen(prefix), .hidden = hidden, .fn = fn, .user = user, .err = err
    };
    int root = vpi_dir_root(dir, false);

    if (root == -ENOENT) return VP_OK;
    if (root < 0) return vpi_fail_errno(err, -root, NULL, "opening the directory failed");
    return visit_folder(&w, root, 0, 0);
}

void vpi_dir_tidy(vpi_dir *dir, const char *prefix, const char *only)
{
    walk w = { .prefix = prefix, .prefix_size = strlen(prefix), .tidied = dir, .only = only };
    int root = vpi_dir_root(dir, false);

    if (root >= 0) (void)visit_folder(&w, root, 0, 0);
}
