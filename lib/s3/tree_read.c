/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What there is in a directory, and what names say of it. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io.h"
#include "tree.h"

enum { DEPTH_MAX = 32 };
#define FILES_MAX ((size_t)10 << 20)
#define MARKER ".vodpipe-version"

static const struct {
    const char *end, *type;
    int32_t kind;
} kinds[] = {
    { ".m3u8", "application/vnd.apple.mpegurl", VP_OBJECT_PLAYLIST },
    { ".mpd", "application/dash+xml", VP_OBJECT_MASTER },
    { ".m4s", "video/iso.segment", VP_OBJECT_SEGMENT },
    { ".mp4", "video/mp4", VP_OBJECT_SEGMENT },
    { ".m4v", "video/mp4", VP_OBJECT_SEGMENT },
    { ".m4a", "audio/mp4", VP_OBJECT_SEGMENT },
    { ".ts", "video/mp2t", VP_OBJECT_SEGMENT },
    { ".aac", "audio/aac", VP_OBJECT_SEGMENT },
    { ".ac3", "audio/ac3", VP_OBJECT_SEGMENT },
    { ".ec3", "audio/eac3", VP_OBJECT_SEGMENT },
    { ".vtt", "text/vtt", VP_OBJECT_SEGMENT },
    { ".jpg", "image/jpeg", VP_OBJECT_IMAGE },
    { ".png", "image/png", VP_OBJECT_IMAGE },
    { ".webp", "image/webp", VP_OBJECT_IMAGE },
    { ".key", "application/octet-stream", VP_OBJECT_KEY },
    { ".json", "application/json", VP_OBJECT_OTHER },
    { ".html", "text/html", VP_OBJECT_OTHER },
    { ".js", "text/javascript", VP_OBJECT_OTHER },
    { ".css", "text/css", VP_OBJECT_OTHER },
    { ".txt", "text/plain; charset=utf-8", VP_OBJECT_OTHER },
};
/* The only names that are ever replaced (DESIGN section 5). */
static const char *const masters[] = { "master.m3u8", "master-ts.m3u8", "manifest.mpd", "presentation.json",
                                       "player.html" };

static size_t kind_at(const char *path)
{
    size_t n = strlen(path), i;

    for (i = 0; i < VPI_COUNT(kinds); i++) {
        size_t m = strlen(kinds[i].end);

        if (n > m && strcmp(path + n - m, kinds[i].end) == 0) break;
    }
    return i;
}

static int32_t kind_of(const char *path)
{
    const char *name = strrchr(path, '/');
    size_t i = kind_at(path);

    name = name ? name + 1 : path;
    for (size_t k = 0; k < VPI_COUNT(masters); k++)
        if (strcmp(name, masters[k]) == 0) return VP_OBJECT_MASTER;
    if (strcmp(name, MARKER) == 0) return VP_OBJECT_MARKER;
    return i < VPI_COUNT(kinds) ? kinds[i].kind : VP_OBJECT_OTHER;
}

int vpi_tree_rank(const char *path)
{
    int32_t kind = kind_of(path);

    return kind == VP_OBJECT_MASTER ? 2 : kind == VP_OBJECT_PLAYLIST ? 1 : 0;
}

const char *vpi_tree_type(const char *path)
{
    size_t i = kind_at(path);

    if (kind_of(path) == VP_OBJECT_MARKER) return "application/json";
    return i < VPI_COUNT(kinds) ? kinds[i].type : "application/octet-stream";
}

/* ---- reading ---- */

static vp_status add_file(vpi_tree *t, const char *path, const struct stat *s, vp_error *err)
{
    vpi_tree_file *f;

    if (t->count == FILES_MAX)
        return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "more than %zu files", FILES_MAX);
    if (!VPI_GROW(t->files, t->count, t->cap)) return vpi_fail_nomem(err);
    f = &t->files[t->count];
    memset(f, 0, sizeof(*f));
    f->path = vpi_strdup(path);
    if (!f->path) return vpi_fail_nomem(err);
    t->count++;
    f->size = (uint64_t)s->st_size;
    f->mtime_ns = (int64_t)s->st_mtim.tv_sec * 1000000000 + s->st_mtim.tv_nsec;
    f->ctime_ns = (int64_t)s->st_ctim.tv_sec * 1000000000 + s->st_ctim.tv_nsec;
    f->kind = kind_of(path);
    f->rank = vpi_tree_rank(path);
    t->bytes += f->size;
    return VP_OK;
}

static vp_status add_version(vpi_tree *t, const char *path, vp_error *err)
{
    size_t n = strlen(path), m = strlen(MARKER);

    if (n <= m || strcmp(path + n - m, MARKER) != 0) return VP_OK;
    if (!VPI_GROW(t->versions, t->version_count, t->version_cap)) return vpi_fail_nomem(err);
    t->versions[t->version_count] = vpi_strndup(path, n - m); /* with its '/' */
    return t->versions[t->version_count++] ? VP_OK : vpi_fail_nomem(err);
}

static bool left_out(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, ".vodpipe") == 0 ||
           (name[0] == '.' && strstr(name, ".tmp-"));
}

static vp_status read_folder(vpi_tree *t, int fd, const char *path, unsigned depth, vp_cancel *cancel,
                             vp_error *err);

