/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A host's back end behind the core's table. */

#include <stdatomic.h>

#include "base/context.h"
#include "ingest/back.h"

struct vp_ingest_reply {
    vpi_buf bytes;
    size_t most;
    uint64_t version;
    bool set;
};

typedef struct host_store {
    vp_context *context;
    vp_ingest_ops ops;
    void *user;
    bool host;
    uint32_t fork_mark;
} host_store;

typedef struct host_item {
    host_store *store;
    void *data;
    bool open;
    uint64_t version; /* of the record, 0: there is none */
    char id[VP_UPLOAD_ID_MAX + 1];
} host_item;

vp_status vp_ingest_reply_set(vp_ingest_reply *reply, const void *data, uint64_t size, uint64_t version,
                              vp_error *err)
{
    vp_error_init(err);
    if (!reply || (!data && size > 0)) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    if (size > reply->most)
        return vpi_fail(err, VP_E_LIMIT, NULL, "%llu bytes, the limit is %llu", (unsigned long long)size,
                        (unsigned long long)reply->most);
    vpi_buf_clear(&reply->bytes);
    vpi_buf_add(&reply->bytes, data, (size_t)size);
    if (reply->bytes.failed) return vpi_fail_nomem(err);
    reply->version = version;
    reply->set = true;
    return VP_OK;
}

static vp_status status(const host_store *s, vp_status st, vp_status allowed, const char *what, vp_error *err)
{
    if (st == VP_OK || st == allowed) {
        if (err && err->status < 0) vp_error_init(err);
        return st;
    }
    return s->host || st > 0 ? vpi_fail_host(err, st, what) : st;
}

/* A conflict of a put means that somebody was quicker, whatever the host says of it. */
static vp_status conflict(vp_status st, const char *reason, const char *text, vp_error *err)
{
    if (st != VP_E_CONFLICT) return st;
    vp_error_init(err);
    return vpi_fail(err, VP_E_CONFLICT, reason, "%s", text);
}

/* ---- records ---- */

static vp_status get(host_store *s, const char *id, vp_ingest_reply *reply, vp_error *err)
{
    vp_status st;

    *reply = (vp_ingest_reply){ .most = VPI_RECORD_MAX };
    st = status(s, s->ops.record_get(s->user, id, reply, err), VP_END, "record_get", err);
    if (st == VP_OK && (!reply->set || reply->version == 0))
        st = vpi_fail(err, VP_E_HOST, NULL, "record_get answered without a record or a version");
    return st;
}

static vp_status look(void *back, const char *id, vpi_buf *record, uint64_t *fence, vp_error *err)
{
    vp_ingest_reply reply;
    vp_status st = get(back, id, &reply, err);

    *fence = 0;
    if (st == VP_OK) {
        vpi_buf_dispose(record);
        *record = reply.bytes;
    } else {
        vpi_buf_dispose(&reply.bytes);
    }
    return st;
}

static vp_status item_new(host_store *s, const char *id, host_item **out, vp_error *err)
{
    host_item *it = vpi_calloc(1, sizeof(*it));

    if (!it) return vpi_fail_nomem(err);
    it->store = s;
    vpi_strlcpy(it->id, id, sizeof(it->id));
    *out = it;
    return VP_OK;
}

static vp_status create(void *back, const char *id, size_t room, bool small, void **item, vp_error *err)
{
    vp_ingest_reply reply;
    host_item *it = NULL;
    vp_status st;

    (void)small;
    if (room > VPI_RECORD_MAX) return vpi_fail(err, VP_E_LIMIT, NULL, "the record would be too large");
    /* create_end decides; this is so that data of another are not touched. */
    st = get(back, id, &reply, err);
    vpi_buf_dispose(&reply.bytes);
    if (st < 0) return st;
    if (st == VP_OK) return vpi_fail(err, VP_E_CONFLICT, "ALREADY_EXISTS", "there is an upload of this id");
    VPI_TRY(item_new(back, id, &it, err));
    *item = it;
    return VP_OK;
}

static vp_status put(void *item, const void *record, size_t size, vp_error *err)
{
    host_item *it = item;
    uint64_t now = 0;
    vp_status st;

    if (size > VPI_RECORD_MAX) return vpi_fail(err, VP_E_LIMIT, NULL, "the record is too large");
    st = status(it->store,
                it->store->ops.record_put(it->store->user, it->id, record, size, it->version, &now, err),
                VP_OK, "record_put", err);
    if (st == VP_OK && now == 0)
        return vpi_fail(err, VP_E_HOST, NULL, "record_put answered without a version");
    if (st == VP_OK) it->version = now;
    return conflict(st, "TAKEN_OVER", "a newer request writes the upload", err);
}

