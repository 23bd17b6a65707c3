/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_HTTP_LOOP_H
#define VPI_HTTP_LOOP_H

/* Many requests at a time on one thread, through libcurl's multi interface. HTTP/1.1. */

#include "http/http.h"

/*
 * A thread, "vp-http", that starts with the first call of it, and the connections that it keeps open. Thread-safe.
 * options as in vpi_http_new; timeout_ms is not used: each call says its own. connections: most at a time, 1 to 1024;
 * calls beyond wait their turn in the order of their start. No I/O and no thread here. The end of the context ends the
 * loop: before vp_context_close() returns all calls and timers are done, and later starts answer STATE.
 */
typedef struct vpi_loop vpi_loop;
vp_status vpi_loop_new(vp_context *context, const vp_http_options *options, uint32_t connections,
                       vpi_loop **out, vp_error *err);
/*
 * Ends the thread. Calls and timers that are not done yet are done with CANCELED first. NULL is allowed. Not from the
 * loop's own thread. In a forked child it only lets go: nothing is done, no connection is touched.
 */
vpi_loop *vpi_loop_free(vpi_loop *loop);

/*
 * One request. The owner keeps it, and all that it points to, until done was called; then it may be filled and started
 * again. Zeroed before the first use.
 */
typedef struct vpi_call vpi_call;
struct vpi_call {
    const char *method;  /* as in vpi_http_request */
    const char *url;     /* sent as it is: "/../" and "%" of the path stay (CURLOPT_PATH_AS_IS) */
    const char *headers; /* lines "Name: value" */
    const void *body;    /* NULL: none. Sent again from its start where libcurl has to */
    size_t body_size;
    /*
     * Instead of body: the next bytes of body_size, from `at` on, at least one and at most room. 0 with err filled: the
     * call ends with that. On the loop's thread, for what does not block. NULL: none.
     */
    size_t (*read)(void *user, uint64_t at, void *to, size_t room, vp_error *err);
    void *read_user;
    uint32_t expect_ms; /* Expect: 100-continue, and how long it is waited for; 0: not sent */
    uint32_t stall_ms;  /* no byte either way for so long, once connected, is TIMEOUT; 0: no such limit */
    /* Fewer bytes a second, over stall_ms, is TIMEOUT too, but not while the server works; 0: no such limit. */
    uint32_t slow_rate;
    uint32_t deadline_ms; /* of this call, from when its turn comes; 0: none */
    size_t max_body;      /* of the answer's body; 0: 1 MiB */
    bool fresh; /* a connection of its own: else what a closed one has lost is sent again, and nobody knows */
    /* Where the body of an answer 200 or 206 goes instead of answer.body; more than its room is INPUT_LIMIT. */
    void *to;
    size_t to_capacity, to_size;
    /* On the loop's thread; must not block; may start this call again, or others. status as of vpi_http_request_run;
     * 3xx, 4xx and 5xx are answers, also those that came while the body was still being sent. */
    void (*done)(vpi_call *call, vp_status status);
    void *user;

    /* Whoever owns the call disposes of it. Of one that broke off: what there was, with to_size bytes of its body. */
    vpi_http_answer answer;
    vp_error err;
    uint64_t sent, received; /* bytes of bodies, of this call */
    bool reused;    /* the connection had served another call before. Where the server closed such a one
                                meanwhile, the call has gone out again on a fresh one */
    uint32_t sends; /* how often it has gone out by then; 0: no connection was made */

    struct vpi_call_state *state; /* the loop's */
    vpi_call *next;               /* the loop's */
};
/* From any thread. Failures of the start come through done too, from the loop's thread, but STATE and NOMEM here. */
vp_status vpi_loop_start(vpi_loop *loop, vpi_call *call, vp_error *err);
/* From any thread; done comes soon, with CANCELED or with what was there first. Nothing for one that does not run. */
void vpi_loop_cancel(vpi_loop *loop, vpi_call *call);

/* Calls fn on the loop's thread at or after at_us (vpi_now_us); early where the loop is freed. The owner keeps it. */
typedef struct vpi_timer {
    int64_t at_us;
    void (*fn)(struct vpi_timer *timer, bool ended); /* ended: the loop is being freed */
    void *user;
    struct vpi_timer *next; /* the loop's */
    bool set;               /* the loop's */
} vpi_timer;
vp_status vpi_loop_timer(vpi_loop *loop, vpi_timer *timer,
                         vp_error *err); /* from any thread; starts the thread */
/* True: fn will not be called any more; false: it was, or is being called now. */
bool vpi_loop_timer_stop(vpi_loop *loop, vpi_timer *timer);
/* True on the loop's own thread. */
bool vpi_loop_here(const vpi_loop *loop);

#endif
