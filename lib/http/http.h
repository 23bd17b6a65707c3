/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_HTTP_H
#define VPI_HTTP_H

/* One request, one answer, over libcurl. Whoever asks tries again: see vpi_http_retryable. */

#include <vodpipe/http.h>

#include "base/buf.h"
#include "base/context.h"
#include "base/error.h"

/*
 * A client keeps connections and settings. Thread-safe: requests of several threads run side by side, each on a
 * connection of its own. options NULL: defaults; all strings are copied, secrets zeroised with the last reference.
 * No I/O and no thread here. ARG, NOMEM, VERSION; UNSUPPORTED FEATURE_DISABLED without libcurl.
 */
typedef struct vpi_http vpi_http;
vp_status vpi_http_new(vp_context *context, const vp_http_options *options, vpi_http **out, vp_error *err);
vpi_http *vpi_http_free(vpi_http *http); /* no request may be running; NULL is allowed; returns NULL */

typedef struct vpi_http_request {
    const char *method;  /* "GET", "HEAD", "POST", "PUT", "DELETE" */
    const char *url;     /* http or https */
    const char *headers; /* lines "Name: value" besides those of the options; NULL: none */
    const void *body;    /* borrowed; GET, HEAD and DELETE: NULL */
    size_t body_size;
    size_t max_body;       /* of the answer; 0: 1 MiB */
    uint32_t timeout_ms;   /* 0: as in the options; the smaller one of both counts */
    uint32_t max_redirect; /* 0: an answer 3xx is an answer like others */
    bool secret;           /* what comes is zeroised wherever it was copied to, as far as libcurl lets us */
    bool direct;           /* through no proxy, whatever the environment says */
} vpi_http_request;

/*
 * status: that of HTTP, also 4xx and 5xx, which are no failures here. headers: lines "name: value\n" as the server sent
 * them, without the first line. Zeroed before the first use.
 */
typedef struct vpi_http_answer {
    int status;
    vpi_buf headers, body;
    char *redirect; /* where a 3xx that was not followed leads to, absolute; NULL: nowhere */
} vpi_http_answer;

/*
 * On this thread; sees cancel (may be NULL) and the end of the context within 0.2 s. Redirects go from https to https
 * only, and leave the headers of the options and of the request behind where they lead to another host; with a body
 * only 307 and 308 of the same host are followed. Errors: IO CONNECTION_FAILED, IO TLS_FAILED, LIMIT TIMEOUT, LIMIT
 * INPUT_LIMIT (max_body), CANCELED, ARG, NOMEM, STATE. Texts name scheme, host and port, never user info, path, query.
 */
vp_status vpi_http_request_run(vpi_http *http, const vpi_http_request *request, vp_cancel *cancel,
                               vpi_http_answer *out, vp_error *err);
/* First header of that name (any case) into to, cut at capacity; false: none. */
bool vpi_http_header(const vpi_http_answer *answer, const char *name, char *to, size_t capacity);
/*
 * An answer of HTTP/1 as it came, behind any of 1xx; the body may be cut off. False: its head is not whole, or no
 * memory.
 */
bool vpi_http_parse(const void *data, size_t size, vpi_http_answer *out);
void vpi_http_answer_dispose(vpi_http_answer *answer); /* zeroises; leaves an empty one */
/* 408, 425, 429 and 5xx but 501 and 505: the same request may work later (RFC 9110 15). */
bool vpi_http_retryable(int status);
/* A number of decimal digits at *p, which then stands behind it. False: none, or above INT64_MAX. */
bool vpi_http_number(const char **p, uint64_t *out);
/* Content-Range of 206, "bytes 0-9/100" (RFC 9110 14.4), and of 416, "bytes *" "/100": there first is above last. */
bool vpi_http_content_range(const vpi_http_answer *answer, uint64_t *first, uint64_t *last, uint64_t *total);
/* Scheme, host and port of a url for messages; "?" for what is no url. */
void vpi_http_origin(const char *url, char *to, size_t capacity);

#endif