static vp_status read_entry(vpi_tree *t, int dir, const char *folder, const char *name, unsigned depth,
                            vp_cancel *cancel, vp_error *err)
{
    char *path = vpi_asprintf("%s%s%s", folder, *folder ? "/" : "", name);
    struct stat s;
    vp_status st;
    int fd;

    if (!path) return vpi_fail_nomem(err);
    if (fstatat(dir, name, &s, AT_SYMLINK_NOFOLLOW) != 0) {
        st = vpi_fail_errno(err, errno, path, "looking at the file failed");
    } else if (S_ISREG(s.st_mode)) {
        st = add_file(t, path, &s, err);
        if (st >= 0) st = add_version(t, path, err);
    } else if (S_ISDIR(s.st_mode)) {
        fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        st = fd < 0 ? vpi_fail_errno(err, errno, path, "opening the folder failed")
                    : read_folder(t, fd, path, depth + 1, cancel, err);
    } else {
        vpi_error_key(err, path);
        st = vpi_fail(err, VP_E_ARG, NULL, "neither a regular file nor a folder: %.200s", path);
    }
    vpi_free(path);
    return st;
}

/* Takes fd over. */
static vp_status read_folder(vpi_tree *t, int fd, const char *path, unsigned depth, vp_cancel *cancel,
                             vp_error *err)
{
    DIR *dir = depth < DEPTH_MAX ? fdopendir(fd) : NULL;
    struct dirent *e;
    vp_status st = VP_OK;

    if (!dir) {
        close(fd);
        return depth < DEPTH_MAX
                   ? vpi_fail_errno(err, errno, path, "opening the folder failed")
                   : vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "folders are too deep: %.200s", path);
    }
    while (st >= 0) {
        errno = 0;
        e = readdir(dir);
        if (!e) {
            if (errno) st = vpi_fail_errno(err, errno, path, "reading the folder failed");
            break;
        }
        if (left_out(e->d_name)) continue;
        st = vpi_cancel_check(cancel, err);
        if (st >= 0) st = read_entry(t, dirfd(dir), path, e->d_name, depth, cancel, err);
    }
    closedir(dir);
    return st;
}

static int by_order(const void *a, const void *b)
{
    const vpi_tree_file *x = a, *y = b;

    return x->rank != y->rank ? x->rank - y->rank : strcmp(x->path, y->path);
}

static vp_status read_single(vpi_tree *t, const char *path, vp_error *err)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *folder = slash ? vpi_strndup(path, (size_t)(slash - path) + 1) : vpi_strdup(".");
    struct stat s;

    if (!folder) return vpi_fail_nomem(err);
    t->single = true;
    t->root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    vpi_free(folder);
    if (t->root < 0) return vpi_fail_errno(err, errno, path, "opening the folder failed");
    t->open = true;
    if (fstatat(t->root, name, &s, 0) != 0)
        return vpi_fail_errno(err, errno, path, "looking at the file failed");
    if (S_ISREG(s.st_mode)) return add_file(t, name, &s, err);
    return vpi_fail(err, VP_E_ARG, NULL, "neither a regular file nor a folder: %.200s", path);
}

vp_status vpi_tree_read(vpi_tree *t, const char *directory, vp_cancel *cancel, vp_error *err)
{
    int fd;

    t->root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->root < 0 && errno == ENOTDIR) return read_single(t, directory, err);
    if (t->root < 0) return vpi_fail_errno(err, errno, directory, "opening the folder failed");
    t->open = true;
    fd = openat(t->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return vpi_fail_errno(err, errno, directory, "opening the folder failed");
    VPI_TRY(read_folder(t, fd, "", 0, cancel, err));
    if (t->count) qsort(t->files, t->count, sizeof(*t->files), by_order);
    return VP_OK;
}

void vpi_tree_dispose(vpi_tree *t)
{
    for (size_t i = 0; i < t->count; i++) vpi_free(t->files[i].path);
    for (size_t i = 0; i < t->version_count; i++) vpi_free(t->versions[i]);
    vpi_free(t->files);
    vpi_free(t->versions);
    if (t->open) close(t->root);
}

vp_status vpi_tree_open(const vpi_tree *t, vp_context *context, const vpi_tree_file *f, vp_source **out,
                        vp_error *err)
{
    int fd = openat(t->root, f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (t->single ? 0 : O_NOFOLLOW));

    if (fd < 0) return vpi_fail_errno(err, errno, f->path, "opening the file failed");
    return vpi_source_fd(context, fd, f->path, out, err);
}

/* ---- what is looked for ---- */

vpi_tree_file *vpi_tree_find(const vpi_tree *t, const char *path)
{
    for (int rank = 0; rank < 3; rank++) {
        vpi_tree_file key = { .path = (char *)(uintptr_t)path, .rank = rank };
        vpi_tree_file *found = t->count ? bsearch(&key, t->files, t->count, sizeof(key), by_order) : NULL;

        if (found) return found;
    }
    return NULL;
}

void vpi_tree_there(vpi_tree *t, const char *path, uint64_t size)
{
    vpi_tree_file *f = vpi_tree_find(t, path);

    if (f && f->size == size) f->there = true;
}

/* Names below a version folder are never used for other content; any other name may be (S22, S23). */
const char *vpi_tree_cache(const vpi_tree *t, const vpi_tree_file *f, const vp_sink_s3_options *o)
{
    bool version = false;

    if (f->kind == VP_OBJECT_KEY) return "no-store";
    for (size_t i = 0; i < t->version_count && !version; i++)
        version = strncmp(f->path, t->versions[i], strlen(t->versions[i])) == 0;
    if (f->rank == 0 && f->kind != VP_OBJECT_OTHER && f->kind != VP_OBJECT_MARKER) {
        if (o->cache_segments) return o->cache_segments;
        return version ? "public, max-age=31536000, immutable" : "public, max-age=60";
    }
    if (f->rank) return o->cache_manifests ? o->cache_manifests : "public, max-age=60";
    return "public, max-age=60";
}
