/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_INGEST_TUS_INT_H
#define VPI_INGEST_TUS_INT_H

/*
 * A request goes through steps; what may wait for a disk is a function of the request, run inside the call or, with a
 * queue, on a pool. A step ends by setting r->next (a VP_TUS_* state), after it made the answer, if any.
 */

#include <pthread.h>
#include <stdatomic.h>

#include <vodpipe/tus.h>

#include "base/error.h"
#include "ingest/threads.h"
#include "ingest/tus_store.h"
#include "ingest/tus_sum.h"
#include "ingest/tus_text.h"

#define VPI_TUS_BODY_TYPE "application/offset+octet-stream"

typedef struct vpi_tus_owed vpi_tus_owed;

struct vp_tus {
    atomic_uint refs;
    uint32_t flags, min_rate, max_wait_ms;
    vp_ingest *ingest;
    vp_queue *queue;
    vpi_threads *pool; /* with a queue */
    char *base_path, *base_url, *origins, *allow_headers;
    int64_t (*clock)(void *user); /* microseconds, never goes back */
    void *clock_user;
    pthread_mutex_t owed_lock;
    vpi_tus_owed *owed; /* tus_owed.c */
    unsigned owed_count;
};

/* What vp_tus_accept added to a creation. */
typedef struct vpi_tus_extra {
    char *id, *scope, *metadata;
    uint64_t max_size, expire_ms;
} vpi_tus_extra;

struct vp_tus_request {
    vp_tus *tus;
    uint64_t tag;
    int32_t state, next;
    int32_t operation;
    bool draft, finishing; /* finishing: ASK is VP_TUS_FINISH */
    bool answered;         /* that, by the host */
    bool head;             /* the method of the request line: no content goes out, whatever overrides it */

    /* the request */
    vpi_tus_fields fields;
    uint32_t flags; /* VP_TUS_IS_* and so on */
    char id[68], sha256[68];
    uint64_t length, offset, content_length;
    uint64_t new_length; /* PATCH: told with it; VP_SIZE_UNKNOWN */
    bool length_later;   /* it becomes the upload's when the checksum was found right */
    char *parts;
    vpi_tus_metadata metadata; /* of the request; in FINISH of the upload */
    vpi_tus_metadata replaced; /* the client's, where the host gave others: it may have pointers to them */
    vpi_tus_sum sum;
    bool trailer;  /* the checksum comes behind the body */
    bool no_bytes; /* a creation with a body that is empty */
    bool untyped;  /* a creation whose body must be empty, as nothing says what it is */
    char *digest;  /* draft: of the whole, as vp_upload_options.digest */
    vpi_tus_extra extra;
    bool lost;              /* a creation that was refused: its client never learns the url */
    bool complete, interop; /* draft: Upload-Complete: ?1, Upload-Draft-Interop-Version is ours */

    /* the upload */
    vp_upload *upload;
    vpi_tus_kept kept;
    vp_upload_info info; /* as last seen */
    uint64_t limit;      /* most bytes; VP_SIZE_UNKNOWN */

    /* the body */
    uint64_t at, received;
    uint64_t told; /* draft: offset in the last interim answer */
    vpi_tus_sums *sums;
    int64_t last_us, window_us;
    uint64_t window_bytes;
    struct {
        uint8_t *data;
        size_t size;
        bool longer; /* there were more than the upload has room for */
    } piece;         /* that waits for the disk, with a queue */

    /* the answer */
    int32_t status;
    vpi_buf headers; /* name NUL value NUL ... */
    uint32_t header_count;
    vpi_buf text;           /* body */
    vpi_tus_fields host[2]; /* headers that the host gave at accept */
    vpi_buf host_text;
    vp_source *source;
    uint64_t source_from, source_size;
    vpi_buf interim;
    bool interim_new, url_told; /* url_told: the host has had a 104 to send */

    /* a step that is run by the pool */
    void (*work)(vp_tus_request *r);
    vpi_threads_job job;
    void *room;         /* for its event */
    atomic_bool done;   /* the pool is through with it */
    atomic_bool closed; /* nobody waits for it any more */
    atomic_uint owners;
};

