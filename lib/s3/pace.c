/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whose turn it is. All requests of a client share a pace, and hear what others of its context were told by the same
 * server: where it asks to slow down, fewer run at a time and none starts for a while; it comes back one by one (S05).
 */

#include <stdio.h>
#include <sys/random.h>

#include "client.h"

#define DELAY_FIRST_US 100000
#define DELAY_MAX_US 20000000
#define SLOW_FIRST_US 250000

void vpi_s3_queue_synced(vp_s3 *s3, vpi_s3_op *op, bool first)
{
    op->state = VPI_S3_QUEUED;
    if (first) {
        op->next = s3->synced.first;
        s3->synced.first = op;
        if (!op->next) s3->synced.last = &op->next;
        return;
    }
    op->next = NULL;
    *s3->synced.last = op;
    s3->synced.last = &op->next;
}

void vpi_s3_unqueue_synced(vp_s3 *s3, vpi_s3_op *op)
{
    for (vpi_s3_op **at = &s3->synced.first; *at; at = &(*at)->next) {
        if (*at != op) continue;
        *at = op->next;
        if (!op->next) s3->synced.last = at;
        op->next = NULL;
        op->state = VPI_S3_IDLE;
        return;
    }
}

/* xorshift64*: spreads retries of many clients, nothing secret. */
uint64_t vpi_s3_random_synced(vp_s3 *s3)
{
    uint64_t x = s3->synced.random;

    if (!x) {
        if (getrandom(&x, sizeof(x), GRND_NONBLOCK) != (ssize_t)sizeof(x)) x = (uint64_t)vpi_now_us();
        x |= 1;
    }
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    s3->synced.random = x;
    return x * UINT64_C(2685821657736338717);
}

static int64_t jitter(vp_s3 *s3, int64_t first, uint32_t doublings)
{
    int64_t most = doublings < 12 ? VPI_MIN(first << doublings, DELAY_MAX_US) : DELAY_MAX_US;

    return (int64_t)(vpi_s3_random_synced(s3) % (uint64_t)most);
}

int64_t vpi_s3_delay_synced(vp_s3 *s3, uint32_t tries)
{
    return jitter(s3, DELAY_FIRST_US, tries ? tries - 1 : 0);
}

void vpi_s3_join_synced(vp_s3 *s3)
{
    char key[300];
    vpi_s3_common *before = s3->synced.common;

    snprintf(key, sizeof(key), "s3 %s", s3->synced.host ? s3->synced.host : "amazonaws.com");
    s3->synced.common = vpi_context_share(s3->context, key, sizeof(vpi_s3_common));
    vpi_context_unshare(s3->context, before);
    if (s3->synced.common) s3->synced.cuts = atomic_load(&s3->synced.common->cuts);
}

int64_t vpi_s3_slow_until_synced(vp_s3 *s3)
{
    vpi_s3_common *c = s3->synced.common;
    unsigned cuts = c ? atomic_load(&c->cuts) : 0;

    if (c && cuts != s3->synced.cuts) {
        s3->synced.cuts = cuts;
        s3->synced.good = 0;
        if (s3->synced.limit > 1) s3->synced.limit /= 2;
        s3->synced.slow_until_us = VPI_MAX(s3->synced.slow_until_us, atomic_load(&c->slow_until_us));
    }
    return s3->synced.slow_until_us;
}

static void tell_others_synced(vp_s3 *s3)
{
    vpi_s3_common *c = s3->synced.common;
    int64_t until = s3->synced.slow_until_us, old;

    if (!c) return;
    old = atomic_load(&c->slow_until_us);
    while (old < until && !atomic_compare_exchange_weak(&c->slow_until_us, &old, until)) {}
    s3->synced.cuts = atomic_fetch_add(&c->cuts, 1) + 1;
}

void vpi_s3_slow_synced(vp_s3 *s3, int64_t asked_us)
{
    int64_t now = vpi_now_us(), pause;

    vpi_s3_slow_until_synced(s3);
    s3->synced.counts.slow_downs++;
    s3->synced.good = 0;
    /* One cut for what was on its way when the server said so first. */
    if (now < s3->synced.slow_until_us) {
        s3->synced.slow_until_us = VPI_MAX(s3->synced.slow_until_us, now + asked_us);
        return;
    }
    if (s3->synced.limit > 1) s3->synced.limit /= 2;
    if (s3->synced.slow_streak < 8) s3->synced.slow_streak++;
    pause = SLOW_FIRST_US / 2 + jitter(s3, SLOW_FIRST_US, s3->synced.slow_streak - 1);
    s3->synced.slow_until_us = now + VPI_MAX(pause, asked_us);
    tell_others_synced(s3);
}

void vpi_s3_good_synced(vp_s3 *s3)
{
    if (vpi_now_us() >= s3->synced.slow_until_us && s3->synced.slow_streak &&
        s3->synced.good >= s3->synced.limit)
        s3->synced.slow_streak--;
    if (++s3->synced.good < 4 * s3->synced.limit || s3->synced.limit >= s3->o.connections) return;
    s3->synced.limit++;
    s3->synced.good = 0;
}
