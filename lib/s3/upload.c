/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Uploads in parts: begin, one part, what the host holds in its hands. */

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "upload.h"

#define MIB (UINT64_C(1) << 20)
#define PART_SIZE (8 * MIB)
#define GROW_AFTER 2000u /* parts of one size, where the whole is not known (S03) */

/* ---- sizes ---- */

uint64_t vpi_s3_part_size(const vp_s3 *s3, uint64_t size)
{
    uint64_t part = s3->o.part_size ? s3->o.part_size : PART_SIZE, least;

    if (size == VP_SIZE_UNKNOWN) return part;
    least = size / VPI_S3_PARTS_MAX + (size % VPI_S3_PARTS_MAX != 0);
    if (part < least) part = (least + MIB - 1) / MIB * MIB;
    return part <= VPI_S3_PART_MAX ? part : 0;
}

/* R2 wants all parts but the last to be equal. */
uint64_t vpi_s3_part_room(const vp_s3_upload *u, uint32_t number)
{
    uint32_t doublings = (number - 1) / GROW_AFTER;

    if (u->size != VP_SIZE_UNKNOWN || u->s3->vendor == VP_S3_VENDOR_R2) return u->part_size;
    return VPI_MIN(u->part_size << doublings, VPI_S3_PART_MAX);
}

void vpi_s3_marker_make(char marker[VPI_S3_MARKER])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[16];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        int64_t now = vpi_s3_time_us(), mono = vpi_now_us(); /* unlike others', which is all that is needed */

        memcpy(bytes, &now, 8);
        memcpy(bytes + 8, &mono, 8);
    }
    for (int i = 0; i < 16; i++) {
        marker[2 * i] = digits[bytes[i] >> 4];
        marker[2 * i + 1] = digits[bytes[i] & 15];
    }
    marker[32] = 0;
}

/* ---- begin ---- */

static vp_status on_initiate(void *user, const char *path, const char *text, vp_error *err)
{
    vp_s3_upload *u = user;

    if (strcmp(path, "InitiateMultipartUploadResult/UploadId") != 0) return VP_OK;
    vpi_free(u->id);
    u->id = vpi_strdup(text);
    return u->id ? VP_OK : vpi_fail_nomem(err);
}

static const char *sum_headers(const vp_s3 *s3)
{
    /* the kind has to be said here and again at the end (FEATURES fact 34); CRC-64/NVME is of the whole only (S15) */
    if (s3->checksum == VP_S3_CHECKSUM_CRC64NVME)
        return "x-amz-checksum-algorithm: CRC64NVME\nx-amz-checksum-type: FULL_OBJECT\n";
    if (s3->checksum == VP_S3_CHECKSUM_CRC32C)
        return "x-amz-checksum-algorithm: CRC32C\nx-amz-checksum-type: COMPOSITE\n";
    return NULL;
}

static vp_status begin(vp_s3_upload *u, const char *lines, bool plain, vp_cancel *cancel, vp_error *err)
{
    vpi_s3_op op = { .method = "POST",
                     .bucket = u->bucket,
                     .key = u->key,
                     .query = "uploads=",
                     .flags = VPI_S3_MAYBE_ERROR | VPI_S3_ONCE };
    vpi_buf headers = { 0 };
    int64_t began = vpi_s3_time_us();
    char root[64];
    vp_status st;

    vpi_buf_str(&headers, lines);
    vpi_buf_printf(&headers, "x-amz-meta-vodpipe-upload: %s\n", u->marker);
    vpi_buf_u8(&headers, 0);
    if (vpi_buf_failed(&headers)) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    op.headers = (const char *)headers.data;
    op.sum_headers = plain ? NULL : sum_headers(u->s3);
    VPI_GO(vpi_s3_run(u->s3, &op, cancel, err));
    if (st == VP_END) {
        st = vpi_fail(err, VP_E_IO, "S3_ERROR", "the server knows no such bucket");
        goto done;
    }
    VPI_GO(vpi_s3_xml(op.call.answer.body.data, op.call.answer.body.size, on_initiate, u, root, err));
    if (!u->id || !*u->id || strlen(u->id) > 1024) {
        st = vpi_fail(err, VP_E_IO, "S3_ERROR", "the server begins an upload without naming it");
        goto done;
    }
    u->checksum = op.summed ? u->s3->checksum : VP_S3_CHECKSUM_NONE;
done:
    if (op.lost && vpi_cancel_check(cancel, NULL) >= 0)
        vpi_s3_sweep_lost(u->s3, u->bucket, u->key, u->id, began, 0, cancel);
    vpi_buf_dispose(&headers);
    vpi_s3_op_dispose(&op);
    return st;
}

