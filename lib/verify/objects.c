/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every object of the presentation: is it there, is it whole, what is in it. One segment at a time. */
#include "base/hash.h"
#include "verify/sound_int.h"

#define BLOCK ((size_t)1 << 20)

static vp_status object_size(vpi_verifier *v, const char *key, uint64_t *size, vp_error *err)
{
    vp_object_info info = VP_OBJECT_INFO_INIT;
    vp_source *source = NULL;
    vp_status st;

    if (v->can_stat) {
        st = vp_sink_stat(v->sink, key, &info, err);
        *size = info.size;
        return st;
    }
    st = vp_sink_open(v->sink, key, &source, err);
    if (st == VP_OK) st = vp_source_size(source, size, err);
    vp_source_unref(source);
    return st;
}

/* *there: it exists and is as large as the presentation says. */
static vp_status exists(vpi_verifier *v, const char *key, uint64_t bytes, bool *there, vp_error *err)
{
    uint64_t size = 0;
    vp_status st;

    *there = false;
    VPI_TRY(vpi_cancel_check(v->cancel, err));
    st = object_size(v, key, &size, err);
    if (st < 0) return st;
    if (!vpi_check(v, st != VP_END, "X04", key, "does not exist")) return VP_OK;
    *there = vpi_check(v, size == bytes, "X04", key, "has %llu bytes, %llu were written",
                       (unsigned long long)size, (unsigned long long)bytes);
    return VP_OK;
}

static vp_status exist_all(vpi_verifier *v, const vpi_ptrack *t, bool *all, vp_error *err)
{
    bool there;

    *all = true;
    if (t->single_file) return exists(v, t->segments[0].key, t->object_bytes, all, err);
    if (vpi_key_valid(t->init.key)) {
        VPI_TRY(exists(v, t->init.key, t->init.bytes, &there, err));
        *all = *all && there;
    }
    for (size_t i = 0; i < t->segment_count; i++) {
        VPI_TRY(exists(v, t->segments[i].key, t->segments[i].bytes, &there, err));
        *all = *all && there;
    }
    return VP_OK;
}

/* ---- reading ---- */

typedef struct reader {
    vpi_verifier *v;
    vp_source *source;
    vpi_buf buf;
} reader;

/* VP_END: it is gone meanwhile (a failed check says so). */
static vp_status open_object(reader *r, const char *key, vp_error *err)
{
    vp_status st;

    r->source = vp_source_unref(r->source);
    VPI_TRY(vpi_cancel_check(r->v->cancel, err));
    st = vp_sink_open(r->v->sink, key, &r->source, err);
    if (st == VP_END) vpi_check(r->v, false, "X04", key, "does not exist");
    return st;
}

/* VP_END: fewer bytes than asked for. */
static vp_status read_range(reader *r, const char *key, uint64_t offset, uint64_t bytes, vp_error *err)
{
    size_t got = 0;
    uint8_t *to;

    vpi_buf_clear(&r->buf);
    if (bytes > VPI_VERIFY_MAX_SEGMENT) {
        vpi_check(r->v, false, "P21", key, "%llu bytes cannot be read at once", (unsigned long long)bytes);
        return VP_END;
    }
    to = vpi_buf_space(&r->buf, (size_t)bytes);
    if (!to) return vpi_fail_nomem(err);
    VPI_TRY(vp_source_read_at(r->source, offset, to, (size_t)bytes, &got, err));
    if (!vpi_check(r->v, got == bytes, "X04", key, "ends after %llu bytes",
                   (unsigned long long)(offset + got))) {
        return VP_END;
    }
    return VP_OK;
}

static void check_crc(vpi_verifier *v, const char *key, uint32_t crc, uint32_t said)
{
    vpi_check(v, crc == said, "CRC", key, "CRC32C is %08x, %08x was written", crc, said);
}

static vp_status whole_crc(reader *r, const vpi_ptrack *t, vp_error *err)
{
    uint64_t at = 0;
    uint32_t crc = 0;
    size_t got = 0;
    uint8_t *to;

    vpi_buf_clear(&r->buf);
    to = vpi_buf_space(&r->buf, BLOCK);
    if (!to) return vpi_fail_nomem(err);
    do {
        VPI_TRY(vpi_cancel_check(r->v->cancel, err));
        VPI_TRY(vp_source_read_at(r->source, at, to, BLOCK, &got, err));
        crc = vpi_crc32c(crc, to, got);
        at += got;
    } while (got == BLOCK);
    check_crc(r->v, t->segments[0].key, crc, t->object_crc32c);
    return VP_OK;
}

/* ---- one track ---- */

static vp_status read_part(reader *r, const vpi_ptrack *t, const vpi_part *part, vp_error *err)
{
    if (!t->single_file) VPI_TRY(open_object(r, part->key, err));
    if (!r->source) return VP_END;
    return read_range(r, part->key, part->offset, part->bytes, err);
}

static vp_status check_init(reader *r, vpi_media_state *s, vp_error *err)
{
    const vpi_ptrack *t = s->t;
    vp_status st;

    if (t->container != VP_CONTAINER_CMAF || !vpi_key_valid(t->init.key)) return VP_OK;
    s->where = t->init.key;
    st = read_part(r, t, &t->init, err);
    if (st != VP_OK) return st;
    if (!t->single_file)
        check_crc(r->v, t->init.key, vpi_crc32c(0, r->buf.data, r->buf.size), t->init.crc32c);
    VPI_TRY(vpi_verify_init(r->v, s, r->buf.data, r->buf.size, err));
    if (!t->single_file || !vpi_key_valid(t->index.key)) return VP_OK;
    st = read_part(r, t, &t->index, err);
    if (st != VP_OK) return st;
    return vpi_verify_index(r->v, t, r->buf.data, r->buf.size, err);
}

