/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_S3_INGEST_S3_H
#define VPI_S3_INGEST_S3_H

/*
 * Uploads of ingest.h in a bucket: what ingest_*.c know of each other. Private to lib/s3.
 *
 *     PREFIX/uploads/ID.rec              the record: a head of ours, then what the core wrote
 *     PREFIX/uploads/ID.tail-X           synced bytes that are less than a part
 *     PREFIX/uploads/ID.head-X           a copy of the first part, for those who look before the end
 *     PREFIX/uploads/ID.kept-X           the id is gone, its bytes are others' too
 *     PREFIX/data/ID/MARK-EPOCH-X        the bytes
 *     PREFIX/shared/SCOPE/SHA            which object has bytes of this digest, and whose it is
 */

#include "ingest/ingest.h"
#include "upload.h"

#define VPI_HOLD_STAMP 17 /* 16 hex digits */
#define VPI_HOLD_SLOTS 1024u
#define VPI_HOLD_STRIPES 16u
#define VPI_HOLD_PIECES 64u
#define VPI_HOLD_PARTS                                                                                       \
    4800u /* of one upload: what a token has room for, and twice as many numbers are to be had */
#define VPI_HOLD_STRIDE 8u
#define VPI_HOLD_RECORD_MAX ((256u << 10) + 64)

/*
 * Before the bytes of a record. version: of its last change. epoch: rises each time that another process takes the
 * upload, so that what the one before still has on its way meets nothing of ours. mark: of this upload, also where the
 * id is used again later.
 */
typedef struct vpi_hold_head {
    uint64_t version;
    uint32_t epoch;
    char mark[VPI_HOLD_STAMP];
} vpi_hold_head;

/* What this process saw of a record last: spares asking for the ETag. */
typedef struct vpi_hold_slot {
    char id[VP_UPLOAD_ID_MAX + 1];
    vpi_hold_head head;
    bool foreign;  /* not written by this process */
    uint32_t last; /* number of the last part that this process sent in this epoch */
    char etag[136];
} vpi_hold_slot;

struct vpi_hold_data;

typedef struct vpi_hold {
    vp_context *context; /* the store around it holds the reference */
    uint32_t fork_mark;
    vp_s3 *s3;
    char *bucket, *prefix; /* "" or with a '/' at its end */
    pthread_mutex_t lock;
    pthread_mutex_t stripes[VPI_HOLD_STRIPES]; /* one change of a shared record at a time, by its name */
    struct {
        vp_cancel *calls; /* of those that began since the last interrupt; NULL: none did */
        bool proven;      /* the server heeds the conditions that records live by */
        struct vpi_hold_data *open;
        vpi_hold_slot slots[VPI_HOLD_SLOTS];
    } synced;
} vpi_hold;

/* vp_ingest_s3. hold (may be NULL): what it is made of, borrowed, for tests. */
vp_status vpi_hold_ingest(vp_s3 *s3, const char *bucket, const char *prefix, const vp_ingest_options *options,
                          vp_ingest **out, vpi_hold **hold, vp_error *err);
/* A cancel for one call, to be dropped by vp_cancel_unref. */
vp_status vpi_hold_enter(vpi_hold *hold, vp_cancel **out, vp_error *err);
void vpi_hold_stamp(char stamp[VPI_HOLD_STAMP]);
/* PREFIX/uploads/ID.KIND, and -STAMP where there is one. */
char *vpi_hold_name(const vpi_hold *hold, const char *id, const char *kind, const char *stamp);
/* Best effort: what is left is found by vpi_hold_tidy. */
void vpi_hold_drop(vpi_hold *hold, const char *key, vp_cancel *cancel);

/* ---- records (ingest_record.c) ---- */

/* An object with its ETag. VP_END: there is none. */
vp_status vpi_hold_get(vpi_hold *hold, const char *key, size_t most, vpi_buf *body, char etag[136],
                       int64_t *age_s, vp_cancel *cancel, vp_error *err);
/*
 * In place of the object with this ETag ("": of none). The body must be like no other, by a stamp in it: that is how a
 * write whose answer was lost is known again. CONFLICT: another is there.
 */