static vp_status create_end(void *item, const void *record, size_t size, bool durable, vp_error *err)
{
    vp_status st = put(item, record, size, err);

    (void)durable;
    return conflict(st, "ALREADY_EXISTS", "there is an upload of this id", err);
}

static vp_status take(void *back, const char *id, bool idle, void **item, vpi_buf *record, uint64_t *fence,
                      vp_error *err)
{
    vp_ingest_reply reply;
    host_item *it = NULL;
    vp_status st = get(back, id, &reply, err);

    (void)idle; /* nobody can see who has it open; the record's version decides */
    *fence = 0;
    if (st == VP_OK) st = item_new(back, id, &it, err);
    if (st != VP_OK) {
        vpi_buf_dispose(&reply.bytes);
        return st;
    }
    it->version = reply.version;
    vpi_buf_dispose(record);
    *record = reply.bytes;
    *item = it;
    return VP_OK;
}

static vp_status check(void *item, vp_error *err)
{
    host_item *it = item;
    vp_ingest_reply reply;
    vp_status st = get(it->store, it->id, &reply, err);

    vpi_buf_dispose(&reply.bytes);
    if (st == VP_END || (st == VP_OK && reply.version != it->version))
        return conflict(VP_E_CONFLICT, "TAKEN_OVER", "a newer request writes the upload", err);
    return st;
}

/* ---- data ---- */

static void data_close(host_item *it)
{
    if (!it->open) return;
    it->open = false;
    /* In a forked child the host's data are the parent's. */
    if (!it->store->host || !vpi_forked(it->store->fork_mark))
        it->store->ops.data_close(it->store->user, it->data);
}

static void item_close(void *item)
{
    data_close(item);
    vpi_free(item);
}

static const void *token_of(const vpi_buf *token)
{
    return token->size > 0 ? (const void *)token->data : "";
}

static vp_status begin(void *item, const vpi_buf *token, uint64_t offset, uint64_t length, vp_error *err)
{
    host_item *it = item;
    host_store *s = it->store;

    data_close(it);
    VPI_TRY(status(
        s, s->ops.data_open(s->user, it->id, token_of(token), token->size, offset, length, &it->data, err),
        VP_OK, "data_open", err));
    it->open = true;
    return VP_OK;
}

static vp_status write_bytes(void *item, uint64_t offset, const void *data, size_t size, size_t *done,
                             vp_error *err)
{
    host_item *it = item;
    host_store *s = it->store;

    (void)offset; /* always where the last one ended */
    *done = 0;
    VPI_TRY(status(s, s->ops.data_append(s->user, it->data, data, size, err), VP_OK, "data_append", err));
    *done = size;
    return VP_OK;
}

static vp_status sync_data(void *item, vpi_buf *token, vp_error *err)
{
    host_item *it = item;
    host_store *s = it->store;
    vp_ingest_reply reply = { .most = VPI_TOKEN_MAX };
    vp_status st = status(s, s->ops.data_sync(s->user, it->data, &reply, err), VP_OK, "data_sync", err);

    if (st == VP_OK) {
        vpi_buf_dispose(token);
        *token = reply.bytes;
    } else {
        vpi_buf_dispose(&reply.bytes);
    }
    return st;
}

static vp_status finish(void *item, const vpi_buf *token, uint64_t size, vp_error *err)
{
    host_item *it = item;
    host_store *s = it->store;

    data_close(it);
    return status(s, s->ops.data_finish(s->user, it->id, token_of(token), token->size, size, err), VP_OK,
                  "data_finish", err);
}

static vp_status share(void *item, vpi_buf *token, const char *scope, const char *sha256, uint64_t size,
                       bool *shared, vp_error *err)
{
    host_item *it = item;
    host_store *s = it->store;
    vp_ingest_reply reply = { .most = VPI_TOKEN_MAX };
    uint32_t was = 0;
    vp_status st;

    if (!s->ops.data_share) return VP_OK;
    st = status(s,
                s->ops.data_share(s->user, it->id, token_of(token), token->size, scope, sha256, size, &reply,
                                  &was, err),
                VP_OK, "data_share", err);
    if (st == VP_OK) *shared = was != 0;
    if (st == VP_OK && reply.set) {
        vpi_buf_dispose(token);
        *token = reply.bytes;
    } else {
        vpi_buf_dispose(&reply.bytes);
    }
    return st;
}

