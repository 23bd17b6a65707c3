/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_S3_CLIENT_H
#define VPI_S3_CLIENT_H

/* A client and the requests that it sends: signed anew for each try, tried again, paced. Private to lib/s3. */

#include <stdatomic.h>

#include "base/hash.h"
#include "base/queue.h"
#include "http/loop.h"
#include "s3_int.h"
#include "sign.h"

/* docs.aws.amazon.com, "Amazon S3 multipart upload limits" (S03, S04) */
#define VPI_S3_PART_MIN (UINT64_C(5) << 20)
#define VPI_S3_PART_MAX (UINT64_C(5) << 30)
#define VPI_S3_PARTS_MAX 10000u

/* ---- what is said of a body (checksum.c) ---- */

typedef struct vpi_s3_sums {
    char sha256[65]; /* hex; "": not made, the payload is not signed */
    uint8_t md5[16];
    uint64_t crc64; /* CRC-64/NVME */
    uint32_t crc32c;
} vpi_s3_sums;

/* Made while the bytes pass. Which ones: those that the client's requests name, and CRC32C, for tokens. */
typedef struct vpi_s3_summer {
    void *sha256, *md5; /* EVP_MD_CTX; NULL: not wanted */
    bool crc64;
    bool no_crc32c; /* no request names it, and there is no token */
    vpi_s3_sums sums;
} vpi_s3_summer;
vp_status vpi_s3_summer_init(vpi_s3_summer *summer, const vp_s3 *s3, vp_error *err);
vp_status vpi_s3_summer_restart(vpi_s3_summer *summer, vp_error *err);
vp_status vpi_s3_summer_add(vpi_s3_summer *summer, const void *data, size_t size, vp_error *err);
vp_status vpi_s3_summer_done(vpi_s3_summer *summer, vpi_s3_sums *out, vp_error *err);
void vpi_s3_summer_dispose(vpi_s3_summer *summer); /* accepts a zeroed one */
/* Bodies of one length whose bytes pass at a time: what vpi_sha256_add_many gains. */
#define VPI_S3_TOGETHER 16u
typedef struct vpi_s3_summers {
    unsigned count;
    vpi_sha256 sha256[VPI_S3_TOGETHER];
    vpi_s3_summer others[VPI_S3_TOGETHER];
} vpi_s3_summers;
/* Of a client that signs payloads. *summers: those from before, or NULL. */
vp_status vpi_s3_summers_start(vpi_s3_summers **summers, const vp_s3 *s3, unsigned count, bool no_crc32c,
                               vp_error *err);
vp_status vpi_s3_summers_add(vpi_s3_summers *summers, const uint8_t *const data[], size_t size,
                             vp_error *err);
vp_status vpi_s3_summers_done(vpi_s3_summers *summers, unsigned index, vpi_s3_sums *out, vp_error *err);
void vpi_s3_summers_free(vpi_s3_summers *summers); /* NULL is allowed */
/* All of a body at once. */
vp_status vpi_s3_sum(const vp_s3 *s3, const void *data, size_t size, vpi_s3_sums *out, vp_error *err);
uint64_t vpi_s3_crc64(uint64_t crc, const void *data, size_t size); /* crc64.c; start with 0 */
/* Of bytes with CRC a, then b_size bytes with CRC b. */
uint64_t vpi_s3_crc64_combine(uint64_t a, uint64_t b, uint64_t b_size);
uint64_t vpi_s3_crc64_table(uint64_t crc, const void *data,
                            size_t size);                    /* without special instructions, for tests */
void vpi_s3_base64(const void *data, size_t size, char *to); /* 4 * ((size + 2) / 3) + 1 bytes */

int vpi_s3_hex_digit(char c); /* list.c; -1: none */

/* ---- one operation ---- */

/* vpi_s3_op.flags */
#define VPI_S3_MAYBE_ERROR 0x1u /* an answer 200 has a document, which may be an error (S01) */
#define VPI_S3_ONCE 0x10u /* each time that it is sent is counted: libcurl sends nothing again by itself */
/* Before all that waits for a turn, also in a slow time, on a connection more: a lease runs out, parts do not. */
#define VPI_S3_URGENT 0x20u
#define VPI_S3_RESERVED 1u
#define VPI_S3_TAGGED 0x8u  /* an answer 200 has an ETag */
#define VPI_S3_LARGE 0x2u   /* Expect: 100-continue before the body */
#define VPI_S3_RANGED 0x40u /* asks for bytes from `first` on; another answer than these, or all, is none */
#define VPI_S3_NO_SUMS 0x4u /* no checksum header: parts of the client's own XML go with Content-MD5 */