vp_status vpi_hold_put(vpi_hold *hold, const char *key, const void *body, size_t size, char etag[136],
                       vp_cancel *cancel, vp_error *err);
/* Of the record that is there; VP_END: none. */
vp_status vpi_hold_look(vpi_hold *hold, const char *id, vpi_hold_head *head, vp_cancel *cancel,
                        vp_error *err);
/* As this process knows it; asks where it does not. */
vp_status vpi_hold_known(vpi_hold *hold, const char *id, vpi_hold_head *head, uint32_t *last,
                         vp_cancel *cancel, vp_error *err);
void vpi_hold_note_part(vpi_hold *hold, const char *id, uint32_t number);
vp_status vpi_hold_record_get(void *user, const char *id, vp_ingest_reply *reply, vp_error *err);
vp_status vpi_hold_record_put(void *user, const char *id, const void *data, uint64_t size, uint64_t version,
                              uint64_t *now, vp_error *err);
vp_status vpi_hold_record_remove(void *user, const char *id, vp_error *err);
vp_status vpi_hold_record_list(void *user, vp_list_fn fn, void *fn_user, vp_error *err);

/* ---- tokens (ingest_token.c) ---- */

enum { VPI_HOLD_NOTHING, VPI_HOLD_UPLOAD, VPI_HOLD_SHARED };

typedef struct vpi_hold_piece {
    char stamp[VPI_HOLD_STAMP];
    uint64_t size;
} vpi_hold_piece;

typedef struct vpi_hold_token {
    int kind;
    char stamp[VPI_HOLD_STAMP]; /* of this token */
    char *key;                  /* of the data, below PREFIX; NULL: none yet */
    /* UPLOAD */
    uint64_t length; /* VP_SIZE_UNKNOWN: not told when it was made */
    uint64_t whole;  /* bytes of the object that is there; 0: it is not */
    uint32_t stride; /* of numbers of parts */
    uint64_t head;   /* bytes of the copy of the first part */
    char head_stamp[VPI_HOLD_STAMP];
    vpi_hold_piece pieces[VPI_HOLD_PIECES];
    uint32_t piece_count;
    vp_s3_upload *upload; /* NULL: nothing goes in parts */
    /* SHARED */
    char *shared; /* the record's key below PREFIX */
} vpi_hold_token;

void vpi_hold_token_dispose(vpi_hold_token *token);
/* A new stamp each time. LIMIT where it would have no room in a record. */
vp_status vpi_hold_token_write(vpi_hold_token *token, vpi_buf *out, vp_error *err);
/* DATA UPLOAD_CORRUPT. size 0: NOTHING. */
vp_status vpi_hold_token_read(vpi_hold *hold, const void *data, uint64_t size, vpi_hold_token *out,
                              vp_error *err);
uint64_t vpi_hold_in_parts(const vpi_hold_token *token);
uint64_t vpi_hold_in_pieces(const vpi_hold_token *token);
uint32_t vpi_hold_last_part(const vpi_hold_token *token);
/* Of the numbers that owners use, every how many-th is one owner's. */
uint32_t vpi_hold_stride(uint64_t length, uint64_t part_size);
/*
 * The next number that only an owner of this epoch uses. After so many failures that there is none left, one that was
 * tried in vain.
 */
uint32_t vpi_hold_next_part(const vpi_hold_token *token, uint32_t last, uint32_t epoch);
char *vpi_hold_data_key(const char *id, const vpi_hold_head *head);
/* It was made by an owner of this epoch. */
bool vpi_hold_key_is_of(const char *key, const vpi_hold_head *head);

/* ---- data (ingest_data.c, ingest_finish.c) ---- */

