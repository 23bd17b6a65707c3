/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* New uploads, and lengths that are told later. */

#include <errno.h>
#include <sys/random.h>

#include "ingest/store_int.h"

#define CREATE_FLAGS (VP_UPLOADF_PARTIAL | VP_UPLOADF_ANY_ORDER)

static vp_status make_id(char id[VP_UPLOAD_ID_MAX + 1], vp_error *err)
{
    uint8_t bytes[16];
    size_t have = 0;

    while (have < sizeof(bytes)) {
        ssize_t n = getrandom(bytes + have, sizeof(bytes) - have, 0);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return vpi_fail_errno(err, errno, NULL, "random bytes are not to be had");
        have += (size_t)n;
    }
    vpi_hex(bytes, sizeof(bytes), id);
    return VP_OK;
}

/* "sha256:" and hex. */
static vp_status read_digest(const char *text, vpi_record *r, vp_error *err)
{
    const char *colon = strchr(text, ':');
    uint8_t algorithm = colon ? vpi_digest_named(text, (size_t)(colon - text)) : VPI_DIGEST_NONE;
    size_t digits = 2 * vpi_digest_size(algorithm);

    if (algorithm == VPI_DIGEST_NONE)
        return vpi_fail(err, VP_E_UNSUPPORTED, NULL, "the digest is none of sha256, sha1, md5, crc32c");
    if (strlen(colon + 1) != digits || !vpi_unhex(colon + 1, digits, r->want))
        return vpi_fail(err, VP_E_ARG, NULL, "the digest has not %u hexadecimal digits", (unsigned)digits);
    r->want_algorithm = algorithm;
    return VP_OK;
}

static vp_status check_options(vp_ingest *s, const vp_upload_options *o, vp_error *err)
{
    uint64_t most = s->o.max_size ? VPI_MIN(s->o.max_size, (uint64_t)INT64_MAX) : INT64_MAX;
    bool known = o->length != VP_SIZE_UNKNOWN;

    if (o->flags & ~CREATE_FLAGS) return vpi_fail(err, VP_E_ARG, NULL, "unknown flags of an upload");
    if (o->reserved) return vpi_fail(err, VP_E_ARG, NULL, "a reserved field is not 0");
    if (o->parts_may_grow > 1) return vpi_fail(err, VP_E_ARG, NULL, "parts_may_grow is neither 0 nor 1");
    if (o->metadata_size > VP_UPLOAD_METADATA_MAX || (o->metadata_size > 0 && !o->metadata))
        return vpi_fail(err, VP_E_ARG, NULL, "metadata is NULL or above %d bytes", VP_UPLOAD_METADATA_MAX);
    VPI_TRY(vpi_ingest_terms(o->scope, o->expire_ms, err));
    if (o->parts && (o->flags || known))
        return vpi_fail(err, VP_E_ARG, NULL,
                        "an upload that is made of parts has neither flags nor a length of its own");
    if ((o->flags & VP_UPLOADF_ANY_ORDER) && !s->back.ops->any_order)
        return vpi_fail(err, VP_E_UNSUPPORTED, NULL, "the back end takes bytes in order only");
    if (known && o->length > most)
        return vpi_fail(err, VP_E_LIMIT, "UPLOAD_TOO_LARGE", "the upload has %llu bytes, the limit is %llu",
                        (unsigned long long)o->length, (unsigned long long)most);
    return o->id ? vpi_ingest_id(o->id, err) : VP_OK;
}

static vp_status fill_record(vp_ingest *s, const vp_upload_options *o, vpi_record *r, vp_error *err)
{
    bool sha256;

    r->state = VP_UPLOAD_OPEN;
    r->flags = o->flags | (o->parts ? VP_UPLOADF_FINAL : 0);
    r->length = o->length;
    r->created_us = vpi_ingest_now(s);
    r->expire_ms = o->expire_ms ? o->expire_ms : s->o.expire_ms;
    vpi_record_renew(r, r->created_us);
    r->writes = 1;
    if (o->id)
        vpi_strlcpy(r->id, o->id, sizeof(r->id));
    else
        VPI_TRY(make_id(r->id, err));
    if (o->digest) VPI_TRY(read_digest(o->digest, r, err));
    if (o->scope && o->scope[0] && !(r->scope = vpi_strdup(o->scope))) return vpi_fail_nomem(err);
    if (o->parts && !(r->parts = vpi_strdup(o->parts))) return vpi_fail_nomem(err);
    if (o->metadata_size > 0)
        VPI_TRY(vpi_bytes_copy(o->metadata, (size_t)o->metadata_size, &r->metadata, err));
    sha256 = !(s->o.flags & VP_INGESTF_NO_DIGEST) || r->want_algorithm == VPI_DIGEST_SHA256;
    if (sha256) vpi_digest_init(&r->hash, VPI_DIGEST_SHA256);
    if (r->want_algorithm != VPI_DIGEST_SHA256) vpi_digest_init(&r->declared, r->want_algorithm);
    return VP_OK;
}

/* Its bytes may be kept with its record: none needs a place of its own to be shared, copied to or filled in parts. */
static bool is_small(const vp_ingest *s, const vpi_record *r)
{
    if (r->length > VPI_SMALL || r->parts || (r->flags & VP_UPLOADF_ANY_ORDER)) return false;
    return !r->scope || (s->o.flags & VP_INGESTF_NO_DEDUP);
}

