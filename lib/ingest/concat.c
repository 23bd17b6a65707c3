/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Uploads that are made of others. The bytes come first and the record that says so last, so that a crash leaves none
 * or all of one.
 */

#include "ingest/store_int.h"

#define PIECE (256u << 10)

/* The next id of a list between single spaces; false at the end. *bad: not such a list. */
static bool next_part(const char **at, char id[VP_UPLOAD_ID_MAX + 1], bool *bad)
{
    size_t n = strcspn(*at, " ");

    *bad = false;
    if (!**at) return false;
    if (!vpi_upload_id_valid(*at, n) || ((*at)[n] == ' ' && (*at)[n + 1] == 0)) {
        *bad = true;
        return false;
    }
    memcpy(id, *at, n);
    id[n] = 0;
    *at += n + ((*at)[n] == ' ');
    return true;
}

typedef struct parts {
    uint64_t sum; /* VP_SIZE_UNKNOWN: of one the length is not known */
    bool whole;   /* all */
} parts;

static vp_status look_at_parts(vp_ingest *s, const char *list, parts *p, vp_error *err)
{
    char id[VP_UPLOAD_ID_MAX + 1];
    const char *at = list;
    unsigned count = 0;
    bool bad;

    *p = (parts){ 0, true };
    while (next_part(&at, id, &bad)) {
        vpi_record r = { 0 };
        vp_status st;
        bool partial;
        uint64_t length, offset;

        if (++count > VP_UPLOAD_PARTS_MAX)
            return vpi_fail(err, VP_E_ARG, NULL, "more than %d parts", VP_UPLOAD_PARTS_MAX);
        st = vpi_ingest_look(s, id, &r, err);
        if (st != VP_OK) return st;
        partial = r.flags & VP_UPLOADF_PARTIAL;
        length = r.length;
        offset = r.offset;
        vpi_record_dispose(&r);
        if (!partial) return vpi_fail(err, VP_E_ARG, NULL, "%s is not a partial upload", id);
        if (length == VP_SIZE_UNKNOWN || offset != length) p->whole = false;
        if (length == VP_SIZE_UNKNOWN) p->sum = VP_SIZE_UNKNOWN;
        if (p->sum == VP_SIZE_UNKNOWN) continue;
        if (!vpi_add_u64(p->sum, length, &p->sum) || p->sum > INT64_MAX)
            return vpi_fail(err, VP_E_LIMIT, "UPLOAD_TOO_LARGE", "the parts are too long together");
    }
    if (bad || count == 0)
        return vpi_fail(err, VP_E_ARG, NULL, "parts is not a list of ids between single spaces");
    return VP_OK;
}

static vp_status check_size(vp_ingest *s, uint64_t length, vp_error *err)
{
    if (length == VP_SIZE_UNKNOWN || s->o.max_size == 0 || length <= s->o.max_size) return VP_OK;
    return vpi_fail(err, VP_E_LIMIT, "UPLOAD_TOO_LARGE",
                    "the parts have %llu bytes together, the limit is %llu", (unsigned long long)length,
                    (unsigned long long)s->o.max_size);
}

vp_status vpi_concat_length(vp_upload *upload, bool may_grow, vp_error *err)
{
    vp_status st;
    parts p;

    st = look_at_parts(upload->ingest, upload->rec.parts, &p, err);
    if (st != VP_OK) return st;
    if (!p.whole && !may_grow)
        return vpi_fail(err, VP_E_CONFLICT, "LENGTH_MISMATCH", "a part is not whole yet");
    VPI_TRY(check_size(upload->ingest, p.sum, err));
    upload->rec.length = p.sum;
    upload->rec.state = p.whole ? VP_UPLOAD_OPEN : VP_UPLOAD_WAITING;
    return VP_OK;
}

/* ---- bytes ---- */

static vp_status hash_copied(vp_upload *u, uint64_t from, uint64_t to, uint8_t *piece, vp_error *err)
{
    while (from < to) {
        size_t n = (size_t)VPI_MIN(to - from, (uint64_t)PIECE);

        if (u->hash.length > from) n = (size_t)VPI_MIN((uint64_t)n, u->hash.length - from);
        if (u->hash.length == from || u->declared.length == from)
            VPI_TRY(u->ingest->back.ops->read(u->item, from, piece, n, err));
        vpi_digest_add_at(&u->hash, from, piece, n);
        vpi_digest_add_at(&u->declared, from, piece, n);
        from += n;
    }
    return VP_OK;
}

