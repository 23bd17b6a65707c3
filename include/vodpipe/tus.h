/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_TUS_H
#define VODPIPE_TUS_H

/*
 * Resumable uploads over HTTP without sockets: tus 1.0 (tus.io/protocols/resumable-upload), and the IETF's draft
 * behind an entry point of its own. Tier 3. The host's server hands in what it read and sends what comes back
 * (docs/uploads.md has a whole server):
 *
 *     vp_tus_begin(tus, "PATCH", "/files/24e5", headers, tag, &request)
 *     until the request is answered, by vp_tus_state(request):
 *     VP_TUS_ASK     look at vp_tus_get_info: who is it, may it?  vp_tus_accept or vp_tus_reject
 *     VP_TUS_BODY    vp_tus_body for each piece of the body, vp_tus_end after the last, also where there is no body
 *     VP_TUS_BUSY    with a queue only: wait for VP_EVENT_UPLOAD_SYNCED with the request's tag, then vp_tus_step
 *     VP_TUS_ANSWER  send vp_tus_status, vp_tus_answer_header, vp_tus_answer_body or _source; vp_tus_close
 *
 * ASK comes twice in the life of an upload: when a request begins (each request but OPTIONS, and not those that are
 * wrong by their headers alone), and, with operation VP_TUS_FINISH, when all bytes are there, durable and hashed, and
 * the last request is about to be answered; vp_ingest_source then gives them. Between ASK and accept the host may do
 * what it likes for as long as it likes: ask its database, wait. BODY comes for creations and PATCH, with or without a
 * body.
 *
 * Extensions: creation, creation-with-upload, creation-defer-length, expiration, checksum, checksum-trailer,
 * termination, concatenation and, where allowed, concatenation-unfinished. X-HTTP-Method-Override is obeyed, and told
 * as the method.
 *
 * Parts of a concatenation are not asked for at their end. An upload whose last request was lost behind the last byte,
 * and a concatenation that waited for its parts, are finished, and asked for, by the first HEAD that finds them whole,
 * since clients that see all bytes there do not come again. So is one whose request was closed before the host answered
 * VP_TUS_FINISH, in this process. (For the same reason a host that was killed between FINISH and its own record of it
 * looks for FINISHED uploads with vp_ingest_list when it starts.)
 *
 * Everything that is wrong with a request is its answer (a status of 400 and above), also what the storage refuses or
 * fails at; nothing of its messages is in answers. A call fails only for what is wrong with the call (ARG, STATE), and
 * for NOMEM before anything of the request was done; later want of memory is an answer of 503. vp_tus_body and
 * vp_tus_end of a request that has its answer already do nothing. A creation with bytes that is refused behind them
 * leaves no upload, unless the host gave the id or took a 104: its client was told no url.
 *
 * Limits: 64 KiB and 128 lines of headers (431), 256 pairs of metadata, VP_UPLOAD_METADATA_MAX for metadata and
 * Upload-Concat together. Memory of a request: about 1 KiB and its headers, besides its upload. Bytes of bodies are
 * not kept, but for the one piece of a request that is BUSY with it.
 */

#include <vodpipe/ingest.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vp_tus vp_tus;                 /* settings over a store; thread-safe */
typedef struct vp_tus_request vp_tus_request; /* one thread at a time */

/*
 * The IETF's draft that vp_tus_begin_draft speaks, and the number that its clients send as Upload-Draft-Interop-
 * Version; to others no 104 is sent.
 */
#define VP_TUS_DRAFT "draft-ietf-httpbis-resumable-upload-12"
#define VP_TUS_DRAFT_INTEROP 9

/* ---- settings ---- */

/* vp_tus_options.flags */
#define VP_TUSF_NO_GET 0x1u       /* 405: uploads are not given out */
#define VP_TUSF_NO_DELETE 0x2u    /* 405: no termination */
#define VP_TUSF_NO_CONCAT 0x4u    /* 400: no partial uploads */
#define VP_TUSF_CONCAT_EARLY 0x8u /* parts of a concatenation may be unfinished */
#define VP_TUSF_NO_DEFER 0x10u    /* 400: the length must be told at creation */
#define VP_TUSF_KEEP_REFUSED                                                                                 \
    0x20u                         /* reject at VP_TUS_FINISH leaves the upload FINISHED; else it is removed */
#define VP_TUSF_CREDENTIALS 0x40u /* CORS: browsers may send cookies; not with origins "*" */
#define VP_TUSF_DRAFT                                                                                        \
    0x80u /* the host takes the IETF's draft on the same paths; OPTIONS, which names no protocol, tells both */

