/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "model/json.h"
#include "model/presentation_int.h"

#define CRC_TEXT 16
#define IV_SIZE 16

const char *vpi_kind_word(int32_t kind)
{
    switch (kind) {
    case VP_TRACK_VIDEO:
        return "video";
    case VP_TRACK_AUDIO:
        return "audio";
    case VP_TRACK_TEXT:
        return "text";
    case VP_TRACK_IMAGE:
        return "image";
    default:
        return NULL;
    }
}

const char *vpi_container_word(int32_t container)
{
    switch (container) {
    case VP_CONTAINER_CMAF:
        return "cmaf";
    case VP_CONTAINER_TS:
        return "ts";
    case VP_CONTAINER_PACKED:
        return "packed";
    default:
        return NULL;
    }
}

/* Writers of what is there: zero and NULL are left out, and read back as such. */
static bool number(json_t *o, const char *name, uint64_t v)
{
    return v == 0 || vpi_json_set_u64(o, name, v);
}

static bool text(json_t *o, const char *name, const char *v)
{
    return !v || vpi_json_set_str(o, name, v);
}

static bool crc(json_t *o, uint32_t v)
{
    char hex[CRC_TEXT];

    snprintf(hex, sizeof(hex), "%08x", v);
    return vpi_json_set_str(o, "crc32c", hex);
}

static bool add_object(json_t *o, const char *name, json_t **out)
{
    *out = json_object();
    return json_object_set_new(o, name, *out) == 0;
}

static bool add_part(json_t *o, const char *name, const vpi_part *part)
{
    json_t *p;

    if (!part->key) return true;
    return add_object(o, name, &p) && vpi_json_set_str(p, "key", part->key) &&
           number(p, "offset", part->offset) && vpi_json_set_u64(p, "bytes", part->bytes) &&
           (part->crc32c == 0 || crc(p, part->crc32c));
}

static bool add_fragments(json_t *o, const vpi_segment *s)
{
    json_t *a = json_array(), *f;
    size_t i;

    if (json_object_set_new(o, "fragments", a) != 0) return false;
    for (i = 0; i < s->fragment_count; i++) {
        const vpi_fragment *from = &s->fragments[i];

        f = json_object();
        if (json_array_append_new(a, f) != 0) return false;
        if (!vpi_json_set_u64(f, "offset", from->offset) || !vpi_json_set_u64(f, "bytes", from->bytes) ||
            !vpi_json_set_u64(f, "ticks", from->ticks) || !number(f, "idr_bytes", from->idr_bytes)) {
            return false;
        }
    }
    return true;
}

static bool add_iv(json_t *o, const uint8_t iv[IV_SIZE])
{
    char hex[2 * IV_SIZE + 1];

    vpi_hex_text(iv, IV_SIZE, hex);
    return vpi_json_set_str(o, "iv", hex);
}

static json_t *segment_json(const vpi_ptrack *t, const vpi_segment *from)
{
    json_t *s = json_object();

    if (s && vpi_json_set_str(s, "key", from->key ? from->key : "") && number(s, "offset", from->offset) &&
        vpi_json_set_u64s(s, "start", from->start) && vpi_json_set_u64(s, "ticks", from->ticks) &&
        vpi_json_set_u64(s, "bytes", from->bytes) &&
        /* The object of a single-file track has a checksum of its own. */
        ((t->single_file && !from->crc32c) || crc(s, from->crc32c)) &&
        (!from->has_iv || add_iv(s, from->iv)) && (!from->fragment_count || add_fragments(s, from))) {
        return s;
    }
    json_decref(s);
    return NULL;
}

static bool add_segments(json_t *o, const vpi_ptrack *t)
{
    json_t *a = json_array();
    size_t i;

    if (json_object_set_new(o, "segments", a) != 0) return false;
    for (i = 0; i < t->segment_count; i++) {
        if (json_array_append_new(a, segment_json(t, &t->segments[i])) != 0) return false;
    }
    return true;
}

