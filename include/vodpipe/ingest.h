/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VODPIPE_INGEST_H
#define VODPIPE_INGEST_H

/*
 * Uploads that are resumed and never lose a byte. Tier 3.
 *
 *     vp_ingest_directory (or vp_ingest_s3, vp_ingest_new)       the store, one for a process
 *         -> vp_ingest_create, vp_ingest_open                    an upload, for one request
 *         -> vp_upload_append ... vp_upload_sync                 written; then durable: what clients may be told
 *         -> vp_upload_finish                                    the bytes as a vp_source, with their SHA-256
 *
 *     vp_tus_new -> vp_tus_begin, vp_tus_body, vp_tus_end        the same as a tus 1.0 server without sockets
 *
 * What is durable: a byte counts in the offset of an upload when the storage has confirmed it (fdatasync; S3's answer)
 * and the record that says so, too. After a crash, of the process or of the machine, the offset is never below one
 * that was told before. A write or a sync that fails fails the upload's request; what was confirmed before stays.
 *
 * Who may write: the newest. Opening an upload to write takes it from whoever has it, in this process or another one
 * on the same directory or bucket: the older handle answers CONFLICT TAKEN_OVER from then on, and a hung connection
 * needs no cooperation. Nothing is locked between two calls but a mark that the upload is open, for
 * vp_ingest_expire(); no lock outlives its process.
 *
 * Failures besides ARG, NOMEM, STATE: CONFLICT OFFSET_MISMATCH, TAKEN_OVER, ALREADY_RUNNING (another writes and did
 * not end within lock_wait_ms), LENGTH_MISMATCH (finish before the end; another length than before), ALREADY_EXISTS
 * (id); LIMIT UPLOAD_TOO_LARGE, QUOTA_EXCEEDED, TIMEOUT; DATA CHECKSUM_MISMATCH, UPLOAD_CORRUPT (the record of an
 * upload cannot be read); IO DISK_FULL, IO_ERROR and those of the back end; VP_END UPLOAD_UNKNOWN, UPLOAD_EXPIRED where
 * there is no such upload; UNSUPPORTED FEATURE_DISABLED in a library without OpenSSL's libcrypto.
 */

#include <vodpipe/event.h>
#include <vodpipe/io.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vp_ingest vp_ingest; /* thread-safe */
typedef struct vp_upload vp_upload; /* of one request: one thread at a time */

/* Bytes of an id: letters, digits, '-' and '_', the first not '-'. Others are refused with ARG. */
#define VP_UPLOAD_ID_MAX 64
/* Most bytes of metadata, and most parts that a concatenation is made of. */
#define VP_UPLOAD_METADATA_MAX 16384
#define VP_UPLOAD_PARTS_MAX 1000

/* ---- the store ---- */

/* vp_ingest_options.flags */
#define VP_INGESTF_VOLATILE 0x1u  /* nothing is synced: offsets survive the process, not the machine */
#define VP_INGESTF_NO_DEDUP 0x2u  /* finished uploads of equal bytes are kept apart */
#define VP_INGESTF_NO_DIGEST 0x4u /* no SHA-256 is made; implies NO_DEDUP */

