/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_HTTP_INT_H
#define VPI_HTTP_INT_H

/* Private to lib/http, where libcurl is: a client and its connections, and what all requests have in common. */

#include <curl/curl.h>
#include <signal.h>

#include "http/http.h"

#define VPI_HTTP_ORIGIN 300
#define VPI_HTTP_MAX_BODY ((size_t)1 << 20)

/* One request at a time goes through it; its connections stay open for the next. */
typedef struct vpi_http_slot {
    CURLM *multi;
    CURL *easy;
    struct vpi_http_slot *next;
} vpi_http_slot;

struct vpi_http {
    vp_context *context;
    uint32_t fork_mark;
    uint32_t connect_timeout_ms, timeout_ms;
    char *ca_file, *cert_file, *key_file, *key_passphrase, *headers, *user_agent;
    pthread_mutex_t lock;
    struct {
        vpi_http_slot *idle;
        unsigned idle_count;
    } synced;
};

/* client.c */
vp_status vpi_http_slot_take(vpi_http *http, vpi_http_slot **out, vp_error *err);
void vpi_http_slot_give(vpi_http *http, vpi_http_slot *slot, bool reuse);

/*
 * Around all that libcurl does to a connection on a thread of the host. Its resolver threads inherit a mask without
 * signals, as all threads of the library have; and a SIGPIPE of a TLS connection that the server has closed is taken
 * away: with CURLOPT_NOSIGNAL libcurl leaves it to us (https://curl.se/libcurl/c/CURLOPT_NOSIGNAL.html). Never around
 * waiting: signals of the host must arrive. Threads of the library need it not: they block all signals, and what is
 * pending for a thread ends with it.
 */
typedef struct vpi_calm {
    sigset_t mask;
    bool pipe_pending; /* before, so not ours */
} vpi_calm;
void vpi_calm_begin(vpi_calm *calm);
void vpi_calm_end(const vpi_calm *calm);

/* Headers of a request as libcurl takes them. A zeroed one is empty; clear keeps the memory; both ends wipe. */
typedef struct vpi_http_lines {
    vpi_buf text; /* lines with a NUL in place of their break */
    struct curl_slist *nodes;
    size_t count, capacity;
} vpi_http_lines;
/*
 * In place of what was there: lines of both texts (each may be NULL), and what keeps libcurl from adding its own.
 * False: no memory. *list is good until the next call.
 */
bool vpi_http_lines_set(vpi_http_lines *lines, const char *first, const char *second, bool expect,
                        struct curl_slist **list);
void vpi_http_lines_clear(vpi_http_lines *lines);
void vpi_http_lines_dispose(vpi_http_lines *lines);
/* Lines of "Name: value"; a line break inside a name or value would be another header. NULL is valid. */
bool vpi_http_headers_valid(const char *lines);
bool vpi_http_named(const char *lines, const char *name);

/* What comes in of one request, and where it goes to. */
typedef struct vpi_http_intake {
    CURL *easy;
    vpi_http_answer *answer;
    size_t max_body;
    void *to; /* the body of an answer 200 or 206, in place of answer->body; NULL: nowhere */
    size_t to_capacity, to_size;
    bool secret;          /* libcurl's copies are wiped */
    bool answered;        /* a line of an answer has come */
    bool interim;         /* and it was of 100 Continue or the like */
    bool begun, straight; /* a byte of the body has come; and goes to `to` */
    bool too_large;
    char why[CURL_ERROR_SIZE];
} vpi_http_intake;
/* Empties answer and all flags. max_body 0: 1 MiB. */
void vpi_http_intake_begin(vpi_http_intake *intake, vpi_http_answer *answer, size_t max_body);

#define VPI_CURL_SET(ok, easy, option, value)                                                                \
    ((ok) = (ok) && curl_easy_setopt((easy), (option), (value)) == CURLE_OK)
/* All that a fresh easy handle has to be told but for the request. False: no memory. */
bool vpi_http_set_safety(const vpi_http *http, vpi_http_intake *intake, bool certificate);
/* What its connections decipher is wiped. Costs time where much is read. */
void vpi_http_set_wiping(CURL *easy);
/* Also on a handle that had another method before. */
bool vpi_http_set_method(CURL *easy, const char *method, const void *body, size_t size);
/* The status and text of a transfer that ended with code, not CURLE_OK. */
vp_status vpi_http_fail(const vpi_http_intake *intake, const char *url, CURLcode code, vp_error *err);

#endif
