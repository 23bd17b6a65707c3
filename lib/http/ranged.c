/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Blocks of a source that lies elsewhere: who waits for which, what is read ahead, what is given up. */

#include <time.h>

#include "base/queue.h"
#include "ranged.h"

#define BLOCK VPI_RANGED_BLOCK
#define AHEAD 4u
#define STREAMS 8u
#define LOOK_US 100000 /* how soon a cancel is seen */

typedef struct ranged ranged;

typedef enum block_state { EMPTY, LOADING, READY, FAILED } block_state;
typedef struct block {
    vpi_fetch fetch; /* first: vpi_fetch_done gets it back */
    ranged *owner;
    block_state state;
    uint64_t number, load; /* load: which fetch of this block it is */
    uint64_t used;
    uint32_t pins; /* readers that copy from it or wait for it */
    size_t got;
    vp_status st;
    vp_error err; /* of the last fetch */
} block;

/* Somebody who reads on: the block he is at, and how many he has taken one after another. */
typedef struct stream {
    uint64_t at, run, used;
} stream;

struct ranged {
    vpi_ranged_ops ops;
    void *user;
    uint32_t fork_mark;
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct {
        bool known; /* total and identity are */
        uint64_t total;
        char identity[VPI_RANGED_IDENTITY];
        char probed[VPI_RANGED_IDENTITY];
        vp_error changed; /* stays */
        uint64_t clock, interrupts;
        uint32_t loading;
        stream streams[STREAMS];
        block blocks[VPI_RANGED_BLOCKS];
        block probe;
    } synced;
};

/* Blocks whose fetch starts as soon as the lock is free. */
typedef struct batch {
    block *list[AHEAD + 1];
    unsigned count;
} batch;

/* ---- blocks ---- */

static block *find_synced(ranged *r, uint64_t number)
{
    for (unsigned i = 0; i < VPI_RANGED_BLOCKS; i++) {
        block *b = &r->synced.blocks[i];

        if (b->state != EMPTY && b->number == number) return b;
    }
    return NULL;
}

/* The one that nobody has used for longest. */
static block *victim_synced(ranged *r)
{
    block *best = NULL;

    for (unsigned i = 0; i < VPI_RANGED_BLOCKS; i++) {
        block *b = &r->synced.blocks[i];

        if (b->state == EMPTY && b->pins == 0) return b;
        if (b->state != LOADING && b->pins == 0 && (!best || b->used < best->used)) best = b;
    }
    return best;
}

static vp_status begin_synced(ranged *r, block *b, uint64_t offset, size_t size, vp_error *err)
{
    vpi_fetch *f = &b->fetch;

    if (!f->to) f->to = vpi_alloc(f->probe ? 1 : BLOCK);
    if (!f->own) f->own = vpi_calloc(1, r->ops.own_size);
    if (!f->to || !f->own) {
        b->state = EMPTY;
        return vpi_fail_nomem(err);
    }
    f->offset = offset;
    f->size = size;
    f->total = r->synced.known ? r->synced.total : VP_SIZE_UNKNOWN;
    vpi_strlcpy(f->identity, r->synced.known ? r->synced.identity : "", sizeof(f->identity));
    b->owner = r;
    b->number = offset / BLOCK;
    b->load++;
    b->used = ++r->synced.clock;
    b->state = LOADING;
    r->synced.loading++;
    return VP_OK;
}

static vp_status begin_block_synced(ranged *r, block *b, uint64_t number, vp_error *err)
{
    uint64_t offset = number * BLOCK;
    size_t size = r->synced.known ? (size_t)VPI_MIN(BLOCK, r->synced.total - offset) : BLOCK;

    return begin_synced(r, b, offset, size, err);
}

/* Gives the lock back for it. */
static void start_unlocked(ranged *r, batch *start)
{
    if (!start->count) return;
    pthread_mutex_unlock(&r->lock);
    for (unsigned i = 0; i < start->count; i++) {
        vp_error err = VP_ERROR_INIT;
        vp_status st = r->ops.start(r->user, &start->list[i]->fetch, &err);

        if (st < 0) vpi_fetch_done(&start->list[i]->fetch, st, 0, "", 0, &err);
    }
    pthread_mutex_lock(&r->lock);
    start->count = 0;
}

/* ---- what comes ---- */

