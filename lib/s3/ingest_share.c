/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Equal bytes of a scope as one object. Under PREFIX/shared/SCOPE/SHA:
 *
 *     {"vodpipe_shared":1,"stamp":"...","object":"data/ID/...","size":123,"ids":["ID","OTHER"]}
 *
 * changed by conditional writes only. Without ids it is dead: the last one left. A dead one is taken up again by the
 * next upload of such bytes, which puts its own object in it, but only in its first half day: after a day it is
 * tidied away, and a delete has no condition that every server knows. Whoever leaves and is not found in it takes
 * nothing away.
 */

#include <jansson.h>
#include <time.h>

#include "base/hash.h"
#include "ingest_s3.h"

#define TRIES 64
#define IDS_MAX 1000u
#define ROOM (256u << 10)
#define REVIVE_S 43200
#define BIND_US 10000000 /* for an owner that is about to end */

typedef struct shared {
    json_t *root, *ids; /* ids: of root */
    const char *object; /* of root */
    uint64_t size;
    char etag[136]; /* "": there is no such record yet */
    int64_t age_s;
} shared;

static void dispose(shared *s)
{
    json_decref(s->root);
    memset(s, 0, sizeof(*s));
}

/* ---- names ---- */

static char *record_name(const char *scope, const char *sha256)
{
    vpi_sha256 s;
    char hex[65];

    vpi_sha256_init(&s);
    vpi_sha256_add_str(&s, scope);
    vpi_sha256_hex(&s, hex);
    return vpi_asprintf("shared/%.32s/%s", hex, sha256);
}

/* "data/ID/X": the id, and X; NULL: not of this form. */
static const char *owner_of(const char *object, char id[VP_UPLOAD_ID_MAX + 1])
{
    const char *slash;

    if (strncmp(object, "data/", 5) != 0) return NULL;
    slash = strchr(object + 5, '/');
    if (!slash || slash - object - 5 > VP_UPLOAD_ID_MAX) return NULL;
    vpi_strlcpy(id, object + 5, (size_t)(slash - object - 5) + 1);
    return slash + 1;
}

/* The name under which it is noted that the object stays without its owner's record. */
static char *kept_name(const vpi_hold *h, const char *object)
{
    char id[VP_UPLOAD_ID_MAX + 1];
    const char *rest = owner_of(object, id);

    return rest ? vpi_hold_name(h, id, "kept", rest) : NULL;
}

static bool is_of(const char *object, const char *id)
{
    char owner[VP_UPLOAD_ID_MAX + 1];

    return owner_of(object, owner) && strcmp(owner, id) == 0;
}

/* ---- reading and writing ---- */

static bool parse(const vpi_buf *body, shared *s)
{
    const json_t *size, *version, *id;
    size_t i;

    s->root = json_loadb((const char *)body->data, body->size, JSON_REJECT_DUPLICATES, NULL);
    version = json_object_get(s->root, "vodpipe_shared");
    size = json_object_get(s->root, "size");
    s->ids = json_object_get(s->root, "ids");
    s->object = json_string_value(json_object_get(s->root, "object"));
    if (json_integer_value(version) != 1 || !json_is_integer(size) || json_integer_value(size) < 0 ||
        !json_is_array(s->ids) || !s->object || !vpi_key_valid(s->object) ||
        strncmp(s->object, "data/", 5) != 0)
        return false;
    s->size = (uint64_t)json_integer_value(size);
    json_array_foreach (s->ids, i, id) {
        if (!json_is_string(id)) return false;
    }
    return true;
}

static vp_status load(vpi_hold *h, const char *key, shared *s, vp_cancel *cancel, vp_error *err)
{
    vpi_buf body = { 0 };
    vp_status st;

    memset(s, 0, sizeof(*s));
    st = vpi_hold_get(h, key, ROOM, &body, s->etag, &s->age_s, cancel, err);
    if (st == VP_OK && !parse(&body, s)) {
        vpi_error_key(err, key);
        st = vpi_fail(err, VP_E_DATA, "UPLOAD_CORRUPT", "the object in the place of a shared record is none");
    }
    vpi_buf_dispose(&body);
    return st;
}

static int find(const shared *s, const char *id)
{
    for (size_t i = 0; i < json_array_size(s->ids); i++)
        if (vpi_streq(json_string_value(json_array_get(s->ids, i)), id)) return (int)i;
    return -1;
}

/* In place of what was loaded. CONFLICT: another was quicker. */
static vp_status store(vpi_hold *h, const char *key, shared *s, const char *object, uint64_t size,
                       vp_cancel *cancel, vp_error *err)
{
    char stamp[VPI_HOLD_STAMP], *text;
    json_t *root;
    vp_status st;

    vpi_hold_stamp(stamp);
    root = json_pack("{s:i,s:s,s:s,s:I,s:O}", "vodpipe_shared", 1, "stamp", stamp, "object", object, "size",
                     (json_int_t)size, "ids", s->ids);
    text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    st = text ? vpi_hold_put(h, key, text, strlen(text), s->etag, cancel, err) : vpi_fail_nomem(err);
    free(text);
    json_decref(root);
    return st;
}