typedef struct vpi_hold_data {
    struct vpi_hold_data *next; /* of hold->synced.open */
    vpi_hold *hold;
    char id[VP_UPLOAD_ID_MAX + 1];
    vpi_hold_head head;
    vpi_hold_token token;
    uint64_t length, at;                 /* at: bytes so far */
    uint8_t *bytes;                      /* the part that fills */
    size_t used, capacity, limit, saved; /* saved: those that are in pieces */
    uint32_t last;                       /* number of a part */
    vpi_buf old;         /* keys, each with its NUL, that no record names once that of this token is in */
    size_t old_awaiting; /* as many bytes of `old` belong to the token that was told last */
    struct {
        char told[VPI_HOLD_STAMP]; /* of the token that was told last */
        bool confirmed;            /* it is in the record */
    } synced;
} vpi_hold_data;

vp_status vpi_hold_data_open(void *user, const char *id, const void *token, uint64_t token_size,
                             uint64_t offset, uint64_t length, void **data, vp_error *err);
vp_status vpi_hold_data_append(void *user, void *data, const void *bytes, size_t size, vp_error *err);
vp_status vpi_hold_data_sync(void *user, void *data, vp_ingest_reply *reply, vp_error *err);
void vpi_hold_data_close(void *user, void *data);
/* A record of id is in: what it no longer names may go. */
void vpi_hold_confirm(vpi_hold *hold, const char *id, const void *record, size_t size);
/* All pieces, one after the other. */
vp_status vpi_hold_load(vpi_hold *hold, const char *id, const vpi_hold_token *token, uint8_t *to, size_t most,
                        vp_cancel *cancel, vp_error *err);

vp_status vpi_hold_data_finish(void *user, const char *id, const void *token, uint64_t token_size,
                               uint64_t size, vp_error *err);
vp_status vpi_hold_data_source(void *user, const char *id, const void *token, uint64_t token_size,
                               uint64_t size, vp_source **out, vp_error *err);
vp_status vpi_hold_data_remove(void *user, const char *id, const void *token, uint64_t token_size,
                               vp_error *err);
/* Objects below data/ID/ of this mark that no later epoch than `before` made; keep: the key of one that stays. */
vp_status vpi_hold_sweep_data(vpi_hold *hold, const char *id, const char *mark, uint32_t before,
                              const char *keep, vp_cancel *cancel, vp_error *err);
/* What is said of the object of data. VP_END: there is none. shared: another has its bytes, it only says so. */
vp_status vpi_hold_see(vpi_hold *hold, const char *key, uint64_t *size, bool *shared, vp_cancel *cancel,
                       vp_error *err);
char *vpi_hold_key(const vpi_hold *hold, const char *below); /* with the prefix */
/*
 * A request for the upload in parts failed with `why`: what err is to say. UPLOAD_CORRUPT where the record counts on
 * parts that the bucket has ended, by a rule of its own or by hand.
 */
vp_status vpi_hold_parts_failed(vpi_hold *hold, const char *id, const vpi_hold_token *token,
                                const vp_error *why, vp_cancel *cancel, vp_error *err);
/* PUT with our mark of the upload on it. */
vp_status vpi_hold_put_data(vpi_hold *hold, const char *key, const char *lines, const void *body, size_t size,
                            vp_cancel *cancel, vp_error *err);

/* ---- sharing (ingest_share.c) ---- */

vp_status vpi_hold_data_share(void *user, const char *id, const void *token, uint64_t token_size,
                              const char *scope, const char *sha256, uint64_t size, vp_ingest_reply *reply,
                              uint32_t *shared, vp_error *err);
/* id is no longer among those who have the bytes; the last one takes them away. *stay: token's object has to stay. */
vp_status vpi_hold_leave(vpi_hold *hold, const char *id, const vpi_hold_token *token, bool *stay,
                         vp_cancel *cancel, vp_error *err);

/* A shared record, by its key: who is in by mistake goes, and where nobody is in, it goes itself. */
vp_status vpi_hold_tidy_shared(vpi_hold *hold, const char *key, int64_t older_s, vp_cancel *cancel,
                               vp_error *err);

/* ---- what killed processes left (ingest_tidy.c) ---- */

void vpi_hold_tidy(void *user, vp_cancel *cancel);
/* Its word for tests: other ages, in seconds. */
vp_status vpi_hold_tidy_older(vpi_hold *hold, int64_t older_s, vp_cancel *cancel, vp_error *err);

#endif
