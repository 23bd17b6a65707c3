/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_S3_H
#define VODPIPE_S3_H

/*
 * Object storage that speaks S3: signatures and presigned addresses without I/O, a client (vp_s3) with its transfers,
 * and sinks, sources and work stores over a bucket. Tier 3.
 *
 *     vp_s3_new (options, credentials)
 *         -> vp_s3_put, vp_s3_head, vp_s3_list, ...       one call, one operation
 *         -> vp_s3_upload_begin / part / complete         multipart in the host's hands, its token kept by the host
 *         -> vp_sink_s3, vp_source_s3, vp_store_s3        what jobs take
 *
 * Failures: AUTH S3_BAD_CREDENTIALS, S3_ACCESS_DENIED, CREDENTIALS_MISSING; IO S3_ERROR (native: the HTTP status; the
 * text names the server's code), S3_SLOW_DOWN, CONNECTION_FAILED, TLS_FAILED; LIMIT TIMEOUT; VP_END where there is no
 * such object. What may work later has been tried again before it is told (vp_s3_options.attempts). Secrets are in no
 * log, error, token or file, and are zeroised with the last reference. UNSUPPORTED FEATURE_DISABLED in a library
 * without
 * libcurl, OpenSSL, expat or zlib.
 */

#include <vodpipe/http.h>
#include <vodpipe/ingest.h>
#include <vodpipe/io.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- credentials ---- */

typedef struct vp_s3_credentials {
    uint32_t struct_size;
    uint32_t reserved;
    const char *access_key;
    const char *secret_key;
    const char *session_token; /* NULL: none */
    int64_t expires_us;        /* microseconds since 1970; 0: never */
} vp_s3_credentials;
#define VP_S3_CREDENTIALS_INIT                                                                               \
    {                                                                                                        \
        (uint32_t)sizeof(vp_s3_credentials), 0, NULL, NULL, NULL, 0                                          \
    }
VP_API void vp_s3_credentials_init(vp_s3_credentials *credentials, size_t size);

/*
 * The host's answer: vp_s3_reply_set copies, once a call. The callback comes from a library thread, or from the host's
 * own in a call of this header; never from the one that moves bytes, so it may take its time. It is asked before the
 * first request, five minutes before what it gave expires, and when a server says that it has; one call at a time for
 * each client. A negative status is what waiting requests fail with.
 */
typedef struct vp_s3_reply vp_s3_reply;
VP_API vp_status vp_s3_reply_set(vp_s3_reply *reply, const vp_s3_credentials *credentials, vp_error *err);
typedef vp_status (*vp_s3_credentials_fn)(void *user, vp_s3_reply *reply, vp_error *err);

/* ---- signatures, without I/O ---- */

/* vp_s3_request.flags; S3 wants none of them, other services of AWS the first two */
#define VP_S3_SIGN_NORMALIZE 0x1u      /* "." and ".." and "//" of the path are resolved */
#define VP_S3_SIGN_ENCODE_TWICE 0x2u   /* the path as it is in the url is encoded once more */
#define VP_S3_SIGN_TOKEN_AFTER 0x4u    /* the session token is added, not signed */
#define VP_S3_SIGN_NO_BODY_HEADER 0x8u /* x-amz-content-sha256 is not added, payload_sha256 only signed */

/* What is signed. Strings are borrowed during the call. */
typedef struct vp_s3_request {
    uint32_t struct_size;
    uint32_t flags;
    const char *method;
    const char *url; /* as it goes to the server: scheme, host, path and query; names and values encoded */
    const char *headers; /* lines "Name: value" that are signed besides those that are added; NULL: none */
    const char *region;
    const char *service; /* NULL: "s3" */
    const char
        *payload_sha256; /* 64 hex digits; NULL: "UNSIGNED-PAYLOAD"; or another word that the service knows */
    int64_t time_us;     /* microseconds since 1970; 0: now */
    uint32_t expires_s;  /* vp_s3_presign: 1 to 604800 (7 days); 0: 3600 */
    uint32_t reserved;
} vp_s3_request;
#define VP_S3_REQUEST_INIT                                                                                   \
    {                                                                                                        \
        (uint32_t)sizeof(vp_s3_request), 0, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0                      \
    }
VP_API void vp_s3_request_init(vp_s3_request *request, size_t size);