static vp_status copy_through(vp_upload *u, uint64_t at, const vpi_record *part, uint8_t *piece,
                              vp_error *err)
{
    vp_ingest *s = u->ingest;
    vp_source *source = NULL;
    vp_status st = s->back.ops->source(s->back.user, part->id, &part->token, part->offset,
                                       part->state == VP_UPLOAD_FINISHED, &source, err);

    for (uint64_t from = 0; st == VP_OK && from < part->offset;) {
        size_t n = (size_t)VPI_MIN(part->offset - from, (uint64_t)PIECE), got = 0, done;

        st = vp_source_read_at(source, from, piece, n, &got, err);
        if (st == VP_OK && got != n) st = vpi_fail(err, VP_E_IO, NULL, "a part is shorter than it was");
        if (st == VP_OK) st = vpi_upload_write_synced(u, at + from, piece, n, &done, err);
        from += n;
    }
    vp_source_unref(source);
    return st;
}

static vp_status add_part(vp_upload *u, const char *id, uint64_t *at, uint8_t *piece, vp_error *err)
{
    const vpi_back_ops *ops = u->ingest->back.ops;
    vpi_record r = { 0 };
    vp_status st = vpi_ingest_look(u->ingest, id, &r, err);

    if (st != VP_OK) return st;
    if (r.length == VP_SIZE_UNKNOWN || r.offset != r.length) {
        st = vpi_fail(err, VP_E_CONFLICT, "LENGTH_MISMATCH", "a part is not whole");
    } else if (!vpi_add_u64(*at, r.length, &r.length) || r.length > u->rec.length) {
        st = vpi_fail(err, VP_E_CONFLICT, "LENGTH_MISMATCH", "a part is longer than it was");
    } else if (ops->copy) {
        /* The hash of the first part is the hash of our first bytes. */
        if (*at == 0 && u->hash.algorithm && r.hash.algorithm && r.hash.length == r.offset) u->hash = r.hash;
        st = ops->copy(u->item, *at, id, r.offset, err);
        if (st == VP_OK) st = hash_copied(u, *at, *at + r.offset, piece, err);
    } else {
        st = copy_through(u, *at, &r, piece, err);
    }
    *at += r.offset;
    vpi_record_dispose(&r);
    return st;
}

/* All parts into the item, durable; the record has still to be put. */
static vp_status build(vp_upload *u, vp_error *err)
{
    char id[VP_UPLOAD_ID_MAX + 1];
    const char *list = u->rec.parts;
    uint8_t *piece = vpi_alloc(PIECE);
    vpi_buf token = { 0 };
    uint64_t at = 0;
    bool bad;
    vp_status st;

    u->begun = false; /* what an earlier try has written does not count */
    st = piece ? vpi_upload_begin_synced(u, err) : vpi_fail_nomem(err);
    vpi_digest_init(&u->hash, u->hash.algorithm);
    vpi_digest_init(&u->declared, u->declared.algorithm);
    while (st == VP_OK && next_part(&list, id, &bad)) st = add_part(u, id, &at, piece, err);
    if (st == VP_OK && at > 0) st = u->ingest->back.ops->sync_data(u->item, &token, err);
    vpi_free(piece);
    if (st == VP_OK && at != u->rec.length)
        st = vpi_fail(err, VP_E_CONFLICT, "LENGTH_MISMATCH", "the parts are not as long as they were");
    if (st != VP_OK) {
        vpi_buf_dispose(&token);
        return st;
    }
    u->rec.state = VP_UPLOAD_OPEN;
    u->rec.offset = u->counted = at;
    u->position = at;
    u->rec.hash = u->hash;
    u->rec.declared = u->declared;
    vpi_buf_dispose(&u->rec.token);
    u->rec.token = token;
    return VP_OK;
}

vp_status vpi_concat_create(vp_upload *upload, vp_error *err)
{
    const vpi_back *back = &upload->ingest->back;

    if (upload->rec.state != VP_UPLOAD_WAITING) return build(upload, err);
    return back->ops->waiting ? back->ops->waiting(back->user, upload->rec.id, true, err) : VP_OK;
}

void vpi_concat_undo(vp_upload *upload)
{
    const vpi_back *back = &upload->ingest->back;
    vp_error ignored = VP_ERROR_INIT;
    vpi_buf bytes = { 0 };
    uint64_t fence;

    /* What a directory has begun goes with its item; elsewhere only a record would lead to it, and there is none. */
    if (back->ops->growing || !upload->begun) return;
    /* There is one: of another upload of this id, or ours, whose put was answered with a failure all the same. */
    if (back->ops->look(back->user, upload->rec.id, &bytes, &fence, &ignored) == VP_END)
        (void)back->ops->remove_data(upload->item, &upload->rec.token,
                                     upload->rec.scope ? upload->rec.scope : "", NULL, &ignored);
    vpi_buf_dispose(&bytes);
}

