/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records of uploads: objects that are replaced only by who knows the ETag of the one before. Each write has a stamp
 * of its own in it, so that no two are alike and one whose answer was lost is known again.
 *
 *     "VPR1", stamp (16 bytes), version (8), epoch (4), mark (16 hex digits), then what the core wrote
 */

#include <time.h>

#include "base/hash.h"
#include "ingest_s3.h"
#include "store.h"

#define HEAD_SIZE 48u
#define CAS_TRIES 8u
#define NOBODYS "\"00000000000000000000000000000000\""

/* ---- objects with conditions ---- */

vp_status vpi_hold_get(vpi_hold *h, const char *key, size_t most, vpi_buf *body, char etag[136],
                       int64_t *age_s, vp_cancel *cancel, vp_error *err)
{
    vpi_s3_op op = { .method = "GET", .bucket = h->bucket, .key = key, .max_body = most };
    char text[64];
    int64_t now, then;
    vp_status st;

    VPI_TRY(vpi_s3_bucket_check(h->bucket, key, err));
    st = vpi_s3_run(h->s3, &op, cancel, err);
    if (st == VP_OK) {
        vpi_s3_header(&op, "etag", etag, 136);
        vpi_s3_header(&op, "date", text, sizeof(text));
        now = vpi_s3_parse_time(text);
        vpi_s3_header(&op, "last-modified", text, sizeof(text));
        then = vpi_s3_parse_time(text);
        if (age_s) *age_s = now && then ? (now - then) / 1000000 : 0;
        vpi_buf_dispose(body);
        *body = op.call.answer.body;
        op.call.answer.body = (vpi_buf){ 0 };
        if (!etag[0]) {
            vpi_error_key(err, key);
            st = vpi_fail(err, VP_E_IO, "S3_ERROR", "the server gives an object without an ETag");
        }
    }
    vpi_s3_op_dispose(&op);
    return st;
}

static vp_status put_once(vpi_hold *h, const char *key, const void *body, size_t size, char etag[136],
                          vp_cancel *cancel, vp_error *err)
{
    vpi_s3_op op = { .method = "PUT", .bucket = h->bucket, .key = key, .body = body, .body_size = size };
    char lines[256], got[136];
    vpi_buf text = { 0 };
    vp_status st;

    vpi_buf_printf(&text,
                   "Content-Type: application/octet-stream\n%s: ", etag[0] ? "If-Match" : "If-None-Match");
    vpi_buf_str(&text, etag[0] ? etag : "*");
    vpi_buf_str(&text, "\n");
    vpi_buf_u8(&text, 0);
    if (vpi_buf_failed(&text) || text.size > sizeof(lines)) {
        vpi_buf_dispose(&text);
        return vpi_fail_nomem(err);
    }
    memcpy(lines, text.data, text.size);
    vpi_buf_dispose(&text);
    op.headers = lines;
    st = vpi_s3_run(h->s3, &op, cancel, err);
    if (st == VP_E_IO && op.call.answer.status == 501) {
        vp_error_init(err);
        vpi_error_key(err, key);
        st = vpi_fail(
            err, VP_E_UNSUPPORTED, NULL,
            "the server does not know If-Match and If-None-Match for writing: no uploads in its buckets");
    }
    if (st == VP_OK) {
        vpi_s3_header(&op, "etag", got, sizeof(got));
        if (got[0])
            vpi_strlcpy(etag, got, 136);
        else
            st = vpi_fail(err, VP_E_IO, "S3_ERROR", "the server takes an object without an ETag");
    }
    vpi_s3_op_dispose(&op);
    return st;
}

static vp_status in_the_way(const char *key, vp_error *err)
{
    vp_error_init(err);
    vpi_error_key(err, key);
    return vpi_fail(err, VP_E_CONFLICT, NULL, "another process was quicker");
}

/* What is there after a refusal: ours (VP_OK), another's (CONFLICT), what was there before (VP_AGAIN). */
static vp_status refused(vpi_hold *h, const char *key, const void *body, size_t size, char etag[136],
                         vp_cancel *cancel, vp_error *err)
{
    char found[136] = "";
    vpi_buf there = { 0 };
    vp_status st = vpi_hold_get(h, key, VPI_HOLD_RECORD_MAX, &there, found, NULL, cancel, err);

    if (st == VP_END) {
        st = etag[0] ? in_the_way(key, err) : VP_AGAIN;
    } else if (st == VP_OK && there.size == size && memcmp(there.data, body, size) == 0) {
        vpi_strlcpy(etag, found, 136);
    } else if (st == VP_OK) {
        st = etag[0] && vpi_s3_same_etag(etag, found) ? VP_AGAIN : in_the_way(key, err);
    }
    vpi_buf_dispose(&there);
    return st;
}