typedef struct vp_tus_options {
    uint32_t struct_size;
    uint32_t flags;        /* VP_TUSF_* */
    const char *base_path; /* where creations go, "/files/" if NULL; an upload is at base_path and its id */
    const char *
        base_url; /* what Location begins with in place of base_path, "https://example.org/files/", or the path of it
                     alone; NULL: base_path */
    const char *origins; /* CORS: "*" or origins between spaces; NULL: no CORS headers */
    const char
        *allow_headers; /* CORS: request headers of the host's own, "Authorization, X-Csrf"; NULL: none */
    uint32_t min_rate;  /* bytes a second that a body must bring, over each 30 s; 0: 1024; UINT32_MAX: none */
    uint32_t max_wait_ms; /* longest time of a body without a byte, 503 then; 0: 60000 */
    vp_queue *
        queue; /* referenced; what waits for a disk is done behind, and the request BUSY; NULL: inside the call */
} vp_tus_options;
#define VP_TUS_OPTIONS_INIT                                                                                  \
    {                                                                                                        \
        (uint32_t)sizeof(vp_tus_options), 0, NULL, NULL, NULL, NULL, 0, 0, NULL                              \
    }
VP_API void vp_tus_options_init(vp_tus_options *options, size_t size);

VP_API vp_status vp_tus_new(vp_ingest *ingest, const vp_tus_options *options, vp_tus **out, vp_error *err);
VP_API vp_tus *vp_tus_ref(vp_tus *tus);
VP_API vp_tus *vp_tus_unref(vp_tus *tus);

/* ---- a request ---- */

/*
 * target: path as it came, percent-encoded, or a whole URL (RFC 9112 3.2.2), of which the path counts; a query is
 * ignored. headers: lines "Name: value\n" (or "\r\n"), in any case and order, at most 64 KiB. tag: of the events of
 * this request.
 */
VP_API vp_status vp_tus_begin(vp_tus *tus, const char *method, const char *target, const char *headers,
                              uint64_t tag, vp_tus_request **out, vp_error *err);
/*
 * The same for clients of the IETF's draft. (A server tells them apart: where Tus-Resumable is not there and
 * Upload-Complete is, or the method is HEAD or DELETE, it is the draft.)
 */
VP_API vp_status vp_tus_begin_draft(vp_tus *tus, const char *method, const char *target, const char *headers,
                                    uint64_t tag, vp_tus_request **out, vp_error *err);
/*
 * Also in the middle of a body, when the client is gone: what came is kept and made durable. With a queue it never
 * waits; in BUSY the event may still come, and the piece under way is kept only if no newer request takes the upload
 * before it. Where VP_TUS_FINISH has no answer by then, the next HEAD or PATCH asks. A request holds its handler up to
 * here; whoever gives up the last hold waits for what is still done behind closed requests, so that nothing of the host
 * (now_us, ops) is called after it. Returns NULL.
 */
VP_API vp_tus_request *vp_tus_close(vp_tus_request *request);

enum { VP_TUS_ASK = 1, VP_TUS_BODY = 2, VP_TUS_BUSY = 3, VP_TUS_ANSWER = 4 };
VP_API int32_t vp_tus_state(const vp_tus_request *request);

/* vp_tus_info.operation */
enum {
    VP_TUS_OPTIONS = 1,
    VP_TUS_CREATE = 2,
    VP_TUS_HEAD = 3,
    VP_TUS_PATCH = 4,
    VP_TUS_DELETE = 5,
    VP_TUS_GET = 6,
    VP_TUS_FINISH = 7 /* all bytes are durable: the host says whether it takes them */
};

/* vp_tus_info.flags */
#define VP_TUS_IS_PARTIAL 0x1u
#define VP_TUS_IS_FINAL 0x2u
#define VP_TUS_IS_DEFERRED 0x4u /* length is not known yet */
#define VP_TUS_HAS_BODY 0x8u    /* bytes of the file come with this request */
#define VP_TUS_IS_DRAFT 0x10u   /* by the IETF's draft */
#define VP_TUS_WAS_ASKED                                                                                     \
    0x20u /* FINISH of an upload that was FINISHED before this request: the answer, or a crash, may have
             come between. The host may have been asked already: do by id what is not done yet, accept again */

typedef struct vp_tus_info {
    uint32_t struct_size;
    int32_t operation;
    uint32_t flags;
    uint32_t metadata_count;
    uint64_t length;         /* of the upload; VP_SIZE_UNKNOWN */
    uint64_t offset;         /* PATCH: the client's */
    uint64_t content_length; /* of the body; VP_SIZE_UNKNOWN where it is not told */
    const char
        *parts; /* CREATE of a final upload: ids between spaces; else NULL; as long as the request lives */
    const char *origin; /* header Origin, or NULL */
    char id[68];        /* "" in CREATE */
    char sha256[68];    /* FINISH: hex */
} vp_tus_info;
#define VP_TUS_INFO_INIT                                                                                     \
    {                                                                                                        \
        (uint32_t)sizeof(vp_tus_info), 0, 0, 0, 0, 0, 0, NULL, NULL, { 0 },                                  \
        {                                                                                                    \
            0                                                                                                \
        }                                                                                                    \
    }