static vp_status remove_data(void *item, const vpi_buf *token, const char *scope, const char *sha256,
                             vp_error *err)
{
    host_item *it = item;
    host_store *s = it->store;

    (void)scope;
    (void)sha256;
    data_close(it);
    return status(s, s->ops.data_remove(s->user, it->id, token_of(token), token->size, err), VP_OK,
                  "data_remove", err);
}

static vp_status remove_all(void *item, const vpi_buf *token, const char *scope, const char *sha256,
                            vp_error *err)
{
    host_item *it = item;
    host_store *s = it->store;

    VPI_TRY(remove_data(item, token, scope, sha256, err));
    return status(s, s->ops.record_remove(s->user, it->id, err), VP_OK, "record_remove", err);
}

/* Nobody knows a token any more: the host removes what it has of this id. */
static vp_status destroy(void *back, const char *id, vp_error *err)
{
    host_store *s = back;

    VPI_TRY(status(s, s->ops.data_remove(s->user, id, "", 0, err), VP_OK, "data_remove", err));
    return status(s, s->ops.record_remove(s->user, id, err), VP_OK, "record_remove", err);
}

static vp_status source(void *back, const char *id, const vpi_buf *token, uint64_t size, bool finished,
                        vp_source **out, vp_error *err)
{
    host_store *s = back;
    vp_status st = status(s, s->ops.data_source(s->user, id, token_of(token), token->size, size, out, err),
                          VP_OK, "data_source", err);

    (void)finished;
    if (st == VP_OK && !*out) st = vpi_fail(err, VP_E_HOST, NULL, "data_source answered without a source");
    if (st != VP_OK) *out = NULL;
    return st;
}

/* ---- lists ---- */

typedef struct listing {
    vp_status (*fn)(void *user, const char *id);
    void *user;
    vp_status stopped;
} listing;

static vp_status list_one(void *user, const vp_object_info *info)
{
    listing *l = user;

    if (!info || !info->key || !vpi_upload_id_valid(info->key, strnlen(info->key, VP_UPLOAD_ID_MAX + 1)))
        return VP_OK;
    l->stopped = l->fn(l->user, info->key);
    return l->stopped;
}

static vp_status list(void *back, vp_status (*fn)(void *user, const char *id), void *user, vp_error *err)
{
    host_store *s = back;
    listing l = { fn, user, VP_OK };
    vp_status st = s->ops.record_list(s->user, list_one, &l, err);

    return l.stopped != VP_OK ? l.stopped : status(s, st, VP_OK, "record_list", err);
}

/* ---- the store ---- */

static void tidy(void *back, int64_t now_us, vp_cancel *cancel)
{
    host_store *s = back;

    (void)now_us;
    if (s->ops.tidy) s->ops.tidy(s->user, cancel);
}

static void interrupt(void *back)
{
    host_store *s = back;

    if (s->ops.interrupt) s->ops.interrupt(s->user);
}

static void release(void *back)
{
    host_store *s = back;

    if (s->ops.release && !(s->host && vpi_forked(s->fork_mark))) s->ops.release(s->user);
    vpi_free(s);
}

static const vpi_back_ops table = {
    .any_order = false,
    .overlap = false,
    .growing = false,
    .create = create,
    .create_end = create_end,
    .open = take,
    .look = look,
    .put = put,
    .check = check,
    .begin = begin,
    .write = write_bytes,
    .sync_data = sync_data,
    .finish = finish,
    .share = share,
    .remove = remove_all,
    .destroy = destroy,
    .remove_data = remove_data,
    .close = item_close,
    .source = source,
    .list = list,
    .tidy = tidy,
    .interrupt = interrupt,
    .release = release,
};

vp_status vpi_back_host(vp_context *context, const vp_ingest_ops *ops, void *user, bool host, vpi_back *out,
                        vp_error *err)
{
    host_store *s;

    if (ops->flags) return vpi_fail(err, VP_E_ARG, NULL, "unknown flags of a back end");
    if (!ops->record_get || !ops->record_put || !ops->record_remove || !ops->record_list || !ops->data_open ||
        !ops->data_append || !ops->data_sync || !ops->data_close || !ops->data_finish || !ops->data_source ||
        !ops->data_remove)
        return vpi_fail(err, VP_E_ARG, NULL, "a callback that is required is NULL");
    s = vpi_calloc(1, sizeof(*s));
    if (!s) return vpi_fail_nomem(err);
    *s = (host_store){ context, *ops, user, host, vpi_fork_mark() };
    *out = (vpi_back){ &table, s };
    return VP_OK;
}

void vpi_back_host_forget(vpi_back *back)
{
    vpi_free(back->user);
    *back = (vpi_back){ NULL, NULL };
}
