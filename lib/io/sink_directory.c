/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "io/sync_pool.h"

/* Write-back of large objects starts while they are written, so that the fsync at the end has less to do. */
#define WRITE_BACK_STEP (UINT64_C(8) << 20)

typedef struct dir_sink {
    vp_context *context;
    vpi_dir *dir;
    vpi_sync_pool *pool;
} dir_sink;

typedef struct dir_object {
    vpi_dir_file file; /* its name points into key */
    char *key;
    uint64_t size, pushed;
} dir_object;

static vp_status dir_begin(void *user, const vp_object_info *info, void **object, vp_error *err)
{
    dir_sink *s = user;
    dir_object *o;
    int rc;

    if (vpi_dir_is_temp(vpi_key_name(info->key))) {
        return vpi_fail(err, VP_E_ARG, NULL, "the key has the form of a temporary name");
    }
    o = vpi_calloc(1, sizeof(*o));
    if (!o) return vpi_fail_nomem(err);
    o->file = (vpi_dir_file)VPI_DIR_FILE_NONE;
    o->key = vpi_strdup(info->key);
    if (!o->key) {
        vpi_free(o);
        return vpi_fail_nomem(err);
    }
    rc = vpi_dir_file_create(s->dir, o->key, &o->file);
    if (rc < 0) {
        vp_status st = vpi_fail_errno(err, -rc, o->key, "creating the object failed");

        vpi_free(o->key);
        vpi_free(o);
        return st;
    }
    *object = o;
    return VP_OK;
}

static vp_status dir_writev(void *user, void *object, struct iovec *iov, int count, vp_error *err)
{
    dir_object *o = object;
    uint64_t total = 0;
    int i, rc;

    (void)user;
    for (i = 0; i < count; i++) total += iov[i].iov_len;
    rc = vpi_fd_writev(o->file.fd, iov, count);
    if (rc < 0) return vpi_fail_errno(err, -rc, o->key, "writing the object failed");
    o->size += total;
    if (o->size - o->pushed >= WRITE_BACK_STEP) {
        /* Only a hint: what it cannot do the fsync will. */
        (void)sync_file_range(o->file.fd, (off_t)o->pushed, (off_t)(o->size - o->pushed),
                              SYNC_FILE_RANGE_WRITE);
        o->pushed = o->size;
    }
    return VP_OK;
}

static vp_status dir_write(void *user, void *object, const void *data, size_t size, vp_error *err)
{
    struct iovec iov = { (void *)(uintptr_t)data, size };

    return dir_writev(user, object, &iov, 1, err);
}

static void dir_abort(void *user, void *object)
{
    dir_sink *s = user;
    dir_object *o = object;

    vpi_dir_file_abort(s->dir, o->key, &o->file);
    vpi_free(o->key);
    vpi_free(o);
}

static vp_status dir_commit(void *user, void *object, vp_error *err)
{
    dir_sink *s = user;
    dir_object *o = object;
    vp_status st = vpi_sync_pool_commit(s->pool, &o->file, o->key, err);

    if (st < 0) {
        dir_abort(user, object);
    } else {
        vpi_free(o);
    }
    return st;
}

static vp_status dir_flush(void *user, vp_error *err)
{
    return vpi_sync_pool_flush(((dir_sink *)user)->pool, err);
}

static vp_status dir_stat(void *user, const char *key, vp_object_info *info, vp_error *err)
{
    dir_sink *s = user;

    vpi_sync_pool_wait(s->pool, key);
    return vpi_dir_stat(s->dir, key, info, err);
}

static vp_status dir_list(void *user, const char *prefix, vp_list_fn fn, void *fn_user, vp_error *err)
{
    dir_sink *s = user;

    vpi_sync_pool_wait(s->pool, NULL);
    return vpi_dir_list(s->dir, prefix, NULL, fn, fn_user, err);
}

static vp_status dir_open(void *user, const char *key, vp_source **out, vp_error *err)
{
    dir_sink *s = user;

    vpi_sync_pool_wait(s->pool, key);
    return vpi_dir_source(s->dir, s->context, key, out, err);
}

static vp_status dir_remove(void *user, const char *key, vp_error *err)
{
    dir_sink *s = user;
    vp_status st;

    vpi_sync_pool_wait(s->pool, key);
    st = vpi_dir_remove(s->dir, key, err);
    if (st == VP_OK) vpi_sync_pool_touch(s->pool, key);
    return st;
}

static void dir_tidy(void *user, const char *prefix, const char *only)
{
    vpi_dir_tidy(((dir_sink *)user)->dir, prefix, only);
}

static void dir_release(void *user)
{
    dir_sink *s = user;

    vpi_sync_pool_free(s->pool);
    vpi_dir_free(s->dir);
    vpi_free(s);
}

vp_status vp_sink_directory(vp_context *context, const char *path, vp_sink **out, vp_error *err)
{
    vp_sink_ops ops = VP_SINK_OPS_INIT;
    const vpi_sink_extra extra = { .writev = dir_writev, .tidy = dir_tidy };
    dir_sink *s = NULL;
    vp_status st;

    vp_error_init(err);
    if (!out || !path) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    s = vpi_calloc(1, sizeof(*s));
    if (!s) return vpi_fail_nomem(err);
    s->context = context; /* the sink around it holds the reference */
    VPI_GO(vpi_dir_new(path, &s->dir, err));
    VPI_GO(vpi_sync_pool_new(context, s->dir, &s->pool, err));
    ops.begin = dir_begin;
    ops.write = dir_write;
    ops.commit = dir_commit;
    ops.abort = dir_abort;
    ops.flush = dir_flush;
    ops.stat = dir_stat;
    ops.list = dir_list;
    ops.open = dir_open;
    ops.remove = dir_remove;
    ops.release = dir_release;
    VPI_GO(vpi_sink_new_internal(context, &ops, &extra, s, out, err));
done:
    if (st < 0) dir_release(s);
    return st;
}
