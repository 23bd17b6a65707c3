/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPLOAD_SERVER_H
#define UPLOAD_SERVER_H

/*
 * upload-server: tus uploads into a directory, each published when it is whole, in one process. A few threads of
 * libmicrohttpd move bytes; one that waits for the disk leaves the others' connections alone, and what many of them
 * wait for costs one sync. Another thread publishes, one title at a time. A server with one event loop gives vp_tus a
 * queue instead (docs/uploads.md).
 */

#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>

#include <vodpipe/vodpipe.h>

#define IDLE_S 75 /* of a connection; a little more than vp_tus has for a body */

typedef struct settings {
    const char *data; /* folder of all that is kept */
    char host[256];
    uint16_t port; /* 0: any */
    uint64_t max_size, expire_s, sync;
    bool publish, refuse, quick; /* quick: nothing is synced, for measuring */
    const char *url;             /* what Location begins with; NULL: a path */
} settings;

#define TITLE_BUCKETS 8192
#define TITLES_KEPT                                                                                          \
    4096 /* at whom nobody works; of older ones the outcome is read again when somebody asks */

typedef struct title_list {
    struct title *first, *last;
    size_t count;
} title_list;

/* What is known of an upload that is, or will be, a title. */
typedef struct title {
    struct title *next;            /* of its bucket */
    struct title *before, *behind; /* in one of the server's lists, or in none while it is published */
    title_list *list;
    char id[68];
    char *line;                /* the newest event, as JSON; NULL: none yet */
    uint64_t number;           /* rises with each line */
    char refused[32];          /* why its first bytes cannot become a title; "" */
    bool looked;               /* and nothing more is to be seen in them */
    bool queued, begun, ended; /* begun: is published right now */
    unsigned tries;            /* that failed for what may pass */
    int64_t due;               /* of the next; ms of the monotonic clock */
} title;

typedef struct request request;   /* of an upload; requests.c */
typedef struct listener listener; /* a connection that reads events; pages.c */

typedef struct server {
    settings set;
    vp_context *context;
    vp_ingest *ingest;
    vp_tus *tus;
    vp_queue *queue;    /* of the store and of requests */
    vp_cancel *stop;    /* suspends the publish that runs */
    vp_store *outcomes; /* ID.done and ID.failed: which titles need no more work */
    struct http *http;
    char *tus_script, *player_script; /* "" where they could not be had when this was built */

    pthread_mutex_t refusals_lock;
    request *refusals; /* whose body is thrown away, and that were not answered */

    pthread_mutex_t lock; /* of all below */
    pthread_cond_t more;  /* a title is to be looked at or queued, or stopping */
    title *titles[TITLE_BUCKETS];
    title_list looks, whole; /* to be looked at; to be published */
    title_list idle;         /* everybody else: who was asked for last is last */
    uint64_t numbers;        /* of lines */
    listener *listeners;
    bool stopping;
} server;

/* ---- main.c: what libmicrohttpd calls for a request, and at its end ---- */

enum MHD_Result on_request(void *user, struct MHD_Connection *c, const char *target, const char *method,
                           const char *version, const char *data, size_t *size, void **state);
void on_end(void *user, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode why);

/* ---- http.c: connections onto threads ---- */

typedef struct http http;
/* Listens, and says so; NULL: it cannot, and said why. */
http *http_start(server *s);
void http_stop(http *h);

/* ---- requests.c: /files/ ---- */

/* NULL: where the body ends, if there is one, and whose the request is are beyond doubt. Else the text of a 400. */
const char *request_unclear(struct MHD_Connection *c, const char *version);
/* Of the body, as the headers tell; UINT64_MAX: only its end will tell. */
uint64_t request_size(struct MHD_Connection *c);
/* What libmicrohttpd calls for one request, again and again; *state is NULL at first. */
enum MHD_Result upload_request(server *s, struct MHD_Connection *c, const char *target, const char *method,
                               const char *data, size_t *size, request **state);
/* The connection is done with it, or gone. */
void upload_request_end(request *r, enum MHD_RequestTerminationCode why);
/* Behind an answer: who has closed his half has no other request, of which libmicrohttpd is told but once. */
void close_soon_if_over(struct MHD_Connection *c);
void requests_watch(
    server *s); /* some times a second: bodies that stand still and were refused are answered */

/* ---- pages.c: everything else that is asked for ---- */

enum MHD_Result page_request(server *s, struct MHD_Connection *c, const char *target, const char *method);
enum MHD_Result answer_text(struct MHD_Connection *c, unsigned status, const char *type, const char *text);
/* With the lock: who listens to the title hears of its newest line. */
void wake_listeners(server *s, const title *t);
void beat_listeners(server *s); /* now and then: who is gone is found by writing */
void drop_listeners(server *s); /* before the daemon is stopped */

/* ---- titles.c: what is known of uploads, and looking at what is being uploaded ---- */

void titles_add(server *s, const char *id);    /* whole: to be published */
void titles_look(server *s, const char *id);   /* its first bytes are there */
title *titles_find(server *s, const char *id); /* with the lock, as all that give or take a title; NULL */
title *titles_find_or_add(server *s, const char *id);
void titles_move(server *s, title *t, title_list *to); /* NULL: out of all, so that it stays */
void titles_tell(server *s, title *t, const char *line, bool ended);
/* Whether the first bytes of an upload have shown that it cannot become a title; reason gets the name. */
bool titles_refused(server *s, const char *id, char *reason, size_t size);
void *titles_look_thread(void *user);
void titles_free(server *s);

/* ---- publish.c ---- */

/* Two threads: one looks at what is being uploaded, one publishes, also what a stopped server left. */
bool publish_start(server *s, pthread_t threads[2], vp_error *err);
/* A title that has ended, also in an earlier run. Not with the lock. */
bool publish_recall(server *s, const char *id);

/* ---- text.c ---- */

bool id_valid(const char *id, size_t size);
/* DIR/name/id in to; false when it does not fit. */
bool path_of(const server *s, const char *name, const char *id, char *to, size_t size);
void remove_tree(const char *path);  /* as far as it goes */
int64_t now_ms(void);                /* of the monotonic clock */
char *read_beside(const char *name); /* a file in the folder of this program, or "" */

#endif
