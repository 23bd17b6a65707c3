/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls of a loop as libcurl sees them: its sockets in an epoll, its one timer, its easy handles in places. */

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop_int.h"

#define NOBODY UINT32_MAX
/* Bytes for one send(2) and one recv(2). What libcurl copies for sending should still lie in the cache when the kernel
 * copies it: on loopback 128 KiB take a quarter less CPU than 512 KiB. */
#define SEND_SIZE (128L << 10)
#define RECV_SIZE (256L << 10)
#define LATE_SIZE ((size_t)64 << 10)

/* What a call does, by turns; how fast it is can be told within one of them. */
enum { STARTING, SENDING, WAITING, RECEIVING };

/* ---- what libcurl calls ---- */

/* An epoll event carries socket and place: events of a place say that bytes move. */
static int on_watch(CURL *easy, curl_socket_t fd, int what, void *user, void *known)
{
    vpi_loop *loop = user;
    struct vpi_call_state *place = NULL;
    struct epoll_event event = { .events = 0 };
    int operation = known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    if (what & CURL_POLL_IN) event.events |= EPOLLIN;
    if (what & CURL_POLL_OUT) event.events |= EPOLLOUT;
    if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&place) != CURLE_OK) place = NULL;
    event.data.u64 = (uint64_t)(place ? place->index : NOBODY) << 32 | (uint32_t)fd;
    if (epoll_ctl(loop->epoll_fd, operation, fd, &event) != 0 &&
        (errno != EEXIST || epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0) && place) {
        place->unwatched = true;
        loop->check_us = 0;
    }
    if (place) place->fd = fd;
    curl_multi_assign(loop->multi, fd, loop);
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *user)
{
    vpi_loop *loop = user;

    (void)multi;
    if (ms < 0) {
        loop->curl_us = INT64_MAX;
    } else {
        loop->curl_us = ms == 0 ? 0 : vpi_now_us() + (int64_t)ms * 1000;
    }
    return 0;
}

static void heard(struct vpi_call_state *place)
{
    place->last_us = place->loop->now_us;
}

/* Connected, new or not: the request follows. */
static int on_ready(void *user, char *to, char *from, int to_port, int from_port)
{
    struct vpi_call_state *place = user;

    (void)to, (void)from, (void)to_port;
    place->port = from_port;
    place->connected = true;
    place->unsent = 0;
    place->call->sends++;
    heard(place);
    place->phase = STARTING;
    place->pace_us = place->last_us;
    if (place->call->stall_ms)
        place->loop->check_us =
            VPI_MIN(place->loop->check_us, place->last_us + (int64_t)place->call->stall_ms * 1000);
    return CURL_PREREQFUNC_OK;
}

/* A connection that failed with its first bytes was not watched yet: its port tells whose it is. */
static bool is_of(const struct vpi_call_state *place, int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at;
    socklen_t size = sizeof(at);

    if (!place->call || !place->connected || (place->in.answered && !place->in.interim)) return false;
    if (place->fd >= 0) return place->fd == fd;
    if (getsockname(fd, &at.any, &size) != 0) return false;
    if (at.any.sa_family == AF_INET) return ntohs(at.v4.sin_port) == place->port;
    return at.any.sa_family == AF_INET6 && ntohs(at.v6.sin6_port) == place->port;
}

/*
 * A server may refuse in the middle of a body, and close; the next send(2) fails then though the answer has come, and
 * libcurl tells of the pipe alone. What it has not read is taken here, before the socket goes. (Of no use with TLS.)
 */
static int on_close(void *user, curl_socket_t fd)
{
    vpi_loop *loop = user;
    char piece[4096];
    ssize_t n;

    for (uint32_t i = 0; i < loop->connections; i++) {
        struct vpi_call_state *place = &loop->places[i];

        if (!is_of(place, fd)) continue;
        vpi_buf_clear(&place->late);
        while (place->late.size < LATE_SIZE && (n = recv(fd, piece, sizeof(piece), MSG_DONTWAIT)) > 0)
            vpi_buf_add(&place->late, piece, (size_t)n);
    }
    return close(fd);
}

