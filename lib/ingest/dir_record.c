/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Records: making, taking, looking at and replacing them; what is in the file is dir_slot.c's. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "ingest/dir_slot.h"

#define TRIES 100
#define TORN_TRIES 20
#define LOOK_MS 200

/*
 * Bytes of the file that are locked (F_OFD_SETLK): 0 during one step; 1, shared, as long as an item is open, which only
 * whoever looks for idle uploads asks for.
 */
#define LOCK_STEP 0
#define LOCK_OPEN 1

static vp_status corrupt(const char *id, vp_error *err)
{
    vpi_error_key(err, id);
    return vpi_fail(err, VP_E_DATA, "UPLOAD_CORRUPT", "the record of the upload cannot be read");
}

vp_status vpi_dirs_removed(const char *id, vp_error *err)
{
    vpi_error_key(err, id);
    return vpi_fail(err, VP_E_DATA, "UPLOAD_CORRUPT", "the files of the upload were removed");
}

static vp_status unreadable(int rc, const char *id, vp_error *err)
{
    if (rc == -ENOMEM) return vpi_fail_nomem(err);
    return vpi_fail_errno(err, -rc, id, "reading the upload's record failed");
}

static vp_status give(const slot_file *f, int which, vpi_buf *record, vp_error *err)
{
    vpi_buf_clear(record);
    vpi_buf_add(record, f->slots[which].record, f->slots[which].size);
    return record->failed ? vpi_fail_nomem(err) : VP_OK;
}

static slot_head head_of(const dir_item *it, uint64_t durable)
{
    return (slot_head){ it->fence, durable, it->room, it->base > 0 };
}

/* ---- items ---- */

static vp_status item_new(dir_store *d, const char *id, dir_folder *f, dir_item **out, vp_error *err)
{
    dir_item *it = vpi_calloc(1, sizeof(*it));

    if (!it) return vpi_fail_nomem(err);
    it->store = d;
    it->folder = f;
    it->rec = it->data = -1;
    pthread_mutex_init(&it->steps_lock, NULL);
    vpi_strlcpy(it->id, id, sizeof(it->id));
    *out = it;
    return VP_OK;
}

int vpi_dirs_unlock_open(dir_item *it)
{
    return vpi_dirs_lock(it->rec, LOCK_OPEN, F_UNLCK);
}

void vpi_dirs_close(void *item)
{
    if (!vpi_park(item)) vpi_dirs_dispose(item);
}

void vpi_dirs_dispose(dir_item *it)
{
    char name[DIR_NAME_ROOM];
    int at = atomic_load(&it->folder->fd);

    if (it->rec >= 0 && !it->created && it->held && !vpi_forked(it->store->fork_mark)) {
        /* Under the lock that create took: nobody has seen it. */
        vpi_dirs_name(name, "", it->id, ".data");
        if (it->base == 0) vpi_dirs_unlink(at, name);
        vpi_dirs_name(name, "", it->id, ".rec");
        vpi_dirs_unlink(at, name);
    }
    vpi_small_return(it);
    vpi_buf_dispose(&it->record);
    if (it->data >= 0) close(it->data);
    if (it->rec >= 0) close(it->rec);
    if (!vpi_forked(it->store->fork_mark)) pthread_mutex_destroy(&it->steps_lock);
    vpi_free(it);
}

/* A write and a put may come at the same time, from two threads: the file's lock is both's. */
vp_status vpi_dirs_step(dir_item *it, vp_error *err)
{
    vp_status st = VP_OK;

    if (it->held) return VP_OK;
    pthread_mutex_lock(&it->steps_lock);
    if (it->steps == 0) st = vpi_dirs_lock_wait(it->store, it->rec, it->id, err);
    if (st == VP_OK && vpi_slot_head(it->rec).fence != it->fence) {
        if (it->steps == 0) vpi_dirs_lock(it->rec, LOCK_STEP, F_UNLCK);
        st = vpi_fail(err, VP_E_CONFLICT, "TAKEN_OVER", "a newer request writes the upload");
    }
    if (st == VP_OK) it->steps++;
    pthread_mutex_unlock(&it->steps_lock);
    return st;
}