/*
 * AWS Signature Version 4 (docs.aws.amazon.com, "Create a signed AWS API request"). *lines: the headers to add,
 * "Name: value\n" each, Authorization the last. Pure, any thread. ARG for what cannot be signed, NOMEM.
 */
VP_API vp_status vp_s3_sign(const vp_s3_request *request, const vp_s3_credentials *credentials,
                            vp_bytes **lines, vp_error *err);
/*
 * *url: the address with the signature in its query; headers given in the request must be sent with it as they are.
 * With payload_sha256 the body must be that one (X-Amz-Content-Sha256). It ends with the credentials, too.
 */
VP_API vp_status vp_s3_presign(const vp_s3_request *request, const vp_s3_credentials *credentials,
                               vp_bytes **url, vp_error *err);

/*
 * A body that is signed in chunks while it is made, for hosts that send it themselves ("Transferring Payload in
 * Multiple Chunks"; vp_s3_put and the like do not need it). What is sent is: text of next, data, text of next, data,
 * ..., text of end. Pure; one caller at a time.
 *
 *     begin (request, credentials) -> lines, as of vp_s3_sign
 *     next (64 KiB) -> text ... next (the rest) -> text, end (trailer) -> text
 *
 * request.payload_sha256 is one of the words below; request.headers has x-amz-decoded-content-length: the bytes
 * without the texts; with a trailer x-amz-trailer: its names; and for S3 "Content-Encoding: aws-chunked" (versitygw
 * does without, and would keep it with the object).
 */
#define VP_S3_CHUNKS_SIGNED "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
#define VP_S3_CHUNKS_SIGNED_TRAILER "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
#define VP_S3_CHUNKS_TRAILER "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
#define VP_S3_CHUNK_MIN 8192u /* bytes of each chunk but the last */
typedef struct vp_s3_chunks vp_s3_chunks;
VP_API vp_status vp_s3_chunks_begin(const vp_s3_request *request, const vp_s3_credentials *credentials,
                                    vp_bytes **lines, vp_s3_chunks **out, vp_error *err);
VP_API vp_s3_chunks *vp_s3_chunks_ref(vp_s3_chunks *chunks);
VP_API vp_s3_chunks *vp_s3_chunks_unref(vp_s3_chunks *chunks);
/* STATE after the end, after a chunk below the least size, and for more bytes than were told. */
VP_API vp_status vp_s3_chunks_next(vp_s3_chunks *chunks, const void *data, uint64_t size, vp_bytes **text,
                                   vp_error *err);
/* trailer: lines "x-amz-checksum-crc32c: ...", values by the bytes; NULL: none. STATE where bytes are missing. */
VP_API vp_status vp_s3_chunks_end(vp_s3_chunks *chunks, const char *trailer, vp_bytes **text, vp_error *err);
/* Content-Length of size bytes in chunks of chunk_size, the last one smaller; trailer: any values of right length. */
VP_API vp_status vp_s3_chunks_size(const char *payload_sha256, uint64_t size, uint64_t chunk_size,
                                   const char *trailer, uint64_t *out, vp_error *err);

/*
 * A form with which a browser uploads straight to the bucket ("Browser-based uploads using POST"). Where content_type
 * is a beginning or NULL the form itself adds a field "Content-Type" with the type of the file.
 */
typedef struct vp_s3_post {
    uint32_t struct_size;
    uint32_t expires_s; /* as in vp_s3_request */
    const char *url;    /* of the bucket: where the form goes */
    const char *bucket; /* its name, which a policy must tell and url does not always show */
    const char *region;
    const char *key; /* the one name; or, ending in "${filename}", what names must begin with */
    const char
        *content_type; /* the one type, or "video/" and the like: what types must begin with; NULL: any */
    const char
        *fields; /* lines "name: value": further fields that the form must have as they are; NULL: none */
    uint64_t min_size, max_size; /* bytes; max 0: 5 GiB, the most that S3 takes so */
    int64_t time_us;             /* 0: now */
} vp_s3_post;
#define VP_S3_POST_INIT                                                                                      \
    {                                                                                                        \
        (uint32_t)sizeof(vp_s3_post), 0, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0                         \
    }
VP_API void vp_s3_post_init(vp_s3_post *post, size_t size);
/* *json: {"url":"...","fields":{"key":"...","policy":"...",...}} for the form, the file field to come last. */
VP_API vp_status vp_s3_post_policy(const vp_s3_post *post, const vp_s3_credentials *credentials,
                                   vp_bytes **json, vp_error *err);

