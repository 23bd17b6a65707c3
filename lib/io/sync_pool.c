/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "io/sync_pool.h"

#define THREADS 4
#define QUEUE_MAX 16

typedef struct sync_job {
    vpi_dir_file file; /* its name points into key */
    char *key;
    uint64_t seq;
    bool running;
    struct sync_job *next;
} sync_job;

struct vpi_sync_pool {
    vp_context *context;
    vpi_dir *dir;
    uint32_t fork_mark;
    vpi_hook hook;
    pthread_mutex_t flush_lock; /* one flush at a time; taken before lock */
    pthread_mutex_t lock;
    pthread_cond_t work; /* for the pool's threads */
    pthread_cond_t done; /* for those who wait for room or for an end */
    struct {
        sync_job *first, **last; /* in the order of commits, running ones included */
        unsigned waiting;        /* jobs that no thread has taken */
        unsigned idle, threads;
        uint64_t next_seq;
        bool closing;
        char **touched;
        size_t touched_count, touched_cap;
        vp_error error;
    } synced;
    vpi_thread *threads[THREADS];
};

static void wake(void *arg)
{
    vpi_sync_pool *p = arg;

    pthread_mutex_lock(&p->lock);
    p->synced.closing = true;
    pthread_cond_broadcast(&p->work);
    pthread_cond_broadcast(&p->done);
    pthread_mutex_unlock(&p->lock);
}

vp_status vpi_sync_pool_new(vp_context *context, vpi_dir *dir, vpi_sync_pool **out, vp_error *err)
{
    vpi_sync_pool *p = vpi_calloc(1, sizeof(*p));
    vp_status st;

    *out = NULL;
    if (!p) return vpi_fail_nomem(err);
    p->context = context;
    p->dir = dir;
    p->fork_mark = vpi_fork_mark();
    p->synced.last = &p->synced.first;
    vp_error_init(&p->synced.error);
    pthread_mutex_init(&p->flush_lock, NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    p->hook.fn = wake;
    p->hook.arg = p;
    st = vpi_hook_add(context, &p->hook, err);
    if (st < 0) {
        vpi_sync_pool_free(p);
        return st;
    }
    *out = p;
    return VP_OK;
}

vpi_sync_pool *vpi_sync_pool_free(vpi_sync_pool *pool)
{
    unsigned i;

    if (!pool) return NULL;
    if (!vpi_forked(pool->fork_mark)) {
        vpi_hook_remove(pool->context, &pool->hook);
        vpi_sync_pool_wait(pool, NULL);
        wake(pool);
        for (i = 0; i < THREADS; i++) vpi_thread_join(pool->threads[i]);
        if (pool->synced.error.status < 0) {
            vpi_log(pool->context, VP_LOG_ERROR, "io", "a commit failed and no flush asked: %s (%s)",
                    pool->synced.error.message, pool->synced.error.key);
        }
        pthread_cond_destroy(&pool->done);
        pthread_cond_destroy(&pool->work);
        pthread_mutex_destroy(&pool->lock);
        pthread_mutex_destroy(&pool->flush_lock);
        for (; pool->synced.touched_count > 0; pool->synced.touched_count--) {
            vpi_free(pool->synced.touched[pool->synced.touched_count - 1]);
        }
        vpi_free(pool->synced.touched);
    }
    vpi_free(pool);
    return NULL;
}

/* ---- folders ---- */

static void touch_synced(vpi_sync_pool *p, const char *key)
{
    size_t n = (size_t)(vpi_key_name(key) - key), i;
    char *folder;

    if (n > 0) n--;
    for (i = p->synced.touched_count; i > 0; i--) {
        const char *known = p->synced.touched[i - 1];

        if (strncmp(known, key, n) == 0 && known[n] == 0) return;
    }
    folder = vpi_strndup(key, n);
    if (folder && VPI_GROW(p->synced.touched, p->synced.touched_count, p->synced.touched_cap)) {
        p->synced.touched[p->synced.touched_count++] = folder;
        return;
    }
    vpi_free(folder);
    vpi_fail_nomem(&p->synced.error);
}

void vpi_sync_pool_touch(vpi_sync_pool *pool, const char *key)
{
    pthread_mutex_lock(&pool->lock);
    touch_synced(pool, key);
    pthread_mutex_unlock(&pool->lock);
}

/* ---- jobs ---- */

static void run_job(vpi_sync_pool *p, sync_job *j)
{
    vp_error e = VP_ERROR_INIT;
    vpi_dir_file *f = &j->file;
    int rc;

    rc = vpi_dir_file_sync(f);
    if (rc < 0) {
        vpi_fail_errno(&e, -rc, j->key, "making the object durable failed");
    } else {
        /* Before it is closed: until then its lock says that the temporary file is in use. */
        rc = vpi_dir_file_name(f, true);
        if (rc < 0) vpi_fail_errno(&e, -rc, j->key, "renaming the object failed");
    }
    vpi_dir_file_close(f, e.status < 0);
    vpi_error_op(&e, "sink.commit");

    pthread_mutex_lock(&p->lock);
    if (e.status < 0) {
        if (p->synced.error.status >= 0) p->synced.error = e;
    } else {
        touch_synced(p, j->key);
    }
    pthread_mutex_unlock(&p->lock);
}

/* A job that no thread has and whose key no job before it has: two commits of one key keep their order. */
static sync_job *next_synced(vpi_sync_pool *p)
{
    sync_job *j, *before;

    if (p->synced.waiting == 0) return NULL;
    for (j = p->synced.first; j; j = j->next) {
        if (j->running) continue;
        for (before = p->synced.first; before != j && strcmp(before->key, j->key) != 0;)
            before = before->next;
        if (before == j) return j;
    }
    return NULL;
}

/* Runs one job with the lock open and takes it off the list. */
static void run_synced(vpi_sync_pool *p, sync_job *j)
{
    sync_job **at;

    j->running = true;
    p->synced.waiting--;
    pthread_cond_broadcast(&p->done);
    pthread_mutex_unlock(&p->lock);
    run_job(p, j);
    pthread_mutex_lock(&p->lock);
    for (at = &p->synced.first; *at != j;) at = &(*at)->next;
    *at = j->next;
    if (!*at) p->synced.last = at;
    vpi_free(j->key);
    vpi_free(j);
    pthread_cond_broadcast(&p->done);
    /* Somebody may have waited for this key. */
    if (p->synced.waiting > 0) pthread_cond_broadcast(&p->work);
}

static void pool_main(void *arg)
{
    vpi_sync_pool *p = arg;
    sync_job *j;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        j = next_synced(p);
        if (j) {
            run_synced(p, j);
        } else if (p->synced.closing && p->synced.waiting == 0) {
            break;
        } else {
            p->synced.idle++;
            pthread_cond_wait(&p->work, &p->lock);
            p->synced.idle--;
        }
    }
    p->synced.threads--;
    pthread_mutex_unlock(&p->lock);
}

