/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_S3_UPLOAD_H
#define VPI_S3_UPLOAD_H

/* Uploads in parts: what they are made of, and the writer that makes one of bytes in order. Private to lib/s3. */

#include "client.h"

#define VPI_S3_MARKER 33 /* 32 hex digits */

typedef struct vpi_s3_part {
    uint64_t size;
    uint64_t crc64;
    uint32_t crc32c;
    bool in;      /* the server has it, and said so */
    bool noted;   /* it is in the journal */
    bool foreign; /* others sent it, and no checksum of it is known */
    bool
        alone; /* whatever the server has of this number and size is of these bytes: no others were sent as it */
    char etag[136]; /* as the server wrote it, quotes kept (S16) */
} vpi_s3_part;

/* A part as the server lists it; sums in base64, "" where it tells none. */
typedef struct vpi_s3_listed {
    uint64_t size;
    char etag[136];
    char crc32c[12], crc64[16];
} vpi_s3_listed;
typedef struct vpi_s3_offer {
    uint32_t number;
    vpi_s3_listed listed;
} vpi_s3_offer;

/* vp_s3_upload: shared by threads of the host. */
struct vp_s3_upload {
    atomic_uint refs;
    vp_s3 *s3;
    char *bucket, *key, *id;    /* id: the server's */
    char marker[VPI_S3_MARKER]; /* x-amz-meta-vodpipe-upload: by it the object is known as ours (S02) */
    uint64_t part_size, size;   /* size VP_SIZE_UNKNOWN: not told */
    int32_t checksum;           /* what the upload was begun with: CRC32C, CRC64NVME or NONE */
    uint32_t values;            /* of the journal; of whoever writes it */
    bool sparse;                /* numbers of parts may be left out */
    bool begun;                 /* by us, so that we know of all that is sent to it */
    bool alone;                 /* each number has had one content only, whoever sent it */
    pthread_mutex_t lock;
    struct {
        vpi_s3_part *parts; /* by number - 1 */
        size_t count, cap;
        vpi_s3_offer *offers; /* the server has them, and we no word of it; vpi_s3_part_offered */
        size_t offer_count, offer_cap;
        bool complete;                           /* it is an object now */
        bool shown;                              /* others have addresses to send parts to */
        uint8_t tried[VPI_S3_PARTS_MAX / 8 + 1]; /* numbers that were sent, a bit each */
    } synced;
};

/* Size of parts for a whole of this size; 0: it cannot be (LIMIT). */
uint64_t vpi_s3_part_size(const vp_s3 *s3, uint64_t size);
/* Bytes that part number n of an upload should have (parts grow where the whole is not known). */
uint64_t vpi_s3_part_room(const vp_s3_upload *upload, uint32_t number);
/*
 * Blocks for its one request. plain: without checksums of its parts; MinIO refuses to copy parts into one with them,
 * and versitygw has none of what it copies.
 */
vp_status vpi_s3_upload_new(vp_s3 *s3, const char *bucket, const char *key, uint64_t size, const char *lines,
                            bool plain, vp_cancel *cancel, vp_s3_upload **out, vp_error *err);
/* With its names only; what is left is filled by who asks. */
vp_status vpi_s3_upload_blank(vp_s3 *s3, const char *bucket, const char *key, vp_s3_upload **out,
                              vp_error *err);
/*
 * list.c: where the answer to the begin of an upload was lost, the server may hold one whose name nobody knows. Ends
 * all of this key that began since then and before until_us (our clock; 0: no end), but one. Best effort.
 */
void vpi_s3_sweep_lost(vp_s3 *s3, const char *bucket, const char *key, const char *but, int64_t since_us,
                       int64_t until_us, vp_cancel *cancel);
/* As vp_s3_sweep; keep says which stay. */
typedef vp_status (*vpi_s3_keep_fn)(void *user, const char *key, const char *upload, bool *keep,
                                    vp_error *err);
vp_status vpi_s3_sweep_but(vp_s3 *s3, const char *bucket, const char *prefix, int64_t older_than_s,
                           vpi_s3_keep_fn keep, void *user, vp_cancel *cancel, vp_error *err);