/* ---- joining ---- */

/*
 * Whether the record of the object's owner says that the object is shared: before that the owner may still take it away
 * as its own. VP_AGAIN: it does not yet. VP_END: nor will it, the upload is gone.
 */
static vp_status is_bound(vpi_hold *h, const shared *s, const char *name, vp_cancel *cancel, vp_error *err)
{
    char id[VP_UPLOAD_ID_MAX + 1], etag[136], *key;
    vpi_buf record = { 0 };
    vp_status st;

    if (!owner_of(s->object, id)) return VP_END;
    if (find(s, id) < 0) return VP_OK; /* it has left, and those who are in have the object */
    key = vpi_hold_name(h, id, "rec", NULL);
    st = key ? vpi_hold_get(h, key, VPI_HOLD_RECORD_MAX, &record, etag, NULL, cancel, err)
             : vpi_fail_nomem(err);
    if (st == VP_OK && !memmem(record.data, record.size, name, strlen(name))) st = VP_AGAIN;
    vpi_buf_dispose(&record);
    vpi_free(key);
    return st;
}

static vp_status is_there(vpi_hold *h, const shared *s, uint64_t size, vp_cancel *cancel, vp_error *err)
{
    char *key = vpi_hold_key(h, s->object);
    uint64_t there = 0;
    bool pointer = false;
    vp_status st = key ? vpi_hold_see(h, key, &there, &pointer, cancel, err) : vpi_fail_nomem(err);

    vpi_free(key);
    if (st == VP_OK && (there != size || s->size != size || pointer)) st = VP_END;
    return st;
}

/*
 * What a record is to become when id has these bytes. VP_END: it cannot be shared. VP_AGAIN: its owner has not ended
 * yet; late: it was waited for long enough.
 */
static vp_status plan(vpi_hold *h, shared *s, const char *name, const char *id, const char *own,
                      uint64_t size, bool late, const char **object, bool *change, vp_cancel *cancel,
                      vp_error *err)
{
    bool none = json_array_size(s->ids) == 0;
    vp_status st = VP_OK;

    *object = own;
    *change = true;
    if (none && s->etag[0] && s->age_s > REVIVE_S) return VP_END;
    if (!none && strcmp(s->object, own) != 0) {
        st = is_bound(h, s, name, cancel, err);
        if (st == VP_AGAIN && !late) return st;
        if (st == VP_OK) st = is_there(h, s, size, cancel, err);
        if (st < 0) return st;
        /* The owner was killed, or somebody has taken the object out of the bucket: ours is the one from now on. */
        none = st != VP_OK;
    }
    if (!none) *object = s->object;
    if (!none && find(s, id) >= 0) {
        *change = false;
        return VP_OK;
    }
    if (!none && json_array_size(s->ids) >= IDS_MAX) return VP_END;
    if (none) json_array_clear(s->ids);
    return json_array_append_new(s->ids, json_string(id)) == 0 ? VP_OK : vpi_fail_nomem(err);
}

static void pause_a_little(int tries)
{
    char stamp[VPI_HOLD_STAMP];
    struct timespec t = { 0, 0 };

    vpi_hold_stamp(stamp);
    t.tv_nsec = (long)(vpi_crc32c(0, stamp, sizeof(stamp)) % (uint32_t)(VPI_MIN(tries, 10) + 1)) * 8000000L;
    nanosleep(&t, NULL);
}

/* *object: the caller's to free. */
static vp_status join(vpi_hold *h, const char *name, const char *key, const char *id, const char *own,
                      uint64_t size, char **object, vp_cancel *cancel, vp_error *err)
{
    vp_error why = VP_ERROR_INIT;
    int64_t until = vpi_now_us() + BIND_US;
    vp_status st = VP_E_CONFLICT;
    int conflicts = 0;

    for (int i = 0; conflicts < TRIES && (st == VP_E_CONFLICT || st == VP_AGAIN); i++) {
        const char *to = NULL;
        bool change = false;
        shared s;

        if (i > 0) pause_a_little(i);
        vp_error_init(&why);
        st = load(h, key, &s, cancel, &why);
        if (st == VP_END) {
            s.root = s.ids = json_array();
            st = s.root ? VP_OK : vpi_fail_nomem(&why);
        }
        if (st == VP_OK)
            st = plan(h, &s, name, id, own, size, vpi_now_us() >= until, &to, &change, cancel, &why);
        if (st == VP_OK) {
            *object = vpi_strdup(to);
            if (!*object) st = vpi_fail_nomem(&why);
        }
        if (st == VP_OK && change) st = store(h, key, &s, to, size, cancel, &why);
        conflicts += st == VP_E_CONFLICT;
        if (st != VP_OK) {
            vpi_free(*object);
            *object = NULL;
        }
        dispose(&s);
    }
    if (st < 0) vpi_error_copy(err, &why);
    return st;
}