typedef enum vpi_s3_state {
    VPI_S3_IDLE,    /* before the start and after done */
    VPI_S3_PARKED,  /* waits for credentials */
    VPI_S3_QUEUED,  /* waits for its turn */
    VPI_S3_RUNNING, /* in the loop */
    VPI_S3_DELAYED  /* waits before it is tried again */
} vpi_s3_state;

typedef struct vpi_s3_op vpi_s3_op;
struct vpi_s3_op {
    /* The owner's, from the start to done; zeroed before. */
    const char *method, *bucket;
    const char *key;     /* as it is in the bucket; NULL: the bucket itself */
    const char *query;   /* encoded, "a=b&c="; NULL: none */
    const char *headers; /* lines */
    const void *body;
    size_t body_size;
    size_t (*read)(void *user, uint64_t at, void *to, size_t room,
                   vp_error *err); /* instead of body: vpi_call */
    void *read_user;
    const vpi_s3_sums *sums; /* of the body; NULL: made by the start */
    const char *sum_headers; /* lines that go as long as the server knows checksums; NULL: none */
    uint32_t flags;
    uint32_t limit_ms; /* instead of the client's deadline; 0: that */
    size_t max_body;
    void *to;
    size_t to_capacity;
    uint64_t first; /* with VPI_S3_RANGED */
    /*
     * On a thread of the client, with no lock held; must not block, may start this operation again. VP_OK: the
     * answer is 2xx and in call.answer. VP_END: 404 NoSuchKey (and HEAD without a word).
     */
    void (*done)(vpi_s3_op *op, vp_status status);
    void *user;

    /* For the owner in done. */
    vpi_call call; /* answer; disposed by vpi_s3_op_dispose */
    vp_error err;
    char code[64]; /* the server's word of a failure, "" for none */

    /* The client's. */
    vp_s3 *s3;
    vpi_s3_state state;
    vpi_s3_op *next;
    vpi_timer timer;
    int64_t deadline_us; /* 0: its turn has not come yet */
    int64_t began_us;    /* when it came */
    uint32_t tries;
    uint32_t skews, regions, renewals, plains; /* how often each was put right */
    uint32_t asked;                            /* why, after a HEAD that failed without a word */
    bool asks;                                 /* this try is a GET that asks so */
    bool canceled;
    vpi_s3_sums own;           /* of a body whose owner gave none */
    vpi_buf url, plain, lines; /* plain: before the signature */
    /* of this try: what its answer is judged by, as others may have learned more meanwhile */
    char region[64];
    int64_t skew_us;
    bool summed;
    bool lost;          /* of any try: it may have been done though its answer did not say so */
    uint64_t secret_id; /* of the credentials that this try was signed with */
};

/* Starts it; a failure comes here or by done, never both. From any thread, also from done. */
vp_status vpi_s3_start(vp_s3 *s3, vpi_s3_op *op, vp_error *err);
/* done comes soon, on whichever thread, perhaps on this one. Nothing for one that is idle. */
void vpi_s3_stop(vp_s3 *s3, vpi_s3_op *op);
/* Starts it and waits on this thread (never the loop's). done is the client's own. */
vp_status vpi_s3_run(vp_s3 *s3, vpi_s3_op *op, vp_cancel *cancel, vp_error *err);
void vpi_s3_op_dispose(vpi_s3_op *op);
/* Back to zero while others may call vpi_s3_stop for it. */
void vpi_s3_op_reset(vp_s3 *s3, vpi_s3_op *op);
/* First header of the answer; "" for none. */
void vpi_s3_header(const vpi_s3_op *op, const char *name, char *to, size_t capacity);

/* ---- waiting ---- */

/* One of vpi_cond_init: at most 0.1 s, so that who waits can look at its cancel. */
void vpi_s3_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock);

typedef struct vpi_s3_waiter {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
    vp_status st;
} vpi_s3_waiter;
void vpi_s3_waiter_init(vpi_s3_waiter *w);
void vpi_s3_waiter_end(vpi_s3_waiter *w, vp_status st); /* whoever waits goes on */
/*
 * Until the end. Where cancel or this thread's scope fires first, stop (NULL: then nothing is looked at) is called
 * once, and the end waited for; *why then holds CANCELED or TIMEOUT, and why->status tells that it came to this.
 */
