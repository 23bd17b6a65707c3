/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ingest/threads.h"

#include "ingest/store_int.h"

struct vpi_threads {
    atomic_uint refs; /* of its owner, and of each thread */
    const char *name;
    vp_context *context;
    uint32_t fork_mark, limit;
    vpi_hook hook;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct {
        vpi_threads_job *first, **last;
        uint32_t waiting, idle, running;
        bool closing;
        vpi_thread *threads[VPI_INGEST_THREADS_MAX];
    } synced;
};

static void unref(vpi_threads *p)
{
    if (atomic_fetch_sub(&p->refs, 1) != 1) return;
    pthread_cond_destroy(&p->more);
    pthread_mutex_destroy(&p->lock);
    vp_context_unref(p->context);
    vpi_free(p);
}

/* Also at the end of the context: what waits is done, nothing more is taken. */
static void close_pool(void *arg)
{
    vpi_threads *p = arg;

    pthread_mutex_lock(&p->lock);
    p->synced.closing = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
}

vp_status vpi_threads_new(vp_context *context, uint32_t most, const char *name, vpi_threads **out,
                          vp_error *err)
{
    vpi_threads *p = vpi_calloc(1, sizeof(*p));
    vp_status st;

    if (!p) return vpi_fail_nomem(err);
    atomic_init(&p->refs, 1);
    p->context = vp_context_ref(context);
    p->name = name;
    p->fork_mark = vpi_fork_mark();
    p->limit = VPI_CLAMP(most, 1, VPI_INGEST_THREADS_MAX);
    p->synced.last = &p->synced.first;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    p->hook.fn = close_pool;
    p->hook.arg = p;
    st = vpi_hook_add(p->context, &p->hook, err);
    if (st < 0) {
        unref(p);
        return st;
    }
    *out = p;
    return VP_OK;
}

vpi_threads *vpi_threads_free(vpi_threads *p)
{
    if (!p || vpi_forked(p->fork_mark)) return NULL;
    vpi_hook_remove(p->context, &p->hook);
    close_pool(p);
    /* None is started any more: the array stands still. A thread that frees its own pool is let go by the join. */
    for (size_t i = 0; i < VPI_INGEST_THREADS_MAX; i++) vpi_thread_join(p->synced.threads[i]);
    unref(p);
    return NULL;
}

static void pool_main(void *arg)
{
    vpi_threads *p = arg;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        vpi_threads_job *job = p->synced.first;

        if (job) {
            p->synced.first = job->next;
            if (!job->next) p->synced.last = &p->synced.first;
            p->synced.waiting--;
            pthread_mutex_unlock(&p->lock);
            job->run(job->arg);
            pthread_mutex_lock(&p->lock);
        } else if (p->synced.closing) {
            break;
        } else {
            p->synced.idle++;
            pthread_cond_wait(&p->more, &p->lock);
            p->synced.idle--;
        }
    }
    p->synced.running--;
    pthread_mutex_unlock(&p->lock);
    unref(p);
}

/* One more thread where there is work for it. */
static void hire_synced(vpi_threads *p)
{
    uint32_t n = p->synced.running;

    if (n == p->limit || p->synced.idle > p->synced.waiting) return;
    atomic_fetch_add(&p->refs, 1);
    if (vpi_thread_start(p->context, p->name, pool_main, p, &p->synced.threads[n], NULL) == VP_OK) {
        p->synced.running++;
    } else {
        atomic_fetch_sub(&p->refs, 1); /* never the last */
    }
}

bool vpi_threads_add(vpi_threads *p, vpi_threads_job *job)
{
    bool taken;

    if (vpi_forked(p->fork_mark)) return false;
    pthread_mutex_lock(&p->lock);
    if (!p->synced.closing) hire_synced(p);
    taken = !p->synced.closing && p->synced.running > 0;
    if (taken) {
        job->next = NULL;
        *p->synced.last = job;
        p->synced.last = &job->next;
        p->synced.waiting++;
        pthread_cond_signal(&p->more);
    }
    pthread_mutex_unlock(&p->lock);
    return taken;
}