typedef struct vp_ingest_options {
    uint32_t struct_size;
    uint32_t flags;     /* VP_INGESTF_* */
    uint64_t max_size;  /* bytes of one upload; 0: no limit */
    uint64_t quota;     /* bytes of all uploads in the store, the rest of those under way included; 0: none */
    uint64_t expire_ms; /* an unfinished upload may be removed this long after its last byte; 0: never */
    uint64_t
        sync_bytes; /* while a request runs, so many written bytes are made durable behind it; 0: 8 MiB */
    uint32_t lock_wait_ms; /* longest wait for a write or sync of another; 0: 2000 */
    uint32_t sync_threads; /* for starts and group commits; 0: 4; most 64 */
    vp_queue *queue;       /* referenced; where VP_EVENT_UPLOAD_* go, and/or: */
    vp_event_fn event;     /* on any thread; may look at the upload, not take or remove it; answer ignored */
    void *event_user;
    uint64_t tag;                  /* of these events */
    int64_t (*now_us)(void *user); /* microseconds since 1970, for expiry; NULL: the system's clock */
    void *now_user;
} vp_ingest_options;
#define VP_INGEST_OPTIONS_INIT                                                                               \
    {                                                                                                        \
        (uint32_t)sizeof(vp_ingest_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, 0, NULL, NULL            \
    }
VP_API void vp_ingest_options_init(vp_ingest_options *options, size_t size);

/*
 * A directory, made with the first upload; several processes may share it (one file system with fcntl locks and hard
 * links; without links there is no deduplication). Layout and records: lib/ingest/README.md. No I/O yet.
 */
VP_API vp_status vp_ingest_directory(vp_context *context, const char *path, const vp_ingest_options *options,
                                     vp_ingest **out, vp_error *err);
VP_API vp_ingest *vp_ingest_ref(vp_ingest *ingest);
VP_API vp_ingest *vp_ingest_unref(vp_ingest *ingest);

/* ---- uploads ---- */

/* vp_upload_options.flags, vp_upload_info.flags */
#define VP_UPLOADF_PARTIAL 0x1u   /* a part of a later concatenation */
#define VP_UPLOADF_FINAL 0x2u     /* info: made of parts */
#define VP_UPLOADF_ANY_ORDER 0x4u /* vp_upload_write_at is used: ranges are recorded */

typedef struct vp_upload_options {
    uint32_t struct_size;
    uint32_t flags;    /* VP_UPLOADF_PARTIAL, VP_UPLOADF_ANY_ORDER */
    uint64_t length;   /* bytes; VP_SIZE_UNKNOWN: told later (vp_upload_set_length) */
    const char *id;    /* NULL: 32 random hex digits are made */
    const char *scope; /* whose it is: equal bytes are shared within one scope only; NULL, "": in a directory
                             those of 128 KiB or less are not shared, which is quicker; at most 1 KiB */
    const void *metadata; /* the host's bytes, kept as they are */
    uint64_t metadata_size;
    const char *
        digest; /* of the whole file, told by the client: "sha256:" or "sha1:" or "md5:" or "crc32c:" and hex; finish
                           compares; NULL: none */
    uint64_t expire_ms; /* 0: as the store */
    const char *
        parts; /* ids of partial uploads between single spaces: concatenated into this one; length is theirs */
    uint32_t reserved;
    uint32_t
        parts_may_grow; /* 1: parts may be unfinished, the concatenation then happens when the last one is whole */
} vp_upload_options;
#define VP_UPLOAD_OPTIONS_INIT                                                                               \
    {                                                                                                        \
        (uint32_t)sizeof(vp_upload_options), 0, VP_SIZE_UNKNOWN, NULL, NULL, NULL, 0, NULL, 0, NULL, 0, 0    \
    }
VP_API void vp_upload_options_init(vp_upload_options *options, size_t size);

/* vp_upload_info.state */
enum {
    VP_UPLOAD_OPEN = 1,     /* bytes may come */
    VP_UPLOAD_WAITING = 2,  /* a concatenation whose parts are not whole yet */
    VP_UPLOAD_COMPLETE = 3, /* all bytes are there, vp_upload_finish was not called or did not end */
    VP_UPLOAD_FINISHED = 4
};

typedef struct vp_upload_info {
    uint32_t struct_size;
    int32_t state;
    uint32_t flags;
    uint32_t shared;    /* FINISHED: 1: the bytes were there before, by another upload of the scope */
    uint64_t length;    /* VP_SIZE_UNKNOWN: not told yet */
    uint64_t offset;    /* durable bytes from the begin */
    uint64_t received;  /* durable bytes in all; more than offset with ANY_ORDER */
    int64_t created_us; /* microseconds since 1970 */
    int64_t expires_us; /* 0: never */
    uint64_t writes;    /* how often it was opened to write */
    uint64_t metadata_size;
    char id[68];
    char sha256[68]; /* FINISHED: hex; "" without digest */
} vp_upload_info;
#define VP_UPLOAD_INFO_INIT                                                                                  \
    {                                                                                                        \
        (uint32_t)sizeof(vp_upload_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, { 0 },                               \
        {                                                                                                    \
            0                                                                                                \
        }                                                                                                    \
    }
VP_API void vp_upload_info_init(vp_upload_info *info, size_t size);

/*
 * It survives the process; the machine only with its first durable byte (of a length of 0, or with parts, at once).
 * LIMIT UPLOAD_TOO_LARGE, QUOTA_EXCEEDED (the whole length is set apart). A length of 0 is COMPLETE at once. With
 * parts: CONFLICT LENGTH_MISMATCH when one is not whole, VP_END when one is gone, ARG when one is not PARTIAL; the
 * same part may be named again.
 */
VP_API vp_status vp_ingest_create(vp_ingest *ingest, const vp_upload_options *options, vp_upload **out,
                                  vp_error *err);
/*
 * To write: takes the upload over. Waits for a write or sync under way, at most lock_wait_ms: CONFLICT
 * ALREADY_RUNNING.
 */
VP_API vp_status vp_ingest_open(vp_ingest *ingest, const char *id, vp_upload **out, vp_error *err);
/* Looks, without taking and without waiting. metadata (may be NULL): the caller's, as given at creation. */
VP_API vp_status vp_ingest_stat(vp_ingest *ingest, const char *id, vp_upload_info *info, vp_bytes **metadata,
                                vp_error *err);
/*
 * What is durable so far, while more comes: reads beyond it answer VP_AGAIN, which vp_probe hands on (probe.h). size is
 * the declared length; VP_AGAIN as long as none is: then vp_probe refuses only what is no media by its head. Of a
 * FINISHED upload: its bytes.
 */
VP_API vp_status vp_ingest_peek(vp_ingest *ingest, const char *id, vp_source **out, vp_error *err);
/* The bytes of a FINISHED upload; they stay readable through *out also when it is removed. STATE before that. */
VP_API vp_status vp_ingest_source(vp_ingest *ingest, const char *id, vp_source **out, vp_error *err);
/* Takes it over and removes it; shared bytes stay as long as another upload has them. OK also when there is none. */
VP_API vp_status vp_ingest_remove(vp_ingest *ingest, const char *id, vp_error *err);
/* fn gets each upload's info in no order; what it answers but VP_OK ends the list and is returned. */
typedef vp_status (*vp_upload_fn)(void *user, const vp_upload_info *info);
VP_API vp_status vp_ingest_list(vp_ingest *ingest, vp_upload_fn fn, void *user, vp_error *err);
/*
 * Removes unfinished uploads whose time is over, and what killed processes left; never one that is being written. An id
 * is remembered for a day: UPLOAD_EXPIRED. count (may be NULL): removed uploads.
 */
VP_API vp_status vp_ingest_expire(vp_ingest *ingest, vp_cancel *cancel, uint64_t *count, vp_error *err);

/* ---- one upload, for one request ---- */

/* Gives up the handle; what was written is synced if it can be and counts. NULL is allowed; returns NULL. */
VP_API vp_upload *vp_upload_close(vp_upload *upload);
VP_API vp_status vp_upload_get_info(vp_upload *upload, vp_upload_info *info, vp_error *err);
/* Bytes written through this handle and before: where the next append goes. */
VP_API uint64_t vp_upload_offset(const vp_upload *upload);
/* Of a deferred length; once. CONFLICT LENGTH_MISMATCH when it was told before and differs or is below the offset. */
VP_API vp_status vp_upload_set_length(vp_upload *upload, uint64_t length, vp_error *err);
/*
 * Writes size bytes at offset, which must be vp_upload_offset() (CONFLICT OFFSET_MISMATCH, nothing written). Bytes
 * beyond the length: LIMIT UPLOAD_TOO_LARGE, those up to it are written. Not durable yet. Small pieces are fine: those
 * of a large upload in a directory are gathered, and written and hashed 1 MiB at a time by threads of the store, up to
 * 5 MiB behind the call. So a failure, also TAKEN_OVER from another process, may come some pieces late, at the latest
 * with the sync, and vp_upload_offset() has gone back to what was written.
 */
VP_API vp_status vp_upload_append(vp_upload *upload, uint64_t offset, const void *data, size_t size,
                                  vp_error *err);
/* With ANY_ORDER: anywhere below the length; a range that came before is not written again. STATE before it is told. */
VP_API vp_status vp_upload_write_at(vp_upload *upload, uint64_t offset, const void *data, size_t size,
                                    vp_error *err);
/*
 * Missing range number index (from 0) in rising order, of what is written: *from to *to (exclusive). VP_END: no more.
 */
VP_API vp_status vp_upload_missing(vp_upload *upload, uint64_t index, uint64_t *from, uint64_t *to,
                                   vp_error *err);
/*
 * vp_upload_append() for an event loop: it waits for no disk and no network (but while a newer request takes the upload
 * over). VP_OK: taken, and no event comes. VP_AGAIN: it would have waited (for blocks under way, a sync behind, a back
 * end other than a directory) and is being taken behind the caller's back; data stay as they are, and only
 * vp_upload_close() may be called with the upload, until VP_EVENT_UPLOAD_SYNCED with this tag comes to queue. Its
 * status is that of the append; its done is what is durable by then, vp_upload_offset() what was taken.
 */
VP_API vp_status vp_upload_append_start(vp_upload *upload, uint64_t offset, const void *data, size_t size,
                                        vp_queue *queue, uint64_t tag, vp_error *err);
/*
 * A chunk with a checksum: what is written until check_end does not count, also not after a crash, until it has been
 * found right there. algorithm: "sha1" "sha256" "md5" "crc32c"; UNSUPPORTED for others. digest: its 4 (big-endian) to
 * 32 bytes. check_end with another digest: DATA CHECKSUM_MISMATCH, and the offset is what it was at check_begin. The
 * digest may be told at the end only (a trailer).
 */
VP_API vp_status vp_upload_check_begin(vp_upload *upload, const char *algorithm, vp_error *err);
VP_API vp_status vp_upload_check_end(vp_upload *upload, const void *digest, size_t size, vp_error *err);
VP_API void vp_upload_check_drop(vp_upload *upload); /* as after a mismatch */
/* All that was written (and is not under check) is durable when it returns. */
VP_API vp_status vp_upload_sync(vp_upload *upload, vp_error *err);
/*
 * The same behind the caller's back: VP_EVENT_UPLOAD_SYNCED with this tag comes to queue, once for each start; until
 * then only vp_upload_close() may be called with the upload, which waits. Several that come together cost one sync.
 */
VP_API vp_status vp_upload_sync_start(vp_upload *upload, vp_queue *queue, uint64_t tag, vp_error *err);
/*
 * The last step, when all bytes are there: synced, its digest compared (DATA CHECKSUM_MISMATCH: removed), shared with
 * equal bytes of the scope, FINISHED. Repeatable: a finished upload answers OK again. info may be NULL.
 */
VP_API vp_status vp_upload_finish(vp_upload *upload, vp_source **out, vp_upload_info *info, vp_error *err);
VP_API vp_status vp_upload_finish_start(vp_upload *upload, vp_queue *queue, uint64_t tag, vp_error *err);

/* ---- a back end of the host ---- */

/* Where a callback puts bytes; copied. version is for record_get, 0 otherwise. */
typedef struct vp_ingest_reply vp_ingest_reply;
VP_API vp_status vp_ingest_reply_set(vp_ingest_reply *reply, const void *data, uint64_t size,
                                     uint64_t version, vp_error *err);

/*
 * Two things under each id: a record (up to 256 KiB, replaced as a whole and only by who knows its version) and data
 * that grows at its end. Calls for different ids overlap; for one id they may come from several processes, and the
 * version of the record decides whose count. Names of ids are safe (see VP_UPLOAD_ID_MAX). All are required but
 * data_share, tidy, interrupt and release.
 */
typedef struct vp_ingest_ops {
    uint32_t struct_size;
    uint32_t flags; /* 0 */
    /* Answers with vp_ingest_reply_set(reply, record, size, version). VP_END: none. */
    vp_status (*record_get)(void *user, const char *id, vp_ingest_reply *reply, vp_error *err);
    /*
     * Durable when it returns. version: what record_get or the last record_put told, 0: there must be none yet. Another
     * version is there: CONFLICT, nothing changed. *now: the new version, never 0.
     */
    vp_status (*record_put)(void *user, const char *id, const void *data, uint64_t size, uint64_t version,
                            uint64_t *now, vp_error *err);
    vp_status (*record_remove)(void *user, const char *id, vp_error *err); /* OK when there is none */
    vp_status (*record_list)(void *user, vp_list_fn fn, void *fn_user, vp_error *err); /* info.key: the id */
    /*
     * Opens the data of an upload for its newest writer. token: what the last data_sync told (size 0: nothing was
     * written yet), offset: how many bytes are valid; what is beyond it is dropped. length: VP_SIZE_UNKNOWN or all.
     * The writer before, in another process, may not know yet and still append: its bytes must not come among those of
     * this one. (Each data_open writes to a place of its own, which the token names; or the older one is refused.)
     */
    vp_status (*data_open)(void *user, const char *id, const void *token, uint64_t token_size,
                           uint64_t offset, uint64_t length, void **data, vp_error *err);
    vp_status (*data_append)(void *user, void *data, const void *bytes, size_t size, vp_error *err);
    /* All appended bytes are durable. The token (up to 192 KiB) goes into the record, through reply. */
    vp_status (*data_sync)(void *user, void *data, vp_ingest_reply *reply, vp_error *err);
    void (*data_close)(void *user, void *data);
    /*
     * All bytes are synced: they become an object that data_source opens. Repeatable with the same token. size 0:
     * nothing was ever opened and there is no token.
     */
    vp_status (*data_finish)(void *user, const char *id, const void *token, uint64_t token_size,
                             uint64_t size, vp_error *err);
    /* Of a finished upload; or of one under way, by its token: its first size bytes. */
    vp_status (*data_source)(void *user, const char *id, const void *token, uint64_t token_size,
                             uint64_t size, vp_source **out, vp_error *err);
    /* OK when there is none. token_size 0: nothing was written, or the record cannot be read: all there is of id. */
    vp_status (*data_remove)(void *user, const char *id, const void *token, uint64_t token_size,
                             vp_error *err);
    /*
     * Optional: the finished data of id becomes the same as that of the name `scope`/`sha256` (hex, scope any text), or
     * is put there as the first; *shared tells which. Removing id's data later leaves it to the others. Where data is
     * found otherwise from now on, reply gets the token that the record keeps in place of this one; the old one must do
     * for the same call, and for data_finish, until then.
     */
    vp_status (*data_share)(void *user, const char *id, const void *token, uint64_t token_size,
                            const char *scope, const char *sha256, uint64_t size, vp_ingest_reply *reply,
                            uint32_t *shared, vp_error *err);
    /* Optional: with vp_ingest_expire; what killed processes left and no record knows goes. Fails silently. */
    void (*tidy)(void *user, vp_cancel *cancel);
    void (*interrupt)(void *user);
    void (*release)(void *user);
} vp_ingest_ops;
#define VP_INGEST_OPS_INIT                                                                                   \
    {                                                                                                        \
        (uint32_t)sizeof(vp_ingest_ops), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,      \
            NULL, NULL, NULL, NULL, NULL                                                                     \
    }
VP_API void vp_ingest_ops_init(vp_ingest_ops *ops, size_t size);

/* ANY_ORDER uploads answer UNSUPPORTED; concatenation copies through data_source. On failure release is not called. */
VP_API vp_status vp_ingest_new(vp_context *context, const vp_ingest_ops *ops, void *user,
                               const vp_ingest_options *options, vp_ingest **out, vp_error *err);

#ifdef __cplusplus
}
#endif

#endif