void vpi_s3_marker_make(char marker[VPI_S3_MARKER]);

/* One part on its way. */
typedef struct vpi_s3_part_op {
    vpi_s3_op op;
    char query[1400];
    vpi_s3_sums sums;
    uint32_t number;
    bool alone; /* as in vpi_s3_part */
} vpi_s3_part_op;
/* Fills op for the part; data and the struct are kept until done, which the caller sets before the start. */
vp_status vpi_s3_part_prepare(vp_s3_upload *upload, vpi_s3_part_op *part, uint32_t number, const void *data,
                              size_t size, const vpi_s3_sums *sums, vp_error *err);
/* After done with VP_OK: the part is in. */
vp_status vpi_s3_part_note(vp_s3_upload *upload, vpi_s3_part_op *part, vp_error *err);
vp_status vpi_s3_part_note_whole(vp_s3_upload *upload, uint32_t number, const vpi_s3_part *part,
                                 vp_error *err);
/* The same for one that the server copied. */
vp_status vpi_s3_part_note_as(vp_s3_upload *upload, uint32_t number, uint64_t size, const char *etag,
                              vp_error *err);

/* copy.c: a part of so many bytes of an object that has this ETag, `from` on. Blocks. */
vp_status vpi_s3_copy_part(vp_s3_upload *upload, const char *bucket, const char *key, uint32_t number,
                           uint64_t from, uint64_t size, const char *etag, vp_cancel *cancel, vp_error *err);

/*
 * parts.c. The server's list of parts, a page after the other.
 */
typedef struct vpi_s3_page {
    vpi_s3_listed *parts; /* by number - 1 */
    uint32_t number;
    vpi_s3_listed now;
    bool truncated;
    char marker[16], before[16];
} vpi_s3_page;
#define VPI_S3_PAGE_MAX ((size_t)4 << 20) /* bytes of one */
vp_status vpi_s3_page_new(vpi_s3_page **out, vp_error *err);
void vpi_s3_page_free(vpi_s3_page *page);
/* What asks for the next page. */
vp_status vpi_s3_page_query(vpi_s3_page *page, const vp_s3_upload *upload, vpi_buf *query, vp_error *err);
/* VP_AGAIN: there is more to ask for. */
vp_status vpi_s3_page_read(vpi_s3_page *page, const vpi_s3_op *op, vp_error *err);
/* Base64 of a checksum of so many bytes, four or eight. */
bool vpi_s3_sum_decode(const char *text, size_t bytes, uint64_t *out);
/* By size and ETag. */
bool vpi_s3_part_same(const vpi_s3_part *ours, const vpi_s3_listed *theirs);
/*
 * mend.c. A try of a part that was given up may come in late, behind the one that went well, and where ETags are no MD5
 * the part then has another one. Parts that are of the same bytes are taken as the server has them now, and counted in
 * *taken; those that are not, or cannot be told, are in no more, and counted in *lost.
 */
void vpi_s3_parts_mend(vp_s3_upload *upload, const vpi_s3_listed *listed, uint32_t *taken, uint32_t *lost);

/*
 * Makes the object of its parts; where the answer was lost, looks whether it is there (S01, S02); where the server has
 * other parts by now, takes those that are of the same bytes (vpi_s3_parts_mend). abort: takes the parts away where it
 * comes to nothing; resend: not where some parts alone are to be sent again, as lost tells. done on a thread of the
 * client.
 */
typedef struct vpi_s3_finish {
    vp_s3_upload *upload;
    vpi_s3_op op;
    vpi_buf body, query;
    char headers[160], lines[256];
    int stage;
    bool abort, if_absent, answered, resend;
    bool stale;        /* what Complete failed with says that our list of parts is not the server's */
    uint32_t lost;     /* parts that are not in any more */
    uint32_t mends;    /* how often the list was put right */
    vpi_s3_page *page; /* the server's */
    atomic_bool stopping;
    vp_status st;
    vp_error err;
    vp_s3_info info;
    void (*done)(struct vpi_s3_finish *finish, vp_status st);
    void *user;
} vpi_s3_finish;
vp_status vpi_s3_finish_start(vpi_s3_finish *finish, vp_error *err); /* a failure comes here or by done */
/* Only takes the parts away. */
vp_status vpi_s3_finish_abort(vpi_s3_finish *finish, vp_error *err);
void vpi_s3_finish_stop(vpi_s3_finish *finish); /* done comes soon */
void vpi_s3_finish_dispose(vpi_s3_finish *finish);

