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
/* So much of a refused body is read and thrown away, so that the client sees the answer; then the connection goes. */
#define DISCARD_MAX (64u << 20)
#define DISCARD_S 60 /* or for so long */
#define GET_BLOCK 262144
#define LOOK_EACH (1u << 20)

struct request {
    server *s;
    struct MHD_Connection *connection;
    vp_tus_request *tus;
    uint64_t brought, discarded;
    bool at_once;     /* the answer goes out in libmicrohttpd's first call: the body is not waited for */
    bool started;     /* that call is over */
    time_t until;     /* a body that is thrown away is, no longer than this */
    uint64_t look_at; /* bytes brought when it is next asked whether they are a video's */
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

static enum MHD_Result count_length(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    unsigned *count = user;

    (void)kind, (void)value;
    if (strcasecmp(name, "Content-Length") == 0) ++*count;
    return MHD_YES;
}

bool request_clear(struct MHD_Connection *c)
{
    const char *coding = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Transfer-Encoding");
    unsigned lengths = 0;

    MHD_get_connection_values(c, MHD_HEADER_KIND, count_length, &lengths);
    /* RFC 9112 6.1, 6.3. A number that is none libmicrohttpd refuses itself. */
    return coding ? strcasecmp(coding, "chunked") == 0 && lengths == 0 : lengths < 2;
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

/*
 * libmicrohttpd takes no answer in the middle of a body. A client that drips must hear one all the same: straight into
 * the socket, where nothing was written of this request but perhaps a whole 100 Continue. Not for a server with TLS.
 */
static enum MHD_Result answer_now(request *r)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    char text[8192];
    const char *name, *value;
    const void *body = NULL;
    uint64_t size = 0;
    size_t n = (size_t)snprintf(text, sizeof(text), "HTTP/1.1 %d Refused\r\nConnection: close\r\n",
                                (int)vp_tus_status(r->tus));

    for (uint32_t i = 0; vp_tus_answer_header(r->tus, i, &name, &value, NULL) == VP_OK; i++) {
        if (strlen(name) + strlen(value) + 8 > sizeof(text) - n) return MHD_NO;
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s: %s\r\n", name, value);
    }
    vp_tus_answer_body(r->tus, &body, &size, NULL);
    if (!info || size + 2 > sizeof(text) - n) return MHD_NO;
    memcpy(text + n, "\r\n", 2);
    if (size) memcpy(text + n + 2, body, (size_t)size);
    if (send(info->connect_fd, text, n + 2 + (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        shutdown(info->connect_fd, SHUT_WR);
    return MHD_NO; /* closes */
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
    char reason[32], text[96];

    if (!r->s->set.refuse || r->brought < r->look_at) return;
    r->look_at = r->brought + LOOK_EACH;
    if (!titles_refused(r->s, r->id, reason, sizeof(reason))) return;
    snprintf(text, sizeof(text), "this cannot become a title: %s\n", reason);
    vp_tus_reject(r->tus, 415, NULL, text, strlen(text), NULL);
}

/* libmicrohttpd takes an answer before the body, and closes the connection then, or after it. */
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
            return body_over || (r->at_once && !r->started) ? send_answer(r) : MHD_YES;
        }
        if (st < 0) {
            fprintf(stderr, "upload-server: %s: %s\n", err.reason, err.message);
            return MHD_NO;
        }
    }
}

static request *begin(server *s, struct MHD_Connection *c, const char *target, const char *method)
{
    bool draft = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Upload-Complete") ||
                 MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Upload-Draft-Interop-Version");
    request *r = calloc(1, sizeof(*r));
    char *headers = get_lines(c, MHD_HEADER_KIND);
    vp_status st = VP_E_NOMEM;

    if (r && headers) {
        r->s = s;
        r->connection = c;
        r->at_once = request_size(c) > DISCARD_MAX && request_size(c) != UINT64_MAX;
        if (MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Expect")) r->at_once = true;
        st = (draft ? vp_tus_begin_draft : vp_tus_begin)(s->tus, method, target, headers, 0, &r->tus, NULL);
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
        if (vp_tus_body(r->tus, data, *size, NULL) < 0) return MHD_NO;
        r->brought += *size;
        look_at_head(r);
        if (vp_tus_due(r->tus) == 0) return answer_now(r); /* it drips, or a newer request has the upload */
    } else {
        if (!r->discarded) r->until = time(NULL) + DISCARD_S;
        r->discarded += *size;
        if (r->discarded > DISCARD_MAX || time(NULL) > r->until) return answer_now(r);
    }
    *size = 0;
    return MHD_YES;
}

void upload_request_end(request *r)
{
    if (!r) return;
    vp_tus_close(r->tus); /* what came of a body that broke off is kept */
    free(r);
}