/* Ours is of no use any more. Where the last step would look for it, it says why it is not there. */
static vp_status drop_own(vpi_hold *h, const vpi_hold_token *t, vp_cancel *cancel, vp_error *err)
{
    char *key = vpi_hold_key(h, t->key);
    vp_status st;

    if (!key) return vpi_fail_nomem(err);
    if (t->whole)
        st = vp_s3_delete(h->s3, h->bucket, key, cancel, err);
    else
        st = vpi_hold_put_data(h, key, "x-amz-meta-vodpipe-shared: 1\n", "shared\n", 7, cancel, err);
    vpi_free(key);
    return st;
}

static vp_status answer(const char *name, const char *object, uint64_t size, vp_ingest_reply *reply,
                        vp_error *err)
{
    vpi_hold_token t = { .kind = VPI_HOLD_SHARED, .whole = size };
    vpi_buf b = { 0 };
    vp_status st;

    t.key = vpi_strdup(object);
    t.shared = vpi_strdup(name);
    st = t.key && t.shared ? vpi_hold_token_write(&t, &b, err) : vpi_fail_nomem(err);
    if (st >= 0) st = vp_ingest_reply_set(reply, b.data, b.size, 0, err);
    vpi_buf_dispose(&b);
    vpi_hold_token_dispose(&t);
    return st;
}

static vp_status share(vpi_hold *h, const char *id, const vpi_hold_token *t, const char *name, uint64_t size,
                       vp_ingest_reply *reply, uint32_t *was, vp_cancel *cancel, vp_error *err)
{
    pthread_mutex_t *stripe = &h->stripes[vpi_crc32c(0, name, strlen(name)) % VPI_HOLD_STRIPES];
    char *key = vpi_hold_key(h, name), *object = NULL;
    vp_status st;

    if (!key) return vpi_fail_nomem(err);
    pthread_mutex_lock(stripe);
    st = join(h, name, key, id, t->key, size, &object, cancel, err);
    pthread_mutex_unlock(stripe);
    if (st == VP_OK && strcmp(object, t->key) != 0) {
        *was = 1;
        st = drop_own(h, t, cancel, err);
    }
    if (st == VP_OK) st = answer(name, object, size, reply, err);
    vpi_free(object);
    vpi_free(key);
    return st == VP_END ? VP_OK : st;
}

vp_status vpi_hold_data_share(void *user, const char *id, const void *token, uint64_t token_size,
                              const char *scope, const char *sha256, uint64_t size, vp_ingest_reply *reply,
                              uint32_t *was, vp_error *err)
{
    vpi_hold *h = user;
    vp_cancel *cancel = NULL;
    vpi_hold_token t = { 0 };
    char *name = NULL;
    vp_status st;

    *was = 0;
    VPI_TRY(vpi_hold_enter(h, &cancel, err));
    VPI_GO(vpi_hold_token_read(h, token, token_size, &t, err));
    if (size == 0 || t.kind == VPI_HOLD_NOTHING) goto done;
    if (t.kind == VPI_HOLD_SHARED) { /* again, after the record could not be put */
        *was = is_of(t.key, id) ? 0 : 1;
        goto done;
    }
    name = record_name(scope, sha256);
    VPI_GO(name ? VP_OK : vpi_fail_nomem(err));
    st = share(h, id, &t, name, size, reply, was, cancel, err);
done:
    vpi_free(name);
    vpi_hold_token_dispose(&t);
    vp_cancel_unref(cancel);
    return st;
}

/* ---- leaving ---- */

static vp_status keep(vpi_hold *h, const char *object, vp_cancel *cancel, vp_error *err)
{
    char *key = kept_name(h, object);
    vp_status st = key ? vpi_hold_put_data(h, key, "", "kept\n", 5, cancel, err) : vpi_fail_nomem(err);

    vpi_free(key);
    return st;
}

/* Nobody has the object any more, and nobody will: who takes the record up again brings its own. */
static vp_status drop_object(vpi_hold *h, const char *object, vp_cancel *cancel, vp_error *err)
{
    char *key = vpi_hold_key(h, object), *kept = kept_name(h, object);
    vp_status st = key ? vp_s3_delete(h->s3, h->bucket, key, cancel, err) : vpi_fail_nomem(err);

    if (st >= 0 && kept) vpi_hold_drop(h, kept, cancel);
    vpi_free(kept);
    vpi_free(key);
    return st;
}

