/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What killed processes left, older than a day by the server's clock: parts that no record names, pieces likewise, data
 * of ids that have no record, shared records that nobody is in. An upload that rests for a week is named by its record,
 * and stays.
 */

#include "ingest_s3.h"

#define DAY_S 86400
#define DEAD_S 86400

typedef struct tidying {
    vpi_hold *hold;
    vp_cancel *cancel;
    size_t skip;       /* bytes of the prefix of what is listed */
    int64_t before_us; /* by the server's clock */
    vpi_buf keys;      /* those to look at again, each with its NUL */
    vp_error *err;
} tidying;

/* ---- records ---- */

/* Of the id whose objects were looked at last: they come one after the other. */
typedef struct known {
    char id[VP_UPLOAD_ID_MAX + 1];
    bool any; /* there is a record */
    vpi_buf record;
} known;

static vp_status know(tidying *t, known *k, const char *id)
{
    char *key, etag[136];
    vp_status st;

    if (strcmp(k->id, id) == 0) return VP_OK;
    k->id[0] = 0;
    vpi_buf_dispose(&k->record);
    key = vpi_hold_name(t->hold, id, "rec", NULL);
    st = key ? vpi_hold_get(t->hold, key, VPI_HOLD_RECORD_MAX, &k->record, etag, NULL, t->cancel, t->err)
             : vpi_fail_nomem(t->err);
    vpi_free(key);
    if (st < 0) return st;
    k->any = st == VP_OK;
    vpi_strlcpy(k->id, id, sizeof(k->id));
    return VP_OK;
}

static bool names(const known *k, const char *text)
{
    return k->any && memmem(k->record.data, k->record.size, text, strlen(text)) != NULL;
}

/* "ID" and what follows it after a '.' or '/'; false: not one of ours. */
static bool split(const char *below, char mark, char id[VP_UPLOAD_ID_MAX + 1], const char **rest)
{
    const char *at = strchr(below, mark);

    if (!at || at == below || (size_t)(at - below) > VP_UPLOAD_ID_MAX) return false;
    vpi_strlcpy(id, below, (size_t)(at - below) + 1);
    *rest = at + 1;
    return true;
}

/* ---- objects ---- */

static vp_status on_old(void *user, const vp_object_info *info)
{
    tidying *t = user;
    size_t n = strlen(info->key);

    if (n <= t->skip || (int64_t)info->mtime_us > t->before_us) return VP_OK;
    if (n > 4 && strcmp(info->key + n - 4, ".rec") == 0) return VP_OK;
    vpi_buf_add(&t->keys, info->key, n + 1);
    return VP_OK;
}

static vp_status list_old(tidying *t, const char *below)
{
    char *prefix = vpi_hold_key(t->hold, below);
    vp_status st;

    if (!prefix) return vpi_fail_nomem(t->err);
    t->skip = strlen(prefix);
    vpi_buf_clear(&t->keys);
    st = vp_s3_list(t->hold->s3, t->hold->bucket, prefix, on_old, t, t->cancel, t->err);
    if (st >= 0 && vpi_buf_failed(&t->keys)) st = vpi_fail_nomem(t->err);
    vpi_free(prefix);
    return st;
}

#define EACH_KEY(t, key)                                                                                     \
    for (const char *key = (const char *)(t)->keys.data, *end_ = key + (t)->keys.size; key < end_;           \
         key += strlen(key) + 1)

static vp_status tidy_pieces(tidying *t, known *k)
{
    char id[VP_UPLOAD_ID_MAX + 1];
    const char *rest;

    VPI_TRY(list_old(t, "uploads/"));
    EACH_KEY(t, key)
    {
        if (!split(key + t->skip, '.', id, &rest)) continue;
        if (strncmp(rest, "tail-", 5) != 0 && strncmp(rest, "head-", 5) != 0) continue;
        VPI_TRY(know(t, k, id));
        if (!names(k, rest + 5)) VPI_TRY(vp_s3_delete(t->hold->s3, t->hold->bucket, key, t->cancel, t->err));
    }
    return VP_OK;
}

static vp_status is_kept(tidying *t, const char *id, const char *rest, bool *kept)
{
    char *key = vpi_hold_name(t->hold, id, "kept", rest), etag[136];
    vpi_buf body = { 0 };
    /* No HEAD: a 404 to that says nothing of whose it is. */
    vp_status st = key ? vpi_hold_get(t->hold, key, VPI_HOLD_RECORD_MAX, &body, etag, NULL, t->cancel, t->err)
                       : vpi_fail_nomem(t->err);

    vpi_buf_dispose(&body);
    vpi_free(key);
    *kept = st == VP_OK;
    return st < 0 ? st : VP_OK;
}

