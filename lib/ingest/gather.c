/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes of a large upload are gathered until they are worth a write of their own: a block that is aligned as direct
 * writes need it, from a few that the whole store has. A full one is under way (flow.c) while the next is filled.
 * Whoever does not fill one soon gives it back and writes each piece as it comes, so that any number of slow uploads
 * costs no more memory than those few blocks.
 *
 * What is gathered or under way has been taken (`position`), but does not count before it is written and hashed
 * (`counted`, the digests).
 */

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "base/fault.h"
#include "ingest/store_int.h"

#define PAGE 4096u
#define SOON_US 250000
#define SLAB_BLOCKS 2u

#define DEFAULT_BYTES ((size_t)1 << 20)
#define DEFAULT_AHEAD 4u

_Atomic size_t vpi_gather_bytes = DEFAULT_BYTES;
_Atomic unsigned vpi_gather_ahead = DEFAULT_AHEAD;

/* ---- the blocks of a store ---- */

vp_status vpi_gather_pool_new(vp_context *context, vpi_gather_pool **out, vp_error *err)
{
    vpi_gather_pool *p = vpi_calloc(1, sizeof(*p));
    vp_status st;

    if (!p) return vpi_fail_nomem(err);
    st = vpi_threads_new(context, VPI_GATHER_WRITERS + 1, "vp-gather", &p->threads, err);
    if (st < 0) {
        vpi_free(p);
        return st;
    }
    p->bytes = atomic_load(&vpi_gather_bytes);
    p->ahead = atomic_load(&vpi_gather_ahead);
    pthread_mutex_init(&p->lock, NULL);
    vpi_cond_init(&p->moved);
    vpi_flow_init(p);
    *out = p;
    return VP_OK;
}

vpi_gather_pool *vpi_gather_pool_free(vpi_gather_pool *p, bool forked)
{
    if (!p) return NULL;
    vpi_threads_free(p->threads);
    for (unsigned i = 0; i < p->made; i += SLAB_BLOCKS) free(p->blocks[i].data);
    if (!forked) {
        pthread_cond_destroy(&p->moved);
        pthread_mutex_destroy(&p->lock);
    }
    vpi_free(p);
    return NULL;
}

static void give_back_synced(vpi_gather_pool *p, vpi_block *b)
{
    b->upload = NULL;
    b->have = 0;
    b->next = p->idle;
    p->idle = b;
}

/* Two blocks at once are one large page, which a disk takes as one piece. */
static void add_slab_synced(vpi_gather_pool *p)
{
    size_t bytes = SLAB_BLOCKS * p->bytes;
    uint8_t *slab;

    if (p->made == VPI_GATHER_BLOCKS || vpi_fault_hit()) return;
    slab = aligned_alloc(p->bytes == DEFAULT_BYTES ? bytes : PAGE, bytes);
    if (!slab) return;
#ifdef MADV_HUGEPAGE
    if (p->bytes == DEFAULT_BYTES) (void)madvise(slab, bytes, MADV_HUGEPAGE);
#endif
    for (unsigned i = 0; i < SLAB_BLOCKS; i++) {
        vpi_block *b = &p->blocks[p->made++];

        b->data = slab + i * p->bytes;
        give_back_synced(p, b);
    }
}

/* NULL: none is left. */
static vpi_block *borrow(vp_upload *u, int64_t now)
{
    vpi_gather_pool *p = u->ingest->gather;
    vpi_block *b;

    pthread_mutex_lock(&p->lock);
    if (!p->idle) add_slab_synced(p);
    b = p->idle;
    if (b) {
        p->idle = b->next;
        b->upload = u;
        b->since_us = now;
    }
    pthread_mutex_unlock(&p->lock);
    return b;
}

static void give_back(vp_upload *u)
{
    vpi_gather_pool *p = u->ingest->gather;

    if (!u->gather.block) return;
    pthread_mutex_lock(&p->lock);
    give_back_synced(p, u->gather.block);
    pthread_mutex_unlock(&p->lock);
    u->gather.block = NULL;
}

static size_t gathered(const vp_upload *u)
{
    return u->gather.block ? u->gather.block->have : 0;
}

/* ---- what is under way ---- */

static void take_sums(vp_upload *u, const vpi_sums *s)
{
    if (u->check.running) {
        u->check.hash = s->hash;
        u->check.declared = s->declared;
        u->check.digest = s->check;
    } else {
        u->hash = s->hash;
        u->declared = s->declared;
    }
}

static vpi_sums sums_of(const vp_upload *u)
{
    if (!u->check.running) return (vpi_sums){ .hash = u->hash, .declared = u->declared };
    return (vpi_sums){ u->check.hash, u->check.declared, u->check.digest };
}

/* Of a block that was not written whole, the bytes that were. */
static void add_written(vpi_sums *s, const vpi_block *b)
{
    const uint8_t *p = b->data + b->from;

    vpi_digest_add_at(&s->hash, b->offset, p, b->done);
    vpi_digest_add_at(&s->declared, b->offset, p, b->done);
    if (s->check.algorithm != VPI_DIGEST_NONE) vpi_digest_add(&s->check, p, b->done);
}

