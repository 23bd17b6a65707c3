/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A request of an upload: libmicrohttpd on one side, vp_tus on the other. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "server.h"

#define HEADERS_MAX 65536
/*
 * A refused body is read and thrown away, so that the client sees the answer and not a reset. One that comes to its
 * end soon leaves the connection to the next request. One that stands still, or takes longer, is answered in its
 * middle; what still comes is read, so much and so long, and then the connection goes.
 */
#define DISCARD_MAX (64u << 20)
#define CHUNKED_MAX                                                                                          \
    (4u << 20) /* of a body that does not say how long it is, before it is answered in its middle */
#define STAND_MS 1000
#define WAIT_MS 5000
#define DISCARD_MS 30000
#define STAND_S 5 /* of a connection whose body is thrown away, or that brings no more requests */
#define FILLS                                                                                                \
    16384 /* a piece as large as this, and as the largest, may have filled what libmicrohttpd reads into */
#define GET_BLOCK 262144
#define LOOK_EACH (1u << 20)

struct request {
    server *s;
    struct MHD_Connection *connection;
    vp_tus_request *tus;
    uint64_t brought, discarded;
    size_t largest;      /* piece that came */
    bool at_once;        /* the answer goes out in libmicrohttpd's first call: the body is not waited for */
    bool started;        /* that call is over */
    uint64_t look_at;    /* bytes brought when it is next asked whether they are a video's */
    bool held;           /* its body is thrown away; with the lock of refusals, as all below: */
    request *next;       /* of s->refusals, until it is answered */
    bool answered;       /* in the middle of the body */
    int64_t from, moved; /* when that began, when bytes came last; ms */
    char id[68];
};

/* ---- headers in ---- */

typedef struct lines {
    char *text;
    size_t size;
    bool failed;
} lines;

static enum MHD_Result add_line(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    lines *l = user;
    size_t n = strlen(name) + (value ? strlen(value) : 0) + 3;

    (void)kind;
    if (l->size + n + 1 > HEADERS_MAX) {
        l->failed = true;
        return MHD_NO;
    }
    l->size += (size_t)snprintf(l->text + l->size, n + 1, "%s: %s\n", name, value ? value : "");
    return MHD_YES;
}

/* The caller's; NULL: too long, or no memory. */
static char *get_lines(struct MHD_Connection *c, enum MHD_ValueKind kind)
{
    lines l = { malloc(HEADERS_MAX), 0, false };

    if (!l.text) return NULL;
    l.text[0] = 0;
    MHD_get_connection_values(c, kind, add_line, &l);
    if (!l.failed) return l.text;
    free(l.text);
    return NULL;
}

/* ---- where it ends ---- */

typedef struct framing {
    unsigned lengths, codings, alike, hosts;
    bool lone_cr;
} framing;

static enum MHD_Result look_at_line(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    static const char length[] = "Content-Length", coding[] = "Transfer-Encoding";
    framing *f = user;

    (void)kind;
    f->lengths += strcasecmp(name, length) == 0;
    f->codings += strcasecmp(name, coding) == 0;
    f->alike += strncasecmp(name, length, sizeof(length) - 1) == 0 ||
                strncasecmp(name, coding, sizeof(coding) - 1) == 0;
    f->hosts += strcasecmp(name, "Host") == 0;
    f->lone_cr |= value && strchr(value, '\r');
    return MHD_YES;
}

const char *request_unclear(struct MHD_Connection *c, const char *version)
{
    static const char end[] = "where does it end?\n";
    const char *coding = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Transfer-Encoding");
    framing f = { 0 };

    MHD_get_connection_values(c, MHD_HEADER_KIND, look_at_line, &f);
    /*
     * RFC 9112 2.2, 5.1, 5.2: libmicrohttpd (0.9.75) makes a name of "Content-Length " and of a folded line
     * ("Content-Length:", " 3" is Content-Length3), and leaves a lone CR where it is. A proxy may see a body in each.
     */
    if (f.alike != f.lengths + f.codings || f.lone_cr) return end;
    /* RFC 9112 6.1, 6.3: HTTP/1.0 has no codings. A number that is none libmicrohttpd refuses itself. */
    if (coding && strcmp(version, MHD_HTTP_VERSION_1_0) == 0) return end;
    if (coding ? strcasecmp(coding, "chunked") != 0 || f.codings != 1 || f.lengths != 0 : f.lengths > 1)
        return end;
    /* RFC 9112 3.2 */
    if (f.hosts > 1 || (f.hosts == 0 && strcmp(version, MHD_HTTP_VERSION_1_1) == 0))
        return "one Host is needed\n";
    return NULL;
}