vp_status vpi_s3_waiter_wait(vpi_s3_waiter *w, vp_cancel *cancel, void (*stop)(void *user), void *user,
                             vp_error *why);
void vpi_s3_waiter_dispose(vpi_s3_waiter *w);

/* ---- the client ---- */

typedef struct vpi_s3_region {
    struct vpi_s3_region *next;
    char region[64];
    char bucket[]; /* "": of all that are not named */
} vpi_s3_region;

/* What clients of one endpoint in one context tell each other. */
typedef struct vpi_s3_common {
    _Atomic int64_t slow_until_us;
    atomic_uint cuts; /* how often one was told to slow down */
} vpi_s3_common;

struct vp_s3 {
    vp_context *context;
    atomic_uint refs;
    uint32_t fork_mark;
    vp_s3_options o; /* strings below, credentials in secret */
    char *endpoint, *region, *profile;
    bool tls;
    bool given; /* the host's own credentials: those of the environment never replace them */
    bool sign_payload;
    bool patient; /* the host said nothing of attempts */
    int32_t vendor, checksum;
    vpi_loop *loop;
    vpi_s3_chain *chain; /* NULL without FROM_ENVIRONMENT */
    pthread_mutex_t lock;
    vpi_hook hook; /* context closes: who is parked wakes */
    struct {
        /* place: endpoint without scheme, found with the first request */
        bool placed;
        char *host;
        vpi_s3_region *regions;
        /* credentials */
        vpi_s3_secret secret;
        vpi_s3_day day;     /* the key that signs */
        uint64_t secret_id; /* rises with each set; 0: none yet */
        bool renewing, closed;
        int64_t renew_after_us; /* monotonic: no earlier than this after a failure */
        vpi_thread *renewer;
        vp_error renew_error; /* of the last time */
        vpi_s3_op *parked;
        /* pace */
        vpi_s3_op *first, **last; /* who waits for a turn */
        uint32_t running, limit, good;
        uint32_t slow_streak;
        int64_t slow_until_us;
        vpi_s3_common *common; /* NULL: not before the endpoint is known, or no memory for it */
        unsigned cuts;         /* of common that are heeded */
        vpi_timer pace;
        bool pacing; /* it is set (its own word is under the loop's lock) */
        /* learned */
        int64_t skew_us;
        bool no_expect, no_sums, sums_work;
        bool answered; /* once it went well: what fails now may come back */
        vp_s3_counts counts;
        uint64_t random;
        /* memory of bodies */
        uint64_t held;
        unsigned flying; /* bodies on their way */
        uint8_t *block;  /* for reading files (writer.c); NULL: in use, or none yet */
    } synced;
    pthread_cond_t renew; /* renewing was set, or the end came */
    pthread_cond_t room;  /* memory of bodies was given back */
};

/* client.c: what follows from the endpoint (vendor, checksum, payload); before the first request */
void vpi_s3_settle(vp_s3 *s3);

/* place.c: addresses */
vp_status vpi_s3_place_endpoint(vp_s3 *s3, const char *endpoint,
                                vp_error *err); /* before the client is shared */
bool vpi_s3_path_style(const vp_s3 *s3, const char *host, const char *bucket);
/* Of an operation; with the lock held. region: of its bucket. */
vp_status vpi_s3_address_synced(vp_s3 *s3, const char *bucket, const char *key, const char *query,
                                vpi_buf *url, char region[64], vp_error *err);
const char *vpi_s3_region_synced(const vp_s3 *s3, const char *bucket);
bool vpi_s3_learn_region_synced(vp_s3 *s3, const char *bucket,
                                const char *region); /* false: nothing new, no memory */
/* What is known of this bucket alone, or with "" of those that are not named; NULL: nothing. */
const char *vpi_s3_told_region(const vp_s3 *s3, const char *bucket);
/* The region that an endpoint of AWS names; false: none. */
bool vpi_s3_endpoint_region(const vp_s3 *s3, char region[64]);
vp_status vpi_s3_bucket_check(const char *bucket, const char *key, vp_error *err);

/* renew.c: credentials of the client */
typedef enum vpi_s3_have { VPI_S3_HAVE, VPI_S3_WAIT, VPI_S3_NEVER } vpi_s3_have;
/* Whether operations can be signed now; starts renewing where that is due. With the lock held. */
vpi_s3_have vpi_s3_secret_synced(vp_s3 *s3);
/*
 * Public calls begin with it: STATE and so on; waits until it is known where requests go and which sums they want,
 * which the environment may say.
 */