void vpi_dirs_step_end(dir_item *it)
{
    if (it->held) return;
    pthread_mutex_lock(&it->steps_lock);
    if (--it->steps == 0) vpi_dirs_lock(it->rec, LOCK_STEP, F_UNLCK);
    pthread_mutex_unlock(&it->steps_lock);
}

vp_status vpi_dirs_check(void *item, vp_error *err)
{
    VPI_TRY(vpi_dirs_step(item, err));
    vpi_dirs_step_end(item);
    return VP_OK;
}

/* ---- a new one ---- */

static vp_status lock_record(dir_item *it, bool idle, vp_error *err)
{
    int rc;

    if (!idle) return vpi_dirs_lock_wait(it->store, it->rec, it->id, err);
    rc = vpi_dirs_lock(it->rec, LOCK_STEP, F_WRLCK);
    if (rc == 0) rc = vpi_dirs_lock(it->rec, LOCK_OPEN, F_WRLCK);
    return rc == -EAGAIN ? VP_AGAIN : rc < 0 ? vpi_dirs_lock_failed(rc, it->id, err) : VP_OK;
}

/* Opens, locks and reads ID.rec, which a remover may unlink between the first two. */
static vp_status open_locked(dir_item *it, int at, int flags, bool idle, slot_file *f, vp_error *err)
{
    char name[DIR_NAME_ROOM];
    vp_status st = VP_OK;
    int rc;

    vpi_dirs_name(name, "", it->id, ".rec");
    for (int tries = 0; tries < TRIES; tries++) {
        it->rec = vpi_dirs_openat(at, name, flags);
        if (it->rec == -ENOENT) return VP_END;
        if (it->rec < 0) return vpi_fail_errno(err, -it->rec, it->id, "opening the upload's record failed");
        st = lock_record(it, idle, err);
        if (st == VP_OK) {
            rc = vpi_slots_read(it->rec, f);
            if (rc < 0) return unreadable(rc, it->id, err);
            if (f->links > 0) return VP_OK;
        }
        close(it->rec);
        it->rec = -1;
        if (st != VP_OK) return st;
    }
    return vpi_dirs_lock_failed(-EAGAIN, it->id, err);
}

/* The same of one that is new; most are. VP_AGAIN: it is not, or somebody else got hold of it. */
static vp_status make_locked(dir_item *it, int at, vp_error *err)
{
    char name[DIR_NAME_ROOM];
    struct stat s;

    vpi_dirs_name(name, "", it->id, ".rec");
    it->rec = vpi_dirs_openat(at, name, O_RDWR | O_CREAT | O_EXCL);
    if (it->rec == -EEXIST) return VP_AGAIN;
    if (it->rec < 0) return vpi_fail_errno(err, -it->rec, it->id, "making the upload's record failed");
    VPI_TRY(vpi_dirs_lock_wait(it->store, it->rec, it->id, err));
    if (fstat(it->rec, &s) == 0 && s.st_nlink > 0 && s.st_size == 0) return VP_OK;
    close(it->rec);
    it->rec = -1;
    return VP_AGAIN;
}

/* One of this name is there: it counts, or it never came to be and its place is taken. */
static vp_status make_over(dir_item *it, int at, vp_error *err)
{
    slot_file f = { 0 };
    vp_status st = open_locked(it, at, O_RDWR | O_CREAT, false, &f, err);
    int rc = 0;

    if (st == VP_OK) rc = vpi_slots_prove(it->rec, &f);
    if (rc < 0) st = unreadable(rc, it->id, err);
    if (st == VP_OK && (f.newest >= 0 || f.torn))
        st = vpi_fail(err, VP_E_CONFLICT, "ALREADY_EXISTS", "there is an upload of this id");
    if (st == VP_OK && f.end > 0) {
        rc = vpi_fault_disk();
        if (rc == 0 && ftruncate(it->rec, 0) != 0) rc = -errno;
        if (rc < 0) st = vpi_fail_errno(err, -rc, it->id, "making the upload's record failed");
    }
    vpi_buf_dispose(&f.bytes);
    return st;
}