vp_status vpi_s3_upload_blank(vp_s3 *s3, const char *bucket, const char *key, vp_s3_upload **out,
                              vp_error *err)
{
    vp_s3_upload *u = vpi_calloc(1, sizeof(*u));

    *out = NULL;
    if (!u) return vpi_fail_nomem(err);
    atomic_init(&u->refs, 1);
    pthread_mutex_init(&u->lock, NULL);
    u->s3 = vp_s3_ref(s3);
    u->bucket = vpi_strdup(bucket);
    u->key = vpi_strdup(key);
    if (!u->bucket || !u->key) {
        vp_s3_upload_unref(u);
        return vpi_fail_nomem(err);
    }
    *out = u;
    return VP_OK;
}

vp_status vpi_s3_upload_new(vp_s3 *s3, const char *bucket, const char *key, uint64_t size, const char *lines,
                            bool plain, vp_cancel *cancel, vp_s3_upload **out, vp_error *err)
{
    uint64_t part = vpi_s3_part_size(s3, size);
    vp_s3_upload *u;
    vp_status st;

    *out = NULL;
    if (!part) return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "no object has so many bytes");
    VPI_TRY(vpi_s3_upload_blank(s3, bucket, key, &u, err));
    u->size = size;
    u->part_size = part;
    u->begun = true;
    vpi_s3_marker_make(u->marker);
    st = begin(u, lines, plain, cancel, err);
    if (st < 0) {
        vp_s3_upload_unref(u);
        return st;
    }
    *out = u;
    return VP_OK;
}

vp_s3_upload *vp_s3_upload_ref(vp_s3_upload *upload)
{
    if (upload) atomic_fetch_add(&upload->refs, 1);
    return upload;
}

vp_s3_upload *vp_s3_upload_unref(vp_s3_upload *u)
{
    if (!u || atomic_fetch_sub(&u->refs, 1) > 1) return NULL;
    vpi_free(u->synced.parts);
    vpi_free(u->synced.offers);
    vpi_free(u->bucket);
    vpi_free(u->key);
    vpi_free(u->id);
    pthread_mutex_destroy(&u->lock);
    vp_s3_unref(u->s3);
    vpi_free(u);
    return NULL;
}

/* ---- one part ---- */

/* Whether nothing was sent as this number before; from now on something was. */
static bool first_try(vp_s3_upload *u, uint32_t number)
{
    uint8_t bit = (uint8_t)(1u << number % 8);
    bool first;

    pthread_mutex_lock(&u->lock);
    first = u->begun && !(u->synced.tried[number / 8] & bit);
    u->synced.tried[number / 8] |= bit;
    pthread_mutex_unlock(&u->lock);
    return first;
}

vp_status vpi_s3_part_prepare(vp_s3_upload *u, vpi_s3_part_op *part, uint32_t number, const void *data,
                              size_t size, const vpi_s3_sums *sums, vp_error *err)
{
    vpi_buf query = { 0 };

    vpi_buf_printf(&query, "partNumber=%u&uploadId=", (unsigned)number);
    vpi_s3_encode(&query, u->id, false);
    vpi_buf_u8(&query, 0);
    if (vpi_buf_failed(&query)) {
        vpi_buf_dispose(&query);
        return vpi_fail_nomem(err);
    }
    if (query.size > sizeof(part->query)) {
        vpi_buf_dispose(&query);
        return vpi_fail(err, VP_E_IO, "S3_ERROR", "the server's name for the upload is too long");
    }
    memcpy(part->query, query.data, query.size);
    vpi_buf_dispose(&query);
    part->number = number;
    part->alone = first_try(u, number);
    part->sums = *sums;
    part->op.method = "PUT";
    part->op.bucket = u->bucket;
    part->op.key = u->key;
    part->op.query = part->query;
    part->op.body = data;
    part->op.body_size = size;
    part->op.sums = &part->sums;
    part->op.flags = VPI_S3_TAGGED | (size >= MIB ? VPI_S3_LARGE : 0);
    if (u->checksum == VP_S3_CHECKSUM_NONE && u->s3->checksum != VP_S3_CHECKSUM_MD5)
        part->op.flags |= VPI_S3_NO_SUMS;
    return VP_OK;
}