uint64_t request_size(struct MHD_Connection *c)
{
    const char *length = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Length");

    if (MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Transfer-Encoding")) return UINT64_MAX;
    return length ? strtoull(length, NULL, 10) : 0;
}

/* ---- answer out ---- */

typedef struct reading {
    vp_source *source;
    uint64_t offset;
} reading;

static ssize_t read_source(void *user, uint64_t at, char *to, size_t capacity)
{
    reading *r = user;
    size_t got = 0;

    if (vp_source_read_at(r->source, r->offset + at, to, capacity, &got, NULL) < 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    return got ? (ssize_t)got : MHD_CONTENT_READER_END_OF_STREAM;
}

static void end_reading(void *user)
{
    reading *r = user;

    vp_source_unref(r->source);
    free(r);
}

static struct MHD_Response *make_response(vp_tus_request *tus)
{
    const void *data = NULL;
    uint64_t size = 0, offset = 0;
    vp_source *source = NULL;
    reading *r;

    if (vp_tus_answer_source(tus, &source, &offset, &size, NULL) != VP_OK) {
        vp_tus_answer_body(tus, &data, &size, NULL);
        return MHD_create_response_from_buffer((size_t)size, (void *)data, MHD_RESPMEM_MUST_COPY);
    }
    r = malloc(sizeof(*r));
    if (!r) {
        vp_source_unref(source);
        return NULL;
    }
    *r = (reading){ source, offset };
    return MHD_create_response_from_callback(size, GET_BLOCK, read_source, r, end_reading);
}

static enum MHD_Result send_answer(request *r)
{
    struct MHD_Response *response = make_response(r->tus);
    const char *name, *value;
    enum MHD_Result result;

    if (!response) return MHD_NO;
    for (uint32_t i = 0; vp_tus_answer_header(r->tus, i, &name, &value, NULL) == VP_OK; i++)
        if (strcmp(name, "Content-Length") != 0) /* libmicrohttpd writes it itself */
            MHD_add_response_header(response, name, value);
    result = MHD_queue_response(r->connection, (unsigned)vp_tus_status(r->tus), response);
    MHD_destroy_response(response);
    return result;
}

/* ---- past libmicrohttpd ---- */

static int socket_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);

    return info ? info->connect_fd : -1;
}

