/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "base/context_int.h"
#include "base/limits.h"

#define THREADS_MAX 1024
#define LOG_LINE_ROOM 1024

void vp_context_options_init(vp_context_options *options, size_t size)
{
    static const vp_context_options init = VP_CONTEXT_OPTIONS_INIT;

    vpi_struct_init(options, size, &init, sizeof(init));
}

static vp_status check_options(const vp_context_options *o, vp_error *err)
{
    if (o->threads > THREADS_MAX) return vpi_fail(err, VP_E_ARG, NULL, "threads is above %d", THREADS_MAX);
    if (o->log_level < VP_LOG_NONE || o->log_level > VP_LOG_DEBUG) {
        return vpi_fail(err, VP_E_ARG, NULL, "log_level is not one of VP_LOG_*");
    }
    if (o->reserved) return vpi_fail(err, VP_E_ARG, NULL, "a reserved field is not 0");
    return VP_OK;
}

vp_status vp_context_new(const vp_context_options *options, vp_context **out, vp_error *err)
{
    vp_context_options o = VP_CONTEXT_OPTIONS_INIT;
    vp_context *c;

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "no place for the result");
    *out = NULL;
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    VPI_TRY(check_options(&o, err));
    c = vpi_calloc(1, sizeof(*c));
    if (!c) return vpi_fail_nomem(err);
    if (vp_cancel_new(&c->cancel, err) < 0) {
        vpi_free(c);
        return VP_E_NOMEM;
    }
    atomic_init(&c->refs, 1);
    atomic_init(&c->closed, false);
    c->fork_mark = vpi_fork_mark();
    c->threads = o.threads ? o.threads : VPI_MIN(vpi_usable_cpus(), (uint32_t)THREADS_MAX);
    c->memory = o.memory_bytes ? o.memory_bytes : VPI_MAX(vpi_usable_memory() / 4 * 3, UINT64_C(1));
    c->log = o.log;
    c->log_user = o.log_user;
    c->log_level = o.log_level ? o.log_level : VP_LOG_WARN;
    c->cpu.last = &c->cpu.first;
    /* Default attributes: neither call can fail where the library runs. */
    pthread_mutex_init(&c->cpu_lock, NULL);
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->hook_lock, NULL);
    pthread_cond_init(&c->joined, NULL);
    *out = c;
    return VP_OK;
}

vp_context *vp_context_ref(vp_context *context)
{
    if (context) atomic_fetch_add_explicit(&context->refs, 1, memory_order_relaxed);
    return context;
}

vp_context *vp_context_unref(vp_context *context)
{
    if (!context || atomic_fetch_sub_explicit(&context->refs, 1, memory_order_acq_rel) != 1) return NULL;
    vp_cancel_unref(context->cancel);
    /* In a forked child another thread of the parent may hold the locks for ever: they are only forgotten. */
    if (!vpi_forked(context->fork_mark)) {
        pthread_cond_destroy(&context->joined);
        pthread_mutex_destroy(&context->hook_lock);
        pthread_mutex_destroy(&context->lock);
        pthread_mutex_destroy(&context->cpu_lock);
    }
    vpi_free(context);
    return NULL;
}

vp_status vp_context_close(vp_context *context, vp_error *err)
{
    vpi_hook *hook;

    vp_error_init(err);
    if (!context) return vpi_fail(err, VP_E_ARG, NULL, "no context");
    if (vpi_thread_is_ours()) return vpi_fail(err, VP_E_STATE, NULL, "a callback cannot close the context");
    if (vpi_forked(context->fork_mark)) return vpi_context_check(context, err);
    /* Under the lock, so that no thread is started and no hook added after the rounds below. */
    pthread_mutex_lock(&context->hook_lock);
    pthread_mutex_lock(&context->lock);
    if (atomic_exchange(&context->closed, true)) {
        pthread_mutex_unlock(&context->lock);
        pthread_mutex_unlock(&context->hook_lock);
        return vpi_fail(err, VP_E_STATE, NULL, "the context is closed");
    }
    pthread_mutex_unlock(&context->lock);
    vp_cancel_fire(context->cancel);
    for (hook = context->hooks; hook; hook = hook->next) hook->fn(hook->arg);
    pthread_mutex_unlock(&context->hook_lock);
    vpi_threads_join_all(context);
    return VP_OK;
}

uint32_t vp_context_threads(const vp_context *context)
{
    return context ? context->threads : 0;
}

uint64_t vp_context_memory(const vp_context *context)
{
    return context ? context->memory : 0;
}

vp_status vpi_context_check(vp_context *context, vp_error *err)
{
    if (!context) return vpi_fail(err, VP_E_ARG, NULL, "no context");
    if (vpi_forked(context->fork_mark)) {
        return vpi_fail(err, VP_E_STATE, NULL, "the handle was inherited by fork()");
    }
    if (atomic_load_explicit(&context->closed, memory_order_acquire)) {
        return vpi_fail(err, VP_E_STATE, NULL, "the context is closed");
    }
    return VP_OK;
}

vp_cancel *vpi_context_cancel(vp_context *context)
{
    return context ? context->cancel : NULL;
}

uint32_t vpi_fork_mark(void)
{
    return (uint32_t)getpid();
}

bool vpi_forked(uint32_t mark)
{
    return mark != (uint32_t)getpid();
}

/* ---- hooks ---- */

