/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "frames_int.h"
#include "io/io.h"
#include "io/quick.h"

/*
 * Encoded audio frames in the work store: "<name>.data" holds the frames one after another, "<name>.index" their
 * sizes as 16-bit big-endian numbers (an AAC frame is at most 6144 bits a channel). Sums are kept every BLOCK
 * frames, so that a range is found without reading what comes before.
 */

#define BLOCK 1024u
#define FRAME_MAX 65535u

struct vpi_frames_writer {
    vp_sink *values;
    vp_object *data;
    char *name;
    vpi_buf index, pending;
};

struct vpi_frames_reader {
    vp_source *data;
    vp_bytes *index;
    uint64_t frames;
    uint64_t *sums;
};

#define PENDING_BYTES 65536u

void vpi_frames_value_name(const char *name, bool index, char to[VPI_FRAMES_NAME])
{
    snprintf(to, VPI_FRAMES_NAME, "%s.%s", name, index ? "index" : "data");
}

static vp_status begin_value(vpi_frames_writer *w, bool index, vp_object **out, vp_error *err)
{
    char name[VPI_FRAMES_NAME];
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vpi_frames_value_name(w->name, index, name);
    info.key = name;
    return vp_sink_begin(w->values, &info, out, err);
}

vp_status vpi_frames_create(vp_store *work, const char *name, vpi_frames_writer **out, vp_error *err)
{
    vpi_frames_writer *w = vpi_calloc(1, sizeof(*w));
    if (w) w->name = vpi_strdup(name);
    vp_status st = w && w->name ? vpi_sink_over_store(vpi_store_context(work), work, &w->values, err)
                                : vpi_fail_nomem(err);
    if (st >= 0) st = begin_value(w, false, &w->data, err);
    if (st < 0) {
        vpi_frames_discard(w);
        return st;
    }
    *out = w;
    return VP_OK;
}

void vpi_frames_discard(vpi_frames_writer *w)
{
    if (!w) return;
    vp_object_abort(w->data);
    vp_sink_unref(w->values);
    vpi_buf_dispose(&w->index);
    vpi_buf_dispose(&w->pending);
    vpi_free(w->name);
    vpi_free(w);
}

vp_status vpi_frames_add(vpi_frames_writer *w, const uint8_t *data, size_t size, vp_error *err)
{
    if (size > FRAME_MAX) return vpi_fail(err, VP_E_INTERNAL, NULL, "an audio frame of %zu bytes", size);
    vpi_buf_be16(&w->index, (unsigned)size);
    vpi_buf_add(&w->pending, data, size);
    if (vpi_buf_failed(&w->index) || vpi_buf_failed(&w->pending)) return vpi_fail_nomem(err);
    if (w->pending.size < PENDING_BYTES) return VP_OK;
    VPI_TRY(vp_object_write(w->data, w->pending.data, w->pending.size, err));
    vpi_buf_clear(&w->pending);
    return VP_OK;
}

vp_status vpi_frames_commit(vpi_frames_writer *w, vpi_value_note notes[2], vp_error *err)
{
    vp_object *index = NULL;
    vp_status st = VP_OK;
    for (int i = 0; i < 2; i++) vpi_frames_value_name(w->name, i != 0, notes[i].name);
    if (w->pending.size) st = vp_object_write(w->data, w->pending.data, w->pending.size, err);
    if (st >= 0) {
        st = vp_object_commit(w->data, &notes[0].bytes, &notes[0].crc32c, err);
        w->data = NULL;
    }
    if (st >= 0) st = begin_value(w, true, &index, err);
    if (st >= 0) {
        st = vp_object_write(index, w->index.data, w->index.size, err);
        if (st >= 0)
            st = vp_object_commit(index, &notes[1].bytes, &notes[1].crc32c, err);
        else
            vp_object_abort(index);
    }
    vpi_frames_discard(w);
    return st;
}

static vp_status load_index(vpi_frames_reader *r, uint64_t frames, vp_error *err)
{
    const uint8_t *p = vp_bytes_data(r->index);
    uint64_t sum = 0, size = 0;
    if (vp_bytes_size(r->index) != frames * 2)
        return vpi_fail(err, VP_E_DATA, "CHECKSUM_MISMATCH", "audio index: not %llu frames",
                        (unsigned long long)frames);
    r->frames = frames;
    r->sums = vpi_calloc((size_t)(frames / BLOCK) + 1, sizeof(*r->sums));
    if (!r->sums) return vpi_fail_nomem(err);
    for (uint64_t i = 0; i < frames; i++) {
        if (i % BLOCK == 0) r->sums[i / BLOCK] = sum;
        sum += vpi_rd16(p + 2 * i);
    }
    VPI_TRY(vp_source_size(r->data, &size, err));
    if (size != sum)
        return vpi_fail(err, VP_E_DATA, "CHECKSUM_MISMATCH", "audio frames: size differs from the index");
    return VP_OK;
}

vp_status vpi_frames_open(vp_store *work, const char *name, uint64_t frames, vpi_frames_reader **out,
                          vp_error *err)
{
    vp_status st = VP_OK;
    char *data = vpi_asprintf("%s.data", name), *index = vpi_asprintf("%s.index", name);
    vpi_frames_reader *r = vpi_calloc(1, sizeof(*r));
    if (!data || !index || !r) st = vpi_fail_nomem(err);
    if (st >= 0) st = vp_store_open(work, data, &r->data, err);
    if (st == VP_OK) st = vp_store_get(work, index, (uint64_t)1 << 30, &r->index, err);
    if (st == VP_END)
        st = vpi_fail(err, VP_E_CONFLICT, "TASKS_MISSING", "audio frames %s are not in the work store", name);
    if (st >= 0) st = load_index(r, frames, err);
    vpi_free(data);
    vpi_free(index);
    if (st < 0) {
        vpi_frames_close(r);
        return st;
    }
    *out = r;
    return VP_OK;
}

vpi_frames_reader *vpi_frames_close(vpi_frames_reader *r)
{
    if (!r) return NULL;
    vp_source_unref(r->data);
    vp_bytes_unref(r->index);
    vpi_free(r->sums);
    vpi_free(r);
    return NULL;
}

vp_status vpi_frames_read(const vpi_frames_reader *r, uint64_t first, uint64_t last, vpi_buf *data,
                          uint32_t *sizes, vp_error *err)
{
    const uint8_t *p = vp_bytes_data(r->index);
    uint64_t at, bytes = 0;
    size_t got = 0;
    if (first > last || last > r->frames)
        return vpi_fail(err, VP_E_INTERNAL, NULL, "audio frames out of range");
    at = r->sums[first / BLOCK];
    for (uint64_t i = first / BLOCK * BLOCK; i < first; i++) at += vpi_rd16(p + 2 * i);
    for (uint64_t i = first; i < last; i++) {
        sizes[i - first] = vpi_rd16(p + 2 * i);
        bytes += sizes[i - first];
    }
    uint8_t *to = vpi_buf_space(data, (size_t)bytes);
    if (!to) return vpi_fail_nomem(err);
    VPI_TRY(vp_source_read_at(r->data, at, to, (size_t)bytes, &got, err));
    return got == bytes ? VP_OK : vpi_fail(err, VP_E_DATA, "CHECKSUM_MISMATCH", "audio frames end early");
}
