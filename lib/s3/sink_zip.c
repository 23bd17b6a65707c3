/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Manifests that a sink keeps compressed. */

#include "sink_int.h"

static voidpf zip_alloc(voidpf user, uInt count, uInt size)
{
    (void)user;
    return vpi_calloc(count, size);
}

static void zip_free(voidpf user, voidpf p)
{
    (void)user;
    vpi_free(p);
}

vp_status vpi_s3_zip_new(vpi_s3_sink_object *o, vp_error *err)
{
    o->zip = vpi_calloc(1, sizeof(*o->zip));
    if (!o->zip) return vpi_fail_nomem(err);
    o->zip->zalloc = zip_alloc;
    o->zip->zfree = zip_free;
    /* 16: a gzip header, which zlib leaves without time and name */
    if (deflateInit2(o->zip, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK)
        return VP_OK;
    vpi_free(o->zip);
    o->zip = NULL;
    return vpi_fail_nomem(err);
}

vp_status vpi_s3_zip_write(vpi_s3_sink_object *o, const void *data, size_t size, int flush, vp_error *err)
{
    int rc = Z_OK;

    o->zip->next_in = (Bytef *)(uintptr_t)data;
    o->zip->avail_in = (uInt)size;
    while (o->zip->avail_in || (flush == Z_FINISH && rc != Z_STREAM_END)) {
        size_t room, had;
        void *to;

        VPI_TRY(vpi_s3_writer_space(o->writer, 4096, &to, &room, err));
        o->zip->next_out = to;
        o->zip->avail_out = (uInt)room;
        rc = deflate(o->zip, flush);
        had = room - o->zip->avail_out;
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return vpi_fail(err, VP_E_INTERNAL, NULL, "zlib fails with %d", rc);
        VPI_TRY(vpi_s3_writer_put(o->writer, had, err));
    }
    return VP_OK;
}

vp_status vpi_s3_unzip(vp_bytes **out, vp_error *err)
{
    const uint8_t *data = vp_bytes_data(*out);
    size_t size = (size_t)vp_bytes_size(*out);
    z_stream z = { .zalloc = zip_alloc, .zfree = zip_free };
    vpi_buf plain = { 0 };
    vp_bytes *bytes;
    int rc = Z_OK;
    vp_status st;

    if (size < 18 || data[0] != 0x1F || data[1] != 0x8B) return VP_OK;
    if (inflateInit2(&z, 15 + 16) != Z_OK) return vpi_fail_nomem(err);
    z.next_in = (Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)size;
    while (rc == Z_OK && plain.size < VPI_S3_MANIFEST_MAX) {
        uint8_t piece[16384];

        z.next_out = piece;
        z.avail_out = sizeof(piece);
        rc = inflate(&z, Z_NO_FLUSH);
        vpi_buf_add(&plain, piece, sizeof(piece) - z.avail_out);
    }
    inflateEnd(&z);
    if (rc != Z_STREAM_END)
        st = rc == Z_MEM_ERROR
                 ? vpi_fail_nomem(err)
                 : vpi_fail(err, VP_E_DATA, "INPUT_CORRUPT", "a compressed manifest is damaged");
    else
        st = vpi_bytes_from_buf(&plain, &bytes, err);
    vpi_buf_dispose(&plain);
    if (st < 0) return st;
    vp_bytes_unref(*out);
    *out = bytes;
    return VP_OK;
}
