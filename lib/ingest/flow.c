/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Blocks under way: some threads write, another hashes. Blocks of one upload are written one after the other and hashed
 * one after the other; those of several are written at once, and hashed together, which costs a third less. Whoever
 * waits does meanwhile what no thread does, so that nothing depends on threads that could not be started.
 */

#include <errno.h>

#include "base/hash.h"
#include "ingest/store_int.h"

#define PAIR 2u
#define WIDE 8u        /* from so many on all lanes of AVX-512 are better than pairs */
#define MOVES_US 50000 /* who has a block for longer stands still, or the disk does */
#define ALONE_MS 1     /* that a block is left alone when its upload waits for it */

static void add_last(vpi_block **first, vpi_block **last, vpi_block *block, vpi_block **next)
{
    *next = NULL;
    if (!*first) *first = block;
    *last = block;
}

static void write_blocks(void *arg);
static void hash_blocks(void *arg);

void vpi_flow_init(vpi_gather_pool *pool)
{
    for (unsigned i = 0; i < VPI_GATHER_WRITERS; i++)
        pool->writers[i] = (struct vpi_pump){ { write_blocks, &pool->writers[i], NULL }, pool, false };
    pool->hasher = (struct vpi_pump){ { hash_blocks, &pool->hasher, NULL }, pool, false };
}

static void start_synced(struct vpi_pump *pump)
{
    if (!pump->busy) pump->busy = vpi_threads_add(pump->pool->threads, &pump->job);
}

/* ---- writing ---- */

static vpi_block *pick_write_synced(vpi_gather_pool *p)
{
    vpi_block *before = NULL, *b = p->to_write.first;

    for (; b && b->upload->flow.writing; b = b->next_write) before = b;
    if (!b) return NULL;
    if (before)
        before->next_write = b->next_write;
    else
        p->to_write.first = b->next_write;
    if (p->to_write.last == b) p->to_write.last = before;
    return b;
}

/* False: there is none to write now. */
static bool write_one_synced(vpi_gather_pool *p)
{
    vpi_block *b = pick_write_synced(p);
    vp_upload *u = b ? b->upload : NULL;
    vp_status st = VP_OK;

    if (!b) return false;
    u->flow.writing = true;
    if (!u->flow.failed) {
        pthread_mutex_unlock(&p->lock);
        st = u->ingest->back.ops->write(u->item, b->offset, b->data + b->from, b->have, &b->done, &b->err);
        pthread_mutex_lock(&p->lock);
    }
    u->flow.failed = u->flow.failed || st < 0;
    u->flow.writing = false;
    b->written = true;
    pthread_cond_broadcast(&p->moved);
    return true;
}

static void write_blocks(void *arg)
{
    struct vpi_pump *w = arg;

    pthread_mutex_lock(&w->pool->lock);
    while (write_one_synced(w->pool)) {}
    w->busy = false;
    pthread_mutex_unlock(&w->pool->lock);
}

static bool any_writer_synced(const vpi_gather_pool *p)
{
    bool busy = false;

    for (unsigned i = 0; i < VPI_GATHER_WRITERS; i++) busy = busy || p->writers[i].busy;
    return busy;
}

static void rouse_writer_synced(vpi_gather_pool *p)
{
    for (unsigned i = 0; i < VPI_GATHER_WRITERS; i++) {
        if (p->writers[i].busy) continue;
        start_synced(&p->writers[i]);
        return;
    }
}

/* ---- hashing ---- */

/* None of its upload is before it, nor hashed right now. */
static bool is_ready_synced(const vpi_gather_pool *p, const vpi_block *block)
{
    const vpi_block *b = p->to_hash.first;

    while (b->upload != block->upload) b = b->next_hash;
    return b == block && !block->upload->flow.hashing;
}

static unsigned ready_to_hash_synced(const vpi_gather_pool *p)
{
    unsigned n = 0;

    for (const vpi_block *b = p->to_hash.first; b; b = b->next_hash) n += is_ready_synced(p, b);
    return n;
}

/* One that waits alone is soon one of two where another upload has blocks and they move. */
static bool worth_hashing_synced(const vpi_gather_pool *p)
{
    const vpi_block *lone = p->to_hash.first;
    unsigned ready = ready_to_hash_synced(p);
    int64_t since;

    if (ready != 1 || vpi_sha256_lanes() == 1) return ready;
    while (!is_ready_synced(p, lone)) lone = lone->next_hash;
    if (lone->upload->flow.sums.hash.algorithm == VPI_DIGEST_NONE) return true;
    since = vpi_now_us() - MOVES_US;
    for (unsigned i = 0; i < p->made; i++) {
        const vpi_block *b = &p->blocks[i];

        if (b->upload && b->upload != lone->upload && b->since_us >= since) return false;
    }
    return true;
}

