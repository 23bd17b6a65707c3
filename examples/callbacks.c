/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * callbacks INPUT: bytes come in and go out through functions of the host. This one reads a file with pread() and
 * keeps the published objects in memory; a database or an object store is reached in the same way.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vodpipe/vodpipe.h>

/* ---- the source: user is the address of a descriptor; calls may come from several threads at once ---- */

static vp_status read_at(void *user, uint64_t offset, void *data, size_t capacity, size_t *got, vp_error *err)
{
    ssize_t n = pread(*(int *)user, data, capacity, (off_t)offset);
    if (n < 0) return vp_error_set(err, VP_E_IO, "IO_ERROR", errno, strerror(errno));
    *got = (size_t)n;
    return VP_OK;
}

static vp_status source_size(void *user, uint64_t *bytes, vp_error *err)
{
    struct stat s;
    if (fstat(*(int *)user, &s) != 0) return vp_error_set(err, VP_E_IO, "IO_ERROR", errno, strerror(errno));
    *bytes = (uint64_t)s.st_size;
    return VP_OK;
}

/* ---- the sink: a list of objects; only what was committed is in it ---- */

typedef struct object {
    struct object *next;
    char key[256];
    char *data;
    size_t size;
} object;

typedef struct memory {
    pthread_mutex_t lock;
    object *first;
} memory;

static vp_status begin(void *user, const vp_object_info *info, void **handle, vp_error *err)
{
    object *o = calloc(1, sizeof(*o));
    (void)user;
    if (!o) return vp_error_set(err, VP_E_NOMEM, NULL, 0, "out of memory");
    snprintf(o->key, sizeof(o->key), "%s", info->key); /* content_type and cache_control are there too */
    *handle = o;
    return VP_OK;
}

static vp_status write_object(void *user, void *handle, const void *data, size_t size, vp_error *err)
{
    object *o = handle;
    char *more = realloc(o->data, o->size + size);
    (void)user;
    if (!more) return vp_error_set(err, VP_E_NOMEM, NULL, 0, "out of memory");
    memcpy(more + o->size, data, size);
    o->data = more;
    o->size += size;
    return VP_OK;
}

static void abort_object(void *user, void *handle)
{
    object *o = handle;
    (void)user;
    free(o->data);
    free(o);
}

/* The object becomes visible, whole; one of the same key is replaced. */
static vp_status commit(void *user, void *handle, vp_error *err)
{
    memory *m = user;
    object *o = handle, **at;
    (void)err;
    pthread_mutex_lock(&m->lock);
    for (at = &m->first; *at && strcmp((*at)->key, o->key); at = &(*at)->next) {}
    object *old = *at;
    o->next = old ? old->next : NULL;
    *at = o;
    pthread_mutex_unlock(&m->lock);
    if (old) abort_object(user, old);
    return VP_OK;
}

int main(int argc, char **argv)
{
    vp_error err = VP_ERROR_INIT;
    vp_context *context = NULL;
    vp_source *source = NULL;
    vp_sink *sink = NULL;
    vp_job *job = NULL;
    memory store = { .lock = PTHREAD_MUTEX_INITIALIZER };
    int fd = argc == 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        fprintf(stderr, "usage: %s INPUT (a file that can be read)\n", argv[0]);
        return 2;
    }
    vp_source_ops in = VP_SOURCE_OPS_INIT;
    in.read_at = read_at;
    in.size = source_size;
    vp_sink_ops out = VP_SINK_OPS_INIT;
    out.begin = begin;
    out.write = write_object;
    out.commit = commit;
    out.abort = abort_object;

    vp_status st = vp_context_new(NULL, &context, &err);
    if (st >= 0) st = vp_source_new(context, &in, &fd, &source, &err);
    if (st >= 0) st = vp_sink_new(context, &out, &store, &sink, &err);
    if (st >= 0)
        st = vp_job_new_json(context, source, sink, NULL, NULL, 0, "{\"prefix\":\"none\"}", &job, &err);
    if (st >= 0) st = vp_job_start(job, &err);
    if (st >= 0) st = vp_job_wait(job, -1, &err);
    if (st < 0) fprintf(stderr, "%s: %s\n", err.reason, err.message);

    vp_job_unref(job);
    vp_sink_unref(sink);
    vp_source_unref(source);
    vp_context_unref(context); /* no callback comes after the last handle is gone */
    for (object *o = store.first, *next; o; o = next) {
        next = o->next;
        printf("%8zu %s\n", o->size, o->key);
        abort_object(&store, o);
    }
    close(fd);
    return st < 0;
}
