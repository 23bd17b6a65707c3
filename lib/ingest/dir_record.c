/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records as files: a head, then two slots that are written in turn, all at multiples of 4 KiB and written once in full
 * when the file is made, so that a later put changes no metadata of the file system and needs no free space.
 *
 * The head holds what only has to be seen by processes of this machine: the fence, and the number of the slot that is
 * known to be durable. It is never synced for its own sake: after a crash of the machine nobody is left who could be
 * behind the fence. What was made and never put is not synced either: with it go no bytes that were confirmed.
 *
 * Bytes of the file that are locked (F_OFD_SETLK): 0 during one step; 1, shared, as long as an item is open, which only
 * whoever looks for idle uploads asks for.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/hash.h"
#include "ingest/dir_int.h"

#define PAGE 4096u
#define HEAD_MAGIC 0x56505546u /* "VPUF" */
#define SLOT_MAGIC 0x56505553u /* "VPUS" */
#define HEAD_SIZE 32u
#define SLOT_HEAD 32u
#define FILE_MAX (PAGE + 2 * (uint64_t)(VPI_RECORD_MAX + 2 * PAGE))
#define TRIES 100
#define TORN_TRIES 20
#define LOOK_MS 200
#define UNNAMED 0u /* head.durable: neither a slot nor the name of the file is durable yet */
/* Numbers of the first slot: of an upload that nothing is lost with; of one that must be durable when told of. */
#define FIRST 1u
#define FIRST_DURABLE 2u

typedef struct head {
    uint64_t fence, durable;
    size_t room; /* 0: not valid */
} head;

typedef struct slot {
    uint64_t number, fence;
    const uint8_t *record;
    size_t size;
} slot;

/* What was read of a file. */
typedef struct content {
    vpi_buf bytes;
    size_t room;
    head head;
    slot slots[2];
    int newest; /* -1: none is valid */
    bool torn;  /* a slot is neither valid nor empty; with none that is valid: something was confirmed */
} content;

/* ---- reading ---- */

static void put64(uint8_t *p, uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8) p[i] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 3; i >= 0; i--, v >>= 8) p[i] = (uint8_t)v;
}

static head parse_head(const uint8_t *p)
{
    if (vpi_rd32(p) != HEAD_MAGIC || vpi_rd32(p + 4) != 1 || vpi_rd32(p + 28) != vpi_crc32c(0, p, 28))
        return (head){ 0 };
    return (head){ vpi_rd64(p + 8), vpi_rd64(p + 16), (size_t)vpi_rd32(p + 24) * PAGE };
}

static bool blank(const uint8_t *p, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (p[i]) return false;
    }
    return true;
}

static bool parse_slot(const uint8_t *p, size_t room, slot *s)
{
    size_t size = vpi_rd32(p + 4);

    *s = (slot){ 0 };
    if (vpi_rd32(p) != SLOT_MAGIC || size > room - SLOT_HEAD) return false;
    if (vpi_rd32(p + 24) != vpi_crc32c(vpi_crc32c(0, p, 24), p + SLOT_HEAD, size)) return false;
    *s = (slot){ vpi_rd64(p + 8), vpi_rd64(p + 16), p + SLOT_HEAD, size };
    return s->number > 0;
}

/*
 * Whether something was confirmed of a record without a valid slot. The head comes with the first sync, and says more
 * than UNNAMED only after one: where it is blank or says that, a machine stopped before.
 */
static bool was_confirmed(const content *c)
{
    return c->head.room > 0 ? c->head.durable != UNNAMED : c->torn && !blank(c->bytes.data, HEAD_SIZE);
}

static void parse(content *c)
{
    bool all;

    c->head = (head){ 0 };
    c->newest = -1;
    c->torn = false;
    if (c->bytes.size < PAGE + 2 * PAGE) {
        /* Made by a process that was killed before it wrote all, or by a machine that was. */
        return;
    }
    c->room = (c->bytes.size - PAGE) / 2 / PAGE * PAGE;
    c->head = parse_head(c->bytes.data);
    all = c->head.room == 0 || c->head.room == c->room;
    for (int i = 0; all && i < 2; i++) {
        const uint8_t *p = c->bytes.data + PAGE + (size_t)i * c->room;

        if (!parse_slot(p, c->room, &c->slots[i])) {
            c->torn = c->torn || !blank(p, SLOT_HEAD);
        } else if (c->newest < 0 || c->slots[i].number > c->slots[c->newest].number) {
            c->newest = i;
        }
    }
    if (c->newest < 0) c->torn = was_confirmed(c);
}