static vp_status create_item(vp_upload *u, vp_error *err)
{
    vp_ingest *s = u->ingest;
    vpi_buf bytes = { 0 };
    bool durable;
    vp_status st;

    VPI_TRY(s->back.ops->create(s->back.user, u->rec.id, vpi_record_room(&u->rec), is_small(s, &u->rec),
                                &u->item, err));
    u->opened = 1;
    vpi_strlcpy(u->id, u->rec.id, sizeof(u->id));
    u->hash = u->rec.hash;
    u->declared = u->rec.declared;
    st = u->rec.parts ? vpi_concat_create(u, err) : VP_OK;
    if (st != VP_OK) return st;
    vpi_record_write(&u->rec, &bytes);
    /* One that waits for bytes has nothing to lose; what is whole already may be told to be. */
    durable = u->rec.state != VP_UPLOAD_OPEN || u->rec.offset == u->rec.length;
    st = bytes.failed ? vpi_fail_nomem(err)
                      : s->back.ops->create_end(u->item, bytes.data, bytes.size, durable, err);
    vpi_buf_dispose(&bytes);
    return st;
}

static vp_status create(vp_ingest *s, const vp_upload_options *o, vp_upload **out, vp_error *err)
{
    vp_upload *u = NULL;
    uint64_t taken = 0;
    intptr_t hold = 0;
    vp_status st;

    VPI_TRY(check_options(s, o, err));
    VPI_TRY(vpi_upload_new(s, &u, err));
    VPI_GO(fill_record(s, o, &u->rec, err));
    if (o->parts) st = vpi_concat_length(u, o->parts_may_grow, err);
    if (st != VP_OK) goto done; /* VP_END: a part is gone */
    if (u->rec.length != VP_SIZE_UNKNOWN) {
        VPI_GO(vpi_quota_take(s, u->rec.length, &hold, err));
        taken = u->rec.length;
    }
    st = create_item(u, err);
    if (st != VP_OK) goto done;
    vpi_quota_settle(s, hold);
    vpi_ingest_list_open(u);
    vpi_ingest_event(s, VP_EVENT_UPLOAD_CREATED, &u->rec, u->rec.offset);
    *out = u;
    return VP_OK;
done:
    if (u->item && u->rec.parts) vpi_concat_undo(u);
    if (u->item) s->back.ops->close(u->item);
    vpi_quota_undo(s, taken, hold);
    vpi_upload_unref(u);
    return st;
}

vp_status vp_ingest_create(vp_ingest *ingest, const vp_upload_options *options, vp_upload **out,
                           vp_error *err)
{
    vp_upload_options o = VP_UPLOAD_OPTIONS_INIT;
    vp_status st;

    vp_error_init(err);
    if (!out) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_ingest_check(ingest, err));
    VPI_TRY(vpi_copy_struct(&o, sizeof(o), options, err));
    st = create(ingest, &o, out, err);
    if (st == VP_OK) vp_ingest_ref(ingest);
    if (st < 0) vpi_error_op(err, "ingest.create");
    return st;
}

/* ---- a length that is told later ---- */

static vp_status set_length_synced(vp_upload *u, uint64_t length, vp_error *err)
{
    vp_ingest *s = u->ingest;
    uint64_t before = u->rec.reserved, mark = 0;
    intptr_t hold = 0;
    vp_status st;

    if (length > INT64_MAX) return vpi_fail(err, VP_E_ARG, NULL, "the length is not a size");
    if (u->rec.length == length) return VP_OK;
    if (u->rec.length != VP_SIZE_UNKNOWN || length < u->position ||
        (u->ranges.count > 0 && length < u->ranges.at[u->ranges.count - 1].to))
        return vpi_fail(err, VP_E_CONFLICT, "LENGTH_MISMATCH",
                        "the upload's length was told before, or more has come");
    if (s->o.max_size && length > s->o.max_size)
        return vpi_fail(err, VP_E_LIMIT, "UPLOAD_TOO_LARGE", "the upload has %llu bytes, the limit is %llu",
                        (unsigned long long)length, (unsigned long long)s->o.max_size);
    VPI_TRY(vpi_upload_wait_behind_synced(u, err));
    if (length > before) VPI_TRY(vpi_quota_take(s, length - before, &hold, err));
    if (length < before) mark = vpi_quota_mark(s);
    u->rec.length = length;
    u->rec.reserved = 0;
    st = vpi_upload_put_synced(u, err);
    if (st < 0) {
        u->rec.length = VP_SIZE_UNKNOWN;
        u->rec.reserved = before;
        if (length > before) vpi_quota_undo(s, length - before, hold);
        return st;
    }
    vpi_quota_settle(s, hold);
    if (length < before) vpi_quota_give(s, before - length, mark);
    return st;
}

vp_status vp_upload_set_length(vp_upload *upload, uint64_t length, vp_error *err)
{
    vp_error e = VP_ERROR_INIT;
    vp_status st;

    vp_error_init(err);
    VPI_TRY(vpi_upload_enter(upload, &e, err));
    st = set_length_synced(upload, length, &e);
    return vpi_upload_exit(upload, st, "upload.set_length", &e, err);
}
