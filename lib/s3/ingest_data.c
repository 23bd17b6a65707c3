/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes of one upload on their way into the bucket. What fills a part goes as one; what is less at a sync goes into a
 * small object of its own, a piece, until its part is full. An upload that fits into one part is one object, put as
 * soon as its last byte is there. One buffer of one part is held, no more.
 */

#include <stdio.h>

#include "ingest_s3.h"

#define FIRST_ROOM ((size_t)64 << 10)
#define MIB (UINT64_C(1) << 20)
#define GROW_AFTER 1500u /* numbers of parts of one size, where the whole is not known */
#define TYPE_LINE "Content-Type: application/octet-stream\n"

/* ---- sizes ---- */

/* Of all uploads with this length; 0: it cannot be. */
static uint64_t part_size(const vp_s3 *s3, uint64_t length)
{
    uint64_t part = vpi_s3_part_size(s3, length), least;

    if (!part || length == VP_SIZE_UNKNOWN) return part;
    least = length / VPI_HOLD_PARTS + (length % VPI_HOLD_PARTS != 0);
    if (part < least) part = (least + MIB - 1) / MIB * MIB;
    return part <= VPI_S3_PART_MAX ? part : 0;
}

/*
 * Owners of different epochs use numbers of different classes, so that a part that an owner before has still on its way
 * replaces none of ours. Sums of AWS over all parts, and B2, want the numbers without gaps: there the ETags alone tell.
 */
static uint32_t choose_stride(const vp_s3 *s3, uint64_t length, uint64_t part)
{
    if (s3->vendor == VP_S3_VENDOR_B2 || s3->checksum == VP_S3_CHECKSUM_CRC32C ||
        s3->checksum == VP_S3_CHECKSUM_CRC64NVME)
        return 1;
    return vpi_hold_stride(length, part);
}

/* It will be one object, put at once. */
static bool is_small(const vpi_hold_data *d)
{
    return !d->token.upload && d->length != VP_SIZE_UNKNOWN && d->length <= part_size(d->hold->s3, d->length);
}

static vp_status set_limit(vpi_hold_data *d, vp_error *err)
{
    const vp_s3 *s3 = d->hold->s3;
    uint64_t limit;

    if (is_small(d)) {
        limit = VPI_MAX(d->length, 1);
    } else if (!d->token.upload) {
        limit = part_size(s3, d->length);
    } else {
        limit = d->token.upload->part_size;
        if (d->length == VP_SIZE_UNKNOWN && s3->vendor != VP_S3_VENDOR_R2)
            limit = VPI_MIN(limit << (d->last / GROW_AFTER), VPI_S3_PART_MAX);
    }
    if (!limit || limit > SIZE_MAX / 2)
        return vpi_fail(err, VP_E_LIMIT, "UPLOAD_TOO_LARGE", "no object has so many bytes");
    d->limit = (size_t)limit;
    return VP_OK;
}

static vp_status grow(vpi_hold_data *d, size_t want, vp_error *err)
{
    size_t most = VPI_MAX(d->limit, d->used), capacity = VPI_MAX(d->capacity * 2, FIRST_ROOM);
    uint8_t *bytes;

    if (d->capacity - d->used >= want) return VP_OK;
    capacity = VPI_MIN(VPI_MAX(capacity, d->used + want), VPI_MAX(most, d->used + want));
    bytes = vpi_realloc(d->bytes, capacity, 1);
    if (!bytes) return vpi_fail_nomem(err);
    d->bytes = bytes;
    d->capacity = capacity;
    return VP_OK;
}

/* ---- what no record will name ---- */

static void add_old(vpi_hold_data *d, char *key)
{
    if (key) vpi_buf_add(&d->old, key, strlen(key) + 1); /* on no memory they are left for the next expiry */
    vpi_free(key);
}

static void retire_pieces(vpi_hold_data *d)
{
    for (uint32_t i = 0; i < d->token.piece_count; i++)
        add_old(d, vpi_hold_name(d->hold, d->id, "tail", d->token.pieces[i].stamp));
    d->token.piece_count = 0;
    d->saved = 0;
}