/* What the block leaves: bytes that were taken, or the failure. */
static vp_status take_block(vp_upload *u, const vpi_block *b, vp_error *err)
{
    bool failed = b->err.status < 0;
    vpi_sums s;

    if (failed) {
        s = sums_of(u);
        add_written(&s, b);
        take_sums(u, &s);
        u->position = b->offset + b->done;
        if (err) vpi_error_copy(err, &b->err);
        vpi_upload_write_failed_synced(u, &b->err);
    } else {
        take_sums(u, &b->sums);
    }
    if (!u->check.running) u->counted = b->offset + (failed ? b->done : b->have);
    return failed ? b->err.status : VP_OK;
}

static void unlink_first_synced(vpi_flow *f)
{
    f->first = f->first->next;
    if (!f->first) f->last = NULL;
    f->count--;
}

/*
 * Takes what has come through, oldest first, and waits until not more than `most` blocks are under way. After a failure
 * none is, nor is anything gathered: the rest never came, it is sent again from where the file ends.
 */
static vp_status collect_synced(vp_upload *u, unsigned most, vp_error *err)
{
    vpi_gather_pool *p = u->ingest->gather;
    vpi_flow *f = &u->flow;
    vp_status st = VP_OK;
    vpi_block *b;

    if (!f->first) return VP_OK;
    pthread_mutex_lock(&p->lock);
    while ((b = f->first) != NULL) {
        if (!b->written || !b->hashed) {
            if (f->count <= most) break;
            vpi_flow_wait(p, b);
            continue;
        }
        if (st == VP_OK) st = take_block(u, b, err);
        if (st < 0) most = 0;
        unlink_first_synced(f);
        give_back_synced(p, b);
    }
    if (st < 0) f->failed = false;
    pthread_mutex_unlock(&p->lock);
    if (st < 0) give_back(u);
    return st;
}

uint64_t vpi_gather_reach_synced(const vp_upload *upload)
{
    return upload->check.running ? upload->counted : upload->position - gathered(upload);
}

/* The oldest up to this one that is not through. */
static const vpi_block *not_through_synced(const vpi_flow *f, uint64_t number)
{
    const vpi_block *b = f->first;

    while (b && b->written && b->hashed) b = b->next;
    return b && b->number <= number ? b : NULL;
}

void vpi_gather_wait(vp_upload *upload)
{
    vpi_gather_pool *p = upload->ingest->gather;
    const vpi_block *b;
    uint64_t number;

    if (!p) return;
    pthread_mutex_lock(&p->lock);
    number = upload->flow.submitted;
    while ((b = not_through_synced(&upload->flow, number)) != NULL) vpi_flow_wait(p, b);
    pthread_mutex_unlock(&p->lock);
}

void vpi_gather_settle_synced(vp_upload *upload)
{
    vpi_gather_pool *p = upload->ingest->gather;
    vpi_flow *f = &upload->flow;
    vpi_block *b;

    if (!p || !f->first) return;
    pthread_mutex_lock(&p->lock);
    while ((b = f->first) != NULL && b->written && b->hashed && b->err.status >= 0) {
        (void)take_block(upload, b, NULL);
        unlink_first_synced(f);
        give_back_synced(p, b);
    }
    pthread_mutex_unlock(&p->lock);
}

static vp_status hand_on_synced(vp_upload *u, vp_error *err)
{
    vpi_gather_pool *p = u->ingest->gather;
    vpi_block *b = u->gather.block;

    VPI_TRY(vpi_upload_begin_synced(u, err));
    b->offset = u->position - b->have;
    if (!u->flow.first) u->flow.sums = sums_of(u);
    u->gather.block = NULL;
    pthread_mutex_lock(&p->lock);
    vpi_flow_submit(p, &u->flow, b);
    pthread_mutex_unlock(&p->lock);
    return VP_OK;
}

/* ---- what is gathered ---- */

/* Written by the caller itself. */
static vp_status write_gathered_synced(vp_upload *u, vp_error *err)
{
    const vpi_block *b = u->gather.block;
    const uint8_t *p = b->data + b->from;
    size_t done = 0, have = b->have;
    vp_status st = vpi_upload_write_synced(u, u->position - have, p, have, &done, err);

    if (u->check.running) vpi_digest_add(&u->check.digest, p, done);
    /* The rest never came: it is sent again from where the file ends. */
    u->position -= have - done;
    if (!u->check.running) u->counted = u->position;
    give_back(u);
    return st;
}

vp_status vpi_gather_flush_synced(vp_upload *upload, vp_error *err)
{
    if (gathered(upload) == 0) return collect_synced(upload, 0, err);
    if (!upload->flow.first) return write_gathered_synced(upload, err);
    VPI_TRY(hand_on_synced(upload, err));
    return collect_synced(upload, 0, err);
}

void vpi_gather_drop_synced(vp_upload *upload)
{
    vp_error ignored = VP_ERROR_INIT;

    /* What fails so that nothing is certain any more is noted with the upload. */
    (void)collect_synced(upload, 0, &ignored);
    upload->position -= gathered(upload);
    give_back(upload);
}