static int read_all(int fd, content *c)
{
    struct stat s;
    size_t have = 0;

    if (fstat(fd, &s) != 0) return -errno;
    if ((uint64_t)s.st_size > FILE_MAX) return -EFBIG;
    vpi_buf_clear(&c->bytes);
    if (s.st_size > 0 && !vpi_buf_space(&c->bytes, (size_t)s.st_size)) return -ENOMEM;
    while (have < c->bytes.size) {
        ssize_t n = pread(fd, c->bytes.data + have, c->bytes.size - have, (off_t)have);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -errno;
        if (n == 0) break;
        have += (size_t)n;
    }
    c->bytes.size = have;
    parse(c);
    return 0;
}

static vp_status corrupt(const char *id, vp_error *err)
{
    vpi_error_key(err, id);
    return vpi_fail(err, VP_E_DATA, "UPLOAD_CORRUPT", "the record of the upload cannot be read");
}

static vp_status give(const content *c, int which, vpi_buf *record, vp_error *err)
{
    vpi_buf_clear(record);
    vpi_buf_add(record, c->slots[which].record, c->slots[which].size);
    return record->failed ? vpi_fail_nomem(err) : VP_OK;
}

/* ---- writing ---- */

static int write_at(int fd, const void *data, size_t size, uint64_t offset)
{
    const uint8_t *p = data;
    int rc = vpi_fault_disk();

    if (rc < 0) return rc;
    while (size > 0) {
        ssize_t n = pwrite(fd, p, size, (off_t)offset);

        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 ? -errno : -ENOSPC;
        p += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static void make_head(uint8_t *p, head h)
{
    memset(p, 0, HEAD_SIZE);
    put32(p, HEAD_MAGIC);
    put32(p + 4, 1);
    put64(p + 8, h.fence);
    put64(p + 16, h.durable);
    put32(p + 24, (uint32_t)(h.room / PAGE));
    put32(p + 28, vpi_crc32c(0, p, 28));
}

static int write_head(int fd, head h)
{
    uint8_t p[HEAD_SIZE];

    make_head(p, h);
    return write_at(fd, p, sizeof(p), 0);
}

/* p: SLOT_HEAD bytes, the record behind them. */
static void make_slot(uint8_t *p, uint64_t number, uint64_t fence, const void *record, size_t size)
{
    memset(p, 0, SLOT_HEAD);
    put32(p, SLOT_MAGIC);
    put32(p + 4, (uint32_t)size);
    put64(p + 8, number);
    put64(p + 16, fence);
    memcpy(p + SLOT_HEAD, record, size);
    put32(p + 24, vpi_crc32c(vpi_crc32c(0, p, 24), p + SLOT_HEAD, size));
}

/* ---- items ---- */

static vp_status item_new(dir_store *d, const char *id, dir_folder *f, dir_item **out, vp_error *err)
{
    dir_item *it = vpi_calloc(1, sizeof(*it));

    if (!it) return vpi_fail_nomem(err);
    it->store = d;
    it->folder = f;
    it->rec = it->data = -1;
    vpi_strlcpy(it->id, id, sizeof(it->id));
    *out = it;
    return VP_OK;
}

void vpi_dirs_close(void *item)
{
    dir_item *it = item;
    char name[DIR_NAME_ROOM];
    int at = atomic_load(&it->folder->fd);

    if (it->rec >= 0 && !it->created && it->held && !vpi_forked(it->store->fork_mark)) {
        /* Under the lock that create took: nobody has seen it. */
        vpi_dirs_name(name, "", it->id, ".data");
        vpi_dirs_unlink(at, name);
        vpi_dirs_name(name, "", it->id, ".rec");
        vpi_dirs_unlink(at, name);
    }
    if (it->data >= 0) close(it->data);
    if (it->rec >= 0) close(it->rec);
    vpi_free(it);
}

vp_status vpi_dirs_step(dir_item *it, vp_error *err)
{
    uint8_t p[HEAD_SIZE];
    ssize_t n;

    if (it->held) return VP_OK;
    VPI_TRY(vpi_dirs_lock_wait(it->store, it->rec, it->id, err));
    n = pread(it->rec, p, sizeof(p), 0);
    if (n == (ssize_t)sizeof(p) && parse_head(p).fence == it->fence) return VP_OK;
    vpi_dirs_step_end(it);
    return vpi_fail(err, VP_E_CONFLICT, "TAKEN_OVER", "a newer request writes the upload");
}

void vpi_dirs_step_end(dir_item *it)
{
    if (!it->held) vpi_dirs_lock(it->rec, 0, F_UNLCK);
}

vp_status vpi_dirs_check(void *item, vp_error *err)
{
    VPI_TRY(vpi_dirs_step(item, err));
    vpi_dirs_step_end(item);
    return VP_OK;
}

/* ---- a new one ---- */

/* Opens and locks ID.rec, which a remover may unlink between the two. */
static vp_status open_locked(dir_item *it, int at, int flags, bool idle, vp_error *err)
{
    char name[DIR_NAME_ROOM];
    struct stat s;
    vp_status st = VP_OK;
    int rc;

    vpi_dirs_name(name, "", it->id, ".rec");
    for (int tries = 0; tries < TRIES; tries++) {
        it->rec = vpi_dirs_openat(at, name, flags);
        if (it->rec == -ENOENT) return VP_END;
        if (it->rec < 0) return vpi_fail_errno(err, -it->rec, it->id, "opening the upload's record failed");
        if (idle) {
            rc = vpi_dirs_lock(it->rec, 0, F_WRLCK);
            if (rc == 0) rc = vpi_dirs_lock(it->rec, 1, F_WRLCK);
            st = rc == -EAGAIN ? VP_AGAIN : rc < 0 ? vpi_dirs_lock_failed(rc, it->id, err) : VP_OK;
        } else {
            st = vpi_dirs_lock_wait(it->store, it->rec, it->id, err);
        }
        if (st == VP_OK && fstat(it->rec, &s) == 0 && s.st_nlink > 0) return VP_OK;
        close(it->rec);
        it->rec = -1;
        if (st != VP_OK) return st;
    }
    return vpi_dirs_lock_failed(-EAGAIN, it->id, err);
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

vp_status vpi_dirs_create(void *back, const char *id, size_t room, void **item, vp_error *err)
{
    dir_store *d = back;
    dir_folder *f;
    dir_item *it = NULL;
    content c = { 0 };
    vp_status st;
    int at = vpi_dirs_upload_folder(d, id, true, &f);
    int rc;

    if (at < 0) return vpi_fail_errno(err, -at, NULL, "making the folder of uploads failed");
    VPI_TRY(item_new(d, id, f, &it, err));
    st = open_locked(it, at, O_RDWR | O_CREAT, false, err);
    if (st != VP_OK) goto done;
    rc = read_all(it->rec, &c);
    if (rc < 0) {
        st = vpi_fail_errno(err, -rc, id, "reading the upload's record failed");
    } else if (c.newest >= 0 || c.torn) {
        st = vpi_fail(err, VP_E_CONFLICT, "ALREADY_EXISTS", "there is an upload of this id");
    }
    if (st < 0) goto done;
    it->held = true;
    it->fence = 1;
    it->room = (SLOT_HEAD + room + PAGE - 1) / PAGE * PAGE;
    rc = vpi_dirs_lock(it->rec, 1, F_RDLCK);
    if (rc < 0) {
        st = vpi_dirs_lock_failed(rc, id, err);
        goto done;
    }
    st = make_data(it, at, err);
done:
    vpi_buf_dispose(&c.bytes);
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
    vpi_buf b = { 0 };
    uint8_t *p = size <= it->room - SLOT_HEAD ? vpi_buf_space(&b, PAGE + 2 * it->room) : NULL;
    int rc;

    if (!p) return vpi_fail_nomem(err);
    it->number = durable ? FIRST_DURABLE : FIRST;
    make_head(p, (head){ it->fence, UNNAMED, it->room });
    make_slot(p + PAGE, it->number, it->fence, record, size);
    rc = write_at(it->rec, p, b.size, 0);
    vpi_buf_dispose(&b);
    if (rc == 0 && durable) rc = vpi_dirs_datasync(it->store, it->rec);
    if (rc == 0 && durable) rc = vpi_dirs_sync(it->store, it->folder);
    if (rc < 0) return vpi_fail_errno(err, -rc, it->id, "making the upload durable failed");
    /* If this cannot be written, whoever comes next syncs once more. */
    if (durable) (void)write_head(it->rec, (head){ it->fence, it->number, it->room });
    it->folder_dirty = !durable;
    it->created = true;
    it->held = false;
    vpi_dirs_step_end(it);
    return VP_OK;
}

bool vpi_dirs_drop_blank(int folder, const char *name)
{
    content c = { 0 };
    bool dropped = false;
    int fd = vpi_dirs_openat(folder, name, O_RDWR);

    if (fd < 0) return false;
    if (vpi_dirs_lock(fd, 0, F_WRLCK) == 0 && read_all(fd, &c) == 0 && c.newest < 0 && !c.torn)
        dropped = vpi_dirs_unlink(folder, name) == 0;
    vpi_buf_dispose(&c.bytes);
    close(fd);
    return dropped;
}

/* ---- taking one ---- */

/* As it was made, of an upload that has confirmed nothing yet: there is nothing in it that a crash must not take. */
static bool never_put(const content *c)
{
    return c->head.durable == UNNAMED && c->slots[c->newest].number == FIRST;
}

static int sync_record(dir_store *d, dir_folder *f, int fd, bool named)
{
    int rc = vpi_dirs_datasync(d, fd);

    return rc == 0 && !named ? vpi_dirs_sync(d, f) : rc;
}

/* With the lock. Whatever is found is durable when it answers VP_OK, but for what never_put() says. */
static vp_status read_durable(dir_store *d, dir_folder *f, int fd, const char *id, content *c, vp_error *err)
{
    int rc = read_all(fd, c);

    if (rc == -ENOMEM) return vpi_fail_nomem(err);
    if (rc < 0) return vpi_fail_errno(err, -rc, id, "reading the upload's record failed");
    if (c->newest < 0) return c->torn ? corrupt(id, err) : VP_END;
    /* Its writer may have been killed between the write and the sync. */
    if (c->slots[c->newest].number > c->head.durable && !never_put(c))
        rc = sync_record(d, f, fd, c->head.durable != UNNAMED);
    return rc < 0 ? vpi_fail_errno(err, -rc, id, "making the upload's record durable failed") : VP_OK;
}

vp_status vpi_dirs_take(void *back, const char *id, bool idle, void **item, vpi_buf *record, uint64_t *fence,
                        vp_error *err)
{
    dir_store *d = back;
    dir_folder *f;
    dir_item *it = NULL;
    content c = { 0 };
    vp_status st;
    int at = vpi_dirs_upload_folder(d, id, false, &f), rc;

    if (at == -ENOENT) return VP_END;
    if (at < 0) return vpi_fail_errno(err, -at, NULL, "opening the folder of uploads failed");
    VPI_TRY(item_new(d, id, f, &it, err));
    it->created = true;
    st = open_locked(it, at, O_RDWR, idle, err);
    if (st == VP_OK) st = read_durable(d, f, it->rec, id, &c, err);
    if (st == VP_OK) st = give(&c, c.newest, record, err);
    if (st != VP_OK) goto done;
    it->slot = (unsigned)c.newest;
    it->number = c.slots[c.newest].number;
    it->room = c.room;
    it->fence = VPI_MAX(c.head.fence, c.slots[c.newest].fence) + 1;
    it->folder_dirty = never_put(&c);
    rc = vpi_dirs_lock(it->rec, 1, F_RDLCK);
    if (rc < 0) {
        st = vpi_dirs_lock_failed(rc, id, err);
        goto done;
    }
    rc = write_head(it->rec, (head){ it->fence, it->folder_dirty ? UNNAMED : it->number, it->room });
    if (rc < 0) st = vpi_fail_errno(err, -rc, id, "writing the upload's record failed");
    *fence = it->fence;
done:
    vpi_buf_dispose(&c.bytes);
    if (st == VP_OK) {
        vpi_dirs_step_end(it);
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
    vp_status st;
    int at = vpi_dirs_upload_folder(d, id, false, &f);

    if (at == -ENOENT) return VP_OK;
    if (at < 0) return vpi_fail_errno(err, -at, NULL, "opening the folder of uploads failed");
    VPI_TRY(item_new(d, id, f, &it, err));
    it->created = true;
    st = open_locked(it, at, O_RDWR, false, err);
    if (st == VP_OK) {
        it->held = true;
        st = vpi_dirs_remove(it, NULL, NULL, NULL, err);
    }
    vpi_dirs_close(it);
    return st == VP_END ? VP_OK : st;
}

/* ---- looking ---- */

/* The slot that was durable before the newest, or -1. */
static int older(const content *c)
{
    int other = 1 - c->newest;
    uint64_t number = c->slots[other].number;

    return number > 0 && (number == c->head.durable || (number == FIRST && c->head.durable == UNNAMED))
               ? other
               : -1;
}

/* It is being made: nobody was told of it. */
static bool being_made(const content *c)
{
    return c->newest >= 0 && c->head.durable == UNNAMED && c->slots[1 - c->newest].number == 0;
}

/* Neither waits for a put that is under way nor believes it: -EAGAIN when there is nothing to say yet. */
static int look_once(dir_store *d, dir_folder *f, int fd, content *c, int *which)
{
    int rc = read_all(fd, c);

    for (int tries = 0; rc == 0 && c->torn && tries < TORN_TRIES; tries++) {
        sched_yield(); /* perhaps it is being written right now */
        rc = read_all(fd, c);
    }
    *which = c->newest;
    if (rc < 0 || c->newest < 0 || c->slots[c->newest].number <= c->head.durable || never_put(c)) return rc;
    rc = vpi_dirs_lock(fd, 0, F_RDLCK);
    if (rc == -EAGAIN && older(c) >= 0) {
        *which = older(c);
        return 0;
    }
    if (rc < 0) return rc;
    /* Nobody writes: who did was killed, or the machine was. */
    rc = read_all(fd, c);
    *which = c->newest;
    if (rc == 0 && c->newest >= 0 && !never_put(c)) rc = sync_record(d, f, fd, c->head.durable != UNNAMED);
    vpi_dirs_lock(fd, 0, F_UNLCK);
    return rc;
}

vp_status vpi_dirs_look(void *back, const char *id, vpi_buf *record, uint64_t *fence, vp_error *err)
{
    dir_store *d = back;
    dir_folder *f;
    char name[DIR_NAME_ROOM];
    content c = { 0 };
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

static int put_slot(dir_item *it, const void *record, size_t size)
{
    unsigned other = 1 - it->slot;
    uint64_t at = PAGE + (uint64_t)other * it->room;
    static const uint8_t none[SLOT_HEAD];
    uint8_t small[PAGE], *p = small;
    vpi_buf b = { 0 };
    int rc;

    if (SLOT_HEAD + size > sizeof(small)) {
        p = vpi_buf_space(&b, SLOT_HEAD + size);
        if (!p) return -ENOMEM;
    }
    make_slot(p, it->number + 1, it->fence, record, size);
    rc = write_at(it->rec, p, SLOT_HEAD + size, at);
    if (rc == 0) rc = sync_record(it->store, it->folder, it->rec, !it->folder_dirty);
    if (rc == 0) {
        it->folder_dirty = false;
        it->slot = other;
        it->number++;
        /* If this cannot be written, whoever comes next syncs once more. */
        (void)write_head(it->rec, (head){ it->fence, it->number, it->room });
    } else {
        /*
         * After a failed sync the kernel may hold for clean what is not on the disk: it must not be read again. Nor
         * after a crash, where the next opening has cut the data.
         */
        if (write_at(it->rec, none, sizeof(none), at) == 0) (void)vpi_dirs_datasync(it->store, it->rec);
    }
    vpi_buf_dispose(&b);
    return rc;
}

vp_status vpi_dirs_put(void *item, const void *record, size_t size, vp_error *err)
{
    dir_item *it = item;
    int rc;

    if (size > it->room - SLOT_HEAD)
        return vpi_fail(err, VP_E_INTERNAL, NULL, "the record has outgrown its room");
    VPI_TRY(vpi_dirs_step(it, err));
    rc = put_slot(it, record, size);
    vpi_dirs_step_end(it);
    if (rc == -ENOMEM) return vpi_fail_nomem(err);
    return rc < 0 ? vpi_fail_errno(err, -rc, it->id, "making the upload's record durable failed") : VP_OK;
}