/* For tests: the clock of min_rate and max_wait_ms. */
void vpi_tus_set_clock(vp_tus *tus, int64_t (*clock)(void *user), void *user);

/* ---- what a request asks for (tus_begin.c, draft.c): sets operation and next ---- */

void vpi_tus_parse(vp_tus_request *r, const char *method, const char *target);
void vpi_draft_parse(vp_tus_request *r, const char *method, const char *target);
/* Content-Length and Transfer-Encoding; false: refused. */
bool vpi_tus_parse_body(vp_tus_request *r);
/* The id behind the base; false: refused. *creation: it is the base itself. */
bool vpi_tus_parse_target(vp_tus_request *r, const char *target, bool *creation);

/* ---- steps (tus_work.c, tus_look.c) ---- */

/* Inside the call, or on the pool: r->state is BUSY then. */
void vpi_tus_run(vp_tus_request *r, void (*work)(vp_tus_request *r));
void vpi_tus_work_create(vp_tus_request *r);
void vpi_tus_work_open(vp_tus_request *r);
void vpi_tus_work_end(vp_tus_request *r);
void vpi_tus_work_remove(vp_tus_request *r);  /* of a refused upload: the answer is there already */
void vpi_tus_work_look(vp_tus_request *r);    /* HEAD */
void vpi_tus_work_give(vp_tus_request *r);    /* GET */
void vpi_tus_work_delete(vp_tus_request *r);  /* DELETE */
void vpi_tus_work_release(vp_tus_request *r); /* closes the upload, and removes what is lost */
/* r->info and r->kept by what is stored. */
vp_status vpi_tus_stat(vp_tus_request *r, vp_error *err);
vp_status vpi_tus_keep(vp_tus_request *r, const vp_bytes *metadata, vp_error *err);
/* The upload is whole and finished: the host shall be asked. Closes the handle. */
void vpi_tus_ask_finish(vp_tus_request *r);
void vpi_tus_free(vp_tus_request *r);

/* ---- questions that are not answered (tus_owed.c) ---- */

/* Of a request that is closed; until the host has answered, a HEAD that finds the upload finished asks. */
void vpi_tus_owe(vp_tus *tus, const char *id);
bool vpi_tus_owes(vp_tus *tus, const char *id);
void vpi_tus_settle(vp_tus *tus, const char *id);
void vpi_tus_owed_dispose(vp_tus *tus);

/* ---- the body (tus_body.c) ---- */

void vpi_tus_body_start(vp_tus_request *r);

/* ---- answers (tus_answer.c, tus_reply.c) ---- */

/* Begins one: forgets what was begun before, sets the headers that all have. */
void vpi_tus_answer(vp_tus_request *r, int32_t status);
void vpi_tus_header(vp_tus_request *r, const char *name, const char *format, ...) VPI_PRINTF(3, 4);
/* A whole answer with a line of text, and r->next. */
void vpi_tus_refuse(vp_tus_request *r, int32_t status, const char *text);
/* By the table of the store's failures. */
void vpi_tus_refuse_status(vp_tus_request *r, vp_status st, const vp_error *err);
/* The end of each answer: its length, r->next. */
void vpi_tus_answer_done(vp_tus_request *r);
void vpi_tus_cors(vp_tus_request *r, bool preflight);

void vpi_tus_expires(vp_tus_request *r); /* Upload-Expires, where the upload has one */
void vpi_tus_reply_options(vp_tus_request *r);
/* CREATE and PATCH that went well, also after FINISH; HEAD; by r->info. */
void vpi_tus_reply_written(vp_tus_request *r);
void vpi_tus_reply_head(vp_tus_request *r);
void vpi_tus_reply_get(vp_tus_request *r);
/* Of the draft. */
void vpi_draft_reply_written(vp_tus_request *r);
void vpi_draft_reply_head(vp_tus_request *r);
void vpi_draft_options(vp_tus_request *r); /* what OPTIONS is told */
void vpi_draft_limits(vp_tus_request *r);
void vpi_draft_refuse_offset(vp_tus_request *r, uint64_t expected);
void vpi_draft_refuse_length(vp_tus_request *r);
void vpi_draft_interim_location(vp_tus_request *r);
void vpi_draft_interim_offset(vp_tus_request *r);

#endif