/* Everything of a track but its segments. */
static bool add_track(json_t *o, const vpi_ptrack *t)
{
    json_t *object;
    bool ok = text(o, "name", t->name ? t->name : "") && text(o, "kind", vpi_kind_word(t->kind)) &&
              text(o, "group", t->group ? t->group : "") && text(o, "codecs", t->codecs ? t->codecs : "");

    ok = ok && text(o, "language", t->language) && text(o, "label", t->label);
    ok = ok && (!t->is_default || vpi_json_set_bool(o, "default", true));
    ok = ok && number(o, "width", t->width) && number(o, "height", t->height);
    if (t->sar_num) ok = ok && vpi_json_set_shape(o, "sar", t->sar_num, t->sar_den);
    if (t->frame_rate_num)
        ok = ok && vpi_json_set_ratio(o, "frame_rate", t->frame_rate_num, t->frame_rate_den);
    ok = ok && number(o, "sample_rate", t->sample_rate) && number(o, "channels", t->channels);
    ok = ok && number(o, "primaries", t->primaries) && number(o, "transfer", t->transfer);
    ok = ok && number(o, "matrix", t->matrix) && vpi_json_set_u64(o, "timescale", t->timescale);
    ok = ok && number(o, "bandwidth", t->bandwidth) && number(o, "average_bandwidth", t->average_bandwidth);
    ok = ok && text(o, "container", vpi_container_word(t->container));
    if (t->single_file) {
        ok = ok && add_object(o, "object", &object) && vpi_json_set_u64(object, "bytes", t->object_bytes) &&
             crc(object, t->object_crc32c);
    }
    ok = ok && add_part(o, "init", &t->init) && add_part(o, "index", &t->index);
    /* null where it is clear */
    ok = ok && json_object_set_new(o, "protection", vpi_protection_to_json(&t->protection, false)) == 0;
    return ok;
}

struct json_t *vpi_ptrack_to_json(const vpi_ptrack *t)
{
    json_t *o = json_object();

    if (o && add_track(o, t) && add_segments(o, t)) return o;
    json_decref(o);
    return NULL;
}

/*
 * A title of hours has 100,000 values and more; as a tree of JSON they take ten times their text. So objects are
 * written as text one by one.
 */

/* The object's text without its closing brace, with `name` as the next member. */
static vp_status open_member(json_t *o, const char *name, vpi_buf *b, vp_error *err)
{
    vp_status st = o ? vpi_json_dump(o, b, err) : vpi_fail_nomem(err);

    json_decref(o);
    if (st != VP_OK) return st;
    b->size--;
    vpi_buf_printf(b, ",\"%s\":[", name);
    return VP_OK;
}

static vp_status write_track(const vpi_ptrack *t, vpi_buf *b, vp_error *err)
{
    json_t *o = json_object();
    size_t i;

    if (o && !add_track(o, t)) {
        json_decref(o);
        o = NULL;
    }
    VPI_TRY(open_member(o, "segments", b, err));
    for (i = 0; i < t->segment_count; i++) {
        json_t *s = segment_json(t, &t->segments[i]);
        vp_status st;

        if (i > 0) vpi_buf_u8(b, ',');
        st = s ? vpi_json_dump(s, b, err) : vpi_fail_nomem(err);
        json_decref(s);
        if (st != VP_OK) return st;
    }
    vpi_buf_str(b, "]}");
    return VP_OK;
}

static json_t *head_json(const vpi_presentation *p)
{
    json_t *root = json_object(), *duration;

    if (root && vpi_json_set_u64(root, "vodpipe", 1) && vpi_json_set_str(root, "version", p->version) &&
        vpi_json_set_str(root, "request", p->request) && add_object(root, "duration", &duration) &&
        vpi_json_set_u64s(duration, "ticks", p->duration) &&
        vpi_json_set_u64(duration, "timescale", p->timescale)) {
        return root;
    }
    json_decref(root);
    return NULL;
}

static vp_status write_presentation(const vpi_presentation *p, vpi_buf *b, vp_error *err)
{
    size_t i;

    VPI_TRY(open_member(head_json(p), "tracks", b, err));
    for (i = 0; i < p->track_count; i++) {
        if (i > 0) vpi_buf_u8(b, ',');
        VPI_TRY(write_track(&p->tracks[i], b, err));
    }
    vpi_buf_str(b, "]}\n");
    return vpi_buf_failed(b) ? vpi_fail_nomem(err) : VP_OK;
}

vp_status vp_presentation_json(const vp_presentation *presentation, vp_bytes **out, vp_error *err)
{
    vpi_buf b = { 0 };
    vp_status st;

    vp_error_init(err);
    if (out) *out = NULL;
    if (!presentation || !out) {
        return vpi_fail(err, VP_E_ARG, NULL, "no presentation or nowhere to put its text");
    }
    st = write_presentation(&presentation->p, &b, err);
    if (st != VP_OK) {
        vpi_buf_dispose(&b);
        return st;
    }
    return vpi_bytes_from_buf(&b, out, err);
}