static size_t on_read(char *to, size_t one, size_t room, void *user)
{
    struct vpi_call_state *place = user;
    vpi_call *call = place->call;
    uint64_t left = call->body_size - VPI_MIN(place->body_at, call->body_size);
    size_t n;

    room = (size_t)VPI_MIN((uint64_t)room * one, left);
    if (!room) return 0;
    n = call->read(call->read_user, place->body_at, to, room, &call->err);
    place->body_at += n;
    place->unread = !n;
    return n ? n : CURL_READFUNC_ABORT;
}

static int on_seek(void *user, curl_off_t to, int from)
{
    struct vpi_call_state *place = user;

    if (from != SEEK_SET || to < 0) return CURL_SEEKFUNC_CANTSEEK;
    place->body_at = (uint64_t)to;
    return CURL_SEEKFUNC_OK;
}

/* ---- places ---- */

vp_status vpi_loop_open(vpi_loop *loop, vp_error *err)
{
    struct epoll_event event = { .events = EPOLLIN };
    long n = (long)loop->connections;
    CURLM *m;

    if (!loop->places) loop->places = vpi_calloc(loop->connections, sizeof(*loop->places));
    if (!loop->places) return vpi_fail_nomem(err);
    if (loop->epoll_fd < 0) loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->wake_fd < 0) loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->epoll_fd < 0 || loop->wake_fd < 0) return vpi_fail_errno(err, errno, NULL, "epoll");
    event.data.u64 = (uint64_t)NOBODY << 32 | (uint32_t)loop->wake_fd;
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) != 0 && errno != EEXIST)
        return vpi_fail_errno(err, errno, NULL, "epoll");
    m = curl_multi_init();
    if (!m) return vpi_fail_nomem(err);
    curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, on_watch);
    curl_multi_setopt(m, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(m, CURLMOPT_TIMERDATA, loop);
    curl_multi_setopt(m, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, n);
    curl_multi_setopt(m, CURLMOPT_MAX_TOTAL_CONNECTIONS, n);
    loop->multi = m;
    loop->free_places = NULL;
    for (uint32_t i = loop->connections; i-- > 0;) {
        loop->places[i].loop = loop;
        loop->places[i].index = i;
        loop->places[i].next_free = loop->free_places;
        loop->free_places = &loop->places[i];
    }
    return VP_OK;
}

void vpi_loop_close(vpi_loop *loop)
{
    if (!loop->multi) return;
    for (uint32_t i = 0; i < loop->connections; i++) {
        if (loop->places[i].in.easy) curl_easy_cleanup(loop->places[i].in.easy);
        loop->places[i].in.easy = NULL;
        vpi_http_lines_dispose(&loop->places[i].headers);
        vpi_buf_dispose(&loop->places[i].late);
    }
    curl_multi_cleanup(loop->multi);
    loop->multi = NULL;
}

