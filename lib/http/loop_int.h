/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_HTTP_LOOP_INT_H
#define VPI_HTTP_LOOP_INT_H

/* Inside of a loop: loop.c has the thread, the queue and the timers, loop_call.c what libcurl does. */

#include "http_int.h"
#include "loop.h"

/*
 * A place of a loop: one easy handle, whose settings stay from call to call, and the call that runs on it. Of calls
 * that wait for a place, state is one of the two marks below, so that starting one takes no memory.
 */
struct vpi_call_state {
    vpi_loop *loop;
    uint32_t index;
    vpi_call *call; /* NULL: free. These two by the lock, the rest by the loop's thread alone */
    bool canceled;
    vpi_http_intake in;
    vpi_http_lines headers;
    bool connected;   /* from here on silence counts */
    bool again;       /* the second try, on a connection of its own */
    bool unwatched;   /* epoll has no room for its socket */
    int fd;           /* that was watched last; -1: none yet */
    int port;         /* of this side of the connection */
    vpi_buf late;     /* what libcurl left unread */
    uint64_t body_at; /* of a body that is read by call->read */
    bool unread;      /* call->read has failed, call->err says why */
    int unsent;       /* bytes in the kernel's send queue when it was looked at */
    int64_t last_us, deadline_us;
    int phase; /* what the call did when its pace was looked at last, since when, and its bytes then */
    int64_t pace_us;
    uint64_t pace_bytes;
    struct vpi_call_state *next_free;
};
extern struct vpi_call_state vpi_call_waits, vpi_call_withdrawn;

struct vpi_loop {
    vp_context *context;
    uint32_t fork_mark;
    vpi_http *http; /* the settings */
    uint32_t connections;
    vpi_hook hook;
    int epoll_fd, wake_fd;

    pthread_mutex_t lock;
    struct {
        vpi_thread *thread;
        bool ending;
        bool waiting; /* the thread waits, or is about to: whoever has news wakes it */
        vpi_call *first, **last;
        uint32_t canceled; /* calls that nobody has taken out yet */
        vpi_timer *timers; /* in order */
    } synced;

    /* the loop's thread alone, once it runs */
    CURLM *multi;
    struct vpi_call_state *places, *free_places;
    int64_t now_us;   /* when the round began */
    int64_t curl_us;  /* when libcurl wants to be called; INT64_MAX: not */
    int64_t check_us; /* no deadline and no silence ends before */
};

/* loop_call.c, on the loop's thread but for open and close where there is none. */
vp_status vpi_loop_open(vpi_loop *loop, vp_error *err);
void vpi_loop_close(
    vpi_loop *loop); /* of places without calls; also after an open that failed, or a second time */
/* The call is in its place, by the lock. */
void vpi_place_begin(struct vpi_call_state *place);
void vpi_place_cancel(struct vpi_call_state *place);
/* Deadlines and silence. */
void vpi_loop_check(vpi_loop *loop);
/* Waits until wait_us at most, and does what is to do on connections. */
void vpi_loop_wait(vpi_loop *loop, int64_t wait_us);
/* loop.c: tells the owner, who may free the call or start it again. place NULL: it never had one. */
void vpi_call_finish(vpi_loop *loop, struct vpi_call_state *place, vpi_call *call, vp_status status);

#endif