static vp_status leave_once(vpi_hold *h, const char *key, const char *id, const vpi_hold_token *t, bool *stay,
                            vp_cancel *cancel, vp_error *err)
{
    shared s;
    vp_status st = load(h, key, &s, cancel, err);
    bool ours = is_of(t->key, id), same = st == VP_OK && strcmp(s.object, t->key) == 0;
    int at = st == VP_OK ? find(&s, id) : -1;
    size_t left = st == VP_OK ? json_array_size(s.ids) - (at >= 0) : 0;

    if (st < 0) goto done;
    *stay = ours && !(same && left == 0);
    if (st == VP_OK && left == 0 && at < 0) {
        if (same) st = drop_object(h, s.object, cancel, err); /* a try before was killed here */
        goto done;
    }
    if (*stay) VPI_GO(keep(h, t->key, cancel, err));
    if (at < 0 || st == VP_END) {
        st = VP_OK;
        goto done;
    }
    json_array_remove(s.ids, (size_t)at);
    VPI_GO(store(h, key, &s, s.object, s.size, cancel, err));
    if (left == 0) st = drop_object(h, s.object, cancel, err);
done:
    dispose(&s);
    return st;
}

vp_status vpi_hold_leave(vpi_hold *h, const char *id, const vpi_hold_token *t, bool *stay, vp_cancel *cancel,
                         vp_error *err)
{
    pthread_mutex_t *stripe = &h->stripes[vpi_crc32c(0, t->shared, strlen(t->shared)) % VPI_HOLD_STRIPES];
    char *key = vpi_hold_key(h, t->shared);
    vp_error why = VP_ERROR_INIT;
    vp_status st = VP_E_CONFLICT;

    if (!key) return vpi_fail_nomem(err);
    for (int i = 0; i < TRIES && st == VP_E_CONFLICT; i++) {
        if (i > 0) pause_a_little(i);
        vp_error_init(&why);
        pthread_mutex_lock(stripe);
        st = leave_once(h, key, id, t, stay, cancel, &why);
        pthread_mutex_unlock(stripe);
    }
    if (st < 0) vpi_error_copy(err, &why);
    vpi_free(key);
    return st == VP_END ? VP_OK : st;
}

/* ---- tidying ---- */

/* Whether the upload of id says that it is in. */
static vp_status is_in(vpi_hold *h, const char *id, const char *name, bool *in, vp_cancel *cancel,
                       vp_error *err)
{
    char etag[136], *key = vpi_hold_name(h, id, "rec", NULL);
    vpi_buf record = { 0 };
    vp_status st = key ? vpi_hold_get(h, key, VPI_HOLD_RECORD_MAX, &record, etag, NULL, cancel, err)
                       : vpi_fail_nomem(err);

    *in = st == VP_OK && memmem(record.data, record.size, name, strlen(name)) != NULL;
    vpi_buf_dispose(&record);
    vpi_free(key);
    return st < 0 ? st : VP_OK;
}

/* The object of a record that nobody is in any more, unless it is its owner's alone: an upload that never ended. */
static vp_status drop_unowned(vpi_hold *h, const char *object, vp_cancel *cancel, vp_error *err)
{
    char id[VP_UPLOAD_ID_MAX + 1];
    bool owned;

    if (!owner_of(object, id)) return VP_OK;
    VPI_TRY(is_in(h, id, object, &owned, cancel, err));
    return owned ? VP_OK : drop_object(h, object, cancel, err);
}

vp_status vpi_hold_tidy_shared(vpi_hold *h, const char *key, int64_t older_s, vp_cancel *cancel,
                               vp_error *err)
{
    const char *name = key + strlen(h->prefix), *id;
    bool changed = false, in;
    shared s;
    vp_status st = load(h, key, &s, cancel, err);

    if (st != VP_OK || s.age_s < older_s) goto done;
    if (json_array_size(s.ids) == 0) {
        st = vp_s3_delete(h->s3, h->bucket, key, cancel, err);
        goto done;
    }
    for (size_t i = json_array_size(s.ids); i > 0; i--) {
        id = json_string_value(json_array_get(s.ids, i - 1));
        in = false;
        if (strlen(id) <= VP_UPLOAD_ID_MAX) VPI_GO(is_in(h, id, name, &in, cancel, err));
        if (in) continue;
        json_array_remove(s.ids, i - 1); /* killed before its record said so */
        changed = true;
    }
    if (!changed) goto done;
    st = store(h, key, &s, s.object, s.size, cancel, err);
    if (st == VP_OK && json_array_size(s.ids) == 0) st = drop_unowned(h, s.object, cancel, err);
    if (st == VP_E_CONFLICT) st = VP_OK; /* somebody is at it */
done:
    dispose(&s);
    return st < 0 ? st : VP_OK;
}