/* Token (token.c): plain JSON without secrets. */
vp_status vpi_s3_token_write(vp_s3_upload *upload, vpi_buf *out, vp_error *err);
vp_status vpi_s3_token_read(vp_s3 *s3, const void *token, size_t size, vp_s3_upload **out, vp_error *err);
void vpi_s3_part_text(vpi_buf *out, const vpi_s3_part *part); /* as in a token */
bool vpi_s3_part_parse(const void *text, size_t size, vpi_s3_part *out);
/*
 * parts.c. Asks the server which parts it has, forgets those that it has not, or has otherwise, and keeps what it says
 * of those that are not known. VP_END: the upload is gone.
 */
vp_status vpi_s3_upload_check(vp_s3_upload *upload, vp_cancel *cancel, vp_error *err);
/* Bytes of a part: in memory, or of a file from `at` on. */
typedef struct vpi_s3_bytes {
    const void *data; /* NULL: file */
    vp_source *file;
    uint64_t at, size;
} vpi_s3_bytes;
/*
 * Whether the server has these bytes as this part, by the checksum that it lists, or by the MD5 that its ETag is with
 * many: then the part is in. VP_END: it has not, or that cannot be told. May read the bytes once more.
 */
vp_status vpi_s3_part_offered(vp_s3_upload *upload, uint32_t number, const vpi_s3_sums *sums,
                              const vpi_s3_bytes *bytes, vp_error *err);

/* ---- journal (journal.c): tokens in a work store. All block. ---- */

#define VPI_S3_JOURNAL 40
void vpi_s3_journal_name(const char *bucket, const char *key, char name[VPI_S3_JOURNAL]);
/*
 * Before an upload is begun: a process that is killed before it knows its name leaves a word of it, by which the next
 * one finds it. In place of whatever there is of this object.
 */
vp_status vpi_s3_journal_intend(vp_store *store, const char *bucket, const char *key, vp_error *err);
vp_status vpi_s3_journal_begin(vp_store *store, vp_s3_upload *upload, vp_error *err);
/* Parts that came in since. */
vp_status vpi_s3_journal_parts(vp_store *store, vp_s3_upload *upload, vp_error *err);
/*
 * Before Complete: sizes and sums of all parts, sent or on their way. What the server completes without us is known by
 * our marker, and its bytes by these.
 */
vp_status vpi_s3_journal_end(vp_store *store, vp_s3_upload *upload, vp_error *err);
vp_status vpi_s3_journal_clear(vp_store *store, const char *bucket, const char *key, vp_error *err);
/*
 * VP_END: none that is of use (and nothing of it is left). What the server has not is taken out. With synced.complete
 * it is the object already, and its parts are those of vpi_s3_journal_end.
 */
vp_status vpi_s3_journal_load(vp_s3 *s3, vp_store *store, const char *bucket, const char *key, uint64_t size,
                              vp_cancel *cancel, vp_s3_upload **out, vp_error *err);

/* ---- writer (writer.c): bytes in order, one request or parts ---- */

typedef struct vpi_s3_writer vpi_s3_writer;
typedef struct vpi_s3_writer_options {
    const char *bucket, *key;
    const char *lines; /* headers of the object; copied */
    uint64_t size;     /* VP_SIZE_UNKNOWN */
    uint32_t flags;    /* VP_S3_IF_ABSENT */
    vp_cancel *cancel; /* for what blocks; not referenced */
    vp_store *
        work; /* uploads in parts are written down there, and gone on with: equal parts are not sent again; NULL */
    void (*part_in)(
        void *user); /* on a thread of the client: vpi_s3_writer_note has something to write; may be NULL */
    void *user;
    bool keep; /* an upload that fails is left for a later try, not aborted; with work only */
    bool ends; /* vpi_s3_journal_end; with work only */
} vpi_s3_writer_options;
vp_status vpi_s3_writer_new(vp_s3 *s3, const vpi_s3_writer_options *options, vpi_s3_writer **out,
                            vp_error *err);