static vp_status make_data(dir_item *it, int at, vp_error *err)
{
    char name[DIR_NAME_ROOM];
    int fd;

    vpi_dirs_name(name, "", it->id, ".data");
    fd = vpi_dirs_openat(at, name, O_RDWR | O_CREAT | O_EXCL);
    if (fd == -EEXIST) {
        /* Of one whose removal was cut short; its bytes may be shared, so it is not truncated. */
        fd = vpi_dirs_unlink(at, name);
        if (fd == 0) fd = vpi_dirs_openat(at, name, O_RDWR | O_CREAT | O_EXCL);
    }
    if (fd < 0) return vpi_fail_errno(err, -fd, it->id, "making the upload's file failed");
    it->data = fd;
    return VP_OK;
}

vp_status vpi_dirs_create(void *back, const char *id, size_t room, bool inside, void **item, vp_error *err)
{
    dir_store *d = back;
    dir_folder *f;
    dir_item *it = NULL;
    vp_status st;
    int at = vpi_dirs_upload_folder(d, id, true, &f);
    int rc;

    if (at < 0) return vpi_fail_errno(err, -at, NULL, "making the folder of uploads failed");
    VPI_TRY(item_new(d, id, f, &it, err));
    st = make_locked(it, at, err);
    if (st == VP_AGAIN) st = make_over(it, at, err);
    if (st != VP_OK) goto done;
    it->held = true;
    it->fence = 1;
    it->room = vpi_slot_room(room, inside);
    it->end = vpi_slot_at(it->room, inside, 2);
    if (inside) it->base = it->end;
    rc = vpi_dirs_lock(it->rec, LOCK_OPEN, F_RDLCK);
    if (rc < 0) {
        st = vpi_dirs_lock_failed(rc, id, err);
        goto done;
    }
    if (!inside) st = make_data(it, at, err);
    it->name = vpi_dirs_named(f); /* of both files */
done:
    if (st == VP_OK) {
        *item = it;
    } else {
        vpi_dirs_close(it);
    }
    return st;
}

vp_status vpi_dirs_create_end(void *item, const void *record, size_t size, bool durable, vp_error *err)
{
    dir_item *it = item;
    slot first = { .record = record, .size = size, .fence = it->fence };
    int rc;

    if (size > vpi_slot_most(it->room, it->base > 0))
        return vpi_fail(err, VP_E_INTERNAL, NULL, "the record has outgrown its room");
    it->number = first.number = durable ? SLOT_FIRST_DURABLE : SLOT_FIRST;
    rc = vpi_slots_make(it->rec, head_of(it, SLOT_UNNAMED), &first);
    if (rc == 0 && durable) rc = vpi_dirs_datasync(it->store, it->rec);
    if (rc == 0 && durable) rc = vpi_dirs_sync(it->store, it->folder);
    if (rc == -ENOMEM) return vpi_fail_nomem(err);
    if (rc < 0) return vpi_fail_errno(err, -rc, it->id, "making the upload durable failed");
    /* If this cannot be written, whoever comes next syncs once more. */
    if (durable) (void)vpi_slot_write_head(it->rec, head_of(it, it->number));
    if (durable)
        it->name = 0;
    else
        vpi_park_note(it, record, size);
    it->created = true;
    it->held = false;
    vpi_dirs_lock(it->rec, LOCK_STEP, F_UNLCK);
    return VP_OK;
}

bool vpi_dirs_drop_blank(int folder, const char *name)
{
    slot_file c = { 0 };
    bool dropped = false;
    int fd = vpi_dirs_openat(folder, name, O_RDWR);

    if (fd < 0) return false;
    if (vpi_dirs_lock(fd, LOCK_STEP, F_WRLCK) == 0 && vpi_slots_read(fd, &c) == 0 &&
        vpi_slots_prove(fd, &c) == 0 && c.newest < 0 && !c.torn)
        dropped = vpi_dirs_unlink(folder, name) == 0;
    vpi_buf_dispose(&c.bytes);
    close(fd);
    return dropped;
}

/* ---- taking one ---- */

/* As it was made, of an upload that has confirmed nothing yet: there is nothing in it that a crash must not take. */
static bool never_put(const slot_file *f)
{
    return f->head.durable == SLOT_UNNAMED && f->slots[f->newest].number == SLOT_FIRST;
}

static int sync_record(dir_store *d, dir_folder *f, int fd, bool named)
{
    int rc = vpi_dirs_datasync(d, fd);

    return rc == 0 && !named ? vpi_dirs_sync(d, f) : rc;
}

