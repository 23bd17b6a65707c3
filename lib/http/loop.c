/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The thread of a loop: whose turn it is, timers, the end. */

#include <errno.h>
#include <unistd.h>

#include "loop_int.h"

#define CONNECTIONS_MAX 1024u
#define TIMERS_A_ROUND 256

struct vpi_call_state vpi_call_waits, vpi_call_withdrawn;

static _Thread_local const vpi_loop *here;

bool vpi_loop_here(const vpi_loop *loop)
{
    return here == loop;
}

/* One write for any number of news, and none while the thread is busy: it looks before it waits. */
static void wake_synced(vpi_loop *loop)
{
    const uint64_t one = 1;

    if (!loop->synced.waiting) return;
    loop->synced.waiting = false;
    while (write(loop->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR) {}
}

/* ---- calls ---- */

void vpi_call_finish(vpi_loop *loop, struct vpi_call_state *place, vpi_call *call, vp_status status)
{
    pthread_mutex_lock(&loop->lock);
    call->state = NULL;
    if (place) {
        place->call = NULL;
        if (place->canceled) loop->synced.canceled--;
        place->canceled = false;
    }
    pthread_mutex_unlock(&loop->lock);
    if (place) {
        place->next_free = loop->free_places;
        loop->free_places = place;
    }
    if (status < 0) vpi_error_op(&call->err, "http");
    call->done(call, status);
}

/* Those that were cancelled before their turn came, and the rest of a queue that ends. */
static void finish_withdrawn(vpi_loop *loop, vpi_call *list)
{
    while (list) {
        vpi_call *call = list;

        list = call->next;
        call->next = NULL;
        vpi_call_finish(loop, NULL, call, vpi_fail(&call->err, VP_E_CANCELED, "CANCELED", "canceled"));
    }
}

/* Takes out what was cancelled, or all of it. */
static vpi_call *withdraw_synced(vpi_loop *loop, bool all)
{
    vpi_call *list = NULL, **end = &list, **at = &loop->synced.first;

    while (*at) {
        vpi_call *call = *at;

        if (all || call->state == &vpi_call_withdrawn) {
            if (call->state == &vpi_call_withdrawn) loop->synced.canceled--;
            *at = call->next;
            call->next = NULL;
            *end = call;
            end = &call->next;
        } else {
            at = &call->next;
        }
    }
    loop->synced.last = at;
    return list;
}

/* Gives free places to those whose turn it is. */
static void admit(vpi_loop *loop)
{
    while (loop->free_places) {
        struct vpi_call_state *place = loop->free_places;
        vpi_call *call;

        pthread_mutex_lock(&loop->lock);
        call = loop->synced.first;
        if (call && call->state == &vpi_call_waits) {
            loop->synced.first = call->next;
            if (!call->next) loop->synced.last = &loop->synced.first;
            call->next = NULL;
            call->state = place;
            place->call = call;
        } else {
            call = NULL; /* the next round takes a cancelled one out */
        }
        pthread_mutex_unlock(&loop->lock);
        if (!call) break;
        loop->free_places = place->next_free;
        vpi_place_begin(place);
    }
}

static void cancel_some(vpi_loop *loop)
{
    vpi_call *list;

    pthread_mutex_lock(&loop->lock);
    list = loop->synced.canceled ? withdraw_synced(loop, false) : NULL;
    pthread_mutex_unlock(&loop->lock);
    finish_withdrawn(loop, list);
    for (uint32_t i = 0; i < loop->connections; i++) {
        struct vpi_call_state *place = &loop->places[i];
        bool canceled;

        pthread_mutex_lock(&loop->lock);
        canceled = place->canceled;
        pthread_mutex_unlock(&loop->lock);
        if (canceled) vpi_place_cancel(place);
    }
}

/* ---- timers ---- */

static void unlink_timer_synced(vpi_loop *loop, vpi_timer *timer)
{
    for (vpi_timer **at = &loop->synced.timers; *at; at = &(*at)->next) {
        if (*at == timer) {
            *at = timer->next;
            break;
        }
    }
    timer->next = NULL;
    timer->set = false;
}

static void fire_timers(vpi_loop *loop, bool ended)
{
    for (int i = 0; ended || i < TIMERS_A_ROUND; i++) {
        vpi_timer *timer;

        pthread_mutex_lock(&loop->lock);
        timer = loop->synced.timers;
        if (timer && !ended && timer->at_us > loop->now_us) timer = NULL;
        if (timer) unlink_timer_synced(loop, timer);
        pthread_mutex_unlock(&loop->lock);
        if (!timer) break;
        timer->fn(timer, ended);
    }
}

/* ---- the thread ---- */

static bool round_begins(vpi_loop *loop, bool *canceled)
{
    bool goes_on;

    loop->now_us = vpi_now_us();
    pthread_mutex_lock(&loop->lock);
    loop->synced.waiting = false;
    *canceled = loop->synced.canceled > 0;
    goes_on = !loop->synced.ending;
    pthread_mutex_unlock(&loop->lock);
    return goes_on;
}

/* How long there is nothing to do but for what comes over connections. */
static int64_t rest(vpi_loop *loop)
{
    int64_t at = VPI_MIN(loop->curl_us, loop->check_us);

    pthread_mutex_lock(&loop->lock);
    if (loop->synced.timers) at = VPI_MIN(at, loop->synced.timers->at_us);
    if (loop->synced.ending || loop->synced.canceled || (loop->synced.first && loop->free_places)) at = 0;
    loop->synced.waiting = true;
    pthread_mutex_unlock(&loop->lock);
    return at;
}

static void run(void *arg)
{
    vpi_loop *loop = arg;
    vpi_call *list;
    bool canceled;

    here = loop;
    while (round_begins(loop, &canceled)) {
        if (canceled) cancel_some(loop);
        if (loop->check_us <= loop->now_us) vpi_loop_check(loop);
        fire_timers(loop, false);
        admit(loop);
        vpi_loop_wait(loop, rest(loop));
    }
    for (uint32_t i = 0; i < loop->connections; i++)
        if (loop->places[i].call) vpi_place_cancel(&loop->places[i]);
    pthread_mutex_lock(&loop->lock);
    list = withdraw_synced(loop, true);
    pthread_mutex_unlock(&loop->lock);
    finish_withdrawn(loop, list);
    fire_timers(loop, true);
    vpi_loop_close(loop);
}

static void end(void *arg)
{
    vpi_loop *loop = arg;

    pthread_mutex_lock(&loop->lock);
    loop->synced.ending = true;
    wake_synced(loop);
    pthread_mutex_unlock(&loop->lock);
}

/* ---- the handle ---- */

static vp_status check(vpi_loop *loop, vp_error *err)
{
    if (vpi_forked(loop->fork_mark))
        return vpi_fail(err, VP_E_STATE, NULL, "this handle was inherited by fork()");
    return vpi_context_check(loop->context, err);
}

static vp_status ready_synced(vpi_loop *loop, vp_error *err)
{
    if (loop->synced.ending) return vpi_fail(err, VP_E_STATE, NULL, "the loop ends");
    if (loop->synced.thread) return VP_OK;
    if (!loop->multi) VPI_TRY(vpi_loop_open(loop, err));
    return vpi_thread_start(loop->context, "vp-http", run, loop, &loop->synced.thread, err);
}

vp_status vpi_loop_new(vp_context *context, const vp_http_options *options, uint32_t connections,
                       vpi_loop **out, vp_error *err)
{
    vpi_loop *loop;
    vp_status st;

    *out = NULL;
    VPI_TRY(vpi_context_check(context, err));
    if (connections == 0 || connections > CONNECTIONS_MAX)
        return vpi_fail(err, VP_E_ARG, NULL, "connections: 1 to %u", CONNECTIONS_MAX);
    loop = vpi_calloc(1, sizeof(*loop));
    if (!loop) return vpi_fail_nomem(err);
    loop->fork_mark = vpi_fork_mark();
    loop->connections = connections;
    loop->epoll_fd = loop->wake_fd = -1;
    loop->curl_us = loop->check_us = INT64_MAX;
    loop->synced.last = &loop->synced.first;
    loop->hook.fn = end;
    loop->hook.arg = loop;
    st = vpi_http_new(context, options, &loop->http, err);
    if (st < 0) {
        vpi_free(loop);
        return st;
    }
    pthread_mutex_init(&loop->lock, NULL);
    loop->context = vp_context_ref(context);
    st = vpi_hook_add(context, &loop->hook, err);
    if (st < 0) {
        vpi_loop_free(loop);
        return st;
    }
    *out = loop;
    return VP_OK;
}

vpi_loop *vpi_loop_free(vpi_loop *loop)
{
    if (!loop) return NULL;
    /* A child shares the connections of its parent, and has no thread: it lets go of what is its own. */
    vpi_hook_remove(loop->context, &loop->hook);
    if (!vpi_forked(loop->fork_mark)) {
        end(loop);
        vpi_thread_join(loop->synced.thread);
        vpi_loop_close(loop); /* where the thread did not start */
        pthread_mutex_destroy(&loop->lock);
    }
    if (loop->epoll_fd >= 0) close(loop->epoll_fd);
    if (loop->wake_fd >= 0) close(loop->wake_fd);
    vpi_http_free(loop->http);
    vp_context_unref(loop->context);
    vpi_free(loop->places);
    vpi_free(loop);
    return NULL;
}

vp_status vpi_loop_start(vpi_loop *loop, vpi_call *call, vp_error *err)
{
    vp_status st;

    VPI_TRY(check(loop, err));
    vp_error_init(&call->err);
    call->next = NULL;
    call->to_size = 0;
    call->sent = call->received = 0;
    call->reused = false;
    call->sends = 0;
    pthread_mutex_lock(&loop->lock);
    st = ready_synced(loop, err);
    if (st == VP_OK) {
        call->state = &vpi_call_waits;
        *loop->synced.last = call;
        loop->synced.last = &call->next;
        wake_synced(loop);
    }
    pthread_mutex_unlock(&loop->lock);
    return st;
}

void vpi_loop_cancel(vpi_loop *loop, vpi_call *call)
{
    bool news = false;

    if (vpi_forked(loop->fork_mark)) return;
    pthread_mutex_lock(&loop->lock);
    if (call->state == &vpi_call_waits) {
        call->state = &vpi_call_withdrawn;
        news = true;
    } else if (call->state && call->state != &vpi_call_withdrawn && !call->state->canceled) {
        call->state->canceled = news = true;
    }
    if (news) {
        loop->synced.canceled++;
        wake_synced(loop);
    }
    pthread_mutex_unlock(&loop->lock);
}

vp_status vpi_loop_timer(vpi_loop *loop, vpi_timer *timer, vp_error *err)
{
    vpi_timer **at = &loop->synced.timers;
    vp_status st;

    VPI_TRY(check(loop, err));
    pthread_mutex_lock(&loop->lock);
    st = ready_synced(loop, err);
    if (st == VP_OK) {
        if (timer->set) unlink_timer_synced(loop, timer);
        while (*at && (*at)->at_us <= timer->at_us) at = &(*at)->next;
        timer->next = *at;
        timer->set = true;
        *at = timer;
        if (loop->synced.timers == timer) wake_synced(loop);
    }
    pthread_mutex_unlock(&loop->lock);
    return st;
}

bool vpi_loop_timer_stop(vpi_loop *loop, vpi_timer *timer)
{
    bool was;

    if (vpi_forked(loop->fork_mark)) return false;
    pthread_mutex_lock(&loop->lock);
    was = timer->set;
    if (was) unlink_timer_synced(loop, timer);
    pthread_mutex_unlock(&loop->lock);
    return was;
}