/*
 * CloudFront's signed addresses and cookies ("Serve private content with signed URLs and signed cookies"). With only
 * url and expires_s a canned policy; with any of the others, with '*' in url or with another address a custom one, in
 * which url may hold '*' (any bytes) and '?' (any one). AUTH KEY_INVALID for a key that is none of those named below.
 */
typedef struct vp_cloudfront {
    uint32_t struct_size;
    uint32_t flags; /* VP_CLOUDFRONT_* */
    const char *key_pair_id;
    const void *private_key; /* PEM or DER: RSA of 2048 bits, or ECDSA P-256 */
    uint64_t private_key_size;
    const char *passphrase; /* NULL: none */
    const char *url;        /* what is allowed, percent-encoded */
    int64_t expires_s;      /* seconds since 1970 */
    int64_t starts_s;       /* 0: at once */
    const char *ip;         /* IPv4, "192.0.2.0/24" or one address; NULL: any */
} vp_cloudfront;
#define VP_CLOUDFRONT_INIT                                                                                   \
    {                                                                                                        \
        (uint32_t)sizeof(vp_cloudfront), 0, NULL, NULL, 0, NULL, NULL, 0, 0, NULL                            \
    }
#define VP_CLOUDFRONT_SHA256 0x1u /* Hash-Algorithm=SHA256; without it SHA-1, which is CloudFront's default */
#define VP_CLOUDFRONT_CUSTOM 0x2u /* a custom policy also where a canned one would do */
VP_API void vp_cloudfront_init(vp_cloudfront *cloudfront, size_t size);
/* address: the one to sign, which url must allow; NULL: url itself (then without '*'). */
VP_API vp_status vp_cloudfront_sign_url(const vp_cloudfront *cloudfront, const char *address, vp_bytes **url,
                                        vp_error *err);
/* Lines "CloudFront-Policy=...\n": three or four names and values for Set-Cookie, which the host completes (Domain). */
VP_API vp_status vp_cloudfront_sign_cookies(const vp_cloudfront *cloudfront, vp_bytes **lines, vp_error *err);

/* ---- client ---- */

/*
 * One endpoint with its credentials, connections, pace and what was learned of it (regions of buckets, its clock).
 * Thread-safe. A thread of its own moves bytes, from the first request on; calls wait for it on the caller's thread.
 */
typedef struct vp_s3 vp_s3;

/* vp_s3_options.vendor: checksums and sizes of parts that this one takes */
enum {
    VP_S3_VENDOR_AUTO = 0, /* by the host name: AWS, R2, GCS, B2; any other as MinIO */
    VP_S3_VENDOR_AWS = 1,
    VP_S3_VENDOR_MINIO = 2,
    VP_S3_VENDOR_R2 = 3,
    VP_S3_VENDOR_GCS = 4,
    VP_S3_VENDOR_B2 = 5
};

/* vp_s3_options.checksum: what the server compares with what has arrived, part by part */
enum {
    VP_S3_CHECKSUM_AUTO =
        0, /* AWS: CRC-64/NVME; others: Content-MD5, or nothing where the payload is signed */
    VP_S3_CHECKSUM_NONE = 1,
    VP_S3_CHECKSUM_MD5 = 2, /* Content-MD5 */
    VP_S3_CHECKSUM_CRC32C = 3,
    VP_S3_CHECKSUM_CRC64NVME = 4
};

/* vp_s3_options.flags */
#define VP_S3_PATH_STYLE 0x1u /* https://host/bucket/key */
#define VP_S3_VIRTUAL_HOST                                                                                   \
    0x2u /* https://bucket.host/key; without both: path for IP addresses, ports, dotted buckets */
#define VP_S3_FROM_ENVIRONMENT 0x4u /* what is not given comes from where AWS's tools look: docs/storage.md */
#define VP_S3_SIGN_PAYLOAD 0x8u     /* SHA-256 of each body is signed, also over TLS */
#define VP_S3_UNSIGNED_PAYLOAD 0x10u /* never, also without TLS; without both: without TLS only */
#define VP_S3_ANONYMOUS 0x20u        /* nothing is signed: public buckets */