vp_status vpi_hold_put(vpi_hold *h, const char *key, const void *body, size_t size, char etag[136],
                       vp_cancel *cancel, vp_error *err)
{
    vp_error why = VP_ERROR_INIT;
    vp_status st = VP_OK;

    VPI_TRY(vpi_s3_bucket_check(h->bucket, key, err));
    for (uint32_t i = 0; i < CAS_TRIES; i++) {
        vp_error_init(&why);
        st = put_once(h, key, body, size, etag, cancel, &why);
        if (st == VP_END && !etag[0])
            return vpi_fail(err, VP_E_IO, "S3_ERROR", "the server knows no such bucket");
        if (st != VP_E_CONFLICT && st != VP_END) break;
        vp_error_init(&why);
        st = refused(h, key, body, size, etag, cancel, &why);
        if (st != VP_AGAIN) break;
        /* 409: another write was under way, and came to nothing */
        st = vpi_fail(&why, VP_E_IO, "S3_ERROR", "the server refuses a write that nobody hinders");
        why.flags |= VP_ERRF_RETRYABLE;
    }
    if (st < 0) vpi_error_copy(err, &why);
    return st;
}

/* Once for each store: a server that takes a write whatever its conditions say would give one upload to two. */
static vp_status prove(vpi_hold *h, const char *key, const void *body, size_t size, vp_cancel *cancel,
                       vp_error *err)
{
    const char *const conditions[] = { NOBODYS, "" };
    bool proven;

    pthread_mutex_lock(&h->lock);
    proven = h->synced.proven;
    pthread_mutex_unlock(&h->lock);
    if (proven) return VP_OK;
    for (size_t i = 0; i < VPI_COUNT(conditions); i++) {
        vp_error why = VP_ERROR_INIT;
        char etag[136];
        vp_status st;

        vpi_strlcpy(etag, conditions[i], sizeof(etag));
        st = put_once(h, key, body, size, etag, cancel, &why);
        if (st == VP_OK)
            return vpi_fail(err, VP_E_UNSUPPORTED, NULL, "the server ignores %s: no uploads in its buckets",
                            conditions[i][0] ? "If-Match" : "If-None-Match");
        if (st != VP_E_CONFLICT && st != VP_END) {
            vpi_error_copy(err, &why);
            return st;
        }
    }
    pthread_mutex_lock(&h->lock);
    h->synced.proven = true;
    pthread_mutex_unlock(&h->lock);
    return VP_OK;
}

/* ---- what this process knows ---- */

static vpi_hold_slot *slot_synced(vpi_hold *h, const char *id)
{
    return &h->synced.slots[vpi_crc32c(0, id, strlen(id)) % VPI_HOLD_SLOTS];
}

static void note(vpi_hold *h, const char *id, const vpi_hold_head *head, const char *etag, bool foreign)
{
    vpi_hold_slot *s;
    bool same;

    pthread_mutex_lock(&h->lock);
    s = slot_synced(h, id);
    same = strcmp(s->id, id) == 0;
    if (foreign && same && s->head.version == head->version) foreign = s->foreign;
    if (!same || s->head.epoch != head->epoch || strcmp(s->head.mark, head->mark) != 0) s->last = 0;
    vpi_strlcpy(s->id, id, sizeof(s->id));
    s->head = *head;
    s->foreign = foreign;
    vpi_strlcpy(s->etag, etag, sizeof(s->etag));
    pthread_mutex_unlock(&h->lock);
}

static bool recall(vpi_hold *h, const char *id, vpi_hold_slot *out)
{
    bool same;

    pthread_mutex_lock(&h->lock);
    *out = *slot_synced(h, id);
    same = strcmp(out->id, id) == 0;
    pthread_mutex_unlock(&h->lock);
    return same;
}

static void forget(vpi_hold *h, const char *id)
{
    vpi_hold_slot *s;

    pthread_mutex_lock(&h->lock);
    s = slot_synced(h, id);
    if (strcmp(s->id, id) == 0) memset(s, 0, sizeof(*s));
    pthread_mutex_unlock(&h->lock);
}

void vpi_hold_note_part(vpi_hold *h, const char *id, uint32_t number)
{
    vpi_hold_slot *s;

    pthread_mutex_lock(&h->lock);
    s = slot_synced(h, id);
    if (strcmp(s->id, id) == 0 && s->last < number) s->last = number;
    pthread_mutex_unlock(&h->lock);
}