static void drop_confirmed(vpi_hold_data *d, vp_cancel *cancel)
{
    const char *key = (const char *)d->old.data, *end;
    bool confirmed;

    pthread_mutex_lock(&d->hold->lock);
    confirmed = d->synced.confirmed;
    pthread_mutex_unlock(&d->hold->lock);
    if (!confirmed || d->old_awaiting == 0) return;
    end = key + d->old_awaiting;
    for (; key < end; key += strlen(key) + 1) vpi_hold_drop(d->hold, key, cancel);
    d->old.size -= d->old_awaiting;
    memmove(d->old.data, d->old.data + d->old_awaiting, d->old.size);
    d->old_awaiting = 0;
}

void vpi_hold_confirm(vpi_hold *h, const char *id, const void *record, size_t size)
{
    pthread_mutex_lock(&h->lock);
    for (vpi_hold_data *d = h->synced.open; d; d = d->next) {
        if (strcmp(d->id, id) == 0 && d->synced.told[0] &&
            memmem(record, size, d->synced.told, VPI_HOLD_STAMP - 1))
            d->synced.confirmed = true;
    }
    pthread_mutex_unlock(&h->lock);
}

/* ---- objects ---- */

vp_status vpi_hold_put_data(vpi_hold *h, const char *key, const char *lines, const void *body, size_t size,
                            vp_cancel *cancel, vp_error *err)
{
    vpi_s3_op op = { .method = "PUT", .bucket = h->bucket, .key = key, .body = body, .body_size = size };
    char *headers = vpi_asprintf(TYPE_LINE "%s", lines);
    vp_status st = headers ? vpi_s3_bucket_check(h->bucket, key, err) : vpi_fail_nomem(err);

    if (st >= 0) {
        op.headers = headers;
        op.flags = size >= MIB ? VPI_S3_LARGE : 0;
        st = vpi_s3_run(h->s3, &op, cancel, err);
        if (st == VP_END) st = vpi_fail(err, VP_E_IO, "S3_ERROR", "the server knows no such bucket");
        vpi_error_key(err, key);
    }
    vpi_s3_op_dispose(&op);
    vpi_free(headers);
    return st;
}

static vp_status get_piece(vpi_hold *h, const char *key, uint8_t *to, size_t size, vp_cancel *cancel,
                           vp_error *err)
{
    vpi_s3_op op = { .method = "GET", .bucket = h->bucket, .key = key, .to = to, .to_capacity = size };
    char range[64];
    vp_status st;

    snprintf(range, sizeof(range), "Range: bytes=0-%zu\n", size - 1);
    op.headers = range;
    op.flags = VPI_S3_RANGED;
    st = vpi_s3_run(h->s3, &op, cancel, err);
    if (st == VP_END || (st == VP_OK && op.call.to_size != size)) {
        vp_error_init(err);
        vpi_error_key(err, key);
        st =
            vpi_fail(err, VP_E_DATA, "UPLOAD_CORRUPT", "a piece of the upload is not in the bucket any more");
    }
    vpi_s3_op_dispose(&op);
    return st;
}

vp_status vpi_hold_load(vpi_hold *h, const char *id, const vpi_hold_token *t, uint8_t *to, size_t most,
                        vp_cancel *cancel, vp_error *err)
{
    uint64_t at = 0;

    for (uint32_t i = 0; i < t->piece_count; i++) {
        size_t n = (size_t)t->pieces[i].size;
        char *key;
        vp_status st;

        if (n > most - at)
            return vpi_fail(err, VP_E_DATA, "UPLOAD_CORRUPT", "the pieces are larger than they were");
        key = vpi_hold_name(h, id, "tail", t->pieces[i].stamp);
        st = key ? get_piece(h, key, to + at, n, cancel, err) : vpi_fail_nomem(err);
        vpi_free(key);
        VPI_TRY(st);
        at += n;
    }
    return VP_OK;
}