/* Copied, with its strings. */
typedef struct vp_s3_options {
    uint32_t struct_size;
    uint32_t flags;
    const char
        *endpoint; /* "https://host", with a port where it has one; http only where it says so. NULL: AWS */
    const char *region; /* NULL: found out; first tried is that of the endpoint, "us-east-1", for R2 "auto" */
    const char *profile; /* of the shared files, with FROM_ENVIRONMENT; NULL: AWS_PROFILE or "default" */
    const vp_s3_credentials *credentials; /* NULL: the callback, else the environment */
    vp_s3_credentials_fn get_credentials; /* NULL: none */
    void (*release)(void *user);          /* with the last reference; may be NULL */
    void *user;
    const vp_http_options
        *http; /* TLS, time to connect, user agent; its timeout_ms is not used. NULL: defaults */
    int32_t vendor;
    int32_t checksum;
    uint32_t connections; /* at a time; 0: 8; at most 64; one more for leases of a work store */
    uint32_t
        attempts; /* of one request; 0: 10, and for a minute where the server has answered; 1: never again */
    uint32_t stall_ms;    /* without a byte either way; 0: 20 s */
    uint32_t deadline_ms; /* of one operation on one object or part with all its attempts; 0: 10 min */
    uint64_t memory; /* bytes that wait to be sent, not those of local files, which are read again; 0: 20 MiB;
                                at least one part of 5 MiB is held */
    uint64_t part_size;      /* 0: by size and vendor, at least 5 MiB, of at most 10,000 parts */
    uint64_t multipart_from; /* objects of this size and more go in parts; 0: 8 MiB; at most 5 GiB */
    uint32_t slow_rate; /* bytes a second: a try that moves fewer, over stall_ms, is made again; 0: 1024 */
    uint32_t reserved;
} vp_s3_options;
#define VP_S3_OPTIONS_INIT                                                                                   \
    {                                                                                                        \
        (uint32_t)sizeof(vp_s3_options), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0,   \
            0, 0, 0, 0, 0, 0                                                                                 \
    }
VP_API void vp_s3_options_init(vp_s3_options *options, size_t size);

/* No I/O, no file read: that comes with the first request. ARG for an endpoint that is none, and so on. */
VP_API vp_status vp_s3_new(vp_context *context, const vp_s3_options *options, vp_s3 **out, vp_error *err);
VP_API vp_s3 *vp_s3_ref(vp_s3 *s3);
VP_API vp_s3 *vp_s3_unref(vp_s3 *s3);

/* What was done since vp_s3_new, for hosts that watch. */
typedef struct vp_s3_counts {
    uint32_t struct_size;
    uint32_t connections;       /* that may run now: fewer after the server asked to slow down */
    uint64_t requests, retries; /* sent, those sent again among them */
    uint64_t slow_downs;        /* 429, 503 SlowDown and the like */
    uint64_t sent, received;    /* bytes of bodies */
    int64_t skew_us;            /* of the server's clock against ours, as it is used in signatures */
} vp_s3_counts;
#define VP_S3_COUNTS_INIT                                                                                    \
    {                                                                                                        \
        (uint32_t)sizeof(vp_s3_counts), 0, 0, 0, 0, 0, 0, 0                                                  \
    }
VP_API void vp_s3_counts_init(vp_s3_counts *counts, size_t size);
VP_API vp_status vp_s3_get_counts(vp_s3 *s3, vp_s3_counts *out, vp_error *err);

/*
 * The address of an object for others, by the client's own credentials, region and style: method "GET", "PUT", "HEAD"
 * or
 * "DELETE"; query: "partNumber=1&uploadId=..." and the like, encoded, or NULL; headers as in vp_s3_request. I/O only
 * where credentials or the region are to be found out. expires_s as in vp_s3_request; less where credentials end
 * sooner.
 */
VP_API vp_status vp_s3_presign_object(vp_s3 *s3, const char *method, const char *bucket, const char *key,
                                      const char *query, const char *headers, uint32_t expires_s,
                                      vp_cancel *cancel, vp_bytes **url, vp_error *err);

/* ---- objects ---- */

/* How an object is kept. Strings are borrowed during the call. All may be NULL or 0: the bucket's defaults. */
typedef struct vp_s3_object {
    uint32_t struct_size;
    uint32_t flags; /* VP_S3_IF_ABSENT */
    const char *content_type, *cache_control, *content_encoding, *content_disposition;
    const char *storage_class; /* "STANDARD_IA" */
    const char *acl;           /* "public-read" */
    const char *tags;          /* "a=1&b=2", encoded */
    const char *sse;           /* "AES256", "aws:kms" */
    const char *sse_key;       /* id of the KMS key */
    const char *headers;       /* lines "x-amz-meta-name: value" and others, ASCII */
} vp_s3_object;
#define VP_S3_OBJECT_INIT                                                                                    \
    {                                                                                                        \
        (uint32_t)sizeof(vp_s3_object), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL        \
    }