static vp_status changed_synced(ranged *r, vp_error *err)
{
    vp_status st =
        vpi_fail(err, VP_E_CONFLICT, "SOURCE_CHANGED", "the source was replaced while it was read");

    if (r->synced.changed.status >= 0) vpi_error_copy(&r->synced.changed, err);
    return st;
}

static vp_status accept_synced(ranged *r, block *b, uint64_t total, const char *identity, size_t got)
{
    vpi_fetch *f = &b->fetch;
    char cut[VPI_RANGED_IDENTITY];

    vpi_strlcpy(cut, identity, sizeof(cut));
    if (f->probe) {
        memcpy(r->synced.probed, cut, sizeof(cut));
        return VP_OK;
    }
    if (!r->synced.known) {
        r->synced.known = true;
        r->synced.total = total;
        memcpy(r->synced.identity, cut, sizeof(cut));
    } else if (total != r->synced.total || strcmp(cut, r->synced.identity) != 0) {
        return changed_synced(r, &b->err);
    }
    b->got = got;
    if (got != VPI_MIN(f->size, total - VPI_MIN(total, f->offset)))
        return vpi_fail(&b->err, VP_E_IO, "CONNECTION_FAILED", "the source gave fewer bytes than it has");
    return VP_OK;
}

void vpi_fetch_done(vpi_fetch *fetch, vp_status status, uint64_t total, const char *identity, size_t got,
                    const vp_error *err)
{
    block *b = (block *)fetch;
    ranged *r = b->owner;

    pthread_mutex_lock(&r->lock);
    vp_error_init(&b->err);
    if (status == VP_OK) {
        status = accept_synced(r, b, total, identity, got);
    } else {
        vpi_error_copy(&b->err, err);
        if (vpi_streq(b->err.reason, "SOURCE_CHANGED")) changed_synced(r, &b->err);
    }
    b->st = status;
    b->state = status < 0 ? FAILED : READY;
    r->synced.loading--;
    pthread_cond_broadcast(&r->news);
    pthread_mutex_unlock(&r->lock);
}

/* ---- reading ---- */

/* How many blocks behind this one are worth fetching. */
static unsigned ahead_synced(ranged *r, uint64_t number)
{
    stream *oldest = &r->synced.streams[0];

    for (unsigned i = 0; i < STREAMS; i++) {
        stream *s = &r->synced.streams[i];

        if (s->used && (s->at == number || s->at + 1 == number)) {
            s->used = ++r->synced.clock;
            s->run += number - s->at;
            s->at = number;
            return s->run == 0 ? 0 : s->run == 1 ? AHEAD / 2 : AHEAD;
        }
        if (s->used < oldest->used) oldest = s;
    }
    *oldest = (stream){ .at = number, .used = ++r->synced.clock };
    return 0;
}

/* Blocks that this read will come to, and those that the next ones may. */
static void plan_synced(ranged *r, uint64_t number, uint64_t end, batch *start)
{
    uint64_t last = number + ahead_synced(r, number);

    if (!r->synced.known) return;
    last = VPI_MAX(last, VPI_MIN((end - 1) / BLOCK, number + AHEAD));
    for (uint64_t n = number + 1; n <= last && n * BLOCK < r->synced.total; n++) {
        block *b = find_synced(r, n);

        if (b) {
            b->used = ++r->synced.clock;
            continue;
        }
        b = r->synced.loading < VPI_RANGED_FLIGHT ? victim_synced(r) : NULL;
        if (!b || begin_block_synced(r, b, n, NULL) < 0) break;
        start->list[start->count++] = b;
    }
}

static vp_status interrupted(vp_error *err)
{
    return vpi_fail(err, VP_E_CANCELED, "CANCELED", "canceled");
}

/* VP_AGAIN: something has changed, or may have. Else this thread's scope has fired. */
static vp_status news_synced(ranged *r, vp_error *err)
{
    int64_t at = vpi_now_us() + LOOK_US;
    struct timespec until = { .tv_sec = (time_t)(at / 1000000), .tv_nsec = (long)(at % 1000000) * 1000 };

    if (!vpi_cancel_scoped()) {
        pthread_cond_wait(&r->news, &r->lock);
        return VP_AGAIN;
    }
    pthread_cond_timedwait(&r->news, &r->lock, &until);
    VPI_TRY(vpi_cancel_check_scope(NULL, err));
    return VP_AGAIN;
}