static vp_status name_data(vpi_hold_data *d, vp_error *err)
{
    if (!d->token.key) d->token.key = vpi_hold_data_key(d->id, &d->head);
    return d->token.key ? VP_OK : vpi_fail_nomem(err);
}

/* ---- parts ---- */

/* So that the begin can be looked at while the rest comes; without it all goes on. */
static void put_head(vpi_hold_data *d, vp_cancel *cancel)
{
    vpi_hold_token *t = &d->token;
    vp_error why = VP_ERROR_INIT;
    char *key;

    vpi_hold_stamp(t->head_stamp);
    key = vpi_hold_name(d->hold, d->id, "head", t->head_stamp);
    if (key && vpi_hold_put_data(d->hold, key, "", d->bytes, d->used, cancel, &why) >= 0) t->head = d->used;
    vpi_free(key);
}

static vp_status begin_parts(vpi_hold_data *d, vp_cancel *cancel, vp_error *err)
{
    vpi_hold_token *t = &d->token;
    vp_s3_upload *u = NULL;
    char *key;
    vp_status st;

    if (t->upload) return VP_OK;
    VPI_TRY(name_data(d, err));
    key = vpi_hold_key(d->hold, t->key);
    if (!key) return vpi_fail_nomem(err);
    st = vpi_s3_upload_new(d->hold->s3, d->hold->bucket, key, d->length, TYPE_LINE, false, cancel, &u, err);
    vpi_free(key);
    VPI_TRY(st);
    u->part_size = part_size(d->hold->s3, d->length);
    u->sparse = t->stride > 1;
    t->upload = u;
    put_head(d, cancel);
    return VP_OK;
}

static vp_status send_part(vpi_hold_data *d, vp_cancel *cancel, vp_error *err)
{
    vp_error why = VP_ERROR_INIT;
    uint32_t number;

    VPI_TRY(begin_parts(d, cancel, err));
    number = vpi_hold_next_part(&d->token, d->last, d->head.epoch);
    if (number > VPI_S3_PARTS_MAX)
        return vpi_fail(err, VP_E_LIMIT, "UPLOAD_TOO_LARGE", "an object has at most %u parts",
                        VPI_S3_PARTS_MAX);
    if (d->token.stride > 1) { /* also one that fails may come in later */
        d->last = number;
        vpi_hold_note_part(d->hold, d->id, number);
    }
    if (vp_s3_upload_part(d->token.upload, number, d->bytes, d->used, cancel, &why) < 0)
        return vpi_hold_parts_failed(d->hold, d->id, &d->token, &why, cancel, err);
    d->last = number;
    d->used = 0;
    retire_pieces(d);
    return set_limit(d, err);
}

/* ---- as in vp_ingest_ops ---- */

static void data_free(vpi_hold_data *d)
{
    vpi_hold_token_dispose(&d->token);
    vpi_buf_dispose(&d->old);
    vpi_free(d->bytes);
    vpi_free(d);
}