#define VP_S3_IF_ABSENT 0x1u /* CONFLICT where the key is taken (If-None-Match: *) */
VP_API void vp_s3_object_init(vp_s3_object *object, size_t size);

/* What is there. Texts are cut to their room. */
typedef struct vp_s3_info {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t size;
    int64_t mtime_us;
    char etag[136]; /* opaque, with its quotes; no MD5 */
    char content_type[136];
    char upload[72]; /* x-amz-meta-vodpipe-upload: which upload made it; "": none of ours */
} vp_s3_info;
#define VP_S3_INFO_INIT                                                                                      \
    {                                                                                                        \
        (uint32_t)sizeof(vp_s3_info), 0, 0, 0, "", "", ""                                                    \
    }
VP_API void vp_s3_info_init(vp_s3_info *info, size_t size);

/*
 * All of a source as one object, in one request or in parts side by side; visible whole or not at all. object may be
 * NULL. CONFLICT SOURCE_CHANGED where its identity or size is another at the end: nothing was written then. cancel
 * (may be
 * NULL) here and below is seen within a second; parts of an upload that fails are removed.
 */
VP_API vp_status vp_s3_put(vp_s3 *s3, const char *bucket, const char *key, vp_source *source,
                           const vp_s3_object *object, vp_cancel *cancel, vp_s3_info *out, vp_error *err);
/* At most limit bytes (LIMIT INPUT_LIMIT; 0: 64 MiB); larger ones through vp_source_s3. */
VP_API vp_status vp_s3_get(vp_s3 *s3, const char *bucket, const char *key, uint64_t limit, vp_cancel *cancel,
                           vp_bytes **out, vp_error *err);
VP_API vp_status vp_s3_head(vp_s3 *s3, const char *bucket, const char *key, vp_cancel *cancel,
                            vp_s3_info *out, vp_error *err);
VP_API vp_status vp_s3_delete(vp_s3 *s3, const char *bucket, const char *key, vp_cancel *cancel,
                              vp_error *err);
/*
 * In requests of 1,000 keys, singly where the server knows no such request; masters first, then playlists, then what
 * they name, so that nobody is led to what is gone. prefix "" is ARG: a whole bucket is not emptied by mistake. count
 * may be NULL.
 */
VP_API vp_status vp_s3_delete_prefix(vp_s3 *s3, const char *bucket, const char *prefix, vp_cancel *cancel,
                                     uint64_t *count, vp_error *err);
/* In the order of keys; keys as they are in the bucket. */
VP_API vp_status vp_s3_list(vp_s3 *s3, const char *bucket, const char *prefix, vp_list_fn fn, void *user,
                            vp_cancel *cancel, vp_error *err);
/* Inside the service; in parts over 5 GiB. object NULL: as the source has it, over 5 GiB its type alone. */
VP_API vp_status vp_s3_copy(vp_s3 *s3, const char *bucket, const char *key, const char *to_bucket,
                            const char *to_key, const vp_s3_object *object, vp_cancel *cancel, vp_error *err);
/*
 * Ends multipart uploads below prefix that began more than older_than_s ago; their parts cost money and no listing
 * shows
 * them. A lifecycle rule of the bucket (AbortIncompleteMultipartUpload) is the better broom: docs/storage.md.
 */
VP_API vp_status vp_s3_sweep(vp_s3 *s3, const char *bucket, const char *prefix, int64_t older_than_s,
                             vp_cancel *cancel, uint64_t *count, vp_error *err);

/*
 * Ends the uploads in parts that a work store knows of (vp_sink_s3_options.work, vp_s3_put_tree) and that nobody will
 * go
 * on with, and takes them out of it.
 */
VP_API vp_status vp_s3_abandon(vp_s3 *s3, vp_store *work, vp_cancel *cancel, uint64_t *count, vp_error *err);

/* ---- multipart in the host's hands ---- */

/*
 * One object that goes in parts. Parts may be sent in any order, from several threads, and again; numbers 1 to 10,000;
 * each but the last of vp_s3_upload_part_size bytes. The token is plain data without secrets: whoever has it, and
 * credentials, goes on with the upload, after kill -9 too.
 */