/* ---- the head ---- */

static vp_status corrupt(const char *key, vp_error *err)
{
    vpi_error_key(err, key);
    return vpi_fail(err, VP_E_DATA, "UPLOAD_CORRUPT", "the object in a record's place is none");
}

static bool stamp_valid(const char *s)
{
    return strspn(s, "0123456789abcdef") == VPI_HOLD_STAMP - 1 && !s[VPI_HOLD_STAMP - 1];
}

static bool read_head(const vpi_buf *b, vpi_hold_head *head)
{
    if (b->size < HEAD_SIZE || memcmp(b->data, "VPR1", 4) != 0) return false;
    head->version = vpi_rd64(b->data + 20);
    head->epoch = vpi_rd32(b->data + 28);
    memcpy(head->mark, b->data + 32, VPI_HOLD_STAMP - 1);
    head->mark[VPI_HOLD_STAMP - 1] = 0;
    return head->version != 0 && head->epoch != 0 && stamp_valid(head->mark);
}

static void write_head(vpi_buf *b, const vpi_hold_head *head)
{
    char stamp[VPI_HOLD_STAMP];

    vpi_hold_stamp(stamp);
    vpi_buf_str(b, "VPR1");
    vpi_buf_str(b, stamp);
    vpi_buf_be64(b, head->version);
    vpi_buf_be32(b, head->epoch);
    vpi_buf_str(b, head->mark);
}

/* Of versions of other uploads that had the id before none is met again. */
static uint64_t first_version(void)
{
    char stamp[VPI_HOLD_STAMP];
    vpi_sha256 s;
    uint8_t digest[32];

    vpi_hold_stamp(stamp);
    vpi_sha256_init(&s);
    vpi_sha256_add_str(&s, stamp);
    vpi_sha256_done(&s, digest);
    return (vpi_rd64(digest) >> 2) + 1;
}

static vp_status fetch(vpi_hold *h, const char *id, vpi_buf *body, vpi_hold_head *head, vp_cancel *cancel,
                       vp_error *err)
{
    char *key = vpi_hold_name(h, id, "rec", NULL), etag[136] = "";
    vp_status st;

    if (!key) return vpi_fail_nomem(err);
    st = vpi_hold_get(h, key, VPI_HOLD_RECORD_MAX, body, etag, NULL, cancel, err);
    if (st == VP_OK && !read_head(body, head)) st = corrupt(key, err);
    if (st == VP_OK) note(h, id, head, etag, true);
    vpi_free(key);
    return st;
}

vp_status vpi_hold_look(vpi_hold *h, const char *id, vpi_hold_head *head, vp_cancel *cancel, vp_error *err)
{
    vpi_buf body = { 0 };
    vp_status st = fetch(h, id, &body, head, cancel, err);

    vpi_buf_dispose(&body);
    return st;
}

vp_status vpi_hold_known(vpi_hold *h, const char *id, vpi_hold_head *head, uint32_t *last, vp_cancel *cancel,
                         vp_error *err)
{
    vpi_hold_slot s;

    if (last) *last = 0;
    if (!recall(h, id, &s)) return vpi_hold_look(h, id, head, cancel, err);
    *head = s.head;
    if (last) *last = s.last;
    return VP_OK;
}

/* ---- as in vp_ingest_ops ---- */

vp_status vpi_hold_record_get(void *user, const char *id, vp_ingest_reply *reply, vp_error *err)
{
    vpi_hold *h = user;
    vp_cancel *cancel = NULL;
    vpi_buf body = { 0 };
    vpi_hold_head head;
    vp_status st;

    VPI_TRY(vpi_hold_enter(h, &cancel, err));
    st = fetch(h, id, &body, &head, cancel, err);
    if (st == VP_OK)
        st = vp_ingest_reply_set(reply, body.data + HEAD_SIZE, body.size - HEAD_SIZE, head.version, err);
    vpi_buf_dispose(&body);
    vp_cancel_unref(cancel);
    return st;
}

