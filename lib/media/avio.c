/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "media/reader_int.h"

/*
 * A compressed movie header (QuickTime's cmov) says by itself how much memory it wants, also inside of another one,
 * and libavformat gives it: a file of a few bytes takes 2 GB. Nobody has written them for decades. Looked for in all
 * that is read, because libavformat finds boxes in places where nobody else does.
 */
static bool has_packed_header(vpi_avio *a, const uint8_t *data, size_t size)
{
    static const char mark[] = "dcomzlib"; /* the type of the box and all that it holds */
    const size_t n = sizeof(mark) - 1;
    uint8_t seam[2 * sizeof(a->last)];
    size_t before = a->last_at == a->position ? n - 1 : 0, after = VPI_MIN(size, n - 1);
    bool found;

    memcpy(seam, a->last, before);
    memcpy(seam + before, data, after);
    found = memmem(data, size, mark, n) || memmem(seam, before + after, mark, n);
    if (size >= n) {
        memcpy(a->last, data + size - (n - 1), n - 1);
        a->last_at = a->position + size;
    }
    return found;
}

vp_status vpi_not_yet(const char *reason, vp_error *err)
{
    return vpi_fail(err, VP_E_STATE, reason ? reason : "INPUT_GROWING", "the source is still growing");
}

bool vpi_is_not_yet(const vp_error *err)
{
    return err && err->status == VP_E_STATE &&
           (vpi_streq(err->reason, "INPUT_GROWING") || vpi_streq(err->reason, VPI_MOOV_AT_END));
}

static int read_packet(void *opaque, uint8_t *buffer, int size)
{
    vpi_avio *a = opaque;
    size_t got = 0;
    vp_status st;

    /* libav* turns a failed read into the end of the file and may ask again: stay failed. */
    if (a->error.status < 0) return AVERROR_EXTERNAL;
    if (size <= 0) return AVERROR(EINVAL);
    if (vpi_cancel_check(a->cancel, &a->error) < 0) return AVERROR_EXIT;
    if (a->position >= a->size) {
        if (a->position > a->size) a->beyond = true;
        return AVERROR_EOF;
    }
    st = vp_source_read_at(a->source, a->position, buffer, (size_t)size, &got, &a->error);
    if (st < 0) {
        if (a->error.status >= 0)
            vpi_fail(&a->error, VP_E_IO, "IO_ERROR", "the source failed without a reason");
        return AVERROR_EXTERNAL;
    }
    if (st == VP_AGAIN && got == 0) {
        vpi_not_yet(NULL, &a->error);
        return AVERROR_EXTERNAL;
    }
    /* read_at gives less than asked only at the end: fewer than the declared size is a source that shrank. */
    if (st == VP_OK && got < (size_t)size && got < a->size - a->position) {
        vpi_fail(&a->error, VP_E_DATA, "INPUT_TRUNCATED", "the source ended at byte %llu of %llu",
                 (unsigned long long)(a->position + got), (unsigned long long)a->size);
        return AVERROR_EXTERNAL;
    }
    if (a->refuse_packed && has_packed_header(a, buffer, got)) {
        vpi_fail(&a->error, VP_E_UNSUPPORTED, "INPUT_FORBIDDEN_FORMAT", "the movie header is compressed");
        return AVERROR_EXTERNAL;
    }
    a->position += got;
    if (a->position > a->furthest) a->furthest = a->position;
    return got ? (int)got : AVERROR_EOF;
}

static int64_t seek(void *opaque, int64_t offset, int whence)
{
    vpi_avio *a = opaque;
    int64_t base = 0, to;

    if (whence & AVSEEK_SIZE) return (int64_t)a->size;
    switch (whence & ~AVSEEK_FORCE) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        base = (int64_t)a->position;
        break;
    case SEEK_END:
        base = (int64_t)a->size;
        break;
    default:
        return AVERROR(EINVAL);
    }
    if (!vpi_add_i64(base, offset, &to) || to < 0) return AVERROR(EINVAL);
    if ((uint64_t)to > a->size) a->beyond = true;
    a->position = (uint64_t)to;
    return to;
}

vp_status vpi_avio_open(vpi_avio *a, vp_source *source, vp_cancel *cancel, vp_error *err)
{
    uint8_t *buffer;
    vp_status st;

    memset(a, 0, sizeof(*a));
    vp_error_init(&a->error);
    a->source = source;
    a->cancel = cancel;
    st = vp_source_size(source, &a->size, err);
    if (st < 0) return st;
    if (st != VP_OK) return vpi_not_yet(NULL, err);
    if (a->size > INT64_MAX) return vpi_fail(err, VP_E_LIMIT, "INPUT_LIMIT", "a source above 2^63 bytes");
    buffer = av_malloc(VPI_AVIO_BUFFER);
    if (!buffer) return vpi_fail_nomem(err);
    a->context = avio_alloc_context(buffer, VPI_AVIO_BUFFER, 0, a, read_packet, NULL, seek);
    if (!a->context) {
        av_free(buffer);
        return vpi_fail_nomem(err);
    }
    a->context->seekable = AVIO_SEEKABLE_NORMAL;
    return VP_OK;
}

void vpi_avio_close(vpi_avio *a)
{
    if (a->context) {
        av_freep(&a->context->buffer);
        avio_context_free(&a->context);
    }
}

vp_status vpi_avio_failed(const vpi_avio *a, vp_error *err)
{
    if (a->error.status >= 0) return VP_OK;
    if (err && err->status >= 0) vpi_error_copy(err, &a->error);
    return a->error.status;
}

vp_status vpi_window_read(vpi_window *w, uint64_t offset, size_t n, const uint8_t **data, size_t *got,
                          vp_error *err)
{
    vp_status st;
    size_t have;

    *got = 0;
    *data = w->bytes;
    if (offset >= w->size) return VP_OK;
    n = (size_t)VPI_MIN((uint64_t)n, w->size - offset);
    if (offset < w->at || offset + n > w->at + w->filled) {
        VPI_TRY(vpi_cancel_check(w->cancel, err));
        w->filled = 0;
        st = vp_source_read_at(w->source, offset, w->bytes, sizeof(w->bytes), &have, err);
        if (st < 0) return st;
        w->at = offset;
        w->filled = have;
        if (st == VP_AGAIN && have < n) return vpi_not_yet(NULL, err);
        if (have < n) {
            return vpi_fail(err, VP_E_DATA, "INPUT_TRUNCATED", "the source ended at byte %llu of %llu",
                            (unsigned long long)(offset + have), (unsigned long long)w->size);
        }
    }
    *data = w->bytes + (offset - w->at);
    *got = n;
    return VP_OK;
}