typedef struct vp_s3_upload vp_s3_upload;
/*
 * size: of the whole, VP_SIZE_UNKNOWN where it is not known: parts double after each 2,000, and the object ends at
 * 484 GiB of them; for R2, which wants equal parts, at 78 GiB (10,000 of 8 MiB; part_size makes it more).
 */
VP_API vp_status vp_s3_upload_begin(vp_s3 *s3, const char *bucket, const char *key, uint64_t size,
                                    const vp_s3_object *object, vp_cancel *cancel, vp_s3_upload **out,
                                    vp_error *err);
/* Asks the server which parts it has. CONFLICT: the upload is there no more, neither whole nor in parts. */
VP_API vp_status vp_s3_upload_resume(vp_s3 *s3, const void *token, uint64_t token_size, vp_cancel *cancel,
                                     vp_s3_upload **out, vp_error *err);
VP_API vp_s3_upload *vp_s3_upload_ref(vp_s3_upload *upload);
VP_API vp_s3_upload *vp_s3_upload_unref(vp_s3_upload *upload); /* does not abort */
VP_API uint64_t vp_s3_upload_part_size(const vp_s3_upload *upload);
/* With the parts that are in, each with its checksum. */
VP_API vp_status vp_s3_upload_token(vp_s3_upload *upload, vp_bytes **token, vp_error *err);
/* VP_END: the part is not in yet. crc32c of its bytes, 0 where the server's own checksum is another one. */
VP_API vp_status vp_s3_upload_has(vp_s3_upload *upload, uint32_t number, uint64_t *size, uint32_t *crc32c);
/*
 * After vp_s3_upload_resume: where the server has a part of which the token has no word, and says by a checksum or an
 * MD5 that it is of these bytes, nothing is sent.
 */
VP_API vp_status vp_s3_upload_part(vp_s3_upload *upload, uint32_t number, const void *data, uint64_t size,
                                   vp_cancel *cancel, vp_error *err);
/*
 * Makes the object of parts 1 to the last one that is in; STATE where one is missing. Safe to repeat. IO S3_ERROR,
 * which may work later, where the server has parts otherwise than they were sent: vp_s3_upload_has no longer has them,
 * and they are to be sent again.
 */
VP_API vp_status vp_s3_upload_complete(vp_s3_upload *upload, vp_cancel *cancel, vp_s3_info *out,
                                       vp_error *err);
/*
 * Parts that others send, a browser say: an address for PUT of one part, good for expires_s as with
 * vp_s3_presign_object. It does not limit the part's size.
 */
VP_API vp_status vp_s3_upload_presign(vp_s3_upload *upload, uint32_t number, uint32_t expires_s,
                                      vp_cancel *cancel, vp_bytes **url, vp_error *err);
/*
 * Asks the server which parts it has and takes what others sent, before complete. Where the size of the whole was told
 * parts of other sizes are not taken: complete then says which is missing. UNSUPPORTED with checksum CRC32C.
 */
VP_API vp_status vp_s3_upload_adopt(vp_s3_upload *upload, vp_cancel *cancel, vp_error *err);
VP_API vp_status vp_s3_upload_abort(vp_s3_upload *upload, vp_cancel *cancel, vp_error *err);

/* ---- what jobs take ---- */

/*
 * Called for each object of a sink before it is written: lines "Name: value" for it into *lines (vp_bytes_new of them,
 * taken over), or nothing. From the thread that begins the object.
 */
typedef vp_status (*vp_s3_headers_fn)(void *user, const vp_object_info *info, vp_bytes **lines,
                                      vp_error *err);

/* vp_sink_s3_options.flags */
#define VP_SINK_S3_GZIP 0x1u /* playlists and manifests are stored compressed, with Content-Encoding: gzip */

typedef struct vp_sink_s3_options {
    uint32_t struct_size;
    uint32_t flags;
    const char *bucket;
    const char *prefix;         /* "titles/42", or NULL: the bucket itself */
    const vp_s3_object *object; /* for all objects; type and cache control only where info has none */
    /*
     * In place of what is written by default: segments, init and images what the job says, else "public,
     * max-age=31536000, immutable"; playlists and manifests "public, max-age=60". "": no header. Keys are "no-store".
     */
    const char *cache_segments, *cache_manifests;
    vp_s3_headers_fn headers;
    void (*release)(void *user);
    void *user;
    vp_store *
        work; /* tokens of uploads in parts are kept here, so that a new process goes on with them; NULL: nowhere */
} vp_sink_s3_options;
#define VP_SINK_S3_OPTIONS_INIT                                                                              \
    {                                                                                                        \
        (uint32_t)sizeof(vp_sink_s3_options), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL        \
    }