/* What the new record's head says, and the ETag of the one that it replaces. */
static vp_status next_head(vpi_hold *h, const char *id, uint64_t version, vpi_hold_head *head, char etag[136],
                           vp_cancel *cancel, vp_error *err)
{
    vpi_hold_slot s;
    vp_status st;

    etag[0] = 0;
    if (version == 0) {
        *head = (vpi_hold_head){ .version = first_version(), .epoch = 1 };
        vpi_hold_stamp(head->mark);
        pthread_mutex_lock(&h->lock);
        for (const vpi_hold_data *d = h->synced.open; d; d = d->next) /* its bytes may be there already */
            if (d->head.version == 0 && strcmp(d->id, id) == 0)
                memcpy(head->mark, d->head.mark, VPI_HOLD_STAMP);
        pthread_mutex_unlock(&h->lock);
        return VP_OK;
    }
    if (!recall(h, id, &s) || s.head.version != version) {
        st = vpi_hold_look(h, id, head, cancel, err);
        if (st < 0) return st;
        if (st == VP_END || head->version != version || !recall(h, id, &s) || s.head.version != version)
            return vpi_fail(err, VP_E_CONFLICT, NULL, "another process was quicker");
    }
    *head = s.head;
    head->version++;
    if (s.foreign) head->epoch++;
    vpi_strlcpy(etag, s.etag, 136);
    return VP_OK;
}

vp_status vpi_hold_record_put(void *user, const char *id, const void *data, uint64_t size, uint64_t version,
                              uint64_t *now, vp_error *err)
{
    vpi_hold *h = user;
    char *key = vpi_hold_name(h, id, "rec", NULL), etag[136];
    vp_cancel *cancel = NULL;
    vpi_buf body = { 0 };
    vpi_hold_head head;
    vp_status st = key ? vpi_hold_enter(h, &cancel, err) : vpi_fail_nomem(err);

    if (st < 0) goto done;
    VPI_GO(next_head(h, id, version, &head, etag, cancel, err));
    write_head(&body, &head);
    vpi_buf_add(&body, data, (size_t)size);
    VPI_GO(vpi_buf_failed(&body) ? vpi_fail_nomem(err) : VP_OK);
    VPI_GO(vpi_hold_put(h, key, body.data, body.size, etag, cancel, err));
    st = prove(h, key, body.data, body.size, cancel, err);
    if (st < 0) {
        if (version == 0) vpi_hold_drop(h, key, cancel);
        goto done;
    }
    note(h, id, &head, etag, false);
    vpi_hold_confirm(h, id, body.data, body.size);
    *now = head.version;
done:
    if (st < 0) forget(h, id);
    vpi_buf_dispose(&body);
    vp_cancel_unref(cancel);
    vpi_free(key);
    return st;
}

vp_status vpi_hold_record_remove(void *user, const char *id, vp_error *err)
{
    vpi_hold *h = user;
    char *key = vpi_hold_name(h, id, "rec", NULL);
    vp_cancel *cancel = NULL;
    vp_status st = key ? vpi_hold_enter(h, &cancel, err) : vpi_fail_nomem(err);

    if (st >= 0) st = vp_s3_delete(h->s3, h->bucket, key, cancel, err);
    forget(h, id);
    vp_cancel_unref(cancel);
    vpi_free(key);
    return st;
}

typedef struct listing {
    vp_list_fn fn;
    void *user;
    size_t skip;
    vp_status stopped;
} listing;

static vp_status on_listed(void *user, const vp_object_info *info)
{
    listing *l = user;
    vp_object_info own = *info;
    size_t n = strlen(info->key), end = sizeof(".rec") - 1;
    char id[VP_UPLOAD_ID_MAX + 1];

    if (n <= l->skip + end || n - l->skip - end > VP_UPLOAD_ID_MAX ||
        strcmp(info->key + n - end, ".rec") != 0)
        return VP_OK;
    vpi_strlcpy(id, info->key + l->skip, n - l->skip - end + 1);
    own.key = id;
    l->stopped = l->fn(l->user, &own);
    return l->stopped == VP_OK ? VP_OK : VP_E_CANCELED;
}

vp_status vpi_hold_record_list(void *user, vp_list_fn fn, void *fn_user, vp_error *err)
{
    vpi_hold *h = user;
    char *prefix = vpi_asprintf("%suploads/", h->prefix);
    listing l = { .fn = fn, .user = fn_user };
    vp_cancel *cancel = NULL;
    vp_error why = VP_ERROR_INIT;
    vp_status st = prefix ? vpi_hold_enter(h, &cancel, &why) : vpi_fail_nomem(&why);

    if (st >= 0) {
        l.skip = strlen(prefix);
        st = vp_s3_list(h->s3, h->bucket, prefix, on_listed, &l, cancel, &why);
    }
    if (l.stopped != VP_OK)
        st = l.stopped;
    else if (st < 0)
        vpi_error_copy(err, &why);
    vp_cancel_unref(cancel);
    vpi_free(prefix);
    return st;
}
