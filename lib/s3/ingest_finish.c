/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The end of an upload in a bucket, its bytes as a source, and taking it away. */

#include <stdio.h>

#include "io/io.h"
#include "ingest_s3.h"

/* ---- what is there ---- */

vp_status vpi_hold_see(vpi_hold *h, const char *key, uint64_t *size, bool *shared, vp_cancel *cancel,
                       vp_error *err)
{
    vpi_s3_op op = { .method = "HEAD", .bucket = h->bucket, .key = key };
    vp_s3_info info;
    char text[16];
    vp_status st = vpi_s3_run(h->s3, &op, cancel, err);

    if (st == VP_OK) {
        vpi_s3_info_read(&op, &info);
        vpi_s3_header(&op, "x-amz-meta-vodpipe-shared", text, sizeof(text));
        *size = info.size;
        *shared = text[0] != 0;
    }
    vpi_s3_op_dispose(&op);
    return st;
}

/* VP_OK: the last step was done before. VP_END: it was not. */
static vp_status done_before(vpi_hold *h, const vpi_hold_token *t, uint64_t size, vp_cancel *cancel,
                             vp_error *err)
{
    char *key = t->key ? vpi_hold_key(h, t->key) : NULL;
    uint64_t there = 0;
    bool shared = false;
    vp_status st;

    if (!t->key) return VP_END;
    st = key ? vpi_hold_see(h, key, &there, &shared, cancel, err) : vpi_fail_nomem(err);
    if (st == VP_OK && !shared && there != size) st = VP_END;
    vpi_free(key);
    return st;
}

vp_status vpi_hold_parts_failed(vpi_hold *h, const char *id, const vpi_hold_token *t, const vp_error *why,
                                vp_cancel *cancel, vp_error *err)
{
    char *name = vpi_hold_name(h, id, "rec", NULL), *key = vpi_hold_key(h, t->key), etag[136];
    vpi_buf record = { 0 };
    bool shared, lost = why->domain == VP_DOM_HTTP && why->native == 404 && name && key;
    uint64_t size;

    vpi_error_copy(err, why);
    if (lost)
        lost = vpi_hold_get(h, name, VPI_HOLD_RECORD_MAX, &record, etag, NULL, cancel, NULL) == VP_OK &&
               memmem(record.data, record.size, t->upload->id, strlen(t->upload->id));
    /* Who took it over may have come to the end meanwhile. */
    if (lost) lost = vpi_hold_see(h, key, &size, &shared, cancel, NULL) == VP_END;
    vpi_buf_dispose(&record);
    vpi_free(name);
    vpi_free(key);
    if (!lost) return why->status;
    vpi_error_reset(err);
    vpi_error_key(err, id);
    return vpi_fail(err, VP_E_DATA, "UPLOAD_CORRUPT",
                    "the bucket has ended the upload's parts, which a rule of its own may do");
}

/* ---- the last step ---- */

static vp_status broken(vp_error *err)
{
    return vpi_fail(err, VP_E_DATA, "UPLOAD_CORRUPT", "the upload's record and its data are not of one size");
}

static void drop_pieces(vpi_hold *h, const char *id, const vpi_hold_token *t, vp_cancel *cancel)
{
    char *key;

    for (uint32_t i = 0; i < t->piece_count; i++) {
        key = vpi_hold_name(h, id, "tail", t->pieces[i].stamp);
        vpi_hold_drop(h, key, cancel);
        vpi_free(key);
    }
    if (!t->head) return;
    key = vpi_hold_name(h, id, "head", t->head_stamp);
    vpi_hold_drop(h, key, cancel);
    vpi_free(key);
}