void vpi_gather_return_synced(vp_upload *upload)
{
    if (!upload->ingest->gather || vpi_forked(upload->ingest->fork_mark)) return;
    vpi_gather_drop_synced(upload);
}

/*
 * A block for what comes at `position`, at the place that makes whole pages of the file whole pages in memory. VP_END:
 * there is none.
 */
static vp_status start_synced(vp_upload *u, int64_t now, vp_error *err)
{
    vpi_block *b = borrow(u, now);

    while (!b && u->flow.count > 0) {
        VPI_TRY(collect_synced(u, u->flow.count - 1, err));
        now = vpi_now_us(); /* it was the disk that was slow */
        b = borrow(u, now);
    }
    if (!b) return VP_END;
    b->from = (size_t)(u->position % PAGE);
    b->have = 0;
    u->gather.block = b;
    u->gather.since_us = now;
    return VP_OK;
}

/* Whether it comes fast enough, as far as it is written piece by piece. */
static bool is_fast(vp_upload *u, size_t size, int64_t now)
{
    if (!u->gather.slow) return true;
    if (u->gather.since_us == 0 || now - u->gather.since_us > SOON_US) {
        u->gather.since_us = now;
        u->gather.came = 0;
    }
    u->gather.came += size;
    u->gather.slow = u->gather.came < u->ingest->gather->bytes;
    return !u->gather.slow;
}

/* Less than a block is to come, or nobody knows whether that much does. */
static bool is_little(const vp_upload *u)
{
    size_t bytes = u->ingest->gather->bytes;

    return vpi_upload_limit(u) - u->position < bytes ||
           (u->rec.length == VP_SIZE_UNKNOWN && u->position < bytes);
}

/* Whether this piece is gathered. VP_END: it is not. */
static vp_status choose(vp_upload *u, size_t size, vp_error *err)
{
    int64_t now;

    if (!u->gather.block && !u->flow.first && is_little(u)) return VP_END;
    now = vpi_now_us();
    if (u->gather.block) {
        if (now - u->gather.since_us <= SOON_US) return VP_OK;
        VPI_TRY(vpi_gather_flush_synced(u, err));
        u->gather.slow = true;
        u->gather.since_us = 0;
    }
    return is_fast(u, size, now) ? start_synced(u, now, err) : VP_END;
}

static vp_status full_synced(vp_upload *u, vp_error *err)
{
    unsigned ahead = u->ingest->gather->ahead;

    if (ahead == 0) return vpi_gather_flush_synced(u, err);
    VPI_TRY(hand_on_synced(u, err));
    return collect_synced(u, ahead, err);
}

static unsigned idle_blocks(vpi_gather_pool *p)
{
    unsigned n;

    pthread_mutex_lock(&p->lock);
    n = VPI_GATHER_BLOCKS - p->made;
    for (const vpi_block *b = p->idle; b; b = b->next) n++;
    pthread_mutex_unlock(&p->lock);
    return n;
}

/* By what choose(), start_synced() and full_synced() would do. */
bool vpi_gather_waits_synced(vp_upload *upload, size_t size)
{
    vpi_gather_pool *p = upload->ingest->gather;
    const vpi_block *b = upload->gather.block;
    bool gathers =
        p && upload->ingest->o.sync_bytes >= p->bytes && !(upload->rec.flags & VP_UPLOADF_ANY_ORDER);
    size_t room, full;

    if (gathers) vpi_gather_settle_synced(upload);
    if (gathers && !b && !upload->flow.first)
        gathers = !upload->gather.slow && !is_little(upload) && idle_blocks(p) > 0;
    if (!gathers) return size >= VPI_PAST_CACHE;
    if (b && vpi_now_us() - upload->gather.since_us > SOON_US) return true;
    room = p->bytes - (b ? b->from + b->have : (size_t)(upload->position % PAGE));
    full = size < room ? 0 : 1 + (size - room) / p->bytes;
    if (full > 0 && (p->ahead == 0 || upload->flow.count + full > p->ahead)) return true;
    return full + !b > idle_blocks(p);
}

vp_status vpi_gather_add_synced(vp_upload *upload, const uint8_t *data, size_t size, size_t *done,
                                vp_error *err)
{
    size_t n, room;

    *done = 0;
    if (!upload->ingest->gather || upload->ingest->o.sync_bytes < upload->ingest->gather->bytes)
        return VP_END;
    while (*done < size) {
        vp_status st = choose(upload, size - *done, err);
        vpi_block *b = upload->gather.block;

        if (st == VP_END) VPI_TRY(collect_synced(upload, 0, err));
        if (st != VP_OK) return st;
        room = upload->ingest->gather->bytes - b->from - b->have;
        n = VPI_MIN(size - *done, room);
        memcpy(b->data + b->from + b->have, data + *done, n);
        b->have += n;
        upload->position += n;
        *done += n;
        if (n == room) VPI_TRY(full_synced(upload, err));
    }
    return VP_OK;
}
