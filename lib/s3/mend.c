/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Parts that are not what Complete was told. A try that timed out or lost its connection may still be carried out,
 * after the one that was made in its place; where ETags say nothing of the bytes (SSE-KMS, some gateways) the part then
 * has one that we were never told.
 */

#include "upload.h"

/* 1: the sums tell that it is of our bytes; 0: of others; -1: there is no sum that both sides know. */
static int by_sums(const vpi_s3_part *ours, const vpi_s3_listed *theirs)
{
    uint64_t sum;

    /* 0 stands for one that was not made */
    if (ours->crc64 && vpi_s3_sum_decode(theirs->crc64, 8, &sum)) return sum == ours->crc64;
    if (ours->crc32c && vpi_s3_sum_decode(theirs->crc32c, 4, &sum)) return sum == ours->crc32c;
    return -1;
}

static bool of_our_bytes(const vp_s3_upload *u, const vpi_s3_part *ours, const vpi_s3_listed *theirs)
{
    int same = by_sums(ours, theirs);

    if (!theirs->etag[0] || theirs->size != ours->size) return false;
    return same >= 0 ? same : (ours->alone || u->alone) && !u->synced.shown;
}

void vpi_s3_parts_mend(vp_s3_upload *u, const vpi_s3_listed *listed, uint32_t *taken, uint32_t *lost)
{
    *taken = *lost = 0;
    pthread_mutex_lock(&u->lock);
    for (size_t i = 0; i < u->synced.count; i++) {
        vpi_s3_part *ours = &u->synced.parts[i];
        const vpi_s3_listed *theirs = &listed[i];

        if (!ours->in || (vpi_s3_part_same(ours, theirs) && by_sums(ours, theirs) != 0)) continue;
        if (of_our_bytes(u, ours, theirs)) {
            vpi_strlcpy(ours->etag, theirs->etag, sizeof(ours->etag));
            ++*taken;
        } else {
            ours->in = false;
            ++*lost;
        }
        ours->noted = false;
    }
    pthread_mutex_unlock(&u->lock);
}