/* What is less than a part becomes the last one, or, without others, the object. */
static vp_status send_rest(vpi_hold *h, const char *id, vpi_hold_token *t, vp_cancel *cancel, vp_error *err)
{
    size_t n = (size_t)vpi_hold_in_pieces(t);
    uint8_t *bytes = vpi_alloc(n);
    char lines[96], *key = vpi_hold_key(h, t->key);
    vp_error why = VP_ERROR_INIT;
    vpi_hold_head head;
    uint32_t number, last = 0;
    vp_status st = bytes && key ? vpi_hold_known(h, id, &head, &last, cancel, err) : vpi_fail_nomem(err);

    if (st == VP_END) st = vpi_fail(err, VP_E_CONFLICT, "TAKEN_OVER", "the upload was removed");
    if (st >= 0) st = vpi_hold_load(h, id, t, bytes, n, cancel, err);
    if (st >= 0 && t->upload) {
        /* not the number of one that failed and may come in late */
        number = vpi_hold_next_part(t, VPI_MAX(last, vpi_hold_last_part(t)), head.epoch);
        if (number > VPI_S3_PARTS_MAX)
            st = vpi_fail(err, VP_E_LIMIT, "UPLOAD_TOO_LARGE", "an object has at most %u parts",
                          VPI_S3_PARTS_MAX);
        else if (vp_s3_upload_part(t->upload, number, bytes, n, cancel, &why) < 0)
            st = vpi_hold_parts_failed(h, id, t, &why, cancel, err);
    } else if (st >= 0) {
        snprintf(lines, sizeof(lines), "x-amz-meta-vodpipe-upload: %s\n", head.mark);
        st = vpi_hold_put_data(h, key, lines, bytes, n, cancel, err);
    }
    vpi_free(key);
    vpi_free(bytes);
    return st;
}

/*
 * Where numbers are of classes each has had one content only, as long as no class has come round: then a part that the
 * server carried out late is the same bytes again.
 */
static bool each_number_once(vpi_hold *h, const char *id, const vpi_hold_token *t, vp_cancel *cancel)
{
    vpi_hold_head head;

    return t->stride > 1 && vpi_hold_known(h, id, &head, NULL, cancel, NULL) == VP_OK &&
           head.epoch <= t->stride;
}

static vp_status complete(vpi_hold *h, const char *id, vpi_hold_token *t, uint64_t size, vp_cancel *cancel,
                          vp_error *err)
{
    vp_error why = VP_ERROR_INIT;
    uint64_t in = vpi_hold_in_parts(t);
    vp_status st;

    t->upload->alone = each_number_once(h, id, t, cancel);
    st = vp_s3_upload_complete(t->upload, cancel, NULL, &why);
    if (st >= 0 || done_before(h, t, size, cancel, NULL) == VP_OK) return VP_OK;
    if (vpi_hold_in_parts(t) < in) { /* and its bytes are nowhere else */
        vpi_error_reset(err);
        vpi_error_key(err, id);
        return vpi_fail(err, VP_E_DATA, "UPLOAD_CORRUPT",
                        "the bucket has parts of the upload otherwise than they were confirmed");
    }
    return vpi_hold_parts_failed(h, id, t, &why, cancel, err);
}

static vp_status finish(vpi_hold *h, const char *id, vpi_hold_token *t, uint64_t size, vp_cancel *cancel,
                        vp_error *err)
{
    vp_error why = VP_ERROR_INIT;
    vp_status st = VP_END;

    if (t->kind == VPI_HOLD_SHARED || size == 0) return VP_OK; /* of no bytes there is no object */
    if (t->whole) return t->whole == size ? VP_OK : broken(err);
    if (!t->key || vpi_hold_in_parts(t) + vpi_hold_in_pieces(t) != size) return broken(err);
    /* A try before may have taken the pieces away already. */
    if (t->piece_count > 0) {
        VPI_TRY(st = done_before(h, t, size, cancel, err));
        if (st == VP_END && send_rest(h, id, t, cancel, &why) < 0) {
            /* Unless an owner before has come to the end just now. */
            if (done_before(h, t, size, cancel, NULL) != VP_OK) {
                vpi_error_copy(err, &why);
                return why.status;
            }
            st = VP_OK;
        }
    }
    if (st == VP_END && t->upload) VPI_TRY(complete(h, id, t, size, cancel, err));
    drop_pieces(h, id, t, cancel);
    return VP_OK;
}

vp_status vpi_hold_data_finish(void *user, const char *id, const void *token, uint64_t token_size,
                               uint64_t size, vp_error *err)
{
    vpi_hold *h = user;
    vp_cancel *cancel = NULL;
    vpi_hold_token t = { 0 };
    vp_status st;

    VPI_TRY(vpi_hold_enter(h, &cancel, err));
    VPI_GO(vpi_hold_token_read(h, token, token_size, &t, err));
    st = finish(h, id, &t, size, cancel, err);
done:
    vpi_hold_token_dispose(&t);
    vp_cancel_unref(cancel);
    return st;
}