vp_status vpi_hook_add(vp_context *context, vpi_hook *hook, vp_error *err)
{
    vp_status st = vpi_context_check(context, err);

    if (st < 0) return st;
    pthread_mutex_lock(&context->hook_lock);
    /* Again, under the lock that vp_context_close holds while it runs the hooks. */
    st = vpi_context_check(context, err);
    if (st == VP_OK) {
        hook->next = context->hooks;
        hook->at = &context->hooks;
        if (hook->next) hook->next->at = &hook->next;
        context->hooks = hook;
    }
    pthread_mutex_unlock(&context->hook_lock);
    return st;
}

void vpi_hook_remove(vp_context *context, vpi_hook *hook)
{
    if (!context || vpi_forked(context->fork_mark)) return;
    pthread_mutex_lock(&context->hook_lock); /* neighbours change hook->at, too */
    if (hook->at) {
        *hook->at = hook->next;
        if (hook->next) hook->next->at = hook->at;
        hook->at = NULL;
    }
    pthread_mutex_unlock(&context->hook_lock);
}

/* ---- what several have in common ---- */

struct vpi_shared {
    struct vpi_shared *next;
    char *key;
    unsigned refs;
    max_align_t data[];
};

void *vpi_context_share(vp_context *context, const char *key, size_t size)
{
    struct vpi_shared *s;

    if (vpi_forked(context->fork_mark)) return NULL;
    pthread_mutex_lock(&context->lock);
    for (s = context->shared; s && strcmp(s->key, key) != 0; s = s->next) {}
    if (!s && (s = vpi_calloc(1, sizeof(*s) + size)) != NULL) {
        s->key = vpi_strdup(key);
        if (s->key) {
            s->next = context->shared;
            context->shared = s;
        } else {
            vpi_free(s);
            s = NULL;
        }
    }
    if (s) s->refs++;
    pthread_mutex_unlock(&context->lock);
    return s ? s->data : NULL;
}

void *vpi_context_unshare(vp_context *context, void *shared)
{
    struct vpi_shared *s, **at = &context->shared;
    bool forked = vpi_forked(context->fork_mark);

    if (!shared) return NULL;
    if (!forked)
        pthread_mutex_lock(&context->lock); /* a child has one thread, and perhaps a lock held for ever */
    while (*at && (void *)(*at)->data != shared) at = &(*at)->next;
    s = *at;
    if (s && --s->refs == 0)
        *at = s->next;
    else
        s = NULL;
    if (!forked) pthread_mutex_unlock(&context->lock);
    if (s) vpi_free(s->key);
    vpi_free(s);
    return NULL;
}

/* ---- log ---- */

void vpi_log(vp_context *context, int32_t level, const char *module, const char *format, ...)
{
    char text[LOG_LINE_ROOM + 1], line[LOG_LINE_ROOM], *c;
    va_list args;
    int n;

    if (!context || !context->log || level <= VP_LOG_NONE || level > context->log_level) return;
    if (vpi_forked(context->fork_mark)) return;
    va_start(args, format);
    n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (n < 0) return;
    vpi_strlcpy(line, text, sizeof(line));
    for (c = line; *c; c++) {
        if ((uint8_t)*c < 0x20 || *c == 0x7F) *c = ' ';
    }
    context->log(context->log_user, level, module, line);
}

/* ---- CPU slots ---- */

void vpi_cpu_enter(vp_context *context)
{
    cpu_waiter me = { .granted = false };

    if (!context || vpi_forked(context->fork_mark)) return;
    pthread_mutex_lock(&context->cpu_lock);
    if (context->cpu.in_use < context->threads && !context->cpu.first) {
        context->cpu.in_use++;
    } else {
        pthread_cond_init(&me.granted_cond, NULL);
        *context->cpu.last = &me;
        context->cpu.last = &me.next;
        while (!me.granted) pthread_cond_wait(&me.granted_cond, &context->cpu_lock);
        pthread_cond_destroy(&me.granted_cond);
    }
    pthread_mutex_unlock(&context->cpu_lock);
}

void vpi_cpu_leave(vp_context *context)
{
    cpu_waiter *next;

    if (!context || vpi_forked(context->fork_mark)) return;
    pthread_mutex_lock(&context->cpu_lock);
    next = context->cpu.first;
    if (next) {
        /* The slot goes on to the next in line; in_use stays as it is. */
        context->cpu.first = next->next;
        if (!context->cpu.first) context->cpu.last = &context->cpu.first;
        next->granted = true;
        pthread_cond_signal(&next->granted_cond);
    } else if (context->cpu.in_use > 0) {
        context->cpu.in_use--;
    }
    pthread_mutex_unlock(&context->cpu_lock);
}

/* ---- memory budget ---- */

vp_status vpi_memory_try(vp_context *context, uint64_t bytes, vp_error *err)
{
    vp_status st = VP_OK;
    uint64_t sum;

    if (!context) return VP_OK;
    VPI_TRY(vpi_context_check(context, err));
    pthread_mutex_lock(&context->lock);
    if (bytes > context->memory) {
        st = VP_E_LIMIT;
    } else if (vpi_add_u64(context->synced.memory_taken, bytes, &sum) && sum <= context->memory) {
        context->synced.memory_taken = sum;
    } else {
        st = VP_AGAIN;
    }
    pthread_mutex_unlock(&context->lock);
    if (st < 0)
        return vpi_fail(err, st, "MEMORY_LIMIT", "the work needs about %llu MB, the budget is %llu MB",
                        (unsigned long long)(bytes >> 20), (unsigned long long)(context->memory >> 20));
    return st;
}

void vpi_memory_release(vp_context *context, uint64_t bytes)
{
    if (!context || vpi_forked(context->fork_mark)) return;
    pthread_mutex_lock(&context->lock);
    context->synced.memory_taken -= VPI_MIN(bytes, context->synced.memory_taken);
    pthread_mutex_unlock(&context->lock);
}
