/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Single-file tracks: fragments wait in the store until the index that stands before them is known. */

#include <stdio.h>

#include "package/packager_int.h"

enum { COPY = 256 * 1024, NAME = 320 };

static void part_name(const vpi_ptrack *track, size_t number, char name[NAME])
{
    snprintf(name, NAME, "parts/%s/%05zu", track->name, number);
}

static vp_status put_once(vp_packager *pk, const char *name, const vpi_segment_in *in, vpi_segment *entry,
                          vp_error *err)
{
    vpi_out out = { 0 };
    vp_status st;

    VPI_TRY(vp_store_begin(pk->store, name, &out.value, err));
    st = vpi_cmaf_segment_out(in, NULL, false, &out, entry, err);
    if (st < 0) {
        vp_value_abort(out.value);
        return st;
    }
    return vp_value_commit(out.value, err);
}

vp_status vpi_pk_put_part(vp_packager *pk, const vpi_ptrack *track, const vpi_segment_in *in,
                          vpi_segment *entry, vp_error *err)
{
    char name[NAME];
    vp_status st;

    part_name(track, track->segment_count, name);
    st = put_once(pk, name, in, entry, err);
    if (st != VP_END) return st;
    /* Left by a packager that did not finish: its bytes are not known to be ours. */
    VPI_TRY(vp_store_remove(pk->store, name, err));
    st = put_once(pk, name, in, entry, err);
    if (st != VP_END) return st;
    vpi_error_key(err, name);
    return vpi_fail(err, VP_E_CONFLICT, "ALREADY_RUNNING", "another packager uses the same store");
}

static vp_status copy_part(vp_packager *pk, const char *name, uint64_t size, uint8_t *buffer,
                           vp_object *object, vp_error *err)
{
    vp_source *source = NULL;
    uint64_t at = 0;
    size_t got = 1;
    vp_status st;

    VPI_GO(vp_store_open(pk->store, name, &source, err));
    if (st == VP_END) {
        vpi_error_key(err, name);
        return vpi_fail(err, VP_E_IO, "IO_ERROR", "a part has gone from the store");
    }
    while (at < size && got > 0) {
        VPI_GO(vp_source_read_at(source, at, buffer, (size_t)VPI_MIN((uint64_t)COPY, size - at), &got, err));
        if (got > 0) VPI_GO(vp_object_write(object, buffer, got, err));
        at += got;
    }
    if (at < size) {
        vpi_error_key(err, name);
        st = vpi_fail(err, VP_E_IO, "IO_ERROR", "a part in the store is shorter than it was written");
    }
done:
    vp_source_unref(source);
    return st < 0 ? st : VP_OK;
}

static vp_status write_file(vp_packager *pk, vpi_ptrack *track, const vpi_buf *head, uint64_t total,
                            vp_error *err)
{
    uint8_t *buffer = vpi_alloc(COPY);
    vp_object *object = NULL;
    char name[NAME];
    vp_status st;

    if (!buffer) return vpi_fail_nomem(err);
    VPI_GO(vpi_pk_begin(pk, track, VP_OBJECT_SEGMENT, track->init.key, total, &object, err));
    VPI_GO(vp_object_write(object, head->data, head->size, err));
    for (size_t i = 0; i < track->segment_count; i++) {
        part_name(track, i + 1, name);
        VPI_GO(copy_part(pk, name, track->segments[i].bytes, buffer, object, err));
    }
    st = vp_object_commit(object, &track->object_bytes, &track->object_crc32c, err);
    object = NULL;
done:
    vp_object_abort(object);
    vpi_free(buffer);
    return st;
}

vp_status vpi_pk_join(vp_packager *pk, const vpi_pk_track *from, vpi_ptrack *track, vp_error *err)
{
    vpi_buf head = { 0 };
    const vpi_segment *last = &track->segments[track->segment_count - 1];
    vp_status st;

    VPI_GO(vpi_cmaf_init(&from->setup, NULL, &head, err));
    VPI_GO(vpi_ptrack_index(track, &head, err));
    if (!track->index.key) {
        vpi_log(pk->context, VP_LOG_WARN, "package", "%s has too many fragments for an index",
                track->init.key);
    }
    for (size_t i = 0; i < track->segment_count; i++) {
        track->segments[i].key = vpi_strdup(track->init.key);
        if (!track->segments[i].key) {
            st = vpi_fail_nomem(err);
            goto done;
        }
    }
    st = write_file(pk, track, &head, last->offset + last->bytes, err);
done:
    vpi_buf_dispose(&head);
    return st;
}

void vpi_pk_remove_parts(vp_packager *pk)
{
    const vpi_presentation *p = &pk->presentation->p;
    char name[NAME];

    if (!pk->store || !pk->single_file) return;
    for (size_t i = 0; i < p->track_count; i++) {
        for (size_t n = 1; n <= p->tracks[i].segment_count && p->tracks[i].single_file; n++) {
            part_name(&p->tracks[i], n, name);
            (void)vp_store_remove(pk->store, name, NULL); /* what stays is only space */
        }
    }
}