/*
 * Bytes that were put by an owner who was killed right then are taken away with their upload, or by who goes on with
 * it. Here only those whose upload is gone.
 */
static vp_status tidy_data(tidying *t, known *k)
{
    char id[VP_UPLOAD_ID_MAX + 1];
    const char *rest;
    bool kept;

    VPI_TRY(list_old(t, "data/"));
    EACH_KEY(t, key)
    {
        if (!split(key + t->skip, '/', id, &rest) || strlen(rest) < VPI_HOLD_STAMP) continue;
        VPI_TRY(know(t, k, id));
        if (k->any) {
            char mark[VPI_HOLD_STAMP];

            /* An id that was used again: the upload before is gone. */
            vpi_strlcpy(mark, rest, sizeof(mark));
            if (names(k, mark)) continue;
        }
        VPI_TRY(is_kept(t, id, rest, &kept));
        if (!kept) VPI_TRY(vp_s3_delete(t->hold->s3, t->hold->bucket, key, t->cancel, t->err));
    }
    return VP_OK;
}

static vp_status tidy_shared(tidying *t, int64_t older_s)
{
    VPI_TRY(list_old(t, "shared/"));
    EACH_KEY(t, key) VPI_TRY(vpi_hold_tidy_shared(t->hold, key, older_s, t->cancel, t->err));
    return VP_OK;
}

/* ---- parts ---- */

typedef struct stale {
    tidying *t;
    known *k;
} stale;

static vp_status wanted(void *user, const char *key, const char *upload, bool *keep, vp_error *err)
{
    stale *s = user;
    char id[VP_UPLOAD_ID_MAX + 1];
    const char *rest;

    (void)err;
    *keep = true;
    if (strlen(key) <= s->t->skip || !split(key + s->t->skip, '/', id, &rest)) return VP_OK;
    VPI_TRY(know(s->t, s->k, id));
    *keep = names(s->k, upload);
    return VP_OK;
}

static vp_status tidy_parts(tidying *t, known *k, int64_t older_s)
{
    char *prefix = vpi_hold_key(t->hold, "data/");
    stale s = { t, k };
    vp_status st;

    if (!prefix) return vpi_fail_nomem(t->err);
    t->skip = strlen(prefix);
    st = vpi_s3_sweep_but(t->hold->s3, t->hold->bucket, prefix, older_s, wanted, &s, t->cancel, t->err);
    vpi_free(prefix);
    return st;
}

/* ---- all ---- */

vp_status vpi_hold_tidy_older(vpi_hold *h, int64_t older_s, vp_cancel *cancel, vp_error *err)
{
    vp_error why = VP_ERROR_INIT;
    tidying t = { .hold = h, .cancel = cancel, .err = &why };
    known k = { 0 };
    vp_status st, first = VP_OK;

    /* One that is not allowed must not keep the others; the first failure is told. */
    for (int i = 0; i < 4 && !vp_cancel_fired(cancel); i++) {
        vp_error_init(&why);
        if (i == 1) { /* what the server's clock is has been learned by now, where it matters */
            pthread_mutex_lock(&h->s3->lock);
            t.before_us = vpi_s3_time_us() + h->s3->synced.skew_us - older_s * 1000000;
            pthread_mutex_unlock(&h->s3->lock);
        }
        st = i == 0   ? tidy_parts(&t, &k, older_s)
             : i == 1 ? tidy_pieces(&t, &k)
             : i == 2 ? tidy_data(&t, &k)
                      : tidy_shared(&t, VPI_MAX(older_s, DEAD_S));
        if (st < 0 && first >= 0) {
            first = st;
            vpi_error_copy(err, &why);
        }
        if (st == VP_E_CANCELED) break;
    }
    vpi_buf_dispose(&k.record);
    vpi_buf_dispose(&t.keys);
    return first;
}

void vpi_hold_tidy(void *user, vp_cancel *cancel)
{
    vpi_hold *h = user;
    vp_error why = VP_ERROR_INIT;

    if (vpi_s3_ready(h->s3, cancel, &why) >= 0 && vpi_hold_tidy_older(h, DAY_S, cancel, &why) >= 0) return;
    if (why.status != VP_E_CANCELED)
        vpi_log(h->context, VP_LOG_WARN, "s3", "what killed uploads left was not all tidied: %s",
                why.message);
}