/* Until the fetch that is under way has ended. A new one may have begun since: then VP_AGAIN, as for success. */
static vp_status wait_synced(ranged *r, block *b, uint64_t interrupts, vp_error *err)
{
    uint64_t load = b->load;
    vp_status st = VP_AGAIN;

    b->pins++;
    while (b->state == LOADING && b->load == load && r->synced.interrupts == interrupts && st == VP_AGAIN)
        st = news_synced(r, err);
    if (st < 0) {
        /* of this thread */
    } else if (r->synced.interrupts != interrupts) {
        st = interrupted(err);
    } else if (b->load == load && b->state == FAILED) {
        vpi_error_copy(err, &b->err);
        st = b->st;
    }
    b->pins--;
    return st;
}

/* The block is not there: fetches it, or waits for whoever does, or for room. VP_AGAIN: look again. */
static vp_status fetch_synced(ranged *r, uint64_t number, uint64_t end, uint64_t interrupts, vp_error *err)
{
    block *b = find_synced(r, number);
    batch start = { .count = 0 };
    uint64_t load;
    vp_status st;

    if (!b || (b->state != LOADING && b->pins == 0)) {
        if (!b) b = victim_synced(r);
        if (!b) {
            st = news_synced(r, err);
            return st < 0 || r->synced.interrupts == interrupts ? st : interrupted(err);
        }
        VPI_TRY(begin_block_synced(r, b, number, err));
        start.list[start.count++] = b;
        load = b->load;
        b->pins++; /* stays ours though it may end before we wait */
        plan_synced(r, number, end, &start);
        start_unlocked(r, &start);
        b->pins--;
        if (b->load == load && b->state == FAILED) {
            pthread_cond_broadcast(&r->news);
            vpi_error_copy(err, &b->err);
            return b->st;
        }
    }
    st = wait_synced(r, b, interrupts, err);
    pthread_cond_broadcast(&r->news); /* a pin less */
    return st;
}

static vp_status copy_synced(ranged *r, block *b, uint64_t offset, void *data, size_t capacity, size_t *got)
{
    batch start = { .count = 0 };
    size_t at = (size_t)(offset % BLOCK);

    *got = VPI_MIN(capacity, b->got - at);
    b->used = ++r->synced.clock;
    b->pins++;
    plan_synced(r, b->number, offset + capacity, &start);
    start_unlocked(r, &start);
    pthread_mutex_unlock(&r->lock);
    memcpy(data, b->fetch.to + at, *got);
    pthread_mutex_lock(&r->lock);
    if (--b->pins == 0) pthread_cond_broadcast(&r->news);
    return VP_OK;
}

static vp_status ranged_read(void *user, uint64_t offset, void *data, size_t capacity, size_t *got,
                             vp_error *err)
{
    ranged *r = user;
    uint64_t interrupts;
    vp_status st = VP_AGAIN;

    *got = 0;
    capacity = VPI_MIN(capacity, (size_t)AHEAD * BLOCK);
    pthread_mutex_lock(&r->lock);
    interrupts = r->synced.interrupts;
    while (st == VP_AGAIN) {
        bool known = r->synced.known;
        uint64_t number = known ? offset / BLOCK : 0;
        block *b = find_synced(r, number);

        if (r->synced.changed.status < 0) {
            vpi_error_copy(err, &r->synced.changed);
            st = r->synced.changed.status;
        } else if (known && offset >= r->synced.total) {
            st = VP_OK;
        } else if (known && b && b->state == READY) {
            st = copy_synced(r, b, offset, data, capacity, got);
        } else {
            st = fetch_synced(r, number, offset + capacity, interrupts, err);
        }
    }
    pthread_mutex_unlock(&r->lock);
    return st;
}

/* ---- what it is ---- */

static vp_status learn_synced(ranged *r, vp_error *err)
{
    uint64_t interrupts = r->synced.interrupts;

    while (!r->synced.known) {
        vp_status st = fetch_synced(r, 0, 1, interrupts, err);

        if (st < 0) return st;
    }
    return VP_OK;
}

static vp_status ranged_size(void *user, uint64_t *bytes, vp_error *err)
{
    ranged *r = user;
    vp_status st;

    pthread_mutex_lock(&r->lock);
    st = learn_synced(r, err);
    *bytes = r->synced.total;
    pthread_mutex_unlock(&r->lock);
    return st;
}