static vp_status start_from_token(vpi_hold_data *d, uint64_t offset, vp_cancel *cancel, vp_error *err)
{
    vpi_hold_token *t = &d->token;
    uint64_t parts = vpi_hold_in_parts(t), pieces = vpi_hold_in_pieces(t);
    uint32_t last = 0, confirmed = vpi_hold_last_part(t);
    size_t n = (size_t)pieces;
    vp_status st;

    VPI_TRY(st = vpi_hold_known(d->hold, d->id, &d->head, &last, cancel, err));
    if (st == VP_END && t->kind != VPI_HOLD_NOTHING)
        return vpi_fail(err, VP_E_CONFLICT, "TAKEN_OVER", "the upload was removed");
    if (st == VP_END) { /* of a concatenation the bytes come before the record */
        d->head = (vpi_hold_head){ .epoch = 1 };
        vpi_hold_stamp(d->head.mark);
    }
    if (t->kind != VPI_HOLD_SHARED && offset != (t->whole ? t->whole : parts + pieces))
        return vpi_fail(err, VP_E_DATA, "UPLOAD_CORRUPT",
                        "the token of the upload's data is of another offset");
    if (t->kind == VPI_HOLD_NOTHING) {
        t->kind = VPI_HOLD_UPLOAD;
        t->stride = 1;
        if (part_size(d->hold->s3, d->length))
            t->stride = choose_stride(d->hold->s3, d->length, part_size(d->hold->s3, d->length));
    }
    if (d->length != VP_SIZE_UNKNOWN) t->length = d->length;
    d->last = t->stride > 1 ? VPI_MAX(last, confirmed) : confirmed;
    VPI_TRY(set_limit(d, err));
    if (n > 0 && offset != d->length) {
        VPI_TRY(grow(d, n, err));
        VPI_TRY(vpi_hold_load(d->hold, d->id, t, d->bytes, n, cancel, err));
        d->used = d->saved = n;
    }
    /* An owner before may have the whole on its way, ending in other bytes: it must not come in place of ours. */
    if (t->key && !t->upload && !t->whole && offset != d->length && !vpi_hold_key_is_of(t->key, &d->head)) {
        vpi_free(t->key);
        t->key = NULL;
    }
    /* Or has put it, and was killed before the record said so. */
    if (d->head.epoch > 1 && offset != d->length && is_small(d) && !t->whole)
        (void)vpi_hold_sweep_data(d->hold, d->id, d->head.mark, d->head.epoch, t->key, cancel, NULL);
    return VP_OK;
}

vp_status vpi_hold_data_open(void *user, const char *id, const void *token, uint64_t token_size,
                             uint64_t offset, uint64_t length, void **data, vp_error *err)
{
    vpi_hold *h = user;
    vpi_hold_data *d = vpi_calloc(1, sizeof(*d));
    vp_cancel *cancel = NULL;
    vp_status st;

    if (!d) return vpi_fail_nomem(err);
    d->hold = h;
    d->length = length;
    d->at = offset;
    vpi_strlcpy(d->id, id, sizeof(d->id));
    VPI_GO(vpi_hold_enter(h, &cancel, err));
    VPI_GO(vpi_hold_token_read(h, token, token_size, &d->token, err));
    VPI_GO(start_from_token(d, offset, cancel, err));
    pthread_mutex_lock(&h->lock);
    d->next = h->synced.open;
    h->synced.open = d;
    pthread_mutex_unlock(&h->lock);
    *data = d;
    d = NULL;
done:
    vp_cancel_unref(cancel);
    if (d) data_free(d);
    return st;
}

static vp_status append(vpi_hold_data *d, const uint8_t *bytes, size_t size, vp_cancel *cancel, vp_error *err)
{
    if (d->token.whole || d->token.kind == VPI_HOLD_SHARED)
        return vpi_fail(err, VP_E_INTERNAL, NULL, "bytes behind the last one");
    while (size > 0) {
        size_t n = d->limit > d->used ? VPI_MIN(size, d->limit - d->used) : 0;

        if (n > 0) VPI_TRY(grow(d, n, err));
        if (n > 0) memcpy(d->bytes + d->used, bytes, n);
        d->used += n;
        d->at += n;
        bytes += n;
        size -= n;
        if (d->used >= d->limit && !is_small(d))
            VPI_TRY(send_part(d, cancel, err));
        else if (n == 0)
            return vpi_fail(err, VP_E_INTERNAL, NULL, "bytes behind the last one");
    }
    return VP_OK;
}

vp_status vpi_hold_data_append(void *user, void *data, const void *bytes, size_t size, vp_error *err)
{
    vpi_hold_data *d = data;
    vp_cancel *cancel = NULL;
    vp_status st;

    VPI_TRY(vpi_hold_enter(user, &cancel, err));
    st = append(d, bytes, size, cancel, err);
    vp_cancel_unref(cancel);
    return st;
}