/*
 * Before the first byte: they are those of a source of the writer's size, from its start to its end. Of a local file
 * none of them is kept. What the source was when the work began is its identity; a change is SOURCE_CHANGED.
 */
void vpi_s3_writer_of(vpi_s3_writer *w, vp_source *source, const char *identity, bool local);
/*
 * Where the next bytes go: at least one byte of room, at most want. Blocks for memory and for the begin of an upload.
 */
vp_status vpi_s3_writer_space(vpi_s3_writer *w, size_t want, void **data, size_t *room, vp_error *err);
vp_status vpi_s3_writer_put(vpi_s3_writer *w, size_t size, vp_error *err); /* that many were put there */
/* Parts that came in since are written down; by whoever fills, also after finish as long as it is not freed. */
vp_status vpi_s3_writer_note(vpi_s3_writer *w, vp_error *err);
/* NULL as long as it may be one request. Borrowed. */
vp_s3_upload *vpi_s3_writer_upload(vpi_s3_writer *w);
/* Parts that are in by now; rises while bytes go. */
uint32_t vpi_s3_writer_parts_in(vpi_s3_writer *w);
/*
 * No more bytes. done comes once, on a thread of the client, or here (then before this returns); info may be looked at
 * in it. After done the writer is to be freed. vpi_s3_writer_stop makes it come soon.
 */
void vpi_s3_writer_finish(vpi_s3_writer *w,
                          void (*done)(void *user, vp_status st, const vp_s3_info *info, const vp_error *err),
                          void *user);
void vpi_s3_writer_stop(vpi_s3_writer *w);
/*
 * writer_again.c. In place of freeing it after done with a failure: whether that was because the server has parts
 * otherwise than they were sent, and they can be read again. Then they have to be sent, which blocks, and finish comes
 * again; a few times at most.
 */
bool vpi_s3_writer_lost(const vpi_s3_writer *w);
vp_status vpi_s3_writer_resend(vpi_s3_writer *w, vp_error *err);
/* The upload was brought to its end: out of the journal. Blocks, so not in done. */
vp_status vpi_s3_writer_forget(vpi_s3_writer *w, vp_error *err);
/* Blocks until nothing of it runs; parts are aborted unless it is kept. After done, or instead of finish. */
vpi_s3_writer *vpi_s3_writer_free(vpi_s3_writer *w);
uint64_t vpi_s3_writer_bytes(const vpi_s3_writer *w);

/* Called after each piece with the bytes so far. */
typedef vp_status (*vpi_s3_fill_fn)(void *user, uint64_t bytes, vp_error *err);
/*
 * Of a local file, where it pays: the next parts, hashed together and sent. fn may be NULL. VP_END: nothing was done,
 * go on with vpi_s3_writer_space.
 */
vp_status vpi_s3_writer_fill_parts(vpi_s3_writer *w, vpi_s3_fill_fn fn, void *user, vp_error *err);

/* put.c: CONFLICT SOURCE_CHANGED where it is not what it was. */
vp_status vpi_s3_source_changed(const char *key, vp_error *err);
vp_status vpi_s3_source_same(vp_source *source, const char *identity, uint64_t size, const char *key,
                             vp_error *err);
/* finish, and waiting for it on this thread; with parts sent again. */
vp_status vpi_s3_writer_wait(vpi_s3_writer *w, vp_cancel *cancel, vp_s3_info *info, vp_error *err);
/* All of a source; CONFLICT SOURCE_CHANGED where it is another at the end. fn may be NULL. */
vp_status vpi_s3_writer_fill(vpi_s3_writer *w, vp_source *source, const char *key, vpi_s3_fill_fn fn,
                             void *user, vp_error *err);

#endif