VP_API void vp_sink_s3_options_init(vp_sink_s3_options *options, size_t size);

/*
 * Objects become visible with their commit, which is sent behind the caller's back; flush waits for all. One request
 * where an object is small, in parts, while it is made, where it grows. No I/O here.
 */
VP_API vp_status vp_sink_s3(vp_s3 *s3, const vp_sink_s3_options *options, vp_sink **out, vp_error *err);
/*
 * Ranged reads with read-ahead, pinned to the ETag that was there first: an object that is replaced is CONFLICT
 * SOURCE_CHANGED. The first use asks for size and ETag: IO NOT_FOUND where there is no such object.
 */
VP_API vp_status vp_source_s3(vp_s3 *s3, const char *bucket, const char *key, vp_source **out, vp_error *err);
/*
 * Work of jobs in a bucket, so that machines need no shared disk: values are put if absent (the server must know
 * If-None-Match and If-Match: AWS, MinIO, R2, versitygw; UNSUPPORTED where it does not), leases are objects that are
 * renewed and expire (30 s).
 */
VP_API vp_status vp_store_s3(vp_s3 *s3, const char *bucket, const char *prefix, vp_store **out,
                             vp_error *err);

/* ---- uploads from clients ---- */

/*
 * A store of uploads (ingest.h) in a bucket, below prefix (at most 512 bytes; NULL: the bucket itself); any number of
 * processes on any number of machines may share it. The server must know If-None-Match and If-Match for writing, as for
 * vp_store_s3: UNSUPPORTED where it does not. No I/O here.
 *
 * Bytes go through: a part of a multipart upload as soon as it is full (vp_s3_options.part_size, else 8 MiB, more for
 * lengths above 40 GB), what is less at a sync as a small object of its own. An upload that is written holds one part
 * in memory, or its length where that is less, until it is closed, and nothing else. Have clients send chunks of
 * several MiB: each costs a takeover (two requests), its parts, and a record.
 *
 * A FINISHED upload is one object PREFIX/data/ID/..., or, where equal bytes of the scope were there before, that of
 * another id. A peek shows the first part and what came after the last one; in between VP_AGAIN until all is there
 * (UNSUPPORTED where no length was told). VP_INGESTF_VOLATILE changes nothing.
 *
 * vp_ingest_expire also ends what killed processes left, when it is a day old by the server's clock. Layout, rights and
 * what else to know: docs/storage.md, "Uploads in a bucket".
 */
VP_API vp_status vp_ingest_s3(vp_s3 *s3, const char *bucket, const char *prefix,
                              const vp_ingest_options *options, vp_ingest **out, vp_error *err);

/* ---- a tree ---- */

/* Where a tree stands; bytes and objects that are in the bucket, of those that there are; of large objects by parts. */
typedef struct vp_s3_progress {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t objects, objects_total, bytes, bytes_total;
    uint64_t skipped; /* objects that were there already, as the journal of an earlier try knows */
} vp_s3_progress;
#define VP_S3_PROGRESS_INIT                                                                                  \
    {                                                                                                        \
        (uint32_t)sizeof(vp_s3_progress), 0, 0, 0, 0, 0, 0                                                   \
    }
VP_API void vp_s3_progress_init(vp_s3_progress *progress, size_t size);
typedef void (*vp_s3_progress_fn)(void *user, const vp_s3_progress *progress);

/*
 * A directory to a bucket below sink's prefix, or one file, which becomes the object of that name: kinds, types and
 * Cache-Control by names, manifests last. work (may be
 * NULL) keeps what is done and tokens of large files: called again after any end, nothing that is in is sent again, a
 * file that has changed since is. progress from this thread, a few times a second.
 */
VP_API vp_status vp_s3_put_tree(vp_s3 *s3, const char *directory, const vp_sink_s3_options *sink,
                                vp_store *work, vp_s3_progress_fn progress, void *user, vp_cancel *cancel,
                                vp_error *err);

#ifdef __cplusplus
}
#endif

#endif