/* Which container the first bytes are of; 0: none that is known. */
static int32_t container_of(const vpi_buf *b)
{
    static const char *const boxes[] = { "styp", "moof", "ftyp", "emsg", "prft", "sidx" };
    const uint8_t *d = b->data;

    if (b->size < 10) return 0;
    for (size_t i = 0; i < VPI_COUNT(boxes); i++) {
        if (memcmp(d + 4, boxes[i], 4) == 0) return VP_CONTAINER_CMAF;
    }
    if (d[0] == 0x47 && b->size > 188 && d[188] == 0x47) return VP_CONTAINER_TS;
    return memcmp(d, "ID3", 3) == 0 ? VP_CONTAINER_PACKED : 0;
}

static vp_status structure(vpi_verifier *v, vpi_media_state *s, const vpi_buf *data, vp_error *err)
{
    switch (s->t->container) {
    case VP_CONTAINER_CMAF:
        return s->has_init ? vpi_verify_cmaf(v, s, data->data, data->size, err) : VP_OK;
    case VP_CONTAINER_TS:
        return vpi_verify_ts(v, s, data->data, data->size, err);
    case VP_CONTAINER_PACKED:
        return vpi_verify_packed(v, s, data->data, data->size, err);
    default:
        return VP_OK;
    }
}

static vp_status check_segment(reader *r, vpi_media_state *s, size_t number, vp_error *err)
{
    const vpi_segment *segment = &s->t->segments[number];
    vpi_verifier *v = r->v;
    int32_t is;
    vp_status st;

    s->segment = segment;
    s->number = number;
    s->key = vpi_protection_key(&s->t->protection, number);
    s->where = segment->key;
    s->frames = 0;
    if (!s->t->single_file) {
        st = open_object(r, segment->key, err);
        if (st != VP_OK) return st < 0 ? st : VP_OK;
    }
    VPI_TRY(vpi_cancel_check(v->cancel, err));
    st = read_range(r, segment->key, segment->offset, segment->bytes, err);
    if (st != VP_OK) return st < 0 ? st : VP_OK;
    if (!s->t->single_file)
        check_crc(v, segment->key, vpi_crc32c(0, r->buf.data, r->buf.size), segment->crc32c);
    if (s->key && vpi_whole_object(s->t)) {
        vpi_verify_whole(v, s);
        return VP_OK;
    }
    if (s->t->kind == VP_TRACK_TEXT) vpi_verify_text(v, s->t, segment->key, r->buf.data, r->buf.size);
    if (s->t->kind != VP_TRACK_VIDEO && s->t->kind != VP_TRACK_AUDIO) return VP_OK;
    is = container_of(&r->buf);
    if (!vpi_check(v, !is || is == s->t->container, "P20", segment->key,
                   "the bytes are of another container"))
        return VP_OK;
    VPI_TRY(structure(v, s, &r->buf, err));
    return s->media ? vpi_verify_decode(v, s, r->buf.data, r->buf.size, err) : VP_OK;
}

static vp_status read_track(vpi_verifier *v, const vpi_ptrack *t, struct vpi_track_media *media,
                            vp_error *err)
{
    vpi_media_state s = { .t = t, .media = media };
    reader r = { .v = v };
    vp_status st = VP_OK;
    char where[1024];

    if (t->single_file) {
        st = open_object(&r, t->segments[0].key, err);
        if (st != VP_OK) goto done;
        VPI_GO(whole_crc(&r, t, err));
    }
    st = check_init(&r, &s, err);
    if (st < 0) goto done;
    st = VP_OK;
    for (size_t i = 0; i < t->segment_count; i++) VPI_GO(check_segment(&r, &s, i, err));
    /* Pictures of whole objects that are encrypted were not counted. */
    if (!vpi_whole_object(t)) vpi_verify_rate(v, &s, vpi_track_where(t, where));
    if (media) st = vpi_verify_decoded(v, &s, where, err);
done:
    vpi_media_state_dispose(&s);
    vp_source_unref(r.source);
    vpi_buf_dispose(&r.buf);
    return st < 0 ? st : VP_OK;
}

vp_status vpi_verify_objects(vpi_verifier *v, vp_error *err)
{
    for (size_t i = 0; i < v->p->track_count; i++) {
        const vpi_ptrack *t = &v->p->tracks[i];
        bool all, closed = t->protection.scheme != VPI_SCHEME_NONE;
        char where[1024];

        if (!v->sane[i]) continue;
        VPI_TRY(exist_all(v, t, &all, err));
        if (!v->read) continue;
        /* Without its keys there is nothing to decode. */
        if (v->media && closed)
            vpi_warn(v, "P04", vpi_track_where(t, where), "is encrypted, and was not decoded");
        /* What is missing is named already; the structure of the rest is read all the same. */
        VPI_TRY(read_track(v, t, v->media && !closed ? &v->media[i] : NULL, err));
    }
    vpi_verify_ivs(v);
    return VP_OK;
}