/* With the lock, as it was read. What is found is durable when it answers VP_OK, but for what never_put() says. */
static vp_status make_durable(dir_item *it, slot_file *f, vp_error *err)
{
    int rc = vpi_slots_prove(it->rec, f);

    if (rc < 0) return unreadable(rc, it->id, err);
    if (f->newest < 0) return f->torn ? corrupt(it->id, err) : VP_END;
    /* It must not count again when other bytes come to be there. */
    if (f->dropped >= 0) rc = vpi_slot_wipe(it->rec, &f->head, (unsigned)f->dropped);
    /* Its writer may have been killed between the write and the sync. */
    if (rc == 0 && f->slots[f->newest].number > f->head.durable && !never_put(f))
        rc = sync_record(it->store, it->folder, it->rec, f->head.durable != SLOT_UNNAMED);
    return rc < 0 ? vpi_fail_errno(err, -rc, it->id, "making the upload's record durable failed") : VP_OK;
}

static void take_over(dir_item *it, const slot_file *f)
{
    const slot *s = &f->slots[f->newest];

    it->slot = (unsigned)f->newest;
    it->number = s->number;
    it->room = f->room;
    it->fence = VPI_MAX(f->head.fence, s->fence) + 1;
    if (never_put(f)) it->name = vpi_dirs_named(it->folder); /* made by somebody, before */
    it->end = f->end;
    if (f->head.inside) it->base = vpi_slot_at(f->room, true, 2);
    it->summed = s->bytes;
    it->sum = s->sum;
}

/* One that was parked, if it is still as it was. VP_END: it is not. */
static vp_status resume(dir_item *it, bool idle, vpi_buf *record, uint64_t *fence, vp_error *err)
{
    struct stat s;
    slot_head h;
    int rc;

    VPI_TRY(lock_record(it, idle, err));
    h = vpi_slot_head(it->rec);
    if (fstat(it->rec, &s) != 0 || s.st_nlink == 0 || (uint64_t)s.st_size != it->end ||
        h.fence != it->fence || h.durable != SLOT_UNNAMED)
        return VP_END;
    vpi_buf_clear(record);
    vpi_buf_add(record, it->record.data, it->record.size);
    if (record->failed) return vpi_fail_nomem(err);
    vpi_buf_dispose(&it->record);
    it->fence++;
    rc = vpi_dirs_lock(it->rec, LOCK_OPEN, F_RDLCK);
    if (rc < 0) return vpi_dirs_lock_failed(rc, it->id, err);
    rc = vpi_slot_write_head(it->rec, head_of(it, SLOT_UNNAMED));
    if (rc < 0) return vpi_fail_errno(err, -rc, it->id, "writing the upload's record failed");
    *fence = it->fence;
    vpi_dirs_lock(it->rec, LOCK_STEP, F_UNLCK);
    return VP_OK;
}

static vp_status take_parked(dir_store *d, const char *id, bool idle, void **item, vpi_buf *record,
                             uint64_t *fence, vp_error *err)
{
    dir_item *it;
    vp_status st = VP_END;

    while (st == VP_END && (it = vpi_unpark(d, id)) != NULL) {
        st = resume(it, idle, record, fence, err);
        if (st == VP_OK)
            *item = it;
        else
            vpi_dirs_dispose(it);
    }
    return st;
}