/* Nothing more will come. */
static bool is_over(struct MHD_Connection *c)
{
    char next;

    return recv(socket_of(c), &next, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void close_soon_if_over(struct MHD_Connection *c)
{
    if (is_over(c)) MHD_set_connection_option(c, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)STAND_S);
}

/*
 * In the middle of a body. Where the end of a connection comes with its last bytes, libmicrohttpd (0.9.75, epoll) is
 * told of both at once, reads the bytes, and waits for more until IDLE_S are over; not so where they filled its
 * buffer, and it reads again. Of a body whose size is told it has given all that it read; of a chunked one the end may
 * be in its buffer.
 */
static bool is_gone(request *r, size_t piece)
{
    uint64_t size;

    if (piece > r->largest) r->largest = piece;
    if (piece == r->largest && piece >= FILLS) return false;
    size = request_size(r->connection);
    if (size == UINT64_MAX || r->brought >= size) return false;
    return is_over(r->connection);
}

/* ---- refused in the middle of a body ---- */

/*
 * libmicrohttpd takes no answer in the middle of a body. Its client must hear one all the same: straight into the
 * socket, where nothing was written of this request but perhaps a whole 100 Continue. Not for a server with TLS.
 */
static void write_answer(request *r)
{
    int fd = socket_of(r->connection);
    char text[8192];
    const char *name, *value;
    const void *body = NULL;
    uint64_t size = 0;
    size_t n = (size_t)snprintf(text, sizeof(text), "HTTP/1.1 %d Refused\r\nConnection: close\r\n",
                                (int)vp_tus_status(r->tus));
    time_t now = time(NULL);
    struct tm utc;

    /* RFC 9110 6.6.1 */
    if (gmtime_r(&now, &utc))
        n += strftime(text + n, sizeof(text) - n, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
    for (uint32_t i = 0; vp_tus_answer_header(r->tus, i, &name, &value, NULL) == VP_OK; i++) {
        if (strlen(name) + strlen(value) + 8 > sizeof(text) - n) return;
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s: %s\r\n", name, value);
    }
    vp_tus_answer_body(r->tus, &body, &size, NULL);
    if (fd < 0 || size + 2 > sizeof(text) - n) return;
    memcpy(text + n, "\r\n", 2);
    if (size) memcpy(text + n + 2, body, (size_t)size);
    if (send(fd, text, n + 2 + (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) shutdown(fd, SHUT_WR);
}

/* With the lock. */
static void unlink_refusal(request *r)
{
    request **at = &r->s->refusals;

    while (*at && *at != r) at = &(*at)->next;
    if (*at) *at = r->next;
}

/* With the lock. What is no refusal has a body that only libmicrohttpd can send: its client has to come to its end. */
static void answer_in_middle(request *r)
{
    if (r->answered || vp_tus_status(r->tus) < 400) return;
    r->answered = true;
    unlink_refusal(r);
    write_answer(r);
}

/* The answer is there, and the body is not over. */
static void hold(request *r, bool now)
{
    MHD_set_connection_option(r->connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)STAND_S);
    pthread_mutex_lock(&r->s->refusals_lock);
    r->held = true;
    r->from = r->moved = now_ms();
    r->next = r->s->refusals;
    r->s->refusals = r;
    if (now) answer_in_middle(r);
    pthread_mutex_unlock(&r->s->refusals_lock);
}

/* More of a body that nobody wants; MHD_NO: enough. */
static enum MHD_Result discard(request *r, size_t size)
{
    bool enough;

    pthread_mutex_lock(&r->s->refusals_lock);
    r->moved = now_ms();
    r->discarded += size;
    enough = r->discarded > DISCARD_MAX || r->moved - r->from > DISCARD_MS;
    if (enough || (r->discarded > CHUNKED_MAX && request_size(r->connection) == UINT64_MAX))
        answer_in_middle(r);
    pthread_mutex_unlock(&r->s->refusals_lock);
    return enough ? MHD_NO : MHD_YES;
}

/* Its client was answered, or is by who asks. */
static bool release(request *r)
{
    bool answered;

    if (!r->held) return false;
    pthread_mutex_lock(&r->s->refusals_lock);
    unlink_refusal(r);
    r->held = false;
    answered = r->answered;
    pthread_mutex_unlock(&r->s->refusals_lock);
    return answered;
}

void requests_watch(server *s)
{
    int64_t now = now_ms();

    pthread_mutex_lock(&s->refusals_lock);
    for (request *r = s->refusals, *next; r; r = next) {
        next = r->next;
        if (now - r->moved >= STAND_MS || now - r->from >= WAIT_MS) answer_in_middle(r);
    }
    pthread_mutex_unlock(&s->refusals_lock);
}

/* ---- in between ---- */

/* Who may upload, and what is done with it: a host with users asks its database here. */
static vp_status decide(request *r, vp_error *err)
{
    vp_tus_info info = VP_TUS_INFO_INIT;
    vp_status st = vp_tus_get_info(r->tus, &info, err);

    if (st < 0) return st;
    memcpy(r->id, info.id, sizeof(r->id));
    st = vp_tus_accept(r->tus, NULL, err);
    /* Of a concatenation the whole is published, not its parts. */
    if (st >= 0 && info.operation == VP_TUS_FINISH && !(info.flags & VP_TUS_IS_PARTIAL) && r->s->set.publish)
        titles_add(r->s, info.id);
    return st;
}

/* The first bytes are in: what is no video is refused before the rest is sent. */
static void look_at_head(request *r)
{
    vp_tus_info info = VP_TUS_INFO_INIT;
    char reason[32], text[96];

    if (!r->s->set.refuse || r->brought < r->look_at) return;
    r->look_at = r->brought + LOOK_EACH;
    if (!r->id[0] && vp_tus_get_info(r->tus, &info, NULL) >= 0) /* a creation has its id by now */
        memcpy(r->id, info.id, sizeof(r->id));
    if (!titles_refused(r->s, r->id, reason, sizeof(reason))) return;
    snprintf(text, sizeof(text), "this cannot become a title: %s\n", reason);
    vp_tus_reject(r->tus, 415, NULL, text, strlen(text), NULL);
}

/* libmicrohttpd takes an answer before the body, and closes the connection then, or after it. */
static enum MHD_Result answer(request *r, bool body_over)
{
    uint64_t size = request_size(r->connection);

    if (body_over) return release(r) ? MHD_NO : send_answer(r); /* MHD_NO closes */
    if (r->at_once && !r->started) return send_answer(r);
    /* A chunked body may end soon. */
    if (!r->held) hold(r, size > DISCARD_MAX && size != UINT64_MAX);
    return MHD_YES;
}

static enum MHD_Result go_on(request *r, bool body_over)
{
    vp_error err = VP_ERROR_INIT;
    vp_status st = VP_OK;
    char *trailers;

    for (;;) {
        switch (vp_tus_state(r->tus)) {
        case VP_TUS_ASK:
            st = decide(r, &err);
            break;
        case VP_TUS_BODY:
            if (!body_over) return MHD_YES;
            trailers = get_lines(r->connection, MHD_FOOTER_KIND);
            st = vp_tus_end(r->tus, trailers, &err);
            free(trailers);
            break;
        default: /* VP_TUS_ANSWER; without a queue nothing is BUSY */
            return answer(r, body_over);
        }
        if (st < 0) {
            fprintf(stderr, "upload-server: %s: %s\n", err.reason, err.message);
            return MHD_NO;
        }
    }
}

/* Of the IETF's draft. Who asks how far an upload is, or removes it, says so only by saying nothing of tus. */
static bool is_draft(struct MHD_Connection *c, const char *method)
{
    if (MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Tus-Resumable")) return false;
    return MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Upload-Complete") ||
           MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Upload-Draft-Interop-Version") ||
           strcmp(method, "HEAD") == 0 || strcmp(method, "DELETE") == 0;
}

static request *begin(server *s, struct MHD_Connection *c, const char *target, const char *method)
{
    request *r = calloc(1, sizeof(*r));
    char *headers = get_lines(c, MHD_HEADER_KIND);
    vp_status st = VP_E_NOMEM;

    if (r && headers) {
        r->s = s;
        r->connection = c;
        r->at_once = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Expect") != NULL;
        st = (is_draft(c, method) ? vp_tus_begin_draft : vp_tus_begin)(s->tus, method, target, headers, 0,
                                                                       &r->tus, NULL);
    }
    free(headers);
    if (st >= 0) return r;
    free(r);
    return NULL;
}

enum MHD_Result upload_request(server *s, struct MHD_Connection *c, const char *target, const char *method,
                               const char *data, size_t *size, request **state)
{
    request *r = *state;
    enum MHD_Result result;

    if (!r) { /* the first call, before the body */
        r = *state = begin(s, c, target, method);
        if (!r) return answer_text(c, 431, "text/plain", "headers too large\n");
        result = go_on(r, false);
        r->started = true;
        return result;
    }
    if (!*size) return go_on(r, true);
    if (vp_tus_state(r->tus) == VP_TUS_BODY) {
        bool due;

        if (vp_tus_body(r->tus, data, *size, NULL) < 0) return MHD_NO;
        r->brought += *size;
        look_at_head(r);
        due = vp_tus_due(r->tus) == 0; /* it drips, or a newer request has the upload */
        if (vp_tus_state(r->tus) == VP_TUS_ANSWER) hold(r, due);
        if (is_gone(r, *size)) return MHD_NO;
    } else if (discard(r, *size) == MHD_NO) {
        return MHD_NO;
    }
    *size = 0;
    return MHD_YES;
}

void upload_request_end(request *r, enum MHD_RequestTerminationCode why)
{
    if (!r) return;
    if (why == MHD_REQUEST_TERMINATED_COMPLETED_OK) /* the connection may have another */
        MHD_set_connection_option(r->connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)IDLE_S);
    release(r);
    vp_tus_close(r->tus); /* what came of a body that broke off is kept */
    free(r);
}
