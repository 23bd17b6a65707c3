/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_S3_WRITER_INT_H
#define VPI_S3_WRITER_INT_H

/*
 * Inside of a writer: writer.c fills it, writer_send.c has its bodies on their way, writer_end.c its end,
 * writer_again.c what has to be sent once more, writer_file.c the bytes of local files.
 */

#include "upload.h"

/* What of a file is read at a time is in the cache of one core: 256 KiB of one part, or 512 KiB of many. */
#define VPI_S3_APART ((size_t)64) /* between parts, so that they do not meet in the same sets of the cache */
#define VPI_S3_BLOCK (((size_t)512 << 10) + VPI_S3_TOGETHER * VPI_S3_APART)

/*
 * One body on its way. Made by need, kept until the writer ends, so that a list of them never changes under a reader.
 */
typedef struct vpi_s3_slot {
    struct vpi_s3_slot *next;
    vpi_s3_writer *writer;
    vpi_s3_part_op part;
    uint8_t *data;
    size_t capacity;
    uint64_t at, size; /* of a file instead */
    bool busy;
} vpi_s3_slot;

struct vpi_s3_writer {
    vp_s3 *s3;
    char *bucket, *key, *lines;
    uint64_t size;
    uint32_t flags;
    bool keep, ends;
    bool there; /* the object is, by what the journal says: its bytes are compared with those that come */
    vp_store *work;
    void (*part_in)(void *user);
    void *part_user;
    vp_cancel *cancel;
    vp_s3_upload *upload;
    /* where all of its bytes are, so that a part of them can be sent again; NULL: they come once */
    vp_source *source;
    vp_source *file; /* the same where it is a local one; the transfers read it too */
    char identity[256];
    uint64_t source_size;
    /* of whoever fills */
    uint8_t *block; /* of a file, in place of data */
    vpi_s3_summers *summers;
    uint8_t *data;
    size_t used, capacity, limit;
    vpi_s3_summer summer;
    uint32_t noted;   /* parts in the journal */
    int64_t noted_us; /* when it was written */
    uint32_t number;  /* of the part that is filled */
    uint64_t bytes;
    pthread_mutex_t lock;
    pthread_cond_t idle; /* nothing runs */
    struct {
        vpi_s3_slot *slots;
        unsigned running;
        bool stopping, finishing, completing, ended;
        uint32_t parts_in;
        vp_status st;
        vp_error err;
    } synced;
    /* the end */
    bool single;
    char marker[VPI_S3_MARKER];
    vpi_s3_op look;
    vp_s3_info info;
    vpi_s3_finish fin;
    uint32_t resends;
    void (*done)(void *user, vp_status st, const vp_s3_info *info, const vp_error *err);
    void *user;
};

/* writer.c, for whoever fills */
vp_status vpi_s3_writer_check(vpi_s3_writer *w,
                              vp_error *err); /* the cancel, and what went wrong elsewhere */
/* A while of the wait for room, with the client's lock; what came in meanwhile is written down without it. */
vp_status vpi_s3_writer_room_synced(vpi_s3_writer *w, vp_error *err);
/* More bytes than one request takes: from now on it goes in parts. Nothing where it does already. */
vp_status vpi_s3_writer_parts(vpi_s3_writer *w, vp_error *err);
/* In place of whatever was before. Also after a failure w->upload may be one, whose parts have to go. */
vp_status vpi_s3_writer_begin(vpi_s3_writer *w, bool plain, vp_error *err);

/* writer_send.c */
/* The `used` bytes before `bytes` are the next part. */
vp_status vpi_s3_writer_send(vpi_s3_writer *w, const vpi_s3_sums *sums, vp_error *err);
vp_status vpi_s3_writer_send_part(vpi_s3_writer *w,
                                  vp_error *err);  /* with the sums that were made as it was filled */
vpi_s3_slot *vpi_s3_writer_slot(vpi_s3_writer *w); /* NULL: no memory */
void vpi_s3_writer_move(vpi_s3_writer *w,
                        vpi_s3_slot *s); /* the bytes that were filled become the operation's */
/* Of a writer that was stopped meanwhile nothing goes on. */
vp_status vpi_s3_writer_start(vpi_s3_writer *w, vpi_s3_op *op, vp_error *err);
void vpi_s3_writer_take_off(vp_s3 *s3);
void vpi_s3_writer_release(vp_s3 *s3, size_t bytes, bool flew);
void vpi_s3_writer_failed_synced(vpi_s3_writer *w, vp_status st,
                                 const vp_error *err); /* the first one is told */
/* One less that runs. After it the writer may be gone. */
void vpi_s3_writer_landed(vpi_s3_writer *w);

/* writer_end.c: nothing runs any more, and no bytes come. */
void vpi_s3_writer_after_last(vpi_s3_writer *w);

/* writer_again.c: whether parts that the server lost can be sent again. */
bool vpi_s3_writer_can_resend(const vpi_s3_writer *w);
/* The object that is there is another from the next part on: a new upload, with what is before it copied. */
vp_status vpi_s3_writer_anew(vpi_s3_writer *w, vp_error *err);

/* writer_file.c */
size_t vpi_s3_file_read(void *user, uint64_t at, void *to, size_t room, vp_error *err); /* user: its slot */
vp_status vpi_s3_file_hold(vpi_s3_writer *w, vp_error *err); /* waits where enough parts are on their way */
vp_status vpi_s3_file_block(vpi_s3_writer *w, vp_error *err);
void vpi_s3_file_give(vpi_s3_writer *w);

#endif
