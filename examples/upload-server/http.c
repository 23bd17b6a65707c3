/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connections onto threads. All threads of a pool of libmicrohttpd's wait for connections, and the one that wakes first
 * takes as many as there are: large uploads meet on it while the others sleep. Here one thread accepts and gives each
 * connection to the thread that has the fewest.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "server.h"

#define THREADS 32
#define BACKLOG 1024
#define CONNECTIONS 512         /* of a thread */
#define CONNECTION_MEMORY 65536 /* for headers and one read; touched as far as it is used */

typedef struct worker {
    struct MHD_Daemon *daemon;
    atomic_uint connections;
} worker;

struct http {
    int listening, stop;
    pthread_t thread;
    worker workers[THREADS];
};

typedef union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} address;

/* ---- threads of libmicrohttpd ---- */

/* vp_tus reads percent signs itself, and no page here has any. */
static size_t keep_escapes(void *user, struct MHD_Connection *c, char *text)
{
    (void)user, (void)c;
    return strlen(text);
}

static void count_end(void *user, struct MHD_Connection *c, void **state,
                      enum MHD_ConnectionNotificationCode what)
{
    worker *w = user;

    (void)c, (void)state;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) atomic_fetch_sub(&w->connections, 1);
}

static bool start_worker(worker *w, server *s)
{
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME |
                     MHD_USE_ERROR_LOG;

    w->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, s, MHD_OPTION_NOTIFY_COMPLETED, on_end, s,
        MHD_OPTION_NOTIFY_CONNECTION, count_end, w, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_END);
    return w->daemon;
}

/* ---- the thread that accepts ---- */

/* Of those with the fewest the one behind `last`. */
static unsigned fewest(http *h, unsigned last)
{
    unsigned best = (last + 1) % THREADS;

    for (unsigned i = 2; i <= THREADS; i++) {
        unsigned at = (last + i) % THREADS;

        if (atomic_load(&h->workers[at].connections) < atomic_load(&h->workers[best].connections)) best = at;
    }
    return best;
}

/* Counted here and not when the other thread sees it: that may be busy while many come. */
static void give(worker *w, int fd, const address *from, socklen_t size)
{
    if (atomic_load(&w->connections) >= CONNECTIONS) {
        close(fd);
        return;
    }
    atomic_fetch_add(&w->connections, 1);
    if (MHD_add_connection(w->daemon, fd, &from->any, size) != MHD_YES) /* closes it where it has no room */
        atomic_fetch_sub(&w->connections, 1);
}

static void *accept_thread(void *user)
{
    http *h = user;
    struct pollfd waits[2] = { { .fd = h->listening, .events = POLLIN },
                               { .fd = h->stop, .events = POLLIN } };
    struct timespec pause = { 0, 20000000 };
    unsigned at = 0;

    while (!waits[1].revents) {
        address from;
        socklen_t size = sizeof(from);
        int fd = accept4(h->listening, &from.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            at = fewest(h, at);
            give(&h->workers[at], fd, &from, size);
        } else if (errno == EAGAIN) {
            poll(waits, 2, -1);
        } else if (errno != EINTR && errno != ECONNABORTED) {
            nanosleep(&pause, NULL); /* no descriptor, no memory: perhaps soon */
            poll(waits + 1, 1, 0);
        }
    }
    return NULL;
}

static bool read_address(const settings *set, address *to, socklen_t *size)
{
    memset(to, 0, sizeof(*to));
    if (inet_pton(AF_INET6, set->host, &to->v6.sin6_addr) == 1) {
        to->v6.sin6_family = AF_INET6;
        to->v6.sin6_port = htons(set->port);
        *size = sizeof(to->v6);
        return true;
    }
    to->v4.sin_family = AF_INET;
    to->v4.sin_port = htons(set->port);
    *size = sizeof(to->v4);
    return inet_pton(AF_INET, strcmp(set->host, "localhost") ? set->host : "127.0.0.1", &to->v4.sin_addr) ==
           1;
}

/* -1: cannot; errno says why. */
static int listen_at(const address *at, socklen_t size)
{
    int fd = socket(at->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1, why;

    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (at->any.sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, &at->any, size) == 0 && listen(fd, BACKLOG) == 0) return fd;
    why = errno;
    close(fd);
    errno = why;
    return -1;
}

static unsigned port_of(int fd)
{
    address at;
    socklen_t size = sizeof(at);

    if (getsockname(fd, &at.any, &size) != 0) return 0;
    return ntohs(at.any.sa_family == AF_INET6 ? at.v6.sin6_port : at.v4.sin_port);
}

/* ---- from start to end ---- */

static void dispose(http *h)
{
    for (unsigned i = 0; i < THREADS; i++)
        if (h->workers[i].daemon) MHD_stop_daemon(h->workers[i].daemon);
    if (h->listening >= 0) close(h->listening);
    if (h->stop >= 0) close(h->stop);
    free(h);
}

http *http_start(server *s)
{
    http *h = calloc(1, sizeof(*h));
    socklen_t size;
    address at;
    bool ok = h && read_address(&s->set, &at, &size);

    if (h && !ok) fprintf(stderr, "upload-server: %s is no address\n", s->set.host);
    if (!ok) {
        free(h);
        return NULL;
    }
    h->stop = eventfd(0, EFD_CLOEXEC);
    h->listening = listen_at(&at, size);
    ok = h->stop >= 0 && h->listening >= 0;
    if (!ok) {
        fprintf(stderr, "upload-server: cannot listen at %s:%u: %s\n", s->set.host, s->set.port,
                strerror(errno));
        dispose(h);
        return NULL;
    }
    for (unsigned i = 0; ok && i < THREADS; i++) ok = start_worker(&h->workers[i], s);
    if (!ok || pthread_create(&h->thread, NULL, accept_thread, h) != 0) {
        fprintf(stderr, "upload-server: cannot start its threads\n");
        dispose(h);
        return NULL;
    }
    printf(strchr(s->set.host, ':') ? "listening http://[%s]:%u\n" : "listening http://%s:%u\n", s->set.host,
           port_of(h->listening));
    fflush(stdout);
    return h;
}

void http_stop(http *h)
{
    if (!h) return;
    eventfd_write(h->stop, 1);
    pthread_join(h->thread, NULL);
    dispose(h);
}