static bool room_synced(vp_s3_upload *u, uint32_t number)
{
    while (u->synced.count < number) {
        if (!VPI_GROW(u->synced.parts, u->synced.count, u->synced.cap)) return false;
        memset(&u->synced.parts[u->synced.count++], 0, sizeof(vpi_s3_part));
    }
    return true;
}

vp_status vpi_s3_part_note_whole(vp_s3_upload *u, uint32_t number, const vpi_s3_part *part, vp_error *err)
{
    pthread_mutex_lock(&u->lock);
    if (!room_synced(u, number)) {
        pthread_mutex_unlock(&u->lock);
        return vpi_fail_nomem(err);
    }
    u->synced.parts[number - 1] = *part;
    pthread_mutex_unlock(&u->lock);
    return VP_OK;
}

vp_status vpi_s3_part_note(vp_s3_upload *u, vpi_s3_part_op *part, vp_error *err)
{
    vpi_s3_part p = { .size = part->op.body_size,
                      .crc32c = part->sums.crc32c,
                      .crc64 = part->sums.crc64,
                      .in = true,
                      .alone = part->alone };

    vpi_s3_header(&part->op, "etag", p.etag, sizeof(p.etag));
    if (!p.etag[0]) {
        vpi_error_key(err, u->key);
        return vpi_fail(err, VP_E_IO, "S3_ERROR", "the server takes part %u without an ETag",
                        (unsigned)part->number);
    }
    return vpi_s3_part_note_whole(u, part->number, &p, err);
}

vp_status vpi_s3_part_note_as(vp_s3_upload *u, uint32_t number, uint64_t size, const char *etag,
                              vp_error *err)
{
    vpi_s3_part p = { .size = size, .in = true, .alone = u->begun }; /* of the same source, each time */

    vpi_strlcpy(p.etag, etag, sizeof(p.etag));
    return vpi_s3_part_note_whole(u, number, &p, err);
}

/* ---- in the host's hands ---- */

vp_status vp_s3_upload_begin(vp_s3 *s3, const char *bucket, const char *key, uint64_t size,
                             const vp_s3_object *object, vp_cancel *cancel, vp_s3_upload **out, vp_error *err)
{
    vpi_buf lines = { 0 };
    vp_s3_object o;
    vp_status st;

    vpi_error_reset(err);
    if (!s3 || !key || !out) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    *out = NULL;
    VPI_TRY(vpi_s3_bucket_check(bucket, key, err));
    VPI_TRY(vpi_s3_object_copy(&o, object, err));
    if (o.flags) return vpi_fail(err, VP_E_ARG, NULL, "object: flags are for vp_s3_put");
    VPI_TRY(vpi_s3_ready(s3, cancel, err));
    VPI_GO(vpi_s3_object_lines(&o, &lines, err));
    vpi_buf_u8(&lines, 0);
    if (vpi_buf_failed(&lines)) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    st = vpi_s3_upload_new(s3, bucket, key, size, (const char *)lines.data, false, cancel, out, err);
done:
    vpi_buf_dispose(&lines);
    vpi_error_op(err, "s3.upload_begin");
    return st;
}

uint64_t vp_s3_upload_part_size(const vp_s3_upload *upload)
{
    return upload ? upload->part_size : 0;
}

vp_status vp_s3_upload_has(vp_s3_upload *u, uint32_t number, uint64_t *size, uint32_t *crc32c)
{
    vp_status st = VP_END;

    if (!u || number < 1 || number > VPI_S3_PARTS_MAX) return VP_E_ARG;
    pthread_mutex_lock(&u->lock);
    if (number <= u->synced.count && u->synced.parts[number - 1].in) {
        if (size) *size = u->synced.parts[number - 1].size;
        if (crc32c) *crc32c = u->synced.parts[number - 1].crc32c;
        st = VP_OK;
    }
    pthread_mutex_unlock(&u->lock);
    return st;
}