/* ---- bytes of an upload under way ---- */

typedef struct segment {
    uint64_t from, to;
    vp_source *bytes;
} segment;

typedef struct early {
    uint64_t size;
    bool more; /* what is missing here can be had at the end */
    size_t count;
    segment segments[VPI_HOLD_PIECES + 1];
} early;

static vp_status early_read(void *user, uint64_t offset, void *data, size_t capacity, size_t *got,
                            vp_error *err)
{
    early *e = user;

    *got = 0;
    if (offset >= e->size || capacity == 0) return VP_OK;
    for (size_t i = 0; i < e->count; i++) {
        const segment *s = &e->segments[i];

        if (offset < s->from || offset >= s->to) continue;
        return vp_source_read_at(s->bytes, offset - s->from, data,
                                 (size_t)VPI_MIN(s->to - offset, (uint64_t)capacity), got, err);
    }
    if (e->more) return VP_AGAIN;
    return vpi_fail(err, VP_E_UNSUPPORTED, NULL,
                    "parts in a bucket cannot be read before all of them are one object");
}

static vp_status early_size(void *user, uint64_t *bytes, vp_error *err)
{
    early *e = user;

    (void)err;
    *bytes = e->size;
    return VP_OK;
}

static void early_release(void *user)
{
    early *e = user;

    for (size_t i = 0; i < e->count; i++) vp_source_unref(e->segments[i].bytes);
    vpi_free(e);
}

static vp_status add_segment(vpi_hold *h, early *e, const char *id, const char *kind, const char *stamp,
                             uint64_t from, uint64_t size, vp_error *err)
{
    segment *s = &e->segments[e->count];
    char *key = vpi_hold_name(h, id, kind, stamp);
    vp_status st = key ? vp_source_s3(h->s3, h->bucket, key, &s->bytes, err) : vpi_fail_nomem(err);

    vpi_free(key);
    VPI_TRY(st);
    s->from = from;
    s->to = VPI_MIN(from + size, e->size);
    e->count++;
    return VP_OK;
}

static vp_status early_source(vpi_hold *h, const char *id, const vpi_hold_token *t, uint64_t size,
                              vp_source **out, vp_error *err)
{
    vp_source_ops ops = VP_SOURCE_OPS_INIT;
    early *e = vpi_calloc(1, sizeof(*e));
    uint64_t at = vpi_hold_in_parts(t);
    vp_status st = VP_OK;

    if (!e) return vpi_fail_nomem(err);
    e->size = size;
    e->more = t->length != VP_SIZE_UNKNOWN;
    if (t->head) VPI_GO(add_segment(h, e, id, "head", t->head_stamp, 0, t->head, err));
    for (uint32_t i = 0; i < t->piece_count; i++) {
        VPI_GO(add_segment(h, e, id, "tail", t->pieces[i].stamp, at, t->pieces[i].size, err));
        at += t->pieces[i].size;
    }
    ops.read_at = early_read;
    ops.size = early_size;
    ops.release = early_release;
    VPI_GO(vpi_source_new_internal(h->context, &ops, e, out, err));
    return VP_OK;
done:
    early_release(e);
    return st;
}

static vp_status object_source(vpi_hold *h, const vpi_hold_token *t, vp_source **out, vp_error *err)
{
    char *key = vpi_hold_key(h, t->key);
    vp_status st = key ? vp_source_s3(h->s3, h->bucket, key, out, err) : vpi_fail_nomem(err);

    vpi_free(key);
    return st;
}

static vp_status source(vpi_hold *h, const char *id, vpi_hold_token *t, uint64_t size, vp_source **out,
                        vp_cancel *cancel, vp_error *err)
{
    vp_status st;

    if (size == 0) return vp_source_memory(h->context, "", 0, out, err);
    if (t->kind == VPI_HOLD_SHARED || t->whole) return object_source(h, t, out, err);
    if (t->upload || t->piece_count > 0) {
        st = done_before(h, t, size, cancel, err);
        if (st < 0) return st;
        if (st == VP_OK) return object_source(h, t, out, err);
    }
    /* All is there: the last step may as well be done now. */
    if (t->length == size) {
        VPI_TRY(finish(h, id, t, size, cancel, err));
        return object_source(h, t, out, err);
    }
    return early_source(h, id, t, size, out, err);
}