/* ---- those that wait ---- */

vp_status vpi_concat_try_synced(vp_upload *upload, vp_error *err)
{
    const vpi_back *back = &upload->ingest->back;
    uint64_t before = upload->rec.length;
    intptr_t hold = 0;
    vp_status st;
    parts p;

    if (upload->rec.state != VP_UPLOAD_WAITING) return VP_OK;
    st = look_at_parts(upload->ingest, upload->rec.parts, &p, err);
    if (st != VP_OK) return st;
    if (!p.whole) return VP_AGAIN;
    VPI_TRY(check_size(upload->ingest, p.sum, err));
    if (before == VP_SIZE_UNKNOWN) VPI_TRY(vpi_quota_take(upload->ingest, p.sum, &hold, err));
    upload->rec.length = p.sum;
    st = build(upload, err);
    if (st == VP_OK) st = vpi_upload_put_synced(upload, err);
    if (st == VP_OK || before != VP_SIZE_UNKNOWN)
        vpi_quota_settle(upload->ingest, hold);
    else
        vpi_quota_undo(upload->ingest, p.sum, hold);
    if (st != VP_OK) {
        upload->rec.state = VP_UPLOAD_WAITING;
        upload->rec.length = before;
        upload->rec.offset = upload->counted = 0;
        upload->position = 0;
        return st;
    }
    if (back->ops->waiting) (void)back->ops->waiting(back->user, upload->rec.id, false, NULL);
    return VP_OK;
}

vp_status vpi_concat_try(vp_ingest *ingest, const char *id, vp_error *err)
{
    vpi_record r = { 0 };
    vp_upload *u = NULL;
    vp_status st = vpi_ingest_look(ingest, id, &r, err);
    parts p = { 0, false };

    /* Looked at first: most of the time there is nothing to take it for. */
    if (st == VP_OK && r.state == VP_UPLOAD_WAITING) st = look_at_parts(ingest, r.parts, &p, err);
    vpi_record_dispose(&r);
    if (st != VP_OK) return st;
    if (!p.whole) return VP_AGAIN;
    st = vpi_upload_take(ingest, id, VPI_TAKE_IDLE, &u, err);
    if (st != VP_OK) return st;
    pthread_mutex_lock(&u->lock);
    st = vpi_concat_try_synced(u, err);
    pthread_mutex_unlock(&u->lock);
    vpi_upload_leave(u, false);
    return st;
}

bool vpi_concat_lost(vp_ingest *ingest, const char *id)
{
    vp_error ignored = VP_ERROR_INIT;
    vpi_record r = { 0 };
    vp_status st = vpi_ingest_look(ingest, id, &r, &ignored);
    bool waits = st == VP_OK && r.state == VP_UPLOAD_WAITING;
    parts p;

    /* VP_END: it is gone; VP_E_ARG: its id is another upload's now. */
    if (waits) st = look_at_parts(ingest, r.parts, &p, &ignored);
    vpi_record_dispose(&r);
    return waits && (st == VP_END || st == VP_E_ARG);
}

typedef struct waking {
    vp_ingest *ingest;
    const char *part;
} waking;

static bool has_part(const char *list, const char *part)
{
    char id[VP_UPLOAD_ID_MAX + 1];
    bool bad;

    while (next_part(&list, id, &bad)) {
        if (strcmp(id, part) == 0) return true;
    }
    return false;
}

static vp_status wake_one(void *user, const char *id)
{
    waking *w = user;
    vp_error e = VP_ERROR_INIT;
    vpi_record r = { 0 };
    vp_status st = vpi_ingest_look(w->ingest, id, &r, &e);
    bool ours = st == VP_OK && r.state == VP_UPLOAD_WAITING && has_part(r.parts, w->part);
    bool stale = st == VP_END || (st == VP_OK && r.state != VP_UPLOAD_WAITING);

    vpi_record_dispose(&r);
    /* Of one that was made or removed by a process that was killed right then; a new one has its record last. */
    if (stale && st == VP_OK) (void)w->ingest->back.ops->waiting(w->ingest->back.user, id, false, NULL);
    if (ours && vpi_concat_try(w->ingest, id, &e) < 0)
        vpi_log(w->ingest->context, VP_LOG_WARN, "ingest", "upload %s could not be made of its parts: %s", id,
                e.message);
    return VP_OK;
}

void vpi_concat_wake(vp_ingest *ingest, const char *part)
{
    waking w = { ingest, part };

    /* Where there is no list, they are made when somebody asks for them. */
    if (ingest->back.ops->waiting_list)
        (void)ingest->back.ops->waiting_list(ingest->back.user, wake_one, &w, NULL);
}