vp_status vpi_dirs_take(void *back, const char *id, bool idle, void **item, vpi_buf *record, uint64_t *fence,
                        vp_error *err)
{
    dir_store *d = back;
    dir_folder *f;
    dir_item *it = NULL;
    slot_file c = { 0 };
    vp_status st;
    int at = vpi_dirs_upload_folder(d, id, false, &f), rc;

    if (at == -ENOENT) return VP_END;
    if (at < 0) return vpi_fail_errno(err, -at, NULL, "opening the folder of uploads failed");
    st = take_parked(d, id, idle, item, record, fence, err);
    if (st != VP_END) return st;
    VPI_TRY(item_new(d, id, f, &it, err));
    it->created = true;
    st = open_locked(it, at, O_RDWR, idle, &c, err);
    if (st == VP_OK) st = make_durable(it, &c, err);
    if (st == VP_OK) st = give(&c, c.newest, record, err);
    if (st != VP_OK) goto done;
    take_over(it, &c);
    rc = vpi_dirs_lock(it->rec, LOCK_OPEN, F_RDLCK);
    if (rc < 0) {
        st = vpi_dirs_lock_failed(rc, id, err);
        goto done;
    }
    rc = vpi_slot_write_head(it->rec, head_of(it, it->name > 0 ? SLOT_UNNAMED : it->number));
    if (rc < 0) st = vpi_fail_errno(err, -rc, id, "writing the upload's record failed");
    *fence = it->fence;
done:
    vpi_buf_dispose(&c.bytes);
    if (st == VP_OK) {
        vpi_dirs_lock(it->rec, LOCK_STEP, F_UNLCK);
        *item = it;
    } else {
        vpi_dirs_close(it);
    }
    return st;
}

vp_status vpi_dirs_destroy(void *back, const char *id, vp_error *err)
{
    dir_store *d = back;
    dir_folder *f;
    dir_item *it = NULL;
    slot_file c = { 0 };
    vp_status st;
    int at = vpi_dirs_upload_folder(d, id, false, &f);

    if (at == -ENOENT) return VP_OK;
    if (at < 0) return vpi_fail_errno(err, -at, NULL, "opening the folder of uploads failed");
    VPI_TRY(item_new(d, id, f, &it, err));
    it->created = true;
    st = open_locked(it, at, O_RDWR, false, &c, err);
    vpi_buf_dispose(&c.bytes);
    if (st == VP_OK) {
        it->held = true;
        st = vpi_dirs_remove(it, NULL, NULL, NULL, err);
    }
    vpi_dirs_close(it);
    return st == VP_END ? VP_OK : st;
}

/* ---- looking ---- */

/* The slot that was durable before the newest, or -1. */
static int older(const slot_file *c)
{
    int other = 1 - c->newest;
    uint64_t number = c->slots[other].number;

    return number > 0 &&
                   (number == c->head.durable || (number == SLOT_FIRST && c->head.durable == SLOT_UNNAMED))
               ? other
               : -1;
}

/* It is being made: nobody was told of it. */
static bool being_made(const slot_file *c)
{
    return c->newest >= 0 && c->head.durable == SLOT_UNNAMED && c->slots[1 - c->newest].number == 0;
}

/* Neither waits for a put that is under way nor believes it: -EAGAIN when there is nothing to say yet. */
static int look_once(dir_store *d, dir_folder *f, int fd, slot_file *c, int *which)
{
    int rc = vpi_slots_read(fd, c);

    for (int tries = 0; rc == 0 && c->torn && tries < TORN_TRIES; tries++) {
        sched_yield(); /* perhaps it is being written right now */
        rc = vpi_slots_read(fd, c);
    }
    *which = c->newest;
    if (rc < 0 || c->newest < 0 || c->slots[c->newest].number <= c->head.durable || never_put(c)) return rc;
    rc = vpi_dirs_lock(fd, LOCK_STEP, F_RDLCK);
    if (rc == -EAGAIN && older(c) >= 0) {
        *which = older(c);
        return 0;
    }
    if (rc < 0) return rc;
    /* Nobody writes: who did was killed, or the machine was. */
    rc = vpi_slots_read(fd, c);
    if (rc == 0) rc = vpi_slots_prove(fd, c);
    *which = c->newest;
    if (rc == 0 && c->newest >= 0 && !never_put(c))
        rc = sync_record(d, f, fd, c->head.durable != SLOT_UNNAMED);
    vpi_dirs_lock(fd, LOCK_STEP, F_UNLCK);
    return rc;
}