VP_API void vp_tus_info_init(vp_tus_info *info, size_t size);
VP_API vp_status vp_tus_get_info(const vp_tus_request *request, vp_tus_info *info, vp_error *err);
/*
 * Upload-Metadata number index, decoded: the client's bytes, a NUL after them. CREATE: of the request; FINISH: of the
 * upload. Not for file names or headers as they are. VP_END after the last. Valid as long as the request.
 */
VP_API vp_status vp_tus_metadata(const vp_tus_request *request, uint32_t index, const char **name,
                                 const void **value, uint64_t *size, vp_error *err);
/* A header of the request, or NULL; the first where it came twice. */
VP_API const char *vp_tus_request_header(const vp_tus_request *request, const char *name);

/* What the host adds to a creation. All may be NULL or 0. */
typedef struct vp_tus_accept_options {
    uint32_t struct_size;
    uint32_t reserved;
    const char *id;    /* in place of a random one */
    const char *scope; /* see vp_upload_options */
    const char
        *metadata; /* in place of the client's: as the header Upload-Metadata, "name base64,name base64" */
    uint64_t max_size; /* of this upload: 413; kept with it */
    uint64_t expire_ms;
    const char *headers; /* lines for the answer, in any ASK */
    const void *body;    /* for an answer of 200 or 201; text, unless headers have a Content-Type */
    uint64_t body_size;
} vp_tus_accept_options;
#define VP_TUS_ACCEPT_OPTIONS_INIT                                                                           \
    {                                                                                                        \
        (uint32_t)sizeof(vp_tus_accept_options), 0, NULL, NULL, NULL, 0, 0, NULL, NULL, 0                    \
    }
VP_API void vp_tus_accept_options_init(vp_tus_accept_options *options, size_t size);
/* In ASK. options NULL: as asked for; all but headers and body matter in CREATE only. */
VP_API vp_status vp_tus_accept(vp_tus_request *request, const vp_tus_accept_options *options, vp_error *err);
/*
 * In ASK, and in BODY to stop early. status 400 to 599; headers: lines, or NULL; body (may be NULL) is copied. What was
 * written before counts (BODY of a PATCH; of a creation only where the client may know it, see above), or see
 * VP_TUSF_KEEP_REFUSED (FINISH).
 */
VP_API vp_status vp_tus_reject(vp_tus_request *request, int32_t status, const char *headers, const void *body,
                               uint64_t size, vp_error *err);
/*
 * In BODY. A piece of any size, of the body without its transfer coding. The state may change to ANSWER (too long,
 * disk full, taken over by a newer request): the rest of the body is not wanted. With a queue it may change to BUSY:
 * the disk is behind, the request has a copy of the piece, and the next is wanted when it is in BODY again. (Do not
 * read from the socket meanwhile, and the client slows down.)
 */
VP_API vp_status vp_tus_body(vp_tus_request *request, const void *data, uint64_t size, vp_error *err);
/* The body is over; trailers: lines, or NULL. Also to be called when there is no body. */
VP_API vp_status vp_tus_end(vp_tus_request *request, const char *trailers, vp_error *err);
/* In BUSY after the request's event (or at any time): goes on if it can, else the state stays BUSY. */
VP_API vp_status vp_tus_step(vp_tus_request *request, vp_error *err);
/*
 * Milliseconds until the request must have brought more (min_rate, max_wait_ms), for the host's timer; 0: it is late,
 * and answers 503 now; -1: nothing to wait for. Also 0, and an answer, when a newer request of this process has taken
 * the upload.
 */
VP_API int64_t vp_tus_due(vp_tus_request *request);

/* ---- the answer ---- */

/* An interim answer of the draft (104) that should be sent now: its status and "Name: value\n" lines; 0: none. Once. */
VP_API int32_t vp_tus_interim(vp_tus_request *request, const char **headers);
VP_API int32_t vp_tus_status(const vp_tus_request *request); /* 0 before ANSWER */
/* Header number index; VP_END after the last. Content-Length is among them. Valid as long as the request. */
VP_API vp_status vp_tus_answer_header(const vp_tus_request *request, uint32_t index, const char **name,
                                      const char **value, vp_error *err);
/* data NULL, size 0: none. */
VP_API vp_status vp_tus_answer_body(const vp_tus_request *request, const void **data, uint64_t *size,
                                    vp_error *err);
/* GET: size bytes of *out (the caller's) at offset are the body. VP_END: it is that of vp_tus_answer_body. */
VP_API vp_status vp_tus_answer_source(vp_tus_request *request, vp_source **out, uint64_t *offset,
                                      uint64_t *size, vp_error *err);

#ifdef __cplusplus
}
#endif

#endif
