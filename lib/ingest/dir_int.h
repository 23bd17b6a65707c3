/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VPI_INGEST_DIR_INT_H
#define VPI_INGEST_DIR_INT_H

/*
 * The directory. Functions that answer an int give 0 or more, or a negative error number; each change of the disk goes
 * through vpi_fault_disk first.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "ingest/back.h"
#include "ingest/dir_pace.h"
#include "io/dir.h"

#define DIR_FOLDERS 16u
#define DIR_SMALL 32u /* buffers for small uploads */
#define DIR_PARKED 64u
#define DIR_NAME_ROOM (VP_UPLOAD_ID_MAX + 32)

/* A folder that is kept open; syncs that come together cost one, and what one has covered needs none of its own. */
typedef struct dir_folder {
    atomic_int fd;       /* -1 until it is used */
    atomic_ullong names; /* that were made in it by this process */
    pthread_mutex_t lock;
    pthread_cond_t done_cond;
    uint64_t asked, done; /* by lock: syncs that were asked for, those that came to an end */
    bool running;
    uint64_t durable, doubtful; /* names up to here are; a sync of those up to here failed */
    uint64_t failed;            /* all up to here that `done` covers newly failed with `rc` */
    int rc;
} dir_folder;

typedef struct dir_store {
    vp_context *context;
    vpi_dir *root;
    uint32_t fork_mark, wait_ms;
    bool unsynced;
    atomic_bool indirect; /* the file system refused direct writes */
    atomic_uint direct;   /* writes past the cache that run */
    vpi_pace pace;        /* of a store that syncs nothing */
    pthread_mutex_t lock; /* of making folders */
    struct {
        pthread_mutex_t lock;
        unsigned made, idle;
        uint8_t *free[DIR_SMALL]; /* the last one is the one that was used last */
    } small;
    struct {
        pthread_mutex_t lock;
        struct dir_item *items[DIR_PARKED];
        unsigned next; /* the oldest, or none */
    } parked;
    dir_folder uploads, shared, waiting;
    dir_folder parts[DIR_FOLDERS];
} dir_store;

/* One upload opened to write; see back.h. */
typedef struct dir_item {
    dir_store *store;
    dir_folder *folder;
    int rec, data;
    pthread_mutex_t steps_lock;
    unsigned steps; /* by it: that run right now, and share the lock of the file */
    bool held;      /* the lock is held from create to create_end */
    bool created;   /* there is a record; otherwise close takes the files away */
    uint64_t
        name; /* the newest that the record or the data got and that is not durable yet, of those of its folder; 0 */
    bool cut;    /* the data were, and that is not durable yet; with a file of their own */
    bool direct; /* `data` writes past the page cache */
    uint64_t fence, number;
    unsigned slot; /* where the record of that number is */
    size_t room;   /* of a slot */
    /* Where the bytes begin in the file of the record; 0: they have a file of their own. Then: */
    uint64_t base;
    uint64_t end;   /* of what counts in the file */
    uint8_t *small; /* room for a slot, then `small_have` bytes that the file has not; NULL: it has all */
    size_t small_have;
    vpi_buf record;  /* as it was made, of one that may be parked */
    uint64_t summed; /* so many of the bytes have the CRC-32C `sum` */
    uint32_t sum;
    char id[VP_UPLOAD_ID_MAX + 1];
} dir_item;

/* ---- dir_store.c ---- */
dir_folder *vpi_dirs_folder(dir_store *d, const char *id);
/*
 * The descriptor of a folder below `above` (NULL: the root), made when it is not there and `make`. It stays, and is for
 * another folder of that name where somebody removed the first one from outside.
 */
int vpi_dirs_open(dir_store *d, dir_folder *f, dir_folder *above, const char *name, bool make);
int vpi_dirs_upload_folder(dir_store *d, const char *id, bool make, dir_folder **out);
int vpi_dirs_sync(dir_store *d, dir_folder *f);
/* A name was made; its number, for vpi_dirs_sync_name. */
uint64_t vpi_dirs_named(dir_folder *f);
int vpi_dirs_sync_name(dir_store *d, dir_folder *f, uint64_t name);
void vpi_dirs_name(char name[DIR_NAME_ROOM], const char *before, const char *id, const char *after);
int vpi_dirs_openat(int at, const char *name, int flags);
int vpi_dirs_unlink(int at, const char *name); /* 0 also when there is none */
int vpi_dirs_datasync(const dir_store *d, int fd);