/* Asked once more when it is known already: whoever wants to hear it again wants to hear of changes. */
static vp_status ranged_identity(void *user, char *text, size_t capacity, vp_error *err)
{
    ranged *r = user;
    block *b = &r->synced.probe;
    batch start = { .list = { b }, .count = 1 };
    uint64_t interrupts;
    vp_status st = VP_OK;

    pthread_mutex_lock(&r->lock);
    interrupts = r->synced.interrupts;
    if (!r->synced.known) {
        st = learn_synced(r, err);
        vpi_strlcpy(text, r->synced.identity, capacity);
        goto done;
    }
    while (b->state == LOADING || b->pins) { /* another thread asks */
        if (r->synced.interrupts != interrupts || st < 0) break;
        st = news_synced(r, err);
    }
    if (st >= 0) st = r->synced.interrupts == interrupts ? VP_OK : interrupted(err);
    if (st == VP_OK) st = begin_synced(r, b, 0, 1, err);
    if (st == VP_OK) {
        b->pins++;
        start_unlocked(r, &start);
        while (b->state == LOADING && r->synced.interrupts == interrupts && st >= 0) st = news_synced(r, err);
        if (st >= 0) st = VP_OK;
        if (st < 0) {
            /* of this thread */
        } else if (b->state == LOADING) {
            st = interrupted(err);
        } else if (b->state == FAILED) {
            vpi_error_copy(err, &b->err);
            st = b->st;
        }
        vpi_strlcpy(text, r->synced.probed, capacity);
        b->pins--;
        pthread_cond_broadcast(&r->news);
    }
done:
    pthread_mutex_unlock(&r->lock);
    return st;
}

/* ---- the end ---- */

/* What is under way goes on: only those who wait for it do not. */
static void ranged_interrupt(void *user)
{
    ranged *r = user;

    pthread_mutex_lock(&r->lock);
    r->synced.interrupts++;
    pthread_cond_broadcast(&r->news);
    pthread_mutex_unlock(&r->lock);
}

static void stop_all(ranged *r)
{
    for (unsigned i = 0; i <= VPI_RANGED_BLOCKS; i++) {
        block *b = i < VPI_RANGED_BLOCKS ? &r->synced.blocks[i] : &r->synced.probe;
        bool loads;

        pthread_mutex_lock(&r->lock);
        loads = b->state == LOADING;
        pthread_mutex_unlock(&r->lock);
        if (loads) r->ops.stop(r->user, &b->fetch);
    }
    pthread_mutex_lock(&r->lock);
    while (r->synced.loading) pthread_cond_wait(&r->news, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

static void dispose(ranged *r, block *b)
{
    if (b->fetch.own && r->ops.dispose) r->ops.dispose(r->user, b->fetch.own);
    vpi_free(b->fetch.own);
    vpi_free(b->fetch.to);
}

static void ranged_release(void *user)
{
    ranged *r = user;
    bool forked = vpi_forked(r->fork_mark);

    if (!forked) stop_all(r);
    for (unsigned i = 0; i < VPI_RANGED_BLOCKS; i++) dispose(r, &r->synced.blocks[i]);
    dispose(r, &r->synced.probe);
    r->ops.release(r->user);
    if (!forked) {
        pthread_cond_destroy(&r->news);
        pthread_mutex_destroy(&r->lock);
    }
    vpi_free(r);
}

vp_status vpi_ranged_source(vp_context *context, const vpi_ranged_ops *ops, void *user, vp_source **out,
                            vp_error *err)
{
    vp_source_ops source = VP_SOURCE_OPS_INIT;
    ranged *r;
    vp_status st;

    *out = NULL;
    r = vpi_calloc(1, sizeof(*r));
    if (!r) return vpi_fail_nomem(err);
    r->ops = *ops;
    r->user = user;
    r->fork_mark = vpi_fork_mark();
    r->synced.probe.fetch.probe = true;
    vp_error_init(&r->synced.changed);
    source.read_at = ranged_read;
    source.size = ranged_size;
    source.identity = ranged_identity;
    source.interrupt = ranged_interrupt;
    source.release = ranged_release;
    pthread_mutex_init(&r->lock, NULL);
    vpi_cond_init(&r->news);
    st = vpi_source_new_internal(context, &source, r, out, err);
    if (st < 0) {
        pthread_cond_destroy(&r->news);
        pthread_mutex_destroy(&r->lock);
        vpi_free(r);
    }
    return st;
}