vp_status vpi_hold_data_source(void *user, const char *id, const void *token, uint64_t token_size,
                               uint64_t size, vp_source **out, vp_error *err)
{
    vpi_hold *h = user;
    vp_cancel *cancel = NULL;
    vpi_hold_token t = { 0 };
    vp_status st;

    VPI_TRY(vpi_hold_enter(h, &cancel, err));
    VPI_GO(vpi_hold_token_read(h, token, token_size, &t, err));
    st = source(h, id, &t, size, out, cancel, err);
done:
    vpi_hold_token_dispose(&t);
    vp_cancel_unref(cancel);
    return st;
}

/* ---- taking it away ---- */

typedef struct sweep {
    vpi_buf keys; /* each with its NUL */
    size_t skip;
    uint32_t before;
    const char *keep;
} sweep;

static vp_status on_data(void *user, const vp_object_info *info)
{
    sweep *s = user;
    const char *rest = info->key + s->skip;
    unsigned epoch;

    if (sscanf(rest, "%8x-", &epoch) != 1 || epoch >= s->before || vpi_streq(info->key, s->keep))
        return VP_OK;
    vpi_buf_add(&s->keys, info->key, strlen(info->key) + 1);
    return VP_OK;
}

vp_status vpi_hold_sweep_data(vpi_hold *h, const char *id, const char *mark, uint32_t before,
                              const char *keep, vp_cancel *cancel, vp_error *err)
{
    char *prefix = vpi_asprintf("%sdata/%s/%s-", h->prefix, id, mark);
    char *kept = keep ? vpi_hold_key(h, keep) : NULL;
    sweep s = { .before = before, .keep = kept };
    const char *key, *end;
    vp_status st = prefix && (kept || !keep) ? VP_OK : vpi_fail_nomem(err);

    if (st < 0) goto done;
    s.skip = strlen(prefix);
    VPI_GO(vp_s3_list(h->s3, h->bucket, prefix, on_data, &s, cancel, err));
    VPI_GO(vpi_buf_failed(&s.keys) ? vpi_fail_nomem(err) : VP_OK);
    key = (const char *)s.keys.data;
    end = key + s.keys.size;
    for (; key < end; key += strlen(key) + 1) VPI_GO(vp_s3_delete(h->s3, h->bucket, key, cancel, err));
done:
    vpi_buf_dispose(&s.keys);
    vpi_free(kept);
    vpi_free(prefix);
    return st;
}

static vp_status take_away(vpi_hold *h, const char *id, vpi_hold_token *t, vp_cancel *cancel, vp_error *err)
{
    vpi_hold_head head;
    bool stay = false;
    vp_status st;

    if (t->kind == VPI_HOLD_SHARED) VPI_TRY(vpi_hold_leave(h, id, t, &stay, cancel, err));
    if (t->upload) VPI_TRY(vp_s3_upload_abort(t->upload, cancel, err));
    drop_pieces(h, id, t, cancel);
    if (t->kind == VPI_HOLD_UPLOAD && t->key) {
        char *key = vpi_hold_key(h, t->key);

        st = key ? vp_s3_delete(h->s3, h->bucket, key, cancel, err) : vpi_fail_nomem(err);
        vpi_free(key);
        VPI_TRY(st);
    }
    st = vpi_hold_known(h, id, &head, NULL, cancel, err);
    if (st != VP_OK) return st < 0 ? st : VP_OK; /* the record went first, by another who has done all this */
    return vpi_hold_sweep_data(h, id, head.mark, UINT32_MAX, stay ? t->key : NULL, cancel, err);
}

vp_status vpi_hold_data_remove(void *user, const char *id, const void *token, uint64_t token_size,
                               vp_error *err)
{
    vpi_hold *h = user;
    vp_cancel *cancel = NULL;
    vpi_hold_token t = { 0 };
    vp_status st;

    VPI_TRY(vpi_hold_enter(h, &cancel, err));
    VPI_GO(vpi_hold_token_read(h, token, token_size, &t, err));
    st = take_away(h, id, &t, cancel, err);
done:
    vpi_hold_token_dispose(&t);
    vp_cancel_unref(cancel);
    return st;
}
