/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A source as one object. */

#include "io/io.h"
#include "upload.h"

#define READ_SIZE ((size_t)256 << 10)  /* hashed while it is still in the cache */
#define FROM_FILE ((uint64_t)64 << 10) /* smaller ones leave in one packet with their heads, from memory */

typedef struct ending {
    vpi_s3_waiter waiter;
    vp_s3_info info;
    vp_error err;
} ending;

static void on_done(void *user, vp_status st, const vp_s3_info *info, const vp_error *err)
{
    ending *e = user;

    e->info = *info;
    if (st < 0) vpi_error_copy(&e->err, err);
    vpi_s3_waiter_end(&e->waiter, st);
}

static void stop(void *user)
{
    vpi_s3_writer_stop(user);
}

static vp_status wait_once(vpi_s3_writer *w, vp_cancel *cancel, vp_s3_info *info, vp_error *err)
{
    ending e = { .err = VP_ERROR_INIT };
    vp_error why = VP_ERROR_INIT;
    vp_status st;

    vpi_s3_waiter_init(&e.waiter);
    vpi_s3_writer_finish(w, on_done, &e);
    st = vpi_s3_waiter_wait(&e.waiter, cancel, stop, w, &why);
    if (st == VP_E_CANCELED && why.status < 0) {
        st = why.status;
        vpi_error_copy(err, &why);
    } else if (st < 0) {
        vpi_error_copy(err, &e.err);
    }
    if (info) *info = e.info;
    vpi_s3_waiter_dispose(&e.waiter);
    return st;
}

vp_status vpi_s3_writer_wait(vpi_s3_writer *w, vp_cancel *cancel, vp_s3_info *info, vp_error *err)
{
    vp_error why = VP_ERROR_INIT;
    vp_status st = wait_once(w, cancel, info, &why);

    while (st < 0 && vpi_s3_writer_lost(w)) {
        vp_error_init(&why);
        st = vpi_s3_writer_resend(w, &why);
        if (st >= 0) st = wait_once(w, cancel, info, &why);
    }
    if (st < 0) vpi_error_copy(err, &why);
    return st;
}

vp_status vpi_s3_source_changed(const char *key, vp_error *err)
{
    vpi_error_key(err, key);
    return vpi_fail(err, VP_E_CONFLICT, "SOURCE_CHANGED", "the source changed while it was sent");
}

/* Whether it is what it was when the work began (S24). */
vp_status vpi_s3_source_same(vp_source *source, const char *identity, uint64_t size, const char *key,
                             vp_error *err)
{
    char now[256];
    uint64_t bytes;

    VPI_TRY(vp_source_identity(source, now, sizeof(now), err));
    VPI_TRY(vp_source_size(source, &bytes, err));
    return bytes == size && strcmp(now, identity) == 0 ? VP_OK : vpi_s3_source_changed(key, err);
}

vp_status vpi_s3_writer_fill(vpi_s3_writer *w, vp_source *source, const char *key, vpi_s3_fill_fn fn,
                             void *user, vp_error *err)
{
    char identity[256];
    uint64_t size, at = 0;

    VPI_TRY(vp_source_identity(source, identity, sizeof(identity), err));
    VPI_TRY(vp_source_size(source, &size, err));
    vpi_s3_writer_of(w, source, identity, size >= FROM_FILE && vpi_source_is_file(source));
    while (at < size) {
        size_t want = (size_t)VPI_MIN(size - at, READ_SIZE), room, got;
        void *data;
        vp_status st;

        VPI_TRY(st = vpi_s3_writer_fill_parts(w, fn, user, err));
        if (st == VP_OK) {
            at = vpi_s3_writer_bytes(w);
            continue;
        }
        VPI_TRY(vpi_s3_writer_space(w, want, &data, &room, err));
        VPI_TRY(vp_source_read_at(source, at, data, VPI_MIN(room, want), &got, err));
        if (!got) return vpi_s3_source_changed(key, err);
        VPI_TRY(vpi_s3_writer_put(w, got, err));
        at += got;
        if (fn) VPI_TRY(fn(user, at, err));
    }
    return vpi_s3_source_same(source, identity, size, key, err);
}

vp_status vp_s3_put(vp_s3 *s3, const char *bucket, const char *key, vp_source *source,
                    const vp_s3_object *object, vp_cancel *cancel, vp_s3_info *out, vp_error *err)
{
    vpi_s3_writer_options o = { .bucket = bucket, .key = key, .cancel = cancel };
    vpi_s3_writer *w = NULL;
    vpi_buf lines = { 0 };
    vp_s3_object how;
    vp_s3_info info;
    vp_status st;

    vpi_error_reset(err);
    if (!s3 || !key || !source) return vpi_fail(err, VP_E_ARG, NULL, "an argument is NULL");
    VPI_TRY(vpi_s3_bucket_check(bucket, key, err));
    VPI_TRY(vpi_s3_object_copy(&how, object, err));
    VPI_TRY(vpi_s3_ready(s3, cancel, err));
    VPI_GO(vpi_s3_object_lines(&how, &lines, err));
    vpi_buf_u8(&lines, 0);
    if (vpi_buf_failed(&lines)) {
        st = vpi_fail_nomem(err);
        goto done;
    }
    o.lines = (const char *)lines.data;
    o.flags = how.flags;
    VPI_GO(vp_source_size(source, &o.size, err));
    VPI_GO(vpi_s3_writer_new(s3, &o, &w, err));
    VPI_GO(vpi_s3_writer_fill(w, source, key, NULL, NULL, err));
    VPI_GO(vpi_s3_writer_wait(w, cancel, &info, err));
    st = vpi_s3_info_give(&info, out, err);
done:
    vpi_s3_writer_free(w);
    vpi_buf_dispose(&lines);
    vpi_error_key(err, key);
    vpi_error_op(err, "s3.put");
    return st;
}