/* ---- dir_record.c ---- */
vp_status vpi_dirs_create(void *back, const char *id, size_t room, bool inside, void **item, vp_error *err);
vp_status vpi_dirs_create_end(void *item, const void *record, size_t size, bool durable, vp_error *err);
vp_status vpi_dirs_take(void *back, const char *id, bool idle, void **item, vpi_buf *record, uint64_t *fence,
                        vp_error *err);
vp_status vpi_dirs_look(void *back, const char *id, vpi_buf *record, uint64_t *fence, vp_error *err);
vp_status vpi_dirs_put(void *item, const void *record, size_t size, vp_error *err);
vp_status vpi_dirs_check(void *item, vp_error *err);
void vpi_dirs_close(void *item);
/* The same, and it is not parked. */
void vpi_dirs_dispose(dir_item *it);
int vpi_dirs_unlock_open(dir_item *it); /* as where it is not open */
vp_status vpi_dirs_destroy(void *back, const char *id, vp_error *err);
/* A step: the lock, and nobody has taken the upload. */
vp_status vpi_dirs_step(dir_item *it, vp_error *err);
void vpi_dirs_step_end(dir_item *it);
/* A file of an open item has no name: not by a remover of ours, which takes the item first. */
vp_status vpi_dirs_removed(const char *id, vp_error *err);
/* A record that never came to be, not even begun by a living process: true, and it is gone. */
bool vpi_dirs_drop_blank(int folder, const char *name);

/* ---- dir_data.c ---- */
/* Writes of so many bytes go past the page cache; tests make it less. */
extern _Atomic size_t vpi_dirs_direct_least;
vp_status vpi_dirs_begin(void *item, const vpi_buf *token, uint64_t offset, uint64_t length, vp_error *err);
vp_status vpi_dirs_finish(void *item, const vpi_buf *token, uint64_t size, vp_error *err);
vp_status vpi_dirs_write(void *item, uint64_t offset, const void *data, size_t size, size_t *done,
                         vp_error *err);
vp_status vpi_dirs_sync_data(void *item, vpi_buf *token, vp_error *err);
vp_status vpi_dirs_read(void *item, uint64_t offset, void *data, size_t size, vp_error *err);
vp_status vpi_dirs_copy(void *item, uint64_t offset, const char *from, uint64_t size, vp_error *err);
vp_status vpi_dirs_source(void *back, const char *id, const vpi_buf *token, uint64_t size, bool finished,
                          vp_source **out, vp_error *err);

/* ---- dir_share.c ---- */
vp_status vpi_dirs_share(void *item, vpi_buf *token, const char *scope, const char *sha256, uint64_t size,
                         bool *shared, vp_error *err);
vp_status vpi_dirs_remove(void *item, const vpi_buf *token, const char *scope, const char *sha256,
                          vp_error *err);
vp_status vpi_dirs_remove_data(void *item, const vpi_buf *token, const char *scope, const char *sha256,
                               vp_error *err);

/* ---- dir_list.c ---- */
vp_status vpi_dirs_list(void *back, vp_status (*fn)(void *user, const char *id), void *user, vp_error *err);
vp_status vpi_dirs_waiting(void *back, const char *id, bool add, vp_error *err);
vp_status vpi_dirs_waiting_list(void *back, vp_status (*fn)(void *user, const char *id), void *user,
                                vp_error *err);
void vpi_dirs_tidy(void *back, int64_t now_us, vp_cancel *cancel);

/* ---- dir_quota.c ---- */
vp_status vpi_dirs_quota_take(void *back, uint64_t bytes, uint64_t limit,
                              vp_status (*recount)(void *user, uint64_t *sum, vp_error *err), void *user,
                              intptr_t *hold, bool *fits, vp_error *err);
void vpi_dirs_quota_settle(void *back, intptr_t hold);
uint64_t vpi_dirs_quota_mark(void *back);
void vpi_dirs_quota_give(void *back, uint64_t bytes, uint64_t mark);

/* ---- dir_lock.c ---- */
/* F_WRLCK, F_RDLCK, F_UNLCK of one byte of an open file; does not wait: -EAGAIN. */
int vpi_dirs_lock(int fd, off_t at, short type);
/* Byte 0 of a record, to write; CONFLICT ALREADY_RUNNING when others hold it too long. */
vp_status vpi_dirs_lock_wait(const dir_store *d, int fd, const char *id, vp_error *err);
vp_status vpi_dirs_lock_failed(int rc, const char *id, vp_error *err);
void vpi_dirs_pause(long ms); /* below a second */

#endif