/* Of each upload the oldest that waits. */
static unsigned pick_hash_synced(vpi_gather_pool *p, unsigned most, vpi_block *picked[])
{
    vpi_block *before = NULL, *next;
    unsigned n = 0;

    for (vpi_block *b = p->to_hash.first; b && n < most; b = next) {
        next = b->next_hash;
        if (b->upload->flow.hashing) {
            before = b;
            continue;
        }
        b->upload->flow.hashing = true;
        picked[n++] = b;
        if (before)
            before->next_hash = next;
        else
            p->to_hash.first = next;
        if (p->to_hash.last == b) p->to_hash.last = before;
    }
    return n;
}

static void hash_picked(vpi_block *const picked[], unsigned n)
{
    vpi_digest_input in[VPI_GATHER_BLOCKS];
    unsigned count = 0;

    for (unsigned i = 0; i < n; i++) {
        const vpi_block *b = picked[i];
        const uint8_t *data = b->data + b->from;
        vpi_sums *s = &b->upload->flow.sums;

        if (s->hash.length == b->offset) in[count++] = (vpi_digest_input){ &s->hash, data, b->have };
        vpi_digest_add_at(&s->declared, b->offset, data, b->have);
        if (s->check.algorithm != VPI_DIGEST_NONE) vpi_digest_add(&s->check, data, b->have);
    }
    vpi_digest_add_many(in, count);
}

static bool hash_some_synced(vpi_gather_pool *p)
{
    unsigned ready = ready_to_hash_synced(p), n;
    vpi_block *picked[VPI_GATHER_BLOCKS];

    n = pick_hash_synced(p, ready >= WIDE ? VPI_GATHER_BLOCKS : PAIR, picked);
    if (n == 0) return false;
    pthread_mutex_unlock(&p->lock);
    hash_picked(picked, n);
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < n; i++) {
        vpi_flow *f = &picked[i]->upload->flow;

        picked[i]->sums = f->sums;
        picked[i]->hashed = true;
        f->hashing = false;
    }
    pthread_cond_broadcast(&p->moved);
    return true;
}

static void hash_blocks(void *arg)
{
    struct vpi_pump *h = arg;

    pthread_mutex_lock(&h->pool->lock);
    while (worth_hashing_synced(h->pool) && hash_some_synced(h->pool)) {}
    h->busy = false;
    /* Whoever waits for what is left counted on this one. */
    if (h->pool->to_hash.first) pthread_cond_broadcast(&h->pool->moved);
    pthread_mutex_unlock(&h->pool->lock);
}

/* ---- in and out ---- */

void vpi_flow_submit(vpi_gather_pool *pool, vpi_flow *flow, vpi_block *block)
{
    block->written = block->hashed = false;
    block->done = 0;
    vp_error_init(&block->err);
    if (pool->to_write.first) pool->to_write.last->next_write = block;
    add_last(&pool->to_write.first, &pool->to_write.last, block, &block->next_write);
    if (pool->to_hash.first) pool->to_hash.last->next_hash = block;
    add_last(&pool->to_hash.first, &pool->to_hash.last, block, &block->next_hash);
    if (flow->first) flow->last->next = block;
    add_last(&flow->first, &flow->last, block, &block->next);
    flow->count++;
    block->number = ++flow->submitted;
    rouse_writer_synced(pool);
    if (worth_hashing_synced(pool)) start_synced(&pool->hasher);
}

void vpi_flow_wait(vpi_gather_pool *pool, const vpi_block *block)
{
    bool worth = worth_hashing_synced(pool);
    struct timespec until;

    /* A second one that hashes takes no pair apart. */
    if (worth && (!pool->hasher.busy || ready_to_hash_synced(pool) >= PAIR)) {
        hash_some_synced(pool);
        if (worth_hashing_synced(pool)) start_synced(&pool->hasher);
    } else if (!any_writer_synced(pool) && write_one_synced(pool)) {
        if (pool->to_write.first) rouse_writer_synced(pool);
    } else if (block->written && !worth) {
        vpi_until_ms(ALONE_MS, &until);
        if (pthread_cond_timedwait(&pool->moved, &pool->lock, &until) == ETIMEDOUT) hash_some_synced(pool);
    } else {
        pthread_cond_wait(&pool->moved, &pool->lock);
    }
}