vp_status vp_s3_upload_part(vp_s3_upload *u, uint32_t number, const void *data, uint64_t size,
                            vp_cancel *cancel, vp_error *err)
{
    vpi_s3_bytes bytes = { .data = data, .size = size };
    vpi_s3_part_op part = { 0 };
    vpi_s3_sums sums;
    vp_status st;

    vpi_error_reset(err);
    if (!u || (!data && size)) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    if (number < 1 || number > VPI_S3_PARTS_MAX)
        return vpi_fail(err, VP_E_ARG, NULL, "number: 1 to %u", VPI_S3_PARTS_MAX);
    if (size > VPI_S3_PART_MAX || size > SIZE_MAX / 2)
        return vpi_fail(err, VP_E_ARG, NULL, "size: a part has at most 5 GiB");
    VPI_TRY(vpi_s3_ready(u->s3, cancel, err));
    VPI_TRY(vpi_s3_sum(u->s3, data, (size_t)size, &sums, err));
    VPI_TRY(st = vpi_s3_part_offered(u, number, &sums, &bytes, err));
    if (st == VP_OK) return VP_OK;
    VPI_TRY(vpi_s3_part_prepare(u, &part, number, data, (size_t)size, &sums, err));
    st = vpi_s3_run(u->s3, &part.op, cancel, err);
    if (st == VP_END) st = vpi_fail(err, VP_E_IO, "S3_ERROR", "the server knows no such upload");
    if (st < 0 && strcmp(part.op.code, "NoSuchUpload") == 0 && err) err->status = st;
    if (st >= 0) st = vpi_s3_part_note(u, &part, err);
    vpi_s3_op_dispose(&part.op);
    vpi_error_op(err, "s3.upload_part");
    return st;
}

static void on_finished(vpi_s3_finish *finish, vp_status st)
{
    vpi_s3_waiter_end(finish->user, st);
}

static void stop_finish(void *user)
{
    vpi_s3_finish_stop(user);
}

static vp_status run_finish(vp_s3_upload *u, bool complete, vp_cancel *cancel, vp_s3_info *out, vp_error *err)
{
    vpi_s3_finish f = { .upload = u, .done = on_finished };
    vp_error why = VP_ERROR_INIT;
    vpi_s3_waiter w;
    vp_status st;

    vpi_s3_waiter_init(&w);
    f.user = &w;
    st = complete ? vpi_s3_finish_start(&f, err) : vpi_s3_finish_abort(&f, err);
    if (st >= 0) {
        st = vpi_s3_waiter_wait(&w, cancel, stop_finish, &f, &why);
        if (st == VP_E_CANCELED && why.status < 0) {
            st = why.status;
            vpi_error_copy(err, &why);
        } else if (st < 0) {
            vpi_error_copy(err, &f.err);
        }
    }
    if (st >= 0 && out) *out = f.info;
    vpi_s3_finish_dispose(&f);
    vpi_s3_waiter_dispose(&w);
    return st;
}

vp_status vp_s3_upload_complete(vp_s3_upload *u, vp_cancel *cancel, vp_s3_info *out, vp_error *err)
{
    vp_s3_info info = VP_S3_INFO_INIT;
    vp_status st;

    vpi_error_reset(err);
    if (!u) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    VPI_TRY(vpi_s3_ready(u->s3, cancel, err));
    st = run_finish(u, true, cancel, &info, err);
    if (st >= 0) st = vpi_s3_info_give(&info, out, err);
    vpi_error_op(err, "s3.upload_complete");
    return st;
}

vp_status vp_s3_upload_abort(vp_s3_upload *u, vp_cancel *cancel, vp_error *err)
{
    vp_status st;

    vpi_error_reset(err);
    if (!u) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    VPI_TRY(vpi_s3_ready(u->s3, cancel, err));
    st = run_finish(u, false, cancel, NULL, err);
    vpi_error_op(err, "s3.upload_abort");
    return st;
}