static vp_status put_whole(vpi_hold_data *d, vp_cancel *cancel, vp_error *err)
{
    char lines[96], *key;
    vp_status st;

    VPI_TRY(name_data(d, err));
    key = vpi_hold_key(d->hold, d->token.key);
    if (!key) return vpi_fail_nomem(err);
    snprintf(lines, sizeof(lines), "x-amz-meta-vodpipe-upload: %s\n", d->head.mark);
    st = vpi_hold_put_data(d->hold, key, lines, d->bytes, d->used, cancel, err);
    vpi_free(key);
    VPI_TRY(st);
    d->token.whole = d->used;
    retire_pieces(d);
    vpi_free(d->bytes);
    d->bytes = NULL;
    d->used = d->capacity = 0;
    return VP_OK;
}

/* What came since the last sync; all that is less than a part, where there are too many already. */
static vp_status put_piece(vpi_hold_data *d, vp_cancel *cancel, vp_error *err)
{
    vpi_hold_token *t = &d->token;
    vpi_hold_piece piece;
    char *key;
    vp_status st;

    VPI_TRY(name_data(d, err)); /* so that the last step is the same each time that it is tried */
    if (t->piece_count == VPI_HOLD_PIECES) retire_pieces(d);
    piece.size = d->used - d->saved;
    vpi_hold_stamp(piece.stamp);
    key = vpi_hold_name(d->hold, d->id, "tail", piece.stamp);
    st = key ? vpi_hold_put_data(d->hold, key, "", d->bytes + d->saved, (size_t)piece.size, cancel, err)
             : vpi_fail_nomem(err);
    vpi_free(key);
    VPI_TRY(st);
    t->pieces[t->piece_count++] = piece;
    d->saved = d->used;
    return VP_OK;
}

static vp_status sync_data(vpi_hold_data *d, vp_cancel *cancel, vpi_buf *token, vp_error *err)
{
    bool last = d->length != VP_SIZE_UNKNOWN && d->at == d->length;

    drop_confirmed(d, cancel);
    if (d->used > 0 && last && is_small(d))
        VPI_TRY(put_whole(d, cancel, err));
    else if (d->used > 0 && last)
        VPI_TRY(send_part(d, cancel, err));
    else if (d->used > d->saved)
        VPI_TRY(put_piece(d, cancel, err));
    VPI_TRY(vpi_hold_token_write(&d->token, token, err));
    pthread_mutex_lock(&d->hold->lock);
    vpi_strlcpy(d->synced.told, d->token.stamp, sizeof(d->synced.told));
    d->synced.confirmed = false;
    pthread_mutex_unlock(&d->hold->lock);
    d->old_awaiting = d->old.size;
    return VP_OK;
}

vp_status vpi_hold_data_sync(void *user, void *data, vp_ingest_reply *reply, vp_error *err)
{
    vpi_hold_data *d = data;
    vp_cancel *cancel = NULL;
    vpi_buf token = { 0 };
    vp_status st;

    VPI_TRY(vpi_hold_enter(user, &cancel, err));
    st = sync_data(d, cancel, &token, err);
    if (st >= 0) st = vp_ingest_reply_set(reply, token.data, token.size, 0, err);
    vpi_buf_dispose(&token);
    vp_cancel_unref(cancel);
    return st;
}

void vpi_hold_data_close(void *user, void *data)
{
    vpi_hold *h = user;
    vpi_hold_data *d = data;
    vp_cancel *cancel = NULL;

    /* In a child the locks may be held for ever, and what is in the bucket is the parent's. */
    if (!vpi_forked(h->fork_mark)) {
        pthread_mutex_lock(&h->lock);
        for (vpi_hold_data **at = &h->synced.open; *at; at = &(*at)->next) {
            if (*at != d) continue;
            *at = d->next;
            break;
        }
        pthread_mutex_unlock(&h->lock);
        if (d->old_awaiting > 0 && vpi_hold_enter(h, &cancel, NULL) >= 0) drop_confirmed(d, cancel);
        vp_cancel_unref(cancel);
    }
    data_free(d);
}