vp_status vpi_dirs_look(void *back, const char *id, vpi_buf *record, uint64_t *fence, vp_error *err)
{
    dir_store *d = back;
    dir_folder *f;
    char name[DIR_NAME_ROOM];
    slot_file c = { 0 };
    vp_status st;
    int at = vpi_dirs_upload_folder(d, id, false, &f), fd, rc, which = -1;

    if (at == -ENOENT) return VP_END;
    if (at < 0) return vpi_fail_errno(err, -at, NULL, "opening the folder of uploads failed");
    vpi_dirs_name(name, "", id, ".rec");
    fd = vpi_dirs_openat(at, name, O_RDONLY);
    if (fd == -ENOENT) return VP_END;
    if (fd < 0) return vpi_fail_errno(err, -fd, id, "opening the upload's record failed");
    for (int ms = 0;; ms++) {
        rc = look_once(d, f, fd, &c, &which);
        if (rc != -EAGAIN || ms >= LOOK_MS) break;
        vpi_dirs_pause(1);
    }
    if (rc == -EAGAIN && being_made(&c)) {
        st = VP_END;
    } else if (rc < 0) {
        st = rc == -ENOMEM ? vpi_fail_nomem(err)
                           : vpi_fail_errno(err, -rc, id, "reading the upload's record failed");
    } else if (which < 0) {
        st = c.torn ? corrupt(id, err) : VP_END;
    } else {
        st = give(&c, which, record, err);
        *fence = VPI_MAX(c.head.fence, c.slots[which].fence);
    }
    vpi_buf_dispose(&c.bytes);
    close(fd);
    return st;
}

/* ---- replacing ---- */

/* Of the first `size` bytes inside; most of the time those that were written last are the last of them. */
static int sum_inside(dir_item *it, uint64_t size, slot *s)
{
    if (it->base == 0) return 0;
    if (size > UINT32_MAX) return -EFBIG;
    if (it->summed != size) {
        int rc = vpi_slot_sum(it->rec, it->base, size, &it->sum);

        if (rc < 0) return rc;
        it->summed = size;
    }
    s->bytes = (uint32_t)size;
    s->sum = it->sum;
    return 0;
}

/* The slot, and what it confirms where that is in memory only. */
static int write_slot(dir_item *it, const slot_head *h, unsigned which, slot *s)
{
    uint64_t bytes = vpi_record_confirms(s->record, s->size);
    int rc = 0;

    if (vpi_small_is_all(it, bytes)) return vpi_small_put(it, h, s);
    if (bytes > 0) rc = vpi_small_write(it);
    if (rc == 0) rc = sum_inside(it, bytes, s);
    return rc == 0 ? vpi_slot_write(it->rec, h, which, s) : rc;
}

static int put_slot(dir_item *it, const void *record, size_t size)
{
    unsigned other = 1 - it->slot;
    slot_head h = head_of(it, it->number);
    slot s = { .number = it->number + 1, .fence = it->fence, .record = record, .size = size };
    int rc = write_slot(it, &h, other, &s);

    if (rc == -ENOMEM) return rc;
    if (rc == 0) rc = vpi_dirs_datasync(it->store, it->rec);
    if (rc == 0 && it->name > 0) rc = vpi_dirs_sync_name(it->store, it->folder, it->name);
    if (rc == 0) {
        it->name = 0;
        it->slot = other;
        it->number++;
        if (s.bytes > 0) vpi_small_return(it);
        /* If this cannot be written, whoever comes next syncs once more. */
        (void)vpi_slot_write_head(it->rec, head_of(it, it->number));
    } else {
        /*
         * After a failed sync the kernel may hold for clean what is not on the disk: it must not be read again. Nor
         * after a crash, where the next opening has cut the data.
         */
        if (vpi_slot_wipe(it->rec, &h, other) == 0) (void)vpi_dirs_datasync(it->store, it->rec);
    }
    return rc;
}

vp_status vpi_dirs_put(void *item, const void *record, size_t size, vp_error *err)
{
    dir_item *it = item;
    bool gone;
    int rc;

    if (size > vpi_slot_most(it->room, it->base > 0))
        return vpi_fail(err, VP_E_INTERNAL, NULL, "the record has outgrown its room");
    vpi_buf_dispose(&it->record); /* it is another now, or will be */
    VPI_TRY(vpi_dirs_step(it, err));
    rc = put_slot(it, record, size);
    gone = rc == 0 && vpi_fd_is_removed(it->rec);
    vpi_dirs_step_end(it);
    if (rc == -ENOMEM) return vpi_fail_nomem(err);
    if (gone) return vpi_dirs_removed(it->id, err);
    return rc < 0 ? vpi_fail_errno(err, -rc, it->id, "making the upload's record durable failed") : VP_OK;
}