vp_status vpi_s3_ready(vp_s3 *s3, vp_cancel *cancel, vp_error *err);
/* Waits until there are credentials to sign with. */
vp_status vpi_s3_have_secret(vp_s3 *s3, vp_cancel *cancel, vp_error *err);
/* The server says that what `used` was signed with is no good any more; false: no other can be had. */
bool vpi_s3_renew_synced(vp_s3 *s3, uint64_t used);

/* pace.c: turns and time. All with the lock held; what is to be done without it comes back as a list. */
void vpi_s3_queue_synced(vp_s3 *s3, vpi_s3_op *op, bool first);
void vpi_s3_unqueue_synced(vp_s3 *s3, vpi_s3_op *op);
void vpi_s3_slow_synced(vp_s3 *s3, int64_t asked_us); /* asked_us: for how long, 0: not said */
void vpi_s3_good_synced(vp_s3 *s3);
/* Until when nothing starts (vpi_now_us); what other clients of this endpoint were told counts as well. */
int64_t vpi_s3_slow_until_synced(vp_s3 *s3);
void vpi_s3_join_synced(vp_s3 *s3); /* those of this endpoint, once it is known */
uint64_t vpi_s3_random_synced(vp_s3 *s3);
/* Full jitter: of the n-th try again, microseconds. */
int64_t vpi_s3_delay_synced(vp_s3 *s3, uint32_t tries);

/* request.c */
/* At most 0.1 s on a condition of the client's lock. */
void vpi_s3_wait_synced(vp_s3 *s3, pthread_cond_t *what);
/* Starts who may start; not with the lock held. */
void vpi_s3_pump(vp_s3 *s3);
/* Ends each of a list (by next) with this status; not with the lock held. */
void vpi_s3_finish_list(vpi_s3_op *list, vp_status status, const vp_error *err);
void vpi_s3_on_pace(vpi_timer *timer, bool ended);

/* ---- what an answer means (verdict.c) ---- */

typedef enum vpi_s3_act {
    VPI_S3_DONE,  /* with the status in st and err */
    VPI_S3_AGAIN, /* after a delay */
    VPI_S3_SLOW,  /* after a delay, and all others slower */
    VPI_S3_NOW,   /* at once: what was wrong is put right */
    VPI_S3_RENEW  /* with other credentials */
} vpi_s3_act;
typedef struct vpi_s3_verdict {
    vpi_s3_act act;
    vp_status st;
} vpi_s3_verdict;
/* With the lock held, on the loop's thread. Fills op->err and op->code for a failure, learns region and clock. */
bool vpi_s3_passing(const char *code); /* the server's word of what may go well the next time */
vpi_s3_verdict vpi_s3_judge_synced(vp_s3 *s3, vpi_s3_op *op, vp_status st);

/* ---- objects (object.c) ---- */

/* Headers of how an object is kept; ARG for values that are none. object NULL: nothing. */
vp_status vpi_s3_object_lines(const vp_s3_object *object, vpi_buf *lines, vp_error *err);
/* And what the host says of one object; headers NULL: nothing. */
vp_status vpi_s3_host_lines(vp_s3_headers_fn headers, void *user, const vp_object_info *info, vpi_buf *lines,
                            vp_error *err);
/* A caller's struct, or NULL, into ours. */
vp_status vpi_s3_object_copy(vp_s3_object *to, const vp_s3_object *from, vp_error *err);
/* What headers of an answer say; to NULL: nothing. */
void vpi_s3_info_read(const vpi_s3_op *op, vp_s3_info *out);
/* Into a caller's struct, which may be NULL, older or newer. */
vp_status vpi_s3_info_give(const vp_s3_info *from, vp_s3_info *to, vp_error *err);
int64_t vpi_s3_parse_time(const char *text); /* of HTTP or XML, microseconds since 1970; 0: none */

/* ---- XML of answers (xml.c) ---- */

/* Called at each element's end: its path from the root, "Error/Code", and its own text, cut at 8 KiB. */
typedef vp_status (*vpi_s3_xml_fn)(void *user, const char *path, const char *text, vp_error *err);
/* root: name of the first element, cut. IO S3_ERROR for what is no XML, has a document type, is too deep. */
vp_status vpi_s3_xml(const void *data, size_t size, vpi_s3_xml_fn on, void *user, char root[64],
                     vp_error *err);
/* Text for XML, escaped. */
void vpi_s3_xml_escape(vpi_buf *out, const char *text);

#endif