static bool furnish(struct vpi_call_state *place)
{
    CURL *easy = curl_easy_init();
    bool ok = easy != NULL;

    if (!ok) return false;
    place->in.easy = easy;
    ok = vpi_http_set_safety(place->loop->http, &place->in, true);
    VPI_CURL_SET(ok, easy, CURLOPT_PRIVATE, (void *)place);
    VPI_CURL_SET(ok, easy, CURLOPT_PREREQFUNCTION, on_ready);
    VPI_CURL_SET(ok, easy, CURLOPT_PREREQDATA, (void *)place);
    /* several connections are wanted, not several requests on one */
    VPI_CURL_SET(ok, easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    VPI_CURL_SET(ok, easy, CURLOPT_PATH_AS_IS, 1L);
    VPI_CURL_SET(ok, easy, CURLOPT_TCP_KEEPALIVE, 1L);
    VPI_CURL_SET(ok, easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    VPI_CURL_SET(ok, easy, CURLOPT_CLOSESOCKETDATA, (void *)place->loop);
    VPI_CURL_SET(ok, easy, CURLOPT_READFUNCTION, on_read);
    VPI_CURL_SET(ok, easy, CURLOPT_READDATA, (void *)place);
    VPI_CURL_SET(ok, easy, CURLOPT_SEEKFUNCTION, on_seek);
    VPI_CURL_SET(ok, easy, CURLOPT_SEEKDATA, (void *)place);
    VPI_CURL_SET(ok, easy, CURLOPT_UPLOAD_BUFFERSIZE, SEND_SIZE);
    VPI_CURL_SET(ok, easy, CURLOPT_BUFFERSIZE, RECV_SIZE);
    if (!ok) {
        curl_easy_cleanup(easy);
        place->in.easy = NULL;
    }
    return ok;
}

/* ---- a call ---- */

static vp_status set_call(struct vpi_call_state *place, vpi_call *call)
{
    bool expect = call->expect_ms && (call->body || call->read) && call->body_size;
    struct curl_slist *list;
    CURL *easy;
    bool ok = true;

    if (!call->method || !call->url || !vpi_http_headers_valid(call->headers))
        return vpi_fail(&call->err, VP_E_ARG, NULL, "headers: not lines of \"Name: value\"");
    if (!place->in.easy && !furnish(place)) return vpi_fail_nomem(&call->err);
    if (!vpi_http_lines_set(&place->headers, place->loop->http->headers, call->headers, expect, &list))
        return vpi_fail_nomem(&call->err);
    easy = place->in.easy;
    VPI_CURL_SET(ok, easy, CURLOPT_URL, call->url);
    VPI_CURL_SET(ok, easy, CURLOPT_HTTPHEADER, list);
    if (expect) VPI_CURL_SET(ok, easy, CURLOPT_EXPECT_100_TIMEOUT_MS, (long)call->expect_ms);
    ok = ok && vpi_http_set_method(easy, call->method, call->body, call->body_size);
    if (call->read) { /* a body of its own, not POSTFIELDS */
        VPI_CURL_SET(ok, easy, CURLOPT_POSTFIELDS, NULL);
        VPI_CURL_SET(ok, easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_size);
    }
    return ok ? VP_OK : vpi_fail_nomem(&call->err);
}

static bool send_off(struct vpi_call_state *place, bool again)
{
    vpi_call *call = place->call;

    place->again = again;
    place->connected = place->unwatched = place->unread = false;
    place->body_at = 0;
    place->fd = -1;
    vpi_buf_clear(&place->late);
    vpi_http_intake_begin(&place->in, &call->answer, call->max_body);
    place->in.to = call->to;
    place->in.to_capacity = call->to_capacity;
    return curl_easy_setopt(place->in.easy, CURLOPT_FRESH_CONNECT, again || call->fresh ? 1L : 0L) ==
               CURLE_OK &&
           curl_multi_add_handle(place->loop->multi, place->in.easy) == CURLM_OK;
}

void vpi_place_begin(struct vpi_call_state *place)
{
    vpi_call *call = place->call;
    vpi_loop *loop = place->loop;
    vp_status st = set_call(place, call);

    if (st == VP_OK && !send_off(place, false)) st = vpi_fail_nomem(&call->err);
    if (st < 0) {
        vpi_call_finish(loop, place, call, st);
        return;
    }
    heard(place);
    place->deadline_us = call->deadline_ms ? loop->now_us + (int64_t)call->deadline_ms * 1000 : INT64_MAX;
    loop->check_us = VPI_MIN(loop->check_us, place->deadline_us);
}

/* Out of libcurl's hands; what it knows of the transfer first. */
static void take_out(struct vpi_call_state *place)
{
    vpi_call *call = place->call;
    CURL *easy = place->in.easy;
    long status = 0, connects = 1;
    curl_off_t sent = 0, received = 0;

    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connects);
    curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    curl_easy_getinfo(easy, CURLINFO_SIZE_DOWNLOAD_T, &received);
    call->answer.status = (int)status;
    call->reused = connects == 0;
    call->sent = (uint64_t)sent;
    call->received = (uint64_t)received;
    call->to_size = place->in.to_size;
    place->connected = false; /* what libcurl closes now was read, or is not wanted */
    curl_multi_remove_handle(place->loop->multi, easy);
    vpi_http_lines_clear(&place->headers);
}

static void fail(struct vpi_call_state *place, CURLcode code)
{
    vpi_call *call = place->call;
    vp_status st = place->unread ? call->err.status : VP_OK;

    if (st >= 0) st = vpi_http_fail(&place->in, call->url, code, &call->err);
    take_out(place);
    vpi_call_finish(place->loop, place, call, st);
}

void vpi_place_cancel(struct vpi_call_state *place)
{
    vpi_call *call = place->call;

    take_out(place);
    vpi_call_finish(place->loop, place, call, vpi_fail(&call->err, VP_E_CANCELED, "CANCELED", "canceled"));
}

/*
 * The server closed a connection that had waited when the request was under way (RFC 9112 9.3.1). libcurl sees it
 * before the request, and while it waits for the answer; not in the middle of a body.
 */
static bool lost_race(const struct vpi_call_state *place, CURLcode code)
{
    long connects = 1;

    if (code != CURLE_SEND_ERROR && code != CURLE_RECV_ERROR && code != CURLE_GOT_NOTHING) return false;
    curl_easy_getinfo(place->in.easy, CURLINFO_NUM_CONNECTS, &connects);
    return connects == 0 && !place->again && !place->in.answered;
}

static void ended(struct vpi_call_state *place, CURLcode code)
{
    vpi_call *call = place->call;
    vpi_http_answer late = { 0 };

    if (code == CURLE_OK) {
        take_out(place);
        vpi_call_finish(place->loop, place, call, VP_OK);
    } else if (place->late.size && vpi_http_parse(place->late.data, place->late.size, &late) &&
               late.status >= 300) {
        take_out(place);
        vpi_http_answer_dispose(&call->answer);
        call->answer = late;
        vpi_call_finish(place->loop, place, call, VP_OK);
        return;
    } else if (lost_race(place, code)) {
        curl_multi_remove_handle(place->loop->multi, place->in.easy);
        if (!send_off(place, true)) fail(place, CURLE_OUT_OF_MEMORY);
    } else {
        fail(place, code);
    }
    vpi_http_answer_dispose(&late);
}

/* ---- rounds ---- */

/* Bytes that the kernel holds still go out, though libcurl has no more to give and nothing comes. */
static bool drains(struct vpi_call_state *place)
{
    int unsent = 0;

    if (place->fd < 0 || ioctl(place->fd, SIOCOUTQ, &unsent) != 0 || unsent == place->unsent) return false;
    place->unsent = unsent;
    return unsent > 0;
}

/*
 * Trickles: bytes that come now and then keep a call from being silent for ever (S19). What the kernel still holds has
 * not gone out. While the server works on its answer nothing moves, and that says nothing of the way to it.
 */
static bool trickles(struct vpi_call_state *place)
{
    const vpi_call *call = place->call;
    int64_t now = place->loop->now_us, window = (int64_t)call->stall_ms * 1000;
    uint64_t least = (uint64_t)call->slow_rate * call->stall_ms / 1000, bytes;
    curl_off_t sent = 0, received = 0;
    long head = 0, status = 0;
    int unsent = 0, phase = SENDING;
    bool slow;

    if (now - place->pace_us < window) return false;
    curl_easy_getinfo(place->in.easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    curl_easy_getinfo(place->in.easy, CURLINFO_SIZE_DOWNLOAD_T, &received);
    curl_easy_getinfo(place->in.easy, CURLINFO_HEADER_SIZE, &head);
    curl_easy_getinfo(place->in.easy, CURLINFO_RESPONSE_CODE, &status);
    if (place->fd < 0 || ioctl(place->fd, SIOCOUTQ, &unsent) != 0) unsent = 0;
    if ((uint64_t)sent >= call->body_size && unsent == 0) phase = status >= 200 ? RECEIVING : WAITING;
    bytes = (uint64_t)sent - VPI_MIN((uint64_t)sent, (uint64_t)unsent) + (uint64_t)received + (uint64_t)head;
    slow = phase == place->phase && phase != WAITING && bytes - VPI_MIN(bytes, place->pace_bytes) < least;
    place->phase = phase;
    place->pace_us = now;
    place->pace_bytes = bytes;
    return slow;
}

void vpi_loop_check(vpi_loop *loop)
{
    loop->check_us = INT64_MAX;
    for (uint32_t i = 0; i < loop->connections; i++) {
        struct vpi_call_state *place = &loop->places[i];
        vpi_call *call = place->call;
        int64_t silent_us = INT64_MAX;

        if (!call) continue;
        if (place->connected && call->stall_ms) {
            silent_us = place->last_us + (int64_t)call->stall_ms * 1000;
            if (silent_us <= loop->now_us && drains(place)) {
                heard(place);
                silent_us = place->last_us + (int64_t)call->stall_ms * 1000;
            }
        }
        if (place->unwatched) {
            fail(place, CURLE_COULDNT_CONNECT);
        } else if (VPI_MIN(silent_us, place->deadline_us) <= loop->now_us ||
                   (silent_us != INT64_MAX && call->slow_rate && trickles(place))) {
            fail(place, CURLE_OPERATION_TIMEDOUT);
        } else {
            if (silent_us != INT64_MAX && call->slow_rate)
                silent_us = VPI_MIN(silent_us, place->pace_us + (int64_t)call->stall_ms * 1000);
            loop->check_us = VPI_MIN(loop->check_us, VPI_MIN(silent_us, place->deadline_us));
        }
    }
}

static void act(vpi_loop *loop, const struct epoll_event *event)
{
    uint32_t index = (uint32_t)(event->data.u64 >> 32);
    int fd = (int)(uint32_t)event->data.u64, bits = 0, running;
    uint64_t news;

    if (fd == loop->wake_fd) {
        while (read(fd, &news, sizeof(news)) < 0 && errno == EINTR) {}
        return;
    }
    if (index < loop->connections) heard(&loop->places[index]);
    if (event->events & EPOLLIN) bits |= CURL_CSELECT_IN;
    if (event->events & EPOLLOUT) bits |= CURL_CSELECT_OUT;
    /* an end is read as one */
    if (event->events & (EPOLLERR | EPOLLHUP)) bits |= CURL_CSELECT_IN | CURL_CSELECT_ERR;
    curl_multi_socket_action(loop->multi, fd, bits, &running);
}

void vpi_loop_wait(vpi_loop *loop, int64_t until_us)
{
    struct epoll_event event;
    int ms = -1, n, left, running;
    CURLMsg *message;

    if (until_us != INT64_MAX) {
        int64_t wait_us = VPI_MAX(until_us - vpi_now_us(), 0);

        ms = (int)VPI_MIN((wait_us + 999) / 1000, 60000);
    }
    /* One at a time, which costs no more: a batch would grow old while its first ones send. */
    n = epoll_wait(loop->epoll_fd, &event, 1, ms);
    loop->now_us = vpi_now_us();
    if (n == 1) act(loop, &event);
    if (loop->curl_us <= loop->now_us) {
        loop->curl_us = INT64_MAX;
        curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    while ((message = curl_multi_info_read(loop->multi, &left)) != NULL) {
        struct vpi_call_state *place = NULL;
        CURLcode code = message->data.result;

        if (message->msg != CURLMSG_DONE) continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&place);
        if (place) ended(place, code);
    }
}