/* A thread for the job that was just added, when all are busy and there may be one more. */
static void hire_synced(vpi_sync_pool *p)
{
    unsigned i = 0;

    if (p->synced.closing || p->synced.idle >= p->synced.waiting) return;
    while (i < THREADS && p->threads[i]) i++;
    if (i == THREADS) return;
    if (vpi_thread_start(p->context, "vp-sync", pool_main, p, &p->threads[i], NULL) == VP_OK) {
        p->synced.threads++;
    }
}

vp_status vpi_sync_pool_commit(vpi_sync_pool *pool, const vpi_dir_file *file, char *key, vp_error *err)
{
    sync_job *j = vpi_calloc(1, sizeof(*j)), *mine;

    if (!j) return vpi_fail_nomem(err);
    j->file = *file;
    j->key = key;
    j->file.name = vpi_key_name(key);
    pthread_mutex_lock(&pool->lock);
    while (pool->synced.waiting >= QUEUE_MAX && pool->synced.threads > 0) {
        pthread_cond_wait(&pool->done, &pool->lock);
    }
    j->seq = pool->synced.next_seq++;
    *pool->synced.last = j;
    pool->synced.last = &j->next;
    pool->synced.waiting++;
    hire_synced(pool);
    if (pool->synced.threads > 0) {
        pthread_cond_signal(&pool->work);
    } else {
        /* The context closes, or the system gives us no thread: whoever commits does the work. */
        while (pool->synced.threads == 0 && (mine = next_synced(pool)) != NULL) run_synced(pool, mine);
    }
    pthread_mutex_unlock(&pool->lock);
    return VP_OK;
}

/* The oldest job of this key, NULL: of any. */
static sync_job *oldest_synced(vpi_sync_pool *p, const char *key)
{
    sync_job *j = p->synced.first; /* in the order of seq */

    while (j && key && strcmp(j->key, key) != 0) j = j->next;
    return j;
}

void vpi_sync_pool_wait(vpi_sync_pool *pool, const char *key)
{
    uint64_t target;
    sync_job *j;

    pthread_mutex_lock(&pool->lock);
    target = pool->synced.next_seq;
    for (;;) {
        j = oldest_synced(pool, key);
        if (!j || j->seq >= target) break;
        if (pool->synced.threads == 0 && (j = next_synced(pool)) != NULL) {
            run_synced(pool, j);
        } else {
            pthread_cond_wait(&pool->done, &pool->lock);
        }
    }
    pthread_mutex_unlock(&pool->lock);
}

vp_status vpi_sync_pool_flush(vpi_sync_pool *pool, vp_error *err)
{
    vp_error first = VP_ERROR_INIT;
    char **touched;
    size_t count, i;

    pthread_mutex_lock(&pool->flush_lock);
    vpi_sync_pool_wait(pool, NULL);
    pthread_mutex_lock(&pool->lock);
    touched = pool->synced.touched;
    count = pool->synced.touched_count;
    pool->synced.touched = NULL;
    pool->synced.touched_count = pool->synced.touched_cap = 0;
    pthread_mutex_unlock(&pool->lock);

    for (i = 0; i < count; i++) {
        /* Folders above may be new as well; syncing one without changes costs next to nothing. */
        int rc = vpi_dir_sync(pool->dir, touched[i], true);

        if (rc < 0) vpi_fail_errno(&first, -rc, touched[i], "making a folder durable failed");
        vpi_free(touched[i]);
    }
    vpi_free(touched);

    pthread_mutex_lock(&pool->lock);
    /* A commit that failed came before the folders were looked at. */
    if (pool->synced.error.status < 0) first = pool->synced.error;
    vp_error_init(&pool->synced.error);
    pthread_mutex_unlock(&pool->lock);
    pthread_mutex_unlock(&pool->flush_lock);
    if (first.status < 0) vpi_error_copy(err, &first);
    return first.status;
}
